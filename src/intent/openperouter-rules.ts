// What spans resources of OpenPERouter on one node, and what a change may not change: its webhooks' part. A resource is
// judged against those that were accepted before it, so that of two that exclude each other the later is refused.

import type { Place } from '../lib/leafd-error.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { type Prefix, prefixContains, prefixContainsIp } from '../net/prefix.ts';
import { blockOf } from './guest-address.ts';
import { lastNodeIndex, localAddresses } from './local-cidr.ts';
import { prefixOfCidr } from './openperouter-fields.ts';
import type {
  Given,
  HostSession,
  L2VniResource,
  PassthroughResource,
  Resource,
  UnderlayResource,
} from './openperouter-model.ts';
import { type ConfigProblem, formatPlace } from './tree.ts';

/** `KIND/NAME`, by which a resource is known. */
export function keyOf({ kind, name }: Pick<Resource, 'kind' | 'name'>): string {
  return `${kind}/${name}`;
}

/** The element of a pool that is an index's, or undefined beyond its end. */
export function elementOf(pool: Prefix, index: number): Uint8Array | undefined {
  const hostBits = pool.bytes.length * 8 - pool.length;
  // More than any index needs, and still exact.
  if (index >= 2 ** Math.min(hostBits, 40)) return undefined;
  const address = pool.bytes.slice();
  let carry = index;
  for (let i = address.length - 1; i >= 0 && carry > 0; i--) {
    carry += address[i]!;
    address[i] = carry & 0xff;
    carry = Math.floor(carry / 256);
  }
  return address;
}

interface Judgement {
  resource: Resource;
  accepted: readonly Resource[];
  nodeIndex: number;
  problems: ConfigProblem[];
}

/** Why a resource cannot be on the node together with those accepted already. */
export function judgeTogether(
  resource: Resource,
  accepted: readonly Resource[],
  nodeIndex: number,
): ConfigProblem[] {
  const judgement: Judgement = { resource, accepted, nodeIndex, problems: [] };
  const { kind } = resource;
  if (kind === 'Underlay' || kind === 'L3Passthrough') refuseSecond(judgement);
  if (kind === 'Underlay') judgePools(judgement, resource);
  if (kind === 'L3Passthrough') judgeLeg(judgement, resource);
  if (kind === 'L3VNI' || kind === 'L2VNI') judgeVni(judgement, resource.vni);
  if (kind === 'L3VNI' || kind === 'L3VPN') judgeVrf(judgement, resource.vrf);
  if (kind === 'L3VPN') judgeSrv6(judgement);
  const session = sessionOf(resource);
  if (session !== undefined) judgeOverlap(judgement, session);
  if (kind === 'L2VNI') judgeSubnets(judgement, resource);
  if (kind === 'Underlay' || kind === 'L3Passthrough') judgeNeighbors(judgement);
  return judgement.problems;
}

function complain(
  { resource, problems }: Judgement,
  where: Place,
  path: string,
  reason: string,
  hint?: string,
): void {
  const whole = path === '' ? keyOf(resource) : `${keyOf(resource)}.${path}`;
  problems.push({ where, path: whole, reason, ...(hint === undefined ? {} : { hint }) });
}

/** `KIND/NAME (file:line:column)` of another one. */
function nameOf(resource: Resource): string {
  return `${keyOf(resource)} (${formatPlace(resource.where)})`;
}

function refuseSecond(judgement: Judgement): void {
  const { resource, accepted } = judgement;
  const first = accepted.find(({ kind }) => kind === resource.kind);
  if (first === undefined) return;
  const reason = `is a second ${resource.kind}: this node has ${nameOf(first)}`;
  const hint =
    resource.kind === 'Underlay'
      ? 'give them node selectors that do not overlap'
      : 'there is exactly one passthrough, of the default VRF';
  complain(judgement, resource.where, '', reason, hint);
}

function judgePools(judgement: Judgement, { routerIdCidr, tunnelCidrs, neighbors }: UnderlayResource): void {
  const { nodeIndex } = judgement;
  if (elementOf(prefixOfCidr(routerIdCidr), nodeIndex + 1) === undefined)
    complain(judgement, routerIdCidr.place, 'routerIDCIDR', `has no router id for node index ${nodeIndex}`);
  for (const [index, pool] of tunnelCidrs.entries()) {
    const path = `tunnelEndpoint.cidrs.${index}`;
    const own = elementOf(prefixOfCidr(pool), nodeIndex);
    const block = own === undefined ? undefined : blockOf(own);
    if (own === undefined)
      complain(judgement, pool.place, path, `has no address for node index ${nodeIndex}`);
    else if (block !== undefined) complain(judgement, pool.place, path, `is ${block}`);
    else if (neighbors.some(({ at }) => at.kind === 'address' && at.text.value === formatIp(own)))
      complain(judgement, pool.place, path, 'has the address of a neighbour for this node');
  }
}

