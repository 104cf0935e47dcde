// Netlink sockets, of NETLINK_ROUTE unless said: batches whose last message alone asks for an ACK (the barrier)
// while the kernel answers each failing message with its sequence number, dumps, and events. Every wait has a
// deadline. ENOBUFS on a socket that writes means that answers were lost: the outcome is `unknown` and the caller
// verifies by a dump. ENOBUFS on a socket that listens means that events were lost: the caller reads everything
// again. A dump during which the kernel's tables changed (NLM_F_DUMP_INTR) starts again. Sockets stay in the
// namespace they were opened in.

import { assert } from '../lib/assert.ts';
import {
  eachMessage,
  errorNumber,
  errorText,
  type Failure,
  type MessageCallback,
  type MessageWriter,
  NLM_F_ACK,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  u32,
} from './message.ts';
import { withNetns } from './netns.ts';
import { Poller, type Watch } from './poller.ts';
import {
  AF_NETLINK,
  addressOf,
  check,
  closeFd,
  EAGAIN,
  EINTR,
  ENOBUFS,
  libcCalls,
  MSG_DONTWAIT,
  MSG_TRUNC,
  raw,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  SysError,
  setIntOption,
} from './sys.ts';

const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_ATTACH_FILTER = 26;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
/** The kernel fills at most 32 kB of a dump at a time; an event is far smaller. */
const RECEIVE_BYTES = 1 << 16;
/** Datagrams read in one turn before others get theirs. */
const DATAGRAMS_PER_TURN = 16;
const DUMP_RESTARTS = 8;
const DEFAULT_DEADLINE_MS = 5000;

/** A message of ours that the kernel refused, thrown by the forms that expect success. */
export class NetlinkError extends SysError {
  /** The kernel's own words, or ''. */
  readonly text: string;
  constructor(what: string, errno: number, text: string) {
    super('netlink', errno, text === '' ? what : `${what}: ${text}`);
    this.text = text;
  }
}

/**
 * What became of a batch. `unknown`: answers were lost or late, so that each message may have worked or not.
 */
export interface BatchResult {
  outcome: 'known' | 'unknown';
  /** The messages refused; all others of a `known` batch were done. */
  failed: Failure[];
}

export interface OpenOptions {
  /** NETLINK_ROUTE where absent. */
  protocol?: number;
  /** Name (below /run/netns) or path; absent: the namespace of the process. */
  netns?: string | undefined;
  groups?: readonly number[];
  /** Bytes; beyond the system's limit only with CAP_NET_ADMIN. */
  receiveBuffer?: number;
  sendBuffer?: number;
  /** How long a blocking wait may last. */
  deadlineMs?: number;
}

export class NetlinkSocket {
  readonly fd: number;
  /** nlmsg_pid of what the kernel does on this socket's behalf. */
  readonly portId: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  #seq = 1;

  private constructor(fd: number, portId: number) {
    this.fd = fd;
    this.portId = portId;
  }

