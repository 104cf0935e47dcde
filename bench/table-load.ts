// A main thread at work as while tables load: UPDATEs decoded, attributes interned, prefixes stored, and an object a
// prefix besides, so that there is garbage to collect. For what has to keep its time meanwhile.

import { PrefixTable } from '../src/lib/prefix-table.ts';
import { AttributePool } from '../src/rib/attribute-pool.ts';
import { IPV4 } from '../src/wire/bgp/family.ts';
import { UpdateDecoder } from '../src/wire/bgp/update.ts';
import { makeWorkload, type Workload, wholeMessage } from './workload.ts';

export class TableLoad {
  readonly #workload: Workload;
  readonly #decoder = new UpdateDecoder();
  #pool = newPool();
  #table = new PrefixTable(1, 1024);
  #routes = new Map<number, object>();
  #chunk = 0;
  #at = 0;
  /** Whole tables loaded so far. */
  tables = 0;

  constructor(prefixes: number) {
    this.#workload = makeWorkload(prefixes, { asn: 65001, nextHop: [10, 99, 0, 2] });
  }

  /** Works for so long without a break, as one turn of the loop. */
  run(ms: number): void {
    const endMs = performance.now() + ms;
    while (performance.now() < endMs) for (let i = 0; i < 32; i++) this.#message();
  }

  #message(): void {
    const { announce, table } = this.#workload;
    const chunk = announce[this.#chunk]!;
    const end = this.#at + wholeMessage(chunk, this.#at, chunk.length);
    const context = { asn4: true, internal: false, families: 1 << IPV4, addPath: 0 };
    const view = this.#decoder.decode(chunk, this.#at + 19, end, context);
    this.#pool.intern(view.attrs, 0, view.attrsLength);
    const id = this.#table.size % table.size;
    this.#table.add1(table.address[id]!, table.length[id]!);
    this.#routes.set(id, { id, attributes: view.attrs.slice(0, view.attrsLength), seen: [this.tables, end] });
    this.#at = end;
    if (end < chunk.length) return;
    this.#at = 0;
    if (++this.#chunk < announce.length) return;
    this.#chunk = 0;
    this.tables++;
    this.#pool = newPool();
    this.#table = new PrefixTable(1, 1024);
    this.#routes = new Map();
  }
}

function newPool(): AttributePool {
  return new AttributePool({ asn: 65000, routerId: 1, clusterId: 1 });
}
