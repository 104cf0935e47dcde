// Which metrics there are, and their text. Words are those that users of MetalLB graph already, with our prefix; some
// of those end in `_total` and are gauges, as there. A scrape of thousands of peers is made in slices, so that it
// keeps nobody waiting; a family's samples have to stand together, so rows are gathered first and written then.

import { KEEPALIVE, NOTIFICATION, OPEN, ROUTE_REFRESH, UPDATE } from '../wire/bgp/header.ts';
import { type FamilyType, familyHead, labelsText, sampleLine } from './exposition.ts';
import type { PassthroughStateView } from './views.ts';

/** What is counted, at the moment of a scrape. */
export interface MetricsSource {
  version: string;
  /** Made one by one as they are asked for; a name comes once. */
  peers(): Iterable<PeerMetrics>;
  /** Routes of ours by how they stand, counted in steps; absent where none are written. */
  kernel?: (() => Generator<undefined, KernelCounts>) | undefined;
  process: ProcessMetrics;
}

export type KernelCounts = Readonly<Record<string, number>>;

export interface PeerMetrics {
  peer: string;
  up: boolean;
  /** Prefixes in all families. */
  announced: number;
  received: number;
  /** Messages by type code (RFC 4271, 4.1). */
  messagesSent: ArrayLike<number>;
  messagesReceived: ArrayLike<number>;
  /** Where it has a session. */
  bfd?: { up: boolean; packetsIn: number; packetsOut: number } | undefined;
}

export interface ProcessMetrics {
  residentBytes: number;
  /** Of all threads. */
  cpuSeconds: number;
  /** Since 1970. */
  startSeconds: number;
  /** How long the event loop has been busy in this life. */
  loopBusySeconds: number;
}

/** A slice of work ends after so long. */
const SLICE_MS = 2;
/** Between two looks at the clock. */
const STEP = 32;

interface Row {
  labels: string;
  metrics: PeerMetrics;
}

interface PeerFamily {
  name: string;
  type: FamilyType;
  help: string;
  /** `undefined`: this peer has none. */
  of: (peer: PeerMetrics) => number | undefined;
}

const sent = (type: number) => (peer: PeerMetrics) => peer.messagesSent[type]!;
const received = (type: number) => (peer: PeerMetrics) => peer.messagesReceived[type]!;

function sum(counts: ArrayLike<number>): number {
  let total = 0;
  for (let at = 0; at < counts.length; at++) total += counts[at]!;
  return total;
}

const gauge = (name: string, help: string, of: PeerFamily['of']): PeerFamily => ({
  name: `leafd_${name}`,
  type: 'gauge',
  help,
  of,
});
const counter = (name: string, help: string, of: PeerFamily['of']): PeerFamily => ({
  ...gauge(name, help, of),
  type: 'counter',
});

const peerFamilies: readonly PeerFamily[] = [
  gauge('bgp_session_up', 'BGP session state (1 is up, 0 is down)', ({ up }) => Number(up)),
  gauge('bgp_announced_prefixes_total', 'Prefixes announced to the peer now', ({ announced }) => announced),
  gauge('bgp_received_prefixes_total', 'Prefixes of the peer held now', (peer) => peer.received),
  counter('bgp_updates_total', 'BGP UPDATE messages sent', sent(UPDATE)),
  counter('bgp_updates_total_received', 'BGP UPDATE messages received', received(UPDATE)),
  counter('bgp_opens_sent', 'BGP OPEN messages sent', sent(OPEN)),
  counter('bgp_opens_received', 'BGP OPEN messages received', received(OPEN)),
  counter('bgp_notifications_sent', 'BGP NOTIFICATION messages sent', sent(NOTIFICATION)),
  counter('bgp_keepalives_sent', 'BGP KEEPALIVE messages sent', sent(KEEPALIVE)),
  counter('bgp_keepalives_received', 'BGP KEEPALIVE messages received', received(KEEPALIVE)),
  counter('bgp_route_refresh_sent', 'BGP ROUTE-REFRESH messages sent', sent(ROUTE_REFRESH)),
  counter('bgp_total_sent', 'BGP messages sent', (peer) => sum(peer.messagesSent)),
  counter('bgp_total_received', 'BGP messages received', (peer) => sum(peer.messagesReceived)),
  gauge('bfd_session_up', 'BFD session state (1 is up, 0 is down)', ({ bfd }) => bfd && Number(bfd.up)),
  counter('bfd_control_packet_input', 'BFD control packets received', ({ bfd }) => bfd?.packetsIn),
  counter('bfd_control_packet_output', 'BFD control packets sent', ({ bfd }) => bfd?.packetsOut),
];

