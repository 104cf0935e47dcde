// Canonical attributes as plain objects and back: for display, for local routes and for tests. The object is the
// one shape of attributes outside the hot path; `encodeAttributes(describeAttributes(x))` is x, byte for byte.

import { assert } from '../../../lib/assert.ts';
import { ByteWriter, readU32 } from '../../../lib/bytes.ts';
import {
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  parseCommunity,
  parseExtendedCommunity,
  parseLargeCommunity,
} from '../../../net/community.ts';
import { formatIp6ExtendedCommunity, parseIp6ExtendedCommunity } from '../../../net/extended-community.ts';
import { hexText, parseHex } from '../../../net/hex.ts';
import { formatIp, parseIp, parseIp4 } from '../../../net/ip.ts';
import { type AigpView, describeAigp } from './aigp.ts';
import { type AsPathSegment, asPathText, parseAsPath, readAsPath, writeAsPath } from './as-path.ts';
import { valueEnd, valueStart, writeAttributeHeader } from './canonical.ts';
import { describeEncapsulation, type TunnelView } from './encapsulation.ts';
import { describePmsi, type PmsiView } from './pmsi.ts';
import { describePrefixSid, type PrefixSidView } from './prefix-sid.ts';
import {
  AGGREGATOR,
  AIGP,
  AS_PATH,
  ATOMIC_AGGREGATE,
  attributeRows,
  CLUSTER_LIST,
  COMMUNITIES,
  EXT_COMMUNITIES,
  EXTENDED_LENGTH,
  IPV6_EXT_COMMUNITIES,
  LARGE_COMMUNITIES,
  LOCAL_PREF,
  MED,
  ORIGIN,
  ORIGINATOR_ID,
  OTC,
  originNames,
  PARTIAL,
  PMSI_TUNNEL,
  PREFIX_SID,
  TUNNEL_ENCAPSULATION,
} from './table.ts';

export interface OtherAttribute {
  readonly code: number;
  /** Where we know the attribute, its name and text. */
  readonly name?: string;
  readonly text?: string;
  /** Without the extended length bit. */
  readonly flags: number;
  readonly hex: string;
}

export interface AttributesView {
  origin?: (typeof originNames)[number];
  asPath?: string;
  asPathSegments?: readonly AsPathSegment[];
  med?: number;
  localPref?: number;
  atomicAggregate?: boolean;
  aggregator?: { readonly asn: number; readonly address: string };
  communities?: readonly string[];
  extendedCommunities?: readonly string[];
  largeCommunities?: readonly string[];
  originatorId?: string;
  clusterList?: readonly string[];
  onlyToCustomer?: number;
  pmsi?: PmsiView;
  tunnelEncapsulation?: readonly TunnelView[];
  ipv6ExtendedCommunities?: readonly string[];
  aigp?: AigpView;
  prefixSid?: readonly PrefixSidView[];
  /** Codes of known attributes that carry the Partial bit. */
  partial?: readonly number[];
  unknown?: readonly OtherAttribute[];
}

/** What `encodeAttributes` takes: the view, with an AS_PATH that may also be a list of ASNs. */
export type AttributesInput = Omit<AttributesView, 'asPath'> & { asPath?: string | readonly number[] };

function items(start: number, end: number, width: number, text: (at: number) => string): string[] {
  const list: string[] = [];
  for (let at = start; at < end; at += width) list.push(text(at));
  return list;
}

/** The canonical attributes in [start, end) as an object. */
export function describeAttributes(bytes: Uint8Array, start = 0, end = bytes.length): AttributesView {
  const view: AttributesView = {};
  const partial: number[] = [];
  const unknown: OtherAttribute[] = [];
  for (let at = start; at < end; at = valueEnd(bytes, at)) {
    const code = bytes[at + 1]!;
    const from = valueStart(bytes, at);
    const to = valueEnd(bytes, at);
    if (!describe(view, bytes, code, from, to)) unknown.push(other(bytes, at, from, to));
    else if ((bytes[at]! & PARTIAL) !== 0) partial.push(code);
  }
  if (partial.length > 0) view.partial = partial;
  if (unknown.length > 0) view.unknown = unknown;
  return view;
}

