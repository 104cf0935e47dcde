// Traffic across a lab, by iputils' ping inside the namespace of the sender, and what it said as numbers.

import { LeafdError } from '../lib/leafd-error.ts';
import { parseIp } from '../net/ip.ts';
import { run, runOrThrow } from './processes.ts';
import type { LabState } from './state.ts';
import { homeNetns, type LabNode, nodeNamed } from './topology.ts';
import { isInstalled } from './up.ts';

export interface PingOptions {
  readonly family?: 'ipv4' | 'ipv6';
  /** Packets, 5 by default. */
  readonly count?: number;
  /** Between packets, 200 ms by default. */
  readonly intervalMs?: number;
}

export interface PingView {
  from: string;
  to: string;
  source: string;
  address: string;
  sent: number;
  received: number;
  lost: number;
  lossPercent: number;
  rttMs?: { min: number; avg: number; max: number };
  /** Why nothing could be sent, in ping's words. */
  error?: string;
}

interface NodeAddress {
  readonly family: 'ipv4' | 'ipv6';
  readonly address: string;
  readonly length: number;
}

/** Pings from a node to another node's own address, or to any address. */
export async function pingNodes(
  state: LabState,
  from: string,
  to: string,
  options: PingOptions,
): Promise<PingView> {
  if (!isInstalled({ program: 'ping', debianPackage: 'iputils-ping' })) {
    throw new LeafdError('program-absent', 'not installed: ping', { hint: 'apt install iputils-ping' });
  }
  const ours = await addressesOf(state, from);
  const literal = parseIp(to);
  const theirs: NodeAddress[] =
    literal === undefined
      ? await addressesOf(state, to)
      : [{ family: literal.length === 4 ? 'ipv4' : 'ipv6', address: to, length: literal.length * 8 }];
  const pair = choosePair(ours, theirs, options.family);
  if (pair === undefined) {
    const family = options.family === undefined ? '' : ` of ${options.family}`;
    throw new LeafdError('lab-address-absent', `${from} and ${to} have no addresses${family} in common`);
  }
  const count = options.count ?? 5;
  const intervalMs = options.intervalMs ?? 200;
  const result = await run(
    [
      ...['ip', 'netns', 'exec', homeNetns(state.topology.name, pinger(state, from))],
      ...['ping', pair.family === 'ipv4' ? '-4' : '-6', '-n', '-q', '-c', String(count)],
      ...['-i', String(intervalMs / 1000), '-W', '1', '-I', pair.source, pair.address],
    ],
    { timeoutMs: count * intervalMs * 2 + 30_000 },
  );
  return {
    from,
    to,
    source: pair.source,
    address: pair.address,
    ...readPing(`${result.stdout}\n${result.stderr}`, count),
  };
}

function choosePair(ours: readonly NodeAddress[], theirs: readonly NodeAddress[], wanted?: 'ipv4' | 'ipv6') {
  for (const family of wanted === undefined ? (['ipv4', 'ipv6'] as const) : [wanted]) {
    const source = ours.find((one) => one.family === family);
    const target = theirs.find((one) => one.family === family);
    if (source !== undefined && target !== undefined)
      return { family, source: source.address, address: target.address };
  }
  return undefined;
}

/** A node's addresses, host addresses first: those it has, and those the file gives it that a dead port lost. */
async function addressesOf(state: LabState, name: string): Promise<NodeAddress[]> {
  const node = pinger(state, name);
  const netns = homeNetns(state.topology.name, node);
  const text = await runOrThrow(['ip', '-n', netns, '-j', 'addr', 'show', 'scope', 'global']);
  // Addresses of other scopes are printed as empty objects.
  type Shown = { addr_info?: { local?: string; prefixlen?: number }[] };
  const listed = (JSON.parse(text) as Shown[]).flatMap(({ addr_info }) => addr_info ?? []);
  const present = listed.filter(({ local }) => local !== undefined);
  const declared = [...node.addresses, ...Object.values(node.ports).flat()];
  const addresses = [...present.map(({ local, prefixlen }) => `${local}/${prefixlen}`), ...declared].map(
    nodeAddress,
  );
  const isHost = (one: NodeAddress) => one.length === (one.family === 'ipv4' ? 32 : 128);
  return addresses.sort((one, other) => Number(isHost(other)) - Number(isHost(one)));
}

/** The node of a name; of one beside another that one, whose addresses it uses. */
function pinger({ topology }: LabState, name: string): LabNode {
  const node = nodeNamed(topology, nodeNamed(topology, name)?.in ?? name);
  if (node !== undefined) return node;
  const names = topology.nodes.map((one) => one.name).join(', ');
  throw new LeafdError('lab-node-absent', `there is no node ${name} in ${topology.name}`, {
    hint: `nodes: ${names}`,
  });
}

function nodeAddress(text: string): NodeAddress {
  const [address, length] = text.split('/');
  return { family: address.includes(':') ? 'ipv6' : 'ipv4', address, length: Number(length) };
}

/** The closing lines of ping(8). */
export function readPing(text: string, count: number) {
  const totals = /(\d+) packets transmitted, (\d+) received/.exec(text);
  if (totals === null) {
    const error =
      text
        .trim()
        .split('\n')
        .at(-1)
        ?.replace(/^ping: /, '') ?? '';
    return { sent: count, received: 0, lost: count, lossPercent: 100, error };
  }
  const sent = Number(totals[1]);
  const received = Number(totals[2]);
  const lossPercent = sent === 0 ? 0 : Math.round(((sent - received) * 10_000) / sent) / 100;
  const times = /= ([\d.]+)\/([\d.]+)\/([\d.]+)\/[\d.]+ ms/.exec(text);
  const rttMs =
    times === null ? {} : { rttMs: { min: Number(times[1]), avg: Number(times[2]), max: Number(times[3]) } };
  return { sent, received, lost: sent - received, lossPercent, ...rttMs };
}
