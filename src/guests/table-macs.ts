// Which MAC a port has, and which binding belongs to a port. One source MAC a port: the one that its binding says, else
// the first that its frames show. Another is believed only after the carrier was gone for a second or the port was made
// anew, so that nobody can change under a permanent neighbour. On one bridge a MAC is on one port: who has it first
// keeps it while his port is up, but a binding that says port and MAC always gets it.
//
// A binding with a port has the port of that name. A binding with only a MAC stays at the first port where a frame
// shows the MAC, while that port is up, and never gets a port that another binding names. A port that has shown another
// MAC before is another guest's; and who was there before a guest was expected is not that guest.

import { isStationMac } from '../net/mac.ts';
import type { Refusal } from './binding.ts';
import { forget, judgeLearned, settleAll, wait } from './table-addresses.ts';
import { bindAgain } from './table-moves.ts';
import {
  type BindingEntry,
  keyOf,
  macKey,
  namedBy,
  type PortEntry,
  sameBytes,
  type TableState,
  times,
} from './table-state.ts';

/** The port that a binding belongs to now, by what it says. */
export function portFor(state: TableState, entry: BindingEntry): PortEntry | undefined {
  const { port: name, mac, bridge } = entry.binding;
  if (name !== undefined) return state.portByName.get(name);
  const fits = (port: PortEntry): boolean =>
    sameBytes(port.mac, mac) &&
    (bridge === undefined || port.port.bridge === bridge) &&
    (port.binding === undefined || port.binding === entry) &&
    mayLand(entry, port, mac!);
  if (entry.port !== undefined && fits(entry.port)) return entry.port;
  if (bridge === undefined) {
    for (const port of state.ports.values()) if (port.up && fits(port)) return port;
    return undefined;
  }
  const port = state.macs.get(`${bridge}|${keyOf(mac!)}`);
  return port?.up === true && fits(port) ? port : undefined;
}

/** A binding with port and MAC has come: other ports lose the MAC, as if its own had been there first. */
export function evict(state: TableState, entry: BindingEntry): void {
  const { mac, port: name, bridge } = entry.binding;
  if (mac === undefined || name === undefined) return;
  const key = bridge === undefined ? undefined : `${bridge}|${keyOf(mac)}`;
  if (key === undefined && entry.port !== undefined) return;
  const squatters = key === undefined ? [...state.ports.values()] : [state.macs.get(key)];
  for (const port of squatters)
    if (port !== undefined && port !== entry.port && sameBytes(port.mac, mac))
      setMac(state, port, undefined, false);
}

/** Gives the port to the binding; one that only has a MAC makes way. Its addresses are settled by the caller. */
export function plug(state: TableState, entry: BindingEntry, port: PortEntry): void {
  if (port.binding !== undefined && port.binding !== entry) unplug(state, port.binding);
  port.binding = entry;
  entry.port = port;
  const mac = entry.binding.mac;
  if (mac !== undefined) setMac(state, port, mac, entry.binding.port !== undefined || entry.confirmed);
}

/** Takes the binding off its port. What the port has learned stays if everybody may have it there. */
export function unplug(state: TableState, entry: BindingEntry): void {
  const port = entry.port;
  if (port === undefined) return;
  entry.port = undefined;
  entry.confirmed = false;
  port.binding = undefined;
  for (const address of namedBy(state, entry)) wait(state, address, 'noPort');
  if (entry.binding.mac !== undefined) port.macSettled = false;
  judgeLearned(state, port);
}

/** Sets the MAC of a port: what was learned with another is forgotten, what a binding names follows. */
export function setMac(
  state: TableState,
  port: PortEntry,
  mac: Uint8Array | undefined,
  settled: boolean,
): void {
  port.macSettled = settled;
  if (sameBytes(port.mac, mac)) return;
  dropMac(state, port);
  for (const entry of [...port.learned]) forget(state, entry, 'removed');
  if (mac !== undefined) {
    const owner = state.macs.get(macKey(port.port, mac));
    if (owner !== undefined) setMac(state, owner, undefined, false);
    port.mac = mac.slice();
    state.macs.set(macKey(port.port, mac), port);
  }
  state.host.admit(port.port, mac === undefined ? [] : [mac.slice()]);
  const binding = port.binding;
  if (binding === undefined) return;
  if (mac !== undefined) for (const entry of namedBy(state, binding)) bindAgain(state, entry);
  else for (const entry of namedBy(state, binding)) wait(state, entry, 'noMac');
}

/** The port has no MAC in the index any more. */
export function dropMac(state: TableState, port: PortEntry): void {
  if (port.mac === undefined) return;
  const key = macKey(port.port, port.mac);
  if (state.macs.get(key) === port) state.macs.delete(key);
  port.mac = undefined;
}

