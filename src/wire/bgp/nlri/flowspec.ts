// Flow specification NLRI (RFC 8955 section 4, IPv6 RFC 8956 section 3, VPN RFC 8955 section 8): a length of one or
// two bytes, a route distinguisher where the family is a VPN's, and components in ascending order of type.
//   key:  all behind the length, with address bits beyond the prefix and reserved operator bits cleared. No rest.
// A value that breaks the rules of section 4.2 can be stepped over by its length, and is: it names no rule that
// could be installed. Text is flowspec-text.ts'.

import type { ByteWriter } from '../../../lib/bytes.ts';
import { ROUTE_DISTINGUISHER_LENGTH } from '../../../net/route-distinguisher.ts';
import { NLRI_SKIP, type NlriCodec } from './codec.ts';
import {
  FLOW_AND,
  FLOW_BITMASK_MEANT,
  FLOW_NUMERIC_MEANT,
  FLOW_SOURCE,
  flowComponentEnd,
  flowValueLength,
  isBitmask,
} from './flow-component.ts';
import { describeFlowspec, flowspecText, parseFlowspec } from './flowspec-text.ts';
import { copyMasked } from './ip.ts';

const lengthSize = (bytes: Uint8Array, at: number): number => (bytes[at]! < 0xf0 ? 1 : 2);
const valueLength = (bytes: Uint8Array, at: number): number =>
  bytes[at]! < 0xf0 ? bytes[at]! : ((bytes[at]! & 15) << 8) | bytes[at + 1]!;

// Whether [start, end) is one or more components of ascending types.
function validComponents(bytes: Uint8Array, start: number, end: number, addressLength: number): boolean {
  let last = 0;
  let at = start;
  while (at < end) {
    const type = bytes[at]!;
    if (type <= last) return false;
    last = type;
    at = flowComponentEnd(bytes, at, end, addressLength);
    if (at < 0) return false;
  }
  return start < end;
}

// Appends one component without the bits that mean nothing.
function copyComponent(
  bytes: Uint8Array,
  at: number,
  end: number,
  addressLength: number,
  out: ByteWriter,
): void {
  const type = bytes[at]!;
  out.u8(type);
  at++;
  if (type <= FLOW_SOURCE) {
    const bits = bytes[at]!;
    out.u8(bits);
    at++;
    const offset = addressLength === 16 ? bytes[at++]! : 0;
    if (addressLength === 16) out.u8(offset);
    copyMasked(bytes, at, bits - offset, out);
    return;
  }
  // The AND bit of the first operator has nothing to join.
  let meant = (isBitmask(type) ? FLOW_BITMASK_MEANT : FLOW_NUMERIC_MEANT) & ~FLOW_AND;
  while (at < end) {
    const operator = bytes[at]!;
    out.u8(operator & meant).copy(bytes, at + 1, at + 1 + flowValueLength(operator));
    at += 1 + flowValueLength(operator);
    meant |= FLOW_AND;
  }
}

/** The codec for addresses of 4 or 16 bytes, with a route distinguisher where `vpn`. */
export function flowspecCodec(addressLength: 4 | 16, vpn: boolean): NlriCodec {
  const before = vpn ? ROUTE_DISTINGUISHER_LENGTH : 0;
  return {
    check(bytes, at, end) {
      const head = lengthSize(bytes, at);
      if (at + head > end) return 0;
      const size = head + valueLength(bytes, at);
      if (at + size > end) return 0;
      const valid = validComponents(bytes, at + head + before, at + size, addressLength);
      return valid ? size : size | NLRI_SKIP;
    },
    size: (bytes, at) => lengthSize(bytes, at) + valueLength(bytes, at),
    split(bytes, at, key) {
      const value = at + lengthSize(bytes, at);
      const end = value + valueLength(bytes, at);
      key.copy(bytes, value, value + before);
      for (let from = value + before; from < end; ) {
        const next = flowComponentEnd(bytes, from, end, addressLength);
        copyComponent(bytes, from, next, addressLength, key);
        from = next;
      }
    },
    join(key, keyStart, keyEnd, _rest, _restStart, _restEnd, out) {
      const length = keyEnd - keyStart;
      if (length < 0xf0) out.u8(length);
      else out.u16(0xf000 | length);
      out.copy(key, keyStart, keyEnd);
    },
    routable: () => true,
    text: (key, start, end) => flowspecText(key, start, end, addressLength, vpn),
    describe: (key, start, end) => describeFlowspec(key, start, end, addressLength, vpn),
    parse: (text) => parseFlowspec(text, addressLength, vpn),
  };
}
