// libc through koffi: the whole native surface, and the only file that imports koffi. Calls that fail throw a
// SysError with the errno's name; calls whose failure is part of normal work (EAGAIN, EINPROGRESS) have a `raw`
// form that returns -errno. Buffers whose address the kernel or a struct keeps must not move: make them with
// `Buffer.allocUnsafeSlow` and hold a reference. Numbers are of x86-64 and arm64 Linux, which agree on all of these.

import koffi from 'koffi';

const libc = koffi.load(null);
koffi.alias('ssize_t', 'intptr_t');
const declare = (signature: string) => libc.func(signature);

export const libcCalls = {
  socket: declare('int socket(int domain, int type, int protocol)'),
  bind: declare('int bind(int fd, const void *addr, uint32_t len)'),
  connect: declare('int connect(int fd, const void *addr, uint32_t len)'),
  listen: declare('int listen(int fd, int backlog)'),
  accept4: declare('int accept4(int fd, void *addr, void *len, int flags)'),
  shutdown: declare('int shutdown(int fd, int how)'),
  setsockopt: declare('int setsockopt(int fd, int level, int name, const void *val, uint32_t len)'),
  getsockopt: declare('int getsockopt(int fd, int level, int name, void *val, void *len)'),
  getsockname: declare('int getsockname(int fd, void *addr, void *len)'),
  getpeername: declare('int getpeername(int fd, void *addr, void *len)'),
  send: declare('ssize_t send(int fd, const void *buf, size_t len, int flags)'),
  recv: declare('ssize_t recv(int fd, void *buf, size_t len, int flags)'),
  sendto: declare(
    'ssize_t sendto(int fd, const void *buf, size_t len, int flags, const void *addr, uint32_t alen)',
  ),
  recvmsg: declare('ssize_t recvmsg(int fd, void *msg, int flags)'),
  sendmsg: declare('ssize_t sendmsg(int fd, const void *msg, int flags)'),
  read: declare('ssize_t read(int fd, void *buf, size_t len)'),
  write: declare('ssize_t write(int fd, const void *buf, size_t len)'),
  close: declare('int close(int fd)'),
  open: declare('int open(const char *path, int flags, int mode)'),
  setns: declare('int setns(int fd, int nstype)'),
  unshare: declare('int unshare(int flags)'),
  mount: declare(
    'int mount(const char *src, const char *dst, const char *type, unsigned long flags, const void *opt)',
  ),
  umount2: declare('int umount2(const char *target, int flags)'),
  epoll_create1: declare('int epoll_create1(int flags)'),
  epoll_ctl: declare('int epoll_ctl(int epfd, int op, int fd, void *event)'),
  epoll_wait: declare('int epoll_wait(int epfd, void *events, int max, int timeout)'),
  eventfd: declare('int eventfd(uint32_t value, int flags)'),
  if_nametoindex: declare('uint32_t if_nametoindex(const char *name)'),
  clock_gettime: declare('int clock_gettime(int id, void *time)'),
  sched_setscheduler: declare('int sched_setscheduler(int pid, int policy, const void *param)'),
};

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const SOL_SOCKET = 1;
export const IPPROTO_IP = 0;
export const IPPROTO_TCP = 6;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_ICMPV6 = 58;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const EINTR = 4;
export const EAGAIN = 11;
export const EEXIST = 17;
export const EINPROGRESS = 115;
export const ENOBUFS = 105;
export const CLONE_NEWNET = 0x40000000;

const errnoNames: Record<number, string> = {};
for (const [name, value] of Object.entries(koffi.os.errno)) errnoNames[value as number] = name;

/** The kernel's name of an errno ('ENOENT'), or its number as text. */
export function errnoName(errno: number): string {
  return errnoNames[errno] ?? String(errno);
}

/** The errno of the last libc call; read it before anything else runs. */
export function lastErrno(): number {
  return koffi.errno();
}

/** A failed system call. `detail` says on what. */
export class SysError extends Error {
  override readonly name = 'SysError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  constructor(syscall: string, errno: number, detail?: string) {
    super(`${syscall}: ${errnoName(errno)}${detail === undefined ? '' : ` (${detail})`}`);
    this.code = errnoName(errno);
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** Passes a libc result through, or throws what errno says. */
export function check(syscall: string, result: number | bigint, detail?: string): number {
  const n = Number(result);
  if (n < 0) throw new SysError(syscall, lastErrno(), detail);
  return n;
}

/** Passes a libc result through, or returns -errno. */
export function raw(result: number | bigint): number {
  const n = Number(result);
  return n < 0 ? -lastErrno() : n;
}

/** The address of a buffer, for pointers inside structs (msghdr, sock_fprog). */
export function addressOf(buffer: Uint8Array): bigint {
  return koffi.address(buffer);
}

/** Sets an int option (native byte order). */
export function setIntOption(fd: number, level: number, name: number, value: number): void {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value);
  check('setsockopt', libcCalls.setsockopt(fd, level, name, buffer, 4), `level ${level} option ${name}`);
}

/** Reads an int option. */
export function getIntOption(fd: number, level: number, name: number): number {
  const value = Buffer.alloc(4);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(4);
  check('getsockopt', libcCalls.getsockopt(fd, level, name, value, length), `level ${level} option ${name}`);
  return value.readInt32LE();
}

/** Closes a file descriptor; an error of close(2) is of no use to anyone. */
export function closeFd(fd: number): void {
  libcCalls.close(fd);
}

/** Watches a descriptor in libuv's loop; only `poller.ts` calls it (koffi does not document its argument order). */
export function watchFd(
  fd: number,
  onEvents: (status: number, events: number) => void,
): { stop(): void; close(): void } {
  const node = (
    koffi as unknown as { node: { poll: (fd: number, cb: unknown) => { stop(): void; close(): void } } }
  ).node;
  return node.poll(fd, onEvents);
}
