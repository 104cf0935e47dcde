import { expect, test } from 'vitest';
import { defaultHashKey, HASH_KEY_WORDS, type HashKey, makeHashKey } from './hash-key.ts';
import { PrefixTable } from './prefix-table.ts';
import { Rng } from './rng.ts';

/** The worst keys there are (multipliers 1 and -1) make a slow table, but not a wrong one. */
const worstKeys = [0, 0xffff_ffff].map((word) => makeHashKey(new Uint32Array(HASH_KEY_WORDS).fill(word)));
const random = new Rng(19);
const randomKeys = Array.from({ length: 12 }, () =>
  makeHashKey(Uint32Array.from({ length: HASH_KEY_WORDS }, () => random.u32())),
);

test.each([
  [1, defaultHashKey],
  [4, defaultHashKey],
  [1, randomKeys[0]!],
  [4, randomKeys[1]!],
  [1, worstKeys[0]!],
  [4, worstKeys[1]!],
] as const)(
  'adds, finds and releases like a Map does, through growth and reuse of ids: %i words, key %o',
  (words, key) => {
    const rng = new Rng(7);
    const table = new PrefixTable(words, 4, key);
    const model = new Map<string, number>();
    for (let i = 0; i < 20_000; i++) {
      const a = rng.below(900) * 0x0101_0000;
      const length = 8 + rng.below(3);
      const key = `${a}/${length}`;
      const found = words === 1 ? table.find1(a >>> 0, length) : table.find4(1, 2, 3, a >>> 0, length);
      expect(found).toBe(model.get(key) ?? -1);
      if (rng.chance(0.6)) {
        const id = words === 1 ? table.add1(a >>> 0, length) : table.add4(1, 2, 3, a >>> 0, length);
        if (found >= 0) expect(id).toBe(found);
        model.set(key, id);
      } else if (found >= 0) {
        table.release(found);
        model.delete(key);
      }
    }
    expect(table.size).toBe(model.size);
    expect(new Set(model.values()).size).toBe(model.size);
  },
);

test('releasing an id twice is a bug', () => {
  const table = new PrefixTable(1);
  const id = table.add1(1, 32);
  table.release(id);
  expect(() => table.release(id)).toThrow(/not in use/);
});

test('clear gives everything back, and the memory where little was in use', () => {
  const table = new PrefixTable(1);
  for (let i = 0; i < 100_000; i++) table.add1(i * 256, 24);
  for (let i = 0; i < 100_000; i++) if (i !== 7) table.release(table.find1(i * 256, 24));
  expect([table.size, table.find1(7 * 256, 24), table.find1(8 * 256, 24)]).toEqual([1, 7, -1]);
  table.clear();
  expect([table.size, table.has(7), table.find1(7 * 256, 24), table.length.length]).toEqual([
    0,
    false,
    -1,
    1024,
  ]);
  expect(table.add1(8 * 256, 24)).toBe(0);
  table.clear();
  expect([table.size, table.find1(8 * 256, 24)]).toEqual([0, -1]);
});

test('keys that differ only in length are different', () => {
  const table = new PrefixTable(4);
  const ids = Array.from({ length: 129 }, (_, length) => table.add4(0, 0, 0, 0, length));
  expect(new Set(ids).size).toBe(129);
  for (let length = 0; length <= 128; length++) expect(table.find4(0, 0, 0, 0, length)).toBe(ids[length]);
});

// What a peer could do to the table when the hash had no key: it was known, and it could be undone.

const CRAFTED = 6000;

function imulInverse(odd: number): number {
  let inverse = odd;
  for (let i = 0; i < 4; i++) inverse = Math.imul(inverse, 2 - Math.imul(odd, inverse));
  return inverse;
}

