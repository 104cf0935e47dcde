// Virtual time: what is to happen, in the order of its time, and among equal times in the order it was planned.
// Time is whole milliseconds, so that things of the same moment share one turn of a router. A plan cannot be taken
// back; whoever made it checks, when it comes, whether it still means anything.

import type { Clock } from '../lib/clock.ts';

export class Schedule implements Clock {
  #nowMs = 0;
  #planned = 0;
  #done = 0;
  /** A binary heap in three columns: time, order of planning, what to do. */
  readonly #times: number[] = [];
  readonly #orders: number[] = [];
  readonly #tasks: (() => void)[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  /** How many plans have been carried out: the simulator's measure of work. */
  get eventCount(): number {
    return this.#done;
  }

  /** Plans `task` for a time; one that has passed means now. */
  at(ms: number, task: () => void): void {
    const time = Math.max(this.#nowMs, Math.ceil(ms));
    const order = this.#planned++;
    let slot = this.#times.length;
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      if (this.#times[parent]! <= time) break;
      this.#move(parent, slot);
      slot = parent;
    }
    this.#times[slot] = time;
    this.#orders[slot] = order;
    this.#tasks[slot] = task;
  }

  after(delayMs: number, task: () => void): void {
    this.at(this.#nowMs + delayMs, task);
  }

  /** Lives through everything up to and including `ms`. */
  runUntil(ms: number): void {
    while (this.#times.length > 0 && this.#times[0]! <= ms) this.#next();
    this.#nowMs = Math.max(this.#nowMs, ms);
  }

  #next(): void {
    const task = this.#tasks[0]!;
    this.#nowMs = this.#times[0]!;
    const time = this.#times.pop()!;
    const order = this.#orders.pop()!;
    const last = this.#tasks.pop()!;
    const size = this.#times.length;
    if (size > 0) {
      let slot = 0;
      for (;;) {
        let child = slot * 2 + 1;
        if (child >= size) break;
        if (child + 1 < size && this.#isBefore(child + 1, child)) child++;
        if (this.#times[child]! > time || (this.#times[child] === time && this.#orders[child]! > order))
          break;
        this.#move(child, slot);
        slot = child;
      }
      this.#times[slot] = time;
      this.#orders[slot] = order;
      this.#tasks[slot] = last;
    }
    this.#done++;
    task();
  }

  #isBefore(a: number, b: number): boolean {
    const difference = this.#times[a]! - this.#times[b]!;
    return difference < 0 || (difference === 0 && this.#orders[a]! < this.#orders[b]!);
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from]!;
    this.#orders[to] = this.#orders[from]!;
    this.#tasks[to] = this.#tasks[from]!;
  }
}
