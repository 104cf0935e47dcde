// BFD for the peers that want it (RFC 5882): which paths are watched, and what a change means for the session. BFD does
// not keep a session from coming up; once it has seen the path up, Down ends the session at once (Cease 6/10, RFC
// 9384). Where graceful restart is negotiated and the peer's BFD shares the fate of its control plane (C bit clear),
// Down says no more than that the peer restarts: its routes stay as stale, and the path is watched again with the
// next session. Where BFD is independent of it (C bit set), Down during a restart is a dead path: the routes go (RFC
// 5882 section 4.3).

import type { Peer } from './peer.ts';
import type { BfdTarget, RouterPorts } from './ports.ts';
import type { Restart } from './restart.ts';
import type { Sessions } from './sessions.ts';

/** What BFD says of a path. */
export type BfdState = 'up' | 'down' | 'adminDown' | 'init';

export interface LivenessHost {
  readonly sessions: Sessions;
  readonly restart: Restart;
  peer(index: number): Peer | undefined;
  /** The link a peer is on; 0 when it is farther away. */
  linkTo(peer: Peer): number;
}

interface Watched {
  target: BfdTarget;
  /** The path has been seen up: Down means something. */
  wasUp: boolean;
}

export class Liveness {
  readonly #host: LivenessHost;
  readonly #ports: RouterPorts;
  readonly #watched = new Map<Peer, Watched>();

  constructor(host: LivenessHost, ports: RouterPorts) {
    this.#host = host;
    this.#ports = ports;
  }

  /** Watches the path of a peer as its settings and its session want it now. */
  follow(peer: Peer): void {
    if (this.#ports.bfd === undefined) return;
    const before = this.#watched.get(peer);
    const target = this.#targetOf(peer, before?.target);
    if (target === undefined) {
      this.forget(peer);
      return;
    }
    if (before !== undefined && sameTarget(before.target, target)) return;
    this.#watched.set(peer, { target, wasUp: before?.wasUp === true && samePath(before.target, target) });
    this.#ports.bfd(peer.index, target);
  }

  /** The peer is gone, or wants none. */
  forget(peer: Peer): void {
    if (this.#watched.delete(peer)) this.#ports.bfd?.(peer.index, undefined);
  }

  /** Whether the path is watched and was seen up last. */
  isUp(peer: Peer): boolean {
    return this.#watched.get(peer)?.wasUp === true;
  }

  /** BFD's word for the peer with this index; `independent` is the C bit that the peer sent. */
  changed(index: number, state: BfdState, independent: boolean): void {
    const peer = this.#host.peer(index);
    const watched = peer && this.#watched.get(peer);
    if (peer === undefined || watched === undefined) return;
    if (state === 'up') watched.wasUp = true;
    // The other side's operator has ended it: that says nothing of the path (RFC 5882 section 3.2).
    if (state === 'adminDown') watched.wasUp = false;
    if (state !== 'down' || !watched.wasUp) return;
    watched.wasUp = false;
    if (peer.established !== undefined) {
      // A peer that only helps others to restart has families of its own to restart in none.
      const kept = peer.negotiated?.gracefulRestart?.families ?? 0;
      const restarts = kept !== 0 && !independent;
      this.#host.sessions.bfdDown(peer, restarts);
    } else if (independent) this.#host.restart.forget(peer);
    this.follow(peer);
  }

  /** While a session is up, and while the routes of one that went wait for it to come back. */
  #targetOf(peer: Peer, before: BfdTarget | undefined): BfdTarget | undefined {
    const { bfd: settings, multihop: hops } = peer.config;
    const { remote, established } = peer;
    if (settings === undefined || remote === undefined) return undefined;
    if (established === undefined) return peer.restart.stale === 0 ? undefined : before;
    const link = hops === 1 ? this.#host.linkTo(peer) : 0;
    const target: BfdTarget = { remote, ifindex: link, multihop: link === 0, settings };
    if (established.local !== undefined) target.local = established.local;
    return target;
  }
}

function samePath(a: BfdTarget, b: BfdTarget): boolean {
  const path = ({ remote, local, ifindex, multihop }: BfdTarget): string =>
    JSON.stringify([[...remote], [...(local ?? [])], ifindex, multihop]);
  return path(a) === path(b);
}

function sameTarget(a: BfdTarget, b: BfdTarget): boolean {
  return samePath(a, b) && JSON.stringify(a.settings) === JSON.stringify(b.settings);
}
