// The decision process. RFC 4271 9.1.2 says, for the paths of one prefix:
//   - leave out what cannot be used: next hop unreachable, our own AS in the path (9.1.2);
//   - highest degree of preference (LOCAL_PREF), then 9.1.2.2:
//     a) shortest AS_PATH, a set counting one          b) lowest ORIGIN
//     c) lowest MED among paths from one neighbour AS   d) external over internal
//     e) lowest interior cost of the next hop           f) lowest BGP identifier     g) lowest peer address
//   RFC 4456 9: ORIGINATOR_ID stands for the identifier in f; then the shorter CLUSTER_LIST, then g.
//   RFC 9494 4.3: LLGR_STALE loses before all else. RFC 5065: a path from another member AS counts as internal.
//
// Ours: weight, then the higher move sequence of a guest's route (docs/decisions/0017-move-sequence.md; none is 0),
// both before LOCAL_PREF, and a path of our own before any AS_PATH; multipath takes all that are equal through e (up
// to `multipath` next hops, with the same AS_PATH unless `multipathRelax`, and with a CLUSTER_LIST as long as the
// best one's: a reflector that puts itself as next hop is a hop, and a detour through it may lead back here); after
// g the ADD-PATH identifier. Each step removes paths from the whole set, as the RFC words it, so step c cannot
// depend on the order of arrival ("deterministic MED"); there is no preference for the older path. A missing MED is
// 0 unless `missingMedWorst`. Next hops that share the load have weights after their link bandwidths where
// `linkBandwidth` and all have one (draft-ietf-idr-link-bandwidth).
//
// What leads to a new decision: a path announced, withdrawn, dropped or swept; a next hop that changed; an
// import policy or an option that changed. `choose` is the fast form; `rankFirst` and `rankNext` give the best, the
// second best and so on, for ADD-PATH; `explain` walks step by step and gives every path its reason. They are written
// apart on purpose: `Rib.verify` holds one against the other.

import { type AttributePool, HAS_MED, LLGR_STALE } from './attribute-pool.ts';
import { growU32 } from './columns.ts';
import { SET_MEMBERS_MAX } from './next-hop-sets.ts';
import type { NextHopTable } from './next-hop-table.ts';
import { PATH_RANKED, type PathTable } from './path-table.ts';
import type { PeerRoutes } from './peer-routes.ts';
import { PEER_EXTERNAL, PEER_LOCAL, type PeerTable } from './peer-table.ts';
import * as reason from './reason.ts';

export interface DecisionOptions {
  /** Next hops that share the load, 1..64. */
  multipath: number;
  /** AS paths of multipath members may differ in content, not in length. */
  multipathRelax: boolean;
  /** Compare MED between different neighbour ASes too. */
  alwaysCompareMed: boolean;
  /** A path without MED is worse than any with one. */
  missingMedWorst: boolean;
  /** Next hops get weights after the link bandwidth communities of their paths. */
  linkBandwidth: boolean;
}

export const defaultDecisionOptions: DecisionOptions = {
  multipath: 16,
  multipathRelax: false,
  alwaysCompareMed: false,
  missingMedWorst: false,
  linkBandwidth: false,
};

/** The sum of the weights of unequal next hops, about. */
const WEIGHT_TOTAL = 100;

/** MEDs of up to so many paths are compared pair by pair. */
const MED_PAIRS_MAX = 8;

export class Decision {
  options: DecisionOptions;
  /** Results of `choose`: the best path or 0, and the sorted next hops to forward to. */
  best = 0;
  readonly nextHops = new Uint32Array(SET_MEMBERS_MAX);
  nextHopCount = 0;
  /** Weights of the next hops, 1..255, where they are unequal; else undefined. */
  weights: Uint8Array | undefined = undefined;
  readonly #bandwidths = new Float64Array(SET_MEMBERS_MAX);
  readonly #weights = new Uint8Array(SET_MEMBERS_MAX);
  #candidates = new Uint32Array(64);
  /** By neighbour AS, while MEDs of many paths are compared. */
  readonly #lowestMed = new Map<number, number>();
  #count = 0;
  readonly #paths: PathTable;
  readonly #pool: AttributePool;
  readonly #hops: NextHopTable;
  readonly #peers: PeerTable;
  readonly #perPeer: PeerRoutes;
  /** A path needs a next hop that can be reached. */
  readonly #needsNextHop: boolean;

