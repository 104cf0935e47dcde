import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Rng } from '../lib/rng.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { AttributePool } from './attribute-pool.ts';
import { CHANGE_BEST, CHANGE_FORWARDING } from './changes.ts';
import { LOCAL_SET, NO_SET } from './next-hop-sets.ts';
import { NextHopTable } from './next-hop-table.ts';
import { PeerTable } from './peer-table.ts';
import { reasonNames } from './reason.ts';
import { Rib } from './rib.ts';
import type { RouteFilter } from './route-filter.ts';
import { attributeBytes, fresh, type SampleAttributes, settled } from './sample-attributes.test-data.ts';
import { verifyRib } from './verify.ts';

const LOCAL_AS = 65000;

function fabric(options: ConstructorParameters<typeof Rib>[4] = {}, family = IPV4) {
  const pool = new AttributePool({ asn: LOCAL_AS, routerId: 0x0a00_0001, clusterId: 0x0a00_0001 });
  const nextHops = new NextHopTable();
  const peers = new PeerTable();
  const rib = new Rib(family, pool, nextHops, peers, options);
  const hop = (last: number, reachable = true, metric = 0): number => {
    const id = nextHops.intern(new Uint8Array([10, 0, 0, last]), 0, 4, 0);
    if (nextHops.setState(id, reachable, metric)) rib.nextHopChanged(id);
    return id;
  };
  const peer = (kind: 'external' | 'internal', n: number, bgpId = n): number =>
    peers.add({
      kind,
      asn: kind === 'internal' ? LOCAL_AS : 65100 + n,
      bgpId,
      address: new Uint8Array([10, 9, 0, n]),
      acceptAsSet: true,
      moves: n !== 5,
    });
  const say = (
    from: number,
    prefix: number,
    attributes: SampleAttributes,
    hopId: number,
    pathId = 0,
  ): void => {
    const bytes = attributeBytes(attributes);
    const attrId = pool.intern(bytes, 0, bytes.length);
    rib.announceOne(from, prefix, 0, 0, 0, 24, pathId, attrId, hopId);
    pool.release(attrId);
  };
  const settle = (): void => {
    while (rib.work(3));
    while (rib.decide(2));
  };
  return { rib, pool, nextHops, peers, hop, peer, say, settle };
}

/** The name of the reason of each path, by peer. */
function reasons(rib: Rib, prefix: number): Record<number, string> {
  const id = rib.find(prefix, 0, 0, 0, 24);
  const entries = rib.explain(id).map(({ path, reason }) => [rib.paths.peer[path]!, reasonNames[reason]!]);
  return Object.fromEntries(entries) as Record<number, string>;
}

const P = 0x0a01_0100;

/** One row a step of the decision: the second path loses to the first for exactly that reason. */
const steps: [string, SampleAttributes, SampleAttributes, string][] = [
  [
    'move sequence',
    { largeCommunities: [settled(2)], asPath: [1] },
    { localPref: 300, asPath: [1] },
    'moveSequence',
  ],
  [
    'the higher of both forms',
    { largeCommunities: [settled(1), fresh(5), [1, 2, 9]], asPath: [1] },
    { largeCommunities: [settled(4)], localPref: 300, asPath: [1] },
    'moveSequence',
  ],
  [
    '0 is none',
    { largeCommunities: [settled(0)], localPref: 101, asPath: [1] },
    { asPath: [1] },
    'localPref',
  ],
  ['LOCAL_PREF', { localPref: 200, asPath: [1, 2, 3] }, { asPath: [1] }, 'localPref'],
  ['AS_PATH length', { asPath: [1, 2], origin: 2 }, { asPath: [1, 2, 3] }, 'asPathLength'],
  ['a set counts one', { asPath: [1, [7, 8, 9]] }, { asPath: [1, 2, 3] }, 'asPathLength'],
  ['ORIGIN', { asPath: [1], origin: 0, med: 9 }, { asPath: [1], origin: 1 }, 'origin'],
  ['MED of one neighbour AS', { asPath: [1, 5], med: 3 }, { asPath: [1, 6], med: 4 }, 'med'],
  ['no MED is 0', { asPath: [1, 5] }, { asPath: [1, 6], med: 4 }, 'med'],
  ['MED of two ASes is not compared', { asPath: [1], med: 9 }, { asPath: [2], med: 4 }, 'routerId'],
];

