// What a daemon has to bear: strangers on the BGP port, a second daemon, no rights, no room for its state, callers who
// may not write. The fabric's sessions and routes stay as they are all the while.

import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EventsView, PeersView, RoutesView, StatusView } from '../../src/api/views.ts';
import {
  editConfig,
  exampleFabric,
  leafdPath,
  residentBytes,
  root,
  run,
  runOrThrow,
  scratchFile,
  seenRoutes,
  start,
  until,
  watchRoutes,
} from '../support/fabric.ts';
import { describeTraffic, traffic } from '../support/traffic.ts';

const fabric = exampleFabric('clos', 'daemon');
const bare = `${fabric.name}-bare`;

beforeAll(async () => {
  await fabric.up();
  await runOrThrow(['ip', 'netns', 'add', bare]);
});

afterAll(async () => {
  await run(['ip', 'netns', 'delete', bare]);
  expect(await fabric.down()).toEqual([]);
});

async function sessions(): Promise<string[]> {
  const lines: string[] = [];
  for (const node of ['spine1', 'leaf1']) {
    const { peers } = await fabric.get<PeersView>(node, '/v1/peers');
    lines.push(...peers.map((peer) => `${node} ${peer.name} ${peer.state} ${peer.since}`));
    const { routes } = await fabric.get<RoutesView>(node, '/v1/routes?limit=1000');
    lines.push(...routes.map((route) => `${node} ${route.prefix} ${route.peer} ${route.since}`));
  }
  return lines.sort();
}

interface Intrusion {
  connected: number;
  refused: number;
  closed: number;
  bytesHeard: number;
  firstHeard: string;
}

async function intrude(from: string, mode: string, address: string, count = 1): Promise<Intrusion> {
  const script = join(root, 'test', 'support', 'intruder.mjs');
  return JSON.parse(
    await fabric.out(from, process.execPath, script, mode, address, String(count)),
  ) as Intrusion;
}

/** leaf1's link-local address as its neighbour spine1 reaches it, with the scope. */
async function neighbourOfSpine1(): Promise<string> {
  const { peers } = await fabric.get<PeersView>('spine1', '/v1/peers');
  const address = peers.find((peer) => peer.name === 'eth1')!.address!;
  return address.includes('%') ? address : `${address}%eth1`;
}

it.each([
  ['garbage', 'h1', '10.255.1.1'],
  ['half', 'h1', '2001:db8:ffff:1::1'],
  ['wrong', 'h1', '10.255.1.1'],
  ['garbage', 'h1', 'fe80::1%eth0'],
])('%s from %s, whom nobody knows, to %s is refused', async (mode, from, address) => {
  const before = await sessions();
  const intrusion = await intrude(from, mode, address, 3);
  expect(intrusion).toMatchObject({ closed: 3 });
  expect(await sessions()).toEqual(before);
});

it.each(['garbage', 'half', 'wrong'])(
  '%s from the address of a neighbour does not touch its session',
  async (mode) => {
    const before = await sessions();
    const intrusion = await intrude('spine1', mode, await neighbourOfSpine1(), 2);
    expect(intrusion.closed).toBe(2);
    // Not every one gets an answer; one that does gets a NOTIFICATION or an OPEN, never anything else.
    if (intrusion.bytesHeard > 0) expect(intrusion.firstHeard).toMatch(/^f{32}[0-9a-f]{4}0[13]/);
    expect(await sessions()).toEqual(before);
  },
);

it('a flood of connections from an unknown address loses no packet and no session', async () => {
  const before = await sessions();
  const pid = await fabric.pid('leaf1');
  const memory = residentBytes(pid);
  const packets = traffic(fabric, { from: 'h2', to: '198.18.3.2' }, 3);
  const startedMs = performance.now();
  const flood = await intrude('h1', 'flood', '10.255.1.1', 5000);
  const tookMs = performance.now() - startedMs;
  const { bgp } = await fabric.get<StatusView>('leaf1', '/v1/status');
  const grown = residentBytes(pid) - memory;
  console.log(
    `${flood.closed} connections in ${tookMs.toFixed(0)} ms, RSS ${(grown / 1e6).toFixed(1)} MB more`,
  );
  expect(flood.closed).toBe(5000);
  expect(bgp.peers.established).toBe(2);
  expect(describeTraffic(await packets)).toMatch(/: 0 of 300 lost/);
  expect(await sessions()).toEqual(before);
  expect(grown).toBeLessThan(60e6);
});

it('a second daemon is refused before it touches anything', async () => {
  const before = await sessions();
  const monitor = await watchRoutes(fabric, 'leaf1');
  const other = scratchFile(
    'second.yaml',
    editConfig(await runOrThrow(['cat', fabric.configOf('leaf1')]), ({ bgp }) => {
      bgp.asn = 65999;
      bgp.loopbacks = ['10.255.9.9/32'];
    }),
  );
  const state = `${fabric.directory('leaf1')}/second`;
  const second = (socket: string) =>
    fabric.inside('leaf1', leafdPath, '--config', other, '--socket', socket, '--state', state);
  expect(await second(fabric.socket('leaf1'))).toMatchObject({
    exitCode: 5,
    stderr: expect.stringMatching(/^leafd: another leafd answers on .*\nhint: /),
  });
  expect(await second(`${fabric.directory('leaf1')}/second.sock`)).toMatchObject({
    exitCode: 5,
    stderr: expect.stringMatching(/^leafd: cannot listen on port 179 .*\nhint: /),
  });
  expect(await fabric.out('leaf1', 'ip', '-br', 'addr', 'show', 'lo')).not.toContain('10.255.9.9');
  expect(seenRoutes(await monitor.stop())).toEqual([]);
  expect(await sessions()).toEqual(before);
});

