import { expect, test } from 'vitest';
import type { NewEvent } from '../api/events.ts';
import { tellRefusedRoutes } from './log.ts';

test('refused routes are told once a minute, none forgotten', () => {
  const told: string[] = [];
  let nowMs = 0;
  const refused = tellRefusedRoutes(
    ({ text }: NewEvent) => told.push(text.replace(/:.*/, '')),
    () => nowMs,
  );
  refused(0);
  expect(told).toEqual([]);
  refused(1);
  refused(300);
  refused(200);
  expect(told).toEqual(['the kernel refused a route']);
  nowMs = 60_000;
  refused(0);
  expect(told).toEqual(['the kernel refused a route', 'the kernel refused 500 routes']);
  refused(0);
  expect(told).toHaveLength(2);
});
