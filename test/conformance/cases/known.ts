// The attributes a speaker may know, as rows: flags, a valid value, values of wrong lengths, and what RFC 7606 or
// the attribute's own RFC says becomes of it. Cases of flags, lengths, ends and repetition are made from these rows
// (forms.ts), those of values are written out (values.ts).

import {
  AGGREGATOR,
  AIGP,
  AS_PATH,
  AS4_AGGREGATOR,
  AS4_PATH,
  ATOMIC_AGGREGATE,
  ATTR_SET,
  CLUSTER_LIST,
  COMMUNITIES,
  EXT_COMMUNITIES,
  fill,
  IP6_EXT_COMMUNITIES,
  ip,
  LARGE_COMMUNITIES,
  LOCAL_PREF,
  MED,
  NEXT_HOP,
  NON_TRANSITIVE,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
  ORIGINATOR_ID,
  OTC,
  PMSI_TUNNEL,
  PREFIX_SID,
  segment,
  TUNNEL_ENCAPSULATION,
  u16,
  u32,
  WELL_KNOWN,
} from '../bytes.ts';
import { CASE_MARK, type Expectation, type Ground, type SessionKind } from '../case.ts';

export const withdraw: readonly Expectation[] = [{ kind: 'withdraw' }];
export const discard = (type: number): readonly Expectation[] => [{ kind: 'discard', type }];
export const accept: readonly Expectation[] = [{ kind: 'accept' }];
export const ignore: readonly Expectation[] = [{ kind: 'ignore' }];
export const reset = (...codes: (readonly [number, number?])[]): readonly Expectation[] => [
  { kind: 'reset', codes },
];

export interface Known {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly newer?: boolean;
  readonly sessions: readonly SessionKind[];
  readonly value: (ground: Ground) => readonly number[];
  /** Another valid value, for repetition. */
  readonly second?: readonly number[];
  /** Values whose length is wrong. */
  readonly lengths: (ground: Ground) => readonly (readonly number[])[];
  readonly lengthCount: number;
  readonly lengthClause: string;
  readonly malformed: (session: SessionKind) => readonly Expectation[];
  /** Where the flags are judged otherwise than by RFC 7606 section 3 (c). */
  readonly flagsToo?: (session: SessionKind) => readonly Expectation[];
  /** Watchers get it as it was sent. */
  readonly carried?: 'all' | 'internal';
}

const external = (session: SessionKind): boolean => session !== 'internal' && session !== 'oldInternal';
const both: readonly SessionKind[] = ['external', 'internal'];
/** Sessions of all sizes of AS numbers. */
const all: readonly SessionKind[] = ['external', 'internal', 'old', 'oldInternal'];
const cut = (value: readonly number[]) => value.slice(0, -1);
const either = (type: number): readonly Expectation[] => [{ kind: 'withdraw' }, { kind: 'discard', type }];
const around = (value: readonly number[]): readonly (readonly number[])[] => [
  [],
  cut(value),
  [...value, 0],
  [...value, ...value.slice(0, 2), 0],
];
const fixed = (value: readonly number[]) => ({ lengths: () => around(value), lengthCount: 4 });

const rt6 = [0, 2, ...ip('2001:db8::1'), 0, 1];
const vxlanTunnel = [0, 8, 0, 12, 6, 10, 0, 0, 0, 0, 0, 1, ...ip('10.97.0.9')];
const labelIndex = [1, 0, 7, 0, 0, 0, 0, 0, 0, 5];

