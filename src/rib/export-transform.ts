// What every route goes through on its way out, whatever policy says: RFC 4271 5.1 (prepend our AS to an
// external peer, LOCAL_PREF only within the AS, MED of others not beyond the neighbouring AS), RFC 4456 8
// (ORIGINATOR_ID and CLUSTER_LIST when reflecting). One pass over canonical bytes, canonical bytes out.

import type { ByteWriter } from '../lib/bytes.ts';
import { AS_SEQUENCE } from '../wire/bgp/attribute/as-path.ts';
import {
  attributeFlags,
  valueEnd,
  valueStart,
  writeAttributeHeader,
} from '../wire/bgp/attribute/canonical.ts';
import { AS_PATH, CLUSTER_LIST, LOCAL_PREF, MED, ORIGINATOR_ID } from '../wire/bgp/attribute/table.ts';

export interface Transform {
  /** Our AS, put before the path, or 0 within the AS. */
  prependAsn: number;
  /** The MED is somebody else's and goes to another AS. */
  dropMed: boolean;
  /** LOCAL_PREF where the set has none; -1 takes it away, with ORIGINATOR_ID and CLUSTER_LIST. */
  localPref: number;
  /** RFC 4456: who brought the route into the AS, where the set does not say; 0 when not reflecting. */
  originatorId: number;
  /** Our cluster, 0 when not reflecting. */
  clusterId: number;
}

/** Writes the attributes as they are sent. False when they outgrow what an attribute can hold. */
export function transformAttributes(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
  transform: Transform,
): boolean {
  const within = transform.localPref >= 0;
  let localPrefDue = within;
  let originatorDue = within && transform.originatorId !== 0;
  let clusterDue = within && transform.clusterId !== 0;
  let pathDue = transform.prependAsn !== 0;
  for (let at = start; ; ) {
    const code = at < end ? bytes[at + 1]! : 256;
    // What the set lacks goes in before the first attribute of a higher code.
    if (pathDue && code > AS_PATH) {
      writePrepended(out, transform.prependAsn, bytes, at, at);
      pathDue = false;
    }
    if (localPrefDue && code > LOCAL_PREF) {
      writeU32(out, LOCAL_PREF, transform.localPref);
      localPrefDue = false;
    }
    if (originatorDue && code > ORIGINATOR_ID) {
      writeU32(out, ORIGINATOR_ID, transform.originatorId);
      originatorDue = false;
    }
    if (clusterDue && code > CLUSTER_LIST) {
      writeU32(out, CLUSTER_LIST, transform.clusterId);
      clusterDue = false;
    }
    if (at >= end) return true;
    const next = valueEnd(bytes, at);
    if (code === AS_PATH && pathDue) {
      if (!writePrepended(out, transform.prependAsn, bytes, valueStart(bytes, at), next)) return false;
      pathDue = false;
    } else if (code === CLUSTER_LIST && clusterDue) {
      if (!writeCluster(out, transform.clusterId, bytes, valueStart(bytes, at), next)) return false;
      clusterDue = false;
    } else if (!isDropped(code, within, transform.dropMed)) {
      if (code === LOCAL_PREF) localPrefDue = false;
      if (code === ORIGINATOR_ID) originatorDue = false;
      out.copy(bytes, at, next);
    }
    at = next;
  }
}

function isDropped(code: number, within: boolean, dropMed: boolean): boolean {
  if (code === MED) return dropMed;
  return !within && (code === LOCAL_PREF || code === ORIGINATOR_ID || code === CLUSTER_LIST);
}

function writeU32(out: ByteWriter, code: number, value: number): void {
  writeAttributeHeader(out, attributeFlags(code), code, 4);
  out.u32(value);
}

/** AS_PATH with our AS first: in the leading AS_SEQUENCE while it has room, else in a new one. */
function writePrepended(out: ByteWriter, asn: number, bytes: Uint8Array, from: number, to: number): boolean {
  const joins = to > from && bytes[from] === AS_SEQUENCE && bytes[from + 1]! < 255;
  const length = to - from + (joins ? 4 : 6);
  if (length > 0xffff) return false;
  writeAttributeHeader(out, attributeFlags(AS_PATH), AS_PATH, length);
  out.u8(AS_SEQUENCE);
  out.u8(joins ? bytes[from + 1]! + 1 : 1);
  out.u32(asn);
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
