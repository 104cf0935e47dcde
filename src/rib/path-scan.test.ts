import { expect, test } from 'vitest';
import { PathScan, SCAN_PURGE } from './path-scan.ts';
import { PathTable } from './path-table.ts';

test('a target is done once the cursor has been everywhere since it was marked', () => {
  const paths = new PathTable();
  paths.reserve(10);
  for (let i = 0; i < 10; i++) paths.take();
  const scan = new PathScan(paths);
  scan.markPeer(3, SCAN_PURGE);
  scan.advance(6);
  scan.markNextHop(3);
  scan.markPeer(3, SCAN_PURGE);
  scan.advance(scan.sliceEnd(100));
  expect([scan.isPending(3), scan.isIdle]).toEqual([true, false]);
  scan.advance(6);
  expect([scan.isPending(3), scan.isIdle, scan.peerActions[3], scan.nextHopActions[3]]).toEqual([
    false,
    true,
    0,
    0,
  ]);
  scan.markPeer(3, SCAN_PURGE);
  expect(scan.isPending(3)).toBe(true);
});

test('one that is marked while a slice is looked at has the whole slice looked at again', () => {
  const paths = new PathTable();
  paths.reserve(10);
  for (let i = 0; i < 10; i++) paths.take();
  const scan = new PathScan(paths);
  scan.markPeer(3, SCAN_PURGE);
  const end = scan.sliceEnd(100);
  scan.markPeer(3, SCAN_PURGE);
  scan.advance(end);
  expect([scan.isPending(3), scan.begin]).toEqual([true, 1]);
  scan.advance(scan.sliceEnd(100));
  expect(scan.isPending(3)).toBe(false);
});

test('hundreds of thousands of next hops may change before the cursor comes round', () => {
  const scan = new PathScan(new PathTable());
  const startMs = performance.now();
  for (let round = 0; round < 2; round++) for (let id = 0; id < 200_000; id++) scan.markNextHop(id);
  // It was a minute when each was searched for among all others.
  expect(performance.now() - startMs).toBeLessThan(3000);
});
