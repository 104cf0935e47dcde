// What goes out to whom: keeps the update groups of the rib, puts every Established peer into the group that fits
// what it negotiated and its export policy, carries chunks to the sessions and End-of-RIB behind the first dump.
//
// A socket that is full makes its group wait for a moment, because the others of the group are mostly as fast and
// encode once; one that stays full is split off and catches up alone. A peer that changes groups in mid-session
// (another policy, by reload) is given the new routes first and then told which of the old ones are gone.

import type { CompiledPolicy } from '../policy/program.ts';
import { pathIdFor, type SentPath } from '../rib/adj-rib-out.ts';
import type { ExportOptions } from '../rib/export-options.ts';
import { exportReasonNames } from '../rib/export-options.ts';
import type { Rib } from '../rib/rib.ts';
import type { RouteFilter } from '../rib/route-filter.ts';
import { UpdateGroup } from '../rib/update-group.ts';
import type { Negotiated } from '../session/negotiate.ts';
import { familiesIn, IPV6 } from '../wire/bgp/family.ts';
import { MESSAGE_LENGTH_MAX } from '../wire/bgp/header.ts';
import { encodeRouteRefresh, REFRESH_BEGIN, REFRESH_END } from '../wire/bgp/refresh.ts';
import { messageLengthAt, UpdateWriter } from '../wire/bgp/update-writer.ts';
import { familySettings, type RedistributeRule } from './config.ts';
import { DefaultRoutes } from './default-routes.ts';
import { exportOptionsOf, nextHopTowards } from './export-terms.ts';
import type { Peer } from './peer.ts';
import type { Router } from './router.ts';

/** How long a group waits for a full socket before the member goes its own way. */
const PATIENCE_MS = 100;
/** For so long after that nobody waits for it again: a member that stalls over and over must not pace the others. */
const HASTE_MS = 60_000;

type Send = (peer: Peer, bytes: Uint8Array, length: number, count: number) => boolean;

/** A peer in a group. */
interface Place {
  kept: Kept;
  group: UpdateGroup;
  member: number;
  nextHop: Uint8Array;
  /** It has all that was there when it joined, or asked for it again. */
  isDumped: boolean;
  /** Prefixes of the group the peer came from, held; withdrawn once the new ones are out. */
  leftover: number[];
  /** The path identifier of each, where ADD-PATH was negotiated. */
  leftoverPaths: number[];
}

/** What a peer is told of one family. */
interface Stand {
  routes: Place;
  /** The default route that it gets from us in any case. */
  defaultRoute: Place | undefined;
  /** It had one, and nobody has told it since that there is none. */
  owesDefault: boolean;
  endOfRibSent: boolean;
  /** Within a refresh that the peer was told the beginning of (RFC 7313). */
  refreshing: boolean;
}

interface Kept {
  key: string;
  group: UpdateGroup;
  /** Something happened to it: the next flush looks at it. */
  isStirred: boolean;
  family: number;
  filter: unknown;
  /** Its policy reads the state of origin validation. */
  readsRpki: boolean;
  /** By member index. */
  peers: (Peer | undefined)[];
}

/** What a peer has been sent of a prefix; without a next hop's id it is `selfNextHop`. */
export interface SentRoute extends SentPath {
  selfNextHop: Uint8Array;
}

export class Advertiser {
  readonly #router: Router;
  readonly #send: Send;
  readonly #groups = new Map<string, Kept>();
  /** Groups by the family of their rib; those of default routes are in none. */
  readonly #byFamily: Kept[][] = [];
  /** A turn looks at these only: with route targets there are groups by the thousand. */
  readonly #stirred: Kept[] = [];
  readonly #stands = new Map<Peer, (Stand | undefined)[]>();
  readonly #defaults: DefaultRoutes;
  /** Peers whose joining waits for the end of a graceful restart. */
  readonly #waiting = new Map<Peer, Negotiated>();
  readonly #waitingSince = new Map<Peer, number>();
  /** Until when a peer that was too slow is split off at once. */
  readonly #hastyUntilMs = new Map<Peer, number>();
  readonly #writer = new UpdateWriter();

  constructor(router: Router, send: Send) {
    this.#router = router;
    this.#send = send;
    this.#defaults = new DefaultRoutes(router);
  }

  /** A prefix may be told: its change is decided and in the kernel. */
  enqueue(rib: Rib, prefixId: number): void {
    const groups = this.#byFamily[rib.family];
    if (groups === undefined) return;
    for (let i = 0; i < groups.length; i++) {
      const kept = groups[i]!;
      kept.group.enqueue(prefixId);
      if (!kept.isStirred) this.#stir(kept);
    }
  }

