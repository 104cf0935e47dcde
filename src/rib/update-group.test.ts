import { describe, expect, test } from 'vitest';
import { IPV6 } from '../wire/bgp/family.ts';
import { exportReasonNames } from './export-stage.ts';
import type { RouteFilter } from './route-filter.ts';
import { attributeBytes, type SampleAttributes } from './sample-attributes.test-data.ts';
import { filterOf, LOCAL_AS, type Network, network, P, ROUTER_ID } from './sample-network.test-data.ts';

/** The one route that a member holds. */
function onlyRoute({ receivers }: Network, member: number): string | undefined {
  const routes = [...receivers[member]!.routes.values()];
  expect(routes.length).toBeLessThanOrEqual(1);
  return routes[0];
}

const hex = (sample: SampleAttributes): string => Buffer.from(attributeBytes(sample)).toString('hex');

describe('what is sent to whom', () => {
  test('external: our AS first, LOCAL_PREF and the MED of others gone, ourselves as next hop', () => {
    const net = network();
    const [a, b] = [net.peer('external', 1), net.peer('external', 2)];
    const [toA, toB] = [net.join(a), net.join(b)];
    net.say(a, P, { asPath: [7, [8, 9]], med: 5, localPref: 200, communities: [1] }, net.hop(1));
    net.settle();
    expect(onlyRoute(net, toA)).toBeUndefined();
    const sent = hex({ asPath: [LOCAL_AS, 7, [8, 9]], communities: [1] });
    expect(onlyRoute(net, toB)).toBe(`${sent} via ${`${(128 + b).toString(16)}`.repeat(4)}`);
    expect(exportReasonNames[net.group.explain(toA, 0)]).toBe('splitHorizon');
    expect(exportReasonNames[net.group.explain(toB, 0)]).toBe('sent');
  });

  test('external: the MED of a route of our own goes out, and one that policy sets', () => {
    const net = network();
    const to = net.join(net.peer('external', 1));
    net.say(0, P, { asPath: [], med: 5 }, 0);
    net.settle();
    expect(onlyRoute(net, to)).toContain(hex({ asPath: [LOCAL_AS], med: 5 }));
    const setting = network(
      {},
      filterOf((_query, verdict) => {
        verdict.attrsChanged = true;
        verdict.attrs.copy(attributeBytes({ asPath: [3], med: 77 }));
        verdict.medSet = true;
      }),
    );
    const other = setting.join(setting.peer('external', 1));
    setting.say(setting.peer('external', 2), P, { asPath: [3], med: 1 }, setting.hop(1));
    setting.settle();
    expect(onlyRoute(setting, other)).toContain(hex({ asPath: [LOCAL_AS, 3], med: 77 }));
  });

  test('a full AS_SEQUENCE gets a new segment before it', () => {
    const net = network();
    const to = net.join(net.peer('external', 1));
    const long = Array.from({ length: 255 }, (_, i) => i + 1);
    net.say(net.peer('external', 2), P, { asPath: long }, net.hop(1));
    net.settle();
    const path = attributeBytes({ asPath: long });
    // ORIGIN; AS_PATH, extended length, 6 bytes longer; one AS_SEQUENCE of our AS, then the one that was there.
    const expected = [
      ...path.slice(0, 4),
      ...[0x50, 2, 0x04, 0x04],
      ...[2, 1, 0, 0, 0xfd, 0xe8],
      ...path.slice(8),
    ];
    expect(onlyRoute(net, to)).toContain(Buffer.from(expected).toString('hex'));
  });

  test('internal: LOCAL_PREF added, MED and next hop kept; nothing of an internal peer passes on', () => {
    const net = network({ kind: 'internal' });
    const to = net.join(net.peer('internal', 1));
    const inside = net.peer('internal', 2);
    const id = net.say(inside, P, { asPath: [7], localPref: 150 }, net.hop(1));
    net.settle();
    expect(onlyRoute(net, to)).toBeUndefined();
    expect(exportReasonNames[net.group.explain(to, id)]).toBe('internalToInternal');
    net.rib.dropPeer(inside);
    net.say(net.peer('external', 3), P, { asPath: [7], med: 9 }, net.hop(9));
    net.settle();
    expect(onlyRoute(net, to)).toBe(`${hex({ asPath: [7], med: 9, localPref: 100 })} via 20202009`);
  });

  test('internal with nextHopSelf: ourselves for routes of external peers only', () => {
    const net = network({ kind: 'internal', nextHopSelf: 'external', rrClients: true });
    const client = net.peer('internal', 1, true);
    const to = net.join(client);
    net.say(net.peer('external', 3), P, { asPath: [7] }, net.hop(9));
    net.settle();
    expect(onlyRoute(net, to)).toContain(` via ${(128 + client).toString(16).repeat(4)}`);
    net.say(net.peer('internal', 4), P, { asPath: [7], localPref: 300 }, net.hop(8));
    net.settle();
    expect(onlyRoute(net, to)).toContain(' via 20202008');
  });

  test('reflection adds ORIGINATOR_ID and our cluster, and keeps an ORIGINATOR_ID that is there', () => {
    const net = network({ kind: 'internal', rrClients: true });
    const to = net.join(net.peer('internal', 1, true));
    const from = net.peer('internal', 2);
    net.say(from, P, { asPath: [7], localPref: 100 }, net.hop(9));
    net.settle();
    expect(onlyRoute(net, to)).toContain(
      hex({ asPath: [7], localPref: 100, originatorId: 102, clusterList: [ROUTER_ID] }),
    );
    net.say(from, P, { asPath: [7], localPref: 100, originatorId: 5, clusterList: [6] }, net.hop(9));
    net.settle();
    expect(onlyRoute(net, to)).toContain(
      hex({ asPath: [7], localPref: 100, originatorId: 5, clusterList: [ROUTER_ID, 6] }),
    );
  });

  test.each([
    [0xffff_ff01, 'external', 'noExport'],
    [0xffff_ff03, 'external', 'noExport'],
    [0xffff_ff02, 'external', 'noAdvertise'],
    [0xffff_ff02, 'internal', 'noAdvertise'],
    [0xffff_ff01, 'internal', 'sent'],
  ] as const)('community %d to an %s peer: %s', (community, kind, expected) => {
    const net = network({ kind });
    const to = net.join(net.peer(kind, 1));
    const id = net.say(net.peer('external', 2), P, { asPath: [7], communities: [1, community] }, net.hop(1));
    net.settle();
    expect(exportReasonNames[net.group.explain(to, id)]).toBe(expected);
    expect(net.receivers[to]!.routes.size).toBe(expected === 'sent' ? 1 : 0);
  });

  test('attributes that would fill a message are not sent', () => {
    const net = network();
    const to = net.join(net.peer('external', 1));
    const communities = Array.from({ length: 1012 }, (_, i) => i);
    const id = net.say(net.peer('external', 2), P, { asPath: [7], communities }, net.hop(1));
    net.settle();
    expect(exportReasonNames[net.group.explain(to, id)]).toBe('tooLong');
    expect(net.receivers[to]!.messages).toBe(0);
  });

  test('a link-local next hop is not passed on within the AS', () => {
    const net = network({ kind: 'internal', nextHopLength: 16 }, undefined, IPV6);
    const address = new Uint8Array(16).fill(1);
    const scoped = net.nextHops.intern(address, 0, 16, 4);
    net.nextHops.setState(scoped, true, 0);
    const inside = net.peer('internal', 1);
    const to = net.join(inside);
    net.say(net.peer('external', 2), 1, { asPath: [7] }, scoped);
    net.settle();
    expect(onlyRoute(net, to)).toContain(` via ${(128 + inside).toString(16).repeat(16)}`);
  });

  test('nothing new is sent while the kernel has not acknowledged, and then what is best by then', () => {
    const net = network();
    const to = net.join(net.peer('external', 1));
    const from = net.peer('external', 2);
    const id = net.say(from, P, { asPath: [7] }, net.hop(1));
    net.rib.setAwaitsFib(id, true);
    net.settle();
    expect(net.receivers[to]!.routes.size).toBe(0);
    expect(exportReasonNames[net.group.explain(to, id)]).toBe('awaitsFib');
    net.rib.setAwaitsFib(id, false);
    net.group.enqueue(id);
    net.settle();
    expect(net.receivers[to]!.routes.size).toBe(1);
  });
});

