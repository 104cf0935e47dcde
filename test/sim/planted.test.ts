// Each mistake of planted.ts is found by the simulator within 200 seeds.

import { expect, test, vi } from 'vitest';
import type { CollisionInput, CollisionOutcome } from '../../src/session/collision.ts';
import type { Session, SessionConfig, SessionEvent, StepResult } from '../../src/session/state.ts';
import { runSeed } from './fabric.ts';
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

for (const bug of plantedBugs)
  test(`found: ${bug.name}`, () => {
    const undo = bug.plant();
    let found: string | undefined;
    try {
      for (let seed = 1; seed <= SEEDS_MAX && found === undefined; seed++) {
        const { violation } = runSeed(seed);
        if (violation !== undefined) found = `seed ${seed}: ${violation.invariant}: ${violation.text}`;
      }
    } finally {
      undo();
    }
    expect(found, 'no seed finds it').toBeDefined();
    if (process.env.LEAFD_SIM_SHOW) console.log(bug.name, '->', found!.split('\n')[0]);
  });
