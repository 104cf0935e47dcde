// What `guests config` prints, taken by the real tools in a guest's place: Debian's ifupdown, systemd-networkd, and
// netplan by way of networkd. The guest is a namespace whose eth0 leads to another one that plays the hypervisor:
// gateway addresses on the link, host routes to the guest, and something behind it to reach.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type OwnSide, type OwnSideFormat, ownSideText } from '../../src/guests/own-side.ts';
import { parseIp } from '../../src/net/ip.ts';
import { until } from '../support/fabric.ts';

const root = process.getuid?.() === 0;
const networkd = '/lib/systemd/systemd-networkd';
const has = (program: string): boolean => spawnSync('which', [program]).status === 0;

const hypervisor = `lfown-${process.pid}-h`;
const guest = `lfown-${process.pid}-g`;
const behind = ['198.51.100.1', '2001:db8:ffff::1'];
const own = ['192.0.2.10', '192.0.2.11', '2001:db8::10', '2001:db8::11'];

const run = (...words: string[]): string => execFileSync(words[0]!, words.slice(1), { encoding: 'utf8' });
const inside = (netns: string, ...words: string[]): string => run('ip', 'netns', 'exec', netns, ...words);
const shell = (netns: string, script: string): string => inside(netns, 'sh', '-ec', script);

const side: OwnSide = {
  interface: 'eth0',
  addresses: own.map((text) => parseIp(text)!),
  gateway4: parseIp('169.254.0.1')!,
  gateway6: parseIp('fe80::1')!,
  dns: [],
};
const textFor = (format: OwnSideFormat): string => ownSideText(format, side);

/** Pings and gives the number of answers. */
function pings(netns: string, from: string, to: string): number {
  const words = ['netns', 'exec', netns, 'ping', '-q', '-c3', '-i0.1', '-W1', '-I', from, to];
  const answer = spawnSync('ip', words, { encoding: 'utf8' });
  return Number(/(\d+) received/.exec(answer.stdout)?.[1] ?? 0);
}

/** The guest's addresses of global scope that have passed duplicate address detection. */
function addressesOf(netns: string): string[] {
  const text = inside(netns, 'ip', '-o', 'address', 'show', 'dev', 'eth0', 'scope', 'global', '-tentative');
  return [...text.matchAll(/inet6? (\S+)/g)].map((found) => found[1]!).sort();
}

const wanted = ['192.0.2.10/32', '192.0.2.11/32', '2001:db8::10/128', '2001:db8::11/128'];

async function isSetUp(): Promise<void> {
  await until(
    () => addressesOf(guest),
    (seen) => seen.join() === wanted.join(),
    { timeoutMs: 15_000, what: 'the addresses of the guest' },
  );
  expect(inside(guest, 'ip', 'route', 'show', 'default')).toContain('via 169.254.0.1 dev eth0');
  expect(inside(guest, 'ip', '-6', 'route', 'show', 'default')).toContain('via fe80::1 dev eth0');
  expect(inside(guest, 'cat', '/proc/sys/net/ipv6/conf/eth0/accept_ra').trim()).toBe('0');
  for (const address of own) {
    const there = behind[address.includes(':') ? 1 : 0]!;
    expect(pings(guest, address, there), `${address} to ${there}`).toBe(3);
    expect(pings(hypervisor, there, address), `${there} to ${address}`).toBe(3);
  }
}

describe.skipIf(!root)('the own side of a guest', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'leafd-own-side-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  beforeEach(() => {
    for (const netns of [hypervisor, guest]) {
      run('ip', 'netns', 'add', netns);
      inside(netns, 'ip', 'link', 'set', 'lo', 'up');
    }
    run(...`ip link add tap0 netns ${hypervisor} type veth peer name eth0 netns ${guest}`.split(' '));
    const routes = own.map((one) => `ip route add ${one} dev tap0`).join('\n');
    shell(
      hypervisor,
      `cd /proc/sys/net
      echo 1 > ipv6/conf/tap0/addr_gen_mode
      echo 0 > ipv4/conf/all/rp_filter
      echo 0 > ipv4/conf/tap0/rp_filter
      ip link set tap0 up
      ip address add 169.254.0.1/32 dev tap0 scope link
      ip address add fe80::1/64 dev tap0 nodad
      ip address add ${behind[0]}/32 dev lo
      ip address add ${behind[1]}/128 dev lo nodad
      ${routes}`,
    );
  });
  afterEach(() => {
    for (const netns of [hypervisor, guest]) spawnSync('ip', ['netns', 'del', netns]);
  });

  test.skipIf(!has('ifup'))('ifupdown', async () => {
    const file = join(folder, 'interfaces');
    const state = join(folder, 'ifupdown');
    mkdirSync(state, { recursive: true });
    writeFileSync(file, textFor('ifupdown'));
    const words = ['--no-scripts', `--state-dir=${state}`, '--interfaces', file, 'eth0'];
    inside(guest, 'ifup', ...words);
    await isSetUp();
    inside(guest, 'ifdown', ...words);
    expect(addressesOf(guest)).toEqual([]);
    expect(inside(guest, 'ip', 'route').trim()).toBe('');
    inside(guest, 'ifup', ...words);
    await isSetUp();
  });

  test.skipIf(!existsSync(networkd))('systemd-networkd', async () => {
    const file = join(folder, '10-eth0.network');
    writeFileSync(file, textFor('networkd'));
    await withNetworkd(file, isSetUp);
  });

  test.skipIf(!existsSync(networkd) || !has('netplan'))('netplan', async () => {
    const at = join(folder, 'netplan');
    mkdirSync(join(at, 'etc/netplan'), { recursive: true });
    writeFileSync(join(at, 'etc/netplan/60-eth0.yaml'), textFor('netplan'), { mode: 0o600 });
    run('netplan', 'generate', '--root-dir', at);
    await withNetworkd(join(at, 'run/systemd/network/10-netplan-eth0.network'), isSetUp);
  });
});

/**
 * Runs networkd in the guest with one file as all its configuration. It has directories of its own in a private mount
 * namespace, no bus, and a /sys that cannot be written: by that it knows that no udev will tell it of links.
 */
async function withNetworkd(file: string, check: () => Promise<void>): Promise<void> {
  const script = `mount --make-rprivate /
    mount -t tmpfs none /etc/systemd/network
    mount -t tmpfs none /run/systemd
    mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp /run/systemd/network
    chown -R systemd-network:systemd-network /run/systemd/netif
    cp "$1" /etc/systemd/network/
    chmod 644 /etc/systemd/network/*
    for folder in /usr/lib/systemd/network /run/dbus; do
      if [ -d $folder ]; then mount -t tmpfs none $folder; fi
    done
    mount -o remount,bind,ro /sys
    exec ${networkd}`;
  const words = ['netns', 'exec', guest, 'unshare', '-m', 'sh', '-ec', script, 'networkd', file];
  const child = spawn('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let told = '';
  child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
  try {
    await check();
  } catch (error) {
    throw new Error(`${String(error)}\nnetworkd: ${told}`);
  } finally {
    await ended(child);
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}
