// ICMPv6 (RFC 4443): the types that neighbour discovery uses, and the checksum over the pseudo-header that every
// message has and that nobody may omit.

import type { ByteWriter } from '../../lib/bytes.ts';
import { writeU16 } from '../../lib/bytes.ts';
import { checksumOf, folded, pseudoSum, wordSum } from './checksum.ts';
import { type IpDatagram, PROTOCOL_ICMP6 } from './ip.ts';

export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOUR_SOLICITATION = 135;
export const NEIGHBOUR_ADVERTISEMENT = 136;
export const REDIRECT = 137;

/** Whether the checksum of the ICMPv6 message that a datagram carries is right. */
export function icmp6ChecksumHolds(bytes: Uint8Array, datagram: IpDatagram): boolean {
  const { source, destination, start, end } = datagram;
  const sum = pseudoSum(source, destination, PROTOCOL_ICMP6, end - start) + wordSum(bytes, start, end);
  return folded(sum) === 0xffff;
}

/** Fills in the checksum of the message out[start, out.length), whose field holds zero. */
export function putIcmp6Checksum(
  out: ByteWriter,
  start: number,
  source: Uint8Array,
  destination: Uint8Array,
): void {
  const sum = pseudoSum(source, destination, PROTOCOL_ICMP6, out.length - start);
  writeU16(out.bytes, start + 2, checksumOf(sum + wordSum(out.bytes, start, out.length)));
}
