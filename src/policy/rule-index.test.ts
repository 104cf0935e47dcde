// The index may only be faster: over policies of many rules of all kinds, with calls and changes, it comes to the same
// verdict by the same rule with the same changes as a walk through all rules, route after route.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readU32 } from '../lib/bytes.ts';
import { parsePrefix } from '../net/prefix.ts';
import { type AttributesInput, encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { compilePolicies } from './compile.ts';
import type { MatchDefinition, PolicyDefinitions, RuleDefinition, SetDefinition } from './definition.ts';
import { evaluate } from './evaluate.ts';
import { explain } from './explain.ts';
import { ACCEPT, newPolicyInput, newPolicyOutput, type PolicyInput, type PolicyOutput } from './program.ts';

const conditions: Omit<MatchDefinition, 'not'>[] = [
  { communities: '65000:1' },
  { communities: ['65000:*', 'no-export'] },
  { communities: '/^6500[01]:[0-9]$/' },
  { allCommunities: ['65000:1', '65001:*'] },
  { largeCommunities: '65000:*:*' },
  { largeCommunities: '1:2:3' },
  { largeCommunities: '*:2:3' },
  { extendedCommunities: ['rt:65000:1', 'rt:65001:*'] },
  { asPath: '_65002_' },
  { asPath: '^65001_(65002|65003)+$' },
  { asPath: ['^$', '[65000-65001]'] },
  { asPathLength: { min: 2 } },
  { med: { max: 40 } },
  { localPref: { min: 120 } },
  { origin: 'egp' },
  { neighborAs: [65001, 65003] },
  { neighborAs: '65002-65009' },
  { peer: 'spine?' },
  { source: 'bgp' },
  { family: 'ipv6' },
  { prefixes: ['10.0.0.0/8', '2001:db8::/32'] },
  { prefixes: 'lab' },
  { prefixes: ['0.0.0.0/0 le 9', '::/0 ge 32'] },
  { prefixes: '192.0.0.0/8 ge 16' },
  { isDefault: true },
  { tag: 7 },
  { rpki: ['valid', 'notFound'] },
];
const changes: SetDefinition[] = [
  { communities: { add: ['65000:1'] } },
  { communities: { remove: ['65000:*'] } },
  { communities: { set: ['65001:4'] } },
  { largeCommunities: { add: ['1:2:3'] } },
  { med: '+30' },
  { localPref: '+30' },
  { prepend: { asn: 65002 } },
  { prepend: { lastAs: 2 } },
  { origin: 'egp', weight: 3 },
  { tag: 7 },
  { nextHop: 'self' },
];

const joined = <Part extends object>(parts: readonly Part[], most: number): fc.Arbitrary<Part> =>
  fc.subarray([...parts], { maxLength: most }).map((list) => Object.assign({}, ...list) as Part);
const anyMatch: fc.Arbitrary<MatchDefinition> = fc.oneof(
  { weight: 3, arbitrary: joined(conditions, 2) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(joined(conditions, 1), joined(conditions, 2))
      .map(([match, not]) => ({ ...match, not })),
  },
);
const ruleWith = (call: fc.Arbitrary<string | undefined>): fc.Arbitrary<RuleDefinition> =>
  fc.record({
    match: anyMatch,
    set: joined(changes, 2),
    call,
    action: fc.constantFrom('accept', 'reject', 'next', 'next', 'next'),
  });
const plainRule = ruleWith(fc.constant(undefined));
const anyDefault = fc.constantFrom('accept' as const, 'reject' as const, 'next' as const, undefined);
const anyPolicies: fc.Arbitrary<PolicyDefinitions> = fc
  .record({
    inner: fc.record({ default: anyDefault, rules: fc.array(plainRule, { maxLength: 4 }) }),
    outer: fc.record({
      default: anyDefault,
      rules: fc.array(ruleWith(fc.constantFrom('inner', undefined)), { maxLength: 4 }),
    }),
    whole: fc.record({
      default: anyDefault,
      rules: fc.array(ruleWith(fc.constantFrom('inner', 'outer', undefined, undefined, undefined)), {
        minLength: 8,
        maxLength: 40,
      }),
    }),
  })
  .map((policies) => ({ prefixSets: { lab: ['10.0.0.0/8 le 24', '2001:db8::/32 le 64'] }, policies }));

const attributes: readonly AttributesInput[] = [
  { origin: 'igp', asPath: '65001 65002' },
  {
    origin: 'egp',
    asPath: '65001 65003 65002',
    med: 20,
    localPref: 150,
    communities: ['65000:1', '65001:4'],
  },
  { origin: 'igp', asPath: '', communities: ['no-export'], largeCommunities: ['65000:9:9'] },
  { origin: 'igp', asPath: '64512 65002', largeCommunities: ['1:2:3'], extendedCommunities: ['rt:65001:5'] },
];
const anyRoute: fc.Arbitrary<PolicyInput> = fc
  .record({
    prefix: fc.constantFrom(
      '10.0.0.0/8',
      '10.1.0.0/16',
      '192.168.0.0/24',
      '0.0.0.0/0',
      '2001:db8::/32',
      '::/0',
    ),
    attributes: fc.constantFrom(...attributes),
    peer: fc.constantFrom('spine1', 'leaf12'),
    asn: fc.constantFrom(65001, 65002, 65010),
    tag: fc.constantFrom(0, 7),
    rpki: fc.constantFrom(0, 1, 2),
  })
  .map((route) => {
    const input = newPolicyInput();
    const { bytes, length } = parsePrefix(route.prefix)!;
    input.family = bytes.length === 4 ? 0 : 1;
    const word = (at: number) => (at < bytes.length ? readU32(bytes, at) : 0);
    [input.a, input.b, input.c, input.d] = [word(0), word(4), word(8), word(12)];
    input.attrs = encodeAttributes(route.attributes);
    Object.assign(input, { length, end: input.attrs.length, peerName: route.peer, peerAsn: route.asn });
    Object.assign(input, { tag: route.tag, rpki: route.rpki, source: 4, localAsn: 65100 });
    return input;
  });

const outcome = (out: PolicyOutput) => ({
  rule: out.rule,
  weight: out.weight,
  tag: out.tag,
  nextHop: out.nextHop,
  attrs: out.attrsChanged ? [...out.attrs.bytes.subarray(0, out.attrs.length)] : undefined,
});

test('the index and the walk through all rules come to the same', () => {
  const indexed = newPolicyOutput();
  const walked = newPolicyOutput();
  fc.assert(
    fc.property(anyPolicies, fc.array(anyRoute, { minLength: 1, maxLength: 12 }), (definitions, routes) => {
      const policy = compilePolicies(definitions).get('whole')!;
      expect(policy.index).toBeDefined();
      const plain = { ...policy, index: undefined };
      const keys = new Map<string, number>();
      for (const input of routes) {
        const text = input.attrs.join();
        if (!keys.has(text)) keys.set(text, keys.size + 1);
        // Some attributes have a key, others are compared.
        const key = keys.get(text)!;
        input.attrsKey = key < 3 ? key : 0;
        const verdict = evaluate(policy, input, indexed);
        expect(evaluate(plain, input, walked)).toBe(verdict);
        expect(outcome(indexed)).toEqual(outcome(walked));
        const told = explain(policy, input, walked);
        expect(told.verdict).toBe(verdict === ACCEPT ? 'accept' : 'reject');
        expect(outcome(walked)).toEqual(outcome(indexed));
      }
    }),
    { numRuns: 600 },
  );
});

test('large sets are asked by themselves, and find the same', () => {
  const large = Array.from({ length: 3000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const rules: RuleDefinition[] = Array.from({ length: 20 }, (_, i) => ({
    match: { prefixes: i === 13 ? 'large' : [`10.${i}.7.0/24`], communities: i < 10 ? '65000:9' : '65000:1' },
    action: i === 13 ? 'accept' : 'reject',
  }));
  const policy = compilePolicies({ prefixSets: { large }, policies: { p: { rules } } }).get('p')!;
  const input = newPolicyInput();
  input.attrs = encodeAttributes({ origin: 'igp', asPath: '', communities: ['65000:1'] });
  input.end = input.attrs.length;
  const ruleOf = (text: string): number => {
    const { bytes, length } = parsePrefix(text)!;
    const out = newPolicyOutput();
    evaluate(policy, { ...input, a: readU32(bytes, 0), length }, out);
    return out.rule;
  };
  expect(ruleOf('10.5.7.0/24')).toBe(13);
  expect(ruleOf('10.11.7.0/24')).toBe(11);
  expect(ruleOf('10.11.8.0/24')).toBe(13);
  expect(ruleOf('10.19.7.0/24')).toBe(19);
  expect(ruleOf('10.18.0.0/16')).toBe(-1);
});
