// Drives the state machines of all peers: turns what the transport and the clock say into events of the session
// room, carries out the actions that come back, cuts the byte stream into messages, and settles collisions.
// What a message means for routes is the host's (`router.ts`); which peer a stranger is, too.

import { Deadlines } from '../lib/deadlines.ts';
import { resolveCollision } from '../session/collision.ts';
import { checkOpen, type Negotiated } from '../session/negotiate.ts';
import { type DownReason, describeDown, type StopCause } from '../session/reason.ts';
import {
  incomingSession,
  nextDeadline,
  nextTimerMs,
  promote,
  type SessionAction,
  type SessionConfig,
  type SessionEvent,
} from '../session/state.ts';
import { step } from '../session/step.ts';
import { type Fault, isFault, OPEN_MESSAGE_ERROR } from '../wire/bgp/fault.ts';
import {
  EXTENDED_MESSAGE_LENGTH_MAX,
  frameLength,
  HEADER_LENGTH,
  headerFault,
  KEEPALIVE,
  keepaliveMessage,
  MESSAGE_LENGTH_MAX,
  messageType,
  NOTIFICATION,
  OPEN,
  UPDATE,
} from '../wire/bgp/header.ts';
import { decodeNotification, encodeNotification } from '../wire/bgp/notification.ts';
import { decodeOpen, encodeOpen } from '../wire/bgp/open.ts';
import { decodeRouteRefresh, type RouteRefresh } from '../wire/bgp/refresh.ts';
import { type Fsm, newFsm, type Peer } from './peer.ts';
import type { ConnectionTuning, ConnectTarget, RouterPorts } from './ports.ts';

/** What the driver asks of the router. */
export interface SessionHost {
  nowMs(): number;
  sessionConfig(peer: Peer): SessionConfig;
  connectTarget(peer: Peer): ConnectTarget | undefined;
  established(peer: Peer, negotiated: Negotiated): void;
  /** An Established session ended; `staleFamilies` may be kept (RFC 4724). */
  down(peer: Peer, reason: DownReason, staleFamilies: number): void;
  /** One UPDATE, body in [start, end); a fault only where the session has to end. */
  update(peer: Peer, bytes: Uint8Array, start: number, end: number): Fault | undefined;
  routeRefresh(peer: Peer, refresh: RouteRefresh): void;
  /** A connection or an attempt has ended: something may wait for that. */
  ended(peer: Peer): void;
}

/** First pause between calls in haste; each further one is half of the time that the haste has lasted. */
const HURRY_MS = 100;
/** Calls in a row without an answer until that is told, once. */
const TOLD_SILENT_AFTER = 3;

/** After Established, until an awaited speaker is sent another KEEPALIVE. */
const NUDGE_MS = 50;

/** RFC 9687: SendHoldTime. */
const SEND_HOLD_MS = 480_000;
/** Failures in a row after which a peer has to wait for the end of our idle hold as well. */
const CALLS_MAX = 5;
/** How long such a peer is kept out although routes of it wait for its return. */
const RETURN_PAUSE_MS = 1000;

interface Connection {
  peer: Peer;
  fsm: Fsm;
}

export class Sessions {
  readonly #host: SessionHost;
  readonly #ports: RouterPorts;
  /** By index in the peer table. */
  readonly #peers: (Peer | undefined)[] = [];
  /** By the same: when a peer has to be looked at. It may be too early, never too late. */
  readonly #deadlines = new Deadlines();
  readonly #connections = new Map<number, Connection>();
  #nextConnection = 1;

  constructor(host: SessionHost, ports: RouterPorts) {
    this.#host = host;
    this.#ports = ports;
  }

  add(peer: Peer): void {
    this.#peers[peer.index] = peer;
  }

  /** Forgets a peer whose sessions have been stopped. */
  remove(peer: Peer): void {
    this.#peers[peer.index] = undefined;
    this.#deadlines.delete(peer.index);
  }

  /** What the peer's next session would be configured with. */
  configOf(peer: Peer): SessionConfig {
    return this.#host.sessionConfig(peer);
  }

  /** An id for a connection that came in; the transport uses it from then on. */
  newConnection(): number {
    return this.#nextConnection++;
  }

