// Route Target membership NLRI (RFC 4684 section 4): a prefix of 0 to 96 bits over origin AS (4 bytes) and route
// target (8 bytes), as an IP prefix is over an address. Zero bits mean every route target; with any at all the
// origin AS is whole, so that 1 to 31 are no membership: such an NLRI can be stepped over and is.
//   key:  length in bits, as many masked bytes as hold them. No rest.

import { readU32, writeU32 } from '../../../lib/bytes.ts';
import { parseAsn } from '../../../net/asn.ts';
import { formatExtendedCommunity, parseExtendedCommunity } from '../../../net/community.ts';
import { hexText, parseHex } from '../../../net/hex.ts';
import { maskBytes } from '../../../net/prefix.ts';
import { NLRI_SKIP, type NlriCodec } from './codec.ts';
import { copyMasked } from './ip.ts';

const MAX_BITS = 96;
const ORIGIN_BITS = 32;

const sizeAt = (bytes: Uint8Array, at: number): number => 1 + ((bytes[at]! + 7) >>> 3);

export const rtcCodec: NlriCodec = {
  check(bytes, at, end) {
    const bits = bytes[at]!;
    const size = sizeAt(bytes, at);
    if (bits > MAX_BITS || at + size > end) return 0;
    return bits > 0 && bits < ORIGIN_BITS ? size | NLRI_SKIP : size;
  },
  size: sizeAt,
  split(bytes, at, key) {
    const bits = bytes[at]!;
    key.u8(bits);
    copyMasked(bytes, at + 1, bits, key);
  },
  join(key, keyStart, keyEnd, _rest, _restStart, _restEnd, out) {
    out.copy(key, keyStart, keyEnd);
  },
  routable: () => true,
  text: (key, start) => {
    const bits = key[start]!;
    if (bits === 0) return 'default';
    return `${readU32(key, start + 1)}:${target(key, start)}`;
  },
  describe(key, start) {
    if (key[start] === 0) return {};
    const view = { originAsn: readU32(key, start + 1) };
    return key[start]! > ORIGIN_BITS ? { ...view, routeTarget: target(key, start) } : view;
  },
  parse(text) {
    if (text === 'default') return new Uint8Array([0]);
    const colon = text.indexOf(':');
    const asn = colon < 0 ? undefined : parseAsn(text.slice(0, colon));
    if (asn === undefined) return undefined;
    const key = new Uint8Array(13);
    writeU32(key, 1, asn);
    const bits = parseTarget(text.slice(colon + 1), key);
    if (bits < 0) return undefined;
    key[0] = bits;
    return key.slice(0, sizeAt(key, 0));
  },
};

// The route target as an extended community, or what there is of it as `0x…/bits`.
function target(key: Uint8Array, start: number): string {
  const bits = key[start]!;
  if (bits === MAX_BITS) return formatExtendedCommunity(key, start + 5);
  return `0x${hexText(key, start + 5, start + sizeAt(key, start))}/${bits}`;
}

// Writes the route target of such a text behind the origin AS and returns the length in bits, or -1.
function parseTarget(text: string, key: Uint8Array): number {
  const community = parseExtendedCommunity(text);
  if (community !== undefined) {
    key.set(community, 5);
    return MAX_BITS;
  }
  const partial = /^0x([0-9a-f]*)\/(\d{1,2})$/i.exec(text);
  if (partial === null) return -1;
  const bytes = parseHex(partial[1]!);
  const bits = Number(partial[2]);
  if (bytes === undefined || bits < ORIGIN_BITS || bits >= MAX_BITS) return -1;
  if (bytes.length !== ((bits + 7) >>> 3) - 4) return -1;
  key.set(bytes, 5);
  maskBytes(key, bits, 1, 12);
  return bits;
}
