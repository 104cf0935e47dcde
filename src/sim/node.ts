// One simulated machine: ports, a kernel that lives on when the daemon dies, and the daemon itself, which is the
// router of this product and nothing else. The node plays the part of the speaker: it carries what happens in the
// virtual world to the router, gives it turns, and carries its wishes out.

import { AssertionError } from '../lib/assert.ts';
import type { Rng } from '../lib/rng.ts';
import { sameIp } from '../net/ip.ts';
import { type Prefix, prefixOf, prefixText, samePrefix } from '../net/prefix.ts';
import type { RouterConfig } from '../router/config.ts';
import type { ConnectTarget, Heard, RouterEvent, RouterPorts } from '../router/ports.ts';
import type { KernelRoute } from '../router/resolver.ts';
import { Router } from '../router/router.ts';
import { VirtualBfd } from './bfd.ts';
import { VirtualKernel } from './kernel.ts';
import { type Connection, type Network, type Port, sameSubnet, wordsOf } from './network.ts';
import { keyOf, type OpaqueRoute, putOpaque } from './opaque.ts';
import type { Schedule } from './schedule.ts';
import type { SimNodeSpec } from './topology.ts';

/** How often a port repeats its advertisement. */
const ADVERTISE_MS = 4000;
/** A router that has not finished after this many turns of work never will. */
const TURNS_MAX = 20_000;
/** The interface of routes that lead to guests. */
export const GUEST_IFINDEX = 1000;

/** The effect of a router's policies on routes, as far as it concerns who can be reached. */
export interface NodePolicy {
  /** Prefix texts not exported, and not imported. */
  rejectsExport: ReadonlySet<string>;
  rejectsImport: ReadonlySet<string>;
  /** How often the own ASN is put in front once more on export. */
  prepends: number;
}

export interface GuestKeeper {
  started(node: SimNode): void;
  heard(node: SimNode, address: Uint8Array, heard: Heard | undefined): void;
}

const noPolicy: NodePolicy = { rejectsExport: new Set(), rejectsImport: new Set(), prepends: 0 };

export interface NodeWorld {
  schedule: Schedule;
  network: Network;
  rng: Rng;
  event(node: SimNode, event: RouterEvent): void;
  /** A router has done all there was to do at this moment. */
  turned(node: SimNode): void;
}

