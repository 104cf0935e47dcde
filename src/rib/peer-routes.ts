// What one RIB counts per peer, and the epochs that make dropping a peer or marking its paths stale one
// increment. A path carries the epoch in which it was announced last: the present one is fresh; the one before
// is stale, and still in use while the peer keeps stale paths (RFC 4724 4.2); anything older is gone and only
// waits for its slice of the scan.

import { growU8, growU32 } from './columns.ts';
import type { PathTable } from './path-table.ts';

export class PeerRoutes {
  /** Paths of the present session (adj-rib-in), and those of them that import accepted. */
  received = new Uint32Array(16);
  accepted = new Uint32Array(16);
  /** Paths of sessions before: stale, or gone and not yet cleaned up. */
  retained = new Uint32Array(16);
  epoch = new Uint8Array(16);
  /** 1 while paths one epoch behind are in use. */
  keepsStale = new Uint8Array(16);
  /** 1 while those are long-lived stale (RFC 9494). */
  longLived = new Uint8Array(16);
  /** Accepted paths beyond this many are refused; 0 for no limit. */
  limit = new Uint32Array(16);
  /** 1 when a path has been refused for the limit since its paths were last looked at. */
  hasSurplus = new Uint8Array(16);
  /** Epochs begun since the scan last finished with the peer. */
  behind = new Uint8Array(16);
  readonly #paths: PathTable;

  constructor(paths: PathTable) {
    this.#paths = paths;
  }

  /** Makes room for the peer's index. */
  ensure(peer: number): void {
    if (peer < this.epoch.length) return;
    const capacity = Math.max(peer + 1, this.epoch.length * 2);
    this.received = growU32(this.received, capacity);
    this.accepted = growU32(this.accepted, capacity);
    this.retained = growU32(this.retained, capacity);
    this.epoch = growU8(this.epoch, capacity);
    this.keepsStale = growU8(this.keepsStale, capacity);
    this.longLived = growU8(this.longLived, capacity);
    this.limit = growU32(this.limit, capacity);
    this.hasSurplus = growU8(this.hasSurplus, capacity);
    this.behind = growU8(this.behind, capacity);
  }

  /** Whether there is any path of the peer, of whatever epoch. */
  hasAny(peer: number): boolean {
    return this.received[peer]! + this.retained[peer]! > 0;
  }

  /** Whether the path counts: it is of the present session, or stale and still in use. */
  isLive(path: number): boolean {
    const peer = this.#paths.peer[path]!;
    const age = (this.epoch[peer]! - this.#paths.epoch[path]!) & 0xff;
    return age === 0 || (age === 1 && this.keepsStale[peer] === 1);
  }

  /** Whether the path is left over from a session before and still in use (RFC 4724). */
  isStale(path: number): boolean {
    const peer = this.#paths.peer[path]!;
    return this.#paths.epoch[path] !== this.epoch[peer] && this.isLive(path);
  }

  /** Whether the path is stale for so long that RFC 9494 counts. */
  isLongLived(path: number): boolean {
    return this.longLived[this.#paths.peer[path]!] === 1 && this.isStale(path);
  }

  /** Whether one more accepted path of the peer is beyond its limit; `path` is 0 or the one that it replaces. */
  isSurplus(peer: number, path: number): boolean {
    const limit = this.limit[peer]!;
    if (limit === 0) return false;
    const counted =
      path !== 0 && this.#paths.attrId[path] !== 0 && this.#paths.epoch[path] === this.epoch[peer];
    return counted ? this.accepted[peer]! > limit : this.accepted[peer]! >= limit;
  }

  /** Stamps the path with the present epoch and counts it; its attributes after import are set. */
  count(path: number): void {
    const peer = this.#paths.peer[path]!;
    this.#paths.epoch[path] = this.epoch[peer]!;
    this.received[peer]!++;
    if (this.#paths.attrId[path] !== 0) this.accepted[peer]!++;
  }

  /** Undoes `count` before the path changes or goes. */
  uncount(path: number): void {
    const peer = this.#paths.peer[path]!;
    if (this.#paths.epoch[path] !== this.epoch[peer]) this.retained[peer]!--;
    else {
      this.received[peer]!--;
      if (this.#paths.attrId[path] !== 0) this.accepted[peer]!--;
    }
  }

  /** Begins the peer's next epoch. */
  advance(peer: number, keepStale: boolean): void {
    this.retained[peer]! += this.received[peer]!;
    this.received[peer] = 0;
    this.accepted[peer] = 0;
    this.epoch[peer] = (this.epoch[peer]! + 1) & 0xff;
    this.keepsStale[peer] = keepStale ? 1 : 0;
    this.longLived[peer] = 0;
    this.behind[peer]!++;
  }
}
