// Prefix sets and community sets against the plain reading of their definitions.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readU32 } from '../lib/bytes.ts';
import { parsePrefix, prefixContains, prefixOf } from '../net/prefix.ts';
import {
  type CommunityKind,
  CommunitySet,
  communityBytes,
  extendedKind,
  largeKind,
  parseCommunityPattern,
  standardKind,
} from './community-set.ts';
import { NamePatterns } from './name-pattern.ts';
import { PrefixSet, type PrefixSetEntry } from './prefix-set.ts';

function has(set: PrefixSet, text: string): boolean {
  const { bytes, length } = parsePrefix(text)!;
  if (bytes.length === 4) return set.matches1(readU32(bytes, 0), length);
  return set.matches4(readU32(bytes, 0), readU32(bytes, 4), readU32(bytes, 8), readU32(bytes, 12), length);
}

describe('prefix sets', () => {
  const entry = (text: string, from: number, to: number): PrefixSetEntry => ({
    prefix: parsePrefix(text)!,
    from,
    to,
  });
  const set = new PrefixSet([
    entry('10.0.0.0/8', 8, 24),
    entry('10.1.0.0/16', 32, 32),
    entry('192.0.2.0/24', 24, 24),
    entry('0.0.0.0/0', 0, 0),
    entry('2001:db8::/32', 33, 48),
    entry('2001:db8:0:0:8000::/65', 65, 65),
  ]);
  test.each([
    ['10.0.0.0/8', true],
    ['10.255.255.0/24', true],
    ['10.2.3.0/25', false],
    ['10.1.2.3/32', true],
    ['10.2.2.3/32', false],
    ['11.0.0.0/8', false],
    ['192.0.2.0/24', true],
    ['192.0.2.0/25', false],
    ['192.0.0.0/16', false],
    ['0.0.0.0/0', true],
    ['0.0.0.0/1', false],
    ['2001:db8::/32', false],
    ['2001:db8:1::/48', true],
    ['2001:db9::/48', false],
    ['2001:db8:0:0:8000::/65', true],
    ['2001:db8::/65', false],
    ['::/0', false],
  ])('%s: %s', (text, expected) => {
    expect(has(set, text)).toBe(expected);
  });

  test('an empty set has nothing', () => {
    expect(has(new PrefixSet([]), '0.0.0.0/0')).toBe(false);
    expect(has(new PrefixSet([]), '::/0')).toBe(false);
  });

  // Few distinct bits, so that prefixes do nest and meet.
  const address = (width: 4 | 16) =>
    fc
      .array(fc.constantFrom(0, 1, 0x80, 0xff), { minLength: width, maxLength: width })
      .map((b) => Uint8Array.from(b));
  const prefix = (width: 4 | 16) =>
    fc.tuple(address(width), fc.nat({ max: width * 8 })).map(([bytes, length]) => prefixOf(bytes, length));
  const anyEntry = (width: 4 | 16) =>
    fc.tuple(prefix(width), fc.nat({ max: width * 8 }), fc.nat({ max: width * 8 })).map(([p, x, y]) => {
      const low = Math.max(p.length, Math.min(x, y));
      return { prefix: p, from: low, to: Math.max(low, x, y) };
    });

  test.each([4, 16] as const)('agrees with a search through all entries, %i bytes', (width) => {
    fc.assert(
      fc.property(
        fc.array(anyEntry(width), { maxLength: 30 }),
        fc.array(prefix(width)),
        (entries, routes) => {
          const compiled = new PrefixSet(entries);
          for (const route of [...routes, ...entries.map((e) => ({ ...e.prefix, length: e.to }))]) {
            const expected = entries.some(
              (e) => prefixContains(e.prefix, route) && route.length >= e.from && route.length <= e.to,
            );
            const b = route.bytes;
            const actual =
              width === 4
                ? compiled.matches1(readU32(b, 0), route.length)
                : compiled.matches4(
                    readU32(b, 0),
                    readU32(b, 4),
                    readU32(b, 8),
                    readU32(b, 12),
                    route.length,
                  );
            expect(actual).toBe(expected);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('community sets', () => {
  const setOf = (kind: CommunityKind, ...texts: string[]) =>
    new CommunitySet(
      kind,
      texts.flatMap((text) => parseCommunityPattern(kind, text)!),
    );
  const holds = (kind: CommunityKind, pattern: string, text: string) =>
    setOf(kind, pattern).has(communityBytes(kind, text)!, 0);

  test.each([
    [standardKind, '65000:1', '65000:1', true],
    [standardKind, '65000:1', '65000:2', false],
    [standardKind, '65000:*', '65000:2', true],
    [standardKind, '65000:*', '65001:2', false],
    [standardKind, '*:666', '1:666', true],
    [standardKind, '*:666', '1:667', false],
    [standardKind, '*:*', '1:667', true],
    [standardKind, 'no-export', '65535:65281', true],
    [standardKind, 'no-advertise', '65535:65282', true],
    [standardKind, 'no-export-subconfed', '65535:65283', true],
    [standardKind, 'graceful-shutdown', '65535:0', true],
    [standardKind, 'blackhole', '65535:666', true],
    [largeKind, '65000:1:2', '65000:1:2', true],
    [largeKind, '65000:*:2', '65000:9:2', true],
    [largeKind, '65000:*:2', '65000:9:3', false],
    [largeKind, '*:*:4294967295', '1:2:4294967295', true],
    [extendedKind, 'rt:65000:1', 'rt:65000:1', true],
    [extendedKind, 'rt:65000:1', 'soo:65000:1', false],
    [extendedKind, 'rt:65000:*', 'rt:65000:70000', true],
    [extendedKind, 'rt:65000:*', 'rt:65001:1', false],
    [extendedKind, 'rt:10.0.0.1:*', 'rt:10.0.0.1:7', true],
    [extendedKind, 'rt:10.0.0.1:*', 'rt:10.0.0.2:7', false],
    [extendedKind, 'soo:*:7', 'soo:65000:7', true],
    [extendedKind, 'soo:*:7', 'soo:10.0.0.1:7', true],
    [extendedKind, 'soo:*:7', 'soo:4200000000:7', true],
    [extendedKind, 'soo:*:7', 'soo:4200000000:8', false],
    [extendedKind, 'rt:*:70000', 'rt:65000:70000', true],
    [extendedKind, 'rt:*:*', 'soo:65000:1', false],
  ] as [CommunityKind, string, string, boolean][])('%o %s holds %s: %s', (kind, pattern, text, expected) => {
    expect(holds(kind, pattern, text)).toBe(expected);
  });

  test.each([
    [standardKind, '65000'],
    [standardKind, '65000:70000'],
    [standardKind, '65000:*:1'],
    [standardKind, '6*:1'],
    [largeKind, '65000:*'],
    [extendedKind, 'xx:65000:*'],
    [extendedKind, 'rt:4200000000:70000'],
  ] as [CommunityKind, string][])('%o: %s is no pattern', (kind, text) => {
    expect(parseCommunityPattern(kind, text)).toBeUndefined();
  });

  test('many exact ones are found by halves, first and last among them', () => {
    const numbers = Array.from({ length: 500 }, (_, i) => `${(i * 7919) % 65536}:${i}`);
    const set = setOf(standardKind, ...numbers);
    for (const text of numbers) expect(set.has(communityBytes(standardKind, text)!, 0)).toBe(true);
    for (const text of ['0:1', '65535:65535', '7919:2']) {
      expect(set.has(communityBytes(standardKind, text)!, 0)).toBe(false);
    }
  });

  test('any of a list of attributes', () => {
    const list = Uint8Array.of(
      ...communityBytes(standardKind, '1:1')!,
      ...communityBytes(standardKind, '2:2')!,
    );
    expect(setOf(standardKind, '2:*').matchesAny(list, 0, 8)).toBe(true);
    expect(setOf(standardKind, '2:*').matchesAny(list, 0, 4)).toBe(false);
    expect(setOf(standardKind, '2:*').matchesAny(list, 8, 8)).toBe(false);
  });
});

test('peer names: the answer kept for one name is never given for another', () => {
  const names = new NamePatterns(['spine*', 'leaf?']);
  const order = ['', 'spine1', '', 'leaf12', 'leaf1', 'leaf1', 'leaf12', 'spine', ''];
  expect(order.map((name) => names.matches(name))).toEqual([
    false,
    true,
    false,
    false,
    true,
    true,
    false,
    true,
    false,
  ]);
});
