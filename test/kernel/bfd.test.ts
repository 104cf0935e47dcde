// BFD threads against each other over a real link: two namespaces, a veth pair with both families and a link-local
// address, packets dropped by the kernel's own filter.

import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Bfd, type BfdChange, type Target, type Timing } from '../../src/bfd/bfd.ts';
import type { LeafdError } from '../../src/lib/leafd-error.ts';
import { parseIp } from '../../src/net/ip.ts';
import { createNetns, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { libcCalls } from '../../src/netlink/sys.ts';
import { encodeSockaddr, setTtl } from '../../src/netlink/tcp.ts';
import { openUdpReceiver, openUdpSender, sendDatagram } from '../../src/netlink/udp.ts';
import { sleep, until } from '../support/fabric.ts';

const A = `lfskbfd-${process.pid}-a`;
const B = `lfskbfd-${process.pid}-b`;
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const nft = (netns: string, ...words: string[]) =>
  execFileSync('ip', ['netns', 'exec', netns, 'nft', ...words], { encoding: 'utf8' });
const fast: Timing = { minTxMs: 50, minRxMs: 50, multiplier: 3, passive: false, minTtl: 255 };
/** What a detection may take beyond its time: a turn of the main thread on a busy machine. */
const MARGIN_MS = 60;

interface Side {
  netns: string;
  bfd: Bfd;
  changes: (BfdChange & { atMs: number })[];
  troubles: LeafdError[];
  discarded: string[];
  ifindex: number;
}

const open: Bfd[] = [];

function side(netns: string): Side {
  const one: Side = {
    netns,
    changes: [],
    troubles: [],
    discarded: [],
    ifindex: withNetns(netns, () => Number(libcCalls.if_nametoindex('eth0'))),
    bfd: new Bfd({
      netns,
      onChange: (change) => one.changes.push({ ...change, atMs: performance.now() }),
      onTrouble: (error) => one.troubles.push(error),
      onDiscarded: (text) => one.discarded.push(text),
    }),
  };
  open.push(one.bfd);
  return one;
}

const target = (
  of: Side,
  remote: string,
  settings: Partial<Timing> = {},
  other: Partial<Target> = {},
): Target => ({
  remote: parseIp(remote)!,
  ifindex: of.ifindex,
  multihop: false,
  settings: { ...fast, ...settings },
  ...other,
});

const isUp = (of: Side, id = 1) => of.bfd.session(id)?.state === 'up';
const settled = (of: Side, id = 1) => isUp(of, id) && of.bfd.session(id)!.detectionMs < 1000;
const states = (of: Side) => of.changes.map((change) => change.state);
const bothUp = (...sides: Side[]) =>
  until(
    () => sides.map((one) => settled(one)),
    (all) => all.every(Boolean),
    { timeoutMs: 5000, what: 'both sides up' },
  );

beforeAll(async () => {
  createNetns(A);
  createNetns(B);
  ip('-n', A, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', B);
  for (const [netns, host] of [
    [A, '1'],
    [B, '2'],
  ]) {
    ip('-n', netns!, 'link', 'set', 'lo', 'up');
    ip('-n', netns!, 'link', 'set', 'eth0', 'addrgenmode', 'none');
    ip('-n', netns!, 'link', 'set', 'eth0', 'up');
    ip('-n', netns!, 'addr', 'add', `10.0.0.${host}/24`, 'dev', 'eth0');
    ip('-n', netns!, 'addr', 'add', `2001:db8::${host}/64`, 'dev', 'eth0', 'nodad');
    ip('-n', netns!, 'addr', 'add', `fe80::${host}/64`, 'dev', 'eth0', 'nodad');
    nft(netns!, 'add table inet t');
    nft(netns!, 'add chain inet t in { type filter hook input priority 0; }');
  }
  await sleep(200);
});

afterEach(async () => {
  for (const netns of [A, B]) nft(netns, 'flush chain inet t in');
  for (const bfd of open.splice(0)) await bfd.close();
});

afterAll(() => {
  removeNetns(A);
  removeNetns(B);
});

it.each([
  ['IPv4', '10.0.0.1', '10.0.0.2'],
  ['IPv6', '2001:db8::1', '2001:db8::2'],
  ['IPv6 link-local', 'fe80::1', 'fe80::2'],
])('comes up over %s, detects silence in time, comes back', async (_, ours, theirs) => {
  const [a, b] = [side(A), side(B)];
  a.bfd.set(1, target(a, theirs));
  b.bfd.set(1, target(b, ours));
  await bothUp(a, b);
  expect(a.bfd.session(1)).toMatchObject({
    state: 'up',
    remoteState: 'up',
    diagnostic: 'no diagnostic',
    transmitMs: 50,
    receiveMs: 50,
    detectionMs: 150,
    remoteMultiplier: 3,
    independent: false,
    flaps: 0,
    remoteDiscriminator: b.bfd.session(1)!.localDiscriminator,
  });
  await sleep(500);
  expect([a, b].map(states)).toEqual([
    expect.not.arrayContaining(['down']),
    expect.not.arrayContaining(['down']),
  ]);
  // One direction goes silent: this side finds out by time, the other is told.
  nft(A, 'add rule inet t in udp dport 3784 drop');
  const cutMs = performance.now();
  await until(
    () => states(a),
    (seen) => seen.includes('down'),
    { timeoutMs: 2000, everyMs: 2 },
  );
  const down = a.changes.find((change) => change.state === 'down')!;
  console.log(`silence detected after ${(down.atMs - cutMs).toFixed(0)} ms of 150`);
  expect(down.reason).toBe('control detection time expired');
  expect(down.atMs - cutMs).toBeLessThan(150 + MARGIN_MS);
  expect(down.atMs - cutMs).toBeGreaterThan(90);
  await until(
    () => states(b),
    (seen) => seen.includes('down'),
    { timeoutMs: 2000, everyMs: 2 },
  );
  expect(b.changes.find((change) => change.state === 'down')!.reason).toBe('neighbor signaled session down');
  nft(A, 'flush chain inet t in');
  await bothUp(a, b);
  expect(a.bfd.session(1)!.flaps).toBe(1);
  expect(a.troubles.filter((error) => error.code !== 'bfd-priority-refused')).toEqual([]);
});

it('changes its intervals while up, by a Poll Sequence, without a flap', async () => {
  const [a, b] = [side(A), side(B)];
  a.bfd.set(1, target(a, '10.0.0.2'));
  b.bfd.set(1, target(b, '10.0.0.1'));
  await bothUp(a, b);
  a.bfd.set(1, target(a, '10.0.0.2', { minTxMs: 200, minRxMs: 300, multiplier: 4 }));
  await until(
    () => b.bfd.session(1)!.detectionMs,
    (ms) => ms === 800,
    { timeoutMs: 2000 },
  );
  await until(
    () => a.bfd.session(1)!.transmitMs,
    (ms) => ms === 200,
    { timeoutMs: 2000 },
  );
  expect(b.bfd.session(1)!.transmitMs).toBe(300);
  expect(a.bfd.session(1)!.detectionMs).toBe(900);
  a.bfd.set(1, target(a, '10.0.0.2', { minTxMs: 20, minRxMs: 20 }));
  b.bfd.set(1, target(b, '10.0.0.1', { minTxMs: 20, minRxMs: 20 }));
  await until(
    () => [a.bfd.session(1)!.detectionMs, b.bfd.session(1)!.detectionMs],
    (all) => all.every((ms) => ms === 60),
    { timeoutMs: 2000 },
  );
  await sleep(300);
  expect(states(a)).toEqual(expect.not.arrayContaining(['down']));
  expect(states(b)).toEqual(expect.not.arrayContaining(['down']));
});

it('ends on purpose: the other side hears of an administrator, not of a failure', async () => {
  const [a, b] = [side(A), side(B)];
  a.bfd.set(1, target(a, '10.0.0.2'));
  b.bfd.set(1, target(b, '10.0.0.1'));
  await bothUp(a, b);
  a.bfd.set(1, undefined);
  await until(
    () => states(b),
    (seen) => seen.includes('adminDown'),
    { timeoutMs: 1000 },
  );
  await sleep(500);
  expect(states(b)).toEqual(expect.not.arrayContaining(['down']));
  // And back again, from the same two threads.
  a.bfd.set(1, target(a, '10.0.0.2'));
  await bothUp(a, b);
  await a.bfd.close();
  await until(
    () => states(b).filter((state) => state === 'adminDown').length,
    (n) => n === 2,
    { timeoutMs: 1000 },
  );
});

it('several hops, with a lowest TTL; a passive side waits', async () => {
  const [a, b] = [side(A), side(B)];
  const far = { multihop: true, ifindex: 0 };
  a.bfd.set(
    1,
    target(a, '10.0.0.2', { minTtl: 250, passive: true }, { ...far, local: parseIp('10.0.0.1')! }),
  );
  b.bfd.set(1, target(b, '10.0.0.1', { minTtl: 250 }, far));
  await bothUp(a, b);
  expect(a.bfd.session(1)!.multihop).toBe(true);
});

it('drops strangers, low TTLs and garbage, counts them, and says so once', async () => {
  const [a, b] = [side(A), side(B)];
  a.bfd.set(1, target(a, '10.0.0.2'));
  b.bfd.set(1, target(b, '10.0.0.1'));
  await bothUp(a, b);
  const fd = withNetns(B, () => openUdpSender({ family: 4, ifindex: 0 }, Math.random));
  try {
    const to = encodeSockaddr(parseIp('10.0.0.1')!, 3784);
    const packet = Buffer.alloc(24);
    packet.set([0x20, 0xc0, 3, 24, 1, 2, 3, 4, 9, 9, 9, 9]);
    const refused = () => Object.values(a.bfd.discarded()).reduce((sum, count) => sum + count, 0);
    for (let i = 0; i < 20_000; i++) sendDatagram(fd, packet, i % 2 === 0 ? 24 : 7, to);
    setTtl(fd, 4, 254);
    sendDatagram(fd, packet, 24, to);
    await until(refused, (count) => count >= 10_000, { timeoutMs: 3000 });
    await sleep(300);
  } finally {
    libcCalls.close(fd);
  }
  expect(Object.keys(a.bfd.discarded()).sort()).toEqual([
    'TTL lower than allowed: forwarded too often, or minTtl is too high for what the peer sends',
    'Your Discriminator is of no session',
    'wrong length',
  ]);
  expect(a.discarded).toEqual([expect.stringMatching(/^BFD packet of 10\.0\.0\.2 with TTL 255 discarded: /)]);
  expect(states(a)).toEqual(expect.not.arrayContaining(['down']));
});

it('tells when another program has the port, and begins when it is free', async () => {
  const fd = withNetns(A, () => openUdpReceiver(4, 3784));
  const [a, b] = [side(A), side(B)];
  try {
    a.bfd.set(1, target(a, '10.0.0.2'));
    b.bfd.set(1, target(b, '10.0.0.1'));
    await until(
      () => a.troubles,
      (all) => all.some((error) => error.code === 'address-in-use'),
      { timeoutMs: 3000 },
    );
  } finally {
    libcCalls.close(fd);
  }
  await until(() => settled(a), Boolean, { timeoutMs: 9000, what: 'the port to be tried again' });
});

it('replaces a thread that dies, and blames no peer', async () => {
  const [a, b] = [side(A), side(B)];
  a.bfd.set(1, target(a, '10.0.0.2'));
  b.bfd.set(1, target(b, '10.0.0.1'));
  await bothUp(a, b);
  // Nothing that the types allow kills it.
  a.bfd.set(2, { ...target(a, '10.0.0.9'), remote: undefined as never });
  await until(
    () => states(a),
    (seen) => seen.includes('adminDown'),
    { timeoutMs: 2000 },
  );
  a.bfd.set(2, undefined);
  expect(states(a)).toEqual(expect.not.arrayContaining(['down']));
  expect(a.troubles.map((error) => error.code)).toContain('bfd-thread-ended');
  await until(
    () => states(b),
    (seen) => seen.includes('down'),
    { timeoutMs: 2000 },
  );
  await bothUp(a, b);
});

it('has a thread only while somebody wants a session', async () => {
  const [a, b] = [side(A), side(B)];
  expect(a.bfd.isRunning).toBe(false);
  a.bfd.set(1, target(a, '10.0.0.2'));
  b.bfd.set(1, target(b, '10.0.0.1'));
  await bothUp(a, b);
  a.bfd.set(1, undefined);
  await until(
    () => a.bfd.isRunning,
    (running) => !running,
    { timeoutMs: 8000, everyMs: 1 },
  );
  // While the thread is still ending, its port is taken.
  a.bfd.set(1, target(a, '10.0.0.2'));
  await bothUp(a, b);
  expect(a.troubles.filter((error) => error.code !== 'bfd-priority-refused')).toEqual([]);
  await a.bfd.close();
  expect(a.bfd.isRunning).toBe(false);
});
