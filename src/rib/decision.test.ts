import { expect, test } from 'vitest';
import { weightsFrom } from './decision.ts';
import { reasonNames } from './reason.ts';
import { network, P } from './sample-network.test-data.ts';
import { verifyRib } from './verify.ts';

/** The link bandwidth community of draft-ietf-idr-link-bandwidth: AS 65000, bytes a second as a float. */
function bandwidth(value: number, transitive = false): string {
  const bytes = Buffer.alloc(8);
  bytes.set([transitive ? 0x00 : 0x40, 0x04, 0xfd, 0xe8]);
  bytes.writeFloatBE(value, 4);
  return bytes.toString('hex');
}

test('link bandwidths give the next hops their weights, when all have one', () => {
  const net = network();
  net.rib.setOptions({ multipathRelax: true, linkBandwidth: true });
  const peers = [1, 2, 3].map((n) => net.peer('external', n));
  const say = (i: number, community: string | undefined): number =>
    net.say(
      peers[i]!,
      P,
      { asPath: [i + 1], ...(community !== undefined && { extCommunities: [community] }) },
      net.hop(i + 1),
    );
  const weights = (id: number): number[] | undefined => {
    net.settle();
    expect(verifyRib(net.rib)).toEqual([]);
    const found = net.rib.sets.weights(net.rib.prefixes.nextHopSetId[id]!);
    return found && [...found];
  };
  say(0, bandwidth(1e9));
  const id = say(1, bandwidth(3e9, true));
  expect(weights(id)).toEqual([25, 75]);
  say(2, undefined);
  expect(weights(id)).toBeUndefined();
  say(2, bandwidth(4e9));
  expect(weights(id)).toEqual([13, 38, 50]);
  say(0, bandwidth(4e9));
  say(1, bandwidth(4e9));
  expect(weights(id)).toBeUndefined();
  const before = net.rib.prefixes.nextHopSetId[id];
  say(1, bandwidth(1e9));
  expect(weights(id)).toEqual([44, 11, 44]);
  expect(net.rib.prefixes.nextHopSetId[id]).not.toBe(before);
  net.rib.setOptions({ linkBandwidth: false });
  expect(weights(id)).toBeUndefined();
  expect(net.rib.sets.size).toBe(1);
});

test('a bandwidth that is no number is none; a tiny one has a weight', () => {
  expect(weightsFrom(Float64Array.of(1, 1e12), 2, new Uint8Array(2))).toEqual(Uint8Array.of(1, 100));
  const net = network();
  const id = net.pool.intern(Buffer.from(`c01008${'4004fde87fc00000'}`, 'hex'), 0, 11);
  expect(net.pool.linkBandwidth(id)).toBe(-1);
});

test('without a MED the path is the best or the worst of its neighbour AS', () => {
  const net = network();
  const [a, b] = [net.peer('external', 1), net.peer('external', 2)];
  net.say(a, P, { asPath: [7] }, net.hop(1));
  const id = net.say(b, P, { asPath: [7], med: 0xffff_ffff }, net.hop(2));
  const names = (): Record<number, string> => {
    net.settle();
    expect(verifyRib(net.rib)).toEqual([]);
    const all = net.rib.explain(id);
    return Object.fromEntries(
      all.map(({ path, reason }) => [net.rib.paths.peer[path]!, reasonNames[reason]!]),
    );
  };
  expect(names()).toEqual({ [a]: 'best', [b]: 'med' });
  net.rib.setOptions({ missingMedWorst: true });
  expect(names()).toEqual({ [a]: 'med', [b]: 'best' });
});

test('a path from another member AS counts as internal (RFC 5065 5.3)', () => {
  const net = network({}, undefined, undefined, { confederationId: 100 });
  const [member, outside] = [net.peer('confederation', 1), net.peer('external', 2)];
  net.say(member, P, { asPath: [{ confed: [65101, 65103] }, 7] }, net.hop(1));
  const id = net.say(outside, P, { asPath: [7] }, net.hop(2));
  net.settle();
  const verdicts = net.rib
    .explain(id)
    .map(({ path, reason }) => [net.rib.paths.peer[path], reasonNames[reason]]);
  expect(verdicts).toContainEqual([member, 'externalOverInternal']);
});

test('the ranking is the decision, again and again', () => {
  const net = network();
  const peers = [1, 2, 3, 4, 5].map((n) => net.peer(n > 3 ? 'internal' : 'external', n));
  const rows = [{ med: 5 }, { med: 3 }, { localPref: 90 }, {}, { med: 9, origin: 1 }];
  let id = 0;
  for (const [i, row] of rows.entries())
    id = net.say(peers[i]!, P, { asPath: [7 + (i & 1)], ...row }, net.hop(i + 1));
  net.settle();
  const { decision, prefixes } = net.rib;
  const first = prefixes.firstPath[id]!;
  const ranked: number[] = [];
  for (let path = decision.rankFirst(first); path !== 0; path = decision.rankNext(first)) ranked.push(path);
  expect(ranked).toEqual(decision.rankAll(first));
  expect(ranked.length).toBe(5);
  expect(ranked[0]).toBe(prefixes.bestPath[id]);
});

test('many paths with MEDs of several neighbour ASes rank as few do', () => {
  for (const alwaysCompareMed of [false, true]) {
    const net = network();
    net.rib.setOptions({ alwaysCompareMed, missingMedWorst: true });
    const peers = [1, 2, 3].map((n) => net.peer('external', n));
    let id = 0;
    for (let i = 0; i < 60; i++) {
      const med = (i * 7) % 11;
      const attributes = { asPath: [1 + (i % 5)], ...(med > 0 && { med }) };
      id = net.say(peers[i % 3]!, P, attributes, net.hop(i), 1 + i);
    }
    net.settle();
    expect(verifyRib(net.rib)).toEqual([]);
    const { decision, prefixes } = net.rib;
    const first = prefixes.firstPath[id]!;
    const ranked: number[] = [];
    for (let path = decision.rankFirst(first); path !== 0; path = decision.rankNext(first)) ranked.push(path);
    expect(ranked).toHaveLength(60);
    expect(ranked).toEqual(decision.rankAll(first));
  }
});
