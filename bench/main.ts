// The benchmark against other daemons: 1,000,000 IPv4 routes from one eBGP peer through a daemon to another,
// then their withdrawal. One daemon at a time in a network namespace, the tester in another, one veth pair
// between them. Rounds are interleaved, so that a machine that becomes slower is slower for all; medians count.
//
// npm run bench -- [--quick] [--rounds N] [--count N] [--only leafd,bird,frr,null] [-j]

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DUT_ADDRESS, type Dut, knownDuts, RECEIVER_ADDRESS, SENDER_ADDRESS } from './duts.ts';
import type { TesterOptions, TesterResult } from './tester.ts';

const built = dirname(fileURLToPath(import.meta.url));
const root = process.env.LEAFD_ROOT ?? process.cwd();

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    count: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'boolean', short: 'j', default: false },
  },
});
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 3));
const count = Number(flags.count ?? 1_000_000);
const TIMEOUT_MS = 120_000;
const DUT_NAMESPACE = `leafd-bench-${process.pid}-dut`;
const TESTER_NAMESPACE = `leafd-bench-${process.pid}-tester`;

const ip = (...command: string[]): void => {
  execFileSync('ip', command, { stdio: ['ignore', 'ignore', 'pipe'] });
};

function setUp(): void {
  ip('netns', 'add', DUT_NAMESPACE);
  ip('netns', 'add', TESTER_NAMESPACE);
  ip(
    'link',
    'add',
    'bench0',
    'netns',
    DUT_NAMESPACE,
    'type',
    'veth',
    'peer',
    'name',
    'bench0',
    'netns',
    TESTER_NAMESPACE,
  );
  ip('-n', DUT_NAMESPACE, 'address', 'add', `${DUT_ADDRESS}/24`, 'dev', 'bench0');
  for (const address of [SENDER_ADDRESS, RECEIVER_ADDRESS])
    ip('-n', TESTER_NAMESPACE, 'address', 'add', `${address}/24`, 'dev', 'bench0');
  for (const namespace of [DUT_NAMESPACE, TESTER_NAMESPACE])
    for (const device of ['lo', 'bench0']) ip('-n', namespace, 'link', 'set', device, 'up');
}

function tearDown(): void {
  for (const namespace of [DUT_NAMESPACE, TESTER_NAMESPACE]) {
    try {
      ip('netns', 'delete', namespace);
    } catch {
      // It was never made.
    }
  }
}

/** Runs a command in a namespace; `ip netns exec` becomes the command, so the pid is the command's own. */
function inside(namespace: string, command: readonly string[]): ChildProcess {
  return spawn('ip', ['netns', 'exec', namespace, ...command], { stdio: ['ignore', 'pipe', 'pipe'] });
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
}

async function stop(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM');
  const force = setTimeout(() => child.kill('SIGKILL'), 5000);
  await ended(child);
  clearTimeout(force);
}

/** One round of one daemon. */
async function measure(dut: Dut): Promise<TesterResult> {
  const directory = mkdtempSync(join(tmpdir(), 'leafd-bench-'));
  const daemon = inside(DUT_NAMESPACE, dut.prepare(directory));
  let words = '';
  for (const stream of [daemon.stdout!, daemon.stderr!])
    stream.on('data', (text: Buffer) => {
      words = (words + text).slice(-2000);
    });
  const options: TesterOptions = {
    count,
    dutPid: daemon.pid!,
    dutAsn: dut.asn,
    dutAddress: DUT_ADDRESS,
    senderAddress: SENDER_ADDRESS,
    receiverAddress: RECEIVER_ADDRESS,
    timeoutMs: TIMEOUT_MS,
  };
  const command = [process.execPath, join(built, 'tester.mjs'), JSON.stringify(options)];
  const tester = inside(TESTER_NAMESPACE, command);
  running.add(daemon).add(tester);
  let output = '';
  let complaint = '';
  tester.stdout!.on('data', (text: Buffer) => {
    output += text;
  });
  tester.stderr!.on('data', (text: Buffer) => {
    complaint += text;
  });
  await Promise.race([ended(tester), ended(daemon)]);
  await stop(tester);
  const died = daemon.exitCode !== null;
  await stop(daemon);
  running.delete(daemon);
  running.delete(tester);
  rmSync(directory, { recursive: true, force: true });
  const failed = (reason: string): TesterResult => ({ phases: {}, peakRssKb: 0, wrong: [reason] });
  if (output === '') return failed(died ? `the daemon ended: ${words}` : `the tester ended: ${complaint}`);
  const result = JSON.parse(output) as TesterResult;
  return result;
}

