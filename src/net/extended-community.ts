// The text forms of extended communities (RFC 4360): `kind:values`, for those whose meaning is settled; any other is
// `ext:0x` and 16 digits, and `ext6:0x` and 40 digits for the IPv6 ones (RFC 5701). Text and bytes are the same thing:
// whatever has bits that its text could not show keeps its digits.
//   rt, soo, ospf-domain-id, source-as, …: administrator:number (RFC 4360, 5668, 4577, 6514)
//   link-bandwidth (draft-ietf-idr-link-bandwidth), color, encapsulation, default-gateway (RFC 9012, 7432)
//   router-mac, mac-mobility, esi-label, es-import (RFC 7432, 9135)
//   traffic-rate, traffic-action, redirect, traffic-marking (RFC 8955); origin-validation (RFC 8097)

import { readU16, readU32, writeU16, writeU32 } from '../lib/bytes.ts';
import { decimal, hexText, parseHex } from './hex.ts';
import { formatIp, formatIp4, parseIp4, parseIp6 } from './ip.ts';
import { readVni } from './label.ts';
import { formatMac, parseMac } from './mac.ts';
import { formatAdministered, parseAdministered } from './route-distinguisher.ts';

// Types: the non-transitive bit is 0x40 (RFC 4360 section 2).
const TWO_OCTET_AS = 0x00;
const FOUR_OCTET_AS = 0x02;
const OPAQUE = 0x03;
const EVPN = 0x06;
const NON_TRANSITIVE = 0x40;
const EXPERIMENTAL = 0x80;

const ROUTE_TARGET = 2;
const LINK_BANDWIDTH = 4;
const REDIRECT = 8;

// Subtypes that hold administrator:number whatever the type of the administrator.
const administered: readonly (readonly [string, number])[] = [
  ['rt', ROUTE_TARGET],
  ['soo', 3],
  ['ospf-domain-id', 5],
  ['ospf-router-id', 7],
  ['bgp-data-collection', 8],
  ['source-as', 9],
  ['l2vpn-id', 10],
  ['vrf-route-import', 11],
  ['cisco-vpn-distinguisher', 16],
];
const administeredKind = new Map(administered.map(([name, subtype]) => [subtype, name]));
const administeredSubtype = new Map(administered);

// Tunnel types (IANA "BGP Tunnel Encapsulation Attribute Tunnel Types").
const tunnels: readonly (readonly [string, number])[] = [
  ['l2tpv3', 1],
  ['gre', 2],
  ['ip-in-ip', 7],
  ['vxlan', 8],
  ['nvgre', 9],
  ['mpls', 10],
  ['mpls-in-gre', 11],
  ['vxlan-gpe', 12],
  ['mpls-in-udp', 13],
  ['sr-policy', 15],
  ['geneve', 19],
];
const tunnelName = new Map(tunnels.map(([name, type]) => [type, name]));
const tunnelType = new Map(tunnels);
const validationStates = ['valid', 'not-found', 'invalid'];
const trafficActions = ['none', 'terminal', 'sample', 'sample-terminal'];

/** The name of a tunnel type, or its number. */
export function formatTunnelType(type: number): string {
  return tunnelName.get(type) ?? String(type);
}

const scratch = new Uint8Array(4);
const scratchView = new DataView(scratch.buffer);

/** The IEEE 754 single of the four bytes at `at`: link bandwidth and traffic rates, in bytes a second. */
function readFloat(bytes: Uint8Array, at: number): number {
  for (let i = 0; i < 4; i++) scratch[i] = bytes[at + i]!;
  return scratchView.getFloat32(0);
}

/** Writes `value` as such. */
function writeFloat(bytes: Uint8Array, at: number, value: number): void {
  scratchView.setFloat32(0, value);
  bytes.set(scratch, at);
}

