// Router advertisements and solicitations on real interfaces: two namespaces, three veth pairs, whatever the kernel's
// own accept_ra and forwarding say.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Icmp6Socket, type RouterMessage } from '../../src/netlink/icmp6.ts';
import { createNetns, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { libcCalls } from '../../src/netlink/sys.ts';

const A = 'lfskicmp-a';
const B = 'lfskicmp-b';
const PORTS = [1, 2, 3];
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const indexOf = (netns: string, port: number) =>
  withNetns(netns, () => Number(libcCalls.if_nametoindex(`eth${port}`)));
const lladdr = (last: number) => Uint8Array.of(2, 0, 0, 0, 0, last);

function linkLocal(first: number, last: number): Uint8Array {
  const address = new Uint8Array(16);
  address.set([0xfe, 0x80]);
  address[14] = first;
  address[15] = last;
  return address;
}

const open: Icmp6Socket[] = [];

function listen(netns: string): { socket: Icmp6Socket; heard: RouterMessage[] } {
  const heard: RouterMessage[] = [];
  const socket = Icmp6Socket.open({ netns, onMessage: (message) => heard.push(message) });
  open.push(socket);
  return { socket, heard };
}

function sysctl(netns: string, values: Record<string, string>): void {
  withNetns(netns, () => {
    for (const [path, value] of Object.entries(values))
      writeFileSync(`/proc/sys/net/ipv6/conf/${path}`, value);
  });
}

beforeAll(async () => {
  createNetns(A);
  createNetns(B);
  for (const port of PORTS) {
    ip('-n', A, 'link', 'add', `eth${port}`, 'type', 'veth', 'peer', 'name', `eth${port}`, 'netns', B);
    for (const [name, side] of [
      [A, 'a'],
      [B, 'b'],
    ]) {
      ip('-n', name, 'link', 'set', `eth${port}`, 'addrgenmode', 'none');
      ip('-n', name, 'link', 'set', `eth${port}`, 'up');
      ip('-n', name, 'addr', 'add', `fe80::${side}0${port}/64`, 'dev', `eth${port}`, 'nodad');
    }
  }
  await sleep(200);
});

afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});

afterAll(() => {
  removeNetns(A);
  removeNetns(B);
});

describe('router advertisements and solicitations', () => {
  const settings = [
    { 'all/forwarding': '0', 'all/accept_ra': '0', 'eth1/accept_ra': '0' },
    { 'all/forwarding': '1', 'all/accept_ra': '1', 'eth1/accept_ra': '1' },
  ];

  for (const values of settings) {
    it(`are heard with forwarding ${values['all/forwarding']} and accept_ra ${values['all/accept_ra']}`, async () => {
      sysctl(A, values);
      sysctl(B, values);
      const a = listen(A);
      const b = listen(B);
      for (const port of PORTS) {
        expect(a.socket.join(indexOf(A, port))).toBe(0);
        expect(b.socket.join(indexOf(B, port))).toBe(0);
      }
      for (const port of PORTS) expect(a.socket.sendAdvertisement(indexOf(A, port), lladdr(port))).toBe(0);
      expect(b.socket.sendSolicitation(indexOf(B, 2), undefined)).toBe(0);
      await sleep(100);
      expect(b.heard).toEqual(
        PORTS.map((port) => ({
          type: 134,
          ifindex: indexOf(B, port),
          source: linkLocal(0x0a, port),
          lladdr: lladdr(port),
          lifetimeS: 0,
        })),
      );
      const expected = {
        type: 133,
        ifindex: indexOf(A, 2),
        source: linkLocal(0x0b, 2),
        lladdr: undefined,
        lifetimeS: 0,
      };
      expect(a.heard).toEqual([expected]);
      expect([a.socket.invalid, b.socket.invalid]).toEqual([0, 0]);
    });
  }

  it('teach the kernel no default router', async () => {
    sysctl(B, { 'all/forwarding': '0', 'eth1/forwarding': '0', 'eth1/accept_ra': '1' });
    const a = listen(A);
    a.socket.sendAdvertisement(indexOf(A, 1), lladdr(1));
    await sleep(50);
    expect(ip('-n', B, '-6', 'route', 'show', 'default')).toBe('');
    a.socket.sendAdvertisement(indexOf(A, 1), lladdr(1), 30);
    await sleep(50);
    expect(ip('-n', B, '-6', 'route', 'show', 'default')).toContain('via fe80::a01');
  });

  it('are not heard on a port that was not joined, or was left', async () => {
    const a = listen(A);
    const b = listen(B);
    b.socket.join(indexOf(B, 1));
    b.socket.join(indexOf(B, 3));
    b.socket.leave(indexOf(B, 3));
    for (const port of PORTS) a.socket.sendAdvertisement(indexOf(A, port), undefined);
    await sleep(50);
    expect(b.heard.map((message) => message.ifindex)).toEqual([indexOf(B, 1)]);
    expect(b.heard[0].lladdr).toBeUndefined();
  });

  it('tell of a missing interface and a missing address, and of a second join nothing', () => {
    const a = listen(A);
    expect(a.socket.join(4711)).toBe(-19);
    expect(a.socket.sendAdvertisement(4711, undefined)).toBeLessThan(0);
    expect(a.socket.join(indexOf(A, 1))).toBe(0);
    expect(a.socket.join(indexOf(A, 1))).toBe(0);
    ip('-n', A, 'addr', 'del', 'fe80::a03/64', 'dev', 'eth3');
    expect(a.socket.sendAdvertisement(indexOf(A, 3), undefined)).toBe(-99);
    ip('-n', A, 'addr', 'add', 'fe80::a03/64', 'dev', 'eth3', 'nodad');
  });

  it('drop what a router passed on: a hop limit below 255', async () => {
    const b = listen(B);
    b.socket.join(indexOf(B, 1));
    const script = `
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
s.setsockopt(41, 18, 254)
s.sendto(bytes([134, 0, 0, 0, 0, 0, 0, 0] + [0] * 8), ('ff02::1', 0, 0, ${indexOf(A, 1)}))`;
    execFileSync('ip', ['netns', 'exec', A, 'python3', '-c', script]);
    await sleep(50);
    expect(b.heard).toEqual([]);
    expect(b.socket.invalid).toBe(1);
  });
});
