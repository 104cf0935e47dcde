// A secret that cannot be printed by accident: JSON, string conversion and the inspector all give `redacted`. The
// one way to the text is `reveal()`, so that a search for that word finds every use.

export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself, for the call that needs it and nothing else. */
  reveal(): string {
    return this.#text;
  }

  equals(other: Secret | undefined): boolean {
    return other !== undefined && other.#text === this.#text;
  }

  toJSON(): string {
    return redacted;
  }

  toString(): string {
    return redacted;
  }

  /** What `console.log` and assertion messages show. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return redacted;
  }
}

/** Stands for a secret wherever a configuration is shown. */
export const redacted = 'redacted';
