// What members tell each other of one address of a pool, and how two tellings become one whatever their order. Only
// the home of an address (dhcp-plan.ts) begins another generation of it: another client, or nobody. Within a
// generation the client stays the same, and any member may lengthen its lease: `count` grows. Ends are never made
// earlier by hearing something, so that who once agreed to a longer lease stands by it (dhcp-leases.ts says why).
//
// Clocks of members are their own: between them goes what is left of a lease, which a slow message can only lengthen.

/** The end of a lease is by the monotonic clock of who holds the record. */
export interface LeaseRecord {
  /** Place of the address in its pool. */
  index: number;
  generation: number;
  /** Changes within the generation, and who made the last. */
  count: number;
  by: string;
  state: 'free' | 'bound' | 'declined';
  /** Key of the client; empty for a free address. */
  client: string;
  /** No other client may have the address before; 0 for a free one. */
  endMs: number;
}

/** As told to another member, and as kept on disk. */
export interface ToldRecord {
  index: number;
  generation: number;
  count: number;
  by: string;
  state: 'free' | 'bound' | 'declined';
  client: string;
  leftMs: number;
}

export function tellRecord(record: LeaseRecord, nowMs: number): ToldRecord {
  const { index, generation, count, by, state, client, endMs } = record;
  return { index, generation, count, by, state, client, leftMs: Math.max(0, endMs - nowMs) };
}

export function hearRecord(told: ToldRecord, nowMs: number): LeaseRecord {
  const { index, generation, count, by, state, client, leftMs } = told;
  return { index, generation, count, by, state, client, endMs: state === 'free' ? 0 : nowMs + leftMs };
}

/** Both as one; `mine` itself where the other says nothing new. */
export function mergeRecords(mine: LeaseRecord | undefined, other: LeaseRecord): LeaseRecord {
  if (mine === undefined) return other;
  const order = compareVersions(mine, other);
  // The same version again: its end was reckoned when it came first, and late copies must not move it.
  if (order === 0) return mine;
  const winner = order > 0 ? mine : other;
  const loser = order > 0 ? other : mine;
  // What another generation ended is over, unless it was the same client's.
  const counts = loser.generation === winner.generation || loser.client === winner.client;
  if (winner.state === 'free' || !counts || loser.endMs <= winner.endMs) return winner;
  return { ...winner, endMs: loser.endMs };
}

/** Positive where a is later. Of equal counts a binding counts more than a declined one. */
export function compareVersions(a: LeaseRecord, b: LeaseRecord): number {
  if (a.generation !== b.generation) return a.generation - b.generation;
  if (a.count !== b.count) return a.count - b.count;
  if (a.state !== b.state)
    return a.state === 'bound' ? 1 : b.state === 'bound' ? -1 : a.state < b.state ? 1 : -1;
  if (a.by !== b.by) return a.by > b.by ? 1 : -1;
  return a.client === b.client ? 0 : a.client > b.client ? 1 : -1;
}

const TEXT_MAX = 600;
const COUNTER_MAX = 2 ** 48;
/** Longest lease that is believed: what protocols can say. */
const LEFT_MAX_MS = 2 ** 32 * 1000;

/** A record from a message or a file, or undefined when it is none. `size` is that of the pool. */
export function readRecord(value: unknown, size: number): ToldRecord | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { index, generation, count, by, state, client, leftMs } = value as Record<string, unknown>;
  if (!isCounter(index) || index >= size || !isCounter(generation) || !isCounter(count)) return undefined;
  if (typeof by !== 'string' || by.length > TEXT_MAX) return undefined;
  if (typeof client !== 'string' || client.length > TEXT_MAX) return undefined;
  if (state !== 'free' && state !== 'bound' && state !== 'declined') return undefined;
  if ((state === 'free') !== (client === '')) return undefined;
  if (typeof leftMs !== 'number' || !(leftMs >= 0 && leftMs <= LEFT_MAX_MS)) return undefined;
  return { index, generation, count, by, state, client, leftMs };
}

function isCounter(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < COUNTER_MAX;
}
