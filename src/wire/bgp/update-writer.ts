// Packs outgoing UPDATEs. One call opens a set of attributes (or withdrawals), then prefixes are added one by one
// and flow into as many messages as it takes, all in one buffer that is sent as a chunk. Where the next hop lies in
// each message is noted, so that one chunk can be copied and patched for a peer that needs another next hop of
// the same length.
//
// IPv4 with an IPv4 next hop: classic NLRI. IPv4 with an IPv6 next hop (RFC 8950) and all other families: MP_REACH as
// the first attribute (RFC 7606 section 5.1). A 2-octet peer gets AS_TRANS and AS4_PATH (RFC 6793 section 4.2.2).

import { assert } from '../../lib/assert.ts';
import { ByteWriter, readU16, writeU16, writeU32 } from '../../lib/bytes.ts';
import { writeForOldPeer } from './attribute/as4.ts';
import { valueEnd } from './attribute/canonical.ts';
import { EXTENDED_LENGTH, MP_REACH, MP_UNREACH, NEXT_HOP, OPTIONAL, TRANSITIVE } from './attribute/table.ts';
import { FLOWSPEC4, families, IPV4, SAFI_MPLS_VPN, VPNV6 } from './family.ts';
import {
  EXTENDED_MESSAGE_LENGTH_MAX,
  HEADER_LENGTH,
  MESSAGE_LENGTH_MAX,
  UPDATE,
  writeHeader,
} from './header.ts';

/** Offset in an UPDATE of the withdrawn routes length. */
const WITHDRAWN_LENGTH_AT = HEADER_LENGTH;
/** Offset of the attributes length where nothing is withdrawn. */
const ATTRIBUTES_LENGTH_AT = HEADER_LENGTH + 2;
const ATTRIBUTES_AT = HEADER_LENGTH + 4;
/** NEXT_HOP with its header. */
const NEXT_HOP_ATTRIBUTE = 7;
/** MP_REACH with its header, without the next hop: AFI, SAFI, length of the next hop, reserved. */
const MP_REACH_FIXED = 9;
const RD_LENGTH = 8;

/** The longest NLRI of a prefix family with its path identifier; of the others what stands before key and rest. */
function nlriRoom(family: number, addPath: boolean): number {
  const { form, addressLength } = families[family]!;
  return (addPath ? 4 : 0) + (form === 'prefix' ? 1 + addressLength : 4);
}

/** Bytes that a message needs beside its attributes: header, lengths, next hop, and one NLRI (`nlriRoom`). */
export function reachOverhead(family: number, nextHopLength: number, addPath: boolean): number {
  const rest = ATTRIBUTES_AT + nlriRoom(family, addPath);
  if (family === IPV4 && nextHopLength === 4) return rest + NEXT_HOP_ATTRIBUTE;
  const { safi } = families[family]!;
  return rest + MP_REACH_FIXED + nextHopLength + (safi === SAFI_MPLS_VPN ? RD_LENGTH : 0);
}

export class UpdateWriter {
  /** Finished messages lie in [0, length). */
  readonly bytes: Uint8Array;
  length = 0;
  messageCount = 0;
  /** Offsets in `bytes` of the next hop of each announcing message, nextHopCount of them. */
  nextHopOffsets: Int32Array = new Int32Array(256);
  nextHopCount = 0;
  /** NLRI that no message of its set had room for, since `begin`; they were left out. */
  unsendable = 0;

  #maxMessage = MESSAGE_LENGTH_MAX;
  #asn4 = true;
  // What stands before and behind the NLRI of each message of the current set.
  readonly #head = new ByteWriter(512);
  readonly #tail = new ByteWriter(512);
  readonly #old = new ByteWriter(64);
  // Offsets within a message, or -1: the next hop, and the 16-bit length of all that follows it up to the tail.
  #nextHopAt = -1;
  #lengthAt = -1;
  #hasTailAttributes = false;
  #addPath = false;
  #begun = false;
  // Start of the message being filled, or -1, and where its NLRI must end.
  #open = -1;
  #limit = 0;

