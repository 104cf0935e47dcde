import { describe, expect, test } from 'vitest';
import type { Capability } from '../wire/bgp/capability.ts';
import { encodeShutdownText } from '../wire/bgp/notification.ts';
import type { Open } from '../wire/bgp/open.ts';
import { describeDown, receivedReason } from './reason.ts';
import {
  newSession,
  type Session,
  type SessionAction,
  type SessionConfig,
  type SessionEvent,
} from './state.ts';
import { step } from './step.ts';

const V4 = 1;

function capabilitiesOf(restart: boolean, notification: boolean): Capability[] {
  const capabilities: Capability[] = [{ kind: 'multiprotocol', afi: 1, safi: 1 }];
  const families = [{ afi: 1, safi: 1, forwarding: true }];
  const gracefulRestart = {
    kind: 'gracefulRestart',
    restartState: false,
    notification,
    timeS: 60,
    families,
  } as const;
  if (restart) capabilities.push(gracefulRestart);
  return capabilities;
}

function established(restart: boolean, notification: boolean): { session: Session; config: SessionConfig } {
  const capabilities = capabilitiesOf(restart, notification);
  const config: SessionConfig = {
    localAsn: 65001,
    bgpId: 1,
    remoteAs: { kind: 'any' },
    holdTimeMs: 9000,
    connectRetryMs: 1000,
    idleHoldMs: 1000,
    passive: false,
    capabilities,
  };
  const open: Open = { asn: 65002, holdTimeS: 9, bgpId: 2, capabilities };
  let session = newSession(1);
  const events: SessionEvent[] = [
    { kind: 'manualStart' },
    { kind: 'tcpRequestAcked' },
    { kind: 'openReceived', open },
    { kind: 'keepaliveReceived' },
  ];
  for (const event of events) session = step(session, event, config, 1).session;
  return { session, config };
}

type Down = SessionAction & { kind: 'down' };

function end(
  event: SessionEvent,
  restart: boolean,
  notification: boolean,
): { down: Down; actions: SessionAction[] } {
  const { session, config } = established(restart, notification);
  const { actions } = step(session, event, config, 20_000);
  return { down: actions.find((action) => action.kind === 'down')!, actions };
}

describe('whose routes are kept (RFC 4724, RFC 8538)', () => {
  const fault = { code: 3, subcode: 1, disposition: 'reset', reason: 'bad' } as const;
  // Without graceful restart nothing is ever kept; the columns are: restart only, restart with N bit.
  test.each([
    ['tcp lost', { kind: 'tcpConnectionFails' }, V4, V4],
    ['peer restarted', { kind: 'peerRestarted' }, V4, V4],
    ['interface down', { kind: 'automaticStop', cause: 'interfaceDown' }, V4, V4],
    ['hold timer', { kind: 'timerExpired', timer: 'hold' }, 0, V4],
    ['send hold timer', { kind: 'sendHoldExpired' }, 0, V4],
    ['Cease 6/4 received', { kind: 'notificationReceived', code: 6, subcode: 4 }, 0, V4],
    [
      'Hard Reset received',
      { kind: 'notificationReceived', code: 6, subcode: 9, data: Uint8Array.of(6, 2) },
      0,
      0,
    ],
    ['UPDATE error sent', { kind: 'updateError', fault }, 0, V4],
    ['configuration changed', { kind: 'automaticStop', cause: 'configurationChanged' }, 0, V4],
    ['admin reset', { kind: 'automaticStop', cause: 'adminReset' }, 0, 0],
    ['admin down', { kind: 'manualStop', cause: 'adminDown' }, 0, 0],
    ['BFD down', { kind: 'automaticStop', cause: 'bfdDown' }, 0, 0],
    ['BFD down with the peer', { kind: 'automaticStop', cause: 'bfdDown', restarting: true }, V4, V4],
    ['too many prefixes', { kind: 'automaticStop', cause: 'maxPrefixes' }, 0, 0],
  ] as [string, SessionEvent, number, number][])('%s', (_name, event, restartOnly, withNotification) => {
    expect(end(event, false, false).down.staleFamilies).toBe(0);
    expect(end(event, true, false).down.staleFamilies).toBe(restartOnly);
    expect(end(event, true, true).down.staleFamilies).toBe(withNotification);
  });
});