  constructor(
    paths: PathTable,
    pool: AttributePool,
    hops: NextHopTable,
    peers: PeerTable,
    perPeer: PeerRoutes,
    options: DecisionOptions,
    needsNextHop = true,
  ) {
    this.#paths = paths;
    this.#pool = pool;
    this.#hops = hops;
    this.#peers = peers;
    this.#perPeer = perPeer;
    this.options = options;
    this.#needsNextHop = needsNextHop;
  }

  /** Chooses among the list that begins with `first`; the results are in `best` and `nextHops`. */
  choose(first: number): void {
    const { next, nextHopId } = this.#paths;
    this.weights = undefined;
    // Most prefixes have one path: there is nothing to compare.
    if (first !== 0 && next[first] === 0) {
      const usable = this.isUsable(first);
      this.best = usable ? first : 0;
      this.nextHopCount = usable ? 1 : 0;
      this.nextHops[0] = nextHopId[first]!;
      return;
    }
    this.#count = 0;
    for (let path = first; path !== 0; path = next[path]!) if (this.isUsable(path)) this.#offer(path);
    if (this.#count > 1) this.#narrow();
    this.#selectMembers();
  }

  /** Whether the path takes part: accepted, with a next hop that can be reached, of a session that counts. */
  isUsable(path: number): boolean {
    const paths = this.#paths;
    if (paths.reason[path] !== 0) return false;
    if (this.#hops.reachable[paths.nextHopId[path]!] === 0 && this.#needsNextHop) return false;
    return this.#perPeer.isLive(path);
  }

  /**
   * The best of the list that begins with `first`, or 0. `rankNext` gives the second best of all and so on; nothing
   * else of the prefix may change or be ranked in between.
   */
  rankFirst(first: number): number {
    for (let path = first; path !== 0; path = this.#paths.next[path]!)
      this.#paths.flags[path]! &= ~PATH_RANKED;
    return this.rankNext(first);
  }

  /** The best of those that have not been given since `rankFirst`, or 0. */
  rankNext(first: number): number {
    const { next, flags } = this.#paths;
    this.#count = 0;
    for (let path = first; path !== 0; path = next[path]!)
      if ((flags[path]! & PATH_RANKED) === 0 && this.isUsable(path)) this.#offer(path);
    if (this.#count === 0) return 0;
    if (this.#count > 1) this.#narrow();
    const best = this.#bestCandidate();
    flags[best]! |= PATH_RANKED;
    return best;
  }

  /** Takes the path among the candidates unless it is worse than they are through ORIGIN. */
  #offer(path: number): void {
    const order = this.#count === 0 ? 1 : this.#compareThroughOrigin(path, this.#candidates[0]!);
    if (order < 0) return;
    if (order > 0) this.#count = 0;
    if (this.#count === this.#candidates.length)
      this.#candidates = growU32(this.#candidates, this.#count * 2);
    this.#candidates[this.#count++] = path;
  }

  /** Steps c to e. */
  #narrow(): void {
    this.#keepLowestMed();
    this.#keepExternal();
    this.#keepNearest();
  }

  /** Steps weight to ORIGIN: positive where `a` is better, 0 where they are equal. */
  #compareThroughOrigin(a: number, b: number): number {
    const paths = this.#paths;
    const pool = this.#pool;
    if (pool.staleSets !== 0) {
      const stale = pool.flags[paths.attrId[a]!]! ^ pool.flags[paths.attrId[b]!]!;
      if ((stale & LLGR_STALE) !== 0) return (pool.flags[paths.attrId[a]!]! & LLGR_STALE) !== 0 ? -1 : 1;
    }
    const weight = paths.weight[a]! - paths.weight[b]!;
    if (weight !== 0) return weight;
    const attrA = paths.attrId[a]!;
    const attrB = paths.attrId[b]!;
    if (pool.movedSets !== 0) {
      const moves = pool.moveSequence[attrA]! - pool.moveSequence[attrB]!;
      if (moves !== 0) return moves;
    }
    const preference = pool.localPref[attrA]! - pool.localPref[attrB]!;
    if (preference !== 0) return preference;
    const localA = this.#peers.kind[paths.peer[a]!] === PEER_LOCAL ? 1 : 0;
    const localB = this.#peers.kind[paths.peer[b]!] === PEER_LOCAL ? 1 : 0;
    if (localA !== localB) return localA - localB;
    if (attrA === attrB) return 0;
    const length = pool.asPathLength[attrB]! - pool.asPathLength[attrA]!;
    return length !== 0 ? length : pool.origin[attrB]! - pool.origin[attrA]!;
  }

  /** Step c: a path goes when another from its neighbour AS has a lower MED. */
  #keepLowestMed(): void {
    const { firstAs } = this.#pool;
    const attrId = this.#paths.attrId;
    const candidates = this.#candidates;
    const count = this.#count;
    let differ = false;
    const first = this.#medOf(attrId[candidates[0]!]!);
    for (let i = 1; i < count && !differ; i++) differ = this.#medOf(attrId[candidates[i]!]!) !== first;
    if (!differ) return;
    const always = this.options.alwaysCompareMed;
    if (count > MED_PAIRS_MAX) {
      this.#keepLowestMedOfMany(always);
      return;
    }
    // Paths that stay are moved to the front; one that goes has been beaten by one that stays, so comparing
    // with those that stay and those not yet looked at is enough.
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const path = candidates[i]!;
      const attr = attrId[path]!;
      let beaten = false;
      for (let j = 0; j < count && !beaten; j++) {
        if (j >= kept && j <= i) continue;
        const other = attrId[candidates[j]!]!;
        beaten = this.#medOf(other) < this.#medOf(attr) && (always || firstAs[other] === firstAs[attr]);
      }
      if (!beaten) candidates[kept++] = path;
    }
    this.#count = kept;
  }

  /** The same, with a note of the lowest of each neighbour AS: pairs of many would cost too much. */
  #keepLowestMedOfMany(always: boolean): void {
    const { firstAs } = this.#pool;
    const attrId = this.#paths.attrId;
    const candidates = this.#candidates;
    const lowest = this.#lowestMed;
    for (let i = 0; i < this.#count; i++) {
      const attr = attrId[candidates[i]!]!;
      const group = always ? 0 : firstAs[attr]!;
      const known = lowest.get(group);
      if (known === undefined || this.#medOf(attr) < known) lowest.set(group, this.#medOf(attr));
    }
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      const attr = attrId[candidates[i]!]!;
      if (this.#medOf(attr) === lowest.get(always ? 0 : firstAs[attr]!)) candidates[kept++] = candidates[i]!;
    }
    this.#count = kept;
    lowest.clear();
  }

  #medOf(attrId: number): number {
    const missing = this.options.missingMedWorst && (this.#pool.flags[attrId]! & HAS_MED) === 0;
    // One more than the greatest MED there is.
    return missing ? 0x1_0000_0000 : this.#pool.med[attrId]!;
  }

  /** Step d. */
  #keepExternal(): void {
    const kind = this.#peers.kind;
    const peer = this.#paths.peer;
    const candidates = this.#candidates;
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      if (kind[peer[candidates[i]!]!] === PEER_EXTERNAL) candidates[kept++] = candidates[i]!;
    }
    if (kept > 0) this.#count = kept;
  }

  /** Step e. */
  #keepNearest(): void {
    const metric = this.#hops.metric;
    const nextHopId = this.#paths.nextHopId;
    const candidates = this.#candidates;
    let lowest = metric[nextHopId[candidates[0]!]!]!;
    for (let i = 1; i < this.#count; i++) lowest = Math.min(lowest, metric[nextHopId[candidates[i]!]!]!);
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      if (metric[nextHopId[candidates[i]!]!] === lowest) candidates[kept++] = candidates[i]!;
    }
    this.#count = kept;
  }

  /** Steps f, g and ours: negative where `a` is better; never 0 for two paths. */
  #compareTies(a: number, b: number): number {
    const paths = this.#paths;
    const attrA = paths.attrId[a]!;
    const attrB = paths.attrId[b]!;
    const peerA = paths.peer[a]!;
    const peerB = paths.peer[b]!;
    const idA = this.#pool.originatorId[attrA]! || this.#peers.bgpId[peerA]!;
    const idB = this.#pool.originatorId[attrB]! || this.#peers.bgpId[peerB]!;
    if (idA !== idB) return idA - idB;
    const clusters = this.#pool.clusterListLength[attrA]! - this.#pool.clusterListLength[attrB]!;
    if (clusters !== 0) return clusters;
    if (peerA !== peerB) return this.#peers.compareAddress(peerA, peerB);
    return paths.pathIdOf(a) - paths.pathIdOf(b);
  }

  #bestCandidate(): number {
    const candidates = this.#candidates;
    let best = candidates[0]!;
    for (let i = 1; i < this.#count; i++)
      if (this.#compareTies(candidates[i]!, best) < 0) best = candidates[i]!;
    return best;
  }

  /** From the candidates that are equal through step e: the best one, and the next hops that share the load. */
  #selectMembers(): void {
    const candidates = this.#candidates;
    const count = this.#count;
    this.nextHopCount = 0;
    this.best = 0;
    if (count === 0) return;
    const best = this.#bestCandidate();
    this.best = best;
    this.#addNextHop(best);
    const limit = Math.min(this.options.multipath, SET_MEMBERS_MAX);
    if (count === 1 || limit === 1) return;
    if (count > limit) candidates.subarray(0, count).sort((a, b) => this.#compareTies(a, b));
    for (let i = 0; i < count && this.nextHopCount < limit; i++)
      if (candidates[i] !== best && this.#sharesLoad(candidates[i]!, best)) this.#addNextHop(candidates[i]!);
    if (this.options.linkBandwidth && this.nextHopCount > 1) this.#weigh();
  }

  /** Whether a path that is equal to the best one through step e is one of the multipath. */
  #sharesLoad(path: number, best: number): boolean {
    const { clusterListLength } = this.#pool;
    const attr = this.#paths.attrId[path]!;
    const bestAttr = this.#paths.attrId[best]!;
    if (clusterListLength[attr] !== clusterListLength[bestAttr]) return false;
    return this.options.multipathRelax || this.#pool.sameAsPath(attr, bestAttr);
  }

  /** Fills the weights of the next hops, from the bandwidths of the paths that go there. */
  #weigh(): void {
    const { nextHops, nextHopCount } = this;
    const bandwidths = this.#bandwidths.fill(0, 0, nextHopCount);
    for (let i = 0; i < this.#count; i++) {
      const path = this.#candidates[i]!;
      if (!this.#sharesLoad(path, this.best)) continue;
      const at = nextHops.indexOf(this.#paths.nextHopId[path]!);
      if (at < 0 || at >= nextHopCount) continue;
      const bandwidth = this.#pool.linkBandwidth(this.#paths.attrId[path]!);
      if (bandwidth < 0) return;
      bandwidths[at]! += bandwidth;
    }
    this.weights = weightsFrom(bandwidths, nextHopCount, this.#weights);
  }

  /** Inserts the path's next hop in its place, unless it is there. */
  #addNextHop(path: number): void {
    const id = this.#paths.nextHopId[path]!;
    const list = this.nextHops;
    let at = this.nextHopCount;
    while (at > 0 && list[at - 1]! > id) at--;
    if (at > 0 && list[at - 1] === id) return;
    for (let i = this.nextHopCount; i > at; i--) list[i] = list[i - 1]!;
    list[at] = id;
    this.nextHopCount++;
  }

  /**
   * Every path of the list with its reason (reason.ts): the stored one where it was rejected, else the first
   * step that removed it. Slow and plain; for people, and for checking `choose`.
   */
  explain(first: number): { path: number; reason: number }[] {
    return this.#explainAmong(this.#listFrom(first));
  }

  /** All usable paths in the order of `rankFirst` and `rankNext`, by the steps of `explain`: to check them. */
  rankAll(first: number): number[] {
    let left = this.#listFrom(first);
    const ranked: number[] = [];
    for (;;) {
      const best = this.#explainAmong(left).find((entry) => entry.reason === reason.BEST)?.path;
      if (best === undefined) return ranked;
      ranked.push(best);
      left = left.filter((path) => path !== best);
    }
  }

  #listFrom(first: number): number[] {
    const list: number[] = [];
    for (let path = first; path !== 0; path = this.#paths.next[path]!) list.push(path);
    return list;
  }

  #explainAmong(list: readonly number[]): { path: number; reason: number }[] {
    const paths = this.#paths;
    const verdicts = new Map<number, number>();
    let left: number[] = [];
    for (const path of list) {
      verdicts.set(path, reason.BEST);
      if (!this.#perPeer.isLive(path)) verdicts.set(path, reason.GONE);
      else if (paths.reason[path] !== 0) verdicts.set(path, paths.reason[path]!);
      else if (this.#needsNextHop && this.#hops.reachable[paths.nextHopId[path]!] === 0)
        verdicts.set(path, reason.NEXT_HOP_UNREACHABLE);
      else left.push(path);
    }
    const drop = (code: number, loses: (path: number) => boolean): void => {
      const losers = left.filter(loses);
      for (const path of losers) verdicts.set(path, code);
      left = left.filter((path) => !losers.includes(path));
    };
    const lowest = (code: number, value: (path: number) => number): void => {
      const least = Math.min(...left.map(value));
      drop(code, (path) => value(path) > least);
    };
    this.#explainThroughMetric(drop, lowest, () => left);
    const equal = left;
    this.#explainTies(drop, lowest, () => left);
    const best = left[0];
    if (best !== undefined) this.#explainMultipath(best, equal, verdicts);
    return [...verdicts].map(([path, code]) => ({ path, reason: code }));
  }

  #explainThroughMetric(
    drop: (code: number, loses: (path: number) => boolean) => void,
    lowest: (code: number, value: (path: number) => number) => void,
    left: () => number[],
  ): void {
    const paths = this.#paths;
    const pool = this.#pool;
    const kindOf = (path: number): number => this.#peers.kind[paths.peer[path]!]!;
    const attrOf = (path: number): number => paths.attrId[path]!;
    lowest(reason.LONG_LIVED_STALE, (path) => pool.flags[attrOf(path)]! & LLGR_STALE);
    lowest(reason.WEIGHT, (path) => -paths.weight[path]!);
    lowest(reason.MOVE_SEQUENCE, (path) => -pool.moveSequence[attrOf(path)]!);
    lowest(reason.LOCAL_PREFERENCE, (path) => -pool.localPref[attrOf(path)]!);
    lowest(reason.LOCAL_ORIGIN, (path) => (kindOf(path) === PEER_LOCAL ? 0 : 1));
    lowest(reason.AS_PATH_LENGTH, (path) => pool.asPathLength[attrOf(path)]!);
    lowest(reason.ORIGIN_CODE, (path) => pool.origin[attrOf(path)]!);
    const group = (path: number): number => (this.options.alwaysCompareMed ? 0 : pool.firstAs[attrOf(path)]!);
    const rivals = left();
    drop(reason.MED, (path) =>
      rivals.some(
        (other) => group(other) === group(path) && this.#medOf(attrOf(other)) < this.#medOf(attrOf(path)),
      ),
    );
    lowest(reason.EXTERNAL_OVER_INTERNAL, (path) => (kindOf(path) === PEER_EXTERNAL ? 0 : 1));
    lowest(reason.IGP_METRIC, (path) => this.#hops.metric[paths.nextHopId[path]!]!);
  }

  #explainTies(
    drop: (code: number, loses: (path: number) => boolean) => void,
    lowest: (code: number, value: (path: number) => number) => void,
    left: () => number[],
  ): void {
    const paths = this.#paths;
    lowest(reason.ROUTER_ID, (path) => {
      const originator = this.#pool.originatorId[paths.attrId[path]!]!;
      return originator !== 0 ? originator : this.#peers.bgpId[paths.peer[path]!]!;
    });
    lowest(reason.CLUSTER_LIST_LENGTH, (path) => this.#pool.clusterListLength[paths.attrId[path]!]!);
    const rivals = left();
    drop(reason.PEER_ADDRESS, (path) => {
      const peer = paths.peer[path]!;
      return rivals.some(
        (other) => paths.peer[other] !== peer && this.#peers.compareAddress(paths.peer[other]!, peer) < 0,
      );
    });
    lowest(reason.PATH_ID, (path) => paths.pathIdOf(path));
  }

  /** Marks those of `equal` that forwarding uses beside the best path. */
  #explainMultipath(best: number, equal: readonly number[], verdicts: Map<number, number>): void {
    const paths = this.#paths;
    const { multipath, multipathRelax } = this.options;
    const { clusterListLength } = this.#pool;
    const used = new Set([paths.nextHopId[best]!]);
    const ordered = [...equal].sort((a, b) => this.#compareTies(a, b));
    for (const path of ordered) {
      const sameLength = clusterListLength[paths.attrId[path]!] === clusterListLength[paths.attrId[best]!];
      const alike = multipathRelax || this.#pool.sameAsPath(paths.attrId[path]!, paths.attrId[best]!);
      const nextHop = paths.nextHopId[path]!;
      if (path === best || !alike || !sameLength || (!used.has(nextHop) && used.size >= multipath)) continue;
      used.add(nextHop);
      verdicts.set(path, reason.MULTIPATH);
    }
  }
}

/** Shares of the sum, at least 1 each; undefined where all bandwidths are the same. */
export function weightsFrom(
  bandwidths: Float64Array,
  count: number,
  out: Uint8Array,
): Uint8Array | undefined {
  let sum = 0;
  let differ = false;
  for (let i = 0; i < count; i++) {
    sum += bandwidths[i]!;
    differ ||= bandwidths[i] !== bandwidths[0];
  }
  if (!differ) return undefined;
  for (let i = 0; i < count; i++) out[i] = Math.max(1, Math.round((bandwidths[i]! / sum) * WEIGHT_TOTAL));
  return out;
}
