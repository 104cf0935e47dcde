// Routes as views: a page of what the rib holds, what a peer sent, or what we send to a peer. A page looks at a
// bounded number of prefixes, so that a filter that matches nothing cannot hold the daemon up; its cursor is the
// place to go on from.

import { readU32 } from '../lib/bytes.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { formatPrefix, parsePrefix } from '../net/prefix.ts';
import { pathIdFor } from '../rib/adj-rib-out.ts';
import { FIRST_NEXT_HOP, NEXT_HOP_DISCARD } from '../rib/next-hop-table.ts';
import { BEST, MULTIPATH, reasonNames } from '../rib/reason.ts';
import type { Rib } from '../rib/rib.ts';
import type { SentRoute } from '../router/advertiser.ts';
import { nextHopText } from '../router/intake.ts';
import type { Peer } from '../router/peer.ts';
import type { Router } from '../router/router.ts';
import { describeAttributes } from '../wire/bgp/attribute/describe.ts';
import { families } from '../wire/bgp/family.ts';
import type { RoutesQuery } from './backend.ts';
import { hasPart, idOfText, nlriView } from './nlri-view.ts';
import { reasonTexts } from './reason-texts.ts';
import { coveringVrps, type JudgedRoute, rpkiStateOf, type ValidationSource } from './rpki-view.ts';
import type { AttributesView, ReasonView, RoutesView, RouteView, VrpView } from './views.ts';
import { isoOf, secondsSince, type WallTime } from './wall-time.ts';

/** Prefixes one page looks at. */
const LOOKED_AT_MAX = 50_000;
/** One whose NLRI is taken apart to be looked at counts for so many. */
const PART_COST = 4;

/** What a route looks like in the kernel, asked for each row shown. */
export type KernelState = (family: number, prefixId: number) => RouteView['kernel'];

/** Whether routes with these attributes are asked for. */
type Matches = (attrId: number) => boolean;

export interface RouteViewContext {
  router: Router;
  time: WallTime;
  kernelState: KernelState;
  /** Absent: without origin validation. */
  validation?: ValidationSource;
}

/** A page of routes; undefined when the peer asked for does not exist. */
export function routesView(context: RouteViewContext, query: RoutesQuery): RoutesView | undefined {
  const { router } = context;
  const peer = query.peer === undefined ? undefined : router.directory.byName.get(query.peer);
  if (query.peer !== undefined && peer === undefined) return undefined;
  const wanted = query.prefix !== undefined || query.for !== undefined;
  const routes: RouteView[] = [];
  const matches = communityFilter(router, query.community);
  let { family, id } = cursorOf(query);
  let lookedAt = 0;
  for (; family < router.ribs.length; family++, id = 0) {
    const rib = router.ribs[family]!;
    if (query.family !== undefined && families[family]!.name !== query.family) continue;
    if (id === 0 && query.advertised && peer !== undefined)
      addOwnDefault(context, peer, family, query, matches, routes);
    const exact = wanted ? prefixIdOf(rib, query) : -1;
    if (exact >= 0) addRows(context, rib, exact, query, peer?.index, matches, routes);
    // A prefix, a MAC address or a distinguisher may be part of many keys; a whole key or an IP prefix is one route.
    if (exact >= 0 || (wanted && rib.form === 'prefix')) continue;
    const part = query.prefix ?? query.for;
    const cost = part === undefined ? 1 : PART_COST;
    for (id = rib.nextPrefix(id); id >= 0; id = rib.nextPrefix(id + 1)) {
      lookedAt += cost;
      if (routes.length >= query.limit || lookedAt > LOOKED_AT_MAX)
        return { routes, next: `${family}.${id}` };
      if (part === undefined || hasPart(rib, id, part))
        addRows(context, rib, id, query, peer?.index, matches, routes);
    }
  }
  return { routes };
}

/** The prefix that a query by prefix or address means in this rib, or -1. */
export function prefixIdOf(rib: Rib, query: { prefix?: string; for?: string }): number {
  if (rib.form === 'opaque') return query.prefix === undefined ? -1 : idOfText(rib, query.prefix);
  const bytesWanted = rib.table.words * 4;
  if (query.prefix !== undefined) {
    const prefix = parsePrefix(query.prefix);
    if (prefix === undefined || prefix.bytes.length !== bytesWanted) return -1;
    const [a, b, c, d] = wordsOf(prefix.bytes);
    return rib.find(a, b, c, d, prefix.length);
  }
  const address = parseIp(query.for ?? '');
  if (address === undefined || address.length !== bytesWanted) return -1;
  const [a, b, c, d] = wordsOf(address);
  return rib.lookup(a, b, c, d);
}

function wordsOf(bytes: Uint8Array): [number, number, number, number] {
  if (bytes.length === 4) return [readU32(bytes, 0), 0, 0, 0];
  return [readU32(bytes, 0), readU32(bytes, 4), readU32(bytes, 8), readU32(bytes, 12)];
}

