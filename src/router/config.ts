// What a router is told to be. Plain values with everything resolved: addresses are bytes, times are
// milliseconds, policies are compiled. The daemon makes it from the operator's intent; the simulator makes it
// directly. Names of keys follow leafd.yaml.

import type { SpeakerUsers } from '../intent/intent.ts';
import type { Prefix } from '../net/prefix.ts';
import type { CompiledPolicy } from '../policy/program.ts';
import type { Role } from '../session/role.ts';
import type { RemoteAs } from '../session/state.ts';
import { familiesIn } from '../wire/bgp/family.ts';

/** What may differ from one family of a peer to another. */
export interface FamilySettings {
  /** Undefined: RFC 8212 decides, or the profile where it says so. */
  import?: CompiledPolicy;
  export?: CompiledPolicy;
  maxPrefix?: MaxPrefix;
  /** Absent: neither sent nor received (RFC 7911). */
  addPath?: AddPathSettings;
  /** A default route is announced to the peer, through the policy where there is one; no path of it is needed here. */
  defaultOriginate?: RedistributeRule;
}

/** What happens beyond the limit: told only; surplus routes refused; the session ended, for a while or for good. */
export interface MaxPrefix {
  limit: number;
  action: 'warn' | 'drop' | 'restart' | 'shutdown';
  restartAfterMs: number;
  /** Told once from this share of the limit on, in percent. */
  warnAtPercent?: number;
}

export interface AddPathSettings {
  receive: boolean;
  send: 'none' | 'all' | 'best';
  /** Paths sent of a prefix at most; 0 for any number. */
  sendMax: number;
  /**
   * Paths of a prefix we want at most, told to the peer (draft-ietf-idr-add-paths-limit) and enforced; absent: nothing
   * is told, and the bound of intake.ts holds.
   */
  receiveMax?: number;
}

/** RFC 5880, as the operator asks for it. */
export interface BfdSettings {
  minTxMs: number;
  minRxMs: number;
  multiplier: number;
  /** Waits for the other side to begin (RFC 5880 section 6.1). */
  passive: boolean;
  /** Lowest TTL of a multihop session's packets (RFC 5883); single hop is always 255. */
  minTtl: number;
}

export type { Role } from '../session/role.ts';

/** What all kinds of peers have in common. */
export interface PeerSettings extends FamilySettings {
  /** What the operator calls it; else its address or range. Peers of a pattern are called by their interfaces. */
  name?: string;
  description?: string;
  /** The operator's group, for display. */
  group?: string;
  remoteAs: RemoteAs;
  /** Bit mask by family id. */
  families: number;
  /** Overrides by family id of what stands above. */
  byFamily?: Readonly<Record<number, FamilySettings>>;
  password?: string;
  /** RFC 5082: only accept packets that no router has forwarded. */
  ttlSecurity: boolean;
  /** Hops an external peer may be away; 1 is directly connected. */
  multihop: number;
  holdTimeMs: number;
  keepaliveMs?: number;
  connectRetryMs: number;
  /** First pause after a failure, doubled by each further one. */
  idleHoldMs?: number;
  passive: boolean;
  shutdown: boolean;
  /** Told to the peer when it is shut down (RFC 9003). */
  shutdownText?: string;
  /**
   * Another AS that the peer knows us by. `noPrepend`: not put before what it sends us; `replaceAs`: ours is hidden.
   */
  localAs?: { asn: number; noPrepend: boolean; replaceAs: boolean };
  /** How often our own AS may be in a path from the peer. */
  allowAsIn: number;
  /** `all`: also among public ones; `replace`: by our own AS, so that the length stays. */
  removePrivateAs?: { all: boolean; replace: boolean };
  /** The peer's AS in a path is replaced by ours, so that it takes the route. */
  asOverride: boolean;
  nextHopSelf: 'never' | 'external' | 'all';
  /** The next hop as received goes to an external peer too. */
  nextHopUnchanged: boolean;
  routeReflectorClient: boolean;
  /** RFC 7947: nothing of ours is put into the path, next hop and MED stay. */
  routeServerClient: boolean;
  /** An UPDATE of an external peer must begin with its AS (RFC 4271 section 6.3). */
  enforceFirstAs: boolean;
  role?: Role;
  /** The peer has to have a role as well. */
  roleStrict: boolean;
  /** Both roles of RFC 4724, only the helper's, or none. */
  gracefulRestart: 'full' | 'helper' | 'off';
  /**
   * A restart of ours waits so long for the peer to tell what it has, whether it knows of End-of-RIB or not; absent: as
   * RFC 4724 says (restart.ts).
   */
  awaitMs?: number;
  /** Whose process may be at the other end, which is on this machine; absent: nobody asks. */
  users?: SpeakerUsers;
  bfd?: BfdSettings;
  /** RFC 8654. */
  extendedMessages: boolean;
  /** RFC 9774 wants paths with AS_SET or AS_CONFED_SET refused; `accept` takes them. */
  asSet: 'refuse' | 'accept';
  /** RFC 8955 section 6, RFC 9117; absent: of what comes from outside. */
  flowspecValidation?: boolean;
  /** RFC 8326: what is sent carries GRACEFUL_SHUTDOWN. What is received with it from outside gets LOCAL_PREF 0. */
  gracefulShutdown: boolean;
  /**
   * RFC 7999: host routes with BLACKHOLE from this peer are discarded in the kernel; else the community means nothing.
   */
  blackhole: boolean;
  /**
   * What the peer says of guests that moved is believed (docs/decisions/0017-move-sequence.md); absent: of internal and
   * of unnumbered peers.
   */
  moves?: boolean;
  weight: number;
  port: number;
  localAddress?: Uint8Array;
}

