// The text forms of communities: standard (RFC 1997, and the well-known names of the IANA registry) and large
// (RFC 8092); extended ones are extended-community.ts'. Text is for the edges: on the hot path a community is
// bytes within an attribute.

import { readU32, writeU32 } from '../lib/bytes.ts';
import { decimal } from './hex.ts';

export { formatExtendedCommunity, parseExtendedCommunity } from './extended-community.ts';

/** Those that speakers act on: RFC 1997 section 2, RFC 7999, RFC 8326, RFC 9494 section 4.6. */
export const NO_EXPORT_COMMUNITY = 0xffffff01;
export const NO_ADVERTISE_COMMUNITY = 0xffffff02;
export const NO_EXPORT_SUBCONFED_COMMUNITY = 0xffffff03;
export const GRACEFUL_SHUTDOWN_COMMUNITY = 0xffff0000;
export const LLGR_STALE_COMMUNITY = 0xffff0006;
export const NO_LLGR_COMMUNITY = 0xffff0007;
export const BLACKHOLE_COMMUNITY = 0xffff029a;

/**
 * Second words of the large communities `ASN:28022:SEQ` and `ASN:28023:SEQ` that leafd puts on routes of guests: how
 * often the address has moved from node to node. The second form is said while the move is fresh.
 */
export const MOVE_SEQUENCE = 28022;
export const MOVE_SEQUENCE_FRESH = 28023;

const wellKnown: readonly (readonly [number, string])[] = [
  [GRACEFUL_SHUTDOWN_COMMUNITY, 'graceful-shutdown'],
  [0xffff0001, 'accept-own'],
  [LLGR_STALE_COMMUNITY, 'llgr-stale'],
  [NO_LLGR_COMMUNITY, 'no-llgr'],
  [BLACKHOLE_COMMUNITY, 'blackhole'],
  [NO_EXPORT_COMMUNITY, 'no-export'],
  [NO_ADVERTISE_COMMUNITY, 'no-advertise'],
  [NO_EXPORT_SUBCONFED_COMMUNITY, 'no-export-subconfed'],
  [0xffffff04, 'no-peer'],
];
const nameByCommunity = new Map(wellKnown);
const communityByName = new Map(wellKnown.map(([value, name]) => [name, value]));

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

/** Whether the large community of the 12 bytes at `start` says a move sequence, in either form. */
export function isMoveSequence(bytes: Uint8Array, start: number): boolean {
  const kind = readU32(bytes, start + 4);
  return kind === MOVE_SEQUENCE || kind === MOVE_SEQUENCE_FRESH;
}

/** The large community of the 12 bytes at `start` as `a:b:c`. */
export function formatLargeCommunity(bytes: Uint8Array, start = 0): string {
  return `${readU32(bytes, start)}:${readU32(bytes, start + 4)}:${readU32(bytes, start + 8)}`;
}
