// Bindings: what is refused before anything changes, and how one comes, changes and goes with as little disturbance as
// can be: what stays named stays announced.
//
// The configuration wins. A binding of an operator or a driver that has the name, the port or the MAC of a configured
// one is kept but has no part in anything (`shadow`); one that only shares an address keeps the rest. Both come back
// when the configuration lets go. Between bindings of equal rank the first one wins, and the second is refused.

import { LeafdError } from '../lib/leafd-error.ts';
import { formatIp } from '../net/ip.ts';
import { formatMac, isStationMac } from '../net/mac.ts';
import { prefixText, samePrefix } from '../net/prefix.ts';
import type { Binding } from './binding.ts';
import { claim, isWithin, judgeLearned, release, reservedFor, settle, wait } from './table-addresses.ts';
import { evict, plug, portFor, setMac, unplug } from './table-macs.ts';
import { tellAddress } from './table-moves.ts';
import { probeSoon, seek } from './table-probes.ts';
import { type BindingEntry, keyOf, limits, namedBy, sameBytes, type TableState } from './table-state.ts';

/** Refuses what is wrong with a binding by itself. Throws LeafdError `bad-request`, `too-many`. */
export function judgeBinding(binding: Binding): void {
  const { name, port, mac, addresses, allowed } = binding;
  const fail = (text: string, hint?: string): never => {
    throw new LeafdError('bad-request', `binding ${name}: ${text}`, hint === undefined ? {} : { hint });
  };
  const tooMany = (text: string): never => {
    throw new LeafdError('too-many', `binding ${name}: ${text}`);
  };
  if (name === '') fail('has no name');
  if (port === undefined && mac === undefined) fail('has neither a port nor a MAC', 'give one of them');
  if (mac !== undefined && !isStationMac(mac)) fail(`${formatMac(mac)} is not the MAC of a guest`);
  if (addresses.length > limits.addresses) tooMany(`more than ${limits.addresses} addresses`);
  if (allowed.length > limits.allowed) tooMany(`more than ${limits.allowed} allowed prefixes`);
}

/** Refuses what nobody may have, where an operator asks for it now. Throws LeafdError `bad-request`. */
export function judgeReserved(state: TableState, binding: Binding): void {
  if (sameBytes(binding.mac, state.options.gatewayMac))
    throw new LeafdError('bad-request', `binding ${binding.name}: the MAC is the gateway's`, {
      hint: 'a guest has a MAC of its own; gatewayMac is that of all hypervisors',
    });
  for (const address of binding.addresses) {
    const whose = reservedFor(state, address);
    if (whose !== undefined)
      throw new LeafdError(
        'bad-request',
        `binding ${binding.name}: ${formatIp(address)} is reserved: ${whose}`,
        { hint: 'give the guest another address' },
      );
  }
  const named = binding.addresses.map((bytes) => ({ bytes, length: bytes.length * 8 }));
  for (const prefix of [...named, ...binding.allowed])
    if (!isWithin(state, binding, prefix))
      throw new LeafdError(
        'bad-request',
        `binding ${binding.name}: ${prefixText(prefix)} is outside of what may be attached`,
        { hint: 'guests.within of the configuration lists what may' },
      );
}

/** What two bindings cannot both have. */
function clashOf(a: Binding, b: Binding): string | undefined {
  if (a.name === b.name) return `the name ${a.name}`;
  if (a.port !== undefined && a.port === b.port) return `port ${a.port}`;
  if (a.mac === undefined || !sameBytes(a.mac, b.mac)) return undefined;
  const apart = a.bridge !== undefined && b.bridge !== undefined && a.bridge !== b.bridge;
  return apart ? undefined : `MAC ${formatMac(a.mac)}`;
}

function conflict(binding: Binding, other: Binding, what: string): LeafdError {
  const where = other.source === 'config' ? ' of the configuration' : '';
  return new LeafdError(
    'conflict',
    `binding ${binding.name}: ${what} belongs to binding ${other.name}${where}`,
    {
      hint: other.source === 'config' ? 'change the configuration' : `detach ${other.name} first`,
    },
  );
}

/** Refuses a binding that wants what another one has. Throws LeafdError `conflict`, `too-many`. */
export function judgeConflicts(state: TableState, binding: Binding): void {
  for (const other of rivalsOf(state, binding))
    throw conflict(binding, other.binding, clashOf(binding, other.binding)!);
  for (const address of binding.addresses) {
    const entry = state.addresses.get(keyOf(address));
    if (entry?.named === true && entry.binding!.binding.name !== binding.name)
      throw conflict(binding, entry.binding!.binding, formatIp(address));
  }
  const known = state.bindings.get(binding.name);
  if (known === undefined && state.bindings.size + state.shadowed.size >= limits.bindings)
    throw new LeafdError(
      'too-many',
      `binding ${binding.name}: there are ${limits.bindings} bindings already`,
      { hint: 'detach those of guests that are no more' },
    );
  if (state.addresses.size + binding.addresses.length - (known?.keys.length ?? 0) > limits.allAddresses)
    throw new LeafdError(
      'too-many',
      `binding ${binding.name}: there are ${limits.allAddresses} addresses already`,
      { hint: 'detach those of guests that are no more' },
    );
}

