// One BGP router as a machine without a clock, sockets or a kernel: what happens in the world is told to it by
// calls, what it wants of the world goes out through ports. `speaker` drives it with real ones, `sim` with
// virtual ones. This file ties the parts together; each part does one thing:
//
//   directory  who our peers are            sessions   their state machines and bytes
//   intake     UPDATE -> rib                origination our own routes -> rib
//   next-hops  resolution                   fib-gate   rib -> kernel -> advertiser
//   advertiser rib -> update groups         restart    graceful restart, both roles
//
// The caller's loop: tell what happened, then `work()` until it says that nothing is left, and again when
// `nextDeadlineMs()` has come. A call of `work` is bounded, so that keepalives never wait for routes.

import type { Clock } from '../lib/clock.ts';
import { sameIp } from '../net/ip.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import { AttributePool } from '../rib/attribute-pool.ts';
import { NextHopSets } from '../rib/next-hop-sets.ts';
import { NextHopTable } from '../rib/next-hop-table.ts';
import { PeerTable } from '../rib/peer-table.ts';
import { Rib } from '../rib/rib.ts';
import type { Negotiated } from '../session/negotiate.ts';
import type { DownReason, StopCause } from '../session/reason.ts';
import { families, familiesIn, type IPV4, type IPV6 } from '../wire/bgp/family.ts';
import type { Fault } from '../wire/bgp/fault.ts';
import type { RouteRefresh } from '../wire/bgp/refresh.ts';
import { encodeRouteRefresh, REFRESH_REQUEST } from '../wire/bgp/refresh.ts';
import { Advertiser } from './advertiser.ts';
import { type PeerConfig, type RouterConfig, sameSession } from './config.ts';
import { addressPeerName, Directory, type Link, nameOfConfig } from './directory.ts';
import { FibGate, FibSets } from './fib-gate.ts';
import { FilterFactory } from './filters.ts';
import { Intake } from './intake.ts';
import { NextHops } from './next-hops.ts';
import { connectTargetOf, hopsOf, isOnLink, Keys, type OfferState, sessionConfigOf } from './offer.ts';
import { type LocalSource, Origination } from './origination.ts';
import { isEnabled, newPeer, type Peer } from './peer.ts';
import type { RouterPorts } from './ports.ts';
import { type KernelRoute, Resolver } from './resolver.ts';
import { Restart } from './restart.ts';
import { Sessions } from './sessions.ts';

/** Prefixes or paths one call of `work` handles a family: about half a millisecond. */
const SLICE = 1024;

export class Router {
  readonly directory = new Directory();
  readonly pool: AttributePool;
  readonly nextHopTable = new NextHopTable();
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
  readonly #keys: Keys;
  readonly #localAddresses = new Set<string>();
  readonly #leaving = new Set<Peer>();
  #resolveAgain = false;
  #sweepPending = false;

