// Guests of leafd that another daemon announces (`bgp.speaker: none`), with the files of examples/beside-frr: FRR and
// BIRD read leafd's routes from the kernel, tell them to a leafd outside (tor) and one inside the AS (rr), by prefix,
// by interface and by metric, and take them back with the guest. Neither a crash of leafd nor of the others loses any.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import type { RoutesView, StatusView } from '../../src/api/views.ts';
import { announcementFrames } from '../../src/lab/announcement.ts';
import { parseMac } from '../../src/net/mac.ts';
import { kill, killBgpd, killBird, loadFrr } from '../support/daemons.ts';
import {
  editConfig,
  fabricOf,
  leafctlPath,
  leafdPath,
  type Running,
  root,
  run,
  runOrThrow,
  scratchFile,
  seenRoutes,
  start,
  until,
  watchRoutes,
} from '../support/fabric.ts';
import { type LooseGuest, looseGuest, prefixOf, sendFrames } from '../support/hypervisor.ts';

const example = (name: string): string => readFileSync(join(root, 'examples', 'beside-frr', name), 'utf8');
const FRESH_MS = 3000;

// What the example says, and a neighbour inside the AS, where local preferences are seen.
const frrConf = `${example('frr.conf')}
router bgp 65101
 neighbor eth2 interface remote-as internal
 address-family ipv6 unicast
  neighbor eth2 activate
 exit-address-family
exit
ip prefix-list any seq 5 permit 192.0.2.0/24 ge 32
ipv6 prefix-list any seq 5 permit 2001:db8:100::/64 ge 128
route-map prefix4 permit 10
 match ip address prefix-list any
exit
route-map prefix6 permit 10
 match ipv6 address prefix-list any
exit
route-map interface permit 10
 match interface vmbr1
exit
route-map metric permit 10
 match metric 512
 set local-preference 200
exit
route-map metric permit 20
 match metric 1024
exit
`;
const birdConf = `${example('bird.conf')}
protocol bgp inside {
  local as 65101;
  direct;
  neighbor range fe80::/10 as 65101;
  interface "eth2";
  ipv4 { import all; export where source = RTS_INHERIT; extended next hop; };
  ipv6 { import all; export where source = RTS_INHERIT; };
}
protocol radv inside_radv { interface "eth2" { max ra interval 10; }; }
`;

const bridge = ['ip link add vmbr1 type bridge', 'ip link set vmbr1 up'];
const timers = { hold: '9s', keepalive: '3s', connectRetry: '1s' };
const neighbour = (asn: number, remoteAs: 'external' | 'internal', n: number): unknown => ({
  config: {
    bgp: {
      asn,
      profile: 'fabric',
      loopbacks: [`10.255.0.${n}/32`, `2001:db8:ffff::${n}/128`],
      peers: [{ interface: 'eth*', remoteAs, timers }],
    },
  },
});
const fabric = fabricOf(
  'beside',
  stringify({
    nodes: {
      hv1: { kind: 'frr', commands: bridge, config: frrConf },
      hv2: { kind: 'bird', commands: bridge, config: birdConf },
      tor: neighbour(65001, 'external', 1),
      rr: neighbour(65101, 'internal', 2),
      // A hypervisor where nobody has spoken yet.
      bare: { kind: 'host' },
    },
    links: [
      ['tor:eth1', 'hv1:eth1'],
      ['tor:eth2', 'hv2:eth1'],
      ['rr:eth1', 'hv1:eth2'],
      ['rr:eth2', 'hv2:eth2'],
      ['tor:eth9', 'bare:eth1'],
    ],
  }),
);
type Hv = 'hv1' | 'hv2';
const leafds = new Map<string, Running>();

/** Starts leafd on a node that has another BGP speaker; a second time it takes up what the first left. */
async function startLeafd(node: string): Promise<void> {
  const text = editConfig(example('leafd.yaml'), (config) => {
    config.guests.moves = { freshFor: `${FRESH_MS / 1000}s` };
    config.guests.bind = [];
  });
  const config = fabric.configOf(node);
  mkdirSync(fabric.directory(node), { recursive: true });
  writeFileSync(config, text);
  const [socket, state] = [fabric.socket(node), `${fabric.directory(node)}/state`];
  const words = [leafdPath, '--config', config, '--socket', socket, '--state', state];
  leafds.set(node, start(['ip', 'netns', 'exec', fabric.netns(node), ...words]));
  const up = (): Promise<boolean> => fabric.leafctl(node, 'status').then(({ exitCode }) => exitCode === 0);
  await until(up, Boolean, { timeoutMs: 15_000, what: `leafd of ${node}` });
}

