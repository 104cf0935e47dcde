// MP_REACH_NLRI with IPv6: lengths, next hops of every length and kind, unknown families, twice, prefixes too long
// (RFC 4760, RFC 2545, RFC 7606 sections 3, 5 and 7.11).

import {
  AGGREGATOR,
  attribute,
  fill,
  ip,
  MED,
  MP_REACH,
  MP_UNREACH,
  mpReach,
  mpUnreach,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
  update,
  WELL_KNOWN,
} from '../bytes.ts';
import { bare, DAEMON6, type Expectation, type Ground, RUNNER6 } from '../case.ts';
import { accept, ignore, reset, withdraw } from './known.ts';

export const FAULTY =
  'RFC 7606 7.11: "inconsistent with that which was expected, the attribute is considered malformed … session reset or AFI/SAFI disable"';
export const TWICE =
  'RFC 7606 3 (g): "If the MP_REACH_NLRI attribute or the MP_UNREACH_NLRI attribute appears more than once … a NOTIFICATION message MUST be sent with the Error Subcode Malformed Attribute List"';
export const SYNTAX =
  'RFC 7606 5.3: incorrect if "the length of any of the included NLRI is inconsistent with the given AFI/SAFI"; 3 (j): session reset or AFI/SAFI disable';
export const FLAGS =
  'RFC 7606 3 (c): "Optional or Transitive bits … in conflict with their specified values … treat-as-withdraw"';
export const HOST =
  'RFC 4271 6.3, RFC 2545 3: the next hop is an IPv6 address of a host; RFC 7606 7.3: treat-as-withdraw';
export const NEXT =
  'RFC 2545 3: "The value of the Length of Next Hop … shall be set to 16, when only a global address is present, or 32 if a link-local address is also included"';
export const SHORT =
  'RFC 7606 7.11/5.3: the attribute is too short to hold its fields; NLRI cannot be located: session reset';
export const NOT_OURS =
  'RFC 4760 8: only families that were advertised by both "use a particular AFI/SAFI"; RFC 7606 5.4: others are passed over';
export const SNPA = 'RFC 4760 3: "Reserved … MUST be set to 0, and SHOULD be ignored upon receipt"';

export const six = [2, 1] as const;
export const global = ip(RUNNER6);
export const linkLocal = ip('fe80::abcd');
/** RFC 4760 section 7 names 3/9; 3/1 and 3/5 are what RFC 4271 says of lengths. */
export const faulty = reset([3, 9], [3, 1], [3, 4], [3, 5], [3, 8], [3, 10]);
export const resetOrWithdraw: readonly Expectation[] = [...withdraw, ...faulty];

export type Row = readonly [
  id: string,
  title: string,
  clause: string,
  expect: readonly Expectation[],
  send: (ground: Ground) => Uint8Array,
  valid?: 'valid',
];

export const reach = (
  ground: Ground,
  nextHop: readonly number[],
  nlri: readonly number[] = ground.nlri,
  lie: Parameters<typeof mpReach>[3] = {},
) => update({ attributes: [mpReach(six, nextHop, nlri, lie), ...bare(ground)] });
export const value = (ground: Ground, bytes: readonly number[]) =>
  update({ attributes: [attribute(0x80, MP_REACH, bytes), ...bare(ground)] });
export const unreach = (bytes: readonly number[], flags = 0x80) =>
  update({ attributes: [attribute(flags, MP_UNREACH, bytes)] });

