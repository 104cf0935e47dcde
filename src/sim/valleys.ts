// Route leaks (RFC 7908), seen from outside: with the roles of RFC 9234 in force no path leads up to a provider or
// across to a peer once it has come down from a provider or across from a peer. Read from AS paths and from what the
// ends of the sessions are to each other, not from the attribute that is to prevent it.

import { PEER_EXTERNAL } from '../rib/peer-table.ts';
import type { Peer } from '../router/peer.ts';
import type { Role } from '../session/role.ts';
import { IPV6 } from '../wire/bgp/family.ts';
import { farEnd, routeText } from './adj-ribs.ts';
import type { Hearing } from './hearing.ts';
import type { World } from './world.ts';

type Direction = 'up' | 'down' | 'across' | 'unknown' | 'several';

const directionOf: Readonly<Partial<Record<Role, Direction>>> = {
  provider: 'down',
  customer: 'up',
  peer: 'across',
};

const reversed: Readonly<Record<Direction, Direction>> = {
  up: 'down',
  down: 'up',
  across: 'across',
  unknown: 'unknown',
  several: 'several',
};

/** An accepted path with a valley or a detour in it. */
export function leak(world: World, hearing: Hearing): string | undefined {
  const directions = directionsOf(world);
  if (directions.size === 0) return undefined;
  for (const { name, router } of world.nodes)
    for (const rib of router?.ribs.slice(0, IPV6 + 1) ?? [])
      for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1))
        for (let path = rib.prefixes.firstPath[id]!; path !== 0; path = rib.paths.next[path]!) {
          const isExternal = router!.peerTable.kind[rib.paths.peer[path]!] === PEER_EXTERNAL;
          if (!isExternal || rib.paths.attrId[path] === 0) continue;
          const { asPathSegments = [] } = hearing.view(router!, rib.paths.attrIdIn[path]!);
          const asns = [router!.config.asn, ...asPathSegments.flatMap((segment) => segment.asns)];
          const way = wayOf(asns.reverse(), directions);
          if (isLeak(way))
            return `${name} accepts ${routeText(rib, id)} by ${asns.join(' ')}: ${way.join(' ')}`;
        }
  return undefined;
}

/** Which way a route goes between two ASes, first to second, where all their sessions say the same. */
function directionsOf(world: World): Map<string, Direction> {
  const directions = new Map<string, Direction>();
  let hasRoles = false;
  for (const node of world.nodes)
    for (const peer of node.router?.directory.byName.values() ?? []) {
      const far = peer.established && farEnd(node, peer);
      if (far?.peer === undefined) continue;
      const direction = towards(peer, far.peer);
      hasRoles ||= direction !== 'unknown';
      const key = `${node.config.asn} ${far.node.config.asn}`;
      const known = directions.get(key);
      directions.set(key, known === undefined || known === direction ? direction : 'several');
    }
  return hasRoles ? directions : new Map();
}

function towards(peer: Peer, far: Peer): Direction {
  const own = peer.config.role && directionOf[peer.config.role];
  if (own !== undefined) return own;
  const theirs = far.config.role && directionOf[far.config.role];
  return theirs === undefined ? 'unknown' : reversed[theirs];
}

function wayOf(asns: readonly number[], directions: ReadonlyMap<string, Direction>): Direction[] {
  const way: Direction[] = [];
  for (let i = 1; i < asns.length; i++)
    if (asns[i] !== asns[i - 1]) way.push(directions.get(`${asns[i - 1]} ${asns[i]}`) ?? 'several');
  return way;
}

/** Ways that cannot be told, because sessions of two ASes differ, are passed over whole. */
function isLeak(way: readonly Direction[]): boolean {
  if (way.includes('several')) return false;
  const turn = way.findIndex((direction) => direction === 'down' || direction === 'across');
  return turn >= 0 && way.slice(turn + 1).some((direction) => direction === 'up' || direction === 'across');
}
