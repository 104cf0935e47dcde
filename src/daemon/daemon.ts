// The daemon's life: start order, reload, stop. Wiring only.
//
//   configuration -> links -> FIB (what the kernel holds is kept) -> routes of others -> sysctls and loopbacks
//     -> speaker -> API
//
// The kernel is read before the first session, so that a restart knows whether it has to be graceful, and the API
// comes last, so that whoever finds the socket finds a daemon that answers. Stopping leaves the kernel forwarding.

import { EventRing } from '../api/events.ts';
import type { LookAtBfd } from '../api/peer-views.ts';
import { type ApiServer, startApi } from '../api/server.ts';
import type { WallTime } from '../api/wall-time.ts';
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
import { OriginValidation } from '../speaker/rpki.ts';
import { Speaker } from '../speaker/speaker.ts';
import { refuseCompany } from './alone.ts';
import type { Arguments } from './arguments.ts';
import { createBackend } from './backend.ts';
import { Configuration, errorLine } from './configuration.ts';
import { limitEvents } from './event-limit.ts';
import { GuestSwitch } from './guest-switch.ts';
import { isRestart, showLife } from './last-life.ts';
import { createLog, eventOf, type Log, tellKernelFailures, tellRefusedRoutes } from './log.ts';
import { isRoutingDaemon, RTPROT_RA, routesForRouting } from './protocols.ts';
import { notifySystemd } from './systemd.ts';

/** After a link came, went or was renamed; after any other news of one. */
const FOLLOW_DELAY_MS = 5;
const FOLLOW_LATER_MS = 250;

export class Daemon {
  readonly #configuration: Configuration;
  readonly #log: Log;
  readonly #rtnl: Rtnl;
  readonly #monitor: LinkMonitor;
  readonly #dataplane: Dataplane;
  readonly #feed: RouteFeed;
  readonly #fib: Fib | undefined;
  readonly #life: { close(): void } | undefined;
  readonly #speaker: Speaker;
  readonly #validation: OriginValidation;
  readonly #guests: GuestSwitch;
  readonly #api: ApiServer;
  readonly #subscriptions: { close(): void }[];
  #followed = '';
  #following: NodeJS.Timeout | undefined;
  #followDueMs = 0;
  #stopping = false;

  /** Starts everything; what was started is ended again when a later part fails. Throws LeafdError. */
  static async start(options: Arguments, version: string): Promise<Daemon> {
    const configuration = Configuration.read(options.config);
    const { intent } = configuration;
    const time: WallTime = { originMs: Date.now() - realClock.nowMs(), nowMs: () => realClock.nowMs() };
    const events = new EventRing(() => Date.now());
    const log = createLog(events);
    const tell = limitEvents(
      (event) => log.event(event),
      () => realClock.nowMs(),
    );
    const undo: (() => unknown)[] = [];
    const socket = options.socket ?? intent.api.socket;
    const port = intent.bgp.speaker === 'none' ? undefined : intent.bgp.port;
    await refuseCompany(socket, port);
    try {
      const rtnl = kernelRtnl();
      undo.push(() => rtnl.close());
      const monitor = new LinkMonitor(rtnl);
      undo.push(() => monitor.close());
      const onChange = tellKernelFailures((event) => log.event(event));
      const dataplane = new Dataplane({ rtnl, links: monitor, stateDir: options.state, onChange });
      undo.push(() => dataplane.close());
      const speakerOf: { speaker?: Speaker; guests?: GuestSwitch } = {};
      const fib = intent.kernel.fib ? await startFib(intent, log, speakerOf) : undefined;
      if (fib !== undefined) undo.push(() => fib.close());
      // Our own writes would come back as events: the feed leaves them out.
      const ignorePortIds = fib === undefined ? [] : [fib.writerPortId];
      const { table } = intent.kernel;
      const feed = new RouteFeed(rtnl, { table, protocols: routesForRouting, ignorePortIds });
      undo.push(() => feed.close());
      dataplane.setIntent(kernelIntentOf(intent, monitor, feed));
      const found = fib === undefined ? 0 : fib.counts().ipv4.found + fib.counts().ipv6.found;
      const { enabled, restartTimeMs } = intent.bgp.gracefulRestart;
      const ranLately = fib === undefined && isRestart(options.state, restartTimeMs, Date.now());
      // Without neighbours of our own there is nobody to wait for: guests are told of from the first moment on.
      const restarting = enabled && intent.bgp.speaker !== 'none' && (found > 0 || ranLately);
      const cannotShow = (error: unknown): void =>
        log.info(`the next start cannot be graceful, ${options.state} takes no file: ${String(error)}`);
      const life = fib === undefined ? showLife(options.state, cannotShow) : undefined;
      undo.push(() => life?.close());
      if (fib !== undefined) fib.holdSweep();
      const speaker = new Speaker(
        configuration.router,
        {
          ...(fib === undefined ? {} : { fib }),
          monitor,
          feed,
          event: (event) => tell(eventOf(event)),
          trouble: (error) => log.error(error),
          guestHeard: (address, heard) => speakerOf.guests?.heard(address, heard),
        },
        { port, restarting },
      );
      speakerOf.speaker = speaker;
      undo.push(() => speaker.stop(false));
      const validation = new OriginValidation(intent.rpki, {
        setOriginValidation: (validate) => speaker.router.setOriginValidation(validate),
        originValidationChanged: () => speaker.router.originValidationChanged(),
        trouble: (error) => log.error(error),
        tell: (text) => log.event({ level: 'info', kind: 'rpki', text }),
      });
      undo.push(() => validation.close());
      const { router } = speaker;
      const guests = new GuestSwitch({
        rtnl,
        monitor,
        router,
        stateDir: options.state,
        event: tell,
        trouble: (error) => log.error(error),
        kernelFailed: tellKernelFailures((event) => log.event(event)),
      });
      speakerOf.guests = guests;
      undo.push(() => guests.close());
      // What is a guest's is wanted again before neighbours hear that this is all, and before anything is swept.
      router.restart.hold();
      await guests.configure(intent);
      while (router.work());
      router.restart.release();
      if (ranLately && restarting) log.info('graceful restart: neighbours may have routes of a former life');
      else if (restarting) log.info(`graceful restart: ${found} routes of a former life are kept`);
      else fib?.sweep();
      const bfd: LookAtBfd = (peer) => speaker.bfd(peer);
      const parts = { router, fib, dataplane, guests, validation, bfd, configuration, time, version };
      const api = await startApi({
        backend: createBackend(parts),
        events,
        socket,
        listen: intent.api.listen,
        onBug: (error, request) => log.bug(error, request),
      });
      return new Daemon({
        configuration,
        log,
        rtnl,
        monitor,
        dataplane,
        feed,
        fib,
        life,
        speaker,
        guests,
        validation,
        api,
      });
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    }
  }

