// Adding a community to a set of attributes, as well-known ones ask for (net/community.ts), and taking away what is
// said of moves. What else is done with communities is policy's.

import type { ByteWriter } from '../lib/bytes.ts';
import { isMoveSequence } from '../net/community.ts';
import {
  attributeFlags,
  findAttribute,
  findAttributeEnd,
  removeAttribute,
  setAttribute,
} from '../wire/bgp/attribute/canonical.ts';
import { COMMUNITIES, LARGE_COMMUNITIES } from '../wire/bgp/attribute/table.ts';

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

/** The same canonical attributes without move sequences, which they have. */
export function dropMoveSequences(out: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  const from = findAttribute(bytes, start, end, LARGE_COMMUNITIES);
  const to = findAttributeEnd(bytes, start, end, LARGE_COMMUNITIES);
  const kept = new Uint8Array(to - from);
  let length = 0;
  for (let at = from; at < to; at += 12) {
    if (isMoveSequence(bytes, at)) continue;
    kept.set(bytes.subarray(at, at + 12), length);
    length += 12;
  }
  if (length === 0) removeAttribute(out, bytes, start, end, LARGE_COMMUNITIES);
  else {
    const flags = attributeFlags(LARGE_COMMUNITIES);
    setAttribute(out, bytes, start, end, LARGE_COMMUNITIES, flags, kept, 0, length);
  }
}
