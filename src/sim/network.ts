// The cables, and TCP over them. A cable has two ends, is plugged in or not, and may swallow packets in either
// direction without anybody being told. A connection keeps its bytes in order and loses none: where the way is
// blocked they wait and are tried again, as TCP does, until an end closes. Different connections overtake
// one another, because every segment draws its own delay.
//
// A connection between link-local addresses runs over one cable; any other one goes the way the kernels of the
// routers between would send its packets at that moment.

import { readU32 } from '../lib/bytes.ts';
import type { Rng } from '../lib/rng.ts';
import { isLinkLocal6, sameIp } from '../net/ip.ts';
import { maskBytes } from '../net/prefix.ts';
import type { ConnectTarget } from '../router/ports.ts';
import { messageType, NOTIFICATION } from '../wire/bgp/header.ts';
import type { SimNode } from './node.ts';
import type { Schedule } from './schedule.ts';

export interface Port {
  node: SimNode;
  ifindex: number;
  name: string;
  linkLocal: Uint8Array;
  /** Further addresses, with the length of their subnet. */
  addresses: { bytes: Uint8Array; length: number }[];
  cable: Cable | undefined;
  /** The router wants to know who is at the other end. */
  discovering: boolean;
}

export interface Cable {
  a: Port;
  b: Port;
  /** Both ends have carrier. */
  up: boolean;
  /** Packets from that end vanish. */
  dropsFromA: boolean;
  dropsFromB: boolean;
}

/** One end of a TCP connection, as its node's kernel holds it. */
interface End {
  node: SimNode;
  life: number;
  /** The router's id for it; 0 until the connection is accepted. */
  id: number;
  local: Uint8Array;
  remote: Uint8Array;
  /** Interface of a link-local remote, else 0. */
  ifindex: number;
  open: boolean;
  /** What has been sent and not yet arrived: bytes, or word that the connection is there, or its end. */
  outgoing: (Uint8Array | 'accepted' | 'end')[];
  outgoingBytes: number;
  /** A delivery is planned. */
  inFlight: boolean;
  retryMs: number;
  /** The router was told "enough for now". */
  full: boolean;
  /** Nothing arrives from this end before this time. */
  stalledUntilMs: number;
}

export interface Connection {
  ends: [End, End];
}

const RETRY_FIRST_MS = 200;
const RETRY_MAX_MS = 1600;
const SYN_RETRY_MS = 1000;
/** Two connections given up within this time are of one collision. */
const DUMP_MS = 50;
const HOPS_MAX = 16;

export class Network {
  readonly cables: Cable[] = [];
  /** Milliseconds a segment takes, from and to. */
  delayMs: [number, number] = [1, 4];
  /** Unsent bytes at which a connection says "enough for now". */
  highWater = 1 << 20;
  readonly #schedule: Schedule;
  readonly #rng: Rng;
  readonly #connections = new Set<Connection>();
  /** Connections that lost a collision, lately, and who said so. */
  #dumps: { atMs: number; connection: Connection; by: SimNode }[] = [];
  /** Both connections of a collision were given up, each by another side: told once. */
  bothGivenUp: string | undefined;

  constructor(schedule: Schedule, rng: Rng) {
    this.#schedule = schedule;
    this.#rng = rng;
  }

  delay(): number {
    return this.#rng.between(this.delayMs[0], this.delayMs[1]);
  }

  // ---- cables ----

  plug(a: Port, b: Port): Cable {
    const cable: Cable = { a, b, up: true, dropsFromA: false, dropsFromB: false };
    this.cables.push(cable);
    a.cable = cable;
    b.cable = cable;
    return cable;
  }

  /** The other end of a plugged cable. */
  far(port: Port): Port | undefined {
    const { cable } = port;
    if (cable === undefined || !cable.up) return undefined;
    return cable.a === port ? cable.b : cable.a;
  }

  /** Where a packet leaving by a port arrives, or undefined when it is lost. */
  across(port: Port): Port | undefined {
    const { cable } = port;
    if (cable === undefined || !cable.up) return undefined;
    if (cable.a === port) return cable.dropsFromA ? undefined : cable.b;
    return cable.dropsFromB ? undefined : cable.a;
  }

