// The `policies:` section: named policies, and under reserved names the sets they refer to. Grammar of single values
// is judged here; whether a name exists is in policy-checks.ts.

import * as z from 'zod';
import { parseAsn } from '../net/asn.ts';
import { parseCommunity, parseExtendedCommunity, parseLargeCommunity } from '../net/community.ts';
import { parseIp } from '../net/ip.ts';
import { parseRouteDistinguisher } from '../net/route-distinguisher.ts';
import { evpnTypeNames, type PrefixRange } from './policy-definition.ts';
import { communityExpression, isPrefixSetName, parsePrefixRange } from './policy-text.ts';
import { asn, asnItem, identifier, prefixFault, section, text, whole } from './scalars.ts';
import { familyNames } from './schema-peer.ts';

/** One value or a list of them. */
function oneOrMore<Item extends z.ZodType>(item: Item, error: string) {
  return z.union([item, z.array(item).min(1)], { error });
}

/** What is wrong with the bounds of a range, by the key that is wrong. */
function rangeFaults(range: PrefixRange): { key: 'ge' | 'le'; reason: string }[] {
  const own = Number(range.prefix.split('/')[1]);
  const longest = range.prefix.includes(':') ? 128 : 32;
  const faults: { key: 'ge' | 'le'; reason: string }[] = [];
  if (range.ge !== undefined && range.ge < own)
    faults.push({ key: 'ge', reason: `must be at least the prefix's own length, ${own}` });
  if (range.le !== undefined && range.le < Math.max(own, range.ge ?? 0))
    faults.push({ key: 'le', reason: `must be at least ${Math.max(own, range.ge ?? 0)}` });
  for (const key of ['ge', 'le'] as const)
    if ((range[key] ?? 0) > longest)
      faults.push({ key, reason: `must be at most ${longest} for this prefix` });
  return faults;
}

/** A prefix, maybe with lengths, or the name of a set. */
const prefixOrSet = z.string().superRefine((value, context) => {
  if (isPrefixSetName(value)) return;
  const range = parsePrefixRange(value);
  const fault = prefixFault(range?.prefix ?? value);
  if (fault !== undefined)
    context.addIssue({ code: 'custom', message: fault.reason, params: { hint: fault.hint } });
  else if (range !== undefined)
    for (const { key, reason } of rangeFaults(range))
      context.addIssue({ code: 'custom', message: `${key} ${reason}` });
});

const prefixRange = section({
  prefix: z.string().superRefine((value, context) => {
    const fault = prefixFault(value);
    if (fault !== undefined)
      context.addIssue({ code: 'custom', message: fault.reason, params: { hint: fault.hint } });
  }),
  ge: whole(0, 128).optional(),
  le: whole(0, 128).optional(),
}).superRefine((range, context) => {
  for (const { key, reason } of rangeFaults(range))
    context.addIssue({ code: 'custom', path: [key], message: reason });
});

const prefixItem = z.union([prefixOrSet, prefixRange], {
  error: 'must be a prefix, {prefix, ge, le} or the name of a set',
});
const prefixes = oneOrMore(prefixItem, 'must be a prefix, the name of a set, or a list of them');

const numberMatch = z.union(
  [
    whole(0, 4294967295),
    section({ min: whole(0, 4294967295).optional(), max: whole(0, 4294967295).optional() }),
  ],
  { error: 'must be a number or {min, max}' },
);

type CommunityParser = (text: string) => unknown;

/** Text of one kind of community, where parts may be `*`; or the name of a set, which has no colon. */
function communityItem(parse: CommunityParser, form: string, wildcards: boolean) {
  return z
    .string()
    .refine(
      (value) =>
        parse(value) !== undefined ||
        (!value.includes(':') && !value.startsWith('/')) ||
        (wildcards && (parse(widened(value)) !== undefined || communityExpression(value) !== undefined)),
      { error: `must be a community: ${form}`, params: wildcards ? { hint: expressionHint } : {} },
    );
}

