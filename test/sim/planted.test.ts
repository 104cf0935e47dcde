// Each mistake of planted.ts is found by the simulator within 200 seeds.

import { expect, test, vi } from 'vitest';
import type { CollisionInput, CollisionOutcome } from '../../src/session/collision.ts';
import type { DownReason } from '../../src/session/reason.ts';
import type { Session, SessionConfig, SessionEvent, StepResult } from '../../src/session/state.ts';
import { isDrawn, runSeed } from './fabric.ts';
import { plantedBugs, switches } from './planted.ts';

const SEEDS_MAX = 200;

vi.mock('../../src/session/collision.ts', async (original) => {
  const real = await original<{ resolveCollision(input: CollisionInput): CollisionOutcome }>();
  return {
    ...real,
    resolveCollision: (input: CollisionInput): CollisionOutcome => {
      const outcome = real.resolveCollision(input);
      if (!switches.wrongCollisionWinner || input.existingState === 'established') return outcome;
      if (outcome === 'keepBoth' || input.localBgpId < input.remoteBgpId) return outcome;
      return outcome === 'closeArriving' ? 'closeExisting' : 'closeArriving';
    },
  };
});

vi.mock('../../src/session/step.ts', async (original) => {
  type Step = (s: Session, e: SessionEvent, c: SessionConfig, nowMs: number, jitter: number) => StepResult;
  const real = await original<{ step: Step }>();
  const step: Step = (session, event, config, nowMs, jitter) => {
    const ignored = event.kind === 'keepaliveReceived' || event.kind === 'updateReceived';
    if (switches.holdTimerNotRestarted && ignored && session.state === 'established')
      return { session, actions: [] };
    return real.step(session, event, config, nowMs, jitter);
  };
  return { ...real, step };
});

vi.mock('../../src/session/reason.ts', async (original) => {
  type Received = (code: number, subcode: number, data: Uint8Array | undefined) => DownReason;
  const real = await original<{ receivedReason: Received }>();
  const receivedReason: Received = (...args) => {
    const { hard, ...reason } = real.receivedReason(...args);
    return hard === true && !switches.hardResetIsSoft ? { ...reason, hard } : reason;
  };
  return { ...real, receivedReason };
});

vi.mock('../../src/session/role.ts', async (original) => {
  type Check = (...args: unknown[]) => unknown;
  const real = await original<{ checkRole: Check }>();
  return {
    ...real,
    checkRole: (...args: unknown[]) => (switches.anyRoleFits ? undefined : real.checkRole(...args)),
  };
});

vi.mock('../../src/rib/export-path.ts', async (original) => {
  const real = await original<{ rewritesPath(options: unknown): boolean }>();
  return {
    ...real,
    rewritesPath: (options: unknown): boolean => !switches.segmentsLeave && real.rewritesPath(options),
  };
});

for (const bug of plantedBugs)
  test(`found: ${bug.name}`, () => {
    const undo = bug.plant();
    let found: string | undefined;
    try {
      for (let seed = 1; seed <= SEEDS_MAX && found === undefined; seed++) {
        if (bug.drawn === true && !isDrawn(seed)) continue;
        const { violation } = runSeed(seed);
        if (violation !== undefined) found = `seed ${seed}: ${violation.invariant}: ${violation.text}`;
      }
    } finally {
      undo();
    }
    expect(found, 'no seed finds it').toBeDefined();
    if (process.env.LEAFD_SIM_SHOW) console.log(bug.name, '->', found!.split('\n')[0]);
  });