it('without the rights it needs it says so', async () => {
  const config = fabric.configOf('leaf3');
  const paths = ['--socket', `${fabric.directory('leaf3')}/bare.sock`, '--state', fabric.directory('leaf3')];
  const noRights = ['setpriv', '--bounding-set=-all', '--inh-caps=-all'];
  const result = await run([
    'ip',
    'netns',
    'exec',
    bare,
    ...noRights,
    leafdPath,
    '--config',
    config,
    ...paths,
  ]);
  expect(result.exitCode).toBe(5);
  expect(result.stdout).toBe('');
  expect(result.stderr).toMatch(/^leafd: cannot .*(EPERM|EACCES)\)?\nhint: .*CAP_NET_/);
});

it('a full disk under its state is an event, not an end', async () => {
  const folder = `${fabric.directory('leaf3')}/full`;
  await mkdir(folder, { recursive: true });
  const socket = `${fabric.directory('leaf3')}/full.sock`;
  const config = scratchFile(
    'full.yaml',
    editConfig(
      await runOrThrow(['cat', fabric.configOf('leaf3')]),
      ({ bgp }) => (bgp.loopbacks = ['10.255.77.7/32']),
    ),
  );
  const mount = `mount -t tmpfs -o size=4k full ${folder} && head -c 4096 /dev/zero > ${folder}/fill`;
  const daemon = `exec ${leafdPath} --config ${config} --socket ${socket} --state ${folder}`;
  const running = start(['ip', 'netns', 'exec', bare, 'sh', '-c', `${mount} && ${daemon}`]);
  try {
    const ask = async () => (await run([join(root, 'bin', 'leafctl'), '-s', socket, '-j', 'events'])).stdout;
    const text = await until(ask, (seen) => seen.includes('kernel-refused'), { timeoutMs: 10_000 });
    const { events } = JSON.parse(text) as EventsView;
    const refused = events.filter((event) => event.kind === 'kernel-refused');
    expect(refused.length).toBe(1);
    expect(refused[0]).toMatchObject({
      level: 'warning',
      text: expect.stringMatching(/ENOSPC: no space left/),
    });
    expect(running.child.exitCode).toBeNull();
  } finally {
    await running.stop();
  }
});

it('a state folder that cannot be one is a clear error', async () => {
  const config = fabric.configOf('leaf3');
  const paths = ['--socket', `${fabric.directory('leaf3')}/none.sock`, '--state', `${config}/below`];
  const result = await run(['ip', 'netns', 'exec', bare, leafdPath, '--config', config, ...paths]);
  expect(result.exitCode).toBe(5);
  expect(result.stderr).toMatch(/^leafd: .*leafd\.yaml\/below/);
});

it('a configuration that is wrong or absent ends the start with 4 and the place', async () => {
  const wrong = join(root, 'test', 'bad-config', 'unknown-key.yaml');
  const inBare = (...argv: string[]) => run(['ip', 'netns', 'exec', bare, leafdPath, ...argv]);
  expect(await inBare('--config', wrong)).toMatchObject({
    exitCode: 4,
    stderr: expect.stringMatching(/^leafd: .*unknown-key\.yaml:6:3: bgp\.multipaths/),
  });
  expect(await inBare('--config', '/nonexistent/leafd.yaml')).toMatchObject({
    exitCode: 4,
    stderr: expect.stringMatching(/^leafd: .*\/nonexistent\/leafd\.yaml/),
  });
});

it('lets nobody but root write', async () => {
  const socket = fabric.socket('leaf1');
  const ask = `
    const { request } = require('node:http');
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    for (const [method, path] of [['GET', '/v1/status'], ['POST', '/v1/peers/eth1/shutdown'], ['POST', '/v1/apply']]) {
      const call = request({ socketPath: process.argv[1], method, path }, (answer) => {
        answer.resume().on('end', () => console.log(method, path, answer.statusCode));
      });
      call.on('error', (error) => console.log(method, path, error.code));
      call.end(method === 'POST' ? '{}' : undefined);
    }`;
  const asNobody = async () =>
    (await runOrThrow([process.execPath, '-e', ask, socket])).trim().split('\n').sort();
  const before = await sessions();
  expect(await asNobody()).toEqual([
    'GET /v1/status EACCES',
    'POST /v1/apply EACCES',
    'POST /v1/peers/eth1/shutdown EACCES',
  ]);
  try {
    // A socket whose mode somebody has opened still tells a reader from a writer.
    await chmod(socket, 0o666);
    expect(await asNobody()).toEqual([
      'GET /v1/status 200',
      'POST /v1/apply 403',
      'POST /v1/peers/eth1/shutdown 403',
    ]);
  } finally {
    await chmod(socket, 0o660);
  }
  expect(await sessions()).toEqual(before);
});

it('SIGTERM leaves the kernel forwarding', async () => {
  const count = async () =>
    (await fabric.out('leaf2', 'ip', 'route', 'show', 'proto', '179')).trim().split('\n').length;
  const routes = await count();
  expect(routes).toBe(8);
  await fabric.lab('stop', 'leaf2');
  expect(await count()).toBe(routes);
  expect(fabric.log('leaf2').trim().split('\n').at(-1)).toMatch(/leafd restarts|forwarding/);
  expect(describeTraffic(await traffic(fabric, { from: 'h3', to: '198.18.3.1' }, 0.5))).toMatch(
    /: 0 of 50 lost/,
  );
  await fabric.lab('restart', 'leaf2');
  await fabric.allSessions();
});

it('leafctl says who does not answer', async () => {
  const result = await run([join(root, 'bin', 'leafctl'), '-s', '/nonexistent/leafd.sock', 'peers']);
  expect(result).toMatchObject({ exitCode: 3, stdout: '', stderr: expect.stringMatching(/\nhint: /) });
});
