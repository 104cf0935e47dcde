// Values that are wrong though their length is right: origins, every malformation of an AS_PATH, next hops nobody can
// have, AS 0, tunnels and SIDs of undefined kinds; attributes that are missing; attributes nobody knows.

import {
  AGGREGATOR,
  AS_PATH,
  AS4_AGGREGATOR,
  AS4_PATH,
  attribute,
  fill,
  ip,
  NEXT_HOP,
  OPTIONAL_TRANSITIVE,
  ORIGIN,
  PMSI_TUNNEL,
  PREFIX_SID,
  segment,
  TUNNEL_ENCAPSULATION,
  u32,
  WELL_KNOWN,
} from '../bytes.ts';
import {
  announce,
  CASE_MARK,
  type Case,
  DAEMON,
  EXTERNAL_AS,
  type Expectation,
  type Ground,
  having,
  type SessionKind,
} from '../case.ts';
import { accept, discard, withdraw } from './known.ts';

const CORE = 'malformed core attributes';
const NEWER = 'malformed newer attributes';
const acceptAsIs: readonly Expectation[] = [{ kind: 'accept', unmarked: true }];
const withdrawOrAccept: readonly Expectation[] = [...withdraw, ...acceptAsIs];

interface Row {
  readonly id: string;
  readonly title: string;
  readonly clause: string;
  readonly flags: number;
  readonly type: number;
  readonly value: (ground: Ground) => readonly number[];
  readonly sessions: readonly SessionKind[];
  readonly expect: readonly Expectation[];
  readonly category?: string;
  readonly valid?: boolean;
}

const both: readonly SessionKind[] = ['external', 'internal'];

function ofRow(row: Row): Case[] {
  return row.sessions.map((session) => ({
    kind: 'update',
    id: `${row.id}.${session}`,
    category: row.category ?? CORE,
    title: row.title,
    clause: row.clause,
    session,
    family: 'ipv4',
    ...(row.valid === true ? { valid: true } : {}),
    expect: row.expect,
    send: (ground) => announce(ground, having(ground, attribute(row.flags, row.type, row.value(ground)))),
  }));
}

const SEGMENT =
  'RFC 7606 7.2: "malformed if an unrecognized segment type is encountered or if it contains a malformed segment"';
const OVERRUN =
  'RFC 7606 7.2: "overrun where the Path Segment Length field … would cause the Attribute Length to be exceeded"';
const UNDERRUN = 'RFC 7606 7.2: "underrun where … only a single octet remaining"';
const EMPTY = 'RFC 7606 7.2: "It has a Path Segment Length field of zero"';
const ZERO =
  'RFC 7607 2: "An UPDATE message that contains the AS number of zero in the AS_PATH or AGGREGATOR attribute MUST be considered as malformed"';
const CONFED =
  'RFC 5065 5: "It is an error for a BGP speaker to receive an AS_PATH attribute with AS_CONFED_SEQUENCE or AS_CONFED_SET … from a neighbor that is not located in the same confederation"';
const FIRST =
  'RFC 7606 7.2: "if the check determines that … leftmost … not equal to the … peer … treat-as-withdraw" (RFC 4271 6.3: MAY check)';
const SET =
  'RFC 9774 3: AS_SETs and AS_CONFED_SETs are treated as withdrawn unless the operator wants it otherwise';

type PathRow = readonly [
  id: string,
  title: string,
  clause: string,
  value: (ground: Ground, own: number[]) => readonly number[],
  expect?: readonly Expectation[],
  sessions?: readonly SessionKind[],
];

const all: readonly SessionKind[] = ['external', 'internal', 'old', 'oldInternal'];
const outside: readonly SessionKind[] = ['external', 'old'];

