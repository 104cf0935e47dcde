// Packet sockets on real links: what reaches us under a flood of other traffic, what we send, what becomes of a socket
// whose link goes down, away, or floods, and what two thousand of them cost.

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPacketSocket, type PacketSocket, packetSocketsClosed } from '../../src/netlink/packet-socket.ts';
import { run, runOrThrow, until } from '../support/fabric.ts';

const netns = `lfps-${process.pid}-h`;
const guest = `lfps-${process.pid}-g`;
const root = process.getuid?.() === 0;
const exec = (...argv: string[]): string => execFileSync(argv[0]!, argv.slice(1), { encoding: 'utf8' });
const ip = (text: string): string => exec('ip', '-n', netns, ...text.split(' '));
const inGuest = (text: string): string => exec('ip', '-n', guest, ...text.split(' '));
const ifindexOf = (name: string): number => Number(/^\d+/.exec(ip(`link show ${name}`))![0]);

/** What a frame is, in words. */
function kindOf(frame: Uint8Array): string {
  const ethertype = (frame[12]! << 8) | frame[13]!;
  if (ethertype === 0x0806) return 'arp';
  if (ethertype === 0x8035) return 'rarp';
  if (ethertype === 0x0800) return `udp ${(frame[36]! << 8) | frame[37]!}`;
  return frame[20] === 58 ? `icmp6 ${frame[54]!}` : `udp6 ${(frame[56]! << 8) | frame[57]!}`;
}

/** An Ethernet frame to everybody with this ethertype and payload. */
function frameOf(ethertype: number, payload: readonly number[]): Uint8Array {
  const frame = new Uint8Array(Math.max(60, 14 + payload.length));
  frame.fill(0xff, 0, 6);
  frame.set([2, 0, 0, 0, 0, 9, ethertype >> 8, ethertype & 255, ...payload], 6);
  return frame;
}

const ip4 = (protocol: number, port: number, fragment = 0, options: number[] = []): number[] => [
  0x45 + options.length / 4,
  ...[0, 0, 60, 0, 0, fragment >> 8, fragment & 255, 64, protocol, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255],
  ...options,
  ...[0, 68, port >> 8, port & 255, 0, 20, 0, 0],
];
const ip6 = (next: number, payload: number[]): number[] => [
  ...[0x60, 0, 0, 0, 0, 24, next, 255],
  ...new Array<number>(32).fill(0),
  ...payload,
];
const udp6 = (port: number): number[] => ip6(17, [2, 34, port >> 8, port & 255, 0, 8, 0, 0]);

