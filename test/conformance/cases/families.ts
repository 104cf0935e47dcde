// NLRI of the VPN, EVPN, route target and FlowSpec families: right, wrong, unknown (RFC 4364, RFC 4659, RFC 7432, RFC
// 9136, RFC 4684, RFC 8955, RFC 8956; RFC 7606 sections 5.3 and 5.4). Of a malformed NLRI the RFCs leave a speaker
// three ways: reset the session, disable the family, pass over the NLRI; none of them lets it through.

import {
  attribute,
  COMMUNITIES,
  fill,
  ip,
  MED,
  mpReach,
  mpUnreach,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
  prefix,
  u16,
  u32,
  update,
  WELL_KNOWN,
} from '../bytes.ts';
import {
  bare,
  base,
  type Case,
  type Expectation,
  type Ground,
  nextHopOf,
  nlriOf,
  type SessionKind,
} from '../case.ts';
import { FAMILIES, type FamilyName } from '../speaker.ts';
import { accept, ignore, reset, withdraw } from './known.ts';

const opaque = Object.keys(FAMILIES).filter((name) => name !== 'ipv4' && name !== 'ipv6') as FamilyName[];
const faulty = reset([3, 9], [3, 1], [3, 5], [3, 8], [3, 10]);
/** Whatever it does, nobody gets to see the NLRI. */
const survives: readonly Expectation[] = [...ignore, ...withdraw, ...faulty];

const rd = [0, 0, ...u16(65001), ...u32(77)];
const esi = [0, ...fill(9, 1)];
const label = [0, 1, 1];
const NLRI: Record<string, string> = {
  vpn: 'RFC 8277 2.2: Length is of label, RD and prefix in bits, the S bit is ignored; RFC 7606 5.3: "inconsistent with the given AFI/SAFI"',
  evpn: 'RFC 7432 7: "Length field indicates the length in octets of the Route Type specific field"; RFC 7606 5.4: Typed NLRI',
  rtc: 'RFC 4684 4: "a prefix of 0 to 96 bits … minimum of 32 but for the default"',
  flowspec:
    'RFC 8955 4.2: "components MUST follow strict type ordering … an NLRI not encoded as specified here is malformed"',
};
const UNKNOWN_TYPE =
  'RFC 7606 5.4: "MUST handle routes with unrecognized NLRI types within that address family by discarding them"';

type Bad = readonly [id: string, title: string, nlri: readonly number[], expect?: readonly Expectation[]];
type Good = readonly [id: string, title: string, nlri: (index: number) => readonly number[]];

