// Which way a next hop goes: over links, the machine's routes and our own; never in circles.

import { expect, test } from 'vitest';
import { verifyRib } from '../rib/verify.ts';
import type { AttributesInput } from '../wire/bgp/attribute/describe.ts';
import { IPV4 } from '../wire/bgp/family.ts';
import {
  type Far,
  ip,
  neighbour,
  prefixNlri,
  type RouteRig,
  routeRig,
  update,
} from './route-rig.test-data.ts';

const within: AttributesInput = { origin: 'igp', asPath: '', localPref: 100 };

/** Internal peers 192.0.2.2 and on, on one link. */
function rigOf(count = 2): RouteRig & { far: Far[] } {
  const addresses = Array.from({ length: count }, (_, i) => `192.0.2.${i + 2}`);
  const rig = routeRig(addresses.map((address) => neighbour(address, { remoteAs: { kind: 'internal' } })));
  return { ...rig, far: addresses.map((address) => rig.up(address, 65001)) };
}

function announce(far: Far, prefix: string, nextHop: string, attributes: AttributesInput = within): void {
  far.say(update(IPV4, [prefixNlri(prefix)], { attributes, nextHop }));
}

function withdraw(far: Far, prefix: string): void {
  far.say(update(IPV4, [prefixNlri(prefix)]));
}

const machine = (prefix: string, ifindex: number, metric: number, gateway?: string) => {
  const [bytes, length] = prefix.split('/') as [string, string];
  const route = {
    bytes: ip(bytes),
    length: Number(length),
    source: 'kernel',
    metric,
    ifindex,
    protocol: 89,
  } as const;
  return gateway === undefined ? route : { ...route, gateway: ip(gateway) };
};

test('an internal next hop is reached over a route that another session brought, and follows it', () => {
  const { far, kernel } = rigOf();
  announce(far[0]!, '198.51.100.0/24', '10.9.0.1');
  expect(kernel.size).toBe(0);
  announce(far[1]!, '10.9.0.0/16', '192.0.2.3');
  expect(kernel.get('198.51.100.0/24')).toEqual(['192.0.2.3%2']);
  // A more specific way comes and goes.
  announce(far[0]!, '10.9.0.0/24', '192.0.2.2');
  expect(kernel.get('198.51.100.0/24')).toEqual(['192.0.2.2%2']);
  withdraw(far[0]!, '10.9.0.0/24');
  expect(kernel.get('198.51.100.0/24')).toEqual(['192.0.2.3%2']);
  withdraw(far[1]!, '10.9.0.0/16');
  expect(kernel.size).toBe(0);
});

test('ways fork: a next hop over a multipath route of ours, or over one of the machine, has all of them', () => {
  const { far, kernel, router, run } = rigOf();
  announce(far[0]!, '10.9.0.0/16', '192.0.2.2');
  announce(far[1]!, '10.9.0.0/16', '192.0.2.3');
  announce(far[0]!, '198.51.100.0/24', '10.9.0.1');
  expect(kernel.get('198.51.100.0/24')).toEqual(['192.0.2.2%2', '192.0.2.3%2']);
  router.kernelRouteAdded({
    ...machine('10.9.0.1/32', 2, 20, '192.0.2.66'),
    others: [{ ifindex: 2, gateway: ip('192.0.2.77') }],
  });
  run();
  expect(kernel.get('198.51.100.0/24')).toEqual(['192.0.2.66%2', '192.0.2.77%2']);
});

test('the metric of the way decides between next hops; a default route is no way', () => {
  const { far, kernel, router, run } = rigOf();
  router.kernelRouteAdded(machine('0.0.0.0/0', 2, 0, '192.0.2.254'));
  announce(far[0]!, '198.51.100.0/24', '10.1.0.1');
  announce(far[1]!, '198.51.100.0/24', '10.2.0.1');
  expect(kernel.size).toBe(0);
  router.kernelRouteAdded(machine('10.1.0.0/16', 2, 30, '192.0.2.66'));
  router.kernelRouteAdded(machine('10.2.0.0/16', 2, 20, '192.0.2.77'));
  run();
  expect(kernel.get('198.51.100.0/24')).toEqual(['192.0.2.77%2']);
  router.kernelRouteRemoved(machine('10.2.0.0/16', 2, 20));
  run();
  expect(kernel.get('198.51.100.0/24')).toEqual(['192.0.2.66%2']);
});

