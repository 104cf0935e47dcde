// Sessions as the API shows them: above all what is said of one that does not come up.

import { expect, test } from 'vitest';
import { compilePolicies, policyChain } from '../policy/compile.ts';
import type { AddressPeer, RouterConfig } from '../router/config.ts';
import { ip, neighbour, prefixNlri, routeRig, update } from '../router/route-rig.test-data.ts';
import type { Router } from '../router/router.ts';
import type { Capability } from '../wire/bgp/capability.ts';
import { keepaliveMessage } from '../wire/bgp/header.ts';
import { encodeOpen } from '../wire/bgp/open.ts';
import { peerDetailView } from './peer-views.ts';
import { routesView } from './route-views.ts';
import { whyView } from './why-view.ts';

const far = '192.0.2.2';

function rigOf(settings: Partial<AddressPeer>, router: Partial<RouterConfig> = {}) {
  const rig = routeRig([neighbour(far, { name: 'a', ...settings })], router);
  const time = { originMs: 0, nowMs: () => rig.router.nowMs };
  const context = { router: rig.router, time, kernelState: () => undefined, kernelRoute: () => undefined };
  const peer = rig.router.directory.byName.get('a')!;
  return {
    ...rig,
    peer,
    view: () => peerDetailView(rig.router, peer, time),
    why: (thing: string) => whyView(context, thing)!,
  };
}

test('a session that hears nothing says what it waits for, and what is lost without a word', () => {
  const calling = rigOf({ passive: false, password: 'k', ttlSecurity: true });
  const reason =
    'no answer yet; a password is set: packets of a peer with another one, or none, are lost; ' +
    'TTL security: packets from farther than 1 hop are lost';
  expect(calling.view()).toMatchObject({ state: 'connect', reason });
  expect(calling.why('a').steps!.map(({ code }) => code)).toEqual(['password', 'ttlSecurity']);
  const passive = rigOf({});
  expect(passive.view()).toMatchObject({ state: 'active', reason: 'passive: the peer has not called yet' });
  // Where there is a connection the keys are the same, but what comes back may be lost.
  const { router, view } = rigOf({ passive: false, password: 'k', ttlSecurity: true });
  const connection = router.directory.byName.get('a')!.main.connection;
  router.connected(connection, ip('192.0.2.1'));
  expect(view()).toMatchObject({
    state: 'openSent',
    reason: 'connected, no OPEN yet; TTL security: packets from farther than 1 hop are lost',
  });
});

/** Calls with these capabilities beside 4-octet ASes and IPv4. */
function call({ router }: { router: Router }, ...more: Capability[]): number {
  const peer = router.incoming(ip(far), 2)!;
  const connection = router.sessions.newConnection();
  router.accepted(peer, connection, ip('192.0.2.1'));
  const capabilities: Capability[] = [
    { kind: 'multiprotocol', afi: 1, safi: 1 },
    { kind: 'asn4', asn: 65002 },
    ...more,
  ];
  router.received(connection, encodeOpen({ asn: 65002, holdTimeS: 90, bgpId: 2, capabilities }));
  router.received(connection, keepaliveMessage);
  return connection;
}

test('a peer that is refused for its role is shown with it, and when it may come again', () => {
  const rig = rigOf({ role: 'provider' });
  call(rig, { kind: 'role', role: 0 });
  expect(rig.view()).toMatchObject({ state: 'idle', role: { local: 'provider', remote: 'provider' } });
  expect(rig.view().retryInSeconds).toBeGreaterThan(0);
});

test('what a peer said before it was Established is no reason for what comes after', () => {
  const rig = rigOf({ passive: false });
  rig.peer.lastError = { atMs: rig.router.nowMs, reason: { kind: 'notificationSent', code: 2, subcode: 2 } };
  rig.run(10);
  const { connection } = rig.up(far);
  expect(rig.view()).toMatchObject({ state: 'established' });
  expect(rig.view()).not.toHaveProperty('retryInSeconds');
  rig.router.connectionLost(connection);
  rig.run();
  expect(rig.view().reason).toBe('connection closed by the peer or the network');
  rig.peer.lastError = { atMs: rig.router.nowMs, reason: { kind: 'notificationSent', code: 2, subcode: 2 } };
  expect(rig.view().reason).toContain('before: notification sent: 2/2');
});

test('a family that the peer does not offer is told as such', () => {
  const rig = rigOf({ families: 0b11 });
  call(rig);
  expect(rig.view().byFamily).toMatchObject([
    { family: 'ipv4', negotiated: true },
    { family: 'ipv6', negotiated: false },
  ]);
  expect(rig.why('a').steps).toContainEqual({
    code: 'notNegotiated',
    text: 'the peer does not offer ipv6',
  });
});

