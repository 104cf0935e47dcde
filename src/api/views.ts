// The only JSON shapes of leafd: what REST answers, `leafctl -j` prints, events carry. Keys are
// camelCase, what is absent is left out, numbers are numbers, times are ISO 8601 with the age in seconds beside
// them. Changes are additive only. This file imports nothing but its own other parts, so that a browser can import it.

import type { GuestCountsView, GuestWhyView } from './views-guests.ts';
import type { PassthroughStatusView } from './views-passthrough.ts';

export type * from './views-guests.ts';
export type * from './views-passthrough.ts';

/** Any failure of a request. `code` is stable and kebab-case; `message` is one line. */
export interface ErrorView {
  error: ErrorBody;
}

export interface ErrorBody {
  code: string;
  message: string;
  hint?: string;
  where?: PlaceView;
  /** Every problem of a refused configuration. */
  problems?: ProblemView[];
}

/** A place in a file; line and column count from 1. */
export interface PlaceView {
  file: string;
  line: number;
  column: number;
}

export interface ProblemView {
  where: PlaceView;
  /** Dotted: `bgp.peers.0.timers.hold`; empty for a whole file. */
  path: string;
  reason: string;
  hint?: string;
}

export type FamilyName =
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

export interface StatusView {
  node: string;
  labels: Record<string, string>;
  version: string;
  pid: number;
  startedAt: string;
  uptimeSeconds: number;
  bgp: {
    /** Another daemon of this machine speaks BGP; leafd has no neighbours, and AS and router id mean nothing. */
    speaker?: 'none';
    asn: number;
    routerId: string;
    profile?: 'fabric' | 'host';
    peers: { configured: number; known: number; established: number };
    /** Connections that were not let in, by cause; absent while there were none. */
    refused?: Record<string, number>;
    /** After a restart: waiting for End-of-RIB of these peers before routes are withdrawn. */
    restarting?: { until: string; waitingFor: string[] };
  };
  routes: FamilyCountView[];
  kernel: { fib: boolean; installed: number; pending: number; failed: number };
  /** Where guests are looked after. */
  guests?: GuestCountsView;
  /** Where the speaker runs in a router namespace. */
  passthrough?: PassthroughStatusView;
  /** `needRestart`: what is configured and waits for the next start, a text each. */
  config: { files: string[]; loadedAt: string; lastError?: ErrorBody; needRestart?: string[] };
  memoryBytes: number;
}

export interface FamilyCountView {
  family: FamilyName;
  prefixes: number;
  paths: number;
}

export type SessionStateView = 'idle' | 'connect' | 'active' | 'openSent' | 'openConfirm' | 'established';

export interface PeersView {
  peers: PeerView[];
}

/** A session, or a configured pattern or range that has no session of its own (`state` idle, `dynamic` false). */
export interface PeerView {
  name: string;
  kind: 'interface' | 'address' | 'range';
  /** Made by a pattern or range. */
  dynamic: boolean;
  description?: string;
  group?: string;
  /** Configured: `external`, `65001`, `65000-65199,4200000000`. */
  remoteAs: string;
  /** Learned from its OPEN. */
  remoteAsn?: number;
  address?: string;
  interface?: string;
  /** The peer's host name (FQDN capability). */
  hostname?: string;
  state: SessionStateView;
  adminDown: boolean;
  /** When it entered or left Established last. */
  since?: string;
  sinceSeconds?: number;
  families: FamilyName[];
  /** Sums over the families. */
  received: number;
  accepted: number;
  advertised: number;
  /** Why it is not up, or went down last. */
  reason?: string;
  /** Where BFD is configured. */
  bfd?: BfdView;
}

/** The path to a peer as BFD sees it (RFC 5880). `waiting`: it is watched once the session is Established. */
export interface BfdView {
  state: 'waiting' | 'adminDown' | 'down' | 'init' | 'up';
  since?: string;
  sinceSeconds?: number;
  configured: { intervalMs: number; receiveMs: number; multiplier: number; passive: boolean };
  session?: BfdSessionView;
  /** Why the path was given up last. */
  lastDown?: { at: string; reason: string };
}

