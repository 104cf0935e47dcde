// The speaker's life in one network namespace: the daemon's own, or the router namespace of passthrough.
//
//   links -> FIB (what the kernel holds is kept) -> routes of others -> sysctls and loopbacks -> speaker -> guests
//
// The kernel is read before the first session, so that a restart knows whether it has to be graceful. Ending leaves the
// kernel forwarding. A daemon has one station at a time; where another namespace or another AS is wanted it ends this
// one and begins the next. Wiring only.

import type { NewEvent } from '../api/events.ts';
import type { LookAtBfd } from '../api/peer-views.ts';
import { Dataplane } from '../dataplane/dataplane.ts';
import type { KernelIntent } from '../dataplane/desired.ts';
import { Fib } from '../dataplane/fib.ts';
import type { Intent } from '../intent/intent.ts';
import { matchesPattern } from '../intent/pattern.ts';
import { realClock } from '../lib/clock-real.ts';
import { secretHashKey } from '../lib/hash-key-real.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import type { Prefix } from '../net/prefix.ts';
import { LinkMonitor } from '../netlink/monitor.ts';
import { RouteFeed } from '../netlink/route-feed.ts';
import { kernelRtnl, type Rtnl } from '../netlink/rtnl.ts';
import type { RouterConfig } from '../router/config.ts';
import type { Router } from '../router/router.ts';
import { OriginValidation } from '../speaker/rpki.ts';
import { Speaker } from '../speaker/speaker.ts';
import { refuseListener } from './alone.ts';
import { GuestSwitch } from './guest-switch.ts';
import { isRestart, showLife } from './last-life.ts';
import { eventOf, type Log, tellKernelFailures, tellRefusedRoutes } from './log.ts';
import { isRoutingDaemon, RTPROT_RA, routesForRouting } from './protocols.ts';

/** After a link came, went or was renamed; after any other news of one. */
const FOLLOW_DELAY_MS = 5;
const FOLLOW_LATER_MS = 250;
/** A namespace of its own has few sysctls, and whoever changes one by hand stops the traffic of the node. */
const ROUTER_CHECK_MS = 500;

/** Where a station keeps what outlives it: that of the host's namespace has the state directory itself. */
export function stateDirOf(stateDir: string, netns: string | undefined): string {
  return netns === undefined ? stateDir : `${stateDir}/netns/${netns}`;
}

export interface StationOptions {
  intent: Intent;
  router: RouterConfig;
  /** Absent: the namespace of the process. */
  netns: string | undefined;
  /** What has to outlive it: saved sysctls, guests. */
  stateDir: string;
  log: Log;
  /** Events that may come in floods. */
  tell: (event: NewEvent) => void;
}

interface Parts {
  rtnl: Rtnl;
  monitor: LinkMonitor;
  dataplane: Dataplane;
  feed: RouteFeed;
  fib: Fib | undefined;
  life: { close(): void } | undefined;
  speaker: Speaker;
  guests: GuestSwitch;
  validation: OriginValidation;
}

export class Station {
  readonly netns: string | undefined;
  readonly #options: StationOptions;
  readonly #parts: Parts;
  readonly #subscriptions: { close(): void }[];
  #intent: Intent;
  #followed = '';
  #following: NodeJS.Timeout | undefined;
  #followDueMs = 0;
  #stopping = false;

  /** Starts everything; what was started is ended again when a later part fails. Throws LeafdError. */
  static async start(options: StationOptions): Promise<Station> {
    const undo: (() => unknown)[] = [];
    try {
      const parts = await startParts(options, undo);
      return new Station(options, parts);
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    }
  }

