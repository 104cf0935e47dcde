// What happens when peers announce more distinct attribute sets than this process can hold. A limit on prefixes bounds
// the number of sets, not their size, which may be 64 kB each. Well before the pool ends (attribute-pool.ts), the peer
// that holds the most is ended with Cease/Out of Resources (RFC 4486) and waits for the operator; the others stay.
//
// Looked at once a turn, for what is sent fills the pool as well as what is received. A turn reads and exports a
// bounded number of routes, so that half of the pool is left for the turn that goes beyond the limit.

import type { AttributePool } from '../rib/attribute-pool.ts';
import { PATH_USED } from '../rib/path-table.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import type { Rib } from '../rib/rib.ts';

/** Pages (1 MiB) of attributes at which a peer has to go; the pool itself ends at 4096. */
const ATTRIBUTE_PAGES_MAX = 2048;
/** What has been freed is used again but its pages stay: the next peer goes only when so many more are needed. */
const PAGES_BETWEEN = 128;

export class MemoryLimit {
  #pagesMax: number;
  #next: number;

  constructor(pagesMax = ATTRIBUTE_PAGES_MAX) {
    this.#pagesMax = pagesMax;
    this.#next = pagesMax;
  }

  /** Another limit, in pages. */
  set pagesMax(pages: number) {
    this.#pagesMax = pages;
    this.#next = pages;
  }

  /** Whether so many pages are too many, and a peer has to go for it now. */
  isExceeded(pageCount: number): boolean {
    if (pageCount <= this.#pagesMax) this.#next = this.#pagesMax;
    if (pageCount <= this.#next) return false;
    this.#next = pageCount + PAGES_BETWEEN;
    return true;
  }
}

/** The peer whose paths hold the most attribute bytes, a shared set counted for each; undefined where none does. */
export function heaviestPeer(
  ribs: readonly Rib[],
  pool: AttributePool,
): { peer: number; bytes: number } | undefined {
  const bytesOf = new Map<number, number>();
  for (const { paths, perPeer } of ribs) {
    for (let path = 1; path < paths.end; path++) {
      if ((paths.flags[path]! & PATH_USED) === 0 || !perPeer.isLive(path)) continue;
      const peer = paths.peer[path]!;
      // Our own routes are the operator's wish and stay.
      if (peer === LOCAL_PEER) continue;
      bytesOf.set(peer, (bytesOf.get(peer) ?? 0) + pool.length[paths.attrIdIn[path]!]!);
    }
  }
  let heaviest: { peer: number; bytes: number } | undefined;
  for (const [peer, bytes] of bytesOf)
    if (heaviest === undefined || bytes > heaviest.bytes) heaviest = { peer, bytes };
  return heaviest;
}