/** What a neighbour has of an address: the AS path, or the local preference inside the AS. */
async function at(node: 'tor' | 'rr', address: string): Promise<string[]> {
  const path = `/v1/routes?prefix=${encodeURIComponent(prefixOf(address))}`;
  const { routes } = await fabric.get<RoutesView>(node, path);
  const usable = routes.filter(({ accepted, reachable }) => accepted && reachable !== false);
  return usable.map(({ attributes: { asPath, localPref } }) =>
    node === 'tor' ? (asPath ?? '') : `${localPref ?? 100}`,
  );
}

/** Waits until both neighbours have each address so; how long that took. */
async function told(
  addresses: readonly string[],
  wanted: { tor: string[]; rr: string[] },
  timeoutMs: number,
): Promise<number> {
  const startedMs = performance.now();
  const look = async (): Promise<unknown[]> => {
    const seen: unknown[] = [];
    for (const address of addresses)
      seen.push({ address, tor: await at('tor', address), rr: await at('rr', address) });
    return seen;
  };
  const whole = JSON.stringify(addresses.map((address) => ({ address, ...wanted })));
  await until(look, (seen) => JSON.stringify(seen) === whole, { timeoutMs, everyMs: 10, what: whole });
  return performance.now() - startedMs;
}

const SETTLED = { tor: ['65101 65101'], rr: ['100'] };
const FRESH = { tor: ['65101'], rr: ['200'] };
const NOWHERE = { tor: [], rr: [] };

const vtysh = (...commands: string[]): Promise<string> =>
  fabric.out(
    'hv1',
    'vtysh',
    '--vty_socket',
    fabric.directory('hv1'),
    ...commands.flatMap((one) => ['-c', one]),
  );

/** Another route-map for the kernel's routes. */
const redistribute = (map4: string, map6: string): Promise<string> =>
  vtysh(
    'configure terminal',
    'router bgp 65101',
    'address-family ipv4 unicast',
    `redistribute kernel route-map ${map4}`,
    'exit-address-family',
    'address-family ipv6 unicast',
    `redistribute kernel route-map ${map6}`,
  );

async function attach(node: Hv, { binding }: LooseGuest): Promise<void> {
  const { name, port, mac, addresses } = binding;
  const words = ['attach', name, '--port', port, '--mac', mac, '--address', ...addresses];
  const { exitCode, stderr } = await fabric.leafctl(node, ...words);
  expect([exitCode, stderr]).toEqual([0, '']);
}

const ping = (guest: LooseGuest, to: string) =>
  run(['ip', 'netns', 'exec', guest.netns, 'ping', '-c', '3', '-i', '0.1', '-W', '2', to]);

const guests: LooseGuest[] = [];
/** A guest with the addresses that end in `n`. */
async function guestOf(node: Hv, n: number, options: { plugged?: boolean } = {}): Promise<LooseGuest> {
  const addresses = [`192.0.2.${n}`, `2001:db8:100::${n}`];
  const guest = await looseGuest(fabric, node as 'hv1', addresses, options);
  guests.push(guest);
  return guest;
}

beforeAll(async () => {
  await fabric.up({ waitSeconds: 30 });
  await startLeafd('hv1');
  await startLeafd('hv2');
}, 90_000);

afterAll(async () => {
  for (const guest of guests) await guest.remove();
  for (const leafd of leafds.values()) await leafd.stop();
  expect(await fabric.down()).toEqual([]);
}, 60_000);

