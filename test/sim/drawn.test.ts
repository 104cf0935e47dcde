// Many seeds of networks that are drawn themselves: several paths of a prefix, reflectors of reflectors,
// confederations, roles; each with 22 faults; then every invariant has to hold.

import { expect, test } from 'vitest';
import { drawnSchemes, drawnTopology } from '../../src/sim/drawn.ts';
import { expectAllHold, seedsToRun } from './seeds.ts';

const seeds = seedsToRun(true);

test.runIf(seeds.length > 0)(`${seeds.length} seeds: all invariants hold`, () => {
  expectAllHold(seeds, 'test/sim/drawn.test.ts');
});

test('a seed is the same network each time, another one is another', () => {
  for (const scheme of drawnSchemes) {
    expect(drawnTopology(scheme, 5)).toEqual(drawnTopology(scheme, 5));
    expect(drawnTopology(scheme, 5)).not.toEqual(drawnTopology(scheme, 7));
  }
});
