// What is kept of a peer that went: graceful restart as the helper (RFC 4724, 8538), long-lived (RFC 9494), with BFD
// (RFC 5882), and the two directions of route refresh (RFC 2918, 7313).

import { describe, expect, test } from 'vitest';
import { IPV4 } from '../wire/bgp/family.ts';
import { encodeNotification } from '../wire/bgp/notification.ts';
import { encodeRouteRefresh, REFRESH_BEGIN, REFRESH_END } from '../wire/bgp/refresh.ts';
import type { PeerSettings } from './config.ts';
import { announce, endOfRib4, openOf, peerAt, restartable, rig } from './session-rig.test-data.ts';

const PEER = '192.0.2.2';
const restart = { restartTimeMs: 20_000, stalePathTimeMs: 30_000, notification: true };

/** A router whose peer has told 10.1 and 10.2. */
function told(capabilities = restartable(), settings: Partial<PeerSettings> = {}, own = restart) {
  const r = rig([peerAt(PEER, settings)], { gracefulRestart: own });
  const connection = r.up(PEER, openOf(capabilities));
  r.say(connection, announce(1), announce(2), endOfRib4);
  expect(r.routes()).toEqual(['10.1', '10.2']);
  return { ...r, connection };
}

describe('long-lived graceful restart', () => {
  const longLived = { ...restart, longLivedStaleTimeMs: 600_000 };

  test('the restart time, then the stale time of the peer, then nothing', () => {
    const r = told(restartable({ timeS: 60, staleTimeS: 300 }), {}, longLived);
    r.router.connectionLost(r.connection);
    r.run(59_000);
    expect(r.peer(PEER).restart).toMatchObject({ stale: 1, longLived: 0 });
    r.run(2000);
    expect(r.peer(PEER).restart).toMatchObject({ stale: 1, longLived: 1 });
    expect(r.routes()).toEqual(['10.1', '10.2']);
    r.run(298_000);
    expect(r.routes()).toEqual(['10.1', '10.2']);
    r.run(2000);
    expect(r.peer(PEER).restart).toMatchObject({ stale: 0, longLived: 0 });
    expect(r.routes()).toEqual([]);
  });

  test('our own time is the upper bound', () => {
    const r = told(restartable({ timeS: 60, staleTimeS: 3000 }), {}, longLived);
    r.router.connectionLost(r.connection);
    r.run(659_000);
    expect(r.routes()).toEqual(['10.1', '10.2']);
    r.run(2000);
    expect(r.routes()).toEqual([]);
  });

  test('a restart time of zero begins it at once', () => {
    const r = told(restartable({ timeS: 0, staleTimeS: 300 }), {}, longLived);
    r.router.connectionLost(r.connection);
    r.run(1);
    expect(r.peer(PEER).restart).toMatchObject({ stale: 1, longLived: 1 });
    expect(r.routes()).toEqual(['10.1', '10.2']);
  });

  test('without the capability of both sides routes go with the restart time', () => {
    for (const [capabilities, own] of [
      [restartable({ timeS: 60 }), longLived],
      [restartable({ timeS: 60, staleTimeS: 300 }), restart],
    ] as const) {
      const r = told(capabilities, {}, own);
      r.router.connectionLost(r.connection);
      r.run(61_000);
      expect(r.routes()).toEqual([]);
    }
  });

  test('the peer is back: what it tells is fresh, End-of-RIB ends the rest; the time runs on until then', () => {
    const r = told(restartable({ timeS: 0, staleTimeS: 300 }), {}, longLived);
    r.router.connectionLost(r.connection);
    r.run(100_000);
    const back = r.up(PEER, openOf(restartable({ timeS: 0, staleTimeS: 300 })));
    r.say(back, announce(1));
    expect(r.routes()).toEqual(['10.1', '10.2']);
    r.say(back, endOfRib4);
    expect(r.routes()).toEqual(['10.1']);
    expect(r.peer(PEER).restart).toMatchObject({ stale: 0, longLived: 0 });
  });

  test('back without the F bit of the long-lived capability: gone at once', () => {
    const r = told(restartable({ timeS: 0, staleTimeS: 300 }), {}, longLived);
    r.router.connectionLost(r.connection);
    r.run(1000);
    r.up(PEER, openOf(restartable({ timeS: 0, staleTimeS: 300, forwarding: false })));
    expect(r.routes()).toEqual([]);
  });

  test('it ends when the operator wants no more of it', () => {
    const r = told(restartable({ timeS: 0, staleTimeS: 300 }), {}, longLived);
    r.router.connectionLost(r.connection);
    r.run(1000);
    r.router.configure({ ...r.router.config, gracefulRestart: restart });
    r.run(1);
    expect(r.routes()).toEqual([]);
  });
});

