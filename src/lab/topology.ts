// A lab as plain data: nodes, cables, moves. Everything else of this room is a function of it: the plan of what to
// make in the kernel, the drawing, the count of sessions to expect. Reading it from a file is read.ts's work.

/** What a file may say of a node; guests have a section of their own. */
export const nodeKinds = [
  'leafd',
  'hypervisor',
  'frr',
  'bird',
  'gobgp',
  'exabgp',
  'openbgpd',
  'host',
] as const;
export type NodeKind = (typeof nodeKinds)[number] | 'guest';

/** One end of a cable. */
export interface LabEnd {
  readonly node: string;
  readonly port: string;
}

export interface LabLink {
  readonly a: LabEnd;
  readonly b: LabEnd;
}

export interface LabNode {
  readonly name: string;
  readonly kind: NodeKind;
  /** Layer of the drawing: `spine`, `leaf`, `host` or any other word; worked out from the cables when absent. */
  readonly role?: string;
  /** The daemon's configuration file; a host has none. */
  readonly config: string;
  /** A host's own, with length; of a router: put on `lo` before its daemon starts (leafd has `loopbacks`). */
  readonly addresses: readonly string[];
  /** Addresses of single ports, with length. */
  readonly ports: Readonly<Record<string, readonly string[]>>;
  /** Whether the kernel forwards packets between ports. */
  readonly forwarding: boolean;
  /** BGP sessions to wait for; absent: one for each cable to another BGP speaker. */
  readonly sessions?: number;
  /** More arguments of the daemon; of FRR: of bgpd. */
  readonly arguments?: readonly string[];
  /** Shell commands run in the namespace before the daemon starts. */
  readonly commands: readonly string[];
  /** Shell commands run when the daemon is ready, also after a restart; tried for 10 s until they succeed. */
  readonly afterStart: readonly string[];
  /** For the drawing. */
  readonly asn?: number;
  /** Of a hypervisor: bridges for guests, made before its leafd starts, as Proxmox makes them. */
  readonly bridges?: readonly string[];
  /** Of a guest. */
  readonly guest?: LabGuest;
  /** The node in whose namespace its daemon runs; it has none of its own then, and no ports. */
  readonly in?: string;
  /** Of a leafd node with `passthrough`: the namespace its leafd makes, into which ports may move. */
  readonly router?: LabRouter;
}

/** The router namespace of a leafd node. */
export interface LabRouter {
  readonly netns: string;
  /** Sessions that the node's leafd has with speakers of the host, beside those over cables. */
  readonly hostSessions: number;
}

/** What makes a node a guest: a namespace behind a tap in a hypervisor's bridge, that can go to another one. */
export interface LabGuest {
  /** The hypervisor it begins on. */
  readonly on: string;
  readonly bridge: string;
  /** `aa:bb:…`. */
  readonly mac: string;
  /** Whether leafd is told of it, or has to learn it from what it says. */
  readonly mode: 'attach' | 'learn';
}

/** A named list of cable moves, in order, as the file gives them. */
export type LabMoves = readonly { readonly from: LabEnd; readonly to: LabEnd }[];

/** Of a guest's name: its tap is `tap` and that. */
export const MAX_GUEST_NAME = 12;

/** The hypervisor's end of a guest's link. */
export function tapOf(guest: string): string {
  return `tap${guest}`;
}

export interface Topology {
  readonly name: string;
  /** Absolute path of the file it was read from. */
  readonly file: string;
  readonly nodes: readonly LabNode[];
  readonly links: readonly LabLink[];
  readonly moves: Readonly<Record<string, LabMoves>>;
}

/** The network namespace of a node that has one of its own. */
export function netnsOf(lab: string, node: string): string {
  return `${lab}-${node}`;
}

/** The namespace in which a node's programs run: its own, or that of the node it is beside. */
export function homeNetns(lab: string, node: LabNode): string {
  return netnsOf(lab, node.in ?? node.name);
}

/** What the router namespace of a node with `passthrough` is called: a machine has many nodes here. */
export function routerNetnsOf(lab: string, node: string): string {
  return `${netnsOf(lab, node)}-pe`;
}

/** `node:port`. */
export function formatEnd(end: LabEnd): string {
  return `${end.node}:${end.port}`;
}

/** The end that `node:port` names, or undefined. */
export function parseEnd(text: string): LabEnd | undefined {
  const parts = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,62}):([A-Za-z0-9][A-Za-z0-9_.-]{0,14})$/.exec(text);
  return parts === null ? undefined : { node: parts[1], port: parts[2] };
}

export function sameEnd(one: LabEnd, other: LabEnd): boolean {
  return one.node === other.node && one.port === other.port;
}

/** The cable plugged into an end, and what is at its other end. */
export function cableAt(links: readonly LabLink[], end: LabEnd): { link: LabLink; far: LabEnd } | undefined {
  for (const link of links) {
    if (sameEnd(link.a, end)) return { link, far: link.b };
    if (sameEnd(link.b, end)) return { link, far: link.a };
  }
  return undefined;
}

export function nodeNamed(topology: Topology, name: string): LabNode | undefined {
  return topology.nodes.find((node) => node.name === name);
}

/** Whether a node runs a BGP daemon. */
export function speaksBgp(node: LabNode | undefined): boolean {
  return node !== undefined && node.kind !== 'host' && node.kind !== 'guest';
}

/** Whether that daemon is leafd. */
export function runsLeafd(kind: NodeKind): boolean {
  return kind === 'leafd' || kind === 'hypervisor';
}

/** Sessions a node should have: what its file says, or one for each cable to another speaker and its host speakers'. */
export function expectedSessions(topology: Topology, links: readonly LabLink[], node: LabNode): number {
  if (!speaksBgp(node)) return 0;
  if (node.sessions !== undefined) return node.sessions;
  let count = node.router?.hostSessions ?? 0;
  for (const { a, b } of links) {
    const far = a.node === node.name ? b : b.node === node.name ? a : undefined;
    if (far !== undefined && speaksBgp(nodeNamed(topology, far.node))) count++;
  }
  return count;
}

/** The links after a cable was moved: `from` keeps its cable's near end, `to` loses what was plugged into it. */
export function movedLinks(links: readonly LabLink[], from: LabEnd, to: LabEnd): LabLink[] {
  const stay = (link: LabLink) => ![link.a, link.b].some((end) => sameEnd(end, from) || sameEnd(end, to));
  return [...links.filter(stay), { a: from, b: to }];
}
