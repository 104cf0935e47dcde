// Policies as operators write them, run over routes. `run` compiles one policy named `p`, evaluates it, and
// checks on the way that the explanation tells the same story.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readU32 } from '../lib/bytes.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import {
  type AttributesInput,
  describeAttributes,
  encodeAttributes,
} from '../wire/bgp/attribute/describe.ts';
import { compilePolicies, policyNamed } from './compile.ts';
import {
  builtInPolicies,
  type MatchDefinition,
  type PolicyDefinition,
  type PolicyDefinitions,
  type RouteSource,
  type RuleDefinition,
  type SetDefinition,
} from './definition.ts';
import { evaluate } from './evaluate.ts';
import { explain } from './explain.ts';
import {
  ACCEPT,
  type CompiledPolicy,
  NEXT_HOP_ADDRESS,
  NEXT_HOP_DEFAULT,
  NEXT_HOP_SELF,
  NEXT_HOP_UNCHANGED,
  newPolicyInput,
  newPolicyOutput,
  type PolicyInput,
  REJECT,
  sourceCodes,
} from './program.ts';

interface Route {
  prefix?: string;
  attributes?: AttributesInput;
  peer?: string;
  peerAsn?: number;
  source?: RouteSource;
  nextHop?: string;
}

const plain: AttributesInput = { origin: 'igp', asPath: '65001 65002' };

function inputOf(route: Route): PolicyInput {
  const input = newPolicyInput();
  const { bytes, length } = parsePrefix(route.prefix ?? '192.0.2.0/24')!;
  input.family = bytes.length === 4 ? 0 : 1;
  input.a = readU32(bytes, 0);
  if (bytes.length === 16) {
    input.b = readU32(bytes, 4);
    input.c = readU32(bytes, 8);
    input.d = readU32(bytes, 12);
  }
  input.length = length;
  // The attributes lie in a pool, not at its beginning.
  const attributes = encodeAttributes(route.attributes ?? plain);
  input.attrs = Uint8Array.of(1, 2, 3, ...attributes, 4, 5);
  input.start = 3;
  input.end = 3 + attributes.length;
  input.peerName = route.peer ?? 'spine1';
  input.peerAsn = route.peerAsn ?? 65001;
  input.source = sourceCodes[route.source ?? 'bgp'];
  input.localAsn = 65100;
  if (route.nextHop !== undefined) {
    const nextHop = parseIp(route.nextHop)!;
    input.nextHop = Uint8Array.of(7, ...nextHop);
    input.nextHopStart = 1;
    input.nextHopLength = nextHop.length;
  }
  return input;
}

type Sets = Omit<PolicyDefinitions, 'policies'>;

function compileOne(definition: PolicyDefinition, sets: Sets = {}): CompiledPolicy {
  return policyNamed(compilePolicies({ ...sets, policies: { p: definition } }), 'p', 'bgp.peers[0].import');
}

function run(policy: CompiledPolicy, route: Route) {
  const input = inputOf(route);
  const before = input.attrs.slice();
  const out = newPolicyOutput();
  const verdict = evaluate(policy, input, out);
  expect(input.attrs).toEqual(before);
  const told = newPolicyOutput();
  const explanation = explain(policy, input, told);
  expect(explanation.verdict).toBe(verdict === ACCEPT ? 'accept' : 'reject');
  expect([told.rule, told.attrsChanged, told.weight, told.nextHop]).toEqual([
    out.rule,
    out.attrsChanged,
    out.weight,
    out.nextHop,
  ]);
  if (out.attrsChanged) expect(told.attrs.take()).toEqual(out.attrs.take());
  return { verdict, out, explanation };
}

function accepts(match: MatchDefinition, route: Route, sets: Sets = {}): boolean {
  return run(compileOne({ rules: [{ match, action: 'accept' }] }, sets), route).verdict === ACCEPT;
}

