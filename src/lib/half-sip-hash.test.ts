import { expect, test } from 'vitest';
import { halfSipHash } from './half-sip-hash.ts';
import { makeHashKey } from './hash-key.ts';

test('the published values of HalfSipHash-1-3: key 00..07, content 00, 01, 02 ...', () => {
  const key = makeHashKey(Uint32Array.of(0x0302_0100, 0x0706_0504, 0, 0, 0, 0));
  const content = Uint8Array.from({ length: 70 }, (_, i) => i);
  const published: readonly [length: number, hash: number][] = [
    [0, 0x5814_c896],
    [1, 0xe7e8_64ca],
    [2, 0xbc4b_0e30],
    [3, 0x0153_9939],
    [4, 0x7e05_9ea6],
    [7, 0x9d38_d9d6],
    [8, 0x5779_99b1],
    [63, 0x8717_8304],
  ];
  for (const [length, hash] of published) expect(halfSipHash(content, 0, length, key)).toBe(hash);
  // Where the bytes lie does not matter.
  const moved = new Uint8Array(80);
  moved.set(content, 5);
  expect(halfSipHash(moved, 5, 5 + 63, key)).toBe(0x8717_8304);
});
