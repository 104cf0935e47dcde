// `npm test`: installs what the tests need, runs every layer, prints a budget line for each and one sum at the
// end, with the tests that failed. A layer in which nothing ran is a failure, so that a skip cannot hide one. Where
// real daemons on a busy machine may miss a deadline, files with failures run once more; the first failures are told.

import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleKernelLab, kernelLabCommand, sourceOfBundle, whyNoKernelLab } from './kernel-lab.mjs';
import { fail, provideBuild, provideModules, providePackages, requireRoot, root, run } from './provide.mjs';

const long = process.argv.includes('--long');

// Seconds a layer may take on two cores; the sum of the short ones stays below 25 minutes.
const layers = long
  ? [
      { name: 'fuzz', budgetS: 1200, env: { LEAFD_FUZZ_CASES: '10000000' } },
      { name: 'sim', budgetS: 1200, env: { LEAFD_SIM_SEEDS: '10000' } },
      { name: 'interop', budgetS: 1500, words: ['--maxWorkers=1'], env: { LEAFD_TEST_LONG: '1' } },
      { name: 'e2e', budgetS: 1200, env: { LEAFD_TEST_LONG: '1' } },
      { name: 'soak', budgetS: 4000, env: { LEAFD_SOAK_MINUTES: '60' } },
    ]
  : [
      { name: 'tidy', budgetS: 30 },
      { name: 'unit', budgetS: 120 },
      { name: 'fuzz', budgetS: 180 },
      { name: 'sim', budgetS: 240 },
      { name: 'kernel', budgetS: 360 },
      { name: 'klab', budgetS: 120, lab: true },
      { name: 'conformance', budgetS: 120 },
      { name: 'interop', budgetS: 330, words: ['--maxWorkers=2'], again: true },
      { name: 'matrix', budgetS: 240, words: ['--maxWorkers=2'], again: true },
      { name: 'e2e', budgetS: 600, again: true },
    ];

/** Files of a layer that may run once more, at most: with more of them broken it is not the machine. */
const FILES_AGAIN = 2;

/** Waits more than it works: it runs beside the unit layers on other Nodes. */
const soak = { name: 'soak', budgetS: 240 };

const foreignDaemons = ['frr', 'bird2', 'gobgpd', 'exabgp', 'openbgpd'];
const tools = ['iproute2', 'iputils-ping', 'nftables', 'tcpdump', 'procps', 'openssl'];
/** Clients and network tools as guests have them, real guests under QEMU, and LXD. */
const guestTools = [
  ...['udhcpc', 'isc-dhcp-client', 'ifupdown', 'netplan.io', 'systemd'],
  ...['qemu-system-x86', 'cpio', 'kmod', 'lxd'],
];

requireRoot('npm test');
provideModules();
providePackages([...tools, ...guestTools, ...foreignDaemons, 'stayrtr']);
console.log('checking types, style …');
run('npx', ['tsc', '--noEmit']);
run('npx', ['biome', 'check', '--error-on-warnings', '.']);
provideBuild();

const scratch = mkdtempSync(join(tmpdir(), 'leafd-test-'));
// Tests run programs of it as other users.
chmodSync(scratch, 0o755);
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
const total = { passed: 0, failed: 0, skipped: 0 };
const lines = [];
/** Names of the tests that failed, each with the first line of its reason. */
const failures = [];
for (const layer of layers) await runLayer(layer);
if (!long) {
  const soaking = runLayer(soak);
  await runOnOtherNodes();
  await soaking;
}
console.log(`\n${lines.join('\n')}`);
if (failures.length > 0) console.log(`\n${failures.join('\n')}`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 ? 0 : 1);

/** Runs a command with its output shown; its exit status. */
function shown(command, words, env = process.env) {
  return new Promise((resolve) => {
    const child = spawn(command, words, { cwd: root, stdio: 'inherit', env });
    child.once('error', () => resolve(undefined));
    child.once('exit', (status) => resolve(status));
  });
}

