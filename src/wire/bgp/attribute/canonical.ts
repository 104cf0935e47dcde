// The canonical form of path attributes: how they lie in the attribute pool, in policy and in the writer.
//   - ascending by type code, each once; flags corrected; the extended length bit only for more than 255 bytes
//   - AS_PATH and AGGREGATOR with 4-octet ASNs; no AS4_PATH, no AS4_AGGREGATOR
//   - no NEXT_HOP, MP_REACH, MP_UNREACH: these belong to the route, not to the set
// Equal sets are therefore equal bytes. Readers walk [start, end) without checks: only the decoder and the
// functions below write this form. Every edit takes one canonical range and writes a whole new one.

import { assert } from '../../../lib/assert.ts';
import { type ByteWriter, readU16, readU32, writeU32 } from '../../../lib/bytes.ts';
import { AS_SEQUENCE } from './as-path.ts';
import { AS_PATH, attributeRows, EXTENDED_LENGTH, ORIGIN } from './table.ts';

/**
 * Bytes of a set that has grown since it stood in a message, at most: widened ASNs, a policy's changes. A set has at
 * most 65535 bytes, and what import adds of its own accord (OTC, LOCAL_PREF, communities, local-as) must have room.
 */
export const SET_LENGTH_MAX = 0xffff - 64;

/** Where the value of the attribute at `at` begins. */
export function valueStart(bytes: Uint8Array, at: number): number {
  return (bytes[at]! & EXTENDED_LENGTH) === 0 ? at + 3 : at + 4;
}

/** Where the value of the attribute at `at` ends: the place of the next attribute. */
export function valueEnd(bytes: Uint8Array, at: number): number {
  return (bytes[at]! & EXTENDED_LENGTH) === 0 ? at + 3 + bytes[at + 2]! : at + 4 + readU16(bytes, at + 2);
}

// The offset of the first attribute whose code is `code` or greater, or `end`.
function seek(bytes: Uint8Array, start: number, end: number, code: number): number {
  let at = start;
  while (at < end && bytes[at + 1]! < code) at = valueEnd(bytes, at);
  return at;
}

/** Offset of the value of attribute `code`, or -1. */
export function findAttribute(bytes: Uint8Array, start: number, end: number, code: number): number {
  const at = seek(bytes, start, end, code);
  return at < end && bytes[at + 1] === code ? valueStart(bytes, at) : -1;
}

/** Offset behind the value of attribute `code`, or -1. */
export function findAttributeEnd(bytes: Uint8Array, start: number, end: number, code: number): number {
  const at = seek(bytes, start, end, code);
  return at < end && bytes[at + 1] === code ? valueEnd(bytes, at) : -1;
}

/** The uint32 of attribute `code` (MED, LOCAL_PREF, ORIGINATOR_ID, OTC), or -1 when it is absent. */
export function u32Attribute(bytes: Uint8Array, start: number, end: number, code: number): number {
  const at = findAttribute(bytes, start, end, code);
  return at < 0 ? -1 : readU32(bytes, at);
}

/** The flags that attribute `code` has in canonical form, but for Partial. */
export function attributeFlags(code: number): number {
  const row = attributeRows[code];
  assert(row !== undefined, `attribute ${code} has no row`);
  return row.flags;
}

/** Writes flags, code and the length of a value of `length` bytes (at most 65535), which the caller then writes. */
export function writeAttributeHeader(out: ByteWriter, flags: number, code: number, length: number): void {
  assert(length <= 0xffff, `attribute ${code} of ${length} bytes`);
  if (length > 255)
    out
      .u8(flags | EXTENDED_LENGTH)
      .u8(code)
      .u16(length);
  else
    out
      .u8(flags & ~EXTENDED_LENGTH)
      .u8(code)
      .u8(length);
}

/** The same attributes with `code` set to value[valueFrom, valueTo), whether it was there or not. */
export function setAttribute(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
  code: number,
  flags: number,
  value: Uint8Array,
  valueFrom = 0,
  valueTo = value.length,
): void {
  const at = seek(bytes, start, end, code);
  out.copy(bytes, start, at);
  writeAttributeHeader(out, flags, code, valueTo - valueFrom);
  out.copy(value, valueFrom, valueTo);
  out.copy(bytes, at < end && bytes[at + 1] === code ? valueEnd(bytes, at) : at, end);
}

/** The same attributes without `code`. */
export function removeAttribute(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
  code: number,
): void {
  const at = seek(bytes, start, end, code);
  out.copy(bytes, start, at);
  out.copy(bytes, at < end && bytes[at + 1] === code ? valueEnd(bytes, at) : at, end);
}

const word = new Uint8Array(4);

/** The same attributes with the uint32 attribute `code` (MED, LOCAL_PREF, ORIGINATOR_ID, OTC) set. */
export function setU32Attribute(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
  code: number,
  value: number,
): void {
  writeU32(word, 0, value);
  setAttribute(out, bytes, start, end, code, attributeFlags(code), word);
}

/** The same attributes with ORIGIN set: 0 igp, 1 egp, 2 incomplete. */
export function setOrigin(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
  origin: number,
): void {
  word[0] = origin;
  setAttribute(out, bytes, start, end, ORIGIN, attributeFlags(ORIGIN), word, 0, 1);
}

/**
 * The same attributes with `count` times `asn` before AS_PATH (RFC 4271 section 5.1.2): within the leading
 * AS_SEQUENCE while it has room for 255, else in a new one. False, with nothing written, when AS_PATH would
 * outgrow 65535 bytes; such a route cannot be sent.
 */
export function prependAsPath(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
  asn: number,
  count = 1,
): boolean {
  const at = seek(bytes, start, end, AS_PATH);
  const present = at < end && bytes[at + 1] === AS_PATH;
  const from = present ? valueStart(bytes, at) : at;
  const to = present ? valueEnd(bytes, at) : at;
  const leading = to > from && bytes[from] === AS_SEQUENCE ? bytes[from + 1]! : 0;
  const joined = leading > 0 ? Math.min(count, 255 - leading) : 0;
  const fresh = count - joined;
  const length = to - from + 4 * count + 2 * Math.ceil(fresh / 255);
  if (length > 0xffff) return false;
  out.copy(bytes, start, at);
  writeAttributeHeader(out, attributeFlags(AS_PATH), AS_PATH, length);
  for (let left = fresh; left > 0; left -= 255) {
    const size = Math.min(left, 255);
    out.u8(AS_SEQUENCE).u8(size);
    for (let i = 0; i < size; i++) out.u32(asn);
  }
  if (leading > 0) {
    out.u8(AS_SEQUENCE).u8(leading + joined);
    for (let i = 0; i < joined; i++) out.u32(asn);
    out.copy(bytes, from + 2, to);
  } else out.copy(bytes, from, to);
  out.copy(bytes, to, end);
  return true;
}
