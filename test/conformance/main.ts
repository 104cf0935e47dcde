// `npm run conformance [-- --against leafd|frr|bird|gobgp|openbgpd] [--only PATTERN] [--json FILE] [--verbose]`: makes
// the bed, enters it, plays all cases, prints the report. `--planted` shows that faults are noticed.
// Exit status 0: everything right; 1: something wrong; 2: no run.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { makeNamespaces, removeNamespaces } from './bed.ts';
import { allCases } from './cases/all.ts';
import { DAEMONS, type DaemonName, missingPackage } from './daemons.ts';
import { reportText, summarize } from './report.ts';
import { type CaseResult, Runner } from './runner.ts';

const { values } = parseArgs({
  options: {
    against: { type: 'string', default: 'leafd' },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
    inside: { type: 'string' },
    planted: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});

const daemon = values.against as DaemonName;
if (!DAEMONS.includes(daemon)) stop(`no daemon ${daemon}; there are ${DAEMONS.join(', ')}`);
if (process.getuid!() !== 0) stop('needs root; run it with sudo');
const missing = missingPackage(daemon);
if (missing !== undefined) stop(`${daemon} is not here; install ${missing}`);
process.exit(values.inside === undefined ? enter() : await playAll(values.inside));

function stop(why: string): never {
  process.stderr.write(`conformance: ${why}\n`);
  process.exit(2);
}

/** Makes the namespaces and runs this program again inside. */
function enter(): number {
  const prefix = `cf${process.pid}`;
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => {});
  try {
    makeNamespaces(prefix);
    const self = [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
    const words = ['netns', 'exec', `${prefix}-r`, process.execPath, ...self, '--inside', prefix];
    return spawnSync('ip', words, { stdio: 'inherit' }).status ?? 2;
  } finally {
    removeNamespaces(prefix);
  }
}

async function playAll(prefix: string): Promise<number> {
  const pattern = new RegExp(values.only!);
  const chosen = allCases().filter((one) => pattern.test(one.id) || pattern.test(one.category));
  const cases = values.planted ? chosen.filter((one) => one.kind === 'update') : chosen;
  const results: CaseResult[] = [];
  const onResult = (result: CaseResult) => {
    if (values.verbose) {
      const { verdict } = result;
      const more = verdict.kind === 'wrong' ? `${verdict.what}: ${verdict.seen.slice(0, 160)}` : '';
      process.stdout.write(`${result.id} ${verdict.kind} ${result.tookMs} ms ${more}\n`);
    }
  };
  const patienceMs = daemon === 'leafd' ? 4000 : 3000;
  const runner = new Runner({ daemon, prefix, patienceMs, onResult, planted: values.planted! });
  const end = () => void runner.stop().then(() => process.exit(2));
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  const startedMs = performance.now();
  try {
    await runner.start();
    for (const one of cases) results.push(await runner.play(one));
  } catch (error) {
    process.stderr.write(`conformance: ${(error as Error).message}\n`);
    if (results.length === 0) return 2;
  } finally {
    await runner.stop();
  }
  const summary = summarize(daemon, cases, results, performance.now() - startedMs);
  process.stdout.write(reportText(summary));
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(summary, undefined, 2)}\n`);
  // What broke off has not answered the rest, however right it was until then.
  if (results.length < cases.length) return 2;
  return summary.right === summary.applicable ? 0 : 1;
}
