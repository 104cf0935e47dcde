// Addresses that can be nobody's on a guest's port, whatever is configured (RFC 6890, RFC 4291). Which others may not be
// a guest's, the daemon knows: gateways, its own, its neighbours'.

import { isIp4Mapped, isLinkLocal6, isLoopback6, isMulticast6, isUnspecified } from '../net/ip.ts';

/** What the address is reserved for, in words; undefined where it may be a guest's. 4 or 16 bytes. */
export function reservedRange(address: Uint8Array): string | undefined {
  if (isUnspecified(address)) return 'the unspecified address';
  if (address.length === 4) return reserved4(address[0]!, address[1]!);
  if (isLoopback6(address)) return 'a loopback address';
  if (isLinkLocal6(address)) return 'a link-local address';
  if (isMulticast6(address)) return 'a multicast address';
  return isIp4Mapped(address) ? 'an IPv4-mapped address' : undefined;
}

function reserved4(first: number, second: number): string | undefined {
  if (first === 0) return 'of this network (0.0.0.0/8)';
  if (first === 127) return 'a loopback address';
  if (first === 169 && second === 254) return 'a link-local address';
  if (first >= 240) return 'reserved for future use, or broadcast';
  return first >= 224 ? 'a multicast address' : undefined;
}
