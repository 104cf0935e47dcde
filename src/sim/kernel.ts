// The kernel of a simulated router: its forwarding table, which outlives the daemon. It takes routes as the real
// one does: in batches, after a while, some of them refused; and it forwards by longest match over what it holds.
// Next-hop sets are objects, so that a route keeps what it was given even when the daemon that named it is gone.
//
// A refused change leaves what was there before. `refuse(key, false)` lets it through and tells the router
// (fibRecovered), as the real writer does when a retry succeeds.

import type { FibBatch, FibPort, ForwardingMember } from '../router/ports.ts';

/** What the kernel asks of its node. */
export interface KernelHost {
  nowMs(): number;
  after(delayMs: number, task: () => void): void;
  acked(seq: number, failed: readonly number[]): void;
  recovered(family: number, words: readonly number[], length: number): void;
}

export interface KernelSet {
  id: number;
  members: ForwardingMember[];
  /** The daemon has taken it away: no route may be on it any more. */
  released: boolean;
}

export interface KernelRoute {
  family: number;
  words: number[];
  length: number;
  set: KernelSet;
  /** Which life of the daemon made it. */
  life: number;
}

/** The key of a prefix in maps: `words` most significant first, masked. */
export function routeKey(family: number, words: ArrayLike<number>, at: number, length: number): string {
  return family === 0
    ? `${words[at]}/${length}`
    : `${words[at]}:${words[at + 1]}:${words[at + 2]}:${words[at + 3]}/${length}`;
}

export class VirtualKernel implements FibPort {
  readonly routes = new Map<string, KernelRoute>();
  /** How long a batch takes. */
  delayMs = 1;
  /** Batches that were handed over and not answered. */
  pending = 0;
  life = 0;
  readonly #host: KernelHost;
  readonly #sets = new Map<number, KernelSet>();
  readonly #refused = new Set<string>();
  /** Changes that were refused, to be made when they are refused no longer. */
  readonly #waiting = new Map<string, KernelRoute>();
  /** Prefix lengths there have ever been, longest first, by family. */
  readonly #lengths: number[][] = [[], []];
  #freeAtMs = 0;

  constructor(host: KernelHost) {
    this.#host = host;
  }

  /** Another life of the daemon begins; `cold` without any route of the one before. */
  begin(cold: boolean): void {
    this.life++;
    this.pending = 0;
    this.#freeAtMs = 0;
    this.#sets.clear();
    this.#waiting.clear();
    if (cold) this.routes.clear();
  }

  /** Whether changes of the route are refused now. */
  refuses(key: string): boolean {
    return this.#refused.has(key);
  }

  /** Whether the last change of the route was refused and has not been let through since. */
  isRefused(key: string): boolean {
    return this.#waiting.has(key);
  }

  get refusedKeys(): Iterable<string> {
    return this.#refused;
  }

  /** Sets the daemon has defined and not released. */
  hasSet(setId: number): boolean {
    return this.#sets.has(setId);
  }

  get setCount(): number {
    return this.#sets.size;
  }

  /** Begins or ends refusing changes of a route. */
  refuse(key: string, refuses: boolean): void {
    if (refuses) {
      this.#refused.add(key);
      return;
    }
    this.#refused.delete(key);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#waiting.delete(key);
    this.#put(key, waiting);
    this.#host.recovered(waiting.family, waiting.words, waiting.length);
  }

  // ---- the daemon's port ----

  defineSet(setId: number, members: ForwardingMember[]): void {
    this.#sets.set(setId, { id: setId, members, released: false });
  }

  redefineSet(setId: number, members: ForwardingMember[]): void {
    this.#sets.get(setId)!.members = members;
  }

  releaseSet(setId: number): void {
    this.#sets.get(setId)!.released = true;
    this.#sets.delete(setId);
  }

  apply(batch: FibBatch): void {
    const { life } = this;
    const sets: (KernelSet | undefined)[] = [];
    for (let i = 0; i < batch.count; i++) sets.push(this.#sets.get(batch.setIds[i]!));
    this.pending++;
    this.#freeAtMs = Math.max(this.#host.nowMs(), this.#freeAtMs) + this.delayMs;
    this.#host.after(this.#freeAtMs - this.#host.nowMs(), () => {
      if (this.life !== life) return;
      this.pending--;
      this.#host.acked(batch.seq, this.#take(batch, sets));
    });
  }

  sweep(): void {
    for (const [key, route] of this.routes) if (route.life !== this.life) this.routes.delete(key);
  }

  #take(batch: FibBatch, sets: readonly (KernelSet | undefined)[]): number[] {
    const { family, words, lengths } = batch;
    const failed: number[] = [];
    const size = family === 0 ? 1 : 4;
    for (let i = 0; i < batch.count; i++) {
      const length = lengths[i]!;
      const key = routeKey(family, words, i * size, length);
      const set = sets[i];
      this.#waiting.delete(key);
      if (set === undefined) {
        this.routes.delete(key);
        continue;
      }
      const address = Array.from(words.subarray(i * size, (i + 1) * size));
      const route: KernelRoute = { family, words: address, length, set, life: this.life };
      if (!this.#refused.has(key)) {
        this.#put(key, route);
        continue;
      }
      failed.push(i);
      this.#waiting.set(key, route);
    }
    return failed;
  }

  #put(key: string, route: KernelRoute): void {
    this.routes.set(key, route);
    const lengths = this.#lengths[route.family]!;
    if (!lengths.includes(route.length)) {
      lengths.push(route.length);
      lengths.sort((a, b) => b - a);
    }
  }

  // ---- packets ----

  /** The ways to an address by the longest prefix that holds it; undefined where there is none. */
  lookup(family: number, words: readonly number[]): readonly ForwardingMember[] | undefined {
    const masked = [0, 0, 0, 0];
    for (const length of this.#lengths[family]!) {
      for (let w = 0; w < words.length; w++) masked[w] = maskWord(words[w]!, length - w * 32);
      const route = this.routes.get(routeKey(family, masked, 0, length));
      if (route !== undefined) return route.set.members;
    }
    return undefined;
  }
}

function maskWord(word: number, bits: number): number {
  if (bits >= 32) return word;
  return bits <= 0 ? 0 : (word & (-1 << (32 - bits))) >>> 0;
}
