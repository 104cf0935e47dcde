// DHCPv6 messages (RFC 8415): those of a client are read, those of a server are written. Addresses (IA_NA) are
// understood; prefixes (IA_PD) only so far that a client can be told there are none; temporary addresses (IA_TA) and
// relays are not. What is answered to whom is decided in guests/dhcp6.ts.

import { type ByteWriter, readU16, readU32, writeU16 } from '../../lib/bytes.ts';

export const DHCP6_CLIENT_PORT = 546;
export const DHCP6_SERVER_PORT = 547;

export const SOLICIT = 1;
export const ADVERTISE = 2;
export const REQUEST = 3;
export const CONFIRM = 4;
export const RENEW = 5;
export const REBIND = 6;
export const REPLY = 7;
export const RELEASE = 8;
export const DECLINE = 9;
export const RECONFIGURE = 10;
export const INFORMATION_REQUEST = 11;

export const OPTION6_CLIENT_ID = 1;
export const OPTION6_SERVER_ID = 2;
export const OPTION6_IA_NA = 3;
export const OPTION6_IA_ADDRESS = 5;
export const OPTION6_STATUS = 13;
export const OPTION6_RAPID_COMMIT = 14;
/** RFC 3646. */
export const OPTION6_DNS = 23;
export const OPTION6_DOMAINS = 24;
export const OPTION6_IA_PD = 25;

export const STATUS_SUCCESS = 0;
export const STATUS_NO_ADDRS_AVAIL = 2;
export const STATUS_NO_BINDING = 3;
export const STATUS_NOT_ON_LINK = 4;
export const STATUS_USE_MULTICAST = 5;
export const STATUS_NO_PREFIX_AVAIL = 6;

/** Section 11.1: a type and 128 bytes at most. */
const MAX_DUID_LENGTH = 130;
/** Identity associations in a message, and addresses in each, at most; a message with more is malformed. */
export const MAX_ASSOCIATIONS = 16;
const MAX_ADDRESSES = 16;
const MAX_OPTIONS = 128;

const HEADER_LENGTH = 4;
const IA_NA_FIXED = 12;
const IA_ADDRESS_FIXED = 24;

const ALL_SERVERS_AND_RELAYS = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2);

/** Whether a message was sent to ff02::1:2, as a client must that was not told otherwise. */
export function isAllDhcp6Servers(address: Uint8Array): boolean {
  return ALL_SERVERS_AND_RELAYS.every((byte, i) => byte === address[i]);
}

/** An identity association of a client. */
export interface Association {
  kind: 'addresses' | 'prefixes';
  iaid: number;
  /** Copies of 16 bytes; none for prefixes. */
  addresses: Uint8Array[];
}

export interface Dhcp6Message {
  type: number;
  /** 24 bits. */
  transaction: number;
  clientId?: Uint8Array;
  serverId?: Uint8Array;
  associations: Association[];
  rapidCommit: boolean;
}

/** The message in bytes[start, end); undefined when it is malformed or a relay's. */
export function readDhcp6(bytes: Uint8Array, start: number, end: number): Dhcp6Message | undefined {
  if (end - start < HEADER_LENGTH) return undefined;
  const type = bytes[start]!;
  if (type < SOLICIT || type > INFORMATION_REQUEST) return undefined;
  const transaction = readU32(bytes, start) & 0xffffff;
  const message: Dhcp6Message = { type, transaction, associations: [], rapidCommit: false };
  const whole = eachOption(bytes, start + HEADER_LENGTH, end, (code, from, to) =>
    readOption(message, bytes, code, from, to),
  );
  return whole ? message : undefined;
}

