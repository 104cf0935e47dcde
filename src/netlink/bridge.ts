// Bridges: making one, and the flags of its ports (include/uapi/linux/if_link.h, IFLA_BR_*, IFLA_BRPORT_*). Pure.
// A bridge for guests needs no spanning tree: a port forwards as soon as it is there. Multicast is not snooped,
// because neighbour solicitations must reach the bridge before it knows any group.

import {
  attributeAt,
  attributeType,
  type MessageWriter,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  RTM_NEWLINK,
  RTM_SETLINK,
} from './message.ts';

export const AF_BRIDGE = 7;
export const IFLA_PROTINFO = 12;
export const IFLA_BRPORT_ISOLATED = 33;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_BR_FORWARD_DELAY = 1;
const IFLA_BR_STP_STATE = 5;
const IFLA_BR_MCAST_SNOOPING = 23;

/** Makes a bridge that is down; refused with EEXIST where the name is taken. */
export function encodeBridgeAdd(writer: MessageWriter, seq: number, name: string, mac: Uint8Array): void {
  writer.begin(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, seq);
  writer.u8(0).u8(0).u16(0).u32(0).u32(0).u32(0);
  writer.attributeText(IFLA_IFNAME, name).attributeBytes(IFLA_ADDRESS, mac);
  const info = writer.nest(IFLA_LINKINFO);
  writer.attributeText(IFLA_INFO_KIND, 'bridge');
  const data = writer.nest(IFLA_INFO_DATA);
  writer.attributeU32(IFLA_BR_FORWARD_DELAY, 0).attributeU32(IFLA_BR_STP_STATE, 0);
  writer.attributeU8(IFLA_BR_MCAST_SNOOPING, 0).nestEnd(data);
  writer.nestEnd(info).end();
}

/** Sets whether a port of a bridge is isolated. */
export function encodePortIsolated(
  writer: MessageWriter,
  seq: number,
  ifindex: number,
  isolated: boolean,
): void {
  writer.begin(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, seq);
  writer.u8(AF_BRIDGE).u8(0).u16(0).u32(ifindex).u32(0).u32(0);
  const port = writer.nest(IFLA_PROTINFO);
  writer
    .attributeU8(IFLA_BRPORT_ISOLATED, isolated ? 1 : 0)
    .nestEnd(port)
    .end();
}

/** The flag among attributes of a port [start, end); undefined where the kernel has none. */
export function portIsolated(bytes: Uint8Array, start: number, end: number): boolean | undefined {
  for (let at = start, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3) {
    if (attributeType(bytes, at) === IFLA_BRPORT_ISOLATED && n === 5) return bytes[at + 4] === 1;
  }
  return undefined;
}
