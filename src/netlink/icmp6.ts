// Router advertisements and solicitations (RFC 4861) for BGP unnumbered: a port tells the other end its link-local
// address. One raw ICMPv6 socket per network namespace serves every interface. It works whatever accept_ra and
// forwarding are set to, because a raw socket is given its copy before the kernel decides for itself.
//
// The advertisements say "I am here" and nothing else: router lifetime 0 (not a default router), hop limit 0
// (unspecified), no prefix and no MTU, so a host on the port keeps its own settings. The kernel makes and checks
// the checksum. When to send, and what a neighbour means, is the speaker's.

import { assert } from '../lib/assert.ts';
import { LeafdError } from '../lib/leafd-error.ts';
import { MsgHdr } from './msghdr.ts';
import { withNetns } from './netns.ts';
import { Poller, type Watch } from './poller.ts';
import {
  AF_INET6,
  check,
  closeFd,
  IPPROTO_ICMPV6,
  IPPROTO_IPV6,
  libcCalls,
  raw,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SysError,
  setIntOption,
} from './sys.ts';

export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;

const ICMP6_FILTER = 1;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_ADD_MEMBERSHIP = 20;
const IPV6_DROP_MEMBERSHIP = 21;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_HOPLIMIT = 52;
const IPV6_TCLASS = 67;
const DSCP_CS6 = 0xc0;
const EADDRINUSE = 98;

const SOLICITATION_BYTES = 8;
const ADVERTISEMENT_BYTES = 16;
const OPTION_SOURCE_LLADDR = 1;
const DATAGRAMS_PER_TURN = 128;

const ALL_NODES = multicast(1);
const ALL_ROUTERS = multicast(2);

function multicast(last: number): Uint8Array {
  const address = new Uint8Array(16);
  address.set([0xff, 0x02]);
  address[15] = last;
  return address;
}

/** What was heard on a port. */
export interface RouterMessage {
  readonly type: typeof ROUTER_SOLICITATION | typeof ROUTER_ADVERTISEMENT;
  readonly ifindex: number;
  /** 16 bytes: a link-local address; all zero for a solicitation of a host that has none yet. */
  readonly source: Uint8Array;
  /** The source link-layer address option, 6 bytes. */
  readonly lladdr: Uint8Array | undefined;
  /** Router lifetime in seconds; 0 in a solicitation. */
  readonly lifetimeS: number;
}

export interface Icmp6Options {
  readonly netns?: string;
  readonly onMessage: (message: RouterMessage) => void;
}

/** The raw socket of one network namespace. */
export class Icmp6Socket {
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #received = new MsgHdr(2048);
  readonly #onMessage: (message: RouterMessage) => void;
  readonly #joined = new Set<number>();
  #open = true;
  /** Datagrams dropped by the checks of RFC 4861, sections 6.1.1 and 6.1.2. */
  invalid = 0;

  /** Throws LeafdError `permission-denied` without CAP_NET_RAW. */
  static open(options: Icmp6Options): Icmp6Socket {
    try {
      const fd = options.netns === undefined ? rawSocket() : withNetns(options.netns, rawSocket);
      return new Icmp6Socket(fd, options.onMessage);
    } catch (cause) {
      if (!(cause instanceof SysError)) throw cause;
      const refused = cause.code === 'EPERM' || cause.code === 'EACCES';
      throw new LeafdError(
        refused ? 'permission-denied' : 'icmp6-failed',
        `cannot open the socket for router advertisements: ${cause.code}`,
        { cause, hint: refused ? 'CAP_NET_RAW is needed' : 'does the kernel have IPv6?' },
      );
    }
  }

  private constructor(fd: number, onMessage: (message: RouterMessage) => void) {
    this.#fd = fd;
    this.#onMessage = onMessage;
    this.#watch = Poller.current().add(fd, { readable: true }, () => this.#drain());
  }

  /**
   * Joins all-routers and all-nodes on an interface, to hear solicitations and advertisements there. Returns 0 or
   * -errno (-ENODEV when the interface has gone). An interface that comes back has a new index and is joined anew.
   */
  join(ifindex: number): number {
    const routers = this.#membership(IPV6_ADD_MEMBERSHIP, ALL_ROUTERS, ifindex);
    const nodes = this.#membership(IPV6_ADD_MEMBERSHIP, ALL_NODES, ifindex);
    const failed = [routers, nodes].find((result) => result < 0 && result !== -EADDRINUSE);
    if (failed === undefined) this.#joined.add(ifindex);
    return failed ?? 0;
  }

  /** Leaves the groups; also right when the interface has gone. */
  leave(ifindex: number): void {
    this.#joined.delete(ifindex);
    this.#membership(IPV6_DROP_MEMBERSHIP, ALL_ROUTERS, ifindex);
    this.#membership(IPV6_DROP_MEMBERSHIP, ALL_NODES, ifindex);
  }

  /** Advertises us to all nodes on a port; returns 0 or -errno (-EADDRNOTAVAIL before the link-local is usable). */
  sendAdvertisement(ifindex: number, lladdr: Uint8Array | undefined, lifetimeS = 0): number {
    const message = withLladdr(ADVERTISEMENT_BYTES, lladdr);
    message.writeUInt8(ROUTER_ADVERTISEMENT, 0);
    message.writeUInt16BE(lifetimeS, 6);
    return this.#send(message, ALL_NODES, ifindex);
  }