  static open(options: OpenOptions = {}): NetlinkSocket {
    if (options.netns !== undefined) {
      const { netns, ...rest } = options;
      return withNetns(netns, () => NetlinkSocket.open(rest));
    }
    const type = SOCK_RAW | SOCK_CLOEXEC;
    const fd = check(
      'socket',
      libcCalls.socket(AF_NETLINK, type, options.protocol ?? NETLINK_ROUTE),
      'netlink',
    );
    try {
      return new NetlinkSocket(fd, prepare(fd, options));
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  /** Takes over a socket opened elsewhere in the process (the forwarding table's worker does). */
  static adopt(fd: number, portId: number): NetlinkSocket {
    return new NetlinkSocket(fd, portId);
  }

  close(): void {
    closeFd(this.fd);
  }

  /** A sequence number for `count` messages of which it is the first. */
  takeSeq(count = 1): number {
    const seq = this.#seq;
    this.#seq = seq + count > 0x7fff_0000 ? 1 : seq + count;
    return seq;
  }

  /** Drops what is queued, e.g. answers to an earlier batch whose deadline passed. */
  drain(): void {
    while (true) {
      const count = this.receive(MSG_DONTWAIT);
      if (count < 0 && count !== -ENOBUFS && count !== -EINTR) return;
    }
  }

  /** One recv into `buffer`; the length, or -errno. */
  receive(flags: number): number {
    const count = raw(libcCalls.recv(this.fd, this.#buffer, this.#buffer.length, flags | MSG_TRUNC));
    // A datagram larger than the buffer cannot be read to its end: as good as lost.
    return count > this.#buffer.length ? -ENOBUFS : count;
  }

  get buffer(): Uint8Array {
    return this.#buffer;
  }

  /** Sends bytes[0, length) as one datagram; throws SysError. */
  send(bytes: Uint8Array, length: number): void {
    assert(length <= bytes.length, 'netlink send beyond the buffer');
    check('send', libcCalls.send(this.fd, bytes, length, 0), 'netlink');
  }

  /**
   * Sends bytes[0, length), `count` messages numbered from `firstSeq`, of which the last has NLM_F_ACK, and
   * waits for the barrier. Blocks the thread, at most for the socket's deadline.
   */
  exchange(bytes: Uint8Array, length: number, count: number, firstSeq: number): BatchResult {
    const result: BatchResult = { outcome: 'known', failed: [] };
    const lastSeq = firstSeq + count - 1;
    this.send(bytes, length);
    for (let done = false; !done; ) {
      const got = this.receive(0);
      if (got === -EINTR) continue;
      if (got < 0) {
        result.outcome = 'unknown';
        if (got === -EAGAIN) return result;
        if (got !== -ENOBUFS) throw new SysError('recv', -got, 'netlink');
        // The barrier itself may be among what was lost; what is still queued is read, then the wait ends.
        this.drain();
        return result;
      }
      eachMessage(this.#buffer, got, (type, _flags, buffer, start, end) => {
        const seq = u32(buffer, start + 8);
        if (type !== NLMSG_ERROR || seq < firstSeq || seq > lastSeq) return;
        const errno = errorNumber(buffer, start);
        if (errno !== 0) {
          result.failed.push({ index: seq - firstSeq, errno, text: errorText(buffer, start, end) });
        }
        if (seq === lastSeq) done = true;
      });
    }
    return result;
  }

  /** Sends what `encode` writes (given the first sequence number; one message each) and waits. */
  batch(writer: MessageWriter, firstSeq: number): BatchResult {
    writer.flagLast(NLM_F_ACK);
    return this.exchange(writer.bytes, writer.length, writer.count, firstSeq);
  }

  /** Reads a dump at once, blocking; `onMessage` may see objects twice when the dump starts again. */
  dumpNow(
    writer: MessageWriter,
    encode: (writer: MessageWriter, seq: number) => void,
    onMessage: MessageCallback,
  ): void {
    for (let attempt = 0; ; attempt++) {
      const seq = this.takeSeq();
      encode(writer.reset(), seq);
      this.send(writer.bytes, writer.length);
      const progress = newDump(seq, onMessage);
      while (!progress.done) {
        const got = this.receive(0);
        if (got === -EINTR) continue;
        if (got < 0) throw new SysError('recv', -got, 'netlink dump');
        eachMessage(this.#buffer, got, progress.take);
      }
      if (progress.failure) throw progress.failure;
      if (!progress.interrupted || attempt >= DUMP_RESTARTS) return;
    }
  }
}

function prepare(fd: number, options: OpenOptions): number {
  setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, options.receiveBuffer ?? 1 << 20);
  setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options.sendBuffer ?? 1 << 20);
  setIntOption(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  setIntOption(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
  setIntOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
  const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(BigInt(Math.floor(deadlineMs / 1000)), 0);
  time.writeBigInt64LE(BigInt((deadlineMs % 1000) * 1000), 8);
  check('setsockopt', libcCalls.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, time, 16), 'SO_RCVTIMEO');
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK);
  check('bind', libcCalls.bind(fd, address, 12), 'netlink');
  const length = Buffer.alloc(4);
  length.writeUInt32LE(12);
  check('getsockname', libcCalls.getsockname(fd, address, length), 'netlink');
  for (const group of options.groups ?? []) setIntOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  return address.readUInt32LE(4);
}

/** The forced form needs CAP_NET_ADMIN; without it the system's limit holds. */
function setBuffer(fd: number, forced: number, plain: number, bytes: number): void {
  try {
    setIntOption(fd, SOL_SOCKET, forced, bytes);
  } catch {
    setIntOption(fd, SOL_SOCKET, plain, bytes);
  }
}

interface DumpProgress {
  done: boolean;
  interrupted: boolean;
  failure: NetlinkError | undefined;
  take: MessageCallback;
}

function newDump(seq: number, onMessage: MessageCallback): DumpProgress {
  const progress: DumpProgress = {
    done: false,
    interrupted: false,
    failure: undefined,
    take: (type, flags, bytes, start, end) => {
      if (u32(bytes, start + 8) !== seq || progress.done) return;
      if ((flags & NLM_F_DUMP_INTR) !== 0) progress.interrupted = true;
      if (type === NLMSG_DONE || type === NLMSG_ERROR) {
        // NLMSG_DONE carries an errno too: a dump that failed half-way says so there.
        const errno = end >= start + 20 ? errorNumber(bytes, start) : 0;
        if (errno !== 0) {
          const text = type === NLMSG_ERROR ? errorText(bytes, start, end) : '';
          progress.failure = new NetlinkError('dump', errno, text);
        }
        progress.done = true;
      } else onMessage(type, flags, bytes, start, end);
    },
  };
  return progress;
}

export interface DumpRequest {
  encode: (writer: MessageWriter, seq: number) => void;
  onMessage: MessageCallback;
  /** The dump begins anew: what was seen so far may be out of date. */
  onRestart?: () => void;
}

/**
 * Reads a dump in turns of the event loop on a socket of its own. Rejects with NetlinkError (the kernel
 * refused) or SysError (no answer within the deadline).
 */
export function dump(options: OpenOptions, writer: MessageWriter, request: DumpRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = NetlinkSocket.open(options);
    let attempt = 0;
    let watch: Watch | undefined;
    let deadline: NodeJS.Timeout | undefined;
    const finish = (error?: Error): void => {
      clearTimeout(deadline);
      watch?.close();
      socket.close();
      if (error) reject(error);
      else resolve();
    };
    const start = (): DumpProgress => {
      const seq = socket.takeSeq();
      request.encode(writer.reset(), seq);
      socket.send(writer.bytes, writer.length);
      return newDump(seq, request.onMessage);
    };
    const late = (): void => finish(new SysError('recv', EAGAIN, 'netlink dump: no answer'));
    try {
      let progress = start();
      deadline = setTimeout(late, options.deadlineMs ?? DEFAULT_DEADLINE_MS);
      watch = Poller.current().add(socket.fd, { readable: true }, () => {
        try {
          deadline?.refresh();
          const error = readDump(socket, progress);
          if (error) finish(error);
          else if (!progress.done) return;
          else if (progress.failure) finish(progress.failure);
          else if (progress.interrupted && attempt++ < DUMP_RESTARTS) {
            request.onRestart?.();
            progress = start();
          } else finish();
        } catch (error) {
          finish(error as Error);
        }
      });
    } catch (error) {
      finish(error as Error);
    }
  });
}

