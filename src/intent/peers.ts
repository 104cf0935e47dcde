// Peers: what a group says and what the peer itself says become one PeerIntent (peer before group before default),
// and whatever depends on more than one key of a peer is judged on the way (peer-options.ts has what concerns
// routes and single families).
// Timer defaults of unnumbered peers are those of FRR's datacenter profile (3 s / 9 s), with a quicker retry.

import { formatIp, isIp4Mapped, isLinkLocal6, isMulticast6, isUnspecified, parseIp } from '../net/ip.ts';
import { parsePrefix, prefixText } from '../net/prefix.ts';
import type { PeerIntent, PeerTimers, PeerWhere, RemoteAs } from './intent.ts';
import { canBeExternal, type Findings, Merged, type PeerContext, unknownName } from './merged.ts';
import { resolveFamilies, resolveOptions, utf8Length } from './peer-options.ts';
import { asnOf, parseAsnRange } from './scalars.ts';
import type { BgpConfig } from './schema-bgp.ts';
import type { PeerConfig } from './schema-peer.ts';
import { Secret } from './secret.ts';
import type { Path } from './tree.ts';

/**
 * The peers of a configuration in the order written. Faulty ones are reported and may be missing: `positions[i]` is
 * where `peers[i]` stands in `bgp.peers`.
 */
export function resolvePeers(
  bgp: BgpConfig,
  context: PeerContext,
): { peers: PeerIntent[]; positions: number[] } {
  const peers: PeerIntent[] = [];
  const positions: number[] = [];
  for (const [index, config] of (bgp.peers ?? []).entries()) {
    const path = ['bgp', 'peers', index];
    const merged = mergedWithGroup(config, path, bgp.groups, context);
    const where = resolveWhere(config, path, context);
    if (where === undefined) continue;
    peers.push(resolvePeer(config, merged, where, context));
    positions.push(index);
  }
  return { peers, positions };
}

/** A peer's keys, written at the path, over those of its group; a group that is not there is reported. */
export function mergedWithGroup(
  config: PeerConfig,
  path: Path,
  groups: BgpConfig['groups'] = {},
  context: Findings,
): Merged {
  const known = config.group !== undefined && Object.hasOwn(groups, config.group);
  if (config.group !== undefined && !known)
    context.problems.push(unknownName([...path, 'group'], 'group', config.group, Object.keys(groups)));
  const group = known ? groups[config.group!] : undefined;
  return new Merged(config, path, group, ['bgp', 'groups', config.group ?? '']);
}

function resolveWhere(config: PeerConfig, path: Path, context: Findings): PeerWhere | undefined {
  const given = (['interface', 'address', 'range'] as const).filter((key) => config[key] !== undefined);
  if (given.length !== 1) {
    const reason =
      given.length === 0 ? 'has no interface, address or range' : `has both ${given.join(' and ')}`;
    const hint = 'a peer is found by exactly one of interface, address and range';
    context.problems.push({ path: given.length === 0 ? path : [...path, given[1]!], reason, hint });
    return undefined;
  }
  if (config.interface !== undefined) {
    const bare = config.interface.replaceAll('*', '');
    if (/^[^\s/]{1,32}$/.test(config.interface) && bare.length <= 15)
      return { kind: 'interface', pattern: config.interface };
    context.problems.push({
      path: [...path, 'interface'],
      reason: 'must be an interface name or a pattern like eth*',
    });
    return undefined;
  }
  if (config.range !== undefined) return { kind: 'range', range: parsePrefix(config.range)! };
  return resolveAddress(config.address!, [...path, 'address'], context);
}

function resolveAddress(text: string, path: Path, context: Findings): PeerWhere | undefined {
  const [addressText, scope, more] = text.split('%');
  const address = parseIp(addressText!);
  const fail = (reason: string, hint?: string) => {
    context.problems.push({ path, reason, ...(hint === undefined ? {} : { hint }) });
    return undefined;
  };
  if (address === undefined || more !== undefined || scope === '')
    return fail(
      'must be an IPv4 or IPv6 address',
      text.includes('/') ? 'a prefix is written as `range:`' : undefined,
    );
  const six = address.length === 16;
  const linkLocal = six && isLinkLocal6(address);
  if (linkLocal && scope === undefined)
    return fail('is link-local and needs its interface', `write ${text}%eth0`);
  if (!linkLocal && scope !== undefined)
    return fail('has an interface, which only link-local addresses have');
  const odd =
    isUnspecified(address) || (six ? isMulticast6(address) || isIp4Mapped(address) : address[0]! >= 224);
  if (odd) return fail('is not an address that a peer can have');
  return scope === undefined ? { kind: 'address', address } : { kind: 'address', address, scope };
}

/** The peer's text for people: pattern, address or range. */
function whereText(where: PeerWhere): string {
  if (where.kind === 'interface') return where.pattern;
  if (where.kind === 'range') return prefixText(where.range);
  return formatIp(where.address) + (where.scope === undefined ? '' : `%${where.scope}`);
}