/** Whether a frame with this source MAC is the port's; learns the MAC and finds the binding where both are open. */
export function judgeMac(state: TableState, port: PortEntry, mac: Uint8Array): Refusal | undefined {
  if (sameBytes(port.mac, mac) && port.macSettled) return undefined;
  if (!isStationMac(mac)) return 'otherMac';
  if (sameBytes(mac, state.options.gatewayMac)) return 'reserved';
  const wanted = port.binding?.binding.mac;
  if (wanted !== undefined && !sameBytes(wanted, mac)) {
    // It was put here because it was here before a restart; this is another guest's port now.
    if (port.binding!.binding.port !== undefined || port.binding!.confirmed) return 'otherMac';
    unplug(state, port.binding!);
  }
  if (port.mac !== undefined && port.macSettled && !sameBytes(port.mac, mac)) return 'otherMac';
  const stranger = strangerTo(state, port, mac);
  if (stranger !== undefined) return stranger;
  adopt(state, port, mac);
  return undefined;
}

/** Refuses a MAC that belongs elsewhere. */
function strangerTo(state: TableState, port: PortEntry, mac: Uint8Array): Refusal | undefined {
  for (const entry of state.bindingsByMac.get(keyOf(mac)) ?? []) {
    if (entry === port.binding || !isInScope(entry, port)) continue;
    if (entry.binding.port !== undefined || port.binding !== undefined) return 'otherGuest';
    if (!mayLand(entry, port, mac)) return 'otherGuest';
    if (entry.port !== undefined && entry.port !== port && entry.port.up)
      if (entry.confirmed || isDefended(state, entry.port)) return 'otherGuest';
  }
  const owner = state.macs.get(macKey(port.port, mac));
  if (owner === undefined || owner === port || !owner.up) return undefined;
  return owner.macSettled || isDefended(state, owner) ? 'otherGuest' : undefined;
}

/**
 * A port whose MAC was restored has shown no frame yet, and another one shows the MAC: its guest is asked, and has a
 * moment to answer before it is believed to be gone. Who waits for leafd to start anew takes nothing so.
 */
function isDefended(state: TableState, owner: PortEntry): boolean {
  const nowMs = state.host.nowMs();
  if (owner.defendedUntilMs === undefined) {
    owner.defendedUntilMs = nowMs + times.defendMs;
    const named = owner.binding === undefined ? [] : namedBy(state, owner.binding);
    for (const entry of [...named, ...owner.learned])
      if (entry.bound) state.host.probe(owner.port, entry.address.slice());
  }
  return nowMs < owner.defendedUntilMs;
}

/** Whether a binding with only a MAC can have come to a port that shows the MAC. */
function mayLand(entry: BindingEntry, port: PortEntry, mac: Uint8Array): boolean {
  if (entry.port === port) return true;
  if (port.firstMac !== undefined && !sameBytes(port.firstMac, mac)) return false;
  const { expected } = entry.binding;
  return expected?.sinceMs === undefined || port.sinceMs >= expected.sinceMs;
}

function isInScope(entry: BindingEntry, port: PortEntry): boolean {
  const { bridge, port: name } = entry.binding;
  if (bridge !== undefined) return bridge === port.port.bridge;
  // A port that is there tells where its MAC counts; routed taps do not share a link.
  return name === undefined || entry.port === undefined || entry.port.port.bridge === port.port.bridge;
}

function adopt(state: TableState, port: PortEntry, mac: Uint8Array): void {
  const before = port.mac;
  const owner = state.macs.get(macKey(port.port, mac));
  if (owner !== undefined && owner !== port && owner.binding?.binding.port === undefined && owner.binding)
    unplug(state, owner.binding);
  setMac(state, port, mac, true);
  port.firstMac ??= mac.slice();
  const found = port.binding === undefined ? byMac(state, port, mac) : undefined;
  if (found !== undefined) {
    if (found.port !== undefined && found.port !== port) unplug(state, found);
    plug(state, found, port);
    judgeLearned(state, port);
  }
  const binding = port.binding;
  if (binding === undefined) return;
  if (binding.binding.port === undefined) binding.confirmed = true;
  port.macSettled = true;
  if (found !== undefined || !sameBytes(before, mac)) settleAll(state, binding, 'none', 'bound');
}

function byMac(state: TableState, port: PortEntry, mac: Uint8Array): BindingEntry | undefined {
  const entries = state.bindingsByMac.get(keyOf(mac)) ?? [];
  return entries.find(
    (entry) => entry.binding.port === undefined && isInScope(entry, port) && mayLand(entry, port, mac),
  );
}
