// L3 passthrough in the example: leafd between a real FRR ToR and FRR and BIRD on its host. Judged by the far ends: what
// they know of routes, whom their TCP connections see, what is on the wire, and how long a route takes through leafd.

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Fabric, run, runOrThrow, until } from '../support/fabric.ts';
import {
  applyEdited,
  birdc,
  configureFrr,
  describeMs,
  frrPaths,
  hostStateCommands,
  ipBatch,
  kernelRoutes,
  kernelWay,
  type LabData,
  linkOf,
  median,
  passthroughFabric,
  passthroughView,
  RouteClock,
  reachable,
  routerOf,
  routesOf,
  routesOfLink,
  services,
  tcpSourceSeen,
} from '../support/passthrough.ts';
import { RawLink } from '../support/raw-link.ts';

/** What node1 is before its leafd has ever run there, written down by a command of the lab. */
const before = `/tmp/leafd-before-${process.pid}`;
const fabric: Fabric = passthroughFabric('pt', (lab: LabData) => {
  lab.nodes.node1.commands = hostStateCommands(before);
  const frr = lab.nodes['node1-frr'];
  frr.config = frr.config.replaceAll(/^( *)network /gm, '$1redistribute kernel\n$1network ');
});
const router = routerOf(fabric);
let upView: Awaited<ReturnType<Fabric['up']>>;

beforeAll(async () => {
  upView = await fabric.up();
  await reachable(fabric);
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
  await run(['rm', '-f', ...['sysctl', 'addr', 'route'].map((what) => `${before}.${what}`)]);
});

const families = ['ipv4', 'ipv6'] as const;
const length = { ipv4: 32, ipv6: 128 } as const;
const leg = {
  ipv4: {
    router: '192.169.10.1',
    frr: '192.169.10.2',
    bird: '192.169.10.3',
    node: '192.168.11.3',
    tor: '192.168.11.2',
  },
  ipv6: {
    router: 'fd00:10::1',
    frr: 'fd00:10::2',
    bird: 'fd00:10::3',
    node: 'fd00:11::3',
    tor: 'fd00:11::2',
  },
} as const;

it('has all its sessions within 15 s', () => {
  console.log(`${upView.sessions.established} sessions after ${upView.sessions.tookMs} ms`);
  expect(upView.sessions).toMatchObject({ established: 1 + 5 + 2 + 2, expected: 1 + 5 + 2 + 2 });
  expect(upView.sessions.tookMs).toBeLessThan(15_000);
});

