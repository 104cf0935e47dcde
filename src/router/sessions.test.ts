// Sessions as their owner drives them: what a chunk of bytes may hold, who may call, how often, and what a change of
// settings does to a session that is up.

import { describe, expect, test } from 'vitest';
import { formatIp } from '../net/ip.ts';
import type { Capability } from '../wire/bgp/capability.ts';
import { frameMessage, keepaliveMessage, NOTIFICATION, UPDATE } from '../wire/bgp/header.ts';
import { encodeNotification } from '../wire/bgp/notification.ts';
import type { AddressPeer, PeerConfig, RangePeer } from './config.ts';
import { resetReasons } from './reset-reasons.ts';
import { announce, ip, openOf, peerAt, type Rig, restartable, rig } from './session-rig.test-data.ts';

const PEER = '192.0.2.2';

function joined(...messages: Uint8Array[]): Uint8Array {
  return new Uint8Array(messages.flatMap((message) => [...message]));
}

/** An UPDATE of so many bytes in all that says nothing but a long attribute nobody knows. */
function longUpdate(total: number): Uint8Array {
  const value = total - 19 - 4 - 4;
  const attribute = [0xd0, 250, value >> 8, value & 255, ...new Array(value).fill(0)];
  const length = attribute.length;
  return frameMessage(UPDATE, new Uint8Array([0, 0, length >> 8, length & 255, ...attribute]));
}

describe('extended messages (RFC 8654)', () => {
  const extended: Capability[] = [...restartable(), { kind: 'extendedMessage' }];

  test('are taken as soon as both OPENs have said so, in the same chunk if need be', () => {
    const r = rig([peerAt(PEER)]);
    const connection = r.call(PEER)!;
    r.say(connection, joined(openOf(extended), keepaliveMessage, longUpdate(60_000), announce(7)));
    expect(r.peer(PEER).established).toBeDefined();
    expect(r.routes()).toEqual(['10.7']);
  });

  test.each([
    ['the peer has not said so', true, restartable()],
    ['we have not', false, extended],
  ] as [string, boolean, Capability[]][])('a longer one is 1/2 where %s', (_name, ours, theirs) => {
    const r = rig([peerAt(PEER, { extendedMessages: ours })]);
    const connection = r.up(PEER, openOf(theirs));
    r.say(connection, longUpdate(4096));
    expect(r.peer(PEER).established).toBeDefined();
    r.say(connection, longUpdate(4097));
    expect(r.sent(connection).at(-1)).toBe('n1/2');
  });

  test('a NOTIFICATION may be long, an OPEN may not', () => {
    const r = rig([peerAt(PEER)]);
    const connection = r.up(PEER, openOf(extended));
    r.say(connection, frameMessage(NOTIFICATION, new Uint8Array(5000).fill(6, 0, 1)));
    expect(r.peer(PEER).lastDown).toMatchObject({ kind: 'notificationReceived', code: 6, subcode: 0 });
    const again = rig([peerAt(PEER)]);
    const open = openOf([{ kind: 'unknown', code: 200, value: new Uint8Array(250) }]);
    const second = again.call(PEER)!;
    const tooLong = open.slice();
    tooLong.set([16, 1], 16);
    again.say(second, tooLong);
    expect(again.sent(second)).toEqual(['open', 'n1/2']);
  });
});

describe('a peer that refuses our capabilities', () => {
  const kinds = (r: Rig, connection: number): string[] =>
    r.openSent(connection).capabilities.map(({ kind }) => kind);

  test('is called again without them, and comes up', () => {
    const r = rig([peerAt(PEER, { passive: false })]);
    const first = r.connects[0]!.connection;
    r.router.connected(first, ip('192.0.2.1'));
    expect(kinds(r, first).length).toBeGreaterThan(3);
    r.say(first, encodeNotification(2, 4));
    r.run(1500);
    const second = r.connects[1]!.connection;
    r.router.connected(second, ip('192.0.2.1'));
    expect(kinds(r, second)).toEqual([]);
    r.say(second, openOf([]), keepaliveMessage);
    expect(r.peer(PEER).negotiated).toMatchObject({ families: 1, asn4: false });
  });

  test('is answered without them when it calls itself', () => {
    const r = rig([peerAt(PEER)]);
    const first = r.call(PEER)!;
    r.say(first, encodeNotification(2, 7));
    const second = r.call(PEER)!;
    expect(kinds(r, second)).toEqual(['multiprotocol', 'asn4']);
  });
});

