import { describe, expect, test } from 'vitest';
import { classlessRoutes, readDhcp4 } from './dhcp4.ts';
import { domainBytes, isAllDhcp6Servers, readDhcp6 } from './dhcp6.ts';

interface Fields {
  op?: number;
  hardware?: number;
  length?: number;
  cookie?: number;
  file?: readonly number[];
  sname?: readonly number[];
}

/** A DHCPv4 message with the given options. */
function message4(options: readonly number[], fields: Fields = {}): Uint8Array {
  const bytes = new Uint8Array(240 + options.length);
  bytes.set([fields.op ?? 1, fields.hardware ?? 1, fields.length ?? 6]);
  bytes.set(fields.sname ?? [], 44);
  bytes.set(fields.file ?? [], 108);
  bytes.set([0x63, 0x82, 0x53, fields.cookie ?? 0x63], 236);
  bytes.set(options, 240);
  return bytes;
}

const discover = [53, 1, 1];

function options4(bytes: Uint8Array): Record<number, number[]> | undefined {
  const message = readDhcp4(bytes, 0, bytes.length);
  if (message === undefined) return undefined;
  return Object.fromEntries([...message.options].map(([code, value]) => [code, [...value]]));
}

describe('options of DHCPv4 (RFC 2132)', () => {
  test.each<[string, Uint8Array, Record<number, number[]> | undefined]>([
    ['padding and end', message4([0, 0, ...discover, 0, 12, 1, 97, 255, 12, 1, 98]), { 53: [1], 12: [97] }],
    ['no end', message4(discover), { 53: [1] }],
    ['an empty one', message4([...discover, 80, 0, 255]), { 53: [1], 80: [] }],
    [
      'one in pieces (RFC 3396)',
      message4([12, 1, 97, ...discover, 12, 2, 98, 99]),
      { 53: [1], 12: [97, 98, 99] },
    ],
    ['a code without a length', message4([...discover, 12]), undefined],
    ['one that reaches beyond', message4([...discover, 12, 2, 97]), undefined],
    ['no type of message', message4([12, 1, 97, 255]), undefined],
    ['two types of message', message4([...discover, ...discover, 255]), undefined],
    [
      'in the fields of file and server name, in this order',
      message4([...discover, 52, 1, 3, 12, 1, 97, 255], { file: [12, 1, 98, 255], sname: [12, 1, 99, 255] }),
      { 53: [1], 12: [97, 98, 99] },
    ],
    [
      'the type of message in the file alone',
      message4([52, 1, 1, 255], { file: [...discover, 255], sname: [12, 1, 99] }),
      { 53: [1] },
    ],
    [
      'in the server name alone, which claims another overload',
      message4([...discover, 52, 1, 2, 255], { file: [12, 1, 98], sname: [12, 1, 99, 52, 1, 1, 255] }),
      { 53: [1], 12: [99] },
    ],
    ['an overload of nothing', message4([...discover, 52, 1, 0, 255]), undefined],
    ['an overload of two bytes', message4([...discover, 52, 2, 1, 1, 255]), undefined],
    [
      'a field whose option reaches beyond it',
      message4([...discover, 52, 1, 1, 255], { file: [12, 127] }),
      undefined,
    ],
    ['another operation', message4(discover, { op: 3 }), undefined],
    ['another hardware', message4(discover, { hardware: 6 }), undefined],
    ['a longer address', message4(discover, { length: 16 }), undefined],
    ['another cookie', message4(discover, { cookie: 0x64 }), undefined],
    ['cut before the options', message4(discover).slice(0, 239), undefined],
  ])('%s', (_, bytes, options) => {
    expect(options4(bytes)).toEqual(options);
  });
});

test('classless routes have no more bytes than their length says (RFC 3442)', () => {
  const via = Uint8Array.of(192, 0, 2, 1);
  const to = (length: number, ...bytes: number[]) => ({ to: { bytes: Uint8Array.from(bytes), length }, via });
  const routes = [to(0, 0, 0, 0, 0), to(8, 10, 0, 0, 0), to(17, 10, 1, 128, 0), to(32, 10, 1, 2, 3)];
  expect([...classlessRoutes(routes)]).toEqual(
    [[0], [8, 10], [17, 10, 1, 128], [32, 10, 1, 2, 3]].flatMap((route) => [...route, ...via]),
  );
});

