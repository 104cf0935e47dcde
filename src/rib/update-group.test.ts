import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { HEADER_LENGTH } from '../wire/bgp/header.ts';
import { ip4At, ip6WordAt, prefixSize } from '../wire/bgp/nlri/ip.ts';
import { UpdateDecoder } from '../wire/bgp/update.ts';
import { messageLengthAt } from '../wire/bgp/update-writer.ts';
import { AttributePool } from './attribute-pool.ts';
import { type ExportOptions, exportReasonNames } from './export-stage.ts';
import { NextHopTable } from './next-hop-table.ts';
import { PeerTable } from './peer-table.ts';
import { Rib } from './rib.ts';
import { NEXT_HOP_KEEP, type RouteFilter } from './route-filter.ts';
import { attributeBytes, type SampleAttributes } from './sample-attributes.test-data.ts';
import { type GroupPort, UpdateGroup } from './update-group.ts';
import { verifyGroup, verifyRib } from './verify.ts';

const LOCAL_AS = 65000;
const ROUTER_ID = 0x0a00_0001;
const P = 0x0a01_0100;

/** What one member holds after reading every byte it was sent, as a real peer would. */
class Receiver {
  readonly routes = new Map<string, string>();
  readonly decoder = new UpdateDecoder();
  readonly family: number;
  readonly internal: boolean;
  dumped = 0;
  messages = 0;
  /** Withdrawals of what it does not have, and announcements of what it has already. */
  superfluous = 0;

  constructor(family: number, internal: boolean) {
    this.family = family;
    this.internal = internal;
  }

  read(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += messageLengthAt(bytes, at)) {
      this.messages++;
      this.#update(bytes, at + HEADER_LENGTH, at + messageLengthAt(bytes, at));
    }
  }

  #update(bytes: Uint8Array, start: number, end: number): void {
    const families = 1 << this.family;
    const view = this.decoder.decode(bytes, start, end, {
      asn4: true,
      internal: this.internal,
      families,
      addPath: 0,
    });
    expect(view.fault).toBeUndefined();
    for (let i = 0; i < view.sectionCount; i++) {
      const hop = view.nextHop.slice(view.nextHopStart[i]!, view.nextHopStart[i]! + view.nextHopLength[i]!);
      const attributes = Buffer.from(view.attrs.slice(0, view.attrsLength)).toString('hex');
      const told = `${attributes} via ${Buffer.from(hop).toString('hex')}`;
      for (let at = view.sectionStart[i]!; at < view.sectionEnd[i]!; at += prefixSize(bytes, at)) {
        const key =
          this.family === IPV4
            ? `${ip4At(bytes, at)}/${bytes[at]}`
            : `${[0, 1, 2, 3].map((word) => ip6WordAt(bytes, at, word))}/${bytes[at]}`;
        const known = this.routes.get(key);
        if (view.sectionReach[i] === 1) {
          if (known === told) this.superfluous++;
          this.routes.set(key, told);
        } else {
          if (known === undefined) this.superfluous++;
          this.routes.delete(key);
        }
      }
    }
  }
}

const external: ExportOptions = {
  kind: 'external',
  localAsn: LOCAL_AS,
  rrClients: false,
  clusterId: ROUTER_ID,
  nextHopSelf: 'never',
  nextHopLength: 4,
  asn4: true,
  maxMessage: 4096,
};