function readDump(socket: NetlinkSocket, progress: DumpProgress): Error | undefined {
  for (let i = 0; i < DATAGRAMS_PER_TURN && !progress.done; i++) {
    const got = socket.receive(MSG_DONTWAIT);
    if (got === -EAGAIN || got === -EINTR) return undefined;
    if (got < 0) return new SysError('recv', -got, 'netlink dump');
    eachMessage(socket.buffer, got, progress.take);
  }
  return undefined;
}

export interface ListenOptions extends OpenOptions {
  groups: readonly number[];
  /** Events caused through these sockets are not delivered (our own echo). */
  ignorePortIds?: readonly number[];
  onMessage: MessageCallback;
  /** Events were lost: read everything again. */
  onOverrun: () => void;
}

/** Delivers events until closed. */
export function listen(options: ListenOptions): { close(): void } {
  const socket = NetlinkSocket.open({ ...options, receiveBuffer: options.receiveBuffer ?? 8 << 20 });
  if (options.ignorePortIds && options.ignorePortIds.length > 0)
    ignorePorts(socket.fd, options.ignorePortIds);
  const watch = Poller.current().add(socket.fd, { readable: true }, () => {
    for (let i = 0; i < DATAGRAMS_PER_TURN * 4; i++) {
      const got = socket.receive(MSG_DONTWAIT);
      if (got === -ENOBUFS) options.onOverrun();
      else if (got === -EAGAIN) return;
      else if (got < 0 && got !== -EINTR) throw new SysError('recv', -got, 'netlink events');
      else if (got > 0) eachMessage(socket.buffer, got, options.onMessage);
    }
  });
  let open = true;
  return {
    close: () => {
      if (!open) return;
      open = false;
      watch.close();
      socket.close();
    },
  };
}

/**
 * A classic BPF program that drops datagrams whose nlmsg_pid is one of `portIds`. The load is big-endian and
 * the field is in host order, so the constants are byte-swapped.
 */
function ignorePorts(fd: number, portIds: readonly number[]): void {
  const count = portIds.length;
  const program = Buffer.allocUnsafeSlow((count + 3) * 8).fill(0);
  const instruction = (i: number, code: number, yes: number, no: number, k: number): void => {
    program.writeUInt16LE(code, i * 8);
    program[i * 8 + 2] = yes;
    program[i * 8 + 3] = no;
    program.writeUInt32LE(k, i * 8 + 4);
  };
  const swap = Buffer.alloc(4);
  instruction(0, 0x20, 0, 0, 12);
  portIds.forEach((portId, i) => {
    swap.writeUInt32LE(portId);
    instruction(i + 1, 0x15, count - i, 0, swap.readUInt32BE());
  });
  instruction(count + 1, 6, 0, 0, 0xffffffff);
  instruction(count + 2, 6, 0, 0, 0);
  const header = Buffer.alloc(16);
  header.writeUInt16LE(count + 3);
  header.writeBigUInt64LE(addressOf(program), 8);
  check('setsockopt', libcCalls.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, header, 16), 'SO_ATTACH_FILTER');
  assert(program.length > 0, 'the program lives until the kernel has copied it');
}
