// What a guest that means ill sends, as whole Ethernet frames: claims of addresses that are others', packets that only
// routers and servers send, and spoofed sources. Made by hand from the parts of wire/lan, which has no writers for what
// leafd itself never says.

import { ByteWriter } from '../../src/lib/bytes.ts';
import { parseIp } from '../../src/net/ip.ts';
import { arpAnnouncement } from '../../src/wire/lan/arp.ts';
import { BROADCAST_MAC, beginFrame, ETHERTYPE_IP6, multicastMac6 } from '../../src/wire/lan/ethernet.ts';
import {
  NEIGHBOUR_ADVERTISEMENT,
  NEIGHBOUR_SOLICITATION,
  putIcmp6Checksum,
  REDIRECT,
} from '../../src/wire/lan/icmp6.ts';
import { PROTOCOL_ICMP6, writeIp6 } from '../../src/wire/lan/ip.ts';
import { ALL_NODES, routerAdvertisement, solicitedNode } from '../../src/wire/lan/nd.ts';
import { udpFrame } from '../../src/wire/lan/udp.ts';

const bytes = (address: string): Uint8Array => parseIp(address)!;

function frame(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter();
  write(out);
  return out.bytes.slice(0, Math.max(60, out.length));
}

/** A claim of an address by gratuitous ARP or unsolicited advertisement. */
export function claim(mac: Uint8Array, address: string): Uint8Array {
  if (!address.includes(':')) return frame((out) => arpAnnouncement(out, { mac, address: bytes(address) }));
  return icmp6(mac, bytes(address), ALL_NODES, (out) => {
    out
      .u8(NEIGHBOUR_ADVERTISEMENT)
      .u8(0)
      .u16(0)
      .u8(0x20)
      .u8(0)
      .u16(0)
      .copy(bytes(address))
      .u8(2)
      .u8(1)
      .copy(mac);
  });
}

/** A claim by duplicate address detection (RFC 4862 section 5.4.2). */
export function dad(mac: Uint8Array, address: string): Uint8Array {
  const target = bytes(address);
  return icmp6(mac, new Uint8Array(16), solicitedNode(target), (out) => {
    out.u8(NEIGHBOUR_SOLICITATION).u8(0).u16(0).u32(0).copy(target);
  });
}

/** A router advertisement that would make this guest everybody's router. */
export function advertiseRouter(mac: Uint8Array, linkLocal: string): Uint8Array {
  const terms = { lifetimeS: 1800, managed: false, other: false };
  return frame((out) => routerAdvertisement(out, { mac, address: bytes(linkLocal) }, terms));
}

/** A redirect: packets to `target` are to go to this guest (RFC 4861 section 4.5). */
export function redirect(
  mac: Uint8Array,
  linkLocal: string,
  victim: { mac: Uint8Array; address: string },
  target: string,
): Uint8Array {
  const write = (out: ByteWriter): void => {
    out.u8(REDIRECT).u8(0).u16(0).u32(0).copy(bytes(linkLocal)).copy(bytes(target)).u8(2).u8(1).copy(mac);
  };
  return icmp6(mac, bytes(linkLocal), bytes(victim.address), write, victim.mac);
}

/** A DHCP offer to everybody (RFC 2131): this guest is the server. */
export function offerLease(mac: Uint8Array, server: string, offered: string): Uint8Array {
  const data = new Uint8Array(300);
  data.set([2, 1, 6, 0, 1, 2, 3, 4]);
  data.set(bytes(offered), 16);
  data.set(bytes(server), 20);
  data.set(mac, 28);
  data.set([0x63, 0x82, 0x53, 0x63, 53, 1, 2, 54, 4, ...bytes(server), 255], 236);
  const ends = {
    sourceMac: mac,
    destinationMac: BROADCAST_MAC,
    source: bytes(server),
    destination: bytes('255.255.255.255'),
    sourcePort: 67,
    destinationPort: 68,
  };
  return frame((out) => udpFrame(out, ends, data));
}

/** A packet through the gateway from a source that is not the guest's. */
export function spoofed(
  mac: Uint8Array,
  gatewayMac: Uint8Array,
  source: string,
  destination: string,
): Uint8Array {
  const ends = {
    sourceMac: mac,
    destinationMac: gatewayMac,
    source: bytes(source),
    destination: bytes(destination),
    sourcePort: 4444,
    destinationPort: 4444,
  };
  return frame((out) => udpFrame(out, ends, new TextEncoder().encode('spoofed')));
}

function icmp6(
  mac: Uint8Array,
  source: Uint8Array,
  destination: Uint8Array,
  write: (out: ByteWriter) => void,
  toMac = multicastMac6(destination),
): Uint8Array {
  const body = new ByteWriter();
  write(body);
  return frame((out) => {
    beginFrame(out, toMac, mac, ETHERTYPE_IP6);
    writeIp6(out, source, destination, PROTOCOL_ICMP6, 255, body.length);
    const start = out.length;
    out.copy(body.bytes, 0, body.length);
    putIcmp6Checksum(out, start, source, destination);
  });
}
