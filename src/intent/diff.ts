// What changes between two intents, one entry a change, with the owner it concerns and what putting it in force
// costs. Reload and `leafctl plan` both read this list, so the plan cannot promise other than the reload does, and a
// session of which nothing changed is in no entry. Pure; secrets are compared, never shown.

import { formatIp, formatIp4 } from '../net/ip.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import { type Change, diffNamed, type Effect, type Owner, onOff, type Texts, valueChange } from './change.ts';
import { diffGuests } from './diff-guests.ts';
import { allAnew, diffPassthrough } from './diff-passthrough.ts';
import { chainText, diffPeers, rangesText } from './diff-peers.ts';
import { formatDuration } from './duration.ts';
import type { BgpIntent, Intent, PolicyChain, RedistributeSource, RpkiServer } from './intent.ts';
import type { PolicyDefinition, PolicyDefinitions } from './policy-definition.ts';
import { setKinds } from './schema-policy.ts';

/** Everything that differs, in the order sections are put in force. Empty: the two mean the same. */
export function diffIntents(before: Intent, after: Intent): Change[] {
  return [
    ...diffSettings(before, after),
    ...diffPrefixes('loopback', before.bgp.loopbacks, after.bgp.loopbacks),
    ...diffPrefixes('network', before.bgp.networks, after.bgp.networks),
    ...diffRedistribute(before.bgp, after.bgp),
    ...diffNamed('route', routeTexts(before), routeTexts(after)),
    ...diffNamed('aggregate', aggregateTexts(before), aggregateTexts(after)),
    ...diffNamed('rpki', rpkiTexts(before), rpkiTexts(after)),
    ...diffGuests(before.guests, after.guests),
    ...diffPassthrough(before.passthrough, after.passthrough),
    ...diffPolicies(before, after),
    ...diffPeers(before.bgp, after.bgp),
  ];
}

type Setting = readonly [
  owner: Owner,
  name: string,
  effect: Effect,
  show: (intent: Intent) => string | undefined,
];

/**
 * Single values, each with what it costs to change it. Who we are (`asn`, `routerId`, `clusterId`) is part of what is
 * known of every route that was looked at for loops, so another identity begins with another life.
 */
const settings: readonly Setting[] = [
  ['node', 'name', 'live', (i) => i.node.name],
  ['node', 'labels', 'live', (i) => labelText(i.node.labels)],
  ['api', 'socket', 'restart', (i) => i.api.socket],
  [
    'api',
    'listen',
    'restart',
    (i) => (i.api.listen ? `${i.api.listen.host}:${i.api.listen.port}` : undefined),
  ],
  ['bgp', 'speaker', 'restart', (i) => i.bgp.speaker],
  ['bgp', 'asn', 'restart', (i) => String(i.bgp.asn)],
  ['bgp', 'routerId', 'restart', (i) => formatIp4(i.bgp.routerId)],
  ['bgp', 'port', 'restart', (i) => String(i.bgp.port)],
  ['bgp', 'multipath', 'live', (i) => String(i.bgp.multipath)],
  ['bgp', 'multipathRelax', 'live', (i) => onOff(i.bgp.multipathRelax)],
  ['bgp', 'linkBandwidth', 'live', (i) => onOff(i.bgp.linkBandwidth)],
  ['bgp', 'alwaysCompareMed', 'live', (i) => onOff(i.bgp.alwaysCompareMed)],
  ['bgp', 'missingMedWorst', 'live', (i) => onOff(i.bgp.missingMedWorst)],
  ['bgp', 'bestExternal', 'live', (i) => onOff(i.bgp.bestExternal)],
  ['bgp', 'distance', 'live', (i) => distanceText(i.bgp)],
  ['bgp', 'gracefulShutdown', 'soft refresh', (i) => onOff(i.bgp.gracefulShutdown)],
  ['bgp', 'rtcDefault', 'live', (i) => onOff(i.bgp.rtcDefault)],
  ['bgp', 'confederation', 'restart', (i) => confederationText(i.bgp)],
  ['bgp', 'gracefulRestart', 'live', (i) => onOff(i.bgp.gracefulRestart.enabled)],
  ['bgp', 'gracefulRestart.restartTime', 'live', (i) => formatDuration(i.bgp.gracefulRestart.restartTimeMs)],
  [
    'bgp',
    'gracefulRestart.stalePathTime',
    'live',
    (i) => formatDuration(i.bgp.gracefulRestart.stalePathTimeMs),
  ],
  ['bgp', 'gracefulRestart.notification', 'live', (i) => onOff(i.bgp.gracefulRestart.notification)],
  [
    'bgp',
    'gracefulRestart.longLivedStaleTime',
    'live',
    (i) => optionalDuration(i.bgp.gracefulRestart.longLivedStaleTimeMs),
  ],
  ['bgp', 'profile', 'soft refresh', (i) => i.bgp.profile],
  ['bgp', 'clusterId', 'restart', (i) => formatIp4(i.bgp.clusterId)],
  ['kernel', 'fib', 'restart', (i) => onOff(i.kernel.fib)],
  ['kernel', 'nexthopCompat', 'live', (i) => String(i.kernel.nexthopCompat)],
  ['kernel', 'metric', 'restart', (i) => String(i.kernel.metric)],
  ['kernel', 'table', 'restart', (i) => String(i.kernel.table)],
];