const ofRoute: readonly Known[] = [
  {
    name: 'ORIGIN',
    type: ORIGIN,
    flags: WELL_KNOWN,
    sessions: both,
    value: () => [1],
    second: [2],
    lengths: () => [[], [0, 0], [0, 0, 0, 0]],
    lengthCount: 3,
    lengthClause: 'RFC 7606 7.1: "malformed if its length is not 1 or if it has an undefined value"',
    malformed: () => withdraw,
    carried: 'all',
  },
  {
    name: 'AS_PATH',
    type: AS_PATH,
    flags: WELL_KNOWN,
    sessions: all,
    value: (ground) => segment(2, ground.internal ? [CASE_MARK] : [ground.asn, CASE_MARK], ground.octets),
    second: [2, 1, 0, 0, 0, 9],
    lengths: ({ octets, asn }) => [
      [2],
      cut(segment(2, [asn, CASE_MARK], octets)),
      [...segment(2, [asn, CASE_MARK], octets), 2],
    ],
    lengthCount: 3,
    lengthClause:
      'RFC 7606 7.2: "overrun where the Path Segment Length field … would cause the Attribute Length to be exceeded"',
    malformed: () => withdraw,
  },
  {
    name: 'NEXT_HOP',
    type: NEXT_HOP,
    flags: WELL_KNOWN,
    sessions: both,
    value: (ground) => ip(ground.local),
    second: ip('10.97.0.200'),
    lengths: ({ local }) => [...around(ip(local)), fill(16, 1)],
    lengthCount: 5,
    lengthClause: 'RFC 7606 7.3: "malformed if its length is not 4"',
    malformed: () => withdraw,
  },
  {
    name: 'MULTI_EXIT_DISC',
    type: MED,
    flags: NON_TRANSITIVE,
    sessions: both,
    value: () => u32(50),
    second: u32(60),
    ...fixed(u32(50)),
    lengthClause: 'RFC 7606 7.4: "malformed if its length is not 4"',
    malformed: () => withdraw,
    carried: 'internal',
  },
  {
    name: 'LOCAL_PREF',
    type: LOCAL_PREF,
    flags: WELL_KNOWN,
    sessions: both,
    value: () => u32(150),
    second: u32(160),
    ...fixed(u32(150)),
    lengthClause:
      'RFC 7606 7.5: "received from an external neighbor, it SHALL be discarded … from an internal neighbor … malformed if its length is not equal to 4"',
    malformed: (session) => (external(session) ? discard(LOCAL_PREF) : withdraw),
    flagsToo: (session) => (external(session) ? either(LOCAL_PREF) : withdraw),
  },
  {
    name: 'ATOMIC_AGGREGATE',
    type: ATOMIC_AGGREGATE,
    flags: WELL_KNOWN,
    sessions: both,
    value: () => [],
    lengths: () => [[0], u32(1)],
    lengthCount: 2,
    lengthClause: 'RFC 7606 7.6: "malformed if its length is not 0 … attribute discard"',
    malformed: () => discard(ATOMIC_AGGREGATE),
    carried: 'all',
  },
  {
    name: 'AGGREGATOR',
    type: AGGREGATOR,
    flags: OPTIONAL_TRANSITIVE,
    sessions: all,
    value: ({ octets }) => [...(octets === 4 ? u32(64900) : u16(64900)), ...ip('192.0.2.9')],
    lengths: ({ octets }) => {
      const wide = [...u32(64900), ...ip('192.0.2.9')];
      const short = [...u16(64900), ...ip('192.0.2.9')];
      const own = octets === 4 ? wide : short;
      return [[], cut(own), [...own, 0], octets === 4 ? short : wide];
    },
    lengthCount: 4,
    lengthClause:
      'RFC 7606 7.7: "Its length is not 6 (when the 4-octet AS number capability is not advertised …) … not 8 … attribute discard"',
    malformed: () => discard(AGGREGATOR),
  },
  {
    name: 'COMMUNITIES',
    type: COMMUNITIES,
    flags: OPTIONAL_TRANSITIVE,
    sessions: both,
    value: () => [...u16(65001), ...u16(7)],
    second: [...u16(65001), ...u16(8)],
    ...fixed([...u16(65001), ...u16(7)]),
    lengthClause: 'RFC 7606 7.8: "malformed if its length is not a non-zero multiple of 4"',
    malformed: () => withdraw,
    carried: 'all',
  },
  {
    name: 'ORIGINATOR_ID',
    type: ORIGINATOR_ID,
    flags: NON_TRANSITIVE,
    sessions: both,
    value: () => ip('10.97.0.77'),
    second: ip('10.97.0.78'),
    ...fixed(ip('10.97.0.77')),
    lengthClause:
      'RFC 7606 7.9: "from a neighbor external … SHALL be discarded … from an internal neighbor … malformed if its length is not equal to 4"',
    malformed: (session) => (external(session) ? discard(ORIGINATOR_ID) : withdraw),
    flagsToo: (session) => (external(session) ? either(ORIGINATOR_ID) : withdraw),
  },
  {
    name: 'CLUSTER_LIST',
    type: CLUSTER_LIST,
    flags: NON_TRANSITIVE,
    sessions: both,
    value: () => ip('10.97.0.79'),
    second: ip('10.97.0.80'),
    ...fixed(ip('10.97.0.79')),
    lengthClause:
      'RFC 7606 7.10: "from a neighbor external … SHALL be discarded … malformed if its length is not a non-zero multiple of 4"',
    malformed: (session) => (external(session) ? discard(CLUSTER_LIST) : withdraw),
    flagsToo: (session) => (external(session) ? either(CLUSTER_LIST) : withdraw),
  },
  {
    name: 'EXTENDED_COMMUNITIES',
    type: EXT_COMMUNITIES,
    flags: OPTIONAL_TRANSITIVE,
    sessions: both,
    value: () => [0, 2, ...u16(65001), ...u32(7)],
    second: [0, 2, ...u16(65001), ...u32(8)],
    lengths: () => [[], fill(7), fill(9), fill(4)],
    lengthCount: 4,
    lengthClause: 'RFC 7606 7.14: "malformed if its length is not a non-zero multiple of 8"',
    malformed: () => withdraw,
    carried: 'all',
  },
];

