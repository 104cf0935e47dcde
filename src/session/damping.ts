// Idle-hold back-off: how long a session that failed stays Idle before it starts again. RFC 4271 8.1.1 names
// the attribute (DampPeerOscillations, IdleHoldTime) and leaves the method open. Ours: the first failure
// waits idleHoldMs, each further one doubles it up to idleHoldMaxMs; a session that stayed Established for as
// long as the longest pause starts the count anew. Failures to connect at all are not counted here: those are
// paced by the ConnectRetryTimer, and a peer that boots should be found at once.

/** The longest pause where the configuration names none. */
export const defaultIdleHoldMaxMs = 60_000;

export interface DampingTimes {
  idleHoldMs: number;
  idleHoldMaxMs?: number | undefined;
}

/**
 * The count of failures in a row after one more. `upMs` is how long the session was Established, 0 if never.
 */
export function countOscillation(oscillations: number, upMs: number, times: DampingTimes): number {
  const stableMs = Math.max(times.idleHoldMaxMs ?? defaultIdleHoldMaxMs, times.idleHoldMs);
  return upMs >= stableMs ? 1 : Math.min(oscillations + 1, 32);
}

/**
 * The pause in milliseconds after `oscillations` failures in a row (0: a clean end, the shortest pause).
 * `jitter` is a factor in [0.75, 1] (RFC 4271 10). At least 1 ms, so that a deadline is never "not running".
 */
export function idleHoldMs(oscillations: number, times: DampingTimes, jitter = 1): number {
  const longest = Math.max(times.idleHoldMaxMs ?? defaultIdleHoldMaxMs, times.idleHoldMs);
  const doublings = Math.min(Math.max(oscillations - 1, 0), 31);
  return Math.max(1, Math.round(Math.min(times.idleHoldMs * 2 ** doublings, longest) * jitter));
}
