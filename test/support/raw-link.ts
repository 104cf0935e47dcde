// Raw Ethernet frames for tests: a packet socket on one link of a namespace, and writers of the few frames that guests
// send, honest or not. Checksums are right where the stack would look at them.

import { withNetns } from '../../src/netlink/netns.ts';
import {
  check,
  closeFd,
  libcCalls,
  MSG_DONTWAIT,
  raw,
  SOCK_CLOEXEC,
  SOCK_RAW,
} from '../../src/netlink/sys.ts';

const AF_PACKET = 17;
const ETH_P_ALL_NETWORK = 0x0300;

/** Sends frames on a link and collects those that came in on it. */
export class RawLink {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafeSlow(65536);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  static ifindex(netns: string, name: string): number {
    return withNetns(netns, () => Number(libcCalls.if_nametoindex(name)));
  }

  static open(netns: string, name: string): RawLink {
    return withNetns(netns, () => {
      const address = Buffer.alloc(20);
      address.writeUInt16LE(AF_PACKET, 0);
      address.writeUInt16LE(ETH_P_ALL_NETWORK, 2);
      address.writeInt32LE(Number(libcCalls.if_nametoindex(name)), 4);
      const fd = check('socket', libcCalls.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), name);
      check('bind', libcCalls.bind(fd, address, 20), name);
      // Own frames are not told (PACKET_IGNORE_OUTGOING).
      const on = Buffer.alloc(4);
      on.writeInt32LE(1);
      check('setsockopt', libcCalls.setsockopt(fd, 263, 23, on, 4), name);
      return new RawLink(fd);
    });
  }

  send(bytes: Uint8Array): void {
    const padded = Buffer.alloc(Math.max(60, bytes.length));
    padded.set(bytes);
    check('send', libcCalls.send(this.#fd, padded, padded.length, 0), 'frame');
  }

  /** Frames that came since the last call. */
  received(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (;;) {
      const got = raw(libcCalls.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT));
      if (got < 0) return frames;
      frames.push(Uint8Array.from(this.#buffer.subarray(0, got)));
    }
  }

  close(): void {
    closeFd(this.#fd);
  }
}

const two = (value: number): number[] => [(value >>> 8) & 0xff, value & 0xff];

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function frame(to: Uint8Array, from: Uint8Array, type: number, payload: Uint8Array): Uint8Array {
  return Uint8Array.of(...to, ...from, ...two(type), ...payload);
}

/** The same frame with an 802.1Q tag. */
export function vlan(bytes: Uint8Array, id: number): Uint8Array {
  return Uint8Array.of(...bytes.subarray(0, 12), 0x81, 0, ...two(id), ...bytes.subarray(12));
}

export function arp(operation: number, mac: Uint8Array, from: Uint8Array, to: Uint8Array): Uint8Array {
  return Uint8Array.of(0, 1, 8, 0, 6, 4, ...two(operation), ...mac, ...from, ...new Uint8Array(6), ...to);
}

export function ip4(from: Uint8Array, to: Uint8Array, protocol: number, payload: Uint8Array): Uint8Array {
  const header = [0x45, 0, ...two(20 + payload.length), 0, 1, 0, 0, 64, protocol, 0, 0, ...from, ...to];
  const sum = two(checksum(Uint8Array.from(header)));
  header[10] = sum[0]!;
  header[11] = sum[1]!;
  return withChecksum(Uint8Array.of(...header, ...payload), 20, protocol, [...from, ...to]);
}

export function ip6(from: Uint8Array, to: Uint8Array, next: number, payload: Uint8Array): Uint8Array {
  const whole = Uint8Array.of(0x60, 0, 0, 0, ...two(payload.length), next, 255, ...from, ...to, ...payload);
  return withChecksum(whole, 40, next, [...from, ...to]);
}

/** Fills in the checksum of UDP, TCP and ICMPv6 behind the network header of `header` bytes. */
function withChecksum(packet: Uint8Array, header: number, protocol: number, addresses: number[]): Uint8Array {
  const place = { 17: 6, 6: 16, 58: 2 }[protocol];
  if (place === undefined) return packet;
  const upper = packet.subarray(header);
  const sum = checksum(Uint8Array.of(...addresses, 0, protocol, ...two(upper.length), ...upper));
  packet.set(two(sum), header + place);
  return packet;
}

export function udp(source: number, destination: number, payload = new Uint8Array(8)): Uint8Array {
  return Uint8Array.of(...two(source), ...two(destination), ...two(8 + payload.length), 0, 0, ...payload);
}

/** A TCP header with flags (2: SYN, 16: ACK). */
export function tcp(source: number, destination: number, flags: number): Uint8Array {
  return Uint8Array.of(
    ...two(source),
    ...two(destination),
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    1,
    0x50,
    flags,
    16,
    0,
    0,
    0,
    0,
    0,
  );
}

export function icmp6(type: number, body: Uint8Array = new Uint8Array(4)): Uint8Array {
  return Uint8Array.of(type, 0, 0, 0, ...body);
}

/** A solicitation (135) or advertisement (136) of a target, with a link-layer address option where a MAC is given. */
export function neighbourMessage(type: number, target: Uint8Array, mac?: Uint8Array): Uint8Array {
  const option = mac === undefined ? [] : [type === 135 ? 1 : 2, 1, ...mac];
  return icmp6(type, Uint8Array.of(type === 136 ? 0x20 : 0, 0, 0, 0, ...target, ...option));
}

/** DHCPDISCOVER's addresses and ports. */
export function dhcp(): Uint8Array {
  return ip4(new Uint8Array(4), new Uint8Array(4).fill(255), 17, udp(68, 67, new Uint8Array(244)));
}
