// DHCPv4 messages (RFC 2131) and their options (RFC 2132): those of a client are read, with options that go on in
// the fields of file and server name (option overload) and options that come in several pieces (RFC 3396); those of
// a server are written, with classless static routes (RFC 3442). What is answered to whom is decided in
// guests/dhcp4.ts.

import { type ByteWriter, readU16, readU32 } from '../../lib/bytes.ts';
import { MAC_LENGTH } from '../../net/mac.ts';
import type { Prefix } from '../../net/prefix.ts';

export const DHCP4_SERVER_PORT = 67;
export const DHCP4_CLIENT_PORT = 68;

export const BOOTREQUEST = 1;
export const BOOTREPLY = 2;

export const DHCPDISCOVER = 1;
export const DHCPOFFER = 2;
export const DHCPREQUEST = 3;
export const DHCPDECLINE = 4;
export const DHCPACK = 5;
export const DHCPNAK = 6;
export const DHCPRELEASE = 7;
export const DHCPINFORM = 8;

export const OPTION4_SUBNET_MASK = 1;
export const OPTION4_ROUTER = 3;
export const OPTION4_DNS = 6;
export const OPTION4_DOMAIN = 15;
export const OPTION4_MTU = 26;
export const OPTION4_REQUESTED_ADDRESS = 50;
export const OPTION4_LEASE_TIME = 51;
const OPTION4_OVERLOAD = 52;
export const OPTION4_MESSAGE_TYPE = 53;
export const OPTION4_SERVER_ID = 54;
export const OPTION4_PARAMETER_LIST = 55;
export const OPTION4_MAX_SIZE = 57;
export const OPTION4_T1 = 58;
export const OPTION4_T2 = 59;
export const OPTION4_CLIENT_ID = 61;
/** Classless static routes (RFC 3442), and the number that Microsoft gave them before. */
export const OPTION4_ROUTES = 121;
export const OPTION4_ROUTES_MICROSOFT = 249;
const OPTION4_PAD = 0;
const OPTION4_END = 255;

const SNAME = 44;
const SNAME_LENGTH = 64;
const FILE = 108;
const FILE_LENGTH = 128;
const COOKIE = 236;
const OPTIONS = 240;
const MAGIC_COOKIE = 0x63825363;
const HARDWARE_ETHERNET = 1;
const FLAG_BROADCAST = 0x8000;

/** Shorter ones were no BOOTP (RFC 1542 section 2.1); some clients still refuse them. */
const SHORTEST_MESSAGE = 300;

/** A client's message, or a server's where `reply` is set. Addresses are copies of 4 bytes. */
export interface Dhcp4Message {
  reply: boolean;
  /** One of DHCPDISCOVER to DHCPINFORM, or a later one that nobody here knows. */
  type: number;
  xid: number;
  secs: number;
  broadcast: boolean;
  ciaddr: Uint8Array;
  yiaddr: Uint8Array;
  giaddr: Uint8Array;
  /** 6 bytes: the client's hardware address. */
  chaddr: Uint8Array;
  /** Every option by its code, pieces put together; without padding, end and overload. */
  options: ReadonlyMap<number, Uint8Array>;
}

/** The message in bytes[start, end); undefined when it is malformed, for another hardware, or BOOTP without DHCP. */
export function readDhcp4(bytes: Uint8Array, start: number, end: number): Dhcp4Message | undefined {
  if (end - start < OPTIONS || readU32(bytes, start + COOKIE) !== MAGIC_COOKIE) return undefined;
  const op = bytes[start];
  if (op !== BOOTREQUEST && op !== BOOTREPLY) return undefined;
  if (bytes[start + 1] !== HARDWARE_ETHERNET || bytes[start + 2] !== MAC_LENGTH) return undefined;
  const options = readOptions(bytes, start, end);
  const type = options?.get(OPTION4_MESSAGE_TYPE);
  if (options === undefined || type?.length !== 1) return undefined;
  return {
    reply: op === BOOTREPLY,
    type: type[0]!,
    xid: readU32(bytes, start + 4),
    secs: readU16(bytes, start + 8),
    broadcast: (readU16(bytes, start + 10) & FLAG_BROADCAST) !== 0,
    ciaddr: bytes.slice(start + 12, start + 16),
    yiaddr: bytes.slice(start + 16, start + 20),
    giaddr: bytes.slice(start + 24, start + 28),
    chaddr: bytes.slice(start + 28, start + 28 + MAC_LENGTH),
    options,
  };
}

