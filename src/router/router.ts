// One BGP router as a machine without a clock, sockets or a kernel: what happens in the world is told to it by
// calls, what it wants of the world goes out through ports. `speaker` drives it with real ones, `sim` with
// virtual ones. This file ties the parts together; each part does one thing:
//
//   directory  who our peers are            sessions   their state machines and bytes
//   intake     UPDATE -> rib                origination our own routes -> rib
//   next-hops  resolution                   fib-gate   rib -> kernel -> advertiser
//   advertiser rib -> update groups         restart    graceful restart, both roles
//   peers      coming, going, following neighbours and links
//
// The caller's loop: tell what happened, then `work()` until it says that nothing is left, and again when
// `nextDeadlineMs()` has come. A call of `work` is bounded, so that keepalives never wait for routes.

import { readU32 } from '../lib/bytes.ts';
import type { Clock } from '../lib/clock.ts';
import type { HashKey } from '../lib/hash-key.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import { AttributePool } from '../rib/attribute-pool.ts';
import { NextHopSets } from '../rib/next-hop-sets.ts';
import { NextHopTable } from '../rib/next-hop-table.ts';
import { PeerTable } from '../rib/peer-table.ts';
import { Rib } from '../rib/rib.ts';
import type { Negotiated } from '../session/negotiate.ts';
import type { DownReason } from '../session/reason.ts';
import { families, familiesIn, IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { Fault } from '../wire/bgp/fault.ts';
import type { RouteRefresh } from '../wire/bgp/refresh.ts';
import { encodeRouteRefresh, REFRESH_REQUEST } from '../wire/bgp/refresh.ts';
import { Advertiser } from './advertiser.ts';
import type { RouterConfig } from './config.ts';
import { Directory, type Link } from './directory.ts';
import { FibGate, FibSets } from './fib-gate.ts';
import { FilterFactory } from './filters.ts';
import { Intake } from './intake.ts';
import { NextHops } from './next-hops.ts';
import { connectTargetOf, hopsOf, type OfferState, sessionConfigOf } from './offer.ts';
import { type LocalSource, Origination } from './origination.ts';
import { OwnAddresses } from './own-addresses.ts';
import { isEnabled, type Peer } from './peer.ts';
import { Peers } from './peers.ts';
import type { RouterPorts } from './ports.ts';
import { type KernelRoute, Resolver } from './resolver.ts';
import { Restart } from './restart.ts';
import { Sessions } from './sessions.ts';

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
  readonly filters: FilterFactory;
  readonly fibSets: FibSets | undefined;
  readonly gates: readonly FibGate[];
  #config: RouterConfig;
  readonly #clock: Clock;
  readonly #ports: RouterPorts;
  readonly #intake: Intake;
  readonly #nextHops: NextHops;
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
    const clusterId = config.clusterId ?? config.bgpId;
    this.peers = new Peers(this, ports);
    this.pool = new AttributePool({ asn: config.asn, routerId: config.bgpId, clusterId }, hashKey);
    this.nextHopTable = new NextHopTable(hashKey);
    this.nextHopSets = new NextHopSets(this.nextHopTable, hashKey);
    const options = { multipath: config.multipath, multipathRelax: config.multipathRelax };
    this.ribs = families.map(
      ({ id }) =>
        new Rib(id, this.pool, this.nextHopTable, this.peerTable, options, this.nextHopSets, hashKey),
    );
    const rib = (family: number): Rib => this.ribs[family]!;
    const nowMs = (): number => clock.nowMs();
    const wake = (): void => ports.wake();
    this.origination = new Origination(
      { rib, shape: (prefix, source, attributes) => this.filters.redistribute(prefix, source, attributes) },
      this.pool,
    );
    this.filters = new FilterFactory(this);
    this.sessions = new Sessions(
      {
        nowMs,
        sessionConfig: (peer) => sessionConfigOf(this.#config, peer, this.#offerState(peer)),
        connectTarget: (peer) => connectTargetOf(this.#config, peer),
        established: (peer, negotiated) => this.#established(peer, negotiated),
        down: (peer, reason, stale) => this.#down(peer, reason, stale),
        update: (peer, bytes, start, end) => this.#update(peer, bytes, start, end),
        routeRefresh: (peer, refresh) => this.#routeRefresh(peer, refresh),
      },
      ports,
    );
    this.#intake = new Intake(
      {
        rib,
        event: (event) => ports.event(event),
        endOfRib: (peer, family) => this.restart.endOfRib(peer, family),
        tooManyPrefixes: (peer, family, limit) => this.#tooManyPrefixes(peer, family, limit),
        linkTo: (peer) => this.linkTo(peer),
        resolve: (address) => this.resolver.resolve(address),
      },
      this.pool,
      this.nextHopTable,
    );
    this.restart = new Restart({
      nowMs,
      rib,
      wake,
      peers: () => this.directory.byName.values(),
      isReachable: (peer) => this.peers.isReachable(peer),
    });
    this.advertiser = new Advertiser(this, (peer, bytes, length, count) =>
      this.sessions.send(peer, bytes, length, count),
    );
    this.#nextHops = new NextHops(
      {
        isLinkUp: (ifindex) => this.directory.links.get(ifindex)?.up === true,
        isLocalAddress: (address, ifindex) => this.ownAddresses.has(address, ifindex),
        changed: (id) => this.#nextHopChanged(id),
      },
      this.nextHopTable,
      this.nextHopSets,
      this.resolver,
    );
    this.fibSets =
      ports.fib && new FibSets(ports.fib, this.nextHopSets, (id) => this.#nextHops.membersOf(id));
    const { fibSets } = this;
    this.gates = fibSets
      ? this.ribs.map(
          (r) =>
            new FibGate(
              r,
              fibSets,
              (id) => this.advertiser.enqueue(r, id),
              (id) => this.#isOutranked(r, id),
            ),
        )
      : [];
  }

  /** Begins; everything the constructor was given is in force from here on. */
  start(): void {
    this.#applyConfig(this.#config, undefined);
  }

  get config(): RouterConfig {
    return this.#config;
  }

  get nowMs(): number {
    return this.#clock.nowMs();
  }

  // ---- the operator ----

  /** Puts another configuration in force. Sessions of which nothing changed stay. ASN and router id may not change. */
  configure(config: RouterConfig): void {
    const before = this.#config;
    this.#config = config;
    this.#applyConfig(config, before);
    this.#ports.wake();
  }

  /** Stops, starts, resets or refreshes a peer; `text` is told to it (RFC 9003). */
  act(peer: Peer, action: 'reset' | 'refresh' | 'shutdown' | 'enable', text?: string): void {
    switch (action) {
      case 'shutdown':
        peer.adminDown = true;
        this.sessions.stop(peer, 'adminDown', text);
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
        this.#refresh(peer);
    }
    this.#ports.wake();
  }

  /** Routes of a former life are in the kernel: restart gracefully. Call it before the first link is told. */
  beginRestart(): void {
    this.restart.begin();
    this.#isSettling = true;
    this.#isFinishing = true;
  }

  /** Ends every session so that peers keep our routes (a restart), or drop them (`final`). */
  stop(final: boolean): void {
    for (const peer of this.directory.byName.values())
      this.sessions.stop(peer, final ? 'adminDown' : 'localRestart', final ? 'leafd stops' : undefined);
  }

  // ---- links and neighbours ----

  linkChanged(link: Link): void {
    const { links } = this.directory;
    const before = links.get(link.ifindex);
    if (before !== undefined && before.name !== link.name) this.linkRemoved(link.ifindex);
    const wasUp = links.get(link.ifindex)?.up === true;
    links.set(link.ifindex, link);
    this.peers.matchLink(link);
    if (link.up !== wasUp) {
      if (link.up) this.peers.linkUp(link);
      else this.peers.linkDown(link);
      this.#resolveAgain = true;
    }
    this.#ports.wake();
  }

  linkRemoved(ifindex: number): void {
    const link = this.directory.links.get(ifindex);
    if (link === undefined) return;
    if (link.up) this.linkChanged({ ...link, up: false });
    this.directory.links.delete(ifindex);
    this.peers.linkRemoved(ifindex);
    this.#resolveAgain = true;
    this.#ports.wake();
  }

  /** A router advertisement told the link-local address of the other end. */
  neighbourHeard(ifindex: number, address: Uint8Array): void {
    this.peers.heard(ifindex, address);
  }

  // ---- the kernel's own routes ----

  kernelRouteAdded(route: KernelRoute): void {
    this.resolver.add(route);
    this.#kernelRouteChanged(route);
  }

  kernelRouteRemoved(route: KernelRoute): void {
    this.resolver.remove(route);
    this.#kernelRouteChanged(route);
  }

  #kernelRouteChanged(route: KernelRoute): void {
    this.#redistribute(route);
    const { bytes } = route;
    const four = bytes.length === 4;
    const family = four ? IPV4 : IPV6;
    const [b, c, d] = four ? [0, 0, 0] : [readU32(bytes, 4), readU32(bytes, 8), readU32(bytes, 12)];
    const id = this.ribs[family]!.find(readU32(bytes, 0), b, c, d, route.length);
    if (id >= 0) this.gates[family]?.reconsider(id);
  }

  #isOutranked(rib: Rib, id: number): boolean {
    const { words, address, length } = rib.table;
    const at = id * words;
    const four = words === 1;
    const [b, c, d] = four ? [0, 0, 0] : [address[at + 1]!, address[at + 2]!, address[at + 3]!];
    return this.resolver.outranks(four, address[at]!, b, c, d, length[id]!);
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

  // ---- transport ----

  /** Somebody connects to us: the peer it is, or undefined when nobody is expected from there. */
  incoming(remote: Uint8Array, ifindex: number): Peer | undefined {
    return this.peers.incoming(remote, ifindex);
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
    this.#endDeferral();
    if (this.#resolveAgain) {
      this.#resolveAgain = false;
      this.#nextHops.refresh();
    } else this.#nextHops.follow();
    let more = false;
    const nowS = Math.floor(this.nowMs / 1000);
    for (const rib of this.ribs) {
      rib.nowS = nowS;
      if (rib.work(SLICE * 8)) more = true;
      if (this.restart.isDeferring) continue;
      const left = rib.decide(SLICE);
      this.#nextHops.follow();
      const gate = this.gates[rib.family];
      if (gate !== undefined) gate.take();
      else for (let i = 0; i < rib.changes.count; i++) this.advertiser.enqueue(rib, rib.changes.ids[i]!);
      if (left) more = true;
    }
    if (!this.restart.isDeferring) {
      this.#finishRestart();
      if (this.advertiser.flush(SLICE)) more = true;
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
    return Math.min(
      this.sessions.nextDeadlineMs(),
      this.restart.nextDeadlineMs(),
      this.advertiser.nextDeadlineMs(),
      this.peers.nextDeadlineMs(),
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

  // ---- configuration ----

  #applyConfig(config: RouterConfig, before: RouterConfig | undefined): void {
    this.directory.setConfigs(config.peers);
    this.restart.configure(config.gracefulRestart);
    if (
      before !== undefined &&
      (before.multipath !== config.multipath || before.multipathRelax !== config.multipathRelax)
    )
      for (const rib of this.ribs)
        rib.setOptions({ multipath: config.multipath, multipathRelax: config.multipathRelax });
    this.filters.configure(config);
    this.#applyNetworks(config.networks, before?.networks ?? []);
    if (before !== undefined) {
      this.origination.reshape();
      for (const route of this.resolver.all()) this.#redistribute(route);
    }
    this.peers.reconfigure((peer) => this.#applyLive(peer));
  }

  #applyNetworks(wanted: readonly Prefix[], present: readonly Prefix[]): void {
    const keys = new Set(wanted.map(prefixText));
    for (const prefix of present) if (!keys.has(prefixText(prefix))) this.origination.remove(prefix, 'local');
    for (const prefix of wanted) this.origination.add(prefix, 'local');
  }

  // ---- sessions ----

  /** TTL of a peer's connections; the transport asks it for those that come in. */
  hops(peer: Peer): { ttl: number; minTtl: number } {
    return hopsOf(this.#config, peer);
  }

  #offerState(peer: Peer): OfferState {
    return {
      restarting: this.restart.isDeferring,
      // A machine that comes up with an empty kernel has preserved nothing (RFC 4724, 3).
      forwards:
        this.#ports.fib !== undefined && (this.restart.hasBegun || peer.counters.establishedCount > 0),
      mayRestart: isEnabled(peer, this.nowMs) && !this.peers.isLeaving(peer),
    };
  }

  #established(peer: Peer, negotiated: Negotiated): void {
    peer.families = negotiated.families;
    peer.establishedAtMs = this.nowMs;
    peer.counters.establishedCount++;
    this.#identify(peer, negotiated);
    this.#intake.open(peer, {
      asn4: negotiated.asn4,
      internal: negotiated.internal,
      families: negotiated.families,
      addPath: negotiated.addPathReceive,
      firstAsn: negotiated.internal ? 0 : negotiated.remoteAsn,
    });
    this.restart.peerEstablished(peer, negotiated);
    this.#applyPolicies(peer, negotiated);
    const name = negotiated.fqdn?.host;
    const event = { kind: 'peerUp', peer: peer.name, remoteAsn: negotiated.remoteAsn } as const;
    this.#ports.event(name === undefined ? event : { ...event, name });
  }

  /** What the decision and the export rules have to know of the peer; kept stale paths are judged by it anew. */
  #identify(peer: Peer, negotiated: Negotiated): void {
    this.peerTable.update(peer.index, {
      kind: negotiated.internal ? 'internal' : 'external',
      asn: negotiated.remoteAsn,
      bgpId: negotiated.remoteBgpId,
      address: peer.remote ?? new Uint8Array(16),
      scope: peer.ifindex,
      weight: peer.config.weight,
      rrClient: peer.config.routeReflectorClient,
    });
    let concerned = false;
    for (const rib of this.ribs) {
      rib.peerChanged(peer.index);
      concerned ||= rib.perPeer.hasAny(peer.index);
    }
    if (concerned) this.advertiser.reconsider();
  }

  /** Another configuration of an Established peer whose session stays. */
  #applyLive(peer: Peer): void {
    const { weight, routeReflectorClient } = peer.config;
    const { index } = peer;
    const rrClient = this.peerTable.rrClient[index] === 1;
    if (this.peerTable.weight[index] !== weight || rrClient !== routeReflectorClient)
      this.#identify(peer, peer.negotiated!);
    this.#applyPolicies(peer, peer.negotiated!);
  }

  /** Import filters and update groups of an Established peer, from what the configuration says now. */
  #applyPolicies(peer: Peer, negotiated: Negotiated): void {
    for (const family of familiesIn(negotiated.families)) {
      const rib = this.ribs[family]!;
      const filter = this.filters.importFor(peer, negotiated, family);
      if (rib.importFilterOf(peer.index) !== filter) rib.setImport(peer.index, filter);
    }
    this.advertiser.join(peer, negotiated);
  }

  #down(peer: Peer, reason: DownReason, staleFamilies: number): void {
    this.#intake.close(peer);
    this.advertiser.leave(peer);
    this.restart.peerDown(peer, reason, peer.negotiated!, staleFamilies);
    peer.families = 0;
    peer.downAtMs = this.nowMs;
    peer.lastDown = reason;
    this.#ports.event({ kind: 'peerDown', peer: peer.name, reason });
  }

  #update(peer: Peer, bytes: Uint8Array, start: number, end: number): Fault | undefined {
    return this.#intake.update(peer, bytes, start, end);
  }

  #routeRefresh(peer: Peer, refresh: RouteRefresh): void {
    if (refresh.subtype !== REFRESH_REQUEST || refresh.family < 0) return;
    if ((peer.families & (1 << refresh.family)) !== 0) this.advertiser.resend(peer, refresh.family);
  }

  /** Asks the peer for its routes and tells it ours again (`refresh` of the operator). */
  #refresh(peer: Peer): void {
    if (peer.negotiated === undefined) return;
    for (const family of familiesIn(peer.families)) {
      const message = encodeRouteRefresh(family, REFRESH_REQUEST);
      if (peer.negotiated.routeRefresh) this.sessions.send(peer, message, message.length);
      this.advertiser.resend(peer, family);
    }
  }

  #tooManyPrefixes(peer: Peer, family: number, limit: number): void {
    const { action, restartAfterMs } = peer.config.maxPrefix!;
    peer.heldUntilMs = action === 'restart' ? this.nowMs + restartAfterMs : Number.POSITIVE_INFINITY;
    const { afi, safi } = families[family]!;
    const data = new Uint8Array([afi >> 8, afi, safi, limit >>> 24, limit >>> 16, limit >>> 8, limit]);
    this.sessions.stop(peer, 'maxPrefixes', undefined, data);
  }

  // ---- routes ----

  #nextHopChanged(nextHopId: number): void {
    this.fibSets?.nextHopChanged(nextHopId);
    for (const rib of this.ribs) rib.nextHopChanged(nextHopId);
    this.#ports.wake();
  }

  #redistribute(route: KernelRoute): void {
    this.#resolveAgain = true;
    const prefix = { bytes: route.bytes, length: route.length };
    for (const source of ['connected', 'static', 'kernel'] as const satisfies readonly LocalSource[]) {
      const wanted =
        this.#config.redistribute[source] !== undefined &&
        this.resolver.routesOf(route.bytes, route.length).some((other) => other.source === source);
      if (wanted) this.origination.add(prefix, source);
      else this.origination.remove(prefix, source);
    }
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
