// Network namespaces. setns(2) moves one thread; a synchronous window on the calling thread is all that is needed,
// because a socket stays in the namespace it was made in, whoever uses it later. Inside the window /proc/sys/net,
// if_nametoindex and a spawned child belong to that namespace; /sys/class/net does not follow the thread.
//
// libuv's thread pool is made at its first use and takes over the namespace of the thread that asked, for the whole
// process: it is started from home before the first window, and no asynchronous work may be begun inside one.
//
// Namespaces are made the way iproute2 makes them (a bind mount below /run/netns), so `ip netns` sees ours.

import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  stat,
  statfsSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { LeafdError } from '../lib/leafd-error.ts';
import {
  AF_UNIX,
  CLONE_NEWNET,
  check,
  closeFd,
  libcCalls,
  raw,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
  SysError,
} from './sys.ts';

const NETNS_DIRECTORY = '/run/netns';
const HOME_PATH = '/proc/thread-self/ns/net';
const MS_BIND = 4096;
const MS_REC = 16384;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;
const NSFS_MAGIC = 0x6e736673;
const SO_NETNS_COOKIE = 71;
const EINVAL = 22;
const ENOENT = 2;

let poolStarted = false;

/** The path of a namespace: a path stays, a name is looked for where `ip netns` keeps them. */
export function netnsPath(pathOrName: string): string {
  return pathOrName.includes('/') ? pathOrName : `${NETNS_DIRECTORY}/${pathOrName}`;
}

/**
 * Runs `fn` with the calling thread in another network namespace and comes back, whatever happens. `fn` must be
 * synchronous and must not begin asynchronous file or DNS work. Throws LeafdError `netns-absent` or
 * `netns-refused`, or what `fn` throws.
 */
export function withNetns<T>(pathOrName: string, fn: () => T): T {
  startPool();
  const home = openSync(HOME_PATH, constants.O_RDONLY);
  try {
    const target = openNetns(pathOrName);
    try {
      enter(target, pathOrName);
    } finally {
      closeSync(target);
    }
    try {
      const result = fn();
      if (result instanceof Promise) throw new TypeError('a function run in a namespace must be synchronous');
      return result;
    } finally {
      check('setns', libcCalls.setns(home, CLONE_NEWNET), 'home');
    }
  } finally {
    closeSync(home);
  }
}

function startPool(): void {
  if (poolStarted) return;
  poolStarted = true;
  stat('/', () => {});
}

function openNetns(pathOrName: string): number {
  const path = netnsPath(pathOrName);
  try {
    return openSync(path, constants.O_RDONLY);
  } catch (cause) {
    throw new LeafdError('netns-absent', `no network namespace ${pathOrName} (${path})`, {
      hint: 'ip netns list shows the ones there are',
      cause,
    });
  }
}

function enter(fd: number, pathOrName: string): void {
  const result = raw(libcCalls.setns(fd, CLONE_NEWNET));
  if (result === 0) return;
  const cause = new SysError('setns', -result, pathOrName);
  throw new LeafdError('netns-refused', `cannot enter the network namespace ${pathOrName}: ${cause.code}`, {
    hint: cause.code === 'EPERM' ? 'CAP_SYS_ADMIN is needed' : 'is it a network namespace?',
    cause,
  });
}

/** Makes a named namespace; its loopback is down, as the kernel makes it. Throws LeafdError `netns-exists`. */
export function createNetns(name: string): void {
  startPool();
  shareDirectory();
  const path = netnsPath(name);
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_CREAT | constants.O_EXCL, 0));
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    throw new LeafdError(
      exists ? 'netns-exists' : 'netns-refused',
      exists ? `there is a network namespace ${name} already` : `cannot make ${path}`,
      { hint: exists ? `ip netns delete ${name} removes it` : 'root is needed', cause },
    );
  }
  const home = openSync(HOME_PATH, constants.O_RDONLY);
  try {
    check('unshare', libcCalls.unshare(CLONE_NEWNET), name);
    try {
      check('mount', libcCalls.mount(HOME_PATH, path, 'none', MS_BIND, null), path);
    } finally {
      check('setns', libcCalls.setns(home, CLONE_NEWNET), 'home');
    }
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(home);
  }
}

// As iproute2: the directory is a shared mount, so that a removal reaches the private mount namespaces that
// `ip netns exec` makes; otherwise a removed namespace would live on in them.
function shareDirectory(): void {
  mkdirSync(NETNS_DIRECTORY, { recursive: true, mode: 0o755 });
  const share = () => raw(libcCalls.mount('', NETNS_DIRECTORY, 'none', MS_SHARED | MS_REC, null));
  const first = share();
  if (first === 0) return;
  if (first !== -EINVAL) throw new SysError('mount', -first, NETNS_DIRECTORY);
  const bound = libcCalls.mount(NETNS_DIRECTORY, NETNS_DIRECTORY, 'none', MS_BIND | MS_REC, null);
  check('mount', bound, NETNS_DIRECTORY);
  check('mount', share(), NETNS_DIRECTORY);
}

/** Removes a named namespace; the kernel ends it when no process or socket is in it any more. False if absent. */
export function removeNetns(name: string): boolean {
  const path = netnsPath(name);
  if (!existsSync(path)) return false;
  const result = raw(libcCalls.umount2(path, MNT_DETACH));
  if (result < 0 && result !== -EINVAL && result !== -ENOENT) throw new SysError('umount2', -result, path);
  unlinkSync(path);
  return true;
}

/** Names of the namespaces below /run/netns, sorted. */
export function listNetns(): string[] {
  return existsSync(NETNS_DIRECTORY) ? readdirSync(NETNS_DIRECTORY).sort() : [];
}

/** The inode that tells namespaces apart: of a name or path, or of the calling thread. */
export function netnsInode(pathOrName?: string): number {
  if (pathOrName !== undefined) return statSync(netnsPath(pathOrName)).ino;
  return Number(/\d+/.exec(readlinkSync(HOME_PATH))?.[0]);
}

/** Whether a namespace is mounted under this name; a file of that name may be a left-over of one. */
export function isNetnsMounted(name: string): boolean {
  try {
    return statfsSync(netnsPath(name)).type === NSFS_MAGIC;
  } catch {
    return false;
  }
}

/**
 * Gives an open namespace a name, which may have been its own until somebody removed it: it lives as long as a socket
 * or descriptor of it does. Throws LeafdError `netns-refused` or SysError; a namespace of that name must not be there.
 */
export function nameNetns(name: string, fd: number): void {
  shareDirectory();
  const path = netnsPath(name);
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_CREAT, 0));
  } catch (cause) {
    throw new LeafdError('netns-refused', `cannot make ${path}`, { hint: 'root is needed', cause });
  }
  check('mount', libcCalls.mount(`/proc/self/fd/${fd}`, path, 'none', MS_BIND, null), path);
}

/** The kernel's number of a namespace, never given twice in one boot; '' where it has none (before Linux 5.14). */
export function netnsCookie(pathOrName: string): string {
  return withNetns(pathOrName, () => {
    const fd = check('socket', libcCalls.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    try {
      const [value, length] = [Buffer.alloc(8), Buffer.from([8, 0, 0, 0])];
      const result = libcCalls.getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, value, length);
      return Number(result) < 0 ? '' : String(value.readBigUInt64LE());
    } finally {
      closeFd(fd);
    }
  });
}
