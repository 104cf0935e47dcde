// Definitions to flat programs, once per configuration. Names of sets are looked up, text becomes numbers,
// and whatever does not fit is a LeafdError with the path of the key (`policies.edge.rules[2].match.asPath`).
// intent refuses most of it earlier and with the line; here it is refused for every other caller (REST,
// tests, sim).
//
// The semantics of conditions and changes are in compile-match.ts and compile-set.ts.

import { assert } from '../lib/assert.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { builtInDefinitions } from './built-in.ts';
import { compileMatch } from './compile-match.ts';
import { compileSet } from './compile-set.ts';
import type { PolicyDefinition, PolicyDefinitions, RuleAction, RuleDefinition } from './definition.ts';
import {
  type DraftCondition,
  draftOf,
  type Label,
  type PolicyDraft,
  refuse,
  type SetCache,
} from './draft.ts';
import {
  ACCEPT,
  type CompiledPolicy,
  IF_DEFAULT,
  IF_DISTINGUISHER,
  IF_EVPN_TYPE,
  IF_NEIGHBOR_AS,
  IF_NEXT_HOP,
  IF_PEER,
  IF_PREFIX,
  IF_RPKI,
  IF_SOURCE,
  IF_TAG,
  IF_VNI,
  IGP_METRIC,
  NEXT,
  REJECT,
  type RuleText,
  routeConditions,
  SET_MED,
} from './program.ts';
import { RuleIndex } from './rule-index.ts';

const actionCodes = { accept: ACCEPT, reject: REJECT, next: NEXT } as const;

/** How deep policies may call each other, and how many rules a policy may have with those it calls. */
const MAX_DEPTH = 8;
const MAX_RULES = 1 << 16;

/** Fewer rules are walked through faster than they are looked up. */
const INDEXED_RULES = 8;

/** Every policy that is defined, and the built-in ones, by name. Throws LeafdError. */
export function compilePolicies(definitions: PolicyDefinitions): Map<string, CompiledPolicy> {
  const sets: SetCache = {
    definitions,
    prefixSets: new Map(),
    asPaths: new Map(),
    openPrefixSets: new Set(),
  };
  const compiled = new Map<string, CompiledPolicy>();
  libraries.set(compiled, { sets, chains: new Map() });
  for (const [name, definition] of Object.entries(builtInDefinitions))
    compiled.set(name, compilePolicy(name, rulesOf(name, definition), definition.default, sets));
  for (const [name, definition] of Object.entries(definitions.policies ?? {})) {
    if (compiled.has(name)) {
      throw new LeafdError('policy-invalid', `policies.${name}: is the name of a built-in policy`);
    }
    compiled.set(name, compilePolicy(name, rulesOf(name, definition), definition.default, sets));
  }
  // Entries serve sets that contain others while all of them are compiled; later they would only take memory.
  for (const cached of sets.prefixSets.values()) cached.entries = undefined;
  return compiled;
}

/** The policy that the key at `path` names. Throws LeafdError when there is none. */
export function policyNamed(
  policies: ReadonlyMap<string, CompiledPolicy>,
  name: string,
  path: string,
): CompiledPolicy {
  const policy = policies.get(name);
  if (policy !== undefined) return policy;
  const hint = `policies: ${[...policies.keys()].slice(0, 12).join(', ')}`;
  throw new LeafdError('policy-unknown', `${path}: there is no policy ${name}`, { hint });
}

/** What belongs to a map of compiled policies: their definitions and sets, and the chains made of them so far. */
interface Library {
  readonly sets: SetCache;
  readonly chains: Map<string, CompiledPolicy>;
}

const libraries = new WeakMap<ReadonlyMap<string, CompiledPolicy>, Library>();

/**
 * Several policies as one: what the rules of the first leave undecided goes to the next, unless the first has a
 * default of its own. The same names give the same object. Throws LeafdError when one of them does not exist.
 */
export function policyChain(
  policies: ReadonlyMap<string, CompiledPolicy>,
  names: readonly string[],
  path: string,
): CompiledPolicy {
  const parts = names.map((name) => policyNamed(policies, name, path));
  if (parts.length === 1) return parts[0]!;
  const library = libraries.get(policies);
  assert(library !== undefined, 'a chain is made of what compilePolicies gave');
  const key = names.join(', ');
  let chain = library.chains.get(key);
  if (chain === undefined) library.chains.set(key, (chain = compileChain(key, names, library.sets)));
  return chain;
}

