// Holding the incremental state of a RIB against a full recompute: for tests, and for the simulator, which does
// so after every step. The decision is recomputed by the plain stepwise form (`Decision.explain`), everything
// that is counted is counted again. Returns differences as sentences; an empty list is what one wants.

import { nextPathId, pathIdFor, type SentPath } from './adj-rib-out.ts';
import { AWAITS_FIB, NOT_DECIDED, SENT } from './export-options.ts';
import { ExportStage } from './export-stage.ts';
import { ImportStage } from './import-stage.ts';
import { BLACKHOLE_SET, FIRST_SET, LOCAL_SET, NO_SET } from './next-hop-sets.ts';
import { NEXT_HOP_DISCARD, NEXT_HOP_SELF } from './next-hop-table.ts';
import { PATH_USED } from './path-table.ts';
import { PREFIX_BEST_LOST, PREFIX_DIRTY, PREFIX_LISTED } from './prefixes.ts';
import { BEST, MAX_PREFIX, MULTIPATH, NOT_ROUTABLE } from './reason.ts';
import type { Rib } from './rib.ts';
import { askAboutPrefix } from './route-filter.ts';
import type { UpdateGroup } from './update-group.ts';

/**
 * Compares; while `rib.isScanning` or prefixes are dirty, what waits for its turn is left out. At most `limit`
 * differences.
 */
export function verifyRib(rib: Rib, limit = 20): string[] {
  const wrong: string[] = [];
  const say = (text: string): void => {
    if (wrong.length < limit) wrong.push(text);
  };
  const pathsSeen = verifyPrefixes(rib, say);
  if (pathsSeen !== rib.paths.size) say(`${rib.paths.size} paths in use, ${pathsSeen} in lists`);
  verifyCounts(rib, say);
  if (!rib.isScanning) verifyImport(rib, say);
  return wrong;
}

function verifyPrefixes(rib: Rib, say: (text: string) => void): number {
  const { prefixes, paths } = rib;
  let pathsSeen = 0;
  let routes = 0;
  let known = 0;
  for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
    const keys = new Set<string>();
    let waits = (prefixes.state[id]! & PREFIX_DIRTY) !== 0;
    for (let path = prefixes.firstPath[id]!; path !== 0; path = paths.next[path]!) {
      pathsSeen++;
      const key = `${paths.peer[path]}/${paths.pathIdOf(path)}`;
      if (keys.has(key)) say(`prefix ${id}: two paths of ${key}`);
      keys.add(key);
      if (paths.prefix[path] !== id) say(`path ${path} is listed under another prefix`);
      if ((paths.flags[path]! & PATH_USED) === 0) say(`path ${path} is listed but not in use`);
      if (rib.isScanning) waits = true;
    }
    if (prefixes.bestPath[id] !== 0) routes++;
    if (!waits) verifyDecision(rib, id, say);
    if ((prefixes.state[id]! & (PREFIX_BEST_LOST | PREFIX_DIRTY)) === PREFIX_BEST_LOST)
      say(`prefix ${id}: lost its best path and is not dirty`);
    const needed = prefixes.firstPath[id]! | prefixes.bestPath[id]! | prefixes.holds[id]!;
    if (needed === 0 && (prefixes.state[id]! & (PREFIX_DIRTY | PREFIX_LISTED)) === 0)
      say(`prefix ${id}: nobody needs it, and it is not idle`);
    known++;
  }
  if (known !== prefixes.count) say(`${prefixes.count} prefixes counted, ${known} found`);
  if (routes !== rib.routeCount) say(`${rib.routeCount} routes counted, ${routes} found`);
  return pathsSeen;
}

function verifyDecision(rib: Rib, id: number, say: (text: string) => void): void {
  const { prefixes, paths } = rib;
  let best = 0;
  const hops = new Set<number>();
  for (const { path, reason } of rib.explain(id)) {
    if (reason === BEST && best !== 0) say(`prefix ${id}: two best paths`);
    if (reason === BEST) best = path;
    if (reason === BEST || reason === MULTIPATH) hops.add(paths.nextHopId[path]!);
  }
  if (prefixes.bestPath[id] !== best)
    say(`prefix ${id}: best path is ${prefixes.bestPath[id]}, should be ${best}`);
  const setId = prefixes.nextHopSetId[id]!;
  const expected = [...hops].sort((a, b) => a - b);
  let same = setId >= FIRST_SET && `${rib.sets.members(setId)}` === `${expected}`;
  if (expected.length === 0) same = setId === NO_SET;
  else if (expected[0] === NEXT_HOP_SELF) same = setId === LOCAL_SET;
  else if (expected[0] === NEXT_HOP_DISCARD) same = setId === BLACKHOLE_SET;
  if (!same) say(`prefix ${id}: forwarded to [${rib.sets.members(setId)}], should be [${expected}]`);
}

/** Runs every path through its import filter once more, with nothing cached. */
function verifyImport(rib: Rib, say: (text: string) => void): void {
  const { paths, prefixes, pool, perPeer } = rib;
  const hostLength = rib.form === 'prefix' ? rib.table.words * 32 : 0;
  const stage = new ImportStage(pool, rib.peers, hostLength);
  for (let peer = 0; peer < rib.peers.end; peer++) stage.setFilter(peer, rib.importFilterOf(peer));
  for (let path = 1; path < paths.end; path++) {
    if ((paths.flags[path]! & PATH_USED) === 0 || paths.reason[path] === NOT_ROUTABLE) continue;
    const peer = paths.peer[path]!;
    askAboutPrefix(stage.query, prefixes, paths.prefix[path]!, paths.nlriDataOf(path));
    stage.run(peer, paths.attrIdIn[path]!, paths.receivedNextHop(path), perPeer.isLongLived(path));
    if (stage.attrId !== 0) pool.release(stage.attrId);
    if (paths.reason[path] === MAX_PREFIX && stage.reason === 0 && perPeer.limit[peer] !== 0) continue;
    const hop = stage.reason === 0 ? stage.nextHopId : paths.receivedNextHop(path);
    const expected = `${stage.attrId} ${stage.reason} ${hop}`;
    const found = `${paths.attrId[path]} ${paths.reason[path]} ${paths.nextHopId[path]}`;
    if (found !== expected) say(`path ${path}: import gave ${found}, should be ${expected}`);
    if (stage.reason === 0 && stage.weight !== paths.weight[path])
      say(`path ${path}: weight ${paths.weight[path]}, should be ${stage.weight}`);
  }
}

