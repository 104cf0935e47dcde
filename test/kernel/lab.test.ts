// The lab against the real kernel: cables that are cut, mended and moved; daemons that are restarted; and that what
// `down` leaves is nothing, also when `up` was killed at any of its steps or refused.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import * as lab from '../../src/lab/lab.ts';
import { processesIn } from '../../src/lab/processes.ts';
import { createNetns, listNetns, netnsInode, removeNetns } from '../../src/netlink/netns.ts';

const files = mkdtempSync(join(tmpdir(), 'lfsklab-'));
const hasFrr = existsSync('/usr/lib/frr/bgpd');
const hasBird = existsSync('/usr/sbin/bird');
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Writes a lab file whose lab is called `lfsklab-NAME`. */
function labFile(name: string, body: string): string {
  const path = join(files, `${name}.yaml`);
  writeFileSync(path, `name: lfsklab-${name}\n${body}`);
  return path;
}

function leftovers(name: string): string[] {
  return [
    ...listNetns().filter((netns) => netns.startsWith(`lfsklab-${name}-`)),
    ...(existsSync(`/run/leafd-lab/lfsklab-${name}`) ? [`/run/leafd-lab/lfsklab-${name}`] : []),
  ];
}

async function downIfUp(name: string): Promise<void> {
  if (existsSync(`/run/leafd-lab/lfsklab-${name}`)) await lab.down(`lfsklab-${name}`);
}

const names = ['cables', 'frr', 'crash', 'refused', 'foreign', 'empty'];

afterEach(async () => {
  for (const name of names) await downIfUp(name);
});

afterAll(() => rmSync(files, { recursive: true, force: true }));

const threeHosts = `
nodes:
  a: {kind: host, ports: {eth0: [10.9.0.1/24, "2001:db8:9::1/64"]}}
  b: {kind: host, ports: {eth0: [10.9.0.2/24, "2001:db8:9::2/64"]}}
  c: {kind: host, ports: {eth7: [10.9.0.2/24, "2001:db8:9::2/64"]}}
links: [[a:eth0, b:eth0]]
`;

