// A peer as the router holds it: who it is, its one or two connections, what was negotiated, what graceful
// restart remembers of it. Born whole, changed in place by `sessions.ts`, `restart.ts` and `router.ts`; the
// routes themselves are the rib's.

import type { Negotiated } from '../session/negotiate.ts';
import type { DownReason } from '../session/reason.ts';
import { newSession, type Session } from '../session/state.ts';
import type { PeerConfig } from './config.ts';
import { noFaults, type PeerFaults } from './fault-log.ts';
import type { Offered } from './offer.ts';

/** One connection, made or wanted, and the state machine that goes with it (RFC 4271, section 8.2.1). */
export interface Fsm {
  session: Session;
  /** The transport's id, 0 while there is none. */
  connection: number;
  outgoing: boolean;
  /** Whether TCP is up. */
  connected: boolean;
  /** Local address and port of the connection, once it is up. */
  local: Uint8Array | undefined;
  /** Bytes of a message whose rest has not come yet. */
  partial: Uint8Array | undefined;
  /** The socket has said "enough for now". */
  blocked: boolean;
  /** Since when; a peer that takes nothing for too long is given up (RFC 9687). */
  blockedSinceMs: number;
}

export interface PeerCounters {
  /** Messages by type code (RFC 4271, 4.1). */
  received: Uint32Array;
  sent: Uint32Array;
  /** Faults by RFC 7606 that did not end the session. */
  treatedAsWithdraw: number;
  attributesDiscarded: number;
  establishedCount: number;
}

/** What graceful restart remembers (RFC 4724, RFC 9494). Masks by family id; times are deadlines, 0 for none. */
export interface PeerRestart {
  /** Families whose paths of the peer are stale. */
  stale: number;
  /** Those of them that have outlasted the restart time. */
  longLived: number;
  /** By family id: until then long-lived stale paths may stay. */
  longLivedUntilMs: number[];
  /** By family id: how long they may when the restart time is over, as the ended session negotiated it. */
  staleTimeMs: readonly number[];
  /** Those of `stale` that are kept over a flap, whatever the peer has said of restarts (restart.ts). */
  flapped: number;
  /** Until then at most. */
  flapUntilMs: number;
  /** Until then the peer has to be back. */
  backByMs: number;
  /** Until then the stale paths have to be refreshed. */
  refreshedByMs: number;
  /** Families whose End-of-RIB has come in this session. */
  endOfRibReceived: number;
}

export interface Peer {
  /** Index in the rib's peer table. */
  index: number;
  /** What the operator calls it: an address, or the interface of an unnumbered peer. */
  name: string;
  config: PeerConfig;
  /** Made by a pattern or a range; such a peer goes when nothing holds it any more. */
  dynamic: boolean;
  /** Undefined until an unnumbered neighbour has been heard. */
  remote: Uint8Array | undefined;
  /** Interface of a link-local remote, else 0. */
  ifindex: number;
  interfaceName: string | undefined;
  /** Heard while a session with another address is up; taken when that ends. */
  nextRemote: Uint8Array | undefined;
  main: Fsm;
  /** A connection that came in while `main` is busy. */
  second: Fsm | undefined;
  /** The one of the two that is Established. */
  established: Fsm | undefined;
  negotiated: Negotiated | undefined;
  /** Mask of the families in use in this session. */
  families: number;
  /** Those of them whose routes are ignored for the rest of the session (RFC 4760 section 7). */
  disabledFamilies: number;
  establishedAtMs: number;
  /** When the last UPDATE came, in whatever session. */
  updatedAtMs: number;
  downAtMs: number;
  /** Why it was Established no longer, the last time; an attempt that fails later does not hide it. */
  lastDown: DownReason | undefined;
  /** The last NOTIFICATION, sent or received, also of a session that never was Established. */
  lastError: { atMs: number; reason: DownReason } | undefined;
  /** Since when it is called in haste, because it may be there again at any moment; 0 when it is not. */
  hurrySinceMs: number;
  /** The last connection with its address that was not let in because it is somebody else's (`users`). */
  lastRefused: { atMs: number; text: string } | undefined;
  /** Our calls in a row that nobody answered. */
  silentCalls: number;
  counters: PeerCounters;
  /** What it did wrong in UPDATEs. */
  faults: PeerFaults;
  restart: PeerRestart;
  /** Too many prefixes: not started again before this time; Infinity until the operator asks. */
  heldUntilMs: number;
  /** By the operator, at run time. */
  adminDown: boolean;
  /** What its session is offered, as long as that holds (offer.ts). */
  offered: Offered | undefined;
}

export function newFsm(session: Session, outgoing: boolean): Fsm {
  return {
    session,
    connection: 0,
    outgoing,
    connected: false,
    local: undefined,
    partial: undefined,
    blocked: false,
    blockedSinceMs: 0,
  };
}

export function newPeer(
  index: number,
  name: string,
  config: PeerConfig,
  place: { remote?: Uint8Array; ifindex?: number; interfaceName?: string; dynamic: boolean },
  nowMs: number,
): Peer {
  return {
    index,
    name,
    config,
    dynamic: place.dynamic,
    remote: place.remote,
    ifindex: place.ifindex ?? 0,
    interfaceName: place.interfaceName,
    nextRemote: undefined,
    main: newFsm(newSession(nowMs), true),
    second: undefined,
    established: undefined,
    negotiated: undefined,
    families: 0,
    disabledFamilies: 0,
    establishedAtMs: 0,
    updatedAtMs: 0,
    downAtMs: nowMs,
    hurrySinceMs: 0,
    lastRefused: undefined,
    silentCalls: 0,
    lastDown: undefined,
    lastError: undefined,
    counters: {
      received: new Uint32Array(6),
      sent: new Uint32Array(6),
      treatedAsWithdraw: 0,
      attributesDiscarded: 0,
      establishedCount: 0,
    },
    faults: noFaults(),
    restart: {
      stale: 0,
      longLived: 0,
      longLivedUntilMs: [],
      flapped: 0,
      flapUntilMs: 0,
      staleTimeMs: [],
      backByMs: 0,
      refreshedByMs: 0,
      endOfRibReceived: 0,
    },
    heldUntilMs: 0,
    adminDown: false,
    offered: undefined,
  };
}

/** Whether the peer may be tried now, as far as configuration and operator are concerned. */
export function isEnabled(peer: Peer, nowMs: number): boolean {
  return !peer.config.shutdown && !peer.adminDown && nowMs >= peer.heldUntilMs;
}
