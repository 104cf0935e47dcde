// The lab around a router namespace that a node's daemon makes: it is seen from outside, ports that have moved into it
// are cut, mended and moved there, daemons beside the node come and go by their own names, and `down` leaves nothing.
// The daemon is a stand-in of a few lines, which takes eth1 whenever it sees it, and keeps it up.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as lab from '../../src/lab/lab.ts';
import { processesIn, run } from '../../src/lab/processes.ts';
import { createNetns, listNetns, netnsInode, removeNetns } from '../../src/netlink/netns.ts';

const name = `lfpt${process.pid}`;
const files = mkdtempSync(join(tmpdir(), `${name}-`));
const hasBird = existsSync('/usr/sbin/bird');

const stand = join(files, 'leafd');
writeFileSync(
  stand,
  `#!/bin/sh
netns=$(sed -n 's/^ *netns: //p' "$2")
[ -e "/run/netns/$netns" ] || ip netns add "$netns"
while :; do
  if ip link set eth1 netns "$netns" 2>/dev/null; then
    ip -n "$netns" link set eth1 up
    ip -n "$netns" addr replace 10.9.0.2/24 dev eth1
  fi
  [ -e "/run/netns/$netns" ] && ip -n "$netns" link set eth1 up 2>/dev/null
  touch "$4"
  sleep 0.02
done
`,
  { mode: 0o755 },
);

const bird = '{kind: bird, in: node1, config: "router id 10.0.0.2; protocol device {}"}';
const file = join(files, 'a.lab.yaml');
writeFileSync(
  file,
  `name: ${name}
nodes:
  tor: {kind: host, ports: {eth1: [10.9.0.1/24], eth2: [10.9.0.3/24]}}
  node1:
    addresses: [192.0.2.1/32]
    ports: {eth1: [10.9.0.2/24]}
    config: {bgp: {asn: 64514, routerId: 10.0.0.1}, passthrough: {uplinks: [eth1]}}
${hasBird ? `  node1-bird: ${bird}\n` : ''}links: [[tor:eth1, node1:eth1]]
`,
);

const router = `${name}-node1-pe`;

function leftovers(): string[] {
  const labs = `/run/leafd-lab/${name}`;
  return [
    ...listNetns().filter((netns) => netns.startsWith(`${name}-`)),
    ...(existsSync(labs) ? [labs] : []),
  ];
}

beforeEach(async () => {
  await lab.up(file, { waitMs: 0, leafd: stand });
  await portIn(router);
});

afterEach(async () => {
  if (existsSync(`/run/leafd-lab/${name}`)) await lab.down(name);
});

afterAll(() => {
  rmSync(files, { recursive: true, force: true });
  expect(leftovers()).toEqual([]);
});

/** What ip(8) says of node1's eth1 in a namespace, when it is there. */
async function portIn(netns: string): Promise<string> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const { exitCode, stdout } = await run(['ip', '-n', netns, '-br', 'addr', 'show', 'dev', 'eth1']);
    if (exitCode === 0 && stdout.includes('10.9.0.2/24')) return stdout;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`eth1 does not come to ${netns}`);
}

const lostFromTor = async () => (await lab.ping(name, 'tor', '10.9.0.2', { count: 2, intervalMs: 20 })).lost;

