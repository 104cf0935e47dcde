// Uplinks that are made on top of a NIC which stays in the host's namespace: macvlans and VLANs, made by leafd inside
// the router namespace. What is wanted and what is seen make the steps between. Pure. The mark of such a link says
// what it was made as: with another parent, mode or VLAN in the configuration it is made anew. The parent is the
// host's, and nothing is ever done to it. NICs that move are nic-plan.ts.

import type { UplinkIntent } from '../intent/passthrough.ts';
import { formatMac } from '../net/mac.ts';
import type { Link } from '../netlink/link.ts';
import {
  addressSteps,
  type BothSides,
  isOurs,
  type LinkMemory,
  type LinkStep,
  type LinkWish,
  linkNamed,
  settingStep,
} from './link-steps.ts';
import { isUplinkAlias, stableMac, uplinkAlias } from './names.ts';

/** Steps for one uplink of mode macvlan or vlan. */
export function uplinkSteps(
  uplink: UplinkIntent,
  netns: string,
  seen: BothSides,
  memory: LinkMemory,
): LinkWish {
  const { name, mode, addresses } = uplink;
  const key = uplinkKey(uplink);
  const alias = uplinkAlias(uplink);
  const found: LinkWish = { objects: [{ key, kind: 'uplink' }], steps: [] };
  const link = linkNamed(seen.router, name);
  const parent = linkNamed(seen.home, uplink.parent);
  if (link !== undefined && !isUplinkAlias(link.alias) && !isOurs(link, mode.kind, alias, memory)) {
    const text = `in ${netns} there is a link ${name} that leafd did not make; rename or delete it`;
    found.steps.push({ key, kind: 'refused', errno: 'EEXIST', text });
    return found;
  }
  const isRight = link !== undefined && isOurs(link, mode.kind, alias, memory) && isOn(link, parent);
  if (link !== undefined && !isRight)
    found.steps.push({ key, kind: 'delete', side: 'router', ifindex: link.ifindex });
  if (parent === undefined) {
    found.steps.push({ key, kind: 'pending', text: `there is no link ${uplink.parent}` });
    return found;
  }
  const mtu = Math.min(uplink.mtu ?? parent.mtu, parent.mtu);
  if (uplink.mtu !== undefined && uplink.mtu > parent.mtu) {
    // An object of its own: the link is made all the same, as large as it can be.
    const own = `${key} mtu`;
    const text = `MTU ${uplink.mtu} does not fit into ${parent.name}, which has ${parent.mtu}`;
    found.objects.push({ key: own, kind: 'uplink' });
    found.steps.push({ key: own, kind: 'refused', errno: 'ERANGE', text });
  }
  if (!isRight) {
    const made = { parent: parent.ifindex, name, mtu };
    found.steps.push({ key, kind: 'uplinkAdd', link: made, vlan: vlanOf(uplink), alias });
    return found;
  }
  // A macvlan's own MAC has to differ from its parent's, and from those of other nodes: only the parent's is unique.
  const mac = mode.kind === 'macvlan' ? stableMac(formatMac(parent.mac), name) : undefined;
  const steps = settingStep(key, 'router', link, { alias, mtu, ...(mac && { mac }) });
  if (!parent.up && steps.some((step) => step.kind === 'set' && step.change.up === true)) {
    found.steps.push({ key, kind: 'pending', text: `${parent.name} is down` });
    found.steps.push(...steps.flatMap(withoutUp));
  } else found.steps.push(...steps);
  const wish = addressSteps('router', link, addresses, seen.router, memory);
  return { objects: [...found.objects, ...wish.objects], steps: [...found.steps, ...wish.steps] };
}

export function uplinkKey({ name }: Pick<UplinkIntent, 'name'>): string {
  return `uplink ${name}`;
}

/** Macvlans and VLANs of ours that are no longer wanted. */
export function strayUplinkSteps(uplinks: readonly UplinkIntent[], seen: BothSides): LinkStep[] {
  const names = new Set(uplinks.filter(({ mode }) => mode.kind !== 'move').map(({ name }) => name));
  const strays = seen.router.links.filter(({ name, alias }) => isUplinkAlias(alias) && !names.has(name));
  return strays.map(({ name, ifindex }) => ({
    key: `link ${name}`,
    kind: 'delete',
    side: 'router',
    ifindex,
  }));
}

function vlanOf({ mode }: UplinkIntent): number | undefined {
  return mode.kind === 'vlan' ? mode.id : undefined;
}

/** An older kernel does not tell the parent's index where it equals the link's own. */
function isOn(link: Link, parent: Link | undefined): boolean {
  if (parent === undefined) return false;
  return (link.lower === 0 ? link.ifindex : link.lower) === parent.ifindex;
}

/** A link on top of one that is down cannot be up. */
function withoutUp(step: LinkStep): LinkStep[] {
  if (step.kind !== 'set') return [step];
  const { up: _up, ...change } = step.change;
  return Object.keys(change).length > 1 ? [{ ...step, change }] : [];
}