describe('the examples', () => {
  it('are good in the eyes of the programs that they are for', async () => {
    const path = (name: string): string => join(root, 'examples', 'beside-frr', name);
    const judged = [
      [leafctlPath, 'check', path('leafd.yaml')],
      ['vtysh', '-C', '-f', path('frr.conf')],
      ['bird', '-p', '-c', path('bird.conf')],
    ];
    for (const argv of judged) expect(await run(argv), argv.join(' ')).toMatchObject({ exitCode: 0 });
    const broken = scratchFile('frr.conf', example('frr.conf').replace('match interface', 'match link'));
    expect((await run(['vtysh', '-C', '-f', broken])).exitCode).not.toBe(0);
  });

  it('need no AS: leafd says who speaks, and reads like any other', async () => {
    expect(parse(example('leafd.yaml')).bgp).toEqual({ speaker: 'none' });
    const status = await fabric.get<StatusView>('hv1', '/v1/status');
    expect(status.bgp).toMatchObject({ speaker: 'none', peers: { known: 0 } });
    expect((await fabric.leafctl('hv1', 'status')).stdout).toContain('spoken by another daemon');
    expect((await fabric.leafctl('hv1', 'peers')).stdout).toBe('no peers\n');
    // Nothing of leafd listens where the others do.
    const listening = await fabric.out('hv1', 'ss', '-Hltnp', 'sport', '=', ':179');
    expect(listening).toContain('bgpd');
    expect(listening).not.toContain('node');
  });

  it('show next hops to others from the first route on', async () => {
    const key = 'net.ipv4.nexthop_compat_mode';
    await fabric.out('bare', 'sysctl', '-qw', `${key}=0`);
    await startLeafd('bare');
    const compat = (): Promise<string> => fabric.out('bare', 'sysctl', '-n', key);
    await until(compat, (text) => text === '1\n', { timeoutMs: 3000, what: key });
  });
});

describe.each(['hv1', 'hv2'] as const)('beside FRR (hv1), beside BIRD (hv2): %s', (node) => {
  const last = node === 'hv1' ? 30 : 60;

  it('a guest is known within a second, reached, and gone within a second', async () => {
    const guest = await guestOf(node, last);
    await attach(node, guest);
    const { addresses } = guest;
    await told(addresses, SETTLED, 1000);
    expect((await ping(guest, '10.255.0.1')).stdout).toContain(' 0% packet loss');
    expect((await ping(guest, '2001:db8:ffff::1')).stdout).toContain(' 0% packet loss');
    const why = await fabric.leafctl(node, 'why', addresses[0]!);
    expect(why.stdout).toContain('kernel: installed');

    await fabric.leafctl(node, 'detach', guest.name);
    await told(addresses, NOWHERE, 1000);
    await attach(node, guest);
    await told(addresses, SETTLED, 1000);
    await guest.unplug();
    await told(addresses, NOWHERE, 1000);
    await guest.plug();
    await told(addresses, SETTLED, 3000);
    await fabric.leafctl(node, 'detach', guest.name);
    await told(addresses, NOWHERE, 1000);
  }, 30_000);

  it('one that is expected is told when it is here, as a fresh one at first', async () => {
    // Without addresses of its own yet, it answers nobody who asks for them.
    const guest = await looseGuest(fabric, node as 'hv1', []);
    guests.push(guest);
    const addresses = [`192.0.2.${last + 1}`, `2001:db8:100::${last + 1}`];
    const { name, port, mac } = guest.binding;
    const words = ['expect', name, '--port', port, '--mac', mac, '--address', ...addresses];
    expect((await fabric.leafctl(node, ...words)).exitCode).toBe(0);
    const routes = (): Promise<string> => fabric.out(node, 'ip', '-N', 'route', 'show', 'proto', '179');
    expect(await routes()).toBe('');
    await told(addresses, NOWHERE, 1000);
    const arrivedMs = performance.now();
    sendFrames(guest.netns, 'eth0', announcementFrames(parseMac(mac)!, []));
    await told(addresses, FRESH, 1000);
    expect(await routes()).toContain('metric 512');
    await told(addresses, SETTLED, FRESH_MS + 2000);
    expect(performance.now() - arrivedMs).toBeGreaterThan(FRESH_MS - 200);
    expect(await routes()).toContain('metric 1024');
    expect(await routes()).not.toContain('metric 512');
    await fabric.leafctl(node, 'detach', name);
    await told(addresses, NOWHERE, 1000);
  }, 30_000);

  it('one that another machine still announces is told as well', async () => {
    const guest = await guestOf(node, last + 2);
    const prefixes = guest.addresses.map(prefixOf);
    const [four, six] = prefixes as [string, string];
    const config = editConfig(readFileSync(fabric.configOf('tor'), 'utf8'), (one) => {
      one.bgp.networks = prefixes;
    });
    const before = readFileSync(fabric.configOf('tor'), 'utf8');
    expect((await fabric.leafctl('tor', 'apply', scratchFile('tor.yaml', config))).exitCode).toBe(0);
    const table = (): Promise<string> => fabric.out(node, 'ip', 'route', 'show', four);
    await until(table, (text) => text.includes('eth1'), { timeoutMs: 5000, what: 'the way to the other' });
    await attach(node, guest);
    const direct = async (): Promise<string> =>
      (await table()) + (await fabric.out(node, 'ip', '-6', 'route', 'show', six));
    await until(direct, (text) => !text.includes('eth1') && text.split('vmbr1').length === 3, {
      timeoutMs: 3000,
      what: 'the way to the guest alone',
    });
    const path = `/v1/routes?prefix=${encodeURIComponent(four)}`;
    const has = async (): Promise<string> =>
      JSON.stringify((await fabric.get<RoutesView>('tor', path)).routes);
    await until(has, (text) => text.includes('65101 65101'), { timeoutMs: 1000, what: 'the guest at tor' });
    await fabric.leafctl('tor', 'apply', scratchFile('tor-before.yaml', before));
    await told(guest.addresses, SETTLED, 3000);
    await fabric.leafctl(node, 'detach', guest.name);
    await told(guest.addresses, NOWHERE, 1000);
  }, 30_000);

  it('kill -9 of leafd changes nothing that others see', async () => {
    const guest = await guestOf(node, last + 3);
    await attach(node, guest);
    await told(guest.addresses, SETTLED, 1000);
    const [seen, own] = [await watchRoutes(fabric, 'tor'), await watchRoutes(fabric, node)];
    const leafd = leafds.get(node)!;
    leafd.child.kill('SIGKILL');
    await leafd.stop();
    expect((await ping(guest, '10.255.0.1')).stdout).toContain(' 0% packet loss');
    await startLeafd(node);
    const state = (): Promise<string> => fabric.leafctl(node, 'guests', guest.name).then((one) => one.stdout);
    await until(state, (text) => text.includes('attached'), { timeoutMs: 3000, what: 'the guest' });
    // Whatever is swept is swept by the time that a new guest is known.
    const next = await guestOf(node, last + 4);
    await attach(node, next);
    await told(next.addresses, SETTLED, 1000);
    const about = (text: string): string[] =>
      seenRoutes(text).filter((line) => guest.addresses.some((one) => line.includes(`${one} `)));
    expect(about(await seen.stop())).toEqual([]);
    expect(about(await own.stop())).toEqual([]);
    for (const { name } of [guest, next]) await fabric.leafctl(node, 'detach', name);
    await told([...guest.addresses, ...next.addresses], NOWHERE, 1000);
  }, 40_000);
});

