// leafd is killed with 10,000 prefixes, each told by two BIRDs and passed on to FRR with both paths (ADD-PATH, RFC 7911):
// FRR keeps all of them over the restart (RFC 4724), gets both paths of each again, and nothing stays that went meanwhile.

import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { KernelView, PeersView } from '../../src/api/views.ts';
import { fabricOf, seenRoutes, sleep, until, watchRoutes } from '../support/fabric.ts';
import { describeTraffic, trafficDuring } from '../support/traffic.ts';

const COUNT = 10_000;
const prefixes = Array.from({ length: COUNT }, (_, i) => `20.${i >> 8}.${i & 255}.0/24`);
/** What both BIRDs tell no more after the outage. */
const GONE = prefixes.slice(-100);

const frr = `
frr defaults datacenter
router bgp 65002
 bgp router-id 10.255.0.2
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp bestpath as-path multipath-relax
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.0.2.0 remote-as 65001
 neighbor 10.0.2.0 timers connect 1
 address-family ipv4 unicast
  network 198.18.2.1/32
 exit-address-family
exit
`;

const routesOf = (n: number) => {
  const routes = [...prefixes, `198.18.${n}.1/32`].map((one) => `route ${one} blackhole;\n`);
  return `protocol static { ipv4;\n${routes.join('')}}\n`;
};

const bird = (n: number) => `
log stderr all;
router id 10.255.0.${n};
protocol device { scan time 2; }
protocol kernel { persist; ipv4 { import none; export where source = RTS_BGP; }; }
${routesOf(n)}protocol bgp leafd { local 10.0.${n}.1 as 6500${n}; neighbor 10.0.${n}.0 as 65001; connect retry time 1;
  error wait time 1, 2; graceful restart on; ipv4 { import all; export all; }; }
`;
const group = { remoteAs: 'external', timers: { connectRetry: '1s' }, families: ['ipv4'] };

const birdNode = (n: number) => ({
  kind: 'bird',
  config: bird(n),
  addresses: [`198.18.${n}.1/32`, '20.0.0.1/32'],
  ports: { [`num${n}`]: [`10.0.${n}.1/31`] },
});

const fabric = fabricOf(
  'grmany',
  stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: 65001,
            loopbacks: ['10.255.0.1/32'],
            profile: 'fabric',
            peers: [
              { address: '10.0.2.1', ...group, addPath: { receive: false, send: 'all' } },
              { address: '10.0.3.1', ...group },
              { address: '10.0.4.1', ...group },
            ],
          },
        },
        ports: { num2: ['10.0.2.0/31'], num3: ['10.0.3.0/31'], num4: ['10.0.4.0/31'] },
      },
      f2: { kind: 'frr', config: frr, addresses: ['198.18.2.1/32'], ports: { num2: ['10.0.2.1/31'] } },
      b3: birdNode(3),
      b4: birdNode(4),
    },
    links: [
      ['r1:num2', 'f2:num2'],
      ['r1:num3', 'b3:num3'],
      ['r1:num4', 'b4:num4'],
    ],
  }),
);

/** Prefixes and paths of FRR within 20/8. */
async function ofFrr(): Promise<{ prefixes: number; paths: number }> {
  const text = await fabric.out(
    'f2',
    'vtysh',
    '--vty_socket',
    fabric.directory('f2'),
    '-c',
    'show bgp ipv4 unicast json',
  );
  const { routes } = JSON.parse(text) as { routes: Record<string, unknown[]> };
  const shown = Object.entries(routes).filter(([prefix]) => prefix.startsWith('20.'));
  return { prefixes: shown.length, paths: shown.reduce((sum, [, paths]) => sum + paths.length, 0) };
}

const kernelCount = async (node: string): Promise<number> =>
  (await fabric.out(node, 'ip', '-4', 'route', 'show', 'root', '20.0.0.0/8'))
    .split('\n')
    .filter((line) => line.startsWith('20.')).length;

async function settled(count: number): Promise<void> {
  const isWhole = (seen: { prefixes: number; paths: number }) =>
    seen.prefixes === count && seen.paths === 2 * count;
  await until(ofFrr, isWhole, { timeoutMs: 30_000, everyMs: 300, what: `${count} prefixes over two paths` });
  for (const node of ['f2', 'r1'])
    await until(
      () => kernelCount(node),
      (seen) => seen === count,
      { timeoutMs: 20_000, everyMs: 200, what: `${node}: ${count}` },
    );
}

const flows = [
  { from: 'f2', to: '198.18.3.1', source: '198.18.2.1' },
  { from: 'b4', to: '198.18.2.1', source: '198.18.4.1' },
  { from: 'f2', to: '20.0.0.1', source: '198.18.2.1' },
];

beforeAll(async () => {
  await fabric.up({ waitSeconds: 30 });
  await settled(COUNT);
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it('loses no packet, no prefix and no path', async () => {
  const monitor = await watchRoutes(fabric, 'f2');
  const restart = () => fabric.lab('restart', 'r1', '--kill');
  const result = await trafficDuring(fabric, flows, restart, { afterSeconds: 5 });
  const over = async () => (await fabric.get<KernelView>('r1', '/v1/kernel')).leftover.length;
  await until(over, (left) => left === 0, { timeoutMs: 20_000 });
  await settled(COUNT);
  const seen = seenRoutes(await monitor.stop());
  console.log(
    `${COUNT} prefixes: ${result.flows.map(describeTraffic).join('; ')}; FRR's kernel saw ${seen.length} changes`,
  );
  expect(result.flows.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
  expect(seen.filter((line) => line.includes('Deleted'))).toEqual([]);
});

it('what went during the outage is swept, and nothing else', async () => {
  const event = async () => {
    await fabric.lab('stop', 'r1', '--kill');
    for (const n of [3, 4]) {
      const conf = `${fabric.directory(`b${n}`)}/bird.conf`;
      const text = await readFile(conf, 'utf8');
      await writeFile(
        conf,
        GONE.reduce((left, one) => left.replace(`route ${one} blackhole;\n`, ''), text),
      );
      await fabric.out(`b${n}`, 'birdc', '-s', `${fabric.directory(`b${n}`)}/bird.ctl`, 'configure');
    }
    await sleep(300);
    expect(await kernelCount('f2')).toBe(COUNT);
    await fabric.lab('restart', 'r1');
  };
  const result = await trafficDuring(fabric, flows, event, { afterSeconds: 5 });
  // FRR 8.4 itself sweeps but one of several stale paths of a prefix: of those that are gone it keeps the other one.
  const look = async () => (await ofFrr()).paths;
  const left = 2 * (COUNT - GONE.length);
  const isSwept = (paths: number) => paths >= left && paths <= left + GONE.length;
  await until(look, isSwept, { timeoutMs: 20_000, everyMs: 300, what: `FRR has swept` });
  const swept = (count: number) => count === COUNT - GONE.length;
  await until(() => kernelCount('r1'), swept, { timeoutMs: 10_000, everyMs: 200, what: 'r1 has swept' });
  console.log(`${GONE.length} withdrawn: ${result.flows.map(describeTraffic).join('; ')}`);
  expect(result.flows.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
  const { peers } = await fabric.get<PeersView>('r1', '/v1/peers');
  expect(
    peers
      .map(({ accepted }) => accepted)
      .sort((a, b) => a - b)
      .slice(1),
  ).toEqual([COUNT - GONE.length + 1, COUNT - GONE.length + 1]);
});
