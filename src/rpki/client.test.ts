import { beforeEach, expect, test } from 'vitest';
import { readU32 } from '../lib/bytes.ts';
import { CacheClient, type CacheSettings, DELTA_MAX } from './client.ts';
import { errorReport, resetQuery, serialQuery } from './pdu.ts';
import { PREFIX_VRPS_MAX, VALID, VrpTable } from './vrp-table.ts';

// What a cache sends, field by field as in RFC 8210 section 5.
const u32 = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
];
const u16 = (value: number): number[] => [value >>> 8, value & 255];
const response = (session: number, version = 1): number[] => [version, 3, ...u16(session), ...u32(8)];
const prefix4 = (flags: number, prefix: number[], length: number, max: number, asn: number, version = 1) => [
  ...[version, 4, 0, 0],
  ...u32(20),
  ...[flags, length, max, 0],
  ...prefix,
  ...u32(asn),
];
const prefix6 = (flags: number, length: number, max: number, asn: number): number[] => [
  ...[1, 6, 0, 0],
  ...u32(32),
  ...[flags, length, max, 0],
  ...[0x20, 0x01, 0x0d, 0xb8, ...new Array<number>(12).fill(0)],
  ...u32(asn),
];
const endOfData = (session: number, serial: number, refresh = 3600, retry = 600, expire = 7200): number[] => [
  ...[1, 7, ...u16(session)],
  ...u32(24),
  ...u32(serial),
  ...u32(refresh),
  ...u32(retry),
  ...u32(expire),
];
const endOfData0 = (session: number, serial: number): number[] => [
  0,
  7,
  ...u16(session),
  ...u32(12),
  ...u32(serial),
];
const notify = (session: number, serial: number): number[] => [
  1,
  0,
  ...u16(session),
  ...u32(12),
  ...u32(serial),
];
const cacheReset = [1, 8, 0, 0, ...u32(8)];
const ten = [10, 0, 0, 0];
const eleven = [11, 0, 0, 0];

let table: VrpTable;
let client: CacheClient;
let sent: Uint8Array[];
let calls: string[];
let now: number;

function make(settings: CacheSettings = {}): void {
  table = new VrpTable();
  sent = [];
  calls = [];
  now = 1000;
  client = new CacheClient(table, 0, settings, {
    connect: () => calls.push('connect'),
    send: (bytes) => sent.push(bytes),
    close: () => calls.push('close'),
    changed: () => {
      calls.push('changed');
      table.active = client.bit;
    },
  });
}

const hear = (...parts: number[][]): void => client.received(new Uint8Array(parts.flat()), now);
const isValid = (prefix: number[], length: number, asn: number): boolean =>
  table.validate(0, readU32(new Uint8Array(prefix), 0), 0, 0, 0, length, asn) === VALID;
const passTo = (ms: number): void => {
  now = ms;
  client.expire(now);
};

/** Connected and synced with 10/8 for AS 1, session 7, serial 5. */
function sync(): void {
  client.start(now);
  client.connected(now);
  hear(response(7), prefix4(1, ten, 8, 8, 1), endOfData(7, 5));
  expect(client.state).toBe('synced');
  calls = [];
  sent = [];
}

beforeEach(() => make());

test('asks for everything, and uses it once it has come whole', () => {
  client.start(now);
  expect(calls).toEqual(['connect']);
  client.connected(now);
  expect(sent).toEqual([new Uint8Array([1, 2, 0, 0, 0, 0, 0, 8])]);
  hear(response(7), prefix4(1, ten, 8, 24, 1));
  hear(prefix6(1, 32, 48, 2));
  expect(isValid(ten, 8, 1)).toBe(false);
  hear(endOfData(7, 5));
  expect(calls).toEqual(['connect', 'changed']);
  expect(isValid(ten, 8, 1)).toBe(true);
  expect(table.validate(1, 0x20010db8, 0, 0, 0, 48, 2)).toBe(VALID);
  expect(client).toMatchObject({ state: 'synced', version: 1, sessionId: 7, serial: 5, vrpCount: 2 });
});