describe('a routed tap beside FRR', () => {
  it('goes with its guest', async () => {
    const guest = await guestOf('hv1', 90);
    const { tap } = guest;
    await runOrThrow(['ip', '-n', fabric.netns('hv1'), 'link', 'set', tap, 'nomaster']);
    const config = editConfig(readFileSync(fabric.configOf('hv1'), 'utf8'), (one) => {
      one.guests.taps = [tap];
    });
    expect((await fabric.leafctl('hv1', 'apply', scratchFile('taps.yaml', config))).exitCode).toBe(0);
    await redistribute('metric', 'metric');
    await attach('hv1', guest);
    await told(guest.addresses, { tor: [], rr: ['100'] }, 1500);
    await guest.unplug();
    await told(guest.addresses, NOWHERE, 1000);
    await fabric.leafctl('hv1', 'detach', guest.name);
    await redistribute('guests4', 'guests6');
  }, 20_000);
});

describe('which routes of the kernel FRR takes', () => {
  // Each of these is unlike a guest in one thing: its prefix, its interface, its metric.
  const foreign = {
    prefix: ['203.0.113.9', 'dev', 'vmbr1', 'metric', '1024'],
    interface: ['192.0.2.200', 'dev', 'eth1', 'metric', '1024'],
    metric: ['192.0.2.201', 'dev', 'vmbr1', 'metric', '77'],
  };
  const addressesOf = Object.fromEntries(Object.entries(foreign).map(([kind, words]) => [kind, words[0]!]));
  let guest: LooseGuest;

  beforeAll(async () => {
    for (const words of Object.values(foreign)) await fabric.out('hv1', 'ip', 'route', 'add', ...words);
    guest = await guestOf('hv1', 40);
    await attach('hv1', guest);
  });
  afterAll(async () => {
    for (const words of Object.values(foreign)) await fabric.out('hv1', 'ip', 'route', 'del', ...words);
    await fabric.leafctl('hv1', 'detach', guest.name);
    await redistribute('guests4', 'guests6');
    await told(guest.addresses, NOWHERE, 3000);
  });

  it.each([
    ['guests4', 'guests6', []],
    ['prefix4', 'prefix6', ['interface', 'metric']],
    ['interface', 'interface', ['prefix', 'metric']],
    ['metric', 'metric', ['prefix', 'interface']],
  ] as const)('by %s: guests, and of what is like them %s', async (map4, map6, alike) => {
    await redistribute(map4, map6);
    const look = async (): Promise<string[]> => {
      const there: string[] = [];
      for (const [kind, address] of [
        ...Object.entries(addressesOf),
        ['guest', guest.addresses[0]!],
        ['guest', guest.addresses[1]!],
      ] as const)
        if ((await at('rr', address)).length > 0) there.push(kind);
      return there;
    };
    const wanted = ['prefix', 'interface', 'metric'].filter((kind) =>
      (alike as readonly string[]).includes(kind),
    );
    await until(look, (there) => there.join() === [...wanted, 'guest', 'guest'].join(), {
      timeoutMs: 5000,
      what: [...wanted, 'guest', 'guest'].join(),
    });
  });
});

