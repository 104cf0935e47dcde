// NICs into the router namespace and home again on the real kernel: a round trip changes nothing, what others own stays,
// and whatever goes wrong is told and leaves the NIC where it can be used.

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { NicStatus } from '../../src/passthrough/nic-mover.ts';
import { furnish, type NicHost, nicHost, type Picture } from '../support/nic-host.ts';

const root = process.getuid?.() === 0;
const kinds = kindsHere('bond', 'vlan');
const at = (list: readonly NicStatus[]) => list.map(({ name, place, state }) => `${name} ${place} ${state}`);

describe.skipIf(!root)('a NIC with all there is', () => {
  let host: NicHost;
  let home: Picture;

  beforeAll(async () => {
    host = nicHost('a');
    furnish(host);
    await host.settled();
    home = host.picture(host.home);
  });
  afterAll(() => host?.remove());

  async function asBefore(): Promise<void> {
    expect(await host.pictureLike(host.home, home)).toEqual(home);
    expect(host.json(host.router, 'link')).toHaveLength(1);
  }

  test.each([
    ['the first home first', ['eth2']],
    ['the second home first', ['eth1']],
    ['both at once', []],
  ])('a round trip of two NICs that share routes: %s', async (_what, between) => {
    const mover = host.mover();
    expect(at(mover.reconcile(['eth1', 'eth2']))).toEqual(['eth1 router done', 'eth2 router done']);
    expect(host.json(host.home, 'route show default')).toEqual([]);
    mover.reconcile(between);
    const last = mover.reconcile([]);
    for (const nic of last) expect(nic.text).toBeUndefined();
    await asBefore();
    expect(mover.reconcile([])).toEqual([]);
    expect(() => readFileSync(join(host.stateDir, 'passthrough-nics.json'))).not.toThrow();
  });

  test('inside it has its addresses for good, the mark, MTU and alias; its routes to the prefixes are the kernel’s', () => {
    const mover = host.mover();
    const [nic] = mover.reconcile(['eth1']);
    expect(nic).toMatchObject({ place: 'router', state: 'done', saved: { addresses: 11 } });
    expect(nic!.movedAt).toMatch(/^20\d\d-.*Z$/);
    expect(mover.status()).toEqual([nic]);
    const [link] = host.json(host.router, '-d link show eth1');
    expect(link).toMatchObject({ ifname: 'eth1', group: '4242', mtu: 1400, ifalias: 'rack' });
    const text = host.ip(host.router, 'addr show dev eth1');
    for (const address of ['10.1.0.5/24', '10.1.0.6/24', '10.5.0.1/24', '2001:db8:2::1/64', 'fe80::77/64'])
      expect(text).toContain(address);
    expect(text).not.toMatch(/tentative|noprefixroute|valid_lft \d+sec preferred_lft [1-9]/);
    expect(host.ip(host.router, 'route')).toContain('10.4.0.0/24');
    expect(host.ip(host.router, '-6 route')).toContain('2001:db8:2::/64');
    mover.reconcile([]);
  });

  test('what other NICs have a part in stays, less that part', async () => {
    host.mover().reconcile(['eth1']);
    const routes = host.ip(host.home, 'route');
    expect(routes).toContain('198.51.100.0/24 via 10.2.0.1 dev eth2');
    expect(routes).toMatch(/198\.51\.103\.0\/24 via 10\.2\.0\.1 dev eth2 *$/m);
    expect(routes).toContain('blackhole 203.0.113.0/24');
    expect(host.ip(host.home, '-6 route')).toContain('2001:db8:101::/48 via 2001:db8:22::1 dev eth2');
    host.mover().reconcile([]);
    await asBefore();
  });

  test('what is as it shall be is not written to', () => {
    const mover = host.mover();
    mover.reconcile(['eth1']);
    const before = host.writes();
    expect(before).toBeGreaterThan(10);
    mover.reconcile(['eth1']);
    host.mover().reconcile(['eth1']);
    expect(host.writes()).toBe(before);
    mover.reconcile([]);
  });

  test('inside it gets back what it has lost, and keeps what somebody added', () => {
    const mover = host.mover();
    mover.reconcile(['eth1']);
    const inside = host.picture(host.router) as { addresses: unknown };
    for (const words of [
      'addr add 10.77.0.1/24 dev eth1',
      'addr del 10.1.0.5/24 dev eth1',
      'addr del 2001:db8:1::5/64 dev eth1',
      'link set eth1 mtu 1300 group default',
      'link set eth1 down',
    ])
      host.ip(host.router, words);
    expect(at(mover.reconcile(['eth1']))).toEqual(['eth1 router done']);
    expect(host.ip(host.router, 'addr show dev eth1')).toContain('10.77.0.1/24');
    host.ip(host.router, 'addr del 10.77.0.1/24 dev eth1');
    const order = (picture: { addresses: unknown }): unknown => {
      const [nic] = picture.addresses as { addr_info: { local: string }[] }[];
      return nic!.addr_info.map(({ local }) => local).sort();
    };
    expect(order(host.picture(host.router) as { addresses: unknown })).toEqual(order(inside));
    expect(host.json(host.router, 'link show eth1')[0]).toMatchObject({ mtu: 1400, group: '4242' });
    expect(at(mover.reconcile(['eth1']))).toEqual(['eth1 router done']);
    mover.reconcile(['eth1'], new Map([['eth1', 1350]]));
    expect(host.json(host.router, 'link show eth1')[0]).toMatchObject({ mtu: 1350 });
    mover.reconcile([]);
  });

  test('given back bare by the kernel, also under another name, its record holds', async () => {
    host.mover().reconcile(['eth1']);
    const fallBack = (): void => {
      host.ip(host.router, `link set eth1 netns ${host.home} name dev9`);
      expect(host.ip(host.home, 'addr show dev dev9')).not.toContain('inet');
    };
    fallBack();
    const again = host.mover();
    expect(again.wouldMove(['eth1'])).toBe(true);
    expect(again.status()).toMatchObject([{ name: 'eth1', place: 'home', state: 'pending' }]);
    expect(at(again.reconcile(['eth1']))).toEqual(['eth1 router done']);
    expect(again.wouldMove(['eth1'])).toBe(false);
    expect(host.ip(host.router, 'addr show dev eth1')).toContain('10.1.0.5/24');
    fallBack();
    expect(at(again.reconcile([]))).toEqual(['eth1 home done']);
    await asBefore();
  });

  test('given back bare and stripped of its mark, it still gets its addresses; configured anew, those count', async () => {
    host.mover().reconcile(['eth1']);
    host.ip(host.router, `link set eth1 netns ${host.home} group default`);
    expect(at(host.mover().reconcile(['eth1']))).toEqual(['eth1 router done']);
    expect(host.ip(host.router, 'addr show dev eth1')).toContain('10.1.0.5/24');
    host.ip(host.router, `link set eth1 netns ${host.home} group default`);
    host.ip(host.home, 'addr add 10.66.0.1/24 dev eth1');
    const record = readFileSync(join(host.stateDir, 'passthrough-nics.json'), 'utf8');
    expect(at(host.mover().reconcile(['eth1']))).toEqual(['eth1 router done']);
    const inside = host.ip(host.router, 'addr show dev eth1');
    expect(inside).toContain('10.66.0.1/24');
    expect(inside).not.toContain('10.1.0.5/24');
    // Back to where it was, by the older record.
    writeFileSync(join(host.stateDir, 'passthrough-nics.json'), record);
    host.ip(host.router, 'addr del 10.66.0.1/24 dev eth1');
    expect(at(host.mover().reconcile([]))).toEqual(['eth1 home done']);
    await asBefore();
  });

  test('a name that is taken is told, on both sides, and is no longer in the way once it is free', async () => {
    const mover = host.mover();
    host.ip(host.router, 'link add eth1 type veth peer name other');
    expect(mover.reconcile(['eth1'])).toMatchObject([
      {
        place: 'home',
        state: 'error',
        errno: 'EEXIST',
        text: 'the router namespace has another link named eth1',
      },
    ]);
    expect(await host.pictureLike(host.home, home)).toEqual(home);
    host.ip(host.router, 'link del eth1');
    expect(at(mover.reconcile(['eth1']))).toEqual(['eth1 router done']);
    host.ip(host.home, 'link add eth1 type veth peer name other');
    expect(mover.reconcile([])).toMatchObject([
      { place: 'router', state: 'error', errno: 'EEXIST', text: 'the host has another link named eth1' },
    ]);
    host.ip(host.home, 'link del eth1');
    expect(at(mover.reconcile([]))).toEqual(['eth1 home done']);
    await asBefore();
  });

  test('what cannot be written down is not moved', async () => {
    const [nic] = host.mover({ stateDir: '/proc/leafd-none' }).reconcile(['eth1']);
    expect(nic).toMatchObject({ place: 'home', state: 'error', errno: 'ENOENT', saved: undefined });
    expect(nic!.text).toMatch(/^cannot write down what it is: /);
    await asBefore();
    const path = join(host.stateDir, 'passthrough-nics.json');
    writeFileSync(path, '{"schema": 1, "nics": {"eth1": {}}}');
    expect(host.mover().reconcile(['eth1'])).toMatchObject([{ state: 'error', errno: 'state-unreadable' }]);
    rmSync(path);
    await asBefore();
  });

  test('a route that cannot be had again is told, the rest is there', async () => {
    const mover = host.mover();
    mover.reconcile(['eth1']);
    host.ip(host.home, 'addr del 10.2.0.5/24 dev eth2');
    const [nic] = mover.reconcile([]);
    expect(nic).toMatchObject({ place: 'home', state: 'done' });
    expect(nic!.text).toMatch(/a route: .*198\.51\.10[03]\.0\/24 via 10\..* dev eth2/);
    expect(host.ip(host.home, 'route')).toContain('198.51.106.0/24 via 198.51.105.9 dev eth1');
    // By hand, as an operator would.
    host.ip(host.home, 'addr add 10.2.0.5/24 dev eth2');
    host.ip(host.home, 'route add 198.51.100.0/24 nexthop via 10.1.0.1 weight 3 nexthop via 10.2.0.1');
    host.ip(host.home, 'route add 198.51.103.0/24 via 10.2.0.1 src 10.1.0.5');
    await asBefore();
  });
});

