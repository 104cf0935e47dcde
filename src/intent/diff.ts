// What changes between two intents, one entry a change, with the owner it concerns and what putting it in force
// costs. Reload and `leafctl plan` both read this list, so the plan cannot promise other than the reload does, and a
// session of which nothing changed is in no entry. Pure; secrets are compared, never shown.

import { formatIp, formatIp4 } from '../net/ip.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import { formatDuration } from './duration.ts';
import type {
  BgpIntent,
  Intent,
  MaxPrefixIntent,
  PeerIntent,
  RedistributeSource,
  RemoteAs,
} from './intent.ts';
import type { PolicyDefinitions } from './policy-definition.ts';
import { defaultPolicies } from './profile.ts';
import type { Secret } from './secret.ts';

/**
 * The price of a change: nothing; routes judged anew over sessions that stay; a session that is closed and opened
 * again; the daemon started anew.
 */
export type Effect = 'live' | 'soft refresh' | 'session reset' | 'restart';

export type Owner =
  | 'node'
  | 'api'
  | 'bgp'
  | 'peer'
  | 'policy'
  | 'loopback'
  | 'network'
  | 'redistribute'
  | 'kernel';

export interface Change {
  kind: 'add' | 'remove' | 'change';
  owner: Owner;
  /** Which one: a peer's `key`, a policy's name, a prefix, a key of the section. */
  what: string;
  effect: Effect;
  /** One line for people, without the effect. */
  text: string;
}

