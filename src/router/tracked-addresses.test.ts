import { expect, test } from 'vitest';
import { ip4Bytes } from '../net/ip.ts';
import { TrackedAddresses } from './tracked-addresses.ts';

const within = (tracked: TrackedAddresses, a: number, length: number): number[] => {
  const found: number[] = [];
  tracked.within(true, a, 0, 0, 0, length, (id) => void found.push(id));
  return found.toSorted((x, y) => x - y);
};

test('addresses come and go, several alike among them', () => {
  const tracked = new TrackedAddresses();
  const address = (id: number): Uint8Array => ip4Bytes(0x0a00_0000 + (id % 10) * 256);
  for (let id = 0; id < 30; id++) tracked.add(id, address(id));
  expect(within(tracked, 0x0a00_0300, 24)).toEqual([3, 13, 23]);
  tracked.remove(13);
  tracked.remove(13);
  expect(within(tracked, 0x0a00_0300, 24)).toEqual([3, 23]);
  tracked.add(13, address(14));
  expect(within(tracked, 0x0a00_0400, 24)).toEqual([4, 13, 14, 24]);
  for (let id = 0; id < 30; id++) tracked.remove(id);
  expect(within(tracked, 0x0a00_0000, 8)).toEqual([]);
  expect(tracked.isEmpty(true)).toBe(true);
});

test('a peer may have as many next hops as its link has addresses, and lose them all at once', () => {
  const tracked = new TrackedAddresses();
  const count = 100_000;
  const startMs = performance.now();
  for (let id = 0; id < count; id++) tracked.add(id, ip4Bytes(0x0a00_0000 + id));
  for (let id = 0; id < count; id++) tracked.remove(id);
  // It was more than ten seconds when each of them was searched for.
  expect(performance.now() - startMs).toBeLessThan(5000);
  expect(tracked.isEmpty(true)).toBe(true);
});
