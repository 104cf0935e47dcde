// The link of a numbered peer goes and comes back, as a veth pair that is deleted and made again: how soon the peer is
// called, and what stays of its routes meanwhile. The peers of real life are in test/interop/host-speakers.test.ts.

import { describe, expect, test } from 'vitest';
import type { Capability } from '../wire/bgp/capability.ts';
import { KEEPALIVE, keepaliveMessage } from '../wire/bgp/header.ts';
import { encodeNotification } from '../wire/bgp/notification.ts';
import {
  announce,
  endOfRib4,
  ip,
  openOf,
  peerAt,
  type Rig,
  restartable,
  rig,
} from './session-rig.test-data.ts';

const PEER = '192.0.2.2';
const AWAITED = { passive: false, awaitMs: 30_000 };

/** As FRR and BIRD by themselves: they help others, and ask nobody to keep their routes. */
const helper: Capability[] = [
  { kind: 'multiprotocol', afi: 1, safi: 1 },
  { kind: 'asn4', asn: 65002 },
  { kind: 'gracefulRestart', restartState: false, notification: false, timeS: 120, families: [] },
];

const subnet = {
  bytes: ip('192.0.2.0'),
  length: 24,
  source: 'connected',
  metric: 0,
  protocol: 2,
} as const;

function linkGoes(r: Rig, ifindex = 2): void {
  r.router.linkChanged({ ifindex, name: 'eth0', up: false });
  r.router.localAddress(ip('192.0.2.1'), false, ifindex, 24);
  r.router.kernelRouteRemoved({ ...subnet, ifindex });
  r.router.linkRemoved(ifindex);
  r.run(1);
}

function addressComes(r: Rig, ifindex: number): void {
  r.router.localAddress(ip('192.0.2.1'), true, ifindex, 24);
  r.router.kernelRouteAdded({ ...subnet, ifindex });
}

function linkComes(r: Rig, ifindex = 7): void {
  r.router.linkChanged({ ifindex, name: 'eth0', up: false });
  addressComes(r, ifindex);
  r.router.linkChanged({ ifindex, name: 'eth0', up: true });
  r.run(1);
}

/** Established on the last connection that the router has asked for. */
function answer(r: Rig, capabilities = helper): number {
  const { connection } = r.connects.at(-1)!;
  r.router.connected(connection, ip('192.0.2.1'));
  r.say(connection, openOf(capabilities), keepaliveMessage);
  expect(r.peer(PEER).established?.connection).toBe(connection);
  return connection;
}

function upWith(settings: Parameters<typeof peerAt>[1], capabilities = helper): Rig {
  const r = rig([peerAt(PEER, settings)]);
  r.say(answer(r, capabilities), announce(1), endOfRib4);
  expect(r.routes()).toEqual(['10.1']);
  return r;
}

describe('the peer is called at once', () => {
  test.each([
    ['when its link is up', linkComes],
    [
      'when the link has its address, later',
      (r: Rig) => {
        r.router.linkChanged({ ifindex: 7, name: 'eth0', up: true });
        r.run(20);
        expect(r.connects.length).toBe(1);
        addressComes(r, 7);
      },
    ],
  ])('%s', (_name, comes) => {
    const r = upWith({ passive: false });
    linkGoes(r);
    r.run(10);
    expect(r.peer(PEER).main.session.state).toBe('idle');
    comes(r);
    expect(r.connects.length).toBe(2);
    answer(r);
  });

  test('as often as the link comes and goes: that is no failure of the peer', () => {
    const r = upWith({ passive: false });
    for (let i = 0; i < 12; i++) {
      linkGoes(r, i === 0 ? 2 : 6 + i);
      linkComes(r, 7 + i);
      expect(r.connects.length).toBe(2 + i);
      answer(r);
    }
  });

  test('not when another link comes, or when it is shut down or listens', () => {
    for (const settings of [{ passive: true }, { passive: false, shutdown: true }]) {
      const r = rig([peerAt(PEER, settings)]);
      linkGoes(r);
      linkComes(r);
      expect(r.connects).toEqual([]);
    }
    const r = upWith({ passive: false });
    linkGoes(r);
    r.router.linkChanged({ ifindex: 8, name: 'eth1', up: true });
    r.router.kernelRouteAdded({ ...subnet, bytes: ip('198.51.100.0'), ifindex: 8 });
    r.run(10);
    expect(r.connects.length).toBe(1);
  });

  test('a session half made over the old link is given up', () => {
    const r = rig([peerAt(PEER, { passive: false })]);
    const { connection } = r.connects[0]!;
    r.router.connected(connection, ip('192.0.2.1'));
    linkGoes(r);
    expect(r.closed).toContain(connection);
    linkComes(r);
    answer(r);
  });

  test('a session within the AS outlives its link: its packets may go another way', () => {
    const r = rig([peerAt(PEER, { passive: false, remoteAs: { kind: 'internal' } })]);
    const { connection } = r.connects[0]!;
    r.router.connected(connection, ip('192.0.2.1'));
    r.say(connection, openOf(helper, 65001), keepaliveMessage);
    linkGoes(r);
    linkComes(r);
    expect(r.peer(PEER).established?.connection).toBe(connection);
  });
});