const paths: readonly PathRow[] = [
  ['type-0', 'a segment of type 0', SEGMENT, ({ octets }, own) => [...own, ...segment(0, [1], octets)]],
  ['type-5', 'a segment of type 5', SEGMENT, ({ octets }, own) => [...own, ...segment(5, [1], octets)]],
  ['type-255', 'a segment of type 255 alone', SEGMENT, ({ octets }) => segment(255, [EXTERNAL_AS], octets)],
  ['empty-segment', 'a segment without AS numbers', EMPTY, () => [2, 0]],
  ['empty-segment-last', 'an empty segment at the end', EMPTY, (_, own) => [...own, 2, 0]],
  ['empty-segment-first', 'an empty segment before others', EMPTY, (_, own) => [2, 0, ...own]],
  ['empty-set', 'an empty AS_SET', EMPTY, (_, own) => [...own, 1, 0]],
  [
    'overrun-1',
    'one AS number more than there is',
    OVERRUN,
    (_, own) => [own[0]!, own[1]! + 1, ...own.slice(2)],
  ],
  ['overrun-255', '255 AS numbers promised', OVERRUN, (_, own) => [own[0]!, 255, ...own.slice(2)]],
  ['overrun-second', 'a second segment that overruns', OVERRUN, (_, own) => [...own, 2, 4, 0, 0, 0, 1]],
  ['underrun', 'one byte after the last segment', UNDERRUN, (_, own) => [...own, 2]],
  [
    'fewer',
    'fewer AS numbers promised than there are',
    SEGMENT,
    (_, own) => [own[0]!, own[1]! - 1, ...own.slice(2)],
  ],
  ['zero-first', 'AS 0 first', ZERO, ({ octets }) => segment(2, [0, CASE_MARK], octets)],
  ['zero-middle', 'AS 0 in the middle', ZERO, ({ octets, asn }) => segment(2, [asn, 0, CASE_MARK], octets)],
  ['zero-last', 'AS 0 last', ZERO, ({ octets, asn }) => segment(2, [asn, 0], octets)],
  ['zero-in-set', 'AS 0 in an AS_SET', ZERO, ({ octets }, own) => [...own, ...segment(1, [0, 5], octets)]],
  [
    'confed-sequence',
    'an AS_CONFED_SEQUENCE first',
    CONFED,
    ({ octets }, own) => [...segment(3, [64512], octets), ...own],
  ],
  [
    'confed-set',
    'an AS_CONFED_SET first',
    CONFED,
    ({ octets }, own) => [...segment(4, [64512], octets), ...own],
  ],
  [
    'confed-last',
    'an AS_CONFED_SEQUENCE last',
    CONFED,
    ({ octets }, own) => [...own, ...segment(3, [64512], octets)],
  ],
  [
    'first-as',
    'another AS than the peer leftmost',
    FIRST,
    ({ octets }) => segment(2, [64777, CASE_MARK], octets),
    withdrawOrAccept,
    outside,
  ],
  ['no-path', 'an empty AS_PATH from outside', FIRST, () => [], withdrawOrAccept, outside],
  [
    'set',
    'an AS_SET',
    SET,
    ({ octets }, own) => [...own, ...segment(1, [64901, 64902], octets)],
    withdrawOrAccept,
  ],
  [
    'set-alone',
    'nothing but an AS_SET',
    SET,
    ({ octets, asn }) => segment(1, [asn, 64902], octets),
    withdrawOrAccept,
  ],
  [
    'other-octets',
    'AS numbers of the other size',
    OVERRUN,
    ({ octets, asn }) => (octets === 4 ? segment(2, [asn, CASE_MARK], 2) : [2, 1, 0xfd, 0xe9, 0, 1, 0xfd]),
    withdraw,
  ],
  [
    'first-set',
    'an AS_SET of the peer leftmost',
    FIRST,
    ({ octets, asn }) => [...segment(1, [asn], octets), ...segment(2, [CASE_MARK], octets)],
    withdrawOrAccept,
    outside,
  ],
];

function pathCases(): Case[] {
  return paths.flatMap(([id, title, clause, value, expect = withdraw, sessions = all]) =>
    ofRow({
      id: `as-path.${id}`,
      title: `AS_PATH with ${title}`,
      clause,
      flags: WELL_KNOWN,
      type: AS_PATH,
      value: (ground) =>
        value(ground, segment(2, ground.internal ? [CASE_MARK] : [ground.asn, CASE_MARK], ground.octets)),
      sessions,
      expect,
    }),
  );
}

const HOST =
  'RFC 4271 6.3: "Syntactic correctness means that the NEXT_HOP attribute represents a valid IP host address" (RFC 7606 7.3: treat-as-withdraw)';
const OWN =
  'RFC 4271 6.3: "It MUST NOT be the IP address of the receiving speaker … the route SHOULD be ignored"';
const AWAY =
  'RFC 4271 9.1.2.1: "If the NEXT_HOP … is not resolvable … the BGP route MUST be excluded from Phase 2"';
const hops: readonly [string, string, string, (readonly Expectation[])?][] = [
  ['0.0.0.0', 'nobody', HOST],
  ['127.0.0.1', 'the loopback', HOST],
  ['127.9.9.9', 'the loopback range', HOST],
  ['224.0.0.5', 'a multicast group', HOST],
  ['239.255.255.250', 'another multicast group', HOST],
  ['240.0.0.1', 'class E', HOST],
  ['255.255.255.255', 'broadcast', HOST],
  [DAEMON, 'the speaker itself', OWN, [...withdraw, { kind: 'ignore' }]],
  ['172.31.255.1', 'an address without a route', AWAY, [...withdraw, { kind: 'ignore' }]],
];