describe.skipIf(!root)('NICs of other kinds', () => {
  let host: NicHost;

  beforeAll(() => {
    host = nicHost('b');
    host.ip(host.home, 'link add br0 type bridge');
    host.ip(host.home, `link add eth1 type veth peer name p1 netns ${host.fabric}`);
    host.ip(host.fabric, 'link set p1 up');
  });
  beforeEach(() => {
    host.mover().reconcile([]);
  });
  afterAll(() => host?.remove());

  test('a port of a bridge is one again; without the bridge, that is told', () => {
    host.ip(host.home, 'link set eth1 master br0 up');
    const mover = host.mover();
    expect(at(mover.reconcile(['eth1']))).toEqual(['eth1 router done']);
    expect(host.json(host.home, 'link show master br0')).toEqual([]);
    expect(mover.reconcile([])).toEqual([{ name: 'eth1', place: 'home', state: 'done', saved: undefined }]);
    expect(host.json(host.home, 'link show eth1')[0]).toMatchObject({ master: 'br0' });
    mover.reconcile(['eth1']);
    host.ip(host.home, 'link del br0');
    expect(mover.reconcile([])).toMatchObject([
      { place: 'home', state: 'done', text: 'there is no br0 any more that it could be part of' },
    ]);
    host.ip(host.home, 'link add br0 type bridge');
  });

  test('a link that the kernel keeps in its namespace, and one with others on it, are refused', () => {
    const mover = host.mover();
    const [nic] = mover.reconcile(['br0']);
    expect(nic).toMatchObject({ place: 'home', state: 'error', errno: 'EINVAL', saved: undefined });
    expect(nic!.text).toMatch(/does not let it leave its namespace/);
    expect(host.json(host.home, 'link show br0')[0]).toMatchObject({ group: 'default' });
    host.ip(host.home, 'link set eth1 master br0');
    expect(mover.reconcile(['br0'])).toMatchObject([
      { state: 'error', errno: 'EBUSY', text: expect.stringMatching(/^eth1 on top of it/) },
    ]);
    host.ip(host.home, 'link set eth1 nomaster');
  });

  test('a NIC that is not there yet is waited for', () => {
    const mover = host.mover();
    expect(at(mover.reconcile(['eth7']))).toEqual(['eth7 absent pending']);
    expect(mover.wouldMove(['eth7'])).toBe(false);
    host.ip(host.home, `link add eth7 type veth peer name p7 netns ${host.fabric}`);
    expect(mover.wouldMove(['eth7'])).toBe(true);
    expect(at(mover.reconcile(['eth7']))).toEqual(['eth7 router done']);
    host.ip(host.fabric, 'link del p7');
    expect(at(mover.reconcile(['eth7']))).toEqual(['eth7 absent pending']);
    // Made anew, it is another NIC, and what it has counts.
    host.ip(host.home, `link add eth7 type veth peer name p7 netns ${host.fabric}`);
    host.ip(host.home, 'addr add 10.7.0.1/24 dev eth7');
    expect(at(mover.reconcile(['eth7']))).toEqual(['eth7 router done']);
    expect(host.ip(host.router, 'addr show dev eth7')).toContain('10.7.0.1/24');
    expect(at(mover.reconcile([]))).toEqual(['eth7 home done']);
    expect(host.ip(host.home, 'addr show dev eth7')).toContain('10.7.0.1/24');
    expect(host.ip(host.home, 'link show dev eth7')).not.toContain('UP');
    host.ip(host.home, 'link del eth7');
  });

  test('one that is inside already is adopted, and takes its addresses home', () => {
    host.ip(host.router, `link add eth8 type veth peer name p8 netns ${host.fabric}`);
    host.ip(host.router, 'addr add 10.8.0.1/24 dev eth8');
    const mover = host.mover();
    expect(mover.reconcile(['eth8'])).toMatchObject([
      { place: 'router', state: 'done', saved: { addresses: 1, routes: 0 } },
    ]);
    expect(host.json(host.router, 'link show eth8')[0]).toMatchObject({ group: '4242' });
    expect(at(mover.reconcile([]))).toEqual(['eth8 home done']);
    expect(host.ip(host.home, 'addr show dev eth8')).toContain('10.8.0.1/24');
    expect(host.json(host.home, 'link show eth8')[0]).toMatchObject({ group: 'default' });
    host.ip(host.home, 'link del eth8');
  });

  test('renamed inside, it has its name back', () => {
    const mover = host.mover();
    mover.reconcile(['eth1']);
    host.ip(host.router, 'link set eth1 down');
    host.ip(host.router, 'link set eth1 name up0');
    host.ip(host.router, 'link set up0 up');
    expect(at(mover.reconcile(['eth1']))).toEqual(['eth1 router done']);
    expect(host.json(host.router, 'link show eth1')).toHaveLength(1);
  });

  test('a record of before a reboot is not laid over what the host has made since', () => {
    host.ip(host.home, 'addr add 10.9.9.1/24 dev eth1');
    host.mover().reconcile(['eth1']);
    host.ip(host.router, `link set eth1 netns ${host.home} group default`);
    const path = join(host.stateDir, 'passthrough-nics.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace(/"bootId": "[^"]*"/, '"bootId": "another"'));
    expect(at(host.mover().reconcile([]))).toEqual(['eth1 home done']);
    expect(host.ip(host.home, 'addr show dev eth1')).not.toContain('10.9.9.1/24');
  });

  test('a kernel whose default is no IPv6 in the namespace takes the NIC’s addresses all the same', () => {
    const setting = 'net.ipv6.conf.default.disable_ipv6';
    host.sysctl(host.router, setting, '1');
    host.ip(host.home, 'link set eth1 up');
    host.ip(host.home, 'addr add 2001:db8:9::1/64 dev eth1 nodad');
    expect(at(host.mover().reconcile(['eth1']))).toEqual(['eth1 router done']);
    expect(host.ip(host.router, '-6 addr show dev eth1')).toContain('2001:db8:9::1/64');
    host.sysctl(host.router, setting, '0');
  });

  test.skipIf(!kinds.has('bond'))('a member of a bond is one again', () => {
    host.ip(host.home, 'link add bond0 type bond mode active-backup');
    host.ip(host.home, 'link set bond0 up');
    host.ip(host.home, 'link set eth1 down');
    host.ip(host.home, 'link set eth1 master bond0');
    const mover = host.mover();
    expect(at(mover.reconcile(['eth1']))).toEqual(['eth1 router done']);
    expect(mover.reconcile([])).toEqual([{ name: 'eth1', place: 'home', state: 'done', saved: undefined }]);
    expect(host.json(host.home, 'link show eth1')[0]).toMatchObject({ master: 'bond0', group: 'default' });
    expect(mover.reconcile(['bond0'])).toMatchObject([{ place: 'home', state: 'error', errno: 'EBUSY' }]);
    host.ip(host.home, 'link del bond0');
  });

  test.skipIf(!kinds.has('vlan'))('a NIC with a VLAN on it is refused until the VLAN is gone', () => {
    host.ip(host.home, 'link add link eth1 name eth1.5 type vlan id 5');
    const mover = host.mover();
    const [nic] = mover.reconcile(['eth1']);
    expect(nic).toMatchObject({ place: 'home', state: 'error', errno: 'EBUSY', saved: undefined });
    expect(nic!.text).toMatch(/^eth1\.5 on top of it/);
    host.ip(host.home, 'link del eth1.5');
    expect(at(mover.reconcile(['eth1']))).toEqual(['eth1 router done']);
  });

  test('routes through nexthop objects come again with their hops', () => {
    host.ip(host.home, 'link set eth1 up');
    host.ip(host.home, 'addr add 10.3.0.1/24 dev eth1');
    host.ip(host.home, 'nexthop add id 5 via 10.3.0.2 dev eth1');
    host.ip(host.home, 'nexthop add id 6 via 10.3.0.3 dev eth1');
    host.ip(host.home, 'nexthop add id 9 group 5,2/6');
    host.ip(host.home, 'route add 198.51.100.0/24 nhid 9');
    host.sysctl(host.home, 'net.ipv4.nexthop_compat_mode', '0');
    const mover = host.mover();
    expect(mover.reconcile(['eth1'])).toMatchObject([{ place: 'router', state: 'done' }]);
    expect(mover.reconcile([])[0]?.text).toBeUndefined();
    expect(host.json(host.home, 'route show 198.51.100.0/24')[0]).toMatchObject({
      nexthops: [
        { gateway: '10.3.0.2', weight: 2 },
        { gateway: '10.3.0.3', weight: 1 },
      ],
    });
    host.ip(host.home, 'addr del 10.3.0.1/24 dev eth1');
  });
});

/** Which of these kinds of links this kernel has. */
function kindsHere(...names: string[]): Set<string> {
  if (!root) return new Set();
  const netns = `lfpn-${process.pid}-kinds`;
  const ip = (...words: string[]): boolean => spawnSync('ip', words).status === 0;
  ip('netns', 'add', netns);
  ip('-n', netns, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
  const has = (kind: string): boolean => {
    const below = kind === 'vlan' ? ['link', 'v0'] : [];
    const id = kind === 'vlan' ? ['id', '7'] : [];
    return ip('-n', netns, 'link', 'add', ...below, 'name', 'probe', 'type', kind, ...id)
      ? ip('-n', netns, 'link', 'del', 'probe')
      : false;
  };
  const found = new Set(names.filter(has));
  ip('netns', 'del', netns);
  return found;
}
