// What goes out to whom: keeps the update groups of the rib, puts every Established peer into the group that fits
// what it negotiated and its export policy, carries chunks to the sessions and End-of-RIB behind the first dump.
//
// A socket that is full makes its group wait for a moment, because the others of the group are mostly as fast and
// encode once; one that stays full is split off and catches up alone. A peer that changes groups in mid-session
// (another policy, by reload) is given the new routes first and then told which of the old ones are gone.

import type { ExportOptions } from '../rib/export-stage.ts';
import { exportReasonNames } from '../rib/export-stage.ts';
import type { Rib } from '../rib/rib.ts';
import { UpdateGroup } from '../rib/update-group.ts';
import type { Negotiated } from '../session/negotiate.ts';
import { families, familiesIn, IPV4 } from '../wire/bgp/family.ts';
import { EXTENDED_MESSAGE_LENGTH_MAX, MESSAGE_LENGTH_MAX } from '../wire/bgp/header.ts';
import { encodeRouteRefresh, REFRESH_BEGIN, REFRESH_END } from '../wire/bgp/refresh.ts';
import { messageLengthAt, UpdateWriter } from '../wire/bgp/update-writer.ts';
import type { Peer } from './peer.ts';
import type { Router } from './router.ts';

/** How long a group waits for a full socket before the member goes its own way. */
const PATIENCE_MS = 100;

type Send = (peer: Peer, bytes: Uint8Array, length: number, count: number) => boolean;

interface Place {
  key: string;
  group: UpdateGroup;
  member: number;
  nextHop: Uint8Array;
  endOfRibSent: boolean;
  /** Within a refresh that the peer was told the beginning of (RFC 7313). */
  refreshing: boolean;
  /** Prefixes of the group the peer came from, held; withdrawn once the new ones are out. */
  leftover: number[];
}

interface Kept {
  group: UpdateGroup;
  family: number;
  filter: unknown;
  /** By member index. */
  peers: (Peer | undefined)[];
}

/** What a peer has been sent of a prefix. */
export interface SentRoute {
  attrId: number;
  /** 0 for `selfNextHop`. */
  nextHopId: number;
  selfNextHop: Uint8Array;
}

export class Advertiser {
  readonly #router: Router;
  readonly #send: Send;
  readonly #groups = new Map<string, Kept>();
  readonly #places = new Map<Peer, (Place | undefined)[]>();
  /** Peers whose joining waits for the end of a graceful restart. */
  readonly #waiting = new Map<Peer, Negotiated>();
  readonly #waitingSince = new Map<Peer, number>();
  readonly #writer = new UpdateWriter();

  constructor(router: Router, send: Send) {
    this.#router = router;
    this.#send = send;
  }

