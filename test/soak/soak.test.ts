// leafd under churn for minutes (LEAFD_SOAK_MINUTES, default 3; an hour by `npm run test:long`): routes, attributes
// and sessions come and go, and a configuration is applied now and then. What its listening neighbour holds at the
// end is exactly what is announced, nothing is left once all is withdrawn, no session ends that nobody broke, and
// memory does not grow: the second half of the time needs no more than the first.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { leafctlPath, leafdPath, residentBytes, root, run, runOrThrow, sleep } from '../support/fabric.ts';
import type { ChurnOptions, ChurnReport } from './churn.ts';

const minutes = Number(process.env.LEAFD_SOAK_MINUTES ?? 3);
const options: ChurnOptions = { sessions: 24, minutes, seed: 20, rate: 400 };
const dut = `leafd-soak-${process.pid}-dut`;
const crowd = `leafd-soak-${process.pid}-crowd`;
const directory = mkdtempSync(join(tmpdir(), 'leafd-soak-'));
const socket = join(directory, 'leafd.sock');
/** V8 gives memory back late; what leaks is a multiple of this within minutes. */
const SLACK_MB = 24;
const children: ChildProcess[] = [];

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const name of [dut, crowd]) await run(['ip', 'netns', 'delete', name]);
  rmSync(directory, { recursive: true, force: true });
});

async function makeNamespaces(): Promise<void> {
  for (const name of [dut, crowd]) await runOrThrow(['ip', 'netns', 'add', name]);
  const ip = (words: string): Promise<string> => runOrThrow(['ip', ...words.split(' ')]);
  await ip(`link add soak0 netns ${dut} type veth peer name soak0 netns ${crowd}`);
  await ip(`-n ${dut} address add 10.98.0.1/30 dev soak0`);
  await ip(`-n ${crowd} address add 10.98.0.2/30 dev soak0`);
  for (const name of [dut, crowd])
    for (const device of ['lo', 'soak0']) await ip(`-n ${name} link set ${device} up`);
  await ip(`-n ${crowd} route add local 10.99.0.0/16 dev lo`);
  await ip(`-n ${dut} route add 10.99.0.0/16 via 10.98.0.2`);
}

/** Every peer may be in any AS; `weight` is what changes from one configuration to the next. */
function configuration(localPref: number): string {
  const peers = Array.from(
    { length: options.sessions },
    (_, index) => `    - {address: 10.99.0.${index + 1}, remoteAs: ${60_000 + index}, group: crowd}`,
  );
  return [
    'node: {name: soak}',
    'bgp:',
    '  asn: 64999',
    '  routerId: 10.98.0.1',
    '  groups:',
    '    crowd: {families: [ipv4], multihop: true, import: prefer, export: accept-all, timers: {hold: 90s, connectRetry: 1s}}',
    '  peers:',
    ...peers,
    'policies:',
    '  prefer:',
    '    default: accept',
    '    rules:',
    `      - {match: {prefixes: [{prefix: 10.64.0.0/11, le: 32}]}, set: {localPref: ${localPref}}, action: accept}`,
    '',
  ].join('\n');
}

function lines(child: ChildProcess): () => Promise<string> {
  const waiting: ((line: string) => void)[] = [];
  const ready: string[] = [];
  let rest = '';
  child.stdout!.on('data', (bytes: Buffer) => {
    rest += bytes.toString();
    for (let at = rest.indexOf('\n'); at >= 0; at = rest.indexOf('\n')) {
      const line = rest.slice(0, at);
      rest = rest.slice(at + 1);
      const next = waiting.shift();
      if (next === undefined) ready.push(line);
      else next(line);
    }
  });
  return () =>
    new Promise((resolve) => {
      const line = ready.shift();
      if (line === undefined) waiting.push(resolve);
      else resolve(line);
    });
}

function inside(namespace: string, command: readonly string[]): ChildProcess {
  const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: root,
  });
  children.push(child);
  return child;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

it(
  `holds for ${minutes} minutes of churn`,
  async () => {
    await makeNamespaces();
    mkdirSync(join(directory, 'state'));
    const file = join(directory, 'leafd.yaml');
    writeFileSync(file, configuration(120));
    const churn = inside(crowd, [
      process.execPath,
      '--import',
      'tsx',
      join(root, 'test/soak/churn.ts'),
      JSON.stringify(options),
    ]);
    const nextLine = lines(churn);
    expect(await nextLine()).toBe('ready');
    const files = ['--config', file, '--socket', socket, '--state', join(directory, 'state')];
    const daemon = inside(dut, [leafdPath, ...files]);
    daemon.stdout!.resume();
    let died = false;
    daemon.once('exit', () => {
      died = true;
    });
    const seen: number[] = [];
    let report: ChurnReport | undefined;
    void nextLine().then((line) => {
      report = JSON.parse(line) as ChurnReport;
    });
    let rounds = 0;
    while (report === undefined && !died) {
      await sleep(1000);
      seen.push(residentBytes(daemon.pid!) / 2 ** 20);
      if (++rounds % 20 !== 0) continue;
      writeFileSync(file, configuration(100 + (rounds % 50)));
      const applied = await run(['ip', 'netns', 'exec', dut, leafctlPath, '-s', socket, 'apply', file]);
      expect(applied.stderr).toBe('');
    }
    expect(died, 'the daemon ended').toBe(false);
    console.log(`churn: ${JSON.stringify(report)}`);
    const running = seen.slice(20);
    const [first, second] = [running.slice(0, running.length >> 1), running.slice(running.length >> 1)];
    const [before, after] = [median(first), median(second)];
    console.log(
      `resident memory: ${before.toFixed(0)} MiB, later ${after.toFixed(0)} MiB, most ${Math.max(...seen).toFixed(0)}`,
    );
    expect(report).toMatchObject({ missing: 0, surplus: 0, left: 0, endedByDaemon: 0 });
    expect(report!.updatesSent).toBeGreaterThan(minutes * 60 * options.rate * 0.5);
    expect(report!.resets).toBeGreaterThan(0);
    expect(report!.malformedSent).toBeGreaterThan(0);
    expect(after).toBeLessThan(before + SLACK_MB);
    churn.stdin!.write('\n');
    daemon.kill('SIGTERM');
  },
  (minutes + 3) * 60_000,
);
