import { describe, expect, test } from 'vitest';
import {
  asPath,
  attribute,
  concat,
  hexOf,
  localPref,
  nextHop,
  nlri,
  origin,
  sequence,
  u32,
  updateBody,
} from '../../../test/golden/build.ts';
import { IPV4, IPV6 } from './family.ts';
import { type UpdateContext, UpdateDecoder, type UpdateView } from './update.ts';
import { UpdateWriter } from './update-writer.ts';

const external: UpdateContext = { asn4: true, internal: false, families: 3, addPath: 0 };
const internal: UpdateContext = { ...external, internal: true };
const old: UpdateContext = { ...external, asn4: false };

function decode(parts: Parameters<typeof updateBody>[0], ctx: UpdateContext = external): UpdateView {
  const body = updateBody(parts);
  return new UpdateDecoder().decode(body, 0, body.length, ctx);
}

function decodeWith(attributes: readonly Uint8Array[], ctx: UpdateContext = external): UpdateView {
  return decode({ attributes, nlri: nlri('10.0.0.0/8') }, ctx);
}

function attrs(view: UpdateView): string {
  return hexOf(view.attrs, 0, view.attrsLength);
}

const good = [origin, asPath, nextHop];
const goodInternal = [origin, asPath, nextHop, localPref];
const canonicalGood = hexOf(concat(origin, asPath));
const ip6NextHop = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const linkLocal = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
const mpReach = (nextHopBytes: readonly number[], routes: Uint8Array, afi = 2): Uint8Array =>
  attribute(0x80, 14, [0, afi, 1, nextHopBytes.length, ...nextHopBytes, 0, ...routes]);
const mpUnreach = (routes: Uint8Array, afi = 2, safi = 1): Uint8Array =>
  attribute(0x80, 15, [0, afi, safi, ...routes]);

describe('sections', () => {
  test('withdrawals come before announcements, whatever the order on the wire', () => {
    const view = decode({
      withdrawn: nlri('10.1.0.0/16'),
      attributes: [mpReach(ip6NextHop, nlri('2001:db8:1::/48')), ...good, mpUnreach(nlri('2001:db8:2::/48'))],
      nlri: nlri('10.2.0.0/16', '10.3.0.0/16'),
    });
    expect(view.fault).toBeUndefined();
    expect([...view.sectionFamily.subarray(0, view.sectionCount)]).toEqual([IPV4, IPV6, IPV6, IPV4]);
    expect([...view.sectionReach.subarray(0, view.sectionCount)]).toEqual([0, 0, 1, 1]);
    expect([...view.nextHopLength.subarray(2, 4)]).toEqual([16, 4]);
    expect(hexOf(view.nextHop, view.nextHopStart[2], view.nextHopStart[2]! + 16)).toBe(
      hexOf(new Uint8Array(ip6NextHop)),
    );
    expect(hexOf(view.nextHop, view.nextHopStart[3], view.nextHopStart[3]! + 4)).toBe('c0000201');
    expect(attrs(view)).toBe(canonicalGood);
  });

  test('an empty UPDATE is End-of-RIB for IPv4, a lone MP_UNREACH for its family', () => {
    expect(decode({}).endOfRib).toBe(IPV4);
    expect(decode({ attributes: [mpUnreach(new Uint8Array(0))] }).endOfRib).toBe(IPV6);
    expect(decode({ attributes: [mpUnreach(new Uint8Array(0), 1)] }).endOfRib).toBe(IPV4);
    expect(decode({ attributes: [mpUnreach(nlri('2001:db8::/32'))] }).endOfRib).toBe(-1);
    expect(decode({}, { ...external, families: 2 }).endOfRib).toBe(-1);
  });

  test('families that were not negotiated are passed over', () => {
    const evpn = attribute(0x80, 14, [0, 25, 70, 4, 192, 0, 2, 1, 0, 3, 17, 1, 2, 3]);
    const view = decode({ attributes: [evpn, origin, asPath] });
    expect([view.fault, view.sectionCount]).toEqual([undefined, 0]);
    const only4 = decode(
      { attributes: [mpReach(ip6NextHop, nlri('2001:db8::/32')), origin, asPath] },
      { ...external, families: 1 },
    );
    expect([only4.fault, only4.sectionCount]).toEqual([undefined, 0]);
    expect(decodeWith(good, { ...external, families: 2 }).sectionCount).toBe(0);
  });

  test('path identifiers are skipped where negotiated', () => {
    const routes = concat([0, 0, 0, 7], nlri('10.0.0.0/8'), [0, 0, 0, 8], nlri('10.0.0.0/8'));
    const view = decode({ attributes: good, nlri: routes }, { ...external, addPath: 1 });
    expect([view.fault, view.sectionCount]).toEqual([undefined, 1]);
    const cut = decode({ attributes: good, nlri: routes.subarray(0, 3) }, { ...external, addPath: 1 });
    expect(cut.fault).toMatchObject({ subcode: 10, disposition: 'reset' });
  });
});

