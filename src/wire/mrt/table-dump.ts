// Dumps of routing tables: TABLE_DUMP (RFC 6396 section 4.2, 2-octet ASNs, one route a record) and TABLE_DUMP_V2
// (section 4.3, with add-path RFC 8050 section 4.1: one prefix a record, its peers in an index table). An entry can be
// written as the UPDATE that would announce it, which is how tests bring real tables to life.

import { assert } from '../../lib/assert.ts';
import { type ByteWriter, readU16, readU32 } from '../../lib/bytes.ts';
import { maskBytes } from '../../net/prefix.ts';
import { EXTENDED_LENGTH, MP_REACH, NEXT_HOP, OPTIONAL } from '../bgp/attribute/table.ts';
import { HEADER_LENGTH, UPDATE, writeHeader } from '../bgp/header.ts';
import { type MrtFault, type MrtRecord, TABLE_DUMP } from './record.ts';

const PEER_INDEX_TABLE = 1;

/** Subtypes of TABLE_DUMP_V2 that hold routes of one family. */
const ribForms: Readonly<Record<number, { afi: 1 | 2; safi: 1 | 2; addPath: boolean }>> = {
  2: { afi: 1, safi: 1, addPath: false },
  3: { afi: 1, safi: 2, addPath: false },
  4: { afi: 2, safi: 1, addPath: false },
  5: { afi: 2, safi: 2, addPath: false },
  8: { afi: 1, safi: 1, addPath: true },
  9: { afi: 1, safi: 2, addPath: true },
  10: { afi: 2, safi: 1, addPath: true },
  11: { afi: 2, safi: 2, addPath: true },
};

export interface DumpPeer {
  asn: number;
  /** 4 or 16 bytes. */
  address: Uint8Array;
  /** Absent in TABLE_DUMP. */
  bgpId?: number;
}

/** A path to the prefix; its attributes as in the file, [start, end), with 2-octet ASNs unless `asn4`. */
export interface DumpEntry {
  peer: DumpPeer;
  originatedS: number;
  /** 0 where paths are not identified. */
  pathId: number;
  start: number;
  end: number;
}

export interface DumpRoutes {
  kind: 'routes';
  afi: 1 | 2;
  safi: 1 | 2;
  asn4: boolean;
  addPath: boolean;
  /** Masked, 4 or 16 bytes. */
  address: Uint8Array;
  length: number;
  entries: DumpEntry[];
}

export interface DumpPeers {
  kind: 'peers';
  collectorId: number;
  viewName: string;
  peers: DumpPeer[];
}

/**
 * What a record of a table dump holds; undefined for a subtype that is not known. `peers` is the last index table of
 * the file, which the routes of TABLE_DUMP_V2 refer to.
 */
export function readTableDump(
  bytes: Uint8Array,
  record: MrtRecord,
  peers: readonly DumpPeer[],
): DumpRoutes | DumpPeers | MrtFault | undefined {
  if (record.type === TABLE_DUMP) return readRoute(bytes, record);
  if (record.subtype === PEER_INDEX_TABLE) return readPeers(bytes, record);
  const form = ribForms[record.subtype];
  return form && readRoutes(bytes, record, form, peers);
}

function readRoute(bytes: Uint8Array, { subtype, start, end }: MrtRecord): DumpRoutes | MrtFault | undefined {
  const fault = (reason: string): MrtFault => ({ kind: 'fault', at: start, reason });
  if (subtype !== 1 && subtype !== 2) return undefined;
  const size = subtype === 1 ? 4 : 16;
  const lengthAt = start + 4 + size;
  // View, sequence, prefix, length, status, time, peer, its AS, length of the attributes.
  const attrsAt = lengthAt + 2 + 4 + size + 4;
  if (attrsAt > end) return fault('a route is cut off');
  const length = bytes[lengthAt]!;
  if (length > size * 8) return fault(`a prefix length of ${length}`);
  const attrsEnd = attrsAt + readU16(bytes, attrsAt - 2);
  if (attrsEnd > end) return fault('attributes are cut off');
  const peerAt = lengthAt + 6;
  const entry: DumpEntry = {
    peer: { address: bytes.slice(peerAt, peerAt + size), asn: readU16(bytes, peerAt + size) },
    originatedS: readU32(bytes, lengthAt + 2),
    pathId: 0,
    start: attrsAt,
    end: attrsEnd,
  };
  const address = bytes.slice(start + 4, lengthAt);
  maskBytes(address, length);
  return {
    kind: 'routes',
    afi: subtype,
    safi: 1,
    asn4: false,
    addPath: false,
    address,
    length,
    entries: [entry],
  };
}

function readPeers(bytes: Uint8Array, { start, end }: MrtRecord): DumpPeers | MrtFault {
  const cut: MrtFault = { kind: 'fault', at: start, reason: 'an index of peers is cut off' };
  if (end - start < 8) return cut;
  const nameEnd = start + 6 + readU16(bytes, start + 4);
  if (nameEnd + 2 > end) return cut;
  let viewName = '';
  for (let at = start + 6; at < nameEnd; at++) viewName += String.fromCharCode(bytes[at]!);
  const peers: DumpPeer[] = [];
  let at = nameEnd + 2;
  for (let count = readU16(bytes, nameEnd); count > 0; count--) {
    if (at >= end) return cut;
    const type = bytes[at]!;
    const size = (type & 1) === 0 ? 4 : 16;
    const asn4 = (type & 2) !== 0;
    const asnAt = at + 5 + size;
    const next = asnAt + (asn4 ? 4 : 2);
    if (next > end) return cut;
    peers.push({
      bgpId: readU32(bytes, at + 1),
      address: bytes.slice(at + 5, asnAt),
      asn: asn4 ? readU32(bytes, asnAt) : readU16(bytes, asnAt),
    });
    at = next;
  }
  return { kind: 'peers', collectorId: readU32(bytes, start), viewName, peers };
}

