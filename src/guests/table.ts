// The table of guests: who is behind which port, with which addresses, since when and why; what is announced follows
// from it. Pure: it is told of bindings, ports, frames and what other nodes announce, and does what has to be done
// through the host. It believes no frame further than the bindings and the configuration go.
//
// The rules are with those who follow them: table-macs.ts (ports, MACs and bindings), table-addresses.ts (named
// addresses), table-learning.ts (frames), table-moves.ts (other nodes, duplicates), table-bindings.ts (conflicts, the
// configuration), table-ports.ts (carrier, restarts), table-probes.ts (questions), table-refusals.ts, table-views.ts.

import { LeafdError } from '../lib/leafd-error.ts';
import { parseIp } from '../net/ip.ts';
import type { AddressState, Binding, Expectation, KeptAddress, Refusal } from './binding.ts';
import type { GuestHost, GuestPort, Heard, Sighting } from './ports.ts';
import { arrive, forget, judgeLearned, settle, settleAll } from './table-addresses.ts';
import {
  beatenBy,
  cancelExpectation,
  claimAll,
  dropBinding,
  endExpectation,
  isSameBinding,
  judgeBinding,
  judgeConfiguration,
  judgeConflicts,
  judgeReserved,
  makeRoom,
  putBinding,
  shadowOf,
  shadowRivals,
} from './table-bindings.ts';
import { sighted } from './table-learning.ts';
import { addressDue, bindAgain, enter, heardOf, orphan, tellAddress } from './table-moves.ts';
import { askWanting, portChanged, portDue, portGone, portUp, restorePort } from './table-ports.ts';
import { armPort, probeSoon } from './table-probes.ts';
import { type Refusable, refuse } from './table-refusals.ts';
import {
  type AddressEntry,
  addAddress,
  type BindingEntry,
  type Counts,
  type GuestTableOptions,
  keyOf,
  limits,
  namedBy,
  newState,
  type TableState,
  times,
} from './table-state.ts';
import {
  type AddressLook,
  addressesOf,
  type BindingLook,
  keptAddresses,
  keptBindings,
  lookAt,
  lookAtBinding,
  lookAtPort,
  type PortLook,
  type RefusedLook,
  refusalsOf,
} from './table-views.ts';

export type { GuestTableOptions } from './table-state.ts';
export type { AddressLook, BindingLook, PortLook, RefusedLook } from './table-views.ts';

/** Below this a wall clock that is set is asked again when the time of an expectation seems to be over. */
const WALL_RETRY_MS = 50;

/** What `attach` is asked for; with `binding.expected`, what `expect` is. */
export interface AttachOrder {
  binding: Binding;
  keepExpected?: boolean;
}

export class GuestTable {
  readonly #state: TableState;

  constructor(host: GuestHost, options: GuestTableOptions) {
    this.#state = newState(host, options);
  }

  /**
   * The configuration as it is now. Bindings that it no longer has are detached, those that it shares with others win.
   * Throws LeafdError `conflict`, `bad-request`, `too-many` before anything has changed.
   */
  configure(options: GuestTableOptions, configBindings: readonly Binding[]): void {
    const state = this.#state;
    judgeConfiguration(configBindings);
    state.options = options;
    const next = new Map(configBindings.map((binding) => [binding.name, binding]));
    for (const entry of [...state.bindings.values()])
      if (entry.binding.source === 'config' && !next.has(entry.binding.name))
        dropBinding(state, entry, 'removed');
    for (const binding of configBindings) makeRoom(state, binding);
    for (const binding of configBindings) shadowRivals(state, binding);
    for (const binding of configBindings) {
      const before = state.bindings.get(binding.name)?.binding;
      const now =
        before?.expected === undefined ? binding : { ...binding, expected: lasting(before.expected) };
      if (before === undefined || !isSameBinding(before, now)) putBinding(state, now, 'none');
    }
    this.#bringBack();
    this.#judgeAll();
  }