describe('what may be kept', () => {
  const hardReset = encodeNotification(6, 9, Uint8Array.of(6, 4));
  test.each([
    ['a lost connection', false, undefined, true],
    ['a lost connection, N bit', true, undefined, true],
    ['a NOTIFICATION', false, encodeNotification(6, 4), false],
    ['a NOTIFICATION, N bit', true, encodeNotification(6, 4), true],
    ['an error of ours that the peer tells, N bit', true, encodeNotification(3, 1), true],
    ['a Hard Reset, N bit', true, hardReset, false],
  ] as [string, boolean, Uint8Array | undefined, boolean][])('%s: %s', (_name, notification, said, kept) => {
    const r = told(restartable({ notification }));
    if (said === undefined) r.router.connectionLost(r.connection);
    else r.say(r.connection, said);
    r.run(1);
    expect(r.routes()).toEqual(kept ? ['10.1', '10.2'] : []);
  });

  test.each(['full', 'helper', 'off'] as const)('settings of the peer: %s', (gracefulRestart) => {
    const r = told(restartable(), { gracefulRestart });
    const offered = r.openSent(r.connection).capabilities.find(({ kind }) => kind === 'gracefulRestart');
    const families = offered?.kind === 'gracefulRestart' ? offered.families.length : -1;
    expect(families).toBe({ full: 1, helper: 0, off: -1 }[gracefulRestart]);
    r.router.connectionLost(r.connection);
    r.run(1);
    expect(r.routes()).toEqual(gracefulRestart === 'off' ? [] : ['10.1', '10.2']);
  });

  test('a peer that restarts twice: what it has not told in between is gone', () => {
    const r = told();
    r.router.connectionLost(r.connection);
    r.run(1000);
    const back = r.up(PEER);
    r.say(back, announce(1));
    r.router.connectionLost(back);
    r.run(1000);
    expect(r.routes()).toEqual(['10.1']);
    r.run(120_000);
    expect(r.routes()).toEqual([]);
  });

  test('an operator who shuts the peer down while it is away wants its routes gone', () => {
    const r = told();
    r.router.connectionLost(r.connection);
    r.run(100);
    r.router.act(r.peer(PEER), 'shutdown');
    r.run(1);
    expect(r.routes()).toEqual([]);
    const again = told();
    again.router.connectionLost(again.connection);
    again.run(100);
    again.router.configure({ ...again.router.config, peers: [peerAt(PEER, { shutdown: true })] });
    again.run(1);
    expect(again.routes()).toEqual([]);
  });
});

