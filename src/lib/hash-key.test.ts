import { expect, test } from 'vitest';
import { HASH_KEY_WORDS, lastMix, makeHashKey, mixWord } from './hash-key.ts';
import { Rng } from './rng.ts';

const randomKey = (rng: Rng) => makeHashKey(Uint32Array.from({ length: HASH_KEY_WORDS }, () => rng.u32()));

test('multipliers are odd whatever the random words are, or nothing could be undone', () => {
  for (const word of [0, 0xffff_fffe, 0x8000_0000]) {
    const key = makeHashKey(new Uint32Array(HASH_KEY_WORDS).fill(word));
    for (const odd of [key.odd0, key.odd1, key.odd2, key.odd3]) expect([odd & 1, odd | 0]).toEqual([1, odd]);
  }
  expect(() => makeHashKey(new Uint32Array(2))).toThrow(/made of/);
});

test('what a flipped bit does to a mixed word depends on the key, for the top bit too', () => {
  const rng = new Rng(11);
  for (let bit = 0; bit < 32; bit++) {
    const differences = new Set<number>();
    for (let i = 0; i < 2000; i++) {
      const key = randomKey(rng);
      differences.add(mixWord(7, 9, key) ^ mixWord(7, 9 ^ (1 << bit), key));
    }
    // 2^15 equally likely ones would give 1940 different ones in 2000; a difference known beforehand gives one.
    expect(differences.size).toBeGreaterThan(1850);
  }
});

test('for a given word, and for a given hash, no two results are the same', () => {
  const key = randomKey(new Rng(12));
  const byWord = new Set<number>();
  const byHash = new Set<number>();
  for (let i = 0; i < 100_000; i++) {
    byWord.add(lastMix(mixWord(5, Math.imul(i, 0x1_0001), key), key));
    byHash.add(lastMix(mixWord(Math.imul(i, 0x1_0001), 5, key), key));
  }
  expect([byWord.size, byHash.size]).toEqual([100_000, 100_000]);
});
