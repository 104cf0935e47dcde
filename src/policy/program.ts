// The compiled form of a policy and the records it works on. A policy is flat: columns for rules, for conditions and
// for changes, and short lists of the sets they point at. One loop over small integers runs it (evaluate.ts),
// without closures and without allocation. Rules of called policies stand behind the rule that calls, which a
// failed match jumps over: all jumps go forward.
//
// The input record is made once and filled again for each route; so is the output.

import { ByteWriter } from '../lib/bytes.ts';
import type { AsPathMatcher } from './as-path-matcher.ts';
import type { CommunitySet } from './community-set.ts';
import type { OriginState, RouteSource } from './definition.ts';
import type { NamePatterns } from './name-pattern.ts';
import type { PrefixSet } from './prefix-set.ts';
import type { RuleIndex } from './rule-index.ts';

export type Verdict = 0 | 1;
export const REJECT = 0;
export const ACCEPT = 1;

/** LOCAL_PREF of a route that has none (RFC 4271 9.1.1 leaves it to us). */
export const DEFAULT_LOCAL_PREF = 100;

/** What a rule does when its conditions hold; the first two are verdicts. */
export const NEXT = 2;

// Conditions. `arg` is a mask, a flag or the index of a set; LOW and HIGH bound numbers.
export const IF_FAMILY = 0;
export const IF_PREFIX = 1;
export const IF_DEFAULT = 2;
export const IF_AS_PATH = 3;
export const IF_AS_PATH_LENGTH = 4;
export const IF_COMMUNITY = 5;
export const IF_PEER = 6;
export const IF_NEIGHBOR_AS = 7;
export const IF_ORIGIN = 8;
export const IF_NEXT_HOP = 9;
export const IF_LOCAL_PREF = 10;
export const IF_MED = 11;
export const IF_SOURCE = 12;
export const IF_ALL_COMMUNITIES = 13;
// From here on: what differs between routes of the same attributes, peer and family.
export const IF_RPKI = 14;
export const IF_TAG = 15;
export const IF_EVPN_TYPE = 16;
export const IF_VNI = 17;
export const IF_DISTINGUISHER = 18;

/** Conditions that routes of the same attributes, peer and family answer differently. */
export const routeConditions: readonly number[] = [
  IF_PREFIX,
  IF_DEFAULT,
  IF_NEXT_HOP,
  IF_RPKI,
  IF_TAG,
  IF_EVPN_TYPE,
  IF_VNI,
  IF_DISTINGUISHER,
];

// Changes. `low` is the number, `arg` how it is meant.
export const SET_LOCAL_PREF = 0;
export const SET_MED = 1;
export const REMOVE_MED = 2;
export const SET_WEIGHT = 3;
export const SET_ORIGIN = 4;
export const PREPEND = 5;
export const SET_NEXT_HOP = 6;
export const EDIT_COMMUNITIES = 7;
/** Puts the AS that stands first in front again, `arg` times. */
export const PREPEND_FIRST = 8;
export const SET_TAG = 9;

/** For SET_LOCAL_PREF and SET_MED: the number itself, a difference to what is there, the metric to the next hop. */
export const ABSOLUTE = 0;
export const RELATIVE = 1;
export const IGP_METRIC = 2;

/** What becomes of the next hop. */
export const NEXT_HOP_DEFAULT = 0;
export const NEXT_HOP_SELF = 1;
export const NEXT_HOP_UNCHANGED = 2;
export const NEXT_HOP_ADDRESS = 3;

/** State of origin validation, as `input.rpki`. */
export const originStateCodes: Readonly<Record<OriginState, number>> = { notFound: 0, valid: 1, invalid: 2 };

/** Where a route comes from, as `input.source`. */
export const sourceCodes: Readonly<Record<RouteSource, number>> = {
  local: 0,
  connected: 1,
  static: 2,
  kernel: 3,
  bgp: 4,
  guest: 5,
};

/** An edit of a list attribute; items lie one behind the other. */
export interface CommunityEdit {
  readonly attribute: number;
  readonly width: number;
  /** Start from an empty list instead of the present one. */
  readonly replace: boolean;
  readonly remove: CommunitySet | undefined;
  readonly add: Uint8Array;
}

/** A rule for people: name, and a text for each condition and change in the order of the columns. */
export interface RuleText {
  /** The policy that the rule stands in: a called one, or one of a chain, has another name than the whole. */
  readonly policy: string;
  /** Where it stands there, from 0; -1 for the default of a called policy. */
  readonly index: number;
  readonly name: string | undefined;
  readonly conditions: readonly string[];
  readonly changes: readonly string[];
}

