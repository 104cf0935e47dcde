// Why leafctl starts fast, kept true: what a client command loads is the grammar and node:http, whatever is added to
// the rooms behind the lazy imports.

import { build } from 'esbuild';
import { expect, test } from 'vitest';

test('a client command loads no schema, YAML, logger, server or libc', async () => {
  const { metafile } = await build({
    entryPoints: ['src/cli/main.ts'],
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    outdir: 'nowhere',
    write: false,
    metafile: true,
    external: ['koffi'],
  });
  const loaded = new Set<string>();
  const load = (output: string): void => {
    if (loaded.has(output)) return;
    loaded.add(output);
    for (const one of metafile.outputs[output]!.imports)
      if (one.kind === 'import-statement' && !one.external) load(one.path);
  };
  load('nowhere/main.js');
  const inputs = [...loaded].flatMap((output) => Object.keys(metafile.outputs[output]!.inputs));
  const packages = new Set(
    inputs.flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []),
  );
  expect([...packages]).toEqual(['commander']);
  const rooms = new Set(inputs.flatMap((path) => /^src\/([^/]+)/.exec(path)?.[1] ?? []));
  expect([...rooms].sort()).toEqual(['cli', 'intent', 'lib', 'net']);
  const bytes = [...loaded].reduce((sum, output) => sum + metafile.outputs[output]!.bytes, 0);
  expect(bytes).toBeLessThan(300_000);
});
