// Route Target Constraint as a whole (RFC 4684): which peers are told of VPN routes by what they want, what they
// want as it changes, and that we want everything where the operator says so: we have no VPN of our own that would
// know.

import { NEXT_HOP_SELF } from '../rib/next-hop-table.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import type { Rib } from '../rib/rib.ts';
import { type RouteTargetFilter, RouteTargetFilters } from '../rib/route-target-filter.ts';
import type { Negotiated } from '../session/negotiate.ts';
import { EVPN, FLOWSPEC_VPN4, FLOWSPEC_VPN6, familyMask, RTC, VPNV4, VPNV6 } from '../wire/bgp/family.ts';
import { plainAttributes } from './origination.ts';
import type { Peer } from './peer.ts';
import type { Router } from './router.ts';

const constrained = familyMask([VPNV4, VPNV6, EVPN, FLOWSPEC_VPN4, FLOWSPEC_VPN6]);
/** The membership of length 0: every route target (RFC 4684 section 4). */
const everything = new Uint8Array([0]);

export class RouteTargets {
  readonly #router: Router;
  readonly #filters: RouteTargetFilters;
  #wantsAll = false;

  constructor(router: Router) {
    this.#router = router;
    this.#filters = new RouteTargetFilters(router.ribs[RTC]!);
  }

  /** Announces that we want every VPN route, or no longer. */
  configure(wantsAll: boolean): void {
    if (wantsAll === this.#wantsAll) return;
    this.#wantsAll = wantsAll;
    const rib = this.#router.ribs[RTC]!;
    if (!wantsAll) {
      rib.withdrawNlri(LOCAL_PEER, everything, 0);
      return;
    }
    const { pool } = this.#router;
    const attributes = plainAttributes('igp');
    const attrId = pool.intern(attributes, 0, attributes.length);
    rib.announceNlri(LOCAL_PEER, everything, new Uint8Array(0), 0, attrId, NEXT_HOP_SELF);
    pool.release(attrId);
  }

  /** What holds a peer's routes of a family back; undefined where nothing does. */
  filterFor(peer: Peer, negotiated: Negotiated, family: number): RouteTargetFilter | undefined {
    if ((constrained & (1 << family)) === 0 || (negotiated.families & (1 << RTC)) === 0) return undefined;
    return this.#filters.of(peer.index);
  }

  /** What `Rib.decide` has just changed. */
  take(rib: Rib): void {
    if (rib.family !== RTC) return;
    const { changes } = rib;
    if (changes.count === 0) return;
    for (let i = 0; i < changes.count; i++) this.#filters.update(changes.ids[i]!);
    for (const index of this.#filters.takeChanged()) {
      const peer = this.#router.directory.byIndex[index];
      if (peer !== undefined) this.#router.advertiser.targetsChanged(peer);
    }
  }
}