describe('next hops of MP_REACH', () => {
  const zero = new Array<number>(16).fill(0);
  const cases: [string, number[], number, number, string | undefined][] = [
    ['global', ip6NextHop, 2, 16, undefined],
    ['global and link-local', [...ip6NextHop, ...linkLocal], 2, 32, undefined],
    ['link-local alone', linkLocal, 2, 16, undefined],
    ['link-local twice', [...linkLocal, ...linkLocal], 2, 16, undefined],
    ['unspecified and link-local', [...zero, ...linkLocal], 2, 16, undefined],
    ['global and zeros', [...ip6NextHop, ...zero], 2, 16, undefined],
    ['IPv4 over IPv6', [...ip6NextHop, ...linkLocal], 1, 32, undefined],
    ['IPv4 in MP_REACH', [192, 0, 2, 1], 1, 4, undefined],
    ['unspecified', zero, 2, 0, 'withdraw'],
    ['multicast', [0xff, 2, ...zero.slice(3), 1], 2, 0, 'withdraw'],
    ['loopback', [...zero.slice(1), 1], 2, 0, 'withdraw'],
    ['IPv4 loopback', [127, 0, 0, 1], 1, 0, 'withdraw'],
    ['IPv4 for IPv6', [192, 0, 2, 1], 2, 0, 'reset'],
    ['24 bytes', [...ip6NextHop, ...zero.slice(8)], 2, 0, 'reset'],
    ['none', [], 2, 0, 'reset'],
  ];
  test.each(cases)('%s', (_name, bytes, afi, length, disposition) => {
    const routes = afi === 2 ? nlri('2001:db8:5::/48') : nlri('10.0.0.0/8');
    const view = decode({ attributes: [mpReach(bytes, routes, afi), origin, asPath] });
    expect(view.fault?.disposition).toBe(disposition);
    if (disposition === undefined) expect([view.sectionCount, view.nextHopLength[0]]).toEqual([1, length]);
    if (disposition === 'withdraw') expect([view.sectionCount, view.sectionReach[0]]).toEqual([1, 0]);
    if (disposition === 'reset') expect(view.sectionCount).toBe(0);
  });

  test('link-local twice is the link-local address', () => {
    const view = decode({
      attributes: [mpReach([...linkLocal, ...linkLocal], nlri('2001:db8::/32')), origin, asPath],
    });
    expect(hexOf(view.nextHop, 0, 16)).toBe(hexOf(new Uint8Array(linkLocal)));
  });
});

