// What the end-to-end and interop tests share: labs with names of their own, made with the built leafctl; questions
// to the daemons in them; and the check that nothing of a lab is left. Every lab is private to its test process, so
// that the tests run beside labs that are already up.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const leafctlPath = join(root, 'bin', 'leafctl');
export const leafdPath = join(root, 'bin', 'leafd');

export interface Result {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs a command; a non-zero exit is a result, not an error. */
export function run(argv: readonly string[], options: { input?: string; timeoutMs?: number } = {}) {
  return new Promise<Result>((resolve, reject) => {
    const [program, ...words] = argv;
    const limits = { timeout: options.timeoutMs ?? 60_000, maxBuffer: 1 << 28 };
    const child = execFile(program!, words, limits, (error, stdout, stderr) => {
      const code = (error as { code?: unknown } | null)?.code;
      if (typeof code === 'string') reject(new Error(`${argv.slice(0, 6).join(' ')}: ${code}`));
      else resolve({ exitCode: error === null ? 0 : typeof code === 'number' ? code : 255, stdout, stderr });
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

/** As `run`, and throws with the program's words when it fails. */
export async function runOrThrow(argv: readonly string[], options: { input?: string } = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await run(argv, options);
  if (exitCode !== 0) throw new Error(`${argv.join(' ')}: exit ${exitCode}: ${stderr || stdout}`);
  return stdout;
}

export const leafctl = (...words: string[]): Promise<Result> => run([leafctlPath, ...words]);

/** `leafctl -j …`, which must succeed. */
export async function leafctlJson<T>(...words: string[]): Promise<T> {
  return JSON.parse(await runOrThrow([leafctlPath, '-j', ...words])) as T;
}

/** Asks again until `look` gives what `holds`; throws what it saw last when it does not within the time. */
export async function until<T>(
  look: () => Promise<T> | T,
  holds: (seen: T) => boolean,
  options: { timeoutMs: number; everyMs?: number; what?: string },
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    const seen = await look();
    if (holds(seen)) return seen;
    if (performance.now() >= deadline) {
      const shown = typeof seen === 'string' ? seen : JSON.stringify(seen, null, 1);
      throw new Error(
        `${options.what ?? 'it'} did not come within ${options.timeoutMs} ms: ${shown.slice(0, 4000)}`,
      );
    }
    await sleep(options.everyMs ?? 50);
  }
}

export interface SessionOfNode {
  peer: string;
  state: string;
}

export interface LabStatus {
  state: 'up' | 'broken';
  sessions: { established: number; expected: number };
  nodes: {
    name: string;
    kind: string;
    alive: boolean;
    pids: number[];
    sessions: { established: number; expected: number; peers: SessionOfNode[] };
  }[];
}

/** A lab that is up, or about to be. */
export interface Fabric {
  readonly name: string;
  readonly file: string;
  up(options?: { waitSeconds?: number }): Promise<{
    tookMs: number;
    nodes: number;
    sessions: { established: number; expected: number; tookMs?: number };
  }>;
  /** Removes the lab; harmless when it is not up. Resolves to what is left of it, which must be nothing. */
  down(): Promise<string[]>;
  /** `leafctl lab WORD NAME …` with JSON output; throws when it fails. */
  lab<T = unknown>(word: string, ...words: string[]): Promise<T>;
  status(): Promise<LabStatus>;
  netns(node: string): string;
  directory(node: string): string;
  socket(node: string): string;
  /** The leafd.yaml a leafd node was started with. */
  configOf(node: string): string;
  /** A command inside a node's namespace. */
  inside(node: string, ...argv: string[]): Promise<Result>;
  /** The same, which must succeed; its output. */
  out(node: string, ...argv: string[]): Promise<string>;
  /** `leafctl` for the daemon of a node. */
  leafctl(node: string, ...words: string[]): Promise<Result>;
  /** GET of a node's API. */
  get<T>(node: string, path: string): Promise<T>;
  pid(node: string): Promise<number>;
  log(node: string): string;
  /** Waits until every session of every node is established. */
  allSessions(timeoutMs?: number): Promise<void>;
}

const scratch = mkdtempSync(join(tmpdir(), 'leafd-fabric-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

/** A file of the test's own, removed with the process. */
export function scratchFile(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

/** The text of an example, under another lab name. */
export function exampleText(example: string): string {
  return readFileSync(join(root, 'examples', `${example}.lab.yaml`), 'utf8');
}

/** A lab under a name of its own from the text of a lab file, whose `name:` is replaced. */
export function fabricOf(title: string, text: string): Fabric {
  const name = `t${process.pid.toString(36)}-${title}`;
  const named = /^name: .*$/m.test(text)
    ? text.replace(/^name: .*$/m, `name: ${name}`)
    : `name: ${name}\n${text}`;
  const file = scratchFile(`${title}.lab.yaml`, named);
  const netns = (node: string): string => `${name}-${node}`;
  const directory = (node: string): string => `/run/leafd-lab/${name}/${node}`;
  const socket = (node: string): string => `${directory(node)}/leafd.sock`;
  const lab = <T>(word: string, ...words: string[]) => leafctlJson<T>('lab', word, name, ...words);
  const status = async (): Promise<LabStatus> =>
    JSON.parse((await leafctl('-j', 'lab', 'status', name)).stdout) as LabStatus;
  const inside = (node: string, ...argv: string[]) => run(['ip', 'netns', 'exec', netns(node), ...argv]);
  return {
    name,
    file,
    netns,
    directory,
    socket,
    configOf: (node) => join(directory(node), 'leafd.yaml'),
    lab,
    status,
    inside,
    up: ({ waitSeconds = 30 } = {}) => leafctlJson('lab', 'up', file, '--wait', `${waitSeconds}s`),
    down: async () => {
      if (existsSync(`/run/leafd-lab/${name}`)) await runOrThrow([leafctlPath, 'lab', 'down', name]);
      return leftOf(name);
    },
    out: (node, ...argv) => runOrThrow(['ip', 'netns', 'exec', netns(node), ...argv]),
    leafctl: (node, ...words) => run([leafctlPath, '-s', socket(node), ...words]),
    get: (node, path) => getJson(socket(node), path),
    pid: async (node) => {
      const found = (await status()).nodes.find((one) => one.name === node);
      if (found?.pids[0] === undefined) throw new Error(`${node} runs no daemon`);
      return found.pids[0];
    },
    log: (node) => readFileSync(join(directory(node), 'leafd.log'), 'utf8'),
    allSessions: async (timeoutMs = 10_000) => {
      const whole = ({ state, sessions }: LabStatus) =>
        state === 'up' && sessions.established === sessions.expected;
      await until(status, whole, { timeoutMs, everyMs: 100, what: 'all sessions' });
    },
  };
}

/** A configuration as a test changes it: plain maps and lists. */
// biome-ignore lint/suspicious/noExplicitAny: the schema is the daemon's business; a test may write what is wrong.
type Loose = any;

/** The text of a YAML file, changed as data. */
export function editConfig(text: string, edit: (config: Loose) => void): string {
  const config = parse(text) as Loose;
  edit(config);
  return stringify(config);
}

/** A copy of an example under a name of its own. */
export const exampleFabric = (example: string, title: string): Fabric =>
  fabricOf(title, exampleText(example));

/** Whatever of a lab there still is: namespaces, its directory, processes that were told a path in it. */
export function leftOf(name: string): string[] {
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  const directory = `/run/leafd-lab/${name}`;
  return [
    ...namespaces.filter((one) => one.startsWith(`${name}-`)),
    ...(existsSync(directory) ? [directory] : []),
    ...processesNaming(`${directory}/`).map(({ pid, command }) => `process ${pid}: ${command}`),
  ];
}

/** Processes with a text in their command line. */
export function processesNaming(text: string): { pid: number; command: string }[] {
  const found: { pid: number; command: string }[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (command.includes(text)) found.push({ pid: Number(entry), command });
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

/** GET over a unix socket; throws for any status but 200. */
export function getJson<T>(socketPath: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, timeout: 10_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(text) as T);
        else reject(new Error(`${path}: ${response.statusCode}: ${text}`));
      });
    });
    call.on('timeout', () => call.destroy(new Error(`no answer on ${socketPath}`)));
    call.on('error', reject);
    call.end();
  });
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024;
}

/** A program that runs beside the test until it is stopped, with its output so far. */
export interface Running {
  readonly child: ChildProcess;
  text(): string;
  stop(): Promise<string>;
}

/** Starts a program that prints until it is stopped. */
export function start(argv: readonly string[]): Running {
  const [program, ...words] = argv;
  const child = spawn(program!, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => (text += chunk));
  }
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.once('error', () => {});
  return {
    child,
    text: () => text,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
      return text;
    },
  };
}

/** Everything the kernel says of routes and next hops of a node from now on. */
export async function watchRoutes(fabric: Fabric, node: string): Promise<Running> {
  const monitor = start(['ip', '-ts', '-n', fabric.netns(node), 'monitor', 'route', 'nexthop']);
  // The monitor says nothing when it is ready: a route of ours that comes and goes shows that it listens.
  const mark = '192.0.2.255';
  for (let attempt = 0; !monitor.text().includes(mark) && attempt < 50; attempt++) {
    await runOrThrow(['ip', '-n', fabric.netns(node), 'route', 'replace', 'blackhole', mark, 'proto', '77']);
    await runOrThrow(['ip', '-n', fabric.netns(node), 'route', 'del', 'blackhole', mark, 'proto', '77']);
    await sleep(40);
  }
  return monitor;
}

/** What a monitor of `watchRoutes` saw, without its own mark. */
export const seenRoutes = (text: string): string[] =>
  text.split('\n').filter((line) => line.trim() !== '' && !line.includes('192.0.2.255'));
