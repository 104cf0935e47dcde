// Starts a thread of ours. In a build it is a file beside the bundle; from source it is run through tsx.

import { createRequire } from 'node:module';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** Starts `name`.js beside a bundle, or `name`.ts beside the source file `from` (an import.meta.url). */
export function startThread(from: string, name: string, options: WorkerOptions): Worker {
  if (!from.endsWith('.ts')) return new Worker(new URL(`./${name}.js`, from), options);
  // tsx leaves threads alone unless it is asked to by its own interface.
  const required = createRequire(from).resolve('tsx/esm/api');
  const loader = JSON.stringify(required.replace(/cjs$/, 'mjs'));
  const worker = JSON.stringify(new URL(`./${name}.ts`, from).href);
  const source = `import(${loader}).then((tsx) => { tsx.register(); return import(${worker}); });`;
  return new Worker(source, { ...options, eval: true, execArgv: [] });
}
