// The parts of `bgp:` beside its peers that need more than a look at one value: graceful restart, confederation,
// static routes and aggregates.

import {
  formatIp,
  isIp4Mapped,
  isLinkLocal6,
  isLoopback6,
  isMulticast6,
  isUnspecified,
  parseIp,
} from '../net/ip.ts';
import { type Prefix, parsePrefix, prefixContains, prefixText } from '../net/prefix.ts';
import { parseDuration } from './duration.ts';
import type {
  AggregateIntent,
  ConfederationIntent,
  GracefulRestartIntent,
  StaticRouteIntent,
} from './intent.ts';
import { complain, type Findings } from './merged.ts';
import { chainOf } from './peer-options.ts';
import { asnOf, parseAsnRange } from './scalars.ts';
import type { BgpConfig } from './schema-bgp.ts';
import type { Path } from './tree.ts';

/** Defaults: on, 120 s and 360 s, with notification support, without long-lived restart. */
export function resolveGracefulRestart(config: BgpConfig, findings: Findings): GracefulRestartIntent {
  const value = config.gracefulRestart ?? true;
  const given = typeof value === 'boolean' ? {} : value;
  const restartTimeMs = parseDuration(given.restartTime ?? '120s')!;
  const stalePathTimeMs = parseDuration(given.stalePathTime ?? '360s')!;
  const path = ['bgp', 'gracefulRestart'];
  if (restartTimeMs % 1000 !== 0 || restartTimeMs < 1000 || restartTimeMs > 4_095_000)
    complain(
      findings,
      [...path, 'restartTime'],
      'must be whole seconds from 1s to 4095s',
      'it has 12 bits on the wire (RFC 4724)',
    );
  else if (stalePathTimeMs < restartTimeMs)
    complain(
      findings,
      [...path, given.stalePathTime === undefined ? 'restartTime' : 'stalePathTime'],
      `stalePathTime, ${stalePathTimeMs / 1000}s, is shorter than restartTime`,
    );
  const restart: GracefulRestartIntent = {
    enabled: value !== false && given.enabled !== false,
    restartTimeMs,
    stalePathTimeMs,
    notification: given.notification ?? true,
  };
  if (given.longLivedStaleTime === undefined) return restart;
  const staleMs = parseDuration(given.longLivedStaleTime)!;
  if (staleMs % 1000 !== 0 || staleMs < 1000 || staleMs > 0xffffff * 1000)
    complain(
      findings,
      [...path, 'longLivedStaleTime'],
      'must be whole seconds from 1s to 16777215s',
      'it has 24 bits on the wire (RFC 9494)',
    );
  return { ...restart, longLivedStaleTimeMs: staleMs };
}

/** The confederation (RFC 5065), in which `bgp.asn` is a member. */
export function resolveConfederation(
  config: BgpConfig,
  asn: number,
  findings: Findings,
): ConfederationIntent | undefined {
  if (config.confederation === undefined) return undefined;
  const path = ['bgp', 'confederation'];
  const id = asnOf(config.confederation.id);
  const members = config.confederation.members.map((item): [number, number] => {
    const range = typeof item === 'string' ? parseAsnRange(item) : undefined;
    return range ?? [asnOf(item), asnOf(item)];
  });
  const has = (wanted: number) => members.some(([low, high]) => low <= wanted && wanted <= high);
  if (!has(asn))
    complain(findings, [...path, 'members'], `must contain bgp.asn, ${asn}`, 'it is the AS of this member');
  if (has(id))
    complain(
      findings,
      [...path, 'id'],
      'is among the members',
      'the confederation has an AS number of its own (RFC 5065)',
    );
  return { id, members };
}

