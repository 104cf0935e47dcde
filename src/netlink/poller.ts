// Raw descriptors in Node's event loop. One epoll descriptor per thread holds every watched descriptor, and only
// that one is registered with libuv: libuv stops a poll for good when a descriptor reports an error (a netlink
// socket that overran does), while an epoll descriptor never does. Level triggered: a callback may read as much as
// it likes and leave the rest for the next turn.
//
// Two traps kept away from callers. The libuv handle is collected, and its events end silently, when nothing refers
// to it: it is held in a module-level set. Node 26 leaves promises and ticks queued in such a callback until the
// next event of the loop: each wake ends with an empty `setImmediate`.
//
// While nothing is watched the loop is not held open, so a process with no more work can end.

import { check, EINTR, libcCalls, raw, SysError, watchFd } from './sys.ts';

/** What to be called for; an empty interest keeps the watch but is never called. */
export interface Interest {
  readonly readable?: boolean;
  readonly writable?: boolean;
}

/** Called with what is possible now. An error or hang-up is reported as whatever the interest was. */
export type WatchCallback = (readable: boolean, writable: boolean) => void;

export interface Watch {
  /** Replaces the interest. */
  modify(interest: Interest): void;
  /** Ends the watch; call it before the descriptor is closed. A second call does nothing. */
  close(): void;
}

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLLIN = 0x001;
const EPOLLOUT = 0x004;
const EPOLLERR = 0x008;
const EPOLLHUP = 0x010;
const EPOLL_CLOEXEC = 0x80000;
// struct epoll_event is packed on x86-64 only.
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const DATA_OFFSET = process.arch === 'x64' ? 4 : 8;
const EVENTS_PER_WAKE = 256;

interface Entry {
  readonly id: number;
  readonly fd: number;
  readonly callback: WatchCallback;
  events: number;
}

const liveHandles = new Set<{ close(): void }>();
let currentPoller: Poller | undefined;

const nothing = () => {};

function eventsOf(interest: Interest): number {
  return (interest.readable === true ? EPOLLIN : 0) | (interest.writable === true ? EPOLLOUT : 0);
}

export class Poller {
  readonly #epollFd = check('epoll_create1', libcCalls.epoll_create1(EPOLL_CLOEXEC));
  readonly #events = Buffer.allocUnsafeSlow(EVENTS_PER_WAKE * EVENT_BYTES);
  readonly #change = Buffer.alloc(EVENT_BYTES);
  readonly #byId = new Map<number, Entry>();
  readonly #byFd = new Map<number, Entry>();
  #nextId = 1;
  #handle: { close(): void } | undefined;

  /** The poller of the calling thread. */
  static current(): Poller {
    currentPoller ??= new Poller();
    return currentPoller;
  }

  /** Watches a descriptor; throws SysError when the kernel refuses it (a plain file cannot be watched). */
  add(fd: number, interest: Interest, callback: WatchCallback): Watch {
    // A descriptor number that is watched already was closed by its owner and given out anew by the kernel.
    const stale = this.#byFd.get(fd);
    if (stale !== undefined) this.#remove(stale);
    const entry: Entry = { id: this.#nextId, fd, callback, events: 0 };
    this.#nextId = this.#nextId === 0xffffffff ? 1 : this.#nextId + 1;
    this.#change.fill(0);
    this.#apply(entry, eventsOf(interest));
    this.#byId.set(entry.id, entry);
    this.#byFd.set(fd, entry);
    this.#hold();
    return {
      modify: (next) => {
        if (this.#byId.get(entry.id) === entry) this.#apply(entry, eventsOf(next));
      },
      close: () => {
        if (this.#byId.get(entry.id) === entry) this.#remove(entry);
      },
    };
  }

  /** Watches in force. */
  get size(): number {
    return this.#byId.size;
  }

  // The kernel reports errors even for an empty interest, so that case leaves the epoll set altogether.
  #apply(entry: Entry, events: number): void {
    if (events === entry.events) return;
    const operation = events === 0 ? EPOLL_CTL_DEL : entry.events === 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    this.#change.writeUInt32LE(events, 0);
    this.#change.writeUInt32LE(entry.id, DATA_OFFSET);
    const result = raw(libcCalls.epoll_ctl(this.#epollFd, operation, entry.fd, this.#change));
    if (result < 0 && operation !== EPOLL_CTL_DEL) throw new SysError('epoll_ctl', -result, `fd ${entry.fd}`);
    entry.events = events;
  }

  #remove(entry: Entry): void {
    this.#byId.delete(entry.id);
    this.#byFd.delete(entry.fd);
    this.#apply(entry, 0);
    if (this.#byId.size === 0) this.#release();
  }

  #hold(): void {
    if (this.#handle !== undefined) return;
    const handle = watchFd(this.#epollFd, () => this.#wake());
    liveHandles.add(handle);
    this.#handle = handle;
  }

  #release(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#handle = undefined;
    liveHandles.delete(handle);
    handle.close();
  }

  #wake(): void {
    const waited = raw(libcCalls.epoll_wait(this.#epollFd, this.#events, EVENTS_PER_WAKE, 0));
    if (waited < 0) {
      if (waited === -EINTR) return;
      throw new SysError('epoll_wait', -waited);
    }
    try {
      for (let i = 0; i < waited; i++) this.#dispatch(i * EVENT_BYTES);
    } finally {
      setImmediate(nothing);
    }
  }

  // A watch closed by an earlier callback of the same wake is no longer in the map.
  #dispatch(offset: number): void {
    const entry = this.#byId.get(this.#events.readUInt32LE(offset + DATA_OFFSET));
    if (entry === undefined) return;
    const bits = this.#events.readUInt32LE(offset);
    const seen = (bits & (EPOLLERR | EPOLLHUP)) !== 0 ? entry.events : bits & entry.events;
    if (seen !== 0) entry.callback((seen & EPOLLIN) !== 0, (seen & EPOLLOUT) !== 0);
  }
}
