import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { forgetLife, isRestart, lastLifeAgeMs, showLife } from './last-life.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leafd-life-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a life is remembered for as long as peers keep its routes', () => {
  const state = join(folder, 'a', 'b');
  expect(isRestart(state, 120_000, Date.now())).toBe(false);
  showLife(state, (error) => expect.unreachable(String(error))).close();
  const nowMs = Date.now();
  expect(lastLifeAgeMs(state, nowMs)).toBeLessThan(1000);
  expect(isRestart(state, 120_000, nowMs + 119_000)).toBe(true);
  // The last touch may be ten seconds older than the end.
  expect(isRestart(state, 120_000, nowMs + 129_000)).toBe(true);
  expect(isRestart(state, 120_000, nowMs + 132_000)).toBe(false);
  // A clock that was set back.
  expect(lastLifeAgeMs(state, nowMs - 5000)).toBe(0);
  const old = new Date(nowMs - 3_600_000);
  utimesSync(join(state, 'alive'), old, old);
  expect(isRestart(state, 120_000, nowMs)).toBe(false);
  showLife(state, (error) => expect.unreachable(String(error))).close();
  forgetLife(state);
  forgetLife(state);
  expect(isRestart(state, 120_000, Date.now())).toBe(false);
});

test('a directory that takes nothing is told once, and no life remembered', () => {
  const blocked = join(folder, 'file');
  writeFileSync(blocked, '');
  const told: unknown[] = [];
  showLife(join(blocked, 'state'), (error) => told.push(error)).close();
  expect(told).toHaveLength(1);
  expect(isRestart(join(blocked, 'state'), 120_000, Date.now())).toBe(false);
});
