// The routes of this machine itself, as far as they are not ours: what leads to next hops (resolver.ts), what
// `redistribute` announces, and which prefixes no neighbour may take from the machine.

import type { Prefix } from '../net/prefix.ts';
import type { Rib } from '../rib/rib.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { NearWays, wordsOf } from './near-ways.ts';
import { plainAttributes } from './origination.ts';
import type { KernelRoute } from './resolver.ts';
import type { Router } from './router.ts';

const sources = ['connected', 'static', 'kernel'] as const;

export class MachineRoutes {
  readonly #router: Router;
  readonly #near = new NearWays();
  #isNearStale = true;

  constructor(router: Router) {
    this.#router = router;
  }

  added(route: KernelRoute): void {
    this.#router.resolver.add(route);
    this.#changed(route);
  }

  removed(route: KernelRoute): void {
    this.#router.resolver.remove(route);
    this.#changed(route);
  }

  /** The wishes of `redistribute` have changed. */
  redistributeAll(): void {
    for (const route of this.#router.resolver.all()) this.#redistribute(route);
  }

  /** Neighbours, or what we announce, have been configured anew. */
  reconsiderNear(): void {
    this.#isNearStale = true;
  }

  /** Follows what is next to us, if that may have changed. */
  follow(): void {
    if (!this.#isNearStale) return;
    this.#isNearStale = false;
    const { config, resolver } = this.#router;
    for (const prefix of this.#near.follow(config, resolver)) this.#reconsider(prefix);
  }

  /** Whether the machine has a route of its own for exactly this prefix, or it leads past what is next to us. */
  isOutranked(rib: Rib, id: number): boolean {
    const { words, address, length } = rib.table;
    const at = id * words;
    const four = words === 1;
    const b = four ? 0 : address[at + 1]!;
    const c = four ? 0 : address[at + 2]!;
    const d = four ? 0 : address[at + 3]!;
    const bits = length[id]!;
    return (
      this.#router.resolver.outranks(four, address[at]!, b, c, d, bits) ||
      this.#near.has(four, address[at]!, b, c, d, bits)
    );
  }

  /** Whether a prefix leads past what is next to us: it resolves no next hop. */
  leadsPast(bytes: Uint8Array, length: number): boolean {
    const [a, b, c, d] = wordsOf(bytes);
    return this.#near.has(bytes.length === 4, a, b, c, d, length);
  }

  #changed(route: KernelRoute): void {
    this.#redistribute(route);
    if (route.source === 'connected') this.#isNearStale = true;
    this.#reconsider(route);
    this.#router.wake();
  }

  #reconsider({ bytes, length }: Prefix): void {
    const four = bytes.length === 4;
    const family = four ? IPV4 : IPV6;
    const [a, b, c, d] = wordsOf(bytes);
    this.#router.nextHops.routeChanged(four, a, b, c, d, length);
    const id = this.#router.ribs[family]!.find(a, b, c, d, length);
    if (id >= 0) this.#router.gates[family]?.reconsider(id);
  }

  #redistribute(route: KernelRoute): void {
    const { config, resolver, origination } = this.#router;
    const prefix = { bytes: route.bytes, length: route.length };
    const present = resolver.routesOf(route.bytes, route.length);
    for (const source of sources) {
      const rule = config.redistribute[source];
      const best = rule && present.find((other) => other.source === source);
      if (best === undefined) {
        origination.remove(prefix, source);
        continue;
      }
      // The kernel's metric says how good the way behind us is (RFC 4271, 5.1.4).
      const attributes = plainAttributes('incomplete', source === 'connected' ? 0 : best.metric);
      const { policy } = rule!;
      origination.add(prefix, source, policy === undefined ? { attributes } : { attributes, policy });
    }
  }
}
