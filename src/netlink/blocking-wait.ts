// A thread's own loop over descriptors: epoll_wait that really waits, with a timeout, and a wake from another thread by
// eventfd. For threads that must not depend on libuv's loop, whose turns wait for V8's own threads now and then. Such a
// thread cannot be ended from outside: it has to be woken and to look whether it should go on.

import { check, closeFd, EINTR, libcCalls, raw, SysError } from './sys.ts';

const EPOLL_CTL_ADD = 1;
const EPOLLIN = 0x001;
const EPOLL_CLOEXEC = 0x80000;
const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const DATA_OFFSET = process.arch === 'x64' ? 4 : 8;
const EVENTS = 16;

/** Readable descriptors, waited for by the calling thread. */
export class BlockingWait {
  readonly #epollFd = check('epoll_create1', libcCalls.epoll_create1(EPOLL_CLOEXEC));
  readonly #events = Buffer.allocUnsafeSlow(EVENTS * EVENT_BYTES);

  add(fd: number): void {
    const event = Buffer.alloc(EVENT_BYTES);
    event.writeUInt32LE(EPOLLIN, 0);
    event.writeUInt32LE(fd, DATA_OFFSET);
    check('epoll_ctl', libcCalls.epoll_ctl(this.#epollFd, EPOLL_CTL_ADD, fd, event));
  }

  /** Waits for at most `timeoutMs`; returns how many descriptors are readable, at most 16 at a time. */
  wait(timeoutMs: number): number {
    const count = raw(libcCalls.epoll_wait(this.#epollFd, this.#events, EVENTS, timeoutMs));
    if (count >= 0) return count;
    if (count === -EINTR) return 0;
    throw new SysError('epoll_wait', -count);
  }

  /** The i-th readable descriptor of the last wait. */
  ready(i: number): number {
    return this.#events.readInt32LE(i * EVENT_BYTES + DATA_OFFSET);
  }

  close(): void {
    closeFd(this.#epollFd);
  }
}

/** An eventfd: one thread waits for it, another writes it. */
export function openEvent(): number {
  return check('eventfd', libcCalls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

const one = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
const value = Buffer.allocUnsafeSlow(8);

/** Makes an eventfd readable; safe from any thread. */
export function raiseEvent(fd: number): void {
  libcCalls.write(fd, one, 8);
}

/** Makes it unreadable again. */
export function clearEvent(fd: number): void {
  libcCalls.read(fd, value, 8);
}
