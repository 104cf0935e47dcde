// The router's batches: what they say, and which of their routes the kernel has answered for. Pure.

/** A change of routes by the router; reused by it after `apply` has returned. */
export interface FibBatch {
  seq: number;
  /** IPV4 0 or IPV6 1. */
  family: number;
  count: number;
  /** Prefixes: 1 word each (IPv4) or 4, most significant first, masked. */
  words: Uint32Array;
  lengths: Uint8Array;
  /** Set per prefix; -1 removes. */
  setIds: Int32Array;
  /** Metric per prefix, 0 for the table's; absent: the table's for all. */
  metrics?: Uint32Array;
}

/** A batch the router waits for. */
interface PendingBatch {
  seq: number;
  remaining: number;
  failed: number[];
  /** Of the failed ones, those that the kernel refused; the others wait for a link or a source address. */
  refused: number;
}

export class PendingBatches {
  readonly #pending = new Map<number, PendingBatch>();
  #next = 0;

  /** The number by which the routes of the batch know it. */
  add(batch: FibBatch): number {
    const number = this.#next++ & 0x3fff_ffff;
    this.#pending.set(number, { seq: batch.seq, remaining: batch.count, failed: [], refused: 0 });
    return number;
  }

  /** One of the batch's routes is done with. */
  settle(number: number, index: number, failed: boolean, refused: boolean): void {
    const pending = this.#pending.get(number)!;
    pending.remaining--;
    if (failed) pending.failed.push(index);
    if (refused) pending.refused++;
  }

  /** Batches that are complete, in order; a later one waits for an earlier one. */
  takeComplete(): { seq: number; failed: number[]; refused: number }[] {
    const done: { seq: number; failed: number[]; refused: number }[] = [];
    for (const [number, { seq, remaining, failed, refused }] of this.#pending) {
      if (remaining > 0) break;
      this.#pending.delete(number);
      done.push({ seq, failed, refused });
    }
    return done;
  }
}
