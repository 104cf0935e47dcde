// rtnetlink in memory, for tests without root: links with carrier, addresses, nexthop objects and groups,
// routes. It reads and answers real messages. What it copies of Linux is what leafd's forwarding table relies
// on:
// - a nexthop object needs a link that is up and has carrier; when the link loses either, its objects go,
// groups that   became empty go, and all routes on them; told are only the IPv6 routes, and before the link;
// - IPv4 routes go silently with their preferred source;
// - a link that goes down, or whose MAC changes, loses its neighbours, each told;
// - NLM_F_EXCL refuses a second route of the same prefix and metric, NLM_F_REPLACE takes the place of
// whatever is   there, and a delete matches protocol and metric;
// - events carry the port id of who caused them, and each listener may ignore some.
// Faults: `refuse` refuses single messages, `loseAnswers` makes the outcome of the next batch unknown,
// `overrun` loses what listeners have not read yet.

import { decodeAddress, encodeAddress, type LinkAddress } from './address.ts';
import { AF_BRIDGE } from './bridge.ts';
import {
  decodeLink,
  decodePortIsolated,
  encodeLink,
  IFF_LOWER_UP,
  IFF_RUNNING,
  IFF_UP,
  type Link,
} from './link.ts';
import {
  eachMessage,
  type Failure,
  hex,
  type MessageCallback,
  MessageWriter,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETNEXTHOP,
  RTM_GETROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
  RTM_SETLINK,
  u32,
} from './message.ts';
import { decodeNeighbour, encodeNeighbour, type Neighbour } from './neighbour.ts';
import { decodeNexthop, encodeNexthop, type Nexthop } from './nexthop.ts';
import { decodeRoute, encodeKernelRoute, type KernelRoute } from './route.ts';
import type { Rtnl } from './rtnl.ts';
import type { BatchResult } from './socket.ts';

const AF_INET = 2;
const ENOENT = 2;
const ESRCH = 3;
const EEXIST = 17;
const ENODEV = 19;
const EINVAL = 22;
const EADDRNOTAVAIL = 99;
const ENETDOWN = 100;

export type Refusal = { errno: number; text: string };
interface Listener {
  ignore: readonly number[];
  onMessage: MessageCallback;
  onOverrun: () => void;
  queue: Uint8Array[];
}

export class FakeKernel {
  readonly links = new Map<number, Link>();
  readonly addresses = new Map<string, LinkAddress>();
  readonly nexthops = new Map<number, Nexthop>();
  readonly routes = new Map<string, KernelRoute>();
  readonly neighbours = new Map<string, Neighbour>();
  /** Messages taken, by type. */
  readonly taken = new Map<number, number>();
  /** Messages refused. */
  refused = 0;
  /** A test's own refusals. */
  refuse: (type: number) => Refusal | undefined = () => undefined;
  loseAnswers = false;
  /** Makes links that have a part in another namespace (fake-netns.ts): false where the message is none of those. */
  makeAcross: (bytes: Uint8Array, start: number, end: number) => Refusal | boolean = () => false;
  /** A link is about to go; what depends on it in other namespaces goes with it. */
  linkGoes: (ifindex: number) => void = () => {};
  readonly #listeners = new Set<Listener>();
  #delivering = false;
  #nextIfindex = 1;

  addLink(
    name: string,
    options: { up?: boolean; carrier?: boolean; kind?: string; master?: number; mac?: Uint8Array } = {},
  ): number {
    const ifindex = this.#nextIfindex++;
    const link: Link = {
      ifindex,
      name,
      flags: 0,
      up: options.up ?? true,
      carrier: options.carrier ?? true,
      mtu: 1500,
      mac: options.mac ?? Uint8Array.of(2, 0, 0, 0, 0, ifindex),
      kind: options.kind ?? 'veth',
      alias: '',
      master: options.master ?? 0,
      lower: 0,
      group: 0,
      operState: 6,
      carrierChanges: 1,
      ...(options.master !== undefined && options.master !== 0 && { isolated: false }),
    };
    this.links.set(ifindex, link);
    this.#tellLink(link, RTM_NEWLINK);
    return ifindex;
  }