  /** A prefix may be told: its change is decided and in the kernel. */
  enqueue(rib: Rib, prefixId: number): void {
    for (const kept of this.#groups.values()) if (kept.group.rib === rib) kept.group.enqueue(prefixId);
  }

  /** What export reads of a peer's routes has changed: everything is looked at again, differences are sent. */
  reconsider(): void {
    for (const { group } of this.#groups.values()) group.reconsider();
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
    for (const place of this.#places.get(peer) ?? []) if (place !== undefined) this.#vacate(place);
    this.#places.delete(peer);
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
    for (const place of this.#places.get(peer) ?? []) place?.group.setFlow(place.member, 'open');
  }

  /** Sends everything of a family again (RFC 2918). */
  resend(peer: Peer, family: number): void {
    const place = this.#places.get(peer)?.[family];
    if (place === undefined) return;
    // Not before End-of-RIB, and one beginning for as many requests as come until the end (RFC 7313 section 4).
    if (peer.negotiated?.enhancedRouteRefresh === true && place.endOfRibSent && !place.refreshing) {
      place.refreshing = true;
      this.#deliver(peer, encodeRouteRefresh(family, REFRESH_BEGIN));
    }
    place.group.refresh(place.member);
  }

  /** Sends a slice of what waits; returns whether there is more to do now. */
  flush(budget: number): boolean {
    this.#splitTheSlow();
    let more = false;
    for (const [key, { group }] of this.#groups) {
      if (group.flush(budget)) more = true;
      else if (group.isEmpty) this.#groups.delete(key);
    }
    return more;
  }

  /** When a full socket has to be looked at again, or Infinity. */
  nextDeadlineMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const since of this.#waitingSince.values()) earliest = Math.min(earliest, since + PATIENCE_MS);
    return earliest;
  }

  // ---- views ----

  advertisedCount(peer: Peer, family: number): number {
    const place = this.#places.get(peer)?.[family];
    return place === undefined ? 0 : place.group.routeCountOf(place.member);
  }

  hasSentEndOfRib(peer: Peer, family: number): boolean {
    return this.#places.get(peer)?.[family]?.endOfRibSent === true;
  }

  /** What the peer with this index has of a prefix, or undefined. */
  sentTo(peerIndex: number, rib: Rib, prefixId: number): SentRoute | undefined {
    const peer = this.#router.directory.byIndex[peerIndex];
    const place = peer && this.#places.get(peer)?.[rib.family];
    if (place === undefined || !place.group.hasSent(place.member, prefixId)) return undefined;
    return {
      attrId: place.group.attrOut(prefixId),
      nextHopId: place.group.nextHopOut(prefixId),
      selfNextHop: place.nextHop,
    };
  }

  /** Why the peer has the prefix or not: a code of `exportReasonNames`. */
  explain(peer: Peer, rib: Rib, prefixId: number): string {
    const place = this.#places.get(peer)?.[rib.family];
    if (place === undefined) return 'noSession';
    return exportReasonNames[place.group.explain(place.member, prefixId)]!;
  }

  // ---- the inside ----

  #joinFamily(peer: Peer, negotiated: Negotiated, family: number): void {
    const nextHop = this.#nextHopTowards(peer, negotiated, family);
    const options = this.#options(peer, negotiated, nextHop);
    const choice = this.#router.filters.exportChoice(peer, negotiated.internal);
    const key = JSON.stringify([family, options, choice.name, choice.ownOnly, choice.rejectsAll]);
    const filter = this.#router.filters.exportFor(peer, negotiated, family);
    let kept = this.#groups.get(key);
    if (kept === undefined) {
      kept = this.#newGroup(family, options, filter);
      this.#groups.set(key, kept);
    } else if (kept.filter !== filter) {
      kept.filter = filter;
      kept.group.setFilter(filter);
    }
    const places = this.#places.get(peer) ?? [];
    this.#places.set(peer, places);
    const before = places[family];
    if (before?.key === key) return;
    const leftover = before === undefined ? [] : this.#takeLeftover(before);
    const member = kept.group.join(peer.index, nextHop);
    kept.peers[member] = peer;
    places[family] = {
      key,
      group: kept.group,
      member,
      nextHop,
      endOfRibSent: before?.endOfRibSent === true,
      refreshing: before?.refreshing === true,
      leftover,
    };
  }

  #newGroup(
    family: number,
    options: ExportOptions,
    filter: ReturnType<Router['filters']['exportFor']>,
  ): Kept {
    const peers: (Peer | undefined)[] = [];
    const group = new UpdateGroup(this.#router.ribs[family]!, options, filter, {
      send: (member, bytes) => this.#deliver(peers[member]!, bytes),
      dumped: (member) => this.#dumped(peers[member]!, family),
    });
    return { group, family, filter, peers };
  }

