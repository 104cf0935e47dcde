import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, test } from 'vitest';
import {
  formatIp,
  formatIp4,
  isIp4Mapped,
  isLinkLocal6,
  isLoopback6,
  isMulticast6,
  parseIp,
  parseIp4,
  sameIp,
} from './ip.ts';

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
// Addresses with runs of zeros, which is where text forms differ.
const sparse6 = fc
  .array(fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(0xffff) }), {
    minLength: 8,
    maxLength: 8,
  })
  .map((groups) => new Uint8Array(groups.flatMap((group) => [group >>> 8, group & 255])));

describe('against ipaddr.js', () => {
  test('IPv4 text', () => {
    fc.assert(
      fc.property(bytes(4), (address) => {
        const text = ipaddr.fromByteArray([...address]).toString();
        expect(formatIp(address)).toBe(text);
        expect(parseIp(text)).toEqual(address);
      }),
    );
  });

  test('IPv6 text, short and long', () => {
    fc.assert(
      fc.property(fc.oneof(bytes(16), sparse6), (address) => {
        const oracle = ipaddr.fromByteArray([...address]) as ipaddr.IPv6;
        if (!isIp4Mapped(address)) expect(formatIp(address)).toBe(oracle.toRFC5952String());
        expect(parseIp(formatIp(address))).toEqual(address);
        expect(parseIp(oracle.toNormalizedString().toUpperCase())).toEqual(address);
        const groups = oracle.parts.map((part) => part.toString(16).padStart(4, '0'));
        expect(parseIp(groups.join(':'))).toEqual(address);
      }),
    );
  });

  test('whatever text we read, ipaddr.js reads the same', () => {
    const character = fc.constantFrom(...'0123456789abcdefABCDEF::::....g%/ ');
    const text = fc.array(character, { maxLength: 24 }).map((list) => list.join(''));
    fc.assert(
      fc.property(text, (candidate) => {
        const ours = parseIp(candidate);
        if (ours === undefined) return;
        expect(ipaddr.parse(candidate).toByteArray()).toEqual([...ours]);
      }),
      { numRuns: 20_000 },
    );
  });

  test('valid IPv6 text of ipaddr.js is valid here', () => {
    const group = fc.nat(0xffff).map((n) => n.toString(16));
    const text = fc
      .tuple(fc.array(group, { maxLength: 8 }), fc.array(group, { maxLength: 8 }))
      .map(([a, b]) => `${a.join(':')}::${b.join(':')}`);
    fc.assert(
      fc.property(text, (candidate) => {
        const valid = ipaddr.IPv6.isValid(candidate);
        expect(parseIp(candidate) !== undefined).toBe(valid);
      }),
    );
  });
});

test.each([
  '',
  '1',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.256',
  '01.2.3.4',
  '1.2.3.04',
  '1..2.3',
  '.1.2.3',
  '1.2.3.',
  ' 1.2.3.4',
  '0x1.2.3.4',
  '1.2.3.4/8',
  ':',
  ':::',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '::1::2',
  '12345::',
  '1:',
  ':1',
  'fe80::1%eth0',
  '::1.2.3',
  '1:2:3:4:5:6:7:1.2.3.4',
  '1.2.3.4::',
])('%j is no address', (text) => {
  expect(parseIp(text)).toBeUndefined();
});

test.each([
  ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['::', '::'],
  ['1::', '1::'],
  ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
  ['0:0:0:0:0:FFFF:C000:0201', '::ffff:192.0.2.1'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
])('%s is written %s (RFC 5952)', (text, written) => {
  expect(formatIp(parseIp(text)!)).toBe(written);
});

test('IPv4 as a number is unsigned', () => {
  expect(parseIp4('255.255.255.255')).toBe(0xffffffff);
  expect(formatIp4(parseIp4('203.0.113.9')!)).toBe('203.0.113.9');
});

test('an address within a buffer is written without its neighbours', () => {
  const buffer = new Uint8Array(24).fill(0xff);
  buffer.set(parseIp('fe80::1')!, 4);
  expect(formatIp(buffer, 4, 16)).toBe('fe80::1');
  expect(isLinkLocal6(buffer, 4)).toBe(true);
});

test('kinds of addresses', () => {
  expect(isLinkLocal6(parseIp('febf::1')!)).toBe(true);
  expect(isLinkLocal6(parseIp('fec0::1')!)).toBe(false);
  expect(isMulticast6(parseIp('ff02::1')!)).toBe(true);
  expect(isLoopback6(parseIp('::1')!)).toBe(true);
  expect(isLoopback6(parseIp('1::1')!)).toBe(false);
});

test('the same address, however it is written', () => {
  expect(sameIp(parseIp('::1')!, parseIp('0::1')!)).toBe(true);
  expect(sameIp(parseIp('0.0.0.1')!, parseIp('::1')!)).toBe(false);
});
