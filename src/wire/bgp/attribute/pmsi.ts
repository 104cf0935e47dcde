// PMSI_TUNNEL (RFC 6514 section 5; ingress replication in EVPN RFC 7432 section 11): flags, tunnel type, a label, and a
// tunnel identifier whose form the type decides. It is malformed when the type is undefined or the identifier cannot be
// read as one of its type; RFC 7606 then withdraws the routes, as they say where to send and it cannot be known where.

import { readU16 } from '../../../lib/bytes.ts';
import { hexText } from '../../../net/hex.ts';
import { formatIp } from '../../../net/ip.ts';
import { readLabel, readVni } from '../../../net/label.ts';
import { type Fault, OPTIONAL_ATTRIBUTE_ERROR, updateFault } from '../fault.ts';
import { PMSI_TUNNEL } from './code.ts';

const NO_TUNNEL = 0;
const INGRESS_REPLICATION = 6;
const ASSISTED_REPLICATION = 10;
/** Flags, type and label. */
const FIXED = 5;

/** By tunnel type (IANA "P-Multicast Service Interface Tunnel Types"). */
const pmsiTunnelNames: readonly (string | undefined)[] = [
  'none',
  'rsvpTeP2mp',
  'mldpP2mp',
  'pimSsm',
  'pimSm',
  'bidirPim',
  'ingressReplication',
  'mldpMp2mp',
  'transport',
  undefined,
  'assistedReplication',
  'bier',
  'srMplsP2mp',
  'srv6P2mp',
];

const tooShort = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'withdraw',
  'PMSI_TUNNEL is shorter than 5 bytes',
  PMSI_TUNNEL,
);
const undefinedType = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'withdraw',
  'PMSI_TUNNEL has an undefined tunnel type',
  PMSI_TUNNEL,
);
const badIdentifier = updateFault(
  OPTIONAL_ATTRIBUTE_ERROR,
  'withdraw',
  'PMSI_TUNNEL identifier is none of its tunnel type',
  PMSI_TUNNEL,
);

/** RFC 6514 section 5. */
export function checkPmsi(bytes: Uint8Array, start: number, end: number): Fault | undefined {
  if (end - start < FIXED) return tooShort;
  const type = bytes[start + 1]!;
  if (!definedType(type)) return undefinedType;
  return validIdentifier(type, bytes, start + FIXED, end) ? undefined : badIdentifier;
}

// RFC 7385: 0x7b to 0x7e are for experiments; RFC 8317 section 3.3: with the high bit, composite of the type below.
function definedType(type: number): boolean {
  const base = type & 0x7f;
  return pmsiTunnelNames[base] !== undefined || (base >= 0x7b && base < 0x7f);
}

function validIdentifier(type: number, bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  switch (type) {
    case NO_TUNNEL:
      return length === 0;
    case 1: // extended tunnel id, two reserved bytes, tunnel id, P2MP id (RFC 4875 section 19.1)
      return length === 12 || length === 24;
    case 2:
    case 7:
      return validMldp(bytes, start, end);
    case 3:
    case 4:
    case 5: // sender and group
      return length === 8 || length === 32;
    case INGRESS_REPLICATION:
    case ASSISTED_REPLICATION:
      return length === 4 || length === 16;
    case 11: // sub-domain, BFR-id, BFR-prefix (RFC 8556 section 2.1)
      return length === 7 || length === 19;
    default:
      return true;
  }
}

// An mLDP FEC element (RFC 6388 section 2.2): type, address family, address length, root, opaque length, opaque.
function validMldp(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 6) return false;
  const family = readU16(bytes, start + 1);
  const addressLength = bytes[start + 3]!;
  if ((family !== 1 || addressLength !== 4) && (family !== 2 || addressLength !== 16)) return false;
  const opaque = start + 4 + addressLength;
  return opaque + 2 <= end && opaque + 2 + readU16(bytes, opaque) === end;
}

export interface PmsiView {
  readonly flags: number;
  readonly tunnelType: number;
  readonly tunnelTypeName?: string;
  /** The 24 bits of the label field, and the 20 bits of it that are an MPLS label. */
  readonly vni: number;
  readonly label?: number;
  /** The tunnel end of ingress and assisted replication. */
  readonly endpoint?: string;
  /** The identifier of other types. */
  readonly hex?: string;
}

/** A valid value as an object. */
export function describePmsi(bytes: Uint8Array, start: number, end: number): PmsiView {
  const tunnelType = bytes[start + 1]!;
  const name = pmsiTunnelNames[tunnelType];
  const identifier = start + FIXED;
  const replication = tunnelType === INGRESS_REPLICATION || tunnelType === ASSISTED_REPLICATION;
  return {
    flags: bytes[start]!,
    tunnelType,
    ...(name === undefined ? {} : { tunnelTypeName: name }),
    vni: readVni(bytes, start + 2),
    label: readLabel(bytes, start + 2),
    ...(replication ? { endpoint: formatIp(bytes, identifier, end - identifier) } : {}),
    ...(!replication && end > identifier ? { hex: hexText(bytes, identifier, end) } : {}),
  };
}

/** `ingressReplication 10.0.0.1 vni 100`. */
export function pmsiText(bytes: Uint8Array, start: number, end: number): string {
  const view = describePmsi(bytes, start, end);
  const tunnel = view.tunnelTypeName ?? `type ${view.tunnelType}`;
  const identifier = view.endpoint ?? view.hex;
  return `${tunnel}${identifier === undefined ? '' : ` ${identifier}`} vni ${view.vni}`;
}