test('calls that fail are repeated in haste, less and less, and nobody is told of silence', () => {
  const r = upWith({ passive: false, connectRetryMs: 5000 });
  linkGoes(r);
  linkComes(r);
  const at: number[] = [];
  for (let ms = 0; ms < 20_000; ms += 10) {
    const before = r.connects.length;
    r.run(10);
    if (r.connects.length > before) at.push(ms);
    // The peer is not ready: it refuses, or takes the connection and drops it.
    if (r.connects.length > before && at.length < 4) {
      const { connection } = r.connects.at(-1)!;
      if (at.length % 2 === 0) r.router.connected(connection, ip('192.0.2.1'));
      r.router.connectionLost(connection, 'ECONNREFUSED');
    }
  }
  const pauses = at.slice(1).map((ms, i) => ms - at[i]!);
  expect(at[0]).toBeLessThanOrEqual(110);
  expect(pauses.slice(0, 2).every((ms) => ms <= 120)).toBe(true);
  expect(pauses.every((ms, i) => i === 0 || ms >= pauses[i - 1]! - 10)).toBe(true);
  expect(pauses.at(-1)).toBe(5000);
  expect(at.length).toBeLessThan(20);
  const early = r.events.filter((event) => event.kind === 'sessionRefused' && /no answer/.test(event.text));
  expect(early).toEqual([]);
});

test('so are those that end with an error, as of FRR when both call at once', () => {
  const r = upWith(AWAITED);
  linkGoes(r);
  linkComes(r);
  for (let i = 2; i < 6; i++) {
    const { connection } = r.connects.at(-1)!;
    r.router.connected(connection, ip('192.0.2.1'));
    r.say(connection, encodeNotification(5, 0));
    r.run(210);
    expect(r.connects.length).toBeGreaterThan(i);
  }
});

test('who refuses our OPEN is not called in haste', () => {
  const r = upWith({ passive: false });
  linkGoes(r);
  linkComes(r);
  const { connection } = r.connects.at(-1)!;
  r.router.connected(connection, ip('192.0.2.1'));
  r.say(connection, encodeNotification(2, 2));
  r.run(900);
  expect(r.connects.length).toBe(2);
  r.run(200);
  expect(r.connects.length).toBe(3);
});

test('a speaker of our own host is called again soon after any end', () => {
  const r = upWith(AWAITED);
  r.say(r.peer(PEER).established!.connection, encodeNotification(6, 0));
  expect(r.connects.length).toBe(1);
  r.run(150);
  expect(r.connects.length).toBe(2);
});