  /** Sends a router advertisement from a port. */
  advertise(port: Port, solicits: boolean): void {
    this.#schedule.after(this.delay(), () => {
      const far = this.across(port);
      if (far === undefined || !port.node.isRunning || !far.discovering || !far.node.isRunning) return;
      far.node.hear(far, port.linkLocal);
      if (solicits) this.advertise(far, false);
    });
  }

  // ---- connections ----

  get connections(): Iterable<Connection> {
    return this.#connections;
  }

  /** Whether nothing is under way that could arrive. */
  get isQuiet(): boolean {
    for (const { ends } of this.#connections)
      for (const end of ends)
        if (end.outgoing.length > 0 && this.#destination(end) !== undefined) return false;
    return true;
  }

  connect(node: SimNode, id: number, target: ConnectTarget): void {
    const local = node.sourceFor(target);
    if (local === undefined) {
      this.#schedule.after(1, () => node.connectionLost(id, node.life, 'no route'));
      return;
    }
    const first = newEnd(node, id, local, target.remote, target.ifindex);
    const connection: Connection = { ends: [first, newEnd(node, 0, target.remote, local, 0)] };
    connection.ends[1].open = false;
    node.ends.set(id, { connection, side: 0 });
    this.#connections.add(connection);
    this.#syn(connection, SYN_RETRY_MS);
  }

  /** The router closes an end: what it has sent still leaves, then the other end learns of it. */
  close(connection: Connection, side: 0 | 1): void {
    const end = connection.ends[side];
    if (!end.open) return;
    end.open = false;
    // With nobody at the other end there is nothing left to be carried.
    if (!connection.ends[side === 0 ? 1 : 0].open) this.#connections.delete(connection);
    else this.#append(connection, side, 'end');
  }

  send(connection: Connection, side: 0 | 1, bytes: Uint8Array): boolean {
    const end = connection.ends[side];
    if (!end.open) return true;
    end.outgoingBytes += bytes.length;
    const isThere = connection.ends[side === 0 ? 1 : 0].open;
    if (isThere && isCollisionCease(bytes)) this.#noteDump(connection, end.node);
    this.#append(connection, side, bytes);
    if (end.outgoingBytes <= this.highWater) return true;
    end.full = true;
    return false;
  }

  /** Both ends lose the connection at once, as by a reset on the way. */
  reset(connection: Connection): void {
    this.#connections.delete(connection);
    for (const end of connection.ends) {
      const wasOpen = end.open;
      end.open = false;
      end.outgoing.length = 0;
      if (!wasOpen || end.id === 0) continue;
      this.#schedule.after(this.delay(), () => end.node.connectionLost(end.id, end.life, 'reset'));
    }
  }

  /** Nothing sent on the connection arrives for a while. */
  stall(connection: Connection, durationMs: number): void {
    const untilMs = this.#schedule.nowMs() + durationMs;
    for (const end of connection.ends) end.stalledUntilMs = Math.max(end.stalledUntilMs, untilMs);
  }

  /** A node's processes end: the kernel closes what they had open; with `silent` even that is lost. */
  dropAll(node: SimNode, silent: boolean): void {
    for (const connection of this.#connections)
      for (const side of [0, 1] as const) {
        const end = connection.ends[side];
        if (end.node !== node || (!end.open && !silent)) continue;
        if (silent) {
          end.open = false;
          end.outgoing.length = 0;
          if (!connection.ends[side === 0 ? 1 : 0].open) this.#connections.delete(connection);
        } else this.close(connection, side);
      }
  }

  /** RFC 4271, 6.8: both sides come to the same result. */
  #noteDump(connection: Connection, by: SimNode): void {
    const atMs = this.#schedule.nowMs();
    this.#dumps = this.#dumps.filter((dump) => dump.atMs > atMs - DUMP_MS);
    for (const dump of this.#dumps)
      if (dump.connection !== connection && dump.by !== by && sameEnds(dump.connection, connection))
        this.bothGivenUp = `${by.name} and ${dump.by.name} each gave up another connection of a collision`;
    this.#dumps.push({ atMs, connection, by });
  }

  #syn(connection: Connection, retryMs: number): void {
    const [first] = connection.ends;
    this.#schedule.after(this.delay(), () => {
      if (!first.open) {
        this.#connections.delete(connection);
        return;
      }
      const port = this.#destination(first);
      // What is lost on the way is sent again, until the router gives the attempt up.
      if (port === undefined || !port.node.isPowered) {
        this.#schedule.after(retryMs, () => this.#syn(connection, retryMs * 2));
        return;
      }
      if (!this.#accept(connection, port)) this.reset(connection);
    });
  }

  #accept(connection: Connection, port: Port): boolean {
    const [first] = connection.ends;
    const { node } = port;
    const scope = isLinkLocal6(first.local) && first.local.length === 16 ? port.ifindex : 0;
    const second = newEnd(node, 0, first.remote, first.local, scope);
    connection.ends[1] = second;
    const id = node.accept(connection, second);
    if (id === 0) {
      second.open = false;
      return false;
    }
    return true;
  }

  /** Called by the node once it has an id for an accepted end, before the router hears of it. */
  accepted(connection: Connection, id: number): void {
    connection.ends[1].id = id;
    connection.ends[1].node.ends.set(id, { connection, side: 1 });
    this.#append(connection, 1, 'accepted');
  }

  #append(connection: Connection, side: 0 | 1, item: Uint8Array | 'accepted' | 'end'): void {
    const end = connection.ends[side];
    end.outgoing.push(item);
    if (!end.inFlight) this.#plan(connection, side, this.delay());
  }

  #plan(connection: Connection, side: 0 | 1, delayMs: number): void {
    const end = connection.ends[side];
    end.inFlight = true;
    const stallMs = Math.max(0, end.stalledUntilMs - this.#schedule.nowMs());
    this.#schedule.after(Math.max(delayMs, stallMs), () => {
      end.inFlight = false;
      this.#deliver(connection, side);
    });
  }

  #deliver(connection: Connection, side: 0 | 1): void {
    const from = connection.ends[side];
    const to = connection.ends[side === 0 ? 1 : 0];
    if (from.outgoing.length === 0 || !this.#connections.has(connection)) return;
    if (from.stalledUntilMs > this.#schedule.nowMs()) {
      this.#plan(connection, side, 1);
      return;
    }
    if (this.#destination(from)?.node !== to.node || !to.node.isPowered) {
      this.#plan(connection, side, from.retryMs);
      from.retryMs = Math.min(from.retryMs * 2, RETRY_MAX_MS);
      return;
    }
    from.retryMs = RETRY_FIRST_MS;
    const items = from.outgoing;
    from.outgoing = [];
    from.outgoingBytes = 0;
    if (from.full && from.open) {
      from.full = false;
      from.node.writable(from.id, from.life);
    }
    for (let i = 0; i < items.length; i++) {
      const item = items[i]!;
      // The end that is gone answers data with a reset; to word of the end it has nothing to say.
      if (!to.open || to.life !== to.node.life) {
        if (item === 'end' || !from.open) this.#connections.delete(connection);
        else this.reset(connection);
        return;
      }
      if (item === 'accepted') to.node.connected(to.id, to.life, to.local);
      else if (item === 'end') {
        to.open = false;
        this.#connections.delete(connection);
        to.node.connectionLost(to.id, to.life, 'closed by the peer');
        return;
      } else this.#hand(to, item);
    }
  }

  /** Hands bytes over, now and then in two pieces, as TCP is free to cut them. */
  #hand(to: End, bytes: Uint8Array): void {
    if (bytes.length < 2 || !this.#rng.chance(0.05)) {
      to.node.received(to.id, to.life, bytes);
      return;
    }
    const cut = this.#rng.between(1, bytes.length - 1);
    to.node.received(to.id, to.life, bytes.subarray(0, cut));
    if (to.open) to.node.received(to.id, to.life, bytes.subarray(cut));
  }

  /** The port at which packets of this end arrive, by the state of the network now. */
  #destination(end: End): Port | undefined {
    if (end.ifindex !== 0) {
      const port = end.node.portByIndex(end.ifindex);
      const far = port && this.across(port);
      return far !== undefined && sameIp(far.linkLocal, end.remote) ? far : undefined;
    }
    return this.#route(end.node, end.remote);
  }

  #route(from: SimNode, address: Uint8Array): Port | undefined {
    let node = from;
    for (let hops = 0; hops < HOPS_MAX; hops++) {
      const here = node.ownPort(address);
      if (here !== undefined) return here;
      const out = node.portTowards(address);
      const far = out && this.across(out);
      if (far === undefined) return undefined;
      node = far.node;
    }
    return undefined;
  }
}

