// What an update group has sent, in columns: one path a prefix (`BestOut`), or a short list of them where ADD-PATH was
// negotiated (`PathsOut`, RFC 7911). Both find out what is to be sent of a prefix now, compare, and hand the
// differences to the group, which knows who hears of them.
//
// The path identifier that we send follows from whom the path is from (address, scope, its own identifier), so that it
// stays when the path changes, is the same in all groups and, above all, in our next life: FRR 8.4 sweeps but one stale
// path of a prefix after a restart, and would keep those under former identifiers for ever.
//
// Cost: a prefix 6 B, 4 more once a next hop is sent unchanged, 4 more where NLRI carry data; with ADD-PATH 4 B a
// prefix and 26 B a path.

import { grownCapacity, growU16, growU32 } from './columns.ts';
import { AWAITS_FIB, NOT_DECIDED, SENT } from './export-options.ts';
import type { ExportStage } from './export-stage.ts';
import type { Rib } from './rib.ts';
import { ONLY, TO_ALL } from './update-batch.ts';

/** One path as it was sent. `pathId` is 0 without ADD-PATH, `nextHopId` 0 for our own address towards the member. */
export interface SentPath {
  pathId: number;
  attrId: number;
  nextHopId: number;
  nlriDataId: number;
  source: number;
}

/**
 * The identifier (RFC 7911) that a path is sent with, from 1 on, unless a better one of the prefix has it: then the
 * first of `nextPathId` that none has.
 */
export function pathIdFor(rib: Rib, path: number): number {
  const { paths, peers } = rib;
  const peer = paths.peer[path]!;
  let hash = mixed(paths.pathIdOf(path), peers.scope[peer]!);
  const words = peers.addressLength[peer]! >>> 2;
  for (let word = 0; word < words; word++) hash = mixed(hash, peers.address[peer * 4 + word]!);
  return hash === 0 ? 1 : hash;
}

export const nextPathId = (pathId: number): number => (pathId === 0xffffffff ? 1 : pathId + 1);

