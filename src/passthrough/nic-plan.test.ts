// Where a NIC is and what is next, for every place that a crash, the kernel or an operator may have left it in.

import { describe, expect, test } from 'vitest';
import type { Link } from '../netlink/link.ts';
import { locate, moveText, type Place, stepHome, stepIn } from './nic-plan.ts';
import { MOVED_GROUP, type NicRecord } from './nic-record.ts';

const BOOT = 'this';
const nic = (more: Partial<Link> = {}): Link => ({
  ifindex: 3,
  name: 'eth1',
  flags: 0,
  up: true,
  carrier: true,
  mtu: 1500,
  mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  kind: '',
  alias: '',
  master: 0,
  lower: 0,
  group: 0,
  operState: 6,
  carrierChanges: 0,
  ...more,
});
const address = {
  family: 2,
  bytes: '0a010005',
  prefixLength: 24,
  scope: 0,
  flags: 0,
  protocol: 0,
  preferredS: 1,
  validS: 1,
};
const record: NicRecord = {
  name: 'eth1',
  kind: '',
  mac: '020000000001',
  up: true,
  mtu: 1500,
  group: 0,
  alias: '',
  addresses: [address],
  routes: [],
  neighbours: [],
  sysctls: {},
  bootId: BOOT,
  savedAt: '',
};
const burnt = Uint8Array.of(0, 1, 2, 3, 4, 5);
const hardware: NicRecord = { ...record, permanentMac: '000102030405' };
const marked = { group: MOVED_GROUP };
const otherMac = { mac: Uint8Array.of(2, 0, 0, 0, 0, 9) };
const kinds = (place: Place): string => (place.kind === 'home' && place.marked ? 'home marked' : place.kind);

describe('where it is', () => {
  test.each([
    ['at home by name', undefined, [nic()], [], 'home'],
    ['nowhere', undefined, [nic({ name: 'eth2' })], [], 'absent'],
    ['inside by name where there is no record', undefined, [], [nic()], 'router'],
    ['at home, and another of its name inside', undefined, [nic()], [nic(otherMac)], 'home'],
    ['inside by name and MAC', record, [], [nic()], 'router'],
    ['inside under another name, by mark and MAC', record, [], [nic({ name: 'x', ...marked })], 'router'],
    ['inside with another MAC, by mark and name', record, [], [nic({ ...otherMac, ...marked })], 'router'],
    ['inside is another of its name', record, [], [nic(otherMac)], 'absent'],
    ['inside is another of its MAC', record, [], [nic({ name: 'x' })], 'absent'],
    ['inside is another kind', record, [], [nic({ kind: 'veth' })], 'absent'],
    ['given back under another name', record, [nic({ name: 'dev9', ...marked })], [], 'home marked'],
    [
      'given back, another has its name',
      record,
      [nic(otherMac), nic({ name: 'dev9', ...marked })],
      [],
      'home marked',
    ],
    [
      'hardware by its permanent MAC',
      hardware,
      [],
      [nic({ name: 'x', ...otherMac, permanentMac: burnt })],
      'router',
    ],
    ['hardware without that MAC', hardware, [], [nic({ ...marked })], 'absent'],
  ] as const)('%s', (_what, known, home, router, where) => {
    expect(kinds(locate('eth1', known, home, router))).toBe(where);
  });
});

describe('inwards', () => {
  const step = (place: Place, known: NicRecord | undefined, addresses: number, home: Link[] = []) =>
    stepIn(place, known, home, () => addresses);
  const home = (more: Partial<Link> = {}): Place => ({
    kind: 'home',
    link: nic(more),
    marked: more.group === MOVED_GROUP,
  });

  test('what is at home is saved and moved; what it has there counts, unless leafd made it so', () => {
    expect(step(home(), undefined, 1)).toMatchObject({ kind: 'move', fresh: true });
    expect(step(home(), record, 1)).toMatchObject({ kind: 'move', fresh: true });
    expect(step(home(), record, 0)).toMatchObject({ kind: 'move', fresh: false });
    const unnumbered = { ...record, addresses: [{ ...address, family: 10, bytes: 'fe80' }] };
    expect(step(home(), unnumbered, 0)).toMatchObject({ kind: 'move', fresh: true });
    expect(step(home(), { ...record, addresses: [] }, 0)).toMatchObject({ kind: 'move', fresh: true });
    expect(step(home(marked), record, 1)).toMatchObject({ kind: 'move', fresh: false });
    expect(step(home(marked), undefined, 1)).toMatchObject({ kind: 'move', fresh: true });
    // Another card in the same place.
    expect(step(home({ permanentMac: Uint8Array.of(9, 9, 9, 9, 9, 9) }), hardware, 0)).toMatchObject({
      fresh: true,
    });
  });

  test('inside it is settled, without a record adopted; absent it is waited for', () => {
    expect(step({ kind: 'router', link: nic() }, record, 0)).toMatchObject({ kind: 'settle', adopt: false });
    expect(step({ kind: 'router', link: nic() }, undefined, 0)).toMatchObject({
      kind: 'settle',
      adopt: true,
    });
    expect(step({ kind: 'absent' }, record, 0)).toEqual({ kind: 'wait' });
  });

  test.each([
    ['a VLAN', { kind: 'vlan', lower: 3 }, true],
    ['a macvlan', { kind: 'macvlan', lower: 3 }, true],
    ['a member', { master: 3 }, true],
    ['the other leg of a veth', { kind: 'veth', lower: 3 }, false],
    ['what lies on index 3 of another namespace', { kind: 'macvlan', lower: 3, lowerElsewhere: true }, false],
    ['what lies on another', { kind: 'vlan', lower: 4 }, false],
  ] as const)('%s on it', (_what, more, refused) => {
    const above = nic({ ifindex: 7, name: 'eth1.5', ...more });
    const next = step(home(), undefined, 1, [nic(), above]);
    expect(next.kind).toBe(refused ? 'refuse' : 'move');
    if (next.kind === 'refuse') expect(next.text).toContain('eth1.5');
  });
});

test('homewards: fetched, made what it was, or left as somebody has made it', () => {
  const step = (place: Place, known: NicRecord, addresses: number) =>
    stepHome(place, known, BOOT, () => addresses).kind;
  const home = (more: Partial<Link> = {}): Place => ({
    kind: 'home',
    link: nic(more),
    marked: more.group === MOVED_GROUP,
  });
  expect(step({ kind: 'absent' }, record, 0)).toBe('wait');
  expect(step({ kind: 'router', link: nic() }, record, 0)).toBe('fetch');
  expect(step(home(marked), record, 5)).toBe('restore');
  expect(step(home(), record, 0)).toBe('restore');
  expect(step(home(), record, 1)).toBe('forget');
  expect(step(home(), { ...record, bootId: 'before' }, 0)).toBe('forget');
  expect(step(home(otherMac), record, 0)).toBe('forget');
  expect(step(home({ ...otherMac, ...marked }), record, 0)).toBe('restore');
  expect(step(home({ kind: 'veth' }), record, 0)).toBe('forget');
});

test('what the kernel refuses is told in words', () => {
  expect(moveText('EEXIST', '', 'eth1', 'the host')).toBe('the host has another link named eth1');
  expect(moveText('EINVAL', 'immutable', 'br0', 'x')).toContain('(immutable)');
  expect(moveText('EPERM', '', 'eth1', 'the host')).toBe('the kernel refuses to move it to the host: EPERM');
});
