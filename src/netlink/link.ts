// Links: RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK (include/uapi/linux/if_link.h). Pure. Only what
// leafd reads of a link is decoded; changed are up and down, MAC, MTU, name, group, master, and the alias, which is
// leafd's mark on a link. Bridges and their ports are bridge.ts; making and moving links is link-create.ts.

import { IFLA_BRPORT_ISOLATED, IFLA_PROTINFO, portIsolated } from './bridge.ts';
import {
  attributeAt,
  attributeBytes,
  attributeText,
  attributeType,
  type MessageWriter,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_SETLINK,
  u32,
} from './message.ts';

export const IFF_UP = 1;
export const IFF_RUNNING = 0x40;
export const IFF_LOWER_UP = 0x10000;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_GROUP = 27;
const IFLA_EXT_MASK = 29;
const IFLA_CARRIER_CHANGES = 35;
const IFLA_LINK_NETNSID = 37;
const IFLA_PERM_ADDRESS = 54;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const RTEXT_FILTER_SKIP_STATS = 8;
const BODY = 32;

export interface Link {
  ifindex: number;
  name: string;
  /** IFF_*. */
  flags: number;
  /** Administratively up. */
  up: boolean;
  /** Up and with carrier: what the kernel asks of a link before it takes a nexthop object on it. */
  carrier: boolean;
  mtu: number;
  /** Hardware address; empty where there is none. */
  mac: Uint8Array;
  /** IFLA_INFO_KIND ('veth', 'bridge', 'vxlan', …) or ''. */
  kind: string;
  alias: string;
  /** ifindex of the bridge, bond or VRF it belongs to, or 0. */
  master: number;
  /** ifindex of the lower or peer device (IFLA_LINK), or 0. */
  lower: number;
  /** The lower or peer device is in another namespace, where `lower` is its index. Absent where it is in this one. */
  lowerElsewhere?: true;
  /** IFLA_GROUP; 0 unless somebody gave it another. */
  group: number;
  /** The MAC burnt into the hardware, whatever it uses now; absent where there is none. */
  permanentMac?: Uint8Array;
  /** RFC 2863 state as IF_OPER_*: 6 is up. */
  operState: number;
  /** How often the carrier came or went, so that a flap between two events is seen. */
  carrierChanges: number;
  /** Of a port of a bridge: it cannot reach other isolated ports. Absent on all other links. */
  isolated?: boolean;
}

/** Decodes the link in a whole message [start, end). */
export function decodeLink(bytes: Uint8Array, start: number, end: number): Link | undefined {
  if (end < start + BODY) return undefined;
  const flags = u32(bytes, start + 24);
  const link: Link = {
    ifindex: u32(bytes, start + 20),
    name: '',
    flags,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_UP) !== 0 && (flags & IFF_LOWER_UP) !== 0,
    mtu: 0,
    mac: new Uint8Array(0),
    kind: '',
    alias: '',
    master: 0,
    lower: 0,
    group: 0,
    operState: 0,
    carrierChanges: 0,
  };
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === IFLA_IFNAME) link.name = attributeText(bytes, at, n);
    else if (type === IFLA_ADDRESS) link.mac = attributeBytes(bytes, at, n);
    else if (type === IFLA_MTU && n === 8) link.mtu = u32(bytes, at + 4);
    else if (type === IFLA_MASTER && n === 8) link.master = u32(bytes, at + 4);
    else if (type === IFLA_LINK && n === 8) link.lower = u32(bytes, at + 4);
    else if (type === IFLA_LINK_NETNSID) link.lowerElsewhere = true;
    else if (type === IFLA_GROUP && n === 8) link.group = u32(bytes, at + 4);
    else if (type === IFLA_PERM_ADDRESS) link.permanentMac = attributeBytes(bytes, at, n);
    else if (type === IFLA_OPERSTATE) link.operState = bytes[at + 4]!;
    else if (type === IFLA_IFALIAS) link.alias = attributeText(bytes, at, n);
    else if (type === IFLA_CARRIER_CHANGES && n === 8) link.carrierChanges = u32(bytes, at + 4);
    else if (type === IFLA_LINKINFO) readInfo(link, bytes, at + 4, at + n);
  }
  return link;
}

function readInfo(link: Link, bytes: Uint8Array, start: number, end: number): void {
  let bridged = false;
  for (let at = start, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    const type = attributeType(bytes, at);
    if (type === IFLA_INFO_KIND) link.kind = attributeText(bytes, at, n);
    else if (type === IFLA_INFO_SLAVE_KIND) bridged = attributeText(bytes, at, n) === 'bridge';
    else if (type === IFLA_INFO_SLAVE_DATA && bridged) {
      const isolated = portIsolated(bytes, at + 4, at + n);
      if (isolated !== undefined) link.isolated = isolated;
    }
  }
}

