// What a condition looked at, in words: the other half of an explanation. "communities: 65000:2" did not hold, because
// the route had 65000:1 and 65000:7.

import { evpnTypeNames } from '../intent/policy-definition.ts';
import { writeU32 } from '../lib/bytes.ts';
import { formatIp } from '../net/ip.ts';
import { prefixText } from '../net/prefix.ts';
import { formatRouteDistinguisher } from '../net/route-distinguisher.ts';
import { asPathLength } from '../wire/bgp/attribute/as-path.ts';
import { valueEnd, valueStart } from '../wire/bgp/attribute/canonical.ts';
import { type AttributesView, describeAttributes } from '../wire/bgp/attribute/describe.ts';
import { AS_PATH } from '../wire/bgp/attribute/table.ts';
import { families } from '../wire/bgp/family.ts';
import { extendedKind, largeKind } from './community-set.ts';
import { attributeAt, prefixWords } from './evaluate.ts';
import {
  type CompiledPolicy,
  DEFAULT_LOCAL_PREF,
  IF_ALL_COMMUNITIES,
  IF_AS_PATH,
  IF_AS_PATH_LENGTH,
  IF_COMMUNITY,
  IF_DISTINGUISHER,
  IF_EVPN_TYPE,
  IF_FAMILY,
  IF_LOCAL_PREF,
  IF_MED,
  IF_NEIGHBOR_AS,
  IF_NEXT_HOP,
  IF_ORIGIN,
  IF_PEER,
  IF_RPKI,
  IF_SOURCE,
  IF_TAG,
  IF_VNI,
  originStateCodes,
  type PolicyInput,
  type PolicyOutput,
  sourceCodes,
} from './program.ts';

/** What condition `index` sees of the route as changed so far. */
export function sawOf(policy: CompiledPolicy, index: number, input: PolicyInput, out: PolicyOutput): string {
  switch (policy.condition[index]) {
    case IF_FAMILY:
      return families[input.family]!.name;
    case IF_PEER:
      return input.peerName || 'no peer';
    case IF_NEIGHBOR_AS:
      return input.peerAsn === 0 ? 'no peer' : String(input.peerAsn);
    case IF_NEXT_HOP:
      return input.nextHopLength === 0
        ? 'none'
        : formatIp(input.nextHop, input.nextHopStart, input.nextHopLength);
    case IF_SOURCE:
      return wordOf(sourceCodes, input.source);
    case IF_RPKI:
      return wordOf(originStateCodes, input.rpki);
    case IF_TAG:
      return String(out.tag >= 0 ? out.tag : input.tag);
    case IF_VNI:
      return input.vni < 0 ? 'none' : String(input.vni);
    case IF_EVPN_TYPE:
      return input.evpnType < 0
        ? 'no EVPN route'
        : (evpnTypeNames[input.evpnType - 1] ?? String(input.evpnType));
    case IF_DISTINGUISHER:
      return distinguisherText(input);
    default:
      return attributeSeen(policy, index, input, out) ?? routePrefixText(input);
  }
}

function wordOf(codes: Readonly<Record<string, number>>, code: number): string {
  return Object.keys(codes).find((word) => codes[word] === code) ?? '?';
}

function distinguisherText(input: PolicyInput): string {
  if (!input.hasDistinguisher) return 'none';
  const bytes = new Uint8Array(8);
  writeU32(bytes, 0, input.distinguisherHigh);
  writeU32(bytes, 4, input.distinguisherLow);
  return formatRouteDistinguisher(bytes);
}

/** The prefix of the route, `none` where its family has none. */
function routePrefixText(input: PolicyInput): string {
  const words = prefixWords(input);
  if (words === 0) return 'none';
  const bytes = new Uint8Array(4 * words);
  for (const [i, word] of [input.a, input.b, input.c, input.d].slice(0, words).entries())
    writeU32(bytes, 4 * i, word);
  return prefixText({ bytes, length: input.length });
}

/** The attributes as changed so far. */
export function attributesNow(input: PolicyInput, out: PolicyOutput): AttributesView {
  return out.attrsChanged
    ? describeAttributes(out.attrs.bytes, 0, out.attrs.length)
    : describeAttributes(input.attrs, input.start, input.end);
}

function attributeSeen(
  policy: CompiledPolicy,
  index: number,
  input: PolicyInput,
  out: PolicyOutput,
): string | undefined {
  const arg = policy.conditionArg[index]!;
  const now = attributesNow(input, out);
  switch (policy.condition[index]) {
    case IF_AS_PATH:
      return now.asPath || 'empty';
    case IF_AS_PATH_LENGTH:
      return String(pathLength(input, out));
    case IF_ORIGIN:
      return now.origin ?? 'none';
    case IF_LOCAL_PREF:
      return now.localPref === undefined ? `none: counts as ${DEFAULT_LOCAL_PREF}` : String(now.localPref);
    case IF_MED:
      return now.med === undefined ? 'none' : String(now.med);
    case IF_COMMUNITY:
      return listOf(now, policy.communities[arg]!.kind);
    case IF_ALL_COMMUNITIES:
      return listOf(now, policy.allCommunities[arg]![0]!.kind);
    default:
      return undefined;
  }
}

function listOf(now: AttributesView, kind: unknown): string {
  const list =
    kind === largeKind
      ? now.largeCommunities
      : kind === extendedKind
        ? now.extendedCommunities
        : now.communities;
  return list === undefined || list.length === 0 ? 'none' : list.join(' ');
}

function pathLength(input: PolicyInput, out: PolicyOutput): number {
  const bytes = out.attrsChanged ? out.attrs.bytes : input.attrs;
  const end = out.attrsChanged ? out.attrs.length : input.end;
  const at = attributeAt(bytes, out.attrsChanged ? 0 : input.start, end, AS_PATH);
  return at < 0 ? 0 : asPathLength(bytes, valueStart(bytes, at), valueEnd(bytes, at));
}
