// What somebody announces must not lead past a neighbour on a connected subnet.

import { expect, test } from 'vitest';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { RouterConfig } from './config.ts';
import {
  type Far,
  ip,
  neighbour,
  prefixNlri,
  type RouteRig,
  routeRig,
  update,
} from './route-rig.test-data.ts';

const TOR = '198.51.100.2';
const HOST = '192.0.2.2';
const FABRIC = '203.0.113.0/24';
const uplink = { source: 'connected', metric: 0, ifindex: 3, protocol: 2 } as const;
const subnet = { ...uplink, bytes: ip('198.51.100.0'), length: 24 };

/** A ToR on link 3, a speaker on link 2. */
function between(settings: Partial<RouterConfig> = {}): { r: RouteRig; tor: Far; host: Far } {
  const r = routeRig([neighbour(TOR), neighbour(HOST)], { asn: 64514, ...settings });
  r.router.linkChanged({ ifindex: 3, name: 'eth1', up: true });
  r.router.localAddress(ip('198.51.100.1'), true, 3, 24);
  r.router.kernelRouteAdded(subnet);
  const tor = r.up(TOR, 64512);
  const host = r.up(HOST, 64515);
  say(tor, FABRIC, TOR, '64512');
  r.run();
  return { r, tor, host };
}

function say(far: Far, prefix: string, nextHop: string, asPath: string): void {
  const family = prefix.includes(':') ? IPV6 : IPV4;
  far.say(update(family, [prefixNlri(prefix)], { attributes: { origin: 'igp', asPath }, nextHop }));
}

const past = ['198.51.100.2/32', '198.51.100.2/31', '198.51.100.0/30', '198.51.100.0/25'];

test.each(past)('%s of a speaker takes neither the ToR nor what is behind it', (prefix) => {
  const { r, host } = between();
  const before = r.kernel.get(FABRIC);
  expect(before).toBeDefined();
  say(host, prefix, HOST, '64515');
  r.run();
  expect(r.kernel.has(prefix)).toBe(false);
  expect(r.kernel.get(FABRIC)).toEqual(before);
});

test.each(['198.51.100.3/32', '198.51.100.128/25', '198.51.0.0/16', '0.0.0.0/0'])(
  '%s is a route as any',
  (prefix) => {
    const { r, host } = between();
    say(host, prefix, HOST, '64515');
    r.run();
    expect(r.kernel.has(prefix)).toBe(true);
  },
);

test('without the subnet, or the neighbour, it is a route as any; with them again it goes', () => {
  const { r, host } = between();
  say(host, '198.51.100.2/31', HOST, '64515');
  r.run();
  r.router.kernelRouteRemoved(subnet);
  r.run();
  expect(r.kernel.has('198.51.100.2/31')).toBe(true);
  r.router.kernelRouteAdded(subnet);
  r.run();
  expect(r.kernel.has('198.51.100.2/31')).toBe(false);
  const { config } = r.router;
  r.router.configure({ ...config, peers: config.peers.slice(1) });
  r.run();
  expect(r.kernel.has('198.51.100.2/31')).toBe(true);
});

test('addresses that are announced out of a connected subnet are held', () => {
  const { r, tor } = between({ networks: [{ bytes: ip('192.0.2.7'), length: 32 }] });
  r.router.kernelRouteAdded({ ...uplink, ifindex: 2, bytes: ip('192.0.2.0'), length: 24 });
  say(tor, '192.0.2.6/31', TOR, '64512');
  say(tor, '192.0.2.8/32', TOR, '64512');
  r.run();
  expect(r.kernel.has('192.0.2.6/31')).toBe(false);
  expect(r.kernel.has('192.0.2.8/32')).toBe(true);
});

test('of IPv6 likewise', () => {
  const r = routeRig([neighbour('2001:db8:1::2'), neighbour(HOST)], { asn: 64514 });
  r.router.linkChanged({ ifindex: 3, name: 'eth1', up: true });
  r.router.kernelRouteAdded({ ...uplink, bytes: ip('2001:db8:1::'), length: 64 });
  const host = r.up(HOST, 64515);
  for (const length of [128, 127, 65])
    say(host, `2001:db8:1::${length === 65 ? '' : 2}/${length}`, '2001:db8:ffff::2', '64515');
  say(host, '2001:db8:1::3/128', '2001:db8:ffff::2', '64515');
  r.run();
  expect([...r.kernel.keys()].filter((prefix) => prefix.startsWith('2001:db8:1:'))).toEqual([
    '2001:db8:1::3/128',
  ]);
});

test('neighbours of one subnet share what holds them; each is held to the last bit', () => {
  const others = ['198.51.100.3', '198.51.100.200', '192.0.2.3'].map((address) => neighbour(address));
  const { r, host } = between({ peers: [neighbour(TOR), neighbour(HOST), ...others] });
  const shared = [
    '198.51.100.3/32',
    '198.51.100.200/32',
    '198.51.100.128/25',
    '198.51.100.2/31',
    '192.0.2.3/32',
  ];
  for (const prefix of [...shared, '198.51.100.4/30', '198.51.100.201/32']) say(host, prefix, HOST, '64515');
  r.run();
  expect(shared.filter((prefix) => r.kernel.has(prefix))).toEqual([]);
  expect(r.kernel.has('198.51.100.4/30') && r.kernel.has('198.51.100.201/32')).toBe(true);
});

test('where there are guests their addresses are within a connected subnet, and move', () => {
  const { r, host } = between({ guests: { freshPreference: 200 } });
  say(host, '198.51.100.2/32', HOST, '64515');
  r.run();
  expect(r.kernel.has('198.51.100.2/32')).toBe(true);
});
