// TCP sockets for BGP, made by libc calls because Node's own cannot carry what BGP needs before the handshake: MD5
// keys (RFC 2385), the TTL security check (RFC 5082), a bound device, a source, a link-local scope, a network
// namespace. Connected and accepted descriptors are handed to `net.Socket` by `socketFromFd`.
//
// connect(2) is ours as well: Node 22 and later refuse link-local addresses of other namespaces. The zone text in a
// `remoteAddress` of Node is looked up in the wrong namespace too, so peers are told here as bytes and scope id.
//
// Errors of the world are LeafdErrors, given to the callback or thrown by the synchronous calls.

import { Socket } from 'node:net';
import { LeafdError } from '../lib/leafd-error.ts';
import { withNetns } from './netns.ts';
import { Poller, type Watch } from './poller.ts';
import {
  AF_INET,
  AF_INET6,
  check,
  closeFd,
  EAGAIN,
  EINPROGRESS,
  EINTR,
  errnoName,
  getIntOption,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  libcCalls,
  raw,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SysError,
  setIntOption,
} from './sys.ts';

const SO_REUSEADDR = 2;
const SO_ERROR = 4;
const SO_LINGER = 13;
const SO_BINDTODEVICE = 25;
const TCP_NODELAY = 1;
const TCP_MD5SIG = 14;
const TCP_SAVE_SYN = 27;
const TCP_SAVED_SYN = 28;
const TCP_MD5SIG_EXT = 32;
const MD5_FLAG_PREFIX = 1;
const MD5_STRUCT_BYTES = 216;
const MD5_KEY_MAX = 80;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_MINTTL = 21;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;
const IPV6_TCLASS = 67;
const IPV6_MINHOPCOUNT = 73;
const DSCP_CS6 = 0xc0;
const ENOENT = 2;
const ECONNABORTED = 103;
const ACCEPTS_PER_TURN = 64;
const ACCEPT_PAUSE_MS = 100;

/** One end of a connection. `scopeId` is the interface index of a link-local address, else 0. */
export interface TcpEnd {
  readonly address: Uint8Array;
  readonly port: number;
  readonly scopeId: number;
}

/** Options of both directions that have to be set before the handshake. */
export interface TcpOptions {
  /** Name or path of the network namespace; the caller's own when absent. */
  readonly netns?: string;
  /** SO_BINDTODEVICE. */
  readonly device?: string;
  /** Outgoing TTL or hop limit, 255 for TTL security. */
  readonly ttl?: number;
}

export interface ConnectOptions extends TcpOptions {
  /** 4 or 16 bytes. */
  readonly remote: Uint8Array;
  readonly port: number;
  /** Interface index; needed for a link-local remote. */
  readonly scopeId?: number;
  readonly localAddress?: Uint8Array;
  readonly md5Key?: string | Uint8Array;
  /** Packets with a smaller TTL are dropped by the kernel (RFC 5082). */
  readonly minTtl?: number;
}

export type ConnectResult =
  | { readonly kind: 'connected'; readonly fd: number; readonly local: TcpEnd; readonly remote: TcpEnd }
  | { readonly kind: 'failed'; readonly error: LeafdError };

export interface ListenOptions extends TcpOptions {
  /** 4 or 16 bytes; all zero for any. */
  readonly address: Uint8Array;
  /** 0 lets the kernel choose. */
  readonly port: number;
  readonly scopeId?: number;
  readonly backlog?: number;
  /** An IPv6 listener takes IPv4 too when false; true when absent. */
  readonly v6only?: boolean;
}

/** An accepted connection; the receiver owns `fd` and closes it, or gives it to `socketFromFd`. */
export interface Accepted {
  readonly fd: number;
  readonly local: TcpEnd;
  readonly remote: TcpEnd;
  /** TTL or hop limit of the SYN; undefined where the kernel kept none of it (SYN cookies under a flood). */
  readonly ttl: number | undefined;
}

