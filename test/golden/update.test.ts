// UPDATEs as bytes, both directions: what the writer writes, and what the decoder makes of it.
import { expect, test } from 'vitest';
import { parseIp } from '../../src/net/ip.ts';
import {
  type AttributesInput,
  describeAttributes,
  encodeAttributes,
} from '../../src/wire/bgp/attribute/describe.ts';
import { IPV4, IPV6 } from '../../src/wire/bgp/family.ts';
import { HEADER_LENGTH } from '../../src/wire/bgp/header.ts';
import { ip4At, ip6WordAt } from '../../src/wire/bgp/nlri/ip.ts';
import { type UpdateContext, UpdateDecoder, type UpdateView } from '../../src/wire/bgp/update.ts';
import { UpdateWriter } from '../../src/wire/bgp/update-writer.ts';
import { golden, hexOf } from './build.ts';

const MARKER = 'ffffffffffffffffffffffffffffffff';
const external: UpdateContext = { asn4: true, internal: false, families: 3, addPath: 0 };

function decode(bytes: Uint8Array, ctx = external): UpdateView {
  const view = new UpdateDecoder().decode(bytes, HEADER_LENGTH, bytes.length, ctx);
  expect(view.fault).toBeUndefined();
  return view;
}

function attributesOf(view: UpdateView): ReturnType<typeof describeAttributes> {
  return describeAttributes(view.attrs, 0, view.attrsLength);
}

function nextHopOf(view: UpdateView, section: number): string {
  const start = view.nextHopStart[section]!;
  return hexOf(view.nextHop, start, start + view.nextHopLength[section]!);
}

// The message the writer makes of one set of attributes; `add` adds the prefixes.
function written(
  family: number,
  input: AttributesInput,
  nextHop: string,
  add: (writer: UpdateWriter) => void,
  options: { asn4?: boolean; addPath?: boolean } = {},
): string {
  const writer = new UpdateWriter();
  writer.begin(4096, options.asn4 ?? true);
  const attrs = encodeAttributes(input);
  const hop = golden(nextHop);
  writer.beginReach(family, attrs, 0, attrs.length, hop, 0, hop.length, options.addPath);
  add(writer);
  writer.finish();
  return hexOf(writer.bytes, 0, writer.length);
}

test('IPv4 with classic NLRI', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    005b          # length 91
    02            # UPDATE
    0000          # nothing withdrawn
    003d          # attributes length 61
    40 01 01 00                 # ORIGIN igp
    40 02 0e                    # AS_PATH
      02 03 0000fde9 fa56ea01 0000fdeb  # sequence 65001 4200000001 65003
    40 03 04 c0000201           # NEXT_HOP 192.0.2.1
    80 04 04 0000000a           # MED 10
    c0 08 08 fde80001 ffffff01  # COMMUNITIES 65000:1 no-export
    c0 20 0c 0000fde8 00000001 00000002  # LARGE_COMMUNITY 65000:1:2
    00            # 0.0.0.0/0
    08 0a         # 10.0.0.0/8
    18 c63364     # 198.51.100.0/24
  `);
  const input: AttributesInput = {
    origin: 'igp',
    asPath: '65001 4200000001 65003',
    med: 10,
    communities: ['65000:1', 'no-export'],
    largeCommunities: ['65000:1:2'],
  };
  const hex = written(IPV4, input, 'c0000201', (writer) => {
    writer.addIp4(0, 0);
    writer.addIp4(0x0a000000, 8);
    writer.addIp4(0xc6336400, 24);
  });
  expect(hex).toBe(hexOf(bytes));
  const view = decode(bytes);
  expect(attributesOf(view)).toMatchObject(input);
  expect([view.sectionCount, view.sectionFamily[0], view.sectionReach[0], nextHopOf(view, 0)]).toEqual([
    1,
    IPV4,
    1,
    'c0000201',
  ]);
  const at = view.sectionEnd[0]! - 4;
  expect([bytes[at], ip4At(bytes, at)]).toEqual([24, 0xc6336400]);
});

test('IPv6 with a global and a link-local next hop (RFC 2545)', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    0068          # length 104
    02            # UPDATE
    0000          # nothing withdrawn
    0051          # attributes length 81
    90 0e 0035                  # MP_REACH_NLRI first, 53 bytes
      0002 01                   #   IPv6 unicast
      20                        #   next hop of 32 bytes
      20010db8000000000000000000000001  # 2001:db8::1
      fe800000000000000000000000000001  # fe80::1
      00                        #   reserved
      30 20010db80005           #   2001:db8:5::/48
      40 20010db800060000       #   2001:db8:6::/64
    40 01 01 02                 # ORIGIN incomplete
    40 02 06 02 01 0000fde9     # AS_PATH 65001
    c0 10 08 0002 fde8 00000064 # extended community rt:65000:100
  `);
  const input: AttributesInput = {
    origin: 'incomplete',
    asPath: '65001',
    extendedCommunities: ['rt:65000:100'],
  };
  const hop = '20010db8000000000000000000000001 fe800000000000000000000000000001';
  const hex = written(IPV6, input, hop, (writer) => {
    writer.addIp6(0x20010db8, 0x00050000, 0, 0, 48);
    writer.addIp6(0x20010db8, 0x00060000, 0, 0, 64);
  });
  expect(hex).toBe(hexOf(bytes));
  const view = decode(bytes);
  expect(attributesOf(view)).toMatchObject(input);
  expect(nextHopOf(view, 0)).toBe(hop.replace(' ', ''));
  expect(ip6WordAt(bytes, view.sectionStart[0]!, 1)).toBe(0x00050000);
});

