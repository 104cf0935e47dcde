// Addresses of links: RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR (include/uapi/linux/if_addr.h). Pure. IFA_PROTO
// (since Linux 5.18) carries leafd's mark; an older kernel ignores it, and then observed addresses have
// protocol 0. `LinkAddress` is what most of leafd asks of an address; `WholeAddress` is all there is, so that
// one can be made again exactly as it was.

import { sameBytes } from '../lib/bytes.ts';
import {
  attributeAt,
  attributeBytes,
  attributeText,
  attributeType,
  MessageWriter,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWADDR,
  u32,
} from './message.ts';

export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_NODAD = 0x02;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_DEPRECATED = 0x20;
/** Of IPv6, IFA_F_TEMPORARY; of IPv4, IFA_F_SECONDARY. */
export const IFA_F_SECONDARY = 0x01;
export const IFA_F_NOPREFIXROUTE = 0x200;
/** A lifetime without end. */
export const FOREVER = 0xffffffff;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_RT_PRIORITY = 9;
const IFA_PROTO = 11;
const BODY = 24;

export interface LinkAddress {
  ifindex: number;
  /** AF_INET 2 or AF_INET6 10. */
  family: number;
  /** 4 or 16. On a point-to-point link it is the near end (IFA_LOCAL). */
  bytes: Uint8Array;
  prefixLength: number;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  scope: number;
  /** IFA_F_*. */
  flags: number;
  /** Duplicate address detection has not finished: the address cannot be used yet. */
  tentative: boolean;
  /** IFA_PROTO: 0 unknown, 1 loopback, 2 router advertisement, 3 link-local, 179 leafd. */
  protocol: number;
}

/** Decodes the address in a whole message [start, end). */
export function decodeAddress(bytes: Uint8Array, start: number, end: number): LinkAddress | undefined {
  if (end < start + BODY) return undefined;
  const address: LinkAddress = {
    ifindex: u32(bytes, start + 20),
    family: bytes[start + 16]!,
    bytes: new Uint8Array(0),
    prefixLength: bytes[start + 17]!,
    scope: bytes[start + 19]!,
    flags: bytes[start + 18]!,
    tentative: false,
    protocol: 0,
  };
  let local = false;
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === IFA_LOCAL) {
      address.bytes = attributeBytes(bytes, at, n);
      local = true;
    } else if (type === IFA_ADDRESS && !local) address.bytes = attributeBytes(bytes, at, n);
    else if (type === IFA_FLAGS && n === 8) address.flags = u32(bytes, at + 4);
    else if (type === IFA_PROTO) address.protocol = bytes[at + 4]!;
  }
  address.tentative = (address.flags & IFA_F_TENTATIVE) !== 0;
  return address.bytes.length === 4 || address.bytes.length === 16 ? address : undefined;
}

export function encodeAddressDump(writer: MessageWriter, seq: number, family = 0): void {
  writer
    .begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, seq)
    .u8(family)
    .u8(0)
    .u8(0)
    .u8(0)
    .u32(0)
    .end();
}

/**
 * Adds an address (`flags` are NLM_F_CREATE and so on); with IPv6 no duplicate detection where flags say
 * NODAD.
 */
export function encodeAddressAdd(
  writer: MessageWriter,
  seq: number,
  flags: number,
  address: LinkAddress,
): void {
  encodeAddress(writer, RTM_NEWADDR, flags | NLM_F_REQUEST, seq, address);
}

export function encodeAddressDelete(writer: MessageWriter, seq: number, address: LinkAddress): void {
  encodeAddress(writer, RTM_DELADDR, NLM_F_REQUEST, seq, address);
}

/** The address as a message of any type; also what the kernel tells (fake kernel, tests). */
export function encodeAddress(
  writer: MessageWriter,
  type: number,
  flags: number,
  seq: number,
  address: LinkAddress,
): void {
  writer.begin(type, flags, seq);
  writer
    .u8(address.family)
    .u8(address.prefixLength)
    .u8(address.flags & 0xff)
    .u8(address.scope);
  writer.u32(address.ifindex);
  writer.attributeBytes(IFA_LOCAL, address.bytes).attributeBytes(IFA_ADDRESS, address.bytes);
  if (address.flags !== 0) writer.attributeU32(IFA_FLAGS, address.flags);
  if (address.protocol !== 0) writer.attributeU8(IFA_PROTO, address.protocol);
  writer.end();
}

/** Everything of an address; what is absent, the kernel did not tell. */
export interface WholeAddress extends LinkAddress {
  /** IFA_ADDRESS where it is not the address itself: the far end of a point-to-point link. */
  peer?: Uint8Array;
  /** IFA_LABEL, of IPv4. */
  label?: string;
  broadcast?: Uint8Array;
  /** Metric of the route to its prefix. */
  priority?: number;
  /** Seconds left, or FOREVER. */
  preferredS: number;
  validS: number;
}

/** Decodes all of the address in a whole message [start, end). */
export function decodeWholeAddress(bytes: Uint8Array, start: number, end: number): WholeAddress | undefined {
  const address = decodeAddress(bytes, start, end);
  if (address === undefined) return undefined;
  const whole: WholeAddress = { ...address, preferredS: FOREVER, validS: FOREVER };
  let far: Uint8Array | undefined;
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === IFA_ADDRESS) far = attributeBytes(bytes, at, n);
    else if (type === IFA_LABEL) whole.label = attributeText(bytes, at, n);
    else if (type === IFA_BROADCAST) whole.broadcast = attributeBytes(bytes, at, n);
    else if (type === IFA_RT_PRIORITY && n === 8) whole.priority = u32(bytes, at + 4);
    else if (type === IFA_CACHEINFO && n >= 12) {
      whole.preferredS = u32(bytes, at + 4);
      whole.validS = u32(bytes, at + 8);
    }
  }
  const own = whole.bytes;
  const isOwn = far?.length === own.length && sameBytes(far, 0, own, 0, own.length);
  if (far !== undefined && !isOwn) whole.peer = far;
  return whole;
}

/** Adds (`flags`: NLM_F_CREATE and so on) or, with NLM_F_REPLACE, changes an address in all that it has. */
export function encodeWholeAddressAdd(
  writer: MessageWriter,
  seq: number,
  flags: number,
  address: WholeAddress,
): void {
  writer.begin(RTM_NEWADDR, flags | NLM_F_REQUEST, seq);
  writer
    .u8(address.family)
    .u8(address.prefixLength)
    .u8(address.flags & 0xff)
    .u8(address.scope);
  writer.u32(address.ifindex);
  writer.attributeBytes(IFA_LOCAL, address.bytes);
  writer.attributeBytes(IFA_ADDRESS, address.peer ?? address.bytes);
  if (address.broadcast) writer.attributeBytes(IFA_BROADCAST, address.broadcast);
  if (address.label !== undefined) writer.attributeText(IFA_LABEL, address.label);
  writer.attributeU32(IFA_FLAGS, address.flags);
  if (address.priority !== undefined) writer.attributeU32(IFA_RT_PRIORITY, address.priority);
  const times = new MessageWriter(new Uint8Array(16));
  times.u32(address.preferredS).u32(address.validS).u32(0).u32(0);
  writer.attributeBytes(IFA_CACHEINFO, times.bytes);
  if (address.protocol !== 0) writer.attributeU8(IFA_PROTO, address.protocol);
  writer.end();
}
