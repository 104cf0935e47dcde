// Validated ROA payloads (RFC 6811 section 2) of all sources in one table, and the judgement of a route by them. A
// prefix is found by hash; its payloads hang from it as a list. To find everything that covers a route, each shorter
// length that occurs near it is looked up: a mask of lengths for each 65,536th of the address space leaves a handful.
//
// A source (a cache, the operator's file) has two generations of one bit each, so that a new full set is filled in
// beside the one in use and takes over in one step. Which bits count is `active`; a payload without bits is gone.
//
// Cost: 18 B a payload, and for each prefix 4 B beside what lib/prefix-table.ts states. Limit: what the caller sets.

import { assert } from '../lib/assert.ts';
import { defaultHashKey, type HashKey } from '../lib/hash-key.ts';
import { PrefixTable } from '../lib/prefix-table.ts';

export const NOT_FOUND = 0;
export const VALID = 1;
export const INVALID = 2;
export type ValidationState = typeof NOT_FOUND | typeof VALID | typeof INVALID;

/** Sources there may be: two bits each of one word, and the word stays a small integer. */
export const SOURCES_MAX = 15;

/**
 * Payloads of one source for one prefix. They are looked at one by one for each route that they cover; the prefixes of
 * the Internet have some dozens at most.
 */
export const PREFIX_VRPS_MAX = 512;

/** Family ids as in wire/bgp/family.ts: 0 IPv4, 1 IPv6. */
export type VrpFamily = 0 | 1;

/** The bit of a source's generation. */
export function sourceBit(source: number, generation: 0 | 1): number {
  return 1 << (source * 2 + generation);
}

/** A payload in words, for display. */
export interface Vrp {
  family: VrpFamily;
  words: readonly [number, number, number, number];
  length: number;
  maxLength: number;
  asn: number;
  /** Source bits. */
  bits: number;
}

/** The prefixes of one family: the head of each one's list, and the lengths that occur by place. */
class FamilyPrefixes {
  readonly table: PrefixTable;
  head: Int32Array = new Int32Array(1024);
  /** Lengths below the place's own bits, wherever: bit by length. */
  #short = 0;
  /** Bit by (length - base) for each value of the 16 place bits. Never cleared: it may name too many, never too few. */
  readonly #near = new Int32Array(65536);
  /** Lengths of 64 and more (IPv6), wherever: bit by length - 64, in words of 32. */
  readonly #long = new Int32Array(3);
  readonly #base: number;

  constructor(words: 1 | 4, hashKey: HashKey) {
    this.table = new PrefixTable(words, 1024, hashKey);
    this.#base = words === 1 ? 16 : 32;
  }

