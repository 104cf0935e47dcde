// The `policies:` section: named policies, and under reserved names the sets they refer to. Grammar of single values
// is judged here; whether a name exists is in policy-checks.ts.

import * as z from 'zod';
import { parseCommunity, parseExtendedCommunity, parseLargeCommunity } from '../net/community.ts';
import { parseIp } from '../net/ip.ts';
import { asn, asnItem, identifier, prefixFault, section, text, whole } from './scalars.ts';

/** One value or a list of them. */
function oneOrMore<Item extends z.ZodType>(item: Item, error: string) {
  return z.union([item, z.array(item).min(1)], { error });
}

/** A prefix, or the name of a set: only prefixes have a slash or a colon or begin with a dotted quad. */
const prefixOrSet = z.string().superRefine((value, context) => {
  if (!/[/:]/.test(value) && parseIp(value) === undefined) return;
  const fault = prefixFault(value);
  if (fault !== undefined)
    context.addIssue({ code: 'custom', message: fault.reason, params: { hint: fault.hint } });
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
  const own = Number(range.prefix.split('/')[1]);
  const longest = range.prefix.includes(':') ? 128 : 32;
  const bad = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
  if (range.ge !== undefined && range.ge < own) bad('ge', `must be at least the prefix's own length, ${own}`);
  if (range.le !== undefined && range.le < Math.max(own, range.ge ?? 0))
    bad('le', `must be at least ${Math.max(own, range.ge ?? 0)}`);
  for (const key of ['ge', 'le'] as const)
    if ((range[key] ?? 0) > longest) bad(key, `must be at most ${longest} for this prefix`);
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
        !value.includes(':') ||
        (wildcards && parse(widened(value)) !== undefined),
      { error: `must be a community: ${form}` },
    );
}

const widened = (value: string): string => value.replaceAll('*', '1');

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
    (pattern) => /^[\^$_ .*+?|()[\]\dA-Za-z0-9,-]+$/.test(pattern),
    'has a character that no AS path pattern has',
  );

const families = z.enum(['ipv4', 'ipv6']);
const origins = z.enum(['igp', 'egp', 'incomplete']);
const sources = z.enum(['local', 'connected', 'static', 'kernel', 'bgp']);
const addressOrPrefix = z
  .string()
  .refine(
    (value) => parseIp(value) !== undefined || prefixFault(value) === undefined,
    'must be an address or a prefix',
  );

const match = section({
  prefixes: prefixes.optional(),
  family: oneOrMore(families, 'must be ipv4, ipv6 or a list').optional(),
  asPath: oneOrMore(asPathPattern, "must be an AS path pattern, a set's name, or a list").optional(),
  asPathLength: numberMatch.optional(),
  communities: communityMatch('standard').optional(),
  allCommunities: communityMatch('standard').optional(),
  largeCommunities: communityMatch('large').optional(),
  allLargeCommunities: communityMatch('large').optional(),
  extendedCommunities: communityMatch('extended').optional(),
  allExtendedCommunities: communityMatch('extended').optional(),
  peer: oneOrMore(text.min(1), "must be a peer's name or a list").optional(),
  neighborAs: oneOrMore(asnItem, 'must be an AS number, a range, or a list').optional(),
  origin: oneOrMore(origins, 'must be igp, egp, incomplete or a list').optional(),
  nextHop: oneOrMore(addressOrPrefix, 'must be an address, a prefix, or a list').optional(),
  localPref: numberMatch.optional(),
  med: numberMatch.optional(),
  source: oneOrMore(sources, 'must be local, connected, static, kernel, bgp or a list').optional(),
  isDefault: z.boolean().optional(),
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
  med: changeable(['remove']).optional(),
  weight: whole(0, 65535).optional(),
  communities: communityChange('standard').optional(),
  largeCommunities: communityChange('large').optional(),
  extendedCommunities: communityChange('extended').optional(),
  prepend: section({ asn: asn.optional(), count: whole(1, 64).optional() }).optional(),
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
  action: z
    .enum(['accept', 'reject', 'next'])
    .meta({ description: 'next applies the changes and goes on with the next rule' }),
});

const policy = section({
  default: z
    .enum(['accept', 'reject'])
    .meta({ default: 'reject', description: 'For a route that no rule decided' })
    .optional(),
  rules: z.array(rule),
});

export const policiesSection = z
  .object({
    prefixSets: z.record(identifier, z.array(prefixItem)).optional(),
    asPathSets: z.record(identifier, z.array(asPathPattern)).optional(),
    communitySets: z.record(identifier, z.array(communityItem(...kinds.standard, true))).optional(),
    largeCommunitySets: z.record(identifier, z.array(communityItem(...kinds.large, true))).optional(),
    extendedCommunitySets: z.record(identifier, z.array(communityItem(...kinds.extended, true))).optional(),
  })
  .catchall(policy);

/** Keys under `policies:` that hold sets; every other key is a policy's name. */
export const setKinds = [
  'prefixSets',
  'asPathSets',
  'communitySets',
  'largeCommunitySets',
  'extendedCommunitySets',
] as const;

export type PolicyConfig = z.infer<typeof policy>;
export type PoliciesConfig = z.infer<typeof policiesSection>;
