// A queue of ids in a ring that grows: the dirty prefixes of a RIB, the pending ones of an update group. The
// order is that of arrival, because prefixes that arrived together share attributes and pack well together.

/** First in, first out; the caller keeps an id from being queued twice. 4 B an element waiting. */
export class IdQueue {
  count = 0;
  #ring = new Int32Array(1024);
  #head = 0;

  push(id: number): void {
    if (this.count === this.#ring.length) this.#grow();
    this.#ring[(this.#head + this.count) & (this.#ring.length - 1)] = id;
    this.count++;
  }

  /** The oldest id; the queue is not empty. */
  shift(): number {
    const id = this.#ring[this.#head]!;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.count--;
    return id;
  }

  /** The id at a place counted from the oldest, without taking it. */
  at(index: number): number {
    return this.#ring[(this.#head + index) & (this.#ring.length - 1)]!;
  }

  clear(): void {
    this.count = 0;
    this.#head = 0;
  }

  #grow(): void {
    const old = this.#ring;
    const grown = new Int32Array(old.length * 2);
    const tail = old.length - this.#head;
    grown.set(old.subarray(this.#head), 0);
    grown.set(old.subarray(0, this.#head), tail);
    this.#ring = grown;
    this.#head = 0;
  }
}
