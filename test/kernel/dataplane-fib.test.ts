// The forwarding table against the real kernel, in a namespace with two veth pairs. Needs root and iproute2
// (for the foreign hand, and as a second opinion on what the kernel has).

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Fib, IPV4, IPV6 } from '../../src/dataplane/fib.ts';
import type { FibBatch } from '../../src/dataplane/fib-batches.ts';
import { flushRoutes } from '../../src/dataplane/flush.ts';
import { kernelRtnl } from '../../src/netlink/rtnl.ts';

const netns = `lfdp-${process.pid}`;
const root = process.getuid?.() === 0;
const ip = (text: string): string =>
  execFileSync('ip', ['-n', netns, ...text.split(' ')], { encoding: 'utf8' });
const linkLocal = (last: number): Uint8Array =>
  Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);
const loopback4 = Uint8Array.of(10, 255, 0, 1);
const loopback6 = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

let v0 = 0;
let v2 = 0;
let fib: Fib;
let acks: { seq: number; failed: readonly number[] }[] = [];
let recovered = 0;
let seq = 0;

function batch4(first: number, count: number, setId: number, length = 32): FibBatch {
  const words = new Uint32Array(count);
  const lengths = new Uint8Array(count).fill(length);
  for (let i = 0; i < count; i++) words[i] = first + i * 2 ** (32 - length);
  return { seq: ++seq, family: IPV4, count, words, lengths, setIds: new Int32Array(count).fill(setId) };
}

function batch6(third: number, count: number, setId: number): FibBatch {
  const words = new Uint32Array(count * 4);
  const lengths = new Uint8Array(count).fill(64);
  for (let i = 0; i < count; i++) words.set([0x20010db8, third + i, 0, 0], i * 4);
  return { seq: ++seq, family: IPV6, count, words, lengths, setIds: new Int32Array(count).fill(setId) };
}

async function until(what: string, condition: () => boolean, timeoutMs = 10_000): Promise<number> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return performance.now() - start;
}

async function apply(batch: FibBatch): Promise<{ ms: number; failed: readonly number[] }> {
  const start = performance.now();
  fib.apply(batch);
  await until(`ack of ${batch.seq}`, () => acks.some((ack) => ack.seq === batch.seq), 30_000);
  return { ms: performance.now() - start, failed: acks.find((ack) => ack.seq === batch.seq)!.failed };
}

const countRoutes = (): number =>
  ip('route show proto 179')
    .split('\n')
    .filter((line) => /^\d/.test(line)).length;

async function startFib(prefSrc = true): Promise<void> {
  acks = [];
  recovered = 0;
  fib = await Fib.start({
    netns,
    ...(prefSrc && { prefSrc4: loopback4, prefSrc6: loopback6 }),
    onAcked: (number, failed) => acks.push({ seq: number, failed }),
    onRecovered: () => recovered++,
  });
}

