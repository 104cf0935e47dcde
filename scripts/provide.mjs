// What a fresh machine lacks: npm's packages, Debian's packages, the build. Plain JavaScript on Node's own
// modules, because it runs before `npm ci` has.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a command with its output shown; ends this program with its status when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) fail(`${command}: ${result.error.message}`);
  if (result.status !== 0) fail(`${command} ${args.join(' ')} ended with ${result.status ?? result.signal}`);
}

/** Runs a command quietly; shows what it printed only when it fails. */
export function runQuiet(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });
  if (result.status === 0) return;
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`);
  fail(`${command} ${args.join(' ')} ${result.error ? result.error.message : `ended with ${result.status}`}`);
}

export function fail(message) {
  process.stderr.write(`leafd: ${message}\n`);
  process.exit(1);
}

export function requireRoot(why) {
  if (process.getuid() !== 0) fail(`${why} needs root; run it with sudo`);
}

/** Installs the locked npm packages unless they are there already. */
export function provideModules() {
  const stamp = join(root, 'node_modules', '.package-lock.json');
  const lock = join(root, 'package-lock.json');
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(lock).mtimeMs) return;
  console.log('installing npm packages …');
  runQuiet('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
}

/** Which of Debian's packages are not installed; all of them where there is no dpkg. */
function missingPackages(packages) {
  return packages.filter((name) => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is dpkg-query's own form of a field.
    const query = spawnSync('dpkg-query', ['-W', '-f=${Status}', name], { encoding: 'utf8' });
    return query.status !== 0 || !query.stdout.includes('install ok installed');
  });
}

/**
 * Installs Debian packages that are missing. Their services are kept from starting, because foreign routing
 * daemons run only inside the namespaces of a lab.
 */
export function providePackages(packages) {
  const missing = missingPackages(packages);
  if (missing.length === 0) return;
  if (spawnSync('apt-get', ['--version']).error) fail(`please install: ${missing.join(' ')}`);
  console.log(`installing ${missing.join(' ')} …`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  runQuiet('apt-get', ['update', '-q'], { env });
  runQuiet('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...missing], { env });
}

/** Builds dist/ unless it is newer than every source. */
export function provideBuild() {
  const built = join(root, 'dist', 'leafctl.js');
  if (existsSync(built) && newest(join(root, 'src')) <= statSync(built).mtimeMs) return;
  console.log('building …');
  run(process.execPath, ['scripts/build.mjs']);
}

function newest(path) {
  const found = spawnSync('find', [path, '-type', 'f', '-printf', '%T@\n'], { encoding: 'utf8' });
  if (found.status !== 0) return Number.POSITIVE_INFINITY;
  return Math.max(...found.stdout.trim().split('\n').map(Number)) * 1000;
}

/** The version a checkout says it is. */
export function version() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
}
