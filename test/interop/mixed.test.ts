// leafd among FRR, BIRD and GoBGP: sessions numbered and unnumbered, with and without passwords, packets across the
// borders of the implementations in both families, and tables that agree.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PeerDetailView, PeersView, RoutesView } from '../../src/api/views.ts';
import { exampleFabric, until } from '../support/fabric.ts';
import { describeTraffic, traffic, trafficDuring } from '../support/traffic.ts';

const fabric = exampleFabric('mixed', 'mixed');
let raised: Awaited<ReturnType<typeof fabric.up>>;

beforeAll(async () => {
  raised = await fabric.up({ waitSeconds: 20 });
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

const hosts = [1, 2, 3, 4];

it('has all sessions, and pings between all hosts, within 15 s of the start', async () => {
  console.log(`sessions after ${raised.sessions.tookMs} ms: ${JSON.stringify(raised.sessions)}`);
  expect(raised.sessions.established).toBe(raised.sessions.expected);
  expect(raised.sessions.expected).toBe(18);
  const flows = hosts.flatMap((from) =>
    hosts
      .filter((to) => to !== from)
      .flatMap((to) => [
        { from: `h${from}`, to: `198.18.${to}.1` },
        { from: `h${from}`, to: `2001:db8:100:${to}::1` },
      ]),
  );
  const startedMs = performance.now();
  const lossy = async () => {
    const results = await Promise.all(flows.map((flow) => traffic(fabric, flow, 0.1)));
    return results.filter((one) => one.lost > 0).map(describeTraffic);
  };
  const left = 15_000 - raised.sessions.tookMs!;
  await until(lossy, (seen) => seen.length === 0, { timeoutMs: left, what: 'pings between all hosts' });
  console.log(`all hosts reach all ${(performance.now() - startedMs).toFixed(0)} ms after the last session`);
});

it('knows its foreign neighbours', async () => {
  const { peers } = await fabric.get<PeersView>('spine1', '/v1/peers');
  const shown = peers
    .filter((peer) => peer.state === 'established')
    .map(({ name, remoteAsn, hostname }) => [name, remoteAsn, hostname]);
  expect(shown.sort()).toEqual([
    ['10.0.5.1', 65105, expect.any(String)],
    ['eth1', 65101, 'leaf1'],
    ['eth2', 65102, 'leaf2'],
    ['eth3', 65103, expect.any(String)],
    ['eth4', 65104, undefined],
  ]);
});

it.each([
  ['FRR', 'eth3', true],
  ['BIRD', 'eth4', false],
  ['GoBGP', '10.0.5.1', true],
])('the session with %s has what it should: families, password, End-of-RIB', async (_, name, password) => {
  const peer = await fabric.get<PeerDetailView>('spine1', `/v1/peers/${encodeURIComponent(name)}`);
  expect(peer.authenticated).toBe(password);
  expect(peer.families).toEqual(name === '10.0.5.1' ? ['ipv4'] : ['ipv4', 'ipv6']);
  for (const family of peer.byFamily) {
    expect(family.received).toBeGreaterThan(0);
    expect(family.advertised).toBeGreaterThan(0);
    expect(family.rejected + family.accepted).toBe(family.received);
  }
});

it('IPv4 goes over IPv6 next hops to FRR and BIRD, in both directions', async () => {
  const leaf = await fabric.out('leaf1', 'ip', '-4', 'route', 'get', '198.18.4.1', 'from', '10.255.1.1');
  expect(leaf).toMatch(/via inet6 fe80::/);
  const bird = await fabric.out('bird1', 'ip', '-4', 'route', 'show', '198.18.1.1');
  expect(bird).toMatch(/via inet6 fe80::/);
  const frr = await fabric.out('frr1', 'ip', '-4', 'route', 'get', '198.18.1.1');
  expect(frr).toMatch(/via inet6 fe80::/);
});

it('GoBGP has the very table that leafd says it has sent', async () => {
  const advertised = await fabric.get<RoutesView>(
    'spine1',
    `/v1/routes?peer=${encodeURIComponent('10.0.5.1')}&advertised=true&limit=1000`,
  );
  const sent = advertised.routes.filter(
    (route) => route.reason === undefined || route.reason.code === 'sent',
  );
  const rib = JSON.parse(await fabric.out('gobgp1', 'gobgp', 'global', 'rib', '-j')) as Record<
    string,
    { attrs: { type: number; as_paths?: { asns: number[] }[]; nexthop?: string }[]; stale?: boolean }[]
  >;
  const own = '10.255.1.5/32';
  const theirs = Object.entries(rib)
    .filter(([prefix]) => prefix !== own)
    .map(([prefix, paths]) => {
      const asns = paths[0]!.attrs
        .find((one) => one.type === 2)
        ?.as_paths?.flatMap((segment) => segment.asns);
      return `${prefix} ${(asns ?? []).join(' ')}`;
    });
  const ours = sent
    .filter((route) => route.prefix !== own)
    .map((route) => `${route.prefix} ${route.attributes.asPath}`);
  expect(theirs.sort()).toEqual(ours.sort());
  expect(theirs.length).toBeGreaterThanOrEqual(10);
  console.log(`GoBGP: ${theirs.length} routes equal`);
});

it('a host behind leafd reaches the GoBGP speaker', async () => {
  const result = await traffic(fabric, { from: 'h1', to: '10.255.1.5' }, 0.3);
  expect(describeTraffic(result)).toMatch(/: 0 of 30 lost/);
});

it('a cut between leafd and FRR moves the traffic over to the other spine', async () => {
  const flows = [1, 2, 4].flatMap((other) => [
    { from: 'h3', to: `198.18.${other}.1` },
    { from: 'h3', to: `2001:db8:100:${other}::1` },
    { from: `h${other}`, to: '198.18.3.1' },
    { from: `h${other}`, to: '2001:db8:100:3::1' },
  ]);
  const cut = await trafficDuring(fabric, flows, () => fabric.lab('cut', 'spine1:eth3'), { afterSeconds: 2 });
  console.log(`cut spine1:eth3: ${cut.flows.map(describeTraffic).join('; ')}`);
  expect(cut.flows.filter((one) => one.lost > 5).map(describeTraffic)).toEqual([]);
  await fabric.lab('mend', 'spine1:eth3');
  await fabric.allSessions(15_000);
});

it('a leafd spine that is killed and started again costs FRR and BIRD no packet', async () => {
  const flows = [
    { from: 'h3', to: '198.18.4.1' },
    { from: 'h4', to: '2001:db8:100:3::1' },
    { from: 'h1', to: '198.18.3.1' },
    { from: 'h1', to: '198.18.4.1' },
  ];
  const restart = () => fabric.lab('restart', 'spine1', '--kill');
  const result = await trafficDuring(fabric, flows, restart, { afterSeconds: 6 });
  await fabric.allSessions(15_000);
  console.log(`restart spine1 --kill: ${result.flows.map(describeTraffic).join('; ')}`);
  expect(result.flows.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
});
