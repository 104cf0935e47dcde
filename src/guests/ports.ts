// What the table of guests (table.ts, pure) is told and what it does to the world. guests.ts implements the host with
// frames, the kernel and BGP; tests with arrays.

import type { AddressReason, AddressState, Refusal } from './binding.ts';

export type { Sighting } from '../wire/lan/sighting.ts';

/** A link that a guest is behind. */
export interface GuestPort {
  ifindex: number;
  name: string;
  /** The link that carries the gateway: the bridge, or the tap itself. */
  gatewayIfindex: number;
  /** Name of the bridge; absent for a routed tap. */
  bridge?: string;
  carrier: boolean;
  /** Somebody else has given it its gateway (LXD, a routed NIC): leafd does not, and does not speak as the gateway. */
  asItIs?: true;
}

/** What other nodes say of an address by BGP. */
export interface Heard {
  /** The highest move sequence; 0 where nobody gave one. */
  sequence: number;
}

export interface BoundAddress {
  address: Uint8Array;
  port: GuestPort;
  mac: Uint8Array;
  sequence: number;
  fresh: boolean;
}

export type GuestEvent =
  | {
      kind: 'guest-attached' | 'guest-learned' | 'guest-moved' | 'guest-frozen' | 'guest-detached';
      address: Uint8Array;
      binding?: string;
      port?: string;
      state?: AddressState;
      reason: AddressReason | 'forgotten' | 'removed' | 'detached' | 'cleared' | 'expired' | 'cancelled';
      text: string;
    }
  | { kind: 'guest-expected'; binding: string; text: string }
  | {
      kind: 'guest-refused';
      refusal: Refusal;
      address?: Uint8Array;
      mac?: Uint8Array;
      port: string;
      binding?: string;
      text: string;
    };

/** Effects, each at once; none calls back into the table. */
export interface GuestHost {
  /** Monotonic and wall time. */
  nowMs(): number;
  wallMs(): number;
  /** Neighbour, filter, route, announcement: in this order. Again with other values: what differs changes. */
  bind(bound: BoundAddress): void;
  /** Takes back what `bind` made. */
  unbind(address: Uint8Array): void;
  /** MACs let through on a port; the whole list each time. */
  admit(port: GuestPort, macs: readonly Uint8Array[]): void;
  /** Asks on a port whether somebody has the address: ARP or neighbour solicitation from the gateway. */
  probe(port: GuestPort, address: Uint8Array): void;
  /** What others say of the address now; from here on `heard` is told of changes, until `unwatch`. */
  watch(address: Uint8Array): Heard | undefined;
  unwatch(address: Uint8Array): void;
  /** Whether nobody may have the address, and whose it is. */
  reserved(address: Uint8Array): string | undefined;
  event(event: GuestEvent): void;
  /** What is kept has changed. */
  changed(): void;
  /** Whether to listen for RESUME on a QMP socket, by binding. */
  qmp(binding: string, socket: string | undefined): void;
}
