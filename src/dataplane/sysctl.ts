// Sysctls of a namespace through /proc/sys, and the file that remembers what they were before leafd changed
// them. The original is on disk before the new value is written, so that a crash in between loses nothing.
// Restoring leaves alone what somebody else has changed since, and what belonged to a link that is gone.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from '../lib/atomic-file-real.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { withNetns } from '../netlink/netns.ts';
import type { SavedSysctl } from './delta.ts';

const FILE = 'kernel-state.json';
const SCHEMA = 1;

/** One namespace's /proc/sys. `read` is undefined where there is no such key. */
export interface SysctlPort {
  read(path: string): string | undefined;
  /** Throws the file system's error. */
  write(path: string, value: string): void;
}

/** The kernel's, in a namespace (absent: that of the process). */
export function kernelSysctls(netns?: string): SysctlPort {
  const inside = <T>(fn: () => T): T => (netns === undefined ? fn() : withNetns(netns, fn));
  return {
    read: (path) =>
      inside(() => {
        try {
          return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
        } catch {
          return undefined;
        }
      }),
    write: (path, value) => inside(() => writeFileSync(`/proc/sys/${path}`, value)),
  };
}

export interface KernelState {
  sysctls: Map<string, SavedSysctl>;
  /** Keys of addresses of ours, for kernels that do not mark them. */
  addresses: Set<string>;
}

/** Reads the state file; an absent one is empty. Throws LeafdError `state-unreadable`. */
export function loadKernelState(stateDir: string): KernelState {
  const state: KernelState = { sysctls: new Map(), addresses: new Set() };
  return readStateFile(join(stateDir, FILE), SCHEMA, state, (data) => ({
    sysctls: new Map(Object.entries(data.sysctls as Record<string, SavedSysctl>)),
    addresses: new Set(data.addresses as string[]),
  }));
}

/** Reads a state file; `absent` where there is none. Throws LeafdError `state-unreadable`. */
export function readStateFile<T>(
  path: string,
  schema: number,
  absent: T,
  decode: (data: Record<string, unknown>) => T,
): T {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return absent;
    throw new LeafdError('state-unreadable', `cannot read ${path}`, { cause: error });
  }
  try {
    const data = JSON.parse(text) as Record<string, unknown>;
    if ((data.schema as number) > schema)
      throw new Error(`schema ${String(data.schema)} is newer than this leafd`);
    return decode(data);
  } catch (error) {
    const hint = 'move the file away; the original values in it are then not restored';
    throw new LeafdError('state-unreadable', `${path} is damaged`, { cause: error, hint });
  }
}

/** Writes the state file atomically; with nothing to remember it is removed. */
export function saveKernelState(stateDir: string, state: KernelState): void {
  const path = join(stateDir, FILE);
  if (state.sysctls.size === 0 && state.addresses.size === 0) {
    rmSync(path, { force: true });
    return;
  }
  const data = {
    schema: SCHEMA,
    sysctls: Object.fromEntries(state.sysctls),
    addresses: [...state.addresses],
  };
  writeWhole(path, `${JSON.stringify(data, null, 2)}\n`);
}

/** Gives a sysctl its original value back, unless somebody else changed it since or it is gone. */
export function restoreSysctl(port: SysctlPort, saved: SavedSysctl, ifindex: number): boolean {
  if (saved.ifindex !== 0 && saved.ifindex !== ifindex) return false;
  if (port.read(saved.path) !== saved.now) return false;
  port.write(saved.path, saved.before);
  return true;
}
