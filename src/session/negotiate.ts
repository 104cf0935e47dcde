// What two OPENs amount to: whether ours accepts the peer's (RFC 4271 6.2, RFC 6286, RFC 7607, RFC 5492), and
// what holds on the session if so. A capability counts when both sides offered it; one we do not know is
// ignored and is never a fault. Families are masks by family id (wire/bgp/family.ts).
//
//   hold time  the smaller of both; 0 turns both timers off (RFC 4271 4.2)
//   families   those both sides name; no multiprotocol capability at all means IPv4 unicast (RFC 4760 8)
//   ADD-PATH   sending needs our "send" and the peer's "receive", and the other way round (RFC 7911 4)
//   restart    the peer's families and flags, limited to those negotiated (RFC 4724); the N bit if both set
//              it (RFC 8538)
//   long-lived the peer's families and stale times (RFC 9494), void without the restart capability
//   role       the peer's, on external sessions (RFC 9234; role.ts says whether it fits)
//
// A family that only one side knows is passed over; only where none is left the OPEN is refused (2/7).

import { AS_TRANS } from '../net/asn.ts';
import type { Capability, GracefulRestartCapability, LongLivedCapability } from '../wire/bgp/capability.ts';
import { families, familyOf, IPV4 } from '../wire/bgp/family.ts';
import { type Fault, OPEN_MESSAGE_ERROR, resetFault } from '../wire/bgp/fault.ts';
import type { Open } from '../wire/bgp/open.ts';
import { checkRole, type Role, roleOf } from './role.ts';
import type { RemoteAs, SessionConfig } from './state.ts';

/** RFC 4724 as the peer offered it. */
export interface NegotiatedRestart {
  /** The peer says that it has just restarted. */
  readonly restartState: boolean;
  /** NOTIFICATIONs and the hold timer keep routes too (RFC 8538). */
  readonly notification: boolean;
  /** How long after a loss the peer's routes may wait for it. */
  readonly timeMs: number;
  /** Families whose routes are kept when the peer goes. */
  readonly families: number;
  /** Families whose forwarding state the peer kept over its restart. */
  readonly forwarding: number;
}

/** RFC 9494 as the peer offered it. */
export interface NegotiatedLongLived {
  /** Families whose routes may stay long-lived stale when the peer goes. */
  readonly families: number;
  /** How long, by family id. */
  readonly staleTimeMs: readonly number[];
  /** Families whose forwarding state the peer kept over its absence. */
  readonly forwarding: number;
}

export interface Negotiated {
  /** 0: no hold timer. */
  readonly holdTimeMs: number;
  /** 0: no keepalives. Never above a third of the hold time. */
  readonly keepaliveMs: number;
  /** Both have the same ASN. */
  readonly internal: boolean;
  /** The peer is in another member AS of our confederation (RFC 5065); `internal` is false then. */
  readonly confederation: boolean;
  /** What our OPEN said. */
  readonly localAsn: number;
  readonly remoteAsn: number;
  readonly remoteBgpId: number;
  readonly asn4: boolean;
  readonly families: number;
  readonly addPathSend: number;
  readonly addPathReceive: number;
  /** By family id: paths of a prefix the peer wants at most, 0 for any number (draft-ietf-idr-add-paths-limit). */
  readonly pathsLimit: readonly number[];
  /** Families that may use an IPv6 next hop beside their own (RFC 8950): IPv4 and VPN-IPv4. */
  readonly extendedNextHop: number;
  readonly routeRefresh: boolean;
  readonly enhancedRouteRefresh: boolean;
  readonly extendedMessage: boolean;
  readonly linkLocalNextHop: boolean;
  readonly gracefulRestart: NegotiatedRestart | undefined;
  readonly longLived: NegotiatedLongLived | undefined;
  /** The peer's (RFC 9234). */
  readonly role: Role | undefined;
  readonly fqdn: { readonly host: string; readonly domain: string } | undefined;
}

const AFI_IPV6 = 2;
const BAD_PEER_AS = 2;
const BAD_BGP_IDENTIFIER = 3;
const UNACCEPTABLE_HOLD_TIME = 6;
const UNSUPPORTED_CAPABILITY = 7;

/** Whether the configuration lets a peer have this ASN. */
export function acceptsAsn(remoteAs: RemoteAs, asn: number, localAsn: number): boolean {
  switch (remoteAs.kind) {
    case 'any':
      return true;
    case 'internal':
      return asn === localAsn;
    case 'external':
      return asn !== localAsn;
    case 'list':
      return remoteAs.ranges.some(([low, high]) => asn >= low && asn <= high);
  }
}

