// How paths are written: stored, replaced, removed, run through the import again; with every reference and count
// that hangs on them, and the queue of prefixes that have to be decided for it. The Rib (rib.ts) says what and when.

import type { AttributePool } from './attribute-pool.ts';
import { IdQueue } from './id-queue.ts';
import type { ImportStage } from './import-stage.ts';
import type { NextHopSets } from './next-hop-sets.ts';
import type { NextHopTable } from './next-hop-table.ts';
import type { NlriData } from './nlri-data.ts';
import { type PathScan, SCAN_REIMPORT } from './path-scan.ts';
import { PATH_CHANGED, PATH_NEXT_HOP_SET, PATH_USED, type PathTable } from './path-table.ts';
import type { PeerRoutes } from './peer-routes.ts';
import { PREFIX_BEST_LOST, PREFIX_DIRTY, PREFIX_IDLE, PREFIX_LISTED, type Prefixes } from './prefixes.ts';
import { MAX_PREFIX, NOT_ROUTABLE } from './reason.ts';
import { askAboutPrefix } from './route-filter.ts';

export interface StoreParts {
  paths: PathTable;
  prefixes: Prefixes;
  perPeer: PeerRoutes;
  pool: AttributePool;
  nextHops: NextHopTable;
  sets: NextHopSets;
  nlriData: NlriData;
  import: ImportStage;
  scan: PathScan;
}

export class PathStore {
  /** Prefixes that have a best path. */
  routeCount = 0;
  /** The time that paths are stamped with, in seconds. */
  nowS = 0;
  readonly dirty = new IdQueue();
  readonly #paths: PathTable;
  readonly #prefixes: Prefixes;
  readonly #perPeer: PeerRoutes;
  readonly #pool: AttributePool;
  readonly #nextHops: NextHopTable;
  readonly #sets: NextHopSets;
  readonly #nlriData: NlriData;
  readonly #import: ImportStage;
  readonly #scan: PathScan;
  /** NLRI are keys of bytes, which may carry data. */
  readonly #isOpaque: boolean;
  /** The announcement under way: what `put` stores. */
  #peer = 0;
  #attrIdIn = 0;
  #nextHopIdIn = 0;
  /** What the NLRI at hand carries (nlri-data.ts), borrowed. */
  nlriDataIn = 0;
  /** Paths of one prefix that the peer may have; 0 for any number. Set after `begin`. */
  pathsMax = 0;
  /** Paths of the announcement that were not taken, because there are as many already. */
  refused = 0;

  constructor(parts: StoreParts) {
    this.#paths = parts.paths;
    this.#prefixes = parts.prefixes;
    this.#perPeer = parts.perPeer;
    this.#pool = parts.pool;
    this.#nextHops = parts.nextHops;
    this.#sets = parts.sets;
    this.#nlriData = parts.nlriData;
    this.#import = parts.import;
    this.#scan = parts.scan;
    this.#isOpaque = parts.prefixes.keys !== undefined;
  }

  /** Begins an announcement of at most `prefixesMax` prefixes. */
  begin(peer: number, attrId: number, nextHopId: number, prefixesMax: number): void {
    this.#perPeer.ensure(peer);
    this.#paths.reserve(prefixesMax);
    this.#prefixes.reserve(prefixesMax);
    this.#peer = peer;
    this.#attrIdIn = attrId;
    this.#nextHopIdIn = nextHopId;
    this.nlriDataIn = 0;
    this.pathsMax = 0;
    this.refused = 0;
  }

  /** Runs the import for all prefixes of the announcement alike. */
  runImport(): void {
    this.#import.run(this.#peer, this.#attrIdIn, this.#nextHopIdIn);
  }