test('stale routes are told with the time they have left', () => {
  const times = { restartTimeMs: 120_000, stalePathTimeMs: 360_000, longLivedStaleTimeMs: 60_000 };
  const rig = rigOf({}, { gracefulRestart: { ...times, notification: true } });
  const ipv4 = { afi: 1, safi: 1 };
  const { say, connection } = rig.up(far, 65002, [
    {
      kind: 'gracefulRestart',
      restartState: false,
      notification: false,
      timeS: 20,
      families: [{ ...ipv4, forwarding: true }],
    },
    { kind: 'longLivedGracefulRestart', families: [{ ...ipv4, forwarding: true, staleTimeS: 60 }] },
  ]);
  const attributes = { origin: 'igp', asPath: '65002' } as const;
  say(update(0, [prefixNlri('10.1.0.0/16')], { attributes, nextHop: far }));
  expect(rig.view().byFamily[0]).not.toHaveProperty('staleForSeconds');
  rig.router.connectionLost(connection);
  rig.run(5000);
  expect(rig.view().byFamily[0]).toMatchObject({ stale: 1, staleForSeconds: 15 });
  rig.run(16_000);
  expect(rig.view().byFamily[0]).toMatchObject({ stale: 1, longLived: true });
  expect(rig.view().byFamily[0]!.staleForSeconds).toBeGreaterThan(50);
  rig.run(60_000);
  expect(rig.view().byFamily[0]!.stale).toBe(0);
});

test('a default route of its own is told as sent, one into a black hole as such', () => {
  const statics = [
    { prefix: { bytes: ip('0.0.0.0'), length: 0 }, to: { kind: 'blackhole' as const }, tag: 0 },
  ];
  const rig = rigOf({ defaultOriginate: {} }, { statics });
  rig.up(far);
  const why = rig.why('0.0.0.0/0');
  expect(why.advertised).toMatchObject([{ peer: 'a', sent: true, reason: { code: 'defaultOriginate' } }]);
  expect(why.winner).toMatchObject({ source: 'static', blackhole: true });
  expect(why.winner).not.toHaveProperty('nextHop');
  expect(why.summary).toContain('into a black hole');
  const query = { peer: 'a', advertised: true, received: false, limit: 10 };
  const time = { originMs: 0, nowMs: () => rig.router.nowMs };
  const context = { router: rig.router, time, kernelState: () => undefined };
  const sent = routesView(context, query)!.routes.map(({ prefix, source }) => `${prefix} ${source}`);
  expect(sent).toContain('0.0.0.0/0 local');
  expect(routesView(context, { ...query, prefix: '10.0.0.0/8' })!.routes).toEqual([]);
  expect(routesView(context, { ...query, prefix: '0.0.0.0/0' })!.routes).toHaveLength(1);
});

test('a route that leafd keeps out of the kernel for one of the operator says so', () => {
  const { router, run, why } = rigOf({});
  router.linkChanged({ ifindex: 7, name: 'tap7', up: true });
  router.guests.set(ip('198.51.100.7'), { ifindex: 7, sequence: 0, fresh: false, metric: 1024 });
  run();
  expect(why('198.51.100.7/32').steps).toBeUndefined();
  const bytes = ip('198.51.100.7');
  const byHand = { source: 'static', bytes, length: 32, metric: 0, ifindex: 7, protocol: 4 } as const;
  router.kernelRouteAdded(byHand);
  run();
  expect(why('198.51.100.7/32').steps!.map(({ code }) => code)).toEqual(['outranked']);
  router.kernelRouteRemoved(byHand);
  run();
  expect(why('198.51.100.7/32').steps).toBeUndefined();
});

test('a guest that its policy refuses is told to nobody for that reason', () => {
  const refused = policyChain(
    compilePolicies({ policies: { none: { rules: [], default: 'reject' } } }),
    ['none'],
    'guests',
  );
  const { router, run, up, why } = rigOf({}, { guests: { freshPreference: 200, policy: refused } });
  router.linkChanged({ ifindex: 7, name: 'tap7', up: true });
  router.guests.set(ip('198.51.100.7'), { ifindex: 7, sequence: 0, fresh: false, metric: 1024 });
  run();
  up(far);
  expect(why('198.51.100.7').advertised).toMatchObject([
    { sent: false, reason: { code: 'ownPolicy', text: expect.stringContaining('policy') } },
  ]);
});
