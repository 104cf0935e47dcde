// What guests' links were before leafd changed them: sysctls, MACs, flags of ports, and which addresses are ours. On
// disk before a change is made, so that a crash in between loses nothing; forgotten with the link.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from '../lib/atomic-file-real.ts';
import type { SavedSysctl } from './delta.ts';
import { GUEST_STATE_FILE } from './guest-wish.ts';
import { readStateFile } from './sysctl.ts';

const SCHEMA = 1;

export interface SavedMac {
  /** As hexadecimal digits. */
  before: string;
  now: string;
}

export interface SavedAddress {
  ifindex: number;
  /** As hexadecimal digits. */
  address: string;
  prefixLength: number;
}

export interface GuestState {
  /** By key, as in the state file of `Dataplane`. */
  sysctls: Map<string, SavedSysctl>;
  /** By ifindex. */
  macs: Map<number, SavedMac>;
  /** Ports that leafd isolated, by ifindex. */
  isolated: Set<number>;
  /** Addresses that leafd made, by the key of their object. */
  addresses: Map<string, SavedAddress>;
}

const empty = (): GuestState => ({
  sysctls: new Map(),
  macs: new Map(),
  isolated: new Set(),
  addresses: new Map(),
});

/** Reads the file; an absent one is empty. Throws LeafdError `state-unreadable`. */
export function loadGuestState(stateDir: string): GuestState {
  return readStateFile(join(stateDir, GUEST_STATE_FILE), SCHEMA, empty(), (data) => ({
    sysctls: new Map(Object.entries(data.sysctls as Record<string, SavedSysctl>)),
    macs: new Map(Object.entries(data.macs as Record<string, SavedMac>).map(([i, mac]) => [Number(i), mac])),
    isolated: new Set(data.isolated as number[]),
    addresses: new Map(Object.entries(data.addresses as Record<string, SavedAddress>)),
  }));
}

/** Writes the file atomically; with nothing to remember it is removed. Throws the file system's error. */
export function saveGuestState(stateDir: string, state: GuestState): void {
  const path = join(stateDir, GUEST_STATE_FILE);
  if (isEmpty(state)) {
    rmSync(path, { force: true });
    return;
  }
  const data = {
    schema: SCHEMA,
    sysctls: Object.fromEntries(state.sysctls),
    macs: Object.fromEntries(state.macs),
    isolated: [...state.isolated],
    addresses: Object.fromEntries(state.addresses),
  };
  writeWhole(path, `${JSON.stringify(data)}\n`);
}

export function isEmpty(state: GuestState): boolean {
  return (
    state.sysctls.size === 0 &&
    state.macs.size === 0 &&
    state.isolated.size === 0 &&
    state.addresses.size === 0
  );
}

/** Forgets links that are gone: what they were is nobody's any more. */
export function forgetAbsent(state: GuestState, present: (ifindex: number) => boolean): void {
  for (const [key, { ifindex }] of state.sysctls)
    if (ifindex !== 0 && !present(ifindex)) state.sysctls.delete(key);
  for (const ifindex of state.macs.keys()) if (!present(ifindex)) state.macs.delete(ifindex);
  for (const ifindex of state.isolated) if (!present(ifindex)) state.isolated.delete(ifindex);
  for (const [key, { ifindex }] of state.addresses) if (!present(ifindex)) state.addresses.delete(key);
}