function newEnd(node: SimNode, id: number, local: Uint8Array, remote: Uint8Array, ifindex: number): End {
  return {
    node,
    life: node.life,
    id,
    local,
    remote,
    ifindex,
    open: true,
    outgoing: [],
    outgoingBytes: 0,
    inFlight: false,
    retryMs: RETRY_FIRST_MS,
    full: false,
    stalledUntilMs: 0,
  };
}

/** NOTIFICATION 6/7 (RFC 4486). */
function isCollisionCease(bytes: Uint8Array): boolean {
  return bytes.length >= 21 && messageType(bytes, 0) === NOTIFICATION && bytes[19] === 6 && bytes[20] === 7;
}

/** Whether two connections are between the same addresses of the same nodes. */
function sameEnds(one: Connection, other: Connection): boolean {
  const [a, b] = one.ends;
  return other.ends.some(
    (end) => end.node === a.node && sameIp(end.local, a.local) && sameIp(end.remote, b.local),
  );
}

/** Whether two addresses are in one subnet of this length. */
export function sameSubnet(a: Uint8Array, b: Uint8Array, length: number): boolean {
  if (a.length !== b.length) return false;
  const x = a.slice();
  const y = b.slice();
  maskBytes(x, length);
  maskBytes(y, length);
  return sameIp(x, y);
}

/** An address as words, most significant first. */
export function wordsOf(address: Uint8Array): number[] {
  const words: number[] = [];
  for (let at = 0; at < address.length; at += 4) words.push(readU32(address, at));
  return words;
}
