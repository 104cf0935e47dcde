// What one connection's state machine remembers, what it is configured with, and what it asks its caller to
// do (RFC 4271 section 8). Everything is a value: `step.ts` takes a session and gives the next one, and
// timers are deadlines in it, so that the simulator and the speaker drive the same code. Sockets, encoding
// and the choice of the peer's configuration are the caller's; routes and graceful restart's stale marks are
// the router's.

import type { Capability } from '../wire/bgp/capability.ts';
import type { Fault } from '../wire/bgp/fault.ts';
import type { Open } from '../wire/bgp/open.ts';
import type { Negotiated } from './negotiate.ts';
import type { DownReason, StopCause } from './reason.ts';
import type { Role } from './role.ts';

/** RFC 4271 8.2.2. */
export type SessionState = 'idle' | 'connect' | 'active' | 'openSent' | 'openConfirm' | 'established';

/** Deadlines in milliseconds of the caller's clock; 0 is a timer that does not run. */
export interface Timers {
  connectRetry: number;
  hold: number;
  keepalive: number;
  idleHold: number;
  delayOpen: number;
}

export type TimerName = keyof Timers;

export const timerNames: readonly TimerName[] = [
  'hold',
  'keepalive',
  'connectRetry',
  'delayOpen',
  'idleHold',
];

/**
 * How much our next OPEN offers: all, what the session cannot be without (families, 4-octet AS), or no optional
 * parameter at all. Less after a peer has refused more (2/4, 2/7).
 */
export type OfferExtent = 'all' | 'needed' | 'none';

export interface Session {
  readonly state: SessionState;
  readonly timers: Readonly<Timers>;
  /** RFC 4271 8.1.1: attempts and failures since the last manual start or stop. */
  readonly connectRetryCounter: number;
  /** Failures in a row, the input of idle-hold damping (damping.ts). */
  readonly oscillations: number;
  /** When the present state was entered. */
  readonly sinceMs: number;
  /** Made for a connection that the peer opened: it never connects and never starts again. */
  readonly incoming: boolean;
  readonly extent: OfferExtent;
  readonly sentOpen: Open | undefined;
  readonly remoteOpen: Open | undefined;
  /** From OpenConfirm on. */
  readonly negotiated: Negotiated | undefined;
  /** Why the last attempt or session ended, if any did. */
  readonly lastError: DownReason | undefined;
}

/** Which ASN the peer may have: `remoteAs` of the configuration. Ranges include both ends. */
export type RemoteAs =
  | { kind: 'internal' | 'external' | 'any' }
  | { kind: 'list'; ranges: readonly (readonly [low: number, high: number])[] };

export interface SessionConfig {
  /** What our OPEN says: our AS, the one of `localAs`, or a confederation's identifier. */
  localAsn: number;
  /** BGP Identifier as an unsigned 32-bit number, not 0. */
  bgpId: number;
  remoteAs: RemoteAs;
  /** Offered in OPEN; 0 for none, else at least 3000. */
  holdTimeMs: number;
  /** Wanted interval; never more than a third of the negotiated hold time, which is the default. */
  keepaliveMs?: number | undefined;
  connectRetryMs: number;
  /** First pause after a failure; doubled by each further one (damping.ts). */
  idleHoldMs: number;
  /** The longest pause; default 60 s. */
  idleHoldMaxMs?: number | undefined;
  /** RFC 4271 DelayOpenTime; absent or 0 is off. */
  delayOpenMs?: number | undefined;
  /** How long to wait for the peer's OPEN; default 240 s as RFC 4271 8.2.2 suggests. */
  openHoldMs?: number | undefined;
  /** Listen only. */
  passive: boolean;
  /** Start again by itself after a failure; default true. */
  automaticRestart?: boolean | undefined;
  /** RFC 4271 SendNOTIFICATIONwithoutOPEN; default true. */
  notifyWithoutOpen?: boolean | undefined;
  /** Offered in OPEN. */
  capabilities: readonly Capability[];
  /** Ours towards the peer (RFC 9234); its capability is in the list above. */
  role?: Role | undefined;
  /** The peer has to say its role. */
  roleStrict?: boolean | undefined;
  /** The other member ASes, where `localAsn` is one of a confederation (RFC 5065). */
  confederationMembers?: readonly (readonly [low: number, high: number])[] | undefined;
}

