// The attributes that came after RFC 7606: each clause of their own RFCs, as the decoder answers it.
import { describe, expect, test } from 'vitest';
import {
  asPath,
  attribute,
  concat,
  golden,
  hexOf,
  localPref,
  nextHop,
  nlri,
  origin,
  u32,
  updateBody,
} from '../../../../test/golden/build.ts';
import { FLOWSPEC4 } from '../family.ts';
import { type UpdateContext, UpdateDecoder, type UpdateView } from '../update.ts';
import { describeAttributes, encodeAttributes } from './describe.ts';
import { attributeTable } from './table.ts';

const internal: UpdateContext = { asn4: true, internal: true, families: 0x3ff, addPath: 0 };

function decode(...attributes: readonly Uint8Array[]): UpdateView {
  const body = updateBody({
    attributes: [origin, asPath, nextHop, localPref, ...attributes],
    nlri: nlri('10.0.0.0/8'),
  });
  return new UpdateDecoder().decode(body, 0, body.length, internal);
}

const kept = (view: UpdateView): string => hexOf(view.attrs, 0, view.attrsLength);
const base = hexOf(concat(origin, asPath, localPref));

// Accepted: kept byte for byte, and the object of it is the bytes again.
function expectKept(flags: number, code: number, hex: string): void {
  const value = golden(hex);
  const view = decode(attribute(flags, code, value));
  expect(view.fault).toBeUndefined();
  expect(kept(view)).toBe(base + hexOf(attribute(flags, code, value)));
  const described = describeAttributes(view.attrs, 0, view.attrsLength);
  expect(hexOf(encodeAttributes(described))).toBe(kept(view));
}

function expectFault(disposition: string, flags: number, code: number, hex: string): void {
  const value = golden(hex);
  const view = decode(attribute(flags, code, value));
  expect(view.fault).toMatchObject({ code: 3, disposition, attribute: code });
  if (disposition === 'withdraw') expect([view.sectionReach[0], view.attrsLength]).toEqual([0, 0]);
  else expect([view.sectionReach[0], kept(view)]).toEqual([1, base]);
}

describe('PMSI_TUNNEL (RFC 6514 section 5)', () => {
  test.each([
    ['no tunnel', '01 00 000640'],
    ['RSVP-TE', '00 01 000000 0a000001 0000 0001 00000001'],
    ['mLDP', '00 02 000000 06 0001 04 0a000001 0003 010000'],
    ['PIM-SSM', '00 03 000000 0a000001 e8000001'],
    ['PIM-SM, IPv6', `00 04 000000 ${'20010db8000000000000000000000001'.repeat(2)}`],
    ['ingress replication', '00 06 0003e8 0a000001'],
    ['ingress replication, IPv6', '00 06 0003e8 20010db8000000000000000000000001'],
    ['assisted replication', '08 0a 0003e8 0a000001'],
    ['BIER', '00 0b 000000 00 0001 0a000001'],
    ['experimental', '00 7b 000000 01'],
    ['composite', '00 86 000000 0a000001'],
  ])('%s', (_name, hex) => expectKept(0xc0, 22, hex));

  test.each([
    ['empty', ''],
    ['four bytes', '00 06 0003'],
    ['type 9, which nobody defined', '00 09 000000'],
    ['type 14', '00 0e 000000'],
    ['type 127, reserved', '00 7f 000000'],
    ['no tunnel with an identifier', '00 00 000000 0a000001'],
    ['RSVP-TE of 11 bytes', '00 01 000000 0a000001 0000 0001 000000'],
    ['mLDP with a root of 5 bytes', '00 02 000000 06 0001 05 0a00000101 0000'],
    ['mLDP with an opaque value cut off', '00 02 000000 06 0001 04 0a000001 0004 010000'],
    ['PIM-SSM of four bytes', '00 03 000000 0a000001'],
    ['ingress replication without endpoint', '00 06 0003e8'],
    ['ingress replication to five bytes', '00 06 0003e8 0a00000101'],
    ['BIER of six bytes', '00 0b 000000 00 0001 0a0000'],
  ])('%s is withdrawn', (_name, hex) => expectFault('withdraw', 0xc0, 22, hex));
});

