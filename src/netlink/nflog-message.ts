// Packets that the kernel logs to an NFLOG group, and how a listener asks for them
// (include/uapi/linux/netfilter/nfnetlink_log.h). Pure. Of a packet only what tells who sent it and why it was logged
// is read: the rule's prefix, the link it came in on, the sender's MAC, and the packet from the network header on, cut
// to the length that was asked for. Numbers inside attributes are in network order.

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

export interface LoggedPacket {
  /** What the rule says of it. */
  prefix: string;
  /** The link it came in on; 0 where it came from none. */
  ifindex: number;
  /** The sender's, 6 bytes. */
  mac?: Uint8Array;
  packet: Uint8Array;
}

/**
 * Binds the socket to a group; packets come cut to `copyRange` bytes, each at once or after `delayMs`, when up to
 * `queue` of them come in one datagram.
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
      case 4:
        if (n === 8) logged.ifindex = u32Network(bytes, at + 4);
        break;
      case 8:
        // struct nfulnl_msg_packet_hw: length, padding, address. Of links that are not Ethernet it is of no use.
        if (n >= 14 && bytes[at + 4] === 0 && bytes[at + 5] === 6)
          logged.mac = copyBytes(bytes, at + 8, at + 14);
        break;
      case 9:
        logged.packet = copyBytes(bytes, at + 4, at + n);
        break;
      case 10:
        logged.prefix = attributeText(bytes, at, n);
        break;
      case 16:
        // The Ethernet header: destination, source, type.
        if (logged.mac === undefined && n >= 16) logged.mac = copyBytes(bytes, at + 10, at + 16);
        break;
    }
  }
  return logged.prefix === '' ? undefined : logged;
}

function u32Network(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
