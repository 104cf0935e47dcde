// Policies as plain data: what `policies:` of leafd.yaml says after validation, and what `policy/compile.ts` turns
// into tables. Text forms stay text here (prefixes, communities, AS path expressions): their grammar has been checked
// with `net`, and only the compiler needs their bytes. Sets live beside the policies, under reserved names.
// The order of rules is the order of evaluation: the first rule that accepts or rejects ends it.

/** Every policy and every named set of one configuration. */
export interface PolicyDefinitions {
  prefixSets?: Record<string, PrefixMatch[]>;
  /** Each a list of AS path expressions, any of which may match. */
  asPathSets?: Record<string, string[]>;
  /** Each a list of standard, large or extended communities in text form, any of which may match. */
  communitySets?: Record<string, string[]>;
  policies: Record<string, PolicyDefinition>;
}

/** A prefix and the lengths it stands for: without `ge` and `le` exactly itself (RFC 2622 `^n-m` habits). */
export interface PrefixMatch {
  /** `10.0.0.0/8`: canonical, no bits beyond the length. */
  prefix: string;
  /** Shortest length that matches; default: the prefix's own, or with `le` also its own. */
  ge?: number;
  /** Longest length that matches; default: the prefix's own, or with `ge` the address length. */
  le?: number;
}

/** Ordered rules and what happens to a route that no rule decided. */
export interface PolicyDefinition {
  /** Default: reject. */
  default?: 'accept' | 'reject';
  rules: PolicyRule[];
}

export interface PolicyRule {
  /** For `leafctl why`; default: its number from 1. */
  name?: string;
  /** All named conditions must hold; absent or empty: every route. */
  match?: PolicyMatch;
  set?: PolicySet;
  /** `next` goes on to the next rule with the changes kept. Default: next when there is a `set`, else accept. */
  action?: 'accept' | 'reject' | 'next';
}

/** Inclusive bounds. */
export interface NumberRange {
  min?: number;
  max?: number;
}

export interface PolicyMatch {
  /** A list, or the name of a prefix set. */
  prefixes?: PrefixMatch[] | string;
  family?: PolicyFamily;
  /** An expression over AS numbers: `^65001_`, `_65010$`, `^$`, `^65001( 65002)*$`, `[65000-65100]`. */
  asPath?: string;
  /** The name of an AS path set. */
  asPathSet?: string;
  asPathLength?: NumberRange;
  /** Any of these; `65000:*` matches each value. */
  communities?: string[];
  /** Every one of these. */
  allCommunities?: string[];
  /** The name of a community set. */
  communitySet?: string;
  largeCommunities?: string[];
  extendedCommunities?: string[];
  /** The peer's name, or a pattern with `*`. */
  peer?: string;
  /** The AS the route was learned from: inclusive ranges. */
  neighborAs?: [low: number, high: number][];
  origin?: PolicyOrigin;
  /** Prefixes the next hop must lie in. */
  nextHop?: string[];
  localPref?: NumberRange;
  med?: NumberRange;
  source?: PolicySource;
  /** 0.0.0.0/0 and ::/0, or everything else. */
  isDefault?: boolean;
}

export type PolicyFamily = 'ipv4' | 'ipv6';
export type PolicyOrigin = 'igp' | 'egp' | 'incomplete';
export type PolicySource = 'local' | 'connected' | 'static' | 'kernel' | 'bgp';

export interface PolicySet {
  localPref?: number;
  /** A number, or `+n` / `-n` added to what is there (0 when absent, kept within 0 and 2^32-1). */
  med?: number | string;
  weight?: number;
  communities?: CommunityChange;
  largeCommunities?: CommunityChange;
  extendedCommunities?: CommunityChange;
  /** `asn` defaults to the local AS. */
  prepend?: { asn?: number; count: number };
  origin?: PolicyOrigin;
  /** `self`, `unchanged`, or an address. */
  nextHop?: string;
}

/** `set` replaces everything, then `remove` (patterns with `*` allowed), then `add`. */
export interface CommunityChange {
  add?: string[];
  remove?: string[];
  set?: string[];
}

/** Policies that exist without being defined; a configuration may not redefine them. */
export const builtInPolicies: readonly string[] = ['accept-all', 'reject-all', 'own-only', 'accept-fabric'];
