// The forwarding table: the router's FIB seam on one side, a namespace's rtnetlink on the other. This file
// has the effects: the writing thread, events, timers and the comparison with the kernel every 30 s; what is
// to be written and what an answer means is in fib-state.ts and fib-event.ts.
//
// Routes carry protocol 179 and a metric; they point at nexthop objects and groups of ours. Everything found
// in the kernel at start is kept until `sweep`, and is taken over without a message where it is what is
// desired.

import type { HashKey } from '../lib/hash-key.ts';
import { encodeAddressDump } from '../netlink/address.ts';
import { encodeLinkDump } from '../netlink/link.ts';
import {
  MessageWriter,
  NLM_F_ACK,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_LINK,
  RTNLGRP_NEXTHOP,
  RTPROT_LEAFD,
} from '../netlink/message.ts';
import { encodeNexthopDump } from '../netlink/nexthop.ts';
import { encodeRouteDump, RT_TABLE_MAIN } from '../netlink/route.ts';
import { isAbsentTable } from '../netlink/route-feed.ts';
import { kernelRtnl, type Rtnl } from '../netlink/rtnl.ts';
import type { BatchResult } from '../netlink/socket.ts';
import { AF_INET, AF_INET6 } from '../netlink/sys.ts';
import type { FibBatch } from './fib-batches.ts';
import { encodeStrayDelete, FibObserver } from './fib-event.ts';
import { encodeNotice, type Notice, nudgesOf } from './fib-notice.ts';
import type { SetMember } from './fib-objects.ts';
import { MESSAGES_PER_BUFFER, OpList } from './fib-ops.ts';
import { FibState, IPV4, IPV6 } from './fib-state.ts';
import { type FibTable, NONE, STRANGE } from './fib-table.ts';
import {
  type FibCounts,
  type ForeignPage,
  fibCountSteps,
  fibCounts,
  fibRoute,
  fibRoutes,
  foreignRoutes,
  type ObjectView,
  objectViews,
  type RoutePage,
  type RouteQuery,
  type RouteView,
} from './fib-view.ts';
import { type BatchWriter, startFibWriter } from './fib-writer.ts';
import { flushRoutes } from './flush.ts';

const BUFFERS_IN_FLIGHT = 4;
const BUFFER_BYTES = MESSAGES_PER_BUFFER * 96;
const DEFAULT_METRIC = 20;
const COMPARE_EVERY_MS = 30_000;
/** A comparison asked for waits this long, so that one serves all who ask. */
const COMPARE_DELAY_MS = 20;
/** See `FibObserver.queueDelayed`. */
const REPAIR_DELAY_MS = 30;
/** One for each second that a life may begin in, for more than a year. */
const IDS_FOR_LIVES = 40_000_000;
/** zebra works off what it hears in turns of some ten milliseconds. */
const NUDGE_AFTER_MS = 250;
const RETRY_FIRST_MS = 200;
const RETRY_MOST_MS = 15_000;

export interface FibOptions {
  /** Namespace; absent: that of the process. */
  netns?: string;
  table?: number;
  metric?: number;
  /**
   * Preferred sources (RTA_PREFSRC); routes of a family wait until its source is an address of the machine.
   */
  prefSrc4?: Uint8Array | undefined;
  prefSrc6?: Uint8Array | undefined;
  compareEveryMs?: number;
  /** Other daemons announce what they read in the kernel: they are told of every route that goes. */
  readByOthers?: boolean;
  /** Secret of the tables of prefixes (lib/hash-key.ts); absent: a fixed one. */
  hashKey?: HashKey;
  /**
   * The kernel has the batch, but for the indexes that it refused (`refused` of them) or that wait; batches come in
   * order.
   */
  onAcked: (seq: number, failed: readonly number[], refused: number) => void;
  /** A prefix that was among the failed of an earlier batch is in the kernel now. `words`: 1 or 4. */
  onRecovered?: (family: number, words: readonly number[], length: number) => void;
  /** For tests: another kernel, another writer. */
  rtnl?: Rtnl;
  writer?: BatchWriter;
}

interface Buffer {
  ops: OpList;
  writer: MessageWriter;
}

export class Fib {
  readonly state: FibState;
  /** Times the kernel differed from what we believed, found by comparison. */
  driftFound = 0;
  comparisons = 0;
  readonly #options: FibOptions;
  readonly #rtnl: Rtnl;
  readonly #writer: BatchWriter;
  readonly #observer: FibObserver;
  readonly #table: number;
  readonly #free: Buffer[] = [];
  #listener: { close(): void } | undefined;
  #inFlight = 0;
  #seq = 1;
  #retryMs = RETRY_FIRST_MS;
  #retryTimer: NodeJS.Timeout | undefined;
  #compareTimer: NodeJS.Timeout | undefined;
  #repairTimer: NodeJS.Timeout | undefined;
  #nudgeTimer: NodeJS.Timeout | undefined;
  #periodic: NodeJS.Timeout | undefined;
  #comparing: Promise<void> | undefined;
  #turnScheduled = false;
  #closed = false;

