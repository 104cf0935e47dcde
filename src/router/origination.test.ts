// Routes of our own: the operator's, through gateways or to nowhere, aggregates, and what the machine has.

import { expect, test } from 'vitest';
import {
  bed,
  installed4,
  policy,
  prefixes,
  routes,
  UP_MS,
  type World,
  withPeer,
} from '../../test/sim/bed.ts';
import { parseIp } from '../net/ip.ts';
import { prefix } from '../sim/clos.ts';
import { describeAttributes } from '../wire/bgp/attribute/describe.ts';
import type { Aggregate, RouterConfig, StaticRoute } from './config.ts';

const via = (address: string): StaticRoute['to'] => ({ kind: 'gateway', address: parseIp(address)! });
const blackhole: StaticRoute['to'] = { kind: 'blackhole' };

/** a (65001) - b (65002), numbered, where a has the routes. */
function pair(config: Partial<RouterConfig>): World {
  const world = bed(
    [
      { name: 'a', asn: 65001, addresses: ['eth1 192.0.2.0/31'], config },
      { name: 'b', asn: 65002, addresses: ['eth1 192.0.2.1/31'] },
    ],
    ['a:eth1 b:eth1'],
  );
  world.run(UP_MS);
  return world;
}

function configure(world: World, node: string, config: Partial<RouterConfig>): void {
  world.node(node).configure({ ...world.node(node).config, ...config });
  world.run(500);
}

/** What the kernel of a node does with an address: the interfaces, `discard`, or undefined. */
function forwards(world: World, node: string, address: string): (number | 'discard')[] | undefined {
  const bytes = parseIp(address)!;
  const word = ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
  const members = world.node(node).kernel.lookup(0, [word]);
  return members?.map(({ ifindex, discard }) => (discard ? 'discard' : ifindex));
}

function attributesOf(world: World, node: string, text: string): ReturnType<typeof describeAttributes> {
  const { ribs, pool } = world.router(node);
  const { bytes, length } = prefix(text);
  const word = ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
  const rib = ribs[0]!;
  const best = rib.prefixes.bestPath[rib.find(word, 0, 0, 0, length)]!;
  return describeAttributes(pool.copyOf(rib.paths.attrId[best]!));
}

test('a route through a gateway is in the kernel and told with ourselves as next hop, as long as it holds', () => {
  const world = pair({ statics: [{ prefix: prefix('198.51.100.0/24'), to: via('192.0.2.1') }] });
  expect(forwards(world, 'a', '198.51.100.7')).toEqual([1]);
  expect(routes(world, 'b')).toEqual(['198.51.100.0/24: 65001 via fe80::1:1%eth1']);
  configure(world, 'a', { statics: [{ prefix: prefix('198.51.100.0/24'), to: via('203.0.113.1') }] });
  expect(forwards(world, 'a', '198.51.100.7')).toBeUndefined();
  expect(prefixes(world, 'b')).toEqual([]);
});

test('several gateways of a prefix share the load', () => {
  const to = prefix('198.51.100.0/24');
  const world = bed(
    [
      {
        name: 'a',
        asn: 65001,
        addresses: ['eth1 192.0.2.0/31', 'eth2 192.0.2.2/31'],
        config: { statics: ['192.0.2.1', '192.0.2.3'].map((gateway) => ({ prefix: to, to: via(gateway) })) },
      },
      { name: 'b', asn: 65002 },
    ],
    ['a:eth1 b:eth1', 'a:eth2 b:eth2'],
  );
  world.run(UP_MS);
  expect(forwards(world, 'a', '198.51.100.7')).toEqual([1, 2]);
  configure(world, 'a', { statics: [{ prefix: to, to: via('192.0.2.3') }] });
  expect(forwards(world, 'a', '198.51.100.7')).toEqual([2]);
});

test('a black hole discards and is announced; what its policy refuses stays here', () => {
  const refuse = policy('refuse', { match: { prefixes: ['198.51.100.0/24'] }, action: 'reject' });
  const world = pair({
    statics: [
      { prefix: prefix('198.51.100.0/24'), to: blackhole, policy: refuse },
      { prefix: prefix('203.0.113.0/24'), to: blackhole, policy: refuse },
    ],
  });
  expect(forwards(world, 'a', '198.51.100.7')).toEqual(['discard']);
  expect(forwards(world, 'a', '203.0.113.7')).toEqual(['discard']);
  expect(prefixes(world, 'b')).toEqual(['203.0.113.0/24']);
  configure(world, 'a', { statics: [] });
  expect(installed4(world, 'a')).toEqual([]);
  expect(prefixes(world, 'b')).toEqual([]);
});

/** c (65003) and d (65004) behind b (65002), which aggregates for a (65001). */
function withAggregate(aggregate: Partial<Aggregate> = {}): World {
  const aggregates = [{ prefix: prefix('10.0.0.0/8'), summaryOnly: false, ...aggregate }];
  const world = bed(
    [
      { name: 'a', asn: 65001 },
      { name: 'b', asn: 65002, config: { aggregates } },
      { name: 'c', asn: 65003, statics: ['10.1.0.0/16', '11.0.0.0/8'] },
      { name: 'd', asn: 65004 },
    ],
    ['b:eth1 a:eth1', 'b:eth2 c:eth1', 'c:eth2 d:eth1'],
  );
  world.run(UP_MS);
  return world;
}

