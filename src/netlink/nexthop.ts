// Nexthop objects and groups: RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP (include/uapi/linux/nexthop.h).
// Pure. An object of family AF_INET6 may serve IPv4 routes too (RFC 8950 on the forwarding side); the reverse
// is refused by the kernel. Weights are 1 to 256 here and one less on the wire.

import {
  attributeAt,
  attributeBytes,
  attributeType,
  type MessageWriter,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  RTM_DELNEXTHOP,
  RTM_GETNEXTHOP,
  RTM_NEWNEXTHOP,
  u32,
} from './message.ts';

const NHA_ID = 1;
const NHA_GROUP = 2;
const NHA_BLACKHOLE = 4;
const NHA_OIF = 5;
const NHA_GATEWAY = 6;
const BODY = 24;

export interface NexthopMember {
  id: number;
  /** 1 to 256. */
  weight: number;
}

export interface Nexthop {
  id: number;
  /** AF_INET, AF_INET6, or 0 of a group. */
  family: number;
  protocol: number;
  /** RTNH_F_*. */
  flags: number;
  /** 0 of groups and blackholes. */
  ifindex: number;
  gateway?: Uint8Array;
  /** Present: a group. */
  group?: NexthopMember[];
  blackhole: boolean;
}

export function decodeNexthop(bytes: Uint8Array, start: number, end: number): Nexthop | undefined {
  if (end < start + BODY) return undefined;
  const nexthop: Nexthop = {
    id: 0,
    family: bytes[start + 16]!,
    protocol: bytes[start + 18]!,
    flags: u32(bytes, start + 20),
    ifindex: 0,
    blackhole: false,
  };
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === NHA_ID && n === 8) nexthop.id = u32(bytes, at + 4);
    else if (type === NHA_OIF && n === 8) nexthop.ifindex = u32(bytes, at + 4);
    else if (type === NHA_GATEWAY) nexthop.gateway = attributeBytes(bytes, at, n);
    else if (type === NHA_BLACKHOLE) nexthop.blackhole = true;
    else if (type === NHA_GROUP) {
      nexthop.group = [];
      for (let m = at + 4; m + 8 <= at + n; m += 8) {
        nexthop.group.push({ id: u32(bytes, m), weight: bytes[m + 4]! + 1 });
      }
    }
  }
  // The kernel says the type of each group; leafd makes only the default, hash-threshold groups (type 0).
  return nexthop;
}

/** Makes or replaces a nexthop object or group; `flags` are NLM_F_CREATE | NLM_F_REPLACE and so on. */
export function encodeNexthopAdd(writer: MessageWriter, seq: number, flags: number, nexthop: Nexthop): void {
  encodeNexthop(writer, RTM_NEWNEXTHOP, flags | NLM_F_REQUEST, seq, nexthop);
}

export function encodeNexthop(
  writer: MessageWriter,
  type: number,
  flags: number,
  seq: number,
  nexthop: Nexthop,
): void {
  writer.begin(type, flags, seq);
  writer
    .u8(nexthop.group ? 0 : nexthop.family)
    .u8(0)
    .u8(nexthop.protocol)
    .u8(0)
    .u32(nexthop.flags);
  writer.attributeU32(NHA_ID, nexthop.id);
  if (nexthop.group) {
    const value = new Uint8Array(nexthop.group.length * 8);
    nexthop.group.forEach((member, i) => {
      value[i * 8] = member.id;
      value[i * 8 + 1] = member.id >>> 8;
      value[i * 8 + 2] = member.id >>> 16;
      value[i * 8 + 3] = member.id >>> 24;
      value[i * 8 + 4] = member.weight - 1;
    });
    writer.attributeBytes(NHA_GROUP, value);
  } else if (nexthop.blackhole) writer.attributeBytes(NHA_BLACKHOLE, new Uint8Array(0));
  else {
    writer.attributeU32(NHA_OIF, nexthop.ifindex);
    if (nexthop.gateway) writer.attributeBytes(NHA_GATEWAY, nexthop.gateway);
  }
  writer.end();
}

export function encodeNexthopDelete(writer: MessageWriter, seq: number, id: number): void {
  writer.begin(RTM_DELNEXTHOP, NLM_F_REQUEST, seq).u32(0).u32(0).attributeU32(NHA_ID, id).end();
}

export function encodeNexthopDump(writer: MessageWriter, seq: number): void {
  writer
    .begin(RTM_GETNEXTHOP, NLM_F_REQUEST | NLM_F_DUMP, seq)
    .u32(0)
    .u32(0)
    .end();
}
