// The AS a route is judged by (RFC 6811 section 2), out of canonical attributes: the last AS of the path, our own for a
// path that is empty or ends within our confederation, none where an AS_SET hides it. On the way out the AS that counts
// is the one the neighbour will see (RFC 8893), which local-as, as-override and the removal of private ASes may change.

import { readU32 } from '../lib/bytes.ts';
import { isPrivateAsn } from '../net/asn.ts';
import { AS_SEQUENCE, AS_SET } from '../wire/bgp/attribute/as-path.ts';
import { findAttribute, findAttributeEnd } from '../wire/bgp/attribute/canonical.ts';
import { AS_PATH } from '../wire/bgp/attribute/table.ts';

/** What `originAsn` gives where the origin cannot be told: it matches no payload. */
const NO_ORIGIN = 0;

/** The origin AS of attributes [start, end); `ownAsn` is the AS that the world knows this router by. */
export function originAsn(bytes: Uint8Array, start: number, end: number, ownAsn: number): number {
  const pathEnd = findAttributeEnd(bytes, start, end, AS_PATH);
  if (pathEnd < 0) return ownAsn;
  let origin = ownAsn;
  for (let at = findAttribute(bytes, start, end, AS_PATH); at < pathEnd; ) {
    const type = bytes[at]!;
    const segmentEnd = at + 2 + bytes[at + 1]! * 4;
    if (type === AS_SEQUENCE) origin = readU32(bytes, segmentEnd - 4);
    else origin = type === AS_SET ? NO_ORIGIN : ownAsn;
    at = segmentEnd;
  }
  return origin;
}

/** What is done to the path on its way to a neighbour outside, as far as it can change the origin. */
export interface ExportedPath {
  /** Ours behind all others of ours: the confederation's or plainly ours, that of `localAs` where it replaces it. */
  ownAsn: number;
  /** Private ASes leave the path: all of them, or only when there is no public one; `replace`: by ours. */
  removePrivateAs?: { all: boolean; replace: boolean };
  /** The neighbour's AS, where it is replaced by ours. */
  overriddenAsn?: number;
}

/** The origin AS as the neighbour will see it (RFC 8893 section 3). */
export function exportedOriginAsn(
  bytes: Uint8Array,
  start: number,
  end: number,
  exported: ExportedPath,
): number {
  const { ownAsn, removePrivateAs, overriddenAsn } = exported;
  const origin = originAsn(bytes, start, end, ownAsn);
  if (origin === NO_ORIGIN) return NO_ORIGIN;
  if (origin === overriddenAsn) return ownAsn;
  if (removePrivateAs === undefined || !isPrivateAsn(origin)) return origin;
  const last = lastPublicAsn(bytes, start, end);
  // Without `all`, a path with a public AS in it is left as it is.
  if (last !== 0 && !removePrivateAs.all) return origin;
  return removePrivateAs.replace || last === 0 ? ownAsn : last;
}

/** The last AS of the path's sequences that is not private, or 0. */
function lastPublicAsn(bytes: Uint8Array, start: number, end: number): number {
  const pathEnd = findAttributeEnd(bytes, start, end, AS_PATH);
  let last = 0;
  for (let at = findAttribute(bytes, start, end, AS_PATH); at >= 0 && at < pathEnd; ) {
    const type = bytes[at]!;
    const segmentEnd = at + 2 + bytes[at + 1]! * 4;
    for (at += 2; at < segmentEnd; at += 4)
      if (type === AS_SEQUENCE && !isPrivateAsn(readU32(bytes, at))) last = readU32(bytes, at);
  }
  return last;
}
