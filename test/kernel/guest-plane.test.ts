// Guests' bridges, routed taps, neighbours and filters on the real kernel: a hypervisor and its guests as namespaces,
// with the strictest settings a machine may come with. Guests have their addresses as /32 and /128 and all ways go by
// the gateway. Routes, which are the rib's, are made by hand.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { flushAll } from '../../src/dataplane/flush-all.ts';
import { GuestPlane } from '../../src/dataplane/guest-plane.ts';
import type { GuestDrop, GuestPlaneIntent, GuestPortWish } from '../../src/dataplane/guest-wish.ts';
import { parseIp } from '../../src/net/ip.ts';
import { LinkMonitor } from '../../src/netlink/monitor.ts';
import { kernelRtnl, type Rtnl } from '../../src/netlink/rtnl.ts';
import { type Result, run, until } from '../support/fabric.ts';

const root = process.getuid?.() === 0;
const host = `lfgp-${process.pid}-h`;
const guestNetns = (name: string): string => `lfgp-${process.pid}-${name}`;
const exec = (...argv: string[]): string =>
  execFileSync(argv[0]!, argv.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const ip = (text: string): string => exec('ip', '-n', host, ...text.split(' '));
const inside = (netns: string, text: string): Promise<Result> =>
  run(['ip', 'netns', 'exec', netns, ...text.split(' ')]);
const sysctl = (path: string): string =>
  exec('ip', 'netns', 'exec', host, 'cat', `/proc/sys/net/${path}`).trim();
const put = (netns: string, ...settings: string[]): string =>
  exec('ip', 'netns', 'exec', netns, 'sysctl', '-qw', ...settings.map((text) => `net.${text}`));

const intent: GuestPlaneIntent = {
  gatewayMac: Uint8Array.of(2, 0xfe, 0, 0, 0, 1),
  gateway4: parseIp('169.254.0.1')!,
  gateway6: parseIp('fe80::1')!,
  bridges: [{ name: 'vmbr1', create: true, isolate: true }],
  taps: ['rt*'],
  filter: true,
  reach: { tcp: [], udp: [] },
  reserved: [],
};
const GATEWAY_MAC = '02:fe:00:00:00:01';
const watched = [
  ...['ip_forward', 'conf/all/rp_filter', 'conf/all/send_redirects'].map((key) => `ipv4/${key}`),
  'ipv6/conf/all/forwarding',
];
const ofBridge = [
  ...['rp_filter', 'send_redirects', 'arp_ignore', 'arp_announce', 'arp_notify'].map(
    (key) => `ipv4/conf/vmbr1/${key}`,
  ),
  ...['addr_gen_mode', 'accept_ra', 'disable_ipv6', 'ndisc_notify'].map((key) => `ipv6/conf/vmbr1/${key}`),
];

/** Both programs of the name say it so. */
const answers = (count: number): RegExp => new RegExp(`Received ${count} response|${count} packets received`);

interface Guest {
  netns: string;
  tap: string;
  mac: Uint8Array;
  four: string;
  six: string;
}

describe.skipIf(!root)('guests on the kernel', () => {
  let rtnl: Rtnl;
  let links: LinkMonitor;
  let plane: GuestPlane;
  let stateDir: string;
  let drops: GuestDrop[];
  let guests: string[];
  let writes: number;

  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), 'leafd-guests-'));
    guests = [];
    drops = [];
    exec('ip', 'netns', 'add', host);
    ip('link set lo up');
    const strict = ['all', 'default'].flatMap((which) => [
      `ipv4.conf.${which}.rp_filter=1`,
      `ipv4.conf.${which}.send_redirects=1`,
    ]);
    put(host, ...strict);
    ip('addr add 10.99.0.1/32 dev lo');
    begin();
  });

  afterEach(() => {
    end();
    for (const netns of [host, ...guests]) exec('ip', 'netns', 'del', netns);
    rmSync(stateDir, { recursive: true, force: true });
  });

  function begin(): void {
    const kernel = kernelRtnl(host);
    writes = 0;
    rtnl = {
      ...kernel,
      write: (encode) => {
        writes++;
        return kernel.write(encode);
      },
    };
    links = new LinkMonitor(rtnl);
    plane = new GuestPlane({ rtnl, links, stateDir, netns: host, onDrop: (drop) => drops.push(drop) });
  }

  function end(): void {
    plane.close();
    links.close();
    rtnl.close();
  }

  /** A guest behind a veth, configured as the guest's own side is. */
  function guest(number: number, options: { bridge?: string; tap?: string } = {}): Guest {
    const netns = guestNetns(`g${number}`);
    const tap = options.tap ?? `tap${number}`;
    const mac = Uint8Array.of(0x52, 0x54, 0, 0, 0, number);
    const [four, six] = [`192.0.2.${number}`, `2001:db8:100::${number}`];
    if (!guests.includes(netns)) {
      exec('ip', 'netns', 'add', netns);
      guests.push(netns);
    }
    ip(`link add ${tap} type veth peer name eth0 netns ${netns}`);
    if (options.bridge) ip(`link set ${tap} master ${options.bridge}`);
    const text = [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
    const inGuest = (words: string) => exec('ip', '-n', netns, ...words.split(' '));
    inGuest('link set lo up');
    inGuest(`link set eth0 address ${text} up`);
    ip(`link set ${tap} up`);
    inGuest(`addr add ${four}/32 dev eth0`);
    inGuest(`addr add ${six}/128 dev eth0 nodad`);
    inGuest('route add 169.254.0.1 dev eth0');
    inGuest('route add default via 169.254.0.1');
    inGuest('-6 route add default via fe80::1 dev eth0');
    return { netns, tap, mac, four, six };
  }

  const linkOf = async (name: string): Promise<number> =>
    await until(
      () => links.linkByName(name)?.ifindex ?? 0,
      (ifindex) => ifindex > 0,
      { timeoutMs: 3000, everyMs: 5, what: name },
    );

  /** Lets a guest be: the port's wish, and the routes. */
  async function admit(one: Guest, gateway: string): Promise<GuestPortWish> {
    const [ifindex, gatewayIfindex] = [await linkOf(one.tap), await linkOf(gateway)];
    const addresses = [one.four, one.six].map((text) => ({ address: parseIp(text)!, mac: one.mac }));
    const wish = { ifindex, name: one.tap, gatewayIfindex, macs: [one.mac], addresses };
    plane.setPorts([wish]);
    ip(`route replace ${one.four}/32 dev ${gateway}`);
    ip(`-6 route replace ${one.six}/128 dev ${gateway}`);
    return wish;
  }

  const settled = async (): Promise<void> => {
    await until(
      () => plane.status().filter(({ state }) => state !== 'done'),
      (open) => open.length === 0,
      { timeoutMs: 3000, everyMs: 10 },
    );
  };

  const ready = (gateway: string) =>
    until(
      () => (ip('-o link').includes(` ${gateway}`) ? ip(`-o addr show dev ${gateway}`) : ''),
      (text) => text.includes('169.254.0.1/32 scope link') && text.includes('fe80::1/64'),
      { timeoutMs: 3000, everyMs: 10, what: `${gateway} with the gateway` },
    );

  /** The guest has looked for duplicates of its link-local address. */
  const linkLocal = (one: Guest) =>
    until(
      () => exec('ip', '-n', one.netns, '-6', 'addr', 'show', 'eth0'),
      (text) => text.includes('fe80::') && !text.includes('tentative'),
      { timeoutMs: 5000, what: 'a link-local address' },
    );

  const bothFamilies = async (one: Guest): Promise<void> => {
    await linkLocal(one);
    for (const words of ['ping -c1 -W2 169.254.0.1', 'ping -6 -c1 -W2 fe80::1%eth0']) {
      const { stdout } = await inside(one.netns, words);
      expect(stdout).toContain('1 received');
    }
  };

  /** So many of 60 came back. */
  const sixty = async (from: Guest, to: string): Promise<number> => {
    const { stdout } = await inside(from.netns, `ping -q -c60 -i0.02 -W1 ${to}`);
    return Number(/(\d+) received/.exec(stdout)?.[1]);
  };

  test('a bridge is made: its gateway answers before anything is known of the guest, in both families', async () => {
    plane.setIntent(intent);
    await ready('vmbr1');
    const shown = ip('-d link show vmbr1');
    for (const text of [
      GATEWAY_MAC,
      'addrgenmode none',
      'stp_state 0',
      'forward_delay 0',
      'alias leafd guests',
    ])
      expect(shown).toContain(text);
    const one = guest(11, { bridge: 'vmbr1' });
    await until(
      () => ip('-d link show tap11'),
      (text) => text.includes('isolated on') && text.includes('addrgenmode none'),
      { timeoutMs: 3000, everyMs: 10 },
    );
    expect(ip('-6 addr show tap11')).toBe('');
    expect(ip('-6 -o addr show vmbr1').match(/inet6/g)).toHaveLength(1);
    await settled();
    await linkLocal(one);
    expect((await inside(one.netns, 'arping -c1 -w2 -I eth0 169.254.0.1')).stdout).toMatch(answers(1));
    expect((await inside(one.netns, 'ping -6 -c1 -W2 fe80::1%eth0')).stdout).toContain('1 received');
    await admit(one, 'vmbr1');
    await bothFamilies(one);
    // For its other addresses the machine does not answer ARP there.
    const { stdout } = await inside(one.netns, 'arping -c1 -w1 -I eth0 10.99.0.1');
    expect(stdout).toMatch(answers(0));
  });

  test('two guests of one bridge reach each other by the gateway, 60 of 60, and are never redirected', async () => {
    plane.setIntent(intent);
    await ready('vmbr1');
    const [one, two] = [guest(11, { bridge: 'vmbr1' }), guest(12, { bridge: 'vmbr1' })];
    for (const { netns } of [one, two]) put(netns, 'ipv4.conf.all.accept_redirects=1');
    await admit(one, 'vmbr1');
    await admit(two, 'vmbr1');
    await until(
      () => ip('-d link show tap12'),
      (text) => text.includes('isolated on'),
      { timeoutMs: 3000, everyMs: 10 },
    );
    await settled();
    expect(ip('neigh show dev vmbr1 nud permanent')).toMatch(
      /192\.0\.2\.11 lladdr 52:54:00:00:00:0b.*PERMANENT/,
    );
    expect(await sixty(one, two.six)).toBe(60);
    expect(await sixty(one, two.four)).toBe(60);
    const to4 = exec('ip', '-n', one.netns, 'route', 'get', two.four);
    const to6 = exec('ip', '-n', one.netns, 'route', 'get', two.six);
    expect(to4).toContain('via 169.254.0.1');
    expect(to6).toContain('via fe80::1');
    expect(to4 + to6).not.toContain('redirect');
    // Straight, without the gateway, there is no way: the ports are isolated.
    const { stdout } = await inside(one.netns, `arping -c1 -w1 -I eth0 ${two.four}`);
    expect(stdout).toMatch(answers(0));
  });

  test('a bridge of somebody else is adopted, guests that knew it go on, and it is as it was after the flush', async () => {
    ip('link add vmbr1 type bridge');
    ip('link set vmbr1 address 0c:00:00:00:00:09 up');
    ip('addr add 169.254.0.1/32 dev vmbr1');
    ip('addr add 10.9.9.1/24 dev vmbr1');
    put(host, 'ipv4.conf.all.rp_filter=0', 'ipv4.conf.vmbr1.rp_filter=0');
    const one = guest(11, { bridge: 'vmbr1' });
    ip(`route add ${one.four}/32 dev vmbr1`);
    await until(
      () => ip('-6 addr show vmbr1') + ip('-6 addr show tap11'),
      (text) => (text.match(/inet6 fe80/g) ?? []).length === 2 && !text.includes('tentative'),
      { timeoutMs: 5000 },
    );
    expect((await inside(one.netns, 'ping -c1 -W2 169.254.0.1')).stdout).toContain('1 received');
    put(host, 'ipv4.conf.all.rp_filter=1', 'ipv4.conf.vmbr1.rp_filter=1');
    const look = () => [
      ...[...watched, ...ofBridge].map((path) => `${path} ${sysctl(path)}`),
      ip('-o addr show vmbr1').replaceAll(/proto \S+|valid_lft.*/g, ''),
      /link\/ether \S+/.exec(ip('link show vmbr1'))![0],
      ip('-o -6 addr show tap11').replaceAll(/proto \S+|valid_lft.*/g, ''),
      /isolated \S+/.exec(ip('-d link show tap11'))![0],
    ];
    const before = look();

    plane.setIntent(intent);
    await until(
      () => ip('-o addr show vmbr1'),
      (text) => text.includes('fe80::1/64') && (text.match(/inet6/g) ?? []).length === 1,
      { timeoutMs: 3000, everyMs: 10 },
    );
    await settled();
    expect(ip('link show vmbr1')).toContain(GATEWAY_MAC);
    expect(ip('link show vmbr1')).not.toContain('alias');
    // The guest had the former MAC in its cache.
    await bothFamilies(one);
    expect(exec('ip', '-n', one.netns, 'neigh')).toContain(`169.254.0.1 dev eth0 lladdr ${GATEWAY_MAC}`);
    await admit(one, 'vmbr1');

    end();
    links = new LinkMonitor((rtnl = kernelRtnl(host)));
    const report = flushAll({ stateDir, netns: host, links });
    expect(report.guests).toMatchObject({ bridges: 0, addresses: 1, neighbours: 2 });
    await until(look, (now) => JSON.stringify(now) === JSON.stringify(before), { timeoutMs: 5000 });
    expect(ip('neigh show nud permanent dev vmbr1')).toBe('');
    expect(exec('ip', 'netns', 'exec', host, 'nft', 'list', 'ruleset')).toBe('');
    expect(existsSync(join(stateDir, 'guests-kernel.json'))).toBe(false);
    begin();
  });

  test('looked at again, nothing is written; drift is repaired; a flush leaves nothing of ours', async () => {
    const before = watched.map(sysctl);
    plane.setIntent(intent);
    await ready('vmbr1');
    const one = guest(11, { bridge: 'vmbr1' });
    await admit(one, 'vmbr1');
    await settled();
    await until(
      () => {
        const count = writes;
        plane.reconcile();
        return writes - count;
      },
      (count) => count === 0,
      { timeoutMs: 3000 },
    );
    const [count, text] = [writes, ip('addr show vmbr1')];
    plane.reconcile();
    plane.reconcile();
    expect(writes).toBe(count);
    expect(ip('addr show vmbr1')).toBe(text);

    ip('link set vmbr1 address 0c:00:00:00:00:09');
    ip('link set vmbr1 down');
    ip('neigh flush all nud permanent');
    exec('bridge', '-n', host, 'link', 'set', 'dev', 'tap11', 'isolated', 'off');
    await ready('vmbr1');
    await until(
      () => ip('-d link show vmbr1') + ip('-d link show tap11') + ip('neigh show nud permanent proto 179'),
      (now) =>
        now.includes(GATEWAY_MAC) &&
        now.includes('isolated on') &&
        now.includes('2001:db8:100::11') &&
        now.includes('192.0.2.11'),
      { timeoutMs: 3000 },
    );
    ip(`route replace ${one.four}/32 dev vmbr1`);
    await bothFamilies(one);

    // The bridge is made again with all that is on it.
    ip('link del vmbr1');
    await ready('vmbr1');
    expect(ip('link show vmbr1')).toContain(GATEWAY_MAC);

    const report = plane.flush();
    expect(report).toMatchObject({ bridges: 1 });
    expect(ip('link')).not.toContain('vmbr1');
    expect(watched.map(sysctl)).toEqual(before);
    expect(exec('ip', 'netns', 'exec', host, 'nft', 'list', 'ruleset')).toBe('');
  });

  test('routed taps: served when they appear, each with the same gateway, and again when made anew', async () => {
    plane.setIntent(intent);
    const [one, two] = [guest(21, { tap: 'rt21' }), guest(22, { tap: 'rt22' })];
    for (const tap of ['rt21', 'rt22']) await ready(tap);
    await admit(one, 'rt21');
    const gone = await admit(two, 'rt22');
    await settled();
    await bothFamilies(one);
    expect(await sixty(one, two.six)).toBe(60);
    expect(await sixty(two, one.four)).toBe(60);

    ip('link del rt21');
    ip('link del rt22');
    await until(
      () => links.linkByName('rt22'),
      (link) => link === undefined,
      { timeoutMs: 3000 },
    );
    plane.removePorts([gone.ifindex]);
    const again = guest(22, { tap: 'rt22' });
    await ready('rt22');
    await admit(again, 'rt22');
    await until(
      () => ip('link show rt22'),
      (text) => text.includes(GATEWAY_MAC),
      { timeoutMs: 3000 },
    );
    await bothFamilies(again);
    expect(ip('neigh show nud permanent proto 179')).toMatch(/192\.0\.2\.22 dev rt22/);
  });

  test('a new life keeps what is wished and sweeps the rest; two thousand ports come at once', async () => {
    plane.setIntent(intent);
    await ready('vmbr1');
    const bridge = await linkOf('vmbr1');
    const wishes = Array.from({ length: 2000 }, (_, i): GuestPortWish => {
      const mac = Uint8Array.of(2, 1, 0, 0, i >> 8, i & 255);
      const addresses = [`10.1.${i >> 8}.${i & 255}`, `2001:db8::${(i + 1).toString(16)}`].map((text) => ({
        address: parseIp(text)!,
        mac,
      }));
      return { ifindex: 10_000 + i, name: `t${i}`, gatewayIfindex: bridge, macs: [mac], addresses };
    });
    const ours = () => ip('neigh show nud permanent proto 179').trim().split('\n').filter(Boolean).length;
    const neighboursOnly = { ...intent, filter: false };
    plane.setIntent(neighboursOnly);
    const began = performance.now();
    plane.setPorts(wishes);
    const tookMs = performance.now() - began;
    console.log(`neighbours of 2000 ports: ${tookMs.toFixed(0)} ms`);
    expect(ours()).toBe(4000);
    expect(tookMs).toBeLessThan(1000);
    end();
    begin();
    plane.setIntent(neighboursOnly);
    const count = writes;
    plane.setPorts(wishes.slice(0, 1000));
    expect(writes).toBe(count);
    expect(ours()).toBe(4000);
    plane.sweep();
    expect(ours()).toBe(2000);
    plane.removePorts(wishes.map(({ ifindex }) => ifindex));
    expect(ours()).toBe(0);
  });
});
