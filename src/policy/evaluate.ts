// Runs a compiled policy over one route. This is the hot path of import and export: a loop over integer
// columns, reading conditions straight from the canonical attribute bytes. Nothing is allocated; when a rule
// changes attributes, each change writes a whole new canonical range and the two writers of the output take
// turns.
//
// A rule whose conditions hold applies its changes and then decides, or with `next` hands the changed route
// on. Policies of many rules have an index of those that can matter for a route (rule-index.ts), which gives the
// same verdicts: property-tested.

import { readU32 } from '../lib/bytes.ts';
import { asPathLength } from '../wire/bgp/attribute/as-path.ts';
import { findAttribute, u32Attribute, valueEnd, valueStart } from '../wire/bgp/attribute/canonical.ts';
import { AS_PATH, LOCAL_PREF, MED, ORIGIN } from '../wire/bgp/attribute/table.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import { applyChange } from './change.ts';
import type { PrefixSet } from './prefix-set.ts';
import {
  type CompiledPolicy,
  DEFAULT_LOCAL_PREF,
  IF_ALL_COMMUNITIES,
  IF_AS_PATH,
  IF_AS_PATH_LENGTH,
  IF_COMMUNITY,
  IF_DEFAULT,
  IF_DISTINGUISHER,
  IF_EVPN_TYPE,
  IF_FAMILY,
  IF_LOCAL_PREF,
  IF_MED,
  IF_NEIGHBOR_AS,
  IF_NEXT_HOP,
  IF_ORIGIN,
  IF_PEER,
  IF_PREFIX,
  IF_RPKI,
  IF_SOURCE,
  IF_TAG,
  IF_VNI,
  NEXT,
  NEXT_HOP_DEFAULT,
  type PolicyInput,
  type PolicyOutput,
  type Verdict,
} from './program.ts';

/** Sets the output as it is before any rule. */
export function resetOutput(out: PolicyOutput): void {
  out.attrsChanged = false;
  out.weight = -1;
  out.tag = -1;
  out.nextHop = NEXT_HOP_DEFAULT;
  out.rule = -1;
}

/** The verdict on `input`, ACCEPT or REJECT; what is to change is in `out`. */
export function evaluate(policy: CompiledPolicy, input: PolicyInput, out: PolicyOutput): Verdict {
  resetOutput(out);
  const key = input.attrsKey;
  input.attrsKey = 0;
  if (policy.index !== undefined) return policy.index.evaluate(policy, input, out, key);
  for (let rule = 0; rule < policy.ruleCount; ) {
    const conditionEnd = policy.conditionEnd[rule]!;
    let condition = rule === 0 ? 0 : policy.conditionEnd[rule - 1]!;
    while (condition < conditionEnd && holds(policy, condition, input, out)) condition++;
    if (condition < conditionEnd) {
      rule = policy.otherwise[rule]!;
      continue;
    }
    const changeEnd = policy.changeEnd[rule]!;
    for (let change = rule === 0 ? 0 : policy.changeEnd[rule - 1]!; change < changeEnd; change++)
      applyChange(policy, change, input, out);
    const action = policy.action[rule]!;
    if (action !== NEXT) {
      out.rule = rule;
      return action as Verdict;
    }
    rule = policy.next[rule]!;
  }
  return policy.defaultVerdict;
}

/** Whether condition `index` holds for the input as changed so far. */
export function holds(policy: CompiledPolicy, index: number, input: PolicyInput, out: PolicyOutput): boolean {
  return answer(policy, index, input, out) === (policy.conditionNot[index] === 0);
}

function answer(policy: CompiledPolicy, index: number, input: PolicyInput, out: PolicyOutput): boolean {
  const arg = policy.conditionArg[index]!;
  switch (policy.condition[index]) {
    case IF_FAMILY:
      return ((arg >>> input.family) & 1) === 1;
    case IF_PREFIX:
      return prefixIn(policy.prefixSets[arg]!, input);
    case IF_DEFAULT:
      return (input.length === 0 && prefixWords(input) > 0) === (arg === 1);
    case IF_PEER:
      return policy.names[arg]!.matches(input.peerName);
    case IF_NEIGHBOR_AS:
      return inRanges(policy.asnRanges[arg]!, input.peerAsn);
    case IF_NEXT_HOP:
      return nextHopIn(policy, arg, input);
    case IF_SOURCE:
      return ((arg >>> input.source) & 1) === 1;
    case IF_RPKI:
      return ((arg >>> input.rpki) & 1) === 1;
    case IF_TAG:
      return within(policy, index, out.tag >= 0 ? out.tag : input.tag);
    case IF_VNI:
      return input.vni >= 0 && within(policy, index, input.vni);
    case IF_EVPN_TYPE:
      return input.evpnType >= 0 && inRanges(policy.asnRanges[arg]!, input.evpnType);
    case IF_DISTINGUISHER:
      return input.hasDistinguisher && distinguisherIn(policy.distinguishers[arg]!, input);
    default:
      if (out.attrsChanged) return attributesHold(policy, index, out.attrs.bytes, 0, out.attrs.length);
      return attributesHold(policy, index, input.attrs, input.start, input.end);
  }
}