  /** Folds the leading bits that all prefixes of at least `base` bits have in full. */
  #place(a: number): number {
    return this.#base === 16 ? a >>> 16 : (a ^ (a >>> 16)) & 0xffff;
  }

  find(a: number, b: number, c: number, d: number, length: number): number {
    return this.#base === 16 ? this.table.find1(a, length) : this.table.find4(a, b, c, d, length);
  }

  add(a: number, b: number, c: number, d: number, length: number): number {
    const id = this.#base === 16 ? this.table.add1(a, length) : this.table.add4(a, b, c, d, length);
    if (id >= this.head.length) {
      const grown = new Int32Array(Math.max(this.head.length * 2, id + 1));
      grown.set(this.head);
      this.head = grown;
    }
    if (length < this.#base) this.#short |= 1 << length;
    else if (length < this.#base + 32) this.#near[this.#place(a)]! |= 1 << (length - this.#base);
    else this.#long[(length - 64) >>> 5]! |= 1 << (length & 31);
    return id;
  }

  /** The next shorter length below `from` at which a prefix could cover the address; -1 for none. */
  shorter(a: number, from: number): number {
    for (let length = from - 1; length >= 0; length--) {
      let mask: number;
      let at: number;
      if (length >= this.#base + 32) {
        mask = this.#long[(length - 64) >>> 5]!;
        at = length & 31;
      } else if (length >= this.#base) {
        mask = this.#near[this.#place(a)]!;
        at = length - this.#base;
      } else {
        mask = this.#short;
        at = length;
      }
      const below = at === 31 ? mask : mask & ((1 << (at + 1)) - 1);
      if (below !== 0) return length - at + 31 - Math.clz32(below);
      length -= at;
    }
    return -1;
  }
}

export class VrpTable {
  /** Bits of the generations that count. */
  active = 0;
  /** Whether the last `add` was refused because its prefix has PREFIX_VRPS_MAX already. */
  isCrowded = false;
  /** Payloads by bit number. */
  readonly counts = new Int32Array(2 * SOURCES_MAX);
  readonly #families: readonly [FamilyPrefixes, FamilyPrefixes];
  // Columns by payload; 0 is none.
  #next: Int32Array = new Int32Array(1024);
  #asn: Uint32Array = new Uint32Array(1024);
  #prefix: Int32Array = new Int32Array(1024);
  #bits: Int32Array = new Int32Array(1024);
  #maxLength: Uint8Array = new Uint8Array(1024);
  #family: Uint8Array = new Uint8Array(1024);
  #end = 1;
  #free = 0;
  #size = 0;
  #sweepBit = 0;
  #sweepAt = 0;
  #visited: ((vrp: Vrp) => void) | undefined;

  constructor(hashKey: HashKey = defaultHashKey) {
    this.#families = [new FamilyPrefixes(1, hashKey), new FamilyPrefixes(4, hashKey)];
  }

  /** Different payloads, whoever has them. */
  get size(): number {
    return this.#size;
  }

  /**
   * Gives a payload to the source of `bit`; false when it has it already, or too many (`isCrowded`). Address bits
   * beyond `length` are zero.
   */
  add(
    family: VrpFamily,
    a: number,
    b: number,
    c: number,
    d: number,
    length: number,
    maxLength: number,
    asn: number,
    bit: number,
  ): boolean {
    const prefixes = this.#families[family];
    const id = prefixes.add(a, b, c, d, length);
    let at = prefixes.head[id]!;
    let count = 0;
    while (at !== 0 && (this.#asn[at] !== asn || this.#maxLength[at] !== maxLength)) {
      if ((this.#bits[at]! & bit) !== 0) count++;
      at = this.#next[at]!;
    }
    this.isCrowded = count >= PREFIX_VRPS_MAX;
    if (this.isCrowded) return false;
    if (at === 0) {
      at = this.#take();
      this.#next[at] = prefixes.head[id]!;
      prefixes.head[id] = at;
      this.#asn[at] = asn;
      this.#maxLength[at] = maxLength;
      this.#prefix[at] = id;
      this.#family[at] = family;
      this.#bits[at] = 0;
      this.#size++;
    }
    if ((this.#bits[at]! & bit) !== 0) return false;
    this.#bits[at]! |= bit;
    this.counts[31 - Math.clz32(bit)]!++;
    return true;
  }

  /** Takes a payload from a source; false when it did not have it. */
  remove(
    family: VrpFamily,
    a: number,
    b: number,
    c: number,
    d: number,
    length: number,
    maxLength: number,
    asn: number,
    bit: number,
  ): boolean {
    const prefixes = this.#families[family];
    const id = prefixes.find(a, b, c, d, length);
    if (id < 0) return false;
    let at = prefixes.head[id]!;
    while (at !== 0 && (this.#asn[at] !== asn || this.#maxLength[at] !== maxLength)) at = this.#next[at]!;
    if (at === 0 || (this.#bits[at]! & bit) === 0) return false;
    this.#drop(at, bit);
    return true;
  }

  /** Begins to take everything from a source; an unfinished sweep is finished first. `sweep` does the work. */
  beginSweep(bit: number): void {
    while (this.sweep(1 << 16));
    this.#sweepBit = bit;
    this.#sweepAt = 1;
  }

  /** Looks at up to `budget` payloads; whether there are more. */
  sweep(budget: number): boolean {
    if (this.#sweepBit === 0) return false;
    const bit = this.#sweepBit;
    const end = Math.min(this.#end, this.#sweepAt + budget);
    for (let at = this.#sweepAt; at < end; at++) if ((this.#bits[at]! & bit) !== 0) this.#drop(at, bit);
    this.#sweepAt = end;
    if (end < this.#end) return true;
    this.#sweepBit = 0;
    return false;
  }

  /**
   * RFC 6811 section 2: how the payloads in use judge a route with this origin AS; 0 stands for an origin that cannot
   * be told (an AS_SET), which matches nothing, and neither does a payload of AS 0 (RFC 6483 section 4).
   */
  validate(
    family: VrpFamily,
    a: number,
    b: number,
    c: number,
    d: number,
    length: number,
    originAsn: number,
  ): ValidationState {
    const prefixes = this.#families[family];
    let state: ValidationState = NOT_FOUND;
    for (let at = prefixes.shorter(a, length + 1); at >= 0; at = prefixes.shorter(a, at)) {
      const id = prefixes.find(
        word(a, at),
        family === 0 ? 0 : word(b, at - 32),
        family === 0 ? 0 : word(c, at - 64),
        family === 0 ? 0 : word(d, at - 96),
        at,
      );
      if (id < 0) continue;
      for (let vrp = prefixes.head[id]!; vrp !== 0; vrp = this.#next[vrp]!) {
        if ((this.#bits[vrp]! & this.active) === 0) continue;
        this.#visited?.(this.#view(vrp));
        if (this.#maxLength[vrp]! >= length && originAsn !== 0 && this.#asn[vrp] === originAsn) {
          if (this.#visited === undefined) return VALID;
          state = VALID;
        } else if (state === NOT_FOUND) state = INVALID;
      }
    }
    return state;
  }

  /** Every payload in use whose prefix covers the route, the longest first: for explanations. */
  covering(family: VrpFamily, a: number, b: number, c: number, d: number, length: number): Vrp[] {
    const found: Vrp[] = [];
    this.#visited = (vrp) => found.push(vrp);
    this.validate(family, a, b, c, d, length, 0);
    this.#visited = undefined;
    return found;
  }

  #view(at: number): Vrp {
    const family = this.#family[at] as VrpFamily;
    const { table } = this.#families[family];
    const id = this.#prefix[at]!;
    const [a = 0, b = 0, c = 0, d = 0] = table.address.subarray(id * table.words, (id + 1) * table.words);
    return {
      family,
      words: [a, b, c, d],
      length: table.length[id]!,
      maxLength: this.#maxLength[at]!,
      asn: this.#asn[at]!,
      bits: this.#bits[at]!,
    };
  }

  #drop(at: number, bit: number): void {
    this.#bits[at]! &= ~bit;
    this.counts[31 - Math.clz32(bit)]!--;
    if (this.#bits[at] !== 0) return;
    const prefixes = this.#families[this.#family[at] as VrpFamily];
    const id = this.#prefix[at]!;
    if (prefixes.head[id] === at) prefixes.head[id] = this.#next[at]!;
    else {
      let before = prefixes.head[id]!;
      while (this.#next[before] !== at) before = this.#next[before]!;
      this.#next[before] = this.#next[at]!;
    }
    if (prefixes.head[id] === 0) prefixes.table.release(id);
    this.#next[at] = this.#free;
    this.#free = at;
    this.#size--;
  }

  #take(): number {
    if (this.#free !== 0) {
      const at = this.#free;
      this.#free = this.#next[at]!;
      return at;
    }
    if (this.#end === this.#next.length) this.#grow(this.#end * 2);
    assert(this.#end < 2 ** 30, 'too many payloads');
    return this.#end++;
  }

  #grow(capacity: number): void {
    const copy = <A extends Int32Array | Uint32Array | Uint8Array>(into: A, from: A): A => {
      into.set(from);
      return into;
    };
    this.#next = copy(new Int32Array(capacity), this.#next);
    this.#asn = copy(new Uint32Array(capacity), this.#asn);
    this.#prefix = copy(new Int32Array(capacity), this.#prefix);
    this.#bits = copy(new Int32Array(capacity), this.#bits);
    this.#maxLength = copy(new Uint8Array(capacity), this.#maxLength);
    this.#family = copy(new Uint8Array(capacity), this.#family);
  }
}

/** The leading `length` bits of a word, any length: none for 0 or less, all for 32 or more. */
function word(value: number, length: number): number {
  if (length >= 32) return value;
  return length <= 0 ? 0 : (value & (-1 << (32 - length))) >>> 0;
}