/** The events of RFC 4271 8.1; its numbers stand beside them. Passive and damped starts follow the config. */
export type SessionEvent =
  /** 1, 4: the operator enables the peer. */
  | { kind: 'manualStart' }
  /** 2: the operator disables or removes it; `communication` is RFC 9003 text. */
  | { kind: 'manualStop'; cause: StopCause; communication?: string | undefined }
  /** 3, 5, 6, 7: the daemon starts it (boot, link up, BFD up, a limit's pause is over). */
  | { kind: 'automaticStart' }
  /** 8: the daemon stops it. `data` goes into the NOTIFICATION (maximum prefixes: AFI, SAFI, limit). */
  | {
      kind: 'automaticStop';
      cause: StopCause;
      communication?: string | undefined;
      data?: Uint8Array | undefined;
      /** BFD is down because the peer restarts (RFC 5882 4.3): no Hard Reset, and its routes may be kept. */
      restarting?: boolean | undefined;
    }
  /** 9 to 13: a deadline has passed. One that has not, or a timer that does not run, is ignored. */
  | { kind: 'timerExpired'; timer: TimerName }
  /** 14: a connection request that will be completed. */
  | { kind: 'tcpConnectionValid' }
  /** 15: a connection request that was refused. */
  | { kind: 'tcpRequestInvalid' }
  /** 16: our own connection is up. */
  | { kind: 'tcpRequestAcked' }
  /** 17: the peer's connection is up. */
  | { kind: 'tcpConnectionConfirmed' }
  /** 18: connecting failed, or the connection ended; `message` is the system's word for it. */
  /** `lostLink`: the link to the peer is gone, so nothing is known of the peer itself. */
  | { kind: 'tcpConnectionFails'; message?: string | undefined; lostLink?: boolean }
  /** 19, 20: a well-formed OPEN. Its content is checked here (negotiate.ts) and may turn into 22. */
  | { kind: 'openReceived'; open: Open }
  /** 21 */
  | { kind: 'headerError'; fault: Fault }
  /** 22 */
  | { kind: 'openError'; fault: Fault }
  /** 23: this connection lost (collision.ts). */
  | { kind: 'openCollisionDump' }
  /**
   * RFC 4724 5: the peer came back on a new connection, so that this one is dead; it is closed in silence.
   */
  | { kind: 'peerRestarted' }
  /** 24 (version error), 25. */
  | { kind: 'notificationReceived'; code: number; subcode: number; data?: Uint8Array | undefined }
  /** 26 */
  | { kind: 'keepaliveReceived' }
  /** 27: one event may stand for all UPDATEs of a turn. */
  | { kind: 'updateReceived' }
  /** 28 when the disposition is `reset`, else like 27 (RFC 7606). */
  | { kind: 'updateError'; fault: Fault }
  /** RFC 2918. */
  | { kind: 'routeRefreshReceived' }
  /** RFC 7313 5: a ROUTE-REFRESH of a wrong length. */
  | { kind: 'routeRefreshError'; fault: Fault }
  /** RFC 9687: the peer has taken no byte for the send hold time, which the owner of the socket measures. */
  | { kind: 'sendHoldExpired' }
  /** We sent UPDATEs: the keepalive timer starts anew (RFC 4271 8.2.2). Optional for the caller. */
  | { kind: 'updateSent' };

/** What the caller does, in this order. */
export type SessionAction =
  | { kind: 'connect' }
  /** Ends the connection or the attempt, after what was sent before has left; harmless when there is none. */
  | { kind: 'closeConnection' }
  | { kind: 'sendOpen'; open: Open }
  | { kind: 'sendKeepalive' }
  | { kind: 'sendNotification'; code: number; subcode: number; data: Uint8Array }
  | { kind: 'established'; negotiated: Negotiated }
  /**
   * An attempt or a session has ended. `from` tells which; `staleFamilies` is a mask of the families whose
   * routes may be kept as stale (RFC 4724, RFC 8538), 0 when `from` is not Established.
   */
  | { kind: 'down'; reason: DownReason; from: SessionState; staleFamilies: number };

export interface StepResult {
  session: Session;
  actions: SessionAction[];
}

const stopped: Readonly<Timers> = { connectRetry: 0, hold: 0, keepalive: 0, idleHold: 0, delayOpen: 0 };

/** All timers stopped. */
export function stoppedTimers(): Timers {
  return { ...stopped };
}

/** A peer's first session: Idle until a start event. */
export function newSession(nowMs = 0): Session {
  return {
    state: 'idle',
    timers: stopped,
    connectRetryCounter: 0,
    oscillations: 0,
    sinceMs: nowMs,
    incoming: false,
    extent: 'all',
    sentOpen: undefined,
    remoteOpen: undefined,
    negotiated: undefined,
    lastError: undefined,
  };
}

/**
 * A session for a connection that the peer opened while the first one is busy (RFC 4271 8.2: "for each
 * incoming connection"). It waits for `tcpConnectionConfirmed`; once Idle again it is done with and can be
 * dropped.
 */
export function incomingSession(nowMs = 0, extent: OfferExtent = 'all'): Session {
  return { ...newSession(nowMs), state: 'active', incoming: true, extent };
}

/** The accepted connection won over our own (collision.ts): from now on it is the peer's first session. */
export function promote(session: Session): Session {
  return { ...session, incoming: false };
}

/** When the next timer expires, or Infinity: `nextDeadline` for those who only keep the time. */
export function nextTimerMs({ timers }: Session): number {
  let earliest = Number.POSITIVE_INFINITY;
  if (timers.hold !== 0) earliest = timers.hold;
  if (timers.keepalive !== 0 && timers.keepalive < earliest) earliest = timers.keepalive;
  if (timers.connectRetry !== 0 && timers.connectRetry < earliest) earliest = timers.connectRetry;
  if (timers.delayOpen !== 0 && timers.delayOpen < earliest) earliest = timers.delayOpen;
  if (timers.idleHold !== 0 && timers.idleHold < earliest) earliest = timers.idleHold;
  return earliest;
}

/** The next timer to expire, or undefined when none runs. Feed it as `timerExpired` at or after `atMs`. */
export function nextDeadline(session: Session): { timer: TimerName; atMs: number } | undefined {
  let timer: TimerName | undefined;
  let atMs = 0;
  for (const name of timerNames) {
    const deadline = session.timers[name];
    if (deadline !== 0 && (timer === undefined || deadline < atMs)) {
      timer = name;
      atMs = deadline;
    }
  }
  return timer === undefined ? undefined : { timer, atMs };
}
