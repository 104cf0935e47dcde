// The routes of this machine itself, as far as they are not ours: what leads to next hops (resolver.ts), what
// `redistribute` announces, and which prefixes no neighbour may take from the machine.

import { readU32 } from '../lib/bytes.ts';
import type { Rib } from '../rib/rib.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { plainAttributes } from './origination.ts';
import type { KernelRoute } from './resolver.ts';
import type { Router } from './router.ts';

const sources = ['connected', 'static', 'kernel'] as const;

export class MachineRoutes {
  readonly #router: Router;

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

  /** Whether the machine has a route of its own for exactly this prefix. */
  isOutranked(rib: Rib, id: number): boolean {
    const { words, address, length } = rib.table;
    const at = id * words;
    const four = words === 1;
    const [b, c, d] = four ? [0, 0, 0] : [address[at + 1]!, address[at + 2]!, address[at + 3]!];
    return this.#router.resolver.outranks(four, address[at]!, b, c, d, length[id]!);
  }

  #changed(route: KernelRoute): void {
    this.#redistribute(route);
    const { bytes, length } = route;
    const four = bytes.length === 4;
    const family = four ? IPV4 : IPV6;
    const a = readU32(bytes, 0);
    const [b, c, d] = four ? [0, 0, 0] : [readU32(bytes, 4), readU32(bytes, 8), readU32(bytes, 12)];
    this.#router.nextHops.routeChanged(four, a, b, c, d, length);
    const id = this.#router.ribs[family]!.find(a, b, c, d, length);
    if (id >= 0) this.#router.gates[family]?.reconsider(id);
    this.#router.wake();
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