test.each(steps)('the decision: %s', (_name, better, worse, expected) => {
  const { rib, hop, peer, say, settle } = fabric({ multipath: 1 });
  const a = peer('external', 1);
  const b = peer('external', 2);
  say(b, P, worse, hop(2));
  say(a, P, better, hop(1));
  settle();
  expect(reasons(rib, P)).toEqual({ [a]: 'best', [b]: expected });
  expect(verifyRib(rib)).toEqual([]);
});

test('external beats internal, then the nearer next hop, then the lower identifier', () => {
  const { rib, hop, peer, say, settle } = fabric({ multipath: 1 });
  const near = peer('internal', 3);
  const far = peer('internal', 1);
  const outside = peer('external', 9);
  say(far, P, { asPath: [1] }, hop(1, true, 20));
  say(near, P, { asPath: [1] }, hop(3, true, 10));
  settle();
  expect(reasons(rib, P)).toEqual({ [near]: 'best', [far]: 'igpMetric' });
  say(outside, P, { asPath: [1] }, hop(9, true, 50));
  settle();
  expect(reasons(rib, P)).toEqual({
    [outside]: 'best',
    [near]: 'externalOverInternal',
    [far]: 'externalOverInternal',
  });
});

test('ORIGINATOR_ID stands for the identifier, then the shorter CLUSTER_LIST wins (RFC 4456 9)', () => {
  const { rib, hop, peer, say, settle } = fabric({ multipath: 1 });
  const a = peer('internal', 1, 100);
  const b = peer('internal', 2, 50);
  say(a, P, { asPath: [1], originatorId: 7, clusterList: [1] }, hop(1));
  say(b, P, { asPath: [1], originatorId: 7, clusterList: [2, 3] }, hop(2));
  settle();
  expect(reasons(rib, P)).toEqual({ [a]: 'best', [b]: 'clusterListLength' });
});

test('two links to one neighbour: the address and then the scope decide', () => {
  const { rib, peers, hop, say, settle } = fabric({ multipath: 1 });
  const address = new Uint8Array(16);
  address[0] = 0xfe;
  address[1] = 0x80;
  const second = peers.add({ kind: 'external', asn: 1, bgpId: 5, address, scope: 8 });
  const first = peers.add({ kind: 'external', asn: 1, bgpId: 5, address, scope: 3 });
  say(second, P, { asPath: [1] }, hop(1));
  say(first, P, { asPath: [1] }, hop(2));
  settle();
  expect(reasons(rib, P)).toEqual({ [first]: 'best', [second]: 'peerAddress' });
});

test('multipath shares the load among paths that are equal through the metric', () => {
  const { rib, hop, peer, say, settle } = fabric({ multipath: 3 });
  const hops = [5, 2, 4, 3, 1].map((last) => hop(last));
  const others = hops.map((_, i) => peer('external', i + 1));
  hops.forEach((id, i) => {
    say(others[i]!, P, { asPath: [1, 2] }, id);
  });
  settle();
  const set = rib.prefixes.nextHopSetId[rib.find(P, 0, 0, 0, 24)]!;
  // The three lowest identifiers, whatever came first.
  expect([...rib.sets.members(set)]).toEqual([hops[0], hops[1], hops[2]].sort());
  expect(Object.values(reasons(rib, P))).toEqual(
    expect.arrayContaining(['best', 'multipath', 'multipath', 'routerId', 'routerId']),
  );
  say(others[1]!, P, { asPath: [1, 3] }, hops[1]!);
  settle();
  expect(reasons(rib, P)[others[1]!]).toBe('routerId');
  rib.setOptions({ multipathRelax: true });
  settle();
  expect(reasons(rib, P)[others[1]!]).toBe('multipath');
  expect(verifyRib(rib)).toEqual([]);
});

test('a path whose next hop is unreachable takes no part until it is reachable', () => {
  const { rib, nextHops, hop, peer, say, settle } = fabric();
  const a = peer('external', 1);
  const down = hop(1, false);
  say(a, P, { asPath: [1] }, down);
  settle();
  expect(reasons(rib, P)).toEqual({ [a]: 'nextHopUnreachable' });
  expect(rib.routeCount).toBe(0);
  nextHops.setState(down, true, 0);
  rib.nextHopChanged(down);
  while (rib.work(1));
  rib.decide(10);
  expect(reasons(rib, P)).toEqual({ [a]: 'best' });
  expect([rib.changes.count, rib.changes.flags[0]]).toEqual([1, CHANGE_BEST | CHANGE_FORWARDING]);
});

