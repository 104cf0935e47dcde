// Neighbour discovery (RFC 4861, RFC 4862): solicitations and advertisements of neighbours and solicitations of
// routers are read with the checks of sections 6.1.1, 7.1.1 and 7.1.2, for a message that fails one must be dropped
// in silence. Written are those that a gateway sends: it asks and answers for neighbours, and advertises itself as
// router. Router advertisements and redirects of a guest are never read: that there is one is all that matters
// (sighting.ts).

import type { ByteWriter } from '../../lib/bytes.ts';
import { isMulticast6, isUnspecified } from '../../net/ip.ts';
import { MAC_LENGTH } from '../../net/mac.ts';
import { beginFrame, ETHERTYPE_IP6, multicastMac6 } from './ethernet.ts';
import {
  icmp6ChecksumHolds,
  NEIGHBOUR_ADVERTISEMENT,
  NEIGHBOUR_SOLICITATION,
  putIcmp6Checksum,
  ROUTER_ADVERTISEMENT,
  ROUTER_SOLICITATION,
} from './icmp6.ts';
import { type IpDatagram, PROTOCOL_ICMP6, writeIp6 } from './ip.ts';

/** What nobody beyond the link can have sent (section 3.1). */
export const ND_HOP_LIMIT = 255;

const OPTION_SOURCE_LLADDR = 1;
const OPTION_TARGET_LLADDR = 2;
const OPTION_MTU = 5;

/** Type, code, checksum and four bytes more. */
const SOLICITATION_FIXED = 8;
/** The same and the target. */
const NEIGHBOUR_FIXED = 24;
/** Options in one message at most; honest messages hold three or four. */
const MAX_OPTIONS = 32;

const FLAG_ROUTER = 0x80;
const FLAG_SOLICITED = 0x40;
const FLAG_OVERRIDE = 0x20;
const FLAG_MANAGED = 0x80;
const FLAG_OTHER = 0x40;

export const ALL_NODES: Uint8Array = linkMulticast(1);
export const ALL_ROUTERS: Uint8Array = linkMulticast(2);

export type NdMessage =
  | { kind: 'routerSolicitation'; lladdr?: Uint8Array }
  /** `lladdr` is the source's; there is none where the source is `::` (duplicate address detection). */
  | { kind: 'neighbourSolicitation'; target: Uint8Array; lladdr?: Uint8Array }
  | {
      kind: 'neighbourAdvertisement';
      target: Uint8Array;
      router: boolean;
      solicited: boolean;
      override: boolean;
      /** The target's. */
      lladdr?: Uint8Array;
    };

function linkMulticast(last: number): Uint8Array {
  const group = new Uint8Array(16);
  group[0] = 0xff;
  group[1] = 2;
  group[15] = last;
  return group;
}

/** The group that solicitations of an address are sent to (RFC 4291 section 2.7.1). */
export function solicitedNode(address: Uint8Array): Uint8Array {
  const group = linkMulticast(1);
  group[11] = 1;
  group[12] = 0xff;
  group.set(address.subarray(13), 13);
  return group;
}

/** Whether an address is a solicited-node group. */
function isSolicitedNode(group: Uint8Array): boolean {
  const fixed = solicitedNode(group);
  return fixed.every((byte, i) => byte === group[i]);
}

/** The message that a datagram carries; undefined when it is none of these or must be dropped. */
export function readNd(bytes: Uint8Array, datagram: IpDatagram): NdMessage | undefined {
  const { start, end } = datagram;
  if (datagram.protocol !== PROTOCOL_ICMP6 || datagram.hops !== ND_HOP_LIMIT) return undefined;
  if (end - start < SOLICITATION_FIXED || bytes[start + 1] !== 0) return undefined;
  if (!icmp6ChecksumHolds(bytes, datagram)) return undefined;
  switch (bytes[start]) {
    case ROUTER_SOLICITATION:
      return readRouterSolicitation(bytes, datagram);
    case NEIGHBOUR_SOLICITATION:
      return readSolicitation(bytes, datagram);
    case NEIGHBOUR_ADVERTISEMENT:
      return readAdvertisement(bytes, datagram);
    default:
      return undefined;
  }
}

function readRouterSolicitation(
  bytes: Uint8Array,
  { source, start, end }: IpDatagram,
): NdMessage | undefined {
  const lladdr = lladdrOption(bytes, start + SOLICITATION_FIXED, end, OPTION_SOURCE_LLADDR);
  if (lladdr === null || isMulticast6(source)) return undefined;
  if (lladdr === undefined) return { kind: 'routerSolicitation' };
  return isUnspecified(source) ? undefined : { kind: 'routerSolicitation', lladdr };
}

function readSolicitation(bytes: Uint8Array, datagram: IpDatagram): NdMessage | undefined {
  const { source, destination, start, end } = datagram;
  const target = targetOf(bytes, start, end);
  if (target === undefined || isMulticast6(source)) return undefined;
  const lladdr = lladdrOption(bytes, start + NEIGHBOUR_FIXED, end, OPTION_SOURCE_LLADDR);
  if (lladdr === null) return undefined;
  if (isUnspecified(source) && (lladdr !== undefined || !isSolicitedNode(destination))) return undefined;
  const message: NdMessage = { kind: 'neighbourSolicitation', target };
  return lladdr === undefined ? message : { ...message, lladdr };
}

