import { expect, test } from 'vitest';
import { lossText } from './transport.ts';

test.each([
  ['cannot connect (IPv6): nothing listens there (ECONNREFUSED)', 'nothing listens there (ECONNREFUSED)'],
  ['cannot connect: there is no such interface (ENODEV)', 'there is no such interface (ENODEV)'],
  ['read ECONNRESET', 'ECONNRESET'],
  ['write EPIPE', 'EPIPE'],
  ['timed out', 'timed out'],
])('%s: what the session says is not said twice', (message, text) => {
  expect(lossText(message)).toBe(text);
});
