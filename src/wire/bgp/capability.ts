// Capabilities (RFC 5492) as a union by `kind`. A capability of a known code with a body that cannot be read makes
// the OPEN unacceptable; an unknown one is kept as bytes. What two OPENs amount to is for session/negotiate.ts.
//
// Codes: multiprotocol 1 (RFC 4760), route refresh 2 (2918), extended next hop 5 (8950), extended message 6 (8654),
// role 9 (9234), graceful restart 64 (4724, 8538), 4-octet AS 65 (6793), ADD-PATH 69 (7911), enhanced route
// refresh 70 (7313), long-lived graceful restart 71 (9494), and from drafts that are widely sent FQDN 73, paths limit
// 76 and link-local next hop 77. One of 71 and of the drafts that cannot be read is kept as unknown: no session is
// worth less for it.

import { assert } from '../../lib/assert.ts';
import { type ByteWriter, readU16, readU32 } from '../../lib/bytes.ts';
import { peerText } from './peer-text.ts';

export type Capability =
  | { readonly kind: 'multiprotocol'; readonly afi: number; readonly safi: number }
  | { readonly kind: 'routeRefresh' }
  | { readonly kind: 'extendedNextHop'; readonly entries: readonly ExtendedNextHopEntry[] }
  | { readonly kind: 'extendedMessage' }
  | { readonly kind: 'role'; readonly role: number }
  | GracefulRestartCapability
  | { readonly kind: 'asn4'; readonly asn: number }
  | { readonly kind: 'addPath'; readonly entries: readonly AddPathEntry[] }
  | { readonly kind: 'enhancedRouteRefresh' }
  | { readonly kind: 'fqdn'; readonly host: string; readonly domain: string }
  | LongLivedCapability
  | { readonly kind: 'pathsLimit'; readonly entries: readonly PathsLimitEntry[] }
  | { readonly kind: 'linkLocalNextHop' }
  | { readonly kind: 'unknown'; readonly code: number; readonly value: Uint8Array };

export interface ExtendedNextHopEntry {
  readonly afi: number;
  readonly safi: number;
  readonly nextHopAfi: number;
}

export interface AddPathEntry {
  readonly afi: number;
  readonly safi: number;
  /** 1 can receive, 2 can send, 3 both (RFC 7911 section 4). */
  readonly sendReceive: number;
}

export interface GracefulRestartCapability {
  readonly kind: 'gracefulRestart';
  /** R: the sender has restarted. */
  readonly restartState: boolean;
  /** N: NOTIFICATION is covered too (RFC 8538). */
  readonly notification: boolean;
  /** 0 to 4095. */
  readonly timeS: number;
  readonly families: readonly { readonly afi: number; readonly safi: number; readonly forwarding: boolean }[];
}

export interface LongLivedCapability {
  readonly kind: 'longLivedGracefulRestart';
  readonly families: readonly LongLivedEntry[];
}

export interface LongLivedEntry {
  readonly afi: number;
  readonly safi: number;
  readonly forwarding: boolean;
  /** 24 bits. */
  readonly staleTimeS: number;
}

export interface PathsLimitEntry {
  readonly afi: number;
  readonly safi: number;
  /** Paths of a prefix that the sender wants at most; 0 is void. */
  readonly limit: number;
}

const MULTIPROTOCOL = 1;
const ROUTE_REFRESH = 2;
const EXTENDED_NEXT_HOP = 5;
const EXTENDED_MESSAGE = 6;
const ROLE = 9;
const GRACEFUL_RESTART = 64;
const ASN4 = 65;
const ADD_PATH = 69;
const ENHANCED_ROUTE_REFRESH = 70;
const LONG_LIVED = 71;
const FQDN = 73;
const PATHS_LIMIT = 76;
const LINK_LOCAL_NEXT_HOP = 77;

