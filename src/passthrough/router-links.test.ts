// The veth and uplinks on top of NICs against fake kernels: what is made, repaired, refused and taken back.

import { beforeEach, expect, test } from 'vitest';
import type { InterfaceAddress, PassthroughVethIntent, UplinkIntent } from '../intent/passthrough.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import type { LinkAddress } from '../netlink/address.ts';
import { FakeKernel } from '../netlink/fake-kernel.ts';
import { FakeMachine } from '../netlink/fake-netns.ts';
import { RTM_NEWLINK, RTM_SETLINK } from '../netlink/message.ts';
import type { LinkKernel } from './link-write.ts';
import { RouterLinks, type RouterLinksWish } from './router-links.ts';

const [HOME, ROUTER] = [3, 4];
const address = (text: string): InterfaceAddress => {
  const [ip, length] = text.split('/');
  return { bytes: parseIp(ip!)!, prefixLength: Number(length) };
};
const veth: PassthroughVethIntent = {
  hostLink: 'pt-host',
  routerLink: 'pt-ns',
  routerAddresses: [address('192.169.10.1/24'), address('fd00:10::1/64')],
  hostAddresses: [address('192.169.10.2/24'), address('fd00:10::2/64')],
};
const macvlan: UplinkIntent = {
  name: 'up0',
  parent: 'eth0',
  mode: { kind: 'macvlan' },
  addresses: [address('192.0.2.5/24')],
};
const vlan: UplinkIntent = { ...macvlan, name: 'eth0.100', mode: { kind: 'vlan', id: 100 } };
const wish = (other: Partial<RouterLinksWish> = {}): RouterLinksWish => ({
  veth,
  uplinks: [],
  nodeIndex: 0,
  ...other,
});

let home: FakeKernel;
let router: FakeKernel;
let machine: FakeMachine;
let kernel: LinkKernel;
let links: RouterLinks;
/** What was on disk at each save. */
let saved: string[];

beforeEach(() => {
  home = new FakeKernel();
  router = new FakeKernel();
  for (const one of [home, router]) one.addLink('lo', { up: false, kind: '' });
  machine = new FakeMachine(
    new Map([
      [HOME, home],
      [ROUTER, router],
    ]),
  );
  saved = [];
  const memory = { making: new Set<string>(), addresses: new Set<string>() };
  kernel = {
    rtnl: { home: home.rtnl(), router: router.rtnl() },
    netnsFd: ROUTER,
    memory,
    marks: false,
    save: () => saved.push([...memory.making].join(',')),
  };
  links = new RouterLinks(kernel, 'perouter');
});

const linkOf = (one: FakeKernel, name: string) => [...one.links.values()].find((link) => link.name === name);
const on = (one: FakeKernel, name: string): string[] =>
  [...one.addresses.values()]
    .filter(({ ifindex }) => one.links.get(ifindex)?.name === name)
    .map(({ bytes, prefixLength, protocol }) => `${formatIp(bytes)}/${prefixLength} ${protocol}`);
const writes = (): number =>
  [home, router].flatMap(({ taken }) => [...taken]).reduce((sum, [type, n]) => sum + (type >= 16 ? n : 0), 0);
const unfinished = () => links.status().filter(({ state }) => state !== 'done');
const put = (one: FakeKernel, name: string, text: string, protocol: number): void => {
  const { bytes, prefixLength } = address(text);
  const ifindex = linkOf(one, name)!.ifindex;
  const family = bytes.length === 4 ? 2 : 10;
  const rest = { family, scope: 0, flags: 0, tentative: false, protocol };
  const added: LinkAddress = { ifindex, bytes, prefixLength, ...rest };
  one.addresses.set(`${ifindex}/${text}`, added);
};

test('the veth is made with marks, MACs and addresses, and nothing is written twice', () => {
  links.reconcile(wish());
  expect(unfinished()).toEqual([]);
  for (const [one, name] of [
    [home, 'pt-host'],
    [router, 'pt-ns'],
  ] as const)
    expect(linkOf(one, name)).toMatchObject({ up: true, alias: 'leafd passthrough perouter', kind: 'veth' });
  expect(on(home, 'pt-host')).toEqual(['192.169.10.2/24 179', 'fd00:10::2/64 179']);
  expect(on(router, 'pt-ns')).toEqual(['192.169.10.1/24 179', 'fd00:10::1/64 179']);
  expect(linkOf(router, 'lo')!.up).toBe(true);
  expect(linkOf(home, 'lo')!.up).toBe(false);
  const count = writes();
  expect(links.reconcile(wish())).toEqual([]);
  expect(writes()).toBe(count);
});

