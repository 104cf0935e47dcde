// Next hops of MP_REACH_NLRI: RFC 4760 section 3, RFC 2545 (global and link-local together), RFC 8950 (IPv6 for
// IPv4). In the field there are more forms than in the RFCs: a link-local address alone in 16 bytes, twice in 32, or
// behind an unspecified global one; and a global one followed by zeros. They are brought to three: 4 bytes,
// 16 bytes (global, or link-local where that is all there is), 32 bytes (global, then link-local).

import { isLinkLocal6, isLoopback6, isMulticast6, isUnspecified } from '../../net/ip.ts';
import { IPV4, IPV6 } from './family.ts';

/** The length does not belong to the family: what follows cannot be located. */
export const NEXT_HOP_BAD_LENGTH = -1;
/** The address is none a packet could be sent to. */
export const NEXT_HOP_UNUSABLE = -2;

/** Whether the uint8 is the first octet of an IPv4 host address: not 0/8, 127/8, multicast or beyond. */
export function hostOctet4(first: number): boolean {
  return first !== 0 && first !== 127 && first < 224;
}

/** Writes the next hop of `length` bytes at `from` into `out` at `at`; its length there, or one of the above. */
export function readNextHop(
  bytes: Uint8Array,
  from: number,
  length: number,
  family: number,
  out: Uint8Array,
  at: number,
): number {
  if (length === 4 && family === IPV4) {
    if (!hostOctet4(bytes[from]!)) return NEXT_HOP_UNUSABLE;
    for (let i = 0; i < 4; i++) out[at + i] = bytes[from + i]!;
    return 4;
  }
  if ((length !== 16 && length !== 32) || (family !== IPV4 && family !== IPV6)) return NEXT_HOP_BAD_LENGTH;
  let first = from;
  let kept = length;
  if (length === 32) {
    if (!isLinkLocal6(bytes, from + 16)) kept = 16;
    else if (isLinkLocal6(bytes, from) || isUnspecified(bytes, from, 16)) {
      first = from + 16;
      kept = 16;
    }
  }
  if (isUnspecified(bytes, first, 16) || isMulticast6(bytes, first) || isLoopback6(bytes, first)) {
    return NEXT_HOP_UNUSABLE;
  }
  for (let i = 0; i < kept; i++) out[at + i] = bytes[first + i]!;
  return kept;
}