describe('what the peer is told', () => {
  const sent = (actions: SessionAction[]) => actions.find((action) => action.kind === 'sendNotification');

  test('RFC 9003 text goes in Administrative Shutdown', () => {
    const event: SessionEvent = { kind: 'manualStop', cause: 'adminDown', communication: 'rack möve' };
    const { actions, down } = end(event, false, false);
    expect(sent(actions)).toEqual({
      kind: 'sendNotification',
      code: 6,
      subcode: 2,
      data: encodeShutdownText('rack möve'),
    });
    expect(down.reason).toEqual({ kind: 'adminDown', code: 6, subcode: 2, text: 'rack möve' });
  });

  test('with the N bit it is wrapped into a Hard Reset (RFC 8538 3.1)', () => {
    const event: SessionEvent = { kind: 'manualStop', cause: 'adminDown', communication: 'bye' };
    const { actions, down } = end(event, true, true);
    // biome-ignore format: one field a line
    expect([...sent(actions)!.data]).toEqual([
      6,                // encapsulated code: Cease
      2,                // encapsulated subcode: Administrative Shutdown
      3,                // length of the shutdown communication
      0x62, 0x79, 0x65, // "bye"
    ]);
    expect(sent(actions)).toMatchObject({ code: 6, subcode: 9 });
    expect(down.reason).toMatchObject({ kind: 'adminDown', code: 6, subcode: 2, hard: true });
  });

  test('the limit goes with 6/1', () => {
    const data = Uint8Array.of(0, 1, 1, 0, 0, 0, 10);
    const { actions } = end({ kind: 'automaticStop', cause: 'maxPrefixes', data }, false, false);
    expect(sent(actions)).toEqual({ kind: 'sendNotification', code: 6, subcode: 1, data });
  });

  test('an FSM error names the type of the message (RFC 6608)', () => {
    const { actions } = end(
      { kind: 'openError', fault: { code: 2, subcode: 0, disposition: 'reset', reason: '' } },
      false,
      false,
    );
    expect(sent(actions)).toEqual({ kind: 'sendNotification', code: 5, subcode: 3, data: Uint8Array.of(1) });
  });
});

describe('words', () => {
  test('a Hard Reset is unwrapped, text and all', () => {
    const data = Uint8Array.of(6, 4, ...encodeShutdownText('upgrade'));
    const reason = receivedReason(6, 9, data);
    expect(reason).toEqual({
      kind: 'notificationReceived',
      code: 6,
      subcode: 4,
      text: 'upgrade',
      hard: true,
    });
    expect(describeDown(reason)).toBe(
      'notification received: 6/4 Cease/Administrative Reset (hard reset): upgrade',
    );
  });

  test('broken bodies are read as far as they go', () => {
    expect(receivedReason(6, 9, undefined)).toEqual({
      kind: 'notificationReceived',
      code: 6,
      subcode: 9,
      hard: true,
    });
    expect(receivedReason(6, 2, Uint8Array.of(200, 65))).toEqual({
      kind: 'notificationReceived',
      code: 6,
      subcode: 2,
    });
  });

  test('a plain loss says what the system said', () => {
    expect(describeDown({ kind: 'tcpClosed', text: 'ECONNRESET' })).toBe(
      'connection closed by the peer or the network: ECONNRESET',
    );
    expect(describeDown({ kind: 'holdTimer', code: 4, subcode: 0 })).toBe(
      'hold timer expired: 4/0 Hold Timer Expired',
    );
  });
});
