// What the accepted resources of a node come to in leafd's own words: the tree that leafd.yaml would have, each value
// with its place in the file of OpenPERouter. Behaviour follows what OpenPERouter renders for FRR:
//   - eBGP neighbours may have our AS in their paths (FRR's bare allowas-in is 3), iBGP ones get us as next hop, and
//     of EVPN and VPN routes only where they come from outside: their next hops are tunnel endpoints;
//   - the speaker of the host has a session for each family, without filters.
// It departs from it where that is safe and better: graceful restart is offered whether or not the Underlay asks for
// it, because without it a restart of leafd would take the routes of the host away (a neighbour that has no use for
// the capability ignores it); a hold time that is not given is leafd's.

import type { Place } from '../lib/leafd-error.ts';
import { formatIp } from '../net/ip.ts';
import { prefixOfCidr } from './openperouter-fields.ts';
import type {
  Given,
  HostSession,
  Neighbor,
  NeighborAddressFamily,
  PassthroughResource,
  Resource,
  UnderlayResource,
} from './openperouter-model.ts';
import { elementOf } from './openperouter-rules.ts';
import type { ListNode, MapNode, ScalarNode, TreeNode } from './tree.ts';

/** FRR's default, in seconds. */
const CONNECT_RETRY = 5;
/** The longest that leafd waits. */
const CONNECT_RETRY_MAX = 3600;
/** What FRR takes `allowas-in` without a number for. */
const ALLOW_AS_IN = 3;
/** What FRR takes `ebgp-multihop` without a number for. */
const MULTIHOP_TTL = 255;

/** A part of a resource that is not carried out. */
export interface LeftOut {
  where: Place;
  state: 'unsupported' | 'failed';
  message: string;
}

export interface Around {
  nodeIndex: number;
  /** Selected and accepted, of all kinds. */
  resources: readonly Resource[];
  secrets: ReadonlyMap<string, string>;
}

/** The tree of the node's Underlay and passthrough, and what of the Underlay is left out. */
export function translate(
  underlay: UnderlayResource,
  passthrough: PassthroughResource | undefined,
  around: Around,
): { config: MapNode; leftOut: LeftOut[] } {
  const leftOut: LeftOut[] = unsupportedParts(underlay);
  const peers = underlay.neighbors.flatMap((neighbor): TreeNode[] => {
    const password = passwordOf(neighbor, underlay, around.secrets, leftOut);
    return password === 'missing' ? [] : [peerOf(neighbor, underlay, passthrough, password, around, leftOut)];
  });
  const { where } = underlay;
  const config = map(where, {
    bgp: map(where, {
      asn: scalar(underlay.asn),
      routerId: routerIdOf(underlay, around.nodeIndex),
      loopbacks: loopbacksOf(underlay, around.nodeIndex),
      gracefulRestart: gracefulRestartOf(underlay),
      clusterId: underlay.routeReflector && scalar(underlay.routeReflector.clusterId),
      peers: list(where, peers),
    }),
    passthrough: map(where, {
      nodeIndex: { kind: 'scalar', place: where, value: around.nodeIndex },
      uplinks: uplinksOf(underlay),
      ...legOf(passthrough, underlay),
    }),
  });
  return { config, leftOut };
}

function map(place: Place, values: Readonly<Record<string, TreeNode | undefined>>): MapNode {
  const entries: MapNode['entries'] = new Map();
  for (const [key, value] of Object.entries(values))
    if (value !== undefined) entries.set(key, { keyPlace: value.place, value });
  return { kind: 'map', place, entries };
}

function list(place: Place, items: TreeNode[]): ListNode {
  return { kind: 'list', place, items };
}

function scalar({ value, place }: Given<string | number | boolean>): ScalarNode {
  return { kind: 'scalar', place, value };
}

function at(place: Place, value: string | number | boolean): ScalarNode {
  return { kind: 'scalar', place, value };
}

function unit(given: Given<number> | undefined, name: 's' | 'ms'): ScalarNode | undefined {
  return given === undefined ? undefined : at(given.place, `${given.value}${name}`);
}

function unsupportedParts(underlay: UnderlayResource): LeftOut[] {
  const parts: LeftOut[] = [];
  const tell = (where: Place | undefined, message: string) => {
    if (where !== undefined) parts.push({ where, state: 'unsupported', message });
  };
  tell(underlay.isis, 'isis is not supported: leafd speaks BGP only');
  tell(underlay.srv6, 'srv6 is not supported');
  tell(underlay.tunnelInterface?.place, 'evpn.vtepInterface is not supported: give a CIDR');
  for (const one of underlay.interfaces)
    if (one.type === 'CNIDevice')
      tell(
        one.place,
        `the CNIDevice ${one.name.value} is not supported: name a NetworkDevice, or give passthrough.uplinks a macvlan`,
      );
  return parts;
}

