// Which seeds a run looks at, and the looking. Two test files share them, one for each core:
//
//   LEAFD_SIM_SEEDS=5000 …   how many seeds (default: 1000 where CI=true, else 150)
//   LEAFD_SIM_SEED=70 …      that one alone, with all that happened to it

import { expect } from 'vitest';
import { describeReport } from '../../src/sim/sim.ts';
import { FAULTS, isDrawn, runSeed, schemeOf } from './fabric.ts';

const alone = process.env.LEAFD_SIM_SEED;
const count = Number(process.env.LEAFD_SIM_SEEDS ?? (process.env.CI === 'true' ? 1000 : 150));
const first = alone === undefined ? 1 : Number(alone);
const last = alone === undefined ? count : first;

/** The drawn ones, or the others, of the seeds that are asked for. */
export function seedsToRun(drawn: boolean): number[] {
  const seeds: number[] = [];
  for (let seed = first; seed <= last; seed++) if (isDrawn(seed) === drawn) seeds.push(seed);
  return seeds;
}

/** Every invariant has to hold after each of them. */
export function expectAllHold(seeds: readonly number[], file: string): void {
  const startMs = performance.now();
  let events = 0;
  let virtualMs = 0;
  for (const seed of seeds) {
    const report = runSeed(seed);
    const replay = `LEAFD_SIM_SEED=${seed} npx vitest run --project sim ${file}`;
    const text = `${schemeOf(seed)}, ${describeReport(report, replay)}`;
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
    `${seeds.length} seeds in ${seconds.toFixed(1)} s: ${hours.toFixed(1)} hours of a network, ${events} events`,
  );
}
