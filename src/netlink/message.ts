// rtnetlink's framing: `struct nlmsghdr` and `struct nlattr` (include/uapi/linux/netlink.h), many messages in
// one growable buffer and attribute walks without copies. Pure. Header fields are in host byte order, which
// is little endian on every machine leafd runs on; addresses inside attributes are in network order. What a
// message means is left to link.ts, address.ts, route.ts, nexthop.ts and neighbour.ts; sending is left
// to socket.ts.

import { assert } from '../lib/assert.ts';

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_HEADER_LENGTH = 16;

export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLM_F_DUMP = 0x300;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_SETLINK = 19;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
export const RTM_NEWNEXTHOP = 104;
export const RTM_DELNEXTHOP = 105;
export const RTM_GETNEXTHOP = 106;

/** Multicast groups of NETLINK_ROUTE, for events. */
export const RTNLGRP_LINK = 1;
export const RTNLGRP_NEIGH = 3;
export const RTNLGRP_IPV4_IFADDR = 5;
export const RTNLGRP_IPV4_ROUTE = 7;
export const RTNLGRP_IPV6_IFADDR = 9;
export const RTNLGRP_IPV6_ROUTE = 11;
export const RTNLGRP_IPV4_NETCONF = 24;
export const RTNLGRP_IPV6_NETCONF = 25;
export const RTNLGRP_NEXTHOP = 32;

/** The mark of everything leafd puts into the kernel (rtm_protocol, nh_protocol, IFA_PROTO). */
export const RTPROT_LEAFD = 179;
const TYPE_MASK = 0x3fff;
const NESTED = 0x8000;

export function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

export function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Many messages in one buffer: begin, fields and attributes, end; then again. */
export class MessageWriter {
  bytes: Uint8Array;
  /** End of what is written, in bytes; always a multiple of 4 between messages. */
  length = 0;
  /** How many messages are complete. */
  count = 0;
  /** Where the last message begins. */
  last = 0;

  /** Writes into `buffer` (it is replaced by a larger one when it does not suffice). */
  constructor(buffer: Uint8Array = new Uint8Array(4096)) {
    this.bytes = buffer;
  }

  reset(buffer: Uint8Array = this.bytes): this {
    this.bytes = buffer;
    this.length = 0;
    this.count = 0;
    this.last = 0;
    return this;
  }

  /** Opens a message; `seq` is nlmsg_seq. */
  begin(type: number, flags: number, seq: number): this {
    this.reserve(NLMSG_HEADER_LENGTH);
    const at = this.length;
    this.last = at;
    putU16(this.bytes, at + 4, type);
    putU16(this.bytes, at + 6, flags);
    putU32(this.bytes, at + 8, seq);
    putU32(this.bytes, at + 12, 0);
    this.length = at + NLMSG_HEADER_LENGTH;
    return this;
  }

  /** Closes the message by writing its length. */
  end(): this {
    putU32(this.bytes, this.last, this.length - this.last);
    this.count++;
    return this;
  }

  u8(value: number): this {
    this.reserve(1);
    this.bytes[this.length++] = value;
    return this;
  }

  u16(value: number): this {
    this.reserve(2);
    putU16(this.bytes, this.length, value);
    this.length += 2;
    return this;
  }

  u32(value: number): this {
    this.reserve(4);
    putU32(this.bytes, this.length, value);
    this.length += 4;
    return this;
  }

  attributeU8(type: number, value: number): this {
    this.#header(type, 5, 8);
    this.bytes[this.length] = value;
    this.#pad(this.length + 1, this.length + 4);
    this.length += 4;
    return this;
  }

  attributeU32(type: number, value: number): this {
    this.#header(type, 8, 8);
    putU32(this.bytes, this.length, value);
    this.length += 4;
    return this;
  }

  /** A 32-bit value in network order, as IPv4 addresses are. */
  attributeU32Network(type: number, value: number): this {
    this.#header(type, 8, 8);
    const at = this.length;
    this.bytes[at] = value >>> 24;
    this.bytes[at + 1] = value >>> 16;
    this.bytes[at + 2] = value >>> 8;
    this.bytes[at + 3] = value;
    this.length = at + 4;
    return this;
  }

  attributeBytes(type: number, value: Uint8Array): this {
    const count = value.length;
    this.#header(type, count + 4, (count + 7) & ~3);
    const at = this.length;
    for (let i = 0; i < count; i++) this.bytes[at + i] = value[i]!;
    this.length = at + ((count + 3) & ~3);
    this.#pad(at + count, this.length);
    return this;
  }

