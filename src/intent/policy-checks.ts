// References inside and to `policies:`: sets, policies and built-in names. The grammar of AS path patterns belongs to
// the policy room, which is of a higher tier: its judge is passed in where there is one.

import { parseAsn } from '../net/asn.ts';
import { parseCommunity, parseExtendedCommunity, parseLargeCommunity } from '../net/community.ts';
import { unknownName } from './merged.ts';
import {
  builtInPolicies,
  type MatchDefinition,
  type PolicyDefinitions,
  type RuleDefinition,
} from './policy-definition.ts';
import { isPrefixSetName } from './policy-text.ts';
import { asnOf } from './scalars.ts';
import type { Config } from './schema.ts';
import type { FamilyConfig, GroupConfig } from './schema-peer.ts';
import { type PoliciesConfig, type PolicyConfig, setKinds } from './schema-policy.ts';
import type { Path, Problem } from './tree.ts';

/** Says what is wrong with an AS path pattern, or nothing. */
export type AsPathJudge = (pattern: string) => string | undefined;

/** The definitions in the shape of the seams: sets beside, policies under their own key. */
export function resolvePolicies(config: PoliciesConfig | undefined): PolicyDefinitions {
  const definitions: PolicyDefinitions = { policies: {} };
  if (config === undefined) return definitions;
  for (const kind of setKinds) if (config[kind] !== undefined) definitions[kind] = config[kind] as never;
  definitions.policies = Object.fromEntries(
    policyNames(config).map((name) => [
      name,
      { ...config[name]!, rules: config[name]!.rules.map(resolveRule) },
    ]),
  );
  return definitions;
}

function policyNames(config: PoliciesConfig): string[] {
  return Object.keys(config).filter((key) => !(setKinds as readonly string[]).includes(key));
}

function resolveRule(rule: PolicyConfig['rules'][number]): RuleDefinition {
  const { set, match, ...rest } = rule;
  const resolved: RuleDefinition = rest;
  if (match !== undefined) {
    const { not, ...conditions } = match;
    resolved.match = withPrefixList(conditions);
    if (not !== undefined) resolved.match.not = withPrefixList(not);
  }
  if (set === undefined) return resolved;
  const { prepend, ...changes } = set;
  resolved.set = { ...changes, localPref: signed(set.localPref), med: signed(set.med) };
  if (prepend !== undefined) resolved.set.prepend = { ...prepend, asn: optionalAsn(prepend.asn) };
  return resolved;
}

type Conditions = NonNullable<NonNullable<PolicyConfig['rules'][number]['match']>['not']>;

/** One prefix and a list of one are the same, also for those who compare two configurations. */
function withPrefixList({ prefixes, ...others }: Conditions): Omit<MatchDefinition, 'not'> {
  return prefixes === undefined
    ? others
    : { ...others, prefixes: Array.isArray(prefixes) ? prefixes : [prefixes] };
}

const optionalAsn = (asn: string | number | undefined) => (asn === undefined ? undefined : asnOf(asn));

/** YAML reads -10 as a number; as a value it is impossible, so it is the change -10. */
const signed = (value: string | number | undefined) =>
  typeof value === 'number' && value < 0 ? String(value) : value;

/** Every reference of a configuration to a policy or a set that does not exist, and what else is off between them. */
export function checkPolicies(config: Config, judgeAsPath: AsPathJudge): Problem[] {
  const problems: Problem[] = [];
  const policies = config.policies ?? {};
  const names = policyNames(policies);
  for (const name of names)
    if (builtInPolicies.includes(name))
      problems.push({ path: ['policies', name], at: 'key', reason: 'is the name of a built-in policy' });
  const known = [...names, ...builtInPolicies];
  for (const use of policyUses(config))
    if (!known.includes(use.name)) problems.push(unknownName(use.path, 'policy', use.name, known));
  for (const name of names)
    for (const [index, rule] of policies[name]!.rules.entries())
      checkRule(rule, ['policies', name, 'rules', index], policies, known, judgeAsPath, problems);
  checkCalls(policies, names, problems);
  checkSets(policies, judgeAsPath, problems);
  return problems;
}

type RuleConfig = PolicyConfig['rules'][number];

