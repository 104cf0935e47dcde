// What the tests of passthrough share: the example under a name of their own and edited, questions to the ends of it,
// TCP that says whom it sees, and clocks at both ends of the router that tell when a route came and went there.

import { readFileSync } from 'node:fs';
import type { PeersView } from '../../src/api/views.ts';
import type { PassthroughView } from '../../src/api/views-passthrough.ts';
import {
  editConfig,
  exampleText,
  type Fabric,
  fabricOf,
  type Running,
  run,
  runOrThrow,
  scratchFile,
  sleep,
  start,
  until,
} from './fabric.ts';

/** The lab file of the example as data. */
// biome-ignore lint/suspicious/noExplicitAny: a test may write what the schema forbids.
export type LabData = any;

/** The example under a name of its own, changed as data. */
export function passthroughFabric(title: string, edit: (lab: LabData) => void = () => {}): Fabric {
  return fabricOf(title, editConfig(exampleText('passthrough'), edit));
}

/** The namespace of node1's router. */
export const routerOf = (fabric: Fabric, node = 'node1'): string => `${fabric.netns(node)}-pe`;

/** Service addresses of the example, and the client's. */
export const services = {
  frr: { ipv4: '172.30.0.10', ipv6: '2001:db8:30::10' },
  bird: { ipv4: '172.30.0.20', ipv6: '2001:db8:30::20' },
  client: { ipv4: '192.170.20.5', ipv6: '2001:db8:170:20::5' },
} as const;

export interface FrrPath {
  asPath: string;
  nextHops: string[];
}

const familyOf = (prefix: string): 'ipv4' | 'ipv6' => (prefix.includes(':') ? 'ipv6' : 'ipv4');

/** What an FRR of a node knows of a prefix. */
export async function frrPaths(fabric: Fabric, node: string, prefix: string): Promise<FrrPath[]> {
  interface Shown {
    paths?: { aspath: { string: string }; nexthops: { ip: string; scope?: string }[] }[];
  }
  const shown = JSON.parse(
    await vtysh(fabric, node, `show bgp ${familyOf(prefix)} unicast ${prefix} json`),
  ) as Shown;
  return (shown.paths ?? []).map(({ aspath, nexthops }) => ({
    asPath: aspath.string,
    nextHops: nexthops.filter(({ scope }) => scope !== 'link-local').map(({ ip }) => ip),
  }));
}

/** Commands to the FRR of a node; its answer. */
export function vtysh(fabric: Fabric, node: string, ...commands: string[]): Promise<string> {
  const words = commands.flatMap((command) => ['-c', command]);
  return runOrThrow(['vtysh', '--vty_socket', fabric.directory(node), ...words]);
}

/** Lines of configuration to the FRR of a node. */
export function configureFrr(fabric: Fabric, node: string, ...lines: string[]): Promise<string> {
  return vtysh(fabric, node, 'configure terminal', ...lines);
}

/** A command to the BIRD of a node; also what it has not found is an answer. */
export async function birdc(fabric: Fabric, node: string, ...words: string[]): Promise<string> {
  return (await run(['birdc', '-s', `${fabric.directory(node)}/bird.ctl`, ...words])).stdout;
}

export interface KernelRoute {
  dst: string;
  gateway?: string;
  dev?: string;
  protocol?: string;
}

/** Routes to a destination in a namespace, as ip(8) tells them. */
export async function kernelRoutes(netns: string, destination: string): Promise<KernelRoute[]> {
  const family = destination.includes(':') ? '-6' : '-4';
  const text = await runOrThrow(['ip', '-n', netns, '-j', family, 'route', 'show', destination]);
  return JSON.parse(text) as KernelRoute[];
}

/** Where a namespace sends packets for an address; undefined where nowhere. */
export async function kernelWay(netns: string, address: string): Promise<KernelRoute | undefined> {
  const { exitCode, stdout } = await run(['ip', '-n', netns, '-j', 'route', 'get', address]);
  return exitCode === 0 ? (JSON.parse(stdout) as KernelRoute[])[0] : undefined;
}

