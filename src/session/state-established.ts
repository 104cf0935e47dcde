// Established (RFC 4271 8.2.2): routes flow. UPDATE and KEEPALIVE start the HoldTimer anew; errors of an
// UPDATE end the session only when RFC 7606 leaves nothing milder. A header error is told with its own code,
// as RFC 4271 6.1 wants (8.2.2 lists it among the FSM errors), a second OPEN is the FSM error 5/3 whatever it
// contains.

import { unexpectedMessage } from './fsm-error.ts';
import type { SessionEvent, StepResult } from './state.ts';
import { sendKeepalive } from './state-open.ts';
import {
  connectionLost,
  dumped,
  failWith,
  holdAt,
  holdExpired,
  keepaliveAt,
  notified,
  type StepInput,
  sendHoldExpired,
  toIdle,
  unchanged,
} from './transition.ts';

export function stepEstablished(input: StepInput, event: SessionEvent): StepResult {
  switch (event.kind) {
    case 'keepaliveReceived':
    case 'updateReceived':
      return heard(input);
    case 'updateError':
      return event.fault.disposition === 'reset' ? failWith(input, event.fault) : heard(input);
    case 'updateSent':
      return spoke(input);
    case 'timerExpired':
      if (event.timer === 'hold') return holdExpired(input);
      return event.timer === 'keepalive' ? sendKeepalive(input) : unchanged(input);
    case 'tcpConnectionFails':
      return connectionLost(input, event.message, event.lostLink);
    case 'notificationReceived':
      return notified(input, event.code, event.subcode, event.data);
    case 'headerError':
    case 'routeRefreshError':
      return failWith(input, event.fault);
    case 'openReceived':
    case 'openError':
      return failWith(input, unexpectedMessage('established', event.kind));
    case 'sendHoldExpired':
      return sendHoldExpired(input);
    case 'openCollisionDump':
      return dumped(input);
    case 'peerRestarted':
      return replaced(input);
    default:
      // A start; ROUTE-REFRESH, which RFC 4271 6.5 does not count as a sign of life; another connection's
      // news.
      return unchanged(input);
  }
}

function heard(input: StepInput): StepResult {
  const { session } = input;
  const hold = holdAt(input, session.negotiated!.holdTimeMs);
  return { session: { ...session, timers: { ...session.timers, hold } }, actions: [] };
}

function spoke(input: StepInput): StepResult {
  const { session } = input;
  const keepalive = keepaliveAt(input, session.negotiated!.keepaliveMs);
  return { session: { ...session, timers: { ...session.timers, keepalive } }, actions: [] };
}

/** RFC 4724 5: the old connection is taken as lost, without a NOTIFICATION and without damping. */
function replaced(input: StepInput): StepResult {
  return toIdle(input, { kind: 'peerRestarted' }, { counter: 'keep', oscillates: false, restarts: true });
}
