// What the operator wants of guests, resolved: bridges and routed taps, who may have which address, and the limits.
// The shape of the YAML is schema-guests.ts.

import type { Prefix } from '../net/prefix.ts';
import type { PolicyChain } from './intent.ts';

export interface GuestsIntent {
  /** MAC of the gateway on every bridge and routed tap, the same on all hypervisors. */
  gatewayMac: Uint8Array;
  /** Gateway addresses on every bridge and routed tap; 169.254.0.1 and fe80::1 unless set. One of each family. */
  gateway4: Uint8Array;
  gateway6: Uint8Array;
  bridges: readonly GuestBridgeIntent[];
  /** Name patterns of taps that have no bridge; each is its guest's own link. */
  taps: readonly string[];
  /** What may be learned on ports that no binding is for; nothing unless set. */
  allowed: readonly Prefix[];
  /** What hooks, drivers and the API may attach or allow; absent: anything that is not reserved. */
  within?: readonly Prefix[];
  /** Never a guest's, beside what leafd knows itself: gateways, own addresses, neighbours. */
  reserved: readonly Prefix[];
  /** The operator's bindings, of source `config`. */
  bindings: readonly GuestBindingIntent[];
  learn: GuestLearnIntent;
  moves: GuestMovesIntent;
  /** Absent: DHCP and router advertisements are not answered. */
  dhcp?: GuestDhcpIntent;
  /** Services of this machine that guests may reach; ARP, ND, DHCP and ping of the gateway always. */
  reach: { tcp: readonly number[]; udp: readonly number[] };
  /** Per-port filters; off only where somebody else filters. */
  filter: boolean;
  /** Of guest routes in the kernel. */
  metric: number;
  /** The same while a move is fresh, where another daemon announces (`bgp.speaker: none`). */
  freshMetric: number;
  /** May set attributes of guest routes, or refuse to announce them. */
  policy?: PolicyChain;
  /** LXD or Incus on this machine. */
  lxd?: { socket: string };
}

export interface GuestBridgeIntent {
  name: string;
  /** Made when absent; else adopted when somebody makes it. */
  create: boolean;
  /** Ports cannot reach each other but through the gateway. */
  isolate: boolean;
  /** In place of `allowed` above, on ports of this bridge. */
  allowed?: readonly Prefix[];
}

export interface GuestBindingIntent {
  name: string;
  guest?: string;
  port?: string;
  mac?: Uint8Array;
  bridge?: string;
  addresses: readonly Uint8Array[];
  allowed: readonly Prefix[];
  maxAddresses?: number;
}

export interface GuestLearnIntent {
  enabled: boolean;
  /** Addresses learned on a port at most. */
  maxAddresses: number;
  /** New addresses a port may bring in a second, on average and at once. */
  perSecond: number;
  /** A learned address is asked for this often, and forgotten when it was not seen for so long. */
  probeEveryMs: number;
  forgetAfterMs: number;
}

export interface GuestMovesIntent {
  /** How long a move is announced as better than a settled one. */
  freshForMs: number;
  /** How long an expected guest is waited for. */
  expectForMs: number;
  /** So many unexpected moves within the time freeze an address. */
  duplicateMoves: number;
  duplicateWithinMs: number;
  /** LOCAL_PREF of fresh moves. */
  freshPreference: number;
}

export interface GuestDhcpIntent {
  dns: readonly Uint8Array[];
  domain?: string;
  leaseTimeMs: number;
}
