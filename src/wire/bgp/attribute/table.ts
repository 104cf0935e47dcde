// The path attributes we know: one row each, with the flags it must have, the check of its value as RFC 7606
// section 7 (or the attribute's own RFC) wants it, and its text. To add an attribute, add a row. Attributes without
// a row are unknown (also the deprecated ones and LINK_STATE): passed on when transitive, else dropped.
//
// A check sees the value as received and answers with a constant, so that the good case and the bad one cost no
// allocation. NLRI and next hop inside MP_REACH and MP_UNREACH are read by ../update.ts, not here.

import { ByteWriter, readU16, readU32, sameBytes } from '../../../lib/bytes.ts';
import { formatCommunity, formatLargeCommunity } from '../../../net/community.ts';
import { formatExtendedCommunity, formatIp6ExtendedCommunity } from '../../../net/extended-community.ts';
import { hexText } from '../../../net/hex.ts';
import { formatIp } from '../../../net/ip.ts';
import {
  ATTRIBUTE_LENGTH_ERROR,
  type Disposition,
  type Fault,
  INVALID_NEXT_HOP,
  INVALID_ORIGIN,
  OPTIONAL_ATTRIBUTE_ERROR,
  updateFault,
} from '../fault.ts';
import type { UpdateContext } from '../update-context.ts';
import { aigpText, checkAigp } from './aigp.ts';
import { asPathText, checkSegments, readAsPath, validateAsPath } from './as-path.ts';
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
  EXTENDED_LENGTH,
  IPV6_EXT_COMMUNITIES,
  LARGE_COMMUNITIES,
  LOCAL_PREF,
  MED,
  MP_REACH,
  MP_UNREACH,
  NEXT_HOP,
  OPTIONAL,
  ORIGIN,
  ORIGINATOR_ID,
  OTC,
  PMSI_TUNNEL,
  PREFIX_SID,
  TRANSITIVE,
  TUNNEL_ENCAPSULATION,
} from './code.ts';
import { checkEncapsulation, encapsulationText, repairEncapsulation } from './encapsulation.ts';
import { checkPmsi, pmsiText } from './pmsi.ts';
import { checkPrefixSid, prefixSidText, repairPrefixSid } from './prefix-sid.ts';

export * from './code.ts';

/** Values of ORIGIN, by number. */
export const originNames = ['igp', 'egp', 'incomplete'] as const;

type Check = (bytes: Uint8Array, start: number, end: number, ctx: UpdateContext) => Fault | undefined;
type Format = (bytes: Uint8Array, start: number, end: number) => string;
/** Undefined when there is nothing to take out. */
type Repair = (
  bytes: Uint8Array,
  start: number,
  end: number,
  families: number,
) => { readonly fault?: Fault; readonly value: Uint8Array } | undefined;

interface Definition {
  readonly code: number;
  readonly name: string;
  /** The Optional and Transitive bits it must have. */
  readonly flags: number;
  /** What is malformed and what follows, with its RFC and section. */
  readonly clause: string;
  /** Discarded, whatever it holds, when it comes from an external peer. */
  readonly internalOnly?: boolean;
  /** Checks the value in [start, end) as received. */
  readonly validate: Check;
  /** Text of a valid value in canonical form. */
  readonly format: Format;
  /** Takes parts out of a valid value that must not be passed on with routes of these families (a mask). */
  readonly repair?: Repair;
}

/** A definition with every member there, so that all rows have one shape. */
export interface AttributeRow extends Omit<Definition, 'internalOnly' | 'repair'> {
  readonly internalOnly: boolean;
  readonly repair: Repair | undefined;
}

// A value of exactly `length` bytes.
function exactly(code: number, name: string, length: number, disposition: Disposition): Check {
  const fault = updateFault(ATTRIBUTE_LENGTH_ERROR, disposition, `${name} length is not ${length}`, code);
  return (_bytes, start, end) => (end - start === length ? undefined : fault);
}

