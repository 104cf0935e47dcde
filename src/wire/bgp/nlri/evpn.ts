// EVPN NLRI (RFC 7432 section 7, type 5 RFC 9136, types 6 to 8 RFC 9251, types 9 to 11 RFC 9572): route type, length,
// value. Which fields make the key is said by each type's section:
//   1  key: RD, ethernet segment, ethernet tag                          rest: label
//   2  key: RD, ethernet tag, MAC length, MAC, IP length, IP            rest: ethernet segment, label(s)
//   5  key: RD, ethernet tag, prefix length, masked prefix              rest: ethernet segment, gateway, label
//   6, 7, 8: flags (8: and what stands before them) are rest, the other fields key
//   3, 4, 9, 10, 11: all of it is key
// Before every key stands the route type. A type we do not know is passed over (RFC 7606 section 5.4), and so is
// a value that cannot be one of its type: its length lets us step over it, but which route it names is unknown.

import { type ByteWriter, readU32, writeU32 } from '../../../lib/bytes.ts';
import { hexText, parseHex } from '../../../net/hex.ts';
import { formatIp, isUnspecified, parseIp } from '../../../net/ip.ts';
import { LABEL_LENGTH, readLabel, readVni } from '../../../net/label.ts';
import { ESI_LENGTH, formatEsi, formatMac, MAC_LENGTH, parseEsi, parseMac } from '../../../net/mac.ts';
import { formatPrefix, maskBytes } from '../../../net/prefix.ts';
import { formatRouteDistinguisher, parseRouteDistinguisher } from '../../../net/route-distinguisher.ts';
import { NLRI_SKIP, NLRI_WITHDRAW, type NlriCodec, type NlriView } from './codec.ts';

export const EVPN_ETHERNET_AD = 1;
export const EVPN_MAC_IP = 2;
export const EVPN_INCLUSIVE_MULTICAST = 3;
export const EVPN_ETHERNET_SEGMENT = 4;
export const EVPN_IP_PREFIX = 5;
const EVPN_TYPE_MAX = 11;

/** By route type. */
const evpnTypeNames: readonly string[] = [
  '',
  'ethernetAutoDiscovery',
  'macIp',
  'inclusiveMulticast',
  'ethernetSegment',
  'ipPrefix',
  'selectiveMulticast',
  'multicastMembershipSync',
  'multicastLeaveSync',
  'perRegionMulticast',
  'sPmsi',
  'leaf',
];

const RD = 8;
const TAG = 4;
/** Shortest value of types 6 to 11: the fixed fields with empty addresses. */
const shortest = [0, 0, 0, 0, 0, 0, 16, 28, 33, 20, 15, 4];
/** Trailing bytes of types 6, 7 and 8 that are not key (RFC 9251 sections 9.1 to 9.3). */
const trailing = [0, 0, 0, 0, 0, 0, 1, 1, 6, 0, 0, 0];

const addressBits = (bits: number): boolean => bits === 32 || bits === 128;

// Whether the value of `length` bytes at `at` can be one of its type; `reach` as some fields matter only then.
function verdict(bytes: Uint8Array, at: number, type: number, length: number, reach: boolean): number {
  switch (type) {
    case EVPN_ETHERNET_AD:
      return length === RD + ESI_LENGTH + TAG + LABEL_LENGTH ? 0 : NLRI_SKIP;
    case EVPN_MAC_IP: {
      const macAt = at + RD + ESI_LENGTH + TAG;
      if (length < 33 || bytes[macAt] !== 48) return NLRI_SKIP;
      const bits = bytes[macAt + 1 + MAC_LENGTH]!;
      if (bits !== 0 && !addressBits(bits)) return NLRI_SKIP;
      const oneLabel = 33 + (bits >>> 3);
      return length === oneLabel || length === oneLabel + LABEL_LENGTH ? 0 : NLRI_SKIP;
    }
    case EVPN_INCLUSIVE_MULTICAST:
      return addressed(bytes, at + RD + TAG, length, RD + TAG);
    case EVPN_ETHERNET_SEGMENT:
      return addressed(bytes, at + RD + ESI_LENGTH, length, RD + ESI_LENGTH);
    case EVPN_IP_PREFIX: {
      if (length !== 34 && length !== 58) return NLRI_SKIP;
      const addressLength = length === 34 ? 4 : 16;
      const bitsAt = at + RD + ESI_LENGTH + TAG;
      if (bytes[bitsAt]! > addressLength * 8) return NLRI_SKIP;
      // RFC 9136 section 3.1: an overlay index is an ethernet segment or a gateway, never both.
      const gateway = bitsAt + 1 + addressLength;
      const both =
        !isUnspecified(bytes, at + RD, ESI_LENGTH) && !isUnspecified(bytes, gateway, addressLength);
      return reach && both ? NLRI_WITHDRAW : 0;
    }
    default:
      return type > EVPN_IP_PREFIX && type <= EVPN_TYPE_MAX && length >= shortest[type]! ? 0 : NLRI_SKIP;
  }
}

