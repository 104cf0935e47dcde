// Default routes for peers that get one from us whatever we have ourselves (`defaultOriginate`). They live in ribs
// of their own, one route each, so that all that groups, sessions and policies do with routes they do with these
// too. The rib of the family is then told to keep its own default route from such peers (filters.ts).

import { NEXT_HOP_SELF } from '../rib/next-hop-table.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import { Rib } from '../rib/rib.ts';
import { plainAttributes } from './origination.ts';
import type { Router } from './router.ts';

export class DefaultRoutes {
  readonly #router: Router;
  /** By family id, made when one is wanted. */
  readonly #ribs: (Rib | undefined)[] = [];

  constructor(router: Router) {
    this.#router = router;
  }

  /** The rib that holds nothing but the default route of a family (IPv4 or IPv6), decided. */
  ribOf(family: number): Rib {
    let rib = this.#ribs[family];
    if (rib !== undefined) return rib;
    const { pool, nextHopTable, peerTable, nextHopSets } = this.#router;
    rib = new Rib(family, pool, nextHopTable, peerTable, {}, nextHopSets);
    const attributes = plainAttributes('igp');
    const attrId = pool.intern(attributes, 0, attributes.length);
    rib.announceOne(LOCAL_PEER, 0, 0, 0, 0, 0, 0, attrId, NEXT_HOP_SELF);
    pool.release(attrId);
    rib.decide(1);
    this.#ribs[family] = rib;
    return rib;
  }
}
