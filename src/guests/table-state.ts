// What the table of guests remembers: ports, bindings and addresses, how they are found, and when to look at them
// again. Only data and its bounds; what happens is in the other files named table-*.
//
// A port has one binding at most, and a binding one port. An address has one entry, whoever claims it: either its
// binding names it, or it was learned on a port. So no two ports can ever have it.

import type { GuestLearnIntent, GuestMovesIntent } from '../intent/guests.ts';
import { Deadlines } from '../lib/deadlines.ts';
import type { Prefix } from '../net/prefix.ts';
import type { AddressReason, AddressState, Binding, KeptAddress, Refusal } from './binding.ts';
import type { GuestHost, GuestPort, Heard } from './ports.ts';

/** What the table reads of the configuration; a `GuestsIntent` is one. */
export interface GuestTableOptions {
  /** No guest's frame carries it as its source. */
  gatewayMac: Uint8Array;
  /** What bindings of others than the configuration may name; absent: anything. */
  within?: readonly Prefix[];
  allowed: readonly Prefix[];
  bridges: readonly { name: string; allowed?: readonly Prefix[] }[];
  learn: GuestLearnIntent;
  moves: GuestMovesIntent;
}

export const limits = {
  bindings: 8192,
  /** Of one binding. */
  addresses: 64,
  allowed: 64,
  /** Of all bindings together, and learned ones. */
  allAddresses: 65536,
  ports: 8192,
  /** Refusals of a port that are remembered, so that each makes one event. */
  refusals: 32,
  /** Addresses of a port that wait for another node to withdraw them. */
  wanted: 8,
  /** Addresses whose moves are remembered, and frozen ones that no binding or port has any more. */
  histories: 4096,
  orphans: 4096,
  /** Move sequences are 32 bits of a large community. */
  sequence: 0xffffffff,
} as const;

export const times = {
  /** Carrier may be lost for so long: guests that restart do that. */
  carrierLossMs: 1000,
  refusalEventMs: 10_000,
  /** When a silent guest is asked after its port came up; then at each `learn.probeEveryMs`. */
  probesMs: [0, 300, 1000, 2000],
  /** An expected guest is asked at least so often: it answers in the moment in which it runs. */
  expectedProbeMs: 1000,
  /** After an address was lost, frames that were on their way for so long prove nothing. */
  holdMs: 1000,
  /** What a guest brings within this time of its expected arrival, at least, belongs to its move. */
  arrivalMs: 10_000,
  /** Named addresses that the other node withdrew come back after so long; each time later, up to the most. */
  returnMs: 1000,
  returnMostMs: 60_000,
  /** What was kept waits so long for its port, and for other nodes to be heard. */
  restoreForMs: 60_000,
  /** A guest whose MAC was restored has so long to answer when somebody else shows it. */
  defendMs: 2000,
} as const;

export interface Refused {
  refusal: Refusal;
  address: Uint8Array | undefined;
  mac: Uint8Array | undefined;
  /** Wall time of the last one; monotonic time of the last event. */
  lastWallMs: number;
  eventMs: number;
  count: number;
}

export type Counts = Partial<Record<Refusal, number>>;

export interface PortEntry {
  readonly kind: 'port';
  readonly alarm: number;
  port: GuestPort;
  /** With carrier, or without for less than `carrierLossMs`. */
  up: boolean;
  /** When it is down, Infinity while it has carrier. */
  downAtMs: number;
  binding: BindingEntry | undefined;
  /** The one source MAC of its frames. */
  mac: Uint8Array | undefined;
  /** The first one that its frames have shown since it was made, whatever its carrier did. */
  firstMac: Uint8Array | undefined;
  /** Wall time at which it was made, as far as is known here. */
  readonly sinceMs: number;
  /** A frame has shown `mac` since the port came up, or the binding says it: no other is taken. */
  macSettled: boolean;
  /** Another port has shown `mac` while it was not settled: until then it is not given away. */
  defendedUntilMs: number | undefined;
  /** Learned here; those that went away by a move included. */
  readonly learned: Set<AddressEntry>;
  /** Refused because another node has them; asked for when it withdraws. */
  readonly wanted: Map<string, Uint8Array>;
  /** Something was bound here since the port is there. */
  lived: boolean;
  probeStep: number;
  probeAtMs: number;
  /** New addresses that may be learned now. */
  tokens: number;
  tokensAtMs: number;
  readonly refused: Map<string, Refused>;
  readonly counts: Counts;
}

