// Whether a flow specification may be believed (RFC 8955 section 6, RFC 9117 section 4, RFC 8956 section 5): whoever
// asks for packets to be dropped or diverted must be the one whom the packets go to. So it names a destination prefix,
// and comes from the router that the best unicast route to it comes from, or from within our own domain (its AS_PATH is
// empty or of the confederation); from an external peer, the same AS must stand first in both paths; and no more
// specific route within the destination goes to another neighbouring AS.
//
// What validation knows of a destination is worked out by passes: the covering route by longest match, and for all
// destinations together one walk over the unicast table, in slices, for the more specific ones. A change of a route
// near a destination asks for a pass; after one there is a pause that grows with the table. A new destination is
// judged at once where nothing can be more specific, else after the pass; until then its rules are refused. When a pass
// changes what is known, the flow specifications of validated peers are imported anew.
//
// Rules of VPNs (RFC 8955 section 8) belong to VRFs, which this router has none of: they are not validated.

import type { HashKey } from '../lib/hash-key.ts';
import { PrefixTable } from '../lib/prefix-table.ts';
import type { PeerTable } from '../rib/peer-table.ts';
import { PEER_EXTERNAL } from '../rib/peer-table.ts';
import { FLOWSPEC_UNVALIDATED } from '../rib/reason.ts';
import type { Rib } from '../rib/rib.ts';
import type { RouteFilter, RouteQuery, RouteVerdict } from '../rib/route-filter.ts';
import { AS_CONFED_SEQUENCE, AS_CONFED_SET } from '../wire/bgp/attribute/as-path.ts';
import { findAttribute, findAttributeEnd, u32Attribute } from '../wire/bgp/attribute/canonical.ts';
import { AS_PATH, ORIGINATOR_ID } from '../wire/bgp/attribute/code.ts';
import { FLOWSPEC4, FLOWSPEC6, IPV4, IPV6 } from '../wire/bgp/family.ts';
import { FLOW_DESTINATION } from '../wire/bgp/nlri/flow-component.ts';

/** Between two passes, at least; and a millisecond more for so many prefixes. */
const PAUSE_MS = 200;
const PREFIXES_PER_PAUSE_MS = 200;
/** Prefixes one call of `work` walks over. */
const SLICE = 16_384;

/** A destination that flow specifications name. */
interface Destination {
  words: readonly number[];
  length: number;
  /** What the best path of the covering route says; `peer` -1 where nothing covers the destination. */
  peer: number;
  originator: number;
  firstAs: number;
  /** A more specific route goes to another AS, as of the last pass; of one under way. */
  isMixed: boolean;
  seemsMixed: boolean;
  /** A pass has looked at it, or need not. */
  isKnown: boolean;
  isUsed: boolean;
}

/** The destinations of one address family. */
interface Side {
  unicast: Rib;
  flows: Rib;
  table: PrefixTable;
  destinations: (Destination | undefined)[];
  /** How many have each length. */
  lengths: Uint32Array;
  /** First words of the lowest and the highest destination's addresses. */
  lowest: number;
  highest: number;
  isDirty: boolean;
  /** The pass under way walks on from here; -1: there is none. */
  cursor: number;
  hasNews: boolean;
  notBeforeMs: number;
}

export interface FlowValidationHost {
  nowMs(): number;
  rib(family: number): Rib;
  peerTable: PeerTable;
}

export class FlowValidation {
  readonly #host: FlowValidationHost;
  readonly #sides: readonly Side[];
  /** Filters that ask, each once. */
  readonly #asking = new WeakSet<RouteFilter>();

  constructor(host: FlowValidationHost, hashKey?: HashKey) {
    this.#host = host;
    const side = (unicast: number, flows: number, words: 1 | 4): Side => ({
      unicast: host.rib(unicast),
      flows: host.rib(flows),
      table: new PrefixTable(words, 64, hashKey),
      destinations: [],
      lengths: new Uint32Array(129),
      lowest: 0xffff_ffff,
      highest: 0,
      isDirty: false,
      cursor: -1,
      hasNews: false,
      notBeforeMs: 0,
    });
    this.#sides = [side(IPV4, FLOWSPEC4, 1), side(IPV6, FLOWSPEC6, 4)];
  }

  /** The filter has its verdicts judged: routes of peers that have it are imported anew when they may change. */
  watch(filter: RouteFilter): void {
    this.#asking.add(filter);
  }