/** Static routes, each prefix once. */
export function resolveRoutes(
  config: BgpConfig,
  loopbacks: readonly Prefix[],
  findings: Findings,
): StaticRouteIntent[] {
  const seen = new Set(loopbacks.map(prefixText));
  return (config.routes ?? []).flatMap((route, index) => {
    const path = ['bgp', 'routes', index];
    const prefix = parsePrefix(route.prefix)!;
    const text = prefixText(prefix);
    if (seen.has(text))
      complain(findings, [...path, 'prefix'], 'is the prefix of a route above or of a loopback');
    seen.add(text);
    const to = resolveTarget(route, prefix, loopbacks, path, findings);
    if (to === undefined) return [];
    const resolved: StaticRouteIntent = { prefix, to };
    if (route.policy !== undefined) resolved.policy = chainOf(route.policy);
    if (route.tag !== undefined) resolved.tag = route.tag;
    return [resolved];
  });
}

type RouteConfig = NonNullable<BgpConfig['routes']>[number];

function resolveTarget(
  route: RouteConfig,
  prefix: Prefix,
  loopbacks: readonly Prefix[],
  path: Path,
  findings: Findings,
): StaticRouteIntent['to'] | undefined {
  if ((route.via === undefined) === (route.blackhole === undefined)) {
    const reason = route.via === undefined ? 'has neither via nor blackhole' : 'via is given as well';
    complain(findings, route.via === undefined ? path : [...path, 'blackhole'], reason);
    return undefined;
  }
  if (route.via === undefined) {
    if (route.interface === undefined) return { kind: 'blackhole' };
    findings.problems.push({
      path: [...path, 'interface'],
      at: 'key',
      reason: 'has no use with blackhole: packets go nowhere',
    });
    return undefined;
  }
  const address = parseIp(route.via)!;
  const reason = whyNoGateway(address, prefix, loopbacks, route.interface !== undefined);
  if (reason !== undefined) complain(findings, [...path, 'via'], reason);
  return route.interface === undefined
    ? { kind: 'gateway', address }
    : { kind: 'gateway', address, interface: route.interface };
}

/** Why packets to the prefix could never leave through the gateway, or undefined. */
function whyNoGateway(
  address: Uint8Array,
  prefix: Prefix,
  loopbacks: readonly Prefix[],
  hasInterface: boolean,
): string | undefined {
  const six = address.length === 16;
  if (isUnspecified(address) || (six ? isMulticast6(address) || isIp4Mapped(address) : address[0]! >= 224))
    return 'is not an address that a gateway can have';
  if (six ? isLoopback6(address) : address[0] === 127) return 'is this machine';
  const host: Prefix = { bytes: address, length: address.length * 8 };
  if (loopbacks.some((own) => prefixText(own) === prefixText(host)))
    return "is one of this machine's own loopbacks";
  if (!six && prefix.bytes.length === 16) return 'is an IPv4 address; the prefix is IPv6';
  if (six && isLinkLocal6(address) && !hasInterface)
    return `is link-local and needs its interface, as in {via: ${formatIp(address)}, interface: eth0}`;
  // With an interface the gateway is on the link, whatever the prefix; without one it is looked up and found here.
  if (
    !hasInterface &&
    six === (prefix.bytes.length === 16) &&
    prefix.length > 0 &&
    prefixContains(prefix, host)
  )
    return 'lies within the prefix that it leads to: it could only be reached through itself';
  return undefined;
}

/** Aggregates: each prefix once, and none that could have nothing within it. */
export function resolveAggregates(
  config: BgpConfig,
  networks: readonly Prefix[],
  findings: Findings,
): AggregateIntent[] {
  const announced = new Set(networks.map(prefixText));
  const seen = new Set<string>();
  return (config.aggregates ?? []).map((aggregate, index) => {
    const path = ['bgp', 'aggregates', index, 'prefix'];
    const prefix = parsePrefix(aggregate.prefix)!;
    const text = prefixText(prefix);
    if (prefix.length === prefix.bytes.length * 8)
      complain(findings, path, 'is a host prefix: nothing more specific is within it');
    else if (seen.has(text)) complain(findings, path, 'is in the list already');
    else if (announced.has(text)) complain(findings, path, 'is announced by bgp.networks already');
    seen.add(text);
    const resolved: AggregateIntent = { prefix, summaryOnly: aggregate.summaryOnly ?? false };
    if (aggregate.policy !== undefined) resolved.policy = chainOf(aggregate.policy);
    return resolved;
  });
}
