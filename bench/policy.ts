// Two figures. Nanoseconds a route (median of many rounds) for the policies that people run: the built-in ones, a
// prefix list of 100,000 entries, AS path patterns, communities, and changes; each case runs over the same pool of
// routes with distinct attributes, so that no case is flattered by one hot attribute set. And what a table of 200,000
// prefixes costs to take in (decode, intern, judge, store, decide) under policies of many entries and rules, as a
// ratio to no policy. Run: npx tsx bench/policy.ts

import { Rng } from '../src/lib/rng.ts';
import { formatIp4 } from '../src/net/ip.ts';
import { mask4 } from '../src/net/prefix.ts';
import { compilePolicies } from '../src/policy/compile.ts';
import type { PolicyDefinitions, RuleDefinition } from '../src/policy/definition.ts';
import { evaluate } from '../src/policy/evaluate.ts';
import {
  ACCEPT,
  type CompiledPolicy,
  newPolicyInput,
  newPolicyOutput,
  sourceCodes,
} from '../src/policy/program.ts';
import { AttributePool } from '../src/rib/attribute-pool.ts';
import { NextHopTable } from '../src/rib/next-hop-table.ts';
import { PeerTable } from '../src/rib/peer-table.ts';
import { Rib } from '../src/rib/rib.ts';
import type { RouteFilter } from '../src/rib/route-filter.ts';
import { encodeAttributes } from '../src/wire/bgp/attribute/describe.ts';
import { IPV4 } from '../src/wire/bgp/family.ts';
import { UpdateDecoder } from '../src/wire/bgp/update.ts';
import { makeWorkload, wholeMessage } from './workload.ts';

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

/** The table that is taken in, and how often: the least disturbed of so many rounds counts. */
const INGEST = 200_000;
const INGEST_ROUNDS = 7;
const workload = makeWorkload(INGEST, { asn: 65001, nextHop: [10, 99, 0, 2] });

function workloadPrefix(id: number): string {
  return `${formatIp4(workload.table.address[id]!)}/${workload.table.length[id]!}`;
}

/** A thousand rules of all kinds; most change something and go on, so that a route passes several. */
function manyRules(count: number): RuleDefinition[] {
  return Array.from({ length: count }, (_, i): RuleDefinition => {
    const asn = rng.between(1000, 64000);
    switch (i % 8) {
      case 0:
        return {
          match: { communities: [`65001:${rng.below(65_000)}`, `${asn % 64_000}:*`] },
          set: { localPref: i },
          action: 'accept',
        };
      case 1:
        return { match: { asPath: `_${asn}_` }, set: { localPref: 80 }, action: 'next' };
      case 2:
        return { match: { asPath: `^65001_${asn}`, asPathLength: { max: 4 } }, action: 'accept' };
      case 3:
        return {
          match: { prefixes: Array.from({ length: 10 }, () => workloadPrefix(rng.below(INGEST))) },
          action: 'reject',
        };
      case 4:
        return {
          match: {
            prefixes: [{ prefix: `${rng.between(1, 223)}.${rng.below(256)}.0.0/16`, ge: 20, le: 24 }],
          },
          set: { communities: { add: [`65000:${i}`] } },
          action: 'next',
        };
      case 5:
        return { match: { largeCommunities: `${asn}:1:*` }, action: 'reject' };
      case 6:
        return { match: { neighborAs: asn, med: { min: 10 } }, action: 'reject' };
      default:
        return { match: { communities: `65000:${i}`, not: { origin: 'igp' } }, action: 'reject' };
    }
  });
}

const ingestPolicies = compilePolicies({
  prefixSets: {
    list: Array.from({ length: 10_000 }, (_, i) => workloadPrefix(i * 19)),
    ranges: Array.from({ length: 10_000 }, (_, i) => ({ prefix: workloadPrefix(i * 19), le: 24 })),
  },
  policies: {
    '10,000 prefixes': { rules: [{ match: { prefixes: 'list' }, action: 'reject' }], default: 'accept' },
    '10,000 prefixes le 24': {
      rules: [{ match: { prefixes: 'ranges' }, action: 'reject' }],
      default: 'accept',
    },
    '1000 rules': { rules: manyRules(1000), default: 'accept' },
    '1000 rules and 10,000 prefixes': {
      rules: [{ match: { prefixes: 'ranges' }, set: { weight: 50 }, action: 'next' }, ...manyRules(1000)],
      default: 'accept',
    },
    // Every sixth route gets attributes of its own: most of this is interning them.
    '10,000 prefixes, new attributes': {
      rules: [{ match: { prefixes: 'ranges' }, set: { localPref: 50 }, action: 'accept' }],
      default: 'accept',
    },
  },
});

