// The moves that the states of the machine share: begin, send our OPEN, accept the peer's, and go back to
// Idle with or without a NOTIFICATION. Each gives the next session and the actions that go with it, so that
// timers and negotiated values are set in one place. RFC 4271 8.2.2; which event leads to which move is in
// the state-* files.

import { CEASE, type Fault, HOLD_TIMER_EXPIRED, OPEN_MESSAGE_ERROR } from '../wire/bgp/fault.ts';
import { CEASE_COLLISION, CEASE_HARD_RESET } from '../wire/bgp/notification.ts';
import type { Open } from '../wire/bgp/open.ts';
import { countOscillation, idleHoldMs } from './damping.ts';
import { checkOpen, negotiate } from './negotiate.ts';
import { capabilitiesOf, lesserExtent } from './offer-extent.ts';
import { type DownReason, receivedReason, type StopCause, staleFamilies, stopRows } from './reason.ts';
import {
  type OfferExtent,
  type Session,
  type SessionAction,
  type SessionConfig,
  type SessionState,
  type StepResult,
  stoppedTimers,
  type Timers,
} from './state.ts';

/** One call of `step`: what every state needs besides the event. */
export interface StepInput {
  session: Session;
  config: SessionConfig;
  nowMs: number;
  /** Factor in [0.75, 1] for the timers that RFC 4271 10 jitters. */
  jitter: number;
}

/** RFC 4271 8.2.2: "a large value", 4 minutes suggested. */
const defaultOpenHoldMs = 240_000;
/** RFC 4271 4.4: not more than one KEEPALIVE a second. */
const shortestKeepaliveMs = 1000;

/** RFC 9687 3. */
const SEND_HOLD_TIMER_EXPIRED = 8;

const noData = new Uint8Array(0);

/** Nothing happens: the event means nothing in this state. */
export function unchanged(input: StepInput): StepResult {
  return { session: input.session, actions: [] };
}

/** The session in `state` with only the given timers running. */
export function enter(input: StepInput, state: SessionState, timers: Partial<Timers>): Session {
  const { session, nowMs } = input;
  const sinceMs = session.state === state ? session.sinceMs : nowMs;
  return { ...session, state, timers: { ...stoppedTimers(), ...timers }, sinceMs };
}

/** The deadline of a new ConnectRetryTimer. */
function connectRetryAt(input: StepInput): number {
  return input.nowMs + Math.max(1, Math.round(input.config.connectRetryMs * input.jitter));
}

/** The deadline of a new KeepaliveTimer, 0 when the negotiated hold time is 0. */
export function keepaliveAt(input: StepInput, keepaliveMs: number): number {
  if (keepaliveMs === 0) return 0;
  return input.nowMs + Math.max(shortestKeepaliveMs, Math.round(keepaliveMs * input.jitter));
}

/** The deadline of a new HoldTimer, 0 when the negotiated hold time is 0. */
export function holdAt(input: StepInput, holdTimeMs: number): number {
  return holdTimeMs === 0 ? 0 : input.nowMs + holdTimeMs;
}

/** Leaves Idle: to Connect, or to Active when the peer is to call us. */
export function begin(input: StepInput): StepResult {
  if (input.config.passive) return { session: enter(input, 'active', {}), actions: [] };
  return {
    session: enter(input, 'connect', { connectRetry: connectRetryAt(input) }),
    actions: [{ kind: 'connect' }],
  };
}

/** Tries anew after the ConnectRetryTimer, dropping what there is. */
export function connectAgain(input: StepInput): StepResult {
  const session = enter(input, 'connect', { connectRetry: connectRetryAt(input) });
  return {
    session: { ...session, connectRetryCounter: session.connectRetryCounter + 1 },
    actions: [{ kind: 'closeConnection' }, { kind: 'connect' }],
  };
}

/** Listens for the peer after a connection failed, and will try again by itself unless passive. */
export function listen(input: StepInput, reason: DownReason): StepResult {
  const timers = input.config.passive ? {} : { connectRetry: connectRetryAt(input) };
  const actions: SessionAction[] = [{ kind: 'closeConnection' }];
  if (input.session.state === 'openSent') {
    actions.push({ kind: 'down', reason, from: 'openSent', staleFamilies: 0 });
  }
  const session = enter(input, 'active', timers);
  return { session: { ...session, sentOpen: undefined, lastError: reason }, actions };
}

function ourOpen(config: SessionConfig, extent: OfferExtent): Open {
  return {
    asn: config.localAsn,
    holdTimeS: Math.ceil(config.holdTimeMs / 1000),
    bgpId: config.bgpId,
    capabilities: capabilitiesOf(config, extent),
  };
}

