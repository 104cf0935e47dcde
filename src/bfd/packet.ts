// The BFD control packet (RFC 5880, section 4.1): 24 bytes in a datagram of its own. Reading is a check that gives a
// number and functions over the bytes, because packets come by the ten thousand a second and nothing may be allocated
// for them. Authentication (section 4.2 on) is not spoken: a packet that has it is discarded, as section 6.8.6 says
// of a session without.

import { readU32, writeU32 } from '../lib/bytes.ts';

export const PACKET_BYTES = 24;
const AUTHENTICATED_MIN_BYTES = 26;
const VERSION = 1;

// Session states, by their numbers on the wire.
export const ADMIN_DOWN = 0;
export const DOWN = 1;
export const INIT = 2;
export const UP = 3;

/** By state number. */
export const stateNames = ['adminDown', 'down', 'init', 'up'] as const;
export type StateName = (typeof stateNames)[number];

// Diagnostics that we give (section 4.1).
export const DIAG_NONE = 0;
export const DIAG_DETECTION_EXPIRED = 1;
export const DIAG_NEIGHBOR_DOWN = 3;
export const DIAG_ADMIN_DOWN = 7;

/** By diagnostic number; the peer may say any of 0 to 31. */
export const diagnosticTexts: readonly string[] = [
  'no diagnostic',
  'control detection time expired',
  'echo function failed',
  'neighbor signaled session down',
  'forwarding plane reset',
  'path down',
  'concatenated path down',
  'administratively down',
  'reverse concatenated path down',
  'mis-connectivity defect',
];

export const FLAG_POLL = 0x20;
export const FLAG_FINAL = 0x10;
export const FLAG_CPI = 0x08;
export const FLAG_AUTH = 0x04;
export const FLAG_DEMAND = 0x02;
export const FLAG_MULTIPOINT = 0x01;

// What becomes of a packet: taken, or why not. The order is that of the checks in section 6.8.6.
export const TAKEN = 0;
export const BAD_TTL = 1;
export const BAD_VERSION = 2;
export const BAD_LENGTH = 3;
export const BAD_MULTIPLIER = 4;
export const MULTIPOINT = 5;
export const NO_MY_DISCRIMINATOR = 6;
export const UNKNOWN_DISCRIMINATOR = 7;
export const NO_YOUR_DISCRIMINATOR = 8;
export const UNKNOWN_SENDER = 9;
export const AUTHENTICATED = 10;
export const WRONG_PORT = 11;
export const WE_ARE_ADMIN_DOWN = 12;

/** By verdict: for counters and logs. */
export const verdictTexts: readonly string[] = [
  'taken',
  'TTL lower than allowed: forwarded too often, or minTtl is too high for what the peer sends',
  'wrong version',
  'wrong length',
  'detection multiplier 0',
  'multipoint bit set',
  'no My Discriminator',
  'Your Discriminator is of no session',
  'no Your Discriminator in state Init or Up',
  'no session with the sender',
  'authenticated, but no authentication is configured',
  'single-hop and multihop mixed up',
  'session is administratively down here',
];
export const VERDICTS = verdictTexts.length;

/**
 * The checks of section 6.8.6 that need no session, on a datagram's bytes[0, length): TAKEN or the reason to discard.
 */
export function checkPacket(bytes: Uint8Array, length: number): number {
  if (length < PACKET_BYTES) return BAD_LENGTH;
  if (bytes[0]! >> 5 !== VERSION) return BAD_VERSION;
  const authenticated = (bytes[1]! & FLAG_AUTH) !== 0;
  const told = bytes[3]!;
  if (told < (authenticated ? AUTHENTICATED_MIN_BYTES : PACKET_BYTES) || told > length) return BAD_LENGTH;
  if (bytes[2] === 0) return BAD_MULTIPLIER;
  if ((bytes[1]! & FLAG_MULTIPOINT) !== 0) return MULTIPOINT;
  if (readU32(bytes, 4) === 0) return NO_MY_DISCRIMINATOR;
  return TAKEN;
}

export const diagnosticOf = (bytes: Uint8Array): number => bytes[0]! & 31;
export const stateOf = (bytes: Uint8Array): number => bytes[1]! >> 6;
export const flagsOf = (bytes: Uint8Array): number => bytes[1]! & 63;
export const multiplierOf = (bytes: Uint8Array): number => bytes[2]!;
export const myDiscriminatorOf = (bytes: Uint8Array): number => readU32(bytes, 4);
export const yourDiscriminatorOf = (bytes: Uint8Array): number => readU32(bytes, 8);
/** Microseconds, as the next one. */
export const desiredMinTxOf = (bytes: Uint8Array): number => readU32(bytes, 12);
export const requiredMinRxOf = (bytes: Uint8Array): number => readU32(bytes, 16);

/** Writes a packet without authentication and without echo into bytes[0, 24). Intervals are microseconds. */
export function writePacket(
  bytes: Uint8Array,
  diagnostic: number,
  state: number,
  flags: number,
  multiplier: number,
  myDiscriminator: number,
  yourDiscriminator: number,
  desiredMinTxUs: number,
  requiredMinRxUs: number,
): void {
  bytes[0] = (VERSION << 5) | diagnostic;
  bytes[1] = (state << 6) | flags;
  bytes[2] = multiplier;
  bytes[3] = PACKET_BYTES;
  writeU32(bytes, 4, myDiscriminator);
  writeU32(bytes, 8, yourDiscriminator);
  writeU32(bytes, 12, desiredMinTxUs);
  writeU32(bytes, 16, requiredMinRxUs);
  writeU32(bytes, 20, 0);
}
