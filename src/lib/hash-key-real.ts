// A secret hash key, from the machine's randomness. Pure rooms take a key; only those with I/O may make one.

import { HASH_KEY_WORDS, type HashKey, makeHashKey } from './hash-key.ts';

/** A key that nobody outside this process knows. */
export function secretHashKey(): HashKey {
  return makeHashKey(crypto.getRandomValues(new Uint32Array(HASH_KEY_WORDS)));
}
