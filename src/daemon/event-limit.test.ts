import { beforeEach, expect, test } from 'vitest';
import type { NewEvent } from '../api/events.ts';
import { limitEvents } from './event-limit.ts';

let now: number;
let told: NewEvent[];
let tell: (event: NewEvent) => void;

beforeEach(() => {
  now = 1000;
  told = [];
  tell = limitEvents(
    (event) => told.push(event),
    () => now,
  );
});

const flap = (peer: string): void => tell({ level: 'info', kind: 'peer-down', text: `${peer}: down`, peer });
const ofPeer = (peer: string): number => told.filter((event) => event.peer === peer).length;

test('a fabric that comes up is told whole', () => {
  for (let i = 0; i < 1000; i++) for (let n = 0; n < 3; n++) flap(`192.0.2.${i}`);
  expect(told).toHaveLength(3000);
});

test('a peer that comes and goes is told once a second, and the others as ever', () => {
  for (let ms = 0; ms < 30_000; ms += 2) {
    now = 1000 + ms;
    flap('eth0');
    if (ms % 10_000 === 0) flap('eth1');
  }
  expect(ofPeer('eth0')).toBe(100 + 29);
  expect(ofPeer('eth1')).toBe(3);
  const counts = told.filter(({ kind }) => kind === 'events-left-out');
  expect(counts.map(({ text }) => text.split(' ')[0])).toEqual([
    'one',
    expect.any(String),
    expect.any(String),
  ]);
});

test('what was left out is counted, also when it is told late', () => {
  for (let i = 0; i < 150; i++) flap('eth0');
  now += 60_000;
  flap('eth1');
  const counts = told.filter(({ kind }) => kind === 'events-left-out').map(({ text }) => text.split(' ')[0]);
  expect(counts).toEqual(['one', '49']);
});

test('ever new strangers are told fifty times a second', () => {
  for (let i = 0; i < 20_000; i++) {
    now = 1000 + i;
    flap(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  }
  const strangers = told.filter(({ peer }) => peer !== undefined).length;
  expect(strangers).toBeGreaterThan(4000);
  expect(strangers).toBeLessThan(4000 + 20 * 50 + 10);
});

test('what is about no peer and no guest is always told', () => {
  for (let i = 0; i < 9000; i++) tell({ level: 'info', kind: 'restart-done', text: 'over' });
  expect(told).toHaveLength(9000);
});

test('a guest that comes and goes is told once a second, and other guests and peers as ever', () => {
  const move = (guest: string): void =>
    tell({ level: 'info', kind: 'guest-attached', text: `${guest} is here`, guest });
  for (let ms = 0; ms < 30_000; ms += 2) {
    now = 1000 + ms;
    move('web1');
    tell({ level: 'warning', kind: 'guest-refused', text: 'refused', interface: 'tap7' });
    if (ms % 10_000 !== 0) continue;
    move('web2');
    flap('eth1');
  }
  const of = (guest: string): number => told.filter((event) => event.guest === guest).length;
  expect([of('web1'), of('web2'), ofPeer('eth1')]).toEqual([100 + 29, 3, 3]);
  expect(told.filter((event) => event.interface === 'tap7')).toHaveLength(100 + 29);
  tell({ level: 'warning', kind: 'guest-frozen', text: 'frozen', guest: 'web1' });
  expect(told.at(-1)!.kind).toBe('guest-frozen');
  const counts = told.filter(({ kind }) => kind === 'events-left-out');
  expect(
    counts.every(({ text }) => /^(one event|\d+ events) of guests .*leafctl guests shows/.test(text)),
  ).toBe(true);
  expect(counts).toHaveLength(3);
});

test('a full hypervisor that starts is told whole', () => {
  for (let i = 0; i < 2000; i++)
    for (const address of ['192.0.2.1', '2001:db8::1'])
      tell({ level: 'info', kind: 'guest-attached', text: '', guest: `vm${i}`, address });
  expect(told).toHaveLength(4000);
});
