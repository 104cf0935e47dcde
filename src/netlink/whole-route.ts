// Routes in all that they have, so that one which goes with its link can be made again exactly as it was: the header,
// and the attributes as the kernel tells them, unread, but for links, which get other indexes. Pure. Left out is what
// the kernel only tells (cache times, counters, offload) and nexthop objects, which go with their link as well: such
// a route keeps the hops behind the object. Attributes are hexadecimal text, as a file in JSON keeps them.

import {
  attributeAt,
  attributeBytes,
  attributeType,
  hex,
  type MessageWriter,
  NLM_F_REQUEST,
  RTM_NEWROUTE,
  u16,
  u32,
} from './message.ts';
import type { Nexthop } from './nexthop.ts';

const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_IIF = 3;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_MULTIPATH = 9;
const RTA_FLOW = 11;
const RTA_CACHEINFO = 12;
const RTA_TABLE = 15;
const RTA_MFC_STATS = 17;
const RTA_VIA = 18;
const RTA_NEWDST = 19;
const RTA_ENCAP_TYPE = 21;
const RTA_ENCAP = 22;
const RTA_EXPIRES = 23;
const RTA_PAD = 24;
const RTA_UID = 25;
const RTA_NH_ID = 30;
const RTNH_F_ONLINK = 4;
const USER_HZ = 100;
const BODY = 28;

/** Of one hop, not of the route as a whole. */
const hopAttributes: ReadonlySet<number> = new Set([
  RTA_GATEWAY,
  RTA_VIA,
  RTA_FLOW,
  RTA_NEWDST,
  RTA_ENCAP_TYPE,
  RTA_ENCAP,
]);
const onlyTold: ReadonlySet<number> = new Set([
  RTA_IIF,
  RTA_CACHEINFO,
  RTA_MFC_STATS,
  RTA_EXPIRES,
  RTA_PAD,
  RTA_UID,
]);

/** Type (with the kernel's bits for nesting) and value in hexadecimal. */
export type RawAttribute = readonly [type: number, value: string];

export interface WholeHop {
  ifindex: number;
  /** 1 to 256. */
  weight: number;
  /** RTNH_F_ONLINK or 0. */
  flags: number;
  attributes: readonly RawAttribute[];
}

export interface WholeRoute {
  family: number;
  length: number;
  sourceLength: number;
  tos: number;
  /** The header's; from 256 on the attribute has it. */
  table: number;
  protocol: number;
  scope: number;
  type: number;
  /** RTM_F_*, as told; not written. */
  flags: number;
  nhid: number;
  /** Seconds until the kernel drops it; absent: never. */
  expiresS?: number;
  attributes: readonly RawAttribute[];
  hops: readonly WholeHop[];
}

/** Decodes all of the route in a whole message [start, end). */
export function decodeWholeRoute(bytes: Uint8Array, start: number, end: number): WholeRoute | undefined {
  if (end < start + BODY) return undefined;
  const attributes: RawAttribute[] = [];
  const own: RawAttribute[] = [];
  const hops: WholeHop[] = [];
  const flags = u32(bytes, start + 24);
  const route: WholeRoute = {
    family: bytes[start + 16]!,
    length: bytes[start + 17]!,
    sourceLength: bytes[start + 18]!,
    tos: bytes[start + 19]!,
    table: bytes[start + 20]!,
    protocol: bytes[start + 21]!,
    scope: bytes[start + 22]!,
    type: bytes[start + 23]!,
    flags,
    nhid: 0,
    attributes,
    hops,
  };
  let ifindex = 0;
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === RTA_OIF && n === 8) ifindex = u32(bytes, at + 4);
    else if (type === RTA_NH_ID && n === 8) route.nhid = u32(bytes, at + 4);
    else if (type === RTA_MULTIPATH) readHops(hops, bytes, at + 4, at + n);
    else if (type === RTA_CACHEINFO && n >= 16) readExpiry(route, u32(bytes, at + 12) | 0);
    else if (hopAttributes.has(type)) own.push(rawAttribute(bytes, at, n));
    else if (!onlyTold.has(type)) attributes.push(rawAttribute(bytes, at, n));
  }
  if (hops.length === 0 && ifindex !== 0)
    hops.push({ ifindex, weight: 1, flags: flags & RTNH_F_ONLINK, attributes: own });
  return route;
}

function readExpiry(route: WholeRoute, ticks: number): void {
  if (ticks > 0) route.expiresS = Math.ceil(ticks / USER_HZ);
}

function rawAttribute(bytes: Uint8Array, at: number, length: number): RawAttribute {
  return [u16(bytes, at + 2), hex(attributeBytes(bytes, at, length))];
}