/** Who speaks: in a router namespace the daemon makes another speaker, and need not start anew itself. */
const ofSpeaker: ReadonlySet<string> = new Set(['asn', 'routerId', 'clusterId', 'port']);

const optionalDuration = (ms: number | undefined) => (ms === undefined ? undefined : formatDuration(ms));

function confederationText({ confederation }: BgpIntent): string | undefined {
  if (confederation === undefined) return undefined;
  return `${confederation.id} of ${rangesText(confederation.members)}`;
}

function distanceText({ distance }: BgpIntent): string | undefined {
  if (distance === undefined) return undefined;
  return `external ${distance.external}, internal ${distance.internal}, local ${distance.local}`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const names = Object.keys(labels).sort();
  return names.length === 0 ? 'none' : names.map((name) => `${name}=${labels[name]}`).join(' ');
}

function diffSettings(before: Intent, after: Intent): Change[] {
  const changes: Change[] = [];
  for (const [owner, name, effect, show] of settings) {
    const change = valueChange(show(before), show(after));
    if (change === undefined) continue;
    const text = `${owner}.${name}: ${change.text}`;
    const isAnew = owner === 'bgp' && ofSpeaker.has(name) && (before.passthrough ?? after.passthrough);
    if (isAnew) changes.push({ ...change, owner, what: name, effect: 'session reset', text: text + allAnew });
    else changes.push({ ...change, owner, what: name, effect, text });
  }
  return changes;
}

function diffPrefixes(
  owner: 'loopback' | 'network',
  before: readonly Prefix[],
  after: readonly Prefix[],
): Change[] {
  const old = new Set(before.map(prefixText));
  const wanted = new Set(after.map(prefixText));
  const changes: Change[] = [];
  const entry = (kind: 'add' | 'remove', what: string) =>
    changes.push({ kind, owner, what, effect: 'live', text: `${owner} ${what}` });
  for (const text of old) if (!wanted.has(text)) entry('remove', text);
  for (const text of wanted) if (!old.has(text)) entry('add', text);
  return changes;
}

function diffRedistribute(before: BgpIntent, after: BgpIntent): Change[] {
  const show = (source: RedistributeSource | undefined): string | undefined =>
    source === undefined ? undefined : (chainText(source.policy) ?? 'all');
  return (['connected', 'static', 'kernel'] as const).flatMap((what) => {
    const change = valueChange(show(before.redistribute[what]), show(after.redistribute[what]));
    if (change === undefined) return [];
    return [
      {
        ...change,
        owner: 'redistribute',
        what,
        effect: 'live',
        text: `redistribute ${what}: ${change.text}`,
      },
    ];
  });
}

function routeTexts({ bgp }: Intent): Texts {
  return new Map(
    bgp.routes.map(({ prefix, to, policy, tag }) => {
      const via = to.kind === 'blackhole' ? to.kind : `via ${formatIp(to.address)}`;
      const scope = to.kind === 'gateway' && to.interface !== undefined ? ` dev ${to.interface}` : '';
      const through = policy === undefined ? '' : ` policy ${chainText(policy)}`;
      const tagged = tag === undefined ? '' : ` tag ${tag}`;
      return [prefixText(prefix), via + scope + through + tagged];
    }),
  );
}

function aggregateTexts({ bgp }: Intent): Texts {
  return new Map(
    bgp.aggregates.map(({ prefix, summaryOnly, policy }) => {
      const through = policy === undefined ? '' : ` policy ${chainText(policy)}`;
      return [prefixText(prefix), (summaryOnly ? 'summary only' : 'with more specifics') + through];
    }),
  );
}

