// What a peer is offered and how it is reached: the session's configuration with the capabilities of our OPEN, the
// target of a connection, and TTLs. Derived from the configuration, so that nothing has to be kept in step.

import { isLinkLocal6 } from '../net/ip.ts';
import { roleValue } from '../session/role.ts';
import type { SessionConfig } from '../session/state.ts';
import type { AddPathEntry, Capability, PathsLimitEntry } from '../wire/bgp/capability.ts';
import { AFI_IPV6, type Family, families, familiesIn, IPV4, IPV6, VPNV4 } from '../wire/bgp/family.ts';
import { familySettings, type PeerConfig, type PeerSettings, type RouterConfig } from './config.ts';
import type { Peer } from './peer.ts';
import type { ConnectTarget } from './ports.ts';

const IDLE_HOLD_MS = 1000;
/** A speaker of our own host is back as soon as it can be, and nobody else sees its session come and go. */
const AWAITED_IDLE_HOLD_MS = 100;
/** By so much shorter an awaited speaker is asked to keep our routes than we wait for it. */
const AWAITED_MARGIN_MS = 5000;
/**
 * How long to wait for the peer's OPEN: the RFC's 4 minutes would keep a connection whose other end died without a
 * word from being replaced by its next one.
 */
const OPEN_HOLD_MS = 30_000;
/** TTL of sessions that may cross routers. */
const FAR_TTL = 255;
/** FQDN capability: the host name has a one-byte length; longer ones help nobody. */
const HOSTNAME_MAX = 64;

/** RFC 9494 section 4.1: the stale time has 24 bits. */
const STALE_TIME_MAX_S = 0xffffff;

/** What OPEN says besides the capabilities of the families. */
export interface OfferState {
  /** The R bit of graceful restart. */
  restarting: boolean;
  /** Forwarding goes on while we restart (the F bits). */
  forwards: boolean;
  /** Whether the session may come back by itself. */
  mayRestart: boolean;
}

/** A session's configuration as it was made last, and what it was made of. */
export interface Offered extends OfferState {
  config: RouterConfig;
  settings: PeerConfig;
  remote: Uint8Array | undefined;
  session: SessionConfig;
}

/** The session's configuration; made anew only when something it depends on has changed, for it is asked for often. */
export function sessionConfigOf(config: RouterConfig, peer: Peer, state: OfferState): SessionConfig {
  const { restarting, forwards, mayRestart } = state;
  const { offered, remote, config: settings } = peer;
  if (
    offered !== undefined &&
    offered.config === config &&
    offered.settings === settings &&
    offered.remote === remote &&
    offered.restarting === restarting &&
    offered.forwards === forwards &&
    offered.mayRestart === mayRestart
  )
    return offered.session;
  const session = sessionConfigFor(config, settings, remote, state);
  peer.offered = { config, settings, remote, restarting, forwards, mayRestart, session };
  return session;
}

/** As `sessionConfigOf`, for settings that a peer does not have yet. */
function sessionConfigFor(
  config: RouterConfig,
  settings: PeerConfig,
  remote: Uint8Array | undefined,
  state: OfferState,
): SessionConfig {
  const { confederation } = config;
  const localAsn = localAsnTowards(config, settings);
  const within = confederation !== undefined && localAsn === config.asn;
  return {
    localAsn,
    bgpId: config.bgpId,
    remoteAs: settings.remoteAs,
    holdTimeMs: settings.holdTimeMs,
    keepaliveMs: settings.keepaliveMs,
    connectRetryMs: settings.connectRetryMs,
    openHoldMs: Math.max(OPEN_HOLD_MS, settings.holdTimeMs),
    idleHoldMs: idleHoldOf(settings),
    passive: settings.passive || settings.kind === 'range',
    automaticRestart: state.mayRestart && settings.kind !== 'range',
    capabilities: capabilitiesOf(config, settings, remote, state),
    role: settings.role,
    roleStrict: settings.roleStrict,
    confederationMembers: within ? confederation.members : undefined,
  };
}

