// Finding the id of interned content: open addressing over ids, with the hash kept per id. The tables of this
// room keep the content themselves; they compare it while walking the slots that `first` and `after` give.
// Removal shifts back instead of leaving graves, so a table that churns for a year probes as fast as a new one.
// The hash is the tables' own, and keyed (lib/hash-key.ts): peers choose the content.
//
// Cost: 4 B an id + 16-32 B of slots (load between 1/8 and 1/4: a search meets few strangers, whose hashes it would
// have to fetch). Id 0 marks an empty slot and is never hashed.

import { grownCapacity, growU32 } from './columns.ts';

export class IdHash {
  /** Hash per id; free for other use while the id is not in the table. */
  hash = new Uint32Array(64);
  /** Id per slot, 0 for an empty one. */
  slots = new Uint32Array(128);
  /** Ids in the table. */
  size = 0;
  #mask = 127;

  /** The slot where the walk for `hash` begins. */
  first(hash: number): number {
    return hash & this.#mask;
  }

  after(slot: number): number {
    return (slot + 1) & this.#mask;
  }

  /** Adds an id whose content no id in the table has. */
  add(id: number, hash: number): void {
    if (id >= this.hash.length) this.hash = growU32(this.hash, grownCapacity(this.hash.length, id + 1));
    this.hash[id] = hash;
    this.#place(this.slots, this.#mask, id);
    if (++this.size * 4 > this.#mask) this.#grow();
  }

  remove(id: number): void {
    const { slots, hash } = this;
    const mask = this.#mask;
    let hole = hash[id]! & mask;
    while (slots[hole] !== id) hole = (hole + 1) & mask;
    for (let slot = (hole + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = hash[slots[slot]!]! & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      slots[hole] = slots[slot]!;
      hole = slot;
    }
    slots[hole] = 0;
    this.size--;
  }

  /**
   * Steps beyond the first slot that finding every id once takes: what a peer who could make collisions would drive
   * up. Reads the whole table: for tests and diagnosis.
   */
  get searchSteps(): number {
    const { slots, hash } = this;
    let steps = 0;
    for (let slot = 0; slot < slots.length; slot++)
      if (slots[slot] !== 0) steps += (slot - hash[slots[slot]!]!) & this.#mask;
    return steps;
  }

  #place(slots: Uint32Array, mask: number, id: number): void {
    let slot = this.hash[id]! & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = id;
  }

  #grow(): void {
    const old = this.slots;
    const slots = new Uint32Array(grownCapacity(old.length, old.length + 1));
    for (let i = 0; i < old.length; i++) if (old[i] !== 0) this.#place(slots, slots.length - 1, old[i]!);
    this.slots = slots;
    this.#mask = slots.length - 1;
  }
}
