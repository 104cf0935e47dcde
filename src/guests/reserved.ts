// Addresses that can be no guest's on this machine, and whose they are: gateways, what is nobody's to be reached by,
// this machine's own, its neighbours', and what the operator keeps.

import { blockOf } from '../intent/guest-address.ts';
import { sameIp } from '../net/ip.ts';
import { type Prefix, prefixContainsIp } from '../net/prefix.ts';

export interface Reservations {
  gateways: readonly Uint8Array[];
  loopbacks: readonly Prefix[];
  /** `guests.reserved`. */
  reserved: readonly Prefix[];
  /** Name of the link of this machine that has an address. */
  ownLink(address: Uint8Array): string | undefined;
  /** Name of the BGP neighbour that has it. */
  neighbour(address: Uint8Array): string | undefined;
}

/** Whose the address is, in words; undefined where it may be a guest's. */
export function whoseAddress(address: Uint8Array, reservations: Reservations): string | undefined {
  const { gateways, loopbacks, reserved } = reservations;
  if (gateways.some((one) => sameIp(one, address))) return 'the gateway';
  const block = blockOf(address);
  if (block !== undefined) return block;
  if (loopbacks.some((one) => prefixContainsIp(one, address))) return 'a loopback of this machine';
  const link = reservations.ownLink(address);
  if (link !== undefined) return `of this machine, on ${link}`;
  const neighbour = reservations.neighbour(address);
  if (neighbour !== undefined) return `the neighbour ${neighbour}`;
  return reserved.some((one) => prefixContainsIp(one, address)) ? 'reserved by leafd.yaml' : undefined;
}
