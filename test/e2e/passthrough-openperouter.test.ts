// OpenPERouter's files as they are: its resources in the three spellings it has had, and the files of its static mode, one
// after the other in the directory that leafd watches. All of them come to the same addresses and routes in the router
// namespace, which are those of leafd's own configuration, and no session notices the change from one to the other.

import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runOrThrow, sleep, until } from '../support/fabric.ts';
import {
  applyEdited,
  establishedSince,
  frrPaths,
  type LabData,
  passthroughFabric,
  passthroughView,
  routerOf,
  services,
  tcpSourceSeen,
} from '../support/passthrough.ts';

const directory = mkdtempSync(join(tmpdir(), 'leafd-openpe-'));
const configs = join(directory, 'configs');

const passthrough = (group: string, spec: string) =>
  `apiVersion: ${group}/v1alpha1\nkind: L3Passthrough\nmetadata: {name: passthrough, namespace: openperouter-system}\nspec:\n  ${spec}\n`;
const underlay = (group: string, spec: string) =>
  `apiVersion: ${group}/v1alpha1\nkind: Underlay\nmetadata: {name: underlay, namespace: openperouter-system}\nspec: ${spec}\n`;
const cidrs = '{ipv4: 192.169.10.0/24, ipv6: "fd00:10::/64"}';
const old = 'openpe.openperouter.github.io';
const neighbors = 'neighbors: [{asn: 64512, address: 192.168.11.2}]';
const devices = 'interfaces: [{type: NetworkDevice, networkDevice: {interfaceName: eth1}}]';

/** Files below the directory. */
const generations: Record<string, Record<string, string>> = {
  A: {
    'node-config.yaml': 'nodeIndex: 0\nnodeName: node1\n',
    'configs/openpe_all.yaml': `${passthrough(old, `hostsession: {asn: 64514, hostasn: 64515, localcidr: ${cidrs}}`)}---
${underlay(old, `{asn: 64514, routeridcidr: 10.0.0.0/24, nics: [eth1], gracefulRestart: {}, ${neighbors}}`)}`,
  },
  B: {
    'node-config.yaml': 'nodeIndex: {index: 0}\nnodeName: node1\n',
    'configs/openpe_all.yaml': `${passthrough(old, `hostsession: {asn: 64514, hostasn: 64515, localcidr: ${cidrs}}`)}---
${underlay(old, `{asn: 64514, routeridcidr: 10.0.0.0/24, ${devices}, gracefulRestart: {}, ${neighbors}}`)}`,
  },
  C: {
    'node-config.yaml': 'nodeIndex: {index: 0}\n',
    'configs/openpe_all.yaml': `${passthrough('network.openperouter.io', `hostSession: {asn: 64514, hostASN: 64515, localCIDR: ${cidrs}}`)}---
${underlay('network.openperouter.io', `{asn: 64514, routerIDCIDR: 10.0.0.0/24, ${devices}, gracefulRestart: {}, ${neighbors}}`)}`,
  },
  static: {
    'node-config.yaml': 'nodeIndex: {index: 0}\nlogLevel: debug\n',
    'configs/openpe_passthrough.yaml': `bgppassthrough:\n  hostsession: {asn: 64514, hostasn: 64515, localcidr: ${cidrs}}\n`,
    'configs/openpe_underlay.yaml': `underlays:\n  - {asn: 64514, routeridcidr: 10.0.0.0/24, ${devices}, gracefulRestart: {}, ${neighbors}}\n`,
  },
};

