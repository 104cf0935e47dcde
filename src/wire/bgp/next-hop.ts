// Next hops of MP_REACH_NLRI: RFC 4760 section 3, RFC 2545 (global and link-local together), RFC 8950 (IPv6 for
// IPv4), RFC 4364 section 4.3.2 and RFC 4659 section 3.2.1 (behind a route distinguisher, which says nothing), RFC 8955
// section 4 (flow specifications: whatever stands there is ignored). In the field there are more forms than in the
// RFCs: a link-local address alone in 16 bytes, twice in 32, or behind an unspecified global one; and a global one
// followed by zeros. They are brought to three: 4 bytes, 16 bytes (global, or link-local where that is all there is),
// 32 bytes (global, then link-local). An IPv4-mapped next hop of VPN-IPv6 is the IPv4 address it maps.

import { isIp4Mapped, isLinkLocal6, isLoopback6, isMulticast6, isUnspecified } from '../../net/ip.ts';
import { EVPN, FLOWSPEC4, IPV4, RTC, VPNV4, VPNV6 } from './family.ts';

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
  if (family >= FLOWSPEC4) return 0;
  if (family === VPNV4 || family === VPNV6) return readVpnNextHop(bytes, from, length, family, out, at);
  if (length === 4 && (family === IPV4 || family === EVPN || family === RTC)) {
    return readIp4(bytes, from, out, at);
  }
  if (length !== 16 && length !== 32) return NEXT_HOP_BAD_LENGTH;
  let first = from;
  let kept = length;
  if (length === 32) {
    if (!isLinkLocal6(bytes, from + 16)) kept = 16;
    else if (isLinkLocal6(bytes, from) || isUnspecified(bytes, from, 16)) {
      first = from + 16;
      kept = 16;
    }
  }
  if (!usable6(bytes, first)) return NEXT_HOP_UNUSABLE;
  for (let i = 0; i < kept; i++) out[at + i] = bytes[first + i]!;
  return kept;
}

function readIp4(bytes: Uint8Array, from: number, out: Uint8Array, at: number): number {
  if (!hostOctet4(bytes[from]!)) return NEXT_HOP_UNUSABLE;
  for (let i = 0; i < 4; i++) out[at + i] = bytes[from + i]!;
  return 4;
}

function usable6(bytes: Uint8Array, from: number): boolean {
  return !isUnspecified(bytes, from, 16) && !isMulticast6(bytes, from) && !isLoopback6(bytes, from);
}

// 12, 24 or 48 bytes: each address behind a route distinguisher of 8. A link-local one behind a global one is
// left out, as it names no other end of a tunnel.
function readVpnNextHop(
  bytes: Uint8Array,
  from: number,
  length: number,
  family: number,
  out: Uint8Array,
  at: number,
): number {
  const address = from + 8;
  if (length === 12 && family === VPNV4) return readIp4(bytes, address, out, at);
  if (length !== 24 && length !== 48) return NEXT_HOP_BAD_LENGTH;
  if (isIp4Mapped(bytes, address) && family === VPNV6) return readIp4(bytes, address + 12, out, at);
  if (!usable6(bytes, address)) return NEXT_HOP_UNUSABLE;
  for (let i = 0; i < 16; i++) out[at + i] = bytes[address + i]!;
  return 16;
}