/** The intent of one peer, found at `where`. */
export function resolvePeer(
  config: PeerConfig,
  merged: Merged,
  where: PeerWhere,
  context: PeerContext,
): PeerIntent {
  checkFit(merged, where, context);
  const remoteAs = resolveRemoteAs(merged, where, context);
  const peer: PeerIntent = {
    name: config.name ?? whereText(where),
    key: `${where.kind} ${whereText(where)}`,
    where,
    shutdown: merged.get('shutdown') ?? false,
    remoteAs,
    port: merged.get('port') ?? 179,
    families: [],
    passive: where.kind === 'range' || (merged.get('passive') ?? false),
    timers: resolveTimers(merged, where, context),
    maxPeers: merged.get('maxPeers') ?? 100,
    allowAsIn: merged.get('allowAsIn') ?? 0,
    asOverride: merged.get('asOverride') ?? false,
    nextHopSelf: 'never',
    nextHopUnchanged: merged.get('nextHopUnchanged') ?? false,
    routeReflectorClient: merged.get('routeReflectorClient') ?? false,
    routeServerClient: merged.get('routeServerClient') ?? false,
    enforceFirstAs: merged.get('enforceFirstAs') ?? true,
    roleStrict: merged.get('roleStrict') ?? false,
    gracefulRestart: merged.get('gracefulRestart') ?? 'full',
    extendedMessages: merged.get('extendedMessages') ?? true,
    asSet: merged.get('asSet') ?? context.asSet,
    gracefulShutdown: merged.get('gracefulShutdown') ?? false,
    blackhole: merged.get('blackhole') ?? false,
    weight: merged.get('weight') ?? 0,
  };
  if (config.group !== undefined) peer.group = config.group;
  const flowspecValidation = merged.get('flowspecValidation');
  if (flowspecValidation !== undefined) peer.flowspecValidation = flowspecValidation;
  const moves = merged.get('moves');
  if (moves !== undefined) peer.moves = moves;
  const description = merged.get('description');
  if (description !== undefined) peer.description = description;
  resolveHops(merged, peer, context);
  const password = resolvePassword(merged, context);
  if (password !== undefined) peer.password = password;
  const localAddress = merged.get('localAddress');
  if (localAddress !== undefined) peer.localAddress = parseIp(localAddress)!;
  resolveFamilies(merged, peer, context);
  resolveOptions(merged, peer, context);
  warnWithoutPolicy(peer, merged, context);
  return peer;
}

/** Keys that do not fit the way the peer is found. */
function checkFit(merged: Merged, where: PeerWhere, context: Findings): void {
  if (where.kind !== 'range' && merged.isOwn('maxPeers'))
    context.problems.push({
      path: merged.pathOf('maxPeers'),
      at: 'key',
      reason: 'is only for a peer with a range',
    });
  const localAddress = merged.get('localAddress');
  if (localAddress === undefined) return;
  const path = merged.pathOf('localAddress');
  const local = parseIp(localAddress)!;
  if (where.kind === 'interface')
    context.problems.push({ path, reason: 'unnumbered peers use the link-local address of their interface' });
  else if ((where.kind === 'address' ? where.address : where.range.bytes).length !== local.length)
    context.problems.push({ path, reason: 'is of another family than the peer' });
}

function resolveRemoteAs(merged: Merged, where: PeerWhere, context: PeerContext): RemoteAs {
  const value = merged.get('remoteAs');
  if (value === undefined) {
    if (where.kind !== 'interface')
      context.problems.push({
        path: [...merged.path, 'remoteAs'],
        reason: 'is required',
        hint: 'external, internal, any, an AS number or a list; here or in the group',
      });
    return { kind: 'external' };
  }
  const remoteAs = remoteAsOf(value);
  if (remoteAs.kind !== 'list') return remoteAs;
  const items = Array.isArray(value) ? value : [value];
  const { ranges } = remoteAs;
  for (const [index, range] of ranges.entries()) {
    const other = ranges.findIndex((one, at) => at < index && one[0] <= range[1] && range[0] <= one[1]);
    if (other >= 0)
      context.problems.push({
        path: merged.pathOf('remoteAs', index),
        reason: `overlaps ${items[other]}, which is in the list already`,
      });
  }
  return remoteAs;
}

/** Whom a `remoteAs` that the schema has taken allows. */
export function remoteAsOf(value: NonNullable<PeerConfig['remoteAs']>): RemoteAs {
  if (value === 'external' || value === 'internal' || value === 'any') return { kind: value };
  const items = Array.isArray(value) ? value : [value];
  const ranges = items.map((item): [number, number] => {
    const range = typeof item === 'string' ? parseAsnRange(item) : undefined;
    return range ?? [asnOf(item), asnOf(item)];
  });
  return { kind: 'list', ranges };
}