/** How many routes a namespace has, of one protocol or all; without those that are local or multicast. */
export async function countRoutes(netns: string, ...filter: string[]): Promise<number> {
  let count = 0;
  for (const family of ['-4', '-6'])
    count += (await runOrThrow(['ip', '-n', netns, '-o', family, 'route', 'show', ...filter]))
      .split('\n')
      .filter((line) => line !== '').length;
  return count;
}

export const passthroughView = (fabric: Fabric, node = 'node1'): Promise<PassthroughView> =>
  fabric.get<PassthroughView>(node, '/v1/passthrough');

/** Since when each session of a leafd is up, by name. */
export async function establishedSince(fabric: Fabric, node = 'node1'): Promise<Record<string, string>> {
  const { peers } = await fabric.get<PeersView>(node, '/v1/peers');
  return Object.fromEntries(
    peers.filter(({ state }) => state === 'established').map(({ name, since }) => [name, String(since)]),
  );
}

/** Writes a node's configuration, changed as data, and has its leafd apply it. */
export async function applyEdited(
  fabric: Fabric,
  node: string,
  edit: (config: LabData) => void,
): Promise<void> {
  const file = scratchFile(
    `${fabric.name}-${node}.yaml`,
    editConfig(readFileSync(fabric.configOf(node), 'utf8'), edit),
  );
  const applied = await fabric.leafctl(node, 'apply', file);
  if (applied.exitCode !== 0) throw new Error(`apply: exit ${applied.exitCode}: ${applied.stderr}`);
}

/** One TCP connection between two nodes; what the far end saw as its source. */
export async function tcpSourceSeen(
  fabric: Fabric,
  from: { node: string; address: string },
  to: { node: string; address: string },
): Promise<string> {
  const server =
    `const s = require('node:net').createServer((c) => { c.end(c.remoteAddress); s.close(); });` +
    `s.listen({host: '${to.address}', port: 7007}, () => console.log('ready'));`;
  const client =
    `const c = require('node:net').connect({host: '${to.address}', port: 7007, localAddress: '${from.address}'});` +
    `c.setTimeout(5000, () => c.destroy(new Error('silent')));` +
    `c.on('data', (d) => process.stdout.write(d)).on('error', (e) => { console.error(e.message); process.exit(1); });`;
  const listening = start(['ip', 'netns', 'exec', fabric.netns(to.node), process.execPath, '-e', server]);
  try {
    await until(
      () => listening.text(),
      (text) => text.includes('ready'),
      { timeoutMs: 10_000, what: 'a server' },
    );
    return await fabric.out(from.node, process.execPath, '-e', client);
  } finally {
    await listening.stop();
  }
}

/** A clock of routes: what the kernel of a namespace says, each line with its time. */
export class RouteClock {
  readonly #monitor: Running;

  private constructor(monitor: Running) {
    this.#monitor = monitor;
  }

  static async in(netns: string): Promise<RouteClock> {
    const monitor = start(['ip', '-ts', '-o', '-n', netns, 'monitor', 'route']);
    const mark = '192.0.2.254';
    for (let attempt = 0; !monitor.text().includes(mark) && attempt < 100; attempt++) {
      await runOrThrow(['ip', '-n', netns, 'route', 'replace', 'blackhole', mark, 'proto', '77']);
      await runOrThrow(['ip', '-n', netns, 'route', 'del', 'blackhole', mark, 'proto', '77']);
      await sleep(40);
    }
    return new RouteClock(monitor);
  }

