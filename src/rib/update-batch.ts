// One batch of outgoing changes of an update group: prefixes collected into buckets of equal attributes and next
// hop, buckets into streams for the same receivers, and each stream encoded once by the wire room's writer.
// Next hops that are "ourselves" differ from member to member (unnumbered links): a chunk is encoded with the
// next hop of the first receiver, then copied and patched for those with another.
//
// The scratch arrays are as large as a batch and are used again; they belong to the group, not to prefixes.

import { assert } from '../lib/assert.ts';
import type { UpdateWriter } from '../wire/bgp/update-writer.ts';
import { growU32 } from './columns.ts';
import type { ExportOptions } from './export-options.ts';
import { NEXT_HOP_SELF } from './next-hop-table.ts';
import type { Rib } from './rib.ts';

/** A stream to all members of the audience. */
export const TO_ALL = -1;
/** Added to a member's index: a stream to that member alone; without it, one to all but the member. */
export const ONLY = 0x1_0000;

/** Where chunks go. Bytes may be shared by several members: nobody writes to them again. */
export type SendChunk = (member: number, bytes: Uint8Array) => void;

interface Stream {
  target: number;
  /** Whether the next hop is that of the member. */
  self: boolean;
  /** First bucket + 1, last bucket + 1. */
  first: number;
  last: number;
}

export class UpdateBatch {
  readonly #rib: Rib;
  readonly #options: ExportOptions;
  /** That of the RIB: it is empty but within `emit`. */
  readonly #writer: UpdateWriter;
  readonly #emptyNextHop = new Uint8Array(32);
  #count = 0;
  #prefix = new Uint32Array(64);
  /** The entry after this one in its bucket, + 1. */
  #nextEntry = new Uint32Array(64);
  /** Path identifier and NLRI data of each entry; only where there are such. */
  #pathId = new Uint32Array(0);
  #nlriDataId = new Uint32Array(0);
  /** Entries are nothing but prefixes. */
  readonly #isPlain: boolean;
  readonly #addPath: boolean;
  #buckets = 0;
  #attrId = new Uint32Array(16);
  #nextHopId = new Uint32Array(16);
  #stream = new Uint32Array(16);
  #firstEntry = new Uint32Array(16);
  #lastEntry = new Uint32Array(16);
  /** The bucket after this one of the same attributes, and of the same stream, + 1. */
  #nextAlike = new Uint32Array(16);
  #nextInStream = new Uint32Array(16);
  /** The first bucket of an attrId + 1; 0 is the bucket of withdrawals. */
  #bucketOf = new Uint32Array(16);
  readonly #streams: Stream[] = [];
  readonly #streamOf = new Map<number, number>();

  constructor(rib: Rib, options: ExportOptions) {
    this.#rib = rib;
    this.#writer = rib.updateWriter;
    this.#options = options;
    this.#addPath = options.addPath !== undefined;
    this.#isPlain = !this.#addPath && rib.form === 'prefix';
  }

