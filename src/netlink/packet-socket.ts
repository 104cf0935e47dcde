// AF_PACKET sockets on the links of guests (packet(7)): frames that tell who is there, and frames of our own. The
// filter (bpf.ts) is set while the socket listens to no protocol and is bound afterwards, so nothing unfiltered is
// ever queued. The socket sees a frame before the port's nftables filter drops it: what it says must be judged again.
//
// There may be thousands and a guest may flood: the queue is small, a turn reads few frames of each, and a socket
// that brought more than its share rests until the next window; what does not fit its queue then is dropped by the
// kernel, at that guest's cost alone.

import { close as closeInPool } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { encodeProgram, guestFrames } from './bpf.ts';
import { withNetns } from './netns.ts';
import { Poller, type Watch } from './poller.ts';
import {
  addressOf,
  check,
  closeFd,
  EAGAIN,
  EINTR,
  libcCalls,
  MSG_DONTWAIT,
  MSG_TRUNC,
  raw,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  SysError,
  setIntOption,
} from './sys.ts';

const AF_PACKET = 17;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
/** htons(ETH_P_ALL). */
const ETH_P_ALL = 0x0300;
const SOCKADDR_LL_BYTES = 20;

/** The kernel doubles it; about 150 frames. */
const RECEIVE_BUFFER = 64 << 10;
/** The longest frame of interest; what is longer is none that a guest's kernel sends for this. */
const FRAME_BYTES = 4096;
const FRAMES_PER_TURN = 16;
/** So many frames of a socket are read in a window. */
const FRAMES_PER_WINDOW = 200;
const WINDOW_MS = 100;

/** One buffer serves all sockets: a frame is read where it lies before the next one comes. */
const frame = Buffer.allocUnsafeSlow(FRAME_BYTES);
const resting = new Set<GuestSocket>();
/** Descriptors to be closed, and who waits for the last. */
const closing: number[] = [];
const waiting: (() => void)[] = [];
let closesRunning = 0;
let closesAtOnce = 2;
let window = 0;
let windowEnd: NodeJS.Timeout | undefined;

export interface PacketSocket {
  /** Sends bytes[0, length), a whole Ethernet frame, out of the link; false where the kernel does not take it now. */
  send(bytes: Uint8Array, length: number): boolean;
  close(): void;
}

export interface PacketSocketOptions {
  netns?: string;
  /** The link is gone; the socket is closed. */
  onGone?: () => void;
}

/**
 * A packet socket on one link: incoming frames that pass the filter. `bytes` is reused after `onFrame` returns. A link
 * that goes down and up again is heard again. Throws SysError (ENODEV: there is no such link).
 */
export function openPacketSocket(
  ifindex: number,
  onFrame: (bytes: Uint8Array, length: number) => void,
  options: PacketSocketOptions = {},
): PacketSocket {
  const open = (): number => openBound(ifindex);
  const fd = options.netns === undefined ? open() : withNetns(options.netns, open);
  return new GuestSocket(fd, onFrame, options.onGone);
}

class GuestSocket implements PacketSocket {
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #onFrame: (bytes: Uint8Array, length: number) => void;
  readonly #onGone: (() => void) | undefined;
  #open = true;
  #window = 0;
  #framesInWindow = 0;

  constructor(fd: number, onFrame: (bytes: Uint8Array, length: number) => void, onGone?: () => void) {
    this.#fd = fd;
    this.#onFrame = onFrame;
    this.#onGone = onGone;
    this.#watch = Poller.current().add(fd, { readable: true }, () => this.#drain());
  }

  send(bytes: Uint8Array, length: number): boolean {
    assert(length <= bytes.length, 'send beyond the frame');
    return this.#open && raw(libcCalls.send(this.#fd, bytes, length, MSG_DONTWAIT)) === length;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    resting.delete(this);
    this.#watch.close();
    closing.push(this.#fd);
    closeSome();
  }

  /** The window in which it rested is over. */
  resume(): void {
    this.#watch.modify({ readable: true });
  }

  #drain(): void {
    this.#enterWindow();
    for (let i = 0; i < FRAMES_PER_TURN && this.#open; i++) {
      const length = raw(libcCalls.recv(this.#fd, frame, FRAME_BYTES, MSG_DONTWAIT | MSG_TRUNC));
      if (length < 0) {
        if (length === -EINTR) continue;
        if (length !== -EAGAIN) this.#failed();
        return;
      }
      if (length <= FRAME_BYTES) this.#onFrame(frame, length);
      if (++this.#framesInWindow >= FRAMES_PER_WINDOW) {
        if (this.#open) this.#rest();
        return;
      }
    }
  }

  #enterWindow(): void {
    if (windowEnd === undefined) {
      window++;
      windowEnd = setTimeout(endWindow, WINDOW_MS);
      windowEnd.unref();
    }
    if (this.#window === window) return;
    this.#window = window;
    this.#framesInWindow = 0;
  }

  #rest(): void {
    resting.add(this);
    this.#watch.modify({});
  }

  // ENETDOWN is told once when the link goes down or away. One that is down keeps the socket and is heard again.
  #failed(): void {
    if (boundTo(this.#fd) > 0) return;
    this.close();
    this.#onGone?.();
  }
}

/** Resolves when all that were closed are: as many at a time as the pool has threads, for nothing else matters now. */
export function packetSocketsClosed(): Promise<void> {
  closesAtOnce = 128;
  return new Promise((resolve) => {
    waiting.push(resolve);
    closeSome();
  });
}

function closeSome(): void {
  while (closesRunning < closesAtOnce && closing.length > 0) {
    closesRunning++;
    closeInPool(closing.pop()!, () => {
      closesRunning--;
      closeSome();
    });
  }
  if (closesRunning > 0) return;
  closesAtOnce = 2;
  for (const resolve of waiting.splice(0)) resolve();
}

function endWindow(): void {
  windowEnd = undefined;
  for (const socket of [...resting]) {
    resting.delete(socket);
    socket.resume();
  }
}

/** The link a socket is bound to; -1 when it has gone. */
function boundTo(fd: number): number {
  const address = Buffer.alloc(SOCKADDR_LL_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(SOCKADDR_LL_BYTES);
  if (raw(libcCalls.getsockname(fd, address, length)) < 0) return -1;
  return address.readInt32LE(4);
}

function openBound(ifindex: number): number {
  const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = check('socket', libcCalls.socket(AF_PACKET, type, 0), 'packet');
  try {
    attachFilter(fd);
    setIntOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
    ignoreOutgoing(fd);
    const address = Buffer.alloc(SOCKADDR_LL_BYTES);
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16LE(ETH_P_ALL, 2);
    address.writeInt32LE(ifindex, 4);
    check('bind', libcCalls.bind(fd, address, SOCKADDR_LL_BYTES), `link ${ifindex}`);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** Saves the kernel a copy of each frame sent; before Linux 4.20 the filter drops them. */
function ignoreOutgoing(fd: number): void {
  try {
    setIntOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
  }
}

function attachFilter(fd: number): void {
  const program = Buffer.allocUnsafeSlow(guestFrames.length * 8);
  encodeProgram(guestFrames, program);
  const header = Buffer.alloc(16);
  header.writeUInt16LE(guestFrames.length);
  header.writeBigUInt64LE(addressOf(program), 8);
  check('setsockopt', libcCalls.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, header, 16), 'SO_ATTACH_FILTER');
  assert(program.length > 0, 'the program lives until the kernel has copied it');
}