// One or more items of `width` bytes.
function listOf(code: number, name: string, width: number): Check {
  const reason = `${name} length is not a multiple of ${width}, or zero`;
  const fault = updateFault(ATTRIBUTE_LENGTH_ERROR, 'withdraw', reason, code);
  return (_bytes, start, end) => (end > start && (end - start) % width === 0 ? undefined : fault);
}

function atLeast(code: number, name: string, length: number): Check {
  const fault = updateFault(
    OPTIONAL_ATTRIBUTE_ERROR,
    'reset',
    `${name} is shorter than ${length} bytes`,
    code,
  );
  return (_bytes, start, end) => (end - start >= length ? undefined : fault);
}

const originLength = updateFault(ATTRIBUTE_LENGTH_ERROR, 'withdraw', 'ORIGIN length is not 1', ORIGIN);
const originValue = updateFault(INVALID_ORIGIN, 'withdraw', 'ORIGIN value is undefined', ORIGIN);
const checkOrigin: Check = (bytes, start, end) => {
  if (end - start !== 1) return originLength;
  return bytes[start]! <= 2 ? undefined : originValue;
};

const aggregatorLength = updateFault(
  ATTRIBUTE_LENGTH_ERROR,
  'discard',
  'AGGREGATOR length is wrong',
  AGGREGATOR,
);
const aggregatorZero = updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'discard', 'AGGREGATOR has AS 0', AGGREGATOR);
const checkAggregator: Check = (bytes, start, end, ctx) => {
  if (end - start !== (ctx.asn4 ? 8 : 6)) return aggregatorLength;
  return (ctx.asn4 ? readU32(bytes, start) : readU16(bytes, start)) === 0 ? aggregatorZero : undefined;
};

// RFC 6793 sections 3 and 6: of use from 2-octet peers only; broken ones are dropped, not their routes.
const as4PathUncalled = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'discard',
  'AS4_PATH from a 4-octet peer',
  AS4_PATH,
);
const as4PathBroken = updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'discard', 'AS4_PATH is malformed', AS4_PATH);
const checkAs4Path: Check = (bytes, start, end, ctx) => {
  if (ctx.asn4) return as4PathUncalled;
  if (start === end) return as4PathBroken;
  return checkSegments(bytes, start, end, 4, true) === undefined ? undefined : as4PathBroken;
};

const as4AggregatorUncalled = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'discard',
  'AS4_AGGREGATOR from a 4-octet peer',
  AS4_AGGREGATOR,
);
const as4AggregatorBroken = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'discard',
  'AS4_AGGREGATOR is malformed',
  AS4_AGGREGATOR,
);
const checkAs4Aggregator: Check = (bytes, start, end, ctx) => {
  if (ctx.asn4) return as4AggregatorUncalled;
  return end - start === 8 && readU32(bytes, start) !== 0 ? undefined : as4AggregatorBroken;
};

// RFC 6368 section 5: an AS number, then attributes as an internal peer with 4-octet ASNs would send them; MP_REACH
// and MP_UNREACH have no place in it. RFC 7606 section 7.16 withdraws. Sets within sets are looked into only so deep.
const SET_DEPTH_MAX = 4;
const attrSetBroken = updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'withdraw', 'ATTR_SET is malformed', ATTR_SET);
const inner: UpdateContext = { asn4: true, internal: true, families: 0, addPath: 0 };

function validAttrSet(bytes: Uint8Array, start: number, end: number, depth: number): boolean {
  if (end - start < 4 || depth > SET_DEPTH_MAX) return false;
  for (let at = start + 4; at < end; ) {
    const extended = (bytes[at]! & EXTENDED_LENGTH) !== 0;
    const value = at + (extended ? 4 : 3);
    if (value > end) return false;
    const next = value + (extended ? readU16(bytes, at + 2) : bytes[at + 2]!);
    if (next > end || !validInner(bytes, at, value, next, depth)) return false;
    at = next;
  }
  return true;
}

