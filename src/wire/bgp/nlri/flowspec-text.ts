// Flow specifications in words and back: `destination 10.0.0.0/24 protocol =6 destinationPort =80|>=8000&<=8080`.
// Components are named after RFC 8955 section 4.2.2 and RFC 8956 section 3; `|` is or, `&` is and. A value that does
// not stand in the fewest bytes says in how many (`=6@2`), so that text and bytes are the same thing.

import { ByteWriter } from '../../../lib/bytes.ts';
import { hexText, parseHex } from '../../../net/hex.ts';
import { formatIp, parseIp } from '../../../net/ip.ts';
import { formatRouteDistinguisher, parseRouteDistinguisher } from '../../../net/route-distinguisher.ts';
import type { NlriView } from './codec.ts';
import {
  FLOW_AND,
  FLOW_END_OF_LIST,
  FLOW_SOURCE,
  flowComponentEnd,
  flowValueLength,
  isBitmask,
} from './flow-component.ts';
import { copyMasked } from './ip.ts';

/** What twelve bits of length can say. */
const VALUE_LENGTH_MAX = 0xfff;

/** By component type; 0 is none. */
const flowComponentNames: readonly string[] = [
  '',
  'destination',
  'source',
  'protocol',
  'port',
  'destinationPort',
  'sourcePort',
  'icmpType',
  'icmpCode',
  'tcpFlags',
  'packetLength',
  'dscp',
  'fragment',
  'flowLabel',
];

// By the lower three bits of a numeric operator: less than, greater than, equal.
const numericWords = ['never', '=', '>', '>=', '<', '<=', '!=', 'any'];
// By the lower two bits of a bitmask operator: not, match.
const bitmaskWords = ['', '=', '!', '!='];

/** The rules of a key, one entry a component. */
export function describeFlowspec(
  key: Uint8Array,
  start: number,
  end: number,
  addressLength: number,
  vpn: boolean,
): NlriView {
  const rules: { component: string; match: string }[] = [];
  for (let at = vpn ? start + 8 : start; at < end; ) {
    const next = flowComponentEnd(key, at, end, addressLength);
    const type = key[at]!;
    const match =
      type <= FLOW_SOURCE ? prefixText(key, at + 1, addressLength) : operatorsText(key, at + 1, next, type);
    rules.push({ component: flowComponentNames[type]!, match });
    at = next;
  }
  return vpn ? { routeDistinguisher: formatRouteDistinguisher(key, start), rules } : { rules };
}

/** The key in words; that of a VPN ends with its route distinguisher. */
export function flowspecText(
  key: Uint8Array,
  start: number,
  end: number,
  addressLength: number,
  vpn: boolean,
): string {
  const { rules, routeDistinguisher } = describeFlowspec(key, start, end, addressLength, vpn);
  const text = rules!.map(({ component, match }) => `${component} ${match}`).join(' ');
  return vpn ? `${text} RD ${routeDistinguisher}` : text;
}

// RFC 8956 section 3.8 writes an IPv6 pattern that does not begin at bit 0 as address/offset-length.
function prefixText(key: Uint8Array, at: number, addressLength: number): string {
  const bits = key[at]!;
  const offset = addressLength === 16 ? key[at + 1]! : 0;
  const from = at + (addressLength === 16 ? 2 : 1);
  const address = new Uint8Array(addressLength);
  for (let bit = offset; bit < bits; bit++) {
    const source = bit - offset;
    const set = (key[from + (source >>> 3)]! >>> (7 - (source & 7))) & 1;
    address[bit >>> 3]! |= set << (7 - (bit & 7));
  }
  return offset === 0 ? `${formatIp(address)}/${bits}` : `${formatIp(address)}/${offset}-${bits}`;
}

