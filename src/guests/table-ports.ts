// Ports that come, change and go. A lost carrier is a lost guest only after a second without it; a port that is gone is
// gone at once. What was kept over a restart waits here for its port, and gets it without a frame.

import { LeafdError } from '../lib/leafd-error.ts';
import { parseIp } from '../net/ip.ts';
import { parseMac } from '../net/mac.ts';
import type { AddressReason, KeptAddress } from './binding.ts';
import type { GuestPort } from './ports.ts';
import {
  bindRestored,
  forget,
  isAllowedOn,
  judgeLearned,
  reservedFor,
  settleAll,
  wait,
} from './table-addresses.ts';
import { dropMac, judgeMac, plug, portFor } from './table-macs.ts';
import { bindAgain } from './table-moves.ts';
import { armPort, probeDue, probeInTime, probeSoon, silentFor } from './table-probes.ts';
import {
  addAddress,
  type BindingEntry,
  keyOf,
  limits,
  namedBy,
  type PortEntry,
  type TableState,
  times,
} from './table-state.ts';

/** A port is there. Throws LeafdError `too-many`. */
export function portUp(state: TableState, port: GuestPort): void {
  const before = state.portByName.get(port.name);
  if (before !== undefined && before.port.ifindex !== port.ifindex) portGone(state, before);
  if (state.ports.size >= limits.ports)
    throw new LeafdError('too-many', `${port.name}: there are ${limits.ports} guest ports already`, {
      hint: 'it is shut until another port has gone',
    });
  const entry = state.alarms.add((alarm) => newPort(state, port, alarm));
  state.ports.set(port.ifindex, entry);
  state.portByName.set(port.name, entry);
  const named = state.bindingByPort.get(port.name);
  if (named !== undefined) plug(state, named, entry);
  if (entry.mac === undefined) state.host.admit(entry.port, []);
  if (entry.up) comeUp(state, entry);
  else if (named !== undefined) settleAll(state, named, 'none', 'bound');
}

function newPort(state: TableState, port: GuestPort, alarm: number): PortEntry {
  return {
    kind: 'port',
    alarm,
    port: { ...port },
    up: port.carrier,
    downAtMs: Number.POSITIVE_INFINITY,
    binding: undefined,
    mac: undefined,
    firstMac: undefined,
    sinceMs: state.host.wallMs(),
    macSettled: false,
    defendedUntilMs: undefined,
    learned: new Set(),
    wanted: new Map(),
    lived: false,
    probeStep: 0,
    probeAtMs: Number.POSITIVE_INFINITY,
    tokens: Math.max(1, state.options.learn.perSecond),
    tokensAtMs: state.host.nowMs(),
    refused: new Map(),
    counts: {},
  };
}

/** What is known of a port has changed. */
export function portChanged(state: TableState, entry: PortEntry, port: GuestPort): void {
  const before = entry.port;
  if (before.name !== port.name || before.bridge !== port.bridge) {
    // Another place: what was there has gone, and what is here begins anew.
    portGone(state, entry);
    portUp(state, port);
    return;
  }
  entry.port = { ...port };
  if (before.gatewayIfindex !== port.gatewayIfindex) {
    for (const address of state.addresses.values()) if (address.port === entry) bindAgain(state, address);
    state.host.admit(entry.port, entry.mac === undefined ? [] : [entry.mac.slice()]);
  }
  if (port.carrier) {
    entry.downAtMs = Number.POSITIVE_INFINITY;
    if (!entry.up) {
      entry.up = true;
      comeUp(state, entry);
    }
  } else if (entry.up && entry.downAtMs === Number.POSITIVE_INFINITY)
    entry.downAtMs = state.host.nowMs() + times.carrierLossMs;
  armPort(state, entry);
}

function comeUp(state: TableState, entry: PortEntry): void {
  const kept = takeKept(state, entry);
  restoreMac(state, entry, kept);
  if (entry.binding === undefined) plugAgain(state, entry);
  const binding = entry.binding;
  if (binding !== undefined) settleAll(state, binding, 'none', kept.length > 0 ? 'restored' : 'bound');
  for (const address of kept) restoreLearned(state, entry, address);
  judgeLearned(state, entry);
  probeSoon(state, entry);
  probeDue(state, entry);
  armPort(state, entry);
}

/** A binding with only a MAC that has no other port comes back with the MAC that the port had. */
function plugAgain(state: TableState, entry: PortEntry): void {
  if (entry.mac === undefined) return;
  for (const binding of state.bindingsByMac.get(keyOf(entry.mac)) ?? []) {
    if (binding.port === undefined && portFor(state, binding) === entry) plug(state, binding, entry);
  }
}

