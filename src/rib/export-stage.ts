// From the best path of a prefix to what an update group sends of it, or to the reason why it sends nothing:
// whether the route may go there at all (RFC 4271 9.2, RFC 4456 6, RFC 1997), the export policy, the attributes
// as sent (export-transform.ts), the next hop (RFC 4271 5.1.3). Results are kept by attrId where nothing but the
// attributes and the kind of source went into them.

import { ByteWriter } from '../lib/bytes.ts';
import { DEFAULT_LOCAL_PREF, NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED } from './attribute-pool.ts';
import { type Transform, transformAttributes } from './export-transform.ts';
import { NEXT_HOP_SELF } from './next-hop-table.ts';
import { PEER_EXTERNAL, PEER_INTERNAL, PEER_LOCAL } from './peer-table.ts';
import { PREFIX_AWAITS_FIB, PREFIX_DIRTY, PREFIX_FIB_LACKS } from './prefixes.ts';
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

/** Why a group sends a prefix or not; `exportReasonNames` has the names. */
export const SENT = 0;
export const NO_ROUTE = 1;
export const NOT_DECIDED = 2;
export const AWAITS_FIB = 3;
export const INTERNAL_TO_INTERNAL = 4;
export const EXPORT_NO_ADVERTISE = 5;
export const EXPORT_NO_EXPORT = 6;
export const EXPORT_POLICY = 7;
export const TOO_LONG = 8;
export const SPLIT_HORIZON = 9;
export const WAITS_ITS_TURN = 10;
export const FIB_LACKS = 11;

/** Indexed by code. */
export const exportReasonNames: readonly string[] = [
  'sent',
  'noRoute',
  'notDecided',
  'awaitsFib',
  'internalToInternal',
  'noAdvertise',
  'noExport',
  'policy',
  'tooLong',
  'splitHorizon',
  'waitsItsTurn',
  'fibLacks',
];

/** What all members of a group have in common. */
export interface ExportOptions {
  kind: 'external' | 'internal';
  /** The AS that external members know us by. */
  localAsn: number;
  /** The members are clients of ours (RFC 4456). */
  rrClients: boolean;
  clusterId: number;
  /** Internal groups only: put ourselves as next hop for no route, for those of external peers, or for all. */
  nextHopSelf: 'never' | 'external' | 'all';
  /** Bytes of our own next hop towards the members: 4, 16 or 32. */
  nextHopLength: number;
  /** Members speak 4-octet ASNs (RFC 6793). */
  asn4: boolean;
  /** 4096, or 65535 with extended messages (RFC 8654). */
  maxMessage: number;
}

/** Bytes of a message beside attributes and next hop: header, lengths, MP_REACH, one prefix, and some air. */
const MESSAGE_OVERHEAD = 128;

/** In the `extra` of a cache entry: the reason of a refusal, or this for "next hop as received". */
const KEEPS_NEXT_HOP = 0x100;

