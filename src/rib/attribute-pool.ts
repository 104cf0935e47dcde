// Every distinct set of path attributes is kept once, as canonical bytes (attribute/canonical.ts of the wire
// room says what that is), and is known by a uint32: its attrId. What the decision process reads (RFC 4271
// 9.1.2.2, RFC 4456 9) is parsed once a set into columns. A set lives while something holds a reference;
// caches hold none, they compare `birth` to see whether an id still means what it meant.
//
// Bytes lie in pages that never move, so growing costs no copy and a full table no pause. An id keeps its
// block when it is freed and is used again for a set of the same size class (lib/size-class.ts).
// Cost: 52 B a distinct set + its bytes + 16-32 B of hash slots; nothing a route but the references.
// This file does not validate: the decoder has done so.

import { assert } from '../lib/assert.ts';
import { readU32, sameBytes } from '../lib/bytes.ts';
import { halfSipHash } from '../lib/half-sip-hash.ts';
import { defaultHashKey, type HashKey } from '../lib/hash-key.ts';
import { blockBytes, SIZE_CLASSES, sizeClassOf } from '../lib/size-class.ts';
import {
  BLACKHOLE_COMMUNITY,
  GRACEFUL_SHUTDOWN_COMMUNITY,
  LLGR_STALE_COMMUNITY,
  MOVE_SEQUENCE,
  MOVE_SEQUENCE_FRESH,
  NO_ADVERTISE_COMMUNITY,
  NO_EXPORT_COMMUNITY,
  NO_EXPORT_SUBCONFED_COMMUNITY,
  NO_LLGR_COMMUNITY,
} from '../net/community.ts';
import { AS_CONFED_SEQUENCE, AS_CONFED_SET, AS_SEQUENCE, AS_SET } from '../wire/bgp/attribute/as-path.ts';
import { valueEnd, valueStart } from '../wire/bgp/attribute/canonical.ts';
import {
  AS_PATH,
  CLUSTER_LIST,
  COMMUNITIES,
  EXT_COMMUNITIES,
  LARGE_COMMUNITIES,
  LOCAL_PREF,
  MED,
  ORIGIN,
  ORIGINATOR_ID,
  OTC,
} from '../wire/bgp/attribute/table.ts';
import { grownCapacity, growU8, growU16, growU32 } from './columns.ts';
import { IdHash } from './id-hash.ts';

const PAGE_SHIFT = 20;
const PAGE_SIZE = 1 << PAGE_SHIFT;

/** LOCAL_PREF of a set that has none (RFC 4271 5.1.5 leaves the value to local configuration). */
export const DEFAULT_LOCAL_PREF = 100;

/** Bits of the `flags` column. */
export const HAS_MED = 1;
export const HAS_LOCAL_PREF = 2;
/** RFC 1997. */
export const NO_EXPORT = 4;
/** RFC 1997: NO_ADVERTISE. */
export const NO_ADVERTISE = 8;
/** Our router id is the ORIGINATOR_ID, or our cluster id is in the CLUSTER_LIST (RFC 4456 8). */
export const ORIGINATOR_LOOP = 16;
export const CLUSTER_LOOP = 32;
/** The columns hold what the bytes say; a set that is only sent has never been parsed. */
const PARSED = 64;
/** RFC 1997. */
export const NO_EXPORT_SUBCONFED = 128;
/** RFC 8326: the sender is about to go. */
export const GRACEFUL_SHUTDOWN = 256;
/** RFC 9494: LLGR_STALE, and NO_LLGR. */
export const LLGR_STALE = 512;
export const NO_LLGR = 1024;
/** RFC 7999. */
export const BLACKHOLE = 2048;
/** The path has an AS_SET or AS_CONFED_SET (RFC 9774). */
export const HAS_AS_SET = 4096;
/** RFC 9234. */
export const HAS_OTC = 8192;
/** draft-ietf-idr-link-bandwidth. */
const HAS_LINK_BANDWIDTH = 16384;
/** An extended community that does not leave the AS (RFC 4360 section 6). */
export const HAS_NON_TRANSITIVE = 32768;
/** A move sequence (net/community.ts), in its settled and in its fresh form. */
export const MOVE_SETTLED = 65536;
export const MOVE_FRESH = 131072;
const HAS_MOVE = MOVE_SETTLED | MOVE_FRESH;

