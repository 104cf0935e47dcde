// The bed of a run: two network namespaces joined by a cable, the daemon under test in one, this program's sessions
// in the other (it re-enters itself there). The daemon's end is watched: a process that ends without being told to
// is a crash.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DAEMON, DAEMON6, RUNNER6 } from './case.ts';
import { type DaemonName, daemonRun, RANGES, WATCHERS } from './daemons.ts';

const ipCommand = (...words: string[]): void => {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/** Makes both namespaces and the cable; to be called outside of them. */
export function makeNamespaces(prefix: string): void {
  const [near, far] = [`${prefix}-r`, `${prefix}-d`];
  for (const name of [near, far]) {
    ipCommand('netns', 'add', name);
    for (const key of ['all', 'default'])
      ipCommand('netns', 'exec', name, 'sysctl', '-qw', `net.ipv6.conf.${key}.accept_dad=0`);
    ipCommand('-n', name, 'link', 'set', 'lo', 'up');
  }
  ipCommand('-n', near, 'link', 'add', 'peer', 'type', 'veth', 'peer', 'name', 'dut', 'netns', far);
  ipCommand('-n', far, 'address', 'add', `${DAEMON}/12`, 'dev', 'dut');
  ipCommand('-n', far, 'address', 'add', `${DAEMON6}/64`, 'dev', 'dut', 'nodad');
  ipCommand('-n', far, 'link', 'set', 'dut', 'up');
  ipCommand('-n', near, 'link', 'set', 'peer', 'up');
  ipCommand('-n', near, 'address', 'add', '10.96.0.2/12', 'dev', 'peer');
  ipCommand('-n', near, 'address', 'add', `${RUNNER6}/64`, 'dev', 'peer', 'nodad');
  const fixed = [...Object.values(WATCHERS).map(({ address }) => address), '10.96.0.31'];
  for (const address of fixed) ipCommand('-n', near, 'address', 'add', `${address}/12`, 'dev', 'peer');
  for (const { range } of Object.values(RANGES))
    ipCommand('-n', near, 'route', 'add', 'local', range, 'dev', 'lo');
}

export function removeNamespaces(prefix: string): void {
  for (const name of [`${prefix}-r`, `${prefix}-d`])
    try {
      ipCommand('netns', 'delete', name);
    } catch {
      // It was never made, or somebody else was faster.
    }
}

/** The daemon under test, and what has to run beside it. */
export class Daemon {
  readonly directory: string;
  readonly name: DaemonName;
  crashes = 0;
  readonly #prefix: string;
  readonly #onEnd: () => void;
  #children: ChildProcess[] = [];
  #stopping = false;
  #dead = false;

  constructor(name: DaemonName, prefix: string, onEnd: () => void) {
    this.name = name;
    this.#prefix = prefix;
    this.#onEnd = onEnd;
    this.directory = mkdtempSync(join(tmpdir(), `${prefix}-`));
  }

  get alive(): boolean {
    return !this.#dead;
  }

  /** The daemon's last words. */
  lastWords(lines = 25): string {
    const log = join(this.directory, 'daemon.log');
    return existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n') : '';
  }

  async start(): Promise<void> {
    this.#stopping = false;
    this.#dead = false;
    const run = daemonRun(this.name, this.directory);
    for (const [path, text] of Object.entries(run.files)) writeFileSync(path, text, { mode: 0o600 });
    if (run.owner !== undefined) execFileSync('chown', ['-R', run.owner, this.directory]);
    if (this.name === 'openbgpd') mkdirSync('/run/openbgpd', { recursive: true });
    for (const { argv, ready } of run.commands) {
      if (ready !== undefined) rmSync(ready, { force: true });
      this.#spawn(argv);
      await this.#until(() => ready === undefined || existsSync(ready) || this.#dead, 15_000);
      if (this.#dead) throw new Error(`${this.name} did not start:\n${this.lastWords()}`);
    }
    if (run.load !== undefined) {
      const [program, ...words] = run.load;
      execFileSync('ip', ['netns', 'exec', `${this.#prefix}-d`, program!, ...words], { stdio: 'pipe' });
    }
  }

  #spawn(argv: readonly string[]): void {
    const log = openSync(join(this.directory, 'daemon.log'), 'a');
    const { NODE_OPTIONS: _, ...env } = process.env;
    const child = spawn('ip', ['netns', 'exec', `${this.#prefix}-d`, ...argv], {
      cwd: this.directory,
      stdio: ['ignore', log, log],
      env,
    });
    closeSync(log);
    this.#children.push(child);
    child.on('error', () => {});
    child.on('exit', () => {
      if (this.#stopping || this.#dead) return;
      this.#dead = true;
      this.crashes++;
      this.#onEnd();
    });
  }

  async #until(condition: () => boolean, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!condition() && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /**
   * Forgets the link addresses of past attackers: the kernel holds a thousand neighbours at most, for all namespaces
   * together, and an attacker comes from a new address after every reset.
   */
  forgetNeighbours(): void {
    try {
      ipCommand('-n', `${this.#prefix}-d`, 'neighbour', 'flush', 'dev', 'dut');
    } catch {
      // What is in use just now is found again.
    }
  }

  /** Ends every process that this object started. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const children = this.#children;
    this.#children = [];
    const running = () => children.filter((child) => child.exitCode === null && child.signalCode === null);
    for (const child of running()) child.kill('SIGTERM');
    await this.#until(() => running().length === 0, 3000);
    for (const child of running()) child.kill('SIGKILL');
    await this.#until(() => running().length === 0, 2000);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