export interface Listener {
  readonly fd: number;
  readonly local: TcpEnd;
  /** As the function of the same name, for keys of peers that connect to us. */
  setMd5(address: Uint8Array, prefixLength: number | undefined, key: string | Uint8Array | null): void;
  close(): void;
}

/** The sockaddr_in or sockaddr_in6 of an end. */
export function encodeSockaddr(address: Uint8Array, port: number, scopeId = 0): Buffer {
  const ipv6 = address.length === 16;
  const bytes = Buffer.alloc(ipv6 ? 28 : 16);
  bytes.writeUInt16LE(ipv6 ? AF_INET6 : AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address, ipv6 ? 8 : 4);
  if (ipv6) bytes.writeUInt32LE(scopeId, 24);
  return bytes;
}

/** The end in a sockaddr; an IPv4 address mapped into IPv6 comes out with 4 bytes. */
export function decodeSockaddr(bytes: Buffer): TcpEnd {
  const port = bytes.readUInt16BE(2);
  if (bytes.readUInt16LE(0) === AF_INET)
    return { address: Uint8Array.from(bytes.subarray(4, 8)), port, scopeId: 0 };
  const mapped =
    bytes.readUInt32BE(8) === 0 && bytes.readUInt32BE(12) === 0 && bytes.readUInt32BE(16) === 0xffff;
  const address = Uint8Array.from(bytes.subarray(mapped ? 20 : 8, 24));
  return { address, port, scopeId: mapped ? 0 : bytes.readUInt32LE(24) };
}

/**
 * Connects without blocking. `onDone` is called once, never before this function returns, and not at all after
 * `cancel`. The receiver of a connected descriptor owns it.
 */
export function connectTcp(
  options: ConnectOptions,
  onDone: (result: ConnectResult) => void,
): { cancel(): void } {
  let fd = -1;
  let watch: Watch | undefined;
  let open = true;
  const release = () => {
    open = false;
    watch?.close();
    if (fd >= 0) closeFd(fd);
    fd = -1;
  };
  const fail = (error: LeafdError) => {
    release();
    onDone({ kind: 'failed', error });
  };
  // A peer may have reset the connection between the event and our asking who it is.
  const finish = () => {
    const errno = getIntOption(fd, SOL_SOCKET, SO_ERROR);
    if (errno !== 0) return fail(tcpError('connect', new SysError('connect', errno), options.remote));
    let ends: { local: TcpEnd; remote: TcpEnd };
    try {
      ends = { local: endOf(fd, 'local'), remote: endOf(fd, 'remote') };
    } catch (error) {
      return fail(tcpError('connect', error, options.remote));
    }
    watch?.close();
    open = false;
    onDone({ kind: 'connected', fd, ...ends });
  };
  try {
    fd = inNetns(options.netns, () => connectingSocket(options));
    watch = Poller.current().add(fd, { writable: true }, finish);
  } catch (error) {
    const failure = error instanceof LeafdError ? error : tcpError('connect', error, options.remote);
    setImmediate(() => open && fail(failure));
  }
  return { cancel: () => open && release() };
}

function connectingSocket(options: ConnectOptions): number {
  const family = options.remote.length === 16 ? AF_INET6 : AF_INET;
  return preparedSocket(family, options, (fd) => {
    if (options.minTtl !== undefined) setMinTtl(fd, options.remote.length, options.minTtl);
    if (options.localAddress !== undefined) {
      const local = encodeSockaddr(options.localAddress, 0, options.scopeId);
      check('bind', libcCalls.bind(fd, local, local.length), 'local address');
    }
    if (options.md5Key !== undefined) setMd5(fd, options.remote, undefined, options.md5Key);
    const remote = encodeSockaddr(options.remote, options.port, options.scopeId);
    const result = raw(libcCalls.connect(fd, remote, remote.length));
    if (result < 0 && result !== -EINPROGRESS && result !== -EINTR) throw new SysError('connect', -result);
  });
}