/** Text of the extended community in the 8 bytes at `start`. */
export function formatExtendedCommunity(bytes: Uint8Array, start = 0): string {
  const type = bytes[start]!;
  const text = textOf(type & ~NON_TRANSITIVE, type, bytes, start);
  return text ?? `ext:0x${hexText(bytes, start, start + 8)}`;
}

function textOf(kind: number, type: number, bytes: Uint8Array, start: number): string | undefined {
  if (kind === EXPERIMENTAL || kind === 0x81 || kind === 0x82) return trafficText(type, bytes, start);
  if (kind === TWO_OCTET_AS && bytes[start + 1] === LINK_BANDWIDTH) {
    const word = type === kind ? 'link-bandwidth-transitive' : 'link-bandwidth';
    return floatText(word, bytes, start);
  }
  if (type <= FOUR_OCTET_AS) {
    const name = administeredKind.get(bytes[start + 1]!);
    return name === undefined ? undefined : `${name}:${formatAdministered(type, bytes, start + 2)}`;
  }
  if (type === (OPAQUE | NON_TRANSITIVE)) {
    const state = bytes[start + 7]!;
    const plain = bytes[start + 1] === 0 && allZero(bytes, start + 2, start + 7);
    return plain && state < 3 ? `origin-validation:${validationStates[state]}` : undefined;
  }
  if (type === OPAQUE) return opaqueText(bytes, start);
  return type === EVPN ? evpnText(bytes, start) : undefined;
}

function allZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}

// `word:asn:value`, where the value is a number that text can hold.
function floatText(word: string, bytes: Uint8Array, start: number): string | undefined {
  const value = readFloat(bytes, start + 4);
  if (!Number.isFinite(value) || Object.is(value, -0)) return undefined;
  return `${word}:${readU16(bytes, start + 2)}:${value}`;
}

function opaqueText(bytes: Uint8Array, start: number): string | undefined {
  const value = start + 2;
  switch (bytes[start + 1]) {
    case 0x06: {
      const options = bytes[value + 5]!;
      return `ospf-route-type:${formatIp4(readU32(bytes, value))}:${bytes[value + 4]}:${options}`;
    }
    case 0x0b: {
      const flags = readU16(bytes, value);
      const color = readU32(bytes, value + 2);
      return flags === 0 ? `color:${color}` : `color:${flags}:${color}`;
    }
    case 0x0c: {
      const type = readU16(bytes, value + 4);
      return allZero(bytes, value, value + 4) ? `encapsulation:${formatTunnelType(type)}` : undefined;
    }
    case 0x0d:
      return allZero(bytes, value, value + 6) ? 'default-gateway' : undefined;
    default:
      return undefined;
  }
}

function evpnText(bytes: Uint8Array, start: number): string | undefined {
  const value = start + 2;
  const flags = bytes[value]!;
  switch (bytes[start + 1]) {
    case 0x00: {
      if (flags > 1 || bytes[value + 1] !== 0) return undefined;
      return `mac-mobility:${flags === 1 ? 'sticky:' : ''}${readU32(bytes, value + 2)}`;
    }
    case 0x01:
      if (flags > 1 || !allZero(bytes, value + 1, value + 3)) return undefined;
      return `esi-label:${flags === 1 ? 'single-active' : 'all-active'}:${readVni(bytes, value + 3)}`;
    case 0x02:
      return `es-import:${formatMac(bytes, value)}`;
    case 0x03:
      return `router-mac:${formatMac(bytes, value)}`;
    default:
      return undefined;
  }
}

// RFC 8955 section 7.
function trafficText(type: number, bytes: Uint8Array, start: number): string | undefined {
  const subtype = bytes[start + 1]!;
  const last = bytes[start + 7]!;
  if ((type & NON_TRANSITIVE) !== 0) return undefined;
  if (subtype === REDIRECT) return `redirect:${formatAdministered(type & 3, bytes, start + 2)}`;
  if (type !== EXPERIMENTAL) return undefined;
  if (subtype === 0x06) return floatText('traffic-rate', bytes, start);
  if (subtype === 0x0c) return floatText('traffic-rate-packets', bytes, start);
  if (!allZero(bytes, start + 2, start + 7)) return undefined;
  if (subtype === 0x07 && last < 4) return `traffic-action:${trafficActions[last]}`;
  return subtype === 0x09 && last < 64 ? `traffic-marking:${last}` : undefined;
}

