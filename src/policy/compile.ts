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
import type { PolicyDefinition, PolicyDefinitions, RuleDefinition } from './definition.ts';
import { draftOf, type PolicyDraft, type SetCache } from './draft.ts';
import {
  ACCEPT,
  type CompiledPolicy,
  IF_DEFAULT,
  IF_NEIGHBOR_AS,
  IF_NEXT_HOP,
  IF_PEER,
  IF_PREFIX,
  IF_SOURCE,
  NEXT,
  REJECT,
  type RuleText,
} from './program.ts';

const actionCodes = { accept: ACCEPT, reject: REJECT, next: NEXT } as const;

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
  for (const [name, definition] of Object.entries(builtInDefinitions)) {
    compiled.set(name, compilePolicy(name, definition, sets));
  }
  for (const [name, definition] of Object.entries(definitions.policies ?? {})) {
    if (compiled.has(name)) {
      throw new LeafdError('policy-invalid', `policies.${name}: is the name of a built-in policy`);
    }
    compiled.set(name, compilePolicy(name, definition, sets));
  }
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

/** What belongs to a map of compiled policies: where their definitions are, and chains made of them so far. */
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
  if (chain === undefined)
    library.chains.set(key, (chain = compilePolicy(key, chained(names, library.sets), library.sets)));
  return chain;
}

function chained(names: readonly string[], sets: SetCache): PolicyDefinition {
  const rules: RuleDefinition[] = [];
  for (const name of names) {
    const part = builtInDefinitions[name] ?? sets.definitions.policies![name]!;
    rules.push(...part.rules);
    if (part.default === 'accept' || part.default === 'reject') return { rules, default: part.default };
  }
  return { rules };
}

function compilePolicy(name: string, definition: PolicyDefinition, sets: SetCache): CompiledPolicy {
  const draft = draftOf(sets);
  const texts: RuleText[] = [];
  const action: number[] = [];
  const conditionEnd: number[] = [];
  const changeEnd: number[] = [];
  for (const [index, rule] of definition.rules.entries()) {
    texts.push(compileRule(draft, rule, `policies.${name}.rules[${index}]`));
    action.push(actionCodes[rule.action]);
    conditionEnd.push(draft.conditions.length);
    changeEnd.push(draft.changes.length);
  }
  const reads = (...kinds: number[]) => draft.conditions.some((condition) => kinds.includes(condition.kind));
  return {
    name,
    defaultVerdict: definition.default === 'accept' ? ACCEPT : REJECT,
    readsPrefix: reads(IF_PREFIX, IF_DEFAULT),
    readsPeer: reads(IF_PEER, IF_NEIGHBOR_AS, IF_SOURCE),
    readsNextHop: reads(IF_NEXT_HOP),
    changes: draft.changes.length > 0,
    ruleCount: definition.rules.length,
    action: Uint8Array.from(action),
    conditionEnd: Uint32Array.from(conditionEnd),
    changeEnd: Uint32Array.from(changeEnd),
    condition: Uint8Array.from(draft.conditions, (condition) => condition.kind),
    conditionArg: Int32Array.from(draft.conditions, (condition) => condition.arg),
    conditionLow: Float64Array.from(draft.conditions, (condition) => condition.low),
    conditionHigh: Float64Array.from(draft.conditions, (condition) => condition.high),
    change: Uint8Array.from(draft.changes, (change) => change.kind),
    changeArg: Int32Array.from(draft.changes, (change) => change.arg),
    changeLow: Float64Array.from(draft.changes, (change) => change.low),
    prefixSets: draft.prefixSets,
    asPaths: draft.asPaths,
    communities: draft.communities,
    names: draft.names,
    asnRanges: draft.asnRanges,
    edits: draft.edits,
    addresses: draft.addresses,
    texts,
  };
}

function compileRule(draft: PolicyDraft, rule: RuleDefinition, path: string): RuleText {
  if (actionCodes[rule.action] === undefined) {
    throw new LeafdError('policy-invalid', `${path}.action: must be accept, reject or next`);
  }
  const conditionsBefore = draft.conditions.length;
  const changesBefore = draft.changes.length;
  if (rule.match !== undefined) compileMatch(draft, rule.match, `${path}.match`);
  if (rule.set !== undefined) compileSet(draft, rule.set, `${path}.set`);
  return {
    name: rule.name,
    conditions: draft.conditions.slice(conditionsBefore).map((condition) => condition.text),
    changes: draft.changes.slice(changesBefore).map((change) => change.text),
  };
}