export interface BfdSessionView {
  multihop: boolean;
  /** As agreed on: how often we send (0: the peer wants nothing), how often it sends, when it counts as lost. */
  transmitMs: number;
  receiveMs: number;
  detectionMs: number;
  multiplier: number;
  remoteMultiplier: number;
  localDiscriminator: number;
  /** 0 while the peer is not heard. */
  remoteDiscriminator: number;
  diagnostic: string;
  remoteState: 'adminDown' | 'down' | 'init' | 'up';
  remoteDiagnostic: string;
  /** The C bit of the peer: its BFD lives on when its control plane ends. */
  controlPlaneIndependent: boolean;
  /** Times it was up no longer. */
  flaps: number;
  packetsIn: number;
  packetsOut: number;
  sendErrors: number;
  /** The longest silence of the peer since it is up. */
  worstGapMs: number;
}

export interface PeerDetailView extends PeerView {
  internal?: boolean;
  local: { asn: number; routerId: string; address?: string; port?: number };
  remote: { routerId?: string; address?: string; port?: number; hostname?: string; domain?: string };
  timers: {
    configured: { holdSeconds: number; keepaliveSeconds: number; connectRetrySeconds: number };
    negotiated?: { holdSeconds: number; keepaliveSeconds: number };
  };
  capabilities: { sent: string[]; received: string[] };
  messages: { sent: MessageCountsView; received: MessageCountsView };
  byFamily: PeerFamilyView[];
  /** Idle until then: it neither calls nor takes calls. */
  retryInSeconds?: number;
  /** Times it was established. */
  established: number;
  lastDown?: { at: string; reason: string };
  lastError?: { at: string; direction: 'sent' | 'received'; text: string };
  gracefulRestart?: {
    restarting: boolean;
    timeSeconds: number;
    families: FamilyName[];
    /** NOTIFICATIONs keep routes too (RFC 8538). */
    notification: boolean;
  };
  /** How long routes may stay when graceful restart is over (RFC 9494). */
  longLivedRestart?: { families: { family: FamilyName; staleSeconds: number }[] };
  /** The peer is in another member AS of our confederation. */
  confederation?: boolean;
  /** RFC 9234: ours towards the peer, and the peer's own word. */
  role?: { local?: string; remote?: string };
  /** What it did wrong, since it is known (RFC 7606); absent while it did nothing wrong. */
  faults?: PeerFaultsView;
  ttlSecurityHops?: number;
  authenticated: boolean;
  import?: string;
  export?: string;
}

export interface PeerFaultsView {
  total: number;
  counts: { attribute: string; disposition: DispositionView; count: number; lastAt: string }[];
  /** The latest last. */
  recent: {
    at: string;
    attribute: string;
    /** Within the body of the UPDATE. */
    offset?: number;
    /** In hex, at most 64 bytes. */
    bytes?: string;
    disposition: DispositionView;
    reason: string;
    family?: string;
  }[];
}

/** RFC 7606 section 2, weakest first. */
export type DispositionView = 'discard' | 'withdraw' | 'disable' | 'reset';

export interface MessageCountsView {
  open: number;
  update: number;
  notification: number;
  keepalive: number;
  routeRefresh: number;
}

export interface PeerFamilyView {
  family: FamilyName;
  /** Whether both sides offered it; absent while there is no session. */
  negotiated?: boolean;
  received: number;
  accepted: number;
  rejected: number;
  stale: number;
  /** When they go, unless the peer comes back (RFC 4724) or tells them again. */
  staleForSeconds?: number;
  /** They have outlasted the restart time (RFC 9494). */
  longLived?: boolean;
  advertised: number;
  endOfRibReceived: boolean;
  endOfRibSent: boolean;
  maxPrefix?: number;
  /** Which way path identifiers go (RFC 7911). */
  addPath?: 'send' | 'receive' | 'both';
}

export interface RoutesView {
  routes: RouteView[];
  /** Pass as `cursor` for the rows after these; absent at the end. */
  next?: string;
}

