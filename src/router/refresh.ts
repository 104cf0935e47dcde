// Route refresh towards us (RFC 2918, RFC 7313). A request is answered by sending the family again, but not more than
// once a second: what is asked meanwhile is one request, or a peer that asks in a loop would keep us encoding for it.
//
// A peer that refreshes us says where its dump begins (BoRR) and ends (EoRR). In between its old paths are in use but
// stale; those it has not told again by the end are gone. A dump that does not end is ended by the stale path time. A
// second beginning within a dump goes on with it: nothing that was told since the first one is doubted again. While
// End-of-RIB after a restart is awaited there is no dump to begin (RFC 7313 section 4).

import { Deadlines } from '../lib/deadlines.ts';
import type { Rib } from '../rib/rib.ts';
import { familiesIn } from '../wire/bgp/family.ts';
import { REFRESH_BEGIN, REFRESH_END, REFRESH_REQUEST, type RouteRefresh } from '../wire/bgp/refresh.ts';
import type { Peer } from './peer.ts';

/** A family is sent again to a peer at most so often. */
const ANSWER_EVERY_MS = 1000;
/** How long a dump may last where graceful restart, whose stale path time counts else, is off. */
const DUMP_MS = 360_000;

export interface RefreshHost {
  nowMs(): number;
  rib(family: number): Rib;
  /** Sends the family to the peer again, between BoRR and EoRR where the peer knows them. */
  resend(peer: Peer, family: number): void;
  stalePathTimeMs(): number | undefined;
  wake(): void;
}

interface Refreshing {
  peer: Peer;
  /** By family id: when it was sent again last. */
  answeredAtMs: number[];
  /** Families that are to be sent again as soon as they may; mask by family id. */
  asked: number;
  /** Families within a dump of the peer's, and until when that may last. */
  dumping: number;
  dumpedByMs: number;
}

export class Refreshes {
  readonly #host: RefreshHost;
  /** By index in the peer table. */
  readonly #states: (Refreshing | undefined)[] = [];
  readonly #deadlines = new Deadlines();

  constructor(host: RefreshHost) {
    this.#host = host;
  }

  /** A ROUTE-REFRESH of an Established peer. One of a family that is not in use means nothing, as one of a new kind. */
  received(peer: Peer, refresh: RouteRefresh): void {
    const { family, subtype } = refresh;
    if (family < 0 || (peer.families & (1 << family)) === 0) return;
    if (subtype === REFRESH_REQUEST) this.#asked(peer, family);
    else if (peer.negotiated?.enhancedRouteRefresh !== true) return;
    else if (subtype === REFRESH_BEGIN) this.#begun(peer, family);
    else if (subtype === REFRESH_END) this.#ended(peer, 1 << family);
  }

  /** The session is over. */
  forget(peer: Peer): void {
    this.#states[peer.index] = undefined;
    this.#deadlines.delete(peer.index);
  }

  /** Families of which the peer is sending everything again; mask by family id. */
  dumping(peer: Peer): number {
    return this.#states[peer.index]?.dumping ?? 0;
  }

  nextDeadlineMs(): number {
    return this.#deadlines.earliestMs;
  }

  expire(): void {
    const nowMs = this.#host.nowMs();
    for (let index = this.#deadlines.takeDue(nowMs); index >= 0; index = this.#deadlines.takeDue(nowMs)) {
      const state = this.#states[index]!;
      if (state.dumpedByMs <= nowMs) this.#ended(state.peer, state.dumping);
      for (const family of familiesIn(state.asked)) this.#answerIfDue(state, family);
      this.#schedule(state);
    }
  }

  #asked(peer: Peer, family: number): void {
    const state = this.#stateOf(peer);
    state.asked |= 1 << family;
    this.#answerIfDue(state, family);
    this.#schedule(state);
  }

  #answerIfDue(state: Refreshing, family: number): void {
    const nowMs = this.#host.nowMs();
    if (nowMs < dueMs(state, family)) return;
    state.asked &= ~(1 << family);
    state.answeredAtMs[family] = nowMs;
    this.#host.resend(state.peer, family);
    this.#host.wake();
  }

  #begun(peer: Peer, family: number): void {
    const bit = 1 << family;
    if ((peer.restart.stale & bit) !== 0) return;
    const state = this.#stateOf(peer);
    if ((state.dumping & bit) === 0) this.#host.rib(family).markStale(peer.index);
    state.dumping |= bit;
    state.dumpedByMs = this.#host.nowMs() + (this.#host.stalePathTimeMs() ?? DUMP_MS);
    this.#schedule(state);
  }

  #ended(peer: Peer, mask: number): void {
    const state = this.#states[peer.index];
    const ended = mask & (state?.dumping ?? 0);
    if (state === undefined || ended === 0) return;
    for (const family of familiesIn(ended)) this.#host.rib(family).sweepStale(peer.index);
    state.dumping &= ~ended;
    if (state.dumping === 0) state.dumpedByMs = Number.POSITIVE_INFINITY;
    this.#schedule(state);
    this.#host.wake();
  }

  #stateOf(peer: Peer): Refreshing {
    const known = this.#states[peer.index];
    if (known !== undefined) return known;
    const fresh = { peer, answeredAtMs: [], asked: 0, dumping: 0, dumpedByMs: Number.POSITIVE_INFINITY };
    this.#states[peer.index] = fresh;
    return fresh;
  }

  #schedule(state: Refreshing): void {
    let earliest = state.dumpedByMs;
    for (const family of familiesIn(state.asked)) earliest = Math.min(earliest, dueMs(state, family));
    this.#deadlines.set(state.peer.index, earliest);
  }
}

function dueMs(state: Refreshing, family: number): number {
  return (state.answeredAtMs[family] ?? Number.NEGATIVE_INFINITY) + ANSWER_EVERY_MS;
}
