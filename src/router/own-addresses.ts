// Addresses of this machine and the links they are on: a next hop that is one of them would be a loop, and a session
// over one family needs an address of the other on its link as next hop (RFC 2545, section 3). An address that several
// links have stays ours until the last of them loses it; a link-local one is ours on its own link only.

import { isLoopback6 } from '../net/ip.ts';
import { isOnLink } from './offer.ts';

interface Own {
  address: Uint8Array;
  /** Prefix lengths by interface: the kernel may have one address twice. */
  holders: Map<number, Set<number>>;
}

export class OwnAddresses {
  readonly #own = new Map<string, Own>();

  add(address: Uint8Array, ifindex: number, prefixLength: number): void {
    const key = keyOf(address, ifindex);
    const own = this.#own.get(key) ?? { address, holders: new Map<number, Set<number>>() };
    const lengths = own.holders.get(ifindex) ?? new Set<number>();
    own.holders.set(ifindex, lengths.add(prefixLength));
    this.#own.set(key, own);
  }

  remove(address: Uint8Array, ifindex: number, prefixLength: number): void {
    const key = keyOf(address, ifindex);
    const own = this.#own.get(key);
    const lengths = own?.holders.get(ifindex);
    if (own === undefined || lengths === undefined) return;
    lengths.delete(prefixLength);
    if (lengths.size === 0) own.holders.delete(ifindex);
    if (own.holders.size === 0) this.#own.delete(key);
  }

  /** Whether the address is ours; `ifindex` counts for a link-local one. */
  has(address: Uint8Array, ifindex: number): boolean {
    return this.#own.has(keyOf(address, ifindex));
  }

  /**
   * Our address of `length` bytes that somebody on the link of our address `near` can use as a next hop: a global one
   * on that link, else any IPv6 one of ours. Never a link-local one: FRR ends a session over IPv4 that tells one
   * before it knows its own interface.
   */
  beside(near: Uint8Array, ifindex: number, length: 4 | 16): Uint8Array | undefined {
    const links = this.#own.get(keyOf(near, ifindex))?.holders;
    let elsewhere: Uint8Array | undefined;
    for (const { address, holders } of this.#own.values()) {
      if (address.length !== length || !isGlobal(address)) continue;
      if (links !== undefined && [...holders.keys()].some((link) => links.has(link))) return address;
      if (length === 16) elsewhere ??= address;
    }
    return elsewhere;
  }
}

function keyOf(address: Uint8Array, ifindex: number): string {
  const text = address.join('.');
  return isOnLink(address) ? `${text}%${ifindex}` : text;
}

function isGlobal(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] !== 127;
  return !isLoopback6(address) && !isOnLink(address);
}
