// The PDUs of the RPKI-to-Router protocol, version 1 (RFC 8210 section 5) and version 0 (RFC 6810 section 5), between
// bytes and values. Payloads come by the hundred thousand, so they are read in place and not made into objects: `scan`
// says what a PDU is and whether it is sound, and the readers below take its fields. Order of PDUs is client.ts's.

import { ByteWriter, readU16, readU32 } from '../lib/bytes.ts';

export const SERIAL_NOTIFY = 0;
export const SERIAL_QUERY = 1;
export const RESET_QUERY = 2;
export const CACHE_RESPONSE = 3;
export const IPV4_PREFIX = 4;
export const IPV6_PREFIX = 6;
export const END_OF_DATA = 7;
export const CACHE_RESET = 8;
export const ROUTER_KEY = 9;
export const ERROR_REPORT = 10;

// RFC 8210 section 12.
export const CORRUPT_DATA = 0;
export const INTERNAL_ERROR = 1;
export const NO_DATA_AVAILABLE = 2;
export const INVALID_REQUEST = 3;
export const UNSUPPORTED_VERSION = 4;
export const UNSUPPORTED_PDU_TYPE = 5;
export const WITHDRAWAL_OF_UNKNOWN = 6;
export const DUPLICATE_ANNOUNCEMENT = 7;
export const UNEXPECTED_VERSION = 8;

const errorNames: readonly string[] = [
  'corrupt data',
  'internal error',
  'no data available',
  'invalid request',
  'unsupported protocol version',
  'unsupported PDU type',
  'withdrawal of unknown record',
  'duplicate announcement received',
  'unexpected protocol version',
];

/** An error code in the RFC's words. */
export function errorName(code: number): string {
  return errorNames[code] ?? `error ${code}`;
}

export const HEADER_LENGTH = 8;
/** The RFC sets no limit: an Error Report around the longest PDU we know, with some text. */
export const PDU_LENGTH_MAX = 65536;

/** What is wrong with a PDU; `code` goes into the Error Report. */
export interface PduFault {
  code: number;
  reason: string;
}

/** Length by type where it is fixed; END_OF_DATA depends on the version. */
const fixedLength: Readonly<Record<number, number>> = {
  [SERIAL_NOTIFY]: 12,
  [SERIAL_QUERY]: 12,
  [RESET_QUERY]: 8,
  [CACHE_RESPONSE]: 8,
  [IPV4_PREFIX]: 20,
  [IPV6_PREFIX]: 32,
  [CACHE_RESET]: 8,
};

/** Length of the PDU at `at`, 0 while its header has not come whole, or a fault: then the stream cannot be read on. */
export function pduLength(bytes: Uint8Array, at: number, end: number): number | PduFault {
  if (end - at < HEADER_LENGTH) return 0;
  const length = readU32(bytes, at + 4);
  if (length >= HEADER_LENGTH && length <= PDU_LENGTH_MAX) return length;
  return { code: CORRUPT_DATA, reason: `a PDU of ${length} bytes` };
}

/** What is wrong with the whole PDU in [at, at + length) as such, whenever it comes; undefined when it is sound. */
export function checkPdu(bytes: Uint8Array, at: number, length: number): PduFault | undefined {
  const version = bytes[at]!;
  const type = bytes[at + 1]!;
  if (version > 1) return { code: UNSUPPORTED_VERSION, reason: `protocol version ${version}` };
  const fixed = type === END_OF_DATA ? (version === 0 ? 12 : 24) : fixedLength[type];
  if (fixed !== undefined) {
    if (length !== fixed) return { code: CORRUPT_DATA, reason: `type ${type} of ${length} bytes` };
    if (type === IPV4_PREFIX) return checkLengths(bytes[at + 9]!, bytes[at + 10]!, 32);
    if (type === IPV6_PREFIX) return checkLengths(bytes[at + 9]!, bytes[at + 10]!, 128);
    return undefined;
  }
  if (type === ROUTER_KEY && version === 1)
    return length >= 32 ? undefined : { code: CORRUPT_DATA, reason: `a router key of ${length} bytes` };
  if (type === ERROR_REPORT) return checkReport(bytes, at, length);
  return { code: UNSUPPORTED_PDU_TYPE, reason: `PDU type ${type}` };
}

