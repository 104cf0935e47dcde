// The judge says no to every kind of wrong answer: a suite that cannot fail proves nothing.

import { expect, it } from 'vitest';
import { hex, segment } from './bytes.ts';
import { CASE_MARK, type Expectation, GOOD_MARK, type Ground, type UpdateCase } from './case.ts';
import { allCases } from './cases/all.ts';
import type { SeenRoute } from './decode.ts';
import { judge, type Observed } from './judge.ts';

const ground: Ground = {
  ...{ index: 1, session: 'external', family: 'ipv4', octets: 4, internal: false, asn: 65001 },
  ...{ local: '10.97.1.1', nlri: [24, 20, 0, 1], other: [24, 21, 0, 1] },
};

const one = (...expectations: Expectation[]): UpdateCase => ({
  ...{ kind: 'update', id: 'x', category: 'x', title: 'x', clause: 'x', session: 'external', family: 'ipv4' },
  expect: expectations,
  send: () => [],
});

function route(mark: number, ...more: [number, string][]): SeenRoute {
  const attributes = new Map([[1, '00'], [2, hex(segment(2, [65000, 65001, mark]))], ...more] as [
    number,
    string,
  ][]);
  return { attributes, flags: new Map(), nextHop: '0a600001' };
}

const calm = { passed: true, crashed: false, collateral: [] };
const good: Observed = { ...calm, routes: { external: route(GOOD_MARK), internal: route(GOOD_MARK) } };
const replaced: Observed = { ...calm, routes: { external: route(CASE_MARK), internal: route(CASE_MARK) } };
const gone: Observed = { ...calm, routes: { external: undefined, internal: undefined } };
const half: Observed = { ...calm, routes: { external: undefined, internal: route(CASE_MARK) } };
const ended = (code: number, subcode: number): Observed => ({
  ...gone,
  ended: { notification: { code, subcode, data: '' } },
});
const spoilt: Observed = {
  ...calm,
  routes: { external: route(CASE_MARK, [7, '00']), internal: route(CASE_MARK) },
};

const withdraw: Expectation = { kind: 'withdraw' };
const accept: Expectation = { kind: 'accept' };
const ignore: Expectation = { kind: 'ignore' };
const discard: Expectation = { kind: 'discard', type: 7 };
const reset: Expectation = { kind: 'reset', codes: [[3, 1]] };

it.each<[Expectation, Observed, string]>([
  [withdraw, gone, 'right'],
  [withdraw, replaced, 'kept'],
  [withdraw, good, 'kept'],
  [withdraw, half, 'kept'],
  [withdraw, ended(3, 5), 'reset'],
  [withdraw, { ...gone, passed: false }, 'stuck'],
  [withdraw, { ...gone, crashed: true }, 'crash'],
  [withdraw, { ...gone, leaked: ['25/70/63'] }, 'kept'],
  [ignore, { ...good, leaked: ['25/70/63'] }, 'kept'],
  [withdraw, { ...gone, collateral: ['a canary'] }, 'collateral'],
  [accept, replaced, 'right'],
  [accept, good, 'stuck'],
  [accept, gone, 'withdrawn'],
  [accept, half, 'withdrawn'],
  [accept, ended(3, 1), 'reset'],
  [ignore, good, 'right'],
  [ignore, replaced, 'kept'],
  [ignore, gone, 'withdrawn'],
  [discard, replaced, 'right'],
  [discard, spoilt, 'attribute'],
  [discard, gone, 'withdrawn'],
  [reset, ended(3, 1), 'right'],
  [reset, ended(3, 2), 'reset'],
  [reset, { ...gone, ended: {} }, 'reset'],
  [reset, gone, 'noReset'],
  [{ ...reset, data: '0013' } as Expectation, ended(3, 1), 'reset'],
  [{ kind: 'close' }, { ...gone, ended: {} }, 'right'],
  [{ kind: 'close' }, ended(5, 0), 'reset'],
  [{ kind: 'close' }, gone, 'noReset'],
  [{ kind: 'accept', only: 'internal' }, half, 'right'],
  [{ kind: 'accept', only: 'internal' }, replaced, 'kept'],
  [{ kind: 'accept', check: () => 'no' }, replaced, 'attribute'],
])('%o of %o: %s', (expectation, observed, verdict) => {
  const judged = judge(one(expectation), observed, ground);
  expect(judged.kind === 'right' ? 'right' : judged.what).toBe(verdict);
});

it('takes any of several right answers', () => {
  expect(judge(one(withdraw, reset), ended(3, 1), ground).kind).toBe('right');
  expect(judge(one(withdraw, reset), gone, ground).kind).toBe('right');
  expect(judge(one(withdraw, reset), replaced, ground).kind).toBe('wrong');
});

it('has at least 400 malformed messages, every case with its clause', () => {
  const cases = allCases();
  expect(cases.filter((each) => each.valid !== true).length).toBeGreaterThanOrEqual(400);
  expect(cases.filter((each) => !/^(RFC \d+|draft-)/.test(each.clause)).map((each) => each.id)).toEqual([]);
  expect(cases.filter((each) => each.expect.length === 0).map((each) => each.id)).toEqual([]);
});
