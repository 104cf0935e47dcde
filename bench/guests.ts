// A full hypervisor: `npm run bench -- guests [--guests 2000] [--rounds 3] [--form taps] [-j]`. leafd with guests on two bridges (a
// bridge takes 1023 ports), then the same guests on routed taps, each guest with an IPv4 and an IPv6 address; another
// leafd as its neighbour, in a namespace beside. Measured: one request that attaches all over REST until the neighbour
// has every route, resident memory and what it grows by, detaching all, and a restart by kill -9: how long it takes to
// die, from then until all guests are attached, the session is up and the kernel has everything again, and until the
// graceful restart is over, which takes its time for ports to find their neighbours (src/router/restart.ts); with the
// routes that the neighbour lost meanwhile (none). Needs root.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = process.env.LEAFD_ROOT ?? process.cwd();
const { values: flags } = parseArgs({
  options: {
    guests: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '3' },
    /** One of the two forms alone. */
    form: { type: 'string' },
    json: { type: 'boolean', short: 'j', default: false },
  },
});
const COUNT = Number(flags.guests);
const ROUNDS = Number(flags.rounds);
const BRIDGE_PORTS = 1000;
const TIMEOUT_MS = 60_000;
const HYPERVISOR = `leafd-guests-${process.pid}-hv`;
const NEIGHBOUR = `leafd-guests-${process.pid}-tor`;
const GUESTS = `leafd-guests-${process.pid}-vm`;

type Form = 'bridges' | 'taps';

interface Result {
  form: Form;
  guests: number;
  attachMs: number;
  /** The request alone: in the kernel and on disk when it is answered. */
  requestMs: number;
  growthMiB: number;
  residentMiB: number;
  killMs: number;
  /** Attached, routed and Established again; then until the graceful restart is over. */
  restoredMs: number;
  restartMs: number;
  lostInRestart: number;
  detachMs: number;
}

const ip = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8' });
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const nowMs = (): number => performance.now();

