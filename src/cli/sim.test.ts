import { expect, test } from 'vitest';
import { readLabFile } from '../lab/read.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { prefixText } from '../net/prefix.ts';
import { simulate } from '../sim/sim.ts';
import { simTopologyOf } from './sim.ts';

test('a lab file becomes routers with their guests, and runs', () => {
  const topology = simTopologyOf(readLabFile('examples/clos.lab.yaml'));
  expect(topology.nodes.map((node) => node.name)).toEqual(['spine1', 'spine2', 'leaf1', 'leaf2', 'leaf3']);
  expect(topology.links).toHaveLength(6);
  const leaf1 = topology.nodes.find((node) => node.name === 'leaf1')!;
  expect(leaf1.statics.map(prefixText).sort()).toEqual([
    '198.18.1.1/32',
    '198.18.1.2/32',
    '2001:db8:100:1::1/128',
    '2001:db8:100:1::2/128',
  ]);
  const report = simulate(topology, { seed: 1, faults: 5, reachability: 'walk' });
  expect(report.violation).toBeUndefined();
  expect(report.routes).toBeGreaterThan(0);
});

test('daemons of others are refused by name', () => {
  const lab = readLabFile('examples/mixed.lab.yaml');
  expect(() => simTopologyOf(lab)).toThrow(LeafdError);
  expect(() => simTopologyOf(lab)).toThrow(/spine2 is frr/);
});
