// Networks drawn from a seed, for what the plain fabric of clos.ts does not have: several paths of a prefix (RFC 7911),
// reflectors in two levels (RFC 4456), confederations (RFC 5065), neighbours with roles (RFC 9234). What a session may
// differ in is drawn as well, end by end: graceful restart and what comes behind it (RFC 4724, 8538, 9494), limits,
// BFD (RFC 5880), families whose NLRI are opaque.
//
// Every cable has its own peers, named by its ports: `up1`, `client2`, `peer1`.

import { Rng } from '../lib/rng.ts';
import { ip4Bytes } from '../net/ip.ts';
import { compilePolicies } from '../policy/compile.ts';
import type { CompiledPolicy } from '../policy/program.ts';
import type { InterfacePeer, RouterConfig } from '../router/config.ts';
import type { Role } from '../session/role.ts';
import { EVPN, VPNV4 } from '../wire/bgp/family.ts';
import { fabricPeer, fabricRouter, prefix } from './clos.ts';
import { drawBehaviour, drawSession } from './features.ts';
import { opaqueExport, opaqueRoutesOf } from './opaque.ts';
import type { SimNodeSpec, SimTopology } from './topology.ts';

export const drawnSchemes = ['addPath', 'reflection', 'confederation', 'roles'] as const;
export type DrawnScheme = (typeof drawnSchemes)[number];

const AS = 65000;
const CONFEDERATION = 64900;
const OUTSIDE = 65200;

/** What of a session is given by the scheme. */
type Terms = Partial<InterfacePeer>;

/** A network under construction. */
class Plan {
  readonly rng: Rng;
  readonly topology: SimTopology = { nodes: [], links: [] };
  /** Opaque families run on every session, or on none. */
  readonly hasOpaque: boolean;
  readonly #ports = new Map<string, number>();

  constructor(seed: number) {
    this.rng = new Rng(seed ^ 0x0d7a_3b11);
    this.hasOpaque = this.rng.chance(0.6);
  }

  /** A router with loopbacks, and guests behind it where it is at an edge. */
  node(name: string, asn: number, isEdge: boolean, given: Partial<RouterConfig> = {}): SimNodeSpec {
    const number = this.topology.nodes.length + 1;
    // Identifiers in another order than names: ties have to fall either way.
    const bgpId = ((10 << 24) | (255 << 16) | ((this.rng.below(200) + 1) << 8) | number) >>> 0;
    const config = { ...fabricRouter(name, asn, bgpId), ...drawBehaviour(this.rng), ...given };
    config.networks = [{ bytes: ip4Bytes(bgpId), length: 32 }, prefix(`2001:db8:ffff::${number}/128`)];
    const statics = !isEdge
      ? []
      : [`198.18.${number}.1/32`, `198.18.${number}.2/32`, `2001:db8:100:${number}::1/128`].map(prefix);
    // Of its first guest nobody may keep a route for long (RFC 9494 section 4.2).
    if (isEdge && this.rng.chance(0.5))
      config.redistribute = { static: { policy: withoutLongLife(`198.18.${number}.1/32`) } };
    const spec: SimNodeSpec = { name, config, statics, addresses: [] };
    if (isEdge && this.hasOpaque) spec.opaque = opaqueRoutesOf(number);
    this.topology.nodes.push(spec);
    return spec;
  }

  /** A cable with a peer at either end; `near` and `far` are what ports are called and what peers have to be. */
  link(a: SimNodeSpec, near: string, aTerms: Terms, b: SimNodeSpec, far: string, bTerms: Terms): void {
    const isInternal = aTerms.remoteAs?.kind === 'internal';
    const portA = this.#end(a, near, aTerms, isInternal);
    const portB = this.#end(b, far, bTerms, isInternal);
    this.topology.links.push({ a: { node: a.name, port: portA }, b: { node: b.name, port: portB } });
  }

  #end(node: SimNodeSpec, kind: string, terms: Terms, isInternal: boolean): string {
    const key = `${node.name} ${kind}`;
    const count = (this.#ports.get(key) ?? 0) + 1;
    this.#ports.set(key, count);
    const port = `${kind}${count}`;
    const families = this.hasOpaque ? 0b11 | (1 << VPNV4) | (1 << EVPN) : 0b11;
    const byFamily = this.hasOpaque && node.opaque !== undefined ? opaqueExport(node.config.bgpId) : {};
    const peer: InterfacePeer = {
      ...fabricPeer(isInternal),
      kind: 'interface',
      pattern: port,
      families,
      byFamily,
      ...drawSession(this.rng, node.config.confederation !== undefined),
      ...terms,
    };
    node.config.peers.push(peer);
    return port;
  }
}

/** The network that a seed stands for. */
export function drawnTopology(scheme: DrawnScheme, seed: number): SimTopology {
  const plan = new Plan(seed);
  if (scheme === 'addPath') drawFabric(plan);
  else if (scheme === 'reflection') drawReflection(plan);
  else if (scheme === 'confederation') drawConfederation(plan);
  else drawRoles(plan);
  return plan.topology;
}

