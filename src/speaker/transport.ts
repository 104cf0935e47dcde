// TCP for the router: connections by libc (netlink/tcp.ts), then Node's sockets. Ids are the router's; a socket
// is known here by that id only. Closing lets what was written leave first, so that a NOTIFICATION arrives, but
// not for longer than a second.
//
// Both queues of a connection are bounded. A socket with more than `HIGH_WATER` bytes unsent says "enough for now";
// one that goes on to `WRITE_MAX` is dropped, for then something writes without being asked to. Reading has a share of
// each turn: what was read beyond it waits, one chunk a connection, which reads no more until that is handed over; the
// chunks take turns, so that a peer that floods delays itself, not the others.

import type { Socket } from 'node:net';
import { LeafdError } from '../lib/leafd-error.ts';
import {
  type Accepted,
  connectTcp,
  type Listener,
  listenTcp,
  refuseFd,
  setMd5,
  setMinTtl,
  setTtl,
  socketFromFd,
  type TcpEnd,
} from '../netlink/tcp.ts';
import type { ConnectionTuning, ConnectTarget } from '../router/ports.ts';

/** Unsent bytes a connection may have before the router waits for it. */
const HIGH_WATER = 1 << 20;
/** Unsent bytes at which a connection is given up. */
const WRITE_MAX = 16 << 20;
/** Milliseconds of a turn that reading may take before work and timers have theirs. */
const READ_SHARE_MS = 4;
const LINGER_MS = 1000;
/** What libuv reads at once: a chunk of this size has more behind it. */
const FULL_CHUNK = 65536;

/** What the transport tells the router. */
export interface TransportEvents {
  connected(connection: number, local: TcpEnd, remote: TcpEnd): void;
  lost(connection: number, message?: string): void;
  received(connection: number, bytes: Uint8Array): void;
  writable(connection: number): void;
  /** Somebody connected: an id and how to treat it, or undefined to refuse. */
  incoming(accepted: Accepted): { connection: number; ttl: number; minTtl: number } | undefined;
  /** After `incoming` was granted and the socket is ready. */
  accepted(connection: number, local: Uint8Array): void;
  trouble(error: LeafdError): void;
}

interface Wire {
  socket: Socket | undefined;
  fd: number;
  remote: Uint8Array;
  attempt: { cancel(): void } | undefined;
  /** The router waits for `writable`. */
  waiting: boolean;
  /** Read, and not handed over yet; the socket is paused meanwhile. */
  unread: Uint8Array | undefined;
}

export class Transport {
  readonly #events: TransportEvents;
  readonly #place: { netns?: string };
  readonly #wires = new Map<number, Wire>();
  readonly #listeners: Listener[] = [];
  /** Connections that are paused with more to come, read or not: first come, first served. */
  readonly #unread = new Set<number>();
  /** What reading has taken of this turn. */
  #readMs = 0;
  #turnPlanned = false;

  /** Sockets are made in `netns`, that of the process when absent. */
  constructor(events: TransportEvents, netns?: string) {
    this.#events = events;
    this.#place = netns === undefined ? {} : { netns };
  }

  /** Listens on both families. Throws LeafdError (`address-in-use`, `permission-denied`). */
  listen(port: number): void {
    for (const length of [4, 16])
      this.#listeners.push(
        listenTcp(
          { ...this.#place, address: new Uint8Array(length), port, ttl: 255 },
          (accepted) => this.#accept(accepted),
          (error) => this.#events.trouble(error),
        ),
      );
  }

  /** Sets or removes the key that incoming connections from an address or a range must carry (RFC 2385). */
  setKey(address: Uint8Array, prefixLength: number, key: string | null): void {
    const whole = prefixLength === address.length * 8;
    for (const listener of this.#listeners)
      if (listener.local.address.length === address.length)
        listener.setMd5(address, whole ? undefined : prefixLength, key);
  }

  connect(connection: number, target: ConnectTarget): void {
    const wire = newWire(target.remote);
    this.#wires.set(connection, wire);
    const options = {
      ...this.#place,
      remote: target.remote,
      port: target.port,
      ttl: target.ttl,
      ...(target.ifindex === 0 ? {} : { scopeId: target.ifindex }),
      ...(target.localAddress === undefined ? {} : { localAddress: target.localAddress }),
      ...(target.password === undefined ? {} : { md5Key: target.password }),
      ...(target.minTtl === 0 ? {} : { minTtl: target.minTtl }),
    };
    wire.attempt = connectTcp(options, (result) => {
      wire.attempt = undefined;
      if (result.kind === 'failed') {
        this.#wires.delete(connection);
        this.#events.lost(connection, lossText(result.error.message));
        return;
      }
      this.#adopt(connection, wire, result.fd);
      this.#events.connected(connection, result.local, result.remote);
    });
  }

  close(connection: number): void {
    const wire = this.#wires.get(connection);
    if (wire === undefined) return;
    this.#wires.delete(connection);
    wire.attempt?.cancel();
    const { socket } = wire;
    if (socket === undefined) return;
    socket.removeAllListeners('data');
    socket.resume();
    socket.end();
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  }

  /** Writes a copy-free view; the caller does not touch the bytes again. */
  send(connection: number, bytes: Uint8Array, length: number): boolean {
    const wire = this.#wires.get(connection);
    if (wire?.socket === undefined) return true;
    const { socket } = wire;
    socket.write(length === bytes.length ? bytes : bytes.subarray(0, length));
    if (socket.writableLength <= HIGH_WATER) return true;
    wire.waiting = true;
    if (socket.writableLength > WRITE_MAX)
      socket.destroy(new Error(`${socket.writableLength} bytes wait to be taken`));
    return false;
  }

  /** Whether something of the connection is here and not handed over: a sign of life nobody has seen yet. */
  hasUnread(connection: number): boolean {
    return this.#unread.has(connection);
  }

  /** Puts another TTL or key on a connection that is up; the kernel's refusal is told as trouble. */
  tune(connection: number, { ttl, minTtl, password }: ConnectionTuning): void {
    const wire = this.#wires.get(connection);
    if (wire?.socket === undefined || wire.socket.destroyed) return;
    try {
      setTtl(wire.fd, wire.remote.length, ttl);
      setMinTtl(wire.fd, wire.remote.length, minTtl);
      setMd5(wire.fd, wire.remote, undefined, password);
    } catch (error) {
      const known = error instanceof LeafdError;
      this.#events.trouble(
        known ? error : new LeafdError('tune-failed', `cannot change a connection: ${String(error)}`),
      );
    }
  }