/** Counts per peer, and references of attribute sets and next hops: never fewer than the paths hold. */
function verifyCounts(rib: Rib, say: (text: string) => void): void {
  const { paths, perPeer, pool } = rib;
  const attrRefs = new Uint32Array(pool.idEnd);
  const dataRefs = new Uint32Array(rib.nlriData.refs.length);
  const received = new Uint32Array(rib.peers.end);
  const accepted = new Uint32Array(rib.peers.end);
  const retained = new Uint32Array(rib.peers.end);
  for (let path = 1; path < paths.end; path++) {
    if ((paths.flags[path]! & PATH_USED) === 0) continue;
    const peer = paths.peer[path]!;
    attrRefs[paths.attrIdIn[path]!]!++;
    dataRefs[paths.nlriDataOf(path)]!++;
    if (paths.attrId[path] !== 0) attrRefs[paths.attrId[path]!]!++;
    if ((paths.attrId[path] === 0) !== (paths.reason[path] !== 0))
      say(`path ${path}: neither accepted nor rejected`);
    if (paths.epoch[path] !== perPeer.epoch[peer]) retained[peer]!++;
    else {
      received[peer]!++;
      if (paths.attrId[path] !== 0) accepted[peer]!++;
    }
  }
  for (let id = 1; id < pool.idEnd; id++)
    if (pool.refs[id]! < attrRefs[id]!)
      say(`attribute set ${id}: ${pool.refs[id]} references, ${attrRefs[id]} held by paths`);
  for (let id = 1; id < dataRefs.length; id++)
    if (rib.nlriData.refs[id]! < dataRefs[id]!)
      say(`NLRI data ${id}: ${rib.nlriData.refs[id]} references, ${dataRefs[id]} held by paths`);
  for (let peer = 0; peer < rib.peers.end && peer < perPeer.received.length; peer++) {
    const counted = `${perPeer.received[peer]}/${perPeer.accepted[peer]}/${perPeer.retained[peer]}`;
    const found = `${received[peer]}/${accepted[peer]}/${retained[peer]}`;
    if (counted !== found) say(`peer ${peer}: received/accepted/retained ${counted}, found ${found}`);
  }
}

/**
 * Compares what a group says it sends with an export from scratch, where nothing waits; and its counts. Looking
 * at a group does not change it.
 */
export function verifyGroup(group: UpdateGroup, limit = 20): string[] {
  const wrong: string[] = [];
  const { rib } = group;
  const stage = new ExportStage(rib, group.stage.options, group.stage.filter);
  const bySource = new Map<number, number>();
  let routes = 0;
  for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
    const sent = group.pathsOut(id);
    for (const { source } of sent) {
      routes++;
      bySource.set(source, (bySource.get(source) ?? 0) + 1);
    }
    if (group.memberCount === 0 || !group.isSettled(id)) continue;
    // Other paths than the best one may be gone before the decision has looked.
    if (stage.watchesPaths && rib.isScanning) continue;
    const due = duePaths(stage, rib, id);
    if (due === undefined) continue;
    const [expected, found] = [due, sent].map((paths) => paths.map(pathText).join(', ') || 'nothing');
    if (found !== expected) wrong.push(`prefix ${id}: sent ${found}, should be ${expected}`);
  }
  if (routes !== group.routeCount) wrong.push(`${group.routeCount} routes counted, ${routes} found`);
  for (const [source, count] of bySource)
    if (group.routesBySource[source] !== count) wrong.push(`${count} routes of peer ${source} miscounted`);
  return wrong.slice(0, limit);
}

const pathText = ({ pathId, attrId, nextHopId, nlriDataId, source }: SentPath): string =>
  `${pathId}: ${attrId} ${nextHopId} ${nlriDataId} ${source}`;

/** What should be sent of the prefix; undefined where that has to wait. The ids are borrowed from nobody. */
function duePaths(stage: ExportStage, rib: Rib, id: number): SentPath[] | undefined {
  const due: SentPath[] = [];
  const add = (pathId: number): void => {
    const { attrId, nextHopId, nlriDataId, source } = stage;
    if (attrId === 0) return;
    rib.pool.release(attrId);
    due.push({ pathId, attrId, nextHopId, nlriDataId, source });
  };
  const state = stage.stateReason(id);
  if (state === NOT_DECIDED || state === AWAITS_FIB) return undefined;
  const { addPath } = stage.options;
  if (addPath === undefined) {
    stage.run(id);
    add(0);
    return due;
  }
  if (state !== SENT) return due;
  // In the plainest way: the best of all, then the best of those that are left.
  for (const path of rib.decision.rankAll(rib.prefixes.firstPath[id]!)) {
    if (addPath.max !== 0 && due.length >= addPath.max) break;
    stage.runPath(id, path);
    let pathId = pathIdFor(rib, path);
    while (due.some((one) => one.pathId === pathId)) pathId = nextPathId(pathId);
    add(pathId);
  }
  return due;
}
