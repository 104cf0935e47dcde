// Every event in every state, as a table a person can hold against RFC 4271 8.2.2. A cell is the next state
// and the actions in order: `n6/2` is a NOTIFICATION, `up` and `down` the news for the router, `=` no change
// at all.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Fault } from '../wire/bgp/fault.ts';
import type { Open } from '../wire/bgp/open.ts';
import {
  incomingSession,
  newSession,
  nextDeadline,
  promote,
  type Session,
  type SessionAction,
  type SessionConfig,
  type SessionEvent,
  type SessionState,
  type TimerName,
  timerNames,
} from './state.ts';
import { step } from './step.ts';

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
    {
      kind: 'gracefulRestart',
      restartState: false,
      notification: true,
      timeS: 120,
      families: [{ afi: 1, safi: 1, forwarding: true }],
    },
  ],
};
const delayed: SessionConfig = { ...config, delayOpenMs: 300 };
const passive: SessionConfig = { ...config, passive: true };

const open: Open = { asn: 65002, holdTimeS: 90, bgpId: 0x0a000002, capabilities: config.capabilities };
const badOpen: Open = { ...open, holdTimeS: 2 };
const headerFault: Fault = { code: 1, subcode: 2, disposition: 'reset', reason: 'bad length' };
const openFault: Fault = { code: 2, subcode: 4, disposition: 'reset', reason: 'bad parameter' };
const updateFault: Fault = { code: 3, subcode: 1, disposition: 'reset', reason: 'bad list' };
const mildFault: Fault = { code: 3, subcode: 9, disposition: 'withdraw', reason: 'bad attribute' };
const refreshFault: Fault = { code: 7, subcode: 1, disposition: 'reset', reason: 'bad length' };

const START = 10_000;
const acked: SessionEvent = { kind: 'tcpRequestAcked' };
const toState: Record<SessionState, SessionEvent[]> = {
  idle: [],
  connect: [{ kind: 'manualStart' }],
  active: [{ kind: 'manualStart' }, { kind: 'tcpConnectionFails' }],
  openSent: [{ kind: 'manualStart' }, acked],
  openConfirm: [{ kind: 'manualStart' }, acked, { kind: 'openReceived', open }],
  established: [
    { kind: 'manualStart' },
    acked,
    { kind: 'openReceived', open },
    { kind: 'keepaliveReceived' },
  ],
};

function sessionIn(state: SessionState, use = config): Session {
  let session = newSession(START);
  for (const event of toState[state]) session = step(session, event, use, START).session;
  expect(session.state).toBe(state);
  return session;
}

/** Every timer that runs, moved into the past, so that an expiry event is due. */
function due(session: Session): Session {
  const timers = { ...session.timers };
  for (const name of timerNames) if (timers[name] !== 0) timers[name] = START;
  return { ...session, timers };
}

const shortNames: Partial<Record<SessionAction['kind'], string>> = {
  closeConnection: 'close',
  sendOpen: 'open',
  sendKeepalive: 'keepalive',
  established: 'up',
};

function actionText(action: SessionAction): string {
  if (action.kind === 'sendNotification') return `n${action.code}/${action.subcode}`;
  return shortNames[action.kind] ?? action.kind;
}

function cell(session: Session, event: SessionEvent, use: SessionConfig): string {
  const result = step(session, event, use, START + 100);
  const sameTimers = timerNames.every((name) => result.session.timers[name] === session.timers[name]);
  if (result.session.state === session.state && result.actions.length === 0 && sameTimers) return '=';
  return [result.session.state, ...result.actions.map(actionText)].join(' ');
}

