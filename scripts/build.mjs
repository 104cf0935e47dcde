// Bundles the programs into dist/: one file each for what starts, shared and lazily loaded parts as chunks beside it.
// koffi stays outside the bundles, because it finds its native library next to its own files. Entry points that do
// not exist are left out with a word, so that a part of the tree can be built.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const target = `node${/\d+/.exec(engines.node)[0]}`;

const programs = {
  leafctl: { leafctl: 'src/cli/main.ts' },
  leafd: {
    leafd: 'src/daemon/main.ts',
    'fib-worker': 'src/dataplane/fib-worker.ts',
    'bfd-worker': 'src/bfd/bfd-worker.ts',
  },
};

// Some CommonJS packages call `require` for Node's own modules, which an ES module does not have.
const banner =
  "import { createRequire as leafdRequire } from 'node:module'; const require = leafdRequire(import.meta.url);";

const quiet = process.argv.includes('--quiet');
const started = performance.now();
const made = new Set();
for (const [program, entries] of Object.entries(programs)) {
  const present = Object.entries(entries).filter(([, path]) => existsSync(join(root, path)));
  for (const [name, path] of Object.entries(entries))
    if (!present.some(([one]) => one === name))
      process.stdout.write(`dist/${name}.js: left out, there is no ${path}\n`);
  if (present.length === 0) continue;
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(present),
    outdir: 'dist',
    chunkNames: `${program}-[name]-[hash]`,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target,
    external: ['koffi'],
    banner: { js: banner },
    sourcemap: true,
    legalComments: 'none',
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: true,
    metafile: true,
    logLevel: 'warning',
  });
  for (const path of Object.keys(metafile.outputs)) made.add(basename(path));
  if (quiet) continue;
  for (const [name] of present) {
    const bytes = metafile.outputs[`dist/${name}.js`].bytes;
    process.stdout.write(`dist/${name}.js: ${Math.round(bytes / 1024)} KiB\n`);
  }
}
// Last, so that a daemon that runs from here meanwhile finds its chunks as long as possible.
mkdirSync(join(root, 'dist'), { recursive: true });
for (const name of readdirSync(join(root, 'dist')))
  if (!made.has(name)) rmSync(join(root, 'dist', name), { recursive: true });
if (!quiet) process.stdout.write(`built in ${Math.round(performance.now() - started)} ms\n`);
