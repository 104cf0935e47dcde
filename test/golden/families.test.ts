// One announcement, one withdrawal and one End-of-RIB of every family whose NLRI is more than a prefix, as bytes, in
// both directions: what the decoder and the codec make of them, and the same bytes from the writer. Examples of the RFCs
// where they have some, else by hand.
import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../../src/lib/bytes.ts';
import { describeAttributes, encodeAttributes } from '../../src/wire/bgp/attribute/describe.ts';
import {
  EVPN,
  FLOWSPEC_VPN4,
  FLOWSPEC_VPN6,
  FLOWSPEC4,
  FLOWSPEC6,
  families,
  RTC,
  VPNV4,
  VPNV6,
} from '../../src/wire/bgp/family.ts';
import { HEADER_LENGTH } from '../../src/wire/bgp/header.ts';
import { nlriCodecs } from '../../src/wire/bgp/nlri/opaque.ts';
import { type UpdateContext, UpdateDecoder, type UpdateView } from '../../src/wire/bgp/update.ts';
import { UpdateWriter } from '../../src/wire/bgp/update-writer.ts';
import { golden, hexOf } from './build.ts';

const MARKER = 'ffffffffffffffffffffffffffffffff';

interface Example {
  readonly family: number;
  readonly texts: readonly string[];
  readonly nextHop: string;
  readonly reach: string;
  readonly unreach: string;
  readonly endOfRib: string;
}