const events: Record<string, SessionEvent> = {
  manualStart: { kind: 'manualStart' },
  'manualStop adminDown': { kind: 'manualStop', cause: 'adminDown', communication: 'rack move' },
  'manualStop deconfigured': { kind: 'manualStop', cause: 'deconfigured' },
  automaticStart: { kind: 'automaticStart' },
  'automaticStop adminReset': { kind: 'automaticStop', cause: 'adminReset' },
  'automaticStop configurationChanged': { kind: 'automaticStop', cause: 'configurationChanged' },
  'automaticStop interfaceDown': { kind: 'automaticStop', cause: 'interfaceDown' },
  'automaticStop localRestart': { kind: 'automaticStop', cause: 'localRestart' },
  'automaticStop bfdDown': { kind: 'automaticStop', cause: 'bfdDown' },
  'automaticStop bfdDown, restarting': { kind: 'automaticStop', cause: 'bfdDown', restarting: true },
  'automaticStop outOfResources': { kind: 'automaticStop', cause: 'outOfResources' },
  'automaticStop maxPrefixes': { kind: 'automaticStop', cause: 'maxPrefixes' },
  'automaticStop rejected': { kind: 'automaticStop', cause: 'rejected' },
  connectRetry: { kind: 'timerExpired', timer: 'connectRetry' },
  hold: { kind: 'timerExpired', timer: 'hold' },
  keepalive: { kind: 'timerExpired', timer: 'keepalive' },
  delayOpen: { kind: 'timerExpired', timer: 'delayOpen' },
  idleHold: { kind: 'timerExpired', timer: 'idleHold' },
  tcpConnectionValid: { kind: 'tcpConnectionValid' },
  tcpRequestInvalid: { kind: 'tcpRequestInvalid' },
  tcpRequestAcked: acked,
  tcpConnectionConfirmed: { kind: 'tcpConnectionConfirmed' },
  tcpConnectionFails: { kind: 'tcpConnectionFails', message: 'ECONNRESET' },
  open: { kind: 'openReceived', open },
  'open with hold time 2': { kind: 'openReceived', open: badOpen },
  headerError: { kind: 'headerError', fault: headerFault },
  openError: { kind: 'openError', fault: openFault },
  openCollisionDump: { kind: 'openCollisionDump' },
  peerRestarted: { kind: 'peerRestarted' },
  'notification 2/4': { kind: 'notificationReceived', code: 2, subcode: 4 },
  'notification 2/7': { kind: 'notificationReceived', code: 2, subcode: 7 },
  'notification hard reset': { kind: 'notificationReceived', code: 6, subcode: 9, data: Uint8Array.of(6, 2) },
  'notification version': { kind: 'notificationReceived', code: 2, subcode: 1 },
  notification: { kind: 'notificationReceived', code: 6, subcode: 4 },
  keepaliveReceived: { kind: 'keepaliveReceived' },
  updateReceived: { kind: 'updateReceived' },
  'updateError reset': { kind: 'updateError', fault: updateFault },
  'updateError withdraw': { kind: 'updateError', fault: mildFault },
  routeRefresh: { kind: 'routeRefreshReceived' },
  routeRefreshError: { kind: 'routeRefreshError', fault: refreshFault },
  sendHoldExpired: { kind: 'sendHoldExpired' },
  updateSent: { kind: 'updateSent' },
};

const drop = 'idle close down';
type Row = [string, string, string, string, string, string];
const states: SessionState[] = ['idle', 'connect', 'active', 'openSent', 'openConfirm', 'established'];

/** A stop that tells the peer so, by one NOTIFICATION before Established and another in it. */
function ends(early: string, late: string): Row {
  const before = `idle ${early} close down`;
  return ['=', drop, drop, before, before, `idle ${late} close down`];
}

