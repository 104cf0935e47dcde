// The guard of this machine as values, beside the filter of ports (guest-rules.ts): `table inet leafd`. Pure.
//
// What comes in on a guest link (the bridge, or a routed tap) reaches ping, neighbour discovery and what the operator
// opened; what guests send on to reserved prefixes is no BGP, BFD, VXLAN or API of ours; and no ICMPv6 redirect leaves
// for guests (RFC 4861 section 8.2), because ports of a bridge may not reach each other.

import { type Prefix, prefixContains } from '../net/prefix.ts';
import { hex, putU32 } from '../netlink/message.ts';
import {
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  type NftBaseChain,
  type NftElement,
  type NftSet,
} from '../netlink/nft.ts';
import {
  NFT_META_IIF,
  NFT_META_L4PROTO,
  NFT_META_NFPROTO,
  NFT_META_OIF,
  NFT_META_PKTTYPE,
  type NftExpression,
} from '../netlink/nft-expression.ts';
import {
  dropRules,
  dropSet,
  INET_TABLE,
  isFragment,
  join,
  LINK_REASONS,
  type OwnedElement,
  PRIORITY,
  refuse,
  type SharedRules,
  withVersion,
} from './guest-rules.ts';
import {
  ACCEPT,
  DROP,
  destinationPort,
  FIELD,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  icmpType,
  inSet,
  is,
  isNot,
  meta,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  network,
  one,
  PACKET_HOST,
  protocol,
  R,
  type SharedChain,
  transport,
  two,
} from './guest-rules-terms.ts';
import type { GuestPlaneIntent } from './guest-wish.ts';

/** Between nodes: BFD (RFC 5881, 5883), VXLAN; and BGP and leafd's own API. */
const NODE_UDP_PORTS = [3784, 3785, 4784, 4789];
const BGP_PORT = 179;
const API_PORT = 7179;

/** Bridges and routed taps that guests are behind. */
export const LINKS_SET: NftSet = { name: 'links', fields: [FIELD.ifindex], hostOrder: true };

/** The guard of this machine and of its peers. */
export function inetRules(intent: GuestPlaneIntent): SharedRules {
  const base = (hook: number): NftBaseChain => ({ hook, priority: PRIORITY, policy: 'accept' });
  const fromGuests = (chain: string): NftExpression[] => [
    meta(NFT_META_IIF),
    inSet(LINKS_SET.name),
    { kind: 'jump', chain },
  ];
  const reserved = (family: number, offset: number, length: number, set: string): NftExpression[] => [
    meta(NFT_META_NFPROTO),
    is(one(family)),
    network(offset, length),
    meta(NFT_META_L4PROTO, R + length / 4),
    transport(2, 2, R + length / 4 + 1),
    inSet(set),
    refuse('hypervisor'),
  ];
  const chains: SharedChain[] = [
    { name: 'input', base: base(NF_INET_LOCAL_IN), rules: [fromGuests('guest-input')] },
    { name: 'forward', base: base(NF_INET_FORWARD), rules: [fromGuests('guest-forward')] },
    {
      name: 'output',
      base: base(NF_INET_LOCAL_OUT),
      rules: [
        [...protocol(IPPROTO_ICMPV6), ...icmpType(137), meta(NFT_META_OIF), inSet(LINKS_SET.name), DROP],
      ],
    },
    guestInput(),
    {
      name: 'guest-forward',
      rules: [reserved(NFPROTO_IPV4, 16, 4, 'reserved4'), reserved(NFPROTO_IPV6, 24, 16, 'reserved6')],
    },
    ...LINK_REASONS.map(dropRules),
  ];
  const sets: NftSet[] = [
    LINKS_SET,
    { name: 'reach', fields: [FIELD.protocol, FIELD.port] },
    { name: 'icmp', fields: [FIELD.protocol, FIELD.icmpType] },
    { name: 'reserved4', fields: [FIELD.ip, FIELD.protocol, FIELD.port], interval: true },
    { name: 'reserved6', fields: [FIELD.ip6, FIELD.protocol, FIELD.port], interval: true },
    ...LINK_REASONS.map(dropSet),
  ];
  const elements = [
    { set: 'reach', elements: reachElements(intent.reach) },
    { set: 'icmp', elements: icmpElements() },
    { set: 'reserved4', elements: reservedElements(intent.reserved, 4) },
    { set: 'reserved6', elements: reservedElements(intent.reserved, 16) },
  ];
  return withVersion({ table: INET_TABLE, sets, elements, chains });
}