/** What a bridge says of a port (a message of family AF_BRIDGE): whether it is isolated. */
export function decodePortIsolated(
  bytes: Uint8Array,
  start: number,
  end: number,
): { ifindex: number; isolated: boolean } | undefined {
  if (end < start + BODY) return undefined;
  for (let at = start + BODY, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    if (attributeType(bytes, at) !== IFLA_PROTINFO) continue;
    const isolated = portIsolated(bytes, at + 4, at + n);
    return isolated === undefined ? undefined : { ifindex: u32(bytes, start + 20), isolated };
  }
  return undefined;
}

/** Asks for all links, without their statistics. */
export function encodeLinkDump(writer: MessageWriter, seq: number): void {
  writer.begin(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, seq);
  encodeBody(writer, 0, 0, 0);
  writer.attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS).end();
}

/** What is changed of a link: the one with this index, or (index 0) of this name. */
export interface LinkChange {
  ifindex: number;
  /** With an index: the link's new name. */
  name?: string;
  up?: boolean;
  alias?: string;
  mac?: Uint8Array;
  mtu?: number;
  group?: number;
  /** ifindex of the bridge, bond or VRF that it becomes part of; 0: of none. */
  master?: number;
}

/** Changes a link; what is absent stays as it is. */
export function encodeLinkSet(writer: MessageWriter, seq: number, change: LinkChange): void {
  writer.begin(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, seq);
  encodeBody(writer, change.ifindex, change.up === true ? IFF_UP : 0, change.up === undefined ? 0 : IFF_UP);
  if (change.name !== undefined) writer.attributeText(IFLA_IFNAME, change.name);
  if (change.alias !== undefined) writer.attributeText(IFLA_IFALIAS, change.alias);
  if (change.mac !== undefined) writer.attributeBytes(IFLA_ADDRESS, change.mac);
  if (change.mtu !== undefined) writer.attributeU32(IFLA_MTU, change.mtu);
  if (change.group !== undefined) writer.attributeU32(IFLA_GROUP, change.group);
  if (change.master !== undefined) writer.attributeU32(IFLA_MASTER, change.master);
  writer.end();
}

/** Removes a link; a bridge lets go of its ports. */
export function encodeLinkDelete(writer: MessageWriter, seq: number, ifindex: number): void {
  writer.begin(RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, seq);
  encodeBody(writer, ifindex, 0, 0);
  writer.end();
}

function encodeBody(writer: MessageWriter, ifindex: number, flags: number, mask: number): void {
  writer.u8(0).u8(0).u16(0).u32(ifindex).u32(flags).u32(mask);
}

/** Encodes a link as the kernel tells it; the fake kernel and the tests use it. */
export function encodeLink(
  writer: MessageWriter,
  type: number,
  flags: number,
  seq: number,
  link: Link,
): void {
  writer.begin(type, flags, seq);
  encodeBody(writer, link.ifindex, link.flags, 0);
  writer.attributeText(IFLA_IFNAME, link.name).attributeU32(IFLA_MTU, link.mtu);
  writer.attributeU8(IFLA_OPERSTATE, link.operState).attributeU32(IFLA_CARRIER_CHANGES, link.carrierChanges);
  if (link.mac.length > 0) writer.attributeBytes(IFLA_ADDRESS, link.mac);
  if (link.lower !== 0) writer.attributeU32(IFLA_LINK, link.lower);
  if (link.master !== 0) writer.attributeU32(IFLA_MASTER, link.master);
  if (link.lowerElsewhere) writer.attributeU32(IFLA_LINK_NETNSID, 0);
  if (link.group !== 0) writer.attributeU32(IFLA_GROUP, link.group);
  if (link.permanentMac) writer.attributeBytes(IFLA_PERM_ADDRESS, link.permanentMac);
  if (link.alias !== '') writer.attributeText(IFLA_IFALIAS, link.alias);
  if (link.kind !== '') {
    const nest = writer.nest(IFLA_LINKINFO);
    writer.attributeText(IFLA_INFO_KIND, link.kind);
    if (link.isolated !== undefined) {
      writer.attributeText(IFLA_INFO_SLAVE_KIND, 'bridge');
      const port = writer.nest(IFLA_INFO_SLAVE_DATA);
      writer.attributeU8(IFLA_BRPORT_ISOLATED, link.isolated ? 1 : 0).nestEnd(port);
    }
    writer.nestEnd(nest);
  }
  writer.end();
}