// One row an event, the columns in the order of `states`.
const table: Record<string, Row> = {
  manualStart: ['connect connect', '=', '=', '=', '=', '='],
  'manualStop adminDown': ends('n6/2', 'n6/9'),
  'manualStop deconfigured': ends('n6/3', 'n6/9'),
  automaticStart: ['connect connect', '=', '=', '=', '=', '='],
  'automaticStop adminReset': ends('n6/4', 'n6/9'),
  'automaticStop configurationChanged': ends('n6/6', 'n6/6'),
  'automaticStop interfaceDown': ['=', drop, drop, drop, drop, drop],
  'automaticStop localRestart': ['=', drop, drop, drop, drop, drop],
  'automaticStop bfdDown': ends('n6/10', 'n6/9'),
  'automaticStop bfdDown, restarting': ends('n6/10', 'n6/10'),
  'automaticStop outOfResources': ends('n6/8', 'n6/9'),
  'automaticStop maxPrefixes': ends('n6/1', 'n6/9'),
  'automaticStop rejected': ends('n6/5', 'n6/5'),
  connectRetry: ['=', 'connect close connect', 'connect close connect', '=', '=', '='],
  hold: ['=', '=', '=', 'idle n4/0 close down', 'idle n4/0 close down', 'idle n4/0 close down'],
  keepalive: ['=', '=', '=', '=', 'openConfirm keepalive', 'established keepalive'],
  delayOpen: ['=', '=', '=', '=', '=', '='],
  idleHold: ['=', '=', '=', '=', '=', '='],
  tcpConnectionValid: ['=', '=', '=', '=', '=', '='],
  tcpRequestInvalid: ['=', '=', '=', '=', '=', '='],
  tcpRequestAcked: ['idle close', 'openSent open', 'openSent open', '=', '=', '='],
  tcpConnectionConfirmed: ['idle close', 'openSent open', 'openSent open', '=', '=', '='],
  tcpConnectionFails: ['=', 'active close', '=', 'active close down', drop, drop],
  open: ['=', drop, drop, 'openConfirm keepalive', 'idle n5/2 close down', 'idle n5/3 close down'],
  'open with hold time 2': [
    '=',
    drop,
    drop,
    'idle n2/6 close down',
    'idle n5/2 close down',
    'idle n5/3 close down',
  ],
  headerError: ['=', drop, drop, 'idle n1/2 close down', 'idle n1/2 close down', 'idle n1/2 close down'],
  openError: ['=', drop, drop, 'idle n2/4 close down', 'idle n2/4 close down', 'idle n5/3 close down'],
  openCollisionDump: [
    '=',
    drop,
    drop,
    'idle n6/7 close down',
    'idle n6/7 close down',
    'idle n6/7 close down',
  ],
  peerRestarted: ['=', drop, drop, 'idle n6/7 close down', 'idle n6/7 close down', drop],
  'notification 2/4': ['=', drop, drop, drop, drop, drop],
  'notification 2/7': ['=', drop, drop, drop, drop, drop],
  'notification hard reset': ['=', drop, drop, drop, drop, drop],
  'notification version': ['=', drop, drop, drop, drop, drop],
  notification: ['=', drop, drop, drop, drop, drop],
  keepaliveReceived: ['=', drop, drop, 'idle n5/1 close down', 'established up', 'established'],
  updateReceived: ['=', drop, drop, 'idle n5/1 close down', 'idle n5/2 close down', 'established'],
  'updateError reset': [
    '=',
    drop,
    drop,
    'idle n5/1 close down',
    'idle n5/2 close down',
    'idle n3/1 close down',
  ],
  'updateError withdraw': ['=', drop, drop, 'idle n5/1 close down', 'idle n5/2 close down', 'established'],
  routeRefresh: ['=', drop, drop, 'idle n5/1 close down', 'idle n5/2 close down', '='],
  routeRefreshError: [
    '=',
    drop,
    drop,
    'idle n5/1 close down',
    'idle n5/2 close down',
    'idle n7/1 close down',
  ],
  sendHoldExpired: ['=', '=', '=', '=', '=', 'idle n8/0 close down'],
  updateSent: ['=', '=', '=', '=', '=', 'established'],
};

describe('every event in every state', () => {
  test('the table has every event', () => {
    expect(Object.keys(table)).toEqual(Object.keys(events));
  });
  for (const [name, row] of Object.entries(table)) {
    test(name, () => {
      const actual = states.map((state) => cell(due(sessionIn(state)), events[name]!, config));
      expect(actual).toEqual(row);
    });
  }
});

describe('with the DelayOpenTimer running', () => {
  // Connect and Active with a connection that is up and our OPEN still held back.
  const rows: Record<string, string> = {
    manualStart: '=',
    'manualStop adminDown': 'idle n6/2 close down',
    automaticStart: '=',
    'automaticStop configurationChanged': 'idle n6/6 close down',
    connectRetry: '=',
    delayOpen: 'openSent open',
    tcpRequestAcked: '=',
    tcpConnectionConfirmed: '=',
    open: 'openConfirm open keepalive',
    'open with hold time 2': 'idle open n2/6 close down',
    headerError: 'idle n1/2 close down',
    openError: 'idle n2/4 close down',
    openCollisionDump: 'idle n6/7 close down',
    'notification version': drop,
    notification: drop,
    keepaliveReceived: drop,
    updateReceived: drop,
    routeRefresh: drop,
  };
  for (const state of ['connect', 'active'] as const) {
    const waiting = due(step(sessionIn(state), acked, delayed, START).session);
    for (const [name, expected] of Object.entries(rows)) {
      test(`${state}: ${name}`, () => {
        expect(cell(waiting, events[name]!, delayed)).toBe(expected);
      });
    }
  }

  test('a lost connection leads from Connect to Active, and from Active to Idle', () => {
    const lost = events.tcpConnectionFails!;
    expect(cell(step(sessionIn('connect'), acked, delayed, START).session, lost, delayed)).toBe(
      'active close',
    );
    expect(cell(step(sessionIn('active'), acked, delayed, START).session, lost, delayed)).toBe(drop);
  });

  test('no NOTIFICATION before OPEN where the operator forbids it', () => {
    const silent = { ...delayed, notifyWithoutOpen: false };
    const waiting = step(sessionIn('connect'), acked, silent, START).session;
    expect(cell(waiting, events.headerError!, silent)).toBe(drop);
  });
});

