// A bed for tests of the router: a few routers, cables between them, and what they know, in words. `world.ts` of the
// simulator does the rest; nothing goes wrong but what a test does.

import { parseIp } from '../../src/net/ip.ts';
import { formatPrefix } from '../../src/net/prefix.ts';
import { compilePolicies } from '../../src/policy/compile.ts';
import type { RuleDefinition } from '../../src/policy/definition.ts';
import type { CompiledPolicy } from '../../src/policy/program.ts';
import type { Rib } from '../../src/rib/rib.ts';
import type { InterfacePeer, PeerConfig, RouterConfig } from '../../src/router/config.ts';
import { nextHopText } from '../../src/router/intake.ts';
import type { Peer } from '../../src/router/peer.ts';
import type { RouterEvent } from '../../src/router/ports.ts';
import { fabricPeer, fabricRouter, prefix } from '../../src/sim/clos.ts';
import type { World } from '../../src/sim/world.ts';
import { World as SimWorld } from '../../src/sim/world.ts';
import { describeAttributes } from '../../src/wire/bgp/attribute/describe.ts';

export interface BedNode {
  name: string;
  asn: number;
  /** Originated. */
  networks?: string[];
  statics?: string[];
  /** Settings of the peers on all ports, or the peers themselves. */
  peer?: Partial<InterfacePeer>;
  peers?: PeerConfig[];
  config?: Partial<RouterConfig>;
  /** `eth1 10.0.0.1/24` */
  addresses?: string[];
}

/** Long enough for a session to come up and its routes to be known. */
export const UP_MS = 6000;

/** The configuration of a node: unnumbered peers on all ports unless it names others. */
export function configOf(node: BedNode, number: number): RouterConfig {
  const internal = node.peer?.remoteAs?.kind === 'internal';
  const config = fabricRouter(node.name, node.asn, 0x0a000000 + number);
  return {
    ...config,
    networks: (node.networks ?? []).map(prefix),
    peers: node.peers ?? [{ ...fabricPeer(internal), kind: 'interface', pattern: 'eth*', ...node.peer }],
    ...node.config,
  };
}

/** Routers and cables (`a:eth1 b:eth1`), booted. */
export function bed(nodes: BedNode[], links: string[], seed = 1): World {
  const world = new SimWorld(
    {
      nodes: nodes.map((node, i) => ({
        name: node.name,
        config: configOf(node, i + 1),
        statics: (node.statics ?? []).map(prefix),
        addresses: (node.addresses ?? []).map((text) => {
          const [port, address] = text.split(' ') as [string, string];
          const [bytes, length] = address.split('/') as [string, string];
          return { port, address: parseIp(bytes)!, length: Number(length) };
        }),
      })),
      links: links.map((text) => {
        const [a, b] = text.split(' ').map((end) => {
          const [node, port] = end.split(':') as [string, string];
          return { node, port };
        });
        return { a: a!, b: b! };
      }),
    },
    seed,
  );
  world.boot();
  return world;
}

/** A row of routers in as many ASes, each with one route of each family: a (AS 65001) - b - c … */
export function row(names: string, seed = 1): World {
  const nodes = [...names].map((name, i) => ({
    name,
    asn: 65001 + i,
    networks: [`10.0.0.${i + 1}/32`, `2001:db8::${i + 1}/128`],
  }));
  const links = [...names].slice(1).map((name, i) => `${names[i]}:eth2 ${name}:eth1`);
  return bed(nodes, links, seed);
}

function prefixAt(rib: Rib, id: number): string {
  const { address, words, length } = rib.table;
  const bytes = new Uint8Array(words * 4);
  for (let w = 0; w < words; w++)
    for (let i = 0; i < 4; i++) bytes[w * 4 + i] = address[id * words + w]! >>> (24 - i * 8);
  return formatPrefix(bytes, 0, bytes.length, length[id]!);
}

function describe(world: World, node: string, rib: Rib, path: number, attrId: number): string {
  const { pool, nextHops, paths } = rib;
  const start = pool.offset(attrId);
  const view = describeAttributes(pool.page(attrId), start, start + pool.length[attrId]!);
  const links = world.router(node).directory.links;
  const via = nextHopText(nextHops, paths.nextHopId[path]!, (ifindex) => links.get(ifindex)!.name);
  return `${view.asPath} via ${via}`.trim();
}

/** The loc-rib: `prefix: AS path via next hop`, sorted. */
export function routes(world: World, node: string): string[] {
  const found: string[] = [];
  for (const rib of world.router(node).ribs)
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      const best = rib.prefixes.bestPath[id]!;
      if (best === 0) continue;
      found.push(`${prefixAt(rib, id)}: ${describe(world, node, rib, best, rib.paths.attrId[best]!)}`);
    }
  return found.sort();
}

/** Only the prefixes of the loc-rib. */
export function prefixes(world: World, node: string): string[] {
  return routes(world, node).map((route) => route.slice(0, route.indexOf(': ')));
}

/** What a router has received from a peer, whether it wants it or not. */
export function received(world: World, node: string, peerName: string): string[] {
  const peer = world.peer(node, peerName);
  const found: string[] = [];
  for (const rib of world.router(node).ribs)
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1))
      for (let path = rib.prefixes.firstPath[id]!; path !== 0; path = rib.paths.next[path]!)
        if (rib.paths.peer[path] === peer.index) found.push(prefixAt(rib, id));
  return found.sort();
}

/** What the kernel of a node has, as prefixes of IPv4. */
export function installed4(world: World, node: string): string[] {
  return [...world.node(node).kernel.routes.values()]
    .filter(({ family }) => family === 0)
    .map(({ words, length }) => {
      const [word] = words as [number];
      return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}/${length}`;
    })
    .sort();
}

export function state(world: World, node: string, peerName: string): string {
  return world.peer(node, peerName).main.session.state;
}

/** The events of a kind that a node has told. */
export function told<K extends RouterEvent['kind']>(
  world: World,
  node: string,
  kind: K,
): Extract<RouterEvent, { kind: K }>[] {
  return world.events
    .filter((told) => told.node === node && told.event.kind === kind)
    .map(({ event }) => event as Extract<RouterEvent, { kind: K }>);
}

/** One policy by rules; what no rule decides is accepted. */
export function policy(name: string, ...rules: RuleDefinition[]): CompiledPolicy {
  return compilePolicies({ policies: { [name]: { default: 'accept', rules } } }).get(name)!;
}

/** The same configuration with other peer settings. */
export function withPeer(world: World, node: string, settings: Partial<InterfacePeer>): RouterConfig {
  const { config } = world.node(node);
  return { ...config, peers: config.peers.map((peer) => ({ ...peer, ...settings }) as PeerConfig) };
}

export type { Peer, World };
