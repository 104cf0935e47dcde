// What a frame from a guest's link means to leafd: a sign that somebody with a MAC has an address (ARP, RARP,
// neighbour discovery), a question that is answered here (router solicitation, DHCP), or something that no guest may
// send. All else is nothing. The frame comes from an attacker: every field is checked before it is read, and what it
// says is believed by nobody yet. guests/table.ts decides that, and the kernel's filter has judged the frame on its
// own.
//
// Which frame claims what:
// - ARP request or reply: its sender. An ARP probe (RFC 5227: sender 0.0.0.0) asks whether it may have the target;
//   it claims nothing, for the claim follows as an announcement, and others probe addresses that they do not want.
// - Duplicate address detection (RFC 4862 5.4: source `::`): its target, since IPv6 announces nothing afterwards.
// - A solicitation: its source. An advertisement: its target.
// - RARP and DHCP: no address, but who speaks is there. DHCP from an address it has claims it.
// Link-local IPv6 addresses are every guest's own matter and are left out, but for the gateway's.

import { isLinkLocal6, isUnspecified, sameIp } from '../../net/ip.ts';
import { sameMac } from '../../net/mac.ts';
import { ARP_REPLY, ARP_REQUEST, type ArpMessage, isUnspecified4, RARP_REQUEST, readArp } from './arp.ts';
import { DHCP4_CLIENT_PORT, DHCP4_SERVER_PORT, type Dhcp4Message, readDhcp4 } from './dhcp4.ts';
import {
  ADVERTISE,
  DHCP6_CLIENT_PORT,
  DHCP6_SERVER_PORT,
  type Dhcp6Message,
  RECONFIGURE,
  REPLY,
  readDhcp6,
} from './dhcp6.ts';
import {
  ETHERNET_HEADER_LENGTH,
  ETHERTYPE_ARP,
  ETHERTYPE_IP4,
  ETHERTYPE_IP6,
  ETHERTYPE_RARP,
  etherTypeOf,
  sourceMacOf,
} from './ethernet.ts';
import { REDIRECT, ROUTER_ADVERTISEMENT } from './icmp6.ts';
import { type IpDatagram, PROTOCOL_ICMP6, PROTOCOL_UDP, readIp4, readIp6 } from './ip.ts';
import { type NdMessage, readNd } from './nd.ts';
import { readUdp, type UdpMessage } from './udp.ts';

/** What a frame says of its sender. */
export interface Sighting {
  kind: 'arp' | 'garp' | 'rarp' | 'dad' | 'ns' | 'na' | 'unsolicitedNa' | 'dhcp4' | 'dhcp6';
  /** Source of the Ethernet frame. */
  mac: Uint8Array;
  /** The hardware address that the message itself names for its sender, where it is another than `mac`. */
  claimsMac?: Uint8Array;
  /** The address claimed, 4 or 16 bytes; absent where none is (see above). */
  address?: Uint8Array;
  /** The frame answers us or asks the gateway: who asked wants an answer soon. */
  asksGateway?: boolean;
  /** Where the answer to a question for the gateway's MAC goes; may be link-local, which `address` is not. */
  replyTo?: Uint8Array;
}

export interface LanGateways {
  gateway4: Uint8Array;
  gateway6: Uint8Array;
}

export interface Dhcp4News {
  kind: 'dhcp4';
  sighting: Sighting;
  source: Uint8Array;
  destination: Uint8Array;
  message: Dhcp4Message;
}

export interface Dhcp6News {
  kind: 'dhcp6';
  sighting: Sighting;
  source: Uint8Array;
  destination: Uint8Array;
  message: Dhcp6Message;
}

export interface RouterSolicitationNews {
  kind: 'routerSolicitation';
  mac: Uint8Array;
  /** As in Sighting. */
  claimsMac?: Uint8Array;
  /** `::` where the host has no address yet. */
  source: Uint8Array;
}

