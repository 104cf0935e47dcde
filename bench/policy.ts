// Nanoseconds a route (median of many rounds) for the policies that people run: the built-in ones, a prefix
// list of 100,000 entries, AS path patterns, communities, and changes. Each case runs over the same pool of
// routes with distinct attributes, so that no case is flattered by one hot attribute set. Run: npx tsx
// bench/policy.ts

import { Rng } from '../src/lib/rng.ts';
import { formatIp4 } from '../src/net/ip.ts';
import { mask4 } from '../src/net/prefix.ts';
import { compilePolicies } from '../src/policy/compile.ts';
import type { PolicyDefinitions, RuleDefinition } from '../src/policy/definition.ts';
import { evaluate } from '../src/policy/evaluate.ts';
import { ACCEPT, newPolicyInput, newPolicyOutput, sourceCodes } from '../src/policy/program.ts';
import { encodeAttributes } from '../src/wire/bgp/attribute/describe.ts';

const ROUTES = 4096;
const ROUNDS = 101;
const rng = new Rng(1);

interface Pool {
  bytes: Uint8Array;
  starts: Uint32Array;
  addresses: Uint32Array;
  lengths: Uint8Array;
}

function pool(): Pool {
  const sets: Uint8Array[] = [];
  for (let i = 0; i < ROUTES; i++) {
    const hops = Array.from({ length: rng.between(2, 6) }, () => rng.between(1, 65000));
    const communities = Array.from(
      { length: rng.between(0, 8) },
      () => `${rng.between(1, 65000)}:${rng.below(1000)}`,
    );
    sets.push(encodeAttributes({ origin: 'igp', asPath: hops, med: rng.below(100), communities }));
  }
  const bytes = new Uint8Array(sets.reduce((sum, set) => sum + set.length, 0));
  const starts = new Uint32Array(ROUTES + 1);
  sets.forEach((set, i) => {
    bytes.set(set, starts[i]);
    starts[i + 1] = starts[i]! + set.length;
  });
  const lengths = Uint8Array.from(sets, () => rng.between(16, 24));
  const addresses = Uint32Array.from(lengths, (length) => (rng.u32() & mask4(length)) >>> 0);
  return { bytes, starts, addresses, lengths };
}

const routes = pool();

/** Prefixes of the pool among others, so that a part of the routes is found. */
function prefixList(count: number): { prefix: string; le?: number }[] {
  const prefixes = new Set<string>();
  for (let i = 0; prefixes.size < count; i++) {
    const fromPool = i % 2 === 0 && i / 2 < ROUTES / 2;
    const length = fromPool ? routes.lengths[i / 2]! : rng.between(16, 24);
    const address = fromPool ? routes.addresses[i / 2]! : (rng.u32() & mask4(length)) >>> 0;
    prefixes.add(`${formatIp4(address)}/${length}`);
  }
  return [...prefixes].map((prefix) => ({ prefix }));
}

const exact = prefixList(100_000);
const rule = (parts: Omit<RuleDefinition, 'action'>): RuleDefinition => ({ ...parts, action: 'accept' });

const definitions: PolicyDefinitions = {
  prefixSets: { exact, le24: exact.map(({ prefix }) => ({ prefix, le: 24 })) },
  policies: {
    'prefix list, 100 k exact': { rules: [rule({ match: { prefixes: 'exact' } })] },
    'prefix list, 100 k le 24': { rules: [rule({ match: { prefixes: 'le24' } })] },
    'as path ^[1-30000]': { rules: [rule({ match: { asPath: '^[1-30000]' } })] },
    'as path _65001_': { rules: [rule({ match: { asPath: '_65001_' } })] },
    'as path ^(1|2|3)_.*_(4|5)$': { rules: [rule({ match: { asPath: '^(1|2|3)_.*_(4|5)$' } })] },
    'communities, 3 wildcards': { rules: [rule({ match: { communities: ['1:*', '2:*', '3:*'] } })] },
    'set localPref': { rules: [rule({ set: { localPref: 200 } })] },
    'add a community': { rules: [rule({ set: { communities: { add: ['65000:1'] } } })] },
    'prepend 3': { rules: [rule({ set: { prepend: { asn: 65000, count: 3 } } })] },
    'ten rules, the last decides': {
      rules: [
        ...Array.from({ length: 9 }, (_, i) => rule({ match: { communities: `6500${i}:*` } })),
        rule({ match: { asPath: '.*' }, set: { localPref: 200, communities: { add: ['65000:1'] } } }),
      ],
    },
  },
};

const before = performance.now();
const policies = compilePolicies(definitions);
console.log(`compile (two sets of 100,000 prefixes): ${(performance.now() - before).toFixed(0)} ms`);

const input = newPolicyInput();
const out = newPolicyOutput();
input.attrs = routes.bytes;
input.source = sourceCodes.bgp;
input.peerName = 'spine1';
input.peerAsn = 65001;
input.localAsn = 65100;

console.log(`${'policy'.padEnd(32)} ns/route  accepted`);
for (const [name, policy] of policies) {
  let accepted = 0;
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    for (let i = 0; i < ROUTES; i++) {
      input.start = routes.starts[i]!;
      input.end = routes.starts[i + 1]!;
      input.a = routes.addresses[i]!;
      input.length = routes.lengths[i]!;
      if (evaluate(policy, input, out) === ACCEPT) accepted++;
    }
    times.push(performance.now() - start);
  }
  const median = times.sort((a, b) => a - b)[ROUNDS >> 1]!;
  const share = ((100 * accepted) / (ROUTES * ROUNDS)).toFixed(0);
  console.log(
    `${name.padEnd(32)} ${((median * 1e6) / ROUTES).toFixed(0).padStart(8)}  ${share.padStart(6)} %`,
  );
}
