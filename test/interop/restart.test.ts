// Graceful restart (RFC 4724), with NOTIFICATIONs (RFC 8538) and long-lived (RFC 9494), between leafd, FRR, BIRD and
// GoBGP: each is killed while packets go through it and the others help. The hosts behind FRR, BIRD and leafd speak to
// each other in both families; a third leafd hears everybody and must not see a route go that did not go.

import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type {
  KernelView,
  PeerDetailView,
  PeersView,
  RoutesView,
  RouteView,
  StatusView,
} from '../../src/api/views.ts';
import { kill, killBgpd, killBird, loadFrr, pidOf } from '../support/daemons.ts';
import {
  editConfig,
  fabricOf,
  type Running,
  scratchFile,
  seenRoutes,
  sleep,
  until,
  watchRoutes,
} from '../support/fabric.ts';
import { describeTraffic, type Flow, traffic, trafficDuring } from '../support/traffic.ts';

const RESTART_S = 6;

const frr = `
frr defaults datacenter
router bgp 65002
 bgp router-id 10.255.0.2
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart restart-time ${RESTART_S}
 bgp graceful-restart notification
 no bgp ebgp-requires-policy
 no bgp network import-check
 no bgp default ipv4-unicast
${['10.0.1.0', '2001:db8:1::', '10.0.5.0', '2001:db8:5::']
  .map(
    (peer, n) => ` neighbor ${peer} remote-as ${n < 2 ? 65001 : 65005}\n neighbor ${peer} timers connect 1`,
  )
  .join('\n')}
 address-family ipv4 unicast
  network 198.18.2.1/32
  network 198.18.2.9/32
  neighbor 10.0.1.0 activate
  neighbor 10.0.5.0 activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:100:2::1/128
  network 2001:db8:100:2::9/128
  neighbor 2001:db8:1:: activate
  neighbor 2001:db8:5:: activate
 exit-address-family
exit
`;

const bird = `
log stderr all;
router id 10.255.0.3;
graceful restart wait 20;
protocol device { scan time 2; }
protocol kernel { persist; graceful restart on; ipv4 { import none; export where source = RTS_BGP; }; }
protocol kernel { persist; graceful restart on; ipv6 { import none; export where source = RTS_BGP; }; }
protocol static { ipv4; route 198.18.3.1/32 blackhole; route 198.18.3.9/32 blackhole; }
protocol static { ipv6; route 2001:db8:100:3::1/128 blackhole; route 2001:db8:100:3::9/128 blackhole; }
template bgp near { connect retry time 1; error wait time 1, 2; graceful restart on; graceful restart time ${RESTART_S};
  long lived graceful restart off; }
protocol bgp leafd4 from near { local 10.0.2.1 as 65003; neighbor 10.0.2.0 as 65001; ipv4 { import all; export all; }; }
protocol bgp leafd6 from near { local 2001:db8:2::1 as 65003; neighbor 2001:db8:2:: as 65001; ipv6 { import all; export all; }; }
protocol bgp watch4 from near { local 10.0.6.1 as 65003; neighbor 10.0.6.0 as 65005; ipv4 { import all; export all; }; }
protocol bgp watch6 from near { local 2001:db8:6::1 as 65003; neighbor 2001:db8:6:: as 65005; ipv6 { import all; export all; }; }
`;

const timers = { hold: '30s', keepalive: '10s', connectRetry: '1s' };

const peersAt = (ports: readonly number[]) =>
  ports.flatMap((n) => [
    { address: `10.0.${n}.1`, group: 'four' },
    { address: `2001:db8:${n}::1`, group: 'six' },
  ]);
const groups = {
  four: { remoteAs: 'external', timers, families: ['ipv4'] },
  six: { remoteAs: 'external', timers, families: ['ipv6'] },
};
const near = (n: number) => [`10.0.${n}.0/31`, `2001:db8:${n}::/127`];
const far = (n: number) => [`10.0.${n}.1/31`, `2001:db8:${n}::1/127`];
const host = (n: number) => ({ kind: 'host', addresses: [`198.18.${n}.1/32`, `2001:db8:100:${n}::1/128`] });

