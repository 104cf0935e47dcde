// What a peer's keys say about routes: its families and what differs between them, the AS numbers and next hops that
// routes are sent with, BFD, roles. Keys that exclude each other, or have no use for this kind of peer, are refused:
// a key that does nothing would be worse than an error.

import { parseDuration } from './duration.ts';
import type {
  AddPathIntent,
  BfdIntent,
  FamilyIntent,
  MaxPrefixIntent,
  PeerFamily,
  PeerIntent,
  PolicyChain,
  RedistributeSource,
} from './intent.ts';
import {
  canBeExternal,
  canBeInternal,
  complain,
  type Findings,
  type Merged,
  type OptionKey,
  type PeerContext,
} from './merged.ts';
import { asnOf } from './scalars.ts';
import { type FamilyConfig, familyNames, type GroupConfig } from './schema-peer.ts';
import type { Path } from './tree.ts';

/** A policy's name or a list of names, as a list. */
export function chainOf(names: string | readonly string[]): PolicyChain {
  return typeof names === 'string' ? [names] : names;
}

/** Fills in the families, and what holds for all of them and for single ones. */
export function resolveFamilies(merged: Merged, peer: PeerIntent, context: PeerContext): void {
  const given = merged.get('families') ?? ['ipv4', 'ipv6'];
  const named: readonly PeerFamily[] = Array.isArray(given) ? given : (Object.keys(given) as PeerFamily[]);
  peer.families = familyNames.filter((family) => named.includes(family));
  const common: FamilyConfig = {
    import: merged.get('import'),
    export: merged.get('export'),
    maxPrefix: merged.get('maxPrefix'),
    addPath: merged.get('addPath'),
    defaultOriginate: merged.get('defaultOriginate'),
  };
  Object.assign(
    peer,
    resolveFamily(common, (key, ...more) => merged.pathOf(key, ...more), context),
  );
  if (common.defaultOriginate !== undefined && !peer.families.some(isUnicast))
    complain(context, merged.pathOf('defaultOriginate'), 'is only for the families ipv4 and ipv6');
  if (Array.isArray(given)) return;
  const byFamily: Partial<Record<PeerFamily, FamilyIntent>> = {};
  for (const [name, config] of Object.entries(given) as [PeerFamily, FamilyConfig | undefined][]) {
    if (config === undefined) continue;
    const own = resolveFamily(config, (...path) => merged.pathOf('families', name, ...path), context);
    if (Object.keys(own).length > 0) byFamily[name] = own;
    if (config.defaultOriginate !== undefined && !isUnicast(name))
      complain(
        context,
        merged.pathOf('families', name, 'defaultOriginate'),
        'is only for the families ipv4 and ipv6',
      );
  }
  if (Object.keys(byFamily).length > 0) peer.byFamily = byFamily;
}

const isUnicast = (family: PeerFamily): boolean => family === 'ipv4' || family === 'ipv6';

type PathOf = (key: keyof FamilyConfig & OptionKey, ...more: string[]) => Path;

function resolveFamily(config: FamilyConfig, pathOf: PathOf, context: Findings): FamilyIntent {
  const family: FamilyIntent = {};
  if (config.import !== undefined) family.import = chainOf(config.import);
  if (config.export !== undefined) family.export = chainOf(config.export);
  if (config.maxPrefix !== undefined)
    family.maxPrefix = resolveMaxPrefix(config.maxPrefix, pathOf('maxPrefix', 'restartAfter'), context);
  if (config.addPath !== undefined) family.addPath = resolveAddPath(config.addPath, pathOf, context);
  if (config.defaultOriginate !== undefined) family.defaultOriginate = sourceOf(config.defaultOriginate);
  return family;
}

/** `true` or `{policy}`. */
function sourceOf(value: true | { policy: string | string[] }): RedistributeSource {
  return value === true ? {} : { policy: chainOf(value.policy) };
}

