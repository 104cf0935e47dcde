// What is counted, kept and told of a peer's faults, and that none of it grows without bound.

import { expect, test } from 'vitest';
import { AS_PATH, COMMUNITIES } from '../wire/bgp/attribute/table.ts';
import { type Fault, updateFault } from '../wire/bgp/fault.ts';
import { ANY_ATTRIBUTE, FaultLog } from './fault-log.ts';
import { newPeer, type Peer } from './peer.ts';
import type { RouterEvent } from './ports.ts';
import { neighbour } from './route-rig.test-data.ts';

function rig() {
  const events: RouterEvent[] = [];
  const time = { nowMs: 1000 };
  const log = new FaultLog(
    (event) => void events.push(event),
    () => time.nowMs,
  );
  const peer: Peer = newPeer(1, 'p', neighbour('192.0.2.2'), { dynamic: false }, 0);
  const texts = (): string[] => events.map((event) => ('text' in event ? event.text : event.kind));
  return { log, peer, time, texts, events };
}

const emptySegment = updateFault(11, 'withdraw', 'AS_PATH has an empty segment', AS_PATH);

test('a fault is told with its place and bytes, and counted by attribute and disposition', () => {
  const { log, peer, texts, events } = rig();
  const bytes = Uint8Array.of(0x40, 2, 2, 2, 0);
  log.record(peer, { ...emptySegment, offset: 11, bytes });
  log.record(peer, { ...emptySegment, disposition: 'discard' });
  log.record(peer, updateFault(1, 'discard', 'COMMUNITIES length', COMMUNITIES));
  log.record(peer, updateFault(1, 'discard', 'COMMUNITIES length', COMMUNITIES));
  expect(texts()[0]).toBe('AS_PATH has an empty segment (RFC 7606: withdraw; AS_PATH at 11: 4002020200)');
  expect(events[0]).toMatchObject({
    kind: 'malformed',
    peer: 'p',
    fault: { attribute: AS_PATH, name: 'AS_PATH', offset: 11, bytes: '4002020200', disposition: 'withdraw' },
  });
  expect(peer.faults.total).toBe(4);
  expect(peer.faults.counts.map(({ name, disposition, count }) => `${name} ${disposition} ${count}`)).toEqual(
    ['AS_PATH withdraw 1', 'AS_PATH discard 1', 'COMMUNITIES discard 2'],
  );
});

test('after twenty in a minute the rest is one number, told when the minute is over', () => {
  const { log, peer, texts, time } = rig();
  for (let i = 0; i < 100; i++) log.record(peer, emptySegment);
  expect(texts()).toHaveLength(20);
  expect(log.nextDeadlineMs()).toBe(61_000);
  time.nowMs = 61_000;
  log.expire();
  expect(texts().at(-1)).toBe('80 more faults within a minute, counted but not told one by one');
  expect(log.nextDeadlineMs()).toBe(Number.POSITIVE_INFINITY);
  log.record(peer, emptySegment);
  expect(texts()).toHaveLength(22);
  expect(peer.faults.total).toBe(101);
});

test('what a peer invents costs no more than what it repeats', () => {
  const { log, peer, time } = rig();
  const fault = (attribute: number): Fault => updateFault(1, 'discard', `attribute ${attribute}`, attribute);
  for (let round = 0; round < 40; round++) {
    time.nowMs += 60_000;
    for (let code = 0; code < 256; code++) log.record(peer, { ...fault(code), bytes: new Uint8Array(4000) });
  }
  expect(peer.faults.counts.length).toBeLessThanOrEqual(65);
  expect(peer.faults.counts.at(-1)).toMatchObject({ attribute: ANY_ATTRIBUTE, name: 'others' });
  expect(peer.faults.counts.reduce((sum, { count }) => sum + count, 0)).toBe(peer.faults.total);
  expect(peer.faults.recent).toHaveLength(16);
  expect(peer.faults.recent[0]!.bytes).toHaveLength(128);
});
