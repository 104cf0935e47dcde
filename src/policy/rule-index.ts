// Finds the few rules of a long policy that can matter for a route, so that a thousand rules cost little more than
// ten. What rules ask of a route falls into two parts:
//
//   of attributes, peer and family   judged once for each set of attributes, and kept for the routes that follow with
//                                    the same: a bit for each rule whose conditions of this part hold. Rules that ask
//                                    for communities or ASNs are looked up by those that the route has; only the
//                                    others are tried one by one.
//   of the route itself              prefixes by one walk over all sets (prefix-classes.ts); the rest is asked of
//                                    the rules that are left.
//
// The rules left are taken in order, as evaluate.ts would. A rule that changes attributes which a later one reads has
// the first part judged again for the changed ones. Holds state of the route before: not for two threads.

import { readU32 } from '../lib/bytes.ts';
import { valueEnd, valueStart } from '../wire/bgp/attribute/canonical.ts';
import {
  AS_PATH,
  COMMUNITIES,
  EXT_COMMUNITIES,
  LARGE_COMMUNITIES,
  LOCAL_PREF,
  MED,
  ORIGIN,
} from '../wire/bgp/attribute/table.ts';
import type { AsPathMatcher } from './as-path-matcher.ts';
import { applyChange } from './change.ts';
import type { CommunityKeys, CommunitySet } from './community-set.ts';
import { attributeAt, holds, prefixWords } from './evaluate.ts';
import { PrefixClasses, RuleHits } from './prefix-classes.ts';
import type { PrefixSet } from './prefix-set.ts';
import {
  type CompiledPolicy,
  EDIT_COMMUNITIES,
  IF_ALL_COMMUNITIES,
  IF_AS_PATH,
  IF_AS_PATH_LENGTH,
  IF_COMMUNITY,
  IF_LOCAL_PREF,
  IF_MED,
  IF_NEIGHBOR_AS,
  IF_ORIGIN,
  IF_PREFIX,
  NEXT,
  type PolicyInput,
  type PolicyOutput,
  PREPEND,
  PREPEND_FIRST,
  REMOVE_MED,
  SET_LOCAL_PREF,
  SET_MED,
  SET_ORIGIN,
  type Verdict,
} from './program.ts';

/** More keys of one rule than this are not worth their places. */
const MAX_KEYS = 4096;

/** Rules by a number that a route must have. */
class Lookup {
  readonly #rules = new Map<number, number[] | Uint32Array>();

  add(key: number, rule: number): void {
    const rules = this.#rules.get(key) as number[] | undefined;
    if (rules === undefined) this.#rules.set(key, [rule]);
    else if (rules.at(-1) !== rule) rules.push(rule);
  }

  settle(): void {
    for (const [key, rules] of this.#rules) this.#rules.set(key, Uint32Array.from(rules));
  }

  get isEmpty(): boolean {
    return this.#rules.size === 0;
  }

  find(key: number): Uint32Array | undefined {
    return this.#rules.get(key) as Uint32Array | undefined;
  }
}

/** One attribute of communities: whole ones by a hash of their words, patterns by what they fix. */
class CommunityLookup {
  readonly attribute: number;
  readonly #words: number;
  readonly #exact = new Lookup();
  readonly #first = new Lookup();
  readonly #high = new Lookup();

  constructor(attribute: number, words: number) {
    this.attribute = attribute;
    this.#words = words;
  }

