// UDP sockets for BFD (RFC 5881, 5883): datagrams with what came beside them (TTL or hop limit, interface, the address
// they were sent to), and senders with a source port of the upper range, TTL 255 and a bound interface. Received
// fields lie in typed arrays and small integers that the next datagram overwrites: nothing is allocated for one.

import { LeafdError } from '../lib/leafd-error.ts';
import {
  AF_INET,
  AF_INET6,
  addressOf,
  check,
  closeFd,
  IPPROTO_IP,
  IPPROTO_IPV6,
  libcCalls,
  MSG_DONTWAIT,
  raw,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  SysError,
  setIntOption,
} from './sys.ts';
import { encodeSockaddr, setTtl } from './tcp.ts';

const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SO_BINDTOIFINDEX = 62;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_PKTINFO = 8;
const IP_RECVTTL = 12;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_HOPLIMIT = 52;
const IPV6_TCLASS = 67;
const DSCP_CS6 = 0xc0;
const EADDRINUSE = 98;

/** RFC 5881, section 4. */
const SOURCE_PORT_FIRST = 49_152;
const SOURCE_PORTS = 16_384;
const SOURCE_PORT_ATTEMPTS = 64;
const RECEIVE_BUFFER = 4 << 20;

const NAME_BYTES = 28;
const CONTROL_BYTES = 128;
const CMSGHDR_BYTES = 16;

/**
 * A socket that takes datagrams to a port of any address of a family. Throws LeafdError (`address-in-use`,
 * `permission-denied`) or SysError.
 */
