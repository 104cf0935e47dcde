// Loopback addresses and sysctls on the real kernel, in a namespace of its own; and `flushAll` without a
// daemon.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Dataplane } from '../../src/dataplane/dataplane.ts';
import type { KernelIntent } from '../../src/dataplane/desired.ts';
import { flushAll } from '../../src/dataplane/flush-all.ts';
import { LinkMonitor } from '../../src/netlink/monitor.ts';
import { kernelRtnl, type Rtnl } from '../../src/netlink/rtnl.ts';

const netns = `lfdp-host-${process.pid}`;
const root = process.getuid?.() === 0;
const run = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: 'utf8' });
const ip = (text: string): string => run('ip', '-n', netns, ...text.split(' '));
const sysctl = (path: string): string => run('ip', 'netns', 'exec', netns, 'cat', `/proc/sys/${path}`).trim();
const put = (path: string, value: string): string =>
  run('ip', 'netns', 'exec', netns, 'sh', '-c', `echo ${value} > /proc/sys/${path}`);
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));

const intent: KernelIntent = {
  profile: 'fabric',
  loopbacks: [
    { bytes: Uint8Array.of(10, 0, 0, 11), length: 32 },
    { bytes: Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11), length: 128 },
  ],
  fabricPorts: ['v0', 'v8'],
  nexthopCompat: 'auto',
  raUplinks: [],
  otherRoutingDaemon: false,
};
const watched = [
  'net/ipv4/ip_forward',
  'net/ipv6/conf/all/forwarding',
  'net/ipv4/nexthop_compat_mode',
  'net/ipv4/fib_multipath_hash_policy',
  'net/ipv6/conf/v0/accept_ra',
  'net/ipv6/conf/v0/addr_gen_mode',
  'net/ipv4/conf/v0/rp_filter',
];

describe.skipIf(!root)('Dataplane on the kernel', () => {
  let rtnl: Rtnl;
  let links: LinkMonitor;
  let stateDir: string;
  let plane: Dataplane;

  beforeAll(() => {
    stateDir = mkdtempSync(join(tmpdir(), 'leafd-dataplane-'));
    run('ip', 'netns', 'add', netns);
    ip('link add v0 type veth peer name v1');
    put('net/ipv4/conf/v0/rp_filter', '2');
    put('net/ipv6/conf/v0/addr_gen_mode', '1');
    rtnl = kernelRtnl(netns);
    links = new LinkMonitor(rtnl);
  });

  afterAll(() => {
    plane?.close();
    links?.close();
    rtnl?.close();
    run('ip', 'netns', 'del', netns);
    rmSync(stateDir, { recursive: true, force: true });
  });

  test('brings about, repairs, follows links, and is removed exactly without a daemon', async () => {
    const before = watched.map(sysctl);
    ip('link set lo up');
    ip('addr add 10.7.7.7/32 dev lo');
    plane = new Dataplane({ rtnl, links, stateDir, netns });
    plane.setIntent(intent);
    await turn();
    expect(plane.status().filter((s) => s.state !== 'done')).toEqual([]);
    expect(watched.map(sysctl)).toEqual(['1', '1', '0', '1', '0', '0', '0']);
    expect(ip('-6 addr show lo')).toMatch(
      /inet6 2001:db8::11\/128 scope global proto 0xb3|inet6 2001:db8::11\/128/,
    );
    expect(links.addresses(links.linkByName('lo')!.ifindex).filter((a) => a.protocol === 179)).toHaveLength(
      2,
    );
    expect(ip('addr show lo')).not.toContain('tentative');

    ip('addr del 10.0.0.11/32 dev lo');
    await turn();
    expect(ip('addr show lo')).toContain('10.0.0.11/32');
    ip('link add v8 type veth peer name v9');
    await turn();
    expect(sysctl('net/ipv6/conf/v8/accept_ra')).toBe('0');
    ip('link del v8');
    await turn();
    // A name that is gone is no failure.
    expect(plane.status().filter((s) => s.state !== 'done')).toEqual([]);

    plane.close();
    const report = flushAll({ stateDir, netns, links });
    expect(report).toMatchObject({ routes: 0, objects: 0, addresses: 2 });
    expect(watched.map(sysctl)).toEqual(before);
    expect(ip('addr show lo')).toContain('10.7.7.7/32');
    expect(ip('addr show lo')).not.toMatch(/10\.0\.0\.11|2001:db8::11/);
    expect(existsSync(join(stateDir, 'kernel-state.json'))).toBe(false);
  });
});
