// The routes of a table that are not BGP's (connected, static, DHCP and so on), followed: for next-hop
// resolution and for redistribution. Snapshot by dumps filtered in the kernel by protocol, then events. Two
// silences of the kernel are made good here: IPv4 routes leave with their link without a word, so they are
// removed when the link goes down; and the removal of one of several IPv6 hops names that hop alone, so the
// family is read again. Carrier is not judged here: a connected route stays while the carrier is away (see
// LinkMonitor for that).

import { decodeLink, encodeLinkDump } from './link.ts';
import {
  hex,
  NLM_F_REPLACE,
  RTM_DELLINK,
  RTM_DELROUTE,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_LINK,
} from './message.ts';
import type { Change } from './monitor.ts';
import { decodeRoute, encodeRouteDump, type KernelRoute, RT_TABLE_MAIN, RTM_F_CLONED } from './route.ts';
import type { Rtnl } from './rtnl.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const ENOENT = 2;
const RESYNC_DELAY_MS = 50;
const RETRY_DELAY_MS = 1000;
/** kernel (connected), boot (ip route without a protocol), static, ra, dhcp. */
const DEFAULT_PROTOCOLS = [2, 3, 4, 9, 16];
const DEFAULT_LIMIT = 200_000;

export type RouteCallback = (route: KernelRoute, change: Change) => void;

export interface RouteFeedOptions {
  table?: number;
  /** rtm_protocol values to follow. */
  protocols?: readonly number[];
  /** Routes kept at most; those beyond are counted in `dropped`. */
  limit?: number;
  /** Port ids of our own writers. */
  ignorePortIds?: readonly number[];
}

export class RouteFeed {
  /** Routes not kept because of the limit. */
  dropped = 0;
  readonly #routes = new Map<string, KernelRoute>();
  readonly #subscribers = new Set<RouteCallback>();
  readonly #rtnl: Rtnl;
  readonly #table: number;
  readonly #protocols: readonly number[];
  readonly #limit: number;
  readonly #up = new Map<number, boolean>();
  readonly #listener: { close(): void };
  #timer: NodeJS.Timeout | undefined;
  #resyncing = false;
  #again = false;
  #closed = false;

