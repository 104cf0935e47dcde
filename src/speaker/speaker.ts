// Drives the router with the real world: sockets, the clock, router advertisements, links, addresses and routes of
// the kernel. It adds nothing of its own to BGP. Work is done in turns of about two milliseconds between which
// Node serves sockets and timers; a timer never fires before the bytes that have already come are read, because a
// hold timer must not fall due over a KEEPALIVE that waits in the socket.

import { realClock } from '../lib/clock-real.ts';
import { secretHashKey } from '../lib/hash-key-real.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { isLinkLocal6, sameIp } from '../net/ip.ts';
import type { LinkAddress } from '../netlink/address.ts';
import type { Link } from '../netlink/link.ts';
import type { Change, LinkMonitor } from '../netlink/monitor.ts';
import {
  type KernelRoute as FeedRoute,
  RT_SCOPE_UNIVERSE,
  RTPROT_KERNEL,
  RTPROT_STATIC,
} from '../netlink/route.ts';
import type { RouteFeed } from '../netlink/route-feed.ts';
import { type Accepted, isSigned, type TcpEnd } from '../netlink/tcp.ts';
import type { RouterConfig } from '../router/config.ts';
import type { Peer } from '../router/peer.ts';
import type { FibPort, Heard, RouterEvent, RouterPorts } from '../router/ports.ts';
import type { KernelRoute } from '../router/resolver.ts';
import { Router } from '../router/router.ts';
import { type BfdLook, BfdPort, type BfdPortHost } from './bfd.ts';
import { ConnectedSubnets } from './connected.ts';
import { Discovery } from './discovery.ts';
import { speakerFault } from './speaker-user.ts';
import { Transport, type TransportEvents } from './transport.ts';

const TURN_MS = 2;
/** An interval that Node's timers can hold. */
const TIMER_MAX_MS = 2 ** 31 - 1;

export interface SpeakerWorld {
  /** Absent: routes are exchanged but not forwarded here. */
  fib?: FibPort;
  monitor: LinkMonitor;
  feed: RouteFeed;
  event(event: RouterEvent): void;
  trouble(error: LeafdError): void;
  /** See `RouterPorts.guestHeard`. */
  guestHeard?(address: Uint8Array, heard: Heard | undefined): void;
}

