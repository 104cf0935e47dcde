// Long-lived graceful restart (RFC 9494) with FRR, BIRD and GoBGP: one that is killed and not back in its restart time
// keeps its routes as the last resort, marked LLGR_STALE, and loses them when the stale time is over; what carries
// NO_LLGR goes at once. Packets to what is behind them go on all the while, for their kernels forward.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { PeerDetailView, RoutesView, RouteView } from '../../src/api/views.ts';
import { kill } from '../support/daemons.ts';
import { fabricOf, sleep, until } from '../support/fabric.ts';
import { describeTraffic, traffic } from '../support/traffic.ts';

const RESTART_S = 2;
const STALE_S = 10;

// N: 2 FRR, 3 BIRD, 4 GoBGP. Each tells 198.18.N.1, which is its own; 198.18.N.8, which BIRD 5 tells too, over a longer
// path; and 198.18.N.9 with NO_LLGR.
const frr = `
frr defaults datacenter
ip route 198.18.2.8/32 blackhole
ip route 198.18.2.9/32 blackhole
route-map no-llgr permit 10
 set community no-llgr
exit
router bgp 65002
 bgp router-id 10.255.0.2
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart restart-time ${RESTART_S}
 bgp long-lived-graceful-restart stale-time ${STALE_S}
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.0.2.0 remote-as 65001
 neighbor 10.0.2.0 timers connect 1
 address-family ipv4 unicast
  network 198.18.2.1/32
  network 198.18.2.8/32
  network 198.18.2.9/32 route-map no-llgr
 exit-address-family
exit
`;

const bird = (asn: number, words: string, routes: readonly string[]) => `
log stderr all;
router id 10.255.0.${asn - 65000};
protocol device { scan time 2; }
protocol static { ipv4; ${routes.map((route) => `route ${route};`).join(' ')} }
protocol bgp leafd { local 10.0.${asn - 65000}.1 as ${asn}; neighbor 10.0.${asn - 65000}.0 as 65001; connect retry time 1;
  error wait time 1, 2; graceful restart on; graceful restart time ${RESTART_S}; ${words} }
`;

const bird3 = bird(
  65003,
  `long lived graceful restart on; long lived stale time ${STALE_S}; ipv4 { import all; export all; };`,
  [
    '198.18.3.1/32 blackhole',
    '198.18.3.8/32 blackhole',
    '198.18.3.9/32 blackhole { bgp_community.add((65535, 7)); }',
  ],
);
const bird5 = bird(
  65005,
  'long lived graceful restart off; ipv4 { import all; export filter { bgp_path.prepend(65005); bgp_path.prepend(65005); accept; }; };',
  [2, 3, 4].map((n) => `198.18.${n}.8/32 blackhole`),
);

const gobgp = `
global:
  config: {as: 65004, router-id: 10.255.0.4}
neighbors:
  - config: {neighbor-address: 10.0.4.0, peer-as: 65001}
    timers: {config: {hold-time: 9, keepalive-interval: 3, connect-retry: 1}}
    graceful-restart:
      config: {enabled: true, restart-time: ${RESTART_S}, long-lived-enabled: true}
    afi-safis:
      - config: {afi-safi-name: ipv4-unicast}
        mp-graceful-restart: {config: {enabled: true}}
        long-lived-graceful-restart: {config: {enabled: true, restart-time: ${STALE_S}}}
`;

const ports = (n: number) => ({ [`num${n}`]: [`10.0.${n}.1/31`] });
const addresses = (n: number) => [`198.18.${n}.1/32`];
/** Their kernels know the way back without a daemon. */
const commands = (n: number) => [`ip route add default via 10.0.${n}.0 src 198.18.${n}.1`];

const fabric = fabricOf(
  'llgr',
  stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: 65001,
            loopbacks: ['10.255.0.1/32'],
            profile: 'fabric',
            redistribute: { static: true },
            gracefulRestart: { restartTime: '20s', longLivedStaleTime: '1h' },
            groups: {
              near: {
                remoteAs: 'external',
                timers: { hold: '9s', keepalive: '3s', connectRetry: '1s' },
                families: ['ipv4'],
              },
            },
            peers: [2, 3, 4, 5, 6].map((n) => ({ address: `10.0.${n}.1`, group: 'near' })),
          },
        },
        ports: Object.fromEntries([2, 3, 4, 5, 6].map((n) => [`num${n}`, [`10.0.${n}.0/31`]])),
      },
      f2: { kind: 'frr', config: frr, ports: ports(2), addresses: addresses(2), commands: commands(2) },
      b3: { kind: 'bird', config: bird3, ports: ports(3), addresses: addresses(3), commands: commands(3) },
      g4: {
        kind: 'gobgp',
        config: gobgp,
        ports: ports(4),
        addresses: addresses(4),
        commands: commands(4),
        afterStart: [
          'gobgp global rib add 198.18.4.1/32',
          'gobgp global rib add 198.18.4.8/32',
          'gobgp global rib add 198.18.4.9/32 community no-llgr',
        ],
      },
      b5: { kind: 'bird', config: bird5, ports: ports(5) },
      w6: {
        config: {
          bgp: {
            asn: 65006,
            loopbacks: ['10.255.0.6/32'],
            profile: 'fabric',
            gracefulRestart: { longLivedStaleTime: '1h' },
            peers: [{ address: '10.0.6.0', remoteAs: 'external', families: ['ipv4'] }],
          },
        },
        ports: ports(6),
      },
      h1: { kind: 'host', addresses: ['198.18.1.1/32'] },
    },
    links: [
      ...['f2', 'b3', 'g4', 'b5', 'w6'].map((node, i) => [`r1:num${i + 2}`, `${node}:num${i + 2}`]),
      ['r1:vm1', 'h1:eth0'],
    ],
  }),
);

