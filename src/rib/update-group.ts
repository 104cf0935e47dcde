// The adj-rib-out (RFC 4271 3.2, 9.2) of the peers that get the same: same export policy, kind, AS and
// capabilities. What is sent is decided and encoded once a group, whatever the number of members.
//
// Per prefix the group knows the attributes it sends and which peer the route came from; a member has that,
// unless it is that peer. A change is queued by prefix (`enqueue`), so changes that come faster than they can be
// sent coalesce. `flush` works the queue off in slices: export (export-stage.ts), compare with what was sent,
// collect and encode (update-batch.ts).
//
// Members that cannot take part in the common stream keep a list of their own of what changed meanwhile and catch
// up alone: new ones until their initial dump is out, and slow ones that the router has split off. New members of
// the same time share one dump. After the dump the router is told, and sends End-of-RIB.
//
// Cost a prefix and group: 7 B, 4 more once a next hop is sent unchanged; a waiting prefix 4 B.

import { assert } from '../lib/assert.ts';
import { grownCapacity, growU8, growU16, growU32 } from './columns.ts';
import {
  AWAITS_FIB,
  type ExportOptions,
  ExportStage,
  NOT_DECIDED,
  SENT,
  SPLIT_HORIZON,
  WAITS_ITS_TURN,
} from './export-stage.ts';
import { IdQueue } from './id-queue.ts';
import type { Rib } from './rib.ts';
import type { RouteFilter } from './route-filter.ts';
import { ONLY, TO_ALL, UpdateBatch } from './update-batch.ts';

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
  /** `dumped` is due, but not before the queue has been worked off up to this mark. */
  dueAfter: number;
}

const NOT_DUE = -1;
const QUEUED = 1;

export class UpdateGroup {
  readonly rib: Rib;
  readonly stage: ExportStage;
  /** Per prefix id: attributes sent, one reference; 0 for nothing. */
  attrIdOut = new Uint32Array(64);
  /** Per prefix id: the peer the route came from. */
  source = new Uint16Array(64);
  /** Per prefix id, once a next hop is sent unchanged: its id, one reference; 0 for our own. */
  nextHopIdOut = new Uint32Array(0);
  /** Prefixes with something sent. */
  routeCount = 0;
  /** Of these, by source peer: a member gets `routeCount` less its own. */
  routesBySource = new Uint32Array(16);
  readonly #port: GroupPort;
  readonly #batch: UpdateBatch;
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
    this.#port = port;
    this.#batch = new UpdateBatch(rib, options);
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
    if (this.attrIdOut[prefixId] === 0) this.rib.hold(prefixId);
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