  /** Wall-clock milliseconds at which a route to a prefix came, or with `gone` went, after a time; undefined: not yet. */
  at(prefix: string, gone: boolean, afterMs: number): number | undefined {
    for (const line of this.#monitor.text().split('\n')) {
      const [, stamp, rest] = /^\[([\d\-T:.]+)\] (.*)$/.exec(line) ?? [];
      if (stamp === undefined || rest === undefined) continue;
      const words = rest.trim().split(/\s+/);
      const deleted = words[0] === 'Deleted';
      if (deleted) words.shift();
      if (words[0] === 'blackhole' || words[0] === 'unreachable') words.shift();
      const atMs = Date.parse(stamp);
      if (deleted === gone && words[0] === prefix && atMs >= afterMs) return atMs;
    }
    return undefined;
  }

  /** The same, waited for. */
  async wait(prefix: string, gone: boolean, afterMs: number, timeoutMs = 10_000): Promise<number> {
    const what = `${prefix} ${gone ? 'gone' : 'there'}`;
    const seen = await until(
      () => this.at(prefix, gone, afterMs),
      (at) => at !== undefined,
      { timeoutMs, everyMs: 10, what },
    );
    return seen!;
  }

  lines(): string[] {
    return this.#monitor
      .text()
      .split('\n')
      .filter((line) => line.trim() !== '' && !line.includes('192.0.2.254'));
  }

  stop(): Promise<string> {
    return this.#monitor.stop();
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** `12, 40, 33 ms (median 33)`. */
export const describeMs = (values: readonly number[]): string =>
  `${values.map((value) => value.toFixed(0)).join(', ')} ms (median ${median(values).toFixed(0)})`;

/** Many ip(8) commands in a namespace at once. */
export async function ipBatch(netns: string, lines: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await run(['ip', '-n', netns, '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
  });
  if (exitCode !== 0) throw new Error(`ip -batch: ${stderr.slice(0, 500)}`);
}

/** Shell commands that write down what a host's eth1 and settings are, below a path. */
export const hostStateCommands = (path: string): string[] => [
  `sysctl -a 2>/dev/null | grep -E "^net\\.(ipv4|ipv6)\\." > ${path}.sysctl`,
  `ip -j addr show dev eth1 > ${path}.addr`,
  `for f in -4 -6; do ip -j $f route show table all dev eth1; done > ${path}.route`,
];

/** A link, as `ip -j addr` tells it, without what changes by itself. */
export function linkOf(text: string): unknown {
  interface Shown {
    ifname: string;
    flags: string[];
    mtu: number;
    address: string;
    group?: string;
    addr_info: Record<string, unknown>[];
  }
  const [link] = JSON.parse(text) as Shown[];
  const { ifname, flags, mtu, address, group, addr_info } = link!;
  const addresses = addr_info.map(({ local, prefixlen, scope }) => [local, prefixlen, scope]);
  return { ifname, flags: flags.sort(), mtu, address, group, addresses };
}

/** Routes of some JSON documents of ip(8), one a line, in an order of their own. */
export function routesOf(text: string): string[] {
  const lists = text.split('\n').filter((line) => line.startsWith('['));
  const routes = lists.flatMap((line) => JSON.parse(line) as Record<string, unknown>[]);
  return routes.map((route) => JSON.stringify(route)).sort();
}

/** All routes over a link of a node. */
export async function routesOfLink(fabric: Fabric, node: string, link: string): Promise<string[]> {
  const parts = [];
  for (const family of ['-4', '-6'])
    parts.push(await fabric.out(node, 'ip', '-j', family, 'route', 'show', 'table', 'all', 'dev', link));
  return routesOf(parts.join('\n'));
}

/** Waits until both ends reach each other in both families: sessions are up before kernels have all routes. */
export async function reachable(fabric: Fabric): Promise<void> {
  for (const family of ['ipv4', 'ipv6'] as const)
    for (const speaker of ['frr', 'bird'] as const) {
      const ping = () =>
        fabric.inside('client', 'ping', '-n', '-c', '1', '-W', '1', services[speaker][family]);
      await until(ping, ({ exitCode }) => exitCode === 0, {
        timeoutMs: 10_000,
        what: services[speaker][family],
      });
    }
}
