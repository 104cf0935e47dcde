// What may differ from one router and one end of a session to another without being wrong, drawn from a seed: how long
// routes outlive their session, how many paths and prefixes are taken, whether BFD watches. Drawn when a network is
// made, and again by faults that change a configuration live.

import type { Rng } from '../lib/rng.ts';
import type { AddPathSettings, InterfacePeer, RouterConfig } from '../router/config.ts';

type Behaviour = Pick<RouterConfig, 'gracefulRestart' | 'multipath' | 'alwaysCompareMed'>;

/** Of a router. Stale times are short against those of a run, so that they end within it. */
export function drawBehaviour(rng: Rng): Behaviour {
  const restart = {
    restartTimeMs: rng.between(2, 15) * 1000,
    stalePathTimeMs: rng.between(10, 30) * 1000,
    notification: rng.chance(0.7),
  };
  const longLivedStaleTimeMs = rng.between(2, 40) * 1000;
  return {
    gracefulRestart: rng.chance(0.65) ? { ...restart, longLivedStaleTimeMs } : restart,
    multipath: rng.pick([1, 4, 16]),
    // Else paths by reflection and MED may turn around for ever (RFC 3345).
    alwaysCompareMed: true,
  };
}

/**
 * Of one end of a session. Several paths not within a confederation: ways there count nothing in length, so of two
 * neighbours that tell each other of more than the best, with themselves as next hop, each may send by the other.
 */
export function drawSession(rng: Rng, inConfederation: boolean): Partial<InterfacePeer> {
  const drawn: Partial<InterfacePeer> = {
    gracefulRestart: rng.chance(0.8) ? 'full' : rng.pick(['helper', 'off']),
    enforceFirstAs: rng.chance(0.8),
    extendedMessages: rng.chance(0.7),
  };
  if (rng.chance(0.55) && !inConfederation) drawn.addPath = drawAddPath(rng);
  if (rng.chance(0.12))
    drawn.maxPrefix = { limit: rng.between(2, 12), action: 'drop', restartAfterMs: 0, warnAtPercent: 80 };
  if (rng.chance(0.35))
    drawn.bfd = { minTxMs: 100, minRxMs: 100, multiplier: 3, passive: false, minTtl: 254 };
  return drawn;
}

function drawAddPath(rng: Rng): AddPathSettings {
  const addPath: AddPathSettings = {
    receive: rng.chance(0.8),
    send: rng.pick(['none', 'all', 'all', 'best', 'best']),
    sendMax: rng.between(1, 4),
  };
  if (addPath.send === 'all') addPath.sendMax = 16;
  if (rng.chance(0.3)) addPath.receiveMax = rng.between(1, 3);
  return addPath;
}
