// Prefix -> dense id, by open addressing in typed arrays. The key is a bit string of at most 128 bits and its
// length; nothing here knows that it is an IP prefix. An id is stable until released and then used again, so that
// a caller keeps its own columns in arrays indexed by it. With a million prefixes the time goes into cache misses:
//
// A slot is a pair, the whole 32-bit hash and the id. The hash of a one-word key can be undone for a given
// length, so equal hash and equal length are equal keys: a search reads one line of slots and one length, never
// the addresses of other prefixes. It depends on a secret, as peers choose the prefixes (hash-key.ts). The place
// of a key is given by the high bits of its hash, so a table that grows is copied in order. `touch1` and `touch4`
// bring the lines of many keys into the cache side by side, instead of one after the other. Measured for 1 M IPv4
// keys: adding 89 ns, finding 50.
//
// Cost: IPv4 6 B a prefix, IPv6 18 B, and 16-32 B of slots (load between 1/4 and 1/2). Limit: 2^30 ids.

import { assert } from './assert.ts';
import { defaultHashKey, type HashKey } from './hash-key.ts';

/** Beyond this many keys the table grows to a million at once: untouched pages cost nothing, copying does. */
const MEDIUM = 1 << 16;
const LARGE = 1 << 20;
const EMPTY = 0;
const GRAVE = -1;

export class PrefixTable {
  /** 32-bit words a key: 1 for IPv4, 4 for IPv6. */
  readonly words: 1 | 4;
  /** Key words, `words` per id, most significant first; bits beyond the length are zero. */
  address: Uint32Array;
  /** Prefix length in bits per id. */
  length: Uint8Array;
  /** Ids are below this. */
  idEnd = 0;
  /** How many ids are in use. */
  size = 0;
  /** What `touch1` and `touch4` read: it means nothing, but without a use the reads would be optimized away. */
  touched = 0;
  /** Pairs: hash, and id + 1, EMPTY or GRAVE. */
  #slots: Int32Array;
  /** Takes an index into `#slots` round to an even one within it. */
  #mask: number;
  /** Shifts a hash to the number of its pair. */
  #shift: number;
  /** Pairs that are not EMPTY. */
  #used = 0;
  #free = new Int32Array(64);
  #freeCount = 0;
  #live: Uint8Array;
  readonly #key: HashKey;

  /** With room for `capacity` keys at first; `hashKey` where the prefixes are chosen by others. */
  constructor(words: 1 | 4, capacity = 1024, hashKey: HashKey = defaultHashKey) {
    this.words = words;
    this.#key = hashKey;
    let pairs = 16;
    while (pairs < capacity * 2) pairs *= 2;
    this.address = new Uint32Array(capacity * words);
    this.length = new Uint8Array(capacity);
    this.#live = new Uint8Array(capacity);
    this.#slots = new Int32Array(pairs * 2);
    this.#mask = pairs * 2 - 2;
    this.#shift = 1 + Math.clz32(pairs);
  }

  /** Whether the id is in use. */
  has(id: number): boolean {
    return this.#live[id] === 1;
  }

  /** Reads the slot where the search for an IPv4-sized key begins, so that it is in the cache soon after. */
  touch1(a: number, length: number): void {
    this.touched ^= this.#slots[(this.#hash1(a, length) >>> this.#shift) << 1]!;
  }

  /** As touch1, for an IPv6-sized key. */
  touch4(a: number, b: number, c: number, d: number, length: number): void {
    this.touched ^= this.#slots[(this.#hash4(a, b, c, d, length) >>> this.#shift) << 1]!;
  }

