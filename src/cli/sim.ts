// `leafctl sim FILE`: a lab file's leafd nodes and cables as a simulation, seed after seed, until one breaks an
// invariant. Hosts become static routes of the router they hang on; daemons of others cannot be simulated.

import { localOptions } from '../intent/files.ts';
import { configError, loadConfig } from '../intent/load.ts';
import { readLabFile } from '../lab/read.ts';
import { type LabNode, runsLeafd, speaksBgp, type Topology } from '../lab/topology.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { parseIp } from '../net/ip.ts';
import { type Prefix, parsePrefix } from '../net/prefix.ts';
import { judgeAsPathPattern } from '../policy/as-path-pattern.ts';
import { routerConfigOf } from '../router/from-intent.ts';
import { describeReport, type SimReport, simulate } from '../sim/sim.ts';
import type { SimNodeSpec, SimTopology } from '../sim/topology.ts';
import type { Context } from './context.ts';
import { FAILED, OK, usageError } from './exit.ts';

export interface SimOptions {
  /** The first seed. */
  seed: string;
  seeds: string;
  faults: string;
}

/** Runs the seeds; exit 5 at the first that breaks an invariant, with what was done and what was found. */
export async function sim(context: Context, file: string, options: SimOptions): Promise<number> {
  const topology = simTopologyOf(readLabFile(file));
  const first = numberOf('--seed', options.seed);
  const count = numberOf('--seeds', options.seeds);
  const faults = numberOf('--faults', options.faults);
  const command = (seed: number): string => `leafctl sim ${file} --seed ${seed} --seeds 1 --faults ${faults}`;
  let last: SimReport | undefined;
  for (let seed = first; seed < first + count; seed++) {
    last = simulate(topology, { seed, faults, reachability: 'walk' });
    if (last.violation !== undefined) break;
  }
  const done = last === undefined ? 0 : last.seed - first + 1;
  const view = { file, seeds: done, faults, ok: last?.violation === undefined, ...(last && { last }) };
  const replay = last === undefined ? '' : command(last.seed);
  const summary = `${done} seeds of ${topology.nodes.length} routers, ${faults} faults each: all invariants hold\n`;
  context.show(view, () =>
    view.ok && count > 1 ? summary : last === undefined ? summary : `${describeReport(last, replay)}\n`,
  );
  return view.ok ? OK : FAILED;
}

function numberOf(option: string, text: string): number {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text)) throw usageError(`${option} wants a number, not ${text}`);
  return value;
}

/** The simulated form of a lab. Throws LeafdError where a node is of a kind that cannot be simulated. */
export function simTopologyOf(lab: Topology): SimTopology {
  const routers = lab.nodes.filter(speaksBgp);
  for (const node of routers)
    if (!runsLeafd(node.kind)) {
      const hint = 'raise it for real: leafctl lab up';
      throw new LeafdError(
        'sim-kind',
        `${node.name} is ${node.kind}: only leafd and hosts can be simulated`,
        { hint },
      );
    }
  const isRouter = (name: string): boolean => routers.some((node) => node.name === name);
  return {
    nodes: routers.map((node) => nodeSpecOf(lab, node)),
    links: lab.links.filter(({ a, b }) => isRouter(a.node) && isRouter(b.node)),
  };
}

function nodeSpecOf(lab: Topology, node: LabNode): SimNodeSpec {
  const source = { file: `${lab.file} (${node.name})`, text: node.config };
  const { intent, problems } = loadConfig([source], localOptions({ judgeAsPath: judgeAsPathPattern }));
  if (intent === undefined) throw configError(problems);
  const addresses = Object.entries(node.ports).flatMap(([port, texts]) =>
    texts.map((text) => {
      const [address, length] = text.split('/');
      return { port, address: parseIp(address!)!, length: Number(length) };
    }),
  );
  return { name: node.name, config: routerConfigOf(intent), statics: guestsOf(lab, node.name), addresses };
}

/** Addresses of the hosts that hang on a router. */
function guestsOf(lab: Topology, router: string): Prefix[] {
  const guests: Prefix[] = [];
  for (const { a, b } of lab.links)
    for (const [near, far] of [
      [a, b],
      [b, a],
    ] as const) {
      const host = lab.nodes.find((node) => node.name === far.node && node.kind === 'host');
      if (near.node !== router || host === undefined) continue;
      for (const text of host.addresses) guests.push(parsePrefix(text)!);
    }
  return guests;
}