/** The finalizer of MurmurHash3, which is a permutation: no two paths of one peer have the same identifier. */
function mixed(hash: number, word: number): number {
  let mix = hash ^ word;
  mix = Math.imul(mix ^ (mix >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return (mix ^ (mix >>> 16)) >>> 0;
}

/** The group that an adj-rib-out belongs to. */
export interface OutOwner {
  /** The member that is the source and hears nothing of its own route, or -1. */
  sourceMember(peer: number): number;
  /** A path is announced with `attr`, or withdrawn where it is 0, to `target` (update-batch.ts). */
  collect(id: number, pathId: number, attr: number, hop: number, data: number, target: number): void;
}

/** How many routes there are, in all and by source. */
export class OutCounts {
  routes = 0;
  bySource = new Uint32Array(16);

  add(source: number): void {
    if (source >= this.bySource.length)
      this.bySource = growU32(this.bySource, Math.max(source + 1, this.bySource.length * 2));
    this.bySource[source]!++;
    this.routes++;
  }

  remove(source: number): void {
    this.bySource[source]!--;
    this.routes--;
  }
}

/** One path a prefix. */
export class BestOut {
  readonly counts = new OutCounts();
  /** See PathsOut. */
  readonly ranked = 0;
  /** Attributes sent, one reference; 0 for nothing. */
  attrId = new Uint32Array(64);
  /** The peer the route came from. */
  source = new Uint16Array(64);
  /** Once a next hop is sent unchanged: its id, one reference; 0 for our own. */
  nextHopId = new Uint32Array(0);
  /** Once an NLRI carried data: its id, one reference. */
  nlriDataId = new Uint32Array(0);
  readonly #rib: Rib;
  readonly #stage: ExportStage;
  readonly #owner: OutOwner;

  constructor(rib: Rib, stage: ExportStage, owner: OutOwner) {
    this.#rib = rib;
    this.#stage = stage;
    this.#owner = owner;
  }

  has(id: number): boolean {
    return this.attrId[id] !== 0;
  }

  /** Brings what is sent of the prefix up to date; false while it has to be decided first. */
  export(id: number): boolean {
    const stage = this.#stage;
    stage.run(id);
    if (stage.reason === NOT_DECIDED) return false;
    if (stage.reason !== AWAITS_FIB) this.#replace(id);
    return true;
  }

  /** Puts the stage's result in the place of what was sent. */
  #replace(id: number): void {
    const stage = this.#stage;
    const owner = this.#owner;
    const oldAttr = this.attrId[id]!;
    const attr = stage.attrId;
    const hop = attr === 0 ? 0 : stage.nextHopId;
    const data = attr === 0 ? 0 : stage.nlriDataId;
    if (oldAttr === 0) {
      if (attr === 0) return;
      const { source } = stage;
      owner.collect(id, 0, attr, hop, data, owner.sourceMember(source));
      if (hop !== 0 || data !== 0) this.#store(id, attr, hop, data, source);
      else {
        // Columns of next hops and data hold 0 for a prefix of which nothing is sent.
        this.attrId[id] = attr;
        this.source[id] = source;
        this.counts.add(source);
      }
      return;
    }
    const oldSource = this.source[id]!;
    const isSame = attr === oldAttr && hop === this.hopOf(id) && data === this.#dataOf(id);
    if (isSame && (attr === 0 || stage.source === oldSource)) {
      if (attr !== 0) this.#rib.pool.release(attr);
      return;
    }
    const oldMember = owner.sourceMember(oldSource);
    const member = attr === 0 ? -1 : owner.sourceMember(stage.source);
    if (attr === 0) owner.collect(id, 0, 0, 0, 0, oldMember);
    else if (isSame) {
      // Only the source differs: nobody is concerned but the two peers it came from.
      if (oldMember >= 0) owner.collect(id, 0, attr, hop, data, ONLY + oldMember);
    } else owner.collect(id, 0, attr, hop, data, member);
    if (attr !== 0 && member >= 0 && member !== oldMember) owner.collect(id, 0, 0, 0, 0, ONLY + member);
    this.#store(id, attr, hop, data, stage.source);
  }

  /** Writes the columns; references and counts follow. The stage's reference becomes the column's. */
  #store(id: number, attr: number, hop: number, data: number, source: number): void {
    const { nextHops, pool, nlriData } = this.#rib;
    const oldAttr = this.attrId[id]!;
    if (oldAttr !== 0) this.counts.remove(this.source[id]!);
    this.attrId[id] = attr;
    this.source[id] = source;
    if (hop !== 0 && this.nextHopId.length === 0) this.nextHopId = new Uint32Array(this.attrId.length);
    if (this.nextHopId.length > 0) {
      const oldHop = this.nextHopId[id]!;
      if (hop !== 0) nextHops.retain(hop);
      if (oldHop !== 0) nextHops.release(oldHop);
      this.nextHopId[id] = hop;
    }
    if (data !== 0 && this.nlriDataId.length === 0) this.nlriDataId = new Uint32Array(this.attrId.length);
    if (this.nlriDataId.length > 0) {
      nlriData.retain(data);
      nlriData.release(this.nlriDataId[id]!);
      this.nlriDataId[id] = data;
    }
    if (attr !== 0) this.counts.add(source);
    if (oldAttr !== 0) pool.release(oldAttr);
  }

  /** Gives back what is held for the prefix; nobody is told. */
  clear(id: number): void {
    this.#store(id, 0, 0, 0, 0);
  }

  /** Sends what there is of the prefix, to `target` or to all but its source. */
  dump(id: number, send: OutOwner['collect']): void {
    if (this.attrId[id] === 0) return;
    const target = this.#owner.sourceMember(this.source[id]!);
    send(id, 0, this.attrId[id]!, this.hopOf(id), this.#dataOf(id), target);
  }

  /** Sends the state of what a member missed: a prefix, `pathIds` of no meaning here. */
  catchUp(id: number, member: number, _pathIds: readonly number[], send: OutOwner['collect']): void {
    const has = this.attrId[id] !== 0 && this.#owner.sourceMember(this.source[id]!) !== member;
    if (has) send(id, 0, this.attrId[id]!, this.hopOf(id), this.#dataOf(id), TO_ALL);
    else send(id, 0, 0, 0, 0, TO_ALL);
  }

  /** What is sent of the prefix. */
  list(id: number): SentPath[] {
    const attrId = id < this.attrId.length ? this.attrId[id]! : 0;
    if (attrId === 0) return [];
    const source = this.source[id]!;
    return [{ pathId: 0, attrId, nextHopId: this.hopOf(id), nlriDataId: this.#dataOf(id), source }];
  }

  /** Attributes, next hop and source of the path sent; 0 for nothing. */
  attrOf(id: number): number {
    return id < this.attrId.length ? this.attrId[id]! : 0;
  }

  hopOf(id: number): number {
    return id < this.nextHopId.length ? this.nextHopId[id]! : 0;
  }

  sourceOf(id: number): number {
    return this.attrOf(id) === 0 ? 0 : this.source[id]!;
  }

  grow(capacity: number): void {
    this.attrId = growU32(this.attrId, capacity);
    this.source = growU16(this.source, capacity);
    if (this.nextHopId.length > 0) this.nextHopId = growU32(this.nextHopId, capacity);
    if (this.nlriDataId.length > 0) this.nlriDataId = growU32(this.nlriDataId, capacity);
  }

  #dataOf(id: number): number {
    return this.nlriDataId.length === 0 ? 0 : this.nlriDataId[id]!;
  }
}

/** Several paths a prefix. */
export class PathsOut {
  readonly counts = new OutCounts();
  /** How many paths the last `export` has put in order: its cost grows with the square. */
  ranked = 0;
  /** By prefix id: the first entry, 0 for none. */
  #first = new Uint32Array(64);
  /** By entry from 1 on. The next of the prefix, or the next free one. */
  #next = new Uint32Array(64);
  #pathId = new Uint32Array(64);
  #attrId = new Uint32Array(64);
  #nextHopId = new Uint32Array(64);
  #nlriDataId = new Uint32Array(64);
  #source = new Uint16Array(64);
  #end = 1;
  #free = 0;
  readonly #max: number;
  readonly #rib: Rib;
  readonly #stage: ExportStage;
  readonly #owner: OutOwner;

  constructor(rib: Rib, stage: ExportStage, owner: OutOwner) {
    this.#rib = rib;
    this.#stage = stage;
    this.#owner = owner;
    const { addPath } = stage.options;
    this.#max = addPath === undefined || addPath.max === 0 ? Number.POSITIVE_INFINITY : addPath.max;
  }

  has(id: number): boolean {
    return this.#first[id] !== 0;
  }

  /** Brings what is sent of the prefix up to date; false while it has to be decided first. */
  export(id: number): boolean {
    const state = this.#stage.stateReason(id);
    this.ranked = 0;
    if (state === NOT_DECIDED) return false;
    if (state === AWAITS_FIB) return true;
    const old = this.#first[id]!;
    this.#first[id] = 0;
    let count = 0;
    let last = 0;
    if (state === SENT) {
      const { decision, prefixes } = this.#rib;
      const first = prefixes.firstPath[id]!;
      for (
        let path = decision.rankFirst(first);
        path !== 0 && count < this.#max;
        path = decision.rankNext(first)
      ) {
        this.ranked++;
        this.#stage.runPath(id, path);
        if (this.#stage.attrId === 0) continue;
        let pathId = pathIdFor(this.#rib, path);
        while (this.#find(this.#first[id]!, pathId) !== 0) pathId = nextPathId(pathId);
        const entry = this.#make(pathId);
        if (last === 0) this.#first[id] = entry;
        else this.#next[last] = entry;
        last = entry;
        count++;
      }
    }
    this.#tell(id, old);
    for (let entry = old; entry !== 0; ) {
      const next = this.#next[entry]!;
      this.#give(entry);
      entry = next;
    }
    return true;
  }

  /** An entry for what the stage has found; its reference and others become the entry's. */
  #make(pathId: number): number {
    const stage = this.#stage;
    let entry = this.#free;
    if (entry !== 0) this.#free = this.#next[entry]!;
    else {
      entry = this.#end++;
      if (entry === this.#next.length) this.#growEntries();
    }
    this.#next[entry] = 0;
    this.#pathId[entry] = pathId;
    this.#attrId[entry] = stage.attrId;
    this.#nextHopId[entry] = stage.nextHopId;
    this.#nlriDataId[entry] = stage.nlriDataId;
    this.#source[entry] = stage.source;
    if (stage.nextHopId !== 0) this.#rib.nextHops.retain(stage.nextHopId);
    this.#rib.nlriData.retain(stage.nlriDataId);
    this.counts.add(stage.source);
    return entry;
  }

  #give(entry: number): void {
    this.#rib.pool.release(this.#attrId[entry]!);
    if (this.#nextHopId[entry] !== 0) this.#rib.nextHops.release(this.#nextHopId[entry]!);
    this.#rib.nlriData.release(this.#nlriDataId[entry]!);
    this.counts.remove(this.#source[entry]!);
    this.#next[entry] = this.#free;
    this.#free = entry;
  }

  /** Compares the list of before with that of now. Lists are short. */
  #tell(id: number, old: number): void {
    const owner = this.#owner;
    for (let entry = old; entry !== 0; entry = this.#next[entry]!) {
      const pathId = this.#pathId[entry]!;
      if (this.#find(this.#first[id]!, pathId) === 0)
        owner.collect(id, pathId, 0, 0, 0, owner.sourceMember(this.#source[entry]!));
    }
    for (let entry = this.#first[id]!; entry !== 0; entry = this.#next[entry]!) {
      const before = this.#find(old, this.#pathId[entry]!);
      const member = owner.sourceMember(this.#source[entry]!);
      const oldMember = before === 0 ? -1 : owner.sourceMember(this.#source[before]!);
      if (before === 0 || !this.#isSame(entry, before)) this.#announce(id, entry, member);
      else if (member !== oldMember && oldMember >= 0) this.#announce(id, entry, ONLY + oldMember);
      // The number of a path is used again: what its new source knew under it is gone.
      if (before !== 0 && member >= 0 && member !== oldMember)
        owner.collect(id, this.#pathId[entry]!, 0, 0, 0, ONLY + member);
    }
  }

  #announce(id: number, entry: number, target: number): void {
    const hop = this.#nextHopId[entry]!;
    this.#owner.collect(
      id,
      this.#pathId[entry]!,
      this.#attrId[entry]!,
      hop,
      this.#nlriDataId[entry]!,
      target,
    );
  }

  #isSame(a: number, b: number): boolean {
    return (
      this.#attrId[a] === this.#attrId[b] &&
      this.#nextHopId[a] === this.#nextHopId[b] &&
      this.#nlriDataId[a] === this.#nlriDataId[b]
    );
  }

  #find(first: number, pathId: number): number {
    let entry = first;
    while (entry !== 0 && this.#pathId[entry] !== pathId) entry = this.#next[entry]!;
    return entry;
  }

  /** Gives back what is held for the prefix; nobody is told. */
  clear(id: number): void {
    for (let entry = this.#first[id]!; entry !== 0; ) {
      const next = this.#next[entry]!;
      this.#give(entry);
      entry = next;
    }
    this.#first[id] = 0;
  }

  /** Sends what there is of the prefix, each path to all but its source. */
  dump(id: number, send: OutOwner['collect']): void {
    for (let entry = this.#first[id]!; entry !== 0; entry = this.#next[entry]!) {
      const target = this.#owner.sourceMember(this.#source[entry]!);
      const hop = this.#nextHopId[entry]!;
      send(id, this.#pathId[entry]!, this.#attrId[entry]!, hop, this.#nlriDataId[entry]!, target);
    }
  }

  /** Sends the state of the paths that a member missed the changes of. */
  catchUp(id: number, member: number, pathIds: readonly number[], send: OutOwner['collect']): void {
    for (const pathId of pathIds) {
      const entry = this.#find(this.#first[id]!, pathId);
      if (entry === 0 || this.#owner.sourceMember(this.#source[entry]!) === member) {
        send(id, pathId, 0, 0, 0, TO_ALL);
        continue;
      }
      const hop = this.#nextHopId[entry]!;
      send(id, pathId, this.#attrId[entry]!, hop, this.#nlriDataId[entry]!, TO_ALL);
    }
  }

  /** What is sent of the prefix, best first. */
  list(id: number): SentPath[] {
    const list: SentPath[] = [];
    const first = id < this.#first.length ? this.#first[id]! : 0;
    for (let entry = first; entry !== 0; entry = this.#next[entry]!)
      list.push({
        pathId: this.#pathId[entry]!,
        attrId: this.#attrId[entry]!,
        nextHopId: this.#nextHopId[entry]!,
        nlriDataId: this.#nlriDataId[entry]!,
        source: this.#source[entry]!,
      });
    return list;
  }

  /** Attributes, next hop and source of the best path sent; 0 for nothing. */
  attrOf(id: number): number {
    return this.#attrId[this.#firstOf(id)]!;
  }

  hopOf(id: number): number {
    return this.#nextHopId[this.#firstOf(id)]!;
  }

  sourceOf(id: number): number {
    return this.#source[this.#firstOf(id)]!;
  }

  /** Entry 0 is empty. */
  #firstOf(id: number): number {
    return id < this.#first.length ? this.#first[id]! : 0;
  }

  grow(capacity: number): void {
    this.#first = growU32(this.#first, capacity);
  }

  #growEntries(): void {
    const capacity = grownCapacity(this.#next.length, this.#next.length + 1);
    this.#next = growU32(this.#next, capacity);
    this.#pathId = growU32(this.#pathId, capacity);
    this.#attrId = growU32(this.#attrId, capacity);
    this.#nextHopId = growU32(this.#nextHopId, capacity);
    this.#nlriDataId = growU32(this.#nlriDataId, capacity);
    this.#source = growU16(this.#source, capacity);
  }
}
