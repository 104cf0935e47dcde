// Cables of a Clos fabric are cut, mended and moved under traffic of 100 packets a second for each flow, in both
// directions and both families, between all hosts of two leaves: some of the flows cross each uplink, whatever the
// kernel's hash says.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PeersView, PeerView } from '../../src/api/views.ts';
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
    const cut = await trafficDuring(fabric, flows, () => fabric.lab('cut', end), { afterSeconds: 1.4 });
    report(`cut ${end}`, cut.flows);
    const after = await packetsOf(fabric, 'leaf1', port);
    console.log(`${port} carried ${after.tx - before.tx} out, ${after.rx - before.rx} in`);
    const mended = await trafficDuring(fabric, flows, () => fabric.lab('mend', end), { afterSeconds: 1.4 });
    report(`mend ${end}`, mended.flows);
    await fabric.allSessions();
    expect(lossy(cut.flows, 5)).toEqual([]);
    expect(lossy(mended.flows, 0)).toEqual([]);
  },
);

it('a cable moved to another spine, and back, heals without configuration', async () => {
  const uplinks = async () =>
    (await fabric.get<PeersView>('leaf1', '/v1/peers')).peers.filter((peer) => peer.dynamic);
  for (const [to, spine] of [
    ['spine2:eth9', 'spine2'],
    ['spine1:eth1', 'spine1'],
  ] as const) {
    const work = () => fabric.lab('move', 'leaf1:eth1', to);
    const moved = await trafficDuring(fabric, flows, work, { afterSeconds: 1.8 });
    const healed = (peers: PeerView[]) =>
      peers.map(({ name, hostname, state }) => `${name} ${hostname} ${state}`).join() ===
      `eth1 ${spine} established,eth2 spine2 established`;
    const peers = await until(uplinks, healed, { timeoutMs: 10_000, what: `a session with ${spine}` });
    await fabric.allSessions();
    report(`move leaf1:eth1 ${to}`, moved.flows);
    console.log(`session ${Date.parse(peers[0]!.since!) - moved.eventAtMs} ms after the command began`);
    expect(lossy(moved.flows, 100)).toEqual([]);
  }
});

it('carries everything afterwards', async () => {
  const still = await trafficDuring(fabric, flows, async () => {}, { afterSeconds: 0.5 });
  expect(lossy(still.flows, 0)).toEqual([]);
});
