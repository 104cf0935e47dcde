// What the guests room wants of the kernel: bridges with the gateway, ports, neighbours, filters. Whole wishes, keyed
// by the link; guest-plane.ts makes the kernel so. Routes are not here: they go through the rib like all others.

import type { Prefix } from '../net/prefix.ts';

/** In the state directory: what guests' links were before; there while something is to be taken back. */
export const GUEST_STATE_FILE = 'guests-kernel.json';

/** IFLA_IFALIAS of bridges that leafd made for guests. */
export const GUEST_BRIDGE_ALIAS = 'leafd guests';

export interface GuestBridgeWish {
  name: string;
  create: boolean;
  isolate: boolean;
}

/** What is the same for all guests. */
export interface GuestPlaneIntent {
  gatewayMac: Uint8Array;
  gateway4: Uint8Array;
  gateway6: Uint8Array;
  bridges: readonly GuestBridgeWish[];
  /** Name patterns of routed taps. */
  taps: readonly string[];
  filter: boolean;
  /** Ports of this machine that guests may reach. */
  reach: { tcp: readonly number[]; udp: readonly number[] };
  /** Guests may speak to this machine's infrastructure here with ping only. */
  reserved: readonly Prefix[];
}

/** One port that is there. */
export interface GuestPortWish {
  ifindex: number;
  name: string;
  /** The link with the gateway addresses: neighbours belong to it. Equal to `ifindex` on a routed tap. */
  gatewayIfindex: number;
  /** Source MACs let through. */
  macs: readonly Uint8Array[];
  /** Source addresses let through, each a permanent neighbour with its MAC. */
  addresses: readonly { address: Uint8Array; mac: Uint8Array }[];
}

/** A frame that the filter dropped, as the kernel logs it. */
export interface GuestDrop {
  ifindex: number;
  /** One of guests' `Refusal`. */
  reason: string;
  mac?: Uint8Array;
  /** From the network header on, cut short. */
  packet: Uint8Array;
}
