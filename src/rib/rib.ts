// The RIB of one family: paths of all peers, the decision, and the list of changes that
// the router hands to the kernel and to the update groups. RFC 4271 section 9 and 3.2: adj-rib-in and loc-rib
// are one table here; adj-rib-out is update-group.ts. Columns and their cost: path-table.ts, prefixes.ts.
//
// Dropping a peer and marking its paths stale (RFC 4724) is one increment (peer-routes.ts); the paths themselves
// go in slices of `work`. Stale paths compete like others.
//
// Whoever calls: announce and withdraw as messages come, `work` and `decide` in slices each turn, then read
// `changes`. Policy is called through filters (route-filter.ts); the kernel, the wire and time are outside.

import { assert } from '../lib/assert.ts';
import { readU32 } from '../lib/bytes.ts';
import type { HashKey } from '../lib/hash-key.ts';
import type { PrefixTable } from '../lib/prefix-table.ts';
import { families } from '../wire/bgp/family.ts';
import { prefixSize } from '../wire/bgp/nlri/ip.ts';
import type { AttributePool } from './attribute-pool.ts';
import { CHANGE_BEST, CHANGE_FORWARDING, ChangeList } from './changes.ts';
import { Decision, type DecisionOptions, defaultDecisionOptions } from './decision.ts';
import { IdQueue } from './id-queue.ts';
import { ImportStage } from './import-stage.ts';
import { NextHopSets } from './next-hop-sets.ts';
import type { NextHopTable } from './next-hop-table.ts';
import { PathScan, SCAN_PURGE, SCAN_REDECIDE, SCAN_REIMPORT } from './path-scan.ts';
import { PATH_CHANGED, PATH_NEXT_HOP_SET, PATH_USED, PathTable } from './path-table.ts';
import { PeerRoutes } from './peer-routes.ts';
import type { PeerTable } from './peer-table.ts';
import {
  PREFIX_AWAITS_FIB,
  PREFIX_BEST_LOST,
  PREFIX_DIRTY,
  PREFIX_FIB_LACKS,
  PREFIX_IDLE,
  PREFIX_LISTED,
  Prefixes,
} from './prefixes.ts';
import { NOT_ROUTABLE } from './reason.ts';
import { askAboutPrefix, type RouteFilter } from './route-filter.ts';

/** A peer this many epochs ahead of the scan makes it finish at once: epochs are 8 bits. */
const EPOCHS_BEHIND_MAX = 200;

export class Rib {
  readonly family: number;
  readonly pool: AttributePool;
  readonly nextHops: NextHopTable;
  readonly peers: PeerTable;
  readonly sets: NextHopSets;
  readonly table: PrefixTable;
  readonly paths = new PathTable();
  readonly prefixes: Prefixes;
  readonly changes = new ChangeList();
  readonly decision: Decision;
  /** The time that paths announced now are stamped with, in seconds; the router moves it. */
  nowS = 0;
  /** Counts and epochs per peer. */
  readonly perPeer = new PeerRoutes(this.paths);
  /** Prefixes that have a best path. */
  routeCount = 0;
  readonly #dirty = new IdQueue();
  readonly #scan: PathScan;
  readonly #import: ImportStage;
  /** The announcement under way: what `#put` stores, and how many references it has taken. */
  #peer = 0;
  #attrIdIn = 0;
  #nextHopIdIn = 0;

  /**
   * `sets` where several RIBs share theirs. `hashKey` is secret where peers choose the prefixes; `pool`, `nextHops`
   * and `sets` take the same.
   */
  constructor(
    family: number,
    pool: AttributePool,
    nextHops: NextHopTable,
    peers: PeerTable,
    options: Partial<DecisionOptions> = {},
    sets?: NextHopSets,
    hashKey?: HashKey,
  ) {
    this.family = family;
    this.pool = pool;
    this.nextHops = nextHops;
    this.peers = peers;
    this.sets = sets ?? new NextHopSets(nextHops, hashKey);
    this.prefixes = new Prefixes(families[family]!.addressLength === 4 ? 1 : 4, hashKey);
    this.table = this.prefixes.table;
    this.#scan = new PathScan(this.paths);
    this.#import = new ImportStage(pool, peers);
    this.decision = new Decision(this.paths, pool, nextHops, peers, this.perPeer, {
      ...defaultDecisionOptions,
      ...options,
    });
  }