export type FrameNews =
  | { kind: 'sighting'; sighting: Sighting }
  | RouterSolicitationNews
  | Dhcp4News
  | Dhcp6News
  | { kind: 'forbidden'; what: 'routerAdvertisement' | 'redirect' | 'dhcpServer'; mac: Uint8Array }
  | undefined;

/** What the frame bytes[0, length) means; nothing of the result refers to `bytes`, which may be any view. */
export function readFrame(bytes: Uint8Array, length: number, gateways?: LanGateways): FrameNews {
  const end = Math.min(length, bytes.length);
  const etherType = etherTypeOf(bytes, end);
  if (!etherTypes.includes(etherType)) return undefined;
  // A plain array of its own, for the `slice` of a Buffer would be a view of what the next frame overwrites.
  return readTyped(new Uint8Array(bytes.subarray(0, end)), etherType, gateways);
}

const etherTypes: readonly number[] = [ETHERTYPE_ARP, ETHERTYPE_RARP, ETHERTYPE_IP4, ETHERTYPE_IP6];

function readTyped(bytes: Uint8Array, etherType: number, gateways: LanGateways | undefined): FrameNews {
  const end = bytes.length;
  switch (etherType) {
    case ETHERTYPE_ARP:
      return fromArp(bytes, end, gateways);
    case ETHERTYPE_RARP:
      return fromRarp(bytes, end);
    case ETHERTYPE_IP4: {
      const datagram = readIp4(bytes, ETHERNET_HEADER_LENGTH, end);
      return datagram?.protocol === PROTOCOL_UDP ? fromUdp4(bytes, datagram) : undefined;
    }
    case ETHERTYPE_IP6: {
      const datagram = readIp6(bytes, ETHERNET_HEADER_LENGTH, end);
      if (datagram?.protocol === PROTOCOL_ICMP6) return fromIcmp6(bytes, datagram, gateways);
      return datagram?.protocol === PROTOCOL_UDP ? fromUdp6(bytes, datagram) : undefined;
    }
    default:
      return undefined;
  }
}

function fromArp(bytes: Uint8Array, length: number, gateways: LanGateways | undefined): FrameNews {
  const arp = readArp(bytes, length);
  if (arp === undefined || (arp.operation !== ARP_REQUEST && arp.operation !== ARP_REPLY)) return undefined;
  const probe = isUnspecified4(arp.sender);
  // An answer from nobody says nothing.
  if (probe && arp.operation === ARP_REPLY) return undefined;
  const kind = !probe && sameIp(arp.sender, arp.target) ? 'garp' : 'arp';
  const sighting = begin(kind, bytes, arp.senderMac);
  if (!probe) sighting.address = arp.sender;
  if (kind === 'arp' && isSame(arp.target, gateways?.gateway4)) {
    sighting.asksGateway = true;
    if (!probe && arp.operation === ARP_REQUEST) sighting.replyTo = arp.sender;
  }
  return { kind: 'sighting', sighting };
}

function fromRarp(bytes: Uint8Array, length: number): FrameNews {
  const rarp: ArpMessage | undefined = readArp(bytes, length);
  if (rarp?.operation !== RARP_REQUEST) return undefined;
  return { kind: 'sighting', sighting: begin('rarp', bytes, rarp.senderMac) };
}

