// Next hops, each known once by a uint32: address and, for a link-local one, the interface. The router resolves
// them (RFC 4271 9.1.2.1: reachability and the metric to reach them) and says so here; the decision only reads.
// Id 0 is this router itself, id 1 is nowhere (packets are discarded); both are always reachable. A link can be a next
// hop without an address, for whoever is on it (`internLink`); one id serves both families.
//
// A new next hop is unreachable until the router has resolved it. `drainTouched` tells the router which ids came
// or went, so that it can begin or end tracking. Cost: 52 B a next hop, nothing a route but the references.

import { assert } from '../lib/assert.ts';
import { readU32 } from '../lib/bytes.ts';
import { defaultHashKey, type HashKey, lastMix, mixWord } from '../lib/hash-key.ts';
import { FLOWSPEC_VPN4, FLOWSPEC_VPN6, FLOWSPEC4, FLOWSPEC6, RTC } from '../wire/bgp/family.ts';
import { growU8, growU32 } from './columns.ts';
import { IdHash } from './id-hash.ts';
import { IdQueue } from './id-queue.ts';

/** The id of "this router". */
export const NEXT_HOP_SELF = 0;
/** The id of "discard": black holes of RFC 7999 and of the operator's own. */
export const NEXT_HOP_DISCARD = 1;
/** Ids from here on are addresses that the router resolves. */
export const FIRST_NEXT_HOP = 2;

export class NextHopTable {
  refs = new Uint32Array(64);
  /** 1 where the router says the address can be reached. */
  reachable = new Uint8Array(64);
  /** Metric to the address; lower is nearer. */
  metric = new Uint32Array(64);
  /** Interface index of a link-local address, or of a link that is a next hop by itself; else 0. */
  scope = new Uint32Array(64);
  /** 4 or 16; 0 for those that are no address. */
  addressLength = new Uint8Array(64);
  /** 16 bytes an id. */
  address = new Uint8Array(64 * 16);
  /** Whatever the router wants to remember of the id: the list of links it resolved to. 0 at first. */
  via = new Uint32Array(64);
  /** Ids are in [0, idEnd). */
  idEnd = FIRST_NEXT_HOP;
  readonly #index = new IdHash();
  #free = new IdQueue();
  #touched = new IdQueue();
  #isTouched = new Uint8Array(64);

  readonly #hashKey: HashKey;

  /** `hashKey` is secret where the next hops are chosen by peers. */
  constructor(hashKey: HashKey = defaultHashKey) {
    this.#hashKey = hashKey;
    for (let id = 0; id < FIRST_NEXT_HOP; id++) {
      this.refs[id] = 1;
      this.reachable[id] = 1;
    }
  }

  /** Next hops in use, without ourselves. */
  get size(): number {
    return this.#index.size;
  }

  /** The id of bytes[start, start + length) on interface `scope`, made if absent; the caller owns a reference. */
  intern(bytes: Uint8Array, start: number, length: number, scope: number): number {
    assert(length === 4 || length === 16, 'a next hop has 4 or 16 bytes');
    return this.#intern(bytes, start, length, scope);
  }

  /** The id of a link as a next hop: packets go to whom they are for; the caller owns a reference. */
  internLink(ifindex: number): number {
    return this.#intern(this.address, 0, 0, ifindex);
  }

  /** Whether the id is a link. */
  isLink(id: number): boolean {
    return id >= FIRST_NEXT_HOP && this.addressLength[id] === 0;
  }

  #intern(bytes: Uint8Array, start: number, length: number, scope: number): number {
    const hash = hashAddress(bytes, start, length, scope, this.#hashKey);
    const index = this.#index;
    for (let slot = index.first(hash), id = index.slots[slot]!; id !== 0; id = index.slots[slot]!) {
      if (index.hash[id] === hash && this.#is(id, bytes, start, length, scope)) {
        this.refs[id]!++;
        return id;
      }
      slot = index.after(slot);
    }
    const id = this.#free.count > 0 ? this.#free.shift() : this.idEnd++;
    if (id >= this.refs.length) this.#grow();
    index.add(id, hash);
    this.refs[id] = 1;
    this.reachable[id] = 0;
    this.metric[id] = 0;
    this.via[id] = 0;
    this.scope[id] = scope;
    this.addressLength[id] = length;
    for (let i = 0; i < length; i++) this.address[id * 16 + i] = bytes[start + i]!;
    this.#touch(id);
    return id;
  }

  retain(id: number, count = 1): void {
    this.refs[id]! += count;
  }

  release(id: number, count = 1): void {
    assert(this.refs[id]! >= count, 'a next hop is released more often than it was retained');
    this.refs[id]! -= count;
    if (this.refs[id] !== 0) return;
    assert(id >= FIRST_NEXT_HOP, 'this router is always a next hop');
    this.#index.remove(id);
    this.#free.push(id);
    this.#touch(id);
  }

  /**
   * What the router found out. Returns whether it differs from what was known; then `Rib.nextHopChanged` has
   * to be told, in every RIB that uses this table.
   */
  setState(id: number, reachable: boolean, metric: number): boolean {
    assert(id !== NEXT_HOP_SELF, 'the state of this router as a next hop is fixed');
    if (id === NEXT_HOP_DISCARD) return false;
    const flag = reachable ? 1 : 0;
    if (this.reachable[id] === flag && this.metric[id] === metric) return false;
    this.reachable[id] = flag;
    this.metric[id] = metric;
    return true;
  }

  /** Calls `visit` once for each id that came into use or went out of it since the last drain. */
  drainTouched(visit: (id: number, inUse: boolean) => void): void {
    while (this.#touched.count > 0) {
      const id = this.#touched.shift();
      this.#isTouched[id] = 0;
      visit(id, this.refs[id] !== 0);
    }
  }

  /** A copy of the address: for the edges. */
  addressOf(id: number): Uint8Array {
    return this.address.slice(id * 16, id * 16 + this.addressLength[id]!);
  }

  /** See IdHash.searchSteps. */
  get searchSteps(): number {
    return this.#index.searchSteps;
  }

  #touch(id: number): void {
    if (this.#isTouched[id] === 1) return;
    this.#isTouched[id] = 1;
    this.#touched.push(id);
  }

  #is(id: number, bytes: Uint8Array, start: number, length: number, scope: number): boolean {
    if (this.scope[id] !== scope || this.addressLength[id] !== length) return false;
    for (let i = 0; i < length; i++) if (this.address[id * 16 + i] !== bytes[start + i]) return false;
    return true;
  }

  #grow(): void {
    const capacity = this.refs.length * 2;
    this.refs = growU32(this.refs, capacity);
    this.reachable = growU8(this.reachable, capacity);
    this.metric = growU32(this.metric, capacity);
    this.scope = growU32(this.scope, capacity);
    this.addressLength = growU8(this.addressLength, capacity);
    this.address = growU8(this.address, capacity * 16);
    this.via = growU32(this.via, capacity);
    this.#isTouched = growU8(this.#isTouched, capacity);
  }
}

function hashAddress(bytes: Uint8Array, start: number, length: number, scope: number, key: HashKey): number {
  let h = Math.imul((scope << 5) ^ length, key.odd2);
  for (let at = start; at < start + length; at += 4) h = mixWord(h, readU32(bytes, at), key);
  return lastMix(h, key);
}

/** Whether a path of the family is of use only where its next hop can be reached: RFC 4684 and 8955 send no packets. */
export function needsNextHop(family: number): boolean {
  return ![RTC, FLOWSPEC4, FLOWSPEC6, FLOWSPEC_VPN4, FLOWSPEC_VPN6].includes(family);
}