  /** Text with the zero byte the kernel expects behind it; Latin-1, as names of links are. */
  attributeText(type: number, value: string): this {
    const bytes = new Uint8Array(value.length + 1);
    for (let i = 0; i < value.length; i++) bytes[i] = value.charCodeAt(i);
    return this.attributeBytes(type, bytes);
  }

  /** Opens a nested attribute and returns its place, to be given to `nestEnd`. */
  nest(type: number): number {
    this.reserve(4);
    const at = this.length;
    putU16(this.bytes, at + 2, type | NESTED);
    this.length = at + 4;
    return at;
  }

  nestEnd(at: number): this {
    putU16(this.bytes, at, this.length - at);
    return this;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const need = this.length + count;
    if (need <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(need, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  /** Sets more flags on the last message: the ACK of a batch is asked for there. */
  flagLast(flags: number): void {
    assert(this.count > 0, 'a batch without messages');
    this.bytes[this.last + 6]! |= flags & 0xff;
    this.bytes[this.last + 7]! |= flags >>> 8;
  }

  #header(type: number, length: number, room: number): void {
    this.reserve(room);
    putU16(this.bytes, this.length, length);
    putU16(this.bytes, this.length + 2, type);
    this.length += 4;
  }

  #pad(from: number, to: number): void {
    for (let i = from; i < to; i++) this.bytes[i] = 0;
  }
}

/**
 * The length of the attribute at `at` (header included), or 0 where no whole attribute is left before `end`:
 * `for (let at = first, n; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3)`.
 */
export function attributeAt(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return 0;
  const length = u16(bytes, at);
  return length >= 4 && at + length <= end ? length : 0;
}

/** The attribute's type without the nesting and byte-order bits. */
export function attributeType(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 2) & TYPE_MASK;
}

/** Zero-terminated text of an attribute of `length` bytes at `at`. */
export function attributeText(bytes: Uint8Array, at: number, length: number): string {
  let text = '';
  for (let i = at + 4; i < at + length && bytes[i] !== 0; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

/** A copy of the attribute's value. */
export function attributeBytes(bytes: Uint8Array, at: number, length: number): Uint8Array {
  return copyBytes(bytes, at + 4, at + length);
}

/** A copy of bytes[start, end); `slice` of a Node Buffer would be a window on memory that is used again. */
export function copyBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = new Uint8Array(end - start);
  for (let i = start; i < end; i++) copy[i - start] = bytes[i]!;
  return copy;
}

/** A message inside a datagram: [start, end) is the whole of it, header included. */
export type MessageCallback = (
  type: number,
  flags: number,
  bytes: Uint8Array,
  start: number,
  end: number,
) => void;

/** Calls back for each whole message in bytes[0, length); what is cut off or malformed ends the walk. */
export function eachMessage(bytes: Uint8Array, length: number, callback: MessageCallback): void {
  for (let at = 0; at + NLMSG_HEADER_LENGTH <= length; ) {
    const size = u32(bytes, at);
    if (size < NLMSG_HEADER_LENGTH || at + size > length) return;
    callback(u16(bytes, at + 4), u16(bytes, at + 6), bytes, at, at + size);
    at += (size + 3) & ~3;
  }
}

/** What the kernel said to one message of ours. */
export interface Failure {
  /** Which message of the batch, from 0. */
  index: number;
  /** Positive. */
  errno: number;
  /** The kernel's own words (NLMSGERR_ATTR_MSG), or ''. */
  text: string;
}

/** The errno (0 = acknowledged) of an NLMSG_ERROR in [start, end). */
export function errorNumber(bytes: Uint8Array, start: number): number {
  return -(u32(bytes, start + 16) | 0);
}

/** The kernel's words in an NLMSG_ERROR, or ''. */
export function errorText(bytes: Uint8Array, start: number, end: number): string {
  const flags = u16(bytes, start + 6);
  if ((flags & NLM_F_ACK_TLVS) === 0 || end < start + 36) return '';
  const echoed = flags & NLM_F_CAPPED ? NLMSG_HEADER_LENGTH : (u32(bytes, start + 20) + 3) & ~3;
  for (let at = start + 20 + echoed, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    if (attributeType(bytes, at) === NLMSGERR_ATTR_MSG) return attributeText(bytes, at, n);
  }
  return '';
}

/** Bytes as a key of a map. */
export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += (byte < 16 ? '0' : '') + byte.toString(16);
  return text;
}