/** A non-blocking socket with what every BGP connection has: CS6, no delay, the device and the TTL. */
function preparedSocket(family: number, options: TcpOptions, prepare: (fd: number) => void): number {
  const fd = check(
    'socket',
    libcCalls.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP),
  );
  try {
    const ipv6 = family === AF_INET6;
    setIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    setIntOption(fd, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_TCLASS : IP_TOS, DSCP_CS6);
    if (options.device !== undefined) {
      const name = Buffer.from(`${options.device}\0`);
      const result = libcCalls.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length);
      check('SO_BINDTODEVICE', result, options.device);
    }
    if (options.ttl !== undefined) setTtl(fd, ipv6 ? 16 : 4, options.ttl);
    prepare(fd);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/**
 * Listens; each accepted connection is given to `onAccept` with the options of the listener (TTL, CS6, no delay)
 * inherited. `onError` hears of accepts that failed for want of descriptors or memory: accepting rests for 100 ms.
 * Throws LeafdError (`address-in-use`, `permission-denied`, `address-absent`).
 */
export function listenTcp(
  options: ListenOptions,
  onAccept: (accepted: Accepted) => void,
  onError: (error: LeafdError) => void = () => {},
): Listener {
  const family = options.address.length === 16 ? AF_INET6 : AF_INET;
  let fd: number;
  try {
    fd = inNetns(options.netns, () =>
      preparedSocket(family, options, (fresh) => {
        setIntOption(fresh, SOL_SOCKET, SO_REUSEADDR, 1);
        if (family === AF_INET6)
          setIntOption(fresh, IPPROTO_IPV6, IPV6_V6ONLY, options.v6only === false ? 0 : 1);
        // The lowest TTL to accept is set on an accepted socket, when data may have come already: SYNs tell in time.
        setIntOption(fresh, IPPROTO_TCP, TCP_SAVE_SYN, 1);
        const local = encodeSockaddr(options.address, options.port, options.scopeId);
        check('bind', libcCalls.bind(fresh, local, local.length));
        check('listen', libcCalls.listen(fresh, options.backlog ?? 1024));
      }),
    );
  } catch (error) {
    throw error instanceof LeafdError ? error : tcpError('listen', error, options.address, options.port);
  }
  const acceptor = startAccepting(fd, onAccept, onError);
  return {
    fd,
    local: endOf(fd, 'local'),
    setMd5: (address, prefixLength, key) => setMd5(fd, address, prefixLength, key),
    close: () => acceptor.close(),
  };
}

