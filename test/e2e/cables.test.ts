// Cables of a Clos fabric are cut, mended and moved under traffic of 100 packets a second for each flow, in both
// directions and both families, between all hosts of two leaves: some of the flows cross each uplink, whatever the
// kernel's hash says.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PeersView } from '../../src/api/views.ts';
import { exampleFabric, until } from '../support/fabric.ts';
import { describeTraffic, type Flow, packetsOf, type Traffic, trafficDuring } from '../support/traffic.ts';

const fabric = exampleFabric('clos', 'cables');

beforeAll(async () => {
  await fabric.up();
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

const near = { h1: ['198.18.1.1', '2001:db8:100:1::1'], h2: ['198.18.1.2', '2001:db8:100:1::2'] };
const far = { h5: ['198.18.3.1', '2001:db8:100:3::1'], h6: ['198.18.3.2', '2001:db8:100:3::2'] };

const flows: Flow[] = [];
for (const [one, ours] of Object.entries(near))
  for (const [other, theirs] of Object.entries(far))
    for (const family of [0, 1]) {
      flows.push({ from: one, to: theirs[family]! });
      flows.push({ from: other, to: ours[family]! });
    }

const lossy = (all: readonly Traffic[], bound: number): string[] =>
  all.filter((one) => one.lost > bound).map(describeTraffic);

function report(title: string, all: readonly Traffic[]): void {
  const losses = all.map((one) => one.lost);
  const worst = all.filter((one) => one.lost > 0).map(describeTraffic);
  console.log(`${title}: lost at most ${Math.max(...losses)} of a flow; ${worst.join('; ')}`);
}

it.each(['leaf1:eth1', 'leaf1:eth2', 'spine1:eth1'])(
  'cutting %s loses at most 5 packets of a flow, mending none',
  async (end) => {
    const port = end === 'leaf1:eth2' ? 'eth2' : 'eth1';
    const before = await packetsOf(fabric, 'leaf1', port);
    const cut = await trafficDuring(fabric, flows, () => fabric.lab('cut', end), { afterSeconds: 1.6 });
    report(`cut ${end}`, cut.flows);
    const after = await packetsOf(fabric, 'leaf1', port);
    console.log(`${port} carried ${after.tx - before.tx} out, ${after.rx - before.rx} in`);
    const mended = await trafficDuring(fabric, flows, () => fabric.lab('mend', end), { afterSeconds: 2.2 });
    report(`mend ${end}`, mended.flows);
    await fabric.allSessions();
    expect(lossy(cut.flows, 5)).toEqual([]);
    expect(lossy(mended.flows, 0)).toEqual([]);
  },
);

it('a cable moved to another spine heals without configuration', async () => {
  const names = async () => {
    const { peers } = await fabric.get<PeersView>('leaf1', '/v1/peers');
    return peers
      .filter((peer) => peer.state === 'established')
      .map((peer) => `${peer.name} ${peer.hostname}`);
  };
  const startedMs = performance.now();
  const moved = await trafficDuring(fabric, flows, () => fabric.lab('move', 'leaf1:eth1', 'spine2:eth9'), {
    afterSeconds: 2,
  });
  await until(names, (seen) => seen.join() === 'eth1 spine2,eth2 spine2', {
    timeoutMs: 10_000,
    what: 'new sessions',
  });
  await fabric.allSessions();
  console.log(
    `both sessions with spine2 ${(performance.now() - startedMs - 600).toFixed(0)} ms after the move`,
  );
  report('move leaf1:eth1 spine2:eth9', moved.flows);
  const back = await trafficDuring(fabric, flows, () => fabric.lab('move', 'leaf1:eth1', 'spine1:eth1'), {
    afterSeconds: 2,
  });
  await until(names, (seen) => seen.join() === 'eth1 spine1,eth2 spine2', {
    timeoutMs: 10_000,
    what: 'old sessions',
  });
  await fabric.allSessions();
  report('move back', back.flows);
  expect(lossy([...moved.flows, ...back.flows], 100)).toEqual([]);
});

it('carries everything afterwards', async () => {
  const still = await trafficDuring(fabric, flows, async () => {}, { afterSeconds: 0.5 });
  expect(lossy(still.flows, 0)).toEqual([]);
});
