// What the cluster is told of resources: also when only a NIC came or went.

import { expect, test } from 'vitest';
import type { OpenperouterResult } from '../intent/openperouter.ts';
import type { KernelFaults } from '../passthrough/openperouter-status.ts';
import { ResourceNews } from './resource-news.ts';

const where = { file: 'f.yaml', line: 1, column: 1 };
const result: OpenperouterResult = {
  config: undefined,
  good: new Map(),
  resources: [{ kind: 'Underlay', name: 'underlay', where, state: 'applied' }],
  problems: [],
};

test('a NIC that was taken back is told without a change of the resources, and that it is in again', () => {
  const ready: unknown[] = [];
  const report = (status: object) => ready.push((status as { conditions: unknown[] }).conditions[0]);
  let faults: KernelFaults | undefined;
  const news = new ResourceNews(
    () => {},
    report,
    () => faults,
  );
  news.report();
  expect(ready).toEqual([]);
  news.look(result);
  faults = { failures: [], underlay: ['nic eth1: rolled back to the host: no session'] };
  news.report();
  faults = undefined;
  news.report();
  expect(ready).toEqual([
    expect.objectContaining({ type: 'Ready', status: 'True' }),
    {
      type: 'Ready',
      status: 'False',
      reason: 'UnderlayFailed',
      message: 'nic eth1: rolled back to the host: no session',
    },
    expect.objectContaining({ type: 'Ready', status: 'True' }),
  ]);
  news.look(undefined);
  expect(ready).toHaveLength(3);
});