  private constructor(options: StationOptions, parts: Parts) {
    this.netns = options.netns;
    this.#options = options;
    this.#intent = options.intent;
    this.#parts = parts;
    this.#subscriptions = [
      parts.monitor.subscribe({
        link: (link, change, before) => {
          const isNews = change !== 'changed' || before?.name !== link.name;
          this.#follow(isNews ? FOLLOW_DELAY_MS : FOLLOW_LATER_MS);
        },
      }),
      parts.feed.subscribe((route) => {
        if (isRoutingDaemon(route.protocol)) this.#follow(FOLLOW_DELAY_MS);
      }),
    ];
  }

  get router(): Router {
    return this.#parts.speaker.router;
  }

  get fib(): Fib | undefined {
    return this.#parts.fib;
  }

  get dataplane(): Dataplane {
    return this.#parts.dataplane;
  }

  get guests(): GuestSwitch {
    return this.#parts.guests;
  }

  get validation(): OriginValidation {
    return this.#parts.validation;
  }

  get bfd(): LookAtBfd {
    return (peer) => this.#parts.speaker.bfd(peer);
  }

  /** Another configuration of the same speaker. */
  configure(intent: Intent, router: RouterConfig): void {
    const { dataplane, fib, speaker, guests, validation } = this.#parts;
    this.#intent = intent;
    dataplane.setIntent(this.#kernelIntent());
    const [source4, source6] = sourcesOf(intent);
    fib?.setPrefSrc(0, source4);
    fib?.setPrefSrc(1, source6);
    speaker.configure(router);
    guests.configure(intent).catch((error: unknown) => {
      const hint = `${String(error)}; start leafd anew`;
      this.#options.log.error(
        new LeafdError('guests-left-behind', 'guests do not follow the configuration', { hint }),
      );
    });
    validation.configure(intent.rpki);
  }

  /** Ends; the kernel goes on forwarding. `final` tells the neighbours to forget us. */
  async stop(final: boolean): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    clearTimeout(this.#following);
    for (const subscription of this.#subscriptions) subscription.close();
    const { rtnl, monitor, dataplane, feed, fib, life, speaker, guests, validation } = this.#parts;
    validation.close();
    await guests.close();
    await speaker.stop(final);
    life?.close();
    await fib?.close();
    feed.close();
    dataplane.close();
    monitor.close();
    rtnl.close();
  }

  /** Once for the thousands of links that a machine may start with. */
  #follow(delayMs: number): void {
    const dueMs = performance.now() + delayMs;
    if (this.#following !== undefined && this.#followDueMs <= dueMs) return;
    clearTimeout(this.#following);
    this.#followDueMs = dueMs;
    this.#following = setTimeout(() => {
      this.#following = undefined;
      if (!this.#stopping) this.#followKernel();
    }, delayMs);
    this.#following.unref();
  }

  /** Ports come and go, and so do other routing daemons: sysctls follow. */
  #followKernel(): void {
    const wanted = this.#kernelIntent();
    const key = JSON.stringify([wanted.fabricPorts, wanted.otherRoutingDaemon]);
    if (key === this.#followed) return;
    this.#followed = key;
    this.#parts.dataplane.setIntent(wanted);
  }

  #kernelIntent(): KernelIntent {
    return kernelIntentOf(this.#intent, this.#parts.monitor, this.#parts.feed);
  }
}

async function startParts(options: StationOptions, undo: (() => unknown)[]): Promise<Parts> {
  const { intent, netns, stateDir, log, tell } = options;
  const port = intent.bgp.speaker === 'none' ? undefined : intent.bgp.port;
  if (port !== undefined) refuseListener(port, netns);
  const place = netns === undefined ? {} : { netns };
  const rtnl = kernelRtnl(netns);
  undo.push(() => rtnl.close());
  const monitor = new LinkMonitor(rtnl);
  undo.push(() => monitor.close());
  const onChange = tellKernelFailures((event) => log.event(event));
  const dataplane = new Dataplane({
    ...place,
    rtnl,
    links: monitor,
    stateDir,
    onChange,
    ...(intent.passthrough !== undefined && { checkEveryMs: ROUTER_CHECK_MS }),
  });
  undo.push(() => dataplane.close());
  const late: { speaker?: Speaker; guests?: GuestSwitch } = {};
  const fib = intent.kernel.fib ? await startFib(options, late) : undefined;
  if (fib !== undefined) undo.push(() => fib.close());
  // Our own writes would come back as events: the feed leaves them out.
  const ignorePortIds = fib === undefined ? [] : [fib.writerPortId];
  const { table } = intent.kernel;
  const feed = new RouteFeed(rtnl, { table, protocols: routesForRouting, ignorePortIds });
  undo.push(() => feed.close());
  dataplane.setIntent(kernelIntentOf(intent, monitor, feed));
  const found = fib === undefined ? 0 : fib.counts().ipv4.found + fib.counts().ipv6.found;
  const { enabled, restartTimeMs } = intent.bgp.gracefulRestart;
  const ranLately = fib === undefined && isRestart(stateDir, restartTimeMs, Date.now());
  // Without neighbours of our own there is nobody to wait for: guests are told of from the first moment on.
  const restarting = enabled && intent.bgp.speaker !== 'none' && (found > 0 || ranLately);
  const cannotShow = (error: unknown): void =>
    log.info(`the next start cannot be graceful, ${stateDir} takes no file: ${String(error)}`);
  const life = fib === undefined ? showLife(stateDir, cannotShow) : undefined;
  undo.push(() => life?.close());
  if (fib !== undefined) fib.holdSweep();
  const speaker = new Speaker(
    options.router,
    {
      ...(fib === undefined ? {} : { fib }),
      monitor,
      feed,
      event: (event) => tell(eventOf(event)),
      trouble: (error) => log.error(error),
      guestHeard: (address, heard) => late.guests?.heard(address, heard),
    },
    { port, restarting, netns },
  );
  late.speaker = speaker;
  undo.push(() => speaker.stop(false));
  const { router } = speaker;
  const validation = new OriginValidation(intent.rpki, {
    setOriginValidation: (validate) => router.setOriginValidation(validate),
    originValidationChanged: () => router.originValidationChanged(),
    trouble: (error) => log.error(error),
    tell: (text) => log.event({ level: 'info', kind: 'rpki', text }),
  });
  undo.push(() => validation.close());
  const guests = new GuestSwitch({
    rtnl,
    monitor,
    router,
    stateDir,
    event: tell,
    trouble: (error) => log.error(error),
    kernelFailed: tellKernelFailures((event) => log.event(event)),
  });
  late.guests = guests;
  undo.push(() => guests.close());
  // What is a guest's is wanted again before neighbours hear that this is all, and before anything is swept.
  router.restart.hold();
  await guests.configure(intent);
  while (router.work());
  router.restart.release();
  if (ranLately && restarting) log.info('graceful restart: neighbours may have routes of a former life');
  else if (restarting) log.info(`graceful restart: ${found} routes of a former life are kept`);
  else fib?.sweep();
  return { rtnl, monitor, dataplane, feed, fib, life, speaker, guests, validation };
}