function judgeLeg(judgement: Judgement, { hostSession }: PassthroughResource): void {
  const { nodeIndex } = judgement;
  for (const [family, pool] of cidrsOf(hostSession)) {
    const path = `hostSession.localCIDR.${family}`;
    const prefix = prefixOfCidr(pool);
    const own = localAddresses(prefix, nodeIndex);
    const last = lastNodeIndex(prefix);
    const room = last < 0 ? 'it has room for none' : `it has room for 0 to ${last}`;
    const block = own === undefined ? undefined : blockOf(own.router);
    if (own === undefined)
      complain(judgement, pool.place, path, `has no address for node index ${nodeIndex}`, room);
    else if (block !== undefined && !(block === 'link-local' && family === 'ipv4'))
      complain(judgement, pool.place, path, `is ${block}`);
  }
}

/** Addresses of the fabric's side within the leg towards the host would lead astray; the later of the two is told. */
function judgeNeighbors(judgement: Judgement): void {
  const { resource, accepted, nodeIndex } = judgement;
  const both = [resource, ...accepted];
  const underlay = both.find((one) => one.kind === 'Underlay');
  const passthrough = both.find((one) => one.kind === 'L3Passthrough');
  if (underlay === undefined || passthrough === undefined) return;
  const tunnels = underlay.tunnelCidrs.flatMap((pool) => elementOf(prefixOfCidr(pool), nodeIndex) ?? []);
  const neighbors = underlay.neighbors.filter(({ at }) => at.kind === 'address');
  const ranges = underlay.neighbors.filter(({ at }) => at.kind === 'listenRange');
  for (const [family, pool] of cidrsOf(passthrough.hostSession)) {
    const prefix = prefixOfCidr(pool);
    const isIn = (address: Uint8Array) => prefixContainsIp(prefix, address);
    const range = ranges.find(({ at }) => overlap(prefixOfCidr(at.text), prefix));
    const neighbor = neighbors.find(({ at }) => isIn(parseIp(at.text.value)!)) ?? range;
    const what =
      neighbor !== undefined ? 'a neighbour' : tunnels.some(isIn) ? 'the tunnel endpoint' : undefined;
    if (what === undefined) continue;
    const isLeg = resource.kind === 'L3Passthrough';
    const where = isLeg ? pool.place : (neighbor?.at.text.place ?? underlay.tunnelCidrs[0]!.place);
    const path = isLeg
      ? `hostSession.localCIDR.${family}`
      : neighbor !== undefined
        ? 'neighbors'
        : 'tunnelEndpoint';
    // Whoever may use the host's addresses could be a neighbour of the range.
    const reason =
      neighbor !== undefined && neighbor === range
        ? 'the range of a neighbour overlaps localCIDR, the addresses towards the host'
        : `the address of ${what} lies within localCIDR, the addresses towards the host`;
    complain(judgement, where, path, reason);
  }
}

function judgeVni(judgement: Judgement, vni: Given<number>): void {
  const other = judgement.accepted.find(
    (one) => (one.kind === 'L3VNI' || one.kind === 'L2VNI') && one.vni.value === vni.value,
  );
  if (other !== undefined) complain(judgement, vni.place, 'vni', `is the VNI of ${nameOf(other)}`);
}

function judgeVrf(judgement: Judgement, vrf: Given<string>): void {
  const { resource, accepted } = judgement;
  const vrfs = accepted.filter((one) => one.kind === 'L3VNI' || one.kind === 'L3VPN');
  const same = vrfs.find((one) => one.vrf.value === vrf.value);
  const other = vrfs.find(({ kind }) => kind !== resource.kind);
  if (same !== undefined) complain(judgement, vrf.place, 'vrf', `is the VRF of ${nameOf(same)}`);
  else if (other !== undefined)
    complain(
      judgement,
      resource.where,
      '',
      `L3VNIs and L3VPNs exclude each other: this node has ${nameOf(other)}`,
    );
}

function judgeSrv6(judgement: Judgement): void {
  const underlay = judgement.accepted.find((one) => one.kind === 'Underlay');
  if (underlay !== undefined && underlay.srv6 === undefined)
    complain(judgement, judgement.resource.where, '', `needs srv6 in ${nameOf(underlay)}`);
}

