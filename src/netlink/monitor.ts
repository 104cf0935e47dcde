// Links, their addresses and neighbours, followed: a snapshot by dump, then deltas by events, and after lost
// events a new dump compared with what is known, so that subscribers only ever hear of differences. Events
// arrive in the kernel's order. A link that leaves takes its addresses and neighbours with it, each told as
// removed before it.

import { decodeAddress, encodeAddressDump, type LinkAddress } from './address.ts';
import { AF_BRIDGE } from './bridge.ts';
import { decodeLink, decodePortIsolated, encodeLinkDump, type Link } from './link.ts';
import {
  hex,
  type MessageWriter,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
} from './message.ts';
import { decodeNeighbour, encodeNeighbourDump, type Neighbour } from './neighbour.ts';
import type { Rtnl } from './rtnl.ts';

export type Change = 'added' | 'changed' | 'removed';

/** Callbacks of a subscriber; each gets the new state (of `removed`: the last one). */
export interface LinkSubscriber {
  link?: (link: Link, change: Change, before: Link | undefined) => void;
  address?: (address: LinkAddress, change: Change) => void;
  neighbour?: (neighbour: Neighbour, change: Change) => void;
}

export class LinkMonitor {
  /** By ifindex. */
  readonly links: ReadonlyMap<number, Link>;
  readonly #links = new Map<number, Link>();
  readonly #byName = new Map<string, number>();
  readonly #addresses = new Map<string, LinkAddress>();
  /** By the address, then as above: many links may have the same. */
  readonly #sameAddresses = new Map<string, Map<string, LinkAddress>>();
  /** By ifindex; a list is never changed, but replaced. */
  readonly #addressesOf = new Map<number, readonly LinkAddress[]>();
  readonly #neighbours = new Map<string, Neighbour>();
  readonly #subscribers = new Set<LinkSubscriber>();
  readonly #rtnl: Rtnl;
  readonly #withNeighbours: boolean;
  readonly #listener: { close(): void };
  #resyncing = false;
  #resyncAgain = false;
  #closed = false;

