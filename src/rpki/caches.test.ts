import { expect, test } from 'vitest';
import { Caches } from './caches.ts';
import { exportedOriginAsn, originAsn } from './origin.ts';
import { readVrpFile } from './vrp-file.ts';
import { INVALID, NOT_FOUND, VALID } from './vrp-table.ts';

const u32 = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
];
/** A whole answer of version 0 that says 10.0.0.0/8 for this AS. */
const answer = (asn: number): Uint8Array =>
  new Uint8Array([
    ...[0, 3, 0, 1, ...u32(8)],
    ...[0, 4, 0, 0, ...u32(20), 1, 8, 8, 0, 10, 0, 0, 0, ...u32(asn)],
    ...[0, 7, 0, 1, ...u32(12), ...u32(1)],
  ]);
/** An answer to a serial query: nothing has changed. */
const unchanged = new Uint8Array([0, 3, 0, 1, ...u32(8), 0, 7, 0, 1, ...u32(12), ...u32(1)]);
const refreshes = { refreshMs: 10_000, retryMs: 1000, expireMs: 60_000 };

function pair(): { caches: Caches; changes: () => number; judge: (asn: number) => number } {
  let changed = 0;
  const caches = new Caches([refreshes, refreshes], {
    connect: () => {},
    send: () => {},
    close: () => {},
    changed: () => changed++,
  });
  caches.start(0);
  for (const client of caches.clients) client.connected(0);
  const judge = (asn: number) => caches.table.validate(0, 0x0a000000, 0, 0, 0, 8, asn);
  return { caches, changes: () => changed, judge };
}

test('the most preferred cache that has fresh data is believed; the others stand by', () => {
  const { caches, changes, judge } = pair();
  caches.clients[1]!.received(answer(2), 1);
  expect([caches.inUse, judge(2), judge(1), changes()]).toEqual([1, VALID, INVALID, 1]);
  caches.clients[0]!.received(answer(1), 2);
  expect([caches.inUse, judge(1), judge(2), changes()]).toEqual([0, VALID, INVALID, 2]);
  // A refresh in reserve judges nothing anew.
  caches.clients[1]!.expire(10_001);
  caches.clients[1]!.received(unchanged, 10_002);
  expect(caches.clients[1]!.updatedAtMs).toBe(10_002);
  expect(changes()).toBe(2);
});

test('a lost cache is believed until its data are stale, then the next, then nobody', () => {
  const { caches, judge } = pair();
  caches.clients[0]!.received(answer(1), 1);
  caches.clients[1]!.received(answer(2), 1);
  caches.clients[0]!.lost('gone', 2);
  caches.work(10_400);
  expect(judge(1)).toBe(VALID);
  caches.clients[1]!.received(unchanged, 10_500);
  expect(caches.nextDeadlineMs(10_500)).toBeLessThanOrEqual(11_002);
  caches.work(11_002);
  expect([caches.inUse, judge(2)]).toEqual([1, VALID]);
  caches.clients[1]!.lost('gone too', 11_003);
  // None is fresh: the first that still has data.
  caches.work(30_000);
  expect([caches.inUse, judge(1)]).toEqual([0, VALID]);
  caches.work(60_001);
  expect([caches.inUse, judge(2)]).toEqual([1, VALID]);
  caches.work(70_500);
  expect([caches.inUse, judge(2), caches.vrpCount]).toEqual([-1, NOT_FOUND, 0]);
  while (caches.work(70_500));
  expect(caches.table.size).toBe(0);
});

test('the file counts beside the cache, and goes whole', () => {
  const { caches, judge } = pair();
  caches.clients[0]!.received(answer(1), 1);
  const file = readVrpFile('{"roas": [{"asn": "AS3", "prefix": "10.0.0.0/8", "maxLength": 8, "ta": "x"}]}');
  expect(file).toMatchObject({ kind: 'read' });
  caches.setFile(file.kind === 'read' ? file.vrps : []);
  expect([judge(1), judge(3), judge(2), caches.vrpCount]).toEqual([VALID, VALID, INVALID, 2]);
  caches.setFile([]);
  expect([judge(1), judge(3)]).toEqual([VALID, INVALID]);
});

