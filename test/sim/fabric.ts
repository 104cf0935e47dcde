// The network that a seed stands for. Even seeds: two spines and four leaves, in one of four ways of wiring BGP through
// them, held against the oracle. Odd seeds: a network drawn in one of four schemes (src/sim/drawn.ts).

import { closTopology, type Scheme } from '../../src/sim/clos.ts';
import { drawnSchemes, drawnTopology } from '../../src/sim/drawn.ts';
import { type SimReport, simulate } from '../../src/sim/sim.ts';

const schemes: readonly Scheme[] = ['ebgp', 'ibgp', 'mesh', 'numbered'];

export const FAULTS = 22;

/** Whether the network of a seed is drawn. */
export function isDrawn(seed: number): boolean {
  return seed % 2 === 1;
}

export function schemeOf(seed: number): string {
  return (isDrawn(seed) ? drawnSchemes : schemes)[(seed >> 1) % 4]!;
}

export function runSeed(seed: number): SimReport {
  const scheme = (seed >> 1) % 4;
  if (isDrawn(seed)) {
    const topology = drawnTopology(drawnSchemes[scheme]!, seed);
    return simulate(topology, { seed, faults: FAULTS, reachability: 'steps' });
  }
  const topology = closTopology({ spines: 2, leaves: 4, guestsPerLeaf: 2, scheme: schemes[scheme]! });
  return simulate(topology, { seed, faults: FAULTS });
}
