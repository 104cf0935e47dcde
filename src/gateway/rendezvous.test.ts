import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bestDraw, type Candidate, rendezvousOwner, rendezvousRanks, WEIGHT_MAX } from './rendezvous.ts';

const members = (count: number): Candidate[] =>
  Array.from({ length: count }, (_, i) => ({ name: `hv${i + 1}` }));
const things = (count: number): string[] => Array.from({ length: count }, (_, i) => `seg${i + 1}`);

function shares(of: readonly string[], among: readonly Candidate[]): Map<string, number> {
  const owned = new Map(among.map(({ name }) => [name, 0]));
  for (const thing of of) {
    const owner = rendezvousOwner(thing, among)!;
    owned.set(owner, owned.get(owner)! + 1);
  }
  return owned;
}

test('the draws are a contract between versions', () => {
  expect(bestDraw('seg1', { name: 'hv1' })).toBe(1646786381);
  expect(bestDraw('seg1', { name: 'hv1', weight: 3 })).toBe(3157412602);
  expect(rendezvousRanks('seg1', members(5))).toEqual(['hv5', 'hv4', 'hv3', 'hv1', 'hv2']);
  expect(rendezvousRanks('vni10100', members(5))).toEqual(['hv4', 'hv1', 'hv3', 'hv2', 'hv5']);
});

test('200 segments over 5 members: each within 40 % of the mean', () => {
  for (const name of [
    (i: number) => `seg${i}`,
    (i: number) => `vni${10_000 + i}`,
    (i: number) => `tenant-${i % 20}/net-${i}`,
    (i: number) => `${i}`,
  ]) {
    const of = Array.from({ length: 200 }, (_, i) => name(i));
    for (const share of shares(of, members(5)).values()) {
      expect(share).toBeGreaterThanOrEqual(24);
      expect(share).toBeLessThanOrEqual(56);
    }
  }
});

test('names that differ in a digit spread as chance would', () => {
  // Chi-squared with 4 degrees of freedom stays below 9.49 in 95 of 100 draws by chance.
  let beyond = 0;
  for (let set = 0; set < 200; set++) {
    const of = Array.from({ length: 200 }, (_, i) => `n${set}-${i}`);
    let chi = 0;
    for (const share of shares(of, members(5)).values()) chi += (share - 40) ** 2 / 40;
    if (chi > 9.49) beyond++;
  }
  expect(beyond).toBeGreaterThanOrEqual(1);
  expect(beyond).toBeLessThanOrEqual(22);
});

test('one that leaves moves only its own, and gets exactly them back', () => {
  const all = members(5);
  const before = new Map(things(200).map((thing) => [thing, rendezvousOwner(thing, all)]));
  for (const gone of all) {
    const rest = all.filter((member) => member !== gone);
    for (const [thing, owner] of before) {
      const now = rendezvousOwner(thing, rest);
      if (owner === gone.name) expect(now).toBe(rendezvousRanks(thing, all)[1]);
      else expect(now).toBe(owner);
      expect(rendezvousOwner(thing, [...rest, gone])).toBe(owner);
    }
  }
});

test('a weight is a share; one that grows only takes', () => {
  const plain = members(4);
  const heavy = plain.map((member, i) => (i === 0 ? { ...member, weight: 3 } : member));
  const share = shares(things(3000), heavy);
  expect(share.get('hv1')!).toBeGreaterThan(1350);
  expect(share.get('hv1')!).toBeLessThan(1650);
  for (const thing of things(500)) {
    const now = rendezvousOwner(thing, heavy);
    if (now !== 'hv1') expect(now).toBe(rendezvousOwner(thing, plain));
  }
});

test('weight 0 never owns; without anybody nobody owns', () => {
  const idle = members(3).map((member) => ({ ...member, weight: 0 }));
  expect(rendezvousOwner('seg1', idle)).toBeUndefined();
  expect(rendezvousOwner('seg1', [])).toBeUndefined();
  for (const thing of things(50)) expect(rendezvousRanks(thing, [...idle, { name: 'x' }])).toEqual(['x']);
  expect(() => bestDraw('seg1', { name: 'a', weight: WEIGHT_MAX + 1 })).toThrow('weight');
  expect(() => bestDraw('seg1', { name: 'a', weight: 0.5 })).toThrow('weight');
});

test('locality never outdoes a draw', () => {
  const placed = members(5).map((member, i) => ({ ...member, zone: i < 2 ? 'east' : 'west' }));
  for (const thing of things(200))
    expect(rendezvousRanks(thing, placed, 'east')).toEqual(rendezvousRanks(thing, placed, 'west'));
});

test('nobody asks in which order members were named, nor how often', () => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string(), { maxLength: 8 }), fc.nat(), (thing, names, turn) => {
      const list = names.map((name) => ({ name }));
      const at = names.length === 0 ? 0 : turn % names.length;
      const turned = [...list.slice(at), ...list.slice(0, at), ...list];
      expect(rendezvousRanks(thing, turned)).toEqual(rendezvousRanks(thing, list));
      expect(new Set(rendezvousRanks(thing, list))).toEqual(new Set(names));
    }),
  );
});
