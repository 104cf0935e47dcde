// Routes of this router itself: configured networks and loopbacks, and what the kernel has that `redistribute`
// asks for. One path a prefix, from peer 0; where several sources have the same prefix the operator's word counts
// before a connected route, that before a static one, that before another program's.

import { readU32 } from '../lib/bytes.ts';
import { isLinkLocal6 } from '../net/ip.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import type { AttributePool } from '../rib/attribute-pool.ts';
import { NEXT_HOP_SELF } from '../rib/next-hop-table.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import type { Rib } from '../rib/rib.ts';
import { encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';

export type LocalSource = 'local' | 'connected' | 'static' | 'kernel';

const precedence: readonly LocalSource[] = ['local', 'connected', 'static', 'kernel'];

export interface OriginationHost {
  rib(family: number): Rib;
  /**
   * What a redistributed route looks like after its policy; undefined refuses it. `attributes` are canonical.
   */
  shape(prefix: Prefix, source: LocalSource, attributes: Uint8Array): Uint8Array | undefined;
}

interface Originated {
  prefix: Prefix;
  sources: Set<LocalSource>;
  /** The one announced, or undefined when policy refuses all. */
  announced: LocalSource | undefined;
}

export class Origination {
  readonly #host: OriginationHost;
  readonly #pool: AttributePool;
  readonly #routes = new Map<string, Originated>();
  readonly #plain = {
    igp: encodeAttributes({ origin: 'igp', asPath: '' }),
    incomplete: encodeAttributes({ origin: 'incomplete', asPath: '' }),
  };

  constructor(host: OriginationHost, pool: AttributePool) {
    this.#host = host;
    this.#pool = pool;
  }

  get size(): number {
    return this.#routes.size;
  }

  add(prefix: Prefix, source: LocalSource): void {
    if (prefix.bytes.length === 16 && prefix.length >= 10 && isLinkLocal6(prefix.bytes)) return;
    const key = prefixText(prefix);
    let route = this.#routes.get(key);
    if (route === undefined) {
      route = { prefix, sources: new Set(), announced: undefined };
      this.#routes.set(key, route);
    }
    route.sources.add(source);
    this.#announce(route);
  }

  remove(prefix: Prefix, source: LocalSource): void {
    const key = prefixText(prefix);
    const route = this.#routes.get(key);
    if (route === undefined || !route.sources.delete(source)) return;
    if (route.sources.size === 0) this.#routes.delete(key);
    this.#announce(route);
  }

  /** A policy of `redistribute` has changed: everything passes it again. */
  reshape(): void {
    for (const route of this.#routes.values()) this.#announce(route);
  }

  /** Where a prefix of ours comes from, or undefined when it is not ours. */
  sourceOf(prefix: Prefix): LocalSource | undefined {
    return this.#routes.get(prefixText(prefix))?.announced;
  }

  #announce(route: Originated): void {
    const { bytes, length } = route.prefix;
    const four = bytes.length === 4;
    const rib = this.#host.rib(four ? IPV4 : IPV6);
    const a = readU32(bytes, 0);
    const b = four ? 0 : readU32(bytes, 4);
    const c = four ? 0 : readU32(bytes, 8);
    const d = four ? 0 : readU32(bytes, 12);
    for (const source of precedence) {
      if (!route.sources.has(source)) continue;
      const base = source === 'local' ? this.#plain.igp : this.#plain.incomplete;
      const attributes = source === 'local' ? base : this.#host.shape(route.prefix, source, base);
      if (attributes === undefined) continue;
      const attrId = this.#pool.intern(attributes, 0, attributes.length);
      rib.announceOne(LOCAL_PEER, a, b, c, d, length, 0, attrId, NEXT_HOP_SELF);
      this.#pool.release(attrId);
      route.announced = source;
      return;
    }
    if (route.announced !== undefined) rib.withdrawOne(LOCAL_PEER, a, b, c, d, length, 0);
    route.announced = undefined;
  }
}
