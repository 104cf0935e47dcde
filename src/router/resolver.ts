// What the kernel holds that is not ours: connected prefixes, static routes, routes of other daemons. It says which
// interface and gateway lead to an address by these alone; next hops that need our own routes as well are
// next-hops.ts. The same feed is what `redistribute` reads.

import { readU32 } from '../lib/bytes.ts';
import { PrefixTable } from '../lib/prefix-table.ts';

/** rtm_protocol of `ip route add` without one. */
const RTPROT_BOOT = 3;

/** One way out: a gateway, absent where the address itself is on the link, and the interface. */
export interface Way {
  ifindex: number;
  gateway?: Uint8Array;
}

/** A route of the main table that is not ours. Several may exist for one prefix; the lowest metric counts. */
export interface KernelRoute {
  /** 4 or 16 bytes, zero beyond `length`. */
  bytes: Uint8Array;
  length: number;
  /** How it got there: the kernel's own, by hand, by another program. */
  source: 'connected' | 'static' | 'kernel';
  metric: number;
  ifindex: number;
  gateway?: Uint8Array;
  /** Further ways of a multipath route. */
  others?: readonly Way[];
  /** The kernel's protocol number, for display. */
  protocol: number;
}

/** How to reach an address. */
export interface Resolution extends Way {
  metric: number;
}

interface HalfTable {
  table: PrefixTable;
  routes: KernelRoute[][];
  /** How many prefixes there are of each length, so that a look-up skips lengths nobody uses. */
  lengths: Uint32Array;
}

export class Resolver {
  #four: HalfTable = { table: new PrefixTable(1, 64), routes: [], lengths: new Uint32Array(33) };
  #six: HalfTable = { table: new PrefixTable(4, 64), routes: [], lengths: new Uint32Array(129) };

  /** Adds or replaces (same prefix, source, interface and metric) a route. */
  add(route: KernelRoute): void {
    const half = this.#half(route.bytes);
    const before = half.table.size;
    const id = addKey(half.table, route.bytes, route.length);
    if (half.table.size > before) {
      half.routes[id] = [];
      half.lengths[route.length]!++;
    }
    const list = half.routes[id]!.filter((other) => !sameSlot(other, route));
    list.push(route);
    list.sort((a, b) => a.metric - b.metric || a.ifindex - b.ifindex);
    half.routes[id] = list;
  }

  /** Takes a route away; one that is not there is no mistake. */
  remove(route: KernelRoute): void {
    const half = this.#half(route.bytes);
    const id = findKey(half.table, route.bytes, route.length);
    if (id < 0) return;
    const list = half.routes[id]!.filter((other) => !sameSlot(other, route));
    half.routes[id] = list;
    if (list.length > 0) return;
    half.table.release(id);
    half.lengths[route.length]!--;
  }

  /** The routes of exactly this prefix, best first. */
  routesOf(bytes: Uint8Array, length: number): readonly KernelRoute[] {
    const half = this.#half(bytes);
    const id = findKey(half.table, bytes, length);
    return id < 0 ? [] : half.routes[id]!;
  }

  /**
   * Whether the machine has a route of its own for exactly this prefix: connected, or put there by an operator.
   * IPv4 in `a`.
   */
  outranks(four: boolean, a: number, b: number, c: number, d: number, length: number): boolean {
    const half = four ? this.#four : this.#six;
    if (half.lengths[length] === 0) return false;
    const id = four ? half.table.find1(a, length) : half.table.find4(a, b, c, d, length);
    return id >= 0 && half.routes[id]!.some(isOperators);
  }

  /** Whether there are routes of this length for addresses of the family of `address`. */
  hasLength(address: Uint8Array, length: number): boolean {
    return this.#half(address).lengths[length]! > 0;
  }

  /** All routes, in no order. */
  *all(): Generator<KernelRoute> {
    for (const half of [this.#four, this.#six])
      for (let id = 0; id < half.table.idEnd; id++) if (half.table.has(id)) yield* half.routes[id]!;
  }

  /**
   * The way to an address, or undefined. A default route does not resolve a next hop: it would make every
   * next hop reachable.
   */
  resolve(address: Uint8Array): Resolution | undefined {
    const [route] = this.routesTo(address);
    if (route === undefined) return undefined;
    const via = route.gateway === undefined ? {} : { gateway: route.gateway };
    return { ifindex: route.ifindex, metric: route.source === 'connected' ? 0 : route.metric, ...via };
  }

  /** The routes of the longest prefix that holds an address, best first; no default route is among them. */
  routesTo(address: Uint8Array): readonly KernelRoute[] {
    const half = this.#half(address);
    const masked = new Uint8Array(address.length);
    for (let length = address.length * 8; length > 0; length--) {
      if (half.lengths[length] === 0) continue;
      maskInto(masked, address, length);
      const id = findKey(half.table, masked, length);
      if (id >= 0 && half.routes[id]!.length > 0) return half.routes[id]!;
    }
    return [];
  }

  #half(bytes: Uint8Array): HalfTable {
    return bytes.length === 4 ? this.#four : this.#six;
  }
}

/** Connected, static, or by `ip route add` without a protocol; not by DHCP, advertisements or other daemons. */
function isOperators({ source, protocol }: KernelRoute): boolean {
  return source !== 'kernel' || protocol === RTPROT_BOOT;
}

/** A prefix may be connected on several links; any other route is known by its metric, wherever it leads. */
function sameSlot(a: KernelRoute, b: KernelRoute): boolean {
  if (a.source !== b.source || a.metric !== b.metric) return false;
  return a.source !== 'connected' || a.ifindex === b.ifindex;
}

function word(bytes: Uint8Array, index: number): number {
  return readU32(bytes, index * 4);
}

function addKey(table: PrefixTable, bytes: Uint8Array, length: number): number {
  return bytes.length === 4
    ? table.add1(word(bytes, 0), length)
    : table.add4(word(bytes, 0), word(bytes, 1), word(bytes, 2), word(bytes, 3), length);
}

function findKey(table: PrefixTable, bytes: Uint8Array, length: number): number {
  return bytes.length === 4
    ? table.find1(word(bytes, 0), length)
    : table.find4(word(bytes, 0), word(bytes, 1), word(bytes, 2), word(bytes, 3), length);
}

/** Writes the first `length` bits of an address, and zeros behind them. */
export function maskInto(target: Uint8Array, source: Uint8Array, length: number): void {
  const whole = length >> 3;
  for (let i = 0; i < source.length; i++) target[i] = i < whole ? source[i]! : 0;
  if (length & 7) target[whole] = source[whole]! & (0xff << (8 - (length & 7)));
}
