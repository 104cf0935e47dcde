// Addresses of the leg between the router namespace and the host, taken from `localCIDR` exactly as OpenPERouter
// allocates them, so that what its users have configured in MetalLB, Calico or FRR keeps working: the router has the
// network address, or the one after it where that ends in a zero byte, and node N the one N + 1 behind the router's.
// OpenPERouter refuses a /31 or /127 that begins with a zero byte; here both of its addresses serve (RFC 3021, 6164).

import { sameIp } from '../net/ip.ts';
import type { Prefix } from '../net/prefix.ts';

export interface LocalAddresses {
  router: Uint8Array;
  host: Uint8Array;
}

/** The addresses of one node; undefined where the prefix has none for it. */
export function localAddresses(cidr: Prefix, nodeIndex: number): LocalAddresses | undefined {
  if (nodeIndex > lastNodeIndex(cidr)) return undefined;
  const first = routerOffset(cidr);
  return { router: offsetBy(cidr.bytes, first), host: offsetBy(cidr.bytes, first + 1 + nodeIndex) };
}

/** The highest node index that the prefix has an address for; -1 where it has room for none. */
export function lastNodeIndex(cidr: Prefix): number {
  const hostBits = cidr.bytes.length * 8 - cidr.length;
  // More than any index needs, and still exact.
  const size = 2 ** Math.min(hostBits, 40);
  return Math.max(-1, size - (hasBroadcast(cidr) ? 1 : 0) - routerOffset(cidr) - 2);
}

/** The last address of an IPv4 prefix that has one which is everybody's. */
export function broadcastOf(cidr: Prefix): Uint8Array | undefined {
  if (!hasBroadcast(cidr)) return undefined;
  return cidr.bytes.map((byte, i) => byte | (0xff >>> Math.min(8, Math.max(0, cidr.length - i * 8))));
}

/** Whether an address means the network itself: nobody in it can have it, but in a /31 or a /127. */
export function isNetwork({ bytes, length }: Prefix, address: Uint8Array): boolean {
  return bytes.length * 8 - length > 1 && sameIp(bytes, address);
}

const hasBroadcast = ({ bytes, length }: Prefix): boolean => bytes.length === 4 && length < 31;

function routerOffset({ bytes, length }: Prefix): number {
  return bytes.at(-1) === 0 && bytes.length * 8 - length > 1 ? 1 : 0;
}

function offsetBy(address: Uint8Array, offset: number): Uint8Array {
  const sum = address.slice();
  let carry = offset;
  for (let i = sum.length - 1; i >= 0 && carry > 0; i--) {
    carry += sum[i]!;
    sum[i] = carry & 0xff;
    carry = Math.floor(carry / 256);
  }
  return sum;
}
