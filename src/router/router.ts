// One BGP router as a machine without a clock, sockets or a kernel: what happens in the world is told to it by
// calls, what it wants of the world goes out through ports. `speaker` drives it with real ones, `sim` with
// virtual ones. This file ties the parts together; each part does one thing:
//
//   directory   who our peers are             sessions     their state machines and bytes
//   peers       coming, going, following      session-routes  what a session means for the ribs
//   intake      UPDATE -> rib                 origination  our own routes -> rib
//   next-hops   resolution                    machine-routes  the routes of the machine itself
//   guest-routes  guests -> origination, and what other nodes say of them
//   fib-gate    rib -> kernel -> advertiser   advertiser   rib -> update groups
//   restart     graceful restart, both roles  live-config  another configuration in force
//
// The caller's loop: tell what happened, then `work()` until it says that nothing is left, and again when
// `nextDeadlineMs()` has come. A call of `work` is bounded, so that keepalives never wait for routes.

import type { Clock } from '../lib/clock.ts';
import type { HashKey } from '../lib/hash-key.ts';
import { AttributePool } from '../rib/attribute-pool.ts';
import { NextHopSets } from '../rib/next-hop-sets.ts';
import { NextHopTable } from '../rib/next-hop-table.ts';
import { PeerTable } from '../rib/peer-table.ts';
import { Rib } from '../rib/rib.ts';
import { families, IPV4, IPV6 } from '../wire/bgp/family.ts';
import { Advertiser } from './advertiser.ts';
import { Aggregates } from './aggregates.ts';
import type { RouterConfig } from './config.ts';
import { Directory, type Link } from './directory.ts';
import { FaultLog } from './fault-log.ts';
import { FibGate, FibSets } from './fib-gate.ts';
import { FilterFactory, type ValidateOrigin } from './filters.ts';
import { FlowValidation } from './flow-validation.ts';
import { GuestRoutes } from './guest-routes.ts';
import { Intake } from './intake.ts';
import { identityOf, LiveConfig, optionsFor } from './live-config.ts';
import { type BfdState, Liveness } from './liveness.ts';
import { MachineRoutes } from './machine-routes.ts';
import { MemoryLimit } from './memory-limit.ts';
import { NextHops } from './next-hops.ts';
import { connectTargetOf, hopsOf, type OfferState, sessionConfigOf } from './offer.ts';
import { isWithinReach } from './one-hop.ts';
import { Origination } from './origination.ts';
import { OwnAddresses } from './own-addresses.ts';
import { isEnabled, type Peer } from './peer.ts';
import { Peers } from './peers.ts';
import type { Arrival, RouterEvent, RouterPorts } from './ports.ts';
import { Refreshes } from './refresh.ts';
import { type KernelRoute, Resolver } from './resolver.ts';
import { Restart } from './restart.ts';
import { RouteTargets } from './route-targets.ts';
import { SessionRoutes } from './session-routes.ts';
import { Sessions } from './sessions.ts';
import { Statics } from './statics.ts';

/** Prefixes or paths one call of `work` handles a family: about two milliseconds. */
const SLICE = 4096;

export class Router {
  readonly directory = new Directory();
  readonly peers: Peers;
  readonly pool: AttributePool;
  readonly nextHopTable: NextHopTable;
  readonly nextHopSets: NextHopSets;
  readonly peerTable = new PeerTable();
  readonly ribs: readonly Rib[];
  readonly resolver = new Resolver();
  readonly sessions: Sessions;
  readonly advertiser: Advertiser;
  readonly origination: Origination;
  readonly restart: Restart;
  readonly refreshes: Refreshes;
  readonly liveness: Liveness;
  readonly filters: FilterFactory;
  readonly fibSets: FibSets | undefined;
  /** By family id; families that are no prefixes have none. */
  readonly gates: readonly FibGate[];
  readonly intake: Intake;
  readonly memoryLimit = new MemoryLimit();
  readonly faultLog: FaultLog;
  readonly machineRoutes: MachineRoutes;
  readonly sessionRoutes: SessionRoutes;
  readonly statics: Statics;
  readonly aggregates: Aggregates;
  readonly guests: GuestRoutes;
  readonly routeTargets: RouteTargets;
  readonly flowValidation: FlowValidation;
  readonly #liveConfig: LiveConfig;
  #config: RouterConfig;
  readonly #clock: Clock;
  readonly #ports: RouterPorts;
  readonly nextHops: NextHops;
  readonly ownAddresses = new OwnAddresses();
  #resolveAgain = false;
  /** Between the deferral and the first word; and until the kernel's old routes are swept. */
  #isSettling = false;
  #isFinishing = false;