function compileChain(key: string, names: readonly string[], sets: SetCache): CompiledPolicy {
  const rules: SourceRule[] = [];
  for (const name of names) {
    const part = definitionOf(name, sets);
    rules.push(...rulesOf(name, part));
    if (part.default === 'accept' || part.default === 'reject')
      return compilePolicy(key, rules, part.default, sets);
  }
  return compilePolicy(key, rules, undefined, sets);
}

function definitionOf(name: string, sets: SetCache): PolicyDefinition {
  const definition = Object.hasOwn(builtInDefinitions, name)
    ? builtInDefinitions[name]
    : sets.definitions.policies?.[name];
  assert(definition !== undefined, `policy ${name} has been looked up before`);
  return definition;
}

/** A rule and where it is written. */
interface SourceRule {
  readonly policy: string;
  readonly index: number;
  readonly rule: RuleDefinition;
}

function rulesOf(policy: string, definition: PolicyDefinition): SourceRule[] {
  return definition.rules.map((rule, index) => ({ policy, index, rule }));
}

/** What `accept` means where a rule stands: the verdict, or in a called policy the action of the rule that calls. */
interface Outcome {
  readonly action: number;
  readonly next: Label | undefined;
}

interface Surroundings {
  readonly accepted: Outcome;
  readonly caller: number;
  /** The policies that are open around this one. */
  readonly open: readonly string[];
}

const ground: Surroundings = { accepted: { action: ACCEPT, next: undefined }, caller: -1, open: [] };

function compilePolicy(
  name: string,
  rules: readonly SourceRule[],
  fallback: PolicyDefinition['default'],
  sets: SetCache,
): CompiledPolicy {
  const draft = draftOf(sets);
  for (const source of rules) compileRule(draft, source, ground);
  const policy = columnsOf(draft, name, fallback);
  return policy.ruleCount < INDEXED_RULES ? policy : { ...policy, index: new RuleIndex(policy) };
}

function compileRule(draft: PolicyDraft, source: SourceRule, around: Surroundings): void {
  const { rule } = source;
  const path = `policies.${source.policy}.rules[${source.index}]`;
  if (actionCodes[rule.action] === undefined) refuse(`${path}.action`, 'must be accept, reject or next');
  const outcome = rule.call === undefined ? outcomeOf(rule.action, around, undefined) : calling;
  const end: Label | undefined = rule.call === undefined ? undefined : { at: -1 };
  addRule(draft, rule, path, outcome, end, around.caller, { ...source, name: rule.name });
  if (rule.call === undefined || end === undefined) return;
  callPolicy(draft, rule.call, `${path}.call`, outcomeOf(rule.action, around, end), end, around);
  end.at = draft.rules.length;
}

/** Goes into the rules of the called policy, which stand behind. */
const calling: Outcome = { action: NEXT, next: undefined };

function outcomeOf(action: RuleAction, around: Surroundings, end: Label | undefined): Outcome {
  if (action === 'accept') return around.accepted;
  return { action: actionCodes[action], next: end };
}

function callPolicy(
  draft: PolicyDraft,
  name: string,
  path: string,
  accepted: Outcome,
  end: Label,
  around: Surroundings,
): void {
  const { definitions } = draft.sets;
  if (!Object.hasOwn(builtInDefinitions, name) && !Object.hasOwn(definitions.policies ?? {}, name))
    refuse(path, `there is no policy ${name}`);
  if (around.open.includes(name)) refuse(path, `makes the policy ${name} call itself`);
  if (around.open.length >= MAX_DEPTH) refuse(path, `goes deeper than ${MAX_DEPTH} policies`);
  const caller = draft.rules.length - 1;
  const within: Surroundings = { accepted, caller, open: [...around.open, name] };
  const definition = definitionOf(name, draft.sets);
  for (const source of rulesOf(name, definition)) compileRule(draft, source, within);
  const outcome = definition.default === 'accept' ? accepted : defaultOutcome(definition.default, end);
  addRule(draft, {}, path, outcome, undefined, caller, { policy: name, index: -1, name: undefined });
}

function defaultOutcome(fallback: 'reject' | 'next' | undefined, end: Label): Outcome {
  return fallback === 'next' ? { action: NEXT, next: end } : { action: REJECT, next: undefined };
}

