// Many seeds of a fabric of two spines and four leaves, each with 22 faults; then every invariant has to hold, the
// oracle's word on who can be reached among them.

import { expect, test } from 'vitest';
import { runSeed } from './fabric.ts';
import { expectAllHold, seedsToRun } from './seeds.ts';

const seeds = seedsToRun(false);

test.runIf(seeds.length > 0)(`${seeds.length} seeds: all invariants hold`, () => {
  expectAllHold(seeds, 'test/sim/clos.test.ts');
});

test('a seed is the same run each time', () => {
  for (const seed of [1, 2, 3, 4]) expect(runSeed(seed)).toEqual(runSeed(seed));
});
