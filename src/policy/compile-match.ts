// `match:` of a rule to conditions. A rule's conditions are joined by "and"; a list within one is "or" and
// becomes one set. The `all…` keys are "and" again: one condition for each item. Cheap conditions go before
// dear ones, so that most routes leave a rule early; the order does not change the outcome.

import { evpnTypeNames } from '../intent/policy-definition.ts';
import { isPrefixSetName } from '../intent/policy-text.ts';
import { readU32 } from '../lib/bytes.ts';
import { parseAsn } from '../net/asn.ts';
import { parseIp } from '../net/ip.ts';
import { type Prefix, parsePrefix } from '../net/prefix.ts';
import { originNames } from '../wire/bgp/attribute/table.ts';
import { familyByName } from '../wire/bgp/family.ts';
import { type CommunityKind, CommunitySet, extendedKind, largeKind, standardKind } from './community-set.ts';
import {
  asPathMatchers,
  communityPatterns,
  distinguisherPatterns,
  namedEntries,
  prefixSetOf,
  rangeText,
} from './compile-sets.ts';
import type { MatchDefinition, NumberMatch, PrefixItem, PrefixRange } from './definition.ts';
import { itemPath, listOf, type PolicyDraft, refuse, refuseUnknown } from './draft.ts';
import { NamePatterns } from './name-pattern.ts';
import { PrefixSet, type PrefixSetEntry } from './prefix-set.ts';
import {
  IF_ALL_COMMUNITIES,
  IF_AS_PATH,
  IF_AS_PATH_LENGTH,
  IF_COMMUNITY,
  IF_DEFAULT,
  IF_DISTINGUISHER,
  IF_EVPN_TYPE,
  IF_FAMILY,
  IF_LOCAL_PREF,
  IF_MED,
  IF_NEIGHBOR_AS,
  IF_NEXT_HOP,
  IF_ORIGIN,
  IF_PEER,
  IF_PREFIX,
  IF_RPKI,
  IF_SOURCE,
  IF_TAG,
  IF_VNI,
  originStateCodes,
  sourceCodes,
} from './program.ts';

/** Adds the conditions of `match` to the draft; `path` is its key's. */
export function compileMatch(draft: PolicyDraft, match: MatchDefinition, path: string): void {
  compileConditions(draft, match, path);
  if (match.not === undefined) return;
  draft.negated = true;
  compileConditions(draft, match.not, `${path}.not`);
  draft.negated = false;
}

