// `leafctl policy test FILE POLICY PREFIX`: what a policy of a configuration does with a route that is described on
// the command line. No daemon is asked, so a policy can be tried before it is put in force. Loaded when needed.

import { loadConfigFile } from '../intent/files.ts';
import { nearest } from '../intent/suggest.ts';
import { readU32 } from '../lib/bytes.ts';
import { parseAsn } from '../net/asn.ts';
import { parseCommunity, parseExtendedCommunity, parseLargeCommunity } from '../net/community.ts';
import { parseIp } from '../net/ip.ts';
import { parsePrefix } from '../net/prefix.ts';
import { judgeAsPathPattern } from '../policy/as-path-pattern.ts';
import { compilePolicies } from '../policy/compile.ts';
import { explain, type PolicyExplanation } from '../policy/explain.ts';
import { newPolicyInput, newPolicyOutput, sourceCodes } from '../policy/program.ts';
import {
  type AttributesInput,
  describeAttributes,
  encodeAttributes,
} from '../wire/bgp/attribute/describe.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';
import type { Context } from './context.ts';
import { ABSENT, CliError, INVALID, OK, usageError } from './exit.ts';
import { attributesText } from './render-bgp.ts';
import { table } from './table.ts';

export interface RouteDescription {
  asPath?: string;
  origin?: string;
  nextHop?: string;
  med?: string;
  localPref?: string;
  community?: string[];
  largeCommunity?: string[];
  extendedCommunity?: string[];
  peer?: string;
  peerAs?: string;
  source?: string;
}

interface PolicyTestView extends PolicyExplanation {
  prefix: string;
  /** What the route has after an accepting policy. */
  attributes?: ReturnType<typeof describeAttributes>;
  weight?: number;
}

/** Exit 0 when the policy accepts, 1 when it rejects. */
export function policyTest(
  context: Context,
  file: string,
  name: string,
  prefix: string,
  route: RouteDescription,
): number {
  const { intent, problems } = loadConfigFile(file, { judgeAsPath: judgeAsPathPattern });
  if (intent === undefined)
    throw new CliError(INVALID, { code: 'config-invalid', message: `${file} is refused`, problems });
  const policies = compilePolicies(intent.policies);
  const policy = policies.get(name);
  if (policy === undefined) {
    const near = nearest(name, [...policies.keys()]);
    throw new CliError(ABSENT, {
      code: 'policy-unknown',
      message: `${file} has no policy ${name}`,
      hint: near === undefined ? `there are: ${[...policies.keys()].join(', ')}` : `did you mean ${near}?`,
    });
  }
  const input = describe(prefix, route, intent.bgp.asn);
  const out = newPolicyOutput();
  const explanation = explain(policy, input, out);
  const view: PolicyTestView = { prefix, ...explanation };
  if (explanation.verdict === 'accept') {
    view.attributes = out.attrsChanged
      ? describeAttributes(out.attrs.bytes, 0, out.attrs.length)
      : describeAttributes(input.attrs, input.start, input.end);
    if (out.weight >= 0) view.weight = out.weight;
  }
  context.show(view, render);
  return explanation.verdict === 'accept' ? OK : ABSENT;
}

function describe(prefixGiven: string, route: RouteDescription, localAsn: number) {
  const input = newPolicyInput();
  const prefix = parsePrefix(prefixGiven, { strict: true });
  if (prefix === undefined) throw usageError(`${prefixGiven} is not a prefix`, 'such as 10.0.0.0/8');
  const four = prefix.bytes.length === 4;
  input.family = four ? IPV4 : IPV6;
  input.a = readU32(prefix.bytes, 0);
  if (!four)
    [input.b, input.c, input.d] = [4, 8, 12].map((at) => readU32(prefix.bytes, at)) as [
      number,
      number,
      number,
    ];
  input.length = prefix.length;
  input.localAsn = localAsn;
  input.peerName = route.peer ?? '';
  if (route.peerAs !== undefined) input.peerAsn = numberOf('--peer-as', route.peerAs, parseAsn);
  const source = route.source ?? (route.peer === undefined && route.peerAs === undefined ? 'local' : 'bgp');
  const code = (sourceCodes as Readonly<Record<string, number>>)[source];
  if (code === undefined) throw usageError(`${source} is not a source`, Object.keys(sourceCodes).join(', '));
  input.source = code;
  if (route.nextHop !== undefined) {
    const nextHop = parseIp(route.nextHop);
    if (nextHop === undefined) throw usageError(`${route.nextHop} is not an address`);
    input.nextHop = nextHop;
    input.nextHopLength = nextHop.length;
  }
  input.attrs = encodeAttributes(attributesOf(route));
  input.end = input.attrs.length;
  return input;
}

function attributesOf(route: RouteDescription): AttributesInput {
  const origin = route.origin ?? 'igp';
  if (origin !== 'igp' && origin !== 'egp' && origin !== 'incomplete')
    throw usageError(`${origin} is not an origin`, 'igp, egp, incomplete');
  const attributes: AttributesInput = { origin, asPath: asPathOf(route.asPath ?? '') };
  if (route.med !== undefined) attributes.med = numberOf('--med', route.med, parseU32);
  if (route.localPref !== undefined)
    attributes.localPref = numberOf('--local-pref', route.localPref, parseU32);
  attributes.communities = communitiesOf(route.community, parseCommunity);
  attributes.largeCommunities = communitiesOf(route.largeCommunity, parseLargeCommunity);
  attributes.extendedCommunities = communitiesOf(route.extendedCommunity, parseExtendedCommunity);
  return attributes;
}

function communitiesOf(
  texts: readonly string[] | undefined,
  parse: (text: string) => unknown,
): readonly string[] {
  for (const text of texts ?? [])
    if (parse(text) === undefined) throw usageError(`${text} is not such a community`);
  return texts ?? [];
}

function asPathOf(text: string): number[] {
  return text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((part) => numberOf('--as-path', part, parseAsn));
}

const parseU32 = (text: string): number | undefined =>
  /^\d{1,10}$/.test(text) && Number(text) <= 0xffffffff ? Number(text) : undefined;

function numberOf(option: string, text: string, parse: (text: string) => number | undefined): number {
  const value = parse(text);
  if (value === undefined) throw usageError(`${option}: ${text} is not a number that fits`);
  return value;
}

function render(view: PolicyTestView): string {
  const rules = table(view.rules as PolicyTestView['rules'][number][], [
    { title: 'Rule', of: (rule) => `${rule.index + 1}${rule.name === undefined ? '' : ` ${rule.name}`}` },
    { title: 'Matches', of: (rule) => (rule.matched ? 'yes' : 'no') },
    { title: 'Because', of: (rule) => rule.failed ?? rule.held.join('; ') },
    { title: 'Changes', of: (rule) => rule.changed.join('; ') },
    { title: 'Action', of: (rule) => (rule.matched ? rule.action : '') },
  ]);
  return `${view.prefix}: ${view.text}\n${rules === '' ? '' : `\n${rules}`}${outcome(view)}`;
}

/** What the route has when an accepting policy is through with it, as `leafctl routes` shows it. */
function outcome({ attributes, weight }: PolicyTestView): string {
  if (attributes === undefined) return '';
  const path = attributes.asPath === undefined || attributes.asPath === '' ? 'empty' : attributes.asPath;
  const rest = attributesText(weight === undefined ? attributes : { ...attributes, weight });
  return `\nthen: AS_PATH ${path}; ${rest}\n`;
}