function checkRule(
  rule: RuleConfig,
  path: Path,
  policies: PoliciesConfig,
  known: readonly string[],
  judgeAsPath: AsPathJudge,
  problems: Problem[],
): void {
  if (rule.match !== undefined) {
    checkMatch(rule.match, [...path, 'match'], policies, judgeAsPath, problems);
    if (rule.match.not !== undefined)
      checkMatch(rule.match.not, [...path, 'match', 'not'], policies, judgeAsPath, problems);
  }
  if (rule.call === undefined) return;
  const here = [...path, 'call'];
  if (!known.includes(rule.call)) problems.push(unknownName(here, 'policy', rule.call, known));
  if (rule.action === 'reject')
    problems.push({
      path: here,
      reason: 'has no use with action: reject',
      hint: 'what the called policy accepts is rejected as well as what it rejects',
    });
}

/** How deep policies may call each other. */
const MAX_CALL_DEPTH = 8;

/** Policies that call each other in a circle, or deeper than can be meant. */
function checkCalls(policies: PoliciesConfig, names: readonly string[], problems: Problem[]): void {
  const depths = new Map<string, number>();
  const open = new Set<string>();
  /** How many policies deep the calls of a policy go; Infinity within a circle. */
  const depthOf = (name: string): number => {
    if (open.has(name)) return Number.POSITIVE_INFINITY;
    const settled = depths.get(name);
    if (settled !== undefined) return settled;
    open.add(name);
    let depth = 0;
    for (const rule of Object.hasOwn(policies, name) ? policies[name]!.rules : [])
      if (rule.call !== undefined) depth = Math.max(depth, 1 + depthOf(rule.call));
    open.delete(name);
    if (open.size === 0 || depth < Number.POSITIVE_INFINITY) depths.set(name, depth);
    return depth;
  };
  for (const name of names)
    for (const [index, { call }] of policies[name]!.rules.entries()) {
      if (call === undefined || !names.includes(call)) continue;
      const depth = 1 + depthOf(call);
      if (depth <= MAX_CALL_DEPTH) continue;
      const path = ['policies', name, 'rules', index, 'call'];
      if (depth < Number.POSITIVE_INFINITY)
        problems.push({ path, reason: `goes deeper than ${MAX_CALL_DEPTH} policies` });
      else if (reachesPolicy(policies, call, name, new Set()))
        problems.push({ path, reason: `makes the policy ${name} call itself` });
    }
}

function reachesPolicy(policies: PoliciesConfig, from: string, target: string, seen: Set<string>): boolean {
  if (from === target) return true;
  if (seen.has(from) || !Object.hasOwn(policies, from)) return false;
  seen.add(from);
  return policies[from]!.rules.some(
    (rule) => rule.call !== undefined && reachesPolicy(policies, rule.call, target, seen),
  );
}

/** Every place that names a policy. */
function policyUses({ bgp, guests, passthrough }: Config): { name: string; path: Path }[] {
  const uses: { name: string; path: Path }[] = [];
  const add = (names: string | readonly string[] | undefined, path: Path) => {
    if (typeof names === 'string') uses.push({ name: names, path });
    else for (const [index, name] of (names ?? []).entries()) uses.push({ name, path: [...path, index] });
  };
  for (const source of ['connected', 'static', 'kernel'] as const) {
    const value = bgp.redistribute?.[source];
    if (typeof value === 'object') add(value.policy, ['bgp', 'redistribute', source, 'policy']);
  }
  for (const key of ['routes', 'aggregates'] as const)
    for (const [index, one] of (bgp[key] ?? []).entries()) add(one.policy, ['bgp', key, index, 'policy']);
  add(guests?.policy, ['guests', 'policy']);
  const addFamily = (owner: FamilyConfig, path: Path) => {
    add(owner.import, [...path, 'import']);
    add(owner.export, [...path, 'export']);
    const origin = owner.defaultOriginate;
    if (typeof origin === 'object') add(origin.policy, [...path, 'defaultOriginate', 'policy']);
  };
  const owners: [Path, GroupConfig][] = [
    ...Object.entries(bgp.groups ?? {}).map(([name, group]) => [['bgp', 'groups', name], group] as never),
    ...(bgp.peers ?? []).map((peer, index) => [['bgp', 'peers', index], peer] as never),
    ...(passthrough?.speakers ?? []).map((one, index) => [['passthrough', 'speakers', index], one] as never),
  ];
  for (const [path, owner] of owners) {
    addFamily(owner, path);
    if (owner.families === undefined || Array.isArray(owner.families)) continue;
    for (const [name, family] of Object.entries(owner.families))
      if (family !== undefined) addFamily(family, [...path, 'families', name]);
  }
  return uses;
}

type SetKind = (typeof setKinds)[number];

