// Many routed taps on the real kernel: settings come out of one dump as they are in /proc/sys, all taps are served
// though only some are at once, a new life finds nothing to do, drift on one of them is repaired, and a flush gives
// all of them their own back.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { GuestPlane } from '../../src/dataplane/guest-plane.ts';
import type { GuestPlaneIntent } from '../../src/dataplane/guest-wish.ts';
import { kernelSysctls, type SysctlPort } from '../../src/dataplane/sysctl.ts';
import { parseIp } from '../../src/net/ip.ts';
import { encodeLinkDump } from '../../src/netlink/link.ts';
import { decodeLinkSettings, type LinkSettings, settingOf } from '../../src/netlink/link-settings.ts';
import { LinkMonitor } from '../../src/netlink/monitor.ts';
import { kernelRtnl } from '../../src/netlink/rtnl.ts';
import { until } from '../support/fabric.ts';

const HV = `lfgt-${process.pid}-h`;
const TAPS = 150;
const root = process.getuid?.() === 0;
const ip = (text: string, input?: string): string =>
  execFileSync('ip', ['-n', HV, ...text.split(' ')], { encoding: 'utf8', ...(input && { input }) });
const quick = { timeoutMs: 8000, everyMs: 20 };
const intent: GuestPlaneIntent = {
  gatewayMac: Uint8Array.of(2, 0xfe, 0, 0, 0, 1),
  gateway4: parseIp('169.254.0.1')!,
  gateway6: parseIp('fe80::1')!,
  bridges: [],
  taps: ['tap*'],
  filter: true,
  reach: { tcp: [], udp: [] },
  reserved: [],
};
const four = ['forwarding', 'proxy_arp', 'accept_redirects', 'send_redirects', 'rp_filter', 'arp_filter'];
four.push('arp_announce', 'arp_ignore', 'arp_accept', 'arp_notify', 'proxy_arp_pvlan');
const six = ['forwarding', 'accept_ra', 'accept_redirects', 'proxy_ndp', 'disable_ipv6', 'ndisc_notify'];
six.push('addr_gen_mode');
const pathsOf = (link: string): string[] => [
  ...four.map((key) => `net/ipv4/conf/${link}/${key}`),
  ...six.map((key) => `net/ipv6/conf/${link}/${key}`),
];

describe.skipIf(!root)('many routed taps', () => {
  const real = kernelSysctls(HV);
  let stateDir: string;
  let writes: string[] = [];
  let reads = 0;
  let undo: { close(): void }[] = [];
  const sysctls: SysctlPort = {
    read: (path) => {
      reads++;
      return real.read(path);
    },
    write: (path, value) => {
      writes.push(`${path}=${value}`);
      real.write(path, value);
    },
  };
  const begin = (): GuestPlane => {
    const rtnl = kernelRtnl(HV);
    const links = new LinkMonitor(rtnl);
    const plane = new GuestPlane({ rtnl, links, stateDir, netns: HV, sysctls });
    undo.push(plane, links, rtnl);
    return plane;
  };
  const end = (): void => {
    for (const one of undo) one.close();
    undo = [];
  };
  const served = (): number => ip('-br link').match(/02:fe:00:00:00:01/g)?.length ?? 0;
  const gateways = (): number => ip('-br addr').match(/169\.254\.0\.1\/32 fe80::1\/64 *$/gm)?.length ?? 0;

  beforeAll(() => {
    stateDir = mkdtempSync(join(tmpdir(), 'leafd-many-'));
    execFileSync('ip', ['netns', 'add', HV]);
    const lines = Array.from({ length: TAPS }, (_, i) => [
      `link add tap${i} type veth peer name eth${i}`,
      `link set tap${i} up`,
      `link set eth${i} up`,
    ]);
    ip('-batch -', `${lines.flat().join('\n')}\n`);
  });
  afterEach(end);
  afterAll(() => {
    execFileSync('ip', ['netns', 'delete', HV]);
    rmSync(stateDir, { recursive: true, force: true });
  });

  test('the kernel tells every setting as its file has it', () => {
    for (const [i, path] of pathsOf('tap0').entries()) if (i % 2 === 0) real.write(path, '1');
    real.write('net/ipv4/conf/tap1/arp_announce', '2');
    const rtnl = kernelRtnl(HV);
    undo.push(rtnl);
    const told = new Map<string, LinkSettings>();
    rtnl.dumpNow({
      encode: encodeLinkDump,
      onMessage: (_type, _flags, bytes, start, end) => {
        const settings = decodeLinkSettings(bytes, start, end);
        if (settings) told.set(settings.name, settings);
      },
    });
    for (const link of ['tap0', 'tap1', 'eth7'])
      for (const path of pathsOf(link))
        expect(`${path}=${settingOf(told.get(link)!, path)}`).toBe(`${path}=${real.read(path)}`);
    // Goes with `ip_forward` when that is given back.
    real.write('net/ipv4/conf/tap0/forwarding', '0');
    real.write('net/ipv6/conf/tap0/forwarding', '0');
  });

  test('all are served, once; drift is repaired; a flush gives back what was', async () => {
    const before = ['tap0', 'tap149'].map((link) => pathsOf(link).map((path) => real.read(path)));
    const macs = ip('-br link');
    const plane = begin();
    plane.setIntent(intent);
    expect(served()).toBeLessThan(TAPS);
    const pending = () => plane.status().filter(({ state }) => state === 'pending');
    expect(pending().length).toBeGreaterThan(0);
    await until(
      () => [served(), gateways()],
      (seen) => seen.every((count) => count === TAPS),
      quick,
    );
    await until(pending, ({ length }) => length === 0, quick);
    expect(plane.failures()).toEqual([]);
    end();
    expect(existsSync(join(stateDir, 'guests-kernel.json'))).toBe(true);
    expect(readFileSync(join(stateDir, 'guests-kernel.json'), 'utf8')).toContain('conf.tap149.arp_ignore');

    [writes, reads] = [[], 0];
    const again = begin();
    again.setIntent(intent);
    real.write('net/ipv4/conf/tap120/arp_ignore', '0');
    again.reconcile();
    await until(
      () => real.read('net/ipv4/conf/tap120/arp_ignore'),
      (value) => value === '1',
      quick,
    );
    expect(writes).toEqual(['net/ipv4/conf/tap120/arp_ignore=1']);
    // Not a file for each setting of each link.
    expect(reads).toBeLessThan(TAPS);
    again.flush();
    expect(served()).toBe(0);
    expect(ip('-br link')).toBe(macs);
    expect(['tap0', 'tap149'].map((link) => pathsOf(link).map((path) => real.read(path)))).toEqual(before);
  });
});
