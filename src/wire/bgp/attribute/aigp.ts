// AIGP (RFC 7311): TLVs whose length counts their own header of three bytes; type 1 holds the accumulated metric. A
// malformed one is dropped as if it were an unknown non-transitive attribute (section 3.2), without harm to its route.

import { readU16, readU32 } from '../../../lib/bytes.ts';
import { hexText } from '../../../net/hex.ts';
import { type Fault, OPTIONAL_ATTRIBUTE_ERROR, updateFault } from '../fault.ts';
import { AIGP } from './code.ts';

const METRIC = 1;
const METRIC_TLV_LENGTH = 11;
const TLV_HEADER = 3;

const malformed = updateFault(OPTIONAL_ATTRIBUTE_ERROR, 'discard', 'AIGP is malformed', AIGP);
const infinite = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'discard',
  'AIGP metric is the greatest there is',
  AIGP,
);

/** Section 3.2. Repeated and unknown TLVs are no fault. */
export function checkAigp(bytes: Uint8Array, start: number, end: number): Fault | undefined {
  if (start === end) return malformed;
  let first = -1;
  for (let at = start; at < end; ) {
    if (end - at < TLV_HEADER) return malformed;
    const length = readU16(bytes, at + 1);
    if (length < TLV_HEADER || at + length > end) return malformed;
    if (bytes[at] === METRIC) {
      if (length !== METRIC_TLV_LENGTH) return malformed;
      if (first < 0) first = at;
    }
    at += length;
  }
  const greatest =
    first >= 0 && readU32(bytes, first + 3) === 0xffffffff && readU32(bytes, first + 7) === 0xffffffff;
  return greatest ? infinite : undefined;
}

export interface AigpView {
  /** The accumulated metric in decimal digits: 64 bits are more than a JSON number holds. */
  readonly metric?: string;
  /** All TLVs, where there are others than one metric. */
  readonly tlvs?: readonly { readonly type: number; readonly hex: string }[];
}

/** A valid value as an object. */
export function describeAigp(bytes: Uint8Array, start: number, end: number): AigpView {
  const tlvs: { type: number; hex: string }[] = [];
  let metric: string | undefined;
  for (let at = start; at < end; at += readU16(bytes, at + 1)) {
    const hex = hexText(bytes, at + TLV_HEADER, at + readU16(bytes, at + 1));
    if (bytes[at] === METRIC) metric ??= String(BigInt(`0x${hex}`));
    tlvs.push({ type: bytes[at]!, hex });
  }
  const plain = tlvs.length === 1 && metric !== undefined;
  return { ...(metric === undefined ? {} : { metric }), ...(plain ? {} : { tlvs }) };
}

/** The metric of the first AIGP TLV. */
export function aigpText(bytes: Uint8Array, start: number, end: number): string {
  return describeAigp(bytes, start, end).metric ?? hexText(bytes, start, end);
}