async function startFib(
  { intent, netns, log }: StationOptions,
  late: { readonly speaker?: Speaker },
): Promise<Fib> {
  const refused = tellRefusedRoutes(
    (event) => log.event(event),
    () => realClock.nowMs(),
  );
  const [prefSrc4, prefSrc6] = sourcesOf(intent);
  return Fib.start({
    ...(netns !== undefined && { netns }),
    table: intent.kernel.table,
    metric: intent.kernel.metric,
    prefSrc4,
    prefSrc6,
    hashKey: secretHashKey(),
    readByOthers: intent.bgp.speaker === 'none',
    onAcked: (seq, failed, refusedCount) => {
      refused(refusedCount);
      late.speaker?.fibAcked(seq, failed);
    },
    onRecovered: (family, words, length) => late.speaker?.fibRecovered(family, words, length),
  });
}

/** Packets of this machine carry its loopback, which is reachable whatever link fails. */
function sourcesOf(intent: Intent): [Uint8Array | undefined, Uint8Array | undefined] {
  const first = (length: number): Uint8Array | undefined =>
    intent.bgp.loopbacks.find((prefix: Prefix) => prefix.bytes.length === length)?.bytes;
  return [first(4), first(16)];
}

function kernelIntentOf(intent: Intent, monitor: LinkMonitor, feed: RouteFeed): KernelIntent {
  const patterns = intent.bgp.peers.flatMap(({ where }) =>
    where.kind === 'interface' ? [where.pattern] : [],
  );
  const names = [...monitor.links.values()].map((link) => link.name).sort();
  const raUplinks = new Set<string>();
  // Who announces our routes reads them from the kernel, whether he writes any there or not.
  let otherRoutingDaemon = intent.bgp.speaker === 'none';
  for (const { protocol, length, hops } of feed.routes()) {
    if (isRoutingDaemon(protocol)) otherRoutingDaemon = true;
    if (protocol !== RTPROT_RA || length !== 0) continue;
    for (const { ifindex } of hops) raUplinks.add(monitor.links.get(ifindex)?.name ?? '');
  }
  return {
    profile: intent.bgp.profile ?? 'host',
    loopbacks: intent.bgp.loopbacks,
    fabricPorts: names.filter((name) => patterns.some((pattern) => matchesPattern(pattern, name))),
    routedPorts: routedPortsOf(intent),
    raUplinks: [...raUplinks],
    nexthopCompat: compatOf(intent),
    otherRoutingDaemon,
  };
}

/** In a router namespace every link is there to be routed over. */
function routedPortsOf({ passthrough }: Intent): string[] {
  if (passthrough === undefined) return [];
  const links = passthrough.uplinks.map(({ name }) => name);
  return passthrough.veth === undefined ? links : [...links, passthrough.veth.routerLink];
}

/** Whoever looks into a router namespace with ip(8) is to see gateways, unless the operator wants speed. */
function compatOf({ passthrough, kernel }: Intent): KernelIntent['nexthopCompat'] {
  return passthrough !== undefined && kernel.nexthopCompat === 'auto' ? 1 : kernel.nexthopCompat;
}
