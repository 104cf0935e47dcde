// How many BGP sessions a node has, asked of its daemon in its own way: leafd by its REST API on the unix socket,
// the others by their control programs. Where a daemon cannot be asked (ExaBGP without its pipes), established TCP
// connections of port 179 in its namespace are counted. A daemon that does not answer is told as such, not guessed.

import { request } from 'node:http';
import { controlSocketOf } from './kinds.ts';
import { type CommandResult, run } from './processes.ts';
import type { LabNode } from './topology.ts';

/** A session as its daemon tells it; `state` is RFC 4271's name in lower case where the daemon gives it. */
export interface NodeSession {
  readonly peer: string;
  readonly state: string;
}

export type NodeSessions =
  | { readonly kind: 'known'; readonly sessions: readonly NodeSession[] }
  | { readonly kind: 'silent'; readonly reason: string };

const ASK_TIMEOUT_MS = 5000;

/** Asks a node's daemon; never throws for what the daemon does or says. */
export async function askSessions(node: LabNode, netns: string, directory: string): Promise<NodeSessions> {
  try {
    return { kind: 'known', sessions: await ask(node, netns, controlSocketOf(node, directory)) };
  } catch (error) {
    return { kind: 'silent', reason: (error as Error).message };
  }
}

export function countEstablished(sessions: NodeSessions): number {
  if (sessions.kind === 'silent') return 0;
  return sessions.sessions.filter((session) => session.state === 'established').length;
}

async function ask(node: LabNode, netns: string, socket: string): Promise<NodeSession[]> {
  const inside = ['ip', 'netns', 'exec', netns];
  switch (node.kind) {
    case 'host':
    case 'guest':
      return [];
    case 'leafd':
    case 'hypervisor':
      return readLeafd(await getJson(socket, '/v1/peers'));
    case 'frr':
      return readFrr(await answer(['vtysh', '--vty_socket', socket, '-c', 'show bgp summary json']));
    case 'bird':
      return readBird(await answer(['birdc', '-s', socket, 'show', 'protocols']));
    case 'gobgp':
      return readGobgp(await answer([...inside, 'gobgp', '-j', 'neighbor']));
    case 'openbgpd':
      return readOpenbgpd(await answer(['bgpctl', '-s', socket, '-j', 'show', 'neighbor']));
    case 'exabgp':
      return readSs(await answer([...inside, 'ss', '-Htn', 'state', 'established']));
  }
}

async function answer(argv: readonly string[]): Promise<string> {
  const result: CommandResult = await run(argv, { timeoutMs: ASK_TIMEOUT_MS });
  if (result.exitCode === 0) return result.stdout;
  const words = (result.stderr.trim() || result.stdout.trim()).split('\n')[0];
  throw new Error(words === '' ? `exit code ${result.exitCode}` : words);
}

/** leafd: the view of GET /v1/peers. */
export function readLeafd(body: unknown): NodeSession[] {
  const list = Array.isArray(body) ? body : ((body as { peers?: unknown[] }).peers ?? []);
  return (list as { name: string; state: string }[]).map(({ name, state }) => ({ peer: name, state }));
}

/** FRR: a peer is in the summary of each of its families. */
export function readFrr(text: string): NodeSession[] {
  const families = Object.values(
    JSON.parse(text) as Record<string, { peers?: Record<string, { state: string }> }>,
  );
  const sessions = new Map<string, string>();
  for (const { peers } of families) {
    for (const [peer, { state }] of Object.entries(peers ?? {})) sessions.set(peer, lowerFirst(state));
  }
  return [...sessions].map(([peer, state]) => ({ peer, state }));
}

/** BIRD: `name BGP table state since info`; a template of dynamic sessions is told as `Passive` in the info. */
export function readBird(text: string): NodeSession[] {
  const sessions: NodeSession[] = [];
  for (const line of text.split('\n')) {
    const [peer, protocol, , , , ...info] = line.trim().split(/\s+/);
    if (protocol === 'BGP') sessions.push({ peer, state: lowerFirst(info[0] ?? 'down') });
  }
  return sessions;
}

/** GoBGP: session states are numbers, 6 is Established. */
export function readGobgp(text: string): NodeSession[] {
  const names = ['unspecified', 'idle', 'connect', 'active', 'openSent', 'openConfirm', 'established'];
  const list = JSON.parse(text) as {
    state?: { neighbor_address?: string; session_state?: number | string };
  }[];
  return list.map(({ state }) => {
    const session = state?.session_state;
    const known =
      typeof session === 'number' ? (names[session] ?? 'unspecified') : (session ?? 'idle').toLowerCase();
    return { peer: state?.neighbor_address ?? '', state: known };
  });
}

/** OpenBGPD: `bgpctl -j show neighbor`. */
export function readOpenbgpd(text: string): NodeSession[] {
  const { neighbors } = JSON.parse(text) as { neighbors?: { remote_addr: string; state: string }[] };
  return (neighbors ?? []).map(({ remote_addr, state }) => ({ peer: remote_addr, state: lowerFirst(state) }));
}

/** Established TCP connections with port 179 at one end: `recvq sendq local peer`. */
export function readSs(text: string): NodeSession[] {
  const sessions: NodeSession[] = [];
  for (const line of text.split('\n')) {
    const [, , local, peer] = line.trim().split(/\s+/);
    if (peer !== undefined && (local.endsWith(':179') || peer.endsWith(':179'))) {
      sessions.push({ peer: peer.slice(0, peer.lastIndexOf(':')), state: 'established' });
    }
  }
  return sessions;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function getJson(socketPath: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, timeout: ASK_TIMEOUT_MS }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      response.on('end', () => {
        try {
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(`${path}: HTTP ${response.statusCode}`));
        } catch (error) {
          reject(error as Error);
        }
      });
    });
    call.on('timeout', () => call.destroy(new Error(`no answer on ${socketPath}`)));
    call.on('error', reject);
    call.end();
  });
}