/** Who we are, for the loop checks that are made once a set. */
export interface LocalIdentity {
  asn: number;
  /** BGP identifier, uint32. */
  routerId: number;
  /** RFC 4456 cluster id, uint32; the router id where none is configured. */
  clusterId: number;
  /** RFC 5065: what the world outside takes for our AS; `asn` is then the member AS. 0 or absent: none. */
  confederationId?: number;
}

export class AttributePool {
  /** References per id; 0 is a free id. */
  refs = new Uint32Array(64);
  /** A number no other set has had: what a cache keeps beside an id it holds no reference to. */
  birth = new Uint32Array(64);
  /** Bytes of the set. */
  length = new Uint16Array(64);
  localPref = new Uint32Array(64);
  med = new Uint32Array(64);
  /** Neighbour AS of RFC 4271 9.1.2.2 c; 0 where the path is empty or begins with an AS_SET (our own AS). */
  firstAs = new Uint32Array(64);
  originatorId = new Uint32Array(64);
  asPathHash = new Uint32Array(64);
  /** Length for the decision: a set counts one, confederation segments nothing (RFC 4271 9.1.2.2 a). */
  asPathLength = new Uint16Array(64);
  clusterListLength = new Uint16Array(64);
  /** How often our own AS is in the path; with a confederation, how often its identifier. */
  localAsCount = new Uint8Array(64);
  /** How often our member AS is in confederation segments (RFC 5065 section 4). */
  memberAsCount = new Uint8Array(64);
  origin = new Uint8Array(64);
  flags = new Uint32Array(64);
  /** The highest move sequence in either form, 0 where there is none: 4 B a set. */
  moveSequence = new Uint32Array(64);
  /** Sets in use that carry LLGR_STALE, and a move sequence: without any the decision need not look. */
  staleSets = 0;
  movedSets = 0;
  /** Ids are in [1, idEnd); 0 is no set. */
  idEnd = 1;

  #identity: LocalIdentity;
  #start = new Uint32Array(64);
  /** Holds the hash of a set in use; the next free id of a free one. */
  readonly #index = new IdHash();
  #pages: Uint8Array[] = [new Uint8Array(PAGE_SIZE)];
  #top = 0;
  #freeByClass = new Uint32Array(SIZE_CLASSES);
  #births = 0;
  readonly #hashKey: HashKey;

  /** `hashKey` is secret where the sets are chosen by peers. */
  constructor(identity: LocalIdentity, hashKey: HashKey = defaultHashKey) {
    this.#identity = { ...identity };
    this.#hashKey = hashKey;
  }

  /** Our BGP identifier. */
  get routerId(): number {
    return this.#identity.routerId;
  }

  /** Pages of bytes taken so far; they go only when no set is left. */
  get pageCount(): number {
    return this.#pages.length;
  }

  /** Sets in use. */
  get size(): number {
    return this.#index.size;
  }

