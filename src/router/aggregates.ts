// Aggregates (RFC 4271 section 9.2.2.2, without AS_SETs as RFC 9774 wants it): a prefix of ours that is there as
// long as a more specific route within it is. What it says is what its routes have in common: the ORIGIN that is
// the worst of theirs, and of their AS paths the beginning that all share, within leading AS_SEQUENCEs. Where that
// leaves an AS out, or one of the routes is an aggregate of that kind itself, ATOMIC_AGGREGATE says so; AGGREGATOR
// names us. Packets to what no more specific route covers are discarded: sent on by a default route they could
// come back for ever.
//
// Which routes contribute is followed change by change; what they have in common is worked out again once a turn,
// and no sooner again than it took attribute sets to look at, in milliseconds, so that a table that comes in costs
// little.

import { readU32 } from '../lib/bytes.ts';
import { formatIp4 } from '../net/ip.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import type { AttributePool } from '../rib/attribute-pool.ts';
import { NEXT_HOP_DISCARD } from '../rib/next-hop-table.ts';
import { PREFIX_SUMMARIZED } from '../rib/prefixes.ts';
import type { Rib } from '../rib/rib.ts';
import { AS_SEQUENCE } from '../wire/bgp/attribute/as-path.ts';
import { findAttribute, findAttributeEnd } from '../wire/bgp/attribute/canonical.ts';
import { encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { AS_PATH, ATOMIC_AGGREGATE, originNames } from '../wire/bgp/attribute/table.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { Aggregate } from './config.ts';
import type { Offer } from './origination.ts';
import type { Router } from './router.ts';

/** Prefixes looked at in a turn for an aggregate that is new. */
const SCAN_SLICE = 4096;
const PAUSE_MAX_MS = 1000;

interface Watched {
  wanted: Aggregate;
  family: number;
  a: number;
  b: number;
  c: number;
  d: number;
  length: number;
  /** Attributes of the best path by id of the contributing prefix; one reference each. */
  contributors: Map<number, number>;
  /** How many contributors have a set. */
  sets: Map<number, number>;
  /** Prefixes up to here have been looked at since the aggregate is wanted. */
  scanned: number;
  isDirty: boolean;
  notBeforeMs: number;
  isActive: boolean;
}

export class Aggregates {
  readonly #router: Router;
  #watched: Watched[] = [];
  /** By family. */
  readonly #byFamily: Watched[][] = [[], []];

  constructor(router: Router) {
    this.#router = router;
  }

  configure(aggregates: readonly Aggregate[]): void {
    const old = new Map(this.#watched.map((watched) => [prefixText(watched.wanted.prefix), watched]));
    this.#watched = aggregates.map((wanted) => {
      const key = prefixText(wanted.prefix);
      const known = old.get(key);
      old.delete(key);
      if (known === undefined) return watch(wanted);
      const before = known.wanted;
      known.wanted = wanted;
      if (before.summaryOnly !== wanted.summaryOnly) this.#suppressAll(known);
      known.isDirty = true;
      known.notBeforeMs = 0;
      return known;
    });
    for (const family of [IPV4, IPV6])
      this.#byFamily[family] = this.#watched.filter((watched) => watched.family === family);
    for (const gone of old.values()) this.#drop(gone);
  }

  /** The aggregates and how many routes they are made of: for people. */
  views(): { prefix: Prefix; summaryOnly: boolean; isActive: boolean; contributors: number }[] {
    return this.#watched.map(({ wanted: { prefix, summaryOnly }, isActive, contributors }) => ({
      prefix,
      summaryOnly,
      isActive,
      contributors: contributors.size,
    }));
  }

  /** What `Rib.decide` has just changed. */
  take(rib: Rib): void {
    const watched = this.#byFamily[rib.family];
    if (watched === undefined || watched.length === 0) return;
    const { changes } = rib;
    for (let i = 0; i < changes.count; i++)
      for (let w = 0; w < watched.length; w++) this.#look(rib, watched[w]!, changes.ids[i]!);
  }

  /** Looks at more of the tables for new aggregates, and works out what has changed; whether more is left. */
  work(): boolean {
    let more = false;
    const { nowMs } = this.#router;
    for (const watched of this.#watched) {
      if (this.#scan(watched)) more = true;
      if (!watched.isDirty || nowMs < watched.notBeforeMs) continue;
      watched.isDirty = false;
      watched.notBeforeMs = nowMs + Math.min(PAUSE_MAX_MS, watched.sets.size);
      this.#offer(watched);
    }
    return more;
  }

  /** When `work` has something to do that had to wait, or Infinity. */
  nextDeadlineMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { isDirty, notBeforeMs } of this.#watched)
      if (isDirty) earliest = Math.min(earliest, notBeforeMs);
    return earliest;
  }

  #scan(watched: Watched): boolean {
    const rib = this.#router.ribs[watched.family]!;
    const end = rib.prefixes.idEnd;
    if (watched.scanned >= end) return false;
    const to = Math.min(end, watched.scanned + SCAN_SLICE);
    for (let id = watched.scanned; id < to; id++)
      if (rib.prefixes.bestPath[id] !== 0) this.#look(rib, watched, id);
    watched.scanned = to;
    // What is added from now on comes as a change.
    if (to === end) watched.scanned = Number.POSITIVE_INFINITY;
    return to < end;
  }

  /** Brings the standing of a prefix in an aggregate in line with its best path. */
  #look(rib: Rib, watched: Watched, id: number): void {
    if (!isWithin(rib, id, watched)) return;
    const best = rib.prefixes.bestPath[id]!;
    const attrId = best === 0 ? 0 : rib.paths.attrId[best]!;
    const before = watched.contributors.get(id) ?? 0;
    if (before === attrId) return;
    if (attrId !== 0) {
      rib.pool.retain(attrId);
      watched.contributors.set(id, attrId);
      watched.sets.set(attrId, (watched.sets.get(attrId) ?? 0) + 1);
    } else watched.contributors.delete(id);
    if (before !== 0) this.#uncount(rib.pool, watched, before);
    if (watched.wanted.summaryOnly && (before === 0) !== (attrId === 0)) this.#suppress(watched.family, id);
    watched.isDirty = true;
    // The last one that goes takes the aggregate with it, the first one brings it: neither waits.
    if (watched.contributors.size === 0 || !watched.isActive) watched.notBeforeMs = 0;
  }

  #uncount(pool: AttributePool, watched: Watched, attrId: number): void {
    const left = watched.sets.get(attrId)! - 1;
    if (left === 0) watched.sets.delete(attrId);
    else watched.sets.set(attrId, left);
    pool.release(attrId);
  }

  #drop(watched: Watched): void {
    if (watched.wanted.summaryOnly) this.#suppressAll(watched);
    for (const attrId of watched.contributors.values()) this.#router.pool.release(attrId);
    this.#router.origination.remove(watched.wanted.prefix, 'aggregate');
  }

  #suppressAll(watched: Watched): void {
    for (const id of watched.contributors.keys()) this.#suppress(watched.family, id);
  }

  /** Keeps a prefix from neighbours as long as any aggregate stands for it: one may lie within another. */
  #suppress(family: number, id: number): void {
    const rib = this.#router.ribs[family]!;
    const stands = ({ wanted, contributors }: Watched): boolean => wanted.summaryOnly && contributors.has(id);
    rib.prefixes.setBit(id, PREFIX_SUMMARIZED, this.#byFamily[family]!.some(stands));
    this.#router.advertiser.enqueue(rib, id);
  }

  #offer(watched: Watched): void {
    const { origination, config, pool } = this.#router;
    const { prefix, policy } = watched.wanted;
    watched.isActive = watched.contributors.size > 0;
    if (!watched.isActive) {
      origination.remove(prefix, 'aggregate');
      return;
    }
    const { origin, path, isAtomic } = inCommon(pool, watched.sets.keys());
    const attributes = encodeAttributes({
      origin: originNames[origin]!,
      asPath: path,
      ...(isAtomic && { atomicAggregate: true }),
      aggregator: { asn: config.confederation?.id ?? config.asn, address: formatIp4(config.bgpId) },
    });
    const offer: Offer = { attributes, nextHops: [NEXT_HOP_DISCARD] };
    if (policy !== undefined) offer.policy = policy;
    origination.add(prefix, 'aggregate', offer);
  }
}