describe('timers', () => {
  const at = (session: Session) => {
    const running: Partial<Record<TimerName, number>> = {};
    for (const name of timerNames)
      if (session.timers[name] !== 0) running[name] = session.timers[name] - START;
    return running;
  };

  test('each state runs the timers of RFC 4271 and no other', () => {
    expect(at(sessionIn('idle'))).toEqual({});
    expect(at(sessionIn('connect'))).toEqual({ connectRetry: 1000 });
    expect(at(sessionIn('active'))).toEqual({ connectRetry: 1000 });
    expect(at(sessionIn('openSent'))).toEqual({ hold: 240_000 });
    expect(at(sessionIn('openConfirm'))).toEqual({ hold: 9000, keepalive: 3000 });
    expect(at(sessionIn('established'))).toEqual({ hold: 9000, keepalive: 3000 });
  });

  test('a negotiated hold time of 0 stops both, and nothing starts them again', () => {
    let session = sessionIn('openSent');
    session = step(session, { kind: 'openReceived', open: { ...open, holdTimeS: 0 } }, config, START).session;
    for (const kind of ['keepaliveReceived', 'updateReceived', 'updateSent'] as const) {
      session = step(session, { kind }, config, START).session;
      expect(at(session)).toEqual({});
    }
    expect(session.state).toBe('established');
  });

  test('KEEPALIVE and UPDATE start the hold timer anew; ROUTE-REFRESH does not', () => {
    const session = sessionIn('established');
    const later = START + 2000;
    for (const name of ['keepaliveReceived', 'updateReceived', 'updateError withdraw']) {
      expect(at(step(session, events[name]!, config, later).session).hold).toBe(11_000);
    }
    expect(at(step(session, { kind: 'routeRefreshReceived' }, config, later).session).hold).toBe(9000);
  });

  test('sending UPDATEs puts the keepalive off', () => {
    const session = step(sessionIn('established'), { kind: 'updateSent' }, config, START + 1000).session;
    expect(at(session)).toEqual({ hold: 9000, keepalive: 4000 });
  });

  test('an expiry that is not due yet is ignored', () => {
    const session = sessionIn('established');
    const early = step(session, { kind: 'timerExpired', timer: 'hold' }, config, START + 8999);
    expect(early).toEqual({ session, actions: [] });
    const onTime = step(session, { kind: 'timerExpired', timer: 'hold' }, config, START + 9000);
    expect(onTime.session.state).toBe('idle');
  });

  test('jitter shortens all timers but Hold, and never a KEEPALIVE below 1 s', () => {
    const run = (jitter: number, use: SessionConfig) => {
      let session = newSession(START);
      const seen: (number | undefined)[] = [];
      session = step(session, { kind: 'manualStart' }, use, START, jitter).session;
      seen.push(at(session).connectRetry);
      session = step(session, acked, use, START, jitter).session;
      session = step(session, { kind: 'openReceived', open }, use, START, jitter).session;
      seen.push(at(session).keepalive, at(session).hold);
      session = step(session, { kind: 'tcpConnectionFails' }, use, START, jitter).session;
      seen.push(at(session).idleHold);
      return seen;
    };
    expect(run(1, config)).toEqual([1000, 3000, 9000, 500]);
    expect(run(0.75, config)).toEqual([750, 2250, 9000, 375]);
    expect(run(0.75, { ...config, holdTimeMs: 3000 })).toEqual([750, 1000, 3000, 375]);
  });

  test('nextDeadline is the earliest timer', () => {
    expect(nextDeadline(newSession())).toBeUndefined();
    expect(nextDeadline(sessionIn('established'))).toEqual({ timer: 'keepalive', atMs: START + 3000 });
    expect(nextDeadline(sessionIn('openSent'))).toEqual({ timer: 'hold', atMs: START + 240_000 });
  });
});

