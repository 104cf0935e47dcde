// Routes over a NIC that leaves the host, and what becomes of them. Pure. A route may have hops over other NICs too,
// and the kernel drops an IPv4 route as a whole with one of its links, or with the address it prefers as its source:
// what remains of such a route goes back at once. When the NIC comes home, the whole route takes the place of the
// rest. Links are kept by name, because indexes change with each move.

import { formatIp } from '../net/ip.ts';
import { RTPROT_LEAFD } from '../netlink/message.ts';
import type { Nexthop } from '../netlink/nexthop.ts';
import { RTM_F_CLONED, RTPROT_KERNEL } from '../netlink/route.ts';
import {
  bytesOfHex,
  hopsBehind,
  preferredSource,
  type RawAttribute,
  type WholeHop,
  type WholeRoute,
  wholeRouteKey,
  withoutPreferredSource,
} from '../netlink/whole-route.ts';
import type { SavedAddress } from './nic-record.ts';

const RTPROT_REDIRECT = 1;
const RTN_UNICAST = 1;
const RTN_MULTICAST = 5;

export interface SavedHop {
  link: string;
  weight: number;
  flags: number;
  attributes: readonly RawAttribute[];
}

export interface SavedRoute extends Omit<WholeRoute, 'flags' | 'nhid' | 'hops'> {
  hops: readonly SavedHop[];
}

/** The route as it is kept; undefined where it is the kernel's with an address, a cached one, or leafd's own. */
export function saveRoute(
  route: WholeRoute,
  nameOf: (ifindex: number) => string | undefined,
  objects: ReadonlyMap<number, Nexthop>,
): SavedRoute | undefined {
  const { flags, nhid, ...rest } = route;
  const made = route.type > RTN_UNICAST && route.type <= RTN_MULTICAST && route.protocol === RTPROT_KERNEL;
  if (made || (flags & RTM_F_CLONED) !== 0) return undefined;
  if (route.protocol === RTPROT_LEAFD || route.protocol === RTPROT_REDIRECT) return undefined;
  const hops: readonly WholeHop[] =
    nhid !== 0 && route.hops.length === 0 ? hopsBehind(route, objects) : route.hops;
  const named = hops.map(({ ifindex, ...hop }) => ({ link: nameOf(ifindex) ?? '', ...hop }));
  return named.length === 0 || named.some((hop) => hop.link === '') ? undefined : { ...rest, hops: named };
}

/** The addresses that only this NIC has: routes that prefer them go with it. */
export function ownSources(addresses: readonly SavedAddress[], others: readonly SavedAddress[]): Set<string> {
  const elsewhere = new Set(others.map((address) => address.bytes));
  return new Set(addresses.map((address) => address.bytes).filter((bytes) => !elsewhere.has(bytes)));
}

const prefersOne = (route: SavedRoute, sources: ReadonlySet<string>): boolean =>
  sources.has(preferredSource(route) ?? '');

/** Whether the route is changed when the NIC goes. */
export function goesWith(route: SavedRoute, nic: string, sources: ReadonlySet<string>): boolean {
  return route.hops.some((hop) => hop.link === nic) || prefersOne(route, sources);
}

/** What remains of it without the NIC, over links that are here; undefined: nothing. */
export function remainder(
  route: SavedRoute,
  nic: string,
  sources: ReadonlySet<string>,
  isHere: (link: string) => boolean,
): SavedRoute | undefined {
  const hops = route.hops.filter((hop) => hop.link !== nic && isHere(hop.link));
  if (hops.length === 0) return undefined;
  const attributes = prefersOne(route, sources) ? withoutPreferredSource(route.attributes) : route.attributes;
  return { ...route, hops, attributes };
}

export const routeKey = (route: SavedRoute): string => wholeRouteKey(route);

const way = (hop: SavedHop): string => JSON.stringify([hop.link, hop.flags, [...hop.attributes].sort()]);

/** What a route in the kernel is to a saved one of the same key. */
export function relation(saved: SavedRoute, present: SavedRoute): 'same' | 'part' | 'other' {
  const ways = new Map(saved.hops.map((hop) => [way(hop), hop.weight]));
  if (!present.hops.every((hop) => ways.has(way(hop)))) return 'other';
  const source = preferredSource(present);
  if (source !== undefined && source !== preferredSource(saved)) return 'other';
  const whole =
    present.hops.length === saved.hops.length &&
    present.hops.every((hop) => ways.get(way(hop)) === hop.weight) &&
    source === preferredSource(saved);
  if (whole) return 'same';
  return present.protocol === saved.protocol ? 'part' : 'other';
}

/** Where the record of another NIC has more of the same route, that is kept: whichever comes home last, it is whole. */
export function completed(route: SavedRoute, elsewhere: readonly SavedRoute[]): SavedRoute {
  const key = routeKey(route);
  return elsewhere.find((other) => routeKey(other) === key && relation(other, route) === 'part') ?? route;
}

export interface RouteStep {
  route: SavedRoute;
  /** `replace`: a part of it is there. */
  how: 'add' | 'replace';
}

/** What is to be written so that the saved routes are there, as far as their links are; nearest routes first. */
export function routeSteps(
  saved: readonly SavedRoute[],
  present: readonly SavedRoute[],
  isHere: (link: string) => boolean,
): RouteStep[] {
  const byKey = new Map<string, SavedRoute[]>();
  for (const route of present) {
    const key = routeKey(route);
    const others = byKey.get(key);
    if (others === undefined) byKey.set(key, [route]);
    else others.push(route);
  }
  const steps: RouteStep[] = [];
  for (const route of saved) {
    const hops = route.hops.filter((hop) => isHere(hop.link));
    if (hops.length === 0) continue;
    const wanted = { ...route, hops };
    const relations = (byKey.get(routeKey(route)) ?? []).map((other) => relation(wanted, other));
    if (relations.includes('same')) continue;
    steps.push({ route: wanted, how: relations.includes('part') ? 'replace' : 'add' });
  }
  return steps.sort((a, b) => distance(a.route) - distance(b.route));
}

/** 0 of routes straight to a link: others' gateways are found through them. */
function distance(route: SavedRoute): number {
  return route.hops.some((hop) => hop.attributes.length > 0) ? 1 : 0;
}

/** The route as the kernel is told it. */
export function routeOn(
  route: SavedRoute,
  ifindexOf: (link: string) => number,
): Omit<WholeRoute, 'flags' | 'nhid'> {
  return { ...route, hops: route.hops.map(({ link, ...hop }) => ({ ...hop, ifindex: ifindexOf(link) })) };
}

const RTA_DST = 1;
const RTA_GATEWAY = 5;

/** The route as an operator would write it, in short. */
export function routeText(route: SavedRoute): string {
  const destination = route.attributes.find(([type]) => type === RTA_DST)?.[1];
  const to = destination === undefined ? 'default' : `${ipText(destination)}/${route.length}`;
  const hops = route.hops.map((hop) => {
    const gateway = hop.attributes.find(([type]) => type === RTA_GATEWAY)?.[1];
    return gateway === undefined ? `dev ${hop.link}` : `via ${ipText(gateway)} dev ${hop.link}`;
  });
  return `${to} ${hops.join(', ')}`;
}

function ipText(text: string): string {
  return formatIp(bytesOfHex(text));
}
