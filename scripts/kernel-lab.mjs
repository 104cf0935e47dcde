// The layer `klab`: tests that need a full kernel (macvlan, VLAN, VRF, dummy, cards that are hardware), in one
// throw-away virtual machine for all of them (scripts/klab). They are bundled out here, into .klab/, because emulation
// makes everything ten times slower, and reading hundreds of sources most of all. By itself: `npm run klab`.
//
// Where the machine cannot be made (not Debian on amd64, no kernel to be had) the layer is skipped with the reason;
// under continuous integration that is a failure, as is everything that fails inside.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fail, provideModules, requireRoot, root, run } from './provide.mjs';

/** Tests in the lab: those of its own folder, and those of the kernel layer that a poor kernel skips. */
const SOURCES = ['test/klab', 'test/kernel/passthrough-uplink.test.ts'];
const OUT = '.klab';
const LIMIT_S = 240;
const NICS = 2;

/** Why the lab cannot run here; undefined where it can. Installs and downloads what it needs. */
export function whyNoKernelLab() {
  const setup = spawnSync(join(root, 'scripts', 'klab'), ['setup'], { encoding: 'utf8' });
  if (setup.status === 0) return undefined;
  return (setup.error?.message ?? setup.stderr).trim().split('\n').at(-1);
}

/** Bundles the tests; a source knows its own place still, as it would not be in the bundle. */
export async function bundleKernelLab() {
  const { build } = await import('esbuild');
  rmSync(join(root, OUT), { recursive: true, force: true });
  const listed = spawnSync(
    'find',
    [...SOURCES.filter((path) => existsSync(join(root, path))), '-name', '*.test.ts'],
    {
      cwd: root,
      encoding: 'utf8',
    },
  );
  const place = {
    name: 'place',
    setup: (hooks) =>
      hooks.onLoad({ filter: /\/(src|test)\/.*\.ts$/ }, ({ path }) => ({
        contents: readFileSync(path, 'utf8').replaceAll(
          'import.meta.url',
          JSON.stringify(pathToFileURL(path).href),
        ),
        loader: 'ts',
      })),
  };
  await build({
    absWorkingDir: root,
    entryPoints: listed.stdout.trim().split('\n'),
    outdir: OUT,
    outbase: root,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    // What files share is one module for all of them, as it is in their sources.
    splitting: true,
    chunkNames: 'shared/[name]-[hash]',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    plugins: [place],
    logLevel: 'warning',
  });
}

/** The command that runs them; `words` go to vitest, which leaves files in `outDirectory` by way of $KLAB_OUT. */
export function kernelLabCommand(words, outDirectory) {
  const limits = ['--timeout', String(LIMIT_S), '--nics', String(NICS), '--out', outDirectory];
  const inside = `node node_modules/vitest/vitest.mjs run --project klab ${words.join(' ')}`;
  return [join(root, 'scripts', 'klab'), 'run', ...limits, '--cwd', root, '--', 'bash', '-c', inside];
}

/** A test's own path, from that of its bundle. */
export const sourceOfBundle = (path) => relative(OUT, path).replace(/\.mjs$/, '.ts');

if (process.argv[1] === import.meta.filename) {
  requireRoot('npm run klab');
  provideModules();
  const why = whyNoKernelLab();
  if (why !== undefined) fail(`the kernel lab cannot run here: ${why}`);
  await bundleKernelLab();
  const [command, ...words] = kernelLabCommand(process.argv.slice(2), join(root, OUT, 'out'));
  run(command, words);
}