describe('packing and members', () => {
  test('prefixes of one set share messages; every message is at most 4096 bytes', () => {
    const net = network();
    const to = net.join(net.peer('external', 1));
    const from = net.peer('external', 2);
    const h = net.hop(1);
    for (let i = 0; i < 3000; i++) net.say(from, P + 256 * i, { asPath: [7] }, h);
    net.settle();
    expect(net.receivers[to]!.routes.size).toBe(3000);
    // 3000 prefixes of 4 bytes in messages of at most 4096 bytes.
    expect(net.receivers[to]!.messages).toBe(3);
  });

  test('members that join together share one dump and are told once', () => {
    const net = network();
    const from = net.peer('external', 9);
    const h = net.hop(1);
    const others = [1, 2, 3].map((n) => net.peer('external', n));
    const first = net.join(others[0]!);
    for (let i = 0; i < 100; i++) net.say(from, P + 256 * i, { asPath: [7, 1 + (i % 3)] }, h);
    net.settle();
    const [second, third] = [net.join(others[1]!), net.join(others[2]!)];
    expect(net.group.flush(10)).toBe(true);
    expect(net.receivers[second]!.routes.size).toBe(10);
    expect(net.receivers[second]!.dumped).toBe(0);
    // Changes before and behind the cursor while the dump is under way, and one that goes.
    net.say(from, P, { asPath: [8] }, h);
    net.say(from, P + 256 * 50, { asPath: [8] }, h);
    net.rib.withdrawOne(from, P + 256, 0, 0, 0, 24, 0);
    net.settle();
    for (const [member, peer] of [
      [first, others[0]!],
      [second, others[1]!],
      [third, others[2]!],
    ] as const) {
      expect(net.receivers[member]!.routes).toEqual(net.adjRibOut(member, peer));
      expect(net.receivers[member]!.dumped).toBe(1);
    }
    expect(net.receivers[first]!.superfluous).toBe(0);
  });

  test('the first member is told of the end only after all that was there has been sent', () => {
    const net = network();
    const from = net.peer('external', 9);
    for (let i = 0; i < 100; i++) net.say(from, P + 256 * i, { asPath: [7] }, net.hop(1));
    net.decide();
    const member = net.join(net.peer('external', 1));
    // Changes that come meanwhile stand in the queue before what the fill adds.
    for (let i = 50; i < 100; i++) net.say(from, P + 256 * i, { asPath: [8] }, net.hop(1));
    net.decide();
    while (net.receivers[member]!.routes.size < 100) {
      expect(net.receivers[member]!.dumped).toBe(0);
      expect(net.group.hasWork).toBe(true);
      net.group.flush(7);
    }
    while (net.group.flush(7));
    expect([net.receivers[member]!.dumped, net.receivers[member]!.messages]).toEqual([1, 16]);
    expect(net.group.hasWork).toBe(false);
  });

  test('the peer that a route comes from hears nothing when its attributes change', () => {
    const net = network();
    const from = net.peer('external', 1);
    const member = net.join(from);
    net.say(from, P, { asPath: [7] }, net.hop(1));
    net.settle();
    net.say(from, P, { asPath: [8] }, net.hop(1));
    net.settle();
    net.rib.dropPeer(from);
    net.settle();
    expect(net.receivers[member]!.messages).toBe(0);
  });

  test('a member that waits holds the group; one split off does not, and catches up', () => {
    const net = network();
    const from = net.peer('external', 9);
    const [a, b] = [net.peer('external', 1), net.peer('external', 2)];
    const [toA, toB] = [net.join(a), net.join(b)];
    const h = net.hop(1);
    net.settle();
    net.group.setFlow(toA, 'wait');
    net.say(from, P, { asPath: [7] }, h);
    net.settle();
    expect(net.receivers[toB]!.routes.size).toBe(0);
    net.group.setFlow(toA, 'split');
    net.settle();
    expect([net.receivers[toA]!.routes.size, net.receivers[toB]!.routes.size]).toEqual([0, 1]);
    net.say(from, P, { asPath: [8] }, h);
    net.settle();
    net.group.setFlow(toA, 'open');
    net.settle();
    expect(net.receivers[toA]!.messages).toBe(1);
    expect(net.receivers[toA]!.routes).toEqual(net.adjRibOut(toA, a));
  });

  test('when the source of a route changes, only those two peers hear of it', () => {
    const net = network();
    const [a, b, c] = [1, 2, 3].map((n) => net.peer('external', n)) as [number, number, number];
    const [toA, toB, toC] = [net.join(a), net.join(b), net.join(c)];
    net.say(b, P, { asPath: [7] }, net.hop(1));
    net.settle();
    const before = net.receivers[toC]!.messages;
    net.say(a, P, { asPath: [7] }, net.hop(2));
    net.settle();
    expect(net.receivers[toA]!.routes.size).toBe(0);
    expect(net.receivers[toB]!.routes.size).toBe(1);
    expect(net.receivers[toC]!.messages).toBe(before);
  });

  test('a group without members gives everything back and begins anew', () => {
    const net = network();
    const from = net.peer('external', 9);
    const only = net.peer('external', 1);
    for (let i = 0; i < 50; i++) net.say(from, P + 256 * i, { asPath: [7] }, net.hop(1));
    const member = net.join(only);
    net.settle();
    net.leave(member);
    while (net.group.flush(7));
    expect(net.group.isEmpty).toBe(true);
    expect(net.pool.size).toBe(1);
    const again = net.join(only);
    net.settle();
    expect(net.receivers[again]!.routes.size).toBe(50);
    expect(net.receivers[again]!.dumped).toBe(1);
  });

  test('a verdict is asked once a set of attributes, unless the policy reads the prefix', () => {
    let asked = 0;
    const counting = filterOf(() => {
      asked++;
    });
    const run = (filter: RouteFilter): number => {
      asked = 0;
      const net = network({}, filter);
      net.join(net.peer('external', 1));
      const from = net.peer('external', 2);
      for (let i = 0; i < 100; i++) net.say(from, P + 256 * i, { asPath: [7, 1 + (i % 4)] }, net.hop(1));
      net.settle();
      return asked;
    };
    expect(run(counting)).toBe(4);
    expect(run({ ...counting, readsPrefix: true })).toBe(100);
  });
});