describe.each(families)('routes of %s', (family) => {
  const host = (address: string) => `${address}/${length[family]}`;

  it('reach the ToR with the path through both, and leafd as next hop', async () => {
    for (const [speaker, asn] of [
      ['frr', 64515],
      ['bird', 64516],
    ] as const) {
      const paths = await until(
        () => frrPaths(fabric, 'tor', host(services[speaker][family])),
        ({ length }) => length > 0,
        { timeoutMs: 5000 },
      );
      expect(paths).toEqual([{ asPath: `64514 ${asn}`, nextHops: [leg[family].node] }]);
    }
    // The addresses of the host itself are leafd's own.
    for (const address of [leg[family].frr, leg[family].bird])
      expect(await frrPaths(fabric, 'tor', host(address))).toEqual([
        { asPath: '64514', nextHops: [leg[family].node] },
      ]);
  });

  it('reach the host with the path through both, and the router of the leg as next hop', async () => {
    const client = host(services.client[family]);
    expect(await frrPaths(fabric, 'node1-frr', client)).toEqual([
      { asPath: '64514 64512', nextHops: [leg[family].router] },
    ]);
    const bird = await birdc(fabric, 'node1-bird', 'show', 'route', 'all', 'for', client);
    expect(bird).toMatch(/BGP\.as_path: 64514 64512\n/);
    expect(bird).toContain(`BGP.next_hop: ${leg[family].router}`);
  });

  it('of one speaker of the host reach the other', async () => {
    expect(
      await birdc(fabric, 'node1-bird', 'show', 'route', 'all', 'for', host(services.frr[family])),
    ).toMatch(/BGP\.as_path: 64514 64515\n/);
  });

  it('are in the kernels, over pt-ns and pt-host', async () => {
    const toService = await kernelWay(router, services.frr[family]);
    expect(toService).toMatchObject({ gateway: leg[family].frr, dev: 'pt-ns' });
    const toClient = await kernelWay(router, services.client[family]);
    expect(toClient).toMatchObject({ gateway: leg[family].tor, dev: 'eth1' });
    // As people look at it: the table itself shows gateways.
    expect(await kernelRoutes(router, services.frr[family])).toMatchObject([
      { protocol: '179', gateway: leg[family].frr, dev: 'pt-ns' },
    ]);
    expect(await kernelRoutes(router, services.client[family])).toMatchObject([
      { protocol: '179', gateway: leg[family].tor, dev: 'eth1' },
    ]);
    const ofHost = await kernelRoutes(fabric.netns('node1'), services.client[family]);
    expect(ofHost).toMatchObject([{ gateway: leg[family].router, dev: 'pt-host' }]);
  });

  it('carry TCP both ways, and each end sees the other’s own address', async () => {
    const client = { node: 'client', address: services.client[family] };
    for (const service of [services.frr[family], services.bird[family]]) {
      const host = { node: 'node1', address: service };
      expect(await tcpSourceSeen(fabric, client, host)).toBe(client.address);
      expect(await tcpSourceSeen(fabric, host, client)).toBe(service);
    }
  });

  it('are withdrawn at the far end and in its kernel, both ways', async () => {
    const service = services.frr[family];
    const lines = (word: string) => [
      'router bgp 64515',
      `address-family ${family} unicast`,
      `${word}network ${host(service)}`,
    ];
    const torKernel = () => kernelRoutes(fabric.netns('tor'), service);
    await configureFrr(fabric, 'node1-frr', ...lines('no '));
    await until(torKernel, ({ length }) => length === 0, { timeoutMs: 5000, what: 'the withdrawal' });
    expect(await kernelRoutes(router, service)).toEqual([]);
    expect(await frrPaths(fabric, 'tor', host(service))).toEqual([]);
    await configureFrr(fabric, 'node1-frr', ...lines(''));
    await until(torKernel, ({ length }) => length === 1, { timeoutMs: 5000, what: 'the service' });

    const tor = fabric.netns('tor');
    const dump = await runOrThrow(['ip', '-n', tor, 'route', 'show', 'table', 'all', 'proto', 'static']);
    expect(dump).toContain(services.client.ipv4);
    await runOrThrow(['ip', '-n', tor, 'route', 'del', host(services.client[family]), 'dev', 'vm1']);
    const hostKernel = () => kernelRoutes(fabric.netns('node1'), services.client[family]);
    await until(hostKernel, ({ length }) => length === 0, { timeoutMs: 5000, what: 'the withdrawal' });
    expect(await kernelRoutes(router, services.client[family])).toEqual([]);
    await ipBatch(tor, [`route add ${host(services.client[family])} dev vm1 proto static`]);
    await until(hostKernel, ({ length }) => length === 1, { timeoutMs: 5000, what: 'the client' });
  });
});

it('puts nothing around what it forwards: the wire has plain IP between the ends', async () => {
  const wire = RawLink.open(fabric.netns('tor'), 'eth1');
  try {
    for (const family of families)
      await tcpSourceSeen(
        fabric,
        { node: 'client', address: services.client[family] },
        { node: 'node1', address: services.frr[family] },
      );
    const seen = wire.received().map(packetOf);
    const answer = (from: string, to: string) => seen.filter((one) => one.from === from && one.to === to);
    expect(answer('172.30.0.10', '192.170.20.5').length).toBeGreaterThan(1);
    expect(answer('20010db80030', '20010db80170').length).toBeGreaterThan(1);
    const kinds = new Set(seen.map(({ kind }) => kind));
    for (const kind of kinds) expect(['ipv4 6', 'ipv6 6', 'ipv6 58', 'arp']).toContain(kind);
    // What the services sent is TCP and nothing else.
    for (const one of [...answer('172.30.0.10', '192.170.20.5'), ...answer('20010db80030', '20010db80170')])
      expect(one.kind).toMatch(/ 6$/);
  } finally {
    wire.close();
  }
});

