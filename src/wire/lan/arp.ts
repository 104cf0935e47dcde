// ARP (RFC 826), its probes and announcements (RFC 5227), and RARP (RFC 903), for Ethernet and IPv4. The message is
// the same for both; RARP asks "who am I", which a hypervisor sends on behalf of a guest that it has just resumed.

import { type ByteWriter, readU16, readU32 } from '../../lib/bytes.ts';
import {
  BROADCAST_MAC,
  beginFrame,
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_ARP,
  ETHERTYPE_IP4,
} from './ethernet.ts';

export const ARP_LENGTH = 28;

export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;
export const RARP_REQUEST = 3;

const HARDWARE_ETHERNET = 1;

export interface ArpMessage {
  operation: number;
  /** Copies: 6, 4, 6 and 4 bytes. */
  senderMac: Uint8Array;
  sender: Uint8Array;
  targetMac: Uint8Array;
  target: Uint8Array;
}

/** The message behind the Ethernet header of a frame of `length` bytes; undefined unless Ethernet and IPv4. */
export function readArp(bytes: Uint8Array, length: number): ArpMessage | undefined {
  const at = ETHERNET_HEADER_LENGTH;
  if (length < at + ARP_LENGTH) return undefined;
  if (readU16(bytes, at) !== HARDWARE_ETHERNET || readU16(bytes, at + 2) !== ETHERTYPE_IP4) return undefined;
  if (bytes[at + 4] !== 6 || bytes[at + 5] !== 4) return undefined;
  return {
    operation: readU16(bytes, at + 6),
    senderMac: bytes.slice(at + 8, at + 14),
    sender: bytes.slice(at + 14, at + 18),
    targetMac: bytes.slice(at + 18, at + 24),
    target: bytes.slice(at + 24, at + 28),
  };
}

/** Whether the four bytes are 0.0.0.0. */
export function isUnspecified4(address: Uint8Array): boolean {
  return readU32(address, 0) === 0;
}

/** Who has `target`? To everybody, or to the one who had it (`to`), as RFC 1122 section 2.3.2.1 polls. */
export function arpRequest(
  out: ByteWriter,
  from: { mac: Uint8Array; address: Uint8Array },
  target: Uint8Array,
  to: Uint8Array = BROADCAST_MAC,
): void {
  beginFrame(out, to, from.mac, ETHERTYPE_ARP);
  writeMessage(out, ARP_REQUEST, from);
  out.u32(0).u16(0).copy(target);
}

/** `from.address` is at `from.mac`, told to one station. */
export function arpReply(
  out: ByteWriter,
  from: { mac: Uint8Array; address: Uint8Array },
  to: { mac: Uint8Array; address: Uint8Array },
): void {
  beginFrame(out, to.mac, from.mac, ETHERTYPE_ARP);
  writeMessage(out, ARP_REPLY, from);
  out.copy(to.mac).copy(to.address);
}

/** An ARP announcement (RFC 5227 section 2.3): a request whose sender asks for itself. */
export function arpAnnouncement(out: ByteWriter, from: { mac: Uint8Array; address: Uint8Array }): void {
  arpRequest(out, from, from.address);
}

function writeMessage(
  out: ByteWriter,
  operation: number,
  from: { mac: Uint8Array; address: Uint8Array },
): void {
  out.u16(HARDWARE_ETHERNET).u16(ETHERTYPE_IP4).u8(6).u8(4).u16(operation);
  out.copy(from.mac).copy(from.address);
}
