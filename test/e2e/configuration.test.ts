// Configurations are judged before anything happens: wrong ones are refused with the place of the fault and touch
// nothing, right ones change what they say and reset no session.

import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PeersView, RoutesView, StatusView } from '../../src/api/views.ts';
import {
  editConfig,
  exampleFabric,
  leafctl,
  root,
  scratchFile,
  seenRoutes,
  until,
  watchRoutes,
} from '../support/fabric.ts';

const fabric = exampleFabric('clos', 'config');
const routers = ['spine1', 'spine2', 'leaf1', 'leaf2', 'leaf3'];
const badFolder = join(root, 'test', 'bad-config');
let own = '';

beforeAll(async () => {
  await fabric.up();
  own = await readFile(fabric.configOf('leaf1'), 'utf8');
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

/** When every session and every route of the fabric began: equal before and after means that nothing was touched. */
async function beginnings(): Promise<string[]> {
  const lines: string[] = [];
  for (const node of routers) {
    const { peers } = await fabric.get<PeersView>(node, '/v1/peers');
    for (const peer of peers) lines.push(`${node} ${peer.name} ${peer.state} ${peer.since}`);
    const { routes } = await fabric.get<RoutesView>(node, '/v1/routes?limit=1000');
    for (const route of routes) lines.push(`${node} ${route.prefix} ${route.peer} ${route.since}`);
  }
  return lines.sort();
}

/** The same of sessions alone. */
async function sessions(): Promise<string[]> {
  return (await beginnings()).filter((line) => line.includes(' established '));
}

it('check refuses every bad file, with the place of the fault', async () => {
  const names = (await readdir(badFolder)).filter((name) => name.endsWith('.yaml'));
  expect(names.length).toBeGreaterThanOrEqual(30);
  const { exitCode, stdout, stderr } = await leafctl('check', ...names.map((name) => join(badFolder, name)));
  expect(exitCode).toBe(4);
  expect(stdout).toBe('');
  const told = stderr.split('\n');
  const wrong: string[] = [];
  for (const name of names) {
    const file = join(badFolder, name);
    const [, line, column] = /^# expect: (\d+):(\d+)/.exec(await readFile(file, 'utf8'))!;
    if (!told.some((one) => one.startsWith(`${file}:${line}:${column}: `))) wrong.push(name);
  }
  expect(wrong).toEqual([]);
});

it('check of one bad file ends with 4, whichever of 30 it is', async () => {
  const names = (await readdir(badFolder)).filter((name) => name.endsWith('.yaml'));
  const step = names.length / 30;
  const waiting = Array.from({ length: 30 }, (_, index) => names[Math.floor(index * step)]!);
  const wrong: string[] = [];
  const judge = async () => {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      const { exitCode, stdout, stderr } = await leafctl('check', join(badFolder, name));
      const placed = new RegExp(`/${name}:\\d+:\\d+: `).test(stderr);
      if (exitCode !== 4 || stdout !== '' || !placed)
        wrong.push(`${name}: exit ${exitCode}: ${stdout}${stderr}`);
    }
  };
  await Promise.all([judge(), judge(), judge()]);
  expect(wrong).toEqual([]);
});

it('check takes good files, and the lab files of the examples', async () => {
  const names = await readdir(join(root, 'examples'), { recursive: true });
  const examples = names.filter((name) => name.endsWith('.yaml')).map((name) => join(root, 'examples', name));
  expect(examples.length).toBeGreaterThan(7);
  const { exitCode, stdout } = await leafctl('check', fabric.configOf('leaf1'), ...examples);
  expect(stdout.trim().split('\n')).toHaveLength(examples.length + 1);
  expect(exitCode).toBe(0);
});

it('apply of a bad file leaves the running fabric untouched', async () => {
  const before = await beginnings();
  expect(before.filter((line) => line.includes(' established ')).length).toBe(12);
  const monitor = await watchRoutes(fabric, 'leaf1');
  const names = (await readdir(badFolder)).filter((name) => name.endsWith('.yaml'));
  for (const name of names.filter((_, index) => index % 6 === 0)) {
    const file = join(badFolder, name);
    const { exitCode, stderr } = await fabric.leafctl('leaf1', 'apply', file);
    expect(`${exitCode} ${stderr}`).toMatch(/^4 .*\S+\.yaml:\d+:\d+: /s);
  }
  // A whole and nearly right configuration of this very node.
  const wrong = scratchFile('nearly.yaml', own.replace('hold: 9s', 'hold: 1s'));
  expect(await fabric.leafctl('leaf1', 'apply', wrong)).toMatchObject({
    exitCode: 4,
    stderr: expect.stringMatching(/nearly\.yaml:\d+:\d+: bgp\.groups\.fabric\.timers\.hold: /),
  });
  expect(seenRoutes(await monitor.stop())).toEqual([]);
  expect(await beginnings()).toEqual(before);
});

it('plan tells what would change: exit 0 for nothing, 1 for something, 4 for what is wrong', async () => {
  const same = await fabric.leafctl('leaf1', 'plan', fabric.configOf('leaf1'));
  expect(same).toMatchObject({ exitCode: 0, stderr: '' });
  const file = scratchFile(
    'plan.yaml',
    editConfig(own, ({ bgp }) => (bgp.networks = ['192.0.2.0/24'])),
  );
  const more = await fabric.leafctl('leaf1', 'plan', file);
  expect(more).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/192\.0\.2\.0\/24 .*live/) });
  const reset = scratchFile(
    'as.yaml',
    editConfig(own, ({ bgp }) => (bgp.groups.fabric.timers.hold = '12s')),
  );
  expect((await fabric.leafctl('leaf1', 'plan', reset)).stdout).toMatch(/session reset|live/);
  expect((await fabric.leafctl('leaf1', 'plan', join(badFolder, 'unknown-key.yaml'))).exitCode).toBe(4);
  const { routes } = await fabric.get<RoutesView>('leaf1', '/v1/routes?prefix=192.0.2.0/24');
  expect(routes).toEqual([]);
});

