// Connect and Active (RFC 4271 8.2.2): a connection is awaited, ours or the peer's. They differ in what the
// ConnectRetryTimer and a failed connection do; with the DelayOpenTimer running a connection is up in either.
//
// Ours differs from the RFC in one point: where connecting fails in Connect, it goes to Idle when the
// DelayOpenTimer does not run. We go to Active as in the other case (and as RFC 1771, FRR and BIRD do), so
// that a peer that boots can reach us at once and a refused connection is not damped as an oscillation.

import type { DownReason } from './reason.ts';
import type { SessionEvent, StepResult } from './state.ts';
import {
  acceptOpen,
  connectAgain,
  connected,
  connectionLost,
  dumped,
  failWith,
  listen,
  notified,
  type StepInput,
  sendOpen,
  toIdle,
  unchanged,
} from './transition.ts';

export function stepConnecting(input: StepInput, event: SessionEvent): StepResult {
  const { session } = input;
  const delaying = session.timers.delayOpen !== 0;
  switch (event.kind) {
    case 'manualStart':
    case 'automaticStart':
    case 'tcpConnectionValid':
    case 'tcpRequestInvalid':
    case 'updateSent':
    case 'sendHoldExpired':
      return unchanged(input);
    case 'timerExpired':
      if (event.timer === 'connectRetry') return connectAgain(input);
      return event.timer === 'delayOpen' ? sendOpen(input) : unchanged(input);
    case 'tcpRequestAcked':
    case 'tcpConnectionConfirmed':
      // While OPEN is delayed this is a second connection, which has a session of its own.
      return delaying ? unchanged(input) : connected(input);
    case 'tcpConnectionFails':
      return tcpFails(input, event.message);
    case 'openReceived':
      // Event 20; without the DelayOpenTimer there is no connection an OPEN could come from (event 19).
      return delaying ? acceptOpen(input, event.open) : confused(input, event.kind);
    case 'headerError':
    case 'openError':
      return failWith(input, event.fault);
    case 'openCollisionDump':
    case 'peerRestarted':
      return dumped(input);
    case 'notificationReceived':
      return notified(input, event.code, event.subcode, event.data);
    default:
      return confused(input, event.kind);
  }
}

function tcpFails(input: StepInput, message: string | undefined): StepResult {
  const { session } = input;
  const reason: DownReason = { kind: session.timers.delayOpen === 0 ? 'connectFailed' : 'tcpClosed' };
  if (message !== undefined) reason.text = message;
  if (session.incoming) return connectionLost(input, message);
  if (session.state === 'connect') return listen(input, reason);
  // Active without a connection: the failure of an attempt that was given up, which says nothing new.
  return session.timers.delayOpen === 0 ? unchanged(input) : connectionLost(input, message);
}

/** A message that no peer can have sent here: the connection is dropped without a word (RFC 4271 8.2.2). */
function confused(input: StepInput, kind: string): StepResult {
  const text = `unexpected ${kind} before OPEN`;
  return toIdle(input, { kind: 'tcpClosed', text }, { counter: 'add', oscillates: true, restarts: true });
}
