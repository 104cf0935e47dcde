// The machine's monotonic clock behind the `Clock` interface.

import type { Clock } from './clock.ts';

export const realClock: Clock = { nowMs: () => performance.now() };