/** One path to one prefix, as received, as used, or as advertised, whichever was asked for. */
export interface RouteView {
  family: FamilyName;
  /** An IP prefix, or the text of an NLRI that is more than one: `65000:1:10.0.0.0/24`. */
  prefix: string;
  /** The parts of such an NLRI, with what it carries (labels, gateways). */
  nlri?: NlriView;
  /** As received (RFC 7911). */
  pathId?: number;
  best: boolean;
  /** Shares the load with the best one. */
  multipath: boolean;
  /** Accepted by policy and loop checks. */
  accepted: boolean;
  /** Kept over a graceful restart of its peer. */
  stale: boolean;
  source: 'local' | 'connected' | 'static' | 'kernel' | 'guest' | 'bgp';
  /** Absent for routes of this machine. */
  peer?: string;
  nextHop?: string;
  /** Instead of a next hop: packets are discarded. */
  blackhole?: boolean;
  interface?: string;
  /** Whether the next hop can be reached. */
  reachable?: boolean;
  since: string;
  ageSeconds: number;
  attributes: AttributesView;
  /** Origin validation (RFC 6811) of the route as received; absent where it is off. */
  rpki?: RpkiStateView;
  /** In the kernel: `installed`, `pending` or `failed`. */
  kernel?: 'installed' | 'pending' | 'failed';
  /** Why not accepted, not best, or not sent. */
  reason?: ReasonView;
}

/** An NLRI that is more than a prefix; what a family does not have is absent. */
export interface NlriView {
  routeDistinguisher?: string;
  prefix?: string;
  /** MPLS reading (20 bits) and VXLAN reading (24 bits) of each label field. */
  labels?: readonly number[];
  vnis?: readonly number[];
  /** EVPN route type and its name. */
  type?: number;
  typeName?: string;
  esi?: string;
  ethernetTag?: number;
  mac?: string;
  ip?: string;
  gateway?: string;
  originAsn?: number;
  routeTarget?: string;
  /** Flow specification: one entry a component. */
  rules?: readonly { readonly component: string; readonly match: string }[];
  hex?: string;
}

/** Path attributes in text: what the wire room describes, and what is counted or added locally. */
export interface AttributesView {
  origin?: 'igp' | 'egp' | 'incomplete';
  /** As people write it: `65001 65002 {65003,65004}`; empty or absent for routes of this AS. */
  asPath?: string;
  asPathSegments?: readonly {
    readonly kind: 'sequence' | 'set' | 'confedSequence' | 'confedSet';
    readonly asns: readonly number[];
  }[];
  /** As the decision counts it (RFC 4271 9.1.2.2). */
  asPathLength?: number;
  med?: number;
  localPref?: number;
  weight?: number;
  atomicAggregate?: boolean;
  aggregator?: { readonly asn: number; readonly address: string };
  communities?: readonly string[];
  largeCommunities?: readonly string[];
  extendedCommunities?: readonly string[];
  originatorId?: string;
  clusterList?: readonly string[];
  onlyToCustomer?: number;
  /** P-Multicast Service Interface tunnel (RFC 6514). */
  pmsi?: {
    readonly flags: number;
    readonly tunnelType: number;
    readonly tunnelTypeName?: string;
    readonly vni: number;
    readonly label?: number;
    readonly endpoint?: string;
    readonly hex?: string;
  };
  tunnelEncapsulation?: readonly {
    readonly type: number;
    readonly typeName?: string;
    readonly endpoint?: string;
    readonly subTlvs: readonly { readonly type: number; readonly name?: string; readonly hex: string }[];
  }[];
  ipv6ExtendedCommunities?: readonly string[];
  /** `metric` in decimal digits: 64 bits are more than a number holds. */
  aigp?: {
    readonly metric?: string;
    readonly tlvs?: readonly { readonly type: number; readonly hex: string }[];
  };
  prefixSid?: readonly {
    readonly type: number;
    readonly name?: string;
    readonly labelIndex?: number;
    readonly sids?: readonly { readonly sid: string; readonly behavior: number }[];
    readonly hex: string;
  }[];
  /** Codes of attributes that carry the Partial bit. */
  partial?: readonly number[];
  unknown?: readonly { code: number; name?: string; text?: string; flags: number; hex: string }[];
}

/** A reason code with its sentence; `rule` names the policy rule or the decision step that decided. */
export interface ReasonView {
  code: string;
  text: string;
  rule?: string;
}

/** The explanation of one thing: a prefix, an address, a peer. */
export interface WhyView {
  thing: string;
  kind: 'prefix' | 'address' | 'peer' | 'guest';
  /** The answer in one sentence. */
  summary: string;
  /** The prefix that answers for an address. */
  prefix?: string;
  /** Where guests are looked after, of an address. */
  guest?: GuestWhyView;
  winner?: RouteView;
  /** Every path, the winner first, each with why it won or lost. */
  paths: WhyPathView[];
  kernel?: KernelRouteView;
  /** What caches and file say of the prefix; absent where origin validation is off. */
  vrps?: VrpView[];
  advertised: AdvertisedView[];
  /** Steps that lead to the state of a peer. */
  steps?: ReasonView[];
}

