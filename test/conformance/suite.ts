// Runs the whole suite in a process of its own and hands back its summary: for the tests.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Summary } from './report.ts';

/** Runs the suite as `npm run conformance` does. */
export function runSuite(...words: string[]): Summary {
  const directory = mkdtempSync(join(tmpdir(), 'conformance-'));
  const file = join(directory, 'summary.json');
  try {
    const main = fileURLToPath(new URL('main.ts', import.meta.url));
    const argv = ['--import', 'tsx', main, '--json', file, ...words];
    const run = spawnSync(process.execPath, argv, { encoding: 'utf8', maxBuffer: 1 << 28 });
    if (run.status !== 0 && run.status !== 1) throw new Error(`no run: ${run.stderr}`);
    return JSON.parse(readFileSync(file, 'utf8')) as Summary;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
