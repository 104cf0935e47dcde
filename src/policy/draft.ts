// A policy while it is being compiled: the columns as lists of objects, and the sets that several policies
// share. Also the one way to complain about a key.

import { LeafdError } from '../lib/leafd-error.ts';
import type { AsPathMatcher } from './as-path-matcher.ts';
import type { CommunitySet } from './community-set.ts';
import type { PolicyDefinitions } from './definition.ts';
import type { NamePatterns } from './name-pattern.ts';
import type { PrefixSet, PrefixSetEntry } from './prefix-set.ts';
import type { CommunityEdit, RuleText } from './program.ts';

/** Sets are compiled when a policy first names them, and then shared. */
export interface SetCache {
  readonly definitions: PolicyDefinitions;
  /**
   * A big set named by itself is one table for all policies; `entries` is for lists that hold other items
   * too.
   */
  readonly prefixSets: Map<
    string,
    { entries: readonly PrefixSetEntry[] | undefined; set: PrefixSet | undefined }
  >;
  readonly asPaths: Map<string, readonly AsPathMatcher[]>;
  /** Prefix sets whose entries are being collected: one that turns up again contains itself. */
  readonly openPrefixSets: Set<string>;
}

export interface DraftCondition {
  kind: number;
  arg: number;
  low: number;
  high: number;
  not: boolean;
  text: string;
}

export interface DraftChange {
  kind: number;
  arg: number;
  low: number;
  text: string;
}

/** A place in the rules that is not known yet. */
export interface Label {
  at: number;
}

export interface DraftRule {
  action: number;
  /** Undefined: the rule behind it. */
  next: Label | undefined;
  otherwise: Label | undefined;
  caller: number;
  routeStart: number;
  conditionEnd: number;
  changeEnd: number;
  text: RuleText;
}

export interface PolicyDraft {
  readonly sets: SetCache;
  readonly rules: DraftRule[];
  /** While the conditions of `not` are read. */
  negated: boolean;
  readonly conditions: DraftCondition[];
  readonly changes: DraftChange[];
  readonly prefixSets: PrefixSet[];
  readonly asPaths: (readonly AsPathMatcher[])[];
  readonly communities: CommunitySet[];
  readonly allCommunities: (readonly CommunitySet[])[];
  readonly names: NamePatterns[];
  readonly asnRanges: Uint32Array[];
  readonly distinguishers: Uint32Array[];
  readonly edits: CommunityEdit[];
  readonly addresses: Uint8Array[];
}

export function draftOf(sets: SetCache): PolicyDraft {
  return {
    sets,
    rules: [],
    negated: false,
    conditions: [],
    changes: [],
    prefixSets: [],
    asPaths: [],
    communities: [],
    allCommunities: [],
    names: [],
    asnRanges: [],
    distinguishers: [],
    edits: [],
    addresses: [],
  };
}

/** Refuses the definition; `path` is the key's. */
export function refuse(path: string, reason: string, hint?: string): never {
  throw new LeafdError('policy-invalid', `${path}: ${reason}`, hint === undefined ? {} : { hint });
}

/** Refuses a name that no set of the kind has. */
export function refuseUnknown(path: string, kind: string, name: string, known: readonly string[]): never {
  const hint = known.length === 0 ? `no ${kind} are defined` : `${kind}: ${known.slice(0, 12).join(', ')}`;
  throw new LeafdError('policy-unknown-set', `${path}: there is no ${name} in ${kind}`, { hint });
}

/** One value or several, as a list. */
export function listOf<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

/** Where an item of such a value stands: the key, and the index when it is a list. */
export function itemPath(path: string, value: unknown, index: number): string {
  return Array.isArray(value) ? `${path}[${index}]` : path;
}
