// The veth between the host and the router namespace: what is wanted and what is seen make the steps between. Pure. A
// link of one of the two names that is not leafd's is told and never touched. A leg of ours whose other leg is gone,
// renamed or moved is of no use to anybody: both are made anew, with the MACs they had, so that the host's neighbours
// stay right.

import type { PassthroughVethIntent } from '../intent/passthrough.ts';
import type { Link } from '../netlink/link.ts';
import {
  addressSteps,
  type BothSides,
  isOurs,
  type LinkMemory,
  type LinkStep,
  type LinkWish,
  linkNamed,
  type SideName,
  settingStep,
} from './link-steps.ts';
import { stableMac, vethAlias } from './names.ts';

const SIDES: readonly SideName[] = ['home', 'router'];

export interface VethWish {
  veth: PassthroughVethIntent;
  netns: string;
  nodeIndex: number;
  /** Absent: as it is. */
  mtu: number | undefined;
}

export function vethSteps(wish: VethWish, seen: BothSides, memory: LinkMemory): LinkWish {
  const { veth, netns, mtu } = wish;
  const key = vethKey(veth);
  const alias = vethAlias(netns);
  const found: LinkWish = { objects: [{ key, kind: 'veth' }], steps: [] };
  const names = { home: veth.hostLink, router: veth.routerLink };
  const legs = { home: linkNamed(seen.home, names.home), router: linkNamed(seen.router, names.router) };
  const isLeftBehind = isUnmarkedPair(legs.home, legs.router);
  for (const side of SIDES) {
    const leg = legs[side];
    if (leg === undefined || isOurs(leg, 'veth', alias, memory) || isLeftBehind) continue;
    const where = side === 'home' ? 'in the host' : `in ${netns}`;
    const text = `${where} there is a link ${leg.name} that leafd did not make; rename or delete it`;
    found.steps.push({ key, kind: 'refused', errno: 'EEXIST', text });
    return found;
  }
  const { home, router } = legs;
  if (home === undefined || router === undefined || !isPair(home, router)) {
    // A leg takes the other one with it, wherever that is.
    for (const side of SIDES) {
      const leg = legs[side];
      if (leg !== undefined) found.steps.push({ key, kind: 'delete', side, ifindex: leg.ifindex });
    }
    found.steps.push({ key, kind: 'vethAdd', name: names.home, peer: names.router, mtu, alias });
    return found;
  }
  for (const side of SIDES) {
    const leg = legs[side]!;
    const mac = stableMac(netns, String(wish.nodeIndex), leg.name);
    found.steps.push(...settingStep(key, side, leg, { alias, mac, ...(mtu !== undefined && { mtu }) }));
    const wanted = side === 'home' ? veth.hostAddresses : veth.routerAddresses;
    // A speaker that names no address of its own speaks from the node's, whatever others have.
    const addresses = addressSteps(side, leg, wanted, seen[side], memory, side === 'home');
    found.objects.push(...addresses.objects);
    found.steps.push(...addresses.steps);
  }
  return found;
}

export function vethKey(veth: Pick<PassthroughVethIntent, 'hostLink' | 'routerLink'>): string {
  return `veth ${veth.hostLink} ${veth.routerLink}`;
}

/** Legs of ours that are not those which are wanted. */
export function strayVethSteps(
  veth: PassthroughVethIntent | undefined,
  netns: string,
  seen: BothSides,
): LinkStep[] {
  const steps: LinkStep[] = [];
  const names = { home: veth?.hostLink, router: veth?.routerLink };
  for (const side of SIDES)
    for (const { name, kind, alias, ifindex } of seen[side].links)
      if (kind === 'veth' && alias === vethAlias(netns) && name !== names[side])
        steps.push({ key: `link ${name}`, kind: 'delete', side, ifindex });
  return steps;
}

/**
 * A veth that has one end in the host, one in the router namespace, both names and nobody's mark is what OpenPERouter
 * left there: it is taken over as it is, so that a node changes hands without the host losing its link.
 */
function isUnmarkedPair(home: Link | undefined, router: Link | undefined): boolean {
  if (home === undefined || router === undefined) return false;
  const isUnmarked = [home, router].every(({ kind, alias }) => kind === 'veth' && alias === '');
  return isUnmarked && isPair(home, router);
}

/** Two legs know each other by their indexes; an older kernel does not tell one that equals the leg's own. */
function isPair(home: Link, router: Link): boolean {
  const peerOf = (link: Link): number => (link.lower === 0 ? link.ifindex : link.lower);
  return peerOf(home) === router.ifindex && peerOf(router) === home.ifindex;
}
