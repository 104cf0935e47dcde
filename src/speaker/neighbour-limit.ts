// Whose advertisement is believed on one port. Another neighbour than the last means that attempts to connect are
// given up and begun anew, so somebody who advertises from ever new addresses would keep the session down and the
// daemon busy. A few changes at once are a moved cable; after them one a second is heard, the rest is dropped. An
// advertisement that was dropped in error comes again. Pure: the time is passed in.

import { sameIp } from '../net/ip.ts';

const CHANGES_AT_ONCE = 4;
const CHANGE_EVERY_MS = 1000;

export class NeighbourLimit {
  #last: Uint8Array | undefined;
  #left = CHANGES_AT_ONCE;
  #sinceMs = 0;

  /** Whether an advertisement from `address` at `nowMs` is to be heard. */
  admits(address: Uint8Array, nowMs: number): boolean {
    if (this.#last !== undefined && sameIp(this.#last, address)) return true;
    if (this.#left === CHANGES_AT_ONCE) this.#sinceMs = nowMs;
    const earned = Math.floor((nowMs - this.#sinceMs) / CHANGE_EVERY_MS);
    this.#left = Math.min(CHANGES_AT_ONCE, this.#left + earned);
    this.#sinceMs += earned * CHANGE_EVERY_MS;
    if (this.#left === 0) return false;
    this.#left--;
    this.#last = address;
    return true;
  }
}