describe('TUNNEL_ENCAPSULATION (RFC 9012 section 13)', () => {
  const endpoint = '06 0a 00000000 0001 0a000001';
  test.each([
    ['VXLAN', `0008 000c ${endpoint}`],
    ['an unknown tunnel and an unknown sub-TLV', `fffe 0010 ${endpoint} 63 02 0102`],
    ['a repeated and a malformed sub-TLV', `0002 0013 ${endpoint} 09 01 01 09 02 0102`],
    ['the next hop as endpoint', '0008 0008 06 06 00000000 0000'],
    ['an IPv6 endpoint', '0008 0018 06 16 00000000 0002 20010db8000000000000000000000001'],
    ['a sub-TLV with two bytes of length', `000f 0011 ${endpoint} 80 0002 0102`],
  ])('%s is kept', (_name, hex) => expectKept(0xc0, 23, hex));

  test.each([
    ['nothing', ''],
    ['a TLV cut off', '0008 00'],
    ['a TLV longer than the attribute', `0008 000d ${endpoint}`],
    ['a sub-TLV longer than its TLV', '0008 000c 06 0b 00000000 0001 0a000001'],
    ['a sub-TLV header alone', '0008 0001 06'],
    ['a long sub-TLV header cut off', `0008 000e ${endpoint} 80 00`],
    ['no endpoint', '0008 0000'],
    ['two endpoints', `0008 0018 ${endpoint} ${endpoint}`],
    ['an endpoint of nine bytes', '0008 000b 06 09 00000000 0001 0a0000'],
    ['an endpoint of an unknown family', '0008 000c 06 0a 00000000 0003 0a000001'],
    ['a loopback endpoint', '0008 000c 06 0a 00000000 0001 7f000001'],
    ['a link-local endpoint', '0008 0018 06 16 00000000 0002 fe800000000000000000000000000001'],
  ])('%s is withdrawn', (_name, hex) => expectFault('withdraw', 0xc0, 23, hex));

  test('a TLV without endpoint is taken out beside a good one', () => {
    const good = `0008 000c ${endpoint}`;
    const view = decode(attribute(0xc0, 23, golden(`0002 0000 ${good} 0009 0000`)));
    expect(view.fault).toMatchObject({ disposition: 'discard', attribute: 23 });
    expect(kept(view)).toBe(base + hexOf(attribute(0xc0, 23, golden(good))));
  });

  test('not transitive: withdrawn', () => expectFault('withdraw', 0x80, 23, `0008 000c ${endpoint}`));

  test('families beyond section 6 need no endpoint', () => {
    const tunnel = attribute(0xc0, 23, golden('000f 0002 63 00'));
    const reach = attribute(0x80, 14, golden('0001 85 00 00 05 01 18 c00002'));
    const body = updateBody({ attributes: [reach, origin, asPath, localPref, tunnel] });
    const view = new UpdateDecoder().decode(body, 0, body.length, internal);
    expect([view.fault, view.sectionFamily[0]]).toEqual([undefined, FLOWSPEC4]);
    expect(kept(view)).toBe(base + hexOf(tunnel));
  });
});

