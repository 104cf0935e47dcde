// The leases of one pool on one member: a machine of values, (state, event, time) -> state and actions. There is no
// master, and no address is ever given to two clients, whoever dies, is cut off or comes back, because:
//
// 1. Only the home of an address (dhcp-plan.ts) gives it to another client than before. It needs nobody's leave, so a
//    member that is alone goes on with its own share.
// 2. Any member may lengthen a lease for the same client. The home needs nobody's leave; others tell the client only
//    after `extendQuorum` members, themselves counted, are bound by the new end.
// 3. The home takes an address back after its lease is over by its own clock, and only when `reclaimQuorum` members
//    say that it is over by theirs; they promise at once to lengthen that generation no more. Both quorums meet: who
//    agreed to a longer lease that the home does not know of refuses and says so.
// 4. What a member is bound by is on disk before it says so ('keep' comes before what follows from it).
//
// Ends carry a margin for clocks that drift, for the wait for a quorum and for messages on their way. A release makes
// nothing earlier: a member out of reach might have lengthened the lease after it. Who lost its file ('lost') gives
// nothing, agrees to nothing and promises nothing for the longest lease it may have given. Then it asks for its whole
// share as in 3, in generations far beyond those it has forgotten. A member that is new in its configuration
// ('joining', or another charter than the kept one) waits twice as long and asks everybody, old homes above all.

import { BATCH, BUCKET, type DhcpMessage } from './dhcp-messages.ts';
import { homeOf, type PoolPlan } from './dhcp-plan.ts';
import {
  hearRecord,
  type LeaseRecord,
  mergeRecords,
  readRecord,
  type ToldRecord,
  tellRecord,
} from './dhcp-record.ts';

/** An answer waits so long for the others to know of it, and for the quorum that it must have. */
export const SPREAD_MS = 300;
export const QUORUM_MS = 2000;
const RESEND_MS = 250;
const OFFER_MS = 60_000;
const OFFERS_MAX = 4096;
const PENDING_MAX = 4096;
const RECLAIM_EVERY_MS = 2000;
/** A round of asking is over after that: promises may be forgotten by who loses its file. */
const ROUND_MS = 10_000;
const DIGEST_EVERY_MS = 5000;
export const DECLINE_MS = 600_000;
const LOST_STEP = 1024;

/** Beyond a client's own reckoning: 10 s, and 0.2 % for clocks. */
export function marginMs(leaseTimeMs: number): number {
  return 10_000 + leaseTimeMs / 500;
}

/** The state on disk, and the charter it was written under. */
export interface KeptLeases {
  charter: string;
  records: readonly unknown[];
  promises: readonly (readonly [number, number])[];
  /** As `LeasePool.unsure` was: a restart must not cut the wait of who lost its file, or is new, short. */
  unsure: 'joining' | 'lost' | undefined;
}

export type LeaseAction =
  /** To disk, before any later action of the same list. */
  | { kind: 'keep'; records: ToldRecord[]; promises: [number, number][] }
  | { kind: 'send'; to: string; message: DhcpMessage }
  /** The client of a ticket may be told; or nothing is to be said to it. */
  | { kind: 'granted'; ticket: number; index: number }
  | { kind: 'gaveUp'; ticket: number };

export type Asked = { kind: 'pending'; ticket: number } | { kind: 'refused' } | { kind: 'unknown' };

interface Pending {
  record: LeaseRecord;
  acked: Set<string>;
  /** Words that there must be, this member's counted. */
  must: number;
  startMs: number;
  sentMs: number;
}

