import { expect, test } from 'vitest';
import { BLACKHOLE_SET, FIRST_SET } from './next-hop-sets.ts';
import { NEXT_HOP_DISCARD } from './next-hop-table.ts';
import { reasonNames } from './reason.ts';
import { attributeBytes, fresh, type SampleAttributes, settled } from './sample-attributes.test-data.ts';
import { filterOf, LOCAL_AS, type Network, network, P } from './sample-network.test-data.ts';
import { verifyRib } from './verify.ts';

const GRACEFUL_SHUTDOWN = 0xffff_0000;
const hex = (sample: SampleAttributes): string => Buffer.from(attributeBytes(sample)).toString('hex');

/** Reason and attributes of the path of a peer, after everything has settled. */
function verdict(net: Network, from: number, attributes: SampleAttributes): [string, string] {
  const id = net.say(from, P, attributes, net.hop(1));
  net.settle();
  expect(verifyRib(net.rib)).toEqual([]);
  const found = net.rib.explain(id).find(({ path }) => net.rib.paths.peer[path] === from)!;
  const attrId = net.rib.paths.attrId[found.path]!;
  return [
    reasonNames[found.reason]!,
    attrId === 0 ? '' : Buffer.from(net.pool.copyOf(attrId)).toString('hex'),
  ];
}

const hasLocalPref = (value: string) => expect.stringContaining(`400504${value}`);

test('RFC 9774: a path with an AS_SET or AS_CONFED_SET is refused, unless the peer may send such', () => {
  const net = network();
  const strict = net.peer('external', 1, false, { acceptAsSet: false });
  const lax = net.peer('external', 2);
  const path = { asPath: [7, [8, 9]] };
  expect(verdict(net, strict, path)[0]).toBe('asSet');
  expect(verdict(net, lax, path)[0]).toBe('best');
  net.peers.update(strict, {
    kind: 'external',
    asn: 65101,
    bgpId: 1,
    address: new Uint8Array([10, 9, 0, 1]),
    acceptAsSet: true,
  });
  net.rib.peerChanged(strict);
  net.settle();
  expect(net.rib.explain(0).map(({ reason }) => reasonNames[reason])).not.toContain('asSet');
});

test('RFC 5065 4: the member AS in a confederation segment is a loop, the identifier anywhere else', () => {
  const net = network({}, undefined, undefined, { confederationId: 100 });
  const member = net.peer('confederation', 1);
  const outside = net.peer('external', 2);
  expect(verdict(net, member, { asPath: [{ confed: [65101, LOCAL_AS] }] })[0]).toBe('confederationLoop');
  expect(verdict(net, member, { asPath: [{ confed: [65101, 65102] }, 7] })[0]).toBe('best');
  expect(verdict(net, outside, { asPath: [65102, 100] })[0]).toBe('asLoop');
  // Our member AS is nobody's business outside: somebody else may have the number there.
  expect(verdict(net, outside, { asPath: [65102, LOCAL_AS] })[0]).toBe('asPathLength');
});

const roleRows: [
  string,
  'provider' | 'rsServer' | 'rsClient' | 'customer' | 'peer',
  number | undefined,
  string,
][] = [
  ['a customer leaks', 'provider', 7, 'routeLeak'],
  ['a client of our route server leaks', 'rsServer', 7, 'routeLeak'],
  ['a peer passes on what another AS marked', 'peer', 7, 'routeLeak'],
  ['a peer marked it itself', 'peer', 65101, 'best'],
  ['a provider marked it', 'customer', 7, 'best'],
  ['a customer is clean', 'provider', undefined, 'best'],
];

test.each(roleRows)('RFC 9234 5, ingress: %s', (_name, role, otc, expected) => {
  const net = network();
  const from = net.peer('external', 1, false, { role });
  const attributes = { asPath: [65101], ...(otc !== undefined && { otc }) };
  expect(verdict(net, from, attributes)[0]).toBe(expected);
});

test('RFC 9234 5, ingress 3: from provider, peer and route server OTC is added where it is not', () => {
  const net = network();
  const mark = 'c02304';
  for (const [n, role] of (['customer', 'peer', 'rsClient'] as const).entries()) {
    const from = net.peer('external', n + 1, false, { role });
    expect(verdict(net, from, { asPath: [65101] })[1]).toContain(`${mark}0000fe4${(n + 13).toString(16)}`);
  }
  const customer = net.peer('external', 9, false, { role: 'provider' });
  expect(verdict(net, customer, { asPath: [65101] })[1]).not.toContain(mark);
});

