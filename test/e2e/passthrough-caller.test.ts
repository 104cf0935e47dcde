// A speaker of the host that calls and does not listen, as MetalLB's FRR. When leafd is away for more than a moment, an FRR
// that helps with a restart does not call again before the time is over in which it was asked to keep routes; that time
// ends before leafd has waited long enough. So the fabric never hears that the service is gone.

import { afterAll, beforeAll, expect, it } from 'vitest';
import type { StatusView } from '../../src/api/views.ts';
import { sleep, until } from '../support/fabric.ts';
import {
  establishedSince,
  type LabData,
  passthroughFabric,
  RouteClock,
  reachable,
  services,
} from '../support/passthrough.ts';

const AWAIT_S = 12;

const fabric = passthroughFabric('ptcall', (lab: LabData) => {
  lab.nodes['node1-frr'].arguments = ['-p', '0'];
  lab.nodes.node1.config.passthrough.awaitSpeakers = `${AWAIT_S}s`;
});

beforeAll(async () => {
  await fabric.up();
  await reachable(fabric);
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

it('is back before leafd gives it up, and the ToR keeps its service all the time', async () => {
  const tor = await RouteClock.in(fabric.netns('tor'));
  const lostMs = performance.now();
  await fabric.lab('stop', 'node1');
  // Its first call finds nobody.
  await sleep(2500);
  await fabric.lab('restart', 'node1');
  const sessions = () => establishedSince(fabric);
  const isBack = (since: Record<string, string>) => 'frr-ipv4' in since && 'frr-ipv6' in since;
  await until(sessions, isBack, { timeoutMs: AWAIT_S * 1000, what: 'the session of FRR' });
  console.log(`FRR is back ${(performance.now() - lostMs).toFixed(0)} ms after leafd stopped`);
  const status = () => fabric.get<StatusView>('node1', '/v1/status');
  const isOver = ({ bgp }: StatusView) => bgp.restarting === undefined;
  await until(status, isOver, { timeoutMs: AWAIT_S * 1000, what: 'the end of the restart' });
  await reachable(fabric);
  const gone = tor.lines().filter((line) => line.includes('Deleted') && line.includes(services.frr.ipv4));
  expect(gone).toEqual([]);
  await tor.stop();
});