test('its names are on disk before it is made, and no longer when it has its mark', () => {
  home.refuse = (type) => (type === RTM_SETLINK ? { errno: 16, text: '' } : undefined);
  links.reconcile(wish());
  expect([...new Set(saved)]).toEqual(['pt-host,pt-ns']);
  home.refuse = () => undefined;
  // The next life finds both legs without a mark, and knows them.
  links = new RouterLinks(kernel, 'perouter');
  links.reconcile(wish());
  expect(unfinished()).toEqual([]);
  expect(linkOf(home, 'pt-host')!.alias).toBe('leafd passthrough perouter');
  expect(saved.at(-1)).toBe('');
});

test('a veth that was deleted comes back with the MACs it had', () => {
  links.reconcile(wish());
  const macs = [linkOf(home, 'pt-host')!.mac, linkOf(router, 'pt-ns')!.mac];
  expect(macs[0]).not.toEqual(macs[1]);
  home.removeLink(linkOf(home, 'pt-host')!.ifindex);
  expect(linkOf(router, 'pt-ns')).toBeUndefined();
  links.reconcile(wish());
  expect([linkOf(home, 'pt-host')!.mac, linkOf(router, 'pt-ns')!.mac]).toEqual(macs);
  // Nobody has to ask for it, in vain perhaps.
  const known = [...home.neighbours.values()].map(({ address, mac, state }) => [
    formatIp(address),
    mac,
    state,
  ]);
  expect(known).toEqual([
    ['192.169.10.1', macs[1], 4],
    ['fd00:10::1', macs[1], 4],
  ]);
  expect(on(home, 'pt-host')).toHaveLength(2);
});

test('a leg that was renamed leaves the other alone: both are made anew', () => {
  links.reconcile(wish());
  linkOf(router, 'pt-ns')!.name = 'other';
  links.reconcile(wish());
  expect(unfinished()).toEqual([]);
  expect(linkOf(router, 'other')).toBeUndefined();
  expect(linkOf(router, 'pt-ns')!.lower).toBe(linkOf(home, 'pt-host')!.ifindex);
});

test('a link of others by one of the names is told and stays as it is', () => {
  const theirs = home.addLink('pt-host', { kind: 'dummy', up: false });
  const before = { ...home.links.get(theirs)! };
  links.reconcile(wish());
  expect(unfinished()).toMatchObject([{ key: 'veth pt-host pt-ns', state: 'error', errno: 'EEXIST' }]);
  expect(home.links.get(theirs)).toEqual(before);
  expect(linkOf(router, 'pt-ns')).toBeUndefined();
  home.removeLink(theirs);
  links.reconcile(wish());
  expect(unfinished()).toEqual([]);
});

test('what is set down, deleted or given another MTU is repaired; what others put there stays', () => {
  links.reconcile(wish({ veth: { ...veth, mtu: 9000 } }));
  put(home, 'pt-host', '10.9.9.9/32', 0);
  const leg = linkOf(home, 'pt-host')!;
  leg.up = false;
  leg.mtu = 1400;
  home.addresses.delete([...home.addresses.keys()][0]!);
  const changed = links.reconcile(wish({ veth: { ...veth, mtu: 9000 } }));
  expect(changed).toEqual(['veth pt-host pt-ns', 'address pt-host 192.169.10.2/24']);
  expect(linkOf(home, 'pt-host')).toMatchObject({ up: true, mtu: 9000 });
  expect(on(home, 'pt-host').sort()).toEqual(['10.9.9.9/32 0', '192.169.10.2/24 179', 'fd00:10::2/64 179']);
});

test('an address that is no longer wanted goes, on a kernel without marks too', () => {
  links.reconcile(wish());
  const other = { ...veth, hostAddresses: [address('192.169.10.7/24')] };
  links.reconcile(wish({ veth: other }));
  expect(on(home, 'pt-host')).toEqual(['192.169.10.7/24 179']);
  // The older kernel forgets whose an address is.
  for (const one of [home, router]) for (const a of one.addresses.values()) a.protocol = 0;
  links.reconcile(wish());
  expect(on(home, 'pt-host')).toEqual(['192.169.10.7/24 0', '192.169.10.2/24 179', 'fd00:10::2/64 179']);
});

test('on a kernel without marks the addresses are remembered by name, with one write for all', () => {
  links.reconcile(wish());
  expect(saved).toHaveLength(3);
  for (const one of [home, router]) for (const a of one.addresses.values()) a.protocol = 0;
  const again = { ...kernel, marks: false };
  links = new RouterLinks(again, 'perouter');
  links.reconcile(wish({ veth: { ...veth, hostAddresses: [] } }));
  expect(on(home, 'pt-host')).toEqual([]);
});

test('the MTU follows the smallest uplink, and stays when all are away', () => {
  const uplinks: UplinkIntent[] = ['eth1', 'eth2'].map((name) => ({
    name,
    parent: name,
    mode: { kind: 'move' },
    addresses: [],
  }));
  const [one, two] = [router.addLink('eth1'), router.addLink('eth2')];
  router.links.get(one)!.mtu = 9000;
  router.links.get(two)!.mtu = 9100;
  links.reconcile(wish({ uplinks }));
  expect(linkOf(home, 'pt-host')!.mtu).toBe(9000);
  router.links.get(one)!.mtu = 9216;
  links.reconcile(wish({ uplinks }));
  expect([linkOf(home, 'pt-host')!.mtu, linkOf(router, 'pt-ns')!.mtu]).toEqual([9100, 9100]);
  router.removeLink(one);
  router.removeLink(two);
  expect(links.reconcile(wish({ uplinks }))).toEqual([]);
});

