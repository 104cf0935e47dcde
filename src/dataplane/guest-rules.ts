// The filter of guests as values: tables, sets, chains, rules and elements of nf_tables. Pure. guest-filter.ts compares
// them with the kernel and sends the difference.
//
// `table netdev leafd` looks at what a port's link receives, before the bridge or the stack does. Every port has a base
// chain of its own that drops what the shared chain `guest` did not accept; the shared chains look up the port and
// the sender in sets, so that a port costs elements and no rules. Nothing is let through that is not ARP, IPv4, IPv6
// or RARP of an admitted MAC: frames with a VLAN tag are none of these, since the type is read from the frame itself.
//
// `table inet leafd`, which guards this machine, is in guest-rules-guard.ts.
//
// A chain `drop-REASON` counts by link, logs at a limited rate a link (NFLOG, prefix = reason), and drops. What tells
// who is behind a port is heard before all this (guest-rules-hear.ts), so that guests are learned from frames that are
// dropped here.

import { hex, MessageWriter, putU32 } from '../netlink/message.ts';
import {
  encodeBatch,
  NF_NETDEV_INGRESS,
  NFPROTO_INET,
  NFPROTO_NETDEV,
  type NftBaseChain,
  type NftChange,
  type NftElement,
  type NftSet,
  type NftTable,
} from '../netlink/nft.ts';
import {
  NFT_META_IIF,
  NFT_META_PKTTYPE,
  NFT_PAYLOAD_NETWORK_HEADER,
  NFT_PAYLOAD_TRANSPORT_HEADER,
  type NftExpression,
} from '../netlink/nft-expression.ts';
import { HEARD_SET, hearRules } from './guest-rules-hear.ts';
import {
  ACCEPT,
  DROP,
  destinationPort,
  ETHERTYPE_ARP,
  ETHERTYPE_IP4,
  ETHERTYPE_IP6,
  ETHERTYPE_RARP,
  etherType,
  FIELD,
  frame,
  goTo,
  IPPROTO_FRAGMENT,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IGMP,
  IPPROTO_UDP,
  icmpType,
  inSet,
  is,
  isNot,
  meta,
  network,
  one,
  PACKET_HOST,
  PARSED,
  protocol,
  R,
  SENDER,
  type SharedChain,
  sourcePort,
  transport,
  two,
} from './guest-rules-terms.ts';
import type { GuestPlaneIntent, GuestPortWish } from './guest-wish.ts';

export const NETDEV_TABLE: NftTable = { family: NFPROTO_NETDEV, name: 'leafd' };
export const INET_TABLE: NftTable = { family: NFPROTO_INET, name: 'leafd' };
export const NFLOG_GROUP = 179;

/** Reasons of drops on ports, and on guest links; names of guests' `Refusal`. */
export const PORT_REASONS = [
  'otherMac',
  'protocol',
  'spoofedArp',
  'spoofed4',
  'spoofed6',
  'spoofedNd',
  'routerAdvertisement',
  'redirect',
  'dhcpServer',
] as const;
export const LINK_REASONS = ['hypervisor'] as const;
type Reason = (typeof PORT_REASONS)[number] | (typeof LINK_REASONS)[number];

export const PRIORITY = -300;
const DROPS_SET_SIZE = 65535;
const LOGS_A_SECOND = 1;
const LOGS_AT_ONCE = 5;
const LOG_BYTES = 128;
const LINK_LOCALS_A_SECOND = 1;
const LINK_LOCALS_AT_ONCE = 16;
const IGMP_QUERY = 0x11;
/** Rules in a port's own chain carry this: another one is written anew. */
export const PORT_CHAIN_VERSION = 'leafd port 1';

/** What is the same for all ports of a table, and what a change of it is known by. */
export interface SharedRules {
  table: NftTable;
  sets: readonly NftSet[];
  /** Elements that rules, not ports or links, need; their sets hold nothing else. */
  elements: readonly { set: string; elements: readonly NftElement[] }[];
  chains: readonly SharedChain[];
  /** Comment of the first rule of each chain. */
  version: string;
}

/** One element that belongs to a port or a guest link. */
export interface OwnedElement {
  table: NftTable;
  set: string;
  key: Uint8Array;
}