function packetOf(frame: Uint8Array): { kind: string; from: string; to: string } {
  const type = (frame[12]! << 8) | frame[13]!;
  const ip = Buffer.from(frame.subarray(14));
  if (type === 0x0806) return { kind: 'arp', from: '', to: '' };
  if (type === 0x0800)
    return {
      kind: `ipv4 ${ip[9]}`,
      from: [...ip.subarray(12, 16)].join('.'),
      to: [...ip.subarray(16, 20)].join('.'),
    };
  if (type !== 0x86dd) return { kind: `type ${type.toString(16)}`, from: '', to: '' };
  const half = (at: number) => ip.subarray(at, at + 6).toString('hex');
  return { kind: `ipv6 ${ip[6]}`, from: half(8), to: half(24) };
}

describe('how long a route takes from kernel to kernel', () => {
  const rounds = 7;
  const ways = [
    ['the ToR', 'the host', 'tor', 'node1'],
    ['the host', 'the ToR', 'node1', 'tor'],
  ] as const;

  it.each(ways)('from %s to %s: 300 ms, and as long until it is gone', async (_, __, from, to) => {
    const origin = await RouteClock.in(fabric.netns(from));
    const far = await RouteClock.in(fabric.netns(to));
    try {
      for (const family of families) {
        const took: { there: number[]; gone: number[] } = { there: [], gone: [] };
        for (let round = 0; round < rounds; round++) {
          const prefix = family === 'ipv4' ? `203.0.113.${round + 1}` : `2001:db8:cafe::${round + 1}`;
          for (const gone of [false, true]) {
            const sinceMs = Date.now() - 5;
            const line = `route ${gone ? 'del' : 'add'} blackhole ${prefix}/${length[family]} proto static`;
            await ipBatch(fabric.netns(from), [line]);
            const leftMs = await origin.wait(prefix, gone, sinceMs);
            const arrivedMs = await far.wait(prefix, gone, sinceMs);
            took[gone ? 'gone' : 'there'].push(arrivedMs - leftMs);
          }
        }
        console.log(
          `${family} ${from} -> ${to}: there ${describeMs(took.there)}; gone ${describeMs(took.gone)}`,
        );
        expect(median(took.there)).toBeLessThanOrEqual(300);
        expect(median(took.gone)).toBeLessThanOrEqual(300);
      }
    } finally {
      await origin.stop();
      await far.stop();
    }
  });
});

