// Values of the attributes that have a structure of their own: valid ones drawn at random. What is wrong with them is
// made by cases.ts (whole attributes) and by `spoilTlv` (one length or type within).

import type { Rng } from '../../src/lib/rng.ts';
import { attribute, concat, u32 } from '../golden/build.ts';
import { randomBytes } from './random.ts';

function tlv16(type: number, value: readonly number[], wideType = false): number[] {
  const head = wideType ? [type >>> 8, type & 255] : [type];
  return [...head, value.length >>> 8, value.length & 255, ...value];
}

function pmsi(rng: Rng): number[] {
  const four = [...randomBytes(rng, 4)];
  const kinds: (readonly [number, number[]])[] = [
    [0, []],
    [1, [...randomBytes(rng, rng.pick([12, 24]))]],
    [2, [6, 0, 1, 4, ...four, 0, 2, 1, 2]],
    [3, [...randomBytes(rng, rng.pick([8, 32]))]],
    [6, four],
    [6, [...randomBytes(rng, 16)]],
    [10, four],
    [11, [0, 0, 1, ...four]],
    [0x7c, [...randomBytes(rng, rng.below(20))]],
  ];
  const [type, identifier] = rng.pick(kinds);
  return [rng.below(256), type, ...randomBytes(rng, 3), ...identifier];
}

function encapsulation(rng: Rng): number[] {
  const value: number[] = [];
  for (let tunnels = rng.between(1, 3); tunnels > 0; tunnels--) {
    const subs: number[][] = [];
    if (rng.chance(0.9)) subs.push([6, 10, 0, 0, 0, 0, 0, 1, rng.between(1, 126), 1, 2, 3]);
    for (let n = rng.below(3); n > 0; n--) {
      const inner = [...randomBytes(rng, rng.below(9))];
      if (rng.chance(0.7)) subs.push([rng.pick([1, 2, 4, 8, 99]), inner.length, ...inner]);
      else subs.push([rng.between(128, 255), 0, inner.length, ...inner]);
    }
    value.push(...tlv16(rng.pick([2, 8, 13, 15, 0xfffe]), subs.flat(), true));
  }
  return value;
}

function prefixSid(rng: Rng): number[] {
  const structure = tlv16(1, [40, 24, 16, 0, 16, 64]);
  const sid = tlv16(1, [0, ...randomBytes(rng, 16), 0, 0, 19, 0, ...(rng.chance(0.5) ? structure : [])]);
  const kinds = [
    tlv16(1, [0, 0, 0, ...randomBytes(rng, 4)]),
    tlv16(3, [0, 0, ...randomBytes(rng, 6 * rng.between(1, 3))]),
    tlv16(rng.pick([5, 6]), [0, ...sid]),
    tlv16(rng.between(7, 255), [...randomBytes(rng, rng.below(6))]),
  ];
  const value: number[] = [];
  for (let n = rng.between(1, 3); n > 0; n--) value.push(...rng.pick(kinds));
  return value;
}

function aigp(rng: Rng): number[] {
  const metric = [1, 0, 11, 0, ...randomBytes(rng, 7)];
  return rng.chance(0.7) ? metric : [...metric, 2, 0, 5, 1, 2];
}

function attrSet(rng: Rng): number[] {
  const inner = concat(
    attribute(0x40, 1, [rng.below(3)]),
    attribute(0x40, 2, rng.chance(0.5) ? [] : [2, 1, ...u32(rng.u32() | 1)]),
    attribute(0x40, 5, randomBytes(rng, 4)),
    rng.chance(0.5) ? attribute(0xc0, 8, randomBytes(rng, 8)) : [],
  );
  return [...u32(rng.u32()), ...inner];
}

// One byte that is likely a length or a type becomes another.
function spoilTlv(rng: Rng, value: number[]): number[] {
  const bytes = value.slice();
  if (bytes.length === 0) return [rng.below(256)];
  const at = rng.below(Math.min(bytes.length, 12));
  bytes[at] = rng.chance(0.5) ? (bytes[at]! + rng.pick([1, 255])) & 255 : rng.below(256);
  if (rng.chance(0.3)) bytes.splice(rng.below(bytes.length), 1);
  return bytes;
}

/** Attributes with an inner structure, each there or not; `spoilt` breaks one in ten of them from within. */
export function structured(rng: Rng, internal: boolean, spoilt: boolean): Uint8Array[] {
  const made: (readonly [probability: number, flags: number, code: number, make: (rng: Rng) => number[]])[] =
    [
      [0.15, 0xc0, 22, pmsi],
      [0.15, 0xc0, 23, encapsulation],
      [0.1, 0xc0, 25, () => [...randomBytes(rng, 20 * rng.between(1, 4))]],
      [internal ? 0.15 : 0, 0x80, 26, aigp],
      [0.15, 0xc0, 40, prefixSid],
      [0.08, 0xc0, 128, attrSet],
    ];
  const attributes: Uint8Array[] = [];
  for (const [probability, flags, code, make] of made) {
    if (!rng.chance(probability)) continue;
    const value = make(rng);
    attributes.push(attribute(flags | 0x10, code, spoilt && rng.chance(0.3) ? spoilTlv(rng, value) : value));
  }
  return attributes;
}
