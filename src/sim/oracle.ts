// What the routers should have come to, worked out without them: the plainest path-vector model there is, on the
// cables that carry packets. For each prefix every router takes the best route its neighbours offer, round after
// round, until nothing changes. It knows loops (RFC 4271 9.1.2, RFC 4456 8), reflection, what policies and
// kernels refuse; it does not know messages, time or history, which is what makes it a judge.

import { type Prefix, prefixText } from '../net/prefix.ts';
import type { PeerConfig } from '../router/config.ts';
import { addressPeerName } from '../router/directory.ts';
import { localAsnTowards } from '../router/offer.ts';
import type { Peer } from '../router/peer.ts';
import { acceptsAsn } from '../session/negotiate.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { routeKey } from './kernel.ts';
import { type Cable, type Port, wordsOf } from './network.ts';
import type { SimNode } from './node.ts';
import type { World } from './world.ts';

/** One direction of a session that should be up: `from` tells, `to` hears. */
interface Adjacency {
  from: SimNode;
  to: SimNode;
  internal: boolean;
  /** The peers as `from` and as `to` has it: one object a session and side. */
  fromPeer: Peer;
  toPeer: Peer;
}

interface Route {
  local: boolean;
  internal: boolean;
  asPath: number[];
  originator: number;
  clusters: number[];
  /** The session it came by, or undefined for a route of the router itself. */
  by: Adjacency | undefined;
}

const ROUNDS_MAX = 64;

/** Whether packets cross a cable both ways. */
export function carries(cable: Cable): boolean {
  return cable.up && !cable.dropsFromA && !cable.dropsFromB;
}

/** The peer that a router should have at the far end of a port's cable, or undefined. */
export function peerAcross(port: Port): Peer | undefined {
  const byName = port.node.router?.directory.byName;
  if (byName === undefined || port.cable === undefined) return undefined;
  const far = port.cable.a === port ? port.cable.b : port.cable.a;
  for (const { bytes } of far.addresses) {
    const peer = byName.get(addressPeerName(bytes));
    if (peer !== undefined) return peer;
  }
  return byName.get(port.name);
}

/** Both peers of the session that belongs to a cable, where it should be up; else undefined. */
export function sessionOf(cable: Cable): [Peer, Peer] | undefined {
  if (!carries(cable)) return undefined;
  const one = peerAcross(cable.a);
  const other = peerAcross(cable.b);
  if (one === undefined || other === undefined) return undefined;
  if ([one, other].some((peer) => peer.adminDown || peer.config.shutdown || peer.heldUntilMs !== 0))
    return undefined;
  const [a, b] = [cable.a.node, cable.b.node];
  // A cable may be plugged into one machine twice, or join two that are not to be peers.
  const [asnA, asnB] = [localAsnTowards(a.config, one.config), localAsnTowards(b.config, other.config)];
  if (a === b || !acceptsAsn(one.config.remoteAs, asnB, asnA)) return undefined;
  if (!acceptsAsn(other.config.remoteAs, asnA, asnB)) return undefined;
  if ((one.config.families & other.config.families) === 0) return undefined;
  const isWithin = asnA === asnB || isMember(a, asnB);
  return isWithin || rolesFit(one.config, other.config) ? [one, other] : undefined;
}

function isMember({ config }: SimNode, asn: number): boolean {
  return config.confederation?.members.some(([low, high]) => asn >= low && asn <= high) === true;
}

/** RFC 9234 section 4.2. */
function rolesFit(a: PeerConfig, b: PeerConfig): boolean {
  if (a.role === undefined || b.role === undefined)
    return !(a.role !== undefined && a.roleStrict) && !(b.role !== undefined && b.roleStrict);
  const pair = [a.role, b.role].sort().join(' ');
  return ['customer provider', 'peer peer', 'rsClient rsServer'].includes(pair);
}

export class Oracle {
  readonly #world: World;
  readonly #hears = new Map<SimNode, Adjacency[]>();
  /** Prefixes of the same owners and refusals fare alike. */
  readonly #known = new Map<string, Map<SimNode, Route>>();

  constructor(world: World) {
    this.#world = world;
    for (const node of world.nodes) this.#hears.set(node, []);
    for (const cable of world.network.cables) {
      const session = sessionOf(cable);
      if (session === undefined) continue;
      const [a, b] = [cable.a.node, cable.b.node];
      const internal = a.config.asn === b.config.asn;
      this.#hears.get(b)!.push({ from: a, to: b, internal, fromPeer: session[0], toPeer: session[1] });
      this.#hears.get(a)!.push({ from: b, to: a, internal, fromPeer: session[1], toPeer: session[0] });
    }
  }

