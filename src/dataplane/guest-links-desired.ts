// What leafd wants of the links of guests, each as a keyed object in the order in which it is applied, and how that
// differs from what is there. Pure.
//
// A gateway link is a bridge of guests or a routed tap. It has the gateway's MAC, the same on all hypervisors, and its
// two addresses: 169.254.0.1/32 of scope link, so that it is never the source of a packet to elsewhere, and fe80::1/64
// without duplicate address detection, or a guest that claims it would disable the gateway. The link has no other
// link-local address: guests would learn it and lose it when they move.
//
// A port of such a bridge speaks no IPv6 of its own (its link-local address and MLD would reach the guest), and is
// isolated where asked for. Sysctls: the kernel takes the stricter of two rp_filter and either of two send_redirects,
// so those of `all` are set too; with rp_filter it would not even answer a guest's ARP for the gateway before there is
// a route back. arp_ignore 1 answers for the gateway alone, not for other addresses of this machine.

import { matchesPattern } from '../intent/pattern.ts';
import { formatPrefix } from '../net/prefix.ts';
import { IFA_F_NODAD, type LinkAddress } from '../netlink/address.ts';
import type { Link } from '../netlink/link.ts';
import { RTPROT_LEAFD } from '../netlink/message.ts';
import { type DesiredSysctl, sysctl } from './desired.ts';
import type { GuestBridgeWish, GuestPlaneIntent } from './guest-wish.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const RT_SCOPE_LINK = 253;
/** IFA_PROTO of link-local addresses that the kernel made. */
const IFAPROT_KERNEL_LL = 3;
/** The same of those made from a router advertisement. */
export const IFAPROT_KERNEL_RA = 2;

/** The part that a link has in serving guests. */
export type GuestRole =
  | { kind: 'bridge'; wish: GuestBridgeWish }
  | { kind: 'tap' }
  | { kind: 'port'; bridge: GuestBridgeWish }
  | undefined;

export type GuestObject =
  | { kind: 'bridge'; key: string; name: string; mac: Uint8Array }
  | { kind: 'notABridge'; key: string; name: string }
  | { kind: 'mac'; key: string; link: Link; mac: Uint8Array }
  | { kind: 'up'; key: string; link: Link }
  | { kind: 'address'; key: string; link: Link; address: LinkAddress }
  | { kind: 'noAutomaticAddress'; key: string; link: Link; except: Uint8Array }
  | { kind: 'port'; key: string; link: Link }
  | DesiredSysctl;

export type GuestChange =
  | { kind: 'bridgeAdd'; key: string; name: string; mac: Uint8Array }
  | { kind: 'refused'; key: string; errno: string; text: string }
  | { kind: 'macSet'; key: string; link: Link; mac: Uint8Array }
  | { kind: 'linkUp'; key: string; link: Link }
  | { kind: 'addressAdd'; key: string; link: Link; address: LinkAddress }
  | { kind: 'addressRemove'; key: string; address: LinkAddress }
  | { kind: 'isolate'; key: string; link: Link }
  /** `before`: its value, undefined where there is no such key. */
  | { kind: 'sysctlSet'; key: string; object: DesiredSysctl; before: string | undefined };

export function roleOf(intent: GuestPlaneIntent, link: Link, links: ReadonlyMap<number, Link>): GuestRole {
  const bridge = (name: string): GuestBridgeWish | undefined =>
    intent.bridges.find((wish) => wish.name === name);
  const own = bridge(link.name);
  if (own) return { kind: 'bridge', wish: own };
  if (link.master !== 0) {
    const master = links.get(link.master);
    const wish = master?.kind === 'bridge' ? bridge(master.name) : undefined;
    return wish && { kind: 'port', bridge: wish };
  }
  return intent.taps.some((pattern) => matchesPattern(pattern, link.name)) ? { kind: 'tap' } : undefined;
}