/** IPv4 addresses whose unkeyed hashes, as /32, are 0, 1, 2, ...: all of them belonged into one slot. */
function crafted4(): number[] {
  const undo = imulInverse(0x9e37_79b1);
  return Array.from({ length: CRAFTED }, (_, hash) => {
    const product = hash ^ (hash >>> 15) ^ (hash >>> 30);
    return (Math.imul(product, undo) ^ Math.imul(32, 0x85eb_ca6b)) >>> 0;
  });
}

/** IPv6 addresses with one unkeyed hash, as /128: the last word undoes what the others did. */
function crafted6(rng: Rng): number[][] {
  return Array.from({ length: CRAFTED }, () => {
    const [a, b, c] = [rng.u32(), rng.u32(), rng.u32()];
    let h = Math.imul(a ^ Math.imul(128, 0x85eb_ca6b), 0x9e37_79b1);
    h = Math.imul(h ^ (h >>> 15) ^ b, 0x85eb_ca6b);
    h = Math.imul(h ^ (h >>> 13) ^ c, 0xc2b2_ae35);
    return [a, b, c, (h ^ (h >>> 16)) >>> 0];
  });
}

/** IPv6 addresses in pairs, the top bit of one word flipped and the trace it used to leave in the next. */
function flipped6(rng: Rng): number[][] {
  const traces = [0x8001_0000, 0x8004_0000, 0x8000_8000];
  const all: number[][] = [];
  while (all.length < CRAFTED) {
    const base = [rng.u32(), rng.u32(), rng.u32(), rng.u32()];
    for (let i = 0; i < 8; i++) {
      const words = base.slice();
      for (let n = 0; n < 3; n++) {
        if (((i >> n) & 1) === 0) continue;
        words[n] = (words[n]! ^ 0x8000_0000) >>> 0;
        words[n + 1] = (words[n + 1]! ^ traces[n]!) >>> 0;
      }
      all.push(words);
    }
  }
  return all.slice(0, CRAFTED);
}

function steps4(addresses: readonly number[], length: number, key: HashKey): number {
  const table = new PrefixTable(1, 16, key);
  for (const address of addresses) table.add1(address, length);
  expect(table.size).toBe(CRAFTED);
  return table.searchSteps;
}

function steps6(addresses: readonly number[][], key: HashKey): number {
  const table = new PrefixTable(4, 16, key);
  for (const [a, b, c, d] of addresses) table.add4(a!, b!, c!, d!, 128);
  expect(table.size).toBe(CRAFTED);
  return table.searchSteps;
}

test('with a random key, crafted prefixes are found as fast as random ones', () => {
  const rng = new Rng(3);
  const dense = Array.from({ length: CRAFTED }, (_, i) => ((10 << 24) | (i << 8)) >>> 0);
  const sparse = Array.from({ length: CRAFTED }, (_, i) => (i << 18) >>> 0);
  const any6 = Array.from({ length: CRAFTED }, () => [rng.u32(), rng.u32(), rng.u32(), rng.u32()]);
  const any4 = any6.map(([a]) => a!);
  const sixes = [crafted6(rng), flipped6(rng)];
  for (const key of randomKeys) {
    const usual4 = steps4(any4, 32, key);
    for (const [addresses, length] of [
      [crafted4(), 32],
      [dense, 24],
      [sparse, 14],
    ] as const)
      expect(steps4(addresses, length, key)).toBeLessThan(usual4 * 2);
    const usual6 = steps6(any6, key);
    for (const addresses of sixes) expect(steps6(addresses, key)).toBeLessThan(usual6 * 2);
  }
});

test('where prefixes lie depends on the key, which ids they have does not', () => {
  const addresses = crafted4();
  const steps = [defaultHashKey, undefined, ...randomKeys].map((key) => {
    const table = new PrefixTable(1, 16, key);
    for (const address of addresses) table.add1(address, 32);
    expect(addresses.map((address) => table.find1(address, 32))).toEqual(addresses.map((_, i) => i));
    return table.searchSteps;
  });
  expect(steps[0]).toBe(steps[1]);
  expect(new Set(steps).size).toBeGreaterThan(randomKeys.length / 2);
});
