// BGP Prefix-SID (RFC 8669) with SRv6 services (RFC 9252). Two answers to what is malformed: broken label indices and
// SRGBs cost the attribute (RFC 8669 section 6), broken SRv6 service TLVs the routes (RFC 9252 section 7). A route
// whose SRv6 services have no valid SID must never be chosen (section 7): it is withdrawn as well. Of TLVs that may
// be there once, the others are removed (RFC 8669 section 6); unknown ones are passed on as they came.

import { ByteWriter, readU16, readU32 } from '../../../lib/bytes.ts';
import { hexText } from '../../../net/hex.ts';
import { formatIp } from '../../../net/ip.ts';
import { type Fault, OPTIONAL_ATTRIBUTE_ERROR, updateFault } from '../fault.ts';
import { PREFIX_SID } from './code.ts';

const LABEL_INDEX = 1;
const ORIGINATOR_SRGB = 3;
const SRV6_L3_SERVICE = 5;
const SRV6_L2_SERVICE = 6;
const TLV_HEADER = 3;
/** Reserved byte, SID, flags, behaviour, reserved byte (RFC 9252 section 3.1). */
const SID_INFORMATION_LENGTH = 21;

const malformed = updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'discard', 'PREFIX_SID is malformed', PREFIX_SID);
const serviceBroken = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'withdraw',
  'SRv6 service TLV is malformed',
  PREFIX_SID,
);
const serviceWithoutSid = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'withdraw',
  'SRv6 service TLV has no valid SID',
  PREFIX_SID,
);
const tlvRepeated = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'discard',
  'PREFIX_SID TLV that is there more than once is removed',
  PREFIX_SID,
);

const isService = (type: number): boolean => type === SRV6_L3_SERVICE || type === SRV6_L2_SERVICE;

/** RFC 8669 section 6 and RFC 9252 section 7; the stronger of two faults. */
export function checkPrefixSid(bytes: Uint8Array, start: number, end: number): Fault | undefined {
  if (start === end) return malformed;
  let fault: Fault | undefined;
  let services = 0;
  let sids = 0;
  for (let at = start; at < end; ) {
    const type = bytes[at]!;
    const value = at + TLV_HEADER;
    const next = value > end ? value : value + readU16(bytes, at + 1);
    if (next > end) return isService(type) ? serviceBroken : malformed;
    if (!validLength(type, next - value)) fault = malformed;
    if (isService(type)) {
      const found = countSids(bytes, value, next);
      if (found < 0) return serviceBroken;
      services++;
      sids += found;
    }
    at = next;
  }
  return services > 0 && sids === 0 ? serviceWithoutSid : fault;
}

function validLength(type: number, length: number): boolean {
  if (type === LABEL_INDEX) return length === 7;
  return type !== ORIGINATOR_SRGB || (length >= 8 && (length - 2) % 6 === 0);
}

// Valid SIDs of a service TLV (a reserved byte, then sub-TLVs), or -1 when it is malformed.
function countSids(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return -1;
  let sids = 0;
  for (let at = start + 1; at < end; ) {
    const value = at + TLV_HEADER;
    const next = value > end ? value : value + readU16(bytes, at + 1);
    if (next > end) return -1;
    if (bytes[at] === 1) {
      if (next - value < SID_INFORMATION_LENGTH) return -1;
      const valid = structureVerdict(bytes, value + SID_INFORMATION_LENGTH, next);
      if (valid < 0) return -1;
      sids += valid;
    }
    at = next;
  }
  return sids;
}

// Sub-sub-TLVs of a SID: 1 when it is valid, 0 when its structure (RFC 9252 section 3.2.1) is not, -1 when malformed.
function structureVerdict(bytes: Uint8Array, start: number, end: number): number {
  let verdict = 1;
  for (let at = start; at < end; ) {
    const value = at + TLV_HEADER;
    const next = value > end ? value : value + readU16(bytes, at + 1);
    if (next > end) return -1;
    if (bytes[at] === 1) {
      if (next - value !== 6) return -1;
      const bits = bytes[value]! + bytes[value + 1]! + bytes[value + 2]! + bytes[value + 3]!;
      if (bits > 128 || bytes[value + 4]! + bytes[value + 5]! > bits) verdict = 0;
    }
    at = next;
  }
  return verdict;
}

/** A value that `checkPrefixSid` accepted without the TLVs that repeat another; undefined when there are none. */
export function repairPrefixSid(
  bytes: Uint8Array,
  start: number,
  end: number,
): { fault: Fault; value: Uint8Array } | undefined {
  let kept: ByteWriter | undefined;
  let seen = 0;
  for (let at = start; at < end; ) {
    const type = bytes[at]!;
    const next = at + TLV_HEADER + readU16(bytes, at + 1);
    const once = type === LABEL_INDEX || isService(type);
    if (!once || (seen & (1 << type)) === 0) kept?.copy(bytes, at, next);
    else kept ??= new ByteWriter(64).copy(bytes, start, at);
    if (once) seen |= 1 << type;
    at = next;
  }
  return kept === undefined ? undefined : { fault: tlvRepeated, value: kept.take() };
}

const tlvNames: Readonly<Record<number, string>> = {
  1: 'labelIndex',
  3: 'originatorSrgb',
  5: 'srv6L3Service',
  6: 'srv6L2Service',
};

export interface PrefixSidView {
  readonly type: number;
  readonly name?: string;
  readonly labelIndex?: number;
  /** SRv6 SIDs with their endpoint behaviours (RFC 8986). */
  readonly sids?: readonly { readonly sid: string; readonly behavior: number }[];
  readonly hex: string;
}

/** A valid value as objects, one a TLV. */
export function describePrefixSid(bytes: Uint8Array, start: number, end: number): PrefixSidView[] {
  const tlvs: PrefixSidView[] = [];
  for (let at = start; at < end; ) {
    const type = bytes[at]!;
    const value = at + TLV_HEADER;
    const next = value + readU16(bytes, at + 1);
    const name = tlvNames[type];
    tlvs.push({
      type,
      ...(name === undefined ? {} : { name }),
      ...(type === LABEL_INDEX ? { labelIndex: readU32(bytes, value + 3) } : {}),
      ...(isService(type) ? { sids: sidsOf(bytes, value + 1, next) } : {}),
      hex: hexText(bytes, value, next),
    });
    at = next;
  }
  return tlvs;
}

function sidsOf(bytes: Uint8Array, start: number, end: number): { sid: string; behavior: number }[] {
  const sids: { sid: string; behavior: number }[] = [];
  for (let at = start; at < end; ) {
    const value = at + TLV_HEADER;
    if (bytes[at] === 1) {
      sids.push({ sid: formatIp(bytes, value + 1, 16), behavior: readU16(bytes, value + 18) });
    }
    at = value + readU16(bytes, at + 1);
  }
  return sids;
}

/** `labelIndex 100`, `srv6L3Service 2001:db8::1`. */
export function prefixSidText(bytes: Uint8Array, start: number, end: number): string {
  return describePrefixSid(bytes, start, end)
    .map(({ type, name, labelIndex, sids, hex }) => {
      const rest = labelIndex ?? sids?.map(({ sid }) => sid).join(' ') ?? hex;
      return `${name ?? `type ${type}`} ${rest}`;
    })
    .join(', ');
}
