// A fabric of real daemons in network namespaces on one machine: the functions behind `leafctl lab`. Each takes
// names and plain options and returns a view; what an operator did wrong is a LeafdError. A lab lives on its own
// after `bringUpLab` has returned: nothing of it depends on the process that made it.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LeafdError } from '../lib/leafd-error.ts';
import { type CutOptions, cutCable, mendCable, moveCable } from './cable.ts';
import { drawLab } from './graph.ts';
import { type MigrateOptions, type MigrateView, migrateGuest } from './guests.ts';
import { type LabPaths, withControlSocket } from './kinds.ts';
import { type PingOptions, type PingView, pingNodes } from './ping.ts';
import { type NodePlan, planLab } from './plan.ts';
import { isRunning, run, signal, waitFor } from './processes.ts';
import { readLabFile } from './read.ts';
import {
  type LabState,
  labDirectory,
  labNames,
  loadLab,
  loadLabIfPresent,
  saveLab,
  withLabLock,
} from './state.ts';
import {
  besideLinks,
  guestLinks,
  type LabListEntry,
  type LabView,
  listLabs,
  processesOf,
  viewLab,
  viewLinks,
} from './status.ts';
import { type Removed, tearDown } from './teardown.ts';
import { homeNetns, nodeNamed } from './topology.ts';
import { becomeReady, bringUp, launch, type SessionCount } from './up.ts';

export type { CutOptions } from './cable.ts';
export type { MigrateOptions, MigrateView } from './guests.ts';
export type { PingOptions, PingView } from './ping.ts';
export type { LabGuestView, LabLinkView, LabListEntry, LabNodeView, LabView } from './status.ts';

const END_TIMEOUT_MS = 10_000;

export interface UpOptions {
  /** How long to wait for BGP sessions; 30 s by default, 0 does not wait. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
  /** Hears of each step in a few words. */
  readonly onStep?: (step: string) => void;
  /** The leafd program; of this installation by default. */
  readonly leafd?: string;
}

export interface UpView {
  name: string;
  nodes: number;
  links: number;
  sessions: SessionCount;
  /** Altogether, with the wait for sessions. */
  tookMs: number;
}

/** Brings up the lab of a file. When it cannot, everything is undone. */
export async function up(file: string, options: UpOptions = {}): Promise<UpView> {
  const topology = readLabFile(file);
  const plan = planLab(topology, labDirectory(topology.name), pathsOf(options.leafd));
  const startedMs = performance.now();
  const { waitMs, signal: stop, onStep } = options;
  const sessions = await bringUp(plan, { waitMs: waitMs ?? 30_000, signal: stop, onStep });
  return {
    name: topology.name,
    nodes: topology.nodes.length,
    links: topology.links.length,
    sessions,
    tookMs: Math.round(performance.now() - startedMs),
  };
}

/** Removes a lab, also one that is half made. Throws LeafdError `lab-absent`. */
export async function down(name: string): Promise<Removed> {
  if (!labNames().includes(name)) loadLab(name);
  return withLabLock(name, () => tearDown(name, loadLabIfPresent(name)));
}

/** Labs on this machine. */
export function list(): LabListEntry[] {
  return listLabs();
}

/** Nodes, sessions and cables of a lab. */
export async function status(name: string): Promise<LabView> {
  return viewLab(loadLab(name));
}

/** What a file describes, without making it: for `check`, and drawings of labs that are not up. */
export { readLabFile } from './read.ts';

export interface ExecResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a command in a node's namespace: `inherit` gives it this process's terminal, `capture` returns its output.
 * vtysh, birdc, bgpctl and leafctl are given the node's control socket.
 */
export async function exec(
  name: string,
  node: string,
  command: readonly string[],
  stdio: 'inherit' | 'capture' = 'capture',
): Promise<ExecResult> {
  const state = loadLab(name);
  const wanted = nodeOf(state, node);
  if (command.length === 0) throw new LeafdError('usage', 'give a command after --');
  const words = withControlSocket(wanted, join(labDirectory(name), node), command, leafctlOf(state.leafd));
  const argv = ['netns', 'exec', homeNetns(name, wanted), ...words];
  if (stdio === 'capture') return run(['ip', ...argv], { timeoutMs: 0 });
  return new Promise((resolve, reject) => {
    const child = spawn('ip', argv, { stdio: 'inherit' });
    child.on('error', (cause) => reject(new LeafdError('program-failed', 'cannot run ip', { cause })));
    child.on('exit', (code) => resolve({ exitCode: code ?? 255, stdout: '', stderr: '' }));
  });
}

/** Pings from a node to a node or an address. */
export async function ping(
  name: string,
  from: string,
  to: string,
  options: PingOptions = {},
): Promise<PingView> {
  return pingNodes(loadLab(name), from, to, options);
}

/** Cuts the cable at `NODE:PORT`: the link goes down, or packets are lost in the way the options say. */
export async function cut(name: string, end: string, options: CutOptions = {}) {
  return change(name, (state) => cutCable(state, end, options));
}