  /** A chunk of `capacity` bytes, which must hold at least one message of the greatest length. */
  constructor(capacity = 131072) {
    assert(capacity >= EXTENDED_MESSAGE_LENGTH_MAX, `chunk of ${capacity} bytes`);
    this.bytes = new Uint8Array(capacity);
    writeHeader(this.#head.bytes, 0, 0, UPDATE);
  }

  /** What the receivers can take: the greatest message (4096 or 65535) and 4-octet ASNs. Empties the chunk. */
  begin(maxMessage: number, asn4: boolean): void {
    assert(maxMessage >= 512 && maxMessage <= EXTENDED_MESSAGE_LENGTH_MAX, `messages of ${maxMessage} bytes`);
    this.#maxMessage = maxMessage;
    this.#asn4 = asn4;
    this.#open = -1;
    this.#begun = false;
    this.unsendable = 0;
    this.reset();
  }

  /** Empties the chunk once it is sent; the set that was begun goes on. Only between messages. */
  reset(): void {
    assert(this.#open < 0, 'the chunk ends within a message');
    this.length = 0;
    this.messageCount = 0;
    this.nextHopCount = 0;
  }

  /**
   * Begins announcements with these canonical attributes [start, end) and a next hop of 4, 16 or 32 bytes. False
   * when the attributes leave no room for a prefix in a message: these routes cannot be sent to this peer. Next
   * hops of VPN families get a zero route distinguisher and lose a link-local address; flow specifications have none.
   */
  beginReach(
    family: number,
    attrs: Uint8Array,
    start: number,
    end: number,
    nextHop: Uint8Array,
    nextHopStart: number,
    nextHopLength: number,
    addPath = false,
  ): boolean {
    this.finish();
    if (!this.#asn4) {
      writeForOldPeer(this.#old.reset(), attrs, start, end);
      attrs = this.#old.bytes;
      start = 0;
      end = this.#old.length;
    }
    this.#addPath = addPath;
    const head = this.#begin();
    head.u16(0).u16(0);
    if (family === IPV4 && nextHopLength === 4) {
      let before = start;
      while (before < end && attrs[before + 1]! < NEXT_HOP) before = valueEnd(attrs, before);
      head.copy(attrs, start, before).u8(TRANSITIVE).u8(NEXT_HOP).u8(4);
      this.#nextHopAt = head.length;
      head.copy(nextHop, nextHopStart, nextHopStart + 4).copy(attrs, before, end);
      if (head.length + nlriRoom(family, addPath) <= this.#maxMessage) {
        writeU16(head.bytes, ATTRIBUTES_LENGTH_AT, head.length - ATTRIBUTES_AT);
      }
    } else {
      const { afi, safi } = families[family]!;
      head.u8(OPTIONAL | EXTENDED_LENGTH).u8(MP_REACH);
      this.#lengthAt = head.length;
      this.#hasTailAttributes = true;
      head.u16(0).u16(afi).u8(safi);
      if (safi === SAFI_MPLS_VPN) this.#vpnNextHop(family, nextHop, nextHopStart, nextHopLength);
      else if (family >= FLOWSPEC4) head.u8(0);
      else {
        head.u8(nextHopLength);
        this.#nextHopAt = head.length;
        head.copy(nextHop, nextHopStart, nextHopStart + nextHopLength);
      }
      head.u8(0);
      this.#tail.copy(attrs, start, end);
    }
    if (head.length + this.#tail.length + nlriRoom(family, addPath) <= this.#maxMessage) return true;
    // Nothing can be added: the set is as if it had not been begun.
    this.#begun = false;
    return false;
  }

  // RFC 4364 section 4.3.2 and RFC 4659 section 3.2.1, where an IPv4 next hop of an IPv6 route is IPv4-mapped.
  #vpnNextHop(family: number, nextHop: Uint8Array, start: number, length: number): void {
    const head = this.#head;
    const sent = Math.min(length, 16);
    const mapped = family === VPNV6 && sent === 4;
    head
      .u8(mapped ? 24 : 8 + sent)
      .u32(0)
      .u32(0);
    if (mapped) head.u32(0).u32(0).u32(0xffff);
    this.#nextHopAt = head.length;
    head.copy(nextHop, start, start + sent);
  }

  /** Begins withdrawals: classic for IPv4 unless `multiprotocol`, else in MP_UNREACH. */
  beginUnreach(family: number, multiprotocol: boolean, addPath = false): void {
    this.finish();
    this.#addPath = addPath;
    const head = this.#begin();
    this.#lengthAt = WITHDRAWN_LENGTH_AT;
    head.u16(0);
    if (family === IPV4 && !multiprotocol) {
      this.#tail.u16(0);
      return;
    }
    const { afi, safi } = families[family]!;
    head
      .u16(0)
      .u8(OPTIONAL | EXTENDED_LENGTH)
      .u8(MP_UNREACH);
    this.#lengthAt = head.length;
    this.#hasTailAttributes = true;
    head.u16(0).u16(afi).u8(safi);
  }

  // An empty head but for the message header, which was written once and for all; an empty tail.
  #begin(): ByteWriter {
    const head = this.#head;
    this.#tail.reset();
    head.length = HEADER_LENGTH;
    this.#begun = true;
    this.#nextHopAt = -1;
    this.#lengthAt = -1;
    this.#hasTailAttributes = false;
    return head;
  }

  /**
   * Adds an IPv4 prefix: masked address and length. False when the chunk is full: send [0, length), `reset`, and
   * add it again.
   */
  addIp4(address: number, length: number, pathId = 0): boolean {
    const size = 1 + ((length + 7) >>> 3);
    if (!this.#room(size)) return false;
    const bytes = this.bytes;
    let at = this.length;
    if (this.#addPath) {
      writeU32(bytes, at, pathId);
      at += 4;
    }
    bytes[at] = length;
    if (length > 0) bytes[at + 1] = address >>> 24;
    if (length > 8) bytes[at + 2] = address >>> 16;
    if (length > 16) bytes[at + 3] = address >>> 8;
    if (length > 24) bytes[at + 4] = address;
    this.length = at + size;
    return true;
  }

  /** Adds an IPv6 prefix: the four words of its masked address and its length. False as with `addIp4`. */
  addIp6(a: number, b: number, c: number, d: number, length: number, pathId = 0): boolean {
    const size = 1 + ((length + 7) >>> 3);
    if (!this.#room(size)) return false;
    const bytes = this.bytes;
    let at = this.length;
    if (this.#addPath) {
      writeU32(bytes, at, pathId);
      at += 4;
    }
    bytes[at] = length;
    const end = at + size;
    at++;
    if (length > 0) at = putBytes(bytes, at, end, a);
    if (length > 32) at = putBytes(bytes, at, end, b);
    if (length > 64) at = putBytes(bytes, at, end, c);
    if (length > 96) putBytes(bytes, at, end, d);
    this.length = end;
    return true;
  }

  /**
   * Adds an NLRI of any family in its wire form, bytes[start, end) without path identifier. False as with `addIp4`.
   * One that does not fit even a message of its own is left out and counted in `unsendable`.
   */
  addNlri(bytes: Uint8Array, start: number, end: number, pathId = 0): boolean {
    const size = end - start;
    if (!this.nlriFits(size)) {
      this.unsendable++;
      return true;
    }
    if (!this.#room(size)) return false;
    if (this.#addPath) {
      writeU32(this.bytes, this.length, pathId);
      this.length += 4;
    }
    for (let i = start; i < end; i++) this.bytes[this.length++] = bytes[i]!;
    return true;
  }

  /** Whether an NLRI of `size` bytes fits a message of the set that was begun. */
  nlriFits(size: number): boolean {
    const before = this.#head.length + this.#tail.length + (this.#addPath ? 4 : 0);
    return before + size <= this.#maxMessage;
  }

  // Makes sure that `size` more bytes of NLRI, and a path identifier, fit the open message.
  #room(size: number): boolean {
    const need = this.#addPath ? size + 4 : size;
    if (this.#open >= 0 && this.length + need <= this.#limit) return true;
    return this.#openMessage();
  }

  #openMessage(): boolean {
    assert(this.#begun, 'a prefix without a set begun');
    this.finish();
    // The last message of a chunk may be the greatest: the chunk is full when that would not fit.
    if (this.length + this.#maxMessage > this.bytes.length) return false;
    const start = this.length;
    const head = this.#head.bytes;
    const headLength = this.#head.length;
    for (let i = 0; i < headLength; i++) this.bytes[start + i] = head[i]!;
    this.#open = start;
    this.length = start + headLength;
    this.#limit = start + this.#maxMessage - this.#tail.length;
    if (this.#nextHopAt >= 0) this.#noteNextHop(start + this.#nextHopAt);
    return true;
  }

  #noteNextHop(offset: number): void {
    if (this.nextHopCount === this.nextHopOffsets.length) {
      const grown = new Int32Array(this.nextHopOffsets.length * 2);
      grown.set(this.nextHopOffsets);
      this.nextHopOffsets = grown;
    }
    this.nextHopOffsets[this.nextHopCount++] = offset;
  }

  /** Closes the open message; to be called before the chunk is sent. */
  finish(): void {
    const start = this.#open;
    if (start < 0) return;
    const bytes = this.bytes;
    if (this.#lengthAt >= 0) {
      writeU16(bytes, start + this.#lengthAt, this.length - start - this.#lengthAt - 2);
    }
    const tail = this.#tail.bytes;
    const tailLength = this.#tail.length;
    for (let i = 0; i < tailLength; i++) bytes[this.length++] = tail[i]!;
    if (this.#hasTailAttributes) {
      writeU16(bytes, start + ATTRIBUTES_LENGTH_AT, this.length - start - ATTRIBUTES_AT);
    }
    writeU16(bytes, start + 16, this.length - start);
    this.messageCount++;
    this.#open = -1;
  }

  /** Writes the End-of-RIB of a family (RFC 4724 section 2) and ends the set. False when the chunk is full. */
  endOfRib(family: number): boolean {
    this.finish();
    this.beginUnreach(family, family !== IPV4);
    if (!this.#openMessage()) return false;
    this.finish();
    this.#begun = false;
    return true;
  }
}

// The bytes of `word`, most significant first, as far as `end`.
function putBytes(bytes: Uint8Array, at: number, end: number, word: number): number {
  for (let shift = 24; shift >= 0 && at < end; shift -= 8) bytes[at++] = word >>> shift;
  return at;
}

/** Length of the message at `at` of a chunk: for walking it. */
export function messageLengthAt(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at + 16);
}