test('who does not answer our calls is told of once, and again after an answer', () => {
  const r = rig([peerAt(PEER, { passive: false, connectRetryMs: 1000 })]);
  const told = (): string[] =>
    r.events.flatMap((event) => (event.kind === 'sessionRefused' ? [event.text] : []));
  r.run(2500);
  expect(told()).toEqual([]);
  r.run(10_000);
  expect(told()).toEqual([expect.stringContaining('no answer to 3 calls in a row')]);
  // A refusal is an answer.
  r.router.connectionLost(r.connects.at(-1)!.connection, 'ECONNREFUSED');
  r.run(10_000);
  expect(told().length).toBe(2);
});

describe('who takes the place of a session (RFC 4724 5)', () => {
  test.each([
    ['the same speaker', 65002, 2, true],
    ['another identifier', 65002, 3, false],
    ['another AS that is allowed', 65003, 2, false],
  ])('%s', (_name, asn, bgpId, replaces) => {
    const r = rig([peerAt(PEER)]);
    const first = r.up(PEER);
    r.say(first, announce(1));
    const second = r.call(PEER)!;
    r.say(second, openOf(restartable(), asn, bgpId), keepaliveMessage);
    expect(r.peer(PEER).established!.connection).toBe(replaces ? second : first);
    expect(r.peer(PEER).restart.stale).toBe(replaces ? 1 : 0);
    expect(r.routes()).toEqual(['10.1']);
    if (!replaces) expect(r.sent(second)).toContain('n6/7');
  });
});

describe('timers of many sessions', () => {
  const address = (i: number): string => `10.1.${i >> 8}.${i & 255}`;

  test('each keeps its own time: keepalives go out, and who is silent goes down alone', () => {
    const count = 300;
    const r = rig(Array.from({ length: count }, (_, i) => peerAt(address(i), { multihop: 8 })));
    const connections = Array.from({ length: count }, (_, i) => r.up(address(i)));
    for (let i = 0; i < count; i++) r.sent(connections[i]!);
    r.run(31_000);
    for (const connection of connections) expect(r.sent(connection)).toEqual(['keepalive']);
    for (let i = 0; i < count; i++) if (i % 3 > 0) r.say(connections[i]!, keepaliveMessage);
    r.run(60_000);
    const up = connections.filter((_, i) => r.peer(address(i)).established !== undefined);
    expect(up).toEqual(connections.filter((_, i) => i % 3 > 0));
    r.run(60_000);
    expect(connections.filter((_, i) => r.peer(address(i)).established !== undefined)).toEqual([]);
  });

  test('what has come and nobody has read yet is a sign of life', () => {
    const r = rig([peerAt(PEER)]);
    const connection = r.up(PEER);
    r.run(89_000);
    r.unread.add(connection);
    for (let i = 0; i < 50; i++) r.run(100);
    expect(r.peer(PEER).established).toBeDefined();
    r.unread.delete(connection);
    r.run(100);
    expect(r.peer(PEER).established).toBeUndefined();
  });

  test('the configuration of a session is made once', () => {
    const r = rig([peerAt(PEER)]);
    const connection = r.up(PEER);
    // The first session says of the next one that forwarding goes on over a restart.
    r.say(connection, keepaliveMessage);
    const made = r.peer(PEER).offered!.session;
    r.say(connection, keepaliveMessage, announce(1));
    expect(r.peer(PEER).offered!.session).toBe(made);
    r.router.configure({ ...r.router.config, peers: [peerAt(PEER, { holdTimeMs: 30_000 })] });
    expect(r.router.sessions.configOf(r.peer(PEER))).toMatchObject({ holdTimeMs: 30_000 });
  });
});