  /** The routers that should have a route to the prefix (or own it). */
  holders(prefix: Prefix): ReadonlySet<SimNode> {
    return new Set(this.#routesTo(prefix).keys());
  }

  #routesTo(prefix: Prefix): Map<SimNode, Route> {
    const text = prefixText(prefix);
    const words = wordsOf(prefix.bytes);
    const kernelKey = routeKey(words.length === 1 ? IPV4 : IPV6, words, 0, prefix.length);
    const family = words.length === 1 ? IPV4 : IPV6;
    const facts = this.#world.nodes.map((node) => {
      const { rejectsExport, rejectsImport } = node.policy;
      return [
        node.isRunning && node.owns(prefix),
        node.kernel.isRefused(kernelKey),
        rejectsExport.has(text),
        rejectsImport.has(text),
      ];
    });
    const key = JSON.stringify([family, facts]);
    let routes = this.#known.get(key);
    if (routes === undefined) this.#known.set(key, (routes = this.#settle(text, family, facts)));
    return routes;
  }

  #settle(text: string, family: number, facts: boolean[][]): Map<SimNode, Route> {
    const routes = new Map<SimNode, Route>();
    const silent = new Set<SimNode>();
    this.#world.nodes.forEach((node, i) => {
      const [owns, refused, rejectsExport] = facts[i]!;
      // What a kernel refused is not told; a route to the router itself is not the kernel's.
      if ((refused && !owns) || rejectsExport) silent.add(node);
      const { bgpId } = node.config;
      if (owns)
        routes.set(node, {
          local: true,
          internal: false,
          asPath: [],
          originator: bgpId,
          clusters: [],
          by: undefined,
        });
    });
    for (let round = 0; round < ROUNDS_MAX; round++) {
      let changed = false;
      for (const node of this.#world.nodes) {
        const before = routes.get(node);
        if (before?.local === true) continue;
        const best = node.policy.rejectsImport.has(text)
          ? undefined
          : this.#best(node, routes, silent, family);
        if (sameRoute(before, best)) continue;
        changed = true;
        if (best === undefined) routes.delete(node);
        else routes.set(node, best);
      }
      if (!changed) break;
    }
    return routes;
  }

  #best(
    node: SimNode,
    routes: ReadonlyMap<SimNode, Route>,
    silent: ReadonlySet<SimNode>,
    family: number,
  ): Route | undefined {
    let best: Route | undefined;
    for (const adjacency of this.#hears.get(node)!) {
      const { from, fromPeer, toPeer } = adjacency;
      const route = routes.get(from);
      if (
        route === undefined ||
        silent.has(from) ||
        (fromPeer.families & toPeer.families & (1 << family)) === 0
      )
        continue;
      // Not back where it came from.
      if (route.by !== undefined && route.by.toPeer === fromPeer) continue;
      const offered = offer(adjacency, route);
      if (offered !== undefined && (best === undefined || compare(offered, best) < 0)) best = offered;
    }
    return best;
  }
}

/** The route as `to` takes it, or undefined where a rule forbids it. */
function offer(adjacency: Adjacency, route: Route): Route | undefined {
  const { from, to, internal, fromPeer } = adjacency;
  const { asn, bgpId, clusterId } = from.config;
  const own = { local: false, internal, by: adjacency };
  if (!internal) {
    const asPath = [...new Array<number>(1 + from.policy.prepends).fill(asn), ...route.asPath];
    if (asPath.includes(to.config.asn)) return undefined;
    return { ...own, asPath, originator: bgpId, clusters: [] };
  }
  if (!route.internal) return { ...own, asPath: route.asPath, originator: bgpId, clusters: [] };
  const reflects = fromPeer.config.routeReflectorClient || route.by!.toPeer.config.routeReflectorClient;
  if (!reflects) return undefined;
  const clusters = [clusterId ?? bgpId, ...route.clusters];
  if (route.originator === to.config.bgpId) return undefined;
  if (clusters.includes(to.config.clusterId ?? to.config.bgpId)) return undefined;
  return { ...own, asPath: route.asPath, originator: route.originator, clusters };
}

function compare(a: Route, b: Route): number {
  return (
    a.asPath.length - b.asPath.length ||
    Number(a.internal) - Number(b.internal) ||
    a.originator - b.originator ||
    a.clusters.length - b.clusters.length ||
    a.by!.from.number - b.by!.from.number
  );
}

function sameRoute(a: Route | undefined, b: Route | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.by === b.by &&
    a.originator === b.originator &&
    `${a.asPath}` === `${b.asPath}` &&
    `${a.clusters}` === `${b.clusters}`
  );
}