export const reachRows: readonly Row[] = [
  ...[0, 1, 4, 8, 12, 15, 17, 20, 24, 31, 33, 48].map(
    (length): Row => [
      `next-hop-${length}`,
      `a next hop of ${length} bytes`,
      FAULTY,
      faulty,
      (g) => reach(g, fill(length, 0x20)),
    ],
  ),
  [
    'next-hop-past-end',
    'a next hop length of 255',
    FAULTY,
    faulty,
    (g) => reach(g, global, g.nlri, { nextHopLength: 255 }),
  ],
  [
    'next-hop-lie-15',
    'a next hop length one too small',
    FAULTY,
    faulty,
    (g) => reach(g, global, g.nlri, { nextHopLength: 15 }),
  ],
  [
    'next-hop-lie-17',
    'a next hop length one too large',
    FAULTY,
    faulty,
    (g) => reach(g, global, g.nlri, { nextHopLength: 17 }),
  ],
  ['length-0', 'MP_REACH without a value', SHORT, faulty, (g) => value(g, [])],
  ['length-1', 'MP_REACH of one byte', SHORT, faulty, (g) => value(g, [0])],
  ['length-3', 'MP_REACH that is only a family', SHORT, faulty, (g) => value(g, [0, 2, 1])],
  ['length-4', 'MP_REACH that ends before its next hop', SHORT, faulty, (g) => value(g, [0, 2, 1, 16])],
  [
    'no-reserved',
    'MP_REACH that ends behind its next hop',
    SHORT,
    faulty,
    (g) => value(g, [0, 2, 1, 16, ...global]),
  ],
  [
    'past-end',
    'MP_REACH last and past the end',
    'RFC 7606 4: past the end: treat-as-withdraw, or stronger since its NLRI cannot be read whole',
    resetOrWithdraw,
    (g) => update({ attributes: [...bare(g), { ...mpReach(six, global, g.nlri), length: 60 }] }),
  ],
  [
    'twice',
    'MP_REACH twice',
    TWICE,
    reset([3, 1]),
    (g) => update({ attributes: [mpReach(six, global, g.nlri), mpReach(six, global, g.other), ...bare(g)] }),
  ],
  [
    'twice-apart',
    'MP_REACH first and last',
    TWICE,
    reset([3, 1]),
    (g) => update({ attributes: [mpReach(six, global, g.nlri), ...bare(g), mpReach(six, global, g.other)] }),
  ],
  [
    'flags-c0',
    'MP_REACH with the Transitive bit',
    FLAGS,
    resetOrWithdraw,
    (g) => reach(g, global, g.nlri, { flags: 0xc0 }),
  ],
  [
    'flags-00',
    'MP_REACH without the Optional bit',
    FLAGS,
    resetOrWithdraw,
    (g) => reach(g, global, g.nlri, { flags: 0x00 }),
  ],
  [
    'flags-40',
    'MP_REACH as a well-known attribute',
    FLAGS,
    resetOrWithdraw,
    (g) => reach(g, global, g.nlri, { flags: 0x40 }),
  ],
  ['nlri-129', 'a prefix of 129 bits', SYNTAX, faulty, (g) => reach(g, global, [129, ...fill(17, 0x20)])],
  ['nlri-255', 'a prefix of 255 bits', SYNTAX, faulty, (g) => reach(g, global, [255, ...fill(32, 0x20)])],
  [
    'nlri-129-after-good',
    'a good prefix, then one of 129 bits',
    SYNTAX,
    faulty,
    (g) => reach(g, global, [...g.nlri, 129, ...fill(17, 0x20)]),
  ],
  [
    'nlri-short',
    'a prefix of 48 bits in five bytes',
    SYNTAX,
    faulty,
    (g) => reach(g, global, [48, 0x26, 0, 0, 1, 1]),
  ],
  [
    'nlri-trailing',
    'a byte behind the last prefix',
    SYNTAX,
    faulty,
    (g) => reach(g, global, [...g.nlri, 64]),
  ],
  ['hop-unspecified', 'the next hop ::', HOST, withdraw, (g) => reach(g, fill(16))],
  ['hop-loopback', 'the next hop ::1', HOST, withdraw, (g) => reach(g, ip('::1'))],
  ['hop-multicast', 'the next hop ff02::1', HOST, withdraw, (g) => reach(g, ip('ff02::1'))],
  [
    'hop-own',
    "the speaker's own address as next hop",
    'RFC 4271 6.3: "It MUST NOT be the IP address of the receiving speaker … the route SHOULD be ignored"',
    [...withdraw, ...ignore],
    (g) => reach(g, ip(DAEMON6)),
  ],
  [
    'hop-mapped',
    'an IPv4-mapped next hop',
    `${HOST} (mapped addresses are nowhere forbidden)`,
    [...withdraw, ...accept],
    (g) => reach(g, ip('::ffff:a60:2')),
  ],
  [
    'origin-bad',
    'MP_REACH beside an undefined ORIGIN',
    'RFC 7606 7.1: treat-as-withdraw, of all NLRI of the UPDATE',
    withdraw,
    (g) =>
      update({
        attributes: [
          mpReach(six, global, g.nlri),
          ...bare(g).filter((one) => one.type !== ORIGIN),
          attribute(WELL_KNOWN, ORIGIN, [9]),
        ],
      }),
  ],
  [
    'origin-missing',
    'MP_REACH without ORIGIN',
    'RFC 7606 3 (d): "well-known mandatory attributes are not present … treat-as-withdraw"',
    withdraw,
    (g) =>
      update({ attributes: [mpReach(six, global, g.nlri), ...bare(g).filter((one) => one.type !== ORIGIN)] }),
  ],
  [
    'path-missing',
    'MP_REACH without AS_PATH',
    'RFC 7606 3 (d): treat-as-withdraw',
    withdraw,
    (g) => update({ attributes: [mpReach(six, global, g.nlri), ...bare(g).filter((one) => one.type !== 2)] }),
  ],
  [
    'med-short',
    'MP_REACH beside a MED of three bytes',
    'RFC 7606 7.4: treat-as-withdraw',
    withdraw,
    (g) =>
      update({ attributes: [mpReach(six, global, g.nlri), ...bare(g), attribute(0x80, MED, [0, 0, 1])] }),
  ],
  [
    'aggregator-short',
    'MP_REACH beside a short AGGREGATOR',
    'RFC 7606 7.7: attribute discard',
    [{ kind: 'discard', type: AGGREGATOR }],
    (g) =>
      update({
        attributes: [
          mpReach(six, global, g.nlri),
          ...bare(g),
          attribute(OPTIONAL_TRANSITIVE, AGGREGATOR, [1, 2]),
        ],
      }),
  ],
  [
    'last-past-end',
    'MP_REACH first, the last attribute past the end',
    'RFC 7606 4: treat-as-withdraw; 5.1: "MP_REACH_NLRI … first"',
    withdraw,
    (g) =>
      update({
        attributes: [
          mpReach(six, global, g.nlri),
          ...bare(g),
          { flags: 0xc0, type: 8, value: [1, 2, 3, 4], length: 99 },
        ],
      }),
  ],
  [
    'next-hop-attribute',
    'MP_REACH and a NEXT_HOP attribute',
    'RFC 4760 3: "An UPDATE message that carries no NLRI, other than the one encoded in the MP_REACH_NLRI attribute, SHOULD NOT carry the NEXT_HOP attribute … the BGP speaker that receives the message SHOULD ignore this attribute"',
    accept,
    (g) =>
      update({
        attributes: [mpReach(six, global, g.nlri), ...bare(g), attribute(WELL_KNOWN, 3, ip('10.97.0.9'))],
      }),
    'valid',
  ],
  [
    'next-hop-attribute-bad',
    'MP_REACH and a NEXT_HOP of nobody',
    'RFC 4760 3: the NEXT_HOP attribute "SHOULD be ignored"; RFC 7606 7.3 counts its length alone',
    [...accept, ...withdraw],
    (g) =>
      update({
        attributes: [mpReach(six, global, g.nlri), ...bare(g), attribute(WELL_KNOWN, 3, [0, 0, 0, 0])],
      }),
  ],
  [
    'reserved',
    'a reserved byte that is not 0',
    SNPA,
    accept,
    (g) => reach(g, global, g.nlri, { reserved: [7] }),
    'valid',
  ],
  [
    'hop-32',
    'a global and a link-local next hop',
    NEXT,
    accept,
    (g) => reach(g, [...global, ...linkLocal]),
    'valid',
  ],
  [
    'hop-32-not-link-local',
    'a second next hop that is not link-local',
    NEXT,
    [...accept, ...withdraw],
    (g) => reach(g, [...global, ...ip('2001:db8::9')]),
  ],
  [
    'hop-32-zero',
    'a second next hop of zeros',
    NEXT,
    [...accept, ...withdraw],
    (g) => reach(g, [...global, ...fill(16)]),
  ],
  [
    'extended-length',
    'MP_REACH with an extended length',
    'RFC 4271 4.3: Extended Length',
    accept,
    (g) => reach(g, global, g.nlri, { flags: 0x90 }),
    'valid',
  ],
  [
    'low-bits',
    'MP_REACH with the four low bits',
    'RFC 4271 4.3: "The lower-order four bits … MUST be ignored when received"',
    accept,
    (g) => reach(g, global, g.nlri, { flags: 0x8f }),
    'valid',
  ],
  [
    'no-nlri',
    'MP_REACH without a prefix',
    'RFC 7606 5.2: an UPDATE without reachable NLRI is no error while its attributes are in order',
    [...ignore, ...faulty],
    (g) => reach(g, global, []),
  ],
  [
    'default',
    'the default route',
    'RFC 4760 5: "A length of zero indicates a prefix that matches all … addresses"',
    ignore,
    (g) => update({ attributes: [mpUnreach(six, [0]), ...bare(g)] }),
    'valid',
  ],
  [
    'unreach-beside',
    'a prefix announced and another withdrawn',
    'RFC 7606 5.1: any combination',
    accept,
    (g) => update({ attributes: [mpReach(six, global, g.nlri), ...bare(g), mpUnreach(six, g.other)] }),
    'valid',
  ],
  [
    'unknown-afi',
    'an AFI nobody has',
    NOT_OURS,
    ignore,
    (g) => update({ attributes: [mpReach([77, 1], global, g.nlri), ...bare(g)] }),
  ],
  [
    'unknown-safi',
    'a SAFI nobody has',
    NOT_OURS,
    ignore,
    (g) => update({ attributes: [mpReach([2, 77], global, g.nlri), ...bare(g)] }),
  ],
  [
    'multicast-safi',
    'IPv6 multicast, not negotiated',
    NOT_OURS,
    ignore,
    (g) => update({ attributes: [mpReach([2, 2], global, g.nlri), ...bare(g)] }),
  ],
  [
    'labelled-safi',
    'labelled IPv6, not negotiated',
    NOT_OURS,
    ignore,
    (g) => update({ attributes: [mpReach([2, 4], global, [72, 0, 0, 1, ...g.nlri.slice(1)]), ...bare(g)] }),
  ],
  [
    'unknown-short',
    'an unknown family with a short value',
    `${NOT_OURS}; the length is wrong for any family`,
    [...ignore, ...withdraw, ...faulty],
    (g) => update({ attributes: [attribute(0x80, MP_REACH, [0, 77, 1, 200, 0]), ...bare(g)] }),
  ],
];
