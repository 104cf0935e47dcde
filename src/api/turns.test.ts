import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

const here = (): boolean => false;

/** Keeps the thread for a while, as a page of a large table does. */
function busy(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

test('between two questions others get as much time as the first took', async () => {
  const turns = new Turns(10);
  let heartbeats = 0;
  const heart = setInterval(() => heartbeats++, 1);
  const seen: number[] = [];
  const ask = () => {
    seen.push(heartbeats);
    busy(20);
  };
  await Promise.all([turns.take(ask, here), turns.take(ask, here), turns.take(ask, here)]);
  clearInterval(heart);
  expect(seen[0]).toBe(0);
  expect(seen[1]! - seen[0]!).toBeGreaterThan(3);
  expect(seen[2]! - seen[1]!).toBeGreaterThan(3);
});

test('a question that fails does not hold up the next', async () => {
  const turns = new Turns(10);
  const broken = turns.take(() => {
    throw new Error('broken');
  }, here);
  const next = turns.take(async () => 'answer', here);
  await expect(broken).rejects.toThrow('broken');
  expect(await next).toBe('answer');
});

test('nobody answers an asker who has gone', async () => {
  const turns = new Turns(10);
  let asked = 0;
  await turns.take(
    () => asked++,
    () => true,
  );
  expect(asked).toBe(0);
});

test('more than a few waiting questions are refused', async () => {
  const turns = new Turns(2);
  const waiting = [turns.take(() => 1, here), turns.take(() => 2, here)];
  expect(() => turns.take(() => 3, here)).toThrow(expect.objectContaining({ code: 'too-many' }));
  expect(await Promise.all(waiting)).toEqual([1, 2]);
  expect(await turns.take(() => 4, here)).toBe(4);
});
