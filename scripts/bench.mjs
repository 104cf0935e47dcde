// Bundles the benchmark and runs it: `npm run bench -- --quick` against other daemons (needs root, for network
// namespaces), `npm run bench -- rib|wire|policy` for a room alone. bench/README.md explains what is measured.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [first, ...rest] = process.argv.slice(2);
const alone = first !== undefined && /^[a-z]+$/.test(first) && existsSync(join(root, 'bench', `${first}.ts`));
const program = alone ? first : 'main';
const companions = { main: ['tester', 'null-dut'], scale: ['crowd'], liveness: ['feeder'], guests: [] };
const programs = [program, ...(companions[program] ?? [])];

// The daemon is measured as it is shipped: as `npm run build` makes it.
if (companions[program] !== undefined)
  spawnSync(process.execPath, [join(root, 'scripts', 'build.mjs'), '--quiet'], { stdio: 'inherit' });

// Threads of the daemon's are started from where their source is.
if (program === 'bfd') {
  const source = ['--import', 'tsx', join(root, 'bench', 'bfd.ts'), ...rest];
  process.exit(spawnSync(process.execPath, source, { cwd: root, stdio: 'inherit' }).status ?? 1);
}

const built = mkdtempSync(join(tmpdir(), 'leafd-bench-built-'));
await build({
  absWorkingDir: root,
  entryPoints: Object.fromEntries(programs.map((name) => [name, `bench/${name}.ts`])),
  outdir: built,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  logLevel: 'warning',
});

const command = [join(built, `${program}.mjs`), ...(alone ? rest : process.argv.slice(2))];
const ran = spawnSync(process.execPath, command, {
  stdio: 'inherit',
  env: { ...process.env, LEAFD_ROOT: root },
});
rmSync(built, { recursive: true, force: true });
process.exitCode = ran.status ?? 1;
