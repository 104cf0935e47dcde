// Who our peers are: the ones configured by address, one for every interface that matches a pattern, one for
// every stranger from a configured range. Follows links and neighbours for the unnumbered ones: a peer exists as
// soon as its interface does, and gets its address when the other end is heard. Starting and stopping sessions
// is the router's; this file only says which peers there are and what they are called.

import { matchesPattern } from '../intent/pattern.ts';
import { formatIp, isLinkLocal6 } from '../net/ip.ts';
import { prefixContainsIp } from '../net/prefix.ts';
import type { InterfacePeer, PeerConfig, RangePeer } from './config.ts';
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
  #configs: PeerConfig[] = [];

  get configs(): readonly PeerConfig[] {
    return this.#configs;
  }

  setConfigs(configs: PeerConfig[]): void {
    this.#configs = configs;
  }

  add(peer: Peer): void {
    this.byName.set(peer.name, peer);
    this.byIndex[peer.index] = peer;
    const key = addressKey(peer);
    if (key !== undefined) this.#byAddress.set(key, peer);
  }

  remove(peer: Peer): void {
    this.byName.delete(peer.name);
    this.byIndex[peer.index] = undefined;
    const key = addressKey(peer);
    if (key !== undefined) this.#byAddress.delete(key);
  }

  linkNamed(name: string): Link | undefined {
    for (const link of this.links.values()) if (link.name === name) return link;
    return undefined;
  }

  /** The first pattern in the operator's order that the interface name matches. */
  patternFor(name: string): InterfacePeer | undefined {
    for (const config of this.#configs)
      if (config.kind === 'interface' && matchesPattern(config.pattern, name)) return config;
    return undefined;
  }

  /** The first range that contains the address. */
  rangeFor(address: Uint8Array): RangePeer | undefined {
    for (const config of this.#configs)
      if (config.kind === 'range' && prefixContainsIp(config.range, address)) return config;
    return undefined;
  }

  /** The unnumbered peer on an interface. */
  onInterface(ifindex: number): Peer | undefined {
    for (const peer of this.byName.values())
      if (peer.config.kind === 'interface' && peer.ifindex === ifindex) return peer;
    return undefined;
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

  /** How many peers a range has at this moment. */
  countOf(config: PeerConfig): number {
    let count = 0;
    for (const peer of this.byName.values()) if (peer.config === config) count++;
    return count;
  }

  /** The configuration that asks for an existing peer now, or undefined when nothing does any more. */
  configFor(peer: Peer): PeerConfig | undefined {
    switch (peer.config.kind) {
      case 'address':
        return this.#configs.find(
          (config) =>
            config.kind === 'address' &&
            nameOfConfig(config) === peer.name &&
            sameAddress(config, peer.config),
        );
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
