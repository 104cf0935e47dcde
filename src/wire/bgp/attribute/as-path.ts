// AS_PATH values (RFC 4271 sections 4.3 and 9.1.2.2, confederations RFC 5065, AS 0 RFC 7607): checks, readers and
// text. `start` and `end` bound the attribute's value, not the attribute. Readers take canonical values, which
// have 4-octet ASNs; only the check and the count also take the 2-octet form of an old peer.

import { assert } from '../../../lib/assert.ts';
import { type ByteWriter, readU16, readU32 } from '../../../lib/bytes.ts';
import { AS_TRANS, parseAsn } from '../../../net/asn.ts';
import { type Fault, MALFORMED_AS_PATH, updateFault } from '../fault.ts';
import type { UpdateContext } from '../update-context.ts';

export const AS_SET = 1;
export const AS_SEQUENCE = 2;
export const AS_CONFED_SEQUENCE = 3;
export const AS_CONFED_SET = 4;

export type SegmentKind = 'set' | 'sequence' | 'confedSequence' | 'confedSet';
const segmentKinds: readonly SegmentKind[] = ['sequence', 'set', 'sequence', 'confedSequence', 'confedSet'];

export interface AsPathSegment {
  readonly kind: SegmentKind;
  readonly asns: readonly number[];
}

const AS_PATH = 2;
const pathFault = (reason: string): Fault => updateFault(MALFORMED_AS_PATH, 'withdraw', reason, AS_PATH);
const cutOff = pathFault('an AS_PATH segment is cut off');
const badSegment = pathFault('AS_PATH has an undefined segment type');
const emptySegment = pathFault('AS_PATH has an empty segment');
const confedSegment = pathFault('AS_PATH has a confederation segment from outside');
const asZero = pathFault('AS_PATH has AS 0');
const notFirst = pathFault('AS_PATH does not begin with the AS of the peer');

/** RFC 7606 section 7.2 and RFC 7607; `asnSize` is 2 or 4. */
export function checkSegments(
  bytes: Uint8Array,
  start: number,
  end: number,
  asnSize: number,
  confederation: boolean,
): Fault | undefined {
  let at = start;
  while (at < end) {
    if (end - at < 2) return cutOff;
    const type = bytes[at]!;
    const count = bytes[at + 1]!;
    if (type < AS_SET || type > AS_CONFED_SET) return badSegment;
    if (type > AS_SEQUENCE && !confederation) return confedSegment;
    if (count === 0) return emptySegment;
    at += 2;
    const segmentEnd = at + count * asnSize;
    if (segmentEnd > end) return cutOff;
    if (asnSize === 4) {
      for (; at < segmentEnd; at += 4) {
        if ((bytes[at]! | bytes[at + 1]! | bytes[at + 2]! | bytes[at + 3]!) === 0) return asZero;
      }
    } else for (; at < segmentEnd; at += 2) if ((bytes[at]! | bytes[at + 1]!) === 0) return asZero;
  }
  return undefined;
}

/** The check of an AS_PATH attribute as received. */
export function validateAsPath(
  bytes: Uint8Array,
  start: number,
  end: number,
  ctx: UpdateContext,
): Fault | undefined {
  const asnSize = ctx.asn4 ? 4 : 2;
  const fault = checkSegments(bytes, start, end, asnSize, ctx.confederation === true);
  return fault ?? checkFirstAsn(bytes, start, end, asnSize, ctx);
}

/**
 * Whether the path begins with the AS of the peer (RFC 4271 section 6.3). The segments have been checked. To be asked
 * again of a path that AS4_PATH had a part in: a peer may say there what it may not say in AS_PATH.
 */
