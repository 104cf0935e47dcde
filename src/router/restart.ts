// Graceful restart (RFC 4724) in both roles, and what comes behind it (RFC 9494).
//
// As the one that restarted: the kernel still forwards on the routes of our former life. We take routes in but
// decide nothing and say nothing until every peer that can be heard has told us all it knows (End-of-RIB), or
// the deferral ends; then one decision, and only the differences go to the kernel. A port needs a moment to find
// its neighbour, so the deferral never ends in the first seconds. A peer that has restarted as well is not waited
// for, or both would wait; but it has not told what it knows either, and its End-of-RIB may come before it has heard
// of its own peers, so then the kernel's routes that nobody has asked for again are kept for some seconds more. Thus
// a whole fabric may restart at once.
//
// A speaker whose routes come only from itself, as those of a host's own programs, is awaited (`awaitMs`) beyond that:
// also when it restarts at the same time, and when it does not know of End-of-RIB, until it has said nothing new for a
// while; one that is not there keeps nobody waiting for longer than its own time.
//
// As the helper: when a peer that negotiated it goes without a NOTIFICATION, or by one that RFC 8538 lets routes
// outlive, its paths stay as stale until it is back and has sent End-of-RIB, or the times it named are over. Not
// over a lost link: behind the same port may now be another neighbour. Only a speaker of our own host (one that is
// awaited) is the same behind the same address: over a link that comes back at once, and over a new connection that
// it makes while we still hold the old one, its paths stay for some seconds, until its End-of-RIB, whatever it has said
// of restarts; while the link is down they lead nowhere (docs/decisions/0025-own-speakers.md). Where the restart time
// is over and the peer is not back, families of the long-lived capability go on as long-lived stale, the least
// preferred of all, for the peer's time but not longer than ours. That time runs on when the peer is back, until its
// End-of-RIB (RFC 9494 4.2).
// A peer that goes again meanwhile: what was stale before and has not been told anew is gone (RFC 4724 4.2).

import { Deadlines } from '../lib/deadlines.ts';
import type { Rib } from '../rib/rib.ts';
import type { Negotiated } from '../session/negotiate.ts';
import type { DownReason } from '../session/reason.ts';
import { familiesIn } from '../wire/bgp/family.ts';
import { isEnabled, type Peer } from './peer.ts';

/** How long ports and peers have to show up before the deferral may end early. */
const SETTLE_MS = 2500;
/** After the beginning, where a peer has restarted at the same time: until then old routes stay in the kernel. */
const COMMON_RESTART_MS = 15_000;
/** RFC 4724, 4.1: Selection_Deferral_Timer, the upper bound. */
const DEFERRAL_MS = 60_000;
/**
 * An awaited speaker that does not know of End-of-RIB has told all when nothing came for so long: after its first
 * routes; and, because some look up what they have to say only when the session is up, where none came at all.
 */
const QUIET_MS = 1000;
const MUTE_MS = 3000;
/** So long may an awaited speaker be away over a flap, and then take to tell its routes again. GoBGP pauses for 5 s. */
const FLAP_MS = 10_000;

export interface RestartHost {
  nowMs(): number;
  peers(): Iterable<Peer>;
  rib(family: number): Rib;
  /** Whether the peer could be talked to at all: enabled, address known, link up. */
  isReachable(peer: Peer): boolean;
  /** Paths of a peer have changed their standing: there is work to do. */
  wake(): void;
  /** Nothing of the peer is stale any more. */
  settled(peer: Peer): void;
}

/** How long the routes of others are kept; absent where graceful restart is off. */
export interface RestartTimes {
  stalePathTimeMs: number;
  longLivedStaleTimeMs?: number;
}

export class Restart {
  readonly #host: RestartHost;
  #beganAtMs = 0;
  #settleAtMs = 0;
  #deferUntilMs = 0;
  /** Old routes of the kernel are not kept longer than until then; 0 when there are none. */
  #sweepUntilMs = 0;
  #keepUntilMs = 0;
  #stalePathTimeMs = 360_000;
  /** 0: never. */
  #longLivedStaleTimeMs = 0;
  #enabled = false;
  #hasBegun = false;
  #isHeld = false;
  /** By index in the peer table: the peers that are waited for, and until when. */
  readonly #waited: (Peer | undefined)[] = [];
  readonly #deadlines = new Deadlines();

