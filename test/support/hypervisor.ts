// A fabric of hypervisors under test: where a guest's address is known, what the kernel holds of it, when its routes
// came and went, and guests of a test's own that are no part of the lab.

import { request } from 'node:http';
import type { RoutesView } from '../../src/api/views.ts';
import { parseIp } from '../../src/net/ip.ts';
import { parseMac } from '../../src/net/mac.ts';
import { withNetns } from '../../src/netlink/netns.ts';
import { openPacketSender } from '../../src/netlink/packet-sender.ts';
import { libcCalls } from '../../src/netlink/sys.ts';
import {
  editConfig,
  exampleText,
  type Fabric,
  fabricOf,
  run,
  runOrThrow,
  until,
  watchRoutes,
} from './fabric.ts';

export const routers = ['spine1', 'spine2', 'hv1', 'hv2', 'hv3'] as const;
export const hypervisors = ['hv1', 'hv2', 'hv3'] as const;
export type Router = (typeof routers)[number];
export type Hypervisor = (typeof hypervisors)[number];

/**
 * The example, with reverse path filtering set the way distributions do before leafd starts, and with `more` in the
 * guests section of each hypervisor.
 */
export function hypervisorFabric(
  title: string,
  moreGuests: Record<string, unknown> = {},
  more: Readonly<Record<string, unknown>> = {},
): Fabric {
  const strict = 'sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1';
  const text = editConfig(exampleText('hypervisors'), (lab) => {
    for (const name of hypervisors) {
      lab.nodes[name].commands = [strict];
      Object.assign(lab.nodes[name].config.guests, more);
    }
    // What is too many is asked for at once.
    lab.nodes.hv3.config.guests.learn = { perSecond: 1000 };
    Object.assign(lab.guests, moreGuests);
  });
  return fabricOf(title, text);
}

/** A call to a node's API with a body; throws for any status but 2xx. */
export function ask<T>(
  fabric: Fabric,
  node: Router,
  method: string,
  path: string,
  body?: unknown,
): Promise<T> {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = { host: 'leafd', ...(text === '' ? {} : { 'content-type': 'application/json' }) };
  return new Promise((resolve, reject) => {
    const options = { socketPath: fabric.socket(node), method, path, headers, timeout: 10_000 };
    const call = request(options, (response) => {
      let answer = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (answer += chunk));
      response.on('end', () => {
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve((answer === '' ? undefined : JSON.parse(answer)) as T);
        else reject(new Error(`${method} ${path}: ${status}: ${answer}`));
      });
    });
    call.on('timeout', () => call.destroy(new Error(`no answer of ${node}`)));
    call.on('error', reject);
    call.end(text);
  });
}

/** Paths of a node to an address that it may use: where each leads, `own` for a guest of its own. */
export async function pathsTo(fabric: Fabric, node: Router, address: string): Promise<string[]> {
  const { routes } = await fabric.get<RoutesView>(
    node,
    `/v1/routes?prefix=${encodeURIComponent(prefixOf(address))}`,
  );
  const usable = routes.filter((route) => route.accepted && route.reachable !== false);
  return usable.map((route) => (route.peer === undefined ? 'own' : originOf(route.attributes.asPath ?? '')));
}

/** `hv2` for the AS path that ends in 65102. */
function originOf(asPath: string): string {
  const asn = Number(/(\d+)$/.exec(asPath.trim())?.[1]);
  return asn > 65100 && asn <= 65103 ? `hv${asn - 65100}` : asPath;
}

export const prefixOf = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

/** Waits until every router has the addresses, all from one hypervisor; how long that took. */
export async function everywhere(
  fabric: Fabric,
  addresses: readonly string[],
  on: Hypervisor,
  timeoutMs: number,
): Promise<number> {
  const startedMs = performance.now();
  await onEach(fabric, addresses, timeoutMs, `${addresses.join(', ')} of ${on}`, (node, paths) => {
    const from = node === on ? 'own' : on;
    return paths.length > 0 && paths[0] === from && paths.every((path) => path === from);
  });
  return performance.now() - startedMs;
}

/** Waits until no router has them. */
export async function nowhere(
  fabric: Fabric,
  addresses: readonly string[],
  timeoutMs: number,
): Promise<void> {
  await onEach(fabric, addresses, timeoutMs, `no ${addresses.join(', ')}`, (_, paths) => paths.length === 0);
}

async function onEach(
  fabric: Fabric,
  addresses: readonly string[],
  timeoutMs: number,
  what: string,
  holds: (node: Router, paths: string[]) => boolean,
): Promise<void> {
  const look = async (): Promise<string[]> => {
    const wrong: string[] = [];
    for (const node of routers)
      for (const address of addresses) {
        const paths = await pathsTo(fabric, node, address);
        if (!holds(node, paths)) wrong.push(`${node}: ${address} from ${paths.join(', ') || 'nobody'}`);
      }
    return wrong;
  };
  await until(look, (wrong) => wrong.length === 0, { timeoutMs, everyMs: 15, what });
}

export interface RouteEvent {
  /** Wall clock. */
  readonly atMs: number;
  readonly deleted: boolean;
  readonly address: string;
  readonly line: string;
}

export interface RouteLog {
  events(address: string): RouteEvent[];
  stop(): Promise<void>;
}

/** What the kernel of a node does with host routes from now on, with times. */
export async function routeLog(fabric: Fabric, node: Router): Promise<RouteLog> {
  const monitor = await watchRoutes(fabric, node);
  return {
    events: (address) => readRouteEvents(monitor.text()).filter((event) => event.address === address),
    stop: async () => {
      await monitor.stop();
    },
  };
}

