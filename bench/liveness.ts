// BFD beside two full tables: `npm run bench -- liveness [--sessions 50] [--seconds 60] [--count 1000000]`. Two whole
// leafds with that many sessions between them, each watched by BFD at 3 x 50 ms, while two more neighbours of one of
// them announce a table and take it back without pause (feeder.ts). Wanted: no alarm. Then the link between the two
// swallows everything, and the time until every session is given up is told. Needs root and nftables.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { EventsView, PeersView, PeerView } from '../src/api/views.ts';
import type { FeederOptions } from './feeder.ts';

const built = dirname(fileURLToPath(import.meta.url));
const root = process.env.LEAFD_ROOT ?? process.cwd();
const { values: flags } = parseArgs({
  options: {
    sessions: { type: 'string', default: '50' },
    seconds: { type: 'string', default: '60' },
    count: { type: 'string', default: '1000000' },
  },
});
const sessions = Number(flags.sessions);
const seconds = Number(flags.seconds);
const A = `leafd-live-${process.pid}-a`;
const B = `leafd-live-${process.pid}-b`;
const FEED = `leafd-live-${process.pid}-feed`;
const ASN_A = 64_901;
const ASN_B = 64_902;
const directory = mkdtempSync(join(tmpdir(), 'leafd-live-'));
const children: ChildProcess[] = [];
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const ip = (words: string): void => {
  execFileSync('ip', words.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] });
};

function setUp(): void {
  for (const name of [A, B, FEED]) ip(`netns add ${name}`);
  ip(`link add live0 netns ${A} type veth peer name live0 netns ${B}`);
  ip(`link add feed0 netns ${A} type veth peer name feed0 netns ${FEED}`);
  for (let i = 0; i < sessions; i++) {
    ip(`-n ${A} address add 10.97.${i}.1/30 dev live0`);
    ip(`-n ${B} address add 10.97.${i}.2/30 dev live0`);
  }
  ip(`-n ${A} address add 10.99.0.1/24 dev feed0`);
  for (const last of [2, 3]) ip(`-n ${FEED} address add 10.99.0.${last}/24 dev feed0`);
  for (const [name, device] of [
    [A, 'live0'],
    [A, 'feed0'],
    [B, 'live0'],
    [FEED, 'feed0'],
  ] as const)
    for (const one of ['lo', device]) ip(`-n ${name} link set dev ${one} up`);
}

function tearDown(): void {
  for (const child of children) child.kill('SIGKILL');
  for (const name of [A, B, FEED]) {
    try {
      ip(`netns delete ${name}`);
    } catch {
      // It was never made.
    }
  }
  rmSync(directory, { recursive: true, force: true });
}

function configuration(asn: number, remoteAsn: number, far: 1 | 2): string {
  const near = far === 1 ? 2 : 1;
  const watched = Array.from(
    { length: sessions },
    (_, i) => `    - {address: 10.97.${i}.${far}, group: watched}`,
  );
  const feeders = [2, 3].map(
    (last) => `    - {address: 10.99.0.${last}, remoteAs: ${65_000 + last}, group: feeders}`,
  );
  return [
    `node: {name: side${near}}`,
    'bgp:',
    `  asn: ${asn}`,
    `  routerId: 10.97.0.${near}`,
    '  groups:',
    `    watched: {remoteAs: ${remoteAsn}, families: [ipv4], import: reject-all, export: reject-all, bfd: {interval: 50ms, multiplier: 3}, timers: {hold: 90s, connectRetry: 1s}}`,
    '    feeders: {families: [ipv4], import: accept-all, export: accept-all}',
    '  peers:',
    ...watched,
    ...(far === 2 ? feeders : []),
    'kernel: {fib: false}',
    '',
  ].join('\n');
}