/** Everything that differs, in the order sections are put in force. Empty: the two mean the same. */
export function diffIntents(before: Intent, after: Intent): Change[] {
  return [
    ...diffSettings(before, after),
    ...diffPrefixes('loopback', before.bgp.loopbacks, after.bgp.loopbacks),
    ...diffPrefixes('network', before.bgp.networks, after.bgp.networks),
    ...diffRedistribute(before.bgp, after.bgp),
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

const onOff = (value: boolean): string => (value ? 'on' : 'off');

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
  ['bgp', 'asn', 'restart', (i) => String(i.bgp.asn)],
  ['bgp', 'routerId', 'restart', (i) => formatIp4(i.bgp.routerId)],
  ['bgp', 'port', 'restart', (i) => String(i.bgp.port)],
  ['bgp', 'multipath', 'live', (i) => String(i.bgp.multipath)],
  ['bgp', 'multipathRelax', 'live', (i) => onOff(i.bgp.multipathRelax)],
  ['bgp', 'gracefulRestart', 'live', (i) => onOff(i.bgp.gracefulRestart.enabled)],
  ['bgp', 'gracefulRestart.restartTime', 'live', (i) => formatDuration(i.bgp.gracefulRestart.restartTimeMs)],
  [
    'bgp',
    'gracefulRestart.stalePathTime',
    'live',
    (i) => formatDuration(i.bgp.gracefulRestart.stalePathTimeMs),
  ],
  ['bgp', 'profile', 'soft refresh', (i) => i.bgp.profile],
  ['bgp', 'clusterId', 'restart', (i) => formatIp4(i.bgp.clusterId)],
  ['kernel', 'fib', 'restart', (i) => onOff(i.kernel.fib)],
  ['kernel', 'nexthopCompat', 'live', (i) => String(i.kernel.nexthopCompat)],
  ['kernel', 'metric', 'restart', (i) => String(i.kernel.metric)],
  ['kernel', 'table', 'restart', (i) => String(i.kernel.table)],
];

function labelText(labels: Readonly<Record<string, string>>): string {
  const names = Object.keys(labels).sort();
  return names.length === 0 ? 'none' : names.map((name) => `${name}=${labels[name]}`).join(' ');
}

function diffSettings(before: Intent, after: Intent): Change[] {
  const changes: Change[] = [];
  for (const [owner, name, effect, show] of settings) {
    const change = valueChange(show(before), show(after));
    if (change !== undefined)
      changes.push({ ...change, owner, what: name, effect, text: `${owner}.${name}: ${change.text}` });
  }
  return changes;
}

function valueChange(
  before: string | undefined,
  after: string | undefined,
): Pick<Change, 'kind' | 'text'> | undefined {
  if (before === after) return undefined;
  if (before === undefined) return { kind: 'add', text: after! };
  if (after === undefined) return { kind: 'remove', text: `${before} -> none` };
  return { kind: 'change', text: `${before} -> ${after}` };
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
    source === undefined ? undefined : (source.policy ?? 'all');
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

/** A policy changes when its rules do, or a set that they name. */
function diffPolicies(before: Intent, after: Intent): Change[] {
  const old = closures(before.policies);
  const wanted = closures(after.policies);
  const changes: Change[] = [];
  for (const name of new Set([...old.keys(), ...wanted.keys()])) {
    const kind = !old.has(name) ? 'add' : !wanted.has(name) ? 'remove' : 'change';
    if (kind === 'change' && old.get(name) === wanted.get(name)) continue;
    const users = kind === 'remove' ? [] : policyUsers(after.bgp, name);
    const used = users.length === 0 ? 'no peer uses it' : `used by ${users.join(', ')}`;
    const effect = kind === 'change' && users.length > 0 ? 'soft refresh' : 'live';
    changes.push({ kind, owner: 'policy', what: name, effect, text: `policy ${name}: ${used}` });
  }
  return changes;
}

function policyUsers(bgp: BgpIntent, policy: string): string[] {
  const users = bgp.peers
    .filter((peer) => peer.import === policy || peer.export === policy)
    .map((peer) => peer.name);
  const sources = Object.entries(bgp.redistribute).filter(([, source]) => source.policy === policy);
  return [...users, ...sources.map(([name]) => `redistribute ${name}`)];
}

/** Each policy's definition with every set it could name, as comparable text. */
function closures(definitions: PolicyDefinitions): Map<string, string> {
  const sets: Record<string, unknown>[] = [
    { ...definitions.prefixSets },
    { ...definitions.asPathSets },
    { ...definitions.communitySets },
    { ...definitions.largeCommunitySets },
    { ...definitions.extendedCommunitySets },
  ];
  const result = new Map<string, string>();
  for (const [name, policy] of Object.entries(definitions.policies ?? {})) {
    const parts = [stableText(policy)];
    const seen = new Set<string>();
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

function diffPeers(before: BgpIntent, after: BgpIntent): Change[] {
  const old = new Map(before.peers.map((peer) => [peer.key, peer]));
  const wanted = new Map(after.peers.map((peer) => [peer.key, peer]));
  const changes: Change[] = [];
  for (const [key, peer] of old)
    if (!wanted.has(key))
      changes.push({
        kind: 'remove',
        owner: 'peer',
        what: key,
        effect: 'session reset',
        text: `peer ${peer.name}`,
      });
  for (const [key, peer] of wanted) {
    const previous = old.get(key);
    if (previous === undefined)
      changes.push({ kind: 'add', owner: 'peer', what: key, effect: 'live', text: `peer ${peer.name}` });
    else changes.push(...diffPeer(previous, peer));
  }
  if (before.profile !== after.profile) changes.push(...profileUsers(before, after, old));
  return changes;
}

type Field = readonly [name: string, effect: Effect, show: (peer: PeerIntent) => string | undefined];

/** A peer's values. What was said in OPEN, or decides how the connection is made, takes a new session. */
const peerFields: readonly Field[] = [
  ['name', 'live', (p) => p.name],
  ['group', 'live', (p) => p.group],
  ['description', 'live', (p) => p.description],
  ['remoteAs', 'session reset', (p) => remoteAsText(p.remoteAs)],
  ['port', 'session reset', (p) => String(p.port)],
  ['families', 'session reset', (p) => p.families.join(' ')],
  ['ttlSecurity', 'session reset', (p) => p.ttlSecurityHops?.toString()],
  ['multihop', 'session reset', (p) => p.multihopTtl?.toString()],
  ['passive', 'live', (p) => onOff(p.passive)],
  [
    'localAddress',
    'session reset',
    (p) => (p.localAddress === undefined ? undefined : formatIp(p.localAddress)),
  ],
  ['timers.hold', 'session reset', (p) => formatDuration(p.timers.holdMs)],
  ['timers.keepalive', 'session reset', (p) => formatDuration(p.timers.keepaliveMs)],
  ['timers.connectRetry', 'live', (p) => formatDuration(p.timers.connectRetryMs)],
  ['import', 'soft refresh', (p) => p.import],
  ['export', 'soft refresh', (p) => p.export],
  ['maxPrefix', 'live', (p) => maxPrefixText(p.maxPrefix)],
  ['maxPeers', 'live', (p) => String(p.maxPeers)],
  ['nextHopSelf', 'soft refresh', (p) => onOff(p.nextHopSelf)],
  ['routeReflectorClient', 'soft refresh', (p) => onOff(p.routeReflectorClient)],
];

/** For people and for comparing: `external`, `65001`, `65000-65199,4200000000`. */
export function remoteAsText(remoteAs: RemoteAs): string {
  if (remoteAs.kind !== 'list') return remoteAs.kind;
  return remoteAs.ranges.map(([low, high]) => (low === high ? `${low}` : `${low}-${high}`)).join(',');
}

function maxPrefixText(max: MaxPrefixIntent | undefined): string | undefined {
  if (max === undefined) return undefined;
  return `${max.limit} ${max.action}${max.action === 'restart' ? ` ${formatDuration(max.restartAfterMs)}` : ''}`;
}

function diffPeer(before: PeerIntent, after: PeerIntent): Change[] {
  const changes: Change[] = [];
  const entry = (effect: Effect, text: string) =>
    changes.push({
      kind: 'change',
      owner: 'peer',
      what: after.key,
      effect,
      text: `peer ${after.name}: ${text}`,
    });
  if (before.shutdown !== after.shutdown)
    entry(after.shutdown ? 'session reset' : 'live', after.shutdown ? 'shut down' : 'no longer shut down');
  if (!sameSecret(before.password, after.password)) {
    const verb = before.password === undefined ? 'set' : after.password === undefined ? 'removed' : 'changed';
    entry('session reset', `password ${verb}`);
  }
  for (const [name, effect, show] of peerFields) {
    const change = valueChange(show(before), show(after));
    if (change !== undefined) entry(effect, `${name} ${change.text}`);
  }
  return changes;
}

function sameSecret(a: Secret | undefined, b: Secret | undefined): boolean {
  return a === undefined ? b === undefined : a.equals(b);
}

/** Peers whose unnamed policies are others under the other profile. */
function profileUsers(before: BgpIntent, after: BgpIntent, old: ReadonlyMap<string, PeerIntent>): Change[] {
  return after.peers.flatMap((peer) => {
    if (!old.has(peer.key)) return [];
    const changed = (['import', 'export'] as const).filter((direction) => {
      const was = defaultPolicies(before.profile, peer.remoteAs.kind === 'internal')[direction];
      const is = defaultPolicies(after.profile, peer.remoteAs.kind === 'internal')[direction];
      return peer[direction] === undefined && was !== is;
    });
    if (changed.length === 0) return [];
    const text = `peer ${peer.name}: ${changed.join(' and ')} by profile ${after.profile ?? 'none'}`;
    return [{ kind: 'change', owner: 'peer', what: peer.key, effect: 'soft refresh', text }];
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
