// What the table of guests wants of the kernel and of BGP within one turn, carried out at its end in the order that is
// safe: what is withdrawn first, then neighbours and filters of all ports that changed in one batch, and only then the
// routes, so that nothing is announced that could not be delivered. Two thousand guests attached by one request are one
// turn.

import type { GuestPortWish } from '../dataplane/guest-wish.ts';
import { hexText } from '../net/hex.ts';
import { sameMac } from '../net/mac.ts';
import type { BoundAddress, GuestPort } from './ports.ts';

/** The kernel's part; GuestPlane in the daemon. */
export interface PortPlane {
  setPorts(wishes: readonly GuestPortWish[]): void;
  removePorts(ifindexes: readonly number[]): void;
}

/** BGP's part; the router's guest routes in the daemon. */
export interface RoutePlane {
  set(address: Uint8Array, route: GuestRouteWish): void;
  remove(address: Uint8Array): void;
}

export interface GuestRouteWish {
  ifindex: number;
  sequence: number;
  fresh: boolean;
  metric: number;
}

/** What a port has in the kernel. */
interface PortState {
  port: GuestPort;
  macs: readonly Uint8Array[];
  /** By address. */
  bound: Map<string, BoundAddress>;
}

export class KernelTurn {
  readonly #plane: PortPlane;
  readonly #routes: RoutePlane;
  readonly #metricOf: (fresh: boolean) => number;
  readonly #ports = new Map<number, PortState>();
  /** By address: the port that has it. */
  readonly #portOf = new Map<string, number>();
  readonly #changed = new Set<number>();
  readonly #gone = new Set<number>();
  readonly #routesDue = new Map<string, BoundAddress>();

  constructor(plane: PortPlane, routes: RoutePlane, metricOf: (fresh: boolean) => number) {
    this.#plane = plane;
    this.#routes = routes;
    this.#metricOf = metricOf;
  }

  /** Addresses bound at this moment. */
  get size(): number {
    return this.#portOf.size;
  }

  bind(bound: BoundAddress): void {
    const key = hexText(bound.address);
    const before = this.#portOf.get(key);
    if (before !== undefined && before !== bound.port.ifindex) this.#take(key, before);
    const state = this.#stateOf(bound.port);
    state.bound.set(key, bound);
    this.#portOf.set(key, bound.port.ifindex);
    this.#changed.add(bound.port.ifindex);
    this.#routesDue.set(key, bound);
  }

  unbind(address: Uint8Array): void {
    const key = hexText(address);
    const ifindex = this.#portOf.get(key);
    if (ifindex === undefined) return;
    this.#take(key, ifindex);
    this.#portOf.delete(key);
    this.#routesDue.delete(key);
    // Not at the end of the turn: the sooner others know, the fewer packets go astray.
    this.#routes.remove(address);
  }

  admit(port: GuestPort, macs: readonly Uint8Array[]): void {
    this.#stateOf(port).macs = macs;
    this.#changed.add(port.ifindex);
  }

  /** The port is no more; what was bound there has been unbound. */
  forget(ifindex: number): void {
    this.#ports.delete(ifindex);
    this.#changed.delete(ifindex);
    this.#gone.add(ifindex);
  }

  /** Withdraws all addresses. */
  unbindAll(): void {
    for (const { bound } of this.#ports.values())
      for (const { address } of [...bound.values()]) this.unbind(address);
  }

  /** Whether an address is bound there, as of now. */
  portOf(address: Uint8Array): number | undefined {
    return this.#portOf.get(hexText(address));
  }

  /** Everything of a port again: its metrics or its gateway are others. */
  repeatAll(): void {
    for (const [ifindex, { bound }] of this.#ports) {
      this.#changed.add(ifindex);
      for (const [key, one] of bound) this.#routesDue.set(key, one);
    }
  }

  /** Whether a MAC is let through on a port, or nobody's is yet. */
  mayHave(ifindex: number, mac: Uint8Array): boolean {
    const macs = this.#ports.get(ifindex)?.macs ?? [];
    return macs.length === 0 || macs.some((one) => sameMac(one, mac));
  }

  /** The port of a bridge behind which a MAC is let through. */
  portBehind(gatewayIfindex: number, mac: Uint8Array | undefined): number | undefined {
    if (mac === undefined || this.#ports.has(gatewayIfindex)) return undefined;
    for (const [ifindex, { port, macs }] of this.#ports)
      if (port.gatewayIfindex === gatewayIfindex && macs.some((one) => sameMac(one, mac))) return ifindex;
    return undefined;
  }

  /** Ends the turn. */
  flush(): void {
    if (this.#gone.size > 0) this.#plane.removePorts([...this.#gone]);
    this.#gone.clear();
    if (this.#changed.size > 0) this.#plane.setPorts([...this.#changed].map((id) => this.#wishOf(id)));
    this.#changed.clear();
    for (const { address, port, sequence, fresh } of this.#routesDue.values())
      this.#routes.set(address, {
        ifindex: port.gatewayIfindex,
        sequence,
        fresh,
        metric: this.#metricOf(fresh),
      });
    this.#routesDue.clear();
  }

  #take(key: string, ifindex: number): void {
    this.#ports.get(ifindex)?.bound.delete(key);
    if (this.#ports.has(ifindex)) this.#changed.add(ifindex);
  }

  #stateOf(port: GuestPort): PortState {
    let state = this.#ports.get(port.ifindex);
    if (state === undefined) {
      state = { port, macs: [], bound: new Map() };
      this.#ports.set(port.ifindex, state);
      this.#gone.delete(port.ifindex);
    }
    state.port = port;
    return state;
  }

  #wishOf(ifindex: number): GuestPortWish {
    const { port, macs, bound } = this.#ports.get(ifindex)!;
    return {
      ifindex,
      name: port.name,
      gatewayIfindex: port.gatewayIfindex,
      macs,
      addresses: [...bound.values()].map(({ address, mac }) => ({ address, mac })),
    };
  }
}
