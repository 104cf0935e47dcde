// What must hold when the network has come to rest. Each check says what is wrong in a sentence, or nothing; the
// first one that does is the verdict on a run. They look at the routers from outside and change nothing.
//
// Sessions are as the cables are; nothing is left over from an earlier session; every rib and update group is what
// a computation from scratch gives (verify.ts of the rib); what one router says it has sent is what the other one
// holds; references are neither lost nor leaked; the kernel has exactly what was decided; and packets arrive
// from every router that should have a route, at whichever next hop they are thrown.

import { formatIp, formatIp4, sameIp } from '../net/ip.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import { FIRST_SET } from '../rib/next-hop-sets.ts';
import { FIRST_NEXT_HOP } from '../rib/next-hop-table.ts';
import { PATH_NEXT_HOP_SET, PATH_USED } from '../rib/path-table.ts';
import { LOCAL_PEER, PEER_LOCAL } from '../rib/peer-table.ts';
import type { Rib } from '../rib/rib.ts';
import { verifyGroup, verifyRib } from '../rib/verify.ts';
import type { Router } from '../router/router.ts';
import { describeDown } from '../session/reason.ts';
import { describeAttributes } from '../wire/bgp/attribute/describe.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { adjRibDifferences } from './adj-ribs.ts';
import { Hearing } from './hearing.ts';
import { routeKey } from './kernel.ts';
import { type Port, wordsOf } from './network.ts';
import type { SimNode } from './node.ts';
import { opaqueDifference } from './opaque.ts';
import { carries, Oracle, peerAcross, sessionOf } from './oracle.ts';
import { lastChoice } from './staleness.ts';
import { leak } from './valleys.ts';
import { cableText, type World } from './world.ts';

export interface Violation {
  /** Which invariant. */
  invariant:
    | 'session'
    | 'leftover'
    | 'rib'
    | 'adjRibOut'
    | 'rules'
    | 'stale'
    | 'bfd'
    | 'references'
    | 'fib'
    | 'reachability'
    | 'quiet'
    | 'collision'
    | 'assertion';
  text: string;
}

/**
 * Against what reachability is held: the oracle, which works the whole network out, but knows neither several paths
 * of a prefix nor confederations nor roles; `steps`, what each router should hear from the next one (hearing.ts); or
 * only what each router itself has a route to. The first two know the policies of `faults.ts` alone.
 */
export type ReachabilityCheck = 'oracle' | 'steps' | 'walk';

type Check = (world: World, reachability: ReachabilityCheck) => string | undefined;

const checks: readonly [Violation['invariant'], Check][] = [
  ['session', checkSessions],
  ['leftover', checkLeftovers],
  ['rib', checkRibs],
  ['adjRibOut', checkAdjRibs],
  ['rules', checkRules],
  ['references', checkReferences],
  ['fib', checkFibs],
  ['reachability', checkReachability],
];

/** The first invariant that does not hold, or undefined. The world has come to rest. */
export function findViolation(world: World, reachability: ReachabilityCheck): Violation | undefined {
  for (const { router } of world.nodes) while (router?.work());
  for (const [invariant, check] of checks) {
    const text = check(world, reachability);
    if (text !== undefined) return { invariant, text };
  }
  return undefined;
}

/** What can be said of a single router at any time, also while much is under way. */
export function findRibViolation(node: SimNode): Violation | undefined {
  const text = node.router && (ribDifference(node.name, node.router) ?? staleChoice(node.name, node.router));
  return text === undefined ? undefined : { invariant: 'rib', text };
}

function staleChoice(name: string, { ribs }: Router): string | undefined {
  for (const rib of ribs) {
    const wrong = lastChoice(rib);
    if (wrong !== undefined) return `${name}, family ${rib.family}: ${wrong}`;
  }
  return undefined;
}

/** A route of others that a router tells while its kernel has none would draw packets into nothing. */
export function findEarlyWord(node: SimNode): Violation | undefined {
  const text = node.router && toldTooEarly(node, node.router);
  return text === undefined ? undefined : { invariant: 'fib', text };
}

