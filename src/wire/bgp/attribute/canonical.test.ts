import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../../../lib/bytes.ts';
import { asPathLength, asPathText, parseAsPath } from './as-path.ts';
import {
  findAttribute,
  findAttributeEnd,
  prependAsPath,
  removeAttribute,
  setOrigin,
  setU32Attribute,
  u32Attribute,
} from './canonical.ts';
import { type AttributesInput, describeAttributes, encodeAttributes } from './describe.ts';
import { AS_PATH, LOCAL_PREF, MED, ORIGINATOR_ID } from './table.ts';

const base: AttributesInput = { origin: 'igp', asPath: '65001 65002', med: 7, communities: ['1:1', '1:2'] };
const bytes = encodeAttributes(base);

// Runs an edit on attributes that stand in the middle of a buffer, as they do in the pool.
function edited(
  input: AttributesInput,
  edit: (out: ByteWriter, from: Uint8Array, start: number, end: number) => unknown,
): ReturnType<typeof describeAttributes> {
  const encoded = encodeAttributes(input);
  const pool = new Uint8Array(encoded.length + 20).fill(0xee);
  pool.set(encoded, 10);
  const out = new ByteWriter(8);
  edit(out, pool, 10, 10 + encoded.length);
  return describeAttributes(out.take());
}

describe('reading', () => {
  test('values are found, absent ones are -1', () => {
    expect(u32Attribute(bytes, 0, bytes.length, MED)).toBe(7);
    expect(u32Attribute(bytes, 0, bytes.length, LOCAL_PREF)).toBe(-1);
    expect(findAttribute(bytes, 0, bytes.length, 99)).toBe(-1);
    const start = findAttribute(bytes, 0, bytes.length, AS_PATH);
    const end = findAttributeEnd(bytes, 0, bytes.length, AS_PATH);
    expect([end - start, asPathLength(bytes, start, end)]).toEqual([10, 2]);
  });

  test.each([
    ['', 0],
    ['65001 65002', 2],
    ['65001 {65002 65003}', 2],
    ['(64512 64513) 65001', 1],
    ['{65001 65002} 65003', 2],
    ['(64512)', 0],
    ['[64512 64513] 4200000000', 1],
  ])('AS_PATH %j has length %d', (text, length) => {
    const path = encodeAttributes({ asPath: text });
    const end = path.length;
    expect(asPathLength(path, 3, end)).toBe(length);
    expect(describeAttributes(path).asPath).toBe(text);
  });

  test.each(['x', '1 {2', '1 }', '{}', '{1 (2)}', '1 4294967296'])('%j is no AS_PATH', (text) => {
    expect(parseAsPath(text)).toBeUndefined();
  });
});

describe('edits', () => {
  test('set and remove keep the order of codes', () => {
    expect(edited(base, (out, b, s, e) => setU32Attribute(out, b, s, e, LOCAL_PREF, 200))).toEqual({
      ...describeAttributes(bytes),
      localPref: 200,
    });
    expect(edited(base, (out, b, s, e) => setU32Attribute(out, b, s, e, MED, 8)).med).toBe(8);
    expect(edited(base, (out, b, s, e) => setU32Attribute(out, b, s, e, ORIGINATOR_ID, 1)).originatorId).toBe(
      '0.0.0.1',
    );
    expect(edited(base, (out, b, s, e) => removeAttribute(out, b, s, e, MED)).med).toBeUndefined();
    expect(edited(base, (out, b, s, e) => setOrigin(out, b, s, e, 2)).origin).toBe('incomplete');
  });

  test.each([
    ['', 1, '9'],
    ['1 2', 2, '9 9 1 2'],
    ['{1 2}', 1, '9 {1 2}'],
    ['(64512) 1', 1, '9 (64512) 1'],
  ])('%j with %d prepended is %j', (text, count, result) => {
    const view = edited({ ...base, asPath: text }, (out, b, s, e) => prependAsPath(out, b, s, e, 9, count));
    expect(view.asPath).toBe(result);
    expect(view.communities).toEqual(base.communities);
  });

  test('prepending makes an AS_PATH where there is none, and a new segment where one is full', () => {
    expect(edited({ origin: 'igp' }, (out, b, s, e) => prependAsPath(out, b, s, e, 9)).asPath).toBe('9');
    const full = Array.from({ length: 254 }, (_, i) => i + 1);
    const view = edited({ asPath: full }, (out, b, s, e) => prependAsPath(out, b, s, e, 9, 3));
    expect(view.asPathSegments!.map((segment) => segment.asns.length)).toEqual([2, 255]);
    expect(view.asPathSegments!.flatMap((segment) => segment.asns)).toEqual([9, 9, 9, ...full]);
  });

  test('an AS_PATH that would outgrow its length field is refused', () => {
    const long = encodeAttributes({ asPath: Array.from({ length: 16_200 }, () => 5) });
    const out = new ByteWriter();
    expect(prependAsPath(out, long, 0, long.length, 9, 200)).toBe(false);
    expect(out.length).toBe(0);
  });
});