/** Reads the value [start, end) of capability `code`; undefined when a known one is malformed. */
export function decodeCapability(
  code: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): Capability | undefined {
  const length = end - start;
  switch (code) {
    case MULTIPROTOCOL:
      if (length !== 4) return undefined;
      return { kind: 'multiprotocol', afi: readU16(bytes, start), safi: bytes[start + 3]! };
    case ROUTE_REFRESH:
      return length === 0 ? { kind: 'routeRefresh' } : undefined;
    case EXTENDED_NEXT_HOP:
      return length % 6 === 0
        ? { kind: 'extendedNextHop', entries: readExtendedNextHop(bytes, start, end) }
        : undefined;
    case EXTENDED_MESSAGE:
      return length === 0 ? { kind: 'extendedMessage' } : undefined;
    case ROLE:
      return length === 1 ? { kind: 'role', role: bytes[start]! } : undefined;
    case GRACEFUL_RESTART:
      return length % 4 === 2 ? readGracefulRestart(bytes, start, end) : undefined;
    case ASN4:
      return length === 4 ? { kind: 'asn4', asn: readU32(bytes, start) } : undefined;
    case ADD_PATH:
      return length % 4 === 0 ? { kind: 'addPath', entries: readAddPath(bytes, start, end) } : undefined;
    case ENHANCED_ROUTE_REFRESH:
      return length === 0 ? { kind: 'enhancedRouteRefresh' } : undefined;
    default:
      return (
        readForgiving(code, bytes, start, end) ?? { kind: 'unknown', code, value: bytes.slice(start, end) }
      );
  }
}

// The ones that are taken for unknown where they cannot be read.
function readForgiving(code: number, bytes: Uint8Array, start: number, end: number): Capability | undefined {
  const length = end - start;
  switch (code) {
    case LONG_LIVED:
      return length % 7 === 0 ? readLongLived(bytes, start, end) : undefined;
    case FQDN:
      return readFqdn(bytes, start, end);
    case PATHS_LIMIT:
      return length % 5 === 0 ? readPathsLimit(bytes, start, end) : undefined;
    case LINK_LOCAL_NEXT_HOP:
      return length === 0 ? { kind: 'linkLocalNextHop' } : undefined;
    default:
      return undefined;
  }
}

function readLongLived(bytes: Uint8Array, start: number, end: number): LongLivedCapability {
  const families: LongLivedEntry[] = [];
  for (let at = start; at < end; at += 7) {
    families.push({
      afi: readU16(bytes, at),
      safi: bytes[at + 2]!,
      forwarding: (bytes[at + 3]! & 0x80) !== 0,
      staleTimeS: (bytes[at + 4]! << 16) | readU16(bytes, at + 5),
    });
  }
  return { kind: 'longLivedGracefulRestart', families };
}

function readPathsLimit(bytes: Uint8Array, start: number, end: number): Capability {
  const entries: PathsLimitEntry[] = [];
  for (let at = start; at < end; at += 5)
    entries.push({ afi: readU16(bytes, at), safi: bytes[at + 2]!, limit: readU16(bytes, at + 3) });
  return { kind: 'pathsLimit', entries };
}

function readExtendedNextHop(bytes: Uint8Array, start: number, end: number): ExtendedNextHopEntry[] {
  const entries: ExtendedNextHopEntry[] = [];
  for (let at = start; at < end; at += 6) {
    // The SAFI has two octets here (RFC 8950 section 4), the first of them zero.
    entries.push({
      afi: readU16(bytes, at),
      safi: readU16(bytes, at + 2),
      nextHopAfi: readU16(bytes, at + 4),
    });
  }
  return entries;
}

function readAddPath(bytes: Uint8Array, start: number, end: number): AddPathEntry[] {
  const entries: AddPathEntry[] = [];
  for (let at = start; at < end; at += 4) {
    entries.push({ afi: readU16(bytes, at), safi: bytes[at + 2]!, sendReceive: bytes[at + 3]! });
  }
  return entries;
}

