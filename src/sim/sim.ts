// A simulation: a topology, a seed, faults, and the verdict. The same seed gives the same run to the byte, on every
// machine, so that whatever a run finds can be looked at again. `leafctl sim` and the tests both come in here.

import { AssertionError } from '../lib/assert.ts';
import { Rng } from '../lib/rng.ts';
import { FAULT_MS, type FaultRecord, Faults, faultNames } from './faults.ts';
import {
  findEarlyWord,
  findRibViolation,
  findViolation,
  type ReachabilityCheck,
  unrest,
  type Violation,
} from './invariants.ts';
import { Staleness } from './staleness.ts';
import type { SimTopology } from './topology.ts';
import { World } from './world.ts';

export interface SimOptions {
  seed: number;
  /** Faults to strike; at least 20 in the tests. */
  faults: number;
  /** Names of faults to choose from; all when absent. */
  only?: readonly string[];
  /** `walk` for a topology with policies of its own, `steps` for one of drawn.ts; `oracle` when absent. */
  reachability?: ReachabilityCheck;
}

export interface SimReport {
  seed: number;
  /** What went wrong first, or undefined. */
  violation: Violation | undefined;
  faults: FaultRecord[];
  /** Virtual time and number of events of the run: a measure, and a fingerprint. */
  virtualMs: number;
  eventCount: number;
  /** Sessions that came up, over the whole run. */
  sessionsUp: number;
  routes: number;
}

/** The time the fabric is given to come up before the first fault. */
const BOOT_MS = 8000;
/** Between two faults, from and to. */
const PAUSE_MS: [number, number] = [20, 2500];
/** After the last fault: all that end by themselves have ended, and a session that one of them killed has noticed. */
const AFTERMATH_MS = FAULT_MS + 2000;
const REST_STEP_MS = 500;
/** A world that has not come to rest after this long never will. */
const REST_MAX_MS = 240_000;
/** How long rest has to last: longer than a hold time. */
const QUIET_MS = 12_000;
const EVENTS_MAX = 200_000;

/** Runs one seed to its verdict. Never throws over what it finds. */
export function simulate(topology: SimTopology, options: SimOptions): SimReport {
  const world = new World(topology, options.seed);
  // A reload of the simulator's would put its own policies and settings in the place of the topology's.
  const isForeign = options.reachability === 'walk';
  const all = isForeign ? faultNames.filter((name) => name !== 'reload' && name !== 'retune') : faultNames;
  const faults = new Faults(world, new Rng(options.seed ^ 0x5eed), options.only ?? all);
  let violation: Violation | undefined;
  try {
    violation = live(world, faults, options);
  } catch (error) {
    if (!(error instanceof AssertionError || error instanceof TypeError || error instanceof RangeError))
      throw error;
    violation = { invariant: 'assertion', text: `${error.message}\n${error.stack}` };
  }
  return {
    seed: options.seed,
    violation,
    faults: faults.records,
    virtualMs: world.nowMs,
    eventCount: world.schedule.eventCount,
    sessionsUp: world.events.filter(({ event }) => event.kind === 'peerUp').length,
    routes: world.nodes.reduce((sum, { kernel }) => sum + kernel.routes.size, 0),
  };
}

function live(world: World, faults: Faults, options: SimOptions): Violation | undefined {
  let early: Violation | undefined;
  const staleness = new Staleness();
  world.watch = (node) => {
    if (node.kernel.pending > 0) early ??= findEarlyWord(node);
    if (early !== undefined) return;
    const stale = staleness.turned(node, world.nowMs);
    if (stale !== undefined) early = { invariant: 'stale', text: stale };
    if (node.bfd.ignored !== undefined) early = { invariant: 'bfd', text: node.bfd.ignored };
  };
  world.listen = (node, event) => {
    const stale = staleness.told(node, event, world.nowMs);
    if (stale !== undefined) early ??= { invariant: 'stale', text: stale };
  };
  world.boot();
  world.run(BOOT_MS);
  for (let i = 0; i < options.faults; i++) {
    faults.strike();
    world.run(faults.rng.between(...PAUSE_MS));
    const violation = early ?? findRibViolation(faults.rng.pick(world.nodes));
    if (violation !== undefined) return violation;
    if (world.schedule.eventCount > EVENTS_MAX)
      return { invariant: 'quiet', text: 'the network never rests' };
  }
  world.run(AFTERMATH_MS);
  faults.mend();
  const restless = comeToRest(world);
  if (restless !== undefined)
    return { invariant: 'quiet', text: `after ${REST_MAX_MS / 1000} s: ${restless}` };
  const before = world.events.length;
  world.run(QUIET_MS);
  for (const { node, event } of world.events.slice(before))
    if (event.kind === 'peerDown')
      return {
        invariant: 'quiet',
        text: `${node} loses ${event.peer} without a cause: ${event.reason.kind}`,
      };
  const { bothGivenUp } = world.network;
  if (bothGivenUp !== undefined) return { invariant: 'collision', text: bothGivenUp };
  return early ?? findViolation(world, options.reachability ?? 'oracle');
}

/** Runs until nothing is under way; what was, if that takes too long. */
function comeToRest(world: World): string | undefined {
  const endMs = world.nowMs + REST_MAX_MS;
  for (;;) {
    world.run(REST_STEP_MS);
    const reason = unrest(world);
    if (reason === undefined) return undefined;
    if (world.nowMs >= endMs || world.schedule.eventCount > EVENTS_MAX) return reason;
  }
}

/** A report for people: the seed, what was done, what was found. */
export function describeReport(report: SimReport, command: string): string {
  const lines = report.faults.map(({ atMs, text }) => `${(atMs / 1000).toFixed(3).padStart(9)} s  ${text}`);
  const { violation } = report;
  const verdict =
    violation === undefined ? 'all invariants hold' : `${violation.invariant}: ${violation.text}`;
  return [
    `seed ${report.seed}`,
    ...lines,
    `${(report.virtualMs / 1000).toFixed(3).padStart(9)} s  ${verdict}`,
    `replay: ${command}`,
  ].join('\n');
}