interface Summary {
  name: string;
  announceS: number;
  announceCpuS: number;
  withdrawS: number;
  withdrawCpuS: number;
  peakMb: number;
  wrong: string[];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function summarize(name: string, results: readonly TesterResult[]): Summary {
  const good = results.filter((result) => result.phases.withdraw !== undefined);
  const of = (value: (result: TesterResult) => number): number => median(good.map(value));
  return {
    name,
    announceS: of((result) => result.phases.announce!.wallMs) / 1000,
    announceCpuS: of((result) => result.phases.announce!.cpuMs) / 1000,
    withdrawS: of((result) => result.phases.withdraw!.wallMs) / 1000,
    withdrawCpuS: of((result) => result.phases.withdraw!.cpuMs) / 1000,
    peakMb: of((result) => result.peakRssKb) / 1024,
    wrong: [...new Set(results.flatMap((result) => result.wrong))],
  };
}

function print(summaries: readonly Summary[]): void {
  const first = summaries.find((summary) => summary.name === 'leafd');
  const ratio = (value: number, own: number | undefined): string =>
    own === undefined || own === 0 || Number.isNaN(value) ? '' : `${(value / own).toFixed(2)}x`;
  const rows = [
    ['', 'announce s', 'CPU s', 'withdraw s', 'CPU s', 'peak MB', 'announce', 'CPU', 'withdraw', 'peak'],
  ];
  for (const s of summaries)
    rows.push([
      s.name,
      ...[s.announceS, s.announceCpuS, s.withdrawS, s.withdrawCpuS].map((value) => value.toFixed(2)),
      s.peakMb.toFixed(0),
      ratio(s.announceS, first?.announceS),
      ratio(s.announceCpuS, first?.announceCpuS),
      ratio(s.withdrawS, first?.withdrawS),
      ratio(s.peakMb, first?.peakMb),
    ]);
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows)
    process.stdout.write(`${row.map((cell, column) => cell.padStart(widths[column]!)).join('  ')}\n`);
  for (const s of summaries) for (const text of s.wrong) process.stdout.write(`${s.name}: ${text}\n`);
  process.stdout.write('ratios are to leafd: above 1x leafd is better\n');
}

const running = new Set<ChildProcess>();

async function main(): Promise<number> {
  const wanted = flags.only?.split(',');
  const duts = knownDuts(root, built).filter((dut) => wanted === undefined || wanted.includes(dut.name));
  const present = duts.filter((dut) => dut.isInstalled());
  const absent = duts.filter((dut) => !dut.isInstalled()).map((dut) => dut.name);
  if (absent.length > 0) process.stderr.write(`not installed or not built: ${absent.join(', ')}\n`);
  const results = new Map<string, TesterResult[]>(present.map((dut) => [dut.name, []]));
  setUp();
  for (let round = 0; round < rounds; round++) {
    for (const dut of present) {
      process.stderr.write(`round ${round + 1}/${rounds}: ${dut.name} …`);
      const result = await measure(dut);
      results.get(dut.name)!.push(result);
      const seconds =
        result.phases.announce === undefined
          ? result.wrong.join()
          : `${(result.phases.announce.wallMs / 1000).toFixed(2)} s`;
      process.stderr.write(` ${seconds}\n`);
    }
  }
  const summaries = present.map((dut) => summarize(dut.name, results.get(dut.name)!));
  if (flags.json) process.stdout.write(`${JSON.stringify({ count, rounds, summaries }, undefined, 2)}\n`);
  else {
    const load = loadavg()[0]!.toFixed(1);
    process.stdout.write(`${count} IPv4 routes, ${rounds} rounds, ${cpus().length} CPUs, load ${load}\n`);
    print(summaries);
  }
  return summaries.some((summary) => summary.wrong.length > 0) ? 1 : 0;
}

const giveUp = (): void => {
  for (const child of running) child.kill('SIGKILL');
  tearDown();
  process.exit(130);
};
process.on('SIGINT', giveUp);
process.on('SIGTERM', giveUp);
try {
  process.exitCode = await main();
} finally {
  for (const child of running) child.kill('SIGKILL');
  tearDown();
}
