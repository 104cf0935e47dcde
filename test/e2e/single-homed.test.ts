// A leaf with one uplink and 10 000 routes behind it: when the link has been down, the kernel has deleted next hops and
// routes, and all of them are back one second after the link is up.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import type { StatusView } from '../../src/api/views.ts';
import { fabricOf, runOrThrow, sleep, until } from '../support/fabric.ts';

const ROUTES = 10_000;
const networks = Array.from({ length: ROUTES }, (_, index) => `20.${index >> 8}.${index & 255}.0/24`);
const groups = {
  fabric: { remoteAs: 'external', timers: { hold: '9s', keepalive: '3s', connectRetry: '1s' } },
};
const peers = [{ interface: 'eth*', group: 'fabric' }];

const fabric = fabricOf(
  'single',
  stringify({
    nodes: {
      up: {
        config: {
          bgp: { asn: 65001, profile: 'fabric', loopbacks: ['10.255.0.1/32'], networks, groups, peers },
        },
      },
      leaf: {
        config: { bgp: { asn: 65101, profile: 'fabric', loopbacks: ['10.255.1.1/32'], groups, peers } },
      },
    },
    links: [['up:eth1', 'leaf:eth1']],
  }),
);

const routes = async (): Promise<number> =>
  (await fabric.out('leaf', 'ip', '-4', 'route', 'show', 'proto', '179')).split('\n').length - 1;

beforeAll(async () => {
  await fabric.up();
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it('has all routes in the kernel', async () => {
  await until(routes, (count) => count === ROUTES + 1, {
    timeoutMs: 10_000,
    what: 'the first 10 000 routes',
  });
});

it.each([1, 2, 3])('has them all again 1 s after the link is up (round %i)', async () => {
  const link = (state: 'up' | 'down') =>
    runOrThrow(['ip', '-n', fabric.netns('leaf'), 'link', 'set', 'eth1', state]);
  await link('down');
  await until(routes, (count) => count === 0, { timeoutMs: 1000, what: 'the loss of the routes' });
  await sleep(1000);
  const startedMs = performance.now();
  await link('up');
  const whole = (count: number) => count === ROUTES + 1;
  await until(routes, whole, { timeoutMs: 10_000, everyMs: 20, what: 'the routes' });
  const tookMs = performance.now() - startedMs;
  console.log(`${ROUTES} routes ${tookMs.toFixed(0)} ms after the link was set up`);
  expect(tookMs).toBeLessThan(1000);
});

it('holds no more than these', async () => {
  const { kernel } = await fabric.get<StatusView>('leaf', '/v1/status');
  expect(kernel).toEqual({ fib: true, installed: ROUTES + 1, pending: 0, failed: 0 });
});
