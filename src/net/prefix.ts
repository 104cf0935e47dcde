// IP prefixes: an address with its bits beyond the length cleared, and the length. Text form is RFC 4632 /
// RFC 4291 section 2.3 ("10.0.0.0/8"). Tables of prefixes live in lib/prefix-table.ts; the form on the wire in
// wire/bgp/nlri.

import { formatIp, parseIp } from './ip.ts';

/** `bytes` is 4 or 16 long and masked: bits beyond `length` are zero. */
export interface Prefix {
  bytes: Uint8Array;
  length: number;
}

/** Clears the bits beyond `length` in place. */
export function maskBytes(
  bytes: Uint8Array,
  length: number,
  start = 0,
  addrLength = bytes.length - start,
): void {
  let at = length >>> 3;
  if (at >= addrLength) return;
  if ((length & 7) !== 0) bytes[start + at++]! &= 0xff00 >>> (length & 7);
  bytes.fill(0, start + at, start + addrLength);
}

/** The netmask of an IPv4 prefix length as a uint32. */
export function mask4(length: number): number {
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
}

/** A masked prefix from an address and a length. The address is copied. */
export function prefixOf(address: Uint8Array, length: number): Prefix {
  const bytes = address.slice();
  maskBytes(bytes, length);
  return { bytes, length };
}

/**
 * `address/length` text as a masked prefix; undefined when it is not one. With `strict`, text whose address has
 * bits beyond the length is refused too, for configuration where it is more likely a slip.
 */
export function parsePrefix(text: string, options: { strict?: boolean } = {}): Prefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const digits = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(digits)) return undefined;
  const length = Number(digits);
  const address = parseIp(text.slice(0, slash));
  if (address === undefined || length > address.length * 8) return undefined;
  const prefix = prefixOf(address, length);
  if (options.strict === true && address.some((byte, i) => byte !== prefix.bytes[i])) return undefined;
  return prefix;
}

/** Text of the prefix whose `addrLength` (4 or 16) address bytes are at `start`. */
export function formatPrefix(
  bytes: Uint8Array,
  start: number,
  addrLength: number,
  prefixLength: number,
): string {
  return `${formatIp(bytes, start, addrLength)}/${prefixLength}`;
}

/** Text of a prefix. */
export function prefixText(prefix: Prefix): string {
  return formatPrefix(prefix.bytes, 0, prefix.bytes.length, prefix.length);
}

/** Whether `inner` (a prefix, or an address as a host prefix) lies within `outer`; false across families. */
export function prefixContains(outer: Prefix, inner: Prefix): boolean {
  if (outer.bytes.length !== inner.bytes.length || inner.length < outer.length) return false;
  const whole = outer.length >>> 3;
  for (let i = 0; i < whole; i++) if (outer.bytes[i] !== inner.bytes[i]) return false;
  const rest = outer.length & 7;
  return rest === 0 || ((outer.bytes[whole]! ^ inner.bytes[whole]!) & (0xff00 >>> rest) & 255) === 0;
}

/** Whether the address lies within the prefix. */
export function prefixContainsIp(outer: Prefix, address: Uint8Array): boolean {
  return prefixContains(outer, { bytes: address, length: address.length * 8 });
}

/** Whether two prefixes are the same. */
export function samePrefix(a: Prefix, b: Prefix): boolean {
  return a.length === b.length && prefixContains(a, b);
}