const withLists: AttributesInput = {
  ...plain,
  med: 50,
  localPref: 200,
  communities: ['65000:1', '65000:2', 'no-export'],
  largeCommunities: ['65000:1:2'],
  extendedCommunities: ['rt:65000:7', 'soo:10.0.0.1:3'],
};

describe('conditions', () => {
  test.each([
    [{ family: 'ipv4' }, {}, true],
    [{ family: 'ipv4' }, { prefix: '2001:db8::/32' }, false],
    [{ family: ['ipv4', 'ipv6'] }, { prefix: '2001:db8::/32' }, true],
    [{ prefixes: ['192.0.2.0/24'] }, {}, true],
    [{ prefixes: '192.0.2.0/24' }, {}, true],
    [{ prefixes: ['192.0.2.0/25'] }, {}, false],
    [{ prefixes: [{ prefix: '192.0.0.0/16', ge: 24 }] }, {}, true],
    [{ prefixes: [{ prefix: '192.0.0.0/16', ge: 24 }] }, { prefix: '192.0.2.1/32' }, true],
    [{ prefixes: [{ prefix: '192.0.0.0/16', le: 24 }] }, { prefix: '192.0.2.1/32' }, false],
    [{ prefixes: [{ prefix: '192.0.0.0/16', ge: 25, le: 32 }] }, {}, false],
    [{ prefixes: ['2001:db8::/32'] }, { prefix: '2001:db8::/32' }, true],
    [{ isDefault: true }, { prefix: '0.0.0.0/0' }, true],
    [{ isDefault: true }, { prefix: '::/0' }, true],
    [{ isDefault: true }, {}, false],
    [{ isDefault: false }, {}, true],
    [{ asPath: '^65001_' }, {}, true],
    [{ asPath: ['^65009_', '_65002$'] }, {}, true],
    [{ asPath: '^$' }, { attributes: { origin: 'igp', asPath: '' } }, true],
    [{ asPath: '^$' }, { attributes: { origin: 'igp' } }, true],
    [{ asPathLength: 2 }, {}, true],
    [{ asPathLength: { max: 1 } }, {}, false],
    [{ asPathLength: { min: 2, max: 3 } }, { attributes: { asPath: '1 {2 3 4}' } }, true],
    [{ asPathLength: 0 }, { attributes: { asPath: '(65001)' } }, true],
    [{ communities: '65000:1' }, { attributes: withLists }, true],
    [{ communities: ['65000:9', 'no-export'] }, { attributes: withLists }, true],
    [{ communities: '65000:*' }, {}, false],
    [{ allCommunities: ['65000:1', 'no-export'] }, { attributes: withLists }, true],
    [{ allCommunities: ['65000:1', 'blackhole'] }, { attributes: withLists }, false],
    [{ largeCommunities: '65000:*:2' }, { attributes: withLists }, true],
    [{ allLargeCommunities: ['65000:1:2', '65000:1:3'] }, { attributes: withLists }, false],
    [{ extendedCommunities: 'rt:65000:*' }, { attributes: withLists }, true],
    [{ extendedCommunities: 'rt:65001:*' }, { attributes: withLists }, false],
    [{ allExtendedCommunities: ['rt:65000:7', 'soo:*:3'] }, { attributes: withLists }, true],
    [{ peer: 'spine1' }, {}, true],
    [{ peer: 'spine*' }, {}, true],
    [{ peer: ['leaf?', 'tor*'] }, {}, false],
    [{ neighborAs: 65001 }, {}, true],
    [{ neighborAs: '65000-65199' }, {}, true],
    [{ neighborAs: [1, '65002-65199'] }, {}, false],
    [{ origin: 'igp' }, {}, true],
    [{ origin: ['egp', 'incomplete'] }, {}, false],
    [{ nextHop: '10.0.0.1' }, { nextHop: '10.0.0.1' }, true],
    [{ nextHop: '10.0.0.0/8' }, { nextHop: '10.9.9.9' }, true],
    [{ nextHop: '10.0.0.0/8' }, { nextHop: '11.9.9.9' }, false],
    [{ nextHop: ['10.0.0.0/8', 'fe80::/10'] }, { nextHop: 'fe80::1' }, true],
    [{ nextHop: '0.0.0.0/0' }, {}, false],
    [{ localPref: 100 }, {}, true],
    [{ localPref: { min: 150 } }, { attributes: withLists }, true],
    [{ med: 50 }, { attributes: withLists }, true],
    [{ med: { min: 0 } }, {}, false],
    [{ source: 'bgp' }, {}, true],
    [{ source: ['local', 'static'] }, { source: 'static' }, true],
    [{ source: ['local', 'static'] }, { source: 'kernel' }, false],
    [{ peer: 'spine1', family: 'ipv6' }, {}, false],
    [{}, {}, true],
  ] as [MatchDefinition, Route, boolean][])('%j on %j: %s', (match, route, expected) => {
    expect(accepts(match, route)).toBe(expected);
  });

  test('sets by name, alone, in lists, within each other', () => {
    const sets: Sets = {
      prefixSets: { lab: [{ prefix: '10.0.0.0/8', le: 32 }], all: ['lab', '192.0.2.0/24'] },
      asPathSets: { upstream: ['^3356_', '^1299_'] },
      communitySets: { customers: ['65000:*', 'blackhole'] },
      largeCommunitySets: { big: ['1:*:*'] },
      extendedCommunitySets: { red: ['rt:65000:7'] },
    };
    expect(accepts({ prefixes: 'lab' }, { prefix: '10.1.0.0/16' }, sets)).toBe(true);
    expect(accepts({ prefixes: 'lab' }, {}, sets)).toBe(false);
    expect(accepts({ prefixes: ['all', '::/0'] }, { prefix: '10.1.0.0/16' }, sets)).toBe(true);
    expect(accepts({ prefixes: ['all', '::/0'] }, { prefix: '::/0' }, sets)).toBe(true);
    expect(accepts({ asPath: 'upstream' }, { attributes: { asPath: '1299 5' } }, sets)).toBe(true);
    expect(accepts({ asPath: ['upstream', '_5$'] }, { attributes: { asPath: '7 5' } }, sets)).toBe(true);
    expect(accepts({ communities: 'customers' }, { attributes: withLists }, sets)).toBe(true);
    expect(accepts({ allCommunities: ['customers', 'blackhole'] }, { attributes: withLists }, sets)).toBe(
      false,
    );
    expect(accepts({ largeCommunities: ['big'] }, { attributes: withLists }, sets)).toBe(false);
    expect(accepts({ extendedCommunities: 'red' }, { attributes: withLists }, sets)).toBe(true);
  });
});

