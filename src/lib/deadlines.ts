// Deadlines of many things, known by small numbers, where all that matters is which comes first: an indexed binary
// heap. Setting, moving and taking away cost the logarithm of how many there are, and looking at the earliest costs
// nothing, so that two thousand sessions need not be walked through whenever one of them is heard.

export class Deadlines {
  /** Keys in heap order, and by key: the deadline, and the place in the heap + 1. */
  readonly #heap: number[] = [];
  readonly #at: number[] = [];
  readonly #place: number[] = [];

  /** The earliest deadline in milliseconds, or Infinity. */
  get earliestMs(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#at[this.#heap[0]!]!;
  }

  get count(): number {
    return this.#heap.length;
  }

  /** The deadline of `key`, or Infinity when it has none. */
  atMs(key: number): number {
    return (this.#place[key] ?? 0) === 0 ? Number.POSITIVE_INFINITY : this.#at[key]!;
  }

  /** Sets or moves the deadline of `key`, a small integer from 0 on; Infinity takes it away. */
  set(key: number, atMs: number): void {
    if (atMs === Number.POSITIVE_INFINITY) {
      this.delete(key);
      return;
    }
    while (this.#place.length <= key) this.#place.push(0);
    const place = this.#place[key]!;
    const before = this.#at[key]!;
    this.#at[key] = atMs;
    if (place === 0) {
      this.#heap.push(key);
      this.#rise(this.#heap.length - 1);
    } else if (atMs < before) this.#rise(place - 1);
    else this.#sink(place - 1);
  }

  /** As `set`, but only to an earlier time: a caller that may be woken too early need not move its deadlines on. */
  advance(key: number, atMs: number): void {
    if (atMs < this.atMs(key)) this.set(key, atMs);
  }

  delete(key: number): void {
    const place = this.#place[key] ?? 0;
    if (place === 0) return;
    this.#place[key] = 0;
    const last = this.#heap.pop()!;
    if (last === key) return;
    this.#heap[place - 1] = last;
    this.#place[last] = place;
    this.#rise(place - 1);
    this.#sink(this.#place[last]! - 1);
  }

  /** Takes the deadline that has come out and returns its key; -1 when there is none at or before `nowMs`. */
  takeDue(nowMs: number): number {
    if (this.earliestMs > nowMs) return -1;
    const key = this.#heap[0]!;
    this.delete(key);
    return key;
  }

  #rise(index: number): void {
    const heap = this.#heap;
    const key = heap[index]!;
    const at = this.#at[key]!;
    let here = index;
    while (here > 0) {
      const parent = (here - 1) >> 1;
      if (this.#at[heap[parent]!]! <= at) break;
      this.#put(heap[parent]!, here);
      here = parent;
    }
    this.#put(key, here);
  }

  #sink(index: number): void {
    const heap = this.#heap;
    const key = heap[index]!;
    const at = this.#at[key]!;
    let here = index;
    for (;;) {
      let child = here * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#at[heap[child + 1]!]! < this.#at[heap[child]!]!) child++;
      if (this.#at[heap[child]!]! >= at) break;
      this.#put(heap[child]!, here);
      here = child;
    }
    this.#put(key, here);
  }

  #put(key: number, index: number): void {
    this.#heap[index] = key;
    this.#place[key] = index + 1;
  }
}
