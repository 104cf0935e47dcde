// The message header and the cutting of a TCP stream into messages (RFC 4271 sections 4.1 and 6.1; RFC 8654 for
// messages up to 65535 bytes; RFC 7313 for ROUTE-REFRESH). What is within a message belongs to the other files.

import { assert } from '../../lib/assert.ts';
import { readU16, writeU16 } from '../../lib/bytes.ts';
import { type Fault, MESSAGE_HEADER_ERROR, resetFault } from './fault.ts';

export const HEADER_LENGTH = 19;
export const MESSAGE_LENGTH_MAX = 4096;
/** With the extended message capability, for all messages but OPEN and KEEPALIVE. */
export const EXTENDED_MESSAGE_LENGTH_MAX = 65535;

export const OPEN = 1;
export const UPDATE = 2;
export const NOTIFICATION = 3;
export const KEEPALIVE = 4;
export const ROUTE_REFRESH = 5;

const CONNECTION_NOT_SYNCHRONIZED = 1;
const BAD_MESSAGE_LENGTH = 2;
const BAD_MESSAGE_TYPE = 3;

// By message type: the shortest and longest total length. Zero as the maximum means "what was negotiated".
const lengthMin = [0, 29, 23, 21, 19, 23];
const lengthMax = [0, MESSAGE_LENGTH_MAX, 0, 0, HEADER_LENGTH, 0];

/** The message type in the header at `start`. */
export function messageType(bytes: Uint8Array, start: number): number {
  return bytes[start + 18]!;
}

/**
 * Looks at the message that begins at `start`, of which bytes up to `end` have arrived. Its total length when it
 * is all there, 0 when more bytes are needed, -1 when the header is bad: `headerFault` then says how.
 */
export function frameLength(bytes: Uint8Array, start: number, end: number, maxLength: number): number {
  if (end - start < HEADER_LENGTH) return 0;
  for (let i = start; i < start + 16; i++) if (bytes[i] !== 255) return -1;
  const length = readU16(bytes, start + 16);
  const type = bytes[start + 18]!;
  if (type < OPEN || type > ROUTE_REFRESH || length > maxLength || length < lengthMin[type]!) return -1;
  const max = lengthMax[type]!;
  if (max > 0 && length > max) return -1;
  return end - start < length ? 0 : length;
}

/** The fault of a header for which `frameLength` answered -1 (RFC 4271 section 6.1). */
export function headerFault(bytes: Uint8Array, start: number, maxLength: number): Fault {
  for (let i = start; i < start + 16; i++) {
    if (bytes[i] !== 255) {
      return resetFault(MESSAGE_HEADER_ERROR, CONNECTION_NOT_SYNCHRONIZED, 'the marker is not all ones');
    }
  }
  const length = readU16(bytes, start + 16);
  const type = bytes[start + 18]!;
  const lengthField = bytes.slice(start + 16, start + 18);
  // Length before type: with a length that cannot be, the type byte may not be one either.
  if (length < HEADER_LENGTH || length > maxLength) {
    return resetFault(MESSAGE_HEADER_ERROR, BAD_MESSAGE_LENGTH, `message length ${length}`, lengthField);
  }
  if (type < OPEN || type > ROUTE_REFRESH) {
    return resetFault(MESSAGE_HEADER_ERROR, BAD_MESSAGE_TYPE, `message type ${type}`, new Uint8Array([type]));
  }
  return badMessageLength(type, length);
}

/** RFC 4271 section 6.1: the length does not fit the type. Data is the length as received. */
export function badMessageLength(type: number, length: number): Fault {
  const data = new Uint8Array([length >>> 8, length]);
  return resetFault(
    MESSAGE_HEADER_ERROR,
    BAD_MESSAGE_LENGTH,
    `length ${length} for message type ${type}`,
    data,
  );
}

/** Writes marker, length and type at `start`. */
export function writeHeader(bytes: Uint8Array, start: number, length: number, type: number): void {
  bytes.fill(255, start, start + 16);
  writeU16(bytes, start + 16, length);
  bytes[start + 18] = type;
}

/** A whole message around a body. */
export function frameMessage(type: number, body: Uint8Array): Uint8Array {
  const length = HEADER_LENGTH + body.length;
  assert(length <= EXTENDED_MESSAGE_LENGTH_MAX, `message of ${length} bytes`);
  const message = new Uint8Array(length);
  writeHeader(message, 0, length, type);
  message.set(body, HEADER_LENGTH);
  return message;
}

/** The KEEPALIVE message (RFC 4271 section 4.4). Shared: do not write to it. */
export const keepaliveMessage: Uint8Array = frameMessage(KEEPALIVE, new Uint8Array(0));
