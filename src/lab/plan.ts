// The plan of a lab: what to make in the kernel and what to start, from the topology alone. `up` carries it out;
// a test can read it. The words are ip(8)'s, because a person looking for a fault will type the same ones.
//
// Ports get MAC addresses that follow from lab, node and port, so link-local addresses are the same in every run.
// A host with host addresses (/32, /128) is attached the pure layer-3 way: the router's port has 169.254.0.1 and
// fe80::1, the host has its addresses and a default route through them, the router a host route on the port.
// Duplicate address detection is off: nobody but the lab gives out addresses here, and it costs a second at start.

import { join } from 'node:path';
import { type DaemonPlan, daemonPlan, type LabPaths, type ProgramNeed, programsOf } from './kinds.ts';
import {
  homeNetns,
  type LabEnd,
  type LabLink,
  type LabNode,
  netnsOf,
  nodeNamed,
  type Topology,
} from './topology.ts';

export interface NodePlan {
  readonly node: LabNode;
  /** Where its programs run; of a node that is beside another one, that one's. */
  readonly netns: string;
  readonly directory: string;
  /** Relative to /proc/sys, in order. */
  readonly sysctls: readonly (readonly [key: string, value: string])[];
  readonly daemon: DaemonPlan;
}

export interface LabPlan {
  readonly topology: Topology;
  readonly directory: string;
  readonly paths: LabPaths;
  readonly nodes: readonly NodePlan[];
  readonly needs: readonly ProgramNeed[];
}

/** The plan of a lab whose state is kept in `directory`. */
export function planLab(topology: Topology, directory: string, paths: LabPaths): LabPlan {
  const nodes = topology.nodes.map((node) => planNode(topology.name, node, directory, paths));
  const needs = new Map<string, ProgramNeed>();
  const always = { program: 'ip', debianPackage: 'iproute2' };
  for (const need of [always, ...topology.nodes.flatMap((node) => programsOf(node.kind))])
    needs.set(need.program, need);
  return { topology, directory, paths, nodes, needs: [...needs.values()] };
}

function planNode(lab: string, node: LabNode, labDirectory: string, paths: LabPaths): NodePlan {
  const directory = join(labDirectory, node.name);
  return {
    node,
    netns: homeNetns(lab, node),
    directory,
    sysctls: node.in === undefined ? sysctlsOf(node) : [],
    daemon: daemonPlan(node, directory, paths),
  };
}

function sysctlsOf(node: LabNode): [key: string, value: string][] {
  const forwarding = node.forwarding ? '1' : '0';
  const settings: [string, string][] = [
    ['net/ipv4/ip_forward', forwarding],
    ['net/ipv6/conf/all/forwarding', forwarding],
    ['net/ipv6/conf/default/forwarding', forwarding],
    ['net/ipv4/fib_multipath_hash_policy', '1'],
    ['net/ipv6/fib_multipath_hash_policy', '1'],
  ];
  for (const scope of ['all', 'default']) {
    settings.push([`net/ipv4/conf/${scope}/rp_filter`, '0']);
    settings.push([`net/ipv6/conf/${scope}/accept_ra`, '0']);
    settings.push([`net/ipv6/conf/${scope}/accept_dad`, node.guest?.mode === 'learn' ? '1' : '0']);
  }
  return settings;
}

/** Those of the namespace that holds guests' network cards: nothing in it speaks. */
export const nicsSysctls: readonly (readonly [key: string, value: string])[] = [
  ['net/ipv6/conf/all/disable_ipv6', '1'],
  ['net/ipv6/conf/default/disable_ipv6', '1'],
];

/** Far from the indexes the kernel gives out by itself. */
export const FIRST_INDEX = 1000;

/**
 * ip(8) commands, by namespace, that make the cables; each runs in the namespace of the cable's first end. `made` is
 * the number of cables this lab has had before. The two ports of a cable get different interface indexes: the kernel
 * takes a veth port whose peer has the same one for a device that can wait, and tells of its carrier up to a second
 * late (net/core/link_watch.c), which no real port does.
 */
export function cableCommands(lab: string, links: readonly LabLink[], made = 0): Map<string, string[]> {
  const commands = new Map<string, string[]>();
  links.forEach(({ a, b }, position) => {
    const index = FIRST_INDEX + 2 * (made + position);
    const near = `name ${a.port} index ${index} address ${macOf(lab, a)}`;
    const far = `name ${b.port} index ${index + 1} address ${macOf(lab, b)} netns ${netnsOf(lab, b.node)}`;
    add(commands, netnsOf(lab, a.node), `link add ${near} type veth peer ${far}`);
  });
  return commands;
}

