// Steps that bring links and addresses of passthrough to what is wanted, and what is seen of them: what veth-desired.ts
// and uplink-desired.ts decide with, and link-write.ts carries out. Pure. A step belongs to an object by its key; an
// object without a step is as it should be.

import type { InterfaceAddress } from '../intent/passthrough.ts';
import { prefixOf, prefixText, samePrefix } from '../net/prefix.ts';
import { IFA_F_NODAD, IFA_F_SECONDARY, type LinkAddress } from '../netlink/address.ts';
import type { Link, LinkChange } from '../netlink/link.ts';
import type { LinkOnTop } from '../netlink/link-create.ts';
import { RTPROT_LEAFD } from '../netlink/message.ts';

const AF_INET = 2;
const AF_INET6 = 10;

/** `home` is the host's namespace. */
export type SideName = 'home' | 'router';

/** Links and addresses of a namespace at one time. */
export interface Seen {
  links: readonly Link[];
  addresses: readonly LinkAddress[];
}

export type BothSides = Readonly<Record<SideName, Seen>>;

export interface LinkObject {
  key: string;
  kind: 'veth' | 'uplink' | 'address' | 'link';
}

export type LinkStep = { key: string } & (
  | { kind: 'set'; side: SideName; change: LinkChange }
  | { kind: 'delete'; side: SideName; ifindex: number }
  | { kind: 'addressAdd'; side: SideName; name: string; address: LinkAddress; spare?: true }
  | { kind: 'addressRemove'; side: SideName; name: string; address: LinkAddress }
  | { kind: 'vethAdd'; name: string; peer: string; mtu: number | undefined; alias: string }
  | { kind: 'uplinkAdd'; link: Omit<LinkOnTop, 'netnsFd'>; vlan: number | undefined; alias: string }
  /** Cannot be now: told, and looked at again when something changes. */
  | { kind: 'refused'; errno: string; text: string }
  | { kind: 'pending'; text: string }
);

export interface LinkWish {
  objects: LinkObject[];
  steps: LinkStep[];
}

/** What is known beside what is seen. */
export interface LinkMemory {
  /** Names of links in the making, which may be there without their mark. */
  making: ReadonlySet<string>;
  /** Addresses of ours, by `addressMemory`, on a kernel that does not mark them. */
  addresses: ReadonlySet<string>;
}

export function linkNamed(seen: Seen, name: string): Link | undefined {
  return seen.links.find((link) => link.name === name);
}

/** Whether leafd made a link of this name; `alias` is the mark it was given. */
export function isOurs(link: Link, kind: string, alias: string, memory: LinkMemory): boolean {
  if (link.kind !== kind) return false;
  return link.alias === alias || (link.alias === '' && memory.making.has(link.name));
}

/** The alias, MAC and MTU of a link, then up: in one message, and only what differs. */
export function settingStep(
  key: string,
  side: SideName,
  link: Link,
  wanted: { alias?: string; mac?: Uint8Array; mtu?: number },
): LinkStep[] {
  const { alias, mac, mtu } = wanted;
  const change: LinkChange = { ifindex: link.ifindex };
  if (alias !== undefined && link.alias !== alias) change.alias = alias;
  if (mac !== undefined && !same(link.mac, mac)) change.mac = mac;
  if (mtu !== undefined && link.mtu !== mtu) change.mtu = mtu;
  if (!link.up) change.up = true;
  return Object.keys(change).length > 1 ? [{ key, kind: 'set', side, change }] : [];
}

/**
 * Addresses that are wanted of a link, and which of ours are not. What others put there is theirs. Of IPv6 each but the
 * first may be spare: the kernel takes it as a source for those only who ask for it, instead of the youngest of all.
 */
export function addressSteps(
  side: SideName,
  link: Link,
  wanted: readonly InterfaceAddress[],
  seen: Seen,
  memory: LinkMemory,
  spareOthers = false,
): LinkWish {
  const wish: LinkWish = { objects: [], steps: [] };
  const first = wanted.find(({ bytes }) => bytes.length === 16);
  const present = seen.addresses.filter(({ ifindex }) => ifindex === link.ifindex);
  const keys = new Set<string>();
  for (const { bytes, prefixLength } of wanted) {
    const key = addressKey(link.name, bytes, prefixLength);
    if (keys.has(key)) continue;
    keys.add(key);
    wish.objects.push({ key, kind: 'address' });
    if (present.some((a) => a.prefixLength === prefixLength && same(a.bytes, bytes))) continue;
    const address = ours(link.ifindex, bytes, prefixLength);
    const spare = spareOthers && bytes.length === 16 && bytes !== first?.bytes;
    wish.steps.push({ key, kind: 'addressAdd', side, name: link.name, address, ...(spare && { spare }) });
  }
  for (const address of present) {
    const key = addressKey(link.name, address.bytes, address.prefixLength);
    const isMarked = address.protocol === RTPROT_LEAFD;
    if (keys.has(key) || !(isMarked || memory.addresses.has(addressMemory(side, key)))) continue;
    wish.steps.push({ key, kind: 'addressRemove', side, name: link.name, address });
  }
  wish.steps.push(...orderSteps(side, link, wanted, present));
  return wish;
}

/**
 * The first address is the one that the kernel speaks from; when it was away another took its place for good (with
 * promote_secondaries), and a speaker would be taken for its neighbour. That one goes, to come back behind the first.
 */
function orderSteps(
  side: SideName,
  link: Link,
  wanted: readonly InterfaceAddress[],
  present: readonly LinkAddress[],
): LinkStep[] {
  const [first, ...others] = wanted.filter(({ bytes }) => bytes.length === 4);
  const seen = (one: InterfaceAddress | undefined): LinkAddress | undefined =>
    one && present.find((a) => a.prefixLength === one.prefixLength && same(a.bytes, one.bytes));
  const behind = seen(first);
  if (behind === undefined || (behind.flags & IFA_F_SECONDARY) === 0) return [];
  const network = prefixOf(behind.bytes, behind.prefixLength);
  return others.flatMap((other): LinkStep[] => {
    const address = seen(other);
    if (address === undefined || (address.flags & IFA_F_SECONDARY) !== 0) return [];
    if (!samePrefix(prefixOf(address.bytes, address.prefixLength), network)) return [];
    const key = addressKey(link.name, address.bytes, address.prefixLength);
    return [{ key, kind: 'addressRemove', side, name: link.name, address }];
  });
}

/** As the status shows it. */
export function addressKey(link: string, bytes: Uint8Array, prefixLength: number): string {
  return `address ${link} ${addressText({ bytes, prefixLength })}`;
}

/** How an address is remembered; its key says link and address. */
export function addressMemory(side: SideName, key: string): string {
  return `${side} ${key.slice('address '.length)}`;
}

export function addressText({ bytes, prefixLength }: InterfaceAddress): string {
  return prefixText({ bytes, length: prefixLength });
}

/** Usable at once: nobody else is asked whether he has it. */
function ours(ifindex: number, bytes: Uint8Array, prefixLength: number): LinkAddress {
  const four = bytes.length === 4;
  return {
    ifindex,
    family: four ? AF_INET : AF_INET6,
    bytes,
    prefixLength,
    scope: 0,
    flags: four ? 0 : IFA_F_NODAD,
    tentative: false,
    protocol: RTPROT_LEAFD,
  };
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
