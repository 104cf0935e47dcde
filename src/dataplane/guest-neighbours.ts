// Permanent neighbours of guests: (gateway link, address) -> MAC, marked with protocol 179. The kernel need not ask
// for a guest, believes nobody else's word of it, and counts none of them against gc_thresh. What a former life left
// is read at the start and kept until `sweep`. Repaired when somebody removes or changes one (the kernel itself does
// when the link goes down or its MAC changes): by events, and by a look at all every 30 s.

import { formatIp } from '../net/ip.ts';
import { hex, RTM_DELNEIGH, RTM_NEWNEIGH, RTNLGRP_NEIGH, RTPROT_LEAFD } from '../netlink/message.ts';
import {
  decodeNeighbour,
  encodeNeighbourDelete,
  encodeNeighbourDump,
  encodeNeighbourReplace,
  type Neighbour,
  NUD_PERMANENT,
} from '../netlink/neighbour.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import { errnoName } from '../netlink/sys.ts';
import type { ObjectStatus } from './dataplane.ts';
import type { GuestPortWish } from './guest-wish.ts';

const BATCH = 500;
const CHECK_EVERY_MS = 30_000;
const REPAIR_DELAY_MS = 20;
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 30_000;
const ENOENT = 2;
const ENODEV = 19;

interface Wished {
  key: string;
  ifindex: number;
  address: Uint8Array;
  mac: Uint8Array;
  /** The port that wishes it, by ifindex. */
  port: number;
  fault?: { errno: string; text: string };
}

interface Present {
  ifindex: number;
  address: Uint8Array;
  /** As hexadecimal digits. */
  mac: string;
}

export class GuestNeighbours {
  readonly #rtnl: Rtnl;
  readonly #wished = new Map<string, Wished>();
  readonly #byPort = new Map<number, Set<string>>();
  /** Ours, as far as we know. */
  readonly #present = new Map<string, Present>();
  readonly #dirty = new Set<string>();
  /** Those that could not be written, and perhaps some that were since. */
  readonly #faulty = new Set<string>();
  readonly #onChange: (() => void) | undefined;
  readonly #periodic: NodeJS.Timeout;
  readonly #listener: { close(): void };
  #timer: NodeJS.Timeout | undefined;
  #retryMs = RETRY_FIRST_MS;
  #swept = false;
  #closed = false;

