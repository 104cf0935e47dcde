// Peers decide how often they come and go, and strangers of a range how many they are: each could fill the disk with
// log lines and push what matters out of the ring of events. So each peer, and all of them together, may be told of in
// bursts and then only so often; the rest is counted, and the count is told. Pure: the time is passed in.

import type { NewEvent } from '../api/events.ts';

const PEER_BURST = 100;
const PEER_EVERY_MS = 1000;
const ALL_BURST = 4000;
const ALL_EVERY_MS = 20;
/** Peers remembered; the one that was admitted longest ago goes first. */
const PEERS_MAX = 1024;
/** The count of what was left out is told at most so often. */
const TELL_EVERY_MS = 10_000;

/** So many at once, then one each `everyMs`. */
class Allowance {
  readonly #burst: number;
  readonly #everyMs: number;
  #left: number;
  #sinceMs: number;

  constructor(burst: number, everyMs: number, nowMs: number) {
    this.#burst = burst;
    this.#everyMs = everyMs;
    this.#left = burst;
    this.#sinceMs = nowMs;
  }

  take(nowMs: number): boolean {
    const earned = Math.floor((nowMs - this.#sinceMs) / this.#everyMs);
    this.#left = Math.min(this.#burst, this.#left + earned);
    this.#sinceMs += earned * this.#everyMs;
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }
}

/** Passes events on within these limits; what is about no peer always. */
export function limitEvents(
  publish: (event: NewEvent) => void,
  nowMs: () => number,
): (event: NewEvent) => void {
  const peers = new Map<string, Allowance>();
  const all = new Allowance(ALL_BURST, ALL_EVERY_MS, nowMs());
  let leftOut = 0;
  let toldMs = Number.NEGATIVE_INFINITY;
  const admits = (peer: string, now: number): boolean => {
    const own = peers.get(peer) ?? new Allowance(PEER_BURST, PEER_EVERY_MS, now);
    if (!own.take(now) || !all.take(now)) return false;
    peers.delete(peer);
    peers.set(peer, own);
    if (peers.size > PEERS_MAX) for (const oldest of peers.keys()) return peers.delete(oldest);
    return true;
  };
  return (event) => {
    const now = nowMs();
    const admitted = event.peer === undefined || admits(event.peer, now);
    if (!admitted) leftOut++;
    if (leftOut > 0 && now - toldMs >= TELL_EVERY_MS) {
      const events = leftOut === 1 ? 'one event' : `${leftOut} events`;
      const text = `${events} of peers that come and go too often left out; leafctl peers shows how they are`;
      publish({ level: 'warning', kind: 'events-left-out', text });
      leftOut = 0;
      toldMs = now;
    }
    if (admitted) publish(event);
  };
}