/** The 8 bytes of such a text, or undefined. The administrator's form chooses the type. */
export function parseExtendedCommunity(text: string): Uint8Array | undefined {
  const raw = /^ext:0x([0-9a-f]{16})$/i.exec(text);
  if (raw !== null) return parseHex(raw[1]!);
  const colon = text.indexOf(':');
  const kind = (colon < 0 ? text : text.slice(0, colon)).toLowerCase();
  const rest = colon < 0 ? '' : text.slice(colon + 1);
  const bytes = new Uint8Array(8);
  const subtype = administeredSubtype.get(kind);
  if (subtype !== undefined || kind === 'redirect') {
    const type = parseAdministered(rest, bytes, 2);
    if (type < 0) return undefined;
    bytes[0] = subtype === undefined ? EXPERIMENTAL | type : type;
    bytes[1] = subtype ?? REDIRECT;
    return bytes;
  }
  return parseKind(kind, rest.split(':'), rest, bytes) ? bytes : undefined;
}

function set(bytes: Uint8Array, type: number, subtype: number): void {
  bytes[0] = type;
  bytes[1] = subtype;
}

function parseKind(kind: string, parts: readonly string[], rest: string, bytes: Uint8Array): boolean {
  switch (kind) {
    case 'link-bandwidth':
      return parseFloatValue(TWO_OCTET_AS | NON_TRANSITIVE, LINK_BANDWIDTH, parts, bytes);
    case 'link-bandwidth-transitive':
      return parseFloatValue(TWO_OCTET_AS, LINK_BANDWIDTH, parts, bytes);
    case 'traffic-rate':
      return parseFloatValue(EXPERIMENTAL, 0x06, parts, bytes);
    case 'traffic-rate-packets':
      return parseFloatValue(EXPERIMENTAL, 0x0c, parts, bytes);
    case 'traffic-action':
      set(bytes, EXPERIMENTAL, 0x07);
      return parseWord(trafficActions, rest, bytes);
    case 'traffic-marking':
      set(bytes, EXPERIMENTAL, 0x09);
      bytes[7] = decimal(rest, 63);
      return decimal(rest, 63) >= 0;
    case 'origin-validation':
      set(bytes, OPAQUE | NON_TRANSITIVE, 0);
      return parseWord(validationStates, rest, bytes);
    case 'default-gateway':
      set(bytes, OPAQUE, 0x0d);
      return rest === '';
    case 'color':
    case 'encapsulation':
    case 'ospf-route-type':
      return parseOpaque(kind, parts, bytes);
    default:
      return parseEvpn(kind, parts, rest, bytes);
  }
}

function parseWord(words: readonly string[], text: string, bytes: Uint8Array): boolean {
  const index = words.indexOf(text.toLowerCase());
  bytes[7] = index;
  return index >= 0;
}

function parseFloatValue(
  type: number,
  subtype: number,
  parts: readonly string[],
  bytes: Uint8Array,
): boolean {
  const asn = decimal(parts[0], 0xffff);
  if (parts.length !== 2 || asn < 0 || !/^\d+(\.\d+)?(e[+-]?\d+)?$|^-\d/i.test(parts[1]!)) return false;
  const value = Number(parts[1]);
  if (!Number.isFinite(Math.fround(value))) return false;
  set(bytes, type, subtype);
  writeU16(bytes, 2, asn);
  writeFloat(bytes, 4, value);
  return true;
}