describe('starting again', () => {
  const lost: SessionEvent = { kind: 'tcpConnectionFails' };

  test('after a failure the IdleHoldTimer brings it back, slower each time', () => {
    let session = newSession(START);
    const pauses: number[] = [];
    let now = START;
    session = step(session, { kind: 'manualStart' }, config, now).session;
    for (let i = 0; i < 9; i++) {
      session = step(session, acked, config, now).session;
      session = step(session, { kind: 'openReceived', open: badOpen }, config, now).session;
      pauses.push(session.timers.idleHold - now);
      now = session.timers.idleHold;
      session = step(session, { kind: 'timerExpired', timer: 'idleHold' }, config, now).session;
      expect(session.state).toBe('connect');
    }
    expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    expect(session.connectRetryCounter).toBe(9);
  });

  test('a session that held for long starts the count anew', () => {
    let session: Session = { ...sessionIn('established'), oscillations: 6 };
    session = step(session, lost, config, START + 60_000).session;
    expect(session.oscillations).toBe(1);
    expect(session.timers.idleHold).toBe(START + 60_000 + 500);
  });

  test.each([
    ['adminDown', false],
    ['deconfigured', false],
    ['maxPrefixes', false],
    ['interfaceDown', false],
    ['localRestart', false],
    ['rejected', false],
    ['adminReset', true],
    ['configurationChanged', true],
    ['outOfResources', true],
    ['bfdDown', true],
  ] as const)('a stop for %s comes back by itself: %s', (cause, back) => {
    const stopped = step(sessionIn('established'), { kind: 'automaticStop', cause }, config, START).session;
    expect(stopped.state).toBe('idle');
    expect(stopped.timers.idleHold > 0).toBe(back);
    expect(stopped.oscillations).toBe(0);
  });

  test('a lasting stop in Idle ends the pause, a passing one does not', () => {
    const pausing = step(sessionIn('established'), lost, config, START).session;
    expect(pausing.timers.idleHold).toBe(START + 500);
    const down = step(pausing, { kind: 'automaticStop', cause: 'interfaceDown' }, config, START).session;
    expect(down.timers.idleHold).toBe(0);
    expect(down.lastError).toEqual({ kind: 'interfaceDown' });
    const reset = step(pausing, { kind: 'automaticStop', cause: 'adminReset' }, config, START).session;
    expect(reset).toEqual(pausing);
  });

  test('without automatic restart it stays Idle', () => {
    const use = { ...config, automaticRestart: false };
    expect(step(sessionIn('established'), lost, use, START).session.timers.idleHold).toBe(0);
  });

  test('a manual stop clears the counters, an automatic one counts', () => {
    const session: Session = { ...sessionIn('established'), connectRetryCounter: 4, oscillations: 3 };
    const manual = step(session, { kind: 'manualStop', cause: 'adminDown' }, config, START).session;
    expect([manual.connectRetryCounter, manual.oscillations]).toEqual([0, 0]);
    const automatic = step(session, { kind: 'automaticStop', cause: 'adminReset' }, config, START).session;
    expect([automatic.connectRetryCounter, automatic.oscillations]).toEqual([5, 3]);
  });

  test('a version error is not a failure (event 24)', () => {
    const refused = step(sessionIn('openSent'), events['notification version']!, config, START).session;
    expect([refused.connectRetryCounter, refused.oscillations]).toEqual([0, 0]);
    const other = step(sessionIn('openSent'), events.notification!, config, START).session;
    expect([other.connectRetryCounter, other.oscillations]).toEqual([1, 1]);
  });

  test('a passive peer waits in Active and never connects', () => {
    let result = step(newSession(START), { kind: 'automaticStart' }, passive, START);
    expect(result.session.state).toBe('active');
    expect(result.actions).toEqual([]);
    expect(nextDeadline(result.session)).toBeUndefined();
    result = step(result.session, { kind: 'tcpConnectionConfirmed' }, passive, START);
    expect(result.session.state).toBe('openSent');
    result = step(result.session, lost, passive, START);
    expect(result.session.state).toBe('active');
    expect(nextDeadline(result.session)).toBeUndefined();
  });
});

