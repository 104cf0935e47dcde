// The forwarding table as a pure machine: desired routes and sets, what the kernel is known to have, and the
// difference as rtnetlink messages. Calls change the state and queue what they touch; `encode` writes the
// next messages, `settle` takes the kernel's answers, `event` what it told unasked (fib-event.ts). No clock,
// no socket: fib.ts has those.
//
// Rules. A new route is made with NLM_F_EXCL, so that a foreign route with the same prefix and metric is
// never replaced (it is reported as a conflict); NLM_F_REPLACE is used only where a route of ours is known to
// be. One message per route is under way at a time. A route whose set has no member with a usable link waits,
// and the route it had before is removed, because its old path is no longer wanted. Objects go before the
// routes that use them, and are deleted only when no route of ours is known to use them.

import { assert } from '../lib/assert.ts';
import type { HashKey } from '../lib/hash-key.ts';
import {
  type Failure,
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  RTM_DELROUTE,
  RTM_NEWROUTE,
  RTPROT_LEAFD,
} from '../netlink/message.ts';
import { encodeNexthopAdd, encodeNexthopDelete } from '../netlink/nexthop.ts';
import { encodeRoute } from '../netlink/route.ts';
import { type FibBatch, PendingBatches } from './fib-batches.ts';
import { isLink, type KernelObject, type NexthopSet, ObjectTable, type SetMember } from './fib-objects.ts';
import { OBJECT_DELETE, OBJECT_PUT, type OpList, ROUTE_DELETE, ROUTE_PUT } from './fib-ops.ts';
import {
  FAILED,
  FibTable,
  FOREIGN,
  FOUND,
  failureKey,
  IN_FLIGHT,
  NONE,
  QUEUED,
  REPORTED,
  STRANGE,
  TOUCHED,
  WAITING,
} from './fib-table.ts';

export const IPV4 = 0;
export const IPV6 = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const ENOENT = 2;
const ESRCH = 3;
const EEXIST = 17;
const EINVAL = 22;
const ENETDOWN = 100;
/** Texts of failures kept for display. */
const FAILURE_LIMIT = 1000;

export interface FibStyle {
  table: number;
  metric: number;
  prefSrc4?: Uint8Array | undefined;
  prefSrc6?: Uint8Array | undefined;
}

export interface RouteFailure {
  errno: number;
  text: string;
}

/** A route that the router was told is missing, and is in the kernel now. */
export interface Recovered {
  family: number;
  words: number[];
  length: number;
}

export class FibState {
  readonly tables: readonly [FibTable, FibTable];
  readonly objects: ObjectTable;
  /** Links by ifindex: up with carrier, and how often the carrier changed. */
  readonly links = new Map<number, { usable: boolean; carrierChanges: number }>();
  /** Routes and objects of an earlier run that nobody desired may go. */
  swept = false;
  /** The first reading of the kernel's table: what it shows is of an earlier run and kept until swept. */
  starting = true;
  /** Set when only a dump can tell what the kernel has. */
  verifyObjects = false;
  verifyRoutes = false;
  /** Routes and objects refused so far and not yet accepted. */
  failedCount = 0;
  recovered: Recovered[] = [];
  readonly failures = new Map<string, RouteFailure>();
  /** Whether the preferred source of a family is an address of this machine now. */
  readonly prefSrcPresent: [boolean, boolean] = [true, true];
  /** Number of the comparison under way; what is written meanwhile is not judged by it. */
  mark = 0;
  readonly #batches = new PendingBatches();
  #collect = false;
  #inFlight = 0;

  /** `hashKey` is secret where peers choose the prefixes. */
  constructor(style: FibStyle, hashKey?: HashKey) {
    const base = { table: style.table, protocol: RTPROT_LEAFD, metric: style.metric };
    const four = { ...base, family: AF_INET, ...(style.prefSrc4 && { prefSrc: style.prefSrc4 }) };
    const six = { ...base, family: AF_INET6, ...(style.prefSrc6 && { prefSrc: style.prefSrc6 }) };
    this.tables = [new FibTable(four, 1024, hashKey), new FibTable(six, 1024, hashKey)];
    this.objects = new ObjectTable((ifindex) => this.links.get(ifindex)?.usable === true);
    if (style.prefSrc4) this.prefSrcPresent[IPV4] = false;
    if (style.prefSrc6) this.prefSrcPresent[IPV6] = false;
  }