  /** Reads the snapshot at once, blocking. */
  constructor(rtnl: Rtnl, options: RouteFeedOptions = {}) {
    this.#rtnl = rtnl;
    this.#table = options.table ?? RT_TABLE_MAIN;
    this.#protocols = options.protocols ?? DEFAULT_PROTOCOLS;
    this.#limit = options.limit ?? DEFAULT_LIMIT;
    this.#listener = rtnl.listen({
      groups: [RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE],
      ignorePortIds: options.ignorePortIds ?? [],
      onMessage: (type, flags, bytes, start, end) => this.#event(type, flags, bytes, start, end),
      onOverrun: () => this.#schedule(RESYNC_DELAY_MS),
    });
    const onMessage = this.#event.bind(this);
    rtnl.dumpNow({ encode: encodeLinkDump, onMessage });
    for (const [family, protocol] of this.#parts()) {
      try {
        rtnl.dumpNow({
          encode: (w, seq) => encodeRouteDump(w, seq, family, this.#table, protocol),
          onMessage,
        });
      } catch (error) {
        if (!isAbsentTable(error)) throw error;
      }
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#listener.close();
    this.#subscribers.clear();
  }

  get size(): number {
    return this.#routes.size;
  }

  routes(): IterableIterator<KernelRoute> {
    return this.#routes.values();
  }

  /** Tells the whole snapshot as `added` at once, then every change, until closed. */
  subscribe(callback: RouteCallback): { close(): void } {
    for (const route of this.#routes.values()) callback(route, 'added');
    this.#subscribers.add(callback);
    return { close: () => void this.#subscribers.delete(callback) };
  }

  #parts(): [family: number, protocol: number][] {
    const parts: [number, number][] = [];
    for (const family of [AF_INET, AF_INET6]) for (const p of this.#protocols) parts.push([family, p]);
    return parts;
  }

  #event(type: number, flags: number, bytes: Uint8Array, start: number, end: number): string | undefined {
    if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      this.#linkEvent(type, bytes, start, end);
      return undefined;
    }
    if (type !== RTM_NEWROUTE && type !== RTM_DELROUTE) return undefined;
    const route = decodeRoute(bytes, start, end);
    if (!route || route.table !== this.#table || (route.flags & RTM_F_CLONED) !== 0) return undefined;
    if (route.family === AF_INET6 && !isGlobal6(route.bytes, route.length)) return undefined;
    const key = keyOf(route);
    const ours = this.#protocols.includes(route.protocol);
    if (type === RTM_DELROUTE) {
      if (ours) this.#removed(key, route);
      return undefined;
    }
    if (ours) this.#present(key, route);
    // A replaced route is not told as deleted: what took its place names it.
    else if ((flags & NLM_F_REPLACE) !== 0) this.#forget(key);
    return key;
  }

  #present(key: string, route: KernelRoute): void {
    const before = this.#routes.get(key);
    if (before && sameRoute(before, route)) return;
    if (!before && this.#routes.size >= this.#limit) {
      this.dropped++;
      return;
    }
    this.#routes.set(key, route);
    for (const callback of this.#subscribers) callback(route, before ? 'changed' : 'added');
  }

  #removed(key: string, route: KernelRoute): void {
    const before = this.#routes.get(key);
    if (!before) return;
    const several = before.hops.length > 1 && route.hops.length < before.hops.length;
    if (route.family === AF_INET6 && several) this.#schedule(RESYNC_DELAY_MS);
    else if (before.protocol === route.protocol) this.#forget(key);
  }

  #forget(key: string): void {
    const before = this.#routes.get(key);
    if (!before) return;
    this.#routes.delete(key);
    for (const callback of this.#subscribers) callback(before, 'removed');
  }

  #linkEvent(type: number, bytes: Uint8Array, start: number, end: number): void {
    const link = decodeLink(bytes, start, end);
    if (!link || bytes[start + 16] !== 0) return;
    const up = type === RTM_NEWLINK && link.up;
    const before = this.#up.get(link.ifindex);
    if (type === RTM_DELLINK) this.#up.delete(link.ifindex);
    else this.#up.set(link.ifindex, up);
    if (before !== true || up) return;
    for (const [key, route] of [...this.#routes]) {
      if (route.family !== AF_INET || route.hops.length === 0) continue;
      if (route.hops.every((hop) => this.#up.get(hop.ifindex) !== true)) this.#forget(key);
    }
  }

  #schedule(delayMs: number): void {
    if (this.#closed || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#resync();
    }, delayMs);
    this.#timer.unref();
  }

  async #resync(): Promise<void> {
    if (this.#resyncing) {
      this.#again = true;
      return;
    }
    this.#resyncing = true;
    this.#again = false;
    this.dropped = 0;
    const seen = new Set<string>();
    const onMessage = (type: number, flags: number, bytes: Uint8Array, start: number, end: number): void => {
      const key = this.#event(type, flags, bytes, start, end);
      if (key !== undefined) seen.add(key);
    };
    const known = new Set(this.#routes.keys());
    try {
      for (const [family, protocol] of this.#parts()) {
        const encode = encodeRouteDump;
        await this.#rtnl
          .dump({ encode: (w, seq) => encode(w, seq, family, this.#table, protocol), onMessage })
          .catch((error: unknown) => {
            if (!isAbsentTable(error)) throw error;
          });
        if (this.#closed) return;
      }
      for (const key of known) if (!seen.has(key)) this.#forget(key);
    } catch {
      this.#schedule(RETRY_DELAY_MS);
    } finally {
      this.#resyncing = false;
      if (this.#again) this.#schedule(RESYNC_DELAY_MS);
    }
  }
}

/** The kernel makes a table with its first route and refuses to dump one that is not there yet. */
export function isAbsentTable(error: unknown): boolean {
  return error instanceof Error && (error as { errno?: number }).errno === ENOENT;
}

function isGlobal6(bytes: Uint8Array, length: number): boolean {
  if (length === 0) return true;
  return !(bytes[0] === 0xff || (bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80));
}

/** IPv6 keeps one route per link for a connected prefix; all else is one route per prefix, metric and TOS. */
function keyOf(route: KernelRoute): string {
  const hop = route.hops[0];
  const link = route.family === AF_INET6 && route.hops.length === 1 && !hop?.gateway ? hop!.ifindex : 0;
  return `${hex(route.bytes)}/${route.length}/${route.metric}/${route.tos}/${link}`;
}

function sameRoute(a: KernelRoute, b: KernelRoute): boolean {
  if (a.protocol !== b.protocol || a.type !== b.type || a.scope !== b.scope || a.nhid !== b.nhid)
    return false;
  if (hex(a.prefSrc ?? new Uint8Array(0)) !== hex(b.prefSrc ?? new Uint8Array(0))) return false;
  if (a.hops.length !== b.hops.length) return false;
  return a.hops.every((hop, i) => {
    const other = b.hops[i]!;
    const gateway = hex(hop.gateway ?? new Uint8Array(0)) === hex(other.gateway ?? new Uint8Array(0));
    return (
      gateway && hop.ifindex === other.ifindex && hop.weight === other.weight && hop.flags === other.flags
    );
  });
}
