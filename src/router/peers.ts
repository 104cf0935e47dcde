// The life of peers: made by configuration, by an interface that matches, or by a stranger from a range; following
// the neighbour an interface has; started when they can be reached, stopped, changed by another configuration, and
// gone, with their index in the rib free again once the ribs have forgotten their paths. Who calls and is nobody's
// neighbour is refused before anything is kept of the call.
//
// A turn looks only at peers that something happened to (`touch`), not at all of them.

import { Deadlines } from '../lib/deadlines.ts';
import { formatIp, sameIp } from '../net/ip.ts';
import type { StopCause } from '../session/reason.ts';
import { FailedCallers, type Refusal, Refusals, refusalText } from './callers.ts';
import type { PeerConfig, RangePeer } from './config.ts';
import { sameSession } from './config.ts';
import { addressPeerName, type Link, nameOfConfig } from './directory.ts';
import { Keys } from './keys.ts';
import { hopsFor, hopsOf, isOnLink } from './offer.ts';
import { isEnabled, newPeer, type Peer } from './peer.ts';
import type { Arrival, RouterPorts } from './ports.ts';
import { isRefused, resetsNow } from './reset-reasons.ts';
import { type KernelRoute, maskInto } from './resolver.ts';
import type { Router } from './router.ts';

/** Peers of a range that may have connected without having come up; beyond that strangers wait. */
const HALF_OPEN_MAX = 2048;

/** Where a new peer is. */
interface Place {
  remote?: Uint8Array;
  ifindex?: number;
  interfaceName?: string;
  dynamic: boolean;
}

export class Peers {
  readonly #router: Router;
  readonly #ports: RouterPorts;
  readonly #keys: Keys;
  /** Removed, but the ribs still have paths of them. */
  readonly #leaving = new Set<Peer>();
  /** Something happened to them: `tidyUp` looks at them. */
  readonly #touched = new Set<Peer>();
  /** Ends of pauses, by index in the peer table. */
  readonly #holds = new Deadlines();
  readonly #failed = new FailedCallers();
  readonly refusals = new Refusals();

  constructor(router: Router, ports: RouterPorts) {
    this.#router = router;
    this.#ports = ports;
    this.#keys = new Keys(ports);
  }

  isLeaving(peer: Peer): boolean {
    return this.#leaving.has(peer);
  }

  // ---- configuration ----

  /** Brings the peers in line with the configuration that the directory has been given. */
  reconfigure(applied: (peer: Peer) => void): void {
    const { directory } = this.#router;
    for (const peer of [...directory.byName.values()]) this.#reconfigure(peer, applied);
    directory.recount();
    for (const config of directory.configs)
      if (config.kind === 'address' && !directory.byName.has(nameOfConfig(config)))
        this.#addByAddress(config);
    for (const link of [...directory.links.values()]) this.matchLink(link);
    this.#keys.touch();
    this.#keys.follow(directory);
  }

