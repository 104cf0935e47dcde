// Neighbours: RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH (include/uapi/linux/neighbour.h). Pure. Bridge forwarding
// entries use the same messages with family AF_BRIDGE. Those leafd writes are permanent: the kernel neither asks
// for them nor believes what others say of them; NDA_PROTOCOL carries leafd's mark.

import {
  attributeAt,
  attributeBytes,
  attributeType,
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
  RTPROT_LEAFD,
  u16,
  u32,
} from './message.ts';

/** Known, to be asked again when it is used. */
export const NUD_STALE = 0x04;
export const NUD_PERMANENT = 0x80;
/** Answered for by proxy; asked for by a dump of its own. */
export const NTF_PROXY = 0x08;
const AF_INET = 2;
const AF_INET6 = 10;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_PROTOCOL = 12;
const BODY = 28;

export interface Neighbour {
  family: number;
  ifindex: number;
  /** NUD_*. */
  state: number;
  /** NTF_*. */
  flags: number;
  /** 4 or 16 bytes. */
  address: Uint8Array;
  /** Empty while unknown. */
  mac: Uint8Array;
  /** NDA_PROTOCOL: who made it, 0 where nobody said. */
  protocol: number;
}

export function decodeNeighbour(bytes: Uint8Array, start: number, end: number): Neighbour | undefined {
  if (end < start + BODY) return undefined;
  const neighbour: Neighbour = {
    family: bytes[start + 16]!,
    ifindex: u32(bytes, start + 20),
    state: u16(bytes, start + 24),
    flags: bytes[start + 26]!,
    address: new Uint8Array(0),
    mac: new Uint8Array(0),
    protocol: 0,
  };
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === NDA_DST) neighbour.address = attributeBytes(bytes, at, n);
    else if (type === NDA_LLADDR) neighbour.mac = attributeBytes(bytes, at, n);
    else if (type === NDA_PROTOCOL) neighbour.protocol = bytes[at + 4]!;
  }
  return neighbour;
}

export function encodeNeighbourDump(writer: MessageWriter, seq: number, family = 0, flags = 0): void {
  writer.begin(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, seq);
  writer.u8(family).u8(0).u16(0).u32(0).u16(0).u8(flags).u8(0).end();
}

/** Makes or replaces a permanent neighbour of leafd's: an address (4 or 16 bytes) on a link has this MAC. */
export function encodeNeighbourReplace(
  writer: MessageWriter,
  seq: number,
  ifindex: number,
  address: Uint8Array,
  mac: Uint8Array,
): void {
  encodeNeighbour(writer, RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE, seq, {
    family: address.length === 4 ? AF_INET : AF_INET6,
    ifindex,
    state: NUD_PERMANENT,
    flags: 0,
    address,
    mac,
    protocol: RTPROT_LEAFD,
  });
}

/** Removes a neighbour, whoever made it. */
export function encodeNeighbourDelete(
  writer: MessageWriter,
  seq: number,
  ifindex: number,
  address: Uint8Array,
): void {
  writer.begin(RTM_DELNEIGH, NLM_F_REQUEST, seq);
  writer
    .u8(address.length === 4 ? AF_INET : AF_INET6)
    .u8(0)
    .u16(0)
    .u32(ifindex);
  writer.u16(0).u8(0).u8(0);
  writer.attributeBytes(NDA_DST, address).end();
}

/** The pair of `decodeNeighbour`. */
export function encodeNeighbour(
  writer: MessageWriter,
  type: number,
  flags: number,
  seq: number,
  neighbour: Neighbour,
): void {
  writer.begin(type, flags, seq);
  writer.u8(neighbour.family).u8(0).u16(0).u32(neighbour.ifindex);
  writer.u16(neighbour.state).u8(neighbour.flags).u8(0);
  writer.attributeBytes(NDA_DST, neighbour.address);
  if (neighbour.mac.length > 0) writer.attributeBytes(NDA_LLADDR, neighbour.mac);
  if (neighbour.protocol !== 0) writer.attributeU8(NDA_PROTOCOL, neighbour.protocol);
  writer.end();
}