/** Lines of `ip -ts monitor`: `[2026-01-02T03:04:05.678901] Deleted 192.0.2.1 dev vmbr1 …`. */
export function readRouteEvents(text: string): RouteEvent[] {
  const lines = text.matchAll(/^\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})\d*\] (Deleted )?(\S+) (.*)$/gm);
  return [...lines].map(([line, time, deleted, address]) => ({
    atMs: new Date(time!).getTime(),
    deleted: deleted !== undefined,
    address: address!,
    line,
  }));
}

/** Waits for the first event that `holds`. */
export async function routeEvent(
  log: RouteLog,
  address: string,
  holds: (event: RouteEvent) => boolean,
  timeoutMs: number,
  what: string,
): Promise<RouteEvent> {
  const events = await until(
    () => log.events(address),
    (seen) => seen.some(holds),
    { timeoutMs, everyMs: 10, what },
  );
  return events.find(holds)!;
}

/** Whether a route leads to a guest of this machine: they have metrics of their own. */
export function isOwnRoute(line: string): boolean {
  return / metric (512|1024)( |$)/.test(line);
}

/** What a hypervisor's kernel holds of a guest: routes, neighbours, and mentions in its filter. */
export async function kernelTraces(
  fabric: Fabric,
  node: Hypervisor,
  words: { addresses: readonly string[]; tap: string; mac: string },
): Promise<string[]> {
  const traces: string[] = [];
  for (const address of words.addresses) {
    const family = address.includes(':') ? '-6' : '-4';
    const routes = await fabric.out(
      node,
      'ip',
      '-N',
      family,
      'route',
      'show',
      prefixOf(address),
      'proto',
      '179',
    );
    // What leads to another hypervisor is no trace of a guest here.
    traces.push(...linesOf(routes).filter(isOwnRoute));
    traces.push(...linesOf(await fabric.out(node, 'ip', family, 'neigh', 'show', address)));
  }
  const rules = await fabric.out(node, 'nft', 'list', 'ruleset');
  const named = [words.tap, words.mac, ...words.addresses];
  traces.push(...linesOf(rules).filter((line) => named.some((word) => hasWord(line, word))));
  return traces;
}

function hasWord(line: string, word: string): boolean {
  return new RegExp(`(^|[^0-9a-f.:])${word.replaceAll('.', '\\.')}($|[^0-9a-f.:])`).test(line);
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** A guest of a test's own: a namespace behind a veth in the bridge of a hypervisor. leafd has not been told of it. */
export interface LooseGuest {
  readonly name: string;
  readonly netns: string;
  readonly tap: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  /** The body that attaches it. */
  readonly binding: { name: string; port: string; mac: string; addresses: readonly string[] };
  /** Deletes its tap, as the end of a QEMU does. */
  unplug(): Promise<void>;
  plug(): Promise<void>;
  remove(): Promise<void>;
}

let loose = 0;

/** Makes one, plugged in unless told otherwise; it says nothing by itself (no duplicate address detection). */
export async function looseGuest(
  fabric: Fabric,
  on: Hypervisor,
  addresses: readonly string[],
  options: { plugged?: boolean } = {},
): Promise<LooseGuest> {
  const number = ++loose;
  const name = `x${number}`;
  const netns = fabric.netns(name);
  const tap = `tap9${String(number).padStart(2, '0')}i0`;
  const mac = `02:00:00:00:99:${number.toString(16).padStart(2, '0')}`;
  await runOrThrow(['ip', 'netns', 'add', netns]);
  const plug = async (): Promise<void> => {
    // Indexes of their own: see cableCommands of the lab.
    const index = 5000 + 2 * loose * 100 + 2 * plugged++;
    const far = `name ${tap} index ${index + 1} netns ${fabric.netns(on)}`;
    const routes = addresses.flatMap((address) =>
      address.includes(':')
        ? [`addr add ${address}/128 dev eth0 nodad`, 'route replace ::/0 via fe80::1 dev eth0']
        : [`addr add ${address}/32 dev eth0`, 'route replace default via 169.254.0.1 dev eth0 onlink'],
    );
    const add = `link add name eth0 index ${index} address ${mac} type veth peer ${far}`;
    const up = ['link set lo up', 'link set eth0 addrgenmode none', 'link set eth0 up'];
    await batch(netns, [add, ...up, ...routes]);
    await batch(fabric.netns(on), [`link set ${tap} master vmbr1 up`]);
  };
  let plugged = 0;
  if (options.plugged !== false) await plug();
  return {
    name,
    netns,
    tap,
    mac,
    addresses,
    binding: { name, port: tap, mac, addresses },
    plug,
    unplug: () => batch(fabric.netns(on), [`link delete ${tap}`]),
    remove: async () => {
      await run(['ip', '-n', fabric.netns(on), 'link', 'delete', tap]);
      await run(['ip', 'netns', 'delete', netns]);
    },
  };
}

async function batch(netns: string, commands: readonly string[]): Promise<void> {
  await runOrThrow(['ip', '-n', netns, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

/** Sends whole Ethernet frames out of a link of a namespace. */
export function sendFrames(netns: string, link: string, frames: readonly Uint8Array[]): void {
  const ifindex = withNetns(netns, () => libcCalls.if_nametoindex(link) as number);
  const sender = openPacketSender(netns);
  try {
    for (const frame of frames)
      if (!sender.send(ifindex, frame, frame.length))
        throw new Error(`${netns} cannot send a frame out of ${link}`);
  } finally {
    sender.close();
  }
}

/** The MAC address of a link, as bytes. */
export async function macOfLink(netns: string, link: string): Promise<Uint8Array> {
  const text = await runOrThrow(['ip', '-n', netns, '-j', 'link', 'show', link]);
  return parseMac((JSON.parse(text) as { address: string }[])[0]!.address)!;
}

export const bytesOf = (address: string): Uint8Array => parseIp(address)!;
