// Between the decision and the advertisement stands the kernel: a prefix whose way has changed is handed to the
// FIB first and told to the neighbours once the kernel has it, so that nobody is drawn to a router that would
// drop the packets. A prefix that is lost is told at once: neighbours should turn away before the route is gone.
// One that the kernel refuses is withdrawn, for what it has instead, if anything, leads where nothing is any more.
// While a route only changes, what was told stays; while it is new, nothing is told.
// Where there is no FIB everything passes straight through.
//
// A prefix that the machine itself is connected to, or has a route for by an operator's hand, is never given to the
// kernel: the metric of ours would win over theirs (IPv6: 20 over 256 and 1024), and a neighbour could take a subnet.
//
// The metric of a route may depend on whom it is from (`Distances`), and a route of our own may have one to itself
// (`setMetric`); one that changes is a change like any other.
//
// Cost: 13 B a prefix (the batch it waits for 4, the set given 4, the metric given 4, refused 1).

import { assert } from '../lib/assert.ts';
import { growI32, grownCapacity, growU8, growU32 } from '../rib/columns.ts';
import { LOCAL_SET, type NextHopSets } from '../rib/next-hop-sets.ts';
import { PEER_EXTERNAL, PEER_LOCAL } from '../rib/peer-table.ts';
import { PREFIX_FIB_LACKS } from '../rib/prefixes.ts';
import type { Rib } from '../rib/rib.ts';
import type { Distances } from './config.ts';
import type { FibBatch, FibPort, ForwardingMember } from './ports.ts';

const NOT_INSTALLED = -1;

/** What the gates of all families share: which sets the kernel knows, and who answers for a batch. */
export class FibSets {
  readonly fib: FibPort;
  readonly sets: NextHopSets;
  distances: Distances | undefined;
  readonly #members: (setId: number) => ForwardingMember[];
  /** Prefixes on a set, in the kernel or on their way there. */
  #uses = new Uint32Array(64);
  readonly #gates = new Map<number, FibGate>();
  #seq = 0;

  constructor(fib: FibPort, sets: NextHopSets, members: (setId: number) => ForwardingMember[]) {
    this.fib = fib;
    this.sets = sets;
    this.#members = members;
  }

