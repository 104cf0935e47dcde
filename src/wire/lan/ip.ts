// IPv4 and IPv6 headers (RFC 791, RFC 8200) of frames from a guest, down to the protocol that somebody reads: UDP or
// ICMPv6. Fragments are not put together: DHCP and neighbour discovery do not need them, and RFC 6980 forbids the
// latter to use them. Extension headers of IPv6 are walked up to a limit, because RFC 7113 tells how they hide
// router advertisements from those who look at the first header only.

import { type ByteWriter, readU16, writeU16 } from '../../lib/bytes.ts';
import { checksumOf, folded, wordSum } from './checksum.ts';

export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMP6 = 58;

export const IP4_HEADER_LENGTH = 20;
export const IP6_HEADER_LENGTH = 40;

/** Extension headers walked at most; honest hosts use one or two. */
const MAX_EXTENSION_HEADERS = 8;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
const MOBILITY = 135;

/** A whole datagram within a frame. */
export interface IpDatagram {
  /** Copies, 4 or 16 bytes each. */
  source: Uint8Array;
  destination: Uint8Array;
  /** TTL or hop limit. */
  hops: number;
  /** Of the payload, which is bytes[start, end). */
  protocol: number;
  start: number;
  end: number;
}

/** The IPv4 datagram at bytes[at, end); undefined when it is malformed or a fragment. */
export function readIp4(bytes: Uint8Array, at: number, end: number): IpDatagram | undefined {
  if (end - at < IP4_HEADER_LENGTH || bytes[at]! >>> 4 !== 4) return undefined;
  const headerLength = (bytes[at]! & 15) * 4;
  const totalLength = readU16(bytes, at + 2);
  if (headerLength < IP4_HEADER_LENGTH || totalLength < headerLength || totalLength > end - at)
    return undefined;
  if (folded(wordSum(bytes, at, at + headerLength)) !== 0xffff) return undefined;
  const moreFragmentsOrOffset = readU16(bytes, at + 6) & 0x3fff;
  if (moreFragmentsOrOffset !== 0) return undefined;
  return {
    source: bytes.slice(at + 12, at + 16),
    destination: bytes.slice(at + 16, at + 20),
    hops: bytes[at + 8]!,
    protocol: bytes[at + 9]!,
    start: at + headerLength,
    end: at + totalLength,
  };
}

/** The IPv6 datagram at bytes[at, end); undefined when it is malformed, a fragment, or too deep. */
export function readIp6(bytes: Uint8Array, at: number, end: number): IpDatagram | undefined {
  if (end - at < IP6_HEADER_LENGTH || bytes[at]! >>> 4 !== 6) return undefined;
  const last = at + IP6_HEADER_LENGTH + readU16(bytes, at + 4);
  if (last > end) return undefined;
  let protocol = bytes[at + 6]!;
  let start = at + IP6_HEADER_LENGTH;
  for (let headers = 0; isExtension(protocol); headers++) {
    if (headers === MAX_EXTENSION_HEADERS || protocol === FRAGMENT || start + 8 > last) return undefined;
    const units = bytes[start + 1]!;
    const length = protocol === AUTHENTICATION ? (units + 2) * 4 : (units + 1) * 8;
    if (start + length > last) return undefined;
    protocol = bytes[start]!;
    start += length;
  }
  return {
    source: bytes.slice(at + 8, at + 24),
    destination: bytes.slice(at + 24, at + 40),
    hops: bytes[at + 7]!,
    protocol,
    start,
    end: last,
  };
}

function isExtension(protocol: number): boolean {
  switch (protocol) {
    case HOP_BY_HOP:
    case ROUTING:
    case FRAGMENT:
    case AUTHENTICATION:
    case DESTINATION_OPTIONS:
    case MOBILITY:
      return true;
    default:
      return false;
  }
}

/** An IPv4 header without options and with its checksum; what it carries, `length` bytes, follows. */
export function writeIp4(
  out: ByteWriter,
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  length: number,
): void {
  const at = out.length;
  out
    .u8(0x45)
    .u8(0)
    .u16(IP4_HEADER_LENGTH + length);
  // No identification is needed where nothing may be fragmented (RFC 6864 section 4.1).
  out.u16(0).u16(0x4000);
  out.u8(64).u8(protocol).u16(0);
  out.copy(source).copy(destination);
  writeU16(out.bytes, at + 10, checksumOf(wordSum(out.bytes, at, out.length)));
}

/** An IPv6 header; what it carries, `length` bytes, follows. */
export function writeIp6(
  out: ByteWriter,
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  hopLimit: number,
  length: number,
): void {
  out.u32(0x60000000).u16(length).u8(protocol).u8(hopLimit);
  out.copy(source).copy(destination);
}
