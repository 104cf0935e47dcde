// Which addresses a port has by right: those that its binding names, as soon as the port can carry them, and learned
// ones for as long as they are allowed. A named address needs no frame of its guest, with two exceptions: the MAC has
// to be known, and where another node announces the address a port that merely came up proves nothing (the incoming
// end of a live migration looks the same): then the guest has to show itself, for which it is asked. An operator who
// attaches says that the guest is here, and takes it at once.

import { isIp4Mapped, isLinkLocal6, isLoopback6, isMulticast6, isUnspecified } from '../net/ip.ts';
import { type Prefix, prefixContains, prefixContainsIp } from '../net/prefix.ts';
import type { AddressReason, Binding } from './binding.ts';
import {
  bind,
  bindFree,
  comeBack,
  enter,
  isHeld,
  orphan,
  returnLater,
  take,
  tellAddress,
  unbind,
} from './table-moves.ts';
import { probeSoon } from './table-probes.ts';
import {
  type AddressEntry,
  addAddress,
  armAddress,
  type BindingEntry,
  namedBy,
  type PortEntry,
  removeAddress,
  type TableState,
} from './table-state.ts';

/** Why a named address should be here: nothing but its binding, the operator's word, or a move that was expected. */
export type Proof = 'none' | 'operator' | 'expected';

/** What may be learned on a port. */
export function allowedOn(state: TableState, port: PortEntry): readonly Prefix[] {
  const binding = port.binding?.binding;
  if (binding !== undefined) return binding.allowed.filter((prefix) => isWithin(state, binding, prefix));
  const bridge = state.options.bridges.find(({ name }) => name === port.port.bridge);
  return bridge?.allowed ?? state.options.allowed;
}

export function isAllowedOn(state: TableState, port: PortEntry, address: Uint8Array): boolean {
  return allowedOn(state, port).some((prefix) => prefixContainsIp(prefix, address));
}

/** Whose an address is that no guest may have; undefined for the others. */
export function reservedFor(state: TableState, address: Uint8Array): string | undefined {
  const whose = state.host.reserved(address);
  if (whose !== undefined) return whose;
  return isHostAddress(address) ? undefined : 'not the address of a host';
}

function isHostAddress(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] !== 0 && address[0] !== 127 && address[0]! < 224;
  const special =
    isMulticast6(address) || isLinkLocal6(address) || isLoopback6(address) || isUnspecified(address);
  return !special && !isIp4Mapped(address);
}

/** Whether a binding may name a prefix: the configuration's may name any, the others what it leaves to them. */
export function isWithin({ options }: TableState, { source }: Binding, prefix: Prefix): boolean {
  const { within } = options;
  return source === 'config' || within === undefined || within.some((one) => prefixContains(one, prefix));
}

/** Puts all that a binding names into the state that its port allows now. */
export function settleAll(
  state: TableState,
  binding: BindingEntry,
  proof: Proof,
  reason: AddressReason,
): void {
  for (const entry of namedBy(state, binding)) settle(state, entry, proof, reason);
}

/** The same for one address that a binding names. `reason` is said where it gets bound. */
export function settle(state: TableState, entry: AddressEntry, proof: Proof, reason: AddressReason): void {
  if (entry.state === 'frozen') return;
  const binding = entry.binding!;
  const port = binding.port;
  if (port === undefined || !port.up) {
    wait(state, entry, port === undefined ? 'noPort' : 'noCarrier');
    return;
  }
  const host = { bytes: entry.address, length: entry.address.length * 8 };
  const isOpen = reservedFor(state, entry.address) === undefined && isWithin(state, binding.binding, host);
  const obstacle = isOpen ? undefined : 'reserved';
  if (obstacle !== undefined || port.mac === undefined) {
    wait(state, entry, obstacle ?? 'noMac');
    if (obstacle === undefined) probeSoon(state, port);
    return;
  }
  if (entry.bound) return;
  if (binding.binding.expected !== undefined && entry.state !== 'attached') {
    enter(state, entry, 'expected', 'migration');
    probeSoon(state, port);
    return;
  }
  place(state, entry, port, state.host.nowMs() < binding.arrivedUntilMs ? 'expected' : proof, reason);
}

function place(
  state: TableState,
  entry: AddressEntry,
  port: PortEntry,
  proof: Proof,
  reason: AddressReason,
): void {
  if (entry.heard === undefined) {
    // One that moved away and was withdrawn there has its own way back.
    if (entry.state === 'moved' && proof === 'none') {
      if (entry.returnAtMs === Number.POSITIVE_INFINITY) returnLater(state, entry, entry.returnDelayMs);
      return;
    }
    bindFree(state, entry, port, reason, proof !== 'none', proof === 'expected');
  } else if (proof !== 'none') take(state, entry, port, reason, proof === 'expected');
  else if (entry.state !== 'moved') {
    enter(state, entry, 'moved', 'otherNode');
    probeSoon(state, port);
  }
}

