// Counting a large table leaves others their turn, and comes to the same.

import { expect, test } from 'vitest';
import { FibState } from './fib-state.ts';
import { fibCountSteps, fibCounts } from './fib-view.ts';

test('a large table is counted in steps', () => {
  const state = new FibState({ table: 254, metric: 20 });
  for (let at = 0; at < 20_000; at++) {
    const table = state.tables[at & 1]!;
    const words = [(0x0a00_0000 | (at << 8)) >>> 0, 0, 0, 0] as const;
    const id = table.add(...words, 24);
    table.observed[id] = 0;
  }
  const steps = [...fibCountSteps(state)].length;
  expect(steps).toBe(2);
  expect(fibCounts(state)).toMatchObject({
    ipv4: { observed: 10_000, found: 10_000, desired: 0 },
    ipv6: { observed: 10_000, found: 10_000, desired: 0 },
  });
});
