import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { encodeAddressAdd, encodeAddressDelete, type LinkAddress } from '../netlink/address.ts';
import { FakeKernel } from '../netlink/fake-kernel.ts';
import { NLM_F_CREATE, RTM_NEWADDR } from '../netlink/message.ts';
import { LinkMonitor } from '../netlink/monitor.ts';
import { Dataplane } from './dataplane.ts';
import { desiredObjects, type KernelIntent } from './desired.ts';
import { loadKernelState, type SysctlPort, saveKernelState } from './sysctl.ts';

let kernel: FakeKernel;
let links: LinkMonitor;
let plane: Dataplane;
let stateDir: string;
let values: Map<string, string>;
let writes: string[];
let lo: number;

const sysctls: SysctlPort = {
  read: (path) => values.get(path),
  write: (path, value) => {
    if (path.endsWith('nexthop_compat_mode') && value === '9')
      throw Object.assign(new Error('x'), { code: 'EROFS' });
    writes.push(`${path}=${value}`);
    values.set(path, value);
  },
};

const intent: KernelIntent = {
  profile: 'fabric',
  loopbacks: [
    { bytes: Uint8Array.of(10, 0, 0, 11), length: 32 },
    { bytes: Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11), length: 128 },
  ],
  fabricPorts: ['eth0', 'eth9'],
  nexthopCompat: 'auto',
  raUplinks: [],
  otherRoutingDaemon: false,
};

function defaults(link: string): void {
  for (const key of ['addr_gen_mode', 'disable_ipv6', 'ignore_routes_with_linkdown']) {
    values.set(`net/ipv6/conf/${link}/${key}`, '0');
  }
  values.set(`net/ipv6/conf/${link}/accept_ra`, '1');
  values.set(`net/ipv6/conf/${link}/dad_transmits`, '1');
  values.set(`net/ipv4/conf/${link}/rp_filter`, '2');
  values.set(`net/ipv4/conf/${link}/ignore_routes_with_linkdown`, '0');
}

const address = (bytes: Uint8Array, protocol: number): LinkAddress => ({
  ifindex: lo,
  family: 2,
  bytes,
  prefixLength: 32,
  scope: 0,
  flags: 0,
  tentative: false,
  protocol,
});

function begin(): void {
  links = new LinkMonitor(kernel.rtnl());
  plane = new Dataplane({ rtnl: kernel.rtnl(), links, stateDir, sysctls });
}

const onLo = (): string[] => [...kernel.addresses.values()].map((a) => `${a.bytes.join('.')} ${a.protocol}`);
const turn = (ms = 20): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'leafd-dataplane-'));
  kernel = new FakeKernel();
  lo = kernel.addLink('lo', { up: false });
  kernel.addLink('eth0');
  writes = [];
  values = new Map([
    ['net/ipv4/ip_forward', '0'],
    ['net/ipv6/conf/all/forwarding', '0'],
    ['net/ipv4/fib_multipath_hash_policy', '0'],
    ['net/ipv6/fib_multipath_hash_policy', '0'],
    ['net/ipv4/nexthop_compat_mode', '1'],
    ['net/ipv4/conf/all/ignore_routes_with_linkdown', '0'],
    ['net/ipv6/conf/all/ignore_routes_with_linkdown', '0'],
    ['net/ipv4/conf/all/rp_filter', '1'],
  ]);
  defaults('eth0');
  begin();
});

afterEach(() => {
  plane.close();
  links.close();
  rmSync(stateDir, { recursive: true, force: true });
});