/** A peer known by its address. */
export interface AddressPeer extends PeerSettings {
  kind: 'address';
  address: Uint8Array;
  /** For a link-local address: the interface it is on. */
  interface?: string;
}

/** BGP unnumbered: one peer on every interface whose name matches, now or later. */
export interface InterfacePeer extends PeerSettings {
  kind: 'interface';
  /** A name with `*` and `?` as wildcards. */
  pattern: string;
}

/** Peers that come to us from a range of addresses. */
export interface RangePeer extends PeerSettings {
  kind: 'range';
  range: Prefix;
  /** How many peers may come from it. */
  limit: number;
}

export type PeerConfig = AddressPeer | InterfacePeer | RangePeer;

export interface RouterConfig {
  /** Sent in the FQDN capability, so that a neighbour can show it. */
  nodeName: string;
  asn: number;
  /** BGP identifier, uint32. */
  bgpId: number;
  /**
   * `fabric` transits without policies; `host` exports only what is its own, whatever a policy says; `none`:
   * RFC 8212.
   */
  profile: 'fabric' | 'host' | 'none';
  /** Originated here, with source `local`. */
  networks: Prefix[];
  redistribute: { connected?: RedistributeRule; static?: RedistributeRule; kernel?: RedistributeRule };
  multipath: number;
  /** AS paths of equal length but different content may share the load. */
  multipathRelax: boolean;
  /**
   * Weights of next hops follow the link bandwidth communities when all paths have one (draft-ietf-idr-link-bandwidth).
   */
  linkBandwidth: boolean;
  alwaysCompareMed: boolean;
  /** A path without MED counts as the worst, not as 0. */
  missingMedWorst: boolean;
  /** An internal best path does not keep the best external one from internal peers (draft-ietf-idr-best-external). */
  bestExternal: boolean;
  /** Metrics of our routes in the kernel, by whom the best path is from; absent: the kernel table's for all. */
  distance?: Distances;
  gracefulRestart?: {
    restartTimeMs: number;
    stalePathTimeMs: number;
    /** RFC 8538. */
    notification: boolean;
    /** RFC 9494; absent: not offered. */
    longLivedStaleTimeMs?: number;
  };
  /** `asn` is the member AS; `id` is what the world outside sees (RFC 5065). */
  confederation?: { id: number; members: readonly (readonly [low: number, high: number])[] };
  /** All neighbours drain from us (RFC 8326). */
  gracefulShutdown: boolean;
  statics: StaticRoute[];
  aggregates: Aggregate[];
  /** Whether we ask RFC 4684 peers for every VPN route: we have no VPN instance that says which. */
  rtcDefault: boolean;
  peers: PeerConfig[];
  clusterId?: number;
  guests?: GuestSettings;
}