function readHops(hops: WholeHop[], bytes: Uint8Array, start: number, end: number): void {
  for (let at = start; at + 8 <= end; ) {
    const length = u16(bytes, at);
    if (length < 8 || at + length > end) return;
    const attributes: RawAttribute[] = [];
    for (let inner = at + 8, n = 0; (n = attributeAt(bytes, inner, at + length)) > 0; inner += (n + 3) & ~3)
      if (attributeType(bytes, inner) !== RTA_NH_ID) attributes.push(rawAttribute(bytes, inner, n));
    const flags = bytes[at + 2]! & RTNH_F_ONLINK;
    hops.push({ ifindex: u32(bytes, at + 4), weight: bytes[at + 3]! + 1, flags, attributes });
    at += (length + 3) & ~3;
  }
}

/** Writes the route without any nexthop object (`flags`: NLM_F_CREATE and so on). */
export function encodeWholeRouteAdd(
  writer: MessageWriter,
  seq: number,
  flags: number,
  route: Omit<WholeRoute, 'flags' | 'nhid'>,
): void {
  const only = route.hops.length === 1 ? route.hops[0] : undefined;
  writer.begin(RTM_NEWROUTE, flags | NLM_F_REQUEST, seq);
  writer.u8(route.family).u8(route.length).u8(route.sourceLength).u8(route.tos);
  writer.u8(route.table).u8(route.protocol).u8(route.scope).u8(route.type);
  writer.u32(only?.flags ?? 0);
  for (const each of route.attributes) writeRaw(writer, each);
  if (route.expiresS !== undefined) writer.attributeU32(RTA_EXPIRES, route.expiresS);
  if (only !== undefined) {
    writer.attributeU32(RTA_OIF, only.ifindex);
    for (const each of only.attributes) writeRaw(writer, each);
  } else if (route.hops.length > 1) {
    const nest = writer.nest(RTA_MULTIPATH);
    for (const hop of route.hops) writeHop(writer, hop);
    writer.nestEnd(nest);
  }
  writer.end();
}

function writeHop(writer: MessageWriter, hop: WholeHop): void {
  const at = writer.length;
  writer
    .u16(0)
    .u8(hop.flags)
    .u8(hop.weight - 1)
    .u32(hop.ifindex);
  for (const each of hop.attributes) writeRaw(writer, each);
  writer.bytes[at] = writer.length - at;
  writer.bytes[at + 1] = (writer.length - at) >>> 8;
}

function writeRaw(writer: MessageWriter, [type, value]: RawAttribute): void {
  writer.attributeBytes(type, bytesOfHex(value));
}

/** The pair of message.ts's `hex`. */
export function bytesOfHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return bytes;
}

const attributeOf = (route: Pick<WholeRoute, 'attributes'>, type: number): string | undefined =>
  route.attributes.find((each) => each[0] === type)?.[1];

/** The preferred source in hexadecimal, or undefined. */
export function preferredSource(route: Pick<WholeRoute, 'attributes'>): string | undefined {
  return attributeOf(route, RTA_PREFSRC);
}

/** The same attributes without the preferred source. */
export function withoutPreferredSource(attributes: readonly RawAttribute[]): RawAttribute[] {
  return attributes.filter(([type]) => type !== RTA_PREFSRC);
}

/** What tells the kernel's routes apart; of IPv6 several may share it (each with a link of its own). */
export function wholeRouteKey(route: Omit<WholeRoute, 'flags' | 'nhid' | 'hops'>): string {
  const table = attributeOf(route, RTA_TABLE) ?? hex(Uint8Array.of(route.table, 0, 0, 0));
  const to = `${attributeOf(route, RTA_DST) ?? ''}/${route.length}`;
  const from = `${attributeOf(route, RTA_SRC) ?? ''}/${route.sourceLength}`;
  return `${route.family} ${table} ${to} ${from} ${route.tos} ${attributeOf(route, RTA_PRIORITY) ?? '00000000'}`;
}

/** The hops behind a route that has a nexthop object and does not tell them itself (nexthop_compat_mode 0). */
export function hopsBehind(route: WholeRoute, objects: ReadonlyMap<number, Nexthop>): WholeHop[] {
  const object = objects.get(route.nhid);
  if (object === undefined) return [];
  const members = object.group ?? [{ id: object.id, weight: 1 }];
  return members.flatMap(({ id, weight }) => {
    const member = objects.get(id);
    if (member === undefined || member.ifindex === 0) return [];
    const flags = member.flags & RTNH_F_ONLINK;
    return [{ ifindex: member.ifindex, weight, flags, attributes: gatewayOf(route.family, member.gateway) }];
  });
}

function gatewayOf(family: number, gateway: Uint8Array | undefined): RawAttribute[] {
  if (gateway === undefined) return [];
  // An IPv4 route through an IPv6 gateway: the family (10) goes before the address.
  if (family === 2 && gateway.length === 16) return [[RTA_VIA, `0a00${hex(gateway)}`]];
  return [[RTA_GATEWAY, hex(gateway)]];
}
