import { expect, test } from 'vitest';
import type { BfdSession } from '../bfd/bfd.ts';
import { bfdView } from './bfd-views.ts';

const settings = { minTxMs: 50, minRxMs: 100, multiplier: 3, passive: false, minTtl: 255 };
const time = { originMs: Date.UTC(2026, 0, 1), nowMs: () => 90_000 };
const session: BfdSession = {
  state: 'up',
  sinceMs: 30_000,
  remoteState: 'up',
  diagnostic: 'no diagnostic',
  remoteDiagnostic: 'no diagnostic',
  localDiscriminator: 7,
  remoteDiscriminator: 8,
  transmitMs: 50,
  receiveMs: 100,
  detectionMs: 300,
  multiplier: 3,
  remoteMultiplier: 3,
  independent: true,
  multihop: false,
  flaps: 1,
  packetsIn: 10,
  packetsOut: 11,
  sendErrors: 0,
  worstGapMs: 61.256,
};

test('a path that is not watched yet shows what is configured', () => {
  expect(bfdView(settings, undefined, time)).toEqual({
    state: 'waiting',
    configured: { intervalMs: 50, receiveMs: 100, multiplier: 3, passive: false },
  });
});

test('a watched path shows what both sides agreed on, and since when', () => {
  const view = bfdView(settings, { session, lastDown: undefined }, time);
  expect(view).toMatchObject({ state: 'up', since: '2026-01-01T00:00:30.000Z', sinceSeconds: 60 });
  expect(view.session).toMatchObject({ detectionMs: 300, controlPlaneIndependent: true, worstGapMs: 61.3 });
  expect(view).not.toHaveProperty('lastDown');
});

test('what ended a path stays after it', () => {
  const silence = { atMs: 1000, reason: 'control detection time expired', detectionMs: 300 };
  expect(bfdView(settings, { lastDown: silence }, time).lastDown).toEqual({
    at: '2026-01-01T00:00:01.000Z',
    reason: 'control detection time expired: nothing heard for 300 ms',
  });
  const told = { atMs: 1000, reason: 'neighbor signaled session down', detectionMs: 0 };
  expect(bfdView(settings, { lastDown: told }, time).lastDown?.reason).toBe('neighbor signaled session down');
});
