// Many sessions: `npm run bench -- scale [--peers 500] [--samples 400] [-j]`. leafd in one network namespace, all its
// neighbours in another as one process (crowd.ts). Measured: from the start of the process until every session is
// Established, resident memory with all of them idle, and how long an UPDATE takes from one neighbour to another in
// peace and while one session flaps. Needs root.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { CrowdOptions, CrowdResult } from './crowd.ts';

const built = dirname(fileURLToPath(import.meta.url));
const root = process.env.LEAFD_ROOT ?? process.cwd();
const { values: flags } = parseArgs({
  options: {
    peers: { type: 'string', default: '500' },
    samples: { type: 'string', default: '400' },
    json: { type: 'boolean', short: 'j', default: false },
  },
});
const DUT = `leafd-scale-${process.pid}-dut`;
const CROWD = `leafd-scale-${process.pid}-crowd`;
const FIRST_ASN = 60_000;

const options: CrowdOptions = {
  count: Number(flags.peers),
  firstAddress: '10.99.0.1',
  firstAsn: FIRST_ASN,
  samples: Number(flags.samples),
  pauseMs: 50,
  idleMs: 10_000,
  timeoutMs: 300_000,
};

const ip = (...words: string[]): void => {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
};

function setUp(): void {
  for (const name of [DUT, CROWD]) ip('netns', 'add', name);
  ip(...`link add scale0 netns ${DUT} type veth peer name scale0 netns ${CROWD}`.split(' '));
  ip('-n', DUT, 'address', 'add', '10.98.0.1/30', 'dev', 'scale0');
  ip('-n', CROWD, 'address', 'add', '10.98.0.2/30', 'dev', 'scale0');
  for (const name of [DUT, CROWD])
    for (const device of ['lo', 'scale0']) ip('-n', name, 'link', 'set', device, 'up');
  ip('-n', CROWD, 'route', 'add', 'local', '10.99.0.0/16', 'dev', 'lo');
  ip('-n', DUT, 'route', 'add', '10.99.0.0/16', 'via', '10.98.0.2');
}

function tearDown(): void {
  for (const name of [DUT, CROWD]) {
    try {
      ip('netns', 'delete', name);
    } catch {
      // It was never made.
    }
  }
}

function configuration(): string {
  const peers = Array.from({ length: options.count }, (_, index) => {
    const last = index + 1;
    return `    - {address: 10.99.${last >>> 8}.${last & 0xff}, remoteAs: ${FIRST_ASN + index}, group: crowd}`;
  });
  return [
    'node: {name: scale}',
    'bgp:',
    '  asn: 64999',
    '  routerId: 10.98.0.1',
    '  groups:',
    '    crowd:',
    '      families: [ipv4]',
    '      multihop: true',
    '      localAddress: 10.98.0.1',
    '      import: accept-all',
    '      export: accept-all',
    '      timers: {hold: 90s, connectRetry: 1s}',
    '  peers:',
    ...peers,
    'kernel: {fib: false}',
    '',
  ].join('\n');
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout!.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      if (text.includes('\n')) resolve(text);
    });
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${text}`)));
  });
}

async function run(directory: string): Promise<CrowdResult> {
  const file = join(directory, 'leafd.yaml');
  writeFileSync(file, configuration());
  const command = [process.execPath, join(built, 'crowd.mjs'), JSON.stringify(options)];
  const crowd = spawn('ip', ['netns', 'exec', CROWD, ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
  await firstLine(crowd);
  const daemonWords = [
    join(root, 'bin', 'leafd'),
    '--config',
    file,
    '--socket',
    join(directory, 'leafd.sock'),
  ];
  const startedMs = Date.now();
  const daemon = spawn('ip', ['netns', 'exec', DUT, ...daemonWords, '--state', join(directory, 'state')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    crowd.stdin!.write(`${JSON.stringify({ pid: daemon.pid, startedMs })}\n`);
    return JSON.parse(await firstLine(crowd)) as CrowdResult;
  } finally {
    crowd.kill('SIGKILL');
    daemon.kill('SIGTERM');
    await new Promise((resolve) => daemon.once('exit', resolve));
  }
}

const directory = mkdtempSync(join(tmpdir(), 'leafd-scale-'));
try {
  setUp();
  const result = await run(directory);
  const { idle, flapping } = result;
  if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else {
    const words = (one: typeof idle): string =>
      `p50 ${one.p50Ms.toFixed(1)} ms, p99 ${one.p99Ms.toFixed(1)} ms, most ${one.maxMs.toFixed(1)} ms, overtaken ${one.overtaken}`;
    process.stdout.write(
      `${options.count} sessions established ${result.allUpMs} ms after the start\n` +
        `resident memory with all idle: ${Math.round(result.idleRssKb / 1024)} MiB\n` +
        `UPDATE from one neighbour to another, in peace: ${words(idle)}\n` +
        `while one session flaps (${result.flaps} times): ${words(flapping)}\n` +
        `p99 ratio ${(flapping.p99Ms / idle.p99Ms).toFixed(2)}; sessions broken by others: ${result.brokenSessions}\n`,
    );
  }
} finally {
  tearDown();
  rmSync(directory, { recursive: true, force: true });
}