/** How routes of guests are announced. */
export interface GuestSettings {
  /** LOCAL_PREF while a move is fresh. */
  freshPreference: number;
  policy?: CompiledPolicy;
}

/** What fresh moves are announced with unless somebody says otherwise. */
export const defaultGuestSettings: GuestSettings = { freshPreference: 200 };

/** Administrative distances, 1 to 254. */
export interface Distances {
  external: number;
  /** Of internal peers and those of the confederation. */
  internal: number;
  /** Of routes of our own. */
  local: number;
}

/** A route of the operator's own, announced and, unless it is only `announced`, in the kernel. */
export interface StaticRoute {
  prefix: Prefix;
  to: { kind: 'gateway'; address: Uint8Array; interface?: string } | { kind: 'blackhole' };
  /** Canonical attributes on top of ORIGIN and the empty AS_PATH: communities, MED, LOCAL_PREF. */
  policy?: CompiledPolicy;
  tag?: number;
}

/** RFC 4271 section 9.2.2.2, without AS_SETs (RFC 9774). */
export interface Aggregate {
  prefix: Prefix;
  /** More specific routes within it are not announced. */
  summaryOnly: boolean;
  policy?: CompiledPolicy;
}

/** What a peer is unless somebody says otherwise: for those who make configurations by hand. */
export const defaultPeerSettings = {
  ttlSecurity: false,
  multihop: 1,
  holdTimeMs: 90_000,
  connectRetryMs: 5000,
  passive: false,
  shutdown: false,
  allowAsIn: 0,
  asOverride: false,
  nextHopSelf: 'never',
  nextHopUnchanged: false,
  routeReflectorClient: false,
  routeServerClient: false,
  enforceFirstAs: true,
  roleStrict: false,
  gracefulRestart: 'full',
  extendedMessages: true,
  asSet: 'refuse',
  gracefulShutdown: false,
  blackhole: false,
  weight: 0,
  port: 179,
} as const satisfies Partial<PeerSettings>;

/** What a router is unless somebody says otherwise. */
export const defaultRouterSettings = {
  multipath: 16,
  multipathRelax: true,
  linkBandwidth: false,
  alwaysCompareMed: false,
  missingMedWorst: false,
  bestExternal: false,
  gracefulShutdown: false,
  statics: [] as StaticRoute[],
  aggregates: [] as Aggregate[],
  rtcDefault: false,
} satisfies Partial<RouterConfig>;

/** Whether move sequences of the peer count. */
export function believesMoves(peer: PeerConfig, internal: boolean): boolean {
  return peer.moves ?? (internal || peer.kind === 'interface');
}

/** What holds for one family of a peer. */
export function familySettings(settings: PeerSettings, family: number): FamilySettings {
  const own = settings.byFamily?.[family];
  return own === undefined ? settings : { ...settings, ...own };
}

/** Redistribute, through a policy or as is. */
export interface RedistributeRule {
  policy?: CompiledPolicy;
}

/**
 * Whether two configurations ask for the same connection attempt: one that is not up yet begins anew where they do
 * not. What of it ends a session that is up is said by `reset-reasons.ts`.
 */
export function sameSession(a: PeerConfig, b: PeerConfig): boolean {
  return sessionKey(a) === sessionKey(b);
}

function sessionKey(peer: PeerConfig): string {
  return JSON.stringify([
    peer.kind,
    peer.remoteAs,
    peer.families,
    familiesIn(peer.families).map((family) => familySettings(peer, family).addPath ?? null),
    peer.password ?? null,
    peer.ttlSecurity,
    peer.multihop,
    peer.holdTimeMs,
    peer.keepaliveMs ?? null,
    peer.passive,
    peer.localAs?.asn ?? null,
    peer.role ?? null,
    peer.roleStrict,
    peer.gracefulRestart,
    peer.extendedMessages,
    peer.port,
    peer.localAddress ? [...peer.localAddress] : null,
    peer.kind === 'address' ? [[...peer.address], peer.interface ?? null] : null,
  ]);
}
