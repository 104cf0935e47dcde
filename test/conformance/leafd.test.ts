// leafd under the whole suite, and the suite under a planted fault. Needs root, network namespaces and `npm run build`.

import { expect, it } from 'vitest';
import { allCases } from './cases/all.ts';
import { runSuite } from './suite.ts';

it('leafd answers every case right, and nobody suffers', () => {
  const summary = runSuite();
  console.log(`${summary.right}/${summary.applicable} right, ${summary.notApplicable} do not apply`);
  expect(summary.wrongCases).toEqual([]);
  expect(summary.right).toBe(summary.applicable);
  expect(summary.wrong).toEqual({});
  expect(summary.right).toBeGreaterThan(1200);
});

it('a daemon that took no notice of faults would be found out', () => {
  const summary = runSuite('--planted', '--only', '^malformed core attributes$');
  const must = allCases().filter(
    (one) =>
      one.category === 'malformed core attributes' &&
      one.expect.every(({ kind }) => kind === 'withdraw' || kind === 'reset'),
  );
  const found = new Set(summary.wrongCases.map(({ id }) => id));
  expect(must.length).toBeGreaterThan(250);
  expect(must.filter(({ id }) => !found.has(id)).map(({ id }) => id)).toEqual([]);
});