test('IPv4 with a link-local next hop (RFC 8950, unnumbered)', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    0042          # length 66
    02            # UPDATE
    0000          # nothing withdrawn
    002b          # attributes length 43
    90 0e 001a                  # MP_REACH_NLRI, 26 bytes
      0001 01                   #   IPv4 unicast
      10                        #   next hop of 16 bytes
      fe800000000000000000000000000009  # fe80::9
      00                        #   reserved
      20 0a00000b               #   10.0.0.11/32
    40 01 01 00                 # ORIGIN igp
    40 02 06 02 01 0000fde9     # AS_PATH 65001
  `);
  const hop = hexOf(parseIp('fe80::9')!);
  const hex = written(IPV4, { origin: 'igp', asPath: '65001' }, hop, (writer) => {
    writer.addIp4(0x0a00000b, 32);
  });
  expect(hex).toBe(hexOf(bytes));
  const view = decode(bytes);
  expect([view.sectionFamily[0], view.nextHopLength[0], nextHopOf(view, 0)]).toEqual([IPV4, 16, hop]);
});

test('to and from a 2-octet peer (RFC 6793)', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    004f          # length 79
    02            # UPDATE
    0000          # nothing withdrawn
    0035          # attributes length 53
    40 01 01 00                 # ORIGIN igp
    40 02 06 02 02 fde9 5ba0    # AS_PATH 65001 AS_TRANS
    40 03 04 c0000201           # NEXT_HOP 192.0.2.1
    c0 07 06 5ba0 c0000209      # AGGREGATOR AS_TRANS 192.0.2.9
    c0 11 0a 02 02 0000fde9 fa56ea01  # AS4_PATH 65001 4200000001
    c0 12 08 fa56ea01 c0000209  # AS4_AGGREGATOR 4200000001 192.0.2.9
    10 0a01       # 10.1.0.0/16
  `);
  const input: AttributesInput = {
    origin: 'igp',
    asPath: '65001 4200000001',
    aggregator: { asn: 4200000001, address: '192.0.2.9' },
  };
  const hex = written(IPV4, input, 'c0000201', (writer) => writer.addIp4(0x0a010000, 16), { asn4: false });
  expect(hex).toBe(hexOf(bytes));
  expect(attributesOf(decode(bytes, { ...external, asn4: false }))).toMatchObject(input);
});

