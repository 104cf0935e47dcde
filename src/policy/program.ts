// The compiled form of a policy and the records it works on. A policy is flat: three columns for rules, four
// for conditions, four for changes, and short lists of the sets they point at. One loop over small integers
// runs it (evaluate.ts), without closures and without allocation.
//
// The input record is made once and filled again for each route; so is the output.

import { ByteWriter } from '../lib/bytes.ts';
import type { AsPathMatcher } from './as-path-matcher.ts';
import type { CommunitySet } from './community-set.ts';
import type { RouteSource } from './definition.ts';
import type { NamePatterns } from './name-pattern.ts';
import type { PrefixSet } from './prefix-set.ts';

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

// Changes. `low` is the number, `arg` how it is meant.
export const SET_LOCAL_PREF = 0;
export const SET_MED = 1;
export const REMOVE_MED = 2;
export const SET_WEIGHT = 3;
export const SET_ORIGIN = 4;
export const PREPEND = 5;
export const SET_NEXT_HOP = 6;
export const EDIT_COMMUNITIES = 7;

/** For SET_LOCAL_PREF and SET_MED: the number itself, or a difference to what is there. */
export const ABSOLUTE = 0;
export const RELATIVE = 1;

/** What becomes of the next hop. */
export const NEXT_HOP_DEFAULT = 0;
export const NEXT_HOP_SELF = 1;
export const NEXT_HOP_UNCHANGED = 2;
export const NEXT_HOP_ADDRESS = 3;

/** Where a route comes from, as `input.source`. */
export const sourceCodes: Readonly<Record<RouteSource, number>> = {
  local: 0,
  connected: 1,
  static: 2,
  kernel: 3,
  bgp: 4,
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
  readonly name: string | undefined;
  readonly conditions: readonly string[];
  readonly changes: readonly string[];
}

export interface CompiledPolicy {
  readonly name: string;
  readonly defaultVerdict: Verdict;
  /**
   * What the verdict and changes depend on besides the attributes; where neither, they may be kept by attrId.
   */
  readonly readsPrefix: boolean;
  /** The peer's name or ASN, or the source. */
  readonly readsPeer: boolean;
  readonly readsNextHop: boolean;
  /** Some rule changes attributes, weight or next hop. */
  readonly changes: boolean;
  readonly ruleCount: number;
  /**
   * Per rule: REJECT, ACCEPT or NEXT, and where its conditions and changes end; they begin at the one before.
   */
  readonly action: Uint8Array;
  readonly conditionEnd: Uint32Array;
  readonly changeEnd: Uint32Array;
  readonly condition: Uint8Array;
  readonly conditionArg: Int32Array;
  readonly conditionLow: Float64Array;
  readonly conditionHigh: Float64Array;
  readonly change: Uint8Array;
  readonly changeArg: Int32Array;
  readonly changeLow: Float64Array;
  readonly prefixSets: readonly PrefixSet[];
  readonly asPaths: readonly (readonly AsPathMatcher[])[];
  readonly communities: readonly CommunitySet[];
  readonly names: readonly NamePatterns[];
  /** Pairs of low and high. */
  readonly asnRanges: readonly Uint32Array[];
  readonly edits: readonly CommunityEdit[];
  readonly addresses: readonly Uint8Array[];
  readonly texts: readonly RuleText[];
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
  attrs: Uint8Array;
  start: number;
  end: number;
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
    attrs: nothing,
    start: 0,
    end: 0,
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
    nextHop: NEXT_HOP_DEFAULT,
    nextHopAddress: nothing,
    rule: -1,
    spare: new ByteWriter(512),
    list: new ByteWriter(256),
  };
}
