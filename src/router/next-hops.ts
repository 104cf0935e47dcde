// Keeps the rib's next hops resolved (RFC 4271, 5.1.3 and 9.1.2.1). A link-local one, or a link by itself, can be
// reached while the link is up. Any other goes the way of the longest prefix that holds it: of the machine's own
// routes (resolver.ts), and of our own routes, whose next hops are resolved in their turn. So an internal next hop is
// reached over the routes that another session brought. When an answer changes the rib decides anew, but first the
// groups in the kernel change: one message moves all the traffic (prefix-independent convergence), whatever the number
// of prefixes.
//
// Never round in circles: a route does not resolve the next hop of one of its own paths, a next hop that is met again
// on the way leads nowhere, and there are at most eight steps. A default route resolves nothing, it would make every
// address reachable. Routes that take each other's ground away by turns (the way to x over y's route, the way to y
// over x's) cannot be told by looking: a next hop that changes too often is held unreachable for a while.
//
// What depends on what: a change of a route concerns the next hops within its prefix (tracked-addresses.ts), a change
// of a next hop those that are resolved over it.

import { readU32 } from '../lib/bytes.ts';
import { BLACKHOLE_SET, FIRST_SET, type NextHopSets } from '../rib/next-hop-sets.ts';
import { FIRST_NEXT_HOP, NEXT_HOP_DISCARD, type NextHopTable } from '../rib/next-hop-table.ts';
import type { Rib } from '../rib/rib.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { ForwardingMember } from './ports.ts';
import { maskInto, type Resolver, type Way } from './resolver.ts';
import { TrackedAddresses } from './tracked-addresses.ts';

/** No interface: a gateway of our own routes, resolved as any other, that peers never get as a next hop. */
export const OWN_SCOPE = 0xffff_ffff;

const DEPTH_MAX = 8;
/** Routes looked at for one next hop: ways that fork at every step must not cost more than they are worth. */
const STEPS_MAX = 128;
/** Next hops looked at in one call of `follow`, where they are on a link or behind the machine's own routes. */
const SLICE = 1024;
/** What a route of ours on the way counts. */
const STEP_COST = 8;
/** A next hop that changes this often within a second is held for some. */
const RESTLESS_CHANGES = 12;
const RESTLESS_WITHIN_MS = 1000;
const HOLD_MS = 5000;

export interface NextHopHost {
  nowMs(): number;
  isLinkUp(ifindex: number): boolean;
  /** Whether the address is one of this machine: such a next hop would be a loop. */
  isLocalAddress(address: Uint8Array, ifindex: number): boolean;
  /** Whether a prefix of ours leads past a neighbour on a connected subnet: it carries no next hop. */
  leadsPast(bytes: Uint8Array, length: number): boolean;
  rib(family: number): Rib;
  /** A next hop resolves otherwise than before. */
  changed(nextHopId: number): void;
}

/** How a next hop is reached. */
interface Reach {
  ways: readonly Way[];
  metric: number;
  /** Other next hops on the way. */
  over: readonly number[];
}

interface Restless {
  sinceMs: number;
  changes: number;
  heldUntilMs: number;
}

export class NextHops {
  readonly #host: NextHopHost;
  readonly #table: NextHopTable;
  readonly #sets: NextHopSets;
  readonly #resolver: Resolver;
  readonly #reach = new Map<number, Reach>();
  readonly #tracked = new TrackedAddresses();
  readonly #dirty = new Set<number>();
  /** Next hops that are resolved over the key. */
  readonly #dependents = new Map<number, Set<number>>();
  readonly #restless = new Map<number, Restless>();
  #steps = 0;

  constructor(host: NextHopHost, table: NextHopTable, sets: NextHopSets, resolver: Resolver) {
    this.#host = host;
    this.#table = table;
    this.#sets = sets;
    this.#resolver = resolver;
  }