describe('a crash of the others', () => {
  it('FRR: guests stay known, and are told again by what is in the kernel', async () => {
    const guest = await guestOf('hv1', 50);
    await attach('hv1', guest);
    await told(guest.addresses, SETTLED, 1000);
    const own = await watchRoutes(fabric, 'hv1');
    const seen = await watchRoutes(fabric, 'tor');
    await killBgpd(fabric, 'hv1')();
    const words = ['show', 'bgp', 'summary', 'json'].join(' ');
    const sessions = async (): Promise<string> => vtysh(words).catch(() => '');
    await until(sessions, (text) => text.split('"Established"').length >= 4, {
      timeoutMs: 30_000,
      what: 'sessions',
    });
    await told(guest.addresses, SETTLED, 5000);
    const about = (text: string): string[] =>
      seenRoutes(text).filter((line) => guest.addresses.some((one) => line.includes(`${one} `)));
    expect(about(await seen.stop())).toEqual([]);

    // All of FRR, as watchfrr does when zebra has died: it learns what is leafd's by asking for all.
    const bgpdAgain = kill(fabric, 'hv1', 'bgpd');
    const zebraAgain = kill(fabric, 'hv1', 'zebra');
    for (const [again, name] of [
      [zebraAgain, 'zserv.api'],
      [bgpdAgain, 'bgpd.vty'],
    ] as const) {
      const ready = `${fabric.directory('hv1')}/${name}`;
      rmSync(ready, { force: true });
      again();
      await until(() => existsSync(ready), Boolean, { timeoutMs: 10_000, what: ready });
    }
    await loadFrr(fabric, 'hv1');
    const table = (): Promise<string> => vtysh('show ip route kernel', 'show ipv6 route kernel');
    await until(table, (text) => guest.addresses.every((one) => text.includes(prefixOf(one))), {
      timeoutMs: 10_000,
      what: 'the guest in zebra',
    });
    await told(guest.addresses, SETTLED, 15_000);
    expect(about(await own.stop())).toEqual([]);
    await fabric.leafctl('hv1', 'detach', guest.name);
    await told(guest.addresses, NOWHERE, 1000);
  }, 90_000);

  it('BIRD, which recovers: guests stay known', async () => {
    const guest = await guestOf('hv2', 80);
    await attach('hv2', guest);
    await told(guest.addresses, SETTLED, 1000);
    const [own, seen] = [await watchRoutes(fabric, 'hv2'), await watchRoutes(fabric, 'tor')];
    await killBird(fabric, 'hv2')();
    const words = ['birdc', '-s', `${fabric.directory('hv2')}/bird.ctl`, 'show', 'protocols'];
    const up = async (): Promise<number> =>
      (await fabric.inside('hv2', ...words)).stdout.split('Established').length - 1;
    await until(up, (count) => count === 2, { timeoutMs: 30_000, what: 'sessions of BIRD' });
    await told(guest.addresses, SETTLED, 15_000);
    const about = (text: string): string[] =>
      seenRoutes(text).filter((line) => guest.addresses.some((one) => line.includes(`${one} `)));
    // BIRD says that it has told all before it has read the kernel: the neighbour may drop guests for a moment.
    const lines = about(await seen.stop());
    expect(lines.length === 0 || !lines.at(-1)!.includes('Deleted')).toBe(true);
    expect(about(await own.stop())).toEqual([]);
    await fabric.leafctl('hv2', 'detach', guest.name);
    await told(guest.addresses, NOWHERE, 1000);
  }, 60_000);
});