const examples: readonly Example[] = [
  {
    family: VPNV4,
    texts: ['65000:1:10.1.2.0/24'],
    nextHop: 'c0000201',
    reach: `
      ${MARKER}                   # marker
      0053 02                     # length 83, UPDATE
      0000                        # nothing withdrawn
      003c                        # attributes length 60
      90 0e 0020                  # MP_REACH, 32 bytes
      0001 80                     # vpnv4
      0c 0000000000000000 c0000201 # next hop: zero RD, 192.0.2.1
      00                          # reserved
      70                          # 112 bits
      000641                      # label 100, bottom of stack
      0000fde8 00000001           # RD 65000:1
      0a0102                      # 10.1.2.0/24
      40 01 01 00                 # ORIGIN igp
      40 02 06 02 01 0000fde9     # AS_PATH 65001
      c0 10 08 0002fde800000064   # EXTENDED COMMUNITIES rt:65000:100
    `,
    unreach: `
      ${MARKER}                   # marker
      002d 02                     # length 45, UPDATE
      0000                        # nothing withdrawn
      0016                        # attributes length 22
      90 0f 0012                  # MP_UNREACH, 18 bytes
      0001 80                     # vpnv4
      70                          # 112 bits
      800000                      # withdrawn label
      0000fde8 00000001           # RD 65000:1
      0a0102                      # 10.1.2.0/24
    `,
    endOfRib: `
      ${MARKER}                   # marker
      001e 02                     # length 30, UPDATE
      0000                        # nothing withdrawn
      0007                        # attributes length 7
      90 0f 0003                  # MP_UNREACH, 3 bytes
      0001 80                     # vpnv4
    `,
  },
  {
    family: VPNV6,
    texts: ['10.0.0.1:2:2001:db8:1::/48'],
    nextHop: '20010db8000000000000000000000001',
    reach: `
      ${MARKER}                   # marker
      0062 02                     # length 98, UPDATE
      0000                        # nothing withdrawn
      004b                        # attributes length 75
      90 0e 002f                  # MP_REACH, 47 bytes
      0002 80                     # vpnv6
      18 0000000000000000 20010db8000000000000000000000001 # next hop: zero RD, 2001:db8::1
      00                          # reserved
      88                          # 136 bits
      000641                      # label 100, bottom of stack
      00010a0000010002            # RD 10.0.0.1:2
      20010db80001                # 2001:db8:1::/48
      40 01 01 00                 # ORIGIN igp
      40 02 06 02 01 0000fde9     # AS_PATH 65001
      c0 10 08 0002fde800000064   # EXTENDED COMMUNITIES rt:65000:100
    `,
    unreach: `
      ${MARKER}                   # marker
      0030 02                     # length 48, UPDATE
      0000                        # nothing withdrawn
      0019                        # attributes length 25
      90 0f 0015                  # MP_UNREACH, 21 bytes
      0002 80                     # vpnv6
      88                          # 136 bits
      800000                      # withdrawn label
      00010a0000010002            # RD 10.0.0.1:2
      20010db80001                # 2001:db8:1::/48
    `,
    endOfRib: `
      ${MARKER}                   # marker
      001e 02                     # length 30, UPDATE
      0000                        # nothing withdrawn
      0007                        # attributes length 7
      90 0f 0003                  # MP_UNREACH, 3 bytes
      0002 80                     # vpnv6
    `,
  },
  {
    family: EVPN,
    texts: [
      '[2]:[0]:[48]:[aa:bb:cc:dd:ee:ff]:[32]:[10.0.0.1] RD 65000:1',
      '[3]:[0]:[32]:[192.0.2.1] RD 65000:1',
      '[5]:[0]:[24]:[10.1.2.0] RD 65000:1',
    ],
    nextHop: 'c0000201',
    reach: `
      ${MARKER}                   # marker
      00b6 02                     # length 182, UPDATE
      0000                        # nothing withdrawn
      009f                        # attributes length 159
      90 0e 0067                  # MP_REACH, 103 bytes
      0019 46                     # evpn
      04 c0000201                 # next hop: 192.0.2.1
      00                          # reserved
      02 25                       # MAC/IP advertisement, 37 bytes
      0000fde8 00000001           # RD 65000:1
      00000000000000000000        # no ethernet segment
      00000000                    # ethernet tag 0
      30 aabbccddeeff             # MAC of 48 bits
      20 0a000001                 # IP of 32 bits, 10.0.0.1
      000064                      # VNI 100
      03 11                       # inclusive multicast, 17 bytes
      0000fde8 00000001           # RD 65000:1
      00000000                    # ethernet tag 0
      20 c0000201                 # originator of 32 bits, 192.0.2.1
      05 22                       # IP prefix, 34 bytes
      0000fde8 00000001           # RD 65000:1
      00000000000000000000        # no ethernet segment
      00000000                    # ethernet tag 0
      18 0a010200                 # 10.1.2.0/24
      00000000                    # no gateway
      0003e8                      # VNI 1000
      40 01 01 00                 # ORIGIN igp
      40 02 06 02 01 0000fde9     # AS_PATH 65001
      c0 10 18 0002fde800000064   # EXTENDED COMMUNITIES rt:65000:100
      030c000000000008            # encapsulation:vxlan
      0603aabbccddee01            # router-mac:aa:bb:cc:dd:ee:01
      c0 16 09 00 06 000064 c0000201 # PMSI_TUNNEL: ingress replication to 192.0.2.1, VNI 100
    `,
    unreach: `
      ${MARKER}                   # marker
      007c 02                     # length 124, UPDATE
      0000                        # nothing withdrawn
      0065                        # attributes length 101
      90 0f 0061                  # MP_UNREACH, 97 bytes
      0019 46                     # evpn
      02 25                       # MAC/IP advertisement, 37 bytes
      0000fde8 00000001           # RD 65000:1
      00000000000000000000        # zeros for the ethernet segment
      00000000                    # ethernet tag 0
      30 aabbccddeeff             # MAC of 48 bits
      20 0a000001                 # IP of 32 bits, 10.0.0.1
      000000                      # zeros for the label
      03 11                       # inclusive multicast, 17 bytes
      0000fde8 00000001           # RD 65000:1
      00000000                    # ethernet tag 0
      20 c0000201                 # originator of 32 bits, 192.0.2.1
      05 22                       # IP prefix, 34 bytes
      0000fde8 00000001           # RD 65000:1
      00000000000000000000        # zeros for the ethernet segment
      00000000                    # ethernet tag 0
      18 0a010200                 # 10.1.2.0/24
      00000000                    # zeros for the gateway
      000000                      # zeros for the label
    `,
    endOfRib: `
      ${MARKER}                   # marker
      001e 02                     # length 30, UPDATE
      0000                        # nothing withdrawn
      0007                        # attributes length 7
      90 0f 0003                  # MP_UNREACH, 3 bytes
      0019 46                     # evpn
    `,
  },
  {
    family: RTC,
    texts: ['65001:rt:65000:100', 'default'],
    nextHop: 'c0000201',
    reach: `
      ${MARKER}                   # marker
      003f 02                     # length 63, UPDATE
      0000                        # nothing withdrawn
      0028                        # attributes length 40
      90 0e 0017                  # MP_REACH, 23 bytes
      0001 84                     # rtc
      04 c0000201                 # next hop: 192.0.2.1
      00                          # reserved
      60                          # 96 bits
      0000fde9                    # origin AS 65001
      0002fde800000064            # rt:65000:100
      00                          # all route targets
      40 01 01 00                 # ORIGIN igp
      40 02 06 02 01 0000fde9     # AS_PATH 65001
    `,
    unreach: `
      ${MARKER}                   # marker
      002c 02                     # length 44, UPDATE
      0000                        # nothing withdrawn
      0015                        # attributes length 21
      90 0f 0011                  # MP_UNREACH, 17 bytes
      0001 84                     # rtc
      60                          # 96 bits
      0000fde9                    # origin AS 65001
      0002fde800000064            # rt:65000:100
      00                          # all route targets
    `,
    endOfRib: `
      ${MARKER}                   # marker
      001e 02                     # length 30, UPDATE
      0000                        # nothing withdrawn
      0007                        # attributes length 7
      90 0f 0003                  # MP_UNREACH, 3 bytes
      0001 84                     # rtc
    `,
  },
  {
    family: FLOWSPEC4,
    texts: ['destination 192.0.2.0/24 source 203.0.113.0/24 port >=137&<=139|=8080'],
    nextHop: '',
    reach: `
      ${MARKER}                   # marker
      004b 02                     # length 75, UPDATE
      0000                        # nothing withdrawn
      0034                        # attributes length 52
      90 0e 0018                  # MP_REACH, 24 bytes
      0001 85                     # flowspec4
      00                          # next hop: none
      00                          # reserved
      12                          # 18 bytes (RFC 8955 section 4.3, example 2)
      01 18 c00002                # destination 192.0.2.0/24
      02 18 cb0071                # source 203.0.113.0/24
      04 03 89 45 8b 91 1f90      # port >=137&<=139|=8080
      40 01 01 00                 # ORIGIN igp
      40 02 06 02 01 0000fde9     # AS_PATH 65001
      c0 10 08 8006fde800000000   # EXTENDED COMMUNITIES traffic-rate:65000:0
    `,
    unreach: `
      ${MARKER}                   # marker
      0031 02                     # length 49, UPDATE
      0000                        # nothing withdrawn
      001a                        # attributes length 26
      90 0f 0016                  # MP_UNREACH, 22 bytes
      0001 85                     # flowspec4
      12                          # 18 bytes (RFC 8955 section 4.3, example 2)
      01 18 c00002                # destination 192.0.2.0/24
      02 18 cb0071                # source 203.0.113.0/24
      04 03 89 45 8b 91 1f90      # port >=137&<=139|=8080
    `,
    endOfRib: `
      ${MARKER}                   # marker
      001e 02                     # length 30, UPDATE
      0000                        # nothing withdrawn
      0007                        # attributes length 7
      90 0f 0003                  # MP_UNREACH, 3 bytes
      0001 85                     # flowspec4
    `,
  },
  {
    family: FLOWSPEC6,
    texts: ['destination ::1234:5678:9a00:0/64-104 source 2001:db8::/32 protocol =6'],
    nextHop: '',
    reach: `
      ${MARKER}                   # marker
      004b 02                     # length 75, UPDATE
      0000                        # nothing withdrawn
      0034                        # attributes length 52
      90 0e 0018                  # MP_REACH, 24 bytes
      0002 85                     # flowspec6
      00                          # next hop: none
      00                          # reserved
      12                          # 18 bytes (after RFC 8956 section 3.8)
      01 68 40 123456789a         # destination ::1234:5678:9a00:0/64-104
      02 20 00 20010db8           # source 2001:db8::/32
      03 81 06                    # protocol =6
      40 01 01 00                 # ORIGIN igp
      40 02 06 02 01 0000fde9     # AS_PATH 65001
      c0 10 08 8009000000000008   # EXTENDED COMMUNITIES traffic-marking:8
    `,
    unreach: `
      ${MARKER}                   # marker
      0031 02                     # length 49, UPDATE
      0000                        # nothing withdrawn
      001a                        # attributes length 26
      90 0f 0016                  # MP_UNREACH, 22 bytes
      0002 85                     # flowspec6
      12                          # 18 bytes (after RFC 8956 section 3.8)
      01 68 40 123456789a         # destination ::1234:5678:9a00:0/64-104
      02 20 00 20010db8           # source 2001:db8::/32
      03 81 06                    # protocol =6
    `,
    endOfRib: `
      ${MARKER}                   # marker
      001e 02                     # length 30, UPDATE
      0000                        # nothing withdrawn
      0007                        # attributes length 7
      90 0f 0003                  # MP_UNREACH, 3 bytes
      0002 85                     # flowspec6
    `,
  },
  {
    family: FLOWSPEC_VPN4,
    texts: ['destination 192.0.2.0/24 fragment 0x5 RD 65000:1'],
    nextHop: '',
    reach: `
      ${MARKER}                   # marker
      0051 02                     # length 81, UPDATE
      0000                        # nothing withdrawn
      003a                        # attributes length 58
      90 0e 0016                  # MP_REACH, 22 bytes
      0001 86                     # flowspecVpn4
      00                          # next hop: none
      00                          # reserved
      10                          # 16 bytes
      0000fde8 00000001           # RD 65000:1
      01 18 c00002                # destination 192.0.2.0/24
      0c 80 05                    # fragment: DF or FF
      40 01 01 00                 # ORIGIN igp
      40 02 06 02 01 0000fde9     # AS_PATH 65001
      c0 10 10 0002fde800000064   # EXTENDED COMMUNITIES rt:65000:100
      8008fde800000065            # redirect:65000:101
    `,
    unreach: `
      ${MARKER}                   # marker
      002f 02                     # length 47, UPDATE
      0000                        # nothing withdrawn
      0018                        # attributes length 24
      90 0f 0014                  # MP_UNREACH, 20 bytes
      0001 86                     # flowspecVpn4
      10                          # 16 bytes
      0000fde8 00000001           # RD 65000:1
      01 18 c00002                # destination 192.0.2.0/24
      0c 80 05                    # fragment: DF or FF
    `,
    endOfRib: `
      ${MARKER}                   # marker
      001e 02                     # length 30, UPDATE
      0000                        # nothing withdrawn
      0007                        # attributes length 7
      90 0f 0003                  # MP_UNREACH, 3 bytes
      0001 86                     # flowspecVpn4
    `,
  },
  {
    family: FLOWSPEC_VPN6,
    texts: ['destination 2001:db8::/32 flowLabel =74565 RD 65000:1'],
    nextHop: '',
    reach: `
      ${MARKER}                   # marker
      004e 02                     # length 78, UPDATE
      0000                        # nothing withdrawn
      0037                        # attributes length 55
      90 0e 001b                  # MP_REACH, 27 bytes
      0002 86                     # flowspecVpn6
      00                          # next hop: none
      00                          # reserved
      15                          # 21 bytes
      0000fde8 00000001           # RD 65000:1
      01 20 00 20010db8           # destination 2001:db8::/32
      0d a1 00012345              # flow label =74565
      40 01 01 00                 # ORIGIN igp
      40 02 06 02 01 0000fde9     # AS_PATH 65001
      c0 10 08 8007000000000001   # EXTENDED COMMUNITIES traffic-action:terminal
    `,
    unreach: `
      ${MARKER}                   # marker
      0034 02                     # length 52, UPDATE
      0000                        # nothing withdrawn
      001d                        # attributes length 29
      90 0f 0019                  # MP_UNREACH, 25 bytes
      0002 86                     # flowspecVpn6
      15                          # 21 bytes
      0000fde8 00000001           # RD 65000:1
      01 20 00 20010db8           # destination 2001:db8::/32
      0d a1 00012345              # flow label =74565
    `,
    endOfRib: `
      ${MARKER}                   # marker
      001e 02                     # length 30, UPDATE
      0000                        # nothing withdrawn
      0007                        # attributes length 7
      90 0f 0003                  # MP_UNREACH, 3 bytes
      0002 86                     # flowspecVpn6
    `,
  },
];

