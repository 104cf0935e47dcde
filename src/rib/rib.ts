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
import { ByteWriter, readU32 } from '../lib/bytes.ts';
import type { HashKey } from '../lib/hash-key.ts';
import type { PrefixTable } from '../lib/prefix-table.ts';
import { families } from '../wire/bgp/family.ts';
import { prefixSize } from '../wire/bgp/nlri/ip.ts';
import { UpdateWriter } from '../wire/bgp/update-writer.ts';
import type { AttributePool } from './attribute-pool.ts';
import { CHANGE_BEST, CHANGE_FORWARDING, CHANGE_PATHS, ChangeList } from './changes.ts';
import { Decision, type DecisionOptions, defaultDecisionOptions } from './decision.ts';
import { ImportStage } from './import-stage.ts';
import { NextHopSets } from './next-hop-sets.ts';
import { type NextHopTable, needsNextHop } from './next-hop-table.ts';
import { NlriData } from './nlri-data.ts';
import { PathScan, SCAN_PURGE, SCAN_REDECIDE, SCAN_REIMPORT } from './path-scan.ts';
import { PathStore } from './path-store.ts';
import { PATH_CHANGED, PATH_USED, PathTable } from './path-table.ts';
import { PeerRoutes } from './peer-routes.ts';
import type { PeerTable } from './peer-table.ts';
import {
  PREFIX_AWAITS_FIB,
  PREFIX_BEST_LOST,
  PREFIX_DIRTY,
  PREFIX_FIB_LACKS,
  PREFIX_LISTED,
  Prefixes,
} from './prefixes.ts';
import type { RouteFilter } from './route-filter.ts';

/** A peer this many epochs ahead of the scan makes it finish at once: epochs are 8 bits. */
const EPOCHS_BEHIND_MAX = 200;