export class Speaker {
  readonly router: Router;
  readonly #world: SpeakerWorld;
  readonly #transport: Transport;
  readonly #discovery: Discovery;
  readonly #bfd: BfdPort;
  readonly #discovering = new Set<number>();
  readonly #granted = new Map<number, Peer>();
  /** Connections of ours on their way to peers whose user matters. */
  readonly #called = new Map<number, Peer>();
  readonly #connected = new ConnectedSubnets();
  readonly #subscriptions: { close(): void }[] = [];
  #scheduled = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  /**
   * `restarting`: the kernel holds routes of a former life (RFC 4724). Without a port nobody is listened to: another
   * daemon speaks BGP here. Sockets are made in `netns`, that of the process when absent. Throws LeafdError when a port
   * is taken.
   */
  constructor(
    config: RouterConfig,
    world: SpeakerWorld,
    options: { port: number | undefined; restarting: boolean; netns?: string | undefined },
  ) {
    this.#world = world;
    const { netns } = options;
    this.#discovery = new Discovery((ifindex, address) => {
      if (!this.#isOwn(address, ifindex)) this.router.neighbourHeard(ifindex, address);
    }, netns);
    const events: TransportEvents = {
      connected: (connection, local, remote) => this.#reached(connection, local, remote),
      lost: (connection, message) => {
        this.#called.delete(connection);
        this.router.connectionLost(connection, message);
      },
      received: (connection, bytes) => this.router.received(connection, bytes),
      writable: (connection) => this.router.writable(connection),
      incoming: (accepted) => this.#incoming(accepted),
      accepted: (connection, local) => this.#accepted(connection, local),
      trouble: (error) => world.trouble(error),
    };
    this.#transport = new Transport(events, netns);
    if (options.port !== undefined) this.#transport.listen(options.port);
    const paths: BfdPortHost = {
      peer: (index) => this.router.directory.byIndex[index],
      changed: (peer, state, independent) => this.router.bfdChanged(peer, state, independent),
      event: (event) => world.event(event),
      trouble: (error) => world.trouble(error),
    };
    this.#bfd = new BfdPort(paths, netns);
    const ports: RouterPorts = {
      connect: (connection, target) => {
        const peer = this.router.directory.byIndex[target.peer];
        if (peer?.config.users !== undefined) this.#called.set(connection, peer);
        this.#transport.connect(connection, target);
      },
      close: (connection) => {
        this.#called.delete(connection);
        this.#transport.close(connection);
      },
      send: (connection, bytes, length) => this.#transport.send(connection, bytes, length),
      ...(world.fib === undefined ? {} : { fib: world.fib }),
      wake: () => this.#wake(),
      event: (event) => world.event(event),
      jitter: () => 0.75 + Math.random() / 4,
      discover: (ifindex, wanted) => this.#discover(ifindex, wanted),
      setKey: (address, prefixLength, key) => this.#setKey(address, prefixLength, key),
      tune: (connection, tuning) => this.#transport.tune(connection, tuning),
      hasUnread: (connection) => this.#transport.hasUnread(connection),
      bfd: (peer, wanted) => this.#bfd.watch(peer, wanted),
      guestHeard: (address, heard) => world.guestHeard?.(address, heard),
    };
    // The key is a secret, so that no peer can make our hash tables slow.
    this.router = new Router(config, realClock, ports, secretHashKey());
    if (options.restarting) this.router.beginRestart();
    this.router.start();
    this.#subscriptions.push(
      world.monitor.subscribe({
        link: (link, change) => this.#link(link, change),
        address: (address, change) => this.#address(address, change),
      }),
      world.feed.subscribe((route, change) => this.#route(route, change)),
    );
    this.#wake();
  }

  /** The kernel's answer to a batch of routes. */
  fibAcked(seq: number, failedIndexes: readonly number[]): void {
    this.router.fibAcked(seq, failedIndexes);
  }

  /** The kernel took a route after all that it had refused. */
  fibRecovered(family: number, words: readonly number[], length: number): void {
    this.router.fibRecovered(family, words, length);
  }

  /** What BFD sees of a peer's path. */
  bfd(peer: Peer): BfdLook {
    return this.#bfd.look(peer);
  }

  /** Puts another configuration in force. */
  configure(config: RouterConfig): void {
    this.router.configure(config);
  }

  /** Ends everything. `final` tells the peers to forget us; else they keep our routes for a graceful restart. */
  async stop(final: boolean): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const subscription of this.#subscriptions) subscription.close();
    this.#discovery.close();
    this.router.stop(final);
    // A NOTIFICATION has to leave before the sockets go.
    if (final) await new Promise((resolve) => setTimeout(resolve, 50));
    this.#transport.shutdown();
    // BFD last: FRR and BIRD end a session whose BFD goes down administratively, and with it a graceful restart; once
    // the connection is gone they wait for us to come back.
    await this.#bfd.stop();
  }

  #wake(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#scheduled = false;
    if (this.#stopped) return;
    const endMs = performance.now() + TURN_MS;
    let more = true;
    while (more && performance.now() < endMs) more = this.router.work();
    if (more) this.#wake();
    else this.#arm();
  }

  #arm(): void {
    const atMs = this.router.nextDeadlineMs();
    if (atMs === this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAtMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) return;
    const waitMs = Math.min(TIMER_MAX_MS, Math.max(1, Math.ceil(atMs - realClock.nowMs())));
    this.#timer = setTimeout(() => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#wake();
    }, waitMs);
  }

  #incoming(accepted: Accepted): { connection: number; ttl: number; minTtl: number } | undefined {
    const { remote } = accepted;
    // Any user of this machine can connect from its addresses: such a one is nobody's neighbour, unless the operator
    // has named the address.
    if (this.#isOwn(remote.address, remote.scopeId) && !this.#isNamed(remote.address, remote.scopeId))
      return this.router.peers.refuse(remote.address, 'ownAddress');
    const peer = this.router.incoming(remote.address, remote.scopeId, {
      ttl: accepted.ttl,
      isSigned: (password) => isSigned(accepted.fd, remote.address, password),
    });
    if (peer === undefined) return undefined;
    if (this.#refusesUser(peer, accepted, false) !== undefined) return undefined;
    const hops = this.router.hops(peer);
    const connection = this.router.sessions.newConnection();
    this.#granted.set(connection, peer);
    return { connection, ...hops };
  }

  /** A connection of ours is made; with a speaker of this host it is still to be seen whose the other end is. */
  #reached(connection: number, local: TcpEnd, remote: TcpEnd): void {
    const peer = this.#called.get(connection);
    this.#called.delete(connection);
    const refused = peer && this.#refusesUser(peer, { local, remote }, true);
    if (refused === undefined) this.router.connected(connection, local.address);
    else {
      this.#transport.close(connection);
      this.router.connectionLost(connection, refused);
    }
  }

  /** Why the user at the other end may not be the peer, which is counted and told; undefined: he may. */
  #refusesUser(
    peer: Peer,
    { local, remote }: { local: TcpEnd; remote: TcpEnd },
    accepting: boolean,
  ): string | undefined {
    const { users } = peer.config;
    if (users === undefined) return undefined;
    // The index of the veth's other end is one of the host's namespace, as the socket's is.
    const link = this.#world.monitor.links.get(this.router.linkTo(peer));
    const ends = { near: remote, far: local };
    const fault = speakerFault(users, ends, { ifindex: link?.lower ?? 0, accepting });
    return fault && this.router.peers.refuseAs(peer, fault.why, fault.detail);
  }

  /** Whether an address is this machine's; a link-local one is meant on its interface. */
  #isOwn(address: Uint8Array, ifindex: number): boolean {
    if (address.length === 4 && address[0] === 127) return true;
    const scoped = address.length === 16 && isLinkLocal6(address);
    return this.#world.monitor
      .addresses(scoped ? ifindex : undefined)
      .some(({ bytes }) => sameIp(bytes, address));
  }

  #isNamed(address: Uint8Array, ifindex: number): boolean {
    return this.router.directory.byAddress(address, ifindex)?.config.kind === 'address';
  }

  #accepted(connection: number, local: Uint8Array): void {
    const peer = this.#granted.get(connection)!;
    this.#granted.delete(connection);
    if (!this.router.accepted(peer, connection, local)) this.#transport.close(connection);
  }

  #setKey(address: Uint8Array, prefixLength: number, key: string | null): void {
    try {
      this.#transport.setKey(address, prefixLength, key);
    } catch (error) {
      if (!(error instanceof LeafdError)) throw error;
      this.#world.trouble(error);
    }
  }

  #discover(ifindex: number, wanted: boolean): void {
    if (!wanted) {
      this.#discovering.delete(ifindex);
      this.#discovery.stop(ifindex);
      return;
    }
    this.#discovering.add(ifindex);
    const mac = this.#world.monitor.links.get(ifindex)?.mac;
    this.#discovery.start(ifindex, mac?.length === 6 ? mac : undefined);
  }

  #link(link: Link, change: Change): void {
    if (change === 'removed') this.router.linkRemoved(link.ifindex);
    else this.router.linkChanged({ ifindex: link.ifindex, name: link.name, up: link.up && link.carrier });
  }

  /** Addresses are what is connected: the kernel has no main-table route for an IPv4 address on `lo`. */
  #address(address: LinkAddress, change: Change): void {
    const { bytes, ifindex, prefixLength } = address;
    const present = change !== 'removed';
    this.router.localAddress(bytes, present, ifindex, prefixLength);
    const linkLocal = bytes.length === 16 && isLinkLocal6(bytes);
    // A link-local address that has just become usable is told to the neighbour at once.
    if (linkLocal && present && !address.tentative && this.#discovering.has(ifindex))
      this.#discover(ifindex, true);
    if (address.scope !== RT_SCOPE_UNIVERSE || linkLocal) return;
    const subnet = present
      ? this.#connected.add(bytes, prefixLength, ifindex)
      : this.#connected.remove(bytes, prefixLength, ifindex);
    if (subnet === undefined) return;
    const route: KernelRoute = {
      ...subnet,
      source: 'connected',
      metric: 0,
      ifindex,
      protocol: RTPROT_KERNEL,
    };
    if (present) this.router.kernelRouteAdded(route);
    else this.router.kernelRouteRemoved(route);
  }

  #route(route: FeedRoute, change: Change): void {
    const { bytes, length, metric, protocol, hops } = route;
    // The kernel's own routes are those of the addresses, which have been told already.
    if (protocol === RTPROT_KERNEL) return;
    const [hop, ...others] = hops.map(({ ifindex, gateway }) =>
      gateway === undefined ? { ifindex } : { ifindex, gateway },
    );
    const told: KernelRoute = {
      bytes,
      length,
      source: protocol === RTPROT_STATIC ? 'static' : 'kernel',
      metric,
      ifindex: hop?.ifindex ?? 0,
      protocol,
      ...(hop?.gateway === undefined ? {} : { gateway: hop.gateway }),
      ...(others.length === 0 ? {} : { others }),
    };
    if (change === 'removed') this.router.kernelRouteRemoved(told);
    else this.router.kernelRouteAdded(told);
  }
}
