// Bytes -> dense id, for keys of any length: NLRI that is more than a prefix, and what such NLRI carries. As
// prefix-table.ts an id is stable until released and then used again, so that a caller keeps columns of his own.
//
// Bytes lie in pages that never move; an id keeps its block when it is released and is used again for a key of the
// same size class (size-class.ts), so that a peer that changes sizes wastes little. Removal from the slots shifts
// back instead of leaving graves. The hash is keyed (hash-key.ts), as peers choose the content.
// Cost: 15 B a key + its bytes, rounded up, + 8-16 B of slots. Limits: keys of 65535 bytes, 4 GiB in all.

import { assert } from './assert.ts';
import { sameBytes } from './bytes.ts';
import { halfSipHash } from './half-sip-hash.ts';
import { defaultHashKey, type HashKey } from './hash-key.ts';
import { blockBytes, sizeClassOf } from './size-class.ts';

const PAGE_SHIFT = 17;
const PAGE_SIZE = 1 << PAGE_SHIFT;

export class ByteTable {
  /** Bytes per id. */
  length = new Uint16Array(64);
  /** Ids are below this. */
  idEnd = 0;
  /** How many ids are in use. */
  size = 0;
  #start = new Uint32Array(64);
  /** The hash of an id in use; of a free one, the next free id of its size class + 1. */
  #hash = new Uint32Array(64);
  #live = new Uint8Array(64);
  /** Id + 1, or 0. */
  #slots = new Uint32Array(128);
  #mask = 127;
  #pages: Uint8Array[] = [];
  #top = 0;
  /** The first free id + 1, by size class. */
  readonly #free = new Map<number, number>();
  readonly #hashKey: HashKey;

  /** `hashKey` is secret where the keys are chosen by others. */
  constructor(hashKey: HashKey = defaultHashKey) {
    this.#hashKey = hashKey;
  }

  /** Whether the id is in use. */
  has(id: number): boolean {
    return this.#live[id] === 1;
  }

  /** The page that holds the key's bytes, from `offset(id)` on, `length[id]` of them. */
  page(id: number): Uint8Array {
    return this.#pages[this.#start[id]! >>> PAGE_SHIFT]!;
  }

  /** Where in its page the key begins. */
  offset(id: number): number {
    return this.#start[id]! & (PAGE_SIZE - 1);
  }

  /** A copy of the key: for the edges. */
  copyOf(id: number): Uint8Array {
    const at = this.offset(id);
    return this.page(id).slice(at, at + this.length[id]!);
  }

  /** The id of bytes[start, end), or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    return this.#find(bytes, start, end, halfSipHash(bytes, start, end, this.#hashKey));
  }

  /** The id of bytes[start, end), made if absent. */
  add(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    assert(length >= 0 && length <= 0xffff, 'a key fits a message');
    const hash = halfSipHash(bytes, start, end, this.#hashKey);
    const known = this.#find(bytes, start, end, hash);
    if (known >= 0) return known;
    const id = this.#take(length);
    const page = this.page(id);
    const at = this.offset(id);
    for (let i = 0; i < length; i++) page[at + i] = bytes[start + i]!;
    this.length[id] = length;
    this.#hash[id] = hash;
    this.#live[id] = 1;
    this.#place(id);
    if (++this.size * 2 > this.#mask) this.#rehash();
    return id;
  }

  /** Gives an id back. */
  release(id: number): void {
    assert(this.#live[id] === 1, `key id ${id} is not in use`);
    this.#remove(id);
    this.#live[id] = 0;
    this.size--;
    const sizeClass = sizeClassOf(this.length[id]!);
    this.#hash[id] = this.#free.get(sizeClass) ?? 0;
    this.#free.set(sizeClass, id + 1);
  }

  /** Gives all ids back at once. */
  clear(): void {
    if (this.#slots.length > 1024) {
      this.#slots = new Uint32Array(128);
      this.#mask = 127;
    } else this.#slots.fill(0);
    this.#live.fill(0, 0, this.idEnd);
    this.#pages.length = Math.min(this.#pages.length, 1);
    this.#free.clear();
    this.#top = 0;
    this.size = 0;
    this.idEnd = 0;
  }

  /** Steps beyond the first slot that finding every key once takes: for tests and diagnosis. */
  get searchSteps(): number {
    let steps = 0;
    for (let slot = 0; slot <= this.#mask; slot++) {
      const entry = this.#slots[slot]!;
      if (entry !== 0) steps += (slot - this.#hash[entry - 1]!) & this.#mask;
    }
    return steps;
  }

  #find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const length = end - start;
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const id = this.#slots[slot]! - 1;
      if (id < 0) return -1;
      if (this.#hash[id] !== hash || this.length[id] !== length) continue;
      if (sameBytes(this.page(id), this.offset(id), bytes, start, length)) return id;
    }
  }

  #place(id: number): void {
    let slot = this.#hash[id]! & this.#mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = id + 1;
  }

  #remove(id: number): void {
    const slots = this.#slots;
    const hash = this.#hash;
    const mask = this.#mask;
    let hole = hash[id]! & mask;
    while (slots[hole] !== id + 1) hole = (hole + 1) & mask;
    for (let slot = (hole + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = hash[slots[slot]! - 1]! & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      slots[hole] = slots[slot]!;
      hole = slot;
    }
    slots[hole] = 0;
  }

  #rehash(): void {
    this.#slots = new Uint32Array((this.#mask + 1) * 2);
    this.#mask = this.#slots.length - 1;
    for (let id = 0; id < this.idEnd; id++) if (this.#live[id] === 1) this.#place(id);
  }

  /** An id with a block for `length` bytes. */
  #take(length: number): number {
    const sizeClass = sizeClassOf(length);
    const free = this.#free.get(sizeClass) ?? 0;
    if (free !== 0) {
      this.#free.set(sizeClass, this.#hash[free - 1]!);
      return free - 1;
    }
    if (this.idEnd === this.length.length) this.#grow();
    const id = this.idEnd++;
    const size = blockBytes(sizeClass);
    const used = this.#top & (PAGE_SIZE - 1);
    if (used + size > PAGE_SIZE || this.#top === this.#pages.length * PAGE_SIZE) {
      this.#top = Math.ceil(this.#top / PAGE_SIZE) * PAGE_SIZE;
      if (this.#top === this.#pages.length * PAGE_SIZE) this.#pages.push(new Uint8Array(PAGE_SIZE));
      assert(this.#pages.length <= 32768, 'a byte table holds at most 4 GiB');
    }
    this.#start[id] = this.#top;
    this.#top += size;
    return id;
  }

  #grow(): void {
    const capacity = this.length.length * 2;
    const length = new Uint16Array(capacity);
    length.set(this.length);
    this.length = length;
    const start = new Uint32Array(capacity);
    start.set(this.#start);
    this.#start = start;
    const hash = new Uint32Array(capacity);
    hash.set(this.#hash);
    this.#hash = hash;
    const live = new Uint8Array(capacity);
    live.set(this.#live);
    this.#live = live;
  }
}