describe('canonical attributes', () => {
  test('are sorted, without NEXT_HOP, with flags put right', () => {
    const med = attribute(0xa0, 4, u32(5)); // Partial on a non-transitive attribute means nothing
    const communities = attribute(0xff, 8, u32(0xfde80001)); // all low bits set, extended length
    const view = decodeWith([communities, med, nextHop, asPath, origin]);
    expect(view.fault).toBeUndefined();
    expect(attrs(view)).toBe(
      hexOf(concat(origin, asPath, attribute(0x80, 4, u32(5)), attribute(0xe0, 8, u32(0xfde80001)))),
    );
  });

  test('unknown transitive ones are kept as partial, other unknown optional ones are dropped', () => {
    const view = decodeWith([...good, attribute(0xc0, 254, [1, 2]), attribute(0x80, 253, [3])]);
    expect(view.fault).toBeUndefined();
    expect(attrs(view)).toBe(canonicalGood + hexOf(attribute(0xe0, 254, [1, 2])));
  });

  test('a value of more than 255 bytes has an extended length', () => {
    const many = Array.from({ length: 100 }, (_, i) => u32(i)).flat();
    const view = decodeWith([...good, attribute(0xd0, 8, many)]);
    expect(attrs(view)).toBe(canonicalGood + hexOf(attribute(0xd0, 8, many)));
  });

  test('nothing is left when nothing is announced', () => {
    const view = decode({ withdrawn: nlri('10.0.0.0/8'), attributes: good });
    expect([view.fault, view.attrsLength, view.sectionCount]).toEqual([undefined, 0, 1]);
  });
});

describe('from a 2-octet peer', () => {
  const path2 = (...asns: number[]): Uint8Array =>
    attribute(0x40, 2, [2, asns.length, ...asns.flatMap((asn) => [asn >>> 8, asn & 255])]);
  const as4 = (...asns: number[]): Uint8Array => attribute(0xc0, 17, sequence(...asns));
  const wide = (...asns: number[]): string => hexOf(concat(origin, attribute(0x40, 2, sequence(...asns))));

  test('AS_PATH is widened', () => {
    expect(attrs(decodeWith([origin, path2(65001, 65002), nextHop], old))).toBe(wide(65001, 65002));
  });
  test('AS4_PATH gives the tail', () => {
    const view = decodeWith([origin, path2(65001, 23456, 23456), nextHop, as4(4200000001, 4200000002)], old);
    expect(attrs(view)).toBe(wide(65001, 4200000001, 4200000002));
  });
  test('an AS4_PATH longer than AS_PATH is ignored', () => {
    const view = decodeWith([origin, path2(23456), nextHop, as4(4200000001, 4200000002)], old);
    expect(attrs(view)).toBe(wide(23456));
  });
  test('an AGGREGATOR of a 2-octet speaker makes AS4 attributes void', () => {
    const aggregator = attribute(0xc0, 7, [0xfd, 0xe9, 192, 0, 2, 9]);
    const aggregator4 = attribute(0xc0, 18, [...u32(4200000001), 192, 0, 2, 8]);
    const view = decodeWith(
      [origin, path2(65001, 23456), nextHop, aggregator, as4(4200000001), aggregator4],
      old,
    );
    expect(attrs(view)).toBe(
      wide(65001, 23456) + hexOf(attribute(0xc0, 7, [0, 0, 0xfd, 0xe9, 192, 0, 2, 9])),
    );
  });
  test('AGGREGATOR with AS_TRANS takes AS4_AGGREGATOR', () => {
    const aggregator = attribute(0xc0, 7, [0x5b, 0xa0, 192, 0, 2, 9]);
    const value = [...u32(4200000001), 192, 0, 2, 8];
    const view = decodeWith([origin, path2(65001), nextHop, aggregator, attribute(0xc0, 18, value)], old);
    expect(attrs(view)).toBe(wide(65001) + hexOf(attribute(0xc0, 7, value)));
  });
  test('AS4_PATH does not hide the AS of the peer (RFC 4271 6.3)', () => {
    const strict = { ...old, firstAsn: 65001 };
    const honest = decodeWith([origin, path2(65001, 23456), nextHop, as4(4200000001)], strict);
    expect(honest.fault).toBeUndefined();
    const view = decodeWith([origin, path2(65001), nextHop, as4(64999)], strict);
    expect(view.fault?.disposition).toBe('withdraw');
    expect(view.sectionReach[0]).toBe(0);
  });

  test('a malformed AS4_PATH costs only itself', () => {
    const view = decodeWith([origin, path2(65001), nextHop, attribute(0xc0, 17, [2, 2, 0, 0, 0, 1])], old);
    expect(view.fault).toMatchObject({ disposition: 'discard', attribute: 17 });
    expect(attrs(view)).toBe(wide(65001));
  });
});

