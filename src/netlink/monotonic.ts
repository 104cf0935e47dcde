// The machine's monotonic clock, read into an array: `performance.now` allocates its answer, and a thread that must not
// wait for a garbage collection does not want that. The same clock is behind `performance.now`, with another zero.

import { libcCalls } from './sys.ts';

const CLOCK_MONOTONIC = 1;
const time = Buffer.allocUnsafeSlow(16);

/** Puts the milliseconds of CLOCK_MONOTONIC into a place of an array. */
export function readMonotonicMs(into: Float64Array, at: number): void {
  libcCalls.clock_gettime(CLOCK_MONOTONIC, time);
  into[at] = time.readUInt32LE(0) * 1000 + time.readUInt32LE(8) / 1e6;
}
