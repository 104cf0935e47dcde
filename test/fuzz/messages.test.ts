// Fuzzing header, OPEN, NOTIFICATION and ROUTE-REFRESH: no throw, classified faults, and what is read is written
// and read the same.
import { expect, test } from 'vitest';
import { Rng } from '../../src/lib/rng.ts';
import { type Fault, isFault } from '../../src/wire/bgp/fault.ts';
import {
  EXTENDED_MESSAGE_LENGTH_MAX,
  frameLength,
  frameMessage,
  HEADER_LENGTH,
  headerFault,
  keepaliveMessage,
  MESSAGE_LENGTH_MAX,
  OPEN,
} from '../../src/wire/bgp/header.ts';
import {
  decodeNotification,
  encodeNotification,
  notificationText,
  shutdownText,
} from '../../src/wire/bgp/notification.ts';
import { decodeOpen, encodeOpen } from '../../src/wire/bgp/open.ts';
import { decodeRouteRefresh, encodeRouteRefresh } from '../../src/wire/bgp/refresh.ts';
import { hexOf } from '../golden/build.ts';
import { caseCount, randomBytes, seed, spoil, validOpen } from './cases.ts';

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

// Runs `check` on spoilt copies of what `make` makes, and says which bytes broke it.
function fuzz(share: number, make: (rng: Rng) => Uint8Array, check: (bytes: Uint8Array) => void): void {
  const rng = new Rng(seed);
  for (let n = caseCount(share); n > 0; n--) {
    const bytes = spoil(rng, make(rng));
    try {
      check(bytes);
    } catch (error) {
      throw new Error(`seed ${seed}, bytes ${hexOf(bytes)}`, { cause: error });
    }
  }
}

function checkReset(fault: Fault, code: number): void {
  must(
    fault.code === code && fault.disposition === 'reset' && fault.reason !== '',
    'fault is not classified',
  );
}

test('OPEN', () => {
  let read = 0;
  fuzz(0.12, validOpen, (bytes) => {
    const open = decodeOpen(bytes, 0, bytes.length);
    if (isFault(open)) {
      checkReset(open, 2);
      return;
    }
    read++;
    // Names are cleaned and cut: they need not have the same bytes again.
    if (open.capabilities.some((capability) => capability.kind === 'fqdn')) return;
    const message = encodeOpen(open);
    const again = decodeOpen(message, HEADER_LENGTH, message.length);
    must(JSON.stringify(again) === JSON.stringify(open), 'reads differently when written again');
  });
  expect(read).toBeGreaterThan(100);
});

test('header', () => {
  const seen = new Set<number>();
  const make = (rng: Rng): Uint8Array =>
    rng.chance(0.5) ? keepaliveMessage : frameMessage(OPEN, validOpen(rng));
  fuzz(0.08, make, (bytes) => {
    for (const max of [MESSAGE_LENGTH_MAX, EXTENDED_MESSAGE_LENGTH_MAX]) {
      const length = frameLength(bytes, 0, bytes.length, max);
      seen.add(Math.sign(length));
      if (length < 0) {
        const fault = headerFault(bytes, 0, max);
        checkReset(fault, 1);
        must(fault.subcode >= 1 && fault.subcode <= 3, 'subcode of a header fault');
      } else must(length === 0 || (length >= HEADER_LENGTH && length <= bytes.length), 'frame out of bounds');
    }
  });
  expect([...seen].sort()).toEqual([-1, 0, 1]);
});

test('NOTIFICATION', () => {
  const make = (rng: Rng): Uint8Array => new Uint8Array([6, 2, 5, ...randomBytes(rng, 5)]);
  fuzz(0.05, make, (bytes) => {
    const note = decodeNotification(bytes, 0, bytes.length);
    must(typeof notificationText(note.code, note.subcode) === 'string', 'no text');
    const text = shutdownText(note);
    must(text === undefined || !/\p{Cc}/u.test(text), 'control characters in a text');
    if (bytes.length < 2) return;
    const message = encodeNotification(note.code, note.subcode, note.data);
    must(hexOf(message, HEADER_LENGTH) === hexOf(bytes), 'written differently');
  });
});

test('ROUTE-REFRESH', () => {
  const make = (rng: Rng): Uint8Array => new Uint8Array([0, rng.below(3), rng.below(3), rng.below(3)]);
  fuzz(0.05, make, (bytes) => {
    const refresh = decodeRouteRefresh(bytes, 0, bytes.length);
    if (isFault(refresh)) {
      checkReset(refresh, refresh.code === 7 ? 7 : 1);
      return;
    }
    if (refresh.family < 0) return;
    const message = encodeRouteRefresh(refresh.family, refresh.subtype);
    must(hexOf(message, HEADER_LENGTH) === hexOf(bytes), 'written differently');
  });
});
