// The daemon's life: start order, reload, stop. Wiring only.
//
//   configuration -> router namespace, where one is wanted -> station (station.ts) -> API
//
// The API comes last, so that whoever finds the socket finds a daemon that answers. Stopping leaves the kernel
// forwarding. Where another configuration wants the speaker in another namespace, or to be another one, the station is
// ended and the next begins; all else is changed while it runs.

import { isDeepStrictEqual } from 'node:util';
import { EventRing, type NewEvent } from '../api/events.ts';
import { reasonOf } from '../api/peer-views.ts';
import { type ApiServer, clearSocket, startApi } from '../api/server.ts';
import type { WallTime } from '../api/wall-time.ts';
import type { Intent } from '../intent/intent.ts';
import { realClock } from '../lib/clock-real.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { kernelFaults } from '../passthrough/openperouter-status.ts';
import type { RouterConfig } from '../router/config.ts';
import type { Peer } from '../router/peer.ts';
import { refuseListener } from './alone.ts';
import type { Arguments } from './arguments.ts';
import { createBackend } from './backend.ts';
import { Configuration, errorLine, startsAnew } from './configuration.ts';
import { limitEvents } from './event-limit.ts';
import { createLog, type Log, tellKernelFailures } from './log.ts';
import { OpenperouterSources } from './openperouter-sources.ts';
import { PassthroughSwitch } from './passthrough-switch.ts';
import { ResourceNews } from './resource-news.ts';
import { Station, type StationOptions, stateDirOf } from './station.ts';
import { notifySystemd } from './systemd.ts';

interface Parts {
  options: Arguments;
  configuration: Configuration;
  log: Log;
  tell: StationOptions['tell'];
  passthrough: PassthroughSwitch;
  sources: OpenperouterSources;
}

export class Daemon {
  readonly #parts: Parts;
  readonly #news: ResourceNews;
  #station: Station;
  #api: ApiServer | undefined;
  #stopping = false;

