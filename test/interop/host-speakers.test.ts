// The speakers of a host behind a leafd with `passthrough`, with what they do by themselves: FRR and BIRD help others
// to restart, and FRR waits a second before it tells its routes; GoBGP knows no End-of-RIB and does not look at links.
// The ToR does graceful restart. leafd is killed, and the leg towards the host goes, while packets go both ways.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { PeerDetailView, StatusView } from '../../src/api/views.ts';
import { fabricOf, runOrThrow, seenRoutes, sleep, until, watchRoutes } from '../support/fabric.ts';
import { describeTraffic, type Flow, trafficDuring } from '../support/traffic.ts';

const AWAIT_S = 10;

const tor = `
frr defaults datacenter
router bgp 64512
 bgp router-id 192.168.11.2
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 no bgp ebgp-requires-policy
 no bgp network import-check
 no bgp default ipv4-unicast
 neighbor 192.168.11.3 remote-as 64514
 neighbor 192.168.11.3 timers connect 1
 neighbor fd00:11::3 remote-as 64514
 neighbor fd00:11::3 timers connect 1
 address-family ipv4 unicast
  network 192.170.20.1/32
  neighbor 192.168.11.3 activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:20::1/128
  neighbor fd00:11::3 activate
 exit-address-family
exit
`;

const frr = `
frr defaults traditional
router bgp 64515
 bgp router-id 192.169.10.2
 no bgp ebgp-requires-policy
 no bgp network import-check
 no bgp default ipv4-unicast
 neighbor 192.169.10.1 remote-as 64514
 neighbor fd00:10::1 remote-as 64514
 address-family ipv4 unicast
  network 172.30.0.10/32
  neighbor 192.169.10.1 activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:30::10/128
  neighbor fd00:10::1 activate
 exit-address-family
exit
`;

const bird = `
log stderr all;
router id 192.169.10.3;
protocol device { scan time 2; }
protocol static { ipv4; route 172.30.0.20/32 blackhole; }
protocol static { ipv6; route 2001:db8:30::20/128 blackhole; }
protocol bgp leafd4 { local 192.169.10.3 port 1790 as 64516; neighbor 192.169.10.1 as 64514;
  ipv4 { import all; export where source = RTS_STATIC; }; }
protocol bgp leafd6 { local fd00:10::3 port 1790 as 64516; neighbor fd00:10::1 as 64514;
  ipv6 { import all; export where source = RTS_STATIC; }; }
`;

/** Without graceful restart it sends no End-of-RIB, and its session does not follow the link. */
const gobgp = `
global:
  config: {as: 64517, router-id: 192.169.10.4, port: 1791}
neighbors:
  - config: {neighbor-address: 192.169.10.1, peer-as: 64514}
    transport: {config: {local-address: 192.169.10.4}}
    timers: {config: {hold-time: 30, keepalive-interval: 10, connect-retry: 5}}
    afi-safis: [{config: {afi-safi-name: ipv4-unicast}}]
`;

const timers = { hold: '30s', keepalive: '10s', connectRetry: '1s' };
const fabric = fabricOf(
  'speakers',
  stringify({
    nodes: {
      tor: {
        kind: 'frr',
        config: tor,
        addresses: ['192.170.20.1/32', '2001:db8:20::1/128'],
        ports: { eth1: ['192.168.11.2/24', 'fd00:11::2/64'] },
      },
      node: {
        addresses: [
          '172.30.0.10/32',
          '172.30.0.20/32',
          '172.30.0.30/32',
          '2001:db8:30::10/128',
          '2001:db8:30::20/128',
        ],
        ports: { eth1: ['192.168.11.3/24', 'fd00:11::3/64'] },
        config: {
          bgp: {
            asn: 64514,
            routerId: '10.0.0.1',
            gracefulRestart: { restartTime: '120s', stalePathTime: '360s' },
            peers: [
              { address: '192.168.11.2', remoteAs: 64512, families: ['ipv4'], timers },
              { address: 'fd00:11::2', remoteAs: 64512, families: ['ipv6'], timers },
            ],
          },
          passthrough: {
            uplinks: ['eth1'],
            localCIDR: { ipv4: '192.169.10.0/24', ipv6: 'fd00:10::/64' },
            awaitSpeakers: `${AWAIT_S}s`,
            speakers: [
              { name: 'frr', remoteAs: 64515 },
              {
                name: 'bird',
                remoteAs: 64516,
                port: 1790,
                hostAddress: { ipv4: '192.169.10.3', ipv6: 'fd00:10::3' },
              },
              {
                name: 'gobgp',
                remoteAs: 64517,
                port: 1791,
                hostAddress: { ipv4: '192.169.10.4' },
                families: ['ipv4'],
              },
            ],
          },
        },
      },
      frr: { kind: 'frr', in: 'node', sessions: 2, config: frr },
      bird: { kind: 'bird', in: 'node', sessions: 2, config: bird },
      gobgp: {
        kind: 'gobgp',
        in: 'node',
        sessions: 1,
        config: gobgp,
        afterStart: ['gobgp global rib add 172.30.0.30/32'],
      },
    },
    links: [['tor:eth1', 'node:eth1']],
  }),
);

