// Puts a configuration in force, the first one and every one after it, with as little disturbance as can be: what is
// the same stays as it is, policies run again over stored paths, and only what was said in OPEN resets a session
// (config.ts, `sameSession`).

import { type Prefix, prefixText } from '../net/prefix.ts';
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
    if (before !== undefined) this.#applyDecision(config, before);
    filters.configure(config);
    this.#applyNetworks(config.networks, before?.networks ?? []);
    this.#router.statics.configure(config.statics);
    this.#router.aggregates.configure(config.aggregates);
    if (before !== undefined) machineRoutes.redistributeAll();
    peers.reconfigure((peer) => sessionRoutes.applyLive(peer));
  }

  #applyDecision(config: RouterConfig, before: RouterConfig): void {
    const { multipath, multipathRelax } = config;
    if (before.multipath === multipath && before.multipathRelax === multipathRelax) return;
    for (const rib of this.#router.ribs) rib.setOptions({ multipath, multipathRelax });
  }

  #applyNetworks(wanted: readonly Prefix[], present: readonly Prefix[]): void {
    const { origination } = this.#router;
    const keys = new Set(wanted.map(prefixText));
    for (const prefix of present) if (!keys.has(prefixText(prefix))) origination.remove(prefix, 'network');
    const offer = { attributes: plainAttributes('igp') };
    for (const prefix of wanted) origination.add(prefix, 'network', offer);
  }
}