export function checkFirstAsn(
  bytes: Uint8Array,
  start: number,
  end: number,
  asnSize: 2 | 4,
  ctx: UpdateContext,
): Fault | undefined {
  const inside = ctx.internal || ctx.confederation === true;
  if (inside || ctx.firstAsn === undefined || ctx.firstAsn === 0) return undefined;
  if (start === end || bytes[start] !== AS_SEQUENCE) return notFirst;
  if (asnSize === 4) return readU32(bytes, start + 2) === ctx.firstAsn ? undefined : notFirst;
  const expected = ctx.firstAsn > 0xffff ? AS_TRANS : ctx.firstAsn;
  return readU16(bytes, start + 2) === expected ? undefined : notFirst;
}

/** RFC 4271 section 9.1.2.2 a: a set counts one, confederation segments nothing (RFC 5065 section 5.3). */
export function asPathLength(bytes: Uint8Array, start: number, end: number, asnSize = 4): number {
  let length = 0;
  for (let at = start; at < end; ) {
    const type = bytes[at]!;
    const count = bytes[at + 1]!;
    if (type === AS_SEQUENCE) length += count;
    else if (type === AS_SET) length++;
    at += 2 + count * asnSize;
  }
  return length;
}

/** The segments as objects, for display. */
export function readAsPath(bytes: Uint8Array, start: number, end: number, asnSize = 4): AsPathSegment[] {
  const segments: AsPathSegment[] = [];
  for (let at = start; at < end; ) {
    const kind = segmentKinds[bytes[at]!]!;
    const asns: number[] = [];
    const segmentEnd = at + 2 + bytes[at + 1]! * asnSize;
    for (at += 2; at < segmentEnd; at += asnSize) {
      asns.push(asnSize === 4 ? readU32(bytes, at) : readU16(bytes, at));
    }
    segments.push({ kind, asns });
  }
  return segments;
}

/** `65001 65002 {65003 65004}`, confederation segments in ( ) and [ ]. */
export function asPathText(segments: readonly AsPathSegment[]): string {
  return segments
    .map(({ kind, asns }) => {
      const text = asns.join(' ');
      if (kind === 'set') return `{${text}}`;
      if (kind === 'confedSequence') return `(${text})`;
      return kind === 'confedSet' ? `[${text}]` : text;
    })
    .join(' ');
}

/** The segments of such a text, or undefined when it is not one. */
export function parseAsPath(text: string): AsPathSegment[] | undefined {
  const segments: { kind: SegmentKind; asns: number[] }[] = [];
  const opening: Record<string, SegmentKind> = { '{': 'set', '(': 'confedSequence', '[': 'confedSet' };
  const closing: Record<string, SegmentKind> = { '}': 'set', ')': 'confedSequence', ']': 'confedSet' };
  let open: SegmentKind | undefined;
  for (const token of text.match(/[{}()[\]]|[^\s{}()[\],]+/g) ?? []) {
    const opened = opening[token];
    const closed = closing[token];
    if (opened !== undefined) {
      if (open !== undefined) return undefined;
      open = opened;
      segments.push({ kind: opened, asns: [] });
    } else if (closed !== undefined) {
      if (open !== closed || segments.at(-1)!.asns.length === 0) return undefined;
      open = undefined;
    } else {
      const asn = parseAsn(token);
      if (asn === undefined) return undefined;
      if (open === undefined && segments.at(-1)?.kind !== 'sequence')
        segments.push({ kind: 'sequence', asns: [] });
      segments.at(-1)!.asns.push(asn);
    }
  }
  return open === undefined ? segments : undefined;
}

/** Writes segments with 4-octet ASNs; a sequence of more than 255 becomes several. */
export function writeAsPath(out: ByteWriter, segments: readonly AsPathSegment[]): void {
  for (const { kind, asns } of segments) {
    const type = segmentKinds.indexOf(kind, 1);
    assert(kind === 'sequence' || asns.length <= 255, `AS_PATH ${kind} of ${asns.length}`);
    for (let from = 0; from < asns.length; from += 255) {
      const to = Math.min(from + 255, asns.length);
      out.u8(type).u8(to - from);
      for (let i = from; i < to; i++) out.u32(asns[i]!);
    }
  }
}