/** Words of the route's prefix; 0 where it has none. */
export function prefixWords(input: PolicyInput): 0 | 1 | 4 {
  if (input.family === IPV4) return 1;
  return input.family === IPV6 ? 4 : input.prefixWords;
}

function prefixIn(set: PrefixSet, input: PolicyInput): boolean {
  const words = prefixWords(input);
  if (words === 1) return set.matches1(input.a, input.length);
  return words === 4 && set.matches4(input.a, input.b, input.c, input.d, input.length);
}

function within(policy: CompiledPolicy, index: number, value: number): boolean {
  return value >= policy.conditionLow[index]! && value <= policy.conditionHigh[index]!;
}

function distinguisherIn(patterns: Uint32Array, input: PolicyInput): boolean {
  for (let i = 0; i < patterns.length; i += 4) {
    const high = (input.distinguisherHigh & patterns[i + 2]!) >>> 0;
    const low = (input.distinguisherLow & patterns[i + 3]!) >>> 0;
    if (high === patterns[i] && low === patterns[i + 1]) return true;
  }
  return false;
}

/** The conditions that read the attributes in bytes [start, end). */
function attributesHold(
  policy: CompiledPolicy,
  index: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  const arg = policy.conditionArg[index]!;
  let value: number;
  switch (policy.condition[index]) {
    case IF_AS_PATH: {
      const at = attributeAt(bytes, start, end, AS_PATH);
      const matchers = policy.asPaths[arg]!;
      const from = at < 0 ? 0 : valueStart(bytes, at);
      const to = at < 0 ? 0 : valueEnd(bytes, at);
      for (let i = 0; i < matchers.length; i++) if (matchers[i]!.matches(bytes, from, to)) return true;
      return false;
    }
    case IF_COMMUNITY: {
      const set = policy.communities[arg]!;
      const at = attributeAt(bytes, start, end, set.kind.attribute);
      return at >= 0 && set.matchesAny(bytes, valueStart(bytes, at), valueEnd(bytes, at));
    }
    case IF_ALL_COMMUNITIES: {
      const sets = policy.allCommunities[arg]!;
      const at = attributeAt(bytes, start, end, sets[0]!.kind.attribute);
      if (at < 0) return false;
      const from = valueStart(bytes, at);
      const to = valueEnd(bytes, at);
      for (let i = 0; i < sets.length; i++) if (!sets[i]!.matchesAny(bytes, from, to)) return false;
      return true;
    }
    case IF_ORIGIN: {
      const at = findAttribute(bytes, start, end, ORIGIN);
      return at >= 0 && ((arg >>> bytes[at]!) & 1) === 1;
    }
    case IF_AS_PATH_LENGTH: {
      const at = attributeAt(bytes, start, end, AS_PATH);
      value = at < 0 ? 0 : asPathLength(bytes, valueStart(bytes, at), valueEnd(bytes, at));
      break;
    }
    case IF_LOCAL_PREF:
      value = u32Attribute(bytes, start, end, LOCAL_PREF);
      if (value < 0) value = DEFAULT_LOCAL_PREF;
      break;
    case IF_MED:
      value = u32Attribute(bytes, start, end, MED);
      if (value < 0) return false;
      break;
    default:
      return false;
  }
  return within(policy, index, value);
}

/** Offset of the attribute itself, or -1: one walk for both ends of its value. */
export function attributeAt(bytes: Uint8Array, start: number, end: number, code: number): number {
  let at = start;
  while (at < end && bytes[at + 1]! < code) at = valueEnd(bytes, at);
  return at < end && bytes[at + 1] === code ? at : -1;
}

function inRanges(ranges: Uint32Array, value: number): boolean {
  for (let i = 0; i < ranges.length; i += 2) if (value >= ranges[i]! && value <= ranges[i + 1]!) return true;
  return false;
}

function nextHopIn(policy: CompiledPolicy, arg: number, input: PolicyInput): boolean {
  const set = policy.prefixSets[arg]!;
  const { nextHop: bytes, nextHopStart: at } = input;
  if (input.nextHopLength === 4) return set.matches1(readU32(bytes, at), 32);
  if (input.nextHopLength !== 16) return false;
  const c = readU32(bytes, at + 8);
  return set.matches4(readU32(bytes, at), readU32(bytes, at + 4), c, readU32(bytes, at + 12), 128);
}
