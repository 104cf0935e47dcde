// What leafd wants of the kernel, what the kernel has, and what there is of others, side by side.

import type { FibCounts, RouteView as FibRoute } from '../dataplane/fib-view.ts';
import { formatIp } from '../net/ip.ts';
import { formatPrefix } from '../net/prefix.ts';
import type { KernelRoute } from '../netlink/route.ts';
import type { KernelRouteView, RouteView } from './views.ts';

const protocolNames: Readonly<Record<number, string>> = {
  1: 'redirect',
  2: 'kernel',
  3: 'boot',
  4: 'static',
  9: 'ra',
  11: 'zebra',
  12: 'bird',
  16: 'dhcp',
  18: 'keepalived',
  42: 'babel',
  179: 'leafd',
  186: 'bgp',
  187: 'isis',
  188: 'ospf',
  189: 'rip',
  192: 'eigrp',
};

/** One of our routes, as wanted and as found. */
export function fibRouteView(route: FibRoute, interfaceName: (ifindex: number) => string): KernelRouteView {
  const state = stateOf(route);
  const members = route.members ?? [];
  return {
    prefix: formatPrefix(route.bytes, 0, route.bytes.length, route.length),
    state,
    ...(members.some((member) => member.discard === true) && { blackhole: true }),
    nextHops: members
      .filter((member) => member.discard !== true)
      .map((member) => ({
        ...(member.gateway && { gateway: formatIp(member.gateway) }),
        interface: interfaceName(member.ifindex),
        weight: member.weight ?? 1,
      })),
    protocol: 'leafd',
    ...(route.errno !== undefined && { error: `${route.errno}${route.text ? `: ${route.text}` : ''}` }),
  };
}

/** A route that others made. */
export function foreignRouteView(
  route: KernelRoute,
  interfaceName: (ifindex: number) => string,
): KernelRouteView {
  return {
    prefix: formatPrefix(route.bytes, 0, route.bytes.length, route.length),
    state: 'foreign',
    nextHops: route.hops.map((hop) => ({
      ...(hop.gateway && { gateway: formatIp(hop.gateway) }),
      interface: interfaceName(hop.ifindex),
      weight: hop.weight,
    })),
    table: route.table,
    metric: route.metric,
    protocol: protocolNames[route.protocol] ?? String(route.protocol),
  };
}

/** How a route stands, in the words of the API. */
export function stateOf(route: FibRoute): KernelRouteView['state'] & RouteView['kernel'] {
  switch (route.state) {
    case 'done':
      return 'installed';
    case 'error':
    case 'conflict':
      return 'failed';
    default:
      return 'pending';
  }
}

/** Sums over both families. */
export function fibSums(counts: FibCounts): {
  intended: number;
  installed: number;
  pending: number;
  failed: number;
  leftover: number;
} {
  const { ipv4, ipv6 } = counts;
  return {
    intended: ipv4.desired + ipv6.desired,
    installed: ipv4.done + ipv6.done,
    pending: ipv4.pending + ipv6.pending + ipv4.waiting + ipv6.waiting,
    failed: ipv4.failed + ipv6.failed + ipv4.conflicts + ipv6.conflicts,
    leftover: ipv4.found + ipv6.found,
  };
}
