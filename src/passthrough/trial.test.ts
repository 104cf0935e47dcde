import { expect, test } from 'vitest';
import {
  commandTrial,
  doubtTrial,
  lookAtTrial,
  NO_TRIAL,
  resumeTrial,
  setOf,
  type Trial,
  type TrialTime,
  trialEndsInMs,
  wantTrial,
} from './trial.ts';

const MINUTE = 60_000;
const at = (ms: number, other: Partial<TrialTime> = {}): TrialTime => ({
  wallMs: 1_000_000_000 + ms,
  monotonicMs: 5000 + ms,
  bootId: 'a',
  ...other,
});
const first = { set: 'eth1', confirmMs: MINUTE, wouldMove: true };
const running = wantTrial(NO_TRIAL, first, at(0));

test('a first move is on trial; a session ends it well, and later starts need none', () => {
  expect(running.kind).toBe('running');
  expect(trialEndsInMs(running, at(10_000))).toBe(50_000);
  expect(lookAtTrial(running, false, at(59_999))).toBe(running);
  const confirmed = lookAtTrial(running, true, at(59_999));
  expect(confirmed).toEqual({ kind: 'confirmed', set: 'eth1' });
  const later = at(0, { bootId: 'b', monotonicMs: 3 });
  expect(wantTrial(resumeTrial(confirmed, later), first, later)).toEqual(confirmed);
});

test('a session that was up when the trial began does not count', () => {
  expect(lookAtTrial(running, true, at(999)).kind).toBe('running');
  expect(lookAtTrial(running, true, at(1000)).kind).toBe('confirmed');
});

test('without a session in time it is rolled back, and stays so with the same set', () => {
  const back = lookAtTrial(running, false, at(MINUTE));
  expect(back).toMatchObject({ kind: 'rolledBack', set: 'eth1', atWallMs: 1_000_060_000 });
  expect(back.kind === 'rolledBack' && back.reason).toBe('no session of the fabric came up within 60 s');
  expect(wantTrial(back, first, at(MINUTE + 1))).toBe(back);
  expect(lookAtTrial(back, true, at(2 * MINUTE))).toBe(back);
  // Another set, the operator's word and the next start each try again.
  expect(wantTrial(back, { ...first, set: 'eth2' }, at(MINUTE))).toMatchObject({
    kind: 'running',
    set: 'eth2',
  });
  expect(commandTrial(back, 'retry', at(MINUTE))).toBe(NO_TRIAL);
  expect(wantTrial(resumeTrial(back, at(MINUTE)), first, at(MINUTE)).kind).toBe('running');
});

test('a session at the very end counts', () => {
  expect(lookAtTrial(running, true, at(MINUTE)).kind).toBe('confirmed');
});

test('a changed set is on trial even where nothing has to move', () => {
  const confirmed: Trial = { kind: 'confirmed', set: setOf(['eth2', 'eth1']) };
  expect(wantTrial(confirmed, { set: 'eth1,eth2', confirmMs: MINUTE, wouldMove: true }, at(0))).toBe(
    confirmed,
  );
  expect(wantTrial(confirmed, { ...first, wouldMove: false }, at(0)).kind).toBe('running');
  expect(wantTrial(NO_TRIAL, { ...first, wouldMove: false }, at(0))).toBe(NO_TRIAL);
  expect(wantTrial(confirmed, { ...first, set: '' }, at(0))).toBe(NO_TRIAL);
});

test('confirm: 0s knows no trial, and ends one that runs', () => {
  expect(wantTrial(NO_TRIAL, { ...first, confirmMs: 0 }, at(0))).toBe(NO_TRIAL);
  expect(wantTrial(running, { ...first, confirmMs: 0 }, at(1)).kind).toBe('confirmed');
});

test('a crash does not stop the clock: in one boot the monotonic one, whatever the time of day says', () => {
  const after = resumeTrial(running, at(20_000, { wallMs: 7 }));
  expect(trialEndsInMs(after, at(20_000))).toBe(40_000);
  const jumped = resumeTrial(running, at(20_000, { wallMs: 9e12 }));
  expect(trialEndsInMs(jumped, at(20_000))).toBe(40_000);
  expect(lookAtTrial(resumeTrial(running, at(MINUTE)), false, at(MINUTE)).kind).toBe('rolledBack');
});

test('after another boot the time of day counts, within bounds', () => {
  const boot = (wall: number): TrialTime => at(wall, { bootId: 'b', monotonicMs: 100 });
  expect(trialEndsInMs(resumeTrial(running, boot(30_000)), boot(0))).toBe(30_000);
  // Switched off and on by somebody who had lost the machine: the NICs are at home, and stay there.
  expect(lookAtTrial(resumeTrial(running, boot(10 * MINUTE)), false, boot(0)).kind).toBe('rolledBack');
  // A clock that went back says nothing.
  expect(trialEndsInMs(resumeTrial(running, boot(-1_000_000)), boot(0))).toBe(MINUTE);
});

test('the operator confirms and rolls back, where there is something to', () => {
  expect(commandTrial(running, 'confirm', at(1))).toEqual({ kind: 'confirmed', set: 'eth1' });
  expect(commandTrial(NO_TRIAL, 'confirm', at(1))).toBeUndefined();
  expect(commandTrial({ kind: 'confirmed', set: 'eth1' }, 'rollBack', at(1))?.kind).toBe('rolledBack');
  expect(commandTrial(running, 'rollBack', at(1))?.kind).toBe('rolledBack');
  expect(commandTrial(NO_TRIAL, 'rollBack', at(1))).toBeUndefined();
  expect(commandTrial(running, 'retry', at(1))).toBeUndefined();
});

test('what was confirmed is on trial again when it is doubted, unless nobody wants trials', () => {
  const confirmed: Trial = { kind: 'confirmed', set: 'eth1' };
  const doubted = doubtTrial(confirmed, MINUTE, at(7))!;
  expect(doubted).toMatchObject({ kind: 'running', set: 'eth1', confirmMs: MINUTE });
  expect(trialEndsInMs(doubted, at(7))).toBe(MINUTE);
  expect(wantTrial(doubted, { ...first, wouldMove: false }, at(8))).toBe(doubted);
  expect(doubtTrial(confirmed, 0, at(7))).toBeUndefined();
  for (const trial of [NO_TRIAL, running]) expect(doubtTrial(trial, MINUTE, at(7))).toBeUndefined();
});