function validInner(bytes: Uint8Array, at: number, value: number, end: number, depth: number): boolean {
  const code = bytes[at + 1]!;
  if (code === MP_REACH || code === MP_UNREACH) return false;
  const known = attributeRows[code];
  if (known === undefined) return (bytes[at]! & OPTIONAL) !== 0;
  if (((bytes[at]! ^ known.flags) & (OPTIONAL | TRANSITIVE)) !== 0) return false;
  if (code === ATTR_SET) return validAttrSet(bytes, value, end, depth + 1);
  const fault = known.validate(bytes, value, end, inner);
  return fault === undefined || fault.disposition === 'discard';
}

const checkAttrSet: Check = (bytes, start, end) =>
  validAttrSet(bytes, start, end, 1) ? undefined : attrSetBroken;

const LARGE_LENGTH = 12;
/** Up to here a list is compared with itself, beyond it a set is made. */
const SHORT_LIST = 16;

// RFC 8092 section 3: "A receiving speaker MUST silently remove redundant BGP Large Community values".
const repairLarge: Repair = (bytes, start, end) => {
  if (!hasRedundant(bytes, start, end)) return undefined;
  const seen = new Set<string>();
  const kept = new ByteWriter(end - start);
  for (let at = start; at < end; at += LARGE_LENGTH) {
    const units = [0, 2, 4, 6, 8, 10].map((i) => readU16(bytes, at + i));
    const value = String.fromCharCode(...units);
    if (!seen.has(value)) kept.copy(bytes, at, at + LARGE_LENGTH);
    seen.add(value);
  }
  return kept.length === end - start ? undefined : { value: kept.take() };
};

// Whether a value is there twice; of long lists this only says that they have to be looked at.
function hasRedundant(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > SHORT_LIST * LARGE_LENGTH) return true;
  for (let at = start + LARGE_LENGTH; at < end; at += LARGE_LENGTH) {
    for (let before = start; before < at; before += LARGE_LENGTH) {
      if (sameBytes(bytes, at, bytes, before, LARGE_LENGTH)) return true;
    }
  }
  return false;
}

const u32Text: Format = (bytes, start) => String(readU32(bytes, start));
const ip4Text: Format = (bytes, start) => formatIp(bytes, start, 4);
const pathText: Format = (bytes, start, end) => asPathText(readAsPath(bytes, start, end));
const aggregatorText: Format = (bytes, start) => `${readU32(bytes, start)} ${formatIp(bytes, start + 4, 4)}`;
function itemsText(width: number, item: (bytes: Uint8Array, at: number) => string): Format {
  return (bytes, start, end) => {
    const items: string[] = [];
    for (let at = start; at < end; at += width) items.push(item(bytes, at));
    return items.join(' ');
  };
}

const WELL_KNOWN = TRANSITIVE;
const NON_TRANSITIVE = OPTIONAL;
const BOTH = OPTIONAL | TRANSITIVE;

const communitiesText = itemsText(4, (bytes, at) => formatCommunity(readU32(bytes, at)));
const extendedText = itemsText(8, formatExtendedCommunity);
const ip6ExtendedText = itemsText(20, formatIp6ExtendedCommunity);
const largeText = itemsText(12, formatLargeCommunity);
const clusterText = itemsText(4, (bytes, at) => formatIp(bytes, at, 4));

/** NEXT_HOP is no IPv4 host address. Raised by ../update.ts: it matters only where there is classic NLRI. */
export const nextHopInvalid = updateFault(
  INVALID_NEXT_HOP,
  'withdraw',
  'NEXT_HOP is no host address',
  NEXT_HOP,
);

