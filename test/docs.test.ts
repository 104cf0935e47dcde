// Holds the documents against the repository: links lead somewhere, decisions have numbers of their own, and
// docs/rfc.md names tests, cases and rows of the matrix that are there, and all RFCs that the sources quote.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig, problemLines } from '../src/intent/load.ts';
import { allCases } from './conformance/cases/all.ts';
import { behaviours } from './interop/matrix/behaviours.ts';

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((path) => path !== '' && existsSync(path));
const page = readFileSync('docs/rfc.md', 'utf8');

interface Row {
  readonly name: string;
  readonly proof: string;
}

/** The rows of docs/rfc.md that have a proof: all but those of what is not implemented. */
const rows: readonly Row[] = page
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (RFC|Draft) /.test(line))
  .map((line) => line.slice(2, -2).split(/ *\| */))
  .filter((cells) => cells.length !== 2)
  .map((cells) => ({ name: cells[0]!, proof: cells[3] ?? '' }));

/** What stands between backticks, each with the quoted names that follow it. */
function evidenceOf(proof: string): { what: string; names: string[] }[] {
  return [...proof.matchAll(/`([^`]+)`((?: "[^"]+",?)*)/g)].map((found) => ({
    what: found[1]!,
    names: [...found[2]!.matchAll(/"([^"]+)"/g)].map((name) => name[1]!),
  }));
}

describe('docs/rfc.md', () => {
  const ids = allCases().map(({ id }) => id);

  test('has rows, each with four cells and a test that is there', () => {
    expect(rows.length).toBeGreaterThan(60);
    const without = rows.filter(({ proof }) => {
      const tests = evidenceOf(proof).filter(({ what }) => what.endsWith('.test.ts'));
      const cases = evidenceOf(proof).filter(({ what }) => what.startsWith('case:'));
      return tests.length + cases.length === 0;
    });
    expect(without).toEqual([]);
  });

  test('names files, tests, cases and rows of the matrix that are there', () => {
    const wrong: string[] = [];
    for (const { name, proof } of rows)
      for (const { what, names } of evidenceOf(proof)) {
        const problem = problemOf(what, names, ids);
        if (problem !== undefined) wrong.push(`${name}: ${problem}`);
      }
    expect(wrong).toEqual([]);
  });

  test('speaks of every RFC that the sources quote', () => {
    const quoted = new Set<string>();
    for (const path of files.filter((one) => /^src\/.*\.ts$/.test(one)))
      for (const found of readFileSync(path, 'utf8').matchAll(/\bRFC (\d{3,5})/g)) quoted.add(found[1]!);
    const known = new Set(page.match(/\b\d{3,5}\b/g));
    expect([...quoted].filter((number) => !known.has(number))).toEqual([]);
  });
});

/** What is wrong with one piece of evidence, or undefined. */
function problemOf(what: string, names: readonly string[], ids: readonly string[]): string | undefined {
  if (what.startsWith('case:')) {
    const text = what.slice(5).replaceAll('.', '\\.').replaceAll('*', '.*');
    const pattern = new RegExp(`^${text}(\\.[a-zA-Z0-9]+)?$`);
    return ids.some((id) => pattern.test(id)) ? undefined : `no case ${what}`;
  }
  if (what.startsWith('matrix:'))
    return behaviours.some(({ id }) => id === what.slice(7)) ? undefined : `no row ${what}`;
  if (!existsSync(what)) return `no file ${what}`;
  const text = readFileSync(what, 'utf8');
  const absent = names.find((name) => !text.includes(name));
  return absent === undefined ? undefined : `${what} has no "${absent}"`;
}

test('links within the documents lead to files', () => {
  const wrong: string[] = [];
  for (const path of files.filter((one) => one.endsWith('.md')))
    for (const found of readFileSync(path, 'utf8').matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      const target = found[1]!;
      if (!/^[a-z]+:/.test(target) && !existsSync(join(dirname(path), target)))
        wrong.push(`${path}: ${target}`);
    }
  expect(wrong).toEqual([]);
});

test('paths between backticks in the overviews are there', () => {
  const wrong: string[] = [];
  for (const path of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'docs/speaker.md', 'docs/guests.md'])
    for (const found of readFileSync(path, 'utf8').matchAll(
      /`((?:src|test|docs|bench|examples|scripts)\/[^`\s*]+)`/g,
    ))
      if (!existsSync(found[1]!)) wrong.push(`${path}: ${found[1]}`);
  expect(wrong).toEqual([]);
});

test('every decision has a number of its own', () => {
  const names = readdirSync('docs/decisions').filter((name) => name.endsWith('.md'));
  const numbers = names.map((name) => name.slice(0, 4));
  expect(new Set(numbers).size).toBe(names.length);
  const titles = names.filter((name) => {
    const first = readFileSync(join('docs/decisions', name), 'utf8').split('\n')[0]!;
    return !first.startsWith(`# ${Number(basename(name).slice(0, 4))}. `);
  });
  expect(titles).toEqual([]);
});

test('the examples of README.md, docs/speaker.md and docs/guests.md are good configurations', () => {
  const from = (path: string): string[] =>
    [...readFileSync(path, 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map((found) => found[1]!);
  const examples = ['README.md', 'docs/speaker.md', 'docs/guests.md'].flatMap(from);
  expect(examples.length).toBeGreaterThan(5);
  for (const [index, text] of examples.entries()) {
    const result = loadConfig([{ file: `example ${index}`, text }], {
      hostname: 'a',
      readSecret: () => ({ kind: 'read', text: 'secret', exposed: false }),
    });
    expect(problemLines(result.problems)).toEqual([]);
    expect(result.warnings).toEqual([]);
  }
});
