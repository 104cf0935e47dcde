// UPDATEs of families whose NLRI is more than a prefix: next hops, NLRI that is passed over or withdrawn among
// others, and what cannot be taken apart. Their bytes are in test/golden, the codecs' own cases in nlri/.
import { describe, expect, test } from 'vitest';
import {
  asPath,
  attribute,
  golden,
  hexOf,
  nextHop,
  nlri,
  origin,
  updateBody,
} from '../../../test/golden/build.ts';
import { EVPN, FLOWSPEC4, families, IPV4, IPV6, RTC, VPNV4, VPNV6 } from './family.ts';
import { MESSAGE_LENGTH_MAX } from './header.ts';
import { type UpdateContext, UpdateDecoder, type UpdateView } from './update.ts';
import { messageLengthAt, UpdateWriter } from './update-writer.ts';

const external: UpdateContext = { asn4: true, internal: false, families: 0x3ff, addPath: 0 };

const afiSafi = (family: number): number[] => [0, families[family]!.afi, families[family]!.safi];

function reach(family: number, hop: string, routes: string): Uint8Array {
  const bytes = golden(hop);
  return attribute(0x90, 14, [...afiSafi(family), bytes.length, ...bytes, 0, ...golden(routes)]);
}

const unreach = (family: number, routes: string): Uint8Array =>
  attribute(0x90, 15, [...afiSafi(family), ...golden(routes)]);

function decode(parts: Parameters<typeof updateBody>[0], ctx = external): UpdateView {
  const body = updateBody(parts);
  return new UpdateDecoder().decode(body, 0, body.length, ctx);
}

function sections(view: UpdateView): [family: number, reach: number, length: number][] {
  return Array.from({ length: view.sectionCount }, (_, i) => [
    view.sectionFamily[i]!,
    view.sectionReach[i]!,
    view.sectionEnd[i]! - view.sectionStart[i]!,
  ]);
}

const rd = '0000fde800000001';
const zeroRd = '00'.repeat(8);
const global6 = '20010db8000000000000000000000001';
const linkLocal = 'fe800000000000000000000000000009';
const vpn4 = `70 000641 ${rd} 0a0102`;
const vpn6 = `88 000641 ${rd} 20010db80001`;
const multicast = `03 11 ${rd} 00000000 20 0a000001`;
const unknownType = '63 03 010203';
const contradiction = `05 22 ${rd} 03${'00'.repeat(9)} 00000000 18 0a010200 0a000001 0003e8`;

describe('next hops', () => {
  const routes: Record<number, string> = {
    [VPNV4]: vpn4,
    [VPNV6]: vpn6,
    [EVPN]: multicast,
    [RTC]: '00',
    [FLOWSPEC4]: '03 03 81 06',
  };
  test.each<[number, string, string, string]>([
    [VPNV4, 'IPv4', `${zeroRd}c0000201`, 'c0000201'],
    [VPNV4, 'IPv4 behind a route distinguisher that is not zero', `${rd}c0000201`, 'c0000201'],
    [VPNV4, 'IPv6 (RFC 8950)', `${zeroRd}${global6}`, global6],
    [VPNV6, 'IPv6', `${zeroRd}${global6}`, global6],
    [VPNV6, 'IPv6 and link-local', `${zeroRd}${global6}${zeroRd}${linkLocal}`, global6],
    [VPNV6, 'IPv4-mapped', `${zeroRd}00000000000000000000ffffc0000201`, 'c0000201'],
    [EVPN, 'IPv4', 'c0000201', 'c0000201'],
    [EVPN, 'IPv6', global6, global6],
    [RTC, 'IPv4', 'c0000201', 'c0000201'],
    [RTC, 'IPv6', global6, global6],
    [FLOWSPEC4, 'none', '', ''],
    [FLOWSPEC4, 'ignored', 'c0000201', ''],
    [FLOWSPEC4, 'ignored, of no length there is', '0102030405', ''],
  ])('%d: %s', (family, _what, wire, address) => {
    const view = decode({ attributes: [reach(family, wire, routes[family]!), origin, asPath] });
    expect([view.fault, view.sectionCount, view.sectionReach[0]]).toEqual([undefined, 1, 1]);
    expect(hexOf(view.nextHop, 0, view.nextHopLength[0])).toBe(address);
  });

  test.each<[number, string, string, string]>([
    [VPNV4, 'without a route distinguisher', 'c0000201', 'reset'],
    [VPNV4, '16 bytes', global6, 'reset'],
    [VPNV6, '12 bytes', `${zeroRd}c0000201`, 'reset'],
    [VPNV6, '32 bytes', global6.repeat(2), 'reset'],
    [VPNV4, 'loopback', `${zeroRd}7f000001`, 'withdraw'],
    [VPNV6, 'unspecified', `${zeroRd}${'00'.repeat(16)}`, 'withdraw'],
    [EVPN, 'none', '', 'reset'],
    [EVPN, '12 bytes', `${zeroRd}c0000201`, 'reset'],
    [EVPN, 'multicast', 'e0000001', 'withdraw'],
    [RTC, '5 bytes', 'c000020100', 'reset'],
  ])('%d: %s', (family, _what, wire, disposition) => {
    const view = decode({ attributes: [reach(family, wire, routes[family]!), origin, asPath] });
    expect(view.fault).toMatchObject({ attribute: 14, disposition });
  });
});

