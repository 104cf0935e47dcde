// The Ethernet header (RFC 894 for IPv4, RFC 2464 for IPv6): twelve bytes of addresses and a type. A frame with a
// VLAN tag has the tag's type (0x8100, 0x88a8), which nobody here asks for: a guest's link carries no tags, and what
// hides behind one is not what the port's filter judged.

import { type ByteWriter, readU16 } from '../../lib/bytes.ts';
import { isStationMac, MAC_LENGTH } from '../../net/mac.ts';

export const ETHERNET_HEADER_LENGTH = 14;

export const ETHERTYPE_IP4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_RARP = 0x8035;
export const ETHERTYPE_IP6 = 0x86dd;

/** Everybody on the link. */
export const BROADCAST_MAC: Uint8Array = new Uint8Array(MAC_LENGTH).fill(0xff);

/** Type of the frame; -1 when it has no whole header or its source is no address of one station. */
export function etherTypeOf(bytes: Uint8Array, length: number): number {
  if (length < ETHERNET_HEADER_LENGTH || !isStationMac(bytes, MAC_LENGTH)) return -1;
  return readU16(bytes, 2 * MAC_LENGTH);
}

/** A copy of the source address of a frame. */
export function sourceMacOf(bytes: Uint8Array): Uint8Array {
  return bytes.slice(MAC_LENGTH, 2 * MAC_LENGTH);
}

/** The group address of an IPv6 group (RFC 2464 section 7): 33:33 and its last four bytes. */
export function multicastMac6(group: Uint8Array): Uint8Array {
  return Uint8Array.of(0x33, 0x33, group[12]!, group[13]!, group[14]!, group[15]!);
}

/** Begins a frame: the writer holds nothing but its header afterwards. */
export function beginFrame(out: ByteWriter, to: Uint8Array, from: Uint8Array, etherType: number): void {
  out.reset().copy(to).copy(from).u16(etherType);
}
