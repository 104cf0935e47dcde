// Routes of guests in a real kernel: on a link, without a gateway, in both families; through carrier losses, deleted
// links, changes of metric; and many at once. The guest is a namespace behind a veth pair, as behind a routed tap.

import { execFileSync, spawn } from 'node:child_process';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Fib } from '../../src/dataplane/fib.ts';
import { formatIp, parseIp } from '../../src/net/ip.ts';
import { LinkMonitor } from '../../src/netlink/monitor.ts';
import { createNetns, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { RouteFeed } from '../../src/netlink/route-feed.ts';
import { kernelRtnl } from '../../src/netlink/rtnl.ts';
import { defaultRouterSettings } from '../../src/router/config.ts';
import { Speaker } from '../../src/speaker/speaker.ts';
import { until as untilSeen } from '../support/fabric.ts';

const HOST = `lfgr-${process.pid}-h`;
const GUEST = `lfgr-${process.pid}-g`;
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const host = (words: string) => ip('-n', HOST, ...words.split(' '));
const guest = (words: string) => ip('-n', GUEST, ...words.split(' '));
const FOUR = parseIp('198.51.100.7')!;
const SIX = parseIp('2001:db8:100::7')!;
const close: (() => unknown)[] = [];

beforeAll(() => {
  createNetns(HOST);
  createNetns(GUEST);
  host('link set lo up');
  host('addr add 10.255.0.1/32 dev lo');
  host('addr add 2001:db8:ffff::1/128 dev lo nodad');
  tap();
});

afterEach(async () => {
  for (const one of close.splice(0).reverse()) await one();
});

afterAll(() => {
  removeNetns(HOST);
  removeNetns(GUEST);
});

/** Waits for what has to come, `what` for people. */
async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  timeoutMs: number,
): Promise<void> {
  await untilSeen(
    async () => ((await holds()) ? what : ''),
    (seen) => seen === what,
    { timeoutMs },
  );
}

/** A link of the host with the gateway's addresses, and the guest at its other end. */
function tap(): void {
  host(`link add tap7 type veth peer name eth0 netns ${GUEST}`);
  host('link set tap7 addrgenmode none');
  host('addr add 169.254.0.1/32 dev tap7 scope link');
  host('addr add fe80::1/64 dev tap7 nodad');
  host('link set tap7 up');
  guest('link set eth0 up');
  guest('addr add 198.51.100.7/32 dev eth0');
  guest('addr add 2001:db8:100::7/128 dev eth0 nodad');
  guest('route add 169.254.0.1 dev eth0');
  guest('route add default via 169.254.0.1 dev eth0');
  guest('-6 route add default via fe80::1 dev eth0');
}

const ifindexOf = (name: string): number => JSON.parse(host(`-j link show ${name}`))[0].ifindex as number;

/** Routes of ours: `prefix link metric`. */
function routes(): string[] {
  return ['-4', '-6'].flatMap((family) =>
    (
      JSON.parse(host(`${family} -j route show proto 179`)) as { dst: string; dev?: string; metric: number }[]
    ).map(({ dst, dev, metric }) => `${dst} ${dev} ${metric}`),
  );
}

/** A speaker without peers (`bgp.speaker: none`) over the namespace's kernel. */
async function speaker(): Promise<Speaker> {
  const late: { speaker?: Speaker } = {};
  const fib = await Fib.start({
    netns: HOST,
    prefSrc4: parseIp('10.255.0.1')!,
    prefSrc6: parseIp('2001:db8:ffff::1')!,
    onAcked: (seq, failed) => late.speaker?.fibAcked(seq, failed),
    onRecovered: (family, words, length) => late.speaker?.fibRecovered(family, words, length),
  });
  const rtnl = kernelRtnl(HOST);
  const monitor = new LinkMonitor(rtnl);
  const feed = new RouteFeed(rtnl, { table: 254, protocols: [2], ignorePortIds: [fib.writerPortId] });
  const world = { fib, monitor, feed, event: () => {}, trouble: () => {} };
  const config = {
    ...defaultRouterSettings,
    nodeName: 'h',
    asn: 64512,
    bgpId: 1,
    profile: 'none' as const,
    networks: [],
    redistribute: {},
    peers: [],
  };
  const made = withNetns(HOST, () => new Speaker(config, world, { port: undefined, restarting: false }));
  late.speaker = made;
  fib.sweep();
  close.push(async () => {
    await made.stop(false);
    feed.close();
    monitor.close();
    rtnl.close();
    await fib.flush();
  });
  return made;
}

