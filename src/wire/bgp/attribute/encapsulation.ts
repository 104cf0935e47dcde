// Tunnel Encapsulation (RFC 9012): TLVs, one a tunnel, each of sub-TLVs. Section 13 says what is malformed and what
// happens then:
//   - lengths that do not fit each other, or no TLV at all: treat-as-withdraw
//   - a TLV without exactly one well-formed Tunnel Egress Endpoint is ignored and must not be passed on, where the
//     family is one of section 6; when none is left: treat-as-withdraw
//   - unknown tunnels and sub-TLVs, repeated and other malformed sub-TLVs: no fault, passed on as they came

import { ByteWriter, readU16 } from '../../../lib/bytes.ts';
import { formatTunnelType } from '../../../net/extended-community.ts';
import { hexText } from '../../../net/hex.ts';
import { formatIp, isLinkLocal6, isLoopback6, isUnspecified } from '../../../net/ip.ts';
import { EVPN, IPV4, IPV6, VPNV4, VPNV6 } from '../family.ts';
import { type Fault, OPTIONAL_ATTRIBUTE_ERROR, updateFault } from '../fault.ts';
import { TUNNEL_ENCAPSULATION } from './code.ts';

const TLV_HEADER = 4;
const ENDPOINT = 6;
/** Families whose tunnels must say where they end (section 6). */
const ENDPOINT_FAMILIES = (1 << IPV4) | (1 << IPV6) | (1 << VPNV4) | (1 << VPNV6) | (1 << EVPN);

const broken = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'withdraw',
  'TUNNEL_ENCAPSULATION lengths do not fit each other',
  TUNNEL_ENCAPSULATION,
);
const empty = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'withdraw',
  'TUNNEL_ENCAPSULATION has no valid TLV',
  TUNNEL_ENCAPSULATION,
);
const tlvIgnored = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'discard',
  'TUNNEL_ENCAPSULATION TLV without a valid tunnel egress endpoint is removed',
  TUNNEL_ENCAPSULATION,
);

// Header bytes of a sub-TLV: types from 128 have a length of two bytes.
const subHeader = (type: number): number => (type < 128 ? 2 : 3);
const subLength = (bytes: Uint8Array, at: number): number =>
  bytes[at]! < 128 ? bytes[at + 1]! : readU16(bytes, at + 1);

/** The lengths, section 13. */
export function checkEncapsulation(bytes: Uint8Array, start: number, end: number): Fault | undefined {
  if (start === end) return empty;
  for (let at = start; at < end; ) {
    if (end - at < TLV_HEADER) return broken;
    const next = at + TLV_HEADER + readU16(bytes, at + 2);
    if (next > end) return broken;
    for (let sub = at + TLV_HEADER; sub < next; ) {
      const header = subHeader(bytes[sub]!);
      if (sub + header > next) return broken;
      sub += header + subLength(bytes, sub);
      if (sub > next) return broken;
    }
    at = next;
  }
  return undefined;
}

// Section 3.1: of the address family's length, and an address that packets can be sent to. Family 0 is the next hop.
function validEndpoint(bytes: Uint8Array, value: number, length: number): boolean {
  if (length < 6) return false;
  const family = readU16(bytes, value + 4);
  const address = value + 6;
  if (family === 0) return length === 6;
  if (family === 1) {
    const first = bytes[address]!;
    const linkLocal = first === 169 && bytes[address + 1] === 254;
    return length === 10 && first !== 0 && first !== 127 && first < 240 && !linkLocal;
  }
  if (family !== 2 || length !== 22) return false;
  return !isUnspecified(bytes, address, 16) && !isLoopback6(bytes, address) && !isLinkLocal6(bytes, address);
}

function endsSomewhere(bytes: Uint8Array, from: number, to: number): boolean {
  let endpoints = 0;
  for (let at = from; at < to; ) {
    const value = at + subHeader(bytes[at]!);
    const length = subLength(bytes, at);
    if (bytes[at] === ENDPOINT) {
      endpoints++;
      if (!validEndpoint(bytes, value, length)) return false;
    }
    at = value + length;
  }
  return endpoints === 1;
}

/**
 * What is left of a value that `checkEncapsulation` accepted, for routes of the families in the mask: undefined when
 * that is all of it, else the fault and the value without the TLVs that must be removed.
 */
export function repairEncapsulation(
  bytes: Uint8Array,
  start: number,
  end: number,
  families: number,
): { fault: Fault; value: Uint8Array } | undefined {
  if ((families & ENDPOINT_FAMILIES) === 0) return undefined;
  let kept: ByteWriter | undefined;
  for (let at = start; at < end; ) {
    const next = at + TLV_HEADER + readU16(bytes, at + 2);
    if (endsSomewhere(bytes, at + TLV_HEADER, next)) kept?.copy(bytes, at, next);
    else kept ??= new ByteWriter(64).copy(bytes, start, at);
    at = next;
  }
  if (kept === undefined) return undefined;
  return { fault: kept.length === 0 ? empty : tlvIgnored, value: kept.take() };
}

const subNames: Readonly<Record<number, string>> = {
  1: 'encapsulation',
  2: 'protocolType',
  4: 'color',
  6: 'egressEndpoint',
  7: 'ds',
  8: 'udpDestinationPort',
  9: 'embeddedLabelHandling',
  10: 'mplsLabelStack',
  11: 'prefixSid',
  12: 'preference',
  13: 'bindingSid',
  128: 'segmentList',
  129: 'policyCandidatePathName',
  130: 'policyName',
};

export interface TunnelView {
  /** Tunnel type, its name or number in words. */
  readonly type: number;
  readonly typeName?: string;
  /** Address of a valid egress endpoint. */
  readonly endpoint?: string;
  readonly subTlvs: readonly { readonly type: number; readonly name?: string; readonly hex: string }[];
}

/** A valid value as objects, one a tunnel. */
export function describeEncapsulation(bytes: Uint8Array, start: number, end: number): TunnelView[] {
  const tunnels: TunnelView[] = [];
  for (let at = start; at < end; ) {
    const type = readU16(bytes, at);
    const next = at + TLV_HEADER + readU16(bytes, at + 2);
    const subTlvs: { type: number; name?: string; hex: string }[] = [];
    let endpoint: string | undefined;
    for (let sub = at + TLV_HEADER; sub < next; ) {
      const value = sub + subHeader(bytes[sub]!);
      const length = subLength(bytes, sub);
      const name = subNames[bytes[sub]!];
      const hex = hexText(bytes, value, value + length);
      subTlvs.push(name === undefined ? { type: bytes[sub]!, hex } : { type: bytes[sub]!, name, hex });
      if (bytes[sub] === ENDPOINT && length > 6 && validEndpoint(bytes, value, length)) {
        endpoint = formatIp(bytes, value + 6, length - 6);
      }
      sub = value + length;
    }
    const typeName = formatTunnelType(type);
    tunnels.push({ type, typeName, ...(endpoint === undefined ? {} : { endpoint }), subTlvs });
    at = next;
  }
  return tunnels;
}

/** `vxlan 10.0.0.1, gre`. */
export function encapsulationText(bytes: Uint8Array, start: number, end: number): string {
  return describeEncapsulation(bytes, start, end)
    .map(({ typeName, endpoint }) => (endpoint === undefined ? typeName : `${typeName} ${endpoint}`))
    .join(', ');
}
