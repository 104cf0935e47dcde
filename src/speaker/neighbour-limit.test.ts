import { expect, test } from 'vitest';
import { NeighbourLimit } from './neighbour-limit.ts';

function fe80(last: number): Uint8Array {
  const address = new Uint8Array(16);
  address.set([0xfe, 0x80]);
  address[14] = last >> 8;
  address[15] = last;
  return address;
}

test('one neighbour is heard as often as it likes', () => {
  const limit = new NeighbourLimit();
  for (let ms = 0; ms < 1000; ms++) expect(limit.admits(fe80(1), ms)).toBe(true);
});

test('a cable that is moved a few times is followed at once', () => {
  const limit = new NeighbourLimit();
  const moves = [1, 2, 3, 4].map((last, i) => limit.admits(fe80(last), 60_000 + i));
  expect(moves).toEqual([true, true, true, true]);
});

test('ever new addresses are heard once a second', () => {
  const limit = new NeighbourLimit();
  let heard = 0;
  for (let i = 0; i < 10_000; i++) if (limit.admits(fe80(i), 60_000 + i)) heard++;
  expect(heard).toBe(4 + 9);
});

test('the neighbour that stays is heard once the others are still', () => {
  const limit = new NeighbourLimit();
  for (let i = 2; i < 1000; i++) limit.admits(fe80(i), i);
  expect(limit.admits(fe80(1), 1000)).toBe(false);
  expect(limit.admits(fe80(1), 2100)).toBe(true);
});