  /** Gives or takes the carrier. */
  setCarrier(ifindex: number, carrier: boolean): void {
    const link = this.links.get(ifindex)!;
    if (link.carrier === carrier) return;
    link.carrier = carrier;
    link.carrierChanges++;
    if (!carrier) this.#linkLost(ifindex);
    this.#tellLink(link, RTM_NEWLINK);
  }

  /** The carrier goes and comes so fast that only one event, of the end, is told. */
  flapCarrier(ifindex: number): void {
    const link = this.links.get(ifindex)!;
    link.carrierChanges += 2;
    this.#linkLost(ifindex);
    this.#tellLink(link, RTM_NEWLINK);
  }

  removeLink(ifindex: number): void {
    const link = this.links.get(ifindex)!;
    this.linkGoes(ifindex);
    this.#linkLost(ifindex);
    this.#neighboursLost(ifindex);
    for (const port of this.links.values()) if (port.master === ifindex) this.setMaster(port.ifindex, 0);
    for (const [key, address] of [...this.addresses])
      if (address.ifindex === ifindex) this.addresses.delete(key);
    this.links.delete(ifindex);
    this.#tellLink(link, RTM_DELLINK);
  }

  /** Makes a link a port of a bridge, or (0) takes it out. */
  setMaster(ifindex: number, master: number): void {
    const link = this.links.get(ifindex)!;
    link.master = master;
    if (master === 0) delete link.isolated;
    else link.isolated = false;
    this.#tellLink(link, RTM_NEWLINK);
  }

  /** Loses all events not yet delivered. */
  overrun(): void {
    for (const listener of this.#listeners) {
      listener.queue.length = 0;
      listener.onOverrun();
    }
  }

  /** The namespace's rtnetlink as somebody with this port id sees it. */
  rtnl(portId = 1): Rtnl {
    return {
      write: (encode) => {
        const writer = new MessageWriter();
        encode(writer, 1);
        return this.take(writer.bytes, writer.length, 1, portId);
      },
      dump: async (request) => {
        await Promise.resolve();
        this.#dump(request.encode, request.onMessage);
      },
      dumpNow: (request) => this.#dump(request.encode, request.onMessage),
      listen: (options) => {
        const listener: Listener = {
          ignore: options.ignorePortIds ?? [],
          onMessage: options.onMessage,
          onOverrun: options.onOverrun,
          queue: [],
        };
        this.#listeners.add(listener);
        return { close: () => void this.#listeners.delete(listener) };
      },
      close: () => {},
    };
  }

  /** A writer of batches with a port id of its own; answers come in a later turn, in order. */
  writer(portId: number): {
    portId: number;
    submit: (
      bytes: Uint8Array,
      length: number,
      count: number,
      firstSeq: number,
      done: (result: BatchResult, buffer: Uint8Array) => void,
    ) => void;
    close: () => Promise<void>;
  } {
    return {
      portId,
      submit: (bytes, length, _count, firstSeq, done) => {
        setImmediate(() => {
          const result = this.take(bytes, length, firstSeq, portId);
          setImmediate(() => done(result, bytes));
        });
      },
      close: async () => {},
    };
  }

  /** Takes a batch of messages in. */
  take(bytes: Uint8Array, length: number, firstSeq: number, portId: number): BatchResult {
    const failed: Failure[] = [];
    eachMessage(bytes, length, (type, flags, buffer, start, end) => {
      this.taken.set(type, (this.taken.get(type) ?? 0) + 1);
      const refusal = this.refuse(type) ?? this.#one(type, flags, buffer, start, end, portId);
      if (!refusal) return;
      this.refused++;
      failed.push({ index: u32(buffer, start + 8) - firstSeq, ...refusal });
    });
    if (!this.loseAnswers) return { outcome: 'known', failed };
    this.loseAnswers = false;
    return { outcome: 'unknown', failed: [] };
  }

  #one(
    type: number,
    flags: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    portId: number,
  ): Refusal | undefined {
    if (type === RTM_NEWROUTE) return this.#routeAdd(decodeRoute(bytes, start, end)!, flags, portId);
    if (type === RTM_DELROUTE) return this.#routeDelete(decodeRoute(bytes, start, end)!, portId);
    if (type === RTM_NEWNEXTHOP) return this.#nexthopAdd(decodeNexthop(bytes, start, end)!, flags, portId);
    if (type === RTM_DELNEXTHOP) {
      const id = decodeNexthop(bytes, start, end)!.id;
      if (!this.nexthops.has(id)) return { errno: ENOENT, text: '' };
      this.#nexthopGone(id, portId);
      return undefined;
    }
    if (type === RTM_NEWADDR) return this.#addressAdd(decodeAddress(bytes, start, end)!, flags, portId);
    if (type === RTM_DELADDR) return this.#addressDelete(decodeAddress(bytes, start, end)!, portId);
    if (type === RTM_SETLINK) return this.#linkSet(bytes, start, end);
    if (type === RTM_NEWLINK) {
      const across = this.makeAcross(bytes, start, end);
      if (across !== false) return across === true ? undefined : across;
      const wanted = decodeLink(bytes, start, end)!;
      if (this.#linkByName(wanted.name)) return { errno: EEXIST, text: '' };
      this.addLink(wanted.name, { up: false, kind: wanted.kind, mac: wanted.mac });
      return undefined;
    }
    if (type === RTM_DELLINK) {
      const ifindex = u32(bytes, start + 20);
      if (!this.links.has(ifindex)) return { errno: ENODEV, text: '' };
      this.removeLink(ifindex);
      return undefined;
    }
    if (type === RTM_NEWNEIGH) return this.#neighbourAdd(decodeNeighbour(bytes, start, end)!, flags);
    if (type === RTM_DELNEIGH) {
      const key = neighbourKey(decodeNeighbour(bytes, start, end)!);
      return this.#neighbourGone(key) ? undefined : { errno: ENOENT, text: '' };
    }
    return { errno: EINVAL, text: 'not known to the fake kernel' };
  }

  #linkByName(name: string): Link | undefined {
    for (const link of this.links.values()) if (link.name === name) return link;
    return undefined;
  }