it('apply of a new network and a changed policy resets no session', async () => {
  const before = await sessions();
  expect(before).toHaveLength(12);
  const file = scratchFile(
    'apply.yaml',
    editConfig(own, (config) => {
      config.bgp.networks = ['192.0.2.0/24', '2001:db8:abcd::/48'];
      config.bgp.groups.fabric.export = 'marked';
      const marked = { set: { communities: { add: ['65101:7'] } }, action: 'accept' };
      config.policies = { marked: { rules: [marked] } };
    }),
  );
  expect((await fabric.leafctl('leaf1', 'apply', file)).exitCode).toBe(0);
  for (const prefix of ['192.0.2.0/24', '2001:db8:abcd::/48', '198.18.1.1/32']) {
    const look = () => fabric.get<RoutesView>('leaf3', `/v1/routes?prefix=${encodeURIComponent(prefix)}`);
    const marked = ({ routes }: RoutesView) =>
      routes.length === 2 &&
      routes.every(({ attributes }) => attributes.communities?.includes('65101:7') === true);
    await until(look, marked, { timeoutMs: 3000, what: `${prefix} with its community` });
  }
  expect((await fabric.leafctl('leaf1', 'apply', fabric.configOf('leaf1'))).exitCode).toBe(0);
  const look = () => fabric.get<RoutesView>('leaf3', '/v1/routes?prefix=192.0.2.0/24');
  await until(look, ({ routes }) => routes.length === 0, { timeoutMs: 3000, what: 'the withdrawal' });
  const plain = () => fabric.get<RoutesView>('leaf3', '/v1/routes?prefix=198.18.1.1/32');
  const unmarked = ({ routes }: RoutesView) =>
    routes.length === 2 && routes.every(({ attributes }) => attributes.communities === undefined);
  await until(plain, unmarked, { timeoutMs: 3000, what: 'routes without the community' });
  expect(await sessions()).toEqual(before);
});

it('a policy of import applies softly to routes that are there already', async () => {
  const before = await sessions();
  const file = scratchFile(
    'import.yaml',
    editConfig(own, (config) => {
      config.bgp.groups.fabric.import = 'not-leaf3';
      const rule = { name: 'no-leaf3', match: { asPath: '_65103$' }, action: 'reject' };
      config.policies = { 'not-leaf3': { default: 'accept', rules: [rule] } };
    }),
  );
  expect((await fabric.leafctl('leaf1', 'apply', file)).exitCode).toBe(0);
  const kernel = () => fabric.out('leaf1', 'ip', '-N', '-4', 'route', 'show', 'proto', '179');
  await until(kernel, (text) => !text.includes('198.18.3.') && text.includes('198.18.2.'), {
    timeoutMs: 3000,
  });
  expect((await fabric.leafctl('leaf1', 'apply', fabric.configOf('leaf1'))).exitCode).toBe(0);
  await until(kernel, (text) => text.includes('198.18.3.1') && text.includes('198.18.3.2'), {
    timeoutMs: 3000,
  });
  expect(await sessions()).toEqual(before);
});

it('SIGHUP with a bad file keeps everything, and says what is wrong; with a good one it takes it', async () => {
  const before = await beginnings();
  const pid = await fabric.pid('leaf1');
  const config = fabric.configOf('leaf1');
  const status = () => fabric.get<StatusView>('leaf1', '/v1/status');
  try {
    await copyFile(join(badFolder, 'unknown-key.yaml'), config);
    process.kill(pid, 'SIGHUP');
    const told = await until(status, ({ config: { lastError } }) => lastError !== undefined, {
      timeoutMs: 3000,
    });
    expect(told.config.lastError).toMatchObject({ where: { file: config, line: 6, column: 3 } });
    expect(await beginnings()).toEqual(before);
    await writeFile(
      config,
      editConfig(own, ({ bgp }) => (bgp.networks = ['192.0.2.0/24'])),
    );
    process.kill(pid, 'SIGHUP');
    await until(status, ({ config: { lastError } }) => lastError === undefined, { timeoutMs: 3000 });
    const look = () => fabric.get<RoutesView>('leaf3', '/v1/routes?prefix=192.0.2.0/24');
    await until(look, ({ routes }) => routes.length === 2, { timeoutMs: 3000, what: 'the network at leaf3' });
  } finally {
    await writeFile(config, own);
    process.kill(pid, 'SIGHUP');
  }
  expect(await fabric.pid('leaf1')).toBe(pid);
});
