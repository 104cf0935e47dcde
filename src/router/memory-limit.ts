// What happens when peers announce more distinct attribute sets than this process can hold. A limit on prefixes bounds
// the number of sets, not their size, which may be 64 kB each. Before the pool ends (attribute-pool.ts), the peer with
// the most is told so with Cease/Out of Resources (RFC 4486) and waits for the operator; the others stay.

import type { AttributePool } from '../rib/attribute-pool.ts';
import { PATH_USED } from '../rib/path-table.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import type { Rib } from '../rib/rib.ts';

/** Pages (1 MiB) of attributes at which a peer has to go; the pool itself ends at 4096. */
export const ATTRIBUTE_PAGES_MAX = 3072;
/** What has been freed is used again but its pages stay: the next peer goes only when so many more are needed. */
export const PAGES_BETWEEN = 128;

/** The peer whose paths hold the most attribute bytes, shared sets counted for each; 0 where there are none. */
export function heaviestPeer(ribs: readonly Rib[], pool: AttributePool): { peer: number; bytes: number } {
  const bytesOf = new Float64Array(0x1_0000);
  for (const { paths, perPeer } of ribs) {
    for (let path = 1; path < paths.end; path++) {
      if ((paths.flags[path]! & PATH_USED) === 0 || !perPeer.isLive(path)) continue;
      bytesOf[paths.peer[path]!]! += pool.length[paths.attrIdIn[path]!]!;
    }
  }
  let peer = LOCAL_PEER;
  for (let one = 1; one < bytesOf.length; one++) if (bytesOf[one]! > bytesOf[peer]! || peer === 0) peer = one;
  return bytesOf[peer] === 0 ? { peer: LOCAL_PEER, bytes: 0 } : { peer, bytes: bytesOf[peer]! };
}