  /** Starts everything; what was started is ended again when a later part fails. Throws LeafdError. */
  static async start(options: Arguments, version: string): Promise<Daemon> {
    const time: WallTime = { originMs: Date.now() - realClock.nowMs(), nowMs: () => realClock.nowMs() };
    const events = new EventRing(() => Date.now());
    const log = createLog(events);
    const tell = limitEvents(
      (event) => log.event(event),
      () => realClock.nowMs(),
    );
    const undo: (() => unknown)[] = [];
    try {
      const sources = new OpenperouterSources({
        stateDir: options.state,
        trouble: (error) => log.error(error),
        tell: (text) => log.info(text),
      });
      undo.push(() => sources.close());
      const configuration = Configuration.read(options.config, sources);
      const socket = options.socket ?? configuration.intent.api.socket;
      await clearSocket(socket);
      await sources.begin(configuration);
      const { intent, router } = configuration;
      const late: { daemon?: Daemon } = {};
      const tellFailures = tellKernelFailures((event) => log.event(event));
      const passthrough = new PassthroughSwitch({
        stateDir: options.state,
        event: (event) => {
          tell(event);
          tellSystemd(event);
          late.daemon?.reportResources();
        },
        kernelFailed: (failures) => {
          tellFailures(failures);
          late.daemon?.reportResources();
        },
        isUplinkUp: () => late.daemon?.isUplinkUp() ?? false,
        whyNoUplink: () => late.daemon?.whyNoUplink(),
      });
      undo.push(() => passthrough.abandon());
      await passthrough.configure(intent.passthrough);
      const parts: Parts = { options, configuration, log, tell, passthrough, sources };
      const station = await Station.start(stationOptions(parts, intent, router));
      undo.push(() => station.stop(false));
      const daemon = new Daemon(parts, station);
      late.daemon = daemon;
      const whole = { configuration, time, version, passthrough, station: () => daemon.#station };
      daemon.#api = await startApi({
        backend: createBackend(whole),
        events,
        socket,
        listen: intent.api.listen,
        onBug: (error, request) => log.bug(error, request),
      });
      daemon.#begin();
      return daemon;
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    }
  }

  private constructor(parts: Parts, station: Station) {
    const { tell, sources, passthrough } = parts;
    const faults = () => passthrough.plane && kernelFaults(passthrough.plane.status());
    this.#news = new ResourceNews(tell, (status) => sources.report(status), faults);
    this.#parts = parts;
    this.#station = station;
  }

  /** Whether the fabric is heard: a session of it is up, not counting those with speakers of this host. */
  isUplinkUp(): boolean {
    return this.#fabric().some(({ established }) => established !== undefined);
  }

  /** The first neighbour of the fabric, and what is wrong with it. */
  whyNoUplink(): string | undefined {
    const { router } = this.#station;
    const [peer] = this.#fabric();
    if (peer === undefined) return 'no neighbour in the fabric is configured';
    return `${peer.name} ${reasonOf(router, peer) ?? 'has not answered'}`;
  }

  /** The cluster is told how it stands now. */
  reportResources(): void {
    this.#news.report();
  }

  #fabric(): Peer[] {
    const { passthrough } = this.#parts.configuration.intent;
    const speakers = new Set(passthrough?.speakers.flatMap(({ peers }) => peers));
    return [...this.#station.router.directory.byName.values()].filter(({ name }) => !speakers.has(name));
  }

  #begin(): void {
    const { configuration, log, sources, passthrough } = this.#parts;
    const news = this.#news;
    news.look(configuration.openperouter);
    configuration.onChange(async ({ intent, router, before, routerBefore, openperouter }) => {
      const isAnew = startsAnew(before, intent);
      const wasUp = this.isUplinkUp();
      if (isAnew) await this.#startAnew({ intent, router }, { before, routerBefore });
      else {
        await passthrough.configure(intent.passthrough);
        this.#station.configure(intent, router);
      }
      if (isAnew || !isDeepStrictEqual(fabricPeers(router), fabricPeers(routerBefore)))
        this.#tryFabric(wasUp);
      await sources.follow(intent);
      news.look(openperouter);
      log.event({ level: 'info', kind: 'config-applied', text: 'a new configuration is in force' });
    });
    sources.onChange(() => void this.#follow(() => configuration.refresh()));
    const { speaker, asn } = configuration.intent.bgp;
    log.info(speaker === 'none' ? 'leafd is up: another daemon speaks BGP' : `leafd is up: AS ${asn}`);
    notifySystemd('READY=1');
  }

  /**
   * The AS or neighbours of the fabric are others. A NIC that was taken back may have had the wrong ones; one that is
   * inside may have them now, which the operator cannot mend if it was his way in.
   */
  #tryFabric(wasUp: boolean): void {
    const { plane } = this.#parts.passthrough;
    if (plane?.retry() !== true && wasUp) plane?.doubt();
  }

  /** Reads the configuration again; a bad one is told and changes nothing. */
  async reload(): Promise<void> {
    notifySystemd('RELOADING=1');
    await this.#follow(() => this.#parts.configuration.reload());
    notifySystemd('READY=1');
  }

  async #follow(change: () => Promise<void>): Promise<void> {
    if (this.#stopping) return;
    try {
      await change();
    } catch (error) {
      if (!(error instanceof LeafdError)) throw error;
      const hint = error.hint === undefined ? {} : { hint: error.hint };
      this.#parts.log.error(new LeafdError(error.code, `reload refused: ${errorLine(error)}`, hint));
    }
  }

  /**
   * Another speaker takes over. Neighbours of the one that ends are told to forget it, and where the namespace is
   * another one nothing of it stays in the kernel. When the new one cannot start, the former one does again.
   */
  async #startAnew(
    next: { intent: Intent; router: RouterConfig },
    former: { before: Intent; routerBefore: RouterConfig },
  ): Promise<void> {
    const { passthrough } = this.#parts;
    const isHomecoming = former.before.passthrough !== undefined && next.intent.passthrough === undefined;
    // Found out before any session is ended: a speaker of the host may have the port.
    if (isHomecoming && next.intent.bgp.speaker !== 'none') refuseListener(next.intent.bgp.port);
    await this.#station.stop(true);
    try {
      await this.#leave(former.before, next.intent);
      await passthrough.configure(next.intent.passthrough);
      this.#station = await Station.start(stationOptions(this.#parts, next.intent, next.router));
    } catch (error) {
      await this.#startAgain(former).catch((failure: unknown) => {
        // Without a speaker leafd is of no use: who started it starts it again.
        setImmediate(() => {
          throw failure;
        });
      });
      throw error;
    }
  }

  async #startAgain({ before, routerBefore }: { before: Intent; routerBefore: RouterConfig }): Promise<void> {
    await this.#parts.passthrough.configure(before.passthrough);
    this.#station = await Station.start(stationOptions(this.#parts, before, routerBefore));
  }

  /** Nothing of the speaker stays in a namespace that it leaves. */
  async #leave(before: Intent, after: Intent): Promise<void> {
    const netns = before.passthrough?.netns;
    if (netns === after.passthrough?.netns) return;
    const { flushNamespace } = await import('./flush-namespace.ts');
    flushNamespace(stateDirOf(this.#parts.options.state, netns), this.#station.netns);
  }

  /** Ends the daemon. The kernel goes on forwarding, and peers that can keep our routes. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    notifySystemd('STOPPING=1');
    const { configuration, passthrough, sources, log } = this.#parts;
    const { bgp, passthrough: wanted } = configuration.intent;
    const restores = wanted?.restoreOnStop === true;
    log.info(restores ? 'stopping; NICs go back to the host' : 'stopping; the kernel goes on forwarding');
    await sources.close();
    await this.#api?.close();
    await configuration.settled();
    await this.#station.stop(restores || !bgp.gracefulRestart.enabled);
    if (restores) passthrough.restore();
    passthrough.close();
  }
}

/** `systemctl status` names NICs that were taken back, until they are inside for good. */
function tellSystemd({ kind, text }: NewEvent): void {
  if (kind === 'passthrough-rolled-back') notifySystemd(`STATUS=${text}`);
  else if (kind === 'passthrough-confirmed') notifySystemd('STATUS=');
}

/** Those that are no speakers of this host. */
function fabricPeers({ peers }: RouterConfig): RouterConfig['peers'] {
  return peers.filter(({ awaitMs }) => awaitMs === undefined);
}

function stationOptions(
  { options, log, tell, passthrough }: Pick<Parts, 'options' | 'log' | 'tell' | 'passthrough'>,
  intent: Intent,
  router: RouterConfig,
): StationOptions {
  const stateDir = stateDirOf(options.state, intent.passthrough?.netns);
  // A plane may still be there for what could not go back.
  const netns = intent.passthrough && passthrough.plane?.netnsPath;
  return { intent, router, netns, stateDir, log, tell };
}
