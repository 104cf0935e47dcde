// The seam to policy: what a filter is asked and what it answers, in import and in export. The router makes
// filters out of compiled policies; this room only calls them, and calls them rarely: a filter says what it
// reads, and its verdict is kept by attrId where that is all it read. Query and verdict are reused records.

import { ByteWriter } from '../lib/bytes.ts';
import type { AttributePool } from './attribute-pool.ts';
import { grownCapacity, growU8, growU16, growU32 } from './columns.ts';
import type { Prefixes } from './prefixes.ts';

export interface RouteQuery {
  /** Import: the peer that sent the path. Export: the peer the best path came from. Peer table index. */
  peer: number;
  /** Prefix id of the RIB; only filled, as all that follows, for filters that read the prefix. */
  prefixId: number;
  /** What the NLRI carries beside its key (nlri-data.ts), 0 for nothing. */
  nlriDataId: number;
  /** The prefix, most significant word first (IPv4 in `a`). */
  a: number;
  b: number;
  c: number;
  d: number;
  /** -1 where the NLRI is more than a prefix: `prefixId` leads to its key. */
  prefixLength: number;
  /** Canonical attributes in bytes[start, end); not to be kept. */
  bytes: Uint8Array;
  start: number;
  end: number;
  attrId: number;
  /** Import: the attributes as the peer sent them; `attrId` has our other AS before the path, say. */
  attrIdIn: number;
  nextHopId: number;
}

export interface RouteVerdict {
  accept: boolean;
  /** Import: why not, where it is not the policy; a code of reason.ts, or 0. */
  reason: number;
  /** Whether `attrs` holds other canonical attributes than the query's. */
  attrsChanged: boolean;
  attrs: ByteWriter;
  /** The weight that import sets, or -1. */
  weight: number;
  /**
   * The next hop the policy sets, or NEXT_HOP_UNCHANGED for "as the rules say"; on export also 0 for ourselves
   * and NEXT_HOP_KEEP for "as received, even where the rules would put ourselves". An id is borrowed: whoever
   * made the filter holds the reference.
   */
  nextHopId: number;
  /** The policy has set the MED: export to an external peer keeps it. */
  medSet: boolean;
}

export const NEXT_HOP_UNCHANGED = -1;
export const NEXT_HOP_KEEP = -2;

export interface RouteFilter {
  /** The verdict depends on the prefix: it is asked per prefix. */
  readonly readsPrefix: boolean;
  /** The verdict depends on the next hop. */
  readonly readsNextHop: boolean;
  /** The verdict depends on which peer the route came from. */
  readonly readsPeer: boolean;
  /** Fills the verdict, which has been reset to "accept, unchanged". */
  evaluate(query: RouteQuery, verdict: RouteVerdict): void;
}

export function emptyQuery(): RouteQuery {
  return {
    peer: 0,
    prefixId: 0,
    nlriDataId: 0,
    a: 0,
    b: 0,
    c: 0,
    d: 0,
    prefixLength: 0,
    bytes: new Uint8Array(0),
    start: 0,
    end: 0,
    attrId: 0,
    attrIdIn: 0,
    nextHopId: 0,
  };
}

export function emptyVerdict(): RouteVerdict {
  return {
    accept: true,
    reason: 0,
    attrsChanged: false,
    attrs: new ByteWriter(512),
    weight: -1,
    nextHopId: NEXT_HOP_UNCHANGED,
    medSet: false,
  };
}

/** Makes the verdict "accept, unchanged" again. */
export function resetVerdict(verdict: RouteVerdict): void {
  verdict.accept = true;
  verdict.reason = 0;
  verdict.attrsChanged = false;
  verdict.attrs.length = 0;
  verdict.weight = -1;
  verdict.nextHopId = NEXT_HOP_UNCHANGED;
  verdict.medSet = false;
}

/** Fills the part of the query that is about attributes. */
export function askAbout(query: RouteQuery, pool: AttributePool, attrId: number): void {
  query.attrId = attrId;
  query.bytes = pool.page(attrId);
  query.start = pool.offset(attrId);
  query.end = query.start + pool.length[attrId]!;
}

/** Fills the part of the query that is about the prefix. */
export function askAboutPrefix(query: RouteQuery, prefixes: Prefixes, id: number, nlriDataId = 0): void {
  query.prefixId = id;
  query.nlriDataId = nlriDataId;
  if (prefixes.keys !== undefined) {
    query.prefixLength = -1;
    return;
  }
  const { address, words, length } = prefixes.table;
  query.prefixLength = length[id]!;
  query.a = address[id * words]!;
  if (words === 1) return;
  query.b = address[id * 4 + 1]!;
  query.c = address[id * 4 + 2]!;
  query.d = address[id * 4 + 3]!;
}

/**
 * Results by attrId, without references: births tell whether both ids still mean what they meant, so a cache
 * keeps nothing alive. Cost: 19 B a distinct attribute set a cache, nothing a route.
 */
export class VerdictCache {
  /** The entry that `find` found: the resulting attrId, 0 for "rejected". */
  attrId = 0;
  /** A number kept beside it: the weight (import). */
  extra = 0;
  #birthIn = new Uint32Array(64);
  #variant = new Uint32Array(64);
  #result = new Uint32Array(64);
  #birthOut = new Uint32Array(64);
  #extra = new Uint16Array(64);
  #known = new Uint8Array(64);
  readonly #pool: AttributePool;

  constructor(pool: AttributePool) {
    this.#pool = pool;
  }

  /**
   * Whether the result for the set is known. `variant` is whatever else the result depends on; only the last
   * variant of a set is kept.
   */
  find(attrId: number, variant: number): boolean {
    if (attrId >= this.#birthIn.length || this.#known[attrId] === 0) return false;
    if (this.#birthIn[attrId] !== this.#pool.birth[attrId] || this.#variant[attrId] !== variant) return false;
    const result = this.#result[attrId]!;
    if (result !== 0 && !this.#pool.isBorn(result, this.#birthOut[attrId]!)) return false;
    this.attrId = result;
    this.extra = this.#extra[attrId]!;
    return true;
  }

  keep(attrId: number, variant: number, result: number, extra: number): void {
    if (attrId >= this.#birthIn.length) {
      const capacity = grownCapacity(this.#birthIn.length, attrId + 1);
      this.#birthIn = growU32(this.#birthIn, capacity);
      this.#variant = growU32(this.#variant, capacity);
      this.#result = growU32(this.#result, capacity);
      this.#birthOut = growU32(this.#birthOut, capacity);
      this.#extra = growU16(this.#extra, capacity);
      this.#known = growU8(this.#known, capacity);
    }
    this.#birthIn[attrId] = this.#pool.birth[attrId]!;
    this.#variant[attrId] = variant;
    this.#result[attrId] = result;
    this.#birthOut[attrId] = result === 0 ? 0 : this.#pool.birth[result]!;
    this.#extra[attrId] = extra;
    this.#known[attrId] = 1;
  }

  /** Forgets everything: the filter, or what it is about, has changed. */
  clear(): void {
    this.#known.fill(0);
  }
}
