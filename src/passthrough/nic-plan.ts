// Where a NIC is, and what is to be done next: from its record and the links of both namespaces. Pure. A NIC that leafd
// has touched carries link group 4242, which it keeps wherever the kernel puts it: so what is found at home in that
// group is not as the host had made it, and its record stays. Without the mark it is the host's again, and what it
// has now is what counts, unless it has nothing.

import type { Link } from '../netlink/link.ts';
import { hex } from '../netlink/message.ts';
import { MOVED_GROUP, type NicRecord, realAddresses } from './nic-record.ts';

export type Place =
  | { kind: 'absent' }
  /** `marked`: of group 4242. */
  | { kind: 'home'; link: Link; marked: boolean }
  | { kind: 'router'; link: Link };

/** Finds the NIC: by its MAC where leafd has marked it, for its name may have changed; else by name. */
export function locate(
  name: string,
  record: NicRecord | undefined,
  home: readonly Link[],
  router: readonly Link[],
): Place {
  const marked = record && bestOf(record, home.filter(isMarked));
  if (marked) return { kind: 'home', link: marked, marked: true };
  const inside = record && bestOf(record, router);
  if (inside) return { kind: 'router', link: inside };
  const here = home.find((link) => link.name === name);
  if (here) return { kind: 'home', link: here, marked: isMarked(here) };
  const there = record === undefined ? router.find((link) => link.name === name) : undefined;
  return there ? { kind: 'router', link: there } : { kind: 'absent' };
}

const isMarked = (link: Link): boolean => link.group === MOVED_GROUP;

function bestOf(record: NicRecord, links: readonly Link[]): Link | undefined {
  let best: Link | undefined;
  let most = 0;
  for (const link of links) {
    const likeness = likenessOf(record, link);
    if (likeness > most) [best, most] = [link, likeness];
  }
  return best;
}

/** 0: another link. Hardware is told by its permanent MAC; the rest by two of name, MAC and mark. */
function likenessOf(record: NicRecord, link: Link): number {
  if (link.kind !== record.kind) return 0;
  const named = link.name === record.name ? 1 : 0;
  if (record.permanentMac !== undefined)
    return link.permanentMac !== undefined && hex(link.permanentMac) === record.permanentMac ? 2 + named : 0;
  const sameMac = record.mac !== '' && hex(link.mac) === record.mac ? 1 : 0;
  const likeness = named + sameMac + (isMarked(link) ? 1 : 0);
  return likeness >= 2 && named + sameMac > 0 ? likeness : 0;
}

export type InStep =
  | { kind: 'wait' }
  | { kind: 'refuse'; text: string }
  /** `fresh`: its state is saved first, whatever record there was. */
  | { kind: 'move'; link: Link; fresh: boolean }
  /** `adopt`: nobody saved what it was. */
  | { kind: 'settle'; link: Link; adopt: boolean };

/** What is next for a NIC that shall be in the router namespace. `addresses`: how many real ones it has at home. */
export function stepIn(
  place: Place,
  record: NicRecord | undefined,
  home: readonly Link[],
  addresses: (ifindex: number) => number,
): InStep {
  if (place.kind === 'absent') return { kind: 'wait' };
  if (place.kind === 'router') return { kind: 'settle', link: place.link, adopt: record === undefined };
  const above = devicesOn(place.link, home);
  if (above.length > 0) {
    const text = `${above.join(', ')} on top of it would stay behind in the host without it; remove or move them first`;
    return { kind: 'refuse', text };
  }
  const known = record !== undefined && likenessOf(record, place.link) > 0;
  const fresh = !known || (!place.marked && !isPoorer(place.link, record, addresses));
  return { kind: 'move', link: place.link, fresh };
}

/** A NIC without addresses whose record has some has lost them, or has not got them yet. */
function isPoorer(link: Link, record: NicRecord, addresses: (ifindex: number) => number): boolean {
  return realAddresses(record.addresses) > 0 && addresses(link.ifindex) === 0;
}

/** Names of what lies on a link: VLANs, macvlans, and members where it is a bond. The other leg of a veth does not. */
function devicesOn(nic: Link, links: readonly Link[]): string[] {
  const on = (link: Link): boolean =>
    link.ifindex !== nic.ifindex &&
    (link.master === nic.ifindex ||
      (link.lower === nic.ifindex && !link.lowerElsewhere && link.kind !== 'veth'));
  return links.filter(on).map((link) => link.name);
}

export type HomeStep =
  | { kind: 'wait' }
  /** It is in the router namespace. */
  | { kind: 'fetch'; link: Link }
  /** It is at home, without all that it had. */
  | { kind: 'restore'; link: Link }
  /** It is as it was, or as somebody has made it since. */
  | { kind: 'forget' };

/** What is next for a NIC that has a record and shall be at home. */
export function stepHome(
  place: Place,
  record: NicRecord,
  bootId: string,
  addresses: (ifindex: number) => number,
): HomeStep {
  if (place.kind === 'absent') return { kind: 'wait' };
  if (place.kind === 'router') return { kind: 'fetch', link: place.link };
  // Another link has the name by now, the one of the record is gone.
  if (likenessOf(record, place.link) === 0) return { kind: 'forget' };
  if (place.marked) return { kind: 'restore', link: place.link };
  const lost = record.bootId === bootId && isPoorer(place.link, record, addresses);
  return lost ? { kind: 'restore', link: place.link } : { kind: 'forget' };
}

/** What is said of a link that the kernel refuses to move. */
export function moveText(errno: string, kernelText: string, name: string, to: string): string {
  if (errno === 'EEXIST') return `${to} has another link named ${name}`;
  if (errno === 'EINVAL') return `the kernel does not let it leave its namespace (${kernelText || errno})`;
  return `the kernel refuses to move it to ${to}: ${kernelText || errno}`;
}
