import { expect, test } from 'vitest';
import { parseIp } from '../net/ip.ts';
import { OwnAddresses } from './own-addresses.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;

test('an address stays ours until the last link that has it loses it', () => {
  const own = new OwnAddresses();
  own.add(ip('192.0.2.1'), 2, 24);
  own.add(ip('192.0.2.1'), 3, 32);
  own.remove(ip('192.0.2.1'), 3, 32);
  expect(own.has(ip('192.0.2.1'), 0)).toBe(true);
  own.remove(ip('192.0.2.1'), 2, 24);
  expect(own.has(ip('192.0.2.1'), 0)).toBe(false);
});

test('a link-local address is ours on its link only', () => {
  const own = new OwnAddresses();
  own.add(ip('fe80::1'), 2, 64);
  expect(own.has(ip('fe80::1'), 2)).toBe(true);
  expect(own.has(ip('fe80::1'), 3)).toBe(false);
});

test('the address beside another is the global one of its link, else an IPv6 one from elsewhere', () => {
  const own = new OwnAddresses();
  own.add(ip('192.0.2.1'), 2, 24);
  own.add(ip('fe80::1'), 2, 64);
  own.add(ip('::1'), 1, 128);
  own.add(ip('127.0.0.1'), 1, 8);
  expect(own.beside(ip('192.0.2.1'), 0, 16)).toBeUndefined();
  own.add(ip('2001:db8::1'), 1, 128);
  expect(own.beside(ip('192.0.2.1'), 0, 16)).toEqual(ip('2001:db8::1'));
  own.add(ip('2001:db8:2::1'), 2, 64);
  expect(own.beside(ip('192.0.2.1'), 0, 16)).toEqual(ip('2001:db8:2::1'));
  expect(own.beside(ip('fe80::1'), 2, 4)).toEqual(ip('192.0.2.1'));
});