test('a route that is too large for what policy and the rules make of it is refused, not kept without', () => {
  const net = network();
  const from = net.peer('external', 1, false, { role: 'customer', honoursGracefulShutdown: true });
  const full = (spared: number): SampleAttributes => ({
    asPath: [65101],
    communities: [GRACEFUL_SHUTDOWN, ...new Array<number>((65_484 - spared) / 4).fill(7)],
  });
  // As large as a message can carry it, with all that import adds.
  expect(verdict(net, from, full(0))[0]).toBe('best');
  const marking = filterOf((query, out) => {
    out.attrs.reset().copy(query.bytes, query.start, query.end).u8(0xc0).u8(99).u8(0);
    out.attrsChanged = true;
    out.accept = true;
  });
  net.rib.setImport(from, marking);
  net.settle();
  expect(verdict(net, from, full(0))[0]).toBe('policy');
  expect(verdict(net, from, full(100))[0]).toBe('best');
});

test('RFC 8326: LOCAL_PREF 0 for what a draining external peer sends, whatever policy says', () => {
  const net = network();
  const from = net.peer('external', 1, false, { honoursGracefulShutdown: true });
  const deaf = net.peer('external', 2);
  const drained = { asPath: [7], localPref: 500, communities: [GRACEFUL_SHUTDOWN] };
  expect(verdict(net, from, drained)).toEqual(['best', hasLocalPref('00000000')]);
  expect(verdict(net, deaf, drained)).toEqual(['best', hasLocalPref('000001f4')]);
  const inside = net.peer('internal', 3, false, { honoursGracefulShutdown: true });
  expect(verdict(net, inside, { ...drained, localPref: 600 })[1]).toEqual(hasLocalPref('00000258'));
});

test('local-as: prepended to what comes in unless no-prepend, and a loop where it is in the path already', () => {
  const net = network();
  const from = net.peer('external', 1, false, { localAs: 65099, localAsPrepends: true });
  const quiet = net.peer('external', 2, false, { localAs: 65099 });
  expect(verdict(net, from, { asPath: [65101] })[1]).toContain('40020a02020000fe4b0000fe4d');
  expect(verdict(net, quiet, { asPath: [65101] })[1]).toContain('40020602010000fe4d');
  expect(verdict(net, quiet, { asPath: [65101, 65099] })[0]).toBe('asLoop');
});

test('RFC 7999: a host route with BLACKHOLE is discarded here and kept within the AS', () => {
  const net = network();
  const trusted = net.peer('external', 1, false, { blackhole: true });
  const other = net.peer('external', 2);
  const say = (from: number, length: number): number => {
    const bytes = Buffer.from('4001010040020602010000fe4dc00804ffff029a', 'hex');
    const attrId = net.pool.intern(bytes, 0, bytes.length);
    const id = net.rib.announceOne(from, 0x0a01_0100, 0, 0, 0, length, 0, attrId, net.hop(1));
    net.pool.release(attrId);
    net.settle();
    expect(verifyRib(net.rib)).toEqual([]);
    return id;
  };
  const host = say(trusted, 32);
  expect(net.rib.prefixes.nextHopSetId[host]).toBe(BLACKHOLE_SET);
  const path = net.rib.prefixes.bestPath[host]!;
  expect(net.rib.paths.nextHopId[path]).toBe(NEXT_HOP_DISCARD);
  expect(net.rib.paths.receivedNextHop(path)).toBe(net.hop(1));
  expect(Buffer.from(net.pool.copyOf(net.rib.paths.attrId[path]!)).toString('hex')).toContain('ffffff01');
  expect(net.rib.prefixes.nextHopSetId[say(trusted, 24)]).toBeGreaterThanOrEqual(FIRST_SET);
  // From a peer that is not trusted with it the community means nothing.
  net.rib.dropPeer(trusted);
  expect(net.rib.prefixes.nextHopSetId[say(other, 32)]).toBeGreaterThanOrEqual(FIRST_SET);
});