describe('changes', () => {
  function changed(set: SetDefinition, attributes: AttributesInput = withLists) {
    const { out } = run(compileOne({ rules: [{ set, action: 'accept' }] }), { attributes });
    if (!out.attrsChanged) return undefined;
    const bytes = out.attrs.take();
    const view = describeAttributes(bytes);
    // Canonical: encoding what was read gives the same bytes.
    expect(encodeAttributes(view)).toEqual(bytes);
    return view;
  }

  test.each([
    [{ localPref: 300 }, { localPref: 300 }],
    [{ localPref: '+50' }, { localPref: 250 }],
    [{ localPref: '-500' }, { localPref: 0 }],
    [{ med: 7 }, { med: 7 }],
    [{ med: '+4294967295' }, { med: 4294967295 }],
    [{ med: '-20' }, { med: 30 }],
    [{ origin: 'incomplete' }, { origin: 'incomplete' }],
    [{ prepend: { asn: 64999, count: 2 } }, { asPath: '64999 64999 65001 65002' }],
    [{ prepend: {} }, { asPath: '65100 65001 65002' }],
    [
      { communities: { add: ['65000:1', '65000:3'] } },
      { communities: ['65000:1', '65000:2', 'no-export', '65000:3'] },
    ],
    [{ communities: { remove: ['65000:*'] } }, { communities: ['no-export'] }],
    [{ communities: { remove: ['65000:*'], add: ['65000:5'] } }, { communities: ['no-export', '65000:5'] }],
    [{ communities: { set: ['1:1', '1:1'] } }, { communities: ['1:1'] }],
    [
      { communities: { set: ['1:1', '2:2'], remove: ['2:*'], add: ['3:3'] } },
      { communities: ['1:1', '3:3'] },
    ],
    [{ largeCommunities: { add: ['1:2:3'] } }, { largeCommunities: ['65000:1:2', '1:2:3'] }],
    [{ extendedCommunities: { remove: ['soo:*:*'] } }, { extendedCommunities: ['rt:65000:7'] }],
  ] as [SetDefinition, Partial<AttributesInput>][])('%j', (set, expected) => {
    const { asPathSegments: _before, ...before } = describeAttributes(encodeAttributes(withLists));
    const { asPathSegments: _after, ...after } = changed(set)!;
    expect(after).toEqual({ ...before, ...expected });
  });

  test('attributes that go altogether', () => {
    expect(changed({ med: 'remove' })).not.toHaveProperty('med');
    expect(changed({ communities: { set: [] } })).not.toHaveProperty('communities');
    expect(changed({ communities: { remove: ['*:*'] } })).not.toHaveProperty('communities');
  });

  test('attributes that were not there', () => {
    expect(changed({ med: '-5' }, plain)).toMatchObject({ med: 0 });
    expect(changed({ localPref: '+1' }, plain)).toMatchObject({ localPref: 101 });
    expect(changed({ communities: { add: ['no-export'] } }, plain)).toMatchObject({
      communities: ['no-export'],
    });
  });

  test('what leaves the bytes as they were is no change', () => {
    expect(changed({ localPref: 200 })).toBeUndefined();
    expect(changed({ communities: { add: ['65000:1'] } })).toBeUndefined();
    expect(changed({ communities: { remove: ['1:*'] } })).toBeUndefined();
    expect(changed({ med: 'remove' }, plain)).toBeUndefined();
    expect(changed({ weight: 5, nextHop: 'self' })).toBeUndefined();
  });

  test('a list of more than 255 bytes keeps its flags and order', () => {
    const communities = Array.from({ length: 80 }, (_, i) => `1:${i}`);
    const view = changed({ communities: { add: ['2:2'] } }, { ...plain, communities, partial: [8] })!;
    expect(view.communities).toEqual([...communities, '2:2']);
    expect(view.partial).toEqual([8]);
  });

  test('weight and next hop are for the caller', () => {
    const set = (value: SetDefinition) =>
      run(compileOne({ rules: [{ set: value, action: 'accept' }] }), {}).out;
    expect(set({}).weight).toBe(-1);
    expect(set({}).nextHop).toBe(NEXT_HOP_DEFAULT);
    expect(set({ weight: 40 }).weight).toBe(40);
    expect(set({ nextHop: 'self' }).nextHop).toBe(NEXT_HOP_SELF);
    expect(set({ nextHop: 'unchanged' }).nextHop).toBe(NEXT_HOP_UNCHANGED);
    const out = set({ nextHop: '2001:db8::1' });
    expect([out.nextHop, formatIp(out.nextHopAddress)]).toEqual([NEXT_HOP_ADDRESS, '2001:db8::1']);
  });
});

