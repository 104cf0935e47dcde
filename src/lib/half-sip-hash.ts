// HalfSipHash-1-3 (J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", in its form of 32-bit words):
// a keyed hash of any bytes, made so that nobody finds collisions without the key. One round a word and three at
// the end are what hash tables need, and no more: this authenticates nothing. Costs about 2 ns a byte.

import type { HashKey } from './hash-key.ts';

/** The hash of bytes[start, end), a uint32. */
export function halfSipHash(bytes: Uint8Array, start: number, end: number, key: HashKey): number {
  let v0 = key.sip0;
  let v1 = key.sip1;
  let v2 = key.sip0 ^ 0x6c79_6765;
  let v3 = key.sip1 ^ 0x7465_6462;
  let at = start;
  for (const last = end - 3; at < last; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  // The last word is the length and what is left of the bytes; three rounds without content follow it.
  let word = (end - start) << 24;
  for (let shift = 0; at < end; at++, shift += 8) word |= bytes[at]! << shift;
  for (let round = 0; round < 4; round++) {
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
    word = 0;
    if (round === 0) v2 ^= 0xff;
  }
  return (v1 ^ v3) >>> 0;
}