test('a macvlan and a VLAN are made in the router namespace when their parent is there', () => {
  const uplinks = [macvlan, vlan];
  links.reconcile(wish({ uplinks }));
  expect(unfinished()).toMatchObject([
    { key: 'uplink up0', state: 'pending', text: 'there is no link eth0' },
    { key: 'uplink eth0.100', state: 'pending' },
  ]);
  const eth0 = home.addLink('eth0', { kind: '' });
  home.links.get(eth0)!.mtu = 9000;
  links.reconcile(wish({ uplinks }));
  expect(unfinished()).toEqual([]);
  expect(linkOf(router, 'up0')).toMatchObject({ kind: 'macvlan', up: true, mtu: 9000, lower: eth0 });
  expect(linkOf(router, 'up0')!.mac).not.toEqual(home.links.get(eth0)!.mac);
  expect(on(router, 'up0')).toEqual(['192.0.2.5/24 179']);
  expect(machine.vlans.get(`${ROUTER}/${linkOf(router, 'eth0.100')!.ifindex}`)).toBe(100);
  expect(home.taken.get(RTM_NEWLINK)).toBe(3);
  // The parent goes, and comes back as another link.
  home.removeLink(eth0);
  expect(linkOf(router, 'up0')).toBeUndefined();
  home.addLink('eth0', { kind: '' });
  links.reconcile(wish({ uplinks }));
  expect(unfinished()).toEqual([]);
});

test('an uplink with another VLAN, parent or mode is made anew; one that is not wanted goes', () => {
  const parents = [home.addLink('eth0', { kind: '' }), home.addLink('eth7', { kind: '' })];
  links.reconcile(wish({ uplinks: [vlan] }));
  const first = linkOf(router, 'eth0.100')!.ifindex;
  links.reconcile(wish({ uplinks: [{ ...vlan, mode: { kind: 'vlan', id: 7 } }] }));
  const second = linkOf(router, 'eth0.100')!.ifindex;
  expect(second).not.toBe(first);
  expect(machine.vlans.get(`${ROUTER}/${second}`)).toBe(7);
  links.reconcile(wish({ uplinks: [{ ...vlan, parent: 'eth7', mode: { kind: 'macvlan' } }] }));
  expect(linkOf(router, 'eth0.100')).toMatchObject({ kind: 'macvlan', lower: parents[1] });
  links.reconcile(wish());
  expect(linkOf(router, 'eth0.100')).toBeUndefined();
  expect(unfinished()).toEqual([]);
});

test('a link of others in the place of an uplink is told and stays', () => {
  home.addLink('eth0', { kind: '' });
  const theirs = router.addLink('up0', { kind: 'macvlan' });
  links.reconcile(wish({ uplinks: [macvlan] }));
  expect(unfinished()).toMatchObject([{ key: 'uplink up0', state: 'error', errno: 'EEXIST' }]);
  links.reconcile(wish());
  expect(router.links.has(theirs)).toBe(true);
});

test('a parent that is down, or too small, is told; nothing is done to it', () => {
  const eth0 = home.addLink('eth0', { kind: '', up: false });
  links.reconcile(wish({ uplinks: [{ ...vlan, mtu: 9000 }] }));
  expect(unfinished()).toMatchObject([
    { key: 'uplink eth0.100', state: 'pending', text: 'eth0 is down' },
    { key: 'uplink eth0.100 mtu', state: 'error', errno: 'ERANGE' },
  ]);
  expect(linkOf(router, 'eth0.100')).toMatchObject({ mtu: 1500, up: false });
  expect(home.links.get(eth0)).toMatchObject({ mtu: 1500, up: false });
  Object.assign(home.links.get(eth0)!, { mtu: 9000, up: true });
  links.reconcile(wish({ uplinks: [{ ...vlan, mtu: 9000 }] }));
  expect(unfinished()).toEqual([]);
  expect(linkOf(router, 'eth0.100')).toMatchObject({ mtu: 9000, up: true });
});

test('everything of ours is taken back, and nothing else', () => {
  home.addLink('eth0', { kind: '' });
  router.addLink('theirs', { kind: 'macvlan' });
  home.addLink('veth0', { kind: 'veth' });
  links.reconcile(wish({ uplinks: [macvlan, vlan] }));
  expect(links.removeAll()).toBe(4);
  expect([...home.links.values()].map(({ name }) => name)).toEqual(['lo', 'eth0', 'veth0']);
  expect([...router.links.values()].map(({ name }) => name)).toEqual(['lo', 'theirs']);
});
