// What a run comes to: right of applicable by category, what went wrong with the bytes that did it, and sums that
// the project promises something about.

import type { Case } from './case.ts';
import { expectationText } from './judge.ts';
import type { CaseResult } from './runner.ts';

export interface Summary {
  readonly daemon: string;
  readonly cases: number;
  readonly malformed: number;
  readonly categories: Readonly<Record<string, { right: number; applicable: number }>>;
  readonly right: number;
  readonly applicable: number;
  readonly notApplicable: number;
  /** Wrong cases by what went wrong: reset, kept, withdrawn, crash, … */
  readonly wrong: Readonly<Record<string, number>>;
  readonly wrongCases: readonly {
    id: string;
    title: string;
    clause: string;
    what: string;
    expected: string;
    seen: string;
    sent: string;
  }[];
  readonly tookMs: number;
}

export function summarize(
  daemon: string,
  cases: readonly Case[],
  results: readonly CaseResult[],
  tookMs: number,
): Summary {
  const categories: Record<string, { right: number; applicable: number }> = {};
  const wrong: Record<string, number> = {};
  const wrongCases: Summary['wrongCases'][number][] = [];
  let [right, notApplicable] = [0, 0];
  const byId = new Map(cases.map((one) => [one.id, one]));
  for (const { id, category, verdict, sent } of results) {
    const sum = (categories[category] ??= { right: 0, applicable: 0 });
    if (verdict.kind === 'notApplicable') {
      notApplicable++;
      continue;
    }
    sum.applicable++;
    if (verdict.kind === 'right') {
      sum.right++;
      right++;
      continue;
    }
    wrong[verdict.what] = (wrong[verdict.what] ?? 0) + 1;
    const one = byId.get(id)!;
    const { title, clause } = one;
    const expected = expectationText(one);
    wrongCases.push({ id, title, clause, what: verdict.what, expected, seen: verdict.seen, sent });
  }
  return {
    daemon,
    cases: cases.length,
    malformed: cases.filter((one) => one.valid !== true).length,
    categories,
    right,
    applicable: results.length - notApplicable,
    notApplicable,
    wrong,
    wrongCases,
    tookMs: Math.round(tookMs),
  };
}

const count = (summary: Summary, what: string): number => summary.wrong[what] ?? 0;

export function reportText(summary: Summary): string {
  const width = Math.max(...Object.keys(summary.categories).map((name) => name.length));
  const lines = Object.entries(summary.categories).map(([name, { right, applicable }]) =>
    applicable === 0 ? `${name.padEnd(width)}  n/a` : `${name.padEnd(width)}  ${right}/${applicable}`,
  );
  const sums = Object.entries(summary.wrong).map(([what, count]) => `${count} ${what}`);
  const wrongLines = summary.wrongCases.flatMap((one) => [
    `${one.id}: ${one.title}`,
    `  ${one.clause}`,
    `  expected ${one.expected}; seen ${one.what}: ${one.seen.slice(0, 400)}`,
    `  sent ${one.sent.length > 600 ? `${one.sent.slice(0, 600)}…` : one.sent}`,
  ]);
  return [
    ...wrongLines,
    '',
    `${summary.daemon}: ${summary.right}/${summary.applicable} right of ${summary.cases} cases ` +
      `(${summary.malformed} malformed), ${summary.notApplicable} do not apply, ` +
      `${(summary.tookMs / 1000).toFixed(1)} s${sums.length > 0 ? `; wrong: ${sums.join(', ')}` : ''}`,
    `wrong resets ${count(summary, 'reset')}, crashes ${count(summary, 'crash')}, others harmed ${count(summary, 'collateral')}`,
    ...lines,
    '',
  ].join('\n');
}
