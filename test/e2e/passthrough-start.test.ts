// A start that fails after a NIC has moved: nobody would look at its trial, so it goes home before leafd ends.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { createNetns, removeNetns } from '../../src/netlink/netns.ts';
import { run, runOrThrow, until } from '../support/fabric.ts';

const host = `lfps-${process.pid}-h`;
const router = `lfps-${process.pid}-r`;
const stateDir = mkdtempSync(join(tmpdir(), 'leafd-start-'));
const config = join(stateDir, 'leafd.yaml');

afterEach(() => {
  for (const name of [router, host]) removeNetns(name);
  rmSync(stateDir, { recursive: true, force: true });
});

it('a router namespace in which somebody else speaks BGP gives the NIC back, with its addresses', async () => {
  for (const name of [host, router]) createNetns(name);
  const ip = (...words: string[]) => runOrThrow(['ip', '-n', host, ...words]);
  await ip('link', 'add', 'eth1', 'type', 'veth', 'peer', 'name', 'far');
  for (const name of ['eth1', 'far']) await ip('link', 'set', name, 'up');
  await ip('addr', 'add', '192.168.11.5/24', 'dev', 'eth1');
  const [bgp, peers] = ['asn: 64514, routerId: 10.0.0.1', '[{address: 192.168.11.2, remoteAs: 64512}]'];
  writeFileSync(config, `bgp: {${bgp}, peers: ${peers}}\npassthrough: {netns: ${router}, uplinks: [eth1]}\n`);
  const listen = "require('net').createServer().listen(179, '0.0.0.0', () => console.log('listens'))";
  const other = spawn('nsenter', [`--net=/run/netns/${router}`, process.execPath, '-e', listen]);
  try {
    await new Promise((listens) => other.stdout.once('data', listens));
    const leafd = ['bin/leafd', '--config', config, '--socket', join(stateDir, 's'), '--state', stateDir];
    const started = await run(['nsenter', `--net=/run/netns/${host}`, resolve(leafd[0]!), ...leafd.slice(1)]);
    expect(started).toMatchObject({
      exitCode: 5,
      stderr: expect.stringContaining('cannot listen on port 179'),
    });
    expect(started.stdout).toContain('eth1 is in');
    await until(
      () => ip('-o', 'addr', 'show', 'dev', 'eth1'),
      (seen) => seen.includes('192.168.11.5/24'),
      { timeoutMs: 1000 },
    );
  } finally {
    other.kill('SIGKILL');
  }
});