function resolveMaxPrefix(
  config: NonNullable<FamilyConfig['maxPrefix']>,
  path: Path,
  context: Findings,
): MaxPrefixIntent {
  const action = config.action ?? 'shutdown';
  if (config.restartAfter !== undefined && action !== 'restart')
    context.problems.push({ path, at: 'key', reason: 'is only for action: restart' });
  const restartAfterMs = parseDuration(config.restartAfter ?? '5m')!;
  if (restartAfterMs < 1000) complain(context, path, 'must be at least 1s');
  const max: MaxPrefixIntent = { limit: config.limit, action, restartAfterMs };
  if (config.warnAt !== undefined) max.warnAtPercent = config.warnAt;
  return max;
}

function resolveAddPath(
  config: NonNullable<FamilyConfig['addPath']>,
  pathOf: PathOf,
  context: Findings,
): AddPathIntent {
  const receive = config.receive ?? false;
  const send = config.send ?? 'none';
  if (config.sendMax !== undefined && send === 'none')
    context.problems.push({
      path: pathOf('addPath', 'sendMax'),
      at: 'key',
      reason: 'has no use without send: all or send: best',
    });
  if (config.receiveMax !== undefined && !receive)
    context.problems.push({
      path: pathOf('addPath', 'receiveMax'),
      at: 'key',
      reason: 'has no use without receive: true',
    });
  const addPath: AddPathIntent = { receive, send, sendMax: config.sendMax ?? (send === 'all' ? 0 : 16) };
  if (config.receiveMax !== undefined) addPath.receiveMax = config.receiveMax;
  return addPath;
}

/** Fills in everything else that is about routes, roles and BFD, and judges what does not go together. */
export function resolveOptions(merged: Merged, peer: PeerIntent, context: PeerContext): void {
  const nextHopSelf = merged.get('nextHopSelf') ?? false;
  peer.nextHopSelf = nextHopSelf === true ? 'all' : nextHopSelf === false ? 'never' : nextHopSelf;
  const role = merged.get('role');
  if (role !== undefined) peer.role = role;
  resolveLocalAs(merged, peer, context);
  const removal = merged.get('removePrivateAs') ?? false;
  if (removal !== false) {
    const given = removal === true ? {} : removal;
    peer.removePrivateAs = { all: given.all ?? false, replace: given.replace ?? false };
  }
  resolveShutdownText(merged, peer, context);
  resolveIdleHold(merged, peer, context);
  const bfd = merged.get('bfd') ?? false;
  if (bfd !== false) peer.bfd = resolveBfd(bfd === true ? {} : bfd, merged, peer, context);
  checkKind(merged, peer, context);
  checkTogether(merged, peer, context);
}

function resolveLocalAs(merged: Merged, peer: PeerIntent, context: PeerContext): void {
  const given = merged.get('localAs');
  if (given === undefined) return;
  const whole = typeof given === 'object' ? given : { asn: given };
  const asn = asnOf(whole.asn);
  peer.localAs = { asn, noPrepend: whole.noPrepend ?? false, replaceAs: whole.replaceAs ?? false };
  const path = typeof given === 'object' ? merged.pathOf('localAs', 'asn') : merged.pathOf('localAs');
  if (asn === context.localAsn) complain(context, path, 'is bgp.asn, by which every peer knows us');
  const { remoteAs } = peer;
  if (remoteAs.kind === 'list' && remoteAs.ranges.every(([low, high]) => low === asn && high === asn))
    complain(context, path, "is the peer's own AS", 'to its members the session would look internal');
}

function resolveShutdownText(merged: Merged, peer: PeerIntent, context: PeerContext): void {
  const text = merged.get('shutdownText');
  if (text === undefined) return;
  peer.shutdownText = text;
  if (utf8Length(text) > 255)
    complain(context, merged.pathOf('shutdownText'), 'must be at most 255 bytes long (RFC 9003)');
}