function setUp(form: Form): void {
  for (const name of [HYPERVISOR, NEIGHBOUR, GUESTS]) ip('netns', 'add', name);
  ip(...`link add up0 netns ${HYPERVISOR} type veth peer name up0 netns ${NEIGHBOUR}`.split(' '));
  for (const name of [HYPERVISOR, NEIGHBOUR])
    for (const device of ['lo', 'up0']) ip('-n', name, 'link', 'set', device, 'up');
  execFileSync('ip', ['netns', 'exec', GUESTS, 'sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
  const lines: string[] = [];
  if (form === 'bridges')
    for (let b = 0; b * BRIDGE_PORTS < COUNT; b++) lines.push(`link add vmbr${b} type bridge`);
  for (let i = 0; i < COUNT; i++) {
    lines.push(`link add tap${i} type veth peer name eth${i} netns ${GUESTS}`);
    if (form === 'bridges') lines.push(`link set tap${i} master vmbr${Math.floor(i / BRIDGE_PORTS)}`);
    lines.push(`link set tap${i} up`);
  }
  batch(HYPERVISOR, lines);
  batch(
    GUESTS,
    Array.from({ length: COUNT }, (_, i) => `link set eth${i} address ${macOf(i)} up`),
  );
}

function batch(netns: string, lines: readonly string[]): void {
  execFileSync('ip', ['-n', netns, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

function tearDown(): void {
  for (const name of [HYPERVISOR, NEIGHBOUR, GUESTS]) {
    try {
      ip('netns', 'delete', name);
    } catch {
      // It was never made.
    }
  }
}

const macOf = (i: number): string => `02:10:00:00:${hexByte(i >> 8)}:${hexByte(i & 255)}`;
const hexByte = (value: number): string => value.toString(16).padStart(2, '0');

function bodies(): string {
  const guests = Array.from({ length: COUNT }, (_, i) => ({
    name: `vm${i}`,
    port: `tap${i}`,
    mac: macOf(i),
    addresses: [`198.18.${i >> 8}.${i & 255}`, `2001:db8:100::${(i + 1).toString(16)}`],
  }));
  return JSON.stringify({ guests });
}

function configuration(form: Form): string {
  const where =
    form === 'bridges'
      ? `bridges: [${Array.from({ length: Math.ceil(COUNT / BRIDGE_PORTS) }, (_, b) => `{name: vmbr${b}}`).join(', ')}]`
      : 'taps: ["tap*"]';
  return [
    'node: {name: hypervisor}',
    'bgp:',
    '  asn: 65101',
    '  profile: host',
    '  loopbacks: [10.255.1.1/32]',
    '  peers: [{interface: up0, remoteAs: external, timers: {hold: 9s, connectRetry: 1s}}]',
    `guests: {${where}}`,
    '',
  ].join('\n');
}

const neighbourConfiguration = [
  'node: {name: tor}',
  'bgp:',
  '  asn: 65001',
  '  profile: fabric',
  '  loopbacks: [10.255.0.1/32]',
  '  peers: [{interface: up0, remoteAs: external, timers: {hold: 9s, connectRetry: 1s}}]',
  '',
].join('\n');

interface Node {
  socket: string;
  child: ChildProcess;
}

function start(netns: string, name: string, text: string, directory: string): Node {
  const file = join(directory, `${name}.yaml`);
  const socket = join(directory, `${name}.sock`);
  writeFileSync(file, text);
  // For profiles, as in duts.ts: LEAFD_BENCH_NODE_FLAGS='--cpu-prof --cpu-prof-dir=DIR'.
  const nodeFlags = process.env.LEAFD_BENCH_NODE_FLAGS?.split(' ') ?? [];
  const program = nodeFlags.length === 0 ? [] : [process.execPath, ...nodeFlags];
  const words = [...program, join(root, 'bin', 'leafd'), '--config', file, '--socket', socket];
  const child = spawn('ip', ['netns', 'exec', netns, ...words, '--state', join(directory, `${name}.state`)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return { socket, child };
}

async function end({ child }: Node, signal: NodeJS.Signals): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

// biome-ignore lint/suspicious/noExplicitAny: answers of the API, of which single numbers are read.
function ask(node: Node, method: string, path: string, body?: string): Promise<any> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const asked = request({ socketPath: node.socket, method, path, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 200)}`));
      });
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = nowMs() + TIMEOUT_MS;
  while (!(await holds().catch(() => false))) {
    if (nowMs() > deadline) throw new Error(`not within ${TIMEOUT_MS} ms: ${what}`);
    await sleep(10);
  }
}

async function prefixes(node: Node): Promise<number> {
  const { routes } = await ask(node, 'GET', '/v1/status');
  return (routes as { prefixes: number }[]).reduce((sum, one) => sum + one.prefixes, 0);
}

const rssKb = (node: Node): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.child.pid}/status`, 'utf8'))![1]);

async function measure(form: Form, directory: string): Promise<Result> {
  const tor = start(NEIGHBOUR, 'tor', neighbourConfiguration, directory);
  let hypervisor = start(HYPERVISOR, 'hv', configuration(form), directory);
  try {
    await until('the session is up', async () => (await prefixes(tor)) >= 2);
    const ports = async () => (await ask(hypervisor, 'GET', '/v1/status')).guests?.ports === COUNT;
    await until('all ports are known', ports);
    await sleep(3000);
    const [own, before] = [await prefixes(tor), rssKb(hypervisor)];
    const all = own + 2 * COUNT;
    const attachAt = nowMs();
    await ask(hypervisor, 'POST', '/v1/guests', bodies());
    const requestMs = nowMs() - attachAt;
    await until('all are announced', async () => (await prefixes(tor)) === all);
    const attachMs = nowMs() - attachAt;
    await sleep(3000);
    const residentMiB = rssKb(hypervisor) / 1024;
    const growthMiB = residentMiB - before / 1024;
    const { killMs, restoredMs, restartMs, lostInRestart, again } = await restart(
      tor,
      hypervisor,
      form,
      directory,
      all,
    );
    hypervisor = again;
    const detachAt = nowMs();
    for (let i = 0; i < COUNT; i += 50)
      await Promise.all(
        Array.from({ length: Math.min(50, COUNT - i) }, (_, n) =>
          ask(hypervisor, 'DELETE', `/v1/guests/vm${i + n}`),
        ),
      );
    await until('all are withdrawn', async () => (await prefixes(tor)) === own);
    const detachMs = nowMs() - detachAt;
    const times = { attachMs, requestMs, killMs, restoredMs, restartMs, detachMs };
    return { form, guests: COUNT, ...times, growthMiB, residentMiB, lostInRestart };
  } finally {
    await end(hypervisor, 'SIGTERM');
    await end(tor, 'SIGTERM');
  }
}

/** Killed, started again: until the neighbour has heard the End-of-RIB of the new life; its fewest routes meanwhile. */
async function restart(
  tor: Node,
  killed: Node,
  form: Form,
  directory: string,
  all: number,
): Promise<{ killMs: number; restoredMs: number; restartMs: number; lostInRestart: number; again: Node }> {
  const killedAt = nowMs();
  await end(killed, 'SIGKILL');
  const startedAt = nowMs();
  const killMs = startedAt - killedAt;
  const again = start(HYPERVISOR, 'hv', configuration(form), directory);
  let fewest = all;
  let restoredMs = 0;
  await until('everything is as before', async () => {
    fewest = Math.min(fewest, await prefixes(tor));
    const { guests, bgp, kernel } = await ask(again, 'GET', '/v1/status');
    const attached = guests?.addresses.attached === 2 * COUNT;
    const isRestored = attached && bgp.peers.established === 1 && kernel.pending === 0;
    if (isRestored && restoredMs === 0) restoredMs = nowMs() - startedAt;
    return isRestored && bgp.restarting === undefined;
  });
  const restartMs = nowMs() - startedAt;
  fewest = Math.min(fewest, await prefixes(tor));
  return { killMs, restoredMs, restartMs, lostInRestart: all - fewest, again };
}

const results: Result[] = [];
const forms = (['bridges', 'taps'] as const).filter((form) => (flags.form ?? form) === form);
for (const form of forms)
  for (let round = 0; round < ROUNDS; round++) {
    const directory = mkdtempSync(join(tmpdir(), 'leafd-guests-'));
    try {
      setUp(form);
      results.push(await measure(form, directory));
    } finally {
      tearDown();
      rmSync(directory, { recursive: true, force: true });
    }
  }

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
for (const form of forms) {
  const of = results.filter((one) => one.form === form);
  const mid = (key: keyof Result): number => median(of.map((one) => one[key] as number));
  const line = {
    form,
    guests: COUNT,
    rounds: of.length,
    attachMs: Math.round(mid('attachMs')),
    requestMs: Math.round(mid('requestMs')),
    growthMiB: Number(mid('growthMiB').toFixed(1)),
    residentMiB: Math.round(mid('residentMiB')),
    killMs: Math.round(mid('killMs')),
    restoredMs: Math.round(mid('restoredMs')),
    restartMs: Math.round(mid('restartMs')),
    lostInRestart: Math.max(...of.map(({ lostInRestart }) => lostInRestart)),
    detachMs: Math.round(mid('detachMs')),
  };
  const text =
    `${COUNT} guests, ${form === 'taps' ? 'routed taps' : form}: attached to announced in ${line.attachMs} ms (request ${line.requestMs} ms), ` +
    `+${line.growthMiB} MiB to ${line.residentMiB} MiB, killed in ${line.killMs} ms, restored in ${line.restoredMs} ms, restart over in ${line.restartMs} ms with ${line.lostInRestart} routes lost, detached in ${line.detachMs} ms`;
  process.stdout.write(flags.json ? `${JSON.stringify(line)}\n` : `${text}\n`);
}