test('a limit refuses surplus prefixes, and lets them in when there is room', () => {
  const net = network();
  const from = net.peer('external', 1);
  const other = net.peer('external', 2);
  net.rib.setLimit(from, 3);
  const hop = net.hop(1);
  const prefix = (n: number): number => P + 256 * n;
  const sayAll = (): void => {
    for (let n = 0; n < 6; n++) net.say(from, prefix(n), { asPath: [65101] }, hop);
    net.settle();
    expect(verifyRib(net.rib)).toEqual([]);
  };
  const reasons = (): string[] =>
    [0, 1, 2, 3, 4, 5].flatMap((n) => {
      const id = net.rib.find(prefix(n), 0, 0, 0, 24);
      return id < 0 ? [] : net.rib.explain(id).map(({ reason }) => reasonNames[reason]!);
    });
  sayAll();
  expect(reasons()).toEqual(['best', 'best', 'best', 'maxPrefix', 'maxPrefix', 'maxPrefix']);
  expect([net.rib.perPeer.received[from], net.rib.perPeer.accepted[from]]).toEqual([6, 3]);
  sayAll();
  expect(reasons().filter((reason) => reason === 'best').length).toBe(3);
  net.rib.withdrawOne(from, prefix(0), 0, 0, 0, 24, 0);
  net.settle();
  expect(reasons().toSorted()).toEqual(['best', 'best', 'best', 'maxPrefix', 'maxPrefix']);
  net.rib.setLimit(from, 1);
  net.settle();
  expect(reasons().filter((reason) => reason === 'best').length).toBe(1);
  net.rib.setLimit(from, 0);
  net.settle();
  expect(reasons()).toEqual(['best', 'best', 'best', 'best', 'best']);
  // One that is refused from now on makes room as well: told again with our AS in its path, or by another policy.
  net.rib.setLimit(from, 2);
  net.settle();
  expect(reasons().filter((reason) => reason === 'best').length).toBe(2);
  const used = [1, 2, 3, 4, 5].find((n) => reasons()[n - 1] === 'best')!;
  net.say(from, prefix(used), { asPath: [65101, LOCAL_AS] }, hop);
  net.settle();
  expect(reasons().filter((reason) => reason === 'best').length).toBe(2);
  const first = [1, 2, 3, 4, 5].find((n) => reasons()[n - 1] === 'best')!;
  net.rib.setImport(
    from,
    filterOf((query, answer) => void (answer.accept = query.a !== prefix(first)), { readsPrefix: true }),
  );
  net.settle();
  expect(reasons().filter((reason) => reason === 'best').length).toBe(2);
  expect(reasons()[first - 1]).toBe('policy');
  net.rib.setImport(from, undefined);
  net.rib.setLimit(from, 0);
  // What policy refuses does not count.
  net.rib.setLimit(other, 1);
  net.rib.setImport(
    other,
    filterOf((query, answer) => void (answer.accept = query.a === P), { readsPrefix: true }),
  );
  net.say(other, prefix(4), { asPath: [1] }, hop);
  net.say(other, P, { asPath: [1] }, hop);
  net.settle();
  expect(net.rib.perPeer.accepted[other]).toBe(1);
  expect(verifyRib(net.rib)).toEqual([]);
});

test('what a limit refused stays refused while it is stale', () => {
  const net = network();
  const from = net.peer('external', 1);
  net.rib.setLimit(from, 2);
  const prefixes = [P, P + 256, P + 512];
  for (const prefix of prefixes) net.say(from, prefix, { asPath: [65101] }, net.hop(1));
  net.settle();
  const routes = (): number => net.rib.routeCount;
  expect(routes()).toBe(2);
  net.rib.markStale(from);
  net.rib.makeLongLived(from);
  net.settle();
  expect(routes()).toBe(2);
  net.rib.setImport(
    from,
    filterOf(() => {}, { readsPrefix: true }),
  );
  net.settle();
  expect(routes()).toBe(2);
  for (const prefix of prefixes.toReversed()) net.say(from, prefix, { asPath: [65101] }, net.hop(1));
  net.rib.sweepStale(from);
  net.settle();
  expect([routes(), net.rib.perPeer.accepted[from]]).toEqual([2, 2]);
  net.rib.setLimit(from, 0);
  net.settle();
  expect(routes()).toBe(3);
  expect(verifyRib(net.rib)).toEqual([]);
});

test('room that a policy makes under a limit is also for a path that was looked at before', () => {
  const net = network();
  const from = net.peer('external', 1);
  net.rib.setLimit(from, 1);
  const hop = net.hop(1);
  const [a, b] = [P, P + 256];
  net.say(from, a, { asPath: [65101] }, hop);
  net.say(from, b, { asPath: [65101] }, hop);
  net.settle();
  net.rib.withdrawOne(from, a, 0, 0, 0, 24, 0);
  net.settle();
  net.say(from, a, { asPath: [65101] }, hop);
  net.settle();
  const reasonOf = (prefix: number): string => {
    const [only] = net.rib.explain(net.rib.find(prefix, 0, 0, 0, 24));
    return reasonNames[only!.reason]!;
  };
  expect([reasonOf(a), reasonOf(b)]).toEqual(['maxPrefix', 'best']);
  net.rib.setImport(
    from,
    filterOf((query, answer) => void (answer.accept = query.a !== b), { readsPrefix: true }),
  );
  net.settle();
  expect([reasonOf(a), reasonOf(b)]).toEqual(['best', 'policy']);
});

