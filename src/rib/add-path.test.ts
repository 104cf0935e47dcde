import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exportReasonNames } from './export-options.ts';
import { attributeBytes, fresh, type SampleAttributes, settled } from './sample-attributes.test-data.ts';
import { filterOf, LOCAL_AS, type Network, network, P } from './sample-network.test-data.ts';
import { verifyGroup, verifyRib } from './verify.ts';

const KEY = `${P}/24`;
const ALL = { addPath: { max: 0 } };

/** What the member has of the prefix, by path identifier. */
function pathsOf(net: Network, member: number): Map<number, string> {
  const found = new Map<number, string>();
  for (const [key, told] of net.receivers[member]!.routes) {
    const [prefix, pathId] = key.split(' #');
    if (prefix === KEY) found.set(Number(pathId), told);
  }
  return found;
}

const via = (net: Network, member: number): string[] =>
  [...pathsOf(net, member).values()].map((told) => told.split(' via ')[1]!.slice(6)).toSorted();

describe('ADD-PATH (RFC 7911)', () => {
  const routeReflector = { kind: 'internal' as const, rrClients: true, ...ALL };

  test('every path goes out with an identifier of its own, which stays while the path lives', () => {
    const net = network(routeReflector);
    const peers = [1, 2, 3].map((n) => net.peer('external', n));
    const member = net.join(net.peer('internal', 4, true));
    for (const [i, from] of peers.entries())
      net.say(from, P, { asPath: [7, i].slice(0, 1 + i) }, net.hop(i + 1));
    net.settle();
    expect(via(net, member)).toEqual(['01', '02', '03']);
    const before = [...pathsOf(net, member).keys()];
    expect(new Set(before).size).toBe(3);
    // The second becomes the best one: its identifier does not change, nothing else is said.
    const messages = net.receivers[member]!.messages;
    net.say(peers[1]!, P, { asPath: [7], localPref: 200 }, net.hop(2));
    net.settle();
    expect([...pathsOf(net, member).keys()].toSorted()).toEqual(before.toSorted());
    expect(net.receivers[member]!.messages).toBe(messages + 1);
    net.rib.withdrawOne(peers[0]!, P, 0, 0, 0, 24, 0);
    net.settle();
    expect(via(net, member)).toEqual(['02', '03']);
    expect(net.receivers[member]!.superfluous).toBe(0);
    expect([...verifyRib(net.rib), ...verifyGroup(net.group)]).toEqual([]);
  });

  test('paths of one peer that it tells apart are told apart to others', () => {
    const net = network(routeReflector);
    const from = net.peer('external', 1);
    const member = net.join(net.peer('internal', 2, true));
    for (const pathId of [7, 8]) net.say(from, P, { asPath: [pathId] }, net.hop(pathId), pathId);
    net.settle();
    expect(via(net, member)).toEqual(['07', '08']);
  });

  test('nobody hears of his own paths; the rules hold path by path', () => {
    const net = network({ kind: 'internal', ...ALL });
    const [outside, client, plain] = [
      net.peer('external', 1),
      net.peer('internal', 2, true),
      net.peer('internal', 3),
    ];
    const [toClient, toPlain] = [net.join(client), net.join(plain)];
    net.say(outside, P, { asPath: [7], communities: [0xffff_ff02] }, net.hop(1));
    net.say(client, P, { asPath: [7] }, net.hop(2));
    net.say(plain, P, { asPath: [7] }, net.hop(3));
    net.settle();
    // Not a reflector for these members but for the client's routes; and one path is not to be advertised.
    expect([via(net, toClient), via(net, toPlain)]).toEqual([[], ['02']]);
    const id = net.rib.find(P, 0, 0, 0, 24);
    const reasons = net.group
      .explainPaths(toPlain, id)
      .map(({ path, reason }) => [net.rib.paths.peer[path], exportReasonNames[reason]]);
    expect(Object.fromEntries(reasons)).toEqual({
      [outside]: 'noAdvertise',
      [client]: 'sent',
      [plain]: 'internalToInternal',
    });
    expect(net.group.explainPaths(toClient, id).map(({ reason }) => exportReasonNames[reason])).toContain(
      'splitHorizon',
    );
  });

  test('a policy refuses single paths, and the best of those left are sent up to the limit', () => {
    const net = network(
      { ...routeReflector, addPath: { max: 2 } },
      filterOf((query, verdict) => void (verdict.accept = query.peer !== 1), { readsPeer: true }),
    );
    const peers = [1, 2, 3, 4].map((n) => net.peer('external', n));
    const member = net.join(net.peer('internal', 5, true));
    for (const [i, from] of peers.entries()) net.say(from, P, { asPath: [7], med: i }, net.hop(i + 1));
    net.settle();
    expect(via(net, member)).toEqual(['02', '03']);
    const id = net.rib.find(P, 0, 0, 0, 24);
    const reasons = net.group.explainPaths(member, id).map(({ reason }) => exportReasonNames[reason]);
    expect(reasons).toEqual(['policy', 'sent', 'sent', 'addPathLimit']);
    net.rib.dropPeer(peers[1]!);
    net.settle();
    expect(via(net, member)).toEqual(['03', '04']);
    expect(verifyGroup(net.group)).toEqual([]);
  });

  test('a path that is not the best one and becomes unreachable is withdrawn', () => {
    const net = network(routeReflector);
    const [a, b] = [net.peer('external', 1), net.peer('external', 2)];
    const member = net.join(net.peer('internal', 3, true));
    net.say(a, P, { asPath: [7] }, net.hop(1));
    const far = net.hop(2);
    net.say(b, P, { asPath: [7, 8] }, far);
    net.settle();
    expect(via(net, member)).toEqual(['01', '02']);
    net.nextHops.setState(far, false, 0);
    net.rib.nextHopChanged(far);
    net.settle();
    expect(via(net, member)).toEqual(['01']);
  });

  test('when another source takes the place of a path, both hear of it', () => {
    const net = network(ALL);
    const peers = [1, 2, 3].map((n) => net.peer('external', n));
    const [toA, toB, toC] = peers.map((peer) => net.join(peer));
    net.say(peers[0]!, P, { asPath: [7] }, net.hop(1));
    net.settle();
    const pathIds = (): number[][] => [toA!, toB!, toC!].map((member) => [...pathsOf(net, member).keys()]);
    const [, [first], [again]] = pathIds() as [number[], number[], number[]];
    expect(again).toBe(first);
    net.rib.withdrawOne(peers[0]!, P, 0, 0, 0, 24, 0);
    net.say(peers[1]!, P, { asPath: [7] }, net.hop(1));
    net.settle();
    const [[second], , [other]] = pathIds() as [number[], number[], number[]];
    expect(other).toBe(second);
    expect(second).not.toBe(first);
    expect(verifyGroup(net.group)).toEqual([]);
  });

  test('the same paths have the same identifiers in another life, whatever came first', () => {
    const idsOf = (order: number[]): Map<string, number> => {
      const net = network(ALL);
      const peers = [1, 2, 3].map((n) => net.peer('external', n));
      const member = net.join(net.peer('external', 4));
      for (const i of order) net.say(peers[i]!, P, { asPath: [7 + i] }, net.hop(i + 1));
      net.settle();
      return new Map([...pathsOf(net, member)].map(([pathId, path]) => [JSON.stringify(path), pathId]));
    };
    const before = idsOf([0, 1, 2]);
    expect(new Set(before.values()).size).toBe(3);
    const after = idsOf([2, 0, 1]);
    expect([...after].sort()).toEqual([...before].sort());
  });

  test('one that joins late has what the others have; a slow one catches up path by path', () => {
    const net = network(routeReflector);
    const peers = [1, 2, 3].map((n) => net.peer('external', n));
    const slow = net.join(net.peer('internal', 4, true));
    for (const [i, from] of peers.entries()) net.say(from, P, { asPath: [7] }, net.hop(i + 1));
    net.settle();
    net.group.setFlow(slow, 'split');
    const late = net.join(net.peer('internal', 5, true));
    net.rib.withdrawOne(peers[0]!, P, 0, 0, 0, 24, 0);
    net.say(peers[1]!, P, { asPath: [9] }, net.hop(2));
    net.settle();
    expect([via(net, slow), via(net, late)]).toEqual([
      ['01', '02', '03'],
      ['02', '03'],
    ]);
    net.group.setFlow(slow, 'open');
    net.settle();
    expect(pathsOf(net, slow)).toEqual(pathsOf(net, late));
    expect(net.group.routeCountOf(slow)).toBe(2);
  });
});

