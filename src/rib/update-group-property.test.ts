import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { ExportOptions } from './export-stage.ts';
import type { PeerKind } from './peer-table.ts';
import { NEXT_HOP_KEEP, type RouteFilter } from './route-filter.ts';
import { attributeBytes, fresh, type SampleAttributes, settled } from './sample-attributes.test-data.ts';
import { filterOf, network, P } from './sample-network.test-data.ts';
import { verifyGroup, verifyRib } from './verify.ts';

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
      largeCommunities: fc.constantFrom([settled(1)], [fresh(2)]),
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

const variants: [string, Partial<ExportOptions>, PeerKind, number][] = [
  ['external', {}, 'external', IPV4],
  ['external, RFC 8950', { nextHopLength: 32 }, 'external', IPV4],
  ['reflected clients', { kind: 'internal', rrClients: true }, 'internal', IPV4],
  ['internal', { kind: 'internal', nextHopSelf: 'external' }, 'internal', IPV4],
  ['external IPv6', { nextHopLength: 16 }, 'external', IPV6],
  ['all paths', { addPath: { max: 0 } }, 'external', IPV4],
  ['the best two paths, IPv6', { addPath: { max: 2 }, nextHopLength: 16 }, 'external', IPV6],
  ['all paths to clients', { kind: 'internal', rrClients: true, addPath: { max: 3 } }, 'internal', IPV4],
  ['best external', { kind: 'internal', bestExternal: true }, 'internal', IPV4],
  ['confederation', { kind: 'confederation', nextHopSelf: 'all' }, 'confederation', IPV4],
];

/** Plays the steps; returns the network, settled, and who is a member. */
function play(list: readonly Step[], options: Partial<ExportOptions>, kind: PeerKind, family: number) {
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