  start(peer: Peer): void {
    if (peer.main.session.state === 'idle') this.#feed(peer, peer.main, { kind: 'automaticStart' });
  }

  /**
   * The peer may be there at any moment, because its link or our address on it is: what waits for the end of a pause is
   * done at once, and calls that fail are repeated in haste.
   */
  hurry(peer: Peer): void {
    const { main } = peer;
    peer.hurrySinceMs = this.#host.nowMs();
    if (main.connected) return;
    if (main.session.state === 'idle') this.start(peer);
    else this.#callWithin(main, main.connection === 0 ? 0 : HURRY_MS);
    this.#deadlines.advance(peer.index, this.#deadlineOf(peer));
  }

  /** Brings the next call forward, where there is to be one: from Idle too, for attempts fail that come too early. */
  #callWithin(fsm: Fsm, pauseMs: number): void {
    const { state, timers } = fsm.session;
    const timer = state === 'idle' ? 'idleHold' : 'connectRetry';
    const atMs = Math.round(this.#host.nowMs() + pauseMs);
    if (timers[timer] > atMs) fsm.session = { ...fsm.session, timers: { ...timers, [timer]: atMs } };
  }

  /** The link to the peer is gone, and with it what was connected over it. */
  linkLost(peer: Peer, message: string): void {
    for (const fsm of [peer.second, peer.main]) {
      if (fsm === undefined || !fsm.connected) continue;
      this.#close(fsm);
      this.#feed(peer, fsm, { kind: 'tcpConnectionFails', message, lostLink: true });
    }
  }

