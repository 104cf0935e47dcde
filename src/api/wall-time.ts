// The router counts monotonic milliseconds; people read dates. One offset ties the two together.

export interface WallTime {
  /** Milliseconds since 1970 at the router's zero. */
  readonly originMs: number;
  nowMs(): number;
}

/** ISO 8601 of a time of the router's clock. */
export function isoOf(time: WallTime, atMs: number): string {
  return new Date(time.originMs + atMs).toISOString();
}

/** Whole seconds since a time of the router's clock. */
export function secondsSince(time: WallTime, atMs: number): number {
  return Math.max(0, Math.floor((time.nowMs() - atMs) / 1000));
}