/** A connection is up: waits for the DelayOpenTimer in the same state, or sends OPEN at once. */
export function connected(input: StepInput): StepResult {
  const delayMs = input.config.delayOpenMs ?? 0;
  if (delayMs > 0) {
    return { session: enter(input, input.session.state, { delayOpen: input.nowMs + delayMs }), actions: [] };
  }
  return sendOpen(input);
}

/** Sends OPEN and waits for the peer's. */
export function sendOpen(input: StepInput): StepResult {
  const open = ourOpen(input.config, input.session.extent);
  const hold = input.nowMs + (input.config.openHoldMs ?? defaultOpenHoldMs);
  return {
    session: { ...enter(input, 'openSent', { hold }), sentOpen: open },
    actions: [{ kind: 'sendOpen', open }],
  };
}

/**
 * The peer's OPEN: refused with its fault, or answered with KEEPALIVE. `sentOpen` is undefined while the
 * DelayOpenTimer runs (event 20): then ours goes first.
 */
export function acceptOpen(input: StepInput, remoteOpen: Open): StepResult {
  const { session, config } = input;
  const actions: SessionAction[] = [];
  const open = session.sentOpen ?? ourOpen(config, session.extent);
  if (session.sentOpen === undefined) actions.push({ kind: 'sendOpen', open });
  const fault = checkOpen(remoteOpen, config, open.capabilities);
  if (fault !== undefined) {
    const refused = failWith({ ...input, session: { ...session, remoteOpen } }, fault);
    return { session: refused.session, actions: [...actions, ...refused.actions] };
  }
  const negotiated = negotiate(open, remoteOpen, config);
  actions.push({ kind: 'sendKeepalive' });
  const timers = {
    hold: holdAt(input, negotiated.holdTimeMs),
    keepalive: keepaliveAt(input, negotiated.keepaliveMs),
  };
  return {
    session: { ...enter(input, 'openConfirm', timers), sentOpen: open, remoteOpen, negotiated },
    actions,
  };
}

interface IdleOptions {
  /** Sent before the connection is closed. */
  notification?: { code: number; subcode: number; data: Uint8Array };
  /** What becomes of the ConnectRetryCounter. */
  counter: 'keep' | 'add' | 'clear';
  /** The end counts for damping. */
  oscillates: boolean;
  /** Whether the IdleHoldTimer brings it back, where the configuration allows. */
  restarts: boolean;
  /** What the next OPEN offers, where that changes. */
  extent?: OfferExtent;
}

/** Ends whatever is there and goes to Idle. */
export function toIdle(input: StepInput, reason: DownReason, options: IdleOptions): StepResult {
  const { session, config, nowMs } = input;
  const from = session.state;
  const actions: SessionAction[] = [];
  if (options.notification !== undefined) actions.push({ kind: 'sendNotification', ...options.notification });
  actions.push({ kind: 'closeConnection' });
  const stale = from === 'established' ? staleFamilies(reason, session.negotiated) : 0;
  actions.push({ kind: 'down', reason, from, staleFamilies: stale });
  const upMs = from === 'established' ? nowMs - session.sinceMs : 0;
  let oscillations = session.oscillations;
  if (options.counter === 'clear') oscillations = 0;
  else if (options.oscillates) oscillations = countOscillation(oscillations, upMs, config);
  const restarts = options.restarts && !session.incoming && config.automaticRestart !== false;
  const idleHold = restarts ? nowMs + idleHoldMs(oscillations, config, input.jitter) : 0;
  return {
    session: {
      state: 'idle',
      timers: { ...stoppedTimers(), idleHold },
      connectRetryCounter: nextCounter(session.connectRetryCounter, options.counter),
      oscillations,
      sinceMs: nowMs,
      incoming: session.incoming,
      // A session that was up ends what the peer's refusals taught: it may be another software that comes back.
      extent: from === 'established' ? 'all' : (options.extent ?? session.extent),
      sentOpen: undefined,
      remoteOpen: session.remoteOpen,
      negotiated: undefined,
      lastError: reason,
    },
    actions,
  };
}

function nextCounter(counter: number, change: 'keep' | 'add' | 'clear'): number {
  if (change === 'clear') return 0;
  return change === 'add' ? counter + 1 : counter;
}

const failed: IdleOptions = { counter: 'add', oscillates: true, restarts: true };

/** Whether a NOTIFICATION may go out: once OPEN was sent, or before it if the configuration allows. */
function mayNotify(input: StepInput): boolean {
  const { session, config } = input;
  if (session.state !== 'connect' && session.state !== 'active') return true;
  return session.timers.delayOpen !== 0 && config.notifyWithoutOpen !== false;
}