const vpn = (bits: number, ...bytes: (readonly number[])[]) => [bits, ...bytes.flat()];
const badVpn = (max: number): Bad[] => [
  ['length-0', 'a VPN prefix of 0 bits', [0]],
  ['length-24', 'a label and nothing more', vpn(24, label)],
  ['length-87', 'one bit less than label and RD', vpn(87, label, rd)],
  ['length-8', 'a VPN prefix of 8 bits', [8, 20]],
  ['too-long', 'a prefix longer than an address', vpn(88 + max + 1, label, rd, fill(max / 8 + 1, 1))],
  ['length-255', 'a VPN prefix of 255 bits', vpn(255, label, rd, fill(21, 1))],
  ['cut', 'a VPN prefix cut short', vpn(88 + 24, label, rd, [20])],
  ['cut-rd', 'an RD cut short', vpn(112, label, [0, 0, 1])],
  ['trailing', 'a byte behind the last one', [...vpn(88 + 8, label, rd, [20]), 99]],
];
const evpn = (type: number, ...bytes: (readonly number[])[]) => {
  const value = bytes.flat();
  return [type, value.length, ...value];
};
const mac = [2, 0, 0, 0, 0, 9];
const badEvpn: readonly Bad[] = [
  ['type-0', 'route type 0', evpn(0, fill(8)), ignore],
  ['type-12', 'route type 12', evpn(12, rd, fill(9)), ignore],
  ['type-99', 'route type 99', evpn(99, rd), ignore],
  ['type-255', 'route type 255 and empty', [255, 0], ignore],
  ['past-end', 'a route past the end', [3, 200, ...rd, 0, 0, 0, 0, 32, 1, 2, 3, 4]],
  ['half', 'a route type and no length', [3]],
  ['1-short', 'type 1 of 24 bytes', evpn(1, rd, esi, u32(0), [0, 0])],
  ['1-long', 'type 1 of 26 bytes', evpn(1, rd, esi, u32(0), label, [0])],
  ['2-short', 'type 2 of 20 bytes', evpn(2, rd, esi, [0, 0])],
  ['2-empty', 'type 2 without a value', [2, 0]],
  ['2-mac-47', 'type 2 with a MAC of 47 bits', evpn(2, rd, esi, u32(0), [47], mac, [0], label)],
  ['2-mac-0', 'type 2 with a MAC of 0 bits', evpn(2, rd, esi, u32(0), [0], [0], label)],
  [
    '2-ip-31',
    'type 2 with an address of 31 bits',
    evpn(2, rd, esi, u32(0), [48], mac, [31], ip('10.0.0.1'), label),
  ],
  ['2-ip-64', 'type 2 with an address of 64 bits', evpn(2, rd, esi, u32(0), [48], mac, [64], fill(8), label)],
  ['2-ip-cut', 'type 2 with an address that is not there', evpn(2, rd, esi, u32(0), [48], mac, [128], label)],
  ['2-no-label', 'type 2 without a label', evpn(2, rd, esi, u32(0), [48], mac, [0])],
  ['3-short', 'type 3 of 12 bytes', evpn(3, rd, u32(0))],
  ['3-ip-33', 'type 3 with an address of 33 bits', evpn(3, rd, u32(0), [33], ip('10.0.0.1'))],
  ['3-ip-cut', 'type 3 that says 128 bits and has 32', evpn(3, rd, u32(0), [128], ip('10.0.0.1'))],
  ['3-long', 'type 3 with two bytes more', evpn(3, rd, u32(0), [32], ip('10.0.0.1'), [0, 0])],
  ['4-short', 'type 4 without an address', evpn(4, rd, esi)],
  ['4-ip-31', 'type 4 with an address of 31 bits', evpn(4, rd, esi, [31], ip('10.0.0.1'))],
  ['5-short', 'type 5 of 33 bytes', evpn(5, rd, esi, u32(0), [24], ip('10.0.0.0'), ip('10.0.0.1'), [0, 0])],
  [
    '5-long',
    'type 5 of 35 bytes',
    evpn(5, rd, esi, u32(0), [24], ip('10.0.0.0'), ip('10.0.0.1'), label, [0]),
  ],
  [
    '5-33',
    'type 5 with a prefix of 33 bits',
    evpn(5, rd, esi, u32(0), [33], ip('10.0.0.0'), ip('10.0.0.1'), label),
  ],
];
const goodEvpn: readonly Good[] = [
  ['1', 'Ethernet A-D', (i) => evpn(1, rd, esi, u32(i), label)],
  ['2', 'MAC', (i) => evpn(2, rd, esi, u32(i), [48], mac, [0], label)],
  ['2-ip4', 'MAC and IPv4', (i) => evpn(2, rd, esi, u32(i), [48], mac, [32], ip('10.0.0.1'), label)],
  ['2-ip6', 'MAC and IPv6', (i) => evpn(2, rd, esi, u32(i), [48], mac, [128], ip('2001:db8::1'), label)],
  [
    '2-two-labels',
    'MAC and two labels',
    (i) => evpn(2, rd, esi, u32(i), [48], mac, [32], ip('10.0.0.2'), label, label),
  ],
  ['3', 'inclusive multicast', (i) => evpn(3, rd, u32(i), [32], ip('10.97.0.9'))],
  ['3-ip6', 'inclusive multicast, IPv6', (i) => evpn(3, rd, u32(i), [128], ip('2001:db8::9'))],
  ['4', 'Ethernet segment', (i) => evpn(4, rd, [...fill(8), ...u16(i)], [32], ip('10.97.0.9'))],
  ['5', 'IP prefix', (i) => evpn(5, rd, fill(10), u32(i), [24], ip('10.9.9.0'), u32(0), label)],
  ['5-ip6', 'IPv6 prefix', (i) => evpn(5, rd, fill(10), u32(i), [64], ip('2001:db8:9::'), fill(16), label)],
];
const target = [0, 2, ...u16(65001), ...u32(5)];
const badRtc: readonly Bad[] = [
  ['length-97', 'a membership of 97 bits', [97, ...u32(65001), ...target, 0]],
  ['length-255', 'a membership of 255 bits', [255, ...fill(32)]],
  ['length-16', 'a membership of 16 bits', [16, 0, 0]],
  ['length-1', 'a membership of 1 bit', [1, 0]],
  ['cut', 'a membership cut short', [96, ...u32(65001), 0, 2]],
  ['length-only', 'a membership without its bytes', [96]],
];
const goodRtc: readonly Good[] = [
  ['32', 'a membership of an AS', (i) => [32, ...u32(70000 + i)]],
  ['64', 'a partial target', (i) => [64, ...u32(70000 + i), 0, 2, ...u16(65001)]],
  ['96', 'a whole target', (i) => [96, ...u32(70000 + i), ...target]],
];
const flow = (...bytes: (readonly number[])[]) => {
  const value = bytes.flat();
  return [value.length, ...value];
};
function badFlow(vpnRd: readonly number[]): Bad[] {
  return [
    ['empty', 'no component', flow(vpnRd)],
    ['past-end', 'a rule past the end', [90, ...vpnRd, 3, 0x81, 6]],
    ['type-0', 'a component of type 0', flow(vpnRd, [0, 0x81, 6])],
    ['type-99', 'a component of type 99', flow(vpnRd, [99, 0x81, 6])],
    ['order', 'components out of order', flow(vpnRd, [5, 0x81, 80], [3, 0x81, 6])],
    ['twice', 'the same component twice', flow(vpnRd, [3, 0x81, 6], [3, 0x81, 17])],
    ['no-end', 'an operator list without an end', flow(vpnRd, [3, 0x01, 6])],
    ['value-cut', 'a value that is not there', flow(vpnRd, [5, 0x91, 0])],
    ['type-alone', 'a component type and nothing more', flow(vpnRd, [3])],
    ['long-form-cut', 'half a length', [0xf1]],
    ['long-form-past', 'a long length past the end', [0xf1, 0x00, 3, 0x81, 6]],
  ];
}
const badPrefix4: Bad[] = [
  ['prefix-33', 'a destination of 33 bits', flow([1, 33, 1, 2, 3, 4, 5])],
  ['prefix-cut', 'a destination cut short', flow([1, 24, 10])],
];
const badPrefix6: Bad[] = [
  ['prefix-129', 'a destination of 129 bits', flow([1, 129, 0, ...fill(17, 1)])],
  ['offset', 'an offset beyond the length', flow([1, 32, 64, 1, 2, 3, 4])],
];