function routerIdOf({ routerIdCidr }: UnderlayResource, nodeIndex: number): TreeNode | undefined {
  const own = elementOf(prefixOfCidr(routerIdCidr), nodeIndex + 1);
  return own === undefined ? undefined : at(routerIdCidr.place, formatIp(own));
}

function loopbacksOf({ tunnelCidrs, where }: UnderlayResource, nodeIndex: number): TreeNode | undefined {
  const loopbacks = tunnelCidrs.flatMap((pool): TreeNode[] => {
    const own = elementOf(prefixOfCidr(pool), nodeIndex);
    return own === undefined ? [] : [at(pool.place, `${formatIp(own)}/${own.length * 8}`)];
  });
  return loopbacks.length === 0 ? undefined : list(tunnelCidrs[0]?.place ?? where, loopbacks);
}

/** leafd wants paths to be kept at least as long as a restart may take; OpenPERouter lets that pass. */
function gracefulRestartOf({ gracefulRestart }: UnderlayResource): TreeNode | undefined {
  if (gracefulRestart === undefined) return undefined;
  const { place, restartTimeSeconds, stalePathTimeSeconds } = gracefulRestart;
  const restart = restartTimeSeconds?.value ?? 120;
  const stale = Math.max(restart, stalePathTimeSeconds?.value ?? 360);
  return map(place, {
    restartTime: at(restartTimeSeconds?.place ?? place, `${restart}s`),
    stalePathTime: at(stalePathTimeSeconds?.place ?? place, `${stale}s`),
  });
}

function uplinksOf({ interfaces, where }: UnderlayResource): ListNode {
  const moved = interfaces.filter(({ type }) => type === 'NetworkDevice');
  return list(
    where,
    moved.map(({ name }) => scalar(name)),
  );
}

function passwordOf(
  neighbor: Neighbor,
  { namespace = '' }: UnderlayResource,
  secrets: ReadonlyMap<string, string>,
  leftOut: LeftOut[],
): ScalarNode | undefined | 'missing' {
  const { password, passwordSecret } = neighbor;
  if (passwordSecret === undefined) return password === undefined ? undefined : scalar(password);
  const { place, name, key } = passwordSecret;
  const secret = `${namespace}/${name}`;
  const text = (key === 'password' ? secrets.get(secret) : undefined) ?? secrets.get(`${secret}/${key}`);
  const bytes = text === undefined ? 0 : new TextEncoder().encode(text).length;
  if (text !== undefined && bytes > 0 && bytes <= 80) return at(place, text);
  const why = text === undefined ? 'is not known' : 'holds no password of 1 to 80 bytes';
  leftOut.push({
    where: neighbor.place,
    state: 'failed',
    message: `the neighbour ${neighbor.at.text.value} is left out: the Secret ${secret} ${why}`,
  });
  return 'missing';
}

function isInternal({ remote }: Pick<Neighbor, 'remote'>, underlay: UnderlayResource): boolean {
  if (remote.kind === 'type') return remote.type.value === 'internal';
  return remote.asn.value === underlay.asn.value;
}

const familyNames: Record<NeighborAddressFamily, string> = {
  ipv4unicast: 'ipv4',
  ipv6unicast: 'ipv6',
  evpn: 'evpn',
  ipv4vpn: 'vpnv4',
  ipv6vpn: 'vpnv6',
};

function peerOf(
  neighbor: Neighbor,
  underlay: UnderlayResource,
  passthrough: PassthroughResource | undefined,
  password: ScalarNode | undefined,
  around: Around,
  leftOut: LeftOut[],
): MapNode {
  const { place, port, bfd } = neighbor;
  const internal = isInternal(neighbor, underlay);
  const families = familiesOf(neighbor, underlay, passthrough, around);
  const isPlain = families.every((family) => family === 'ipv4unicast' || family === 'ipv6unicast');
  const client = neighbor.families?.list.find((one) => one.client !== undefined)?.client;
  if (bfd?.echo !== undefined)
    leftOut.push({ where: bfd.echo, state: 'unsupported', message: 'echoMode of BFD is not supported' });
  return map(place, {
    [neighbor.at.kind === 'listenRange' ? 'range' : neighbor.at.kind]: scalar(neighbor.at.text),
    remoteAs: remoteOf(neighbor.remote),
    families: list(
      neighbor.families?.place ?? place,
      families.map((family) => at(neighbor.families?.place ?? place, familyNames[family])),
    ),
    port: port && scalar(port),
    password,
    timers: timersOf(neighbor),
    multihop: multihopOf(neighbor),
    bfd: bfd && bfdOf(neighbor),
    allowAsIn: internal ? undefined : at(place, ALLOW_AS_IN),
    nextHopSelf: internal ? at(place, isPlain ? true : 'external') : undefined,
    // Of single families in OpenPERouter; a client in one is a client here.
    routeReflectorClient: client && at(client, true),
  });
}

