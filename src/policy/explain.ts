// Why a policy decides as it does: the same program run once more, with every rule's outcome told in the
// definition's words. For `leafctl why` and `policy test`; it allocates and is not for the hot path. The
// verdict is evaluate's by construction, since conditions and changes are the same functions.

import { applyChange } from './change.ts';
import { holds, resetOutput } from './evaluate.ts';
import { ACCEPT, type CompiledPolicy, NEXT, type PolicyInput, type PolicyOutput, REJECT } from './program.ts';
import { sawOf } from './saw.ts';

export interface RuleTrace {
  /** The policy the rule stands in, where it is not the whole: a called one, or a part of a chain. */
  policy?: string;
  /** Counts from 0, as in the definition's list; -1 for the default of a called policy. */
  index: number;
  name?: string;
  matched: boolean;
  /** The conditions that held, up to the first that did not. */
  held: readonly string[];
  /** The condition that did not hold. */
  failed?: string;
  /** What each of these conditions looked at, in the same order. */
  saw: readonly string[];
  /** What the rule changed, when it matched. */
  changed: readonly string[];
  action: 'accept' | 'reject' | 'next';
}

export interface PolicyExplanation {
  policy: string;
  verdict: 'accept' | 'reject';
  /** The rule that decided; absent when the policy's default did. */
  rule?: { index: number; name?: string; policy?: string };
  /** Rules in order, up to the one that decided. */
  rules: readonly RuleTrace[];
  /** All changes made, in order. */
  changes: readonly string[];
  /** One line: `edge: rule 2 (customers) accepts: communities: 65000:*`. */
  text: string;
}

const actionWords = { [ACCEPT]: 'accept', [REJECT]: 'reject', [NEXT]: 'next' } as const;

/** Runs the policy and tells the way; `out` then holds what evaluate would have left there. */
export function explain(policy: CompiledPolicy, input: PolicyInput, out: PolicyOutput): PolicyExplanation {
  resetOutput(out);
  const rules: RuleTrace[] = [];
  const changes: string[] = [];
  for (let rule = 0; rule < policy.ruleCount; ) {
    const trace = traceRule(policy, rule, input, out);
    rules.push(trace);
    changes.push(...trace.changed);
    if (!trace.matched || trace.action === 'next') {
      rule = trace.matched ? policy.next[rule]! : policy.otherwise[rule]!;
      continue;
    }
    out.rule = rule;
    const { index, name, policy: within } = trace;
    const decided = {
      index,
      ...(name !== undefined && { name }),
      ...(within !== undefined && { policy: within }),
    };
    const why = trace.held.length === 0 ? '' : `: ${trace.held.join('; ')}`;
    const text = `${policy.name}: ${ruleWords(decided)} ${trace.action}s${why}`;
    return { policy: policy.name, verdict: trace.action, rule: decided, rules, changes, text };
  }
  const verdict = policy.defaultVerdict === ACCEPT ? 'accept' : 'reject';
  const text = `${policy.name}: no rule decided, the default ${verdict}s`;
  return { policy: policy.name, verdict, rules, changes, text };
}

/** `rule 2 (customers)`, `rule 2 of edge`, `the default of edge`. */
function ruleWords({ index, name, policy }: { index: number; name?: string; policy?: string }): string {
  const within = policy === undefined ? '' : ` of ${policy}`;
  if (index < 0) return `the default${within}`;
  return `rule ${index + 1}${name === undefined ? '' : ` (${name})`}${within}`;
}

function traceRule(policy: CompiledPolicy, rule: number, input: PolicyInput, out: PolicyOutput): RuleTrace {
  const { name, index, policy: within, conditions, changes } = policy.texts[rule]!;
  const conditionStart = rule === 0 ? 0 : policy.conditionEnd[rule - 1]!;
  const conditionEnd = policy.conditionEnd[rule]!;
  const action = actionWords[policy.action[rule] as keyof typeof actionWords];
  let condition = conditionStart;
  while (condition < conditionEnd && holds(policy, condition, input, out)) condition++;
  const asked = Math.min(condition + 1, conditionEnd) - conditionStart;
  const saw = Array.from({ length: asked }, (_, i) => sawOf(policy, conditionStart + i, input, out));
  const held = conditions.slice(0, condition - conditionStart);
  const named = {
    ...(within !== policy.name && { policy: within }),
    ...(name !== undefined && { name }),
  };
  if (condition < conditionEnd) {
    const failed = conditions[condition - conditionStart]!;
    return { index, ...named, matched: false, held, failed, saw, changed: [], action };
  }
  const changeEnd = policy.changeEnd[rule]!;
  for (let change = rule === 0 ? 0 : policy.changeEnd[rule - 1]!; change < changeEnd; change++)
    applyChange(policy, change, input, out);
  return { index, ...named, matched: true, held, saw, changed: changes, action };
}
