// OpenSent and OpenConfirm (RFC 4271 8.2.2): the connection is up, OPEN and KEEPALIVE are exchanged. A
// message out of turn is an FSM error with the subcode of the state and the message's type as data (RFC
// 6608).
//
// Ours: a NOTIFICATION is never answered with one, and a second OPEN on a connection in OpenConfirm is out of
// turn (the RFC speaks of collisions there, but those come on another connection, see collision.ts).

import { unexpectedMessage } from './fsm-error.ts';
import type { SessionEvent, StepResult } from './state.ts';
import {
  acceptOpen,
  connectionLost,
  dumped,
  enter,
  failWith,
  holdAt,
  holdExpired,
  keepaliveAt,
  listen,
  notified,
  type StepInput,
  unchanged,
} from './transition.ts';

export function stepOpenSent(input: StepInput, event: SessionEvent): StepResult {
  switch (event.kind) {
    case 'timerExpired':
      return event.timer === 'hold' ? holdExpired(input) : unchanged(input);
    case 'tcpConnectionFails':
      return openSentLost(input, event.message);
    case 'openReceived':
      return acceptOpen(input, event.open);
    default:
      return stepEither(input, event);
  }
}

export function stepOpenConfirm(input: StepInput, event: SessionEvent): StepResult {
  const { session } = input;
  switch (event.kind) {
    case 'timerExpired':
      if (event.timer === 'hold') return holdExpired(input);
      return event.timer === 'keepalive' ? sendKeepalive(input) : unchanged(input);
    case 'tcpConnectionFails':
      return connectionLost(input, event.message, event.lostLink);
    case 'keepaliveReceived': {
      const negotiated = session.negotiated!;
      const timers = { hold: holdAt(input, negotiated.holdTimeMs), keepalive: session.timers.keepalive };
      return {
        session: enter(input, 'established', timers),
        actions: [{ kind: 'established', negotiated }],
      };
    }
    default:
      return stepEither(input, event);
  }
}

/** What OpenSent and OpenConfirm do alike. */
function stepEither(input: StepInput, event: SessionEvent): StepResult {
  switch (event.kind) {
    case 'headerError':
    case 'openError':
      return failWith(input, event.fault);
    case 'openCollisionDump':
    case 'peerRestarted':
      return dumped(input);
    case 'notificationReceived':
      return notified(input, event.code, event.subcode, event.data);
    case 'openReceived':
    case 'keepaliveReceived':
    case 'updateReceived':
    case 'updateError':
    case 'routeRefreshReceived':
    case 'routeRefreshError':
      return failWith(input, unexpectedMessage(input.session.state, event.kind));
    default:
      // A start, or news of another connection (events 14 to 17), which has a session of its own.
      return unchanged(input);
  }
}

/** RFC 4271 8.2.2: OpenSent goes on listening; a session made for this connection ends with it. */
function openSentLost(input: StepInput, message: string | undefined): StepResult {
  if (input.session.incoming) return connectionLost(input, message);
  return listen(input, message === undefined ? { kind: 'tcpClosed' } : { kind: 'tcpClosed', text: message });
}

/** The KeepaliveTimer expired: sends one and starts it anew. */
export function sendKeepalive(input: StepInput): StepResult {
  const { session } = input;
  const keepalive = keepaliveAt(input, session.negotiated!.keepaliveMs);
  return {
    session: { ...session, timers: { ...session.timers, keepalive } },
    actions: [{ kind: 'sendKeepalive' }],
  };
}
