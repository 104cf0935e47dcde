// What must hold of routes that outlive their session, at every moment: they go when their time is over (RFC 4724 4.2,
// RFC 9494 4.2), those that stay for long say so and are the last choice (RFC 9494 4.3), a hard reset leaves none (RFC
// 8538), and a refresh ends (RFC 7313). Times are counted here from what the session told when it came up; what
// the router remembers is not asked.

import { PATH_USED } from '../rib/path-table.ts';
import { PREFIX_DIRTY } from '../rib/prefixes.ts';
import type { Rib } from '../rib/rib.ts';
import type { Peer } from '../router/peer.ts';
import type { RouterEvent } from '../router/ports.ts';
import { describeAttributes } from '../wire/bgp/attribute/describe.ts';
import { families } from '../wire/bgp/family.ts';
import type { SimNode } from './node.ts';

/** A router looks at what is due when it is woken; and times are told in whole seconds. */
const SLACK_MS = 1500;
/** Longer than a session lives through without hearing anything. */
const REFRESH_MAX_MS = 25_000;
/** Subcodes of Cease that mean for a Hard Reset where both know it: too many prefixes, shut down, removed, reset. */
const HARD_SUBCODES = [1, 2, 3, 4];

interface Session {
  life: number;
  upAtMs: number;
  downAtMs: number;
  /** As the peer told: how long it may be away, and by family how long its routes may be used after that. */
  restartMs: number;
  staleMs: readonly number[];
  dumpingSinceMs: number;
}

export class Staleness {
  readonly #sessions = new Map<string, Session>();

  /** A router tells of a session; what is wrong with that. */
  told(node: SimNode, event: RouterEvent, nowMs: number): string | undefined {
    if (event.kind !== 'peerUp' && event.kind !== 'peerDown') return undefined;
    const peer = node.router?.directory.byName.get(event.peer);
    if (peer === undefined) return undefined;
    const key = `${node.name} ${event.peer}`;
    if (event.kind === 'peerUp') {
      const { gracefulRestart, longLived } = peer.negotiated!;
      const before = this.#sessions.get(key);
      this.#sessions.set(key, {
        life: node.life,
        upAtMs: nowMs,
        downAtMs: before?.life === node.life ? before.downAtMs : 0,
        restartMs: gracefulRestart?.timeMs ?? 0,
        staleMs: longLived?.staleTimeMs ?? [],
        dumpingSinceMs: 0,
      });
      return undefined;
    }
    const session = this.#sessions.get(key);
    if (session !== undefined) session.downAtMs = nowMs;
    const { kind, code, subcode } = event.reason;
    const isHard = kind === 'notificationReceived' && code === 6 && HARD_SUBCODES.includes(subcode!);
    if (isHard && peer.restart.stale !== 0)
      return `${node.name} keeps routes of ${peer.name}, which has ended the session for good (6/${subcode})`;
    return undefined;
  }

  /** A router has done all there was to do at this moment. */
  turned(node: SimNode, nowMs: number): string | undefined {
    for (const peer of node.router!.directory.byName.values()) {
      const session = this.#sessions.get(`${node.name} ${peer.name}`);
      if (session === undefined || session.life !== node.life) continue;
      const dumping = node.router!.refreshes.dumping(peer);
      if (dumping === 0) session.dumpingSinceMs = nowMs;
      else if (nowMs - session.dumpingSinceMs > REFRESH_MAX_MS)
        return `${node.name}: a refresh of ${peer.name} never ends`;
      for (const rib of node.router!.ribs) {
        if ((rib.perPeer.retained[peer.index] ?? 0) === 0) continue;
        const wrong = ribStaleness(node, rib, peer, session, dumping, nowMs);
        if (wrong !== undefined)
          return `${node.name}, ${families[rib.family]!.name} of ${peer.name}: ${wrong}`;
      }
    }
    return undefined;
  }
}

function ribStaleness(
  node: SimNode,
  rib: Rib,
  peer: Peer,
  session: Session,
  dumping: number,
  nowMs: number,
): string | undefined {
  const { perPeer, family } = rib;
  if (rib.isScanning || (dumping & (1 << family)) !== 0) return undefined;
  if (perPeer.keepsStale[peer.index] === 0) return 'stale paths are kept that nobody uses';
  const times = node.config.gracefulRestart;
  const longMs = Math.min(session.staleMs[family] ?? 0, times?.longLivedStaleTimeMs ?? 0);
  const outlastsMs = session.downAtMs + session.restartMs;
  const isBack = peer.established !== undefined;
  const refreshedByMs = isBack ? session.upAtMs + (times?.stalePathTimeMs ?? 0) : 0;
  const endMs = Math.max(outlastsMs + longMs, refreshedByMs);
  if (nowMs > endMs + SLACK_MS) return `paths are stale since ${nowMs - session.downAtMs} ms`;
  // One that was back in time has its routes refreshed in another time.
  if (nowMs <= outlastsMs + SLACK_MS || (isBack && session.upAtMs <= outlastsMs + SLACK_MS)) return undefined;
  return longLivedDifference(rib, peer);
}

/** Whether paths that are there for long say so, and those that may not are refused. */
function longLivedDifference(rib: Rib, peer: Peer): string | undefined {
  const { paths, pool } = rib;
  for (let path = 1; path < paths.end; path++) {
    if ((paths.flags[path]! & PATH_USED) === 0 || paths.peer[path] !== peer.index) continue;
    const attrId = paths.attrId[path]!;
    if (attrId === 0 || !rib.isStale(path)) continue;
    const start = pool.offset(attrId);
    const { communities = [] } = describeAttributes(pool.page(attrId), start, start + pool.length[attrId]!);
    if (!communities.includes('llgr-stale')) return 'a path that is stale for long does not say so';
    if (communities.includes('no-llgr')) return 'a path is stale for long that may not be';
  }
  return undefined;
}

/** A best path that is stale for long beside one that is not. */
export function lastChoice(rib: Rib): string | undefined {
  const { paths, pool, prefixes } = rib;
  if (pool.staleSets === 0 || rib.isScanning) return undefined;
  const isLong = (path: number): boolean => {
    const attrId = paths.attrId[path]!;
    const start = pool.offset(attrId);
    const view = describeAttributes(pool.page(attrId), start, start + pool.length[attrId]!);
    return view.communities?.includes('llgr-stale') === true;
  };
  for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
    const best = prefixes.bestPath[id]!;
    if (best === 0 || (prefixes.state[id]! & PREFIX_DIRTY) !== 0 || !isLong(best)) continue;
    for (let path = prefixes.firstPath[id]!; path !== 0; path = paths.next[path]!) {
      if (paths.attrId[path] === 0 || !rib.perPeer.isLive(path)) continue;
      if (rib.nextHops.reachable[paths.nextHopId[path]!] === 0) continue;
      if (!isLong(path)) return `prefix ${id}: a long-lived stale path is preferred to another one`;
    }
  }
  return undefined;
}
