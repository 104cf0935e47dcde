// `npm run conformance [-- --against leafd|frr|bird|gobgp|openbgpd|all] [--only PATTERN] [--json FILE] [--verbose]`:
// installs what the run needs, then plays the conformance suite against one daemon, or all, one after the other.

import { spawnSync } from 'node:child_process';
import { provideBuild, provideModules, providePackages, requireRoot, root } from './provide.mjs';

const packages = { leafd: [], frr: ['frr'], bird: ['bird2'], gobgp: ['gobgpd'], openbgpd: ['openbgpd'] };
const words = process.argv.slice(2);
const at = words.indexOf('--against');
const against = at >= 0 ? words[at + 1] : 'leafd';
const rest = at >= 0 ? [...words.slice(0, at), ...words.slice(at + 2)] : words;

requireRoot('npm run conformance');
provideModules();
const daemons = against === 'all' ? Object.keys(packages) : [against];
providePackages(['iproute2', ...daemons.flatMap((name) => packages[name] ?? [])]);
if (daemons.includes('leafd')) provideBuild();
let worst = 0;
for (const name of daemons) {
  const argv = ['--import', 'tsx', 'test/conformance/main.ts', '--against', name, ...rest];
  const { status } = spawnSync(process.execPath, argv, { cwd: root, stdio: 'inherit' });
  worst = Math.max(worst, status ?? 2);
}
process.exit(worst);