  /** Reads the snapshot at once (blocking; links are few). Throws SysError or NetlinkError. */
  constructor(rtnl: Rtnl, options: { neighbours?: boolean } = {}) {
    this.links = this.#links;
    this.#rtnl = rtnl;
    this.#withNeighbours = options.neighbours === true;
    const groups = [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR];
    if (this.#withNeighbours) groups.push(RTNLGRP_NEIGH);
    this.#listener = rtnl.listen({
      groups,
      onMessage: (type, _flags, bytes, start, end) => this.#event(type, bytes, start, end),
      onOverrun: () => void this.resync(),
    });
    for (const encode of this.#dumps()) {
      rtnl.dumpNow({
        encode,
        onMessage: (type, _flags, bytes, start, end) => this.#event(type, bytes, start, end),
      });
    }
  }

  close(): void {
    this.#closed = true;
    this.#listener.close();
    this.#subscribers.clear();
  }

  /** Tells the whole snapshot as `added` at once, then every change, until closed. */
  subscribe(subscriber: LinkSubscriber): { close(): void } {
    for (const link of this.#links.values()) subscriber.link?.(link, 'added', undefined);
    for (const address of this.#addresses.values()) subscriber.address?.(address, 'added');
    for (const neighbour of this.#neighbours.values()) subscriber.neighbour?.(neighbour, 'added');
    this.#subscribers.add(subscriber);
    return { close: () => void this.#subscribers.delete(subscriber) };
  }

  linkByName(name: string): Link | undefined {
    const ifindex = this.#byName.get(name);
    return ifindex === undefined ? undefined : this.#links.get(ifindex);
  }

  /** All addresses, or those of one link. */
  addresses(ifindex?: number): LinkAddress[] {
    return ifindex === undefined ? [...this.#addresses.values()] : [...this.addressesOf(ifindex)];
  }

  /** Those of one link, not to be changed. */
  addressesOf(ifindex: number): readonly LinkAddress[] {
    return this.#addressesOf.get(ifindex) ?? NO_ADDRESSES;
  }

  /** Where this machine has an address, whatever its prefix length; the first of them. */
  addressOwned(bytes: Uint8Array): LinkAddress | undefined {
    return this.#sameAddresses.get(hex(bytes))?.values().next().value;
  }

  neighbours(ifindex?: number): Neighbour[] {
    const all = [...this.#neighbours.values()];
    return ifindex === undefined ? all : all.filter((neighbour) => neighbour.ifindex === ifindex);
  }

  /** Reads everything again and tells the differences; called by itself after lost events. */
  async resync(): Promise<void> {
    if (this.#resyncing) {
      this.#resyncAgain = true;
      return;
    }
    this.#resyncing = true;
    try {
      do {
        this.#resyncAgain = false;
        await this.#readAll();
      } while (this.#resyncAgain && !this.#closed);
    } catch {
      if (!this.#closed) setTimeout(() => void this.resync(), 1000).unref();
    } finally {
      this.#resyncing = false;
    }
  }

  #dumps(): ((writer: MessageWriter, seq: number) => void)[] {
    const dumps = [encodeLinkDump, (w: MessageWriter, seq: number) => encodeAddressDump(w, seq)];
    if (this.#withNeighbours) dumps.push((w, seq) => encodeNeighbourDump(w, seq));
    return dumps;
  }

  async #readAll(): Promise<void> {
    const seen = new Set<number | string>();
    for (const encode of this.#dumps()) {
      await this.#rtnl.dump({
        encode,
        onRestart: () => seen.clear(),
        onMessage: (type, _flags, bytes, start, end) => {
          const key = this.#event(type, bytes, start, end);
          if (key !== undefined) seen.add(key);
        },
      });
      if (this.#closed) return;
      if (encode === encodeLinkDump) {
        for (const ifindex of [...this.#links.keys()]) if (!seen.has(ifindex)) this.#linkGone(ifindex);
      }
    }
    for (const [key, address] of [...this.#addresses]) {
      if (!seen.has(key)) this.#forgetAddress(key, address);
    }
    if (!this.#withNeighbours) return;
    for (const [key, neighbour] of [...this.#neighbours]) {
      if (!seen.has(key))
        this.#forget(this.#neighbours, key, () => this.#tellNeighbour(neighbour, 'removed'));
    }
  }

  #forget<T>(table: Map<string, T>, key: string, tell: () => void): void {
    if (table.delete(key)) tell();
  }

  /** Takes one message in; returns the key of what it was about. */
  #event(type: number, bytes: Uint8Array, start: number, end: number): number | string | undefined {
    if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      // A bridge tells about its ports with messages of its own family, which say little of the link.
      if (bytes[start + 16] === AF_BRIDGE) {
        if (type === RTM_NEWLINK) this.#portSeen(bytes, start, end);
        return undefined;
      }
      const link = decodeLink(bytes, start, end);
      if (!link) return undefined;
      if (type === RTM_DELLINK) this.#linkGone(link.ifindex);
      else this.#linkSeen(link);
      return link.ifindex;
    }
    if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      const address = decodeAddress(bytes, start, end);
      return address && this.#addressEvent(address, type === RTM_NEWADDR);
    }
    if (type === RTM_NEWNEIGH || type === RTM_DELNEIGH) {
      const neighbour = decodeNeighbour(bytes, start, end);
      return neighbour && this.#neighbourEvent(neighbour, type === RTM_NEWNEIGH);
    }
    return undefined;
  }

  #linkSeen(link: Link): void {
    const before = this.#links.get(link.ifindex);
    this.#links.set(link.ifindex, link);
    if (before?.name !== link.name) {
      if (before && this.#byName.get(before.name) === link.ifindex) this.#byName.delete(before.name);
      this.#byName.set(link.name, link.ifindex);
    }
    if (before && sameLink(before, link)) return;
    for (const s of this.#subscribers) s.link?.(link, before ? 'changed' : 'added', before);
  }

  #portSeen(bytes: Uint8Array, start: number, end: number): void {
    const port = decodePortIsolated(bytes, start, end);
    const link = port && this.#links.get(port.ifindex);
    if (port && link && link.master !== 0) this.#linkSeen({ ...link, isolated: port.isolated });
  }

  #linkGone(ifindex: number): void {
    const link = this.#links.get(ifindex);
    if (!link) return;
    for (const [key, neighbour] of [...this.#neighbours]) {
      if (neighbour.ifindex !== ifindex) continue;
      this.#forget(this.#neighbours, key, () => this.#tellNeighbour(neighbour, 'removed'));
    }
    for (const address of this.addressesOf(ifindex)) this.#forgetAddress(keyOf(address), address);
    this.#links.delete(ifindex);
    if (this.#byName.get(link.name) === ifindex) this.#byName.delete(link.name);
    for (const s of this.#subscribers) s.link?.(link, 'removed', link);
  }

  #addressEvent(address: LinkAddress, present: boolean): string {
    const key = keyOf(address);
    const before = this.#addresses.get(key);
    if (!present) {
      if (before) this.#forgetAddress(key, before);
      return key;
    }
    this.#addresses.set(key, address);
    const others = this.addressesOf(address.ifindex).filter((one) => one !== before);
    this.#addressesOf.set(address.ifindex, [...others, address]);
    const same = hex(address.bytes);
    const those = this.#sameAddresses.get(same);
    if (those) those.set(key, address);
    else this.#sameAddresses.set(same, new Map([[key, address]]));
    const isSame = before && before.flags === address.flags && before.scope === address.scope;
    if (!isSame || before.protocol !== address.protocol)
      this.#tellAddress(address, before ? 'changed' : 'added');
    return key;
  }

  #forgetAddress(key: string, address: LinkAddress): void {
    const { ifindex } = address;
    const others = this.addressesOf(ifindex).filter((one) => one !== address);
    if (others.length === 0) this.#addressesOf.delete(ifindex);
    else this.#addressesOf.set(ifindex, others);
    const same = hex(address.bytes);
    const those = this.#sameAddresses.get(same);
    if (those?.delete(key) && those.size === 0) this.#sameAddresses.delete(same);
    this.#forget(this.#addresses, key, () => this.#tellAddress(address, 'removed'));
  }

  #neighbourEvent(neighbour: Neighbour, present: boolean): string {
    const key = `n${neighbour.ifindex}/${neighbour.family}/${hex(neighbour.address)}`;
    const before = this.#neighbours.get(key);
    if (!present) {
      if (before) this.#forget(this.#neighbours, key, () => this.#tellNeighbour(before, 'removed'));
      return key;
    }
    this.#neighbours.set(key, neighbour);
    const same = before && before.state === neighbour.state && before.flags === neighbour.flags;
    if (!same || hex(before.mac) !== hex(neighbour.mac)) {
      this.#tellNeighbour(neighbour, before ? 'changed' : 'added');
    }
    return key;
  }

  #tellAddress(address: LinkAddress, change: Change): void {
    for (const s of this.#subscribers) s.address?.(address, change);
  }

  #tellNeighbour(neighbour: Neighbour, change: Change): void {
    for (const s of this.#subscribers) s.neighbour?.(neighbour, change);
  }
}

const NO_ADDRESSES: readonly LinkAddress[] = [];

function keyOf({ ifindex, bytes, prefixLength }: LinkAddress): string {
  return `${ifindex}/${hex(bytes)}/${prefixLength}`;
}

function sameLink(a: Link, b: Link): boolean {
  return (
    a.flags === b.flags &&
    a.name === b.name &&
    a.mtu === b.mtu &&
    a.master === b.master &&
    a.lower === b.lower &&
    a.alias === b.alias &&
    a.kind === b.kind &&
    a.isolated === b.isolated &&
    a.operState === b.operState &&
    a.carrierChanges === b.carrierChanges &&
    hex(a.mac) === hex(b.mac)
  );
}