  /** Refuses the flow specification that is asked about where it is not to be believed. */
  judge(family: number, query: RouteQuery, verdict: RouteVerdict): void {
    const side = this.#sides[family === FLOWSPEC4 ? 0 : 1]!;
    const found = this.#destinationOf(side, query.prefixId);
    if (found !== undefined && this.#isFeasible(found, query)) return;
    verdict.accept = false;
    verdict.reason = FLOWSPEC_UNVALIDATED;
  }

  /** What `Rib.decide` has just changed: routes near a destination, or flow specifications. */
  take(rib: Rib): void {
    const { changes } = rib;
    if (changes.count === 0) return;
    for (const side of this.#sides) {
      if (side.flows === rib && side.destinations.length > 0) side.isDirty = true;
      if (side.unicast !== rib || side.isDirty || side.lowest > side.highest) continue;
      const { address, length, words } = rib.table;
      for (let i = 0; i < changes.count && !side.isDirty; i++) {
        const id = changes.ids[i]!;
        const first = address[id * words]!;
        const bits = length[id]!;
        const last = bits >= 32 ? first : (first | (-1 >>> bits)) >>> 0;
        side.isDirty = first <= side.highest && last >= side.lowest;
      }
    }
  }

  /** A slice of a pass that is due or under way; whether more is left now. */
  work(): boolean {
    let more = false;
    for (const side of this.#sides) {
      if (side.cursor < 0) {
        if (!side.isDirty || this.#host.nowMs() < side.notBeforeMs) continue;
        this.#begin(side);
      }
      if (this.#walk(side) || this.#end(side)) more = true;
    }
    return more;
  }

  /** When a pass is due, or Infinity. */
  nextDeadlineMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { isDirty, notBeforeMs } of this.#sides)
      if (isDirty) earliest = Math.min(earliest, notBeforeMs);
    return earliest;
  }

  /** How many destinations are known: for verification. */
  get destinationCount(): number {
    let count = 0;
    for (const { destinations } of this.#sides) count += destinations.filter(Boolean).length;
    return count;
  }

  #isFeasible(destination: Destination, { peer, attrIdIn, bytes, start, end }: RouteQuery): boolean {
    const { isKnown, isMixed } = destination;
    if (!isKnown || isMixed) return false;
    if (isFromWithin(bytes, start, end)) return true;
    if (destination.peer < 0) return false;
    const { peerTable, rib } = this.#host;
    const isExternal = peerTable.kind[peer] === PEER_EXTERNAL;
    if (isExternal && rib(IPV4).pool.firstAs[attrIdIn] !== destination.firstAs) return false;
    return this.#isSameOriginator(peer, u32Attribute(bytes, start, end, ORIGINATOR_ID), destination);
  }

  /** ORIGINATOR_ID says who, else the peer; one router may have several sessions with us. */
  #isSameOriginator(peer: number, originator: number, to: Destination): boolean {
    const { bgpId, asn } = this.#host.peerTable;
    if (originator >= 0 && to.originator >= 0) return originator === to.originator;
    if (originator >= 0) return originator === bgpId[to.peer];
    if (to.originator >= 0) return to.originator === bgpId[peer];
    if (peer === to.peer) return true;
    return to.peer !== 0 && bgpId[peer] === bgpId[to.peer] && asn[peer] === asn[to.peer];
  }

  /** The destination that the flow specification names, known from now on; undefined where it names none. */
  #destinationOf(side: Side, prefixId: number): Destination | undefined {
    const keys = side.flows.prefixes.keys!;
    const key = keys.page(prefixId);
    let at = keys.offset(prefixId);
    if (key[at] !== FLOW_DESTINATION) return undefined;
    const length = key[at + 1]!;
    at += 2;
    // RFC 8956 3.1: the pattern begins behind the offset; what it leaves open belongs to no prefix.
    if (side.table.words === 4 && key[at++] !== 0) return undefined;
    const words: number[] = [];
    const end = at + ((length + 7) >> 3);
    for (let w = 0; w < side.table.words; w++) {
      let word = 0;
      for (let b = 0; b < 4; b++, at++) word = word * 256 + (at < end ? key[at]! : 0);
      words.push(word);
    }
    const [a, b = 0, c = 0, d = 0] = words as [number, number?, number?, number?];
    const { table } = side;
    const id = table.words === 1 ? table.add1(a, length) : table.add4(a, b, c, d, length);
    return (side.destinations[id] ??= this.#newDestination(side, words, length));
  }

  #newDestination(side: Side, words: number[], length: number): Destination {
    const isHost = length === side.table.words * 32;
    const destination: Destination = {
      words,
      length,
      peer: -1,
      originator: -1,
      firstAs: 0,
      isMixed: false,
      seemsMixed: false,
      isKnown: isHost,
      isUsed: true,
    };
    cover(side, destination);
    this.#count(side, destination);
    side.isDirty ||= !isHost;
    return destination;
  }

