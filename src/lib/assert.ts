// Our own mistakes are assertions: they crash the daemon, which systemd restarts while graceful restart keeps
// the routes. A peer's mistakes are `Fault` values and an operator's are `LeafdError`; neither belongs here.

export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/** Throws when a condition that only a bug can break does not hold. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the default of an exhaustive switch: the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`);
}