export function prefixTextOf(rib: Rib, prefixId: number): string {
  if (rib.form === 'opaque') return rib.nlriText(prefixId);
  const { words, address, length } = rib.table;
  const bytes = new Uint8Array(words * 4);
  for (let w = 0; w < words; w++) new DataView(bytes.buffer).setUint32(w * 4, address[prefixId * words + w]!);
  return formatPrefix(bytes, 0, bytes.length, length[prefixId]!);
}

/** One path as a row; `reason` is the code that `Rib.explain` gave it. */
export function pathView(
  context: RouteViewContext,
  rib: Rib,
  path: number,
  reason: number,
  received: boolean,
): RouteView {
  const { router, time } = context;
  const { paths, pool, nextHops } = rib;
  const prefixId = paths.prefix[path]!;
  const peerIndex = paths.peer[path]!;
  const accepted = paths.attrId[path] !== 0;
  const attrId = shownAttrId(rib, path, received);
  const nextHopId = received ? paths.receivedNextHop(path) : paths.nextHopId[path]!;
  const scope = nextHops.scope[nextHopId]!;
  const sinceMs = paths.since[path]! * 1000;
  const peer = router.directory.byIndex[peerIndex];
  const kernel = reason === BEST ? context.kernelState(rib.family, prefixId) : undefined;
  const rpki =
    rib.form === 'opaque' ? undefined : rpkiStateOf(context.validation, judgedRoute(context, rib, path));
  return {
    family: families[rib.family]!.name,
    prefix: prefixTextOf(rib, prefixId),
    ...(rib.form === 'opaque' && { nlri: nlriView(rib, prefixId, paths.nlriDataOf(path)) }),
    ...(paths.pathIdOf(path) !== 0 && { pathId: paths.pathIdOf(path) }),
    best: reason === BEST,
    multipath: reason === MULTIPATH,
    accepted,
    stale: rib.isStale(path),
    source: sourceOf(context, rib, prefixId, peerIndex),
    ...(peer && { peer: peer.name }),
    ...(nextHopId >= FIRST_NEXT_HOP &&
      !nextHops.isLink(nextHopId) && { nextHop: formatIp(nextHops.addressOf(nextHopId)) }),
    ...(nextHopId === NEXT_HOP_DISCARD && { blackhole: true }),
    ...(scope !== 0 && { interface: interfaceName(router, scope) }),
    ...(nextHopId !== 0 && { reachable: nextHops.reachable[nextHopId] === 1 }),
    since: isoOf(time, sinceMs),
    ageSeconds: secondsSince(time, sinceMs),
    attributes: attributesView(
      pool.page(attrId),
      pool.offset(attrId),
      pool.length[attrId]!,
      paths.weight[path]!,
    ),
    ...(rpki !== undefined && { rpki }),
    ...(kernel !== undefined && { kernel }),
    ...(reason !== BEST && { reason: reasonView(reason) }),
  };
}

/** A path as origin validation sees it: as received. */
function judgedRoute({ router }: RouteViewContext, rib: Rib, path: number): JudgedRoute {
  const prefixId = rib.paths.prefix[path]!;
  const attrId = rib.paths.attrIdIn[path]!;
  const { words, length } = prefixWords(rib, prefixId);
  const start = rib.pool.offset(attrId);
  return {
    family: rib.family,
    words,
    length,
    attrs: rib.pool.page(attrId),
    start,
    end: start + rib.pool.length[attrId]!,
    ownAsn: router.config.asn,
  };
}

function prefixWords(rib: Rib, prefixId: number): Pick<JudgedRoute, 'words' | 'length'> {
  const { words, address, length } = rib.table;
  const [a = 0, b = 0, c = 0, d = 0] = address.subarray(prefixId * words, (prefixId + 1) * words);
  return { words: [a, b, c, d], length: length[prefixId]! };
}

/** What caches and file say of a prefix; undefined where origin validation is off. */
export function vrpsOf({ validation }: RouteViewContext, rib: Rib, prefixId: number): VrpView[] | undefined {
  if (validation?.caches === undefined || rib.family > 1) return undefined;
  const { words, length } = prefixWords(rib, prefixId);
  return coveringVrps(validation, rib.family, words, length);
}

/** The attributes as received, where they are asked for or were not accepted. */
function shownAttrId({ paths }: Rib, path: number, received: boolean): number {
  return received || paths.attrId[path] === 0 ? paths.attrIdIn[path]! : paths.attrId[path]!;
}

/** Canonical attributes as the API shows them. */
export function attributesView(bytes: Uint8Array, start: number, length: number, weight = 0): AttributesView {
  const { asPathSegments, origin, asPath, unknown, ...rest } = describeAttributes(
    bytes,
    start,
    start + length,
  );
  let asPathLength = 0;
  for (const segment of asPathSegments ?? [])
    asPathLength += segment.kind === 'set' ? 1 : segment.kind === 'sequence' ? segment.asns.length : 0;
  return {
    origin: origin ?? 'incomplete',
    asPath: asPath ?? '',
    asPathLength,
    ...(weight !== 0 && { weight }),
    ...(JSON.parse(JSON.stringify(rest)) as Partial<AttributesView>),
    ...(unknown && { unknown: unknown.map(({ code, flags, hex }) => ({ code, flags, hex })) }),
  };
}

