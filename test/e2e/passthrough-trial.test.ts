// Confirmed apply: a NIC that was given to the router comes home when no ToR answers in time, with everything it had, so
// that a node is never lost by a mistake. An operator who has mended the fabric says so, and it goes in again.

import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run, until } from '../support/fabric.ts';
import {
  configureFrr,
  hostStateCommands,
  type LabData,
  linkOf,
  passthroughFabric,
  passthroughView,
  routerOf,
  routesOf,
  routesOfLink,
  services,
  tcpSourceSeen,
} from '../support/passthrough.ts';

const before = `/tmp/leafd-trial-${process.pid}`;
const neighbour = 'neighbor 192.168.11.3 remote-as 64514';

const fabric = passthroughFabric('pttrial', (lab: LabData) => {
  lab.nodes.node1.commands = [
    // A route of the host through its NIC, and one of IPv6, which have to come back as well.
    'ip route add 198.51.100.0/24 via 192.168.11.2 dev eth1 proto static',
    'ip -6 route add 2001:db8:99::/48 via fd00:11::2 dev eth1 proto static metric 50',
    'ip link set eth1 mtu 1400',
    ...hostStateCommands(before),
  ];
  lab.nodes.node1.config.passthrough.confirm = '5s';
  const { tor } = lab.nodes;
  tor.config = tor.config.replace(/^ *router bgp[\s\S]*?^ *exit$/m, (text: string) =>
    text.replace(/^ *neighbor .*\n/gm, ''),
  );
});

const eth1 = () => run(['ip', '-n', fabric.netns('node1'), '-j', 'addr', 'show', 'dev', 'eth1']);
const isHome = async () => (await eth1()).exitCode === 0;

beforeAll(async () => {
  await fabric.up({ waitSeconds: 0 });
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
  await run(['rm', '-f', ...['sysctl', 'addr', 'route', 'yaml'].map((what) => `${before}.${what}`)]);
});

async function homeAsBefore(): Promise<void> {
  expect(linkOf((await eth1()).stdout)).toEqual(linkOf(readFileSync(`${before}.addr`, 'utf8')));
  const wanted = routesOf(readFileSync(`${before}.route`, 'utf8'));
  const look = () => routesOfLink(fabric, 'node1', 'eth1');
  await until(look, (seen) => JSON.stringify(seen) === JSON.stringify(wanted), {
    timeoutMs: 3000,
    what: wanted.join('\n'),
  });
}

it('a NIC goes in on trial, and comes home with all it had when no session is up in time', async () => {
  const running = await until(
    () => passthroughView(fabric),
    ({ trial }) => trial.state === 'running',
    { timeoutMs: 5000, everyMs: 20 },
  );
  expect(running.trial.uplinks).toEqual(['eth1']);
  expect(await isHome()).toBe(false);
  const startedMs = performance.now();
  await until(isHome, Boolean, { timeoutMs: 10_000, what: 'eth1' });
  const rolledBack = await until(
    () => passthroughView(fabric),
    ({ state }) => state === 'rolledBack',
    { timeoutMs: 5000 },
  );
  console.log(
    `home ${(performance.now() - startedMs).toFixed(0)} ms after the look; ${rolledBack.trial.reason}`,
  );
  await homeAsBefore();
  expect(await fabric.leafctl('node1', 'passthrough')).toMatchObject({ exitCode: 1 });
});

it('stays home through a reload of the same, and is tried again when the operator says so', async () => {
  await fabric.leafctl('node1', 'apply', fabric.configOf('node1'));
  expect(await isHome()).toBe(true);
  expect((await fabric.leafctl('node1', 'passthrough', 'retry')).exitCode).toBe(0);
  await until(isHome, (home) => !home, { timeoutMs: 3000, what: 'eth1 in the router' });
  await until(isHome, Boolean, { timeoutMs: 10_000, what: 'eth1' });
  await until(
    () => passthroughView(fabric),
    ({ state }) => state === 'rolledBack',
    { timeoutMs: 5000 },
  );
  await homeAsBefore();
});

