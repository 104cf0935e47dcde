// What somebody takes away by hand comes back within a second, with traffic: the leg towards the host, addresses, routes,
// settings, the whole namespace. What is not leafd's stays as it is.

import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runOrThrow, sleep, until } from '../support/fabric.ts';
import {
  type LabData,
  passthroughFabric,
  passthroughView,
  reachable,
  routerOf,
  services,
  vtysh,
} from '../support/passthrough.ts';
import { describePing, pingsDuring } from '../support/pinger.ts';

// FRR that does not end its sessions when the link is gone for a moment has its routes again when the link is.
const fabric = passthroughFabric('ptrepair', (lab: LabData) => {
  const frr = lab.nodes['node1-frr'];
  frr.config = frr.config.replace(/^( *)bgp router-id/m, '$1no bgp fast-external-failover\n$1bgp router-id');
});
const router = routerOf(fabric);
const host = fabric.netns('node1');
const client = fabric.netns('client');

const foreign = [
  ['-4', 'blackhole 198.51.100.0/24 proto static'],
  // Over no port: with the last address of a port the kernel itself drops all routes over it.
  ['-4', '198.51.101.0/24 dev lo proto 77 metric 50'],
  ['-6', 'blackhole 2001:db8:f00::/48 proto static'],
] as const;

const foreignRoutes = async (): Promise<string[]> => {
  const lines = [];
  for (const [family, text] of foreign)
    lines.push(
      await runOrThrow([
        'ip',
        '-n',
        router,
        family,
        'route',
        'show',
        text.replace(/^blackhole /, '').split(' ')[0]!,
      ]),
    );
  return lines.map((line) => line.trim());
};

let foreignBefore: string[];

beforeAll(async () => {
  await fabric.up();
  await reachable(fabric);
  for (const [family, text] of foreign)
    await runOrThrow(['ip', '-n', router, family, 'route', 'add', ...text.split(' ')]);
  foreignBefore = await foreignRoutes();
  expect(foreignBefore.every((line) => line !== '')).toBe(true);
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

/** Traffic both ways and in both families while something is taken away; the longest silence of all. */
async function silenceDuring(
  event: () => Promise<unknown>,
  speaker: 'frr' | 'bird' = 'frr',
): Promise<number> {
  const flows = (['ipv4', 'ipv6'] as const).flatMap((family) => [
    { netns: client, to: services[speaker][family] },
    { netns: host, to: services.client[family], source: services.bird[family] },
  ]);
  const { reports } = await pingsDuring(flows, async () => {
    await event();
    // Far ends may notice late.
    await sleep(1500);
  });
  console.log(reports.map(describePing).join('; '));
  return Math.max(...reports.map(({ longestGapMs }) => longestGapMs));
}

const ip = (netns: string, ...words: string[]) => runOrThrow(['ip', '-n', netns, ...words]);
const shown = (netns: string, ...words: string[]) => ip(netns, '-br', 'addr', 'show', ...words);
const sysctl = (netns: string, ...words: string[]) =>
  runOrThrow(['ip', 'netns', 'exec', netns, 'sysctl', ...words]);

/** Takes something away under traffic; it is as before within a second, and so is traffic. */
async function repaired(
  take: () => Promise<unknown>,
  look: () => Promise<string>,
  speaker: 'frr' | 'bird' = 'frr',
): Promise<void> {
  const before = await look();
  let tookMs = Number.NaN;
  const silenceMs = await silenceDuring(async () => {
    await take();
    const startedMs = performance.now();
    await until(look, (seen) => seen === before, { timeoutMs: 5000, everyMs: 10, what: before });
    tookMs = performance.now() - startedMs;
  }, speaker);
  console.log(`back after ${tookMs.toFixed(0)} ms, traffic after ${silenceMs} ms`);
  expect(tookMs).toBeLessThan(1000);
  expect(silenceMs).toBeLessThan(1000);
  expect(await foreignRoutes()).toEqual(foreignBefore);
  await fabric.allSessions();
}

describe('what is deleted by hand is back within 1 s, with traffic', () => {
  it.each([
    ['an address of pt-ns', router, 'pt-ns', '192.169.10.1/24'],
    ['an IPv6 address of pt-ns', router, 'pt-ns', 'fd00:10::1/64'],
    ['an address of pt-host', host, 'pt-host', '192.169.10.2/24'],
    ['an address of the NIC', router, 'eth1', '192.168.11.3/24'],
  ])('%s', async (_, netns, link, address) => {
    const addresses = async () => (await shown(netns, 'dev', link)).trim().split(/\s+/).sort().join(' ');
    await repaired(() => ip(netns, 'addr', 'del', address, 'dev', link), addresses);
  });

  // FRR announces its routes with :: as next hop once that address of its own was gone (bgp_interface_address_delete),
  // until the session begins anew: what BIRD announces is looked at, and FRR is helped afterwards.
  it('an IPv6 address of pt-host', async () => {
    const addresses = async () => (await shown(host, 'dev', 'pt-host')).trim().split(/\s+/).sort().join(' ');
    await repaired(() => ip(host, 'addr', 'del', 'fd00:10::2/64', 'dev', 'pt-host'), addresses, 'bird');
    await vtysh(fabric, 'node1-frr', 'clear bgp *');
    await fabric.allSessions();
    await reachable(fabric);
  });

  it.each([
    ['-4', services.client.ipv4],
    ['-6', services.frr.ipv6],
  ])('a route (%s)', async (family, destination) => {
    const route = () => ip(router, '-N', family, 'route', 'show', destination);
    await repaired(() => ip(router, family, 'route', 'del', destination), route);
  });

  it.each([
    ['net.ipv4.ip_forward', '0'],
    ['net.ipv6.conf.all.forwarding', '0'],
  ])('a setting, %s', async (key, value) => {
    await repaired(
      () => sysctl(router, '-q', '-w', `${key}=${value}`),
      () => sysctl(router, '-n', key),
    );
  });

  it('a NIC that was taken down', async () => {
    const link = async () => (await shown(router, 'dev', 'eth1')).trim().split(/\s+/).sort().join(' ');
    await repaired(() => ip(router, 'link', 'set', 'eth1', 'down'), link);
  });

  it('pt-host', async () => {
    const links = async () => {
      const words = [
        await shown(host, 'dev', 'pt-host').catch(() => ''),
        await shown(router, 'dev', 'pt-ns').catch(() => ''),
      ];
      return words
        .map((text) =>
          text
            .replace(/@\S+/, '')
            .replace(/fe80::\S+/, '')
            .trim()
            .split(/\s+/)
            .sort()
            .join(' '),
        )
        .join('; ');
    };
    await repaired(() => ip(host, 'link', 'del', 'pt-host'), links);
  });
});

it('the router namespace that was deleted by hand is there again with everything in it', async () => {
  const silenceMs = await silenceDuring(async () => {
    await runOrThrow(['ip', 'netns', 'delete', router]);
    await until(() => existsSync(`/run/netns/${router}`), Boolean, {
      timeoutMs: 5000,
      everyMs: 10,
      what: router,
    });
    await until(
      () => passthroughView(fabric),
      ({ state }) => state === 'up',
      { timeoutMs: 10_000, what: 'passthrough' },
    );
  });
  console.log(`traffic after ${silenceMs} ms`);
  await fabric.allSessions();
  expect(await shown(router, 'dev', 'eth1')).toContain('192.168.11.3/24');
  expect(silenceMs).toBeLessThan(1000);
});
