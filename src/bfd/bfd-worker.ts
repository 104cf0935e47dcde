// The BFD thread: sockets, a clock and a loop of its own around the engine. It waits in epoll_wait with the time to the
// next deadline, under SCHED_RR where that is allowed, because 3 x 50 ms must hold while the main thread reads tables
// and V8 collects garbage (docs/decisions/0013). In the loop nothing is kept and next to nothing allocated.
//
// The order within a turn is what keeps alarms true: the time is taken first, then all that has come is read, and
// only then is somebody declared silent. A packet that came in time but was not read in time is never overlooked.
//
// A thread that waits in system calls cannot be terminated: it looks at a shared flag each turn and is woken by an
// eventfd.

import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import { LeafdError } from '../lib/leafd-error.ts';
import { isLinkLocal6 } from '../net/ip.ts';
import { BlockingWait, clearEvent } from '../netlink/blocking-wait.ts';
import { readMonotonicMs } from '../netlink/monotonic.ts';
import { withNetns } from '../netlink/netns.ts';
import { setRealTime } from '../netlink/scheduling.ts';
import { closeFd, SysError } from '../netlink/sys.ts';
import { encodeSockaddr } from '../netlink/tcp.ts';
import { Datagram, openUdpReceiver, openUdpSender, sendDatagram } from '../netlink/udp.ts';
import { BfdEngine, DEADLINE, NOW, type Target } from './engine.ts';
import {
  FLAG_CPI,
  PACKET_BYTES,
  TAKEN,
  UNKNOWN_DISCRIMINATOR,
  UNKNOWN_SENDER,
  WE_ARE_ADMIN_DOWN,
} from './packet.ts';
import { SessionTable } from './session-table.ts';
import {
  CAPACITY,
  CONTROL_RECEIVERS,
  CONTROL_SCHEDULING,
  CONTROL_STOP,
  CONTROL_WORST_LATE_US,
  type News,
  type Order,
  type ThreadData,
} from './thread-link.ts';

const SINGLE_HOP_PORT = 3784;
const MULTIHOP_PORT = 4784;
const PRIORITY = 10;
const WAIT_MAX_MS = 500;
/** Of one socket in a turn; what is beyond waits, so that a flood cannot stop our own packets. */
const DATAGRAMS_PER_TURN = 2048;
const DISCARD_NEWS_MS = 60_000;
const SOCKET_RETRY_MS = 5000;

/** A port of a family, opened when the first session needs it. */
interface Receiver {
  readonly family: 4 | 6;
  readonly multihop: boolean;
  fd: number;
  wanted: boolean;
  failed: boolean;
}

