// One step at a time: what a router should hear from each neighbour, worked out from what that neighbour has chosen,
// and what it should make of it. The rules are written here a second time and plainly, over attributes as objects:
// loops (RFC 4271 9.1.2, RFC 4456 8, RFC 5065 4), reflection (RFC 4456 6), well-known communities (RFC 1997), roles
// (RFC 9234 5), several paths (RFC 7911), limits, the best external path. It needs no model of the whole network, so it
// holds for every one that comes to rest; that nothing is held up by itself is what `ghost` is for.

import { type Prefix, prefixText } from '../net/prefix.ts';
import { PEER_CONFEDERATION, PEER_EXTERNAL, PEER_INTERNAL } from '../rib/peer-table.ts';
import { MAX_PREFIX } from '../rib/reason.ts';
import type { Rib } from '../rib/rib.ts';
import { familySettings } from '../router/config.ts';
import type { Peer } from '../router/peer.ts';
import type { Router } from '../router/router.ts';
import { type AttributesView, describeAttributes } from '../wire/bgp/attribute/describe.ts';
import { familiesIn, IPV6 } from '../wire/bgp/family.ts';
import { farEnd, pathsFrom, routeText, sameRouteIn } from './adj-ribs.ts';
import { routeKey } from './kernel.ts';
import { wordsOf } from './network.ts';
import type { SimNode } from './node.ts';
import type { World } from './world.ts';

/** One direction of a session: `from` tells, `to` hears. */
interface Line {
  from: SimNode;
  to: SimNode;
  fromPeer: Peer;
  toPeer: Peer;
  kind: number;
  /** What prefixes are called in policies, by the key of the route. */
  names: ReadonlyMap<string, string>;
}

type Views = Map<number, AttributesView>;

export class Hearing {
  readonly #world: World;
  /** Attributes as objects, by router and id. */
  readonly #views = new Map<Router, Views>();
  readonly #names = new Map<string, string>();

  constructor(world: World) {
    this.#world = world;
    for (const node of world.nodes)
      for (const prefix of [...node.statics.values(), ...node.config.networks])
        this.#names.set(keyOfPrefix(prefix), prefixText(prefix));
  }

