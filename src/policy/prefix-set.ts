// A set of prefixes with length ranges, as a hash table per family: one probe for each prefix length that
// occurs in the set, is not longer than the route's, and has an entry whose range reaches the route's length.
// An exact set therefore costs one probe whatever its size; a set of `le` ranges as many as it has lengths
// (rarely above five). Each entry holds the lengths it allows as bits, so that several ranges of one prefix
// are one entry.
//
// Cost: IPv4 13 B an entry + 8-16 B of slots, IPv6 37 B + slots.

import { PrefixTable } from '../lib/prefix-table.ts';
import type { Prefix } from '../net/prefix.ts';

export interface PrefixSetEntry {
  prefix: Prefix;
  /** Route lengths that match: prefix.length <= from <= to <= 32 or 128. */
  from: number;
  to: number;
}

/**
 * Which prefix lengths occur around an IPv4 address, by its first bits: most addresses have none of a set's prefixes
 * near them, and need no probe. Length 0 is left to the caller.
 */
export class LengthFilter {
  readonly #bits: number;
  readonly #lengths: Uint32Array;

  /** `count`: how many prefixes there will be. */
  constructor(count: number) {
    this.#bits = Math.min(16, Math.max(6, 34 - Math.clz32(count)));
    this.#lengths = new Uint32Array(1 << this.#bits);
  }

  add(a: number, length: number): void {
    if (length === 0) return;
    const first = a >>> (32 - this.#bits);
    const last = first + (length < this.#bits ? (1 << (this.#bits - length)) - 1 : 0);
    for (let at = first; at <= last; at++) this.#lengths[at]! |= 1 << (length - 1);
  }

  /** Lengths from 1 to `length` that occur there, bit `length - 1` each. */
  around(a: number, length: number): number {
    return length === 0 ? 0 : this.#lengths[a >>> (32 - this.#bits)]! & (0xffffffff >>> (32 - length));
  }
}

/** One family's part of a set. Words are 32 bits, most significant first. */
class FamilyPrefixes {
  readonly #table: PrefixTable;
  readonly #allowed: Uint32Array;
  readonly #allowedWords: number;
  /** The lengths that occur, ascending; and by length the range of route lengths that its entries allow. */
  readonly #lengths: Uint8Array;
  readonly #from = new Uint8Array(129).fill(255);
  readonly #to = new Uint8Array(129);
  readonly #filter: LengthFilter;

  constructor(entries: readonly PrefixSetEntry[], words: 1 | 4) {
    this.#table = new PrefixTable(words, Math.max(16, entries.length));
    this.#allowedWords = words + 1;
    this.#allowed = new Uint32Array(Math.max(16, entries.length) * this.#allowedWords);
    const lengths = [...new Set(entries.map((entry) => entry.prefix.length))].sort((a, b) => a - b);
    this.#lengths = Uint8Array.from(lengths);
    this.#filter = new LengthFilter(words === 1 ? entries.length : 0);
    for (const entry of entries) this.#add(entry);
  }

  #add({ prefix, from, to }: PrefixSetEntry): void {
    const { bytes, length } = prefix;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const id =
      this.#table.words === 1
        ? this.#table.add1(view.getUint32(0), length)
        : this.#table.add4(
            view.getUint32(0),
            view.getUint32(4),
            view.getUint32(8),
            view.getUint32(12),
            length,
          );
    const base = id * this.#allowedWords;
    for (let bit = from; bit <= to; bit++) this.#allowed[base + (bit >>> 5)]! |= 1 << (bit & 31);
    this.#from[length] = Math.min(this.#from[length]!, from);
    this.#to[length] = Math.max(this.#to[length]!, to);
    if (this.#table.words === 1) this.#filter.add(view.getUint32(0), length);
  }

  /** How many prefixes it has, ranges of one prefix counted once. */
  get size(): number {
    return this.#table.size;
  }

  /** Calls `visit` with each prefix and the lengths it allows as bits, least significant word first. */
  forEach(visit: (words: Uint32Array, length: number, allowed: Uint32Array) => void): void {
    const { address, length, words, idEnd } = this.#table;
    for (let id = 0; id < idEnd; id++) {
      const at = id * this.#allowedWords;
      visit(
        address.slice(id * words, (id + 1) * words),
        length[id]!,
        this.#allowed.slice(at, at + this.#allowedWords),
      );
    }
  }

  matches1(a: number, length: number): boolean {
    if (this.#from[0]! <= length && length <= this.#to[0]! && this.#has1(0, 0, length)) return true;
    let lengths = this.#filter.around(a, length);
    while (lengths !== 0) {
      const entryLength = 32 - Math.clz32(lengths & -lengths);
      lengths &= lengths - 1;
      if (length < this.#from[entryLength]! || length > this.#to[entryLength]!) continue;
      if (this.#has1(masked(a, entryLength), entryLength, length)) return true;
    }
    return false;
  }

  #has1(a: number, entryLength: number, length: number): boolean {
    const id = this.#table.find1(a, entryLength);
    return id >= 0 && this.#allows(id, length);
  }

  matches4(a: number, b: number, c: number, d: number, length: number): boolean {
    const lengths = this.#lengths;
    for (let i = 0; i < lengths.length; i++) {
      const n = lengths[i]!;
      if (length < this.#from[n]! || length > this.#to[n]!) continue;
      const id = this.#table.find4(masked(a, n), masked(b, n - 32), masked(c, n - 64), masked(d, n - 96), n);
      if (id >= 0 && this.#allows(id, length)) return true;
    }
    return false;
  }

  #allows(id: number, length: number): boolean {
    return ((this.#allowed[id * this.#allowedWords + (length >>> 5)]! >>> (length & 31)) & 1) === 1;
  }
}

/** The first `bits` bits of a word; none when `bits` is negative, all when it is above 31. */
export function masked(word: number, bits: number): number {
  if (bits >= 32) return word;
  return bits <= 0 ? 0 : (word & (0xffffffff << (32 - bits))) >>> 0;
}

export class PrefixSet {
  readonly #ip4: FamilyPrefixes | undefined;
  readonly #ip6: FamilyPrefixes | undefined;

  constructor(entries: readonly PrefixSetEntry[]) {
    const ip4 = entries.filter((entry) => entry.prefix.bytes.length === 4);
    const ip6 = entries.filter((entry) => entry.prefix.bytes.length === 16);
    this.#ip4 = ip4.length > 0 ? new FamilyPrefixes(ip4, 1) : undefined;
    this.#ip6 = ip6.length > 0 ? new FamilyPrefixes(ip6, 4) : undefined;
  }

  /** How many prefixes it has. */
  get size(): number {
    return (this.#ip4?.size ?? 0) + (this.#ip6?.size ?? 0);
  }

  /** Calls `visit` with each IPv4 prefix (`words` 1) or IPv6 prefix (`words` 4). */
  forEach(words: 1 | 4, visit: (words: Uint32Array, length: number, allowed: Uint32Array) => void): void {
    (words === 1 ? this.#ip4 : this.#ip6)?.forEach(visit);
  }

  /** Whether an IPv4 route is in the set; bits beyond `length` do not matter. */
  matches1(a: number, length: number): boolean {
    return this.#ip4?.matches1(a, length) === true;
  }

  /** Whether an IPv6 route is in the set. */
  matches4(a: number, b: number, c: number, d: number, length: number): boolean {
    return this.#ip6?.matches4(a, b, c, d, length) === true;
  }
}
