// Policies that work together: calls and chains, what each part's decision means for the whole, and how it is told.

import { expect, test } from 'vitest';
import { encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { compilePolicies, policyChain } from './compile.ts';
import type { PolicyDefinition, PolicyDefinitions } from './definition.ts';
import { explain } from './explain.ts';
import { newPolicyInput, newPolicyOutput } from './program.ts';

const input = newPolicyInput();
input.attrs = encodeAttributes({ origin: 'igp', asPath: '65001', communities: ['65000:1'] });
input.end = input.attrs.length;

const tell = (policies: Readonly<Record<string, PolicyDefinition>>, names = ['p']): string => {
  const compiled = compilePolicies({ policies });
  return explain(policyChain(compiled, names, 'bgp'), input, newPolicyOutput()).text;
};
const holds = { communities: '65000:1' };
const fails = { communities: '65000:2' };

test('what the called policy rejects is rejected, at once', () => {
  const q: PolicyDefinition = { rules: [{ match: holds, action: 'reject' }] };
  expect(tell({ q, p: { rules: [{ call: 'q', action: 'accept' }], default: 'accept' } })).toBe(
    'p: rule 1 of q rejects: communities: 65000:1',
  );
});

test('what it does not decide is rejected by its default, and says so', () => {
  const q: PolicyDefinition = { rules: [{ match: fails, action: 'accept' }] };
  expect(tell({ q, p: { rules: [{ call: 'q', action: 'next' }], default: 'accept' } })).toBe(
    'p: the default of q rejects',
  );
});

test('what it accepts goes the way of the calling rule', () => {
  const q: PolicyDefinition = { rules: [{ match: holds, action: 'accept' }] };
  expect(tell({ q, p: { rules: [{ call: 'q', action: 'accept' }] } })).toBe(
    'p: rule 1 of q accepts: communities: 65000:1',
  );
  const goesOn: PolicyDefinition = { rules: [{ call: 'q', action: 'next' }, { action: 'reject' }] };
  expect(tell({ q, p: goesOn })).toBe('p: rule 2 rejects');
});

test('with `default: next` it may leave the decision to the caller', () => {
  const q: PolicyDefinition = { rules: [{ match: fails, action: 'reject' }], default: 'next' };
  expect(tell({ q, p: { rules: [{ call: 'q', action: 'accept' }, { action: 'accept' }] } })).toBe(
    'p: rule 2 accepts',
  );
});

test('a call whose conditions do not hold is passed over with all it calls', () => {
  const q: PolicyDefinition = { rules: [{ action: 'reject' }] };
  expect(tell({ q, p: { rules: [{ match: fails, call: 'q', action: 'next' }], default: 'accept' } })).toBe(
    'p: no rule decided, the default accepts',
  );
});

test('calls within calls keep their meaning', () => {
  const r: PolicyDefinition = { rules: [{ action: 'accept' }] };
  const q: PolicyDefinition = { rules: [{ call: 'r', action: 'accept' }, { action: 'reject' }] };
  expect(tell({ r, q, p: { rules: [{ call: 'q', action: 'next' }, { action: 'reject' }] } })).toBe(
    'p: rule 2 rejects',
  );
});

test('a chain goes on where its parts decide nothing, and ends as its last part does', () => {
  const a: PolicyDefinition = { rules: [{ match: fails, action: 'reject' }] };
  const b: PolicyDefinition = { rules: [{ match: holds, action: 'accept', name: 'ours' }] };
  expect(tell({ a, b }, ['a', 'b'])).toBe('a, b: rule 1 (ours) of b accepts: communities: 65000:1');
  expect(tell({ a, b }, ['a', 'a'])).toBe('a, a: no rule decided, the default rejects');
  expect(tell({ a: { ...a, default: 'accept' }, b: { rules: [{ action: 'reject' }] } }, ['a', 'b'])).toBe(
    'a, b: no rule decided, the default accepts',
  );
  expect(tell({ a: { ...a, default: 'next' }, b }, ['a', 'b'])).toContain('of b accepts');
});

test('the same chain is the same policy, so that its verdicts are kept once', () => {
  const compiled = compilePolicies({ policies: { a: { rules: [] }, b: { rules: [] } } });
  expect(policyChain(compiled, ['a', 'b'], 'x')).toBe(policyChain(compiled, ['a', 'b'], 'y'));
  expect(policyChain(compiled, ['a'], 'x')).toBe(compiled.get('a'));
  expect(() => policyChain(compiled, ['a', 'c'], 'bgp.peers.0.import')).toThrow(
    'bgp.peers.0.import: there is no policy c',
  );
});

test('calls that cannot be compiled', () => {
  const message = (policies: PolicyDefinitions['policies']): string => {
    try {
      compilePolicies({ ...(policies && { policies }) });
    } catch (error) {
      return (error as Error).message;
    }
    return 'compiled';
  };
  const calling = (name: string): PolicyDefinition => ({ rules: [{ call: name, action: 'next' }] });
  expect(message({ p: calling('q') })).toBe('policies.p.rules[0].call: there is no policy q');
  expect(message({ p: calling('p') })).toBe('policies.p.rules[0].call: makes the policy p call itself');
  expect(message({ p: calling('q'), q: calling('p') })).toContain('call itself');
  const deep = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`p${i}`, calling(`p${i + 1}`)]));
  expect(message({ ...deep, p10: { rules: [] } })).toBe(
    'policies.p8.rules[0].call: goes deeper than 8 policies',
  );
});