  /** Bindings that another one had beaten, where none does any more. */
  #bringBack(): void {
    const state = this.#state;
    for (const shadow of [...state.shadowed.values()]) {
      const by = beatenBy(state, shadow.binding);
      if (by !== undefined) {
        shadow.shadow = by;
        continue;
      }
      state.shadowed.delete(shadow.binding.name);
      this.#armExpectation(putBinding(state, shadow.binding, 'none'));
    }
  }

  /** What is reserved, allowed and probed may have changed for all. */
  #judgeAll(): void {
    const state = this.#state;
    for (const entry of state.bindings.values()) {
      claimAll(state, entry);
      settleAll(state, entry, 'none', 'bound');
    }
    for (const port of state.ports.values()) {
      judgeLearned(state, port);
      if (port.up) probeSoon(state, port);
      armPort(state, port);
    }
  }

  /**
   * An operator or driver says that the guest is here: its addresses are announced as soon as its port is there; where
   * another node has them now only by an operator's word, else when the guest shows itself. The same name replaces;
   * the same again changes nothing. An expectation ends unless `keepExpected`. Throws LeafdError `conflict`,
   * `bad-request`, `too-many`.
   */
  attach(binding: Binding, options: { keepExpected?: boolean } = {}): void {
    if (binding.expected !== undefined) {
      this.expect(binding);
      return;
    }
    const state = this.#state;
    this.#judge(binding);
    const known = state.bindings.get(binding.name);
    let expected = known?.binding.expected;
    const isLanding = expected !== undefined && options.keepExpected !== true;
    if (known !== undefined && isLanding) this.#land(known);
    if (isLanding) expected = undefined;
    const next = expected === undefined ? binding : { ...binding, expected: lasting(expected) };
    state.shadowed.delete(binding.name);
    if (known !== undefined && !isLanding && isSameBinding(known.binding, next)) return;
    // A driver repeats what its hypervisor's database says, and whoever may edit that need be no operator of the
    // network: the guest has to show itself before it takes what another node announces.
    const proof = binding.source === 'api' ? 'operator' : 'none';
    putBinding(state, next, isLanding ? 'expected' : proof);
    this.#bringBack();
  }

  /** All of them, in their order, or none: before one that is refused is thrown, the others are as they were. */
  attachAll(orders: readonly AttachOrder[]): void {
    const before: { name: string; look: BindingLook | undefined }[] = [];
    try {
      for (const { binding, keepExpected = false } of orders) {
        const { name } = binding;
        const look = this.binding(name);
        this.attach(binding, { keepExpected });
        before.push({ name, look });
      }
    } catch (error) {
      for (const { name, look } of before.reverse()) this.#putBack(name, look);
      throw error;
    }
  }

  /** Not an order: nobody is asked whether it may be, and nothing is taken from other nodes once more. */
  #putBack(name: string, before: BindingLook | undefined): void {
    const state = this.#state;
    const now = state.bindings.get(name);
    if (before !== undefined && before.shadowedBy === undefined) {
      const { expected } = before.binding;
      if (now?.binding.expected?.qmp !== expected?.qmp) state.host.qmp(name, expected?.qmp);
      this.#armExpectation(putBinding(state, before.binding, 'none'));
    } else if (now !== undefined) dropBinding(state, now, 'detached');
    if (before?.shadowedBy !== undefined)
      state.shadowed.set(name, shadowOf(state, before.binding, before.shadowedBy));
    this.#bringBack();
  }

  #judge(binding: Binding): void {
    const state = this.#state;
    const known = state.bindings.get(binding.name);
    if (known?.binding.source === 'config' && binding.source !== 'config')
      throw new LeafdError('conflict', `binding ${binding.name} is in the configuration`, {
        hint: 'change it there',
      });
    judgeBinding(binding);
    judgeReserved(state, binding);
    judgeConflicts(state, binding);
  }

  /**
   * The guest will come here: nothing is announced before its first sign of life. A binding of the configuration
   * keeps what it says and is only expected. Throws as `attach`.
   */
  expect(binding: Binding): void {
    const state = this.#state;
    const { expected } = binding;
    if (expected === undefined)
      throw new LeafdError('bad-request', `binding ${binding.name}: expected until when?`);
    const known = state.bindings.get(binding.name);
    const isConfigured = known?.binding.source === 'config';
    if (!isConfigured) this.#judge(binding);
    const isAlone = known === undefined || known.binding.expected?.alone === true;
    const told = { ...lasting(expected), sinceMs: state.host.wallMs() };
    const now: Expectation = isAlone ? { ...told, alone: true } : told;
    const before = known?.binding.expected?.qmp;
    if (!isConfigured) state.shadowed.delete(binding.name);
    const entry = putBinding(state, { ...(isConfigured ? known.binding : binding), expected: now }, 'none');
    if (before !== now.qmp) state.host.qmp(binding.name, now.qmp);
    this.#armExpectation(entry);
    this.#bringBack();
    const from = now.from === undefined ? '' : ` from ${now.from}`;
    state.host.event({
      kind: 'guest-expected',
      binding: binding.name,
      text: `${binding.name} is expected${from}`,
    });
  }

  #armExpectation({ binding, alarm }: BindingEntry): void {
    const { host, alarms } = this.#state;
    const entry = this.#state.bindings.get(binding.name);
    if (entry?.alarm !== alarm) return;
    const untilMs = binding.expected?.untilMs ?? Number.POSITIVE_INFINITY;
    alarms.set(entry, host.nowMs() + Math.max(0, untilMs - host.wallMs()));
  }

  /** Takes a binding away. False where there is none. Throws LeafdError `conflict` for one of the configuration. */
  detach(name: string): boolean {
    const state = this.#state;
    const entry = state.bindings.get(name);
    if (state.shadowed.delete(name)) {
      state.host.changed();
      return true;
    }
    if (entry === undefined) return false;
    if (entry.binding.source === 'config')
      throw new LeafdError('conflict', `binding ${name} is in the configuration`, {
        hint: 'remove it there and reload',
      });
    dropBinding(state, entry, 'detached');
    this.#bringBack();
    return true;
  }

  /** Ends the freezing of an address; false where it is not frozen. Its guest is asked for it where it is here. */
  clear(address: Uint8Array): boolean {
    const state = this.#state;
    const entry = state.addresses.get(keyOf(address));
    if (entry?.state !== 'frozen') return false;
    state.histories.delete(entry.key);
    enter(state, entry, 'waiting', 'noPort');
    tellAddress(state, entry, 'guest-frozen', 'cleared', 'is not frozen any more');
    const port = entry.port ?? entry.binding?.port;
    if (entry.named) settle(state, entry, 'none', 'bound');
    else forget(state, entry, 'removed');
    if (port?.up === true) state.host.probe(port.port, address.slice());
    return true;
  }

  /** A port is there, or has changed. Throws LeafdError `too-many`. */
  portUp(port: GuestPort): void {
    const entry = this.#state.ports.get(port.ifindex);
    if (entry !== undefined) portChanged(this.#state, entry, port);
    else portUp(this.#state, port);
  }

  portChanged(port: GuestPort): void {
    this.portUp(port);
  }

  portGone(ifindex: number): void {
    const entry = this.#state.ports.get(ifindex);
    if (entry === undefined) return;
    const waited = portGone(this.#state, entry);
    if (waited !== undefined) this.#cancel(waited, 'cancelled');
  }

  #cancel(entry: BindingEntry, reason: 'expired' | 'cancelled'): void {
    cancelExpectation(this.#state, entry, reason);
    this.#bringBack();
  }

  /** A frame of a guest. */
  sighted(ifindex: number, sighting: Sighting): void {
    const port = this.#state.ports.get(ifindex);
    if (port !== undefined) sighted(this.#state, port, sighting, (binding) => this.#land(binding));
  }

  /** A frame that no guest may send was dropped, by the kernel or by us. */
  forbidden(ifindex: number, refusal: Refusal, about: Refusable): void {
    const port = this.#state.ports.get(ifindex);
    if (port !== undefined) refuse(this.#state, port, refusal, about);
  }

  /** What other nodes announce of an address that is watched; undefined when none does any more. */
  heard(address: Uint8Array, heard: Heard | undefined): void {
    const key = keyOf(address);
    const entry = this.#state.addresses.get(key);
    if (entry !== undefined) heardOf(this.#state, entry, heard);
    else if (heard === undefined) askWanting(this.#state, key, address);
  }

  /** QEMU said that the expected guest of a binding runs here now. */
  resumed(binding: string): void {
    const entry = this.#state.bindings.get(binding);
    if (entry?.binding.expected === undefined || !arrive(this.#state, entry)) return;
    this.#land(entry);
    settleAll(this.#state, entry, 'expected', 'qmpResume');
  }

  /** The expected guest is here: for a moment what it brings is part of the move. */
  #land(entry: BindingEntry): void {
    const state = this.#state;
    const { expected: _, ...binding } = entry.binding;
    entry.arrivedUntilMs = state.host.nowMs() + Math.max(times.arrivalMs, state.options.moves.freshForMs);
    endExpectation(state, entry, binding);
  }

  /**
   * What the file kept, in a new life; best before the ports are told. What cannot be used is returned as sentences.
   */
  restore(kept: readonly KeptAddress[], bindings: readonly Binding[]): string[] {
    const state = this.#state;
    const troubles: string[] = [];
    for (const binding of bindings) this.#restoreBinding(binding, troubles);
    state.keptUntilMs = state.host.nowMs() + times.restoreForMs;
    for (const address of kept) this.#restoreAddress(address);
    for (const port of [...state.ports.values()]) restorePort(state, port);
    return troubles;
  }

  #restoreBinding(binding: Binding, troubles: string[]): void {
    const state = this.#state;
    const by = beatenBy(state, binding);
    if (by !== undefined && state.bindings.get(by)!.binding.source === 'config') {
      state.shadowed.set(binding.name, shadowOf(state, binding, by));
      return;
    }
    try {
      judgeBinding(binding);
      if (by !== undefined) judgeConflicts(state, binding);
    } catch (error) {
      if (!(error instanceof LeafdError)) throw error;
      troubles.push(error.message);
      return;
    }
    const entry = putBinding(state, binding, 'none');
    this.#armExpectation(entry);
    if (binding.expected?.qmp !== undefined) state.host.qmp(binding.name, binding.expected.qmp);
  }

  #restoreAddress(kept: KeptAddress): void {
    const state = this.#state;
    const address = parseIp(kept.address);
    if (address === undefined) return;
    const key = keyOf(address);
    if (kept.port !== '') {
      const others = state.kept.get(kept.port);
      if (others === undefined) state.kept.set(kept.port, [kept]);
      else others.push(kept);
    }
    const entry = state.addresses.get(key);
    if (entry !== undefined) this.#restoreEntry(entry, kept);
    else if (kept.state === 'frozen' && state.addresses.size < limits.allAddresses) {
      const frozen = addAddress(state, key, address);
      this.#restoreEntry(frozen, kept);
      orphan(state, frozen);
    }
  }

  #restoreEntry(entry: AddressEntry, kept: KeptAddress): void {
    const state = this.#state;
    if (kept.sequence > entry.sequence) {
      entry.sequence = kept.sequence;
      bindAgain(state, entry);
    }
    entry.sinceMs = kept.sinceMs;
    if (entry.bound) return;
    if (entry.state === 'expected') {
      // It was announced here all the same: its guest was here before it was expected.
      if (kept.state === 'attached') enter(state, entry, 'attached', 'restored');
      return;
    }
    if (kept.state === 'frozen') enter(state, entry, 'frozen', 'duplicate');
    else if (kept.state === 'moved' || kept.state === 'expected') {
      // Other nodes are not heard yet: it must not come back before they could have been.
      enter(state, entry, 'moved', 'otherNode');
      entry.returnDelayMs = times.restoreForMs;
    }
    entry.sinceMs = kept.sinceMs;
  }

  /** The monotonic time at which `advance` has something to do; Infinity for never. */
  nextDeadlineMs(): number {
    return this.#state.alarms.earliestMs;
  }

  /** Does what is due. */
  advance(): void {
    const state = this.#state;
    const nowMs = state.host.nowMs();
    for (;;) {
      const due = state.alarms.takeDue(nowMs);
      if (due === undefined) return;
      if (due.kind === 'port') portDue(state, due);
      else if (due.kind === 'address') addressDue(state, due);
      else this.#expectationDue(due, nowMs);
    }
  }

  #expectationDue(entry: BindingEntry, nowMs: number): void {
    const state = this.#state;
    const { expected } = entry.binding;
    if (expected === undefined) return;
    const leftMs = expected.untilMs - state.host.wallMs();
    if (leftMs <= 0) this.#cancel(entry, 'expired');
    else state.alarms.set(entry, nowMs + Math.max(leftMs, WALL_RETRY_MS));
  }

  /** Every binding, those that are only kept included, and how its addresses are. */
  bindings(): BindingLook[] {
    const { bindings, shadowed } = this.#state;
    return [...bindings.values(), ...shadowed.values()].map((entry) => lookAtBinding(this.#state, entry));
  }

  binding(name: string): BindingLook | undefined {
    const entry = this.#state.bindings.get(name) ?? this.#state.shadowed.get(name);
    return entry === undefined ? undefined : lookAtBinding(this.#state, entry);
  }

  /** The addresses of a binding: those it names, then those learned on its port. */
  addressesOf(name: string): AddressLook[] {
    const entry = this.#state.bindings.get(name) ?? this.#state.shadowed.get(name);
    return entry === undefined ? [] : addressesOf(this.#state, entry);
  }

  ports(): PortLook[] {
    return [...this.#state.ports.values()].map((entry) => lookAtPort(this.#state, entry));
  }

  port(ifindex: number): PortLook | undefined {
    const entry = this.#state.ports.get(ifindex);
    return entry === undefined ? undefined : lookAtPort(this.#state, entry);
  }

  portNamed(name: string): PortLook | undefined {
    const entry = this.#state.portByName.get(name);
    return entry === undefined ? undefined : lookAtPort(this.#state, entry);
  }

  /** How many there are of all, addresses by their state; refusals since the start. */
  sums(): {
    bindings: number;
    ports: number;
    addresses: Partial<Record<AddressState, number>>;
    refused: Counts;
  } {
    const { bindings, shadowed, ports } = this.#state;
    const addresses: Partial<Record<AddressState, number>> = {};
    for (const { state } of this.#state.addresses.values()) addresses[state] = (addresses[state] ?? 0) + 1;
    return { bindings: bindings.size + shadowed.size, ports: ports.size, addresses, refused: this.refused() };
  }

  /** All addresses that the table knows. */
  addresses(): AddressLook[] {
    return [...this.#state.addresses.values()].map((entry) => lookAt(this.#state, entry));
  }

  look(address: Uint8Array): AddressLook | undefined {
    const entry = this.#state.addresses.get(keyOf(address));
    return entry === undefined ? undefined : lookAt(this.#state, entry);
  }

  /** Where an address was refused lately, the latest first. */
  refusals(address: Uint8Array): RefusedLook[] {
    return refusalsOf(this.#state, address);
  }

  /** The settings in force. */
  optionsNow(): GuestTableOptions {
    return this.#state.options;
  }

  /** Refusals since the start, by what was refused. */
  refused(): Counts {
    return { ...this.#state.counts };
  }

  /**
   * Who may be answered with DHCP and router advertisements on a port: its MAC, and what its binding names and has
   * here. Undefined where there is no binding, its guest is still expected, or no frame or binding said the MAC.
   */
  dhcpGuest(ifindex: number): { mac: Uint8Array; addresses: Uint8Array[] } | undefined {
    const port = this.#state.ports.get(ifindex);
    const binding = port?.binding;
    if (port?.mac === undefined || binding === undefined || binding.binding.expected !== undefined)
      return undefined;
    const named = namedBy(this.#state, binding).filter(({ bound }) => bound);
    return { mac: port.mac.slice(), addresses: named.map(({ address }) => address.slice()) };
  }

  /** What the file of attachments keeps. */
  kept(): { bindings: Binding[]; addresses: KeptAddress[] } {
    return { bindings: keptBindings(this.#state), addresses: keptAddresses(this.#state) };
  }
}

/** The expectation of a binding that stays when it is over. */
function lasting({ alone: _, ...expected }: Expectation): Expectation {
  return expected;
}
