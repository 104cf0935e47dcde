// The sets that conditions and changes name: prefix sets with those they contain, community patterns, AS path
// patterns, route distinguishers. Sets are compiled when a policy first names them, and then shared.

import { isPrefixSetName, parsePrefixRange } from '../intent/policy-text.ts';
import { parsePrefix } from '../net/prefix.ts';
import { parseRouteDistinguisher } from '../net/route-distinguisher.ts';
import { AsPathMatcher } from './as-path-matcher.ts';
import { parseAsPathPattern } from './as-path-pattern.ts';
import { type CommunityKind, type CommunityPattern, parseCommunityPattern } from './community-set.ts';
import type { PrefixItem, PrefixRange } from './definition.ts';
import { itemPath, listOf, type PolicyDraft, refuse, refuseUnknown } from './draft.ts';
import { PrefixSet, type PrefixSetEntry } from './prefix-set.ts';

/** `10.0.0.0/8 ge 16 le 24`. */
export function rangeText({ prefix, ge, le }: PrefixRange): string {
  return prefix + (ge === undefined ? '' : ` ge ${ge}`) + (le === undefined ? '' : ` le ${le}`);
}

/** The set of a condition; a single name is one set for all who name it. */
export function prefixSetOf(
  draft: PolicyDraft,
  value: string | readonly PrefixItem[],
  path: string,
): PrefixSet {
  const items = listOf<PrefixItem>(value);
  const only = items.length === 1 ? items[0] : undefined;
  if (typeof only !== 'string' || !isPrefixSetName(only))
    return new PrefixSet(prefixEntries(draft, value, path));
  const cached = draft.sets.prefixSets.get(only);
  if (cached?.set !== undefined) return cached.set;
  const set = new PrefixSet(namedEntries(draft, only, itemPath(path, value, 0)));
  draft.sets.prefixSets.get(only)!.set = set;
  return set;
}

function prefixEntries(
  draft: PolicyDraft,
  value: string | readonly PrefixItem[],
  path: string,
): PrefixSetEntry[] {
  const entries: PrefixSetEntry[] = [];
  for (const [index, item] of listOf<PrefixItem>(value).entries()) {
    const here = itemPath(path, value, index);
    if (typeof item !== 'string') entries.push(prefixEntry(item, here));
    else if (!isPrefixSetName(item))
      entries.push(prefixEntry(parsePrefixRange(item) ?? { prefix: item }, here));
    // Not a spread: a set may have more entries than a call may have arguments.
    else for (const entry of namedEntries(draft, item, here)) entries.push(entry);
  }
  return entries;
}

function prefixEntry(range: PrefixRange, path: string): PrefixSetEntry {
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
export function namedEntries(draft: PolicyDraft, name: string, path: string): readonly PrefixSetEntry[] {
  const { definitions, prefixSets } = draft.sets;
  const cached = prefixSets.get(name);
  if (cached?.entries !== undefined) return cached.entries;
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
  prefixSets.set(name, { entries, set: cached?.set });
  return entries;
}

/** The patterns of one text: a community, one with wildcards, an expression, or all of a named set. */
export function communityPatterns(
  draft: PolicyDraft,
  kind: CommunityKind,
  text: string,
  path: string,
): readonly CommunityPattern[] {
  const patterns = parseCommunityPattern(kind, text);
  if (patterns !== undefined) return patterns;
  if (/^\/|:/.test(text)) refuse(path, `${text} is no community`, `such as ${kind.example}`);
  const sets = draft.sets.definitions[kind.sets] ?? {};
  if (!Object.hasOwn(sets, text)) refuseUnknown(path, `policies.${kind.sets}`, text, Object.keys(sets));
  return sets[text]!.flatMap((item, index) => {
    const here = `policies.${kind.sets}.${text}[${index}]`;
    return (
      parseCommunityPattern(kind, item) ?? refuse(here, `${item} is no community`, `such as ${kind.example}`)
    );
  });
}

/** The matchers of patterns and of named sets of them; any of them may match. */
export function asPathMatchers(
  draft: PolicyDraft,
  value: string | readonly string[],
  path: string,
): readonly AsPathMatcher[] {
  const matchers: AsPathMatcher[] = [];
  for (const [index, text] of listOf<string>(value).entries()) {
    const here = itemPath(path, value, index);
    if (/^[A-Za-z]/.test(text)) matchers.push(...namedAsPaths(draft, text, here));
    else matchers.push(asPathMatcher(text, here));
  }
  return matchers;
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

/** What a route distinguisher must have where the mask's bits are set; a `*` may stand for several forms. */
export function distinguisherPatterns(text: string): { value: Uint8Array; mask: Uint8Array }[] {
  const exact = parseRouteDistinguisher(text);
  if (exact !== undefined) return [{ value: exact, mask: new Uint8Array(8).fill(255) }];
  const [administrator, number, more] = text.split(':');
  if (number === undefined || more !== undefined || !text.includes('*')) return [];
  // A sample administrator for each type (RFC 4364 section 4.2): it says where the number begins.
  const samples = administrator === '*' ? ['0', '0.0.0.0', '65536'] : [administrator!];
  return samples.flatMap((sample) => {
    const value = parseRouteDistinguisher(`${sample}:${number === '*' ? '0' : number}`);
    if (value === undefined) return [];
    const numberAt = value[1] === 0 ? 4 : 6;
    const mask = new Uint8Array(8).fill(255, 0, 2);
    if (administrator !== '*') mask.fill(255, 2, numberAt);
    if (number !== '*') mask.fill(255, numberAt);
    return [{ value: value.map((byte, i) => byte & mask[i]!), mask }];
  });
}
