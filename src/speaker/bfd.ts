// The router's BFD port with the real thing behind it: whose path is to be watched, by the peer's index. The thread
// exists only while a path is watched. What a state means for a session is the router's; what is remembered here is for
// people: when and why a path was given up last.

import { Bfd, type BfdChange, type BfdSession } from '../bfd/bfd.ts';
import { realClock } from '../lib/clock-real.ts';
import type { LeafdError } from '../lib/leafd-error.ts';
import type { Peer } from '../router/peer.ts';
import type { BfdTarget, RouterEvent } from '../router/ports.ts';

export interface BfdPortHost {
  peer(index: number): Peer | undefined;
  changed(index: number, state: BfdChange['state'], independent: boolean): void;
  event(event: RouterEvent): void;
  trouble(error: LeafdError): void;
}

/** A path that was given up. `detectionMs` 0: not by silence. */
export interface BfdDown {
  readonly atMs: number;
  readonly reason: string;
  readonly detectionMs: number;
}

/** A path as it is, and as it failed last. */
export interface BfdLook {
  readonly session: BfdSession | undefined;
  readonly lastDown: BfdDown | undefined;
}

export class BfdPort {
  readonly #bfd: Bfd;
  readonly #host: BfdPortHost;
  /** Peers whose path was up, and what ended it. */
  readonly #up = new WeakSet<Peer>();
  readonly #downs = new WeakMap<Peer, BfdDown>();

  /** Packets come and go in `netns`, that of the process when absent. */
  constructor(host: BfdPortHost, netns?: string) {
    this.#host = host;
    this.#bfd = new Bfd({
      ...(netns !== undefined && { netns }),
      onChange: (change) => this.#changed(change),
      onTrouble: (error) => host.trouble(error),
      onDiscarded: (text) => host.event({ kind: 'bfdDiscarded', text }),
    });
  }

  /** See `RouterPorts.bfd`. */
  watch(index: number, wanted: BfdTarget | undefined): void {
    const peer = this.#host.peer(index);
    if (wanted === undefined && peer !== undefined) this.#up.delete(peer);
    this.#bfd.set(index, wanted);
  }

  look(peer: Peer): BfdLook {
    return { session: this.#bfd.session(peer.index), lastDown: this.#downs.get(peer) };
  }

  /** Tells every peer that it is on purpose, so that nobody takes our end for a failure of the path. */
  stop(): Promise<void> {
    return this.#bfd.close();
  }

  #changed({ id, state, reason, independent, detectionMs }: BfdChange): void {
    const peer = this.#host.peer(id);
    if (peer === undefined) return;
    const wasUp = this.#up.has(peer);
    // A path that never was up has not failed: a peer without BFD looks like that for ever.
    if (state === 'up') {
      this.#up.add(peer);
      this.#host.event({ kind: 'bfd', peer: peer.name, state, failed: false, text: 'BFD: the path is up' });
    } else if (wasUp) {
      this.#up.delete(peer);
      const failed = state === 'down';
      if (failed) this.#downs.set(peer, { atMs: realClock.nowMs(), reason, detectionMs });
      const word = failed ? 'the path is down' : 'no longer watched';
      const told = failed ? 'down' : 'admin-down';
      this.#host.event({
        kind: 'bfd',
        peer: peer.name,
        state: told,
        failed,
        text: `BFD: ${word}: ${reason}`,
      });
    }
    this.#host.changed(id, state, independent);
  }
}