/** ip(8) commands, by namespace, for loopbacks and the node's own addresses. */
export function loopbackCommands(topology: Topology): Map<string, string[]> {
  const commands = new Map<string, string[]>();
  for (const node of topology.nodes) {
    if (node.in !== undefined) continue;
    const netns = netnsOf(topology.name, node.name);
    add(commands, netns, 'link set lo up');
    if (node.kind !== 'host')
      for (const address of node.addresses) add(commands, netns, `addr replace ${address} dev lo`);
  }
  return commands;
}

/**
 * ip(8) commands, by namespace, that bring both ends of cables up and give them what the file says: of all `links`,
 * or of those in `only`. They may be run again: a port that was down has lost its IPv6 addresses and its routes.
 * `placeOf`: the namespace a port is in, where that need not be its node's.
 */
export function portCommands(
  topology: Topology,
  links: readonly LabLink[],
  only: readonly LabLink[] = links,
  placeOf: (end: LabEnd) => string = (end) => netnsOf(topology.name, end.node),
): Map<string, string[]> {
  const commands = new Map<string, string[]>();
  for (const { a, b } of only) {
    for (const [near, far] of [
      [a, b],
      [b, a],
    ]) {
      for (const command of endCommands(topology, links, near, far)) add(commands, placeOf(near), command);
    }
  }
  return commands;
}

function endCommands(topology: Topology, links: readonly LabLink[], near: LabEnd, far: LabEnd): string[] {
  const node = nodeNamed(topology, near.node);
  const other = nodeNamed(topology, far.node);
  if (node === undefined || other === undefined) return [];
  const commands = [];
  const guest = routedAddresses(other, links, far);
  if (node.kind !== 'host' && guest.length > 0) commands.push(...gatewayCommands(near.port, guest));
  else commands.push(`link set dev ${near.port} up`);
  for (const address of node.ports[near.port] ?? [])
    commands.push(`addr replace ${address} dev ${near.port} ${nodad(address)}`);
  if (node.kind === 'host' && isFirstPort(node.name, near, links))
    commands.push(...hostCommands(node, other, near.port));
  return commands.map((command) => command.trimEnd());
}

/** The addresses by which a host is attached the layer-3 way, at the end that has them. */
function routedAddresses(node: LabNode, links: readonly LabLink[], end: LabEnd): string[] {
  if (node.kind !== 'host' || !isFirstPort(node.name, end, links)) return [];
  return node.addresses.filter(isHostAddress);
}

function isFirstPort(node: string, end: LabEnd, links: readonly LabLink[]): boolean {
  const first = links.flatMap((link) => [link.a, link.b]).find((one) => one.node === node);
  return first === undefined || first.port === end.port;
}

function gatewayCommands(port: string, guest: readonly string[]): string[] {
  return [
    `link set dev ${port} addrgenmode none`,
    `link set dev ${port} up`,
    `addr replace 169.254.0.1/32 dev ${port} scope link`,
    `addr replace fe80::1/64 dev ${port} nodad`,
    ...guest.map((address) => `route replace ${address} dev ${port} proto static`),
  ];
}

function hostCommands(host: LabNode, router: LabNode, port: string): string[] {
  if (router.kind !== 'host') return routedHostCommands(host.addresses, port, false);
  return host.addresses.map((address) => `addr replace ${address} dev ${port} ${nodad(address)}`);
}

/** Addresses of a host and its defaults through 169.254.0.1 and fe80::1; `dad`: duplicates are looked for. */
export function routedHostCommands(addresses: readonly string[], port: string, dad: boolean): string[] {
  const commands = addresses.map((address) =>
    `addr replace ${address} dev ${port} ${dad ? '' : nodad(address)}`.trimEnd(),
  );
  const routed = addresses.filter(isHostAddress);
  if (routed.some((address) => !isIp6(address))) {
    commands.push(`route replace default via 169.254.0.1 dev ${port} onlink`);
  }
  if (routed.some(isIp6)) commands.push(`route replace ::/0 via fe80::1 dev ${port}`);
  return commands;
}

function isHostAddress(address: string): boolean {
  return address.endsWith(isIp6(address) ? '/128' : '/32');
}

function isIp6(address: string): boolean {
  return address.includes(':');
}

function nodad(address: string): string {
  return isIp6(address) ? 'nodad' : '';
}

function add(commands: Map<string, string[]>, netns: string, command: string): void {
  const list = commands.get(netns);
  if (list === undefined) commands.set(netns, [command]);
  else list.push(command);
}

/** A locally administered MAC address that follows from the port's full name (FNV-1a, folded to 40 bits). */
export function macOf(lab: string, end: LabEnd): string {
  let high = 0x811c9dc5;
  let low = 0x01000193;
  for (const byte of Buffer.from(`${lab}/${end.node}/${end.port}`)) {
    high = Math.imul(high ^ byte, 0x01000193) >>> 0;
    low = Math.imul(low ^ high, 0x85ebca6b) >>> 0;
  }
  const bytes = [0x02, low & 0xff, high >>> 24, (high >>> 16) & 0xff, (high >>> 8) & 0xff, high & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
