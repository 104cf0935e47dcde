// A router without a kernel's table, a reflector: its restart is graceful too, for it forwards nothing itself.

import { expect, test } from 'vitest';
import type { Capability } from '../wire/bgp/capability.ts';
import { IPV4 } from '../wire/bgp/family.ts';
import { defaultRouterSettings } from './config.ts';
import { neighbour, prefixNlri, routeRig, update } from './route-rig.test-data.ts';

const client = { remoteAs: { kind: 'internal' as const }, routeReflectorClient: true, families: 1 };
const peers = [neighbour('192.0.2.2', client), neighbour('192.0.2.3', client)];
const gracefulRestart = { restartTimeMs: 120_000, stalePathTimeMs: 360_000, notification: true };
const settings = { ...defaultRouterSettings, gracefulRestart };
const theirs: Capability = {
  kind: 'gracefulRestart',
  restartState: false,
  notification: true,
  timeS: 120,
  families: [{ afi: 1, safi: 1, forwarding: true }],
};
const route = update(IPV4, [prefixNlri('10.7.0.0/16')], {
  attributes: { origin: 'igp', asPath: '', localPref: 100 },
  nextHop: '192.0.2.2',
});
const endOfRib = Uint8Array.of(...new Uint8Array(16).fill(255), 0, 23, 2, 0, 0, 0, 0);

test('after a restart it says so, with the forwarding state kept, and waits for End-of-RIB before its own', () => {
  const rig = routeRig(peers, settings, { isReflector: true, restarting: true });
  const [a, b] = [rig.up('192.0.2.2', 65001, [theirs]), rig.up('192.0.2.3', 65001, [theirs])];
  expect(a.peer.offered).toMatchObject({ restarting: true, forwards: true });
  a.say(route);
  rig.run(5000);
  a.say(endOfRib);
  expect([b.has.size, b.ended.size]).toEqual([0, 0]);
  expect(rig.router.restart.waitingFor()).toEqual([b.peer.name]);
  b.say(endOfRib);
  rig.run(10);
  expect([...b.has.keys()]).toEqual(['10.7.0.0/16']);
  expect([...b.ended]).toEqual(['ipv4']);
  expect(rig.events.map(({ kind }) => kind)).toContain('restartDone');
  rig.run(70_000);
  expect(rig.router.isFinishing).toBe(false);
});

test('at its first start it has kept nothing and tells what it knows at once', () => {
  const rig = routeRig(peers, settings, { isReflector: true });
  const [a, b] = [rig.up('192.0.2.2', 65001, [theirs]), rig.up('192.0.2.3', 65001, [theirs])];
  expect(a.peer.offered).toMatchObject({ restarting: false, forwards: false });
  a.say(route);
  expect(b.has.size).toBe(1);
});
