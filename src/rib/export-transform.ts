// What every route goes through on its way out, whatever policy says: RFC 4271 5.1 (prepend our AS to an
// external peer, LOCAL_PREF only within the AS, MED of others not beyond the neighbouring AS), RFC 4456 8
// (ORIGINATOR_ID and CLUSTER_LIST when reflecting), RFC 5065 4.1 (our member AS in an AS_CONFED_SEQUENCE), RFC 9234 5
// (OTC), RFC 8326 and RFC 9494 4.6 (communities). One pass over canonical bytes, canonical bytes out.

import { type ByteWriter, writeU32 } from '../lib/bytes.ts';
import {
  attributeFlags,
  valueEnd,
  valueStart,
  writeAttributeHeader,
} from '../wire/bgp/attribute/canonical.ts';
import {
  AIGP,
  AS_PATH,
  CLUSTER_LIST,
  COMMUNITIES,
  LOCAL_PREF,
  MED,
  ORIGINATOR_ID,
  OTC,
  PARTIAL,
} from '../wire/bgp/attribute/table.ts';

export interface Transform {
  /** Our AS, put before the path, or 0 for none. */
  prependAsn: number;
  /** Another AS of ours, put before that, or 0. */
  prependBefore: number;
  /** Our AS is put there twice: what is fresh elsewhere has a shorter path. */
  prependsTwice: boolean;
  /** AS_SEQUENCE, or AS_CONFED_SEQUENCE between member ASes. */
  segment: number;
  /** The MED is somebody else's and goes to another AS. */
  dropMed: boolean;
  /** LOCAL_PREF where the set has none, or in any case where `forcesLocalPref`; -1 takes it away. */
  localPref: number;
  forcesLocalPref: boolean;
  /** ORIGINATOR_ID and CLUSTER_LIST stay within the AS. */
  dropsReflection: boolean;
  /** AIGP stays within one administration (RFC 7311 section 3.2). */
  dropsAigp: boolean;
  /** RFC 4456: who brought the route into the AS, where the set does not say or `forcesOriginator`; 0 for none. */
  originatorId: number;
  forcesOriginator: boolean;
  /** Our cluster, 0 when not reflecting. */
  clusterId: number;
  /** Communities to be added; one that is there stays alone. */
  communities: readonly number[];
  /** ONLY_TO_CUSTOMER where the set has none; 0 for none. */
  otc: number;
}

export function emptyTransform(segment: number): Transform {
  return {
    prependAsn: 0,
    prependBefore: 0,
    prependsTwice: false,
    segment,
    dropMed: false,
    localPref: -1,
    forcesLocalPref: false,
    dropsReflection: false,
    dropsAigp: false,
    originatorId: 0,
    forcesOriginator: false,
    clusterId: 0,
    communities: [],
    otc: 0,
  };
}

/** Bits of what is still to be written. */
const PATH_DUE = 1;
const LOCAL_PREF_DUE = 2;
const COMMUNITIES_DUE = 4;
const ORIGINATOR_DUE = 8;
const CLUSTER_DUE = 16;
const OTC_DUE = 32;
const NOTHING_DUE = 256;

/** Writes the attributes as they are sent. False when they outgrow what an attribute can hold. */
export function transformAttributes(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
  transform: Transform,
): boolean {
  let due =
    (transform.prependAsn !== 0 ? PATH_DUE : 0) |
    (transform.localPref >= 0 ? LOCAL_PREF_DUE : 0) |
    (transform.communities.length > 0 ? COMMUNITIES_DUE : 0) |
    (transform.originatorId !== 0 ? ORIGINATOR_DUE : 0) |
    (transform.clusterId !== 0 ? CLUSTER_DUE : 0) |
    (transform.otc !== 0 ? OTC_DUE : 0);
  let dueFrom = firstDue(due);
  for (let at = start; ; ) {
    const code = at < end ? bytes[at + 1]! : 256;
    // What the set lacks goes in before the first attribute of a higher code.
    if (code > dueFrom) {
      due = writeDue(out, transform, due, code);
      dueFrom = firstDue(due);
    }
    if (at >= end) return true;
    const next = valueEnd(bytes, at);
    if (code === AS_PATH && (due & PATH_DUE) !== 0) {
      if (!writePrepended(out, transform, bytes, valueStart(bytes, at), next)) return false;
      due &= ~PATH_DUE;
    } else if (code === CLUSTER_LIST && (due & CLUSTER_DUE) !== 0) {
      if (!writeCluster(out, transform.clusterId, bytes, valueStart(bytes, at), next)) return false;
      due &= ~CLUSTER_DUE;
    } else if (code === COMMUNITIES && (due & COMMUNITIES_DUE) !== 0) {
      if (!writeCommunities(out, transform.communities, bytes, at, next)) return false;
      due &= ~COMMUNITIES_DUE;
    } else if (!isDropped(code, transform)) {
      if (code === LOCAL_PREF) due &= ~LOCAL_PREF_DUE;
      if (code === ORIGINATOR_ID) due &= ~ORIGINATOR_DUE;
      if (code === OTC) due &= ~OTC_DUE;
      out.copy(bytes, at, next);
    }
    at = next;
  }
}

