// The state of a lab as views: plain objects for programs and for the columns people see.

import { existsSync } from 'node:fs';
import { netnsPath } from '../netlink/netns.ts';
import { isRunning } from './processes.ts';
import { askSessions, countEstablished, type NodeSession } from './sessions.ts';
import { type CutKind, type LabState, labDirectory, labNames, loadLabIfPresent } from './state.ts';
import {
  cableAt,
  expectedSessions,
  formatEnd,
  homeNetns,
  type LabLink,
  type LabNode,
  type NodeKind,
  nodeNamed,
  parseEnd,
  speaksBgp,
  type Topology,
  tapOf,
} from './topology.ts';

export interface LabNodeView {
  name: string;
  kind: NodeKind;
  asn?: number;
  netns: string;
  /** The node whose namespace that is. */
  in?: string;
  /** The namespace its leafd makes for passthrough. */
  routerNetns?: string;
  /** The namespace is there and every daemon runs. */
  alive: boolean;
  pids: number[];
  sessions: { established: number; expected: number; peers: NodeSession[] };
  /** Why the daemon could not be asked. */
  problem?: string;
  /** Directory of the node's configuration, logs and sockets. */
  directory: string;
}

export interface LabLinkView {
  a: string;
  b: string;
  state: 'up' | CutKind;
  lossPercent?: number;
}

export interface LabGuestView {
  name: string;
  /** The hypervisor it runs on. */
  on: string;
  port: string;
  bridge: string;
  mac: string;
  addresses: readonly string[];
  mode: 'attach' | 'learn';
}

export interface LabView {
  name: string;
  file: string;
  /** ISO 8601. */
  createdAt: string;
  /** `broken`: half made, or a node is not alive. */
  state: 'up' | 'broken';
  sessions: { established: number; expected: number };
  nodes: LabNodeView[];
  links: LabLinkView[];
  guests: LabGuestView[];
}

export interface LabListEntry {
  name: string;
  file: string;
  createdAt: string;
  state: 'up' | 'broken';
  nodes: number;
}

/** Labs on this machine, by name; what is half made is told as broken. */
export function listLabs(): LabListEntry[] {
  return labNames().map((name) => {
    const state = loadLabIfPresent(name);
    if (state === undefined) return { name, file: '', createdAt: '', state: 'broken', nodes: 0 };
    const alive = state.phase === 'up' && state.topology.nodes.every((node) => isAlive(state, node));
    return {
      name,
      file: state.topology.file,
      createdAt: new Date(state.createdAtMs).toISOString(),
      state: alive ? 'up' : 'broken',
      nodes: state.topology.nodes.length,
    };
  });
}

/** A lab with its nodes asked for their sessions. */
export async function viewLab(state: LabState): Promise<LabView> {
  const nodes = await Promise.all(state.topology.nodes.map((node) => viewNode(state, node)));
  const total = { established: 0, expected: 0 };
  for (const { sessions } of nodes) {
    total.established += Math.min(sessions.established, sessions.expected);
    total.expected += sessions.expected;
  }
  return {
    name: state.topology.name,
    file: state.topology.file,
    createdAt: new Date(state.createdAtMs).toISOString(),
    state: state.phase === 'up' && nodes.every((node) => node.alive) ? 'up' : 'broken',
    sessions: total,
    nodes,
    links: viewLinks(state),
    guests: viewGuests(state),
  };
}

async function viewNode(state: LabState, node: LabNode): Promise<LabNodeView> {
  const netns = homeNetns(state.topology.name, node);
  const directory = `${labDirectory(state.topology.name)}/${node.name}`;
  const answer = await askSessions(node, netns, directory);
  const expected = expectedSessions(state.topology, state.links, node);
  const peers = answer.kind === 'known' ? [...answer.sessions] : [];
  return {
    name: node.name,
    kind: node.kind,
    ...(node.asn === undefined ? {} : { asn: node.asn }),
    netns,
    ...(node.in === undefined ? {} : { in: node.in }),
    ...(node.router === undefined ? {} : { routerNetns: node.router.netns }),
    alive: isAlive(state, node),
    pids: processesOf(state, node.name)
      .filter(isRunning)
      .map((one) => one.pid),
    sessions: { established: countEstablished(answer), expected, peers },
    ...(answer.kind === 'silent' ? { problem: answer.reason } : {}),
    directory,
  };
}

/** The cables as they are now. */
export function viewLinks(state: LabState): LabLinkView[] {
  return state.links.map(({ a, b }) => {
    const cut = state.cuts.find((one) => {
      const end = parseEnd(one.end);
      const cable = end === undefined ? undefined : cableAt(state.links, end);
      return cable?.link.a === a && cable.link.b === b;
    });
    const loss = cut?.lossPercent === undefined ? {} : { lossPercent: cut.lossPercent };
    return { a: formatEnd(a), b: formatEnd(b), state: cut?.kind ?? 'up', ...loss };
  });
}

/** Guests and where they are now. */
export function viewGuests(state: LabState): LabGuestView[] {
  return (state.guests ?? []).flatMap(({ name, on }) => {
    const { guest, addresses } = nodeNamed(state.topology, name) ?? {};
    if (guest === undefined || addresses === undefined) return [];
    const { mac, bridge, mode } = guest;
    return [{ name, on, port: tapOf(name), bridge, mac, addresses, mode }];
  });
}

/** Guests as cables of the drawing: from the tap to the guest's only port. */
export function guestLinks(guests: readonly { name: string; on: string }[]): LabLink[] {
  return guests.map(({ name, on }) => ({
    a: { node: on, port: tapOf(name) },
    b: { node: name, port: 'eth0' },
  }));
}

/** Daemons beside a node as lines of the drawing. */
export function besideLinks({ nodes }: Topology): LabLink[] {
  return nodes.flatMap((node) =>
    node.in === undefined
      ? []
      : [{ a: { node: node.in, port: node.name }, b: { node: node.name, port: '' } }],
  );
}

export function processesOf(state: LabState, node: string) {
  return state.processes.filter((one) => one.node === node);
}

function isAlive(state: LabState, node: LabNode): boolean {
  const started = processesOf(state, node.name);
  const complete = !speaksBgp(node) || (started.length > 0 && started.every(isRunning));
  return complete && existsSync(netnsPath(homeNetns(state.topology.name, node)));
}
