import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Deadlines } from './deadlines.ts';

test('the earliest comes first, whatever was set, moved and taken away before', () => {
  const key = fc.nat({ max: 12 });
  const action = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), key, atMs: fc.nat({ max: 50 }) }),
    fc.record({ kind: fc.constant('advance' as const), key, atMs: fc.nat({ max: 50 }) }),
    fc.record({ kind: fc.constant('delete' as const), key, atMs: fc.constant(0) }),
    fc.record({ kind: fc.constant('takeDue' as const), key, atMs: fc.nat({ max: 50 }) }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
      const deadlines = new Deadlines();
      const model = new Map<number, number>();
      const earliest = () => Math.min(Number.POSITIVE_INFINITY, ...model.values());
      for (const { kind, key: at, atMs } of actions) {
        if (kind === 'set') deadlines.set(at, atMs);
        if (kind === 'advance') deadlines.advance(at, atMs);
        if (kind === 'set' || (kind === 'advance' && atMs < (model.get(at) ?? Number.POSITIVE_INFINITY)))
          model.set(at, atMs);
        if (kind === 'delete') {
          deadlines.delete(at);
          model.delete(at);
        }
        if (kind === 'takeDue') {
          const expected = earliest() <= atMs ? earliest() : undefined;
          const taken = deadlines.takeDue(atMs);
          expect(model.get(taken)).toBe(expected);
          model.delete(taken);
        }
        expect(deadlines.earliestMs).toBe(earliest());
        expect(deadlines.count).toBe(model.size);
        for (const [known, when] of model) expect(deadlines.atMs(known)).toBe(when);
      }
    }),
  );
});

test('Infinity is no deadline', () => {
  const deadlines = new Deadlines();
  deadlines.set(3, 10);
  deadlines.set(3, Number.POSITIVE_INFINITY);
  expect([deadlines.count, deadlines.atMs(3), deadlines.takeDue(1e9)]).toEqual([
    0,
    Number.POSITIVE_INFINITY,
    -1,
  ]);
});
