// What a session means for the routes: an Established peer is identified in the ribs, gets its import filters and its
// places in the update groups; one that went leaves them, and graceful restart says what stays. The operator's
// refresh and limits on prefixes are here as well. The session itself is sessions.ts, UPDATEs are intake.ts.

import type { PeerColumns } from '../rib/peer-table.ts';
import type { Negotiated } from '../session/negotiate.ts';
import type { DownReason } from '../session/reason.ts';
import { families, familiesIn } from '../wire/bgp/family.ts';
import { encodeRouteRefresh, REFRESH_REQUEST } from '../wire/bgp/refresh.ts';
import type { UpdateContext } from '../wire/bgp/update-context.ts';
import { believesMoves, familySettings } from './config.ts';
import { heaviestPeer } from './memory-limit.ts';
import type { Peer } from './peer.ts';
import type { RouterPorts } from './ports.ts';
import type { Router } from './router.ts';

export class SessionRoutes {
  readonly #router: Router;
  readonly #ports: RouterPorts;
  /** What the peer table was told of a peer. */
  readonly #identified = new WeakMap<Peer, string>();

  constructor(router: Router, ports: RouterPorts) {
    this.#router = router;
    this.#ports = ports;
  }

  established(peer: Peer, negotiated: Negotiated): void {
    const { nowMs, restart } = this.#router;
    peer.families = negotiated.families;
    peer.disabledFamilies = 0;
    peer.establishedAtMs = nowMs;
    peer.counters.establishedCount++;
    this.#identify(peer, negotiated);
    this.#router.intake.open(
      peer,
      contextOf(peer, negotiated, this.#router.config.confederation !== undefined),
    );
    restart.peerEstablished(peer, negotiated);
    this.applyPolicies(peer, negotiated);
    const name = negotiated.fqdn?.host;
    const event = { kind: 'peerUp', peer: peer.name, remoteAsn: negotiated.remoteAsn } as const;
    this.#ports.event(name === undefined ? event : { ...event, name });
  }

  down(peer: Peer, reason: DownReason, staleFamilies: number): void {
    const { nowMs, intake, advertiser, restart } = this.#router;
    intake.close(peer);
    advertiser.leave(peer);
    restart.peerDown(peer, reason, peer.negotiated!, staleFamilies);
    peer.families = 0;
    peer.downAtMs = nowMs;
    peer.lastDown = reason;
    this.#ports.event({ kind: 'peerDown', peer: peer.name, reason });
  }

  /**
   * What the decision and the export rules have to know of the peer; kept stale paths are judged by it anew. One that
   * is back as it was concerns nobody.
   */
  #identify(peer: Peer, negotiated: Negotiated): void {
    const { peerTable, ribs, advertiser } = this.#router;
    const columns = columnsOf(peer, negotiated);
    const text = JSON.stringify(columns);
    if (this.#identified.get(peer) === text) return;
    this.#identified.set(peer, text);
    peerTable.update(peer.index, columns);
    for (const rib of ribs) {
      rib.peerChanged(peer.index);
      if (rib.perPeer.hasAny(peer.index)) advertiser.reconsider(rib.family);
    }
  }

  /** Another configuration of an Established peer whose session stays. */
  applyLive(peer: Peer): void {
    const negotiated = peer.negotiated!;
    this.#identify(peer, negotiated);
    this.applyPolicies(peer, negotiated);
    this.#router.intake.reconfigure(
      peer,
      contextOf(peer, negotiated, this.#router.config.confederation !== undefined),
    );
  }

  /** Import filters and update groups of an Established peer, from what the configuration says now. */
  applyPolicies(peer: Peer, negotiated: Negotiated): void {
    const { ribs, filters, advertiser } = this.#router;
    for (const family of familiesIn(negotiated.families)) {
      const rib = ribs[family]!;
      const filter = filters.importFor(peer, negotiated, family);
      if (rib.importFilterOf(peer.index) !== filter) rib.setImport(peer.index, filter);
      const { maxPrefix } = familySettings(peer.config, family);
      rib.setLimit(peer.index, maxPrefix?.action === 'drop' ? maxPrefix.limit : 0);
    }
    advertiser.join(peer, negotiated);
  }