function guestInput(): SharedChain {
  return {
    name: 'guest-input',
    rules: [
      [meta(NFT_META_L4PROTO), transport(2, 2, R + 1), inSet('reach'), ACCEPT],
      [meta(NFT_META_L4PROTO), transport(0, 1, R + 1), inSet('icmp'), ACCEPT],
      // Heard on the port; sockets that look for routers elsewhere would be given each one too.
      [...protocol(IPPROTO_ICMPV6), ...icmpType(133), DROP],
      // Fragments of IPv6 come here one by one. All but the first are nothing without it, and it is judged.
      [...isFragment, isNot(two(0)), ACCEPT],
      ...[BGP_PORT, API_PORT].map((port) => [
        ...protocol(IPPROTO_TCP),
        ...destinationPort(port),
        refuse('hypervisor'),
      ]),
      // Answers to connections of this machine: anything but SYN without ACK.
      [
        ...protocol(IPPROTO_TCP),
        transport(13, 1),
        { kind: 'mask', register: R, mask: one(0x12) },
        isNot(one(0x02)),
        ACCEPT,
      ],
      // Requests of DHCP are heard on the port and answered there.
      ...[67, 547].map((port) => [...protocol(IPPROTO_UDP), ...destinationPort(port), DROP]),
      // What guests tell everybody (mDNS, IGMP) is no attack on this machine.
      [meta(NFT_META_PKTTYPE), isNot(one(PACKET_HOST)), DROP],
      [refuse('hypervisor')],
    ],
  };
}

function reachElements(reach: GuestPlaneIntent['reach']): NftElement[] {
  const of = (number: number, ports: readonly number[]): NftElement[] =>
    [...new Set(ports)].sort((a, b) => a - b).map((port) => ({ key: join(one(number), two(port)) }));
  return [...of(IPPROTO_TCP, reach.tcp), ...of(IPPROTO_UDP, reach.udp)];
}

/** Ping, errors, and of ICMPv6 groups and neighbours; no router advertisements or redirects. */
function icmpElements(): NftElement[] {
  const of = (number: number, types: readonly number[]): NftElement[] =>
    types.map((type) => ({ key: join(one(number), one(type)) }));
  return [
    ...of(IPPROTO_ICMP, [0, 3, 8, 11, 12]),
    ...of(IPPROTO_ICMPV6, [1, 2, 3, 4, 128, 129, 131, 132, 135, 136, 143]),
  ];
}

/** Ranges: address of the prefix, protocol, port. Prefixes within others are left out: ranges must not overlap. */
function reservedElements(prefixes: readonly Prefix[], length: 4 | 16): NftElement[] {
  const own = prefixes.filter((prefix) => prefix.bytes.length === length);
  const wide = own.filter(
    (prefix, i) =>
      !own.some(
        (other, j) => i !== j && prefixContains(other, prefix) && (other.length < prefix.length || j < i),
      ),
  );
  wide.sort((a, b) => (hex(a.bytes) < hex(b.bytes) ? -1 : 1));
  const kinds = [
    { number: IPPROTO_TCP, port: BGP_PORT },
    { number: IPPROTO_TCP, port: API_PORT },
    ...NODE_UDP_PORTS.map((port) => ({ number: IPPROTO_UDP, port })),
  ];
  return wide.flatMap((prefix) =>
    kinds.map(({ number, port }) => ({
      key: join(prefix.bytes, one(number), two(port)),
      keyEnd: join(lastAddress(prefix), one(number), two(port)),
    })),
  );
}

function lastAddress(prefix: Prefix): Uint8Array {
  const last = prefix.bytes.slice();
  for (let bit = prefix.length; bit < last.length * 8; bit++) last[bit >>> 3]! |= 0x80 >>> (bit & 7);
  return last;
}

export function linkElement(ifindex: number): OwnedElement {
  const key = new Uint8Array(4);
  putU32(key, 0, ifindex);
  return { table: INET_TABLE, set: LINKS_SET.name, key };
}
