// Graceful restart (RFC 4724) in both roles, and the gate to the kernel.

import { expect, test } from 'vitest';
import {
  bed,
  installed4,
  prefixes,
  received,
  routes,
  row,
  state,
  told,
  UP_MS,
  type World,
} from '../../test/sim/bed.ts';
import { prefix } from '../sim/clos.ts';
import { findViolation, unrest } from '../sim/invariants.ts';

/** Both IPv4 loopbacks and IPv6 ones of a row of two. */
const both = ['10.0.0.1/32', '10.0.0.2/32', '2001:db8::1/128', '2001:db8::2/128'];

function twoUp(): World {
  const world = row('ab');
  world.run(UP_MS);
  expect(prefixes(world, 'a')).toEqual(both);
  return world;
}

// ---- as the helper ----

test('routes of a peer that crashed are kept as stale, refreshed when it is back, and swept at End-of-RIB', () => {
  const world = twoUp();
  world.node('b').addStatic(prefix('192.0.2.1/32'));
  world.run(100);
  world.node('b').crash(false);
  world.run(3000);
  expect(world.peer('a', 'eth2').restart.stale).toBe(0b11);
  expect(prefixes(world, 'a')).toContain('192.0.2.1/32');
  // One route is gone in the peer's next life.
  world.node('b').removeStatic(prefix('192.0.2.1/32'));
  world.node('b').start(true);
  world.run(UP_MS);
  expect(world.peer('a', 'eth2').restart).toMatchObject({ stale: 0, endOfRibReceived: 0b11 });
  expect(prefixes(world, 'a')).toEqual(both);
  expect(unrest(world)).toBeUndefined();
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('stale routes go when the peer is not back in the time it named', () => {
  const world = twoUp();
  world.node('b').crash(false);
  world.run(19_900);
  expect(prefixes(world, 'a')).toEqual(both);
  world.run(300);
  expect(prefixes(world, 'a')).toEqual(['10.0.0.1/32', '2001:db8::1/128']);
  expect(world.peer('a', 'eth2').restart.stale).toBe(0);
});

test('stale routes go when the peer is back and End-of-RIB does not come', () => {
  const world = twoUp();
  world.node('b').crash(false);
  world.run(1000);
  // The new life defers for as long as its other neighbour is not heard; here it is kept from ending it at all.
  world.node('b').start(true);
  Object.defineProperty(world.router('b').restart, 'endIfDue', { value: () => false });
  world.run(20_000);
  expect(state(world, 'a', 'eth2')).toBe('established');
  expect(prefixes(world, 'a')).toEqual(both);
  world.run(15_000);
  expect(prefixes(world, 'a')).toEqual(['10.0.0.1/32', '2001:db8::1/128']);
});

test('a machine that comes up cold does not ask for its old routes: no F bit, they go at once', () => {
  const world = twoUp();
  world.node('b').crash(true);
  world.run(9000);
  world.node('b').start(false);
  Object.defineProperty(world.router('b').advertiser, 'flush', { value: () => false });
  world.run(UP_MS);
  expect(state(world, 'a', 'eth2')).toBe('established');
  expect(world.peer('a', 'eth2').negotiated!.gracefulRestart).toMatchObject({
    restartState: false,
    forwarding: 0,
  });
  expect(prefixes(world, 'a')).toEqual(['10.0.0.1/32', '2001:db8::1/128']);
});

test('a NOTIFICATION, an operator and a lost link leave no stale routes', () => {
  const ends: ((world: World) => void)[] = [
    (world) => world.router('b').act(world.peer('b', 'eth1'), 'reset'),
    (world) => world.router('a').act(world.peer('a', 'eth2'), 'shutdown'),
    (world) => world.setUp(world.cable('a', 'eth2'), false),
    (world) => world.node('b').stop(true),
  ];
  for (const end of ends) {
    const world = twoUp();
    end(world);
    world.run(100);
    expect(prefixes(world, 'a')).toEqual(['10.0.0.1/32', '2001:db8::1/128']);
    expect(world.peer('a', 'eth2').restart.stale).toBe(0);
  }
});

test('the link of a peer whose routes are stale goes: they go with it', () => {
  const world = twoUp();
  world.node('b').crash(false);
  world.run(500);
  world.setUp(world.cable('a', 'eth2'), false);
  world.run(100);
  expect(prefixes(world, 'a')).toEqual(['10.0.0.1/32', '2001:db8::1/128']);
});

// ---- as the one that restarts ----

test('a restarting router says so, is silent until all have spoken, then tells only differences and sweeps', () => {
  const world = row('abc');
  world.run(UP_MS);
  const kernel = installed4(world, 'b');
  world.node('b').crash(false);
  world.run(500);
  world.node('b').start(true);
  const { router } = world.node('b');
  world.run(1500);
  expect(state(world, 'b', 'eth1')).toBe('established');
  expect(world.peer('a', 'eth2').negotiated!.gracefulRestart).toMatchObject({
    restartState: true,
    forwarding: 0b11,
  });
  expect(router!.restart.isDeferring).toBe(true);
  expect(routes(world, 'b')).toEqual([]);
  expect(installed4(world, 'b')).toEqual(kernel);
  expect(world.peer('a', 'eth2').restart.endOfRibReceived).toBe(0);
  // A route went while b was away: nobody tells it again.
  world.node('c').configure({ ...world.node('c').config, networks: [prefix('10.0.0.3/32')] });
  world.run(3000);
  expect(router!.isFinishing).toBe(false);
  expect(told(world, 'b', 'restartDone')).toHaveLength(1);
  expect(prefixes(world, 'a')).toEqual([
    '10.0.0.1/32',
    '10.0.0.2/32',
    '10.0.0.3/32',
    '2001:db8::1/128',
    '2001:db8::2/128',
  ]);
  expect(told(world, 'b', 'peerDown')).toEqual([]);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('while routes of our own are still to come nobody is told that this is all', () => {
  const world = row('abc');
  world.run(UP_MS);
  world.node('b').crash(false);
  world.node('b').start(true);
  const { router } = world.node('b');
  router!.restart.hold();
  world.run(10_000);
  expect([state(world, 'b', 'eth1'), router!.restart.waitingFor()]).toEqual(['established', []]);
  expect(router!.restart.isDeferring).toBe(true);
  expect(world.peer('a', 'eth2').restart.endOfRibReceived).toBe(0);
  expect(prefixes(world, 'a')).toContain('10.0.0.2/32');
  router!.restart.release();
  world.run(1000);
  expect(router!.isFinishing).toBe(false);
  expect(world.peer('a', 'eth2').restart.endOfRibReceived).not.toBe(0);
  // Whoever forgets to let go does not keep it from ending either.
  world.node('b').crash(false);
  world.node('b').start(true);
  world.node('b').router!.restart.hold();
  world.run(61_000);
  expect(world.router('b').isFinishing).toBe(false);
});

test('a peer that never speaks does not keep a restart from ending', () => {
  const world = row('abc');
  world.run(UP_MS);
  world.node('b').crash(false);
  Object.defineProperty(world.router('c').advertiser, 'flush', { value: () => false });
  world.node('b').start(true);
  world.run(30_000);
  expect(world.router('b').restart.isDeferring).toBe(true);
  expect(world.router('b').restart.waitingFor()).toEqual(['eth2']);
  world.run(31_000);
  expect(world.router('b').isFinishing).toBe(false);
  expect(prefixes(world, 'a')).toEqual(['10.0.0.1/32', '10.0.0.2/32', '2001:db8::1/128', '2001:db8::2/128']);
});

test('a peer that restarts over and over is let in again while its routes wait for it', () => {
  const world = row('ab');
  world.run(UP_MS);
  for (let lives = 0; lives < 9; lives++) {
    world.node('b').crash(false);
    world.run(200);
    world.node('b').start(true);
    world.run(600);
  }
  expect(world.peer('a', 'eth2').main.session.oscillations).toBeGreaterThan(5);
  world.run(3000);
  expect(state(world, 'a', 'eth2')).toBe('established');
  expect(prefixes(world, 'a')).toEqual(both);
});

// ---- the kernel first ----

test('a route is told once the kernel has it, and taken back without waiting', () => {
  const world = row('abc');
  world.run(UP_MS);
  world.node('b').kernel.delayMs = 700;
  world.node('a').addStatic(prefix('192.0.2.1/32'));
  world.run(600);
  expect(prefixes(world, 'b')).toContain('192.0.2.1/32');
  expect(received(world, 'c', 'eth1')).not.toContain('192.0.2.1/32');
  world.run(300);
  expect(received(world, 'c', 'eth1')).toContain('192.0.2.1/32');
  world.node('a').removeStatic(prefix('192.0.2.1/32'));
  world.run(100);
  expect(received(world, 'c', 'eth1')).not.toContain('192.0.2.1/32');
  expect(installed4(world, 'b')).toContain('192.0.2.1/32');
  world.run(1500);
  expect(installed4(world, 'b')).not.toContain('192.0.2.1/32');
});

test('a route that the kernel refuses is not told, until it takes it', () => {
  const world = row('abc');
  world.run(UP_MS);
  const key = `${0xc0000201}/32`;
  world.node('b').kernel.refuse(key, true);
  world.node('a').addStatic(prefix('192.0.2.1/32'));
  world.run(1000);
  const rib = world.router('b').ribs[0]!;
  const id = rib.find(0xc0000201, 0, 0, 0, 32);
  expect(world.router('b').gates[0]!.isRefused(id)).toBe(true);
  expect(world.router('b').advertiser.explain(world.peer('b', 'eth2'), rib, id)).toBe('fibLacks');
  expect(received(world, 'c', 'eth1')).not.toContain('192.0.2.1/32');
  world.node('b').kernel.refuse(key, false);
  world.run(100);
  expect(received(world, 'c', 'eth1')).toContain('192.0.2.1/32');
});

test('a route whose change the kernel refuses is taken back from those who had it', () => {
  const world = bed(
    [
      { name: 'a', asn: 65001, statics: ['192.0.2.1/32'] },
      { name: 'b', asn: 65002 },
      { name: 'c', asn: 65003 },
      { name: 'd', asn: 65004 },
    ],
    ['a:eth1 b:eth1', 'b:eth2 c:eth1', 'd:eth1 b:eth3'],
  );
  world.run(UP_MS);
  expect(prefixes(world, 'c')).toEqual(['192.0.2.1/32']);
  // The route moves to another neighbour, and the kernel of b does not follow.
  world.node('b').kernel.refuse(`${0xc0000201}/32`, true);
  world.node('d').addStatic(prefix('192.0.2.1/32'));
  world.node('a').removeStatic(prefix('192.0.2.1/32'));
  world.run(500);
  expect(routes(world, 'b')).toEqual(['192.0.2.1/32: 65004 via fe80::4:1%eth3']);
  expect(prefixes(world, 'c')).toEqual([]);
  world.node('b').kernel.refuse(`${0xc0000201}/32`, false);
  world.run(500);
  expect(routes(world, 'c')).toEqual(['192.0.2.1/32: 65002 65004 via fe80::2:2%eth1']);
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('a route that is lost, found and changed before the kernel has answered is not told meanwhile', () => {
  const world = bed(
    [
      { name: 'a', asn: 65001, statics: ['192.0.2.1/32'] },
      { name: 'b', asn: 65002 },
      { name: 'c', asn: 65003 },
      { name: 'd', asn: 65004 },
    ],
    ['a:eth1 b:eth1', 'b:eth2 c:eth1', 'd:eth1 b:eth3'],
  );
  world.run(UP_MS);
  const guest = prefix('192.0.2.1/32');
  // c reads nothing for a moment, so that nothing is told until all of this is over.
  world.network.highWater = 0;
  world.node('b').kernel.delayMs = 400;
  const toC = [...world.network.connections].find(({ ends }) => ends.some(({ node }) => node.name === 'c'))!;
  world.network.stall(toC, 80);
  world.node('b').addStatic(prefix('192.0.2.2/32'));
  world.run(10);
  world.node('a').removeStatic(guest);
  world.run(10);
  world.node('d').addStatic(guest);
  world.run(10);
  world.node('a').addStatic(guest);
  world.run(400);
  expect(received(world, 'c', 'eth1')).not.toContain('192.0.2.1/32');
  world.run(3000);
  expect(received(world, 'c', 'eth1')).toContain('192.0.2.1/32');
  expect(findViolation(world, 'oracle')).toBeUndefined();
});

test('what the machine is connected to, no neighbour takes from it', () => {
  const world = row('ab');
  world.run(UP_MS);
  const mine = prefix('198.51.100.0/24');
  const connected = {
    bytes: mine.bytes,
    length: mine.length,
    source: 'connected' as const,
    metric: 0,
    ifindex: 9,
    protocol: 2,
  };
  const router = world.node('b').router!;
  router.kernelRouteAdded(connected);
  world.node('a').addStatic(mine);
  world.run(500);
  // It is a route of the rib, but not one for the kernel.
  expect(prefixes(world, 'b')).toContain('198.51.100.0/24');
  expect(installed4(world, 'b')).not.toContain('198.51.100.0/24');
  router.kernelRouteRemoved(connected);
  world.run(500);
  expect(installed4(world, 'b')).toContain('198.51.100.0/24');
  router.kernelRouteAdded(connected);
  world.run(500);
  expect(installed4(world, 'b')).not.toContain('198.51.100.0/24');
});
