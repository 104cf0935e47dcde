// Traffic with a count of every packet: ping at 100 packets a second with the sequence number of each answer, so that
// a test can say how many were lost, in how long a gap, and when.

import { spawn } from 'node:child_process';
import type { Fabric } from './fabric.ts';

export interface Traffic {
  from: string;
  to: string;
  sent: number;
  lost: number;
  /** The longest run of packets that were lost one after another. */
  longestGap: number;
  /** Sequence numbers without an answer, the first of each run and its length. */
  gaps: [first: number, length: number][];
}

export interface Flow {
  from: string;
  /** A literal address. */
  to: string;
  source?: string;
}

export const PACKETS_PER_SECOND = 100;

/** Sends packets of one flow for some seconds; resolves when the last answer is in. */
export function traffic(
  fabric: Fabric,
  flow: Flow,
  seconds: number,
  perSecond = PACKETS_PER_SECOND,
): Promise<Traffic> {
  const count = Math.round(seconds * perSecond);
  const options = ['-n', '-D', '-i', String(1 / perSecond), '-c', String(count), '-W', '0.4'];
  const source = flow.source === undefined ? [] : ['-I', flow.source];
  const words = ['netns', 'exec', fabric.netns(flow.from), 'ping', ...options, ...source, flow.to];
  return new Promise((resolve, reject) => {
    const child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    child.once('error', reject);
    child.once('close', () => {
      const sent = Number(/(\d+) packets transmitted/.exec(text)?.[1]);
      if (sent > 0) resolve(trafficOf(flow, text, sent));
      else reject(new Error(`ping ${flow.from} -> ${flow.to}: ${text.trim()}`));
    });
  });
}

function trafficOf(flow: Flow, text: string, sent: number): Traffic {
  const answered = new Set<number>();
  for (const [, sequence] of text.matchAll(/^\[\d+\.\d+\] \d+ bytes .*icmp_seq=(\d+) ttl/gm))
    answered.add(Number(sequence));
  const gaps: [number, number][] = [];
  for (let sequence = 1; sequence <= sent; sequence++) {
    if (answered.has(sequence)) continue;
    const last = gaps.at(-1);
    if (last !== undefined && last[0] + last[1] === sequence) last[1]++;
    else gaps.push([sequence, 1]);
  }
  return {
    from: flow.from,
    to: flow.to,
    sent,
    lost: gaps.reduce((sum, [, length]) => sum + length, 0),
    longestGap: Math.max(0, ...gaps.map(([, length]) => length)),
    gaps,
  };
}

/** The same for several flows at once while something happens: `event` runs `afterSeconds` into the traffic. */
export async function trafficDuring<T>(
  fabric: Fabric,
  flows: readonly Flow[],
  event: () => Promise<T>,
  times: { beforeSeconds?: number; afterSeconds: number; perSecond?: number },
): Promise<{ flows: Traffic[]; event: T; eventAtMs: number }> {
  const before = times.beforeSeconds ?? 0.6;
  const all = flows.map((flow) => traffic(fabric, flow, before + times.afterSeconds, times.perSecond));
  const settled = Promise.all(all);
  settled.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, before * 1000));
  const eventAtMs = Date.now();
  const happened = await event();
  return { flows: await settled, event: happened, eventAtMs };
}

/** `h1 -> 198.18.3.2: 4 of 400 lost (#61-63 #80)`, for the report of a test. */
export const describeTraffic = (one: Traffic): string =>
  `${one.from} -> ${one.to}: ${one.lost} of ${one.sent} lost` +
  (one.lost === 0 ? '' : ` (${one.gaps.map(run).join(' ')})`);

const run = ([first, length]: [first: number, length: number]): string =>
  length === 1 ? `#${first}` : `#${first}-${first + length - 1}`;

/** Packets an interface of a node has sent and received. */
export async function packetsOf(
  fabric: Fabric,
  node: string,
  port: string,
): Promise<{ rx: number; tx: number }> {
  const text = await fabric.out(node, 'ip', '-j', '-s', 'link', 'show', port);
  const [link] = JSON.parse(text) as { stats64: { rx: { packets: number }; tx: { packets: number } } }[];
  return { rx: link!.stats64.rx.packets, tx: link!.stats64.tx.packets };
}