export interface WhyPathView {
  route: RouteView;
  verdict: 'best' | 'multipath' | 'lost' | 'rejected';
  reason: ReasonView;
}

export interface AdvertisedView {
  peer: string;
  sent: boolean;
  reason: ReasonView;
}

export interface KernelView {
  fib: boolean;
  table: number;
  metric: number;
  nexthopCompat: 0 | 1;
  counts: { intended: number; installed: number; pending: number; failed: number; foreign: number };
  /** What leafd wants to be there, and how it stands. */
  intended: KernelRouteView[];
  /** What is there with leafd's mark but without leafd's wish (kept for graceful restart, or being removed). */
  leftover: KernelRouteView[];
  /** What others made: never touched. */
  foreign: KernelRouteView[];
  sysctls: { name: string; value: string; before: string }[];
  failures: { what: string; error: string }[];
  /** Whether lists were cut at the limit asked for. */
  truncated: boolean;
}

export interface KernelRouteView {
  prefix: string;
  /** Absent for objects that are not compared: `foreign`. */
  state: 'installed' | 'pending' | 'failed' | 'leftover' | 'foreign';
  nextHops: { gateway?: string; interface: string; weight: number }[];
  /** Instead of next hops: packets are discarded. */
  blackhole?: boolean;
  table?: number;
  metric?: number;
  /** Name of the kernel's route protocol: `leafd`, `kernel`, `static`, `bird`. */
  protocol?: string;
  /** The kernel's answer, when it failed. */
  error?: string;
}

export interface EventsView {
  events: EventView[];
  /** Pass as `since` to go on. */
  next: number;
  /** How many events between `since` and the first one here are no longer kept. */
  lost: number;
}

export interface EventView {
  /** Ascending within one life of the daemon, from 1. */
  id: number;
  at: string;
  level: 'info' | 'warning' | 'error';
  /** Stable, kebab-case: `peer-up`, `peer-down`, `config-applied`. */
  kind: string;
  text: string;
  peer?: string;
  prefix?: string;
  interface?: string;
  /** Of kinds `guest-*`: name of the binding, the address, and what was refused. */
  guest?: string;
  address?: string;
  refusal?: string;
}

/** What a configuration would change. */
export interface PlanView {
  changes: ChangeView[];
  /** The heaviest effect among the changes. */
  effect: EffectView;
  warnings: ProblemView[];
}

export type EffectView = 'live' | 'soft refresh' | 'session reset' | 'restart';

export interface ChangeView {
  kind: 'add' | 'remove' | 'change';
  owner: string;
  what: string;
  effect: EffectView;
  text: string;
}

/** What a configuration changed. */
export interface ApplyView extends PlanView {
  applied: boolean;
  /** Changes that wait for a restart of the daemon. */
  needRestart: ChangeView[];
}

/** A command on a peer was taken. */
export interface ActionView {
  peer: string;
  action: PeerAction;
  text: string;
}

export type PeerAction = 'reset' | 'refresh' | 'shutdown' | 'enable';

export type RpkiStateView = 'valid' | 'invalid' | 'notFound';

/** Origin validation: where its data come from. */
export interface RpkiView {
  enabled: boolean;
  /** The most preferred first. */
  servers: RpkiServerView[];
  file?: { path: string; vrps: number; readAt?: string; error?: string };
  /** Payloads in use. */
  vrps: number;
}

/** A cache (RFC 8210). What it told is absent while there are no data of it. */
export interface RpkiServerView {
  address: string;
  port: number;
  state: 'down' | 'connecting' | 'syncing' | 'synced';
  /** Whether routes are judged by its data. */
  inUse: boolean;
  vrps: number;
  /** Of the protocol. */
  version?: number;
  sessionId?: number;
  serial?: number;
  updatedAt?: string;
  ageSeconds?: number;
  /** Until its data are forgotten unless it tells anew. */
  expiresInSeconds?: number;
  refreshSeconds?: number;
  retrySeconds?: number;
  lastError?: { at: string; text: string };
}

/** This AS may announce the prefix and more specific ones up to a length. */
export interface VrpView {
  prefix: string;
  maxLength: number;
  asn: number;
}
