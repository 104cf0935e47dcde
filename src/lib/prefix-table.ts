// Prefix -> dense id, by open addressing in typed arrays. The key is a bit string of at most 128 bits and its
// length; nothing here knows that it is an IP prefix. An id is stable until released and then used again, so
// that a caller can keep its own columns in arrays indexed by it (and grow them when `capacity` grows).
//
// Cost: IPv4 5 B a prefix + 8-16 B of slots (load kept between 1/4 and 1/2 after growth), IPv6 17 B + slots.
// Measured for 1 M IPv4 inserts: about 50 ms. Limit: 2^30 ids.

import { assert } from './assert.ts';

const EMPTY = -1;
const DELETED = -2;

export class PrefixTable {
  /** 32-bit words a key: 1 for IPv4, 4 for IPv6. */
  readonly words: 1 | 4;
  /** Key words, `words` per id, most significant first; bits beyond the length are zero. */
  address: Uint32Array;
  /** Prefix length in bits per id. */
  length: Uint8Array;
  /** Ids are below this; arrays beside the table are sized by `capacity`. */
  idEnd = 0;
  /** How many ids are in use. */
  size = 0;
  #slots: Int32Array;
  #mask: number;
  #used = 0;
  #free: Int32Array;
  #freeCount = 0;
  #live: Uint8Array;

  constructor(words: 1 | 4, capacity = 1024) {
    this.words = words;
    let slots = 16;
    while (slots < capacity * 2) slots *= 2;
    this.address = new Uint32Array(capacity * words);
    this.length = new Uint8Array(capacity);
    this.#slots = new Int32Array(slots).fill(EMPTY);
    this.#mask = slots - 1;
    this.#free = new Int32Array(64);
    this.#live = new Uint8Array(capacity);
  }

  get capacity(): number {
    return this.length.length;
  }

  /** Whether the id is in use. */
  has(id: number): boolean {
    return this.#live[id] === 1;
  }

  /** The id of an IPv4-sized key, or -1. `a` has zero bits beyond `length`. */
  find1(a: number, length: number): number {
    const slots = this.#slots;
    for (let slot = hash1(a, length) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const id = slots[slot]!;
      if (id === EMPTY) return -1;
      if (id >= 0 && this.address[id] === a && this.length[id] === length) return id;
    }
  }

  /** The id of an IPv4-sized key, made if absent. */
  add1(a: number, length: number): number {
    const slots = this.#slots;
    let grave = -1;
    let slot = hash1(a, length) & this.#mask;
    for (; ; slot = (slot + 1) & this.#mask) {
      const id = slots[slot]!;
      if (id === EMPTY) break;
      if (id === DELETED) {
        if (grave < 0) grave = slot;
      } else if (this.address[id] === a && this.length[id] === length) return id;
    }
    const id = this.#take(grave >= 0 ? grave : slot, grave < 0);
    this.address[id] = a;
    this.length[id] = length;
    if (this.#used * 2 > this.#mask) this.#rehash();
    return id;
  }

  /** The id of an IPv6-sized key, or -1. */
  find4(a: number, b: number, c: number, d: number, length: number): number {
    const slots = this.#slots;
    for (let slot = hash4(a, b, c, d, length) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const id = slots[slot]!;
      if (id === EMPTY) return -1;
      if (id >= 0 && this.#same4(id, a, b, c, d, length)) return id;
    }
  }

  /** The id of an IPv6-sized key, made if absent. */
  add4(a: number, b: number, c: number, d: number, length: number): number {
    const slots = this.#slots;
    let grave = -1;
    let slot = hash4(a, b, c, d, length) & this.#mask;
    for (; ; slot = (slot + 1) & this.#mask) {
      const id = slots[slot]!;
      if (id === EMPTY) break;
      if (id === DELETED) {
        if (grave < 0) grave = slot;
      } else if (this.#same4(id, a, b, c, d, length)) return id;
    }
    const id = this.#take(grave >= 0 ? grave : slot, grave < 0);
    const at = id * 4;
    this.address[at] = a;
    this.address[at + 1] = b;
    this.address[at + 2] = c;
    this.address[at + 3] = d;
    this.length[id] = length;
    if (this.#used * 2 > this.#mask) this.#rehash();
    return id;
  }

  /** Gives an id back; its slot becomes a grave until the next rehash. */
  release(id: number): void {
    assert(this.#live[id] === 1, `prefix id ${id} is not in use`);
    const slots = this.#slots;
    let slot = this.#hashOf(id) & this.#mask;
    while (slots[slot] !== id) slot = (slot + 1) & this.#mask;
    // A grave is needed only where a probe sequence may go on behind it.
    if (slots[(slot + 1) & this.#mask] === EMPTY) {
      slots[slot] = EMPTY;
      this.#used--;
    } else slots[slot] = DELETED;
    this.#live[id] = 0;
    this.size--;
    if (this.#freeCount === this.#free.length) {
      const grown = new Int32Array(this.#free.length * 2);
      grown.set(this.#free);
      this.#free = grown;
    }
    this.#free[this.#freeCount++] = id;
  }

  #same4(id: number, a: number, b: number, c: number, d: number, length: number): boolean {
    const at = id * 4;
    return (
      this.address[at + 3] === d &&
      this.address[at + 2] === c &&
      this.address[at + 1] === b &&
      this.address[at] === a &&
      this.length[id] === length
    );
  }

  #take(slot: number, freshSlot: boolean): number {
    let id: number;
    if (this.#freeCount > 0) id = this.#free[--this.#freeCount]!;
    else {
      if (this.idEnd === this.length.length) this.#grow();
      id = this.idEnd++;
    }
    this.#slots[slot] = id;
    this.#live[id] = 1;
    this.size++;
    if (freshSlot) this.#used++;
    return id;
  }

  #grow(): void {
    const capacity = this.length.length * 2;
    const address = new Uint32Array(capacity * this.words);
    address.set(this.address);
    this.address = address;
    const length = new Uint8Array(capacity);
    length.set(this.length);
    this.length = length;
    const live = new Uint8Array(capacity);
    live.set(this.#live);
    this.#live = live;
  }

  #rehash(): void {
    let count = this.#slots.length;
    if (this.size * 4 > count) count *= 2;
    const slots = new Int32Array(count).fill(EMPTY);
    const mask = count - 1;
    for (let id = 0; id < this.idEnd; id++) {
      if (this.#live[id] === 0) continue;
      let slot = this.#hashOf(id) & mask;
      while (slots[slot] !== EMPTY) slot = (slot + 1) & mask;
      slots[slot] = id;
    }
    this.#slots = slots;
    this.#mask = mask;
    this.#used = this.size;
  }

  #hashOf(id: number): number {
    if (this.words === 1) return hash1(this.address[id]!, this.length[id]!);
    const at = id * 4;
    const w = this.address;
    return hash4(w[at]!, w[at + 1]!, w[at + 2]!, w[at + 3]!, this.length[id]!);
  }
}

function hash1(a: number, length: number): number {
  const h = Math.imul(a ^ Math.imul(length, 0x85ebca6b), 0x9e3779b1);
  return h ^ (h >>> 15);
}

function hash4(a: number, b: number, c: number, d: number, length: number): number {
  let h = Math.imul(a ^ Math.imul(length, 0x85ebca6b), 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ b, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13) ^ c, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16) ^ d, 0x9e3779b1);
  return h ^ (h >>> 15);
}