export class LeasePool {
  readonly plan: PoolPlan;
  readonly self: string;
  readonly #others: readonly string[];
  readonly #records = new Map<number, LeaseRecord>();
  readonly #byClient = new Map<string, number>();
  readonly #promises = new Map<number, number>();
  readonly #offers = new Map<string, { index: number; untilMs: number }>();
  readonly #offered = new Map<number, string>();
  readonly #pending = new Map<number, Pending>();
  /** Generation asked for, and who confirmed. */
  readonly #reclaims = new Map<number, { generation: number; confirmed: Set<string>; startMs: number }>();
  /** Addresses of the own share that may not be given before they are taken back. */
  readonly #doubted = new Set<number>();
  readonly #own: number[] = [];
  readonly #everybody: boolean;
  readonly #quietUntilMs: number;
  readonly #lost: boolean;
  #alive: readonly string[];
  #out: LeaseAction[] = [];
  #tickets = 0;
  #reclaimedMs: number;
  #digestMs: number;
  #turn = 0;

  /** `from`: the kept state, or why there is none: the pool is new on all members, on this one, or the file is lost. */
  constructor(
    plan: PoolPlan,
    self: string,
    from: KeptLeases | 'founding' | 'joining' | 'lost',
    nowMs: number,
  ) {
    this.plan = plan;
    this.self = self;
    this.#others = plan.members.filter((name) => name !== self);
    this.#alive = this.#others;
    this.#reclaimedMs = nowMs;
    this.#digestMs = nowMs;
    for (let index = 0; index < plan.size; index++)
      if (homeOf(plan, index) === self && !plan.excluded.has(index)) this.#own.push(index);
    const kept = typeof from === 'object' && from.charter === plan.charter ? from : undefined;
    const unsure =
      kept === undefined ? (from === 'founding' || from === 'lost' ? from : 'joining') : kept.unsure;
    this.#lost = unsure === 'lost';
    this.#everybody = unsure === 'joining';
    const longestMs = plan.leaseTimeMs + marginMs(plan.leaseTimeMs);
    this.#quietUntilMs = this.#everybody ? nowMs + 2 * longestMs : this.#lost ? nowMs + longestMs : nowMs;
    if (this.#everybody || this.#lost) for (const index of this.#own) this.#doubted.add(index);
    if (kept !== undefined) this.#restore(kept, nowMs);
  }

  // Time in which this member was off is not taken off: nobody knows how long that was.
  #restore(kept: KeptLeases, nowMs: number): void {
    for (const value of kept.records) {
      const told = readRecord(value, this.plan.size);
      if (told !== undefined) this.#set(hearRecord(told, nowMs));
    }
    for (const [index, generation] of kept.promises) this.#promises.set(index, generation);
    this.#out = [];
  }

