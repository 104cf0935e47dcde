import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { RouterConfig } from '../router/config.ts';
import { Configuration } from './configuration.ts';

const folder = mkdtempSync(join(tmpdir(), 'leafd-configuration-'));
afterAll(() => rmSync(folder, { recursive: true }));

const file = join(folder, 'leafd.yaml');
const text = (asn: number, loopback: string, port: number): string =>
  `bgp: {asn: ${asn}, loopbacks: [${loopback}/32], port: ${port}, profile: fabric, peers: [{interface: eth0}]}\n`;

test('who we are stays until the next start, and what waits for it is remembered', async () => {
  writeFileSync(file, text(65001, '10.0.0.1', 179));
  const configuration = Configuration.read(file);
  const put: RouterConfig[] = [];
  configuration.onChange(({ router }) => void put.push(router));

  const answer = await configuration.apply([{ file, text: text(65009, '10.0.0.9', 1790) }]);
  expect(put[0]).toMatchObject({ asn: 65001, bgpId: 0x0a000001, clusterId: 0x0a000001 });
  expect(put[0]!.networks).toHaveLength(1);
  const waiting = [
    'bgp.asn: 65001 -> 65009',
    'bgp.routerId: 10.0.0.1 -> 10.0.0.9',
    'bgp.port: 179 -> 1790',
    'bgp.clusterId: 10.0.0.1 -> 10.0.0.9',
  ];
  expect(configuration.needRestart().map((one) => one.text)).toEqual(waiting);
  expect(answer).toMatchObject({ kind: 'done', view: { effect: 'restart' } });

  await configuration.apply([{ file, text: text(65009, '10.0.0.9', 1790) }]);
  expect(
    configuration.needRestart().map((one) => one.text),
    'also after another reload',
  ).toEqual(waiting);

  await configuration.apply([{ file, text: text(65001, '10.0.0.1', 179) }]);
  expect(configuration.needRestart()).toEqual([]);
});

test('a refused reload keeps what is in force and tells place and number of problems', async () => {
  writeFileSync(file, text(65001, '10.0.0.1', 179));
  const configuration = Configuration.read(file);
  writeFileSync(file, 'bgp: {asn: 65001, loopback: [], colour: red}\n');
  await expect(configuration.reload()).rejects.toMatchObject({
    code: 'config-invalid',
    message: expect.stringMatching(/^bgp\.\S+: .*\(and \d more\)$/),
    where: { file, line: 1 },
  });
  expect(configuration.loaded.lastError).toMatchObject({ code: 'config-invalid', where: { file } });
  expect(configuration.intent.bgp.asn).toBe(65001);
});

test('plan says which session would reset and why, by the router that would do it', async () => {
  const head = 'bgp: {asn: 65001, loopbacks: [10.0.0.1/32], profile: fabric, peers: [';
  const peer = (more: string) => `${head}{address: 192.0.2.1, remoteAs: 65002${more}}]}\n`;
  writeFileSync(file, peer(''));
  const configuration = Configuration.read(file);
  const planned = async (more: string) => {
    const answer = await configuration.plan([{ file, text: peer(more) }]);
    return answer.kind === 'done' ? answer.view.changes.map((one) => `${one.effect}: ${one.text}`) : [];
  };
  expect(await planned(', role: customer, families: [ipv4, evpn]')).toEqual([
    'session reset: peer 192.0.2.1: families ipv4 ipv6 -> ipv4 evpn ' +
      '(role changes; without ipv6; with evpn, if it offers that)',
    'session reset: peer 192.0.2.1: role customer',
  ]);
  expect(await planned(', gracefulRestart: helper')).toEqual([
    'live: peer 192.0.2.1: gracefulRestart full -> helper',
  ]);
  expect(await planned(', timers: {hold: 30s}')).toEqual([
    'live: peer 192.0.2.1: timers.hold 90s -> 30s, with the next session',
    'live: peer 192.0.2.1: timers.keepalive 30s -> 10s, with the next session',
  ]);
  expect(await planned(', shutdown: true')).toEqual(['session reset: peer 192.0.2.1: shut down']);
});

test('who speaks here stays until the next start, and the peers with it', async () => {
  writeFileSync(file, text(65001, '10.0.0.1', 179));
  const configuration = Configuration.read(file);
  const put: RouterConfig[] = [];
  configuration.onChange(({ router }) => void put.push(router));
  await configuration.apply([{ file, text: 'bgp: {speaker: none, asn: 65001, loopbacks: [10.0.0.1/32]}\n' }]);
  expect(put[0]!.peers).toHaveLength(1);
  expect(configuration.needRestart().map((one) => one.text)).toContain('bgp.speaker: leafd -> none');

  writeFileSync(file, 'bgp: {speaker: none, loopbacks: [10.0.0.1/32]}\n');
  const silent = Configuration.read(file);
  silent.onChange(({ router }) => void put.push(router));
  expect(silent.router.peers).toEqual([]);
  await silent.apply([{ file, text: text(64512, '10.0.0.1', 179) }]);
  expect(put[1]!.peers).toEqual([]);
});