/** Two tiers in as many ASes as routers, or with the spines in one. */
function drawFabric(plan: Plan): void {
  const { rng } = plan;
  const ownAs = rng.chance(0.5);
  const spines = [1, 2].map((i) => plan.node(`spine${i}`, ownAs ? AS + i : AS, false));
  const leaves = [1, 2, 3].map((i) => plan.node(`leaf${i}`, AS + 100 + i, true));
  for (const leaf of leaves) for (const spine of spines) plan.link(spine, 'down', {}, leaf, 'up', {});
  // A way around the spines makes paths of different lengths.
  if (rng.chance(0.5)) plan.link(leaves[0]!, 'side', {}, leaves[1]!, 'side', {});
}

/** Reflectors of reflectors; those in the middle may be of one cluster. One neighbour is outside. */
function drawReflection(plan: Plan): void {
  const { rng } = plan;
  const internal: Terms = { remoteAs: { kind: 'internal' } };
  const client: Terms = { ...internal, routeReflectorClient: true };
  const cluster = rng.chance(0.4) ? { clusterId: 77 } : {};
  // Reflectors that put themselves as next hop and tell several paths must not share the load: the second path of a
  // neighbour is not the one by which it sends packets on.
  const single = { multipath: 1 };
  const tops = [1, 2].map((i) => plan.node(`top${i}`, AS, false, single));
  const mids = [1, 2].map((i) => plan.node(`mid${i}`, AS, false, { ...single, ...cluster }));
  const leaves = [1, 2, 3].map((i) =>
    plan.node(`leaf${i}`, AS, true, { ...single, bestExternal: rng.chance(0.3) }),
  );
  plan.link(tops[0]!, 'side', internal, tops[1]!, 'side', internal);
  for (const mid of mids) for (const top of tops) plan.link(top, 'client', client, mid, 'up', internal);
  for (const leaf of leaves)
    mids.forEach((mid, i) => {
      if (i === 0 || rng.chance(0.75)) plan.link(mid, 'client', client, leaf, 'up', internal);
    });
  const outside = plan.node('outside', OUTSIDE, true);
  plan.link(leaves[0]!, 'out', {}, outside, 'in', {});
  if (rng.chance(0.6)) plan.link(leaves[2]!, 'out', {}, outside, 'in', {});
}

/** Two or three member ASes of two routers each, in a row or a ring, and neighbours outside. */
function drawConfederation(plan: Plan): void {
  const { rng } = plan;
  const count = rng.between(2, 3);
  const asns = Array.from({ length: count }, (_, i) => AS + 500 + i);
  const confederation = { id: CONFEDERATION, members: asns.map((asn): [number, number] => [asn, asn]) };
  const internal: Terms = { remoteAs: { kind: 'internal' } };
  const within = (asn: number): Terms => ({ remoteAs: { kind: 'list', ranges: [[asn, asn]] } });
  const pairs = asns.map((asn, i) =>
    // Ways between members count nothing in length: sharing the load over them would lead in circles.
    ['a', 'b'].map((side) =>
      plan.node(`${side}${i + 1}`, asn, side === 'a', { confederation, multipath: 1 }),
    ),
  );
  pairs.forEach(([a, b], i) => {
    plan.link(a!, 'in', internal, b!, 'in', internal);
    const [c, d] = pairs[(i + 1) % count]!;
    if (i + 1 === count && (count === 2 || rng.chance(0.5))) return;
    const next = asns[(i + 1) % count]!;
    plan.link(b!, 'con', within(next), c!, 'con', within(asns[i]!));
    if (rng.chance(0.5)) plan.link(a!, 'con', within(next), d!, 'con', within(asns[i]!));
  });
  const outside = plan.node('outside', OUTSIDE, true);
  plan.link(pairs[0]![0]!, 'out', {}, outside, 'in', {});
  plan.link(pairs[count - 1]![1]!, 'out', {}, outside, 'in', {});
}

/** Providers, their customers and theirs; peers beside each other; now and then an end that says no role. */
function drawRoles(plan: Plan): void {
  const { rng } = plan;
  const strict = rng.chance(0.3);
  const asA = (role: Role): Terms => (!strict && rng.chance(0.15) ? {} : { role, roleStrict: strict });
  const big = [1, 2].map((i) => plan.node(`big${i}`, AS + i, false));
  const mids = [1, 2].map((i) => plan.node(`mid${i}`, AS + 10 + i, true));
  const small = [1, 2].map((i) => plan.node(`small${i}`, AS + 20 + i, true));
  const sell = (provider: SimNodeSpec, customer: SimNodeSpec): void =>
    plan.link(provider, 'down', asA('provider'), customer, 'up', asA('customer'));
  const beside = (a: SimNodeSpec, b: SimNodeSpec): void =>
    plan.link(a, 'peer', asA('peer'), b, 'peer', asA('peer'));
  beside(big[0]!, big[1]!);
  mids.forEach((mid, i) => {
    sell(big[i]!, mid);
    if (rng.chance(0.5)) sell(big[1 - i]!, mid);
    sell(mid, small[i]!);
    if (rng.chance(0.6)) sell(mid, small[1 - i]!);
  });
  beside(mids[0]!, mids[1]!);
  if (rng.chance(0.4)) beside(small[0]!, small[1]!);
}

/** Accepts everything; what goes out for the prefix says NO_LLGR. */
function withoutLongLife(text: string): CompiledPolicy {
  const rule = {
    match: { prefixes: [text] },
    set: { communities: { add: ['no-llgr'] } },
    action: 'accept',
  } as const;
  return compilePolicies({ policies: { short: { default: 'accept', rules: [rule] } } }).get('short')!;
}
