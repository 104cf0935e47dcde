// What changes about peers between two intents: each value with what it costs to put in force. What routes are judged
// by takes a refresh; what both sides agreed on takes a new session; what was only said in OPEN, or only decides how a
// connection is made, waits for the next one: a session that works is worth more.

import { formatIp } from '../net/ip.ts';
import { type Change, type Effect, onOff, valueChange } from './change.ts';
import { formatDuration } from './duration.ts';
import type {
  AddPathIntent,
  BfdIntent,
  BgpIntent,
  FamilyIntent,
  MaxPrefixIntent,
  PeerIntent,
  PolicyChain,
  RemoteAs,
} from './intent.ts';
import { defaultPolicies } from './profile.ts';
import { familyNames } from './schema-peer.ts';
import type { Secret } from './secret.ts';

/** Peers added and removed, and every value of those that stay. */
export function diffPeers(before: BgpIntent, after: BgpIntent): Change[] {
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

type Field = readonly [
  name: string,
  effect: Effect,
  show: (peer: PeerIntent) => string | undefined,
  remark?: string,
];

/** Ends the text of a change that is live in so far as it costs nothing. */
const waits = ', with the next session';

/** A peer's values. */
const peerFields: readonly Field[] = [
  ['name', 'live', (p) => p.name],
  ['group', 'live', (p) => p.group],
  ['description', 'live', (p) => p.description],
  ['remoteAs', 'session reset', (p) => remoteAsText(p.remoteAs)],
  ['port', 'live', (p) => String(p.port), waits],
  ['families', 'session reset', (p) => p.families.join(' ')],
  ['ttlSecurity', 'live', (p) => p.ttlSecurityHops?.toString()],
  ['multihop', 'live', (p) => p.multihopTtl?.toString()],
  ['passive', 'live', (p) => onOff(p.passive), waits],
  [
    'localAddress',
    'session reset',
    (p) => (p.localAddress === undefined ? undefined : formatIp(p.localAddress)),
  ],
  ['timers.hold', 'live', (p) => formatDuration(p.timers.holdMs), waits],
  ['timers.keepalive', 'live', (p) => formatDuration(p.timers.keepaliveMs), waits],
  ['timers.connectRetry', 'live', (p) => formatDuration(p.timers.connectRetryMs), waits],
  ['idleHold', 'live', (p) => optionalDuration(p.idleHoldMs)],
  ['shutdownText', 'live', (p) => p.shutdownText],
  ['users', 'live', (p) => (typeof p.users === 'string' ? p.users : (p.users?.join(' ') ?? 'any')), waits],
  ['awaitSpeakers', 'live', (p) => optionalDuration(p.awaitMs), ', with the next restart'],
  ...familyFields((p) => p),
  ['maxPeers', 'live', (p) => String(p.maxPeers)],
  ['localAs', 'session reset', (p) => localAsText(p.localAs)],
  ['allowAsIn', 'soft refresh', (p) => String(p.allowAsIn)],
  ['removePrivateAs', 'soft refresh', (p) => removalText(p.removePrivateAs)],
  ['asOverride', 'soft refresh', (p) => onOff(p.asOverride)],
  ['nextHopSelf', 'soft refresh', (p) => p.nextHopSelf],
  ['nextHopUnchanged', 'soft refresh', (p) => onOff(p.nextHopUnchanged)],
  ['routeReflectorClient', 'soft refresh', (p) => onOff(p.routeReflectorClient)],
  ['routeServerClient', 'soft refresh', (p) => onOff(p.routeServerClient)],
  ['enforceFirstAs', 'soft refresh', (p) => onOff(p.enforceFirstAs)],
  ['role', 'session reset', (p) => p.role],
  ['roleStrict', 'session reset', (p) => onOff(p.roleStrict)],
  ['gracefulRestart', 'session reset', (p) => p.gracefulRestart],
  ['bfd', 'live', (p) => bfdText(p.bfd)],
  ['extendedMessages', 'session reset', (p) => onOff(p.extendedMessages)],
  ['asSet', 'soft refresh', (p) => p.asSet],
  [
    'flowspecValidation',
    'soft refresh',
    (p) => (p.flowspecValidation === undefined ? undefined : onOff(p.flowspecValidation)),
  ],
  ['gracefulShutdown', 'soft refresh', (p) => onOff(p.gracefulShutdown)],
  ['blackhole', 'soft refresh', (p) => onOff(p.blackhole)],
  ['moves', 'soft refresh', (p) => (p.moves === undefined ? undefined : onOff(p.moves))],
  ['weight', 'soft refresh', (p) => String(p.weight)],
  ...familyNames.flatMap((name) =>
    familyFields((p) => p.byFamily?.[name]).map(
      ([key, effect, show]): Field => [`families.${name}.${key}`, effect, show],
    ),
  ),
];

/** What may be said of all families of a peer, or of one. */
function familyFields(of: (peer: PeerIntent) => FamilyIntent | undefined): Field[] {
  return [
    ['import', 'soft refresh', (p) => chainText(of(p)?.import)],
    ['export', 'soft refresh', (p) => chainText(of(p)?.export)],
    ['maxPrefix', 'live', (p) => maxPrefixText(of(p)?.maxPrefix)],
    ['addPath', 'session reset', (p) => addPathText(of(p)?.addPath)],
    [
      'defaultOriginate',
      'live',
      (p) => {
        const source = of(p)?.defaultOriginate;
        return source === undefined ? undefined : (chainText(source.policy) ?? 'on');
      },
    ],
  ];
}

/** For people and for comparing: `65000-65199,4200000000`. */
export function rangesText(ranges: readonly (readonly [low: number, high: number])[]): string {
  return ranges.map(([low, high]) => (low === high ? `${low}` : `${low}-${high}`)).join(',');
}

/** For people and for comparing: `external`, `65001`, `65000-65199,4200000000`. */
export function remoteAsText(remoteAs: RemoteAs): string {
  return remoteAs.kind === 'list' ? rangesText(remoteAs.ranges) : remoteAs.kind;
}

/** `a` or `a, b`. */
export function chainText(chain: PolicyChain | undefined): string | undefined {
  return chain?.join(', ');
}

const optionalDuration = (ms: number | undefined) => (ms === undefined ? undefined : formatDuration(ms));

function maxPrefixText(max: MaxPrefixIntent | undefined): string | undefined {
  if (max === undefined) return undefined;
  const again = max.action === 'restart' ? ` ${formatDuration(max.restartAfterMs)}` : '';
  const warn = max.warnAtPercent === undefined ? '' : ` warn at ${max.warnAtPercent} %`;
  return `${max.limit} ${max.action}${again}${warn}`;
}

function addPathText(addPath: AddPathIntent | undefined): string | undefined {
  if (addPath === undefined) return undefined;
  const receive = addPath.receive
    ? `receive${addPath.receiveMax === undefined ? '' : ` ${addPath.receiveMax}`}`
    : '';
  const send =
    addPath.send === 'none'
      ? ''
      : `send ${addPath.send}${addPath.sendMax === 0 ? '' : ` ${addPath.sendMax}`}`;
  return [receive, send].filter(Boolean).join(', ') || 'none';
}

function localAsText(localAs: PeerIntent['localAs']): string | undefined {
  if (localAs === undefined) return undefined;
  return `${localAs.asn}${localAs.noPrepend ? ' no-prepend' : ''}${localAs.replaceAs ? ' replace-as' : ''}`;
}

function removalText(removal: PeerIntent['removePrivateAs']): string | undefined {
  if (removal === undefined) return undefined;
  return `on${removal.all ? ' all' : ''}${removal.replace ? ' replace' : ''}`;
}

function bfdText(bfd: BfdIntent | undefined): string | undefined {
  if (bfd === undefined) return undefined;
  const passive = bfd.passive ? ' passive' : '';
  const receive = `receive ${formatDuration(bfd.minRxMs)}`;
  return `${bfd.multiplier} x ${formatDuration(bfd.minTxMs)}, ${receive}, TTL ${bfd.minTtl}${passive}`;
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
    entry('live', `password ${verb}`);
  }
  for (const [name, effect, show, remark = ''] of peerFields) {
    const change = valueChange(show(before), show(after));
    if (change !== undefined) entry(effect, `${name} ${change.text}${remark}`);
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
