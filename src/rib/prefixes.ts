// The prefixes of a RIB: key -> dense id (lib/prefix-table.ts) and columns indexed by that id. IPv4 addresses
// are one word, IPv6 ones four, most significant first; callers that serve both pass four. Where an NLRI is more than
// a prefix the keys are bytes (lib/byte-table.ts), and all else is the same.
//
// An id that nobody needs stays in the table for a while, idle: a route that flaps finds it again, and the work of
// forgetting is done when there is time (`forget`), or at once for all when nothing is left.
//
// Cost a prefix: 15 B here, about 25 B (IPv4) or 37 B (IPv6) in the table; independent of the number of peers.

import { ByteTable } from '../lib/byte-table.ts';
import { ByteWriter } from '../lib/bytes.ts';
import type { HashKey } from '../lib/hash-key.ts';
import { PrefixTable } from '../lib/prefix-table.ts';
import type { Family } from '../wire/bgp/family.ts';
import { ip4At, ip6WordAt, routable4, routable6 } from '../wire/bgp/nlri/ip.ts';
import { type NlriCodec, nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import type { UpdateWriter } from '../wire/bgp/update-writer.ts';
import { grownCapacity, growU8, growU16, growU32 } from './columns.ts';
import { IdQueue } from './id-queue.ts';
import type { NlriData } from './nlri-data.ts';

/** Bits of the `state` column. */
export const PREFIX_DIRTY = 1;
/** The best path was removed and the prefix has not been decided since. */
export const PREFIX_BEST_LOST = 2;
/** The prefix is in the list of changes that the router is looking at. */
export const PREFIX_LISTED = 4;
/** The kernel has not yet acknowledged what was decided: nothing new is to be announced. */
export const PREFIX_AWAITS_FIB = 8;
/** The kernel has no route: not yet, or it refused it. Nothing may be announced, what was is withdrawn. */
export const PREFIX_FIB_LACKS = 16;
/** Nobody needs the id: it is only remembered. */
export const PREFIX_IDLE = 32;
/** The id is in the queue of those that were idle. */
const PREFIX_TO_FORGET = 64;
/** An aggregate stands for the prefix: it is not announced (aggregates.ts). */
export const PREFIX_SUMMARIZED = 128;

/** That many idle ids are kept whatever the size of the table; above it, a quarter of the table. */
const IDLE_KEPT = 4096;
/** As many reads as a processor has under way at once, about. */
const TOUCHED_AHEAD = 12;

export class Prefixes {
  /** Empty where the keys are bytes. */
  readonly table: PrefixTable;
  /** The keys where an NLRI is more than a prefix. */
  readonly keys: ByteTable | undefined;
  readonly codec: NlriCodec | undefined;
  /** 4 B: head of the list of paths, 0 for none. */
  firstPath = new Uint32Array(64);
  /** 4 B: the path chosen by the last decision, 0 for none. */
  bestPath = new Uint32Array(64);
  /** 4 B: what the prefix is forwarded to (next-hop-sets.ts), one reference. */
  nextHopSetId = new Uint32Array(64);
  /** 2 B: who else needs the id to keep its meaning: update groups, the router. */
  holds = new Uint16Array(64);
  /** 1 B. */
  state = new Uint8Array(64);
  /** Ids in use that nobody needs. */
  idleCount = 0;
  readonly #toForget = new IdQueue();
  readonly #out = new ByteWriter(64);
  /** Prefixes per length, so that a longest match tries only lengths that exist. */
  readonly #lengthCounts = new Uint32Array(129);

  constructor(family: Family, hashKey?: HashKey) {
    const isOpaque = family.form === 'opaque';
    this.codec = nlriCodecs[family.id];
    this.keys = isOpaque ? new ByteTable(hashKey) : undefined;
    this.table = new PrefixTable(family.addressLength === 4 ? 1 : 4, isOpaque ? 1 : 1024, hashKey);
  }

  /** Ids are below this. */
  get idEnd(): number {
    return this.keys === undefined ? this.table.idEnd : this.keys.idEnd;
  }

  /** Ids that mean something, idle ones among them. */
  get size(): number {
    return this.keys === undefined ? this.table.size : this.keys.size;
  }

  /** Whether the id means something; it may be idle. */
  has(id: number): boolean {
    return this.keys === undefined ? this.table.has(id) : this.keys.has(id);
  }

  /** Makes sure that `count` prefixes can be added without a column moving. */
  reserve(count: number): void {
    const need = this.idEnd + count;
    if (need <= this.state.length) return;
    const capacity = grownCapacity(this.state.length, need);
    this.firstPath = growU32(this.firstPath, capacity);
    this.bestPath = growU32(this.bestPath, capacity);
    this.nextHopSetId = growU32(this.nextHopSetId, capacity);
    this.holds = growU16(this.holds, capacity);
    this.state = growU8(this.state, capacity);
  }

  /**
   * Brings in what the next few prefixes of an NLRI section (without path identifiers) need of the table; returns
   * where they end. Searching one after the other would wait for memory each time.
   */
  touch(bytes: Uint8Array, start: number, end: number): number {
    const { table } = this;
    let at = start;
    for (let i = 0; i < TOUCHED_AHEAD && at < end; i++) {
      const length = bytes[at]!;
      if (table.words === 1) table.touch1(ip4At(bytes, at), length);
      else {
        const a = ip6WordAt(bytes, at, 0);
        const b = ip6WordAt(bytes, at, 1);
        table.touch4(a, b, ip6WordAt(bytes, at, 2), ip6WordAt(bytes, at, 3), length);
      }
      at += 1 + ((length + 7) >>> 3);
    }
    return at;
  }

  /** The id of the prefix whose length byte is at `at`, made if absent; room is reserved. */
  addAt(bytes: Uint8Array, at: number): number {
    const length = bytes[at]!;
    if (this.table.words === 1) return this.add4(ip4At(bytes, at), length);
    const a = ip6WordAt(bytes, at, 0);
    const b = ip6WordAt(bytes, at, 1);
    return this.add6(a, b, ip6WordAt(bytes, at, 2), ip6WordAt(bytes, at, 3), length);
  }

  /** The id of the prefix whose length byte is at `at`, or -1; it may be idle. */
  findAt(bytes: Uint8Array, at: number): number {
    const length = bytes[at]!;
    if (this.table.words === 1) return this.table.find1(ip4At(bytes, at), length);
    const a = ip6WordAt(bytes, at, 0);
    const b = ip6WordAt(bytes, at, 1);
    return this.table.find4(a, b, ip6WordAt(bytes, at, 2), ip6WordAt(bytes, at, 3), length);
  }

  /** Whether the prefix can be a route at all (RFC 4271 6.3). */
  isRoutable(id: number): boolean {
    const { address, length } = this.table;
    if (this.table.words === 1) return routable4(address[id]!, length[id]!);
    const at = id * 4;
    return routable6(address[at]!, address[at + 1]!, address[at + 2]!, address[at + 3]!, length[id]!);
  }

  /** As `isRoutable` for a key of bytes. */
  isRoutableKey(id: number): boolean {
    const keys = this.keys!;
    const at = keys.offset(id);
    return this.codec!.routable(keys.page(id), at, at + keys.length[id]!);
  }

  /** The id of an IPv4 prefix, made if absent; room is reserved. */
  add4(address: number, length: number): number {
    const known = this.table.size;
    const id = this.table.add1(address, length);
    if (this.table.size !== known) this.#lengthCounts[length]!++;
    return id;
  }

  /** The id of an IPv6 prefix, made if absent; room is reserved. */
  add6(a: number, b: number, c: number, d: number, length: number): number {
    const known = this.table.size;
    const id = this.table.add4(a, b, c, d, length);
    if (this.table.size !== known) this.#lengthCounts[length]!++;
    return id;
  }

  /** The id of a prefix of either family, made if absent; room is reserved. */
  add(a: number, b: number, c: number, d: number, length: number): number {
    return this.table.words === 1 ? this.add4(a, length) : this.add6(a, b, c, d, length);
  }

  /** As `add` for somebody who needs the id, with a path or without. */
  take(a: number, b: number, c: number, d: number, length: number): number {
    this.reserve(1);
    const id = this.add(a, b, c, d, length);
    if ((this.state[id]! & PREFIX_IDLE) !== 0) this.revive(id);
    return id;
  }

  /** The id of a prefix of either family, or -1; an idle one is not found. */
  find(a: number, b: number, c: number, d: number, length: number): number {
    const id = this.table.words === 1 ? this.table.find1(a, length) : this.table.find4(a, b, c, d, length);
    return id >= 0 && (this.state[id]! & PREFIX_IDLE) !== 0 ? -1 : id;
  }

  /** The id of a key of bytes, or -1; an idle one is not found. */
  findKey(bytes: Uint8Array, start: number, end: number): number {
    const id = this.keys === undefined ? -1 : this.keys.find(bytes, start, end);
    return id >= 0 && (this.state[id]! & PREFIX_IDLE) !== 0 ? -1 : id;
  }

  /** The key of bytes as people write it. */
  keyText(id: number): string {
    const key = this.keys!.copyOf(id);
    return this.codec!.text(key, 0, key.length);
  }

  /** Adds the NLRI, with the data `dataId` that it carries, to what the writer has begun; false when that is full. */
  write(writer: UpdateWriter, id: number, data: NlriData, dataId: number, pathId: number): boolean {
    if (this.keys !== undefined) return this.#writeKey(this.keys, writer, id, data, dataId, pathId);
    const { address, length, words } = this.table;
    if (words === 1) return writer.addIp4(address[id]!, length[id]!, pathId);
    const at = id * 4;
    const [a, b] = [address[at]!, address[at + 1]!];
    return writer.addIp6(a, b, address[at + 2]!, address[at + 3]!, length[id]!, pathId);
  }

  #writeKey(
    keys: ByteTable,
    writer: UpdateWriter,
    id: number,
    data: NlriData,
    dataId: number,
    pathId: number,
  ): boolean {
    const page = keys.page(id);
    const at = keys.offset(id);
    const out = this.#out.reset();
    const rest = dataId === 0 ? page : data.page(dataId);
    const restAt = dataId === 0 ? 0 : data.offset(dataId);
    this.codec!.join(page, at, at + keys.length[id]!, rest, restAt, restAt + data.length(dataId), out);
    return writer.addNlri(out.bytes, 0, out.length, pathId);
  }

  /** Sets or clears a bit of the state. */
  setBit(id: number, bit: number, on: boolean): void {
    if (on) this.state[id]! |= bit;
    else this.state[id]! &= ~bit;
  }

  /** Prefixes that somebody needs: paths, update groups, the router. */
  get count(): number {
    return this.size - this.idleCount;
  }

  /** Nobody needs the id any more; its columns are empty but for the state. */
  retire(id: number): void {
    const queued = this.state[id]! & PREFIX_TO_FORGET;
    this.state[id] = PREFIX_IDLE | PREFIX_TO_FORGET;
    this.idleCount++;
    if (queued === 0) this.#toForget.push(id);
  }

  /** The id of an idle prefix is needed again. */
  revive(id: number): void {
    this.state[id]! &= ~PREFIX_IDLE;
    this.idleCount--;
  }

  /** Whether `forget` has anything to do. */
  get hasIdle(): boolean {
    return this.idleCount > IDLE_KEPT ? this.idleCount * 4 > this.size : this.#isAllIdle;
  }

  get #isAllIdle(): boolean {
    return this.idleCount > 0 && this.idleCount === this.size;
  }

  /** Gives up to `budget` idle ids back, or all at once where no other is left. */
  forget(budget: number): void {
    if (this.#isAllIdle) {
      this.state.fill(0, 0, this.idEnd);
      this.#lengthCounts.fill(0);
      this.#toForget.clear();
      this.idleCount = 0;
      this.table.clear();
      this.keys?.clear();
      return;
    }
    for (let i = 0; i < budget && this.hasIdle; i++) {
      const id = this.#toForget.shift();
      this.state[id]! &= ~PREFIX_TO_FORGET;
      if ((this.state[id]! & PREFIX_IDLE) === 0) continue;
      this.state[id] = 0;
      this.idleCount--;
      if (this.keys !== undefined) this.keys.release(id);
      else {
        this.#lengthCounts[this.table.length[id]!]!--;
        this.table.release(id);
      }
    }
  }

  /** Whether there may be prefixes of this length; only for families whose keys are prefixes. */
  hasLength(length: number): boolean {
    return this.#lengthCounts[length] !== 0;
  }

  /** The longest prefix with a best path that contains the address, or -1. */
  lookup(a: number, b: number, c: number, d: number): number {
    for (let length = this.table.words * 32; length >= 0; length--) {
      if (this.#lengthCounts[length] === 0) continue;
      const high = maskWord(a, length);
      const id = this.find(
        high,
        maskWord(b, length - 32),
        maskWord(c, length - 64),
        maskWord(d, length - 96),
        length,
      );
      if (id >= 0 && this.bestPath[id] !== 0) return id;
    }
    return -1;
  }

  /** The next id that somebody needs, from `from` on, or -1: for listing page by page, in the order of ids. */
  nextId(from: number): number {
    for (let id = from; id < this.idEnd; id++)
      if (this.has(id) && (this.state[id]! & PREFIX_IDLE) === 0) return id;
    return -1;
  }
}

/** The first `bits` bits of a word (all of them from 32 on, none from 0 down). */
function maskWord(word: number, bits: number): number {
  if (bits >= 32) return word;
  return bits <= 0 ? 0 : (word & (-1 << (32 - bits))) >>> 0;
}