function operatorsText(key: Uint8Array, start: number, end: number, type: number): string {
  let text = '';
  for (let at = start; at < end; ) {
    const operator = key[at]!;
    const length = flowValueLength(operator);
    if (at > start) text += (operator & FLOW_AND) === 0 ? '|' : '&';
    text += isBitmask(type) ? bitmaskWords[operator & 3]! : numericWords[operator & 7]!;
    const value = BigInt(`0x${hexText(key, at + 1, at + 1 + length)}`);
    text += isBitmask(type) ? `0x${value.toString(16)}` : String(value);
    if (fewestBytes(value) !== length) text += `@${length}`;
    at += 1 + length;
  }
  return text;
}

function fewestBytes(value: bigint): number {
  if (value > 0xffffffffn) return 8;
  if (value > 0xffffn) return 4;
  return value > 0xffn ? 2 : 1;
}

/** The key of such a text, or undefined. */
export function parseFlowspec(text: string, addressLength: number, vpn: boolean): Uint8Array | undefined {
  const words = text.trim().split(/\s+/);
  const out = new ByteWriter(64);
  if (vpn) {
    const distinguisher = words.at(-2) === 'RD' ? parseRouteDistinguisher(words.at(-1)!) : undefined;
    if (distinguisher === undefined) return undefined;
    out.copy(distinguisher);
    words.splice(-2);
  }
  if (words.length === 0 || words.length % 2 !== 0) return undefined;
  let last = 0;
  for (let i = 0; i < words.length; i += 2) {
    const type = flowComponentNames.indexOf(words[i]!, 1);
    if (type <= last || (type === 13 && addressLength === 4)) return undefined;
    last = type;
    const start = out.length;
    out.u8(type);
    const match = words[i + 1]!;
    const parsed =
      type <= FLOW_SOURCE ? parsePattern(match, addressLength, out) : parseOperators(match, type, out);
    if (!parsed || flowComponentEnd(out.bytes, start, out.length, addressLength) !== out.length) {
      return undefined;
    }
  }
  return out.length <= VALUE_LENGTH_MAX ? out.take() : undefined;
}

function parsePattern(text: string, addressLength: number, out: ByteWriter): boolean {
  const found = /^([^/]+)\/(?:(\d{1,3})-)?(\d{1,3})$/.exec(text);
  const address = found === null ? undefined : parseIp(found[1]!);
  if (found === null || address?.length !== addressLength) return false;
  const offset = Number(found[2] ?? 0);
  const bits = Number(found[3]);
  if (bits > addressLength * 8 || (offset > 0 && (addressLength === 4 || offset >= bits))) return false;
  out.u8(bits);
  if (addressLength === 16) out.u8(offset);
  const pattern = new Uint8Array(addressLength + 1);
  for (let bit = offset; bit < bits; bit++) {
    const target = bit - offset;
    const set = (address[bit >>> 3]! >>> (7 - (bit & 7))) & 1;
    pattern[target >>> 3]! |= set << (7 - (target & 7));
  }
  copyMasked(pattern, 0, bits - offset, out);
  return true;
}

function parseOperators(text: string, type: number, out: ByteWriter): boolean {
  let lastOperator = -1;
  for (const term of text.match(/[&|]?[^&|]+/g) ?? []) {
    const found = /^([&|]?)(never|any|[=<>!]*)(0x[0-9a-f]{1,16}|\d{1,20})(?:@([1248]))?$/.exec(term);
    if (found === null || lastOperator < 0 !== (found[1] === '')) return false;
    const value = BigInt(found[3]!);
    const length = found[4] === undefined ? fewestBytes(value) : Number(found[4]);
    const word = (isBitmask(type) ? bitmaskWords : numericWords).indexOf(found[2]!);
    if (word < 0 || value > 0xffffffffffffffffn || fewestBytes(value) > length) return false;
    lastOperator = out.length;
    out.u8((found[1] === '&' ? FLOW_AND : 0) | (Math.log2(length) << 4) | word);
    out.copy(parseHex(value.toString(16).padStart(2 * length, '0'))!);
  }
  if (lastOperator < 0) return false;
  out.bytes[lastOperator]! |= FLOW_END_OF_LIST;
  return true;
}