const bad: Record<string, readonly Bad[]> = {
  vpnv4: badVpn(32),
  vpnv6: badVpn(128),
  evpn: badEvpn,
  rtc: badRtc,
  flowspec4: [...badFlow([]), ...badPrefix4],
  flowspec6: [...badFlow([]), ...badPrefix6],
  flowspecVpn4: [...badFlow(rd), ['rd-cut', 'half an RD', flow([0, 0, 1])]],
  flowspecVpn6: [...badFlow(rd), ['rd-cut', 'half an RD', flow([0, 0, 1])]],
};

// The covering unicast route of the runner's good FlowSpec route is for these, too.
const cover = (index: number) => prefix(`20.${index >> 8}.${index & 255}.0/24`);
const goodFlow4: readonly Good[] = [
  ['ports', 'destination, ports', (i) => flow([1, ...cover(i)], [4, 0x03, 80, 0x85, 90])],
  ['wide', 'two-byte values', (i) => flow([1, ...cover(i)], [5, 0x91, 0x1f, 0x90], [10, 0x91, 0x05, 0xdc])],
  ['flags', 'TCP flags and fragments', (i) => flow([1, ...cover(i)], [9, 0x81, 2], [12, 0x80, 1])],
  ['source', 'destination and source', (i) => flow([1, ...cover(i)], [2, 8, 10])],
];
const good: Record<string, readonly Good[]> = {
  evpn: goodEvpn,
  rtc: goodRtc,
  flowspec4: goodFlow4,
  vpnv4: [
    ['host', 'a host route', (i) => vpn(120, label, rd, [20, 1, i >> 8, i & 255])],
    [
      's-bit',
      'a label without its S bit',
      (i) => vpn(112, [0, 1, 0], [0, 0, 0xfd, 0xea, ...u32(i)], [20, 1, 1]),
    ],
    ['default', 'a default route', (i) => vpn(88, label, [0, 0, 0xfd, 0xe9, ...u32(100000 + i)])],
    ['rd-ip', 'an RD of type 1', (i) => vpn(112, label, [0, 1, ...ip('10.97.0.9'), ...u16(i)], [20, 1, 1])],
    ['rd-as4', 'an RD of type 2', (i) => vpn(112, label, [0, 2, ...u32(4200000001), ...u16(i)], [20, 1, 1])],
  ],
};

function clauseOf(family: FamilyName): string {
  return NLRI[Object.keys(NLRI).find((name) => family.startsWith(name))!]!;
}