function watch(wanted: Aggregate): Watched {
  const { bytes, length } = wanted.prefix;
  const four = bytes.length === 4;
  return {
    wanted,
    family: four ? IPV4 : IPV6,
    a: readU32(bytes, 0),
    b: four ? 0 : readU32(bytes, 4),
    c: four ? 0 : readU32(bytes, 8),
    d: four ? 0 : readU32(bytes, 12),
    length,
    contributors: new Map(),
    sets: new Map(),
    scanned: 0,
    isDirty: false,
    notBeforeMs: 0,
    isActive: false,
  };
}

function isWithin(rib: Rib, id: number, { a, b, c, d, length }: Watched): boolean {
  const { table } = rib;
  if (table.length[id]! <= length) return false;
  const at = id * table.words;
  if (differs(table.address[at]!, a, length)) return false;
  if (table.words === 1) return true;
  return !(
    differs(table.address[at + 1]!, b, length - 32) ||
    differs(table.address[at + 2]!, c, length - 64) ||
    differs(table.address[at + 3]!, d, length - 96)
  );
}

/** Whether two words differ within their first `bits` bits. */
function differs(word: number, other: number, bits: number): boolean {
  if (bits <= 0) return false;
  return ((word ^ other) & (bits >= 32 ? -1 : -1 << (32 - bits))) !== 0;
}