  /** Peers whose policies read the state of origin validation have their routes run through them again. */
  originsJudgedAnew(): void {
    const { directory, filters, ribs, advertiser } = this.#router;
    for (const peer of directory.byName.values()) {
      const { negotiated } = peer;
      if (negotiated === undefined) continue;
      const inside = negotiated.internal || negotiated.confederation;
      for (const family of familiesIn(negotiated.families)) {
        if (filters.importChoice(peer, inside, family).policy?.readsRpki === true)
          ribs[family]!.setImport(peer.index, ribs[family]!.importFilterOf(peer.index));
      }
    }
    advertiser.originsJudgedAnew();
    this.#router.machineRoutes.redistributeAll();
  }

  /** Asks the peer for its routes and tells it ours again (`refresh` of the operator). */
  refresh(peer: Peer): void {
    const { sessions, advertiser } = this.#router;
    if (peer.negotiated === undefined) return;
    for (const family of familiesIn(peer.families)) {
      const message = encodeRouteRefresh(family, REFRESH_REQUEST);
      if (peer.negotiated.routeRefresh) sessions.send(peer, message, message.length);
      advertiser.resend(peer, family);
    }
  }

  /** Ends the session of the peer that holds the most attributes, until the operator enables it again. */
  tooManyAttributes(): void {
    const { ribs, pool, directory, sessions, restart } = this.#router;
    const heaviest = heaviestPeer(ribs, pool);
    if (heaviest === undefined) return;
    const peer = directory.byIndex[heaviest.peer]!;
    peer.heldUntilMs = Number.POSITIVE_INFINITY;
    const text = `${Math.round(heaviest.bytes / 1e6)} MB of path attributes, more than this process can hold`;
    this.#ports.event({ kind: 'maxPrefix', peer: peer.name, text });
    sessions.stop(peer, 'outOfResources');
    // What it has left behind over a restart goes as well.
    restart.forget(peer);
  }

  /** The peer has announced more than it may, and the operator wants the session ended for that. */
  tooManyPrefixes(peer: Peer, family: number, limit: number): void {
    const { nowMs, sessions } = this.#router;
    const { action, restartAfterMs } = familySettings(peer.config, family).maxPrefix!;
    peer.heldUntilMs = action === 'restart' ? nowMs + restartAfterMs : Number.POSITIVE_INFINITY;
    const { afi, safi } = families[family]!;
    const data = new Uint8Array([afi >> 8, afi, safi, limit >>> 24, limit >>> 16, limit >>> 8, limit]);
    sessions.stop(peer, 'maxPrefixes', undefined, data);
  }
}

/** Paths from within a confederation have its segments, from our own member AS too (RFC 5065, section 4.1). */
function contextOf(peer: Peer, negotiated: Negotiated, isMember: boolean): UpdateContext {
  const { asn4, internal, confederation, families, addPathReceive } = negotiated;
  const isOutside = !internal && !confederation;
  return {
    asn4,
    internal,
    confederation: confederation || (isMember && internal),
    families,
    addPath: addPathReceive,
    firstAsn: isOutside && peer.config.enforceFirstAs ? negotiated.remoteAsn : 0,
  };
}

function columnsOf(peer: Peer, negotiated: Negotiated): PeerColumns {
  const { config } = peer;
  const { internal, confederation } = negotiated;
  const kind = internal ? 'internal' : confederation ? 'confederation' : 'external';
  const isOutside = kind === 'external';
  const columns: PeerColumns = {
    kind,
    asn: negotiated.remoteAsn,
    bgpId: negotiated.remoteBgpId,
    address: peer.remote ?? new Uint8Array(16),
    scope: peer.ifindex,
    weight: config.weight,
    rrClient: internal && config.routeReflectorClient,
    allowAsIn: config.allowAsIn,
    acceptAsSet: config.asSet === 'accept',
    honoursGracefulShutdown: isOutside,
    blackhole: config.blackhole,
    moves: believesMoves(config, kind === 'internal'),
    localAs: isOutside ? (config.localAs?.asn ?? 0) : 0,
    localAsPrepends: config.localAs?.noPrepend === false,
  };
  if (isOutside && config.role !== undefined) columns.role = config.role;
  return columns;
}