/** The lowest code of what is due, or one above all. */
function firstDue(due: number): number {
  if ((due & PATH_DUE) !== 0) return AS_PATH;
  if ((due & LOCAL_PREF_DUE) !== 0) return LOCAL_PREF;
  if ((due & COMMUNITIES_DUE) !== 0) return COMMUNITIES;
  if ((due & ORIGINATOR_DUE) !== 0) return ORIGINATOR_ID;
  if ((due & CLUSTER_DUE) !== 0) return CLUSTER_LIST;
  return (due & OTC_DUE) !== 0 ? OTC : NOTHING_DUE;
}

/** Writes what is due before an attribute with this code; returns what is due behind it. */
function writeDue(out: ByteWriter, transform: Transform, due: number, code: number): number {
  if ((due & PATH_DUE) !== 0 && code > AS_PATH) {
    writePrepended(out, transform, out.bytes, 0, 0);
    due &= ~PATH_DUE;
  }
  if ((due & LOCAL_PREF_DUE) !== 0 && code > LOCAL_PREF) {
    putU32(out, LOCAL_PREF, transform.localPref);
    due &= ~LOCAL_PREF_DUE;
  }
  if ((due & COMMUNITIES_DUE) !== 0 && code > COMMUNITIES) {
    const { communities } = transform;
    writeAttributeHeader(out, attributeFlags(COMMUNITIES), COMMUNITIES, communities.length * 4);
    for (const community of communities) out.u32(community);
    due &= ~COMMUNITIES_DUE;
  }
  if ((due & ORIGINATOR_DUE) !== 0 && code > ORIGINATOR_ID) {
    putU32(out, ORIGINATOR_ID, transform.originatorId);
    due &= ~ORIGINATOR_DUE;
  }
  if ((due & CLUSTER_DUE) !== 0 && code > CLUSTER_LIST) {
    putU32(out, CLUSTER_LIST, transform.clusterId);
    due &= ~CLUSTER_DUE;
  }
  if ((due & OTC_DUE) !== 0 && code > OTC) {
    putU32(out, OTC, transform.otc);
    due &= ~OTC_DUE;
  }
  return due;
}

function isDropped(code: number, transform: Transform): boolean {
  if (code === MED) return transform.dropMed;
  if (code === LOCAL_PREF) return transform.localPref < 0 || transform.forcesLocalPref;
  if (code === ORIGINATOR_ID) return transform.dropsReflection || transform.forcesOriginator;
  if (code === AIGP) return transform.dropsAigp;
  return code === CLUSTER_LIST && transform.dropsReflection;
}

function putU32(out: ByteWriter, code: number, value: number): void {
  writeAttributeHeader(out, attributeFlags(code), code, 4);
  out.u32(value);
}

/** AS_PATH with our AS first: in the leading segment of that type while it has room, else in a new one. */
function writePrepended(
  out: ByteWriter,
  transform: Transform,
  bytes: Uint8Array,
  from: number,
  to: number,
): boolean {
  const { segment, prependAsn, prependBefore, prependsTwice } = transform;
  const count = (prependBefore === 0 ? 1 : 2) + (prependsTwice ? 1 : 0);
  const joins = to > from && bytes[from] === segment && bytes[from + 1]! + count <= 255;
  const length = to - from + count * 4 + (joins ? 0 : 2);
  if (length > 0xffff) return false;
  writeAttributeHeader(out, attributeFlags(AS_PATH), AS_PATH, length);
  out.u8(segment);
  out.u8(joins ? bytes[from + 1]! + count : count);
  if (prependBefore !== 0) out.u32(prependBefore);
  out.u32(prependAsn);
  if (prependsTwice) out.u32(prependAsn);
  out.copy(bytes, joins ? from + 2 : from, to);
  return true;
}

function writeCluster(
  out: ByteWriter,
  clusterId: number,
  bytes: Uint8Array,
  from: number,
  to: number,
): boolean {
  const length = to - from + 4;
  if (length > 0xffff) return false;
  writeAttributeHeader(out, attributeFlags(CLUSTER_LIST), CLUSTER_LIST, length);
  out.u32(clusterId);
  out.copy(bytes, from, to);
  return true;
}

const word = new Uint8Array(4);

/** COMMUNITIES with those added that it lacks, at its end. */
function writeCommunities(
  out: ByteWriter,
  communities: readonly number[],
  bytes: Uint8Array,
  at: number,
  to: number,
): boolean {
  const from = valueStart(bytes, at);
  const missing = communities.filter((community) => {
    writeU32(word, 0, community);
    for (let i = from; i < to; i += 4) if (word.every((byte, k) => bytes[i + k] === byte)) return false;
    return true;
  });
  const length = to - from + missing.length * 4;
  if (length > 0xffff) return false;
  writeAttributeHeader(out, attributeFlags(COMMUNITIES) | (bytes[at]! & PARTIAL), COMMUNITIES, length);
  out.copy(bytes, from, to);
  for (const community of missing) out.u32(community);
  return true;
}