describe('cables', () => {
  const name = 'lfsklab-cables';
  const lost = async (from: string, to: string, family: 'ipv4' | 'ipv6', count = 3) =>
    (await lab.ping(name, from, to, { family, count, intervalMs: 20 })).lost;

  it('carry traffic, are cut in every way, and are as before when mended', async () => {
    const view = await lab.up(labFile('cables', threeHosts), { waitMs: 0 });
    expect(view).toMatchObject({ name, nodes: 3, links: 1, sessions: { established: 0, expected: 0 } });
    for (const cut of [{}, { silent: true }, { lossPercent: 100 }, { oneWay: true }]) {
      await lab.cut(name, 'a:eth0', cut);
      expect([await lost('a', 'b', 'ipv4', 2), await lost('b', 'a', 'ipv6', 2)], JSON.stringify(cut)).toEqual(
        [2, 2],
      );
      expect(await lab.mend(name, 'b:eth0')).toEqual({ mended: true });
      expect([await lost('a', 'b', 'ipv4'), await lost('b', 'a', 'ipv6')], JSON.stringify(cut)).toEqual([
        0, 0,
      ]);
    }
    const rules = await lab.exec(name, 'b', ['nft', 'list', 'ruleset']);
    expect(rules.stdout).toBe('');
    expect(await lab.mend(name, 'a:eth0')).toEqual({ mended: false });
  });

  it('cut silently keep their carrier, cut plainly lose it at both ends', async () => {
    await lab.up(labFile('cables', threeHosts), { waitMs: 0 });
    const carrier = async () =>
      (await lab.exec(name, 'b', ['cat', '/sys/class/net/eth0/carrier'])).stdout.trim();
    await lab.cut(name, 'a:eth0', { silent: true });
    expect(await carrier()).toBe('1');
    await lab.cut(name, 'a:eth0');
    expect(await carrier()).toBe('0');
    expect((await lab.status(name)).links).toEqual([{ a: 'a:eth0', b: 'b:eth0', state: 'down' }]);
  });

  it('drop one way only what the named port sends', async () => {
    await lab.up(labFile('cables', threeHosts), { waitMs: 0 });
    expect(await lost('b', 'a', 'ipv4')).toBe(0);
    await lab.cut(name, 'a:eth0', { oneWay: true });
    const seen = lab.exec(name, 'a', ['timeout', '2', 'tcpdump', '-c', '1', '-ni', 'eth0', 'icmp[0]=8']);
    await sleep(500);
    expect(await lost('b', 'a', 'ipv4', 5)).toBe(5);
    expect((await seen).exitCode).toBe(0);
  });

  it('lose about the share that was asked for', async () => {
    await lab.up(labFile('cables', threeHosts), { waitMs: 0 });
    // With the neighbours known, or a lost ARP packet would cost a second of others.
    expect(await lost('a', 'b', 'ipv4')).toBe(0);
    await lab.cut(name, 'a:eth0', { lossPercent: 30 });
    const view = await lab.ping(name, 'a', 'b', { family: 'ipv4', count: 300, intervalMs: 2 });
    // A round trip passes with 0.7 * 0.7; five standard deviations on either side.
    expect(view.received).toBeGreaterThan(100);
    expect(view.received).toBeLessThan(200);
  });

  it('move to a port that is made, and leave the old one unplugged', async () => {
    await lab.up(labFile('cables', threeHosts), { waitMs: 0 });
    const macs = async () => (await lab.exec(name, 'a', ['cat', '/sys/class/net/eth0/address'])).stdout;
    const before = await macs();
    expect(await lab.move(name, 'a:eth0', 'c:eth7')).toEqual({ unplugged: ['b:eth0'] });
    expect(await macs()).toBe(before);
    expect([await lost('a', 'c', 'ipv4'), await lost('a', 'c', 'ipv6')]).toEqual([0, 0]);
    expect((await lab.exec(name, 'b', ['ls', '/sys/class/net'])).stdout.trim()).toBe('lo');
    expect(await lab.move(name, 'b:eth0', 'c:eth7')).toEqual({ unplugged: ['a:eth0'] });
    expect((await lab.status(name)).links).toEqual([{ a: 'b:eth0', b: 'c:eth7', state: 'up' }]);
  });

  it('tell what is wrong with the ends', async () => {
    await lab.up(labFile('cables', threeHosts), { waitMs: 0 });
    const code = (code: string) => expect.objectContaining({ code });
    await expect(lab.cut(name, 'a:eth9')).rejects.toThrow(code('lab-cable-absent'));
    await expect(lab.cut(name, 'z:eth0')).rejects.toThrow(code('lab-node-absent'));
    await expect(lab.cut(name, 'eth0')).rejects.toThrow(code('lab-end-invalid'));
    await expect(lab.cut(name, 'a:eth0', { silent: true, oneWay: true })).rejects.toThrow(code('usage'));
    await expect(lab.move(name, 'a:eth0', 'a:eth1')).rejects.toThrow(code('lab-end-invalid'));
    await expect(lab.move(name, 'a:eth0', 'b:lo')).rejects.toThrow(code('lab-end-invalid'));
    expect(await lost('a', 'b', 'ipv4')).toBe(0);
    await expect(lab.cut('lfsklab-none', 'a:eth0')).rejects.toThrow(code('lab-absent'));
    await expect(lab.ping(name, 'a', '192.0.2.1', { count: 1 })).resolves.toMatchObject({
      lost: 1,
      received: 0,
    });
  });
});