/** Bytes of a text in UTF-8. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}

function resolveIdleHold(merged: Merged, peer: PeerIntent, context: PeerContext): void {
  const text = merged.get('idleHold');
  if (text === undefined) return;
  peer.idleHoldMs = parseDuration(text)!;
  if (peer.idleHoldMs < 100 || peer.idleHoldMs > 3_600_000)
    complain(context, merged.pathOf('idleHold'), 'must be from 100ms to 1h');
}

type BfdConfig = Exclude<NonNullable<GroupConfig['bfd']>, boolean>;

/** Lowest TTL by default: what is left after as many hops as the peer may be away; of internal peers one router. */
function resolveBfd(config: BfdConfig, merged: Merged, peer: PeerIntent, context: PeerContext): BfdIntent {
  const interval = (key: 'interval' | 'receive', fallbackMs: number): number => {
    const text = config[key];
    const ms = text === undefined ? fallbackMs : parseDuration(text)!;
    if (ms < 10 || ms > 60_000) complain(context, merged.pathOf('bfd', key), 'must be from 10ms to 60s');
    return ms;
  };
  const minTxMs = interval('interval', 300);
  const hops = peer.ttlSecurityHops ?? peer.multihopTtl ?? 1;
  const isNear = peer.where.kind === 'interface' || hops > 1;
  const mayBeFar = !isNear && canBeInternal(peer.remoteAs, context.localAsn);
  return {
    minTxMs,
    minRxMs: config.receive === undefined ? minTxMs : interval('receive', minTxMs),
    multiplier: config.multiplier ?? 3,
    passive: config.passive ?? false,
    minTtl: config.minTtl ?? (mayBeFar ? 254 : 256 - hops),
  };
}

/** Keys that only mean something for one kind of peer. */
function checkKind(merged: Merged, peer: PeerIntent, context: PeerContext): void {
  if (peer.routeReflectorClient && !canBeInternal(peer.remoteAs, context.localAsn))
    complain(
      context,
      merged.pathOf('routeReflectorClient'),
      'only an internal peer can be a client (RFC 4456)',
    );
  if (canBeExternal(peer.remoteAs, context.localAsn)) return;
  const external: readonly (readonly [OptionKey, boolean, string])[] = [
    ['role', peer.role !== undefined, 'only an external peer has a role (RFC 9234)'],
    ['routeServerClient', peer.routeServerClient, 'only an external peer has a route server (RFC 7947)'],
    ['localAs', peer.localAs !== undefined, 'an internal peer knows us by bgp.asn'],
    ['removePrivateAs', peer.removePrivateAs !== undefined, 'is only for external peers'],
    ['asOverride', peer.asOverride, 'is only for external peers'],
    ['nextHopUnchanged', peer.nextHopUnchanged, 'is only for external peers'],
  ];
  for (const [key, isSet, reason] of external) if (isSet) complain(context, merged.pathOf(key), reason);
}

/** Keys that exclude each other, told at the one the peer itself says where the group says the other. */
function checkTogether(merged: Merged, peer: PeerIntent, context: PeerContext): void {
  const selfIsSet = peer.nextHopSelf !== 'never';
  const pairs: readonly (readonly [OptionKey, OptionKey, boolean, string?])[] = [
    ['nextHopSelf', 'nextHopUnchanged', selfIsSet && peer.nextHopUnchanged],
    [
      'nextHopSelf',
      'routeServerClient',
      selfIsSet && peer.routeServerClient,
      'a route server is not in the way of the packets (RFC 7947)',
    ],
    [
      'localAs',
      'routeServerClient',
      peer.localAs !== undefined && peer.routeServerClient,
      'a route server puts no AS into the path (RFC 7947)',
    ],
    ['routeReflectorClient', 'routeServerClient', peer.routeReflectorClient && peer.routeServerClient],
  ];
  for (const [first, second, both, hint] of pairs) {
    if (!both) continue;
    const at = merged.isOwn(second) || !merged.isOwn(first) ? second : first;
    complain(context, merged.pathOf(at), `${first} and ${second} exclude each other`, hint);
  }
  if (peer.roleStrict && peer.role === undefined)
    complain(context, merged.pathOf('roleStrict'), 'has no use without a role');
}
