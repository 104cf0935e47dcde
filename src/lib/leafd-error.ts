// An operator's mistake, or something of the operator's world that failed: told in the operator's words, with a
// stable code for programs, the place in the file where there is one, and a hint where we have one.

/** A place in a file the operator wrote; line and column count from 1. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

export class LeafdError extends Error {
  override readonly name = 'LeafdError';
  readonly code: string;
  readonly where: Place | undefined;
  readonly hint: string | undefined;

  /** `code` is stable and kebab-case (`config-invalid`); `message` is one line without the place. */
  constructor(
    code: string,
    message: string,
    options: { where?: Place; hint?: string; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.where = options.where;
    this.hint = options.hint;
  }
}