const services = ['172.30.0.10', '172.30.0.20', '172.30.0.30', '2001:db8:30::10', '2001:db8:30::20'];
const source = (to: string) => (to.includes(':') ? '2001:db8:20::1' : '192.170.20.1');
const flows: Flow[] = services.flatMap((service) => [
  { from: 'tor', to: service, source: source(service) },
  { from: 'node', to: source(service), source: service },
]);
const speakers = ['frr-ipv4', 'frr-ipv6', 'bird-ipv4', 'bird-ipv6', 'gobgp-ipv4'];
const uplinks = ['192.168.11.2', 'fd00:11::2'];

const peer = (name: string) => fabric.get<PeerDetailView>('node', `/v1/peers/${encodeURIComponent(name)}`);

/** The service addresses to which the ToR's kernel has a route. */
async function servicesOfTor(): Promise<string[]> {
  const tables = await Promise.all(
    ['-4', '-6'].map((family) => fabric.out('tor', 'ip', family, 'route', 'show')),
  );
  return services.filter((service) => tables.some((text) => text.includes(`${service} `)));
}

/** All sessions are up, all is told, nothing is stale, no restart goes on, and the ToR has all services. */
async function quiet(names: readonly string[] = [...speakers, ...uplinks]): Promise<void> {
  const isQuiet = (one: PeerDetailView) =>
    one.state === 'established' && one.byFamily.every((family) => family.stale === 0 && family.endOfRibSent);
  await until(
    () => Promise.all(names.map(peer)),
    (peers) => peers.every(isQuiet),
    {
      timeoutMs: 20_000,
      what: 'all quiet',
    },
  );
  const over = async () => (await fabric.get<StatusView>('node', '/v1/status')).bgp.restarting === undefined;
  await until(over, Boolean, { timeoutMs: 20_000, what: 'the end of the restart' });
  await until(servicesOfTor, (seen) => seen.length === services.length, {
    timeoutMs: 5000,
    what: 'all services at the ToR',
  });
}

/** Runs `event` under 20 packets a second in each direction: what was lost, and what of the ToR's kernel changed. */
async function under(
  title: string,
  event: () => Promise<unknown>,
  afterSeconds: number,
  only = flows,
  perSecond = 20,
) {
  const monitor = await watchRoutes(fabric, 'tor');
  const { flows: seen } = await trafficDuring(fabric, only, event, { afterSeconds, perSecond });
  const changes = seenRoutes(await monitor.stop()).filter((line) => /172\.30\.|db8:30:/.test(line));
  const sent = seen.reduce((sum, one) => sum + one.sent, 0);
  const lost = seen.filter((one) => one.lost > 0).map(describeTraffic);
  const longestMs = (Math.max(...seen.map((one) => one.longestGap)) * 1000) / perSecond;
  console.log(`${title}: ${lost.length === 0 ? `0 of ${sent} lost` : lost.join('; ')}`);
  return { lost, changes, longestMs };
}