  constructor(host: RestartHost) {
    this.#host = host;
  }

  configure(times: RestartTimes | undefined): void {
    this.#enabled = times !== undefined;
    if (times !== undefined) this.#stalePathTimeMs = times.stalePathTimeMs;
    this.#longLivedStaleTimeMs = times?.longLivedStaleTimeMs ?? 0;
    // What nobody wants kept any more goes at once, whoever was to be waited for.
    for (const peer of this.#waited) {
      if (peer === undefined) continue;
      if (!this.#enabled) this.forget(peer);
      else if (this.#longLivedStaleTimeMs === 0) this.#sweepAll(peer, peer.restart.longLived);
    }
  }

  /** We have restarted: routes of a former life are in the kernel. */
  begin(): void {
    const nowMs = this.#host.nowMs();
    this.#hasBegun = true;
    this.#beganAtMs = nowMs;
    this.#settleAtMs = nowMs + SETTLE_MS;
    this.#deferUntilMs = nowMs + DEFERRAL_MS;
    this.#sweepUntilMs = nowMs + DEFERRAL_MS;
    this.#keepUntilMs = nowMs + COMMON_RESTART_MS;
  }

  /** Routes of our own are still to come, such as guests': nobody is told that this is all before `release`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.#host.wake();
  }

  /** Whether decisions wait for the peers to tell all they know. */
  get isDeferring(): boolean {
    return this.#deferUntilMs !== 0;
  }

  /** Whether this life began with the forwarding state of the one before. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** When the deferral ends at the latest, by those who are waited for now; 0 when there is none. */
  get deferUntilMs(): number {
    if (!this.isDeferring || this.#isHeld) return this.#deferUntilMs;
    let latest = this.#settleAtMs;
    for (const peer of this.#host.peers())
      if (!this.#hasSpoken(peer)) latest = Math.max(latest, this.#waitsUntil(peer));
    return latest;
  }

  /** Whether routes of the former life that nobody has asked for again may go. */
  get maySweep(): boolean {
    const nowMs = this.#host.nowMs();
    if (this.#isHeld && nowMs < this.#sweepUntilMs) return false;
    if (!this.#allHave((peer) => this.#hasToldAll(peer) || nowMs >= this.#waitsUntil(peer))) return false;
    if (nowMs >= this.#sweepUntilMs) return true;
    const alone = this.#allHave((peer) => peer.negotiated?.gracefulRestart?.restartState !== true);
    return alone || nowMs >= this.#keepUntilMs;
  }

  /** The routes of the former life are swept: nothing is left of the restart. */
  swept(): void {
    this.#sweepUntilMs = 0;
  }

  /** The peers whose End-of-RIB is waited for. */
  waitingFor(): string[] {
    const names: string[] = [];
    if (!this.isDeferring) return names;
    for (const peer of this.#host.peers()) if (!this.#hasSpoken(peer)) names.push(peer.name);
    return names;
  }

  /** Ends the deferral when its time has come; why, on the call that ends it. */
  endIfDue(): 'allHaveSpoken' | 'timeIsUp' | undefined {
    if (!this.isDeferring) return undefined;
    const nowMs = this.#host.nowMs();
    if (nowMs < this.#settleAtMs || (this.#isHeld && nowMs < this.#deferUntilMs)) return undefined;
    if (!this.#allHave((peer) => this.#hasSpoken(peer) || nowMs >= this.#waitsUntil(peer))) return undefined;
    this.#deferUntilMs = 0;
    return this.#allHave((peer) => this.#hasSpoken(peer)) ? 'allHaveSpoken' : 'timeIsUp';
  }

  /** The earliest time at which something here falls due, or Infinity. */
  nextDeadlineMs(): number {
    let earliest = this.#deadlines.earliestMs;
    if (!this.isDeferring && this.#sweepUntilMs === 0) return earliest;
    const nowMs = this.#host.nowMs();
    const ownMs = this.isDeferring
      ? [this.#settleAtMs, this.#deferUntilMs]
      : [this.#keepUntilMs, this.#sweepUntilMs];
    for (const atMs of ownMs) if (atMs > nowMs) earliest = Math.min(earliest, atMs);
    for (const peer of this.#host.peers()) {
      if (peer.config.awaitMs === undefined) continue;
      for (const atMs of [this.#waitsUntil(peer), quietAt(peer)])
        if (atMs > nowMs) earliest = Math.min(earliest, atMs);
    }
    return earliest;
  }

  /** The session is over: paths of the peer become stale or go. */
  peerDown(peer: Peer, reason: DownReason, negotiated: Negotiated, staleFamilies: number): void {
    const lostLink = reason.kind === 'interfaceDown';
    const mayKeep = this.#enabled && !lostLink && peer.config.gracefulRestart !== 'off';
    const flapped = isFlap(peer, reason) ? peer.families : 0;
    const keep = mayKeep ? (staleFamilies | flapped) & peer.families : 0;
    const { restart } = peer;
    // It flaps again before it has told anything, as when both sides call at once: what was kept is kept still.
    const isSilent = peer.updatedAtMs < peer.establishedAtMs;
    const still = isSilent ? restart.flapped & flapped & keep : 0;
    if (still === 0) restart.flapUntilMs = this.#host.nowMs() + 2 * FLAP_MS;
    for (const family of familiesIn(peer.families & ~still)) {
      if ((keep & (1 << family)) !== 0) this.#host.rib(family).markStale(peer.index);
      else this.#host.rib(family).dropPeer(peer.index);
    }
    restart.stale = keep;
    restart.longLived = 0;
    restart.flapped = keep & flapped;
    restart.staleTimeMs = negotiated.longLived?.staleTimeMs ?? [];
    restart.refreshedByMs = 0;
    restart.backByMs = 0;
    restart.endOfRibReceived = 0;
    const { families = 0, timeMs = 0 } = negotiated.gracefulRestart ?? {};
    const waits = timeMs > 0 ? keep & families : 0;
    // One time for all families: that of those which wait for less.
    const byMs = this.#host.nowMs() + timeMs;
    if ((waits | restart.flapped) !== 0)
      restart.backByMs = (restart.flapped & ~waits) !== 0 ? this.#flapEndsMs(peer) : byMs;
    this.#outlast(peer, keep & ~waits & ~restart.flapped);
    this.#schedule(peer);
    this.#host.wake();
  }

  /**
   * The peer is back: RFC 4724 4.2 and RFC 9494 4.2 say which stale paths may wait for being announced again: those
   * of families for which it kept its forwarding state, by the F bit of the capability that counts for them.
   */
  peerEstablished(peer: Peer, negotiated: Negotiated): void {
    const { restart } = peer;
    restart.endOfRibReceived = 0;
    restart.backByMs = 0;
    const forwarding = negotiated.gracefulRestart?.forwarding ?? 0;
    const longForwarding = negotiated.longLived?.forwarding ?? 0;
    const waits = (forwarding & ~restart.longLived) | (longForwarding & restart.longLived) | restart.flapped;
    this.#sweepAll(peer, restart.stale & ~(waits & negotiated.families));
    const fresh = restart.stale & ~restart.longLived;
    const byMs = restart.flapped === 0 ? this.#host.nowMs() + this.#stalePathTimeMs : this.#flapEndsMs(peer);
    restart.refreshedByMs = fresh === 0 ? 0 : byMs;
    this.#schedule(peer);
  }

  /** Each step of a flap has its time, and all of them together twice that. */
  #flapEndsMs({ restart }: Peer): number {
    return Math.min(this.#host.nowMs() + FLAP_MS, restart.flapUntilMs);
  }

  endOfRib(peer: Peer, family: number): void {
    peer.restart.endOfRibReceived |= 1 << family;
    if ((peer.restart.stale & (1 << family)) !== 0) this.#sweepAll(peer, 1 << family);
  }

  /** The peer will not be waited for: an operator's stop, a lost link, a removed peer. */
  forget(peer: Peer): void {
    this.#sweepAll(peer, peer.restart.stale);
  }

  /** Ends the waiting that has lasted too long. */
  expire(): void {
    const nowMs = this.#host.nowMs();
    for (let index = this.#deadlines.takeDue(nowMs); index >= 0; index = this.#deadlines.takeDue(nowMs)) {
      const peer = this.#waited[index]!;
      const { restart } = peer;
      if (restart.refreshedByMs !== 0 && restart.refreshedByMs <= nowMs)
        this.#sweepAll(peer, restart.stale & ~restart.longLived);
      if (restart.backByMs !== 0 && restart.backByMs <= nowMs) {
        restart.backByMs = 0;
        this.#outlast(peer, restart.stale & ~restart.longLived);
      }
      for (const family of familiesIn(restart.longLived))
        if (restart.longLivedUntilMs[family]! <= nowMs) this.#sweepAll(peer, 1 << family);
      this.#schedule(peer);
    }
  }

  /** The restart time of stale families is over: they live on as long-lived stale, or go. */
  #outlast(peer: Peer, mask: number): void {
    const { restart } = peer;
    for (const family of familiesIn(mask)) {
      const timeMs = Math.min(restart.staleTimeMs[family] ?? 0, this.#longLivedStaleTimeMs);
      if (timeMs === 0) {
        this.#sweepAll(peer, 1 << family);
        continue;
      }
      restart.longLived |= 1 << family;
      restart.longLivedUntilMs[family] = this.#host.nowMs() + timeMs;
      this.#host.rib(family).makeLongLived(peer.index);
      this.#host.wake();
    }
  }

  #sweepAll(peer: Peer, mask: number): void {
    const { restart } = peer;
    const swept = mask & restart.stale;
    if (swept === 0) return;
    for (const family of familiesIn(swept)) this.#host.rib(family).sweepStale(peer.index);
    restart.stale &= ~swept;
    restart.longLived &= ~swept;
    restart.flapped &= ~swept;
    if ((restart.stale & ~restart.longLived) === 0) {
      restart.backByMs = 0;
      restart.refreshedByMs = 0;
    }
    this.#schedule(peer);
    if (restart.stale === 0) this.#host.settled(peer);
    this.#host.wake();
  }

  #schedule(peer: Peer): void {
    const { stale, longLived, longLivedUntilMs, backByMs, refreshedByMs } = peer.restart;
    let earliest = Number.POSITIVE_INFINITY;
    if (backByMs !== 0) earliest = backByMs;
    if (refreshedByMs !== 0) earliest = Math.min(earliest, refreshedByMs);
    for (const family of familiesIn(longLived)) earliest = Math.min(earliest, longLivedUntilMs[family]!);
    this.#waited[peer.index] = stale === 0 ? undefined : peer;
    this.#deadlines.set(peer.index, stale === 0 ? Number.POSITIVE_INFINITY : earliest);
  }

  #allHave(done: (peer: Peer) => boolean): boolean {
    for (const peer of this.#host.peers()) if (!done(peer)) return false;
    return true;
  }

  /** Until then the peer is waited for at most. */
  #waitsUntil({ config }: Peer): number {
    return this.#beganAtMs + (config.awaitMs ?? DEFERRAL_MS);
  }

  /**
   * RFC 4724, 4.1: End-of-RIB from every peer, but not from one that has restarted itself or that does not
   * know of End-of-RIB. A peer that can be heard but is not Established yet is waited for.
   */
  #hasSpoken(peer: Peer): boolean {
    const restarts = peer.negotiated?.gracefulRestart?.restartState === true;
    return (restarts && peer.config.awaitMs === undefined) || this.#hasToldAll(peer);
  }

  #hasToldAll(peer: Peer): boolean {
    const { negotiated, config } = peer;
    // An awaited one is waited for though its link, or its address, is still to come.
    const mayCome =
      config.awaitMs === undefined ? this.#host.isReachable(peer) : isEnabled(peer, this.#host.nowMs());
    if (!mayCome) return true;
    if (peer.established === undefined || negotiated === undefined) return false;
    if ((negotiated.families & ~peer.restart.endOfRibReceived) === 0) return true;
    if (negotiated.gracefulRestart !== undefined) return false;
    return config.awaitMs === undefined || this.#host.nowMs() >= quietAt(peer);
  }
}

/** Whether nothing has happened to an awaited peer itself: its link went, or it is there on another connection. */
function isFlap(peer: Peer, reason: DownReason): boolean {
  if (peer.config.awaitMs === undefined) return false;
  return reason.lostLink === true || reason.kind === 'peerRestarted';
}

/** When an awaited peer without End-of-RIB will have been quiet for long enough; 0 for another. */
function quietAt(peer: Peer): number {
  if (peer.established === undefined || peer.negotiated?.gracefulRestart !== undefined) return 0;
  const { establishedAtMs, updatedAtMs } = peer;
  return updatedAtMs >= establishedAtMs ? updatedAtMs + QUIET_MS : establishedAtMs + MUTE_MS;
}