class BfdThread {
  readonly #data: ThreadData;
  readonly #control: Int32Array;
  readonly #verdicts: Uint32Array;
  readonly #table: SessionTable;
  readonly #engine: BfdEngine;
  readonly #wait = new BlockingWait();
  readonly #datagram = new Datagram(64);
  readonly #receivers: readonly Receiver[] = [
    { family: 4, multihop: false, fd: -1, wanted: false, failed: false },
    { family: 6, multihop: false, fd: -1, wanted: false, failed: false },
    { family: 4, multihop: true, fd: -1, wanted: false, failed: false },
    { family: 6, multihop: true, fd: -1, wanted: false, failed: false },
  ];
  // By row: the socket that sends (-1 for none), where to, and with whom.
  readonly #senders = new Int32Array(CAPACITY).fill(-1);
  readonly #addresses: (Buffer | undefined)[] = new Array(CAPACITY).fill(undefined);
  readonly #targets: (Target | undefined)[] = new Array(CAPACITY).fill(undefined);
  #retryAtMs = Number.POSITIVE_INFINITY;
  #discardNewsAtMs = 0;

  constructor(data: ThreadData) {
    this.#data = data;
    this.#control = new Int32Array(data.control);
    this.#verdicts = new Uint32Array(data.verdicts);
    this.#table = new SessionTable(CAPACITY, data.sessions);
    const ports = {
      send: (row: number, packet: Uint8Array) => this.#send(row, packet),
      changed: (row: number) => this.#changed(row),
      freed: (row: number) => this.#freed(row),
      random: () => (Math.random() * 1024) | 0,
    };
    this.#engine = new BfdEngine(this.#table, ports, Math.floor(Math.random() * 2 ** 32));
    this.#wait.add(data.wakeFd);
  }

  run(): void {
    const scheduling = setRealTime(PRIORITY);
    Atomics.store(this.#control, CONTROL_SCHEDULING, scheduling === 0 ? 1 : scheduling);
    this.#tell({ kind: 'ready', schedulingErrno: -scheduling });
    try {
      while (Atomics.load(this.#control, CONTROL_STOP) === 0) this.#turn();
      // What was ordered before the stop still holds: sessions that leave say so.
      this.#takeOrders();
    } finally {
      this.#close();
    }
  }

  #turn(): void {
    const { clock } = this.#engine;
    readMonotonicMs(clock, NOW);
    const leftMs = Math.min(clock[DEADLINE]!, this.#retryAtMs) - clock[NOW]!;
    const count = this.#wait.wait(leftMs <= 0 ? 0 : Math.min(WAIT_MAX_MS, Math.ceil(leftMs)));
    for (let i = 0; i < count; i++) {
      if (this.#wait.ready(i) !== this.#data.wakeFd) continue;
      clearEvent(this.#data.wakeFd);
      this.#takeOrders();
    }
    readMonotonicMs(clock, NOW);
    if (clock[NOW]! >= this.#retryAtMs) this.#openReceivers();
    let drained = true;
    for (const receiver of this.#receivers) if (!this.#drain(receiver)) drained = false;
    const lateUs = (clock[NOW]! - clock[DEADLINE]!) * 1000;
    if (lateUs > this.#control[CONTROL_WORST_LATE_US]!) this.#control[CONTROL_WORST_LATE_US] = lateUs;
    this.#engine.tick(drained);
  }

  /** Reads what has come; whether that was all. */
  #drain(receiver: Receiver): boolean {
    if (receiver.fd < 0) return true;
    const datagram = this.#datagram;
    for (let i = 0; i < DATAGRAMS_PER_TURN; i++) {
      const length = datagram.receive(receiver.fd);
      if (length < 0) return true;
      const verdict = this.#engine.receive(
        datagram.data,
        length,
        datagram.ttl,
        datagram.ifindex,
        datagram.source,
        datagram.destination,
        receiver.multihop,
      );
      this.#verdicts[verdict]!++;
      if (verdict !== TAKEN) this.#discarded(verdict);
    }
    return false;
  }

  #discarded(verdict: number): void {
    const nowMs = this.#engine.clock[NOW]!;
    if (isCommonplace(verdict) || nowMs < this.#discardNewsAtMs) return;
    this.#discardNewsAtMs = nowMs + DISCARD_NEWS_MS;
    const { source } = this.#datagram;
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => source[i >> 2]! >> (24 - (i & 3) * 8));
    const mapped = source[0] === 0 && source[1] === 0 && source[2] === 0xffff;
    this.#tell({
      kind: 'discarded',
      verdict,
      source: mapped ? bytes.slice(12) : bytes,
      ttl: this.#datagram.ttl,
    });
  }

  // ---- orders ----

  #takeOrders(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#data.port) as { message: Order } | undefined;
      if (received === undefined) return;
      readMonotonicMs(this.#engine.clock, NOW);
      this.#take(received.message);
    }
  }

  #take(order: Order): void {
    switch (order.kind) {
      case 'add':
        this.#add(order.row, order.target, order.discriminator);
        return;
      case 'change':
        this.#engine.change(order.row, order.settings);
        return;
      case 'leave':
        this.#engine.leave(order.row);
    }
  }

  #add(row: number, target: Target, discriminator: number): void {
    const { remote, multihop, ifindex } = target;
    const family = remote.length === 4 ? 4 : 6;
    const scope = family === 6 && isLinkLocal6(remote) ? ifindex : 0;
    this.#targets[row] = target;
    this.#addresses[row] = encodeSockaddr(remote, multihop ? MULTIHOP_PORT : SINGLE_HOP_PORT, scope);
    for (const receiver of this.#receivers)
      if (receiver.family === family && receiver.multihop === multihop) receiver.wanted = true;
    this.#openReceivers();
    this.#engine.add(row, target, discriminator);
  }

  // ---- the engine's ports ----

  #send(row: number, packet: Uint8Array): boolean {
    if (this.#senders[row]! < 0 && !this.#openSender(row)) return false;
    return sendDatagram(this.#senders[row]!, packet, PACKET_BYTES, this.#addresses[row]!) === 0;
  }

  #changed(row: number): void {
    const table = this.#table;
    this.#tell({
      kind: 'changed',
      row,
      state: table.sessionState[row]!,
      diagnostic: table.localDiag[row]!,
      remoteState: table.remoteState[row]!,
      remoteDiagnostic: table.remoteDiag[row]!,
      detectionMs: table.detectionTimeUs(row) / 1000,
      independent: (table.remoteFlags[row]! & FLAG_CPI) !== 0,
    });
  }

  #freed(row: number): void {
    if (this.#senders[row]! >= 0) closeFd(this.#senders[row]!);
    this.#senders[row] = -1;
    this.#addresses[row] = undefined;
    this.#targets[row] = undefined;
    this.#tell({ kind: 'freed', row });
  }

  // ---- sockets ----

  /** Where a socket cannot be made, because the address or the interface is not there, the next packet tries again. */
  #openSender(row: number): boolean {
    const { remote, local, multihop, ifindex } = this.#targets[row]!;
    const family = remote.length === 4 ? 4 : 6;
    try {
      this.#senders[row] = this.#inNetns(() =>
        openUdpSender({ family, local, ifindex: multihop ? 0 : ifindex }, Math.random),
      );
      return true;
    } catch (error) {
      if (!(error instanceof SysError || error instanceof LeafdError)) throw error;
      return false;
    }
  }

  #openReceivers(): void {
    this.#retryAtMs = Number.POSITIVE_INFINITY;
    for (const receiver of this.#receivers) {
      if (!receiver.wanted || receiver.fd >= 0) continue;
      const port = receiver.multihop ? MULTIHOP_PORT : SINGLE_HOP_PORT;
      try {
        receiver.fd = this.#inNetns(() => openUdpReceiver(receiver.family, port));
        this.#control[CONTROL_RECEIVERS + this.#receivers.indexOf(receiver)] = receiver.fd + 1;
        this.#wait.add(receiver.fd);
        receiver.failed = false;
      } catch (error) {
        if (!(error instanceof SysError || error instanceof LeafdError)) throw error;
        this.#retryAtMs = this.#engine.clock[NOW]! + SOCKET_RETRY_MS;
        if (!receiver.failed) this.#trouble(error);
        receiver.failed = true;
      }
    }
  }

  #trouble(error: SysError | LeafdError): void {
    if (error instanceof LeafdError) {
      const { code, message, hint } = error;
      this.#tell({ kind: 'trouble', code, message, hint });
    } else this.#tell({ kind: 'trouble', code: 'bfd-socket-failed', message: `BFD: ${error.message}` });
  }

  #inNetns<T>(fn: () => T): T {
    const { netns } = this.#data;
    return netns === undefined ? fn() : withNetns(netns, fn);
  }

  #tell(news: News): void {
    this.#data.port.postMessage(news);
  }

  #close(): void {
    for (const fd of this.#senders) if (fd >= 0) closeFd(fd);
    for (const { fd } of this.#receivers) if (fd >= 0) closeFd(fd);
    this.#control.fill(0, CONTROL_RECEIVERS);
    this.#wait.close();
    this.#data.port.close();
  }
}

/** Who restarts, or speaks BFD before there is a BGP session, or after, sends these: counted, but no news. */
function isCommonplace(verdict: number): boolean {
  return verdict === UNKNOWN_DISCRIMINATOR || verdict === UNKNOWN_SENDER || verdict === WE_ARE_ADMIN_DOWN;
}

new BfdThread(workerData as ThreadData).run();
