// Which links are ports of guests, by the names that the operator and LXD give.

import { expect, test } from 'vitest';
import type { Link } from '../netlink/link.ts';
import { portOf } from './guest-ports.ts';

const link = (ifindex: number, name: string, more: Partial<Link> = {}): Link => ({
  ifindex,
  name,
  flags: 0,
  up: true,
  carrier: true,
  mtu: 1500,
  mac: new Uint8Array(6),
  kind: 'veth',
  alias: '',
  master: 0,
  lower: 0,
  group: 0,
  operState: 6,
  carrierChanges: 0,
  ...more,
});

const bridge = link(1, 'vmbr1', { kind: 'bridge' });
const other = link(2, 'br0', { kind: 'bridge' });
const links = new Map([bridge, other].map((one) => [one.ifindex, one]));
const where = { bridges: [{ name: 'vmbr1', create: true, isolate: true }], taps: ['tap*'] };
const judge = (one: Link, taken: string[] = []) => portOf(one, links, where, new Set(taken));

test('ports of guest bridges, with the gateway on the bridge', () => {
  expect(judge(link(5, 'vnet0', { master: 1 }))).toMatchObject({ gatewayIfindex: 1, bridge: 'vmbr1' });
  expect(judge(link(5, 'vnet0', { master: 2 }))).toBeUndefined();
  // By whatever name: what is in a bridge of others is theirs.
  expect(judge(link(5, 'tap0', { master: 2 }), ['tap0'])).toBeUndefined();
});

test('routed taps by their pattern, and links that LXD has made ready by their name', () => {
  expect(judge(link(5, 'tap0'))).toEqual({ ifindex: 5, name: 'tap0', gatewayIfindex: 5, carrier: true });
  expect(judge(link(5, 'veth7'))).toBeUndefined();
  expect(judge(link(5, 'veth7'), ['veth7'])).toMatchObject({ gatewayIfindex: 5, asItIs: true });
  expect(judge(bridge, ['vmbr1'])).toBeUndefined();
  expect(judge(other, ['br0'])).toBeUndefined();
});