describe('rules in order', () => {
  const rules: RuleDefinition[] = [
    {
      name: 'tag',
      match: { peer: 'spine*' },
      set: { communities: { add: ['65000:9'] }, localPref: 150 },
      action: 'next',
    },
    {
      name: 'tagged',
      match: { communities: '65000:9', localPref: 150 },
      set: { med: 1, weight: 2 },
      action: 'accept',
    },
    { match: { prefixes: ['192.0.2.0/24'] }, action: 'reject' },
  ];
  const policy = compileOne({ default: 'accept', rules });

  test('next hands the changed route on', () => {
    const { verdict, out, explanation } = run(policy, {});
    expect(verdict).toBe(ACCEPT);
    expect(out.rule).toBe(1);
    expect(describeAttributes(out.attrs.take())).toMatchObject({
      communities: ['65000:9'],
      localPref: 150,
      med: 1,
    });
    expect(explanation).toMatchObject({
      policy: 'p',
      verdict: 'accept',
      rule: { index: 1, name: 'tagged' },
      changes: ['localPref: 150', 'communities: add 65000:9', 'med: 1', 'weight: 2'],
      text: 'p: rule 2 (tagged) accepts: localPref: 150; communities: 65000:9',
    });
    expect(explanation.rules).toHaveLength(2);
  });

  test('a rule that does not hold is told with the condition that failed', () => {
    const { verdict, out, explanation } = run(policy, { peer: 'leaf1' });
    expect(verdict).toBe(REJECT);
    expect(out.rule).toBe(2);
    expect(explanation.rules.map((rule) => rule.failed)).toEqual([
      'peer: spine*',
      'localPref: 150',
      undefined,
    ]);
    expect(explanation.text).toBe('p: rule 3 rejects: prefixes: 192.0.2.0/24');
  });

  test('the default decides in the end', () => {
    const { verdict, out, explanation } = run(policy, { peer: 'leaf1', prefix: '10.0.0.0/8' });
    expect([verdict, out.rule]).toEqual([ACCEPT, -1]);
    expect(explanation.text).toBe('p: no rule decided, the default accepts');
    expect(run(compileOne({ rules: [] }), {}).verdict).toBe(REJECT);
  });

  test('an output record can be used again', () => {
    const out = newPolicyOutput();
    evaluate(policy, inputOf({}), out);
    evaluate(policy, inputOf({ peer: 'leaf1', prefix: '10.0.0.0/8' }), out);
    expect([out.attrsChanged, out.weight, out.nextHop, out.rule]).toEqual([false, -1, NEXT_HOP_DEFAULT, -1]);
  });
});

