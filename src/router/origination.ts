// Routes of this router itself, from whatever source, one prefix at a time: guests (guest-routes.ts), configured
// networks and loopbacks, the operator's routes (statics.ts), aggregates (aggregates.ts), and what the kernel has that
// `redistribute` asks for. They are paths of peer 0. Where several sources have a prefix, the attributes are those of
// the first that its policy accepts, in the order below; where packets go says the first that knows, which is nobody
// for a network or a redistributed route: the kernel has them already.
//
// A guest's or operator's route that its policy refuses is in the kernel all the same, and told to nobody.

import { ByteWriter, readU32 } from '../lib/bytes.ts';
import { isLinkLocal6 } from '../net/ip.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import type { CompiledPolicy } from '../policy/program.ts';
import type { AttributePool } from '../rib/attribute-pool.ts';
import { NEXT_HOP_SELF } from '../rib/next-hop-table.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import type { Rib } from '../rib/rib.ts';
import { setU32Attribute } from '../wire/bgp/attribute/canonical.ts';
import { encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { MED } from '../wire/bgp/attribute/table.ts';
import { IPV4, IPV6 } from '../wire/bgp/family.ts';

/** What policies call the origin of a route of ours. */
export type LocalSource = 'local' | 'guest' | 'connected' | 'static' | 'kernel';

/** Who wants a prefix: `network` and `route` are configured, the last three are the kernel's. */
export type OriginKind = 'guest' | 'network' | 'route' | 'aggregate' | 'connected' | 'static' | 'kernel';

const precedence: readonly OriginKind[] = [
  'guest',
  'network',
  'route',
  'aggregate',
  'connected',
  'static',
  'kernel',
];

const sources: Readonly<Record<OriginKind, LocalSource>> = {
  guest: 'guest',
  network: 'local',
  route: 'static',
  aggregate: 'local',
  connected: 'connected',
  static: 'static',
  kernel: 'kernel',
};

/** What a source has to say of a prefix. */
export interface Offer {
  /** Canonical, before the policy. */
  attributes: Uint8Array;
  policy?: CompiledPolicy;
  tag?: number;
  /** Ids of the next hop table that packets go to; absent: they are ours, or the kernel knows. */
  nextHops?: readonly number[];
}

export interface OriginationHost {
  rib(family: number): Rib;
  /** Runs the policy of an offer; undefined refuses the route. The result is canonical. */
  shape(prefix: Prefix, source: LocalSource, offer: Offer): Uint8Array | undefined;
}

interface Originated {
  prefix: Prefix;
  offers: Map<OriginKind, Offer>;
  /** The one announced, or undefined when policy refuses all. */
  announced: OriginKind | undefined;
  /** In the kernel, but its policy refuses it. */
  isKeptHere: boolean;
  /** Paths in the rib: as many as next hops. */
  pathCount: number;
}

const self: readonly number[] = [NEXT_HOP_SELF];

/** ORIGIN and an empty AS_PATH, what every route of ours begins with; `med` where it is not 0. */
export function plainAttributes(origin: 'igp' | 'incomplete', med = 0): Uint8Array {
  if (med === 0) return plain[origin];
  const out = new ByteWriter(32);
  setU32Attribute(out, plain[origin], 0, plain[origin].length, MED, med);
  return out.take();
}

const plain = {
  igp: encodeAttributes({ origin: 'igp', asPath: '' }),
  incomplete: encodeAttributes({ origin: 'incomplete', asPath: '' }),
};
const keptHere = encodeAttributes({ origin: 'igp', asPath: '', communities: ['no-advertise'] });

export class Origination {
  readonly #host: OriginationHost;
  readonly #pool: AttributePool;
  readonly #routes = new Map<string, Originated>();

  constructor(host: OriginationHost, pool: AttributePool) {
    this.#host = host;
    this.#pool = pool;
  }

  get size(): number {
    return this.#routes.size;
  }

  /** Offers a prefix, or offers it otherwise than before. */
  add(prefix: Prefix, kind: OriginKind, offer: Offer): void {
    if (prefix.bytes.length === 16 && prefix.length >= 10 && isLinkLocal6(prefix.bytes)) return;
    const key = prefixText(prefix);
    let route = this.#routes.get(key);
    if (route === undefined) {
      route = { prefix, offers: new Map(), announced: undefined, isKeptHere: false, pathCount: 0 };
      this.#routes.set(key, route);
    }
    route.offers.set(kind, offer);
    this.#announce(route);
  }

  remove(prefix: Prefix, kind: OriginKind): void {
    const key = prefixText(prefix);
    const route = this.#routes.get(key);
    if (route === undefined || !route.offers.delete(kind)) return;
    if (route.offers.size === 0) this.#routes.delete(key);
    this.#announce(route);
  }

  /** Where a prefix of ours comes from, in the words of policies, or undefined when it is not ours. */
  sourceOf(prefix: Prefix): LocalSource | undefined {
    const kind = this.kindOf(prefix);
    return kind && sources[kind];
  }

  /** Who wants a prefix of ours. */
  kindOf(prefix: Prefix): OriginKind | undefined {
    return this.#routes.get(prefixText(prefix))?.announced;
  }

  /** Whether its policy refuses a prefix of ours that is in the kernel all the same: nobody is told. */
  isKeptHere(prefix: Prefix): boolean {
    return this.#routes.get(prefixText(prefix))?.isKeptHere === true;
  }

  /** The operator's tag of a prefix of ours, 0 where it has none. */
  tagOf(prefix: Prefix): number {
    const route = this.#routes.get(prefixText(prefix));
    return (route?.announced && route.offers.get(route.announced)?.tag) ?? 0;
  }

  #announce(route: Originated): void {
    const chosen = this.#choose(route);
    route.announced = chosen?.kind;
    route.isKeptHere = chosen?.attributes === keptHere;
    if (chosen === undefined) this.#put(route, undefined, []);
    else this.#put(route, chosen.attributes, wayOf(route));
  }

  #choose(route: Originated): { kind: OriginKind; attributes: Uint8Array } | undefined {
    for (const kind of precedence) {
      const offer = route.offers.get(kind);
      if (offer === undefined) continue;
      const attributes = this.#host.shape(route.prefix, sources[kind], offer);
      if (attributes !== undefined) return { kind, attributes };
    }
    const kind = (['guest', 'route'] as const).find((one) => route.offers.has(one));
    return kind && { kind, attributes: keptHere };
  }

  /** Makes the paths in the rib those that are wanted. */
  #put(route: Originated, attributes: Uint8Array | undefined, nextHops: readonly number[]): void {
    const { bytes, length } = route.prefix;
    const four = bytes.length === 4;
    const rib = this.#host.rib(four ? IPV4 : IPV6);
    const a = readU32(bytes, 0);
    const b = four ? 0 : readU32(bytes, 4);
    const c = four ? 0 : readU32(bytes, 8);
    const d = four ? 0 : readU32(bytes, 12);
    if (attributes !== undefined) {
      const attrId = this.#pool.intern(attributes, 0, attributes.length);
      for (let i = 0; i < nextHops.length; i++)
        rib.announceOne(LOCAL_PEER, a, b, c, d, length, i, attrId, nextHops[i]!);
      this.#pool.release(attrId);
    }
    for (let i = nextHops.length; i < route.pathCount; i++)
      rib.withdrawOne(LOCAL_PEER, a, b, c, d, length, i);
    route.pathCount = nextHops.length;
  }
}

/** A refused aggregate discards nothing: only what is in the routing table is in the kernel. */
function wayOf(route: Originated): readonly number[] {
  const way = route.offers.get('guest')?.nextHops ?? route.offers.get('route')?.nextHops;
  if (way !== undefined) return way;
  return (route.announced === 'aggregate' && route.offers.get('aggregate')!.nextHops) || self;
}
