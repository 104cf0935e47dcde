// What is kept of a NIC, and the forms that its addresses take on the way.

import { expect, test } from 'vitest';
import { FOREVER, type WholeAddress } from '../netlink/address.ts';
import type { Link } from '../netlink/link.ts';
import {
  addedAtOnce,
  addressOn,
  decodeRecords,
  encodeRecords,
  insideForm,
  isHalfAdded,
  isLinkLocal,
  type NicRecord,
  neighbourOn,
  saveAddress,
  saveLink,
  saveNeighbour,
} from './nic-record.ts';

const six: WholeAddress = {
  ifindex: 3,
  family: 10,
  bytes: Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5),
  prefixLength: 64,
  scope: 0,
  flags: 0x348, // MANAGETEMPADDR, NOPREFIXROUTE, TENTATIVE, DADFAILED
  tentative: true,
  protocol: 2,
  preferredS: 4000,
  validS: 5000,
};
const four: WholeAddress = {
  ...six,
  family: 2,
  bytes: Uint8Array.of(10, 9, 0, 1),
  peer: Uint8Array.of(10, 9, 0, 2),
  broadcast: Uint8Array.of(10, 9, 0, 255),
  label: 'eth1:a',
  priority: 5,
  flags: 0x81,
  tentative: false,
};

test('an address is kept without the state of its search for duplicates, and comes again on any index', () => {
  const saved = saveAddress(six)!;
  expect(saved.flags).toBe(0x300);
  expect(JSON.parse(JSON.stringify(saved))).toEqual(saved);
  expect(addressOn(saved, 9)).toEqual({ ...six, ifindex: 9, flags: 0x300, tentative: false });
  expect(addressOn(saveAddress(four)!, 9)).toEqual({ ...four, ifindex: 9 });
  // Temporary ones the kernel makes by itself; the same bit of IPv4 is a secondary address.
  expect(saveAddress({ ...six, flags: 1 })).toBeUndefined();
});

test('inside an address is for ever and makes its prefix’s route', () => {
  expect(insideForm(saveAddress(six)!)).toMatchObject({ flags: 0, preferredS: FOREVER, validS: FOREVER });
  const old = saveAddress({ ...six, flags: 0x20, preferredS: 0 })!;
  expect(insideForm(old)).toMatchObject({ flags: 0, preferredS: 0, validS: FOREVER });
});

test('IPv6 is added without the search for duplicates, then the flag is taken off', () => {
  const saved = saveAddress(six)!;
  const added = addedAtOnce(saved);
  expect(added.flags).toBe(0x302);
  expect(isHalfAdded(added, saved)).toBe(true);
  expect(isHalfAdded(saved, saved)).toBe(false);
  expect(isHalfAdded(added, added)).toBe(false);
  expect(addedAtOnce(saveAddress(four)!)).toEqual(saveAddress(four));
});

test('link-local is what the kernel may have made', () => {
  const is = (family: number, bytes: string) => isLinkLocal({ ...saveAddress(six)!, family, bytes });
  expect([is(10, 'fe80'), is(10, 'febf'), is(2, 'a9fe0707')]).toEqual([true, true, true]);
  expect([is(10, 'fec0'), is(10, '2001'), is(2, '0a000001')]).toEqual([false, false, false]);
});

test('a neighbour comes again', () => {
  const address = Uint8Array.of(10, 1, 0, 1);
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  const neighbour = { family: 2, ifindex: 3, state: 0x80, flags: 8, address, mac, protocol: 4 };
  expect(neighbourOn(saveNeighbour(neighbour), 5)).toEqual({ ...neighbour, ifindex: 5 });
});

test('the file: what is written is read; what is not whole is refused', () => {
  const link = { mac: four.bytes, group: 4242, kind: '', up: true, mtu: 1500, alias: 'x' } as unknown as Link;
  expect(saveLink(link)).toEqual({ mac: '0a090001', group: 0, kind: '', up: true, mtu: 1500, alias: 'x' });
  expect(saveLink({ ...link, group: 7, permanentMac: Uint8Array.of(1) })).toMatchObject({
    group: 7,
    permanentMac: '01',
  });
  const record: NicRecord = {
    name: 'eth1',
    ...saveLink(link),
    addresses: [saveAddress(four)!],
    routes: [],
    neighbours: [],
    sysctls: { 'net/ipv4/conf/eth1/rp_filter': '2' },
    bootId: 'b',
    savedAt: 's',
  };
  const data = JSON.parse(encodeRecords(new Map([['eth1', record]])));
  expect(data.schema).toBe(1);
  expect(decodeRecords(data)).toEqual(new Map([['eth1', record]]));
  expect(() => decodeRecords({ nics: { eth1: { ...record, name: 'eth2' } } })).toThrow('not whole');
  expect(() => decodeRecords({ nics: { eth1: { ...record, routes: undefined } } })).toThrow('not whole');
  for (const nics of [undefined, null, 5, '', []])
    expect(() => decodeRecords({ nics })).toThrow('no records');
  const broken = [{ addresses: [5] }, { routes: [null] }, { sysctls: undefined }].map((part) => ({
    ...record,
    ...part,
  }));
  for (const eth1 of [null, 5, ...broken]) expect(() => decodeRecords({ nics: { eth1 } })).toThrow();
});