test('property: the order of arrival changes neither what is sent nor in which order it ranks', () => {
  const attributes: fc.Arbitrary<SampleAttributes> = fc.record({
    asPath: fc.constantFrom([1], [2], [1, 2]),
    med: fc.integer({ min: 0, max: 2 }),
    origin: fc.integer({ min: 0, max: 1 }),
    largeCommunities: fc.constantFrom([settled(1)], [fresh(1)], [fresh(2)]),
  });
  const paths = fc.uniqueArray(
    fc.record({ peer: fc.integer({ min: 1, max: 6 }), attributes, hop: fc.integer({ min: 1, max: 3 }) }),
    { selector: ({ peer }) => peer, maxLength: 6 },
  );
  const told = (
    list: { peer: number; attributes: SampleAttributes; hop: number }[],
    max: number,
  ): string[] => {
    const net = network({ kind: 'internal', rrClients: true, addPath: { max } });
    const peers = [1, 2, 3, 4, 5, 6].map((n) => net.peer(n > 4 ? 'internal' : 'external', n));
    const hops = [1, 2, 3].map((n) => net.hop(n));
    const member = net.join(net.peer('internal', 9, true));
    for (const { peer, attributes, hop } of list) {
      net.say(peers[peer - 1]!, P, attributes, hops[hop - 1]!);
      if (peer % 2 === 0) net.settle();
    }
    net.settle();
    expect(verifyGroup(net.group)).toEqual([]);
    const id = net.rib.find(P, 0, 0, 0, 24);
    const received = pathsOf(net, member);
    return id < 0 ? [] : net.group.pathsOut(id).map(({ pathId }) => received.get(pathId)!);
  };
  fc.assert(
    fc.property(
      paths.chain((list) =>
        fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
      ),
      fc.integer({ min: 0, max: 4 }),
      ([list, shuffled], max) => {
        expect(told(shuffled, max)).toEqual(told(list, max));
      },
    ),
    { numRuns: 150 },
  );
});