  /** Ends whatever the peer has; `text` is told to it (RFC 9003). */
  stop(peer: Peer, cause: StopCause, text?: string, data?: Uint8Array): void {
    this.#stop(
      peer,
      cause === 'adminDown' || cause === 'deconfigured'
        ? { kind: 'manualStop', cause, communication: text }
        : { kind: 'automaticStop', cause, communication: text, data },
    );
  }

  /** BFD lost the peer; `restarting`: with its control plane, so that its routes may be kept (RFC 5882 4.3). */
  bfdDown(peer: Peer, restarting: boolean): void {
    this.#stop(peer, { kind: 'automaticStop', cause: 'bfdDown', restarting });
  }

  #stop(peer: Peer, event: SessionEvent): void {
    if (peer.second !== undefined) this.#feed(peer, peer.second, event);
    this.#feed(peer, peer.main, event);
  }

  /**
   * A connection the peer opened. It takes the place of the main one when that has nothing of its own yet,
   * else it stands beside it until OPEN tells them apart. False: the peer has two already.
   */
  accepted(peer: Peer, connection: number, local: Uint8Array): boolean {
    const fsm = this.#fsmForIncoming(peer);
    if (fsm === undefined) return false;
    fsm.connection = connection;
    fsm.outgoing = false;
    fsm.connected = true;
    fsm.local = local;
    this.#connections.set(connection, { peer, fsm });
    this.#feed(peer, fsm, { kind: 'tcpConnectionConfirmed' });
    return true;
  }

  connected(connection: number, local: Uint8Array): void {
    const found = this.#connections.get(connection);
    if (found === undefined) return;
    found.fsm.connected = true;
    found.fsm.local = local;
    this.#feed(found.peer, found.fsm, { kind: 'tcpRequestAcked' });
  }

  /** Another TTL or key for the connections that are up. */
  tune(peer: Peer, tuning: ConnectionTuning): void {
    for (const fsm of [peer.main, peer.second])
      if (fsm?.connected === true) this.#ports.tune?.(fsm.connection, tuning);
  }

  /** A connection could not be made, or ended. */
  lost(connection: number, message?: string): void {
    const found = this.#connections.get(connection);
    if (found === undefined) return;
    this.#forget(found.fsm);
    this.#feed(found.peer, found.fsm, { kind: 'tcpConnectionFails', message });
  }

  /** The socket takes bytes again; returns the peer if routes may flow to it. */
  writable(connection: number): Peer | undefined {
    const found = this.#connections.get(connection);
    if (found === undefined) return undefined;
    found.fsm.blocked = false;
    return found.peer.established === found.fsm ? found.peer : undefined;
  }

  /** Bytes of a connection, in order, any number of messages or parts of them. */
  received(connection: number, chunk: Uint8Array): void {
    const found = this.#connections.get(connection);
    if (found === undefined) return;
    const { peer, fsm } = found;
    const bytes = fsm.partial === undefined ? chunk : concat(fsm.partial, chunk);
    fsm.partial = undefined;
    let maxLength = longestFrom(fsm);
    let updates = 0;
    let at = 0;
    while (fsm.connection === connection) {
      const length = frameLength(bytes, at, bytes.length, maxLength);
      if (length <= 0) {
        if (length < 0)
          this.#feed(peer, fsm, { kind: 'headerError', fault: headerFault(bytes, at, maxLength) });
        else if (at < bytes.length) fsm.partial = bytes.slice(at);
        break;
      }
      const type = messageType(bytes, at);
      peer.counters.received[type]!++;
      if (type === UPDATE && peer.established === fsm) {
        updates++;
        const fault = this.#host.update(peer, bytes, at + HEADER_LENGTH, at + length);
        if (fault !== undefined) this.#feed(peer, fsm, { kind: 'updateError', fault });
      } else {
        this.#message(peer, fsm, bytes, at, at + length);
        // The OPEN within this chunk may have allowed longer ones behind it.
        maxLength = longestFrom(fsm);
      }
      at += length;
    }
    // One event stands for all UPDATEs of the chunk: it only restarts the hold timer.
    if (updates === 0 || peer.established !== fsm) return;
    peer.updatedAtMs = this.#host.nowMs();
    this.#feed(peer, fsm, { kind: 'updateReceived' });
  }

  /** Sends `count` UPDATEs, or another message, on the Established session; false when the socket has enough. */
  send(peer: Peer, bytes: Uint8Array, length: number, count = 1): boolean {
    const fsm = peer.established;
    if (fsm === undefined) return true;
    peer.counters.sent[messageType(bytes, 0)]! += count;
    const more = this.#ports.send(fsm.connection, bytes, length);
    if (!more) this.#block(fsm);
    return more;
  }

  /** When `expire` has to be called, or Infinity. */
  nextDeadlineMs(): number {
    return this.#deadlines.earliestMs;
  }

  /** Fires every timer that is due. */
  expire(): void {
    const nowMs = this.#host.nowMs();
    for (let index = this.#deadlines.takeDue(nowMs); index >= 0; index = this.#deadlines.takeDue(nowMs)) {
      const peer = this.#peers[index]!;
      if (this.#sendHoldAt(peer) <= nowMs) this.#feed(peer, peer.established!, { kind: 'sendHoldExpired' });
      for (const fsm of [peer.main, peer.second])
        for (let rounds = 0; fsm !== undefined && rounds < 8; rounds++) {
          const due = nextDeadline(fsm.session);
          if (due === undefined || due.atMs > nowMs) break;
          // What has come is a sign of life, though nobody has had the time to read it.
          if (due.timer === 'hold' && this.#ports.hasUnread?.(fsm.connection) === true) break;
          this.#feed(peer, fsm, { kind: 'timerExpired', timer: due.timer });
        }
      // What is due still, after so many rounds, waits for the next call.
      this.#deadlines.set(index, Math.max(this.#deadlineOf(peer), nowMs + 1));
    }
  }

  #deadlineOf(peer: Peer): number {
    const second = peer.second === undefined ? Number.POSITIVE_INFINITY : nextTimerMs(peer.second.session);
    return Math.min(nextTimerMs(peer.main.session), second, this.#sendHoldAt(peer));
  }

  #message(peer: Peer, fsm: Fsm, bytes: Uint8Array, start: number, end: number): void {
    const body = start + HEADER_LENGTH;
    switch (messageType(bytes, start)) {
      case OPEN: {
        const open = decodeOpen(bytes, body, end);
        if (isFault(open)) this.#feed(peer, fsm, { kind: 'openError', fault: open });
        else {
          // An OPEN that will be refused settles nothing: it must not end another connection.
          if (
            checkOpen(open, this.#host.sessionConfig(peer), fsm.session.sentOpen?.capabilities) === undefined
          )
            this.#settleCollision(peer, fsm, open.bgpId, open.asn);
          if (fsm.connection !== 0) this.#feed(peer, fsm, { kind: 'openReceived', open });
        }
        return;
      }
      case UPDATE:
        this.#feed(peer, fsm, { kind: 'updateReceived' });
        return;
      case KEEPALIVE:
        this.#feed(peer, fsm, { kind: 'keepaliveReceived' });
        return;
      case NOTIFICATION: {
        const { code, subcode, data } = decodeNotification(bytes, body, end);
        this.#feed(peer, fsm, { kind: 'notificationReceived', code, subcode, data });
        return;
      }
      default:
        this.#refresh(peer, fsm, bytes, body, end);
    }
  }

  #refresh(peer: Peer, fsm: Fsm, bytes: Uint8Array, start: number, end: number): void {
    const refresh = decodeRouteRefresh(bytes, start, end);
    if (isFault(refresh)) {
      this.#feed(peer, fsm, { kind: 'routeRefreshError', fault: refresh });
      return;
    }
    this.#feed(peer, fsm, { kind: 'routeRefreshReceived' });
    if (peer.established === fsm) this.#host.routeRefresh(peer, refresh);
  }

  #fsmForIncoming(peer: Peer): Fsm | undefined {
    const { main } = peer;
    const free = main.connection === 0 && (main.session.state === 'idle' || main.session.state === 'active');
    if (free) {
      if (main.session.state === 'idle') {
        // The peer is sooner back than our idle hold: its wish to talk is worth more than our pause. But not
        // over and over: a session that flaps costs every neighbour.
        if (!this.#mayCall(peer)) return undefined;
        const { oscillations, connectRetryCounter, lastError, extent } = main.session;
        const waiting = incomingSession(this.#host.nowMs(), extent);
        main.session = { ...waiting, incoming: false, oscillations, connectRetryCounter, lastError };
      }
      return main;
    }
    if (peer.second !== undefined) {
      // Whoever calls again has given up the call before: a remnant must not keep the peer out for minutes.
      if (peer.second.session.state !== 'openSent') return undefined;
      this.#feed(peer, peer.second, { kind: 'openCollisionDump' });
    }
    peer.second = newFsm(incomingSession(this.#host.nowMs(), main.session.extent), false);
    return peer.second;
  }

  /**
   * Whether a peer that failed over and over may call before the end of our idle hold: when routes of it wait for its
   * return (RFC 4724), for as long as it is kept out it may be silent towards all others, too.
   */
  #mayCall(peer: Peer): boolean {
    const nowMs = this.#host.nowMs();
    const { oscillations, timers } = peer.main.session;
    if (oscillations <= CALLS_MAX || timers.idleHold <= nowMs) return true;
    return peer.restart.stale !== 0 && nowMs - peer.downAtMs >= RETURN_PAUSE_MS;
  }

  /** RFC 4271, section 6.8; RFC 4724, section 5, where the other connection is Established. */
  #settleCollision(peer: Peer, fsm: Fsm, remoteBgpId: number, remoteAsn: number): void {
    const other = fsm === peer.main ? peer.second : peer.main;
    if (other === undefined || other.connection === 0 || !other.connected) return;
    const config = this.#host.sessionConfig(peer);
    const outcome = resolveCollision({
      localBgpId: config.bgpId,
      localAsn: config.localAsn,
      remoteBgpId,
      remoteAsn,
      arrivingIsOurs: fsm.outgoing,
      existingState: other.session.state,
      existingIsOurs: other.outgoing,
      existingRestarter: restarterOf(other.session.negotiated),
    });
    if (outcome === 'keepBoth') return;
    if (outcome === 'closeArriving') this.#feed(peer, fsm, { kind: 'openCollisionDump' });
    else {
      this.#feed(peer, other, {
        kind: outcome === 'replaceExisting' ? 'peerRestarted' : 'openCollisionDump',
      });
      this.#promote(peer, fsm);
    }
  }

  /** Makes `fsm` the main one; whatever the old main was has ended. */
  #promote(peer: Peer, fsm: Fsm): void {
    if (fsm !== peer.second) return;
    const old = peer.main;
    peer.main = fsm;
    peer.second = undefined;
    fsm.session = { ...promote(fsm.session), oscillations: old.session.oscillations };
    if (old.connection !== 0) this.#close(old);
  }

  #feed(peer: Peer, fsm: Fsm, event: SessionEvent): void {
    const wasEstablished = fsm.session.state === 'established';
    if (fsm === peer.main && !wasEstablished) this.#countSilence(peer, fsm, event);
    const config = this.#host.sessionConfig(peer);
    const { session, actions } = step(fsm.session, event, config, this.#host.nowMs(), this.#ports.jitter());
    fsm.session = session;
    for (const action of actions) this.#perform(peer, fsm, action);
    // Who says that it does not want us is there: haste gains nothing.
    if (event.kind === 'notificationReceived' && event.code === OPEN_MESSAGE_ERROR) peer.hurrySinceMs = 0;
    else if (peer.hurrySinceMs !== 0)
      this.#callWithin(fsm, Math.max(HURRY_MS, (this.#host.nowMs() - peer.hurrySinceMs) / 2));
    if (fsm === peer.second && session.state === 'idle') {
      peer.second = undefined;
      if (fsm.connection !== 0) this.#close(fsm);
      // What the peer refuses on one connection it refuses on the next one.
      if (peer.established === undefined)
        peer.main.session = { ...peer.main.session, extent: session.extent };
    }
    if (this.#peers[peer.index] === peer) this.#deadlines.advance(peer.index, this.#deadlineOf(peer));
    if (fsm.connection === 0) this.#host.ended(peer);
    if (wasEstablished || session.state !== 'established') this.#ports.wake();
  }

  /** A peer that never answers a call (a wrong key, a filter on the way) ends nothing, and is told of all the same. */
  #countSilence(peer: Peer, fsm: Fsm, event: SessionEvent): void {
    const isOver = event.kind === 'timerExpired' && event.timer === 'connectRetry';
    if (!isOver) {
      if (event.kind === 'tcpRequestAcked' || event.kind === 'tcpConnectionFails') peer.silentCalls = 0;
      return;
    }
    if (fsm.session.state !== 'connect' || this.#host.connectTarget(peer) === undefined) return;
    // In haste nobody has the time to answer.
    if (this.#host.nowMs() - peer.hurrySinceMs < 2 * peer.config.connectRetryMs) return;
    if (++peer.silentCalls !== TOLD_SILENT_AFTER) return;
    const text = `no answer to ${TOLD_SILENT_AFTER} calls in a row; leafctl why ${peer.name} says what may be lost`;
    this.#ports.event({ kind: 'sessionRefused', peer: peer.name, text });
  }

  #perform(peer: Peer, fsm: Fsm, action: SessionAction): void {
    switch (action.kind) {
      case 'connect':
        this.#connect(peer, fsm);
        return;
      case 'closeConnection':
        this.#close(fsm);
        return;
      case 'sendOpen':
        this.#transmit(peer, fsm, encodeOpen(action.open));
        return;
      case 'sendKeepalive':
        this.#transmit(peer, fsm, keepaliveMessage);
        return;
      case 'sendNotification':
        this.#transmit(peer, fsm, encodeNotification(action.code, action.subcode, action.data));
        return;
      case 'established':
        this.#established(peer, fsm, action.negotiated);
        return;
      case 'down':
        this.#down(peer, fsm, action.reason, action.staleFamilies);
    }
  }

  #established(peer: Peer, fsm: Fsm, negotiated: Negotiated): void {
    const other = fsm === peer.main ? peer.second : peer.main;
    if (other !== undefined && other.session.state !== 'idle')
      this.#feed(peer, other, { kind: 'openCollisionDump' });
    this.#promote(peer, fsm);
    peer.established = fsm;
    peer.negotiated = negotiated;
    peer.hurrySinceMs = 0;
    this.#host.established(peer, negotiated);
    if (peer.config.awaitMs !== undefined) this.#nudge(fsm);
  }

  /** BIRD may sleep on its first UPDATE until something comes in: a KEEPALIVE soon after all else wakes it. */
  #nudge(fsm: Fsm): void {
    const { timers } = fsm.session;
    const atMs = Math.round(this.#host.nowMs() + NUDGE_MS);
    if (timers.keepalive > atMs) fsm.session = { ...fsm.session, timers: { ...timers, keepalive: atMs } };
  }

  #down(peer: Peer, fsm: Fsm, reason: DownReason, staleFamilies: number): void {
    const told = peer.lastError?.reason;
    if (reason.code !== undefined) peer.lastError = { atMs: this.#host.nowMs(), reason };
    if (peer.established !== fsm) {
      // A neighbour that cannot be talked to tries for ever: told once for each reason.
      const isNews = reason.code !== undefined && reason.kind !== 'collision' && !sameReason(told, reason);
      if (isNews && peer.established === undefined)
        this.#ports.event({ kind: 'sessionRefused', peer: peer.name, text: describeDown(reason) });
      return;
    }
    peer.established = undefined;
    if (peer.config.awaitMs !== undefined) peer.hurrySinceMs = this.#host.nowMs();
    this.#host.down(peer, reason, staleFamilies);
    peer.negotiated = undefined;
  }

  #connect(peer: Peer, fsm: Fsm): void {
    const target = this.#host.connectTarget(peer);
    const connection = this.newConnection();
    fsm.connection = connection;
    fsm.outgoing = true;
    fsm.connected = false;
    this.#connections.set(connection, { peer, fsm });
    // Without a target there is nobody yet to connect to: the connect-retry timer tries again.
    if (target !== undefined) this.#ports.connect(connection, target);
  }

  #close(fsm: Fsm): void {
    if (fsm.connection === 0) return;
    this.#ports.close(fsm.connection);
    this.#forget(fsm);
  }

  #forget(fsm: Fsm): void {
    this.#connections.delete(fsm.connection);
    fsm.connection = 0;
    fsm.connected = false;
    fsm.partial = undefined;
    fsm.blocked = false;
  }

  #transmit(peer: Peer, fsm: Fsm, message: Uint8Array): void {
    if (fsm.connection === 0) return;
    peer.counters.sent[messageType(message, 0)]!++;
    if (!this.#ports.send(fsm.connection, message, message.length)) this.#block(fsm);
  }

  #block(fsm: Fsm): void {
    if (fsm.blocked) return;
    fsm.blocked = true;
    fsm.blockedSinceMs = this.#host.nowMs();
    const { peer } = this.#connections.get(fsm.connection)!;
    if (this.#peers[peer.index] === peer) this.#deadlines.advance(peer.index, this.#sendHoldAt(peer));
  }

  /** When a session whose peer takes nothing any more ends (RFC 9687, 4: 8 minutes, or twice the hold time). */
  #sendHoldAt(peer: Peer): number {
    const { established, negotiated } = peer;
    if (established === undefined || negotiated === undefined || !established.blocked)
      return Number.POSITIVE_INFINITY;
    return established.blockedSinceMs + Math.max(SEND_HOLD_MS, 2 * negotiated.holdTimeMs);
  }
}

/** RFC 8654 section 4: longer messages once both OPENs have said so; OPEN and KEEPALIVE never (header.ts). */
function longestFrom(fsm: Fsm): number {
  const extended = fsm.session.negotiated?.extendedMessage === true;
  return extended ? EXTENDED_MESSAGE_LENGTH_MAX : MESSAGE_LENGTH_MAX;
}

/** Who may come back on another connection before we know that the present one is dead (RFC 4724 5). */
function restarterOf(negotiated: Negotiated | undefined): { bgpId: number; asn: number } | undefined {
  if (negotiated?.gracefulRestart === undefined) return undefined;
  return { bgpId: negotiated.remoteBgpId, asn: negotiated.remoteAsn };
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

function sameReason(a: DownReason | undefined, b: DownReason): boolean {
  return a?.kind === b.kind && a.code === b.code && a.subcode === b.subcode && a.text === b.text;
}