test('PDUs may be cut anywhere', () => {
  client.start(now);
  client.connected(now);
  const all = [response(7), prefix4(1, ten, 8, 24, 1), prefix4(1, eleven, 8, 8, 1), endOfData(7, 5)].flat();
  for (const byte of all) hear([byte]);
  expect(client).toMatchObject({ state: 'synced', vrpCount: 2 });
});

test('asks for differences when the refresh interval is over, and applies them together', () => {
  sync();
  expect(client.nextDeadlineMs()).toBe(1000 + 3_600_000);
  passTo(client.nextDeadlineMs());
  expect(sent).toEqual([new Uint8Array([1, 1, 0, 7, 0, 0, 0, 12, 0, 0, 0, 5])]);
  hear(response(7), prefix4(0, ten, 8, 8, 1), prefix4(1, eleven, 8, 8, 2));
  expect(isValid(ten, 8, 1)).toBe(true);
  hear(endOfData(7, 6));
  expect([isValid(ten, 8, 1), isValid(eleven, 8, 2)]).toEqual([false, true]);
  expect(calls).toEqual(['changed']);
  expect(client.serial).toBe(6);
});

test('an answer without differences judges nothing anew', () => {
  sync();
  passTo(client.nextDeadlineMs());
  hear(response(7), endOfData(7, 5));
  expect(calls).toEqual([]);
  expect(client.updatedAtMs).toBe(now);
});

test('more differences than can be applied at once are dropped, and everything is asked for', () => {
  sync();
  passTo(client.nextDeadlineMs());
  sent = [];
  hear(response(7));
  for (let i = 0; i <= DELTA_MAX; i++) hear(prefix4(1, [11, i >> 8, i & 255, 0], 24, 24, 1));
  hear(endOfData(7, 6));
  expect(sent).toEqual([resetQuery(1)]);
  expect([isValid(ten, 8, 1), isValid([11, 0, 0, 0], 24, 1), client.serial]).toEqual([true, false, 5]);
  hear(response(7), prefix4(1, eleven, 8, 8, 2), endOfData(7, 6));
  expect([client.vrpCount, client.serial, isValid(eleven, 8, 2)]).toEqual([1, 6, true]);
});

test('Serial Notify asks at once, for another serial only', () => {
  sync();
  hear(notify(7, 5));
  expect(sent).toEqual([]);
  hear(notify(7, 6));
  expect(sent).toEqual([serialQuery(1, 7, 5)]);
});

test('Serial Notify before the first answer is passed over, whatever its version (RFC 8210 section 7)', () => {
  client.start(now);
  client.connected(now);
  hear([0, ...notify(9, 1).slice(1)]);
  hear(response(7), endOfData(7, 5));
  expect(client).toMatchObject({ state: 'synced', version: 1 });
});

test('Cache Reset leads to asking for everything, while the old data serve on', () => {
  sync();
  passTo(client.nextDeadlineMs());
  sent = [];
  hear(cacheReset);
  expect(sent).toEqual([resetQuery(1)]);
  hear(response(8), prefix4(1, eleven, 8, 8, 2));
  expect([isValid(ten, 8, 1), isValid(eleven, 8, 2)]).toEqual([true, false]);
  hear(endOfData(8, 1));
  expect([isValid(ten, 8, 1), isValid(eleven, 8, 2)]).toEqual([false, true]);
  expect(client).toMatchObject({ sessionId: 8, serial: 1, vrpCount: 1 });
  while (table.sweep(10));
  expect(table.size).toBe(1);
});

test('another session id is corrupt data; everything is asked for, in a new connection', () => {
  sync();
  passTo(client.nextDeadlineMs());
  sent = [];
  hear(response(9));
  expect(sent).toHaveLength(1);
  expect(sent[0]!.subarray(0, 4)).toEqual(new Uint8Array([1, 10, 0, 0]));
  expect(calls).toEqual(['close']);
  expect(isValid(ten, 8, 1)).toBe(true);
  passTo(client.nextDeadlineMs());
  client.connected(now);
  expect(sent.at(-1)).toEqual(resetQuery(1));
});

