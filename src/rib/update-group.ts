// The adj-rib-out (RFC 4271 3.2, 9.2) of the peers that get the same: same export policy, kind, AS and
// capabilities. What is sent is decided and encoded once a group, whatever the number of members.
//
// Per prefix the group knows what it sends and which peer the route came from (adj-rib-out.ts); a member has that,
// unless it is that peer. A change is queued by prefix (`enqueue`), so changes that come faster than they can be
// sent coalesce. `flush` works the queue off in slices: export (export-stage.ts), compare with what was sent,
// collect and encode (update-batch.ts).
//
// Members that cannot take part in the common stream keep a list of their own of what changed meanwhile and catch
// up alone: new ones until their initial dump is out, and slow ones that the router has split off. New members of
// the same time share one dump. After the dump the router is told, and sends End-of-RIB.
//
// Cost a prefix and group: 1 B and the adj-rib-out; a waiting prefix 4 B.

import { assert } from '../lib/assert.ts';
import { BestOut, nextPathId, type OutOwner, PathsOut, pathIdFor, type SentPath } from './adj-rib-out.ts';
import { grownCapacity, growU8, growU16, growU32 } from './columns.ts';
import {
  ADD_PATH_LIMIT,
  type ExportOptions,
  NO_ROUTE,
  SENT,
  SPLIT_HORIZON,
  WAITS_ITS_TURN,
} from './export-options.ts';
import { ExportStage } from './export-stage.ts';
import { IdQueue } from './id-queue.ts';
import type { Rib } from './rib.ts';
import type { RouteFilter } from './route-filter.ts';
import { ONLY, UpdateBatch } from './update-batch.ts';

/** What the group asks of its owner. */
export interface GroupPort {
  /**
   * Hands a chunk of whole messages to a member; it may be shared and is not written to again. It may call
   * `setFlow` and `leave`; a member that left within a flush may still be handed chunks of it, to be ignored.
   */
  send(member: number, bytes: Uint8Array): void;
  /** The member has everything that was there when it joined or asked for a refresh. */
  dumped(member: number): void;
}

/**
 * How a member takes what is sent: `open` does; `wait` asks the whole group to wait a moment; `split` lets the
 * others go on, and the member catches up alone once it is open again.
 */
export type Flow = 'open' | 'wait' | 'split';

/** A dump of the adj-rib-out under way for members that joined together. */
interface Dump {
  /** The first prefix id that they have not been given. */
  cursor: number;
  /** The members have nothing yet: what is withdrawn before the cursor comes by is no news to them. */
  fresh: boolean;
  members: number[];
}

interface Member {
  peer: number;
  nextHop: Uint8Array;
  flow: Flow;
  dump: Dump | undefined;
  /** Prefixes that changed while the member was apart, each once: a list and a bit a prefix. */
  pending: IdQueue;
  pendingBits: Uint32Array;
  /** With ADD-PATH: which paths of those prefixes. */
  pendingPaths: Map<number, number[]>;
  /** `dumped` is due, but not before the queue has been worked off up to this mark. */
  dueAfter: number;
}

const NO_PATHS: readonly number[] = [];
const NOT_DUE = -1;
const QUEUED = 1;

export class UpdateGroup implements OutOwner {
  readonly rib: Rib;
  readonly stage: ExportStage;
  readonly #out: BestOut | PathsOut;
  readonly #port: GroupPort;
  readonly #batch: UpdateBatch;
  readonly #send: OutOwner['collect'];
  readonly #reflectsBack: boolean;
  #state = new Uint8Array(64);
  readonly #queue = new IdQueue();
  /** How many prefixes have been queued, and worked off, ever. */
  #queued = 0;
  #done = 0;
  /** Prefixes between these have to be looked at, because the group is new or its policy is. */
  #fillCursor = 0;
  #fillEnd = 0;
  /** How far the group has given back what it held since the last member left. */
  #dissolved = 0;
  readonly #members: (Member | undefined)[] = [];
  /** By member index, for the batch. */
  readonly #nextHops: Uint8Array[] = [];
  /** Member index by peer index, + 1. */
  #memberOf = new Uint16Array(64);
  #memberCount = 0;
  /** Members that take the common stream, and those that stand apart; made anew when they change. */
  #together: number[] = [];
  #apart: number[] = [];

