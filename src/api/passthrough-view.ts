// L3 passthrough as a view: what the plane has made of namespace, NICs and veth, beside the sessions that run there.
// The one word for all of it (`state`) is decided here, with its reason. What the API needs of the plane it names
// itself, so that views do not depend on how the kernel is brought there.

import type { ObjectStatus } from '../dataplane/dataplane.ts';
import type { OpenperouterResult } from '../intent/openperouter.ts';
import type { PassthroughIntent } from '../intent/passthrough.ts';
import { parseIp } from '../net/ip.ts';
import { parsePrefix, prefixContainsIp } from '../net/prefix.ts';
import type { Router } from '../router/router.ts';
import type { PassthroughBackend } from './backend.ts';
import type { NewEvent } from './events.ts';
import { familyCounts, type LookAtBfd, peerViews } from './peer-views.ts';
import type {
  OpenperouterConditionView,
  OpenperouterView,
  PassthroughAction,
  PassthroughCountsView,
  PassthroughSessionView,
  PassthroughStatusView,
  PassthroughTrialView,
  PassthroughUplinkView,
  PassthroughView,
  PeerView,
  ReasonView,
} from './views.ts';
import type { WallTime } from './wall-time.ts';

/** What the plane tells of itself; addresses carry prefix lengths. */
export interface PlaneLook {
  readonly netns: string;
  /** Whether leafd made the namespace. */
  readonly made: boolean;
  readonly uplinks: readonly UplinkLook[];
  readonly veth?: { readonly host: EndLook; readonly router: EndLook } | undefined;
  readonly trial: TrialLook;
  readonly sysctls: readonly { readonly key: string; readonly before: string; readonly now: string }[];
}

export interface UplinkLook extends EndLook {
  readonly parent: string;
  readonly mode: PassthroughUplinkView['mode'];
  readonly state: PassthroughUplinkView['state'];
  readonly place: PassthroughUplinkView['place'];
  readonly mac?: string | undefined;
  readonly carrier: boolean;
  readonly error?: string | undefined;
}

export interface EndLook {
  readonly name: string;
  readonly up: boolean;
  readonly mtu?: number | undefined;
  readonly addresses: readonly string[];
}

export interface TrialLook {
  readonly state: PassthroughTrialView['state'];
  /** While it runs. */
  readonly remainingMs?: number | undefined;
  /** Why it was taken back. */
  readonly reason?: string | undefined;
}

/** The plane as the API uses it. */
export interface PlanePort {
  view(): PlaneLook;
  status(): readonly Pick<ObjectStatus, 'key' | 'state' | 'errno' | 'text'>[];
  confirm(): boolean;
  rollBack(): boolean;
  retry(): boolean;
}

export interface PassthroughParts {
  plane: PlanePort;
  intent: PassthroughIntent;
  router: Router;
  time: WallTime;
  bfd?: LookAtBfd | undefined;
  /** Where resources of OpenPERouter are read. */
  report?: OpenperouterReport | undefined;
}

export interface OpenperouterReport {
  result: Pick<OpenperouterResult, 'resources' | 'problems'>;
  /** A RouterNodeConfigurationStatus. */
  status: {
    readonly conditions: readonly OpenperouterConditionView[];
    readonly failedResources: OpenperouterView['failedResources'];
  };
}

/** Answers about passthrough, and the operator's words about a trial carried out. */
export function passthroughBackend(parts: PassthroughParts): PassthroughBackend {
  const { plane } = parts;
  const carriedOut: Readonly<Record<PassthroughAction, () => boolean>> = {
    confirm: () => plane.confirm(),
    rollBack: () => plane.rollBack(),
    retry: () => plane.retry(),
  };
  return {
    view: () => passthroughView(parts),
    act: (action) => (carriedOut[action]() ? { action, text: actionTexts[action] } : undefined),
  };
}

const actionTexts: Readonly<Record<PassthroughAction, string>> = {
  confirm: 'the uplinks stay as they are',
  rollBack: 'the uplinks go back to the host',
  retry: 'the uplinks are tried again',
};

