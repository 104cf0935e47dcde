// What members of a pool tell each other, as values that go through JSON, and what is believed of what comes in: a
// message that breaks a limit is none. Who sent it is known from the connection, not from the message.

import { readRecord, type ToldRecord } from './dhcp-record.ts';

/** Addresses in a message at most. */
export const BATCH = 128;
/** Addresses that one sum of a digest covers. */
export const BUCKET = 32;
const BUCKETS_MAX = 65_536 / BUCKET;

export type DhcpMessage =
  /** A change; who agrees to be bound by it says so. */
  | { kind: 'put'; id: number; record: ToldRecord }
  | { kind: 'ack'; id: number }
  /** A later generation is known or promised. */
  | { kind: 'refuse'; id: number; index: number; promised: number; records: ToldRecord[] }
  /** May these addresses be taken back, each with the generation that would follow? */
  | { kind: 'reclaim'; wants: [index: number, generation: number][] }
  | { kind: 'confirm'; wants: [index: number, generation: number][]; records: ToldRecord[] }
  /** Sums of versions, a bucket each; who has others in a bucket tells them. */
  | { kind: 'digest'; sums: number[] }
  | { kind: 'records'; records: ToldRecord[]; wants: number[] };

/** A message for a pool of `size` addresses, or undefined when it is none. */
export function readDhcpMessage(value: unknown, size: number): DhcpMessage | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const said = value as Record<string, unknown>;
  const { kind, id } = said;
  switch (kind) {
    case 'put': {
      const record = readRecord(said.record, size);
      return record !== undefined && isWhole(id) ? { kind, id, record } : undefined;
    }
    case 'ack':
      return isWhole(id) ? { kind, id } : undefined;
    case 'refuse': {
      const records = list(said.records, 1, (one) => readRecord(one, size));
      if (records === undefined || !isWhole(id) || !isWhole(said.promised) || !isIndex(said.index, size))
        return undefined;
      return { kind, id, index: said.index, promised: said.promised, records };
    }
    case 'reclaim':
    case 'confirm': {
      const wants = list(said.wants, BATCH, (one) => readWant(one, size));
      if (wants === undefined || kind === 'reclaim') return wants && { kind: 'reclaim', wants };
      const records = list(said.records, BATCH, (one) => readRecord(one, size));
      return records && { kind, wants, records };
    }
    case 'digest': {
      const sums = list(said.sums, BUCKETS_MAX, (one) => (isWhole(one) ? one : undefined));
      return sums && { kind, sums };
    }
    case 'records': {
      const records = list(said.records, BATCH, (one) => readRecord(one, size));
      const wants = list(said.wants, BUCKETS_MAX, (one) => (isWhole(one) ? one : undefined));
      return records && wants && { kind, records, wants };
    }
    default:
      return undefined;
  }
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isIndex(value: unknown, size: number): value is number {
  return isWhole(value) && value < size;
}

function readWant(value: unknown, size: number): [number, number] | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [index, generation] = value as unknown[];
  return isIndex(index, size) && isWhole(generation) ? [index, generation] : undefined;
}

function list<T>(value: unknown, max: number, read: (one: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value) || value.length > max) return undefined;
  const all: T[] = [];
  for (const one of value) {
    const got = read(one);
    if (got === undefined) return undefined;
    all.push(got);
  }
  return all;
}