const fabric = fabricOf(
  'gr',
  stringify({
    nodes: {
      r1: {
        config: {
          bgp: {
            asn: 65001,
            loopbacks: ['10.255.0.1/32'],
            profile: 'fabric',
            redistribute: { static: true },
            gracefulRestart: { restartTime: '20s', stalePathTime: '30s' },
            groups,
            peers: peersAt([1, 2, 7]),
          },
        },
        ports: { num1: near(1), num2: near(2), num7: near(7) },
        commands: ['ip route add 198.18.1.9/32 dev num7 proto static'],
      },
      f1: { kind: 'frr', config: frr, ports: { num1: far(1), num5: far(5) } },
      b1: { kind: 'bird', config: bird, ports: { num2: far(2), num6: far(6) } },
      w1: {
        config: {
          bgp: {
            asn: 65005,
            loopbacks: ['10.255.0.5/32'],
            profile: 'fabric',
            gracefulRestart: { restartTime: '20s', stalePathTime: '30s' },
            groups: {
              four: { ...groups.four, export: 'nothing' },
              six: { ...groups.six, export: 'nothing' },
            },
            peers: [
              ...peersAt([5, 6]),
              { address: '10.0.7.0', group: 'four' },
              { address: '2001:db8:7::', group: 'six' },
            ],
          },
          policies: { nothing: { rules: [{ action: 'reject' }] } },
        },
        ports: { num5: near(5), num6: near(6), num7: far(7) },
      },
      h1: host(1),
      h2: host(2),
      h3: host(3),
    },
    links: [
      ['r1:num1', 'f1:num1'],
      ['r1:num2', 'b1:num2'],
      ['r1:num7', 'w1:num7'],
      ['w1:num5', 'f1:num5'],
      ['w1:num6', 'b1:num6'],
      ['r1:vm1', 'h1:eth0'],
      ['f1:vm1', 'h2:eth0'],
      ['b1:vm1', 'h3:eth0'],
    ],
  }),
);

/** Everybody to everybody, in both families: each node forwards and each is behind another one. */
const flows: Flow[] = [1, 2, 3].flatMap((from) =>
  [1, 2, 3]
    .filter((to) => to !== from)
    .map((to) => ({ from: `h${from}`, to: from < to ? `198.18.${to}.1` : `2001:db8:100:${to}::1` })),
);

const ofFrr = ['10.0.1.1', '2001:db8:1::1'];
const ofBird = ['10.0.2.1', '2001:db8:2::1'];

const peer = (node: string, name: string) =>
  fabric.get<PeerDetailView>(node, `/v1/peers/${encodeURIComponent(name)}`);
const routesFrom = async (node: string, names: readonly string[]): Promise<RouteView[]> => {
  const views = names.map((name) =>
    fabric.get<RoutesView>(node, `/v1/routes?peer=${encodeURIComponent(name)}&limit=1000`),
  );
  // Without our own that an eBGP neighbour sends back.
  return (await Promise.all(views)).flatMap(({ routes }) => routes).filter((route) => route.accepted);
};
const prefixesFrom = async (node: string, names: readonly string[]): Promise<string[]> =>
  (await routesFrom(node, names)).map(({ prefix }) => prefix).sort();
const vtysh = (...lines: string[]) =>
  fabric.out('f1', 'vtysh', '--vty_socket', fabric.directory('f1'), ...lines.flatMap((line) => ['-c', line]));
const birdc = (...words: string[]) =>
  fabric.out('b1', 'birdc', '-s', `${fabric.directory('b1')}/bird.ctl`, ...words);

/** Both sessions of every neighbour are up and quiet: all is told, nothing is stale, no restart goes on. */
async function quiet(node = 'r1'): Promise<void> {
  const look = async () => {
    const { peers } = await fabric.get<PeersView>(node, '/v1/peers');
    return Promise.all(peers.map(({ name }) => peer(node, name)));
  };
  const isQuiet = (one: PeerDetailView): boolean =>
    one.state === 'established' &&
    one.byFamily.every((family) => family.stale === 0 && family.endOfRibReceived && family.endOfRibSent);
  await until(look, (peers) => peers.every(isQuiet), { timeoutMs: 20_000, what: `${node} quiet` });
  const settled = (view: KernelView) => view.leftover.length === 0 && view.counts.pending === 0;
  await until(() => fabric.get<KernelView>(node, '/v1/kernel'), settled, {
    timeoutMs: 20_000,
    what: 'swept',
  });
}