function readAdvertisement(bytes: Uint8Array, datagram: IpDatagram): NdMessage | undefined {
  const { source, destination, start, end } = datagram;
  const target = targetOf(bytes, start, end);
  if (target === undefined || isMulticast6(source) || isUnspecified(source)) return undefined;
  const flags = bytes[start + 4]!;
  const solicited = (flags & FLAG_SOLICITED) !== 0;
  if (solicited && isMulticast6(destination)) return undefined;
  const lladdr = lladdrOption(bytes, start + NEIGHBOUR_FIXED, end, OPTION_TARGET_LLADDR);
  if (lladdr === null) return undefined;
  const router = (flags & FLAG_ROUTER) !== 0;
  const override = (flags & FLAG_OVERRIDE) !== 0;
  const message: NdMessage = { kind: 'neighbourAdvertisement', target, router, solicited, override };
  return lladdr === undefined ? message : { ...message, lladdr };
}

function targetOf(bytes: Uint8Array, start: number, end: number): Uint8Array | undefined {
  if (end - start < NEIGHBOUR_FIXED) return undefined;
  const target = bytes.slice(start + 8, start + NEIGHBOUR_FIXED);
  return isMulticast6(target) || isUnspecified(target) ? undefined : target;
}

/** The first Ethernet address in an option of a type; undefined without one, null when the options are malformed. */
function lladdrOption(
  bytes: Uint8Array,
  start: number,
  end: number,
  type: number,
): Uint8Array | undefined | null {
  let lladdr: Uint8Array | undefined;
  let at = start;
  for (let count = 0; at < end; count++) {
    const length = at + 2 <= end ? bytes[at + 1]! * 8 : 0;
    if (length === 0 || at + length > end || count === MAX_OPTIONS) return null;
    if (bytes[at] === type && length === 8) lladdr ??= bytes.slice(at + 2, at + 2 + MAC_LENGTH);
    at += length;
  }
  return lladdr;
}

interface Station {
  mac: Uint8Array;
  address: Uint8Array;
}

/** Who has `target`? To its group, or to the station that had it. */
export function neighbourSolicitation(
  out: ByteWriter,
  from: Station,
  target: Uint8Array,
  toMac?: Uint8Array,
): void {
  const destination = toMac === undefined ? solicitedNode(target) : target;
  const start = beginMessage(out, from, toMac, destination, NEIGHBOUR_FIXED + 8);
  out.u8(NEIGHBOUR_SOLICITATION).u8(0).u16(0).u32(0).copy(target);
  writeLladdr(out, OPTION_SOURCE_LLADDR, from.mac);
  putIcmp6Checksum(out, start, from.address, destination);
}

/** What a solicited neighbour answers; without `to`, what a router tells all nodes unasked. */
export function neighbourAdvertisement(out: ByteWriter, from: Station, to?: Station): void {
  const destination = to?.address ?? ALL_NODES;
  const start = beginMessage(out, from, to?.mac, destination, NEIGHBOUR_FIXED + 8);
  const flags = FLAG_ROUTER | FLAG_OVERRIDE | (to === undefined ? 0 : FLAG_SOLICITED);
  out.u8(NEIGHBOUR_ADVERTISEMENT).u8(0).u16(0).u8(flags).u8(0).u16(0).copy(from.address);
  writeLladdr(out, OPTION_TARGET_LLADDR, from.mac);
  putIcmp6Checksum(out, start, from.address, destination);
}

/** What a router says of itself and its link. There is no prefix: nothing but the router is on the link. */
export interface RouterTerms {
  /** Default router for so long; 0: not a default router. 65535 at most. */
  lifetimeS: number;
  /** Addresses come by DHCPv6. */
  managed: boolean;
  /** Other settings come by DHCPv6. */
  other: boolean;
  /** Of the link, where it is told. */
  mtu?: number;
}

/** To one station, or to all nodes without `to`. */
export function routerAdvertisement(out: ByteWriter, from: Station, terms: RouterTerms, to?: Station): void {
  const destination = to?.address ?? ALL_NODES;
  const length = 16 + 8 + (terms.mtu === undefined ? 0 : 8);
  const start = beginMessage(out, from, to?.mac, destination, length);
  const flags = (terms.managed ? FLAG_MANAGED : 0) | (terms.other ? FLAG_OTHER : 0);
  // Hop limit, reachable time and retransmission timer 0: unspecified, the host keeps its own.
  out.u8(ROUTER_ADVERTISEMENT).u8(0).u16(0).u8(0).u8(flags).u16(terms.lifetimeS).u32(0).u32(0);
  writeLladdr(out, OPTION_SOURCE_LLADDR, from.mac);
  if (terms.mtu !== undefined) out.u8(OPTION_MTU).u8(1).u16(0).u32(terms.mtu);
  putIcmp6Checksum(out, start, from.address, destination);
}

/** Frame and IPv6 header of a message of `length` bytes; where the message begins. */
function beginMessage(
  out: ByteWriter,
  from: Station,
  toMac: Uint8Array | undefined,
  destination: Uint8Array,
  length: number,
): number {
  beginFrame(out, toMac ?? multicastMac6(destination), from.mac, ETHERTYPE_IP6);
  writeIp6(out, from.address, destination, PROTOCOL_ICMP6, ND_HOP_LIMIT, length);
  return out.length;
}

function writeLladdr(out: ByteWriter, type: number, mac: Uint8Array): void {
  out.u8(type).u8(1).copy(mac);
}
