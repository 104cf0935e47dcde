// The usual fabric for a simulation: a two-tier Clos with guests behind the leaves, either eBGP unnumbered (spines
// share an AS, every leaf has its own) or one AS with reflecting routers that put themselves as next hop. Names and
// addresses are those of `leafctl lab`'s generator.
//
// Schemes: `ebgp`; `ibgp`, where the spines reflect; `mesh`, where every router reflects to all, which only the
// CLUSTER_LIST keeps from going round in circles;
// `numbered`, eBGP over addressed links between peers known by address.

import { assert } from '../lib/assert.ts';
import { ip4Bytes } from '../net/ip.ts';
import { type Prefix, parsePrefix } from '../net/prefix.ts';
import {
  defaultPeerSettings,
  defaultRouterSettings,
  type PeerSettings,
  type RouterConfig,
} from '../router/config.ts';
import type { SimLink, SimNodeSpec, SimTopology } from './topology.ts';

export type Scheme = 'ebgp' | 'ibgp' | 'mesh' | 'numbered';

export interface ClosShape {
  spines: number;
  leaves: number;
  guestsPerLeaf: number;
  scheme: Scheme;
}

const IBGP_ASN = 65000;
const SPINE_ASN = 65001;
const LEAF_ASN_BASE = 65100;

/** Settings of a fabric peer with short timers, so that a simulation does not wait for nothing. */
export function fabricPeer(internal: boolean): PeerSettings {
  return {
    ...defaultPeerSettings,
    remoteAs: { kind: internal ? 'internal' : 'external' },
    families: 0b11,
    holdTimeMs: 9000,
    keepaliveMs: 3000,
    connectRetryMs: 1000,
  };
}

/** A router of a fabric with no peers yet. */
export function fabricRouter(name: string, asn: number, bgpId: number): RouterConfig {
  return {
    ...defaultRouterSettings,
    nodeName: name,
    asn,
    bgpId,
    profile: 'fabric',
    networks: [],
    redistribute: { static: {} },
    gracefulRestart: { restartTimeMs: 20_000, stalePathTimeMs: 30_000, notification: true },
    peers: [],
  };
}

/** A prefix from text that is known to be one. */
export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert(parsed !== undefined, `${text} is a prefix`);
  return parsed;
}

export function closTopology(shape: ClosShape): SimTopology {
  const nodes: SimNodeSpec[] = [];
  const links: SimLink[] = [];
  for (let spine = 1; spine <= shape.spines; spine++) {
    const config = routerOf(shape, 'spine', spine);
    nodes.push({ name: config.nodeName, config, statics: [], addresses: [] });
  }
  for (let leaf = 1; leaf <= shape.leaves; leaf++) {
    const config = routerOf(shape, 'leaf', leaf);
    const statics: Prefix[] = [];
    for (let guest = 1; guest <= shape.guestsPerLeaf; guest++)
      statics.push(prefix(`198.18.${leaf}.${guest}/32`), prefix(`2001:db8:100:${leaf}::${guest}/128`));
    nodes.push({ name: config.nodeName, config, statics, addresses: [] });
    for (let spine = 1; spine <= shape.spines; spine++)
      links.push({
        a: { node: `spine${spine}`, port: `eth${leaf}` },
        b: { node: `leaf${leaf}`, port: `eth${spine}` },
      });
  }
  const topology = { nodes, links };
  if (shape.scheme === 'numbered') number(topology);
  return topology;
}

function routerOf(shape: ClosShape, role: 'spine' | 'leaf', index: number): RouterConfig {
  const internal = shape.scheme === 'ibgp' || shape.scheme === 'mesh';
  const external = role === 'spine' ? SPINE_ASN : LEAF_ASN_BASE + index;
  const tier = role === 'spine' ? 0 : 1;
  const bgpId = ((10 << 24) | (255 << 16) | (tier << 8) | index) >>> 0;
  const config = fabricRouter(`${role}${index}`, internal ? IBGP_ASN : external, bgpId);
  const loopback6 = tier === 0 ? `2001:db8:ffff::${index}/128` : `2001:db8:ffff:1::${index}/128`;
  config.networks = [{ bytes: ip4Bytes(bgpId), length: 32 }, prefix(loopback6)];
  const reflects = internal && (role === 'spine' || shape.scheme === 'mesh');
  config.peers = [
    {
      ...fabricPeer(internal),
      kind: 'interface',
      pattern: 'eth*',
      nextHopSelf: internal ? 'all' : 'never',
      routeReflectorClient: reflects,
    },
  ];
  return config;
}

/** Gives every cable an IPv4 subnet and makes peers by address of the neighbours, for IPv4 alone. */
function number(topology: SimTopology): void {
  const byName = new Map(topology.nodes.map((node) => [node.name, node]));
  for (const { config } of topology.nodes) config.peers = [];
  topology.links.forEach(({ a, b }, i) => {
    const subnet = prefix(`10.0.${i}.0/31`);
    const addresses = [subnet.bytes, Uint8Array.from([...subnet.bytes.subarray(0, 3), 1])];
    [a, b].forEach((end, side) => {
      const node = byName.get(end.node)!;
      node.addresses.push({ port: end.port, address: addresses[side]!, length: 31 });
      const remote = addresses[1 - side]!;
      const peer = { ...fabricPeer(false), families: 0b01, kind: 'address' as const, address: remote };
      node.config.peers.push(peer);
    });
  });
}