describe('names, addresses and settings', () => {
  it('are those that OpenPERouter gives', async () => {
    const links = async (netns: string, link: string) => {
      interface Shown {
        mtu: number;
        operstate: string;
        link_netnsid?: number;
        addr_info: { local: string; prefixlen: number; scope: string }[];
      }
      const [shown] = JSON.parse(
        await runOrThrow(['ip', '-n', netns, '-j', 'addr', 'show', 'dev', link]),
      ) as Shown[];
      const addresses = shown!.addr_info.filter(({ scope }) => scope === 'global');
      return {
        state: shown!.operstate,
        mtu: shown!.mtu,
        addresses: addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`).sort(),
      };
    };
    expect(await links(fabric.netns('node1'), 'pt-host')).toEqual({
      state: 'UP',
      mtu: 1500,
      addresses: ['192.169.10.2/24', '192.169.10.3/24', 'fd00:10::2/64', 'fd00:10::3/64'],
    });
    for (const [to, from] of [
      ['192.169.10.1', '192.169.10.2'],
      ['fd00:10::1', 'fd00:10::2'],
    ] as const)
      expect(await kernelWay(fabric.netns('node1'), to)).toMatchObject({ prefsrc: from });
    expect(await links(router, 'pt-ns')).toEqual({
      state: 'UP',
      mtu: 1500,
      addresses: ['192.169.10.1/24', 'fd00:10::1/64'],
    });
    expect(await links(router, 'eth1')).toEqual({
      state: 'UP',
      mtu: 1500,
      addresses: ['192.168.11.3/24', 'fd00:11::3/64'],
    });
    const group = await runOrThrow(['ip', '-n', router, '-j', 'link', 'show', 'dev', 'eth1']);
    expect(JSON.parse(group)).toMatchObject([{ group: '4242' }]);
    const lo = await runOrThrow(['ip', '-n', router, '-br', 'link', 'show', 'dev', 'lo']);
    expect(lo).toMatch(/UP,/);
  });

  it('are set in the router namespace, and nothing of the host', async () => {
    const value = async (netns: string, key: string) =>
      (await run(['ip', 'netns', 'exec', netns, 'sysctl', '-n', key])).stdout.trim();
    for (const key of [
      'net.ipv4.ip_forward',
      'net.ipv6.conf.all.forwarding',
      'net.ipv4.conf.all.arp_accept',
      'net.ipv4.conf.default.arp_accept',
    ])
      expect(`${key} ${await value(router, key)}`).toBe(`${key} 1`);
    for (const scope of ['all', 'default'])
      expect(['', '1']).toContain(await value(router, `net.ipv6.conf.${scope}.accept_untracked_na`));
    expect(await hostSysctls()).toEqual(sysctlsBefore());
  });

  it('are what leafctl passthrough tells', async () => {
    expect(await passthroughView(fabric)).toMatchObject({
      netns: router,
      state: 'up',
      trial: { state: 'confirmed' },
      uplinks: [{ name: 'eth1' }],
      failures: [],
    });
    const told = await fabric.leafctl('node1', 'passthrough');
    expect(told).toMatchObject({ exitCode: 0, stderr: '' });
    expect(told.stdout).toMatch(/eth1/);
  });
});

const linkSettings = /\.(pt-host|eth1|lo)\./;

function sysctlsBefore(): string[] {
  return settingsOf(readFileSync(`${before}.sysctl`, 'utf8'));
}

async function hostSysctls(): Promise<string[]> {
  return settingsOf((await fabric.inside('node1', 'sysctl', '-a')).stdout);
}

/** Settings of the namespace as such: those of links come and go with them, some are counters. */
function settingsOf(text: string): string[] {
  return text
    .split('\n')
    .filter(
      (line) =>
        /^net\.(ipv4|ipv6)\./.test(line) &&
        !linkSettings.test(line) &&
        !/tcp_fastopen_key|stable_secret/.test(line),
    )
    .sort();
}

it('is down while the cable of its NIC is cut, says so, and is whole when it is mended', async () => {
  await fabric.lab('cut', 'node1:eth1');
  const down = await until(
    () => passthroughView(fabric),
    ({ state }) => state === 'down',
    { timeoutMs: 5000 },
  );
  expect(down.uplinks).toMatchObject([{ name: 'eth1', place: 'router', carrier: false }]);
  expect(await fabric.leafctl('node1', 'passthrough')).toMatchObject({ exitCode: 1 });
  await until(
    () => frrPaths(fabric, 'tor', '172.30.0.10/32'),
    ({ length }) => length === 0,
    { timeoutMs: 5000 },
  );
  await fabric.lab('mend', 'node1:eth1');
  await until(
    () => passthroughView(fabric),
    ({ state }) => state === 'up',
    { timeoutMs: 10_000 },
  );
  await reachable(fabric);
});

describe('a NIC that leaves the configuration', () => {
  it('is back on the host as it was, with nothing else left, and goes in again', async () => {
    await applyEdited(fabric, 'node1', (tree) => {
      delete tree.passthrough;
      // leafd's own speaker is the host's then, where FRR has port 179.
      tree.bgp.port = 1179;
    });
    const home = () => run(['ip', '-n', fabric.netns('node1'), '-j', 'addr', 'show', 'dev', 'eth1']);
    await until(home, ({ exitCode, stdout }) => exitCode === 0 && stdout.includes('fd00:11::3'), {
      timeoutMs: 5000,
      what: 'eth1',
    });
    expect(linkOf((await home()).stdout)).toEqual(linkOf(readFileSync(`${before}.addr`, 'utf8')));
    const routes = () => routesOfLink(fabric, 'node1', 'eth1');
    const wanted = routesOf(readFileSync(`${before}.route`, 'utf8'));
    await until(routes, (seen) => JSON.stringify(seen) === JSON.stringify(wanted), {
      timeoutMs: 3000,
      what: JSON.stringify(wanted),
    });
    expect((await fabric.inside('node1', 'ip', 'link', 'show', 'dev', 'pt-host')).exitCode).not.toBe(0);
    expect(
      (await runOrThrow(['ip', 'netns', 'list'])).split('\n').filter((line) => line.startsWith(router)),
    ).toEqual([]);

    await applyEdited(fabric, 'node1', () => {});
    await fabric.allSessions(15_000);
    // What the speaker had set in the host while it was there is as it was.
    expect(await hostSysctls()).toEqual(sysctlsBefore());
    await reachable(fabric);
    expect(
      await tcpSourceSeen(
        fabric,
        { node: 'client', address: services.client.ipv4 },
        { node: 'node1', address: services.frr.ipv4 },
      ),
    ).toBe(services.client.ipv4);
  });
});
