// What a hostile or broken peer may not do to a router: bytes in, without a network between.

import { expect, test } from 'vitest';
import { ByteWriter } from '../lib/bytes.ts';
import { VirtualClock } from '../lib/clock.ts';
import { parseIp } from '../net/ip.ts';
import { BEST, NEXT_HOP_UNREACHABLE } from '../rib/reason.ts';
import { fabricPeer, fabricRouter } from '../sim/clos.ts';
import { encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import type { Capability } from '../wire/bgp/capability.ts';
import { IPV4 } from '../wire/bgp/family.ts';
import { keepaliveMessage } from '../wire/bgp/header.ts';
import { encodeOpen } from '../wire/bgp/open.ts';
import { UpdateWriter } from '../wire/bgp/update-writer.ts';
import type { PeerSettings } from './config.ts';
import { PATHS_MAX } from './intake.ts';
import type { Peer } from './peer.ts';
import type { RouterEvent } from './ports.ts';
import { Router } from './router.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const HERE = 65001;
const LINK = 2;

/** A router with a numbered and an unnumbered port on one link, and by hand whatever the other end says. */
function rig(settings: Partial<PeerSettings> = {}) {
  const clock = new VirtualClock(1000);
  const events: RouterEvent[] = [];
  let isFull = false;
  const numbered = { ...fabricPeer(false), passive: true, ...settings };
  const router = new Router(
    {
      ...fabricRouter('r', HERE, 0x0a00_0001),
      peers: [
        { ...numbered, kind: 'address', address: ip('192.0.2.2') },
        { ...numbered, kind: 'interface', pattern: 'eth0' },
      ],
    },
    clock,
    {
      connect: () => {},
      close: () => {},
      send: () => !isFull,
      wake: () => {},
      event: (event) => void events.push(event),
      jitter: () => 1,
      setKey: () => {},
      discover: () => {},
    },
  );
  router.start();
  router.linkChanged({ ifindex: LINK, name: 'eth0', up: true });
  router.localAddress(ip('192.0.2.1'), true, LINK, 24);
  router.localAddress(ip('fe80::1'), true, LINK, 64);
  const subnet = { source: 'connected', metric: 0, ifindex: LINK, protocol: 2 } as const;
  router.kernelRouteAdded({ ...subnet, bytes: ip('192.0.2.0'), length: 24 });
  const work = (): void => {
    for (let i = 0; i < 1000 && router.work(); i++);
  };
  const call = (remote: string, local: string): { peer: Peer; connection: number } | undefined => {
    const peer = router.incoming(ip(remote), LINK);
    if (peer === undefined) return undefined;
    const connection = router.sessions.newConnection();
    return router.accepted(peer, connection, ip(local)) ? { peer, connection } : undefined;
  };
  const up = (remote = '192.0.2.2', local = '192.0.2.1', more: Capability[] = []) => {
    const session = call(remote, local)!;
    router.received(session.connection, open(65002, 2, more));
    router.received(session.connection, keepaliveMessage);
    work();
    expect(session.peer.established).toBeDefined();
    return session;
  };
  const run = (ms: number): void => {
    clock.advanceTo(clock.nowMs() + ms);
    work();
  };
  const fill = (): void => {
    isFull = true;
  };
  return { router, events, work, call, up, run, fill };
}

function open(asn = 65002, bgpId = 2, more: Capability[] = []): Uint8Array {
  const family = { afi: 1, safi: 1 };
  const capabilities: Capability[] = [
    { kind: 'multiprotocol', ...family },
    { kind: 'asn4', asn },
    { kind: 'extendedNextHop', entries: [{ ...family, nextHopAfi: 2 }] },
    {
      kind: 'gracefulRestart',
      restartState: false,
      notification: false,
      timeS: 120,
      families: [{ ...family, forwarding: true }],
    },
    ...more,
  ];
  return encodeOpen({ asn, holdTimeS: 90, bgpId, capabilities });
}

/** An UPDATE that announces 10.9.0.0/16, with ADD-PATH once for each identifier. */
function announce(nextHop: string, pathIds: readonly number[] = [], med = 0): Uint8Array {
  const attributes = encodeAttributes({ origin: 'igp', asPath: '65002', ...(med > 0 && { med }) });
  const writer = new UpdateWriter();
  const hop = ip(nextHop);
  writer.begin(4096, true);
  writer.beginReach(IPV4, attributes, 0, attributes.length, hop, 0, hop.length, pathIds.length > 0);
  if (pathIds.length === 0) writer.addIp4(0x0a09_0000, 16);
  for (const pathId of pathIds) writer.addIp4(0x0a09_0000, 16, pathId);
  writer.finish();
  return new ByteWriter().copy(writer.bytes, 0, writer.length).take();
}

function reasonOf(router: Router): number | undefined {
  const rib = router.ribs[IPV4]!;
  const id = rib.find(0x0a09_0000, 0, 0, 0, 16);
  return id < 0 ? undefined : rib.explain(id)[0]?.reason;
}

test('an OPEN that is refused ends no other connection of the peer', () => {
  const { call, router, up } = rig();
  const { peer } = up();
  const other = call('192.0.2.2', '192.0.2.1')!;
  router.received(other.connection, open(64999, 0));
  expect(peer.established).toBeDefined();
});

test('a call that was given up does not keep the peer out', () => {
  const { call, router, up, work } = rig();
  const { peer } = up();
  expect(call('192.0.2.2', '192.0.2.1')).toBeDefined();
  const again = call('192.0.2.2', '192.0.2.1');
  expect(again).toBeDefined();
  // It has restarted: its new connection takes the place of the old one.
  router.received(again!.connection, open());
  router.received(again!.connection, keepaliveMessage);
  work();
  expect(peer.established?.connection).toBe(again!.connection);
});

test('our own addresses are no next hops, link-local ones on their link', () => {
  for (const [remote, local] of [
    ['192.0.2.2', '192.0.2.1'],
    ['fe80::2', 'fe80::1'],
  ]) {
    const { router, up, work } = rig();
    const { connection } = up(remote, local);
    router.received(connection, announce(local!));
    work();
    expect(reasonOf(router)).toBe(NEXT_HOP_UNREACHABLE);
    router.received(connection, announce(remote!));
    work();
    expect(reasonOf(router)).toBe(BEST);
  }
});

test('an external peer one hop away names next hops of its own link only', () => {
  const { events, router, up, work } = rig();
  const { connection } = up();
  router.linkChanged({ ifindex: 7, name: 'mgmt', up: true });
  const management = { source: 'connected', metric: 0, ifindex: 7, protocol: 2 } as const;
  router.kernelRouteAdded({ ...management, bytes: ip('198.51.100.0'), length: 24 });
  router.received(connection, announce('192.0.2.77'));
  work();
  expect(reasonOf(router)).toBe(BEST);
  router.received(connection, announce('198.51.100.77'));
  work();
  expect(reasonOf(router)).toBeUndefined();
  expect(events.filter(({ kind }) => kind === 'malformed')).toHaveLength(1);
});

test('a peer that takes nothing any more is given up, however alive it sounds (RFC 9687)', () => {
  const { fill, router, run, up } = rig();
  const { connection, peer } = up();
  const sound = (seconds: number): void => {
    for (let i = 0; i < seconds / 5; i++) {
      run(5000);
      router.received(connection, keepaliveMessage);
    }
  };
  fill();
  sound(7 * 60);
  expect(peer.established).toBeDefined();
  sound(90);
  expect(peer.established).toBeUndefined();
});

test('a peer whose sessions keep failing has to wait', () => {
  const { call, router, run } = rig();
  let taken = 0;
  for (let i = 0; i < 50; i++) {
    const session = call('192.0.2.2', '192.0.2.1');
    if (session === undefined) continue;
    taken++;
    router.received(session.connection, open());
    router.received(session.connection, keepaliveMessage);
    router.connectionLost(session.connection);
    run(5);
  }
  expect(taken).toBeLessThan(10);
});

test('path identifiers make no more than a bounded number of paths of one route', () => {
  const addPath = { receive: true, send: 'all' as const, sendMax: 0 };
  const { events, router, up, work } = rig({ addPath });
  const both: Capability = { kind: 'addPath', entries: [{ afi: 1, safi: 1, sendReceive: 3 }] };
  const { connection, peer } = up('192.0.2.2', '192.0.2.1', [both]);
  const { paths } = router.ribs[IPV4]!;
  const tell = (from: number, count: number): void => {
    for (let at = from; at < from + count; at += 100) {
      const pathIds = Array.from({ length: 100 }, (_, i) => at + i);
      router.received(connection, announce('192.0.2.2', pathIds));
    }
  };
  tell(1, 2000);
  expect(paths.size).toBe(PATHS_MAX);
  expect(events.filter(({ kind }) => kind === 'maxPrefix')).toHaveLength(1);
  // Those that were taken may change, and what is left of sessions before does not pile up either.
  router.received(connection, announce('192.0.2.2', [1], 7));
  work();
  expect(paths.size).toBe(PATHS_MAX);
  for (let i = 1; i < 50; i++) {
    router.ribs[IPV4]!.markStale(peer.index);
    tell(10_000 * i, 100);
  }
  expect(paths.size).toBeLessThanOrEqual(2 * PATHS_MAX);
});