function toldTooEarly(node: SimNode, router: Router): string | undefined {
  for (const group of router.advertiser.groups) {
    const { table, prefixes, family } = group.rib;
    if (group.memberCount === 0) continue;
    for (let id = 0; id < table.idEnd; id++) {
      // What waits to be withdrawn has been told in its time.
      if (!group.isSettled(id)) continue;
      if (group.attrOut(id) === 0 || group.sourceOf(id) === LOCAL_PEER || prefixes.nextHopSetId[id]! <= 1)
        continue;
      const key = routeKey(family, table.address, id * table.words, table.length[id]!);
      if (!node.kernel.routes.has(key)) return `${node.name} tells ${key}, which its kernel does not have`;
    }
  }
  return undefined;
}

/** Why the world has not come to rest yet, or undefined when it has. */
export function unrest(world: World): string | undefined {
  const session = checkSessions(world);
  if (session !== undefined) return session;
  for (const { name, router } of world.nodes) {
    if (router === undefined) return `${name} does not run`;
    if (router.isFinishing) return `${name} has not finished its restart`;
    if ((router.fibSets?.pending ?? 0) > 0) return `${name} waits for its kernel`;
    for (const rib of router.ribs)
      if (rib.hasWork || rib.dirtyCount > 0) return `${name} has prefixes to decide`;
    for (const group of router.advertiser.groups) if (group.hasWork) return `${name} has routes to send`;
    for (const peer of router.directory.byName.values()) {
      if (peer.restart.stale !== 0) return `${name} keeps stale paths of ${peer.name}`;
      if (peer.main.blocked) return `${name} cannot send to ${peer.name}`;
      if (router.refreshes.dumping(peer) !== 0) return `${name} is refreshed by ${peer.name}`;
    }
  }
  return world.network.isQuiet ? undefined : 'messages are under way';
}

// ---- sessions ----

function checkSessions(world: World): string | undefined {
  for (const cable of world.network.cables) {
    const wanted = sessionOf(cable) !== undefined;
    for (const port of [cable.a, cable.b]) {
      const peer = peerAcross(port);
      if (peer === undefined || (peer.established !== undefined) === wanted) continue;
      const { state, lastError } = peer.main.session;
      const reason = wanted && lastError !== undefined ? ` (${describeDown(lastError)})` : '';
      const cableState = carries(cable) ? 'carries' : 'does not carry';
      return `${port.node.name}: ${peer.name} is ${state}${reason}, ${cableText(cable)} ${cableState}`;
    }
  }
  return undefined;
}

function checkLeftovers(world: World): string | undefined {
  for (const { name, router } of world.nodes) {
    if (router === undefined) continue;
    if (router.isFinishing) return `${name} still waits for the end of its restart`;
    for (const peer of router.directory.byName.values()) {
      if (peer.restart.stale !== 0) return `${name} keeps stale paths of ${peer.name}`;
      if (peer.second !== undefined && peer.established !== undefined)
        return `${name} has a second connection with ${peer.name}`;
      const restart = peer.negotiated?.gracefulRestart;
      if (restart !== undefined && (peer.families & ~peer.restart.endOfRibReceived) !== 0)
        return `${name} has had no End-of-RIB from ${peer.name}`;
    }
    const peers = new Set([...router.directory.byName.values()].map(({ index }) => index));
    for (const rib of router.ribs)
      for (let index = 1; index < rib.peers.end; index++) {
        if (index >= rib.perPeer.received.length) break;
        const peer = router.directory.byIndex[index];
        if (rib.perPeer.retained[index] !== 0)
          return `${name} has stale paths of peer ${peer?.name ?? index}`;
        if (rib.perPeer.received[index] !== 0 && (!peers.has(index) || peer?.established === undefined))
          return `${name} has paths of ${peer?.name ?? index}, which has no session`;
      }
  }
  return undefined;
}

// ---- ribs ----

