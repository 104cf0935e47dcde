// `match:` of a rule to conditions. A rule's conditions are joined by "and"; a list within one is "or" and
// becomes one set. The `all…` keys are "and" again: one condition for each item. Cheap conditions go before
// dear ones, so that most routes leave a rule early; the order does not change the outcome.

import { parseAsn } from '../net/asn.ts';
import { parseIp } from '../net/ip.ts';
import { type Prefix, parsePrefix } from '../net/prefix.ts';
import { originNames } from '../wire/bgp/attribute/table.ts';
import { familyByName } from '../wire/bgp/family.ts';
import { AsPathMatcher } from './as-path-matcher.ts';
import { parseAsPathPattern } from './as-path-pattern.ts';
import {
  type CommunityKind,
  type CommunityPattern,
  CommunitySet,
  extendedKind,
  largeKind,
  parseCommunityPattern,
  standardKind,
} from './community-set.ts';
import type { MatchDefinition, NumberMatch, PrefixItem, PrefixRange } from './definition.ts';
import { itemPath, listOf, type PolicyDraft, refuse, refuseUnknown } from './draft.ts';
import { NamePatterns } from './name-pattern.ts';
import { PrefixSet, type PrefixSetEntry } from './prefix-set.ts';
import {
  IF_AS_PATH,
  IF_AS_PATH_LENGTH,
  IF_COMMUNITY,
  IF_DEFAULT,
  IF_FAMILY,
  IF_LOCAL_PREF,
  IF_MED,
  IF_NEIGHBOR_AS,
  IF_NEXT_HOP,
  IF_ORIGIN,
  IF_PEER,
  IF_PREFIX,
  IF_SOURCE,
  sourceCodes,
} from './program.ts';

/** Adds the conditions of `match` to the draft; `path` is its key's. */
export function compileMatch(draft: PolicyDraft, match: MatchDefinition, path: string): void {
  if (match.source !== undefined) addMask(draft, IF_SOURCE, match.source, `${path}.source`, sourceBit);
  if (match.family !== undefined) addMask(draft, IF_FAMILY, match.family, `${path}.family`, familyBit);
  if (match.isDefault !== undefined) {
    add(draft, IF_DEFAULT, match.isDefault ? 1 : 0, `isDefault: ${match.isDefault}`);
  }
  if (match.peer !== undefined) {
    const index = draft.names.push(new NamePatterns(listOf(match.peer))) - 1;
    add(draft, IF_PEER, index, `peer: ${wordsOf(match.peer)}`);
  }
  if (match.neighborAs !== undefined) addNeighborAs(draft, match.neighborAs, `${path}.neighborAs`);
  if (match.prefixes !== undefined) addPrefixes(draft, match.prefixes, `${path}.prefixes`);
  if (match.nextHop !== undefined) addNextHop(draft, match.nextHop, `${path}.nextHop`);
  if (match.origin !== undefined) addMask(draft, IF_ORIGIN, match.origin, `${path}.origin`, originBit);
  addNumbers(draft, IF_LOCAL_PREF, match.localPref, path, 'localPref');
  addNumbers(draft, IF_MED, match.med, path, 'med');
  addNumbers(draft, IF_AS_PATH_LENGTH, match.asPathLength, path, 'asPathLength');
  addAny(draft, standardKind, match.communities, path, 'communities');
  addAll(draft, standardKind, match.allCommunities, path, 'allCommunities');
  addAny(draft, largeKind, match.largeCommunities, path, 'largeCommunities');
  addAll(draft, largeKind, match.allLargeCommunities, path, 'allLargeCommunities');
  addAny(draft, extendedKind, match.extendedCommunities, path, 'extendedCommunities');
  addAll(draft, extendedKind, match.allExtendedCommunities, path, 'allExtendedCommunities');
  if (match.asPath !== undefined) addAsPath(draft, match.asPath, `${path}.asPath`);
}

function add(draft: PolicyDraft, kind: number, arg: number, text: string, low = 0, high = 0): void {
  draft.conditions.push({ kind, arg, low, high, text });
}

/** The text of a value for the explanation; long lists are cut. */
function wordsOf(value: unknown): string {
  const items = listOf(value).map((item) =>
    typeof item === 'object' ? rangeText(item as PrefixRange) : String(item),
  );
  const shown = items.slice(0, 5).join(', ');
  return items.length > 5 ? `${shown} and ${items.length - 5} more` : shown;
}

function rangeText({ prefix, ge, le }: PrefixRange): string {
  return prefix + (ge === undefined ? '' : ` ge ${ge}`) + (le === undefined ? '' : ` le ${le}`);
}

type BitOf = (word: string, path: string) => number;

