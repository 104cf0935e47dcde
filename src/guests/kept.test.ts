import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LeafdError } from '../lib/leafd-error.ts';
import type { Binding, KeptAddress } from './binding.ts';
import { binding, mac } from './fake-host.test-data.ts';
import { decodeKept, encodeKept } from './kept.ts';

const address: KeptAddress = {
  binding: 'vm',
  address: '10.0.0.1',
  port: 'tap1',
  mac: '02:00:00:00:00:01',
  state: 'attached',
  reason: 'bound',
  sinceMs: 5,
  sequence: 7,
};
const full: Binding = {
  ...binding('vm', {
    port: 'tap1',
    mac: mac(1),
    bridge: 'vmbr1',
    addresses: ['10.0.0.1', '2001:db8::1'],
    allowed: ['10.1.0.0/16', '2001:db8::/64'],
    maxAddresses: 3,
    source: 'proxmox',
  }),
  guest: '100',
  expected: { from: 'hv1', untilMs: 99, qmp: '/run/q', alone: true },
};

test('what is written is read, and the configuration is not written', () => {
  const bindings = [full, binding('b', { mac: mac(2) })];
  const addresses = [
    address,
    { ...address, address: '2001:db8::1', mac: '', port: '', state: 'frozen' as const },
  ];
  const text = encodeKept({ bindings: [...bindings, { ...full, name: 'c', source: 'config' }], addresses });
  expect(decodeKept(text, 'f')).toEqual({ bindings, addresses, skipped: [] });
  expect(decodeKept(encodeKept({ bindings: [], addresses: [] }), 'f')).toEqual({
    bindings: [],
    addresses: [],
    skipped: [],
  });
});

test.each([
  ['not JSON', '{"schema": 1,\n "bindings": [}', /f is not JSON/, [2, 16]],
  ['half of a file', '{"schema": 1, "bindings": [', /not JSON/, undefined],
  ['a list', '[]', /not an object/, [1, 1]],
  ['no schema', '{}', /no schema/, undefined],
  ['a newer schema', '{\n"schema": 2}', /schema 2, which is newer than this leafd \(1\)/, [2, 1]],
  ['a schema that is none', '{"schema": "1"}', /no schema/, undefined],
  ['bindings that are no list', '{"schema": 1, "bindings": {}}', /bindings is not a list/, [1, 15]],
  ['addresses that are no list', '{"schema": 1, "addresses": 3}', /addresses is not a list/, [1, 15]],
] as const)('%s is refused as a whole, with its place', (_, text, message, place) => {
  let error: LeafdError | undefined;
  try {
    decodeKept(text, 'f');
  } catch (thrown) {
    error = thrown as LeafdError;
  }
  expect(error).toMatchObject({
    code: 'state-unreadable',
    message: expect.stringMatching(message),
    where: { file: 'f' },
  });
  expect(error!.hint).toBeTruthy();
  if (place !== undefined) expect([error!.where!.line, error!.where!.column]).toEqual(place);
});

test.each<[string, string, unknown, RegExp]>([
  ['bindings', 'name', '', /bindings\[0\]\.name: is empty/],
  ['bindings', 'name', 'x'.repeat(256), /name: is not a text/],
  ['bindings', 'source', 'config', /source: is not one of api/],
  ['bindings', 'mac', '02:00', /mac: is not a MAC/],
  ['bindings', 'port', 7, /port: is not a text/],
  ['bindings', 'addresses', ['10.0.0.1', '10.0.0.256'], /addresses\[1\]: is not an address/],
  ['bindings', 'addresses', '10.0.0.1', /addresses: is not a list/],
  ['bindings', 'allowed', ['10.0.0.1/8'], /allowed\[0\]: is not a prefix/],
  [
    'bindings',
    'allowed',
    Array.from({ length: 65 }, () => '10.0.0.0/8'),
    /allowed: is not a list.*64 at most/,
  ],
  ['bindings', 'maxAddresses', -1, /maxAddresses: is not a whole number/],
  ['bindings', 'sinceMs', 1.5, /sinceMs: is not a whole number/],
  ['bindings', 'expected', { untilMs: 'soon' }, /bindings\[0\]\.expected\.untilMs: is not/],
  ['bindings', 'expected', 4, /expected|is not an object/],
  ['addresses', 'address', '10.0.0', /addresses\[0\]\.address: is not an address/],
  ['addresses', 'mac', 'zz', /mac: is not a MAC/],
  ['addresses', 'state', 'bound', /state: is not one of/],
  ['addresses', 'reason', 'toString', /reason: is not one of/],
  ['addresses', 'sequence', 2 ** 32, /sequence: is not/],
  ['addresses', 'port', undefined, /port: is not a text/],
])('%s with %s %j: left out and named, the rest is read', (list, key, value, message) => {
  const data = JSON.parse(encodeKept({ bindings: [full], addresses: [address] }));
  const good =
    list === 'bindings'
      ? { ...data.bindings[0], name: 'good' }
      : { ...data.addresses[0], address: '10.9.9.9' };
  data[list] = [{ ...data[list][0], [key]: value }, good, 5, good];
  const kept = decodeKept(JSON.stringify(data), 'f');
  expect((kept as unknown as Record<string, unknown[]>)[list]).toHaveLength(1);
  expect(kept.skipped.map((error) => error.message)).toEqual([
    expect.stringMatching(message),
    expect.stringMatching(/\[2\]: is not an object/),
    expect.stringMatching(/\[3\]: .* is there twice/),
  ]);
});

test('a list that is too long is cut', () => {
  const data = JSON.parse(encodeKept({ bindings: [full], addresses: [] }));
  data.bindings = Array.from({ length: 8200 }, (_, n) => ({ ...data.bindings[0], name: `b${n}` }));
  const kept = decodeKept(JSON.stringify(data), 'f');
  expect([kept.bindings.length, kept.skipped.length]).toEqual([8192, 1]);
});

test('whatever the file holds, it is read, left out or refused', () => {
  const text = encodeKept({ bindings: [full], addresses: [address] });
  const spoilt = fc.record({ at: fc.nat(text.length - 1), put: fc.string({ maxLength: 3 }), cut: fc.nat(4) });
  const judge = (candidate: string): void => {
    try {
      const { bindings, addresses } = decodeKept(candidate, 'f');
      expect(decodeKept(encodeKept({ bindings, addresses }), 'f')).toEqual({
        bindings,
        addresses,
        skipped: [],
      });
    } catch (error) {
      expect((error as LeafdError).code).toBe('state-unreadable');
    }
  };
  fc.assert(
    fc.property(spoilt, ({ at, put, cut }) => judge(text.slice(0, at) + put + text.slice(at + cut))),
    { numRuns: 500 },
  );
  const entry = fc.dictionary(
    fc.constantFrom('name', 'source', 'mac', 'port', 'addresses', 'state', 'address'),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(fc.array(entry), fc.array(entry), (bindings, addresses) =>
      judge(JSON.stringify({ schema: 1, bindings, addresses })),
    ),
  );
});