  #linkSet(bytes: Uint8Array, start: number, end: number): Refusal | undefined {
    const change = decodeLink(bytes, start, end)!;
    const link = change.ifindex === 0 ? this.#linkByName(change.name) : this.links.get(change.ifindex);
    if (!link) return { errno: ENODEV, text: '' };
    if (bytes[start + 16] === AF_BRIDGE) {
      if (link.master === 0) return { errno: EINVAL, text: 'not a port' };
      link.isolated = decodePortIsolated(bytes, start, end)!.isolated;
    }
    const wasUp = link.up;
    if ((u32(bytes, start + 28) & IFF_UP) !== 0) link.up = (u32(bytes, start + 24) & IFF_UP) !== 0;
    if (change.alias !== '') link.alias = change.alias;
    if (change.mac.length > 0) link.mac = change.mac;
    if (change.mtu !== 0) link.mtu = change.mtu;
    if (change.name !== '') link.name = change.name;
    if (change.mac.length > 0 || (wasUp && !link.up)) this.#neighboursLost(link.ifindex);
    this.#tellLink(link, RTM_NEWLINK);
    return undefined;
  }

  #neighbourAdd(neighbour: Neighbour, flags: number): Refusal | undefined {
    if (!this.links.has(neighbour.ifindex)) return { errno: ENODEV, text: '' };
    const key = neighbourKey(neighbour);
    if (this.neighbours.has(key) && (flags & NLM_F_REPLACE) === 0) return { errno: EEXIST, text: '' };
    this.neighbours.set(key, neighbour);
    this.#tell(0, (w) => encodeNeighbour(w, RTM_NEWNEIGH, 0, 0, neighbour));
    return undefined;
  }

  #neighbourGone(key: string): boolean {
    const neighbour = this.neighbours.get(key);
    if (!neighbour) return false;
    this.neighbours.delete(key);
    this.#tell(0, (w) => encodeNeighbour(w, RTM_DELNEIGH, 0, 0, neighbour));
    return true;
  }

  #neighboursLost(ifindex: number): void {
    for (const [key, one] of [...this.neighbours]) if (one.ifindex === ifindex) this.#neighbourGone(key);
  }

  #routeAdd(route: KernelRoute, flags: number, portId: number): Refusal | undefined {
    const key = routeKey(route);
    const before = this.routes.get(key);
    if (route.nhid !== 0 && !this.nexthops.has(route.nhid)) {
      return { errno: EINVAL, text: 'Nexthop id does not exist' };
    }
    if (route.prefSrc && !this.#hasAddress(route.prefSrc)) {
      return { errno: EINVAL, text: 'Invalid prefsrc address' };
    }
    if (before && (flags & NLM_F_REPLACE) === 0) return { errno: EEXIST, text: '' };
    if (!before && (flags & NLM_F_CREATE) === 0) return { errno: ENOENT, text: '' };
    this.routes.set(key, route);
    this.#tell(portId, (w) => {
      encodeKernelRoute(w, RTM_NEWROUTE, before ? NLM_F_REPLACE : NLM_F_CREATE | NLM_F_EXCL, 0, route);
    });
    return undefined;
  }

  #routeDelete(route: KernelRoute, portId: number): Refusal | undefined {
    const key = routeKey(route);
    const before = this.routes.get(key);
    if (!before || (route.protocol !== 0 && before.protocol !== route.protocol)) {
      return { errno: ESRCH, text: '' };
    }
    this.routes.delete(key);
    this.#tell(portId, (w) => encodeKernelRoute(w, RTM_DELROUTE, 0, 0, before));
    return undefined;
  }

  #nexthopAdd(nexthop: Nexthop, flags: number, portId: number): Refusal | undefined {
    const before = this.nexthops.get(nexthop.id);
    if (before && (flags & NLM_F_REPLACE) === 0) return { errno: EEXIST, text: '' };
    if (before && (before.group === undefined) !== (nexthop.group === undefined)) {
      return { errno: EINVAL, text: 'Can not replace a nexthop group with a nexthop.' };
    }
    if (nexthop.group) {
      for (const member of nexthop.group) {
        const known = this.nexthops.get(member.id);
        if (!known) return { errno: EINVAL, text: 'Invalid nexthop id' };
      }
    } else {
      const link = this.links.get(nexthop.ifindex);
      if (!link) return { errno: ENODEV, text: 'Invalid device index' };
      if (!link.up) return { errno: ENETDOWN, text: 'Nexthop device is not up' };
      if (!link.carrier) return { errno: ENETDOWN, text: 'Carrier for nexthop device is down' };
    }
    this.nexthops.set(nexthop.id, nexthop);
    this.#tell(portId, (w) => encodeNexthop(w, RTM_NEWNEXTHOP, 0, 0, nexthop));
    return undefined;
  }

  /** `portId` undefined: the kernel's own doing, of which objects are not told. */
  #nexthopGone(id: number, portId: number | undefined): void {
    const nexthop = this.nexthops.get(id)!;
    this.nexthops.delete(id);
    if (portId !== undefined) this.#tell(portId, (w) => encodeNexthop(w, RTM_DELNEXTHOP, 0, 0, nexthop));
    for (const [key, route] of [...this.routes]) {
      if (route.nhid !== id) continue;
      this.routes.delete(key);
      if (route.family !== AF_INET) {
        this.#tell(portId ?? 0, (w) => encodeKernelRoute(w, RTM_DELROUTE, 0, 0, route));
      }
    }
    for (const group of [...this.nexthops.values()]) {
      if (!group.group?.some((member) => member.id === id)) continue;
      group.group = group.group.filter((member) => member.id !== id);
      if (group.group.length === 0) this.#nexthopGone(group.id, portId);
      else if (portId !== undefined) this.#tell(portId, (w) => encodeNexthop(w, RTM_NEWNEXTHOP, 0, 0, group));
    }
  }

  #linkLost(ifindex: number): void {
    for (const nexthop of [...this.nexthops.values()]) {
      if (nexthop.ifindex === ifindex) this.#nexthopGone(nexthop.id, undefined);
    }
  }

  #addressAdd(address: LinkAddress, flags: number, portId: number): Refusal | undefined {
    const key = addressKey(address);
    if (!this.links.has(address.ifindex)) return { errno: ENODEV, text: '' };
    if (this.addresses.has(key) && (flags & NLM_F_EXCL) !== 0) return { errno: EEXIST, text: '' };
    this.addresses.set(key, address);
    this.#tell(portId, (w) => encodeAddress(w, RTM_NEWADDR, 0, 0, address));
    return undefined;
  }

  #addressDelete(address: LinkAddress, portId: number): Refusal | undefined {
    const key = addressKey(address);
    const before = this.addresses.get(key);
    if (!before) return { errno: EADDRNOTAVAIL, text: '' };
    this.addresses.delete(key);
    for (const [routeKey, route] of [...this.routes]) {
      if (!route.prefSrc || hex(route.prefSrc) !== hex(before.bytes)) continue;
      if (route.family === AF_INET) this.routes.delete(routeKey);
      else delete route.prefSrc;
    }
    this.#tell(portId, (w) => encodeAddress(w, RTM_DELADDR, 0, 0, before));
    return undefined;
  }

  #hasAddress(bytes: Uint8Array): boolean {
    for (const address of this.addresses.values()) if (hex(address.bytes) === hex(bytes)) return true;
    return false;
  }

  #dump(encode: (writer: MessageWriter, seq: number) => void, onMessage: MessageCallback): void {
    const request = new MessageWriter();
    encode(request, 1);
    const out = new MessageWriter();
    eachMessage(request.bytes, request.length, (type, _flags, bytes, start, end) => {
      if (type === RTM_GETLINK)
        for (const link of this.links.values()) encodeLink(out, RTM_NEWLINK, 2, 1, flagged(link));
      if (type === RTM_GETADDR)
        for (const a of this.addresses.values()) encodeAddress(out, RTM_NEWADDR, 2, 1, a);
      if (type === RTM_GETNEIGH)
        for (const n of this.neighbours.values()) encodeNeighbour(out, RTM_NEWNEIGH, 2, 1, n);
      if (type === RTM_GETNEXTHOP)
        for (const n of this.nexthops.values()) encodeNexthop(out, RTM_NEWNEXTHOP, 2, 1, n);
      if (type !== RTM_GETROUTE) return;
      const wanted = decodeRoute(bytes, start, end)!;
      for (const route of this.routes.values()) {
        if (route.family !== wanted.family || (wanted.table !== 0 && route.table !== wanted.table)) continue;
        if (wanted.protocol !== 0 && route.protocol !== wanted.protocol) continue;
        encodeKernelRoute(out, RTM_NEWROUTE, 2, 1, route);
      }
    });
    eachMessage(out.bytes, out.length, onMessage);
  }

  #tellLink(link: Link, type: number): void {
    this.#tell(0, (w) => encodeLink(w, type, 0, 0, flagged(link)));
  }

  #tell(portId: number, encode: (writer: MessageWriter) => void): void {
    const writer = new MessageWriter();
    encode(writer);
    const bytes = writer.bytes.slice(0, writer.length);
    for (const listener of this.#listeners) {
      if (portId === 0 || !listener.ignore.includes(portId)) listener.queue.push(bytes);
    }
    if (this.#delivering) return;
    this.#delivering = true;
    setImmediate(() => {
      this.#delivering = false;
      for (const listener of this.#listeners) {
        for (const event of listener.queue.splice(0)) eachMessage(event, event.length, listener.onMessage);
      }
    });
  }
}

function flagged(link: Link): Link {
  const carrier = link.up && link.carrier;
  return { ...link, carrier, flags: (link.up ? IFF_UP : 0) | (carrier ? IFF_RUNNING | IFF_LOWER_UP : 0) };
}

/** Prefix, table, metric and TOS: two routes cannot share them here. */
export function routeKey(route: KernelRoute): string {
  return `${route.family}/${route.table}/${hex(route.bytes)}/${route.length}/${route.metric}/${route.tos}`;
}

/** The link and the address. */
export function neighbourKey(neighbour: Neighbour): string {
  return `${neighbour.ifindex}/${hex(neighbour.address)}`;
}

function addressKey(address: LinkAddress): string {
  return `${address.ifindex}/${hex(address.bytes)}/${address.prefixLength}`;
}