/** Tells the peer its fault and ends the session (events 21, 22, 28 and the FSM errors). */
export function failWith(input: StepInput, fault: Fault): StepResult {
  const { code, subcode } = fault;
  const reason: DownReason = { kind: 'notificationSent', code, subcode, text: fault.reason };
  const notification = { code, subcode, data: fault.data ?? noData };
  return toIdle(input, reason, mayNotify(input) ? { ...failed, notification } : failed);
}

/** The HoldTimer expired: 4/0. */
export function holdExpired(input: StepInput): StepResult {
  const notification = { code: HOLD_TIMER_EXPIRED, subcode: 0, data: noData };
  return toIdle(
    input,
    { kind: 'holdTimer', code: HOLD_TIMER_EXPIRED, subcode: 0 },
    { ...failed, notification },
  );
}

/** The SendHoldTimer expired: 8/0, which may never leave (RFC 9687 4). */
export function sendHoldExpired(input: StepInput): StepResult {
  const notification = { code: SEND_HOLD_TIMER_EXPIRED, subcode: 0, data: noData };
  const reason: DownReason = { kind: 'sendHoldTimer', code: SEND_HOLD_TIMER_EXPIRED, subcode: 0 };
  return toIdle(input, reason, { ...failed, notification });
}

/** The connection is gone without a NOTIFICATION; a link that went is no failure of the peer. */
export function connectionLost(
  input: StepInput,
  message: string | undefined,
  lostLink: boolean = false,
): StepResult {
  const reason: DownReason = { kind: 'tcpClosed' };
  if (message !== undefined) reason.text = message;
  if (lostLink) reason.lostLink = true;
  return toIdle(input, reason, { ...failed, oscillates: !lostLink });
}

/**
 * The peer sent a NOTIFICATION; none is sent back, for RFC 4271 6.4 has no answer to one (8.2.2 names an FSM
 * error for event 25 in OpenSent; no speaker sends it). A version error is not a failure (event 24), nor is a refusal
 * of what we offer as long as there is less to offer (RFC 5492 3).
 */
export function notified(input: StepInput, code: number, subcode: number, data?: Uint8Array): StepResult {
  const { session, config } = input;
  const extent = lesserExtent(session, config, code, subcode);
  const isFailure =
    !(code === OPEN_MESSAGE_ERROR && subcode === 1) && (extent === undefined || extent === 'all');
  const options: IdleOptions = { ...failed, counter: isFailure ? 'add' : 'keep', oscillates: isFailure };
  if (extent !== undefined) options.extent = extent;
  return toIdle(input, receivedReason(code, subcode, data), options);
}

/** Another connection of this peer was kept (event 23): Cease 6/7. */
export function dumped(input: StepInput): StepResult {
  const reason: DownReason = { kind: 'collision', code: CEASE, subcode: CEASE_COLLISION };
  const notification = { code: CEASE, subcode: CEASE_COLLISION, data: noData };
  const options: IdleOptions = { counter: 'add', oscillates: false, restarts: true };
  if (mayNotify(input)) options.notification = notification;
  return toIdle(input, reason, options);
}

/** A stop by the operator (manual, event 2) or the daemon (event 8); `data` is the body of the Cease. */
export interface StopOrder {
  manual: boolean;
  cause: StopCause;
  data: Uint8Array;
  text: string | undefined;
  /** The peer is taken for one that restarts: never a Hard Reset. */
  restarting: boolean;
}

/**
 * Carries out a stop. Between speakers that negotiated the N bit a stop that must not keep routes is a Hard
 * Reset (RFC 8538 3.1).
 */
export function stop(input: StepInput, order: StopOrder): StepResult {
  const { cause, data, text, restarting } = order;
  const row = stopRows[cause];
  const counter = order.manual ? 'clear' : 'add';
  const options: IdleOptions = { counter, oscillates: false, restarts: row.restarts };
  const reason: DownReason = { kind: cause };
  if (text !== undefined && text !== '') reason.text = text;
  if (restarting) reason.restarting = true;
  if (row.ceaseSubcode !== undefined && mayNotify(input)) {
    const subcode = row.ceaseSubcode;
    reason.code = CEASE;
    reason.subcode = subcode;
    options.notification = { code: CEASE, subcode, data };
    const { session } = input;
    if (
      row.hard &&
      !restarting &&
      session.state === 'established' &&
      session.negotiated?.gracefulRestart?.notification
    ) {
      reason.hard = true;
      options.notification = {
        code: CEASE,
        subcode: CEASE_HARD_RESET,
        data: Uint8Array.of(CEASE, subcode, ...data),
      };
    }
  }
  return toIdle(input, reason, options);
}
