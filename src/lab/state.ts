// What the lab knows about labs that are up: /run/leafd-lab/NAME/lab.json, beside each node's files, logs and
// sockets. It is written before anything is made and after each step, so `down` removes exactly what there is, also
// when `up` or the machine's owner stopped half-way. The directory is made by `up` alone, which refuses a name that
// has one; a lock file keeps two commands from changing one lab at once, and a dead owner's lock is taken over.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LeafdError } from '../lib/leafd-error.ts';
import { isRunning, type ProcessId, processId } from './processes.ts';
import type { LabLink, Topology } from './topology.ts';

export const LABS_DIRECTORY = '/run/leafd-lab';

/** A daemon that was started. */
export interface StartedProcess extends ProcessId {
  readonly node: string;
  readonly program: string;
}

export type CutKind = 'down' | 'silent' | 'one-way' | 'loss';

/** A cable that was cut at `node:port`. */
export interface CutState {
  readonly end: string;
  readonly kind: CutKind;
  /** For `loss`. */
  readonly lossPercent?: number;
}

/** Where a guest runs. */
export interface GuestState {
  readonly name: string;
  on: string;
  /** Which of its card's two taps that is. */
  slot: 0 | 1;
}

export interface LabState {
  readonly version: 1;
  readonly topology: Topology;
  /** The leafd program its nodes run. */
  readonly leafd: string;
  /** Unix time in milliseconds. */
  readonly createdAtMs: number;
  phase: 'starting' | 'up';
  /** Namespaces that are, or are about to be, made. */
  readonly namespaces: readonly string[];
  /** As cabled now. */
  links: readonly LabLink[];
  /** Cables made so far, with those that are gone: each gives its ports indexes of their own. */
  cablesMade: number;
  cuts: readonly CutState[];
  processes: readonly StartedProcess[];
  /** Guests that run. */
  guests?: readonly GuestState[];
}

/** The directory of a lab. */
export function labDirectory(name: string): string {
  return join(LABS_DIRECTORY, name);
}

/** Names of the labs there are, whole or not. */
export function labNames(): string[] {
  return existsSync(LABS_DIRECTORY) ? readdirSync(LABS_DIRECTORY).sort() : [];
}

/** Makes the directory of a new lab. Throws LeafdError `lab-exists`. */
export function claimLab(name: string): void {
  mkdirSync(LABS_DIRECTORY, { recursive: true, mode: 0o755 });
  try {
    mkdirSync(labDirectory(name), { mode: 0o755 });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    const whole = loadLabIfPresent(name)?.phase === 'up';
    throw new LeafdError(
      'lab-exists',
      `the lab ${name} is ${whole ? 'up already' : 'there, but only half made'}`,
      {
        hint: `leafctl lab down ${name}`,
        cause,
      },
    );
  }
}

/** Forgets a lab: its directory with everything in it. */
export function forgetLab(name: string): void {
  rmSync(labDirectory(name), { recursive: true, force: true });
}

/** Writes a lab's state whole or not at all. */
export function saveLab(state: LabState): void {
  const path = join(labDirectory(state.topology.name), 'lab.json');
  writeFileSync(`${path}.new`, JSON.stringify(state, null, 1));
  renameSync(`${path}.new`, path);
}

/** A lab's state; undefined when there is no such lab, or it died before it wrote its state. */
export function loadLabIfPresent(name: string): LabState | undefined {
  const path = join(labDirectory(name), 'lab.json');
  if (!/^[A-Za-z0-9]/.test(name) || !existsSync(path)) return undefined;
  return JSON.parse(readFileSync(path, 'utf8')) as LabState;
}

/** A lab's state. Throws LeafdError `lab-absent`. */
export function loadLab(name: string): LabState {
  const state = loadLabIfPresent(name);
  if (state !== undefined) return state;
  const names = labNames();
  throw new LeafdError('lab-absent', `there is no lab ${name}`, {
    hint: names.length === 0 ? 'leafctl lab up FILE' : `labs that are up: ${names.join(', ')}`,
  });
}

/** Runs `work` as the only one that changes the lab. Throws LeafdError `lab-busy`. */
export async function withLabLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  const path = join(labDirectory(name), 'lock');
  takeLock(name, path);
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function takeLock(name: string, path: string): void {
  const own = JSON.stringify(processId(process.pid));
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(path, own, { flag: 'wx' });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = lockOwner(path);
    if (owner !== undefined && isRunning(owner)) {
      throw new LeafdError('lab-busy', `another command (process ${owner.pid}) is changing the lab ${name}`);
    }
    rmSync(path, { force: true });
  }
  throw new LeafdError('lab-busy', `another command is changing the lab ${name}`);
}

// A lock that is not whole was being written by a process that died.
function lockOwner(path: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessId;
  } catch {
    return undefined;
  }
}
