// Whose is it? Rendezvous hashing (D. G. Thaler, C. V. Ravishankar, "Using name-based mappings to increase hit rates",
// 1998; the "HRW" of RFC 8584 section 3): every member draws a number for a thing from a hash of both names, and the
// highest draw owns it. All who know the same members agree without a word, and a member that leaves or comes moves
// only what was or becomes its own.
//
// Weights are counts of draws: a member of weight 3 draws three times and its best counts, which gives it exactly
// three times the chance of weight 1, in integers, the same on every machine. Weight 0 never owns. Locality only
// decides between equal draws: in the weight it would make owners flap with the guests.
//
// The hash is HalfSipHash with a key that never changes: a part of the contract between members of all versions.
// RFC 8584's own (CRC-32 and a linear step) is for Ethernet segments of 10 octets and spreads names badly.

import { assert } from '../lib/assert.ts';
import { halfSipHash } from '../lib/half-sip-hash.ts';
import { makeHashKey } from '../lib/hash-key.ts';

/** The most draws a member may have: what a look-up costs at most is members times this. */
export const WEIGHT_MAX = 100;

/** One who may own. The name is what the configuration of all members calls it. */
export interface Candidate {
  name: string;
  /** Draws, 0 to WEIGHT_MAX; 1 if absent. */
  weight?: number;
  /** Where it stands, as configured on all members alike. */
  zone?: string;
}

const KEY = makeHashKey(Uint32Array.of(0x6c65_6166, 0x6472_6477, 1, 1, 1, 1));
const encoder = new TextEncoder();

/** The best draw of a candidate for a thing, a uint32; -1 if it has none. */
export function bestDraw(thing: string, candidate: Candidate): number {
  const weight = candidate.weight ?? 1;
  assert(Number.isInteger(weight) && weight >= 0 && weight <= WEIGHT_MAX, `weight ${weight}`);
  // The zero between keeps ("a", "bc") and ("ab", "c") apart; the last two octets are the number of the draw.
  const bytes = encoder.encode(`${thing}\0${candidate.name}\0\0\0`);
  let best = -1;
  for (let draw = 0; draw < weight; draw++) {
    bytes[bytes.length - 1] = draw;
    const drawn = halfSipHash(bytes, 0, bytes.length, KEY);
    if (drawn > best) best = drawn;
  }
  return best;
}

/**
 * The candidates that may own a thing, the owner first, then who would own it were those before gone. `zone` is the
 * thing's own place. The order of `candidates` does not matter; of equal names the first counts.
 */
export function rendezvousRanks(thing: string, candidates: readonly Candidate[], zone?: string): string[] {
  const drawn = new Map<string, { name: string; draw: number; near: number }>();
  for (const candidate of candidates) {
    if (drawn.has(candidate.name)) continue;
    const near = zone !== undefined && candidate.zone === zone ? 1 : 0;
    drawn.set(candidate.name, { name: candidate.name, draw: bestDraw(thing, candidate), near });
  }
  return [...drawn.values()]
    .filter(({ draw }) => draw >= 0)
    .sort((a, b) => b.draw - a.draw || b.near - a.near || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name);
}

/** The owner of a thing among the candidates; undefined where nobody may own. */
export function rendezvousOwner(
  thing: string,
  candidates: readonly Candidate[],
  zone?: string,
): string | undefined {
  return rendezvousRanks(thing, candidates, zone)[0];
}