describe('PREFIX_SID (RFC 8669 section 6, RFC 9252 section 7)', () => {
  const index = '01 0007 00 0000 00000064';
  const structure = '01 0006 28 18 10 00 10 40';
  const sid = (more: string): string => {
    const rest = golden(more).length;
    const length = (n: number): string => n.toString(16).padStart(4, '0');
    const value = `00 20010db8000000000000000000000001 00 0013 00 ${more}`;
    return `05 ${length(25 + rest)} 00 01 ${length(21 + rest)} ${value}`;
  };
  test.each([
    ['a label index', index],
    ['an SRGB of two ranges', `03 000e 0000 003e80 001f40 007d00 000064`],
    ['an unknown TLV twice', '63 0001 00 63 0001 00'],
    ['an SRv6 service', sid('')],
    ['an SRv6 service with a SID structure', sid(structure)],
    ['an SRv6 service with an unknown sub-sub-TLV', sid('63 0001 00')],
  ])('%s is kept', (_name, hex) => expectKept(0xc0, 40, hex));

  test.each([
    ['nothing', ''],
    ['a label index of six bytes', '01 0006 00 0000 000001'],
    ['an SRGB without a range', '03 0002 0000'],
    ['an SRGB of nine bytes', '03 0009 0000 003e80 001f40 00'],
    ['a TLV longer than the attribute', '63 0002 00'],
    ['a header cut off', `${index} 63 00`],
  ])('%s is discarded', (_name, hex) => expectFault('discard', 0xc0, 40, hex));

  test.each([
    ['an SRv6 service longer than the attribute', '05 0002 00'],
    ['an SRv6 service header cut off', `${index} 06 00`],
    ['an SRv6 service of no bytes', '05 0000'],
    ['a sub-TLV longer than its service', '05 0005 00 01 0015 00'],
    ['SID information of 20 bytes', `05 0018 00 01 0014 ${'00'.repeat(20)}`],
    ['a SID structure of five bytes', sid('01 0005 28 18 10 00 10')],
    ['a sub-sub-TLV longer than the SID', sid('63 0002 00')],
    ['a service without SID', '05 0001 00'],
    ['a SID structure of more than 128 bits', sid('01 0006 40 40 10 00 00 00')],
    ['a SID structure that moves more than there is', sid('01 0006 10 10 10 00 10 40')],
    ['a bad label index and a bad service', '01 0006 00 0000 000001 05 0000'],
  ])('%s is withdrawn', (_name, hex) => expectFault('withdraw', 0xc0, 40, hex));

  test('of TLVs that may be there once the first stays', () => {
    const other = '01 0007 00 0000 00000065';
    const view = decode(attribute(0xc0, 40, golden(`${index} 63 0001 00 ${other}`)));
    expect(view.fault).toMatchObject({ disposition: 'discard', attribute: 40 });
    expect(kept(view)).toBe(base + hexOf(attribute(0xc0, 40, golden(`${index} 63 0001 00`))));
  });
});

describe('AIGP (RFC 7311 section 3.2)', () => {
  test.each([
    ['a metric', '01 000b 0000000000000064'],
    ['a metric of more than 53 bits', '01 000b fffffffffffffffe'],
    ['an unknown TLV before it', '02 0003 01 000b 0000000000000064'],
    ['two metrics', '01 000b 0000000000000064 01 000b 0000000000000065'],
  ])('%s is kept', (_name, hex) => expectKept(0x80, 26, hex));

  test.each([
    ['nothing', ''],
    ['a metric of seven bytes', '01 000a 00000000000064'],
    ['a TLV shorter than its header', '02 0002'],
    ['a TLV longer than the attribute', '01 000b 00'],
    ['bytes behind', '01 000b 0000000000000064 00'],
    ['the greatest metric', '01 000b ffffffffffffffff'],
  ])('%s is discarded', (_name, hex) => expectFault('discard', 0x80, 26, hex));

  test('transitive: discarded, not withdrawn', () => {
    expectFault('discard', 0xc0, 26, '01 000b 0000000000000064');
  });
});

describe('ATTR_SET (RFC 6368 section 5)', () => {
  const inner = hexOf(concat(origin, asPath, localPref));
  test.each([
    ['no attributes', '0000fde8'],
    ['attributes of an internal peer', `0000fde8 ${inner}`],
    ['an unknown optional attribute', `0000fde8 ${inner} c0 fe 01 00`],
    ['an inner fault that is only discarded', `0000fde8 ${inner} 40 06 01 00`],
    ['a set within', `0000fde8 ${inner} c0 80 04 00000001`],
  ])('%s is kept', (_name, hex) => expectKept(0xc0, 128, hex));

  test.each([
    ['three bytes', '0000fd'],
    ['a header cut off', '0000fde8 40'],
    ['an attribute longer than the set', '0000fde8 40 01 02 00'],
    ['a malformed ORIGIN', '0000fde8 40 01 01 03'],
    ['wrong flags', '0000fde8 c0 01 01 00'],
    ['an unknown well-known attribute', '0000fde8 40 63 00'],
    ['MP_REACH', '0000fde8 80 0e 06 0001 01 00 00 00'],
    ['MP_UNREACH', '0000fde8 80 0f 03 0001 01'],
    ['a broken set within', '0000fde8 c0 80 03 000000'],
    [
      'five sets in one another',
      '0000fde8 c0801c 0001fde8 c08015 0001fde8 c0800e 0001fde8 c08007 0001fde8 c08000',
    ],
  ])('%s is withdrawn', (_name, hex) => expectFault('withdraw', 0xc0, 128, hex));
});