  constructor(config: RouterConfig, clock: Clock, ports: RouterPorts) {
    this.#config = config;
    this.#clock = clock;
    this.#ports = ports;
    this.#keys = new Keys(ports);
    const clusterId = config.clusterId ?? config.bgpId;
    this.pool = new AttributePool({ asn: config.asn, routerId: config.bgpId, clusterId });
    this.nextHopSets = new NextHopSets(this.nextHopTable);
    const options = { multipath: config.multipath, multipathRelax: config.multipathRelax };
    this.ribs = families.map(
      ({ id }) => new Rib(id, this.pool, this.nextHopTable, this.peerTable, options, this.nextHopSets),
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
      },
      this.pool,
      this.nextHopTable,
    );
    this.restart = new Restart({
      nowMs,
      rib,
      wake,
      peers: () => this.directory.byName.values(),
      isReachable: (peer) => this.#isReachable(peer),
    });
    this.advertiser = new Advertiser(this, (peer, bytes, length, count) =>
      this.sessions.send(peer, bytes, length, count),
    );
    this.#nextHops = new NextHops(
      {
        isLinkUp: (ifindex) => this.directory.links.get(ifindex)?.up === true,
        isLocalAddress: (address) => this.#localAddresses.has(address.join('.')),
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
      ? this.ribs.map((r) => new FibGate(r, fibSets, (id) => this.advertiser.enqueue(r, id)))
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
        this.#startIfPossible(peer);
        break;
      case 'reset':
        peer.heldUntilMs = 0;
        this.sessions.stop(peer, 'adminReset', text);
        break;
      case 'refresh':
        this.#refresh(peer);
    }
    this.#ports.wake();
  }

  /** Routes of a former life are in the kernel: restart gracefully. Call it before the first link is told. */
  beginRestart(): void {
    this.restart.begin();
    this.#sweepPending = true;
  }

  /** Ends every session so that peers keep our routes (a restart), or drop them (`final`). */
  stop(final: boolean): void {
    for (const peer of this.directory.byName.values())
      this.sessions.stop(peer, final ? 'adminDown' : 'localRestart', final ? 'leafd stops' : undefined);
  }

  // ---- links and neighbours ----

  linkChanged(link: Link): void {
    const before = this.directory.links.get(link.ifindex);
    if (before !== undefined && before.name !== link.name) this.linkRemoved(link.ifindex);
    this.directory.links.set(link.ifindex, link);
    const pattern = this.directory.patternFor(link.name);
    if (pattern !== undefined && !this.directory.byName.has(link.name)) {
      this.#addPeer(pattern, link.name, { ifindex: link.ifindex, interfaceName: link.name, dynamic: true });
    }
    const peer = this.directory.onInterface(link.ifindex);
    if (link.up !== (before?.up === true)) {
      if (peer !== undefined) this.#ports.discover(link.ifindex, link.up);
      if (!link.up) this.#linkDown(link);
      this.#resolveAgain = true;
    }
    this.#ports.wake();
  }

  linkRemoved(ifindex: number): void {
    const link = this.directory.links.get(ifindex);
    if (link === undefined) return;
    if (link.up) this.linkChanged({ ...link, up: false });
    this.directory.links.delete(ifindex);
    const peer = this.directory.onInterface(ifindex);
    if (peer !== undefined) this.#removePeer(peer, 'interfaceDown');
    this.#resolveAgain = true;
    this.#ports.wake();
  }

  /** A router advertisement told the link-local address of the other end. */
  neighbourHeard(ifindex: number, address: Uint8Array): void {
    const peer = this.directory.onInterface(ifindex);
    if (peer === undefined) return;
    if (peer.remote !== undefined && sameIp(peer.remote, address)) return;
    if (peer.established !== undefined) {
      // Another neighbour on the link of a session that is up: followed when the session ends.
      peer.nextRemote = address;
      return;
    }
    this.#follow(peer, address);
  }

  // ---- the kernel's own routes ----

  kernelRouteAdded(route: KernelRoute): void {
    this.resolver.add(route);
    this.#redistribute(route);
  }

  kernelRouteRemoved(route: KernelRoute): void {
    this.resolver.remove(route);
    this.#redistribute(route);
  }

  localAddress(address: Uint8Array, present: boolean): void {
    if (present) this.#localAddresses.add(address.join('.'));
    else this.#localAddresses.delete(address.join('.'));
    this.#resolveAgain = true;
    this.#ports.wake();
  }

  // ---- transport ----

  /** Somebody connects to us: the peer it is, or undefined when nobody is expected from there. */
  incoming(remote: Uint8Array, ifindex: number): Peer | undefined {
    const scope = isOnLink(remote) ? ifindex : 0;
    let peer = this.directory.byAddress(remote, scope);
    if (peer === undefined) {
      const range = this.directory.rangeFor(remote);
      if (range === undefined || this.directory.countOf(range) >= range.limit) return undefined;
      const name = addressPeerName(remote, this.directory.links.get(scope)?.name);
      peer = this.#addPeer(range, name, { remote, ifindex: scope, dynamic: true });
    }
    if (!isEnabled(peer, this.nowMs)) return undefined;
    if (peer.config.kind === 'interface' && peer.established === undefined) this.#follow(peer, remote);
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
    this.#releaseHeld();
    if (this.restart.endIfDue()) this.#ports.event({ kind: 'restartDone', text: 'all peers have spoken' });
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
      this.#sweepWhenSettled();
      if (this.advertiser.flush(SLICE)) more = true;
    }
    this.#buryLeaving();
    return more;
  }

  /** When `work` has to be called even if nothing happens; Infinity for never. */
  nextDeadlineMs(): number {
    let earliest = Math.min(
      this.sessions.nextDeadlineMs(),
      this.restart.nextDeadlineMs(),
      this.advertiser.nextDeadlineMs(),
    );
    for (const peer of this.directory.byName.values())
      if (peer.heldUntilMs > this.nowMs) earliest = Math.min(earliest, peer.heldUntilMs);
    return earliest;
  }

  /** Whether the first word to a new member may be said: not while decisions wait for a restart to end. */
  get isSilent(): boolean {
    return this.restart.isDeferring || this.#sweepPending;
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
    for (const peer of [...this.directory.byName.values()]) this.#reconfigurePeer(peer);
    for (const peer of config.peers)
      if (peer.kind === 'address' && !this.directory.byName.has(nameOfConfig(peer)))
        this.#addAddressPeer(peer);
    for (const link of [...this.directory.links.values()]) this.#matchLink(link);
    this.#keys.follow(this.directory);
  }

  #applyNetworks(wanted: readonly Prefix[], present: readonly Prefix[]): void {
    const keys = new Set(wanted.map(prefixText));
    for (const prefix of present) if (!keys.has(prefixText(prefix))) this.origination.remove(prefix, 'local');
    for (const prefix of wanted) this.origination.add(prefix, 'local');
  }

  #addAddressPeer(config: PeerConfig & { kind: 'address' }): void {
    const ifindex =
      config.interface === undefined ? 0 : (this.directory.linkNamed(config.interface)?.ifindex ?? 0);
    this.#addPeer(config, nameOfConfig(config), { remote: config.address, ifindex, dynamic: false });
  }

  #matchLink(link: Link): void {
    const pattern = this.directory.patternFor(link.name);
    if (pattern === undefined || this.directory.byName.has(link.name)) return;
    this.#addPeer(pattern, link.name, { ifindex: link.ifindex, interfaceName: link.name, dynamic: true });
    if (link.up) this.#ports.discover(link.ifindex, true);
  }

  #reconfigurePeer(peer: Peer): void {
    if (this.#leaving.has(peer)) return;
    const config = this.directory.configFor(peer);
    if (config === undefined) {
      this.#removePeer(peer, 'deconfigured');
      return;
    }
    const old = peer.config;
    peer.config = config;
    if (config.shutdown && !old.shutdown) this.sessions.stop(peer, 'adminDown');
    else if (!sameSession(old, config)) this.sessions.stop(peer, 'configurationChanged');
    else if (peer.established !== undefined && peer.negotiated !== undefined)
      this.#applyPolicies(peer, peer.negotiated);
    this.#startIfPossible(peer);
  }

  #addPeer(
    config: PeerConfig,
    name: string,
    place: { remote?: Uint8Array; ifindex?: number; interfaceName?: string; dynamic: boolean },
  ): Peer {
    const address = place.remote ?? new Uint8Array(16);
    const index = this.peerTable.add({
      kind: 'external',
      asn: 0,
      bgpId: 0,
      address,
      scope: place.ifindex ?? 0,
    });
    const peer = newPeer(index, name, config, place, this.nowMs);
    this.directory.add(peer);
    this.sessions.add(peer);
    this.#ports.event({ kind: 'peerAdded', peer: name });
    this.#startIfPossible(peer);
    return peer;
  }

  #removePeer(peer: Peer, cause: StopCause): void {
    if (peer.config.kind === 'interface') this.#ports.discover(peer.ifindex, false);
    this.sessions.stop(peer, cause);
    this.sessions.remove(peer);
    this.restart.forget(peer);
    this.directory.remove(peer);
    this.#keys.follow(this.directory);
    this.#leaving.add(peer);
    this.#ports.event({ kind: 'peerRemoved', peer: peer.name });
  }

  /** A removed peer's index is free again once the ribs have forgotten its paths. */
  #buryLeaving(): void {
    for (const peer of this.#leaving) {
      if (this.ribs.some((rib) => !rib.isSettled(peer.index))) continue;
      this.peerTable.remove(peer.index);
      this.#leaving.delete(peer);
    }
  }

  // ---- sessions ----

  #isReachable(peer: Peer): boolean {
    if (!isEnabled(peer, this.nowMs) || peer.remote === undefined) return false;
    if (peer.config.kind === 'range') return false;
    return peer.ifindex === 0 || this.directory.links.get(peer.ifindex)?.up === true;
  }

  #startIfPossible(peer: Peer): void {
    if (!isEnabled(peer, this.nowMs) || peer.remote === undefined) return;
    if (peer.ifindex !== 0 && this.directory.links.get(peer.ifindex)?.up !== true) return;
    this.sessions.start(peer);
  }

  #follow(peer: Peer, address: Uint8Array): void {
    if (peer.remote === undefined || !sameIp(peer.remote, address)) {
      if (peer.main.session.state !== 'idle') this.sessions.stop(peer, 'interfaceDown');
      peer.remote = address;
      this.#keys.follow(this.directory);
    }
    peer.nextRemote = undefined;
    this.#startIfPossible(peer);
    this.#ports.wake();
  }

  #linkDown(link: Link): void {
    for (const peer of this.directory.byName.values()) {
      if (peer.ifindex !== link.ifindex) continue;
      this.sessions.stop(peer, 'interfaceDown');
      this.restart.forget(peer);
      if (peer.config.kind === 'interface') {
        peer.remote = undefined;
        peer.nextRemote = undefined;
      }
    }
  }

  /** TTL of a peer's connections; the transport asks it for those that come in. */
  hops(peer: Peer): { ttl: number; minTtl: number } {
    return hopsOf(this.#config, peer);
  }

  #offerState(peer: Peer): OfferState {
    return {
      restarting: this.restart.isDeferring,
      forwards: this.#ports.fib !== undefined,
      mayRestart: isEnabled(peer, this.nowMs) && !this.#leaving.has(peer),
    };
  }

  #established(peer: Peer, negotiated: Negotiated): void {
    peer.families = negotiated.families;
    peer.establishedAtMs = this.nowMs;
    peer.counters.establishedCount++;
    this.peerTable.update(peer.index, {
      kind: negotiated.internal ? 'internal' : 'external',
      asn: negotiated.remoteAsn,
      bgpId: negotiated.remoteBgpId,
      address: peer.remote ?? new Uint8Array(16),
      scope: peer.ifindex,
      weight: peer.config.weight,
      rrClient: peer.config.routeReflectorClient,
    });
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

  /** Import filters and update groups of an Established peer, from what the configuration says now. */
  #applyPolicies(peer: Peer, negotiated: Negotiated): void {
    for (const family of familiesIn(negotiated.families))
      this.ribs[family]!.setImport(peer.index, this.filters.importFor(peer, negotiated, family));
    this.advertiser.join(peer, negotiated);
  }

  #down(peer: Peer, reason: DownReason, staleFamilies: number): void {
    this.#intake.close(peer);
    this.advertiser.leave(peer);
    this.restart.peerDown(peer, reason, peer.negotiated!, staleFamilies);
    peer.families = 0;
    peer.downAtMs = this.nowMs;
    this.#ports.event({ kind: 'peerDown', peer: peer.name, reason });
    if (peer.nextRemote !== undefined) this.#follow(peer, peer.nextRemote);
    if (peer.config.kind === 'range' && peer.restart.stale === 0) this.#removePeer(peer, 'interfaceDown');
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

  /** Starts the peers whose pause after too many prefixes is over. */
  #releaseHeld(): void {
    for (const peer of this.directory.byName.values()) {
      if (peer.heldUntilMs === 0 || peer.heldUntilMs > this.nowMs) continue;
      peer.heldUntilMs = 0;
      this.#startIfPossible(peer);
    }
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

  /** After a restart: what the kernel has and nobody wants goes once all that is wanted is there. */
  #sweepWhenSettled(): void {
    if (!this.#sweepPending || this.ribs.some((rib) => rib.dirtyCount > 0)) return;
    if (this.fibSets !== undefined && this.fibSets.pending > 0) return;
    this.#sweepPending = false;
    this.#ports.fib?.sweep();
    this.advertiser.breakSilence();
  }

  rib(family: typeof IPV4 | typeof IPV6 | number): Rib {
    return this.ribs[family]!;
  }
}