  /** The first thing that somebody should have been told, or should not, or has judged wrongly. */
  difference(): string | undefined {
    for (const from of this.#world.nodes)
      for (const fromPeer of from.router?.directory.byName.values() ?? []) {
        if (fromPeer.established === undefined) continue;
        const far = farEnd(from, fromPeer);
        if (far?.peer === undefined) continue;
        const kind = from.router!.peerTable.kind[fromPeer.index]!;
        const line: Line = { from, to: far.node, fromPeer, toPeer: far.peer, kind, names: this.#names };
        const wrong = this.#lineDifference(line);
        if (wrong !== undefined) return `${from.name} -> ${far.node.name}: ${wrong}`;
      }
    return undefined;
  }

  /** A route that is somewhere though nobody owns it, or an accepted path that makes no route. */
  ghost(): string | undefined {
    const owned = new Set<string>();
    for (const node of this.#world.nodes)
      if (node.isRunning)
        for (const prefix of [...node.statics.values(), ...node.config.networks])
          owned.add(keyOfPrefix(prefix));
    for (const { name, router } of this.#world.nodes)
      for (const rib of router?.ribs.slice(0, IPV6 + 1) ?? [])
        for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
          const best = rib.prefixes.bestPath[id]!;
          const text = routeText(rib, id);
          if (best !== 0 && !owned.has(text)) return `${name} has a route to ${text}, which nobody owns`;
          if (best !== 0) continue;
          for (let path = rib.prefixes.firstPath[id]!; path !== 0; path = rib.paths.next[path]!)
            if (rib.paths.attrId[path] !== 0) return `${name} has a path to ${text} and no route`;
        }
    return undefined;
  }

  /** Attributes of a path as an object: as received, or as accepted. */
  view(router: Router, attrId: number): AttributesView {
    const views = this.#views.get(router) ?? new Map<number, AttributesView>();
    this.#views.set(router, views);
    let view = views.get(attrId);
    if (view === undefined) {
      const { pool } = router;
      const start = pool.offset(attrId);
      view = describeAttributes(pool.page(attrId), start, start + pool.length[attrId]!);
      views.set(attrId, view);
    }
    return view;
  }

  #lineDifference(line: Line): string | undefined {
    const { from, to, fromPeer, toPeer } = line;
    for (const family of familiesIn(fromPeer.families)) {
      const rib = from.router!.ribs[family]!;
      const theirs = to.router!.ribs[family]!;
      const { maxPrefix } = familySettings(toPeer.config, family);
      const limit = maxPrefix?.action === 'drop' ? maxPrefix.limit : 0;
      const accepted = theirs.perPeer.accepted[toPeer.index] ?? 0;
      if (limit !== 0 && accepted > limit) return `${accepted} routes of family ${family}, ${limit} may be`;
      for (let id = rib.nextPrefix(0); id >= 0; id = rib.nextPrefix(id + 1)) {
        const due = this.#due(line, rib, id);
        const there = pathsFrom(theirs, sameRouteIn(theirs, rib, id), toPeer.index);
        if (there.length !== due.length)
          return `${routeText(rib, id)} has come by ${there.length} paths, ${due.length} should have`;
        for (const path of there) {
          const wrong = this.#judgeDifference(line, theirs, path, due, accepted === limit);
          if (wrong !== undefined) return `${routeText(rib, id)} ${wrong}`;
        }
      }
    }
    return undefined;
  }

  /** What should be sent of a prefix, as attributes. */
  #due(line: Line, rib: Rib, id: number): AttributesView[] {
    const { from, fromPeer } = line;
    const { prefixes, paths, family } = rib;
    if (prefixes.bestPath[id] === 0) return [];
    const key = routeText(rib, id);
    if (family <= IPV6 && prefixes.nextHopSetId[id]! > 1 && from.kernel.isRefused(key)) return [];
    const name = line.names.get(key);
    if (name !== undefined && from.policy.rejectsExport.has(name)) return [];
    const ranked = rib.decision.rankAll(prefixes.firstPath[id]!);
    const most = pathsWanted(line, family);
    const may = (path: number): boolean => this.#maySend(line, rib, path);
    let chosen: number[];
    if (most === undefined) {
      const best = ranked[0]!;
      const takesOther = this.#isWithheld(line, rib, best) && from.config.bestExternal;
      const instead = takesOther && !fromPeer.config.routeReflectorClient;
      const pick = instead ? ranked.find((path) => !this.#isWithheld(line, rib, path)) : best;
      chosen = pick !== undefined && may(pick) ? [pick] : [];
    } else chosen = ranked.filter(may).slice(0, most);
    return chosen
      .filter((path) => paths.peer[path] !== fromPeer.index)
      .map((path) => this.#asSent(line, rib, path));
  }

  #isWithheld({ from, fromPeer, kind }: Line, rib: Rib, path: number): boolean {
    const { peerTable } = from.router!;
    const source = rib.paths.peer[path]!;
    const within = kind === PEER_INTERNAL && peerTable.kind[source] === PEER_INTERNAL;
    return within && !fromPeer.config.routeReflectorClient && peerTable.rrClient[source] !== 1;
  }

  #maySend(line: Line, rib: Rib, path: number): boolean {
    const { kind, fromPeer, from } = line;
    if (this.#isWithheld(line, rib, path)) return false;
    const { communities = [], onlyToCustomer } = this.view(from.router!, rib.paths.attrId[path]!);
    if (communities.includes('no-advertise')) return false;
    if (kind === PEER_EXTERNAL && communities.includes('no-export')) return false;
    if (kind !== PEER_INTERNAL && communities.includes('no-export-subconfed')) return false;
    const { role } = fromPeer.config;
    const upwards = role === 'customer' || role === 'peer' || role === 'rsClient';
    return !(kind === PEER_EXTERNAL && rib.family <= IPV6 && upwards && onlyToCustomer !== undefined);
  }

  /** What of the attributes has to be as told here; the rest is not looked at. */
  #asSent(line: Line, rib: Rib, path: number): AttributesView {
    const { from, fromPeer, kind } = line;
    const { config, peerTable } = from.router!;
    const view = this.view(from.router!, rib.paths.attrId[path]!);
    const source = rib.paths.peer[path]!;
    const asns = asnsOf(view);
    const sent: AttributesView = {};
    if (kind === PEER_EXTERNAL) {
      const own = config.confederation?.id ?? config.asn;
      const outside = asns.filter((asn) => !asn.startsWith('c'));
      const times = rib.family <= IPV6 || fromPeer.config.byFamily?.[rib.family] === undefined;
      const count = 1 + (times ? from.policy.prepends : 0);
      sent.asPath = [...new Array<string>(count).fill(`${own}`), ...outside].join(' ');
      const { role } = fromPeer.config;
      const downwards = role === 'provider' || role === 'peer' || role === 'rsServer';
      const otc = view.onlyToCustomer ?? (downwards && rib.family <= IPV6 ? own : undefined);
      if (otc !== undefined) sent.onlyToCustomer = otc;
      return sent;
    }
    sent.asPath = (kind === PEER_CONFEDERATION ? [`c${config.asn}`, ...asns] : asns).join(' ');
    if (view.onlyToCustomer !== undefined) sent.onlyToCustomer = view.onlyToCustomer;
    if (kind === PEER_CONFEDERATION || peerTable.kind[source] !== PEER_INTERNAL) return sent;
    const own = dotted(config.clusterId ?? config.bgpId);
    sent.originatorId = view.originatorId ?? dotted(peerTable.bgpId[source]!);
    sent.clusterList = [own, ...(view.clusterList ?? [])];
    return sent;
  }

  /** Whether a path that came is one of those that are due, and is taken or refused as it has to be. */
  #judgeDifference(
    line: Line,
    rib: Rib,
    path: number,
    due: readonly AttributesView[],
    isFull: boolean,
  ): string | undefined {
    const { paths } = rib;
    const received = this.view(line.to.router!, paths.attrIdIn[path]!);
    const found = essence(received);
    if (!due.some((one) => essence(one) === found))
      return `came as ${found}, due was ${due.map(essence).join(' or ')}`;
    const taken = paths.attrId[path] !== 0;
    if (!taken && paths.reason[path] === MAX_PREFIX && isFull) return undefined;
    const refusal = this.#refusal(line, rib, path, received);
    if (taken === (refusal === undefined)) return undefined;
    return taken ? `is accepted in spite of ${refusal}` : `is refused (reason ${paths.reason[path]})`;
  }

