// A Clos fabric at rest: it comes up in time, carries both families, stands in the kernel as documented, explains
// itself, answers quickly and stays small. Then that it is gone without a trace.

import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PeersView, StatusView, WhyView } from '../../src/api/views.ts';
import {
  editConfig,
  exampleFabric,
  leafctl,
  leafctlPath,
  residentBytes,
  run,
  scratchFile,
  until,
} from '../support/fabric.ts';
import { describeTraffic, traffic } from '../support/traffic.ts';

const fabric = exampleFabric('clos', 'clos');
let raised: Awaited<ReturnType<typeof fabric.up>>;

beforeAll(async () => {
  raised = await fabric.up();
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

const leaves = ['leaf1', 'leaf2', 'leaf3'];
const routers = ['spine1', 'spine2', ...leaves];

it('has all sessions established within 5 s of the daemons’ start', async () => {
  expect(raised.sessions).toMatchObject({ established: 12, expected: 12 });
  console.log(`sessions after ${raised.sessions.tookMs} ms, lab after ${raised.tookMs} ms`);
  expect(raised.sessions.tookMs).toBeLessThan(5000);
});

it('names its neighbours', async () => {
  const { peers } = await fabric.get<PeersView>('leaf1', '/v1/peers');
  const shown = peers
    .filter((peer) => peer.dynamic)
    .map(({ name, hostname, remoteAsn }) => ({ name, hostname, remoteAsn }));
  expect(shown).toEqual([
    { name: 'eth1', hostname: 'spine1', remoteAsn: 65001 },
    { name: 'eth2', hostname: 'spine2', remoteAsn: 65001 },
  ]);
});

it.each(['4', '6', 'ipv4', 'ipv6'])('loses no ping of family %s', async (family) => {
  const { exitCode, stdout } = await leafctl('lab', 'ping', fabric.name, 'h1', 'h6', '--family', family);
  expect(stdout).toMatch(/5 of 5 came back/);
  expect(exitCode).toBe(0);
});

it('carries packets between every pair of hosts in both families', async () => {
  const flows = [];
  for (let from = 1; from <= 6; from++)
    for (let to = 1; to <= 6; to++)
      if (from !== to)
        for (const make of [address4, address6]) flows.push({ from: `h${from}`, to: make(to) });
  const results = await Promise.all(flows.map((flow) => traffic(fabric, flow, 0.1)));
  expect(results.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
  expect(results).toHaveLength(60);
});

it('writes routes of protocol 179 through next-hop groups over IPv6 link-locals', async () => {
  const routes4 = await fabric.out('leaf1', 'ip', '-N', '-4', 'route');
  const routes6 = await fabric.out('leaf1', 'ip', '-N', '-6', 'route');
  for (const prefix of ['198.18.3.2', '10.255.1.3'])
    expect(routes4).toMatch(new RegExp(`^${prefix} nhid \\d+ proto 179 `, 'm'));
  expect(routes6).toMatch(/^2001:db8:100:3::2 nhid \d+ .*proto 179 /m);
  const nexthops = (await fabric.out('leaf1', 'ip', '-N', 'nexthop')).trim().split('\n');
  const group = /^198\.18\.3\.2 nhid (\d+)/m.exec(routes4)![1];
  const members = new RegExp(`^id ${group} group (\\d+)/(\\d+) .*proto 179`).exec(
    nexthops.find((line) => line.startsWith(`id ${group} `))!,
  )!;
  const gateways = members.slice(1).map((id) => nexthops.find((line) => line.startsWith(`id ${id} `)));
  expect(gateways).toHaveLength(2);
  expect(gateways.map((line) => /via (fe80::\S+) dev (eth[12]) /.exec(line!)?.[2]).sort()).toEqual([
    'eth1',
    'eth2',
  ]);
  for (const line of nexthops) expect(line).toMatch(/proto 179/);
});

it('takes no default route from a router advertisement and gives none', async () => {
  for (const node of routers) {
    expect(await fabric.out(node, 'ip', '-6', 'route', 'show', 'default')).toBe('');
    expect(await fabric.out(node, 'ip', '-6', 'route', 'show', 'proto', 'ra')).toBe('');
  }
});

it('has what it wants in the kernel of every router, and nothing failed', async () => {
  for (const node of routers) {
    const { kernel, routes } = await fabric.get<StatusView>(node, '/v1/status');
    expect({ node, ...kernel }).toMatchObject({ node, fib: true, pending: 0, failed: 0 });
    // 5 loopbacks and 6 hosts, but one's own loopback and hosts, in each family.
    const own = node.startsWith('leaf') ? 3 : 1;
    expect({ node, installed: kernel.installed }).toEqual({
      node,
      installed: 2 * (11 - own - (own === 1 ? 1 : 0)),
    });
    expect(routes.map((family) => family.prefixes)).toEqual(own === 1 ? [10, 10] : [11, 11]);
  }
});

it('says why: the winner, each loser and the rule that decided', async () => {
  const view = JSON.parse((await fabric.leafctl('leaf1', 'why', '198.18.3.2/32', '-j')).stdout) as WhyView;
  expect(view).toMatchObject({ kind: 'prefix', prefix: '198.18.3.2/32', kernel: { state: 'installed' } });
  expect(view.winner?.attributes.asPath).toBe('65001 65103');
  expect(view.paths.map((path) => path.verdict)).toEqual(['best', 'multipath']);
  for (const path of view.paths) {
    expect(path.reason.code).toMatch(/^[a-zA-Z]+$/);
    expect(path.reason.text).not.toBe('');
  }
  const why = await run([leafctlPath, '-s', fabric.socket('spine1'), '-j', 'why', '198.18.3.2']);
  expect(JSON.parse(why.stdout)).toMatchObject({ kind: 'address', prefix: '198.18.3.2/32' });
});

it('gives a loser its rule', async () => {
  // leaf2 announces the prefix of h5 as well, with a longer path.
  const before = await readFile(fabric.configOf('leaf2'), 'utf8');
  const worse = editConfig(before, (config) => {
    config.bgp.networks = ['198.18.3.1/32'];
    config.bgp.groups.fabric.export = 'worse';
    const rule = { name: 'longer', match: { prefixes: ['198.18.3.1/32'] }, set: { prepend: { count: 2 } } };
    config.policies = { worse: { default: 'accept', rules: [{ ...rule, action: 'accept' }] } };
  });
  expect((await fabric.leafctl('leaf2', 'apply', scratchFile('worse.yaml', worse))).stderr).toBe('');
  const why = async () =>
    JSON.parse((await fabric.leafctl('spine1', 'why', '198.18.3.1/32', '-j')).stdout) as WhyView;
  const view = await until(why, ({ paths }) => paths.length === 2, { timeoutMs: 3000 });
  expect(view.winner?.attributes.asPath).toBe('65103');
  const [best, loser] = view.paths;
  expect(best).toMatchObject({ verdict: 'best', route: { peer: 'eth3' } });
  expect(loser).toMatchObject({
    verdict: 'lost',
    route: { peer: 'eth2', attributes: { asPath: '65102 65102 65102', asPathLength: 3 } },
  });
  expect(loser!.reason).toMatchObject({ code: 'asPathLength' });
  expect((await fabric.leafctl('leaf2', 'apply', fabric.configOf('leaf2'))).exitCode).toBe(0);
  await until(why, ({ paths }) => paths.length === 1, { timeoutMs: 3000 });
});

it('answers `leafctl peers` quickly', async () => {
  const times: number[] = [];
  for (let attempt = 0; attempt < 5; attempt++) {
    const startedMs = performance.now();
    expect((await fabric.leafctl('leaf1', 'peers')).exitCode).toBe(0);
    times.push(performance.now() - startedMs);
  }
  times.sort((one, other) => one - other);
  console.log(
    `leafctl peers: ${times.map((ms) => ms.toFixed(0)).join(' ')} ms, median ${times[2]!.toFixed(0)} ms`,
  );
  // 150 ms on an idle machine; the bound leaves room for one that does other things as well.
  expect(times[2]).toBeLessThan(400);
});

it('needs less than 90 MB for an idle leaf', async () => {
  // What starting and the questions of the tests above have left behind is garbage that V8 collects when it has time.
  const pids = await Promise.all(leaves.map((leaf) => fabric.pid(leaf)));
  const measure = () => pids.map(residentBytes);
  const small = (sizes: number[]) => sizes.every((bytes) => bytes < 90e6);
  const sizes = await until(measure, small, {
    timeoutMs: 30_000,
    everyMs: 1000,
    what: 'idle memory below 90 MB',
  });
  console.log(`RSS of the leaves: ${sizes.map((bytes) => (bytes / 1e6).toFixed(1)).join(' ')} MB`);
  expect(Math.max(...sizes)).toBeLessThan(90e6);
});

function address4(host: number): string {
  return `198.18.${Math.ceil(host / 2)}.${2 - (host % 2)}`;
}

function address6(host: number): string {
  return `2001:db8:100:${Math.ceil(host / 2)}::${2 - (host % 2)}`;
}