  #reconfigure(peer: Peer, applied: (peer: Peer) => void): void {
    const config = this.#router.directory.configFor(peer);
    // A peer of another kind under the same name is another peer.
    if (config === undefined || config.kind !== peer.config.kind) {
      this.remove(peer, 'deconfigured');
      return;
    }
    const old = peer.config;
    peer.config = config;
    const { sessions, restart } = this.#router;
    if (config.gracefulRestart === 'off') restart.forget(peer);
    if (config.shutdown && !old.shutdown) {
      sessions.stop(peer, 'adminDown', config.shutdownText);
      restart.forget(peer);
    } else if (peer.established !== undefined) this.#changeLive(peer, old, applied);
    else if (!sameSession(old, config)) sessions.stop(peer, 'configurationChanged');
    this.startIfPossible(peer);
  }

  /** A session that is up goes on, unless what it was negotiated from no longer holds. */
  #changeLive(peer: Peer, old: PeerConfig, applied: (peer: Peer) => void): void {
    const { sessions, restart, liveness, config: routerConfig } = this.#router;
    const { config } = peer;
    const next = sessions.configOf(peer);
    const reasons = resetsNow(peer, old, next);
    if (reasons.length > 0) {
      const refused = isRefused(peer, next);
      sessions.stop(peer, 'configurationChanged', reasons.join(', '));
      if (refused) restart.forget(peer);
      return;
    }
    const { password, ttlSecurity, multihop } = config;
    if (old.password !== password || old.ttlSecurity !== ttlSecurity || old.multihop !== multihop)
      sessions.tune(peer, { ...hopsOf(routerConfig, peer), password: password ?? null });
    applied(peer);
    liveness.follow(peer);
  }

  #addByAddress(config: PeerConfig & { kind: 'address' }): void {
    const { interface: name } = config;
    const link = name === undefined ? undefined : this.#router.directory.linkNamed(name);
    const place: Place = { remote: config.address, ifindex: link?.ifindex ?? 0, dynamic: false };
    this.add(config, nameOfConfig(config), name === undefined ? place : { ...place, interfaceName: name });
  }

  // ---- coming and going ----

  add(config: PeerConfig, name: string, place: Place): Peer {
    const { peerTable, directory, sessions, nowMs } = this.#router;
    const address = place.remote ?? new Uint8Array(16);
    const scope = place.ifindex ?? 0;
    const index = peerTable.add({ kind: 'external', asn: 0, bgpId: 0, address, scope });
    const peer = newPeer(index, name, config, place, nowMs);
    directory.add(peer);
    sessions.add(peer);
    this.#touched.add(peer);
    if (config.password !== undefined) this.#keys.touch();
    this.#ports.event({ kind: 'peerAdded', peer: name });
    this.startIfPossible(peer);
    return peer;
  }

  remove(peer: Peer, cause: StopCause): void {
    if (this.#leaving.has(peer)) return;
    const { directory, sessions, restart, liveness } = this.#router;
    this.#leaving.add(peer);
    this.#touched.delete(peer);
    this.#holds.delete(peer.index);
    if (peer.config.kind === 'interface') this.#ports.discover(peer.ifindex, false);
    sessions.stop(peer, cause);
    sessions.remove(peer);
    restart.forget(peer);
    liveness.forget(peer);
    directory.remove(peer);
    if (peer.config.password !== undefined) this.#keys.touch();
    this.#ports.event({ kind: 'peerRemoved', peer: peer.name });
  }

  /** Something of the peer has ended, or begun to wait: `tidyUp` looks at it. */
  touch(peer: Peer): void {
    this.#touched.add(peer);
  }

  /**
   * What follows from an end: a pause that is over, another neighbour that showed up during the session that ended,
   * a stranger that nothing holds any more, a removed peer that the ribs have forgotten.
   */
  tidyUp(): void {
    const { directory, nowMs } = this.#router;
    for (let index = this.#holds.takeDue(nowMs); index >= 0; index = this.#holds.takeDue(nowMs)) {
      const peer = directory.byIndex[index];
      if (peer !== undefined) this.#touched.add(peer);
    }
    for (const peer of this.#touched) {
      this.#touched.delete(peer);
      this.#tidy(peer);
    }
    this.#keys.follow(directory);
    for (const peer of this.#leaving) {
      if (this.#router.ribs.some((rib) => !rib.isSettled(peer.index))) continue;
      this.#router.peerTable.remove(peer.index);
      this.#leaving.delete(peer);
    }
  }

  #tidy(peer: Peer): void {
    const { nowMs, directory } = this.#router;
    if (directory.byIndex[peer.index] !== peer) return;
    if (peer.heldUntilMs !== 0 && peer.heldUntilMs <= nowMs) {
      peer.heldUntilMs = 0;
      this.startIfPossible(peer);
    }
    this.#holds.set(peer.index, peer.heldUntilMs === 0 ? Number.POSITIVE_INFINITY : peer.heldUntilMs);
    if (peer.nextRemote !== undefined && peer.established === undefined) this.#follow(peer, peer.nextRemote);
    if (peer.config.kind !== 'range' || !isIdleStranger(peer)) return;
    this.#failed.remember(peer.name, peer.main.session.oscillations, peer.config.idleHoldMs, nowMs);
    this.remove(peer, 'interfaceDown');
  }

  /** The end of the earliest pause, or Infinity. */
  nextDeadlineMs(): number {
    return this.#holds.earliestMs;
  }

  // ---- reaching them ----

  /** Whether the peer could be talked to at all, whoever begins. */
  isReachable(peer: Peer): boolean {
    if (!isEnabled(peer, this.#router.nowMs) || peer.remote === undefined) return false;
    if (peer.config.kind === 'range') return false;
    return this.#isLinkUp(peer);
  }

  #isLinkUp(peer: Peer): boolean {
    // A link-local address means nothing before its interface is there.
    if (peer.ifindex === 0) return peer.remote === undefined || !isOnLink(peer.remote);
    return this.#router.directory.links.get(peer.ifindex)?.up === true;
  }

  startIfPossible(peer: Peer): void {
    if (!isEnabled(peer, this.#router.nowMs) || peer.remote === undefined) return;
    if (this.#isLinkUp(peer)) this.#router.sessions.start(peer);
  }

  /** Somebody connects to us: the peer it is, or undefined when nobody is expected from there. */
  incoming(remote: Uint8Array, ifindex: number, arrival?: Arrival): Peer | undefined {
    const { directory, nowMs } = this.#router;
    const scope = isOnLink(remote) ? ifindex : 0;
    const known = directory.byAddress(remote, scope);
    const peer = known ?? this.#strangerOf(remote, scope, arrival);
    if (typeof peer === 'string') return this.refuse(remote, peer);
    if (!isEnabled(peer, nowMs)) return this.refuse(remote, 'disabled');
    const lack = known && this.#lackOf(known.config, known.ifindex, arrival);
    if (lack !== undefined) return this.refuse(remote, lack);
    if (peer.config.kind !== 'interface' || (peer.remote !== undefined && sameIp(peer.remote, remote)))
      return peer;
    if (peer.established !== undefined) {
      peer.nextRemote = remote;
      return this.refuse(remote, 'unexpected');
    }
    // With a password the kernel knows a key for a heard neighbour only: who calls unheard has shown none.
    if (peer.config.password !== undefined) return this.refuse(remote, 'unsigned');
    this.#follow(peer, remote);
    return peer;
  }

  /** Counts a connection that is not let in, and tells of it now and then. */
  refuse(remote: Uint8Array, why: Refusal, detail?: string): undefined {
    const text = this.refusals.add(why, this.#router.nowMs, detail);
    if (text !== undefined) this.#ports.event({ kind: 'sessionRefused', peer: formatIp(remote), text });
    return undefined;
  }

  /** As `refuse`, of who is at a peer's address and is not the peer; the reason is told with the peer. */
  refuseAs(peer: Peer, why: 'otherUser' | 'noProcess', detail?: string): string {
    const text = refusalText(why, detail);
    peer.lastRefused = { atMs: this.#router.nowMs, text };
    if (peer.remote !== undefined) this.refuse(peer.remote, why, detail);
    return text;
  }

  /** A peer for a caller from a range, or why there is none. */
  #strangerOf(remote: Uint8Array, scope: number, arrival: Arrival | undefined): Peer | Refusal {
    const { directory, nowMs } = this.#router;
    const range = directory.rangeFor(remote);
    if (range === undefined) return 'stranger';
    if (range.shutdown) return 'disabled';
    if (directory.countOf(range) >= range.limit) return 'rangeFull';
    const name = addressPeerName(remote, directory.links.get(scope)?.name);
    if (this.#failed.isPaused(name, nowMs)) return 'paused';
    if (this.#isHalfOpenFull(range)) return 'halfOpen';
    const lack = this.#lackOf(range, scope, arrival);
    if (lack !== undefined) return lack;
    const peer = this.add(range, name, { remote, ifindex: scope, dynamic: true });
    const oscillations = this.#failed.take(name, nowMs);
    if (oscillations > 0) peer.main.session = { ...peer.main.session, oscillations };
    return peer;
  }

  /** What a connection does not show that the settings want of it. */
  #lackOf(settings: PeerConfig, ifindex: number, arrival: Arrival | undefined): Refusal | undefined {
    if (arrival === undefined) return undefined;
    // Nobody can make a TTL come back greater: who is too far was so with the first packet (RFC 5082).
    const { minTtl } = hopsFor(this.#router.config, settings, ifindex);
    if (arrival.ttl !== undefined && arrival.ttl < minTtl) return 'tooFar';
    // An unnumbered neighbour's address has a key from the moment it is heard: who is sooner has signed nothing.
    const { password } = settings;
    return password === undefined || arrival.isSigned(password) ? undefined : 'unsigned';
  }

  #isHalfOpenFull(range: RangePeer): boolean {
    const { directory } = this.#router;
    if (directory.countOf(range) < HALF_OPEN_MAX) return false;
    let halfOpen = 0;
    for (const { config, established } of directory.byName.values())
      if (config === range && established === undefined) halfOpen++;
    return halfOpen >= HALF_OPEN_MAX;
  }

  /** A router advertisement told the link-local address of the other end. */
  heard(ifindex: number, address: Uint8Array): void {
    const peer = this.#router.directory.onInterface(ifindex);
    if (peer === undefined) return;
    if (peer.remote !== undefined && sameIp(peer.remote, address)) peer.nextRemote = undefined;
    // Another neighbour on the link of a session that is up: followed when the session ends.
    else if (peer.established !== undefined) peer.nextRemote = address;
    else this.#follow(peer, address);
  }

  #follow(peer: Peer, address: Uint8Array): void {
    if (peer.remote === undefined || !sameIp(peer.remote, address)) {
      if (peer.main.session.state !== 'idle' || peer.second !== undefined)
        this.#router.sessions.stop(peer, 'interfaceDown');
      // Whoever answers there is not the one whose routes were kept.
      this.#router.restart.forget(peer);
      peer.remote = address;
      if (peer.config.password !== undefined) {
        this.#keys.touch();
        this.#keys.follow(this.#router.directory);
      }
    }
    peer.nextRemote = undefined;
    this.startIfPossible(peer);
    this.#ports.wake();
  }

  // ---- links ----

  /** A link is there: the peers it makes or carries. */
  matchLink(link: Link): void {
    const { directory } = this.#router;
    const pattern = directory.patternFor(link.name);
    if (pattern !== undefined && !directory.byName.has(link.name)) {
      const place = { ifindex: link.ifindex, interfaceName: link.name, dynamic: true };
      this.add(pattern, link.name, place);
      if (link.up) this.#ports.discover(link.ifindex, true);
    }
    for (const peer of directory.onNamed(link.name)) {
      peer.ifindex = link.ifindex;
      this.startIfPossible(peer);
    }
  }

  linkUp(link: Link): void {
    if (this.#router.directory.onInterface(link.ifindex)) this.#ports.discover(link.ifindex, true);
    for (const peer of this.#router.directory.byName.values())
      if (peer.established === undefined && this.#isNextTo(peer, link.ifindex)) this.#hurry(peer);
  }

  /** There is a way to what is directly on a link, as there was none before: an address of ours has come. */
  subnetAdded({ bytes, length, ifindex }: KernelRoute): void {
    if (this.#router.directory.links.get(ifindex)?.up !== true) return;
    const masked = new Uint8Array(bytes.length);
    for (const peer of this.#router.directory.byName.values()) {
      const { remote, established } = peer;
      if (established !== undefined || remote?.length !== bytes.length) continue;
      maskInto(masked, remote, length);
      if (sameIp(masked, bytes) && this.#isNextTo(peer, ifindex)) this.#hurry(peer);
    }
  }

  #hurry(peer: Peer): void {
    if (!isEnabled(peer, this.#router.nowMs)) return;
    this.#router.sessions.hurry(peer);
  }

  /** Whether a peer with an address is directly on a link. */
  #isNextTo(peer: Peer, ifindex: number): boolean {
    return peer.ifindex === 0 && peer.config.multihop === 1 && this.#router.linkTo(peer) === ifindex;
  }

  /** An external peer on a link that is down cannot be reached: nothing is gained by waiting for the hold time. */
  #endsWith(peer: Peer, link: Link): boolean {
    if (peer.negotiated?.internal === true || !(peer.main.connected || peer.second?.connected)) return false;
    return this.#isNextTo(peer, link.ifindex);
  }

  linkDown(link: Link): void {
    for (const peer of this.#router.directory.byName.values()) {
      if (this.#endsWith(peer, link)) this.#router.sessions.linkLost(peer, `${link.name} is down`);
      if (peer.ifindex !== link.ifindex) continue;
      if (peer.config.kind === 'interface') {
        this.#ports.discover(link.ifindex, false);
        peer.remote = undefined;
        peer.nextRemote = undefined;
      }
      this.#router.sessions.stop(peer, 'interfaceDown');
      this.#router.restart.forget(peer);
    }
  }

  linkRemoved(ifindex: number): void {
    const peer = this.#router.directory.onInterface(ifindex);
    if (peer !== undefined) this.remove(peer, 'interfaceDown');
    for (const other of this.#router.directory.byName.values())
      if (other.ifindex === ifindex && other.config.kind === 'address') other.ifindex = 0;
  }
}

/** Nothing of a peer that a range made is left: no connection, no session to come, no routes, no pause. */
function isIdleStranger(peer: Peer): boolean {
  const { main, second, restart, heldUntilMs } = peer;
  return main.connection === 0 && second === undefined && restart.stale === 0 && heldUntilMs === 0;
}