describe('faults (RFC 7606)', () => {
  const path = (...value: number[]): Uint8Array[] => [origin, attribute(0x40, 2, value), nextHop];
  const hop = (...value: number[]): Uint8Array[] => [origin, asPath, attribute(0x40, 3, value)];
  const plus = (flags: number, code: number, value: number[]): Uint8Array[] => [
    ...good,
    attribute(flags, code, value),
  ];
  const inside = (flags: number, code: number, value: number[]): Uint8Array[] => [
    ...goodInternal,
    attribute(flags, code, value),
  ];
  type Case = [string, Uint8Array[], UpdateContext, string, number, number | undefined];
  const cases: Case[] = [
    ['ORIGIN of two bytes', [attribute(0x40, 1, [0, 0]), asPath, nextHop], external, 'withdraw', 5, 1],
    ['ORIGIN 3', [attribute(0x40, 1, [3]), asPath, nextHop], external, 'withdraw', 6, 1],
    ['ORIGIN optional', [attribute(0xc0, 1, [0]), asPath, nextHop], external, 'withdraw', 4, 1],
    ['ORIGIN missing', [asPath, nextHop], external, 'withdraw', 3, 1],
    ['AS_PATH missing', [origin, nextHop], external, 'withdraw', 3, 2],
    ['NEXT_HOP missing', [origin, asPath], external, 'withdraw', 3, 3],
    ['LOCAL_PREF missing inside', good, internal, 'withdraw', 3, 5],
    ['AS_PATH segment type 5', path(5, 1, 0, 0, 0, 1), external, 'withdraw', 11, 2],
    ['AS_PATH segment type 0', path(0, 1, 0, 0, 0, 1), external, 'withdraw', 11, 2],
    ['AS_PATH segment overrun', path(2, 2, 0, 0, 0, 1), external, 'withdraw', 11, 2],
    ['AS_PATH one byte left', path(2, 1, 0, 0, 0, 1, 2), external, 'withdraw', 11, 2],
    ['AS_PATH empty segment', path(2, 0), external, 'withdraw', 11, 2],
    ['AS_PATH confederation from outside', path(3, 1, 0, 0, 0, 1), external, 'withdraw', 11, 2],
    ['AS_PATH with AS 0', path(2, 2, 0, 0, 0, 1, 0, 0, 0, 0), external, 'withdraw', 11, 2],
    ['AS_PATH from another AS', good, { ...external, firstAsn: 65009 }, 'withdraw', 11, 2],
    ['AS_PATH empty from outside', path(), { ...external, firstAsn: 65001 }, 'withdraw', 11, 2],
    ['NEXT_HOP of five bytes', hop(192, 0, 2, 1, 0), external, 'withdraw', 5, 3],
    ['NEXT_HOP 0.0.0.0', hop(0, 0, 0, 0), external, 'withdraw', 8, 3],
    ['NEXT_HOP 127.0.0.1', hop(127, 0, 0, 1), external, 'withdraw', 8, 3],
    ['NEXT_HOP multicast', hop(224, 0, 0, 5), external, 'withdraw', 8, 3],
    ['NEXT_HOP broadcast', hop(255, 255, 255, 255), external, 'withdraw', 8, 3],
    ['MED of three bytes', plus(0x80, 4, [0, 0, 0]), external, 'withdraw', 5, 4],
    ['MED transitive', plus(0xc0, 4, u32(1)), external, 'withdraw', 4, 4],
    ['LOCAL_PREF of three bytes', inside(0x40, 5, [0, 0, 0]).toSpliced(3, 1), internal, 'withdraw', 5, 5],
    ['LOCAL_PREF from outside', plus(0x40, 5, [1]), external, 'discard', 1, 5],
    ['ATOMIC_AGGREGATE of one byte', plus(0x40, 6, [0]), external, 'discard', 5, 6],
    ['AGGREGATOR of six bytes', plus(0xc0, 7, [0, 1, 1, 1, 1, 1]), external, 'discard', 5, 7],
    ['AGGREGATOR with AS 0', plus(0xc0, 7, [0, 0, 0, 0, 1, 1, 1, 1]), external, 'discard', 9, 7],
    ['COMMUNITIES of five bytes', plus(0xc0, 8, [0, 0, 0, 0, 0]), external, 'withdraw', 5, 8],
    ['COMMUNITIES empty', plus(0xc0, 8, []), external, 'withdraw', 5, 8],
    ['ORIGINATOR_ID of three bytes', inside(0x80, 9, [0, 0, 0]), internal, 'withdraw', 5, 9],
    ['ORIGINATOR_ID from outside', plus(0x80, 9, [1]), external, 'discard', 1, 9],
    ['CLUSTER_LIST of five bytes', inside(0x80, 10, [0, 0, 0, 0, 0]), internal, 'withdraw', 5, 10],
    ['CLUSTER_LIST empty', inside(0x80, 10, []), internal, 'withdraw', 5, 10],
    ['CLUSTER_LIST from outside', plus(0x80, 10, u32(1)), external, 'discard', 1, 10],
    [
      'extended communities of seven bytes',
      plus(0xc0, 16, [0, 2, 0, 0, 0, 0, 0]),
      external,
      'withdraw',
      5,
      16,
    ],
    ['AS4_PATH from a 4-octet peer', plus(0xc0, 17, sequence(1)), external, 'discard', 9, 17],
    ['AS4_AGGREGATOR from a 4-octet peer', plus(0xc0, 18, u32(1)), external, 'discard', 9, 18],
    ['PMSI_TUNNEL of four bytes', plus(0xc0, 22, [0, 6, 0, 0]), external, 'withdraw', 9, 22],
    ['PMSI_TUNNEL of an undefined type', plus(0xc0, 22, [0, 0x50, 0, 0, 0]), external, 'withdraw', 9, 22],
    [
      'PMSI_TUNNEL endpoint of three bytes',
      plus(0xc0, 22, [0, 6, 0, 0, 0, 1, 1, 1]),
      external,
      'withdraw',
      9,
      22,
    ],
    [
      'IPv6 extended communities of eight bytes',
      plus(0xc0, 25, [...u32(1), ...u32(1)]),
      external,
      'withdraw',
      5,
      25,
    ],
    ['AIGP with a short TLV', inside(0x80, 26, [1, 0, 4, 0]), internal, 'discard', 9, 26],
    ['AIGP from outside', plus(0x80, 26, [1, 0, 4, 0]), external, 'discard', 1, 26],
    ['large communities of eight bytes', plus(0xc0, 32, [...u32(1), ...u32(1)]), external, 'withdraw', 5, 32],
    ['OTC of three bytes', plus(0xc0, 35, [0, 0, 1]), external, 'withdraw', 5, 35],
    [
      'PREFIX_SID label index of six bytes',
      plus(0xc0, 40, [1, 0, 6, 0, 0, 0, 0, 0, 1]),
      external,
      'discard',
      9,
      40,
    ],
    [
      'PREFIX_SID with a broken SRv6 service',
      plus(0xc0, 40, [5, 0, 5, 0, 1, 0, 9, 0]),
      external,
      'withdraw',
      9,
      40,
    ],
    ['a repeated MED', plus(0x80, 4, u32(1)).concat(attribute(0x80, 4, u32(2))), external, 'discard', 1, 4],
    [
      'a value beyond the attributes',
      [...good, attribute(0xc0, 8, [0], 9)],
      external,
      'withdraw',
      5,
      undefined,
    ],
    ['a header of two bytes', [...good, new Uint8Array([0xc0, 8])], external, 'withdraw', 5, undefined],
    ['a well-known we do not know', plus(0x40, 99, [1]), external, 'reset', 2, 99],
    ['MP_REACH of four bytes', plus(0x80, 14, [0, 2, 1, 0]), external, 'reset', 9, 14],
    ['MP_REACH next hop overrun', plus(0x80, 14, [0, 2, 1, 16, 0]), external, 'reset', 9, 14],
    ['MP_UNREACH of two bytes', plus(0x80, 15, [0, 2]), external, 'reset', 9, 15],
    [
      'MP_REACH twice',
      [...good, mpReach(ip6NextHop, nlri('::/0')), mpReach(ip6NextHop, nlri('::/0'))],
      external,
      'reset',
      1,
      undefined,
    ],
    [
      'MP_UNREACH twice',
      [...good, mpUnreach(nlri('::/0')), mpUnreach(nlri('::/0'))],
      external,
      'reset',
      1,
      undefined,
    ],
    [
      'MP_REACH prefix length 129',
      [...good, mpReach(ip6NextHop, new Uint8Array([129, ...ip6NextHop, 0]))],
      external,
      'reset',
      9,
      14,
    ],
    ['MP_UNREACH prefix cut off', [...good, mpUnreach(new Uint8Array([64, 1, 2]))], external, 'reset', 9, 15],
    [
      'MP_REACH transitive',
      [...good, attribute(0xc0, 14, [0, 2, 1, 16, ...ip6NextHop, 0, 0])],
      external,
      'reset',
      9,
      14,
    ],
  ];
  test.each(cases)('%s', (_name, attributes, ctx, disposition, subcode, code) => {
    const view = decodeWith(attributes, ctx);
    expect(view.fault).toMatchObject({ code: 3, subcode, disposition });
    expect(view.fault?.attribute).toBe(code);
    if (disposition === 'reset') expect(view.sectionCount).toBe(0);
    if (disposition === 'withdraw') {
      expect(view.sectionCount).toBeGreaterThan(0);
      for (let i = 0; i < view.sectionCount; i++) expect(view.sectionReach[i]).toBe(0);
      expect(view.attrsLength).toBe(0);
    }
    if (disposition === 'discard') {
      expect(view.sectionReach[0]).toBe(1);
      const kept = ctx.internal ? hexOf(concat(origin, asPath, localPref)) : canonicalGood;
      expect(attrs(view).startsWith(kept)).toBe(true);
    }
  });

  test('of a repeated attribute the first counts', () => {
    const view = decodeWith([...good, attribute(0x80, 4, u32(1)), attribute(0x80, 4, u32(2))]);
    expect(attrs(view)).toBe(canonicalGood + hexOf(attribute(0x80, 4, u32(1))));
  });

  test('the strongest of several decides', () => {
    const view = decodeWith([
      ...good,
      attribute(0x40, 5, u32(1)),
      attribute(0xc0, 8, []),
      attribute(0x40, 99, []),
    ]);
    expect(view.faults.map((fault) => fault.disposition)).toEqual(['discard', 'withdraw', 'reset']);
    expect(view.fault?.disposition).toBe('reset');
    expect(hexOf(view.fault!.data!)).toBe('406300');
  });

  test('an attribute error without reachable routes resets the session (section 5.2)', () => {
    const broken = attribute(0xc0, 8, []);
    expect(decode({ attributes: [broken] }).fault).toMatchObject({ subcode: 1, disposition: 'reset' });
    expect(decode({ withdrawn: nlri('10.0.0.0/8'), attributes: [broken] }).fault?.disposition).toBe('reset');
    const discarded = attribute(0x40, 6, [0]);
    expect(decode({ withdrawn: nlri('10.0.0.0/8'), attributes: [discarded] }).fault?.disposition).toBe(
      'discard',
    );
  });

  test('NEXT_HOP is not looked at where all routes are in MP_REACH', () => {
    const view = decode({
      attributes: [
        mpReach(ip6NextHop, nlri('2001:db8::/32')),
        origin,
        asPath,
        attribute(0x40, 3, [0, 0, 0, 0]),
      ],
    });
    expect([view.fault, view.sectionCount]).toEqual([undefined, 1]);
  });

  test.each([
    ['no room for the lengths', [0, 0, 0], 1],
    ['withdrawn routes overrun', [0, 9, 0, 0], 1],
    ['attributes overrun', [0, 0, 0, 9], 1],
    ['a withdrawn /33', [0, 6, 33, 10, 0, 0, 0, 0, 0, 0], 10],
    ['NLRI cut off', [...updateBody({ attributes: good }), 24, 10], 10],
  ])('%s resets the session', (_name, body, subcode) => {
    const view = new UpdateDecoder().decode(new Uint8Array(body), 0, body.length, external);
    expect(view.fault).toMatchObject({ code: 3, subcode, disposition: 'reset' });
  });

  test('a decoder is clean again after a bad message', () => {
    const decoder = new UpdateDecoder();
    const bad = updateBody({ attributes: [attribute(0x40, 99, [])], nlri: nlri('10.0.0.0/8') });
    const fine = updateBody({ attributes: good, nlri: nlri('10.0.0.0/8') });
    decoder.decode(bad, 0, bad.length, external);
    const view = decoder.decode(fine, 0, fine.length, external);
    expect([view.fault, view.faults.length, view.sectionCount]).toEqual([undefined, 0, 1]);
    expect(attrs(view)).toBe(canonicalGood);
  });
});

