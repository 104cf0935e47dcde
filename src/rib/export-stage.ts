// From a path to what an update group sends of it, or to the reason why it sends nothing: whether the route may go
// there at all (RFC 4271 9.2, RFC 4456 6, RFC 1997, RFC 5065 5, RFC 9234 5, RFC 9494 4.6), the export policy, the
// attributes as sent (export-path.ts, export-transform.ts), what the peer asked for (RFC 4684), the next hop (RFC 4271
// 5.1.3). Results are kept by attrId where nothing but the attributes and the kind of source went into them.

import { ByteWriter } from '../lib/bytes.ts';
import { GRACEFUL_SHUTDOWN_COMMUNITY, NO_EXPORT_COMMUNITY } from '../net/community.ts';
import { AS_CONFED_SEQUENCE, AS_SEQUENCE } from '../wire/bgp/attribute/as-path.ts';
import { writeForOldPeer } from '../wire/bgp/attribute/as4.ts';
import { IPV4, RTC, VPNV4 } from '../wire/bgp/family.ts';
import { reachOverhead } from '../wire/bgp/update-writer.ts';
import {
  DEFAULT_LOCAL_PREF,
  HAS_NON_TRANSITIVE,
  HAS_OTC,
  LLGR_STALE,
  MOVE_FRESH,
  MOVE_SETTLED,
  NO_ADVERTISE,
  NO_EXPORT,
  NO_EXPORT_SUBCONFED,
} from './attribute-pool.ts';
import {
  AWAITS_FIB,
  EXPORT_LONG_LIVED_STALE,
  EXPORT_NO_ADVERTISE,
  EXPORT_NO_EXPORT,
  EXPORT_NO_EXPORT_SUBCONFED,
  EXPORT_POLICY,
  type ExportOptions,
  FIB_LACKS,
  FOREIGN_NEXT_HOP,
  INTERNAL_TO_INTERNAL,
  NO_ROUTE,
  NOT_DECIDED,
  ROLE_LEAK,
  ROUTE_TARGET_CONSTRAINT,
  SENT,
  SUMMARY_ONLY,
  TOO_LONG,
} from './export-options.ts';
import { leaveAs, rewritesPath } from './export-path.ts';
import { emptyTransform, type Transform, transformAttributes } from './export-transform.ts';
import { FIRST_NEXT_HOP, NEXT_HOP_SELF } from './next-hop-table.ts';
import { PEER_EXTERNAL, PEER_INTERNAL, PEER_LOCAL } from './peer-table.ts';
import { PREFIX_AWAITS_FIB, PREFIX_DIRTY, PREFIX_FIB_LACKS, PREFIX_SUMMARIZED } from './prefixes.ts';
import type { Rib } from './rib.ts';
import {
  askAbout,
  askAboutPrefix,
  emptyQuery,
  emptyVerdict,
  NEXT_HOP_KEEP,
  type RouteFilter,
  resetVerdict,
  VerdictCache,
} from './route-filter.ts';

export { type ExportOptions, exportReasonNames } from './export-options.ts';

/** In the `extra` of a cache entry: the reason of a refusal, or this for "next hop as received". */
const KEEPS_NEXT_HOP = 0x100;

/** Attribute flags that the rules look at. */
const RULED = NO_ADVERTISE | NO_EXPORT | NO_EXPORT_SUBCONFED | LLGR_STALE | HAS_OTC;

const noCommunities: readonly number[] = [];