test('loopbacks and sysctls are brought about, in order, and nothing is written twice', async () => {
  plane.setIntent(intent);
  await turn();
  expect(kernel.links.get(lo)!.up).toBe(true);
  expect(onLo()).toEqual(['10.0.0.11 179', '32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.17 179']);
  // rp_filter of the link comes after forwarding, which resets it; what is already right is not written.
  expect(writes[0]).toBe('net/ipv4/ip_forward=1');
  expect(writes).toContain('net/ipv4/conf/eth0/rp_filter=0');
  expect(writes).toContain('net/ipv4/nexthop_compat_mode=0');
  expect(writes.some((w) => w.includes('disable_ipv6') || w.includes('eth9'))).toBe(false);
  expect(plane.status().filter((s) => s.state !== 'done')).toEqual([]);
  const count = writes.length;
  plane.reconcile();
  plane.reconcile();
  expect(writes).toHaveLength(count);
  expect(kernel.taken.get(RTM_NEWADDR)).toBe(2);
});

test('a link that comes gets its sysctls, also when it comes again', async () => {
  plane.setIntent(intent);
  await turn();
  defaults('eth9');
  const first = kernel.addLink('eth9');
  await turn();
  expect(values.get('net/ipv6/conf/eth9/accept_ra')).toBe('0');
  kernel.removeLink(first);
  await turn();
  defaults('eth9');
  values.set('net/ipv6/conf/eth9/accept_ra', '2');
  kernel.addLink('eth9');
  await turn();
  expect(values.get('net/ipv6/conf/eth9/accept_ra')).toBe('0');
  plane.flush();
  // The value is that of the link that is there now, not of the first of this name.
  expect(values.get('net/ipv6/conf/eth9/accept_ra')).toBe('2');
});

test('a link with a default route by router advertisement keeps it when forwarding is switched on', async () => {
  kernel.addLink('mgmt0');
  defaults('mgmt0');
  values.set('net/ipv6/conf/mgmt0/accept_ra', '1');
  await turn();
  plane.setIntent({ ...intent, raUplinks: ['mgmt0'] });
  await turn();
  const accept = writes.indexOf('net/ipv6/conf/mgmt0/accept_ra=2');
  expect(accept).toBeGreaterThanOrEqual(0);
  expect(accept).toBeLessThan(writes.indexOf('net/ipv6/conf/all/forwarding=1'));
  plane.setIntent({ ...intent, raUplinks: ['mgmt0'], profile: 'host' });
  expect(values.get('net/ipv6/conf/mgmt0/accept_ra')).toBe('1');
});

test('what a port was is known before a setting for all links is copied to it, and comes back last', async () => {
  const copies = (path: string, value: string): void => {
    values.set(path, value);
    if (path === 'net/ipv4/conf/all/ignore_routes_with_linkdown')
      values.set('net/ipv4/conf/eth0/ignore_routes_with_linkdown', value);
  };
  plane.close();
  plane = new Dataplane({
    rtnl: kernel.rtnl(),
    links,
    stateDir,
    sysctls: { read: (path) => values.get(path), write: copies },
  });
  values.set('net/ipv4/conf/eth0/ignore_routes_with_linkdown', '0');
  plane.setIntent(intent);
  const view = plane.sysctls().find((one) => one.key === 'net.ipv4.conf.eth0.ignore_routes_with_linkdown')!;
  expect([view.before, view.now]).toEqual(['0', '1']);
  plane.flush();
  expect(values.get('net/ipv4/conf/eth0/ignore_routes_with_linkdown')).toBe('0');
  expect(values.get('net/ipv4/conf/all/ignore_routes_with_linkdown')).toBe('0');
});

test('profile host leaves forwarding alone, and a value given up is restored', async () => {
  plane.setIntent(intent);
  expect(values.get('net/ipv4/ip_forward')).toBe('1');
  plane.setIntent({ ...intent, profile: 'host', fabricPorts: [] });
  await turn();
  expect(values.get('net/ipv4/ip_forward')).toBe('0');
  expect(values.get('net/ipv4/conf/eth0/rp_filter')).toBe('2');
  expect(values.get('net/ipv4/fib_multipath_hash_policy')).toBe('1');
  const keys = desiredObjects({ ...intent, profile: 'host' }, new Set()).map((object) => object.key);
  expect(keys.some((key) => key.includes('forward'))).toBe(false);
});