/** Bindings of other names that have the port or the MAC. */
function rivalsOf(state: TableState, binding: Binding): BindingEntry[] {
  const byPort = binding.port === undefined ? undefined : state.bindingByPort.get(binding.port);
  const byMac = binding.mac === undefined ? [] : (state.bindingsByMac.get(keyOf(binding.mac)) ?? []);
  const rivals = byMac.filter((entry) => clashOf(binding, entry.binding) !== undefined);
  if (byPort !== undefined) rivals.push(byPort);
  return rivals.filter((entry) => entry.binding.name !== binding.name);
}

/** Refuses a configuration that contradicts itself. Throws LeafdError `bad-request`, `conflict`, `too-many`. */
export function judgeConfiguration(bindings: readonly Binding[]): void {
  if (bindings.length > limits.bindings)
    throw new LeafdError('too-many', `there are more than ${limits.bindings} bindings`);
  const seen = new Map<string, Binding>();
  for (const binding of bindings) {
    judgeBinding(binding);
    const keys = [`name ${binding.name}`, ...binding.addresses.map((address) => `address ${keyOf(address)}`)];
    if (binding.port !== undefined) keys.push(`port ${binding.port}`);
    for (const key of new Set(keys)) {
      const other = seen.get(key);
      if (other !== undefined) throw conflict(binding, other, sharedText(binding, other));
      seen.set(key, binding);
    }
  }
  judgeMacs(bindings);
}

function judgeMacs(bindings: readonly Binding[]): void {
  const byMac = new Map<string, Binding[]>();
  for (const binding of bindings) {
    if (binding.mac === undefined) continue;
    const others = byMac.get(keyOf(binding.mac)) ?? [];
    for (const other of others)
      if (clashOf(binding, other) !== undefined) throw conflict(binding, other, clashOf(binding, other)!);
    byMac.set(keyOf(binding.mac), [...others, binding]);
  }
}

function sharedText(a: Binding, b: Binding): string {
  const address = a.addresses.find((one) => b.addresses.some((other) => sameBytes(one, other)));
  return clashOf(a, b) ?? (address === undefined ? 'something' : formatIp(address));
}

/**
 * Makes the binding as it is now, new or in place of one with its name. What it names newly is taken from others where
 * `proof` says so; what it had goes on as it was.
 */
export function putBinding(
  state: TableState,
  binding: Binding,
  proof: 'none' | 'operator' | 'expected',
): BindingEntry {
  const entry = state.bindings.get(binding.name) ?? addBinding(state, binding);
  const before = entry.keys;
  unindex(state, entry);
  entry.binding = binding;
  entry.keys = [...new Set(binding.addresses.map(keyOf))];
  index(state, entry);
  const moved = rematch(state, entry);
  evict(state, entry);
  const kept = new Set(entry.keys);
  for (const address of namedByKeys(state, entry, before))
    if (!kept.has(address.key)) release(state, address, 'removed');
  const had = new Set(namedBy(state, entry).map(({ key }) => key));
  claimAll(state, entry);
  for (const address of namedBy(state, entry))
    settle(state, address, had.has(address.key) && !moved && proof === 'operator' ? 'none' : proof, 'bound');
  if (entry.port !== undefined) {
    judgeLearned(state, entry.port);
    if (entry.port.up) probeSoon(state, entry.port);
  }
  seek(state, entry);
  state.host.changed();
  return entry;
}

function namedByKeys(state: TableState, entry: BindingEntry, keys: readonly string[]) {
  return keys
    .map((key) => state.addresses.get(key))
    .filter((address) => address !== undefined)
    .filter((address) => address.named && address.binding === entry);
}

function addBinding(state: TableState, binding: Binding): BindingEntry {
  const entry = state.alarms.add(
    (alarm): BindingEntry => ({
      kind: 'binding',
      alarm,
      binding,
      keys: [],
      shadow: undefined,
      port: undefined,
      confirmed: false,
      arrivedUntilMs: Number.NEGATIVE_INFINITY,
      counts: {},
    }),
  );
  state.bindings.set(binding.name, entry);
  return entry;
}

function index(state: TableState, entry: BindingEntry): void {
  const { port, mac } = entry.binding;
  if (port !== undefined) state.bindingByPort.set(port, entry);
  if (mac === undefined) return;
  const others = state.bindingsByMac.get(keyOf(mac));
  if (others === undefined) state.bindingsByMac.set(keyOf(mac), [entry]);
  else others.push(entry);
}

function unindex(state: TableState, entry: BindingEntry): void {
  const { port, mac } = entry.binding;
  if (port !== undefined && state.bindingByPort.get(port) === entry) state.bindingByPort.delete(port);
  if (mac === undefined) return;
  const left = (state.bindingsByMac.get(keyOf(mac)) ?? []).filter((other) => other !== entry);
  if (left.length === 0) state.bindingsByMac.delete(keyOf(mac));
  else state.bindingsByMac.set(keyOf(mac), left);
}