function rpkiTexts({ rpki }: Intent): Texts {
  const times = ({ refreshMs, retryMs, expireMs }: RpkiServer): string =>
    Object.entries({ refresh: refreshMs, retry: retryMs, expire: expireMs })
      .flatMap(([name, ms]) => (ms === undefined ? [] : [`${name} ${formatDuration(ms)}`]))
      .join(' ');
  const entries = rpki.servers.map((one): [string, string] => [
    `${one.address} port ${one.port}`,
    times(one),
  ]);
  return new Map(rpki.file === undefined ? entries : [...entries, ['file', rpki.file]]);
}

/** A policy changes when its rules do, or a set that they name, or a policy that they call. */
function diffPolicies(before: Intent, after: Intent): Change[] {
  const old = closures(before.policies);
  const wanted = closures(after.policies);
  const changes: Change[] = [];
  for (const name of new Set([...old.keys(), ...wanted.keys()])) {
    const kind = !old.has(name) ? 'add' : !wanted.has(name) ? 'remove' : 'change';
    if (kind === 'change' && old.get(name) === wanted.get(name)) continue;
    const users = kind === 'remove' ? [] : policyUsers(after, name);
    const used = users.length === 0 ? 'no peer uses it' : `used by ${users.join(', ')}`;
    const effect = kind === 'change' && users.length > 0 ? 'soft refresh' : 'live';
    changes.push({ kind, owner: 'policy', what: name, effect, text: `policy ${name}: ${used}` });
  }
  return changes;
}

/** Everything that a change of the policy concerns: peers, sources of routes, and policies that call it. */
function policyUsers(after: Intent, policy: string): string[] {
  const { bgp } = after;
  const names = (chain: PolicyChain | undefined): boolean => chain?.includes(policy) === true;
  const users = bgp.peers
    .filter((peer) =>
      [peer, ...Object.values(peer.byFamily ?? {})].some(
        (one) => names(one.import) || names(one.export) || names(one.defaultOriginate?.policy),
      ),
    )
    .map((peer) => peer.name);
  for (const [name, source] of Object.entries(bgp.redistribute) as [string, RedistributeSource][])
    if (names(source.policy)) users.push(`redistribute ${name}`);
  for (const one of bgp.routes) if (names(one.policy)) users.push(`route ${prefixText(one.prefix)}`);
  for (const one of bgp.aggregates) if (names(one.policy)) users.push(`aggregate ${prefixText(one.prefix)}`);
  if (names(after.guests?.policy)) users.push('guests');
  for (const [name, definition] of Object.entries(after.policies.policies ?? {}))
    if (callsOf(definition).includes(policy)) users.push(`policy ${name}`);
  return users;
}

const callsOf = (policy: PolicyDefinition): string[] =>
  policy.rules.flatMap((rule) => (rule.call === undefined ? [] : [rule.call]));

/** Each policy's definition with every set it could name, as comparable text. */
function closures(definitions: PolicyDefinitions): Map<string, string> {
  const sets: Record<string, unknown>[] = setKinds.map((key) => ({ ...definitions[key] }));
  const result = new Map<string, string>();
  for (const [name, policy] of Object.entries(definitions.policies ?? {})) {
    const parts = [stableText(policy)];
    const seen = new Set<string>();
    const called = new Set([name]);
    const collect = (policy: PolicyDefinition): void => {
      for (const next of callsOf(policy)) {
        const definition = definitions.policies?.[next];
        if (definition === undefined || called.has(next)) continue;
        called.add(next);
        parts.push(stableText(definition));
        collect(definition);
      }
    };
    collect(policy);
    for (let i = 0; i < parts.length; i++)
      for (const [kind, named] of sets.entries())
        for (const [set, content] of Object.entries(named)) {
          if (seen.has(`${kind} ${set}`) || !parts[i]!.includes(JSON.stringify(set))) continue;
          seen.add(`${kind} ${set}`);
          parts.push(`${kind} ${set} ${stableText(content)}`);
        }
    result.set(name, parts.join('\n'));
  }
  return result;
}

/** JSON with sorted keys: the order in which keys were written means nothing. */
function stableText(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    const entries = Object.entries(inner).filter(([, one]) => one !== undefined);
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** The heaviest effect among changes; `live` for none. */
export function heaviest(changes: readonly Change[]): Effect {
  const order: readonly Effect[] = ['live', 'soft refresh', 'session reset', 'restart'];
  return changes.reduce<Effect>(
    (worst, one) => (order.indexOf(one.effect) > order.indexOf(worst) ? one.effect : worst),
    'live',
  );
}
