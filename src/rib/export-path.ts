// What is done to attributes before an export policy sees them, on their way out of the AS: confederation segments go
// (RFC 5065 section 4.1), private ASNs go or become ours, the AS of the peer becomes ours (as-override), and extended
// communities that are not transitive go (RFC 4360 section 6). What a policy adds after that stays.

import { type ByteWriter, readU32 } from '../lib/bytes.ts';
import { isPrivateAsn } from '../net/asn.ts';
import { AS_CONFED_SEQUENCE, AS_CONFED_SET } from '../wire/bgp/attribute/as-path.ts';
import {
  attributeFlags,
  valueEnd,
  valueStart,
  writeAttributeHeader,
} from '../wire/bgp/attribute/canonical.ts';
import { AS_PATH, EXT_COMMUNITIES, PARTIAL } from '../wire/bgp/attribute/table.ts';
import type { ExportOptions } from './export-options.ts';

/** Bit of the type that says "not beyond the AS". */
const NON_TRANSITIVE = 0x40;

/** The AS that external members take for ours when they look for it in the middle of a path. */
function outsideAsn(options: ExportOptions): number {
  const { localAs = 0, confederationId = 0 } = options;
  if (localAs !== 0 && options.replaceAs === true) return localAs;
  return confederationId !== 0 ? confederationId : options.localAsn;
}

/** Whether the options ask for paths to be rewritten. */
export function rewritesPath(options: ExportOptions): boolean {
  if (options.kind !== 'external') return false;
  const { confederationId = 0, asOverrideAsn = 0, removePrivateAs } = options;
  return confederationId !== 0 || asOverrideAsn !== 0 || removePrivateAs !== undefined;
}

/** Writes the attributes as an export policy of an external group gets to see them. */
export function leaveAs(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
  options: ExportOptions,
): void {
  for (let at = start; at < end; ) {
    const next = valueEnd(bytes, at);
    const value = valueStart(bytes, at);
    if (bytes[at + 1] === AS_PATH && rewritesPath(options)) writePath(out, bytes, value, next, options);
    else if (bytes[at + 1] === EXT_COMMUNITIES) writeTransitive(out, bytes, at, value, next);
    else out.copy(bytes, at, next);
    at = next;
  }
}

function writePath(
  out: ByteWriter,
  bytes: Uint8Array,
  from: number,
  to: number,
  options: ExportOptions,
): void {
  const { confederationId = 0, asOverrideAsn = 0, removePrivateAs } = options;
  const own = outsideAsn(options);
  const removes = removePrivateAs !== undefined && (removePrivateAs.all || isAllPrivate(bytes, from, to));
  const value: number[] = [];
  for (let at = from; at < to; ) {
    const type = bytes[at]!;
    const next = at + 2 + 4 * bytes[at + 1]!;
    if (!(confederationId !== 0 && isConfederation(type))) {
      const asns: number[] = [];
      for (at += 2; at < next; at += 4) {
        const asn = readU32(bytes, at);
        if (asn === asOverrideAsn && asn !== 0) asns.push(own);
        else if (!removes || !isPrivateAsn(asn) || asn === removePrivateAs.peerAsn) asns.push(asn);
        else if (removePrivateAs.replace) asns.push(own);
      }
      if (asns.length > 0) value.push(type, asns.length, ...asns.flatMap(octets));
    }
    at = next;
  }
  writeAttributeHeader(out, attributeFlags(AS_PATH), AS_PATH, value.length);
  for (const byte of value) out.u8(byte);
}

function writeTransitive(out: ByteWriter, bytes: Uint8Array, at: number, from: number, to: number): void {
  let count = 0;
  for (let i = from; i < to; i += 8) if ((bytes[i]! & NON_TRANSITIVE) === 0) count++;
  if (count === 0) return;
  const flags = attributeFlags(EXT_COMMUNITIES) | (bytes[at]! & PARTIAL);
  writeAttributeHeader(out, flags, EXT_COMMUNITIES, count * 8);
  for (let i = from; i < to; i += 8) if ((bytes[i]! & NON_TRANSITIVE) === 0) out.copy(bytes, i, i + 8);
}

function isConfederation(type: number): boolean {
  return type === AS_CONFED_SEQUENCE || type === AS_CONFED_SET;
}

/** Whether the path has ASNs, and none that is not private. */
function isAllPrivate(bytes: Uint8Array, from: number, to: number): boolean {
  let count = 0;
  for (let at = from; at < to; ) {
    const next = at + 2 + 4 * bytes[at + 1]!;
    const ordinary = !isConfederation(bytes[at]!);
    for (at += 2; at < next; at += 4) {
      if (!ordinary) continue;
      if (!isPrivateAsn(readU32(bytes, at))) return false;
      count++;
    }
  }
  return count > 0;
}

function octets(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}