  /** Prefixes waiting for `decide`. */
  get dirtyCount(): number {
    return this.#dirty.count;
  }

  /** Whether `work` has anything to do. */
  get hasWork(): boolean {
    return !this.#scan.isIdle || this.prefixes.hasIdle;
  }

  /** Whether paths are left that `work` has to look at; without that, only memory waits for it. */
  get isScanning(): boolean {
    return !this.#scan.isIdle;
  }

  // ---- paths come and go ----

  /**
   * Takes a section of NLRI as it stands in the message, validated by the decoder. The caller owns `attrId`
   * (attributes as received) and `nextHopId` during the call; the paths take their own references.
   */
  announce(
    peer: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    addPath: boolean,
    attrId: number,
    nextHopId: number,
  ): void {
    this.#begin(peer, attrId, nextHopId, end - start);
    if (addPath) this.paths.withPathIds();
    const perPrefix = this.#import.readsPrefix(peer);
    if (!perPrefix) this.#import.run(peer, attrId, nextHopId);
    let touched = start;
    for (let at = start; at < end; ) {
      let pathId = 0;
      if (addPath) {
        pathId = readU32(bytes, at);
        at += 4;
      } else if (at >= touched) touched = this.prefixes.touch(bytes, at, end);
      const id = this.prefixes.addAt(bytes, at);
      at += prefixSize(bytes, at);
      if (perPrefix) this.#runImport(id);
      if (this.prefixes.isRoutable(id)) this.#put(id, pathId, this.#import.attrId, this.#import.reason);
      else this.#put(id, pathId, 0, NOT_ROUTABLE);
      if (perPrefix && this.#import.attrId !== 0) this.pool.release(this.#import.attrId);
    }
    if (!perPrefix && this.#import.attrId !== 0) this.pool.release(this.#import.attrId);
  }

  /** Takes a section of withdrawn NLRI as it stands in the message, validated by the decoder. */
  withdraw(peer: number, bytes: Uint8Array, start: number, end: number, addPath: boolean): void {
    let touched = start;
    for (let at = start; at < end; ) {
      let pathId = 0;
      if (addPath) {
        pathId = readU32(bytes, at);
        at += 4;
      } else if (at >= touched) touched = this.prefixes.touch(bytes, at, end);
      const id = this.prefixes.findAt(bytes, at);
      at += prefixSize(bytes, at);
      const path = id < 0 ? 0 : this.#findPath(id, peer, pathId);
      if (path !== 0) this.#remove(path);
    }
  }

  /**
   * Announces one prefix: routes of this router (peer 0; `pathId` tells several sources of one prefix apart) and
   * tests. IPv4 in `a`; bits beyond `length` are zero. Returns the prefix id.
   */
  announceOne(
    peer: number,
    a: number,
    b: number,
    c: number,
    d: number,
    length: number,
    pathId: number,
    attrId: number,
    nextHopId: number,
  ): number {
    this.#begin(peer, attrId, nextHopId, 1);
    if (pathId !== 0) this.paths.withPathIds();
    const id =
      this.table.words === 1 ? this.prefixes.add4(a, length) : this.prefixes.add6(a, b, c, d, length);
    this.#runImport(id);
    this.#put(id, pathId, this.#import.attrId, this.#import.reason);
    if (this.#import.attrId !== 0) this.pool.release(this.#import.attrId);
    return id;
  }

  /** Withdraws what announceOne announced; nothing happens when it is not there. */
  withdrawOne(
    peer: number,
    a: number,
    b: number,
    c: number,
    d: number,
    length: number,
    pathId: number,
  ): void {
    const id = this.find(a, b, c, d, length);
    const path = id < 0 ? 0 : this.#findPath(id, peer, pathId);
    if (path !== 0) this.#remove(path);
  }

  // ---- peers come and go ----

  /**
   * Sets the import filter of a peer, undefined for "accept all", and re-runs it over the stored paths in slices
   * of `work`. A filter object that several peers have is cached once.
   */
  setImport(peer: number, filter: RouteFilter | undefined): void {
    this.perPeer.ensure(peer);
    this.#import.setFilter(peer, filter);
    if (this.perPeer.hasAny(peer)) this.#scan.markPeer(peer, SCAN_REIMPORT);
  }

  /** The import filter of a peer, undefined for "accept all". */
  importFilterOf(peer: number): RouteFilter | undefined {
    return this.#import.filterOf(peer);
  }

  /** Something of the peer that the decision or the loop checks read has changed (peer table, identity). */
  peerChanged(peer: number): void {
    this.perPeer.ensure(peer);
    if (this.perPeer.hasAny(peer)) this.#scan.markPeer(peer, SCAN_REIMPORT | SCAN_REDECIDE);
  }

  /** Removes all paths of the peer, in slices of `work`; the peer may announce again at once. */
  dropPeer(peer: number): void {
    this.#nextEpoch(peer, false);
  }

  /** RFC 4724 4.2: the session is gone, its paths stay in use; those that were stale before go. */
  markStale(peer: number): void {
    this.#nextEpoch(peer, true);
  }

  /** Removes those paths of the peer that are still stale: at End-of-RIB or when the stale timer ends. */
  sweepStale(peer: number): void {
    this.perPeer.ensure(peer);
    this.perPeer.keepsStale[peer] = 0;
    if (this.perPeer.retained[peer]! > 0) this.#scan.markPeer(peer, SCAN_PURGE);
  }

  /** Whether nothing of the peer waits for `work`: then its index may be removed from the peer table. */
  isSettled(peer: number): boolean {
    return !this.#scan.isPending(peer);
  }

  /** The state of the next hop changed: everything that goes there is decided again, in slices of `work`. */
  nextHopChanged(nextHopId: number): void {
    if (this.paths.size > 0) this.#scan.markNextHop(nextHopId);
  }

  /** Changes the options; everything is decided again. */
  setOptions(options: Partial<DecisionOptions>): void {
    this.decision.options = { ...this.decision.options, ...options };
    for (let id = this.nextPrefix(0); id >= 0; id = this.nextPrefix(id + 1)) this.#markDirty(id);
  }

  /** Looks at up to `slice` paths on behalf of the calls above; returns whether there is more to do. */
  work(slice: number): boolean {
    let budget = slice;
    while (budget > 0 && !this.#scan.isIdle) {
      const begin = this.#scan.begin;
      const end = this.#scan.sliceEnd(budget);
      this.#scanSlice(begin, end);
      this.#scan.advance(end);
      budget -= Math.max(1, end - begin);
    }
    // Forgetting has time: while routes go by the thousand it must not slow them down, and in the end all may go.
    if (this.prefixes.hasIdle) this.prefixes.forget(1 + (slice >>> 6));
    return this.hasWork;
  }

  // ---- the decision ----

  /**
   * Decides up to `maxPrefixes` dirty prefixes; what changed is in `changes` until the next call. Returns
   * whether dirty prefixes are left.
   */
  decide(maxPrefixes: number): boolean {
    this.#clearChanges();
    const count = Math.min(maxPrefixes, this.#dirty.count);
    this.changes.reserve(count);
    for (let i = 0; i < count; i++) this.#decideOne(this.#dirty.shift());
    return this.#dirty.count > 0;
  }

  /** Keeps the id of a prefix from being used for another one. */
  hold(prefixId: number): void {
    this.prefixes.holds[prefixId]!++;
  }

  /** Gives a hold back; the id goes when nobody needs it. */
  unhold(prefixId: number): void {
    assert(this.prefixes.holds[prefixId]! > 0, 'a prefix is held before it is let go');
    this.prefixes.holds[prefixId]!--;
    this.#releaseIfUnused(prefixId);
  }

  /**
   * While set, update groups announce nothing new for the prefix and keep what they have: the kernel forwards as
   * before and has yet to acknowledge the change. Whoever clears it enqueues the prefix in the groups.
   */
  setAwaitsFib(prefixId: number, awaits: boolean): void {
    this.prefixes.setBit(prefixId, PREFIX_AWAITS_FIB, awaits);
  }

  /**
   * While set, update groups announce nothing of the prefix and withdraw what they have: the kernel has no route
   * at all, so that packets would get lost. Whoever changes it enqueues the prefix in the groups.
   */
  setFibLacks(prefixId: number, lacks: boolean): void {
    this.prefixes.setBit(prefixId, PREFIX_FIB_LACKS, lacks);
  }

  // ---- views ----

  /** The id of a prefix, or -1. IPv4 in `a`. */
  find(a: number, b: number, c: number, d: number, length: number): number {
    return this.prefixes.find(a, b, c, d, length);
  }

  /** The longest prefix with a best path that contains the address, or -1. IPv4 in `a`. */
  lookup(a: number, b: number, c: number, d: number): number {
    return this.prefixes.lookup(a, b, c, d);
  }

  /** The next prefix id in use from `from` on, or -1: for listing page by page, in the order of ids. */
  nextPrefix(from: number): number {
    return this.prefixes.nextId(from);
  }

  /** Whether the path is left over from a session before and still in use (RFC 4724). */
  isStale(path: number): boolean {
    const fresh = this.paths.epoch[path] === this.perPeer.epoch[this.paths.peer[path]!];
    return !fresh && this.perPeer.isLive(path);
  }

  /** All paths of a prefix, each with the reason why it is used or not (reason.ts). */
  explain(prefixId: number): { path: number; reason: number }[] {
    return this.decision.explain(this.prefixes.firstPath[prefixId]!);
  }

  // ---- the inside ----

  #begin(peer: number, attrId: number, nextHopId: number, prefixesMax: number): void {
    this.perPeer.ensure(peer);
    this.paths.reserve(prefixesMax);
    this.prefixes.reserve(prefixesMax);
    this.#peer = peer;
    this.#attrIdIn = attrId;
    this.#nextHopIdIn = nextHopId;
  }

  /** Runs the import for one prefix of the announcement under way. */
  #runImport(id: number): void {
    askAboutPrefix(this.#import.query, this.table, id);
    this.#import.run(this.#peer, this.#attrIdIn, this.#nextHopIdIn);
  }

  #findPath(id: number, peer: number, pathId: number): number {
    const { next, peer: peerOf, pathId: pathIds } = this.paths;
    const withIds = pathIds.length > 0;
    if (!withIds && pathId !== 0) return 0;
    for (let path = this.prefixes.firstPath[id]!; path !== 0; path = next[path]!)
      if (peerOf[path] === peer && (!withIds || pathIds[path] === pathId)) return path;
    return 0;
  }

  /** Stores one path of the announcement under way; `attrId` is 0 where `reason` is not. */
  #put(id: number, pathId: number, attrId: number, reason: number): void {
    const { paths } = this;
    const peer = this.#peer;
    let path = this.#findPath(id, peer, pathId);
    if (path === 0) {
      path = paths.take();
      const head = this.prefixes.firstPath[id]!;
      if ((this.prefixes.state[id]! & PREFIX_IDLE) !== 0) this.prefixes.revive(id);
      paths.prefix[path] = id;
      paths.peer[path] = peer;
      paths.next[path] = head;
      if (paths.pathId.length > 0) paths.pathId[path] = pathId;
      this.prefixes.firstPath[id] = path;
      paths.flags[path] = PATH_USED;
    } else if (this.#isUnchanged(path, attrId, reason)) {
      if (paths.epoch[path] !== this.perPeer.epoch[peer]) this.#refresh(path);
      return;
    } else {
      if (paths.attrId[path] !== 0 && attrId === 0) this.#markDirty(id);
      this.perPeer.uncount(path);
      this.pool.release(paths.attrIdIn[path]!);
      this.#dropAccepted(path);
    }
    paths.attrIdIn[path] = this.#attrIdIn;
    this.pool.refs[this.#attrIdIn]!++;
    this.#setAccepted(path, attrId, reason);
    this.perPeer.count(path);
    if (attrId !== 0) {
      paths.flags[path]! |= PATH_CHANGED;
      this.#markDirty(id);
    }
  }

  /** Fills what import decides of a path: attributes, reason, weight, next hop; takes the references. */
  #setAccepted(path: number, attrId: number, reason: number): void {
    const { paths } = this;
    const nextHopId = reason === 0 ? this.#import.nextHopId : this.#nextHopIdIn;
    paths.attrId[path] = attrId;
    if (attrId !== 0) this.pool.refs[attrId]!++;
    paths.reason[path] = reason;
    paths.weight[path] = this.#import.weight;
    paths.since[path] = this.nowS;
    paths.nextHopId[path] = nextHopId;
    this.nextHops.refs[nextHopId]!++;
    paths.flags[path]! &= ~PATH_NEXT_HOP_SET;
    if (nextHopId === this.#nextHopIdIn) return;
    paths.withNextHopsIn();
    paths.flags[path]! |= PATH_NEXT_HOP_SET;
    paths.nextHopIdIn[path] = this.#nextHopIdIn;
    this.nextHops.refs[this.#nextHopIdIn]!++;
  }

  #isUnchanged(path: number, attrId: number, reason: number): boolean {
    const { paths } = this;
    return (
      paths.attrId[path] === attrId &&
      paths.attrIdIn[path] === this.#attrIdIn &&
      paths.reason[path] === reason &&
      paths.weight[path] === this.#import.weight &&
      paths.nextHopId[path] === (reason === 0 ? this.#import.nextHopId : this.#nextHopIdIn) &&
      paths.receivedNextHop(path) === this.#nextHopIdIn
    );
  }

  /** A path of an older epoch is announced again as it was: stale no more, or back before its slice came. */
  #refresh(path: number): void {
    const wasLive = this.perPeer.isLive(path);
    this.perPeer.uncount(path);
    this.perPeer.count(path);
    if (!wasLive) this.#markDirty(this.paths.prefix[path]!);
  }

  #dropAccepted(path: number): void {
    const { paths } = this;
    if (paths.attrId[path] !== 0) this.pool.release(paths.attrId[path]!);
    if ((paths.flags[path]! & PATH_NEXT_HOP_SET) !== 0) this.nextHops.release(paths.nextHopIdIn[path]!);
    this.nextHops.release(paths.nextHopId[path]!);
  }

  #remove(path: number): void {
    const { paths, prefixes } = this;
    const id = paths.prefix[path]!;
    if (prefixes.firstPath[id] === path) prefixes.firstPath[id] = paths.next[path]!;
    else {
      let before = prefixes.firstPath[id]!;
      while (paths.next[before] !== path) before = paths.next[before]!;
      paths.next[before] = paths.next[path]!;
    }
    if (prefixes.bestPath[id] === path) {
      prefixes.bestPath[id] = 0;
      prefixes.state[id]! |= PREFIX_BEST_LOST;
      this.routeCount--;
    }
    const wasAccepted = paths.attrId[path] !== 0;
    this.perPeer.uncount(path);
    this.pool.release(paths.attrIdIn[path]!);
    this.#dropAccepted(path);
    paths.give(path);
    if (wasAccepted) this.#markDirty(id);
    else this.#releaseIfUnused(id);
  }

