// What a peer did wrong, and whom we did not let in, as the API tells it.

import type { PeerFaults } from '../router/fault-log.ts';
import type { PeerFaultsView } from './views.ts';
import { isoOf, type WallTime } from './wall-time.ts';

/** The faults of a peer since it is known; undefined where there are none. */
export function faultsView(faults: PeerFaults, time: WallTime): PeerFaultsView | undefined {
  if (faults.total === 0) return undefined;
  return {
    total: faults.total,
    counts: faults.counts.map(({ name, disposition, count, lastAtMs }) => ({
      attribute: name,
      disposition,
      count,
      lastAt: isoOf(time, lastAtMs),
    })),
    recent: faults.recent.map(({ atMs, name, offset, bytes, disposition, reason, family }) => ({
      at: isoOf(time, atMs),
      attribute: name,
      ...(offset !== undefined && { offset }),
      ...(bytes !== undefined && { bytes }),
      disposition,
      reason,
      ...(family !== undefined && { family }),
    })),
  };
}