  /** The id of the set with these canonical bytes, made if absent; the caller owns one reference. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    const id = this.internOpaque(bytes, start, end);
    if ((this.flags[id]! & PARSED) === 0) this.#parse(id);
    return id;
  }

  /** As intern, for sets that are only sent: the columns are not filled. */
  internOpaque(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start;
    assert(length >= 0 && length <= 0xffff, 'an attribute set fits a message');
    const hash = halfSipHash(bytes, start, end, this.#hashKey);
    const index = this.#index;
    for (let slot = index.first(hash), id = index.slots[slot]!; id !== 0; id = index.slots[slot]!) {
      if (
        index.hash[id] === hash &&
        this.length[id] === length &&
        sameBytes(this.page(id), this.offset(id), bytes, start, length)
      ) {
        this.refs[id]!++;
        return id;
      }
      slot = index.after(slot);
    }
    const id = this.#take(length);
    index.add(id, hash);
    this.length[id] = length;
    this.refs[id] = 1;
    this.birth[id] = ++this.#births;
    const page = this.page(id);
    const offset = this.offset(id);
    for (let i = 0; i < length; i++) page[offset + i] = bytes[start + i]!;
    this.flags[id] = 0;
    return id;
  }

  /** Adds references to a set in use. */
  retain(id: number, count = 1): void {
    this.refs[id]! += count;
  }

  /** Gives references back; the set goes with the last one. */
  release(id: number, count = 1): void {
    const refs = this.refs[id]!;
    assert(refs >= count, 'an attribute set is released more often than it was retained');
    this.refs[id] = refs - count;
    if (refs === count) this.#free(id);
  }

  /** Whether `id` still is the set that was born as `birth`. */
  isBorn(id: number, birth: number): boolean {
    return this.birth[id] === birth && this.refs[id] !== 0;
  }

  /** The page that holds the set's bytes, from `offset(id)` on, `length[id]` of them. */
  page(id: number): Uint8Array {
    return this.#pages[this.#start[id]! >>> PAGE_SHIFT]!;
  }

  /** Where in its page the set begins. */
  offset(id: number): number {
    return this.#start[id]! & (PAGE_SIZE - 1);
  }

  /** A copy of the set's bytes: for the edges. */
  copyOf(id: number): Uint8Array {
    const offset = this.offset(id);
    return this.page(id).slice(offset, offset + this.length[id]!);
  }

  /** Whether two sets have the same AS_PATH, byte by byte. */
  sameAsPath(a: number, b: number): boolean {
    if (a === b) return true;
    if (this.asPathHash[a] !== this.asPathHash[b]) return false;
    const atA = this.#find(a, AS_PATH);
    const atB = this.#find(b, AS_PATH);
    if (atA < 0 || atB < 0) return atA === atB;
    const pageA = this.page(a);
    const pageB = this.page(b);
    const length = valueEnd(pageA, atA) - atA;
    // The length is within the compared bytes, and flags cannot differ but for Partial, which AS_PATH never has.
    if (length !== valueEnd(pageB, atB) - atB) return false;
    return sameBytes(pageA, atA, pageB, atB, length);
  }

  /**
   * Bytes a second of the link bandwidth community, transitive (0x0004) or not (0x4004), or -1
   * (draft-ietf-idr-link-bandwidth).
   */
  linkBandwidth(id: number): number {
    if ((this.flags[id]! & HAS_LINK_BANDWIDTH) === 0) return -1;
    const page = this.page(id);
    const attribute = this.#find(id, EXT_COMMUNITIES);
    const end = valueEnd(page, attribute);
    for (let at = valueStart(page, attribute); at < end; at += 8)
      if (isLinkBandwidth(page, at)) {
        float.setUint32(0, readU32(page, at + 4));
        const value = float.getFloat32(0);
        if (value >= 0 && value < Number.POSITIVE_INFINITY) return value;
      }
    return -1;
  }

  /** Changes who we are and looks at every set again; the owner then re-runs the import of all peers. */
  setIdentity(identity: LocalIdentity): void {
    this.#identity = { ...identity };
    for (let id = 1; id < this.idEnd; id++)
      if (this.refs[id] !== 0 && (this.flags[id]! & PARSED) !== 0) this.#parse(id);
  }

  /** Bytes this pool has reserved, for the metrics. */
  get reservedBytes(): number {
    return this.#pages.length * PAGE_SIZE + this.refs.length * 52 + this.#index.slots.length * 4;
  }

  /** See IdHash.searchSteps. */
  get searchSteps(): number {
    return this.#index.searchSteps;
  }

  #find(id: number, code: number): number {
    const page = this.page(id);
    let at = this.offset(id);
    const end = at + this.length[id]!;
    while (at < end) {
      if (page[at + 1] === code) return at;
      at = valueEnd(page, at);
    }
    return -1;
  }