/** The whole of it. */
export function passthroughView(parts: PassthroughParts): PassthroughView {
  const { plane, intent, report } = parts;
  const look = plane.view();
  const sessions = sessionViews(parts, look);
  const failures = plane
    .status()
    .filter(({ state }) => state === 'error')
    .map(({ key, errno, text }) => ({ what: key, error: [errno, text].filter(Boolean).join(': ') }));
  const openperouter = report && openperouterView(report);
  const trial = trialView(look.trial);
  const judged = stateOf({ sessions, failures, uplinks: look.uplinks, trial, openperouter });
  return {
    netns: look.netns,
    made: look.made,
    nodeIndex: intent.nodeIndex,
    ...judged,
    trial,
    uplinks: look.uplinks.map((uplink) => uplinkView(uplink, intent)),
    ...(look.veth && { veth: { host: endView(look.veth.host), router: endView(look.veth.router) } }),
    sessions,
    routes: { toHost: mostTold(sessions, 'host'), toFabric: mostTold(sessions, 'fabric') },
    sysctls: look.sysctls.map(({ key, before, now }) => ({ name: key, value: now, before })),
    failures,
    ...(openperouter && { openperouter }),
  };
}

interface Judged {
  sessions: readonly PassthroughSessionView[];
  failures: PassthroughView['failures'];
  uplinks: readonly Pick<UplinkLook, 'name' | 'state' | 'error'>[];
  trial: PassthroughTrialView;
  openperouter: OpenperouterView | undefined;
}

/** The gravest that can be said, and why. */
function stateOf({
  sessions,
  failures,
  uplinks,
  trial,
  openperouter,
}: Judged): Pick<PassthroughView, 'state' | 'reason'> {
  const because = (state: PassthroughView['state'], code: string, text: string) => ({
    state,
    reason: { code, text } satisfies ReasonView,
  });
  if (trial.state === 'rolledBack')
    return because('rolledBack', 'rolledBack', trial.reason ?? 'no session of the fabric came up in time');
  // A range that nobody has come to waits, and lacks nothing.
  const wanted = sessions.filter((one) => !one.adminDown && (one.kind !== 'range' || one.dynamic));
  const fabric = wanted.filter(({ side }) => side === 'fabric');
  if (fabric.length === 0)
    return because('down', 'noFabric', 'no peer of the fabric is configured, or wanted');
  if (!fabric.some(isUp))
    return because('down', 'fabricDown', `no session of the fabric is up: ${whyNot(fabric)}`);
  const broken = uplinks.find(({ state }) => state === 'error');
  if (broken !== undefined)
    return because('degraded', 'uplinkFailed', `uplink ${broken.name}: ${broken.error ?? 'failed'}`);
  const failure = failures[0];
  if (failure !== undefined) return because('degraded', 'kernelFailed', `${failure.what}: ${failure.error}`);
  const missing = wanted.filter((one) => !isUp(one));
  if (missing.length > 0) {
    const count = `${missing.length} of ${wanted.length} sessions not up`;
    return because('degraded', 'sessionsDown', `${count}: ${whyNot(missing)}`);
  }
  const failed = openperouter?.resources.find(({ state }) => state === 'failed');
  if (failed !== undefined) {
    const text = `${failed.kind} ${failed.name}: ${failed.message ?? failed.reason ?? 'failed'}`;
    return because('degraded', 'resourceFailed', text);
  }
  return { state: 'up' };
}

const isUp = ({ state }: PassthroughSessionView): boolean => state === 'established';

/** The first of them with its reason. */
function whyNot(sessions: readonly PassthroughSessionView[]): string {
  const { peer, reason, state } = sessions[0]!;
  return `${peer} ${reason ?? state}`;
}

function trialView({ state, remainingMs, reason }: TrialLook): PassthroughTrialView {
  const runs = state === 'running' && remainingMs !== undefined;
  return {
    state,
    ...(runs && {
      until: new Date(Date.now() + remainingMs).toISOString(),
      remainingSeconds: Math.max(0, Math.ceil(remainingMs / 1000)),
    }),
    ...(state === 'rolledBack' && reason !== undefined && { reason }),
  };
}

function uplinkView(look: UplinkLook, { uplinks }: PassthroughIntent): PassthroughUplinkView {
  const { name, parent, mode, state, place, mac, mtu, addresses, up, carrier, error } = look;
  const wanted = uplinks.find((one) => one.name === name)?.mode;
  return {
    name,
    parent,
    mode,
    ...(wanted?.kind === 'vlan' && { vlan: wanted.id }),
    state,
    place,
    ...(mac !== undefined && { mac }),
    ...(mtu !== undefined && { mtu }),
    addresses: [...addresses],
    up,
    carrier,
    ...(error !== undefined && { error }),
  };
}