/** Finds the port anew; true where it is another than before. */
function rematch(state: TableState, entry: BindingEntry): boolean {
  const target = portFor(state, entry);
  const before = entry.port;
  if (before !== target && before !== undefined) unplug(state, entry);
  if (target === undefined) return before !== undefined;
  const { mac, port } = entry.binding;
  if (before !== target) plug(state, entry, target);
  else if (mac !== undefined) setMac(state, target, mac, port !== undefined || target.macSettled);
  return before !== target;
}

/** Makes the binding name what it says, where the configuration does not say otherwise. */
export function claimAll(state: TableState, entry: BindingEntry): void {
  const { addresses } = entry.binding;
  for (const address of addresses) claim(state, entry, address, keyOf(address));
}

/** Takes a binding away, with its addresses. */
export function dropBinding(
  state: TableState,
  entry: BindingEntry,
  reason: 'detached' | 'removed' | 'cancelled',
): void {
  for (const address of namedBy(state, entry)) release(state, address, reason);
  const port = entry.port;
  unplug(state, entry);
  unindex(state, entry);
  state.bindings.delete(entry.binding.name);
  if (entry.binding.expected?.qmp !== undefined) state.host.qmp(entry.binding.name, undefined);
  state.alarms.remove(entry);
  if (port?.up === true) probeSoon(state, port);
  state.host.changed();
}

/** Whether two bindings say the same; since when does not matter. */
export function isSameBinding(a: Binding, b: Binding): boolean {
  const plain = ({ source, guest, port, bridge, maxAddresses, expected }: Binding): string =>
    JSON.stringify([source, guest, port, bridge, maxAddresses, expected]);
  return (
    plain(a) === plain(b) &&
    sameBytes(a.mac, b.mac) &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((address, at) => sameBytes(address, b.addresses[at])) &&
    a.allowed.length === b.allowed.length &&
    a.allowed.every((prefix, at) => samePrefix(prefix, b.allowed[at]!))
  );
}

/** Before configured bindings get what others of them had: each lets go of what it does not want any more. */
export function makeRoom(state: TableState, binding: Binding): void {
  const entry = state.bindings.get(binding.name);
  if (entry?.binding.source !== 'config') return;
  const { port, mac, bridge } = entry.binding;
  if (port !== binding.port || bridge !== binding.bridge || !sameBytes(mac, binding.mac)) {
    if (port !== binding.port || port === undefined) unplug(state, entry);
    unindex(state, entry);
  }
  for (const address of namedBy(state, entry))
    if (!binding.addresses.some((kept) => sameBytes(kept, address.address)))
      release(state, address, 'removed');
}

/** Who of the others has to make way for a configured binding. */
export function shadowRivals(state: TableState, binding: Binding): void {
  const same = state.bindings.get(binding.name);
  const rivals = rivalsOf(state, binding).filter(({ binding: other }) => other.source !== 'config');
  if (same !== undefined && same.binding.source !== 'config') {
    // What it names goes over to the configured one of the same name without a gap.
    state.shadowed.set(binding.name, shadowOf(state, same.binding, binding.name));
  }
  for (const rival of new Set(rivals)) {
    dropBinding(state, rival, 'removed');
    state.shadowed.set(rival.binding.name, shadowOf(state, rival.binding, binding.name));
  }
}

/** A binding that is only remembered. */
export function shadowOf(state: TableState, binding: Binding, by: string): BindingEntry {
  state.host.changed();
  return {
    kind: 'binding',
    alarm: -1,
    binding,
    keys: binding.addresses.map(keyOf),
    shadow: by,
    port: undefined,
    confirmed: false,
    arrivedUntilMs: Number.NEGATIVE_INFINITY,
    counts: {},
  };
}

/** The configured binding that an entry cannot be beside. */
export function beatenBy(state: TableState, binding: Binding): string | undefined {
  const same = state.bindings.get(binding.name);
  if (same !== undefined) return same.binding.name;
  return rivalsOf(state, binding)[0]?.binding.name;
}

/** The guest that was expected does not come. Nothing was announced, and what is left is as it was before. */
export function cancelExpectation(
  state: TableState,
  entry: BindingEntry,
  reason: 'expired' | 'cancelled',
): void {
  const { expected, ...rest } = entry.binding;
  if (expected === undefined) return;
  const why = reason === 'expired' ? 'it did not come in time' : 'its port is gone';
  for (const address of namedBy(state, entry))
    if (!address.bound)
      tellAddress(state, address, 'guest-detached', reason, `is not expected any more: ${why}`);
  if (expected.alone === true) {
    dropBinding(state, entry, 'cancelled');
    return;
  }
  endExpectation(state, entry, rest);
  for (const address of namedBy(state, entry)) {
    if (address.state === 'expected' && entry.port === undefined) wait(state, address, 'noPort');
    settle(state, address, 'none', 'bound');
  }
}

/** The binding without its expectation. */
export function endExpectation(state: TableState, entry: BindingEntry, binding: Binding): void {
  if (entry.binding.expected?.qmp !== undefined) state.host.qmp(binding.name, undefined);
  entry.binding = binding;
  state.alarms.set(entry, Number.POSITIVE_INFINITY);
  state.host.changed();
}
