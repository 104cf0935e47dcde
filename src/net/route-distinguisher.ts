// Route distinguishers (RFC 4364 section 4.2): eight bytes that tell equal addresses of different VPNs apart. Three
// types, by the size of the administrator: `65000:1`, `10.0.0.1:1`, `4200000000:1`. A small ASN in the 4-octet form
// is `65000L:1`, so that it does not read back as the 2-octet form; a type we do not know is `0x` and its bytes.
// Every text but the last has exactly one colon: a prefix may follow behind another.

import { readU16, readU32, writeU16, writeU32 } from '../lib/bytes.ts';
import { decimal, hexText, parseHex } from './hex.ts';
import { formatIp4, parseIp4 } from './ip.ts';

export const ROUTE_DISTINGUISHER_LENGTH = 8;

/** Text of the route distinguisher in the 8 bytes at `start`. */
export function formatRouteDistinguisher(bytes: Uint8Array, start = 0): string {
  const type = readU16(bytes, start);
  if (type > 2) return `0x${hexText(bytes, start, start + 8)}`;
  return formatAdministered(type, bytes, start + 2);
}

/** The 8 bytes of a route distinguisher's text, or undefined. */
export function parseRouteDistinguisher(text: string): Uint8Array | undefined {
  if (/^0x[0-9a-f]{16}$/i.test(text)) return parseHex(text.slice(2));
  const bytes = new Uint8Array(8);
  const type = parseAdministered(text, bytes, 2);
  if (type < 0) return undefined;
  bytes[1] = type;
  return bytes;
}

/**
 * Text of the six bytes `administrator:number` at `at`, as route distinguishers and route targets have them:
 * `type` 0 a 2-octet ASN, 1 an IPv4 address, 2 a 4-octet ASN.
 */
export function formatAdministered(type: number, bytes: Uint8Array, at: number): string {
  if (type === 0) return `${readU16(bytes, at)}:${readU32(bytes, at + 2)}`;
  const administrator = readU32(bytes, at);
  const number = readU16(bytes, at + 4);
  if (type === 1) return `${formatIp4(administrator)}:${number}`;
  return administrator > 0xffff ? `${administrator}:${number}` : `${administrator}L:${number}`;
}

/** Writes the six bytes of such a text at `at`; the type, or -1 when it is not one. */
export function parseAdministered(text: string, into: Uint8Array, at: number): number {
  const parts = text.split(':');
  if (parts.length !== 2) return -1;
  const address = parseIp4(parts[0]!);
  const long = parts[0]!.endsWith('L');
  const asn = address === undefined ? decimal(long ? parts[0]!.slice(0, -1) : parts[0], 0xffffffff) : -1;
  if (address === undefined && asn < 0) return -1;
  const short = address === undefined && !long && asn <= 0xffff;
  const number = decimal(parts[1], short ? 0xffffffff : 0xffff);
  if (number < 0) return -1;
  if (short) {
    writeU16(into, at, asn);
    writeU32(into, at + 2, number);
    return 0;
  }
  writeU32(into, at, address ?? asn);
  writeU16(into, at + 4, number);
  return address === undefined ? 2 : 1;
}
