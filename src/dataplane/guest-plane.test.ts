import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseIp } from '../net/ip.ts';
import { FakeKernel } from '../netlink/fake-kernel.ts';
import { hex, RTM_NEWADDR, RTM_NEWNEIGH, RTM_SETLINK } from '../netlink/message.ts';
import { LinkMonitor } from '../netlink/monitor.ts';
import { encodeNeighbourDelete, encodeNeighbourReplace } from '../netlink/neighbour.ts';
import { type GuestFilterPort, GuestPlane } from './guest-plane.ts';
import type { GuestPlaneIntent, GuestPortWish } from './guest-wish.ts';
import { GUEST_BRIDGE_ALIAS } from './guest-wish.ts';
import type { SysctlPort } from './sysctl.ts';

const FILE = 'guests-kernel.json';
const gatewayMac = Uint8Array.of(2, 0xfe, 0, 0, 0, 1);
const guestMac = Uint8Array.of(0x52, 0x54, 0, 0, 0, 7);
const address = (text: string): Uint8Array => parseIp(text)!;
const intent: GuestPlaneIntent = {
  gatewayMac,
  gateway4: address('169.254.0.1'),
  gateway6: address('fe80::1'),
  bridges: [{ name: 'vmbr1', create: true, isolate: true }],
  taps: ['rt*'],
  filter: true,
  reach: { tcp: [], udp: [] },
  reserved: [],
};

let kernel: FakeKernel;
let links: LinkMonitor;
let plane: GuestPlane;
let stateDir: string;
let values: Map<string, string>;
let writes: string[];
let asked: string[];

// What the kernel of a machine with strict settings has; keys of links are there with the link.
const defaults: Record<string, string> = {
  rp_filter: '1',
  send_redirects: '1',
  accept_ra: '1',
  accept_redirects: '1',
};
const sysctls: SysctlPort = {
  read: (path) => {
    const link = /\/conf\/([^/]+)\//.exec(path)?.[1];
    if (link && link !== 'all' && ![...kernel.links.values()].some(({ name }) => name === link))
      return undefined;
    return values.get(path) ?? defaults[path.split('/').at(-1)!] ?? '0';
  },
  write: (path, value) => {
    writes.push(`${path}=${value}`);
    values.set(path, value);
  },
};

const filter = (): GuestFilterPort => ({
  setIntent: (_intent, gateways) => void asked.push(`intent ${gateways.map(({ name }) => name).join(' ')}`),
  setPorts: (wishes) => void asked.push(`set ${wishes.map(({ name }) => name).join(' ')}`),
  removePorts: (ifindexes) => void asked.push(`remove ${ifindexes.length}`),
  sweep: () => void asked.push('sweep'),
  reconcile: () => {},
  status: () => [],
  failures: () => [],
  drops: () => new Map(),
  unheard: 0,
  close: () => {},
  flush: () => void asked.push('flush'),
});

function begin(): void {
  links = new LinkMonitor(kernel.rtnl());
  plane = new GuestPlane({ rtnl: kernel.rtnl(), links, stateDir, sysctls, filter });
}

function end(): void {
  plane.close();
  links.close();
}

const turn = (ms = 40): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const byName = (name: string) => [...kernel.links.values()].find((link) => link.name === name);
const of = (name: string): string[] =>
  [...kernel.addresses.values()]
    .filter(({ ifindex }) => ifindex === byName(name)?.ifindex)
    .map((a) => `${hex(a.bytes)}/${a.prefixLength} scope ${a.scope} flags ${a.flags} protocol ${a.protocol}`);
const GATEWAY = [
  'a9fe0001/32 scope 253 flags 0 protocol 179',
  'fe800000000000000000000000000001/64 scope 0 flags 2 protocol 179',
];
const neighbours = (): string[] =>
  [...kernel.neighbours.values()]
    .map((n) => `${n.ifindex} ${hex(n.address)} ${hex(n.mac)} ${n.state} ${n.protocol}`)
    .sort();
const taken = (): number => [...kernel.taken.values()].reduce((sum, count) => sum + count, 0);
const wish = (ifindex: number, gatewayIfindex: number, ...addresses: string[]): GuestPortWish => ({
  ifindex,
  name: `tap${ifindex}`,
  gatewayIfindex,
  macs: [guestMac],
  addresses: addresses.map((text) => ({ address: address(text), mac: guestMac })),
});

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'leafd-guests-'));
  kernel = new FakeKernel();
  kernel.addLink('lo');
  writes = [];
  asked = [];
  values = new Map();
  begin();
});