function other(bytes: Uint8Array, at: number, from: number, to: number): OtherAttribute {
  const code = bytes[at + 1]!;
  const flags = bytes[at]! & ~EXTENDED_LENGTH;
  const row = attributeRows[code];
  if (row === undefined) return { code, flags, hex: hexText(bytes, from, to) };
  return { code, name: row.name, text: row.format(bytes, from, to), flags, hex: hexText(bytes, from, to) };
}

// Sets the member of one attribute; false for those that have none.
function describe(view: AttributesView, bytes: Uint8Array, code: number, from: number, to: number): boolean {
  switch (code) {
    case ORIGIN:
      view.origin = originNames[bytes[from]!]!;
      return true;
    case AS_PATH:
      view.asPathSegments = readAsPath(bytes, from, to);
      view.asPath = asPathText(view.asPathSegments);
      return true;
    case MED:
      view.med = readU32(bytes, from);
      return true;
    case LOCAL_PREF:
      view.localPref = readU32(bytes, from);
      return true;
    case ATOMIC_AGGREGATE:
      view.atomicAggregate = true;
      return true;
    case AGGREGATOR:
      view.aggregator = { asn: readU32(bytes, from), address: formatIp(bytes, from + 4, 4) };
      return true;
    case COMMUNITIES:
      view.communities = items(from, to, 4, (at) => formatCommunity(readU32(bytes, at)));
      return true;
    case ORIGINATOR_ID:
      view.originatorId = formatIp(bytes, from, 4);
      return true;
    case CLUSTER_LIST:
      view.clusterList = items(from, to, 4, (at) => formatIp(bytes, at, 4));
      return true;
    case EXT_COMMUNITIES:
      view.extendedCommunities = items(from, to, 8, (at) => formatExtendedCommunity(bytes, at));
      return true;
    case LARGE_COMMUNITIES:
      view.largeCommunities = items(from, to, 12, (at) => formatLargeCommunity(bytes, at));
      return true;
    case OTC:
      view.onlyToCustomer = readU32(bytes, from);
      return true;
    default:
      return describeNewer(view, bytes, code, from, to);
  }
}

function describeNewer(
  view: AttributesView,
  bytes: Uint8Array,
  code: number,
  from: number,
  to: number,
): boolean {
  switch (code) {
    case PMSI_TUNNEL:
      view.pmsi = describePmsi(bytes, from, to);
      return true;
    case TUNNEL_ENCAPSULATION:
      view.tunnelEncapsulation = describeEncapsulation(bytes, from, to);
      return true;
    case IPV6_EXT_COMMUNITIES:
      view.ipv6ExtendedCommunities = items(from, to, 20, (at) => formatIp6ExtendedCommunity(bytes, at));
      return true;
    case AIGP:
      view.aigp = describeAigp(bytes, from, to);
      return true;
    case PREFIX_SID:
      view.prefixSid = describePrefixSid(bytes, from, to);
      return true;
    default:
      return false;
  }
}

/**
 * Canonical attributes of an object. Text must be valid: the operator's was checked before, anything else is our
 * own mistake.
 */
export function encodeAttributes(input: AttributesInput): Uint8Array {
  const values = new Map<number, { flags: number; value: Uint8Array }>();
  const put = (code: number, write: (out: ByteWriter) => void): void => {
    const value = new ByteWriter(64);
    write(value);
    const partial = input.partial?.includes(code) === true ? PARTIAL : 0;
    values.set(code, { flags: attributeRows[code]!.flags | partial, value: value.take() });
  };
  const { origin, aggregator } = input;
  if (origin !== undefined) put(ORIGIN, (out) => out.u8(originNames.indexOf(origin)));
  const segments = input.asPathSegments ?? segmentsOf(input.asPath);
  if (segments !== undefined) put(AS_PATH, (out) => writeAsPath(out, segments));
  putU32(put, MED, input.med);
  putU32(put, LOCAL_PREF, input.localPref);
  if (input.atomicAggregate === true) put(ATOMIC_AGGREGATE, () => {});
  if (aggregator !== undefined) {
    put(AGGREGATOR, (out) => out.u32(aggregator.asn).u32(address(aggregator.address)));
  }
  putList(put, COMMUNITIES, input.communities, (out, text) => out.u32(known(parseCommunity(text), text)));
  if (input.originatorId !== undefined) putU32(put, ORIGINATOR_ID, address(input.originatorId));
  putList(put, CLUSTER_LIST, input.clusterList, (out, text) => out.u32(address(text)));
  putList(put, EXT_COMMUNITIES, input.extendedCommunities, (out, text) => {
    out.copy(known(parseExtendedCommunity(text), text));
  });
  putList(put, LARGE_COMMUNITIES, input.largeCommunities, (out, text) => {
    out.copy(known(parseLargeCommunity(text), text));
  });
  putU32(put, OTC, input.onlyToCustomer);
  putNewer(put, input);
  for (const { code, flags, hex: digits } of input.unknown ?? []) {
    values.set(code, { flags, value: fromHex(digits) });
  }
  const out = new ByteWriter(256);
  for (const code of [...values.keys()].sort((a, b) => a - b)) {
    const { flags, value } = values.get(code)!;
    writeAttributeHeader(out, flags, code, value.length);
    out.copy(value);
  }
  return out.take();
}

