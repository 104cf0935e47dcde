// Fake kernels as network namespaces of one machine, for tests without root: links that are made in one and put into
// another. What it copies of Linux: both legs of a veth go together, macvlans and VLANs go with their parent; such
// links are made down, without the alias they were to have, and a name that is taken is refused before anything is
// made. Moving links is not here.

import type { FakeKernel, Refusal } from './fake-kernel.ts';
import type { Link } from './link.ts';
import { attributeAt, attributeBytes, attributeText, attributeType, u32 } from './message.ts';

const HEADER = 16;
const IFINFOMSG = 16;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_LINKINFO = 18;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_VLAN_ID = 1;
const EEXIST = 17;
const ENODEV = 19;
const EINVAL = 22;
const EBADF = 9;

interface Wanted {
  name: string;
  mtu: number;
  parent: number;
  netnsFd: number | undefined;
  kind: string;
  peer: Wanted | undefined;
  vlan: number | undefined;
}

/** Joins namespaces; a descriptor is what stands for one in a message. */
export class FakeMachine {
  readonly #namespaces: ReadonlyMap<number, FakeKernel>;
  /** What goes together, by `fd/ifindex`. */
  readonly #bound = new Map<string, { fd: number; ifindex: number }[]>();
  /** VLAN ids, by `fd/ifindex`. */
  readonly vlans = new Map<string, number>();

  constructor(namespaces: ReadonlyMap<number, FakeKernel>) {
    this.#namespaces = namespaces;
    for (const [fd, kernel] of namespaces) {
      kernel.makeAcross = (bytes, start, end) =>
        this.#make(fd, readWanted(bytes, start + HEADER + IFINFOMSG, end));
      kernel.linkGoes = (ifindex) => this.#goes(fd, ifindex);
    }
  }

  #make(here: number, wanted: Wanted): Refusal | boolean {
    if (wanted.peer) return this.#makeVeth(here, wanted, wanted.peer);
    if (wanted.kind === 'macvlan' || wanted.kind === 'vlan') return this.#makeOnTop(here, wanted);
    return false;
  }

  #makeVeth(here: number, wanted: Wanted, other: Wanted): Refusal | true {
    const there = other.netnsFd ?? here;
    const [near, far] = [this.#namespaces.get(here)!, this.#namespaces.get(there)];
    if (!far) return { errno: EBADF, text: '' };
    if (linkNamed(near, wanted.name) || linkNamed(far, other.name)) return { errno: EEXIST, text: '' };
    const [a, b] = [newLink(near, wanted, 'veth'), newLink(far, other, 'veth')];
    a.lower = b.ifindex;
    b.lower = a.ifindex;
    if (near !== far) {
      a.lowerElsewhere = true;
      b.lowerElsewhere = true;
    }
    this.#bind(here, a.ifindex, there, b.ifindex);
    this.#bind(there, b.ifindex, here, a.ifindex);
    return true;
  }

  #makeOnTop(here: number, wanted: Wanted): Refusal | true {
    const parent = this.#namespaces.get(here)!.links.get(wanted.parent);
    const there = wanted.netnsFd ?? here;
    const kernel = this.#namespaces.get(there);
    if (!kernel) return { errno: EBADF, text: '' };
    if (!parent) return { errno: ENODEV, text: '' };
    if (wanted.mtu > parent.mtu) return { errno: EINVAL, text: '' };
    if (linkNamed(kernel, wanted.name)) return { errno: EEXIST, text: '' };
    const link = newLink(kernel, { ...wanted, mtu: wanted.mtu || parent.mtu }, wanted.kind);
    link.lower = parent.ifindex;
    link.lowerElsewhere = true;
    if (wanted.kind === 'vlan') {
      link.mac = parent.mac;
      this.vlans.set(`${there}/${link.ifindex}`, wanted.vlan!);
    }
    this.#bind(here, parent.ifindex, there, link.ifindex);
    return true;
  }

  #bind(fd: number, ifindex: number, otherFd: number, other: number): void {
    const key = `${fd}/${ifindex}`;
    this.#bound.set(key, [...(this.#bound.get(key) ?? []), { fd: otherFd, ifindex: other }]);
  }

  #goes(fd: number, ifindex: number): void {
    const key = `${fd}/${ifindex}`;
    const others = this.#bound.get(key) ?? [];
    this.#bound.delete(key);
    for (const other of others) {
      const kernel = this.#namespaces.get(other.fd)!;
      // The other leg must not come back to this one, which is on its way out.
      const back = this.#bound.get(`${other.fd}/${other.ifindex}`) ?? [];
      const rest = back.filter((one) => one.fd !== fd || one.ifindex !== ifindex);
      this.#bound.set(`${other.fd}/${other.ifindex}`, rest);
      if (kernel.links.has(other.ifindex)) kernel.removeLink(other.ifindex);
    }
  }
}

function newLink(kernel: FakeKernel, { name, mtu }: Wanted, kind: string): Link {
  const link = kernel.links.get(kernel.addLink(name, { up: false, kind }))!;
  if (mtu !== 0) link.mtu = mtu;
  return link;
}

function linkNamed(kernel: FakeKernel, name: string): Link | undefined {
  return [...kernel.links.values()].find((link) => link.name === name);
}

function readWanted(bytes: Uint8Array, start: number, end: number): Wanted {
  const wanted: Wanted = {
    name: '',
    mtu: 0,
    parent: 0,
    netnsFd: undefined,
    kind: '',
    peer: undefined,
    vlan: undefined,
  };
  each(bytes, start, end, (type, at, n) => {
    if (type === IFLA_IFNAME) wanted.name = attributeText(bytes, at, n);
    else if (type === IFLA_MTU) wanted.mtu = u32(bytes, at + 4);
    else if (type === IFLA_LINK) wanted.parent = u32(bytes, at + 4);
    else if (type === IFLA_NET_NS_FD) wanted.netnsFd = u32(bytes, at + 4);
    else if (type === IFLA_LINKINFO)
      each(bytes, at + 4, at + n, (inner, where, length) => {
        if (inner === IFLA_INFO_KIND) wanted.kind = attributeText(bytes, where, length);
        else if (inner === IFLA_INFO_DATA) readData(wanted, bytes, where + 4, where + length);
      });
  });
  return wanted;
}

function readData(wanted: Wanted, bytes: Uint8Array, start: number, end: number): void {
  each(bytes, start, end, (type, at, n) => {
    if (wanted.kind === 'veth' && type === VETH_INFO_PEER)
      wanted.peer = readWanted(bytes, at + 4 + IFINFOMSG, at + n);
    else if (wanted.kind === 'vlan' && type === IFLA_VLAN_ID) {
      const [low = 0, high = 0] = attributeBytes(bytes, at, n);
      wanted.vlan = low | (high << 8);
    }
  });
}

function each(
  bytes: Uint8Array,
  start: number,
  end: number,
  visit: (type: number, at: number, length: number) => void,
): void {
  for (let at = start, n = 0; (n = attributeAt(bytes, at, end)) > 0; at += (n + 3) & ~3)
    visit(attributeType(bytes, at), at, n);
}
