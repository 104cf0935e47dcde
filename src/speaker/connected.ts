// Connected subnets out of addresses: a link is connected to a subnet as long as any address on it is in the subnet. A
// temporary IPv6 address that expires, or an alias that is taken away, must not make next hops unreachable.

import { type Prefix, prefixOf, prefixText } from '../net/prefix.ts';

export class ConnectedSubnets {
  /** Addresses by interface and subnet. */
  readonly #holders = new Map<string, Set<string>>();

  /** An address came, or is told again; the subnet if it is new. */
  add(address: Uint8Array, length: number, ifindex: number): Prefix | undefined {
    const { prefix, key } = subnetOf(address, length, ifindex);
    const holders = this.#holders.get(key) ?? new Set<string>();
    const isNew = holders.size === 0;
    this.#holders.set(key, holders.add(address.join('.')));
    return isNew ? prefix : undefined;
  }

  /** An address went; the subnet if it was its last. */
  remove(address: Uint8Array, length: number, ifindex: number): Prefix | undefined {
    const { prefix, key } = subnetOf(address, length, ifindex);
    const holders = this.#holders.get(key);
    if (holders === undefined || !holders.delete(address.join('.')) || holders.size > 0) return undefined;
    this.#holders.delete(key);
    return prefix;
  }
}

function subnetOf(address: Uint8Array, length: number, ifindex: number): { prefix: Prefix; key: string } {
  const prefix = prefixOf(address, length);
  return { prefix, key: `${prefixText(prefix)} ${ifindex}` };
}
