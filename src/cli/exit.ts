// Exit codes of leafctl and the one error it knows: a line for people, a code for programs, a hint, an exit code.
// Every failure ends here, so that scripts can tell "not there" from "not reachable" from "refused".

import type { ErrorBody, ErrorView } from '../api/views.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { printable } from './table.ts';

export const OK = 0;
/** What was asked for is absent, down, or differs. */
export const ABSENT = 1;
export const USAGE = 2;
export const UNREACHABLE = 3;
export const INVALID = 4;
export const FAILED = 5;

export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;
  readonly body: ErrorBody;

  constructor(exitCode: number, body: ErrorBody) {
    super(body.message);
    this.exitCode = exitCode;
    this.body = body;
  }
}

/** A mistake in the command line. */
export function usageError(message: string, hint?: string): CliError {
  return new CliError(USAGE, { code: 'usage', message, ...(hint === undefined ? {} : { hint }) });
}

/** The exit code for an error code of the daemon or of the rooms this program calls. */
export function exitCodeOf(code: string): number {
  if (code === 'usage' || code === 'bad-request' || code === 'lab-end-invalid') return USAGE;
  if (code === 'not-found' || code.endsWith('-absent') || code === 'policy-unknown') return ABSENT;
  if (code.endsWith('-invalid') || code.endsWith('-unreadable')) return INVALID;
  return FAILED;
}

/** Any thrown thing as a CliError; what is none of ours keeps its stack in `cause`. */
export function asCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (!(error instanceof LeafdError)) {
    const failure = new CliError(FAILED, { code: 'internal', message: `leafctl failed: ${String(error)}` });
    failure.cause = error;
    return failure;
  }
  const body: ErrorBody = { code: error.code, message: error.message };
  if (error.hint !== undefined) body.hint = error.hint;
  if (error.where !== undefined) body.where = error.where;
  return new CliError(exitCodeOf(error.code), body);
}

/** What goes to stderr: for people a line (one a problem) and a hint, for programs the REST API's error shape. */
export function errorText(error: CliError, json: boolean): string {
  const view: ErrorView = { error: error.body };
  if (json) return `${JSON.stringify(view)}\n`;
  const body = printable(error.body);
  const lines = (body.problems ?? []).map((one) => {
    const path = one.path === '' ? '' : `${one.path}: `;
    const hint = one.hint === undefined ? '' : ` (${one.hint})`;
    return `${one.where.file}:${one.where.line}:${one.where.column}: ${path}${one.reason}${hint}`;
  });
  const { where } = body;
  const place =
    where === undefined || lines.length > 0 ? '' : `${where.file}:${where.line}:${where.column}: `;
  lines.push(`leafctl: ${place}${body.message}`);
  if (body.hint !== undefined) lines.push(`hint: ${body.hint}`);
  return `${lines.join('\n')}\n`;
}