export interface BindingEntry {
  readonly kind: 'binding';
  readonly alarm: number;
  binding: Binding;
  /** Keys of its addresses. */
  keys: readonly string[];
  /** The configured binding that has its name, port or MAC; then it has no part in anything. */
  shadow: string | undefined;
  port: PortEntry | undefined;
  /** A binding with only a MAC: a frame has shown it on `port` in this life of ours. */
  confirmed: boolean;
  /** After an expected guest has come: until then what it brings is part of the move. */
  arrivedUntilMs: number;
  readonly counts: Counts;
}

export interface AddressEntry {
  readonly kind: 'address';
  readonly alarm: number;
  readonly key: string;
  readonly address: Uint8Array;
  /** Whether `binding` names it; else it was learned on `port`. */
  named: boolean;
  binding: BindingEntry | undefined;
  /** Where it is bound, or was learned. */
  port: PortEntry | undefined;
  state: AddressState;
  reason: AddressReason;
  /** Wall time. */
  sinceMs: number;
  bound: boolean;
  sequence: number;
  fresh: boolean;
  /** What other nodes say now, and the highest sequence they ever said. */
  heard: Heard | undefined;
  highest: number;
  /** Monotonic time of the last frame. */
  seenMs: number;
  /** The guest showed itself while that proved nothing yet. */
  noted: boolean;
  /** It was taken from another node without being expected: losing it again counts. */
  tookUnexpectedly: boolean;
  returnDelayMs: number;
  freshUntilMs: number;
  holdUntilMs: number;
  returnAtMs: number;
}

export interface TableState {
  readonly host: GuestHost;
  options: GuestTableOptions;
  readonly ports: Map<number, PortEntry>;
  readonly portByName: Map<string, PortEntry>;
  readonly bindings: Map<string, BindingEntry>;
  /** Bindings of others that a configured one beats, by name. */
  readonly shadowed: Map<string, BindingEntry>;
  readonly bindingByPort: Map<string, BindingEntry>;
  readonly bindingsByMac: Map<string, BindingEntry[]>;
  readonly addresses: Map<string, AddressEntry>;
  /** Which port has a source MAC, by link and MAC. */
  readonly macs: Map<string, PortEntry>;
  /** Ports that want an address which another node has. */
  readonly wanted: Map<string, Set<PortEntry>>;
  /** Unexpected moves, monotonic times. */
  readonly histories: Map<string, number[]>;
  /** Frozen addresses without binding or port. */
  readonly orphans: Set<AddressEntry>;
  /** What was kept of ports that are not there yet, until `keptUntilMs`. */
  readonly kept: Map<string, KeptAddress[]>;
  keptUntilMs: number;
  readonly alarms: Alarms;
  /** Everything that was ever refused, also on ports that are gone. */
  readonly counts: Counts;
}

export type Alarmed = PortEntry | BindingEntry | AddressEntry;

/** Deadlines of the entries. Each has the number `alarm`, from `add` until `remove`. */
export class Alarms {
  readonly #deadlines = new Deadlines();
  readonly #owners: (Alarmed | undefined)[] = [];
  readonly #free: number[] = [];

  /** The entry made with its number. */
  add<T extends Alarmed>(make: (alarm: number) => T): T {
    const alarm = this.#free.pop() ?? this.#owners.length;
    const owner = make(alarm);
    this.#owners[alarm] = owner;
    return owner;
  }