const AS_ZERO4 =
  'RFC 7607 2: "AS number of zero in the AS4_PATH or AS4_AGGREGATOR attribute MUST be considered as malformed and be handled by … RFC 6793" (attribute discard)';
const UNDEFINED = 'RFC 7606 7.1: "malformed if its length is not 1 or if it has an undefined value"';

function valueRows(): Row[] {
  const rows: Row[] = [3, 4, 128, 255].map((value) => ({
    id: `origin.value-${value}`,
    title: `ORIGIN ${value}`,
    clause: UNDEFINED,
    flags: WELL_KNOWN,
    type: ORIGIN,
    value: () => [value],
    sessions: both,
    expect: withdraw,
  }));
  for (const [address, what, clause, expect = withdraw] of hops)
    rows.push({
      id: `next-hop.${address}`,
      title: `NEXT_HOP of ${what}`,
      clause,
      flags: WELL_KNOWN,
      type: NEXT_HOP,
      value: () => ip(address),
      sessions: both,
      expect,
    });
  const zero = { clause: ZERO, flags: OPTIONAL_TRANSITIVE, sessions: both };
  const host = ip('192.0.2.9');
  rows.push(
    {
      ...zero,
      id: 'aggregator.zero',
      title: 'AGGREGATOR with AS 0',
      type: AGGREGATOR,
      value: () => [...u32(0), ...host],
      expect: discard(AGGREGATOR),
    },
    {
      ...zero,
      id: 'as4-path.zero',
      title: 'AS4_PATH with AS 0',
      clause: AS_ZERO4,
      sessions: ['external', 'old'],
      type: AS4_PATH,
      value: () => segment(2, [0]),
      expect: discard(AS4_PATH),
    },
    {
      ...zero,
      id: 'as4-aggregator.zero',
      title: 'AS4_AGGREGATOR with AS 0',
      clause: AS_ZERO4,
      sessions: ['external', 'old'],
      type: AS4_AGGREGATOR,
      value: () => [...u32(0), ...host],
      expect: discard(AS4_AGGREGATOR),
    },
    {
      ...zero,
      id: 'aggregator.zero-2',
      title: 'AGGREGATOR with AS 0 in two octets',
      sessions: ['old'],
      type: AGGREGATOR,
      value: () => [0, 0, ...host],
      expect: discard(AGGREGATOR),
    },
    ...as4Rows(),
    ...newerRows(),
  );
  return rows;
}

/** AS4_PATH of a 2-octet speaker, malformed each way (RFC 6793 section 6). */
function as4Rows(): Row[] {
  const clause =
    'RFC 6793 6: "the path segment length … inconsistent with the attribute length, or is zero; or … the path segment type … is not defined … MUST discard the attribute"';
  const values: readonly [string, readonly number[]][] = [
    ['type', segment(7, [4200000001])],
    ['empty-segment', [2, 0]],
    ['overrun', [2, 3, 0, 0, 0, 1]],
    ['underrun', [...segment(2, [4200000001]), 2]],
    ['odd', [2, 1, 0, 0, 1]],
  ];
  return values.map(([what, value]) => ({
    id: `as4-path.${what}`,
    title: `AS4_PATH malformed: ${what}`,
    clause,
    flags: OPTIONAL_TRANSITIVE,
    type: AS4_PATH,
    value: () => value,
    sessions: ['old', 'oldInternal'],
    expect: discard(AS4_PATH),
  }));
}