type Put = (code: number, write: (out: ByteWriter) => void) => void;

function putU32(put: Put, code: number, value: number | undefined): void {
  if (value !== undefined) put(code, (out) => out.u32(value));
}

function putList(
  put: Put,
  code: number,
  list: readonly string[] | undefined,
  write: (out: ByteWriter, text: string) => void,
): void {
  if (list === undefined || list.length === 0) return;
  put(code, (out) => {
    for (const text of list) write(out, text);
  });
}

function segmentsOf(path: string | readonly number[] | undefined): readonly AsPathSegment[] | undefined {
  if (path === undefined) return undefined;
  if (typeof path === 'string') return known(parseAsPath(path), path);
  return path.length === 0 ? [] : [{ kind: 'sequence', asns: path }];
}

function known<T>(value: T | undefined, text: string): T {
  assert(value !== undefined, `attribute text ${text}`);
  return value;
}

function address(text: string): number {
  return known(parseIp4(text), text);
}

function fromHex(digits: string): Uint8Array {
  return known(parseHex(digits), digits);
}

function putNewer(put: Put, input: AttributesInput): void {
  const { pmsi, tunnelEncapsulation, aigp, prefixSid } = input;
  if (pmsi !== undefined) {
    put(PMSI_TUNNEL, (out) => {
      out
        .u8(pmsi.flags)
        .u8(pmsi.tunnelType)
        .u8(pmsi.vni >>> 16)
        .u16(pmsi.vni & 0xffff);
      if (pmsi.endpoint !== undefined) out.copy(known(parseIp(pmsi.endpoint), pmsi.endpoint));
      else out.copy(fromHex(pmsi.hex ?? ''));
    });
  }
  if (tunnelEncapsulation !== undefined) {
    put(TUNNEL_ENCAPSULATION, (out) => {
      for (const tunnel of tunnelEncapsulation) writeTunnel(out, tunnel);
    });
  }
  putList(put, IPV6_EXT_COMMUNITIES, input.ipv6ExtendedCommunities, (out, text) => {
    out.copy(known(parseIp6ExtendedCommunity(text), text));
  });
  if (aigp !== undefined) {
    const metric = BigInt(aigp.metric ?? 0)
      .toString(16)
      .padStart(16, '0');
    const tlvs = aigp.tlvs ?? [{ type: 1, hex: metric }];
    put(AIGP, (out) => {
      for (const { type, hex } of tlvs)
        out
          .u8(type)
          .u16(3 + hex.length / 2)
          .copy(fromHex(hex));
    });
  }
  if (prefixSid !== undefined) {
    put(PREFIX_SID, (out) => {
      for (const { type, hex } of prefixSid)
        out
          .u8(type)
          .u16(hex.length / 2)
          .copy(fromHex(hex));
    });
  }
}

function writeTunnel(out: ByteWriter, tunnel: TunnelView): void {
  const value = new ByteWriter(64);
  for (const { type, hex } of tunnel.subTlvs) {
    value.u8(type);
    if (type < 128) value.u8(hex.length / 2);
    else value.u16(hex.length / 2);
    value.copy(fromHex(hex));
  }
  out.u16(tunnel.type).u16(value.length).copy(value.bytes, 0, value.length);
}
