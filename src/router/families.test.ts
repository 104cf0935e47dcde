// Families whose NLRI is more than a prefix, from one peer through the router to another.

import { expect, test, vi } from 'vitest';
import { policy } from '../../test/sim/bed.ts';
import { MP_REACH } from '../wire/bgp/attribute/table.ts';
import { EVPN, FLOWSPEC4, RTC, VPNV4 } from '../wire/bgp/family.ts';
import { OPTIONAL_ATTRIBUTE_ERROR, updateFault } from '../wire/bgp/fault.ts';
import { UpdateDecoder, type UpdateView } from '../wire/bgp/update.ts';
import type { AddressPeer } from './config.ts';
import { type Far, fromHex, neighbour, type RouteRig, routeRig, update } from './route-rig.test-data.ts';

const internal = { remoteAs: { kind: 'internal' as const }, routeReflectorClient: true };
const within = { origin: 'igp', asPath: '', localPref: 100 } as const;
const outside = { origin: 'igp', asPath: '65002' } as const;
const target = ['rt:65000:1'];

/** 65000:1 10.7.0.0/16, label 100. */
const vpn = fromHex('68 000641 0000fde800000001 0a07');
/** Type 3: RD 65000:1, tag 0, originator 192.0.2.9. */
const multicast = fromHex('03 11 0000fde800000001 00000000 20 c0000209');
/** Type 9, of which nothing here knows more than that it exists. */
const unknown = fromHex(`09 28 0000fde800000001${'c5'.repeat(32)}`);
/** Destination 10.7.0.0/16, protocol 6. */
const flow = fromHex('07 01100a07 038106');
/** AS 65000, rt:65000:1. */
const membership = fromHex('60 0000fde8 0002fde800000001');

function two(families: number, first: Partial<AddressPeer>, second: Partial<AddressPeer>): RouteRig & Pair {
  const rig = routeRig([
    neighbour('192.0.2.2', { families, ...first }),
    neighbour('192.0.2.3', { families, ...second }),
  ]);
  const asn = (settings: Partial<AddressPeer>, external: number): number =>
    settings.remoteAs?.kind === 'internal' ? 65001 : external;
  return { ...rig, a: rig.up('192.0.2.2', asn(first, 65002)), b: rig.up('192.0.2.3', asn(second, 65003)) };
}

interface Pair {
  a: Far;
  b: Far;
}

test('VPN routes are reflected with next hop, labels and targets as they came, and taken back', () => {
  const { a, b } = two(1 << VPNV4, internal, internal);
  a.say(
    update(VPNV4, [vpn], {
      attributes: { ...within, extendedCommunities: target },
      nextHop: '192.0.2.2',
    }),
  );
  expect([...b.has.keys()]).toEqual(['65000:1:10.7.0.0/16']);
  expect(b.has.get('65000:1:10.7.0.0/16')).toMatchObject({
    nextHop: '192.0.2.2',
    nlri: '68000641' + '0000fde8000000010a07',
    attributes: { extendedCommunities: target, originatorId: '0.0.0.2' },
  });
  expect(a.has.size).toBe(0);
  // Another label is another way to the same route.
  a.say(
    update(VPNV4, [fromHex('68 000651 0000fde800000001 0a07')], { attributes: within, nextHop: '192.0.2.2' }),
  );
  expect(b.has.get('65000:1:10.7.0.0/16')!.nlri.slice(2, 8)).toBe('000651');
  a.say(update(VPNV4, [fromHex('68 800000 0000fde800000001 0a07')]));
  expect(b.has.size).toBe(0);
});

test('an EVPN route of an unknown type is reflected byte by byte', () => {
  const { a, b } = two(1 << EVPN, internal, internal);
  a.say(update(EVPN, [multicast, unknown], { attributes: within, nextHop: '192.0.2.2' }));
  expect([...b.has.values()].map(({ nlri }) => nlri).sort()).toEqual(
    [multicast, unknown].map((bytes) => Buffer.from(bytes).toString('hex')),
  );
  a.say(update(EVPN, [unknown]));
  expect(b.has.size).toBe(1);
});

test('an external peer gets VPN and EVPN routes with the next hop as received, unless the operator wants us', () => {
  const families = (1 << EVPN) | (1 << VPNV4);
  for (const [nextHopSelf, nextHop] of [
    ['never', '192.0.2.2'],
    ['all', '192.0.2.1'],
  ] as const) {
    const { a, b } = two(families, {}, { nextHopSelf });
    a.say(update(EVPN, [multicast], { attributes: outside, nextHop: '192.0.2.2' }));
    a.say(update(VPNV4, [vpn], { attributes: outside, nextHop: '192.0.2.2' }));
    expect([...b.has.values()].map((told) => told.nextHop)).toEqual([nextHop, nextHop]);
    expect([...b.has.values()].map((told) => told.attributes.asPath)).toEqual(['65001 65002', '65001 65002']);
  }
});

