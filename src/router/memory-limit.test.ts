// When a peer has to go for the memory its attributes take, and which.

import { expect, test } from 'vitest';
import { IPV4 } from '../wire/bgp/family.ts';
import { MemoryLimit } from './memory-limit.ts';
import { type Far, neighbour, prefixNlri, routeRig, update } from './route-rig.test-data.ts';

function announce(far: Far, prefix: string, communities: string[]): void {
  const attributes = { origin: 'igp', asPath: '65002', communities } as const;
  far.say(update(IPV4, [prefixNlri(prefix)], { attributes, nextHop: '192.0.2.2' }));
}

const many = (first: number, length: number): string[] => Array.from({ length }, (_, i) => `${first}:${i}`);

test('one peer goes beyond the limit, another once as much again is needed; all anew once it is free', () => {
  const limit = new MemoryLimit(10);
  expect([10, 11, 12, 139, 140, 141].map((pages) => limit.isExceeded(pages))).toEqual([
    ...[false, true, false, false, true, false],
  ]);
  expect([1, 11].map((pages) => limit.isExceeded(pages))).toEqual([false, true]);
});

test('what a peer has left behind over its restart goes with it, what others have stays', () => {
  const settings = { remoteAs: { kind: 'any' }, gracefulRestart: 'full' } as const;
  const gracefulRestart = { restartTimeMs: 60_000, stalePathTimeMs: 60_000, notification: true };
  const rig = routeRig([neighbour('192.0.2.2', settings), neighbour('192.0.2.3', settings)], {
    gracefulRestart,
  });
  const ipv4 = { afi: 1, safi: 1, forwarding: true };
  const restarts = { kind: 'gracefulRestart', restartState: false, notification: false, timeS: 60 } as const;
  const gone = rig.up('192.0.2.2', 65002, [{ ...restarts, families: [ipv4] }]);
  const stays = rig.up('192.0.2.3', 65002);
  announce(gone, '10.1.0.0/16', many(1, 200));
  announce(stays, '10.2.0.0/16', many(2, 20));
  rig.router.connectionLost(gone.connection);
  rig.run(100);
  const rib = rig.router.ribs[IPV4]!;
  expect(rib.routeCount).toBe(2);
  rig.router.memoryLimit.pagesMax = 0;
  rig.run(100);
  expect(rib.routeCount).toBe(1);
  expect(gone.peer.heldUntilMs).toBe(Number.POSITIVE_INFINITY);
  expect(stays.peer.established).toBeDefined();
});