/**
 * Why the peer's OPEN cannot be accepted: 2/2, 2/3, 2/6, 2/7 or 2/11; undefined when it can. `offered` is what our
 * OPEN on this connection said.
 */
export function checkOpen(
  open: Open,
  config: SessionConfig,
  offered: readonly Capability[] = config.capabilities,
): Fault | undefined {
  const { asn, bgpId, holdTimeS } = open;
  // AS 0 and AS_TRANS are nobody's (RFC 7607 2, RFC 6793 9).
  if (asn === 0 || asn === AS_TRANS) {
    return resetFault(OPEN_MESSAGE_ERROR, BAD_PEER_AS, `AS ${asn} is reserved`);
  }
  if (!acceptsAsn(config.remoteAs, asn, config.localAsn)) {
    return resetFault(OPEN_MESSAGE_ERROR, BAD_PEER_AS, `AS ${asn} is not what remoteAs allows`);
  }
  if (bgpId === 0) return resetFault(OPEN_MESSAGE_ERROR, BAD_BGP_IDENTIFIER, 'BGP identifier 0.0.0.0');
  if (bgpId === config.bgpId && asn === config.localAsn) {
    return resetFault(OPEN_MESSAGE_ERROR, BAD_BGP_IDENTIFIER, 'the peer has our BGP identifier');
  }
  if (holdTimeS === 1 || holdTimeS === 2) {
    return resetFault(OPEN_MESSAGE_ERROR, UNACCEPTABLE_HOLD_TIME, `hold time ${holdTimeS} s`);
  }
  if ((offeredFamilies(offered) & offeredFamilies(open.capabilities)) === 0) {
    const reason = 'no address family in common';
    return resetFault(OPEN_MESSAGE_ERROR, UNSUPPORTED_CAPABILITY, reason, ourFamilies(offered));
  }
  // RFC 9234 is about external sessions, and not about those within a confederation.
  if (asn === config.localAsn || isWithin(config.confederationMembers, asn)) return undefined;
  return checkRole(config.role, config.roleStrict === true, open.capabilities);
}

function isWithin(ranges: readonly (readonly [number, number])[] | undefined, asn: number): boolean {
  return ranges?.some(([low, high]) => asn >= low && asn <= high) === true;
}

/** The capabilities that the peer lacks, as 2/7 lists them (RFC 5492 5): code, length, AFI, 0, SAFI. */
function ourFamilies(capabilities: readonly Capability[]): Uint8Array {
  const bytes: number[] = [];
  for (const capability of capabilities) {
    if (capability.kind !== 'multiprotocol') continue;
    bytes.push(1, 4, capability.afi >> 8, capability.afi & 0xff, 0, capability.safi);
  }
  return Uint8Array.from(bytes);
}

/**
 * The session that both OPENs allow. Both have been checked. `keepaliveMs` is the operator's wish, cut to a
 * third of the hold time (RFC 4271 4.4).
 */
export function negotiate(
  sent: Open,
  received: Open,
  options: Partial<Pick<SessionConfig, 'keepaliveMs' | 'confederationMembers'>> = {},
): Negotiated {
  const ours = sent.capabilities;
  const theirs = received.capabilities;
  const shared = offeredFamilies(ours) & offeredFamilies(theirs);
  const holdTimeMs = 1000 * Math.min(sent.holdTimeS, received.holdTimeS);
  const third = Math.floor(holdTimeMs / 3);
  const both = (kind: Capability['kind']): boolean => has(ours, kind) && has(theirs, kind);
  const internal = sent.asn === received.asn;
  const confederation = !internal && isWithin(options.confederationMembers, received.asn);
  const addPathSend = shared & addPathMask(ours, 2) & addPathMask(theirs, 1);
  const gracefulRestart = negotiateRestart(ours, theirs, shared);
  return {
    holdTimeMs,
    keepaliveMs: Math.min(options.keepaliveMs ?? third, third),
    internal,
    confederation,
    localAsn: sent.asn,
    remoteAsn: received.asn,
    remoteBgpId: received.bgpId,
    asn4: both('asn4'),
    families: shared,
    addPathSend,
    addPathReceive: shared & addPathMask(ours, 1) & addPathMask(theirs, 2),
    pathsLimit: pathsLimits(theirs, addPathSend),
    extendedNextHop: shared & extendedNextHopMask(ours) & extendedNextHopMask(theirs),
    routeRefresh: both('routeRefresh'),
    enhancedRouteRefresh: both('enhancedRouteRefresh'),
    extendedMessage: both('extendedMessage'),
    linkLocalNextHop: both('linkLocalNextHop'),
    gracefulRestart,
    longLived: gracefulRestart && negotiateLongLived(ours, theirs, shared),
    role: internal || confederation ? undefined : roleOf(theirs),
    fqdn: fqdnOf(theirs),
  };
}

