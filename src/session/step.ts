// The BGP state machine of RFC 4271 section 8 as a pure function: (session, event) -> next session and
// actions. It owns the order of states, timers as deadlines, and which NOTIFICATION a peer's or our end of a
// session sends. What each state does is in the state-* files, the moves they share in transition.ts. It does
// not read bytes (wire), choose between two connections (collision.ts says, the caller does), or touch routes
// (router).

import { encodeShutdownText } from '../wire/bgp/notification.ts';
import type { Session, SessionConfig, SessionEvent, StepResult } from './state.ts';
import { stepConnecting } from './state-connect.ts';
import { stepEstablished } from './state-established.ts';
import { stepIdle } from './state-idle.ts';
import { stepOpenConfirm, stepOpenSent } from './state-open.ts';
import { type StepInput, stop, unchanged } from './transition.ts';

/**
 * One event. `nowMs` is the caller's monotonic clock (not 0 or less when timers are set); `jitter` a factor
 * in [0.75, 1] for the ConnectRetry, Keepalive and IdleHold timers (RFC 4271 10), by default none. Never
 * throws.
 */
export function step(
  session: Session,
  event: SessionEvent,
  config: SessionConfig,
  nowMs: number,
  jitter = 1,
): StepResult {
  const input: StepInput = { session, config, nowMs, jitter };
  if (event.kind === 'timerExpired') {
    // The session holds the deadlines: an expiry it does not know of is a late one of the caller's.
    const deadline = session.timers[event.timer];
    if (deadline === 0 || deadline > nowMs) return unchanged(input);
  }
  if (session.state === 'idle') return stepIdle(input, event);
  if (event.kind === 'manualStop' || event.kind === 'automaticStop') return stopNow(input, event);
  switch (session.state) {
    case 'connect':
    case 'active':
      return stepConnecting(input, event);
    case 'openSent':
      return stepOpenSent(input, event);
    case 'openConfirm':
      return stepOpenConfirm(input, event);
    case 'established':
      return stepEstablished(input, event);
  }
}

/**
 * Events 2 and 8 end every state but Idle alike. RFC 9003 text goes with Administrative Shutdown and Reset; with
 * another cause the text is for our own operator.
 */
function stopNow(
  input: StepInput,
  event: SessionEvent & { kind: 'manualStop' | 'automaticStop' },
): StepResult {
  const { cause } = event;
  const text = event.communication;
  let data = event.kind === 'automaticStop' ? event.data : undefined;
  const isTold = cause === 'adminDown' || cause === 'adminReset';
  if (isTold && text !== undefined && text !== '') data = encodeShutdownText(text);
  const restarting = event.kind === 'automaticStop' && event.restarting === true;
  return stop(input, { manual: event.kind === 'manualStop', cause, data: data ?? noData, text, restarting });
}

const noData = new Uint8Array(0);