function startAccepting(
  fd: number,
  onAccept: (accepted: Accepted) => void,
  onError: (error: LeafdError) => void,
): { close(): void } {
  let open = true;
  const watch = Poller.current().add(fd, { readable: true }, () => {
    for (let i = 0; i < ACCEPTS_PER_TURN && open; i++) {
      const accepted = raw(libcCalls.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (accepted >= 0) {
        deliver(accepted);
        continue;
      }
      if (accepted === -EAGAIN) return;
      if (accepted === -EINTR || accepted === -ECONNABORTED) continue;
      watch.modify({});
      setTimeout(() => open && watch.modify({ readable: true }), ACCEPT_PAUSE_MS).unref();
      onError(tcpError('accept', new SysError('accept4', -accepted)));
      return;
    }
  });
  // A peer that has gone again before we looked has no name any more: nothing to tell.
  const deliver = (accepted: number) => {
    let local: TcpEnd;
    let remote: TcpEnd;
    try {
      local = endOf(accepted, 'local');
      remote = endOf(accepted, 'remote');
    } catch {
      closeFd(accepted);
      return;
    }
    onAccept({ fd: accepted, local, remote, ttl: synTtl(accepted) });
  };
  return {
    close: () => {
      if (!open) return;
      open = false;
      watch.close();
      closeFd(fd);
    },
  };
}

/**
 * Sets the MD5 key (RFC 2385) for a peer's address or, with `prefixLength`, for all of a prefix; null removes it.
 * At most 80 bytes. Works on a live listener. Throws LeafdError (`md5-keys-full`, `md5-key-invalid`).
 */
export function setMd5(
  fd: number,
  address: Uint8Array,
  prefixLength: number | undefined,
  key: string | Uint8Array | null,
): void {
  const length = key === null ? 0 : Buffer.byteLength(key);
  if (length > MD5_KEY_MAX || (key !== null && length === 0)) {
    throw new LeafdError('md5-key-invalid', `a TCP MD5 password has 1 to ${MD5_KEY_MAX} bytes`);
  }
  const value = md5Value(address, prefixLength, key ?? '');
  const option = prefixLength === undefined ? TCP_MD5SIG : TCP_MD5SIG_EXT;
  const result = raw(libcCalls.setsockopt(fd, IPPROTO_TCP, option, value, value.length));
  if (result === 0 || (key === null && result === -ENOENT)) return;
  throw md5Error(new SysError('TCP_MD5SIG', -result));
}

/** struct tcp_md5sig; an empty key takes the key away. */
function md5Value(address: Uint8Array, prefixLength: number | undefined, key: string | Uint8Array): Buffer {
  const keyBytes = Buffer.from(key);
  const value = Buffer.alloc(MD5_STRUCT_BYTES);
  value.set(encodeSockaddr(address, 0), 0);
  if (prefixLength !== undefined) {
    value.writeUInt8(MD5_FLAG_PREFIX, 128);
    value.writeUInt8(prefixLength, 129);
  }
  value.writeUInt16LE(keyBytes.length, 130);
  value.set(keyBytes, 136);
  return value;
}

/**
 * Whether a connection was signed with a key for its peer's address (RFC 2385) from the handshake on; the socket then
 * has `key` for it. The kernel checks signatures only where it has a key at that moment: a connection that was made
 * before the listener was given the key is not signed, and nothing else tells so. Asked by taking the key away, which
 * fails where there is none, because the kernel answers no question about keys.
 */
export function isSigned(fd: number, address: Uint8Array, key: string | Uint8Array): boolean {
  const value = md5Value(address, undefined, '');
  const result = raw(libcCalls.setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, value, value.length));
  if (result < 0) return false;
  try {
    setMd5(fd, address, undefined, key);
  } catch (error) {
    // Memory for the key, which has just been given back, is gone: better no connection than an unsigned one.
    if (!(error instanceof LeafdError)) throw error;
    return false;
  }
  return true;
}

function md5Error(cause: SysError): LeafdError {
  if (cause.code === 'ENOMEM') {
    return new LeafdError('md5-keys-full', 'the kernel has no room for another TCP MD5 key on this socket', {
      hint: 'raise the sysctl net.core.optmem_max: about 136 bytes a key',
      cause,
    });
  }
  return new LeafdError('md5-refused', `the kernel refuses the TCP MD5 key: ${cause.code}`, {
    hint: 'the kernel needs CONFIG_TCP_MD5SIG',
    cause,
  });
}

/** Drops packets of the peer with a smaller TTL or hop limit (RFC 5082); `addressLength` is 4 or 16. */
export function setMinTtl(fd: number, addressLength: number, minTtl: number): void {
  const ipv6 = addressLength === 16;
  setIntOption(fd, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_MINHOPCOUNT : IP_MINTTL, minTtl);
}

/** The TTL or hop limit of what we send; `addressLength` is 4 or 16. */
export function setTtl(fd: number, addressLength: number, ttl: number): void {
  const ipv6 = addressLength === 16;
  setIntOption(fd, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_UNICAST_HOPS : IP_TTL, ttl);
}

