// A leaf's daemon is killed or stopped under traffic and started again: the kernel forwards on and nobody else notices
// (RFC 4724, both roles). What leafd wrote comes back when it is deleted; what others wrote stays, through apply,
// restart and flush; and flush removes exactly what is leafd's.

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { KernelView, PeerDetailView, RoutesView, StatusView } from '../../src/api/views.ts';
import {
  exampleFabric,
  leafdPath,
  type Running,
  run,
  runOrThrow,
  seenRoutes,
  until,
  watchRoutes,
} from '../support/fabric.ts';
import { describeTraffic, type Flow, trafficDuring } from '../support/traffic.ts';

const fabric = exampleFabric('clos', 'restart');
const others = ['spine1', 'spine2', 'leaf2', 'leaf3'];

beforeAll(async () => {
  await fabric.up();
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

const flows: Flow[] = [
  { from: 'h1', to: '198.18.3.2' },
  { from: 'h6', to: '198.18.1.1' },
  { from: 'h1', to: '2001:db8:100:3::2' },
  { from: 'h6', to: '2001:db8:100:1::1' },
  { from: 'h2', to: '198.18.3.1' },
  { from: 'h5', to: '2001:db8:100:1::2' },
];

/** UPDATEs that a router with no session to leaf1 has got so far, by peer. */
async function updatesOf(node: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const port of ['eth1', 'eth2']) {
    const { messages } = await fabric.get<PeerDetailView>(node, `/v1/peers/${port}`);
    counts[port] = messages.received.update;
  }
  return counts;
}

/** When each route of a router began, by prefix, peer and next hop. */
async function agesOf(node: string): Promise<Record<string, string>> {
  const { routes } = await fabric.get<RoutesView>(node, '/v1/routes?limit=1000');
  return Object.fromEntries(
    routes.map((route) => [`${route.prefix} ${route.peer} ${route.nextHop}`, route.since]),
  );
}

it.each([
  ['killed', ['--kill']],
  ['asked to stop', []],
])('a leaf that is %s and started again loses no packet and flaps no route', async (_, options) => {
  const monitors: Running[] = [];
  for (const node of others) monitors.push(await watchRoutes(fabric, node));
  const updates = await updatesOf('leaf3');
  const ages = await agesOf('leaf2');
  const formerPid = await fabric.pid('leaf1');
  const restart = () => fabric.lab<{ tookMs: number }>('restart', 'leaf1', ...options);
  const result = await trafficDuring(fabric, flows, restart, { afterSeconds: 3 });
  await fabric.allSessions();
  const settled = ({ bgp }: StatusView) => bgp.restarting === undefined;
  await until(() => fabric.get<StatusView>('leaf1', '/v1/status'), settled, {
    timeoutMs: 20_000,
    what: 'the end of the restart',
  });
  const seen = [];
  for (const monitor of monitors) seen.push(...seenRoutes(await monitor.stop()));
  const tookMs = (Date.now() - result.eventAtMs).toFixed(0);
  console.log(
    `ready after ${result.event.tookMs} ms, all seen over after ${tookMs} ms; ${result.flows.map(describeTraffic).join('; ')}`,
  );
  expect(await fabric.pid('leaf1')).not.toBe(formerPid);
  expect(result.flows.filter((flow) => flow.lost > 0).map(describeTraffic)).toEqual([]);
  expect(seen).toEqual([]);
  expect(await updatesOf('leaf3')).toEqual(updates);
  expect(await agesOf('leaf2')).toEqual(ages);
});

it('has its routes again after the restart, none stale, none left over', async () => {
  const { routes } = await fabric.get<RoutesView>('spine1', '/v1/routes?peer=eth1');
  // Its loopback and two hosts in each family; what it tells of spine2 has passed spine1's own AS.
  const accepted = routes.filter((route) => route.accepted);
  expect(accepted.map((route) => route.attributes.asPath)).toEqual(Array(6).fill('65101'));
  expect(routes.filter((route) => route.stale)).toEqual([]);
  const view = await fabric.get<KernelView>('leaf1', '/v1/kernel');
  expect(view.leftover).toEqual([]);
  expect(view.counts).toMatchObject({ intended: 16, installed: 16, pending: 0, failed: 0 });
});

it.each([
  ['-4', '198.18.3.2'],
  ['-6', '2001:db8:100:3::2'],
])('a route of ours that somebody deleted (%s) is back within 1 s', async (family, prefix) => {
  const show = () => fabric.out('leaf1', 'ip', '-N', family, 'route', 'show', prefix, 'proto', '179');
  const before = await show();
  expect(before).toContain(prefix);
  await runOrThrow(['ip', '-n', fabric.netns('leaf1'), family, 'route', 'del', prefix]);
  const startedMs = performance.now();
  expect(await until(show, (text) => text !== '', { timeoutMs: 1000, everyMs: 10 })).toBe(before);
  console.log(`route ${prefix} back after ${(performance.now() - startedMs).toFixed(0)} ms`);
});

it('next hops that somebody deleted, with their groups and routes, are back within 1 s', async () => {
  const show = async () => (await routesOfLeafd('leaf1')).map((line) => line.replace(/nhid \d+/, 'nhid N'));
  const before = await show();
  expect(before.length).toBe(16);
  await runOrThrow(['ip', '-n', fabric.netns('leaf1'), 'nexthop', 'flush', 'proto', '179']);
  const startedMs = performance.now();
  const whole = (lines: string[]) => lines.length === before.length;
  expect(await until(show, whole, { timeoutMs: 1000, everyMs: 10 })).toEqual(before);
  console.log(`next hops back after ${(performance.now() - startedMs).toFixed(0)} ms`);
});

const foreign4 = '203.0.113.0/24';
const foreign6 = '2001:db8:f00::/48';

async function foreignRoutes(): Promise<string[]> {
  const lines = [];
  for (const [family, prefix] of [
    ['-4', foreign4],
    ['-6', foreign6],
  ] as const)
    lines.push((await fabric.out('leaf1', 'ip', family, 'route', 'show', prefix, 'proto', 'static')).trim());
  return lines;
}

it('routes by hand survive apply, restart and flush, and flush removes exactly what is leafd’s', async () => {
  const netns = fabric.netns('leaf1');
  await runOrThrow(['ip', '-n', netns, 'route', 'add', foreign4, 'dev', 'vm1', 'proto', 'static']);
  await runOrThrow(['ip', '-n', netns, 'route', 'add', foreign6, 'dev', 'vm1', 'proto', 'static']);
  // A route of FRR's number and one of a person's, at the same prefix as one of ours.
  await runOrThrow([
    'ip',
    '-n',
    netns,
    'route',
    'add',
    '10.255.1.3',
    'dev',
    'vm1',
    'proto',
    '186',
    'metric',
    '500',
  ]);
  const byHand = await foreignRoutes();
  expect(byHand.every((line) => line.includes('dev vm1'))).toBe(true);

  const config = await readFile(fabric.configOf('leaf1'), 'utf8');
  const extra = `${fabric.directory('leaf1')}/extra.yaml`;
  await run(['tee', extra], { input: config.replace('\nbgp:\n', '\nbgp:\n  networks: [192.0.2.0/24]\n') });
  for (const file of [extra, fabric.configOf('leaf1')])
    expect((await fabric.leafctl('leaf1', 'apply', file)).exitCode).toBe(0);
  expect(await foreignRoutes()).toEqual(byHand);
  await fabric.lab('restart', 'leaf1', '--kill');
  await fabric.allSessions();
  await until(
    () => fabric.get<StatusView>('leaf1', '/v1/status'),
    ({ bgp }) => bgp.restarting === undefined,
    { timeoutMs: 20_000 },
  );
  expect(await foreignRoutes()).toEqual(byHand);

  const { sysctls } = await fabric.get<KernelView>('leaf1', '/v1/kernel');
  expect(sysctls.length).toBeGreaterThan(0);
  await fabric.lab('stop', 'leaf1');
  const before = await allRoutes('leaf1');
  expect(before.filter((line) => / proto 179 /.test(line)).length).toBe(16);
  const state = `${fabric.directory('leaf1')}/state`;
  const flushed = await fabric.inside('leaf1', leafdPath, '--flush', '--state', state);
  console.log(flushed.stdout.trim());
  expect(flushed).toMatchObject({ exitCode: 0, stderr: '' });
  const loopback = /^(\d )?(10\.255\.1\.1|2001:db8:ffff:1::1) dev lo /;
  const ours = (line: string) => / proto 179 /.test(line) || loopback.test(line);
  expect(await allRoutes('leaf1')).toEqual(before.filter((line) => !ours(line)));
  expect(await fabric.out('leaf1', 'ip', 'nexthop', 'show', 'proto', '179')).toBe('');
  expect(await foreignRoutes()).toEqual(byHand);
  expect(await fabric.out('leaf1', 'ip', '-N', 'route', 'show', 'proto', '186')).toContain('10.255.1.3');
  expect(await fabric.out('leaf1', 'ip', '-br', 'addr', 'show', 'lo')).not.toMatch(
    /10\.255\.1\.1|2001:db8:ffff:1::1/,
  );
  // What a port of this lab has before any daemon: that of a host, but for forwarding.
  for (const { name } of sysctls.filter((one) => !/forward/.test(one.name))) {
    const pristine = await sysctlOf('h1', name.replace(/\.eth\d\./, '.eth0.'));
    expect(`${name} ${await sysctlOf('leaf1', name)}`).toBe(`${name} ${pristine}`);
  }
  await fabric.lab('restart', 'leaf1');
  await fabric.allSessions();
});

const sysctlOf = async (node: string, name: string): Promise<string> =>
  (await fabric.out(node, 'cat', `/proc/sys/${name.replaceAll('.', '/')}`)).trim();

async function routesOfLeafd(node: string): Promise<string[]> {
  return (await allRoutes(node)).filter((line) => / proto 179 /.test(line));
}

async function allRoutes(node: string): Promise<string[]> {
  const lines = [];
  for (const family of ['-4', '-6'])
    lines.push(
      ...(await fabric.out(node, 'ip', '-o', '-N', family, 'route', 'show', 'table', 'all'))
        .trim()
        .split('\n'),
    );
  return lines.map((line) => line.trim().replace(/ pref medium$/, '')).sort();
}