function has(capabilities: readonly Capability[], kind: Capability['kind']): boolean {
  return capabilities.some((capability) => capability.kind === kind);
}

function offeredFamilies(capabilities: readonly Capability[]): number {
  let mask = 0;
  let named = false;
  for (const capability of capabilities) {
    if (capability.kind !== 'multiprotocol') continue;
    named = true;
    mask |= maskOf(capability.afi, capability.safi);
  }
  return named ? mask : 1 << IPV4;
}

function maskOf(afi: number, safi: number): number {
  const family = familyOf(afi, safi);
  return family < 0 ? 0 : 1 << family;
}

/** Families whose direction bit (1 receive, 2 send) is set. Of two entries for a family the last counts. */
function addPathMask(capabilities: readonly Capability[], direction: 1 | 2): number {
  let mask = 0;
  for (const capability of capabilities) {
    if (capability.kind !== 'addPath') continue;
    for (const { afi, safi, sendReceive } of capability.entries) {
      const bit = maskOf(afi, safi);
      // RFC 7911 4: any other value makes the entry void.
      if (sendReceive >= 1 && sendReceive <= 3) mask = sendReceive & direction ? mask | bit : mask & ~bit;
    }
  }
  return mask;
}

function extendedNextHopMask(capabilities: readonly Capability[]): number {
  let mask = 0;
  for (const capability of capabilities) {
    if (capability.kind !== 'extendedNextHop') continue;
    for (const { afi, safi, nextHopAfi } of capability.entries) {
      if (nextHopAfi === AFI_IPV6 && afi !== AFI_IPV6) mask |= maskOf(afi, safi);
    }
  }
  return mask;
}

/** RFC 4724 3: "only one instance"; of several the last is used. */
function restartOf(capabilities: readonly Capability[]): GracefulRestartCapability | undefined {
  let found: GracefulRestartCapability | undefined;
  for (const capability of capabilities) if (capability.kind === 'gracefulRestart') found = capability;
  return found;
}

function negotiateRestart(
  ours: readonly Capability[],
  theirs: readonly Capability[],
  shared: number,
): NegotiatedRestart | undefined {
  const mine = restartOf(ours);
  const peer = restartOf(theirs);
  if (mine === undefined || peer === undefined) return undefined;
  let kept = 0;
  let forwarding = 0;
  for (const family of peer.families) {
    const bit = maskOf(family.afi, family.safi) & shared;
    kept |= bit;
    if (family.forwarding) forwarding |= bit;
  }
  return {
    restartState: peer.restartState,
    notification: mine.notification && peer.notification,
    timeMs: peer.timeS * 1000,
    families: kept,
    forwarding,
  };
}

/** RFC 9494 4.1: of several capabilities, and of several entries for a family, the last counts. */
function negotiateLongLived(
  ours: readonly Capability[],
  theirs: readonly Capability[],
  shared: number,
): NegotiatedLongLived | undefined {
  let peer: LongLivedCapability | undefined;
  for (const capability of theirs) if (capability.kind === 'longLivedGracefulRestart') peer = capability;
  if (peer === undefined || !has(ours, 'longLivedGracefulRestart')) return undefined;
  const staleTimeMs: number[] = [];
  let kept = 0;
  let forwarding = 0;
  for (const entry of peer.families) {
    const family = familyOf(entry.afi, entry.safi);
    const bit = maskOf(entry.afi, entry.safi) & shared;
    if (bit === 0) continue;
    staleTimeMs[family] = entry.staleTimeS * 1000;
    kept |= bit;
    forwarding = entry.forwarding ? forwarding | bit : forwarding & ~bit;
  }
  return { families: kept, staleTimeMs: filled(staleTimeMs), forwarding };
}

/** A limit counts for the families in which paths are sent to the peer; 0 is void. */
function pathsLimits(theirs: readonly Capability[], addPathSend: number): readonly number[] {
  const limits: number[] = [];
  for (const capability of theirs) {
    if (capability.kind !== 'pathsLimit') continue;
    for (const { afi, safi, limit } of capability.entries)
      if ((maskOf(afi, safi) & addPathSend) !== 0) limits[familyOf(afi, safi)] = limit;
  }
  return filled(limits);
}

function filled(byFamily: readonly number[]): number[] {
  return families.map(({ id }) => byFamily[id] ?? 0);
}

function fqdnOf(capabilities: readonly Capability[]): { host: string; domain: string } | undefined {
  for (const capability of capabilities) {
    if (capability.kind === 'fqdn') return { host: capability.host, domain: capability.domain };
  }
  return undefined;
}
