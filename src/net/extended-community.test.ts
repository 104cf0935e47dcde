// Texts of extended communities, route distinguishers, MAC addresses and segment identifiers; bytes by hand.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatExtendedCommunity,
  formatIp6ExtendedCommunity,
  parseExtendedCommunity,
  parseIp6ExtendedCommunity,
} from './extended-community.ts';
import { hexText, parseHex } from './hex.ts';
import { parseVni, readLabel, readVni } from './label.ts';
import { formatEsi, formatMac, parseEsi, parseMac } from './mac.ts';
import { formatRouteDistinguisher, parseRouteDistinguisher } from './route-distinguisher.ts';

describe('extended communities', () => {
  test.each([
    ['0002fde800000064', 'rt:65000:100'],
    ['01020a0000010064', 'rt:10.0.0.1:100'],
    ['0202fa56ea000064', 'rt:4200000000:100'],
    ['02020000fde80064', 'rt:65000L:100'],
    ['0003fde800000007', 'soo:65000:7'],
    ['0005fde800000001', 'ospf-domain-id:65000:1'],
    ['01070a0000010000', 'ospf-router-id:10.0.0.1:0'],
    ['0306000000000500', 'ospf-route-type:0.0.0.0:5:0'],
    ['4004fde84b18967f', 'link-bandwidth:65000:9999999'],
    ['4004fde849742400', 'link-bandwidth:65000:1000000'],
    ['0004fde849742400', 'link-bandwidth-transitive:65000:1000000'],
    ['030b000000000064', 'color:100'],
    ['030b400000000064', 'color:16384:100'],
    ['030c000000000008', 'encapsulation:vxlan'],
    ['030c000000000063', 'encapsulation:99'],
    ['030d000000000000', 'default-gateway'],
    ['0600000000000005', 'mac-mobility:5'],
    ['0600010000000005', 'mac-mobility:sticky:5'],
    ['0601010000000064', 'esi-label:single-active:100'],
    ['0601000000000064', 'esi-label:all-active:100'],
    ['0602aabbccddeeff', 'es-import:aa:bb:cc:dd:ee:ff'],
    ['0603aabbccddeeff', 'router-mac:aa:bb:cc:dd:ee:ff'],
    ['8006fde800000000', 'traffic-rate:65000:0'],
    ['800cfde849742400', 'traffic-rate-packets:65000:1000000'],
    ['8007000000000003', 'traffic-action:sample-terminal'],
    ['8008fde800000064', 'redirect:65000:100'],
    ['81080a0000010064', 'redirect:10.0.0.1:100'],
    ['800900000000002e', 'traffic-marking:46'],
    ['4300000000000002', 'origin-validation:invalid'],
    // Bits that the words do not show, and kinds that have none.
    ['0600020000000005', 'ext:0x0600020000000005'],
    ['030c000100000008', 'ext:0x030c000100000008'],
    ['4004fde87f800000', 'ext:0x4004fde87f800000'],
    ['4002fde800000064', 'ext:0x4002fde800000064'],
    ['8009000000000040', 'ext:0x8009000000000040'],
    ['ff02fde800000064', 'ext:0xff02fde800000064'],
  ])('%s is %s', (hex, text) => {
    const bytes = parseHex(hex)!;
    expect(formatExtendedCommunity(bytes)).toBe(text);
    expect(hexText(parseExtendedCommunity(text)!)).toBe(hex);
  });

  test.each([
    'rt:1',
    'color:',
    'color:1:2:3',
    'color:4294967296',
    'encapsulation:65536',
    'encapsulation:unknown',
    'default-gateway:1',
    'mac-mobility:static:5',
    'esi-label:100',
    'es-import:aa:bb:cc:dd:ee',
    'router-mac:aa-bb-cc-dd-ee-ff',
    'link-bandwidth:65536:1',
    'link-bandwidth:1:1e99',
    'traffic-marking:64',
    'traffic-action:',
    'origin-validation:maybe',
    'rt:1LL:1',
  ])('%s is none', (text) => {
    expect(parseExtendedCommunity(text)).toBeUndefined();
  });

  test('any eight bytes survive their text', () => {
    const type = fc.constantFrom(0, 1, 2, 3, 6, 0x40, 0x43, 0x80, 0x81, 0x82, 0xc0, 7);
    const bytes = fc
      .tuple(type, fc.nat(16), fc.uint8Array({ minLength: 6, maxLength: 6 }))
      .map(([first, second, rest]) => new Uint8Array([first, second, ...rest]));
    const sparse = fc.tuple(type, fc.nat(16), fc.nat(5), fc.nat(255)).map(([first, second, at, value]) => {
      const community = new Uint8Array([first, second, 0, 0, 0, 0, 0, 0]);
      community[2 + at] = value;
      return community;
    });
    fc.assert(
      fc.property(fc.oneof(bytes, sparse), (community) => {
        expect(parseExtendedCommunity(formatExtendedCommunity(community))).toEqual(community);
      }),
      { numRuns: 2000 },
    );
  });

  test('IPv6 ones', () => {
    const bytes = parseHex('000220010db80000000000000000000000010064')!;
    expect(formatIp6ExtendedCommunity(bytes)).toBe('rt:[2001:db8::1]:100');
    expect(parseIp6ExtendedCommunity('rt:[2001:db8::1]:100')).toEqual(bytes);
    bytes[0] = 0x40;
    expect(parseIp6ExtendedCommunity(formatIp6ExtendedCommunity(bytes))).toEqual(bytes);
    expect(parseIp6ExtendedCommunity('rt:2001:db8::1:100')).toBeUndefined();
    expect(parseIp6ExtendedCommunity('rt:[2001:db8::1]:65536')).toBeUndefined();
  });
});

test('route distinguishers', () => {
  for (const [hex, text] of [
    ['0000fde800000001', '65000:1'],
    ['00010a0000010001', '10.0.0.1:1'],
    ['0002fa56ea000001', '4200000000:1'],
    ['000200000001ffff', '1L:65535'],
    ['0003000000000001', '0x0003000000000001'],
  ] as const) {
    expect(formatRouteDistinguisher(parseHex(hex)!)).toBe(text);
    expect(hexText(parseRouteDistinguisher(text)!)).toBe(hex);
  }
  for (const text of ['65000', '1:2:3', '10.0.0.1:65536', '65536:65536', '4294967296:1', '0x00', 'L:1']) {
    expect(parseRouteDistinguisher(text), text).toBeUndefined();
  }
});

test('MAC addresses, segment identifiers, labels', () => {
  expect(formatMac(parseMac('AA:bb:cc:dd:ee:0f')!)).toBe('aa:bb:cc:dd:ee:0f');
  const esi = '03:aa:bb:cc:dd:ee:ff:00:00:01';
  expect(formatEsi(parseEsi(esi)!)).toBe(esi);
  for (const text of ['', 'aa:bb:cc:dd:ee', 'aa:bb:cc:dd:ee:f', 'aabb.ccdd.eeff', 'aa:bb:cc:dd:ee:gg']) {
    expect(parseMac(text), text).toBeUndefined();
  }
  const bytes = new Uint8Array([0x00, 0x27, 0x11]);
  expect([readVni(bytes, 0), readLabel(bytes, 0)]).toEqual([10001, 625]);
  expect([parseVni('16777215'), parseVni('16777216'), parseVni('0'), parseVni('x')]).toEqual([
    16777215,
    undefined,
    undefined,
    undefined,
  ]);
});