/** Mends the cable at `NODE:PORT`, however it was cut. */
export async function mend(name: string, end: string): Promise<{ mended: boolean }> {
  return change(name, (state) => mendCable(state, end));
}

/** Moves a cable: `from` stays plugged at its near end, its other end goes into `to`. */
export async function move(name: string, from: string, to: string): Promise<{ unplugged: string[] }> {
  return change(name, (state) => moveCable(state, from, to));
}

/** Takes a guest to another hypervisor: live, stopped and started again, or not in the end (`cancel`). */
export async function migrate(
  name: string,
  guest: string,
  node: string,
  options: MigrateOptions = {},
): Promise<MigrateView> {
  return change(name, (state) => migrateGuest(state, guest, node, options));
}

export interface RestartView {
  node: string;
  pids: number[];
  /** From the signal until the daemon was ready again. */
  tookMs: number;
}

/** Restarts a node's daemon: asked to stop, or with `kill` not asked. The namespace and its routes stay. */
export async function restart(
  name: string,
  node: string,
  options: { kill?: boolean } = {},
): Promise<RestartView> {
  return change(name, async (state) => {
    const plan = planOfNode(state, node);
    if (plan.daemon.processes.length === 0)
      throw new LeafdError('lab-node-invalid', `${node} runs no daemon`);
    const startedMs = performance.now();
    await stopNode(state, node, options.kill === true);
    launch(plan, state);
    await becomeReady(plan, state);
    const pids = processesOf(state, node).map((one) => one.pid);
    return { node, pids, tookMs: Math.round(performance.now() - startedMs) };
  });
}

/** Ends a node's daemon and leaves it ended; `restart` starts it again. */
export async function stop(
  name: string,
  node: string,
  options: { kill?: boolean } = {},
): Promise<{ node: string }> {
  return change(name, async (state) => {
    nodeOf(state, node);
    await stopNode(state, node, options.kill === true);
    return { node };
  });
}

/** A drawing of a lab that is up, or of a lab file, as SVG. */
export async function graph(nameOrFile: string): Promise<string> {
  const state = labNames().includes(nameOrFile) ? loadLab(nameOrFile) : undefined;
  if (state === undefined) {
    if (!existsSync(nameOrFile)) loadLab(nameOrFile);
    const topology = readLabFile(nameOrFile);
    const guests = topology.nodes.flatMap(({ name, guest }) =>
      guest === undefined ? [] : { name, on: guest.on },
    );
    const links = [...topology.links, ...guestLinks(guests), ...besideLinks(topology)].map((link) => ({
      link,
      state: 'up',
    }));
    return drawLab({ topology, links, nodes: new Map() });
  }
  const view = await viewLab(state);
  const links = [
    ...viewLinks(state).map((shown, index) => ({ link: state.links[index], ...shown })),
    ...[...guestLinks(view.guests), ...besideLinks(state.topology)].map((link) => ({ link, state: 'up' })),
  ];
  const nodes = new Map(view.nodes.map((node) => [node.name, { alive: node.alive, ...node.sessions }]));
  return drawLab({ topology: state.topology, links, nodes });
}

async function stopNode(state: LabState, node: string, kill: boolean): Promise<void> {
  const running = processesOf(state, node).filter(isRunning);
  for (const one of running) signal(one, kill ? 'SIGKILL' : 'SIGTERM');
  if (await waitFor(() => !running.some(isRunning), END_TIMEOUT_MS)) return;
  for (const one of running) signal(one, 'SIGKILL');
  await waitFor(() => !running.some(isRunning), END_TIMEOUT_MS);
}

/** Changes a lab under its lock; the state is saved also when the change failed half-way. */
async function change<T>(name: string, work: (state: LabState) => Promise<T>): Promise<T> {
  loadLab(name);
  return withLabLock(name, async () => {
    const state = loadLab(name);
    try {
      return await work(state);
    } finally {
      saveLab(state);
    }
  });
}

function nodeOf(state: LabState, name: string) {
  const node = nodeNamed(state.topology, name);
  if (node !== undefined) return node;
  const names = state.topology.nodes.map((one) => one.name).join(', ');
  throw new LeafdError('lab-node-absent', `there is no node ${name} in ${state.topology.name}`, {
    hint: `nodes: ${names}`,
  });
}

function planOfNode(state: LabState, name: string): NodePlan {
  nodeOf(state, name);
  const { topology } = state;
  const plan = planLab(topology, labDirectory(topology.name), { leafd: state.leafd });
  return plan.nodes.find((one) => one.node.name === name)!;
}

/** leafctl beside the lab's leafd. */
function leafctlOf(leafd: string): string {
  return join(dirname(leafd), 'leafctl');
}

/** bin/leafd of the package this file is part of, wherever the build has put it. */
function pathsOf(leafd: string | undefined): LabPaths {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json')) && directory !== '/') directory = dirname(directory);
  return { leafd: leafd ?? join(directory, 'bin', 'leafd') };
}