function fromIcmp6(bytes: Uint8Array, datagram: IpDatagram, gateways: LanGateways | undefined): FrameNews {
  const { source, destination, start, end } = datagram;
  const type = start < end ? bytes[start] : undefined;
  // Neither is made any better by a wrong checksum.
  if (type === ROUTER_ADVERTISEMENT) return forbidden('routerAdvertisement', bytes);
  if (type === REDIRECT) return forbidden('redirect', bytes);
  const message = readNd(bytes, datagram);
  if (message === undefined) return undefined;
  if (message.kind === 'routerSolicitation') {
    const { mac, claimsMac } = begin('ns', bytes, message.lladdr);
    return { kind: 'routerSolicitation', mac, source, ...(claimsMac === undefined ? {} : { claimsMac }) };
  }
  const sighting = begin(kindOf(message, source), bytes, message.lladdr);
  const solicitation = message.kind === 'neighbourSolicitation';
  const claimed = sighting.kind === 'ns' ? source : message.target;
  if (!isLinkLocal6(claimed) || isSame(claimed, gateways?.gateway6)) sighting.address = claimed;
  const asked = solicitation ? message.target : destination;
  if (sighting.kind !== 'dad' && isSame(asked, gateways?.gateway6)) {
    sighting.asksGateway = true;
    if (solicitation) sighting.replyTo = source;
  }
  return { kind: 'sighting', sighting };
}

function kindOf(
  message: Exclude<NdMessage, { kind: 'routerSolicitation' }>,
  source: Uint8Array,
): Sighting['kind'] {
  if (message.kind === 'neighbourAdvertisement') return message.solicited ? 'na' : 'unsolicitedNa';
  return isUnspecified(source) ? 'dad' : 'ns';
}

function fromUdp4(bytes: Uint8Array, datagram: IpDatagram): FrameNews {
  const udp = dhcpDatagram(bytes, datagram, DHCP4_CLIENT_PORT, DHCP4_SERVER_PORT);
  if (udp === undefined) return undefined;
  if (udp.destinationPort === DHCP4_CLIENT_PORT) return forbidden('dhcpServer', bytes);
  const message = readDhcp4(bytes, udp.start, udp.end);
  if (message === undefined) return undefined;
  if (message.reply) return forbidden('dhcpServer', bytes);
  const sighting = begin('dhcp4', bytes, message.chaddr);
  if (!isUnspecified4(datagram.source)) sighting.address = datagram.source;
  sighting.asksGateway = true;
  return { kind: 'dhcp4', sighting, source: datagram.source, destination: datagram.destination, message };
}

function fromUdp6(bytes: Uint8Array, datagram: IpDatagram): FrameNews {
  const udp = dhcpDatagram(bytes, datagram, DHCP6_CLIENT_PORT, DHCP6_SERVER_PORT);
  if (udp === undefined) return undefined;
  if (udp.destinationPort === DHCP6_CLIENT_PORT) return forbidden('dhcpServer', bytes);
  const message = readDhcp6(bytes, udp.start, udp.end);
  if (message === undefined) return undefined;
  if (message.type === ADVERTISE || message.type === REPLY || message.type === RECONFIGURE)
    return forbidden('dhcpServer', bytes);
  const { source, destination } = datagram;
  const sighting = begin('dhcp6', bytes, undefined);
  if (!isLinkLocal6(source) && !isUnspecified(source)) sighting.address = source;
  sighting.asksGateway = true;
  return { kind: 'dhcp6', sighting, source, destination, message };
}

/** The UDP message if it goes to one of the two ports. */
function dhcpDatagram(
  bytes: Uint8Array,
  datagram: IpDatagram,
  clientPort: number,
  serverPort: number,
): UdpMessage | undefined {
  const udp = readUdp(bytes, datagram);
  return udp?.destinationPort === clientPort || udp?.destinationPort === serverPort ? udp : undefined;
}

function begin(kind: Sighting['kind'], bytes: Uint8Array, named: Uint8Array | undefined): Sighting {
  const mac = sourceMacOf(bytes);
  return named === undefined || sameMac(named, mac) ? { kind, mac } : { kind, mac, claimsMac: named };
}

function forbidden(what: 'routerAdvertisement' | 'redirect' | 'dhcpServer', bytes: Uint8Array): FrameNews {
  return { kind: 'forbidden', what, mac: sourceMacOf(bytes) };
}

function isSame(address: Uint8Array, other: Uint8Array | undefined): boolean {
  return other !== undefined && sameIp(address, other);
}