export class ExportStage {
  /** Results of `run`: the reason, the attributes with one reference for the caller or 0, next hop, source. */
  reason = NO_ROUTE;
  attrId = 0;
  /** NEXT_HOP_SELF for each member's own, else the id of a next hop that is sent as it is. */
  nextHopId = NEXT_HOP_SELF;
  /** Peer index of the best path. */
  source = 0;
  readonly options: ExportOptions;
  readonly #rib: Rib;
  #filter: RouteFilter | undefined;
  readonly #cache: VerdictCache;
  #peersVersion = 0;
  readonly #query = emptyQuery();
  readonly #verdict = emptyVerdict();
  readonly #out = new ByteWriter(512);
  readonly #transform: Transform = {
    prependAsn: 0,
    dropMed: false,
    localPref: DEFAULT_LOCAL_PREF,
    originatorId: 0,
    clusterId: 0,
  };

  constructor(rib: Rib, options: ExportOptions, filter: RouteFilter | undefined) {
    this.#rib = rib;
    this.options = options;
    this.#filter = filter;
    this.#cache = new VerdictCache(rib.pool);
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

  /** Finds out what is sent of the prefix; the results are in this object. */
  run(prefixId: number): void {
    const rib = this.#rib;
    const path = rib.prefixes.bestPath[prefixId]!;
    this.attrId = 0;
    this.nextHopId = NEXT_HOP_SELF;
    this.source = 0;
    this.reason = this.#stateReason(rib.prefixes.state[prefixId]!, path);
    if (this.reason !== SENT) return;
    const attrId = rib.paths.attrId[path]!;
    this.source = rib.paths.peer[path]!;
    this.reason = this.#ruleReason(attrId);
    if (this.reason !== SENT) return;
    this.#export(prefixId, path, attrId);
  }

  /** Whether there is anything to be told of the prefix at this moment. */
  #stateReason(state: number, path: number): number {
    if ((state & PREFIX_DIRTY) !== 0) return NOT_DECIDED;
    if (path === 0) return NO_ROUTE;
    if ((state & PREFIX_FIB_LACKS) !== 0) return FIB_LACKS;
    return (state & PREFIX_AWAITS_FIB) !== 0 ? AWAITS_FIB : SENT;
  }

  /** The rules that no policy can lift. */
  #ruleReason(attrId: number): number {
    const flags = this.#rib.pool.flags[attrId]!;
    const external = this.options.kind === 'external';
    if ((flags & (NO_ADVERTISE | NO_EXPORT | NO_EXPORT_SUBCONFED)) !== 0) {
      if ((flags & NO_ADVERTISE) !== 0) return EXPORT_NO_ADVERTISE;
      if (external) return EXPORT_NO_EXPORT;
    }
    if (external || this.#rib.peers.kind[this.source] !== PEER_INTERNAL) return SENT;
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
    if (filter !== undefined) this.#ask(filter, prefixId, path, attrId);
    const verdict = this.#verdict;
    if (!verdict.accept) this.reason = EXPORT_POLICY;
    else this.#makeAttributes(attrId, kind);
    if (this.attrId !== 0) this.#setNextHop(path, verdict.nextHopId);
    if (!cacheable || verdict.nextHopId >= 0) return;
    const extra = this.attrId === 0 ? this.reason : verdict.nextHopId === NEXT_HOP_KEEP ? KEEPS_NEXT_HOP : 0;
    this.#cache.keep(attrId, variant, this.attrId, extra);
  }

  #ask(filter: RouteFilter, prefixId: number, path: number, attrId: number): void {
    const query = this.#query;
    askAbout(query, this.#rib.pool, attrId);
    query.peer = this.source;
    query.nextHopId = this.#rib.paths.nextHopId[path]!;
    askAboutPrefix(query, this.#rib.prefixes, prefixId);
    filter.evaluate(query, this.#verdict);
  }

  /** The attributes as sent, interned; the verdict's where policy changed them. */
  #makeAttributes(attrId: number, sourceKind: number): void {
    const { pool, peers } = this.#rib;
    const { options } = this;
    const verdict = this.#verdict;
    const transform = this.#transform;
    const external = options.kind === 'external';
    const reflects = !external && sourceKind === PEER_INTERNAL;
    transform.prependAsn = external ? options.localAsn : 0;
    transform.dropMed = external && sourceKind !== PEER_LOCAL && !verdict.medSet;
    transform.localPref = external ? -1 : DEFAULT_LOCAL_PREF;
    transform.originatorId = reflects ? peers.bgpId[this.source]! : 0;
    transform.clusterId = reflects ? options.clusterId : 0;
    const out = this.#out.reset();
    const bytes = verdict.attrsChanged ? verdict.attrs.bytes : pool.page(attrId);
    const start = verdict.attrsChanged ? 0 : pool.offset(attrId);
    const end = verdict.attrsChanged ? verdict.attrs.length : start + pool.length[attrId]!;
    // A 2-octet peer may get the path twice: as AS_PATH and as AS4_PATH.
    const grows = options.asn4 ? 1 : 2;
    if (
      !transformAttributes(out, bytes, start, end, transform) ||
      out.length * grows + MESSAGE_OVERHEAD > options.maxMessage
    ) {
      this.reason = TOO_LONG;
      return;
    }
    this.attrId = pool.internOpaque(out.bytes, 0, out.length);
  }

  /** RFC 4271 5.1.3: ourselves to an external peer, unchanged within the AS, unless somebody says otherwise. */
  #setNextHop(path: number, wanted: number): void {
    const { nextHops, paths, peers } = this.#rib;
    const { kind, nextHopSelf, nextHopLength } = this.options;
    let id = wanted >= 0 ? wanted : paths.nextHopId[path]!;
    if (wanted === -1) {
      const fromExternal = peers.kind[this.source] === PEER_EXTERNAL;
      const self =
        kind === 'external' || nextHopSelf === 'all' || (nextHopSelf === 'external' && fromExternal);
      if (self) id = NEXT_HOP_SELF;
    }
    // A link-local address means nothing to others, and an IPv6 one nothing to a peer without RFC 8950.
    const foreign = nextHops.scope[id] !== 0 || (nextHopLength === 4 && nextHops.addressLength[id] === 16);
    this.nextHopId = foreign ? NEXT_HOP_SELF : id;
  }
}
