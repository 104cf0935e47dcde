// One UPDATE with the attributes that came after RFC 4271, as bytes, one field a line: what the decoder makes of each, and
// the same bytes from their object.
import { expect, test } from 'vitest';
import { findAttribute, findAttributeEnd } from '../../src/wire/bgp/attribute/canonical.ts';
import { describeAttributes, encodeAttributes } from '../../src/wire/bgp/attribute/describe.ts';
import { attributeRows } from '../../src/wire/bgp/attribute/table.ts';
import { IPV4 } from '../../src/wire/bgp/family.ts';
import { HEADER_LENGTH } from '../../src/wire/bgp/header.ts';
import { UpdateDecoder } from '../../src/wire/bgp/update.ts';
import { UpdateWriter } from '../../src/wire/bgp/update-writer.ts';
import { golden, hexOf } from './build.ts';

const MARKER = 'ffffffffffffffffffffffffffffffff';

test('attributes of later RFCs', () => {
  const bytes = golden(`
    ${MARKER}                           # marker
    00fd 02                             # length 253, UPDATE
    0000                                # nothing withdrawn
    00e2                                # attributes length 226
    40 01 01 00                         # ORIGIN igp
    40 02 06 02 01 0000fde9             # AS_PATH 65001
    40 03 04 c0000201                   # NEXT_HOP 192.0.2.1
    40 05 04 00000064                   # LOCAL_PREF 100
    c0 16 15                            # PMSI_TUNNEL, 21 bytes
    01                                  # flags: leaf information required
    06                                  # ingress replication
    002711                              # VNI 10001
    20010db8000000000000000000000009    # to 2001:db8::9
    c0 17 20                            # TUNNEL_ENCAPSULATION, 32 bytes
    0008 001c                           # VXLAN, 28 bytes
    06 16 00000000 0002                 # egress endpoint, reserved, IPv6
    20010db8000000000000000000000009    # 2001:db8::9
    08 02 12b5                          # UDP destination port 4789
    c0 19 28                            # IPV6 EXTENDED COMMUNITIES, 40 bytes
    0002 20010db8000000000000000000000001 0064 # rt:[2001:db8::1]:100
    400b 20010db8000000000000000000000001 0000 # not transitive: no text of its own
    80 1a 0b                            # AIGP, 11 bytes
    01 000b 0020000000000001            # metric 9007199254740993, more than a double holds
    c0 20 0c                            # LARGE_COMMUNITY, 12 bytes
    fa56ea00 00000001 00000002          # 4200000000:1:2
    c0 23 04                            # OTC, 4 bytes
    0000fde9                            # 65001
    c0 28 25                            # PREFIX_SID, 37 bytes
    05 0022 00                          # SRv6 L3 service, 34 bytes, reserved
    01 001e 00                          # SID information, 30 bytes, reserved
    20010db8000100000000000000000000    # SID 2001:db8:1::
    00 0013 00                          # flags, End.DT4, reserved
    01 0006 28 18 10 00 10 40           # SID structure: 40, 24, 16, 0 bits, 16 moved from 64
    c0 80 12                            # ATTR_SET, 18 bytes
    0000fdea                            # origin AS 65002
    40 01 01 02                         # ORIGIN incomplete
    40 02 00                            # AS_PATH, empty
    40 05 04 000000c8                   # LOCAL_PREF 200
    18 cb0071                           # 203.0.113.0/24
  `);
  const ctx = { asn4: true, internal: true, families: 1, addPath: 0 };
  const view = new UpdateDecoder().decode(bytes, HEADER_LENGTH, bytes.length, ctx);
  expect(view.fault).toBeUndefined();
  const described = describeAttributes(view.attrs, 0, view.attrsLength);
  expect(described).toMatchObject({
    pmsi: {
      flags: 1,
      tunnelType: 6,
      tunnelTypeName: 'ingressReplication',
      vni: 10001,
      label: 625,
      endpoint: '2001:db8::9',
    },
    tunnelEncapsulation: [
      {
        type: 8,
        typeName: 'vxlan',
        endpoint: '2001:db8::9',
        subTlvs: [
          { type: 6, name: 'egressEndpoint', hex: '00000000000220010db8000000000000000000000009' },
          { type: 8, name: 'udpDestinationPort', hex: '12b5' },
        ],
      },
    ],
    ipv6ExtendedCommunities: ['rt:[2001:db8::1]:100', 'ext6:0x400b20010db80000000000000000000000010000'],
    aigp: { metric: '9007199254740993' },
    largeCommunities: ['4200000000:1:2'],
    onlyToCustomer: 65001,
    prefixSid: [{ type: 5, name: 'srv6L3Service', sids: [{ sid: '2001:db8:1::', behavior: 0x13 }] }],
    unknown: [{ code: 128, name: 'ATTR_SET', hex: '0000fdea40010102400200400504000000c8' }],
  });
  const text = (code: number): string => {
    const from = findAttribute(view.attrs, 0, view.attrsLength, code);
    return attributeRows[code]!.format(
      view.attrs,
      from,
      findAttributeEnd(view.attrs, 0, view.attrsLength, code),
    );
  };
  expect([22, 23, 26, 40].map(text)).toEqual([
    'ingressReplication 2001:db8::9 vni 10001',
    'vxlan 2001:db8::9',
    '9007199254740993',
    'srv6L3Service 2001:db8:1::',
  ]);
  const attrs = encodeAttributes(described);
  expect(hexOf(attrs)).toBe(hexOf(view.attrs, 0, view.attrsLength));
  const writer = new UpdateWriter();
  writer.begin(4096, true);
  writer.beginReach(IPV4, attrs, 0, attrs.length, golden('c0000201'), 0, 4);
  writer.addIp4(0xcb007100, 24);
  writer.finish();
  expect(hexOf(writer.bytes, 0, writer.length)).toBe(hexOf(bytes));
});