function readRoutes(
  bytes: Uint8Array,
  { start, end }: MrtRecord,
  form: { afi: 1 | 2; safi: 1 | 2; addPath: boolean },
  peers: readonly DumpPeer[],
): DumpRoutes | MrtFault {
  const fault = (reason: string): MrtFault => ({ kind: 'fault', at: start, reason });
  const size = form.afi === 1 ? 4 : 16;
  if (end - start < 5) return fault('a prefix is cut off');
  const length = bytes[start + 4]!;
  const octets = (length + 7) >>> 3;
  let at = start + 5 + octets;
  if (length > size * 8) return fault(`a prefix length of ${length}`);
  if (at + 2 > end) return fault('a prefix is cut off');
  const address = new Uint8Array(size);
  address.set(bytes.subarray(start + 5, at));
  maskBytes(address, length);
  const entries: DumpEntry[] = [];
  let count = readU16(bytes, at);
  at += 2;
  const fixed = form.addPath ? 12 : 8;
  for (; count > 0; count--) {
    if (at + fixed > end) return fault('an entry is cut off');
    const peer = peers[readU16(bytes, at)];
    if (peer === undefined) return fault(`peer ${readU16(bytes, at)} is in no index`);
    const from = at + fixed;
    const to = from + readU16(bytes, from - 2);
    if (to > end) return fault('attributes are cut off');
    const pathId = form.addPath ? readU32(bytes, at + 6) : 0;
    entries.push({ peer, originatedS: readU32(bytes, at + 2), pathId, start: from, end: to });
    at = to;
  }
  return { kind: 'routes', ...form, asn4: true, address, length, entries };
}

/**
 * Writes the UPDATE that announces an entry, header and all, with attributes as in the file; only the MP_REACH of
 * TABLE_DUMP_V2, which is next hop alone (section 4.3.4), becomes whole. False when there is no next hop to announce an
 * IPv6 prefix with.
 */
export function writeEntryUpdate(
  out: ByteWriter,
  bytes: Uint8Array,
  routes: DumpRoutes,
  entry: DumpEntry,
): boolean {
  const { afi, safi, addPath, address, length } = routes;
  const begin = out.length;
  out.reserve(HEADER_LENGTH + 64 + entry.end - entry.start);
  out.length += HEADER_LENGTH;
  out.u16(0).u16(0);
  const attrsStart = out.length;
  const classic = afi === 1 && safi === 1;
  let found = false;
  const nlri = (): void => {
    if (addPath) out.u32(entry.pathId);
    out.u8(length).copy(address, 0, (length + 7) >>> 3);
  };
  for (let at = entry.start; at < entry.end; ) {
    const wide = (bytes[at]! & EXTENDED_LENGTH) !== 0;
    const valueAt = at + (wide ? 4 : 3);
    const next = valueAt + (wide ? readU16(bytes, at + 2) : bytes[at + 2]!);
    if (valueAt > entry.end || next > entry.end) {
      // Broken attributes are passed on as they are: to judge them is the decoder's.
      out.copy(bytes, at, entry.end);
      break;
    }
    const code = bytes[at + 1]!;
    if (!classic && code === MP_REACH) {
      found = true;
      const whole = wholeNextHop(bytes, valueAt, next, afi);
      const nlriLength = (addPath ? 5 : 1) + ((length + 7) >>> 3);
      out.u8(OPTIONAL | EXTENDED_LENGTH).u8(MP_REACH);
      out
        .u16(3 + 1 + whole.length + 1 + nlriLength)
        .u16(afi)
        .u8(safi);
      out.u8(whole.length).copy(whole).u8(0);
      nlri();
    } else {
      found ||= classic && code === NEXT_HOP;
      if (classic || code !== NEXT_HOP) out.copy(bytes, at, next);
    }
    at = next;
  }
  const attrsLength = out.length - attrsStart;
  out.bytes[attrsStart - 2] = attrsLength >>> 8;
  out.bytes[attrsStart - 1] = attrsLength;
  if (classic) nlri();
  const whole = out.length - begin;
  assert(whole <= 0xffff, 'an entry longer than a message');
  writeHeader(out.bytes, begin, whole, UPDATE);
  if (!found) out.length = begin;
  return found;
}

/** The next hop of an MP_REACH, which some collectors write whole and most as length and address alone. */
function wholeNextHop(bytes: Uint8Array, start: number, end: number, afi: number): Uint8Array {
  const isWhole = end - start >= 5 && readU16(bytes, start) === afi && bytes[start + 3]! <= end - start - 4;
  const at = isWhole ? start + 3 : start;
  return bytes.slice(at + 1, Math.min(end, at + 1 + bytes[at]!));
}