// A value that ends with the length of an address in bits and the address.
function addressed(bytes: Uint8Array, bitsAt: number, length: number, before: number): number {
  if (length <= before) return NLRI_SKIP;
  const bits = bytes[bitsAt]!;
  return addressBits(bits) && length === before + 1 + (bits >>> 3) ? 0 : NLRI_SKIP;
}

function split(bytes: Uint8Array, at: number, key: ByteWriter, rest: ByteWriter): void {
  const type = bytes[at]!;
  const value = at + 2;
  const end = value + bytes[at + 1]!;
  const esi = value + RD;
  const tag = esi + ESI_LENGTH;
  key.u8(type);
  switch (type) {
    case EVPN_ETHERNET_AD:
      key.copy(bytes, value, tag + TAG);
      rest.copy(bytes, tag + TAG, end);
      return;
    case EVPN_MAC_IP: {
      const bitsAt = tag + TAG + 1 + MAC_LENGTH;
      const labels = bitsAt + 1 + (bytes[bitsAt]! >>> 3);
      key.copy(bytes, value, esi).copy(bytes, tag, labels);
      rest.copy(bytes, esi, tag).copy(bytes, labels, end);
      return;
    }
    case EVPN_IP_PREFIX: {
      const addressLength = end - value === 34 ? 4 : 16;
      const prefix = tag + TAG + 1;
      key.copy(bytes, value, esi).copy(bytes, tag, prefix + addressLength);
      maskBytes(key.bytes, bytes[prefix - 1]!, key.length - addressLength, addressLength);
      rest.copy(bytes, esi, tag).copy(bytes, prefix + addressLength, end);
      return;
    }
    default: {
      const keyEnd = end - (trailing[type] ?? 0);
      key.copy(bytes, value, keyEnd);
      rest.copy(bytes, keyEnd, end);
    }
  }
}

const none = new Uint8Array(58);

function join(
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  rest: Uint8Array,
  restStart: number,
  restEnd: number,
  out: ByteWriter,
): void {
  const type = key[keyStart]!;
  const value = keyStart + 1;
  out.u8(type);
  if (restEnd === restStart) {
    // A withdrawal names the route; what it carried is all zeros.
    rest = none;
    restStart = 0;
    restEnd = restLength(type, keyEnd - value);
  }
  out.u8(keyEnd - value + restEnd - restStart);
  switch (type) {
    case EVPN_MAC_IP:
    case EVPN_IP_PREFIX:
      out.copy(key, value, value + RD).copy(rest, restStart, restStart + ESI_LENGTH);
      out.copy(key, value + RD, keyEnd).copy(rest, restStart + ESI_LENGTH, restEnd);
      return;
    default:
      out.copy(key, value, keyEnd).copy(rest, restStart, restEnd);
  }
}

// Bytes of the rest in a withdrawal, by type and length of the key without the type.
function restLength(type: number, keyLength: number): number {
  if (type === EVPN_ETHERNET_AD) return LABEL_LENGTH;
  if (type === EVPN_MAC_IP) return ESI_LENGTH + LABEL_LENGTH;
  if (type === EVPN_IP_PREFIX) return ESI_LENGTH + (keyLength - RD - TAG - 1) + LABEL_LENGTH;
  return trailing[type] ?? 0;
}

