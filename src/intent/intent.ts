// What the operator wants, resolved: numbers, bytes and milliseconds, groups merged into peers, defaults filled in.
// These plain interfaces are all that the rest of leafd sees of a configuration; the zod schema and its types stay
// inside this room (a daemon whose inside is shaped by its configuration tree regrets it).

import type { Prefix } from '../net/prefix.ts';
import type { GuestsIntent } from './guests.ts';
import type { PassthroughIntent } from './passthrough.ts';
import type { PolicyDefinitions } from './policy-definition.ts';
import type { Secret } from './secret.ts';

export interface Intent {
  node: NodeIntent;
  api: ApiIntent;
  bgp: BgpIntent;
  policies: PolicyDefinitions;
  rpki: RpkiIntent;
  kernel: KernelIntent;
  /** Absent: no guests are looked after. */
  guests?: GuestsIntent;
  /** Absent: the speaker runs in the namespace of the daemon. */
  passthrough?: PassthroughIntent;
}

export interface NodeIntent {
  name: string;
  labels: Readonly<Record<string, string>>;
}

export interface ApiIntent {
  /** Path of the unix socket. */
  socket: string;
  /** TCP on a loopback address, read-only; absent: none. */
  listen?: { host: string; port: number };
}

export interface BgpIntent {
  /** `none`: another daemon of this machine speaks BGP, and no session is made here. */
  speaker: 'leafd' | 'none';
  asn: number;
  /** As a uint32, never 0 (RFC 6286). */
  routerId: number;
  /** TCP port listened on. */
  port: number;
  /** Host prefixes put on `lo` and announced, in the order written. */
  loopbacks: readonly Prefix[];
  /** Announced whether the kernel has them or not. */
  networks: readonly Prefix[];
  redistribute: RedistributeIntent;
  /** Most next hops of one route; 1 = no multipath. */
  multipath: number;
  /** Paths of equal length but different ASes may share the load. */
  multipathRelax: boolean;
  /** Weights of next hops follow the link bandwidth communities. */
  linkBandwidth: boolean;
  alwaysCompareMed: boolean;
  /** A path without MED counts as the worst, not as 0. */
  missingMedWorst: boolean;
  bestExternal: boolean;
  /** Metrics of routes in the kernel by whom they are from; absent: `kernel.metric` for all. */
  distance?: { external: number; internal: number; local: number };
  /** All neighbours drain from us (RFC 8326). */
  gracefulShutdown: boolean;
  gracefulRestart: GracefulRestartIntent;
  confederation?: ConfederationIntent;
  routes: readonly StaticRouteIntent[];
  aggregates: readonly AggregateIntent[];
  /** Whether RFC 4684 peers are asked for every VPN route. */
  rtcDefault: boolean;
  profile?: Profile;
  /** Reflector's CLUSTER_ID (RFC 4456), as a uint32; the router id unless set. */
  clusterId: number;
  /** In the order written: that is also the order of matching for patterns and ranges. */
  peers: readonly PeerIntent[];
}

/** `fabric` transits; `host` never does, whatever is announced to it. */
export type Profile = 'fabric' | 'host';

export interface RedistributeIntent {
  connected?: RedistributeSource;
  static?: RedistributeSource;
  /** Routes of the kernel's main table that leafd did not make. */
  kernel?: RedistributeSource;
}

/** One policy by name, or several that are asked in turn until one decides. */
export type PolicyChain = readonly string[];

export interface RedistributeSource {
  /** The policy the routes pass; absent: all of them. */
  policy?: PolicyChain;
}

export interface GracefulRestartIntent {
  enabled: boolean;
  /** Whole seconds, at most 4095 s: it has 12 bits on the wire (RFC 4724). */
  restartTimeMs: number;
  stalePathTimeMs: number;
  /** RFC 8538. */
  notification: boolean;
  /** RFC 9494; whole seconds, at most 2^24 - 1; absent: not offered. */
  longLivedStaleTimeMs?: number;
}

/** RFC 5065: `bgp.asn` is the member AS. */
export interface ConfederationIntent {
  id: number;
  members: readonly (readonly [low: number, high: number])[];
}

/** A route of the operator's own. */
export interface StaticRouteIntent {
  prefix: Prefix;
  to: { kind: 'gateway'; address: Uint8Array; interface?: string } | { kind: 'blackhole' };
  policy?: PolicyChain;
  tag?: number;
}

export interface AggregateIntent {
  prefix: Prefix;
  summaryOnly: boolean;
  policy?: PolicyChain;
}

/** Where origin validation (RFC 6811) has its data from; nothing: it is off. */
export interface RpkiIntent {
  servers: readonly RpkiServer[];
  /** JSON of Routinator or rpki-client. */
  file?: string;
}

export interface RpkiServer {
  /** An address or a host name. */
  address: string;
  port: number;
  /** Instead of what the cache says (RFC 8210 section 6). */
  refreshMs?: number;
  retryMs?: number;
  expireMs?: number;
}

/** Whom a peer may be (the same shape as the session room's). */
export type RemoteAs =
  | { kind: 'internal' | 'external' | 'any' }
  | { kind: 'list'; ranges: readonly (readonly [low: number, high: number])[] };