describe('a router namespace', () => {
  it('is seen from outside, is told in the status, and the node stays the host', async () => {
    expect(await lostFromTor()).toBe(0);
    const node = (await lab.status(name)).nodes.find((one) => one.name === 'node1')!;
    expect(node).toMatchObject({ alive: true, netns: `${name}-node1`, routerNetns: router });
    const links = await lab.exec(name, 'node1', ['ls', '/sys/class/net']);
    expect(links.stdout.trim()).toBe('lo');
  });

  it('has its ports cut in every way, and mended', async () => {
    for (const [end, cut] of [
      ['node1:eth1', {}],
      ['tor:eth1', {}],
      ['node1:eth1', { silent: true }],
      ['tor:eth1', { oneWay: true }],
    ] as const) {
      await lab.cut(name, end, cut);
      expect(await lostFromTor(), `${end} ${JSON.stringify(cut)}`).toBe(2);
      expect(await lab.mend(name, 'node1:eth1')).toEqual({ mended: true });
      expect(await lostFromTor(), `${end} ${JSON.stringify(cut)}`).toBe(0);
    }
    expect((await run(['ip', 'netns', 'exec', router, 'nft', 'list', 'ruleset'])).stdout).toBe('');
  });

  it('has its ports moved, and takes what is plugged in anew', async () => {
    expect(await lab.move(name, 'tor:eth2', 'node1:eth1')).toEqual({ unplugged: ['tor:eth1'] });
    await portIn(router);
    expect((await lab.ping(name, 'tor', '10.9.0.2', { count: 2, intervalMs: 20 })).lost).toBe(0);
    expect(await lab.move(name, 'node1:eth1', 'tor:eth1')).toEqual({ unplugged: ['tor:eth2'] });
    await portIn(router);
    expect(await lostFromTor()).toBe(0);
  });

  it.each([[true], [false]])('goes with down, also when its daemon is dead (%s)', async (dead) => {
    if (dead) await lab.stop(name, 'node1', { kill: true });
    const inodes = new Set([netnsInode(router), netnsInode(`${name}-node1`)]);
    expect((await lab.down(name)).namespaces).toBe(3);
    expect(leftovers()).toEqual([]);
    expect(processesIn(inodes)).toEqual([]);
  });

  it('that is another’s already is refused before anything is made', async () => {
    await lab.down(name);
    createNetns(router);
    try {
      const up = lab.up(file, { waitMs: 0, leafd: stand });
      await expect(up).rejects.toThrow(expect.objectContaining({ code: 'netns-exists' }));
      expect(leftovers()).toEqual([router]);
    } finally {
      removeNetns(router);
    }
  });
});

describe.skipIf(!hasBird)('a daemon beside the node', () => {
  it('runs in its namespace with its own socket, and is restarted by its own name', async () => {
    const inside = new Set([netnsInode(`${name}-node1`)]);
    const pids = async (node: string) =>
      (await lab.status(name)).nodes.find((one) => one.name === node)!.pids;
    const [before, leafd] = [await pids('node1-bird'), await pids('node1')];
    expect(processesIn(inside).map(({ pid }) => pid)).toEqual(expect.arrayContaining([...before, ...leafd]));
    const status = await lab.exec(name, 'node1-bird', ['birdc', 'show', 'status']);
    expect(status.stdout).toContain('Router ID is 10.0.0.2');
    await lab.restart(name, 'node1-bird', { kill: true });
    expect(await pids('node1-bird')).not.toEqual(before);
    expect(await pids('node1')).toEqual(leafd);
    await lab.stop(name, 'node1-bird');
    expect((await lab.status(name)).nodes.find((one) => one.name === 'node1-bird')).toMatchObject({
      alive: false,
      in: 'node1',
      netns: `${name}-node1`,
    });
    await lab.restart(name, 'node1-bird');
    expect((await lab.status(name)).state).toBe('up');
  });

  it('pings with the addresses of its node, has no ports, and is drawn beside it', async () => {
    const ping = await lab.ping(name, 'node1-bird', '192.0.2.1', { count: 1 });
    expect(ping).toMatchObject({ source: '192.0.2.1', lost: 0 });
    const cut = lab.cut(name, 'node1-bird:eth1');
    await expect(cut).rejects.toThrow(
      expect.objectContaining({ code: 'lab-end-invalid', hint: 'node1:eth1' }),
    );
    const svg = await lab.graph(name);
    expect(svg).toContain('node1-bird');
    expect(svg.match(/<path class="cable/g)).toHaveLength(2);
  });
});