describe('down', () => {
  it('ends what runs in the namespaces and leaves nothing', async () => {
    await lab.up(labFile('cables', threeHosts), { waitMs: 0 });
    const stray = spawn('ip', ['netns', 'exec', 'lfsklab-cables-a', 'sleep', '300'], {
      detached: true,
      stdio: 'ignore',
    });
    stray.unref();
    await sleep(200);
    const inodes = new Set(['a', 'b', 'c'].map((node) => netnsInode(`lfsklab-cables-${node}`)));
    expect(processesIn(inodes).map((one) => one.pid)).toEqual([stray.pid]);
    expect(await lab.down('lfsklab-cables')).toEqual({ processes: 1, namespaces: 3 });
    expect(processesIn(inodes)).toEqual([]);
    expect(leftovers('cables')).toEqual([]);
    await expect(lab.down('lfsklab-cables')).rejects.toThrow(expect.objectContaining({ code: 'lab-absent' }));
  });

  it('removes what a killed `up` left, whatever step it was at', async () => {
    const nodes = Array.from(
      { length: 6 },
      (_, at) => `  n${at}: {kind: bird, config: "router id 10.0.0.${at + 1}; protocol device {}"}`,
    );
    const links = [1, 2, 3, 4, 5].map((at) => `[n0:eth${at}, n${at}:eth0]`);
    const hostsOnly = nodes.map((line) => line.replace(/\{.*\}/, '{kind: host}'));
    const file = labFile(
      'crash',
      `nodes:\n${(hasBird ? nodes : hostsOnly).join('\n')}\nlinks: [${links.join(', ')}]\n`,
    );
    for (const killAtLine of [1, 2, 3]) {
      await killUpAt(file, killAtLine);
      expect(leftovers('crash').length).toBeGreaterThan(0);
      expect(lab.list().find((one) => one.name === 'lfsklab-crash')?.state).toBe('broken');
      await expect(lab.up(file)).rejects.toThrow(expect.objectContaining({ code: 'lab-exists' }));
      await lab.down('lfsklab-crash');
      expect(leftovers('crash'), `killed at step ${killAtLine}`).toEqual([]);
    }
    expect(daemonsOf('crash')).toEqual([]);
  });

  it('removes a lab that died before it wrote anything', async () => {
    execFileSync('mkdir', ['-p', '/run/leafd-lab/lfsklab-empty']);
    expect(lab.list()).toContainEqual(expect.objectContaining({ name: 'lfsklab-empty', state: 'broken' }));
    expect(await lab.down('lfsklab-empty')).toEqual({ processes: 0, namespaces: 0 });
    expect(leftovers('empty')).toEqual([]);
  });
});

describe('up', () => {
  it('undoes everything when a step fails, and says why', async () => {
    const duplicate = labFile(
      'refused',
      'nodes:\n  a: {kind: host, commands: [ip link add x0 type veth peer name x1, "false"]}\n  b: {kind: host}\nlinks: [[a:eth0, b:eth0]]\n',
    );
    await expect(lab.up(duplicate)).rejects.toThrow(expect.objectContaining({ code: 'lab-command-failed' }));
    expect(leftovers('refused')).toEqual([]);
  });

  it('leaves alone a namespace that is not its own', async () => {
    createNetns('lfsklab-foreign-a');
    try {
      const file = labFile('foreign', 'nodes:\n  a: {kind: host}\n');
      await expect(lab.up(file)).rejects.toThrow(expect.objectContaining({ code: 'netns-exists' }));
      expect(leftovers('foreign')).toEqual(['lfsklab-foreign-a']);
    } finally {
      removeNetns('lfsklab-foreign-a');
    }
  });

  it('stops between two steps when told to, undoing what there is', async () => {
    const stop = new AbortController();
    const file = labFile('refused', threeHosts);
    const onStep = (step: string) => step.includes('cables') && stop.abort();
    await expect(lab.up(file, { signal: stop.signal, onStep })).rejects.toThrow(
      expect.objectContaining({ code: 'lab-stopped' }),
    );
    expect(leftovers('refused')).toEqual([]);
  });

  it.skipIf(!hasBird)('tells the last words of a daemon that does not start', async () => {
    const file = labFile('refused', 'nodes:\n  a: {kind: bird, config: "router id 10.0.0.1; nonsense;"}\n');
    await expect(lab.up(file)).rejects.toThrow(
      expect.objectContaining({ code: 'node-failed', hint: expect.stringContaining('bird.conf:1:') }),
    );
    expect(leftovers('refused')).toEqual([]);
  });

  it.skipIf(!hasFrr)('tells what FRR refuses', async () => {
    const file = labFile(
      'refused',
      'nodes:\n  a: {kind: frr, config: "router bgp 65001\\n nonsense here\\n"}\n',
    );
    await expect(lab.up(file)).rejects.toThrow(/a refuses its configuration.*nonsense/);
    expect(leftovers('refused')).toEqual([]);
  });
});

