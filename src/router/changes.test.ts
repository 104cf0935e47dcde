// What changes while sessions are up: links, neighbours, sessions, configuration, limits, slow sockets.

import { expect, test } from 'vitest';
import {
  bed,
  configOf,
  policy,
  prefixes,
  received,
  routes,
  row,
  state,
  told,
  UP_MS,
  withPeer,
} from '../../test/sim/bed.ts';
import { prefix } from '../sim/clos.ts';
import { findViolation } from '../sim/invariants.ts';

const guests = (count: number): string[] => Array.from({ length: count }, (_, i) => `192.0.2.${i + 1}/32`);

test('a lost link takes the routes at once, and its return brings them back', () => {
  const world = row('abc');
  world.run(UP_MS);
  world.setUp(world.cable('b', 'eth1'), false);
  world.run(50);
  expect(state(world, 'b', 'eth1')).toBe('idle');
  expect(prefixes(world, 'c')).toEqual(['10.0.0.2/32', '10.0.0.3/32', '2001:db8::2/128', '2001:db8::3/128']);
  expect(told(world, 'b', 'peerDown').map(({ reason }) => reason.kind)).toEqual(['interfaceDown']);
  world.setUp(world.cable('b', 'eth1'), true);
  world.run(UP_MS);
  expect(prefixes(world, 'c')).toHaveLength(6);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('a cable that swallows packets is found by the hold timer; routes stay for the restart time (RFC 8538)', () => {
  const world = row('ab');
  world.run(UP_MS);
  world.cable('a', 'eth2').dropsFromA = true;
  world.run(6000);
  expect(state(world, 'b', 'eth1')).toBe('established');
  world.run(3500);
  expect(told(world, 'b', 'peerDown').map(({ reason }) => reason.kind)).toEqual(['holdTimer']);
  expect(prefixes(world, 'b')).toHaveLength(4);
  world.run(20_000);
  expect(prefixes(world, 'b')).toEqual(['10.0.0.2/32', '2001:db8::2/128']);
  world.cable('a', 'eth2').dropsFromA = false;
  world.run(20_000);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('a neighbour with another address is followed when its session has ended', () => {
  const world = row('ab');
  world.run(UP_MS);
  const port = world.portAt({ node: 'b', port: 'eth1' });
  port.node.renumber(port, 7);
  world.run(2000);
  // Its old address is not refuted by an advertisement of another one: there may be two machines on the link.
  expect(state(world, 'a', 'eth2')).toBe('established');
  world.run(20_000);
  expect(routes(world, 'a')).toContain('10.0.0.2/32: 65002 via fe80::7:2:1%eth2');
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('another machine behind the same port gets nothing of what was kept of the one before', () => {
  const world = bed(
    [
      { name: 'a', asn: 65001 },
      { name: 'b', asn: 65002, networks: ['10.0.0.2/32'] },
      { name: 'c', asn: 65003, networks: ['10.0.0.3/32'] },
    ],
    ['a:eth1 b:eth1', 'a:eth2 c:eth1'],
  );
  world.run(UP_MS);
  world.swap(world.cable('a', 'eth1'), world.cable('a', 'eth2'));
  world.run(UP_MS);
  expect(routes(world, 'a')).toEqual([
    '10.0.0.2/32: 65002 via fe80::2:1%eth2',
    '10.0.0.3/32: 65003 via fe80::3:1%eth1',
  ]);
  expect(received(world, 'a', 'eth1')).toEqual(['10.0.0.3/32']);
});

test('a reset ends the session with 6/4 and it comes back by itself', () => {
  const world = row('ab');
  world.run(UP_MS);
  world.router('a').act(world.peer('a', 'eth2'), 'reset', 'maintenance');
  world.run(100);
  const [down] = told(world, 'b', 'peerDown');
  expect(down!.reason).toMatchObject({
    kind: 'notificationReceived',
    code: 6,
    subcode: 4,
    text: 'maintenance',
  });
  expect(prefixes(world, 'b')).toEqual(['10.0.0.2/32', '2001:db8::2/128']);
  world.run(UP_MS);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('a peer that the operator shut down stays down, for both, until it is enabled', () => {
  const world = row('ab');
  world.run(UP_MS);
  world.router('a').act(world.peer('a', 'eth2'), 'shutdown');
  world.run(30_000);
  expect([state(world, 'a', 'eth2'), state(world, 'b', 'eth1')]).not.toContain('established');
  world.router('a').act(world.peer('a', 'eth2'), 'enable');
  world.run(70_000);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('simultaneous connections end as one session, whatever the seed', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const world = row('ab', seed);
    world.run(UP_MS);
    expect(findViolation(world, 'oracle'), `seed ${seed}`).toBeUndefined();
    expect(world.network.bothGivenUp).toBeUndefined();
    expect(told(world, 'a', 'peerUp')).toHaveLength(1);
    expect([...world.network.connections]).toHaveLength(1);
  }
});

// ---- configuration ----

test('another policy applies to the routes there are, and no session notices', () => {
  const world = bed(
    [
      { name: 'a', asn: 65001, statics: guests(4) },
      { name: 'b', asn: 65002 },
      { name: 'c', asn: 65003 },
    ],
    ['a:eth1 b:eth1', 'b:eth2 c:eth1'],
  );
  world.run(UP_MS);
  const not = (text: string) => policy(`no ${text}`, { match: { prefixes: [text] }, action: 'reject' });
  // Export at a, import at b, export at b, and back again.
  world.node('a').configure(withPeer(world, 'a', { export: not('192.0.2.1/32') }));
  world
    .node('b')
    .configure(withPeer(world, 'b', { import: not('192.0.2.2/32'), export: not('192.0.2.3/32') }));
  world.run(200);
  expect(received(world, 'b', 'eth1')).toEqual(['192.0.2.2/32', '192.0.2.3/32', '192.0.2.4/32']);
  expect(prefixes(world, 'b')).toEqual(['192.0.2.3/32', '192.0.2.4/32']);
  expect(received(world, 'c', 'eth1')).toEqual(['192.0.2.4/32']);
  // A policy of the same name with another content.
  world.node('b').configure(withPeer(world, 'b', { export: policy('no 192.0.2.3/32') }));
  world.run(200);
  expect(received(world, 'c', 'eth1')).toEqual(['192.0.2.3/32', '192.0.2.4/32']);
  world
    .node('a')
    .configure({ ...world.node('a').config, peers: configOf({ name: 'a', asn: 65001 }, 1).peers });
  world
    .node('b')
    .configure({ ...world.node('b').config, peers: configOf({ name: 'b', asn: 65002 }, 2).peers });
  world.run(200);
  expect(prefixes(world, 'c')).toEqual(guests(4));
  expect(world.events.filter(({ event }) => event.kind === 'peerDown')).toEqual([]);
  expect(findViolation(world, 'walk')).toBeUndefined();
});

test('attributes set by a policy that a reload brings reach peers that have the route', () => {
  const world = bed(
    [
      { name: 'a', asn: 65001, statics: guests(1) },
      { name: 'b', asn: 65002 },
    ],
    ['a:eth1 b:eth1'],
  );
  world.run(UP_MS);
  const prepends = policy('far', { set: { prepend: { count: 2 } }, action: 'accept' });
  world.node('a').configure(withPeer(world, 'a', { export: prepends }));
  world.run(200);
  expect(routes(world, 'b')).toEqual(['192.0.2.1/32: 65001 65001 65001 via fe80::1:1%eth1']);
});

test('a reload moves a peer to another update group while routes come and go', () => {
  const world = bed(
    [
      { name: 'a', asn: 65001, statics: guests(40) },
      { name: 'b', asn: 65002 },
      { name: 'c', asn: 65003 },
    ],
    ['a:eth1 b:eth1', 'a:eth2 c:eth1'],
  );
  world.run(UP_MS);
  const few = policy(
    'few',
    { match: { prefixes: [{ prefix: '192.0.2.0/28', ge: 32 }] }, action: 'accept' },
    {
      action: 'reject',
    },
  );
  world.node('a').configure(withPeer(world, 'a', { export: few }));
  world.node('a').removeStatic(prefix('192.0.2.3/32'));
  world.node('a').removeStatic(prefix('192.0.2.39/32'));
  world.node('a').addStatic(prefix('192.0.2.0/32'));
  world.run(200);
  const wanted = ['192.0.2.0/32', ...guests(15).filter((text) => text !== '192.0.2.3/32')].sort();
  expect(received(world, 'b', 'eth1')).toEqual(wanted);
  expect(received(world, 'c', 'eth1')).toEqual(wanted);
  expect(findViolation(world, 'walk')).toBeUndefined();
});

test('a change of families resets the session, one of weight or timers does not', () => {
  const world = bed(
    [
      { name: 'a', asn: 65001, statics: guests(1) },
      { name: 'b', asn: 65002 },
    ],
    ['a:eth1 b:eth1'],
  );
  world.run(UP_MS);
  world.node('b').configure(withPeer(world, 'b', { weight: 7 }));
  world.run(100);
  expect(told(world, 'b', 'peerDown')).toEqual([]);
  const { paths, prefixes: table } = world.router('b').ribs[0]!;
  expect(paths.weight[table.bestPath[world.router('b').ribs[0]!.find(0xc0000201, 0, 0, 0, 32)]!]).toBe(7);
  world.node('b').configure(withPeer(world, 'b', { holdTimeMs: 6000 }));
  world.run(UP_MS);
  expect(told(world, 'b', 'peerDown')).toEqual([]);
  expect(world.peer('b', 'eth1').negotiated!.holdTimeMs).toBe(9000);
  world.node('b').configure(withPeer(world, 'b', { families: 0b1 }));
  world.run(UP_MS);
  expect(told(world, 'b', 'peerDown').map(({ reason }) => reason.kind)).toEqual(['configurationChanged']);
  expect(world.peer('b', 'eth1').negotiated).toMatchObject({ holdTimeMs: 6000, families: 0b1 });
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('peers leave with the configuration that made them, and come back with it', () => {
  const world = row('ab');
  world.run(UP_MS);
  const { config } = world.node('a');
  world.node('a').configure({ ...config, peers: [] });
  world.run(2000);
  expect([...world.router('a').directory.byName.keys()]).toEqual([]);
  expect(told(world, 'b', 'peerDown')[0]!.reason).toMatchObject({ code: 6, subcode: 3 });
  expect(prefixes(world, 'a')).toEqual(['10.0.0.1/32', '2001:db8::1/128']);
  world.node('a').configure(config);
  world.run(20_000);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('too many prefixes: warned, dropped, or held for a while', () => {
  for (const action of ['warn', 'shutdown', 'restart'] as const) {
    const world = bed(
      [
        { name: 'a', asn: 65001, statics: guests(5) },
        { name: 'b', asn: 65002, peer: { maxPrefix: { limit: 5, action, restartAfterMs: 30_000 } } },
      ],
      ['a:eth1 b:eth1'],
    );
    world.run(UP_MS);
    expect(told(world, 'b', 'maxPrefix')).toEqual([]);
    world.node('a').addStatic(prefix('192.0.2.6/32'));
    world.run(2000);
    expect(told(world, 'b', 'maxPrefix').map(({ text }) => text)).toEqual([
      '6 ipv4 prefixes, the limit is 5',
    ]);
    if (action === 'warn') {
      expect(prefixes(world, 'b')).toEqual(guests(6));
      continue;
    }
    expect(told(world, 'a', 'peerDown')[0]!.reason).toMatchObject({ code: 6, subcode: 1 });
    expect(prefixes(world, 'b')).toEqual([]);
    world.node('a').removeStatic(prefix('192.0.2.6/32'));
    world.run(20_000);
    expect(state(world, 'b', 'eth1')).toBe('idle');
    if (action === 'shutdown') {
      world.run(200_000);
      expect(state(world, 'b', 'eth1')).toBe('idle');
      world.router('b').act(world.peer('b', 'eth1'), 'reset');
    }
    world.run(70_000);
    expect(prefixes(world, 'b')).toEqual(guests(5));
  }
});

// ---- slow sockets ----

test('a peer that reads slowly does not hold up the others, and has everything in the end', () => {
  const topology = [
    { name: 'a', asn: 65001 },
    { name: 'b', asn: 65002 },
    { name: 'c', asn: 65003 },
  ];
  const world = bed(topology, ['a:eth1 b:eth1', 'a:eth2 c:eth1']);
  world.run(UP_MS);
  world.network.highWater = 100;
  const toC = [...world.network.connections].find(({ ends }) => ends.some(({ node }) => node.name === 'c'))!;
  world.network.stall(toC, 5000);
  for (const guest of guests(60)) {
    world.node('a').addStatic(prefix(guest));
    world.run(10);
  }
  for (const guest of guests(20)) {
    world.node('a').removeStatic(prefix(guest));
    world.run(10);
  }
  world.run(300);
  expect(received(world, 'b', 'eth1')).toHaveLength(40);
  expect(received(world, 'c', 'eth1').length).toBeLessThan(60);
  world.run(6000);
  expect(received(world, 'c', 'eth1')).toEqual(received(world, 'b', 'eth1'));
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('a peer that stalls again soon after is not waited for again', () => {
  const topology = ['a', 'b', 'c'].map((name, i) => ({ name, asn: 65001 + i }));
  const world = bed(topology, ['a:eth1 b:eth1', 'a:eth2 c:eth1']);
  world.run(UP_MS);
  world.network.highWater = 100;
  const toC = [...world.network.connections].find(({ ends }) => ends.some(({ node }) => node.name === 'c'))!;
  const add = (text: string): void => {
    world.node('a').addStatic(prefix(text));
    world.run(40);
  };
  const stall = (): void => {
    world.network.stall(toC, 1000);
    for (const last of [1, 2, 3]) add(`192.0.2.${last}/32`);
  };
  stall();
  expect(received(world, 'b', 'eth1')).not.toContain('192.0.2.3/32');
  world.run(3000);
  for (const last of [1, 2, 3]) world.node('a').removeStatic(prefix(`192.0.2.${last}/32`));
  world.run(3000);
  stall();
  expect(received(world, 'b', 'eth1')).toContain('192.0.2.3/32');
  world.run(3000);
  expect(received(world, 'c', 'eth1')).toEqual(received(world, 'b', 'eth1'));
});

test('a refresh tells everything again and nothing else', () => {
  const world = row('ab');
  world.run(UP_MS);
  const before = world.peer('b', 'eth1').counters.received[2]!;
  world.router('b').act(world.peer('b', 'eth1'), 'refresh');
  world.run(200);
  expect(world.peer('a', 'eth2').counters.received[5]).toBe(6);
  expect(world.peer('b', 'eth1').counters.received[2]).toBeGreaterThan(before);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});