/** The part of the router's filter that costs: the query put into the policy's words, the verdict back. */
function filterOf(policy: CompiledPolicy, pool: AttributePool): RouteFilter {
  return {
    readsPrefix: policy.readsPrefix,
    readsNextHop: policy.readsNextHop,
    readsPeer: policy.readsPeer,
    evaluate(query, verdict) {
      input.family = IPV4;
      input.a = query.a;
      input.length = query.prefixLength;
      input.attrs = query.bytes;
      input.start = query.start;
      input.end = query.end;
      input.attrsKey = pool.birth[query.attrId]!;
      verdict.accept = evaluate(policy, input, out) === ACCEPT;
      if (!verdict.accept) return;
      verdict.weight = out.weight;
      verdict.attrsChanged = out.attrsChanged;
      if (out.attrsChanged) verdict.attrs.reset().copy(out.attrs.bytes, 0, out.attrs.length);
    },
  };
}

/** Milliseconds of processor time to take the table in, and the routes that are held then. */
function ingest(policy: CompiledPolicy | undefined): { ms: number; accepted: number } {
  const pool = new AttributePool({ asn: 65000, routerId: 1, clusterId: 1 });
  const nextHops = new NextHopTable();
  const peers = new PeerTable();
  const rib = new Rib(IPV4, pool, nextHops, peers);
  const peer = peers.add({ kind: 'external', asn: 65001, bgpId: 1, address: new Uint8Array([10, 0, 0, 1]) });
  if (policy !== undefined) rib.setImport(peer, filterOf(policy, pool));
  const decoder = new UpdateDecoder();
  const context = { asn4: true, internal: false, families: 1 << IPV4, addPath: 0 };
  // Time of this process alone: what else runs on the machine is no cost of a policy.
  const start = process.cpuUsage().user;
  for (const chunk of workload.announce) {
    for (let at = 0; at < chunk.length; ) {
      const end = at + wholeMessage(chunk, at, chunk.length);
      const view = decoder.decode(chunk, at + 19, end, context);
      const attrId = pool.intern(view.attrs, 0, view.attrsLength);
      for (let i = 0; i < view.sectionCount; i++) {
        const hop = nextHops.intern(view.nextHop, view.nextHopStart[i]!, view.nextHopLength[i]!, 0);
        if (nextHops.setState(hop, true, 0)) rib.nextHopChanged(hop);
        rib.announce(peer, chunk, view.sectionStart[i]!, view.sectionEnd[i]!, false, attrId, hop);
        nextHops.release(hop);
      }
      pool.release(attrId);
      at = end;
    }
    rib.work(8192);
    rib.decide(1 << 20);
  }
  return { ms: (process.cpuUsage().user - start) / 1000, accepted: rib.routeCount };
}

console.log(`\n${'taking in 200,000 prefixes'.padEnd(32)}       ms  ns/prefix  ratio  accepted`);
const cases: (readonly [string, CompiledPolicy | undefined])[] = [
  ['no policy', undefined],
  ...[...ingestPolicies].filter(([name]) => /^1/.test(name)),
];
const best = new Map<string, { ms: number; accepted: number }>();
for (let round = 0; round < INGEST_ROUNDS; round++)
  for (const [name, policy] of cases) {
    const one = ingest(policy);
    if (one.ms < (best.get(name)?.ms ?? Number.POSITIVE_INFINITY)) best.set(name, one);
  }
const base = best.get('no policy')!.ms;
for (const [name, { ms, accepted }] of best)
  console.log(
    `${name.padEnd(32)} ${ms.toFixed(0).padStart(8)}  ${((ms * 1e6) / INGEST).toFixed(0).padStart(9)}  ` +
      `${(ms / base).toFixed(2).padStart(5)}  ${((100 * accepted) / INGEST).toFixed(0).padStart(6)} %`,
  );