test('a route does not carry its own next hop; a shorter one may', () => {
  const { far, kernel } = rigOf();
  announce(far[0]!, '10.9.0.0/16', '10.9.0.1');
  expect(kernel.size).toBe(0);
  announce(far[1]!, '10.0.0.0/8', '192.0.2.3');
  expect(kernel.get('10.9.0.0/16')).toEqual(['192.0.2.3%2']);
});

test('two routes that need each other lead nowhere, and the router comes to rest', () => {
  const { far, kernel, run, router } = rigOf(3);
  announce(far[0]!, '10.1.0.0/16', '10.2.0.1');
  announce(far[1]!, '10.2.0.0/16', '10.1.0.1');
  expect(kernel.size).toBe(0);
  // With ground under one of them for a moment, each would be the ground of the other for ever.
  announce(far[2]!, '10.1.0.0/16', '192.0.2.4', { ...within, localPref: 50 });
  run(20_000);
  expect(router.work()).toBe(false);
  withdraw(far[2]!, '10.1.0.0/16');
  run(20_000);
  expect(kernel.size).toBe(0);
});

test('a way that comes and goes too often is given up for a while, also where its last change was its end', () => {
  const { far, kernel, router, run } = rigOf();
  announce(far[0]!, '198.51.100.0/24', '10.9.0.1');
  for (let i = 0; i < 6; i++) {
    announce(far[1]!, '10.9.0.0/16', '192.0.2.3');
    withdraw(far[1]!, '10.9.0.0/16');
  }
  expect(kernel.has('198.51.100.0/24')).toBe(false);
  announce(far[1]!, '10.9.0.0/16', '192.0.2.3');
  expect(kernel.has('198.51.100.0/24')).toBe(false);
  run(5000);
  expect(kernel.get('198.51.100.0/24')).toEqual(['192.0.2.3%2']);
  expect(router.ribs.flatMap((rib) => verifyRib(rib))).toEqual([]);
});

test('what is discarded here is no way to anywhere', () => {
  const { far, kernel, router, run } = rigOf();
  announce(far[1]!, '10.0.0.0/8', '192.0.2.3');
  announce(far[0]!, '198.51.100.0/24', '10.9.0.1');
  expect(kernel.get('198.51.100.0/24')).toEqual(['192.0.2.3%2']);
  const { bytes } = { bytes: ip('10.9.0.0') };
  router.configure({
    ...router.config,
    statics: [{ prefix: { bytes, length: 16 }, to: { kind: 'blackhole' } }],
  });
  run();
  expect(kernel.has('198.51.100.0/24')).toBe(false);
});

test('next hops whose ways fork are worked through in more slices than as many that do not', () => {
  const { far, router } = rigOf(9);
  for (let i = 0; i < 250; i++) announce(far[0]!, `198.51.${i}.0/24`, `10.9.1.${i + 1}`);
  announce(far[0]!, '10.9.0.0/16', '192.0.2.2');
  const slices = (): number => {
    let count = 1;
    router.nextHops.refresh();
    while (router.nextHops.follow()) count++;
    while (router.work());
    return count;
  };
  const plain = slices();
  for (let i = 0; i < far.length; i++) announce(far[0]!, `10.8.${i}.0/24`, '192.0.2.2');
  for (const [i, one] of far.entries()) announce(one, '10.9.0.0/16', `10.8.${i}.1`);
  // Nine ways each, over one more route of ours. With more changes at once they would be held as restless.
  expect(slices()).toBeGreaterThan(plain * 4);
});