// FRR's way: the type, then the fields of the key in brackets, and the route distinguisher behind.
function text(key: Uint8Array, start: number, end: number): string {
  const type = key[start]!;
  const value = start + 1 + RD;
  const distinguisher = `RD ${formatRouteDistinguisher(key, start + 1)}`;
  const fields: (string | number)[] = [type];
  switch (type) {
    case EVPN_ETHERNET_AD:
      fields.push(readU32(key, value + ESI_LENGTH), formatEsi(key, value));
      break;
    case EVPN_MAC_IP: {
      const bits = key[value + 11]!;
      fields.push(readU32(key, value), 48, formatMac(key, value + 5));
      if (bits !== 0) fields.push(bits, formatIp(key, value + 12, bits >>> 3));
      break;
    }
    case EVPN_INCLUSIVE_MULTICAST:
      fields.push(readU32(key, value), key[value + 4]!, formatIp(key, value + 5, key[value + 4]! >>> 3));
      break;
    case EVPN_ETHERNET_SEGMENT: {
      const bits = key[value + ESI_LENGTH]!;
      fields.push(formatEsi(key, value), bits, formatIp(key, value + ESI_LENGTH + 1, bits >>> 3));
      break;
    }
    case EVPN_IP_PREFIX:
      fields.push(readU32(key, value), key[value + 4]!, formatIp(key, value + 5, end - value - 5));
      break;
    default:
      return `[${type}]:[0x${hexText(key, start + 1, end)}]`;
  }
  return `${fields.map((field) => `[${field}]`).join(':')} ${distinguisher}`;
}

function parse(input: string): Uint8Array | undefined {
  const found = /^\[(\d{1,2})\]:(\[.*\])(?: RD (\S+))?$/.exec(input);
  if (found === null) return undefined;
  const type = Number(found[1]);
  const fields = found[2]!.slice(1, -1).split(']:[');
  if (type > EVPN_IP_PREFIX) {
    const bytes = parseHex(fields[0]!.replace(/^0x/, ''));
    if (fields.length !== 1 || bytes === undefined || type > EVPN_TYPE_MAX) return undefined;
    const length = bytes.length + trailing[type]!;
    return length >= shortest[type]! && length <= 255 ? new Uint8Array([type, ...bytes]) : undefined;
  }
  const distinguisher = found[3] === undefined ? undefined : parseRouteDistinguisher(found[3]);
  const value = parseFields(type, fields);
  if (distinguisher === undefined || value === undefined) return undefined;
  return new Uint8Array([type, ...distinguisher, ...value]);
}

function parseFields(type: number, fields: readonly string[]): number[] | undefined {
  const [first, second, third, fourth, fifth] = fields;
  switch (type) {
    case EVPN_ETHERNET_AD:
      return fields.length === 2 ? gather(parseEsi(second!), tagBytes(first!)) : undefined;
    case EVPN_MAC_IP: {
      const mac = second === '48' && third !== undefined ? parseMac(third) : undefined;
      if (fields.length === 3) return gather(tagBytes(first!), [48], mac, [0]);
      const ip = fields.length === 5 ? addressBytes(fourth!, fifth!) : undefined;
      return gather(tagBytes(first!), [48], mac, ip);
    }
    case EVPN_INCLUSIVE_MULTICAST:
      return fields.length === 3 ? gather(tagBytes(first!), addressBytes(second!, third!)) : undefined;
    case EVPN_ETHERNET_SEGMENT:
      return fields.length === 3 ? gather(parseEsi(first!), addressBytes(second!, third!)) : undefined;
    case EVPN_IP_PREFIX: {
      const address = fields.length === 3 ? parseIp(third!) : undefined;
      if (address === undefined || !/^\d{1,3}$/.test(second!)) return undefined;
      const bits = Number(second);
      if (bits > address.length * 8) return undefined;
      maskBytes(address, bits);
      return gather(tagBytes(first!), [bits], address);
    }
    default:
      return undefined;
  }
}

