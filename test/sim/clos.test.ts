// Many seeds of a fabric of two spines and four leaves, each with 22 faults; then every invariant has to hold.
//
//   LEAFD_SIM_SEEDS=5000 …   how many seeds (default: 1000 where CI=true, else 150)
//   LEAFD_SIM_SEED=70 …      that one alone, with all that happened to it

import { expect, test } from 'vitest';
import { describeReport } from '../../src/sim/sim.ts';
import { FAULTS, runSeed, schemeOf } from './fabric.ts';

const alone = process.env.LEAFD_SIM_SEED;
const count = Number(process.env.LEAFD_SIM_SEEDS ?? (process.env.CI === 'true' ? 1000 : 150));
const first = alone === undefined ? 1 : Number(alone);
const last = alone === undefined ? count : first;

const replayOf = (seed: number): string =>
  `LEAFD_SIM_SEED=${seed} npx vitest run --project sim test/sim/clos.test.ts`;

test(`seeds ${first} to ${last}: all invariants hold`, () => {
  const startMs = performance.now();
  let events = 0;
  let virtualMs = 0;
  for (let seed = first; seed <= last; seed++) {
    const report = runSeed(seed);
    const text = `${schemeOf(seed)}, ${describeReport(report, replayOf(seed))}`;
    if (alone !== undefined) console.log(text);
    expect(report.violation, text).toBeUndefined();
    expect(report.faults.length).toBeGreaterThanOrEqual(FAULTS);
    expect(report.routes).toBeGreaterThan(0);
    events += report.eventCount;
    virtualMs += report.virtualMs;
  }
  const seconds = (performance.now() - startMs) / 1000;
  const hours = virtualMs / 3_600_000;
  console.log(
    `${last - first + 1} seeds in ${seconds.toFixed(1)} s: ${hours.toFixed(1)} hours of a fabric, ${events} events`,
  );
});

test('a seed is the same run each time', () => {
  for (const seed of [1, 2, 3, 4]) expect(runSeed(seed)).toEqual(runSeed(seed));
});
