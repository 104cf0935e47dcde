// Carries a plan out: namespaces, cables, addresses, files, daemons, and the wait for sessions. State is saved before
// and after each step; when a step fails, everything made so far is removed and the first fault is told, with the
// last words of the daemon's log where a daemon is the cause.

import {
  accessSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { LeafdError } from '../lib/leafd-error.ts';
import { createNetns, netnsPath, withNetns } from '../netlink/netns.ts';
import { nicsNetns } from './guest-plan.ts';
import { makeBridges, startGuests } from './guests.ts';
import type { ProgramNeed } from './kinds.ts';
import {
  cableCommands,
  type LabPlan,
  loopbackCommands,
  type NodePlan,
  nicsSysctls,
  portCommands,
} from './plan.ts';
import { endingOf, isRunning, run, runOrThrow, startDetached, waitFor } from './processes.ts';
import { askSessions, countEstablished } from './sessions.ts';
import { claimLab, type LabState, labDirectory, type StartedProcess, saveLab, withLabLock } from './state.ts';
import { tearDown } from './teardown.ts';
import { expectedSessions, runsLeafd } from './topology.ts';

const READY_TIMEOUT_MS = 20_000;
const AFTER_START_TIMEOUT_MS = 10_000;
const ASK_EVERY_MS = 100;
const FOREIGN_PATHS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'];

export interface SessionCount {
  established: number;
  expected: number;
  /** Time from the start of the first daemon until all were established; absent when they were not. */
  tookMs?: number;
}

export interface BringUpOptions {
  /** How long to wait for sessions; 0 does not wait. */
  readonly waitMs: number;
  /** Ends a bring-up between two steps, undoing it. */
  readonly signal?: AbortSignal | undefined;
  /** Hears of each step, for people who watch. */
  readonly onStep?: ((step: string) => void) | undefined;
}

/** Brings a planned lab up. Throws LeafdErrors; nothing is left behind then. */
export async function bringUp(plan: LabPlan, options: BringUpOptions): Promise<SessionCount> {
  checkMachine(plan);
  const { name } = plan.topology;
  claimLab(name);
  const state: LabState = {
    version: 1,
    topology: plan.topology,
    leafd: plan.paths.leafd,
    createdAtMs: Date.now(),
    phase: 'starting',
    namespaces: namespacesOf(plan),
    links: plan.topology.links,
    cablesMade: plan.topology.links.length,
    cuts: [],
    processes: [],
  };
  try {
    return await withLabLock(name, async () => {
      saveLab(state);
      return await build(plan, state, options);
    });
  } catch (error) {
    await tearDown(name, state);
    throw error;
  }
}

async function build(plan: LabPlan, state: LabState, options: BringUpOptions): Promise<SessionCount> {
  let told = '';
  const step = (text: string) => {
    if (options.signal?.aborted === true)
      throw new LeafdError('lab-stopped', 'stopped; everything was undone');
    if (text !== told) options.onStep?.(text);
    told = text;
  };
  step(`${plan.nodes.filter(({ node }) => node.in === undefined).length} network namespaces`);
  for (const { node, netns, sysctls } of plan.nodes) {
    if (node.in !== undefined) continue;
    createNetns(netns);
    applySysctls(netns, sysctls);
  }
  if (hasGuests(plan)) {
    const nics = nicsNetns(plan.topology.name);
    createNetns(nics);
    applySysctls(nics, nicsSysctls);
  }
  step(`${plan.topology.links.length} cables`);
  const { topology } = plan;
  await runIp(loopbackCommands(topology));
  await runIp(cableCommands(topology.name, topology.links));
  await runIp(portCommands(topology, topology.links));
  await makeBridges(state);
  await runNodeCommands(plan);
  const daemons = plan.nodes.filter((node) => node.daemon.processes.length > 0);
  step(`${daemons.length} daemons`);
  const startedMs = performance.now();
  for (const node of daemons) writeFiles(node);
  for (const node of daemons) launch(node, state);
  await Promise.all(daemons.map((node) => becomeReady(node, state)));
  if (hasGuests(plan)) step(`${plan.nodes.filter(isGuest).length} guests`);
  await startGuests(state);
  state.phase = 'up';
  saveLab(state);
  const counting = () => countSessions(plan, state);
  if (options.waitMs === 0) return counting();
  step('waiting for sessions');
  return waitForSessions(counting, startedMs, options, step);
}

function isGuest({ node }: NodePlan): boolean {
  return node.guest !== undefined;
}

function hasGuests(plan: LabPlan): boolean {
  return plan.nodes.some(isGuest);
}

function namespacesOf(plan: LabPlan): string[] {
  const namespaces = new Set(plan.nodes.map(({ netns }) => netns));
  // Those of routers are made by the nodes' leafd, and removed with the lab all the same.
  for (const { node } of plan.nodes) if (node.router !== undefined) namespaces.add(node.router.netns);
  if (hasGuests(plan)) namespaces.add(nicsNetns(plan.topology.name));
  return [...namespaces];
}

async function waitForSessions(
  counting: () => Promise<SessionCount>,
  startedMs: number,
  options: BringUpOptions,
  step: (text: string) => void,
): Promise<SessionCount> {
  const deadlineMs = performance.now() + options.waitMs;
  for (;;) {
    const count = await counting();
    const nowMs = performance.now();
    if (count.established >= count.expected) return { ...count, tookMs: Math.round(nowMs - startedMs) };
    if (nowMs >= deadlineMs) return count;
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    step(`${count.established} of ${count.expected} sessions`);
  }
}

/** Sessions of all nodes together; each session counts once at each of its ends. */
async function countSessions(plan: LabPlan, state: LabState): Promise<SessionCount> {
  const count: SessionCount = { established: 0, expected: 0 };
  await Promise.all(
    plan.nodes.map(async ({ node, netns, directory }) => {
      const expected = expectedSessions(plan.topology, state.links, node);
      if (expected === 0) return;
      const established = countEstablished(await askSessions(node, netns, directory));
      count.expected += expected;
      count.established += Math.min(expected, established);
    }),
  );
  return count;
}

/** What must hold before anything is made. */
function checkMachine(plan: LabPlan): void {
  if (process.getuid?.() !== 0) {
    throw new LeafdError('permission-denied', 'a lab needs root: it makes network namespaces', {
      hint: 'use sudo',
    });
  }
  const missing = plan.needs.filter((need) => !isInstalled(need));
  if (missing.length > 0) {
    const packages = [...new Set(missing.map((need) => need.debianPackage))].join(' ');
    const programs = missing.map((need) => need.program).join(', ');
    throw new LeafdError('program-absent', `not installed: ${programs}`, { hint: `apt install ${packages}` });
  }
  for (const { node, daemon } of plan.nodes) {
    const program = daemon.processes[0]?.argv[0];
    if (!runsLeafd(node.kind) || program === undefined || existsSync(program)) continue;
    throw new LeafdError('program-absent', `there is no ${program}`, {
      hint: 'in a checkout: npm run build',
    });
  }
  const taken = namespacesOf(plan).find((netns) => existsSync(netnsPath(netns)));
  if (taken !== undefined && !existsSync(labDirectory(plan.topology.name))) {
    throw new LeafdError('netns-exists', `there is a network namespace ${taken} that is no lab's`, {
      hint: `choose another lab name, or: ip netns delete ${taken}`,
    });
  }
}

export function isInstalled({ program }: ProgramNeed): boolean {
  const directories = [...(process.env.PATH ?? '').split(delimiter), ...FOREIGN_PATHS];
  const candidates = program.startsWith('/')
    ? [program]
    : directories.map((directory) => join(directory, program));
  return candidates.some((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

// A kernel without a setting (fib_multipath_hash_policy of IPv6 is not everywhere) is left as it is.
function applySysctls(netns: string, sysctls: NodePlan['sysctls']): void {
  withNetns(netns, () => {
    for (const [key, value] of sysctls) {
      const path = `/proc/sys/${key}`;
      if (existsSync(path)) writeFileSync(path, value);
    }
  });
}

/** Runs ip(8) commands, one ip for each namespace. */
export async function runIp(commands: ReadonlyMap<string, readonly string[]>): Promise<void> {
  for (const [netns, list] of commands) {
    await runOrThrow(['ip', '-n', netns, '-batch', '-'], { input: `${list.join('\n')}\n` });
  }
}

async function runNodeCommands(plan: LabPlan): Promise<void> {
  for (const { node, netns } of plan.nodes) {
    for (const command of node.commands) {
      const fault = await shellFault(netns, command);
      if (fault !== undefined) throw commandFailed(`${node.name}.commands`, command, fault);
    }
  }
}

// GoBGP takes commands some time after its start and has no file that says so.
async function runAfterStart({ node, netns }: NodePlan): Promise<void> {
  const deadlineMs = performance.now() + AFTER_START_TIMEOUT_MS;
  for (const command of node.afterStart) {
    for (;;) {
      const fault = await shellFault(netns, command);
      if (fault === undefined) break;
      if (performance.now() >= deadlineMs) throw commandFailed(`${node.name}.afterStart`, command, fault);
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
  }
}

/** What a shell command complained of in a namespace; undefined when it succeeded. */
async function shellFault(netns: string, command: string): Promise<string | undefined> {
  const result = await run(['ip', 'netns', 'exec', netns, 'sh', '-c', command]);
  if (result.exitCode === 0) return undefined;
  return (result.stderr.trim() || result.stdout.trim()).split('\n')[0] || `exit code ${result.exitCode}`;
}

function commandFailed(where: string, command: string, fault: string): LeafdError {
  return new LeafdError('lab-command-failed', `nodes.${where}: ${command}: ${fault}`);
}

function writeFiles(plan: NodePlan): void {
  mkdirSync(plan.directory, { mode: 0o755 });
  for (const { path, text } of plan.daemon.files) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode: 0o640 });
  }
  if (plan.daemon.systemDirectory !== undefined) mkdirSync(plan.daemon.systemDirectory, { recursive: true });
  if (plan.daemon.owner === undefined) return;
  const [uid, gid] = userIds(plan.daemon.owner);
  chownSync(plan.directory, uid, gid);
  for (const { path } of plan.daemon.files) chownSync(path, uid, gid);
}

function userIds(user: string): [uid: number, gid: number] {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${user}:`));
  if (line === undefined)
    throw new LeafdError('program-absent', `there is no user ${user}`, { hint: `apt install ${user}` });
  const fields = line.split(':');
  return [Number(fields[2]), Number(fields[3])];
}

/** Starts a node's processes and writes them down. */
export function launch(plan: NodePlan, state: LabState): void {
  for (const wanted of plan.daemon.processes) {
    if (wanted.readyPath !== undefined) rmSync(wanted.readyPath, { force: true });
    const id = startDetached(plan.netns, wanted.argv, {
      logFile: join(plan.directory, `${wanted.program}.log`),
      directory: plan.directory,
      env: wanted.env,
    });
    const started: StartedProcess = { ...id, node: wanted.node, program: wanted.program };
    state.processes = [...state.processes.filter((one) => !isSameProgram(one, wanted)), started];
    saveLab(state);
  }
}

function isSameProgram(one: StartedProcess, other: { node: string; program: string }): boolean {
  return one.node === other.node && one.program === other.program;
}

/** Waits for a node's daemons and loads their configuration. Throws LeafdError `node-failed`. */
export async function becomeReady(plan: NodePlan, state: LabState): Promise<void> {
  for (const wanted of plan.daemon.processes) {
    const started = state.processes.find((one) => isSameProgram(one, wanted));
    const ended = () => started === undefined || !isRunning(started);
    const ready = () => wanted.readyPath === undefined || existsSync(wanted.readyPath);
    const inTime = await waitFor(() => ready() || ended(), READY_TIMEOUT_MS);
    if (inTime && !ended()) continue;
    // The exit is heard of one turn after it can be seen.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const ending = started === undefined ? undefined : endingOf(started);
    const what = ended() ? `ended at once (${ending ?? 'it is not known how'})` : 'is not ready after 20 s';
    throw nodeFailed(plan, wanted.program, what);
  }
  if (plan.daemon.load !== undefined) await loadConfiguration(plan, plan.daemon.load);
  await runAfterStart(plan);
}

async function loadConfiguration(plan: NodePlan, load: readonly string[]): Promise<void> {
  const result = await run(load);
  if (result.exitCode === 0) return;
  const words = `${result.stdout}\n${result.stderr}`.split('\n').filter((line) => /%|line|rror/.test(line));
  throw new LeafdError(
    'node-failed',
    `${plan.node.name} refuses its configuration: ${words.slice(0, 3).join('; ')}`,
  );
}

function nodeFailed(plan: NodePlan, program: string, what: string): LeafdError {
  const log = readFileSync(join(plan.directory, `${program}.log`), 'utf8')
    .trim()
    .split('\n')
    .slice(1);
  const last = log.slice(-5).join(' / ');
  return new LeafdError('node-failed', `${program} of ${plan.node.name} ${what}`, {
    hint: last === '' ? 'its log is empty' : `its log ends: ${last}`,
  });
}
