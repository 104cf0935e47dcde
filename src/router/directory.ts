// Who our peers are: the ones configured by address, one for every interface that matches a pattern, one for
// every stranger from a configured range. Follows links and neighbours for the unnumbered ones: a peer exists as
// soon as its interface does, and gets its address when the other end is heard. Starting and stopping sessions
// is the router's; this file only says which peers there are and what they are called.

import { matchesPattern } from '../intent/pattern.ts';
import { formatIp, isLinkLocal6 } from '../net/ip.ts';
import { prefixContainsIp } from '../net/prefix.ts';
import type { AddressPeer, InterfacePeer, PeerConfig, RangePeer } from './config.ts';
import type { Peer } from './peer.ts';

/** A network interface as far as BGP cares. */
export interface Link {
  ifindex: number;
  name: string;
  /** Administratively up with carrier: packets can leave. */
  up: boolean;
}

/** Name of a peer with an address; a link-local one carries its interface. */
export function addressPeerName(address: Uint8Array, interfaceName?: string): string {
  return interfaceName === undefined ? formatIp(address) : `${formatIp(address)}%${interfaceName}`;
}

export class Directory {
  readonly links = new Map<number, Link>();
  readonly byName = new Map<string, Peer>();
  readonly byIndex: (Peer | undefined)[] = [];
  /** Peers that have an address from the start, by that. */
  readonly #byAddress = new Map<string, Peer>();
  /** Unnumbered peers by interface index. */
  readonly #unnumbered = new Map<number, Peer>();
  /** Peers with a link-local address, by the name of its interface. */
  readonly #onNamed = new Map<string, Set<Peer>>();
  /** How many peers each configuration has. */
  #counts = new Map<PeerConfig, number>();
  #configs: PeerConfig[] = [];
  #ranges: RangePeer[] = [];
  #patterns: InterfacePeer[] = [];
  #addresses = new Map<string, AddressPeer>();

  get configs(): readonly PeerConfig[] {
    return this.#configs;
  }

  setConfigs(configs: PeerConfig[]): void {
    this.#configs = configs;
    this.#ranges = configs.filter((config) => config.kind === 'range');
    this.#patterns = configs.filter((config) => config.kind === 'interface');
    this.#addresses = new Map();
    for (const config of configs)
      if (config.kind === 'address' && !this.#addresses.has(nameOfConfig(config)))
        this.#addresses.set(nameOfConfig(config), config);
  }

  /** Counts the peers anew, after peers have been given other configurations. */
  recount(): void {
    this.#counts = new Map();
    for (const peer of this.byName.values()) this.#count(peer, 1);
  }

  #count({ config }: Peer, change: 1 | -1): void {
    this.#counts.set(config, (this.#counts.get(config) ?? 0) + change);
  }

  add(peer: Peer): void {
    this.byName.set(peer.name, peer);
    this.byIndex[peer.index] = peer;
    const key = addressKey(peer);
    if (key !== undefined) this.#byAddress.set(key, peer);
    this.#count(peer, 1);
    const { config, interfaceName } = peer;
    if (config.kind === 'interface') this.#unnumbered.set(peer.ifindex, peer);
    if (config.kind !== 'address' || interfaceName === undefined) return;
    const others = this.#onNamed.get(interfaceName) ?? new Set();
    this.#onNamed.set(interfaceName, others.add(peer));
  }

  remove(peer: Peer): void {
    this.byName.delete(peer.name);
    this.byIndex[peer.index] = undefined;
    const key = addressKey(peer);
    if (key !== undefined) this.#byAddress.delete(key);
    this.#count(peer, -1);
    if (this.#unnumbered.get(peer.ifindex) === peer) this.#unnumbered.delete(peer.ifindex);
    this.#onNamed.get(peer.interfaceName ?? '')?.delete(peer);
  }

  /** Peers with a link-local address on the interface of this name. */
  onNamed(name: string): readonly Peer[] {
    return [...(this.#onNamed.get(name) ?? [])];
  }

  linkNamed(name: string): Link | undefined {
    for (const link of this.links.values()) if (link.name === name) return link;
    return undefined;
  }

  /** The first pattern in the operator's order that the interface name matches. */
  patternFor(name: string): InterfacePeer | undefined {
    return this.#patterns.find(({ pattern }) => matchesPattern(pattern, name));
  }

  /** The first range that contains the address. */
  rangeFor(address: Uint8Array): RangePeer | undefined {
    return this.#ranges.find(({ range }) => prefixContainsIp(range, address));
  }

  /** The unnumbered peer on an interface. */
  onInterface(ifindex: number): Peer | undefined {
    return this.#unnumbered.get(ifindex);
  }

  /** The known peer that a connection from this address belongs to. */
  byAddress(remote: Uint8Array, ifindex: number): Peer | undefined {
    if (isLinkLocal6(remote, 0)) {
      const unnumbered = this.onInterface(ifindex);
      if (unnumbered !== undefined) return unnumbered;
      const link = this.links.get(ifindex);
      return link === undefined ? undefined : this.#byAddress.get(addressPeerName(remote, link.name));
    }
    return this.#byAddress.get(formatIp(remote));
  }

  /** How many peers a configuration has at this moment. */
  countOf(config: PeerConfig): number {
    return this.#counts.get(config) ?? 0;
  }

  /** The configuration that asks for an existing peer now, or undefined when nothing does any more. */
  configFor(peer: Peer): PeerConfig | undefined {
    switch (peer.config.kind) {
      case 'address': {
        const config = this.#addresses.get(peer.name);
        return config !== undefined && sameAddress(config, peer.config) ? config : undefined;
      }
      case 'interface':
        return this.patternFor(peer.name);
      case 'range':
        return peer.remote === undefined ? undefined : this.rangeFor(peer.remote);
    }
  }
}

/** The name of the peer that a configuration by address makes. */
export function nameOfConfig(config: PeerConfig & { kind: 'address' }): string {
  return config.name ?? addressPeerName(config.address, config.interface);
}

function addressKey(peer: Peer): string | undefined {
  if (peer.config.kind === 'interface' || peer.remote === undefined) return undefined;
  return addressPeerName(peer.remote, peer.interfaceName);
}

/** Two peers that change their names are not the same peers. */
function sameAddress(a: PeerConfig, b: PeerConfig): boolean {
  if (a.kind !== 'address' || b.kind !== 'address') return false;
  return addressPeerName(a.address, a.interface) === addressPeerName(b.address, b.interface);
}
