// What is known of a guest's link before a packet is seen: which port or MAC it is, and which addresses it may have.
// From leafd.yaml, from an attach, or from a hypervisor's driver. Times are milliseconds since 1970, because bindings
// outlive the process.

import type { Prefix } from '../net/prefix.ts';

/** Who said so. `config` cannot be detached by others. */
export type BindingSource = 'config' | 'api' | 'proxmox' | 'libvirt' | 'lxd';

export interface Binding {
  /** Unique on this machine. */
  name: string;
  source: BindingSource;
  /** The VM or container it belongs to, for people. */
  guest?: string;
  /** Name of the host's end: tap100i0. Either this or `mac` is there. */
  port?: string;
  mac?: Uint8Array;
  /** Where `mac` is looked for; absent: on every guest bridge. */
  bridge?: string;
  /** Announced as soon as the port is there: 4 or 16 bytes each. */
  addresses: readonly Uint8Array[];
  /** What may be learned beside them; host prefixes among these are asked for. */
  allowed: readonly Prefix[];
  /** Learned addresses at most, instead of `guests.learn.maxAddresses`. */
  maxAddresses?: number;
  sinceMs: number;
  /** The guest still runs elsewhere: nothing is announced before its first sign of life here. */
  expected?: Expectation;
}

export interface Expectation {
  /** Node it comes from, for people. */
  from?: string;
  /** When it was told; set by the table. */
  sinceMs?: number;
  untilMs: number;
  /** A QMP socket that tells RESUME. */
  qmp?: string;
  /** The binding is here for this move alone, and goes when the move is cancelled. Set by the table. */
  alone?: true;
}

/** What the file of attachments keeps of an address, so that a restart changes nothing. */
export interface KeptAddress {
  binding?: string;
  /** Text form. */
  address: string;
  port: string;
  mac: string;
  state: AddressState;
  reason: AddressReason;
  sinceMs: number;
  /** Move sequence announced last. */
  sequence: number;
}

export type AddressState =
  /** Of a binding whose port is not there, or has no carrier. */
  | 'waiting'
  /** Of a binding that is expected: nothing is announced. */
  | 'expected'
  /** Named by a binding, announced. */
  | 'attached'
  /** Seen on the port and allowed, announced. */
  | 'learned'
  /** Has gone to another node; packets are sent after it. */
  | 'moved'
  /** Moved too often; nothing is done until it is cleared. */
  | 'frozen';

/** Why an address is in its state; sentences for people are in api/guest-texts.ts. */
export type AddressReason =
  | 'bound'
  | 'arp'
  | 'nd'
  | 'dhcp'
  | 'probe'
  | 'restored'
  | 'noPort'
  | 'noCarrier'
  /** Nothing was heard of the guest's MAC yet. */
  | 'noMac'
  /** The configuration gives the address, the port or the MAC to another binding. */
  | 'configured'
  /** Nobody may have the address. */
  | 'reserved'
  /** Another node announces it, and the guest has not shown itself here. */
  | 'otherNode'
  | 'migration'
  | 'rarp'
  | 'qmpResume'
  | 'higherSequence'
  | 'duplicate';

/** Why something a guest said was not believed. Also names of counters. */
export const refusals = [
  'reserved',
  'notAllowed',
  'otherGuest',
  'otherNode',
  'otherMac',
  'tooMany',
  'tooFast',
  'frozen',
  'routerAdvertisement',
  'redirect',
  'dhcpServer',
  'spoofed4',
  'spoofed6',
  'spoofedArp',
  'spoofedNd',
  'protocol',
  'hypervisor',
] as const;

export type Refusal = (typeof refusals)[number];
