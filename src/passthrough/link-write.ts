// Sees the links of both namespaces, and carries out the steps that veth-desired.ts and uplink-desired.ts decided on. A
// link is made down and without leafd's mark, which the kernel takes in a second message only: its name is on disk
// before, so that a crash in between does not make it somebody else's.

import type { InterfaceAddress, PassthroughVethIntent } from '../intent/passthrough.ts';
import {
  decodeAddress,
  encodeAddressAdd,
  encodeAddressDelete,
  encodeAddressDump,
  encodeWholeAddressAdd,
  FOREVER,
  type LinkAddress,
} from '../netlink/address.ts';
import { decodeLink, encodeLinkDelete, encodeLinkDump, encodeLinkSet, type Link } from '../netlink/link.ts';
import { encodeMacvlanAdd, encodeVethAdd, encodeVlanAdd } from '../netlink/link-create.ts';
import {
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
} from '../netlink/message.ts';
import { encodeNeighbour, NUD_STALE } from '../netlink/neighbour.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import { AF_INET, AF_INET6, EEXIST } from '../netlink/sys.ts';
import { type Fault, faultOf, NO_ANSWER, refusal } from './fault.ts';
import { addressMemory, type LinkStep, type Seen, type SideName } from './link-steps.ts';

const ENODEV = 19;
const EADDRNOTAVAIL = 99;

export interface LinkKernel {
  rtnl: Readonly<Record<SideName, Rtnl>>;
  /** A descriptor of the router namespace. */
  netnsFd: number;
  memory: { making: Set<string>; addresses: Set<string> };
  /** The kernel marks addresses: they need not be remembered. */
  marks: boolean;
  /** Writes the memory down. Throws the file system's error. */
  save: () => void;
}

/** Everything there is in a namespace, read now. Throws SysError or NetlinkError. */
export function see(rtnl: Rtnl): Seen {
  const links: Link[] = [];
  const addresses: LinkAddress[] = [];
  rtnl.dumpNow({
    encode: encodeLinkDump,
    onMessage: (type, _flags, bytes, start, end) => {
      const link = type === RTM_NEWLINK ? decodeLink(bytes, start, end) : undefined;
      if (link) links.push(link);
    },
  });
  rtnl.dumpNow({
    encode: (writer, seq) => encodeAddressDump(writer, seq),
    onMessage: (type, _flags, bytes, start, end) => {
      const address = type === RTM_NEWADDR ? decodeAddress(bytes, start, end) : undefined;
      if (address) addresses.push(address);
    },
  });
  return { links, addresses };
}

/** One step; undefined when it is done (or was already), else what went wrong. */
export function writeStep(kernel: LinkKernel, step: LinkStep): Fault | undefined {
  try {
    switch (step.kind) {
      case 'set':
        return write(kernel.rtnl[step.side], (w, seq) => encodeLinkSet(w, seq, step.change));
      case 'delete':
        return write(kernel.rtnl[step.side], (w, seq) => encodeLinkDelete(w, seq, step.ifindex), ENODEV);
      case 'addressAdd':
        return addAddress(kernel, step);
      case 'addressRemove':
        return removeAddress(kernel, step);
      case 'vethAdd':
        return addVeth(kernel, step);
      case 'uplinkAdd':
        return addUplink(kernel, step);
      case 'refused':
        return { errno: step.errno, text: step.text };
      case 'pending':
        return undefined;
    }
  } catch (error) {
    return faultOf(error);
  }
}

/**
 * Tells each end of the veth the other's MAC: packets that came while it was away have asked in vain, and the kernel
 * would ask again after a second only. They are neighbours like any other, to be confirmed and forgotten by the kernel.
 */
export function introduceEnds(
  kernel: LinkKernel,
  veth: PassthroughVethIntent,
  home: Link,
  router: Link,
): void {
  const tell = (side: SideName, link: Link, peer: Link, addresses: readonly InterfaceAddress[]): void => {
    const known = { ifindex: link.ifindex, state: NUD_STALE, flags: 0, mac: peer.mac, protocol: 0 };
    const flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
    try {
      kernel.rtnl[side].write((writer, firstSeq) => {
        addresses.forEach(({ bytes }, i) => {
          const family = bytes.length === 4 ? AF_INET : AF_INET6;
          encodeNeighbour(writer, RTM_NEWNEIGH, flags, firstSeq + i, { ...known, family, address: bytes });
        });
      });
    } catch (error) {
      // Then they ask.
      faultOf(error);
    }
  };
  tell('home', home, router, veth.routerAddresses);
  tell('router', router, home, veth.hostAddresses);
}

