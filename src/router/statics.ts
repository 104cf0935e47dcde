// The operator's own routes: a prefix through a gateway, or to nowhere. They are paths of peer 0 in the rib like any
// route of ours, so that next-hop tracking says whether they hold, several gateways of one prefix share the load, and
// the gate writes them to the kernel. Neighbours are told of them with ourselves as next hop.

import { prefixText } from '../net/prefix.ts';
import { NEXT_HOP_DISCARD } from '../rib/next-hop-table.ts';
import type { StaticRoute } from './config.ts';
import { OWN_SCOPE } from './next-hops.ts';
import { type Offer, plainAttributes } from './origination.ts';
import type { Router } from './router.ts';

export class Statics {
  readonly #router: Router;
  #wanted: readonly StaticRoute[] = [];
  /** Next hops we hold a reference to. */
  #held: number[] = [];
  /** Whether a route names an interface, so that links matter. */
  #namesLinks = false;

  constructor(router: Router) {
    this.#router = router;
  }

  configure(routes: readonly StaticRoute[]): void {
    const before = this.#wanted;
    this.#wanted = routes;
    this.#namesLinks = routes.some(({ to }) => to.kind === 'gateway' && to.interface !== undefined);
    const keys = new Set(routes.map(({ prefix }) => prefixText(prefix)));
    for (const { prefix } of before)
      if (!keys.has(prefixText(prefix))) this.#router.origination.remove(prefix, 'route');
    this.#offerAll();
  }

  /** Links have come or gone, or have other names. */
  linksChanged(): void {
    if (this.#namesLinks) this.#offerAll();
  }

  #offerAll(): void {
    const { origination, nextHopTable } = this.#router;
    const released = this.#held;
    this.#held = [];
    const byPrefix = new Map<string, StaticRoute[]>();
    for (const route of this.#wanted) {
      const key = prefixText(route.prefix);
      const alike = byPrefix.get(key);
      if (alike === undefined) byPrefix.set(key, [route]);
      else alike.push(route);
    }
    for (const routes of byPrefix.values()) {
      const nextHops = routes.flatMap((route) => this.#nextHopOf(route) ?? []);
      const { prefix, policy, tag } = routes[0]!;
      if (nextHops.length === 0) {
        origination.remove(prefix, 'route');
        continue;
      }
      const offer: Offer = { attributes: plainAttributes('incomplete'), nextHops };
      if (policy !== undefined) offer.policy = policy;
      if (tag !== undefined) offer.tag = tag;
      origination.add(prefix, 'route', offer);
    }
    for (const id of released) nextHopTable.release(id);
  }

  /** Undefined while the interface is not there. */
  #nextHopOf({ to }: StaticRoute): number | undefined {
    if (to.kind === 'blackhole') return NEXT_HOP_DISCARD;
    const { address, interface: name } = to;
    const link = name === undefined ? undefined : this.#router.directory.linkNamed(name);
    if (name !== undefined && link === undefined) return undefined;
    const id = this.#router.nextHopTable.intern(address, 0, address.length, link?.ifindex ?? OWN_SCOPE);
    this.#held.push(id);
    return id;
  }
}