  /** What export reads of routes has changed: all of a family, or of all, are looked at again, differences are sent. */
  reconsider(family = -1): void {
    for (const kept of this.#groups.values())
      if (family < 0 || kept.family === family) this.#reconsider(kept);
  }

  /** The groups there are: for verification. */
  get groups(): UpdateGroup[] {
    return [...this.#groups.values()].map(({ group }) => group);
  }

  /** Puts an Established peer into its groups, or into others where its policy has changed. */
  join(peer: Peer, negotiated: Negotiated): void {
    if (this.#router.isSilent) {
      this.#waiting.set(peer, negotiated);
      return;
    }
    for (const family of familiesIn(negotiated.families)) this.#joinFamily(peer, negotiated, family);
  }

  /** The peer is gone. */
  leave(peer: Peer): void {
    this.#waiting.delete(peer);
    this.#waitingSince.delete(peer);
    this.#hastyUntilMs.delete(peer);
    for (const place of this.#placesOf(peer)) this.#vacate(place);
    this.#stands.delete(peer);
  }

  /** Groups whose policy reads the state of origin validation look at everything again. */
  originsJudgedAnew(): void {
    for (const kept of this.#groups.values()) if (kept.readsRpki) this.#reconsider(kept);
  }

  /** What a peer wants of the route targets has changed (RFC 4684). */
  targetsChanged(peer: Peer): void {
    for (const { kept, group } of this.#placesOf(peer))
      if (group.stage.options.rtFilter !== undefined) this.#reconsider(kept);
  }

  /** The restart is over: everybody hears everything, and End-of-RIB behind it. */
  breakSilence(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [peer, negotiated] of waiting) this.join(peer, negotiated);
  }

  /** The peer's socket takes bytes again. */
  writable(peer: Peer): void {
    this.#waitingSince.delete(peer);
    for (const { kept, group, member } of this.#placesOf(peer)) {
      group.setFlow(member, 'open');
      this.#stir(kept);
    }
  }

  /** Sends everything of a family again (RFC 2918). */
  resend(peer: Peer, family: number): void {
    const stand = this.#stands.get(peer)?.[family];
    if (stand === undefined) return;
    // Not before End-of-RIB, and one beginning for as many requests as come until the end (RFC 7313 section 4).
    if (peer.negotiated?.enhancedRouteRefresh === true && stand.endOfRibSent && !stand.refreshing) {
      stand.refreshing = true;
      this.#deliver(peer, encodeRouteRefresh(family, REFRESH_BEGIN));
    }
    for (const place of placesIn(stand)) {
      place.isDumped = false;
      place.group.refresh(place.member);
      this.#stir(place.kept);
    }
  }

  /** Sends a slice of what waits; returns whether there is more to do now. */
  flush(budget: number): boolean {
    this.#splitTheSlow();
    let left = 0;
    // What is stirred while this goes on comes behind, and is looked at in its turn.
    for (let i = 0; i < this.#stirred.length; i++) {
      const kept = this.#stirred[i]!;
      if (kept.group.flush(budget)) this.#stirred[left++] = kept;
      else {
        kept.isStirred = false;
        if (kept.group.isEmpty) this.#forget(kept);
      }
    }
    this.#stirred.length = left;
    return left > 0;
  }

  /** When a full socket has to be looked at again, or Infinity. */
  nextDeadlineMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const since of this.#waitingSince.values()) earliest = Math.min(earliest, since + PATIENCE_MS);
    return earliest;
  }

  // ---- views ----

  advertisedCount(peer: Peer, family: number): number {
    const stand = this.#stands.get(peer)?.[family];
    let count = 0;
    if (stand !== undefined)
      for (const place of placesIn(stand)) count += place.group.routeCountOf(place.member);
    return count;
  }

  hasSentEndOfRib(peer: Peer, family: number): boolean {
    return this.#stands.get(peer)?.[family]?.endOfRibSent === true;
  }

  /** Whether the peer has a default route from us that no route of ours stands behind. */
  hasOwnDefault(peer: Peer, family: number): boolean {
    const place = this.#stands.get(peer)?.[family]?.defaultRoute;
    return place !== undefined && place.group.routeCountOf(place.member) > 0;
  }

  /** The default route of its own that the peer has been told, in the rib it lies in; undefined where there is none. */
  ownDefaultOf(peer: Peer, family: number): { rib: Rib; prefixId: number; sent: SentRoute } | undefined {
    const place = this.#stands.get(peer)?.[family]?.defaultRoute;
    if (place === undefined) return undefined;
    const { group, member, nextHop } = place;
    const prefixId = group.rib.nextPrefix(0);
    const path = prefixId < 0 ? undefined : group.sentPaths(member, prefixId)[0];
    return path && { rib: group.rib, prefixId, sent: { ...path, selfNextHop: addressIn(nextHop) } };
  }

  /** What the peer with this index has of a prefix, or undefined; with ADD-PATH the best of it. */
  sentTo(peerIndex: number, rib: Rib, prefixId: number): SentRoute | undefined {
    return this.sentPathsTo(peerIndex, rib, prefixId)[0];
  }

  /** All that the peer with this index has of a prefix: with ADD-PATH several paths, best first; ids are borrowed. */
  sentPathsTo(peerIndex: number, rib: Rib, prefixId: number): SentRoute[] {
    const peer = this.#router.directory.byIndex[peerIndex];
    const place = peer && this.#stands.get(peer)?.[rib.family]?.routes;
    if (place === undefined) return [];
    const { group, member, nextHop } = place;
    const selfNextHop = addressIn(nextHop);
    return group.sentPaths(member, prefixId).map((path) => ({ ...path, selfNextHop }));
  }

  /** Why the peer has the prefix or not: a code of `exportReasonNames`. */
  explain(peer: Peer, rib: Rib, prefixId: number): string {
    const place = this.#stands.get(peer)?.[rib.family]?.routes;
    if (place === undefined) return 'noSession';
    return exportReasonNames[place.group.explain(place.member, prefixId)]!;
  }

  // ---- the inside ----

  #placesOf(peer: Peer): Place[] {
    const places: Place[] = [];
    for (const stand of this.#stands.get(peer) ?? [])
      if (stand !== undefined) places.push(...placesIn(stand));
    return places;
  }

  #joinFamily(peer: Peer, negotiated: Negotiated, family: number): void {
    const stands = this.#stands.get(peer) ?? [];
    this.#stands.set(peer, stands);
    const before = stands[family];
    const routes = this.#takePlace(peer, negotiated, family, before?.routes);
    const given = family > IPV6 ? undefined : familySettings(peer.config, family).defaultOriginate;
    let defaultRoute: Place | undefined;
    let owesDefault = before?.owesDefault === true;
    if (given !== undefined) {
      defaultRoute = this.#takePlace(peer, negotiated, family, before?.defaultRoute, given);
      owesDefault = false;
    } else if (before?.defaultRoute !== undefined) {
      this.#vacate(before.defaultRoute);
      owesDefault = true;
    }
    stands[family] = {
      routes,
      defaultRoute,
      owesDefault,
      endOfRibSent: before?.endOfRibSent === true,
      refreshing: before?.refreshing === true,
    };
  }

  /** The place of a peer among the routes of a family, or (`given`) among those that have a default route from us. */
  #takePlace(
    peer: Peer,
    negotiated: Negotiated,
    family: number,
    before: Place | undefined,
    given?: RedistributeRule,
  ): Place {
    const { filters, config, ownAddresses, ribs } = this.#router;
    const nextHop = nextHopTowards(config, ownAddresses, peer, negotiated, family);
    const options = exportOptionsOf(config, peer, negotiated, family, nextHop.length);
    let key: string;
    let filter: RouteFilter | undefined;
    let policy: CompiledPolicy | undefined;
    if (given !== undefined) {
      policy = given.policy;
      key = JSON.stringify([family, options, 'defaultOriginate', policy?.name ?? null]);
      filter = filters.filterOf(policy, family);
    } else {
      const choice = filters.exportChoice(peer, negotiated.internal || negotiated.confederation, family);
      const { name, ownOnly, rejectsAll, noDefault } = choice;
      const rtFilter = this.#router.routeTargets.filterFor(peer, negotiated, family);
      policy = choice.policy;
      // Nobody else wants the same route targets.
      const own = rtFilter === undefined ? -1 : peer.index;
      key = JSON.stringify([family, options, name, ownOnly, rejectsAll, noDefault === true, own]);
      filter = filters.exportFor(peer, negotiated, family);
      if (rtFilter !== undefined) options.rtFilter = rtFilter;
    }
    let kept = this.#groups.get(key);
    if (kept === undefined) {
      const rib = given === undefined ? ribs[family]! : this.#defaults.ribOf(family);
      kept = this.#newGroup(key, rib, options, filter, policy?.readsRpki === true);
    } else if (kept.filter !== filter) {
      kept.filter = filter;
      kept.readsRpki = policy?.readsRpki === true;
      kept.group.setFilter(filter);
      this.#stir(kept);
    }
    if (before?.kept === kept) return before;
    const left = before === undefined ? { leftover: [], leftoverPaths: [] } : this.#takeLeftover(before);
    const member = kept.group.join(peer.index, nextHop);
    this.#stir(kept);
    kept.peers[member] = peer;
    return { kept, group: kept.group, member, nextHop, isDumped: false, ...left };
  }

  #newGroup(
    key: string,
    rib: Rib,
    options: ExportOptions,
    filter: RouteFilter | undefined,
    readsRpki: boolean,
  ): Kept {
    const { family } = rib;
    const peers: (Peer | undefined)[] = [];
    const group: UpdateGroup = new UpdateGroup(rib, options, filter, {
      send: (member, bytes) => this.#deliver(peers[member]!, bytes),
      dumped: (member) => this.#dumped(peers[member]!, family, group),
    });
    const kept: Kept = { key, group, isStirred: false, family, filter, readsRpki, peers };
    this.#groups.set(key, kept);
    if (rib === this.#router.ribs[family]) {
      const groups = this.#byFamily[family] ?? [];
      groups.push(kept);
      this.#byFamily[family] = groups;
    }
    return kept;
  }