describe('what a verdict may be kept by', () => {
  const reads = (match: MatchDefinition) => {
    const { readsPrefix, readsPeer, readsNextHop } = compileOne({ rules: [{ match, action: 'accept' }] });
    return [readsPrefix, readsPeer, readsNextHop];
  };
  test.each([
    [
      { communities: '1:1', asPath: '1', localPref: 1, med: 1, origin: 'igp', family: 'ipv4' },
      [false, false, false],
    ],
    [{ prefixes: '::/0' }, [true, false, false]],
    [{ isDefault: true }, [true, false, false]],
    [{ peer: 'x' }, [false, true, false]],
    [{ neighborAs: 1 }, [false, true, false]],
    [{ source: 'bgp' }, [false, true, false]],
    [{ nextHop: '::1' }, [false, false, true]],
  ] as [MatchDefinition, boolean[]][])('%j', (match, expected) => {
    expect(reads(match)).toEqual(expected);
  });
});

describe('built-in policies', () => {
  const policies = compilePolicies({});
  const verdictOf = (name: string, route: Route) => run(policyNamed(policies, name, 'x'), route).verdict;

  test('are those that intent knows', () => {
    expect([...policies.keys()].sort()).toEqual([...builtInPolicies].sort());
  });

  test('accept-all and reject-all', () => {
    expect(verdictOf('accept-all', {})).toBe(ACCEPT);
    expect(verdictOf('reject-all', {})).toBe(REJECT);
  });

  test('own-only never passes on what a peer said', () => {
    expect(verdictOf('own-only', { source: 'bgp' })).toBe(REJECT);
    for (const source of ['local', 'connected', 'static', 'kernel'] as const) {
      expect(verdictOf('own-only', { source })).toBe(ACCEPT);
    }
  });

  test.each([
    ['0.0.0.0/0', ACCEPT],
    ['10.0.0.1/32', ACCEPT],
    ['::/0', ACCEPT],
    ['2001:db8::1/128', ACCEPT],
    ['127.0.0.1/32', REJECT],
    ['0.0.0.0/8', REJECT],
    ['169.254.1.0/24', REJECT],
    ['224.0.0.5/32', REJECT],
    ['::1/128', REJECT],
    ['fe80::/64', REJECT],
    ['ff02::1/128', REJECT],
  ])('accept-fabric and %s', (prefix, expected) => {
    expect(verdictOf('accept-fabric', { prefix })).toBe(expected);
  });

  test('accept-fabric puts routes of a peer that leaves last (RFC 8326)', () => {
    const route = { attributes: { ...withLists, communities: ['graceful-shutdown'] } };
    const { out } = run(policyNamed(policies, 'accept-fabric', 'x'), route);
    expect(describeAttributes(out.attrs.take()).localPref).toBe(0);
  });
});

