// A NIC in the router namespace: it gets its name, MTU, mark and addresses there, and gets them back when it has lost
// them. What somebody added by hand inside stays.

import { encodeWholeAddressAdd } from '../netlink/address.ts';
import type { Link, LinkChange } from '../netlink/link.ts';
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../netlink/message.ts';
import type { Fault } from './fault.ts';
import type { NicKernel } from './nic-kernel.ts';
import {
  addedAtOnce,
  addressKey,
  addressOn,
  insideForm,
  isHalfAdded,
  isLinkLocal,
  MOVED_GROUP,
  type NicRecord,
  type SavedAddress,
  saveLink,
} from './nic-record.ts';

export interface Settled {
  fault: Fault | undefined;
  /** Something was to be written. */
  changed: boolean;
}

/** Makes the NIC inside what it shall be. `mtu`: the operator's, else its own. */
export function settleInside(
  router: NicKernel,
  record: NicRecord,
  link: Link,
  mtu: number,
  onStep: (step: 'up' | 'addresses') => void,
): Settled {
  if (record.addresses.some(isIp6)) allowIp6(router, link.name);
  if (!link.up) putLinkLocals(router, link.ifindex, record.addresses.map(insideForm));
  const change = linkChange(record, link, mtu);
  const fault = change && setRenamed(router, link, change);
  if (fault) return { fault, changed: true };
  if (change) onStep('up');
  const put = putAddresses(router, link.ifindex, record.addresses.map(insideForm));
  if (put.changed) onStep('addresses');
  return { fault: put.fault, changed: change !== undefined || put.changed };
}

const AF_INET6 = 10;

function linkChange(record: NicRecord, link: Link, mtu: number): LinkChange | undefined {
  const change: LinkChange = { ifindex: link.ifindex };
  if (link.name !== record.name) change.name = record.name;
  if (link.mtu !== mtu) change.mtu = mtu;
  if (link.group !== MOVED_GROUP) change.group = MOVED_GROUP;
  if (!link.up) change.up = true;
  return Object.keys(change).length > 1 ? change : undefined;
}

// Before Linux 6.2 a link that is up keeps its name.
function setRenamed(router: NicKernel, link: Link, change: LinkChange): Fault | undefined {
  const fault = router.setLink(change);
  if (fault?.errno !== 'EBUSY' || change.name === undefined || !link.up) return fault;
  return router.setLink({ ifindex: link.ifindex, up: false }) ?? router.setLink({ ...change, up: true });
}

// The namespace's default may be off; this NIC has addresses of IPv6.
function allowIp6(router: NicKernel, name: string): void {
  router.setSettings({ [`net/ipv6/conf/${name}/disable_ipv6`]: '0' });
}

/**
 * Gives a link that is down its IPv6 link-local addresses. The kernel makes one by itself as soon as the link is up,
 * and looks for duplicates of it for a second or two, in which no session can begin; one that is there it leaves alone.
 */
export function putLinkLocals(kernel: NicKernel, ifindex: number, wanted: readonly SavedAddress[]): void {
  const there = new Set(kernel.addresses().get(ifindex)?.map(addressKey));
  const missing = inOrder(wanted).filter(
    (one) => isIp6(one) && isLinkLocal(one) && !there.has(addressKey(one)),
  );
  kernel.write(missing, (writer, seq, address) =>
    encodeWholeAddressAdd(writer, seq, NLM_F_CREATE | NLM_F_EXCL, addressOn(addedAtOnce(address), ifindex)),
  );
}

/** Adds the addresses that are not there. */
export function putAddresses(kernel: NicKernel, ifindex: number, saved: readonly SavedAddress[]): Settled {
  const wanted = inOrder(saved);
  const list = kernel.addresses().get(ifindex) ?? [];
  const present = new Map(list.map((address) => [addressKey(address), address]));
  const missing = wanted.filter((address) => !present.has(addressKey(address)));
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  const refused = kernel
    .write(missing, (writer, seq, address) =>
      encodeWholeAddressAdd(writer, seq, flags, addressOn(addedAtOnce(address), ifindex)),
    )
    .filter(({ fault }) => fault.errno !== 'EEXIST');
  const half = wanted.filter((address) => {
    const there = present.get(addressKey(address)) ?? addedAtOnce(address);
    return isHalfAdded(there, address) && !refused.some(({ item }) => item === address);
  });
  const unfinished = kernel.write(half, (writer, seq, address) =>
    encodeWholeAddressAdd(writer, seq, NLM_F_REPLACE, addressOn(address, ifindex)),
  );
  const fault = refused[0]?.fault ?? unfinished[0]?.fault;
  return { fault, changed: missing.length > 0 || half.length > 0 };
}

const isIp6 = (address: SavedAddress): boolean => address.family === AF_INET6;

/**
 * The order of adding that makes the kernel tell them as before: of IPv4 the first of a prefix is the primary one, of
 * IPv6 the last one added comes first.
 */
function inOrder(saved: readonly SavedAddress[]): SavedAddress[] {
  return [...saved.filter((one) => !isIp6(one)), ...saved.filter(isIp6).reverse()];
}

/** The record of a NIC that was inside before leafd knew of it: its addresses go with it when it goes home. */
export function adopt(router: NicKernel, name: string, link: Link, bootId: string, now: string): NicRecord {
  return {
    name,
    ...saveLink(link),
    up: true,
    addresses: router.addresses().get(link.ifindex) ?? [],
    routes: [],
    neighbours: [],
    sysctls: {},
    bootId,
    savedAt: now,
    movedAt: now,
    adopted: true,
  };
}
