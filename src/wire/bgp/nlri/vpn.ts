// VPN-IPv4 and VPN-IPv6 NLRI (RFC 4364 section 4.3.4, RFC 4659 section 3.2): length in bits of all that follows, one
// label (RFC 8277 section 2.2; we do not offer the Multiple Labels Capability), route distinguisher, prefix.
//   key:  route distinguisher, prefix length, as many masked bytes as hold the prefix
//   rest: the label
// A length that cannot be is an NLRI inconsistent with its AFI/SAFI, which RFC 7606 section 5.3 calls incorrect.

import { LABEL_LENGTH, readLabel, WITHDRAWN_LABEL } from '../../../net/label.ts';
import { formatPrefix, maskBytes, parsePrefix } from '../../../net/prefix.ts';
import {
  formatRouteDistinguisher,
  parseRouteDistinguisher,
  ROUTE_DISTINGUISHER_LENGTH,
} from '../../../net/route-distinguisher.ts';
import type { NlriCodec } from './codec.ts';
import { copyMasked, ip4At, ip6WordAt, routable4, routable6 } from './ip.ts';

/** Bits before the prefix: the label and the route distinguisher. */
const BITS_BEFORE = 88;

/** The codec for addresses of 4 or 16 bytes. */
export function vpnCodec(addressLength: 4 | 16): NlriCodec {
  const maxBits = BITS_BEFORE + 8 * addressLength;
  return {
    check(bytes, at, end) {
      const bits = bytes[at]!;
      if (bits < BITS_BEFORE || bits > maxBits) return 0;
      const size = 1 + ((bits + 7) >>> 3);
      return at + size <= end ? size : 0;
    },
    size: (bytes, at) => 1 + ((bytes[at]! + 7) >>> 3),
    split(bytes, at, key, rest) {
      const bits = bytes[at]! - BITS_BEFORE;
      const distinguisher = at + 1 + LABEL_LENGTH;
      const prefix = distinguisher + ROUTE_DISTINGUISHER_LENGTH;
      rest.copy(bytes, at + 1, distinguisher);
      key.copy(bytes, distinguisher, prefix).u8(bits);
      copyMasked(bytes, prefix, bits, key);
    },
    join(key, keyStart, keyEnd, rest, restStart, restEnd, out) {
      out.u8(key[keyStart + ROUTE_DISTINGUISHER_LENGTH]! + BITS_BEFORE);
      if (restEnd > restStart) out.copy(rest, restStart, restEnd);
      else out.u8(WITHDRAWN_LABEL >>> 16).u16(WITHDRAWN_LABEL & 0xffff);
      out.copy(key, keyStart, keyStart + ROUTE_DISTINGUISHER_LENGTH);
      out.copy(key, keyStart + ROUTE_DISTINGUISHER_LENGTH + 1, keyEnd);
    },
    routable(key, start) {
      // The length and the bytes behind it have the form of a plain prefix.
      const at = start + ROUTE_DISTINGUISHER_LENGTH;
      const length = key[at]!;
      if (addressLength === 4) return routable4(ip4At(key, at), length);
      const word = (i: number): number => ip6WordAt(key, at, i);
      return routable6(word(0), word(1), word(2), word(3), length);
    },
    text: (key, start, end) =>
      `${formatRouteDistinguisher(key, start)}:${prefixOf(key, start, end, addressLength)}`,
    describe(key, keyStart, keyEnd, rest, restStart, restEnd) {
      const view = {
        routeDistinguisher: formatRouteDistinguisher(key, keyStart),
        prefix: prefixOf(key, keyStart, keyEnd, addressLength),
      };
      return restEnd > restStart ? { ...view, labels: [readLabel(rest, restStart)] } : view;
    },
    parse: (text) => parseVpn(text, addressLength),
  };
}

function prefixOf(key: Uint8Array, start: number, end: number, addressLength: number): string {
  const address = new Uint8Array(addressLength);
  const from = start + ROUTE_DISTINGUISHER_LENGTH + 1;
  for (let i = from; i < end; i++) address[i - from] = key[i]!;
  return formatPrefix(address, 0, addressLength, key[from - 1]!);
}

function parseVpn(text: string, addressLength: number): Uint8Array | undefined {
  const found = /^(0x[0-9a-f]+|[^:]+:[^:]+):(.+)$/i.exec(text);
  if (found === null) return undefined;
  const distinguisher = parseRouteDistinguisher(found[1]!);
  const prefix = parsePrefix(found[2]!);
  if (distinguisher === undefined || prefix?.bytes.length !== addressLength) return undefined;
  maskBytes(prefix.bytes, prefix.length);
  const bytes = prefix.bytes.subarray(0, (prefix.length + 7) >>> 3);
  return new Uint8Array([...distinguisher, prefix.length, ...bytes]);
}