beforeAll(async () => {
  await fabric.up({ waitSeconds: 40 });
  await quiet();
  await until(
    async () =>
      (await trafficDuring(fabric, flows, async () => {}, { beforeSeconds: 0, afterSeconds: 0.2 })).flows
        .filter((one) => one.lost > 0)
        .map(describeTraffic),
    (lost) => lost.length === 0,
    { timeoutMs: 20_000, what: 'packets both ways' },
  );
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

describe('leafd is killed and started again', () => {
  it('and all speakers are there: no packet is lost, and the ToR never lets a service go', async () => {
    const ended = (await Promise.all(speakers.map(peer))).map(
      ({ byFamily }) => byFamily[0]!.endOfRibReceived,
    );
    expect(ended).toEqual([true, true, true, true, false]);
    const { lost, changes } = await under('killed', () => fabric.lab('restart', 'node', '--kill'), 8);
    await quiet();
    expect(lost).toEqual([]);
    expect(changes).toEqual([]);
  });

  it('and BIRD is not there: its services stay as long as it is waited for, those of others for good', async () => {
    const monitor = await watchRoutes(fabric, 'tor');
    await fabric.lab('stop', 'node', '--kill');
    await fabric.lab('stop', 'bird', '--kill');
    await fabric.lab('restart', 'node');
    const startedMs = Date.now();
    const gone = () =>
      seenRoutes(monitor.text()).filter((line) => /Deleted (172.30.0.20|2001:db8:30::20) /.test(line));
    await until(gone, (seen) => seen.length === 2, {
      timeoutMs: (AWAIT_S + 3) * 1000,
      what: 'BIRD given up',
    });
    const tookMs = Date.now() - startedMs;
    console.log(`BIRD given up after ${tookMs} ms`);
    expect(tookMs).toBeGreaterThan((AWAIT_S - 2) * 1000);
    await fabric.lab('restart', 'bird');
    await quiet();
    const others = seenRoutes(await monitor.stop()).filter((line) =>
      /172\.30\.0\.[13]0|db8:30::10/.test(line),
    );
    expect(others).toEqual([]);
  });

  it('and FRR with it, which comes back after three seconds: the ToR lets nothing go', async () => {
    const monitor = await watchRoutes(fabric, 'tor');
    await fabric.lab('stop', 'node', '--kill');
    await fabric.lab('stop', 'frr', '--kill');
    await fabric.lab('restart', 'node');
    await sleep(3000);
    await fabric.lab('restart', 'frr');
    await quiet();
    expect(seenRoutes(await monitor.stop()).filter((line) => /172\.30\.|db8:30:/.test(line))).toEqual([]);
  });
});

/** FRR that has seen both sides call refuses with 5/0 and hears nobody for up to a second after that. */
const FRR_PAUSE_MS = 1500;

describe('traffic of the fabric is back within a second', () => {
  const fromTor = flows.filter(({ from }) => from === 'tor');
  const host = (...words: string[]) => fabric.out('node', 'ip', ...words);
  const inRouter = (...words: string[]) => runOrThrow(['ip', '-n', `${fabric.netns('node')}-pe`, ...words]);
  const lost = (address: string, port: string) => ['addr', 'del', address, 'dev', port];
  it.each([
    ['pt-host is deleted', () => host('link', 'del', 'pt-host'), 1000],
    ['pt-host is deleted again, soon after', () => host('link', 'del', 'pt-host'), 1000],
    ['pt-host is taken down', () => host('link', 'set', 'pt-host', 'down'), FRR_PAUSE_MS],
    [
      'FRR’s address is deleted, and with it all others',
      () => host(...lost('192.169.10.2/24', 'pt-host')),
      1000,
    ],
    ['FRR’s IPv6 address is deleted', () => host(...lost('fd00:10::2/64', 'pt-host')), 1000],
    ['BIRD’s address is deleted', () => host(...lost('192.169.10.3/24', 'pt-host')), 1000],
    ['the router’s address is deleted', () => inRouter(...lost('192.169.10.1/24', 'pt-ns')), 1000],
    ['the router’s IPv6 address is deleted', () => inRouter(...lost('fd00:10::1/64', 'pt-ns')), 1000],
  ] as const)('%s', async (what, event, withinMs) => {
    const { longestMs } = await under(what, event, 3, fromTor, 50);
    expect(longestMs).toBeLessThan(withinMs);
    await quiet();
  });
});