export interface CompiledPolicy {
  readonly name: string;
  readonly defaultVerdict: Verdict;
  /**
   * What the verdict and changes depend on besides the attributes; where none, they may be kept by attrId.
   * The prefix, or more of the NLRI, or what belongs to the single route: origin validation, tag.
   */
  readonly readsPrefix: boolean;
  /** The peer's name or ASN, or the source. */
  readonly readsPeer: boolean;
  /** The next hop, or the metric to it. */
  readonly readsNextHop: boolean;
  /** Of what is in `readsPrefix`: the state of origin validation, the tag, the key of an opaque family. */
  readonly readsRpki: boolean;
  readonly readsTag: boolean;
  readonly readsNlri: boolean;
  /** Some rule changes attributes, weight or next hop. */
  readonly changes: boolean;
  readonly ruleCount: number;
  /**
   * Per rule: REJECT, ACCEPT or NEXT; the rule after a match with NEXT, and the one after a failed match; and where its
   * conditions and changes end, which begin at the one before. Conditions on the route itself begin at `routeStart`.
   */
  readonly action: Uint8Array;
  readonly next: Uint32Array;
  readonly otherwise: Uint32Array;
  readonly routeStart: Uint32Array;
  readonly conditionEnd: Uint32Array;
  readonly changeEnd: Uint32Array;
  /** The rule that calls the policy in which this one stands, -1 for none. */
  readonly caller: Int32Array;
  readonly condition: Uint8Array;
  /** 1: the condition must not hold. */
  readonly conditionNot: Uint8Array;
  readonly conditionArg: Int32Array;
  readonly conditionLow: Float64Array;
  readonly conditionHigh: Float64Array;
  readonly change: Uint8Array;
  readonly changeArg: Int32Array;
  readonly changeLow: Float64Array;
  readonly prefixSets: readonly PrefixSet[];
  readonly asPaths: readonly (readonly AsPathMatcher[])[];
  readonly communities: readonly CommunitySet[];
  /** Each of a list must match. */
  readonly allCommunities: readonly (readonly CommunitySet[])[];
  readonly names: readonly NamePatterns[];
  /** Pairs of low and high. */
  readonly asnRanges: readonly Uint32Array[];
  /** Route distinguishers: two words of value, two of mask, each. */
  readonly distinguishers: readonly Uint32Array[];
  readonly edits: readonly CommunityEdit[];
  readonly addresses: readonly Uint8Array[];
  readonly texts: readonly RuleText[];
  /** Which rules can matter for a route; absent where a walk through all of them is as fast. */
  readonly index: RuleIndex | undefined;
}

/**
 * A route as a policy sees it. Filled anew for each; `attrs` is canonical (wire/bgp/attribute/canonical.ts).
 */
export interface PolicyInput {
  /** Family id. */
  family: number;
  /** Prefix as 32-bit words, most significant first; IPv4 has one. */
  a: number;
  b: number;
  c: number;
  d: number;
  /** Bits. */
  length: number;
  /** Of families that are not plain prefixes: words of the prefix or address within the NLRI; 0 where it has none. */
  prefixWords: 0 | 1 | 4;
  /** EVPN route type, -1 for other families. */
  evpnType: number;
  /** -1 where the route has none. */
  vni: number;
  /** The eight bytes of a route distinguisher, where `hasDistinguisher`. */
  hasDistinguisher: boolean;
  distinguisherHigh: number;
  distinguisherLow: number;
  /** One of `originStateCodes`. */
  rpki: number;
  tag: number;
  /** To the next hop. */
  igpMetric: number;
  attrs: Uint8Array;
  start: number;
  end: number;
  /**
   * Equal keys promise equal attributes; 0 promises nothing. Taken back by every evaluation, so that no key outlives
   * the attributes it was given for.
   */
  attrsKey: number;
  /** The peer the route was received from, on export too; '' and 0 for a route of our own. */
  peerName: string;
  peerAsn: number;
  /** One of `sourceCodes`. */
  source: number;
  /** Our ASN towards the peer: what `prepend` puts in by default. */
  localAsn: number;
  /** 4 or 16 bytes at `nextHopStart`; length 0 when it is not known. */
  nextHop: Uint8Array;
  nextHopStart: number;
  nextHopLength: number;
}

/** What a policy decided. Valid until the next evaluation with the same record. */
export interface PolicyOutput {
  /** Whether `attrs` holds other attributes than the input; without, it is stale. */
  attrsChanged: boolean;
  /** Canonical attributes in bytes [0, length). */
  attrs: ByteWriter;
  /** -1: not set. */
  weight: number;
  /** -1: not set. */
  tag: number;
  /** NEXT_HOP_DEFAULT, …SELF, …UNCHANGED or …ADDRESS with 4 or 16 bytes in `nextHopAddress`. */
  nextHop: number;
  nextHopAddress: Uint8Array;
  /** The rule that decided, or -1 for the policy's default. */
  rule: number;
  /** Room for the step after next, and for lists. Nothing to read here. */
  spare: ByteWriter;
  list: ByteWriter;
}

const nothing = new Uint8Array(0);

/** An input record with a default route of our own in it. */
export function newPolicyInput(): PolicyInput {
  return {
    family: 0,
    a: 0,
    b: 0,
    c: 0,
    d: 0,
    length: 0,
    prefixWords: 0,
    evpnType: -1,
    vni: -1,
    hasDistinguisher: false,
    distinguisherHigh: 0,
    distinguisherLow: 0,
    rpki: originStateCodes.notFound,
    tag: 0,
    igpMetric: 0,
    attrs: nothing,
    start: 0,
    end: 0,
    attrsKey: 0,
    peerName: '',
    peerAsn: 0,
    source: sourceCodes.local,
    localAsn: 0,
    nextHop: nothing,
    nextHopStart: 0,
    nextHopLength: 0,
  };
}

/** An output record. */
export function newPolicyOutput(): PolicyOutput {
  return {
    attrsChanged: false,
    attrs: new ByteWriter(512),
    weight: -1,
    tag: -1,
    nextHop: NEXT_HOP_DEFAULT,
    nextHopAddress: nothing,
    rule: -1,
    spare: new ByteWriter(512),
    list: new ByteWriter(256),
  };
}