test('what goes is told before what comes, so that a receiver of few paths has room for it', () => {
  const net = network({ kind: 'internal', rrClients: true, addPath: { max: 1 } });
  const peers = [1, 2].map((n) => net.peer('external', n));
  const member = net.join(net.peer('internal', 5, true));
  net.say(peers[0]!, P, { asPath: [7, 8] }, net.hop(1));
  net.settle();
  const { routes } = net.receivers[member]!;
  const counts: number[] = [];
  const set = routes.set.bind(routes);
  routes.set = (key, told) => {
    set(key, told);
    counts.push(pathsOf(net, member).size);
    return routes;
  };
  // The same attributes are in the batch before, with another prefix.
  net.say(peers[1]!, P + 256, { asPath: [7] }, net.hop(2));
  net.say(peers[1]!, P, { asPath: [7] }, net.hop(2));
  net.settle();
  expect(via(net, member)).toEqual(['02']);
  expect(Math.max(...counts)).toBe(1);
  expect(counts).toHaveLength(2);
});

test('a path identifier is in front of every prefix on the wire', () => {
  const chunks: Uint8Array[] = [];
  const net = network(ALL);
  const member = net.join(net.peer('external', 2));
  const read = net.receivers[member]!.read.bind(net.receivers[member]);
  net.receivers[member]!.read = (bytes) => {
    chunks.push(bytes);
    read(bytes);
  };
  net.say(net.peer('external', 1), P, { asPath: [7] }, net.hop(1));
  net.settle();
  const expected = [
    'ffffffffffffffffffffffffffffffff', // marker
    '0037', // length
    '02', // UPDATE
    '0000', // nothing withdrawn
    '0018', // bytes of attributes
    Buffer.from(attributeBytes({ asPath: [LOCAL_AS, 7] })).toString('hex'),
    '400304', // NEXT_HOP
    '81818181',
    '4d9134b5', // path identifier, of the source 192.0.2.1
    '18', // /24
    '0a0101',
  ];
  expect(Buffer.concat(chunks).toString('hex')).toBe(expected.join(''));
});
