// Confirmed apply: NICs that move to the router namespace are on trial until a session of the fabric is up. A node
// that was configured wrongly, and can be reached by that NIC only, is so reachable again when the time is over. Pure:
// the state, what happened, two clocks.
//
// A set of NICs that was confirmed once stays so, over restarts too: after a power cut the fabric may need longer than
// the host. But who changes the neighbours or the AS while a session is up may cut himself off as well: that is tried
// likewise. A set is tried again after it was rolled back when the configuration changes, when the operator says so,
// or at the next start. A trial outlives a crash, because its end is on disk: within one boot by the monotonic clock,
// which nobody sets; after another boot by the time of day, and at most as long as the whole trial.

/** A confirmation counts only so long after the beginning: a session by a NIC that has left may not be down yet. */
const CONFIRM_AFTER_MS = 1000;

export interface TrialTime {
  /** The time of day. */
  wallMs: number;
  /** CLOCK_MONOTONIC: counts from the boot. */
  monotonicMs: number;
  /** Tells boots apart. */
  bootId: string;
}

export interface RunningTrial {
  kind: 'running';
  set: string;
  confirmMs: number;
  bootId: string;
  startedWallMs: number;
  startedMonotonicMs: number;
  endWallMs: number;
  endMonotonicMs: number;
}

/** `set`: names of the NICs, sorted, with commas. */
export type Trial =
  | { kind: 'none' }
  | RunningTrial
  | { kind: 'confirmed'; set: string }
  | { kind: 'rolledBack'; set: string; reason: string; atWallMs: number };

export const NO_TRIAL: Trial = { kind: 'none' };

/** The set of NICs as it is compared and written down. */
export function setOf(names: readonly string[]): string {
  return [...names].sort().join(',');
}

export function namesOf(set: string): string[] {
  return set === '' ? [] : set.split(',');
}

/** What a former life left: a set that was rolled back is tried again, a trial goes on until its time is over. */
export function resumeTrial(kept: Trial, now: TrialTime): Trial {
  if (kept.kind === 'rolledBack') return NO_TRIAL;
  if (kept.kind !== 'running') return kept;
  const isSameBoot = kept.bootId === now.bootId && kept.startedMonotonicMs <= now.monotonicMs;
  // A clock that went back says nothing: the trial begins again.
  const left = isSameBoot
    ? kept.endMonotonicMs - now.monotonicMs
    : now.wallMs < kept.startedWallMs
      ? kept.confirmMs
      : kept.endWallMs - now.wallMs;
  const remainingMs = Math.min(Math.max(left, 0), kept.confirmMs);
  return {
    ...kept,
    bootId: now.bootId,
    startedMonotonicMs: isSameBoot ? kept.startedMonotonicMs : now.monotonicMs,
    endMonotonicMs: now.monotonicMs + remainingMs,
  };
}

/** The NICs that are wanted inside. `wouldMove`: one of them is still at home. */
export function wantTrial(
  trial: Trial,
  wish: { set: string; confirmMs: number; wouldMove: boolean },
  now: TrialTime,
): Trial {
  const { set, confirmMs, wouldMove } = wish;
  if (set === '') return NO_TRIAL;
  if (trial.kind !== 'none' && trial.set === set) {
    // The operator no longer wants a trial: what runs ends well.
    return trial.kind === 'running' && confirmMs === 0 ? { kind: 'confirmed', set } : trial;
  }
  if (confirmMs === 0) return NO_TRIAL;
  // NICs that are inside already, as after a lost state file, are not put on trial by a start.
  if (trial.kind === 'none' && !wouldMove) return trial;
  return newTrial(set, confirmMs, now);
}

/** What was confirmed is on trial again; undefined where nothing is confirmed, or nobody wants trials. */
export function doubtTrial(trial: Trial, confirmMs: number, now: TrialTime): Trial | undefined {
  if (trial.kind !== 'confirmed' || confirmMs === 0) return undefined;
  return newTrial(trial.set, confirmMs, now);
}

function newTrial(set: string, confirmMs: number, now: TrialTime): RunningTrial {
  return {
    kind: 'running',
    set,
    confirmMs,
    bootId: now.bootId,
    startedWallMs: now.wallMs,
    startedMonotonicMs: now.monotonicMs,
    endWallMs: now.wallMs + confirmMs,
    endMonotonicMs: now.monotonicMs + confirmMs,
  };
}

/** Time has passed. `isUp`: a session of the fabric is up, and every NIC of the set that is there is inside. */
export function lookAtTrial(trial: Trial, isUp: boolean, now: TrialTime): Trial {
  if (trial.kind !== 'running') return trial;
  if (isUp && now.monotonicMs >= trial.startedMonotonicMs + CONFIRM_AFTER_MS)
    return { kind: 'confirmed', set: trial.set };
  if (now.monotonicMs < trial.endMonotonicMs) return trial;
  const reason = `no session of the fabric came up within ${trial.confirmMs / 1000} s`;
  return { kind: 'rolledBack', set: trial.set, reason, atWallMs: now.wallMs };
}

/** The operator's word, or undefined where it means nothing. */
export function commandTrial(
  trial: Trial,
  word: 'confirm' | 'rollBack' | 'retry',
  now: TrialTime,
): Trial | undefined {
  if (word === 'retry') return trial.kind === 'rolledBack' ? NO_TRIAL : undefined;
  if (word === 'confirm') return trial.kind === 'running' ? { kind: 'confirmed', set: trial.set } : undefined;
  if (trial.kind !== 'running' && trial.kind !== 'confirmed') return undefined;
  return { kind: 'rolledBack', set: trial.set, reason: 'the operator said so', atWallMs: now.wallMs };
}

/** Milliseconds until the trial ends by itself. */
export function trialEndsInMs(trial: Trial, now: TrialTime): number | undefined {
  return trial.kind === 'running' ? Math.max(0, trial.endMonotonicMs - now.monotonicMs) : undefined;
}