export class ExportStage {
  /** Results of `run`: the reason, the attributes with one reference for the caller or 0, next hop, source. */
  reason = NO_ROUTE;
  attrId = 0;
  /** NEXT_HOP_SELF for each member's own, else the id of a next hop that is sent as it is. */
  nextHopId = NEXT_HOP_SELF;
  /** What the NLRI carries (nlri-data.ts), borrowed from the path. */
  nlriDataId = 0;
  /** Peer index of the path. */
  source = 0;
  readonly options: ExportOptions;
  /** RFC 4684 3.2: memberships go back to the client that sent them, so that it knows that we want its routes. */
  readonly reflectsBack: boolean;
  readonly #rib: Rib;
  #filter: RouteFilter | undefined;
  readonly #cache: VerdictCache;
  #peersVersion = 0;
  readonly #query = emptyQuery();
  readonly #verdict = emptyVerdict();
  readonly #before = new ByteWriter(512);
  readonly #out = new ByteWriter(512);
  readonly #old = new ByteWriter(64);
  /** Bytes of a message beside its attributes, with the longest next hop there may be. */
  readonly #overhead: number;
  readonly #transform: Transform;
  readonly #isExternal: boolean;
  readonly #isUnicast: boolean;
  readonly #isRtc: boolean;
  readonly #rewritesPath: boolean;
  /** What we tell draining members; else none. */
  readonly #communities: readonly number[];

  constructor(rib: Rib, options: ExportOptions, filter: RouteFilter | undefined) {
    this.#rib = rib;
    this.options = options;
    this.#filter = filter;
    this.#cache = new VerdictCache(rib.pool);
    this.#isExternal = options.kind === 'external';
    this.#isUnicast = rib.form === 'prefix';
    this.#isRtc = rib.family === RTC;
    this.reflectsBack = this.#isRtc && options.kind === 'internal' && options.rrClients;
    this.#rewritesPath = rewritesPath(options);
    this.#communities = options.gracefulShutdown === true ? [GRACEFUL_SHUTDOWN_COMMUNITY] : noCommunities;
    this.#transform = emptyTransform(options.kind === 'confederation' ? AS_CONFED_SEQUENCE : AS_SEQUENCE);
    this.#fillTransform();
    // A next hop that is sent as it is may be longer than ours, but in the classic form of IPv4.
    const { nextHopLength, addPath } = options;
    const classic = rib.family === IPV4 && nextHopLength === 4;
    const longest = classic || nextHopLength === 0 ? nextHopLength : Math.max(16, nextHopLength);
    this.#overhead = reachOverhead(rib.family, longest, addPath !== undefined);
  }

  /** The export policy, undefined for "send everything". */
  get filter(): RouteFilter | undefined {
    return this.#filter;
  }

  /** Another export policy; undefined sends everything. */
  setFilter(filter: RouteFilter | undefined): void {
    this.#filter = filter;
    this.#cache.clear();
  }

  /** What the options ask for has changed without being other options: the route target filter. */
  forget(): void {
    this.#cache.clear();
  }

  /** Whether the group may send another path than the best one: then the RIB has to report all changes. */
  get watchesPaths(): boolean {
    return this.options.addPath !== undefined || this.#takesAlternative;
  }

  /** RFC 4684 3.2: to a non-client goes a client's membership if the best is a non-client's. */
  get #takesAlternative(): boolean {
    const { kind, bestExternal, rrClients } = this.options;
    return kind === 'internal' && !rrClients && (bestExternal === true || this.#isRtc);
  }

