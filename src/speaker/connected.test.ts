import { expect, test } from 'vitest';
import { parseIp } from '../net/ip.ts';
import { prefixText } from '../net/prefix.ts';
import { ConnectedSubnets } from './connected.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const text = (prefix: Parameters<typeof prefixText>[0] | undefined): string | undefined =>
  prefix && prefixText(prefix);

test('a subnet is connected while any address of the link is in it', () => {
  const subnets = new ConnectedSubnets();
  expect(text(subnets.add(ip('2001:db8::1'), 64, 2))).toBe('2001:db8::/64');
  expect(subnets.add(ip('2001:db8::1'), 64, 2)).toBeUndefined();
  expect(subnets.add(ip('2001:db8::abcd'), 64, 2)).toBeUndefined();
  expect(subnets.remove(ip('2001:db8::abcd'), 64, 2)).toBeUndefined();
  expect(subnets.remove(ip('2001:db8::abcd'), 64, 2)).toBeUndefined();
  expect(text(subnets.remove(ip('2001:db8::1'), 64, 2))).toBe('2001:db8::/64');
});

test('links and lengths have subnets of their own', () => {
  const subnets = new ConnectedSubnets();
  expect(text(subnets.add(ip('192.0.2.1'), 24, 2))).toBe('192.0.2.0/24');
  expect(text(subnets.add(ip('192.0.2.1'), 24, 3))).toBe('192.0.2.0/24');
  expect(text(subnets.add(ip('192.0.2.1'), 25, 2))).toBe('192.0.2.0/25');
  expect(text(subnets.remove(ip('192.0.2.1'), 24, 3))).toBe('192.0.2.0/24');
  expect(subnets.remove(ip('192.0.2.1'), 24, 3)).toBeUndefined();
});
