// From a path as received to a path as accepted, or to the reason why not: loop checks (RFC 4271 9.1.2: our own
// AS in the AS_PATH; RFC 4456 8: ORIGINATOR_ID and CLUSTER_LIST), then the peer's import filter. Both forms of
// the path are kept by the RIB, so that a new filter needs no route refresh from the peer.

import { type AttributePool, CLUSTER_LOOP, ORIGINATOR_LOOP } from './attribute-pool.ts';
import { PEER_INTERNAL, PEER_LOCAL, type PeerTable } from './peer-table.ts';
import { AS_LOOP, CLUSTER_LOOPED, ORIGINATOR_LOOPED, POLICY } from './reason.ts';
import {
  askAbout,
  emptyQuery,
  emptyVerdict,
  type RouteFilter,
  resetVerdict,
  VerdictCache,
} from './route-filter.ts';

/** The `extra` of a cache entry: weight, and this where the filter sets none. */
const NO_WEIGHT = 0xffff;

interface ImportSlot {
  filter: RouteFilter;
  cache: VerdictCache;
}

export class ImportStage {
  /** Results of `run`: 0 or the reason for the rejection (reason.ts). */
  reason = 0;
  /** The accepted attributes with one reference that the caller gives back, or 0. */
  attrId = 0;
  weight = 0;
  nextHopId = 0;
  readonly query = emptyQuery();
  readonly #verdict = emptyVerdict();
  readonly #slots: (ImportSlot | undefined)[] = [];
  readonly #sharedCaches = new Map<RouteFilter, VerdictCache>();
  readonly #pool: AttributePool;
  readonly #peers: PeerTable;

  constructor(pool: AttributePool, peers: PeerTable) {
    this.#pool = pool;
    this.#peers = peers;
  }

  /** Sets the filter of a peer; undefined accepts everything unchanged. Stored paths are the RIB's matter. */
  setFilter(peer: number, filter: RouteFilter | undefined): void {
    this.#slots[peer] = undefined;
    if (filter !== undefined) {
      // Peers with one policy share what is known of it, unless it looks at the peer.
      const shared = filter.readsPeer ? undefined : this.#sharedCaches.get(filter);
      const cache = shared ?? new VerdictCache(this.#pool);
      if (!filter.readsPeer) this.#sharedCaches.set(filter, cache);
      this.#slots[peer] = { filter, cache };
    }
    for (const known of this.#sharedCaches.keys())
      if (!this.#slots.some((slot) => slot?.filter === known)) this.#sharedCaches.delete(known);
  }

  /** The filter of a peer, undefined for "accept all". */
  filterOf(peer: number): RouteFilter | undefined {
    return this.#slots[peer]?.filter;
  }

  /** Whether the peer's filter has to be asked for each prefix. */
  readsPrefix(peer: number): boolean {
    return this.#slots[peer]?.filter.readsPrefix === true;
  }

  /**
   * Runs a received path through; the results are in this object. For a filter that reads the prefix, the
   * caller has filled it into `query`.
   */
  run(peer: number, attrIdIn: number, nextHopIdIn: number): void {
    this.attrId = 0;
    this.weight = this.#peers.weight[peer]!;
    this.nextHopId = nextHopIdIn;
    this.reason = this.#loopReason(peer, attrIdIn);
    if (this.reason !== 0) return;
    const slot = this.#slots[peer];
    if (slot === undefined) {
      this.#pool.retain(attrIdIn);
      this.attrId = attrIdIn;
      return;
    }
    const { filter, cache } = slot;
    const cacheable = !filter.readsPrefix && !filter.readsNextHop;
    if (cacheable && cache.find(attrIdIn, 0)) {
      if (cache.extra !== NO_WEIGHT) this.weight = cache.extra;
      this.attrId = cache.attrId;
      if (this.attrId === 0) this.reason = POLICY;
      else this.#pool.retain(this.attrId);
      return;
    }
    this.#ask(filter, peer, attrIdIn, nextHopIdIn);
    const verdict = this.#verdict;
    if (!cacheable || verdict.nextHopId >= 0) return;
    cache.keep(attrIdIn, 0, this.attrId, verdict.weight < 0 ? NO_WEIGHT : this.weight);
  }

  #ask(filter: RouteFilter, peer: number, attrIdIn: number, nextHopIdIn: number): void {
    const { query } = this;
    const verdict = this.#verdict;
    askAbout(query, this.#pool, attrIdIn);
    query.peer = peer;
    query.nextHopId = nextHopIdIn;
    resetVerdict(verdict);
    filter.evaluate(query, verdict);
    if (!verdict.accept) {
      this.reason = POLICY;
      return;
    }
    if (verdict.weight >= 0) this.weight = Math.min(verdict.weight, NO_WEIGHT - 1);
    if (verdict.nextHopId >= 0) this.nextHopId = verdict.nextHopId;
    if (verdict.attrsChanged) {
      this.attrId = this.#pool.intern(verdict.attrs.bytes, 0, verdict.attrs.length);
      return;
    }
    this.#pool.retain(attrIdIn);
    this.attrId = attrIdIn;
  }

  #loopReason(peer: number, attrId: number): number {
    const kind = this.#peers.kind[peer]!;
    if (kind === PEER_LOCAL) return 0;
    if (this.#pool.localAsCount[attrId]! > this.#peers.allowAsIn[peer]!) return AS_LOOP;
    if (kind !== PEER_INTERNAL) return 0;
    const flags = this.#pool.flags[attrId]!;
    if ((flags & ORIGINATOR_LOOP) !== 0) return ORIGINATOR_LOOPED;
    return (flags & CLUSTER_LOOP) !== 0 ? CLUSTER_LOOPED : 0;
  }
}
