// Routes of the operator's own, aggregates, black holes and default routes, from leafd.yaml to the kernels of two
// machines and back out of them by a reload.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { leafdPath, type Running, run, runOrThrow, start, until } from '../support/fabric.ts';

const a = `lfor-a-${process.pid}`;
const b = `lfor-b-${process.pid}`;
const scratch = mkdtempSync(join(tmpdir(), 'leafd-origination-'));
const daemons: Running[] = [];

const first = (extra: string, peer: string): string => `
bgp:
  asn: 65001
  routerId: 10.255.0.1
  loopbacks: [10.255.0.1/32]
  networks: [172.16.1.0/24]
  profile: fabric
  routes:
    - {prefix: 198.51.100.0/24, via: 192.0.2.1}
    - {prefix: 203.0.113.0/24, blackhole: true}
  ${extra}
  peers:
    - {address: 192.0.2.1, remoteAs: 65002, ${peer} families: [ipv4]}
`;

const second = `
bgp:
  asn: 65002
  routerId: 10.255.0.2
  loopbacks: [10.255.0.2/32]
  networks: [172.16.8.0/24]
  profile: fabric
  peers:
    - {address: 192.0.2.0, remoteAs: 65001, families: [ipv4]}
`;

function daemon(netns: string, name: string, text: string): Running {
  writeFileSync(join(scratch, `${name}.yaml`), text);
  const files = ['--config', join(scratch, `${name}.yaml`), '--socket', join(scratch, `${name}.sock`)];
  const running = start(['ip', 'netns', 'exec', netns, leafdPath, ...files, '--state', join(scratch, name)]);
  daemons.push(running);
  return running;
}

/** Our routes in the kernel: `prefix` or `blackhole prefix`. */
async function ours(netns: string): Promise<string[]> {
  const text = await runOrThrow(['ip', '-n', netns, 'route', 'show', 'proto', '179']);
  return text
    .split('\n')
    .flatMap((line) => /^((?:blackhole )?\S+)/.exec(line)?.[1] ?? [])
    .sort();
}

beforeAll(async () => {
  for (const netns of [a, b]) {
    await runOrThrow(['ip', 'netns', 'add', netns]);
    await runOrThrow(['ip', '-n', netns, 'link', 'set', 'lo', 'up']);
  }
  await runOrThrow([
    'ip',
    '-n',
    a,
    'link',
    'add',
    'eth0',
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    b,
  ]);
  for (const [netns, address] of [
    [a, '192.0.2.0/31'],
    [b, '192.0.2.1/31'],
  ] as const) {
    await runOrThrow(['ip', '-n', netns, 'addr', 'add', address, 'dev', 'eth0']);
    await runOrThrow(['ip', '-n', netns, 'link', 'set', 'eth0', 'up']);
  }
});

afterAll(async () => {
  for (const running of daemons) await running.stop();
  for (const netns of [a, b]) await run(['ip', 'netns', 'delete', netns]);
  rmSync(scratch, { recursive: true, force: true });
});

const comesTo = (netns: string, wanted: string[]): Promise<string[]> =>
  until(
    () => ours(netns),
    (seen) => isDeepStrictEqual(seen, wanted),
    { timeoutMs: 20_000, what: `${netns}: ${wanted.join(', ')}` },
  );

test('own routes, an aggregate and a default route reach both kernels and leave them with the configuration', async () => {
  const aggregate = 'aggregates: [{prefix: 172.16.0.0/12, summaryOnly: true}]';
  const running = daemon(a, 'a', first(aggregate, 'defaultOriginate: true,'));
  daemon(b, 'b', second);
  const black = 'blackhole 203.0.113.0/24';
  const here = ['10.255.0.2', '172.16.8.0/24', '198.51.100.0/24'];
  await comesTo(a, [...here, 'blackhole 172.16.0.0/12', black]);
  await comesTo(b, ['10.255.0.1', '172.16.0.0/12', '198.51.100.0/24', '203.0.113.0/24', 'default']);
  const lost = await run(['ip', '-n', a, 'route', 'get', '172.16.9.1']);
  expect(lost.stderr).toMatch(/Invalid argument/);
  expect(running.text()).not.toMatch(/routes-refused/);
  writeFileSync(join(scratch, 'a.yaml'), first('', ''));
  running.child.kill('SIGHUP');
  await comesTo(a, [...here, black]);
  await comesTo(b, ['10.255.0.1', '172.16.1.0/24', '198.51.100.0/24', '203.0.113.0/24']);
});
