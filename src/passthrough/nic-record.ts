// What a NIC was in the host's namespace before leafd took it away, as it is kept on disk: everything that the kernel
// forgets when a link changes its namespace. Written before the first change, read after a crash or by a later leafd.
// Pure: the shapes, and between them and the kernel's. Which file, and when, is nic-mover.ts.

import {
  FOREVER,
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  IFA_F_SECONDARY,
  IFA_F_TENTATIVE,
  type WholeAddress,
} from '../netlink/address.ts';
import type { Link } from '../netlink/link.ts';
import { hex } from '../netlink/message.ts';
import type { Neighbour } from '../netlink/neighbour.ts';
import { bytesOfHex } from '../netlink/whole-route.ts';
import type { SavedRoute } from './nic-routes.ts';

/** In the state directory. */
export const NIC_RECORDS_FILE = 'passthrough-nics.json';
export const NIC_RECORDS_SCHEMA = 1;
/** Link group of NICs that were taken into a router namespace: OpenPERouter's mark, and so leafd's. */
export const MOVED_GROUP = 4242;

const AF_INET6 = 10;
const IFA_F_MANAGETEMPADDR = 0x100;

/** An address; bytes are hexadecimal. */
export interface SavedAddress {
  family: number;
  bytes: string;
  prefixLength: number;
  scope: number;
  flags: number;
  protocol: number;
  peer?: string;
  label?: string;
  broadcast?: string;
  priority?: number;
  preferredS: number;
  validS: number;
}

/** A neighbour that somebody entered: permanent, or answered for by proxy. Bytes are hexadecimal. */
export interface SavedNeighbour {
  family: number;
  address: string;
  mac: string;
  state: number;
  flags: number;
  protocol: number;
}

export interface NicRecord {
  name: string;
  kind: string;
  /** Hexadecimal, as all MACs here; absent where the hardware has none. */
  permanentMac?: string;
  mac: string;
  up: boolean;
  mtu: number;
  group: number;
  alias: string;
  /** Name of the bridge, bond or VRF that it is part of. */
  master?: string;
  addresses: readonly SavedAddress[];
  routes: readonly SavedRoute[];
  neighbours: readonly SavedNeighbour[];
  /** Path below /proc/sys and value. */
  sysctls: Readonly<Record<string, string>>;
  /** The kernel's life in which it was written. */
  bootId: string;
  savedAt: string;
  /** When it was inside with all it needs; absent while it is on its way. */
  movedAt?: string;
  /** It was in the router namespace already: what it was at home nobody knows. */
  adopted?: true;
}

export type NicRecords = Map<string, NicRecord>;

/** The records out of the file's data; throws what says where it is not what leafd writes. */
export function decodeRecords(data: Record<string, unknown>): NicRecords {
  const records: NicRecords = new Map();
  // A file that tells of no NIC is removed: what is not a map must not pass for an empty one.
  if (!isMap(data.nics)) throw new Error('there are no records');
  for (const [name, value] of Object.entries(data.nics as Record<string, NicRecord>)) {
    const lists = [value.addresses, value.routes, value.neighbours];
    const isWhole = value.name === name && typeof value.mac === 'string' && isMap(value.sysctls);
    if (!isWhole || !lists.every((list) => Array.isArray(list) && list.every(isMap)))
      throw new Error(`the record of ${name} is not whole`);
    records.set(name, value);
  }
  return records;
}

const isMap = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function encodeRecords(records: NicRecords): string {
  const data = { schema: NIC_RECORDS_SCHEMA, nics: Object.fromEntries(records) };
  return `${JSON.stringify(data, null, 1)}\n`;
}