function compileConditions(draft: PolicyDraft, match: Omit<MatchDefinition, 'not'>, path: string): void {
  if (match.source !== undefined) addMask(draft, IF_SOURCE, match.source, `${path}.source`, sourceBit);
  if (match.family !== undefined) addMask(draft, IF_FAMILY, match.family, `${path}.family`, familyBit);
  if (match.isDefault !== undefined) {
    add(draft, IF_DEFAULT, match.isDefault ? 1 : 0, `isDefault: ${match.isDefault}`);
  }
  if (match.peer !== undefined) {
    const sets = draft.sets.definitions.peerSets ?? {};
    const names = listOf<string>(match.peer).flatMap((name) =>
      Object.hasOwn(sets, name) ? sets[name]! : [name],
    );
    const index = draft.names.push(new NamePatterns(names)) - 1;
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
  if (match.rpki !== undefined) addMask(draft, IF_RPKI, match.rpki, `${path}.rpki`, rpkiBit);
  addNumbers(draft, IF_TAG, match.tag, path, 'tag');
  if (match.evpnType !== undefined) addEvpnTypes(draft, match.evpnType, `${path}.evpnType`);
  addNumbers(draft, IF_VNI, match.vni, path, 'vni');
  if (match.routeDistinguisher !== undefined)
    addDistinguishers(draft, match.routeDistinguisher, `${path}.routeDistinguisher`);
}

function add(draft: PolicyDraft, kind: number, arg: number, text: string, low = 0, high = 0): void {
  const { negated } = draft;
  draft.conditions.push({ kind, arg, low, high, not: negated, text: negated ? `not ${text}` : text });
}

/** The text of a value for the explanation; long lists are cut. */
function wordsOf(value: unknown): string {
  const items = listOf(value).map((item) =>
    typeof item === 'object' ? rangeText(item as PrefixRange) : String(item),
  );
  const shown = items.slice(0, 5).join(', ');
  return items.length > 5 ? `${shown} and ${items.length - 5} more` : shown;
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
  const sets = draft.sets.definitions.asnSets ?? {};
  const read = (item: number | string, here: string): void => {
    const [low, high = low] = String(item)
      .split('-')
      .map((part) => parseAsn(part.trim()));
    if (low === undefined || high === undefined || low > high) refuse(here, `${item} is no ASN or range`);
    pairs.push(low, high);
  };
  for (const [index, item] of listOf<number | string>(value).entries()) {
    const here = itemPath(path, value, index);
    if (typeof item === 'number' || !/^[A-Za-z]/.test(item) || parseAsn(item) !== undefined) read(item, here);
    else if (!Object.hasOwn(sets, item)) refuseUnknown(here, 'policies.asnSets', item, Object.keys(sets));
    else for (const member of sets[item]!) read(member, here);
  }
  add(
    draft,
    IF_NEIGHBOR_AS,
    draft.asnRanges.push(Uint32Array.from(pairs)) - 1,
    `neighborAs: ${wordsOf(value)}`,
  );
}

function addPrefixes(draft: PolicyDraft, value: string | readonly PrefixItem[], path: string): void {
  const set = prefixSetOf(draft, value, path);
  add(draft, IF_PREFIX, draft.prefixSets.push(set) - 1, `prefixes: ${wordsOf(value)}`);
}

function addNextHop(draft: PolicyDraft, value: string | readonly string[], path: string): void {
  const holding = (prefix: Prefix): PrefixSetEntry => {
    const host = prefix.bytes.length * 8;
    return { prefix, from: host, to: host };
  };
  const entries = listOf<string>(value).flatMap((text, index) => {
    const here = itemPath(path, value, index);
    if (isPrefixSetName(text)) return namedEntries(draft, text, here).map(({ prefix }) => holding(prefix));
    const address = parseIp(text);
    const prefix: Prefix | undefined =
      address === undefined ? parsePrefix(text) : { bytes: address, length: address.length * 8 };
    if (prefix === undefined) refuse(here, `${text} is no address or prefix`);
    return [holding(prefix)];
  });
  add(draft, IF_NEXT_HOP, draft.prefixSets.push(new PrefixSet(entries)) - 1, `nextHop: ${wordsOf(value)}`);
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
  const index = draft.communities.push(new CommunitySet(kind, patterns)) - 1;
  add(draft, IF_COMMUNITY, index, `${key}: ${wordsOf(value)}`);
}

function addAll(
  draft: PolicyDraft,
  kind: CommunityKind,
  value: string | readonly string[] | undefined,
  path: string,
  key: string,
): void {
  if (value === undefined) return;
  const sets = listOf<string>(value).map(
    (text, index) =>
      new CommunitySet(kind, communityPatterns(draft, kind, text, itemPath(`${path}.${key}`, value, index))),
  );
  const text = `${key}: ${wordsOf(value)}`;
  // One that must be there is the same as any of one, which can be looked up.
  if (sets.length === 1) add(draft, IF_COMMUNITY, draft.communities.push(sets[0]!) - 1, text);
  else add(draft, IF_ALL_COMMUNITIES, draft.allCommunities.push(sets) - 1, text);
}

function addAsPath(draft: PolicyDraft, value: string | readonly string[], path: string): void {
  const matchers = asPathMatchers(draft, value, path);
  add(draft, IF_AS_PATH, draft.asPaths.push(matchers) - 1, `asPath: ${wordsOf(value)}`);
}

const rpkiBit: BitOf = (word, path) => {
  const code = originStateCodes[word as keyof typeof originStateCodes];
  return code ?? refuse(path, `${word} is no state`, `states: ${Object.keys(originStateCodes).join(', ')}`);
};

function addEvpnTypes(
  draft: PolicyDraft,
  value: NonNullable<MatchDefinition['evpnType']>,
  path: string,
): void {
  const pairs: number[] = [];
  for (const [index, item] of listOf<string | number>(value).entries()) {
    const type = typeof item === 'number' ? item : 1 + (evpnTypeNames as readonly string[]).indexOf(item);
    if (!Number.isInteger(type) || type < 1 || type > 255)
      refuse(itemPath(path, value, index), `${item} is no EVPN route type`, evpnTypeNames.join(', '));
    pairs.push(type, type);
  }
  const index = draft.asnRanges.push(Uint32Array.from(pairs)) - 1;
  add(draft, IF_EVPN_TYPE, index, `evpnType: ${wordsOf(value)}`);
}

function addDistinguishers(draft: PolicyDraft, value: string | readonly string[], path: string): void {
  const words: number[] = [];
  for (const [index, text] of listOf<string>(value).entries()) {
    const patterns = distinguisherPatterns(text);
    if (patterns.length === 0) refuse(itemPath(path, value, index), `${text} is no route distinguisher`);
    for (const { value: bytes, mask } of patterns)
      words.push(readU32(bytes, 0), readU32(bytes, 4), readU32(mask, 0), readU32(mask, 4));
  }
  const index = draft.distinguishers.push(Uint32Array.from(words)) - 1;
  add(draft, IF_DISTINGUISHER, index, `routeDistinguisher: ${wordsOf(value)}`);
}