function remoteOf(remote: Neighbor['remote']): ScalarNode {
  return scalar(remote.kind === 'asn' ? remote.asn : remote.type);
}

/** What is named, else what the rest of the configuration has use for. */
function familiesOf(
  neighbor: Neighbor,
  underlay: UnderlayResource,
  passthrough: PassthroughResource | undefined,
  { resources }: Around,
): NeighborAddressFamily[] {
  if (neighbor.families !== undefined) return neighbor.families.list.map(({ type }) => type.value);
  const localCidr = passthrough?.hostSession.localCidr;
  const hasVni = resources.some(({ kind }) => kind === 'L3VNI' || kind === 'L2VNI');
  const hasVpn = underlay.srv6 !== undefined && resources.some(({ kind }) => kind === 'L3VPN');
  const isSix = neighbor.at.kind !== 'interface' && neighbor.at.text.value.includes(':');
  const families: [NeighborAddressFamily, boolean][] = [
    ['ipv4unicast', !isSix || hasVni || localCidr?.ipv4 !== undefined],
    ['ipv6unicast', isSix || localCidr?.ipv6 !== undefined],
    ['evpn', hasVni],
    ['ipv4vpn', isSix && hasVpn && !hasVni],
    ['ipv6vpn', isSix && hasVpn && !hasVni],
  ];
  return families.filter(([, isOn]) => isOn).map(([family]) => family);
}

/** A keepalive interval as long as the hold time would never come in time: then leafd takes a third, as is usual. */
function timersOf(neighbor: Neighbor): MapNode {
  const { place, holdTimeSeconds: hold, keepaliveTimeSeconds: keepalive, connectTimeSeconds } = neighbor;
  const connect = connectTimeSeconds ?? { value: CONNECT_RETRY, place };
  const isApt =
    hold !== undefined && keepalive !== undefined && keepalive.value > 0 && keepalive.value < hold.value;
  return map(place, {
    hold: unit(hold, 's'),
    keepalive: isApt ? unit(keepalive, 's') : undefined,
    connectRetry: unit({ place: connect.place, value: Math.min(connect.value, CONNECT_RETRY_MAX) }, 's'),
  });
}

/** An unnumbered neighbour is on the link, whatever is said. */
function multihopOf({ at: { kind }, multihop }: Neighbor): ScalarNode | undefined {
  if (multihop === undefined || kind === 'interface') return undefined;
  return multihop.ttl === undefined ? at(multihop.place, MULTIHOP_TTL) : scalar(multihop.ttl);
}

function bfdOf(neighbor: Neighbor): TreeNode {
  const { place, transmitIntervalMs, receiveIntervalMs, detectMultiplier, passive, minimumTtl } =
    neighbor.bfd!;
  const options = map(place, {
    interval: unit(transmitIntervalMs, 'ms'),
    receive: unit(receiveIntervalMs ?? (transmitIntervalMs && { value: 300, place }), 'ms'),
    multiplier: detectMultiplier && scalar(detectMultiplier),
    passive: passive && scalar(passive),
    minTtl: minimumTtl && multihopOf(neighbor) !== undefined ? scalar(minimumTtl) : undefined,
  });
  return options.entries.size === 0 ? at(place, true) : options;
}

function legOf(
  passthrough: PassthroughResource | undefined,
  underlay: UnderlayResource,
): Record<string, TreeNode> {
  if (passthrough === undefined) return {};
  const { hostSession } = passthrough;
  const { place, ipv4, ipv6 } = hostSession.localCidr;
  const speaker = map(hostSession.place, {
    name: at(passthrough.where, speakerName(passthrough, underlay)),
    remoteAs: remoteOf(hostSession.remote satisfies HostSession['remote']),
  });
  return {
    localCIDR: map(place, { ipv4: ipv4 && scalar(ipv4), ipv6: ipv6 && scalar(ipv6) }),
    speakers: list(hostSession.place, [speaker]),
  };
}

/** The resource's name where it can be a peer's, and no neighbour is called so. */
function speakerName({ name }: PassthroughResource, { neighbors }: UnderlayResource): string {
  const isFree = (one: string) => !neighbors.some(({ at: { text } }) => text.value === one);
  const names = [name, 'passthrough', 'host', 'speaker'];
  return names.find((one) => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,57}$/.test(one) && isFree(one)) ?? 'passthrough';
}