export function openUdpReceiver(family: 4 | 6, port: number): number {
  const six = family === 6;
  const fd = datagramSocket(six);
  try {
    if (six) {
      setIntOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
      setIntOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
      setIntOption(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    } else {
      setIntOption(fd, IPPROTO_IP, IP_PKTINFO, 1);
      setIntOption(fd, IPPROTO_IP, IP_RECVTTL, 1);
    }
    growReceiveBuffer(fd);
    const local = encodeSockaddr(new Uint8Array(six ? 16 : 4), port);
    const result = raw(libcCalls.bind(fd, local, local.length));
    if (result < 0) throw bindError(new SysError('bind', -result), port, family);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

function bindError(cause: SysError, port: number, family: number): Error {
  if (cause.errno !== EADDRINUSE) return cause;
  return new LeafdError('address-in-use', `another program has UDP port ${port} (IPv${family}) for BFD`, {
    hint: `is another BFD daemon running in this network namespace? ss -lnup sport = :${port} shows it`,
    cause,
  });
}

/**
 * A socket that sends from a port of 49152 to 65535 with TTL 255; it is not read. `local` absent: the kernel chooses
 * the address by the way. `random` gives numbers in [0, 1). Throws SysError (EADDRNOTAVAIL while `local` is not ours).
 */
export function openUdpSender(
  options: { family: 4 | 6; local?: Uint8Array | undefined; ifindex: number },
  random: () => number,
): number {
  const six = options.family === 6;
  const fd = datagramSocket(six);
  try {
    setTtl(fd, six ? 16 : 4, 255);
    setIntOption(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_TCLASS : IP_TOS, DSCP_CS6);
    // Whatever somebody sends to this port stays in the kernel, and the least the kernel allows of it.
    setIntOption(fd, SOL_SOCKET, SO_RCVBUF, 1);
    if (six) setIntOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (options.ifindex !== 0) setIntOption(fd, SOL_SOCKET, SO_BINDTOIFINDEX, options.ifindex);
    const address = options.local ?? new Uint8Array(six ? 16 : 4);
    bindSourcePort(fd, address, options.ifindex, random);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

function bindSourcePort(fd: number, address: Uint8Array, ifindex: number, random: () => number): void {
  for (let attempt = 0; ; attempt++) {
    const port = SOURCE_PORT_FIRST + Math.floor(random() * SOURCE_PORTS);
    const local = encodeSockaddr(address, port, ifindex);
    const result = raw(libcCalls.bind(fd, local, local.length));
    if (result === 0) return;
    if (result !== -EADDRINUSE || attempt === SOURCE_PORT_ATTEMPTS) throw new SysError('bind', -result);
  }
}

function datagramSocket(six: boolean): number {
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  return check('socket', libcCalls.socket(six ? AF_INET6 : AF_INET, type, 0));
}

/** Beyond net.core.rmem_max where we may. */
function growReceiveBuffer(fd: number): void {
  try {
    setIntOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
  } catch {
    setIntOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
  }
}

/** Sends bytes[0, length) to a sockaddr without waiting: 0 or -errno. */
export function sendDatagram(fd: number, bytes: Uint8Array, length: number, to: Uint8Array): number {
  return Math.min(0, raw(libcCalls.sendto(fd, bytes, length, MSG_DONTWAIT, to, to.length)));
}

/** The last datagram received; addresses are four words in host order, IPv4 mapped into IPv6. */
export class Datagram {
  readonly data: Buffer;
  readonly source = new Int32Array(4);
  readonly destination = new Int32Array(4);
  /** TTL or hop limit; -1 when the kernel did not say. */
  ttl = -1;
  ifindex = 0;
  readonly #name = Buffer.allocUnsafeSlow(NAME_BYTES);
  readonly #control = Buffer.allocUnsafeSlow(CONTROL_BYTES);
  readonly #iovec = Buffer.allocUnsafeSlow(16);
  readonly #header = Buffer.allocUnsafeSlow(56).fill(0);

  /** Longer datagrams are cut. */
  constructor(dataBytes: number) {
    this.data = Buffer.allocUnsafeSlow(dataBytes);
    this.#iovec.writeBigUInt64LE(addressOf(this.data), 0);
    this.#iovec.writeBigUInt64LE(BigInt(dataBytes), 8);
    this.#header.writeBigUInt64LE(addressOf(this.#name), 0);
    this.#header.writeBigUInt64LE(addressOf(this.#iovec), 16);
    this.#header.writeBigUInt64LE(1n, 24);
    this.#header.writeBigUInt64LE(addressOf(this.#control), 32);
  }

  /** Receives without waiting: the length in `data`, or -errno (-EAGAIN when there is none). */
  receive(fd: number): number {
    const header = this.#header;
    header.writeInt32LE(NAME_BYTES, 8);
    // The upper halves of the lengths stay zero: no bigint, because those are allocated.
    header.writeInt32LE(CONTROL_BYTES, 40);
    const length = raw(libcCalls.recvmsg(fd, header, MSG_DONTWAIT));
    if (length < 0) return length;
    const name = this.#name;
    if (name.readUInt16LE(0) === AF_INET) mapped(this.source, name.readInt32BE(4));
    else copyWords(this.source, name, 8);
    this.#readControl(header.readInt32LE(40));
    return length;
  }

  #readControl(end: number): void {
    const control = this.#control;
    this.ttl = -1;
    this.ifindex = 0;
    let at = 0;
    while (at + CMSGHDR_BYTES <= end) {
      const bytes = control.readInt32LE(at);
      if (bytes < CMSGHDR_BYTES) return;
      const level = control.readInt32LE(at + 8);
      const type = control.readInt32LE(at + 12);
      const data = at + CMSGHDR_BYTES;
      if (level === IPPROTO_IP && type === IP_PKTINFO) {
        this.ifindex = control.readInt32LE(data);
        mapped(this.destination, control.readInt32BE(data + 8));
      } else if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) {
        copyWords(this.destination, control, data);
        this.ifindex = control.readInt32LE(data + 16);
      } else if (
        (level === IPPROTO_IP && type === IP_TTL) ||
        (level === IPPROTO_IPV6 && type === IPV6_HOPLIMIT)
      )
        this.ttl = control.readInt32LE(data);
      at += (bytes + 7) & ~7;
    }
  }
}

function mapped(words: Int32Array, address: number): void {
  words[0] = 0;
  words[1] = 0;
  words[2] = 0xffff;
  words[3] = address;
}

function copyWords(words: Int32Array, bytes: Buffer, at: number): void {
  for (let i = 0; i < 4; i++) words[i] = bytes.readInt32BE(at + i * 4);
}
