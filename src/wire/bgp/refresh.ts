// ROUTE-REFRESH (RFC 2918), with the subtypes of enhanced route refresh (RFC 7313). Whether the family was
// negotiated, and what is answered, is decided by others; an unknown subtype is to be ignored by them.

import { readU16 } from '../../lib/bytes.ts';
import { families, familyOf } from './family.ts';
import { type Fault, ROUTE_REFRESH_ERROR, resetFault } from './fault.ts';
import { badMessageLength, frameMessage, HEADER_LENGTH, ROUTE_REFRESH } from './header.ts';

export const REFRESH_REQUEST = 0;
/** Beginning of route refresh. */
export const REFRESH_BEGIN = 1;
/** End of route refresh. */
export const REFRESH_END = 2;

export interface RouteRefresh {
  readonly afi: number;
  readonly safi: number;
  /** Family id, or -1 when we do not know the pair. */
  readonly family: number;
  readonly subtype: number;
}

/** A whole ROUTE-REFRESH message for a family id. */
export function encodeRouteRefresh(family: number, subtype = REFRESH_REQUEST): Uint8Array {
  const { afi, safi } = families[family]!;
  return frameMessage(ROUTE_REFRESH, new Uint8Array([afi >>> 8, afi, subtype, safi]));
}

/** Reads the body in [start, end); the header stands right before it. */
export function decodeRouteRefresh(bytes: Uint8Array, start: number, end: number): RouteRefresh | Fault {
  const length = end - start;
  if (length < 4) return badMessageLength(ROUTE_REFRESH, HEADER_LENGTH + length);
  const afi = readU16(bytes, start);
  const subtype = bytes[start + 2]!;
  const safi = bytes[start + 3]!;
  if (length !== 4) {
    // RFC 7313 section 5 has its own error for its own subtypes, with the whole message as data.
    if (subtype === REFRESH_BEGIN || subtype === REFRESH_END) {
      const message = frameMessage(ROUTE_REFRESH, bytes.slice(start, end));
      return resetFault(ROUTE_REFRESH_ERROR, 1, `ROUTE-REFRESH of ${length} bytes`, message);
    }
    return badMessageLength(ROUTE_REFRESH, HEADER_LENGTH + length);
  }
  return { afi, safi, family: familyOf(afi, safi), subtype };
}