function network(options: Partial<ExportOptions> = {}, filter?: RouteFilter, family: number = IPV4) {
  const all = { ...external, ...options };
  const pool = new AttributePool({ asn: LOCAL_AS, routerId: ROUTER_ID, clusterId: ROUTER_ID });
  const nextHops = new NextHopTable();
  const peers = new PeerTable();
  const rib = new Rib(family, pool, nextHops, peers);
  const receivers: (Receiver | undefined)[] = [];
  const port: GroupPort = {
    send: (member, bytes) => receivers[member]?.read(bytes),
    dumped: (member) => {
      receivers[member]!.dumped++;
    },
  };
  const group = new UpdateGroup(rib, all, filter, port);
  const hop = (last: number): number => {
    const bytes = new Uint8Array(family === IPV4 ? 4 : 16).fill(32);
    bytes[bytes.length - 1] = last;
    const id = nextHops.intern(bytes, 0, bytes.length, 0);
    nextHops.setState(id, true, 0);
    return id;
  };
  const peer = (kind: 'external' | 'internal', n: number, rrClient = false): number =>
    peers.add({ kind, asn: 65100 + n, bgpId: 100 + n, address: new Uint8Array([10, 9, 0, n]), rrClient });
  const ownHop = (peerIndex: number): Uint8Array => {
    const bytes = new Uint8Array(all.nextHopLength).fill(128 + peerIndex);
    // 32 bytes are a global and a link-local address (RFC 2545 section 3).
    if (bytes.length === 32) bytes.set([0xfe, 0x80, 0, 0, 0, 0, 0, 0], 16);
    return bytes;
  };
  const join = (peerIndex: number): number => {
    const member = group.join(peerIndex, ownHop(peerIndex));
    receivers[member] = new Receiver(family, all.kind === 'internal');
    return member;
  };
  const leave = (member: number): void => {
    group.leave(member);
    receivers[member] = undefined;
  };
  const say = (from: number, prefix: number, attributes: SampleAttributes, hopId: number): number => {
    const bytes = attributeBytes(attributes);
    const attrId = pool.intern(bytes, 0, bytes.length);
    const words = family === IPV4 ? [prefix, 0, 0] : [0x2001_0db8, prefix, 0];
    const id = rib.announceOne(
      from,
      words[0]!,
      words[1]!,
      words[2]!,
      0,
      family === IPV4 ? 24 : 64,
      0,
      attrId,
      hopId,
    );
    pool.release(attrId);
    return id;
  };
  const decide = (max = 1000): void => {
    do {
      const more = rib.decide(max);
      for (let i = 0; i < rib.changes.count; i++) group.enqueue(rib.changes.ids[i]!);
      if (!more) break;
    } while (max === 1000);
  };
  const settle = (): void => {
    while (rib.work(1000));
    decide();
    while (group.flush(1000));
    rib.decide(0);
  };
  /** What a member must hold, from the group's columns. */
  const adjRibOut = (member: number, peerIndex: number): Map<string, string> => {
    const expected = new Map<string, string>();
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      const attrId = group.attrOut(id);
      if (attrId === 0 || group.source[id] === peerIndex) continue;
      expect(group.hasSent(member, id)).toBe(true);
      const hopId = group.nextHopOut(id);
      const via = hopId === 0 ? ownHop(peerIndex) : nextHops.addressOf(hopId);
      const { address, length, words } = rib.table;
      const key = `${address.slice(id * words, id * words + words)}/${length[id]}`;
      const attributes = Buffer.from(pool.copyOf(attrId)).toString('hex');
      expected.set(key, `${attributes} via ${Buffer.from(via).toString('hex')}`);
    }
    expect(group.routeCountOf(member)).toBe(expected.size);
    return expected;
  };
  return {
    rib,
    pool,
    nextHops,
    peers,
    group,
    receivers,
    hop,
    peer,
    join,
    leave,
    say,
    decide,
    settle,
    adjRibOut,
  };
}

type Network = ReturnType<typeof network>;

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
    const communities = Array.from({ length: 1000 }, (_, i) => i);
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

function filterOf(evaluate: RouteFilter['evaluate'], reads: Partial<RouteFilter> = {}): RouteFilter {
  return { readsPrefix: false, readsNextHop: false, readsPeer: false, ...reads, evaluate };
}

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

// ---- the property ----

type Step =
  | { kind: 'announce'; peer: number; prefix: number; attributes: SampleAttributes; hop: number }
  | { kind: 'withdraw'; peer: number; prefix: number }
  | { kind: 'drop'; peer: number }
  | { kind: 'join'; peer: number }
  | { kind: 'leave'; peer: number }
  | { kind: 'refresh'; peer: number }
  | { kind: 'flow'; peer: number; flow: 'open' | 'wait' | 'split' }
  | { kind: 'policy'; choice: number }
  | { kind: 'awaitFib'; prefix: number; awaits: boolean }
  | { kind: 'turn'; decide: number; flush: number };