  defineSet(setId: number, members: readonly SetMember[]): void {
    if (!this.objects.define(setId, members)) return;
    for (const table of this.tables) {
      for (let id = 0; id < table.prefixes.idEnd; id++) if (table.desired[id] === setId) table.queue(id);
    }
  }

  releaseSet(setId: number): void {
    this.objects.release(setId);
    this.#collect = true;
  }

  /** Takes in the router's batch; the routes it changes are queued. */
  apply(batch: FibBatch): void {
    const table = this.tables[batch.family]!;
    const number = this.#batches.add(batch);
    const wide = table.prefixes.words === 4;
    const { words, metrics } = batch;
    for (let i = 0; i < batch.count; i++) {
      const at = wide ? i * 4 : i;
      const length = batch.lengths[i]!;
      const id = wide
        ? table.add(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!, length)
        : table.add(words[at]!, 0, 0, 0, length);
      if (table.batch[id] !== NONE) this.#settleBatch(table, id, false);
      table.batch[id] = number;
      table.batchIndex[id] = i;
      table.flags[id]! &= ~FOUND;
      this.#wantMetric(table, id, metrics?.[i] || table.metrics.base);
      this.#desire(table, id, batch.setIds[i]!);
      table.queue(id);
    }
  }

  #wantMetric(table: FibTable, id: number, metric: number): void {
    if (table.metrics.wanted(id) === metric) return;
    table.metrics.setWanted(id, metric);
    // Whoever is in the way, is so at one metric.
    table.flags[id]! &= ~FOREIGN;
  }

  #desire(table: FibTable, id: number, setId: number): void {
    const before = table.desired[id]!;
    if (before === setId) return;
    if (setId !== NONE) {
      const set = this.objects.sets[setId];
      assert(set !== undefined, `next-hop set ${setId} is not defined`);
      set.desired++;
    }
    table.desired[id] = setId;
    if (before === NONE) return;
    const old = this.objects.sets[before] as NexthopSet;
    old.desired--;
    if (old.released) this.objects.settleSet(before, old);
  }

  /** Records what the kernel has for a prefix: an object's slot, NONE or STRANGE. */
  observe(table: FibTable, id: number, slot: number): void {
    const before = table.observed[id]!;
    if (before === slot) return;
    if (before >= 0) {
      const object = this.objects.slots[before]!;
      object.routes--;
      if (object.routes === 0) this.#collect = true;
    }
    if (slot >= 0) this.objects.slots[slot]!.routes++;
    table.observed[id] = slot;
  }

  /** Routes of an earlier run that nobody desired, and objects nobody uses, may go from now on. */
  sweep(): void {
    this.swept = true;
    this.#collect = true;
    for (const table of this.tables) {
      for (let id = 0; id < table.prefixes.idEnd; id++) {
        const isOver = table.observed[id] !== NONE && table.desired[id] === NONE;
        if (isOver || table.metrics.left(id) !== 0) table.queue(id);
      }
    }
  }

  /** Everything refused is tried again. */
  retry(): void {
    for (const object of this.objects.slots) {
      if (object?.blocked !== true) continue;
      object.blocked = false;
      this.objects.dirty.add(object);
      this.objects.touchGroups(object);
    }
    // A conflict is asked of the kernel again: its routes also go without being told.
    for (const table of this.tables) {
      for (let id = 0; id < table.prefixes.idEnd; id++)
        if ((table.flags[id]! & FAILED) !== 0) table.flags[id]! &= ~FOREIGN;
    }
    this.#queueFlagged(FAILED);
  }

  /** Routes that wait for a link or a source address are looked at again. */
  wake(): void {
    this.#queueFlagged(WAITING);
  }

  #queueFlagged(flag: number): void {
    for (const table of this.tables) {
      for (let id = 0; id < table.prefixes.idEnd; id++) if ((table.flags[id]! & flag) !== 0) table.queue(id);
    }
  }

  /** The kernel deleted the object and every route on it, without telling about the routes. */
  objectLost(object: KernelObject): void {
    this.objects.lost(object, (lost) => {
      if (lost.routes === 0) return;
      for (const table of this.tables) {
        for (let id = 0; id < table.prefixes.idEnd; id++) {
          if (table.observed[id] !== lost.slot) continue;
          this.observe(table, id, NONE);
          table.queue(id);
        }
      }
    });
  }

  /** What waits to be written or answered. */
  get busy(): boolean {
    return this.#inFlight > 0 || this.hasWork;
  }

  get hasWork(): boolean {
    const routes = this.tables[0].queued + this.tables[1].queued;
    return routes > 0 || this.objects.dirty.size > 0 || this.#collect;
  }

  /** Writes the next messages: objects, then routes, then, when all is settled, deletes of unused objects. */
  encode(writer: MessageWriter, ops: OpList, firstSeq: number): void {
    this.#encodeObjects(writer, ops, firstSeq);
    for (let family = 0; family < 2; family++) {
      const table = this.tables[family]!;
      while (!ops.full) {
        const id = table.take();
        if (id === NONE) break;
        this.#encodeRoute(writer, ops, firstSeq, family, id);
      }
    }
    const idle = this.#inFlight === 0 && ops.count === 0 && this.objects.dirty.size === 0;
    if (this.#collect && idle) this.#encodeDeletes(writer, ops, firstSeq);
    this.#inFlight += ops.count;
  }

  #encodeObjects(writer: MessageWriter, ops: OpList, firstSeq: number): void {
    const dirty = this.objects.dirty;
    let woke = false;
    for (const groups of [false, true]) {
      for (const object of dirty) {
        if (object.group !== groups) continue;
        if (ops.full) return;
        dirty.delete(object);
        if (this.objects.needsDelete(object)) {
          this.#encodeDelete(writer, ops, firstSeq, object);
          continue;
        }
        if (!this.objects.needsWrite(object)) {
          if (object.uses === 0) this.#collect = true;
          continue;
        }
        const wasLive = this.objects.isLive(object);
        this.#encodeObject(writer, firstSeq + ops.count, object);
        ops.push(OBJECT_PUT, 0, object.slot, NONE, object.epoch);
        if (wasLive) continue;
        woke = true;
        if (!groups) this.objects.touchGroups(object);
      }
    }
    if (woke) this.wake();
  }

  #encodeDelete(writer: MessageWriter, ops: OpList, firstSeq: number, object: KernelObject): void {
    encodeNexthopDelete(writer, firstSeq + ops.count, object.id);
    object.writing = object.deleting = true;
    ops.push(OBJECT_DELETE, 0, object.slot, NONE, object.epoch);
  }

  #encodeObject(writer: MessageWriter, seq: number, object: KernelObject): void {
    object.writing = true;
    object.writingMembers = object.group ? this.objects.liveMembers(object) : [];
    encodeNexthopAdd(writer, seq, NLM_F_CREATE | NLM_F_REPLACE, {
      id: object.id,
      // A plain object of family IPv6 serves the routes of both families, also where it discards; one with an
      // IPv4 gateway only IPv4's.
      family: object.group ? 0 : object.gateway?.length === 4 ? AF_INET : AF_INET6,
      protocol: RTPROT_LEAFD,
      flags: 0,
      ifindex: object.ifindex,
      blackhole: object.discard,
      ...(object.gateway && { gateway: object.gateway }),
      ...(object.group && { group: object.writingMembers }),
    });
  }

  #encodeRoute(writer: MessageWriter, ops: OpList, firstSeq: number, family: number, id: number): void {
    const table = this.tables[family]!;
    // Looked at again when the answer to the message under way is there.
    if ((table.flags[id]! & IN_FLIGHT) !== 0) return;
    const target = this.#targetOf(table, family, id);
    const { metrics } = table;
    if (metrics.left(id) !== 0) this.#sortMetrics(table, id, target !== NONE);
    const observed = table.observed[id]!;
    const left = table.leftToDelete(id, this.swept);
    const moves = observed !== NONE && target !== NONE && metrics.has(id) !== metrics.wanted(id);
    if (target === observed && !moves && left === 0) {
      this.#settleRoute(table, id);
      return;
    }
    if (target === NONE && table.desired[id] === NONE && !this.#mayDelete(table, id)) return;
    if (left !== 0) {
      this.#writeRoute(writer, ops, firstSeq, family, id, NONE, 0, left);
      return;
    }
    const conflict = target !== NONE && (observed === NONE || moves) && (table.flags[id]! & FOREIGN) !== 0;
    if (conflict && observed === NONE) {
      // A conflict that is known is tried again only by a retry, which clears the mark first.
      if ((table.flags[id]! & FAILED) === 0) this.#fail(table, id, EEXIST, CONFLICT_TEXT);
      else this.#settleBatch(table, id, true);
      return;
    }
    // Beside a conflict the route with the former metric leads where nothing is wanted any more.
    const goal = conflict ? NONE : target;
    const put = NLM_F_CREATE | (observed === NONE || moves ? NLM_F_EXCL : NLM_F_REPLACE);
    const metric = goal === NONE ? metrics.has(id) : metrics.wanted(id);
    this.#writeRoute(writer, ops, firstSeq, family, id, goal, put, metric);
  }

  /** One message: the route is put on the object of slot `target`, or deleted (NONE). */
  #writeRoute(
    writer: MessageWriter,
    ops: OpList,
    firstSeq: number,
    family: number,
    id: number,
    target: number,
    put: number,
    metric: number,
  ): void {
    const table = this.tables[family]!;
    const { address } = table.prefixes;
    const wide = table.prefixes.words === 4;
    const at = wide ? id * 4 : id;
    const object = target === NONE ? undefined : this.objects.slots[target]!;
    const type = object ? RTM_NEWROUTE : RTM_DELROUTE;
    encodeRoute(
      writer,
      type,
      object ? put : 0,
      firstSeq + ops.count,
      table.style,
      address[at]!,
      wide ? address[at + 1]! : 0,
      wide ? address[at + 2]! : 0,
      wide ? address[at + 3]! : 0,
      table.prefixes.length[id]!,
      object ? object.id : 0,
      metric,
    );
    table.flags[id]! |= IN_FLIGHT;
    ops.push(object ? ROUTE_PUT : ROUTE_DELETE, family, id, target, object?.epoch ?? 0, metric);
  }

  /** Of two routes of ours for a prefix the one with the metric wanted is the route; the other one has to go. */
  #sortMetrics(table: FibTable, id: number, isWanted: boolean): void {
    const { metrics } = table;
    const left = metrics.left(id);
    const isLost = table.observed[id] === NONE;
    if (!isLost && !(isWanted && left === metrics.wanted(id))) return;
    metrics.setLeft(id, isLost ? 0 : metrics.has(id));
    metrics.setHas(id, left);
    this.observe(table, id, STRANGE);
  }

  #mayDelete(table: FibTable, id: number): boolean {
    return this.swept || (table.flags[id]! & FOUND) === 0;
  }

  /**
   * The slot a route should point at now, or NONE: not desired, or nothing to point at (then WAITING is set).
   */
  #targetOf(table: FibTable, family: number, id: number): number {
    const setId = table.desired[id]!;
    table.flags[id]! &= ~WAITING;
    if (setId === NONE) return NONE;
    const object = this.objects.sets[setId]!.object;
    if (this.prefSrcPresent[family] && this.objects.isLive(object)) return object.slot;
    table.flags[id]! |= WAITING;
    return NONE;
  }

  #encodeDeletes(writer: MessageWriter, ops: OpList, firstSeq: number): void {
    this.#collect = false;
    for (const groups of [true, false]) {
      for (const object of this.objects.slots) {
        if (!object || object.group !== groups || object.uses > 0 || object.routes > 0) continue;
        if (object.writing || (object.found && !this.swept)) continue;
        if (!object.present) {
          if (object.errno !== 0) this.failedCount--;
          this.objects.free(object);
          continue;
        }
        if (this.objects.keepsLinks && isLink(object)) continue;
        if (ops.full) {
          this.#collect = true;
          return;
        }
        this.#encodeDelete(writer, ops, firstSeq, object);
      }
      // A group goes before its members, else deleting them would change it once more each.
      this.#collect = ops.count > 0;
      if (this.#collect) return;
    }
  }

  /**
   * Takes the kernel's answers to what `encode` wrote: `failed` in ascending order of index. With `unknown`
   * the answers were lost: everything may have happened or not, and only a dump can tell.
   */
  settle(ops: OpList, failed: readonly Failure[], unknown: boolean): void {
    this.#inFlight -= ops.count;
    if (unknown) this.verifyObjects = this.verifyRoutes = true;
    let next = 0;
    for (let i = 0; i < ops.count; i++) {
      let failure: Failure | undefined;
      if (next < failed.length && failed[next]!.index === i) failure = failed[next++];
      const kind = ops.kind[i]!;
      if (kind === OBJECT_PUT || kind === OBJECT_DELETE) this.#settleObject(ops, i, failure, unknown);
      else this.#settleAnswer(ops, i, failure, unknown);
    }
  }

  #settleObject(ops: OpList, i: number, failure: Failure | undefined, unknown: boolean): void {
    const object = this.objects.slots[ops.id[i]!];
    assert(object?.writing, 'an answer for an object that was not written');
    const deleted = object.deleting;
    object.writing = object.deleting = false;
    object.mark = this.mark;
    this.objects.dirty.add(object);
    if (unknown) return;
    if (deleted) {
      // With the object the kernel deleted every route on it.
      if (!failure || failure.errno === ENOENT) this.objectLost(object);
      this.#collect = true;
    } else if (failure) this.#objectRefused(object, failure);
    else if (object.epoch !== ops.epoch[i]) this.verifyObjects = true;
    else this.#objectAccepted(object);
    object.doubtful = false;
  }

  #objectAccepted(object: KernelObject): void {
    object.present = true;
    object.kernelMembers = object.writingMembers;
    if (object.errno !== 0) this.failedCount--;
    object.errno = 0;
    object.text = '';
    if (!object.doubtful) return;
    // The kernel took the lost member out of the group, or never had it there.
    object.kernelMembers = object.writingMembers.filter((m) => this.objects.byId(m.id)?.present === true);
    if (object.kernelMembers.length === 0) this.objectLost(object);
    this.verifyObjects = true;
  }

  #objectRefused(object: KernelObject, failure: Failure): void {
    if (object.errno === 0) this.failedCount++;
    object.errno = failure.errno;
    object.text = failure.text;
    object.blocked = true;
    this.objects.touchGroups(object);
    // A member that is not there, or an object of another kind under this id: the dump tells which.
    if (failure.errno !== ENETDOWN) this.verifyObjects = true;
  }

  #settleAnswer(ops: OpList, i: number, failure: Failure | undefined, unknown: boolean): void {
    const table = this.tables[ops.family[i]!]!;
    const id = ops.id[i]!;
    const touched = (table.flags[id]! & TOUCHED) !== 0;
    table.flags[id]! &= ~(IN_FLIGHT | TOUCHED);
    table.mark[id] = this.mark;
    if (unknown) {
      // The queue would ask again at once; the dump that follows asks for us.
      if (table.observed[id] === NONE) {
        table.metrics.setHas(id, ops.metric[i]!);
        this.observe(table, id, STRANGE);
      }
      return;
    }
    const gone = ops.kind[i] === ROUTE_DELETE && failure?.errno === ESRCH;
    if (failure && !gone) {
      if (touched && table.observed[id] !== NONE) this.observe(table, id, STRANGE);
      this.#refused(ops, i, table, id, failure);
      return;
    }
    const { metrics } = table;
    const metric = ops.metric[i]!;
    if (ops.kind[i] === ROUTE_DELETE) {
      if (metrics.left(id) === metric) table.leftGone(id);
      else this.observe(table, id, NONE);
    } else {
      if (table.observed[id] !== NONE && metrics.has(id) !== metric) metrics.setLeft(id, metrics.has(id));
      metrics.setHas(id, metric);
      const object = this.objects.slots[ops.target[i]!];
      const holds = object !== undefined && object.epoch === ops.epoch[i] && !touched;
      this.observe(table, id, holds ? object.slot : STRANGE);
    }
    table.queue(id);
  }

  #refused(ops: OpList, i: number, table: FibTable, id: number, failure: Failure): void {
    const target = ops.target[i]!;
    const object = target === NONE ? undefined : this.objects.slots[target];
    // The kernel does not have the object (any more): so none of the routes on it either.
    if (failure.text === NO_OBJECT_TEXT && object && object.epoch === ops.epoch[i]) this.objectLost(object);
    // The object went while the route was under way: no failure of the route's own.
    const lacking = failure.errno === EINVAL || failure.errno === ENOENT || failure.errno === ENETDOWN;
    // Something else is wanted by now; whether this would have worked is of no interest.
    const overtaken = this.#targetOf(table, ops.family[i]!, id) !== target;
    if (failure.errno === EEXIST) {
      table.flags[id]! |= FOREIGN;
      // Ours after all, perhaps: a dump tells.
      if ((table.flags[id]! & FAILED) === 0) this.verifyRoutes = true;
      else if (table.observed[id] !== NONE) table.queue(id);
    }
    if (overtaken || (target !== NONE && lacking && object?.present !== true)) table.queue(id);
    else this.#fail(table, id, failure.errno, failure.errno === EEXIST ? CONFLICT_TEXT : failure.text);
  }

  /** The route is as desired, or it waits: nothing more to write for it now. */
  #settleRoute(table: FibTable, id: number): void {
    const waiting = (table.flags[id]! & WAITING) !== 0;
    if (waiting) {
      if (table.batch[id] !== NONE) table.flags[id]! |= REPORTED;
    } else if ((table.flags[id]! & REPORTED) !== 0 && table.desired[id] !== NONE) this.#recover(table, id);
    if ((table.flags[id]! & FAILED) !== 0) this.clearFailure(table, id);
    this.#settleBatch(table, id, waiting, waiting && this.objects.isRefused(table.desired[id]!));
    if (!waiting) table.flags[id]! &= ~REPORTED;
    table.releaseIfIdle(id);
  }

  #recover(table: FibTable, id: number): void {
    const family = table === this.tables[IPV4] ? IPV4 : IPV6;
    this.recovered.push({ family, words: table.wordsOf(id), length: table.prefixes.length[id]! });
  }

  #fail(table: FibTable, id: number, errno: number, text: string): void {
    if ((table.flags[id]! & FAILED) === 0) this.failedCount++;
    table.flags[id]! |= FAILED | REPORTED;
    const key = failureKey(table, id);
    if (this.failures.has(key) || this.failures.size < FAILURE_LIMIT) this.failures.set(key, { errno, text });
    this.#settleBatch(table, id, true);
  }

  clearFailure(table: FibTable, id: number): void {
    if ((table.flags[id]! & FAILED) === 0) return;
    table.flags[id]! &= ~FAILED;
    this.failedCount--;
    this.failures.delete(failureKey(table, id));
  }

  #settleBatch(table: FibTable, id: number, failed: boolean, refused = failed): void {
    if (table.batch[id] === NONE) return;
    this.#batches.settle(table.batch[id]!, table.batchIndex[id]!, failed, refused);
    table.batch[id] = NONE;
  }

  /** Batches that are complete, in order; a later one waits for an earlier one. */
  takeAcknowledged(): { seq: number; failed: number[]; refused: number }[] {
    return this.#batches.takeComplete();
  }

  /** The state of a route in words, for display and tests. */
  routeState(table: FibTable, id: number): 'done' | 'pending' | 'waiting' | 'error' | 'conflict' | 'found' {
    const flags = table.flags[id]!;
    if ((flags & FAILED) !== 0) return (flags & FOREIGN) !== 0 ? 'conflict' : 'error';
    if ((flags & WAITING) !== 0) return 'waiting';
    if ((flags & (QUEUED | IN_FLIGHT)) !== 0) return 'pending';
    const setId = table.desired[id]!;
    if (setId === NONE) return 'found';
    const leads = this.objects.sets[setId]!.object.slot === table.observed[id];
    return leads && table.metrics.has(id) === table.metrics.wanted(id) ? 'done' : 'pending';
  }
}

/** The kernel's words; without them a comparison finds out. */
const NO_OBJECT_TEXT = 'Nexthop id does not exist';
const CONFLICT_TEXT = 'a foreign route has the same prefix and metric';
