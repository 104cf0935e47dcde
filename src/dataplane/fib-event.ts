// What the kernel tells of links, source addresses, nexthop objects and routes, taken into the forwarding
// table's state; and the comparison of the whole table with a dump. Pure. Events are those of others (our own
// echo is filtered by the socket), so each one about a route of ours is drift, and the route is queued for
// repair.
//
// The comparison judges only what nobody touched since it began: a route written meanwhile carries its mark.

import { sameIp } from '../net/ip.ts';
import { decodeAddress } from '../netlink/address.ts';
import { decodeLink } from '../netlink/link.ts';
import {
  type MessageWriter,
  NLM_F_REPLACE,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
  RTPROT_LEAFD,
} from '../netlink/message.ts';
import { decodeNexthop } from '../netlink/nexthop.ts';
import { encodeRoute, newRouteRecord, type RouteRecord, RTM_F_CLONED, readRoute } from '../netlink/route.ts';
import { farewellsOf, type Notice } from './fib-notice.ts';
import { type FibState, IPV4, IPV6 } from './fib-state.ts';
import { FAILED, type FibTable, FOREIGN, FOUND, IN_FLIGHT, NONE, STRANGE, TOUCHED } from './fib-table.ts';

const AF_INET = 2;
const RTN_UNICAST = 1;
/** What the kernel says of a route on an object that discards. */
const RTN_BLACKHOLE = 6;
/** Routes with our mark that we could not have written, kept for deletion by one comparison. */
const STRAY_LIMIT = 10_000;

/** A route with our protocol but with a TOS, or a second one for a prefix: not of this run. */
export interface Stray {
  family: number;
  a: number;
  b: number;
  c: number;
  d: number;
  length: number;
  metric: number;
}

export class FibObserver {
  readonly strays: Stray[] = [];
  /** Collected where others are to be told of IPv4 routes that went with their link; taken by the owner. */
  farewells: Notice[] | undefined;
  readonly #state: FibState;
  readonly #record: RouteRecord = newRouteRecord();
  readonly #delayed: readonly [number[], number[]] = [[], []];
  #dumped = false;

  constructor(state: FibState) {
    this.#state = state;
  }

  /** Takes in one message, of an event or (`dumped`) of the dump of a comparison. */
  message(type: number, flags: number, bytes: Uint8Array, start: number, end: number, dumped = false): void {
    this.#dumped = dumped;
    if (type === RTM_NEWROUTE || type === RTM_DELROUTE) this.#route(type, flags, bytes, start, end);
    else if (type === RTM_NEWLINK || type === RTM_DELLINK) this.#link(type, bytes, start, end);
    else if (type === RTM_NEWNEXTHOP || type === RTM_DELNEXTHOP) this.#nexthop(type, bytes, start, end);
    else if (type === RTM_NEWADDR || type === RTM_DELADDR) this.#address(type, bytes, start, end);
  }

