// A ToR with 20 000 prefixes in front of a node with passthrough: they are with the host's speaker soon after each of five
// resets of the ToR's session, and when they are withdrawn nothing of them is left, in the kernel or in leafd's memory.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { residentBytes, runOrThrow, scratchFile, sleep, until } from '../support/fabric.ts';
import {
  birdc,
  countRoutes,
  describeMs,
  type LabData,
  passthroughFabric,
  routerOf,
} from '../support/passthrough.ts';

const HALF = 10_000;
const routes4 = Array.from({ length: HALF }, (_, at) => `route 100.64.${at >> 8}.${at & 255}/32 blackhole;`);
const routes6 = Array.from(
  { length: HALF },
  (_, at) => `route 2001:db8:8000:${at.toString(16)}::/64 blackhole;`,
);
const files = {
  ipv4: scratchFile('tor4.conf', routes4.join('\n')),
  ipv6: scratchFile('tor6.conf', routes6.join('\n')),
};

const torConfig = `
log stderr all;
router id 192.168.11.2;
protocol device { scan time 2; }
protocol static fabric4 {
  disabled; ipv4;
include "${files.ipv4}";
}
protocol static fabric6 {
  disabled; ipv6;
include "${files.ipv6}";
}
protocol bgp node1 {
  local 192.168.11.2 as 64512;
  neighbor 192.168.11.3 as 64514;
  hold time 9; keepalive time 3; connect retry time 1; connect delay time 1; error wait time 1, 1;
  ipv4 { import all; export where source = RTS_STATIC; };
  ipv6 { import all; export where source = RTS_STATIC; next hop address fd00:11::2; };
}
`;

const fabric = passthroughFabric('ptload', (lab: LabData) => {
  lab.nodes.tor = { kind: 'bird', role: 'spine', ports: lab.nodes.tor.ports, config: torConfig };
  // The host's FRR would write each route into the host's kernel: that is not what is measured here.
  delete lab.nodes['node1-frr'];
  lab.nodes.node1.config.passthrough.speakers = [
    { name: 'bird', remoteAs: 64516, hostAddress: { ipv4: '192.169.10.3', ipv6: 'fd00:10::3' } },
  ];
});
const router = routerOf(fabric);

beforeAll(async () => {
  await fabric.up();
});

afterAll(async () => {
  expect(await fabric.down()).toEqual([]);
});

/** Routes that the speaker of the host has of the fabric. */
async function heard(): Promise<number> {
  let count = 0;
  for (const table of ['master4', 'master6']) {
    const text = await birdc(
      fabric,
      'node1-bird',
      'show',
      'route',
      'table',
      table,
      'where',
      'bgp_path.last',
      '=',
      '64512',
      'count',
    );
    count += Number(/^(\d+) of /m.exec(text)?.[1]);
  }
  return count;
}

const all = (what: string, timeoutMs: number) =>
  until(heard, (count) => count === 2 * HALF, { timeoutMs, everyMs: 50, what });
const both = async (word: string) => {
  for (const protocol of ['fabric4', 'fabric6']) await birdc(fabric, 'tor', word, protocol);
};

interface Weight {
  routes: number;
  nextHops: number;
  bytes: number;
}

async function weigh(): Promise<Weight> {
  const nextHops = await runOrThrow(['ip', '-n', router, 'nexthop', 'show']);
  const bytes = residentBytes(await fabric.pid('node1'));
  return { routes: await countRoutes(router), nextHops: nextHops.split('\n').filter(Boolean).length, bytes };
}

async function withdrawn(): Promise<Weight> {
  await both('disable');
  await until(heard, (count) => count === 0, { timeoutMs: 10_000, everyMs: 50, what: 'the withdrawal' });
  await until(
    () => countRoutes(router),
    (count) => count < 100,
    { timeoutMs: 10_000, everyMs: 50, what: 'the kernel' },
  );
  await sleep(3000);
  return weigh();
}

const mib = ({ bytes }: Weight): string => (bytes / 2 ** 20).toFixed(1);

it('20 000 prefixes are with the host within 5 s of each of five resets, and leave nothing', async () => {
  // Once around: compiled code and tables that have grown stay, and are no leak.
  const cold = await weigh();
  await both('enable');
  await all('the first time', 10_000);
  const before = await withdrawn();
  const firstMs = performance.now();
  await both('enable');
  await all('the second time', 10_000);
  const took = [performance.now() - firstMs];
  const full = await weigh();
  expect(full.routes).toBe(before.routes + 2 * HALF);
  for (let flap = 0; flap < 5; flap++) {
    const startedMs = performance.now();
    await birdc(fabric, 'tor', 'restart', 'node1');
    await until(heard, (count) => count < 2 * HALF, { timeoutMs: 5000, everyMs: 5, what: 'the loss' });
    await all(`after reset ${flap + 1}`, 10_000);
    took.push(performance.now() - startedMs);
  }
  await until(
    () => countRoutes(router),
    (count) => count === full.routes,
    { timeoutMs: 5000, what: 'the kernel' },
  );
  const after = await withdrawn();
  console.log(
    `there after ${describeMs(took)}; MiB ${mib(cold)} cold, ${mib(before)} after once, ${mib(full)} with all, ${mib(after)} after`,
  );
  for (const ms of took.slice(1)) expect(ms).toBeLessThan(5000);
  expect({ routes: after.routes, nextHops: after.nextHops }).toEqual({
    routes: before.routes,
    nextHops: before.nextHops,
  });
  // The collector of garbage takes its time where nothing happens.
  const settled = ({ bytes }: Weight) => bytes < before.bytes * 1.1;
  await until(weigh, settled, { timeoutMs: 30_000, everyMs: 1000, what: `memory near ${mib(before)} MiB` });
});