  /** Stops listening and drops every connection without a word, as a restart wants it. */
  shutdown(): void {
    for (const listener of this.#listeners) listener.close();
    for (const wire of this.#wires.values()) {
      wire.attempt?.cancel();
      wire.socket?.destroy();
    }
    this.#wires.clear();
  }

  #accept(accepted: Accepted): void {
    const granted = this.#events.incoming(accepted);
    if (granted === undefined) {
      refuseFd(accepted.fd);
      return;
    }
    const { connection, ttl, minTtl } = granted;
    const addressLength = accepted.remote.address.length;
    setTtl(accepted.fd, addressLength, ttl);
    if (minTtl > 0) setMinTtl(accepted.fd, addressLength, minTtl);
    const wire = newWire(accepted.remote.address);
    this.#wires.set(connection, wire);
    this.#adopt(connection, wire, accepted.fd);
    this.#events.accepted(connection, accepted.local.address);
  }

  #adopt(connection: number, wire: Wire, fd: number): void {
    const socket = socketFromFd(fd);
    wire.socket = socket;
    wire.fd = fd;
    const gone = (message?: string) => {
      if (this.#wires.get(connection) !== wire) return;
      // The last words first: they may say why.
      this.#handOver(connection, wire);
      if (this.#wires.get(connection) !== wire) return;
      this.#wires.delete(connection);
      socket.destroy();
      this.#events.lost(connection, message);
    };
    socket.on('data', (chunk: Uint8Array) => {
      if (this.#wires.get(connection) !== wire) return;
      const isLate = this.#readMs >= READ_SHARE_MS;
      wire.unread = chunk;
      // Where more is waiting libuv would go on reading, two megabytes in one go: others have their turn first.
      if (isLate || chunk.length >= FULL_CHUNK) {
        socket.pause();
        this.#unread.add(connection);
        this.#planTurn();
      }
      if (!isLate) this.#handOver(connection, wire);
    });
    socket.on('drain', () => {
      if (!wire.waiting) return;
      wire.waiting = false;
      if (this.#wires.get(connection) === wire) this.#events.writable(connection);
    });
    socket.on('error', (error) => gone(lossText(error.message)));
    // The session's own words for it say that the peer, or the network, closed.
    socket.on('end', () => gone());
    socket.on('close', () => gone());
  }

  #handOver(connection: number, wire: Wire): void {
    const { unread } = wire;
    if (unread === undefined) return;
    wire.unread = undefined;
    const startMs = performance.now();
    this.#events.received(connection, unread);
    this.#readMs += performance.now() - startMs;
    this.#planTurn();
  }

  #planTurn(): void {
    if (this.#turnPlanned) return;
    this.#turnPlanned = true;
    setImmediate(() => this.#turn());
  }

  /** Another turn: what waited is handed over within its share, and whoever has been served may read on. */
  #turn(): void {
    this.#turnPlanned = false;
    this.#readMs = 0;
    for (const connection of this.#unread) {
      if (this.#readMs >= READ_SHARE_MS) break;
      this.#unread.delete(connection);
      const wire = this.#wires.get(connection);
      if (wire === undefined) continue;
      this.#handOver(connection, wire);
      wire.socket?.resume();
    }
    if (this.#unread.size > 0) this.#planTurn();
  }
}

function newWire(remote: Uint8Array): Wire {
  return { socket: undefined, fd: -1, remote, attempt: undefined, waiting: false, unread: undefined };
}

/** What a failed connection adds to "cannot connect" or "connection closed", which the session says already. */
export function lossText(message: string): string {
  return message.replace(/^(cannot connect( \(IPv[46]\))?: |(read|write|connect) (?=E[A-Z]+))/, '');
}
