// Processes of a lab: started detached inside a namespace, with their output in a log file; found again by pid and
// start time, because a pid alone may have become another program's; and ended. Which processes are a lab's is never
// guessed from names: they are those recorded, and those whose network namespace is the lab's.
//
// Daemons change the network namespace only (nsenter). `ip netns exec` gives a program a mount namespace of its own as
// well, and a network namespace that leafd makes in there for its router would be hidden from everybody else.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { LeafdError } from '../lib/leafd-error.ts';
import { netnsPath } from '../netlink/netns.ts';

/** A process for sure: `startTicks` is field 22 of /proc/PID/stat. */
export interface ProcessId {
  readonly pid: number;
  readonly startTicks: string;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The start time of a process, or undefined when there is none or it is a zombie. */
function startTicks(pid: number): string | undefined {
  try {
    // The name, in brackets, may hold anything: the fields are counted from the last bracket.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** The identity of a running process; the start time is empty when it has ended already. */
export function processId(pid: number): ProcessId {
  return { pid, startTicks: startTicks(pid) ?? '' };
}

export function isRunning(id: ProcessId): boolean {
  return id.startTicks !== '' && startTicks(id.pid) === id.startTicks;
}

/** Sends a signal if the process is still the same one. */
export function signal(id: ProcessId, name: NodeJS.Signals): void {
  if (!isRunning(id)) return;
  try {
    process.kill(id.pid, name);
  } catch {
    // It ended between the look and the signal.
  }
}

/** Starts a program inside a namespace that outlives this process; its output is appended to `logFile`. */
export function startDetached(
  netns: string,
  argv: readonly string[],
  options: { logFile: string; directory: string; env: Readonly<Record<string, string>> },
): ProcessId {
  const log = openSync(options.logFile, 'a');
  writeSync(log, `--- ${new Date().toISOString()} ${argv.join(' ')}\n`);
  let child: ChildProcess;
  try {
    child = spawn('nsenter', [`--net=${netnsPath(netns)}`, '--', ...argv], {
      cwd: options.directory,
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...environment(), ...options.env },
    });
  } finally {
    closeSync(log);
  }
  child.on('error', () => {});
  child.unref();
  const { pid } = child;
  if (pid === undefined) throw new LeafdError('program-failed', `cannot start ${argv[0]} in ${netns}`);
  child.on('exit', (code, name) => endings.set(pid, name === null ? `exit code ${code}` : `signal ${name}`));
  return processId(pid);
}

/** How a process that this one started ended; undefined for others, and while it runs. */
export function endingOf(id: ProcessId): string | undefined {
  return endings.get(id.pid);
}

const endings = new Map<number, string>();

// What this process was told about its own Node is not for the daemons it starts.
function environment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...rest } = process.env;
  return rest;
}

/** Runs a command and collects what it says; a non-zero exit is not an error here. */
export function run(
  argv: readonly string[],
  options: { input?: string; timeoutMs?: number } = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const [program, ...words] = argv;
    const timeout = options.timeoutMs ?? 60_000;
    const child = execFile(program, words, { timeout, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      const code = (error as { code?: unknown } | null)?.code;
      if (error !== null && typeof code === 'string') {
        const hint = code === 'ENOENT' ? { hint: 'is it installed?' } : {};
        reject(new LeafdError('program-failed', `cannot run ${program}: ${code}`, { ...hint, cause: error }));
      } else
        resolve({ exitCode: error === null ? 0 : typeof code === 'number' ? code : 255, stdout, stderr });
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

/** As `run`; throws LeafdError `program-failed` with the program's own last words when it fails. */
export async function runOrThrow(
  argv: readonly string[],
  options: { input?: string; timeoutMs?: number } = {},
): Promise<string> {
  const result = await run(argv, options);
  if (result.exitCode === 0) return result.stdout;
  const words = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(0, 5).join('; ');
  throw new LeafdError(
    'program-failed',
    `${argv.slice(0, 6).join(' ')}: ${words || `exit code ${result.exitCode}`}`,
  );
}

/** Processes whose network namespace has one of these inodes. */
export function processesIn(inodes: ReadonlySet<number>): ProcessId[] {
  const found: ProcessId[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const inode = Number(/\d+/.exec(readlinkSync(`/proc/${entry}/ns/net`))?.[0]);
      if (inodes.has(inode)) found.push(processId(Number(entry)));
    } catch {
      // It ended while we looked, or is the kernel's.
    }
  }
  return found.filter(isRunning);
}

/** Waits until a condition holds; false when it did not within the time. */
export async function waitFor(condition: () => boolean, timeoutMs: number, everyMs = 20): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  return true;
}