function idleHoldOf({ idleHoldMs, awaitMs, connectRetryMs }: PeerSettings): number {
  return idleHoldMs ?? Math.min(awaitMs === undefined ? IDLE_HOLD_MS : AWAITED_IDLE_HOLD_MS, connectRetryMs);
}

/**
 * The AS that our OPEN says: the one of `localAs` (RFC 7705); towards everybody outside a confederation its
 * identifier, towards its members our own. Who is a member has to be known before OPEN, so `remoteAs` must name it:
 * `external` and `any` are outside.
 */
export function localAsnTowards(config: RouterConfig, settings: PeerSettings): number {
  if (settings.localAs !== undefined) return settings.localAs.asn;
  const { confederation } = config;
  if (confederation === undefined) return config.asn;
  const { remoteAs } = settings;
  const isMember = (asn: number): boolean =>
    asn === config.asn || confederation.members.some(([low, high]) => asn >= low && asn <= high);
  const inside =
    remoteAs.kind === 'internal' ||
    (remoteAs.kind === 'list' && remoteAs.ranges.every(([low, high]) => isMember(low) && isMember(high)));
  return inside ? config.asn : confederation.id;
}

function capabilitiesOf(
  config: RouterConfig,
  settings: PeerConfig,
  remote: Uint8Array | undefined,
  state: OfferState,
): Capability[] {
  const offered = familiesIn(settings.families).map((id) => families[id]!);
  const capabilities: Capability[] = offered.map(({ afi, safi }) => ({ kind: 'multiprotocol', afi, safi }));
  capabilities.push({ kind: 'routeRefresh' }, { kind: 'enhancedRouteRefresh' });
  if (settings.extendedMessages) capabilities.push({ kind: 'extendedMessage' });
  capabilities.push({ kind: 'asn4', asn: localAsnTowards(config, settings) });
  // RFC 8950 section 4: the families whose next hop is an IPv4 address otherwise.
  const four = offered.filter(({ id }) => id === IPV4 || id === VPNV4);
  if (four.length > 0) {
    const entries = four.map(({ afi, safi }) => ({ afi, safi, nextHopAfi: AFI_IPV6 }));
    capabilities.push({ kind: 'extendedNextHop', entries });
  }
  if (settings.role !== undefined && settings.remoteAs.kind !== 'internal')
    capabilities.push({ kind: 'role', role: roleValue(settings.role) });
  capabilities.push(...restartCapabilities(config, settings, offered, state));
  capabilities.push(...addPathCapabilities(settings, offered));
  const hasIpv6 = (settings.families & (1 << IPV6)) !== 0;
  if (hasIpv6 && remote !== undefined && isOnLink(remote)) capabilities.push({ kind: 'linkLocalNextHop' });
  capabilities.push({ kind: 'fqdn', host: config.nodeName.slice(0, HOSTNAME_MAX), domain: '' });
  return capabilities;
}

/** RFC 4724 and RFC 9494. A helper names no families: it asks nobody to keep its routes, but keeps those of others. */
function restartCapabilities(
  config: RouterConfig,
  settings: PeerSettings,
  offered: readonly Family[],
  state: OfferState,
): Capability[] {
  const restart = config.gracefulRestart;
  if (restart === undefined || settings.gracefulRestart === 'off') return [];
  const kept = settings.gracefulRestart === 'full' ? offered : [];
  const forwarding = state.forwards;
  const capabilities: Capability[] = [
    {
      kind: 'gracefulRestart',
      restartState: state.restarting,
      notification: restart.notification,
      timeS: Math.min(4095, Math.ceil(restartTimeOf(restart.restartTimeMs, settings) / 1000)),
      families: kept.map(({ afi, safi }) => ({ afi, safi, forwarding })),
    },
  ];
  if (restart.longLivedStaleTimeMs !== undefined) {
    const staleTimeS = Math.min(STALE_TIME_MAX_S, Math.ceil(restart.longLivedStaleTimeMs / 1000));
    const entries = kept.map(({ afi, safi }) => ({ afi, safi, forwarding, staleTimeS }));
    capabilities.push({ kind: 'longLivedGracefulRestart', families: entries });
  }
  return capabilities;
}

