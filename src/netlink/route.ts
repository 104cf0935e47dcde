// Routes: RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE (include/uapi/linux/rtnetlink.h). Pure. Two ways to read:
// into one reused `RouteRecord` (a dump of a million routes makes no object), and as a `KernelRoute` for the
// feed of foreign routes. Written are routes through a nexthop object, which is all that leafd's forwarding
// table needs, and for tests and small features also routes with a plain gateway.

import {
  attributeAt,
  attributeBytes,
  attributeType,
  copyBytes,
  type MessageWriter,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  RTM_GETROUTE,
  u16,
  u32,
} from './message.ts';

export const RT_TABLE_MAIN = 254;
export const RTN_UNICAST = 1;
export const RTPROT_KERNEL = 2;
export const RTPROT_STATIC = 4;
export const RT_SCOPE_UNIVERSE = 0;
export const RTM_F_CLONED = 0x200;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTA_NH_ID = 30;
const BODY = 28;

/** The fields of one route that the forwarding table compares; made once, filled by `readRoute`. */
export interface RouteRecord {
  family: number;
  /** Prefix length in bits. */
  length: number;
  /** Destination, 32-bit words, most significant first; IPv4 uses `a` only. */
  a: number;
  b: number;
  c: number;
  d: number;
  table: number;
  protocol: number;
  type: number;
  scope: number;
  tos: number;
  /** RTM_F_*. */
  flags: number;
  metric: number;
  nhid: number;
  ifindex: number;
  /** Preferred source: the offset of its bytes, and 4, 16 or 0 (none). */
  prefSrcAt: number;
  prefSrcLength: number;
}

export function newRouteRecord(): RouteRecord {
  return {
    family: 0,
    length: 0,
    a: 0,
    b: 0,
    c: 0,
    d: 0,
    table: 0,
    protocol: 0,
    type: 0,
    scope: 0,
    tos: 0,
    flags: 0,
    metric: 0,
    nhid: 0,
    ifindex: 0,
    prefSrcAt: 0,
    prefSrcLength: 0,
  };
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Fills `record` from the whole message [start, end); false when it is too short. */
export function readRoute(record: RouteRecord, bytes: Uint8Array, start: number, end: number): boolean {
  if (end < start + BODY) return false;
  record.family = bytes[start + 16]!;
  record.length = bytes[start + 17]!;
  record.tos = bytes[start + 19]!;
  record.table = bytes[start + 20]!;
  record.protocol = bytes[start + 21]!;
  record.scope = bytes[start + 22]!;
  record.type = bytes[start + 23]!;
  record.flags = u32(bytes, start + 24);
  record.a = record.b = record.c = record.d = 0;
  record.metric = record.nhid = record.ifindex = record.prefSrcAt = record.prefSrcLength = 0;
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === RTA_DST) {
      if (n >= 8) record.a = word(bytes, at + 4);
      if (n >= 20) {
        record.b = word(bytes, at + 8);
        record.c = word(bytes, at + 12);
        record.d = word(bytes, at + 16);
      }
    } else if (type === RTA_PREFSRC) {
      record.prefSrcAt = at + 4;
      record.prefSrcLength = n - 4;
    } else if (n !== 8) continue;
    else if (type === RTA_PRIORITY) record.metric = u32(bytes, at + 4);
    else if (type === RTA_NH_ID) record.nhid = u32(bytes, at + 4);
    else if (type === RTA_OIF) record.ifindex = u32(bytes, at + 4);
    else if (type === RTA_TABLE) record.table = u32(bytes, at + 4);
  }
  return true;
}

export interface RouteHop {
  /** 4 or 16 bytes; absent on a route straight to a link. */
  gateway?: Uint8Array;
  ifindex: number;
  /** 1 to 256. */
  weight: number;
  /** RTNH_F_*. */
  flags: number;
}