describe('what cannot be compiled', () => {
  const rule = (match: MatchDefinition): PolicyDefinitions => ({
    policies: { edge: { rules: [{ action: 'next' }, { match, action: 'accept' }] } },
  });
  const set = (value: SetDefinition): PolicyDefinitions => ({
    policies: { edge: { rules: [{ set: value, action: 'accept' }] } },
  });
  const at = 'policies.edge.rules[1].match';
  const setAt = 'policies.edge.rules[0].set';
  test.each([
    [rule({ prefixes: 'lab' }), `${at}.prefixes: there is no lab in policies.prefixSets`],
    [rule({ prefixes: ['::/0', 'lab'] }), `${at}.prefixes[1]: there is no lab in policies.prefixSets`],
    [
      rule({ prefixes: ['10.0.0.1/8'] }),
      `${at}.prefixes[0]: 10.0.0.1/8 is no prefix, or has bits beyond its length`,
    ],
    [
      rule({ prefixes: [{ prefix: '10.0.0.0/8', le: 33 }] }),
      `${at}.prefixes[0]: 10.0.0.0/8 le 33: wants 8 <= ge <= le <= 32`,
    ],
    [
      rule({ prefixes: [{ prefix: '10.0.0.0/8', ge: 7 }] }),
      `${at}.prefixes[0]: 10.0.0.0/8 ge 7: wants 8 <= ge <= le <= 32`,
    ],
    [rule({ asPath: 'nope' }), `${at}.asPath: there is no nope in policies.asPathSets`],
    [rule({ asPath: '(1' }), `${at}.asPath: (1: a ( that is not closed, at character 1`],
    [rule({ communities: 'nope' }), `${at}.communities: there is no nope in policies.communitySets`],
    [rule({ communities: ['1:70000'] }), `${at}.communities[0]: 1:70000 is no community`],
    [rule({ communities: 'toString' }), `${at}.communities: there is no toString in policies.communitySets`],
    [rule({ neighborAs: '9-3' }), `${at}.neighborAs: 9-3 is no ASN or range`],
    [rule({ nextHop: ['x'] }), `${at}.nextHop[0]: there is no x in policies.prefixSets`],
    [rule({ nextHop: ['1.2.3.4/99'] }), `${at}.nextHop[0]: 1.2.3.4/99 is no address or prefix`],
    [rule({ family: 'ipx' }), `${at}.family: ipx is no family`],
    [rule({ med: { min: 5, max: 4 } }), `${at}.med: is no range of numbers`],
    [rule({ source: 'moon' as 'bgp' }), `${at}.source: moon is no source`],
    [set({ med: 'much' }), `${setAt}.med: much is no number of 32 bits, +n or -n`],
    [set({ localPref: 4294967296 }), `${setAt}.localPref: 4294967296 is no number of 32 bits, +n or -n`],
    [set({ communities: { add: ['1:*'] } }), `${setAt}.communities.add[0]: 1:* is no single community`],
    [set({ prepend: { count: 65 } }), `${setAt}.prepend.count: 65 is not from 1 to 64`],
    [set({ prepend: { asn: 0 } }), `${setAt}.prepend.asn: 0 is no ASN`],
    [set({ nextHop: 'me' }), `${setAt}.nextHop: me is not self, unchanged or an address`],
    [{ policies: { 'own-only': { rules: [] } } }, 'policies.own-only: is the name of a built-in policy'],
    [
      { prefixSets: { a: ['b'], b: ['a'] }, ...rule({ prefixes: 'a' }) },
      'policies.prefixSets.b[0]: makes the set a contain itself',
    ],
    [
      { communitySets: { a: ['1:1', 'b'] }, ...rule({ communities: 'a' }) },
      'policies.communitySets.a[1]: b is no community',
    ],
  ] as [PolicyDefinitions, string][])('%j', (definitions, message) => {
    let error: unknown;
    try {
      compilePolicies(definitions);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(LeafdError);
    expect((error as LeafdError).message).toBe(message);
  });

  test('a policy that is not there', () => {
    expect(() => policyNamed(compilePolicies({}), 'nope', 'bgp.groups.fabric.import')).toThrow(
      'bgp.groups.fabric.import: there is no policy nope',
    );
  });
});

describe('properties', () => {
  const matches: MatchDefinition[] = [
    { communities: '65000:*' },
    { asPath: '_65002$' },
    { med: { max: 40 } },
    { localPref: { min: 120 } },
    { asPathLength: { min: 3 } },
    { prefixes: [{ prefix: '192.0.0.0/8', le: 24 }] },
    { peer: 'spine?' },
  ];
  const sets: SetDefinition[] = [
    { communities: { add: ['65000:9'] } },
    { communities: { remove: ['65000:*'] } },
    { med: '+30' },
    { localPref: '+30' },
    { prepend: { count: 1 } },
    { origin: 'egp', weight: 3 },
    { largeCommunities: { set: ['1:2:3'] } },
  ];
  const anyRule: fc.Arbitrary<RuleDefinition> = fc.record({
    match: fc
      .subarray(matches, { maxLength: 2 })
      .map((list) => Object.assign({}, ...list) as MatchDefinition),
    set: fc.subarray(sets, { maxLength: 3 }).map((list) => Object.assign({}, ...list) as SetDefinition),
    action: fc.constantFrom('accept', 'reject', 'next', 'next'),
  });
  const anyRoute: fc.Arbitrary<Route> = fc.record({
    prefix: fc.constantFrom('192.0.2.0/24', '10.0.0.0/8', '2001:db8::/32'),
    attributes: fc.constantFrom(plain, withLists, {}),
    peer: fc.constantFrom('spine1', 'leaf12'),
  });

  test('any policy leaves canonical attributes, the input untouched, and a true explanation', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 6 }), anyRoute, (rules, route) => {
        const { out } = run(compileOne({ rules }), route);
        if (!out.attrsChanged) return;
        const bytes = out.attrs.take();
        expect(encodeAttributes(describeAttributes(bytes))).toEqual(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  test('rules of `next` alone are the same as policies run one after the other', () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 5 }), anyRoute, (rules, route) => {
        const steps = rules.map((rule) => ({ ...rule, action: 'next' as const }));
        const input = inputOf(route);
        const whole = newPolicyOutput();
        evaluate(compileOne({ default: 'accept', rules: steps }), input, whole);
        let attributes: Uint8Array = input.attrs.slice(input.start, input.end);
        const wholeAttributes = whole.attrsChanged ? whole.attrs.take() : attributes;
        const out = newPolicyOutput();
        for (const step of steps) {
          evaluate(
            compileOne({ default: 'accept', rules: [step] }),
            { ...input, attrs: attributes, start: 0, end: attributes.length },
            out,
          );
          if (out.attrsChanged) attributes = out.attrs.take();
        }
        expect(wholeAttributes).toEqual(attributes);
      }),
      { numRuns: 300 },
    );
  });
});