/**
 * How long the peer is asked to keep our routes. A helping FRR whose first attempt to connect has failed does not try
 * again in that time, and one that does not listen (as MetalLB's) cannot be called. Where a restart waits for a
 * speaker, it has to be back before the wait is over: else the fabric is told that its routes are gone.
 */
function restartTimeOf(restartTimeMs: number, { awaitMs }: PeerSettings): number {
  if (awaitMs === undefined || awaitMs <= AWAITED_MARGIN_MS) return restartTimeMs;
  return Math.min(restartTimeMs, awaitMs - AWAITED_MARGIN_MS);
}

/** RFC 7911 and draft-ietf-idr-add-paths-limit. */
function addPathCapabilities(settings: PeerSettings, offered: readonly Family[]): Capability[] {
  const entries: AddPathEntry[] = [];
  const limits: PathsLimitEntry[] = [];
  for (const { id, afi, safi } of offered) {
    const { addPath } = familySettings(settings, id);
    if (addPath === undefined) continue;
    const sendReceive = (addPath.receive ? 1 : 0) | (addPath.send === 'none' ? 0 : 2);
    if (sendReceive !== 0) entries.push({ afi, safi, sendReceive });
    const { receive, receiveMax } = addPath;
    if (receive && receiveMax !== undefined) limits.push({ afi, safi, limit: Math.min(receiveMax, 0xffff) });
  }
  if (entries.length === 0) return [];
  const capabilities: Capability[] = [{ kind: 'addPath', entries }];
  if (limits.length > 0) capabilities.push({ kind: 'pathsLimit', entries: limits });
  return capabilities;
}

/** Where to connect; undefined while an unnumbered neighbour has not been heard. */
export function connectTargetOf(config: RouterConfig, peer: Peer): ConnectTarget | undefined {
  if (peer.remote === undefined) return undefined;
  const { port, localAddress, password } = peer.config;
  const target: ConnectTarget = {
    peer: peer.index,
    remote: peer.remote,
    port,
    ifindex: peer.ifindex,
    ...hopsOf(config, peer),
  };
  if (localAddress !== undefined) target.localAddress = localAddress;
  if (password !== undefined) target.password = password;
  return target;
}

/** TTL to send with and the lowest to accept (RFC 5082; RFC 4271 wants external peers on the link). */
export function hopsOf(config: RouterConfig, peer: Peer): { ttl: number; minTtl: number } {
  return hopsFor(config, peer.config, peer.ifindex);
}

/** As `hopsOf`, for a caller that is no peer yet. */
export function hopsFor(
  config: RouterConfig,
  settings: PeerSettings,
  ifindex: number,
): { ttl: number; minTtl: number } {
  if (settings.ttlSecurity) return { ttl: 255, minTtl: 256 - settings.multihop };
  if (ifindex !== 0) return { ttl: FAR_TTL, minTtl: 0 };
  const { remoteAs } = settings;
  const localAsn = localAsnTowards(config, settings);
  const mayBeInternal =
    remoteAs.kind === 'internal' ||
    remoteAs.kind === 'any' ||
    (remoteAs.kind === 'list' && remoteAs.ranges.some(([low, high]) => low <= localAsn && high >= localAsn));
  return { ttl: mayBeInternal ? FAR_TTL : settings.multihop, minTtl: 0 };
}

/** Whether an address means something only on its own link. */
export function isOnLink(address: Uint8Array): boolean {
  return address.length === 16 && isLinkLocal6(address);
}