const setNames: Record<SetKind, string> = {
  prefixSets: 'prefix set',
  asPathSets: 'AS path set',
  communitySets: 'community set',
  largeCommunitySets: 'large community set',
  extendedCommunitySets: 'extended community set',
  asnSets: 'AS number set',
  peerSets: 'peer set',
};

/** Which set a text of each condition may name, and how to tell that it is no name. */
const conditions: readonly [keyof MatchDefinition, SetKind, (text: string) => boolean][] = [
  ['prefixes', 'prefixSets', (text) => !isPrefixSetName(text)],
  ['nextHop', 'prefixSets', (text) => !isPrefixSetName(text)],
  ['neighborAs', 'asnSets', (text) => !/^[A-Za-z]/.test(text) || parseAsn(text) !== undefined],
  ['asPath', 'asPathSets', (text) => !/^[A-Za-z]/.test(text)],
  ['communities', 'communitySets', isStandard],
  ['allCommunities', 'communitySets', isStandard],
  ['largeCommunities', 'largeCommunitySets', isLarge],
  ['allLargeCommunities', 'largeCommunitySets', isLarge],
  ['extendedCommunities', 'extendedCommunitySets', isExtended],
  ['allExtendedCommunities', 'extendedCommunitySets', isExtended],
];

function isStandard(text: string): boolean {
  return /^\/|:/.test(text) || parseCommunity(text) !== undefined;
}

function isLarge(text: string): boolean {
  return /^\/|:/.test(text) || parseLargeCommunity(text) !== undefined;
}

function isExtended(text: string): boolean {
  return /^\/|:/.test(text) || parseExtendedCommunity(text) !== undefined;
}

function checkMatch(
  match: Conditions,
  path: Path,
  policies: PoliciesConfig,
  judgeAsPath: AsPathJudge,
  problems: Problem[],
): void {
  for (const [condition, kind, isValue] of conditions) {
    const value = match[condition as keyof typeof match];
    const items: unknown[] = Array.isArray(value) ? value : [value];
    for (const [index, item] of items.entries()) {
      if (typeof item !== 'string') continue;
      const here = Array.isArray(value) ? [...path, condition, index] : [...path, condition];
      if (!isValue(item)) {
        const sets = Object.keys(policies[kind] ?? {});
        if (!sets.includes(item)) problems.push(unknownName(here, setNames[kind], item, sets));
      } else if (kind === 'asPathSets') judge(item, here, judgeAsPath, problems);
    }
  }
}

function judge(pattern: string, path: Path, judgeAsPath: AsPathJudge, problems: Problem[]): void {
  const reason = judgeAsPath(pattern);
  if (reason !== undefined) problems.push({ path, reason });
}

/** Sets that name other sets: only prefix sets may, without circles; patterns of AS path sets are judged. */
function checkSets(policies: PoliciesConfig, judgeAsPath: AsPathJudge, problems: Problem[]): void {
  for (const [name, patterns] of Object.entries(policies.asPathSets ?? {}))
    for (const [index, pattern] of patterns.entries())
      judge(pattern, ['policies', 'asPathSets', name, index], judgeAsPath, problems);
  const prefixSets = policies.prefixSets ?? {};
  const reaches = (from: string, target: string, seen: Set<string>): boolean =>
    (Object.hasOwn(prefixSets, from) ? prefixSets[from]! : []).some((item) => {
      if (typeof item !== 'string' || seen.has(item)) return false;
      return item === target || reaches(item, target, seen.add(item));
    });
  for (const [kind, isValue] of conditions.map(([, kind, isValue]) => [kind, isValue] as const)) {
    // Peers' names may be any text, and AS numbers have been judged by the schema.
    if (kind === 'asPathSets' || kind === 'asnSets') continue;
    for (const [name, items] of Object.entries((policies[kind] ?? {}) as Record<string, unknown[]>))
      for (const [index, item] of items.entries()) {
        if (typeof item !== 'string' || isValue(item)) continue;
        const path = ['policies', kind, name, index];
        if (problems.some((one) => one.path.join() === path.join())) continue;
        if (kind !== 'prefixSets') problems.push({ path, reason: 'is not a community' });
        else if (!Object.hasOwn(prefixSets, item))
          problems.push(unknownName(path, 'prefix set', item, Object.keys(prefixSets)));
        else if (item === name || reaches(item, name, new Set()))
          problems.push({ path, reason: `makes the set ${name} contain itself` });
      }
  }
}