/** Calls `take` for every option of bytes[start, end) until it gives false; false too when one reaches beyond. */
function eachOption(
  bytes: Uint8Array,
  start: number,
  end: number,
  take: (code: number, from: number, to: number) => boolean,
): boolean {
  let at = start;
  for (let count = 0; at < end; count++) {
    if (at + 4 > end || count === MAX_OPTIONS) return false;
    const next = at + 4 + readU16(bytes, at + 2);
    if (next > end || !take(readU16(bytes, at), at + 4, next)) return false;
    at = next;
  }
  return true;
}

function readOption(
  message: Dhcp6Message,
  bytes: Uint8Array,
  code: number,
  from: number,
  to: number,
): boolean {
  switch (code) {
    case OPTION6_CLIENT_ID:
      if (message.clientId !== undefined || to - from < 3 || to - from > MAX_DUID_LENGTH) return false;
      message.clientId = bytes.slice(from, to);
      return true;
    case OPTION6_SERVER_ID:
      if (message.serverId !== undefined || to - from < 3 || to - from > MAX_DUID_LENGTH) return false;
      message.serverId = bytes.slice(from, to);
      return true;
    case OPTION6_IA_NA:
    case OPTION6_IA_PD:
      return readAssociation(message, bytes, code, from, to);
    case OPTION6_RAPID_COMMIT:
      message.rapidCommit = true;
      return true;
    default:
      return true;
  }
}

function readAssociation(
  message: Dhcp6Message,
  bytes: Uint8Array,
  code: number,
  from: number,
  to: number,
): boolean {
  if (to - from < IA_NA_FIXED || message.associations.length === MAX_ASSOCIATIONS) return false;
  const addresses: Uint8Array[] = [];
  const kind = code === OPTION6_IA_NA ? 'addresses' : 'prefixes';
  message.associations.push({ kind, iaid: readU32(bytes, from), addresses });
  return eachOption(bytes, from + IA_NA_FIXED, to, (inner, start, end) => {
    if (inner !== OPTION6_IA_ADDRESS || kind === 'prefixes') return true;
    if (end - start < IA_ADDRESS_FIXED || addresses.length === MAX_ADDRESSES) return false;
    addresses.push(bytes.slice(start, start + 16));
    return true;
  });
}

/** A DUID-LL of Ethernet (section 11.4): the same wherever the hardware address is. */
export function duidOf(mac: Uint8Array): Uint8Array {
  return Uint8Array.of(0, 3, 0, 1, ...mac);
}

/** Begins a message, into `out` from its start; options follow. */
export function beginDhcp6(out: ByteWriter, type: number, transaction: number): void {
  out.reset().u32(((type << 24) | transaction) >>> 0);
}

/** A whole option. */
export function putOption6(out: ByteWriter, code: number, value: Uint8Array): void {
  out.u16(code).u16(value.length).copy(value);
}

/** Begins an option that holds others; returns what `endOption6` wants. */
export function beginOption6(out: ByteWriter, code: number): number {
  out.u16(code).u16(0);
  return out.length;
}

export function endOption6(out: ByteWriter, begun: number): void {
  writeU16(out.bytes, begun - 2, out.length - begun);
}

/** A status code without words: the client shows its own. */
export function putStatus6(out: ByteWriter, status: number): void {
  out.u16(OPTION6_STATUS).u16(2).u16(status);
}

/** An address with its lifetimes in seconds; both 0 takes it away. */
export function putAddress6(out: ByteWriter, address: Uint8Array, preferredS: number, validS: number): void {
  out.u16(OPTION6_IA_ADDRESS).u16(IA_ADDRESS_FIXED).copy(address).u32(preferredS).u32(validS);
}

/** A domain name in the form of RFC 1035 section 3.1, or undefined when it has none. */
export function domainBytes(name: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const label of name.replace(/\.$/, '').split('.')) {
    if (!/^[\x21-\x7e]{1,63}$/.test(label)) return undefined;
    bytes.push(label.length, ...[...label].map((character) => character.charCodeAt(0)));
  }
  bytes.push(0);
  return bytes.length > 255 ? undefined : Uint8Array.from(bytes);
}