  remove(owner: Alarmed): void {
    this.#deadlines.delete(owner.alarm);
    this.#owners[owner.alarm] = undefined;
    this.#free.push(owner.alarm);
  }

  set(owner: Alarmed, atMs: number): void {
    this.#deadlines.set(owner.alarm, atMs);
  }

  get earliestMs(): number {
    return this.#deadlines.earliestMs;
  }

  /** An entry whose deadline has come, and which has none from here on. */
  takeDue(nowMs: number): Alarmed | undefined {
    const alarm = this.#deadlines.takeDue(nowMs);
    return alarm < 0 ? undefined : this.#owners[alarm];
  }
}

export function newState(host: GuestHost, options: GuestTableOptions): TableState {
  return {
    host,
    options,
    ports: new Map(),
    portByName: new Map(),
    bindings: new Map(),
    shadowed: new Map(),
    bindingByPort: new Map(),
    bindingsByMac: new Map(),
    addresses: new Map(),
    macs: new Map(),
    wanted: new Map(),
    histories: new Map(),
    orphans: new Set(),
    kept: new Map(),
    keptUntilMs: Number.NEGATIVE_INFINITY,
    alarms: new Alarms(),
    counts: {},
  };
}

/** Bytes as a key of a Map: addresses of both families, and MACs. */
export function keyOf(bytes: Uint8Array): string {
  return String.fromCharCode.apply(undefined, bytes as unknown as number[]);
}

export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined || a.length !== b.length) return a === b;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Where a MAC can be on one port only: the bridge, or the tap itself. */
export function macKey(port: GuestPort, mac: Uint8Array): string {
  return `${port.bridge ?? `#${port.ifindex}`}|${keyOf(mac)}`;
}

/** The addresses that the binding names and has: not those that the configuration gives to another. */
export function namedBy(state: TableState, binding: BindingEntry): AddressEntry[] {
  const entries: AddressEntry[] = [];
  for (const key of binding.keys) {
    const entry = state.addresses.get(key);
    if (entry?.named === true && entry.binding === binding) entries.push(entry);
  }
  return entries;
}

/** A new entry, which other nodes are watched for from here on. */
export function addAddress(state: TableState, key: string, address: Uint8Array): AddressEntry {
  const heard = state.host.watch(address);
  const entry = state.alarms.add(
    (alarm): AddressEntry => ({
      kind: 'address',
      alarm,
      key,
      address: address.slice(),
      named: false,
      binding: undefined,
      port: undefined,
      state: 'waiting',
      reason: 'noPort',
      sinceMs: state.host.wallMs(),
      bound: false,
      sequence: 0,
      fresh: false,
      heard,
      highest: heard?.sequence ?? 0,
      seenMs: state.host.nowMs(),
      noted: false,
      tookUnexpectedly: false,
      returnDelayMs: times.returnMs,
      freshUntilMs: Number.POSITIVE_INFINITY,
      holdUntilMs: Number.NEGATIVE_INFINITY,
      returnAtMs: Number.POSITIVE_INFINITY,
    }),
  );
  state.addresses.set(key, entry);
  for (const port of state.wanted.get(key) ?? []) port.wanted.delete(key);
  state.wanted.delete(key);
  return entry;
}

/** Takes an entry that is not bound out of everything. */
export function removeAddress(state: TableState, entry: AddressEntry): void {
  entry.port?.learned.delete(entry);
  state.orphans.delete(entry);
  state.addresses.delete(entry.key);
  state.alarms.remove(entry);
  state.host.unwatch(entry.address);
}

/** The next time at which an address has to be looked at. */
export function armAddress(state: TableState, entry: AddressEntry): void {
  const hold = entry.noted ? entry.holdUntilMs : Number.POSITIVE_INFINITY;
  state.alarms.set(entry, Math.min(entry.freshUntilMs, hold, entry.returnAtMs));
}