test('reads rpki-client, Routinator and local assertions', () => {
  const words = [0xc0000200, 0, 0, 0];
  const vrps = [{ family: 0, words, length: 24, maxLength: 24, asn: 65001 }];
  const texts = [
    '{"metadata": {}, "roas": [{"asn": 65001, "prefix": "192.0.2.0/24", "maxLength": 24, "expires": 1}]}',
    '{"roas": [{"asn": "AS65001", "prefix": "192.0.2.0/24"}]}',
    '{"slurmVersion": 1, "locallyAddedAssertions": {"prefixAssertions": [{"asn": 65001, "prefix": "192.0.2.0/24"}]}}',
  ];
  for (const text of texts) expect(readVrpFile(text)).toEqual({ kind: 'read', vrps });
});

test.each([
  ['{', /^is not JSON/],
  ['[]', /^has neither "roas" nor "slurmVersion"$/],
  ['{"roas": [{"asn": -1, "prefix": "10.0.0.0/8"}]}', /^roas\[0\]: asn -1 is no AS number$/],
  ['{"roas": [{"asn": 1, "prefix": "10.0.0.1/8"}]}', /^roas\[0\]: prefix "10.0.0.1\/8" is no prefix$/],
  ['{"roas": [{"asn": 1, "prefix": "10.0.0.0/8", "maxLength": 7}]}', /^roas\[0\]: maxLength 7 does not fit/],
  ['{"roas": [{"asn": 1, "prefix": "::/0", "maxLength": 129}]}', /^roas\[0\]: maxLength 129 does not fit/],
  ['{"slurmVersion": 2}', /^has slurmVersion 2, not 1$/],
  ['{"slurmVersion": 1, "validationOutputFilters": {"prefixFilters": [{"asn": 1}]}}', /^has prefixFilters/],
])('says what is wrong with %s', (text, reason) => {
  const file = readVrpFile(text);
  expect(file).toMatchObject({ kind: 'wrong', reason: expect.stringMatching(reason) });
});

/** ORIGIN and an AS_PATH of these segments. */
const path = (...segments: [type: number, ...asns: number[]][]): Uint8Array => {
  const value = segments.flatMap(([type, ...asns]) => [type, asns.length, ...asns.flatMap(u32)]);
  return new Uint8Array([0x40, 1, 1, 0, 0x40, 2, value.length, ...value]);
};

test.each([
  ['the last AS of a sequence', path([2, 1, 2, 3]), 3],
  ['an AS_SET at the end hides it', path([2, 1, 2], [1, 3]), 0],
  ['a set before the last sequence does not', path([1, 3], [2, 1, 2]), 2],
  ['an empty path is our own', path(), 65000],
  ['a confederation segment at the end is our own', path([2, 1], [3, 64512]), 65000],
])('RFC 6811 section 2, origin: %s', (_, bytes, origin) => {
  expect(originAsn(bytes, 0, bytes.length, 65000)).toBe(origin);
});

test('RFC 8893: the origin is the one the neighbour will see', () => {
  const own = { ownAsn: 65000 };
  const of = (bytes: Uint8Array, more = {}): number =>
    exportedOriginAsn(bytes, 0, bytes.length, { ...own, ...more });
  expect(of(path())).toBe(65000);
  expect(of(path([2, 1, 2]))).toBe(2);
  expect(of(path([2, 1, 2]), { overriddenAsn: 2 })).toBe(65000);
  const all = { removePrivateAs: { all: true, replace: false } };
  expect(of(path([2, 1, 64512]), all)).toBe(1);
  expect(of(path([2, 64512, 64513]), all)).toBe(65000);
  expect(of(path([2, 1, 64512]), { removePrivateAs: { all: false, replace: false } })).toBe(64512);
  expect(of(path([2, 1, 64512]), { removePrivateAs: { all: true, replace: true } })).toBe(65000);
});
