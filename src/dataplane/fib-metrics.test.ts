// Routes with metrics of their own, over the fake kernel, which has one route for a prefix and metric as the real one.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeKernel } from '../netlink/fake-kernel.ts';
import {
  NLM_F_CREATE,
  RTM_DELROUTE,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
  RTPROT_LEAFD,
} from '../netlink/message.ts';
import { encodeKernelRoute, type KernelRoute } from '../netlink/route.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import { Fib, IPV4, IPV6 } from './fib.ts';
import type { FibBatch } from './fib-batches.ts';

let kernel: FakeKernel;
let fib: Fib;
let foreign: Rtnl;
let failed: number[][];
let seq = 0;

async function start(): Promise<void> {
  failed = [];
  fib = await Fib.start({
    rtnl: kernel.rtnl(),
    writer: kernel.writer(100),
    onAcked: (_, indexes) => failed.push([...indexes]),
  });
}

/** 10.0.n.0/24 or 2001:db8:n::/64 of each number, all on one set with one metric. */
function apply(family: number, numbers: readonly number[], setId: number, metric: number): void {
  const count = numbers.length;
  const words = new Uint32Array(family === IPV4 ? count : count * 4);
  for (const [i, n] of numbers.entries()) {
    if (family === IPV4) words[i] = 0x0a000000 + n * 256;
    else words.set([0x20010db8, n << 16, 0, 0], i * 4);
  }
  const lengths = new Uint8Array(count).fill(family === IPV4 ? 24 : 64);
  const setIds = new Int32Array(count).fill(setId);
  const batch: FibBatch = { seq: ++seq, family, count, words, lengths, setIds };
  if (metric !== 0) batch.metrics = new Uint32Array(count).fill(metric);
  fib.apply(batch);
}

/** Another hand with our mark, or with another one. */
function hand(type: number, n: number, protocol: number, metric: number, nhid = 0): void {
  const route = {
    family: 2,
    bytes: Uint8Array.of(10, 0, n, 0),
    length: 24,
    table: 254,
    type: 1,
    scope: 0,
    tos: 0,
  };
  const whole: KernelRoute = { ...route, protocol, metric, nhid, hops: [], flags: 0 };
  foreign.write((w, s) => encodeKernelRoute(w, type, type === RTM_NEWROUTE ? NLM_F_CREATE : 0, s, whole));
}

const routes = (protocol = RTPROT_LEAFD): string[] =>
  [...kernel.routes.values()]
    .filter((route) => route.protocol === protocol)
    .map(({ bytes, metric }) => `${bytes.length === 4 ? bytes[2] : bytes[5]} ${metric}`)
    .sort();

const gateway = (last: number): Uint8Array =>
  Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);

beforeEach(async () => {
  kernel = new FakeKernel();
  kernel.addLink('lo');
  const eth0 = kernel.addLink('eth0');
  foreign = kernel.rtnl(7);
  seq = 0;
  await start();
  fib.defineSet(1, [{ gateway: gateway(1), ifindex: eth0, weight: 1 }]);
  fib.defineSet(2, [{ gateway: gateway(2), ifindex: eth0, weight: 1 }]);
});

afterEach(() => fib.close());

for (const family of [IPV4, IPV6])
  test(`a metric changes both ways without a moment without a route, family ${family}`, async () => {
    fib.sweep();
    apply(family, [1, 2], 1, 20);
    apply(family, [3], 1, 0);
    await fib.settled();
    expect(routes()).toEqual(['1 20', '2 20', '3 20']);
    const least: number[] = [];
    kernel.refuse = () => {
      least.push(new Set(routes().map((one) => one.split(' ')[0])).size);
      return undefined;
    };
    apply(family, [1, 2], 1, 200);
    await fib.settled();
    expect(routes()).toEqual(['1 200', '2 200', '3 20']);
    apply(family, [1, 2], 2, 0);
    await fib.settled();
    expect(routes()).toEqual(['1 20', '2 20', '3 20']);
    // Each change was two messages a route, and all three prefixes had a route whenever one came.
    expect(least).toHaveLength(8);
    expect(Math.min(...least)).toBe(3);
    expect(failed).toEqual([[], [], [], []]);
    apply(family, [1, 2, 3], -1, 0);
    await fib.settled();
    expect(routes()).toEqual([]);
    expect(kernel.refused).toBe(0);
  });