test('RFC 9494: long-lived stale paths lose to all others, carry LLGR_STALE; those with NO_LLGR are refused', () => {
  const net = network();
  const [gone, other] = [net.peer('external', 1), net.peer('external', 2)];
  const hop = net.hop(1);
  const [a, b] = [P, P + 256];
  net.say(gone, a, { asPath: [65101], localPref: 300 }, hop);
  net.say(gone, b, { asPath: [65101], communities: [0xffff_0007] }, hop);
  net.say(other, a, { asPath: [65102, 7, 8] }, hop);
  net.settle();
  const reasonsOf = (prefix: number): Record<number, string> =>
    Object.fromEntries(
      net.rib
        .explain(net.rib.find(prefix, 0, 0, 0, 24))
        .map(({ path, reason }) => [net.rib.paths.peer[path]!, reasonNames[reason]!]),
    );
  net.rib.markStale(gone);
  net.settle();
  expect(reasonsOf(a)).toEqual({ [gone]: 'best', [other]: 'localPref' });
  net.rib.makeLongLived(gone);
  net.settle();
  expect(reasonsOf(a)).toEqual({ [gone]: 'llgrDepreferenced', [other]: 'best' });
  expect(reasonsOf(b)).toEqual({ [gone]: 'noLlgr' });
  expect(verifyRib(net.rib)).toEqual([]);
  net.rib.withdrawOne(other, a, 0, 0, 0, 24, 0);
  net.settle();
  const best = net.rib.prefixes.bestPath[net.rib.find(a, 0, 0, 0, 24)]!;
  expect(Buffer.from(net.pool.copyOf(net.rib.paths.attrId[best]!)).toString('hex')).toContain(
    'c00804ffff0006',
  );
  // Announced again it is as any other.
  net.say(gone, a, { asPath: [65101], localPref: 300 }, hop);
  net.say(other, a, { asPath: [65102, 7, 8] }, hop);
  net.settle();
  expect(reasonsOf(a)).toEqual({ [gone]: 'best', [other]: 'localPref' });
  net.rib.sweepStale(gone);
  net.settle();
  expect(net.rib.find(b, 0, 0, 0, 24)).toBe(-1);
  expect(net.pool.staleSets).toBe(0);
  expect(verifyRib(net.rib)).toEqual([]);
});

test('LLGR_STALE from elsewhere depreferences as well (RFC 9494 4.3)', () => {
  const net = network();
  const [a, b] = [net.peer('external', 1), net.peer('external', 2)];
  expect(verdict(net, a, { asPath: [7], communities: [0xffff_0006] })[0]).toBe('best');
  expect(verdict(net, b, { asPath: [7, 8, 9] })[0]).toBe('best');
  expect(net.pool.staleSets).toBe(1);
});

test('move sequences count where they are believed; elsewhere they are gone before policy looks', () => {
  const attributes = (sequence: number): SampleAttributes => ({
    asPath: [65101],
    largeCommunities: [[1, 2, 3], settled(sequence), fresh(9)],
  });
  const without = { asPath: [65101], largeCommunities: [[1, 2, 3] as [number, number, number]] };
  const net = network();
  const [trusted, stranger] = [net.peer('external', 1), net.peer('external', 2, false, { moves: false })];
  const seen: string[] = [];
  net.rib.setImport(
    stranger,
    filterOf((query) => {
      seen.push(Buffer.from(query.bytes.slice(query.start, query.end)).toString('hex'));
    }),
  );
  expect(verdict(net, trusted, attributes(1))).toEqual(['best', hex(attributes(1))]);
  expect(verdict(net, stranger, attributes(8))).toEqual(['moveSequence', hex(without)]);
  expect([...new Set(seen)]).toEqual([hex(without)]);
  // Nothing else in the attribute: it goes whole.
  expect(verdict(net, stranger, { asPath: [65101], largeCommunities: [fresh(7)] })[1]).toBe(
    hex({ asPath: [65101] }),
  );
  expect(net.pool.movedSets).toBe(2);
  for (const peer of [trusted, stranger]) net.rib.dropPeer(peer);
  net.settle();
  expect(net.pool.movedSets).toBe(0);
});

test('weight is asked before the move sequence, long-lived staleness before both', () => {
  const net = network();
  const [heavy, moved] = [net.peer('external', 1, false, { weight: 10 }), net.peer('external', 2)];
  net.say(heavy, P, { asPath: [7] }, net.hop(1));
  expect(verdict(net, moved, { asPath: [7], largeCommunities: [settled(3)] })[0]).toBe('weight');
  expect(verdict(net, heavy, { asPath: [7], communities: [0xffff_0006] })[0]).toBe('llgrDepreferenced');
});