/** From the saved IP header of the SYN, which the kernel gives out once. */
function synTtl(fd: number): number | undefined {
  const header = Buffer.alloc(512);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  if (raw(libcCalls.getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, header, length)) < 0) return undefined;
  if (length.readUInt32LE() < 20) return undefined;
  return header.readUInt8(header.readUInt8(0) >>> 4 === 6 ? 7 : 8);
}

/** Ends an accepted connection by RST: nothing of it is kept, here or in the kernel. */
export function refuseFd(fd: number): void {
  const linger = Buffer.alloc(8);
  linger.writeInt32LE(1);
  raw(libcCalls.setsockopt(fd, SOL_SOCKET, SO_LINGER, linger, linger.length));
  closeFd(fd);
}

/** A Node socket around a connected descriptor, which it owns from now on. Reading begins with a 'data' listener. */
export function socketFromFd(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: true });
}

function inNetns<T>(netns: string | undefined, fn: () => T): T {
  return netns === undefined ? fn() : withNetns(netns, fn);
}

function endOf(fd: number, side: 'local' | 'remote'): TcpEnd {
  const bytes = Buffer.alloc(28);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  const name = side === 'local' ? libcCalls.getsockname : libcCalls.getpeername;
  check(side === 'local' ? 'getsockname' : 'getpeername', name(fd, bytes, length));
  return decodeSockaddr(bytes);
}

const tcpErrors: Record<string, { code: string; text: string; hint?: string }> = {
  ECONNREFUSED: { code: 'connection-refused', text: 'nothing listens there' },
  ECONNRESET: { code: 'connection-reset', text: 'the peer reset the connection' },
  ETIMEDOUT: {
    code: 'connection-timeout',
    text: 'no answer',
    hint: 'is the TCP MD5 password the same on both sides?',
  },
  EHOSTUNREACH: { code: 'peer-unreachable', text: 'no neighbour answers for the address' },
  ENETUNREACH: { code: 'peer-unreachable', text: 'no route to the address' },
  ENETDOWN: { code: 'peer-unreachable', text: 'the network is down' },
  EADDRNOTAVAIL: {
    code: 'address-absent',
    text: 'the local address is not on this machine, or not usable yet',
  },
  EADDRINUSE: {
    code: 'address-in-use',
    text: 'another program listens there',
    hint: 'is another BGP daemon running in this network namespace? ss -ltnp shows it',
  },
  EACCES: {
    code: 'permission-denied',
    text: 'not permitted',
    hint: 'ports below 1024 need CAP_NET_BIND_SERVICE',
  },
  EPERM: {
    code: 'permission-denied',
    text: 'not permitted',
    hint: 'CAP_NET_ADMIN and CAP_NET_RAW are needed',
  },
  ENOTCONN: { code: 'connection-reset', text: 'the peer reset the connection' },
  ENODEV: { code: 'interface-absent', text: 'there is no such interface' },
  EINVAL: {
    code: 'tcp-invalid',
    text: 'the kernel refuses the arguments',
    hint: 'a link-local address needs its scope',
  },
  EMFILE: {
    code: 'descriptors-full',
    text: 'no file descriptor left',
    hint: 'raise LimitNOFILE of the service',
  },
  ENFILE: {
    code: 'descriptors-full',
    text: 'no file descriptor left on this machine',
    hint: 'sysctl fs.file-max',
  },
};

function tcpError(doing: string, error: unknown, address?: Uint8Array, port?: number): LeafdError {
  if (!(error instanceof SysError)) throw error;
  const known = tcpErrors[error.code] ?? { code: 'tcp-failed', text: errnoName(error.errno) };
  const at = port === undefined ? '' : ` on port ${port}`;
  const family = address === undefined ? '' : address.length === 16 ? ' (IPv6)' : ' (IPv4)';
  const message = `cannot ${doing}${at}${family}: ${known.text} (${error.code})`;
  return new LeafdError(known.code, message, {
    cause: error,
    ...(known.hint === undefined ? {} : { hint: known.hint }),
  });
}
