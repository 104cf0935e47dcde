// Desired minus observed, as the changes that close the gap, in order: what is to be made or set first, what
// is to go last. Pure. Only what carries our mark (or what we remember to have made) is ever removed.

import { formatPrefix } from '../net/prefix.ts';
import { RTPROT_LEAFD } from '../netlink/message.ts';
import type { DesiredAddress, DesiredLink, DesiredObject, DesiredSysctl } from './desired.ts';

/** An address of `lo` as the kernel has it. */
export interface ObservedAddress {
  bytes: Uint8Array;
  length: number;
  protocol: number;
}

export interface SavedSysctl {
  path: string;
  before: string;
  /** What we wrote last. */
  now: string;
  /** Of the link when it was saved, or 0: another link of the same name has values of its own. */
  ifindex: number;
}

export interface Observed {
  loopbackUp: boolean;
  addresses: readonly ObservedAddress[];
  /** By path; undefined: not there (or not readable). */
  sysctls: ReadonlyMap<string, string | undefined>;
  /** What we changed, by key. */
  saved: ReadonlyMap<string, SavedSysctl>;
  /** Keys of addresses made by us on a kernel without IFA_PROTO. */
  remembered: ReadonlySet<string>;
}

export type KernelChange =
  | { kind: 'linkUp'; key: string; object: DesiredLink }
  | { kind: 'addressAdd'; key: string; object: DesiredAddress }
  | { kind: 'addressRemove'; key: string; address: ObservedAddress }
  | { kind: 'sysctlSet'; key: string; object: DesiredSysctl }
  | { kind: 'sysctlRestore'; key: string; saved: SavedSysctl };

/** The key of an address of `lo`. */
export function addressKey(bytes: Uint8Array, length: number): string {
  return `address lo ${formatPrefix(bytes, 0, bytes.length === 4 ? 4 : 16, length)}`;
}

export function delta(desired: readonly DesiredObject[], observed: Observed): KernelChange[] {
  const changes: KernelChange[] = [];
  const wanted = new Set<string>();
  const present = new Set(observed.addresses.map((a) => addressKey(a.bytes, a.length)));
  for (const object of desired) {
    wanted.add(object.key);
    if (object.kind === 'link') {
      if (!observed.loopbackUp) changes.push({ kind: 'linkUp', key: object.key, object });
    } else if (object.kind === 'address') {
      if (!present.has(object.key)) changes.push({ kind: 'addressAdd', key: object.key, object });
    } else {
      const value = observed.sysctls.get(object.path);
      if (value === object.value || (value !== undefined && object.accepts?.includes(value))) continue;
      changes.push({ kind: 'sysctlSet', key: object.key, object });
    }
  }
  for (const address of observed.addresses) {
    const key = addressKey(address.bytes, address.length);
    const ours = address.protocol === RTPROT_LEAFD || observed.remembered.has(key);
    if (ours && !wanted.has(key)) changes.push({ kind: 'addressRemove', key, address });
  }
  for (const [key, saved] of observed.saved) {
    if (!wanted.has(key)) changes.push({ kind: 'sysctlRestore', key, saved });
  }
  return changes;
}