  use(setId: number): void {
    if (setId >= this.#uses.length) this.#uses = growU32(this.#uses, setId * 2);
    if (this.#uses[setId]!++ > 0) return;
    this.sets.retain(setId);
    this.fib.defineSet(setId, this.#members(setId));
  }

  /** Call it after the batch that took the last prefix off the set. */
  unuse(setId: number): void {
    assert(this.#uses[setId]! > 0, 'a set is given up more often than it was used');
    if (--this.#uses[setId]! > 0) return;
    this.fib.releaseSet(setId);
    this.sets.release(setId);
  }

  /** A member resolves otherwise now: the kernel's group changes, not the routes on it. */
  nextHopChanged(nextHopId: number): void {
    this.sets.forEachWith(nextHopId, (setId) => {
      if ((this.#uses[setId] ?? 0) === 0) return;
      const members = this.#members(setId);
      if (members.length > 0) this.fib.redefineSet(setId, members);
    });
  }

  nextSeq(gate: FibGate): number {
    this.#seq++;
    this.#gates.set(this.#seq, gate);
    return this.#seq;
  }

  acked(seq: number, failedIndexes: readonly number[]): void {
    const gate = this.#gates.get(seq);
    this.#gates.delete(seq);
    gate?.acked(seq, failedIndexes);
  }

  /** Batches the kernel has not answered. */
  get pending(): number {
    return this.#gates.size;
  }
}

export class FibGate {
  readonly #rib: Rib;
  readonly #sets: FibSets;
  /** Where a prefix goes on to once it may be told to neighbours. */
  readonly #deliver: (prefixId: number) => void;
  /** Whether this machine has a route of its own for exactly the prefix, which no neighbour may take from it. */
  readonly #outranked: (prefixId: number) => boolean;
  #waiting = new Uint32Array(64);
  /** The set handed to the kernel, or 0. */
  #given = new Uint32Array(64);
  /** The metric it was given with; 0 for the table's. */
  #metric = new Uint32Array(64);
  /** Metrics of single routes of our own. */
  readonly #ownMetrics = new Map<number, number>();
  #refused = new Uint8Array(64);
  /** Prefixes from here on are yet to be looked at for their distance. */
  #unseen = Number.POSITIVE_INFINITY;
  readonly #batches = new Map<number, Int32Array>();
  #picked = new Int32Array(1024);

  constructor(
    rib: Rib,
    sets: FibSets,
    deliver: (prefixId: number) => void,
    outranked: (prefixId: number) => boolean,
  ) {
    this.#rib = rib;
    this.#sets = sets;
    this.#deliver = deliver;
    this.#outranked = outranked;
  }

  /** Whether the kernel refused the route, so that neighbours do not hear of it. */
  isRefused(prefixId: number): boolean {
    return this.#refused[prefixId] === 1;
  }

  /** Takes over what `Rib.decide` has just changed. */
  take(): void {
    const { changes, table } = this.#rib;
    if (table.idEnd > this.#waiting.length) this.#grow(grownCapacity(this.#waiting.length, table.idEnd));
    let count = 0;
    for (let i = 0; i < changes.count; i++) count = this.#pick(changes.ids[i]!, count);
    if (count > 0) this.#send(count);
  }

  /** The kernel's own route for the prefix has come or gone (`outranked`): ours goes or comes. */
  reconsider(prefixId: number): void {
    if (prefixId < this.#waiting.length && this.#pick(prefixId, 0) > 0) this.#send(1);
  }

  /** The metric of a prefix while the best path is our own; 0 for what it would have anyway. */
  setMetric(prefixId: number, metric: number): void {
    if ((this.#ownMetrics.get(prefixId) ?? 0) === metric) return;
    if (metric === 0) this.#ownMetrics.delete(prefixId);
    else this.#ownMetrics.set(prefixId, metric);
    if (this.#given[prefixId]! > 0 && this.#rib.prefixes.bestPath[prefixId] !== 0) this.reconsider(prefixId);
  }

  /** Distances have changed: `work` gives routes to the kernel anew. */
  distancesChanged(): void {
    this.#unseen = 0;
  }

  /** Looks at so many prefixes after a change of distances; whether more are left. */
  work(limit: number): boolean {
    const end = Math.min(this.#waiting.length, this.#rib.table.idEnd);
    const until = Math.min(end, this.#unseen + limit);
    let count = 0;
    for (; this.#unseen < until; this.#unseen++) {
      const id = this.#unseen;
      if (this.#given[id] !== 0 && !this.#isGiven(id)) count = this.#pick(id, count);
    }
    if (count > 0) this.#send(count);
    if (this.#unseen < end) return true;
    this.#unseen = Number.POSITIVE_INFINITY;
    return false;
  }

  /** Puts the prefix into the next batch, as number `count`, if the kernel has to hear of it. */
  #pick(id: number, count: number): number {
    if (this.#isGiven(id)) {
      if (this.#waiting[id] === 0) this.#deliver(id);
      return count;
    }
    if (count === this.#picked.length) this.#picked = growI32(this.#picked, count * 2);
    this.#picked[count] = id;
    return count + 1;
  }

  /** The set that the kernel should have for the prefix, or 0. */
  #wantedSet(id: number): number {
    const set = this.#rib.prefixes.nextHopSetId[id]!;
    return installable(set) && !this.#outranked(id) ? set : 0;
  }

  /** Whether the kernel has been given just what it should have. */
  #isGiven(id: number): boolean {
    const set = this.#wantedSet(id);
    return set === this.#given[id] && (set === 0 || this.#metricOf(id) === this.#metric[id]);
  }

  /** By the best path; 0 where neither distances are set nor the route has a metric to itself. */
  #metricOf(id: number): number {
    const { distances } = this.#sets;
    if (distances === undefined && this.#ownMetrics.size === 0) return 0;
    const { prefixes, paths, peers } = this.#rib;
    const kind = peers.kind[paths.peer[prefixes.bestPath[id]!]!];
    const own = kind === PEER_LOCAL ? this.#ownMetrics.get(id) : undefined;
    if (own !== undefined) return own;
    if (distances === undefined) return 0;
    if (kind === PEER_EXTERNAL) return distances.external;
    return kind === PEER_LOCAL ? distances.local : distances.internal;
  }

  #send(count: number): void {
    const { table, family } = this.#rib;
    const { words } = table;
    const seq = this.#sets.nextSeq(this);
    const hasMetrics = this.#sets.distances !== undefined || this.#ownMetrics.size > 0;
    const batch: FibBatch = {
      seq,
      family,
      count,
      words: new Uint32Array(count * words),
      lengths: new Uint8Array(count),
      setIds: new Int32Array(count),
      ...(hasMetrics && { metrics: new Uint32Array(count) }),
    };
    const ids = this.#picked.slice(0, count);
    for (let k = 0; k < count; k++) {
      const id = ids[k]!;
      const set = this.#wantedSet(id);
      for (let w = 0; w < words; w++) batch.words[k * words + w] = table.address[id * words + w]!;
      batch.lengths[k] = table.length[id]!;
      batch.setIds[k] = set === 0 ? NOT_INSTALLED : set;
      if (set === 0) continue;
      this.#sets.use(set);
      const metric = this.#metricOf(id);
      if (batch.metrics !== undefined) batch.metrics[k] = metric;
      this.#metric[id] = metric;
    }
    this.#batches.set(seq, ids);
    this.#sets.fib.apply(batch);
    for (let k = 0; k < count; k++) {
      const id = ids[k]!;
      const before = this.#given[id]!;
      const set = batch.setIds[k] === NOT_INSTALLED ? 0 : batch.setIds[k]!;
      if (before !== 0) this.#sets.unuse(before);
      this.#given[id] = set;
      this.#await(id, set === 0 ? 0 : seq, set !== 0 && before === 0);
    }
  }

  /**
   * What is lost, or ours, waits for no word of the kernel (`seq` 0). What the kernel has not had at all so far
   * is delivered as well, for it may have been told before and not been taken back yet.
   */
  #await(id: number, seq: number, isNew: boolean): void {
    // What was not there when another change was handed over is still not there: refused, or not yet answered.
    const lacked = (this.#rib.prefixes.state[id]! & PREFIX_FIB_LACKS) !== 0;
    const lacks = seq !== 0 && (isNew || lacked);
    this.#refused[id] = 0;
    this.#waiting[id] = seq;
    this.#rib.setAwaitsFib(id, seq !== 0);
    this.#rib.setFibLacks(id, lacks);
    if (seq === 0 || lacks) this.#deliver(id);
  }

  acked(seq: number, failedIndexes: readonly number[]): void {
    const ids = this.#batches.get(seq)!;
    this.#batches.delete(seq);
    for (const index of failedIndexes) {
      const id = ids[index]!;
      // A later batch holds the prefix again: its answer will count.
      if (this.#waiting[id] === seq) this.#refused[id] = 1;
    }
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (this.#waiting[id] !== seq) continue;
      this.#waiting[id] = 0;
      this.#rib.setAwaitsFib(id, false);
      this.#rib.setFibLacks(id, this.#refused[id] === 1);
      this.#deliver(id);
    }
  }

  /** The kernel has taken a route that it had refused. */
  recovered(prefixId: number): void {
    if (this.#refused[prefixId] === 0) return;
    this.#refused[prefixId] = 0;
    this.#rib.setFibLacks(prefixId, false);
    this.#deliver(prefixId);
  }

  #grow(capacity: number): void {
    this.#waiting = growU32(this.#waiting, capacity);
    this.#given = growU32(this.#given, capacity);
    this.#metric = growU32(this.#metric, capacity);
    this.#refused = growU8(this.#refused, capacity);
  }
}

/** No route and a route to this router itself are not the kernel's. */
function installable(setId: number): boolean {
  return setId > LOCAL_SET;
}