function readGracefulRestart(bytes: Uint8Array, start: number, end: number): GracefulRestartCapability {
  const first = readU16(bytes, start);
  const families: { afi: number; safi: number; forwarding: boolean }[] = [];
  for (let at = start + 2; at < end; at += 4) {
    families.push({
      afi: readU16(bytes, at),
      safi: bytes[at + 2]!,
      forwarding: (bytes[at + 3]! & 0x80) !== 0,
    });
  }
  return {
    kind: 'gracefulRestart',
    restartState: (first & 0x8000) !== 0,
    notification: (first & 0x4000) !== 0,
    timeS: first & 0x0fff,
    families,
  };
}

function readFqdn(bytes: Uint8Array, start: number, end: number): Capability | undefined {
  if (end - start < 2) return undefined;
  const hostEnd = start + 1 + bytes[start]!;
  if (hostEnd >= end) return undefined;
  const domainEnd = hostEnd + 1 + bytes[hostEnd]!;
  if (domainEnd !== end) return undefined;
  return {
    kind: 'fqdn',
    host: peerText(bytes, start + 1, hostEnd),
    domain: peerText(bytes, hostEnd + 1, domainEnd),
  };
}

/** Writes code, length and value. The caller keeps each list short enough for 255 bytes. */
export function encodeCapability(out: ByteWriter, capability: Capability): void {
  const codeAt = out.length;
  out.u16(0);
  // Not in one statement: the value may make the writer move to a greater buffer.
  const code = writeValue(out, capability);
  out.bytes[codeAt] = code;
  const length = out.length - codeAt - 2;
  assert(length <= 255, `capability ${code} of ${length} bytes`);
  out.bytes[codeAt + 1] = length;
}

// Writes the value and returns the capability's code.
function writeValue(out: ByteWriter, capability: Capability): number {
  switch (capability.kind) {
    case 'multiprotocol':
      out.u16(capability.afi).u8(0).u8(capability.safi);
      return MULTIPROTOCOL;
    case 'routeRefresh':
      return ROUTE_REFRESH;
    case 'extendedNextHop':
      for (const entry of capability.entries) out.u16(entry.afi).u16(entry.safi).u16(entry.nextHopAfi);
      return EXTENDED_NEXT_HOP;
    case 'extendedMessage':
      return EXTENDED_MESSAGE;
    case 'role':
      out.u8(capability.role);
      return ROLE;
    case 'gracefulRestart': {
      const flags = (capability.restartState ? 0x8000 : 0) | (capability.notification ? 0x4000 : 0);
      out.u16(flags | (capability.timeS & 0x0fff));
      for (const family of capability.families) {
        out
          .u16(family.afi)
          .u8(family.safi)
          .u8(family.forwarding ? 0x80 : 0);
      }
      return GRACEFUL_RESTART;
    }
    case 'asn4':
      out.u32(capability.asn);
      return ASN4;
    case 'addPath':
      for (const entry of capability.entries) out.u16(entry.afi).u8(entry.safi).u8(entry.sendReceive);
      return ADD_PATH;
    case 'enhancedRouteRefresh':
      return ENHANCED_ROUTE_REFRESH;
    case 'fqdn':
      writeText(out, capability.host);
      writeText(out, capability.domain);
      return FQDN;
    case 'longLivedGracefulRestart':
      for (const { afi, safi, forwarding, staleTimeS } of capability.families) {
        out
          .u16(afi)
          .u8(safi)
          .u8(forwarding ? 0x80 : 0)
          .u8(staleTimeS >>> 16)
          .u16(staleTimeS & 0xffff);
      }
      return LONG_LIVED;
    case 'pathsLimit':
      for (const { afi, safi, limit } of capability.entries) out.u16(afi).u8(safi).u16(limit);
      return PATHS_LIMIT;
    case 'linkLocalNextHop':
      return LINK_LOCAL_NEXT_HOP;
    case 'unknown':
      out.copy(capability.value);
      return capability.code;
  }
}

// Names are at most 64 bytes here, so that both fit a capability.
function writeText(out: ByteWriter, value: string): void {
  const utf8 = new TextEncoder().encode(value);
  const length = Math.min(utf8.length, 64);
  out.u8(length).copy(utf8, 0, length);
}
