// Fifty sessions of 3 x 50 ms while this thread loads tables: no false alarm, and a link that goes silent is told
// within the detection time and a turn. `npm run bench -- bfd` does the same for a minute, with more load.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TableLoad } from '../../bench/table-load.ts';
import { Bfd } from '../../src/bfd/bfd.ts';
import { createNetns, removeNetns, withNetns } from '../../src/netlink/netns.ts';
import { libcCalls } from '../../src/netlink/sys.ts';

const A = `lfskbfdl-${process.pid}-a`;
const B = `lfskbfdl-${process.pid}-b`;
const SESSIONS = 50;
const SECONDS = 10;
const TURN_MS = 2;
const DETECTION_MS = 150;
/** Taking a link down, and a turn of the main thread on a busy machine. */
const MARGIN_MS = 100;
const ip = (...words: string[]) => execFileSync('ip', words);
const turn = () => new Promise((resolve) => setImmediate(resolve));

interface Down {
  id: number;
  atMs: number;
  sinceMs: number;
}

function side(netns: string, ours: number, theirs: number): { bfd: Bfd; downs: Down[] } {
  const downs: Down[] = [];
  const bfd: Bfd = new Bfd({
    netns,
    onChange: ({ id, state }) => {
      if (state === 'down') downs.push({ id, atMs: performance.now(), sinceMs: bfd.session(id)!.sinceMs });
    },
    onTrouble: (error) => expect(error.code).toBe('bfd-priority-refused'),
  });
  const ifindex = withNetns(netns, () => Number(libcCalls.if_nametoindex('eth0')));
  const settings = { minTxMs: 50, minRxMs: 50, multiplier: 3, passive: false, minTtl: 255 };
  for (let id = 0; id < SESSIONS; id++) {
    const address = (host: number) => Uint8Array.of(10, 0, 1 + id, host);
    bfd.set(id, { remote: address(theirs), local: address(ours), ifindex, multihop: false, settings });
  }
  return { bfd, downs };
}

const ids = Array.from({ length: SESSIONS }, (_, id) => id);
const isReady = ({ bfd }: { bfd: Bfd }) =>
  ids.every((id) => bfd.session(id)?.state === 'up' && bfd.session(id)?.detectionMs === DETECTION_MS);

beforeAll(() => {
  createNetns(A);
  createNetns(B);
  ip('-n', A, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', B);
  for (const [netns, host] of [
    [A, 1],
    [B, 2],
  ] as const) {
    ip('-n', netns, 'link', 'set', 'eth0', 'up');
    for (const id of ids) ip('-n', netns, 'address', 'add', `10.0.${1 + id}.${host}/24`, 'dev', 'eth0');
  }
});

afterAll(() => {
  removeNetns(A);
  removeNetns(B);
});

it('no false alarm while tables load, and a silent link is told in time', async () => {
  const [a, b] = [side(A, 1, 2), side(B, 2, 1)];
  const startMs = performance.now();
  while (!(isReady(a) && isReady(b))) {
    expect(performance.now() - startMs).toBeLessThan(10_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const load = new TableLoad(200_000);
  const endMs = performance.now() + SECONDS * 1000;
  while (performance.now() < endMs) {
    load.run(TURN_MS);
    await turn();
  }
  const worst = Math.max(...[a, b].flatMap(({ bfd }) => ids.map((id) => bfd.session(id)!.worstGapMs)));
  console.log(`${load.tables} tables loaded, longest silence ${worst.toFixed(1)} ms of ${DETECTION_MS}`);
  expect([...a.downs, ...b.downs]).toEqual([]);
  expect(load.tables).toBeGreaterThan(0);
  expect(worst).toBeLessThan(DETECTION_MS);

  const cut = [
    'add table inet cut',
    'add chain inet cut in { type filter hook input priority 0; policy drop; }',
  ];
  const cutMs = performance.now();
  execFileSync('ip', ['netns', 'exec', A, 'nft', cut.join('; ')]);
  while (a.downs.length < SESSIONS && performance.now() < cutMs + 3000) {
    load.run(TURN_MS);
    await turn();
  }
  expect(a.downs.map(({ id }) => id).sort((x, y) => x - y)).toEqual(ids);
  const inThread = Math.max(...a.downs.map(({ sinceMs }) => sinceMs)) - cutMs;
  const told = Math.max(...a.downs.map(({ atMs }) => atMs)) - cutMs;
  console.log(
    `all ${SESSIONS} down ${inThread.toFixed(0)} ms after the cut, told after ${told.toFixed(0)} ms`,
  );
  expect(inThread).toBeLessThan(DETECTION_MS + MARGIN_MS);
  expect(told).toBeLessThan(DETECTION_MS + MARGIN_MS);
  await Promise.all([a.bfd.close(), b.bfd.close()]);
});