describe('one bad NLRI among good ones', () => {
  const size = golden(multicast).length;

  test('an unknown EVPN type is passed over (RFC 7606 section 5.4)', () => {
    const routes = `${multicast} ${unknownType} ${multicast}`;
    const view = decode({ attributes: [reach(EVPN, 'c0000201', routes), origin, asPath] });
    expect(sections(view)).toEqual([
      [EVPN, 1, size],
      [EVPN, 1, size],
    ]);
    expect([...view.nextHopLength.subarray(0, 2)]).toEqual([4, 4]);
    expect(view.fault).toMatchObject({ disposition: 'discard', attribute: 14 });
    expect(hexOf(view.fault!.bytes!).startsWith('6303010203')).toBe(true);
  });

  test('one that contradicts itself is withdrawn, its neighbours stand (RFC 9136 section 3.1)', () => {
    const routes = `${multicast} ${contradiction} ${contradiction} ${multicast}`;
    const view = decode({ attributes: [reach(EVPN, 'c0000201', routes), origin, asPath] });
    expect(sections(view)).toEqual([
      [EVPN, 1, size],
      [EVPN, 0, 2 * golden(contradiction).length],
      [EVPN, 1, size],
    ]);
    expect(view.fault).toMatchObject({ disposition: 'discard', attribute: 14 });
    expect(view.attrsLength).toBeGreaterThan(0);
  });

  test('in a withdrawal that does not matter', () => {
    const view = decode({ attributes: [unreach(EVPN, `${contradiction} ${unknownType}`)] });
    expect(sections(view)).toEqual([[EVPN, 0, golden(contradiction).length]]);
    expect(view.fault).toMatchObject({ disposition: 'discard', attribute: 15 });
  });

  test('nothing but bad ones is no End-of-RIB', () => {
    const view = decode({ attributes: [unreach(EVPN, unknownType)] });
    expect([view.sectionCount, view.endOfRib, view.fault?.disposition]).toEqual([0, -1, 'discard']);
  });

  test('path identifiers belong to their NLRI', () => {
    const routes = `00000001 ${multicast} 00000002 ${unknownType} 00000003 ${multicast}`;
    const ctx = { ...external, addPath: 1 << EVPN };
    const view = decode({ attributes: [reach(EVPN, 'c0000201', routes), origin, asPath] }, ctx);
    expect(sections(view)).toEqual([
      [EVPN, 1, size + 4],
      [EVPN, 1, size + 4],
    ]);
  });

  test('many cuts make many sections', () => {
    const routes = `${multicast} ${unknownType}`.repeat(60);
    const view = decode({ attributes: [reach(EVPN, 'c0000201', routes), origin, asPath] });
    expect(view.sectionCount).toBe(60);
    expect(
      sections(view).every(
        ([family, announced, length]) => family === EVPN && announced === 1 && length === size,
      ),
    ).toBe(true);
    expect(view.faults.length).toBe(1);
  });

  test('a malformed flow specification is passed over (RFC 8955 section 10)', () => {
    const view = decode({ attributes: [reach(FLOWSPEC4, '', '03 03 81 06 03 0d 81 06'), origin, asPath] });
    expect(sections(view)).toEqual([[FLOWSPEC4, 1, 4]]);
    expect(view.fault?.disposition).toBe('discard');
  });

  test('a stronger fault of an attribute withdraws what is left', () => {
    const view = decode({
      attributes: [
        reach(EVPN, 'c0000201', `${multicast} ${unknownType}`),
        origin,
        asPath,
        attribute(0xc0, 8, []),
      ],
    });
    expect(sections(view)).toEqual([[EVPN, 0, size]]);
    expect(view.fault).toMatchObject({ disposition: 'withdraw', attribute: 8 });
  });
});

describe('NLRI that cannot be located resets (RFC 7606 sections 3 j and 5.3)', () => {
  test.each<[number, string, string]>([
    [VPNV4, 'shorter than label and RD', `57 000641 ${rd}`],
    [VPNV4, 'cut off', `${vpn4} 70 00`],
    [EVPN, 'longer than the field', `${multicast} 03 11 00`],
    [RTC, '97 bits', `61 ${'00'.repeat(13)}`],
    [FLOWSPEC4, 'longer than the field', '03 03 81'],
  ])('%d: %s', (family, _what, routes) => {
    const hop = family === VPNV4 ? `${zeroRd}c0000201` : 'c0000201';
    const announced = decode({ attributes: [reach(family, hop, routes), origin, asPath] });
    expect(announced.fault).toMatchObject({ subcode: 9, disposition: 'reset', attribute: 14 });
    expect(announced.sectionCount).toBe(0);
    const withdrawn = decode({ attributes: [unreach(family, routes)] });
    expect(withdrawn.fault).toMatchObject({ subcode: 9, disposition: 'reset', attribute: 15 });
  });

  test('a path identifier without NLRI', () => {
    const ctx = { ...external, addPath: 0x3ff };
    const view = decode({ attributes: [reach(EVPN, 'c0000201', '00000001'), origin, asPath] }, ctx);
    expect(view.fault).toMatchObject({ disposition: 'reset', attribute: 14 });
  });
});

