// Where metrics are read: the router's counters of each peer, BFD, what the forwarding table counts, this process.
// Nothing is counted for metrics alone, and nothing is kept between scrapes.

import type { FibCounts } from '../dataplane/fib-view.ts';
import type { Peer } from '../router/peer.ts';
import type { Router } from '../router/router.ts';
import { fibSums } from './kernel-view.ts';
import type { MetricsSource, PeerMetrics, ProcessMetrics } from './metrics.ts';
import { familyCounts, type LookAtBfd } from './peer-views.ts';

export interface MetricsParts {
  router: Router;
  bfd?: LookAtBfd | undefined;
  /** Absent where no routes are written. */
  fib?: { countSteps(): Generator<undefined, FibCounts> } | undefined;
  version: string;
}

export function metricsSource({ router, bfd, fib, version }: MetricsParts): MetricsSource {
  return {
    version,
    peers: () => peerRows(router, bfd),
    kernel: fib && (() => kernelCounts(fib.countSteps())),
    process: processMetrics(),
  };
}

/** Those of now; one that goes before its turn is left out, for its place may be another's by then. */
function* peerRows(router: Router, bfd: LookAtBfd | undefined): Generator<PeerMetrics> {
  const { byName } = router.directory;
  for (const peer of [...byName.values()])
    if (byName.get(peer.name) === peer) yield peerMetrics(router, peer, bfd);
}

function peerMetrics(router: Router, peer: Peer, bfd: LookAtBfd | undefined): PeerMetrics {
  let announced = 0;
  let received = 0;
  for (const one of familyCounts(router, peer)) {
    announced += one.advertised;
    received += one.received;
  }
  const session = peer.config.bfd && bfd?.(peer).session;
  return {
    peer: peer.name,
    up: peer.established !== undefined,
    announced,
    received,
    messagesSent: peer.counters.sent,
    messagesReceived: peer.counters.received,
    bfd: session && {
      up: session.state === 'up',
      packetsIn: session.packetsIn,
      packetsOut: session.packetsOut,
    },
  };
}

function* kernelCounts(steps: Generator<undefined, FibCounts>): Generator<undefined, Record<string, number>> {
  const { installed, pending, failed, leftover } = fibSums(yield* steps);
  return { installed, pending, failed, leftover };
}

function processMetrics(): ProcessMetrics {
  const { user, system } = process.cpuUsage();
  return {
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
    startSeconds: Math.round((performance.timeOrigin / 1000) * 100) / 100,
    loopBusySeconds: performance.eventLoopUtilization().active / 1000,
  };
}