async function runLayer(layer) {
  const started = Date.now();
  console.log(`\n== ${layer.name}`);
  const whyNot = layer.lab ? whyNoKernelLab() : undefined;
  if (whyNot !== undefined) {
    lines.push(`${layer.name.padEnd(11)} skipped: ${whyNot}`);
    // Where tests run by themselves nobody reads that word.
    if (process.env.CI) total.failed++;
    else total.skipped++;
    return;
  }
  if (layer.lab) await bundleKernelLab();
  let outcome = await runFiles(layer, []);
  const broken = outcome.files.filter(({ failed }) => failed.length > 0);
  let second = '';
  if (layer.again === true && broken.length > 0 && broken.length <= FILES_AGAIN) {
    for (const { failed } of broken) failures.push(...failed.map((line) => `at first: ${line}`));
    console.log(`\n== ${layer.name}, once more what failed`);
    const again = await runFiles(
      layer,
      broken.map(({ file }) => file),
    );
    second = `  ${outcome.failed} failed at first`;
    outcome = {
      ...again,
      passed: again.passed + outcome.passed - broken.reduce((sum, { passed }) => sum + passed, 0),
      skipped: outcome.skipped,
    };
  }
  const seconds = (Date.now() - started) / 1000;
  const { passed, failed, skipped, status } = outcome;
  for (const { failed: names } of outcome.files) failures.push(...names.map((line) => `failed: ${line}`));
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  const runnerFailed = status !== 0 && failed === 0;
  const empty = passed === 0 && failed === 0;
  if (runnerFailed || empty) total.failed++;
  const over = seconds > layer.budgetS ? '  over budget' : '';
  const why = runnerFailed ? '  the runner failed' : empty ? '  nothing ran' : '';
  lines.push(
    `${layer.name.padEnd(11)} ${String(passed).padStart(5)} passed ${String(failed).padStart(3)} failed ` +
      `${seconds.toFixed(0).padStart(4)} s of ${layer.budgetS} s${over}${why}${second}`,
  );
}

/** Runs some files of a layer, or all: counts, and by file what failed. A hook that failed counts as a test. */
async function runFiles(layer, files) {
  const report = join(scratch, `${layer.name}.json`);
  rmSync(report, { force: true });
  const reportInside = layer.lab ? `$KLAB_OUT/${layer.name}.json` : report;
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportInside}`];
  const words = ['vitest', 'run', '--project', layer.name, ...(layer.words ?? []), ...reporters, ...files];
  const [command, ...rest] = layer.lab ? kernelLabCommand(reporters, scratch) : ['npx', ...words];
  const status = await shown(command, rest, { ...process.env, ...layer.env });
  let counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, testResults: [] };
  try {
    counts = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    // No report: the runner itself failed, which its status says.
  }
  const outcomes = counts.testResults.map(({ name, status: state, message, assertionResults }) => {
    const path = name.slice(root.length + 1);
    const file = layer.lab ? sourceOfBundle(path) : path;
    const failed = assertionResults
      .filter((one) => one.status === 'failed')
      .map(({ fullName, failureMessages }) => `${file}: ${fullName}: ${firstLine(failureMessages[0])}`);
    if (state === 'failed' && failed.length === 0) failed.push(`${file}: ${firstLine(message)}`);
    return { file, failed, passed: assertionResults.filter((one) => one.status === 'passed').length };
  });
  const failed = outcomes.reduce((sum, one) => sum + one.failed.length, 0);
  return { status, passed: counts.numPassedTests, failed, skipped: counts.numPendingTests, files: outcomes };
}

function firstLine(text = '') {
  return text.split('\n')[0].slice(0, 300);
}

/** The unit layer again on the newer Node lines that we support, from npm's packages of Node itself. */
async function runOnOtherNodes() {
  for (const major of ['22', '24']) {
    console.log(`\n== unit on Node ${major}`);
    const folder = join(scratch, `node${major}`);
    const install = spawnSync(
      'npm',
      [
        'install',
        '--prefix',
        folder,
        '--no-audit',
        '--no-fund',
        '--ignore-scripts',
        `node-linux-${process.arch}@${major}`,
      ],
      {
        encoding: 'utf8',
      },
    );
    if (install.status !== 0) fail(`cannot install Node ${major}: ${install.stderr}`);
    const binary = spawnSync('find', [folder, '-path', '*bin/node', '-type', 'f'], { encoding: 'utf8' })
      .stdout.trim()
      .split('\n')[0];
    const status = await shown(binary, ['node_modules/vitest/vitest.mjs', 'run', '--project', 'unit']);
    if (status === 0) total.passed++;
    else total.failed++;
    lines.push(`unit on Node ${major}: ${status === 0 ? 'passed' : 'failed'}`);
  }
}