const u32 = fc.nat(0xffffffff);
const asn = fc.integer({ min: 1, max: 0xffffffff });
const ip4 = fc.ipV4();
const segment = fc.record({
  kind: fc.constantFrom('sequence' as const, 'set' as const, 'confedSequence' as const, 'confedSet' as const),
  asns: fc.array(asn, { minLength: 1, maxLength: 8 }),
});
// Below 65535, where the well-known ones are, which are described by name.
const community = fc.tuple(fc.nat(0xfffe), fc.nat(0xffff)).map(([a, b]) => `${a}:${b}`);
const hex = fc.uint8Array({ maxLength: 300 }).map((list) => Buffer.from(list).toString('hex'));
const full = fc.record(
  {
    origin: fc.constantFrom('igp' as const, 'egp' as const, 'incomplete' as const),
    asPathSegments: fc.array(segment, { maxLength: 5 }),
    med: u32,
    localPref: u32,
    atomicAggregate: fc.constant(true),
    aggregator: fc.record({ asn, address: ip4 }),
    communities: fc.array(community, { minLength: 1, maxLength: 90 }),
    largeCommunities: fc.array(
      fc.tuple(u32, u32, u32).map((parts) => parts.join(':')),
      { minLength: 1 },
    ),
    originatorId: ip4,
    clusterList: fc.array(ip4, { minLength: 1, maxLength: 5 }),
    onlyToCustomer: u32,
    unknown: fc
      .tuple(fc.integer({ min: 200, max: 250 }), hex)
      .map(([code, digits]) => [{ code, flags: 0xe0, hex: digits }]),
  },
  { requiredKeys: [] },
);

test('describe and encode are inverse', () => {
  fc.assert(
    fc.property(full, (input) => {
      const encoded = encodeAttributes(input);
      const view = describeAttributes(encoded);
      expect(view).toMatchObject(input);
      expect(encodeAttributes(view)).toEqual(encoded);
    }),
  );
});

test('prepending adds exactly its count and nothing else changes', () => {
  fc.assert(
    fc.property(full, asn, fc.integer({ min: 1, max: 20 }), (input, own, count) => {
      const encoded = encodeAttributes(input);
      const out = new ByteWriter();
      expect(prependAsPath(out, encoded, 0, encoded.length, own, count)).toBe(true);
      const before = describeAttributes(encoded);
      const after = describeAttributes(out.take());
      const flat = (view: typeof before): number[] =>
        (view.asPathSegments ?? []).flatMap((part) => [...part.asns]);
      expect(flat(after)).toEqual([...Array.from({ length: count }, () => own), ...flat(before)]);
      expect({ ...after, asPath: '', asPathSegments: [] }).toEqual({
        ...before,
        asPath: '',
        asPathSegments: [],
      });
      expect(parseAsPath(asPathText(after.asPathSegments!))).toBeDefined();
    }),
  );
});