  /** Finds out what is sent of the prefix where one path is; the results are in this object. */
  run(prefixId: number): void {
    const state = this.stateReason(prefixId);
    this.reason = state;
    if (state !== SENT) {
      this.#clear();
      return;
    }
    this.runPath(prefixId, this.#rib.prefixes.bestPath[prefixId]!);
    if (this.reason === INTERNAL_TO_INTERNAL && this.#takesAlternative) this.#runAlternative(prefixId);
  }

  /** Whether there is anything to be told of the prefix at this moment. */
  stateReason(prefixId: number): number {
    const { prefixes } = this.#rib;
    const state = prefixes.state[prefixId]!;
    if ((state & PREFIX_DIRTY) !== 0) return NOT_DECIDED;
    if (prefixes.bestPath[prefixId] === 0) return NO_ROUTE;
    if ((state & PREFIX_FIB_LACKS) !== 0) return FIB_LACKS;
    if ((state & PREFIX_AWAITS_FIB) !== 0) return AWAITS_FIB;
    return (state & PREFIX_SUMMARIZED) !== 0 ? SUMMARY_ONLY : SENT;
  }

  /** Finds out what is sent of one path of a prefix of which something may be told. */
  runPath(prefixId: number, path: number): void {
    const { paths } = this.#rib;
    this.attrId = 0;
    this.nextHopId = NEXT_HOP_SELF;
    if (!this.#isUnicast) this.nlriDataId = 0;
    const attrId = paths.attrId[path]!;
    this.source = paths.peer[path]!;
    this.reason = this.#ruleReason(attrId);
    if (this.reason !== SENT) return;
    this.#export(prefixId, path, attrId);
    if (this.#isUnicast || this.attrId === 0) return;
    this.nlriDataId = paths.nlriDataOf(path);
    if (!this.#fitsNlri(prefixId)) this.#refuse(TOO_LONG);
  }

  #clear(): void {
    this.attrId = 0;
    this.nextHopId = NEXT_HOP_SELF;
    this.nlriDataId = 0;
    this.source = 0;
  }

  #refuse(reason: number): void {
    if (this.attrId !== 0) this.#rib.pool.release(this.attrId);
    this.attrId = 0;
    this.nextHopId = NEXT_HOP_SELF;
    this.nlriDataId = 0;
    this.reason = reason;
  }

  /** The best of the other paths that may go to the group. */
  #runAlternative(prefixId: number): void {
    const { decision, paths, prefixes } = this.#rib;
    const first = prefixes.firstPath[prefixId]!;
    for (let path = decision.rankFirst(first); path !== 0; path = decision.rankNext(first)) {
      this.source = paths.peer[path]!;
      if (this.#ruleReason(paths.attrId[path]!) === INTERNAL_TO_INTERNAL) continue;
      this.runPath(prefixId, path);
      return;
    }
    this.#clear();
  }

  /** The rules that no policy can lift. */
  #ruleReason(attrId: number): number {
    const flags = this.#rib.pool.flags[attrId]!;
    const external = this.#isExternal;
    if ((flags & RULED) !== 0) {
      if ((flags & NO_ADVERTISE) !== 0) return EXPORT_NO_ADVERTISE;
      if (external && (flags & (NO_EXPORT | NO_EXPORT_SUBCONFED)) !== 0) return EXPORT_NO_EXPORT;
      if ((flags & NO_EXPORT_SUBCONFED) !== 0 && this.options.kind === 'confederation')
        return EXPORT_NO_EXPORT_SUBCONFED;
      if (external && (flags & LLGR_STALE) !== 0 && this.options.longLived !== true)
        return EXPORT_LONG_LIVED_STALE;
      if (external && (flags & HAS_OTC) !== 0 && this.#isUnicast && isUpwards(this.options.role))
        return ROLE_LEAK;
    }
    if (this.options.kind !== 'internal' || this.#rib.peers.kind[this.source] !== PEER_INTERNAL) return SENT;
    const reflects = this.options.rrClients || this.#rib.peers.rrClient[this.source] === 1;
    return reflects ? SENT : INTERNAL_TO_INTERNAL;
  }

  #export(prefixId: number, path: number, attrId: number): void {
    const { peers, pool } = this.#rib;
    const filter = this.#filter;
    if (this.#peersVersion !== peers.version) {
      this.#peersVersion = peers.version;
      this.#cache.clear();
    }
    const kind = peers.kind[this.source]!;
    const bySource = kind === PEER_INTERNAL || filter?.readsPeer === true;
    const variant = bySource ? 2 + this.source : kind === PEER_LOCAL ? 0 : 1;
    const cacheable = filter === undefined || !(filter.readsPrefix || filter.readsNextHop);
    if (cacheable && this.#cache.find(attrId, variant)) {
      this.attrId = this.#cache.attrId;
      if (this.attrId === 0) {
        this.reason = this.#cache.extra;
        return;
      }
      pool.retain(this.attrId);
      this.#setNextHop(path, this.#cache.extra === KEEPS_NEXT_HOP ? NEXT_HOP_KEEP : -1);
      return;
    }
    resetVerdict(this.#verdict);
    const rewrites = this.#leaveAs(attrId);
    if (filter !== undefined) this.#ask(filter, prefixId, path, attrId, rewrites);
    const verdict = this.#verdict;
    if (!verdict.accept) this.reason = EXPORT_POLICY;
    else this.#makeAttributes(attrId, kind, rewrites);
    const extra = this.attrId === 0 ? this.reason : verdict.nextHopId === NEXT_HOP_KEEP ? KEEPS_NEXT_HOP : 0;
    if (cacheable && verdict.nextHopId < 0) this.#cache.keep(attrId, variant, this.attrId, extra);
    if (this.attrId !== 0) this.#setNextHop(path, verdict.nextHopId);
  }

  /** Fills `#before` with what policy gets to see where that is not what the path has. */
  #leaveAs(attrId: number): boolean {
    const { pool } = this.#rib;
    if (!this.#isExternal) return false;
    if (!this.#rewritesPath && (pool.flags[attrId]! & HAS_NON_TRANSITIVE) === 0) return false;
    const start = pool.offset(attrId);
    leaveAs(this.#before.reset(), pool.page(attrId), start, start + pool.length[attrId]!, this.options);
    return true;
  }

  #ask(filter: RouteFilter, prefixId: number, path: number, attrId: number, rewrites: boolean): void {
    const query = this.#query;
    askAbout(query, this.#rib.pool, attrId);
    if (rewrites) {
      query.bytes = this.#before.bytes;
      query.start = 0;
      query.end = this.#before.length;
    }
    query.peer = this.source;
    query.nextHopId = this.#rib.paths.nextHopId[path]!;
    askAboutPrefix(query, this.#rib.prefixes, prefixId, this.#rib.paths.nlriDataOf(path));
    filter.evaluate(query, this.#verdict);
  }

  /** The part of the transformation that is the same for all routes. */
  #fillTransform(): void {
    const { options } = this;
    const transform = this.#transform;
    const { localAsn, confederationId = 0, localAs = 0, role } = options;
    const own = confederationId !== 0 ? confederationId : localAsn;
    if (options.kind === 'confederation') transform.prependAsn = localAsn;
    else if (this.#isExternal && options.routeServerClient !== true) {
      const replaced = localAs !== 0 && options.replaceAs === true;
      transform.prependAsn = replaced ? localAs : own;
      transform.prependBefore = replaced ? 0 : localAs;
    }
    transform.dropsReflection = options.kind !== 'internal';
    transform.dropsAigp = this.#isExternal;
    const downwards = role === 'provider' || role === 'peer' || role === 'rsServer';
    if (this.#isExternal && this.#isUnicast && downwards) transform.otc = localAs !== 0 ? localAs : own;
  }

  /** The attributes as sent, interned; the verdict's where policy changed them. */
  #makeAttributes(attrId: number, sourceKind: number, rewrites: boolean): void {
    const { pool, peers } = this.#rib;
    const { options } = this;
    const verdict = this.#verdict;
    const transform = this.#transform;
    const external = this.#isExternal;
    const reflects = options.kind === 'internal' && sourceKind === PEER_INTERNAL;
    const staleToOld = (pool.flags[attrId]! & LLGR_STALE) !== 0 && options.longLived !== true;
    const keepsMed = sourceKind === PEER_LOCAL || verdict.medSet || options.routeServerClient === true;
    transform.dropMed = external && !keepsMed;
    // Of two that say they have a guest, routers that know nothing of sequences take the one that has just got it.
    const settled = (pool.flags[attrId]! & (MOVE_SETTLED | MOVE_FRESH)) === MOVE_SETTLED;
    transform.prependsTwice = external && settled && sourceKind === PEER_LOCAL;
    transform.forcesLocalPref = !external && (staleToOld || options.gracefulShutdown === true);
    transform.localPref = external ? -1 : transform.forcesLocalPref ? 0 : DEFAULT_LOCAL_PREF;
    transform.communities = staleToOld ? [...this.#communities, NO_EXPORT_COMMUNITY] : this.#communities;
    transform.forcesOriginator = reflects && this.reflectsBack;
    transform.originatorId = reflects ? peers.bgpId[this.source]! : 0;
    if (transform.forcesOriginator) transform.originatorId = pool.routerId;
    transform.clusterId = reflects ? options.clusterId : 0;
    const out = this.#out.reset();
    const changed = verdict.attrsChanged ? verdict.attrs : rewrites ? this.#before : undefined;
    const bytes = changed === undefined ? pool.page(attrId) : changed.bytes;
    const start = changed === undefined ? pool.offset(attrId) : 0;
    const end = changed === undefined ? start + pool.length[attrId]! : changed.length;
    if (
      !transformAttributes(out, bytes, start, end, transform) ||
      this.#lengthAsSent(out.bytes, 0, out.length) + this.#overhead > options.maxMessage
    ) {
      this.reason = TOO_LONG;
      return;
    }
    this.attrId = pool.internOpaque(out.bytes, 0, out.length);
    if (options.rtFilter?.accepts(pool, this.attrId) === false) this.#refuse(ROUTE_TARGET_CONSTRAINT);
  }

  /** Whether a message has room for the attributes and for an NLRI of this size, which may be large. */
  #fitsNlri(prefixId: number): boolean {
    const { pool, prefixes, nlriData } = this.#rib;
    const nlri = prefixes.keys!.length[prefixId]! + nlriData.length(this.nlriDataId);
    const start = pool.offset(this.attrId);
    const attributes = this.#lengthAsSent(pool.page(this.attrId), start, start + pool.length[this.attrId]!);
    return attributes + nlri + this.#overhead <= this.options.maxMessage;
  }

  /** Bytes of the attributes in a message: a 2-octet peer may get the path twice, as AS_PATH and as AS4_PATH. */
  #lengthAsSent(bytes: Uint8Array, start: number, end: number): number {
    if (this.options.asn4) return end - start;
    writeForOldPeer(this.#old.reset(), bytes, start, end);
    return this.#old.length;
  }

  /** RFC 4271 5.1.3: ourselves to an external peer, unchanged within the AS, unless somebody says otherwise. */
  #setNextHop(path: number, wanted: number): void {
    const { nextHops, paths, peers } = this.#rib;
    const { nextHopSelf, nextHopLength } = this.options;
    let id = wanted >= 0 ? wanted : paths.nextHopId[path]!;
    if (wanted === -1) {
      const fromExternal = peers.kind[this.source] === PEER_EXTERNAL;
      const self = this.#isExternal
        ? this.options.nextHopUnchanged !== true && this.options.routeServerClient !== true
        : nextHopSelf === 'all' || (nextHopSelf === 'external' && fromExternal);
      // A membership sends no packets anywhere, and what we tell of it is ours (RFC 4684 3.2).
      if (self || this.#isRtc) id = NEXT_HOP_SELF;
    }
    if (!this.#isUnicast) this.#setTunnelNextHop(id);
    else {
      // A link-local address means nothing to others, an IPv6 one nothing to a peer without RFC 8950, and "discard"
      // nothing to anybody.
      const foreign =
        id < FIRST_NEXT_HOP ||
        nextHops.scope[id] !== 0 ||
        (nextHopLength === 4 && nextHops.addressLength[id] === 16);
      this.nextHopId = foreign ? NEXT_HOP_SELF : id;
    }
  }

  /** Labels belong to the next hop that gave them out: one that cannot be told is not replaced by ourselves. */
  #setTunnelNextHop(id: number): void {
    const { nextHops, family } = this.#rib;
    this.nextHopId = id < FIRST_NEXT_HOP ? NEXT_HOP_SELF : id;
    const isLong =
      family === VPNV4 && this.options.nextHopLength === 4 && nextHops.addressLength[this.nextHopId] === 16;
    if (isLong || nextHops.scope[this.nextHopId] !== 0) this.#refuse(FOREIGN_NEXT_HOP);
  }
}

/** Whether a route with OTC may not go there (RFC 9234 section 5, egress 2). */
function isUpwards(role: ExportOptions['role']): boolean {
  return role === 'customer' || role === 'peer' || role === 'rsClient';
}