function casesOf(family: FamilyName): Case[] {
  const cases: Case[] = [];
  const codes = FAMILIES[family];
  const valid = (
    id: string,
    title: string,
    clause: string,
    expect: readonly Expectation[],
    more: Pick<Case & { kind: 'update' }, 'send'> & {
      nlri?: (ground: Ground) => readonly number[];
      good?: boolean;
    },
    session: SessionKind = 'internal',
  ) =>
    cases.push({
      kind: 'update',
      id: `${family}.${id}.${session}`,
      category: `valid ${family}`,
      title,
      clause,
      session,
      family,
      expect,
      valid: true,
      ...more,
    });
  const wrong = (
    id: string,
    title: string,
    clause: string,
    expect: readonly Expectation[],
    send: (ground: Ground) => Uint8Array,
    session: SessionKind = 'internal',
  ) =>
    cases.push({
      kind: 'update',
      id: `${family}.${id}.${session}`,
      category: `malformed ${family}`,
      title,
      clause,
      session,
      family,
      expect,
      send,
    });
  const reach = (ground: Ground, nlri: readonly number[], hop = nextHopOf(family, ground.local)) =>
    mpReach(codes, hop, nlri);
  for (const session of ['internal', 'external'] as const) {
    valid(
      'replaced',
      'announced again with another path',
      'RFC 4760 3: MP_REACH_NLRI',
      accept,
      { send: (g) => update({ attributes: base(g) }) },
      session,
    );
    valid(
      'withdrawn',
      'withdrawn',
      'RFC 4760 4: MP_UNREACH_NLRI',
      withdraw,
      { send: (g) => update({ attributes: [mpUnreach(codes, g.nlri)] }) },
      session,
    );
    for (const [id, title, nlri, expect = survives] of bad[family] ?? []) {
      const clause = expect === ignore ? UNKNOWN_TYPE : clauseOf(family);
      wrong(
        `nlri-${id}`,
        title,
        clause,
        expect,
        (g) => update({ attributes: [reach(g, nlri), ...bare(g)] }),
        session,
      );
    }
  }
  for (const [id, title, make] of good[family] ?? [])
    valid(`nlri-${id}`, title, clauseOf(family), accept, {
      good: false,
      nlri: (g) => make(g.index),
      send: (g) => flowAnnounce(g, make(g.index)),
    });
  for (const [id, title, nlri] of bad[family] ?? [])
    wrong(`withdrawn-${id}`, `${title}, withdrawn`, clauseOf(family), survives, () =>
      update({ attributes: [mpUnreach(codes, nlri)] }),
    );
  const spoilt: readonly [string, string, (list: ReturnType<typeof base>) => ReturnType<typeof base>][] = [
    [
      'origin',
      'an undefined ORIGIN',
      (list) => list.map((one) => (one.type === ORIGIN ? attribute(WELL_KNOWN, ORIGIN, [9]) : one)),
    ],
    ['origin-missing', 'no ORIGIN', (list) => list.filter((one) => one.type !== ORIGIN)],
    [
      'communities',
      'COMMUNITIES of 3 bytes',
      (list) => [...list, attribute(OPTIONAL_TRANSITIVE, COMMUNITIES, [1, 2, 3])],
    ],
    ['med', 'a MED of 5 bytes', (list) => [...list, attribute(0x80, MED, fill(5))]],
    [
      'past-end',
      'an attribute past the end',
      (list) => [...list, { flags: 0xc0, type: 8, value: [1, 2, 3, 4], length: 40 }],
    ],
  ];
  for (const [id, title, spoil] of spoilt)
    wrong(
      `attribute-${id}`,
      `${title} beside ${family}`,
      'RFC 7606 2: treat-as-withdraw, of every family',
      withdraw,
      (g) => update({ attributes: spoil(base(g)) }),
    );
  if (!family.startsWith('flowspec')) {
    for (const length of [1, 3, 5, 13, 33])
      wrong(
        `next-hop-${length}`,
        `a next hop of ${length} bytes`,
        'RFC 7606 7.11: inconsistent next hop length: session reset or AFI/SAFI disable',
        [...faulty, ...withdraw, ...ignore],
        (g) => update({ attributes: [reach(g, g.nlri, fill(length, 10)), ...bare(g)] }),
      );
    wrong('next-hop-0', 'no next hop', 'RFC 7606 7.11', [...faulty, ...withdraw, ...ignore], (g) =>
      update({ attributes: [reach(g, g.nlri, []), ...bare(g)] }),
    );
  }
  wrong('twice', 'MP_REACH twice', 'RFC 7606 3 (g): Malformed Attribute List', reset([3, 1]), (g) =>
    update({ attributes: [reach(g, g.nlri), reach(g, g.other), ...bare(g)] }),
  );
  return cases;
}

function flowAnnounce(ground: Ground, nlri: readonly number[]): readonly Uint8Array[] {
  const route = update({
    attributes: [
      mpReach(FAMILIES[ground.family], nextHopOf(ground.family, ground.local), nlri),
      ...bare(ground),
    ],
  });
  if (!ground.family.startsWith('flowspec')) return [route];
  const unicast: Ground = { ...ground, family: 'ipv4', nlri: nlriOf('ipv4', ground.index) };
  return [update({ attributes: base(unicast), nlri: unicast.nlri }), route];
}

export function familyCases(): Case[] {
  return opaque.flatMap(casesOf);
}