/** Puts the files of a generation there, each whole or not at all, and takes those of others away. */
function put(generation: string): void {
  const files = generations[generation]!;
  mkdirSync(configs, { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    const file = join(directory, path);
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  }
  for (const name of readdirSync(configs)) if (!(`configs/${name}` in files)) rmSync(join(configs, name));
}

const fabric = passthroughFabric('ptope', (lab: LabData) => {
  delete lab.nodes['node1-bird'];
  lab.nodes.node1.config = { passthrough: { openperouter: { directory } } };
  lab.nodes.node1.sessions = 3;
});
const router = routerOf(fabric);

beforeAll(async () => {
  put('A');
  await fabric.up();
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
  rmSync(directory, { recursive: true });
});

const volatile = new Set([
  'ifindex',
  'link_index',
  'nhid',
  'valid_life_time',
  'preferred_life_time',
  'link_netnsid',
]);

/** Addresses and routes of the router namespace, as ip(8) tells them, without what differs by chance. */
async function dataplane(): Promise<string[]> {
  const lines: string[] = [];
  for (const words of [
    ['addr'],
    ['-4', 'route', 'show', 'table', 'all'],
    ['-6', 'route', 'show', 'table', 'all'],
  ]) {
    const list = JSON.parse(await runOrThrow(['ip', '-n', router, '-j', ...words])) as unknown[];
    lines.push(
      ...list.map((one) => JSON.stringify(one, (key, value) => (volatile.has(key) ? undefined : value))),
    );
  }
  return lines.sort();
}

const client = { node: 'client', address: services.client.ipv4 };
const service = { node: 'node1', address: services.frr.ipv4 };

async function works(): Promise<void> {
  const paths = () => frrPaths(fabric, 'tor', `${services.frr.ipv6}/128`);
  const seen = await until(paths, ({ length }) => length > 0, { timeoutMs: 10_000, what: 'the service' });
  expect(seen).toEqual([{ asPath: '64514 64515', nextHops: ['fd00:11::3'] }]);
  const ofHost = () => frrPaths(fabric, 'node1-frr', `${client.address}/32`);
  const heard = await until(ofHost, ({ length }) => length > 0, { timeoutMs: 10_000, what: 'the client' });
  expect(heard).toEqual([{ asPath: '64514 64512', nextHops: ['192.169.10.1'] }]);
  expect(await tcpSourceSeen(fabric, client, service)).toBe(client.address);
}

let first: string[];

it('resources of the first generation are a router, without another word of configuration', async () => {
  await fabric.allSessions(20_000);
  await works();
  const { openperouter, state } = await passthroughView(fabric);
  expect(state).toBe('up');
  expect(openperouter!.conditions).toEqual(
    expect.arrayContaining([expect.objectContaining({ type: 'Ready', status: 'True' })]),
  );
  expect(openperouter!.resources.map(({ kind, state }) => `${kind} ${state}`).sort()).toEqual([
    'L3Passthrough applied',
    'Underlay applied',
  ]);
  first = await dataplane();
  expect(first.some((line) => line.includes('"192.169.10.1"') && line.includes('pt-ns'))).toBe(true);
});

it.each(['B', 'C', 'static'])('files of %s come to the same, and no session notices', async (generation) => {
  const before = await establishedSince(fabric);
  put(generation);
  const files = Object.keys(generations[generation]!).filter((path) => path.startsWith('configs/'));
  const applied = async () => (await passthroughView(fabric)).openperouter!;
  const isRead = ({ resources }: Awaited<ReturnType<typeof applied>>) =>
    files.every((path) =>
      resources.some(({ where, state }) => where.file.endsWith(path) && state === 'applied'),
    );
  await until(applied, isRead, { timeoutMs: 5000, what: `files of ${generation}` });
  await sleep(1000);
  expect(await establishedSince(fabric)).toEqual(before);
  expect(await dataplane()).toEqual(first);
  await works();
});

it('a resource that is wrong is told, and what was good before it goes on', async () => {
  const before = await establishedSince(fabric);
  writeFileSync(
    join(configs, 'openpe_underlay.yaml'),
    generations.static!['configs/openpe_underlay.yaml']!.replace('64512', '"many"'),
  );
  const problems = async () => (await passthroughView(fabric)).openperouter!.failedResources;
  const failed = await until(problems, ({ length }) => length > 0, { timeoutMs: 5000, what: 'the fault' });
  expect(failed).toMatchObject([{ kind: 'Underlay', reason: 'ValidationFailed' }]);
  console.log(failed[0]!.message);
  expect(await establishedSince(fabric)).toEqual(before);
  put('static');
  await until(problems, ({ length }) => length === 0, { timeoutMs: 5000, what: 'the end of the fault' });
});

it('leafd’s own configuration comes to the same dataplane', async () => {
  await applyEdited(fabric, 'node1', (config) => {
    config.passthrough = {
      netns: config.passthrough.netns,
      uplinks: ['eth1'],
      localCIDR: { ipv4: '192.169.10.0/24', ipv6: 'fd00:10::/64' },
      speakers: [{ name: 'frr', remoteAs: 64515 }],
    };
    config.bgp = {
      asn: 64514,
      routerId: '10.0.0.1',
      peers: [{ address: '192.168.11.2', remoteAs: 64512, families: ['ipv4', 'ipv6'] }],
    };
  });
  await fabric.allSessions(20_000);
  await works();
  await until(dataplane, (seen) => JSON.stringify(seen) === JSON.stringify(first), {
    timeoutMs: 10_000,
    what: first.join('\n'),
  });
});

it('an Underlay that is taken away gives the NIC back', async () => {
  await fabric.lab('restart', 'node1');
  await fabric.allSessions(20_000);
  for (const name of readdirSync(configs)) rmSync(join(configs, name));
  const home = () => fabric.out('node1', 'ip', '-br', 'addr', 'show').catch(() => '');
  const isBack = (text: string) =>
    /eth1.*192\.168\.11\.3\/24.*fd00:11::3\/64/.test(text) && !text.includes('pt-host');
  await until(home, isBack, { timeoutMs: 10_000, what: 'eth1 at home' });
});
