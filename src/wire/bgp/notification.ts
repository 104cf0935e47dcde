// NOTIFICATION: encode, decode, names of the codes (RFC 4271 section 4.5 and the IANA registry), and the text a
// person may put into an administrative shutdown or reset (RFC 9003). A NOTIFICATION is never answered with one
// (RFC 4271 section 6.4), so a bad one is read as far as it goes instead of being a fault.

import { CEASE } from './fault.ts';
import { frameMessage, NOTIFICATION } from './header.ts';
import { peerText } from './peer-text.ts';

export interface Notification {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

// Subcodes of Cease: RFC 4486, RFC 8538 (hard reset), RFC 9384 (BFD down).
export const CEASE_MAX_PREFIXES = 1;
export const CEASE_ADMIN_SHUTDOWN = 2;
export const CEASE_PEER_DECONFIGURED = 3;
export const CEASE_ADMIN_RESET = 4;
export const CEASE_CONNECTION_REJECTED = 5;
export const CEASE_OTHER_CONFIG_CHANGE = 6;
export const CEASE_COLLISION = 7;
export const CEASE_OUT_OF_RESOURCES = 8;
export const CEASE_HARD_RESET = 9;
export const CEASE_BFD_DOWN = 10;

/** RFC 9003: bytes of UTF-8 in a shutdown communication. */
export const SHUTDOWN_TEXT_MAX = 255;

const codeNames = [
  '',
  'Message Header Error',
  'OPEN Message Error',
  'UPDATE Message Error',
  'Hold Timer Expired',
  'Finite State Machine Error',
  'Cease',
  'ROUTE-REFRESH Message Error',
  'Send Hold Timer Expired',
];

const subcodeNames: readonly (readonly string[])[] = [
  [],
  ['', 'Connection Not Synchronized', 'Bad Message Length', 'Bad Message Type'],
  [
    '',
    'Unsupported Version Number',
    'Bad Peer AS',
    'Bad BGP Identifier',
    'Unsupported Optional Parameter',
    '',
    'Unacceptable Hold Time',
    'Unsupported Capability',
    '',
    '',
    '',
    'Role Mismatch',
  ],
  [
    '',
    'Malformed Attribute List',
    'Unrecognized Well-known Attribute',
    'Missing Well-known Attribute',
    'Attribute Flags Error',
    'Attribute Length Error',
    'Invalid ORIGIN Attribute',
    '',
    'Invalid NEXT_HOP Attribute',
    'Optional Attribute Error',
    'Invalid Network Field',
    'Malformed AS_PATH',
  ],
  [],
  [
    '',
    'Unexpected Message in OpenSent',
    'Unexpected Message in OpenConfirm',
    'Unexpected Message in Established',
  ],
  [
    '',
    'Maximum Number of Prefixes Reached',
    'Administrative Shutdown',
    'Peer De-configured',
    'Administrative Reset',
    'Connection Rejected',
    'Other Configuration Change',
    'Connection Collision Resolution',
    'Out of Resources',
    'Hard Reset',
    'BFD Down',
  ],
  ['', 'Invalid Message Length'],
];

/** `Cease/Administrative Shutdown`, or with numbers where there is no name. */
export function notificationText(code: number, subcode: number): string {
  const name = codeNames[code] || `error ${code}`;
  if (subcode === 0) return name;
  return `${name}/${subcodeNames[code]?.[subcode] || subcode}`;
}

/** A whole NOTIFICATION message. Data that would not fit 4096 bytes is cut off (RFC 4271 section 4.5). */
export function encodeNotification(
  code: number,
  subcode: number,
  data: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const kept = data.subarray(0, 4096 - 21);
  const body = new Uint8Array(2 + kept.length);
  body[0] = code;
  body[1] = subcode;
  body.set(kept, 2);
  return frameMessage(NOTIFICATION, body);
}

/** Reads the body in [start, end); missing bytes read as zero. */
export function decodeNotification(bytes: Uint8Array, start: number, end: number): Notification {
  return {
    code: start < end ? bytes[start]! : 0,
    subcode: start + 1 < end ? bytes[start + 1]! : 0,
    data: bytes.slice(Math.min(start + 2, end), end),
  };
}

/** Data of an administrative shutdown or reset: the text, cut at a character to fit 255 bytes. */
export function encodeShutdownText(text: string): Uint8Array {
  const utf8 = new TextEncoder().encode(text);
  let length = Math.min(utf8.length, SHUTDOWN_TEXT_MAX);
  // Never cut within a character: step back over continuation bytes.
  if (length < utf8.length) while (length > 0 && (utf8[length]! & 0xc0) === 0x80) length--;
  const data = new Uint8Array(1 + length);
  data[0] = length;
  data.set(utf8.subarray(0, length), 1);
  return data;
}

/**
 * The text in a Cease with subcode 2 or 4, fit to be shown, or undefined where there is none.
 */
export function shutdownText(notification: Notification): string | undefined {
  const { code, subcode, data } = notification;
  if (code !== CEASE || (subcode !== CEASE_ADMIN_SHUTDOWN && subcode !== CEASE_ADMIN_RESET)) return undefined;
  if (data.length === 0 || data[0] === 0 || data[0]! >= data.length) return undefined;
  return peerText(data, 1, 1 + data[0]!);
}