export class SimNode {
  readonly name: string;
  /** Its place among the nodes, from 1: addresses are made of it. */
  readonly number: number;
  readonly ports: Port[] = [];
  readonly kernel: VirtualKernel;
  readonly statics = new Map<string, Prefix>();
  /** Routes of its own that are more than prefixes, by family and text. */
  readonly opaque = new Map<string, OpaqueRoute>();
  /** Guests that move (moves.ts) and are here at this moment, by prefix text: packets to them have arrived. */
  readonly present = new Set<string>();
  /** Who keeps the guests of this machine: told of each life of the daemon, and what other nodes say. */
  keeper: GuestKeeper | undefined;
  /** Watches the paths to its peers (RFC 5880). */
  readonly bfd: VirtualBfd;
  /** What its present policies do, for whoever works out what has to be. */
  policy: NodePolicy = noPolicy;
  /** Open ends of connections by the router's id. */
  readonly ends = new Map<number, { connection: Connection; side: 0 | 1 }>();
  config: RouterConfig;
  router: Router | undefined;
  isPowered = false;
  /** Which life of the daemon this is: answers to an earlier one are nobody's. */
  life = 0;
  readonly #world: NodeWorld;
  #turnPlanned = false;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(spec: SimNodeSpec, number: number, world: NodeWorld) {
    this.name = spec.name;
    this.number = number;
    this.config = spec.config;
    this.#world = world;
    const { schedule } = world;
    for (const prefix of spec.statics) this.statics.set(prefixText(prefix), prefix);
    for (const route of spec.opaque ?? []) this.opaque.set(keyOf(route), route);
    this.bfd = new VirtualBfd(this, schedule, world.network);
    this.kernel = new VirtualKernel({
      nowMs: () => schedule.nowMs(),
      after: (delayMs, task) => schedule.after(delayMs, task),
      acked: (seq, failed) => this.router?.fibAcked(seq, failed),
      recovered: (family, words, length) => this.router?.fibRecovered(family, words, length),
    });
  }

  get isRunning(): boolean {
    return this.router !== undefined;
  }

  addPort(name: string, addresses: { bytes: Uint8Array; length: number }[]): Port {
    const ifindex = this.ports.length + 1;
    const port: Port = {
      node: this,
      ifindex,
      name,
      linkLocal: linkLocalOf(this.number, ifindex, 0),
      addresses,
      cable: undefined,
      discovering: false,
    };
    this.ports.push(port);
    return port;
  }

  portByIndex(ifindex: number): Port | undefined {
    return this.ports[ifindex - 1];
  }

  // ---- the daemon's lives ----

  /** Starts the daemon; `restarting` with the routes of its former life in the kernel, else with none. */
  start(restarting: boolean): void {
    this.isPowered = true;
    this.life++;
    this.kernel.begin(!restarting);
    this.#turnPlanned = false;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const router = new Router(this.config, this.#world.schedule, this.#portsOf(this.life));
    this.router = router;
    if (restarting) router.beginRestart();
    router.start();
    for (const prefix of this.config.networks) if (isHost(prefix)) router.localAddress(prefix.bytes, true);
    for (const port of this.ports)
      for (const { bytes, length } of port.addresses) {
        router.localAddress(bytes, true);
        router.kernelRouteAdded(connectedRoute(bytes, length, port.ifindex));
      }
    for (const prefix of this.statics.values()) router.kernelRouteAdded(staticRoute(prefix));
    for (const route of this.opaque.values()) putOpaque(router, route, true);
    for (const port of this.ports) this.#tellLink(port);
    if (this.keeper !== undefined) {
      router.linkChanged({ ifindex: GUEST_IFINDEX, name: 'vmbr1', up: true });
      this.keeper.started(this);
    }
    this.#wake();
  }

  /** The process is gone. Its sockets are closed by the kernel, or with `power` lost silently. */
  crash(power: boolean): void {
    if (this.router === undefined) return;
    this.#end(power);
    if (power) {
      this.isPowered = false;
      this.kernel.begin(true);
    }
  }

  /** Stops the daemon in order: for a restart, or for good, when the peers and the kernel shall forget. */
  stop(final: boolean): void {
    if (this.router === undefined) return;
    this.router.stop(final);
    this.#end(false);
    if (final) this.kernel.begin(true);
  }

  #end(silent: boolean): void {
    this.router = undefined;
    this.life++;
    this.#world.network.dropAll(this, silent);
    this.ends.clear();
    this.bfd.end();
    for (const port of this.ports) port.discovering = false;
  }

  // ---- what happens ----

  /** Carrier came or went, or a cable with another far end was plugged in. */
  linkChanged(port: Port): void {
    if (this.router !== undefined) this.#tellLink(port);
  }

  /** The port has another link-local address from now on; neighbours hear of it by the next advertisement. */
  renumber(port: Port, generation: number): void {
    port.linkLocal = linkLocalOf(this.number, port.ifindex, generation);
    if (port.discovering) this.#world.network.advertise(port, false);
  }

  addStatic(prefix: Prefix): void {
    this.statics.set(prefixText(prefix), prefix);
    this.router?.kernelRouteAdded(staticRoute(prefix));
  }

  removeStatic(prefix: Prefix): void {
    if (!this.statics.delete(prefixText(prefix))) return;
    this.router?.kernelRouteRemoved(staticRoute(prefix));
  }

  /** A route that is more than a prefix, as it is from now on. */
  putOpaque(route: OpaqueRoute): void {
    this.opaque.set(keyOf(route), route);
    if (this.router !== undefined) putOpaque(this.router, route, true);
  }

  removeOpaque(route: OpaqueRoute): void {
    this.opaque.delete(keyOf(route));
    if (this.router !== undefined) putOpaque(this.router, route, false);
  }

  configure(config: RouterConfig): void {
    this.config = config;
    this.router?.configure(config);
  }

  hear(port: Port, address: Uint8Array): void {
    this.router?.neighbourHeard(port.ifindex, address);
  }

  connected(id: number, life: number, local: Uint8Array): void {
    if (this.life === life) this.router?.connected(id, local);
  }

  connectionLost(id: number, life: number, message: string): void {
    if (this.life !== life) return;
    this.ends.delete(id);
    this.router?.connectionLost(id, message);
  }

  received(id: number, life: number, bytes: Uint8Array): void {
    if (this.life === life) this.router?.received(id, bytes);
  }

  writable(id: number, life: number): void {
    if (this.life === life) this.router?.writable(id);
  }

  /** Somebody connects: the router's id for it, or 0 when it is refused. */
  accept(connection: Connection, end: { local: Uint8Array; remote: Uint8Array; ifindex: number }): number {
    const { router } = this;
    const peer = router?.incoming(end.remote, end.ifindex);
    if (router === undefined || peer === undefined) return 0;
    const id = router.sessions.newConnection();
    this.#world.network.accepted(connection, id);
    if (!router.accepted(peer, id, end.local)) this.#world.network.close(connection, 1);
    return id;
  }

  // ---- addresses ----

  /** Our own address on a connection to the target, or undefined when there is no way. */
  sourceFor(target: ConnectTarget): Uint8Array | undefined {
    if (target.ifindex !== 0) {
      const port = this.portByIndex(target.ifindex);
      return port?.cable?.up === true ? port.linkLocal : undefined;
    }
    if (target.localAddress !== undefined) return target.localAddress;
    const port = this.portTowards(target.remote);
    const own = port?.addresses.find(({ bytes, length }) => sameSubnet(bytes, target.remote, length));
    if (own !== undefined) return own.bytes;
    const { length } = target.remote;
    return this.config.networks.find((prefix) => isHost(prefix) && prefix.bytes.length === length)?.bytes;
  }

  /** Whether the machine has the address: the port it is on, or any port for one of the machine's own. */
  ownPort(address: Uint8Array): Port | undefined {
    for (const port of this.ports)
      if (port.addresses.some(({ bytes }) => sameIp(bytes, address))) return port;
    const own = this.config.networks.some((prefix) => isHost(prefix) && sameIp(prefix.bytes, address));
    return own ? this.ports[0] : undefined;
  }

  /** Whether packets to the prefix have arrived here. */
  owns(prefix: Prefix): boolean {
    const text = prefixText(prefix);
    if (this.statics.has(text) || this.present.has(text)) return true;
    return this.config.networks.some((own) => samePrefix(own, prefix));
  }

  /** The port by which the kernel would send a packet, or undefined. */
  portTowards(address: Uint8Array): Port | undefined {
    for (const port of this.ports)
      if (port.cable?.up === true)
        for (const { bytes, length } of port.addresses) if (sameSubnet(bytes, address, length)) return port;
    const members = this.kernel.lookup(address.length === 4 ? 0 : 1, wordsOf(address)) ?? [];
    for (const { ifindex } of members) {
      const port = this.portByIndex(ifindex);
      if (port?.cable?.up === true) return port;
    }
    return undefined;
  }

  // ---- the inside ----

  #tellLink(port: Port): void {
    this.router!.linkChanged({ ifindex: port.ifindex, name: port.name, up: port.cable?.up === true });
  }

  #portsOf(life: number): RouterPorts {
    const { network } = this.#world;
    return {
      connect: (id, target) => network.connect(this, id, target),
      close: (id) => {
        const end = this.ends.get(id);
        if (end === undefined) return;
        this.ends.delete(id);
        network.close(end.connection, end.side);
      },
      send: (id, bytes, length) => {
        const end = this.ends.get(id);
        if (end === undefined) return true;
        return network.send(end.connection, end.side, bytes.slice(0, length));
      },
      fib: this.kernel,
      wake: () => {
        if (life === this.life) this.#wake();
      },
      event: (event) => this.#world.event(this, event),
      jitter: () => 0.75 + this.#world.rng.below(250) / 1000,
      setKey: () => {},
      bfd: (peer, wanted) => this.bfd.want(peer, wanted),
      guestHeard: (address, heard) => this.keeper?.heard(this, address, heard),
      discover: (ifindex, wanted) => this.#discover(ifindex, wanted),
    };
  }

  #discover(ifindex: number, wanted: boolean): void {
    const port = this.portByIndex(ifindex)!;
    if (port.discovering === wanted) return;
    port.discovering = wanted;
    if (wanted) this.#advertise(port, this.life, true);
  }

  #advertise(port: Port, life: number, first: boolean): void {
    if (!port.discovering || life !== this.life) return;
    this.#world.network.advertise(port, first);
    this.#world.schedule.after(ADVERTISE_MS, () => this.#advertise(port, life, false));
  }

  #wake(): void {
    if (this.#turnPlanned) return;
    this.#turnPlanned = true;
    const { life } = this;
    this.#world.schedule.after(0, () => {
      if (life === this.life) this.#turn();
    });
  }

  #turn(): void {
    const router = this.router!;
    this.#turnPlanned = false;
    let turns = 0;
    while (router.work())
      if (++turns > TURNS_MAX) throw new AssertionError(`${this.name}: the router never finishes its work`);
    this.#world.turned(this);
    this.#arm(router.nextDeadlineMs());
  }

  #arm(atMs: number): void {
    const { schedule } = this.#world;
    const wanted = Math.max(atMs, schedule.nowMs() + 1);
    if (wanted === Number.POSITIVE_INFINITY || wanted >= this.#timerAtMs) return;
    this.#timerAtMs = wanted;
    const { life } = this;
    schedule.at(wanted, () => {
      if (life !== this.life || wanted !== this.#timerAtMs) return;
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.#wake();
    });
  }
}

function isHost(prefix: Prefix): boolean {
  return prefix.length === prefix.bytes.length * 8;
}

function linkLocalOf(node: number, ifindex: number, generation: number): Uint8Array {
  const address = new Uint8Array(16);
  address[0] = 0xfe;
  address[1] = 0x80;
  address[11] = generation;
  address[13] = node;
  address[14] = ifindex >> 8;
  address[15] = ifindex;
  return address;
}

function connectedRoute(address: Uint8Array, length: number, ifindex: number): KernelRoute {
  const { bytes } = prefixOf(address, length);
  return { bytes, length, source: 'connected', metric: 0, ifindex, protocol: 2 };
}

function staticRoute({ bytes, length }: Prefix): KernelRoute {
  return { bytes, length, source: 'static', metric: 0, ifindex: GUEST_IFINDEX, protocol: 4 };
}