  /** Asks the routers of a port to advertise themselves now; returns 0 or -errno. */
  sendSolicitation(ifindex: number, lladdr: Uint8Array | undefined): number {
    const message = withLladdr(SOLICITATION_BYTES, lladdr);
    message.writeUInt8(ROUTER_SOLICITATION, 0);
    return this.#send(message, ALL_ROUTERS, ifindex);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch.close();
    closeFd(this.#fd);
  }

  #membership(option: number, group: Uint8Array, ifindex: number): number {
    const request = Buffer.alloc(20);
    request.set(group, 0);
    request.writeInt32LE(ifindex, 16);
    return raw(libcCalls.setsockopt(this.#fd, IPPROTO_IPV6, option, request, request.length));
  }

  // The scope id alone chooses the interface: no state of the socket changes from one to the next.
  #send(message: Buffer, group: Uint8Array, ifindex: number): number {
    assert(this.#open, 'send on a closed ICMPv6 socket');
    const to = Buffer.alloc(28);
    to.writeUInt16LE(AF_INET6, 0);
    to.set(group, 8);
    to.writeUInt32LE(ifindex, 24);
    const sent = raw(libcCalls.sendto(this.#fd, message, message.length, 0, to, to.length));
    return Math.min(sent, 0);
  }

  #drain(): void {
    for (let i = 0; i < DATAGRAMS_PER_TURN && this.#open; i++) {
      const length = this.#received.receive(this.#fd);
      if (length < 0) return;
      this.#take(length);
    }
  }

  #take(length: number): void {
    const header = this.#received;
    const info = header.findControl(IPPROTO_IPV6, IPV6_PKTINFO);
    const hops = header.findControl(IPPROTO_IPV6, IPV6_HOPLIMIT);
    if (info < 0 || hops < 0) return;
    const ifindex = header.control.readInt32LE(info + 16);
    if (!this.#joined.has(ifindex)) return;
    const hopLimit = header.control.readInt32LE(hops);
    const source = Uint8Array.from(header.name.subarray(8, 24));
    const message = decodeRouterMessage(header.data, length, source, hopLimit, ifindex);
    if (message === undefined) this.invalid++;
    else this.#onMessage(message);
  }
}

/**
 * Checks and reads a solicitation or advertisement (RFC 4861, 6.1.1 and 6.1.2; the kernel has checked the
 * checksum). Undefined when it must be dropped.
 */
export function decodeRouterMessage(
  bytes: Buffer,
  length: number,
  source: Uint8Array,
  hopLimit: number,
  ifindex: number,
): RouterMessage | undefined {
  if (hopLimit !== 255 || length < SOLICITATION_BYTES || bytes[1] !== 0) return undefined;
  const type = bytes[0];
  if (type !== ROUTER_SOLICITATION && type !== ROUTER_ADVERTISEMENT) return undefined;
  const advertisement = type === ROUTER_ADVERTISEMENT;
  const linkLocal = source[0] === 0xfe && (source[1] & 0xc0) === 0x80;
  const unspecified = source.every((byte) => byte === 0);
  if (!linkLocal && (advertisement || !unspecified)) return undefined;
  const fixed = advertisement ? ADVERTISEMENT_BYTES : SOLICITATION_BYTES;
  if (length < fixed) return undefined;
  const lladdr = sourceLladdr(bytes, fixed, length);
  if (lladdr === null || (unspecified && lladdr !== undefined)) return undefined;
  return { type, ifindex, source, lladdr, lifetimeS: advertisement ? bytes.readUInt16BE(6) : 0 };
}

/** The first source link-layer option; undefined when there is none, null when the options are malformed. */
function sourceLladdr(bytes: Buffer, start: number, end: number): Uint8Array | undefined | null {
  let lladdr: Uint8Array | undefined;
  let offset = start;
  while (offset < end) {
    const optionBytes = offset + 2 <= end ? bytes[offset + 1] * 8 : 0;
    if (optionBytes === 0 || offset + optionBytes > end) return null;
    if (bytes[offset] === OPTION_SOURCE_LLADDR && optionBytes === 8) {
      lladdr ??= Uint8Array.from(bytes.subarray(offset + 2, offset + 8));
    }
    offset += optionBytes;
  }
  return lladdr;
}

function withLladdr(fixedBytes: number, lladdr: Uint8Array | undefined): Buffer {
  if (lladdr === undefined) return Buffer.alloc(fixedBytes);
  assert(lladdr.length === 6, 'a link-layer address has 6 bytes');
  const message = Buffer.alloc(fixedBytes + 8);
  message.writeUInt8(OPTION_SOURCE_LLADDR, fixedBytes);
  message.writeUInt8(1, fixedBytes + 1);
  message.set(lladdr, fixedBytes + 2);
  return message;
}

function rawSocket(): number {
  const fd = check(
    'socket',
    libcCalls.socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6),
  );
  try {
    // The filter comes first, so that nothing else is ever queued. A set bit blocks the type.
    const filter = Buffer.alloc(32, 0xff);
    for (const type of [ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT]) filter[type >> 3] &= ~(1 << (type & 7));
    check('ICMP6_FILTER', libcCalls.setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, filter, filter.length));
    setIntOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255);
    setIntOption(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255);
    setIntOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
    setIntOption(fd, IPPROTO_IPV6, IPV6_TCLASS, DSCP_CS6);
    setIntOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    setIntOption(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}
