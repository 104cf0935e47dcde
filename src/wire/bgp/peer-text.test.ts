import { expect, test } from 'vitest';
import { peerText } from './peer-text.ts';

const shown = (text: string): string => {
  const bytes = new TextEncoder().encode(text);
  return peerText(bytes, 0, bytes.length);
};

test.each([
  ['leaf1.example', 'leaf1.example'],
  ['back at 9:00 ☕', 'back at 9:00 ☕'],
  ['a\u001b[31mred\u0007', 'a [31mred '],
  ['\u009b2J', ' 2J'],
  ['two\nlines\r\u2028three', 'two lines  three'],
  ['safe\u202Eno\u2066\u200B', 'safe no  '],
])('%j is shown as %j', (text, expected) => {
  expect(shown(text)).toBe(expected);
});

test('broken UTF-8 does not throw', () => {
  expect(peerText(Uint8Array.of(0x61, 0xff, 0xc3), 0, 3)).toBe('a\uFFFD\uFFFD');
});
