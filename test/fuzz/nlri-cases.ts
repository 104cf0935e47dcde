// NLRI and next hops of every family, valid ones drawn at random and ones spoilt in their structure: a length, a type or an
// inner length goes wrong while what is around it stays right, so that the family's own checks are met.

import type { Rng } from '../../src/lib/rng.ts';
import { concat, u32 } from '../golden/build.ts';
import { randomBytes } from './random.ts';

/** AFI and SAFI by family id, written apart from the product's table. */
export const wireFamilies: readonly (readonly [afi: number, safi: number])[] = [
  [1, 1],
  [2, 1],
  [1, 128],
  [2, 128],
  [25, 70],
  [1, 132],
  [1, 133],
  [2, 133],
  [1, 134],
  [2, 134],
];

function prefix(rng: Rng, maxBits: number): number[] {
  const bits = rng.below(maxBits + 1);
  return [bits, ...randomBytes(rng, (bits + 7) >>> 3)];
}

function distinguisher(rng: Rng): number[] {
  return [0, rng.below(4), ...randomBytes(rng, 6)];
}

function vpn(rng: Rng, maxBits: number): number[] {
  const [bits, ...bytes] = prefix(rng, maxBits);
  return [88 + bits!, ...randomBytes(rng, 3), ...distinguisher(rng), ...bytes];
}

function address(rng: Rng): number[] {
  const length = rng.pick([4, 16]);
  return [length * 8, ...randomBytes(rng, length)];
}

const zeros = (length: number): number[] => new Array<number>(length).fill(0);

function evpnValue(rng: Rng, type: number): number[] {
  const rd = distinguisher(rng);
  const esi = rng.chance(0.5) ? zeros(10) : [...randomBytes(rng, 10)];
  const tag = rng.chance(0.5) ? zeros(4) : [...randomBytes(rng, 4)];
  const label = [...randomBytes(rng, 3)];
  switch (type) {
    case 1:
      return [...rd, ...esi, ...tag, ...label];
    case 2: {
      const ip = rng.chance(0.5) ? [0] : address(rng);
      const second = rng.chance(0.3) ? [...randomBytes(rng, 3)] : [];
      return [...rd, ...esi, ...tag, 48, ...randomBytes(rng, 6), ...ip, ...label, ...second];
    }
    case 3:
      return [...rd, ...tag, ...address(rng)];
    case 4:
      return [...rd, ...esi, ...address(rng)];
    case 5: {
      const length = rng.pick([4, 16]);
      const bits = rng.below(length * 8 + 1);
      const overlay = rng.chance(0.2);
      const gateway = overlay ? [...randomBytes(rng, length)] : zeros(length);
      return [
        ...rd,
        ...(overlay ? zeros(10) : esi),
        ...tag,
        bits,
        ...randomBytes(rng, length),
        ...gateway,
        ...label,
      ];
    }
    default:
      return [...randomBytes(rng, rng.between(33, 60))];
  }
}

function operators(rng: Rng, lengthMax: number): number[] {
  const list: number[] = [];
  for (let count = rng.between(1, 4); count > 0; count--) {
    const size = rng.below(lengthMax + 1);
    const operator = (rng.below(256) & 0x4f) | (size << 4) | (count === 1 ? 0x80 : 0);
    list.push(operator, ...randomBytes(rng, 1 << size));
  }
  return list;
}

function flowPattern(rng: Rng, six: boolean): number[] {
  if (!six) return prefix(rng, 32);
  const bits = rng.below(129);
  const offset = bits === 0 ? 0 : rng.below(rng.chance(0.5) ? 1 : bits);
  return [bits, offset, ...randomBytes(rng, (bits - offset + 7) >>> 3)];
}