const PREFIXES = 12;
const anyPeer = fc.integer({ min: 0, max: 4 });
const anyPrefix = fc.integer({ min: 0, max: PREFIXES - 1 });
const tag = <K extends string>(kind: K) => fc.constant(kind);

const announceStep: fc.Arbitrary<Step> = fc.record({
  kind: tag('announce'),
  peer: anyPeer,
  prefix: anyPrefix,
  attributes: fc.record(
    {
      asPath: fc.constantFrom([1], [2], [1, 2]),
      med: fc.constantFrom(1, 2),
      communities: fc.constantFrom([1], [0xffff_ff01], [0xffff_ff02]),
    },
    { requiredKeys: ['asPath'] },
  ),
  hop: fc.integer({ min: 0, max: 1 }),
});

const turnStep: fc.Arbitrary<Step> = fc.record({
  kind: tag('turn'),
  decide: fc.integer({ min: 1, max: 6 }),
  flush: fc.integer({ min: 1, max: 4 }),
});

const otherStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: tag('withdraw'), peer: anyPeer, prefix: anyPrefix }),
  fc.record({ kind: tag('withdraw'), peer: anyPeer, prefix: anyPrefix }),
  fc.record({ kind: tag('drop'), peer: anyPeer }),
  fc.record({ kind: tag('join'), peer: anyPeer }),
  fc.record({ kind: tag('join'), peer: anyPeer }),
  fc.record({ kind: tag('leave'), peer: anyPeer }),
  fc.record({ kind: tag('refresh'), peer: anyPeer }),
  fc.record({ kind: tag('flow'), peer: anyPeer, flow: fc.constantFrom('open', 'wait', 'split') }),
  fc.record({ kind: tag('policy'), choice: fc.integer({ min: 0, max: 4 }) }),
  fc.record({ kind: tag('awaitFib'), prefix: anyPrefix, awaits: fc.boolean() }),
) as fc.Arbitrary<Step>;

const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: announceStep },
    { weight: 4, arbitrary: turnStep },
    { weight: 5, arbitrary: otherStep },
  ),
  { maxLength: 80, size: 'max' },
);

const policies: (RouteFilter | undefined)[] = [
  undefined,
  filterOf((_query, verdict) => {
    verdict.nextHopId = NEXT_HOP_KEEP;
  }),
  filterOf(
    (query, verdict) => {
      verdict.accept = ((query.a >>> 8) & 1) === 0 && (query.b & 1) === 0;
    },
    { readsPrefix: true },
  ),
  filterOf(
    (query, verdict) => {
      verdict.accept = query.peer % 2 === 0;
    },
    { readsPeer: true },
  ),
  filterOf((_query, verdict) => {
    verdict.attrsChanged = true;
    verdict.attrs.copy(attributeBytes({ asPath: [5], communities: [9] }));
  }),
];

const variants: [string, Partial<ExportOptions>, 'external' | 'internal', number][] = [
  ['external', {}, 'external', IPV4],
  ['external, RFC 8950', { nextHopLength: 32 }, 'external', IPV4],
  ['reflected clients', { kind: 'internal', rrClients: true }, 'internal', IPV4],
  ['internal', { kind: 'internal', nextHopSelf: 'external' }, 'internal', IPV4],
  ['external IPv6', { nextHopLength: 16 }, 'external', IPV6],
];

