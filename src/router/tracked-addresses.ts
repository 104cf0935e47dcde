// Addresses of next hops in order, so that a route that came or went finds those it may concern by a search instead
// of all next hops looking for their routes. There are few next hops and many routes: adding is slow, asking is not.

import { readU32 } from '../lib/bytes.ts';

/** Removed, and still in the list. */
const DEAD = -1;

interface Tracked {
  id: number;
  a: number;
  b: number;
  c: number;
  d: number;
}

export class TrackedAddresses {
  #four: Tracked[] = [];
  #six: Tracked[] = [];
  readonly #byId = new Map<number, Tracked>();
  /** How many of the lists are dead. */
  #dead = 0;

  /** Whether there is none of a family, so that its routes need not be told. */
  isEmpty(four: boolean): boolean {
    return (four ? this.#four : this.#six).length === 0;
  }

  /** The first word of the lowest address of a family that is not empty. */
  lowest(four: boolean): number {
    return (four ? this.#four : this.#six)[0]!.a;
  }

  /** The first word of the highest. */
  highest(four: boolean): number {
    return (four ? this.#four : this.#six).at(-1)!.a;
  }

  add(id: number, address: Uint8Array): void {
    const four = address.length === 4;
    const a = readU32(address, 0);
    const [b, c, d] = four ? [0, 0, 0] : [readU32(address, 4), readU32(address, 8), readU32(address, 12)];
    const list = four ? this.#four : this.#six;
    const tracked = { id, a, b, c, d };
    this.#byId.set(id, tracked);
    list.splice(lowerBound(list, a, b, c, d), 0, tracked);
  }

  remove(id: number): void {
    const tracked = this.#byId.get(id);
    if (tracked === undefined) return;
    this.#byId.delete(id);
    // All may go at once, and each would move the others: the dead ones are taken out together.
    tracked.id = DEAD;
    if (++this.#dead * 2 <= this.#four.length + this.#six.length) return;
    this.#four = this.#four.filter((other) => other.id !== DEAD);
    this.#six = this.#six.filter((other) => other.id !== DEAD);
    this.#dead = 0;
  }

  /** Visits the next hops within a prefix; bits beyond `length` are zero, IPv4 in `a`. */
  within(
    four: boolean,
    a: number,
    b: number,
    c: number,
    d: number,
    length: number,
    visit: (id: number) => void,
  ): void {
    const list = four ? this.#four : this.#six;
    for (let at = lowerBound(list, a, b, c, d); at < list.length; at++) {
      const tracked = list[at]!;
      if (!agrees(tracked.a, a, length) || !agrees(tracked.b, b, length - 32)) return;
      if (!agrees(tracked.c, c, length - 64) || !agrees(tracked.d, d, length - 96)) return;
      if (tracked.id !== DEAD) visit(tracked.id);
    }
  }
}

/** Where the first address that is not below this one is, or would be. */
function lowerBound(list: readonly Tracked[], a: number, b: number, c: number, d: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const t = list[middle]!;
    const difference = t.a - a || t.b - b || t.c - c || t.d - d;
    if (difference < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether the first `bits` bits of two words are the same. */
function agrees(word: number, other: number, bits: number): boolean {
  if (bits <= 0) return true;
  return bits >= 32 ? word === other : ((word ^ other) & (-1 << (32 - bits))) === 0;
}
