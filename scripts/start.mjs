// `npm start`: from a fresh checkout to a running fabric. Installs what is missing, builds, raises the demo lab,
// proves traffic across it, and says how to go on and how to stop. Runs again in seconds, and ends with 0 only
// when packets crossed the fabric in both families.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fail, provideBuild, provideModules, providePackages, requireRoot, root } from './provide.mjs';

const lab = 'clos';
const file = 'examples/clos.lab.yaml';

requireRoot('npm start');
provideModules();
providePackages(['iproute2', 'iputils-ping', 'nftables']);
provideBuild();

const leafctl = join(root, 'bin', 'leafctl');
const call = (...args) => spawnSync(leafctl, args, { cwd: root, stdio: 'inherit' }).status;

if (isUp()) {
  console.log(`the lab ${lab} is up already; raising it anew`);
  if (call('lab', 'down', lab) !== 0) fail(`cannot take the lab ${lab} down`);
}
console.log(`raising ${file}: 2 spines, 3 leaves, 6 hosts, each router a leafd of its own`);
if (call('lab', 'up', file, '--wait', '30s') !== 0) fail('the fabric did not come up');
call('lab', 'status', lab);
for (const family of ['4', '6']) {
  console.log(`\nh1 pings h6 across the fabric, IPv${family}:`);
  if (call('lab', 'ping', lab, 'h1', 'h6', '--family', family) !== 0) fail(`no IPv${family} from h1 to h6`);
}
console.log(`
The fabric is running. Look around:

  bin/leafctl lab exec ${lab} leaf1 -- leafctl peers             sessions of leaf1
  bin/leafctl lab exec ${lab} leaf1 -- leafctl routes            its routes
  bin/leafctl lab exec ${lab} leaf1 -- leafctl why 198.18.3.2    why this way
  ip -n ${lab}-leaf1 route                                       the same in the kernel
  bin/leafctl lab cut ${lab} leaf1:eth1                          pull a cable; ping goes on
  bin/leafctl lab mend ${lab} leaf1:eth1                         plug it back
  bin/leafctl lab move ${lab} leaf1:eth1 spine2:eth9             plug it somewhere else

Stop it: bin/leafctl lab down ${lab}`);

function isUp() {
  const listing = spawnSync(leafctl, ['lab', 'ls', '-j'], { cwd: root, encoding: 'utf8' });
  return listing.status === 0 && JSON.parse(listing.stdout).labs?.some((one) => one.name === lab) === true;
}
