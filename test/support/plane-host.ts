// A host with one NIC, a fabric behind it, and what is wanted of a router namespace beside it: each a namespace of the
// real kernel, with names of their own in each process.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InterfaceAddress, PassthroughIntent, UplinkIntent } from '../../src/intent/passthrough.ts';
import { parseIp } from '../../src/net/ip.ts';
import { createNetns, removeNetns } from '../../src/netlink/netns.ts';
import { run } from './fabric.ts';

export const home = `lfpp-${process.pid}-h`;
export const netns = `lfpp-${process.pid}-r`;
export const fabric = `lfpp-${process.pid}-f`;

export const exec = (...argv: string[]): string =>
  execFileSync(argv[0]!, argv.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
export const ip = (where: string, text: string): string => exec('ip', '-n', where, ...text.split(' '));
export const sysctl = (where: string, ...keys: string[]): string[] =>
  exec('ip', 'netns', 'exec', where, 'sysctl', '-n', ...keys)
    .trim()
    .split('\n');
export const put = (where: string, setting: string): string =>
  exec('ip', 'netns', 'exec', where, 'sysctl', '-qw', setting);
/** Not by `exec`: leafd works in this process, and must not be kept from it. */
export const pings = async (where: string, to: string): Promise<boolean> =>
  (await run(['ip', 'netns', 'exec', where, 'ping', '-c1', '-W0.2', to])).exitCode === 0;
export const address = (text: string): InterfaceAddress => {
  const [bytes, length] = text.split('/');
  return { bytes: parseIp(bytes!)!, prefixLength: Number(length) };
};

export const eth1: UplinkIntent = { name: 'eth1', parent: 'eth1', mode: { kind: 'move' }, addresses: [] };
export const intent: PassthroughIntent = {
  netns,
  nodeIndex: 0,
  uplinks: [],
  veth: {
    hostLink: 'pt-host',
    routerLink: 'pt-ns',
    routerAddresses: [address('192.169.10.1/24'), address('fd00:10::1/64')],
    hostAddresses: [address('192.169.10.2/24'), address('fd00:10::2/64')],
  },
  speakers: [],
  confirmMs: 60_000,
  restoreOnStop: false,
};
/** The host with its NIC; gives the directory for what leafd keeps. */
export function makeHost(): string {
  for (const name of [home, fabric]) createNetns(name);
  ip(home, 'link set lo up');
  // A NIC of the fabric: the other leg answers as the first router does.
  ip(home, `link add eth1 type veth peer name tor netns ${fabric}`);
  ip(fabric, 'addr add 192.168.11.2/24 dev tor');
  ip(fabric, 'link set tor up');
  ip(home, 'link set eth1 mtu 9000');
  ip(fabric, 'link set tor mtu 9000');
  ip(home, 'link set eth1 up');
  ip(home, 'addr add 192.168.11.3/24 dev eth1');
  return mkdtempSync(join(tmpdir(), 'leafd-passthrough-'));
}

export function removeHost(stateDir: string): void {
  for (const name of [netns, `${netns}2`, home, fabric]) removeNetns(name);
  rmSync(stateDir, { recursive: true, force: true });
}