describe.skipIf(!hasFrr)('a Clos of FRR', () => {
  const name = 'lfsklab-frr';
  const clos =
    'clos: {spines: 2, leaves: 2, hostsPerLeaf: 1, spineKind: frr, leafKind: frr, gracefulRestart: false}\n';

  it('is up with all sessions, carries traffic, survives a cut, a move and a restart', async () => {
    const view = await lab.up(labFile('frr', clos), { waitMs: 30_000 });
    expect(view.sessions).toEqual({ established: 8, expected: 8, tookMs: expect.any(Number) });
    for (const family of ['ipv4', 'ipv6'] as const) {
      expect(await converged(() => lab.ping(name, 'h1', 'h2', { family, count: 1 }))).toBe(true);
    }
    await lab.cut(name, 'leaf1:eth1');
    expect(await converged(() => lab.ping(name, 'h1', 'h2', { count: 3, intervalMs: 20 }))).toBe(true);
    await lab.mend(name, 'leaf1:eth1');
    await lab.move(name, 'h2:eth0', 'leaf1:vm9');
    expect(await converged(() => lab.ping(name, 'h2', 'h1', { count: 1 }))).toBe(true);
    const before = (await lab.status(name)).nodes.find((node) => node.name === 'leaf2')!.pids;
    const { pids } = await lab.restart(name, 'leaf2', { kill: true });
    expect(pids).toHaveLength(2);
    expect(before.some((pid) => pids.includes(pid))).toBe(false);
    const summary = await lab.exec(name, 'leaf2', ['vtysh', '-c', 'show bgp summary json']);
    expect(Object.keys(JSON.parse(summary.stdout).ipv4Unicast.peers)).toEqual(['eth1', 'eth2']);
    expect(await lab.graph(name)).toContain('sessions</text>');
  });

  it('shows a dead daemon, and `down` is exact', async () => {
    await lab.up(labFile('frr', clos), { waitMs: 0 });
    await lab.stop(name, 'spine1', { kill: true });
    const view = await lab.status(name);
    expect(view.state).toBe('broken');
    expect(view.nodes.find((node) => node.name === 'spine1')).toMatchObject({ alive: false, pids: [] });
    expect(view.nodes.find((node) => node.name === 'spine2')).toMatchObject({ alive: true });
    await lab.down(name);
    expect([leftovers('frr'), daemonsOf('frr')]).toEqual([[], []]);
  });
});

async function converged(ping: () => Promise<lab.PingView>): Promise<boolean> {
  for (let attempt = 0; attempt < 50; attempt++) {
    if ((await ping()).lost === 0) return true;
    await sleep(100);
  }
  return false;
}

/** Command lines of all processes that name a lab's directory. */
function daemonsOf(name: string): string[] {
  const lines = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => line.includes(`/run/leafd-lab/lfsklab-${name}/`));
}

/** Runs `up` in a process of its own and kills it when it has told so many steps. */
async function killUpAt(file: string, steps: number): Promise<void> {
  const script = `
    import { up } from './src/lab/lab.ts';
    await up(${JSON.stringify(file)}, { onStep: (step) => process.stdout.write(step + '\\n') });
    process.stdout.write('done\\n');`;
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let seen = 0;
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (bytes: Buffer) => {
      seen += bytes.toString().split('\n').length - 1;
      if (seen >= steps) child.kill('SIGKILL');
    });
    child.on('exit', () => resolve());
  });
  expect(seen).toBeGreaterThanOrEqual(steps);
}

it('leaves no directory of this test behind', () => {
  const labs = existsSync('/run/leafd-lab') ? readdirSync('/run/leafd-lab') : [];
  expect(labs.filter((one) => one.startsWith('lfsklab-'))).toEqual([]);
});