function addMask(
  draft: PolicyDraft,
  kind: number,
  value: string | readonly string[],
  path: string,
  bitOf: BitOf,
): void {
  let mask = 0;
  for (const [index, word] of listOf(value).entries()) mask |= 1 << bitOf(word, itemPath(path, value, index));
  add(draft, kind, mask, `${path.slice(path.lastIndexOf('.') + 1)}: ${wordsOf(value)}`);
}

const sourceBit: BitOf = (word, path) => {
  const code = sourceCodes[word as keyof typeof sourceCodes];
  return code ?? refuse(path, `${word} is no source`, `sources: ${Object.keys(sourceCodes).join(', ')}`);
};

const familyBit: BitOf = (word, path) => {
  const id = familyByName(word);
  return id >= 0 ? id : refuse(path, `${word} is no family`);
};

const originBit: BitOf = (word, path) => {
  const code = (originNames as readonly string[]).indexOf(word);
  return code >= 0 ? code : refuse(path, `${word} is no origin`, `origins: ${originNames.join(', ')}`);
};

function addNumbers(
  draft: PolicyDraft,
  kind: number,
  value: NumberMatch | undefined,
  path: string,
  key: string,
): void {
  if (value === undefined) return;
  const low = typeof value === 'number' ? value : (value.min ?? 0);
  const high = typeof value === 'number' ? value : (value.max ?? 0xffffffff);
  if (!(low >= 0 && low <= high && high <= 0xffffffff)) refuse(`${path}.${key}`, 'is no range of numbers');
  const text = low === high ? String(low) : `${low} to ${high === 0xffffffff ? 'any' : high}`;
  add(draft, kind, 0, `${key}: ${text}`, low, high);
}

function addNeighborAs(
  draft: PolicyDraft,
  value: NonNullable<MatchDefinition['neighborAs']>,
  path: string,
): void {
  const pairs: number[] = [];
  for (const [index, item] of listOf<number | string>(value).entries()) {
    const [low, high = low] = String(item)
      .split('-')
      .map((part) => parseAsn(part.trim()));
    if (low === undefined || high === undefined || low > high) {
      refuse(itemPath(path, value, index), `${item} is no ASN or range`);
    }
    pairs.push(low, high);
  }
  add(
    draft,
    IF_NEIGHBOR_AS,
    draft.asnRanges.push(Uint32Array.from(pairs)) - 1,
    `neighborAs: ${wordsOf(value)}`,
  );
}

function addPrefixes(draft: PolicyDraft, value: string | readonly PrefixItem[], path: string): void {
  const items = listOf<PrefixItem>(value);
  const only = items.length === 1 && isSetName(items[0]!) ? items[0] : undefined;
  const set =
    only === undefined ? new PrefixSet(prefixEntries(draft, value, path)) : sharedSet(draft, only, path);
  add(draft, IF_PREFIX, draft.prefixSets.push(set) - 1, `prefixes: ${wordsOf(value)}`);
}

function isSetName(item: PrefixItem): item is string {
  return typeof item === 'string' && !/[/:]/.test(item) && parseIp(item) === undefined;
}

function prefixEntries(
  draft: PolicyDraft,
  value: string | readonly PrefixItem[],
  path: string,
): PrefixSetEntry[] {
  const entries: PrefixSetEntry[] = [];
  for (const [index, item] of listOf<PrefixItem>(value).entries()) {
    const here = itemPath(path, value, index);
    if (!isSetName(item)) entries.push(prefixEntry(item, here));
    // Not a spread: a set may have more entries than a call may have arguments.
    else for (const entry of namedEntries(draft, item, here)) entries.push(entry);
  }
  return entries;
}

function prefixEntry(item: PrefixItem, path: string): PrefixSetEntry {
  const range: PrefixRange = typeof item === 'string' ? { prefix: item } : item;
  const prefix = parsePrefix(range.prefix, { strict: true });
  if (prefix === undefined) refuse(path, `${range.prefix} is no prefix, or has bits beyond its length`);
  const longest = prefix.bytes.length * 8;
  const from = range.ge ?? prefix.length;
  const to = range.le ?? (range.ge === undefined ? prefix.length : longest);
  if (from < prefix.length || to < from || to > longest) {
    refuse(path, `${rangeText(range)}: wants ${prefix.length} <= ge <= le <= ${longest}`);
  }
  return { prefix, from, to };
}

/** The entries of a named set, with those of the sets it names. */
function namedEntries(draft: PolicyDraft, name: string, path: string): readonly PrefixSetEntry[] {
  const { definitions, prefixSets } = draft.sets;
  const cached = prefixSets.get(name);
  if (cached !== undefined) return cached.entries;
  const items = Object.hasOwn(definitions.prefixSets ?? {}, name)
    ? definitions.prefixSets?.[name]
    : undefined;
  if (items === undefined) {
    refuseUnknown(path, 'policies.prefixSets', name, Object.keys(definitions.prefixSets ?? {}));
  }
  const open = draft.sets.openPrefixSets;
  if (open.has(name)) refuse(path, `makes the set ${name} contain itself`);
  open.add(name);
  const entries = prefixEntries(draft, items, `policies.prefixSets.${name}`);
  open.delete(name);
  prefixSets.set(name, { entries, set: undefined });
  return entries;
}

