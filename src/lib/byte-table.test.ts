import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteTable } from './byte-table.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

test('equal bytes are one id; ids and blocks are used again', () => {
  const table = new ByteTable();
  const key = bytesOf('..abc..');
  const id = table.add(key, 2, 5);
  expect(table.add(bytesOf('abc'), 0, 3)).toBe(id);
  expect(table.find(bytesOf('abd'), 0, 3)).toBe(-1);
  expect([...table.copyOf(id)]).toEqual([...bytesOf('abc')]);
  table.release(id);
  expect(table.find(bytesOf('abc'), 0, 3)).toBe(-1);
  expect(table.add(bytesOf('xyz'), 0, 3)).toBe(id);
  expect([table.size, table.idEnd]).toEqual([1, 1]);
  expect(() => table.release(7)).toThrow('not in use');
});

test('large keys fill pages to their ends', () => {
  const table = new ByteTable();
  const ids = [0, 4000, 65535, 65535, 7, 65535].map((length, i) => {
    const bytes = new Uint8Array(length).fill(i + 1);
    return [table.add(bytes, 0, length), bytes] as const;
  });
  for (const [id, bytes] of ids) expect(Buffer.compare(table.copyOf(id), bytes)).toBe(0);
});

test('property: a table is a map from text to number', () => {
  const key = fc.string({ maxLength: 20 });
  const step = fc.record({ key, remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400, size: 'max' }), (steps) => {
      const table = new ByteTable();
      const model = new Map<string, number>();
      for (const { key: text, remove } of steps) {
        const bytes = bytesOf(text);
        const known = model.get(text);
        expect(table.find(bytes, 0, bytes.length)).toBe(known ?? -1);
        if (remove && known !== undefined) {
          table.release(known);
          model.delete(text);
        } else if (!remove) model.set(text, table.add(bytes, 0, bytes.length));
      }
      expect(table.size).toBe(model.size);
      expect(new Set(model.values()).size).toBe(model.size);
      for (const [text, id] of model) expect([...table.copyOf(id)]).toEqual([...bytesOf(text)]);
      table.clear();
      expect([table.size, table.add(bytesOf('a'), 0, 1)]).toEqual([0, 0]);
    }),
    { numRuns: 50 },
  );
});
