// What an NLRI carries beside its key (labels, gateways, segment identifiers: wire/bgp/nlri/opaque.ts), kept once
// for all paths that carry the same. Id 0 is nothing. Cost: 19 B and the bytes for each distinct one.

import { assert } from '../lib/assert.ts';
import { ByteTable } from '../lib/byte-table.ts';
import type { HashKey } from '../lib/hash-key.ts';
import { grownCapacity, growU32 } from './columns.ts';

export class NlriData {
  /** References per id. */
  refs = new Uint32Array(64);
  readonly #table: ByteTable;

  constructor(hashKey?: HashKey) {
    this.#table = new ByteTable(hashKey);
  }

  /** Distinct contents in use. */
  get size(): number {
    return this.#table.size;
  }

  /** The id of bytes[start, end), 0 where that is empty; the caller owns a reference. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    if (end <= start) return 0;
    const id = this.#table.add(bytes, start, end) + 1;
    if (id >= this.refs.length) this.refs = growU32(this.refs, grownCapacity(this.refs.length, id + 1));
    this.refs[id]!++;
    return id;
  }

  retain(id: number): void {
    if (id !== 0) this.refs[id]!++;
  }

  release(id: number): void {
    if (id === 0) return;
    assert(this.refs[id]! > 0, 'NLRI data is released more often than it was retained');
    if (--this.refs[id]! === 0) this.#table.release(id - 1);
  }

  /** The page that holds the bytes, from `offset(id)` on, `length(id)` of them; `id` is not 0. */
  page(id: number): Uint8Array {
    return this.#table.page(id - 1);
  }

  offset(id: number): number {
    return this.#table.offset(id - 1);
  }

  length(id: number): number {
    return id === 0 ? 0 : this.#table.length[id - 1]!;
  }

  /** A copy of the bytes: for the edges. */
  copyOf(id: number): Uint8Array {
    return id === 0 ? new Uint8Array(0) : this.#table.copyOf(id - 1);
  }
}