/** The address as it is kept; a temporary one of IPv6 is not, the kernel makes others. */
export function saveAddress(address: WholeAddress): SavedAddress | undefined {
  if (address.family === AF_INET6 && (address.flags & IFA_F_SECONDARY) !== 0) return undefined;
  const { family, prefixLength, scope, flags, protocol, label, priority, preferredS, validS } = address;
  return {
    family,
    bytes: hex(address.bytes),
    prefixLength,
    scope,
    flags: flags & ~(IFA_F_TENTATIVE | IFA_F_DADFAILED),
    protocol,
    ...(address.peer && { peer: hex(address.peer) }),
    ...(label !== undefined && { label }),
    ...(address.broadcast && { broadcast: hex(address.broadcast) }),
    ...(priority !== undefined && { priority }),
    preferredS,
    validS,
  };
}

/** What tells addresses of one link apart. */
export function addressKey(address: SavedAddress): string {
  return `${address.family} ${address.bytes}/${address.prefixLength} ${address.peer ?? ''}`;
}

/** The address as the kernel is told it, on a link. */
export function addressOn(address: SavedAddress, ifindex: number): WholeAddress {
  const { peer, broadcast, bytes, ...rest } = address;
  return {
    ...rest,
    ifindex,
    bytes: bytesOfHex(bytes),
    tentative: false,
    ...(peer !== undefined && { peer: bytesOfHex(peer) }),
    ...(broadcast !== undefined && { broadcast: bytesOfHex(broadcast) }),
  };
}

/**
 * The address as it is in the router namespace: there nobody renews its lifetime, makes its prefix's route, or
 * temporary addresses beside it.
 */
export function insideForm(address: SavedAddress): SavedAddress {
  const deprecated = (address.flags & IFA_F_DEPRECATED) !== 0 && address.preferredS === 0;
  const flags = address.flags & ~(IFA_F_NOPREFIXROUTE | IFA_F_MANAGETEMPADDR | IFA_F_DEPRECATED);
  return { ...address, flags, preferredS: deprecated ? 0 : FOREVER, validS: FOREVER };
}

/**
 * IPv6 would not use an address for a second, nor take routes with it as their source, while it looks for duplicates.
 * The link had the address a moment ago, so it is added without the search; then the flag that says so is taken off.
 */
export function addedAtOnce(address: SavedAddress): SavedAddress {
  return address.family === AF_INET6 ? { ...address, flags: address.flags | IFA_F_NODAD } : address;
}

/** Whether the flag of `addedAtOnce` is still to be taken off. */
export function isHalfAdded(present: SavedAddress, wanted: SavedAddress): boolean {
  return present.family === AF_INET6 && (present.flags & ~wanted.flags & IFA_F_NODAD) !== 0;
}

export function isLinkLocal(address: SavedAddress): boolean {
  return address.family === AF_INET6 ? /^fe[89ab]/.test(address.bytes) : address.bytes.startsWith('a9fe');
}

/** Addresses that are more than link-local: what a NIC has lost when it has none of them. */
export function realAddresses(addresses: readonly SavedAddress[] | undefined): number {
  return addresses?.filter((address) => !isLinkLocal(address)).length ?? 0;
}

export function saveNeighbour(neighbour: Neighbour): SavedNeighbour {
  const { family, state, flags, protocol } = neighbour;
  return { family, state, flags, protocol, address: hex(neighbour.address), mac: hex(neighbour.mac) };
}

export function neighbourOn(neighbour: SavedNeighbour, ifindex: number): Neighbour {
  const { address, mac, ...rest } = neighbour;
  return { ...rest, ifindex, address: bytesOfHex(address), mac: bytesOfHex(mac) };
}

/** What a link is by itself. OpenPERouter's mark on it is nobody's wish. */
export function saveLink(
  link: Link,
): Pick<NicRecord, 'kind' | 'permanentMac' | 'mac' | 'up' | 'mtu' | 'group' | 'alias'> {
  return {
    kind: link.kind,
    ...(link.permanentMac && { permanentMac: hex(link.permanentMac) }),
    mac: hex(link.mac),
    up: link.up,
    mtu: link.mtu,
    group: link.group === MOVED_GROUP ? 0 : link.group,
    alias: link.alias,
  };
}
