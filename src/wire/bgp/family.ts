// Address families as small dense ids, so that sets of them are bit masks and tables of them are arrays. A family
// is a pair of AFI and SAFI (RFC 4760 section 5, IANA registries). Ids are never written to disk or to the wire.

export const IPV4 = 0;
export const IPV6 = 1;

export interface Family {
  readonly id: number;
  readonly name: 'ipv4' | 'ipv6';
  readonly afi: number;
  readonly safi: number;
  /** Bytes of an address of this family. */
  readonly addressLength: 4 | 16;
}

export const AFI_IPV4 = 1;
export const AFI_IPV6 = 2;
export const SAFI_UNICAST = 1;

/** Indexed by id. */
export const families: readonly Family[] = [
  { id: IPV4, name: 'ipv4', afi: AFI_IPV4, safi: SAFI_UNICAST, addressLength: 4 },
  { id: IPV6, name: 'ipv6', afi: AFI_IPV6, safi: SAFI_UNICAST, addressLength: 16 },
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