/** A route as the kernel tells it. */
export interface KernelRoute {
  family: number;
  /** Destination, 4 or 16 bytes. */
  bytes: Uint8Array;
  length: number;
  table: number;
  protocol: number;
  type: number;
  scope: number;
  tos: number;
  metric: number;
  /** Nexthop object, or 0; the hops are told too where net.ipv4.nexthop_compat_mode is 1. */
  nhid: number;
  hops: RouteHop[];
  prefSrc?: Uint8Array;
  /** RTM_F_* (RTM_F_CLONED: a cached exception, no route). */
  flags: number;
}

/** Decodes the route in a whole message [start, end). */
export function decodeRoute(bytes: Uint8Array, start: number, end: number): KernelRoute | undefined {
  if (end < start + BODY) return undefined;
  const family = bytes[start + 16]!;
  const route: KernelRoute = {
    family,
    bytes: new Uint8Array(family === 10 ? 16 : 4),
    length: bytes[start + 17]!,
    tos: bytes[start + 19]!,
    table: bytes[start + 20]!,
    protocol: bytes[start + 21]!,
    scope: bytes[start + 22]!,
    type: bytes[start + 23]!,
    flags: u32(bytes, start + 24),
    metric: 0,
    nhid: 0,
    hops: [],
  };
  const hop: RouteHop = { ifindex: 0, weight: 1, flags: route.flags & 0xff };
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === RTA_DST && n - 4 === route.bytes.length) route.bytes = attributeBytes(bytes, at, n);
    else if (type === RTA_PREFSRC) route.prefSrc = attributeBytes(bytes, at, n);
    else if (type === RTA_MULTIPATH) decodeHops(route.hops, bytes, at + 4, at + n);
    else if (type === RTA_PRIORITY) route.metric = u32(bytes, at + 4);
    else if (type === RTA_NH_ID) route.nhid = u32(bytes, at + 4);
    else if (type === RTA_TABLE) route.table = u32(bytes, at + 4);
    else readHopAttribute(hop, bytes, at, n);
  }
  if (route.hops.length === 0 && (hop.ifindex !== 0 || hop.gateway)) route.hops.push(hop);
  return route;
}

function readHopAttribute(hop: RouteHop, bytes: Uint8Array, at: number, n: number): void {
  const type = attributeType(bytes, at);
  if (type === RTA_OIF) hop.ifindex = u32(bytes, at + 4);
  else if (type === RTA_GATEWAY) hop.gateway = attributeBytes(bytes, at, n);
  else if (type === RTA_VIA) hop.gateway = copyBytes(bytes, at + 6, at + n);
}

/** RTA_MULTIPATH: `struct rtnexthop` (length, flags, hops, ifindex), each followed by attributes. */
function decodeHops(hops: RouteHop[], bytes: Uint8Array, start: number, end: number): void {
  for (let at = start; at + 8 <= end; ) {
    const length = u16(bytes, at);
    if (length < 8 || at + length > end) return;
    const hop: RouteHop = { ifindex: u32(bytes, at + 4), weight: bytes[at + 3]! + 1, flags: bytes[at + 2]! };
    for (let inner = at + 8, n = 0; (n = attributeAt(bytes, inner, at + length)) > 0; inner += (n + 3) & ~3) {
      readHopAttribute(hop, bytes, inner, n);
    }
    hops.push(hop);
    at += (length + 3) & ~3;
  }
}

/** What all routes of one forwarding table have in common. */
export interface RouteStyle {
  /** AF_INET or AF_INET6. */
  family: number;
  table: number;
  protocol: number;
  metric: number;
  /** 4 or 16 bytes, or absent. */
  prefSrc?: Uint8Array;
}

/**
 * Writes a route through nexthop object `nhid` (0: none, as a delete of any of ours needs). `a` to `d` are
 * the destination's words; `metric` where it is not the style's. The hot path of the forwarding table: nothing is
 * allocated.
 */