/** Plays the steps; returns the network, settled, and who is a member. */
function play(
  list: readonly Step[],
  options: Partial<ExportOptions>,
  kind: 'external' | 'internal',
  family: number,
) {
  const net = network(options, undefined, family);
  // Two peers of the other kind are sources only; members may be any of the five.
  const peers = [1, 2, 3, 4, 5].map((n) =>
    net.peer(n > 3 ? 'external' : kind, n, kind === 'internal' && options.rrClients === true && n < 3),
  );
  const hops = [net.hop(1), net.hop(2)];
  const members = new Map<number, { member: number; apart: boolean }>();
  const idOf = (prefix: number): number =>
    family === IPV4
      ? net.rib.find(P + 256 * prefix, 0, 0, 0, 24)
      : net.rib.find(0x2001_0db8, P + 256 * prefix, 0, 0, 64);
  const awaiting = new Set<number>();
  const acknowledge = (prefix: number): void => {
    if (!awaiting.delete(prefix)) return;
    const id = idOf(prefix);
    net.rib.setAwaitsFib(id, false);
    net.group.enqueue(id);
    net.rib.unhold(id);
  };
  for (const s of list) {
    if (s.kind === 'announce') net.say(peers[s.peer]!, P + 256 * s.prefix, s.attributes, hops[s.hop]!);
    else if (s.kind === 'withdraw') {
      if (family === IPV4) net.rib.withdrawOne(peers[s.peer]!, P + 256 * s.prefix, 0, 0, 0, 24, 0);
      else net.rib.withdrawOne(peers[s.peer]!, 0x2001_0db8, P + 256 * s.prefix, 0, 0, 64, 0);
    } else if (s.kind === 'drop') {
      net.rib.dropPeer(peers[s.peer]!);
      net.rib.work(3);
    } else if (s.kind === 'policy') {
      net.group.setFilter(policies[s.choice]);
    } else if (s.kind === 'awaitFib') {
      const id = idOf(s.prefix);
      if (!s.awaits) acknowledge(s.prefix);
      else if (id >= 0 && !awaiting.has(s.prefix)) {
        awaiting.add(s.prefix);
        net.rib.setAwaitsFib(id, true);
        net.rib.hold(id);
      }
    } else if (s.kind === 'turn') {
      net.rib.work(s.decide);
      net.decide(s.decide);
      net.group.flush(s.flush);
    } else {
      const entry = members.get(s.peer);
      if (s.kind === 'join' && entry === undefined)
        members.set(s.peer, { member: net.join(peers[s.peer]!), apart: net.rib.table.size > 0 });
      else if (entry === undefined) continue;
      else if (s.kind === 'leave') {
        net.leave(entry.member);
        members.delete(s.peer);
      } else if (s.kind === 'refresh') net.group.refresh(entry.member);
      else if (s.kind === 'flow') net.group.setFlow(entry.member, s.flow);
      if (s.kind !== 'join' && entry !== undefined) entry.apart = true;
    }
  }
  for (const { member } of members.values()) net.group.setFlow(member, 'open');
  for (const prefix of [...awaiting]) acknowledge(prefix);
  net.settle();
  return { net, peers, hops, members };
}

test.each(variants)(
  'property (%s): members hold the adj-rib-out, which is a from-scratch export',
  (...variant) => {
    const [, options, kind, family] = variant;
    fc.assert(
      fc.property(steps, (list) => {
        const { net, peers, hops, members } = play(list, options, kind, family);
        expect(verifyRib(net.rib)).toEqual([]);
        expect(verifyGroup(net.group)).toEqual([]);
        for (const [peer, { member, apart }] of members) {
          const receiver = net.receivers[member]!;
          expect(receiver.routes).toEqual(net.adjRibOut(member, peers[peer]!));
          if (!apart) expect(receiver.superfluous).toBe(0);
          expect(receiver.dumped).toBeGreaterThan(0);
        }
        for (const peer of peers) net.rib.dropPeer(peer);
        net.settle();
        for (const { member } of members.values()) {
          expect(net.receivers[member]!.routes.size).toBe(0);
          net.leave(member);
        }
        while (net.group.flush(1));
        expect(net.group.isEmpty).toBe(true);
        net.rib.work(1);
        expect([net.pool.size, net.rib.table.size, net.rib.sets.size]).toEqual([0, 0, 0]);
        expect(hops.map((hop) => net.nextHops.refs[hop])).toEqual([1, 1]);
      }),
      { numRuns: 300 },
    );
  },
);