  #count(side: Side, { words, length }: Destination): void {
    side.lengths[length]!++;
    side.lowest = Math.min(side.lowest, words[0]!);
    side.highest = Math.max(side.highest, length >= 32 ? words[0]! : (words[0]! | (-1 >>> length)) >>> 0);
  }

  /** Forgets destinations that nothing names any more, and looks up what covers the others. */
  #begin(side: Side): void {
    side.isDirty = false;
    side.cursor = 0;
    for (const destination of side.destinations) if (destination !== undefined) destination.isUsed = false;
    const { flows, table } = side;
    for (let id = flows.nextPrefix(0); id >= 0; id = flows.nextPrefix(id + 1)) {
      const named = this.#destinationOf(side, id);
      if (named !== undefined) named.isUsed = true;
    }
    side.lengths.fill(0);
    side.lowest = 0xffff_ffff;
    side.highest = 0;
    side.destinations.forEach((destination, id) => {
      if (destination === undefined) return;
      if (!destination.isUsed) {
        side.destinations[id] = undefined;
        table.release(id);
        return;
      }
      if (cover(side, destination)) side.hasNews = true;
      destination.seemsMixed = false;
      this.#count(side, destination);
    });
  }

  /** Looks for more specific routes that go elsewhere; whether some of the table is left. */
  #walk(side: Side): boolean {
    const { unicast, lengths, lowest, highest } = side;
    const { prefixes, table } = unicast;
    const longest = lengths.findLastIndex((count) => count > 0);
    const shortest = lengths.findIndex((count) => count > 0);
    const end = Math.min(prefixes.idEnd, side.cursor + SLICE);
    for (let id = side.cursor; id < end; id++) {
      const best = prefixes.bestPath[id]!;
      const first = table.address[id * table.words]!;
      if (best === 0 || first < lowest || first > highest) continue;
      const limit = Math.min(longest, table.length[id]! - 1);
      for (let length = shortest; length <= limit; length++) {
        if (lengths[length] === 0) continue;
        const destination = side.destinations[findMasked(side.table, table, id, length)];
        if (destination === undefined || destination.peer < 0) continue;
        if (firstAsOf(unicast, best) !== destination.firstAs) destination.seemsMixed = true;
      }
    }
    side.cursor = end;
    return end < prefixes.idEnd;
  }

  /** Whether paths have to be imported anew. */
  #end(side: Side): boolean {
    side.cursor = -1;
    side.notBeforeMs =
      this.#host.nowMs() + PAUSE_MS + Math.ceil(side.unicast.prefixes.idEnd / PREFIXES_PER_PAUSE_MS);
    let { hasNews } = side;
    side.hasNews = false;
    for (const destination of side.destinations) {
      if (destination === undefined) continue;
      if (!destination.isKnown || destination.isMixed !== destination.seemsMixed) hasNews = true;
      destination.isKnown = true;
      destination.isMixed = destination.seemsMixed;
    }
    if (!hasNews) return false;
    const { peerTable } = this.#host;
    for (let peer = 1; peer < peerTable.end; peer++) {
      const filter = peerTable.has(peer) ? side.flows.importFilterOf(peer) : undefined;
      if (filter !== undefined && this.#asking.has(filter) && side.flows.perPeer.hasAny(peer))
        side.flows.setImport(peer, filter);
    }
    return true;
  }
}

/** RFC 9117 4.1, b.2: no AS, or those of our confederation only. */
function isFromWithin(bytes: Uint8Array, start: number, end: number): boolean {
  let at = findAttribute(bytes, start, end, AS_PATH);
  if (at < 0) return true;
  const to = findAttributeEnd(bytes, start, end, AS_PATH);
  while (at < to) {
    if (bytes[at] !== AS_CONFED_SEQUENCE && bytes[at] !== AS_CONFED_SET) return false;
    at += 2 + bytes[at + 1]! * 4;
  }
  return true;
}

/** The neighbouring AS by the path as received; 0 for none. */
const firstAsOf = ({ pool, paths }: Rib, path: number): number => pool.firstAs[paths.attrIdIn[path]!]!;

/** Takes over what the best covering route says; whether that is news. */
function cover({ unicast, table }: Side, destination: Destination): boolean {
  const { words, length, peer, originator, firstAs } = destination;
  destination.peer = -1;
  for (let bits = length; bits >= 0; bits--) {
    const [a, b, c, d] = [0, 1, 2, 3].map((w) => masked(words[w] ?? 0, bits - w * 32));
    const id = unicast.find(a!, b!, c!, d!, bits);
    const best = id < 0 ? 0 : unicast.prefixes.bestPath[id]!;
    if (best === 0) continue;
    const { pool, paths } = unicast;
    const attrId = paths.attrIdIn[best]!;
    const start = pool.offset(attrId);
    const end = start + pool.length[attrId]!;
    destination.peer = paths.peer[best]!;
    destination.originator = u32Attribute(pool.page(attrId), start, end, ORIGINATOR_ID);
    destination.firstAs = firstAsOf(unicast, best);
    break;
  }
  if (table.words * 32 === length) destination.isKnown = true;
  return (
    peer !== destination.peer ||
    (peer >= 0 && (originator !== destination.originator || firstAs !== destination.firstAs))
  );
}

function findMasked(wanted: PrefixTable, table: PrefixTable, id: number, length: number): number {
  const { address, words } = table;
  if (words === 1) return wanted.find1(masked(address[id]!, length), length);
  const at = id * 4;
  return wanted.find4(
    masked(address[at]!, length),
    masked(address[at + 1]!, length - 32),
    masked(address[at + 2]!, length - 64),
    masked(address[at + 3]!, length - 96),
    length,
  );
}

/** The first `bits` bits of a word. */
const masked = (word: number, bits: number): number =>
  bits >= 32 ? word : bits <= 0 ? 0 : (word & (-1 << (32 - bits))) >>> 0;
