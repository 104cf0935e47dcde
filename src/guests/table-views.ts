// What is told of the table: plain values, copied, for the API and for answers to DHCP. Nothing here changes anything.

import { formatIp } from '../net/ip.ts';
import { formatMac } from '../net/mac.ts';
import type { AddressReason, AddressState, Binding, KeptAddress, Refusal } from './binding.ts';
import {
  type AddressEntry,
  type BindingEntry,
  type Counts,
  keyOf,
  type PortEntry,
  sameBytes,
  type TableState,
} from './table-state.ts';

export interface AddressLook {
  address: Uint8Array;
  state: AddressState;
  reason: AddressReason;
  /** Milliseconds since 1970. */
  sinceMs: number;
  /** Routed, filtered and announced here. */
  bound: boolean;
  /** Named by its binding; else learned. */
  named: boolean;
  sequence: number;
  fresh: boolean;
  /** The highest sequence that other nodes announce it with now. */
  heard?: number;
  binding?: string;
  port?: string;
  ifindex?: number;
  mac?: Uint8Array;
  /** Milliseconds since the last frame with it, where one came. */
  quietMs?: number;
}

export interface BindingLook {
  binding: Binding;
  /** The configured binding that beats it: then it is only kept. */
  shadowedBy?: string;
  /** The port that it has now. */
  port?: string;
  ifindex?: number;
  /** Of the port: configured or first seen. */
  mac?: Uint8Array;
  addresses: AddressLook[];
  refused: Counts;
}

export interface PortLook {
  ifindex: number;
  name: string;
  bridge?: string;
  /** With carrier, or without for less than a second. */
  up: boolean;
  binding?: string;
  mac?: Uint8Array;
  /** Addresses learned on it; those of its binding are the binding's. */
  learned: AddressLook[];
  refused: Counts;
}

export interface RefusedLook {
  refusal: Refusal;
  port: string;
  binding?: string;
  mac?: Uint8Array;
  /** Of the last one, milliseconds since 1970. */
  lastMs: number;
  count: number;
}

export function lookAt(state: TableState, entry: AddressEntry): AddressLook {
  const port = entry.port ?? entry.binding?.port;
  return {
    address: entry.address.slice(),
    state: entry.state,
    reason: entry.reason,
    sinceMs: entry.sinceMs,
    bound: entry.bound,
    named: entry.named,
    sequence: entry.sequence,
    fresh: entry.fresh,
    quietMs: Math.max(0, state.host.nowMs() - entry.seenMs),
    ...(entry.heard === undefined ? {} : { heard: entry.heard.sequence }),
    ...(entry.binding === undefined ? {} : { binding: entry.binding.binding.name }),
    ...(port === undefined ? {} : { port: port.port.name, ifindex: port.port.ifindex }),
    ...(port?.mac === undefined ? {} : { mac: port.mac.slice() }),
  };
}

/** Addresses that a binding names, in its order, then what was learned on its port. */
export function addressesOf(state: TableState, entry: BindingEntry): AddressLook[] {
  const named = entry.binding.addresses.map((address) => {
    const own = state.addresses.get(keyOf(address));
    if (entry.shadow === undefined && own?.named === true && own.binding === entry) return lookAt(state, own);
    return beaten(entry, address);
  });
  const learned = [...(entry.port?.learned ?? [])].map((address) => lookAt(state, address));
  return [...named, ...learned];
}

/** An address that the configuration gives to another binding. */
function beaten(entry: BindingEntry, address: Uint8Array): AddressLook {
  return {
    address: address.slice(),
    state: 'waiting',
    reason: 'configured',
    sinceMs: entry.binding.sinceMs,
    bound: false,
    named: true,
    sequence: 0,
    fresh: false,
    binding: entry.binding.name,
  };
}

export function lookAtBinding(state: TableState, entry: BindingEntry): BindingLook {
  const port = entry.port;
  return {
    binding: entry.binding,
    ...(entry.shadow === undefined ? {} : { shadowedBy: entry.shadow }),
    ...(port === undefined ? {} : { port: port.port.name, ifindex: port.port.ifindex }),
    ...(port?.mac === undefined ? {} : { mac: port.mac.slice() }),
    addresses: addressesOf(state, entry),
    refused: { ...entry.counts },
  };
}

export function lookAtPort(state: TableState, entry: PortEntry): PortLook {
  return {
    ifindex: entry.port.ifindex,
    name: entry.port.name,
    ...(entry.port.bridge === undefined ? {} : { bridge: entry.port.bridge }),
    up: entry.up,
    ...(entry.binding === undefined ? {} : { binding: entry.binding.binding.name }),
    ...(entry.mac === undefined ? {} : { mac: entry.mac.slice() }),
    learned: [...entry.learned].map((address) => lookAt(state, address)),
    refused: { ...entry.counts },
  };
}

/** What was refused of an address on all ports that are there, the latest first. */
export function refusalsOf(state: TableState, address: Uint8Array): RefusedLook[] {
  const looks: RefusedLook[] = [];
  for (const port of state.ports.values())
    for (const refused of port.refused.values())
      if (sameBytes(refused.address, address) && refused.address !== undefined)
        looks.push({
          refusal: refused.refusal,
          port: port.port.name,
          ...(port.binding === undefined ? {} : { binding: port.binding.binding.name }),
          ...(refused.mac === undefined ? {} : { mac: refused.mac.slice() }),
          lastMs: refused.lastWallMs,
          count: refused.count,
        });
  return looks.sort((a, b) => b.lastMs - a.lastMs);
}

/** What the file of attachments keeps of the addresses; those that nothing was done for are not in it. */
export function keptAddresses(state: TableState): KeptAddress[] {
  const kept: KeptAddress[] = [];
  for (const entry of state.addresses.values()) {
    if (entry.state === 'waiting' && entry.sequence === 0) continue;
    const port = entry.port ?? entry.binding?.port;
    const address = formatIp(entry.address);
    const name = port?.port.name ?? '';
    const mac = port?.mac === undefined ? '' : formatMac(port.mac);
    const { binding, state: now, reason, sinceMs, sequence } = entry;
    // The same keys in the same order, without copying: this is done for thousands with each change.
    if (binding === undefined) kept.push({ address, port: name, mac, state: now, reason, sinceMs, sequence });
    else
      kept.push({
        binding: binding.binding.name,
        address,
        port: name,
        mac,
        state: now,
        reason,
        sinceMs,
        sequence,
      });
  }
  return kept;
}

/** Bindings for the file: not those of the configuration. */
export function keptBindings(state: TableState): Binding[] {
  const all = [...state.bindings.values(), ...state.shadowed.values()];
  return all.map(({ binding }) => binding).filter(({ source }) => source !== 'config');
}
