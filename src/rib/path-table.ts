// The paths of one RIB (the adj-rib-in of every peer) in parallel columns, one row a path, linked into a list a
// prefix. No object per route: a path is an index from 1; 0 is no path.
//
// Cost a path: 31 B, 4 more where ADD-PATH is received, 4 more where an import policy sets next hops, 4 more where
// NLRI carry more than a key.
// For 1 M prefixes from one peer that is 31 MB; from ten peers 310 MB.

import { growI32, grownCapacity, growU8, growU16, growU32 } from './columns.ts';

/** Bits of the `flags` column. */
export const PATH_USED = 1;
/** The path was announced again since its prefix was last decided. */
export const PATH_CHANGED = 2;
/** Import set the next hop; the one received is in `nextHopIdIn`. */
export const PATH_NEXT_HOP_SET = 4;
/** Taken by the ranking under way (decision.ts). */
export const PATH_RANKED = 8;

export class PathTable {
  /** 4 B: prefix id. */
  prefix = new Int32Array(64);
  /** 4 B: the next path of the prefix, or the next free path. */
  next = new Uint32Array(64);
  /** 2 B: index into the peer table. */
  peer = new Uint16Array(64);
  /** 1 B: the peer's epoch when the path was last announced; an older one means stale or gone. */
  epoch = new Uint8Array(64);
  /** 1 B. */
  flags = new Uint8Array(64);
  /** 1 B: 0 for an accepted path, else the reason for its rejection (reason.ts). */
  reason = new Uint8Array(64);
  /** 4 B: attributes as received, one reference. */
  attrIdIn = new Uint32Array(64);
  /** 4 B: attributes after import, one reference; 0 where the path is rejected. */
  attrId = new Uint32Array(64);
  /** 4 B: the next hop in force, one reference. */
  nextHopId = new Uint32Array(64);
  /** 2 B: weight after import. */
  weight = new Uint16Array(64);
  /** 4 B: when the path last changed, in the RIB's seconds. */
  since = new Uint32Array(64);
  /** 4 B, only once ADD-PATH is received (else empty): path identifier of RFC 7911. */
  pathId = new Uint32Array(0);
  /** 4 B, only once a policy sets next hops (else empty): the next hop as received, one reference. */
  nextHopIdIn = new Uint32Array(0);
  /** 4 B, only once an NLRI carries data (else empty): its id (nlri-data.ts), one reference. */
  nlriDataId = new Uint32Array(0);
  /** Paths are in [1, end). */
  end = 1;
  /** Paths in use. */
  size = 0;
  #free = 0;
  #freeCount = 0;

  /** Makes sure that `count` paths can be taken without a column moving. */
  reserve(count: number): void {
    if (this.end + Math.max(0, count - this.#freeCount) > this.prefix.length) this.#grow(this.end + count);
  }

  /** A path that is not in use; `reserve` has been called. All columns are the caller's to fill. */
  take(): number {
    this.size++;
    const path = this.#free;
    if (path === 0) return this.end++;
    this.#free = this.next[path]!;
    this.#freeCount--;
    return path;
  }

  /** Gives a path back that is in no list any more. */
  give(path: number): void {
    this.flags[path] = 0;
    this.attrId[path] = 0;
    this.next[path] = this.#free;
    this.#free = path;
    this.#freeCount++;
    this.size--;
  }

  /** Makes the column of path identifiers. */
  withPathIds(): void {
    if (this.pathId.length === 0) this.pathId = new Uint32Array(this.prefix.length);
  }

  /** Makes the column of next hops as received. */
  withNextHopsIn(): void {
    if (this.nextHopIdIn.length === 0) this.nextHopIdIn = new Uint32Array(this.prefix.length);
  }

  /** Makes the column of what NLRI carry. */
  withNlriData(): void {
    if (this.nlriDataId.length === 0) this.nlriDataId = new Uint32Array(this.prefix.length);
  }

  /** What the NLRI of the path carries beside its key; 0 for nothing. */
  nlriDataOf(path: number): number {
    return this.nlriDataId.length === 0 ? 0 : this.nlriDataId[path]!;
  }

  /** RFC 7911 path identifier; 0 where none was received. */
  pathIdOf(path: number): number {
    return this.pathId.length === 0 ? 0 : this.pathId[path]!;
  }

  /** The next hop as the peer sent it. */
  receivedNextHop(path: number): number {
    return (this.flags[path]! & PATH_NEXT_HOP_SET) === 0 ? this.nextHopId[path]! : this.nextHopIdIn[path]!;
  }

  #grow(need: number): void {
    const capacity = grownCapacity(this.prefix.length, need);
    this.prefix = growI32(this.prefix, capacity);
    this.next = growU32(this.next, capacity);
    this.peer = growU16(this.peer, capacity);
    this.epoch = growU8(this.epoch, capacity);
    this.flags = growU8(this.flags, capacity);
    this.reason = growU8(this.reason, capacity);
    this.attrIdIn = growU32(this.attrIdIn, capacity);
    this.attrId = growU32(this.attrId, capacity);
    this.nextHopId = growU32(this.nextHopId, capacity);
    this.weight = growU16(this.weight, capacity);
    this.since = growU32(this.since, capacity);
    if (this.pathId.length > 0) this.pathId = growU32(this.pathId, capacity);
    if (this.nextHopIdIn.length > 0) this.nextHopIdIn = growU32(this.nextHopIdIn, capacity);
    if (this.nlriDataId.length > 0) this.nlriDataId = growU32(this.nlriDataId, capacity);
  }
}
