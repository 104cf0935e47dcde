// Graceful restart (RFC 4724) while BFD watches every path (RFC 5882, section 4.3): leafd killed with FRR and BIRD as
// helpers, FRR and BIRD killed with leafd as helper, traffic through the one that was killed. Nobody may take the silence of a
// BFD that shares the fate of its control plane (C bit clear) for a path that failed.

import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { PeersView, RoutesView } from '../../src/api/views.ts';
import { killBgpd, killBird } from '../support/daemons.ts';
import { fabricOf, sleep, until } from '../support/fabric.ts';
import { describeTraffic, traffic, trafficDuring } from '../support/traffic.ts';

const frr = `
frr defaults datacenter
bfd
 profile fast
  detect-multiplier 3
  transmit-interval 50
  receive-interval 50
 exit
exit
router bgp 65002
 bgp router-id 10.255.0.2
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart restart-time 20
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.0.1.0 remote-as 65001
 neighbor 10.0.1.0 timers connect 1
 neighbor 10.0.1.0 bfd profile fast
 neighbor 10.0.1.0 bfd check-control-plane-failure
 address-family ipv4 unicast
  network 10.255.0.2/32
  network 198.51.100.2/32
 exit-address-family
exit
`;

const bird = `
log stderr all;
router id 10.255.0.3;
protocol device { scan time 2; }
protocol static { ipv4; route 198.51.100.3/32 blackhole; }
protocol direct { ipv4; interface "lo"; }
protocol kernel { persist; graceful restart on; ipv4 { import none; export where source = RTS_BGP; }; }
protocol bfd { interface "*" { min rx interval 50 ms; min tx interval 50 ms; idle tx interval 1 s; multiplier 3; }; }
protocol bgp leafd {
  local 10.0.2.1 as 65003; neighbor 10.0.2.0 as 65001;
  connect retry time 1; error wait time 1, 2; bfd graceful; graceful restart on;
  ipv4 { import all; export all; };
}
`;

const fabric = fabricOf(
  'bfdgr',
  stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: 65001,
            loopbacks: ['10.255.0.1/32'],
            profile: 'fabric',
            groups: {
              near: {
                remoteAs: 'external',
                timers: { hold: '90s', keepalive: '30s', connectRetry: '1s' },
                bfd: { interval: '50ms', multiplier: 3 },
                families: ['ipv4'],
              },
            },
            peers: ['10.0.1.1', '10.0.2.1'].map((address) => ({ address, group: 'near' })),
          },
        },
        ports: { num1: ['10.0.1.0/31'], num2: ['10.0.2.0/31'] },
      },
      f1: { kind: 'frr', config: frr, addresses: ['10.255.0.2/32'], ports: { num1: ['10.0.1.1/31'] } },
      b1: {
        kind: 'bird',
        config: bird,
        addresses: ['10.255.0.3/32'],
        ports: { num2: ['10.0.2.1/31'] },
      },
    },
    links: [
      ['r1:num1', 'f1:num1'],
      ['r1:num2', 'b1:num2'],
    ],
  }),
);

const flows = [
  { from: 'f1', to: '10.255.0.3', source: '10.255.0.2' },
  { from: 'b1', to: '10.255.0.2', source: '10.255.0.3' },
];

async function allWatched(): Promise<void> {
  const look = async () => (await fabric.get<PeersView>('r1', '/v1/peers')).peers;
  const isWatched = (peer: PeersView['peers'][number]): boolean =>
    peer.state === 'established' && peer.bfd?.state === 'up' && peer.bfd.session?.detectionMs === 150;
  await until(look, (peers) => peers.length === 2 && peers.every(isWatched), {
    timeoutMs: 20_000,
    what: 'both sessions watched',
  });
}

beforeAll(async () => {
  await fabric.up({ waitSeconds: 20 });
  // FRR that starts with graceful restart defers its decisions, as after a restart.
  const lost = async () =>
    (await Promise.all(flows.map((flow) => traffic(fabric, flow, 0.1)))).map((one) => one.lost);
  await until(lost, (seen) => seen.every((n) => n === 0), { timeoutMs: 15_000, what: 'packets' });
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

const routesFrom = async (name: string): Promise<string[]> => {
  const { routes } = await fabric.get<RoutesView>('r1', `/v1/routes?peer=${name}&limit=1000`);
  return routes
    .filter((route) => route.accepted)
    .map(({ prefix }) => prefix)
    .sort();
};

it.each([
  ['leafd, with FRR and BIRD as helpers', ['--kill']],
  ['leafd, stopped and started', []],
])('a restart of %s loses no packet', async (_, words) => {
  await allWatched();
  const restart = () => fabric.lab('restart', 'r1', ...words);
  const result = await trafficDuring(fabric, flows, restart, { afterSeconds: 4 });
  console.log(`r1 ${words.join(' ')}: ${result.flows.map(describeTraffic).join('; ')}`);
  expect(result.flows.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
  await allWatched();
});

it.each([
  ['FRR', '10.0.1.1', 'f1', 'frr.conf', '10.255.0.2/32', killBgpd, /^ *network 198.*$/m],
  ['BIRD', '10.0.2.1', 'b1', 'bird.conf', '10.255.0.3/32', killBird, /^protocol static.*$/m],
] as const)(
  '%s that is killed loses no packet, and what it does not tell again is swept',
  async (...what) => {
    const [name, address, node, file, own, end, extra] = what;
    await allWatched();
    const whole = await until(
      () => routesFrom(address),
      (seen) => seen.length === 2,
      { timeoutMs: 5000 },
    );
    const event = async () => {
      const again = end(fabric, node);
      await sleep(1000);
      expect(await routesFrom(address)).toEqual(whole);
      const conf = `${fabric.directory(node)}/${file}`;
      await writeFile(conf, (await readFile(conf, 'utf8')).replace(extra, ''));
      await again();
    };
    const result = await trafficDuring(fabric, flows, event, { afterSeconds: 6 });
    console.log(`${name} killed: ${result.flows.map(describeTraffic).join('; ')}`);
    expect(result.flows.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
    await allWatched();
    await until(
      () => routesFrom(address),
      (seen) => seen.join() === own,
      { timeoutMs: 5000, what: own },
    );
  },
);