  /** Something that export reads has changed for all routes (peer table, router id): as `setFilter`. */
  reconsider(): void {
    this.#fillCursor = 0;
    this.#fillEnd = this.rib.table.idEnd;
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
      if (prefixes.bestPath[id] !== 0 || this.attrIdOut[id] !== 0) this.enqueue(id);
    if (end <= this.#fillCursor) return;
    this.#fillCursor = end;
    // Whoever waits for the end of the dump waits for what the fill has queued as well.
    for (const m of this.#members) if (m !== undefined && m.dueAfter !== NOT_DUE) m.dueAfter = this.#queued;
  }

  #work(budget: number): void {
    const count = Math.min(budget, this.#queue.count);
    for (let i = 0; i < count; i++) this.#export(this.#queue.shift());
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
    const { stage, rib } = this;
    this.#state[id]! &= ~QUEUED;
    stage.run(id);
    if (stage.reason === NOT_DECIDED) {
      // What was sent stays right until the decision; the prefix is looked at again after it.
      this.#state[id]! |= QUEUED;
      this.#queue.push(id);
      this.#queued++;
      return;
    }
    if (stage.reason !== AWAITS_FIB) this.#replace(id);
    if (this.attrIdOut[id] === 0) rib.unhold(id);
  }

  /** Puts the stage's result in the place of what was sent. */
  #replace(id: number): void {
    const { stage, rib } = this;
    const oldAttr = this.attrIdOut[id]!;
    const oldHop = this.nextHopIdOut.length === 0 ? 0 : this.nextHopIdOut[id]!;
    const oldSource = this.source[id]!;
    const attr = stage.attrId;
    const hop = attr === 0 ? 0 : stage.nextHopId;
    if (attr === oldAttr && hop === oldHop && (attr === 0 || stage.source === oldSource)) {
      if (attr !== 0) rib.pool.release(attr);
      return;
    }
    const oldMember = oldAttr === 0 ? -1 : this.memberOf(oldSource);
    const member = attr === 0 ? -1 : this.memberOf(stage.source);
    if (attr === 0) this.#collect(id, 0, 0, oldMember);
    else if (attr === oldAttr && hop === oldHop) {
      // Only the source differs: nobody is concerned but the two peers it came from.
      if (oldMember >= 0) this.#collect(id, attr, hop, ONLY + oldMember);
    } else this.#collect(id, attr, hop, member);
    if (attr !== 0 && oldAttr !== 0 && member >= 0 && member !== oldMember)
      this.#collect(id, 0, 0, ONLY + member);
    this.#store(id, attr, hop, stage.source);
  }

  /**
   * Writes the columns; references and counts follow. The stage's reference becomes the column's. The hold on the
   * prefix is the caller's: it is there while the prefix is queued or sent.
   */
  #store(id: number, attr: number, hop: number, source: number): void {
    const { rib } = this;
    const oldAttr = this.attrIdOut[id]!;
    if (oldAttr !== 0) {
      this.routesBySource[this.source[id]!]!--;
      this.routeCount--;
    }
    this.attrIdOut[id] = attr;
    this.source[id] = source;
    if (hop !== 0 && this.nextHopIdOut.length === 0) this.nextHopIdOut = new Uint32Array(this.#state.length);
    if (this.nextHopIdOut.length > 0) {
      const oldHop = this.nextHopIdOut[id]!;
      if (hop !== 0) rib.nextHops.retain(hop);
      if (oldHop !== 0) rib.nextHops.release(oldHop);
      this.nextHopIdOut[id] = hop;
    }
    if (attr !== 0) {
      if (source >= this.routesBySource.length)
        this.routesBySource = growU32(
          this.routesBySource,
          Math.max(source + 1, this.routesBySource.length * 2),
        );
      this.routesBySource[source]!++;
      this.routeCount++;
    }
    if (oldAttr !== 0) rib.pool.release(oldAttr);
  }

  /** Adds to the common stream, and notes it for the members that stand apart. */
  #collect(id: number, attr: number, hop: number, target: number): void {
    for (let i = 0; i < this.#apart.length; i++) {
      const index = this.#apart[i]!;
      const concerned = target >= ONLY ? index === target - ONLY : index !== target;
      if (concerned) this.#note(this.#members[index]!, id);
    }
    if (this.#together.length === 0) return;
    this.#batch.add(id, attr, hop, target);
  }

  // ---- members that stand apart ----

  /** The prefix is to be sent to the member later; not where its dump will come by anyway. */
  #note(m: Member, id: number): void {
    if (m.dump?.fresh === true && id >= m.dump.cursor) return;
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
    const end = Math.min(this.rib.table.idEnd, this.#state.length, dump.cursor + budget);
    for (let id = dump.cursor; id < end; id++) {
      if (this.attrIdOut[id] !== 0)
        this.#batch.add(id, this.attrIdOut[id]!, this.#hopOut(id), this.memberOf(this.source[id]!));
    }
    dump.cursor = Math.max(end, dump.cursor);
    this.#batch.emit(dump.members, this.#nextHops, (member, bytes) => this.#port.send(member, bytes));
    if (end < Math.min(this.rib.table.idEnd, this.#state.length)) return;
    for (const index of dump.members) this.#member(index).dump = undefined;
  }

  /** Sends what changed while the member stood apart, as it is now; then it takes the common stream again. */
  #catchUp(index: number, m: Member, budget: number): void {
    const count = Math.min(budget, m.pending.count);
    for (let i = 0; i < count; i++) {
      const id = m.pending.shift();
      m.pendingBits[id >>> 5]! &= ~(1 << (id & 31));
      const has = this.attrIdOut[id] !== 0 && this.source[id] !== m.peer;
      this.#batch.add(id, has ? this.attrIdOut[id]! : 0, has ? this.#hopOut(id) : 0, TO_ALL);
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
      if (this.attrIdOut[id] === 0) this.rib.unhold(id);
    }
    const end = Math.min(this.#state.length, this.#dissolved + budget);
    for (let id = this.#dissolved; id < end && this.routeCount > 0; id++)
      if (this.attrIdOut[id] !== 0) {
        this.#store(id, 0, 0, 0);
        this.rib.unhold(id);
      }
    this.#dissolved = end;
    return this.routeCount > 0;
  }

  // ---- views ----

  /** Whether and why the member is sent the prefix or not: a code of export-stage.ts. */
  explain(member: number, prefixId: number): number {
    const m = this.#member(member);
    this.stage.run(prefixId);
    if (this.stage.attrId !== 0) this.rib.pool.release(this.stage.attrId);
    if (this.stage.reason !== SENT) return this.stage.reason;
    if (this.stage.source === m.peer) return SPLIT_HORIZON;
    return this.hasSent(member, prefixId) ? SENT : WAITS_ITS_TURN;
  }

  /** Whether the member has been sent the prefix, and it has not been withdrawn since. */
  hasSent(member: number, prefixId: number): boolean {
    const m = this.#member(member);
    if (prefixId >= this.#state.length || this.attrIdOut[prefixId] === 0) return false;
    if (this.source[prefixId] === m.peer || (m.dump?.fresh && prefixId >= m.dump.cursor)) return false;
    const word = prefixId >>> 5;
    return word >= m.pendingBits.length || (m.pendingBits[word]! & (1 << (prefixId & 31))) === 0;
  }

  /** How many prefixes the member has, or is about to have. */
  routeCountOf(member: number): number {
    const peer = this.#member(member).peer;
    return this.routeCount - (peer < this.routesBySource.length ? this.routesBySource[peer]! : 0);
  }

  /** The next hop sent with the prefix: the member's own, or the id of another. */
  nextHopOut(prefixId: number): number {
    return prefixId < this.nextHopIdOut.length ? this.nextHopIdOut[prefixId]! : 0;
  }

  /** Attributes sent with the prefix, 0 for none; the id is borrowed. */
  attrOut(prefixId: number): number {
    return prefixId < this.attrIdOut.length ? this.attrIdOut[prefixId]! : 0;
  }

  /** Whether nothing of the prefix waits in the common queue, or to be queued. */
  isSettled(prefixId: number): boolean {
    if (prefixId >= this.#fillCursor && prefixId < this.#fillEnd) return false;
    return prefixId >= this.#state.length || (this.#state[prefixId]! & QUEUED) === 0;
  }

  #hopOut(id: number): number {
    return this.nextHopIdOut.length === 0 ? 0 : this.nextHopIdOut[id]!;
  }

  #member(index: number): Member {
    const m = this.#members[index];
    assert(m !== undefined, 'a member that has not left');
    return m;
  }

  #grow(need: number): void {
    const capacity = grownCapacity(this.#state.length, need);
    this.#state = growU8(this.#state, capacity);
    this.attrIdOut = growU32(this.attrIdOut, capacity);
    this.source = growU16(this.source, capacity);
    if (this.nextHopIdOut.length > 0) this.nextHopIdOut = growU32(this.nextHopIdOut, capacity);
  }
}