/** Where elements of ports are. */
export const PORT_SETS: readonly NftSet[] = [
  { name: 'macs', fields: [FIELD.ifindex, FIELD.ether] },
  { name: 'arp', fields: [FIELD.ifindex, FIELD.ether, FIELD.ether, FIELD.ip] },
  { name: 'ip4', fields: [FIELD.ifindex, FIELD.ether, FIELD.ip] },
  { name: 'ip6', fields: [FIELD.ifindex, FIELD.ether, FIELD.ip6] },
];
/** Link-local addresses that ports have spoken from of late, and how many new ones each may have. */
const LINK_LOCAL_SETS: readonly NftSet[] = [
  { name: 'linkLocals', fields: [FIELD.ifindex, FIELD.ip6], dynamicSize: 65535, timeoutMs: 60_000 },
  {
    name: 'newLinkLocals',
    fields: [FIELD.ifindex],
    hostOrder: true,
    dynamicSize: 65535,
    timeoutMs: 60_000,
  },
];
/** The offset of a fragment of IPv6, in the register; in no other packet does a rule go on behind it. */
export const isFragment: readonly NftExpression[] = [
  { kind: 'exthdr', type: IPPROTO_FRAGMENT, offset: 2, length: 2, register: R },
  { kind: 'mask', register: R, mask: Uint8Array.of(0xff, 0xf8) },
];

export const refuse = (reason: Reason): NftExpression => goTo(dropChain(reason));

function dropChain(reason: string): string {
  return `drop-${reason}`;
}

export function portChain(link: string): string {
  return `port-${link}`;
}

/** The link's name of a port's chain; undefined of other chains. */
export function linkOfPortChain(chain: string): string | undefined {
  return chain.startsWith('port-') ? chain.slice(5) : undefined;
}

export function dropSet(reason: string): NftSet {
  return { name: dropChain(reason), fields: [FIELD.ifindex], hostOrder: true, dynamicSize: DROPS_SET_SIZE };
}

export function dropRules(reason: string): SharedChain {
  const update: NftExpression = {
    kind: 'update',
    register: R,
    set: dropChain(reason),
    expressions: [{ kind: 'counter' }, { kind: 'limit', rate: LOGS_A_SECOND, burst: LOGS_AT_ONCE }],
  };
  const log: NftExpression = { kind: 'log', group: NFLOG_GROUP, prefix: reason, snapLength: LOG_BYTES };
  return { name: dropChain(reason), rules: [[meta(NFT_META_IIF), update, log], [DROP]] };
}

/** What every port jumps to. With the filter switched off ports are heard and everything is let through. */
export function netdevRules(intent: GuestPlaneIntent): SharedRules {
  const hear: NftExpression[] = [{ kind: 'jump', chain: 'hear' }];
  const chains = intent.filter
    ? judgeRules(intent, hear)
    : [{ name: 'guest', rules: [hear, [ACCEPT]] }, ...hearRules()];
  const sets = [...PORT_SETS, HEARD_SET, ...LINK_LOCAL_SETS, ...PORT_REASONS.map(dropSet)];
  return withVersion({ table: NETDEV_TABLE, sets, elements: [], chains });
}

function judgeRules(intent: GuestPlaneIntent, hear: NftExpression[]): SharedChain[] {
  return [
    {
      name: 'guest',
      rules: [
        hear,
        [...SENDER, { kind: 'lookup', register: R, set: 'macs', inverted: true }, refuse('otherMac')],
        [...etherType(ETHERTYPE_IP4), goTo('ip4')],
        [...etherType(ETHERTYPE_IP6), goTo('ip6')],
        [...etherType(ETHERTYPE_ARP), goTo('arp')],
        // RARP: what a hypervisor sends for a guest that has just been resumed.
        [...etherType(ETHERTYPE_RARP), ACCEPT],
        [refuse('protocol')],
      ],
    },
    ...hearRules(),
    arpRules(),
    ip4Rules(),
    ...ip6Rules(intent),
    ...PORT_REASONS.map(dropRules),
  ];
}

/** RFC 826: Ethernet and IPv4, the sender's MAC that of the frame, its address the port's or 0.0.0.0 (RFC 5227). */
function arpRules(): SharedChain {
  return {
    name: 'arp',
    rules: [
      [
        network(0, 6),
        is(Uint8Array.of(0, 1, 8, 0, 6, 4)),
        ...SENDER,
        network(8, 6, R + 3),
        network(14, 4, R + 5),
        inSet('arp'),
        ACCEPT,
      ],
      [refuse('spoofedArp')],
    ],
  };
}

