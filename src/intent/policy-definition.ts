// Policies as plain data: what `policies:` of leafd.yaml says once it has been validated. Text forms stay text
// (prefixes, communities, AS path patterns): their grammar has been checked here, and only the compiler in the
// policy room needs their bytes. The policy room is of a higher tier and uses these same shapes.
//
// A policy is an ordered list of rules. All conditions of a rule must hold; several values of one condition are
// alternatives (but in the `all…` ones). `action: next` applies the rule's changes and goes on with the rule
// after it, which sees the changed route. When no rule decides, `default` does; without it the route is rejected.

/** A prefix and the lengths below it that match. Without ge and le: exactly this prefix. */
export interface PrefixRange {
  /** `10.0.0.0/8` or `2001:db8::/32`. */
  prefix: string;
  /** Shortest length that matches; alone it means "from here to host routes". */
  ge?: number | undefined;
  /** Longest length that matches; alone it means "from the prefix itself to here". */
  le?: number | undefined;
}

/**
 * One element of a list of prefixes: a range, a prefix text (exact, or with lengths as in `10.0.0.0/8 ge 16 le 24`)
 * or the name of a prefix set.
 */
export type PrefixItem = string | PrefixRange;

/** A number, or both ends of a range; an end left out is open. */
export type NumberMatch = number | { min?: number | undefined; max?: number | undefined };

/** Where a route comes from: leafd's own configuration, the kernel's tables, or a BGP peer. */
export type RouteSource = 'local' | 'guest' | 'connected' | 'static' | 'kernel' | 'bgp';

export type OriginName = 'igp' | 'egp' | 'incomplete';

/** State of origin validation (RFC 6811 section 2). */
export type OriginState = 'valid' | 'invalid' | 'notFound';

export interface MatchDefinition {
  /** A set's name, or a list of prefixes, ranges and set names. */
  prefixes?: string | readonly PrefixItem[] | undefined;
  /** Family names, as in wire/bgp/family.ts. */
  family?: string | readonly string[] | undefined;
  /** Patterns over the ASNs of the path (see as-path-pattern.ts), or names of as-path sets. */
  asPath?: string | readonly string[] | undefined;
  /** Length as the decision counts it (RFC 4271 9.1.2.2: an AS_SET is 1; confederation segments 0). */
  asPathLength?: NumberMatch | undefined;
  /** Any of: `65000:1`, `65000:*`, `/^65000:[0-9]+$/`, `no-export`, or a set's name. */
  communities?: string | readonly string[] | undefined;
  /** Each of them must be there. */
  allCommunities?: string | readonly string[] | undefined;
  /** Any of: `65000:1:2`, parts may be `*`. */
  largeCommunities?: string | readonly string[] | undefined;
  allLargeCommunities?: string | readonly string[] | undefined;
  /** Any of: `rt:65000:1`, `soo:10.0.0.1:7`, parts may be `*`. */
  extendedCommunities?: string | readonly string[] | undefined;
  allExtendedCommunities?: string | readonly string[] | undefined;
  /** The peer the route was received from, by name; `*` and `?` are wildcards; or a set's name. */
  peer?: string | readonly string[] | undefined;
  /** That peer's ASN: a number, `65000-65199`, a set's name, or a list of them. */
  neighborAs?: number | string | readonly (number | string)[] | undefined;
  origin?: OriginName | readonly OriginName[] | undefined;
  /** Addresses or prefixes that hold the next hop, or names of prefix sets. */
  nextHop?: string | readonly string[] | undefined;
  /** A route without LOCAL_PREF counts as 100. */
  localPref?: NumberMatch | undefined;
  /** A route without MED does not match. */
  med?: NumberMatch | undefined;
  source?: RouteSource | readonly RouteSource[] | undefined;
  /** 0.0.0.0/0 or ::/0. */
  isDefault?: boolean | undefined;
  /** Of the prefix and the AS that originates it; `notFound` where there are no data. */
  rpki?: OriginState | readonly OriginState[] | undefined;
  /** Of a static route, or set by a rule before; 0 where there is none. */
  tag?: NumberMatch | undefined;
  /** EVPN route type by name or number; no other route matches. */
  evpnType?: string | number | readonly (string | number)[] | undefined;
  /** VNI (24 bits) of an EVPN route of type 1, 2 or 5: of its first label field. */
  vni?: NumberMatch | undefined;
  /** Of VPN, EVPN and VPN flow specification routes: `65000:1`, parts may be `*`. */
  routeDistinguisher?: string | readonly string[] | undefined;
  /** None of these may hold. */
  not?: Omit<MatchDefinition, 'not'> | undefined;
}