describe.skipIf(!root)('packet sockets', () => {
  const open: PacketSocket[] = [];
  const opened = (...args: Parameters<typeof openPacketSocket>): PacketSocket => {
    const socket = openPacketSocket(args[0], args[1], { netns, ...args[2] });
    open.push(socket);
    return socket;
  };

  beforeAll(() => {
    for (const name of [netns, guest]) exec('ip', 'netns', 'add', name);
    ip(`link add tap0 type veth peer name eth0 netns ${guest}`);
    ip('link set tap0 up');
    ip('addr add 10.0.0.1/24 dev tap0');
    inGuest('link set lo up');
    inGuest('link set eth0 up');
    inGuest('addr add 10.0.0.2/24 dev eth0');
  });

  afterAll(() => {
    for (const socket of open) socket.close();
    for (const name of [netns, guest]) exec('ip', 'netns', 'del', name);
  });

  test('of each kind of frame the right ones are let through', async () => {
    ip('link add a0 type veth peer name a1');
    for (const name of ['a0', 'a1'])
      execFileSync('ip', ['netns', 'exec', netns, 'sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=1`]);
    ip('link set a0 up');
    ip('link set a1 up');
    const seen: string[] = [];
    const heard = opened(ifindexOf('a0'), (bytes) => seen.push(kindOf(bytes)));
    const told: string[] = [];
    const sender = opened(ifindexOf('a1'), (bytes) => told.push(kindOf(bytes)));
    const frames = [
      frameOf(0x0806, [0, 1]),
      frameOf(0x8035, [0, 1]),
      frameOf(0x0800, ip4(17, 67)),
      frameOf(0x0800, ip4(17, 67, 0x4000)),
      frameOf(0x0800, ip4(17, 67, 0, [1, 1, 1, 1])),
      ...[133, 134, 135, 136, 137].map((type) => frameOf(0x86dd, ip6(58, [type, 0, 0, 0]))),
      frameOf(0x86dd, udp6(547)),
    ];
    const others = [
      frameOf(0x0800, ip4(17, 68)),
      frameOf(0x0800, ip4(6, 67)),
      frameOf(0x0800, ip4(17, 67, 0x2000)),
      frameOf(0x0800, ip4(17, 67, 0x0001)),
      frameOf(0x8100, [0, 5, 0x08, 0x06, 0, 1]),
      frameOf(0x86dd, udp6(546)),
      ...[128, 132, 138].map((type) => frameOf(0x86dd, ip6(58, [type, 0, 0, 0]))),
      frameOf(0x86dd, ip6(0, [58, 0, 5, 2, 0, 0, 1, 0, 135])),
      frameOf(0x88cc, [2, 7]),
    ];
    for (const frame of [...others, ...frames]) expect(sender.send(frame, frame.length)).toBe(true);
    await until(
      () => seen,
      (list) => list.includes('udp6 547'),
      { timeoutMs: 2000 },
    );
    expect(seen).toEqual([
      ...['arp', 'rarp', 'udp 67', 'udp 67', 'udp 257'],
      ...[133, 134, 135, 136, 137].map((type) => `icmp6 ${type}`),
      'udp6 547',
    ]);
    // What we send ourselves is not heard.
    expect(told).toEqual([]);
    heard.close();
    expect(heard.send(frames[0]!, 60)).toBe(false);
    sender.close();
  });

  test('a flood of other traffic does not reach us, ARP among it does', async () => {
    const seen = new Map<string, number>();
    const socket = opened(ifindexOf('tap0'), (bytes) => {
      const kind = kindOf(bytes);
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
    });
    const flood = await run(
      ['ip', 'netns', 'exec', guest, 'ping', '-f', '-q', '-c', '20000', '-s', '1000', '10.0.0.1'],
      { timeoutMs: 30_000 },
    );
    expect(flood.stdout).toContain('20000 received');
    inGuest('neigh flush all');
    await runOrThrow(['ip', 'netns', 'exec', guest, 'ping', '-c', '1', '10.0.0.1']);
    await until(
      () => seen.get('arp') ?? 0,
      (count) => count > 0,
      { timeoutMs: 3000 },
    );
    expect([...seen.keys()].filter((kind) => kind !== 'arp' && !kind.startsWith('icmp6 13'))).toEqual([]);
    expect([...seen.values()].reduce((sum, count) => sum + count)).toBeLessThan(50);
    socket.close();
  });

  test('a guest that floods with ARP costs no more than its share, and is heard again afterwards', async () => {
    let count = 0;
    const socket = opened(ifindexOf('tap0'), () => count++);
    const flooder = openPacketSocket(1, () => {}, { netns: guest });
    flooder.close();
    const eth0 = Number(/^\d+/.exec(inGuest('link show eth0'))![0]);
    const sender = openPacketSocket(eth0, () => {}, { netns: guest });
    const arp = frameOf(0x0806, [0, 1]);
    const began = performance.now();
    let sent = 0;
    const deadline = began + 1000;
    while (performance.now() < deadline) {
      for (let i = 0; i < 200; i++) if (sender.send(arp, arp.length)) sent++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const windows = Math.ceil((performance.now() - began) / 100) + 1;
    expect(sent).toBeGreaterThan(20_000);
    expect(count).toBeGreaterThan(200);
    expect(count).toBeLessThanOrEqual(windows * 200);
    const mark = Uint8Array.from(frameOf(0x8035, [0, 9]));
    await until(
      () => {
        sender.send(mark, mark.length);
        const before = count;
        return new Promise<number>((resolve) => setTimeout(() => resolve(count - before), 120));
      },
      (more) => more === 1,
      { timeoutMs: 3000, what: 'the queue to be empty and the socket to be heard' },
    );
    sender.close();
    socket.close();
  });

  test('a link that goes down is heard again when it comes back; one that goes away is told once', async () => {
    ip('link add b0 type veth peer name b1');
    ip('link set b1 up');
    let gone = 0;
    let count = 0;
    // Opened while the link is down: it is heard from the time on that it is up.
    opened(ifindexOf('b0'), () => count++, { onGone: () => gone++ });
    const sender = opened(ifindexOf('b1'), () => {});
    const arp = frameOf(0x0806, [0, 1]);
    const heardAgain = async () => {
      const before = count;
      await until(
        () => {
          sender.send(arp, arp.length);
          return count;
        },
        (now) => now > before,
        { timeoutMs: 2000 },
      );
    };
    ip('link set b0 up');
    await heardAgain();
    ip('link set b0 down');
    ip('link set b0 up');
    await heardAgain();
    expect(gone).toBe(0);
    ip('link del b0');
    await until(
      () => gone,
      (times) => times > 0,
      { timeoutMs: 2000 },
    );
    expect(gone).toBe(1);
    expect(() => openPacketSocket(99_999, () => {}, { netns })).toThrow(/bind: ENODEV/);
  });

  test('two thousand sockets are opened in a second, cost little, and nobody waits for their end', async () => {
    const ifindex = ifindexOf('tap0');
    const fds = () => readdirSync('/proc/self/fd').length;
    await packetSocketsClosed();
    const [fdsBefore, rssBefore] = [fds(), process.memoryUsage.rss()];
    const timed = (work: () => void): number => {
      const began = performance.now();
      work();
      return performance.now() - began;
    };
    const sockets: PacketSocket[] = [];
    const openMs = timed(() => {
      for (let i = 0; i < 2000; i++) sockets.push(openPacketSocket(ifindex, () => {}, { netns }));
    });
    const rss = process.memoryUsage.rss() - rssBefore;
    expect(fds() - fdsBefore).toBe(2000);
    const closeMs = timed(() => {
      for (const socket of sockets) socket.close();
    });
    const began = performance.now();
    await packetSocketsClosed();
    const poolMs = performance.now() - began;
    console.log(
      `2000 packet sockets: opened in ${openMs.toFixed(0)} ms, ${(rss / 1024).toFixed(0)} KiB RSS, ` +
        `closed in ${closeMs.toFixed(0)} ms here and ${poolMs.toFixed(0)} ms in the pool`,
    );
    expect(openMs).toBeLessThan(1000);
    expect(rss).toBeLessThan(32 << 20);
    expect(closeMs).toBeLessThan(500);
    expect(fds()).toBe(fdsBefore);
  });
});
