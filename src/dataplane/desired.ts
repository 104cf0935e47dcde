// What leafd wants of the kernel beside routes: loopback addresses and sysctls, each as a keyed object, in
// the order in which they are to be applied. Pure: a function of the intent and of the links that are there,
// called again whenever either changes; objects of links that left vanish from the list, and come back with
// the link.
//
// Profile `fabric` forwards; profile `host` leaves forwarding as it is, because a host is never transit.

import { formatPrefix } from '../net/prefix.ts';

const LOOPBACK = 'lo';
/** One link's name in a sysctl key has its dots as slashes, as sysctl(8) writes it. */
const AF_INET = 2;
const AF_INET6 = 10;

export interface KernelIntent {
  profile: 'fabric' | 'host';
  /** Host prefixes for `lo` (masked bytes of 4 or 16, prefix length). */
  loopbacks: readonly { bytes: Uint8Array; length: number }[];
  /** Names of the links that carry BGP sessions, present or not. */
  fabricPorts: readonly string[];
  /** Names of links that carry routed packets beside those, present or not. */
  routedPorts?: readonly string[];
  /** Links whose default route comes from a router advertisement: forwarding must not take it away. */
  raUplinks: readonly string[];
  /** net.ipv4.nexthop_compat_mode; auto: 0 where no other routing daemon reads the kernel's routes. */
  nexthopCompat: 'auto' | 0 | 1;
  otherRoutingDaemon: boolean;
}

export interface DesiredLink {
  kind: 'link';
  key: string;
  name: string;
}

export interface DesiredAddress {
  kind: 'address';
  key: string;
  link: string;
  family: number;
  bytes: Uint8Array;
  length: number;
}

export interface DesiredSysctl {
  kind: 'sysctl';
  /** As sysctl(8) shows it. */
  key: string;
  /** Below /proc/sys. */
  path: string;
  value: string;
  /** Other values that serve as well and are left as they are. */
  accepts?: readonly string[];
  /** The link it belongs to: absent with the link. */
  link?: string;
}

export type DesiredObject = DesiredLink | DesiredAddress | DesiredSysctl;

/** Everything wanted, in order. `links`: names of the links that are there. */
export function desiredObjects(intent: KernelIntent, links: ReadonlySet<string>): DesiredObject[] {
  const objects: DesiredObject[] = [];
  // Before forwarding is switched on, because the kernel then drops what such a link has learned.
  if (intent.profile === 'fabric')
    for (const link of intent.raUplinks)
      if (links.has(link) && !intent.fabricPorts.includes(link))
        objects.push(sysctl('net.ipv6.conf.IF.accept_ra', '2', link));
  objects.push(...globalSysctls(intent));
  for (const port of intent.fabricPorts) if (links.has(port)) objects.push(...portSysctls(port));
  for (const port of intent.routedPorts ?? [])
    if (links.has(port) && !intent.fabricPorts.includes(port)) objects.push(...routedSysctls(port));
  if (intent.loopbacks.length > 0) objects.push({ kind: 'link', key: `link ${LOOPBACK} up`, name: LOOPBACK });
  const seen = new Set<string>();
  for (const { bytes, length } of intent.loopbacks) {
    const text = formatPrefix(bytes, 0, bytes.length === 4 ? 4 : 16, length);
    if (seen.has(text)) continue;
    seen.add(text);
    const family = bytes.length === 4 ? AF_INET : AF_INET6;
    objects.push({
      kind: 'address',
      key: `address ${LOOPBACK} ${text}`,
      link: LOOPBACK,
      family,
      bytes,
      length,
    });
  }
  return objects;
}

function globalSysctls(intent: KernelIntent): DesiredSysctl[] {
  const compat = intent.nexthopCompat === 'auto' ? (intent.otherRoutingDaemon ? 1 : 0) : intent.nexthopCompat;
  const list: DesiredSysctl[] = [];
  if (intent.profile === 'fabric') {
    // First, because the kernel resets other values of all links when forwarding changes.
    list.push(sysctl('net.ipv4.ip_forward', '1'), sysctl('net.ipv6.conf.all.forwarding', '1'));
  }
  list.push(
    sysctl('net.ipv4.fib_multipath_hash_policy', '1'),
    sysctl('net.ipv6.fib_multipath_hash_policy', '1'),
    sysctl('net.ipv4.nexthop_compat_mode', String(compat)),
    sysctl('net.ipv4.conf.all.ignore_routes_with_linkdown', '1'),
    sysctl('net.ipv6.conf.all.ignore_routes_with_linkdown', '1'),
  );
  // The kernel takes the stricter of `all` and the link's own.
  const carries = intent.fabricPorts.length + (intent.routedPorts?.length ?? 0);
  if (carries > 0) list.push(sysctl('net.ipv4.conf.all.rp_filter', '0'));
  return list;
}

function portSysctls(port: string): DesiredSysctl[] {
  return [
    // Before IPv6 is switched on: the link-local address is made by this rule. 1 makes none.
    sysctl('net.ipv6.conf.IF.addr_gen_mode', '0', port, ['2', '3']),
    sysctl('net.ipv6.conf.IF.accept_ra', '0', port),
    // A port has two ends: looking for duplicates would keep the link-local address unusable for a second.
    sysctl('net.ipv6.conf.IF.dad_transmits', '0', port),
    sysctl('net.ipv6.conf.IF.disable_ipv6', '0', port),
    ...pathSysctls(port),
  ];
}

/** A router believes no other one's advertisements, and answers do not have to leave where the question came in. */
function routedSysctls(port: string): DesiredSysctl[] {
  return [
    sysctl('net.ipv6.conf.IF.accept_ra', '0', port),
    sysctl('net.ipv6.conf.IF.disable_ipv6', '0', port),
    ...pathSysctls(port),
  ];
}

function pathSysctls(port: string): DesiredSysctl[] {
  return [
    sysctl('net.ipv6.conf.IF.ignore_routes_with_linkdown', '1', port),
    sysctl('net.ipv4.conf.IF.ignore_routes_with_linkdown', '1', port),
    sysctl('net.ipv4.conf.IF.rp_filter', '0', port),
  ];
}

/** A wanted sysctl; `IF` in its name stands for the link. */
export function sysctl(
  name: string,
  value: string,
  link?: string,
  accepts?: readonly string[],
): DesiredSysctl {
  const path = name.replaceAll('.', '/').replace('/IF/', `/${link}/`);
  const key = name.replace('.IF.', `.${(link ?? '').replaceAll('.', '/')}.`);
  return {
    kind: 'sysctl',
    key,
    path,
    value,
    ...(accepts && { accepts }),
    ...(link !== undefined && { link }),
  };
}
