// recvmsg(2) with control messages: the layout of msghdr, iovec and cmsghdr on 64-bit Linux. The buffers are made
// once per socket and their addresses are inside the struct, so they are unpooled and live as long as it does.
// What a control message means is the business of who asked for it.

import { addressOf, libcCalls, MSG_DONTWAIT, raw } from './sys.ts';

const MSGHDR_BYTES = 56;
const CMSGHDR_BYTES = 16;
const NAME_BYTES = 128;
const CONTROL_BYTES = 512;

/** A receive buffer with room for the sender's address and control messages; reused by each `receive`. */
export class MsgHdr {
  /** The sender's sockaddr. */
  readonly name = Buffer.allocUnsafeSlow(NAME_BYTES);
  readonly data: Buffer;
  /** Control messages; `findControl` says where. */
  readonly control = Buffer.allocUnsafeSlow(CONTROL_BYTES);
  readonly #iovec = Buffer.allocUnsafeSlow(16);
  readonly #header = Buffer.alloc(MSGHDR_BYTES);

  constructor(dataBytes: number) {
    this.data = Buffer.allocUnsafeSlow(dataBytes);
    this.#iovec.writeBigUInt64LE(addressOf(this.data), 0);
    this.#iovec.writeBigUInt64LE(BigInt(dataBytes), 8);
    this.#header.writeBigUInt64LE(addressOf(this.name), 0);
    this.#header.writeBigUInt64LE(addressOf(this.#iovec), 16);
    this.#header.writeBigUInt64LE(1n, 24);
    this.#header.writeBigUInt64LE(addressOf(this.control), 32);
  }

  /** Receives one datagram without waiting: its length in `data`, or -errno (-EAGAIN when there is none). */
  receive(fd: number): number {
    this.#header.writeUInt32LE(NAME_BYTES, 8);
    this.#header.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
    this.#header.writeInt32LE(0, 48);
    return raw(libcCalls.recvmsg(fd, this.#header, MSG_DONTWAIT));
  }

  /** MSG_TRUNC and the like of the last datagram. */
  get flags(): number {
    return this.#header.readInt32LE(48);
  }

  /** Where the control message's data begin in `control`, or -1: of the last datagram. */
  findControl(level: number, type: number): number {
    const length = Number(this.#header.readBigUInt64LE(40));
    let offset = 0;
    while (offset + CMSGHDR_BYTES <= length) {
      const messageBytes = Number(this.control.readBigUInt64LE(offset));
      if (messageBytes < CMSGHDR_BYTES) return -1;
      const matches =
        this.control.readInt32LE(offset + 8) === level && this.control.readInt32LE(offset + 12) === type;
      if (matches) return offset + CMSGHDR_BYTES;
      offset += (messageBytes + 7) & ~7;
    }
    return -1;
  }
}