function endView({ name, up, mtu, addresses }: EndLook) {
  return { name, up, ...(mtu !== undefined && { mtu }), addresses: [...addresses] };
}

function sessionViews(parts: PassthroughParts, look: PlaneLook): PassthroughSessionView[] {
  const { router, time, bfd, intent } = parts;
  const speakers = new Map<string, string>();
  for (const { name, peers } of intent.speakers) for (const peer of peers) speakers.set(peer, name);
  const subnets = look.uplinks.flatMap(({ name, addresses }) =>
    addresses.flatMap((text) => {
      const prefix = parsePrefix(text);
      return prefix === undefined ? [] : [{ name, prefix }];
    }),
  );
  const uplinkOf = ({ interface: port, address }: PeerView): string | undefined => {
    if (port !== undefined) return look.uplinks.find(({ name }) => name === port)?.name;
    const bytes = address === undefined ? undefined : parseIp(address);
    return bytes && subnets.find(({ prefix }) => prefixContainsIp(prefix, bytes))?.name;
  };
  const sessions = peerViews(router, time, bfd).map((view): PassthroughSessionView => {
    const speaker = speakers.get(view.name);
    const uplink = speaker === undefined ? uplinkOf(view) : undefined;
    return sessionView(router, view, speaker, uplink);
  });
  const of = (side: PassthroughSessionView['side']) => sessions.filter((one) => one.side === side);
  return [...of('fabric'), ...of('host')];
}

function sessionView(
  router: Router,
  view: PeerView,
  speaker: string | undefined,
  uplink: string | undefined,
): PassthroughSessionView {
  const { name, kind, dynamic, address, hostname, remoteAs, remoteAsn, state, adminDown } = view;
  const { since, sinceSeconds, reason } = view;
  const peer = router.directory.byName.get(name);
  return {
    peer: name,
    side: speaker === undefined ? 'fabric' : 'host',
    ...(speaker !== undefined && { speaker }),
    ...(uplink !== undefined && { uplink }),
    kind,
    dynamic,
    ...(address !== undefined && { address }),
    ...(hostname !== undefined && { hostname }),
    remoteAs,
    ...(remoteAsn !== undefined && { remoteAsn }),
    state,
    adminDown,
    ...(since !== undefined && { since }),
    ...(sinceSeconds !== undefined && { sinceSeconds }),
    byFamily: peer === undefined ? [] : familyCounts(router, peer),
    ...(view.bfd && { bfd: view.bfd.state }),
    ...(reason !== undefined && { reason }),
  };
}

function mostTold(
  sessions: readonly PassthroughSessionView[],
  side: PassthroughSessionView['side'],
): PassthroughCountsView {
  const most: PassthroughCountsView = { ipv4: 0, ipv6: 0 };
  for (const session of sessions) {
    if (session.side !== side) continue;
    for (const { family, advertised } of session.byFamily)
      if (family === 'ipv4' || family === 'ipv6') most[family] = Math.max(most[family], advertised);
  }
  return most;
}

function openperouterView({ result, status }: OpenperouterReport): OpenperouterView {
  return {
    conditions: [...status.conditions],
    failedResources: [...status.failedResources],
    resources: result.resources.map(({ kind, name, where, state, reason, message }) => ({
      kind,
      name,
      where,
      state,
      ...(reason !== undefined && { reason }),
      ...(message !== undefined && { message }),
    })),
    problems: [...result.problems],
  };
}

/** The part of the status. */
export function passthroughStatus(view: PassthroughView): PassthroughStatusView {
  const { netns, state, reason, sessions, trial } = view;
  const count = (side: PassthroughSessionView['side']) => {
    const those = sessions.filter((one) => one.side === side);
    return { established: those.filter(isUp).length, known: those.length };
  };
  return {
    netns,
    state,
    ...(reason && { reason }),
    fabric: count('fabric'),
    host: count('host'),
    ...(trial.remainingSeconds !== undefined && { remainingSeconds: trial.remainingSeconds }),
  };
}

/** What the plane tells as it happens: kinds of ours are kebab-case and say whose they are. */
export function passthroughEvent(event: {
  kind: string;
  text: string;
  level: 'info' | 'warn' | 'error';
}): NewEvent {
  const kind = event.kind.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return {
    level: event.level === 'warn' ? 'warning' : event.level,
    kind: `passthrough-${kind}`,
    text: event.text,
  };
}