function startDaemon(namespace: string, name: string, text: string): string {
  const folder = join(directory, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'leafd.yaml'), text);
  const socket = join(folder, 'leafd.sock');
  const files = [
    '--config',
    join(folder, 'leafd.yaml'),
    '--socket',
    socket,
    '--state',
    join(folder, 'state'),
  ];
  children.push(
    spawn('ip', ['netns', 'exec', namespace, join(root, 'bin', 'leafd'), ...files], {
      stdio: ['ignore', 'ignore', 'inherit'],
    }),
  );
  return socket;
}

function get<T>(socketPath: string, path: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const ask = request({ socketPath, path }, (answer) => {
      let text = '';
      answer.on('data', (bytes: Buffer) => {
        text += bytes.toString();
      });
      answer.on('end', () => resolve(JSON.parse(text) as T));
    });
    ask.on('error', reject);
    ask.end();
  });
}

async function watchedPeers(socket: string): Promise<PeerView[]> {
  try {
    const { peers } = await get<PeersView>(socket, '/v1/peers');
    return peers.filter(({ bfd }) => bfd !== undefined);
  } catch {
    return [];
  }
}

const isUp = (peer: PeerView): boolean =>
  peer.state === 'established' && peer.bfd?.session?.remoteState === 'up';

/** Rounds of both feeders so far. */
let rounds = 0;

function startFeeder(last: number): void {
  const options: FeederOptions = {
    address: `10.99.0.${last}`,
    dutAddress: '10.99.0.1',
    asn: 65_000 + last,
    count: Number(flags.count),
    seed: last,
  };
  const command = [process.execPath, join(built, 'feeder.mjs'), JSON.stringify(options)];
  const child = spawn('ip', ['netns', 'exec', FEED, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout!.on('data', (bytes: Buffer) => {
    rounds += bytes.toString().split('round').length - 1;
  });
  children.push(child);
}

async function measure(): Promise<void> {
  const a = startDaemon(A, 'a', configuration(ASN_A, ASN_B, 2));
  startDaemon(B, 'b', configuration(ASN_B, ASN_A, 1));
  let seen: PeerView[] = [];
  for (let tries = 0; tries < 300 && seen.filter(isUp).length < sessions; tries++) {
    await sleep(100);
    seen = await watchedPeers(a);
  }
  process.stdout.write(`${seen.filter(isUp).length} of ${sessions} sessions up with BFD\n`);
  for (const last of [2, 3]) startFeeder(last);
  await sleep(seconds * 1000);
  seen = await watchedPeers(a);
  const flaps = seen.reduce((sum, { bfd }) => sum + (bfd?.session?.flaps ?? 1), 0);
  const worst = Math.max(...seen.map(({ bfd }) => bfd?.session?.worstGapMs ?? -1));
  process.stdout.write(
    `${seconds} s beside ${rounds} tables of ${flags.count} routes announced and withdrawn: ` +
      `${seen.filter(isUp).length} up, ${flaps} false alarms, longest silence ${worst.toFixed(0)} ms of 150\n`,
  );
  await measureDrop(a, seen.length);
}

async function measureDrop(a: string, count: number): Promise<void> {
  const { next } = await get<EventsView>(a, '/v1/events?since=0&limit=1');
  const rules =
    'table inet swallow {\n chain input {\n  type filter hook input priority 0;\n  iifname "live0" drop\n }\n}\n';
  const droppedMs = Date.now();
  execFileSync('ip', ['netns', 'exec', A, 'nft', '-f', '-'], { input: rules });
  await sleep(1500);
  const { events } = await get<EventsView>(a, `/v1/events?since=${Math.max(0, next - 1)}&limit=10000`);
  const downs = events
    .filter(({ kind, at }) => kind === 'peer-down' && Date.parse(at) >= droppedMs)
    .map(({ at }) => Date.parse(at) - droppedMs)
    .sort((x, y) => x - y);
  process.stdout.write(
    `silent drop under the same load: ${downs.length} of ${count} sessions given up, ` +
      `first after ${downs[0] ?? -1} ms, last after ${downs.at(-1) ?? -1} ms (from the start of nft)\n`,
  );
}

try {
  setUp();
  await measure();
} finally {
  tearDown();
}
