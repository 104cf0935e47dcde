// Answers the API's questions from the parts that know: the router for sessions and routes, the FIB for the kernel,
// the configuration for itself. It only asks and puts together; shapes are the api room's.

import type { Backend, KernelQuery, PassthroughBackend, RoutesQuery } from '../api/backend.ts';
import { fibRouteView, fibSums, foreignRouteView, stateOf } from '../api/kernel-view.ts';
import { metricsSource } from '../api/metrics-source.ts';
import { passthroughBackend } from '../api/passthrough-view.ts';
import { type LookAtBfd, peerDetailView, peerViews, waitingDetailView } from '../api/peer-views.ts';
import { interfaceName, routesView } from '../api/route-views.ts';
import { rpkiView, type ValidationSource } from '../api/rpki-view.ts';
import type { FamilyCountView, KernelRouteView, KernelView, PeerAction, StatusView } from '../api/views.ts';
import { isoOf, secondsSince, type WallTime } from '../api/wall-time.ts';
import { whyPassthrough } from '../api/why-passthrough.ts';
import { type WhyContext, whyView } from '../api/why-view.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import type { Fib } from '../dataplane/fib.ts';
import { type RouteView as FibRouteView, fibRoute } from '../dataplane/fib-view.ts';
import { formatIp4 } from '../net/ip.ts';
import { kernelFaults, nodeStatus } from '../passthrough/openperouter-status.ts';
import type { Rib } from '../rib/rib.ts';
import type { Peer } from '../router/peer.ts';
import type { Router } from '../router/router.ts';
import { families } from '../wire/bgp/family.ts';
import type { Configuration } from './configuration.ts';
import type { GuestSwitch } from './guest-switch.ts';
import type { PassthroughSwitch } from './passthrough-switch.ts';
import type { Station } from './station.ts';

/** What stays while the daemon lives, and the station of now. */
export interface DaemonParts {
  configuration: Configuration;
  passthrough: PassthroughSwitch;
  time: WallTime;
  version: string;
  station(): Station;
}

interface BackendParts extends DaemonParts {
  router: Router;
  fib: Fib | undefined;
  dataplane: Dataplane;
  guests: GuestSwitch;
  validation: ValidationSource;
  bfd: LookAtBfd;
}

/** Answers from whichever station there is when it is asked. */
export function createBackend(parts: DaemonParts): Backend {
  let answering: { station: Station; backend: Backend } | undefined;
  const now = (): Backend => {
    const station = parts.station();
    if (answering?.station !== station) {
      const { router, fib, dataplane, guests, validation, bfd } = station;
      const whole = { ...parts, router, fib, dataplane, guests, validation, bfd };
      answering = { station, backend: stationBackend(whole) };
    }
    return answering.backend;
  };
  return {
    status: () => now().status(),
    peers: () => now().peers(),
    peer: (name) => now().peer(name),
    routes: (query) => now().routes(query),
    why: (thing) => now().why(thing),
    kernel: (query) => now().kernel(query),
    rpki: () => now().rpki(),
    plan: (files) => now().plan(files),
    apply: (files) => now().apply(files),
    peerAction: (name, action, text) => now().peerAction(name, action, text),
    schema: () => now().schema(),
    get guests() {
      return now().guests;
    },
    get passthrough() {
      return now().passthrough;
    },
    metrics: () => now().metrics(),
  };
}

function stationBackend(parts: BackendParts): Backend {
  const { router, configuration, time, bfd } = parts;
  const name = (ifindex: number): string => interfaceName(router, ifindex);
  const context: WhyContext = {
    router,
    time,
    validation: parts.validation,
    bfd,
    kernelState: (family, id) => kernelState(parts, family, id),
    kernelRoute: (family, id) => {
      const route = fibRouteOf(parts, family, id);
      return route && fibRouteView(route, name);
    },
  };
  const found = (peer: string): Peer | undefined => router.directory.byName.get(peer);
  return {
    status: () => statusView(parts),
    peers: () => peerViews(router, time, bfd),
    peer: (peerName) => {
      const peer = found(peerName);
      return peer ? peerDetailView(router, peer, time, bfd) : waitingDetailView(router, peerName);
    },
    routes: (query: RoutesQuery) => routesView(context, query),
    why: (thing) => whyPassthrough(passthroughOf(parts)?.view(), thing, whyView(context, thing)),
    kernel: (query) => kernelView(parts, query, name),
    rpki: () => rpkiView(parts.validation, time),
    plan: (files) => configuration.plan(files),
    apply: (files) => configuration.apply(files),
    peerAction: (peerName, action, text) => {
      const peer = found(peerName);
      if (peer === undefined) return undefined;
      router.act(peer, action, text);
      return { peer: peerName, action, text: actionTexts[action] };
    },
    schema: () => configuration.schema(),
    get guests() {
      return parts.guests.backend;
    },
    get passthrough() {
      return passthroughOf(parts);
    },
    metrics: () => metricsSource(parts),
  };
}

function passthroughOf({
  passthrough,
  configuration,
  router,
  time,
  bfd,
}: BackendParts): PassthroughBackend | undefined {
  const { plane } = passthrough;
  const { intent } = configuration;
  if (plane === undefined || intent.passthrough === undefined) return undefined;
  const { openperouter: result } = configuration;
  const report = result && { result, status: nodeStatus(result, kernelFaults(plane.status())) };
  return passthroughBackend({ plane, intent: intent.passthrough, router, time, bfd, report });
}

const COMPAT = 'net.ipv4.nexthop_compat_mode';