function sessionOf(resource: Resource): HostSession | undefined {
  return 'hostSession' in resource ? resource.hostSession : undefined;
}

function cidrsOf({ localCidr }: HostSession): (readonly ['ipv4' | 'ipv6', Given<string>])[] {
  return (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const given = localCidr[family];
    return given === undefined ? [] : [[family, given] as const];
  });
}

const overlap = (a: Prefix, b: Prefix): boolean => prefixContains(a, b) || prefixContains(b, a);

/** All sessions of a node end in the host's one namespace. */
function judgeOverlap(judgement: Judgement, session: HostSession): void {
  for (const [family, pool] of cidrsOf(session)) {
    const other = judgement.accepted.find((one) => {
      const theirs = sessionOf(one)?.localCidr[family];
      return theirs !== undefined && overlap(prefixOfCidr(theirs), prefixOfCidr(pool));
    });
    if (other !== undefined)
      complain(judgement, pool.place, `hostSession.localCIDR.${family}`, `overlaps that of ${nameOf(other)}`);
  }
}

/** Segments that are routed in one VRF have subnets of their own. */
function judgeSubnets(judgement: Judgement, resource: L2VniResource): void {
  const { accepted } = judgement;
  const vrf = vrfOf(resource, accepted);
  const others = accepted.filter(
    (one) => one.kind === 'L2VNI' && vrfOf(one, accepted) === vrf,
  ) as L2VniResource[];
  for (const [index, gateway] of resource.gatewayIps.entries()) {
    const subnet = prefixOfCidr(gateway);
    const other = others.find(({ gatewayIps }) =>
      gatewayIps.some((theirs) => overlap(prefixOfCidr(theirs), subnet)),
    );
    if (other !== undefined)
      complain(judgement, gateway.place, `gatewayIPs.${index}`, `overlaps a subnet of ${nameOf(other)}`);
  }
}

/** The VRF by its name, or as long as the resource that has it is not known by the name of that. */
function vrfOf({ name, routing }: L2VniResource, accepted: readonly Resource[]): string {
  if (routing === undefined) return `vrf ${name}`;
  if (routing.kind === 'vrf') return `vrf ${routing.name.value}`;
  const owner = accepted.find((one) => one.kind === routing.kind && one.name === routing.name.value);
  const isVrf = owner?.kind === 'L3VNI' || owner?.kind === 'L3VPN';
  return isVrf ? `vrf ${owner.vrf.value}` : `${routing.kind} ${routing.name.value}`;
}

/** What a resource that was good may not have changed: for that it has to be deleted and made anew. */
export function judgeChange(resource: Resource, before: Resource): ConfigProblem[] {
  const judgement: Judgement = { resource, accepted: [], nodeIndex: 0, problems: [] };
  const tell = (where: Place, path: string) =>
    complain(judgement, where, path, 'cannot be changed', 'delete the resource and make it anew');
  const [now, then] = [sessionOf(resource), sessionOf(before)];
  if (now !== undefined && then !== undefined)
    for (const family of ['ipv4', 'ipv6'] as const)
      if (now.localCidr[family]?.value !== then.localCidr[family]?.value)
        tell((now.localCidr[family] ?? now.localCidr).place, `hostSession.localCIDR.${family}`);
  if (resource.kind === 'L2VNI' && before.kind === 'L2VNI') {
    const [own, old] = [resource, before].map(({ gatewayIps }) =>
      gatewayIps.map(({ value }) => value).join(' '),
    );
    if (own !== old) tell(resource.gatewayIps[0]?.place ?? resource.where, 'gatewayIPs');
  }
  if (resource.kind === 'Underlay' && before.kind === 'Underlay') {
    const old = new Map(before.interfaces.map((one) => [one.name.value, one]));
    for (const [index, one] of resource.interfaces.entries()) {
      const earlier = old.get(one.name.value);
      if (one.type === 'CNIDevice' && earlier?.type === 'CNIDevice' && earlier.config !== one.config)
        tell(one.place, `interfaces.${index}.cniDevice`);
    }
  }
  return judgement.problems;
}

/** Whether two versions say the same, wherever it is written. */
export function isUnchanged(now: Resource, before: Resource): boolean {
  return spelled(now) === spelled(before);
}

function spelled(resource: Resource): string {
  return JSON.stringify(resource, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    if ('line' in value && 'column' in value) return true;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
