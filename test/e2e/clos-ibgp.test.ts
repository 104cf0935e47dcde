// The Clos fabric as one AS: spines reflect (RFC 4456) with themselves as next hop, and leaves see where a route
// comes from all the same.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RoutesView } from '../../src/api/views.ts';
import { exampleFabric, leafctl } from '../support/fabric.ts';
import { describeTraffic, traffic, trafficDuring } from '../support/traffic.ts';

const fabric = exampleFabric('clos-ibgp', 'ibgp');

beforeAll(async () => {
  const { sessions } = await fabric.up();
  expect(sessions).toMatchObject({ established: 12, expected: 12 });
  expect(sessions.tookMs).toBeLessThan(5000);
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it.each(['4', '6'])('loses no ping of family %s', async (family) => {
  const ping = await leafctl('lab', 'ping', fabric.name, 'h1', 'h6', '--family', family);
  expect(ping).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('5 of 5 came back') });
});

it('carries packets between every pair of hosts', async () => {
  const flows = [];
  for (const from of [1, 2, 3])
    for (const to of [1, 2, 3])
      for (const host of [1, 2]) {
        const sender = `h${2 * (from - 1) + host}`;
        if (from !== to) flows.push({ from: sender, to: `198.18.${to}.${host}` });
        if (from !== to) flows.push({ from: sender, to: `2001:db8:100:${to}::${host}` });
      }
  const results = await Promise.all(flows.map((flow) => traffic(fabric, flow, 0.1)));
  expect(results.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
});

it('reflects with the originator and the cluster of the spine, and the spine as next hop', async () => {
  const { routes } = await fabric.get<RoutesView>('leaf1', '/v1/routes?prefix=198.18.3.2/32');
  expect(routes.map(({ best, multipath }) => best || multipath)).toEqual([true, true]);
  const bySpine = routes.map(({ peer, interface: port, attributes }) => ({ peer, port, ...attributes }));
  bySpine.sort((one, other) => (one.peer! < other.peer! ? -1 : 1));
  expect(bySpine).toMatchObject([
    { peer: 'eth1', port: 'eth1', originatorId: '10.255.1.3', clusterList: ['10.255.0.1'] },
    { peer: 'eth2', port: 'eth2', originatorId: '10.255.1.3', clusterList: ['10.255.0.2'] },
  ]);
  for (const { asPath } of bySpine) expect(asPath ?? '').toBe('');
  const links = JSON.parse(await fabric.out('spine1', 'ip', '-j', '-6', 'addr', 'show', 'dev', 'eth1')) as {
    addr_info: { local?: string }[];
  }[];
  const own = links.flatMap(({ addr_info }) => addr_info.map(({ local }) => local));
  expect(own).toContain(routes.find((route) => route.peer === 'eth1')!.nextHop);
});

it('survives a cut and a killed spine as the other fabric does', async () => {
  const flows = [
    { from: 'h1', to: '198.18.3.2' },
    { from: 'h6', to: '198.18.1.1' },
    { from: 'h2', to: '198.18.3.1' },
    { from: 'h1', to: '2001:db8:100:3::2' },
    { from: 'h6', to: '2001:db8:100:1::1' },
    { from: 'h5', to: '2001:db8:100:1::2' },
  ];
  const cut = await trafficDuring(fabric, flows, () => fabric.lab('cut', 'leaf1:eth1'), {
    afterSeconds: 1.5,
  });
  console.log(`cut: ${cut.flows.map(describeTraffic).join('; ')}`);
  const mended = await trafficDuring(fabric, flows, () => fabric.lab('mend', 'leaf1:eth1'), {
    afterSeconds: 1.5,
  });
  await fabric.allSessions();
  const killed = await trafficDuring(fabric, flows, () => fabric.lab('restart', 'spine1', '--kill'), {
    afterSeconds: 4,
  });
  await fabric.allSessions();
  expect(cut.flows.filter((one) => one.lost > 5).map(describeTraffic)).toEqual([]);
  expect([...mended.flows, ...killed.flows].filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
});
