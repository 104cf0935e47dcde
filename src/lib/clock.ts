// Time is passed in, so that a whole fabric can run under a virtual clock. Milliseconds, monotonic: the zero
// point means nothing; only differences do. The real clock lives in `clock-real.ts`, which pure rooms may not import.

/** A source of monotonic milliseconds. */
export interface Clock {
  nowMs(): number;
}

/** A clock that moves only when told to: for tests (the simulator's is sim/schedule.ts). */
export class VirtualClock implements Clock {
  #nowMs: number;
  constructor(startMs = 0) {
    this.#nowMs = startMs;
  }
  nowMs(): number {
    return this.#nowMs;
  }
  /** Moves to `ms`; time never goes back. */
  advanceTo(ms: number): void {
    if (ms > this.#nowMs) this.#nowMs = ms;
  }
}