it('is tried again under another AS, and what the sessions said is told with the end', async () => {
  const [own, other] = [fabric.configOf('node1'), `${before}.yaml`];
  writeFileSync(other, readFileSync(own, 'utf8').replaceAll('64514', '64599'));
  for (const file of [other, own]) {
    expect((await fabric.leafctl('node1', 'apply', file)).exitCode).toBe(0);
    await until(isHome, (home) => !home, { timeoutMs: 3000, what: 'eth1 in the router' });
    await until(isHome, Boolean, { timeoutMs: 10_000, what: 'eth1' });
    const { reason } = await until(
      () => passthroughView(fabric),
      ({ state }) => state === 'rolledBack',
      { timeoutMs: 5000 },
    );
    expect(reason?.text).toMatch(/within 5 s: 192\.168\.11\.2 \S/);
  }
  expect((await fabric.leafctl('node1', 'status')).stdout).toContain('leafctl passthrough says why');
  await homeAsBefore();
});

it('a kill of leafd in the trial does not end it: the NIC comes home in the life after', async () => {
  expect((await fabric.leafctl('node1', 'passthrough', 'retry')).exitCode).toBe(0);
  await until(isHome, (home) => !home, { timeoutMs: 3000, what: 'eth1 in the router' });
  await fabric.lab('restart', 'node1', '--kill');
  await until(isHome, Boolean, { timeoutMs: 12_000, what: 'eth1' });
  await until(
    () => passthroughView(fabric),
    ({ state }) => state === 'rolledBack',
    { timeoutMs: 5000 },
  );
  await homeAsBefore();
});

it('goes in for good when the ToR answers', async () => {
  await configureFrr(
    fabric,
    'tor',
    'router bgp 64512',
    neighbour,
    'neighbor 192.168.11.3 timers connect 1',
    'address-family ipv4 unicast',
    'neighbor 192.168.11.3 activate',
    'address-family ipv6 unicast',
    'neighbor 192.168.11.3 activate',
  );
  expect((await fabric.leafctl('node1', 'passthrough', 'retry')).exitCode).toBe(0);
  await until(
    () => passthroughView(fabric),
    ({ trial }) => trial.state === 'confirmed',
    { timeoutMs: 10_000, what: 'the trial' },
  );
  await fabric.allSessions(15_000);
  const ends = [
    { node: 'client', address: services.client.ipv4 },
    { node: 'node1', address: services.frr.ipv4 },
  ] as const;
  expect(await tcpSourceSeen(fabric, ...ends)).toBe(services.client.ipv4);
});

it('who cuts himself off by another neighbour while all is well gets his NIC back, and in again with the right one', async () => {
  const [own, other] = [fabric.configOf('node1'), `${before}.yaml`];
  const wrong = readFileSync(own, 'utf8').replaceAll(/(remoteAs"?: )64512/g, '$164999');
  expect(wrong).toContain('64999');
  writeFileSync(other, wrong);
  expect((await fabric.leafctl('node1', 'apply', other)).exitCode).toBe(0);
  expect(await isHome()).toBe(false);
  await until(
    () => passthroughView(fabric),
    ({ state }) => state === 'rolledBack',
    { timeoutMs: 10_000 },
  );
  await homeAsBefore();
  expect((await fabric.leafctl('node1', 'apply', own)).exitCode).toBe(0);
  await until(
    () => passthroughView(fabric),
    ({ trial }) => trial.state === 'confirmed',
    { timeoutMs: 10_000, what: 'the trial' },
  );
});

it('what was confirmed needs no trial at later starts, also without a ToR', async () => {
  await configureFrr(fabric, 'tor', 'router bgp 64512', `no ${neighbour}`);
  await fabric.lab('restart', 'node1', '--kill');
  await new Promise((resolve) => setTimeout(resolve, 7000));
  expect(await isHome()).toBe(false);
  expect((await run(['ip', '-n', routerOf(fabric), 'link', 'show', 'eth1'])).exitCode).toBe(0);
});