test('changes of mind while messages are under way end in one route', async () => {
  for (const metric of [20, 200, 20, 30, 200, 20, 200]) apply(IPV4, [1], 1, metric);
  await fib.settled();
  expect(routes()).toEqual(['1 200']);
  apply(IPV4, [1], 1, 30);
  await new Promise((resolve) => setImmediate(resolve));
  apply(IPV4, [1], 2, 200);
  await fib.settled();
  expect(routes()).toEqual(['1 200']);
  apply(IPV4, [1], 1, 30);
  apply(IPV4, [1], -1, 0);
  await fib.settled();
  expect(routes()).toEqual([]);
});

test('a restart takes over routes with any metric, and moves those that want another one', async () => {
  apply(IPV4, [1], 1, 20);
  apply(IPV4, [2, 3, 4], 1, 200);
  await fib.settled();
  await fib.close();
  kernel.taken.clear();
  await start();
  fib.defineSet(5, [{ gateway: gateway(1), ifindex: 2, weight: 1 }]);
  expect(fib.counts().ipv4).toMatchObject({ found: 4 });
  apply(IPV4, [1], 5, 20);
  apply(IPV4, [2], 5, 200);
  await fib.settled();
  expect([...kernel.taken]).toEqual([]);
  apply(IPV4, [3], 5, 20);
  await fib.settled();
  expect(routes()).toEqual(['1 20', '2 200', '3 20', '3 200', '4 200']);
  expect(kernel.taken.get(RTM_NEWNEXTHOP)).toBe(undefined);
  fib.sweep();
  await fib.settled();
  expect(routes()).toEqual(['1 20', '2 200', '3 20']);
});

test('two routes that a run left between two messages become the one that is wanted', async () => {
  apply(IPV4, [1, 2, 3], 1, 20);
  await fib.settled();
  const { nhid } = [...kernel.routes.values()][0]!;
  await fib.close();
  for (const n of [1, 2, 3]) hand(RTM_NEWROUTE, n, RTPROT_LEAFD, 200, nhid);
  await start();
  fib.defineSet(1, [{ gateway: gateway(1), ifindex: 2, weight: 1 }]);
  apply(IPV4, [1], 1, 200);
  apply(IPV4, [2], 1, 20);
  await fib.settled();
  expect(failed).toEqual([[], []]);
  fib.sweep();
  await fib.settled();
  expect(routes()).toEqual(['1 200', '2 20']);
});

test('a foreign route with the metric wanted is a conflict, and the former route goes', async () => {
  apply(IPV4, [1], 1, 20);
  await fib.settled();
  hand(RTM_NEWROUTE, 1, 4, 200);
  apply(IPV4, [1], 1, 200);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(failed).toEqual([[], [0]]);
  expect(routes()).toEqual([]);
  expect(routes(4)).toEqual(['1 200']);
  expect(fib.routes({ different: true }).routes).toMatchObject([{ state: 'conflict', metric: 200 }]);
  hand(RTM_DELROUTE, 1, 4, 200);
  await new Promise((resolve) => setTimeout(resolve, 30));
  await fib.settled();
  expect(routes()).toEqual(['1 200']);
});

test('a foreign hand on one of two metrics, lost answers: a comparison finds out', async () => {
  fib.sweep();
  apply(IPV4, [1, 2], 1, 20);
  await fib.settled();
  kernel.loseAnswers = true;
  apply(IPV4, [1, 2], 1, 200);
  await fib.settled();
  await fib.compare();
  await fib.settled();
  expect(routes()).toEqual(['1 200', '2 200']);
  const { nhid } = [...kernel.routes.values()][0]!;
  hand(RTM_NEWROUTE, 1, RTPROT_LEAFD, 30, nhid);
  hand(RTM_DELROUTE, 2, RTPROT_LEAFD, 200);
  await new Promise((resolve) => setTimeout(resolve, 60));
  await fib.compare();
  await fib.settled();
  expect(routes()).toEqual(['1 200', '2 200']);
});
