// From numbers of a packet to the row of its session: open addressing over one typed array, no allocation in a
// lookup. Two uses: by our discriminator, which is random, and by where a packet came from, mixed with a seed that
// nobody outside knows, so that no sender can choose addresses that collide.

const EMPTY = -1;

export class RowIndex {
  readonly #slots: Int32Array;
  readonly #mask: number;

  constructor(capacity: number) {
    let size = 16;
    while (size < capacity * 2) size *= 2;
    this.#slots = new Int32Array(size).fill(EMPTY);
    this.#mask = size - 1;
  }

  /** The first place to look at for a hash. */
  start(hash: number): number {
    return hash & this.#mask;
  }

  next(slot: number): number {
    return (slot + 1) & this.#mask;
  }

  /** The row in a slot, or -1 where the search ends. */
  row(slot: number): number {
    return this.#slots[slot]!;
  }

  add(hash: number, row: number): void {
    let slot = this.start(hash);
    while (this.#slots[slot] !== EMPTY) slot = this.next(slot);
    this.#slots[slot] = row;
  }

  /** Takes all rows out; the caller puts in again what stays. Removal is rare, a search is not. */
  clear(): void {
    this.#slots.fill(EMPTY);
  }
}

/** Mixes the words of a sender: link and address. */
export function mixSender(seed: number, ifindex: number, words: Int32Array, at: number): number {
  let h = seed ^ ifindex;
  for (let i = 0; i < 4; i++) {
    h = Math.imul(h ^ words[at + i]!, 0x85ebca6b);
    h ^= h >>> 15;
  }
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