function flow(rng: Rng, six: boolean, vpnForm: boolean): number[] {
  const value = vpnForm ? distinguisher(rng) : [];
  const first = rng.between(1, 12);
  for (let type = first; type <= (six ? 13 : 12); type += rng.between(1, 4)) {
    if (type <= 2) value.push(type, ...flowPattern(rng, six));
    else value.push(type, ...operators(rng, type === 9 ? 1 : type === 11 || type === 12 ? 0 : 3));
  }
  if (rng.chance(0.05)) {
    // Long enough for a length of two bytes.
    value.length = vpnForm ? 8 : 0;
    value.push(4);
    for (let i = 0; i < 100; i++) value.push(0x11, 0, i);
    value.push(0x91, 0, 255);
  }
  const long = value.length >= 240 || rng.chance(0.1);
  return long ? [0xf0 | (value.length >>> 8), value.length & 255, ...value] : [value.length, ...value];
}

/** One valid NLRI of a family, without path identifier. */
export function validOf(rng: Rng, family: number): number[] {
  switch (family) {
    case 0:
      return prefix(rng, 32);
    case 1:
      return prefix(rng, 128);
    case 2:
      return vpn(rng, 32);
    case 3:
      return vpn(rng, 128);
    case 4: {
      const type = rng.chance(0.8) ? rng.between(1, 5) : rng.between(6, 11);
      const value = evpnValue(rng, type);
      return [type, value.length, ...value];
    }
    case 5: {
      const bits = rng.chance(0.2) ? 0 : rng.chance(0.5) ? 96 : rng.between(32, 96);
      return [bits, ...randomBytes(rng, (bits + 7) >>> 3)];
    }
    default:
      return flow(rng, family === 7 || family === 9, family >= 8);
  }
}

// The first bytes hold types and lengths, the inner ones are anywhere.
function spoilOne(rng: Rng, valid: number[]): number[] {
  const bytes = valid.slice();
  switch (rng.below(5)) {
    case 0:
      bytes[0] = rng.below(256);
      return bytes;
    case 1:
      if (bytes.length > 1) bytes[1] = rng.below(256);
      return bytes;
    case 2:
      bytes[rng.below(bytes.length)] = rng.pick([0, 1, 31, 32, 33, 47, 48, 64, 127, 128, 129, 255]);
      return bytes;
    case 3:
      // Longer or shorter with an outer length to match, where that is the second byte (EVPN) or the first (flow).
      if (rng.chance(0.5)) bytes.push(rng.below(256));
      else bytes.pop();
      bytes[rng.below(2)] = Math.max(0, bytes.length - rng.between(1, 2)) & 255;
      return bytes;
    default:
      bytes.splice(rng.below(bytes.length), rng.between(1, 3));
      return bytes;
  }
}

/** A field of NLRI, each behind a path identifier where `addPath`; `damaged` spoils one of them. */
export function nlriField(rng: Rng, family: number, addPath: boolean, damaged: boolean): Uint8Array {
  const parts: number[][] = [];
  for (let count = rng.below(6); count > 0; count--) {
    if (addPath) parts.push(u32(rng.u32()));
    parts.push(validOf(rng, family));
  }
  if (damaged && parts.length > 0) {
    const at = rng.below(parts.length);
    parts[at] = spoilOne(rng, parts[at]!);
  }
  return concat(...parts);
}

/** The next hop of a family as it stands in MP_REACH. */
export function nextHopField(rng: Rng, family: number): number[] {
  const four = [rng.between(1, 126), rng.below(256), rng.below(256), rng.below(256)];
  const global = [0x20, 1, ...randomBytes(rng, 14)];
  const linkLocal = [0xfe, 0x80, ...randomBytes(rng, 14)];
  const rd = rng.chance(0.8) ? zeros(8) : [...randomBytes(rng, 8)];
  const mapped = [...zeros(10), 255, 255, ...four];
  switch (family) {
    case 0:
      return rng.pick([four, global, linkLocal, [...global, ...linkLocal], [...linkLocal, ...linkLocal]]);
    case 1:
      return rng.pick([global, linkLocal, [...global, ...linkLocal], [...linkLocal, ...linkLocal]]);
    case 2:
      return [...rd, ...rng.pick([four, global])];
    case 3:
      return rng.pick([
        [...rd, ...global],
        [...rd, ...mapped],
        [...rd, ...global, ...rd, ...linkLocal],
      ]);
    case 4:
    case 5:
      return rng.pick([four, global]);
    default:
      return rng.chance(0.8) ? [] : four;
  }
}
