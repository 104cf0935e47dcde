// Route Target Constraint (RFC 4684): which VPN routes a peer wants, as its accepted RTC paths say. All its paths
// count, not only best ones (section 3.2). A membership is a prefix of origin AS and route target; only the part of
// the route target is held against routes: one of a route's targets has to be within one membership.
//
// `RouteTargetFilters` follows the RTC RIB prefix by prefix, so that one more membership costs one step, not a walk.

import { readU32 } from '../lib/bytes.ts';
import { valueEnd, valueStart } from '../wire/bgp/attribute/canonical.ts';
import { EXT_COMMUNITIES } from '../wire/bgp/attribute/table.ts';
import type { AttributePool } from './attribute-pool.ts';
import { LOCAL_PEER } from './peer-table.ts';
import type { Rib } from './rib.ts';

/** Sub-type of route targets, whatever the type (RFC 4360 section 4). */
const ROUTE_TARGET = 2;
const ORIGIN_BITS = 32;
const MAX_BITS = 96;

/** What one peer wants. */
export class RouteTargetFilter {
  /** How many memberships want everything. */
  #all = 0;
  /** Whole route targets: high word, then low word, to the number of memberships (one for each origin AS). */
  readonly #exact = new Map<number, Map<number, number>>();
  /**
   * Shorter ones, by their length: the words that stand before the rest, as text, to the number of memberships. A
   * route's target is looked up once a length, however many memberships a peer has of it.
   */
  readonly #partial = new Map<number, Map<string, number>>();

  /** Memberships counted. */
  size = 0;

  /** Adds (+1) or takes away (-1) the membership with this key (wire/bgp/nlri/rtc.ts). */
  change(key: Uint8Array, by: 1 | -1): void {
    this.size += by;
    const bits = key[0]! - ORIGIN_BITS;
    if (bits <= 0) {
      this.#all += by;
      return;
    }
    const target = new Uint8Array(8);
    target.set(key.subarray(5));
    const high = readU32(target, 0);
    const low = readU32(target, 4);
    if (key[0]! < MAX_BITS) {
      const partial = this.#partial.get(bits) ?? new Map<string, number>();
      const name = leading(high, low, bits);
      const count = (partial.get(name) ?? 0) + by;
      if (count === 0) partial.delete(name);
      else partial.set(name, count);
      if (partial.size === 0) this.#partial.delete(bits);
      else this.#partial.set(bits, partial);
      return;
    }
    const lows = this.#exact.get(high) ?? new Map<number, number>();
    const count = (lows.get(low) ?? 0) + by;
    if (count === 0) lows.delete(low);
    else lows.set(low, count);
    if (lows.size === 0) this.#exact.delete(high);
    else this.#exact.set(high, lows);
  }

  /** Whether a route with these attributes is wanted. */
  accepts(pool: AttributePool, attrId: number): boolean {
    if (this.#all > 0) return true;
    if (this.size === 0) return false;
    const page = pool.page(attrId);
    const end = pool.offset(attrId) + pool.length[attrId]!;
    for (let at = pool.offset(attrId); at < end; ) {
      const next = valueEnd(page, at);
      if (page[at + 1] === EXT_COMMUNITIES)
        for (let i = valueStart(page, at); i < next; i += 8)
          if (page[i + 1] === ROUTE_TARGET && this.#wants(readU32(page, i), readU32(page, i + 4)))
            return true;
      at = next;
    }
    return false;
  }

  #wants(high: number, low: number): boolean {
    if (this.#exact.get(high)?.has(low) === true) return true;
    for (const [bits, partial] of this.#partial) if (partial.has(leading(high, low, bits))) return true;
    return false;
  }
}

/** The first `bits` bits, 1 to 63, of a route target. */
function leading(high: number, low: number, bits: number): string {
  if (bits <= 32) return `${high >>> (32 - bits)}`;
  return `${high} ${low >>> (64 - bits)}`;
}

/** The filters of all peers, from the RTC RIB. */
export class RouteTargetFilters {
  readonly #rib: Rib;
  readonly #filters = new Map<number, RouteTargetFilter>();
  /** By prefix id: the key and the peers that had it when it was looked at last. */
  readonly #known = new Map<number, { key: Uint8Array; peers: number[] }>();
  readonly #changed = new Set<number>();

  /** `rib` is that of the family RTC; it reports all paths from now on. */
  constructor(rib: Rib) {
    this.#rib = rib;
    rib.watchPaths(true);
  }

  /** The filter of a peer: one object for as long as the peer's index means the peer. */
  of(peer: number): RouteTargetFilter {
    let filter = this.#filters.get(peer);
    if (filter === undefined) this.#filters.set(peer, (filter = new RouteTargetFilter()));
    return filter;
  }

  /** A prefix of the RTC RIB is in `changes`. */
  update(prefixId: number): void {
    const { paths, prefixes, decision } = this.#rib;
    const before = this.#known.get(prefixId);
    const peers: number[] = [];
    for (let path = prefixes.firstPath[prefixId]!; path !== 0; path = paths.next[path]!) {
      const peer = paths.peer[path]!;
      if (peer !== LOCAL_PEER && decision.isUsable(path) && !peers.includes(peer)) peers.push(peer);
    }
    if (before === undefined && peers.length === 0) return;
    const key = before?.key ?? this.#rib.keyBytes(prefixId);
    for (const peer of peers) if (before?.peers.includes(peer) !== true) this.#change(peer, key, 1);
    for (const peer of before?.peers ?? []) if (!peers.includes(peer)) this.#change(peer, key, -1);
    if (peers.length === 0) this.#known.delete(prefixId);
    else this.#known.set(prefixId, { key, peers });
  }

  /** Peers whose filters have changed since the last call: their groups have to `reconsider`. */
  takeChanged(): number[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  #change(peer: number, key: Uint8Array, by: 1 | -1): void {
    this.of(peer).change(key, by);
    this.#changed.add(peer);
  }
}
