// The prefixes of a RIB: key -> dense id (lib/prefix-table.ts) and columns indexed by that id. IPv4 addresses
// are one word, IPv6 ones four, most significant first; callers that serve both pass four.
//
// Cost a prefix: 15 B here, about 14 B (IPv4) or 26 B (IPv6) in the table; independent of the number of peers.

import { PrefixTable } from '../lib/prefix-table.ts';
import { grownCapacity, growU8, growU16, growU32 } from './columns.ts';

/** Bits of the `state` column. */
export const PREFIX_DIRTY = 1;
/** The best path was removed and the prefix has not been decided since. */
export const PREFIX_BEST_LOST = 2;
/** The prefix is in the list of changes that the router is looking at. */
export const PREFIX_LISTED = 4;
/** The kernel has not yet acknowledged what was decided: nothing new is to be announced. */
export const PREFIX_AWAITS_FIB = 8;
/** The kernel has refused what was decided: what was announced is withdrawn. */
export const PREFIX_FIB_REFUSED = 16;

export class Prefixes {
  readonly table: PrefixTable;
  /** 4 B: head of the list of paths, 0 for none. */
  firstPath = new Uint32Array(64);
  /** 4 B: the path chosen by the last decision, 0 for none. */
  bestPath = new Uint32Array(64);
  /** 4 B: what the prefix is forwarded to (next-hop-sets.ts), one reference. */
  nextHopSetId = new Uint32Array(64);
  /** 2 B: who else needs the id to keep its meaning: update groups, the router. */
  holds = new Uint16Array(64);
  /** 1 B. */
  state = new Uint8Array(64);
  /** Prefixes per length, so that a longest match tries only lengths that exist. */
  readonly #lengthCounts = new Uint32Array(129);

  constructor(words: 1 | 4) {
    this.table = new PrefixTable(words);
  }

  /** Makes sure that `count` prefixes can be added without a column moving. */
  reserve(count: number): void {
    const need = this.table.idEnd + count;
    if (need <= this.state.length) return;
    const capacity = grownCapacity(this.state.length, need);
    this.firstPath = growU32(this.firstPath, capacity);
    this.bestPath = growU32(this.bestPath, capacity);
    this.nextHopSetId = growU32(this.nextHopSetId, capacity);
    this.holds = growU16(this.holds, capacity);
    this.state = growU8(this.state, capacity);
  }

  /** The id of an IPv4 prefix, made if absent; room is reserved. */
  add4(address: number, length: number): number {
    const known = this.table.size;
    const id = this.table.add1(address, length);
    if (this.table.size !== known) this.#lengthCounts[length]!++;
    return id;
  }

  /** The id of an IPv6 prefix, made if absent; room is reserved. */
  add6(a: number, b: number, c: number, d: number, length: number): number {
    const known = this.table.size;
    const id = this.table.add4(a, b, c, d, length);
    if (this.table.size !== known) this.#lengthCounts[length]!++;
    return id;
  }

  /** The id of a prefix of either family, or -1. */
  find(a: number, b: number, c: number, d: number, length: number): number {
    return this.table.words === 1 ? this.table.find1(a, length) : this.table.find4(a, b, c, d, length);
  }

  /** Gives the id back, with its columns empty for the next prefix. */
  release(id: number): void {
    this.nextHopSetId[id] = 0;
    this.state[id] = 0;
    this.#lengthCounts[this.table.length[id]!]!--;
    this.table.release(id);
  }

  /** The longest prefix with a best path that contains the address, or -1. */
  lookup(a: number, b: number, c: number, d: number): number {
    for (let length = this.table.words * 32; length >= 0; length--) {
      if (this.#lengthCounts[length] === 0) continue;
      const high = maskWord(a, length);
      const id = this.find(
        high,
        maskWord(b, length - 32),
        maskWord(c, length - 64),
        maskWord(d, length - 96),
        length,
      );
      if (id >= 0 && this.bestPath[id] !== 0) return id;
    }
    return -1;
  }

  /** The next id in use from `from` on, or -1: for listing page by page, in the order of ids. */
  nextId(from: number): number {
    for (let id = from; id < this.table.idEnd; id++) if (this.table.has(id)) return id;
    return -1;
  }
}

/** The first `bits` bits of a word (all of them from 32 on, none from 0 down). */
function maskWord(word: number, bits: number): number {
  if (bits >= 32) return word;
  return bits <= 0 ? 0 : (word & (-1 << (32 - bits))) >>> 0;
}
