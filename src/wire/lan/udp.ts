// UDP (RFC 768) over both families, as DHCP uses it. A guest's own kernel may leave the checksum to a network card
// that does not exist: its virtual one hands the frame over with the sum of the pseudo-header in the field, not
// complemented (CHECKSUM_PARTIAL). The log of frames has them as they are, so this value counts as right too.

import { type ByteWriter, readU16, writeU16 } from '../../lib/bytes.ts';
import { checksumOf, folded, pseudoSum, wordSum } from './checksum.ts';
import { beginFrame, ETHERNET_HEADER_LENGTH, ETHERTYPE_IP4, ETHERTYPE_IP6 } from './ethernet.ts';
import {
  IP4_HEADER_LENGTH,
  IP6_HEADER_LENGTH,
  type IpDatagram,
  PROTOCOL_UDP,
  writeIp4,
  writeIp6,
} from './ip.ts';

const UDP_HEADER_LENGTH = 8;
/** Of what is meant for the link only (RFC 8415 does not say; 1 would do, others send 64). */
const HOP_LIMIT = 64;

/** A UDP message within a frame; its data is bytes[start, end). */
export interface UdpMessage {
  sourcePort: number;
  destinationPort: number;
  start: number;
  end: number;
}

/** The UDP message that a datagram carries; undefined when it is malformed or its checksum is wrong. */
export function readUdp(bytes: Uint8Array, datagram: IpDatagram): UdpMessage | undefined {
  const { start } = datagram;
  if (datagram.protocol !== PROTOCOL_UDP || datagram.end - start < UDP_HEADER_LENGTH) return undefined;
  const length = readU16(bytes, start + 4);
  if (length < UDP_HEADER_LENGTH || length > datagram.end - start) return undefined;
  if (!checksumHolds(bytes, datagram, length)) return undefined;
  return {
    sourcePort: readU16(bytes, start),
    destinationPort: readU16(bytes, start + 2),
    start: start + UDP_HEADER_LENGTH,
    end: start + length,
  };
}

function checksumHolds(bytes: Uint8Array, datagram: IpDatagram, length: number): boolean {
  const { source, destination, start } = datagram;
  const checksum = readU16(bytes, start + 6);
  // None was made, which only IPv4 allows (RFC 8200 section 8.1).
  if (checksum === 0) return source.length === 4;
  const pseudo = pseudoSum(source, destination, PROTOCOL_UDP, length);
  return folded(pseudo) === checksum || folded(pseudo + wordSum(bytes, start, start + length)) === 0xffff;
}

/** Both ends of a message, from Ethernet to UDP. */
export interface UdpEnds {
  sourceMac: Uint8Array;
  destinationMac: Uint8Array;
  /** Of one family: 4 or 16 bytes. */
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort: number;
  destinationPort: number;
}

/**
 * A whole frame with `data`: Ethernet, IP, UDP, checksums. `data` must not be a part of `out`.
 */
export function udpFrame(out: ByteWriter, ends: UdpEnds, data: Uint8Array, length = data.length): void {
  const { source, destination } = ends;
  const four = source.length === 4;
  const udpLength = UDP_HEADER_LENGTH + length;
  beginFrame(out, ends.destinationMac, ends.sourceMac, four ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
  if (four) writeIp4(out, source, destination, PROTOCOL_UDP, udpLength);
  else writeIp6(out, source, destination, PROTOCOL_UDP, HOP_LIMIT, udpLength);
  const at = ETHERNET_HEADER_LENGTH + (four ? IP4_HEADER_LENGTH : IP6_HEADER_LENGTH);
  out.u16(ends.sourcePort).u16(ends.destinationPort).u16(udpLength).u16(0);
  out.copy(data, 0, length);
  const sum = pseudoSum(source, destination, PROTOCOL_UDP, udpLength) + wordSum(out.bytes, at, out.length);
  // A checksum of zero is sent as all ones, which is the same number (RFC 768).
  writeU16(out.bytes, at + 6, checksumOf(sum) || 0xffff);
}