function takeKept(state: TableState, entry: PortEntry): readonly KeptAddress[] {
  const kept = state.kept.get(entry.port.name) ?? [];
  state.kept.delete(entry.port.name);
  return state.host.nowMs() < state.keptUntilMs ? kept : [];
}

function restoreMac(state: TableState, entry: PortEntry, kept: readonly KeptAddress[]): void {
  if (entry.mac !== undefined) return;
  for (const { mac: text } of kept) {
    const mac = parseMac(text);
    if (mac === undefined || judgeMac(state, entry, mac) !== undefined) continue;
    // The first frame may still say otherwise: the guest may be another one than before.
    entry.macSettled = false;
    entry.firstMac = undefined;
    if (entry.binding !== undefined) entry.binding.confirmed = false;
    return;
  }
}

function restoreLearned(state: TableState, entry: PortEntry, kept: KeptAddress): void {
  if (kept.state !== 'learned' || entry.mac === undefined) return;
  const address = parseIp(kept.address);
  const most = entry.binding?.binding.maxAddresses ?? state.options.learn.maxAddresses;
  if (address === undefined || entry.learned.size >= most || !state.options.learn.enabled) return;
  if (!isAllowedOn(state, entry, address) || reservedFor(state, address) !== undefined) return;
  const key = keyOf(address);
  if (state.addresses.has(key) || state.addresses.size >= limits.allAddresses) return;
  const learned = addAddress(state, key, address);
  learned.port = entry;
  learned.binding = entry.binding;
  learned.sequence = kept.sequence;
  learned.sinceMs = kept.sinceMs;
  learned.state = 'learned';
  entry.learned.add(learned);
  bindRestored(state, learned, entry);
  probeInTime(state, entry);
}

/** Gives back what was kept to a port that is there already. */
export function restorePort(state: TableState, entry: PortEntry): void {
  if (entry.up && state.kept.has(entry.port.name)) comeUp(state, entry);
}

/** The deadline of a port has come. */
export function portDue(state: TableState, entry: PortEntry): void {
  if (entry.downAtMs <= state.host.nowMs()) goDown(state, entry);
  for (const address of silentFor(state, entry)) forget(state, address, 'forgotten');
  probeDue(state, entry);
  armPort(state, entry);
}

function goDown(state: TableState, entry: PortEntry): void {
  entry.up = false;
  entry.downAtMs = Number.POSITIVE_INFINITY;
  entry.probeAtMs = Number.POSITIVE_INFINITY;
  entry.macSettled = entry.binding?.binding.mac !== undefined && entry.binding.binding.port !== undefined;
  leave(state, entry, 'noCarrier');
}

/** What was on the port is here no longer. */
function leave(state: TableState, entry: PortEntry, reason: AddressReason): void {
  if (entry.binding !== undefined)
    for (const address of namedBy(state, entry.binding)) wait(state, address, reason);
  for (const address of [...entry.learned]) forget(state, address, reason);
  for (const key of [...entry.wanted.keys()]) unwant(state, entry, key);
}

/** The port is gone. Returns its binding where that was waiting for a guest that should have come there. */
export function portGone(state: TableState, entry: PortEntry): BindingEntry | undefined {
  state.ports.delete(entry.port.ifindex);
  state.portByName.delete(entry.port.name);
  leave(state, entry, 'noPort');
  const binding = entry.binding;
  dropMac(state, entry);
  entry.binding = undefined;
  if (binding !== undefined) {
    binding.port = undefined;
    binding.confirmed = false;
    binding.arrivedUntilMs = Number.NEGATIVE_INFINITY;
  }
  state.alarms.remove(entry);
  return binding?.binding.expected !== undefined && !entry.lived ? binding : undefined;
}

/** An address that another node has is asked for on the port when it withdraws. */
export function want(state: TableState, entry: PortEntry, key: string, address: Uint8Array): void {
  if (entry.wanted.has(key)) return;
  if (entry.wanted.size >= limits.wanted) unwant(state, entry, entry.wanted.keys().next().value as string);
  entry.wanted.set(key, address.slice());
  const ports = state.wanted.get(key);
  if (ports === undefined) state.wanted.set(key, new Set([entry]));
  else ports.add(entry);
}

function unwant(state: TableState, entry: PortEntry, key: string): void {
  const address = entry.wanted.get(key)!;
  entry.wanted.delete(key);
  const ports = state.wanted.get(key);
  ports?.delete(entry);
  if (ports?.size !== 0) return;
  state.wanted.delete(key);
  state.host.unwatch(address);
}

/** Nobody else has the address any more: the ports that want it are asked. */
export function askWanting(state: TableState, key: string, address: Uint8Array): void {
  for (const port of state.wanted.get(key) ?? []) state.host.probe(port.port, address.slice());
}
