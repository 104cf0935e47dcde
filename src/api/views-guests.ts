// The JSON shapes of guests: what is shown of them and what is asked of them over REST. A part of views.ts, which
// hands them on; like it this file imports nothing but types, and changes are additive only.

import type { ReasonView } from './views.ts';

export interface GuestsView {
  guests: GuestView[];
}

/** `waiting`: its port is not here. `moved`: on another node, packets are sent after it. */
export type GuestStateView = 'waiting' | 'expected' | 'attached' | 'learned' | 'moved' | 'frozen';

/** A binding with what is there of it; or a port with addresses that no binding is for (`source` learned). */
export interface GuestView {
  /** The binding's; of a port without one, the port's; of an address without either, the address. */
  name: string;
  source: 'config' | 'api' | 'proxmox' | 'libvirt' | 'lxd' | 'learned';
  /** The VM or container. */
  guest?: string;
  /** Where it is, or else where it is looked for. */
  port?: string;
  mac?: string;
  bridge?: string;
  /** The gravest of its addresses. */
  state: GuestStateView;
  reason: ReasonView;
  since: string;
  sinceSeconds: number;
  addresses: GuestAddressView[];
  /** What may be learned beside the addresses of the binding. */
  allowed: string[];
  maxAddresses?: number;
  /** It still runs elsewhere. */
  expected?: { from?: string; until: string; remainingSeconds: number; qmp?: string };
  /** The binding of leafd.yaml that has its name, port, MAC or addresses: until that is gone this one does nothing. */
  shadowedBy?: string;
  /** What it said and was not believed, by refusal. */
  refused?: Record<string, number>;
  /** Packets of its port that the kernel dropped, by refusal. */
  dropped?: Record<string, number>;
}

export interface GuestAddressView {
  address: string;
  state: GuestStateView;
  reason: ReasonView;
  since: string;
  sinceSeconds: number;
  binding?: string;
  port?: string;
  mac?: string;
  /** Large community ASN:28022:SEQUENCE of its route. */
  sequence: number;
  /** A move so recent that it is announced as better than a settled one (ASN:28023:SEQUENCE). */
  fresh: boolean;
}

/** Something a guest said that was not believed, or sent that was dropped. */
export interface GuestRefusalView {
  /** The last time. */
  at: string;
  ageSeconds: number;
  /** `code` is also the name of the counter and of the kernel's log prefix. */
  reason: ReasonView;
  port: string;
  mac?: string;
  binding?: string;
  count: number;
}

/** What is known of an address as a guest's. */
export interface GuestWhyView {
  address: string;
  /** In one sentence. */
  summary: string;
  /** Absent: no guest of this machine has it. */
  state?: GuestStateView;
  reason?: ReasonView;
  since?: string;
  sinceSeconds?: number;
  binding?: string;
  guest?: string;
  port?: string;
  mac?: string;
  sequence?: number;
  fresh?: boolean;
  expected?: GuestView['expected'];
  /** Highest move sequence that other nodes announce; absent where they announce nothing. */
  heardSequence?: number;
  /** Whose it is when it can be no guest's. */
  reserved?: string;
  /** About this address, the latest first. */
  refusals: GuestRefusalView[];
}

/** Of the whole machine. */
export interface GuestCountsView {
  bindings: number;
  /** Ports that are here. */
  ports: number;
  /** By state. */
  addresses: Record<GuestStateView, number>;
  /** What guests said and was not believed, by refusal; those that never happened are absent. */
  refused: Record<string, number>;
  /** Packets of guests that the kernel dropped, by refusal. */
  dropped?: Record<string, number>;
  /** How often frames of guests went unheard, because more came than leafd could read; absent where never. */
  unheard?: number;
  /** What the kernel has not taken, a text each. */
  failures?: string[];
}

/** `POST /v1/guests`: one, or `{"guests": [...]}`, which are attached all or none. */
export interface AttachBody {
  /** Unique; a binding of the same name is replaced. */
  name: string;
  guest?: string;
  /** At least one of `port` and `mac`. */
  port?: string;
  mac?: string;
  /** Where a MAC alone is looked for. */
  bridge?: string;
  addresses?: string[];
  /** Prefixes. */
  allowed?: string[];
  maxAddresses?: number;
  /** Who asks; `api` unless given. */
  source?: 'api' | 'proxmox' | 'libvirt' | 'lxd';
  /** A guest that is expected stays so. */
  keepExpected?: boolean;
  /** Expected from here on, instead of attached. */
  expect?: ExpectBody;
}

/**
 * `POST /v1/guests/NAME/expect`: these beside the fields of AttachBody without its name. Without `port` and `mac` the
 * binding of this name that is there is expected.
 */
export interface ExpectBody {
  /** Node it comes from, for people. */
  from?: string;
  /** A duration, `1h`; `guests.moves.expectFor` unless given. */
  for?: string;
  /** Path of a QMP socket that tells RESUME. */
  qmp?: string;
}

/** `DELETE /v1/guests/NAME`. */
export interface DetachView {
  name: string;
  text: string;
}

/** `POST /v1/guests/clear {"address": "…"}`. */
export interface ClearView {
  address: string;
  text: string;
}