export class Rib {
  readonly family: number;
  /** `prefix`: keys are IP prefixes, in `table`; `opaque`: bytes (`keyBytes`, `nlriText`), and `table` is empty. */
  readonly form: 'prefix' | 'opaque';
  readonly pool: AttributePool;
  readonly nextHops: NextHopTable;
  readonly peers: PeerTable;
  readonly sets: NextHopSets;
  readonly table: PrefixTable;
  readonly paths = new PathTable();
  readonly prefixes: Prefixes;
  readonly changes = new ChangeList();
  readonly decision: Decision;
  /** Of all update groups of the family, one after the other: a chunk is large, and groups may be thousands. */
  readonly updateWriter = new UpdateWriter();
  /** Counts and epochs per peer. */
  readonly perPeer = new PeerRoutes(this.paths);
  /** What NLRI carry beside their keys. */
  readonly nlriData: NlriData;
  readonly #scan: PathScan;
  readonly #import: ImportStage;
  readonly #store: PathStore;
  /** Key and rest of the NLRI at hand, where it is more than a prefix. */
  readonly #key = new ByteWriter(64);
  readonly #rest = new ByteWriter(64);
  /** How many update groups look at other paths than the best one. */
  #pathWatchers = 0;
  /** Prefixes that somebody watches all paths of. */
  readonly #watched = new Set<number>();

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
    const { form, addressLength } = families[family]!;
    this.form = form;
    this.prefixes = new Prefixes(families[family]!, hashKey);
    this.table = this.prefixes.table;
    this.nlriData = new NlriData(hashKey);
    this.#scan = new PathScan(this.paths);
    this.#import = new ImportStage(pool, peers, form === 'prefix' ? addressLength * 8 : 0);
    const { paths, prefixes, perPeer, nlriData } = this;
    const shared = { paths, prefixes, perPeer, pool, nextHops, nlriData, sets: this.sets };
    this.#store = new PathStore({ ...shared, import: this.#import, scan: this.#scan });
    const wanted = { ...defaultDecisionOptions, ...options };
    const needsHop = needsNextHop(family);
    this.decision = new Decision(paths, pool, nextHops, peers, perPeer, wanted, needsHop);
  }

  /** The time that paths announced now are stamped with, in seconds; the router moves it. */
  get nowS(): number {
    return this.#store.nowS;
  }

  set nowS(seconds: number) {
    this.#store.nowS = seconds;
  }

  /** Prefixes that have a best path. */
  get routeCount(): number {
    return this.#store.routeCount;
  }

  /** Prefixes waiting for `decide`. */
  get dirtyCount(): number {
    return this.#store.dirty.count;
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
   * (attributes as received) and `nextHopId` during the call; the paths take their own references. With `addPath`
   * the peer has at most `pathsMax` paths of a prefix (0: any number); returns how many were not taken.
   */
  announce(
    peer: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    addPath: boolean,
    attrId: number,
    nextHopId: number,
    pathsMax = 0,
  ): number {
    const store = this.#store;
    store.begin(peer, attrId, nextHopId, end - start);
    if (addPath) this.paths.withPathIds();
    store.pathsMax = addPath ? pathsMax : 0;
    const perPrefix = this.#import.readsPrefix(peer, attrId);
    if (!perPrefix) store.runImport();
    if (this.form === 'opaque') this.#announceKeys(bytes, start, end, addPath, perPrefix);
    else {
      let touched = start;
      for (let at = start; at < end; ) {
        let pathId = 0;
        if (addPath) {
          pathId = readU32(bytes, at);
          at += 4;
        } else if (at >= touched) touched = this.prefixes.touch(bytes, at, end);
        const id = this.prefixes.addAt(bytes, at);
        at += prefixSize(bytes, at);
        if (perPrefix) store.runImportFor(id);
        store.putImported(id, pathId);
        if (perPrefix && this.#import.attrId !== 0) this.pool.release(this.#import.attrId);
      }
    }
    if (!perPrefix && this.#import.attrId !== 0) this.pool.release(this.#import.attrId);
    return store.refused;
  }

  /** The section of an announcement under way, where an NLRI is a key and what it carries. */
  #announceKeys(bytes: Uint8Array, start: number, end: number, addPath: boolean, perPrefix: boolean): void {
    const codec = this.prefixes.codec!;
    for (let at = start; at < end; ) {
      let pathId = 0;
      if (addPath) {
        pathId = readU32(bytes, at);
        at += 4;
      }
      const key = this.#key.reset();
      const rest = this.#rest.reset();
      codec.split(bytes, at, key, rest);
      at += codec.size(bytes, at);
      this.#putKey(key.bytes, 0, key.length, rest.bytes, rest.length, pathId, perPrefix);
    }
  }

  /** Stores one path under a key of bytes. Returns the prefix id. */
  #putKey(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    rest: Uint8Array,
    restLength: number,
    pathId: number,
    perPrefix: boolean,
  ): number {
    const store = this.#store;
    const id = this.prefixes.keys!.add(key, keyStart, keyEnd);
    const data = this.nlriData.intern(rest, 0, restLength);
    store.nlriDataIn = data;
    if (perPrefix) store.runImportFor(id);
    store.putImported(id, pathId);
    if (perPrefix && this.#import.attrId !== 0) this.pool.release(this.#import.attrId);
    this.nlriData.release(data);
    return id;
  }

  /** Takes a section of withdrawn NLRI as it stands in the message, validated by the decoder. */
  withdraw(peer: number, bytes: Uint8Array, start: number, end: number, addPath: boolean): void {
    if (this.form === 'opaque') {
      this.#withdrawKeys(peer, bytes, start, end, addPath);
      return;
    }
    let touched = start;
    for (let at = start; at < end; ) {
      let pathId = 0;
      if (addPath) {
        pathId = readU32(bytes, at);
        at += 4;
      } else if (at >= touched) touched = this.prefixes.touch(bytes, at, end);
      const id = this.prefixes.findAt(bytes, at);
      at += prefixSize(bytes, at);
      this.#removeAt(id, peer, pathId);
    }
  }

  #withdrawKeys(peer: number, bytes: Uint8Array, start: number, end: number, addPath: boolean): void {
    const codec = this.prefixes.codec!;
    for (let at = start; at < end; ) {
      let pathId = 0;
      if (addPath) {
        pathId = readU32(bytes, at);
        at += 4;
      }
      const key = this.#key.reset();
      codec.split(bytes, at, key, this.#rest.reset());
      at += codec.size(bytes, at);
      this.#removeAt(this.prefixes.keys!.find(key.bytes, 0, key.length), peer, pathId);
    }
  }

  #removeAt(id: number, peer: number, pathId: number): void {
    const path = id < 0 ? 0 : this.#store.find(id, peer, pathId);
    if (path !== 0) this.#store.remove(path);
  }

  /**
   * As `announceOne` where an NLRI is more than a prefix: `key` is canonical (`NlriCodec.parse` gives it), `rest` what
   * the NLRI carries beside it. Returns the prefix id.
   */
  announceNlri(
    peer: number,
    key: Uint8Array,
    rest: Uint8Array,
    pathId: number,
    attrId: number,
    nextHopId: number,
  ): number {
    this.#store.begin(peer, attrId, nextHopId, 1);
    if (pathId !== 0) this.paths.withPathIds();
    return this.#putKey(key, 0, key.length, rest, rest.length, pathId, true);
  }

  /** Withdraws what announceNlri announced; nothing happens when it is not there. */
  withdrawNlri(peer: number, key: Uint8Array, pathId: number): void {
    this.#removeAt(this.findKey(key, 0, key.length), peer, pathId);
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
    this.#store.begin(peer, attrId, nextHopId, 1);
    if (pathId !== 0) this.paths.withPathIds();
    const id = this.prefixes.add(a, b, c, d, length);
    this.#store.runImportFor(id);
    this.#store.put(id, pathId, this.#import.attrId, this.#import.reason);
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
    this.#removeAt(this.find(a, b, c, d, length), peer, pathId);
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

  /**
   * RFC 9494 4.2: what is still stale stays for long. Those with NO_LLGR are refused, the others get LLGR_STALE and are
   * used only where there is nothing else; in slices of `work`.
   */
  makeLongLived(peer: number): void {
    this.perPeer.ensure(peer);
    if (this.perPeer.keepsStale[peer] === 0 || this.perPeer.retained[peer] === 0) return;
    this.perPeer.longLived[peer] = 1;
    this.#scan.markPeer(peer, SCAN_REIMPORT);
  }

  /**
   * How many accepted paths the peer may have; those beyond are refused (`maxPrefix`), and looked at again when there
   * is room. 0 for any number.
   */
  setLimit(peer: number, limit: number): void {
    this.perPeer.ensure(peer);
    if (this.perPeer.limit[peer] === limit) return;
    this.perPeer.limit[peer] = limit;
    if (this.perPeer.hasAny(peer)) this.#scan.markPeer(peer, SCAN_REIMPORT);
  }

  /** Removes those paths of the peer that are still stale: at End-of-RIB or when the stale timer ends. */
  sweepStale(peer: number): void {
    this.perPeer.ensure(peer);
    this.perPeer.keepsStale[peer] = 0;
    this.perPeer.longLived[peer] = 0;
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
    for (let id = this.nextPrefix(0); id >= 0; id = this.nextPrefix(id + 1)) this.#store.markDirty(id);
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
    const count = Math.min(maxPrefixes, this.#store.dirty.count);
    this.changes.reserve(count);
    for (let i = 0; i < count; i++) this.#decideOne(this.#store.dirty.shift());
    return this.#store.dirty.count > 0;
  }

  /**
   * While anybody watches, `changes` holds every prefix that was decided, with CHANGE_PATHS where its best path is as
   * before: for groups that send other paths too. Calls with true and false are counted.
   */
  watchPaths(on: boolean): void {
    this.#pathWatchers += on ? 1 : -1;
  }

  /** As `watchPaths` for one prefix, there or not, whose id is held until `unwatch`. IPv4 in `a`. */
  watch(a: number, b: number, c: number, d: number, length: number): number {
    const id = this.prefixes.take(a, b, c, d, length);
    this.#watched.add(id);
    this.hold(id);
    return id;
  }

  /** Ends what `watch` began. */
  unwatch(prefixId: number): void {
    if (this.#watched.delete(prefixId)) this.unhold(prefixId);
  }

  /** Keeps the id of a prefix from being used for another one. */
  hold(prefixId: number): void {
    this.prefixes.holds[prefixId]!++;
  }

  /** Gives a hold back; the id goes when nobody needs it. */
  unhold(prefixId: number): void {
    assert(this.prefixes.holds[prefixId]! > 0, 'a prefix is held before it is let go');
    this.prefixes.holds[prefixId]!--;
    this.#store.releaseIfUnused(prefixId);
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

  /** The id of a key of bytes (`form` opaque), or -1. */
  findKey(bytes: Uint8Array, start: number, end: number): number {
    return this.prefixes.findKey(bytes, start, end);
  }

  /** A copy of the key of bytes: for the edges. */
  keyBytes(prefixId: number): Uint8Array {
    return this.prefixes.keys!.copyOf(prefixId);
  }

  /** The key of bytes as people write it. */
  nlriText(prefixId: number): string {
    return this.prefixes.keyText(prefixId);
  }

  /**
   * Adds the NLRI of the prefix to what the writer has begun, with what it carries (nlri-data.ts; 0: a withdrawal).
   * False as with `UpdateWriter.addIp4`.
   */
  writeNlri(writer: UpdateWriter, prefixId: number, nlriDataId: number, pathId: number): boolean {
    return this.prefixes.write(writer, prefixId, this.nlriData, nlriDataId, pathId);
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
    return this.perPeer.isStale(path);
  }

  /** All paths of a prefix, each with the reason why it is used or not (reason.ts). */
  explain(prefixId: number): { path: number; reason: number }[] {
    return this.decision.explain(this.prefixes.firstPath[prefixId]!);
  }

  // ---- the inside ----

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
        this.#store.remove(path);
        continue;
      }
      if ((action & SCAN_REIMPORT) !== 0) this.#store.reimport(path);
      if ((action & SCAN_REDECIDE) !== 0 || nextHopActions[nextHopId[path]!] === 1)
        this.#store.markDirty(paths.prefix[path]!);
    }
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
    this.#store.routeCount += (best !== 0 ? 1 : 0) - (oldBest !== 0 ? 1 : 0);
    let flags = best !== oldBest || (state & PREFIX_BEST_LOST) !== 0 ? CHANGE_BEST : 0;
    if (best !== 0) {
      if ((this.paths.flags[best]! & PATH_CHANGED) !== 0) flags |= CHANGE_BEST;
      this.paths.flags[best]! &= ~PATH_CHANGED;
    }
    const newSet = this.sets.intern(decision.nextHops, decision.nextHopCount, decision.weights);
    prefixes.nextHopSetId[id] = newSet;
    if (newSet !== oldSet) flags |= CHANGE_FORWARDING;
    if (flags === 0 && (this.#pathWatchers > 0 || (this.#watched.size > 0 && this.#watched.has(id))))
      flags = CHANGE_PATHS;
    if (flags === 0) {
      this.sets.release(oldSet);
      this.#store.releaseIfUnused(id);
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
      this.#store.releaseIfUnused(id);
    }
    changes.count = 0;
  }
}
