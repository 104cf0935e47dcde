// Packets that the kernel logs to an NFLOG group, and how a listener asks for them
// (include/uapi/linux/netfilter/nfnetlink_log.h). Pure. Read are either what tells who sent a packet and why it was
// logged (the rule's prefix, the link it came in on, the sender's MAC, and the packet from the network header on, cut
// to the length that was asked for), or the whole Ethernet frame, put together again from header and packet. Numbers
// inside attributes are in network order.

import {
  attributeAt,
  attributeText,
  attributeType,
  copyBytes,
  type MessageWriter,
  NLM_F_ACK,
  NLM_F_REQUEST,
} from './message.ts';

const NFNL_SUBSYS_ULOG = 4;
export const NFULNL_MSG_PACKET = NFNL_SUBSYS_ULOG << 8;
const NFULNL_MSG_CONFIG = (NFNL_SUBSYS_ULOG << 8) | 1;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
const BODY = 20;
const ETHERNET_HEADER_BYTES = 14;

/** Attributes of a packet, `NFULA_*`. */
const IFINDEX_INDEV = 4;
const HARDWARE_ADDRESS = 8;
const PAYLOAD = 9;
const PREFIX = 10;
const HARDWARE_HEADER = 16;

export interface LoggedPacket {
  /** What the rule says of it. */
  prefix: string;
  /** The link it came in on; 0 where it came from none. */
  ifindex: number;
  /** The sender's, 6 bytes. */
  mac?: Uint8Array;
  packet: Uint8Array;
}

/** Where a frame was put together. */
export interface LoggedFrame {
  ifindex: number;
  length: number;
}

/**
 * Binds the socket to a group; packets come cut to `copyRange` bytes, when `queue` of them fill a datagram or the first
 * has waited `delayMs`. With a queue of 1 each comes at once.
 */
export function encodeLogBind(
  writer: MessageWriter,
  seq: number,
  group: number,
  settings: { copyRange: number; delayMs: number; queue: number },
): void {
  config(writer, seq, group);
  writer.attributeBytes(1, Uint8Array.of(NFULNL_CFG_CMD_BIND)).end();
  config(writer, seq + 1, group);
  const { copyRange } = settings;
  writer.attributeBytes(
    2,
    Uint8Array.of(copyRange >>> 24, copyRange >>> 16, copyRange >>> 8, copyRange, NFULNL_COPY_PACKET, 0),
  );
  writer.attributeU32Network(4, Math.max(1, Math.round(settings.delayMs / 10)));
  writer.attributeU32Network(5, settings.queue).end();
}

function config(writer: MessageWriter, seq: number, group: number): void {
  writer.begin(NFULNL_MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, seq);
  writer
    .u8(0)
    .u8(0)
    .u8(group >>> 8)
    .u8(group);
}

/** Decodes the packet in a whole message [start, end); undefined where it has no prefix. */
export function decodeLoggedPacket(bytes: Uint8Array, start: number, end: number): LoggedPacket | undefined {
  const logged: LoggedPacket = { prefix: '', ifindex: 0, packet: new Uint8Array(0) };
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    switch (attributeType(bytes, at)) {
      case IFINDEX_INDEV:
        if (n === 8) logged.ifindex = u32Network(bytes, at + 4);
        break;
      case HARDWARE_ADDRESS:
        // struct nfulnl_msg_packet_hw: length, padding, address. Of links that are not Ethernet it is of no use.
        if (n >= 14 && bytes[at + 4] === 0 && bytes[at + 5] === 6)
          logged.mac = copyBytes(bytes, at + 8, at + 14);
        break;
      case PAYLOAD:
        logged.packet = copyBytes(bytes, at + 4, at + n);
        break;
      case PREFIX:
        logged.prefix = attributeText(bytes, at, n);
        break;
      case HARDWARE_HEADER:
        // The Ethernet header: destination, source, type.
        if (logged.mac === undefined && n >= 16) logged.mac = copyBytes(bytes, at + 10, at + 16);
        break;
    }
  }
  return logged.prefix === '' ? undefined : logged;
}

/**
 * Puts the frame of a whole message [start, end) together in `frame`, cut to what fits; undefined where the message
 * does not tell of link, header and packet.
 */
export function decodeLoggedFrame(
  bytes: Uint8Array,
  start: number,
  end: number,
  frame: Uint8Array,
): LoggedFrame | undefined {
  let ifindex = 0;
  let hasHeader = false;
  let length = 0;
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    switch (attributeType(bytes, at)) {
      case IFINDEX_INDEV:
        if (n === 8) ifindex = u32Network(bytes, at + 4);
        break;
      case HARDWARE_HEADER:
        // As long as the link says its headers are, which may be more than Ethernet's.
        hasHeader = n >= 4 + ETHERNET_HEADER_BYTES;
        for (let i = 0; hasHeader && i < ETHERNET_HEADER_BYTES; i++) frame[i] = bytes[at + 4 + i]!;
        break;
      case PAYLOAD: {
        const stop = Math.min(at + n, at + 4 + frame.length - ETHERNET_HEADER_BYTES);
        frame.set(bytes.subarray(at + 4, stop), ETHERNET_HEADER_BYTES);
        length = ETHERNET_HEADER_BYTES + stop - at - 4;
        break;
      }
    }
  }
  return ifindex > 0 && hasHeader && length > 0 ? { ifindex, length } : undefined;
}

function u32Network(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