  /** Adds a path: announced with `attrId`, `nextHopId` and `nlriDataId`, or withdrawn where `attrId` is 0. */
  add(
    prefixId: number,
    pathId: number,
    attrId: number,
    nextHopId: number,
    nlriDataId: number,
    target: number,
  ): void {
    const entry = this.#count++;
    if (entry === this.#prefix.length) {
      this.#prefix = growU32(this.#prefix, entry * 2);
      this.#nextEntry = growU32(this.#nextEntry, entry * 2);
    }
    if (!this.#isPlain) this.#addDetails(entry, pathId, nlriDataId);
    this.#prefix[entry] = prefixId;
    this.#nextEntry[entry] = 0;
    const bucket = this.#findBucket(attrId, nextHopId, target);
    if (this.#firstEntry[bucket] === 0) this.#firstEntry[bucket] = entry + 1;
    else this.#nextEntry[this.#lastEntry[bucket]! - 1] = entry + 1;
    this.#lastEntry[bucket] = entry + 1;
  }

  #addDetails(entry: number, pathId: number, nlriDataId: number): void {
    if (this.#pathId.length < this.#prefix.length) {
      this.#pathId = growU32(this.#pathId, this.#prefix.length);
      this.#nlriDataId = growU32(this.#nlriDataId, this.#prefix.length);
    }
    this.#pathId[entry] = pathId;
    this.#nlriDataId[entry] = nlriDataId;
  }

  /**
   * Encodes everything added and hands it to the audience (member indexes); `nextHops` holds each member's own
   * next hop. The batch is empty afterwards. With ADD-PATH withdrawals go first: a receiver that takes a number of
   * paths of a prefix (draft-ietf-idr-add-paths-limit) would refuse the new one while it has the old ones.
   */
  emit(audience: readonly number[], nextHops: readonly Uint8Array[], send: SendChunk): void {
    const streams = this.#addPath ? this.#withdrawalsFirst() : this.#streams;
    for (const stream of streams) {
      const { target } = stream;
      const receivers = audience.filter((member) =>
        target >= ONLY ? member === target - ONLY : member !== target,
      );
      if (receivers.length > 0) this.#emitStream(stream, receivers, nextHops, send);
    }
    for (let bucket = 0; bucket < this.#buckets; bucket++) this.#bucketOf[this.#attrId[bucket]!] = 0;
    this.#count = 0;
    this.#buckets = 0;
    this.#streams.length = 0;
    this.#streamOf.clear();
  }

  /** Streams are either of withdrawals or of announcements where paths have identifiers. */
  #withdrawalsFirst(): Stream[] {
    const isWithdrawn = ({ first }: Stream): boolean => this.#attrId[first - 1] === 0;
    return [...this.#streams].sort((a, b) => Number(isWithdrawn(b)) - Number(isWithdrawn(a)));
  }

  #findBucket(attrId: number, nextHopId: number, target: number): number {
    if (attrId >= this.#bucketOf.length)
      this.#bucketOf = growU32(this.#bucketOf, Math.max(attrId + 1, this.#bucketOf.length * 2));
    const head = this.#bucketOf[attrId]!;
    for (let at = head; at !== 0; at = this.#nextAlike[at - 1]!) {
      const bucket = at - 1;
      if (this.#nextHopId[bucket] !== nextHopId) continue;
      if (this.#streams[this.#stream[bucket]!]!.target === target) return bucket;
    }
    return this.#newBucket(attrId, nextHopId, target, head);
  }

  #newBucket(attrId: number, nextHopId: number, target: number, alike: number): number {
    const bucket = this.#buckets++;
    if (bucket === this.#attrId.length) this.#growBuckets(bucket * 2);
    const stream = this.#findStream(target, attrId !== 0 && nextHopId === NEXT_HOP_SELF, attrId === 0);
    this.#attrId[bucket] = attrId;
    this.#nextHopId[bucket] = nextHopId;
    this.#stream[bucket] = stream;
    this.#firstEntry[bucket] = 0;
    this.#nextAlike[bucket] = alike;
    this.#bucketOf[attrId] = bucket + 1;
    this.#nextInStream[bucket] = 0;
    const { first, last } = this.#streams[stream]!;
    if (first === 0) this.#streams[stream]!.first = bucket + 1;
    else this.#nextInStream[last - 1] = bucket + 1;
    this.#streams[stream]!.last = bucket + 1;
    return bucket;
  }

  #findStream(target: number, self: boolean, withdrawn: boolean): number {
    const apart = withdrawn && this.#addPath;
    const key = (target + 1) * 4 + (self ? 1 : 0) + (apart ? 2 : 0);
    const known = this.#streamOf.get(key);
    if (known !== undefined) return known;
    this.#streams.push({ target, self, first: 0, last: 0 });
    this.#streamOf.set(key, this.#streams.length - 1);
    return this.#streams.length - 1;
  }

  #growBuckets(capacity: number): void {
    this.#attrId = growU32(this.#attrId, capacity);
    this.#nextHopId = growU32(this.#nextHopId, capacity);
    this.#stream = growU32(this.#stream, capacity);
    this.#firstEntry = growU32(this.#firstEntry, capacity);
    this.#lastEntry = growU32(this.#lastEntry, capacity);
    this.#nextAlike = growU32(this.#nextAlike, capacity);
    this.#nextInStream = growU32(this.#nextInStream, capacity);
  }

  #emitStream(
    stream: Stream,
    receivers: readonly number[],
    nextHops: readonly Uint8Array[],
    send: SendChunk,
  ): void {
    const writer = this.#writer;
    const own = nextHops[receivers[0]!]!;
    writer.begin(this.#options.maxMessage, this.#options.asn4);
    for (let at = stream.first; at !== 0; at = this.#nextInStream[at - 1]!) {
      this.#beginBucket(at - 1, own);
      for (let entry = this.#firstEntry[at - 1]!; entry !== 0; entry = this.#nextEntry[entry - 1]!) {
        if (this.#write(entry - 1)) continue;
        this.#sendChunk(stream, receivers, nextHops, send);
        const written = this.#write(entry - 1);
        assert(written, 'the export stage refuses NLRI that fill a message');
      }
    }
    writer.finish();
    if (writer.length > 0) this.#sendChunk(stream, receivers, nextHops, send);
  }

  #beginBucket(bucket: number, own: Uint8Array): void {
    const { family, nextHops, pool } = this.#rib;
    const attrId = this.#attrId[bucket]!;
    if (attrId === 0) {
      this.#writer.beginUnreach(family, this.#options.nextHopLength !== 4, this.#addPath);
      return;
    }
    const id = this.#nextHopId[bucket]!;
    const start = pool.offset(attrId);
    const self = id === NEXT_HOP_SELF;
    const fits = this.#writer.beginReach(
      family,
      pool.page(attrId),
      start,
      start + pool.length[attrId]!,
      self ? own : nextHops.address,
      self ? 0 : id * 16,
      self ? own.length : nextHops.addressLength[id]!,
      this.#addPath,
    );
    assert(fits, 'the export stage refuses attributes that fill a message');
  }

  #write(entry: number): boolean {
    const prefixId = this.#prefix[entry]!;
    const { table } = this.#rib;
    if (this.#isPlain && table.words === 1)
      return this.#writer.addIp4(table.address[prefixId]!, table.length[prefixId]!);
    const data = this.#isPlain ? 0 : this.#nlriDataId[entry]!;
    return this.#rib.writeNlri(this.#writer, prefixId, data, this.#isPlain ? 0 : this.#pathId[entry]!);
  }

  #sendChunk(
    stream: Stream,
    receivers: readonly number[],
    nextHops: readonly Uint8Array[],
    send: SendChunk,
  ): void {
    const writer = this.#writer;
    const chunk = writer.bytes.slice(0, writer.length);
    const encoded = stream.self ? nextHops[receivers[0]!]! : this.#emptyNextHop;
    for (const member of receivers) {
      const own = stream.self ? nextHops[member]! : encoded;
      if (sameNextHop(own, encoded)) send(member, chunk);
      else {
        const patched = chunk.slice();
        for (let i = 0; i < writer.nextHopCount; i++) patched.set(own, writer.nextHopOffsets[i]!);
        send(member, patched);
      }
    }
    writer.reset();
  }
}

function sameNextHop(a: Uint8Array, b: Uint8Array): boolean {
  if (a === b) return true;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
