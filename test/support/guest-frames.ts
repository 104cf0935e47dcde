// Two guests, A and B, and what A says: every attack that its port must not let through, with the reason it is dropped
// for, and the honest frames that must get through.

import { parseIp } from '../../src/net/ip.ts';
import { arp, dhcp, frame, icmp6, ip4, ip6, neighbourMessage, udp, vlan } from './raw-link.ts';

export const GATEWAY_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);
export const MAC_A = Uint8Array.of(2, 0, 0, 0, 1, 10);
export const MAC_B = Uint8Array.of(2, 0, 0, 0, 1, 11);
const BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255);
const ALL_NODES = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);
export const A4 = '192.0.2.10';
export const B4 = '192.0.2.11';
export const A6 = '2001:db8::10';
export const B6 = '2001:db8::11';
const ETHERTYPE_ARP = 0x0806;

export const bytes = (address: string) => parseIp(address)!;

const toGateway = (type: number, payload: Uint8Array) => frame(GATEWAY_MAC, MAC_A, type, payload);
export const four = (from: string, payload: Uint8Array, protocol: number, to = '169.254.0.1') =>
  toGateway(0x0800, ip4(bytes(from), bytes(to), protocol, payload));
export const six = (from: string, payload: Uint8Array, next = 58, to = 'fe80::1') =>
  toGateway(0x86dd, ip6(bytes(from), bytes(to), next, payload));
const na = (from: string, target: string) => six(from, neighbourMessage(136, bytes(target), MAC_A));
const hopByHop = (next: number, payload: Uint8Array) => Uint8Array.of(next, 0, 1, 4, 0, 0, 0, 0, ...payload);
/** The first fragment of a datagram that goes on. */
const fragment = (next: number, payload: Uint8Array) => Uint8Array.of(next, 0, 0, 1, 0, 0, 0, 7, ...payload);

/** Every frame of a guest that must not pass its port. */
export const attacks: [string, () => Uint8Array, string][] = [
  [
    'another MAC',
    () => frame(GATEWAY_MAC, MAC_B, 0x0800, ip4(bytes(A4), bytes(B4), 17, udp(9, 9))),
    'otherMac',
  ],
  ['a frame of an unknown protocol', () => toGateway(0x88cc, new Uint8Array(46).fill(7)), 'protocol'],
  ['an honest packet in a VLAN', () => vlan(four(A4, udp(9, 9), 17), 5), 'protocol'],
  [
    'ARP for the other guest',
    () => toGateway(ETHERTYPE_ARP, arp(1, MAC_A, bytes(B4), bytes(A4))),
    'spoofedArp',
  ],
  [
    'ARP with another MAC inside',
    () => toGateway(ETHERTYPE_ARP, arp(2, MAC_B, bytes(A4), bytes(A4))),
    'spoofedArp',
  ],
  [
    'ARP for the gateway',
    () => toGateway(ETHERTYPE_ARP, arp(2, MAC_A, bytes('169.254.0.1'), bytes(A4))),
    'spoofedArp',
  ],
  ["the other guest's IPv4 source", () => four(B4, udp(9, 9), 17), 'spoofed4'],
  ['0.0.0.0 beside DHCP', () => four('0.0.0.0', udp(68, 53), 17), 'spoofed4'],
  ["the other guest's IPv6 source", () => six(B6, udp(9, 9), 17), 'spoofed6'],
  ["the gateway's link-local source", () => six('fe80::1', icmp6(128), 58), 'spoofed6'],
  [':: beside neighbour discovery', () => six('::', udp(546, 9), 17), 'spoofed6'],
  ['a router advertisement', () => six('fe80::a', icmp6(134, new Uint8Array(12))), 'routerAdvertisement'],
  [
    'a router advertisement behind an extension header',
    () => six('fe80::a', hopByHop(58, icmp6(134, new Uint8Array(12))), 0),
    'routerAdvertisement',
  ],
  ['an ICMPv6 redirect', () => six('fe80::a', icmp6(137, new Uint8Array(36))), 'redirect'],
  ['an IPv4 redirect', () => four(A4, Uint8Array.of(5, 1, 0, 0, 1, 2, 3, 4), 1), 'redirect'],
  ['a DHCP offer', () => four(A4, udp(67, 68), 17, '255.255.255.255'), 'dhcpServer'],
  ['a DHCPv6 advertisement', () => six('fe80::a', udp(547, 546), 17), 'dhcpServer'],
  ["an advertisement of the other guest's address", () => na(A6, B6), 'spoofedNd'],
  ['an advertisement of the gateway', () => na('fe80::a', 'fe80::1'), 'spoofedNd'],
  ['an advertisement from a foreign source', () => na(B6, A6), 'spoofed6'],
  [
    'a first fragment that hides its protocol',
    () => six(A6, fragment(60, Uint8Array.of(6, 0, 1, 4, 0, 0, 0, 0)), 44),
    'protocol',
  ],
  [
    'a router advertisement hidden by a fragment',
    () => six('fe80::a', fragment(60, Uint8Array.of(58, 0, 1, 4, 0, 0, 0, 0)), 44),
    'protocol',
  ],
  ['a packet for a neighbour by way of the gateway', () => six(A6, udp(9, 9), 17, 'fe80::b'), 'protocol'],
  [
    'a question for groups',
    () => six('fe80::a', hopByHop(58, icmp6(130, new Uint8Array(20))), 0),
    'protocol',
  ],
  [
    'a question for IPv4 groups',
    () => four(A4, Uint8Array.of(0x11, 0, 0xee, 0xff, 0, 0, 0, 0), 2, '224.0.0.1'),
    'protocol',
  ],
  ['an IPv6 chain that is cut', () => six(A6, Uint8Array.of(60, 200), 0), 'protocol'],
];

