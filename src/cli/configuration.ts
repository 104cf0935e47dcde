// `check` and `schema` judge on their own, without a daemon, and so need the schema and the policy compiler: for that
// reason this file is a chunk of its own, imported when it is needed.

import { readFileSync } from 'node:fs';
import type { ProblemView } from '../api/views.ts';
import { loadConfigFile } from '../intent/files.ts';
import { jsonSchema } from '../intent/schema.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { judgeAsPathPattern } from '../policy/as-path-pattern.ts';
import { compilePolicies } from '../policy/compile.ts';
import { checkOpenperouter, openperouterFiles } from './check-openperouter.ts';
import type { Context } from './context.ts';
import { INVALID, OK } from './exit.ts';
import { warningLines } from './render-system.ts';
import { printable } from './table.ts';

interface CheckView {
  file: string;
  ok: boolean;
  problems: ProblemView[];
  warnings: ProblemView[];
}

/**
 * Judges each file by itself (with its drop-ins), lab files too; those of OpenPERouter together. Exit 4 when any is
 * refused.
 */
export async function check(context: Context, files: readonly string[]): Promise<number> {
  const views: CheckView[] = [];
  const foreign = files.map(openperouterFiles);
  const judged = new Map(checkOpenperouter([...new Set(foreign.flat())]).map((one) => [one.file, one]));
  for (const [index, file] of files.entries()) {
    const own = foreign[index]!.flatMap((name) => judged.get(name) ?? []);
    if (own.length > 0) views.push(...own.map((one) => ({ ...one, ok: one.problems.length === 0 })));
    else views.push(isLabFile(file) ? await checkLab(file) : checkFile(file));
  }
  const good = views.every((view) => view.ok);
  if (context.json) context.terminal.out(`${JSON.stringify({ files: views })}\n`);
  else for (const view of views) tell(context, view);
  return good ? OK : INVALID;
}

function tell(context: Context, view: CheckView): void {
  context.remark(warningLines(printable(view.warnings)));
  if (view.ok) context.terminal.out(`${view.file}: ok\n`);
  for (const one of printable(view.problems)) {
    const place = one.where.line === 0 ? '' : `${one.where.file}:${one.where.line}:${one.where.column}: `;
    const path = one.path === '' ? '' : `${one.path}: `;
    const hint = one.hint === undefined ? '' : ` (${one.hint})`;
    context.terminal.err(`${place}${path}${one.reason}${hint}\n`);
  }
}

function checkFile(file: string): CheckView {
  const { intent, problems, warnings } = loadConfigFile(file, { judgeAsPath: judgeAsPathPattern });
  if (intent === undefined) return { file, ok: false, problems, warnings };
  return { file, warnings, ...attempt(file, () => compilePolicies(intent.policies)) };
}

/** What a later judge (the policy compiler, the lab's reader) says, as a problem of the file. */
function attempt(file: string, judge: () => unknown): Pick<CheckView, 'ok' | 'problems'> {
  try {
    judge();
    return { ok: true, problems: [] };
  } catch (error) {
    if (!(error instanceof LeafdError)) throw error;
    const problem: ProblemView = {
      where: error.where ?? { file, line: 0, column: 0 },
      path: '',
      reason: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    };
    return { ok: false, problems: [problem] };
  }
}

/** A lab file has nodes and links where a configuration has `bgp:`. */
function isLabFile(file: string): boolean {
  try {
    return /^(clos|nodes|links):/m.test(readFileSync(file, 'utf8'));
  } catch {
    return false;
  }
}

async function checkLab(file: string): Promise<CheckView> {
  const { readLabFile } = await import('../lab/lab.ts');
  return { file, warnings: [], ...attempt(file, () => readLabFile(file)) };
}

/** The JSON Schema of leafd.yaml. */
export function schema(context: Context): number {
  context.terminal.out(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
  return OK;
}