const actionTexts: Readonly<Record<PeerAction, string>> = {
  reset: 'the session is being reset',
  refresh: 'routes are asked for and sent again',
  shutdown: 'the peer is shut down until it is enabled',
  enable: 'the peer is enabled',
};

function statusView(parts: BackendParts): StatusView {
  const { router, fib, configuration, time, version } = parts;
  const { intent, loaded } = configuration;
  const peers = [...router.directory.byName.values()];
  const sums = fib && fibSums(fib.counts());
  const profile = intent.bgp.profile;
  const waitingFor = router.restart.waitingFor();
  const refused = Object.entries(router.peers.refusals.counts).filter(([, count]) => count > 0);
  const waiting = configuration.needRestart();
  return {
    node: intent.node.name,
    labels: { ...intent.node.labels },
    version,
    pid: process.pid,
    startedAt: isoOf(time, 0),
    uptimeSeconds: secondsSince(time, 0),
    bgp: {
      ...(configuration.speaker === 'none' && { speaker: 'none' }),
      asn: router.config.asn,
      routerId: formatIp4(router.config.bgpId),
      ...(profile !== undefined && { profile }),
      peers: {
        configured: intent.bgp.peers.length,
        known: peers.length,
        established: peers.filter((peer) => peer.established !== undefined).length,
      },
      ...(refused.length > 0 && { refused: Object.fromEntries(refused) }),
      ...(router.restart.isDeferring && {
        restarting: { until: isoOf(time, router.restart.deferUntilMs), waitingFor },
      }),
    },
    routes: router.ribs.filter(isShown).map(
      (rib): FamilyCountView => ({
        family: families[rib.family]!.name,
        prefixes: rib.routeCount,
        paths: rib.paths.size,
      }),
    ),
    kernel: {
      fib: fib !== undefined,
      installed: sums?.installed ?? 0,
      pending: sums?.pending ?? 0,
      failed: sums?.failed ?? 0,
    },
    config: {
      files: loaded.files,
      loadedAt: loaded.at,
      ...(loaded.lastError && { lastError: loaded.lastError }),
      ...(waiting.length > 0 && { needRestart: waiting.map((change) => change.text) }),
    },
    memoryBytes: process.memoryUsage.rss(),
  };
}

/** Unicast always, another family while there is something of it. */
function isShown(rib: Rib): boolean {
  return rib.form === 'prefix' || rib.paths.size > 0;
}

function kernelState(
  { fib, router }: BackendParts,
  family: number,
  prefixId: number,
): 'installed' | 'pending' | 'failed' | undefined {
  if (fib === undefined || router.ribs[family]!.form === 'opaque') return undefined;
  if (router.gates[family]?.isRefused(prefixId)) return 'failed';
  const route = fibRouteOf({ fib, router }, family, prefixId);
  return route && stateOf(route);
}

function fibRouteOf(
  { fib, router }: Pick<BackendParts, 'fib' | 'router'>,
  family: number,
  prefixId: number,
): FibRouteView | undefined {
  if (fib === undefined || router.ribs[family]!.form === 'opaque') return undefined;
  const { words, address, length } = router.ribs[family]!.table;
  const key = Array.from(address.subarray(prefixId * words, (prefixId + 1) * words));
  const route = fibRoute(fib.state, family, key, length[prefixId]!);
  return route?.members === undefined ? undefined : route;
}

async function kernelView(
  parts: BackendParts,
  query: KernelQuery,
  name: (ifindex: number) => string,
): Promise<KernelView> {
  const { fib, dataplane, configuration } = parts;
  const { kernel } = configuration.intent;
  const intended: KernelRouteView[] = [];
  const leftover: KernelRouteView[] = [];
  const foreign: KernelRouteView[] = [];
  const failures: KernelView['failures'] = [];
  let foreignTotal = 0;
  let truncated = false;
  for (const family of [0, 1]) {
    if (fib === undefined) break;
    const page = fib.routes({ family, limit: query.limit });
    truncated ||= page.next !== undefined;
    for (const route of page.routes) {
      const view = fibRouteView(route, name);
      if (route.state === 'found') leftover.push({ ...view, state: 'leftover' });
      else intended.push(view);
    }
    // What failed is told even where it lies behind the page.
    for (const route of fib.routes({ family, limit: query.limit, different: true }).routes) {
      const view = fibRouteView(route, name);
      if (view.state === 'failed') failures.push({ what: view.prefix, error: view.error ?? 'refused' });
    }
    const others = await fib.foreign({ family, limit: query.limit });
    foreignTotal += others.total;
    truncated ||= others.total > others.routes.length;
    for (const route of others.routes) foreign.push(foreignRouteView(route, name));
  }
  for (const object of [...dataplane.status(), ...parts.guests.status(), ...parts.passthrough.status()])
    if (object.state === 'error')
      failures.push({ what: object.key, error: `${object.errno}: ${object.text}` });
  const sysctls = dataplane.sysctls();
  const sums = fib && fibSums(fib.counts());
  return {
    fib: fib !== undefined,
    table: kernel.table,
    metric: kernel.metric,
    nexthopCompat: sysctls.some(({ key, now }) => key === COMPAT && now === '0') ? 0 : 1,
    counts: {
      intended: sums?.intended ?? 0,
      installed: sums?.installed ?? 0,
      pending: sums?.pending ?? 0,
      failed: sums?.failed ?? 0,
      foreign: foreignTotal,
    },
    intended,
    leftover,
    foreign,
    sysctls: sysctls.map(({ key, before, now }) => ({ name: key, value: now, before })),
    failures,
    truncated,
  };
}