/** What is wanted whatever links there are: bridges to be made, and the settings of all links. */
export function globalObjects(intent: GuestPlaneIntent, links: ReadonlyMap<number, Link>): GuestObject[] {
  const objects: GuestObject[] = [
    // First, because the kernel resets other values of all links when forwarding changes.
    sysctl('net.ipv4.ip_forward', '1'),
    sysctl('net.ipv6.conf.all.forwarding', '1'),
    sysctl('net.ipv4.conf.all.rp_filter', '0'),
    sysctl('net.ipv4.conf.all.send_redirects', '0'),
  ];
  const names = new Set<string>();
  for (const link of links.values()) names.add(link.name);
  for (const { name, create } of intent.bridges) {
    if (create && !names.has(name))
      objects.push({ kind: 'bridge', key: `link ${name}`, name, mac: intent.gatewayMac });
  }
  return objects;
}

/** What is wanted of one link; nothing of those that have no part. */
export function linkObjects(intent: GuestPlaneIntent, link: Link, role: GuestRole): GuestObject[] {
  if (role === undefined) return [];
  const { name } = link;
  if (role.kind === 'bridge' && link.kind !== 'bridge')
    return [{ kind: 'notABridge', key: `link ${name}`, name }];
  if (role.kind === 'port') {
    const objects: GuestObject[] = [
      linkSysctl('ipv6', name, 'addr_gen_mode', '1'),
      linkSysctl('ipv6', name, 'disable_ipv6', '1'),
    ];
    if (role.bridge.isolate) objects.push({ kind: 'port', key: `port ${name} isolated`, link });
    return objects;
  }
  const { gatewayMac, gateway4, gateway6 } = intent;
  return [
    ...gatewaySysctls(name),
    { kind: 'up', key: `link ${name} up`, link },
    gatewayAddress(link, gateway4),
    gatewayAddress(link, gateway6),
    { kind: 'noAutomaticAddress', key: `address ${name} automatic`, link, except: gateway6 },
    // Last, because the kernel then announces the addresses that are there.
    { kind: 'mac', key: `mac ${name}`, link, mac: gatewayMac },
  ];
}

/** Keys and values below net.ipvX.conf.LINK. */
const gatewaySettings: readonly (readonly ['ipv4' | 'ipv6', string, string])[] = [
  // Before IPv6 is switched on: 1 makes no link-local address.
  ['ipv6', 'addr_gen_mode', '1'],
  ['ipv6', 'accept_ra', '0'],
  ['ipv6', 'accept_redirects', '0'],
  ['ipv6', 'proxy_ndp', '0'],
  ['ipv6', 'disable_ipv6', '0'],
  ['ipv6', 'forwarding', '1'],
  // A gateway whose MAC changes tells so: guests that were there before learn the new one at once.
  ['ipv6', 'ndisc_notify', '1'],
  ['ipv4', 'arp_notify', '1'],
  ['ipv4', 'forwarding', '1'],
  ['ipv4', 'rp_filter', '0'],
  ['ipv4', 'send_redirects', '0'],
  ['ipv4', 'accept_redirects', '0'],
  ['ipv4', 'proxy_arp', '0'],
  ['ipv4', 'proxy_arp_pvlan', '0'],
  ['ipv4', 'arp_filter', '0'],
  ['ipv4', 'arp_accept', '0'],
  ['ipv4', 'arp_ignore', '1'],
  // Asks for a guest from the gateway's address, not from whichever the packet has.
  ['ipv4', 'arp_announce', '2'],
];

function gatewaySysctls(link: string): DesiredSysctl[] {
  return gatewaySettings.map(([family, key, value]) => linkSysctl(family, link, key, value));
}

/** As `sysctl` makes them, for thousands of links. */
function linkSysctl(family: 'ipv4' | 'ipv6', link: string, key: string, value: string): DesiredSysctl {
  const inKey = link.includes('.') ? link.replaceAll('.', '/') : link;
  return {
    kind: 'sysctl',
    key: `net.${family}.conf.${inKey}.${key}`,
    path: `net/${family}/conf/${link}/${key}`,
    value,
    link,
  };
}