async function pings(address: Uint8Array): Promise<boolean> {
  const words = ['netns', 'exec', HOST, 'ping', '-n', '-c', '1', '-W', '1', formatIp(address)];
  return new Promise((resolve) =>
    spawn('ip', words, { stdio: 'ignore' }).on('exit', (code) => resolve(code === 0)),
  );
}

test('a guest is reached through its link, which takes its routes with it and brings them back', async () => {
  const { router } = await speaker();
  const route = { ifindex: ifindexOf('tap7'), sequence: 1, fresh: false, metric: 30 };
  router.guests.set(FOUR, route);
  router.guests.set(SIX, { ...route, metric: 0 });
  await until(
    'both announced',
    () => router.guests.isAnnounced(FOUR) && router.guests.isAnnounced(SIX),
    2000,
  );
  expect(routes()).toEqual(['198.51.100.7 tap7 30', '2001:db8:100::7 tap7 20']);
  expect([await pings(FOUR), await pings(SIX)]).toEqual([true, true]);

  guest('link set eth0 down');
  await until('carrier is lost', () => !router.guests.isAnnounced(FOUR) && routes().length === 0, 2000);
  guest('link set eth0 up');
  guest('route replace 169.254.0.1 dev eth0');
  guest('route replace default via 169.254.0.1 dev eth0');
  guest('-6 addr replace 2001:db8:100::7/128 dev eth0 nodad');
  guest('-6 route replace default via fe80::1 dev eth0');
  await until('it is back', () => router.guests.isAnnounced(FOUR) && router.guests.isAnnounced(SIX), 2000);
  await until('the guest answers', async () => (await pings(FOUR)) && (await pings(SIX)), 10_000);

  host('link del tap7');
  await until('the link is gone', () => !router.guests.isAnnounced(SIX) && routes().length === 0, 2000);
  router.guests.remove(FOUR);
  router.guests.remove(SIX);
  tap();
  router.guests.set(SIX, { ...route, ifindex: ifindexOf('tap7') });
  await until('on another link of that name', () => router.guests.isAnnounced(SIX), 2000);
  expect(routes()).toEqual(['2001:db8:100::7 tap7 30']);
});

test('a change of metric loses no packet', async () => {
  const { router } = await speaker();
  const route = { ifindex: ifindexOf('tap7'), sequence: 1, fresh: true, metric: 10 };
  router.guests.set(FOUR, route);
  await until('it is there', () => router.guests.isAnnounced(FOUR), 2000);
  const flood = ['netns', 'exec', HOST, 'ping', '-n', '-q', '-c', '400', '-i', '0.002', '198.51.100.7'];
  const ping = spawn('ip', flood, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  ping.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const done = new Promise((resolve) => ping.on('exit', resolve));
  for (let i = 0; i < 20; i++) {
    const metric = i % 2 === 0 ? 30 : 10;
    router.guests.set(FOUR, { ...route, fresh: i % 2 === 1, metric });
    await until(`metric ${metric}`, () => routes().join() === `198.51.100.7 tap7 ${metric}`, 2000);
  }
  await done;
  expect(text).toMatch(/400 packets transmitted, 400 received/);
});

test('four thousand routes on one bridge, set in one turn, are in the kernel and announced soon', async () => {
  host('link add vmbr1 type bridge');
  host('link add port type veth peer name far');
  host('link set port master vmbr1');
  for (const name of ['vmbr1', 'port', 'far']) host(`link set ${name} up`);
  const { router } = await speaker();
  const route = { ifindex: ifindexOf('vmbr1'), sequence: 1, fresh: false, metric: 0 };
  await until('the bridge has carrier', () => router.directory.links.get(route.ifindex)?.up === true, 2000);
  const all: Uint8Array[] = [];
  for (let i = 0; i < 2000; i++) {
    const six = SIX.slice();
    six[14] = i >> 8;
    six[15] = i;
    all.push(Uint8Array.of(198, 18, i >> 8, i), six);
  }
  let fastestMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const started = performance.now();
    for (const address of all) router.guests.set(address, route);
    for (let next = 0; next < all.length; ) {
      while (next < all.length && router.guests.isAnnounced(all[next]!)) next++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    fastestMs = Math.min(fastestMs, performance.now() - started);
    expect(routes()).toHaveLength(4000);
    for (const address of all) router.guests.remove(address);
    await until('all are gone', () => routes().length === 0, 10_000);
  }
  process.stdout.write(`4000 guest routes announced after ${fastestMs.toFixed(0)} ms\n`);
  // A fifth of it where nothing else runs.
  expect(fastestMs).toBeLessThan(1500);
  host('link del vmbr1');
});
