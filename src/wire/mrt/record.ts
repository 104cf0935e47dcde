// Records of MRT files (RFC 6396 section 2, extended timestamps section 3): the walk over a file, one header after the
// other. What is in a record is read by table-dump.ts and bgp4mp.ts. A file that is cut off or lies about its lengths
// is a fault with its place, never an exception: such files come out of other people's archives.

import { readU16, readU32 } from '../../lib/bytes.ts';

// Types, RFC 6396 section 4.
export const TABLE_DUMP = 12;
export const TABLE_DUMP_V2 = 13;
export const BGP4MP = 16;
export const BGP4MP_ET = 17;

export interface MrtRecord {
  kind: 'record';
  timestampS: number;
  /** Of an extended timestamp, else 0. */
  microseconds: number;
  type: number;
  subtype: number;
  /** The message, without header and microseconds: [start, end). */
  start: number;
  end: number;
}

/** What is wrong, and the offset of the record it is in. */
export interface MrtFault {
  kind: 'fault';
  at: number;
  reason: string;
}

const HEADER_LENGTH = 12;

/** The record that begins at `at`; undefined at the end of the file. */
export function recordAt(bytes: Uint8Array, at: number): MrtRecord | MrtFault | undefined {
  if (at === bytes.length) return undefined;
  if (bytes.length - at < HEADER_LENGTH) return { kind: 'fault', at, reason: 'a header is cut off' };
  const type = readU16(bytes, at + 4);
  const length = readU32(bytes, at + 8);
  const extended = type === BGP4MP_ET ? 4 : 0;
  const start = at + HEADER_LENGTH + extended;
  const end = at + HEADER_LENGTH + length;
  if (end > bytes.length || start > end)
    return { kind: 'fault', at, reason: `a record of ${length} bytes does not fit` };
  return {
    kind: 'record',
    timestampS: readU32(bytes, at),
    microseconds: extended === 0 ? 0 : readU32(bytes, at + HEADER_LENGTH),
    type,
    subtype: readU16(bytes, at + 6),
    start,
    end,
  };
}