/** `set` replaces the list, then `remove` takes away (wildcards allowed), then `add` puts in what is absent. */
export interface CommunityChange {
  set?: readonly string[] | undefined;
  remove?: readonly string[] | undefined;
  add?: readonly string[] | undefined;
}

export interface SetDefinition {
  /** A value, or `+n` / `-n` on the present one (100 when absent), kept within 32 bits. */
  localPref?: number | string | undefined;
  /** A value, `+n` / `-n` on the present one (0 when absent), `remove`, or `igp`: the metric to the next hop. */
  med?: number | string | undefined;
  /** Local preference inside this node only, before LOCAL_PREF. */
  weight?: number | undefined;
  communities?: CommunityChange | undefined;
  largeCommunities?: CommunityChange | undefined;
  extendedCommunities?: CommunityChange | undefined;
  /**
   * Puts `asn` (default: the local ASN) in front of the path `count` times (default 1); or the AS that stands first
   * already, `lastAs` times.
   */
  prepend?: { asn?: number | undefined; count?: number | undefined; lastAs?: number | undefined } | undefined;
  /** For the rules and policies that come after this one. */
  tag?: number | undefined;
  origin?: OriginName | undefined;
  /** An address, or what the exporter does: its own address, or the one received. */
  nextHop?: string | undefined;
}

/** `next` goes on with the rule after this one. */
export type RuleAction = 'accept' | 'reject' | 'next';

export interface RuleDefinition {
  /** Shown by `why` and `policy test`; without it the rule's number is. */
  name?: string | undefined;
  match?: MatchDefinition | undefined;
  set?: SetDefinition | undefined;
  /**
   * Another policy that judges the route after `set`: what it rejects is rejected, what it accepts goes the way of
   * `action`, and what a policy with `default: next` leaves undecided goes on with the rule after this one.
   */
  call?: string | undefined;
  action: RuleAction;
}

export interface PolicyDefinition {
  /**
   * For a route that no rule decided. `next` gives it back to the rule that called the policy; where nobody did,
   * it is rejected. In a chain of policies an absent default, too, gives it to the next policy.
   */
  default?: 'accept' | 'reject' | 'next' | undefined;
  rules: readonly RuleDefinition[];
}

/** The whole of `policies:` and the named sets it refers to. */
export interface PolicyDefinitions {
  prefixSets?: Readonly<Record<string, readonly PrefixItem[]>> | undefined;
  asPathSets?: Readonly<Record<string, readonly string[]>> | undefined;
  communitySets?: Readonly<Record<string, readonly string[]>> | undefined;
  largeCommunitySets?: Readonly<Record<string, readonly string[]>> | undefined;
  extendedCommunitySets?: Readonly<Record<string, readonly string[]>> | undefined;
  /** AS numbers and ranges. */
  asnSets?: Readonly<Record<string, readonly (number | string)[]>> | undefined;
  /** Names of peers, with `*` and `?`. */
  peerSets?: Readonly<Record<string, readonly string[]>> | undefined;
  policies?: Readonly<Record<string, PolicyDefinition>> | undefined;
}

/** EVPN route types by name (RFC 7432, 9136, 9251, 9572). */
export const evpnTypeNames = [
  'ethernetAutoDiscovery',
  'macIp',
  'inclusiveMulticast',
  'ethernetSegment',
  'ipPrefix',
  'selectiveMulticast',
  'multicastMembershipSync',
  'multicastLeaveSync',
  'perRegionMulticast',
  'sPmsi',
  'leaf',
] as const;

/** Policies that exist without being defined; a configuration may not redefine them. */
export const builtInPolicies: readonly string[] = ['accept-all', 'reject-all', 'own-only', 'accept-fabric'];