test('an AS_PATH that does not fit 4-octet form is withdrawn, not cut', () => {
  const segments: number[] = [];
  for (let i = 0; i < 70; i++) segments.push(2, 255, ...Array.from({ length: 255 }, () => [1, 1]).flat());
  const view = decodeWith([origin, attribute(0x50, 2, segments), nextHop], old);
  expect(view.fault).toMatchObject({ subcode: 11, disposition: 'withdraw' });
  expect(view.attrsLength).toBe(0);
});

describe('extended messages (RFC 8654)', () => {
  // Communities until the body has the length of the greatest message.
  function greatest(path: Uint8Array, spared = 0): Uint8Array {
    const others = concat(origin, path, nextHop);
    const room = 65535 - 19 - 4 - others.length - 4 - 2 - spared;
    const communities = attribute(0xd0, 8, new Uint8Array(room - (room % 4)).fill(1));
    return updateBody({ attributes: [others, communities], nlri: nlri('10.0.0.0/8') });
  }

  test('attributes as long as there can be are kept', () => {
    const body = greatest(asPath);
    const view = new UpdateDecoder().decode(body, 0, body.length, external);
    expect([view.fault, view.sectionCount]).toEqual([undefined, 1]);
    expect(view.attrsLength).toBeGreaterThan(65000);
  });

  test('paths of an old peer grow to twice their length; what is no set any more is withdrawn', () => {
    const segments: number[] = [];
    for (let i = 0; i < 60; i++) segments.push(2, 255, ...new Array<number>(510).fill(1));
    const path = attribute(0x50, 2, segments);
    const alone = decodeWith([origin, path, nextHop], old);
    expect([alone.fault, alone.attrsLength]).toEqual([undefined, 4 + 4 + 60 * (2 + 4 * 255)]);
    const body = greatest(path);
    const view = new UpdateDecoder().decode(body, 0, body.length, old);
    expect(view.fault).toMatchObject({ subcode: 11, disposition: 'withdraw' });
    expect([view.sectionReach[0], view.attrsLength]).toEqual([0, 0]);
  });

  test('the writer makes them where the peer takes them', () => {
    const body = greatest(asPath, 40);
    const decoder = new UpdateDecoder();
    const view = decoder.decode(body, 0, body.length, external);
    const attributes = attrs(view);
    const writer = new UpdateWriter();
    const begin = (max: number): boolean => {
      writer.begin(max, true);
      return writer.beginReach(IPV4, view.attrs, 0, view.attrsLength, view.nextHop, 48, 4);
    };
    expect([begin(4096), begin(65535)]).toEqual([false, true]);
    expect(writer.addIp4(0x0a000000, 8)).toBe(true);
    writer.finish();
    const again = decoder.decode(writer.bytes, 19, writer.length, external);
    expect([again.fault, attrs(again) === attributes]).toEqual([undefined, true]);
  });
});
