import { expect, test } from 'vitest';
import { loadConfig } from './load.ts';
import { nestingBound } from './nesting.ts';

test('bounds the depth of flow and block collections from above', () => {
  expect(nestingBound('')).toBe(0);
  expect(nestingBound('bgp:\n  peers:\n    - {interface: eth0, families: [ipv4]}\n')).toBeLessThan(10);
  expect(nestingBound('a: [[[1], [2]], {b: [3]}]')).toBe(3);
  expect(nestingBound('- '.repeat(300))).toBeGreaterThanOrEqual(300);
  expect(nestingBound('? '.repeat(300))).toBeGreaterThanOrEqual(300);
  const maps = Array.from({ length: 300 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n');
  expect(nestingBound(maps)).toBeGreaterThanOrEqual(299);
});

test('blank lines, however long, are not deep', () => {
  expect(nestingBound(`a: 1\n${' '.repeat(5000)}\nb: 2\n`)).toBe(0);
});

// A parser that runs out of stack within a regular expression ends the process, whatever is caught.
test.each(['[', '{', '- ', '? ', '{a: ', '[&x '])('400,000 bytes of %j are refused, and we live', (part) => {
  const text = `a:\n ${part.repeat(400_000 / part.length)}`;
  const options = { hostname: 'a', readSecret: () => ({ kind: 'failed', reason: 'none' }) as const };
  const { problems } = loadConfig([{ file: 'leafd.yaml', text }], options);
  expect(problems.map((problem) => problem.reason)).toEqual(['is nested too deeply']);
});
