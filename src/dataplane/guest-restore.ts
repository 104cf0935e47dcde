// Takes back what leafd did to the links of guests, all of it or what is no longer wanted: MACs first, because the
// link-local address that the kernel makes when addr_gen_mode is restored is made of them; then addresses, flags of
// ports, sysctls; bridges of our own last. What somebody else has changed since stays as it is.

import { encodeAddressDelete } from '../netlink/address.ts';
import { encodePortIsolated } from '../netlink/bridge.ts';
import { encodeLinkDelete, encodeLinkSet, type Link } from '../netlink/link.ts';
import { hex, type MessageWriter, RTPROT_LEAFD } from '../netlink/message.ts';
import type { LinkMonitor } from '../netlink/monitor.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import type { GuestState } from './guest-state.ts';
import { GUEST_BRIDGE_ALIAS } from './guest-wish.ts';
import { restoreSysctl, type SysctlPort } from './sysctl.ts';

export interface GuestLinksFlushed {
  bridges: number;
  addresses: number;
  /** MACs, flags of ports and sysctls that have their former value again. */
  restored: number;
}

export interface GuestKernel {
  rtnl: Rtnl;
  links: LinkMonitor;
  sysctls: SysctlPort;
  state: GuestState;
}

export interface RestoreScope {
  /** Keys of objects that stay. */
  wanted: ReadonlySet<string>;
  /** Links that are looked at; 0 stands for the settings of all links. */
  has: (ifindex: number) => boolean;
}

export const EVERYTHING: RestoreScope = { wanted: new Set(), has: () => true };

/** Restores what is not wanted, and forgets it. The caller writes the state down. True when anything was to do. */
export function restoreGuestLinks(
  kernel: GuestKernel,
  scope: RestoreScope,
  done: GuestLinksFlushed,
): boolean {
  const macs = restoreMacs(kernel, scope, done);
  const addresses = removeAddresses(kernel, scope, done);
  const ports = restorePorts(kernel, scope, done);
  return restoreSysctls(kernel, scope, done) || macs || addresses || ports;
}

/** Removes bridges that leafd made and `keep` does not want. */
export function removeGuestBridges(kernel: GuestKernel, keep: (link: Link) => boolean): number {
  let removed = 0;
  for (const link of kernel.links.links.values()) {
    if (link.alias !== GUEST_BRIDGE_ALIAS || link.kind !== 'bridge' || keep(link)) continue;
    if (succeeds(kernel.rtnl, (w, seq) => encodeLinkDelete(w, seq, link.ifindex))) removed++;
  }
  return removed;
}

function succeeds(rtnl: Rtnl, encode: (writer: MessageWriter, seq: number) => void): boolean {
  const { outcome, failed } = rtnl.write(encode);
  return outcome === 'known' && failed.length === 0;
}

function restoreMacs({ rtnl, links, state }: GuestKernel, scope: RestoreScope, done: GuestLinksFlushed) {
  let any = false;
  for (const [ifindex, saved] of state.macs) {
    const link = links.links.get(ifindex);
    if (!scope.has(ifindex) || (link && scope.wanted.has(`mac ${link.name}`))) continue;
    state.macs.delete(ifindex);
    any = true;
    if (!link || hex(link.mac) !== saved.now) continue;
    const mac = Buffer.from(saved.before, 'hex');
    if (succeeds(rtnl, (w, seq) => encodeLinkSet(w, seq, { ifindex, mac }))) done.restored++;
  }
  return any;
}

function removeAddresses({ rtnl, links, state }: GuestKernel, scope: RestoreScope, done: GuestLinksFlushed) {
  let any = false;
  for (const [key, saved] of state.addresses) {
    if (!scope.has(saved.ifindex) || scope.wanted.has(key)) continue;
    state.addresses.delete(key);
    any = true;
    const found = links
      .addressesOf(saved.ifindex)
      .find((a) => hex(a.bytes) === saved.address && a.prefixLength === saved.prefixLength);
    // A kernel that marks addresses says whose it is; an older one does not, and then the file counts.
    if (!found || (found.protocol !== RTPROT_LEAFD && found.protocol !== 0)) continue;
    if (succeeds(rtnl, (w, seq) => encodeAddressDelete(w, seq, found))) done.addresses++;
  }
  return any;
}

function restorePorts({ rtnl, links, state }: GuestKernel, scope: RestoreScope, done: GuestLinksFlushed) {
  let any = false;
  for (const ifindex of state.isolated) {
    const link = links.links.get(ifindex);
    if (!scope.has(ifindex) || (link && scope.wanted.has(`port ${link.name} isolated`))) continue;
    state.isolated.delete(ifindex);
    any = true;
    if (link?.isolated !== true) continue;
    if (succeeds(rtnl, (w, seq) => encodePortIsolated(w, seq, ifindex, false))) done.restored++;
  }
  return any;
}

function restoreSysctls(
  { links, sysctls, state }: GuestKernel,
  scope: RestoreScope,
  done: GuestLinksFlushed,
) {
  let any = false;
  // In the order they were set: what is for all links first, because the kernel copies it to each.
  for (const [key, saved] of state.sysctls) {
    if (!scope.has(saved.ifindex) || scope.wanted.has(key)) continue;
    state.sysctls.delete(key);
    any = true;
    if (saved.ifindex !== 0 && !links.links.has(saved.ifindex)) continue;
    try {
      if (restoreSysctl(sysctls, saved, saved.ifindex)) done.restored++;
    } catch {
      // A key that can no longer be written (the link has just gone) cannot be restored by us.
    }
  }
  return any;
}