/** The text of a scrape in pieces. `pause` lets others work between slices. */
export async function metricsText(
  source: MetricsSource,
  passthrough: PassthroughStateView | undefined,
  pause: () => Promise<void> = nextTurn,
): Promise<string[]> {
  const slices = new Slices(pause);
  const rows: Row[] = [];
  for (const metrics of source.peers()) {
    // Everything is in the default VRF, which has no name.
    rows.push({ labels: labelsText({ peer: metrics.peer, vrf: '' }), metrics });
    if (slices.isOver()) await slices.next();
  }
  const kernel = source.kernel && (await countedIn(slices, source.kernel()));
  const pieces = [machineText(source, kernel, passthrough)];
  let text = '';
  for (const { name, type, help, of } of peerFamilies) {
    let isFirst = true;
    for (const { labels, metrics } of rows) {
      const value = of(metrics);
      if (value === undefined) continue;
      if (isFirst) text += familyHead(name, type, help);
      isFirst = false;
      text += sampleLine(name, labels, value);
      if (!slices.isOver()) continue;
      pieces.push(text);
      text = '';
      await slices.next();
    }
  }
  pieces.push(text);
  return pieces.filter((one) => one !== '');
}

const states: readonly PassthroughStateView[] = ['up', 'degraded', 'down', 'rolledBack'];

/** What is not of a peer. */
function machineText(
  { version, process }: MetricsSource,
  kernel: KernelCounts | undefined,
  passthrough: PassthroughStateView | undefined,
): string {
  const family = (
    name: string,
    type: FamilyType,
    help: string,
    samples: readonly (readonly [labels: Record<string, string>, value: number])[],
  ): string => {
    const lines = samples.map(([labels, value]) => sampleLine(name, labelsText(labels), value));
    return lines.length === 0 ? '' : familyHead(name, type, help) + lines.join('');
  };
  const one = (name: string, type: FamilyType, help: string, value: number): string =>
    family(name, type, help, [[{}, value]]);
  const routes = Object.entries(kernel ?? {}).map(([state, count]) => [{ state }, count] as const);
  const of = passthrough === undefined ? [] : states;
  return [
    family('leafd_build_info', 'gauge', 'Always 1; the version is a label', [[{ version }, 1]]),
    family('leafd_kernel_routes', 'gauge', 'Routes of leafd in the kernel by how they stand', routes),
    family(
      'leafd_passthrough_state',
      'gauge',
      'State of L3 passthrough (1 is the one it is in)',
      of.map((state) => [{ state }, Number(state === passthrough)]),
    ),
    one('leafd_process_resident_memory_bytes', 'gauge', 'Resident memory', process.residentBytes),
    one('leafd_process_cpu_seconds_total', 'counter', 'User and system CPU time', process.cpuSeconds),
    one('leafd_process_start_time_seconds', 'gauge', 'Start since 1970', process.startSeconds),
    one(
      'leafd_process_event_loop_busy_seconds_total',
      'counter',
      'Time in which the event loop had work; its rate is between 0 and 1',
      process.loopBusySeconds,
    ),
  ].join('');
}

async function countedIn(slices: Slices, steps: Generator<undefined, KernelCounts>): Promise<KernelCounts> {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (slices.isOverNow()) await slices.next();
  }
}

/** When a slice of work is over, and the pause behind it. */
class Slices {
  readonly #pause: () => Promise<void>;
  #endMs = performance.now() + SLICE_MS;
  #steps = 0;

  constructor(pause: () => Promise<void>) {
    this.#pause = pause;
  }

  /** For steps that are small against a look at the clock. */
  isOver(): boolean {
    return ++this.#steps % STEP === 0 && this.isOverNow();
  }

  isOverNow(): boolean {
    return performance.now() >= this.#endMs;
  }

  async next(): Promise<void> {
    await this.#pause();
    this.#endMs = performance.now() + SLICE_MS;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
