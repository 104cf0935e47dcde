// All sources of validated payloads of a router: caches in the operator's order of preference, and a file of local
// exceptions that counts beside whichever cache is believed (RFC 8210 section 10). The first cache whose data are fresh
// is used; where none is, the first that still has data, until they expire. Pure: the speaker brings sockets and time.

import type { HashKey } from '../lib/hash-key.ts';
import { CacheClient, type CachePorts, type CacheSettings } from './client.ts';
import type { FileVrp } from './vrp-file.ts';
import { SOURCES_MAX, sourceBit, VrpTable } from './vrp-table.ts';

/** Caches there may be; the file is a source of its own. */
export const CACHES_MAX = SOURCES_MAX - 1;

const FILE = SOURCES_MAX - 1;
/** Payloads looked at in one piece of cleaning. */
const SWEEP_SLICE = 8192;

/** What a cache is asked to do; `cache` is its place in the order. */
export interface CachesPorts {
  connect(cache: number): void;
  send(cache: number, bytes: Uint8Array): void;
  close(cache: number): void;
  /** Routes are to be judged anew. */
  changed(): void;
}

export class Caches {
  readonly table: VrpTable;
  readonly clients: readonly CacheClient[];
  /** The place of the cache that is believed, or -1. */
  inUse = -1;
  fileVrps = 0;
  #fileGeneration: 0 | 1 = 0;
  readonly #ports: CachesPorts;

  /** At most CACHES_MAX caches, the most preferred first. */
  constructor(settings: readonly CacheSettings[], ports: CachesPorts, hashKey?: HashKey) {
    this.table = new VrpTable(hashKey);
    this.#ports = ports;
    this.clients = settings.map((one, cache) => {
      const own: CachePorts = {
        connect: () => ports.connect(cache),
        send: (bytes) => ports.send(cache, bytes),
        close: () => ports.close(cache),
        changed: () => this.#dataChanged(cache),
      };
      return new CacheClient(this.table, cache, one, own);
    });
  }

  start(nowMs: number): void {
    for (const client of this.clients) client.start(nowMs);
  }

  stop(): void {
    for (const client of this.clients) client.stop();
  }

  /** Payloads in use. */
  get vrpCount(): number {
    return this.fileVrps + (this.clients[this.inUse]?.vrpCount ?? 0);
  }

  /** Puts the content of the file in force, whole; none takes the former away. */
  setFile(vrps: readonly FileVrp[]): void {
    const { table } = this;
    const before = this.fileVrps === 0 ? 0 : sourceBit(FILE, this.#fileGeneration);
    this.#fileGeneration = this.#fileGeneration === 0 ? 1 : 0;
    const bit = sourceBit(FILE, this.#fileGeneration);
    table.beginSweep(bit);
    while (table.sweep(1 << 16));
    this.fileVrps = 0;
    for (const { family, words, length, maxLength, asn } of vrps)
      if (table.add(family, words[0], words[1], words[2], words[3], length, maxLength, asn, bit))
        this.fileVrps++;
    if (before !== 0) table.beginSweep(before);
    this.#choose();
    this.#ports.changed();
  }

  /** Bounded work of `nowMs`: timers, the choice, cleaning. Whether there is more at once. */
  work(nowMs: number): boolean {
    for (const client of this.clients) if (client.nextDeadlineMs() <= nowMs) client.expire(nowMs);
    if (this.#choose(nowMs)) this.#ports.changed();
    return this.table.sweep(SWEEP_SLICE);
  }

  /** When `work` has to be called; Infinity for never. */
  nextDeadlineMs(nowMs: number): number {
    let deadline = Number.POSITIVE_INFINITY;
    for (const client of this.clients) {
      deadline = Math.min(deadline, client.nextDeadlineMs());
      // Data that cease to be fresh may give way to another cache's.
      if (this.clients.length > 1 && client.isFresh(nowMs))
        deadline = Math.min(deadline, client.updatedAtMs + client.refreshMs + client.retryMs + 1);
    }
    return deadline;
  }

  #dataChanged(cache: number): void {
    const before = this.inUse;
    this.#choose();
    // Data of a cache that is only held in reserve judge nothing.
    if (this.inUse === cache || before === cache) this.#ports.changed();
  }

  /** Which cache is believed from now on; whether it is another one. Without a time, whoever has just told is fresh. */
  #choose(nowMs = this.#latestMs()): boolean {
    let chosen = this.clients.findIndex((client) => client.isFresh(nowMs));
    if (chosen < 0) chosen = this.clients.findIndex((client) => client.updatedAtMs !== 0);
    const isOther = chosen !== this.inUse;
    this.inUse = chosen;
    const file = this.fileVrps === 0 ? 0 : sourceBit(FILE, this.#fileGeneration);
    this.table.active = file | (this.clients[chosen]?.bit ?? 0);
    return isOther;
  }

  #latestMs(): number {
    return this.clients.reduce((latest, { updatedAtMs }) => Math.max(latest, updatedAtMs), 0);
  }
}
