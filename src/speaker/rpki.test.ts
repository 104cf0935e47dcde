// Reloads of origin validation over real sockets: another set of caches takes over when it has data, not before, and
// turning it off forgets everything.

import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { RpkiServer } from '../intent/intent.ts';
import type { ValidateOrigin } from '../router/filters.ts';
import { OriginValidation } from './rpki.ts';

const u32 = (value: number): number[] => [
  value >>> 24,
  (value >>> 16) & 255,
  (value >>> 8) & 255,
  value & 255,
];

/** A cache of version 1 that answers every query with 10.0.0.0/8 for one AS, or never. */
function cacheOf(asn: number | 'mute'): Promise<{ server: RpkiServer; close(): void }> {
  const sockets = new Set<Socket>();
  const listener: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => {
      if (asn === 'mute') return;
      const answer = [1, 3, 0, 7, ...u32(8)];
      answer.push(1, 4, 0, 0, ...u32(20), 1, 8, 8, 0, 10, 0, 0, 0, ...u32(asn));
      answer.push(1, 7, 0, 7, ...u32(24), ...u32(1), ...u32(3600), ...u32(600), ...u32(7200));
      socket.write(new Uint8Array(answer));
    });
  });
  return new Promise((resolve) => {
    listener.listen(0, '127.0.0.1', () => {
      const { port } = listener.address() as { port: number };
      const close = (): void => {
        listener.close();
        for (const socket of sockets) socket.destroy();
      };
      resolve({ server: { address: '127.0.0.1', port }, close });
    });
  });
}

let validation: OriginValidation | undefined;
let validate: ValidateOrigin | undefined;
const closers: (() => void)[] = [];

function begin(servers: RpkiServer[]): OriginValidation {
  validation = new OriginValidation(
    { servers },
    {
      setOriginValidation: (next) => {
        validate = next;
      },
      originValidationChanged: () => {},
      trouble: () => {},
      tell: () => {},
    },
  );
  return validation;
}

const state = (asn: number): number | undefined => validate?.(0, 0x0a000000, 0, 0, 0, 8, asn);

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
}

afterEach(() => {
  validation?.close();
  for (const close of closers.splice(0)) close();
});

test('after a reload the former caches judge until the new ones have data', async () => {
  const first = await cacheOf(1);
  const mute = await cacheOf('mute');
  const second = await cacheOf(2);
  closers.push(first.close, mute.close, second.close);
  const rpki = begin([first.server]);
  await until(() => state(1) === 1);
  rpki.configure({ servers: [mute.server] });
  await until(() => rpki.configured?.caches.clients[0]?.state === 'asking');
  expect([state(1), state(2)]).toEqual([1, 2]);
  rpki.configure({ servers: [second.server] });
  await until(() => state(2) === 1);
  expect(state(1)).toBe(2);
  expect(rpki.configured?.caches).toBe(rpki.caches);
});

test('the same caches stay connected over a reload', async () => {
  const cache = await cacheOf(1);
  closers.push(cache.close);
  const rpki = begin([cache.server]);
  await until(() => state(1) === 1);
  const { caches } = rpki;
  rpki.configure({ servers: [{ ...cache.server }] });
  expect(rpki.caches).toBe(caches);
  expect(caches?.clients[0]?.state).toBe('synced');
});

test('without caches and file nothing is judged any more', async () => {
  const cache = await cacheOf(1);
  closers.push(cache.close);
  const rpki = begin([cache.server]);
  await until(() => state(1) === 1);
  rpki.configure({ servers: [] });
  expect([validate, rpki.caches, rpki.configured]).toEqual([undefined, undefined, undefined]);
});

test('a cache that refuses connections is told as such and tried again', async () => {
  const cache = await cacheOf(1);
  const rpki = begin([cache.server]);
  cache.close();
  await until(() => rpki.caches?.clients[0]?.lastError !== undefined);
  expect(rpki.caches?.clients[0]?.lastError?.text).toMatch(/ECONNREFUSED|ECONNRESET|closed/);
  expect(rpki.caches?.clients[0]?.nextDeadlineMs()).toBeLessThan(Number.POSITIVE_INFINITY);
  expect(state(1)).toBe(0);
});