describe('BFD', () => {
  const bfd = { minTxMs: 50, minRxMs: 50, multiplier: 3, passive: false, minTtl: 254 };

  test('a path is watched while there is a session, single hop on its link', () => {
    const r = told(restartable(), { bfd, gracefulRestart: 'off' });
    const { index } = r.peer(PEER);
    expect(r.bfd).toEqual([
      { peer: index, wanted: expect.objectContaining({ ifindex: 2, multihop: false, settings: bfd }) },
    ]);
    r.router.connectionLost(r.connection);
    expect(r.bfd[1]).toEqual({ peer: index, wanted: undefined });
  });

  test('Down means nothing before Up, and ends the session behind it with 6/10 (RFC 9384)', () => {
    const r = told(restartable(), { bfd, gracefulRestart: 'off' });
    const { index } = r.peer(PEER);
    r.sent(r.connection);
    r.router.bfdChanged(index, 'down', false);
    expect(r.peer(PEER).established).toBeDefined();
    r.router.bfdChanged(index, 'up', false);
    r.router.bfdChanged(index, 'down', false);
    r.run(1);
    expect(r.sent(r.connection)).toContain('n6/10');
    expect(r.routes()).toEqual([]);
  });

  test('the other side turns it off: nothing follows', () => {
    const r = told(restartable(), { bfd });
    for (const state of ['up', 'adminDown', 'down'] as const)
      r.router.bfdChanged(r.peer(PEER).index, state, false);
    expect(r.peer(PEER).established).toBeDefined();
  });

  test('with graceful restart: a peer whose BFD dies with it restarts, one whose BFD does not is gone', () => {
    for (const independent of [false, true]) {
      const r = told(restartable({ notification: true }), { bfd });
      r.sent(r.connection);
      r.router.bfdChanged(r.peer(PEER).index, 'up', independent);
      r.router.bfdChanged(r.peer(PEER).index, 'down', independent);
      r.run(1);
      expect(r.sent(r.connection)).toEqual([independent ? 'n6/9' : 'n6/10']);
      expect(r.routes()).toEqual(independent ? [] : ['10.1', '10.2']);
    }
  });

  test('during a restart an independent BFD tells that the path itself is dead (RFC 5882 4.3)', () => {
    for (const independent of [false, true]) {
      const r = told(restartable(), { bfd });
      r.router.bfdChanged(r.peer(PEER).index, 'up', independent);
      r.router.connectionLost(r.connection);
      r.run(1);
      expect(r.bfd).toHaveLength(1);
      r.router.bfdChanged(r.peer(PEER).index, 'down', independent);
      r.run(1);
      expect(r.routes()).toEqual(independent ? [] : ['10.1', '10.2']);
    }
  });
});

describe('route refresh', () => {
  const begin = encodeRouteRefresh(IPV4, REFRESH_BEGIN);
  const end = encodeRouteRefresh(IPV4, REFRESH_END);
  const request = encodeRouteRefresh(IPV4);

  test('what the peer does not tell again between its beginning and its end is gone', () => {
    const r = told();
    r.say(r.connection, begin, announce(1), announce(3));
    expect(r.routes()).toEqual(['10.1', '10.2', '10.3']);
    r.say(r.connection, end);
    expect(r.routes()).toEqual(['10.1', '10.3']);
  });

  test('an end without a beginning means nothing; a dump without an end has one by time', () => {
    const r = told();
    r.say(r.connection, end);
    expect(r.routes()).toEqual(['10.1', '10.2']);
    r.say(r.connection, begin, announce(2));
    r.run(29_000);
    expect(r.routes()).toEqual(['10.1', '10.2']);
    r.run(2000);
    expect(r.routes()).toEqual(['10.2']);
  });

  test('a second beginning goes on with the dump', () => {
    const r = told();
    r.say(r.connection, begin, announce(1), begin);
    expect(r.routes()).toEqual(['10.1', '10.2']);
    r.say(r.connection, end);
    expect(r.routes()).toEqual(['10.1']);
  });

  test('before End-of-RIB there is no dump to begin', () => {
    const r = told();
    r.router.connectionLost(r.connection);
    r.run(100);
    const back = r.up(PEER);
    r.say(back, begin, end);
    expect(r.routes()).toEqual(['10.1', '10.2']);
    r.say(back, endOfRib4);
    expect(r.routes()).toEqual([]);
  });

  test('our answer stands between a beginning and an end; a flood is answered once a second', () => {
    const r = rig([peerAt(PEER)], { networks: [{ bytes: Uint8Array.of(10, 9, 0, 0), length: 16 }] });
    const connection = r.up(PEER);
    r.run(10);
    expect(r.sent(connection)).toEqual(['open', 'keepalive', 'update', 'endOfRib']);
    r.say(connection, ...new Array(500).fill(request));
    expect(r.sent(connection)).toEqual(['begin', 'update', 'end']);
    r.run(990);
    expect(r.sent(connection)).toEqual([]);
    r.run(20);
    expect(r.sent(connection)).toEqual(['begin', 'update', 'end']);
    r.run(2000);
    expect(r.sent(connection)).toEqual([]);
  });

  test('a peer that knows no beginnings hears none, and its own mean nothing', () => {
    const plain = restartable().filter(({ kind }) => kind !== 'enhancedRouteRefresh');
    const r = told(plain);
    r.sent(r.connection);
    r.say(r.connection, request, begin, end);
    expect(r.sent(r.connection)).toEqual([]);
    expect(r.routes()).toEqual(['10.1', '10.2']);
  });
});