describe('callers', () => {
  const range = (changes: Partial<RangePeer> = {}): RangePeer => {
    const { address: _, ...settings } = peerAt(PEER);
    return { ...settings, kind: 'range', range: { bytes: ip('10.1.0.0'), length: 16 }, limit: 3, ...changes };
  };
  const refused = (r: Rig): string[] =>
    r.events.flatMap((event) => (event.kind === 'sessionRefused' ? [`${event.peer} ${event.text}`] : []));

  test('strangers leave nothing but a count, and a line now and then', () => {
    const r = rig([range()]);
    for (let i = 0; i < 1000; i++)
      expect(r.call(formatIp(Uint8Array.of(10, 2, i >> 8, i & 255)))).toBeUndefined();
    expect(r.router.directory.byName.size).toBe(0);
    expect(r.router.peers.refusals.counts.stranger).toBe(1000);
    expect(refused(r)).toEqual(['10.2.0.0 connection refused: not a configured peer']);
    r.run(61_000);
    r.call('10.2.9.9');
    expect(refused(r)[1]).toBe(
      '10.2.9.9 connection refused: not a configured peer; 999 more since the last such line',
    );
  });

  test('a range has its limit, and room again when one has gone', () => {
    const r = rig([range()]);
    const connections = [1, 2, 3].map((i) => r.up(`10.1.0.${i}`));
    expect(r.call('10.1.0.4')).toBeUndefined();
    expect(r.router.peers.refusals.counts.rangeFull).toBe(1);
    r.say(connections[0]!, encodeNotification(6, 2));
    expect(r.peer('10.1.0.1')).toBeUndefined();
    expect(r.call('10.1.0.4')).toBeDefined();
  });

  test('one that fails over and over has to wait, longer each time, though nothing stands for it meanwhile', () => {
    const r = rig([range()]);
    let failures = 0;
    const fail = (): boolean => {
      const connection = r.call('10.1.0.1');
      if (connection === undefined) return false;
      r.say(connection, encodeNotification(6, 5));
      expect(r.router.directory.byName.size).toBe(0);
      failures++;
      return true;
    };
    while (fail());
    expect(failures).toBe(6);
    r.run(900);
    expect(fail()).toBe(false);
    r.run(200);
    expect(fail()).toBe(true);
    r.run(1100);
    expect(fail()).toBe(false);
    r.run(1000);
    expect(fail()).toBe(true);
    expect(r.call('10.1.0.2')).toBeDefined();
    r.run(200_000);
    expect(fail()).toBe(true);
    expect(fail()).toBe(true);
  });

  test('a shut range takes nobody', () => {
    const r = rig([range({ shutdown: true })]);
    expect(r.call('10.1.0.1')).toBeUndefined();
    expect(r.router.peers.refusals.counts.disabled).toBe(1);
  });
});