const external: UpdateContext = { asn4: true, internal: false, families: 0x3ff, addPath: 0 };

interface Route {
  readonly key: Uint8Array;
  readonly rest: Uint8Array;
}

// The routes of the only section there is.
function routesOf(bytes: Uint8Array, view: UpdateView, family: number, addPath = false): Route[] {
  expect([view.fault, view.sectionCount, view.sectionFamily[0]]).toEqual([undefined, 1, family]);
  const codec = nlriCodecs[family]!;
  const routes: Route[] = [];
  for (let at = view.sectionStart[0]!; at < view.sectionEnd[0]!; ) {
    if (addPath) at += 4;
    const key = new ByteWriter();
    const rest = new ByteWriter();
    codec.split(bytes, at, key, rest);
    routes.push({ key: key.take(), rest: rest.take() });
    at += codec.size(bytes, at);
  }
  return routes;
}

function add(writer: UpdateWriter, family: number, route: Route, withRest: boolean, pathId = 0): void {
  const out = new ByteWriter();
  const { key, rest } = route;
  nlriCodecs[family]!.join(key, 0, key.length, rest, 0, withRest ? rest.length : 0, out);
  expect(writer.addNlri(out.bytes, 0, out.length, pathId)).toBe(true);
}

describe.each(examples.map((example) => [families[example.family]!.name, example] as const))(
  '%s',
  (_, example) => {
    const { family } = example;
    const codec = nlriCodecs[family]!;

    test('announced', () => {
      const bytes = golden(example.reach);
      const view = new UpdateDecoder().decode(bytes, HEADER_LENGTH, bytes.length, external);
      const routes = routesOf(bytes, view, family);
      expect(routes.map(({ key }) => codec.text(key, 0, key.length))).toEqual(example.texts);
      expect(example.texts.map((text) => hexOf(codec.parse(text)!))).toEqual(
        routes.map(({ key }) => hexOf(key)),
      );
      expect(view.sectionReach[0]).toBe(1);
      expect(hexOf(view.nextHop, view.nextHopStart[0], view.nextHopStart[0]! + view.nextHopLength[0]!)).toBe(
        example.nextHop,
      );
      const attrs = encodeAttributes(describeAttributes(view.attrs, 0, view.attrsLength));
      const writer = new UpdateWriter();
      writer.begin(4096, true);
      const hop = golden(example.nextHop);
      writer.beginReach(family, attrs, 0, attrs.length, hop, 0, hop.length);
      for (const route of routes) add(writer, family, route, true);
      writer.finish();
      expect(hexOf(writer.bytes, 0, writer.length)).toBe(hexOf(bytes));
      if (hop.length > 0) {
        const at = writer.nextHopOffsets[0]!;
        expect(hexOf(writer.bytes, at, at + hop.length)).toBe(example.nextHop);
      } else expect(writer.nextHopCount).toBe(0);
    });

    test('withdrawn', () => {
      const bytes = golden(example.unreach);
      const view = new UpdateDecoder().decode(bytes, HEADER_LENGTH, bytes.length, external);
      const routes = routesOf(bytes, view, family);
      expect(routes.map(({ key }) => codec.text(key, 0, key.length))).toEqual(example.texts);
      expect([view.sectionReach[0], view.endOfRib]).toEqual([0, -1]);
      const writer = new UpdateWriter();
      writer.begin(4096, true);
      writer.beginUnreach(family, true);
      for (const route of routes) add(writer, family, route, false);
      writer.finish();
      expect(hexOf(writer.bytes, 0, writer.length)).toBe(hexOf(bytes));
    });

    test('End-of-RIB', () => {
      const bytes = golden(example.endOfRib);
      const view = new UpdateDecoder().decode(bytes, HEADER_LENGTH, bytes.length, external);
      expect([view.fault, view.endOfRib, view.sectionCount]).toEqual([undefined, family, 0]);
      const writer = new UpdateWriter();
      writer.begin(4096, true);
      writer.endOfRib(family);
      expect(hexOf(writer.bytes, 0, writer.length)).toBe(hexOf(bytes));
    });

    test('with path identifiers', () => {
      const bytes = golden(example.reach);
      const decoder = new UpdateDecoder();
      const view = decoder.decode(bytes, HEADER_LENGTH, bytes.length, external);
      const routes = routesOf(bytes, view, family);
      const attrs = view.attrs.slice(0, view.attrsLength);
      const hop = golden(example.nextHop);
      const writer = new UpdateWriter();
      writer.begin(4096, true);
      writer.beginReach(family, attrs, 0, attrs.length, hop, 0, hop.length, true);
      for (const [i, route] of routes.entries()) add(writer, family, route, true, 0x01020300 + i);
      writer.finish();
      const ctx = { ...external, addPath: 1 << family };
      const again = decoder.decode(writer.bytes, HEADER_LENGTH, writer.length, ctx);
      expect(routesOf(writer.bytes, again, family, true)).toEqual(routes);
      const at = again.sectionStart[0]!;
      expect(hexOf(writer.bytes, at, at + 4)).toBe('01020300');
    });
  },
);
