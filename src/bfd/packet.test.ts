import { expect, test } from 'vitest';
import { Rng } from '../lib/rng.ts';
import {
  BAD_LENGTH,
  BAD_MULTIPLIER,
  BAD_VERSION,
  checkPacket,
  DIAG_DETECTION_EXPIRED,
  DOWN,
  desiredMinTxOf,
  diagnosticOf,
  FLAG_DEMAND,
  FLAG_FINAL,
  FLAG_POLL,
  flagsOf,
  MULTIPOINT,
  multiplierOf,
  myDiscriminatorOf,
  NO_MY_DISCRIMINATOR,
  PACKET_BYTES,
  requiredMinRxOf,
  stateOf,
  TAKEN,
  UP,
  VERDICTS,
  writePacket,
  yourDiscriminatorOf,
} from './packet.ts';

const golden = Uint8Array.of(
  ...[0x21], // version 1, diagnostic 1: control detection time expired
  ...[0x60], // state Down, Poll
  ...[0x03], // detection multiplier
  ...[0x18], // length 24
  ...[0xde, 0xad, 0xbe, 0xef], // My Discriminator
  ...[0x00, 0x00, 0x00, 0x2a], // Your Discriminator
  ...[0x00, 0x0f, 0x42, 0x40], // Desired Min TX 1 s
  ...[0x00, 0x00, 0xc3, 0x50], // Required Min RX 50 ms
  ...[0x00, 0x00, 0x00, 0x00], // Required Min Echo RX: no echo
);

test('writes the packet of section 4.1', () => {
  const bytes = new Uint8Array(PACKET_BYTES).fill(0xff);
  writePacket(bytes, DIAG_DETECTION_EXPIRED, DOWN, FLAG_POLL, 3, 0xdeadbeef, 42, 1_000_000, 50_000);
  expect(bytes).toEqual(golden);
});

test('reads it back', () => {
  expect(checkPacket(golden, 24)).toBe(TAKEN);
  expect(diagnosticOf(golden)).toBe(DIAG_DETECTION_EXPIRED);
  expect(stateOf(golden)).toBe(DOWN);
  expect(flagsOf(golden)).toBe(FLAG_POLL);
  expect(multiplierOf(golden)).toBe(3);
  expect(myDiscriminatorOf(golden)).toBe(0xdeadbeef);
  expect(yourDiscriminatorOf(golden)).toBe(42);
  expect(desiredMinTxOf(golden)).toBe(1_000_000);
  expect(requiredMinRxOf(golden)).toBe(50_000);
});

const edited = (at: number, value: number): Uint8Array => {
  const bytes = new Uint8Array(32);
  bytes.set(golden);
  bytes[at] = value;
  return bytes;
};

test.each([
  ['version 0', edited(0, 0x01), 24, BAD_VERSION],
  ['version 2', edited(0, 0x41), 24, BAD_VERSION],
  ['23 bytes', golden, 23, BAD_LENGTH],
  ['nothing', golden, 0, BAD_LENGTH],
  ['length 23', edited(3, 23), 24, BAD_LENGTH],
  ['length beyond the datagram', edited(3, 25), 24, BAD_LENGTH],
  ['trailing bytes are no fault', golden, 24, TAKEN],
  ['length below that with authentication', edited(1, 0x64), 32, BAD_LENGTH],
  ['multiplier 0', edited(2, 0), 24, BAD_MULTIPLIER],
  ['multipoint', edited(1, 0x61), 24, MULTIPOINT],
])('checks %s', (_, bytes, length, verdict) => {
  expect(checkPacket(bytes, length)).toBe(verdict);
});

test('takes a longer datagram than the packet, wants My Discriminator', () => {
  expect(checkPacket(edited(3, 24), 32)).toBe(TAKEN);
  const bytes = golden.slice();
  bytes.fill(0, 4, 8);
  expect(checkPacket(bytes, 24)).toBe(NO_MY_DISCRIMINATOR);
});

test('any bytes get a verdict, and what is written is taken', () => {
  const rng = new Rng(5880);
  const seen = new Set<number>();
  for (let i = 0; i < 50_000; i++) {
    const bytes = Uint8Array.from({ length: 32 }, () => rng.below(256));
    if (rng.chance(0.8)) bytes[0] = 0x20 | rng.below(32);
    if (rng.chance(0.8)) bytes[3] = 22 + rng.below(6);
    const verdict = checkPacket(bytes, rng.below(33));
    expect(verdict).toBeGreaterThanOrEqual(0);
    expect(verdict).toBeLessThan(VERDICTS);
    seen.add(verdict);
    const written = new Uint8Array(24);
    const fields = [rng.below(10), rng.below(4), rng.pick([0, FLAG_FINAL, FLAG_DEMAND]), 1 + rng.below(255)];
    writePacket(written, fields[0]!, fields[1]!, fields[2]!, fields[3]!, 1 + rng.below(2 ** 32 - 1), 7, 8, 9);
    expect(checkPacket(written, 24)).toBe(TAKEN);
    expect([diagnosticOf(written), stateOf(written), flagsOf(written), multiplierOf(written)]).toEqual(
      fields,
    );
  }
  for (const verdict of [TAKEN, BAD_LENGTH, BAD_VERSION, MULTIPOINT]) expect(seen).toContain(verdict);
  expect(UP).toBe(3);
});