function newerRows(): Row[] {
  const pmsi =
    'RFC 6514 5: "contains an undefined tunnel type … or … cannot parse the Tunnel Identifier … as though all the routes … had been withdrawn"';
  const tunnel =
    'RFC 9012 13: "The final octet of a TLV MUST also be the final octet of its final sub-TLV. If this is not the case, the TLV MUST be considered to be malformed"';
  const known =
    'RFC 9012 13: "contains a TLV whose tunnel type is not recognized … MUST NOT consider the attribute to be malformed"';
  const sid =
    'RFC 8669 6: "MUST ignore the received BGP Prefix-SID attribute and not advertise it to other BGP peers"; RFC 9252 7: treat-as-withdraw for SRv6 Service TLVs';
  const make =
    (type: number, clause: string, category = NEWER) =>
    (
      id: string,
      title: string,
      value: readonly number[],
      expect: readonly Expectation[],
      valid = false,
    ): Row => ({
      ...{ id, title, clause, type, expect, category, flags: OPTIONAL_TRANSITIVE, sessions: both },
      ...(valid ? { valid } : {}),
      value: () => value,
    });
  const ofPmsi = make(PMSI_TUNNEL, pmsi);
  const ofTunnel = make(TUNNEL_ENCAPSULATION, tunnel);
  const goodTunnel = make(TUNNEL_ENCAPSULATION, known, 'odd but valid attributes');
  const ofSid = make(PREFIX_SID, sid);
  const goodSid = make(
    PREFIX_SID,
    'RFC 8669 6: "Unknown TLVs MUST be ignored and propagated unmodified"',
    'odd but valid attributes',
  );
  const either: readonly Expectation[] = [{ kind: 'discard', type: PREFIX_SID }, { kind: 'withdraw' }];
  return [
    ofPmsi(
      'pmsi.type-undefined',
      'PMSI tunnel of an undefined type',
      [0, 0x55, 0, 0, 0, 1, 2, 3, 4],
      withdraw,
    ),
    ofPmsi(
      'pmsi.rsvp-short',
      'PMSI RSVP-TE P2MP identifier of 4 bytes',
      [0, 1, 0, 0, 0, 1, 2, 3, 4],
      withdraw,
    ),
    ofPmsi('pmsi.pim-short', 'PMSI PIM-SSM identifier of 5 bytes', [0, 3, 0, 0, 0, 1, 2, 3, 4, 5], withdraw),
    ofPmsi('pmsi.ldp-short', 'PMSI mLDP identifier of 2 bytes', [0, 2, 0, 0, 0, 6, 0], withdraw),
    ofPmsi('pmsi.ingress-none', 'PMSI ingress replication without an address', [0, 6, 0, 0, 0x10], withdraw),
    ofTunnel('tunnel.sub-tlv-past', 'a sub-TLV beyond its TLV', [0, 8, 0, 4, 6, 10, 0, 0], withdraw),
    ofTunnel('tunnel.sub-tlv-half', 'a sub-TLV of one byte', [0, 8, 0, 1, 6], withdraw),
    ofTunnel(
      'tunnel.long-sub-tlv',
      'a sub-TLV with half of a two-byte length',
      [0, 8, 0, 2, 130, 0],
      withdraw,
    ),
    ofTunnel(
      'tunnel.second-past',
      'a second TLV past the end',
      [0, 8, 0, 3, 99, 1, 0, 0, 8, 0, 9, 0],
      withdraw,
    ),
    goodTunnel(
      'tunnel.unknown-type',
      'a tunnel of an unknown type',
      [0xee, 0xee, 0, 12, 6, 10, 0, 0, 0, 0, 0, 1, ...ip('10.97.0.9')],
      accept,
      true,
    ),
    goodTunnel(
      'tunnel.unknown-sub-tlv',
      'an unknown sub-TLV',
      [0, 8, 0, 15, 6, 10, 0, 0, 0, 0, 0, 1, ...ip('10.97.0.9'), 99, 1, 7],
      accept,
      true,
    ),
    goodTunnel(
      'tunnel.long-form',
      'a sub-TLV with a two-byte length',
      [0, 8, 0, 16, 6, 10, 0, 0, 0, 0, 0, 1, ...ip('10.97.0.9'), 200, 0, 1, 7],
      accept,
      true,
    ),
    ofSid(
      'prefix-sid.label-index-long',
      'a label index TLV of 8 bytes',
      [1, 0, 8, ...fill(8)],
      discard(PREFIX_SID),
    ),
    ofSid(
      'prefix-sid.srgb-odd',
      'an originator SRGB TLV of 7 bytes',
      [3, 0, 7, ...fill(7)],
      discard(PREFIX_SID),
    ),
    ofSid(
      'prefix-sid.second-past',
      'a second TLV past the end',
      [1, 0, 7, ...fill(7), 3, 0, 99, 0],
      discard(PREFIX_SID),
    ),
    ofSid(
      'prefix-sid.srv6-short',
      'an SRv6 L3 service TLV whose sub-TLV is too long',
      [5, 0, 8, 0, 1, 0, 200, 0, 0, 0, 0],
      either,
    ),
    ofSid(
      'prefix-sid.srv6-sid-short',
      'an SRv6 SID information sub-TLV of 5 bytes',
      [5, 0, 9, 0, 1, 0, 5, 0, 0, 0, 0, 0],
      either,
    ),
    ofSid(
      'prefix-sid.srv6-structure',
      'an SRv6 SID structure of 3 bytes',
      [5, 0, 31, 0, 1, 0, 27, 0, ...fill(16), 0, 0, 19, 0, 1, 0, 3, 0, 0, 0],
      either,
    ),
    goodSid(
      'prefix-sid.unknown-tlv',
      'an unknown TLV',
      [1, 0, 7, ...fill(6), 5, 200, 0, 2, 1, 2],
      [...accept, ...discard(PREFIX_SID)],
      true,
    ),
  ];
}

export function valueCases(): Case[] {
  return [...pathCases(), ...valueRows().flatMap(ofRow)];
}
