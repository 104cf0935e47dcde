// Whether leafd was running a short while ago, where the kernel cannot tell because leafd writes no routes to it: a
// route reflector leaves no trace but a file in the state directory, touched while it runs. Its peers keep its routes
// for the restart time (RFC 4724), so a life that ended longer ago than that is forgotten.

import { mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = 'alive';
const TOUCH_EVERY_MS = 10_000;

/** How long ago the last sign of life was, in milliseconds; undefined where there is none. */
export function lastLifeAgeMs(stateDir: string, nowMs: number): number | undefined {
  try {
    return Math.max(0, nowMs - statSync(join(stateDir, FILE)).mtimeMs);
  } catch {
    return undefined;
  }
}

/** Everything of leafd is removed: the next start is a first one. */
export function forgetLife(stateDir: string): void {
  rmSync(join(stateDir, FILE), { force: true });
}

/** Whether peers may still keep the routes of the last life, when they were told `restartTimeMs`. */
export function isRestart(stateDir: string, restartTimeMs: number, nowMs: number): boolean {
  const ageMs = lastLifeAgeMs(stateDir, nowMs);
  return ageMs !== undefined && ageMs <= restartTimeMs + TOUCH_EVERY_MS;
}

/**
 * Leaves signs of life until closed, the last one then. `failed` is told once when the directory takes none; the next
 * start is then not a graceful one.
 */
export function showLife(stateDir: string, failed: (error: unknown) => void): { close(): void } {
  const path = join(stateDir, FILE);
  let isWell = true;
  const touch = (): void => {
    try {
      const now = new Date();
      mkdirSync(stateDir, { recursive: true });
      writeFileSync(path, '', { flag: 'a' });
      utimesSync(path, now, now);
      isWell = true;
    } catch (error) {
      if (isWell) failed(error);
      isWell = false;
    }
  };
  touch();
  const timer = setInterval(touch, TOUCH_EVERY_MS);
  timer.unref();
  return {
    close: () => {
      clearInterval(timer);
      touch();
    },
  };
}
