// Prefixes, ASNs and communities: what is read, what is refused, and that text and bytes agree.
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { expect, test } from 'vitest';
import { formatAsn, parseAsn } from './asn.ts';
import {
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  parseCommunity,
  parseExtendedCommunity,
  parseLargeCommunity,
} from './community.ts';
import {
  mask4,
  parsePrefix,
  prefixContains,
  prefixContainsIp,
  prefixOf,
  prefixText,
  samePrefix,
} from './prefix.ts';

const address = fc
  .constantFrom(4, 16)
  .chain((length) => fc.uint8Array({ minLength: length, maxLength: length }));
const prefix = address.chain((bytes) => fc.nat(bytes.length * 8).map((length) => prefixOf(bytes, length)));

test('a prefix is masked as ipaddr.js masks it', () => {
  fc.assert(
    fc.property(address, fc.nat(128), (bytes, bits) => {
      const length = bits % (bytes.length * 8 + 1);
      const text = `${ipaddr.fromByteArray([...bytes]).toString()}/${length}`;
      const kind = bytes.length === 4 ? ipaddr.IPv4 : ipaddr.IPv6;
      expect([...parsePrefix(text)!.bytes]).toEqual(kind.networkAddressFromCIDR(text).toByteArray());
    }),
  );
});

test('prefix text reads back; containment is what ipaddr.js says', () => {
  fc.assert(
    fc.property(prefix, prefix, (a, b) => {
      expect(parsePrefix(prefixText(a), { strict: true })).toEqual(a);
      if (a.bytes.length !== b.bytes.length) {
        expect(prefixContains(a, b)).toBe(false);
        return;
      }
      const outer = ipaddr.fromByteArray([...a.bytes]) as ipaddr.IPv4;
      const inner = ipaddr.fromByteArray([...b.bytes]) as ipaddr.IPv4;
      expect(prefixContainsIp(a, b.bytes)).toBe(inner.match(outer, a.length));
      expect(prefixContains(a, b)).toBe(a.length <= b.length && inner.match(outer, a.length));
      expect(prefixContains(a, prefixOf(b.bytes, 8 * b.bytes.length))).toBe(prefixContainsIp(a, b.bytes));
    }),
  );
});

test('prefix text that is refused', () => {
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/08',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10/8',
    '/8',
  ]) {
    expect(parsePrefix(text), text).toBeUndefined();
  }
  expect(prefixText(parsePrefix('10.1.2.3/8')!)).toBe('10.0.0.0/8');
  expect(parsePrefix('10.1.2.3/8', { strict: true })).toBeUndefined();
  expect(samePrefix(parsePrefix('10.9.9.9/8')!, parsePrefix('10.0.0.0/8')!)).toBe(true);
  expect([mask4(0), mask4(1), mask4(24), mask4(32)]).toEqual([0, 0x80000000, 0xffffff00, 0xffffffff]);
});

test('ASNs in asplain and asdot', () => {
  expect(parseAsn('65001')).toBe(65001);
  expect(parseAsn('AS65001')).toBe(65001);
  expect(parseAsn('1.10')).toBe(65546);
  expect(parseAsn('4294967295')).toBe(4294967295);
  expect(formatAsn(4294967295)).toBe('4294967295');
  for (const text of ['', '-1', '4294967296', '65536.1', '1.65536', '1.2.3', '1e3', 'AS']) {
    expect(parseAsn(text), text).toBeUndefined();
  }
});

test('communities read back as they are written', () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), (value) => {
      expect(parseCommunity(formatCommunity(value))).toBe(value);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 12 }), (bytes) => {
      expect(parseLargeCommunity(formatLargeCommunity(bytes))).toEqual(bytes);
    }),
  );
  const extended = fc.oneof(
    fc.uint8Array({ minLength: 8, maxLength: 8 }),
    fc
      .tuple(fc.nat(2), fc.constantFrom(2, 3), fc.uint8Array({ minLength: 6, maxLength: 6 }))
      .map(([type, subtype, rest]) => new Uint8Array([type, subtype, ...rest])),
  );
  fc.assert(
    fc.property(extended, (bytes) => {
      expect(parseExtendedCommunity(formatExtendedCommunity(bytes))).toEqual(bytes);
    }),
  );
});

test('community text', () => {
  expect(formatCommunity(0xffffff01)).toBe('no-export');
  expect(parseCommunity('NO-EXPORT')).toBe(0xffffff01);
  expect(parseCommunity('65535:666')).toBe(0xffff029a);
  expect(formatExtendedCommunity(parseExtendedCommunity('rt:65000:100000')!)).toBe('rt:65000:100000');
  expect([...parseExtendedCommunity('rt:10.0.0.1:7')!]).toEqual([1, 2, 10, 0, 0, 1, 0, 7]);
  expect([...parseExtendedCommunity('soo:4200000000:7')!]).toEqual([2, 3, 0xfa, 0x56, 0xea, 0, 0, 7]);
  // A small ASN in the 4-octet form does not read back as the 2-octet form.
  expect(formatExtendedCommunity(new Uint8Array([2, 2, 0, 0, 0, 1, 0, 1]))).toBe('rt:1L:1');
  for (const text of ['65536:1', '1:65536', '1', '1:2:3', 'a:b', '1:-1', '']) {
    expect(parseCommunity(text), text).toBeUndefined();
  }
  for (const text of ['1:2', '4294967296:1:1', '1:2:3:4'])
    expect(parseLargeCommunity(text), text).toBeUndefined();
  for (const text of ['rt:1', 'rt:10.0.0.1:65536', 'rt:70000:65536', 'xx:1:1', 'ext:0x00', 'rt:a:1']) {
    expect(parseExtendedCommunity(text), text).toBeUndefined();
  }
});