afterEach(() => {
  end();
  rmSync(stateDir, { recursive: true, force: true });
});

test('a bridge is made, marked, given the gateway, and nothing is written twice', async () => {
  plane.setIntent(intent);
  await turn();
  const bridge = byName('vmbr1')!;
  expect(bridge).toMatchObject({ kind: 'bridge', alias: GUEST_BRIDGE_ALIAS, up: true, mac: gatewayMac });
  expect(of('vmbr1')).toEqual(GATEWAY);
  expect(writes.slice(0, 2)).toEqual(['net/ipv4/ip_forward=1', 'net/ipv6/conf/all/forwarding=1']);
  for (const key of ['all/rp_filter', 'all/send_redirects', 'vmbr1/rp_filter', 'vmbr1/send_redirects'])
    expect(writes).toContain(`net/ipv4/conf/${key}=0`);
  expect(writes).toContain('net/ipv6/conf/vmbr1/addr_gen_mode=1');
  expect(writes).toContain('net/ipv4/conf/vmbr1/arp_ignore=1');
  expect(plane.status().filter(({ state }) => state !== 'done')).toEqual([]);
  expect(asked[0]).toBe('intent ');
  expect(asked.at(-1)).toBe('intent vmbr1');

  const before = [taken(), writes.length];
  plane.reconcile();
  plane.reconcile();
  await turn();
  expect([taken(), writes.length]).toEqual(before);
});

test('a bridge that is there is adopted, and is as it was after a flush', async () => {
  const mac = Uint8Array.of(0x0c, 0, 0, 0, 0, 9);
  const ifindex = kernel.addLink('vmbr1', { kind: 'bridge', mac });
  const automatic = { ifindex, family: 10, bytes: address('fe80::1234'), prefixLength: 64 };
  const operators = { ...automatic, bytes: address('fe80::77'), protocol: 0 };
  for (const one of [{ ...automatic, protocol: 3 }, operators])
    kernel.addresses.set(`${ifindex}/${hex(one.bytes)}/64`, {
      ...one,
      scope: 253,
      flags: 0,
      tentative: false,
    });
  const foreign = `${hex(operators.bytes)}/64 scope 253 flags 0 protocol 0`;
  const port = kernel.addLink('tap1', { master: ifindex });
  end();
  begin();
  plane.setIntent(intent);
  await turn();
  expect(byName('vmbr1')!.mac).toEqual(gatewayMac);
  expect(byName('vmbr1')!.alias).toBe('');
  expect(of('vmbr1').sort()).toEqual([...GATEWAY, foreign].sort());
  expect(kernel.links.get(port)!.isolated).toBe(true);
  expect(values.get('net/ipv6/conf/tap1/disable_ipv6')).toBe('1');
  // A next life knows what was before the first.
  end();
  begin();
  plane.setIntent(intent);
  const report = plane.flush();
  expect(report).toMatchObject({ bridges: 0, addresses: 2 });
  await turn();
  expect(byName('vmbr1')!.mac).toEqual(mac);
  expect(kernel.links.get(port)!.isolated).toBe(false);
  expect(of('vmbr1')).toEqual([foreign]);
  expect(values.get('net/ipv6/conf/tap1/disable_ipv6')).toBe('0');
  expect(values.get('net/ipv4/conf/all/rp_filter')).toBe('1');
  expect(values.get('net/ipv4/ip_forward')).toBe('0');
  expect(existsSync(join(stateDir, FILE))).toBe(false);
});

test('what is not leafd’s stays after a flush: a MAC, a sysctl and an address that others changed', async () => {
  const ifindex = kernel.addLink('vmbr1', { kind: 'bridge' });
  await turn();
  plane.setIntent(intent);
  await turn();
  const others = Uint8Array.of(2, 9, 9, 9, 9, 9);
  plane.close();
  kernel.links.get(ifindex)!.mac = others;
  values.set('net/ipv4/conf/vmbr1/arp_ignore', '3');
  links.close();
  begin();
  plane.flush();
  expect(kernel.links.get(ifindex)!.mac).toEqual(others);
  expect(values.get('net/ipv4/conf/vmbr1/arp_ignore')).toBe('3');
  expect(kernel.links.has(ifindex)).toBe(true);
});

