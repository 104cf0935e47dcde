// The main thread's end with a thread behind it. Sessions over links are in test/kernel; here nobody speaks, for all
// sessions are passive.

import { afterEach, expect, it } from 'vitest';
import { Bfd, type Target } from './bfd.ts';

const SESSIONS = 1500;
const settings = { minTxMs: 300, minRxMs: 300, multiplier: 3, passive: true, minTtl: 255 };
const troubles: string[] = [];
const bfd = new Bfd({ onChange: () => {}, onTrouble: ({ code }) => troubles.push(code) });
const ids = Array.from({ length: SESSIONS }, (_, id) => id);

afterEach(() => bfd.close());

function target(id: number, multihop: boolean): Target {
  return { remote: Uint8Array.of(192, 0, id >> 8, id & 255), ifindex: multihop ? 0 : 1, multihop, settings };
}

async function all(multihop: boolean): Promise<number> {
  for (const id of ids) bfd.set(id, target(id, multihop));
  const there = () => ids.filter((id) => bfd.session(id)?.multihop === multihop).length;
  const endMs = performance.now() + 5000;
  while (there() < SESSIONS && performance.now() < endMs) await new Promise((go) => setTimeout(go, 20));
  return there();
}

it('all sessions may become others at once: the new ones wait for rows of those that leave', async () => {
  expect(await all(false)).toBe(SESSIONS);
  expect(await all(true)).toBe(SESSIONS);
  expect(troubles).not.toContain('bfd-sessions-full');
});
