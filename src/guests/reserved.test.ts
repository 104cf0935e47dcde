// Whose an address is that no guest may have.

import { expect, test } from 'vitest';
import { formatIp, parseIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import { type Reservations, whoseAddress } from './reserved.ts';

const reservations: Reservations = {
  gateways: [parseIp('169.254.0.1')!, parseIp('fe80::1')!],
  loopbacks: [parsePrefix('10.0.0.11/32')!, parsePrefix('2001:db8::11/128')!],
  reserved: [parsePrefix('192.0.2.0/28')!],
  ownLink: (address) => (formatIp(address) === '198.51.100.1' ? 'eth0' : undefined),
  neighbour: (address) => (formatIp(address) === '198.51.100.2' ? 'tor1' : undefined),
};

test.each([
  ['169.254.0.1', 'the gateway'],
  ['fe80::1', 'the gateway'],
  ['169.254.0.2', 'link-local'],
  ['224.0.0.5', 'multicast'],
  ['::ffff:192.0.2.77', 'IPv4-mapped'],
  ['10.0.0.11', 'a loopback of this machine'],
  ['2001:db8::11', 'a loopback of this machine'],
  ['198.51.100.1', 'of this machine, on eth0'],
  ['198.51.100.2', 'the neighbour tor1'],
  ['192.0.2.15', 'reserved by leafd.yaml'],
  ['192.0.2.16', undefined],
  ['2001:db8::12', undefined],
])('%s: %s', (text, whose) => {
  expect(whoseAddress(parseIp(text)!, reservations)).toBe(whose);
});
