// What must be known after a crash, in passthrough.json: which namespace, and whether leafd made it; the trial of its
// NICs; sysctls as they were in a namespace that somebody else made; links about to be made, which carry no mark yet;
// addresses, for kernels that do not mark them. NICs have a file of their own (nic-record.ts).

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { SavedSysctl } from '../dataplane/delta.ts';
import { readStateFile } from '../dataplane/sysctl.ts';
import { writeWhole } from '../lib/atomic-file-real.ts';
import { PASSTHROUGH_STATE_FILE } from './names.ts';
import { decodeRecords, NIC_RECORDS_FILE, NIC_RECORDS_SCHEMA, type NicRecords } from './nic-record.ts';
import { NO_TRIAL, type Trial } from './trial.ts';

const SCHEMA = 1;

/** Which namespace it was: a name alone may be another's by now. */
export interface KeptNamespace {
  name: string;
  /** leafd made it. */
  made: boolean;
  inode: number;
  /** The kernel's number that is never given twice in one boot; '' where it has none (before Linux 5.14). */
  cookie: string;
  bootId: string;
}

export interface Kept {
  namespace: KeptNamespace | undefined;
  trial: Trial;
  sysctls: Map<string, SavedSysctl>;
  /** `SIDE LINK PREFIX`. */
  addresses: Set<string>;
  /** Names of links in the making. */
  making: Set<string>;
}

function nothingKept(): Kept {
  return {
    namespace: undefined,
    trial: NO_TRIAL,
    sysctls: new Map(),
    addresses: new Set(),
    making: new Set(),
  };
}

/** Reads the state file; an absent one is empty. Throws LeafdError `state-unreadable`. */
export function loadKept(stateDir: string): Kept {
  const path = join(stateDir, PASSTHROUGH_STATE_FILE);
  return readStateFile(path, SCHEMA, nothingKept(), (data) => ({
    namespace: namespaceOf(data.namespace as KeptNamespace | undefined),
    trial: trialOf((data.trial as Trial | undefined) ?? NO_TRIAL),
    sysctls: new Map(Object.entries(data.sysctls as Record<string, SavedSysctl>)),
    addresses: new Set(data.addresses as string[]),
    making: new Set(data.making as string[]),
  }));
}

/** A name that is a path would lead somewhere else. */
function namespaceOf(namespace: KeptNamespace | undefined): KeptNamespace | undefined {
  if (namespace === undefined) return undefined;
  const { name, made, inode, cookie, bootId } = namespace;
  const isName = typeof name === 'string' && /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name);
  if (!isName || typeof made !== 'boolean' || typeof inode !== 'number')
    throw new Error('it names no namespace');
  return { name, made, inode, cookie: String(cookie), bootId: String(bootId) };
}

function trialOf(trial: Trial): Trial {
  const kinds: readonly Trial['kind'][] = ['none', 'running', 'confirmed', 'rolledBack'];
  if (!kinds.includes(trial.kind) || (trial.kind !== 'none' && typeof trial.set !== 'string'))
    throw new Error('its trial is none');
  return trial;
}

/** Writes the state file atomically; with nothing to remember it is removed. */
export function saveKept(stateDir: string, kept: Kept): void {
  const path = join(stateDir, PASSTHROUGH_STATE_FILE);
  if (kept.namespace === undefined && kept.trial.kind === 'none' && kept.sysctls.size === 0) {
    rmSync(path, { force: true });
    return;
  }
  const data = {
    schema: SCHEMA,
    namespace: kept.namespace,
    trial: kept.trial,
    sysctls: Object.fromEntries(kept.sysctls),
    addresses: [...kept.addresses],
    making: [...kept.making],
  };
  writeWhole(path, `${JSON.stringify(data, null, 2)}\n`);
}

/** Name of the namespace in which a former life left something to take back, if any. */
export function keptNetns(stateDir: string): string | undefined {
  return loadKept(stateDir).namespace?.name;
}

/** How many NICs are away from home, or on their way. Throws LeafdError `state-unreadable`. */
export function nicsAway(stateDir: string): number {
  const none: NicRecords = new Map();
  return readStateFile(join(stateDir, NIC_RECORDS_FILE), NIC_RECORDS_SCHEMA, none, decodeRecords).size;
}

/** Removes the file of NICs where it tells of none: that it is there means that something is to be brought home. */
export function forgetNoNics(stateDir: string): void {
  if (nicsAway(stateDir) === 0) rmSync(join(stateDir, NIC_RECORDS_FILE), { force: true });
}