function ip4Rules(): SharedChain {
  const unspecified = [network(12, 4), is(new Uint8Array(4))];
  return {
    name: 'ip4',
    rules: [
      [...protocol(IPPROTO_UDP), ...sourcePort(67), refuse('dhcpServer')],
      [...protocol(IPPROTO_ICMP), ...icmpType(5), refuse('redirect')],
      // Who asks for groups is where the bridge sends all of them.
      [...protocol(IPPROTO_IGMP), ...icmpType(IGMP_QUERY), refuse('protocol')],
      [...SENDER, network(12, 4, R + 3), inSet('ip4'), ACCEPT],
      [...unspecified, ...protocol(IPPROTO_UDP), ...sourcePort(68), ...destinationPort(67), ACCEPT],
      // Hosts without an address join groups all the same; that is no offence.
      [...unspecified, ...protocol(IPPROTO_IGMP), DROP],
      [refuse('spoofed4')],
    ],
  };
}

function ip6Rules({ gateway6, gatewayMac }: GuestPlaneIntent): SharedChain[] {
  const own = [...SENDER, network(8, 16, R + 3), inSet('ip6')];
  const linkLocal = linkLocalAt(NFT_PAYLOAD_NETWORK_HEADER, 8, gateway6);
  const target = linkLocalAt(NFT_PAYLOAD_TRANSPORT_HEADER, 8, gateway6);
  const neighbour = linkLocalAt(NFT_PAYLOAD_NETWORK_HEADER, 24, gateway6);
  const unspecified = [network(8, 16), is(new Uint8Array(16))];
  const icmp6: (readonly NftExpression[])[] = [
    [...icmpType(134), refuse('routerAdvertisement')],
    [...icmpType(137), refuse('redirect')],
    [...icmpType(130), refuse('protocol')],
    [...icmpType(136), goTo('na')],
    // Duplicate address detection, the search for routers, and reports of groups (RFC 4861, 2710, 3810).
    ...[135, 133, 131, 132, 143].map((type) => [...icmpType(type), ...unspecified, ACCEPT]),
    [goTo('source6')],
  ];
  return [
    { name: 'ip6', rules: [[...isFragment, is(two(0)), goTo('fragment6')], [goTo('whole6')]] },
    // A first fragment without what tells its protocol hides it from everybody who judges it.
    { name: 'fragment6', rules: [[transport(0, 8), goTo('whole6')], [refuse('protocol')]] },
    {
      name: 'whole6',
      rules: [
        // This machine would look for the neighbour, at all ports, for each that a guest makes up.
        [...neighbour, frame(0, 6), is(gatewayMac), refuse('protocol')],
        [...neighbour, meta(NFT_META_PKTTYPE), is(one(PACKET_HOST)), refuse('protocol')],
        [...protocol(IPPROTO_UDP), ...sourcePort(547), refuse('dhcpServer')],
        [...protocol(IPPROTO_ICMPV6), goTo('icmp6')],
        [...PARSED, goTo('source6')],
        // Extension headers that hide what comes after them.
        [...own, refuse('protocol')],
        [refuse('spoofed6')],
      ],
    },
    { name: 'icmp6', rules: icmp6 },
    {
      name: 'na',
      rules: [
        [...SENDER, transport(8, 16, R + 3), inSet('ip6'), goTo('source6')],
        [...target, goTo('source6')],
        [refuse('spoofedNd')],
      ],
    },
    { name: 'source6', rules: [[...own, ACCEPT], [...linkLocal, goTo('linkLocal')], [refuse('spoofed6')]] },
    linkLocalRules(),
  ];
}

/**
 * A guest has few link-local addresses, and each is a neighbour of this machine: whoever could make them up as he likes
 * would fill the kernel's table of neighbours, in which those of the uplinks are too.
 */
function linkLocalRules(): SharedChain {
  const [known, limited] = LINK_LOCAL_SETS.map(({ name }) => name) as [string, string];
  const address = [meta(NFT_META_IIF), network(8, 16, R + 1)];
  const limit: NftExpression = { kind: 'limit', rate: LINK_LOCALS_A_SECOND, burst: LINK_LOCALS_AT_ONCE };
  return {
    name: 'linkLocal',
    rules: [
      [...address, inSet(known), ACCEPT],
      [
        ...address,
        { kind: 'update', register: R, set: limited, expressions: [limit] },
        { kind: 'update', register: R, set: known, expressions: [] },
        ACCEPT,
      ],
      [refuse('spoofed6')],
    ],
  };
}

