// What one router says it has sent a peer, held against what that one holds: prefix by prefix or key by key, path by
// path with its identifier (RFC 7911), attributes, next hop and what the NLRI carries beside its key, byte for byte.

import { sameBytes } from '../lib/bytes.ts';
import { formatIp, sameIp } from '../net/ip.ts';
import type { SentPath } from '../rib/adj-rib-out.ts';
import type { Rib } from '../rib/rib.ts';
import type { UpdateGroup } from '../rib/update-group.ts';
import type { Peer } from '../router/peer.ts';
import { familiesIn } from '../wire/bgp/family.ts';
import { routeKey } from './kernel.ts';
import type { SimNode } from './node.ts';
import type { World } from './world.ts';

/** The first difference between what was sent and what is there, on any session. */
export function adjRibDifferences(world: World): string | undefined {
  for (const node of world.nodes)
    for (const peer of node.router?.directory.byName.values() ?? []) {
      const wrong = peer.established && adjRibDifference(node, peer);
      if (wrong !== undefined) return wrong;
    }
  return undefined;
}

/** The router at the other end of a session, and its peer; undefined where it knows of none. */
export function farEnd(node: SimNode, peer: Peer): { node: SimNode; peer: Peer | undefined } | undefined {
  const end = node.ends.get(peer.established!.connection);
  const far = end?.connection.ends[end.side === 0 ? 1 : 0];
  if (far === undefined) return undefined;
  for (const other of far.node.router?.directory.byName.values() ?? [])
    if (other.established?.connection === far.id) return { node: far.node, peer: other };
  return { node: far.node, peer: undefined };
}

/** A route as people and maps call it. */
export function routeText(rib: Rib, id: number): string {
  if (rib.form === 'opaque') return rib.nlriText(id);
  return routeKey(rib.family, rib.table.address, id * rib.table.words, rib.table.length[id]!);
}

/** The id of what another router's rib of the family calls `sourceId`, or -1. */
export function sameRouteIn(rib: Rib, source: Rib, sourceId: number): number {
  if (rib.form === 'opaque') {
    const key = source.keyBytes(sourceId);
    return rib.findKey(key, 0, key.length);
  }
  const { address, words, length } = source.table;
  const at = sourceId * words;
  return words === 1
    ? rib.find(address[at]!, 0, 0, 0, length[sourceId]!)
    : rib.find(address[at]!, address[at + 1]!, address[at + 2]!, address[at + 3]!, length[sourceId]!);
}

/** The paths of a prefix that came from a peer. */
export function pathsFrom(rib: Rib, id: number, peer: number): number[] {
  const found: number[] = [];
  if (id < 0) return found;
  for (let path = rib.prefixes.firstPath[id]!; path !== 0; path = rib.paths.next[path]!)
    if (rib.paths.peer[path] === peer) found.push(path);
  return found;
}

function adjRibDifference(node: SimNode, peer: Peer): string | undefined {
  const far = farEnd(node, peer);
  if (far === undefined) return `${node.name}: the session with ${peer.name} has no connection`;
  const line = `${node.name} -> ${far.node.name}`;
  if (far.peer === undefined) return `${line}: the session with ${peer.name} is up on one side only`;
  const router = node.router!;
  for (const family of familiesIn(peer.families)) {
    const rib = router.ribs[family]!;
    const group = router.advertiser.groups.find((one) => one.rib === rib && one.memberOf(peer.index) >= 0);
    if (group === undefined) return `${line}: no update group of family ${family}`;
    const theirs = far.node.router!.ribs[family]!;
    let sent = 0;
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      const paths = group.sentPaths(group.memberOf(peer.index), id);
      sent += paths.length;
      const there = pathsFrom(theirs, sameRouteIn(theirs, rib, id), far.peer.index);
      const own = router.advertiser.sentTo(peer.index, rib, id)?.selfNextHop;
      for (const path of paths) {
        const wrong = pathDifference(group, path, own!, theirs, there);
        if (wrong !== undefined) return `${line}: ${routeText(rib, id)} ${wrong}`;
      }
      if (there.length > paths.length)
        return `${line}: ${routeText(rib, id)} has ${there.length} paths there, ${paths.length} were sent`;
    }
    const received = theirs.perPeer.received[far.peer.index] ?? 0;
    if (received !== sent) return `${line}: ${sent} routes of family ${family} sent, ${received} there`;
  }
  return undefined;
}

function pathDifference(
  { rib }: UpdateGroup,
  out: SentPath,
  ownNextHop: Uint8Array,
  theirs: Rib,
  there: readonly number[],
): string | undefined {
  const path = there.find((one) => theirs.paths.pathIdOf(one) === out.pathId);
  if (path === undefined) return `was sent and is not there (path ${out.pathId})`;
  if (!sameAttributes(rib, out.attrId, theirs, theirs.paths.attrIdIn[path]!))
    return 'has other attributes than were sent';
  const data = theirs.nlriData.copyOf(theirs.paths.nlriDataOf(path));
  const sent = rib.nlriData.copyOf(out.nlriDataId);
  if (data.length !== sent.length || !sameBytes(data, 0, sent, 0, sent.length))
    return `carries [${data}], sent was [${sent}]`;
  const hop = out.nextHopId === 0 ? ownNextHop : rib.nextHops.addressOf(out.nextHopId);
  const hopIn = theirs.nextHops.addressOf(theirs.paths.receivedNextHop(path));
  return sameIp(hop, hopIn) ? undefined : `has next hop ${formatIp(hopIn)}, sent was ${formatIp(hop)}`;
}

function sameAttributes(a: Rib, attrA: number, b: Rib, attrB: number): boolean {
  const length = a.pool.length[attrA]!;
  if (b.pool.length[attrB] !== length) return false;
  return sameBytes(
    a.pool.page(attrA),
    a.pool.offset(attrA),
    b.pool.page(attrB),
    b.pool.offset(attrB),
    length,
  );
}