function checkRibs(world: World): string | undefined {
  for (const { name, router } of world.nodes) {
    if (router === undefined) continue;
    const difference =
      ribDifference(name, router) ?? loopingPath(name, router) ?? longLivedAtRest(name, router);
    if (difference !== undefined) return difference;
    for (const group of router.advertiser.groups) {
      const [wrong] = verifyGroup(group, 1);
      if (wrong !== undefined) return `${name}, update group: ${wrong}`;
    }
  }
  return undefined;
}

function ribDifference(name: string, router: Router): string | undefined {
  for (const rib of router.ribs) {
    const [wrong] = verifyRib(rib, 1);
    if (wrong !== undefined) return `${name}, family ${rib.family}: ${wrong}`;
  }
  return undefined;
}

/** With all sessions up nothing is stale anywhere, so nothing may say that it is. */
function longLivedAtRest(name: string, { pool }: Router): string | undefined {
  return pool.staleSets === 0 ? undefined : `${name} has attributes that say LLGR_STALE`;
}

/** An accepted path that has been here before (RFC 4271, 9.1.2; RFC 4456, 8), as its bytes tell it. */
function loopingPath(name: string, router: Router): string | undefined {
  const { pool, config, peerTable } = router;
  const clusterId = formatIp4(config.clusterId ?? config.bgpId);
  const own = formatIp4(config.bgpId);
  const seen = new Set<number>();
  for (const { paths } of router.ribs)
    for (let path = 1; path < paths.end; path++) {
      const attrId = paths.attrIdIn[path]!;
      const kind = peerTable.kind[paths.peer[path]!];
      if ((paths.flags[path]! & PATH_USED) === 0 || paths.attrId[path] === 0 || kind === PEER_LOCAL) continue;
      if (seen.has(attrId)) continue;
      seen.add(attrId);
      const start = pool.offset(attrId);
      const view = describeAttributes(pool.page(attrId), start, start + pool.length[attrId]!);
      const looped =
        view.asPath?.split(/[() ]/).includes(`${config.asn}`) ||
        view.originatorId === own ||
        view.clusterList?.includes(clusterId);
      if (looped)
        return `${name} accepts what it has sent itself: [${view.asPath}] [${view.clusterList ?? ''}]`;
    }
  return undefined;
}

function checkAdjRibs(world: World): string | undefined {
  return adjRibDifferences(world);
}

/** Routes are told and judged by the rules, belong to somebody, and go no way that they must not. */
function checkRules(world: World, reachability: ReachabilityCheck): string | undefined {
  // Policies of a topology's own are not known here.
  if (reachability === 'walk') return undefined;
  const hearing = new Hearing(world);
  return hearing.difference() ?? hearing.ghost() ?? leak(world, hearing) ?? opaqueDifference(world);
}

// ---- references ----

function checkReferences(world: World): string | undefined {
  for (const node of world.nodes) {
    const { router, name } = node;
    if (router === undefined) continue;
    const wrong = countReferences(router, node);
    if (wrong !== undefined) return `${name}: ${wrong}`;
  }
  return undefined;
}