function gatewayAddress(link: Link, bytes: Uint8Array): GuestObject {
  const four = bytes.length === 4;
  // The prefix of link-local addresses is a route that guests' own ones need; any other is no network of the link.
  const prefixLength = four ? 32 : isLinkLocal(bytes) ? 64 : 128;
  const address: LinkAddress = {
    ifindex: link.ifindex,
    family: four ? AF_INET : AF_INET6,
    bytes,
    prefixLength,
    scope: four ? RT_SCOPE_LINK : 0,
    flags: four ? 0 : IFA_F_NODAD,
    tentative: false,
    protocol: RTPROT_LEAFD,
  };
  return { kind: 'address', key: addressKey(link.name, address), link, address };
}

/** As the status shows it. */
export function addressKey(link: string, { bytes, prefixLength }: LinkAddress): string {
  return `address ${link} ${formatPrefix(bytes, 0, bytes.length === 4 ? 4 : 16, prefixLength)}`;
}

/**
 * A link that takes router advertisements (accept_ra 1) would stop when forwarding is switched on for the guests, and
 * this machine lose its way out: 2 takes them all the same. What the operator or another part of leafd has set to 0
 * stays so. Links of other guests and containers are left alone unless they got an address in this way.
 */
export function uplinkObjects(
  link: Link,
  acceptRa: () => string | undefined,
  addresses: readonly LinkAddress[],
): DesiredSysctl[] {
  const virtual = link.kind === 'veth' || link.kind === 'tun' || link.name === 'lo';
  if (virtual && !addresses.some(({ protocol }) => protocol === IFAPROT_KERNEL_RA)) return [];
  const value = acceptRa();
  if (value !== '1' && value !== '2') return [];
  return [sysctl('net.ipv6.conf.IF.accept_ra', '2', link.name)];
}

/** What closes the gap, in the order of the objects. `addresses` are those of a link, `sysctls` by path. */
export function guestChanges(
  objects: readonly GuestObject[],
  addresses: (ifindex: number) => readonly LinkAddress[],
  sysctls: (path: string) => string | undefined,
): GuestChange[] {
  const changes: GuestChange[] = [];
  for (const object of objects) {
    const { key } = object;
    if (object.kind === 'sysctl') {
      const before = sysctls(object.path);
      if (before !== object.value) changes.push({ kind: 'sysctlSet', key, object, before });
    } else if (object.kind === 'bridge')
      changes.push({ kind: 'bridgeAdd', key, name: object.name, mac: object.mac });
    else if (object.kind === 'notABridge') changes.push({ ...NOT_A_BRIDGE, key });
    else if (object.kind === 'noAutomaticAddress') {
      for (const address of addresses(object.link.ifindex))
        if (isAutomatic(address) && !same(address.bytes, object.except))
          changes.push({ kind: 'addressRemove', key, address });
    } else if (object.kind === 'address') {
      const { bytes, prefixLength } = object.address;
      const present = addresses(object.link.ifindex).some(
        (address) => address.prefixLength === prefixLength && same(address.bytes, bytes),
      );
      if (!present) changes.push({ kind: 'addressAdd', key, link: object.link, address: object.address });
    } else if (object.kind === 'mac') {
      if (!same(object.link.mac, object.mac))
        changes.push({ kind: 'macSet', key, link: object.link, mac: object.mac });
    } else if (object.kind === 'up') {
      if (!object.link.up) changes.push({ kind: 'linkUp', key, link: object.link });
    } else if (object.link.isolated === false) changes.push({ kind: 'isolate', key, link: object.link });
  }
  return changes;
}

const NOT_A_BRIDGE = {
  kind: 'refused',
  errno: 'ENOTSUP',
  text: 'the link of this name is not a bridge of the kernel',
} as const;

/** A link-local address that the kernel made; before Linux 5.18 it says so only by the form made of the MAC. */
function isAutomatic({ bytes, protocol }: LinkAddress): boolean {
  if (!isLinkLocal(bytes)) return false;
  return protocol === IFAPROT_KERNEL_LL || (protocol === 0 && bytes[11] === 0xff && bytes[12] === 0xfe);
}

function isLinkLocal(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
