// Peer names with `*` and `?`. Peers are few and their routes many and in a row, so the last answer is kept:
// a route of the same peer costs one comparison of the same string.

import { matchesPattern } from '../intent/pattern.ts';

export class NamePatterns {
  readonly #patterns: readonly string[];
  #lastName = '';
  #lastAnswer: boolean;

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns;
    this.#lastAnswer = this.#judge('');
  }

  /** Whether any of the patterns stands for the name. */
  matches(name: string): boolean {
    if (name !== this.#lastName) {
      this.#lastName = name;
      this.#lastAnswer = this.#judge(name);
    }
    return this.#lastAnswer;
  }

  #judge(name: string): boolean {
    return this.#patterns.some((pattern) => matchesPattern(pattern, name));
  }
}