function countReferences(router: Router, node: SimNode): string | undefined {
  const { pool, nextHopTable, nextHopSets } = router;
  const attrs = new Uint32Array(pool.idEnd);
  const hops = new Uint32Array(nextHopTable.idEnd);
  const sets = new Uint32Array(nextHopSets.idEnd);
  for (const hop of router.guests.nextHops()) hops[hop]!++;
  for (const rib of router.ribs) {
    const { idEnd } = rib.prefixes;
    const holds = new Uint32Array(idEnd);
    const data = new Uint32Array(rib.nlriData.refs.length);
    for (const id of router.guests.watchedIn(rib.family)) holds[id]!++;
    countPaths(rib, attrs, hops, data);
    for (const group of router.advertiser.groups) {
      if (group.rib !== rib) continue;
      for (let id = 0; id < idEnd; id++) {
        const sent = group.pathsOut(id);
        if (sent.length > 0) holds[id]!++;
        for (const { attrId, nextHopId, nlriDataId } of sent) {
          attrs[attrId]!++;
          data[nlriDataId]!++;
          if (nextHopId !== 0) hops[nextHopId]!++;
        }
      }
    }
    for (let id = 1; id < data.length; id++)
      if (rib.nlriData.refs[id] !== data[id])
        return `NLRI data ${id} has ${rib.nlriData.refs[id]} references instead of ${data[id]}`;
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      sets[rib.prefixes.nextHopSetId[id]!]!++;
      if (rib.prefixes.holds[id] !== holds[id])
        return `prefix ${id} is held ${rib.prefixes.holds[id]} times instead of ${holds[id]}`;
      if (rib.prefixes.firstPath[id] === 0 && holds[id] === 0)
        return `prefix ${id} has no paths and is still there`;
    }
  }
  for (let id = FIRST_SET; id < sets.length; id++) {
    if (node.kernel.hasSet(id)) sets[id]!++;
    if (nextHopSets.refs[id] !== sets[id])
      return `next-hop set ${id} has ${nextHopSets.refs[id]} references instead of ${sets[id]}`;
    if (sets[id] !== 0) for (const hop of nextHopSets.members(id)) hops[hop]!++;
  }
  for (let id = 1; id < attrs.length; id++)
    if (pool.refs[id] !== attrs[id])
      return `attribute set ${id} has ${pool.refs[id]} references instead of ${attrs[id]}`;
  for (let id = FIRST_NEXT_HOP; id < hops.length; id++)
    if (
      nextHopTable.refs[id] !== hops[id] &&
      !(nextHopTable.refs[id] === hops[id]! + 1 && isInPolicy(node, id))
    )
      return `next hop ${id} has ${nextHopTable.refs[id]} references instead of ${hops[id]}`;
  return undefined;
}

/** A policy that sets a loopback of the router's own as next hop keeps it. */
function isInPolicy({ config, router }: SimNode, id: number): boolean {
  const { scope } = router!.nextHopTable;
  if (scope[id] !== 0 || !config.peers.some(({ byFamily = {} }) => Object.keys(byFamily).length > 0))
    return false;
  return sameIp(router!.nextHopTable.addressOf(id), config.networks[0]!.bytes);
}

function countPaths(rib: Rib, attrs: Uint32Array, hops: Uint32Array, data: Uint32Array): void {
  const { paths } = rib;
  for (let path = 1; path < paths.end; path++) {
    if ((paths.flags[path]! & PATH_USED) === 0) continue;
    attrs[paths.attrIdIn[path]!]!++;
    data[paths.nlriDataOf(path)]!++;
    if (paths.attrId[path] !== 0) attrs[paths.attrId[path]!]!++;
    hops[paths.nextHopId[path]!]!++;
    if ((paths.flags[path]! & PATH_NEXT_HOP_SET) !== 0) hops[paths.nextHopIdIn[path]!]!++;
  }
}

// ---- the kernel ----

function checkFibs(world: World): string | undefined {
  for (const node of world.nodes) {
    const wrong = node.router && fibDifference(node, node.router);
    if (wrong !== undefined) return `${node.name}: ${wrong}`;
  }
  return undefined;
}

function fibDifference(node: SimNode, router: Router): string | undefined {
  const { kernel } = node;
  const wanted = new Set<string>();
  const sets = new Set<number>();
  for (const rib of router.ribs.slice(IPV4, IPV6 + 1))
    for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
      const setId = rib.prefixes.nextHopSetId[id]!;
      if (setId <= 1) continue;
      const key = routeKey(rib.family, rib.table.address, id * rib.table.words, rib.table.length[id]!);
      wanted.add(key);
      sets.add(setId);
      if (kernel.isRefused(key)) continue;
      const route = kernel.routes.get(key);
      if (route === undefined) return `the kernel lacks ${key}`;
      if (route.life !== kernel.life) return `${key} is of an earlier life`;
      if (route.set.released) return `${key} is on set ${route.set.id}, which is released`;
      const members = route.set.members.map(({ gateway }) =>
        gateway === undefined ? '' : formatIp(gateway),
      );
      const { nextHops } = rib;
      const hops = [...router.nextHopSets.members(setId)].map((hop) =>
        nextHops.isLink(hop) ? '' : formatIp(nextHops.addressOf(hop)),
      );
      if (`${members.sort()}` !== `${hops.sort()}`) return `${key} leads to ${members}, decided was ${hops}`;
    }
  for (const key of kernel.routes.keys())
    if (!wanted.has(key) && !kernel.isRefused(key)) return `the kernel has ${key}, which nobody wants`;
  if (kernel.setCount > sets.size) return `the kernel has ${kernel.setCount} sets, ${sets.size} are in use`;
  return undefined;
}

