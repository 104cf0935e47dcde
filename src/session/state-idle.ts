// Idle (RFC 4271 8.2.2): everything is refused but a start, and the IdleHoldTimer that brings one. A start
// does not wait for that timer, because the daemon gives one when the world has changed: a link came up, a
// limit's pause is over. What belongs to a connection that is gone (a late message, a late close) means
// nothing here.

import { stopRows } from './reason.ts';
import type { SessionEvent, StepResult } from './state.ts';
import { begin, enter, type StepInput, unchanged } from './transition.ts';

export function stepIdle(input: StepInput, event: SessionEvent): StepResult {
  const { session } = input;
  // An accepted connection's session has no life after the first.
  if (session.incoming) return event.kind === 'tcpConnectionConfirmed' ? refuse(input) : unchanged(input);
  switch (event.kind) {
    case 'manualStart':
      return begin({ ...input, session: { ...session, connectRetryCounter: 0, oscillations: 0 } });
    case 'automaticStart':
      return begin(input);
    case 'timerExpired':
      return event.timer === 'idleHold' ? begin(input) : unchanged(input);
    case 'manualStop':
    case 'automaticStop':
      return stayDown(input, event);
    case 'tcpRequestAcked':
    case 'tcpConnectionConfirmed':
      return refuse(input);
    default:
      return unchanged(input);
  }
}

/** A stop that is meant to last ends the IdleHoldTimer too; its cause is then what the operator is shown. */
function stayDown(
  input: StepInput,
  event: SessionEvent & { kind: 'manualStop' | 'automaticStop' },
): StepResult {
  if (stopRows[event.cause].restarts) return unchanged(input);
  const session = enter(input, 'idle', {});
  const connectRetryCounter = event.kind === 'manualStop' ? 0 : session.connectRetryCounter;
  return { session: { ...session, connectRetryCounter, lastError: { kind: event.cause } }, actions: [] };
}

/** "Refuses all incoming BGP connections", in silence: a Cease would make the peer back off. */
function refuse(input: StepInput): StepResult {
  return { session: input.session, actions: [{ kind: 'closeConnection' }] };
}