  constructor(rib: Rib, options: ExportOptions, filter: RouteFilter | undefined, port: GroupPort) {
    this.rib = rib;
    this.stage = new ExportStage(rib, options, filter);
    this.#reflectsBack = this.stage.reflectsBack;
    this.#port = port;
    this.#batch = new UpdateBatch(rib, options);
    this.#out =
      options.addPath === undefined
        ? new BestOut(rib, this.stage, this)
        : new PathsOut(rib, this.stage, this);
    this.#send = (id, pathId, attr, hop, data, target) =>
      this.#batch.add(id, pathId, attr, hop, data, target);
  }

  /** Routes sent, of all prefixes. */
  get routeCount(): number {
    return this.#out.counts.routes;
  }

  /** Of these, by source peer: a member gets `routeCount` less its own. */
  get routesBySource(): Uint32Array {
    return this.#out.counts.bySource;
  }

  get memberCount(): number {
    return this.#memberCount;
  }

  /** Whether the group holds nothing any more: after the last member left and `flush` returned false. */
  get isEmpty(): boolean {
    return this.#memberCount === 0 && this.routeCount === 0 && this.#queue.count === 0;
  }

  /** Something of the prefix changed, as `Rib.changes` said; nothing is sent before `flush`. */
  enqueue(prefixId: number): void {
    if (prefixId >= this.#state.length) this.#grow(prefixId + 1);
    if ((this.#state[prefixId]! & QUEUED) !== 0) return;
    if (this.#memberCount === 0) return;
    this.#state[prefixId]! |= QUEUED;
    // What is sent holds the prefix already.
    if (!this.#out.has(prefixId)) this.rib.hold(prefixId);
    this.#queue.push(prefixId);
    this.#queued++;
  }

  // ---- members ----

  /**
   * Adds a peer. `nextHop` is our own address towards it, as long as for every member of the group. What the
   * others have is dumped to it in slices of `flush`, then `port.dumped` is called. Returns the member index.
   */
  join(peer: number, nextHop: Uint8Array): number {
    assert(nextHop.length === this.stage.options.nextHopLength, 'next hops of a group have one length');
    assert(this.memberOf(peer) < 0, 'a peer joins once');
    let index = this.#members.indexOf(undefined);
    if (index < 0) index = this.#members.length;
    assert(index < 0xffff, 'a group has at most 65535 members');
    this.#members[index] = {
      peer,
      nextHop,
      flow: 'open',
      dump: undefined,
      pending: new IdQueue(),
      pendingBits: new Uint32Array(0),
      pendingPaths: new Map(),
      dueAfter: NOT_DUE,
    };
    this.#nextHops[index] = nextHop;
    if (peer >= this.#memberOf.length)
      this.#memberOf = growU16(this.#memberOf, Math.max(peer + 1, this.#memberOf.length * 2));
    this.#memberOf[peer] = index + 1;
    if (this.#memberCount === 0) {
      // What an earlier member had is out of date: nothing was followed while there was none.
      while (this.#dissolve(1 << 20));
      this.reconsider();
      if (this.stage.watchesPaths) this.rib.watchPaths(true);
    }
    this.#memberCount++;
    this.#startDump(index, true);
    return index;
  }

  /** Sends everything to the member again, then calls `port.dumped`: a route refresh (RFC 2918). */
  refresh(member: number): void {
    this.#startDump(member, false);
  }

  /** The peer is gone; what it had needs no withdrawal. */
  leave(member: number): void {
    const m = this.#member(member);
    this.#clearPending(m);
    this.#leaveDump(member, m);
    this.#members[member] = undefined;
    this.#memberOf[m.peer] = 0;
    this.#memberCount--;
    if (this.#memberCount === 0 && this.stage.watchesPaths) this.rib.watchPaths(false);
    this.#dissolved = 0;
    this.#sortMembers();
  }

  /** Tells how fast the member takes what is sent. */
  setFlow(member: number, flow: Flow): void {
    const m = this.#member(member);
    if (m.flow === flow) return;
    m.flow = flow;
    const dump = m.dump;
    if (flow === 'split' && dump !== undefined && dump.members.length > 1) {
      this.#leaveDump(member, m);
      m.dump = { cursor: dump.cursor, fresh: dump.fresh, members: [member] };
    }
    this.#sortMembers();
  }

  /** Our own address towards the member has changed: everything that names it is sent again. */
  setNextHop(member: number, nextHop: Uint8Array): void {
    assert(nextHop.length === this.stage.options.nextHopLength, 'next hops of a group have one length');
    this.#member(member).nextHop = nextHop;
    this.#nextHops[member] = nextHop;
    this.refresh(member);
  }

  /** The member index of a peer, or -1. */
  memberOf(peer: number): number {
    return peer < this.#memberOf.length ? this.#memberOf[peer]! - 1 : -1;
  }

  /** Another export policy: everything is looked at again in slices of `flush`, only differences are sent. */
  setFilter(filter: RouteFilter | undefined): void {
    this.stage.setFilter(filter);
    this.reconsider();
  }

  /** Something that export reads has changed for all routes (peer table, router id, what the member wants). */
  reconsider(): void {
    this.stage.forget();
    this.#fillCursor = 0;
    this.#fillEnd = this.rib.prefixes.idEnd;
  }

  // ---- sending ----

  /**
   * Sends what waits: about `budget` prefixes of the queue, of the dumps and of each member that catches up.
   * Returns whether there is more that can be done now.
   */
  flush(budget: number): boolean {
    if (this.#memberCount === 0) return this.#dissolve(budget);
    let open = 0;
    for (const m of this.#members) {
      if (m === undefined) continue;
      if (m.flow === 'wait') return false;
      if (m.flow === 'open') open++;
    }
    // With nobody who can take anything, changes wait where they coalesce best.
    if (open === 0) return false;
    this.#fill(budget);
    this.#work(budget);
    for (const dump of this.#dumps()) this.#dump(dump, budget);
    for (let index = 0; index < this.#members.length; index++) {
      const m = this.#members[index];
      if (m !== undefined && m.flow === 'open' && m.dump === undefined) this.#catchUp(index, m, budget * 2);
    }
    return this.hasWork;
  }

  /** Queues the next slice of all prefixes, while the group is being filled. */
  #fill(budget: number): void {
    const { prefixes } = this.rib;
    const end = Math.min(this.#fillEnd, this.#fillCursor + budget);
    if (end > this.#state.length) this.#grow(end);
    for (let id = this.#fillCursor; id < end; id++)
      if (prefixes.bestPath[id] !== 0 || this.#out.has(id)) this.enqueue(id);
    if (end <= this.#fillCursor) return;
    this.#fillCursor = end;
    // Whoever waits for the end of the dump waits for what the fill has queued as well.
    for (const m of this.#members) if (m !== undefined && m.dueAfter !== NOT_DUE) m.dueAfter = this.#queued;
  }

  #work(budget: number): void {
    const most = this.#queue.count;
    let count = 0;
    for (let spent = 0; spent < budget && count < most; count++) {
      this.#export(this.#queue.shift());
      // Many paths of one prefix are ranked, each against all others.
      spent += 1 + ((this.#out.ranked * this.#out.ranked) >> 6);
    }
    this.#done += count;
    if (count > 0)
      this.#batch.emit(this.#together, this.#nextHops, (member, bytes) => this.#port.send(member, bytes));
  }

  /** Whether `flush` would have anything to do now. */
  get hasWork(): boolean {
    if (this.#memberCount === 0) return this.routeCount > 0 || this.#queue.count > 0;
    let open = false;
    let apart = false;
    for (const m of this.#members) {
      if (m === undefined) continue;
      if (m.flow === 'wait') return false;
      if (m.flow !== 'open') continue;
      open = true;
      apart ||= m.dump !== undefined || m.pending.count > 0 || m.dueAfter !== NOT_DUE;
    }
    return open && (apart || this.#queue.count > 0 || this.#fillCursor < this.#fillEnd);
  }

  /** Exports one queued prefix: finds what is sent now, compares, and collects what the members need. */
  #export(id: number): void {
    this.#state[id]! &= ~QUEUED;
    if (!this.#out.export(id)) {
      // What was sent stays right until the decision; the prefix is looked at again after it.
      this.#state[id]! |= QUEUED;
      this.#queue.push(id);
      this.#queued++;
    } else if (!this.#out.has(id)) this.rib.unhold(id);
  }

  sourceMember(peer: number): number {
    return this.#reflectsBack ? -1 : this.memberOf(peer);
  }

  /** Adds to the common stream, and notes it for the members that stand apart. */
  collect(id: number, pathId: number, attr: number, hop: number, data: number, target: number): void {
    for (let i = 0; i < this.#apart.length; i++) {
      const index = this.#apart[i]!;
      const concerned = target >= ONLY ? index === target - ONLY : index !== target;
      if (concerned) this.#note(this.#members[index]!, id, pathId);
    }
    if (this.#together.length === 0) return;
    this.#batch.add(id, pathId, attr, hop, data, target);
  }

  // ---- members that stand apart ----

  /** The prefix is to be sent to the member later; not where its dump will come by anyway. */
  #note(m: Member, id: number, pathId: number): void {
    if (m.dump?.fresh === true && id >= m.dump.cursor) return;
    if (pathId !== 0) {
      const known = m.pendingPaths.get(id);
      if (known === undefined) m.pendingPaths.set(id, [pathId]);
      else if (!known.includes(pathId)) known.push(pathId);
    }
    const word = id >>> 5;
    const bit = 1 << (id & 31);
    if (word >= m.pendingBits.length)
      m.pendingBits = growU32(m.pendingBits, grownCapacity(m.pendingBits.length, word + 1));
    if ((m.pendingBits[word]! & bit) !== 0) return;
    m.pendingBits[word]! |= bit;
    m.pending.push(id);
    this.rib.hold(id);
  }

  #clearPending(m: Member): void {
    while (m.pending.count > 0) this.rib.unhold(m.pending.shift());
    m.pendingBits.fill(0);
    m.pendingPaths.clear();
  }

  #startDump(member: number, fresh: boolean): void {
    const m = this.#member(member);
    this.#leaveDump(member, m);
    m.dueAfter = this.#queued;
    if (this.routeCount > 0) {
      const joins = (dump: Dump): boolean =>
        dump.cursor === 0 &&
        dump.fresh === fresh &&
        dump.members.every((other) => this.#member(other).flow !== 'split');
      let dump = this.#dumps().find(joins);
      if (dump === undefined) dump = { cursor: 0, fresh, members: [] };
      dump.members.push(member);
      m.dump = dump;
    }
    this.#sortMembers();
  }

  #dumps(): Dump[] {
    const dumps: Dump[] = [];
    for (const m of this.#members) if (m?.dump !== undefined && !dumps.includes(m.dump)) dumps.push(m.dump);
    return dumps;
  }

  #leaveDump(member: number, m: Member): void {
    if (m.dump === undefined) return;
    m.dump.members.splice(m.dump.members.indexOf(member), 1);
    m.dump = undefined;
  }

  /** The next slice of a dump; nothing where one of its members is split off (it then has the dump alone). */
  #dump(dump: Dump, budget: number): void {
    if (dump.members.some((index) => this.#member(index).flow !== 'open')) return;
    const end = Math.min(this.rib.prefixes.idEnd, this.#state.length, dump.cursor + budget);
    for (let id = dump.cursor; id < end; id++) this.#out.dump(id, this.#send);
    dump.cursor = Math.max(end, dump.cursor);
    this.#batch.emit(dump.members, this.#nextHops, (member, bytes) => this.#port.send(member, bytes));
    if (end < Math.min(this.rib.prefixes.idEnd, this.#state.length)) return;
    for (const index of dump.members) this.#member(index).dump = undefined;
  }

  /** Sends what changed while the member stood apart, as it is now; then it takes the common stream again. */
  #catchUp(index: number, m: Member, budget: number): void {
    const count = Math.min(budget, m.pending.count);
    for (let i = 0; i < count; i++) {
      const id = m.pending.shift();
      m.pendingBits[id >>> 5]! &= ~(1 << (id & 31));
      this.#out.catchUp(id, index, m.pendingPaths.get(id) ?? NO_PATHS, this.#send);
      m.pendingPaths.delete(id);
      this.rib.unhold(id);
    }
    if (count > 0)
      this.#batch.emit([index], this.#nextHops, (member, bytes) => this.#port.send(member, bytes));
    if (m.pending.count > 0) return;
    if (this.#apart.includes(index)) this.#sortMembers();
    if (m.dueAfter === NOT_DUE || this.#fillCursor < this.#fillEnd || this.#done < m.dueAfter) return;
    m.dueAfter = NOT_DUE;
    this.#port.dumped(index);
  }

  /** Who takes the common stream: open, with no dump under way and nothing to catch up. */
  #sortMembers(): void {
    this.#together = [];
    this.#apart = [];
    for (let index = 0; index < this.#members.length; index++) {
      const m = this.#members[index];
      if (m === undefined) continue;
      const together = m.flow !== 'split' && m.dump === undefined && m.pending.count === 0;
      if (together) this.#together.push(index);
      else this.#apart.push(index);
    }
  }

  /** Gives everything back in slices, after the last member left. */
  #dissolve(budget: number): boolean {
    while (this.#queue.count > 0) {
      const id = this.#queue.shift();
      this.#state[id]! &= ~QUEUED;
      this.#done++;
      if (!this.#out.has(id)) this.rib.unhold(id);
    }
    const end = Math.min(this.#state.length, this.#dissolved + budget);
    for (let id = this.#dissolved; id < end && this.routeCount > 0; id++)
      if (this.#out.has(id)) {
        this.#out.clear(id);
        this.rib.unhold(id);
      }
    this.#dissolved = end;
    return this.routeCount > 0;
  }

  // ---- views ----

  /** Whether and why the member is sent the prefix (with ADD-PATH, its best path): a code of export-options.ts. */
  explain(member: number, prefixId: number): number {
    if (this.stage.options.addPath !== undefined)
      return this.explainPaths(member, prefixId)[0]?.reason ?? NO_ROUTE;
    this.stage.run(prefixId);
    return this.#verdict(member, prefixId, 0);
  }

  /** As `explain`, for each path that could be sent to a member with ADD-PATH, in the order of the decision. */
  explainPaths(member: number, prefixId: number): { path: number; reason: number }[] {
    const { decision, prefixes } = this.rib;
    const { stage } = this;
    const max = stage.options.addPath?.max ?? 1;
    const verdicts: { path: number; reason: number }[] = [];
    const first = prefixes.firstPath[prefixId]!;
    const pathIds = new Set<number>();
    const state = stage.stateReason(prefixId);
    for (let path = decision.rankFirst(first); path !== 0; path = decision.rankNext(first)) {
      let reason = state;
      if (state === SENT && max !== 0 && pathIds.size >= max) reason = ADD_PATH_LIMIT;
      else if (state === SENT) {
        stage.runPath(prefixId, path);
        let pathId = pathIdFor(this.rib, path);
        while (pathIds.has(pathId)) pathId = nextPathId(pathId);
        if (stage.attrId !== 0) pathIds.add(pathId);
        reason = this.#verdict(member, prefixId, pathId);
      }
      verdicts.push({ path, reason });
    }
    return verdicts;
  }

  /** What comes of the stage's result for this member. */
  #verdict(member: number, prefixId: number, pathId: number): number {
    const { stage } = this;
    if (stage.attrId !== 0) this.rib.pool.release(stage.attrId);
    if (stage.reason !== SENT) return stage.reason;
    if (this.#isOwn(this.#member(member), stage.source)) return SPLIT_HORIZON;
    const sent = this.sentPaths(member, prefixId).some((path) => path.pathId === pathId);
    return sent ? SENT : WAITS_ITS_TURN;
  }

  /** What the member has been sent of the prefix, and that has not been withdrawn since; best first. */
  sentPaths(member: number, prefixId: number): SentPath[] {
    const m = this.#member(member);
    if (prefixId >= this.#state.length || (m.dump?.fresh && prefixId >= m.dump.cursor)) return [];
    const waits = isPending(m, prefixId);
    const missed = m.pendingPaths.get(prefixId);
    return this.#out
      .list(prefixId)
      .filter(
        ({ source, pathId }) => !this.#isOwn(m, source) && !(waits && (missed?.includes(pathId) ?? true)),
      );
  }

  /** Whether a route from the source does not go to the member. */
  #isOwn(m: Member, source: number): boolean {
    return source === m.peer && !this.#reflectsBack;
  }

  /** Whether the member has been sent anything of the prefix, and it has not been withdrawn since. */
  hasSent(member: number, prefixId: number): boolean {
    if (this.stage.options.addPath !== undefined) return this.sentPaths(member, prefixId).length > 0;
    const m = this.#member(member);
    if (this.attrOut(prefixId) === 0 || this.#isOwn(m, this.sourceOf(prefixId))) return false;
    return !(m.dump?.fresh && prefixId >= m.dump.cursor) && !isPending(m, prefixId);
  }

  /** How many routes the member has, or is about to have. */
  routeCountOf(member: number): number {
    const { counts } = this.#out;
    const { peer } = this.#member(member);
    if (this.stage.reflectsBack) return counts.routes;
    return counts.routes - (peer < counts.bySource.length ? counts.bySource[peer]! : 0);
  }

  /** What is sent of the prefix to members that are not its source, best first; ids are borrowed. */
  pathsOut(prefixId: number): SentPath[] {
    return this.#out.list(prefixId);
  }

  /** The next hop sent with the best path: 0 for the member's own, or the id of another. */
  nextHopOut(prefixId: number): number {
    return this.#out.hopOf(prefixId);
  }

  /** Attributes sent with the best path, 0 for none; the id is borrowed. */
  attrOut(prefixId: number): number {
    return this.#out.attrOf(prefixId);
  }

  /** The peer that the best path sent came from; 0 for this router, or nothing sent. */
  sourceOf(prefixId: number): number {
    return this.#out.sourceOf(prefixId);
  }

  /** Whether nothing of the prefix waits in the common queue, or to be queued. */
  isSettled(prefixId: number): boolean {
    if (prefixId >= this.#fillCursor && prefixId < this.#fillEnd) return false;
    return prefixId >= this.#state.length || (this.#state[prefixId]! & QUEUED) === 0;
  }

  #member(index: number): Member {
    const m = this.#members[index];
    assert(m !== undefined, 'a member that has not left');
    return m;
  }

  #grow(need: number): void {
    const capacity = grownCapacity(this.#state.length, need);
    this.#state = growU8(this.#state, capacity);
    this.#out.grow(capacity);
  }
}

/** Whether a change of the prefix waits for the member alone. */
function isPending(m: Member, prefixId: number): boolean {
  const word = prefixId >>> 5;
  return word < m.pendingBits.length && (m.pendingBits[word]! & (1 << (prefixId & 31))) !== 0;
}