  private constructor(options: FibOptions) {
    this.#options = options;
    this.#table = options.table ?? RT_TABLE_MAIN;
    this.#rtnl = options.rtnl ?? kernelRtnl(options.netns);
    this.#writer = options.writer ?? startFibWriter(options.netns);
    const { prefSrc4, prefSrc6 } = options;
    const metric = options.metric ?? DEFAULT_METRIC;
    this.state = new FibState({ table: this.#table, metric, prefSrc4, prefSrc6 }, options.hashKey);
    this.#observer = new FibObserver(this.state);
    if (options.readByOthers !== true) return;
    this.#observer.farewells = [];
    for (const table of this.state.tables) table.replaced = [];
    this.state.objects.keepsLinks = true;
    // Not an id of a former life: it may be gone with its link, and zebra would take it for that link still.
    this.state.objects.nextId -= Math.floor(Date.now() / 1000) % IDS_FOR_LIVES;
  }

  /** Reads what the kernel has and begins to follow it. Rejects with SysError or NetlinkError. */
  static async start(options: FibOptions): Promise<Fib> {
    const fib = new Fib(options);
    try {
      await fib.#start();
    } catch (error) {
      await fib.close();
      throw error;
    }
    return fib;
  }

  async #start(): Promise<void> {
    this.#listener = this.#rtnl.listen({
      groups: [
        RTNLGRP_LINK,
        RTNLGRP_IPV4_IFADDR,
        RTNLGRP_IPV6_IFADDR,
        RTNLGRP_NEXTHOP,
        RTNLGRP_IPV4_ROUTE,
        RTNLGRP_IPV6_ROUTE,
      ],
      ignorePortIds: [this.#writer.portId],
      onMessage: (type, flags, bytes, start, end) => {
        this.#observer.message(type, flags, bytes, start, end);
        const { farewells } = this.#observer;
        if (farewells?.length) this.#tellOthers(this.state.tables[IPV4], farewells.splice(0));
        this.#scheduleTurn();
        if (this.#observer.hasDelayed) this.#scheduleRepair();
      },
      onOverrun: () => this.#overrun(),
    });
    this.#readLinks();
    await this.#compareRoutes();
    this.state.starting = false;
    this.#periodic = setInterval(
      () => this.#askComparison(true),
      this.#options.compareEveryMs ?? COMPARE_EVERY_MS,
    );
    this.#periodic.unref();
    this.#turn();
  }

  /** nlmsg_pid of our writes, for others who listen to routes and want none of our echo. */
  get writerPortId(): number {
    return this.#writer.portId;
  }

  /** Defines a next-hop set before its first use in `apply`. */
  defineSet(setId: number, members: readonly SetMember[]): void {
    this.state.defineSet(setId, members);
    this.#scheduleTurn();
  }

  /** Changes the members of a set: one message to the kernel where the set is (or was) of several members. */
  redefineSet(setId: number, members: readonly SetMember[]): void {
    this.state.defineSet(setId, members);
    this.#turn();
  }

  /** The set will not be used again; its objects go when the kernel has no route on them. */
  releaseSet(setId: number): void {
    this.state.releaseSet(setId);
    this.#scheduleTurn();
  }

  /** Takes in a batch of routes (copied); `onAcked` answers, never before this has returned. */
  apply(batch: FibBatch): void {
    this.state.apply(batch);
    this.#pump();
    this.#scheduleTurn();
  }

  /** Keeps what was found at start (the state after start) until `sweep`. */
  holdSweep(): void {
    this.state.swept = false;
  }

