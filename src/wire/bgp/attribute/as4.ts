// Between 2-octet and 4-octet speakers (RFC 6793). From an old peer, AS_PATH and AGGREGATOR are widened and what
// AS4_PATH and AS4_AGGREGATOR know is merged in (section 4.2.3); to an old peer the reverse is written (4.2.2).
// Old peers are rare: except for plain widening this is not on the hot path.

import { ByteWriter, readU32 } from '../../../lib/bytes.ts';
import { AS_TRANS } from '../../../net/asn.ts';
import { type AsPathSegment, asPathLength, readAsPath, writeAsPath } from './as-path.ts';
import { valueEnd, valueStart, writeAttributeHeader } from './canonical.ts';
import { AGGREGATOR, AS_PATH, AS4_AGGREGATOR, AS4_PATH, attributeRows } from './table.ts';

/** Writes the 2-octet AS_PATH value [start, end) with 4-octet ASNs at `at`; returns the offset behind it. */
export function widenAsPath(
  bytes: Uint8Array,
  start: number,
  end: number,
  into: Uint8Array,
  at: number,
): number {
  for (let from = start; from < end; ) {
    const count = bytes[from + 1]!;
    into[at++] = bytes[from]!;
    into[at++] = count;
    from += 2;
    for (let i = 0; i < count; i++) {
      into[at++] = 0;
      into[at++] = 0;
      into[at++] = bytes[from++]!;
      into[at++] = bytes[from++]!;
    }
  }
  return at;
}

function isConfed(segment: AsPathSegment): boolean {
  return segment.kind === 'confedSequence' || segment.kind === 'confedSet';
}

/**
 * The AS_PATH that the 2-octet value [start, end) and the AS4_PATH value [as4Start, as4End) mean together, as a
 * 4-octet value; undefined when AS4_PATH is longer and therefore to be ignored.
 */
export function mergeAs4Path(
  bytes: Uint8Array,
  start: number,
  end: number,
  as4Start: number,
  as4End: number,
): Uint8Array | undefined {
  const path = readAsPath(bytes, start, end, 2);
  // Confederation segments have no place in AS4_PATH and are dropped (section 6).
  const tail = readAsPath(bytes, as4Start, as4End).filter((segment) => !isConfed(segment));
  const missing = asPathLength(bytes, start, end, 2) - asPathLength(bytes, as4Start, as4End);
  if (missing < 0 || tail.length === 0) return undefined;
  const merged = leadingPart(path, missing);
  const last = merged.at(-1);
  const first = tail[0]!;
  // One sequence that was only cut for the merge is one sequence again, so that equal paths are equal bytes.
  if (last?.kind === 'sequence' && first.kind === 'sequence' && last.asns.length + first.asns.length <= 255) {
    merged[merged.length - 1] = { kind: 'sequence', asns: last.asns.concat(first.asns) };
    tail.shift();
  }
  const out = new ByteWriter(256);
  writeAsPath(out, merged.concat(tail));
  return out.take();
}

// The first `missing` ASNs of the path; confederation segments count nothing and come along while they lead or
// stand next to a segment taken whole.
function leadingPart(path: readonly AsPathSegment[], missing: number): AsPathSegment[] {
  const taken: AsPathSegment[] = [];
  let left = missing;
  for (const segment of path) {
    if (isConfed(segment)) {
      taken.push(segment);
      continue;
    }
    if (left === 0) break;
    if (segment.kind === 'set') {
      taken.push(segment);
      left--;
      continue;
    }
    const count = Math.min(left, segment.asns.length);
    taken.push({ kind: segment.kind, asns: segment.asns.slice(0, count) });
    left -= count;
    if (count < segment.asns.length) break;
  }
  return taken;
}

/** Writes canonical attributes as an old peer understands them, with AS4_PATH and AS4_AGGREGATOR where needed. */
export function writeForOldPeer(out: ByteWriter, bytes: Uint8Array, start: number, end: number): void {
  const later = new ByteWriter(64);
  for (let at = start; at < end; ) {
    const next = valueEnd(bytes, at);
    const code = bytes[at + 1]!;
    if (code > AS4_AGGREGATOR && later.length > 0) {
      out.copy(later.bytes, 0, later.length);
      later.reset();
    }
    if (code === AS_PATH) narrowAsPath(out, later, bytes, valueStart(bytes, at), next);
    else if (code === AGGREGATOR) narrowAggregator(out, later, bytes, at);
    else out.copy(bytes, at, next);
    at = next;
  }
  out.copy(later.bytes, 0, later.length);
}

function narrowAsPath(
  out: ByteWriter,
  later: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const segments = readAsPath(bytes, start, end);
  const wide = segments.some((segment) => segment.asns.some((asn) => asn > 0xffff));
  const narrow = new ByteWriter(end - start + 4);
  for (let at = start; at < end; ) {
    const count = bytes[at + 1]!;
    narrow.u8(bytes[at]!).u8(count);
    at += 2;
    for (let i = 0; i < count; i++, at += 4) {
      const asn = readU32(bytes, at);
      narrow.u16(asn > 0xffff ? AS_TRANS : asn);
    }
  }
  writeAttributeHeader(out, attributeRows[AS_PATH]!.flags, AS_PATH, narrow.length);
  out.copy(narrow.bytes, 0, narrow.length);
  if (!wide) return;
  const as4 = new ByteWriter(end - start);
  writeAsPath(
    as4,
    segments.filter((segment) => !isConfed(segment)),
  );
  if (as4.length === 0) return;
  writeAttributeHeader(later, attributeRows[AS4_PATH]!.flags, AS4_PATH, as4.length);
  later.copy(as4.bytes, 0, as4.length);
}

function narrowAggregator(out: ByteWriter, later: ByteWriter, bytes: Uint8Array, at: number): void {
  const value = valueStart(bytes, at);
  const asn = readU32(bytes, value);
  writeAttributeHeader(out, bytes[at]!, AGGREGATOR, 6);
  out.u16(asn > 0xffff ? AS_TRANS : asn).copy(bytes, value + 4, value + 8);
  if (asn <= 0xffff) return;
  writeAttributeHeader(later, attributeRows[AS4_AGGREGATOR]!.flags, AS4_AGGREGATOR, 8);
  later.copy(bytes, value, value + 8);
}