export function reasonView(code: number): ReasonView {
  const name = reasonNames[code] ?? 'unknown';
  return { code: name, text: reasonTexts[name] ?? name };
}

export function interfaceName(router: Router, ifindex: number): string {
  return router.directory.links.get(ifindex)?.name ?? `if${ifindex}`;
}

function sourceOf(context: RouteViewContext, rib: Rib, prefixId: number, peer: number): RouteView['source'] {
  if (peer !== 0) return 'bgp';
  if (rib.form === 'opaque') return 'local';
  const { words, address, length } = rib.table;
  const bytes = new Uint8Array(words * 4);
  for (let w = 0; w < words; w++) new DataView(bytes.buffer).setUint32(w * 4, address[prefixId * words + w]!);
  return context.router.origination.sourceOf({ bytes, length: length[prefixId]! }) ?? 'local';
}

function addRows(
  context: RouteViewContext,
  rib: Rib,
  id: number,
  query: RoutesQuery,
  peer: number | undefined,
  matches: Matches,
  rows: RouteView[],
): void {
  if (query.advertised) {
    if (peer !== undefined) addAdvertised(context, rib, id, peer, matches, rows);
    return;
  }
  for (const { path, reason } of rib.explain(id)) {
    if (peer !== undefined && rib.paths.peer[path] !== peer) continue;
    if (!matches(shownAttrId(rib, path, query.received))) continue;
    rows.push(pathView(context, rib, path, reason, query.received));
  }
}

/** The default route that only this peer is told (`defaultOriginate`). */
function addOwnDefault(
  context: RouteViewContext,
  peer: Peer,
  family: number,
  query: RoutesQuery,
  matches: Matches,
  rows: RouteView[],
): void {
  const own = context.router.advertiser.ownDefaultOf(peer, family);
  if (own === undefined || !matches(own.sent.attrId)) return;
  const wanted = query.prefix !== undefined || query.for !== undefined;
  if (wanted && prefixIdOf(own.rib, query) !== own.prefixId) return;
  rows.push({ ...sentView(context, own.rib, own.prefixId, own.sent), source: 'local' });
}

function addAdvertised(
  context: RouteViewContext,
  rib: Rib,
  id: number,
  peerIndex: number,
  matches: Matches,
  rows: RouteView[],
): void {
  for (const sent of context.router.advertiser.sentPathsTo(peerIndex, rib, id))
    if (matches(sent.attrId)) rows.push(sentView(context, rib, id, sent));
}

/** A path as a peer has it. */
function sentView(context: RouteViewContext, rib: Rib, id: number, sent: SentRoute): RouteView {
  const { router, time } = context;
  const { pool, paths } = rib;
  const { attrId, pathId, nextHopId, source } = sent;
  const best = rib.prefixes.bestPath[id]!;
  let path = pathId === 0 ? best : rib.prefixes.firstPath[id]!;
  while (pathId !== 0 && path !== 0 && pathIdFor(rib, path) !== pathId) path = paths.next[path]!;
  const sinceMs = paths.since[path === 0 ? best : path]! * 1000;
  const from = pathId === 0 ? undefined : router.directory.byIndex[source];
  return {
    family: families[rib.family]!.name,
    prefix: prefixTextOf(rib, id),
    ...(rib.form === 'opaque' && { nlri: nlriView(rib, id, sent.nlriDataId) }),
    ...(pathId !== 0 && { pathId }),
    best: path === best,
    multipath: false,
    accepted: true,
    stale: false,
    source: sourceOf(context, rib, id, source),
    ...(from && { peer: from.name }),
    nextHop:
      nextHopId === 0
        ? formatIp(sent.selfNextHop)
        : nextHopText(rib.nextHops, nextHopId, (i) => interfaceName(router, i)),
    since: isoOf(time, sinceMs),
    ageSeconds: secondsSince(time, sinceMs),
    attributes: attributesView(pool.page(attrId), pool.offset(attrId), pool.length[attrId]!),
  };
}

/** Judges each set of attributes once a page, however many routes have it. */
function communityFilter({ pool }: Router, community: string | undefined): Matches {
  if (community === undefined) return () => true;
  const known = new Map<number, boolean>();
  return (attrId) => {
    let matches = known.get(attrId);
    if (matches === undefined) {
      const view = attributesView(pool.page(attrId), pool.offset(attrId), pool.length[attrId]!);
      const { communities = [], largeCommunities = [], extendedCommunities = [] } = view;
      matches = [communities, largeCommunities, extendedCommunities].some((list) => list.includes(community));
      known.set(attrId, matches);
    }
    return matches;
  };
}

function cursorOf(query: RoutesQuery): { family: number; id: number } {
  const found = /^(\d{1,2})\.(\d{1,10})$/.exec(query.cursor ?? '');
  return found === null ? { family: 0, id: 0 } : { family: Number(found[1]), id: Number(found[2]) };
}