  /** Deletes what was found at start, or found since, and is not desired. */
  sweep(): void {
    this.state.sweep();
    this.#turn();
    if (this.#observer.strays.length > 0) this.#deleteStrays();
  }

  /** Changes the preferred source of a family; all its routes are written again, in place. */
  setPrefSrc(family: number, source: Uint8Array | undefined): void {
    const table = this.state.tables[family]!;
    if (source) table.style.prefSrc = source;
    else delete table.style.prefSrc;
    this.state.prefSrcPresent[family] = source === undefined;
    for (let id = 0; id < table.prefixes.idEnd; id++) {
      if (table.observed[id] !== NONE) this.state.observe(table, id, STRANGE);
      if (table.prefixes.has(id) && table.desired[id] !== NONE) table.queue(id);
    }
    this.#readLinks();
    this.#scheduleTurn();
  }

  /** Resolves when the kernel has all that is desired, or has refused it; rejects after `timeoutMs`. */
  async settled(timeoutMs = 10_000): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (
      this.state.busy ||
      this.#turnScheduled ||
      this.#comparing ||
      this.#compareTimer ||
      this.#repairTimer ||
      this.#nudgeTimer
    ) {
      if (performance.now() > end) throw new Error('the forwarding table did not settle in time');
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  counts(): FibCounts {
    return fibCounts(this.state);
  }

  /** As `counts`, in steps between which others may have their turn. */
  countSteps(): Generator<undefined, FibCounts> {
    return fibCountSteps(this.state);
  }

  /** A page of routes with their state; see RouteQuery. */
  routes(query: RouteQuery = {}): RoutePage {
    return fibRoutes(this.state, query);
  }

  /** One prefix (words as in FibBatch), or undefined when it is neither wanted nor there. */
  route(family: number, words: readonly number[], length: number): RouteView | undefined {
    return fibRoute(this.state, family, words, length);
  }

  objects(): ObjectView[] {
    return objectViews(this.state);
  }

  /** A page of the routes of others in our table, read from the kernel now. */
  foreign(query: { family?: number; offset?: number; limit?: number } = {}): Promise<ForeignPage> {
    return foreignRoutes(this.#rtnl, this.#table, query);
  }

  /** Compares with the kernel now and repairs; resolves when the difference is queued. */
  async compare(): Promise<void> {
    while (this.#comparing) await this.#comparing;
    await this.#compareRoutes();
    this.#turn();
  }

  /** Ends without touching the kernel: a restart takes over what is there. */
  async close(): Promise<void> {
    await this.#stop();
    this.#rtnl.close();
  }

  /** Ends and removes every route and nexthop object with our mark. */
  async flush(): Promise<{ routes: number; objects: number }> {
    await this.#stop();
    const removed = flushRoutes(this.#rtnl);
    this.#rtnl.close();
    return removed;
  }

  async #stop(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of [this.#retryTimer, this.#compareTimer, this.#repairTimer, this.#nudgeTimer])
      clearTimeout(timer);
    clearInterval(this.#periodic);
    this.#listener?.close();
    await this.#writer.close();
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled || this.#closed) return;
    this.#turnScheduled = true;
    setImmediate(() => {
      this.#turnScheduled = false;
      if (!this.#closed) this.#turn();
    });
  }

  #scheduleRepair(): void {
    this.#repairTimer ??= setTimeout(() => {
      this.#repairTimer = undefined;
      this.#observer.queueDelayed();
      if (!this.#closed) this.#turn();
    }, REPAIR_DELAY_MS);
  }

  /** Tells others of routes with another metric, once they have dealt with the change. */
  #scheduleNudges(): void {
    if (this.#nudgeTimer !== undefined || this.#closed) return;
    if (!this.state.tables.some(({ replaced }) => replaced !== undefined && replaced.length > 0)) return;
    this.#nudgeTimer = setTimeout(() => {
      this.#nudgeTimer = undefined;
      if (!this.#closed) for (const table of this.state.tables) this.#tellOthers(table, nudgesOf(table));
    }, NUDGE_AFTER_MS);
  }

  /** Writes what there is to write and tells what is complete. */
  #turn(): void {
    this.#pump();
    this.#scheduleNudges();
    for (const { seq, failed, refused } of this.state.takeAcknowledged())
      this.#options.onAcked(seq, failed, refused);
    if (this.state.recovered.length > 0) {
      const recovered = this.state.recovered;
      this.state.recovered = [];
      for (const route of recovered) this.#options.onRecovered?.(route.family, route.words, route.length);
    }
    if (this.state.verifyObjects || this.state.verifyRoutes) this.#askComparison(this.state.verifyRoutes);
    this.#scheduleRetry();
  }

  #pump(): void {
    while (this.#inFlight < BUFFERS_IN_FLIGHT && this.state.hasWork && !this.#closed) {
      const buffer = this.#free.pop() ?? {
        ops: new OpList(),
        writer: new MessageWriter(new Uint8Array(BUFFER_BYTES)),
      };
      buffer.ops.count = 0;
      this.state.encode(buffer.writer.reset(), buffer.ops, this.#seq);
      if (buffer.ops.count === 0) {
        this.#free.push(buffer);
        return;
      }
      this.#submit(buffer);
    }
  }

  #submit(buffer: Buffer): void {
    const { writer, ops } = buffer;
    const firstSeq = this.#seq;
    this.#seq = firstSeq + ops.count > 0x7fff_0000 ? 1 : firstSeq + ops.count;
    writer.flagLast(NLM_F_ACK);
    this.#inFlight++;
    this.#writer.submit(writer.bytes, writer.length, writer.count, firstSeq, (result, bytes) => {
      this.#inFlight--;
      writer.reset(bytes);
      this.#answered(buffer, result);
    });
  }

  #answered(buffer: Buffer, result: BatchResult): void {
    if (this.#closed) return;
    this.state.settle(buffer.ops, result.failed, result.outcome === 'unknown');
    this.#free.push(buffer);
    this.#turn();
  }

  #scheduleRetry(): void {
    if (this.state.failedCount === 0) this.#retryMs = RETRY_FIRST_MS;
    else if (!this.#retryTimer) {
      this.#retryTimer = setTimeout(() => {
        this.#retryTimer = undefined;
        this.state.retry();
        this.#turn();
      }, this.#retryMs);
      this.#retryTimer.unref();
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
    }
  }

  #overrun(): void {
    this.#readLinks();
    this.#askComparison(true);
  }

  /** Links, addresses and nexthop objects: few, read at once. */
  #readLinks(): void {
    const known = new Set(this.state.links.keys());
    const onMessage = this.#dumped;
    this.#rtnl.dumpNow({
      encode: encodeLinkDump,
      onMessage: (type, flags, bytes, start, end) => {
        known.delete(bytes[start + 20]! | (bytes[start + 21]! << 8) | (bytes[start + 22]! << 16));
        onMessage(type, flags, bytes, start, end);
      },
    });
    for (const ifindex of known) {
      this.state.links.delete(ifindex);
      this.#observer.linkLost(ifindex);
    }
    this.#rtnl.dumpNow({ encode: (w, seq) => encodeAddressDump(w, seq), onMessage });
  }

  readonly #dumped = (type: number, flags: number, bytes: Uint8Array, start: number, end: number): void =>
    this.#observer.message(type, flags, bytes, start, end, true);

  #askComparison(routes: boolean): void {
    this.state.verifyObjects = true;
    if (routes) this.state.verifyRoutes = true;
    if (this.#compareTimer || this.#closed) return;
    this.#compareTimer = setTimeout(() => {
      this.#compareTimer = undefined;
      if (this.#comparing) this.#askComparison(false);
      else void this.#runComparison();
    }, COMPARE_DELAY_MS);
  }

  async #runComparison(): Promise<void> {
    const routes = this.state.verifyRoutes;
    const work = routes ? this.#compareRoutes() : this.#compareObjects();
    const guarded = work.catch(() => {
      // No answer in time, or no memory: asked again with the next retry.
      if (!this.#closed) setTimeout(() => this.#askComparison(routes), 1000).unref();
    });
    this.#comparing = guarded;
    await guarded;
    this.#comparing = undefined;
    if (!this.#closed) this.#turn();
  }

  async #compareObjects(): Promise<void> {
    this.state.verifyObjects = false;
    this.#observer.beginComparison();
    await this.#rtnl.dump({ encode: encodeNexthopDump, onMessage: this.#dumped });
    if (!this.#closed) this.#observer.endObjects();
  }

  async #compareRoutes(): Promise<void> {
    await this.#compareObjects();
    this.state.verifyRoutes = false;
    for (const family of [AF_INET, AF_INET6]) {
      const encode = (w: MessageWriter, seq: number): void =>
        encodeRouteDump(w, seq, family, this.#table, RTPROT_LEAFD);
      try {
        await this.#rtnl.dump({ encode, onMessage: this.#dumped });
      } catch (error) {
        if (!isAbsentTable(error)) throw error;
      }
      if (this.#closed) return;
    }
    this.driftFound += this.#observer.endRoutes();
    this.comparisons++;
    if (this.state.swept) this.#deleteStrays();
  }

  #tellOthers(table: FibTable, notices: readonly Notice[]): void {
    const most = MESSAGES_PER_BUFFER / 2;
    for (let from = 0; from < notices.length; from += most) {
      this.#rtnl.write((writer, firstSeq) => {
        notices.slice(from, from + most).forEach((notice, i) => {
          encodeNotice(writer, firstSeq + 2 * i, table, notice);
        });
      });
    }
  }

  #deleteStrays(): void {
    const strays = this.#observer.strays.splice(0).filter((stray) => this.#observer.isStray(stray));
    for (let from = 0; from < strays.length; from += MESSAGES_PER_BUFFER) {
      this.#rtnl.write((writer, firstSeq) => {
        strays.slice(from, from + MESSAGES_PER_BUFFER).forEach((stray, i) => {
          encodeStrayDelete(writer, firstSeq + i, this.#table, stray);
        });
      });
    }
  }
}

export { IPV4, IPV6 };
