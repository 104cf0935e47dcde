// The path attributes we know: one row each, with the flags it must have, the check of its value as RFC 7606
// section 7 (or the attribute's own RFC) wants it, and its text. To add an attribute, add a row.
//
// A check sees the value as received and answers with a constant, so that the good case and the bad one cost no
// allocation. NLRI and next hop inside MP_REACH and MP_UNREACH are read by ../update.ts, not here.

import { readU16, readU32 } from '../../../lib/bytes.ts';
import { formatCommunity, formatExtendedCommunity, formatLargeCommunity } from '../../../net/community.ts';
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
} from './code.ts';

export * from './code.ts';

/** Values of ORIGIN, by number. */
export const originNames = ['igp', 'egp', 'incomplete'] as const;

type Check = (bytes: Uint8Array, start: number, end: number, ctx: UpdateContext) => Fault | undefined;
type Format = (bytes: Uint8Array, start: number, end: number) => string;

export interface AttributeRow {
  readonly code: number;
  readonly name: string;
  /** The Optional and Transitive bits it must have. */
  readonly flags: number;
  /** Discarded, whatever it holds, when it comes from an external peer. */
  readonly internalOnly: boolean;
  /** Checks the value in [start, end) as received. */
  readonly validate: Check;
  /** Text of a valid value in canonical form. */
  readonly format: Format;
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

// RFC 7311 section 3: TLVs whose length counts their own 3-byte header; type 1 has a metric of 8 bytes.
const aigpBroken = updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'discard', 'AIGP is malformed', AIGP);
const checkAigp: Check = (bytes, start, end) => {
  if (start === end) return aigpBroken;
  for (let at = start; at < end; ) {
    if (end - at < 3) return aigpBroken;
    const length = readU16(bytes, at + 1);
    if (length < 3 || at + length > end || (bytes[at] === 1 && length !== 11)) return aigpBroken;
    at += length;
  }
  return undefined;
};

// RFC 6514 section 5: malformed when the tunnel type is undefined or its identifier cannot be read as one.
const pmsiBroken = updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'withdraw', 'PMSI_TUNNEL is malformed', PMSI_TUNNEL);
const checkPmsi: Check = (bytes, start, end) => {
  const length = end - start - 5;
  if (length < 0) return pmsiBroken;
  const type = bytes[start + 1]!;
  switch (type) {
    case 0: // no tunnel information
      return length === 0 ? undefined : pmsiBroken;
    case 1: // RSVP-TE point to multipoint
      return length === 12 || length === 24 ? undefined : pmsiBroken;
    case 3: // PIM-SSM
    case 4: // PIM-SM
    case 5: // BIDIR-PIM
      return length === 8 || length === 32 ? undefined : pmsiBroken;
    case 6: // ingress replication
      return length === 4 || length === 16 ? undefined : pmsiBroken;
    default: {
      // Composite tunnels (RFC 8317) set the high bit; 0x7b and above are for experiments.
      const base = type & 0x7f;
      return base >= 0x0e && base < 0x7b ? pmsiBroken : undefined;
    }
  }
};

// RFC 8669 sections 3 and 6, RFC 9252 section 7: broken MPLS parts cost the attribute, broken SRv6 services the route.
const prefixSidBroken = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'discard',
  'PREFIX_SID is malformed',
  PREFIX_SID,
);
const srv6Broken = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'withdraw',
  'SRv6 service TLV is malformed',
  PREFIX_SID,
);
const checkPrefixSid: Check = (bytes, start, end) => {
  if (start === end) return prefixSidBroken;
  for (let at = start; at < end; ) {
    if (end - at < 3) return prefixSidBroken;
    const type = bytes[at]!;
    const length = readU16(bytes, at + 1);
    const value = at + 3;
    if (value + length > end) return prefixSidBroken;
    if (type === 1 && length !== 7) return prefixSidBroken;
    if (type === 3 && (length < 8 || (length - 2) % 6 !== 0)) return prefixSidBroken;
    if ((type === 5 || type === 6) && !validSrv6(bytes, value, value + length)) return srv6Broken;
    at = value + length;
  }
  return undefined;
};

// One reserved byte, then sub-TLVs; the SID information sub-TLV (1) has 21 fixed bytes and sub-sub-TLVs.
function validSrv6(bytes: Uint8Array, start: number, end: number): boolean {
  if (start === end) return false;
  for (let at = start + 1; at < end; ) {
    if (end - at < 3) return false;
    const length = readU16(bytes, at + 1);
    const value = at + 3;
    if (value + length > end) return false;
    if (bytes[at] === 1 && (length < 21 || !validSidStructure(bytes, value + 21, value + length)))
      return false;
    at = value + length;
  }
  return true;
}

function validSidStructure(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; ) {
    if (end - at < 3) return false;
    const length = readU16(bytes, at + 1);
    if (at + 3 + length > end || (bytes[at] === 1 && length !== 6)) return false;
    at += 3 + length;
  }
  return true;
}

const attrSetLength = updateFault(ATTRIBUTE_LENGTH_ERROR, 'withdraw', 'ATTR_SET is too short', ATTR_SET);
const checkAttrSet: Check = (_bytes, start, end) => (end - start >= 4 ? undefined : attrSetLength);