// By ascending code.
const definitions: readonly Definition[] = [
  {
    code: ORIGIN,
    name: 'ORIGIN',
    flags: WELL_KNOWN,
    clause: 'RFC 7606 7.1: a length other than 1 or an undefined value is treat-as-withdraw',
    validate: checkOrigin,
    format: (bytes, start) => originNames[bytes[start]!]!,
  },
  {
    code: AS_PATH,
    name: 'AS_PATH',
    flags: WELL_KNOWN,
    clause:
      'RFC 7606 7.2: an unknown segment type, an overrun, an underrun or an empty segment, RFC 7607 2: AS 0, ' +
      'RFC 5065 5: confederation segments from outside, all treat-as-withdraw; length zero is valid',
    validate: validateAsPath,
    format: pathText,
  },
  {
    code: NEXT_HOP,
    name: 'NEXT_HOP',
    flags: WELL_KNOWN,
    clause: 'RFC 7606 7.3: a length other than 4 is treat-as-withdraw',
    validate: exactly(NEXT_HOP, 'NEXT_HOP', 4, 'withdraw'),
    format: ip4Text,
  },
  {
    code: MED,
    name: 'MED',
    flags: NON_TRANSITIVE,
    clause: 'RFC 7606 7.4: a length other than 4 is treat-as-withdraw',
    validate: exactly(MED, 'MED', 4, 'withdraw'),
    format: u32Text,
  },
  {
    code: LOCAL_PREF,
    name: 'LOCAL_PREF',
    flags: WELL_KNOWN,
    internalOnly: true,
    clause: 'RFC 7606 7.5: discarded from outside; a length other than 4 is treat-as-withdraw',
    validate: exactly(LOCAL_PREF, 'LOCAL_PREF', 4, 'withdraw'),
    format: u32Text,
  },
  {
    code: ATOMIC_AGGREGATE,
    name: 'ATOMIC_AGGREGATE',
    flags: WELL_KNOWN,
    clause: 'RFC 7606 7.6: a length other than 0 is attribute discard',
    validate: exactly(ATOMIC_AGGREGATE, 'ATOMIC_AGGREGATE', 0, 'discard'),
    format: () => '',
  },
  {
    code: AGGREGATOR,
    name: 'AGGREGATOR',
    flags: BOTH,
    clause:
      'RFC 7606 7.7: a length other than 8 (6 from a 2-octet peer), RFC 7607 2: AS 0, both attribute discard',
    validate: checkAggregator,
    format: aggregatorText,
  },
  {
    code: COMMUNITIES,
    name: 'COMMUNITIES',
    flags: BOTH,
    clause: 'RFC 7606 7.8: a length that is zero or no multiple of 4 is treat-as-withdraw',
    validate: listOf(COMMUNITIES, 'COMMUNITIES', 4),
    format: communitiesText,
  },
  {
    code: ORIGINATOR_ID,
    name: 'ORIGINATOR_ID',
    flags: NON_TRANSITIVE,
    internalOnly: true,
    clause: 'RFC 7606 7.9: discarded from outside; a length other than 4 is treat-as-withdraw',
    validate: exactly(ORIGINATOR_ID, 'ORIGINATOR_ID', 4, 'withdraw'),
    format: ip4Text,
  },
  {
    code: CLUSTER_LIST,
    name: 'CLUSTER_LIST',
    flags: NON_TRANSITIVE,
    internalOnly: true,
    clause:
      'RFC 7606 7.10: discarded from outside; a length that is zero or no multiple of 4 is treat-as-withdraw',
    validate: listOf(CLUSTER_LIST, 'CLUSTER_LIST', 4),
    format: clusterText,
  },
  {
    code: MP_REACH,
    name: 'MP_REACH_NLRI',
    flags: NON_TRANSITIVE,
    clause:
      'RFC 7606 5.3 and 7.11: wrong flags, fewer than 5 bytes, a next hop or NLRI of no such family reset',
    validate: atLeast(MP_REACH, 'MP_REACH_NLRI', 5),
    format: hexText,
  },
  {
    code: MP_UNREACH,
    name: 'MP_UNREACH_NLRI',
    flags: NON_TRANSITIVE,
    clause: 'RFC 7606 5.3 and 7.12: wrong flags, fewer than 3 bytes or NLRI of no such family reset',
    validate: atLeast(MP_UNREACH, 'MP_UNREACH_NLRI', 3),
    format: hexText,
  },
  {
    code: EXT_COMMUNITIES,
    name: 'EXTENDED COMMUNITIES',
    flags: BOTH,
    clause:
      'RFC 7606 7.14: a length that is zero or no multiple of 8 is treat-as-withdraw; unknown types are no error',
    validate: listOf(EXT_COMMUNITIES, 'EXTENDED COMMUNITIES', 8),
    format: extendedText,
  },
  {
    code: AS4_PATH,
    name: 'AS4_PATH',
    flags: BOTH,
    clause: 'RFC 6793 4.1 and 6: discarded from a 4-octet peer, and when malformed; RFC 7607 2: AS 0',
    validate: checkAs4Path,
    format: pathText,
  },
  {
    code: AS4_AGGREGATOR,
    name: 'AS4_AGGREGATOR',
    flags: BOTH,
    clause: 'RFC 6793 4.1 and 6: discarded from a 4-octet peer, and when malformed; RFC 7607 2: AS 0',
    validate: checkAs4Aggregator,
    format: aggregatorText,
  },
  {
    code: PMSI_TUNNEL,
    name: 'PMSI_TUNNEL',
    flags: BOTH,
    clause:
      'RFC 6514 5: an undefined tunnel type or an identifier that is none of its type is treat-as-withdraw',
    validate: checkPmsi,
    format: pmsiText,
  },
  {
    code: TUNNEL_ENCAPSULATION,
    name: 'TUNNEL_ENCAPSULATION',
    flags: BOTH,
    clause:
      'RFC 9012 13: lengths that do not fit or no valid TLV are treat-as-withdraw; a TLV without exactly one ' +
      'valid egress endpoint is removed',
    validate: checkEncapsulation,
    format: encapsulationText,
    repair: repairEncapsulation,
  },
  {
    code: IPV6_EXT_COMMUNITIES,
    name: 'IPV6 EXTENDED COMMUNITIES',
    flags: BOTH,
    clause:
      'RFC 7606 7.15: a length that is zero or no multiple of 20 is treat-as-withdraw; unknown types are no error',
    validate: listOf(IPV6_EXT_COMMUNITIES, 'IPV6 EXTENDED COMMUNITIES', 20),
    format: ip6ExtendedText,
  },
  {
    code: AIGP,
    name: 'AIGP',
    flags: NON_TRANSITIVE,
    internalOnly: true,
    clause: 'RFC 7311 3.2 and 3.3: discarded when malformed, transitive or from outside',
    validate: checkAigp,
    format: aigpText,
  },
  {
    code: LARGE_COMMUNITIES,
    name: 'LARGE_COMMUNITY',
    flags: BOTH,
    clause:
      'RFC 8092 6: a length that is zero or no multiple of 12 is treat-as-withdraw; 3: redundant values go',
    validate: listOf(LARGE_COMMUNITIES, 'LARGE_COMMUNITY', 12),
    format: largeText,
    repair: repairLarge,
  },
  {
    code: OTC,
    name: 'OTC',
    flags: BOTH,
    clause: 'RFC 9234 5: a length other than 4 is treat-as-withdraw',
    validate: exactly(OTC, 'OTC', 4, 'withdraw'),
    format: u32Text,
  },
  {
    code: PREFIX_SID,
    name: 'PREFIX_SID',
    flags: BOTH,
    clause:
      'RFC 8669 6: attribute discard when malformed, repeated TLVs removed; RFC 9252 7: a malformed SRv6 service ' +
      'TLV is treat-as-withdraw, a route without a valid SID is not eligible',
    validate: checkPrefixSid,
    format: prefixSidText,
    repair: repairPrefixSid,
  },
  {
    code: ATTR_SET,
    name: 'ATTR_SET',
    flags: BOTH,
    clause:
      'RFC 6368 5 and RFC 7606 7.16: too short, with MP attributes or malformed ones is treat-as-withdraw',
    validate: checkAttrSet,
    format: hexText,
  },
];

/** All rows, by ascending code. */
export const attributeTable: readonly AttributeRow[] = definitions.map((definition) => ({
  code: definition.code,
  name: definition.name,
  flags: definition.flags,
  clause: definition.clause,
  internalOnly: definition.internalOnly === true,
  validate: definition.validate,
  format: definition.format,
  repair: definition.repair,
}));

/** Rows indexed by type code; undefined where we know none. */
export const attributeRows: readonly (AttributeRow | undefined)[] = Array.from({ length: 256 }, (_, code) =>
  attributeTable.find((known) => known.code === code),
);