  /** Why a path may not be accepted. */
  #refusal({ to, from, toPeer, kind, names }: Line, rib: Rib, path: number, view: AttributesView) {
    const { config } = to.router!;
    const asns = asnsOf(view);
    const own = config.confederation?.id ?? config.asn;
    if (asns.includes(`${own}`) || asns.includes(`c${config.asn}`)) return 'its own AS';
    if (config.confederation === undefined && asns.includes(`${config.asn}`)) return 'its own AS';
    if (kind === PEER_INTERNAL) {
      if (view.originatorId === dotted(config.bgpId)) return 'its own origin';
      if (view.clusterList?.includes(dotted(config.clusterId ?? config.bgpId))) return 'its own cluster';
    }
    const { role } = toPeer.config;
    const otc = rib.family <= IPV6 && kind === PEER_EXTERNAL ? view.onlyToCustomer : undefined;
    if (otc !== undefined && (role === 'provider' || role === 'rsServer')) return 'a leak';
    if (otc !== undefined && role === 'peer' && otc !== from.router!.config.asn) return 'a leak';
    const name = rib.family <= IPV6 ? names.get(routeText(rib, rib.paths.prefix[path]!)) : undefined;
    return name !== undefined && to.policy.rejectsImport.has(name) ? 'its policy' : undefined;
  }
}

/** How many paths of a prefix go over a line; undefined for one without identifiers. */
function pathsWanted({ fromPeer, toPeer }: Line, family: number): number | undefined {
  const ours = familySettings(fromPeer.config, family).addPath;
  const theirs = familySettings(toPeer.config, family).addPath;
  if (ours === undefined || ours.send === 'none' || theirs?.receive !== true) return undefined;
  return Math.min(ours.sendMax, theirs.receiveMax ?? ours.sendMax);
}

/** ASNs in order; those of confederation segments begin with `c`. */
function asnsOf({ asPathSegments = [] }: AttributesView): string[] {
  return asPathSegments.flatMap(({ kind, asns }) =>
    asns.map((asn) => (kind.startsWith('confed') ? `c${asn}` : `${asn}`)),
  );
}

/** The parts of attributes that are compared, as text. */
function essence(view: AttributesView): string {
  const path = view.asPathSegments === undefined ? (view.asPath ?? '') : asnsOf(view).join(' ');
  const { onlyToCustomer: otc = '-', originatorId = '-', clusterList = [] } = view;
  return `[${path}] otc ${otc} originator ${originatorId} clusters [${clusterList}]`;
}

function dotted(id: number): string {
  return `${id >>> 24}.${(id >>> 16) & 255}.${(id >>> 8) & 255}.${id & 255}`;
}

function keyOfPrefix(prefix: Prefix): string {
  const words = wordsOf(prefix.bytes);
  return routeKey(words.length === 1 ? 0 : 1, words, 0, prefix.length);
}