type Part = Uint8Array | readonly number[] | undefined;

function gather(...parts: readonly Part[]): number[] | undefined {
  const bytes: number[] = [];
  for (const part of parts) {
    if (part === undefined) return undefined;
    bytes.push(...part);
  }
  return bytes;
}

function tagBytes(field: string): Uint8Array | undefined {
  if (!/^\d{1,10}$/.test(field) || Number(field) > 0xffffffff) return undefined;
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, Number(field));
  return bytes;
}

function addressBytes(bits: string, address: string): number[] | undefined {
  const bytes = parseIp(address);
  return bytes !== undefined && String(bytes.length * 8) === bits ? [bytes.length * 8, ...bytes] : undefined;
}

function labelsOf(view: NlriView, bytes: Uint8Array, start: number, end: number): void {
  const labels: number[] = [];
  const vnis: number[] = [];
  for (let at = start; at + LABEL_LENGTH <= end; at += LABEL_LENGTH) {
    labels.push(readLabel(bytes, at));
    vnis.push(readVni(bytes, at));
  }
  view.labels = labels;
  view.vnis = vnis;
}

function describe(
  key: Uint8Array,
  start: number,
  end: number,
  rest: Uint8Array,
  restStart: number,
  restEnd: number,
): NlriView {
  const type = key[start]!;
  const value = start + 1 + RD;
  const view: NlriView = { type, typeName: evpnTypeNames[type]! };
  view.routeDistinguisher = formatRouteDistinguisher(key, start + 1);
  const carries = restEnd > restStart;
  switch (type) {
    case EVPN_ETHERNET_AD:
      view.esi = formatEsi(key, value);
      view.ethernetTag = readU32(key, value + ESI_LENGTH);
      if (carries) labelsOf(view, rest, restStart, restEnd);
      return view;
    case EVPN_MAC_IP: {
      const length = key[value + 11]! >>> 3;
      view.ethernetTag = readU32(key, value);
      view.mac = formatMac(key, value + 5);
      if (length > 0) view.ip = formatIp(key, value + 12, length);
      if (carries) view.esi = formatEsi(rest, restStart);
      if (carries) labelsOf(view, rest, restStart + ESI_LENGTH, restEnd);
      return view;
    }
    case EVPN_INCLUSIVE_MULTICAST:
      view.ethernetTag = readU32(key, value);
      view.ip = formatIp(key, value + 5, key[value + 4]! >>> 3);
      return view;
    case EVPN_ETHERNET_SEGMENT:
      view.esi = formatEsi(key, value);
      view.ip = formatIp(key, value + ESI_LENGTH + 1, key[value + ESI_LENGTH]! >>> 3);
      return view;
    case EVPN_IP_PREFIX: {
      const length = end - value - 5;
      view.ethernetTag = readU32(key, value);
      view.prefix = formatPrefix(key, value + 5, length, key[value + 4]!);
      if (!carries) return view;
      view.esi = formatEsi(rest, restStart);
      view.gateway = formatIp(rest, restStart + ESI_LENGTH, length);
      labelsOf(view, rest, restEnd - LABEL_LENGTH, restEnd);
      return view;
    }
    default:
      // Leaf routes have the key of another route where others have a route distinguisher.
      if (type === EVPN_TYPE_MAX) delete view.routeDistinguisher;
      view.hex = hexText(key, start + 1, end);
      return view;
  }
}

export const evpnCodec: NlriCodec = {
  check(bytes, at, end, reach) {
    if (at + 2 > end) return 0;
    const length = bytes[at + 1]!;
    const size = 2 + length;
    if (at + size > end) return 0;
    return size | verdict(bytes, at + 2, bytes[at]!, length, reach);
  },
  size: (bytes, at) => 2 + bytes[at + 1]!,
  split,
  join,
  routable: () => true,
  text,
  describe,
  parse,
};
