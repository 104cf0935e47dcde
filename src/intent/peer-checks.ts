// What can be wrong between peers: the same one twice, a name twice, ranges that overlap, and a pattern before it
// that takes every interface a later one could have. Peers are matched in the order written, the first one wins.

import { sameIp } from '../net/ip.ts';
import { prefixContains } from '../net/prefix.ts';
import type { BgpIntent, PeerIntent } from './intent.ts';
import { isPattern, matchesPattern } from './pattern.ts';
import type { Problem } from './tree.ts';

/** Faults between the peers. `positions[i]` is where `peers[i]` stands in `bgp.peers`. */
export function checkPeers(bgp: BgpIntent, positions: readonly number[]): Problem[] {
  const problems: Problem[] = [];
  for (const [index, peer] of bgp.peers.entries()) {
    const path = ['bgp', 'peers', positions[index]!];
    const own = peer.where.kind;
    for (const earlier of bgp.peers.slice(0, index)) {
      const clash = clashOf(earlier, peer);
      if (clash === undefined) continue;
      const key = clash.key ?? own;
      problems.push({
        path: [...path, key],
        reason: clash.reason,
        ...(clash.hint ? { hint: clash.hint } : {}),
      });
      break;
    }
    const { where } = peer;
    if (where.kind === 'address' && bgp.loopbacks.some((own) => sameIp(own.bytes, where.address)))
      problems.push({ path: [...path, 'address'], reason: "is one of this machine's own loopbacks" });
  }
  return problems;
}

function clashOf(
  earlier: PeerIntent,
  peer: PeerIntent,
): { reason: string; hint?: string; key?: 'name' } | undefined {
  if (earlier.key === peer.key) return { reason: 'is the same peer as one above' };
  if (earlier.name === peer.name) return { key: 'name', reason: 'is the name of a peer above' };
  const a = earlier.where;
  const b = peer.where;
  if (
    a.kind === 'range' &&
    b.kind === 'range' &&
    (prefixContains(a.range, b.range) || prefixContains(b.range, a.range))
  )
    return { reason: `overlaps the range of peer ${earlier.name}` };
  if (a.kind === 'interface' && b.kind === 'interface' && shadows(a.pattern, b.pattern))
    return {
      reason: `is never used: ${a.pattern} above it matches the same interfaces`,
      hint: 'put the more exact one first',
    };
  return undefined;
}

/** Whether everything the later pattern stands for is taken by the earlier one. */
function shadows(earlier: string, later: string): boolean {
  if (!isPattern(earlier)) return false;
  // A `*` in the later one as text can only be matched by a `*` of the earlier one, which then takes all it stands for.
  return matchesPattern(earlier.replaceAll('?', isPattern(later) ? '\0' : '?'), later);
}