test.each([
  [
    'a withdrawal of what is not there',
    6,
    () => hear(response(7), prefix4(1, eleven, 8, 8, 2), prefix4(0, eleven, 8, 9, 2), endOfData(7, 6)),
  ],
  [
    'an announcement of what is there',
    7,
    () => hear(response(7), prefix4(1, eleven, 8, 8, 2), prefix4(1, ten, 8, 8, 1), endOfData(7, 6)),
  ],
  ['a maximum length below the length', 0, () => hear(response(7), prefix4(1, eleven, 8, 7, 2))],
  ['a length beyond the address', 0, () => hear(response(7), prefix4(1, eleven, 33, 33, 2))],
  ['a PDU of an unknown type', 5, () => hear([1, 11, 0, 0, ...u32(8)])],
  ['a PDU too short for its type', 0, () => hear(response(7), [1, 4, 0, 0, ...u32(12), 1, 8, 8, 0])],
  ['a length below that of a header', 0, () => hear([1, 3, 0, 7, ...u32(7)])],
  ['a length beyond all bounds', 0, () => hear([1, 3, 0, 7, ...u32(0x7fffffff)])],
  ['another version in the session', 8, () => hear(response(7), prefix4(1, eleven, 8, 8, 2, 0))],
  ['a payload outside an answer', 3, () => hear(prefix4(1, eleven, 8, 8, 2))],
  ['End of Data outside an answer', 3, () => hear(endOfData(7, 6))],
  ['a query', 3, () => hear([...serialQuery(1, 7, 5)])],
] as const)('%s is told by error %i, changes nothing, and the data stay', (_, code, act) => {
  sync();
  passTo(client.nextDeadlineMs());
  sent = [];
  act();
  expect([...sent.at(-1)!.subarray(0, 4)]).toEqual([1, 10, 0, code]);
  expect(calls).toEqual(['close']);
  expect(client.state).toBe('down');
  expect([isValid(ten, 8, 1), isValid(eleven, 8, 2), client.vrpCount]).toEqual([true, false, 1]);
  expect(client.lastError!.text).not.toBe('');
});

test('an Error Report is never answered by one, not even a broken one', () => {
  sync();
  hear([1, 10, 0, 0, ...u32(16), ...u32(99), ...u32(0)]);
  expect(sent).toEqual([]);
  expect(client.state).toBe('down');
});

test('an Error Report is told in its words', () => {
  sync();
  hear([...errorReport(1, 1, new Uint8Array(0), 'disk\nfull')]);
  expect(client.lastError!.text).toBe('the cache says: internal error (disk?full)');
  expect(sent).toEqual([]);
  expect(client.nextDeadlineMs()).toBe(now + 600_000);
});

test('"no data available" is asked again after the retry interval', () => {
  client.start(now);
  client.connected(now);
  hear([...errorReport(1, 2, new Uint8Array(0), '')]);
  expect(client).toMatchObject({ state: 'down', version: 1 });
  passTo(client.nextDeadlineMs());
  expect(calls).toEqual(['connect', 'close', 'connect']);
});

test.each([
  ['an Error Report of version 0', () => hear([0, 10, 0, 4, ...u32(16), ...u32(0), ...u32(0)])],
  ['hanging up without a word', () => client.lost('end of stream', now)],
])('a cache of version 0 is found by %s', (_, refuse) => {
  client.start(now);
  client.connected(now);
  refuse();
  passTo(client.nextDeadlineMs());
  client.connected(now);
  expect(sent.at(-1)).toEqual(resetQuery(0));
  hear(response(3, 0), prefix4(1, ten, 8, 8, 1, 0), endOfData0(3, 1));
  expect(client).toMatchObject({ state: 'synced', version: 0, refreshMs: 3_600_000, expireMs: 7_200_000 });
});