test('loops are rejected with their reasons and kept', () => {
  const { rib, hop, peer, say, settle } = fabric();
  const outside = peer('external', 1);
  const inside = peer('internal', 2);
  const again = peer('internal', 3);
  say(outside, P, { asPath: [1, LOCAL_AS, 2] }, hop(1));
  say(inside, P, { asPath: [1], originatorId: 0x0a00_0001 }, hop(1));
  say(again, P, { asPath: [1], originatorId: 9, clusterList: [4, 0x0a00_0001] }, hop(1));
  settle();
  expect(reasons(rib, P)).toEqual({
    [outside]: 'asLoop',
    [inside]: 'originatorLoop',
    [again]: 'clusterLoop',
  });
  expect([rib.perPeer.received[outside], rib.perPeer.accepted[outside]]).toEqual([1, 0]);
});

test('a route of our own wins by weight and is forwarded to this router', () => {
  const { rib, hop, peer, say, settle } = fabric();
  const a = peer('external', 1);
  say(a, P, { asPath: [1], localPref: 500 }, hop(1));
  say(0, P, {}, 0);
  settle();
  expect(reasons(rib, P)).toEqual({ 0: 'best', [a]: 'weight' });
  const id = rib.find(P, 0, 0, 0, 24);
  expect(rib.prefixes.nextHopSetId[id]).toBe(LOCAL_SET);
  rib.withdrawOne(0, P, 0, 0, 0, 24, 0);
  rib.withdrawOne(a, P, 0, 0, 0, 24, 0);
  settle();
  expect(rib.prefixes.nextHopSetId[id]).toBe(NO_SET);
});

test('graceful restart: stale paths stay in use, announced ones stay, the rest is swept', () => {
  const { rib, pool, hop, peer, say, settle } = fabric();
  const a = peer('external', 1);
  const h = hop(1);
  for (let i = 0; i < 10; i++) say(a, P + 256 * i, { asPath: [1] }, h);
  settle();
  rib.markStale(a);
  settle();
  expect(rib.routeCount).toBe(10);
  expect(rib.isStale(rib.prefixes.bestPath[rib.find(P, 0, 0, 0, 24)]!)).toBe(true);
  for (let i = 0; i < 4; i++) say(a, P + 256 * i, { asPath: [1] }, h);
  expect([rib.perPeer.received[a], rib.perPeer.retained[a]]).toEqual([4, 6]);
  rib.decide(100);
  expect(rib.changes.count).toBe(0);
  rib.sweepStale(a);
  settle();
  expect(rib.routeCount).toBe(4);
  // A second restart before End-of-RIB: what was stale already goes at once.
  rib.markStale(a);
  say(a, P, { asPath: [1] }, h);
  rib.markStale(a);
  settle();
  expect(rib.routeCount).toBe(1);
  rib.dropPeer(a);
  say(a, P, { asPath: [2] }, h);
  settle();
  expect(rib.routeCount).toBe(1);
  rib.dropPeer(a);
  settle();
  rib.decide(1);
  expect(rib.prefixes.count).toBe(0);
  expect(rib.work(1)).toBe(false);
  expect([rib.routeCount, rib.paths.size, rib.table.size, pool.size]).toEqual([0, 0, 0, 0]);
});

test('a path that comes back before its slice of the clean-up counts again', () => {
  const { rib, hop, peer, say, settle } = fabric();
  const a = peer('external', 1);
  const b = peer('external', 2);
  const h = hop(1);
  say(a, P, { asPath: [1] }, h);
  settle();
  rib.dropPeer(a);
  say(b, P, { asPath: [1, 2] }, h);
  rib.decide(10);
  expect(reasons(rib, P)).toEqual({ [a]: 'gone', [b]: 'best' });
  say(a, P, { asPath: [1] }, h);
  settle();
  expect(reasons(rib, P)).toEqual({ [a]: 'best', [b]: 'asPathLength' });
  expect(verifyRib(rib)).toEqual([]);
});