/** RFC 8210 section 5.6: the maximum length is not less than the length of the prefix. */
function checkLengths(length: number, maxLength: number, longest: number): PduFault | undefined {
  if (length <= maxLength && maxLength <= longest) return undefined;
  return { code: CORRUPT_DATA, reason: `a prefix of /${length} with a maximum length of ${maxLength}` };
}

/** The encapsulated PDU and the text lie within the report (RFC 8210 section 5.11). */
function checkReport(bytes: Uint8Array, at: number, length: number): PduFault | undefined {
  const cut: PduFault = { code: CORRUPT_DATA, reason: 'an Error Report is cut off' };
  if (length < 16) return cut;
  const inner = readU32(bytes, at + 8);
  if (inner > length - 16) return cut;
  return inner + readU32(bytes, at + 12 + inner) === length - 16 ? undefined : cut;
}

/** Session id, error code: what stands in the header's third field. */
export function headerField(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + 2);
}

/** Serial number of SERIAL_NOTIFY and END_OF_DATA. */
export function serialOf(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + 8);
}

/** Whether a prefix PDU or router key announces; else it withdraws. */
export function announces(bytes: Uint8Array, at: number): boolean {
  const flags = bytes[at + 1] === ROUTER_KEY ? bytes[at + 2]! : bytes[at + 8]!;
  return (flags & 1) !== 0;
}

/** Intervals in seconds of an END_OF_DATA of version 1. */
export interface Intervals {
  refreshS: number;
  retryS: number;
  expireS: number;
}

/** The intervals, each brought within the bounds of RFC 8210 section 6; undefined in version 0. */
export function intervalsOf(bytes: Uint8Array, at: number): Intervals | undefined {
  if (bytes[at] === 0) return undefined;
  const within = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));
  const refreshS = within(readU32(bytes, at + 12), 1, 86_400);
  const retryS = within(readU32(bytes, at + 16), 1, 7200);
  const expireS = within(readU32(bytes, at + 20), 600, 172_800);
  // The expire interval must be the longest of the three.
  return { refreshS, retryS, expireS: Math.max(expireS, refreshS + 1, retryS + 1) };
}

/** Text of an Error Report; printable ASCII only, because it goes to logs and terminals. */
export function reportText(bytes: Uint8Array, at: number): string {
  const inner = readU32(bytes, at + 8);
  const start = at + 16 + inner;
  const length = Math.min(255, readU32(bytes, at + 12 + inner));
  let text = '';
  for (let i = 0; i < length; i++) {
    const c = bytes[start + i]!;
    text += c >= 32 && c < 127 ? String.fromCharCode(c) : '?';
  }
  return text;
}

/** RFC 8210 section 5.3. */
export function serialQuery(version: number, sessionId: number, serial: number): Uint8Array {
  return new ByteWriter(12).u8(version).u8(SERIAL_QUERY).u16(sessionId).u32(12).u32(serial).take();
}

/** RFC 8210 section 5.4. */
export function resetQuery(version: number): Uint8Array {
  return new ByteWriter(8).u8(version).u8(RESET_QUERY).u16(0).u32(8).take();
}

/** RFC 8210 section 5.11; `pdu` is what was wrong, at most its first 256 bytes, and may be empty. */
export function errorReport(version: number, code: number, pdu: Uint8Array, text: string): Uint8Array {
  const inner = pdu.subarray(0, 256);
  const words = new TextEncoder().encode(text.slice(0, 200));
  return new ByteWriter(64)
    .u8(version)
    .u8(ERROR_REPORT)
    .u16(code)
    .u32(16 + inner.length + words.length)
    .u32(inner.length)
    .copy(inner)
    .u32(words.length)
    .copy(words)
    .take();
}