  #link(type: number, bytes: Uint8Array, start: number, end: number): void {
    const link = decodeLink(bytes, start, end);
    if (!link || bytes[start + 16] !== 0) return;
    const state = this.#state;
    const before = state.links.get(link.ifindex);
    const usable = type === RTM_NEWLINK && link.carrier;
    if (type === RTM_DELLINK) state.links.delete(link.ifindex);
    else state.links.set(link.ifindex, { usable, carrierChanges: link.carrierChanges });
    if (before?.usable && !usable) this.linkLost(link.ifindex);
    else if (!before?.usable && usable) this.#linkUsable(link.ifindex);
    // Lost and back between two events: the kernel may have deleted the objects.
    else if (usable && before?.carrierChanges !== link.carrierChanges) state.verifyObjects = true;
  }

  /** Every nexthop object on the link is gone, and what hung on it. */
  linkLost(ifindex: number): void {
    for (const object of this.#state.objects.slots) {
      if (!object || object.group || object.ifindex !== ifindex) continue;
      this.farewells?.push(...farewellsOf(this.#state.tables[IPV4], object));
      this.#state.objectLost(object);
    }
  }

  #linkUsable(ifindex: number): void {
    const objects = this.#state.objects;
    for (const object of objects.slots) {
      if (!object || object.group || object.ifindex !== ifindex) continue;
      object.blocked = false;
      objects.dirty.add(object);
      objects.touchGroups(object);
    }
  }

  #address(type: number, bytes: Uint8Array, start: number, end: number): void {
    const address = decodeAddress(bytes, start, end);
    if (!address) return;
    const family = address.family === AF_INET ? IPV4 : IPV6;
    const table = this.#state.tables[family];
    const wanted = table.style.prefSrc;
    if (!wanted || !sameIp(wanted, address.bytes)) return;
    const present = type === RTM_NEWADDR && !address.tentative;
    if (this.#state.prefSrcPresent[family] === present) return;
    this.#state.prefSrcPresent[family] = present;
    if (present) this.#state.wake();
    else this.sourceLost(table);
  }

  /** IPv4 routes go with their source without a word; IPv6 routes stay but lose it. */
  sourceLost(table: FibTable): void {
    const left = table.style.family === AF_INET ? NONE : STRANGE;
    for (let id = 0; id < table.prefixes.idEnd; id++) {
      if (table.observed[id] === NONE || !table.prefixes.has(id)) continue;
      this.#state.observe(table, id, left);
      table.queue(id);
    }
  }

  #nexthop(type: number, bytes: Uint8Array, start: number, end: number): void {
    const nexthop = decodeNexthop(bytes, start, end);
    if (!nexthop) return;
    const objects = this.#state.objects;
    if (type === RTM_DELNEXTHOP) {
      const object = objects.byId(nexthop.id);
      if (object) this.#state.objectLost(object);
      return;
    }
    if (nexthop.protocol !== RTPROT_LEAFD) {
      objects.observeForeign(nexthop.id);
      const object = objects.byId(nexthop.id);
      if (!object || object.writing) return;
      // Somebody else's object under an id of ours: our routes on it are his now, and are written anew.
      this.#state.objectLost(object);
      objects.renumber(object);
      return;
    }
    const known = objects.byId(nexthop.id);
    // The answer to our own message decides.
    if (known?.writing) {
      known.mark = this.#state.mark;
      return;
    }
    const object = objects.observe(nexthop);
    object.mark = this.#state.mark;
    if (object.group) return;
    objects.touchGroups(object);
  }

  #route(type: number, flags: number, bytes: Uint8Array, start: number, end: number): void {
    const record = this.#record;
    if (!readRoute(record, bytes, start, end)) return;
    const table = this.#state.tables[record.family === AF_INET ? IPV4 : IPV6];
    if (record.family !== table.style.family || record.table !== table.style.table) return;
    if ((record.flags & RTM_F_CLONED) !== 0) return;
    if (record.protocol !== RTPROT_LEAFD) {
      if (record.tos === 0) this.#foreignRoute(table, type, flags);
    } else if (record.tos !== 0) this.#stray(type);
    else if (type === RTM_DELROUTE) this.#routeGone(table);
    else this.#routeSeen(table, bytes);
  }

  #routeSeen(table: FibTable, bytes: Uint8Array): void {
    const state = this.#state;
    const record = this.#record;
    const id = table.add(record.a, record.b, record.c, record.d, record.length);
    const { metrics } = table;
    if (table.observed[id] !== NONE && metrics.has(id) !== record.metric) {
      this.#secondSeen(table, id);
      return;
    }
    const unknown = table.observed[id] === NONE && table.desired[id] === NONE;
    // Written since the comparison began: the dump may be older than that.
    if (this.#dumped && table.mark[id] === state.mark) return;
    table.mark[id] = state.mark;
    if ((table.flags[id]! & IN_FLIGHT) !== 0) {
      if (!this.#dumped) table.flags[id]! |= TOUCHED;
      return;
    }
    const slot = this.#slotOf(table, bytes);
    if (unknown && state.starting) table.flags[id]! |= FOUND;
    if ((table.flags[id]! & FOREIGN) !== 0 && record.metric === metrics.wanted(id)) {
      table.flags[id]! &= ~FOREIGN;
      state.clearFailure(table, id);
    }
    if (table.observed[id] === slot && !unknown) return;
    metrics.setHas(id, record.metric);
    state.observe(table, id, slot);
    if (table.desired[id] !== NONE || !state.starting) table.queue(id);
  }

  /** A route of ours beside the one we know of: of a run that ended between two messages, or with other settings. */
  #secondSeen(table: FibTable, id: number): void {
    const { metrics } = table;
    const { metric } = this.#record;
    if (metric === metrics.left(id)) return;
    if ((table.flags[id]! & IN_FLIGHT) !== 0) {
      if (!this.#dumped) table.flags[id]! |= TOUCHED;
      return;
    }
    const isWanted = table.desired[id] !== NONE && metric === metrics.wanted(id);
    if (metrics.left(id) !== 0 || !(this.#state.starting || isWanted)) {
      this.#stray(RTM_NEWROUTE);
      return;
    }
    metrics.setLeft(id, metric);
    if (!isWanted) return;
    table.flags[id]! &= ~FOREIGN;
    this.#state.clearFailure(table, id);
    table.queue(id);
  }

  /** Whether a stray is one still: meanwhile a route of ours may have got that metric. */
  isStray({ family, a, b, c, d, length, metric }: Stray): boolean {
    const table = this.#state.tables[family === AF_INET ? IPV4 : IPV6];
    const id = table.find(a, b, c, d, length);
    if (id < 0 || table.desired[id] === NONE) return true;
    return metric !== table.metrics.wanted(id) && metric !== table.metrics.has(id);
  }

  #slotOf(table: FibTable, bytes: Uint8Array): number {
    const record = this.#record;
    if ((record.type !== RTN_UNICAST && record.type !== RTN_BLACKHOLE) || record.nhid === 0) return STRANGE;
    const wanted = table.style.prefSrc;
    if (record.prefSrcLength !== (wanted?.length ?? 0)) return STRANGE;
    for (let i = 0; i < record.prefSrcLength; i++) {
      if (bytes[record.prefSrcAt + i] !== wanted![i]) return STRANGE;
    }
    return this.#state.objects.byId(record.nhid)?.slot ?? STRANGE;
  }

  #routeGone(table: FibTable): void {
    const record = this.#record;
    const id = table.find(record.a, record.b, record.c, record.d, record.length);
    if (id < 0) return;
    table.mark[id] = this.#state.mark;
    if ((table.flags[id]! & IN_FLIGHT) !== 0) {
      table.flags[id]! |= TOUCHED;
      return;
    }
    if (table.metrics.left(id) === record.metric) table.metrics.setLeft(id, 0);
    if (table.observed[id] === NONE || table.metrics.has(id) !== record.metric) return;
    this.#state.observe(table, id, NONE);
    this.#delayed[table === this.#state.tables[IPV4] ? IPV4 : IPV6].push(id);
  }

  /** Routes told as deleted wait for `queueDelayed`. */
  get hasDelayed(): boolean {
    return this.#delayed[IPV4].length + this.#delayed[IPV6].length > 0;
  }

  /**
   * Queues the routes told as deleted a moment ago. The kernel tells the IPv6 routes of a link that goes
   * before it tells of the link: writing them again at once would be refused one by one.
   */
  queueDelayed(): void {
    for (const family of [IPV4, IPV6] as const) {
      const table = this.#state.tables[family];
      for (const id of this.#delayed[family].splice(0)) if (table.prefixes.has(id)) table.queue(id);
    }
  }

  #foreignRoute(table: FibTable, type: number, flags: number): void {
    const record = this.#record;
    const id = table.find(record.a, record.b, record.c, record.d, record.length);
    if (id < 0 || record.metric !== table.metrics.wanted(id)) return;
    if (type === RTM_DELROUTE) {
      table.flags[id]! &= ~FOREIGN;
      this.#state.clearFailure(table, id);
    } else {
      table.flags[id]! |= FOREIGN;
      // What replaced a route of ours is told, the route replaced is not.
      const hadIt = table.metrics.has(id) === record.metric;
      if (hadIt && (flags & NLM_F_REPLACE) !== 0 && (table.flags[id]! & IN_FLIGHT) === 0) {
        this.#state.observe(table, id, NONE);
      }
    }
    table.queue(id);
  }

  #stray(type: number): void {
    if (!this.#dumped || type !== RTM_NEWROUTE || this.strays.length >= STRAY_LIMIT) return;
    const { family, a, b, c, d, length, metric } = this.#record;
    this.strays.push({ family, a, b, c, d, length, metric });
  }

  /** Begins a comparison: what is touched from now on is not judged by it. */
  beginComparison(): void {
    const state = this.#state;
    state.mark = state.mark === 255 ? 1 : state.mark + 1;
    if (state.mark === 1) for (const table of state.tables) table.mark.fill(0);
    this.strays.length = 0;
  }

  /** The dump of nexthop objects is complete: what was not in it is gone. */
  endObjects(): void {
    for (const object of [...this.#state.objects.slots]) {
      if (!object?.present || object.writing || object.mark === this.#state.mark) continue;
      this.#state.objectLost(object);
    }
  }

  /**
   * The dumps of routes are complete: a route believed there and not seen is gone, and each difference is
   * queued.
   */
  endRoutes(): number {
    const state = this.#state;
    let drift = 0;
    for (const table of state.tables) {
      for (let id = 0; id < table.prefixes.idEnd; id++) {
        const observed = table.observed[id]!;
        if (observed === NONE && table.desired[id] === NONE) continue;
        const flags = table.flags[id]!;
        const kept = !state.swept && (flags & FOUND) !== 0;
        if (observed !== NONE && table.mark[id] !== state.mark && (flags & IN_FLIGHT) === 0) {
          state.observe(table, id, NONE);
          drift++;
        }
        if (!kept && (flags & FAILED) === 0 && state.routeState(table, id) !== 'done') table.queue(id);
      }
    }
    return drift;
  }
}

/** Writes the delete of a stray. */
export function encodeStrayDelete(writer: MessageWriter, seq: number, table: number, stray: Stray): void {
  const style = { family: stray.family, table, protocol: RTPROT_LEAFD, metric: stray.metric };
  encodeRoute(writer, RTM_DELROUTE, 0, seq, style, stray.a, stray.b, stray.c, stray.d, stray.length, 0);
}