test('idle prefixes are forgotten in slices once they are many, and found again until then', () => {
  const { rib, hop, peer, say, settle } = fabric();
  const a = peer('external', 1);
  const h = hop(1);
  for (let i = 0; i < 10_000; i++) say(a, P + 256 * i, { asPath: [1] }, h);
  settle();
  const kept = rib.find(P, 0, 0, 0, 24);
  for (let i = 1; i < 6000; i++) rib.withdrawOne(a, P + 256 * i, 0, 0, 0, 24, 0);
  while (rib.decide(1000));
  rib.decide(0);
  expect([rib.prefixes.count, rib.table.size, rib.hasWork]).toEqual([4001, 10_000, true]);
  expect([rib.find(P + 256, 0, 0, 0, 24), rib.nextPrefix(1)]).toEqual([-1, 6000]);
  say(a, P + 256, { asPath: [1] }, h);
  rib.decide(10);
  expect([rib.prefixes.count, rib.find(P + 256, 0, 0, 0, 24)]).toEqual([4002, 1]);
  while (rib.work(100));
  expect([rib.prefixes.count, rib.table.size]).toEqual([4002, 4002 + 4096]);
  expect(rib.find(P, 0, 0, 0, 24)).toBe(kept);
  for (let i = 0; i < 10_000; i++) say(a, P + 256 * i, { asPath: [1] }, h);
  settle();
  expect([rib.prefixes.count, rib.table.size]).toEqual([10_000, 10_000]);
  expect(verifyRib(rib)).toEqual([]);
});

test('changes tell the sets before and after', () => {
  const { rib, hop, peer, say } = fabric({ multipathRelax: true });
  const a = peer('external', 1);
  const b = peer('external', 2);
  say(a, P, { asPath: [1] }, hop(1));
  rib.decide(10);
  const first = rib.changes.newSetIds[0]!;
  expect([rib.changes.oldSetIds[0], ...rib.sets.members(first)]).toEqual([NO_SET, hop(1)]);
  say(b, P, { asPath: [2] }, hop(2));
  rib.decide(10);
  expect(rib.changes.flags[0]).toBe(CHANGE_FORWARDING);
  expect(rib.changes.oldSetIds[0]).toBe(first);
  expect([...rib.sets.members(first)]).toEqual([hop(1)]);
  expect([...rib.sets.members(rib.changes.newSetIds[0]!)]).toEqual([hop(1), hop(2)]);
  rib.decide(10);
  expect(rib.sets.size).toBe(1);
});

test('the longest prefix that contains an address', () => {
  const { rib, pool, nextHops, peer } = fabric({}, IPV6);
  const a = peer('external', 1);
  const bytes = attributeBytes({ asPath: [1] });
  const attrId = pool.intern(bytes, 0, bytes.length);
  const hopId = nextHops.intern(new Uint8Array(16), 0, 16, 0);
  nextHops.setState(hopId, true, 0);
  rib.announceOne(a, 0, 0, 0, 0, 0, 0, attrId, hopId);
  rib.announceOne(a, 0x2001_0db8, 0, 0, 0, 32, 0, attrId, hopId);
  rib.announceOne(a, 0x2001_0db8, 0x8000_0000, 0, 0, 33, 0, attrId, hopId);
  rib.decide(10);
  const lengthOf = (...address: [number, number, number, number]): number =>
    rib.table.length[rib.lookup(...address)]!;
  expect(lengthOf(0x2001_0db8, 0x7fff_0000, 0, 1)).toBe(32);
  expect(lengthOf(0x2001_0db8, 0x8000_0000, 0, 1)).toBe(33);
  expect(lengthOf(0x2a00_0000, 0, 0, 1)).toBe(0);
});

test('prefixes nobody can route to are kept and refused', () => {
  const { rib, hop, peer, say, settle } = fabric();
  const a = peer('external', 1);
  const section = new Uint8Array([24, 127, 0, 0, 8, 224, 16, 10, 1]);
  const bytes = attributeBytes({ asPath: [1] });
  const attrId = rib.pool.intern(bytes, 0, bytes.length);
  rib.announce(a, section, 0, section.length, false, attrId, hop(1));
  rib.pool.release(attrId);
  settle();
  expect([rib.perPeer.received[a], rib.perPeer.accepted[a], rib.routeCount]).toEqual([3, 1, 1]);
  say(a, 0x7f00_0000, { asPath: [1] }, hop(1));
  expect(verifyRib(rib)).toEqual([]);
});

// ---- properties ----

interface Announcement {
  peer: number;
  prefix: number;
  pathId: number;
  attributes: SampleAttributes;
  hop: number;
}

