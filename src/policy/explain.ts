// Why a policy decides as it does: the same program run once more, with every rule's outcome told in the
// definition's words. For `leafctl why` and `policy test`; it allocates and is not for the hot path. The
// verdict is evaluate's by construction, since conditions and changes are the same functions.

import { applyChange } from './change.ts';
import { holds, resetOutput } from './evaluate.ts';
import { ACCEPT, type CompiledPolicy, NEXT, type PolicyInput, type PolicyOutput, REJECT } from './program.ts';

export interface RuleTrace {
  /** Counts from 0, as in the definition's list. */
  index: number;
  name?: string;
  matched: boolean;
  /** The conditions that held, up to the first that did not. */
  held: readonly string[];
  /** The condition that did not hold. */
  failed?: string;
  /** What the rule changed, when it matched. */
  changed: readonly string[];
  action: 'accept' | 'reject' | 'next';
}

export interface PolicyExplanation {
  policy: string;
  verdict: 'accept' | 'reject';
  /** The rule that decided; absent when the policy's default did. */
  rule?: { index: number; name?: string };
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
  let conditionStart = 0;
  let changeStart = 0;
  for (let rule = 0; rule < policy.ruleCount; rule++) {
    const trace = traceRule(policy, rule, conditionStart, changeStart, input, out);
    rules.push(trace);
    changes.push(...trace.changed);
    conditionStart = policy.conditionEnd[rule]!;
    changeStart = policy.changeEnd[rule]!;
    if (!trace.matched || trace.action === 'next') continue;
    out.rule = rule;
    const decided = trace.name === undefined ? { index: rule } : { index: rule, name: trace.name };
    const why = trace.held.length === 0 ? '' : `: ${trace.held.join('; ')}`;
    const text = `${policy.name}: ${ruleWords(decided)} ${trace.action}s${why}`;
    return { policy: policy.name, verdict: trace.action, rule: decided, rules, changes, text };
  }
  const verdict = policy.defaultVerdict === ACCEPT ? 'accept' : 'reject';
  const text = `${policy.name}: no rule decided, the default ${verdict}s`;
  return { policy: policy.name, verdict, rules, changes, text };
}

function ruleWords({ index, name }: { index: number; name?: string }): string {
  return `rule ${index + 1}${name === undefined ? '' : ` (${name})`}`;
}

function traceRule(
  policy: CompiledPolicy,
  rule: number,
  conditionStart: number,
  changeStart: number,
  input: PolicyInput,
  out: PolicyOutput,
): RuleTrace {
  const { name, conditions, changes } = policy.texts[rule]!;
  const conditionEnd = policy.conditionEnd[rule]!;
  const changeEnd = policy.changeEnd[rule]!;
  const action = actionWords[policy.action[rule] as keyof typeof actionWords];
  let condition = conditionStart;
  while (condition < conditionEnd && holds(policy, condition, input, out)) condition++;
  const held = conditions.slice(0, condition - conditionStart);
  const named = name === undefined ? {} : { name };
  if (condition < conditionEnd) {
    const failed = conditions[condition - conditionStart]!;
    return { index: rule, ...named, matched: false, held, failed, changed: [], action };
  }
  for (let change = changeStart; change < changeEnd; change++) applyChange(policy, change, input, out);
  return { index: rule, ...named, matched: true, held, changed: changes, action };
}