/** What attribute sets share, as RFC 4271 section 9.2.2.2 puts it together. */
function inCommon(
  pool: AttributePool,
  sets: Iterable<number>,
): { origin: number; path: number[]; isAtomic: boolean } {
  let origin = 0;
  let path: number[] | undefined;
  let isAtomic = false;
  for (const id of sets) {
    const bytes = pool.page(id);
    const start = pool.offset(id);
    const end = start + pool.length[id]!;
    origin = Math.max(origin, pool.origin[id]!);
    isAtomic ||= findAttribute(bytes, start, end, ATOMIC_AGGREGATE) >= 0;
    const from = findAttribute(bytes, start, end, AS_PATH);
    const to = from < 0 ? -1 : findAttributeEnd(bytes, start, end, AS_PATH);
    const { asns, isWhole } = leadingSequence(bytes, from, to, path?.length ?? Number.POSITIVE_INFINITY);
    let shared = 0;
    const limit = path === undefined ? asns.length : Math.min(asns.length, path.length);
    while (shared < limit && (path === undefined || path[shared] === asns[shared])) shared++;
    if (!isWhole || shared < asns.length || (path !== undefined && shared < path.length)) isAtomic = true;
    path = asns.slice(0, shared);
  }
  return { origin, path: path ?? [], isAtomic };
}

/** The ASNs of the AS_SEQUENCEs a path begins with, at most `most`; whether that is all of the path. */
function leadingSequence(
  bytes: Uint8Array,
  start: number,
  end: number,
  most: number,
): { asns: number[]; isWhole: boolean } {
  const asns: number[] = [];
  let at = start;
  while (at < end && bytes[at] === AS_SEQUENCE) {
    const count = bytes[at + 1]!;
    at += 2;
    for (let i = 0; i < count; i++, at += 4) {
      if (asns.length >= most) return { asns, isWhole: false };
      asns.push(readU32(bytes, at));
    }
  }
  return { asns, isWhole: at >= end };
}