describe('a connection that the peer opened', () => {
  const confirmed: SessionEvent = { kind: 'tcpConnectionConfirmed' };

  test('goes through OPEN to Established, and can be promoted', () => {
    let session = incomingSession(START);
    for (const event of [confirmed, { kind: 'openReceived', open }, { kind: 'keepaliveReceived' }] as const) {
      session = step(session, event, config, START).session;
    }
    expect(session.state).toBe('established');
    expect(step(session, { kind: 'tcpConnectionFails' }, config, START).session.timers.idleHold).toBe(0);
    const first = step(promote(session), { kind: 'tcpConnectionFails' }, config, START).session;
    expect(first.timers.idleHold).toBe(START + 500);
  });

  test('ends in Idle for good, whatever its state', () => {
    const active = incomingSession(START);
    const openSent = step(active, confirmed, config, START).session;
    for (const session of [active, openSent]) {
      const ended = step(session, { kind: 'tcpConnectionFails' }, config, START).session;
      expect(ended.state).toBe('idle');
      for (const event of Object.values(events)) {
        expect(step(ended, event, config, START + 1).session).toEqual(ended);
      }
    }
  });
});

describe('properties', () => {
  const anyEvent = fc.constantFrom(...Object.values(events));
  const timed = fc.tuple(anyEvent, fc.nat({ max: 20_000 }), fc.constantFrom(0.75, 0.9, 1));
  const anyConfig = fc.constantFrom(config, delayed, passive, { ...config, holdTimeMs: 0 });
  const allowed: Record<SessionState, TimerName[]> = {
    idle: ['idleHold'],
    connect: ['connectRetry', 'delayOpen'],
    active: ['connectRetry', 'delayOpen'],
    openSent: ['hold'],
    openConfirm: ['hold', 'keepalive'],
    established: ['hold', 'keepalive'],
  };

  test('no history breaks the machine: no throw, timers fit the state, Established only by KEEPALIVE', () => {
    fc.assert(
      fc.property(anyConfig, fc.array(timed, { maxLength: 60 }), fc.boolean(), (use, history, incoming) => {
        let session = incoming ? incomingSession(START) : newSession(START);
        let now = START;
        for (const [event, passed, jitter] of history) {
          now += passed;
          const before = session;
          const result = step(session, event, use, now, jitter);
          session = result.session;
          checkTimers(session, now);
          checkChange(before, event, result);
        }
      }),
      { numRuns: 3000 },
    );
  });

  function checkTimers(session: Session, now: number): void {
    for (const name of timerNames) {
      const deadline = session.timers[name];
      if (deadline === 0) continue;
      expect(allowed[session.state]).toContain(name);
      expect(deadline).toBeLessThanOrEqual(now + 240_000);
    }
    const up = session.state === 'openConfirm' || session.state === 'established';
    expect(session.negotiated !== undefined).toBe(up);
    if (up) {
      expect(session.timers.hold !== 0).toBe(session.negotiated!.holdTimeMs !== 0);
      expect(session.timers.keepalive !== 0).toBe(session.negotiated!.keepaliveMs !== 0);
    }
    if (session.state === 'openSent') expect(session.timers.hold).not.toBe(0);
    if (session.state === 'connect') {
      expect((session.timers.connectRetry !== 0) !== (session.timers.delayOpen !== 0)).toBe(true);
    }
  }

  function checkChange(
    before: Session,
    event: SessionEvent,
    result: { session: Session; actions: SessionAction[] },
  ) {
    const { session, actions } = result;
    const kinds = actions.map((action) => action.kind);
    if (before.state !== 'established' && session.state === 'established') {
      expect([before.state, event.kind]).toEqual(['openConfirm', 'keepaliveReceived']);
      expect(kinds).toEqual(['established']);
    } else expect(kinds).not.toContain('established');
    // The router hears of every end, once, and the connection is closed after what was sent on it.
    const ended = before.state !== 'idle' && session.state === 'idle';
    const lostOpenSent = before.state === 'openSent' && session.state === 'active';
    expect(kinds.filter((kind) => kind === 'down').length).toBe(ended || lostOpenSent ? 1 : 0);
    if (kinds.includes('sendNotification')) {
      expect(kinds.indexOf('closeConnection')).toBeGreaterThan(kinds.indexOf('sendNotification'));
      expect(session.state).toBe('idle');
    }
    if (before.state === 'established' && session.state !== 'established') expect(session.state).toBe('idle');
  }

  test('step changes nothing it was given', () => {
    const frozen = (session: Session): Session =>
      Object.freeze({ ...session, timers: Object.freeze(session.timers) });
    for (const state of states) {
      for (const event of Object.values(events)) {
        const session = frozen(due(sessionIn(state)));
        expect(() => step(session, event, config, START + 1)).not.toThrow();
      }
    }
  });
});
