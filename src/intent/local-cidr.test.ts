// The rule of OpenPERouter to the letter, with its own cases; then, for any prefix and node, what must hold of it.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatIp, parseIp } from '../net/ip.ts';
import { type Prefix, parsePrefix, prefixContainsIp, prefixOf } from '../net/prefix.ts';
import { broadcastOf, lastNodeIndex, localAddresses } from './local-cidr.ts';

const of = (cidr: string, nodeIndex: number) => {
  const found = localAddresses(parsePrefix(cidr)!, nodeIndex);
  return found && `${formatIp(found.router)} ${formatIp(found.host)}`;
};

test.each([
  ['192.168.1.0/24', 0, '192.168.1.1 192.168.1.2'],
  ['192.168.1.0/24', 1, '192.168.1.1 192.168.1.3'],
  ['192.168.1.1/24', 0, '192.168.1.1 192.168.1.2'],
  ['192.169.10.17/28', 0, '192.169.10.16 192.169.10.17'],
  ['192.169.10.17/28', 13, '192.169.10.16 192.169.10.30'],
  ['192.169.10.17/28', 14, undefined],
  ['10.0.0.0/24', 252, '10.0.0.1 10.0.0.254'],
  ['10.0.0.0/24', 253, undefined],
  ['10.0.0.0/16', 253, '10.0.0.1 10.0.0.255'],
  ['10.0.0.0/16', 254, '10.0.0.1 10.0.1.0'],
  ['10.0.1.0/23', 0, '10.0.0.1 10.0.0.2'],
  ['192.0.2.6/31', 0, '192.0.2.6 192.0.2.7'],
  ['192.0.2.6/31', 1, undefined],
  ['192.0.2.0/31', 0, '192.0.2.0 192.0.2.1'],
  ['192.0.2.1/32', 0, undefined],
  ['192.0.2.4/30', 0, '192.0.2.4 192.0.2.5'],
  ['192.0.2.4/30', 1, '192.0.2.4 192.0.2.6'],
  ['192.0.2.4/30', 2, undefined],
  ['192.0.2.0/30', 0, '192.0.2.1 192.0.2.2'],
  ['192.0.2.0/30', 1, undefined],
  ['2001:db8::/64', 0, '2001:db8::1 2001:db8::2'],
  ['2001:db8::1/64', 1, '2001:db8::1 2001:db8::3'],
  ['2001:db8::100/120', 0, '2001:db8::101 2001:db8::102'],
  ['2001:db8::100/120', 253, '2001:db8::101 2001:db8::1ff'],
  ['2001:db8::100/120', 254, undefined],
  ['2001:db8::4/127', 0, '2001:db8::4 2001:db8::5'],
  ['2001:db8::/127', 0, '2001:db8:: 2001:db8::1'],
  ['2001:db8::/127', 1, undefined],
  ['2001:db8::1/128', 0, undefined],
  ['fd00:10::/64', 65535, 'fd00:10::1 fd00:10::1:1'],
])('%s, node %i: %s', (cidr, nodeIndex, expected) => expect(of(cidr, nodeIndex)).toBe(expected));

const prefix: fc.Arbitrary<Prefix> = fc
  .constantFrom(4, 16)
  .chain((size) =>
    fc
      .tuple(
        fc.uint8Array({ minLength: size, maxLength: size }),
        fc.integer({ min: 1, max: size * 8 }),
        fc.boolean(),
      )
      .map(([bytes, length, zero]) => prefixOf(zero ? bytes.with(size - 1, 0) : bytes, length)),
  );

const numberOf = (address: Uint8Array): bigint =>
  address.reduce((sum, byte) => (sum << 8n) + BigInt(byte), 0n);

test('whatever the prefix: both within it, neighbours in order of the index, nobody at the broadcast address', () => {
  fc.assert(
    fc.property(prefix, fc.integer({ min: 0, max: 65535 }), (cidr, nodeIndex) => {
      const found = localAddresses(cidr, nodeIndex);
      expect(found !== undefined).toBe(nodeIndex <= lastNodeIndex(cidr));
      const network = numberOf(cidr.bytes);
      const bits = BigInt(cidr.bytes.length * 8 - cidr.length);
      const router = network + (bits > 1n && network % 256n === 0n ? 1n : 0n);
      const host = router + 1n + BigInt(nodeIndex);
      const last = network + (1n << bits) - (cidr.bytes.length === 4 && bits > 1n ? 2n : 1n);
      expect(found !== undefined).toBe(host <= last);
      if (found === undefined) return;
      expect(numberOf(found.router)).toBe(router);
      expect(numberOf(found.host)).toBe(host);
      expect(prefixContainsIp(cidr, found.router) && prefixContainsIp(cidr, found.host)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test('the broadcast address is the last of an IPv4 prefix that has one', () => {
  const broadcast = (cidr: string) => {
    const address = broadcastOf(parsePrefix(cidr)!);
    return address && formatIp(address);
  };
  expect(['10.0.0.0/24', '10.0.0.16/28', '10.0.0.0/9', '10.0.0.0/30'].map(broadcast)).toEqual([
    '10.0.0.255',
    '10.0.0.31',
    '10.127.255.255',
    '10.0.0.3',
  ]);
  expect(['10.0.0.0/31', '10.0.0.1/32', 'fd00::/64'].map(broadcast)).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(parseIp('10.0.0.255')).toEqual(broadcastOf(parsePrefix('10.0.0.0/24')!));
});
