import { expect, test } from 'vitest';
import { PrefixTable } from './prefix-table.ts';
import { Rng } from './rng.ts';

test('adds, finds and releases like a Map does, through growth and reuse of ids', () => {
  const rng = new Rng(7);
  for (const words of [1, 4] as const) {
    const table = new PrefixTable(words, 4);
    const model = new Map<string, number>();
    for (let i = 0; i < 20_000; i++) {
      const a = rng.below(900) * 0x0101_0000;
      const length = 8 + rng.below(3);
      const key = `${a}/${length}`;
      const found = words === 1 ? table.find1(a >>> 0, length) : table.find4(1, 2, 3, a >>> 0, length);
      expect(found).toBe(model.get(key) ?? -1);
      if (rng.chance(0.6)) {
        const id = words === 1 ? table.add1(a >>> 0, length) : table.add4(1, 2, 3, a >>> 0, length);
        if (found >= 0) expect(id).toBe(found);
        model.set(key, id);
      } else if (found >= 0) {
        table.release(found);
        model.delete(key);
      }
    }
    expect(table.size).toBe(model.size);
    expect(new Set(model.values()).size).toBe(model.size);
  }
});

test('releasing an id twice is a bug', () => {
  const table = new PrefixTable(1);
  const id = table.add1(1, 32);
  table.release(id);
  expect(() => table.release(id)).toThrow(/not in use/);
});

test('clear gives everything back, and the memory where little was in use', () => {
  const table = new PrefixTable(1);
  for (let i = 0; i < 100_000; i++) table.add1(i * 256, 24);
  for (let i = 0; i < 100_000; i++) if (i !== 7) table.release(table.find1(i * 256, 24));
  expect([table.size, table.find1(7 * 256, 24), table.find1(8 * 256, 24)]).toEqual([1, 7, -1]);
  table.clear();
  expect([table.size, table.has(7), table.find1(7 * 256, 24), table.length.length]).toEqual([
    0,
    false,
    -1,
    1024,
  ]);
  expect(table.add1(8 * 256, 24)).toBe(0);
  table.clear();
  expect([table.size, table.find1(8 * 256, 24)]).toEqual([0, -1]);
});

test('keys that differ only in length are different', () => {
  const table = new PrefixTable(4);
  const ids = Array.from({ length: 129 }, (_, length) => table.add4(0, 0, 0, 0, length));
  expect(new Set(ids).size).toBe(129);
  for (let length = 0; length <= 128; length++) expect(table.find4(0, 0, 0, 0, length)).toBe(ids[length]);
});