/** An address of fe80::/10 that is not the gateway's. */
function linkLocalAt(base: number, offset: number, gateway6: Uint8Array): NftExpression[] {
  return [
    { kind: 'payload', base, offset, length: 4, register: R },
    { kind: 'mask', register: R, mask: Uint8Array.of(0xff, 0xc0, 0, 0) },
    is(Uint8Array.of(0xfe, 0x80, 0, 0)),
    { kind: 'payload', base, offset, length: 16, register: R },
    isNot(gateway6),
  ];
}

const word = (...bytes: number[]): Uint8Array =>
  Uint8Array.of(...bytes, ...new Array(4 - bytes.length).fill(0));

/** The parts of a key of a set, each beginning a register. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + ((part.length + 3) & ~3), 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += (part.length + 3) & ~3;
  }
  return bytes;
}

/** What a port's sets hold of it. */
export function portElements(wish: GuestPortWish): OwnedElement[] {
  const index = new Uint8Array(4);
  putU32(index, 0, wish.ifindex);
  const elements: OwnedElement[] = [];
  const add = (set: string, ...parts: Uint8Array[]): void => {
    elements.push({ table: NETDEV_TABLE, set, key: join(index, ...parts) });
  };
  for (const mac of wish.macs) {
    add('macs', mac);
    add('arp', mac, mac, word());
  }
  for (const { address, mac } of wish.addresses) {
    if (address.length === 16) add('ip6', mac, address);
    else {
      add('ip4', mac, address);
      add('arp', mac, mac, address);
    }
  }
  return elements;
}

/** The link that an element is about: the first word of its key. */
export function ifindexOf(key: Uint8Array): number {
  return (key[0]! | (key[1]! << 8) | (key[2]! << 16) | (key[3]! << 24)) >>> 0;
}

/** What there is once in a map. */
export function elementId(element: OwnedElement): string {
  return `${element.set} ${hex(element.key)}`;
}

/** A port's own chain, there already or not, with its one rule. */
export function portChainChanges(link: string): NftChange[] {
  const chain = portChain(link);
  const base: NftBaseChain = { hook: NF_NETDEV_INGRESS, priority: PRIORITY, policy: 'drop', device: link };
  return [
    { kind: 'chainAdd', table: NETDEV_TABLE, chain, base },
    { kind: 'rulesFlush', table: NETDEV_TABLE, chain },
    {
      kind: 'ruleAdd',
      table: NETDEV_TABLE,
      chain,
      expressions: [{ kind: 'jump', chain: 'guest' }],
      comment: PORT_CHAIN_VERSION,
    },
  ];
}

/** Many elements, as few changes as there are sets. */
export function elementChanges(
  kind: 'elementsAdd' | 'elementsDelete',
  elements: Iterable<OwnedElement>,
): NftChange[] {
  const bySet = new Map<string, { table: NftTable; set: string; elements: NftElement[] }>();
  for (const { table, set, key } of elements) {
    const name = `${table.family} ${set}`;
    let of = bySet.get(name);
    if (of === undefined) bySet.set(name, (of = { table, set, elements: [] }));
    of.elements.push({ key });
  }
  return [...bySet.values()].map((of) => ({ kind, ...of }));
}

export function chainAdd(table: NftTable, chain: SharedChain): NftChange {
  const add = { kind: 'chainAdd', table, chain: chain.name } as const;
  return chain.base === undefined ? add : { ...add, base: chain.base };
}

export function withVersion(shared: Omit<SharedRules, 'version'>): SharedRules {
  const changes: NftChange[] = [];
  for (const set of shared.sets) changes.push({ kind: 'setAdd', table: shared.table, set });
  for (const { set, elements } of shared.elements)
    changes.push({ kind: 'elementsAdd', table: shared.table, set, elements });
  for (const chain of shared.chains) {
    changes.push(chainAdd(shared.table, chain));
    for (const expressions of chain.rules)
      changes.push({ kind: 'ruleAdd', table: shared.table, chain: chain.name, expressions });
  }
  const writer = new MessageWriter();
  encodeBatch(writer, 0, changes);
  return { ...shared, version: `leafd ${digest(writer.bytes, writer.length)}` };
}

/** FNV-1a over bytes[0, length), twice with different beginnings: 16 digits. */
function digest(bytes: Uint8Array, length: number): string {
  let text = '';
  for (const basis of [0x811c9dc5, 0x1000193]) {
    let hash = basis;
    for (let i = 0; i < length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    text += (hash >>> 0).toString(16).padStart(8, '0');
  }
  return text;
}