describe('IPv6 extended communities (RFC 7606 section 7.15)', () => {
  const target = '0002 20010db8000000000000000000000001 0064';
  test('kept', () => expectKept(0xc0, 25, `${target} ff99 ${'00'.repeat(18)}`));
  test('described', () => {
    const view = decode(attribute(0xc0, 25, golden(target)));
    expect(describeAttributes(view.attrs, 0, view.attrsLength).ipv6ExtendedCommunities).toEqual([
      'rt:[2001:db8::1]:100',
    ]);
  });
  test.each(['', target.slice(0, -2), `${target} 00`])('withdrawn: %s', (hex) => {
    expectFault('withdraw', 0xc0, 25, hex);
  });
});

describe('LARGE_COMMUNITY (RFC 8092 section 3)', () => {
  const one = '0000fde8 00000001 00000001';
  const two = '0000fde8 00000001 00000002';
  test.each([
    [`${one} ${two} ${one} ${one}`, `${one} ${two}`],
    [`${one} ${two} `.repeat(20), `${one} ${two}`],
  ])('redundant values are removed without a word', (sent, left) => {
    const view = decode(attribute(0xd0, 32, golden(sent)));
    expect(view.fault).toBeUndefined();
    expect(kept(view)).toBe(base + hexOf(attribute(0xc0, 32, golden(left))));
  });
  test('a long list without any stays', () => {
    const many = Array.from({ length: 40 }, (_, i) => `0000fde8 00000001 ${i.toString(16).padStart(8, '0')}`);
    expectKept(0xd0, 32, many.join(' '));
  });
});

test('unknown, deprecated and link-state attributes are judged by their flags alone', () => {
  const dpa = attribute(0xc0, 11, [0, 1]);
  const linkState = attribute(0x80, 29, [1]);
  const view = decode(dpa, linkState, attribute(0xc0, 252, []));
  expect(view.fault).toBeUndefined();
  const both = concat(attribute(0xe0, 11, [0, 1]), attribute(0xe0, 252, []));
  expect(kept(view)).toBe(base + hexOf(both));
});

test('a fault says where it is and what stands there', () => {
  const broken = attribute(0xd0, 8, new Uint8Array(101).fill(7));
  const view = decode(broken);
  // Behind the two lengths and the four attributes before it.
  const before = 4 + concat(origin, asPath, nextHop, localPref).length;
  expect(view.fault).toMatchObject({ attribute: 8, offset: before });
  expect(hexOf(view.fault!.bytes!)).toBe(hexOf(broken.subarray(0, 64)));
});

test('several faults: all are told, the strongest decides', () => {
  const view = decode(
    attribute(0x40, 6, [0]),
    attribute(0xc0, 22, [0]),
    attribute(0xc0, 35, u32(1).slice(1)),
    attribute(0x80, 26, [1]),
  );
  expect(view.faults.map(({ attribute: code, disposition }) => [code, disposition])).toEqual([
    [6, 'discard'],
    [22, 'withdraw'],
    [35, 'withdraw'],
    [26, 'discard'],
  ]);
  expect(view.fault).toMatchObject({ attribute: 22, disposition: 'withdraw' });
});

test('of a message full of faults not all are told, but the strongest always', () => {
  const repeats = Array.from({ length: 500 }, () => attribute(0x40, 1, [0]));
  const view = decode(...repeats, attribute(0xc0, 35, []), attribute(0x40, 99, []));
  expect(view.faults.length).toBe(34);
  expect(view.faults.slice(-2).map(({ disposition }) => disposition)).toEqual(['withdraw', 'reset']);
  expect(view.fault).toMatchObject({ disposition: 'reset', attribute: 99 });
});

test('every row quotes its clause', () => {
  for (const { name, clause } of attributeTable) expect(clause, name).toMatch(/^RFC \d+ \d/);
});
