// IPv4 and IPv6 prefixes as they stand in an UPDATE (RFC 4271 section 4.3, RFC 4760 section 5): length in bits,
// then as many bytes as hold them, with a 4-byte path identifier before where ADD-PATH was negotiated (RFC 7911).
// A section is validated once by the decoder; the readers below then walk it without checks. They take only
// integers so that V8 inlines them. Bits beyond the length may be anything on the wire and are masked.

import { type ByteWriter, readU32 } from '../../../lib/bytes.ts';

/** Whether [start, end) is a sequence of whole prefixes of at most `maxBits`. */
export function validPrefixes(
  bytes: Uint8Array,
  start: number,
  end: number,
  maxBits: number,
  addPath: boolean,
): boolean {
  const skip = addPath ? 4 : 0;
  let at = start;
  while (at < end) {
    at += skip;
    if (at >= end) return false;
    const length = bytes[at]!;
    if (length > maxBits) return false;
    at += 1 + ((length + 7) >>> 3);
  }
  return at === end;
}

/** Bytes of the prefix whose length byte is at `at`, that byte included. */
export function prefixSize(bytes: Uint8Array, at: number): number {
  return 1 + ((bytes[at]! + 7) >>> 3);
}

/** The path identifier at `at`; the length byte follows at `at + 4`. */
export function pathIdAt(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at);
}

/** The masked IPv4 address, as a uint32, of the prefix whose length byte is at `at`. */
export function ip4At(bytes: Uint8Array, at: number): number {
  const length = bytes[at]!;
  if (length > 24) {
    const whole = (bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!;
    return (whole & (-1 << (32 - length))) >>> 0;
  }
  if (length > 16) {
    const whole = (bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8);
    return (whole & (-1 << (32 - length))) >>> 0;
  }
  if (length === 0) return 0;
  const second = length > 8 ? bytes[at + 2]! << 16 : 0;
  return (((bytes[at + 1]! << 24) | second) & (-1 << (32 - length))) >>> 0;
}

/** Word `index` (0 to 3, most significant first) of the masked IPv6 address of the prefix at `at`. */
export function ip6WordAt(bytes: Uint8Array, at: number, index: number): number {
  const bits = bytes[at]! - 32 * index;
  if (bits <= 0) return 0;
  const from = at + 1 + 4 * index;
  if (bits >= 32) return readU32(bytes, from);
  let word = bytes[from]! << 24;
  if (bits > 8) word |= bytes[from + 1]! << 16;
  if (bits > 16) word |= bytes[from + 2]! << 8;
  if (bits > 24) word |= bytes[from + 3]!;
  return (word & (-1 << (32 - bits))) >>> 0;
}

/**
 * Whether an IPv4 prefix may be announced at all: RFC 4271 section 6.3 wants multicast ignored, and loopback has
 * no meaning beyond a host.
 */
export function routable4(address: number, length: number): boolean {
  if (length < 4) return true;
  return address >>> 28 !== 14 && (length < 8 || address >>> 24 !== 127);
}

/** Whether an IPv6 prefix may be announced at all: not multicast, not link-local, not ::1. */
export function routable6(a: number, b: number, c: number, d: number, length: number): boolean {
  if (length >= 8 && a >>> 24 === 0xff) return false;
  if (length >= 10 && a >>> 22 === 0x3fa) return false;
  return !(length === 128 && a === 0 && b === 0 && c === 0 && d === 1);
}

/** Appends as many bytes at `from` as hold `bits`, those beyond cleared. */
export function copyMasked(bytes: Uint8Array, from: number, bits: number, out: ByteWriter): void {
  out.copy(bytes, from, from + ((bits + 7) >>> 3));
  if ((bits & 7) !== 0) out.bytes[out.length - 1]! &= 0xff00 >>> (bits & 7);
}
