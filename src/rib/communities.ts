// The well-known communities that this room acts on, and adding one to a set of attributes: RFC 1997 section 2,
// RFC 7999, RFC 8326, RFC 9494 section 4.6. What else is done with communities is policy's.

import type { ByteWriter } from '../lib/bytes.ts';
import {
  attributeFlags,
  findAttribute,
  findAttributeEnd,
  setAttribute,
} from '../wire/bgp/attribute/canonical.ts';
import { COMMUNITIES } from '../wire/bgp/attribute/table.ts';

export const GRACEFUL_SHUTDOWN_COMMUNITY = 0xffff_0000;
export const LLGR_STALE_COMMUNITY = 0xffff_0006;
export const NO_LLGR_COMMUNITY = 0xffff_0007;
export const BLACKHOLE_COMMUNITY = 0xffff_029a;
export const NO_EXPORT_COMMUNITY = 0xffff_ff01;
export const NO_ADVERTISE_COMMUNITY = 0xffff_ff02;
export const NO_EXPORT_SUBCONFED_COMMUNITY = 0xffff_ff03;

/** The same canonical attributes with one more community, at the end of the list. */
export function addCommunity(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
  community: number,
): void {
  const from = findAttribute(bytes, start, end, COMMUNITIES);
  const to = findAttributeEnd(bytes, start, end, COMMUNITIES);
  const present = from < 0 ? 0 : to - from;
  const value = new Uint8Array(present + 4);
  for (let i = 0; i < present; i++) value[i] = bytes[from + i]!;
  new DataView(value.buffer).setUint32(present, community);
  setAttribute(out, bytes, start, end, COMMUNITIES, attributeFlags(COMMUNITIES), value);
}
