// The Internet checksum (RFC 1071) over headers, and over the pseudo-headers of UDP and ICMPv6 (RFC 768, RFC 8200
// section 8.1). Sums are of 16-bit words and stay below 2^53 for any frame; they are folded once at the end.

import { readU16 } from '../../lib/bytes.ts';

/** Sum of the 16-bit words of bytes[start, end), an odd last byte as the high half of a word. */
export function wordSum(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0;
  let at = start;
  for (; at + 1 < end; at += 2) sum += readU16(bytes, at);
  return at < end ? sum + (bytes[at]! << 8) : sum;
}

/** A sum brought down to 16 bits, carries added at the other end. */
export function folded(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** The checksum of a sum of words in which its own field counted as zero. */
export function checksumOf(sum: number): number {
  return ~folded(sum) & 0xffff;
}

/** Sum of the pseudo-header of `length` bytes between two addresses of one family. */
export function pseudoSum(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  length: number,
): number {
  return (
    wordSum(source, 0, source.length) +
    wordSum(destination, 0, destination.length) +
    protocol +
    (length >>> 16) +
    (length & 0xffff)
  );
}
