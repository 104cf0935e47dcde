// Keeps the rib's next hops resolved. A link-local one can be reached while its link is up; any other as the
// kernel's own routes say (resolver.ts). When an answer changes the rib decides anew, but first the groups in the
// kernel change: one message moves all the traffic (prefix-independent convergence), whatever the number of
// prefixes.

import type { NextHopSets } from '../rib/next-hop-sets.ts';
import type { NextHopTable } from '../rib/next-hop-table.ts';
import type { ForwardingMember } from './ports.ts';
import type { Resolution, Resolver } from './resolver.ts';

export interface NextHopHost {
  isLinkUp(ifindex: number): boolean;
  /** Whether the address is one of this machine: such a next hop would be a loop. */
  isLocalAddress(address: Uint8Array, ifindex: number): boolean;
  /** A next hop resolves otherwise than before. */
  changed(nextHopId: number): void;
}

export class NextHops {
  readonly #host: NextHopHost;
  readonly #table: NextHopTable;
  readonly #sets: NextHopSets;
  readonly #resolver: Resolver;
  readonly #ways = new Map<number, Resolution>();

  constructor(host: NextHopHost, table: NextHopTable, sets: NextHopSets, resolver: Resolver) {
    this.#host = host;
    this.#table = table;
    this.#sets = sets;
    this.#resolver = resolver;
  }

  /** Resolves next hops that are new and forgets those that nobody uses any more. */
  follow(): void {
    this.#table.drainTouched((id, inUse) => {
      if (inUse) this.#resolve(id);
      else this.#ways.delete(id);
    });
  }

  /** Links, addresses or kernel routes have changed. */
  refresh(): void {
    this.follow();
    for (let id = 1; id < this.#table.idEnd; id++) if (this.#table.refs[id]! > 0) this.#resolve(id);
  }

  /** The live members of a set, as the kernel needs them. */
  membersOf(setId: number): ForwardingMember[] {
    const members: ForwardingMember[] = [];
    for (const id of this.#sets.members(setId)) {
      const way = this.#ways.get(id);
      if (way === undefined || this.#table.reachable[id] === 0) continue;
      const gateway = way.gateway === undefined ? {} : { gateway: way.gateway };
      members.push({ ifindex: way.ifindex, weight: 1, ...gateway });
    }
    return members;
  }

  #resolve(id: number): void {
    const way = this.#wayTo(id);
    const before = this.#ways.get(id);
    if (way !== undefined) this.#ways.set(id, way);
    const changed = this.#table.setState(id, way !== undefined, way?.metric ?? 0);
    if (changed || (way !== undefined && before !== undefined && !sameWay(way, before)))
      this.#host.changed(id);
  }

  #wayTo(id: number): Resolution | undefined {
    const address = this.#table.addressOf(id);
    const scope = this.#table.scope[id]!;
    if (this.#host.isLocalAddress(address, scope)) return undefined;
    if (scope !== 0) {
      return this.#host.isLinkUp(scope) ? { ifindex: scope, gateway: address, metric: 0 } : undefined;
    }
    const found = this.#resolver.resolve(address);
    if (found === undefined || !this.#host.isLinkUp(found.ifindex)) return undefined;
    // On link the next hop itself is the gateway.
    return found.gateway === undefined ? { ...found, gateway: address } : found;
  }
}

function sameWay(a: Resolution, b: Resolution): boolean {
  if (a.ifindex !== b.ifindex || a.gateway?.length !== b.gateway?.length) return false;
  return a.gateway === undefined || a.gateway.every((byte, i) => byte === b.gateway![i]);
}
