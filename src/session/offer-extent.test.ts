import { describe, expect, test } from 'vitest';
import type { Open } from '../wire/bgp/open.ts';
import { newSession, type SessionConfig, type SessionEvent } from './state.ts';
import { step } from './step.ts';

const START = 10_000;
const acked: SessionEvent = { kind: 'tcpRequestAcked' };
const config: SessionConfig = {
  localAsn: 65001,
  bgpId: 0x0a000001,
  remoteAs: { kind: 'external' },
  holdTimeMs: 9000,
  connectRetryMs: 1000,
  idleHoldMs: 500,
  passive: false,
  capabilities: [
    { kind: 'multiprotocol', afi: 1, safi: 1 },
    { kind: 'asn4', asn: 65001 },
    { kind: 'gracefulRestart', restartState: false, notification: true, timeS: 120, families: [] },
  ],
};
const open: Open = { asn: 65002, holdTimeS: 90, bgpId: 0x0a000002, capabilities: config.capabilities };

describe('a peer that refuses what we offer (RFC 5492 3)', () => {
  const offers = (subcodes: number[], use: SessionConfig) => {
    let session = newSession(START);
    let now = START;
    const seen: string[] = [];
    session = step(session, { kind: 'manualStart' }, use, now).session;
    for (const subcode of subcodes) {
      session = step(session, acked, use, now).session;
      seen.push(session.sentOpen!.capabilities.map(({ kind }) => kind).join(' '));
      session = step(session, { kind: 'notificationReceived', code: 2, subcode }, use, now).session;
      now = session.timers.idleHold;
      session = step(session, { kind: 'timerExpired', timer: 'idleHold' }, use, now).session;
    }
    return { seen, session };
  };
  const all = 'multiprotocol asn4 gracefulRestart';
  const needed = 'multiprotocol asn4';

  test('2/4: no optional parameter at all, then everything again', () => {
    const { seen, session } = offers([4, 4, 4], config);
    expect(seen).toEqual([all, '', all]);
    expect([session.connectRetryCounter, session.oscillations]).toEqual([1, 1]);
  });

  test('2/7: what cannot be done without, then nothing, then everything again', () => {
    expect(offers([7, 7, 7, 7], config).seen).toEqual([all, needed, '', all]);
  });

  test('where nothing will not do, there is no such attempt', () => {
    const ipv6 = { ...config.capabilities[0]!, afi: 2 } as (typeof config.capabilities)[0];
    const only6 = { ...config, capabilities: [ipv6, ...config.capabilities.slice(1)] };
    const asn4 = { ...config, localAsn: 4_200_000_000 };
    for (const use of [only6, asn4]) {
      expect(offers([4, 4, 4], use).seen).toEqual([all, needed, all]);
      expect(offers([7, 7, 7], use).seen).toEqual([all, needed, all]);
    }
  });

  test('any other refusal changes nothing', () => {
    expect(offers([2, 5, 6], config).seen).toEqual([all, all, all]);
  });

  test('a session without capabilities comes up, and its successor offers everything again', () => {
    let { session } = offers([4], config);
    for (const event of [
      acked,
      { kind: 'openReceived', open: { ...open, capabilities: [] } },
      { kind: 'keepaliveReceived' },
    ] as const)
      session = step(session, event, config, START + 1000).session;
    expect(session.state).toBe('established');
    expect(session.negotiated).toMatchObject({ families: 1, asn4: false });
    session = step(session, { kind: 'tcpConnectionFails' }, config, START + 2000).session;
    expect(session.extent).toBe('all');
  });
});