/** Where a peer is found. */
export type PeerWhere =
  | { kind: 'interface'; pattern: string }
  /** `scope` is the interface name of a link-local address (`fe80::1%eth0`). */
  | { kind: 'address'; address: Uint8Array; scope?: string }
  | { kind: 'range'; range: Prefix };

export type PeerFamily =
  | 'ipv4'
  | 'ipv6'
  | 'vpnv4'
  | 'vpnv6'
  | 'evpn'
  | 'rtc'
  | 'flowspec4'
  | 'flowspec6'
  | 'flowspecVpn4'
  | 'flowspecVpn6';

/** What may differ from one family of a peer to another. */
export interface FamilyIntent {
  /** Absent: `defaultPolicies` of profile.ts decides once it is known who the peer is. */
  import?: PolicyChain;
  export?: PolicyChain;
  maxPrefix?: MaxPrefixIntent;
  addPath?: AddPathIntent;
  /** A default route is announced to the peer, through the policy where there is one. */
  defaultOriginate?: RedistributeSource;
}

/** RFC 7911. */
export interface AddPathIntent {
  receive: boolean;
  send: 'none' | 'all' | 'best';
  /** 0 for any number. */
  sendMax: number;
  receiveMax?: number;
}

/** RFC 5880. */
export interface BfdIntent {
  minTxMs: number;
  minRxMs: number;
  multiplier: number;
  passive: boolean;
  /** Lowest TTL of a multihop session's packets. */
  minTtl: number;
}

/** What the local side is to the peer (RFC 9234). */
export type Role = 'provider' | 'rsServer' | 'rsClient' | 'customer' | 'peer';

export interface PeerIntent extends FamilyIntent {
  /** Unique: as written by the operator, or else the pattern, address or range. */
  name: string;
  /** Identity between two configurations: `interface eth*`, `address 192.0.2.1`, `range 10.9.0.0/24`. */
  key: string;
  where: PeerWhere;
  group?: string;
  description?: string;
  /** Administratively down: configured, not started. */
  shutdown: boolean;
  remoteAs: RemoteAs;
  /** TCP port connected to. */
  port: number;
  families: readonly PeerFamily[];
  /** TCP-MD5 key (RFC 2385). */
  password?: Secret;
  /** GTSM (RFC 5082): the peer is at most so many hops away. */
  ttlSecurityHops?: number;
  /** TTL of what is sent to a peer that is not on the link; absent for external peers on the link. */
  multihopTtl?: number;
  /** Never connects, only accepts; always true for a range. */
  passive: boolean;
  localAddress?: Uint8Array;
  timers: PeerTimers;
  /** First pause after a failure; absent: the session room's. */
  idleHoldMs?: number;
  /** What single families say, over what stands above; absent where they say nothing. */
  byFamily?: Readonly<Partial<Record<PeerFamily, FamilyIntent>>>;
  /** For a range: most peers at once. */
  maxPeers: number;
  /** Another AS that the peer knows us by. */
  localAs?: { asn: number; noPrepend: boolean; replaceAs: boolean };
  allowAsIn: number;
  removePrivateAs?: { all: boolean; replace: boolean };
  asOverride: boolean;
  nextHopSelf: 'never' | 'external' | 'all';
  nextHopUnchanged: boolean;
  routeReflectorClient: boolean;
  /** RFC 7947. */
  routeServerClient: boolean;
  enforceFirstAs: boolean;
  role?: Role;
  roleStrict: boolean;
  gracefulRestart: 'full' | 'helper' | 'off';
  bfd?: BfdIntent;
  /** RFC 8654. */
  extendedMessages: boolean;
  /** RFC 9774. */
  asSet: 'refuse' | 'accept';
  /** RFC 8955 section 6; absent: of external peers. */
  flowspecValidation?: boolean;
  /** RFC 8326. */
  gracefulShutdown: boolean;
  /** RFC 7999. */
  blackhole: boolean;
  /** Whether the peer's move sequences are believed; absent: of internal and of unnumbered peers. */
  moves?: boolean;
  weight: number;
  /** RFC 9003. */
  shutdownText?: string;
  /** After a restart of ours End-of-RIB is held back until this peer has told all it knows, at most so long. */
  awaitMs?: number;
  /** Of a speaker of this host: whose process may be at the other end; absent: nobody asks. */
  users?: SpeakerUsers;
}

/** `system`: root and those below uid 1000; else names and uids, and root. */
export type SpeakerUsers = 'system' | readonly (string | number)[];

export interface PeerTimers {
  /** 0 or 3 s to 65535 s, whole seconds. */
  holdMs: number;
  /** 0 when holdMs is 0. */
  keepaliveMs: number;
  connectRetryMs: number;
}

export interface MaxPrefixIntent {
  /** Per family. */
  limit: number;
  /**
   * `warn` only tells; `drop` refuses the surplus; `shutdown` waits for the operator; `restart` tries again after
   * `restartAfterMs`.
   */
  action: 'warn' | 'drop' | 'restart' | 'shutdown';
  restartAfterMs: number;
  warnAtPercent?: number;
}

export interface KernelIntent {
  /** Whether best routes are written to the kernel. */
  fib: boolean;
  /** net.ipv4.nexthop_compat_mode: 0 = fast swap, 1 = other programs see gateways; auto = leafd looks around. */
  nexthopCompat: 'auto' | 0 | 1;
  metric: number;
  table: number;
}
