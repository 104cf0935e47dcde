// The set of next hops a prefix is forwarded to: what the kernel knows as a next-hop group. A fabric has a few
// hundred sets for any number of prefixes, so a prefix holds only the id of its set, and a set that changes is
// one message to the kernel (DESIGN: prefix-independent convergence).
//
// Set 0 is "no route"; set 1 is "this router" and is never installed by us; set 2 discards what goes there; none of
// them is counted. A set keeps its next hops alive. Members may have weights (draft-ietf-idr-link-bandwidth).

import { assert } from '../lib/assert.ts';
import { defaultHashKey, type HashKey, lastMix, mixWord } from '../lib/hash-key.ts';
import { growU16, growU32 } from './columns.ts';
import { IdHash } from './id-hash.ts';
import { IdQueue } from './id-queue.ts';
import { FIRST_NEXT_HOP, NEXT_HOP_DISCARD, NEXT_HOP_SELF, type NextHopTable } from './next-hop-table.ts';

export const NO_SET = 0;
export const LOCAL_SET = 1;
/** Packets are dropped: the kernel has a route that says so. */
export const BLACKHOLE_SET = 2;
/** Sets from here on have members. */
export const FIRST_SET = 3;

/** A set has at most this many members; `multipath` is below it. */
export const SET_MEMBERS_MAX = 64;

export class NextHopSets {
  refs = new Uint32Array(64);
  /** Members per set. */
  count = new Uint16Array(64);
  /** Ids are below this. */
  idEnd = FIRST_SET;
  #members: Uint32Array[] = [
    new Uint32Array(0),
    new Uint32Array([NEXT_HOP_SELF]),
    new Uint32Array([NEXT_HOP_DISCARD]),
  ];
  /** Of sets whose members have unequal weights. */
  #weights: (Uint8Array | undefined)[] = [];
  /** How many such there are. */
  #weighted = 0;
  readonly #index = new IdHash();
  #free = new IdQueue();
  readonly #nextHops: NextHopTable;

  readonly #hashKey: HashKey;

  /** `hashKey` is secret where peers choose which next hops a prefix has. */
  constructor(nextHops: NextHopTable, hashKey: HashKey = defaultHashKey) {
    this.#nextHops = nextHops;
    this.#hashKey = hashKey;
    this.count[LOCAL_SET] = 1;
    this.count[BLACKHOLE_SET] = 1;
  }

  /** Sets in use, without the two fixed ones. */
  get size(): number {
    return this.#index.size;
  }

  /**
   * The id of ids[0, count), which are sorted ascending and distinct; the caller owns a reference. An empty
   * list is NO_SET, and whatever contains this router is LOCAL_SET: a packet that is ours goes no further; what
   * contains "discard" is BLACKHOLE_SET. `weights` (1..255) run along with `ids`, where they are not all the same.
   */
  intern(ids: Uint32Array, count: number, weights?: Uint8Array): number {
    assert(count <= SET_MEMBERS_MAX, 'a set of next hops is bounded');
    if (count === 0) return NO_SET;
    if (ids[0]! < FIRST_NEXT_HOP) return ids[0] === NEXT_HOP_SELF ? LOCAL_SET : BLACKHOLE_SET;
    let hash = count;
    for (let i = 0; i < count; i++) hash = mixWord(hash, ids[i]!, this.#hashKey);
    if (weights !== undefined)
      for (let i = 0; i < count; i++) hash = mixWord(hash, weights[i]!, this.#hashKey);
    hash = lastMix(hash, this.#hashKey);
    const index = this.#index;
    for (let slot = index.first(hash), id = index.slots[slot]!; id !== 0; id = index.slots[slot]!) {
      if (index.hash[id] === hash && this.#is(id, ids, count, weights)) {
        this.refs[id]!++;
        return id;
      }
      slot = index.after(slot);
    }
    const id = this.#free.count > 0 ? this.#free.shift() : this.idEnd++;
    if (id >= this.refs.length) {
      this.refs = growU32(this.refs, id * 2);
      this.count = growU16(this.count, id * 2);
    }
    index.add(id, hash);
    this.refs[id] = 1;
    this.count[id] = count;
    this.#members[id] = ids.slice(0, count);
    this.#weights[id] = weights?.slice(0, count);
    if (weights !== undefined) this.#weighted++;
    for (let i = 0; i < count; i++) this.#nextHops.retain(ids[i]!);
    return id;
  }

  /** The members, sorted ascending; not to be written to. */
  members(id: number): Uint32Array {
    return this.#members[id]!;
  }

  /** Weights of the members, in their order; undefined where all are the same. */
  weights(id: number): Uint8Array | undefined {
    return this.#weights[id];
  }

  retain(id: number, count = 1): void {
    if (id >= FIRST_SET) this.refs[id]! += count;
  }

  release(id: number, count = 1): void {
    if (id < FIRST_SET) return;
    assert(this.refs[id]! >= count, 'a set of next hops is released more often than it was retained');
    this.refs[id]! -= count;
    if (this.refs[id] !== 0) return;
    this.#index.remove(id);
    this.#free.push(id);
    const members = this.#members[id]!;
    for (let i = 0; i < members.length; i++) this.#nextHops.release(members[i]!);
    this.#members[id] = this.#members[NO_SET]!;
    if (this.#weights[id] !== undefined) this.#weighted--;
    this.#weights[id] = undefined;
    this.count[id] = 0;
  }

  /** Visits every set in use that has `nextHopId` as a member. */
  forEachWith(nextHopId: number, visit: (setId: number) => void): void {
    for (let id = FIRST_SET; id < this.idEnd; id++)
      if (this.refs[id] !== 0 && this.#members[id]!.includes(nextHopId)) visit(id);
  }

  /** See IdHash.searchSteps. */
  get searchSteps(): number {
    return this.#index.searchSteps;
  }

  #is(id: number, ids: Uint32Array, count: number, weights: Uint8Array | undefined): boolean {
    const members = this.#members[id]!;
    if (members.length !== count) return false;
    for (let i = 0; i < count; i++) if (members[i] !== ids[i]) return false;
    if (this.#weighted === 0 && weights === undefined) return true;
    const known = this.#weights[id];
    if (known === undefined || weights === undefined) return known === weights;
    for (let i = 0; i < count; i++) if (known[i] !== weights[i]) return false;
    return true;
  }
}