  #forget(kept: Kept): void {
    this.#groups.delete(kept.key);
    const groups = this.#byFamily[kept.family];
    const at = groups?.indexOf(kept) ?? -1;
    if (at >= 0) groups!.splice(at, 1);
  }

  #stir(kept: Kept): void {
    if (kept.isStirred) return;
    kept.isStirred = true;
    this.#stirred.push(kept);
  }

  #reconsider(kept: Kept): void {
    kept.group.reconsider();
    this.#stir(kept);
  }

  #deliver(peer: Peer, bytes: Uint8Array): void {
    let count = 0;
    for (let at = 0; at < bytes.length; at += messageLengthAt(bytes, at)) count++;
    if (this.#send(peer, bytes, bytes.length, count)) return;
    if (this.#waitingSince.has(peer)) return;
    const nowMs = this.#router.nowMs;
    const isHasty = nowMs < (this.#hastyUntilMs.get(peer) ?? 0);
    if (!isHasty) this.#waitingSince.set(peer, nowMs);
    for (const { group, member } of this.#placesOf(peer))
      group.setFlow(member, isHasty && group.memberCount > 1 ? 'split' : 'wait');
  }

  #splitTheSlow(): void {
    if (this.#waitingSince.size === 0) return;
    const nowMs = this.#router.nowMs;
    for (const [peer, since] of this.#waitingSince) {
      if (nowMs < since + PATIENCE_MS) continue;
      this.#waitingSince.delete(peer);
      this.#hastyUntilMs.set(peer, nowMs + HASTE_MS);
      for (const { kept, group, member } of this.#placesOf(peer)) {
        if (group.memberCount > 1) group.setFlow(member, 'split');
        this.#stir(kept);
      }
    }
  }

  #dumped(peer: Peer, family: number, group: UpdateGroup): void {
    const stand = this.#stands.get(peer)?.[family];
    if (stand === undefined) return;
    const { routes, defaultRoute } = stand;
    if (routes.group === group) routes.isDumped = true;
    else if (defaultRoute?.group === group) defaultRoute.isDumped = true;
    if (!routes.isDumped || defaultRoute?.isDumped === false) return;
    this.#settle(peer, family, stand);
    if (stand.refreshing) {
      stand.refreshing = false;
      this.#deliver(peer, encodeRouteRefresh(family, REFRESH_END));
    }
    if (stand.endOfRibSent) return;
    stand.endOfRibSent = true;
    this.#writer.begin(MESSAGE_LENGTH_MAX, true);
    this.#writer.endOfRib(family);
    this.#deliver(peer, this.#writer.bytes.slice(0, this.#writer.length));
    this.#writer.reset();
  }

  #vacate(place: Place): void {
    const { kept, group, member } = place;
    group.leave(member);
    this.#stir(kept);
    kept.peers[member] = undefined;
    for (const id of place.leftover) group.rib.unhold(id);
    place.leftover = [];
    place.leftoverPaths = [];
  }

  /** Leaves a group in mid-session: remembers, and holds, what the peer had of it. */
  #takeLeftover(place: Place): Pick<Place, 'leftover' | 'leftoverPaths'> {
    const { group, member, leftover, leftoverPaths } = place;
    const { rib } = group;
    const hasPaths = group.stage.options.addPath !== undefined;
    place.leftover = [];
    place.leftoverPaths = [];
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      if (!group.hasSent(member, id)) continue;
      const paths = hasPaths ? group.sentPaths(member, id) : [undefined];
      for (const path of paths) {
        rib.hold(id);
        leftover.push(id);
        if (path !== undefined) leftoverPaths.push(path.pathId);
      }
    }
    this.#vacate(place);
    return { leftover, leftoverPaths };
  }

  /**
   * Takes back what the peer had from the groups it was in, and has not been told anew. A default route of one kind
   * takes the place of one of the other: with ADD-PATH, of the one with its identifier.
   */
  #settle(peer: Peer, family: number, stand: Stand): void {
    const { routes, defaultRoute } = stand;
    const { rib } = routes.group;
    const given = defaultRoute === undefined ? [] : defaultsIn(defaultRoute, family);
    const isGiven = (id: number, pathId: number): boolean =>
      given.includes(pathId) && rib.table.length[id] === 0;
    const hadLeftover = routes.leftover.length > 0;
    this.#withdrawLeftover(peer, family, routes, isGiven);
    // What is new came before what is gone: a peer that takes so many paths and no more may have refused it.
    if (hadLeftover && (peer.negotiated?.pathsLimit[family] ?? 0) !== 0) {
      routes.isDumped = false;
      routes.group.refresh(routes.member);
      this.#stir(routes.kept);
    }
    const others = defaultsIn(routes, family);
    if (defaultRoute !== undefined)
      this.#withdrawLeftover(peer, family, defaultRoute, (_id, pathId) => others.includes(pathId));
    if (!stand.owesDefault) return;
    stand.owesDefault = false;
    const owed = this.#defaults.ribOf(family);
    const id = owed.nextPrefix(0);
    const hasPaths = routes.group.stage.options.addPath !== undefined;
    const pathId = hasPaths ? pathIdFor(owed, owed.prefixes.bestPath[id]!) : 0;
    if (!others.includes(pathId)) this.#withdraw(peer, family, routes, owed, [id, pathId]);
  }

  #withdrawLeftover(
    peer: Peer,
    family: number,
    place: Place,
    stays: (id: number, pathId: number) => boolean,
  ): void {
    const { group, member, leftover, leftoverPaths } = place;
    if (leftover.length === 0) return;
    place.leftover = [];
    place.leftoverPaths = [];
    const { rib } = group;
    const hasPaths = leftoverPaths.length > 0;
    const isTold = (id: number, pathId: number): boolean =>
      hasPaths
        ? group.sentPaths(member, id).some((path) => path.pathId === pathId)
        : group.hasSent(member, id);
    const gone: number[] = [];
    for (let i = 0; i < leftover.length; i++) {
      const id = leftover[i]!;
      const pathId = leftoverPaths[i] ?? 0;
      if (!isTold(id, pathId) && !stays(id, pathId)) gone.push(id, pathId);
    }
    this.#withdraw(peer, family, place, rib, gone);
    for (const id of leftover) rib.unhold(id);
  }

  /** `gone`: prefix and path identifier by turns. */
  #withdraw(peer: Peer, family: number, place: Place, rib: Rib, gone: readonly number[]): void {
    const writer = this.#writer;
    const { options } = place.group.stage;
    writer.begin(options.maxMessage, options.asn4);
    writer.beginUnreach(family, options.nextHopLength !== 4, options.addPath !== undefined);
    const ship = (): void => {
      if (writer.length > 0) this.#deliver(peer, writer.bytes.slice(0, writer.length));
      writer.reset();
    };
    for (let i = 0; i < gone.length; i += 2)
      if (!rib.writeNlri(writer, gone[i]!, 0, gone[i + 1]!)) {
        ship();
        rib.writeNlri(writer, gone[i]!, 0, gone[i + 1]!);
      }
    writer.finish();
    ship();
  }
}

/** The identifiers of the default routes that a peer has of a place; 0 without ADD-PATH. */
function defaultsIn({ group, member }: Place, family: number): number[] {
  const id = family > IPV6 ? -1 : group.rib.find(0, 0, 0, 0, 0);
  return id < 0 ? [] : group.sentPaths(member, id).map(({ pathId }) => pathId);
}

function placesIn({ routes, defaultRoute }: Stand): Place[] {
  return defaultRoute === undefined ? [routes] : [routes, defaultRoute];
}

/** In 32 bytes the first 16 are the address (RFC 2545). */
function addressIn(nextHop: Uint8Array): Uint8Array {
  return nextHop.length === 32 ? nextHop.subarray(0, 16) : nextHop;
}