const u32Text: Format = (bytes, start) => String(readU32(bytes, start));
const ip4Text: Format = (bytes, start) => formatIp(bytes, start, 4);
/** Lower-case digits, two a byte. */
export const hexText: Format = (bytes, start, end) => {
  let text = '';
  for (let i = start; i < end; i++) text += bytes[i]!.toString(16).padStart(2, '0');
  return text;
};
const pathText: Format = (bytes, start, end) => asPathText(readAsPath(bytes, start, end));
const aggregatorText: Format = (bytes, start) => `${readU32(bytes, start)} ${formatIp(bytes, start + 4, 4)}`;
const aigpText: Format = (bytes, start) =>
  bytes[start] === 1 ? String(readU32(bytes, start + 3) * 2 ** 32 + readU32(bytes, start + 7)) : '';

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

function row(
  code: number,
  name: string,
  flags: number,
  validate: Check,
  format: Format,
  internalOnly = false,
): AttributeRow {
  return { code, name, flags, internalOnly, validate, format };
}

const communitiesText = itemsText(4, (bytes, at) => formatCommunity(readU32(bytes, at)));
const extendedText = itemsText(8, formatExtendedCommunity);
const largeText = itemsText(12, formatLargeCommunity);
const clusterText = itemsText(4, (bytes, at) => formatIp(bytes, at, 4));

/** NEXT_HOP is no IPv4 host address. Raised by ../update.ts: it matters only where there is classic NLRI. */
export const nextHopInvalid = updateFault(
  INVALID_NEXT_HOP,
  'withdraw',
  'NEXT_HOP is no host address',
  NEXT_HOP,
);

/** All rows, by ascending code. */
export const attributeTable: readonly AttributeRow[] = [
  row(ORIGIN, 'ORIGIN', WELL_KNOWN, checkOrigin, (bytes, start) => originNames[bytes[start]!]!),
  row(AS_PATH, 'AS_PATH', WELL_KNOWN, validateAsPath, pathText),
  row(NEXT_HOP, 'NEXT_HOP', WELL_KNOWN, exactly(NEXT_HOP, 'NEXT_HOP', 4, 'withdraw'), ip4Text),
  row(MED, 'MED', NON_TRANSITIVE, exactly(MED, 'MED', 4, 'withdraw'), u32Text),
  row(LOCAL_PREF, 'LOCAL_PREF', WELL_KNOWN, exactly(LOCAL_PREF, 'LOCAL_PREF', 4, 'withdraw'), u32Text, true),
  row(
    ATOMIC_AGGREGATE,
    'ATOMIC_AGGREGATE',
    WELL_KNOWN,
    exactly(ATOMIC_AGGREGATE, 'ATOMIC_AGGREGATE', 0, 'discard'),
    () => '',
  ),
  row(AGGREGATOR, 'AGGREGATOR', BOTH, checkAggregator, aggregatorText),
  row(COMMUNITIES, 'COMMUNITIES', BOTH, listOf(COMMUNITIES, 'COMMUNITIES', 4), communitiesText),
  row(
    ORIGINATOR_ID,
    'ORIGINATOR_ID',
    NON_TRANSITIVE,
    exactly(ORIGINATOR_ID, 'ORIGINATOR_ID', 4, 'withdraw'),
    ip4Text,
    true,
  ),
  row(
    CLUSTER_LIST,
    'CLUSTER_LIST',
    NON_TRANSITIVE,
    listOf(CLUSTER_LIST, 'CLUSTER_LIST', 4),
    clusterText,
    true,
  ),
  row(MP_REACH, 'MP_REACH_NLRI', NON_TRANSITIVE, atLeast(MP_REACH, 'MP_REACH_NLRI', 5), hexText),
  row(MP_UNREACH, 'MP_UNREACH_NLRI', NON_TRANSITIVE, atLeast(MP_UNREACH, 'MP_UNREACH_NLRI', 3), hexText),
  row(
    EXT_COMMUNITIES,
    'EXTENDED COMMUNITIES',
    BOTH,
    listOf(EXT_COMMUNITIES, 'EXTENDED COMMUNITIES', 8),
    extendedText,
  ),
  row(AS4_PATH, 'AS4_PATH', BOTH, checkAs4Path, pathText),
  row(AS4_AGGREGATOR, 'AS4_AGGREGATOR', BOTH, checkAs4Aggregator, aggregatorText),
  row(PMSI_TUNNEL, 'PMSI_TUNNEL', BOTH, checkPmsi, hexText),
  row(
    IPV6_EXT_COMMUNITIES,
    'IPV6 EXTENDED COMMUNITIES',
    BOTH,
    listOf(IPV6_EXT_COMMUNITIES, 'IPV6 EXTENDED COMMUNITIES', 20),
    hexText,
  ),
  row(AIGP, 'AIGP', NON_TRANSITIVE, checkAigp, aigpText, true),
  row(
    LARGE_COMMUNITIES,
    'LARGE_COMMUNITY',
    BOTH,
    listOf(LARGE_COMMUNITIES, 'LARGE_COMMUNITY', 12),
    largeText,
  ),
  row(OTC, 'OTC', BOTH, exactly(OTC, 'OTC', 4, 'withdraw'), u32Text),
  row(PREFIX_SID, 'PREFIX_SID', BOTH, checkPrefixSid, hexText),
  row(ATTR_SET, 'ATTR_SET', BOTH, checkAttrSet, hexText),
];

/** Rows indexed by type code; undefined where we know none. */
export const attributeRows: readonly (AttributeRow | undefined)[] = Array.from({ length: 256 }, (_, code) =>
  attributeTable.find((known) => known.code === code),
);