test('foreign addresses are never touched, ours are repaired and removed', async () => {
  const foreign = kernel.rtnl(7);
  foreign.write((w, s) => encodeAddressAdd(w, s, NLM_F_CREATE, address(Uint8Array.of(10, 9, 9, 9), 0)));
  foreign.write((w, s) => encodeAddressAdd(w, s, NLM_F_CREATE, address(Uint8Array.of(10, 0, 0, 11), 0)));
  await turn();
  plane.setIntent(intent);
  await turn();
  // Somebody else's 10.0.0.11 serves, and stays his.
  expect(onLo()).toEqual(['10.9.9.9 0', '10.0.0.11 0', '32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.17 179']);
  foreign.write((w, s) => encodeAddressDelete(w, s, address(Uint8Array.of(10, 0, 0, 11), 0)));
  await turn();
  expect(onLo()).toContain('10.0.0.11 179');
  plane.setIntent({ ...intent, loopbacks: [] });
  await turn();
  expect(onLo()).toEqual(['10.9.9.9 0']);
});

test('originals survive a crash, and flush restores exactly what is still as we left it', async () => {
  plane.setIntent(intent);
  await turn();
  plane.close();
  links.close();
  // The daemon was killed; the next one changes nothing and forgets nothing.
  begin();
  const before = writes.length;
  plane.setIntent(intent);
  await turn();
  expect(writes).toHaveLength(before);
  expect(plane.sysctls()).toContainEqual({
    key: 'net.ipv4.ip_forward',
    before: '0',
    now: '1',
    wanted: '1',
    changed: true,
  });
  values.set('net/ipv4/fib_multipath_hash_policy', '2');
  plane.close();
  const report = plane.flush();
  expect(report.addresses).toBe(2);
  expect(values.get('net/ipv4/ip_forward')).toBe('0');
  expect(values.get('net/ipv4/nexthop_compat_mode')).toBe('1');
  expect(values.get('net/ipv4/conf/eth0/rp_filter')).toBe('2');
  // Somebody else has changed it since: his.
  expect(values.get('net/ipv4/fib_multipath_hash_policy')).toBe('2');
  expect(onLo()).toEqual([]);
  expect(existsSync(join(stateDir, 'kernel-state.json'))).toBe(false);
});

test('what fails is told and tried again; a key the kernel lacks is told', async () => {
  values.delete('net/ipv6/fib_multipath_hash_policy');
  plane.setIntent(intent);
  const status = plane.status().find((s) => s.key === 'net.ipv6.fib_multipath_hash_policy');
  expect(status).toMatchObject({ state: 'error', errno: 'ENOENT' });
  values.set('net/ipv6/fib_multipath_hash_policy', '0');
  await turn(700);
  expect(values.get('net/ipv6/fib_multipath_hash_policy')).toBe('1');
  expect(plane.status().filter((s) => s.state !== 'done')).toEqual([]);
});

test('a state directory that cannot be made is an error at once', () => {
  const state = loadKernelState(stateDir);
  state.addresses.add('address lo 192.0.2.1/32');
  saveKernelState(join(stateDir, 'a', 'b'), state);
  expect(loadKernelState(join(stateDir, 'a', 'b')).addresses).toEqual(state.addresses);
  expect(() => saveKernelState('/proc/nope', state)).toThrow(/ENOENT/);
});

test('a damaged state file is an operator’s error, and the original is on disk before the value is written', () => {
  plane.setIntent(intent);
  const saved = JSON.parse(readFileSync(join(stateDir, 'kernel-state.json'), 'utf8'));
  expect(saved.schema).toBe(1);
  expect(saved.sysctls['net.ipv4.ip_forward']).toMatchObject({ before: '0', now: '1' });
  writeFileSync(join(stateDir, 'kernel-state.json'), '{"schema": 1,');
  expect(() => new Dataplane({ rtnl: kernel.rtnl(), links, stateDir, sysctls })).toThrow(/damaged/);
});