  /** Reads what is there (blocking). Throws SysError or NetlinkError. */
  constructor(rtnl: Rtnl, onChange?: () => void) {
    this.#rtnl = rtnl;
    this.#onChange = onChange;
    this.#listener = rtnl.listen({
      groups: [RTNLGRP_NEIGH],
      onMessage: (type, _flags, bytes, start, end) => {
        if (type !== RTM_NEWNEIGH && type !== RTM_DELNEIGH) return;
        const neighbour = decodeNeighbour(bytes, start, end);
        if (neighbour) this.#event(neighbour, type === RTM_NEWNEIGH);
      },
      onOverrun: () => this.check(),
    });
    this.#read();
    this.#periodic = setInterval(() => this.check(), CHECK_EVERY_MS);
    this.#periodic.unref();
  }

  /** Whole wishes of ports: what a port wished before and does not now is removed. In the kernel on return. */
  setPorts(wishes: readonly GuestPortWish[]): void {
    const touched = new Set<string>();
    for (const wish of wishes) {
      const keys = new Set<string>();
      for (const { address, mac } of wish.addresses) {
        const key = keyOf(wish.gatewayIfindex, address);
        keys.add(key);
        // Two ports that wish the same address are the guests room's mistake or a move: the later one has it.
        this.#wished.set(key, { key, ifindex: wish.gatewayIfindex, address, mac, port: wish.ifindex });
        if (this.#present.get(key)?.mac !== hex(mac)) touched.add(key);
      }
      this.#replacePort(wish.ifindex, keys, touched);
    }
    this.#write(touched);
  }

  removePorts(ifindexes: readonly number[]): void {
    const touched = new Set<string>();
    for (const ifindex of ifindexes) this.#replacePort(ifindex, new Set(), touched);
    this.#write(touched);
  }

  /** Removes what a former life left and nobody wished. */
  sweep(): void {
    this.#swept = true;
    this.#write([...this.#present.keys()].filter((key) => !this.#wished.has(key)));
  }

  status(): ObjectStatus[] {
    return [...this.#wished.values()].map(statusOf);
  }

  /** What of it went wrong. */
  failures(): ObjectStatus[] {
    const failures: ObjectStatus[] = [];
    for (const key of this.#faulty) {
      const wished = this.#wished.get(key);
      if (wished?.fault === undefined) this.#faulty.delete(key);
      else failures.push(statusOf(wished));
    }
    return failures.filter(({ state }) => state === 'error');
  }

  /** Reads the kernel's table and repairs what differs. */
  check(): void {
    if (this.#closed) return;
    try {
      this.#read();
    } catch {
      this.#repairLater(this.#retryMs);
      return;
    }
    for (const { key, mac } of this.#wished.values())
      if (this.#present.get(key)?.mac !== hex(mac)) this.#dirty.add(key);
    if (this.#swept) for (const key of this.#present.keys()) if (!this.#wished.has(key)) this.#dirty.add(key);
    if (this.#dirty.size > 0) this.#repairLater(REPAIR_DELAY_MS);
  }

  /** Ends; the kernel stays as it is. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#periodic);
    this.#listener.close();
  }

  flush(): number {
    this.close();
    return flushGuestNeighbours(this.#rtnl);
  }

  #replacePort(ifindex: number, keys: Set<string>, touched: Set<string>): void {
    for (const key of this.#byPort.get(ifindex) ?? []) {
      if (keys.has(key) || this.#wished.get(key)?.port !== ifindex) continue;
      this.#wished.delete(key);
      touched.add(key);
    }
    if (keys.size === 0) this.#byPort.delete(ifindex);
    else this.#byPort.set(ifindex, keys);
  }

  #read(): void {
    const found = new Map<string, Present>();
    eachOfOurs(this.#rtnl, (one) =>
      found.set(keyOf(one.ifindex, one.address), { ...one, mac: hex(one.mac) }),
    );
    this.#present.clear();
    for (const [key, one] of found) this.#present.set(key, one);
  }

  #event(neighbour: Neighbour, exists: boolean): void {
    const key = keyOf(neighbour.ifindex, neighbour.address);
    const wished = this.#wished.get(key);
    const ours = exists && isOurs(neighbour);
    if (ours) this.#present.set(key, { ...neighbour, mac: hex(neighbour.mac) });
    else if (!this.#present.delete(key) && !wished) return;
    const right = wished ? ours && hex(neighbour.mac) === hex(wished.mac) : !ours;
    if (right) return;
    // Of a former life: `sweep` removes it.
    if (!wished && !this.#swept) return;
    this.#dirty.add(key);
    this.#repairLater(REPAIR_DELAY_MS);
  }

  #repairLater(delayMs: number): void {
    if (this.#closed || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const keys = [...this.#dirty];
      this.#dirty.clear();
      this.#write(keys);
    }, delayMs);
    this.#timer.unref();
  }

  /** Brings these to what is wished. */
  #write(keys: Iterable<string>): void {
    const all = [...keys].filter((key) => this.#wished.has(key) || this.#present.has(key));
    let failed = false;
    for (let from = 0; from < all.length; from += BATCH)
      if (!this.#writeBatch(all.slice(from, from + BATCH))) failed = true;
    if (!failed) this.#retryMs = RETRY_FIRST_MS;
    else {
      this.#repairLater(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
    }
    if (all.length > 0) this.#onChange?.();
  }

  #writeBatch(keys: readonly string[]): boolean {
    const result = this.#rtnl.write((writer, firstSeq) => {
      keys.forEach((key, i) => {
        const wished = this.#wished.get(key);
        if (wished) encodeNeighbourReplace(writer, firstSeq + i, wished.ifindex, wished.address, wished.mac);
        else {
          const { ifindex, address } = this.#present.get(key)!;
          encodeNeighbourDelete(writer, firstSeq + i, ifindex, address);
        }
      });
    });
    const faults = new Map(result.failed.map((failure) => [failure.index, failure]));
    const unknown = result.outcome === 'unknown';
    let failed = false;
    keys.forEach((key, i) => {
      const wished = this.#wished.get(key);
      const errno = faults.get(i)?.errno ?? 0;
      if (!wished) {
        // With the link, or by somebody else, it has gone already.
        if (errno === 0 || errno === ENOENT || errno === ENODEV) this.#present.delete(key);
        else failed = true;
      } else if (unknown || errno !== 0) {
        const name = unknown ? 'ETIMEDOUT' : errnoName(errno);
        const text = unknown ? 'no answer from the kernel' : faults.get(i)!.text || name;
        wished.fault = { errno: name, text };
        this.#faulty.add(key);
        failed = true;
      } else {
        delete wished.fault;
        this.#present.set(key, { ifindex: wished.ifindex, address: wished.address, mac: hex(wished.mac) });
        return;
      }
      if (failed) this.#dirty.add(key);
    });
    return !failed;
  }
}

/** Removes all permanent neighbours with leafd's mark; returns how many. Blocks. */
export function flushGuestNeighbours(rtnl: Rtnl): number {
  const ours: Neighbour[] = [];
  eachOfOurs(rtnl, (neighbour) => ours.push(neighbour));
  let removed = 0;
  for (let from = 0; from < ours.length; from += BATCH) {
    const part = ours.slice(from, from + BATCH);
    const { failed } = rtnl.write((writer, firstSeq) => {
      part.forEach((one, i) => {
        encodeNeighbourDelete(writer, firstSeq + i, one.ifindex, one.address);
      });
    });
    removed += part.length - failed.length;
  }
  return removed;
}

function eachOfOurs(rtnl: Rtnl, callback: (neighbour: Neighbour) => void): void {
  rtnl.dumpNow({
    encode: (writer, seq) => encodeNeighbourDump(writer, seq),
    onMessage: (type, _flags, bytes, start, end) => {
      if (type !== RTM_NEWNEIGH) return;
      const neighbour = decodeNeighbour(bytes, start, end);
      if (neighbour && isOurs(neighbour)) callback(neighbour);
    },
  });
}

function statusOf({ ifindex, address, fault }: Wished): ObjectStatus {
  return {
    key: `neighbour ${formatIp(address)} on link ${ifindex}`,
    kind: 'neighbour',
    state: fault === undefined ? 'done' : fault.errno === 'ENODEV' ? 'pending' : 'error',
    ...fault,
  };
}

function isOurs({ protocol, state, address }: Neighbour): boolean {
  if (protocol !== RTPROT_LEAFD || (state & NUD_PERMANENT) === 0) return false;
  return address.length === 4 || address.length === 16;
}

function keyOf(ifindex: number, address: Uint8Array): string {
  return `${ifindex}/${hex(address)}`;
}
