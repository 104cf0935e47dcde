// `plan` and `apply`: the files go to the daemon as they are, and the daemon judges them, because it knows what is in
// force and has the password files.

import { resolve } from 'node:path';
import type { ApplyView, PlanView } from '../api/views.ts';
import { readConfigFiles } from '../intent/files-read.ts';
import type { Context } from './context.ts';
import { ABSENT, asCliError, CliError, INVALID, OK } from './exit.ts';
import { renderApply, renderPlan, warningLines } from './render-system.ts';

/** The files of a configuration under names that mean the same to the daemon, wherever it was started. */
function filesFor(file: string) {
  return { files: readConfigFiles(resolve(file)) };
}

/** Exit 0 when nothing would change, 1 when something would, 4 when it is refused. */
export async function plan(context: Context, file: string): Promise<number> {
  const view = await refusedAs(file, () => context.client().post<PlanView>('/v1/plan', filesFor(file)));
  context.remark(warningLines(view.warnings));
  context.show(view, renderPlan);
  return view.changes.length === 0 ? OK : ABSENT;
}

export async function apply(context: Context, file: string): Promise<number> {
  const view = await refusedAs(file, () => context.client().post<ApplyView>('/v1/apply', filesFor(file)));
  context.remark(warningLines(view.warnings));
  context.show(view, renderApply);
  return OK;
}

/** Names the file in a refusal. */
async function refusedAs<View>(file: string, ask: () => Promise<View>): Promise<View> {
  try {
    return await ask();
  } catch (error) {
    const failure = asCliError(error);
    if (failure.body.code !== 'config-invalid') throw failure;
    throw new CliError(INVALID, { ...failure.body, message: `${file} is refused: ${failure.body.message}` });
  }
}