export function encodeRoute(
  writer: MessageWriter,
  type: number,
  flags: number,
  seq: number,
  style: RouteStyle,
  a: number,
  b: number,
  c: number,
  d: number,
  length: number,
  nhid: number,
  metric = style.metric,
): void {
  writer.begin(type, flags | NLM_F_REQUEST, seq);
  const table = style.table < 256 ? style.table : 0;
  // The kernel matches a delete by type and scope as well; 255 (RT_SCOPE_NOWHERE) matches any, as iproute2
  // sends.
  const scope = nhid === 0 ? 255 : RT_SCOPE_UNIVERSE;
  writer.u32(style.family | (length << 8));
  writer.u32((table | (style.protocol << 8) | (scope << 16) | ((nhid === 0 ? 0 : RTN_UNICAST) << 24)) >>> 0);
  writer.u32(0);
  if (style.family === 10) {
    writer.reserve(20);
    const bytes = writer.bytes;
    const at = writer.length;
    bytes[at] = 20;
    bytes[at + 1] = 0;
    bytes[at + 2] = RTA_DST;
    bytes[at + 3] = 0;
    putWord(bytes, at + 4, a);
    putWord(bytes, at + 8, b);
    putWord(bytes, at + 12, c);
    putWord(bytes, at + 16, d);
    writer.length = at + 20;
  } else writer.attributeU32Network(RTA_DST, a);
  if (style.table >= 256) writer.attributeU32(RTA_TABLE, style.table);
  writer.attributeU32(RTA_PRIORITY, metric);
  if (nhid !== 0) {
    writer.attributeU32(RTA_NH_ID, nhid);
    if (style.prefSrc) writer.attributeBytes(RTA_PREFSRC, style.prefSrc);
  }
  writer.end();
}

function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/**
 * Asks for the routes of a family in a table, all or of one protocol; 0 = any (the socket checks strictly).
 */
export function encodeRouteDump(
  writer: MessageWriter,
  seq: number,
  family: number,
  table: number,
  protocol = 0,
): void {
  writer.begin(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, seq);
  writer
    .u32(family)
    .u32(((table < 256 ? table : 0) | (protocol << 8)) >>> 0)
    .u32(0);
  if (table !== 0) writer.attributeU32(RTA_TABLE, table);
  writer.end();
}

/** Any route with its hops, as the kernel tells it and as small features write it. */
export function encodeKernelRoute(
  writer: MessageWriter,
  type: number,
  flags: number,
  seq: number,
  route: KernelRoute,
): void {
  writer.begin(type, flags, seq);
  writer.u8(route.family).u8(route.length).u8(0).u8(route.tos);
  writer
    .u8(route.table < 256 ? route.table : 0)
    .u8(route.protocol)
    .u8(route.scope)
    .u8(route.type);
  writer.u32(route.flags);
  writer.attributeU32(RTA_TABLE, route.table);
  if (route.length > 0) writer.attributeBytes(RTA_DST, route.bytes);
  if (route.metric !== 0) writer.attributeU32(RTA_PRIORITY, route.metric);
  if (route.prefSrc) writer.attributeBytes(RTA_PREFSRC, route.prefSrc);
  if (route.nhid !== 0) writer.attributeU32(RTA_NH_ID, route.nhid);
  if (route.hops.length === 1) encodeHop(writer, route.family, route.hops[0]!, true);
  else if (route.hops.length > 1) {
    const nest = writer.nest(RTA_MULTIPATH);
    for (const hop of route.hops) {
      const at = writer.length;
      writer
        .u16(0)
        .u8(hop.flags)
        .u8(hop.weight - 1)
        .u32(hop.ifindex);
      encodeHop(writer, route.family, hop, false);
      writer.bytes[at] = writer.length - at;
      writer.bytes[at + 1] = (writer.length - at) >>> 8;
    }
    writer.nestEnd(nest);
  }
  writer.end();
}

function encodeHop(writer: MessageWriter, family: number, hop: RouteHop, withLink: boolean): void {
  if (hop.gateway && family === 2 && hop.gateway.length === 16) {
    const via = new Uint8Array(18);
    via[0] = 10;
    via.set(hop.gateway, 2);
    writer.attributeBytes(RTA_VIA, via);
  } else if (hop.gateway) writer.attributeBytes(RTA_GATEWAY, hop.gateway);
  if (withLink && hop.ifindex !== 0) writer.attributeU32(RTA_OIF, hop.ifindex);
}
