// Which links have a guest behind them, as they come and go: ports of guest bridges, and routed taps by their name.

import type { GuestsIntent } from '../intent/guests.ts';
import { matchesPattern } from '../intent/pattern.ts';
import type { Link } from '../netlink/link.ts';
import type { Change, LinkMonitor } from '../netlink/monitor.ts';
import type { GuestPort } from './ports.ts';

export interface PortListener {
  portUp(port: GuestPort): void;
  portChanged(port: GuestPort): void;
  portGone(port: GuestPort): void;
}

type Where = Pick<GuestsIntent, 'bridges' | 'taps'>;

/** A link as a guest's port, or undefined where it is none. `links` by ifindex, `taken` by name. */
export function portOf(
  link: Link,
  links: ReadonlyMap<number, Link>,
  where: Where,
  taken: ReadonlySet<string> = new Set(),
): GuestPort | undefined {
  const { ifindex, name, carrier } = link;
  if (link.master !== 0) {
    const bridge = links.get(link.master);
    if (bridge === undefined || !where.bridges.some((one) => one.name === bridge.name)) return undefined;
    return { ifindex, name, gatewayIfindex: bridge.ifindex, bridge: bridge.name, carrier };
  }
  const isTap = where.taps.some((pattern) => matchesPattern(pattern, name));
  if (link.kind === 'bridge' || where.bridges.some((one) => one.name === name)) return undefined;
  if (isTap) return { ifindex, name, gatewayIfindex: ifindex, carrier };
  return taken.has(name) ? { ifindex, name, gatewayIfindex: ifindex, carrier, asItIs: true } : undefined;
}

export class GuestPorts {
  /** By ifindex. */
  readonly ports = new Map<number, GuestPort>();
  readonly #monitor: LinkMonitor;
  readonly #listener: PortListener;
  #where: Where = { bridges: [], taps: [] };
  #taken: ReadonlySet<string> = new Set();
  #subscription: { close(): void } | undefined;

  /** Nothing is told before the first `follow`. */
  constructor(monitor: LinkMonitor, listener: PortListener) {
    this.#monitor = monitor;
    this.#listener = listener;
  }

  /** Follows the links that are guests' by these names; tells at once what is there, and what is not any more. */
  follow(where: Where): void {
    this.#where = where;
    if (this.#subscription === undefined)
      this.#subscription = this.#monitor.subscribe({ link: (link, change) => this.#link(link, change) });
    else this.#lookAgain();
  }

  /** Links that somebody else has made ready for their guests are ports by these names, beside those of `follow`. */
  take(names: ReadonlySet<string>): void {
    this.#taken = names;
    if (this.#subscription !== undefined) this.#lookAgain();
  }

  close(): void {
    this.#subscription?.close();
    this.ports.clear();
  }

  #lookAgain(): void {
    for (const link of [...this.#monitor.links.values()]) this.#judge(link);
  }

  #link(link: Link, change: Change): void {
    if (change === 'removed') {
      this.#gone(link.ifindex);
      return;
    }
    this.#judge(link);
    // Ports of a bridge are known by its name, which may have come just now.
    if (link.kind !== 'bridge') return;
    for (const other of [...this.#monitor.links.values()])
      if (other.master === link.ifindex) this.#judge(other);
  }

  #judge(link: Link): void {
    const before = this.ports.get(link.ifindex);
    const port = portOf(link, this.#monitor.links, this.#where, this.#taken);
    if (port === undefined) {
      this.#gone(link.ifindex);
      return;
    }
    if (before === undefined) this.#up(port);
    else if (before.name !== port.name || before.gatewayIfindex !== port.gatewayIfindex) {
      // Another name or another bridge is another port.
      this.#gone(link.ifindex);
      this.#up(port);
    } else if (before.carrier !== port.carrier) {
      this.ports.set(port.ifindex, port);
      this.#listener.portChanged(port);
    }
  }

  #up(port: GuestPort): void {
    this.ports.set(port.ifindex, port);
    this.#listener.portUp(port);
  }

  #gone(ifindex: number): void {
    const port = this.ports.get(ifindex);
    if (port === undefined) return;
    this.ports.delete(ifindex);
    this.#listener.portGone(port);
  }
}
