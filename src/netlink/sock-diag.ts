// The kernel's answer to "whose socket is this?": SOCK_DIAG_BY_FAMILY for one TCP socket (include/uapi/linux/
// sock_diag.h, inet_diag.h). Pure. The kernel looks a socket up as a packet for it would be: with none of exactly these
// two ends it answers with a listener at the near end, so that the answer has to be compared with the question.
//
// A socket that nobody holds any more (closed, with bytes still on their way), or nobody holds yet (not taken from its
// listener's queue), has inode 0, and its uid may be told as 0: that of root, who has nothing to do with it.

import { type MessageWriter, NLM_F_REQUEST, NLMSG_HEADER_LENGTH, u32 } from './message.ts';

export const NETLINK_SOCK_DIAG = 4;
export const SOCK_DIAG_BY_FAMILY = 20;
export const TCP_ESTABLISHED = 1;
export const TCP_LISTEN = 10;

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;
const ALL_STATES = 0xffff_ffff;
const NO_COOKIE = 0xffff_ffff;
const MESSAGE_BYTES = 72;

/** Port and address, 4 or 16 bytes. */
export interface SocketEnd {
  readonly address: Uint8Array;
  readonly port: number;
}

/** A socket as it sees itself. */
export interface SocketEnds {
  readonly near: SocketEnd;
  readonly far: SocketEnd;
}

export interface TcpSocket extends SocketEnds {
  /** TCP_ESTABLISHED and its like. */
  readonly state: number;
  readonly uid: number;
  /** 0: no process holds it. */
  readonly inode: number;
}

/** Asks for a socket; `ifindex`: of the link it may be bound to, 0 for one that is bound to none. */
export function encodeTcpGet(writer: MessageWriter, seq: number, ends: SocketEnds, ifindex: number): void {
  const { near, far } = ends;
  writer.begin(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, seq);
  writer.u8(near.address.length === 4 ? AF_INET : AF_INET6).u8(IPPROTO_TCP);
  writer.u16(0).u32(ALL_STATES);
  for (const { port } of [near, far]) writer.u8(port >>> 8).u8(port);
  for (const { address } of [near, far]) for (let i = 0; i < 16; i++) writer.u8(address[i] ?? 0);
  writer.u32(ifindex).u32(NO_COOKIE).u32(NO_COOKIE).end();
}

/** The socket in an answer [start, end), or undefined where it is cut off. */
export function decodeTcp(bytes: Uint8Array, start: number, end: number): TcpSocket | undefined {
  const at = start + NLMSG_HEADER_LENGTH;
  if (end < at + MESSAGE_BYTES) return undefined;
  const four = bytes[at] === AF_INET;
  const endAt = (port: number, address: number): SocketEnd => ({
    address: addressAt(bytes, at + address, four),
    port: bytes[at + port]! * 256 + bytes[at + port + 1]!,
  });
  return {
    state: bytes[at + 1]!,
    near: endAt(4, 8),
    far: endAt(6, 24),
    uid: u32(bytes, at + 64),
    inode: u32(bytes, at + 68),
  };
}

/** One of a socket for both families may have an IPv4 address within IPv6. */
function addressAt(bytes: Uint8Array, at: number, four: boolean): Uint8Array {
  if (four) return Uint8Array.from(bytes.subarray(at, at + 4));
  const isMapped = bytes.subarray(at, at + 10).every((byte) => byte === 0) && bytes[at + 10] === 0xff;
  return Uint8Array.from(bytes.subarray(isMapped && bytes[at + 11] === 0xff ? at + 12 : at, at + 16));
}
