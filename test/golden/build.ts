// Messages from text, for tests: hex with comments to bytes, attributes byte by byte (well-formed or not), and
// whole UPDATE bodies. Written apart from the encoder of the product, so that one can check the other.

import { parsePrefix } from '../../src/net/prefix.ts';

/** Bytes of hex text; white space and everything behind `#` on a line is ignored. */
export function golden(text: string): Uint8Array {
  const digits = text.replace(/#.*$/gm, '').replace(/\s/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hex: ${digits}`);
  return new Uint8Array((digits.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)));
}

/** Hex of bytes[start, end). */
export function hexOf(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return [...bytes.subarray(start, end)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** One path attribute; the length field is the value's unless given. */
export function attribute(
  flags: number,
  code: number,
  value: Uint8Array | readonly number[],
  length = value.length,
): Uint8Array {
  const header = (flags & 0x10) === 0 ? [flags, code, length] : [flags, code, length >>> 8, length & 255];
  return concat(header, value);
}

/** Prefixes as NLRI. */
export function nlri(...prefixes: readonly string[]): Uint8Array {
  return concat(
    ...prefixes.map((text) => {
      const prefix = parsePrefix(text)!;
      return [prefix.length, ...prefix.bytes.subarray(0, (prefix.length + 7) >>> 3)];
    }),
  );
}

/** The body of an UPDATE. */
export function updateBody(parts: {
  withdrawn?: Uint8Array;
  attributes?: readonly Uint8Array[];
  nlri?: Uint8Array;
}): Uint8Array {
  const withdrawn = parts.withdrawn ?? new Uint8Array(0);
  const attributes = concat(...(parts.attributes ?? []));
  return concat(
    [withdrawn.length >>> 8, withdrawn.length & 255],
    withdrawn,
    [attributes.length >>> 8, attributes.length & 255],
    attributes,
    parts.nlri ?? [],
  );
}

export function u32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

/** An AS_SEQUENCE with 4-octet ASNs. */
export function sequence(...asns: readonly number[]): number[] {
  return [2, asns.length, ...asns.flatMap(u32)];
}

export const origin = attribute(0x40, 1, [0]);
export const asPath = attribute(0x40, 2, sequence(65001, 65002));
export const nextHop = attribute(0x40, 3, [192, 0, 2, 1]);
export const localPref = attribute(0x40, 5, u32(100));
