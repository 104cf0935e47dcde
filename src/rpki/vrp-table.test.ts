import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readU32 } from '../lib/bytes.ts';
import { parsePrefix } from '../net/prefix.ts';
import { INVALID, NOT_FOUND, sourceBit, VALID, type VrpFamily, VrpTable } from './vrp-table.ts';

type Words = [VrpFamily, number, number, number, number, number];

function words(text: string): Words {
  const { bytes, length } = parsePrefix(text, { strict: true })!;
  if (bytes.length === 4) return [0, readU32(bytes, 0), 0, 0, 0, length];
  return [1, readU32(bytes, 0), readU32(bytes, 4), readU32(bytes, 8), readU32(bytes, 12), length];
}

const bit = sourceBit(0, 0);

function tableOf(...vrps: [prefix: string, maxLength: number, asn: number][]): VrpTable {
  const table = new VrpTable();
  table.active = bit;
  for (const [prefix, maxLength, asn] of vrps)
    expect(table.add(...words(prefix), maxLength, asn, bit)).toBe(true);
  return table;
}

test('RFC 6811 section 2: valid, invalid by AS, invalid by length, not found', () => {
  const table = tableOf(['192.0.2.0/23', 24, 65001], ['2001:db8::/32', 48, 65001]);
  expect(table.validate(...words('192.0.2.0/24'), 65001)).toBe(VALID);
  expect(table.validate(...words('192.0.2.0/24'), 65002)).toBe(INVALID);
  expect(table.validate(...words('192.0.2.0/25'), 65001)).toBe(INVALID);
  expect(table.validate(...words('192.0.0.0/22'), 65001)).toBe(NOT_FOUND);
  expect(table.validate(...words('198.51.100.0/24'), 65001)).toBe(NOT_FOUND);
  expect(table.validate(...words('2001:db8:5::/48'), 65001)).toBe(VALID);
  expect(table.validate(...words('2001:db8:5::/49'), 65001)).toBe(INVALID);
  expect(table.validate(...words('2001:db9::/48'), 65001)).toBe(NOT_FOUND);
});

test('one matching payload among others that cover is enough', () => {
  const table = tableOf(['10.0.0.0/8', 8, 1], ['10.0.0.0/8', 24, 2], ['10.1.0.0/16', 16, 3]);
  expect(table.validate(...words('10.1.0.0/16'), 2)).toBe(VALID);
  expect(table.validate(...words('10.1.0.0/16'), 3)).toBe(VALID);
  expect(table.validate(...words('10.1.0.0/16'), 1)).toBe(INVALID);
  expect(table.covering(...words('10.1.0.0/16')).map((vrp) => [vrp.length, vrp.maxLength, vrp.asn])).toEqual([
    [16, 16, 3],
    [8, 24, 2],
    [8, 8, 1],
  ]);
});

test('RFC 6483 section 4: a payload of AS 0 matches nothing, not even an unknown origin', () => {
  const table = tableOf(['10.0.0.0/8', 32, 0]);
  expect(table.validate(...words('10.0.0.0/8'), 0)).toBe(INVALID);
  expect(table.validate(...words('10.0.0.0/8'), 1)).toBe(INVALID);
});

test('the default route and host routes have payloads like any other', () => {
  const table = tableOf(
    ['0.0.0.0/0', 0, 1],
    ['10.0.0.1/32', 32, 2],
    ['::/0', 0, 3],
    ['2001:db8::1/128', 128, 4],
  );
  expect(table.validate(...words('0.0.0.0/0'), 1)).toBe(VALID);
  expect(table.validate(...words('10.0.0.1/32'), 2)).toBe(VALID);
  expect(table.validate(...words('::/0'), 3)).toBe(VALID);
  expect(table.validate(...words('2001:db8::1/128'), 4)).toBe(VALID);
});

