// Neighbour discovery for BGP unnumbered: on every wanted interface we advertise ourselves by router
// advertisements (RFC 4861) and listen to the other end's. Lifetime 0: nobody takes a default route from us. An
// interface that has just come up gets a solicitation and a quick burst, so that a moved cable is noticed in
// milliseconds; after that one advertisement every ten seconds tells of a changed link-local address. Solicitations are
// answered at once, at most once in 100 ms an interface: a flood of them costs us nothing more. An advertisement is
// answered too, once in a second: a neighbour that starts after our burst (FRR, which asks nobody) knows us then.

import { Icmp6Socket, ROUTER_ADVERTISEMENT, type RouterMessage } from '../netlink/icmp6.ts';
import { NeighbourLimit } from './neighbour-limit.ts';

/** Milliseconds after coming up at which advertisements are sent; then every `PERIOD_MS`. */
const BURST_MS = [0, 50, 150, 400, 1000, 2000, 4000];
const PERIOD_MS = 10_000;
const ANSWER_GAP_MS = 100;
const GREETING_GAP_MS = 1000;
/** -EADDRNOTAVAIL: the link-local address is not usable yet (duplicate address detection). */
const NOT_YET = -99;
const NOT_YET_RETRY_MS = 50;

interface Port {
  ifindex: number;
  lladdr: Uint8Array | undefined;
  step: number;
  lastSentMs: number;
  timer: NodeJS.Timeout | undefined;
  readonly limit: NeighbourLimit;
}

/** A neighbour told its link-local address on an interface. */
export type NeighbourHeard = (ifindex: number, address: Uint8Array) => void;

export class Discovery {
  readonly #socket: Icmp6Socket;
  readonly #ports = new Map<number, Port>();
  readonly #onNeighbour: NeighbourHeard;

  /** In `netns`, that of the process when absent. Throws LeafdError `permission-denied` without CAP_NET_RAW. */
  constructor(onNeighbour: NeighbourHeard, netns?: string) {
    this.#onNeighbour = onNeighbour;
    this.#socket = Icmp6Socket.open({
      ...(netns !== undefined && { netns }),
      onMessage: (message) => this.#heard(message),
    });
  }

  /** Begins on an interface that is up; a second call begins the burst again. */
  start(ifindex: number, lladdr: Uint8Array | undefined): void {
    this.stop(ifindex);
    if (this.#socket.join(ifindex) < 0) return;
    const limit = new NeighbourLimit();
    const port: Port = { ifindex, lladdr, step: 0, lastSentMs: 0, timer: undefined, limit };
    this.#ports.set(ifindex, port);
    this.#advance(port);
  }

  /** Ends on an interface, whether it is still there or not. */
  stop(ifindex: number): void {
    const port = this.#ports.get(ifindex);
    if (port === undefined) return;
    clearTimeout(port.timer);
    this.#ports.delete(ifindex);
    this.#socket.leave(ifindex);
  }

  close(): void {
    for (const ifindex of [...this.#ports.keys()]) this.stop(ifindex);
    this.#socket.close();
  }

  #advance(port: Port): void {
    const sent = this.#advertise(port);
    if (sent === NOT_YET) {
      port.timer = setTimeout(() => this.#advance(port), NOT_YET_RETRY_MS);
      return;
    }
    if (port.step < 3) this.#socket.sendSolicitation(port.ifindex, port.lladdr);
    const now = BURST_MS[port.step] ?? 0;
    port.step++;
    const next = BURST_MS[port.step];
    port.timer = setTimeout(() => this.#advance(port), next === undefined ? PERIOD_MS : next - now);
  }

  #advertise(port: Port): number {
    port.lastSentMs = performance.now();
    return this.#socket.sendAdvertisement(port.ifindex, port.lladdr, 0);
  }

  #heard(message: RouterMessage): void {
    const port = this.#ports.get(message.ifindex);
    if (port === undefined) return;
    if (message.type === ROUTER_ADVERTISEMENT) {
      if (!port.limit.admits(message.source, performance.now())) return;
      this.#onNeighbour(message.ifindex, message.source);
      if (performance.now() - port.lastSentMs >= GREETING_GAP_MS) this.#advertise(port);
      return;
    }
    if (performance.now() - port.lastSentMs >= ANSWER_GAP_MS) this.#advertise(port);
  }
}
