// Where fuzz cases come from: valid messages drawn at random, then spoilt in the ways a wire, a bug or an enemy
// spoils them. All of it from one seed: a failure names its seed and bytes and can be run again.

import type { Rng } from '../../src/lib/rng.ts';
import { attribute, concat, u32 } from '../golden/build.ts';
import { structured } from './attribute-cases.ts';
import { nextHopField, nlriField, wireFamilies } from './nlri-cases.ts';
import { randomBytes } from './random.ts';

export { randomBytes } from './random.ts';

/** A million cases in CI, fewer on a developer's machine; `share` of 1 is all of them. */
export function caseCount(share: number): number {
  return Math.round((process.env.CI === undefined ? 50_000 : 1_000_000) * share);
}

/** The seed of this run: `LEAFD_FUZZ_SEED` to repeat one. */
export const seed = Number(process.env.LEAFD_FUZZ_SEED ?? 179);

/** What a case may have become on its way. */
export function spoil(rng: Rng, valid: Uint8Array): Uint8Array {
  switch (rng.below(7)) {
    case 0:
      return valid;
    case 1:
      return randomBytes(rng, rng.below(80));
    case 2:
      return valid.slice(0, rng.below(valid.length + 1));
    case 3: {
      const from = rng.below(valid.length + 1);
      return concat(valid.subarray(0, from), randomBytes(rng, rng.below(9)), valid.subarray(from));
    }
    case 4: {
      const from = rng.below(valid.length + 1);
      return concat(valid.subarray(0, from), valid.subarray(Math.min(valid.length, from + 1 + rng.below(8))));
    }
    case 5: {
      const bytes = valid.slice();
      // Interesting values in one place: lengths and counts live in single bytes.
      if (bytes.length > 0)
        bytes[rng.below(bytes.length)] = rng.pick([0, 1, 2, 4, 16, 32, 33, 127, 128, 129, 255]);
      return bytes;
    }
    default: {
      const bytes = valid.slice();
      for (let n = rng.between(1, 6); n > 0 && bytes.length > 0; n--) {
        bytes[rng.below(bytes.length)]! ^= 1 << rng.below(8);
      }
      return bytes;
    }
  }
}

function asnBytes(rng: Rng, size: number): number[] {
  if (size === 2) return [rng.below(255) + 1, rng.below(256)];
  return u32(rng.chance(0.5) ? rng.between(1, 65535) : rng.u32() | 1);
}

function pathValue(rng: Rng, size: number, confederation: boolean): number[] {
  const value: number[] = [];
  for (let segments = rng.below(4); segments > 0; segments--) {
    const count = rng.between(1, 5);
    value.push(confederation ? rng.between(1, 4) : rng.between(1, 2), count);
    for (let i = 0; i < count; i++) value.push(...asnBytes(rng, size));
  }
  return value;
}

export function validNlri(rng: Rng, maxBits: number, addPath: boolean): Uint8Array {
  const parts: number[] = [];
  for (let count = rng.below(6); count > 0; count--) {
    if (addPath) parts.push(...u32(rng.u32()));
    const length = rng.below(maxBits + 1);
    parts.push(length, ...randomBytes(rng, (length + 7) >>> 3));
  }
  return new Uint8Array(parts);
}

export interface UpdateKind {
  readonly asn4: boolean;
  readonly internal: boolean;
  readonly confederation?: boolean;
  readonly families: number;
  readonly addPath: number;
}

// Items of `width` bytes.
function list(rng: Rng, width: number): Uint8Array {
  return randomBytes(rng, width * rng.between(1, rng.chance(0.05) ? 40 : 4));
}

// One attribute goes wrong while all lengths around it stay right, so that the attribute's own check is met.
function damage(rng: Rng, attributes: Uint8Array[]): void {
  const at = rng.below(attributes.length);
  const victim = attributes[at]!;
  switch (rng.below(4)) {
    case 0:
      attributes[at] = attribute(victim[0]! | 0x10, victim[1]!, randomBytes(rng, rng.below(24)));
      return;
    case 1:
      attributes[at] = concat([victim[0]! ^ (0x20 << rng.below(3))], victim.subarray(1));
      return;
    case 2:
      attributes.push(victim);
      return;
    default:
      attributes.splice(at, 1);
  }
}

