// Removes a lab, whole or half made: the processes in its namespaces and those it started, the namespaces (with them
// every port, route and table in them), the directory. Nothing is looked for by name pattern: what is removed was
// written down before it was made. Daemons are killed, not asked: everything they could save goes with them.

import { existsSync } from 'node:fs';
import { LeafdError } from '../lib/leafd-error.ts';
import { netnsInode, netnsPath, removeNetns } from '../netlink/netns.ts';
import { isRunning, type ProcessId, processesIn, signal, waitFor } from './processes.ts';
import { forgetLab, type LabState } from './state.ts';

const END_TIMEOUT_MS = 5000;

/** What was removed. */
export interface Removed {
  processes: number;
  namespaces: number;
}

/** Ends the lab's processes, removes its namespaces and forgets it; safe to run again. */
export async function tearDown(name: string, state: LabState | undefined): Promise<Removed> {
  const removed: Removed = { processes: 0, namespaces: 0 };
  const namespaces = (state?.namespaces ?? []).filter((netns) => existsSync(netnsPath(netns)));
  removed.processes = await endProcesses(
    new Set(namespaces.map((netns) => netnsInode(netns))),
    state?.processes ?? [],
  );
  for (const netns of namespaces) if (removeNetns(netns)) removed.namespaces++;
  forgetLab(name);
  return removed;
}

// A process may fork while we look: the look is repeated until nothing is found.
async function endProcesses(inodes: ReadonlySet<number>, started: readonly ProcessId[]): Promise<number> {
  const seen = new Set<number>();
  const alive = () =>
    [...processesIn(inodes), ...started.filter(isRunning)].filter((id) => id.pid !== process.pid);
  const gone = await waitFor(() => {
    const left = alive();
    for (const id of left) {
      seen.add(id.pid);
      signal(id, 'SIGKILL');
    }
    return left.length === 0;
  }, END_TIMEOUT_MS);
  if (gone) return seen.size;
  const pids = alive().map((id) => id.pid);
  throw new LeafdError('lab-stuck', `processes of the lab do not end: ${pids.join(', ')}`, {
    hint: 'they may wait for the kernel; try again',
  });
}