  #parse(id: number): void {
    const page = this.page(id);
    let at = this.offset(id);
    const end = at + this.length[id]!;
    let flags = PARSED;
    this.localPref[id] = DEFAULT_LOCAL_PREF;
    this.med[id] = 0;
    this.firstAs[id] = 0;
    this.originatorId[id] = 0;
    this.asPathHash[id] = 0;
    this.asPathLength[id] = 0;
    this.clusterListLength[id] = 0;
    this.localAsCount[id] = 0;
    this.memberAsCount[id] = 0;
    this.origin[id] = 0;
    this.moveSequence[id] = 0;
    while (at < end) {
      const code = page[at + 1]!;
      const value = valueStart(page, at);
      const next = valueEnd(page, at);
      if (code === ORIGIN) this.origin[id] = page[value]!;
      else if (code === AS_PATH) flags |= this.#parseAsPath(id, page, value, next);
      else if (code === MED) {
        this.med[id] = readU32(page, value);
        flags |= HAS_MED;
      } else if (code === LOCAL_PREF) {
        this.localPref[id] = readU32(page, value);
        flags |= HAS_LOCAL_PREF;
      } else if (code === COMMUNITIES) flags |= communityFlags(page, value, next);
      else if (code === ORIGINATOR_ID) {
        const originator = readU32(page, value);
        this.originatorId[id] = originator;
        if (originator === this.#identity.routerId) flags |= ORIGINATOR_LOOP;
      } else if (code === CLUSTER_LIST) {
        this.clusterListLength[id] = (next - value) >>> 2;
        for (let i = value; i < next; i += 4)
          if (readU32(page, i) === this.#identity.clusterId) flags |= CLUSTER_LOOP;
      } else if (code === OTC) flags |= HAS_OTC;
      else if (code === LARGE_COMMUNITIES) flags |= this.#parseMoves(id, page, value, next);
      else if (code === EXT_COMMUNITIES) {
        for (let i = value; i < next; i += 8) {
          if (isLinkBandwidth(page, i)) flags |= HAS_LINK_BANDWIDTH;
          if ((page[i]! & 0x40) !== 0) flags |= HAS_NON_TRANSITIVE;
        }
      }
      at = next;
    }
    if (((flags ^ this.flags[id]!) & LLGR_STALE) !== 0) this.staleSets += (flags & LLGR_STALE) !== 0 ? 1 : -1;
    // What a set says of moves is the same whenever it is looked at.
    if ((flags & HAS_MOVE) !== 0 && (this.flags[id]! & PARSED) === 0) this.movedSets++;
    this.flags[id] = flags;
  }

  /** The highest move sequence of whatever AS; returns the flags of the forms it is in. */
  #parseMoves(id: number, page: Uint8Array, start: number, end: number): number {
    let flags = 0;
    for (let at = start; at < end; at += 12) {
      const kind = readU32(page, at + 4);
      if (kind !== MOVE_SEQUENCE && kind !== MOVE_SEQUENCE_FRESH) continue;
      flags |= kind === MOVE_SEQUENCE ? MOVE_SETTLED : MOVE_FRESH;
      this.moveSequence[id] = Math.max(this.moveSequence[id]!, readU32(page, at + 8));
    }
    return flags;
  }