const later: readonly Known[] = [
  {
    name: 'AS4_PATH',
    type: AS4_PATH,
    flags: OPTIONAL_TRANSITIVE,
    sessions: all,
    value: () => segment(2, [CASE_MARK]),
    lengths: () => [
      [],
      [2],
      cut(segment(2, [4200000001])),
      [...segment(2, [4200000001]), 0],
      [2, 0],
      [9, 1, 0, 0, 0, 1],
    ],
    lengthCount: 6,
    lengthClause:
      'RFC 6793 6: "malformed … if the attribute length is not a multiple of two or is too small … MUST discard the attribute and continue"',
    malformed: () => discard(AS4_PATH),
    flagsToo: () => either(AS4_PATH),
  },
  {
    name: 'AS4_AGGREGATOR',
    type: AS4_AGGREGATOR,
    flags: OPTIONAL_TRANSITIVE,
    sessions: all,
    value: () => [...u32(4200000001), ...ip('192.0.2.9')],
    ...fixed([...u32(4200000001), ...ip('192.0.2.9')]),
    lengthClause:
      'RFC 6793 6: "the AS4_AGGREGATOR attribute … malformed if the attribute length is not 8 … MUST discard"',
    malformed: () => discard(AS4_AGGREGATOR),
    flagsToo: () => either(AS4_AGGREGATOR),
  },
  {
    name: 'PMSI_TUNNEL',
    type: PMSI_TUNNEL,
    flags: OPTIONAL_TRANSITIVE,
    newer: true,
    sessions: both,
    value: () => [0, 6, 0, 0, 0x10, ...ip('10.97.0.9')],
    lengths: () => [
      [],
      [0],
      [0, 6, 0, 0],
      [0, 6, 0, 0, 0x10, 10, 97, 0],
      [0, 6, 0, 0, 0x10, 10, 97, 0, 9, 9],
    ],
    lengthCount: 5,
    lengthClause:
      'RFC 6514 5: "cannot parse the Tunnel Identifier field … as though all the routes contained in this Update had been withdrawn"',
    malformed: () => withdraw,
    carried: 'all',
  },
  {
    name: 'TUNNEL_ENCAPSULATION',
    type: TUNNEL_ENCAPSULATION,
    flags: OPTIONAL_TRANSITIVE,
    newer: true,
    sessions: both,
    value: () => vxlanTunnel,
    lengths: () => [[], [0], [0, 8, 0], cut(vxlanTunnel), [...vxlanTunnel, 0], [0, 8, 0, 3, 6, 10, 0]],
    lengthCount: 6,
    lengthClause:
      'RFC 9012 13: "the TLV MUST be considered to be malformed, and the Treat-as-withdraw procedure … is applied"',
    malformed: () => withdraw,
    carried: 'all',
  },
  {
    name: 'IPV6_EXTENDED_COMMUNITIES',
    type: IP6_EXT_COMMUNITIES,
    flags: OPTIONAL_TRANSITIVE,
    newer: true,
    sessions: both,
    value: () => rt6,
    second: [0, 2, ...ip('2001:db8::2'), 0, 1],
    lengths: () => [...around(rt6), fill(8)],
    lengthCount: 5,
    lengthClause: 'RFC 7606 7.15: "malformed if its length is not a non-zero multiple of 20"',
    malformed: () => withdraw,
    carried: 'all',
  },
  {
    name: 'AIGP',
    type: AIGP,
    flags: NON_TRANSITIVE,
    newer: true,
    sessions: both,
    value: () => [1, 0, 11, ...fill(7), 9],
    lengths: () => [[1], [1, 0, 11, ...fill(7)], [1, 0, 10, ...fill(7)], [1, 0, 2], [1, 0, 12, ...fill(9)]],
    lengthCount: 5,
    lengthClause:
      'RFC 7311 3.2: "the attribute MUST be treated exactly as if it were an unrecognized non-transitive attribute"',
    malformed: () => discard(AIGP),
    flagsToo: () => either(AIGP),
  },
  {
    name: 'LARGE_COMMUNITY',
    type: LARGE_COMMUNITIES,
    flags: OPTIONAL_TRANSITIVE,
    sessions: both,
    value: () => [...u32(65001), ...u32(1), ...u32(2)],
    second: [...u32(65001), ...u32(1), ...u32(3)],
    lengths: () => [[], fill(11), fill(13), fill(8), fill(4)],
    lengthCount: 5,
    lengthClause:
      'RFC 8092 5: "SHALL be considered malformed if the length … is not a non-zero multiple of 12"',
    malformed: () => withdraw,
    carried: 'all',
  },
  {
    name: 'ONLY_TO_CUSTOMER',
    type: OTC,
    flags: OPTIONAL_TRANSITIVE,
    newer: true,
    sessions: both,
    value: () => u32(65001),
    second: u32(65009),
    ...fixed(u32(65001)),
    lengthClause:
      'RFC 9234 5: "malformed if the length value is not 4 … SHALL be handled using … treat-as-withdraw"',
    malformed: () => withdraw,
    carried: 'all',
  },
  {
    name: 'PREFIX_SID',
    type: PREFIX_SID,
    flags: OPTIONAL_TRANSITIVE,
    newer: true,
    sessions: both,
    value: () => labelIndex,
    lengths: () => [
      [1],
      [1, 0],
      cut(labelIndex),
      [...labelIndex, 3],
      [1, 0, 6, ...fill(6)],
      [3, 0, 3, 0, 0, 1],
    ],
    lengthCount: 6,
    lengthClause:
      'RFC 8669 6: "MUST ignore the received BGP Prefix-SID attribute and not advertise it to other BGP peers"',
    malformed: () => discard(PREFIX_SID),
    flagsToo: () => either(PREFIX_SID),
  },
  {
    name: 'ATTR_SET',
    type: ATTR_SET,
    flags: OPTIONAL_TRANSITIVE,
    newer: true,
    sessions: both,
    value: () => [...u32(64512), 0x40, 1, 1, 0, 0x40, 2, 0],
    lengths: () => [
      [],
      [0, 0, 1],
      [...u32(64512), 0x40],
      [...u32(64512), 0x40, 1, 9, 0],
      [...u32(64512), 0x40, 1, 1, 9],
    ],
    lengthCount: 5,
    lengthClause:
      'RFC 7606 7.16: ATTR_SET is malformed when too short or when an attribute within it is; treat-as-withdraw',
    malformed: () => withdraw,
    carried: 'all',
  },
];

export const knownAttributes: readonly Known[] = [...ofRoute, ...later];
