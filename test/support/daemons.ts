// Foreign daemons that end without a word and begin again as they should: a lab restarts a node as a whole, but FRR's
// bgpd dies alone, while zebra and the kernel go on, and BIRD recovers what it had only when it is told to.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { type Fabric, processesNaming, until } from './fabric.ts';

/** The process of a node that runs this program. */
export function pidOf(fabric: Fabric, node: string, program: string): number {
  const found = processesNaming(`${fabric.directory(node)}/`).filter(({ command }) =>
    command.split(' ').some((word) => word === program || word.endsWith(`/${program}`)),
  );
  if (found.length !== 1) throw new Error(`${node}: ${found.length} processes run ${program}`);
  return found[0]!.pid;
}

/** Kills a program of a node; what starts it again as it was started, with more arguments. */
export function kill(fabric: Fabric, node: string, program: string): (...more: string[]) => void {
  const pid = pidOf(fabric, node, program);
  const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  process.kill(pid, 'SIGKILL');
  return (...more) => {
    const words = ['netns', 'exec', fabric.netns(node), ...argv, ...more];
    spawn('ip', words, { cwd: fabric.directory(node), stdio: 'ignore', detached: true }).unref();
  };
}

/** Kills bgpd; zebra lives, so the kernel keeps its routes. What starts it again gives it the node's file as it is then. */
export function killBgpd(fabric: Fabric, node: string): () => Promise<void> {
  const again = kill(fabric, node, 'bgpd');
  return async () => {
    const ready = `${fabric.directory(node)}/bgpd.vty`;
    rmSync(ready, { force: true });
    again();
    await until(() => existsSync(ready), Boolean, { timeoutMs: 10_000, what: ready });
    await loadFrr(fabric, node);
  };
}

/** Gives a node's configuration file to its FRR. */
export async function loadFrr(fabric: Fabric, node: string): Promise<void> {
  const directory = fabric.directory(node);
  await fabric.out(node, 'vtysh', '--vty_socket', directory, '-f', `${directory}/frr.conf`);
}

/** Kills BIRD. It is started again to recover (`-R`): without that it takes its routes out of the kernel first. */
export function killBird(fabric: Fabric, node: string): () => Promise<void> {
  const again = kill(fabric, node, 'bird');
  return async () => again('-R');
}