  add({ exact, firstWords, highHalves }: CommunityKeys, rule: number): void {
    for (let at = 0; at < exact.length; at += this.#words) {
      let key = exact[at]!;
      for (let word = 1; word < this.#words; word++) key = mixed(key, exact[at + word]!);
      this.#exact.add(key, rule);
    }
    for (const key of firstWords) this.#first.add(key, rule);
    for (const key of highHalves) this.#high.add(key, rule);
  }

  settle(): void {
    for (const lookup of [this.#exact, this.#first, this.#high]) lookup.settle();
  }

  get isEmpty(): boolean {
    return this.#exact.isEmpty && this.#first.isEmpty && this.#high.isEmpty;
  }

  exact(bytes: Uint8Array, at: number): Uint32Array | undefined {
    let key = readU32(bytes, at);
    for (let word = 1; word < this.#words; word++) key = mixed(key, readU32(bytes, at + 4 * word));
    return this.#exact.find(key);
  }

  first(bytes: Uint8Array, at: number): Uint32Array | undefined {
    return this.#first.isEmpty ? undefined : this.#first.find(readU32(bytes, at));
  }

  high(bytes: Uint8Array, at: number): Uint32Array | undefined {
    return this.#high.isEmpty ? undefined : this.#high.find(readU32(bytes, at) >>> 16);
  }

  get width(): number {
    return 4 * this.#words;
  }
}

/** Not a hash against an enemy: the keys are the operator's, and what is found is asked in full. */
function mixed(key: number, word: number): number {
  return (Math.imul(key ^ (key >>> 15), 0x2c1b3c6d) ^ word) >>> 0;
}

export class RuleIndex {
  readonly #words: number;
  /** Rules that ask nothing of the attributes. */
  readonly #open: Uint32Array;
  /** Rules that are in no lookup: tried for each set of attributes. */
  readonly #tried: Uint32Array;
  readonly #standard = new CommunityLookup(COMMUNITIES, 1);
  readonly #large = new CommunityLookup(LARGE_COMMUNITIES, 3);
  readonly #extended = new CommunityLookup(EXT_COMMUNITIES, 2);
  readonly #lookups = [this.#standard, this.#large, this.#extended];
  readonly #asns = new Lookup();
  readonly #neighbors = new Lookup();
  /** How often patterns ask for an ASN, while rules are entered. */
  readonly #asnUses = new Map<number, number>();
  /** Rules with a prefix condition, as bits, and which sets they name. */
  readonly #prefixed: Uint32Array;
  readonly #classes: PrefixClasses | undefined;
  readonly #hits: RuleHits;
  /** 1: changes attributes that a rule behind it reads. */
  readonly #rejudges: Uint8Array;
  /** Where the changes and conditions of a rule begin. */
  readonly #firstChange: Uint32Array;
  readonly #firstCondition: Uint32Array;
  /** The first condition that is asked of a rule that is left. */
  readonly #firstAsked: Uint32Array;
  readonly #hasCalls: boolean;

  /** The judgement kept, and of what. */
  readonly #judged: Uint32Array;
  readonly #changed: Uint32Array;
  /** No rule is left by the judgement alone: only a prefix could find one. */
  #isPlain = false;
  #attrs = new Uint8Array(256);
  #attrsLength = -1;
  #attrsKey = 0;
  #peerName = '';
  #peerAsn = -1;
  #source = -1;
  #family = -1;

  constructor(policy: CompiledPolicy) {
    const { ruleCount } = policy;
    this.#words = (ruleCount + 31) >>> 5;
    this.#open = new Uint32Array(this.#words);
    this.#prefixed = new Uint32Array(this.#words);
    this.#hits = new RuleHits(ruleCount);
    this.#judged = new Uint32Array(this.#words);
    this.#changed = new Uint32Array(this.#words);
    this.#firstCondition = Uint32Array.from({ length: ruleCount }, (_, i) => policy.conditionEnd[i - 1] ?? 0);
    this.#firstAsked = policy.routeStart.slice();
    this.#firstChange = Uint32Array.from({ length: ruleCount }, (_, i) => policy.changeEnd[i - 1] ?? 0);
    this.#hasCalls = policy.caller.some((caller) => caller >= 0);
    for (const { required } of policy.asPaths.flat())
      for (const asn of required.flat()) this.#asnUses.set(asn, 1 + (this.#asnUses.get(asn) ?? 0));
    const tried: number[] = [];
    const sets = new Map<PrefixSet, number[]>();
    for (let rule = 0; rule < ruleCount; rule++) {
      if (this.#firstCondition[rule] === policy.routeStart[rule]) setBit(this.#open, rule);
      else if (!this.#enter(policy, rule)) tried.push(rule);
      const set = firstPrefixSet(policy, rule);
      if (set === undefined) continue;
      setBit(this.#prefixed, rule);
      // That its prefix is in the set is known then: it stands first.
      this.#firstAsked[rule]!++;
      sets.set(set, [...(sets.get(set) ?? []), rule]);
    }
    this.#tried = Uint32Array.from(tried);
    this.#asnUses.clear();
    for (const lookup of [...this.#lookups, this.#asns, this.#neighbors]) lookup.settle();
    this.#classes = sets.size > 0 ? new PrefixClasses(sets) : undefined;
    this.#rejudges = rejudgingRules(policy, this.#firstCondition, this.#firstChange);
  }

  /** Enters a rule under what one of its conditions asks for; false when none can be looked up. */
  #enter(policy: CompiledPolicy, rule: number): boolean {
    for (let at = this.#firstCondition[rule]!; at < policy.routeStart[rule]!; at++) {
      if (policy.conditionNot[at] === 1) continue;
      const arg = policy.conditionArg[at]!;
      switch (policy.condition[at]) {
        case IF_COMMUNITY:
          if (this.#enterCommunities([policy.communities[arg]!], rule)) return true;
          break;
        case IF_ALL_COMMUNITIES:
          if (this.#enterCommunities(policy.allCommunities[arg]!, rule)) return true;
          break;
        case IF_AS_PATH:
          if (this.#enterPaths(policy.asPaths[arg]!, rule)) return true;
          break;
        case IF_NEIGHBOR_AS:
          if (enterAll(this.#neighbors, [singles(policy.asnRanges[arg]!)], rule)) return true;
          break;
      }
    }
    return false;
  }

  /** Each of the alternatives is entered under the list of ASNs that fewest rules ask for. */
  #enterPaths(matchers: readonly AsPathMatcher[], rule: number): boolean {
    const usesOf = (list: readonly number[]) =>
      list.reduce((sum, asn) => sum + (this.#asnUses.get(asn) ?? 0), 0);
    const rarest = matchers.map(({ required }) =>
      required.reduce<readonly number[] | undefined>(
        (best, list) => (best === undefined || usesOf(list) < usesOf(best) ? list : best),
        undefined,
      ),
    );
    return enterAll(this.#asns, rarest, rule);
  }

  /** Of sets that must all match, the first that can be looked up is enough. */
  #enterCommunities(sets: readonly CommunitySet[], rule: number): boolean {
    for (const set of sets) {
      const keys = set.keys();
      const lookup = this.#lookups.find((one) => one.attribute === set.kind.attribute)!;
      if (keys === undefined || keys.exact.length > MAX_KEYS) continue;
      lookup.add(keys, rule);
      return true;
    }
    return false;
  }

  /** As evaluate.ts's, by the rules that are left; `out` has been reset. */
  evaluate(policy: CompiledPolicy, input: PolicyInput, out: PolicyOutput, attrsKey: number): Verdict {
    if (!this.#isSame(input, attrsKey)) {
      this.#keep(input);
      this.#judge(policy, input, out, this.#judged);
      this.#isPlain = this.#findsNone();
    }
    this.#attrsKey = attrsKey;
    let judged = this.#judged;
    this.#classify(input);
    // Most routes of most tables: nothing that is said of their attributes or their prefix.
    if (this.#isPlain && this.#hits.count === 0) return policy.defaultVerdict;
    for (let rule = this.#candidate(policy, judged, 0); rule >= 0; ) {
      const conditionEnd = policy.conditionEnd[rule]!;
      let condition = this.#firstAsked[rule]!;
      while (condition < conditionEnd && holds(policy, condition, input, out)) condition++;
      if (condition < conditionEnd) {
        rule = this.#candidate(policy, judged, policy.otherwise[rule]!);
        continue;
      }
      const changeEnd = policy.changeEnd[rule]!;
      for (let change = this.#firstChange[rule]!; change < changeEnd; change++)
        applyChange(policy, change, input, out);
      const action = policy.action[rule]!;
      if (action !== NEXT) {
        out.rule = rule;
        return action as Verdict;
      }
      if (this.#rejudges[rule] === 1 && out.attrsChanged) {
        judged = this.#changed;
        this.#judge(policy, input, out, judged);
      }
      rule = this.#candidate(policy, judged, policy.next[rule]!);
    }
    return policy.defaultVerdict;
  }

  #findsNone(): boolean {
    for (let word = 0; word < this.#words; word++)
      if ((this.#judged[word]! & ~this.#prefixed[word]!) !== 0) return false;
    return true;
  }

  /** The first rule from `from` on that is left, or -1. */
  #candidate(policy: CompiledPolicy, judged: Uint32Array, from: number): number {
    for (let start = from; ; ) {
      const rule = this.#nextBit(judged, start);
      if (rule < 0 || !this.#hasCalls) return rule;
      // A rule of a called policy is only reached through the rule that calls: that one is not left.
      let outermost = rule;
      while (policy.caller[outermost]! >= start) outermost = policy.caller[outermost]!;
      if (outermost === rule) return rule;
      start = policy.otherwise[outermost]!;
    }
  }

  #nextBit(judged: Uint32Array, from: number): number {
    let word = from >>> 5;
    if (word >= this.#words) return -1;
    let left = this.#left(judged, word) & (0xffffffff << (from & 31));
    while (left === 0) {
      if (++word === this.#words) return -1;
      left = this.#left(judged, word);
    }
    return (word << 5) + 31 - Math.clz32(left & -left);
  }

  #left(judged: Uint32Array, word: number): number {
    return judged[word]! & (~this.#prefixed[word]! | this.#hits.bits[word]!);
  }

  #classify(input: PolicyInput): void {
    if (this.#classes === undefined) return;
    this.#hits.clear();
    const words = prefixWords(input);
    if (words === 1) this.#classes.mark1(input.a, input.length, this.#hits);
    else if (words === 4) this.#classes.mark4(input.a, input.b, input.c, input.d, input.length, this.#hits);
  }

  #isSame(input: PolicyInput, attrsKey: number): boolean {
    if (input.peerAsn !== this.#peerAsn || input.source !== this.#source) return false;
    if (input.family !== this.#family || input.peerName !== this.#peerName) return false;
    if (attrsKey !== 0 && attrsKey === this.#attrsKey) return true;
    const length = input.end - input.start;
    if (length !== this.#attrsLength) return false;
    const kept = this.#attrs;
    const { attrs, start } = input;
    for (let i = 0; i < length; i++) if (kept[i] !== attrs[start + i]) return false;
    return true;
  }

  #keep(input: PolicyInput): void {
    const length = input.end - input.start;
    if (length > this.#attrs.length) this.#attrs = new Uint8Array(2 * length);
    for (let i = 0; i < length; i++) this.#attrs[i] = input.attrs[input.start + i]!;
    this.#attrsLength = length;
    this.#peerName = input.peerName;
    this.#peerAsn = input.peerAsn;
    this.#source = input.source;
    this.#family = input.family;
  }

  /** Sets the bit of each rule whose conditions on attributes, peer and family hold. */
  #judge(policy: CompiledPolicy, input: PolicyInput, out: PolicyOutput, into: Uint32Array): void {
    into.set(this.#open);
    this.#try(this.#tried, policy, input, out, into);
    this.#try(this.#neighbors.find(input.peerAsn), policy, input, out, into);
    const bytes = out.attrsChanged ? out.attrs.bytes : input.attrs;
    const start = out.attrsChanged ? 0 : input.start;
    const end = out.attrsChanged ? out.attrs.length : input.end;
    for (let i = 0; i < 3; i++) {
      const lookup = this.#lookups[i]!;
      if (lookup.isEmpty) continue;
      const at = attributeAt(bytes, start, end, lookup.attribute);
      if (at < 0) continue;
      const to = valueEnd(bytes, at);
      for (let one = valueStart(bytes, at); one + lookup.width <= to; one += lookup.width) {
        this.#try(lookup.exact(bytes, one), policy, input, out, into);
        this.#try(lookup.first(bytes, one), policy, input, out, into);
        this.#try(lookup.high(bytes, one), policy, input, out, into);
      }
    }
    if (!this.#asns.isEmpty) this.#tryAsns(policy, input, out, into, bytes, start, end);
  }

  #tryAsns(
    policy: CompiledPolicy,
    input: PolicyInput,
    out: PolicyOutput,
    into: Uint32Array,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const at = attributeAt(bytes, start, end, AS_PATH);
    if (at < 0) return;
    const to = valueEnd(bytes, at);
    for (let segment = valueStart(bytes, at); segment < to; ) {
      const segmentEnd = segment + 2 + 4 * bytes[segment + 1]!;
      for (let asn = segment + 2; asn < segmentEnd; asn += 4)
        this.#try(this.#asns.find(readU32(bytes, asn)), policy, input, out, into);
      segment = segmentEnd;
    }
  }

  #try(
    rules: Uint32Array | undefined,
    policy: CompiledPolicy,
    input: PolicyInput,
    out: PolicyOutput,
    into: Uint32Array,
  ): void {
    if (rules === undefined) return;
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i]!;
      if (((into[rule >>> 5]! >>> (rule & 31)) & 1) === 1) continue;
      const end = policy.routeStart[rule]!;
      let condition = this.#firstCondition[rule]!;
      while (condition < end && holds(policy, condition, input, out)) condition++;
      if (condition === end) setBit(into, rule);
    }
  }
}

function setBit(bits: Uint32Array, index: number): void {
  bits[index >>> 5]! |= 1 << (index & 31);
}

/** Enters a rule under all alternatives, or under none when one of them has no list. */
function enterAll(
  lookup: Lookup,
  alternatives: readonly (readonly number[] | undefined)[],
  rule: number,
): boolean {
  const keys: number[] = [];
  for (const alternative of alternatives) {
    if (alternative === undefined || keys.length > MAX_KEYS) return false;
    keys.push(...alternative);
  }
  for (const key of new Set(keys)) lookup.add(key, rule);
  return true;
}

/** The numbers of a list of ranges, undefined when some range has more than one. */
function singles(ranges: Uint32Array): number[] | undefined {
  const numbers: number[] = [];
  for (let i = 0; i < ranges.length; i += 2) {
    if (ranges[i] !== ranges[i + 1]) return undefined;
    numbers.push(ranges[i]!);
  }
  return numbers;
}

/** The set by which a rule is found when a prefix is classified: of its first condition on the route. */
function firstPrefixSet(policy: CompiledPolicy, rule: number): PrefixSet | undefined {
  const at = policy.routeStart[rule]!;
  const isSet = at < policy.conditionEnd[rule]! && policy.condition[at] === IF_PREFIX;
  return isSet && policy.conditionNot[at] === 0 ? policy.prefixSets[policy.conditionArg[at]!] : undefined;
}

/** Which rules change an attribute that one behind them reads. Jumps go forward: the rules before do not matter. */
function rejudgingRules(
  policy: CompiledPolicy,
  firstCondition: Uint32Array,
  firstChange: Uint32Array,
): Uint8Array {
  const result = new Uint8Array(policy.ruleCount);
  const read = new Set<number>();
  for (let rule = policy.ruleCount - 1; rule >= 0; rule--) {
    for (let at = firstChange[rule]!; at < policy.changeEnd[rule]!; at++)
      if (read.has(attributeChanged(policy, at))) result[rule] = 1;
    for (let at = firstCondition[rule]!; at < policy.routeStart[rule]!; at++)
      for (const attribute of attributesRead(policy, at)) read.add(attribute);
  }
  return result;
}

/** The attribute that a change writes, -1 for none. */
function attributeChanged(policy: CompiledPolicy, change: number): number {
  switch (policy.change[change]) {
    case SET_LOCAL_PREF:
      return LOCAL_PREF;
    case SET_MED:
    case REMOVE_MED:
      return MED;
    case SET_ORIGIN:
      return ORIGIN;
    case PREPEND:
    case PREPEND_FIRST:
      return AS_PATH;
    case EDIT_COMMUNITIES:
      return policy.edits[policy.changeArg[change]!]!.attribute;
    default:
      return -1;
  }
}

function attributesRead(policy: CompiledPolicy, condition: number): readonly number[] {
  const arg = policy.conditionArg[condition]!;
  switch (policy.condition[condition]) {
    case IF_LOCAL_PREF:
      return [LOCAL_PREF];
    case IF_MED:
      return [MED];
    case IF_ORIGIN:
      return [ORIGIN];
    case IF_AS_PATH:
    case IF_AS_PATH_LENGTH:
      return [AS_PATH];
    case IF_COMMUNITY:
      return [policy.communities[arg]!.kind.attribute];
    case IF_ALL_COMMUNITIES:
      return [policy.allCommunities[arg]![0]!.kind.attribute];
    default:
      return [];
  }
}