  #markDirty(id: number): void {
    if ((this.prefixes.state[id]! & PREFIX_DIRTY) !== 0) return;
    this.prefixes.state[id]! |= PREFIX_DIRTY;
    this.#dirty.push(id);
  }

  #nextEpoch(peer: number, keepStale: boolean): void {
    const { perPeer } = this;
    perPeer.ensure(peer);
    if (!this.#scan.isPending(peer)) perPeer.behind[peer] = 0;
    if (perPeer.behind[peer]! >= EPOCHS_BEHIND_MAX) while (this.work(1 << 20));
    const onlyFresh = perPeer.retained[peer] === 0;
    perPeer.advance(peer, keepStale);
    if (perPeer.retained[peer]! > 0 && !(keepStale && onlyFresh)) this.#scan.markPeer(peer, SCAN_PURGE);
  }

  #scanSlice(begin: number, end: number): void {
    const { paths } = this;
    const { peerActions, nextHopActions } = this.#scan;
    const { flags, peer, nextHopId } = paths;
    for (let path = begin; path < end; path++) {
      const wanted = peerActions[peer[path]!]! | nextHopActions[nextHopId[path]!]!;
      if (wanted === 0 || (flags[path]! & PATH_USED) === 0) continue;
      const action = peerActions[peer[path]!]!;
      if ((action & SCAN_PURGE) !== 0 && !this.perPeer.isLive(path)) {
        this.#remove(path);
        continue;
      }
      if ((action & SCAN_REIMPORT) !== 0) this.#reimport(path);
      if ((action & SCAN_REDECIDE) !== 0 || nextHopActions[nextHopId[path]!] === 1)
        this.#markDirty(paths.prefix[path]!);
    }
  }

  /** Runs the stored path through the import again. */
  #reimport(path: number): void {
    const { paths } = this;
    const id = paths.prefix[path]!;
    const peer = paths.peer[path]!;
    if (paths.reason[path] === NOT_ROUTABLE) return;
    this.#peer = peer;
    this.#attrIdIn = paths.attrIdIn[path]!;
    this.#nextHopIdIn = paths.receivedNextHop(path);
    this.#runImport(id);
    const { attrId, reason } = this.#import;
    if (!this.#isUnchanged(path, attrId, reason)) {
      if (paths.epoch[path] === this.perPeer.epoch[peer])
        this.perPeer.accepted[peer]! += (attrId !== 0 ? 1 : 0) - (paths.attrId[path] !== 0 ? 1 : 0);
      if (attrId !== 0 || paths.attrId[path] !== 0) this.#markDirty(id);
      this.nextHops.retain(this.#nextHopIdIn);
      this.#dropAccepted(path);
      this.#setAccepted(path, attrId, reason);
      this.nextHops.release(this.#nextHopIdIn);
      paths.flags[path]! |= PATH_CHANGED;
    }
    if (attrId !== 0) this.pool.release(attrId);
  }

  #decideOne(id: number): void {
    const { prefixes, decision, changes } = this;
    const state = prefixes.state[id]!;
    const oldBest = prefixes.bestPath[id]!;
    const oldSet = prefixes.nextHopSetId[id]!;
    decision.choose(prefixes.firstPath[id]!);
    const best = decision.best;
    prefixes.state[id] = state & ~(PREFIX_DIRTY | PREFIX_BEST_LOST);
    prefixes.bestPath[id] = best;
    this.routeCount += (best !== 0 ? 1 : 0) - (oldBest !== 0 ? 1 : 0);
    let flags = best !== oldBest || (state & PREFIX_BEST_LOST) !== 0 ? CHANGE_BEST : 0;
    if (best !== 0) {
      if ((this.paths.flags[best]! & PATH_CHANGED) !== 0) flags |= CHANGE_BEST;
      this.paths.flags[best]! &= ~PATH_CHANGED;
    }
    const newSet = this.sets.intern(decision.nextHops, decision.nextHopCount);
    prefixes.nextHopSetId[id] = newSet;
    if (newSet !== oldSet) flags |= CHANGE_FORWARDING;
    if (flags === 0) {
      this.sets.release(oldSet);
      this.#releaseIfUnused(id);
      return;
    }
    // The reference of the old set goes with the list, so that the router can still read it.
    prefixes.state[id]! |= PREFIX_LISTED;
    const at = changes.count++;
    changes.ids[at] = id;
    changes.flags[at] = flags;
    changes.oldSetIds[at] = oldSet;
    changes.newSetIds[at] = newSet;
  }

  #clearChanges(): void {
    const { changes, prefixes } = this;
    for (let i = 0; i < changes.count; i++) {
      const id = changes.ids[i]!;
      this.sets.release(changes.oldSetIds[i]!);
      prefixes.state[id]! &= ~PREFIX_LISTED;
      this.#releaseIfUnused(id);
    }
    changes.count = 0;
  }

  /** A prefix without paths, decided and not looked at by anybody, gives its id back. */
  #releaseIfUnused(id: number): void {
    const { prefixes } = this;
    if (prefixes.firstPath[id] !== 0 || prefixes.bestPath[id] !== 0 || prefixes.holds[id] !== 0) return;
    if ((prefixes.state[id]! & (PREFIX_DIRTY | PREFIX_LISTED | PREFIX_IDLE)) !== 0) return;
    this.sets.release(prefixes.nextHopSetId[id]!);
    prefixes.nextHopSetId[id] = 0;
    prefixes.retire(id);
  }
}
