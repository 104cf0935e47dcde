// Links made in one namespace and put into another, and links moved there: RTM_NEWLINK and RTM_SETLINK with
// IFLA_NET_NS_FD (include/uapi/linux/if_link.h, veth.h). Pure. All of them are written to the namespace in which the
// parent, or the one leg of the veth, or the link that moves, is; the other namespace is an open descriptor of it.
// A link that is made is down, and refused with EEXIST where its name is taken. The kernel takes no IFLA_IFALIAS
// when a link is made: leafd's mark is set by a second message (`encodeLinkSet`), and only when the first has
// succeeded, because otherwise somebody else's link of that name would get the mark.

import {
  type MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  RTM_NEWLINK,
  RTM_SETLINK,
} from './message.ts';

const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_MACVLAN_MODE = 1;
const MACVLAN_MODE_BRIDGE = 4;
const IFLA_VLAN_ID = 1;

/** Makes a veth whose one leg is here and whose other, `peer`, is in the namespace of `netnsFd`. */
export function encodeVethAdd(
  writer: MessageWriter,
  seq: number,
  veth: { name: string; mtu?: number; peer: { name: string; netnsFd: number; mtu?: number } },
): void {
  begin(writer, seq);
  named(writer, veth.name, veth.mtu);
  const info = writer.nest(IFLA_LINKINFO);
  writer.attributeText(IFLA_INFO_KIND, 'veth');
  const data = writer.nest(IFLA_INFO_DATA);
  const peer = writer.nest(VETH_INFO_PEER);
  body(writer, 0);
  named(writer, veth.peer.name, veth.peer.mtu);
  writer.attributeU32(IFLA_NET_NS_FD, veth.peer.netnsFd).nestEnd(peer);
  writer.nestEnd(data).nestEnd(info).end();
}

/** What is made on top of a parent: a link of the namespace of `netnsFd` whose frames pass through the parent here. */
export interface LinkOnTop {
  /** ifindex of the parent. */
  parent: number;
  name: string;
  netnsFd: number;
  mtu?: number;
}

/** Makes a macvlan on `parent`, with a MAC of its own. */
export function encodeMacvlanAdd(
  writer: MessageWriter,
  seq: number,
  link: LinkOnTop & { mode: 'bridge' },
): void {
  const info = beginOnTop(writer, seq, link);
  writer.attributeText(IFLA_INFO_KIND, 'macvlan');
  const data = writer.nest(IFLA_INFO_DATA);
  writer.attributeU32(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE).nestEnd(data);
  writer.nestEnd(info).end();
}

/** Makes a link for the frames of `parent` with this VLAN tag (1 to 4094). */
export function encodeVlanAdd(writer: MessageWriter, seq: number, link: LinkOnTop & { id: number }): void {
  const info = beginOnTop(writer, seq, link);
  writer.attributeText(IFLA_INFO_KIND, 'vlan');
  const data = writer.nest(IFLA_INFO_DATA);
  writer.attributeBytes(IFLA_VLAN_ID, Uint8Array.of(link.id & 0xff, link.id >>> 8)).nestEnd(data);
  writer.nestEnd(info).end();
}

/**
 * Moves a link into the namespace of `netnsFd`. It arrives there down and without addresses and routes; a link whose
 * name is taken there is refused with EEXIST, one that cannot leave its namespace (a bridge, a bond) with EINVAL.
 */
export function encodeLinkMove(writer: MessageWriter, seq: number, ifindex: number, netnsFd: number): void {
  writer.begin(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, seq);
  body(writer, ifindex);
  writer.attributeU32(IFLA_NET_NS_FD, netnsFd).end();
}

function begin(writer: MessageWriter, seq: number): void {
  writer.begin(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, seq);
  body(writer, 0);
}

function beginOnTop(writer: MessageWriter, seq: number, link: LinkOnTop): number {
  begin(writer, seq);
  named(writer, link.name, link.mtu);
  writer.attributeU32(IFLA_LINK, link.parent).attributeU32(IFLA_NET_NS_FD, link.netnsFd);
  return writer.nest(IFLA_LINKINFO);
}

function body(writer: MessageWriter, ifindex: number): void {
  writer.u8(0).u8(0).u16(0).u32(ifindex).u32(0).u32(0);
}

function named(writer: MessageWriter, name: string, mtu: number | undefined): void {
  writer.attributeText(IFLA_IFNAME, name);
  if (mtu !== undefined) writer.attributeU32(IFLA_MTU, mtu);
}
