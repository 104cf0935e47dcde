// Guests over a kernel in memory: what happens at the limit of ports.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { GuestsIntent } from '../intent/guests.ts';
import { FakeKernel } from '../netlink/fake-kernel.ts';
import { LinkMonitor } from '../netlink/monitor.ts';
import { ip, options } from './fake-host.test-data.ts';
import { Guests } from './guests.ts';
import { limits } from './table-state.ts';

const intent: GuestsIntent = {
  ...options(),
  bridges: [],
  taps: ['tap*'],
  gateway4: ip('169.254.0.1'),
  gateway6: ip('fe80::1'),
  metric: 1024,
  freshMetric: 512,
  filter: true,
  reach: { tcp: [], udp: [] },
  reserved: [],
  bindings: [],
};

test('ports beyond the limit are shut, told once, and taken when others have gone', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'leafd-guests-'));
  const kernel = new FakeKernel();
  const most = limits.ports;
  const taps = Array.from({ length: most + 2 }, (_, n) => kernel.addLink(`tap${n}`));
  const monitor = new LinkMonitor(kernel.rtnl());
  const shut = new Set<number>();
  const troubles: string[] = [];
  const guests = new Guests(intent, [], {
    monitor,
    plane: {
      setPorts: (wishes) => {
        for (const { ifindex, macs } of wishes) if (macs.length === 0) shut.add(ifindex);
      },
      removePorts: (ifindexes) => {
        for (const ifindex of ifindexes) shut.delete(ifindex);
      },
      sweep: () => {},
      guard: () => {},
      send: () => true,
    },
    routes: {
      set: () => {},
      remove: () => {},
      isAnnounced: () => true,
      watch: () => undefined,
      unwatch: () => {},
    },
    reserved: () => undefined,
    nowMs: () => performance.now(),
    wallMs: () => Date.now(),
    event: () => {},
    trouble: ({ code, message }) => troubles.push(`${code} ${message}`),
    path: join(directory, 'guests.json'),
  });
  await guests.begin();
  try {
    expect(troubles).toEqual([`too-many tap${most}: there are ${most} guest ports already`]);
    expect(guests.table.sums().ports).toBe(most);
    expect(taps.filter((ifindex) => !shut.has(ifindex))).toEqual([]);
    kernel.removeLink(taps[0]!);
    await expect.poll(() => guests.table.portNamed(`tap${most}`)).toBeDefined();
    expect(guests.table.portNamed(`tap${most + 1}`)).toBeUndefined();
    expect(guests.table.sums().ports).toBe(most);
    kernel.removeLink(taps[1]!);
    await expect.poll(() => guests.table.portNamed(`tap${most + 1}`)).toBeDefined();
  } finally {
    await guests.close();
    monitor.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