  /** Fills the columns about the path; returns its flags. */
  #parseAsPath(id: number, page: Uint8Array, start: number, end: number): number {
    let length = 0;
    let own = 0;
    let member = 0;
    let flags = 0;
    let first = -1;
    const { asn } = this.#identity;
    const outside = this.#identity.confederationId || asn;
    for (let at = start; at < end; ) {
      const type = page[at]!;
      const count = page[at + 1]!;
      const ordinary = type === AS_SET || type === AS_SEQUENCE;
      if (type === AS_SEQUENCE) length += count;
      else if (type === AS_SET) length++;
      if (ordinary && first < 0) first = type === AS_SEQUENCE && count > 0 ? readU32(page, at + 2) : 0;
      if (type === AS_SET || type === AS_CONFED_SET) flags |= HAS_AS_SET;
      const within = type === AS_CONFED_SEQUENCE || type === AS_CONFED_SET;
      at += 2;
      for (let i = 0; i < count; i++, at += 4) {
        const one = readU32(page, at);
        if (within) {
          if (one === asn) member++;
        } else if (one === outside) own++;
      }
    }
    this.asPathLength[id] = length;
    this.firstAs[id] = Math.max(first, 0);
    this.localAsCount[id] = Math.min(own, 255);
    this.memberAsCount[id] = Math.min(member, 255);
    this.asPathHash[id] = digest(page, start, end);
    return flags;
  }

  #take(length: number): number {
    const sizeClass = sizeClassOf(length);
    const free = this.#freeByClass[sizeClass]!;
    if (free !== 0) {
      this.#freeByClass[sizeClass] = this.#index.hash[free]!;
      return free;
    }
    const id = this.idEnd++;
    if (id >= this.refs.length) this.#grow(id + 1);
    const size = blockBytes(sizeClass);
    if ((this.#top & (PAGE_SIZE - 1)) + size > PAGE_SIZE || this.#top === this.#pages.length * PAGE_SIZE) {
      this.#top = this.#pages.length * PAGE_SIZE;
      this.#pages.push(new Uint8Array(PAGE_SIZE));
      assert(this.#pages.length <= 4096, 'the attribute pool holds at most 4 GiB');
    }
    this.#start[id] = this.#top;
    this.#top += size;
    return id;
  }

  #free(id: number): void {
    const index = this.#index;
    index.remove(id);
    if ((this.flags[id]! & LLGR_STALE) !== 0) this.staleSets--;
    if ((this.flags[id]! & HAS_MOVE) !== 0) this.movedSets--;
    const sizeClass = sizeClassOf(this.length[id]!);
    index.hash[id] = this.#freeByClass[sizeClass]!;
    this.#freeByClass[sizeClass] = id;
    if (index.size === 0) this.#startAnew();
  }

  /** With no set left, ids and bytes begin again from the start; births go on, so that caches notice. */
  #startAnew(): void {
    this.idEnd = 1;
    this.#top = 0;
    this.#pages.length = 1;
    this.#freeByClass.fill(0);
  }

  #grow(need: number): void {
    const capacity = grownCapacity(this.refs.length, need);
    this.refs = growU32(this.refs, capacity);
    this.birth = growU32(this.birth, capacity);
    this.length = growU16(this.length, capacity);
    this.localPref = growU32(this.localPref, capacity);
    this.med = growU32(this.med, capacity);
    this.firstAs = growU32(this.firstAs, capacity);
    this.originatorId = growU32(this.originatorId, capacity);
    this.asPathHash = growU32(this.asPathHash, capacity);
    this.asPathLength = growU16(this.asPathLength, capacity);
    this.clusterListLength = growU16(this.clusterListLength, capacity);
    this.localAsCount = growU8(this.localAsCount, capacity);
    this.memberAsCount = growU8(this.memberAsCount, capacity);
    this.origin = growU8(this.origin, capacity);
    this.flags = growU32(this.flags, capacity);
    this.moveSequence = growU32(this.moveSequence, capacity);
    this.#start = growU32(this.#start, capacity);
  }
}

/** The well-known communities that say how a route is treated. */
function communityFlags(bytes: Uint8Array, start: number, end: number): number {
  let flags = 0;
  for (let at = start; at < end; at += 4) {
    if (bytes[at] !== 0xff || bytes[at + 1] !== 0xff) continue;
    const community = readU32(bytes, at);
    if (community === NO_EXPORT_COMMUNITY) flags |= NO_EXPORT;
    else if (community === NO_ADVERTISE_COMMUNITY) flags |= NO_ADVERTISE;
    else if (community === NO_EXPORT_SUBCONFED_COMMUNITY) flags |= NO_EXPORT_SUBCONFED;
    else if (community === GRACEFUL_SHUTDOWN_COMMUNITY) flags |= GRACEFUL_SHUTDOWN;
    else if (community === LLGR_STALE_COMMUNITY) flags |= LLGR_STALE;
    else if (community === NO_LLGR_COMMUNITY) flags |= NO_LLGR;
    else if (community === BLACKHOLE_COMMUNITY) flags |= BLACKHOLE;
  }
  return flags;
}

const float = new DataView(new ArrayBuffer(4));

function isLinkBandwidth(bytes: Uint8Array, at: number): boolean {
  return (bytes[at]! & ~0x40) === 0 && bytes[at + 1] === 4;
}

/** Tells two AS_PATHs apart without reading them. No search goes by it: a collision costs one comparison. */
function digest(bytes: Uint8Array, start: number, end: number): number {
  let h = end - start;
  let at = start;
  for (const last = end - 3; at < last; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    h = Math.imul(h ^ word, 0x9e3779b1);
    h ^= h >>> 15;
  }
  for (; at < end; at++) h = Math.imul(h ^ bytes[at]!, 0x0100_0193);
  return (h ^ (h >>> 13)) >>> 0;
}
