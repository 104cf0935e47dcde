// One configuration on all routers: a chain is recabled to hub and spoke, and that to a Clos, one cable at a time,
// while packets go between all pairs of hosts in both families, 100 a second.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import { exampleFabric, exampleText } from '../support/fabric.ts';
import { describeTraffic, type Flow, traffic, trafficDuring } from '../support/traffic.ts';

const fabric = exampleFabric('recable', 'recable');
const { moves } = parse(exampleText('recable')) as { moves: Record<string, [from: string, to: string][]> };

beforeAll(async () => {
  await fabric.up();
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

const hosts = [1, 2, 3, 4, 5];

/** Every pair of hosts once in each family: an answer has crossed in both directions. */
const pairs: Flow[] = hosts.flatMap((from) =>
  hosts
    .filter((to) => to > from)
    .flatMap((to) => [
      { from: `h${from}`, to: `198.18.${to}.1` },
      { from: `h${to}`, to: `2001:db8:100:${from}::1` },
    ]),
);

const steps = Object.entries(moves).flatMap(([title, list]) =>
  list.map(([from, to]) => [title, from, to] as const),
);

it('begins as a chain where all hosts reach all', async () => {
  const results = await Promise.all(pairs.map((flow) => traffic(fabric, flow, 0.2)));
  expect(results.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
  expect(steps).toHaveLength(6);
});

it.each(steps)('%s: moving %s to %s costs at most 1 s of packets', async (_, from, to) => {
  const { flows, event } = await trafficDuring(fabric, pairs, () => fabric.lab('move', from, to), {
    beforeSeconds: 0.4,
    afterSeconds: 2.2,
  });
  await fabric.allSessions();
  const worst = flows.reduce((one, other) => (other.longestGap > one.longestGap ? other : one));
  console.log(`${from} ${to} ${JSON.stringify(event)}: worst ${describeTraffic(worst)}`);
  expect(flows.filter((one) => one.lost > 100).map(describeTraffic)).toEqual([]);
  const after = await Promise.all(pairs.map((flow) => traffic(fabric, flow, 0.1)));
  expect(after.filter((one) => one.lost > 0).map(describeTraffic)).toEqual([]);
});

it('ends as a Clos with all sessions', async () => {
  const { sessions } = await fabric.status();
  expect(sessions).toEqual({ established: 12, expected: 12 });
});