const routesOf = async (node: string, query = 'limit=1000'): Promise<RouteView[]> =>
  (await fabric.get<RoutesView>(node, `/v1/routes?${query}`)).routes.filter((route) => route.accepted);

/** `PREFIX PEER`, with `>` for the best one, `S` where stale, and `L` where marked as long-lived stale. */
async function shown(node: string): Promise<string[]> {
  const routes = await routesOf(node);
  return routes
    .filter(({ prefix }) => /^198\.18\.[234]\./.test(prefix))
    .map(({ prefix, peer, best, stale, attributes }) => {
      const long = JSON.stringify(attributes.communities ?? []).includes('llgr-stale');
      return `${prefix.slice(7, -3)} ${peer} ${best ? '>' : ''}${stale ? 'S' : ''}${long ? 'L' : ''}`.trim();
    })
    .sort();
}

const killed = [2, 3, 4];
const expected = (marks: { own: string; shared: string; other: string; no?: string }, of: string): string[] =>
  killed
    .flatMap((n) => [
      `${n}.1 10.0.${n}.1 ${marks.own}`,
      `${n}.8 10.0.${n}.1 ${marks.shared}`,
      `${n}.8 ${of} ${marks.other}`,
      ...(marks.no === undefined ? [] : [`${n}.9 10.0.${n}.1 ${marks.no}`]),
    ])
    .map((line) => line.trim())
    .sort();

beforeAll(async () => {
  await fabric.up({ waitSeconds: 20 });
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it('is offered and taken up by all three', async () => {
  const fresh = expected({ own: '>', shared: '>', other: '', no: '>' }, '10.0.5.1');
  await until(
    () => shown('r1'),
    (seen) => seen.join() === fresh.join(),
    { timeoutMs: 15_000 },
  );
  for (const n of killed) {
    const { gracefulRestart, longLivedRestart } = await fabric.get<PeerDetailView>(
      'r1',
      `/v1/peers/10.0.${n}.1`,
    );
    expect(gracefulRestart).toMatchObject({ timeSeconds: RESTART_S });
    expect(longLivedRestart).toEqual({ families: [{ family: 'ipv4', staleSeconds: STALE_S }] });
  }
});

it('killed for good: stale, long-lived stale as the last resort, gone; packets go on until then', async () => {
  const flows = killed.map((n) => traffic(fabric, { from: 'h1', to: `198.18.${n}.1` }, 5));
  await sleep(300);
  kill(fabric, 'f2', 'bgpd');
  kill(fabric, 'b3', 'bird');
  process.kill(await fabric.pid('g4'), 'SIGKILL');
  const startedMs = Date.now();
  await sleep(500);
  expect(await shown('r1')).toEqual(expected({ own: '>S', shared: '>S', other: '', no: '>S' }, '10.0.5.1'));
  const long = expected({ own: '>SL', shared: 'SL', other: '>' }, '10.0.5.1');
  await until(
    () => shown('r1'),
    (seen) => seen.join() === long.join(),
    { timeoutMs: 4000, what: 'long-lived' },
  );
  const afterMs = Date.now() - startedMs;
  // A neighbour that speaks of it is told the mark, and takes the others all the same.
  const told = async () => (await shown('w6')).filter((line) => line.includes('.1 '));
  const marked = killed.map((n) => `${n}.1 10.0.6.0 >L`);
  await until(told, (seen) => seen.join() === marked.join(), { timeoutMs: 2000, what: 'told with the mark' });
  // What it was told before is taken back: BIRD 5 does not speak of it.
  const birdTable = await fabric.out(
    'b5',
    'birdc',
    '-s',
    `${fabric.directory('b5')}/bird.ctl`,
    'show',
    'route',
  );
  expect(birdTable).toContain('198.18.1.1/32');
  expect(birdTable.match(/198\.18\.[234]\.\d+.*leafd/g)).toBeNull();
  const results = await Promise.all(flows);
  console.log(`long-lived after ${afterMs} ms; ${results.map(describeTraffic).join('; ')}`);
  expect(results.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
  const gone = killed.map((n) => `${n}.8 10.0.5.1 >`);
  await until(
    () => shown('r1'),
    (seen) => seen.join() === gone.join(),
    { timeoutMs: 5000, what: 'gone' },
  );
  const goneMs = Date.now() - startedMs;
  console.log(`gone after ${goneMs} ms`);
  expect(goneMs).toBeGreaterThan((RESTART_S + STALE_S) * 1000 - 500);
  expect(goneMs).toBeLessThan((RESTART_S + STALE_S) * 1000 + 1500);
});