function write(
  rtnl: Rtnl,
  encode: (writer: MessageWriter, seq: number) => void,
  harmless = 0,
): Fault | undefined {
  const { outcome, failed } = rtnl.write(encode);
  if (outcome === 'unknown') return NO_ANSWER;
  const failure = failed[0];
  return failure === undefined || failure.errno === harmless ? undefined : refusal(failure);
}

/**
 * On a kernel that does not mark addresses: those that are about to be added are written down, once for all. What
 * cannot be written down is not to be added; the fault is returned.
 */
export function rememberAddresses(kernel: LinkKernel, steps: readonly LinkStep[]): Fault | undefined {
  if (kernel.marks) return undefined;
  const { addresses } = kernel.memory;
  const fresh: string[] = [];
  for (const step of steps) {
    if (step.kind !== 'addressAdd') continue;
    const memory = addressMemory(step.side, step.key);
    if (!addresses.has(memory)) fresh.push(memory);
  }
  if (fresh.length === 0) return undefined;
  for (const memory of fresh) addresses.add(memory);
  try {
    kernel.save();
    return undefined;
  } catch (error) {
    for (const memory of fresh) addresses.delete(memory);
    return faultOf(error);
  }
}

function addAddress(kernel: LinkKernel, step: LinkStep & { kind: 'addressAdd' }): Fault | undefined {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  const whole = { ...step.address, preferredS: 0, validS: FOREVER };
  const encode: typeof encodeAddressAdd = step.spare
    ? (w, seq, how) => encodeWholeAddressAdd(w, seq, how, whole)
    : encodeAddressAdd;
  return write(kernel.rtnl[step.side], (w, seq) => encode(w, seq, flags, step.address), EEXIST);
}

function removeAddress(kernel: LinkKernel, step: LinkStep & { kind: 'addressRemove' }): Fault | undefined {
  const { side, address, key } = step;
  const fault = write(kernel.rtnl[side], (w, seq) => encodeAddressDelete(w, seq, address), EADDRNOTAVAIL);
  if (fault === undefined) kernel.memory.addresses.delete(addressMemory(side, key));
  return fault;
}

function addVeth(kernel: LinkKernel, step: LinkStep & { kind: 'vethAdd' }): Fault | undefined {
  const { name, peer, mtu, alias } = step;
  const { home, router } = kernel.rtnl;
  return make(kernel, [name, peer], () => {
    const size = mtu === undefined ? {} : { mtu };
    const other = { name: peer, netnsFd: kernel.netnsFd, ...size };
    return (
      write(home, (w, seq) => encodeVethAdd(w, seq, { name, ...size, peer: other })) ??
      write(home, (w, seq) => encodeLinkSet(w, seq, { ifindex: 0, name, alias })) ??
      write(router, (w, seq) => encodeLinkSet(w, seq, { ifindex: 0, name: peer, alias }))
    );
  });
}

function addUplink(kernel: LinkKernel, step: LinkStep & { kind: 'uplinkAdd' }): Fault | undefined {
  const { link, vlan, alias } = step;
  const { home, router } = kernel.rtnl;
  const made = { ...link, netnsFd: kernel.netnsFd };
  return make(kernel, [link.name], () => {
    const fault = write(home, (w, seq) => {
      if (vlan === undefined) encodeMacvlanAdd(w, seq, { ...made, mode: 'bridge' });
      else encodeVlanAdd(w, seq, { ...made, id: vlan });
    });
    if (fault?.errno === 'EOPNOTSUPP') return { ...fault, text: noKind(vlan) };
    return fault ?? write(router, (w, seq) => encodeLinkSet(w, seq, { ifindex: 0, name: link.name, alias }));
  });
}

function noKind(vlan: number | undefined): string {
  return `the kernel has no ${vlan === undefined ? 'macvlan' : 'VLAN'} links`;
}

function make(kernel: LinkKernel, names: readonly string[], how: () => Fault | undefined): Fault | undefined {
  const { making } = kernel.memory;
  if (!names.every((name) => making.has(name))) {
    for (const name of names) making.add(name);
    kernel.save();
  }
  const fault = how();
  if (fault !== undefined) return fault;
  for (const name of names) making.delete(name);
  kernel.save();
  return undefined;
}
