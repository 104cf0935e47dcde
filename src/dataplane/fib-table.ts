// The routes of one family in columns: what is desired, what the kernel is known to have, what is queued.
// Pure. A route costs 19 B here beside the prefix table (IPv4 13 to 21 B, IPv6 25 to 33 B): desired 4,
// observed 4, flags 1, mark 1, batch 4, place in the batch 4, queue 1 to 4. A `set` is the router's next-hop
// set; a `slot` is a kernel nexthop object of ours (fib-objects.ts).

import type { HashKey } from '../lib/hash-key.ts';
import { PrefixTable } from '../lib/prefix-table.ts';
import type { RouteStyle } from '../netlink/route.ts';
import { RouteMetrics } from './fib-metrics.ts';

/** No set desired, or no route of ours in the kernel. */
export const NONE = -1;
/**
 * A route of ours is in the kernel, but not as we would write it (other nexthop, other source, or not known
 * how).
 */
export const STRANGE = -2;

/** Waits in the queue. */
export const QUEUED = 1;
/** A message about it is on its way to the kernel or back. */
export const IN_FLIGHT = 2;
/** The kernel refused it; tried again later. */
export const FAILED = 4;
/** A foreign route has the same prefix and metric. */
export const FOREIGN = 8;
/** No member of its set has a usable link, or the preferred source is not there. */
export const WAITING = 16;
/** Found in the kernel at start, not desired so far. */
export const FOUND = 32;
/** The router was told that it is not in the kernel. */
export const REPORTED = 64;
/** The kernel told of a foreign hand on it while our message was under way. */
export const TOUCHED = 128;

export class FibTable {
  readonly prefixes: PrefixTable;
  readonly style: RouteStyle;
  readonly metrics: RouteMetrics;
  /** Set id, or NONE. */
  desired: Int32Array;
  /** Slot of the nexthop object, NONE or STRANGE. */
  observed: Int32Array;
  flags: Uint8Array;
  /** Number of the last comparison that saw it (or that must not judge it). */
  mark: Uint8Array;
  /** The router's batch that waits for it, or NONE, and its place in that batch. */
  batch: Int32Array;
  batchIndex: Int32Array;
  #queue = new Int32Array(1024);
  #head = 0;
  #count = 0;

  /** `hashKey` is secret where peers choose the prefixes. */
  /** Routes that have taken the place of one with another metric, where others read them. */
  replaced: number[] | undefined;

  constructor(style: RouteStyle, capacity = 1024, hashKey?: HashKey) {
    this.prefixes = new PrefixTable(style.family === 2 ? 1 : 4, capacity, hashKey);
    this.style = style;
    this.metrics = new RouteMetrics(style.metric, capacity);
    this.desired = new Int32Array(capacity).fill(NONE);
    this.observed = new Int32Array(capacity).fill(NONE);
    this.flags = new Uint8Array(capacity);
    this.mark = new Uint8Array(capacity);
    this.batch = new Int32Array(capacity).fill(NONE);
    this.batchIndex = new Int32Array(capacity);
  }

  find(a: number, b: number, c: number, d: number, length: number): number {
    return this.prefixes.words === 1
      ? this.prefixes.find1(a, length)
      : this.prefixes.find4(a, b, c, d, length);
  }

  /** The id of a prefix, made if absent; its columns are then NONE and 0. */
  add(a: number, b: number, c: number, d: number, length: number): number {
    const prefixes = this.prefixes;
    const id = prefixes.words === 1 ? prefixes.add1(a, length) : prefixes.add4(a, b, c, d, length);
    if (id >= this.desired.length) this.#grow(this.desired.length * 2);
    return id;
  }

  /** The words of the prefix, 1 or 4. */
  wordsOf(id: number): number[] {
    const { words, address } = this.prefixes;
    return [...address.subarray(id * words, (id + 1) * words)];
  }

  /** Metric of the second route, if it is to go now; one that packets do not follow may stay until the sweep. */
  leftToDelete(id: number, swept: boolean): number {
    const left = this.metrics.left(id);
    return swept || this.desired[id] === NONE || left < this.metrics.has(id) ? left : 0;
  }

  /** The second route is gone. */
  leftGone(id: number): void {
    this.metrics.setLeft(id, 0);
    this.replaced?.push(id);
  }

  /** Gives the id back if nothing is known, wanted or under way for it. */
  releaseIfIdle(id: number): boolean {
    if (this.desired[id] !== NONE || this.observed[id] !== NONE || this.metrics.left(id) !== 0) return false;
    if ((this.flags[id]! & (QUEUED | IN_FLIGHT)) !== 0) return false;
    this.flags[id] = 0;
    this.metrics.clear(id);
    this.prefixes.release(id);
    return true;
  }

  get queued(): number {
    return this.#count;
  }

  queue(id: number): void {
    if ((this.flags[id]! & QUEUED) !== 0) return;
    this.flags[id]! |= QUEUED;
    if (this.#count === this.#queue.length) this.#growQueue();
    this.#queue[(this.#head + this.#count++) & (this.#queue.length - 1)] = id;
  }

  /** The next id queued, or NONE. */
  take(): number {
    if (this.#count === 0) return NONE;
    const id = this.#queue[this.#head]!;
    this.#head = (this.#head + 1) & (this.#queue.length - 1);
    this.#count--;
    this.flags[id]! &= ~QUEUED;
    return id;
  }

  #grow(capacity: number): void {
    const grow = (from: Int32Array, fill: number): Int32Array => {
      const to = new Int32Array(capacity).fill(fill, from.length);
      to.set(from);
      return to;
    };
    this.desired = grow(this.desired, NONE);
    this.observed = grow(this.observed, NONE);
    this.batch = grow(this.batch, NONE);
    this.batchIndex = grow(this.batchIndex, 0);
    this.metrics.grow(capacity);
    const flags = new Uint8Array(capacity);
    flags.set(this.flags);
    this.flags = flags;
    const mark = new Uint8Array(capacity);
    mark.set(this.mark);
    this.mark = mark;
  }

  #growQueue(): void {
    const grown = new Int32Array(this.#queue.length * 2);
    for (let i = 0; i < this.#count; i++)
      grown[i] = this.#queue[(this.#head + i) & (this.#queue.length - 1)]!;
    this.#queue = grown;
    this.#head = 0;
  }
}

/** Key of a route in the failures of the state. */
export function failureKey(table: FibTable, id: number): string {
  return `${table.style.family}/${id}`;
}
