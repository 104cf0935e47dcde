// The secret that makes our hash tables safe from peers. What a peer announces (prefixes, next hops, attribute
// sets) is looked up by hash; whoever can tell which contents collide makes every search walk past all the others
// and stalls the one thread that keeps the sessions. So the hashes depend on a key: the daemon draws one at random
// when it starts, and tests, tools and the simulator use a fixed one, since nothing but time depends on it.
//
// Contents of any length take HalfSipHash (half-sip-hash.ts). Contents of a few words, which are hashed for each
// prefix, take `mixWord`: two secret odd multipliers with a shift between them. A multiplication carries a flipped
// top bit through unchanged, for every key; the shift brings it down and the second multiplication makes 16 bits
// of secret out of it. (A rotation by half a word in place of the shift is itself a multiplication, modulo
// 2^32 - 1: arithmetic progressions of keys, which tables of prefixes are full of, would stay clustered.)
// A peer who finds one difference that cancels, by trying 2^16, has a few colliding keys, as there are few words
// to put it in; with contents of a thousand words he would have 2^1000. That is why both exist.

import { assert } from './assert.ts';

/** All words are int32, which are small integers to the engine. The multipliers are odd. */
export interface HashKey {
  /** Of half-sip-hash.ts. */
  readonly sip0: number;
  readonly sip1: number;
  /** Of mixWord. */
  readonly odd0: number;
  readonly odd1: number;
  /** For what is not the content itself: a prefix length, the last step of a permutation. */
  readonly odd2: number;
  readonly odd3: number;
}

/** Random words a key is made of. */
export const HASH_KEY_WORDS = 6;

/** A key from HASH_KEY_WORDS random uint32s, which the caller gets where there is randomness. */
export function makeHashKey(random: Uint32Array): HashKey {
  assert(random.length === HASH_KEY_WORDS, `a hash key is made of ${HASH_KEY_WORDS} words`);
  const words = Int32Array.from(random);
  return {
    sip0: words[0]!,
    sip1: words[1]!,
    odd0: words[2]! | 1,
    odd1: words[3]! | 1,
    odd2: words[4]! | 1,
    odd3: words[5]! | 1,
  };
}

/** For tests, tools and the simulator: no secret. */
export const defaultHashKey: HashKey = makeHashKey(
  Uint32Array.of(0x243f_6a88, 0x85a3_08d3, 0x9e37_79b1, 0x85eb_ca6b, 0xc2b2_ae35, 0x27d4_eb2f),
);

/** A hash (int32) with one more word of content; for a given word it can be undone, and for a given hash too. */
export function mixWord(hash: number, word: number, key: HashKey): number {
  let h = Math.imul(hash ^ word, key.odd0);
  h = Math.imul(h ^ (h >>> 16), key.odd1);
  return h ^ (h >>> 15);
}

/** What a table takes in the end, a uint32: after it the low bits are as good as the high ones. */
export function lastMix(hash: number, key: HashKey): number {
  const h = Math.imul(hash, key.odd3);
  return (h ^ (h >>> 16)) >>> 0;
}
