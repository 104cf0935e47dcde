// The file of attachments on disk. Many changes are one write: while one is on its way, what changes waits for the
// next. Whoever attaches can wait until his attachment is on disk. A disk that is full ends nothing: the daemon goes
// on with what it knows, says so, and tries again. Neither does a file that cannot be understood, damaged or of a newer
// leafd: it is told, and kept under another name before it is written anew.

import { readFileSync, renameSync } from 'node:fs';
import { writeWholeLater } from '../lib/atomic-file-real.ts';
import { LeafdError } from '../lib/leafd-error.ts';

const RETRY_MS = 5000;
/** Between two writes: what changes meanwhile is one. Nobody waits, or somebody does. */
const PAUSE_MS = 100;
const PAUSE_WHILE_WAITING_MS = 10;

export interface AttachmentsOptions {
  path: string;
  /** The text of the file as of now. */
  text(): string;
  trouble(error: LeafdError): void;
}

interface Waiting {
  done(): void;
  failed(error: LeafdError): void;
}

export class Attachments {
  readonly #options: AttachmentsOptions;
  #isLoaded = false;
  /** The file has what was not understood: it is kept before another takes its name. */
  #isPrecious = false;
  #isWriting = false;
  #isChanged = false;
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #pause: NodeJS.Timeout | undefined;
  #writtenMs = Number.NEGATIVE_INFINITY;
  #isTroubled = false;
  #closed = false;

  constructor(options: AttachmentsOptions) {
    this.#options = options;
  }

  /** What was written last, if it is understood. Before this nothing is written. */
  load<Content extends { skipped: readonly LeafdError[] }>(
    decode: (text: string) => Content,
  ): Content | undefined {
    let content: Content | undefined;
    try {
      const text = this.#read();
      if (text !== undefined) content = decode(text);
    } catch (error) {
      if (!(error instanceof LeafdError)) throw error;
      this.#notUnderstood(error);
    }
    for (const error of content?.skipped ?? []) this.#notUnderstood(error);
    this.#isLoaded = true;
    if (this.#isChanged) this.changed();
    return content;
  }

  /** Something of what is kept has changed. */
  changed(): void {
    this.#isChanged = true;
    if (!this.#isLoaded || this.#isWriting || this.#timer !== undefined) return;
    this.#isWriting = this.#begin();
  }

  /** Resolves when all that has changed is on disk; rejects with LeafdError `state-unwritable`. */
  saved(): Promise<void> {
    if (!this.#isChanged && !this.#isWriting) return Promise.resolve();
    return new Promise((done, failed) => {
      this.#waiting.push({ done, failed });
      this.#shortenPause();
      // Somebody waits: a disk that failed before is tried at once.
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.changed();
    });
  }

  /** Writes what is left and ends. */
  async close(): Promise<void> {
    if (this.#isChanged || this.#isWriting) await this.saved().catch(() => {});
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #read(): string | undefined {
    const { path } = this.#options;
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new LeafdError('state-unreadable', `cannot read ${path}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  #notUnderstood({ code, message, where, hint }: LeafdError): void {
    this.#isPrecious = true;
    const kept = `leafd goes on without and keeps the file as ${this.#options.path}.unread`;
    const options = { hint: hint === undefined ? kept : `${kept}; ${hint}` };
    this.#options.trouble(
      new LeafdError(code, message, where === undefined ? options : { ...options, where }),
    );
  }

  /** What was not understood may be all that tells of some guests. */
  #keepUnread(): void {
    if (!this.#isPrecious) return;
    const { path } = this.#options;
    try {
      renameSync(path, `${path}.unread`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    this.#isPrecious = false;
  }

  #begin(): true {
    // Not now: what else changes in this turn belongs to the same write.
    const pauseMs = this.#waiting.length > 0 ? PAUSE_WHILE_WAITING_MS : PAUSE_MS;
    const waitMs = this.#writtenMs + pauseMs - performance.now();
    if (waitMs <= 0) setImmediate(() => void this.#write());
    else this.#pause = setTimeout(() => this.#endPause(), waitMs);
    return true;
  }

  #endPause(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    void this.#write();
  }

  /** Somebody waits now. */
  #shortenPause(): void {
    if (this.#pause === undefined) return;
    clearTimeout(this.#pause);
    const waitMs = this.#writtenMs + PAUSE_WHILE_WAITING_MS - performance.now();
    this.#pause = setTimeout(() => this.#endPause(), Math.max(0, waitMs));
  }

  async #write(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#isChanged = false;
    try {
      this.#keepUnread();
      await writeWholeLater(this.#options.path, this.#options.text(), 0o600);
      this.#isTroubled = false;
      for (const { done } of waiting) done();
    } catch (error) {
      this.#isChanged = true;
      const failure = new LeafdError('state-unwritable', `cannot write ${this.#options.path}`, {
        cause: error,
        hint: `${(error as Error).message}; attachments are not kept over a restart until it can be written`,
      });
      if (!this.#isTroubled) this.#options.trouble(failure);
      this.#isTroubled = true;
      for (const { failed } of waiting) failed(failure);
    }
    this.#isWriting = false;
    this.#writtenMs = performance.now();
    if (this.#closed || !this.#isChanged) return;
    if (!this.#isTroubled || this.#waiting.length > 0) this.#isWriting = this.#begin();
    else this.#retryLater();
  }

  #retryLater(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#isWriting = this.#begin();
    }, RETRY_MS);
    this.#timer.unref();
  }
}