/** An option that is an address, or undefined where it is absent or of another length. */
export function addressOption4(message: Dhcp4Message, code: number): Uint8Array | undefined {
  const value = message.options.get(code);
  return value?.length === 4 ? value : undefined;
}

function readOptions(bytes: Uint8Array, start: number, end: number): Map<number, Uint8Array> | undefined {
  const options = new Map<number, Uint8Array>();
  if (!readField(bytes, start + OPTIONS, end, options)) return undefined;
  // RFC 2131 section 4.1: first the field of options, then that of the file, then that of the server's name.
  const overload = options.get(OPTION4_OVERLOAD);
  options.delete(OPTION4_OVERLOAD);
  if (overload === undefined) return options;
  if (overload.length !== 1 || overload[0]! < 1 || overload[0]! > 3) return undefined;
  const whole =
    ((overload[0]! & 1) === 0 || readField(bytes, start + FILE, start + FILE + FILE_LENGTH, options)) &&
    ((overload[0]! & 2) === 0 || readField(bytes, start + SNAME, start + SNAME + SNAME_LENGTH, options));
  options.delete(OPTION4_OVERLOAD);
  return whole ? options : undefined;
}

/** Adds the options of a field; false when one reaches beyond it. Clients that forget the end option are forgiven. */
function readField(bytes: Uint8Array, start: number, end: number, options: Map<number, Uint8Array>): boolean {
  let at = start;
  while (at < end) {
    const code = bytes[at]!;
    if (code === OPTION4_END) return true;
    if (code === OPTION4_PAD) {
      at++;
      continue;
    }
    if (at + 2 > end) return false;
    const next = at + 2 + bytes[at + 1]!;
    if (next > end) return false;
    const before = options.get(code);
    const piece = bytes.slice(at + 2, next);
    options.set(code, before === undefined ? piece : joined(before, piece));
    at = next;
  }
  return true;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** What a server says beside its options. */
export interface Dhcp4Reply {
  type: number;
  ciaddr?: Uint8Array;
  yiaddr?: Uint8Array;
}

/** Begins the answer to a message, into `out` from its start; options follow, then `endDhcp4`. */
export function beginDhcp4(out: ByteWriter, request: Dhcp4Message, reply: Dhcp4Reply): void {
  out.reset().u8(BOOTREPLY).u8(HARDWARE_ETHERNET).u8(MAC_LENGTH).u8(0).u32(request.xid);
  out.u16(0).u16(request.broadcast ? FLAG_BROADCAST : 0);
  writeAddress(out, reply.ciaddr);
  writeAddress(out, reply.yiaddr);
  out.u32(0).copy(request.giaddr).copy(request.chaddr);
  // The rest of the hardware address, the server's name and the file.
  for (let i = out.length; i < COOKIE; i++) out.u8(0);
  out.u32(MAGIC_COOKIE);
  out.u8(OPTION4_MESSAGE_TYPE).u8(1).u8(reply.type);
}

function writeAddress(out: ByteWriter, address: Uint8Array | undefined): void {
  if (address === undefined) out.u32(0);
  else out.copy(address);
}

/** Adds an option of up to 255 bytes if, with the end option, the message stays within `maxLength`. */
export function putOption4(out: ByteWriter, code: number, value: Uint8Array, maxLength: number): boolean {
  if (value.length > 255 || out.length + 2 + value.length + 1 > maxLength) return false;
  out.u8(code).u8(value.length).copy(value);
  return true;
}

export function endDhcp4(out: ByteWriter): void {
  out.u8(OPTION4_END);
  while (out.length < SHORTEST_MESSAGE) out.u8(OPTION4_PAD);
}

/** Value of option 121 (RFC 3442): of each destination its length and significant bytes, then the router. */
export function classlessRoutes(routes: readonly { to: Prefix; via: Uint8Array }[]): Uint8Array {
  const value: number[] = [];
  for (const { to, via } of routes)
    value.push(to.length, ...to.bytes.subarray(0, (to.length + 7) >>> 3), ...via);
  return Uint8Array.from(value);
}
