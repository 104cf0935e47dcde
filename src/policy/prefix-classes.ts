// Many prefix sets asked at once: all their prefixes in one table, each with the sets that have it and the lengths
// they allow, so that one walk over the lengths of a route's prefix tells every rule whose prefix condition holds.
// Sets of many thousands stay tables of their own (they exist anyway, and policies share them) and are asked one by
// one, as long as they are few.
//
// A walk is short: only lengths that reach the route's length and, for IPv4, that occur around it.

import { PrefixTable } from '../lib/prefix-table.ts';
import { LengthFilter, masked, type PrefixSet } from './prefix-set.ts';

/** Larger sets are asked by themselves, if there are no more than MAX_ALONE of them. */
const LARGE_SET = 2048;
const MAX_ALONE = 4;

interface Post {
  set: number;
  allowed: Uint32Array;
  next: number;
}

/** One family's prefixes of all sets. */
class FamilyClasses {
  readonly #words: 1 | 4;
  readonly #table: PrefixTable;
  /** Per prefix its first post, -1 for none; posts are chained. */
  readonly #head: Int32Array;
  readonly #postSet: Uint32Array;
  readonly #postNext: Int32Array;
  readonly #postAllowed: Uint32Array;
  readonly #lengths: Uint8Array;
  /** By prefix length: route lengths that are allowed by some prefix of it. */
  readonly #from = new Uint8Array(129).fill(255);
  readonly #to = new Uint8Array(129);
  /** IPv4 only. */
  readonly #filter: LengthFilter;

  constructor(words: 1 | 4, sets: readonly PrefixSet[]) {
    this.#words = words;
    let count = 0;
    for (const set of sets) set.forEach(words, () => count++);
    this.#table = new PrefixTable(words, Math.max(16, count));
    this.#filter = new LengthFilter(words === 1 ? count : 0);
    const posts: Post[] = [];
    const heads: number[] = [];
    for (const [set, prefixes] of sets.entries())
      prefixes.forEach(words, (address, length, allowed) => {
        const id = this.#add(address, length, allowed);
        posts.push({ set, allowed, next: heads[id] ?? -1 });
        heads[id] = posts.length - 1;
      });
    this.#head = Int32Array.from(heads);
    this.#postSet = Uint32Array.from(posts, (post) => post.set);
    this.#postNext = Int32Array.from(posts, (post) => post.next);
    this.#postAllowed = Uint32Array.from(posts.flatMap((post) => [...post.allowed]));
    this.#lengths = Uint8Array.from({ length: 129 }, (_, i) => i).filter(
      (length) => this.#from[length]! <= this.#to[length]!,
    );
  }

  #add(address: Uint32Array, length: number, allowed: Uint32Array): number {
    for (let bit = 0; bit < 32 * allowed.length; bit++) {
      if (((allowed[bit >>> 5]! >>> (bit & 31)) & 1) === 0) continue;
      this.#from[length] = Math.min(this.#from[length]!, bit);
      this.#to[length] = Math.max(this.#to[length]!, bit);
    }
    if (this.#words === 4)
      return this.#table.add4(address[0]!, address[1]!, address[2]!, address[3]!, length);
    this.#filter.add(address[0]!, length);
    return this.#table.add1(address[0]!, length);
  }

  mark1(a: number, length: number, rulesOf: readonly Uint32Array[], hits: RuleHits): void {
    if (this.#from[0]! <= length && length <= this.#to[0]!)
      this.#walk(this.#table.find1(0, 0), length, rulesOf, hits);
    let lengths = this.#filter.around(a, length);
    while (lengths !== 0) {
      const entryLength = 32 - Math.clz32(lengths & -lengths);
      lengths &= lengths - 1;
      if (length < this.#from[entryLength]! || length > this.#to[entryLength]!) continue;
      this.#walk(this.#table.find1(masked(a, entryLength), entryLength), length, rulesOf, hits);
    }
  }

  mark4(
    a: number,
    b: number,
    c: number,
    d: number,
    length: number,
    rulesOf: readonly Uint32Array[],
    hits: RuleHits,
  ): void {
    for (let i = 0; i < this.#lengths.length; i++) {
      const n = this.#lengths[i]!;
      if (length < this.#from[n]! || length > this.#to[n]!) continue;
      const id = this.#table.find4(masked(a, n), masked(b, n - 32), masked(c, n - 64), masked(d, n - 96), n);
      this.#walk(id, length, rulesOf, hits);
    }
  }

  #walk(id: number, length: number, rulesOf: readonly Uint32Array[], hits: RuleHits): void {
    if (id < 0) return;
    const words = this.#words + 1;
    for (let post = this.#head[id]!; post >= 0; post = this.#postNext[post]!) {
      const allowed = this.#postAllowed[post * words + (length >>> 5)]!;
      if (((allowed >>> (length & 31)) & 1) === 1) hits.add(rulesOf[this.#postSet[post]!]!);
    }
  }
}

/** The rules that were found, as bits; most routes find none, so only what was set is cleared. */
export class RuleHits {
  readonly bits: Uint32Array;
  /** How many rules were found, counted as often as they were. */
  count = 0;
  readonly #found: Uint32Array;

  constructor(ruleCount: number) {
    this.bits = new Uint32Array((ruleCount + 31) >>> 5);
    this.#found = new Uint32Array(ruleCount);
  }

  clear(): void {
    for (let i = 0; i < this.count; i++) this.bits[this.#found[i]! >>> 5] = 0;
    this.count = 0;
  }

  add(rules: Uint32Array): void {
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i]!;
      const bit = 1 << (rule & 31);
      if ((this.bits[rule >>> 5]! & bit) !== 0) continue;
      this.bits[rule >>> 5]! |= bit;
      this.#found[this.count++] = rule;
    }
  }
}

export class PrefixClasses {
  readonly #alone: readonly PrefixSet[];
  readonly #aloneRules: readonly Uint32Array[];
  readonly #rules: readonly Uint32Array[];
  readonly #ip4: FamilyClasses;
  readonly #ip6: FamilyClasses;

  /** `rulesOf`: for each set the rules that have it as a condition. */
  constructor(rulesOf: ReadonlyMap<PrefixSet, readonly number[]>) {
    const large = [...rulesOf.keys()].filter((set) => set.size > LARGE_SET);
    this.#alone = large.length <= MAX_ALONE ? large : [];
    this.#aloneRules = this.#alone.map((set) => Uint32Array.from(rulesOf.get(set)!));
    const joined = [...rulesOf.keys()].filter((set) => !this.#alone.includes(set));
    this.#rules = joined.map((set) => Uint32Array.from(rulesOf.get(set)!));
    this.#ip4 = new FamilyClasses(1, joined);
    this.#ip6 = new FamilyClasses(4, joined);
  }

  /** Sets the bits of the rules whose set has the IPv4 prefix. */
  mark1(a: number, length: number, hits: RuleHits): void {
    for (let i = 0; i < this.#alone.length; i++)
      if (this.#alone[i]!.matches1(a, length)) hits.add(this.#aloneRules[i]!);
    this.#ip4.mark1(a, length, this.#rules, hits);
  }

  /** Sets the bits of the rules whose set has the IPv6 prefix. */
  mark4(a: number, b: number, c: number, d: number, length: number, hits: RuleHits): void {
    for (let i = 0; i < this.#alone.length; i++)
      if (this.#alone[i]!.matches4(a, b, c, d, length)) hits.add(this.#aloneRules[i]!);
    this.#ip6.mark4(a, b, c, d, length, this.#rules, hits);
  }
}