  /** `hashKey` keeps peers from making collisions; absent: the fixed one, for tests and the simulator. */
  constructor(config: RouterConfig, clock: Clock, ports: RouterPorts, hashKey?: HashKey) {
    this.#config = config;
    this.#clock = clock;
    this.#ports = ports;
    this.peers = new Peers(this, ports);
    this.machineRoutes = new MachineRoutes(this);
    this.sessionRoutes = new SessionRoutes(this, ports);
    this.statics = new Statics(this);
    this.aggregates = new Aggregates(this);
    this.guests = new GuestRoutes(this, ports);
    this.#liveConfig = new LiveConfig(this);
    this.pool = new AttributePool(identityOf(config), hashKey);
    this.nextHopTable = new NextHopTable(hashKey);
    this.nextHopSets = new NextHopSets(this.nextHopTable, hashKey);
    this.ribs = families.map(({ id }) => {
      const options = optionsFor(id, config);
      return new Rib(id, this.pool, this.nextHopTable, this.peerTable, options, this.nextHopSets, hashKey);
    });
    this.routeTargets = new RouteTargets(this);
    const rib = (family: number): Rib => this.ribs[family]!;
    const nowMs = (): number => clock.nowMs();
    this.flowValidation = new FlowValidation({ nowMs, rib, peerTable: this.peerTable }, hashKey);
    const wake = (): void => ports.wake();
    this.origination = new Origination(
      { rib, shape: (prefix, source, offer) => this.filters.shape(prefix, source, offer) },
      this.pool,
    );
    this.filters = new FilterFactory(this);
    this.sessions = new Sessions(
      {
        nowMs,
        sessionConfig: (peer) => sessionConfigOf(this.#config, peer, this.#offerState(peer)),
        connectTarget: (peer) => (this.mayCall(peer) ? connectTargetOf(this.#config, peer) : undefined),
        established: (peer, negotiated) => {
          this.sessionRoutes.established(peer, negotiated);
          this.liveness.follow(peer);
        },
        down: (peer, reason, stale) => {
          this.refreshes.forget(peer);
          this.sessionRoutes.down(peer, reason, stale);
          this.liveness.follow(peer);
        },
        update: (peer, bytes, start, end) => this.intake.update(peer, bytes, start, end),
        routeRefresh: (peer, refresh) => this.refreshes.received(peer, refresh),
        ended: (peer) => this.peers.touch(peer),
      },
      ports,
    );
    const event = (told: RouterEvent): void => ports.event(told);
    this.faultLog = new FaultLog(event, nowMs);
    this.intake = new Intake(
      {
        rib,
        event,
        endOfRib: (peer, family) => this.restart.endOfRib(peer, family),
        tooManyPrefixes: (peer, family, limit) => this.sessionRoutes.tooManyPrefixes(peer, family, limit),
        linkTo: (peer) => this.linkTo(peer),
        resolve: (address) => this.resolver.resolve(address),
      },
      this.faultLog,
      this.pool,
      this.nextHopTable,
    );
    this.restart = new Restart({
      nowMs,
      rib,
      wake,
      peers: () => this.directory.byName.values(),
      isReachable: (peer) => this.peers.isReachable(peer),
      settled: (peer) => {
        this.liveness.follow(peer);
        this.peers.touch(peer);
      },
    });
    this.refreshes = new Refreshes({
      nowMs,
      rib,
      wake,
      resend: (peer, family) => this.advertiser.resend(peer, family),
      stalePathTimeMs: () => this.#config.gracefulRestart?.stalePathTimeMs,
    });
    this.liveness = new Liveness(
      {
        sessions: this.sessions,
        restart: this.restart,
        peer: (index) => this.directory.byIndex[index],
        linkTo: (peer) => this.linkTo(peer),
      },
      ports,
    );
    this.advertiser = new Advertiser(this, (peer, bytes, length, count) =>
      this.sessions.send(peer, bytes, length, count),
    );
    this.nextHops = new NextHops(
      {
        nowMs,
        rib,
        isLinkUp: (ifindex) => this.directory.links.get(ifindex)?.up === true,
        isLocalAddress: (address, ifindex) => this.ownAddresses.has(address, ifindex),
        leadsPast: (bytes, length) => this.machineRoutes.leadsPast(bytes, length),
        changed: (id) => this.#nextHopChanged(id),
      },
      this.nextHopTable,
      this.nextHopSets,
      this.resolver,
    );
    this.fibSets = ports.fib && new FibSets(ports.fib, this.nextHopSets, (id) => this.nextHops.membersOf(id));
    const { fibSets } = this;
    this.gates = fibSets
      ? [this.ribs[IPV4]!, this.ribs[IPV6]!].map(
          (r) =>
            new FibGate(
              r,
              fibSets,
              (id) => this.advertiser.enqueue(r, id),
              (id) => this.machineRoutes.isOutranked(r, id),
            ),
        )
      : [];
  }

  /** Begins; everything the constructor was given is in force from here on. */
  start(): void {
    this.#liveConfig.apply(this.#config, undefined);
  }

  get config(): RouterConfig {
    return this.#config;
  }

  get nowMs(): number {
    return this.#clock.nowMs();
  }

  // ---- the operator ----

  /** Puts another configuration in force. Sessions of which nothing changed stay. */
  configure(config: RouterConfig): void {
    const before = this.#config;
    this.#config = config;
    this.#liveConfig.apply(config, before);
    this.#ports.wake();
  }

  /** Stops, starts, resets or refreshes a peer; `text` is told to it (RFC 9003). */
  act(peer: Peer, action: 'reset' | 'refresh' | 'shutdown' | 'enable', text?: string): void {
    switch (action) {
      case 'shutdown':
        peer.adminDown = true;
        this.sessions.stop(peer, 'adminDown', text ?? peer.config.shutdownText);
        this.restart.forget(peer);
        break;
      case 'enable':
        peer.adminDown = false;
        peer.heldUntilMs = 0;
        this.peers.startIfPossible(peer);
        break;
      case 'reset': {
        const wasHeld = peer.heldUntilMs !== 0;
        peer.heldUntilMs = 0;
        this.sessions.stop(peer, 'adminReset', text);
        // A session that was up comes back by its idle hold time, a held one would not by itself.
        if (wasHeld) this.peers.startIfPossible(peer);
        break;
      }
      case 'refresh':
        this.sessionRoutes.refresh(peer);
    }
    this.#ports.wake();
  }

  /** Routes of a former life are in the kernel, or kept by peers: restart gracefully. Before the first link is told. */
  beginRestart(): void {
    this.restart.begin();
    this.#isSettling = true;
    this.#isFinishing = true;
  }

  /** Ends every session so that peers keep our routes (a restart), or drop them (`final`). */
  stop(final: boolean): void {
    for (const peer of this.directory.byName.values())
      if (final) this.sessions.stop(peer, 'adminDown', peer.config.shutdownText ?? 'leafd stops');
      else this.sessions.stop(peer, 'localRestart');
  }

  // ---- origin validation (RFC 6811) ----

  /** How routes are judged from now on; undefined: not at all. */
  setOriginValidation(validate: ValidateOrigin | undefined): void {
    this.filters.setOriginValidation(validate);
    this.originValidationChanged();
  }

  /** What was judged before is judged anew, where a policy reads it. */
  originValidationChanged(): void {
    this.sessionRoutes.originsJudgedAnew();
    this.#ports.wake();
  }

  // ---- links and neighbours ----

  linkChanged(link: Link): void {
    const { links } = this.directory;
    const before = links.get(link.ifindex);
    if (before !== undefined && before.name !== link.name) this.linkRemoved(link.ifindex);
    const wasUp = links.get(link.ifindex)?.up === true;
    links.set(link.ifindex, link);
    this.peers.matchLink(link);
    if (before?.name !== link.name) this.statics.linksChanged();
    if (link.up !== wasUp) {
      if (link.up) this.peers.linkUp(link);
      else this.peers.linkDown(link);
      this.nextHops.linkChanged(link.ifindex);
    }
    this.#ports.wake();
  }

  linkRemoved(ifindex: number): void {
    const link = this.directory.links.get(ifindex);
    if (link === undefined) return;
    if (link.up) this.linkChanged({ ...link, up: false });
    this.directory.links.delete(ifindex);
    this.peers.linkRemoved(ifindex);
    this.statics.linksChanged();
    this.nextHops.linkChanged(ifindex);
    this.#ports.wake();
  }

  /** A router advertisement told the link-local address of the other end. */
  neighbourHeard(ifindex: number, address: Uint8Array): void {
    this.peers.heard(ifindex, address);
  }

  /** BFD's word for the peer with this index; `independent`: the C bit that the peer sent (RFC 5880 4.1). */
  bfdChanged(peer: number, state: BfdState, independent: boolean): void {
    this.liveness.changed(peer, state, independent);
    this.#ports.wake();
  }

  // ---- the kernel's own routes ----

  kernelRouteAdded(route: KernelRoute): void {
    this.machineRoutes.added(route);
    if (route.source === 'connected') this.peers.subnetAdded(route);
  }

  kernelRouteRemoved(route: KernelRoute): void {
    this.machineRoutes.removed(route);
  }

  /** There is something to do: `work` has to be called. */
  wake(): void {
    this.#ports.wake();
  }

  /** An address of ours, on an interface; 0 where that does not matter. */
  localAddress(address: Uint8Array, present: boolean, ifindex = 0, prefixLength = 0): void {
    if (present) this.ownAddresses.add(address, ifindex, prefixLength);
    else this.ownAddresses.remove(address, ifindex, prefixLength);
    this.#resolveAgain = true;
    this.#ports.wake();
  }

  /** The link on which a peer with an address is, by what is connected; 0 when it is farther away. */
  linkTo(peer: Peer): number {
    if (peer.ifindex !== 0 || peer.remote === undefined) return peer.ifindex;
    const way = this.resolver.resolve(peer.remote);
    return way === undefined || way.gateway !== undefined ? 0 : way.ifindex;
  }

  /** Whether there is a way by which the peer is called (one-hop.ts). */
  mayCall(peer: Peer): boolean {
    const { resolver, directory } = this;
    const isLinkUp = (ifindex: number): boolean => directory.links.get(ifindex)?.up === true;
    return isWithinReach(
      { config: this.#config, resolver, rib: (family) => this.ribs[family]!, isLinkUp },
      peer,
    );
  }

  // ---- transport ----

  /** Somebody connects to us: the peer it is, or undefined when nobody is expected from there. */
  incoming(remote: Uint8Array, ifindex: number, arrival?: Arrival): Peer | undefined {
    const peer = this.peers.incoming(remote, ifindex, arrival);
    this.#ports.wake();
    return peer;
  }

  accepted(peer: Peer, connection: number, local: Uint8Array): boolean {
    const taken = this.sessions.accepted(peer, connection, local);
    this.#ports.wake();
    return taken;
  }

  connected(connection: number, local: Uint8Array): void {
    this.sessions.connected(connection, local);
    this.#ports.wake();
  }

  connectionLost(connection: number, message?: string): void {
    this.sessions.lost(connection, message);
    this.#ports.wake();
  }

  received(connection: number, bytes: Uint8Array): void {
    this.sessions.received(connection, bytes);
    this.#ports.wake();
  }

  writable(connection: number): void {
    const peer = this.sessions.writable(connection);
    if (peer !== undefined) this.advertiser.writable(peer);
    this.#ports.wake();
  }

  fibAcked(seq: number, failedIndexes: readonly number[]): void {
    this.fibSets?.acked(seq, failedIndexes);
    this.#ports.wake();
  }

  /** The kernel has taken a route after all that it had refused; `words` is the address, 1 or 4 of them. */
  fibRecovered(family: number, words: readonly number[], length: number): void {
    const [a = 0, b = 0, c = 0, d = 0] = words;
    const id = this.ribs[family]!.find(a, b, c, d, length);
    if (id >= 0) this.gates[family]?.recovered(id);
    this.#ports.wake();
  }

  // ---- the loop ----

  /** Does a bounded piece of work; returns whether there is more. */
  work(): boolean {
    this.sessions.expire();
    this.restart.expire();
    this.refreshes.expire();
    this.faultLog.expire();
    this.nextHops.expire();
    this.#endDeferral();
    this.machineRoutes.follow();
    if (this.#resolveAgain) {
      this.#resolveAgain = false;
      this.nextHops.refresh();
    }
    let more = this.nextHops.follow();
    const nowS = Math.floor(this.nowMs / 1000);
    for (const rib of this.ribs) {
      rib.nowS = nowS;
      if (rib.work(SLICE * 8)) more = true;
      if (this.restart.isDeferring) continue;
      const left = rib.decide(SLICE);
      this.nextHops.take(rib);
      this.guests.take(rib);
      this.aggregates.take(rib);
      this.routeTargets.take(rib);
      this.flowValidation.take(rib);
      if (this.nextHops.follow()) more = true;
      const gate = this.gates[rib.family];
      if (gate !== undefined) {
        gate.take();
        if (gate.work(SLICE)) more = true;
      } else for (let i = 0; i < rib.changes.count; i++) this.advertiser.enqueue(rib, rib.changes.ids[i]!);
      if (left) more = true;
    }
    // Before neighbours hear of a guest that has gone elsewhere.
    if (this.guests.tell()) more = true;
    if (!this.restart.isDeferring) {
      if (this.aggregates.work()) more = true;
      if (this.flowValidation.work()) more = true;
      this.#finishRestart();
      if (this.advertiser.flush(SLICE)) more = true;
    }
    if (this.memoryLimit.isExceeded(this.pool.pageCount)) {
      this.sessionRoutes.tooManyAttributes();
      more = true;
    }
    this.peers.tidyUp();
    return more;
  }

  #endDeferral(): void {
    if (!this.restart.isDeferring) return;
    const waited = this.restart.waitingFor();
    const end = this.restart.endIfDue();
    if (end === undefined) return;
    const late = waited.length > 3 ? `${waited.length} peers` : waited.join(', ');
    const text = end === 'allHaveSpoken' ? 'all peers have spoken' : `the time is up for ${late}`;
    this.#ports.event({ kind: 'restartDone', text });
  }

  /** When `work` has to be called even if nothing happens; Infinity for never. */
  nextDeadlineMs(): number {
    // What is worked out from decisions waits with them for the end of a restart.
    const decided = this.restart.isDeferring
      ? Number.POSITIVE_INFINITY
      : Math.min(this.aggregates.nextDeadlineMs(), this.flowValidation.nextDeadlineMs());
    return Math.min(
      decided,
      this.sessions.nextDeadlineMs(),
      this.restart.nextDeadlineMs(),
      this.refreshes.nextDeadlineMs(),
      this.advertiser.nextDeadlineMs(),
      this.peers.nextDeadlineMs(),
      this.faultLog.nextDeadlineMs(),
      this.nextHops.nextDeadlineMs(),
    );
  }

  /** Whether a restart is still under way; it ends with the sweep of the kernel's old routes. */
  get isFinishing(): boolean {
    return this.#isFinishing;
  }

  /** Whether new members have to wait for the first word: decisions wait for a restart to end. */
  get isSilent(): boolean {
    return this.restart.isDeferring || this.#isSettling;
  }

  // ---- sessions ----

  /** TTL of a peer's connections; the transport asks it for those that come in. */
  hops(peer: Peer): { ttl: number; minTtl: number } {
    return hopsOf(this.#config, peer);
  }

  #offerState(peer: Peer): OfferState {
    return {
      restarting: this.restart.isDeferring,
      // A machine that comes up with an empty kernel has preserved nothing (RFC 4724, 3). One that never forwards, a
      // reflector, loses nothing by restarting: what it told of leads elsewhere.
      forwards: this.restart.hasBegun || peer.counters.establishedCount > 0,
      mayRestart: isEnabled(peer, this.nowMs) && !this.peers.isLeaving(peer),
    };
  }

  // ---- routes ----

  #nextHopChanged(nextHopId: number): void {
    this.fibSets?.nextHopChanged(nextHopId);
    for (const rib of this.ribs) rib.nextHopChanged(nextHopId);
    this.#ports.wake();
  }

  /**
   * After a restart: once the kernel has all that is wanted the peers hear of it, and what it has beyond that goes
   * as soon as nobody can ask for it any more.
   */
  #finishRestart(): void {
    if (!this.#isFinishing || this.ribs.some((rib) => rib.dirtyCount > 0)) return;
    if (this.fibSets !== undefined && this.fibSets.pending > 0) return;
    if (this.#isSettling) {
      this.#isSettling = false;
      this.advertiser.breakSilence();
    }
    if (!this.restart.maySweep) return;
    this.#isFinishing = false;
    this.restart.swept();
    this.#ports.fib?.sweep();
  }

  /** The routes of a family, by its id. */
  rib(family: number): Rib {
    return this.ribs[family]!;
  }
}