function resolveTimers(merged: Merged, where: PeerWhere, context: Findings): PeerTimers {
  const unnumbered = where.kind === 'interface';
  const hold = merged.timer('hold');
  const keepalive = merged.timer('keepalive');
  const connectRetry = merged.timer('connectRetry');
  const bad = (path: Path, reason: string, hint?: string) =>
    context.problems.push({ path, reason, ...(hint === undefined ? {} : { hint }) });
  const holdMs = hold?.ms ?? (unnumbered ? 9000 : 90_000);
  if (hold !== undefined) {
    if (holdMs % 1000 !== 0)
      bad(hold.path, 'must be whole seconds', 'BGP tells it in seconds; use BFD to be faster');
    else if (holdMs !== 0 && holdMs < 3000) bad(hold.path, 'must be 0s or at least 3s (RFC 4271)');
    else if (holdMs > 65_535_000) bad(hold.path, 'must be at most 65535s');
  }
  const keepaliveMs = holdMs === 0 ? 0 : (keepalive?.ms ?? Math.floor(holdMs / 3));
  if (keepalive !== undefined) {
    if (keepalive.ms < 1000) bad(keepalive.path, 'must be at least 1s');
    else if (holdMs === 0) bad(keepalive.path, 'has no use with a hold time of 0s');
    else if (keepalive.ms >= holdMs)
      bad(keepalive.path, `must be less than the hold time, ${holdMs / 1000}s`, 'a third of it is usual');
  }
  const connectRetryMs = connectRetry?.ms ?? (unnumbered ? 1000 : 5000);
  if (connectRetryMs < 100 || connectRetryMs > 3_600_000) bad(connectRetry!.path, 'must be from 100ms to 1h');
  return { holdMs, keepaliveMs, connectRetryMs };
}

function resolveHops(merged: Merged, peer: PeerIntent, context: PeerContext): void {
  const security = merged.get('ttlSecurity');
  const multihop = merged.get('multihop');
  if (security !== undefined && security !== false) peer.ttlSecurityHops = security === true ? 1 : security;
  if (multihop !== undefined && multihop !== false) peer.multihopTtl = multihop === true ? 64 : multihop;
  const later = merged.isOwn('multihop') || !merged.isOwn('ttlSecurity') ? 'multihop' : 'ttlSecurity';
  if (peer.ttlSecurityHops !== undefined && peer.multihopTtl !== undefined)
    context.problems.push({
      path: merged.pathOf(later),
      reason: 'ttlSecurity and multihop exclude each other',
      hint: 'ttlSecurity: N allows N hops and checks them',
    });
  if (peer.where.kind === 'interface' && peer.multihopTtl !== undefined)
    context.problems.push({ path: merged.pathOf('multihop'), reason: 'an unnumbered peer is on the link' });
}

function resolvePassword(merged: Merged, context: PeerContext): Secret | undefined {
  const file = merged.get('passwordFile');
  const inline = merged.get('password');
  if (
    inline !== undefined &&
    file !== undefined &&
    merged.isOwn('password') === merged.isOwn('passwordFile')
  ) {
    context.problems.push({
      path: merged.pathOf('passwordFile'),
      at: 'key',
      reason: 'password is given as well',
    });
    return undefined;
  }
  if (file === undefined || merged.isOwn('password')) {
    if (inline !== undefined) checkPassword(inline, merged.pathOf('password'), context);
    return inline === undefined ? undefined : new Secret(inline);
  }
  const path = merged.pathOf('passwordFile');
  const read = context.readSecret(file, path);
  if (read.kind === 'failed') {
    context.problems.push({ path, reason: `cannot be read: ${read.reason}` });
    return undefined;
  }
  if (read.exposed)
    context.warnings.push({ path, reason: 'can be read by others', hint: `chmod 0600 ${file}` });
  const secret = read.text.split(/\r?\n/, 1)[0]!;
  checkPassword(secret, path, context);
  return new Secret(secret);
}

/** The kernel takes keys of 1 to 80 bytes (TCP_MD5SIG_MAXKEYLEN). */
function checkPassword(secret: string, path: Path, context: Findings): void {
  const bytes = utf8Length(secret);
  if (bytes === 0) context.problems.push({ path, reason: 'holds an empty password' });
  if (bytes > 80) context.problems.push({ path, reason: 'must be at most 80 bytes long' });
}

function warnWithoutPolicy(peer: PeerIntent, merged: Merged, context: PeerContext): void {
  if (context.hasProfile || !canBeExternal(peer.remoteAs, context.localAsn)) return;
  const missing = (['import', 'export'] as const).filter(
    (key) =>
      peer[key] === undefined && peer.families.some((family) => peer.byFamily?.[family]?.[key] === undefined),
  );
  if (missing.length === 0) return;
  const what = missing
    .map((key) => (key === 'import' ? 'takes no route from' : 'sends no route to'))
    .join(' and ');
  context.warnings.push({
    path: merged.path,
    reason: `without ${missing.join(' and ')} policy leafd ${what} an external peer (RFC 8212)`,
    hint: 'set bgp.profile, or name a policy such as accept-all',
  });
}
