// Adding a community to a set of attributes, as well-known ones ask for (net/community.ts). What else is done with
// communities is policy's.

import type { ByteWriter } from '../lib/bytes.ts';
import {
  attributeFlags,
  findAttribute,
  findAttributeEnd,
  setAttribute,
} from '../wire/bgp/attribute/canonical.ts';
import { COMMUNITIES } from '../wire/bgp/attribute/table.ts';

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