test('ADD-PATH (RFC 7911)', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    0037          # length 55
    02            # UPDATE
    0000          # nothing withdrawn
    0014          # attributes length 20
    40 01 01 00                 # ORIGIN igp
    40 02 06 02 01 0000fde9     # AS_PATH 65001
    40 03 04 c0000201           # NEXT_HOP 192.0.2.1
    00000007 08 0a              # path 7 of 10.0.0.0/8
    00000008 08 0a              # path 8 of 10.0.0.0/8
  `);
  const add = (writer: UpdateWriter): void => {
    writer.addIp4(0x0a000000, 8, 7);
    writer.addIp4(0x0a000000, 8, 8);
  };
  expect(written(IPV4, { origin: 'igp', asPath: '65001' }, 'c0000201', add, { addPath: true })).toBe(
    hexOf(bytes),
  );
  const view = decode(bytes, { ...external, addPath: 1 });
  expect(view.sectionEnd[0]! - view.sectionStart[0]!).toBe(12);
});

test('withdrawals and End-of-RIB', () => {
  const bytes = golden(`
    ${MARKER} 0019 02           # UPDATE of 25 bytes
    0002 08 0a                  # withdrawn 10.0.0.0/8
    0000                        # no attributes
    ${MARKER} 0022 02           # UPDATE of 34 bytes
    0000                        # nothing in the classic field
    000b                        # attributes length 11
    90 0f 0007                  # MP_UNREACH_NLRI
      0002 01                   #   IPv6 unicast
      18 20010d                 #   2001:d00::/24
    ${MARKER} 0017 02           # UPDATE of 23 bytes: End-of-RIB for IPv4
    0000 0000
    ${MARKER} 001e 02           # UPDATE of 30 bytes: End-of-RIB for IPv6
    0000 0007
    90 0f 0003 0002 01
  `);
  const writer = new UpdateWriter();
  writer.begin(4096, true);
  writer.beginUnreach(IPV4, false);
  writer.addIp4(0x0a000000, 8);
  writer.beginUnreach(IPV6, true);
  writer.addIp6(0x20010d00, 0, 0, 0, 24);
  writer.endOfRib(IPV4);
  writer.endOfRib(IPV6);
  expect(hexOf(writer.bytes, 0, writer.length)).toBe(hexOf(bytes));
  const starts = [0, 25, 59, 82];
  const seen = starts.map((at, i) => {
    const end = starts[i + 1] ?? bytes.length;
    const view = new UpdateDecoder().decode(bytes, at + HEADER_LENGTH, end, external);
    return [view.sectionCount, view.sectionFamily[0], view.endOfRib];
  });
  expect(seen).toEqual([
    [1, IPV4, -1],
    [1, IPV6, -1],
    [0, 0, IPV4],
    [0, 0, IPV6],
  ]);
});

test('attributes of our own RFCs and of none keep their bytes', () => {
  const bytes = golden(`
    ${MARKER}     # marker
    005d          # length 93
    02            # UPDATE
    0000          # nothing withdrawn
    0042          # attributes length 66
    40 01 01 00                 # ORIGIN igp
    40 02 06 02 01 0000fde9     # AS_PATH 65001
    40 03 04 c0000201           # NEXT_HOP 192.0.2.1
    40 06 00                    # ATOMIC_AGGREGATE
    c0 16 09 00 06 000064 0a000001  # PMSI_TUNNEL: ingress replication, label, 10.0.0.1
    c0 23 04 0000fde9           # OTC 65001
    c0 28 0a 01 0007 00 0000 00000064  # PREFIX_SID: label index 100
    f0 fe 0003 010203           # 254: unknown, partial, extended length for no need
    80 fd 01 00                 # 253: unknown, not transitive: not passed on
    18 cb0071     # 203.0.113.0/24
  `);
  const view = decode(bytes);
  expect(attributesOf(view)).toMatchObject({
    atomicAggregate: true,
    onlyToCustomer: 65001,
    pmsi: { flags: 0, tunnelType: 6, tunnelTypeName: 'ingressReplication', vni: 100, endpoint: '10.0.0.1' },
    prefixSid: [{ type: 1, name: 'labelIndex', labelIndex: 100, hex: '00000000000064' }],
    unknown: [{ code: 254, flags: 0xe0, hex: '010203' }],
  });
  const again = encodeAttributes(attributesOf(view));
  expect(hexOf(again)).toBe(hexOf(view.attrs, 0, view.attrsLength));
});
