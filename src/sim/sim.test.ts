import { expect, test } from 'vitest';
import { Rng } from '../lib/rng.ts';
import { closTopology } from './clos.ts';
import { drawnTopology } from './drawn.ts';
import { faultNames } from './faults.ts';
import type { ReachabilityCheck } from './invariants.ts';
import { Schedule } from './schedule.ts';
import { describeReport, simulate } from './sim.ts';
import type { SimTopology } from './topology.ts';

test('plans are carried out by time, and in the order of planning at one time', () => {
  const schedule = new Schedule();
  const rng = new Rng(1);
  const seen: { atMs: number; order: number }[] = [];
  for (let order = 0; order < 500; order++)
    schedule.at(rng.below(40), () => {
      seen.push({ atMs: schedule.nowMs(), order });
      // A plan for the past means now, behind what is planned for now already.
      if (order === 250) schedule.at(0, () => seen.push({ atMs: schedule.nowMs(), order: 1000 }));
    });
  schedule.runUntil(100);
  expect(seen).toHaveLength(501);
  for (let i = 1; i < seen.length; i++) {
    const [a, b] = [seen[i - 1]!, seen[i]!];
    expect(a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)).toBe(true);
  }
  expect(schedule.nowMs()).toBe(100);
  expect(schedule.eventCount).toBe(501);
});

test('each kind of fault alone leaves a network that heals', () => {
  // A plain fabric has no BFD, no routes of other families, and nothing to be drawn again.
  const others = ['deafen', 'retune', 'changeOpaque'];
  const alone = (name: string, topology: SimTopology, reachability: ReachabilityCheck): void => {
    const report = simulate(topology, { seed: 9, faults: 6, only: [name], reachability });
    expect(report.violation, describeReport(report, name)).toBeUndefined();
    expect(report.faults.length, name).toBeGreaterThan(0);
  };
  for (const name of others) alone(name, drawnTopology('reflection', 8), 'steps');
  for (const scheme of ['ebgp', 'mesh'] as const)
    for (const name of faultNames.filter((one) => !others.includes(one)))
      alone(name, closTopology({ spines: 2, leaves: 2, guestsPerLeaf: 1, scheme }), 'oracle');
}, 120_000);

test('a session that cannot come up is found, and the report says what was done and how to see it again', () => {
  const topology = closTopology({ spines: 1, leaves: 2, guestsPerLeaf: 1, scheme: 'ebgp' });
  const { peers } = topology.nodes[1]!.config;
  // A hold time that no speaker accepts (RFC 4271, 6.2).
  topology.nodes[1]!.config.peers = peers.map((peer) => ({ ...peer, holdTimeMs: 1000 }));
  const report = simulate(topology, { seed: 1, faults: 1, reachability: 'walk' });
  expect(report.violation).toMatchObject({ invariant: 'quiet' });
  expect(report.violation!.text).toContain('notification');
  const text = describeReport(report, 'leafctl sim lab.yaml --seed 1');
  expect(text).toMatch(
    /^seed 1\n {4}8\.000 s {2}\S.*\n(.*\n)*.*quiet: after 240 s: .*eth1.*\nreplay: leafctl sim/,
  );
});

test('a node without BGP on a port, and a port without a cable, are no mistake', () => {
  const topology = closTopology({ spines: 1, leaves: 2, guestsPerLeaf: 1, scheme: 'ebgp' });
  topology.links.push({ a: { node: 'leaf1', port: 'vm1' }, b: { node: 'leaf2', port: 'vm1' } });
  const report = simulate(topology, { seed: 2, faults: 20, reachability: 'walk' });
  expect(report.violation, describeReport(report, '')).toBeUndefined();
});