test('what cannot be reached is not passed on, whatever its family; flow specifications have no next hop', () => {
  const { a, b } = two((1 << EVPN) | (1 << FLOWSPEC4), internal, internal);
  a.say(update(EVPN, [multicast], { attributes: within, nextHop: '203.0.113.1' }));
  expect(b.has.size).toBe(0);
  a.say(update(FLOWSPEC4, [flow], { attributes: within }));
  expect([...b.has.values()]).toMatchObject([{ nextHop: '', nlri: '0701100a07038106' }]);
});

test('a peer that says which route targets it wants gets no others (RFC 4684)', () => {
  const { a, b, router } = two((1 << VPNV4) | (1 << RTC), internal, internal);
  const announce = (attributes: Parameters<typeof update>[2]): void =>
    a.say(update(VPNV4, [vpn], attributes));
  announce({ attributes: { ...within, extendedCommunities: target }, nextHop: '192.0.2.2' });
  const vpns = (): string[] => [...b.has.keys()].filter((key) => key.includes('/16'));
  expect(vpns()).toEqual([]);
  b.say(update(RTC, [membership], { attributes: within, nextHop: '192.0.2.3' }));
  expect(vpns()).toEqual(['65000:1:10.7.0.0/16']);
  // Its membership is reflected: who has such routes has to send them here.
  expect(a.has.size).toBe(1);
  announce({ attributes: { ...within, extendedCommunities: ['rt:65000:2'] }, nextHop: '192.0.2.2' });
  expect(vpns()).toEqual([]);
  announce({ attributes: { ...within, extendedCommunities: target }, nextHop: '192.0.2.2' });
  b.say(update(RTC, [membership]));
  expect(vpns()).toEqual([]);
  router.configure({ ...router.config, rtcDefault: true });
  b.say();
  expect([...b.has.values()].map(({ nlri }) => nlri)).toEqual(['00']);
});

test('a family that is given up goes alone, and its later routes are not heard', () => {
  const { a, b, events, router } = two((1 << EVPN) | 1, {}, {});
  a.say(update(EVPN, [multicast], { attributes: outside, nextHop: '192.0.2.2' }));
  a.say(update(0, [fromHex('100a09')], { attributes: outside, nextHop: '192.0.2.2' }));
  expect(b.has.size).toBe(2);
  const fault = updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'disable', 'EVPN NLRI cannot be parsed', MP_REACH);
  const decode = vi.spyOn(UpdateDecoder.prototype, 'decode').mockImplementationOnce(() => {
    const told = { ...fault, family: EVPN, offset: 23, bytes: fromHex('900e0040') };
    return { sectionCount: 0, endOfRib: -1, fault: told, faults: [told] } as unknown as UpdateView;
  });
  a.say(update(EVPN, [multicast], { attributes: outside, nextHop: '192.0.2.2' }));
  decode.mockRestore();
  expect(a.peer.established).toBeDefined();
  expect(events.filter(({ kind }) => kind === 'familyDisabled')).toHaveLength(1);
  expect(events.filter(({ kind }) => kind === 'malformed')).toMatchObject([
    { text: 'EVPN NLRI cannot be parsed (RFC 7606: disable evpn; MP_REACH_NLRI at 23: 900e0040)' },
  ]);
  expect([...b.has.keys()]).toEqual(['10.9.0.0/16']);
  a.say(update(EVPN, [multicast], { attributes: outside, nextHop: '192.0.2.2' }));
  expect(b.has.size).toBe(1);
  expect(router.directory.byName.get('192.0.2.2')!.faults.counts).toMatchObject([
    { name: 'MP_REACH_NLRI', disposition: 'disable', count: 1 },
  ]);
});

test('policies judge VPN and EVPN routes by what is in their NLRI', () => {
  const rules = policy(
    'vni',
    { match: { family: 'evpn', evpnType: 3 }, action: 'reject' },
    { match: { routeDistinguisher: '65000:1', prefixes: ['10.7.0.0/16'] }, action: 'reject' },
  );
  const families = (1 << EVPN) | (1 << VPNV4);
  const { a, b } = two(families, { ...internal, import: rules }, internal);
  a.say(update(EVPN, [multicast, unknown], { attributes: within, nextHop: '192.0.2.2' }));
  const other = fromHex('68 000641 0000fde800000002 0a07');
  a.say(update(VPNV4, [vpn, other], { attributes: within, nextHop: '192.0.2.2' }));
  expect([...b.has.keys()].filter((key) => key.startsWith('65000'))).toEqual(['65000:2:10.7.0.0/16']);
  expect([...b.has.values()].map(({ nlri }) => nlri.slice(0, 2)).sort()).toEqual(['09', '68']);
});
