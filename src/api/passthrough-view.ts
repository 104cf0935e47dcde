// L3 passthrough as a view: what the plane has made of namespace, NICs and veth, beside the sessions that run there.
// The one word for all of it (`state`) is decided here, with its reason.

import type { ObjectStatus } from '../dataplane/dataplane.ts';
import type { OpenperouterResult } from '../intent/openperouter.ts';
import type { PassthroughIntent } from '../intent/passthrough.ts';
import { parseIp } from '../net/ip.ts';
import { parsePrefix, prefixContainsIp } from '../net/prefix.ts';
import type { PassthroughPlaneView, TrialView, UplinkView, VethEndView } from '../passthrough/plane-view.ts';
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
  PassthroughVethEndView,
  PassthroughView,
  PeerView,
  ReasonView,
} from './views.ts';
import type { WallTime } from './wall-time.ts';

/** The plane as the API uses it. */
export interface PlanePort {
  view(): PassthroughPlaneView;
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
    uplinks: look.uplinks.map(uplinkView),
    ...(look.veth && { veth: { host: endView(look.veth.host), router: endView(look.veth.router) } }),
    sessions,
    routes: { toHost: mostTold(sessions, 'host'), toFabric: mostTold(sessions, 'fabric') },
    sysctls: look.sysctls.map(({ key, before, now }) => ({ name: key, value: now, before })),
    failures,
    warnings: [...look.warnings],
    ...(openperouter && { openperouter }),
  };
}

interface Judged {
  sessions: readonly PassthroughSessionView[];
  failures: PassthroughView['failures'];
  uplinks: readonly UplinkView[];
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
  if (fabric.length === 0 && openperouter?.resources.some(isAppliedUnderlay) === false)
    return because('down', 'noUnderlay', 'there is no Underlay for this node that can be applied');
  if (fabric.length === 0)
    return because('down', 'noFabric', 'no peer of the fabric is configured, or wanted');
  if (!fabric.some(isUp)) {
    const cause = uplinkCause(uplinks) ?? whyNot(fabric);
    return because('down', 'fabricDown', `no session of the fabric is up: ${cause}`);
  }
  // One that is waited for has its reason, too.
  const broken = uplinks.find(
    ({ state, error }) => state === 'error' || (state === 'pending' && error !== undefined),
  );
  if (broken !== undefined)
    return because('degraded', 'uplinkFailed', `uplink ${broken.name}: ${errorText(broken) ?? 'failed'}`);
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

const isAppliedUnderlay = ({ kind, state }: OpenperouterView['resources'][number]): boolean =>
  kind === 'Underlay' && state === 'applied';

const isUp = ({ state }: PassthroughSessionView): boolean => state === 'established';

/** What is wrong with the uplinks where none can carry a session: that, not what the sessions make of it. */
function uplinkCause(uplinks: readonly UplinkView[]): string | undefined {
  const causes = uplinks.map((uplink) => {
    const { name, place, up, carrier } = uplink;
    if (place !== 'router') return `uplink ${name}: ${errorText(uplink) ?? 'not in the router namespace'}`;
    if (!up) return `uplink ${name} is down`;
    return carrier ? undefined : `uplink ${name} has no carrier`;
  });
  return causes.includes(undefined) ? undefined : causes[0];
}

/** The first of them with its reason. */
function whyNot(sessions: readonly PassthroughSessionView[]): string {
  const { peer, reason, state } = sessions[0]!;
  return `${peer} ${reason ?? state}`;
}

function trialView({
  state,
  uplinks,
  remainingMs,
  deadline,
  reason,
  since,
}: TrialView): PassthroughTrialView {
  return {
    state,
    uplinks: [...uplinks],
    ...(deadline !== undefined && { until: deadline }),
    ...(remainingMs !== undefined && { remainingSeconds: Math.max(0, Math.ceil(remainingMs / 1000)) }),
    ...(reason !== undefined && { reason }),
    ...(since !== undefined && { since }),
  };
}

function uplinkView(uplink: UplinkView): PassthroughUplinkView {
  const { name, parent, mode, vlan, state, place, mac, mtu, addresses, up, carrier, movedAt, saved } = uplink;
  const error = errorText(uplink);
  return {
    name,
    parent,
    mode,
    ...(vlan !== undefined && { vlan }),
    state,
    place,
    ...(mac !== '' && { mac }),
    ...(mtu > 0 && { mtu }),
    addresses: [...addresses],
    up,
    carrier,
    ...(movedAt !== undefined && { movedAt }),
    ...(saved && { saved }),
    ...(error !== undefined && { error }),
  };
}

function errorText({ errno, error }: { errno?: string; error?: string }): string | undefined {
  return errno === undefined && error === undefined ? undefined : [errno, error].filter(Boolean).join(': ');
}

function endView(end: VethEndView): PassthroughVethEndView {
  const { name, present, up, mtu, mac, addresses } = end;
  const error = errorText(end);
  return {
    name,
    present,
    up,
    ...(mac !== '' && { mac }),
    ...(mtu > 0 && { mtu }),
    addresses: [...addresses],
    ...(error !== undefined && { error }),
  };
}

function sessionViews(parts: PassthroughParts, look: PassthroughPlaneView): PassthroughSessionView[] {
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
