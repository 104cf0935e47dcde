// What a hypervisor and the guest itself say when the guest has begun to run somewhere: RARP, as QEMU sends it for any
// guest, and what a Linux guest adds where its network card asks for it (virtio's announce): a gratuitous ARP of each
// IPv4 address (RFC 5227 section 2.3) and an unsolicited neighbour advertisement of each IPv6 address, the link-local
// one among them (RFC 4861 section 7.2.6). Whole Ethernet frames; pure.

import { ByteWriter } from '../lib/bytes.ts';
import { arpAnnouncement } from '../wire/lan/arp.ts';
import {
  BROADCAST_MAC,
  beginFrame,
  ETHERTYPE_IP4,
  ETHERTYPE_IP6,
  ETHERTYPE_RARP,
  multicastMac6,
} from '../wire/lan/ethernet.ts';
import { NEIGHBOUR_ADVERTISEMENT, putIcmp6Checksum } from '../wire/lan/icmp6.ts';
import { PROTOCOL_ICMP6, writeIp6 } from '../wire/lan/ip.ts';
import { ALL_NODES, ND_HOP_LIMIT } from '../wire/lan/nd.ts';

/** After the first round, as QEMU does by default (announce-initial 50, announce-step 100, announce-rounds 5). */
export const roundDelaysMs: readonly number[] = [50, 150, 250, 350];

const RARP_REQUEST = 3;
const FLAG_OVERRIDE = 0x20;
const OPTION_TARGET_LLADDR = 2;
/** Ethernet's least payload: what is shorter, a network card fills up. */
const LEAST_FRAME = 60;

/** The frames of one round. */
export function announcementFrames(mac: Uint8Array, addresses: readonly Uint8Array[]): Uint8Array[] {
  const frames = [rarp(mac)];
  for (const address of addresses) {
    const out = new ByteWriter();
    if (address.length === 4) arpAnnouncement(out, { mac, address });
    else unsolicitedAdvertisement(out, mac, address);
    frames.push(frameOf(out));
  }
  const out = new ByteWriter();
  unsolicitedAdvertisement(out, mac, linkLocalOf(mac));
  return [...frames, frameOf(out)];
}

/** Who am I? (RFC 903), asked of everybody: switches learn where the sender is. */
function rarp(mac: Uint8Array): Uint8Array {
  const out = new ByteWriter();
  beginFrame(out, BROADCAST_MAC, mac, ETHERTYPE_RARP);
  out.u16(1).u16(ETHERTYPE_IP4).u8(6).u8(4).u16(RARP_REQUEST).copy(mac).u32(0).copy(mac).u32(0);
  return frameOf(out);
}

function unsolicitedAdvertisement(out: ByteWriter, mac: Uint8Array, address: Uint8Array): void {
  beginFrame(out, multicastMac6(ALL_NODES), mac, ETHERTYPE_IP6);
  writeIp6(out, address, ALL_NODES, PROTOCOL_ICMP6, ND_HOP_LIMIT, 32);
  const start = out.length;
  out.u8(NEIGHBOUR_ADVERTISEMENT).u8(0).u16(0).u8(FLAG_OVERRIDE).u8(0).u16(0).copy(address);
  out.u8(OPTION_TARGET_LLADDR).u8(1).copy(mac);
  putIcmp6Checksum(out, start, address, ALL_NODES);
}

/** fe80:: with the interface identifier of RFC 4291 appendix A. */
function linkLocalOf(mac: Uint8Array): Uint8Array {
  const address = new Uint8Array(16);
  address.set([0xfe, 0x80]);
  address.set([mac[0]! ^ 2, mac[1]!, mac[2]!, 0xff, 0xfe, mac[3]!, mac[4]!, mac[5]!], 8);
  return address;
}

function frameOf(out: ByteWriter): Uint8Array {
  const frame = new Uint8Array(Math.max(LEAST_FRAME, out.length));
  frame.set(out.bytes.subarray(0, out.length));
  return frame;
}
