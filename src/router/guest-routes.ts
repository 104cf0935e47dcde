// Routes to guests of this machine: a host prefix each, on a link, without a gateway. They are paths of our own like
// any other of origination.ts, so that they are decided, written to the kernel and told to neighbours as all are; a
// link that goes down takes its guests with it. What makes them a guest's is the move sequence (net/community.ts):
// which of several nodes that say they have an address got it last (docs/decisions/0017-move-sequence.md).
//
// A fresh move is told with LOCAL_PREF `freshPreference`, and to other ASes without the one prepend more that a settled
// one gets (rib/export-stage.ts), for the sake of routers that know nothing of sequences.
//
// Watching an address: what the other nodes' paths of it say, the best or not. Only prefixes that `Rib.decide` has just
// looked at are looked at here, and none while nobody watches; it is told at the end of the turn, when routes may be
// changed again.

import { readU32 } from '../lib/bytes.ts';
import { MOVE_SEQUENCE, MOVE_SEQUENCE_FRESH } from '../net/community.ts';
import type { Prefix } from '../net/prefix.ts';
import { NO_ADVERTISE } from '../rib/attribute-pool.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import { PREFIX_AWAITS_FIB, PREFIX_DIRTY, PREFIX_FIB_LACKS } from '../rib/prefixes.ts';
import type { Rib } from '../rib/rib.ts';
import { encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { defaultGuestSettings, type GuestSettings } from './config.ts';
import type { Heard, RouterPorts } from './ports.ts';
import type { Router } from './router.ts';

export interface GuestRoute {
  /** The link the guest is on: a bridge with the gateway address, or the guest's own tap. */
  ifindex: number;
  /** How often the address has moved, as far as anybody here knows. */
  sequence: number;
  /** It has come here just now. */
  fresh: boolean;
  /** Of the route in the kernel; 0 for the table's. */
  metric: number;
}

interface Held {
  prefix: Prefix;
  route: GuestRoute;
  /** In the next hop table, one reference. */
  nextHopId: number;
}

interface Watch {
  readonly address: Uint8Array;
  readonly prefixId: number;
  /** The highest sequence, NOBODY where no other node has the address; and what was said of it. */
  highest: number;
  told: number;
}

const NOBODY = -1;

export class GuestRoutes {
  readonly #router: Router;
  readonly #ports: RouterPorts;
  readonly #routes = new Map<string, Held>();
  /** By address, and by prefix id of each family. */
  readonly #watches = new Map<string, Watch>();
  readonly #watched: readonly [Map<number, Watch>, Map<number, Watch>] = [new Map(), new Map()];
  #news: Watch[] = [];
  #settings: GuestSettings = defaultGuestSettings;
  /** The attributes made last: in one turn most routes have the same. */
  #attributes: { key: string; bytes: Uint8Array } | undefined;

  constructor(router: Router, ports: RouterPorts) {
    this.#router = router;
    this.#ports = ports;
  }

  get size(): number {
    return this.#routes.size;
  }

  configure(settings: GuestSettings = defaultGuestSettings): void {
    const { freshPreference, policy } = this.#settings;
    this.#settings = settings;
    if (freshPreference === settings.freshPreference && policy === settings.policy) return;
    this.#attributes = undefined;
    for (const held of this.#routes.values()) this.#offer(held);
  }

  /** Announces the address, or announces it otherwise than before. */
  set(address: Uint8Array, route: GuestRoute): void {
    const { nextHopTable, gates, ribs } = this.#router;
    const key = keyOf(address);
    const before = this.#routes.get(key);
    const prefix = before?.prefix ?? { bytes: address.slice(), length: address.length * 8 };
    const held = { prefix, route: { ...route }, nextHopId: nextHopTable.internLink(route.ifindex) };
    this.#routes.set(key, held);
    this.#offer(held);
    if (before !== undefined) nextHopTable.release(before.nextHopId);
    const family = familyOf(address);
    const id = findHost(ribs[family]!, address);
    if (id >= 0) gates[family]?.setMetric(id, route.metric);
    this.#router.wake();
  }

  remove(address: Uint8Array): void {
    const key = keyOf(address);
    const held = this.#routes.get(key);
    if (held === undefined) return;
    const { origination, nextHopTable, gates, ribs } = this.#router;
    this.#routes.delete(key);
    const family = familyOf(address);
    const id = findHost(ribs[family]!, address);
    origination.remove(held.prefix, 'guest');
    if (id >= 0) gates[family]?.setMetric(id, 0);
    nextHopTable.release(held.nextHopId);
    this.#router.wake();
  }

  /** What was set, or undefined. */
  get(address: Uint8Array): GuestRoute | undefined {
    return this.#routes.get(keyOf(address))?.route;
  }

  /** Whether the route is in force: the best one, in the kernel, and to be told to neighbours. */
  isAnnounced(address: Uint8Array): boolean {
    if (!this.#routes.has(keyOf(address))) return false;
    const { paths, prefixes, pool, ...rib } = this.#partsOf(address);
    const best = rib.id < 0 ? 0 : prefixes.bestPath[rib.id]!;
    if (best === 0 || paths.peer[best] !== LOCAL_PEER) return false;
    const waits = PREFIX_DIRTY | PREFIX_AWAITS_FIB | PREFIX_FIB_LACKS;
    if ((prefixes.state[rib.id]! & waits) !== 0) return false;
    return (pool.flags[paths.attrId[best]!]! & NO_ADVERTISE) === 0;
  }

  /** What other nodes say of the address now; changes are told by `RouterPorts.guestHeard` until `unwatch`. */
  watch(address: Uint8Array): Heard | undefined {
    const key = keyOf(address);
    let watch = this.#watches.get(key);
    if (watch === undefined) {
      const family = familyOf(address);
      const rib = this.#router.ribs[family]!;
      const prefixId = rib.watch(...wordsOf(address), address.length * 8);
      const highest = highestOf(rib, prefixId);
      watch = { address: address.slice(), prefixId, highest, told: highest };
      this.#watches.set(key, watch);
      this.#watched[family].set(prefixId, watch);
    }
    return heardOf(watch.told);
  }

  unwatch(address: Uint8Array): void {
    const key = keyOf(address);
    const watch = this.#watches.get(key);
    if (watch === undefined) return;
    const family = familyOf(address);
    this.#watches.delete(key);
    this.#watched[family].delete(watch.prefixId);
    this.#router.ribs[family]!.unwatch(watch.prefixId);
  }

  /** Next hops and prefixes that are held here: for whoever counts references. */
  *nextHops(): Iterable<number> {
    for (const { nextHopId } of this.#routes.values()) yield nextHopId;
  }

  watchedIn(family: number): Iterable<number> {
    return this.#watched[family]?.keys() ?? [];
  }

  /** Takes over what `Rib.decide` has just looked at. */
  take(rib: Rib): void {
    if (rib.family !== IPV4 && rib.family !== IPV6) return;
    const watched = this.#watched[rib.family];
    if (watched.size === 0) return;
    const { changes } = rib;
    const { length, words } = rib.table;
    for (let i = 0; i < changes.count; i++) {
      const id = changes.ids[i]!;
      if (length[id] !== words * 32) continue;
      const watch = watched.get(id);
      if (watch === undefined) continue;
      const highest = highestOf(rib, id);
      if (highest === watch.highest) continue;
      watch.highest = highest;
      this.#news.push(watch);
    }
  }

  /** Tells what is new of watched addresses; whether there was anything. */
  tell(): boolean {
    if (this.#news.length === 0) return false;
    const news = this.#news;
    this.#news = [];
    for (const watch of news) {
      if (watch.highest === watch.told || this.#watches.get(keyOf(watch.address)) !== watch) continue;
      watch.told = watch.highest;
      this.#ports.guestHeard?.(watch.address, heardOf(watch.told));
    }
    return true;
  }

  #offer({ prefix, route, nextHopId }: Held): void {
    const { policy } = this.#settings;
    const attributes = this.#attributesOf(route);
    const nextHops = [nextHopId];
    this.#router.origination.add(
      prefix,
      'guest',
      policy === undefined ? { attributes, nextHops } : { attributes, nextHops, policy },
    );
  }

  #attributesOf({ sequence, fresh }: GuestRoute): Uint8Array {
    const key = `${sequence} ${fresh}`;
    if (this.#attributes?.key === key) return this.#attributes.bytes;
    const { asn, confederation } = this.#router.config;
    const kind = fresh ? MOVE_SEQUENCE_FRESH : MOVE_SEQUENCE;
    const bytes = encodeAttributes({
      origin: 'igp',
      asPath: '',
      ...(fresh && { localPref: this.#settings.freshPreference }),
      largeCommunities: [`${confederation?.id ?? asn}:${kind}:${sequence}`],
    });
    this.#attributes = { key, bytes };
    return bytes;
  }

  #partsOf(address: Uint8Array): Pick<Rib, 'paths' | 'prefixes' | 'pool'> & { id: number } {
    const rib = this.#router.ribs[familyOf(address)]!;
    return { paths: rib.paths, prefixes: rib.prefixes, pool: rib.pool, id: findHost(rib, address) };
  }
}

/** The highest move sequence among usable paths of others. */
function highestOf({ paths, prefixes, pool, decision }: Rib, id: number): number {
  let highest = NOBODY;
  for (let path = prefixes.firstPath[id]!; path !== 0; path = paths.next[path]!)
    if (paths.peer[path] !== LOCAL_PEER && decision.isUsable(path))
      highest = Math.max(highest, pool.moveSequence[paths.attrId[path]!]!);
  return highest;
}

function heardOf(sequence: number): Heard | undefined {
  return sequence === NOBODY ? undefined : { sequence };
}

function keyOf(address: Uint8Array): string {
  return address.join('.');
}

function familyOf(address: Uint8Array): typeof IPV4 | typeof IPV6 {
  return address.length === 4 ? IPV4 : IPV6;
}

function wordsOf(address: Uint8Array): [number, number, number, number] {
  const a = readU32(address, 0);
  return address.length === 4
    ? [a, 0, 0, 0]
    : [a, readU32(address, 4), readU32(address, 8), readU32(address, 12)];
}

function findHost(rib: Rib, address: Uint8Array): number {
  return rib.find(...wordsOf(address), address.length * 8);
}
