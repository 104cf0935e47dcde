// Runs a compiled policy over one route. This is the hot path of import and export: a loop over integer
// columns, reading conditions straight from the canonical attribute bytes. Nothing is allocated; when a rule
// changes attributes, each change writes a whole new canonical range and the two writers of the output take
// turns.
//
// A rule whose conditions hold applies its changes and then decides, or with `next` hands the changed route
// on.

import { readU32 } from '../lib/bytes.ts';
import { asPathLength } from '../wire/bgp/attribute/as-path.ts';
import { findAttribute, u32Attribute, valueEnd, valueStart } from '../wire/bgp/attribute/canonical.ts';
import { AS_PATH, LOCAL_PREF, MED, ORIGIN } from '../wire/bgp/attribute/table.ts';
import { IPV4 } from '../wire/bgp/family.ts';
import { applyChange } from './change.ts';
import {
  type CompiledPolicy,
  DEFAULT_LOCAL_PREF,
  IF_AS_PATH,
  IF_AS_PATH_LENGTH,
  IF_COMMUNITY,
  IF_DEFAULT,
  IF_FAMILY,
  IF_LOCAL_PREF,
  IF_MED,
  IF_NEIGHBOR_AS,
  IF_NEXT_HOP,
  IF_ORIGIN,
  IF_PEER,
  IF_PREFIX,
  IF_SOURCE,
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
  out.nextHop = NEXT_HOP_DEFAULT;
  out.rule = -1;
}

/** The verdict on `input`, ACCEPT or REJECT; what is to change is in `out`. */
export function evaluate(policy: CompiledPolicy, input: PolicyInput, out: PolicyOutput): Verdict {
  resetOutput(out);
  let condition = 0;
  let change = 0;
  for (let rule = 0; rule < policy.ruleCount; rule++) {
    const conditionEnd = policy.conditionEnd[rule]!;
    const changeEnd = policy.changeEnd[rule]!;
    while (condition < conditionEnd && holds(policy, condition, input, out)) condition++;
    if (condition === conditionEnd) {
      for (; change < changeEnd; change++) applyChange(policy, change, input, out);
      const action = policy.action[rule]!;
      if (action !== NEXT) {
        out.rule = rule;
        return action as Verdict;
      }
    }
    condition = conditionEnd;
    change = changeEnd;
  }
  return policy.defaultVerdict;
}

/** Whether condition `index` holds for the input as changed so far. */
export function holds(policy: CompiledPolicy, index: number, input: PolicyInput, out: PolicyOutput): boolean {
  const arg = policy.conditionArg[index]!;
  switch (policy.condition[index]) {
    case IF_FAMILY:
      return ((arg >>> input.family) & 1) === 1;
    case IF_PREFIX: {
      const set = policy.prefixSets[arg]!;
      if (input.family === IPV4) return set.matches1(input.a, input.length);
      return set.matches4(input.a, input.b, input.c, input.d, input.length);
    }
    case IF_DEFAULT:
      return (input.length === 0) === (arg === 1);
    case IF_PEER:
      return policy.names[arg]!.matches(input.peerName);
    case IF_NEIGHBOR_AS:
      return inRanges(policy.asnRanges[arg]!, input.peerAsn);
    case IF_NEXT_HOP:
      return nextHopIn(policy, arg, input);
    case IF_SOURCE:
      return ((arg >>> input.source) & 1) === 1;
    default:
      if (out.attrsChanged) return attributesHold(policy, index, out.attrs.bytes, 0, out.attrs.length);
      return attributesHold(policy, index, input.attrs, input.start, input.end);
  }
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
  return value >= policy.conditionLow[index]! && value <= policy.conditionHigh[index]!;
}

/** Offset of the attribute itself, or -1: one walk for both ends of its value. */
function attributeAt(bytes: Uint8Array, start: number, end: number, code: number): number {
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
