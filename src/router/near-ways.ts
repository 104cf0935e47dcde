// Prefixes that would lead past what is next to us. A neighbour on a connected subnet is reached over that subnet, and
// nothing that anybody announces may change it: a /32 of the ToR's address, told by a speaker of this host, would take
// the session with the ToR away and every route with it, and a /31 around the host's address those of the host. So what
// is longer than the connected subnet and holds such an address is neither given to the kernel nor resolves a next hop;
// neighbours are told of it as of any other route. Addresses that we announce one by one out of a connected subnet,
// those of the host behind a router, are held likewise.
//
// Not asked of: neighbours farther away, those that a range let in, and where there are guests, which are within a
// connected subnet and move.

import { readU32 } from '../lib/bytes.ts';
import { PrefixTable } from '../lib/prefix-table.ts';
import type { Prefix } from '../net/prefix.ts';
import type { RouterConfig } from './config.ts';
import { maskInto, type Resolver } from './resolver.ts';

interface HalfTable {
  table: PrefixTable;
  /** How many there are of each length. */
  lengths: Uint32Array;
}

export class NearWays {
  readonly #four: HalfTable = { table: new PrefixTable(1, 64), lengths: new Uint32Array(33) };
  readonly #six: HalfTable = { table: new PrefixTable(4, 64), lengths: new Uint32Array(129) };
  #known = new Map<string, Prefix>();

  /** Whether the prefix leads past what is next to us. IPv4 in `a`. */
  has(four: boolean, a: number, b: number, c: number, d: number, length: number): boolean {
    const { table, lengths } = four ? this.#four : this.#six;
    if (lengths[length] === 0) return false;
    return (four ? table.find1(a, length) : table.find4(a, b, c, d, length)) >= 0;
  }

  /** Follows configuration and connected subnets; returns the prefixes of which another is true now. */
  follow(config: RouterConfig, resolver: Resolver): Prefix[] {
    const wanted = new Map<string, Prefix>();
    for (const address of addressesOf(config)) addPrefixesPast(address, resolver, wanted);
    const changed: Prefix[] = [];
    for (const [key, prefix] of this.#known)
      if (!wanted.has(key)) {
        changed.push(prefix);
        this.#put(prefix, false);
      }
    for (const [key, prefix] of wanted)
      if (!this.#known.has(key)) {
        changed.push(prefix);
        this.#put(prefix, true);
      }
    this.#known = wanted;
    return changed;
  }

  #put({ bytes, length }: Prefix, isThere: boolean): void {
    const four = bytes.length === 4;
    const { table, lengths } = four ? this.#four : this.#six;
    const [a, b, c, d] = wordsOf(bytes);
    lengths[length]! += isThere ? 1 : -1;
    if (isThere) four ? table.add1(a, length) : table.add4(a, b, c, d, length);
    else table.release(four ? table.find1(a, length) : table.find4(a, b, c, d, length));
  }
}

/** Four words; IPv4 in the first. */
export function wordsOf(bytes: Uint8Array): [number, number, number, number] {
  if (bytes.length === 4) return [readU32(bytes, 0), 0, 0, 0];
  return [readU32(bytes, 0), readU32(bytes, 4), readU32(bytes, 8), readU32(bytes, 12)];
}

function addressesOf({ peers, networks, guests }: RouterConfig): Uint8Array[] {
  if (guests !== undefined) return [];
  const neighbours = peers.flatMap((peer) =>
    peer.kind === 'address' && peer.multihop === 1 && peer.interface === undefined ? [peer.address] : [],
  );
  const single = networks.filter(({ bytes, length }) => length === bytes.length * 8);
  return [...neighbours, ...single.map(({ bytes }) => bytes)];
}

/** Adds what holds the address within the connected subnet that leads to it. */
function addPrefixesPast(address: Uint8Array, resolver: Resolver, wanted: Map<string, Prefix>): void {
  const subnet = connectedLength(address, resolver);
  if (subnet === undefined) return;
  for (let length = address.length * 8; length > subnet; length--) {
    const prefix = { bytes: masked(address, length), length };
    const key = keyOf(prefix);
    // What is shorter is there then, too: neighbours of one subnet share most of it.
    if (wanted.has(key)) return;
    wanted.set(key, prefix);
  }
}

/** Of the longest connected subnet that an address is in. */
function connectedLength(address: Uint8Array, resolver: Resolver): number | undefined {
  for (let length = address.length * 8; length > 0; length--) {
    if (!resolver.hasLength(address, length)) continue;
    const routes = resolver.routesOf(masked(address, length), length);
    if (routes.some(({ source }) => source === 'connected')) return length;
  }
  return undefined;
}

function masked(address: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(address.length);
  maskInto(bytes, address, length);
  return bytes;
}

function keyOf({ bytes, length }: Prefix): string {
  return `${bytes.join('.')}/${length}`;
}