test('several families in one UPDATE', () => {
  const view = decode({
    withdrawn: nlri('10.9.0.0/16'),
    attributes: [
      reach(VPNV4, `${zeroRd}c0000201`, vpn4),
      unreach(IPV6, '20 20010db8'),
      origin,
      asPath,
      nextHop,
    ],
    nlri: nlri('10.1.0.0/16'),
  });
  expect(view.fault).toBeUndefined();
  expect(sections(view)).toEqual([
    [IPV4, 0, 3],
    [IPV6, 0, 5],
    [VPNV4, 1, golden(vpn4).length],
    [IPV4, 1, 3],
  ]);
});

describe('the writer', () => {
  const attrs = new Uint8Array([...origin, ...asPath]);

  test('fills message after message, each whole', () => {
    const writer = new UpdateWriter();
    writer.begin(MESSAGE_LENGTH_MAX, true);
    writer.beginReach(EVPN, attrs, 0, attrs.length, golden('c0000201'), 0, 4);
    const route = golden(multicast);
    for (let i = 0; i < 1000; i++) {
      route[9] = i;
      route[8] = i >>> 8;
      expect(writer.addNlri(route, 0, route.length)).toBe(true);
    }
    writer.finish();
    const decoder = new UpdateDecoder();
    let routes = 0;
    for (let at = 0; at < writer.length; at += messageLengthAt(writer.bytes, at)) {
      expect(messageLengthAt(writer.bytes, at)).toBeLessThanOrEqual(MESSAGE_LENGTH_MAX);
      const view = decoder.decode(writer.bytes, at + 19, at + messageLengthAt(writer.bytes, at), external);
      expect(view.fault).toBeUndefined();
      routes += (view.sectionEnd[0]! - view.sectionStart[0]!) / route.length;
    }
    expect([routes, writer.messageCount, writer.nextHopCount]).toEqual([1000, 5, 5]);
  });

  test('leaves out what no message has room for, and counts it', () => {
    const writer = new UpdateWriter();
    const large = new Uint8Array(4090);
    large.set([0xff, 0xf8]);
    for (const [max, sent] of [
      [4096, 0],
      [65535, 1],
    ] as const) {
      writer.begin(max, true);
      writer.beginReach(FLOWSPEC4, attrs, 0, attrs.length, new Uint8Array(0), 0, 0);
      expect(writer.nlriFits(large.length)).toBe(sent === 1);
      expect(writer.addNlri(large, 0, large.length)).toBe(true);
      writer.finish();
      expect([writer.unsendable, writer.messageCount]).toEqual([1 - sent, sent]);
    }
  });

  test('an extended message is read back whole', () => {
    const writer = new UpdateWriter();
    writer.begin(65535, true);
    writer.beginUnreach(EVPN, true);
    const route = golden(multicast);
    while (writer.messageCount === 0) writer.addNlri(route, 0, route.length);
    const length = messageLengthAt(writer.bytes, 0);
    expect(length).toBeGreaterThan(65535 - route.length);
    const view = new UpdateDecoder().decode(writer.bytes, 19, length, external);
    expect(view.fault).toBeUndefined();
    expect(sections(view)).toEqual([[EVPN, 0, length - 19 - 4 - 4 - 3]]);
  });

  test('a full chunk says so, and goes on when it is emptied', () => {
    const writer = new UpdateWriter(65535);
    writer.begin(MESSAGE_LENGTH_MAX, true);
    writer.beginUnreach(EVPN, true);
    const route = golden(multicast);
    let added = 0;
    while (writer.addNlri(route, 0, route.length)) added++;
    writer.finish();
    expect(writer.length).toBeGreaterThan(65535 - 2 * MESSAGE_LENGTH_MAX);
    writer.reset();
    expect([writer.addNlri(route, 0, route.length), added > 3000]).toEqual([true, true]);
  });

  test('a VPN next hop: mapped where the family differs, without a link-local address', () => {
    const writer = new UpdateWriter();
    writer.begin(MESSAGE_LENGTH_MAX, true);
    const hop = golden(`${global6}${linkLocal}`);
    writer.beginReach(VPNV6, attrs, 0, attrs.length, hop, 0, 32);
    const route = golden(vpn6);
    writer.addNlri(route, 0, route.length);
    writer.beginReach(VPNV6, attrs, 0, attrs.length, golden('c0000201'), 0, 4);
    writer.addNlri(route, 0, route.length);
    writer.finish();
    const [first, second] = writer.nextHopOffsets;
    expect(hexOf(writer.bytes, first! - 9, first! + 17)).toBe(`18${zeroRd}${global6}00`);
    expect(hexOf(writer.bytes, second! - 21, second! + 5)).toBe(
      `18${zeroRd}00000000000000000000ffffc000020100`,
    );
  });
});
