// Address families as small dense ids, so that sets of them are bit masks and tables of them are arrays. A family
// is a pair of AFI and SAFI (RFC 4760 section 5, IANA registries). Ids are never written to disk or to the wire.

export const IPV4 = 0;
export const IPV6 = 1;
export const VPNV4 = 2;
export const VPNV6 = 3;
export const EVPN = 4;
export const RTC = 5;
export const FLOWSPEC4 = 6;
export const FLOWSPEC6 = 7;
export const FLOWSPEC_VPN4 = 8;
export const FLOWSPEC_VPN6 = 9;

export type FamilyName =
  | 'ipv4'
  | 'ipv6'
  | 'vpnv4'
  | 'vpnv6'
  | 'evpn'
  | 'rtc'
  | 'flowspec4'
  | 'flowspec6'
  | 'flowspecVpn4'
  | 'flowspecVpn6';

export interface Family {
  readonly id: number;
  readonly name: FamilyName;
  readonly afi: number;
  readonly safi: number;
  /** Bytes of an address of the AFI; 0 where the AFI has none. */
  readonly addressLength: 0 | 4 | 16;
  /** `prefix`: the NLRI is an IP prefix and nothing else; `opaque`: a key of bytes and the rest (nlri/opaque.ts). */
  readonly form: 'prefix' | 'opaque';
}

export const AFI_IPV4 = 1;
export const AFI_IPV6 = 2;
export const AFI_L2VPN = 25;
export const SAFI_UNICAST = 1;
export const SAFI_EVPN = 70;
export const SAFI_MPLS_VPN = 128;
export const SAFI_RT_CONSTRAINT = 132;
export const SAFI_FLOWSPEC = 133;
export const SAFI_FLOWSPEC_VPN = 134;

const prefix = 'prefix' as const;
const opaque = 'opaque' as const;

/** Indexed by id. */
export const families: readonly Family[] = [
  { id: IPV4, name: 'ipv4', afi: AFI_IPV4, safi: SAFI_UNICAST, addressLength: 4, form: prefix },
  { id: IPV6, name: 'ipv6', afi: AFI_IPV6, safi: SAFI_UNICAST, addressLength: 16, form: prefix },
  { id: VPNV4, name: 'vpnv4', afi: AFI_IPV4, safi: SAFI_MPLS_VPN, addressLength: 4, form: opaque },
  { id: VPNV6, name: 'vpnv6', afi: AFI_IPV6, safi: SAFI_MPLS_VPN, addressLength: 16, form: opaque },
  { id: EVPN, name: 'evpn', afi: AFI_L2VPN, safi: SAFI_EVPN, addressLength: 0, form: opaque },
  { id: RTC, name: 'rtc', afi: AFI_IPV4, safi: SAFI_RT_CONSTRAINT, addressLength: 4, form: opaque },
  { id: FLOWSPEC4, name: 'flowspec4', afi: AFI_IPV4, safi: SAFI_FLOWSPEC, addressLength: 4, form: opaque },
  { id: FLOWSPEC6, name: 'flowspec6', afi: AFI_IPV6, safi: SAFI_FLOWSPEC, addressLength: 16, form: opaque },
  {
    id: FLOWSPEC_VPN4,
    name: 'flowspecVpn4',
    afi: AFI_IPV4,
    safi: SAFI_FLOWSPEC_VPN,
    addressLength: 4,
    form: opaque,
  },
  {
    id: FLOWSPEC_VPN6,
    name: 'flowspecVpn6',
    afi: AFI_IPV6,
    safi: SAFI_FLOWSPEC_VPN,
    addressLength: 16,
    form: opaque,
  },
];

/** The id for an AFI and SAFI, or -1 when we do not know the pair. */
export function familyOf(afi: number, safi: number): number {
  for (let id = 0; id < families.length; id++) {
    const family = families[id]!;
    if (family.afi === afi && family.safi === safi) return id;
  }
  return -1;
}

/** The id for a name such as `ipv4`, or -1. */
export function familyByName(name: string): number {
  return families.findIndex((family) => family.name === name);
}

/** The mask of a list of family ids. */
export function familyMask(ids: Iterable<number>): number {
  let mask = 0;
  for (const id of ids) mask |= 1 << id;
  return mask;
}

/** The ids in a mask, ascending. */
export function familiesIn(mask: number): number[] {
  const ids: number[] = [];
  for (let id = 0; id < families.length; id++) if ((mask & (1 << id)) !== 0) ids.push(id);
  return ids;
}
