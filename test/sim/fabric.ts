// The fabric that a seed stands for: two spines and four leaves, in one of four ways of wiring BGP through it.

import { closTopology, type Scheme } from '../../src/sim/clos.ts';
import { type SimReport, simulate } from '../../src/sim/sim.ts';

const schemes: readonly Scheme[] = ['ebgp', 'ibgp', 'mesh', 'numbered'];

export const FAULTS = 22;

export function schemeOf(seed: number): Scheme {
  return schemes[seed % schemes.length]!;
}

export function runSeed(seed: number): SimReport {
  const topology = closTopology({ spines: 2, leaves: 4, guestsPerLeaf: 2, scheme: schemeOf(seed) });
  return simulate(topology, { seed, faults: FAULTS });
}