  /** The id of an IPv4-sized key, or -1. `a` has zero bits beyond `length`. */
  find1(a: number, length: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    const hash = this.#hash1(a, length);
    for (let at = (hash >>> this.#shift) << 1; ; at = (at + 2) & mask) {
      const entry = slots[at + 1]!;
      if (entry === EMPTY) return -1;
      if (slots[at] === hash && entry > 0 && this.length[entry - 1] === length) return entry - 1;
    }
  }

  /** The id of an IPv4-sized key, made if absent. */
  add1(a: number, length: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    const hash = this.#hash1(a, length);
    let grave = -1;
    let at = (hash >>> this.#shift) << 1;
    for (; ; at = (at + 2) & mask) {
      const entry = slots[at + 1]!;
      if (entry === EMPTY) break;
      if (entry === GRAVE) {
        if (grave < 0) grave = at;
      } else if (slots[at] === hash && this.length[entry - 1] === length) return entry - 1;
    }
    const id = this.#take(hash, at, grave);
    this.address[id] = a;
    this.length[id] = length;
    if (this.#used * 4 > mask) this.#rehash();
    return id;
  }

  /** The id of an IPv6-sized key, or -1. */
  find4(a: number, b: number, c: number, d: number, length: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    const hash = this.#hash4(a, b, c, d, length);
    for (let at = (hash >>> this.#shift) << 1; ; at = (at + 2) & mask) {
      const entry = slots[at + 1]!;
      if (entry === EMPTY) return -1;
      if (slots[at] === hash && entry > 0 && this.#same4(entry - 1, a, b, c, d, length)) return entry - 1;
    }
  }

  /** The id of an IPv6-sized key, made if absent. */
  add4(a: number, b: number, c: number, d: number, length: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    const hash = this.#hash4(a, b, c, d, length);
    let grave = -1;
    let at = (hash >>> this.#shift) << 1;
    for (; ; at = (at + 2) & mask) {
      const entry = slots[at + 1]!;
      if (entry === EMPTY) break;
      if (entry === GRAVE) {
        if (grave < 0) grave = at;
      } else if (slots[at] === hash && this.#same4(entry - 1, a, b, c, d, length)) return entry - 1;
    }
    const id = this.#take(hash, at, grave);
    const word = id * 4;
    this.address[word] = a;
    this.address[word + 1] = b;
    this.address[word + 2] = c;
    this.address[word + 3] = d;
    this.length[id] = length;
    if (this.#used * 4 > mask) this.#rehash();
    return id;
  }

  /** Gives an id back; its slot becomes a grave, which the next rehash clears away. */
  release(id: number): void {
    assert(this.#live[id] === 1, `prefix id ${id} is not in use`);
    const slots = this.#slots;
    const mask = this.#mask;
    let at = (this.#hashOf(id) >>> this.#shift) << 1;
    while (slots[at + 1] !== id + 1) at = (at + 2) & mask;
    // A grave is needed only where a search may go on behind it.
    if (slots[((at + 2) & mask) + 1] === EMPTY) {
      slots[at + 1] = EMPTY;
      this.#used--;
    } else slots[at + 1] = GRAVE;
    this.#live[id] = 0;
    this.size--;
    if (this.#freeCount === this.#free.length) {
      const grown = new Int32Array(this.#free.length * 2);
      grown.set(this.#free);
      this.#free = grown;
    }
    this.#free[this.#freeCount++] = id;
  }

  /** Gives all ids back at once, and most of the memory where little of it was in use. */
  clear(): void {
    if (this.#slots.length > 64 * (this.size + 1024)) {
      this.address = new Uint32Array(1024 * this.words);
      this.length = new Uint8Array(1024);
      this.#live = new Uint8Array(1024);
      this.#slots = new Int32Array(4096);
      this.#mask = 4094;
      this.#shift = 1 + Math.clz32(2048);
    } else {
      this.#slots.fill(EMPTY);
      this.#live.fill(0, 0, this.idEnd);
    }
    this.#used = 0;
    this.#freeCount = 0;
    this.size = 0;
    this.idEnd = 0;
  }

  /**
   * Steps beyond the first slot that finding every key once takes: what a peer who could make collisions would drive
   * up. Reads the whole table: for tests and diagnosis.
   */
  get searchSteps(): number {
    const slots = this.#slots;
    let steps = 0;
    for (let at = 0; at < slots.length; at += 2)
      if (slots[at + 1]! > 0) steps += (at - ((slots[at]! >>> this.#shift) << 1)) & this.#mask;
    return steps >>> 1;
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

  /** Puts an id into the grave, if there was one, else into the empty slot. */
  #take(hash: number, empty: number, grave: number): number {
    let id: number;
    if (this.#freeCount > 0) id = this.#free[--this.#freeCount]!;
    else {
      if (this.idEnd === this.length.length) this.#grow();
      id = this.idEnd++;
    }
    const at = grave < 0 ? empty : grave;
    this.#slots[at] = hash;
    this.#slots[at + 1] = id + 1;
    this.#live[id] = 1;
    this.size++;
    if (grave < 0) this.#used++;
    return id;
  }

  #grow(): void {
    const capacity = grown(this.length.length);
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
    const old = this.#slots;
    let count = old.length;
    if (this.size * 8 > count) count = 4 * grown(count >>> 2);
    const slots = new Int32Array(count);
    const mask = count - 2;
    const shift = 1 + Math.clz32(count >>> 1);
    for (let from = 0; from < old.length; from += 2) {
      const entry = old[from + 1]!;
      if (entry <= 0) continue;
      let at = (old[from]! >>> shift) << 1;
      while (slots[at + 1] !== EMPTY) at = (at + 2) & mask;
      slots[at] = old[from]!;
      slots[at + 1] = entry;
    }
    this.#slots = slots;
    this.#mask = mask;
    this.#shift = shift;
    this.#used = this.size;
  }

  #hashOf(id: number): number {
    if (this.words === 1) return this.#hash1(this.address[id]!, this.length[id]!);
    const at = id * 4;
    const w = this.address;
    return this.#hash4(w[at]!, w[at + 1]!, w[at + 2]!, w[at + 3]!, this.length[id]!);
  }

  /**
   * The steps of `mixWord`, here for their speed. Each can be undone, given the length: no two keys of one length
   * share a hash.
   */
  #hash1(a: number, length: number): number {
    const { odd0, odd1, odd2, odd3 } = this.#key;
    let h = Math.imul(a ^ Math.imul(length, odd2), odd0);
    h = Math.imul(h ^ (h >>> 16), odd1);
    return Math.imul(h ^ (h >>> 15), odd3);
  }

  /** The same for all of 128 bits, which of course can collide; most prefixes have no more than 64. */
  #hash4(a: number, b: number, c: number, d: number, length: number): number {
    const { odd0, odd1, odd2, odd3 } = this.#key;
    let h = Math.imul(a ^ Math.imul(length, odd2), odd0);
    h = Math.imul(h ^ (h >>> 16), odd1);
    h = Math.imul(h ^ (h >>> 15) ^ b, odd0);
    h = Math.imul(h ^ (h >>> 16), odd1);
    if (length > 64) {
      h = Math.imul(h ^ (h >>> 15) ^ c, odd0);
      h = Math.imul(h ^ (h >>> 16), odd1);
      h = Math.imul(h ^ (h >>> 15) ^ d, odd0);
      h = Math.imul(h ^ (h >>> 16), odd1);
    }
    return Math.imul(h ^ (h >>> 15), odd3);
  }
}

/** The next size up, in keys. */
function grown(keys: number): number {
  return keys >= MEDIUM && keys < LARGE ? LARGE : keys * 2;
}
