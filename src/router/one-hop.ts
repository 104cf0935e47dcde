// Whether a neighbour that has to be one hop away is called at all. A call follows whatever route there is, and one hop
// is enough for a detour that ends at the same machine: where two links lead to one switch and one of them is down, the
// default route of the other would bring the call to the switch from an address that has a session already, and the
// switch would take that for a restart of it. So such a neighbour is called over a link that is up, or a route of the
// operator's, never over what neighbours have told. FRR and BIRD do not call it either.

import { readU32 } from '../lib/bytes.ts';
import { FIRST_SET } from '../rib/next-hop-sets.ts';
import type { Rib } from '../rib/rib.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { RouterConfig } from './config.ts';
import { hopsOf } from './offer.ts';
import type { Peer } from './peer.ts';
import type { Resolver } from './resolver.ts';

export interface OneHopHost {
  config: RouterConfig;
  resolver: Resolver;
  rib(family: number): Rib;
  isLinkUp(ifindex: number): boolean;
}

export function isWithinReach(host: OneHopHost, peer: Peer): boolean {
  const { remote, ifindex, config } = peer;
  if (remote === undefined || ifindex !== 0 || config.multihop !== 1) return true;
  if (hopsOf(host.config, peer).ttl !== 1 && !config.ttlSecurity) return true;
  const own = host.resolver.routesTo(remote);
  if (own.length > 0)
    return own.some((route) => [route, ...(route.others ?? [])].some((way) => host.isLinkUp(way.ifindex)));
  return !isTold(host.rib(remote.length === 4 ? IPV4 : IPV6), remote);
}

/** Whether the way to an address is one that a neighbour has told. */
function isTold(rib: Rib, address: Uint8Array): boolean {
  const six = address.length === 16;
  const word = (at: number): number => (six ? readU32(address, at) : 0);
  const prefix = rib.lookup(readU32(address, 0), word(4), word(8), word(12));
  return prefix >= 0 && rib.prefixes.nextHopSetId[prefix]! >= FIRST_SET;
}
