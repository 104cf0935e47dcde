// What two OPENs amount to: whether ours accepts the peer's (RFC 4271 6.2, RFC 6286, RFC 7607, RFC 5492), and
// what holds on the session if so. A capability counts when both sides offered it; one we do not know is
// ignored and is never a fault. Families are masks by family id (wire/bgp/family.ts).
//
//   hold time  the smaller of both; 0 turns both timers off (RFC 4271 4.2)
//   families   those both sides name; no multiprotocol capability at all means IPv4 unicast (RFC 4760 8)
//   ADD-PATH   sending needs our "send" and the peer's "receive", and the other way round (RFC 7911 4)
//   restart    the peer's families and flags, limited to those negotiated (RFC 4724); the N bit if both set
//              it (RFC 8538)

import { AS_TRANS } from '../net/asn.ts';
import type { Capability, GracefulRestartCapability } from '../wire/bgp/capability.ts';
import { familyOf, IPV4 } from '../wire/bgp/family.ts';
import { type Fault, OPEN_MESSAGE_ERROR, resetFault } from '../wire/bgp/fault.ts';
import type { Open } from '../wire/bgp/open.ts';
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

export interface Negotiated {
  /** 0: no hold timer. */
  readonly holdTimeMs: number;
  /** 0: no keepalives. Never above a third of the hold time. */
  readonly keepaliveMs: number;
  /** Both have the same ASN. */
  readonly internal: boolean;
  readonly remoteAsn: number;
  readonly remoteBgpId: number;
  readonly asn4: boolean;
  readonly families: number;
  readonly addPathSend: number;
  readonly addPathReceive: number;
  /** Families that may use an IPv6 next hop beside their own (RFC 8950): IPv4. */
  readonly extendedNextHop: number;
  readonly routeRefresh: boolean;
  readonly enhancedRouteRefresh: boolean;
  readonly extendedMessage: boolean;
  readonly linkLocalNextHop: boolean;
  readonly gracefulRestart: NegotiatedRestart | undefined;
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

/** Why the peer's OPEN cannot be accepted: 2/2, 2/3, 2/6 or 2/7; undefined when it can. */
export function checkOpen(open: Open, config: SessionConfig): Fault | undefined {
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
  if ((offeredFamilies(config.capabilities) & offeredFamilies(open.capabilities)) === 0) {
    const reason = 'no address family in common';
    return resetFault(OPEN_MESSAGE_ERROR, UNSUPPORTED_CAPABILITY, reason, ourFamilies(config.capabilities));
  }
  return undefined;
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
  options: { keepaliveMs?: number | undefined } = {},
): Negotiated {
  const ours = sent.capabilities;
  const theirs = received.capabilities;
  const families = offeredFamilies(ours) & offeredFamilies(theirs);
  const holdTimeMs = 1000 * Math.min(sent.holdTimeS, received.holdTimeS);
  const third = Math.floor(holdTimeMs / 3);
  const both = (kind: Capability['kind']): boolean => has(ours, kind) && has(theirs, kind);
  return {
    holdTimeMs,
    keepaliveMs: Math.min(options.keepaliveMs ?? third, third),
    internal: sent.asn === received.asn,
    remoteAsn: received.asn,
    remoteBgpId: received.bgpId,
    asn4: both('asn4'),
    families,
    addPathSend: families & addPathMask(ours, 2) & addPathMask(theirs, 1),
    addPathReceive: families & addPathMask(ours, 1) & addPathMask(theirs, 2),
    extendedNextHop: families & extendedNextHopMask(ours) & extendedNextHopMask(theirs),
    routeRefresh: both('routeRefresh'),
    enhancedRouteRefresh: both('enhancedRouteRefresh'),
    extendedMessage: both('extendedMessage'),
    linkLocalNextHop: both('linkLocalNextHop'),
    gracefulRestart: negotiateRestart(ours, theirs, families),
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
  families: number,
): NegotiatedRestart | undefined {
  const mine = restartOf(ours);
  const peer = restartOf(theirs);
  if (mine === undefined || peer === undefined) return undefined;
  let kept = 0;
  let forwarding = 0;
  for (const family of peer.families) {
    const bit = maskOf(family.afi, family.safi) & families;
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

function fqdnOf(capabilities: readonly Capability[]): { host: string; domain: string } | undefined {
  for (const capability of capabilities) {
    if (capability.kind === 'fqdn') return { host: capability.host, domain: capability.domain };
  }
  return undefined;
}