/** Frames that must pass. */
export const honest: [string, () => Uint8Array][] = [
  ['IPv4', () => four(A4, udp(9, 9), 17)],
  ['IPv6', () => six(A6, udp(9, 9), 17)],
  [
    'an ARP request',
    () => frame(BROADCAST, MAC_A, ETHERTYPE_ARP, arp(1, MAC_A, bytes(A4), bytes('169.254.0.1'))),
  ],
  ['an ARP probe', () => frame(BROADCAST, MAC_A, ETHERTYPE_ARP, arp(1, MAC_A, bytes('0.0.0.0'), bytes(A4)))],
  ['a RARP', () => frame(BROADCAST, MAC_A, 0x8035, arp(3, MAC_A, bytes('0.0.0.0'), bytes('0.0.0.0')))],
  ['a DHCP discover', () => frame(BROADCAST, MAC_A, 0x0800, dhcp())],
  ['a DHCPv6 solicit', () => six('fe80::a', udp(546, 547), 17, 'ff02::1:2')],
  [
    'a packet for a neighbour',
    () => frame(ALL_NODES, MAC_A, 0x86dd, ip6(bytes(A6), bytes('fe80::b'), 17, udp(9, 9))),
  ],
  ['a first fragment', () => six(A6, fragment(17, udp(9, 9, new Uint8Array(8))), 44)],
  ['duplicate address detection', () => six('::', neighbourMessage(135, bytes(A6)))],
  ['a router solicitation', () => six('fe80::a', icmp6(133, new Uint8Array(4)))],
  ['a report of groups', () => six('::', hopByHop(58, icmp6(143, new Uint8Array(4))), 0)],
  ['an advertisement of its own', () => na(A6, A6)],
  ['an advertisement of its link-local address', () => na('fe80::a', 'fe80::a')],
  [
    'a packet to everybody',
    () => frame(ALL_NODES, MAC_A, 0x86dd, ip6(bytes(A6), bytes('ff02::1'), 58, icmp6(128))),
  ],
];