test('a cache that answers a query of version 1 in version 0 is followed', () => {
  client.start(now);
  client.connected(now);
  hear(response(3, 0), prefix4(1, ten, 8, 8, 1, 0), endOfData0(3, 1));
  expect(client).toMatchObject({ state: 'synced', version: 0, vrpCount: 1 });
  passTo(client.nextDeadlineMs());
  expect(sent.at(-1)).toEqual(serialQuery(0, 3, 1));
});

test('data outlive the connection until they expire, and are asked for by serial again', () => {
  sync();
  client.lost('connection reset', now);
  expect(client.nextDeadlineMs()).toBe(now + 600_000);
  passTo(client.nextDeadlineMs());
  client.connected(now);
  expect(sent).toEqual([serialQuery(1, 7, 5)]);
  client.lost('connection reset', now);
  passTo(1000 + 7_199_999);
  expect(client.vrpCount).toBe(1);
  passTo(1000 + 7_200_000);
  expect([client.vrpCount, client.bit]).toEqual([0, 0]);
  expect(calls.at(-1)).toBe('changed');
  expect(isValid(ten, 8, 1)).toBe(false);
});

test('intervals are the operator’s, else the cache’s within the bounds of RFC 8210 section 6', () => {
  client.start(now);
  client.connected(now);
  hear(response(7), endOfData(7, 5, 0, 99_999, 1));
  expect(client).toMatchObject({ refreshMs: 1000, retryMs: 7_200_000, expireMs: 7_201_000 });
  make({ expireMs: 600_000 });
  sync();
  expect(client).toMatchObject({ refreshMs: 300_000, retryMs: 150_000, expireMs: 600_000 });
  make({ refreshMs: 86_400_000 });
  sync();
  expect(client).toMatchObject({ refreshMs: 86_400_000, retryMs: 600_000, expireMs: 87_000_000 });
  make({ refreshMs: 2000, retryMs: 1000, expireMs: 9000 });
  sync();
  expect(client).toMatchObject({ refreshMs: 2000, retryMs: 1000, expireMs: 9000 });
});

test('a cache that owes an answer is given up after half a minute of silence', () => {
  client.start(now);
  client.connected(now);
  hear(response(7), prefix4(1, ten, 8, 8, 1));
  passTo(now + 30_000);
  expect(client.state).toBe('down');
  // What came of the answer is not taken for duplicates the next time.
  passTo(client.nextDeadlineMs());
  client.connected(now);
  hear(response(7), prefix4(1, ten, 8, 8, 1), endOfData(7, 5));
  expect(client).toMatchObject({ state: 'synced', vrpCount: 1 });
});

test('router keys are read over', () => {
  client.start(now);
  client.connected(now);
  hear(response(7), [1, 9, 1, 0, ...u32(36), ...new Array<number>(28).fill(1)], endOfData(7, 5));
  expect(client).toMatchObject({ state: 'synced', vrpCount: 0 });
});

test('payloads of one prefix are bounded: each route that they cover has to look at all', () => {
  sync();
  const many = (count: number): number[][] =>
    Array.from({ length: count }, (_, i) => prefix4(1, ten, 8, 24, 100 + i));
  hear(notify(7, 6), response(7), ...many(PREFIX_VRPS_MAX), endOfData(7, 6));
  expect(client).toMatchObject({ state: 'down', vrpCount: 1 });
  expect(client.lastError?.text).toContain(`${PREFIX_VRPS_MAX} payloads of one prefix`);
  passTo(client.nextDeadlineMs());
  client.connected(now);
  hear(response(8), ...many(PREFIX_VRPS_MAX + 1));
  expect(client.state).toBe('down');
  // What it gave before is in use until it expires; fewer are welcome.
  expect(isValid(ten, 8, 1)).toBe(true);
  passTo(client.nextDeadlineMs());
  client.connected(now);
  hear(response(8), ...many(PREFIX_VRPS_MAX), endOfData(8, 1));
  expect(client).toMatchObject({ state: 'synced', vrpCount: PREFIX_VRPS_MAX });
});