/** The body of an UPDATE that is right for the kind of session, but for one attribute if `damaged`. */
export function makeUpdate(rng: Rng, kind: UpdateKind, damaged: boolean): Uint8Array {
  const size = kind.asn4 ? 4 : 2;
  const attributes: Uint8Array[] = [];
  const add = (probability: number, make: () => Uint8Array): void => {
    if (rng.chance(probability)) attributes.push(make());
  };
  const classic = rng.chance(0.6) ? validNlri(rng, 32, (kind.addPath & 1) !== 0) : new Uint8Array(0);
  for (const code of [14, 15]) {
    add(0.5, () => {
      const family = rng.below(kind.families === 3 ? 2 : 10);
      const [afi, safi] = wireFamilies[family]!;
      const addPath = (kind.addPath & (1 << family)) !== 0;
      const routes = nlriField(rng, family, addPath, damaged && rng.chance(0.3));
      if (code === 15) return attribute(0x90, code, [0, afi, safi, ...routes]);
      const hop = nextHopField(rng, family);
      return attribute(0x90, code, [0, afi, safi, hop.length, ...hop, 0, ...routes]);
    });
  }
  attributes.push(attribute(0x40, 1, [rng.below(3)]));
  attributes.push(attribute(0x50, 2, pathValue(rng, size, kind.confederation === true)));
  if (classic.length > 0) attributes.push(attribute(0x40, 3, [rng.between(1, 126), 1, 2, 3]));
  add(0.5, () => attribute(0x80, 4, randomBytes(rng, 4)));
  if (kind.internal) attributes.push(attribute(0x40, 5, randomBytes(rng, 4)));
  add(0.2, () => attribute(0x40, 6, []));
  add(0.2, () => attribute(0xc0, 7, [...asnBytes(rng, size), ...randomBytes(rng, 4)]));
  add(0.5, () => attribute(0xd0, 8, list(rng, 4)));
  if (kind.internal) {
    add(0.3, () => attribute(0x80, 9, randomBytes(rng, 4)));
    add(0.3, () => attribute(0x90, 10, list(rng, 4)));
  }
  add(0.3, () => attribute(0xd0, 16, list(rng, 8)));
  if (!kind.asn4) {
    add(0.4, () => {
      const value = pathValue(rng, 4, false);
      return attribute(0xd0, 17, value.length === 0 ? [2, 1, 0, 1, 0, 0] : value);
    });
    add(0.2, () => attribute(0xc0, 18, [...asnBytes(rng, 4), ...randomBytes(rng, 4)]));
  }
  add(0.3, () => attribute(0xd0, 32, list(rng, 12)));
  add(0.1, () => attribute(0xc0, 35, randomBytes(rng, 4)));
  attributes.push(...structured(rng, kind.internal, damaged));
  add(0.2, () => attribute(0xf0, rng.between(129, 255), randomBytes(rng, rng.below(20))));
  if (damaged) damage(rng, attributes);
  if (rng.chance(0.2)) attributes.reverse();
  const withdrawn = rng.chance(0.3) ? validNlri(rng, 32, (kind.addPath & 1) !== 0) : new Uint8Array(0);
  const all = rng.chance(0.05) ? new Uint8Array(0) : concat(...attributes);
  return concat(
    [withdrawn.length >>> 8, withdrawn.length & 255],
    withdrawn,
    [all.length >>> 8, all.length & 255],
    all,
    all.length === 0 ? [] : classic,
  );
}

/** The body of an OPEN. */
export function validOpen(rng: Rng): Uint8Array {
  const capabilities: number[] = [];
  const put = (code: number, value: ArrayLike<number>): void => {
    capabilities.push(code, value.length, ...Array.from(value));
  };
  for (let n = rng.below(6); n > 0; n--) {
    const kinds: (() => void)[] = [
      () => put(1, [0, rng.below(3), 0, rng.below(3)]),
      () => put(rng.pick([2, 6, 70, 77]), []),
      () => put(5, randomBytes(rng, 6 * rng.below(3))),
      () => put(64, randomBytes(rng, 2 + 4 * rng.below(3))),
      () => put(65, u32(rng.u32())),
      () => put(69, randomBytes(rng, 4 * rng.below(3))),
      () => put(73, [2, 97, 98, 1, 99]),
      () => put(rng.below(256), randomBytes(rng, rng.below(40))),
    ];
    rng.pick(kinds)();
  }
  const fixed = [4, ...randomBytes(rng, 8)];
  if (capabilities.length === 0) return new Uint8Array([...fixed, 0]);
  if (capabilities.length > 253 || rng.chance(0.2)) {
    const length = capabilities.length;
    const total = length + 3;
    return new Uint8Array([
      ...fixed,
      255,
      255,
      total >>> 8,
      total & 255,
      2,
      length >>> 8,
      length & 255,
      ...capabilities,
    ]);
  }
  return new Uint8Array([...fixed, capabilities.length + 2, 2, capabilities.length, ...capabilities]);
}