  /**
   * Resolves next hops that are new or may have changed, forgets those that nobody uses any more. Returns whether
   * some are left for another call.
   */
  follow(): boolean {
    this.#table.drainTouched((id, inUse) => {
      // Touched twice between two calls, an id may stand for another address.
      this.#forget(id);
      if (!inUse) return;
      this.#dirty.add(id);
      const scope = this.#table.scope[id]!;
      if (scope === 0 || scope === OWN_SCOPE) this.#tracked.add(id, this.#table.addressOf(id));
    });
    if (this.#dirty.size === 0) return false;
    let budget = SLICE;
    for (const id of this.#dirty) {
      if (budget <= 0) return true;
      this.#dirty.delete(id);
      this.#resolve(id);
      // Ways that fork cost a multiple of those that do not.
      budget -= 1 + this.#steps * STEP_COST;
    }
    return this.#dirty.size > 0;
  }

  /** Addresses of ours have changed: all are looked at again, but for links. */
  refresh(): void {
    const { refs, idEnd } = this.#table;
    for (let id = FIRST_NEXT_HOP; id < idEnd; id++)
      if (refs[id]! > 0 && !this.#table.isLink(id)) this.#dirty.add(id);
  }

  /** A link came or went: what is on it, and what may lead over it, is looked at again. */
  linkChanged(ifindex: number): void {
    const { refs, scope, idEnd } = this.#table;
    for (let id = FIRST_NEXT_HOP; id < idEnd; id++) {
      const on = scope[id]!;
      if (refs[id]! > 0 && (on === ifindex || on === 0 || on === OWN_SCOPE)) this.#dirty.add(id);
    }
  }

  /** A route of the machine, or one of ours, has come, gone or changed. IPv4 in `a`. */
  routeChanged(four: boolean, a: number, b: number, c: number, d: number, length: number): void {
    if (length > 0) this.#tracked.within(four, a, b, c, d, length, this.#mark);
  }

  /** What `Rib.decide` has just changed may be ground under next hops. */
  take(rib: Rib): void {
    if (rib.family !== IPV4 && rib.family !== IPV6) return;
    const four = rib.family === IPV4;
    if (this.#tracked.isEmpty(four)) return;
    const { changes, table } = rib;
    const { address, length, words } = table;
    const lowest = this.#tracked.lowest(four);
    const highest = this.#tracked.highest(four);
    for (let i = 0; i < changes.count; i++) {
      const id = changes.ids[i]!;
      const a = address[id * words]!;
      const bits = length[id]!;
      // With a table under way nearly all routes are beside all next hops.
      if (a > highest || (bits >= 32 ? a : (a | (-1 >>> bits)) >>> 0) < lowest) continue;
      if (four) this.routeChanged(true, a, 0, 0, 0, bits);
      else {
        const at = id * 4;
        this.routeChanged(false, a, address[at + 1]!, address[at + 2]!, address[at + 3]!, bits);
      }
    }
  }

  /** The live ways of a set, as the kernel needs them. */
  membersOf(setId: number): ForwardingMember[] {
    const ids = this.#sets.members(setId);
    if (ids[0] === NEXT_HOP_DISCARD) return [{ ifindex: 0, weight: 1, discard: true }];
    const weights = this.#sets.weights(setId);
    const members: ForwardingMember[] = [];
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      const reach = this.#reach.get(id);
      if (reach === undefined || this.#table.reachable[id] === 0) continue;
      const weight = weights?.[i] ?? 1;
      for (const { ifindex, gateway } of reach.ways)
        members.push(gateway === undefined ? { ifindex, weight } : { ifindex, weight, gateway });
    }
    return members;
  }

  /** How a next hop is reached, for people: its ways, and the next hops it is resolved over. */
  describe(id: number): { ways: readonly Way[]; metric: number; over: readonly number[] } | undefined {
    return this.#reach.get(id);
  }

  /** When a held next hop is looked at again, or Infinity. */
  nextDeadlineMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { heldUntilMs } of this.#restless.values())
      if (heldUntilMs > 0) earliest = Math.min(earliest, heldUntilMs);
    return earliest;
  }

  /** Looks again at those whose hold is over. */
  expire(): void {
    if (this.#restless.size === 0) return;
    const nowMs = this.#host.nowMs();
    for (const [id, restless] of this.#restless) {
      if (nowMs < (restless.heldUntilMs || restless.sinceMs + RESTLESS_WITHIN_MS)) continue;
      this.#restless.delete(id);
      this.#dirty.add(id);
    }
  }

  readonly #mark = (id: number): void => {
    this.#dirty.add(id);
  };

  #forget(id: number): void {
    this.#setOver(id, []);
    this.#reach.delete(id);
    this.#dirty.delete(id);
    this.#restless.delete(id);
    this.#tracked.remove(id);
  }

  #resolve(id: number): void {
    if (this.#table.refs[id] === 0) return;
    const before = this.#reach.get(id);
    this.#steps = 0;
    const held = (this.#restless.get(id)?.heldUntilMs ?? 0) > 0;
    const reach = held ? undefined : this.#reachOf(id, []);
    this.#setOver(id, reach?.over ?? []);
    if (reach === undefined) this.#reach.delete(id);
    else this.#reach.set(id, reach);
    const changed = this.#table.setState(id, reach !== undefined, reach?.metric ?? 0);
    if (!changed && (reach === undefined || before === undefined || sameWays(reach.ways, before.ways)))
      return;
    if ((reach ?? before)!.over.length > 0) this.#countChange(id);
    this.#host.changed(id);
    for (const dependent of this.#dependents.get(id) ?? []) this.#dirty.add(dependent);
  }

  /** Counts a change; one too many, and the next hop is looked at again to be held from now on. */
  #countChange(id: number): void {
    const nowMs = this.#host.nowMs();
    let restless = this.#restless.get(id);
    if (restless === undefined || nowMs >= restless.sinceMs + RESTLESS_WITHIN_MS)
      this.#restless.set(id, (restless = { sinceMs: nowMs, changes: 0, heldUntilMs: 0 }));
    if (++restless.changes < RESTLESS_CHANGES || restless.heldUntilMs > 0) return;
    restless.heldUntilMs = nowMs + HOLD_MS;
    this.#dirty.add(id);
  }

  #setOver(id: number, over: readonly number[]): void {
    for (const other of this.#reach.get(id)?.over ?? []) {
      const dependents = this.#dependents.get(other);
      dependents?.delete(id);
      if (dependents?.size === 0) this.#dependents.delete(other);
    }
    for (const other of over) {
      const dependents = this.#dependents.get(other) ?? new Set<number>();
      this.#dependents.set(other, dependents.add(id));
    }
  }

  /** `met`: the next hops on the way here, this one not among them. */
  #reachOf(id: number, met: readonly number[]): Reach | undefined {
    const scope = this.#table.scope[id]!;
    const address = this.#table.addressOf(id);
    const isOnLink = scope !== 0 && scope !== OWN_SCOPE;
    if (address.length === 0)
      return this.#host.isLinkUp(scope) ? { ways: [{ ifindex: scope }], metric: 0, over: [] } : undefined;
    if (this.#host.isLocalAddress(address, isOnLink ? scope : 0)) return undefined;
    if (isOnLink) {
      const ways = [{ ifindex: scope, gateway: address }];
      return this.#host.isLinkUp(scope) ? { ways, metric: 0, over: [] } : undefined;
    }
    return this.#longestMatch(id, address, met);
  }

  #longestMatch(id: number, address: Uint8Array, met: readonly number[]): Reach | undefined {
    const masked = new Uint8Array(address.length);
    const rib = this.#host.rib(address.length === 4 ? IPV4 : IPV6);
    for (let length = address.length * 8; length > 0; length--) {
      const ours = rib.prefixes.hasLength(length);
      if (!ours && !this.#resolver.hasLength(address, length)) continue;
      maskInto(masked, address, length);
      const route = this.#resolver.routesOf(masked, length)[0];
      if (route !== undefined) return this.#overMachine(route, address);
      const prefix = ours ? findBytes(rib, masked, length) : -1;
      if (prefix < 0 || this.#host.leadsPast(masked, length)) continue;
      // What the kernel discards leads nowhere.
      if (rib.prefixes.nextHopSetId[prefix] === BLACKHOLE_SET) return undefined;
      if (this.#isGround(rib, prefix, id)) return this.#overPrefix(rib, prefix, [...met, id]);
    }
    return undefined;
  }

  #overMachine(route: ReturnType<Resolver['routesOf']>[number], address: Uint8Array): Reach | undefined {
    const ways: Way[] = [];
    // On link the next hop itself is the gateway.
    for (const { ifindex, gateway } of [route, ...(route.others ?? [])])
      if (this.#host.isLinkUp(ifindex)) ways.push({ ifindex, gateway: gateway ?? address });
    const metric = route.source === 'connected' ? 0 : route.metric;
    return ways.length === 0 ? undefined : { ways, metric, over: [] };
  }

  /**
   * Whether a prefix of ours can carry a next hop: it is forwarded somewhere, and none of its paths needs the next hop
   * itself, whether that path is the best one at this moment or not.
   */
  #isGround(rib: Rib, prefix: number, id: number): boolean {
    const { paths, prefixes } = rib;
    if (prefixes.nextHopSetId[prefix]! < FIRST_SET) return false;
    for (let path = prefixes.firstPath[prefix]!; path !== 0; path = paths.next[path]!)
      if (paths.nextHopId[path] === id) return false;
    return true;
  }

  #overPrefix(rib: Rib, prefix: number, met: readonly number[]): Reach | undefined {
    if (met.length > DEPTH_MAX || ++this.#steps > STEPS_MAX) return undefined;
    const ways: Way[] = [];
    const over: number[] = [];
    let metric = Number.POSITIVE_INFINITY;
    const members = this.#sets.members(rib.prefixes.nextHopSetId[prefix]!);
    for (let i = 0; i < members.length; i++) {
      const member = members[i]!;
      over.push(member);
      if (met.includes(member)) continue;
      const reach = this.#reachOf(member, met);
      if (reach === undefined) continue;
      metric = Math.min(metric, reach.metric);
      for (const other of reach.over) if (!over.includes(other)) over.push(other);
      for (const way of reach.ways) if (!ways.some((known) => sameWay(known, way))) ways.push(way);
    }
    return ways.length === 0 ? undefined : { ways, metric, over };
  }
}

function findBytes(rib: Rib, bytes: Uint8Array, length: number): number {
  const word = (at: number): number => readU32(bytes, at);
  return bytes.length === 4
    ? rib.find(word(0), 0, 0, 0, length)
    : rib.find(word(0), word(4), word(8), word(12), length);
}

function sameWays(a: readonly Way[], b: readonly Way[]): boolean {
  return a.length === b.length && a.every((way, i) => sameWay(way, b[i]!));
}

function sameWay(a: Way, b: Way): boolean {
  if (a.ifindex !== b.ifindex || a.gateway?.length !== b.gateway?.length) return false;
  return a.gateway === undefined || a.gateway.every((byte, i) => byte === b.gateway![i]);
}