describe('routes over a flap', () => {
  test('of a speaker of our own host lead nowhere while its link is down, and are back with it', () => {
    const r = upWith(AWAITED);
    linkGoes(r);
    expect([r.routes(), r.peer(PEER).restart.stale]).toEqual([[], 1]);
    linkComes(r);
    expect(r.routes()).toEqual(['10.1']);
    // It is back, and tells its routes after a while, one more and another less.
    const connection = answer(r);
    expect(r.routes()).toEqual(['10.1']);
    r.run(1200);
    expect(r.routes()).toEqual(['10.1']);
    r.say(connection, announce(2));
    expect(r.routes()).toEqual(['10.1', '10.2']);
    r.say(connection, endOfRib4);
    expect([r.routes(), r.peer(PEER).restart.stale]).toEqual([['10.2'], 0]);
  });

  test('and of one that restarts gracefully, though it does not say that it kept on forwarding', () => {
    const r = upWith(AWAITED, restartable());
    linkGoes(r);
    linkComes(r);
    answer(r, restartable({ forwarding: false }));
    expect(r.routes()).toEqual(['10.1']);
  });

  test('and of one that is there on another connection before we know that the old one is dead', () => {
    const r = upWith(AWAITED);
    const second = r.call(PEER)!;
    r.say(second, openOf(helper), keepaliveMessage);
    expect(r.peer(PEER).established?.connection).toBe(second);
    expect(r.routes()).toEqual(['10.1']);
    r.say(second, endOfRib4);
    expect(r.routes()).toEqual([]);
  });

  test('and of one that flaps again before it has told anything, but not for ever', () => {
    const r = upWith(AWAITED);
    for (let i = 0; i < 4; i++) {
      linkGoes(r, i === 0 ? 2 : 6 + i);
      linkComes(r, 7 + i);
      answer(r);
      const connection = r.call(PEER)!;
      r.say(connection, openOf(helper), keepaliveMessage);
      r.run(4000);
      expect(r.routes()).toEqual(['10.1']);
    }
    r.run(3900);
    expect(r.routes()).toEqual(['10.1']);
    r.run(200);
    expect([r.routes(), r.peer(PEER).restart.stale]).toEqual([[], 0]);
    // What it has told meanwhile and does not tell again goes as after any end.
    const told = upWith(AWAITED);
    linkGoes(told);
    linkComes(told);
    told.say(answer(told), announce(2));
    linkGoes(told, 7);
    linkComes(told, 8);
    expect(told.routes()).toEqual(['10.2']);
    told.say(answer(told), endOfRib4);
    expect(told.routes()).toEqual([]);
  });

  test('go after some seconds when it is not back, or does not tell them again', () => {
    for (const isBack of [false, true]) {
      const r = upWith(AWAITED);
      linkGoes(r);
      linkComes(r);
      if (isBack) answer(r);
      r.run(9900);
      expect(r.routes()).toEqual(['10.1']);
      r.run(200);
      expect([r.routes(), r.peer(PEER).restart.stale]).toEqual([[], 0]);
    }
  });

  test('of any other peer go with the link', () => {
    const r = upWith({ passive: false });
    linkGoes(r);
    linkComes(r);
    expect([r.routes(), r.peer(PEER).restart.stale]).toEqual([[], 0]);
  });

  test('go when the speaker says why it ends, when its process dies, and without graceful restart here', () => {
    const told = upWith(AWAITED);
    told.say(told.peer(PEER).established!.connection, encodeNotification(6, 2));
    const died = upWith(AWAITED);
    died.router.connectionLost(died.peer(PEER).established!.connection);
    died.run(1);
    const off = upWith({ ...AWAITED, gracefulRestart: 'off' });
    linkGoes(off);
    linkComes(off);
    for (const r of [told, died, off]) expect(r.routes()).toEqual([]);
  });
});

// BIRD 2.0 may have its first UPDATE ready and sleep on it until something comes in, or its next scan of interfaces.
test.each([
  ['an awaited speaker', AWAITED, 1],
  ['another peer', { passive: false }, 0],
])('%s is sent a KEEPALIVE soon after the session is up', (_, settings, expected) => {
  const r = rig([peerAt(PEER, settings)]);
  linkComes(r);
  answer(r);
  r.run(10);
  const keepalives = () => r.peer(PEER).counters.sent[KEEPALIVE]!;
  const before = keepalives();
  r.run(100);
  expect(keepalives() - before).toBe(expected);
});
