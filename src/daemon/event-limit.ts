// Peers decide how often they come and go, and strangers of a range how many they are; so do guests, whose root takes
// their link down and up. Each could fill the disk with log lines and push what matters out of the ring of events. So
// each peer and each guest, and all of a kind together, may be told of in bursts and then only so often; the rest is
// counted, and the count is told. Pure: the time is passed in.

import type { NewEvent } from '../api/events.ts';

const ONE_BURST = 100;
const ONE_EVERY_MS = 1000;
const ALL_BURST = 4000;
const ALL_EVERY_MS = 20;
/** Peers, and guests, remembered; the one that was admitted longest ago goes first. */
const REMEMBERED_MOST = 4096;
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

/** Those of a kind: so many events of one, and of all of them. */
class Crowd {
  readonly #ones = new Map<string, Allowance>();
  readonly #all: Allowance;
  /** Not told yet. */
  leftOut = 0;

  constructor(nowMs: number) {
    this.#all = new Allowance(ALL_BURST, ALL_EVERY_MS, nowMs);
  }

  admits(name: string, nowMs: number): boolean {
    const own = this.#ones.get(name) ?? new Allowance(ONE_BURST, ONE_EVERY_MS, nowMs);
    if (!own.take(nowMs) || !this.#all.take(nowMs)) {
      this.leftOut++;
      return false;
    }
    this.#ones.delete(name);
    this.#ones.set(name, own);
    if (this.#ones.size > REMEMBERED_MOST)
      for (const oldest of this.#ones.keys()) return this.#ones.delete(oldest);
    return true;
  }

  /** What was left out since the last time. */
  take(): string {
    const text = this.leftOut === 1 ? 'one event' : `${this.leftOut} events`;
    this.leftOut = 0;
    return text;
  }
}

/** Passes events on within these limits; what is about no peer and no guest always. */
export function limitEvents(
  publish: (event: NewEvent) => void,
  nowMs: () => number,
): (event: NewEvent) => void {
  const peers = new Crowd(nowMs());
  const guests = new Crowd(nowMs());
  let toldMs = Number.NEGATIVE_INFINITY;
  const admits = (event: NewEvent, now: number): boolean => {
    if (event.peer !== undefined) return peers.admits(event.peer, now);
    // Frozen addresses wait for the operator, and freeze once.
    if (!event.kind.startsWith('guest-') || event.kind === 'guest-frozen') return true;
    return guests.admits(event.guest ?? event.interface ?? '', now);
  };
  const tellLeftOut = (crowd: Crowd, who: string, command: string): void => {
    if (crowd.leftOut === 0) return;
    const text = `${crowd.take()} of ${who} that come and go too often left out; ${command} shows how they are`;
    publish({ level: 'warning', kind: 'events-left-out', text });
  };
  return (event) => {
    const now = nowMs();
    const admitted = admits(event, now);
    if (peers.leftOut + guests.leftOut > 0 && now - toldMs >= TELL_EVERY_MS) {
      tellLeftOut(peers, 'peers', 'leafctl peers');
      tellLeftOut(guests, 'guests', 'leafctl guests');
      toldMs = now;
    }
    if (admitted) publish(event);
  };
}