const expressionHint = 'a regular expression stands between slashes: /^65000:[0-9]+$/';

/** With a number in place of each part that is `*`; a part like `1*` stays and is no number. */
const widened = (value: string): string =>
  value
    .split(':')
    .map((part) => (part === '*' ? '1' : part))
    .join(':');

const kinds = {
  standard: [parseCommunity, '65000:1 or a well-known name such as no-export'],
  large: [parseLargeCommunity, '65000:1:2'],
  extended: [parseExtendedCommunity, 'rt:65000:1 or soo:10.0.0.1:7'],
} as const satisfies Record<string, readonly [CommunityParser, string]>;

type CommunityKind = keyof typeof kinds;

function communityMatch(kind: CommunityKind) {
  const [parse, form] = kinds[kind];
  return oneOrMore(
    communityItem(parse, form, true),
    `must be a community (${form}), a set's name, or a list`,
  );
}

function communityChange(kind: CommunityKind) {
  const [parse, form] = kinds[kind];
  const exact = z
    .string()
    .refine((value) => parse(value) !== undefined, { error: `must be a community: ${form}` });
  return section({
    set: z.array(exact).optional(),
    remove: z.array(communityItem(parse, form, true)).optional(),
    add: z.array(exact).optional(),
  });
}

const asPathPattern = z
  .string()
  .min(1)
  .refine(
    (pattern) => /^[\^$_ .*+?|(){}[\]\\\dA-Za-z0-9,-]+$/.test(pattern),
    'has a character that no AS path pattern has',
  );

const families = z.enum(familyNames);
const originStates = z.enum(['valid', 'invalid', 'notFound']);
const origins = z.enum(['igp', 'egp', 'incomplete']);
const sources = z.enum(['local', 'guest', 'connected', 'static', 'kernel', 'bgp']);
const addressOrPrefix = z
  .string()
  .refine(
    (value) => parseIp(value) !== undefined || isPrefixSetName(value) || prefixFault(value) === undefined,
    "must be an address, a prefix or a set's name",
  );
const asnOrSet = z.union([asnItem, identifier], {
  error: "must be an AS number, a range such as 65000-65199, or a set's name",
});
const evpnType = z.union([whole(1, 255), z.enum(evpnTypeNames)], {
  error: `must be a number or one of ${evpnTypeNames.join(', ')}`,
});
const distinguisher = z
  .string()
  .refine(
    (value) => parseRouteDistinguisher(widened(value)) !== undefined,
    'must be a route distinguisher: 65000:1, 10.0.0.1:7 or 65000:*',
  );

const conditions = {
  prefixes: prefixes.optional(),
  family: oneOrMore(families, 'must be a family or a list of them').optional(),
  asPath: oneOrMore(asPathPattern, "must be an AS path pattern, a set's name, or a list").optional(),
  asPathLength: numberMatch.optional(),
  communities: communityMatch('standard').optional(),
  allCommunities: communityMatch('standard').optional(),
  largeCommunities: communityMatch('large').optional(),
  allLargeCommunities: communityMatch('large').optional(),
  extendedCommunities: communityMatch('extended').optional(),
  allExtendedCommunities: communityMatch('extended').optional(),
  peer: oneOrMore(text.min(1), "must be a peer's name or a list").optional(),
  neighborAs: oneOrMore(asnOrSet, "must be an AS number, a range, a set's name, or a list").optional(),
  origin: oneOrMore(origins, 'must be igp, egp, incomplete or a list').optional(),
  nextHop: oneOrMore(addressOrPrefix, 'must be an address, a prefix, or a list').optional(),
  localPref: numberMatch.optional(),
  med: numberMatch.optional(),
  source: oneOrMore(sources, 'must be local, guest, connected, static, kernel, bgp or a list').optional(),
  isDefault: z.boolean().optional(),
  rpki: oneOrMore(originStates, 'must be valid, invalid, notFound or a list').optional(),
  tag: numberMatch.optional(),
  evpnType: oneOrMore(evpnType, 'must be an EVPN route type or a list').optional(),
  vni: numberMatch.optional(),
  routeDistinguisher: oneOrMore(distinguisher, 'must be a route distinguisher or a list').optional(),
};