function addRule(
  draft: PolicyDraft,
  rule: Pick<RuleDefinition, 'match' | 'set'>,
  path: string,
  { action, next }: Outcome,
  otherwise: Label | undefined,
  caller: number,
  { policy, index, name }: Pick<RuleText, 'policy' | 'index' | 'name'>,
): void {
  if (draft.rules.length >= MAX_RULES) refuse(path, `has more than ${MAX_RULES} rules, with those it calls`);
  const firstCondition = draft.conditions.length;
  const firstChange = draft.changes.length;
  if (rule.match !== undefined) compileMatch(draft, rule.match, `${path}.match`);
  if (rule.set !== undefined) compileSet(draft, rule.set, `${path}.set`);
  // What can be known by the attributes stands before what is asked of every route.
  const own = draft.conditions.splice(firstCondition);
  const isRoute = ({ kind }: DraftCondition) => routeConditions.includes(kind);
  // The first prefix condition comes first among the latter: rules are found by it.
  const isFirst = (one: DraftCondition) => one === own.find(({ kind, not }) => kind === IF_PREFIX && !not);
  const ofRoute = own.filter(isRoute);
  const ordered = [
    ...own.filter((one) => !isRoute(one)),
    ...ofRoute.filter(isFirst),
    ...ofRoute.filter((one) => !isFirst(one)),
  ];
  draft.conditions.push(...ordered);
  draft.rules.push({
    action,
    next,
    otherwise,
    caller,
    routeStart: firstCondition + own.filter((one) => !isRoute(one)).length,
    conditionEnd: draft.conditions.length,
    changeEnd: draft.changes.length,
    text: {
      policy,
      index,
      name,
      conditions: ordered.map((condition) => condition.text),
      changes: draft.changes.slice(firstChange).map((change) => change.text),
    },
  });
}

function columnsOf(draft: PolicyDraft, name: string, fallback: PolicyDefinition['default']): CompiledPolicy {
  const { rules, conditions, changes } = draft;
  const reads = (...kinds: number[]) => conditions.some((condition) => kinds.includes(condition.kind));
  const readsNlri = reads(IF_EVPN_TYPE, IF_VNI, IF_DISTINGUISHER);
  const readsMetric = changes.some(({ kind, arg }) => kind === SET_MED && arg === IGP_METRIC);
  return {
    name,
    defaultVerdict: fallback === 'accept' ? ACCEPT : REJECT,
    readsPrefix: readsNlri || reads(IF_PREFIX, IF_DEFAULT, IF_RPKI, IF_TAG),
    readsPeer: reads(IF_PEER, IF_NEIGHBOR_AS, IF_SOURCE),
    readsNextHop: readsMetric || reads(IF_NEXT_HOP),
    readsRpki: reads(IF_RPKI),
    readsTag: reads(IF_TAG),
    readsNlri,
    changes: changes.length > 0,
    ruleCount: rules.length,
    action: Uint8Array.from(rules, (rule) => rule.action),
    next: Uint32Array.from(rules, (rule, i) => rule.next?.at ?? i + 1),
    otherwise: Uint32Array.from(rules, (rule, i) => rule.otherwise?.at ?? i + 1),
    routeStart: Uint32Array.from(rules, (rule) => rule.routeStart),
    conditionEnd: Uint32Array.from(rules, (rule) => rule.conditionEnd),
    changeEnd: Uint32Array.from(rules, (rule) => rule.changeEnd),
    caller: Int32Array.from(rules, (rule) => rule.caller),
    condition: Uint8Array.from(conditions, (condition) => condition.kind),
    conditionNot: Uint8Array.from(conditions, (condition) => (condition.not ? 1 : 0)),
    conditionArg: Int32Array.from(conditions, (condition) => condition.arg),
    conditionLow: Float64Array.from(conditions, (condition) => condition.low),
    conditionHigh: Float64Array.from(conditions, (condition) => condition.high),
    change: Uint8Array.from(changes, (change) => change.kind),
    changeArg: Int32Array.from(changes, (change) => change.arg),
    changeLow: Float64Array.from(changes, (change) => change.low),
    prefixSets: draft.prefixSets,
    asPaths: draft.asPaths,
    communities: draft.communities,
    allCommunities: draft.allCommunities,
    names: draft.names,
    asnRanges: draft.asnRanges,
    distinguishers: draft.distinguishers,
    edits: draft.edits,
    addresses: draft.addresses,
    texts: rules.map((rule) => rule.text),
    index: undefined,
  };
}