test('an aggregate is there as long as a more specific route is, and discards what that does not cover', () => {
  const world = withAggregate();
  expect(routes(world, 'a')).toContain('10.0.0.0/8: 65002 65003 via fe80::2:1%eth1');
  // One contributor: its whole path, so nothing is left out.
  expect(attributesOf(world, 'a', '10.0.0.0/8')).toMatchObject({
    origin: 'incomplete',
    aggregator: { asn: 65002, address: '10.0.0.2' },
  });
  expect(attributesOf(world, 'a', '10.0.0.0/8')).not.toHaveProperty('atomicAggregate');
  expect(forwards(world, 'b', '10.1.0.1')).toEqual([2]);
  expect(forwards(world, 'b', '10.2.0.1')).toEqual(['discard']);
  world.node('d').addStatic(prefix('10.2.0.0/16'));
  world.run(1500);
  // What both have in common is the beginning; the rest is left out.
  expect(attributesOf(world, 'a', '10.0.0.0/8')).toMatchObject({
    asPath: '65002 65003',
    atomicAggregate: true,
  });
  world.node('c').removeStatic(prefix('10.1.0.0/16'));
  world.run(1500);
  expect(attributesOf(world, 'a', '10.0.0.0/8').asPath).toBe('65002 65003 65004');
  world.node('d').removeStatic(prefix('10.2.0.0/16'));
  world.run(1500);
  expect(prefixes(world, 'a')).toEqual(['11.0.0.0/8']);
  expect(forwards(world, 'b', '10.2.0.1')).toBeUndefined();
});

test('summaryOnly keeps the more specific routes here, live', () => {
  const world = withAggregate({ summaryOnly: true });
  expect(prefixes(world, 'a')).toEqual(['10.0.0.0/8', '11.0.0.0/8']);
  expect(prefixes(world, 'b')).toContain('10.1.0.0/16');
  configure(world, 'b', { aggregates: [{ prefix: prefix('10.0.0.0/8'), summaryOnly: false }] });
  expect(prefixes(world, 'a')).toEqual(['10.0.0.0/8', '10.1.0.0/16', '11.0.0.0/8']);
  configure(world, 'b', { aggregates: [{ prefix: prefix('10.0.0.0/8'), summaryOnly: true }] });
  expect(prefixes(world, 'a')).toEqual(['10.0.0.0/8', '11.0.0.0/8']);
  configure(world, 'b', { aggregates: [] });
  expect(prefixes(world, 'a')).toEqual(['10.1.0.0/16', '11.0.0.0/8']);
  expect(forwards(world, 'b', '10.2.0.1')).toBeUndefined();
});

test('an aggregate that waits for the end of a restart does not keep the router awake', () => {
  const world = withAggregate();
  const router = world.router('b');
  router.beginRestart();
  configure(world, 'b', { aggregates: [{ prefix: prefix('10.0.0.0/8'), summaryOnly: true }] });
  expect(router.restart.isDeferring).toBe(true);
  expect(router.nextDeadlineMs()).toBeGreaterThan(router.nowMs);
});

test('what two aggregates keep here is told when neither does any more', () => {
  const within = { prefix: prefix('10.0.0.0/12'), summaryOnly: true };
  const around = { prefix: prefix('10.0.0.0/8'), summaryOnly: true };
  const world = withAggregate({ summaryOnly: true });
  configure(world, 'b', { aggregates: [around, within] });
  expect(prefixes(world, 'a')).toEqual(['10.0.0.0/8', '11.0.0.0/8']);
  configure(world, 'b', { aggregates: [around, { ...within, summaryOnly: false }] });
  expect(prefixes(world, 'a')).toEqual(['10.0.0.0/8', '11.0.0.0/8']);
  configure(world, 'b', { aggregates: [within] });
  expect(prefixes(world, 'a')).toEqual(['10.0.0.0/12', '11.0.0.0/8']);
  configure(world, 'b', { aggregates: [{ ...within, summaryOnly: false }] });
  expect(prefixes(world, 'a')).toEqual(['10.0.0.0/12', '10.1.0.0/16', '11.0.0.0/8']);
});

test('an aggregate goes through its policy', () => {
  const mark = policy('mark', { set: { communities: { add: ['65002:7'] } }, action: 'accept' });
  const world = withAggregate({ policy: mark });
  expect(attributesOf(world, 'a', '10.0.0.0/8').communities).toEqual(['65002:7']);
});

test('the aggregator that the world outside a confederation sees is not a member AS', () => {
  const world = withAggregate();
  configure(world, 'b', { asn: 65100, confederation: { id: 65002, members: [[65101, 65101]] } });
  world.run(UP_MS);
  expect(attributesOf(world, 'a', '10.0.0.0/8').aggregator).toEqual({ asn: 65002, address: '10.0.0.2' });
});

test('a redistributed route tells the metric of the kernel to external peers of ours', () => {
  const world = pair({});
  const route = { source: 'static', metric: 30, ifindex: 7, protocol: 4 } as const;
  world.router('a').kernelRouteAdded({ ...route, bytes: prefix('10.5.0.0/16').bytes, length: 16 });
  world.run(500);
  expect(attributesOf(world, 'b', '10.5.0.0/16').med).toBe(30);
});

test('the tag of a route of ours is what policies read on its way out', () => {
  const tagged = policy('tagged', { match: { tag: 7 }, action: 'accept' }, { action: 'reject' });
  const statics = ['198.51.100.0/24', '203.0.113.0/24'].map((text, i) => ({
    prefix: prefix(text),
    to: blackhole,
    tag: 7 + i,
  }));
  const world = pair({ statics });
  expect(prefixes(world, 'b')).toEqual(['198.51.100.0/24', '203.0.113.0/24']);
  world.node('a').configure(withPeer(world, 'a', { export: tagged }));
  world.run(500);
  expect(prefixes(world, 'b')).toEqual(['198.51.100.0/24']);
});