const sampleAttributes: fc.Arbitrary<SampleAttributes> = fc.record(
  {
    asPath: fc.array(fc.constantFrom(1, 1, 2, 2, 3, LOCAL_AS), { minLength: 1, maxLength: 3 }),
    origin: fc.integer({ min: 0, max: 1 }),
    med: fc.integer({ min: 0, max: 2 }),
    localPref: fc.constantFrom(100, 101),
    originatorId: fc.integer({ min: 1, max: 3 }),
    clusterList: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 2 }),
    communities: fc.constantFrom([1], [2]),
    largeCommunities: fc.constantFrom([settled(1)], [fresh(1)], [fresh(2)], [settled(2), fresh(1)]),
  },
  { requiredKeys: ['asPath'] },
);

const announcement: fc.Arbitrary<Announcement> = fc.record({
  peer: fc.integer({ min: 0, max: 5 }),
  prefix: fc.integer({ min: 0, max: 3 }),
  pathId: fc.integer({ min: 0, max: 1 }),
  attributes: sampleAttributes,
  hop: fc.integer({ min: 0, max: 3 }),
});

/** Six peers (three external, three internal) and four next hops, one of them unreachable and two as near. */
function arena(multipath: number, relax: boolean, always: boolean) {
  const made = fabric({ multipath, multipathRelax: relax, alwaysCompareMed: always });
  const others = [1, 2, 3, 4, 5, 6].map((n) =>
    made.peer(n % 2 === 0 ? 'external' : 'internal', n, 1 + (n % 3)),
  );
  const hops = [made.hop(1, true, 5), made.hop(2, true, 5), made.hop(3, true, 1), made.hop(4, false)];
  return { ...made, others, hops };
}

test('property: the order of arrival changes neither the best path nor the next hops', () => {
  const key = (a: Announcement): string => `${a.peer}/${a.prefix}/${a.pathId}`;
  fc.assert(
    fc.property(
      fc.uniqueArray(announcement, { selector: key, maxLength: 24, size: 'max' }),
      fc.integer(),
      fc.integer({ min: 1, max: 4 }),
      fc.boolean(),
      fc.boolean(),
      (announcements, seed, multipath, relax, always) => {
        const result = (list: Announcement[]): unknown => {
          const { rib, say, others, hops, settle } = arena(multipath, relax, always);
          for (const a of list)
            say(others[a.peer]!, P + 256 * a.prefix, a.attributes, hops[a.hop]!, a.pathId);
          settle();
          expect(verifyRib(rib)).toEqual([]);
          return [0, 1, 2, 3].map((prefix) => {
            const id = rib.find(P + 256 * prefix, 0, 0, 0, 24);
            if (id < 0) return undefined;
            const best = rib.prefixes.bestPath[id]!;
            const set = [...rib.sets.members(rib.prefixes.nextHopSetId[id]!)];
            return [best === 0 ? -1 : rib.paths.peer[best], rib.paths.pathIdOf(best), set];
          });
        };
        const rng = new Rng(seed);
        const shuffled = [...announcements];
        for (let i = shuffled.length - 1; i > 0; i--) {
          const j = rng.below(i + 1);
          [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
        }
        expect(result(shuffled)).toEqual(result(announcements));
      },
    ),
    { numRuns: 300 },
  );
});

type Step =
  | ({ kind: 'announce' } & Announcement)
  | { kind: 'withdraw'; peer: number; prefix: number; pathId: number }
  | { kind: 'drop' | 'stale' | 'longLived' | 'sweep' | 'reimport' | 'limit'; peer: number; choice: number }
  | { kind: 'hop'; hop: number; reachable: boolean; metric: number }
  | { kind: 'work'; budget: number }
  | { kind: 'decide'; budget: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: announcement.map((a) => ({ kind: 'announce' as const, ...a })) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('withdraw' as const),
      peer: fc.integer({ min: 0, max: 5 }),
      prefix: fc.integer({ min: 0, max: 3 }),
      pathId: fc.integer({ min: 0, max: 1 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom(...(['drop', 'stale', 'longLived', 'sweep', 'reimport', 'limit'] as const)),
      peer: fc.integer({ min: 0, max: 5 }),
      choice: fc.integer({ min: 0, max: 3 }),
    }),
  },
  fc.record({
    kind: fc.constant('hop' as const),
    hop: fc.integer({ min: 0, max: 3 }),
    reachable: fc.boolean(),
    metric: fc.integer({ min: 0, max: 2 }),
  }),
  fc.record({ kind: fc.constant('work' as const), budget: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constant('decide' as const), budget: fc.integer({ min: 1, max: 4 }) }),
);