// ---- packets ----

function checkReachability(world: World, reachability: ReachabilityCheck): string | undefined {
  const oracle = reachability === 'oracle' ? new Oracle(world) : undefined;
  for (const prefix of prefixesOf(world)) {
    const holders = oracle?.holders(prefix);
    const verdicts = new Map<SimNode, string>();
    const text = prefixText(prefix);
    const words = wordsOf(prefix.bytes);
    const family = words.length === 1 ? IPV4 : IPV6;
    const key = routeKey(family, words, 0, prefix.length);
    for (const node of world.nodes) {
      const rib = node.router?.ribs[family];
      const id = rib?.find(words[0]!, words[1] ?? 0, words[2] ?? 0, words[3] ?? 0, prefix.length) ?? -1;
      const has = id >= 0 && rib!.prefixes.bestPath[id] !== 0;
      if (holders !== undefined && has !== holders.has(node))
        return `${node.name} ${has ? 'has a' : 'has no'} route to ${text}, there should be ${has ? 'none' : 'one'}`;
      if (!has || node.kernel.isRefused(key)) continue;
      const verdict = walk(world, node, prefix, words, family, verdicts);
      if (verdict !== 'arrives') return `from ${node.name} to ${text}: ${verdict}`;
    }
  }
  return undefined;
}

/** Every prefix that somebody owns. */
function prefixesOf(world: World): Prefix[] {
  const prefixes = new Map<string, Prefix>();
  for (const node of world.nodes) {
    if (!node.isRunning) continue;
    for (const prefix of [...node.statics.values(), ...node.config.networks])
      prefixes.set(prefixText(prefix), prefix);
  }
  return [...prefixes.values()];
}

/** Follows packets through the kernels, at every branch; `verdicts` remembers, and knows who is under way. */
function walk(
  world: World,
  node: SimNode,
  prefix: Prefix,
  words: readonly number[],
  family: number,
  verdicts: Map<SimNode, string>,
): string {
  const known = verdicts.get(node);
  if (known !== undefined) return known;
  if (node.owns(prefix)) return 'arrives';
  verdicts.set(node, `a loop through ${node.name}`);
  let verdict = 'arrives';
  const members = node.kernel.lookup(family, words) ?? [];
  const ways: Port[] = [];
  for (const { ifindex, gateway } of members) {
    const port = node.portByIndex(ifindex);
    if (port?.cable?.up !== true) continue;
    const far = world.network.across(port);
    const known = far !== undefined && (gateway === undefined || answersTo(far, gateway));
    if (known) ways.push(far);
    else verdict = `${node.name} sends to ${gateway && formatIp(gateway)}, who is not there`;
  }
  if (ways.length === 0 && verdict === 'arrives') verdict = `${node.name} has no way`;
  for (const far of ways) {
    const further = walk(world, far.node, prefix, words, family, verdicts);
    if (further !== 'arrives') verdict = further;
  }
  verdicts.set(node, verdict);
  return verdict;
}

function answersTo(port: Port, address: Uint8Array): boolean {
  return sameIp(port.linkLocal, address) || port.addresses.some(({ bytes }) => sameIp(bytes, address));
}

/** Whether packets from a router reach the owner of a prefix now, whatever the routers think. */
export function reaches(world: World, node: SimNode, prefix: Prefix): string {
  const words = wordsOf(prefix.bytes);
  return walk(world, node, prefix, words, words.length === 1 ? IPV4 : IPV6, new Map());
}