  #options(peer: Peer, negotiated: Negotiated, nextHop: Uint8Array): ExportOptions {
    const { config } = this.#router;
    return {
      kind: negotiated.internal ? 'internal' : 'external',
      localAsn: config.asn,
      rrClients: negotiated.internal && peer.config.routeReflectorClient,
      clusterId: config.clusterId ?? config.bgpId,
      nextHopSelf: peer.config.nextHopSelf,
      nextHopLength: nextHop.length,
      asn4: negotiated.asn4,
      maxMessage: negotiated.extendedMessage ? EXTENDED_MESSAGE_LENGTH_MAX : MESSAGE_LENGTH_MAX,
    };
  }

  /**
   * Our own address towards the peer: the near end of the session. Where that is of the other family, IPv4 goes
   * over IPv6 if RFC 8950 was negotiated; else the address of the route's family on the same link is told, and where
   * there is none the router id, or the mapped address.
   */
  #nextHopTowards(peer: Peer, negotiated: Negotiated, family: number): Uint8Array {
    const local = peer.established!.local!;
    const four = families[family]!.addressLength === 4;
    if (four === (local.length === 4)) return local;
    const beside = this.#router.ownAddresses.beside(local, peer.ifindex, four ? 4 : 16);
    if (!four) {
      if (beside !== undefined) return beside;
      const mapped = new Uint8Array(16);
      mapped.set([0xff, 0xff, ...local], 10);
      return mapped;
    }
    if ((negotiated.extendedNextHop & (1 << IPV4)) !== 0) return local;
    if (beside !== undefined) return beside;
    const { bgpId } = this.#router.config;
    return new Uint8Array([bgpId >>> 24, bgpId >>> 16, bgpId >>> 8, bgpId]);
  }

  #deliver(peer: Peer, bytes: Uint8Array): void {
    let count = 0;
    for (let at = 0; at < bytes.length; at += messageLengthAt(bytes, at)) count++;
    if (this.#send(peer, bytes, bytes.length, count)) return;
    if (this.#waitingSince.has(peer)) return;
    this.#waitingSince.set(peer, this.#router.nowMs);
    for (const place of this.#places.get(peer) ?? []) place?.group.setFlow(place.member, 'wait');
  }

  #splitTheSlow(): void {
    const nowMs = this.#router.nowMs;
    for (const [peer, since] of this.#waitingSince) {
      if (nowMs < since + PATIENCE_MS) continue;
      this.#waitingSince.delete(peer);
      for (const place of this.#places.get(peer) ?? [])
        if (place !== undefined && place.group.memberCount > 1) place.group.setFlow(place.member, 'split');
    }
  }

  #dumped(peer: Peer, family: number): void {
    const place = this.#places.get(peer)?.[family];
    if (place === undefined) return;
    this.#withdrawLeftover(peer, family, place);
    if (place.refreshing) {
      place.refreshing = false;
      this.#deliver(peer, encodeRouteRefresh(family, REFRESH_END));
    }
    if (place.endOfRibSent) return;
    place.endOfRibSent = true;
    this.#writer.begin(MESSAGE_LENGTH_MAX, true);
    this.#writer.endOfRib(family);
    this.#deliver(peer, this.#writer.bytes.slice(0, this.#writer.length));
    this.#writer.reset();
  }

  #vacate(place: Place): void {
    const kept = this.#groups.get(place.key);
    place.group.leave(place.member);
    if (kept !== undefined) kept.peers[place.member] = undefined;
    for (const id of place.leftover) place.group.rib.unhold(id);
    place.leftover = [];
  }

  /** Leaves a group in mid-session: remembers, and holds, what the peer had of it. */
  #takeLeftover(place: Place): number[] {
    const { rib } = place.group;
    const ids = place.leftover;
    place.leftover = [];
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      if (!place.group.hasSent(place.member, id)) continue;
      rib.hold(id);
      ids.push(id);
    }
    this.#vacate(place);
    return ids;
  }

  #withdrawLeftover(peer: Peer, family: number, place: Place): void {
    const { group, member, leftover } = place;
    if (leftover.length === 0) return;
    place.leftover = [];
    const { rib } = group;
    const { address, length, words } = rib.table;
    const writer = this.#writer;
    const { options } = group.stage;
    writer.begin(options.maxMessage, options.asn4);
    writer.beginUnreach(family, options.nextHopLength !== 4);
    const add = (id: number): boolean => {
      if (words === 1) return writer.addIp4(address[id]!, length[id]!);
      const at = id * 4;
      return writer.addIp6(address[at]!, address[at + 1]!, address[at + 2]!, address[at + 3]!, length[id]!);
    };
    const ship = (): void => {
      if (writer.length > 0) this.#deliver(peer, writer.bytes.slice(0, writer.length));
      writer.reset();
    };
    for (const id of leftover) {
      if (!group.hasSent(member, id) && !add(id)) {
        ship();
        add(id);
      }
      rib.unhold(id);
    }
    writer.finish();
    ship();
  }
}