test('a new generation takes over in one step; the old one is swept away in pieces', () => {
  const table = tableOf(['10.0.0.0/8', 8, 1], ['11.0.0.0/8', 8, 1]);
  const next = sourceBit(0, 1);
  table.add(...words('10.0.0.0/8'), 8, 1, next);
  table.add(...words('12.0.0.0/8'), 8, 1, next);
  expect(table.validate(...words('12.0.0.0/8'), 1)).toBe(NOT_FOUND);
  table.active = next;
  expect(table.validate(...words('11.0.0.0/8'), 1)).toBe(NOT_FOUND);
  expect(table.validate(...words('12.0.0.0/8'), 1)).toBe(VALID);
  table.beginSweep(bit);
  while (table.sweep(1));
  expect(table.size).toBe(2);
  expect([...table.counts.subarray(0, 2)]).toEqual([0, 2]);
  expect(table.remove(...words('11.0.0.0/8'), 8, 1, next)).toBe(false);
  expect(table.remove(...words('10.0.0.0/8'), 8, 1, next)).toBe(true);
  expect(table.size).toBe(1);
});

/** Everything in few bits, so that payloads and routes meet. */
const anyPrefix = fc
  .tuple(fc.boolean(), fc.nat(255), fc.integer({ min: 0, max: 12 }), fc.nat(2))
  .map(([six, value, length, place]): Words => {
    // The few free bits lie at the top, across the 32nd or across the 64th bit.
    const shift = six ? [0, 28, 60][place]! : [0, 12, 20][place]!;
    const whole = shift + length;
    const out: [number, number, number, number] = [0x20010000, 0, 0, 0];
    for (let i = 0; i < length; i++) {
      const at = shift + i;
      const one = ((value >>> (i & 7)) & 1) << (31 - (at & 31));
      out[at >>> 5] = (out[at >>> 5]! & ~(1 << (31 - (at & 31)))) | one;
    }
    const kept = out.map((word, i) => {
      const bits = whole - i * 32;
      return bits <= 0 ? 0 : bits >= 32 ? word >>> 0 : (word & (-1 << (32 - bits))) >>> 0;
    });
    return [six ? 1 : 0, kept[0]!, six ? kept[1]! : 0, six ? kept[2]! : 0, six ? kept[3]! : 0, whole];
  });

const covers = (outer: Words, inner: Words): boolean => {
  if (outer[0] !== inner[0] || outer[5] > inner[5]) return false;
  for (let i = 0; i < outer[5]; i++) {
    const word = 1 + (i >>> 5);
    if (((outer[word]! ^ inner[word]!) >>> (31 - (i & 31))) & 1) return false;
  }
  return true;
};

test('judges as a plain list does, whatever was added and taken away', () => {
  const step = fc.record({
    prefix: anyPrefix,
    more: fc.nat(6),
    asn: fc.nat(3),
    adds: fc.boolean(),
    bit: fc.constantFrom(sourceBit(0, 0), sourceBit(3, 1), sourceBit(14, 1)),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.array(fc.tuple(anyPrefix, fc.nat(3)), { maxLength: 40 }),
      (steps, routes) => {
        const table = new VrpTable();
        table.active = sourceBit(0, 0) | sourceBit(14, 1);
        const list = new Map<string, { prefix: Words; maxLength: number; asn: number; bit: number }>();
        for (const { prefix, more, asn, adds, bit: source } of steps) {
          const maxLength = Math.min(prefix[5] + more, prefix[0] === 0 ? 32 : 128);
          const key = JSON.stringify([prefix, maxLength, asn, source]);
          const call = adds
            ? table.add(...prefix, maxLength, asn, source)
            : table.remove(...prefix, maxLength, asn, source);
          expect(call).toBe(adds !== list.has(key));
          if (adds) list.set(key, { prefix, maxLength, asn, bit: source });
          else list.delete(key);
        }
        for (const [route, origin] of routes) {
          const found = [...list.values()].filter(
            (vrp) => (vrp.bit & table.active) !== 0 && covers(vrp.prefix, route),
          );
          const match = found.some((vrp) => vrp.asn === origin && origin !== 0 && vrp.maxLength >= route[5]);
          const wanted = found.length === 0 ? NOT_FOUND : match ? VALID : INVALID;
          expect(table.validate(...route, origin)).toBe(wanted);
          const seen = new Set(found.map((vrp) => JSON.stringify([vrp.prefix, vrp.maxLength, vrp.asn])));
          expect(table.covering(...route)).toHaveLength(seen.size);
        }
      },
    ),
    { numRuns: 500 },
  );
});