  #forgot(nowMs: number): boolean {
    return this.#lost && nowMs < this.#quietUntilMs;
  }

  /** Whether a part of the own share is not known to be free yet, and why; to be on disk. */
  unsure(nowMs: number): KeptLeases['unsure'] {
    if (nowMs >= this.#quietUntilMs && this.#doubted.size === 0) return undefined;
    return this.#everybody ? 'joining' : 'lost';
  }

  /** Everything that must survive. */
  kept(nowMs: number): KeptLeases {
    const records = [...this.#records.values()].map((record) => tellRecord(record, nowMs));
    const promises = [...this.#promises];
    return { charter: this.plan.charter, records, promises, unsure: this.unsure(nowMs) };
  }

  /** The actions since the last call, in their order. */
  take(): LeaseAction[] {
    const actions = this.#out;
    this.#out = [];
    return actions;
  }

  /** Who is thought to be there: saves waiting for the dead, and decides nothing. */
  setAlive(names: readonly string[]): void {
    this.#alive = this.#others.filter((name) => names.includes(name));
  }

  record(index: number): LeaseRecord | undefined {
    return this.#records.get(index);
  }

  /** The address that the client has, or had and may have again from here. */
  find(client: string): number | undefined {
    const index = this.#byClient.get(client);
    return index === undefined || this.#records.get(index)?.state !== 'bound' ? undefined : index;
  }

  /** Whether the own word is enough for this address. */
  isOwn(index: number): boolean {
    return (
      homeOf(this.plan, index) === this.self && !this.#doubted.has(index) && !this.plan.excluded.has(index)
    );
  }

  /** What a client is offered: its own, the one it wants, or a free one of the share; undefined: nothing is left. */
  offer(client: string, wanted: number | undefined, nowMs: number): number | undefined {
    const had = this.find(client);
    if (had !== undefined) return had;
    const before = this.#offers.get(client);
    if (before !== undefined && before.untilMs > nowMs && this.#isFree(before.index, client))
      return before.index;
    this.#dropOffers(nowMs);
    if (this.#offers.size >= OFFERS_MAX) return undefined;
    const index = wanted !== undefined && this.#isFree(wanted, client) ? wanted : this.#pick(client);
    if (index === undefined) return undefined;
    this.#offers.set(client, { index, untilMs: nowMs + OFFER_MS });
    this.#offered.set(index, client);
    return index;
  }

  #isFree(index: number, client: string): boolean {
    if (!this.isOwn(index)) return false;
    const other = this.#offered.get(index);
    return (
      (other === undefined || other === client) && (this.#records.get(index)?.state ?? 'free') === 'free'
    );
  }

  // From a place that follows from the client, so that it meets its old address again where nobody remembers it.
  #pick(client: string): number | undefined {
    let hash = 0;
    for (let at = 0; at < client.length; at++) hash = (Math.imul(hash, 31) + client.charCodeAt(at)) >>> 0;
    for (let step = 0; step < this.#own.length; step++) {
      const index = this.#own[(hash + step) % this.#own.length]!;
      if (this.#isFree(index, client)) return index;
    }
    return undefined;
  }

  #dropOffers(nowMs: number): void {
    for (const [client, { index, untilMs }] of this.#offers)
      if (untilMs <= nowMs) this.#endOffer(client, index);
  }

  #endOffer(client: string, index: number): void {
    this.#offers.delete(client);
    if (this.#offered.get(index) === client) this.#offered.delete(index);
  }

  /**
   * The client asks for this address, new or again. 'refused': it is not to use it. 'unknown': others know better, say
   * nothing. 'pending': the actions tell, at once or later.
   */
  request(client: string, index: number, nowMs: number): Asked {
    if (this.plan.excluded.has(index)) return { kind: 'refused' };
    if (this.#pending.size >= PENDING_MAX) return { kind: 'unknown' };
    const record = this.#records.get(index);
    const own = this.isOwn(index);
    const theirs = record?.client === client && record.state === 'bound';
    if (!own && (!theirs || this.#forgot(nowMs))) return { kind: 'unknown' };
    if (!theirs && !this.#isFree(index, client)) return { kind: 'refused' };
    const promised = this.#promises.get(index) ?? 0;
    if (!own && promised > record!.generation) return { kind: 'unknown' };
    this.#endOffer(client, index);
    const endMs = nowMs + this.plan.leaseTimeMs + marginMs(this.plan.leaseTimeMs);
    const begins = own && (!theirs || promised > record.generation);
    const next: LeaseRecord = {
      index,
      generation: begins ? Math.max(record?.generation ?? 0, promised) + 1 : record!.generation,
      count: begins ? 0 : record!.count + 1,
      by: this.self,
      state: 'bound',
      client,
      endMs: Math.max(endMs, theirs ? record.endMs : 0),
    };
    if (own) this.#reclaims.delete(index);
    this.#set(next);
    return { kind: 'pending', ticket: this.#spread(next, own ? 1 : this.plan.extendQuorum, nowMs) };
  }

  #spread(record: LeaseRecord, must: number, nowMs: number): number {
    const ticket = ++this.#tickets;
    this.#pending.set(ticket, { record, acked: new Set([this.self]), must, startMs: nowMs, sentMs: nowMs });
    this.#keep([record], [], nowMs);
    for (const to of this.#others) this.#put(to, ticket, record, nowMs);
    this.#settle(ticket, nowMs);
    return ticket;
  }

  #put(to: string, id: number, record: LeaseRecord, nowMs: number): void {
    this.#send(to, { kind: 'put', id, record: tellRecord(record, nowMs) });
  }

  // More than the quorum is waited for a moment, so that somebody can go on where this member dies right after.
  #settle(ticket: number, nowMs: number): void {
    const pending = this.#pending.get(ticket)!;
    const { record, acked, must, startMs } = pending;
    const waitedMs = nowMs - startMs;
    const wish = Math.min(Math.max(this.plan.extendQuorum, 2), 1 + this.#alive.length);
    const late = waitedMs > QUORUM_MS;
    const enough = acked.size >= must && (acked.size >= wish || waitedMs >= SPREAD_MS);
    if (!late && !enough) return;
    this.#pending.delete(ticket);
    const stands = this.#records.get(record.index);
    const same = stands?.client === record.client && stands.state === 'bound';
    if (late || !same) this.#out.push({ kind: 'gaveUp', ticket });
    else this.#out.push({ kind: 'granted', ticket, index: record.index });
  }

  /** The client says that somebody else uses its address. */
  decline(client: string, index: number, nowMs: number): void {
    const record = this.#records.get(index);
    if (record?.client !== client || record.state !== 'bound') return;
    const endMs = Math.max(record.endMs, nowMs + DECLINE_MS);
    const next: LeaseRecord = { ...record, count: record.count + 1, by: this.self, state: 'declined', endMs };
    this.#set(next);
    this.#keep([next], [], nowMs);
    for (const to of this.#others) this.#put(to, 0, next, nowMs);
  }

  /** To be called every 50 to 100 ms while anything is pending, and every second otherwise. */
  poll(nowMs: number): void {
    for (const [ticket, pending] of this.#pending) {
      this.#settle(ticket, nowMs);
      if (!this.#pending.has(ticket) || nowMs - pending.sentMs < RESEND_MS) continue;
      pending.sentMs = nowMs;
      for (const to of this.#others) if (!pending.acked.has(to)) this.#put(to, ticket, pending.record, nowMs);
    }
    if (nowMs - this.#reclaimedMs >= RECLAIM_EVERY_MS) this.#reclaim(nowMs);
    if (nowMs - this.#digestMs >= DIGEST_EVERY_MS) this.#sendDigest(nowMs);
  }

  #reclaim(nowMs: number): void {
    this.#reclaimedMs = nowMs;
    if (nowMs < this.#quietUntilMs) return;
    const wants: [number, number][] = [];
    for (const index of this.#own) {
      if (wants.length === BATCH) break;
      const record = this.#records.get(index);
      const over = record !== undefined && record.state !== 'free' && record.endMs <= nowMs;
      if (!over && (!this.#doubted.has(index) || (record?.endMs ?? 0) > nowMs)) continue;
      let reclaim = this.#reclaims.get(index);
      const known = Math.max(record?.generation ?? 0, this.#promises.get(index) ?? 0);
      if (reclaim === undefined || reclaim.generation < known || nowMs - reclaim.startMs > ROUND_MS) {
        const generation =
          Math.max(known, reclaim?.generation ?? 0) + (this.#doubted.has(index) ? LOST_STEP : 1);
        reclaim = { generation, confirmed: new Set([this.self]), startMs: nowMs };
        this.#reclaims.set(index, reclaim);
        this.#promises.set(index, generation);
        this.#keep([], [[index, generation]], nowMs);
      }
      wants.push([index, reclaim.generation]);
    }
    if (wants.length === 0) return;
    for (const to of this.#others) this.#send(to, { kind: 'reclaim', wants });
    for (const [index] of wants) this.#finishReclaim(index, nowMs);
  }

  #finishReclaim(index: number, nowMs: number): void {
    const reclaim = this.#reclaims.get(index);
    const doubted = this.#everybody && this.#doubted.has(index);
    const need = doubted ? this.plan.members.length : this.plan.reclaimQuorum;
    if (reclaim === undefined || reclaim.confirmed.size < need) return;
    this.#reclaims.delete(index);
    const record = this.#records.get(index);
    // It was lengthened or given anew in between.
    if (record !== undefined && (record.endMs > nowMs || record.generation >= reclaim.generation)) return;
    this.#doubted.delete(index);
    const { generation } = reclaim;
    const free: LeaseRecord = {
      index,
      generation,
      count: 0,
      by: this.self,
      state: 'free',
      client: '',
      endMs: 0,
    };
    this.#set(free);
    this.#keep([free], [], nowMs);
    for (const to of this.#others) this.#put(to, 0, free, nowMs);
  }

  /** A message of another member with the same charter. */
  hear(from: string, message: DhcpMessage, nowMs: number): void {
    if (!this.#others.includes(from)) return;
    switch (message.kind) {
      case 'put':
        this.#hearPut(from, message.id, message.record, nowMs);
        return;
      case 'ack': {
        this.#pending.get(message.id)?.acked.add(from);
        if (this.#pending.has(message.id)) this.#settle(message.id, nowMs);
        return;
      }
      case 'refuse':
        this.#hearAll(message.records, nowMs);
        this.#outbid(message.index, message.promised, nowMs);
        return;
      case 'reclaim':
        this.#hearReclaim(from, message.wants, nowMs);
        return;
      case 'confirm':
        this.#hearAll(message.records, nowMs);
        for (const [index, generation] of message.wants) {
          const reclaim = this.#reclaims.get(index);
          if (reclaim?.generation !== generation || nowMs - reclaim.startMs > ROUND_MS) continue;
          reclaim.confirmed.add(from);
          this.#finishReclaim(index, nowMs);
        }
        return;
      case 'digest':
        this.#hearDigest(from, message.sums, nowMs);
        return;
      case 'records':
        this.#hearAll(message.records, nowMs);
        if (message.wants.length > 0) this.#tellBuckets(from, message.wants, [], nowMs);
    }
  }

  #hearPut(from: string, id: number, told: ToldRecord, nowMs: number): void {
    this.#hearAll([told], nowMs);
    if (id === 0) return;
    const { index, generation, client } = told;
    const mine = this.#records.get(index);
    const promised = this.#promises.get(index) ?? 0;
    const agreed = mine?.generation === generation && mine.client === client && promised <= generation;
    // What it promised before its file was lost may stand against this.
    if (agreed && this.#forgot(nowMs)) return;
    if (agreed) this.#send(from, { kind: 'ack', id });
    else {
      const records = mine === undefined ? [] : [tellRecord(mine, nowMs)];
      this.#send(from, { kind: 'refuse', id, index, promised, records });
    }
  }

  // What was promised to this home before it was restarted stands in its way: a generation further it does not.
  #outbid(index: number, promised: number, nowMs: number): void {
    const record = this.#records.get(index);
    if (!this.isOwn(index) || record === undefined || record.generation > promised) return;
    if (this.#reclaims.has(index)) return;
    const next: LeaseRecord = { ...record, generation: promised + 1, count: 0, by: this.self };
    this.#set(next);
    this.#keep([next], [], nowMs);
    for (const to of this.#others) this.#put(to, 0, next, nowMs);
  }

  #hearAll(told: readonly ToldRecord[], nowMs: number): void {
    const changed: LeaseRecord[] = [];
    for (const one of told) {
      const mine = this.#records.get(one.index);
      let merged = mergeRecords(mine, hearRecord(one, nowMs));
      if (merged === mine) continue;
      // Nobody else begins generations of what is ours: this one was forgotten, and what it says is not known here.
      if (this.isOwn(one.index) && merged.generation > (mine?.generation ?? 0)) {
        if (mine === undefined || mine.state === 'free') this.#doubted.add(one.index);
        else merged = { ...mine, generation: merged.generation + 1, count: 0, by: this.self };
      }
      const promised = this.#promises.get(one.index) ?? 0;
      // Somebody lengthens what was about to be taken back, and others have promised not to: past these promises.
      if (this.isOwn(one.index) && merged.endMs > nowMs && merged.generation < promised) {
        merged = { ...merged, generation: promised + 1, count: 0, by: this.self };
        this.#reclaims.delete(one.index);
        for (const to of this.#others) this.#put(to, 0, merged, nowMs);
      }
      this.#set(merged);
      changed.push(merged);
    }
    if (changed.length > 0) this.#keep(changed, [], nowMs);
  }

  #hearReclaim(from: string, wants: readonly [number, number][], nowMs: number): void {
    const confirmed: [number, number][] = [];
    const records: ToldRecord[] = [];
    const quiet = this.#forgot(nowMs);
    for (const [index, generation] of wants) {
      const mine = this.#records.get(index);
      if (homeOf(this.plan, index) !== from || quiet) continue;
      const stands = mine !== undefined && (mine.generation >= generation || mine.endMs > nowMs);
      if (stands) records.push(tellRecord(mine, nowMs));
      else if ((this.#promises.get(index) ?? 0) <= generation) {
        this.#promises.set(index, generation);
        confirmed.push([index, generation]);
      }
    }
    if (confirmed.length > 0) this.#keep([], confirmed, nowMs);
    if (confirmed.length + records.length > 0)
      this.#send(from, { kind: 'confirm', wants: confirmed, records });
  }

  #sendDigest(nowMs: number): void {
    this.#digestMs = nowMs;
    const to = this.#others[this.#turn++ % Math.max(1, this.#others.length)];
    if (to !== undefined) this.#send(to, { kind: 'digest', sums: this.#sums() });
  }

  #sums(): number[] {
    const sums = new Array<number>(Math.ceil(this.plan.size / BUCKET)).fill(0);
    for (const { index, generation, count, by, state } of this.#records.values()) {
      let hash = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(generation + 1, 0x85ebca6b);
      hash ^= Math.imul(count + 1, 0xc2b2ae35) + state.length;
      for (let at = 0; at < by.length; at++) hash = Math.imul(hash ^ by.charCodeAt(at), 0x01000193);
      const bucket = Math.floor(index / BUCKET);
      sums[bucket] = (sums[bucket]! + (hash >>> 0)) >>> 0;
    }
    return sums;
  }

  #hearDigest(from: string, sums: readonly number[], nowMs: number): void {
    const wants: number[] = [];
    for (const [bucket, sum] of this.#sums().entries()) if (sum !== sums[bucket]) wants.push(bucket);
    if (wants.length > 0) this.#tellBuckets(from, wants, wants, nowMs);
  }

  #tellBuckets(to: string, buckets: readonly number[], wants: number[], nowMs: number): void {
    let records: ToldRecord[] = [];
    const flush = (asked: number[]): void => {
      this.#send(to, { kind: 'records', records, wants: asked });
      records = [];
    };
    for (const bucket of buckets) {
      const end = Math.min((bucket + 1) * BUCKET, this.plan.size);
      for (let index = bucket * BUCKET; index < end; index++) {
        const record = this.#records.get(index);
        if (record !== undefined) records.push(tellRecord(record, nowMs));
      }
      if (records.length > BATCH - BUCKET) flush([]);
    }
    if (records.length > 0 || wants.length > 0) flush(wants);
  }

  #set(record: LeaseRecord): void {
    const { index, client } = record;
    const before = this.#records.get(index);
    if (before !== undefined && before.client !== client && this.#byClient.get(before.client) === index)
      this.#byClient.delete(before.client);
    this.#records.set(index, record);
    if (record.state !== 'bound') return;
    const other = this.#byClient.get(client);
    const otherEndMs = other === undefined ? 0 : (this.#records.get(other)?.endMs ?? 0);
    if (other === undefined || record.endMs >= otherEndMs) this.#byClient.set(client, index);
  }

  #keep(records: readonly LeaseRecord[], promises: [number, number][], nowMs: number): void {
    this.#out.push({ kind: 'keep', records: records.map((record) => tellRecord(record, nowMs)), promises });
  }

  #send(to: string, message: DhcpMessage): void {
    this.#out.push({ kind: 'send', to, message });
  }
}
