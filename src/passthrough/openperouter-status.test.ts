// Conditions of the status: all good, one failed, the Underlay failed, something not supported, trouble around.

import { describe, expect, test } from 'vitest';
import type { ResourceReport } from '../intent/openperouter-model.ts';
import { kernelFaults, nodeStatus } from './openperouter-status.ts';

const where = { file: 'f.yaml', line: 3, column: 1 };
const report = (
  kind: ResourceReport['kind'],
  state: ResourceReport['state'],
  more: Partial<ResourceReport> = {},
): ResourceReport => ({ kind, name: 'one', where, state, ...more });
const conditionsOf = (resources: ResourceReport[], failures: string[] = []) =>
  Object.fromEntries(
    nodeStatus({ resources, problems: [] }, { failures }).conditions.map((one) => [one.type, one]),
  );

describe('conditions', () => {
  test('all applied, others not for this node', () => {
    const { Ready, Degraded } = conditionsOf([report('Underlay', 'applied'), report('L3VNI', 'notSelected')]);
    expect(Ready).toMatchObject({ status: 'True', reason: 'ConfigurationSuccessful' });
    expect(Degraded).toMatchObject({ status: 'False', reason: 'ConfigurationSuccessful' });
  });

  test('a resource failed', () => {
    const failed = report('L3Passthrough', 'failed', { reason: 'DependencyFailed', message: 'no Underlay' });
    const { Ready, Degraded } = conditionsOf([failed]);
    expect(Ready).toMatchObject({ status: 'False', reason: 'ConfigurationFailed' });
    expect(Ready?.message).toBe('1 failed: L3Passthrough/one');
    expect(Degraded).toMatchObject({ status: 'True', reason: 'ConfigurationFailed' });
    expect(nodeStatus({ resources: [failed], problems: [] }).failedResources).toEqual([
      { kind: 'L3Passthrough', name: 'one', reason: 'DependencyFailed', message: 'no Underlay' },
    ]);
  });

  test('the Underlay failed', () => {
    const { Ready } = conditionsOf([report('Underlay', 'failed'), report('L3VNI', 'failed')]);
    expect(Ready).toMatchObject({ status: 'False', reason: 'UnderlayFailed' });
  });

  test('a NIC that is absent or was taken back: nothing is ready; one on its way is no fault', () => {
    const faults = kernelFaults([
      { key: 'nic eth1', kind: 'nic', state: 'pending', text: 'rolled back to the host: no session' },
      { key: 'nic eth2', kind: 'nic', state: 'pending' },
      { key: 'veth pt-host', kind: 'veth', state: 'error', errno: 'EEXIST' },
      { key: 'sysctl', kind: 'sysctl', state: 'done' },
    ]);
    expect(faults).toEqual({
      underlay: ['nic eth1: rolled back to the host: no session'],
      failures: ['veth pt-host: EEXIST'],
    });
    const { conditions } = nodeStatus({ resources: [report('Underlay', 'applied')], problems: [] }, faults);
    expect(conditions[0]).toMatchObject({ type: 'Ready', status: 'False', reason: 'UnderlayFailed' });
    expect(conditions[0]?.message).toContain('rolled back to the host');
    expect(conditions[1]).toMatchObject({ type: 'Degraded', status: 'True' });
  });

  test('what is not supported degrades, and is named with a reason that the kind knows', () => {
    const resources = [
      report('Underlay', 'applied'),
      report('RawFRRConfig', 'unsupported', { message: 'no FRR' }),
    ];
    const { Ready, Degraded } = conditionsOf(resources);
    expect(Ready).toMatchObject({ status: 'True' });
    expect(Degraded).toMatchObject({ status: 'True', message: 'not supported: RawFRRConfig/one' });
    expect(nodeStatus({ resources, problems: [] }).failedResources).toEqual([
      { kind: 'RawFRRConfig', name: 'one', reason: 'FrrConfigurationFailed', message: 'no FRR' },
    ]);
  });

  test('trouble around, and files that are no YAML', () => {
    expect(conditionsOf([], ['pt-host cannot be made']).Ready).toMatchObject({
      status: 'False',
      message: 'pt-host cannot be made',
    });
    const { conditions } = nodeStatus({
      resources: [],
      problems: [{ where, path: '', reason: 'is not valid YAML' }],
    });
    expect(conditions[0]).toMatchObject({ status: 'False', message: 'f.yaml:3:1: is not valid YAML' });
  });

  test('names are limited', () => {
    const many = Array.from({ length: 30 }, (_, i) => ({ ...report('L3VNI', 'failed'), name: `v${i}` }));
    expect(conditionsOf(many).Ready?.message).toMatch(/^30 failed: L3VNI\/v0, .*, and 20 more$/);
  });
});
