// BFD of a simulated router (RFC 5880), seen from its router: a path is up while packets cross the cable both ways
// and the other end watches it too. A change is noticed within the detection time. `deafen` makes it lose the path
// though nothing is wrong, as a busy machine does.
//
// BFD dies with the daemon: the C bit is clear.

import type { BfdTarget } from '../router/ports.ts';
import type { Network, Port } from './network.ts';
import type { SimNode } from './node.ts';
import { carries } from './oracle.ts';
import type { Schedule } from './schedule.ts';

const DETECTION_MS = 300;

type PathState = 'up' | 'down' | 'adminDown';

interface Watched {
  port: Port;
  state: PathState;
}

export class VirtualBfd {
  /** A session that outlived the loss of its path: told once. */
  ignored: string | undefined;
  readonly #node: SimNode;
  readonly #schedule: Schedule;
  readonly #network: Network;
  /** By index of the peer. */
  readonly #watched = new Map<number, Watched>();
  #deafUntilMs = 0;

  constructor(node: SimNode, schedule: Schedule, network: Network) {
    this.#node = node;
    this.#schedule = schedule;
    this.#network = network;
  }

  /** The router wants the path to a peer watched, or no longer. */
  want(peer: number, target: BfdTarget | undefined): void {
    this.#watched.delete(peer);
    const port = target && this.#node.portByIndex(target.ifindex);
    if (port === undefined) return;
    const watched: Watched = { port, state: 'down' };
    this.#watched.set(peer, watched);
    this.#lookLater(peer, watched);
  }

  /** The daemon is gone. */
  end(): void {
    this.#watched.clear();
  }

  /** Hears nothing for a while. */
  deafen(durationMs: number): void {
    this.#deafUntilMs = this.#schedule.nowMs() + durationMs;
  }

  get isWatching(): boolean {
    return this.#watched.size > 0;
  }

  #isWatched(port: Port): boolean {
    for (const watched of this.#watched.values()) if (watched.port === port) return true;
    return false;
  }

  #lookLater(peer: number, watched: Watched): void {
    this.#schedule.after(DETECTION_MS, () => {
      if (this.#watched.get(peer) !== watched) return;
      const state = this.#stateOf(watched.port);
      if (state !== watched.state) this.#tell(peer, watched, state);
      if (this.#watched.get(peer) === watched) this.#lookLater(peer, watched);
    });
  }

  #stateOf(port: Port): PathState {
    const far = this.#network.far(port);
    if (far === undefined || !carries(port.cable!) || !far.node.isRunning) return 'down';
    const nowMs = this.#schedule.nowMs();
    if (nowMs < this.#deafUntilMs || nowMs < far.node.bfd.#deafUntilMs) return 'down';
    return far.node.bfd.#isWatched(far) ? 'up' : 'adminDown';
  }

  /** RFC 5882 section 3.2: a session whose path was up and is down ends at once. */
  #tell(peer: number, watched: Watched, state: PathState): void {
    const wasUp = watched.state === 'up';
    watched.state = state;
    const router = this.#node.router!;
    const before = router.directory.byIndex[peer]?.established;
    router.bfdChanged(peer, state, false);
    if (!wasUp || state !== 'down' || before === undefined) return;
    if (router.directory.byIndex[peer]?.established !== before) return;
    this.ignored ??= `${this.#node.name} keeps the session on ${watched.port.name}, whose path BFD has lost`;
  }
}
