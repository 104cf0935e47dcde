// leafd in the place where FRR loses packets: killed or stopped under traffic in both directions and both families, and
// started again. The ToR does graceful restart, the speakers of the host help as they do by default. Nothing is lost, and
// no kernel on the way ever hears that a route is gone: End-of-RIB waits until the host's speakers have spoken.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StatusView } from '../../src/api/views.ts';
import { until } from '../support/fabric.ts';
import { passthroughFabric, RouteClock, reachable, routerOf, services } from '../support/passthrough.ts';
import { describeTraffic, type Flow, trafficDuring } from '../support/traffic.ts';

const fabric = passthroughFabric('ptrestart');

beforeAll(async () => {
  await fabric.up();
  await reachable(fabric);
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

const flows: Flow[] = (['ipv4', 'ipv6'] as const).flatMap((family) => [
  { from: 'client', to: services.frr[family] },
  { from: 'client', to: services.bird[family] },
  { from: 'node1', source: services.frr[family], to: services.client[family] },
  { from: 'node1', source: services.bird[family], to: services.client[family] },
]);

const AFTER_SECONDS = 9;

it.each([
  ['killed', ['--kill']],
  ['killed once more', ['--kill']],
  ['asked to stop', []],
])('leafd that is %s and started again loses no packet, and no route goes anywhere', async (_, options) => {
  const namespaces = { tor: fabric.netns('tor'), router: routerOf(fabric), host: fabric.netns('node1') };
  const clocks = Object.entries(namespaces).map(async ([name, netns]) => ({
    name,
    clock: await RouteClock.in(netns),
  }));
  const monitors = await Promise.all(clocks);
  const formerPid = await fabric.pid('node1');
  const startedMs = Date.now();
  const result = await trafficDuring(
    fabric,
    flows,
    async () => {
      const { tookMs } = await fabric.lab<{ tookMs: number }>('restart', 'node1', ...options);
      const status = () => fabric.get<StatusView>('node1', '/v1/status');
      await until(status, ({ bgp }) => bgp.restarting === undefined, {
        timeoutMs: 30_000,
        what: 'the end of the restart',
      });
      return { tookMs, settledMs: Date.now() - startedMs };
    },
    { afterSeconds: AFTER_SECONDS, perSecond: 20 },
  );
  await fabric.allSessions();
  const gone = [];
  for (const { name, clock } of monitors) {
    gone.push(
      ...clock
        .lines()
        .filter((line) => line.includes('Deleted'))
        .map((line) => `${name}: ${line}`),
    );
    await clock.stop();
  }
  const { tookMs, settledMs } = result.event;
  console.log(
    `ready after ${tookMs} ms, settled after ${settledMs} ms; ${result.flows.map(describeTraffic).join('; ')}`,
  );
  expect(settledMs).toBeLessThan((AFTER_SECONDS - 1) * 1000);
  expect(await fabric.pid('node1')).not.toBe(formerPid);
  expect(result.flows.map(describeTraffic).filter((text) => !/: 0 of/.test(text))).toEqual([]);
  expect(gone).toEqual([]);
});