/** Filters of every sort: by prefix, by attributes with changes, setting the next hop, refusing all. */
function filters(hop: number): (RouteFilter | undefined)[] {
  const reads = { readsPrefix: false, readsNextHop: false, readsPeer: false };
  return [
    undefined,
    {
      ...reads,
      readsPrefix: true,
      evaluate(query, verdict) {
        verdict.accept = (query.a & 0x100) === 0;
        verdict.weight = 7;
      },
    },
    {
      ...reads,
      evaluate(_query, verdict) {
        const bytes = attributeBytes({ asPath: [9], localPref: 150 });
        verdict.attrsChanged = true;
        verdict.attrs.copy(bytes);
        verdict.nextHopId = hop;
      },
    },
    {
      ...reads,
      readsNextHop: true,
      evaluate(query, verdict) {
        verdict.accept = query.nextHopId !== hop;
      },
    },
  ];
}

function isOverLimit({ perPeer }: Rib, peer: number): boolean {
  const limit = perPeer.limit[peer] ?? 0;
  return limit > 0 && perPeer.accepted[peer]! > limit;
}

test('property: after anything that happens, the state equals a full recompute and nothing leaks', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.integer({ min: 1, max: 3 }),
      (happenings, multipath) => {
        const { rib, pool, nextHops, others, hops, say, settle } = arena(multipath, false, false);
        const choices = filters(hops[1]!);
        // What a plain speaker would hold: the last announcement by peer, prefix and path id.
        const model = new Map<string, { peer: number; attributes: SampleAttributes; stale: boolean }>();
        for (const s of happenings) {
          if (s.kind === 'announce') {
            say(others[s.peer]!, P + 256 * s.prefix, s.attributes, hops[s.hop]!, s.pathId);
            const key = `${s.peer}/${s.prefix}/${s.pathId}`;
            model.set(key, { peer: s.peer, attributes: s.attributes, stale: false });
          } else if (s.kind === 'withdraw') {
            rib.withdrawOne(others[s.peer]!, P + 256 * s.prefix, 0, 0, 0, 24, s.pathId);
            model.delete(`${s.peer}/${s.prefix}/${s.pathId}`);
          } else if (s.kind === 'hop') {
            if (nextHops.setState(hops[s.hop]!, s.reachable, s.metric)) rib.nextHopChanged(hops[s.hop]!);
          } else if (s.kind === 'work') rib.work(s.budget);
          else if (s.kind === 'decide') rib.decide(s.budget);
          else if (s.kind === 'reimport') rib.setImport(others[s.peer]!, choices[s.choice]);
          else if (s.kind === 'limit') rib.setLimit(others[s.peer]!, s.choice);
          else if (s.kind === 'longLived') rib.makeLongLived(others[s.peer]!);
          else {
            if (s.kind === 'drop') rib.dropPeer(others[s.peer]!);
            else if (s.kind === 'stale') rib.markStale(others[s.peer]!);
            else rib.sweepStale(others[s.peer]!);
            for (const [key, entry] of model) {
              if (entry.peer !== s.peer) continue;
              if (s.kind === 'drop' || entry.stale) model.delete(key);
              else if (s.kind === 'stale') entry.stale = true;
            }
          }
          expect(verifyRib(rib)).toEqual([]);
        }
        settle();
        expect(verifyRib(rib)).toEqual([]);
        expect(rib.paths.size).toBe(model.size);
        for (const [key, entry] of model) {
          const [, prefix, pathId] = key.split('/').map(Number);
          const found = rib
            .explain(rib.find(P + 256 * prefix!, 0, 0, 0, 24))
            .find(
              ({ path }) =>
                rib.paths.peer[path] === others[entry.peer] && rib.paths.pathIdOf(path) === pathId,
            );
          expect(pool.copyOf(rib.paths.attrIdIn[found!.path]!)).toEqual(attributeBytes(entry.attributes));
          expect(rib.isStale(found!.path)).toBe(entry.stale);
        }
        expect(others.filter((peer) => isOverLimit(rib, peer))).toEqual([]);
        for (const peer of others) rib.dropPeer(peer);
        settle();
        rib.decide(1);
        rib.work(1);
        expect([pool.size, rib.table.size, rib.paths.size, rib.sets.size]).toEqual([0, 0, 0, 0]);
        expect(hops.map((hop) => nextHops.refs[hop])).toEqual([1, 1, 1, 1]);
      },
    ),
    { numRuns: 400 },
  );
});