function sharedSet(draft: PolicyDraft, name: string, path: string): PrefixSet {
  const entries = namedEntries(draft, name, path);
  const cached = draft.sets.prefixSets.get(name)!;
  cached.set ??= new PrefixSet(entries);
  return cached.set;
}

function addNextHop(draft: PolicyDraft, value: string | readonly string[], path: string): void {
  const entries = listOf<string>(value).map((text, index) => {
    const address = parseIp(text);
    const prefix: Prefix | undefined =
      address === undefined ? parsePrefix(text) : { bytes: address, length: address.length * 8 };
    if (prefix === undefined) refuse(itemPath(path, value, index), `${text} is no address or prefix`);
    const host = prefix.bytes.length * 8;
    return { prefix, from: host, to: host };
  });
  add(draft, IF_NEXT_HOP, draft.prefixSets.push(new PrefixSet(entries)) - 1, `nextHop: ${wordsOf(value)}`);
}

/** The patterns of one text: a community, one with wildcards, or all of a named set. */
export function communityPatterns(
  draft: PolicyDraft,
  kind: CommunityKind,
  text: string,
  path: string,
): readonly CommunityPattern[] {
  const patterns = parseCommunityPattern(kind, text);
  if (patterns !== undefined) return patterns;
  if (text.includes(':')) refuse(path, `${text} is no community`, `such as ${kind.example}`);
  const sets = draft.sets.definitions[kind.sets] ?? {};
  if (!Object.hasOwn(sets, text)) refuseUnknown(path, `policies.${kind.sets}`, text, Object.keys(sets));
  return sets[text]!.flatMap((item, index) => {
    const here = `policies.${kind.sets}.${text}[${index}]`;
    return (
      parseCommunityPattern(kind, item) ?? refuse(here, `${item} is no community`, `such as ${kind.example}`)
    );
  });
}

function addAny(
  draft: PolicyDraft,
  kind: CommunityKind,
  value: string | readonly string[] | undefined,
  path: string,
  key: string,
): void {
  if (value === undefined) return;
  const patterns = listOf<string>(value).flatMap((text, index) =>
    communityPatterns(draft, kind, text, itemPath(`${path}.${key}`, value, index)),
  );
  addCommunity(draft, new CommunitySet(kind, patterns), `${key}: ${wordsOf(value)}`);
}

function addAll(
  draft: PolicyDraft,
  kind: CommunityKind,
  value: string | readonly string[] | undefined,
  path: string,
  key: string,
): void {
  if (value === undefined) return;
  for (const [index, text] of listOf<string>(value).entries()) {
    const patterns = communityPatterns(draft, kind, text, itemPath(`${path}.${key}`, value, index));
    addCommunity(draft, new CommunitySet(kind, patterns), `${key}: ${text}`);
  }
}

function addCommunity(draft: PolicyDraft, set: CommunitySet, text: string): void {
  add(draft, IF_COMMUNITY, draft.communities.push(set) - 1, text);
}

function addAsPath(draft: PolicyDraft, value: string | readonly string[], path: string): void {
  const matchers: AsPathMatcher[] = [];
  for (const [index, text] of listOf<string>(value).entries()) {
    const here = itemPath(path, value, index);
    if (/^[A-Za-z]/.test(text)) matchers.push(...namedAsPaths(draft, text, here));
    else matchers.push(asPathMatcher(text, here));
  }
  add(draft, IF_AS_PATH, draft.asPaths.push(matchers) - 1, `asPath: ${wordsOf(value)}`);
}

function asPathMatcher(text: string, path: string): AsPathMatcher {
  const node = parseAsPathPattern(text);
  if ('reason' in node) refuse(path, `${text}: ${node.reason}, at character ${node.at + 1}`);
  return new AsPathMatcher(node);
}

function namedAsPaths(draft: PolicyDraft, name: string, path: string): readonly AsPathMatcher[] {
  const { definitions, asPaths } = draft.sets;
  const cached = asPaths.get(name);
  if (cached !== undefined) return cached;
  const sets = definitions.asPathSets ?? {};
  if (!Object.hasOwn(sets, name)) refuseUnknown(path, 'policies.asPathSets', name, Object.keys(sets));
  const matchers = sets[name]!.map((text, i) => asPathMatcher(text, `policies.asPathSets.${name}[${i}]`));
  asPaths.set(name, matchers);
  return matchers;
}
