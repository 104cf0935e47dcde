// The text forms of communities: standard (RFC 1997, and the well-known names of the IANA registry), large
// (RFC 8092) and extended (RFC 4360, 5668: route target, site of origin; any other as `ext:0x` and 16 digits).
// Text is for the edges: on the hot path a community is bytes within an attribute.

import { readU16, readU32, writeU16, writeU32 } from '../lib/bytes.ts';
import { formatIp4, parseIp4 } from './ip.ts';

export const NO_EXPORT = 0xffffff01;
export const NO_ADVERTISE = 0xffffff02;
export const NO_EXPORT_SUBCONFED = 0xffffff03;
export const GRACEFUL_SHUTDOWN = 0xffff0000;
export const LLGR_STALE = 0xffff0006;
export const NO_LLGR = 0xffff0007;
export const BLACKHOLE = 0xffff029a;

const wellKnown: readonly (readonly [number, string])[] = [
  [GRACEFUL_SHUTDOWN, 'graceful-shutdown'],
  [0xffff0001, 'accept-own'],
  [LLGR_STALE, 'llgr-stale'],
  [NO_LLGR, 'no-llgr'],
  [BLACKHOLE, 'blackhole'],
  [NO_EXPORT, 'no-export'],
  [NO_ADVERTISE, 'no-advertise'],
  [NO_EXPORT_SUBCONFED, 'no-export-subconfed'],
  [0xffffff04, 'no-peer'],
];
const nameByCommunity = new Map(wellKnown);
const communityByName = new Map(wellKnown.map(([value, name]) => [name, value]));

/** Decimal digits as a number no greater than `max`, or -1. */
function decimal(text: string | undefined, max: number): number {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return -1;
  const value = Number(text);
  return value <= max ? value : -1;
}

/** `65000:1` or a well-known name as a uint32, or undefined. */
export function parseCommunity(text: string): number | undefined {
  const named = communityByName.get(text.toLowerCase());
  if (named !== undefined) return named;
  const parts = text.split(':');
  const high = decimal(parts[0], 0xffff);
  const low = decimal(parts[1], 0xffff);
  return parts.length === 2 && high >= 0 && low >= 0 ? high * 65536 + low : undefined;
}

/** The well-known name where there is one, else `high:low`. */
export function formatCommunity(community: number): string {
  return nameByCommunity.get(community >>> 0) ?? `${community >>> 16}:${community & 0xffff}`;
}

/** `65000:1:2` as 12 bytes, or undefined. */
export function parseLargeCommunity(text: string): Uint8Array | undefined {
  const parts = text.split(':');
  if (parts.length !== 3) return undefined;
  const bytes = new Uint8Array(12);
  for (let i = 0; i < 3; i++) {
    const value = decimal(parts[i], 0xffffffff);
    if (value < 0) return undefined;
    writeU32(bytes, 4 * i, value);
  }
  return bytes;
}

/** The large community of the 12 bytes at `start` as `a:b:c`. */
export function formatLargeCommunity(bytes: Uint8Array, start = 0): string {
  return `${readU32(bytes, start)}:${readU32(bytes, start + 4)}:${readU32(bytes, start + 8)}`;
}

const ROUTE_TARGET = 2;
const SITE_OF_ORIGIN = 3;

/**
 * `rt:65000:1`, `rt:10.0.0.1:1`, `rt:4200000000:1`, `soo:…` or `ext:0x0002fde800000001` as 8 bytes, or undefined.
 * The administrator's size chooses the type: a 2-octet ASN leaves 32 bits for the number, the others 16.
 */
export function parseExtendedCommunity(text: string): Uint8Array | undefined {
  const raw = /^ext:0x([0-9a-f]{16})$/i.exec(text);
  const bytes = new Uint8Array(8);
  if (raw !== null) {
    for (let i = 0; i < 8; i++) bytes[i] = Number.parseInt(raw[1]!.slice(2 * i, 2 * i + 2), 16);
    return bytes;
  }
  const parts = text.split(':');
  if (parts.length !== 3) return undefined;
  const kind = parts[0]!.toLowerCase();
  if (kind !== 'rt' && kind !== 'soo') return undefined;
  bytes[1] = kind === 'rt' ? ROUTE_TARGET : SITE_OF_ORIGIN;
  const address = parseIp4(parts[1]!);
  const asn = address === undefined ? decimal(parts[1], 0xffffffff) : -1;
  if (address === undefined && asn < 0) return undefined;
  const short = address === undefined && asn <= 0xffff;
  const number = decimal(parts[2], short ? 0xffffffff : 0xffff);
  if (number < 0) return undefined;
  if (short) {
    writeU16(bytes, 2, asn);
    writeU32(bytes, 4, number);
  } else {
    bytes[0] = address === undefined ? 2 : 1;
    writeU32(bytes, 2, address ?? asn);
    writeU16(bytes, 6, number);
  }
  return bytes;
}

/** Text of the extended community in the 8 bytes at `start`. */
export function formatExtendedCommunity(bytes: Uint8Array, start = 0): string {
  const type = bytes[start]!;
  const subtype = bytes[start + 1]!;
  if (type <= 2 && (subtype === ROUTE_TARGET || subtype === SITE_OF_ORIGIN)) {
    const kind = subtype === ROUTE_TARGET ? 'rt' : 'soo';
    if (type === 0) return `${kind}:${readU16(bytes, start + 2)}:${readU32(bytes, start + 4)}`;
    const administrator = readU32(bytes, start + 2);
    // A small ASN in the 4-octet form must not read back as the 2-octet form: it keeps its bytes instead.
    if (type === 1) return `${kind}:${formatIp4(administrator)}:${readU16(bytes, start + 6)}`;
    if (administrator > 0xffff) return `${kind}:${administrator}:${readU16(bytes, start + 6)}`;
  }
  let digits = '';
  for (let i = 0; i < 8; i++) digits += bytes[start + i]!.toString(16).padStart(2, '0');
  return `ext:0x${digits}`;
}