/** A named address cannot be here now. */
export function wait(state: TableState, entry: AddressEntry, reason: AddressReason): void {
  const wasBound = entry.bound;
  unbind(state, entry);
  entry.port = undefined;
  entry.noted = false;
  entry.returnAtMs = Number.POSITIVE_INFINITY;
  armAddress(state, entry);
  if (entry.state === 'frozen') return;
  enter(state, entry, entry.binding?.binding.expected === undefined ? 'waiting' : 'expected', reason);
  if (wasBound) tellAddress(state, entry, 'guest-detached', reason, saidOf(reason));
}

function saidOf(reason: AddressReason): string {
  if (reason === 'noPort') return 'is not here any more: the port is gone';
  if (reason === 'noCarrier') return 'is not here any more: the port has no carrier';
  return 'is not announced any more';
}

/** Makes the binding the one that names the address; false where a configured one of another name has it. */
export function claim(state: TableState, binding: BindingEntry, address: Uint8Array, key: string): boolean {
  const entry = state.addresses.get(key);
  if (entry === undefined) {
    const made = addAddress(state, key, address);
    made.named = true;
    made.binding = binding;
    return true;
  }
  if (entry.named) {
    if (entry.binding === binding) return true;
    if (binding.binding.source !== 'config' || entry.binding!.binding.source === 'config') return false;
    wait(state, entry, 'configured');
  } else if (entry.bound && entry.port === binding.port) {
    // Learned where it is declared now: it stays as it is.
    entry.port!.learned.delete(entry);
    name(state, entry, binding);
    enter(state, entry, 'attached', entry.reason);
    return true;
  } else if (entry.state !== 'frozen') loseToNamed(state, entry);
  name(state, entry, binding);
  return true;
}

function name(state: TableState, entry: AddressEntry, binding: BindingEntry): void {
  state.orphans.delete(entry);
  entry.named = true;
  entry.binding = binding;
  state.host.changed();
}

function loseToNamed(state: TableState, entry: AddressEntry): void {
  const wasBound = entry.bound;
  unbind(state, entry);
  enter(state, entry, 'waiting', 'noPort');
  if (wasBound) tellAddress(state, entry, 'guest-detached', 'removed', 'belongs to a binding now');
  entry.port?.learned.delete(entry);
  entry.port = undefined;
  entry.noted = false;
  armAddress(state, entry);
}

/** The binding does not name the address any more. */
export function release(
  state: TableState,
  entry: AddressEntry,
  reason: 'detached' | 'removed' | 'cancelled',
): void {
  const wasBound = entry.bound;
  unbind(state, entry);
  if (wasBound) tellAddress(state, entry, 'guest-detached', reason, `was ${reason}`);
  if (entry.state === 'frozen') orphan(state, entry);
  else removeAddress(state, entry);
  state.host.changed();
}

/** A learned address is the port's no longer. */
export function forget(
  state: TableState,
  entry: AddressEntry,
  reason: AddressReason | 'forgotten' | 'removed',
): void {
  const wasBound = entry.bound;
  unbind(state, entry);
  if (wasBound) tellAddress(state, entry, 'guest-detached', reason, 'is not learned any more');
  if (entry.state === 'frozen') orphan(state, entry);
  else removeAddress(state, entry);
  state.host.changed();
}

/** What was learned on a port, when it or what is allowed there has changed: the rest is forgotten. */
export function judgeLearned(state: TableState, port: PortEntry): void {
  for (const entry of [...port.learned]) {
    const fits = isAllowedOn(state, port, entry.address) && reservedFor(state, entry.address) === undefined;
    if (!fits || !state.options.learn.enabled) forget(state, entry, 'removed');
    else entry.binding = port.binding;
  }
}

/** An address that was kept and whose guest was here: as it was, without a word to the network. */
export function bindRestored(state: TableState, entry: AddressEntry, port: PortEntry): void {
  bind(state, entry, port, 'restored');
}

/** The guest has shown itself with an address that its binding names, or that was learned here. */
export function shown(
  state: TableState,
  entry: AddressEntry,
  port: PortEntry,
  reason: AddressReason,
  expected: boolean,
): void {
  entry.seenMs = state.host.nowMs();
  if (entry.state === 'moved') comeBack(state, entry, port, reason, expected);
}

/** An expected guest is here: true where it proves something (see table-moves.ts on what is held). */
export function arrive(state: TableState, binding: BindingEntry): boolean {
  let held = false;
  for (const entry of namedBy(state, binding)) held = isHeld(state, entry) || held;
  return !held;
}