test('late ports and routed taps are picked up; drift is repaired; a tap made anew is served anew', async () => {
  plane.setIntent(intent);
  await turn();
  const bridge = byName('vmbr1')!.ifindex;
  const tap = kernel.addLink('tap1', { master: bridge });
  const routed = kernel.addLink('rt5');
  kernel.addLink('other0');
  await turn();
  expect(kernel.links.get(tap)!.isolated).toBe(true);
  expect(of('rt5')).toEqual(GATEWAY);
  expect(kernel.links.get(routed)!.mac).toEqual(gatewayMac);
  expect(of('other0')).toEqual([]);
  expect(asked.at(-1)).toBe('intent vmbr1 rt5');

  kernel.links.get(tap)!.isolated = false;
  kernel.setMaster(tap, bridge);
  for (const [key, one] of [...kernel.addresses]) if (one.ifindex === bridge) kernel.addresses.delete(key);
  kernel.setCarrier(bridge, false);
  await links.resync();
  await turn();
  expect(kernel.links.get(tap)!.isolated).toBe(true);
  expect(of('vmbr1')).toEqual(GATEWAY);

  kernel.removeLink(routed);
  values.clear();
  const again = kernel.addLink('rt5');
  await turn();
  expect(again).not.toBe(routed);
  expect(of('rt5')).toEqual(GATEWAY);
  expect(values.get('net/ipv4/conf/rt5/rp_filter')).toBe('0');
  kernel.removeLink(bridge);
  await turn(80);
  expect(of('vmbr1')).toEqual(GATEWAY);
});

test('a port that leaves its bridge is as it was; without guests everything of ours goes', async () => {
  plane.setIntent(intent);
  await turn();
  const tap = kernel.addLink('tap1', { master: byName('vmbr1')!.ifindex });
  await turn();
  expect(values.get('net/ipv6/conf/tap1/disable_ipv6')).toBe('1');
  kernel.setMaster(tap, 0);
  await turn();
  expect(values.get('net/ipv6/conf/tap1/disable_ipv6')).toBe('0');
  plane.setPorts([wish(tap, byName('vmbr1')!.ifindex, '192.0.2.30')]);
  plane.setIntent(undefined);
  await turn();
  expect(byName('vmbr1')).toBeUndefined();
  expect(neighbours()).toEqual([]);
  expect(asked.at(-1)).toBe('flush');
  expect(plane.status()).toEqual([]);
  expect(existsSync(join(stateDir, FILE))).toBe(false);
});

test('an uplink that takes router advertisements goes on when leafd switches forwarding on', async () => {
  kernel.addLink('eno1', { kind: '' });
  kernel.addLink('veth3');
  await turn();
  plane.setIntent(intent);
  const at = (text: string): number => writes.indexOf(text);
  expect(at('net/ipv6/conf/eno1/accept_ra=2')).toBeGreaterThanOrEqual(0);
  expect(at('net/ipv6/conf/eno1/accept_ra=2')).toBeLessThan(at('net/ipv6/conf/all/forwarding=1'));
  expect(writes.some((text) => text.includes('veth3'))).toBe(false);
  plane.reconcile();
  expect(values.get('net/ipv6/conf/eno1/accept_ra')).toBe('2');
  plane.flush();
  expect(values.get('net/ipv6/conf/eno1/accept_ra')).toBe('1');
});

test('a link that is no bridge, a refusal and a full disk are told, tried again, and harm nothing else', async () => {
  kernel.addLink('vmbr1', { kind: 'openvswitch' });
  await turn();
  plane.setIntent(intent);
  await turn();
  expect(plane.status().find(({ key }) => key === 'link vmbr1')).toMatchObject({ errno: 'ENOTSUP' });
  expect(of('vmbr1')).toEqual([]);

  kernel.refuse = (type) => (type === RTM_NEWADDR ? { errno: 12, text: 'no room' } : undefined);
  kernel.addLink('rt5');
  await turn();
  const errors = plane.status().filter(({ key }) => key.startsWith('address rt5 '));
  expect(errors.map(({ state, text }) => `${state} ${text}`)).toContain('error no room');
  kernel.refuse = () => undefined;
  await expect.poll(() => of('rt5'), { timeout: 3000 }).toEqual(GATEWAY);

  rmSync(stateDir, { recursive: true, force: true });
  writeFileSync(stateDir, '');
  kernel.addLink('rt6');
  await turn();
  expect(of('rt6')).toEqual([]);
  expect(plane.status().filter(({ state }) => state === 'error').length).toBeGreaterThan(5);
});

