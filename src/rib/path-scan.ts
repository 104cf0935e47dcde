// Walking over all paths in slices, for everything that concerns many of them at once: a peer that went, stale
// paths to sweep, an import policy or a next hop that changed. One cursor goes round for all of them together,
// so that a hundred peers that drop at once cost one pass and not a hundred; a target is done once the cursor
// has been everywhere since the target was marked. There are no lists of paths by peer or by next hop: they
// would cost 4-8 B a path each, and a pass over a million paths takes a few milliseconds.

import { growU8 } from './columns.ts';
import type { PathTable } from './path-table.ts';

/** What to do with the paths of a marked peer, as bits. */
export const SCAN_PURGE = 1;
export const SCAN_REIMPORT = 2;
export const SCAN_REDECIDE = 4;

interface Target {
  kind: 'peer' | 'nextHop';
  id: number;
  /** Where the cursor was when the target was marked. */
  from: number;
  /** The cursor has begun anew since. */
  wrapped: boolean;
}

export class PathScan {
  /** Actions by peer index and by next hop id; 0 where there is nothing to do. */
  peerActions = new Uint8Array(64);
  nextHopActions = new Uint8Array(64);
  readonly #targets: Target[] = [];
  /** The same, by index in the peer table and by next hop id: a peer may have hundreds of thousands of next hops. */
  readonly #peers = new Map<number, Target>();
  readonly #nextHops = new Map<number, Target>();
  #cursor = 1;
  /** Where a target begins that is marked now: behind the slice under way, whose first paths have been passed. */
  #markFrom = 1;
  readonly #paths: PathTable;

  constructor(paths: PathTable) {
    this.#paths = paths;
  }

  get isIdle(): boolean {
    return this.#targets.length === 0;
  }

  /** Whether the peer still waits for the cursor. */
  isPending(peer: number): boolean {
    return this.#peers.has(peer);
  }

  markPeer(peer: number, action: number): void {
    if (peer >= this.peerActions.length)
      this.peerActions = growU8(this.peerActions, Math.max(peer + 1, this.peerActions.length * 2));
    this.peerActions[peer]! |= action;
    this.#mark('peer', peer);
  }

  markNextHop(id: number): void {
    if (id >= this.nextHopActions.length)
      this.nextHopActions = growU8(this.nextHopActions, Math.max(id + 1, this.nextHopActions.length * 2));
    this.nextHopActions[id] = 1;
    this.#mark('nextHop', id);
  }

  /**
   * The next slice: `begin` and the returned end bound the paths to look at, at most `budget` of them. The
   * caller looks at all of them and then calls `advance(end)`.
   */
  get begin(): number {
    return this.#cursor;
  }

  sliceEnd(budget: number): number {
    this.#markFrom = Math.min(this.#paths.end, this.#cursor + budget);
    return this.#markFrom;
  }

  advance(end: number): void {
    this.#cursor = end;
    if (end >= this.#paths.end) {
      this.#cursor = 1;
      for (const target of this.#targets) {
        if (target.wrapped) target.from = 0;
        target.wrapped = true;
      }
    }
    this.#markFrom = this.#cursor;
    let kept = 0;
    for (const target of this.#targets) {
      if (!target.wrapped || this.#cursor < target.from) this.#targets[kept++] = target;
      else if (target.kind === 'peer') {
        this.peerActions[target.id] = 0;
        this.#peers.delete(target.id);
      } else {
        this.nextHopActions[target.id] = 0;
        this.#nextHops.delete(target.id);
      }
    }
    this.#targets.length = kept;
  }

  #mark(kind: Target['kind'], id: number): void {
    const marked = kind === 'peer' ? this.#peers : this.#nextHops;
    const known = marked.get(id);
    if (known !== undefined) {
      known.from = this.#markFrom;
      known.wrapped = false;
      return;
    }
    const target: Target = { kind, id, from: this.#markFrom, wrapped: false };
    marked.set(id, target);
    this.#targets.push(target);
  }
}