  /** Runs the import for one prefix of the announcement under way. */
  runImportFor(id: number): void {
    askAboutPrefix(this.#import.query, this.#prefixes, id, this.nlriDataIn);
    this.#import.run(this.#peer, this.#attrIdIn, this.#nextHopIdIn);
  }

  /** The path of a peer with this identifier, or 0. */
  find(id: number, peer: number, pathId: number): number {
    const { next, peer: peerOf, pathId: pathIds } = this.#paths;
    const withIds = pathIds.length > 0;
    if (!withIds && pathId !== 0) return 0;
    for (let path = this.#prefixes.firstPath[id]!; path !== 0; path = next[path]!)
      if (peerOf[path] === peer && (!withIds || pathIds[path] === pathId)) return path;
    return 0;
  }

  /** Stores what the import has made of the announcement under way, or that there is no such route. */
  putImported(id: number, pathId: number): void {
    const { attrId, reason } = this.#import;
    const routable = this.#isOpaque ? this.#prefixes.isRoutableKey(id) : this.#prefixes.isRoutable(id);
    if (routable) this.put(id, pathId, attrId, reason);
    else this.put(id, pathId, 0, NOT_ROUTABLE);
  }

  /** Stores one path of the announcement under way; `attrId` is 0 where `reason` is not. */
  put(id: number, pathId: number, attrId: number, reason: number): void {
    const paths = this.#paths;
    const peer = this.#peer;
    let path = this.find(id, peer, pathId);
    if (path === 0 && this.pathsMax !== 0 && this.#isFull(id)) {
      this.refused++;
      return;
    }
    let makesRoom = false;
    if (attrId !== 0 && this.#perPeer.limit[peer] !== 0 && this.#isRefused(peer, path)) {
      attrId = 0;
      reason = MAX_PREFIX;
    }
    if (path === 0) {
      path = paths.take();
      const head = this.#prefixes.firstPath[id]!;
      if ((this.#prefixes.state[id]! & PREFIX_IDLE) !== 0) this.#prefixes.revive(id);
      paths.prefix[path] = id;
      paths.peer[path] = peer;
      paths.next[path] = head;
      if (paths.pathId.length > 0) paths.pathId[path] = pathId;
      this.#prefixes.firstPath[id] = path;
      paths.flags[path] = PATH_USED;
    } else if (this.#isUnchanged(path, attrId, reason)) {
      if (paths.epoch[path] !== this.#perPeer.epoch[peer]) this.#refresh(path);
      return;
    } else {
      makesRoom = paths.attrId[path] !== 0 && attrId === 0;
      if (makesRoom) this.markDirty(id);
      this.#perPeer.uncount(path);
      this.#pool.release(paths.attrIdIn[path]!);
      this.#dropAccepted(path);
      if (this.#isOpaque) this.#nlriData.release(paths.nlriDataOf(path));
    }
    paths.attrIdIn[path] = this.#attrIdIn;
    this.#pool.refs[this.#attrIdIn]!++;
    if (this.#isOpaque) this.#setNlriData(path);
    this.#setAccepted(path, attrId, reason);
    this.#perPeer.count(path);
    if (attrId !== 0) {
      paths.flags[path]! |= PATH_CHANGED;
      this.markDirty(id);
    } else if (makesRoom && this.#perPeer.hasSurplus[peer] === 1) this.#makeRoom(peer);
  }

  /** Takes a path out of everything. */
  remove(path: number): void {
    const paths = this.#paths;
    const prefixes = this.#prefixes;
    const id = paths.prefix[path]!;
    const peer = paths.peer[path]!;
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
    this.#perPeer.uncount(path);
    this.#pool.release(paths.attrIdIn[path]!);
    this.#dropAccepted(path);
    if (this.#isOpaque) this.#nlriData.release(paths.nlriDataOf(path));
    paths.give(path);
    if (wasAccepted) this.markDirty(id);
    else this.releaseIfUnused(id);
    if (wasAccepted && this.#perPeer.hasSurplus[peer] === 1) this.#makeRoom(peer);
  }

  /** Runs the stored path through the import again. */
  reimport(path: number): void {
    const paths = this.#paths;
    const id = paths.prefix[path]!;
    const peer = paths.peer[path]!;
    if (paths.reason[path] === NOT_ROUTABLE) return;
    this.#peer = peer;
    this.#attrIdIn = paths.attrIdIn[path]!;
    this.#nextHopIdIn = paths.receivedNextHop(path);
    this.nlriDataIn = paths.nlriDataOf(path);
    askAboutPrefix(this.#import.query, this.#prefixes, id, this.nlriDataIn);
    this.#import.run(peer, this.#attrIdIn, this.#nextHopIdIn, this.#perPeer.isLongLived(path));
    const imported = this.#import.attrId;
    let attrId = imported;
    let { reason } = this.#import;
    if (attrId !== 0 && this.#perPeer.limit[peer] !== 0 && this.#staysRefused(peer, path)) {
      attrId = 0;
      reason = MAX_PREFIX;
    }
    if (!this.#isUnchanged(path, attrId, reason)) {
      if (paths.epoch[path] === this.#perPeer.epoch[peer])
        this.#perPeer.accepted[peer]! += (attrId !== 0 ? 1 : 0) - (paths.attrId[path] !== 0 ? 1 : 0);
      const makesRoom = attrId === 0 && paths.attrId[path] !== 0;
      if (attrId !== 0 || makesRoom) this.markDirty(id);
      this.#nextHops.retain(this.#nextHopIdIn);
      this.#dropAccepted(path);
      this.#setAccepted(path, attrId, reason);
      this.#nextHops.release(this.#nextHopIdIn);
      paths.flags[path]! |= PATH_CHANGED;
      if (makesRoom && this.#perPeer.hasSurplus[peer] === 1) this.#makeRoom(peer);
    }
    if (imported !== 0) this.#pool.release(imported);
  }

  markDirty(id: number): void {
    if ((this.#prefixes.state[id]! & PREFIX_DIRTY) !== 0) return;
    this.#prefixes.state[id]! |= PREFIX_DIRTY;
    this.dirty.push(id);
  }

  /** A prefix without paths, decided and not looked at by anybody, gives its id back. */
  releaseIfUnused(id: number): void {
    const prefixes = this.#prefixes;
    if (prefixes.firstPath[id] !== 0 || prefixes.bestPath[id] !== 0 || prefixes.holds[id] !== 0) return;
    if ((prefixes.state[id]! & (PREFIX_DIRTY | PREFIX_LISTED | PREFIX_IDLE)) !== 0) return;
    this.#sets.release(prefixes.nextHopSetId[id]!);
    prefixes.nextHopSetId[id] = 0;
    prefixes.retire(id);
  }

  #setNlriData(path: number): void {
    if (this.nlriDataIn !== 0) this.#paths.withNlriData();
    if (this.#paths.nlriDataId.length === 0) return;
    this.#paths.nlriDataId[path] = this.nlriDataIn;
    this.#nlriData.retain(this.nlriDataIn);
  }

  /**
   * Whether the peer has told as many paths of the prefix as it may. What is left of an earlier session or dump makes
   * room; what is not even in use any more goes at once, so that lists stay short whatever comes before its slice.
   */
  #isFull(id: number): boolean {
    const paths = this.#paths;
    const peer = this.#peer;
    let count = 0;
    for (let path = this.#prefixes.firstPath[id]!; path !== 0; ) {
      const next = paths.next[path]!;
      if (paths.peer[path] === peer) {
        if (paths.epoch[path] === this.#perPeer.epoch[peer]) count++;
        else if (!this.#perPeer.isLive(path)) this.remove(path);
      }
      path = next;
    }
    return count >= this.pathsMax;
  }

  /** Whether the limit of the peer refuses one more accepted path; then somebody waits for room. */
  #isRefused(peer: number, path: number): boolean {
    const refused = this.#perPeer.isSurplus(peer, path);
    if (refused) this.#perPeer.hasSurplus[peer] = 1;
    return refused;
  }

  /** As `#isRefused`, for a path that is there: a stale one does not count, and what was refused stays so. */
  #staysRefused(peer: number, path: number): boolean {
    const { epoch, reason } = this.#paths;
    if (epoch[path] !== this.#perPeer.epoch[peer]) return reason[path] === MAX_PREFIX;
    return this.#isRefused(peer, path);
  }

  /** What was refused for the limit is looked at again. */
  #makeRoom(peer: number): void {
    if (this.#perPeer.isSurplus(peer, 0)) return;
    this.#perPeer.hasSurplus[peer] = 0;
    this.#scan.markPeer(peer, SCAN_REIMPORT);
  }

  /** Fills what import decides of a path: attributes, reason, weight, next hop; takes the references. */
  #setAccepted(path: number, attrId: number, reason: number): void {
    const paths = this.#paths;
    const nextHopId = reason === 0 ? this.#import.nextHopId : this.#nextHopIdIn;
    paths.attrId[path] = attrId;
    if (attrId !== 0) this.#pool.refs[attrId]!++;
    paths.reason[path] = reason;
    paths.weight[path] = this.#import.weight;
    paths.since[path] = this.nowS;
    paths.nextHopId[path] = nextHopId;
    this.#nextHops.refs[nextHopId]!++;
    paths.flags[path]! &= ~PATH_NEXT_HOP_SET;
    if (nextHopId === this.#nextHopIdIn) return;
    paths.withNextHopsIn();
    paths.flags[path]! |= PATH_NEXT_HOP_SET;
    paths.nextHopIdIn[path] = this.#nextHopIdIn;
    this.#nextHops.refs[this.#nextHopIdIn]!++;
  }

  #isUnchanged(path: number, attrId: number, reason: number): boolean {
    const paths = this.#paths;
    return (
      paths.attrId[path] === attrId &&
      paths.attrIdIn[path] === this.#attrIdIn &&
      paths.reason[path] === reason &&
      paths.weight[path] === this.#import.weight &&
      paths.nextHopId[path] === (reason === 0 ? this.#import.nextHopId : this.#nextHopIdIn) &&
      paths.receivedNextHop(path) === this.#nextHopIdIn &&
      (!this.#isOpaque || paths.nlriDataOf(path) === this.nlriDataIn)
    );
  }

  /** A path of an older epoch is announced again as it was: stale no more, or back before its slice came. */
  #refresh(path: number): void {
    const wasLive = this.#perPeer.isLive(path);
    this.#perPeer.uncount(path);
    this.#perPeer.count(path);
    if (!wasLive) this.markDirty(this.#paths.prefix[path]!);
  }

  #dropAccepted(path: number): void {
    const paths = this.#paths;
    if (paths.attrId[path] !== 0) this.#pool.release(paths.attrId[path]!);
    if ((paths.flags[path]! & PATH_NEXT_HOP_SET) !== 0) this.#nextHops.release(paths.nextHopIdIn[path]!);
    this.#nextHops.release(paths.nextHopId[path]!);
  }
}
