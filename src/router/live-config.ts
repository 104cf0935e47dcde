// Puts a configuration in force, the first one and every one after it, with as little disturbance as can be: what is
// the same stays as it is, policies run again over stored paths, and only what was said in OPEN resets a session
// (`reset-reasons.ts`).

import { type Prefix, prefixText } from '../net/prefix.ts';
import type { LocalIdentity } from '../rib/attribute-pool.ts';
import type { DecisionOptions } from '../rib/decision.ts';
import { families, IPV4 } from '../wire/bgp/family.ts';
import type { RouterConfig } from './config.ts';
import { plainAttributes } from './origination.ts';
import type { Router } from './router.ts';

export class LiveConfig {
  readonly #router: Router;

  constructor(router: Router) {
    this.#router = router;
  }

  /** `before` is absent at the start. */
  apply(config: RouterConfig, before: RouterConfig | undefined): void {
    const { directory, restart, filters, machineRoutes, peers, sessionRoutes } = this.#router;
    directory.setConfigs(config.peers);
    restart.configure(config.gracefulRestart);
    if (before !== undefined) {
      this.#applyIdentity(config, before);
      this.#applyDecision(config, before);
    }
    this.#applyDistances(config);
    filters.configure(config);
    this.#applyNetworks(config.networks, before?.networks ?? []);
    this.#router.guests.configure(config.guests);
    this.#router.statics.configure(config.statics);
    this.#router.aggregates.configure(config.aggregates);
    this.#router.routeTargets.configure(config.rtcDefault);
    if (before !== undefined) machineRoutes.redistributeAll();
    machineRoutes.reconsiderNear();
    peers.reconfigure((peer) => sessionRoutes.applyLive(peer));
  }

  /** Who we are has changed: every path is judged anew. Sessions that said so in OPEN are reset with the peers. */
  #applyIdentity(config: RouterConfig, before: RouterConfig): void {
    const identity = identityOf(config);
    if (JSON.stringify(identity) === JSON.stringify(identityOf(before))) return;
    const { pool, ribs, peerTable, advertiser } = this.#router;
    pool.setIdentity(identity);
    for (let peer = 1; peer < peerTable.end; peer++)
      if (peerTable.has(peer)) for (const rib of ribs) rib.peerChanged(peer);
    advertiser.reconsider();
  }

  #applyDecision(config: RouterConfig, before: RouterConfig): void {
    const [wanted, present] = [optionsFor(IPV4, config), optionsFor(IPV4, before)];
    if (JSON.stringify(wanted) === JSON.stringify(present)) return;
    for (const rib of this.#router.ribs) rib.setOptions(optionsFor(rib.family, config));
  }

  #applyDistances({ distance }: RouterConfig): void {
    const { fibSets, gates } = this.#router;
    if (fibSets === undefined || JSON.stringify(distance) === JSON.stringify(fibSets.distances)) return;
    fibSets.distances = distance;
    for (const gate of gates) gate.distancesChanged();
  }

  #applyNetworks(wanted: readonly Prefix[], present: readonly Prefix[]): void {
    const { origination } = this.#router;
    const keys = new Set(wanted.map(prefixText));
    for (const prefix of present) if (!keys.has(prefixText(prefix))) origination.remove(prefix, 'network');
    const offer = { attributes: plainAttributes('igp') };
    for (const prefix of wanted) origination.add(prefix, 'network', offer);
  }
}

/** Who we are, as loop checks see it. */
export function identityOf(config: RouterConfig): LocalIdentity {
  const { asn, bgpId, clusterId, confederation } = config;
  const identity: LocalIdentity = { asn, routerId: bgpId, clusterId: clusterId ?? bgpId };
  if (confederation !== undefined) identity.confederationId = confederation.id;
  return identity;
}

/** How the paths of a family are decided. Of families that nothing is forwarded by, there is one best path. */
export function optionsFor(family: number, config: RouterConfig): DecisionOptions {
  const { multipath, multipathRelax, alwaysCompareMed, missingMedWorst, linkBandwidth } = config;
  const options = { multipath, multipathRelax, alwaysCompareMed, missingMedWorst, linkBandwidth };
  return families[family]!.form === 'opaque' ? { ...options, multipath: 1 } : options;
}
