// Uplinks made on top of a NIC that stays in the host: macvlans and VLANs on the real kernel, to where frames go. Skipped
// where the kernel has neither kind; the kernel lab (`npm run klab`) has both, ten times slower.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { InterfaceAddress, PassthroughIntent, UplinkIntent } from '../../src/intent/passthrough.ts';
import { parseIp } from '../../src/net/ip.ts';
import { createNetns, removeNetns } from '../../src/netlink/netns.ts';
import { PassthroughPlane } from '../../src/passthrough/plane.ts';
import { run, until } from '../support/fabric.ts';

const home = `lfpu-${process.pid}-h`;
const netns = `lfpu-${process.pid}-r`;
const fabric = `lfpu-${process.pid}-f`;

const exec = (...argv: string[]): string =>
  execFileSync(argv[0]!, argv.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const ip = (where: string, text: string): string => exec('ip', '-n', where, ...text.split(' '));
const pings = async (to: string): Promise<boolean> =>
  (await run(['ip', 'netns', 'exec', netns, 'ping', '-c1', '-W1', to])).exitCode === 0;
const address = (text: string): InterfaceAddress => {
  const [bytes, length] = text.split('/');
  return { bytes: parseIp(bytes!)!, prefixLength: Number(length) };
};

const macvlan: UplinkIntent = {
  name: 'up0',
  parent: 'eth0',
  mode: { kind: 'macvlan' },
  addresses: [address('192.0.2.5/24'), address('2001:db8:2::5/64')],
};
const vlan: UplinkIntent = {
  name: 'eth0.100',
  parent: 'eth0',
  mode: { kind: 'vlan', id: 100 },
  addresses: [address('198.51.100.5/24')],
};
const intentOf = (...uplinks: UplinkIntent[]): PassthroughIntent => ({
  netns,
  nodeIndex: 0,
  uplinks,
  speakers: [],
  confirmMs: 60_000,
  restoreOnStop: false,
});

/** Whether this kernel makes macvlans and VLANs. */
function hasBoth(): boolean {
  if (process.getuid?.() !== 0) return false;
  const name = `lfpu-${process.pid}-x`;
  createNetns(name);
  try {
    ip(name, 'link add name port0 type veth peer name port1');
    ip(name, 'link add link port0 name over0 type macvlan mode bridge');
    ip(name, 'link add link port0 name over1 type vlan id 7');
    return true;
  } catch {
    return false;
  } finally {
    removeNetns(name);
  }
}

describe.skipIf(!hasBoth())('uplinks on top of a NIC (the kernel has to have macvlan and VLAN links)', () => {
  let stateDir: string;
  let plane: PassthroughPlane;

  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), 'leafd-uplink-'));
    for (const name of [home, fabric]) createNetns(name);
    addParent();
    plane = new PassthroughPlane({ netns, stateDir, home, isUplinkUp: () => false });
  });

  afterEach(() => {
    plane.close();
    for (const name of [netns, home, fabric]) removeNetns(name);
    rmSync(stateDir, { recursive: true, force: true });
  });

  /** The NIC, and behind it one untagged neighbour and one with tag 100. */
  function addParent(): void {
    ip(home, `link add eth0 mtu 9000 type veth peer name tor mtu 9000 netns ${fabric}`);
    ip(fabric, 'addr add 192.0.2.1/24 dev tor');
    ip(fabric, 'addr add 2001:db8:2::1/64 dev tor nodad');
    ip(fabric, 'link set tor up');
    ip(fabric, 'link add link tor name tagged type vlan id 100');
    ip(fabric, 'addr add 198.51.100.1/24 dev tagged');
    ip(fabric, 'link set tagged up');
    ip(home, 'link set eth0 up');
  }

  const unfinished = () => plane.status().filter(({ state }) => state !== 'done');
  /** What is made, not what becomes of it: the kernel takes its time to call a link up. */
  const inside = (): Record<string, { ifindex: number; mtu: number; address: string }> =>
    Object.fromEntries(
      (
        JSON.parse(ip(netns, '-j link')) as {
          ifname: string;
          ifindex: number;
          mtu: number;
          address: string;
        }[]
      ).map(({ ifname, ifindex, mtu, address }) => [ifname, { ifindex, mtu, address }]),
    );
  const soon = <T>(look: () => Promise<T> | T, holds: (seen: T) => boolean, what: string) =>
    until(look, holds, { timeoutMs: 20_000, everyMs: 20, what });

  test('frames go both ways while the NIC stays in the host, and nothing is on trial', async () => {
    plane.setIntent(intentOf(macvlan, vlan));
    expect(unfinished()).toEqual([]);
    expect(plane.view()).toMatchObject({
      trial: { state: 'none' },
      uplinks: [
        { name: 'up0', parent: 'eth0', mode: 'macvlan', place: 'router', state: 'done', mtu: 9000, up: true },
        { name: 'eth0.100', mode: 'vlan', vlan: 100, place: 'router', state: 'done', mtu: 9000, up: true },
      ],
    });
    for (const to of ['192.0.2.1', '2001:db8:2::1', '198.51.100.1']) await soon(() => pings(to), Boolean, to);
    expect(ip(home, 'link show eth0')).toContain('state UP');
    expect(ip(home, '-o link')).not.toContain('up0');
    const before = inside();
    plane.setIntent(intentOf(macvlan, vlan));
    expect(inside()).toEqual(before);
  });

  test('it is repaired at once, with the MAC it had', async () => {
    plane.setIntent(intentOf(macvlan, vlan));
    const before = inside().up0!.address;
    ip(netns, 'link del up0');
    ip(netns, 'link set eth0.100 down');
    await soon(() => unfinished().length === 0 && pings('198.51.100.1'), Boolean, 'the VLAN');
    await soon(() => pings('192.0.2.1'), Boolean, 'the macvlan');
    expect(inside().up0!.address).toBe(before);
    ip(netns, 'addr del 192.0.2.5/24 dev up0');
    await soon(() => pings('192.0.2.1'), Boolean, 'the address');
  });

  test('it goes with its NIC and comes with it', async () => {
    plane.setIntent(intentOf(macvlan, vlan));
    ip(home, 'link del eth0');
    await soon(
      () => unfinished(),
      (list) => list.length === 2 && list.every(({ state }) => state === 'pending'),
      'the end',
    );
    expect(plane.view().uplinks[0]).toMatchObject({ place: 'absent', error: 'there is no link eth0' });
    addParent();
    await soon(() => pings('192.0.2.1'), Boolean, 'the macvlan');
    await soon(() => pings('198.51.100.1'), Boolean, 'the VLAN');
    expect(unfinished()).toEqual([]);
  });

  test('a NIC that is down is the host’s affair; what is on top of it rises with it', async () => {
    ip(home, 'link set eth0 down');
    plane.setIntent(intentOf(vlan));
    expect(unfinished()).toMatchObject([{ key: 'uplink eth0.100', state: 'pending', text: 'eth0 is down' }]);
    expect(ip(home, 'link show eth0')).toContain('state DOWN');
    ip(home, 'link set eth0 up');
    await soon(() => pings('198.51.100.1'), Boolean, 'the VLAN');
    await soon(
      () => unfinished().length,
      (count) => count === 0,
      'all done',
    );
  });

  test('another VLAN, mode or MTU is another link; what is no longer wanted goes', async () => {
    plane.setIntent(intentOf({ ...vlan, mode: { kind: 'vlan', id: 7 } }));
    expect(await pings('198.51.100.1')).toBe(false);
    const first = inside()['eth0.100']!.ifindex;
    plane.setIntent(intentOf(vlan));
    expect(inside()['eth0.100']!.ifindex).not.toBe(first);
    await soon(() => pings('198.51.100.1'), Boolean, 'the VLAN');
    plane.setIntent(intentOf({ ...vlan, mtu: 1400 }));
    expect(inside()['eth0.100']!.mtu).toBe(1400);
    plane.setIntent(intentOf({ ...vlan, mtu: 9999 }));
    expect(unfinished()).toMatchObject([{ state: 'error', errno: 'ERANGE' }]);
    expect(inside()['eth0.100']!.mtu).toBe(9000);
    ip(home, 'link set eth0 mtu 1500');
    await soon(
      () => inside()['eth0.100']!.mtu,
      (mtu) => mtu === 1500,
      'the smaller MTU',
    );
    plane.setIntent(intentOf({ ...macvlan, name: 'eth0.100' }));
    await soon(() => pings('192.0.2.1'), Boolean, 'the macvlan');
    ip(netns, 'link add link eth0.100 name theirs type vlan id 9');
    plane.setIntent(intentOf(vlan));
    plane.setIntent(intentOf());
    expect(Object.keys(inside())).toEqual(['lo']);
    plane.setIntent(undefined);
    expect(ip(home, 'link show eth0')).toContain('state UP');
  });
});