const option6 = (code: number, ...value: number[]): number[] => [
  0,
  code,
  value.length >>> 8,
  value.length,
  ...value,
];
const address6 = [...option6(5, ...new Array(16).fill(7), ...new Array(8).fill(0))];
const na = (...inner: number[]): number[] => option6(3, 0, 0, 0, 9, ...new Array(8).fill(0), ...inner);

describe('messages of DHCPv6', () => {
  const solicit = [1, 0xab, 0xcd, 0xef];
  test.each<[string, number[], object | undefined]>([
    ['a bare one', solicit, { type: 1, transaction: 0xabcdef, associations: [], rapidCommit: false }],
    [
      'identifiers',
      [...solicit, ...option6(1, 1, 2, 3), ...option6(2, 4, 5, 6)],
      { clientId: Uint8Array.of(1, 2, 3), serverId: Uint8Array.of(4, 5, 6) },
    ],
    ['a client twice', [...solicit, ...option6(1, 1, 2, 3), ...option6(1, 1, 2, 3)], undefined],
    ['a server twice', [...solicit, ...option6(2, 1, 2, 3), ...option6(2, 1, 2, 3)], undefined],
    ['a client too short', [...solicit, ...option6(1, 1, 2)], undefined],
    ['a client of 130 bytes', [...solicit, ...option6(1, ...new Array(130).fill(1))], { type: 1 }],
    ['of 131', [...solicit, ...option6(1, ...new Array(131).fill(1))], undefined],
    ['rapid commit', [...solicit, ...option6(14)], { rapidCommit: true }],
    ['an unknown option', [...solicit, ...option6(200, 1)], { type: 1 }],
    [
      'an address',
      [...solicit, ...na(...address6)],
      { associations: [{ kind: 'addresses', iaid: 9, addresses: [new Uint8Array(16).fill(7)] }] },
    ],
    [
      'another option within',
      [...solicit, ...na(...option6(13, 0, 0))],
      { associations: [{ addresses: [] }] },
    ],
    ['a short address', [...solicit, ...na(...option6(5, 1, 2))], undefined],
    ['an option that reaches beyond its association', [...solicit, ...na(0, 5, 0, 24, 1)], undefined],
    ['a short association', [...solicit, ...option6(3, 0, 0, 0, 9)], undefined],
    ['sixteen associations', [...solicit, ...new Array(16).fill(na()).flat()], { type: 1 }],
    ['seventeen', [...solicit, ...new Array(17).fill(na()).flat()], undefined],
    ['sixteen addresses', [...solicit, ...na(...new Array(16).fill(address6).flat())], { type: 1 }],
    ['seventeen addresses', [...solicit, ...na(...new Array(17).fill(address6).flat())], undefined],
    ['more options than anybody sends', [...solicit, ...new Array(129).fill(option6(14)).flat()], undefined],
    [
      'a prefix',
      [...solicit, ...option6(25, ...new Array(12).fill(0))],
      { associations: [{ kind: 'prefixes' }] },
    ],
    ['a relay’s', [12, 0, ...new Array(32).fill(0)], undefined],
    ['type 0', [0, 0, 0, 0], undefined],
    ['an option that reaches beyond', [...solicit, 0, 1, 0, 9, 1], undefined],
    ['an option without a length', [...solicit, 0, 1, 0], undefined],
    ['three bytes', [1, 0, 0], undefined],
  ])('%s', (_, bytes, expected) => {
    const message = readDhcp6(Uint8Array.from(bytes), 0, bytes.length);
    if (expected === undefined) expect(message).toBeUndefined();
    else expect(message).toMatchObject(expected);
  });

  test('who all servers are', () => {
    const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2);
    expect(isAllDhcp6Servers(group)).toBe(true);
    group[15] = 3;
    expect(isAllDhcp6Servers(group)).toBe(false);
  });

  test('domain names', () => {
    expect([...domainBytes('ab.c')!]).toEqual([2, 97, 98, 1, 99, 0]);
    for (const wrong of ['', '.', 'a..b', 'a b', 'x'.repeat(64), 'é'])
      expect(domainBytes(wrong)).toBeUndefined();
  });
});