/** When each route of the watcher's began, of these peers. */
async function agesOf(names: readonly string[]): Promise<Record<string, string>> {
  const routes = await routesFrom('w1', names);
  return Object.fromEntries(routes.map((route) => [`${route.prefix} ${route.peer}`, route.since]));
}

/** Runs `event` under traffic; what was lost, and what the watcher's kernel saw meanwhile. */
async function under(title: string, event: () => Promise<unknown>, afterSeconds: number) {
  const monitor: Running = await watchRoutes(fabric, 'w1');
  const result = await trafficDuring(fabric, flows, event, { afterSeconds });
  const seen = seenRoutes(await monitor.stop());
  const sent = result.flows.reduce((sum, one) => sum + one.sent, 0);
  const lost = result.flows.filter((one) => one.lost > 0).map(describeTraffic);
  console.log(
    `${title}: ${lost.length === 0 ? `0 of ${sent} lost` : lost.join('; ')}; seen: ${seen.join(' | ')}`,
  );
  return { lost, seen };
}

beforeAll(async () => {
  await fabric.up({ waitSeconds: 20 });
  await quiet();
  await quiet('w1');
  // FRR that starts with graceful restart defers its decisions, as after a restart.
  const lossy = async () =>
    (await Promise.all(flows.map((flow) => traffic(fabric, flow, 0.1)))).filter((one) => one.lost > 0);
  await until(lossy, (seen) => seen.length === 0, { timeoutMs: 15_000, what: 'packets between all hosts' });
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

const watched = ['10.0.5.1', '2001:db8:5::1', '10.0.6.1', '2001:db8:6::1'];

describe('leafd is killed, FRR and BIRD help', () => {
  it('and comes back: no packet is lost, nobody else sees anything, End-of-RIB both ways', async () => {
    const ages = await agesOf(watched);
    const { lost, seen } = await under('leafd killed', () => fabric.lab('restart', 'r1', '--kill'), 4);
    await quiet();
    expect(lost).toEqual([]);
    expect(seen).toEqual([]);
    expect(await agesOf(watched)).toEqual(ages);
    const shown = JSON.parse(await vtysh('show bgp neighbors 10.0.1.0 json')) as Record<
      string,
      { gracefulRestartInfo: Record<string, unknown> }
    >;
    expect(shown['10.0.1.0']!.gracefulRestartInfo).toMatchObject({
      endOfRibSend: { ipv4Unicast: true },
      endOfRibRecv: { ipv4Unicast: true },
      rBit: true,
      nBit: true,
      ipv4Unicast: { fBit: true },
    });
  });

  it('and others change meanwhile: what went during the outage is swept, here and there', async () => {
    const mine = ['198.18.1.9', '198.18.2.9', '198.18.3.9'];
    const kernel = async (node: string) => {
      const text = await fabric.out(node, 'ip', '-4', 'route', 'show');
      return mine.filter((one) => text.includes(`${one} `));
    };
    expect([await kernel('r1'), await kernel('f1'), await kernel('b1')]).toEqual([
      mine,
      ['198.18.1.9', '198.18.3.9'],
      ['198.18.1.9', '198.18.2.9'],
    ]);
    const conf = `${fabric.directory('b1')}/bird.conf`;
    const whole = await readFile(conf, 'utf8');
    const { lost } = await under(
      'leafd killed, routes withdrawn',
      async () => {
        await fabric.lab('stop', 'r1', '--kill');
        await fabric.out('r1', 'ip', 'route', 'del', '198.18.1.9/32');
        await vtysh(
          'configure',
          'router bgp 65002',
          'address-family ipv4 unicast',
          'no network 198.18.2.9/32',
        );
        await writeFile(conf, whole.replace('route 198.18.3.9/32 blackhole;', ''));
        await birdc('configure');
        await sleep(500);
        // Nobody has been told: the helpers keep what they have.
        expect(await kernel('f1')).toContain('198.18.1.9');
        expect(await kernel('b1')).toContain('198.18.1.9');
        expect(await kernel('r1')).toEqual(['198.18.2.9', '198.18.3.9']);
        await fabric.lab('restart', 'r1');
      },
      5,
    );
    await quiet();
    expect(lost).toEqual([]);
    const look = async () =>
      [await kernel('r1'), await kernel('f1'), await kernel('b1'), await kernel('w1')].flat();
    await until(look, (seen) => seen.length === 0, {
      timeoutMs: 5000,
      what: 'nothing of what was withdrawn',
    });
    await writeFile(conf, whole);
    await birdc('configure');
    await vtysh('configure', 'router bgp 65002', 'address-family ipv4 unicast', 'network 198.18.2.9/32');
    const isBack = (seen: string[]) => seen.join() === ['198.18.2.9', '198.18.3.9'].join();
    for (const node of ['r1', 'w1'])
      await until(() => kernel(node), isBack, { timeoutMs: 5000, what: `${node} with all of them` });
  });

  // A helper drops what was stale before and has not been told anew (RFC 4724 4.2), so a life counts that ended either
  // before the sessions were up again or after End-of-RIB.
  it('three times within the restart time', async () => {
    const told = async () => (await fabric.get<StatusView>('r1', '/v1/status')).bgp.restarting === undefined;
    const { lost, seen } = await under(
      'leafd killed three times',
      async () => {
        await fabric.lab('restart', 'r1', '--kill');
        await until(told, (over) => over, { timeoutMs: 8000, what: 'the end of the first restart' });
        await sleep(300);
        // The second life ends before it has spoken to anybody.
        const again = kill(fabric, 'r1', 'leafd');
        again();
        await sleep(200);
        process.kill(pidOf(fabric, 'r1', 'leafd'), 'SIGKILL');
        await fabric.lab('restart', 'r1', '--kill');
      },
      6,
    );
    await quiet();
    expect(lost).toEqual([]);
    expect(seen).toEqual([]);
  });
});

describe('leafd helps', () => {
  it.each([
    ['FRR', ofFrr, () => killBgpd(fabric, 'f1'), 'frr.conf', 'f1'],
    ['BIRD', ofBird, () => killBird(fabric, 'b1'), 'bird.conf', 'b1'],
  ] as const)('%s that is killed and comes back with fewer routes', async (name, names, end, file, node) => {
    await quiet();
    const before = await prefixesFrom('r1', names);

    const ages = await routesFrom('w1', ['10.0.7.0', '2001:db8:7::']);
    const conf = `${fabric.directory(node)}/${file}`;
    const whole = await readFile(conf, 'utf8');
    const lines = whole.split('\n').filter((line) => !/network .*[.:]9\/(32|128)$/.test(line));
    const fewer = lines.join('\n').replace(/route \S+[.:]9\/(32|128) blackhole;/g, '');
    expect(fewer).not.toBe(whole);
    const { lost, seen } = await under(
      `${name} killed`,
      async () => {
        const again = end();
        await sleep(1000);
        const stale = await routesFrom('r1', names);
        expect(stale.map(({ prefix }) => prefix).sort()).toEqual(before);
        expect(stale.filter((one) => !one.stale)).toEqual([]);
        await writeFile(conf, fewer);
        await again();
      },
      5,
    );
    await quiet();
    await quiet('w1');
    expect(lost).toEqual([]);
    const left = before.filter((prefix) => !/[.:]9\/(32|128)$/.test(prefix));
    expect(await prefixesFrom('r1', names)).toEqual(left);
    expect(left.length).toBe(before.length - 2);
    // The watcher sees those two go, by all who tell of them, and nothing else.
    expect(seen.filter((line) => !/[.:]9 /.test(line))).toEqual([]);
    const kept = (routes: RouteView[]) =>
      routes.filter((one) => !/[.:]9\/(32|128)$/.test(one.prefix)).map((one) => `${one.prefix} ${one.since}`);
    expect(kept(await routesFrom('w1', ['10.0.7.0', '2001:db8:7::'])).sort()).toEqual(kept(ages).sort());

    await writeFile(conf, whole);
    if (name === 'BIRD') await birdc('configure');
    else await loadFrr(fabric, 'f1');
    await until(
      () => prefixesFrom('r1', names),
      (seen) => seen.length === before.length,
      { timeoutMs: 5000 },
    );
  });

  it('neither FRR nor BIRD comes back: their routes go when the time they named is over', async () => {
    await quiet();
    const endFrr = killBgpd(fabric, 'f1');
    const endBird = killBird(fabric, 'b1');
    const startedMs = Date.now();
    const look = () => prefixesFrom('r1', [...ofFrr, ...ofBird]);
    await sleep(RESTART_S * 1000 - 1000);
    expect((await look()).length).toBe(8);
    await until(look, (seen) => seen.length === 0, { timeoutMs: 3000, what: 'swept' });
    console.log(`not back: swept after ${Date.now() - startedMs} ms of ${RESTART_S * 1000}`);
    expect(Date.now() - startedMs).toBeLessThan(RESTART_S * 1000 + 1000);
    await until(
      () => prefixesFrom('w1', ['10.0.7.0', '2001:db8:7::']),
      (seen) => !seen.some((one) => /198.18.[23]|100:[23]/.test(one)),
      { timeoutMs: 1000 },
    );
    await endFrr();
    await endBird();
    await until(look, (seen) => seen.length === 8, { timeoutMs: 15_000, what: 'back' });
    await quiet();
    await quiet('w1');
  });
});

describe('NOTIFICATIONs (RFC 8538)', () => {
  it('of FRR that is no hard reset keeps its routes with us', async () => {
    await vtysh('configure', 'router bgp 65002', 'no bgp hard-administrative-reset');
    const monitors = [await watchRoutes(fabric, 'r1'), await watchRoutes(fabric, 'w1')];
    await vtysh('clear bgp *');
    const isBack = async () => (await peer('r1', ofFrr[0]!)).lastDown?.reason ?? '';
    await until(isBack, (reason) => /^notification received: 6\/4/.test(reason), { timeoutMs: 5000 });
    await quiet();
    await quiet('w1');
    for (const monitor of monitors) expect(seenRoutes(await monitor.stop())).toEqual([]);
  });

  it('of ours that is no hard reset keeps our routes with FRR', async () => {
    const whole = await readFile(fabric.configOf('r1'), 'utf8');
    const changed = editConfig(whole, ({ bgp }) => {
      for (const group of Object.values(bgp.groups) as { extendedMessages?: boolean }[])
        group.extendedMessages = false;
    });
    const file = scratchFile('changed.yaml', changed);
    const { lost, seen } = await under('ours, not hard', () => fabric.leafctl('r1', 'apply', file), 3);
    await quiet();
    const { lastDown } = await peer('r1', ofFrr[0]!);
    expect(lastDown?.reason).toMatch(/^configuration changed: 6\/6/);
    expect(lost).toEqual([]);
    expect(seen).toEqual([]);
  });

  it('that are a hard reset, FRR’s or ours, drop the routes at once', async () => {
    await vtysh('configure', 'router bgp 65002', 'bgp hard-administrative-reset');
    const before = await routesFrom('r1', ofFrr);
    const monitor = await watchRoutes(fabric, 'r1');
    await vtysh('clear bgp *');
    await until(
      () => prefixesFrom('r1', ofFrr),
      (seen) => seen.length === before.length,
      { timeoutMs: 10_000 },
    );
    await quiet();
    expect((await peer('r1', ofFrr[0]!)).lastDown?.reason).toMatch(/hard reset/);
    expect(await monitor.stop()).toMatch(/Deleted 198.18.2.1/);
    const there = await watchRoutes(fabric, 'f1');
    for (const name of ofFrr) await fabric.leafctl('r1', 'peer', 'reset', name);
    await quiet();
    expect(await there.stop()).toMatch(/Deleted 198.18.1.1/);
  });
});
