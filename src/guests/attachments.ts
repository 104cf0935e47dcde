// The file of attachments on disk. Many changes are one write: while one is on its way, what changes waits for the
// next. Whoever attaches can wait until his attachment is on disk. A disk that is full ends nothing: the daemon goes
// on with what it knows, says so, and tries again.

import { readFileSync } from 'node:fs';
import { writeWholeLater } from '../lib/atomic-file-real.ts';
import { LeafdError } from '../lib/leafd-error.ts';

const RETRY_MS = 5000;

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
  #isWriting = false;
  #isChanged = false;
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isTroubled = false;
  #closed = false;

  constructor(options: AttachmentsOptions) {
    this.#options = options;
  }

  /** What was written last, or undefined. Throws LeafdError `state-unreadable`. */
  read(): string | undefined {
    const { path } = this.#options;
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new LeafdError('state-unreadable', `cannot read ${path}`, { cause: error });
    }
  }

  /** Something of what is kept has changed. */
  changed(): void {
    this.#isChanged = true;
    if (!this.#isWriting && this.#timer === undefined) this.#isWriting = this.#begin();
  }

  /** Resolves when all that has changed is on disk; rejects with LeafdError `state-unwritable`. */
  saved(): Promise<void> {
    if (!this.#isChanged && !this.#isWriting) return Promise.resolve();
    return new Promise((done, failed) => {
      this.#waiting.push({ done, failed });
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

  #begin(): true {
    // Not now: what else changes in this turn belongs to the same write.
    setImmediate(() => void this.#write());
    return true;
  }

  async #write(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#isChanged = false;
    try {
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
