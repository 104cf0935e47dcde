// What is heard of a port: the frames that tell who is behind it, logged whole to a group of their own. Pure. This
// comes before anything is judged, for a guest is learned from the very frames that are dropped because nobody knows it
// yet. ARP, RARP, neighbour and router discovery with redirects (ICMPv6 133-137, also behind extension headers), DHCP
// and DHCPv6 to a server and from one. Frames with a VLAN tag are none of these: they are not of the port's network.
//
// A port is heard at a limited rate, so that one that floods silences nobody but itself. The limit of a port that has
// been silent is forgotten, which changes nothing: it has its whole burst again.

import type { NftSet } from '../netlink/nft.ts';
import { NFT_META_IIF } from '../netlink/nft-expression.ts';
import {
  destinationPorts,
  ETHERTYPE_ARP,
  ETHERTYPE_IP4,
  ETHERTYPE_IP6,
  ETHERTYPE_RARP,
  etherType,
  FIELD,
  goTo,
  IPPROTO_ICMPV6,
  IPPROTO_UDP,
  icmpTypes,
  meta,
  protocol,
  R,
  type SharedChain,
} from './guest-rules-terms.ts';

export const HEARD_GROUP = 180;

const FRAMES_A_SECOND = 200;
const FRAMES_AT_ONCE = 100;
const FRAME_BYTES = 1500;

export const HEARD_SET: NftSet = {
  name: 'heard',
  fields: [FIELD.ifindex],
  hostOrder: true,
  dynamicSize: 65535,
  timeoutMs: 60_000,
};

/** Chains that a port's frames jump through (`hear`) and come back from, whatever they are. */
export function hearRules(): SharedChain[] {
  const limit = { kind: 'limit', rate: FRAMES_A_SECOND, burst: FRAMES_AT_ONCE } as const;
  return [
    {
      name: 'hear',
      rules: [
        [...etherType(ETHERTYPE_IP4), goTo('hear4')],
        [...etherType(ETHERTYPE_IP6), goTo('hear6')],
        [...etherType(ETHERTYPE_ARP), goTo('heard')],
        [...etherType(ETHERTYPE_RARP), goTo('heard')],
      ],
    },
    { name: 'hear4', rules: [[...protocol(IPPROTO_UDP), ...destinationPorts(67, 68), goTo('heard')]] },
    {
      name: 'hear6',
      rules: [
        [...protocol(IPPROTO_ICMPV6), ...icmpTypes(133, 137), goTo('heard')],
        [...protocol(IPPROTO_UDP), ...destinationPorts(546, 547), goTo('heard')],
      ],
    },
    {
      name: 'heard',
      rules: [
        [
          meta(NFT_META_IIF),
          { kind: 'update', register: R, set: HEARD_SET.name, expressions: [limit] },
          { kind: 'log', group: HEARD_GROUP, prefix: 'heard', snapLength: FRAME_BYTES },
        ],
      ],
    },
  ];
}