function parseOpaque(kind: string, parts: readonly string[], bytes: Uint8Array): boolean {
  if (kind === 'encapsulation') {
    const type = tunnelType.get(parts[0]!.toLowerCase()) ?? decimal(parts[0], 0xffff);
    set(bytes, OPAQUE, 0x0c);
    writeU16(bytes, 6, type);
    return parts.length === 1 && type >= 0;
  }
  if (kind === 'color') {
    const flags = parts.length === 2 ? decimal(parts[0], 0xffff) : 0;
    const color = decimal(parts.at(-1), 0xffffffff);
    set(bytes, OPAQUE, 0x0b);
    writeU16(bytes, 2, flags);
    writeU32(bytes, 4, color);
    return parts.length <= 2 && flags >= 0 && color >= 0;
  }
  const area = parseIp4(parts[0]!);
  const type = decimal(parts[1], 255);
  const options = decimal(parts[2], 255);
  if (parts.length !== 3 || area === undefined || type < 0 || options < 0) return false;
  set(bytes, OPAQUE, 0x06);
  writeU32(bytes, 2, area);
  bytes[6] = type;
  bytes[7] = options;
  return true;
}

function parseEvpn(kind: string, parts: readonly string[], rest: string, bytes: Uint8Array): boolean {
  if (kind === 'router-mac' || kind === 'es-import') {
    const mac = parseMac(rest);
    if (mac === undefined) return false;
    set(bytes, EVPN, kind === 'router-mac' ? 0x03 : 0x02);
    bytes.set(mac, 2);
    return true;
  }
  if (kind === 'mac-mobility') {
    const sticky = parts.length === 2 && parts[0] === 'sticky';
    const sequence = decimal(parts.at(-1), 0xffffffff);
    set(bytes, EVPN, 0x00);
    bytes[2] = sticky ? 1 : 0;
    writeU32(bytes, 4, sequence);
    return sequence >= 0 && (sticky || parts.length === 1);
  }
  if (kind !== 'esi-label' || parts.length !== 2) return false;
  const label = decimal(parts[1], 0xffffff);
  if (label < 0 || (parts[0] !== 'single-active' && parts[0] !== 'all-active')) return false;
  set(bytes, EVPN, 0x01);
  writeU32(bytes, 4, label);
  bytes[2] = parts[0] === 'single-active' ? 1 : 0;
  return true;
}

const ip6Kinds: readonly (readonly [string, number])[] = [
  ['rt', ROUTE_TARGET],
  ['soo', 3],
  ['vrf-route-import', 11],
];
const ip6Kind = new Map(ip6Kinds.map(([name, subtype]) => [subtype, name]));
const ip6Subtype = new Map(ip6Kinds);

/** `rt:[2001:db8::1]:100` of the 20 bytes at `start`. */
export function formatIp6ExtendedCommunity(bytes: Uint8Array, start = 0): string {
  const name = bytes[start] === 0 ? ip6Kind.get(bytes[start + 1]!) : undefined;
  if (name === undefined) return `ext6:0x${hexText(bytes, start, start + 20)}`;
  return `${name}:[${formatIp(bytes, start + 2, 16)}]:${readU16(bytes, start + 18)}`;
}

/** The 20 bytes of such a text, or undefined. */
export function parseIp6ExtendedCommunity(text: string): Uint8Array | undefined {
  const raw = /^ext6:0x([0-9a-f]{40})$/i.exec(text);
  if (raw !== null) return parseHex(raw[1]!);
  const found = /^([a-z-]+):\[([0-9a-f:.]+)\]:(\d+)$/i.exec(text);
  const subtype = found === null ? undefined : ip6Subtype.get(found[1]!.toLowerCase());
  const address = found === null ? undefined : parseIp6(found[2]!);
  const number = found === null ? -1 : decimal(found[3], 0xffff);
  if (subtype === undefined || address === undefined || number < 0) return undefined;
  const bytes = new Uint8Array(20);
  bytes[1] = subtype;
  bytes.set(address, 2);
  writeU16(bytes, 18, number);
  return bytes;
}
