// Questions that read whole tables, one after the other. Each keeps the one thread from everything else for up to some
// hundred milliseconds; asked all at once by whoever may connect, they would keep sessions from their keepalives until
// hold timers expire. Behind each there is a pause as long as it took, in which the router works. A question whose
// asker has gone is not answered any more, and more than a few waiting ones are refused.

import { LeafdError } from '../lib/leafd-error.ts';

export class Turns {
  readonly #most: number;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  /** `most`: how many questions may wait. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Runs `work` in its turn, unless `isGone` then. Throws LeafdError `too-many`; undefined for a gone asker. */
  take<View>(work: () => View | Promise<View>, isGone: () => boolean): Promise<View | undefined> {
    if (this.#waiting >= this.#most)
      throw new LeafdError('too-many', `${this.#most} questions wait for their turn already`, {
        hint: 'try again',
      });
    this.#waiting++;
    let startedMs = 0;
    const turn = this.#last.then(() => {
      this.#waiting--;
      startedMs = performance.now();
      return isGone() ? undefined : work();
    });
    const end = (): Promise<void> => pause(performance.now() - startedMs);
    this.#last = turn.then(end, end);
    return turn;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
