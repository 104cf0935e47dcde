// The plane's view of itself, made when somebody asks: what is wanted, with what is there at that moment.

import type { ObjectStatus } from '../dataplane/dataplane.ts';
import type { PassthroughIntent, UplinkIntent } from '../intent/passthrough.ts';
import { formatMac } from '../net/mac.ts';
import type { Link } from '../netlink/link.ts';
import { addressText, type BothSides, linkNamed, type Seen, type SideName } from './link-steps.ts';
import { vethAlias } from './names.ts';
import type { NicStatus } from './nic-port.ts';
import type { PassthroughPlaneView, TrialView, UplinkView, VethEndView } from './plane-view.ts';
import type { RouterParts } from './router-parts.ts';
import { namesOf, type Trial, type TrialTime, trialEndsInMs } from './trial.ts';
import { uplinkKey } from './uplink-desired.ts';
import { vethKey } from './veth-desired.ts';

export interface PlaneShown {
  netns: string;
  parts: RouterParts | undefined;
  intent: PassthroughIntent | undefined;
  nics: readonly NicStatus[];
  warnings: readonly string[];
  status: readonly ObjectStatus[];
  now: TrialTime;
}

interface Shown extends PlaneShown {
  seen: BothSides;
  byKey: ReadonlyMap<string, ObjectStatus>;
}

export function planeView(shown: PlaneShown): PassthroughPlaneView {
  const { netns, parts, intent, now } = shown;
  const nothing: Seen = { links: [], addresses: [] };
  const seen = parts?.links.see() ?? { home: nothing, router: nothing };
  const byKey = new Map(shown.status.map((object) => [object.key, object]));
  const all: Shown = { ...shown, seen, byKey };
  return {
    netns,
    made: parts?.namespace.made ?? false,
    inode: parts?.namespace.inode ?? 0,
    uplinks: (intent?.uplinks ?? []).map((uplink) => uplinkView(all, uplink)),
    veth: vethView(all),
    trial: trialView(parts?.kept.trial ?? { kind: 'none' }, now),
    sysctls: parts?.sysctls.view() ?? [],
    warnings: [...shown.warnings],
  };
}

function uplinkView(shown: Shown, uplink: UplinkIntent): UplinkView {
  const { name, parent, mode } = uplink;
  const nic = shown.nics.find((one) => one.name === parent);
  const status = shown.byKey.get(mode.kind === 'move' ? `nic ${parent}` : uplinkKey(uplink));
  const inside = linkNamed(shown.seen.router, name);
  const atHome = mode.kind === 'move' ? linkNamed(shown.seen.home, parent) : undefined;
  const link = inside ?? atHome;
  const side: SideName = inside ? 'router' : 'home';
  return {
    name,
    parent,
    mode: mode.kind,
    ...(mode.kind === 'vlan' && { vlan: mode.id }),
    state: status?.state ?? 'pending',
    place: inside ? 'router' : atHome ? 'home' : 'absent',
    ...linkView(shown.seen[side], link),
    carrier: link?.carrier ?? false,
    ...(mode.kind === 'move' && nic?.movedAt !== undefined && { movedAt: nic.movedAt }),
    ...(mode.kind === 'move' && nic?.saved !== undefined && { saved: { ...nic.saved } }),
    ...wrong(status),
  };
}

function vethView(shown: Shown): PassthroughPlaneView['veth'] {
  const veth = shown.intent?.veth;
  if (!veth) return undefined;
  const status = shown.byKey.get(vethKey(veth));
  const end = (side: SideName, name: string): VethEndView => {
    const link = linkNamed(shown.seen[side], name);
    const isOurs = link?.alias === vethAlias(shown.netns);
    const view = linkView(shown.seen[side], isOurs ? link : undefined);
    return { name, present: isOurs, ...view, ...wrong(status) };
  };
  return { host: end('home', veth.hostLink), router: end('router', veth.routerLink) };
}

function linkView(
  seen: Seen,
  link: Link | undefined,
): { up: boolean; mtu: number; mac: string; addresses: string[] } {
  if (!link) return { up: false, mtu: 0, mac: '', addresses: [] };
  const addresses = seen.addresses.filter(({ ifindex }) => ifindex === link.ifindex).map(addressText);
  return { up: link.up, mtu: link.mtu, mac: link.mac.length === 6 ? formatMac(link.mac) : '', addresses };
}

function wrong(status: ObjectStatus | undefined): { errno?: string; error?: string } {
  const { errno, text } = status ?? {};
  return { ...(errno !== undefined && { errno }), ...(text !== undefined && { error: text }) };
}

function trialView(trial: Trial, now: TrialTime): TrialView {
  if (trial.kind === 'none') return { state: 'none', uplinks: [] };
  const view: TrialView = { state: trial.kind, uplinks: namesOf(trial.set) };
  const remainingMs = trialEndsInMs(trial, now);
  if (remainingMs !== undefined) {
    view.remainingMs = Math.round(remainingMs);
    view.deadline = new Date(now.wallMs + remainingMs).toISOString();
  } else if (trial.kind === 'rolledBack') {
    view.reason = trial.reason;
    view.since = new Date(trial.atWallMs).toISOString();
  }
  return view;
}