  private constructor(parts: {
    configuration: Configuration;
    log: Log;
    rtnl: Rtnl;
    monitor: LinkMonitor;
    dataplane: Dataplane;
    feed: RouteFeed;
    fib: Fib | undefined;
    life: { close(): void } | undefined;
    speaker: Speaker;
    guests: GuestSwitch;
    validation: OriginValidation;
    api: ApiServer;
  }) {
    this.#configuration = parts.configuration;
    this.#log = parts.log;
    this.#rtnl = parts.rtnl;
    this.#monitor = parts.monitor;
    this.#dataplane = parts.dataplane;
    this.#feed = parts.feed;
    this.#fib = parts.fib;
    this.#life = parts.life;
    this.#speaker = parts.speaker;
    this.#validation = parts.validation;
    this.#guests = parts.guests;
    this.#api = parts.api;
    this.#subscriptions = [
      this.#monitor.subscribe({
        link: (link, change, before) => {
          const isNews = change !== 'changed' || before?.name !== link.name;
          this.#follow(isNews ? FOLLOW_DELAY_MS : FOLLOW_LATER_MS);
        },
      }),
      this.#feed.subscribe((route) => {
        if (isRoutingDaemon(route.protocol)) this.#follow(FOLLOW_DELAY_MS);
      }),
    ];
    this.#configuration.onChange(({ intent, router }) => {
      this.#dataplane.setIntent(kernelIntentOf(intent, this.#monitor, this.#feed));
      const [source4, source6] = sourcesOf(intent);
      this.#fib?.setPrefSrc(0, source4);
      this.#fib?.setPrefSrc(1, source6);
      this.#speaker.configure(router);
      this.#guests.configure(intent).catch((error: unknown) => {
        const hint = `${String(error)}; start leafd anew`;
        this.#log.error(
          new LeafdError('guests-left-behind', 'guests do not follow the configuration', { hint }),
        );
      });
      this.#validation.configure(intent.rpki);
      this.#log.event({ level: 'info', kind: 'config-applied', text: 'a new configuration is in force' });
    });
    const { speaker, asn } = this.#configuration.intent.bgp;
    this.#log.info(speaker === 'none' ? 'leafd is up: another daemon speaks BGP' : `leafd is up: AS ${asn}`);
    notifySystemd('READY=1');
  }

  /** Reads the configuration again; a bad one is told and changes nothing. */
  async reload(): Promise<void> {
    notifySystemd('RELOADING=1');
    try {
      await this.#configuration.reload();
    } catch (error) {
      if (!(error instanceof LeafdError)) throw error;
      const hint = error.hint === undefined ? {} : { hint: error.hint };
      this.#log.error(new LeafdError(error.code, `reload refused: ${errorLine(error)}`, hint));
    } finally {
      notifySystemd('READY=1');
    }
  }

  /** Ends the daemon. The kernel goes on forwarding, and peers that can keep our routes. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    notifySystemd('STOPPING=1');
    this.#log.info('stopping; the kernel goes on forwarding');
    for (const subscription of this.#subscriptions) subscription.close();
    await this.#api.close();
    this.#validation.close();
    await this.#guests.close();
    await this.#speaker.stop(!this.#configuration.intent.bgp.gracefulRestart.enabled);
    this.#life?.close();
    await this.#fib?.close();
    this.#feed.close();
    this.#dataplane.close();
    this.#monitor.close();
    this.#rtnl.close();
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
    const wanted = kernelIntentOf(this.#configuration.intent, this.#monitor, this.#feed);
    const key = JSON.stringify([wanted.fabricPorts, wanted.otherRoutingDaemon]);
    if (key === this.#followed) return;
    this.#followed = key;
    this.#dataplane.setIntent(wanted);
  }
}

async function startFib(intent: Intent, log: Log, late: { speaker?: Speaker }): Promise<Fib> {
  const refused = tellRefusedRoutes(
    (event) => log.event(event),
    () => realClock.nowMs(),
  );
  const [prefSrc4, prefSrc6] = sourcesOf(intent);
  return Fib.start({
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
    raUplinks: [...raUplinks],
    nexthopCompat: intent.kernel.nexthopCompat,
    otherRoutingDaemon,
  };
}