/** Follows the kernel's events with `ip monitor` until stopped. */
function monitor(): { child: ChildProcess; lines: () => string[] } {
  const child = spawn('ip', ['-n', netns, 'monitor', 'route', 'nexthop'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let text = '';
  child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return { child, lines: () => text.split('\n').filter((line) => line !== '') };
}

describe.skipIf(!root)('Fib on the kernel', () => {
  beforeAll(() => {
    execFileSync('ip', ['netns', 'add', netns]);
    ip('link set lo up');
    ip('link add v0 type veth peer name v1');
    ip('link add v2 type veth peer name v3');
    for (const link of ['v0', 'v1', 'v2', 'v3']) ip(`link set ${link} up`);
    ip('addr add 10.255.0.1/32 dev lo');
    ip('addr add 2001:db8::1/128 dev lo');
    const index = (name: string): number => JSON.parse(ip(`-j link show ${name}`))[0].ifindex;
    v0 = index('v0');
    v2 = index('v2');
  });

  afterAll(() => {
    execFileSync('ip', ['netns', 'del', netns]);
  });

  beforeEach(() => startFib());

  afterEach(async () => {
    ip('link set v1 up');
    ip('link set v3 up');
    await fib.flush();
    expect(ip('nexthop show')).toBe('');
    expect(ip('route show proto 179')).toBe('');
  });

  test('IPv4 and IPv6 routes through a group with IPv6 link-local gateways, one change in about a millisecond', async () => {
    fib.defineSet(1, [
      { gateway: linkLocal(0xaa), ifindex: v0, weight: 1 },
      { gateway: linkLocal(0xbb), ifindex: v2, weight: 2 },
    ]);
    fib.defineSet(2, [{ gateway: linkLocal(0xaa), ifindex: v0, weight: 1 }]);
    expect((await apply(batch4(0x0a010000, 1, 1, 24))).failed).toEqual([]);
    expect((await apply(batch6(0, 1, 1))).failed).toEqual([]);
    expect((await apply(batch4(0x0a020000, 1, 2, 24))).failed).toEqual([]);
    const route = JSON.parse(ip('-j route show 10.1.0.0/24'))[0];
    expect(route).toMatchObject({ dst: '10.1.0.0/24', protocol: '179', metric: 20, prefsrc: '10.255.0.1' });
    expect(ip('route get 10.1.0.9')).toMatch(/via inet6 fe80::(aa dev v0|bb dev v2) src 10\.255\.0\.1/);
    expect(ip('-6 route show 2001:db8::/64')).toMatch(/proto 179 src 2001:db8::1 metric 20/);
    expect(ip('nexthop show').match(/group [\d,/]+ proto 179/)).not.toBeNull();
    // The single member uses the plain object.
    expect(JSON.parse(ip('-j route show 10.2.0.0/24'))[0]).toMatchObject({ dev: 'v0' });
    const times: number[] = [];
    for (let i = 0; i < 50; i++) times.push((await apply(batch4(0x0a030000, 1, i % 2 ? 1 : 2, 24))).ms);
    times.sort((a, b) => a - b);
    console.log(
      `single change, apply to ack: median ${times[25]!.toFixed(2)} ms, worst ${times[49]!.toFixed(2)} ms`,
    );
    expect(times[25]).toBeLessThan(10);
    await apply(batch4(0x0a010000, 1, -1, 24));
    expect(ip('route show 10.1.0.0/24')).toBe('');
  });

  test('a set that discards makes blackhole routes of both families, taken over by the next start', async () => {
    fib.defineSet(2, [{ ifindex: 0, weight: 1, discard: true }]);
    fib.defineSet(3, [{ gateway: linkLocal(0xaa), ifindex: v0, weight: 1 }]);
    expect((await apply(batch4(0x0a010000, 1, 2, 24))).failed).toEqual([]);
    expect((await apply(batch6(0, 1, 2))).failed).toEqual([]);
    expect(ip('route show proto 179')).toMatch(
      /^blackhole 10\.1\.0\.0\/24 nhid \d+ dev lo src 10\.255\.0\.1/,
    );
    expect(ip('-6 route show proto 179')).toMatch(/^blackhole 2001:db8::\/64 nhid \d+ dev lo/);
    await fib.compare();
    await fib.settled();
    expect(fib.driftFound).toBe(0);
    // One route becomes the other in place, both ways.
    await apply(batch4(0x0a010000, 1, 3, 24));
    expect(ip('route show 10.1.0.0/24')).toMatch(/via inet6 fe80::aa dev v0/);
    await apply(batch4(0x0a010000, 1, 2, 24));
    expect(ip('route show 10.1.0.0/24')).toMatch(/^blackhole/);
    await fib.close();
    const { child, lines } = monitor();
    await new Promise((resolve) => setTimeout(resolve, 100));
    await startFib();
    fib.defineSet(7, [{ ifindex: 0, weight: 1, discard: true }]);
    expect((await apply(batch4(0x0a010000, 1, 7, 24))).failed).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    child.kill();
    expect(lines()).toEqual([]);
  });

  test('a set is redefined by one message, and released sets leave nothing', async () => {
    fib.defineSet(1, [
      { gateway: linkLocal(0xaa), ifindex: v0, weight: 1 },
      { gateway: linkLocal(0xbb), ifindex: v2, weight: 1 },
    ]);
    await apply(batch4(0x0a100000, 1000, 1));
    const id = JSON.parse(ip('-j route show 10.16.0.5'))[0].nhid as number;
    const watch = monitor();
    await until('monitor', () => watch.child.pid !== undefined);
    await new Promise((resolve) => setTimeout(resolve, 300));
    fib.redefineSet(1, [{ gateway: linkLocal(0xbb), ifindex: v2, weight: 1 }]);
    await fib.settled();
    expect(ip(`nexthop show id ${id}`)).not.toMatch(/group \d+\//);
    expect(ip('route get 10.16.0.5')).toMatch(/via inet6 fe80::bb dev v2/);
    await new Promise((resolve) => setTimeout(resolve, 200));
    watch.child.kill();
    expect(watch.lines().filter((line) => line.includes('Deleted') && line.includes('10.16.'))).toEqual([]);
    await apply(batch4(0x0a100000, 1000, -1));
    fib.releaseSet(1);
    await until('objects gone', () => ip('nexthop show') === '');
    await fib.settled();
    expect(fib.counts()).toMatchObject({ objects: 0, sets: 0 });
  });

  test('a foreign hand on our routes and objects is repaired within a second', async () => {
    fib.defineSet(1, [
      { gateway: linkLocal(0xaa), ifindex: v0, weight: 1 },
      { gateway: linkLocal(0xbb), ifindex: v2, weight: 1 },
    ]);
    await apply(batch4(0x0a200000, 500, 1));
    ip('route del 10.32.0.7/32 proto 179');
    expect(await until('route back', () => ip('route show 10.32.0.7') !== '', 1000)).toBeLessThan(1000);
    ip('route replace 10.32.0.8/32 dev v0 proto 179 metric 20');
    await until('route as it was', () => ip('route show 10.32.0.8').includes('nhid'), 1000);
    const id = JSON.parse(ip('-j route show 10.32.0.9'))[0].nhid as number;
    ip(`nexthop del id ${id}`);
    expect(countRoutes()).toBeLessThan(500);
    await until('all routes back', () => countRoutes() === 500, 1000);
    ip('nexthop flush proto 179');
    await until('all routes back again', () => countRoutes() === 500, 1000);
    expect(ip('route get 10.32.0.9')).toMatch(/via inet6 fe80::(aa|bb)/);
  });

  test('10 000 routes behind one link leave with its carrier and are back within a second of its return', async () => {
    fib.defineSet(1, [{ gateway: linkLocal(0xaa), ifindex: v0, weight: 1 }]);
    fib.defineSet(2, [
      { gateway: linkLocal(0xaa), ifindex: v0, weight: 1 },
      { gateway: linkLocal(0xbb), ifindex: v2, weight: 1 },
    ]);
    expect((await apply(batch4(0x0b000000, 10_000, 1))).failed).toEqual([]);
    await apply(batch4(0x0c000000, 100, 2));
    await apply(batch6(0, 1000, 1));
    ip('link set v1 down');
    await until('routes known lost', () => fib.counts().ipv4.waiting === 10_000);
    expect(countRoutes()).toBe(100);
    expect(ip('route get 12.0.0.9')).toMatch(/via inet6 fe80::bb dev v2/);
    // A change meanwhile waits and is told as such; nothing is refused by the kernel.
    expect((await apply(batch4(0x0d000000, 10, 1))).failed).toHaveLength(10);
    expect(fib.counts().ipv4).toMatchObject({ failed: 0, conflicts: 0, waiting: 10_010, done: 100 });
    ip('link set v1 up');
    const ms = await until(
      'all done',
      () => fib.counts().ipv4.done === 10_110 && fib.counts().ipv6.done === 1000,
    );
    console.log(`11 010 routes back ${ms.toFixed(0)} ms after link up`);
    expect(ms).toBeLessThan(1000);
    expect(countRoutes()).toBe(10_110);
    expect(recovered).toBe(10);
    await until('both members', () => /group \d+\/\d+/.test(ip('nexthop show')));
    expect(fib.driftFound).toBe(0);
  });

  test('foreign routes stay, and the same prefix and metric is a conflict until the foreign one goes', async () => {
    ip('route add 10.48.0.0/24 dev v0 proto static metric 20');
    ip('route add 10.48.1.0/24 dev v0 proto static');
    ip('-6 route add 2001:db8:5::/64 dev v0 proto static metric 20');
    fib.defineSet(1, [{ gateway: linkLocal(0xaa), ifindex: v0, weight: 1 }]);
    expect((await apply(batch4(0x0a300000, 2, 1, 24))).failed).toEqual([0]);
    expect((await apply(batch6(5, 1, 1))).failed).toEqual([]);
    expect(fib.counts().ipv4).toMatchObject({ conflicts: 1, done: 1 });
    expect(fib.routes({ different: true }).routes[0]).toMatchObject({ state: 'conflict', errno: 'EEXIST' });
    expect(ip('route show 10.48.0.0/24')).toMatch(
      /^10\.48\.0\.0\/24 dev v0 proto static scope link metric 20 \n$/,
    );
    const foreign = await fib.foreign({ limit: 1 });
    expect(foreign.routes).toHaveLength(1);
    expect(foreign.total).toBe(2);
    ip('route del 10.48.0.0/24 proto static metric 20');
    await until('ours in its place', () => ip('route show 10.48.0.0/24').includes('proto 179'), 1000);
    // The kernel has it before its answer has come back from the writing thread.
    await until('told as recovered', () => recovered === 1);
    // Now a foreign hand takes our place: it stays there.
    ip('route replace 10.48.0.0/24 dev v2 proto static metric 20');
    await until('conflict seen', () => fib.counts().ipv4.conflicts === 1, 1000);
    await fib.compare();
    expect(ip('route show 10.48.0.0/24')).toContain('dev v2 proto static');
    ip('route del 10.48.0.0/24 proto static');
    ip('route del 10.48.1.0/24 proto static');
    ip('-6 route del 2001:db8:5::/64 proto static');
  });

  test('a restart takes over what is there without a single event, and sweeps the rest', async () => {
    const members = [
      { gateway: linkLocal(0xaa), ifindex: v0, weight: 1 },
      { gateway: linkLocal(0xbb), ifindex: v2, weight: 1 },
    ];
    fib.defineSet(1, members);
    fib.defineSet(2, [members[0]!]);
    await apply(batch4(0x0a400000, 2000, 1));
    await apply(batch6(0, 500, 1));
    await apply(batch4(0x0a500000, 10, 2));
    await fib.close();
    ip('nexthop add id 77 via fe80::77 dev v0');
    ip('route add 10.99.0.0/16 nhid 77');
    ip('route add 10.64.0.0/32 dev v0 proto 179 metric 33');
    const watch = monitor();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await startFib();
    // With the route of another metric, which is the second one of its prefix.
    expect(fib.counts().ipv4).toMatchObject({ found: 2010, desired: 0 });
    // Set ids and the order of members are another run's.
    fib.defineSet(9, [members[1]!, members[0]!]);
    await apply(batch4(0x0a400000, 2000, 9));
    await apply(batch6(0, 500, 9));
    await fib.settled();
    await new Promise((resolve) => setTimeout(resolve, 300));
    // Other lines are the kernel's own, of addresses and neighbours.
    expect(watch.lines().filter((line) => /proto 179|nhid|^Deleted id|^id/.test(line))).toEqual([]);
    fib.sweep();
    await until('swept', () => fib.counts().ipv4.found === 0);
    await fib.settled();
    expect(countRoutes()).toBe(2000);
    watch.child.kill();
    expect(fib.counts().ipv4).toMatchObject({ desired: 2000, done: 2000, found: 0 });
    expect(ip('route show 10.99.0.0/16')).toContain('nhid 77');
    const removed = await fib.flush();
    expect(removed.routes).toBe(2500);
    expect(ip('nexthop show').trim()).toMatch(/^id 77 via fe80::77 dev v0/);
    expect(ip('route show 10.99.0.0/16')).toContain('nhid 77');
    ip('nexthop del id 77');
    await startFib();
  });

  for (const family of [IPV4, IPV6])
    test(`200 routes get another metric, ours all the time, family ${family === IPV4 ? 4 : 6}`, async () => {
      fib.defineSet(1, [{ gateway: linkLocal(0xaa), ifindex: v0, weight: 1 }]);
      fib.defineSet(2, [{ gateway: linkLocal(0xbb), ifindex: v2, weight: 1 }]);
      fib.sweep();
      const of = (setId: number, metric: number): FibBatch => {
        const batch = family === IPV4 ? batch4(0x0a700000, 200, setId) : batch6(0x100, 200, setId);
        return { ...batch, metrics: new Uint32Array(200).fill(metric) };
      };
      const [flag, probe] = family === IPV4 ? ['-4', '10.112.0.7'] : ['-6', '2001:db8:0:100::9'];
      const metrics = (): string[] =>
        [...new Set(ip(`${flag} route show proto 179`).match(/metric \d+/g))].sort();
      expect((await apply(of(1, 200))).failed).toEqual([]);
      expect(metrics()).toEqual(['metric 200']);
      const watch = monitor();
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect((await apply(of(2, 20))).failed).toEqual([]);
      expect(metrics()).toEqual(['metric 20']);
      expect(ip(`route get ${probe}`)).toMatch(/fe80::bb dev v2/);
      expect((await apply(of(1, 150))).failed).toEqual([]);
      expect(metrics()).toEqual(['metric 150']);
      expect(ip(`route get ${probe}`)).toMatch(/fe80::aa dev v0/);
      // As many as `ip` has room for in one burst.
      const told = (): string[] => watch.lines().filter((line) => line.includes('proto 179'));
      await until('told', () => told().length === 800);
      watch.child.kill();
      // By the kernel's own account: in each move of a prefix the new route came before the old one went.
      const there = new Map<string, number>();
      for (const line of told()) {
        const prefix = line.replace('Deleted ', '').split(' ')[0]!;
        there.set(prefix, (there.get(prefix) ?? 1) + (line.startsWith('Deleted') ? -1 : 1));
        expect(there.get(prefix), line).toBeGreaterThan(0);
      }
      expect(there.size).toBe(200);
      // A restart takes over what is there, and moves what wants to be moved.
      await fib.close();
      await startFib();
      fib.defineSet(1, [{ gateway: linkLocal(0xaa), ifindex: v0, weight: 1 }]);
      expect((await apply(of(1, 30))).failed).toEqual([]);
      fib.sweep();
      await fib.settled();
      expect(metrics()).toEqual(['metric 30']);
      const count = family === IPV4 ? fib.counts().ipv4 : fib.counts().ipv6;
      expect(count).toMatchObject({ desired: 200, observed: 200, done: 200 });
      expect(fib.driftFound).toBe(0);
    });

  test('routes wait for their source address and are back when it is', async () => {
    fib.defineSet(1, [{ gateway: linkLocal(0xaa), ifindex: v0, weight: 1 }]);
    await apply(batch4(0x0a600000, 200, 1));
    ip('addr del 10.255.0.1/32 dev lo');
    await until('gone with the address', () => fib.counts().ipv4.waiting === 200, 1000);
    expect(countRoutes()).toBe(0);
    ip('addr add 10.255.0.1/32 dev lo');
    await until('back', () => countRoutes() === 200, 1000);
  });

  test('100 000 routes: throughput, comparison, redefinition, flush without a daemon', async () => {
    fib.defineSet(1, [
      { gateway: linkLocal(0xaa), ifindex: v0, weight: 1 },
      { gateway: linkLocal(0xbb), ifindex: v2, weight: 1 },
    ]);
    fib.defineSet(2, [{ gateway: linkLocal(0xbb), ifindex: v2, weight: 1 }]);
    const add = await apply(batch4(0x20000000, 100_000, 1));
    expect(add.failed).toEqual([]);
    const replace = await apply(batch4(0x20000000, 100_000, 2));
    const start = performance.now();
    await fib.compare();
    const compare = performance.now() - start;
    expect(fib.driftFound).toBe(0);
    const remove = await apply(batch4(0x20000000, 100_000, -1));
    const rate = (ms: number): string => `${(100_000 / ms).toFixed(0)}k/s`;
    console.log(
      `100k routes: add ${rate(add.ms)}, replace ${rate(replace.ms)}, delete ${rate(remove.ms)}, ` +
        `compared in ${compare.toFixed(0)} ms`,
    );
    await apply(batch4(0x20000000, 1000, 2));
    await fib.close();
    const rtnl = kernelRtnl(netns);
    expect(flushRoutes(rtnl)).toEqual({ routes: 1000, objects: 3 });
    rtnl.close();
    await startFib();
  });
});
