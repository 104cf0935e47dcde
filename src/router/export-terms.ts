// On which terms a peer is told of routes: the options of its update groups, from what was negotiated and
// configured, and our own next hop towards it.
//
// Routes of VPNs and EVPN keep their next hop also towards external peers unless the operator says otherwise: it
// is the one that decapsulates, and this router swaps no labels and ends no tunnels (docs/decisions/0014).

import type { ExportOptions } from '../rib/export-options.ts';
import type { Negotiated } from '../session/negotiate.ts';
import { EVPN, families, IPV4, IPV6, RTC, VPNV4, VPNV6 } from '../wire/bgp/family.ts';
import { EXTENDED_MESSAGE_LENGTH_MAX, MESSAGE_LENGTH_MAX } from '../wire/bgp/header.ts';
import { familySettings, type RouterConfig } from './config.ts';
import { isOnLink } from './offer.ts';
import type { OwnAddresses } from './own-addresses.ts';
import type { Peer } from './peer.ts';

/** Without a next hop: flow specifications (RFC 8955 section 4). */
const noNextHop = new Uint8Array(0);

/** What the groups of a family that a peer may be in have in common; `nextHopLength` as of `nextHopTowards`. */
export function exportOptionsOf(
  config: RouterConfig,
  peer: Peer,
  negotiated: Negotiated,
  family: number,
  nextHopLength: number,
): ExportOptions {
  const settings = peer.config;
  const { internal, confederation, remoteAsn } = negotiated;
  const kind = internal ? 'internal' : confederation ? 'confederation' : 'external';
  const isOutside = kind === 'external';
  const options: ExportOptions = {
    kind,
    localAsn: config.asn,
    rrClients: internal && settings.routeReflectorClient,
    clusterId: config.clusterId ?? config.bgpId,
    nextHopSelf: settings.nextHopSelf,
    nextHopLength,
    asn4: negotiated.asn4,
    maxMessage: negotiated.extendedMessage ? EXTENDED_MESSAGE_LENGTH_MAX : MESSAGE_LENGTH_MAX,
  };
  if (config.confederation !== undefined) options.confederationId = config.confederation.id;
  if (internal && config.bestExternal) options.bestExternal = true;
  if (settings.gracefulShutdown || config.gracefulShutdown) options.gracefulShutdown = true;
  // Having the capability is enough, whichever families it names (RFC 9494 4.3): a helper names none.
  if (negotiated.longLived !== undefined) options.longLived = true;
  addPaths(options, peer, negotiated, family);
  if (isOutside) addOutside(options, peer, remoteAsn, family);
  return options;
}

/** RFC 7911: as many as we want to send, and no more than the peer wants to have. */
function addPaths(options: ExportOptions, peer: Peer, negotiated: Negotiated, family: number): void {
  if ((negotiated.addPathSend & (1 << family)) === 0) return;
  const { addPath } = familySettings(peer.config, family);
  if (addPath === undefined || addPath.send === 'none') return;
  const theirs = negotiated.pathsLimit[family] ?? 0;
  const ours = addPath.sendMax;
  const max = ours === 0 || theirs === 0 ? Math.max(ours, theirs) : Math.min(ours, theirs);
  options.addPath = { max };
}

function addOutside(options: ExportOptions, peer: Peer, peerAsn: number, family: number): void {
  const { config } = peer;
  if (config.localAs !== undefined) {
    options.localAs = config.localAs.asn;
    options.replaceAs = config.localAs.replaceAs;
  }
  if (config.removePrivateAs !== undefined) options.removePrivateAs = { ...config.removePrivateAs, peerAsn };
  if (config.asOverride) options.asOverrideAsn = peerAsn;
  if (config.routeServerClient) options.routeServerClient = true;
  if (config.role !== undefined) options.role = config.role;
  const ends = family === VPNV4 || family === VPNV6 || family === EVPN;
  if (config.nextHopUnchanged || (ends && config.nextHopSelf === 'never')) options.nextHopUnchanged = true;
}

/**
 * Our own address towards the peer: the near end of the session. Where that is of the other family, IPv4 goes over
 * IPv6 if RFC 8950 was negotiated; else the address of the route's family on the same link is told, and where there is
 * none the router id, or the mapped address (for VPNs always: RFC 4659, 3.2.1.2). EVPN and RTC take either.
 *
 * A link-local address alone, in 16 bytes, is for peers that say they can read it
 * (draft-ietf-idr-linklocal-capability). Others get the 32 bytes of RFC 2545 with the address in both places, as FRR
 * does: on an unnumbered link there is no global one, and one from elsewhere would lead nowhere.
 */
export function nextHopTowards(
  config: RouterConfig,
  ownAddresses: OwnAddresses,
  peer: Peer,
  negotiated: Negotiated,
  family: number,
): Uint8Array {
  const local = peer.established!.local!;
  if (family === EVPN || family === RTC) return local;
  if (family > RTC) return noNextHop;
  const four = families[family]!.addressLength === 4;
  const isUnicast = family === IPV4 || family === IPV6;
  const isNear =
    four === (local.length === 4) || (four && (negotiated.extendedNextHop & (1 << family)) !== 0);
  if (isNear) return isUnicast && !negotiated.linkLocalNextHop && isOnLink(local) ? twice(local) : local;
  const beside = four || isUnicast ? ownAddresses.beside(local, peer.ifindex, four ? 4 : 16) : undefined;
  if (beside !== undefined) return beside;
  if (four) {
    const { bgpId } = config;
    return new Uint8Array([bgpId >>> 24, bgpId >>> 16, bgpId >>> 8, bgpId]);
  }
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff, ...local], 10);
  return mapped;
}

function twice(address: Uint8Array): Uint8Array {
  const both = new Uint8Array(32);
  both.set(address);
  both.set(address, 16);
  return both;
}
