// Bytes at random, from the one seed of a run.

import type { Rng } from '../../src/lib/rng.ts';

export function randomBytes(rng: Rng, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = rng.u32();
  return bytes;
}