describe('a change of settings', () => {
  const both: Capability[] = [
    ...restartable({ notification: true }),
    { kind: 'multiprotocol', afi: 2, safi: 1 },
    { kind: 'addPath', entries: [{ afi: 1, safi: 1, sendReceive: 3 }] },
    { kind: 'role', role: 3 },
  ];
  const addPath = { receive: true, send: 'none', sendMax: 1 } as const;
  // What the settings were, what they become, and the words of the reset, if there is one.
  test.each([
    ['hold time', {}, { holdTimeMs: 30_000 }, undefined],
    ['keepalive and retry', {}, { keepaliveMs: 1000, connectRetryMs: 9000, idleHoldMs: 5 }, undefined],
    ['passive', {}, { passive: false }, undefined],
    ['password', {}, { password: 'new' }, undefined],
    ['hops', {}, { ttlSecurity: true, multihop: 2 }, undefined],
    ['weight and limits', {}, { weight: 7, maxPrefix: undefined }, undefined],
    ['a family the peer has', {}, { families: 3 }, 'families changes'],
    ['a family the peer lacks', {}, { families: 1 | 16 }, undefined],
    ['the last shared family', { families: 3 }, { families: 16 }, 'no address family in common'],
    ['ADD-PATH', {}, { addPath }, 'addPath changes'],
    ['ADD-PATH in a family the peer lacks it', {}, { families: 1, byFamily: { 1: { addPath } } }, undefined],
    ['another AS, and it is not that', {}, { remoteAs: { kind: 'internal' } }, 'not what remoteAs allows'],
    ['a list of ASes with its own', {}, { remoteAs: { kind: 'list', ranges: [[65002, 65009]] } }, undefined],
    ['our AS', {}, { localAs: { asn: 65077, noPrepend: false, replaceAs: false } }, 'AS 65077'],
    [
      'how our AS is hidden',
      { localAs: { asn: 65077, noPrepend: false, replaceAs: false } },
      { localAs: { asn: 65077, noPrepend: true, replaceAs: true } },
      undefined,
    ],
    ['a role that fits', {}, { role: 'provider' }, 'role changes'],
    ['a role that does not', {}, { role: 'customer' }, 'the peer says it is customer'],
    ['graceful restart off', {}, { gracefulRestart: 'off' }, undefined],
    ['graceful restart as a helper', {}, { gracefulRestart: 'helper' }, undefined],
    ['extended messages, which the peer lacks', {}, { extendedMessages: false }, undefined],
    ['the local address', {}, { localAddress: ip('192.0.2.1') }, 'localAddress changes'],
  ] as [string, Partial<AddressPeer>, Partial<AddressPeer>, string | undefined][])(
    '%s',
    (_name, before, after, expected) => {
      const r = rig([peerAt(PEER, before)]);
      const connection = r.up(PEER, openOf(both));
      r.say(connection, announce(1));
      r.sent(connection);
      r.router.configure({ ...r.router.config, peers: [peerAt(PEER, { ...before, ...after })] });
      r.run(1);
      const told = r.sent(connection).filter((message) => message.startsWith('n'));
      expect(told).toEqual(expected === undefined ? [] : ['n6/6']);
      if (expected !== undefined) expect(r.peer(PEER).lastDown!.text).toContain(expected);
      // A session that comes back keeps its routes (RFC 8538), unless its peer is not wanted as it is.
      const refused = [
        'not what remoteAs allows',
        'the peer says it is customer',
        'no address family in common',
      ];
      const kept = !refused.includes(expected ?? '');
      expect(r.routes()).toEqual(kept ? ['10.1'] : []);
      if (expected !== undefined) {
        const reasons = resetReasons(peerAt(PEER, before), peerAt(PEER, { ...before, ...after }));
        expect(reasons).not.toEqual([]);
      }
    },
  );

  test('a password and TTLs are put on the open connection, and on the listener', () => {
    const r = rig([peerAt(PEER, { password: 'old' })]);
    const connection = r.up(PEER);
    expect([...r.keys]).toEqual([['192.0.2.2/32', 'old']]);
    const next = { password: 'new', ttlSecurity: true };
    r.router.configure({ ...r.router.config, peers: [peerAt(PEER, next)] });
    expect([...r.keys]).toEqual([['192.0.2.2/32', 'new']]);
    expect(r.tuned).toEqual([{ connection, tuning: { ttl: 255, minTtl: 255, password: 'new' } }]);
    r.router.configure({ ...r.router.config, peers: [peerAt(PEER)] });
    expect([...r.keys]).toEqual([]);
    expect(r.tuned[1]!.tuning).toMatchObject({ minTtl: 0, password: null });
  });

  test('graceful restart that is turned off keeps nothing from then on, though the session was up before', () => {
    for (const off of [
      { gracefulRestart: undefined },
      { peers: [peerAt(PEER, { gracefulRestart: 'off' })] },
    ]) {
      const r = rig([peerAt(PEER)]);
      const connection = r.up(PEER, openOf(both));
      r.say(connection, announce(1));
      const { gracefulRestart: _, ...plain } = r.router.config;
      r.router.configure('peers' in off ? { ...r.router.config, ...off } : plain);
      expect(r.routes()).toEqual(['10.1']);
      r.router.connectionLost(connection);
      r.run(1);
      expect(r.routes()).toEqual([]);
    }
  });

  test('a shut peer is told why (RFC 9003)', () => {
    const r = rig([peerAt(PEER)]);
    r.up(PEER, openOf(restartable({ notification: false })));
    const shut = peerAt(PEER, { shutdown: true, shutdownText: 'rack move' });
    r.router.configure({ ...r.router.config, peers: [shut] });
    expect(r.peer(PEER).lastDown).toMatchObject({ kind: 'adminDown', text: 'rack move' });
  });

  test('what does nothing to a session is no reason', () => {
    const live: Partial<AddressPeer> = {
      password: 'p',
      ttlSecurity: true,
      multihop: 3,
      holdTimeMs: 30_000,
      passive: false,
      weight: 3,
      description: 'x',
      gracefulRestart: 'helper',
      port: 1790,
    };
    expect(resetReasons(peerAt(PEER), peerAt(PEER, live))).toEqual([]);
    const moved: PeerConfig = peerAt('192.0.2.3');
    expect(resetReasons(peerAt(PEER), moved)).toEqual(['it becomes another peer']);
  });
});
