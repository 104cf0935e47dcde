// The table that the benchmarks replay, made from a seed: the same bytes on every machine. Shaped after the
// Internet table: 61 % /24 with a mean length of 22.8, 6.3 prefixes an attribute set (floored Pareto, capped at
// 500), 2 to 6 hops, communities on every set. One UPDATE a set, as a speaker sends its table.

import { ByteWriter, writeU16 } from '../src/lib/bytes.ts';
import { PrefixTable } from '../src/lib/prefix-table.ts';
import { Rng } from '../src/lib/rng.ts';

const HEADER_LENGTH = 19;
const CHUNK = 131_072;
const MESSAGE_MAX = 4096;

/** Prefix lengths in per mille: the weekly public reports, fitted to the published mean of 22.8. */
const lengthShares: readonly [length: number, perMille: number][] = [
  [24, 610],
  [23, 95],
  [22, 118],
  [21, 50],
  [20, 43],
  [19, 25],
  [18, 14],
  [17, 9],
  [16, 16],
  [15, 4],
  [14, 4],
  [13, 3],
  [12, 3],
  [11, 2],
  [10, 2],
  [9, 1],
  [8, 1],
];

export interface Workload {
  /** Every prefix once; its id is what receivers count by. */
  table: PrefixTable;
  count: number;
  /** Distinct attribute sets, which is the number of UPDATEs of an announcement. */
  sets: number;
  /** The whole table announced, and withdrawn, as whole messages in chunks to be written one after the other. */
  announce: Uint8Array[];
  withdraw: Uint8Array[];
}

/** What the announcing side is. */
export interface Announcer {
  asn: number;
  /** IPv4 next hop. */
  nextHop: readonly number[];
}

/** Makes `count` distinct routable IPv4 prefixes and the messages that announce and withdraw them. */
export function makeWorkload(count: number, announcer: Announcer, seed = 1): Workload {
  const rng = new Rng(seed);
  const table = new PrefixTable(1, count);
  while (table.size < count) addPrefix(table, rng);
  const announce = new Chunks();
  let sets = 0;
  for (let from = 0; from < count; sets++) {
    const to = Math.min(count, from + setSize(rng));
    writeUpdate(announce, rng, announcer, table, from, to);
    from = to;
  }
  const withdraw = new Chunks();
  for (let from = 0; from < count; ) from = writeWithdrawal(withdraw, table, from);
  return { table, count, sets, announce: announce.finish(), withdraw: withdraw.finish() };
}

function addPrefix(table: PrefixTable, rng: Rng): void {
  let share = rng.below(1000);
  let length = 24;
  for (const [candidate, perMille] of lengthShares) {
    length = candidate;
    share -= perMille;
    if (share < 0) break;
  }
  const first = rng.between(1, 223);
  // Loopback, the benchmark's own network and link-local addresses are no routes.
  if (first === 10 || first === 127 || first === 169) return;
  const address = ((first << 24) | (rng.u32() >>> 8)) & (-1 << (32 - length));
  table.add1(address >>> 0, length);
}

/** Floored Pareto with a mean of 6.3, capped at 500. */
function setSize(rng: Rng): number {
  const u = (rng.u32() + 1) / 0x1_0000_0001;
  return Math.min(500, Math.floor(u ** (-1 / 1.03)));
}

class Chunks {
  readonly #done: Uint8Array[] = [];
  #bytes = new Uint8Array(CHUNK);
  #length = 0;

  /** Where the next message begins; `end` closes it. */
  begin(): { bytes: Uint8Array; at: number } {
    if (this.#length + MESSAGE_MAX > CHUNK) this.finish();
    return { bytes: this.#bytes, at: this.#length };
  }

  end(at: number): void {
    const start = this.#length;
    this.#bytes.fill(0xff, start, start + 16);
    writeU16(this.#bytes, start + 16, at - start);
    this.#bytes[start + 18] = 2;
    this.#length = at;
  }

  finish(): Uint8Array[] {
    if (this.#length > 0) this.#done.push(this.#bytes.slice(0, this.#length));
    this.#length = 0;
    return this.#done;
  }
}

function writeUpdate(
  chunks: Chunks,
  rng: Rng,
  announcer: Announcer,
  table: PrefixTable,
  from: number,
  to: number,
): void {
  const attributes = new ByteWriter(256);
  attributes
    .u8(0x40)
    .u8(1)
    .u8(1)
    .u8(rng.chance(0.9) ? 0 : 2);
  const hops = rng.between(1, 5);
  attributes
    .u8(0x40)
    .u8(2)
    .u8(6 + 4 * hops)
    .u8(2)
    .u8(hops + 1)
    .u32(announcer.asn);
  for (let hop = 0; hop < hops; hop++) attributes.u32(rng.between(1000, 64000));
  attributes.u8(0x40).u8(3).u8(4);
  for (const byte of announcer.nextHop) attributes.u8(byte);
  if (rng.chance(0.3)) attributes.u8(0x80).u8(4).u8(4).u32(rng.below(1000));
  const communities = rng.between(1, 6);
  attributes
    .u8(0xc0)
    .u8(8)
    .u8(4 * communities);
  for (let i = 0; i < communities; i++) attributes.u16(announcer.asn).u16(rng.below(65_000));
  const { bytes, at: start } = chunks.begin();
  let at = start + HEADER_LENGTH;
  writeU16(bytes, at, 0);
  writeU16(bytes, at + 2, attributes.length);
  bytes.set(attributes.bytes.subarray(0, attributes.length), at + 4);
  at += 4 + attributes.length;
  for (let id = from; id < to; id++) at = writePrefix(bytes, at, table, id);
  chunks.end(at);
}

function writeWithdrawal(chunks: Chunks, table: PrefixTable, from: number): number {
  const { bytes, at: start } = chunks.begin();
  let at = start + HEADER_LENGTH + 2;
  let id = from;
  while (id < table.size && at < start + MESSAGE_MAX - 8) at = writePrefix(bytes, at, table, id++);
  writeU16(bytes, start + HEADER_LENGTH, at - start - HEADER_LENGTH - 2);
  writeU16(bytes, at, 0);
  chunks.end(at + 2);
  return id;
}

function writePrefix(bytes: Uint8Array, at: number, table: PrefixTable, id: number): number {
  const address = table.address[id]!;
  const length = table.length[id]!;
  bytes[at++] = length;
  for (let shift = 24; shift > 24 - length; shift -= 8) bytes[at++] = address >>> shift;
  return at;
}

/** A 4-octet-capable OPEN for IPv4 unicast (RFC 4271 4.2, RFC 5492, RFC 6793). */
export function openMessage(asn: number, routerId: readonly number[]): Uint8Array {
  const capabilities = [1, 4, 0, 1, 0, 1, 65, 4, 0, 0, asn >>> 8, asn & 0xff];
  const body = [
    4,
    asn >>> 8,
    asn & 0xff,
    0,
    240,
    ...routerId,
    capabilities.length + 2,
    2,
    capabilities.length,
  ];
  return message(1, [...body, ...capabilities]);
}

/** A message with its header. */
export function message(type: number, body: readonly number[]): Uint8Array {
  const length = HEADER_LENGTH + body.length;
  return Uint8Array.from([...new Array(16).fill(0xff), length >> 8, length & 0xff, type, ...body]);
}

/** Length of the message at `at`, or 0 while it is not whole. */
export function wholeMessage(bytes: Uint8Array, at: number, end: number): number {
  if (end - at < HEADER_LENGTH) return 0;
  const length = (bytes[at + 16]! << 8) | bytes[at + 17]!;
  return end - at < length ? 0 : length;
}