const match = section({
  ...conditions,
  not: section(conditions).meta({ description: 'None of these may hold' }).optional(),
});

/** A value, or a change of the present one. */
function changeable(words: readonly string[]) {
  const forms = ['a number', '+n', '-n', ...words].join(', ');
  const change = z
    .string()
    .refine((value) => /^[+-]\d{1,10}$/.test(value) || words.includes(value), `must be one of ${forms}`);
  // An unquoted -10 is a number to YAML, and as a number it can only mean the change.
  return z.union([whole(-4294967295, 4294967295), change], { error: `must be one of ${forms}` });
}

const set = section({
  localPref: changeable([]).optional(),
  med: changeable(['igp', 'remove']).optional(),
  weight: whole(0, 65535).optional(),
  communities: communityChange('standard').optional(),
  largeCommunities: communityChange('large').optional(),
  extendedCommunities: communityChange('extended').optional(),
  prepend: section({
    asn: asn.optional(),
    count: whole(1, 64).optional(),
    lastAs: whole(1, 64).meta({ description: 'The AS that stands first already, so many times' }).optional(),
  })
    .superRefine((prepend, context) => {
      if (prepend.lastAs === undefined) return;
      for (const key of ['asn', 'count'] as const)
        if (prepend[key] !== undefined)
          context.addIssue({ code: 'custom', path: [key], message: 'has no use with lastAs' });
    })
    .optional(),
  tag: whole(0, 4294967295).meta({ description: 'For the rules and policies after this one' }).optional(),
  origin: origins.optional(),
  nextHop: z
    .string()
    .refine((value) => ['self', 'unchanged'].includes(value) || parseIp(value) !== undefined, {
      error: 'must be self, unchanged or an address',
    })
    .optional(),
});

const rule = section({
  name: text.min(1).max(80).optional(),
  match: match.optional(),
  set: set.optional(),
  call: identifier
    .meta({ description: 'Another policy that judges first: what it rejects is rejected' })
    .optional(),
  action: z
    .enum(['accept', 'reject', 'next'])
    .meta({ description: 'next applies the changes and goes on with the next rule' }),
});

const policy = section({
  default: z
    .enum(['accept', 'reject', 'next'])
    .meta({
      default: 'reject',
      description: 'For a route that no rule decided; next gives it back to the policy that called this one',
    })
    .optional(),
  rules: z.array(rule),
});

/** Where numbers stand too, a name begins with a letter. */
const setName = identifier.refine((name) => /^[A-Za-z]/.test(name) && parseAsn(name) === undefined, {
  error: 'must be a name that begins with a letter',
});

export const policiesSection = z
  .object({
    prefixSets: z.record(identifier, z.array(prefixItem)).optional(),
    asPathSets: z.record(identifier, z.array(asPathPattern)).optional(),
    communitySets: z.record(identifier, z.array(communityItem(...kinds.standard, true))).optional(),
    largeCommunitySets: z.record(identifier, z.array(communityItem(...kinds.large, true))).optional(),
    extendedCommunitySets: z.record(identifier, z.array(communityItem(...kinds.extended, true))).optional(),
    asnSets: z.record(setName, z.array(asnItem)).optional(),
    peerSets: z.record(identifier, z.array(text.min(1))).optional(),
  })
  .catchall(policy);

/** Keys under `policies:` that hold sets; every other key is a policy's name. */
export const setKinds = [
  'prefixSets',
  'asPathSets',
  'communitySets',
  'largeCommunitySets',
  'extendedCommunitySets',
  'asnSets',
  'peerSets',
] as const;

export type PolicyConfig = z.infer<typeof policy>;
export type PoliciesConfig = z.infer<typeof policiesSection>;
