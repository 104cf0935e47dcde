// From a path as received to a path as accepted, or to the reason why not: loop checks (RFC 4271 9.1.2: our own
// AS in the AS_PATH; RFC 4456 8: ORIGINATOR_ID and CLUSTER_LIST; RFC 5065 4: our member AS), AS_SETs (RFC 9774),
// roles (RFC 9234 5), move sequences that are not believed, then the peer's import filter, and behind it what no
// policy lifts: draining neighbours (RFC 8326), long-lived staleness (RFC 9494), black holes (RFC 7999). Both forms of
// the path are kept by the RIB, so that a new filter needs no route refresh from the peer.
//
// What concerns few paths is behind one test of the peer's steps and of the attributes' flags.

import { SET_LENGTH_MAX } from '../wire/bgp/attribute/canonical.ts';
import {
  type AttributePool,
  BLACKHOLE,
  CLUSTER_LOOP,
  GRACEFUL_SHUTDOWN,
  HAS_AS_SET,
  LLGR_STALE,
  MOVE_FRESH,
  MOVE_SETTLED,
  NO_LLGR,
  ORIGINATOR_LOOP,
} from './attribute-pool.ts';
import { ImportEdits, isLeak, isLocalAsLoop } from './import-edits.ts';
import { NEXT_HOP_DISCARD } from './next-hop-table.ts';
import { PEER_INTERNAL, PEER_LOCAL, type PeerTable } from './peer-table.ts';
import {
  AS_LOOP,
  AS_SET_REFUSED,
  CLUSTER_LOOPED,
  CONFEDERATION_LOOP,
  NO_LONG_LIVED,
  ORIGINATOR_LOOPED,
  POLICY,
  ROUTE_LEAK,
} from './reason.ts';
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
  readonly #edits: ImportEdits;
  /** RFC 9234 is about unicast routes only. */
  readonly #hasRoles: boolean;
  /** Length of a host route; 0 where the NLRI is more than a prefix. */
  readonly #hostLength: number;

  constructor(pool: AttributePool, peers: PeerTable, hostLength: number) {
    this.#pool = pool;
    this.#peers = peers;
    this.#edits = new ImportEdits(pool);
    this.#hostLength = hostLength;
    this.#hasRoles = hostLength > 0;
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

  /** Whether these attributes from this peer have to be run through for each prefix. */
  readsPrefix(peer: number, attrIdIn: number): boolean {
    if ((this.#pool.flags[attrIdIn]! & this.#peers.prefixMask[peer]!) !== 0) return true;
    return this.#slots[peer]?.filter.readsPrefix === true;
  }

  /**
   * Runs a received path through; the results are in this object. Where `readsPrefix`, the caller has filled the
   * prefix into `query`. `longLived`: its session is gone for so long that RFC 9494 counts.
   */
  run(peer: number, attrIdIn: number, nextHopIdIn: number, longLived = false): void {
    this.attrId = 0;
    this.weight = this.#peers.weight[peer]!;
    this.nextHopId = nextHopIdIn;
    this.reason = this.#loopReason(peer, attrIdIn);
    if (this.reason !== 0) return;
    this.query.attrIdIn = attrIdIn;
    const marked = (this.#pool.flags[attrIdIn]! & this.#peers.attrMask[peer]!) !== 0;
    if (marked || longLived || this.#peers.steps[peer] !== 0)
      this.#runWithSteps(peer, attrIdIn, nextHopIdIn, longLived);
    else this.#runPolicy(peer, attrIdIn, nextHopIdIn);
  }

  #runWithSteps(peer: number, attrIdIn: number, nextHopIdIn: number, longLived: boolean): void {
    const pool = this.#pool;
    const peers = this.#peers;
    const marks = pool.flags[attrIdIn]! & peers.attrMask[peer]!;
    if ((marks & HAS_AS_SET) !== 0) this.reason = AS_SET_REFUSED;
    else if (this.#hasRoles && isLeak(pool, peers, peer, attrIdIn)) this.reason = ROUTE_LEAK;
    else if (isLocalAsLoop(pool, peers, peer, attrIdIn)) this.reason = AS_LOOP;
    else if (longLived && (pool.flags[attrIdIn]! & NO_LLGR) !== 0) this.reason = NO_LONG_LIVED;
    if (this.reason !== 0) return;
    let before = this.#edits.before(peers, peer, attrIdIn, this.#hasRoles);
    if ((marks & (MOVE_SETTLED | MOVE_FRESH)) !== 0) before = this.#edits.withoutMoves(before);
    this.#runPolicy(peer, before, nextHopIdIn);
    pool.release(before);
    if (this.attrId === 0) return;
    if ((marks & GRACEFUL_SHUTDOWN) !== 0) this.attrId = this.#edits.drained(this.attrId);
    if (longLived && (pool.flags[this.attrId]! & LLGR_STALE) === 0)
      this.attrId = this.#edits.longLived(this.attrId);
    if ((marks & BLACKHOLE) === 0 || this.query.prefixLength !== this.#hostLength) return;
    this.attrId = this.#edits.keptHere(this.attrId);
    this.nextHopId = NEXT_HOP_DISCARD;
  }

  #runPolicy(peer: number, attrIdIn: number, nextHopIdIn: number): void {
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
      this.reason = verdict.reason === 0 ? POLICY : verdict.reason;
      return;
    }
    if (verdict.weight >= 0) this.weight = Math.min(verdict.weight, NO_WEIGHT - 1);
    if (verdict.nextHopId >= 0) this.nextHopId = verdict.nextHopId;
    if (verdict.attrsChanged) {
      // What policy wanted of the route cannot be had: better none than one without it.
      if (verdict.attrs.length > Math.max(SET_LENGTH_MAX, this.#pool.length[attrIdIn]!)) {
        this.reason = POLICY;
        return;
      }
      this.attrId = this.#pool.intern(verdict.attrs.bytes, 0, verdict.attrs.length);
      return;
    }
    this.#pool.retain(attrIdIn);
    this.attrId = attrIdIn;
  }

  #loopReason(peer: number, attrId: number): number {
    const kind = this.#peers.kind[peer]!;
    if (kind === PEER_LOCAL) return 0;
    const allowed = this.#peers.allowAsIn[peer]!;
    if (this.#pool.localAsCount[attrId]! > allowed) return AS_LOOP;
    if (this.#pool.memberAsCount[attrId]! > allowed) return CONFEDERATION_LOOP;
    if (kind !== PEER_INTERNAL) return 0;
    const flags = this.#pool.flags[attrId]!;
    if ((flags & ORIGINATOR_LOOP) !== 0) return ORIGINATOR_LOOPED;
    return (flags & CLUSTER_LOOP) !== 0 ? CLUSTER_LOOPED : 0;
  }
}
