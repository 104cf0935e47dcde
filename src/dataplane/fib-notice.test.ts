// What others who read our routes are told beside the kernel's own events, over the fake kernel, which is as silent
// about IPv4 routes that go with their link as the real one; and ids of nexthop objects that FRR's zebra understands.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeKernel } from '../netlink/fake-kernel.ts';
import { RTM_DELROUTE, RTM_NEWROUTE, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE } from '../netlink/message.ts';
import { newRouteRecord, readRoute } from '../netlink/route.ts';
import { Fib, IPV4 } from './fib.ts';

let kernel: FakeKernel;
let fib: Fib;
let tap: number;
/** What a listener has been told of routes: `+` and `-`, with the metric and whether packets are dropped. */
let told: string[];
let seq = 0;

const words = Uint32Array.of(0xc0000205);

async function start(readByOthers: boolean): Promise<void> {
  fib = await Fib.start({
    rtnl: kernel.rtnl(),
    writer: kernel.writer(100),
    onAcked: () => {},
    readByOthers,
  });
  fib.defineSet(1, [{ ifindex: tap, weight: 1 }]);
  told = [];
}

async function route(setId: number, metric: number): Promise<void> {
  const batch = { seq: ++seq, family: IPV4, count: 1, words, lengths: Uint8Array.of(32) };
  fib.apply({ ...batch, setIds: Int32Array.of(setId), metrics: Uint32Array.of(metric) });
  await fib.settled();
}

beforeEach(() => {
  kernel = new FakeKernel();
  kernel.addLink('lo');
  tap = kernel.addLink('tap1');
  const record = newRouteRecord();
  kernel.rtnl(7).listen({
    groups: [RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE],
    onMessage: (type, _, bytes, from, to) => {
      if (type !== RTM_NEWROUTE && type !== RTM_DELROUTE) return;
      if (readRoute(record, bytes, from, to))
        told.push(
          `${type === RTM_NEWROUTE ? '+' : '-'}${record.metric}${record.type === 6 ? ' dropped' : ''}`,
        );
    },
    onOverrun: () => {},
  });
});

afterEach(async () => {
  vi.useRealTimers();
  await fib.close();
});

test('a route that goes with its link is told, and nothing of it is left', async () => {
  await start(true);
  await route(1, 1024);
  await expect.poll(() => told).toEqual(['+1024']);
  kernel.setCarrier(tap, false);
  await expect.poll(() => told).toEqual(['+1024', '+1024 dropped', '-1024 dropped']);
  expect(kernel.routes.size).toBe(0);
});

test('so is one whose link is deleted', async () => {
  await start(true);
  await route(1, 1024);
  kernel.removeLink(tap);
  await expect.poll(() => told.length).toBe(3);
  expect(kernel.routes.size).toBe(0);
});

test('one with another metric is told again, once the old one is gone', async () => {
  await start(true);
  await route(1, 512);
  await route(1, 1024);
  await expect.poll(() => told.slice(0, 3)).toEqual(['+512', '+1024', '-512']);
  await expect.poll(() => told.slice(3)).toEqual(['+4294967295 dropped', '-4294967295 dropped']);
  expect([...kernel.routes.values()].map(({ metric }) => metric)).toEqual([1024]);
});

test('nothing of this where nobody reads', async () => {
  await start(false);
  await route(1, 512);
  await route(1, 1024);
  kernel.setCarrier(tap, false);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(told).toEqual(['+512', '+1024', '-512']);
});

test('ids are below 250000000, without the bits 28 and 29, and none of a former life; links stay', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  await start(true);
  await route(1, 1024);
  const [first] = kernel.nexthops.keys();
  expect(first).toBeLessThan(250_000_000);
  expect(first! >>> 28).toBe(0);
  await route(-1, 0);
  expect([...kernel.nexthops.keys()]).toEqual([first]);
  kernel.setCarrier(tap, false);
  await expect.poll(() => kernel.nexthops.size).toBe(0);
  await fib.close();
  kernel.setCarrier(tap, true);
  // A life begins in another second.
  vi.setSystemTime(Date.now() + 1000);
  await start(true);
  await route(1, 1024);
  expect([...kernel.nexthops.keys()][0]).toBeLessThan(first!);
});