test('neighbours: whole wishes, moves between ports, what a former life left, drift', async () => {
  plane.setIntent(intent);
  await turn();
  const bridge = byName('vmbr1')!.ifindex;
  plane.setPorts([wish(8, bridge, '192.0.2.30', '2001:db8::30'), wish(9, bridge, '192.0.2.31')]);
  expect(asked.at(-1)).toBe('set tap8 tap9');
  const mac = hex(guestMac);
  const line = (text: string): string => `${bridge} ${hex(address(text))} ${mac} 128 179`;
  expect(neighbours()).toEqual([line('192.0.2.30'), line('192.0.2.31'), line('2001:db8::30')].sort());
  const before = kernel.taken.get(RTM_NEWNEIGH);
  plane.setPorts([wish(8, bridge, '192.0.2.30', '2001:db8::30')]);
  expect(kernel.taken.get(RTM_NEWNEIGH)).toBe(before);
  // The address moves to another port of the bridge: the first port's end takes nothing away.
  plane.setPorts([wish(9, bridge, '192.0.2.31', '192.0.2.30')]);
  plane.removePorts([8]);
  expect(neighbours()).toEqual([line('192.0.2.30'), line('192.0.2.31')].sort());

  end();
  begin();
  plane.setIntent(intent);
  plane.setPorts([wish(9, bridge, '192.0.2.31')]);
  expect(neighbours()).toHaveLength(2);
  plane.sweep();
  expect(neighbours()).toEqual([line('192.0.2.31')]);
  expect(kernel.taken.get(RTM_NEWNEIGH)).toBe(before);

  kernel.rtnl().write((w, seq) => encodeNeighbourDelete(w, seq, bridge, address('192.0.2.31')));
  await turn();
  expect(neighbours()).toEqual([line('192.0.2.31')]);
  kernel.rtnl().write((w, seq) => {
    encodeNeighbourReplace(w, seq, bridge, address('192.0.2.31'), Uint8Array.of(6, 6, 6, 6, 6, 6));
  });
  await turn();
  expect(neighbours()).toEqual([line('192.0.2.31')]);
  // The kernel drops all neighbours of a link whose MAC changes.
  kernel.links.get(bridge)!.mac = Uint8Array.of(2, 2, 2, 2, 2, 2);
  await links.resync();
  await turn(80);
  expect(byName('vmbr1')!.mac).toEqual(gatewayMac);
  expect(neighbours()).toEqual([line('192.0.2.31')]);
});

test('a neighbour the kernel refuses is told and tried again; a link that has gone is not', async () => {
  plane.setIntent(intent);
  await turn();
  const bridge = byName('vmbr1')!.ifindex;
  kernel.refuse = (type) => (type === RTM_NEWNEIGH ? { errno: 105, text: '' } : undefined);
  plane.setPorts([wish(8, bridge, '192.0.2.30')]);
  const status = () => plane.status().filter(({ kind }) => kind === 'neighbour');
  expect(status()).toMatchObject([{ state: 'error', errno: 'ENOBUFS' }]);
  kernel.refuse = () => undefined;
  await expect.poll(() => neighbours().length, { timeout: 3000 }).toBe(1);
  expect(status()).toMatchObject([{ state: 'done' }]);
  plane.setPorts([wish(10, 999, '192.0.2.40')]);
  expect(status()[1]).toMatchObject({ state: 'pending', errno: 'ENODEV' });
  expect(kernel.taken.get(RTM_SETLINK)).toBeGreaterThan(0);
});

test('thousands of ports in one go', () => {
  plane.setIntent(intent);
  const bridge = kernel.addLink('br', { kind: 'bridge' });
  const wishes = Array.from({ length: 2000 }, (_, i) =>
    wish(i + 100, bridge, `10.0.${i >> 8}.${i & 255}`, `2001:db8::${i.toString(16)}`),
  );
  plane.setPorts(wishes);
  expect(kernel.neighbours.size).toBe(4000);
  plane.removePorts(wishes.map(({ ifindex }) => ifindex));
  expect(kernel.neighbours.size).toBe(0);
});
