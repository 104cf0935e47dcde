// Peers as views: the sessions there are, and the patterns and ranges that may bring more.

import { remoteAsText } from '../intent/diff-peers.ts';
import { formatIp, formatIp4 } from '../net/ip.ts';
import { prefixText } from '../net/prefix.ts';
import { familySettings, type PeerConfig } from '../router/config.ts';

import { isEnabled, type Peer } from '../router/peer.ts';
import type { Router } from '../router/router.ts';
import { describeDown } from '../session/reason.ts';
import { roles } from '../session/role.ts';
import type { Capability } from '../wire/bgp/capability.ts';
import { families, familiesIn } from '../wire/bgp/family.ts';
import { KEEPALIVE, NOTIFICATION, OPEN, ROUTE_REFRESH, UPDATE } from '../wire/bgp/header.ts';
import { type BfdLook, bfdView } from './bfd-views.ts';
import { faultsView } from './fault-views.ts';
import type {
  FamilyName,
  MessageCountsView,
  PeerDetailView,
  PeerFamilyView,
  PeerView,
  ReasonView,
} from './views.ts';
import { isoOf, secondsSince, type WallTime } from './wall-time.ts';

/** What BFD knows of a peer's path; absent where nobody asks it. */
export type LookAtBfd = (peer: Peer) => BfdLook;

/** Every session, then the patterns and ranges that have none. */
export function peerViews(router: Router, time: WallTime, bfd?: LookAtBfd): PeerView[] {
  const views = [...router.directory.byName.values()].map((peer) => peerView(router, peer, time, bfd));
  views.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  for (const config of router.directory.configs) {
    if (config.kind === 'address' || router.directory.countOf(config) > 0) continue;
    views.push(waitingView(config));
  }
  return views;
}

/** One session as a row. */
export function peerView(router: Router, peer: Peer, time: WallTime, bfd?: LookAtBfd): PeerView {
  const { config, negotiated } = peer;
  const sinceMs = peer.established === undefined ? peer.downAtMs : peer.establishedAtMs;
  const counts = familiesIn(config.families).map((family) => familyView(router, peer, family));
  const sum = (key: 'received' | 'accepted' | 'advertised'): number =>
    counts.reduce((total, count) => total + count[key], 0);
  const reason = reasonOf(router, peer);
  return {
    name: peer.name,
    kind: config.kind,
    dynamic: peer.dynamic,
    ...(config.description !== undefined && { description: config.description }),
    ...(config.group !== undefined && { group: config.group }),
    remoteAs: remoteAsText(config.remoteAs),
    ...(negotiated && { remoteAsn: negotiated.remoteAsn }),
    ...(peer.remote && { address: formatIp(peer.remote) }),
    ...(peer.interfaceName !== undefined && { interface: peer.interfaceName }),
    ...(negotiated?.fqdn && { hostname: negotiated.fqdn.host }),
    state: (peer.established ?? peer.second ?? peer.main).session.state,
    adminDown: config.shutdown || peer.adminDown,
    since: isoOf(time, sinceMs),
    sinceSeconds: secondsSince(time, sinceMs),
    families: familiesIn(negotiated?.families ?? config.families).map(familyName),
    received: sum('received'),
    accepted: sum('accepted'),
    advertised: sum('advertised'),
    ...(reason !== undefined && { reason }),
    ...(config.bfd && { bfd: bfdView(config.bfd, bfd?.(peer), time) }),
  };
}

/** One session in full. */
export function peerDetailView(router: Router, peer: Peer, time: WallTime, bfd?: LookAtBfd): PeerDetailView {
  const { config, negotiated, counters } = peer;
  const { session, local } = peer.established ?? peer.main;
  const error = peer.lastError;
  const { idleHold } = peer.main.session.timers;
  const restart = negotiated?.gracefulRestart;
  const internal = negotiated?.internal;
  const longLived = negotiated?.longLived;
  const faults = faultsView(peer.faults, time);
  // Of a peer that was refused for its role too.
  const offered = session.remoteOpen?.capabilities.find((one) => one.kind === 'role');
  const remoteRole = negotiated?.role ?? (offered && roles[offered.role]);
  return {
    ...peerView(router, peer, time, bfd),
    ...(internal !== undefined && { internal }),
    local: {
      asn: negotiated?.localAsn ?? router.config.asn,
      routerId: formatIp4(router.config.bgpId),
      ...(local && { address: formatIp(local) }),
    },
    remote: {
      ...(negotiated && { routerId: formatIp4(negotiated.remoteBgpId) }),
      ...(peer.remote && { address: formatIp(peer.remote), port: config.port }),
      ...(negotiated?.fqdn && { hostname: negotiated.fqdn.host }),
      ...(negotiated?.fqdn?.domain && { domain: negotiated.fqdn.domain }),
    },
    timers: {
      configured: configuredTimers(config),
      ...(negotiated && {
        negotiated: {
          holdSeconds: negotiated.holdTimeMs / 1000,
          keepaliveSeconds: negotiated.keepaliveMs / 1000,
        },
      }),
    },
    capabilities: {
      sent: (session.sentOpen?.capabilities ?? []).map(capabilityText),
      received: (session.remoteOpen?.capabilities ?? []).map(capabilityText),
    },
    messages: { sent: messageCounts(counters.sent), received: messageCounts(counters.received) },
    byFamily: familiesIn(config.families).map((family) => familyView(router, peer, family)),
    established: counters.establishedCount,
    ...(idleHold > router.nowMs && { retryInSeconds: Math.ceil((idleHold - router.nowMs) / 1000) }),
    ...(peer.lastDown && {
      lastDown: { at: isoOf(time, peer.downAtMs), reason: describeDown(peer.lastDown) },
    }),
    ...(error && {
      lastError: {
        at: isoOf(time, error.atMs),
        direction: error.reason.kind === 'notificationReceived' ? ('received' as const) : ('sent' as const),
        text: describeDown(error.reason),
      },
    }),
    ...(restart && {
      gracefulRestart: {
        restarting: restart.restartState,
        timeSeconds: restart.timeMs / 1000,
        families: familiesIn(restart.families).map(familyName),
        notification: restart.notification,
      },
    }),
    ...(longLived && {
      longLivedRestart: {
        families: familiesIn(longLived.families).map((family) => ({
          family: familyName(family),
          staleSeconds: longLived.staleTimeMs[family]! / 1000,
        })),
      },
    }),
    ...(negotiated?.confederation && { confederation: true }),
    ...((config.role !== undefined || remoteRole !== undefined) && {
      role: {
        ...(config.role !== undefined && { local: config.role }),
        ...(remoteRole !== undefined && { remote: remoteRole }),
      },
    }),
    ...(faults && { faults }),
    ...(config.ttlSecurity && { ttlSecurityHops: config.multihop }),
    authenticated: config.password !== undefined,
    import: router.filters.importChoice(peer, internal ?? config.remoteAs.kind === 'internal').name,
    export: router.filters.exportChoice(peer, internal ?? config.remoteAs.kind === 'internal').name,
  };
}

export function familyName(id: number): FamilyName {
  return families[id]!.name;
}

function familyView(router: Router, peer: Peer, family: number): PeerFamilyView {
  const { perPeer } = router.ribs[family]!;
  const received = perPeer.received[peer.index] ?? 0;
  const accepted = perPeer.accepted[peer.index] ?? 0;
  const bit = 1 << family;
  const { maxPrefix } = familySettings(peer.config, family);
  const sends = ((peer.negotiated?.addPathSend ?? 0) & bit) !== 0;
  const receives = ((peer.negotiated?.addPathReceive ?? 0) & bit) !== 0;
  return {
    family: familyName(family),
    ...(peer.negotiated && { negotiated: (peer.negotiated.families & bit) !== 0 }),
    received,
    accepted,
    rejected: received - accepted,
    ...staleView(router, peer, family),
    advertised: router.advertiser.advertisedCount(peer, family),
    endOfRibReceived: (peer.restart.endOfRibReceived & bit) !== 0,
    endOfRibSent: router.advertiser.hasSentEndOfRib(peer, family),
    ...(maxPrefix && { maxPrefix: maxPrefix.limit }),
    ...(sends || receives ? { addPath: sends && receives ? 'both' : sends ? 'send' : 'receive' } : {}),
  };
}

/** Counts of routes alone, by family. */
export function familyCounts(
  router: Router,
  peer: Peer,
): Pick<PeerFamilyView, 'family' | 'received' | 'accepted' | 'advertised'>[] {
  return familiesIn(peer.config.families).map((family) => ({
    family: familyName(family),
    received: router.ribs[family]!.perPeer.received[peer.index] ?? 0,
    accepted: router.ribs[family]!.perPeer.accepted[peer.index] ?? 0,
    advertised: router.advertiser.advertisedCount(peer, family),
  }));
}

/** What is kept of a peer that restarts, and for how long yet. */
function staleView(
  router: Router,
  { index, established, restart }: Peer,
  family: number,
): Pick<PeerFamilyView, 'stale' | 'staleForSeconds' | 'longLived'> {
  const bit = 1 << family;
  if ((restart.stale & bit) === 0) return { stale: 0 };
  const longLived = (restart.longLived & bit) !== 0;
  const untilMs = longLived
    ? restart.longLivedUntilMs[family]!
    : established === undefined
      ? restart.backByMs
      : restart.refreshedByMs;
  const seconds = Math.max(0, Math.ceil((untilMs - router.nowMs) / 1000));
  return {
    stale: router.ribs[family]!.perPeer.retained[index] ?? 0,
    ...(untilMs > 0 && Number.isFinite(untilMs) && { staleForSeconds: seconds }),
    ...(longLived && { longLived }),
  };
}

export function reasonOf(router: Router, peer: Peer): string | undefined {
  if (peer.established !== undefined) return undefined;
  if (peer.config.shutdown || peer.adminDown) return 'shut down here';
  if (!isEnabled(peer, router.nowMs)) return heldText(peer, router.nowMs);
  const link = peer.ifindex === 0 ? undefined : router.directory.links.get(peer.ifindex);
  if (peer.ifindex !== 0 && link?.up !== true) return 'interface down';
  if (peer.config.kind === 'address' && peer.config.interface !== undefined && peer.ifindex === 0)
    return `there is no interface ${peer.config.interface}`;
  if (peer.remote === undefined) return 'no neighbour heard';
  if (!router.mayCall(peer)) return 'not called: its link is down, or the way leads over another neighbour';
  const { lastError } = peer.main.session;
  if (lastError === undefined) return silenceText(peer);
  const refused = refusedText(peer);
  // A peer that refuses us refuses the connection for a while too; what it said before is the better reason.
  // Not what was said before it was Established, nor which of two connections was kept.
  const said = peer.lastError;
  const isNews = said?.reason.kind !== 'collision' && (said?.atMs ?? 0) >= peer.establishedAtMs;
  const told = lastError.code === undefined && isNews ? said : undefined;
  const before = told === undefined ? '' : `; before: ${describeDown(told.reason)}`;
  const also = refused === undefined || lastError.text === refused ? '' : `; refused meanwhile: ${refused}`;
  return `${describeDown(lastError)}${before}${also}`;
}

/** Of a connection with the peer's address that was somebody else's, since it was up last. */
function refusedText({ lastRefused, establishedAtMs }: Peer): string | undefined {
  return lastRefused !== undefined && lastRefused.atMs >= establishedAtMs ? lastRefused.text : undefined;
}

/** A session that has heard neither yes nor no: what it waits for, and what may keep that away without a word. */
function silenceText(peer: Peer): string | undefined {
  const { state, incoming } = peer.main.session;
  const obstacles = silentObstacles(peer).map(({ text }) => `; ${text}`);
  if (state === 'connect') return `no answer yet${obstacles.join('')}`;
  if (state === 'openSent') return `connected, no OPEN yet${obstacles.join('')}`;
  const waits = state === 'active' && peer.config.passive && !incoming;
  return waits ? `passive: the peer has not called yet${obstacles.join('')}` : undefined;
}

/** What keeps packets of a peer away without a word from anyone. */
export function silentObstacles(peer: Peer): ReasonView[] {
  const { established, main, config } = peer;
  const { state } = main.session;
  if (established !== undefined || !['connect', 'active', 'openSent'].includes(state)) return [];
  const steps: ReasonView[] = [];
  // Where there is a connection, the keys are the same.
  if (config.password !== undefined && !main.connected)
    steps.push({
      code: 'password',
      text: 'a password is set: packets of a peer with another one, or none, are lost',
    });
  const hops = config.multihop === 1 ? '1 hop' : `${config.multihop} hops`;
  if (config.ttlSecurity)
    steps.push({ code: 'ttlSecurity', text: `TTL security: packets from farther than ${hops} are lost` });
  const refused = refusedText(peer);
  if (refused !== undefined) steps.push({ code: 'users', text: `a connection was refused: ${refused}` });
  return steps;
}

/** Too many prefixes: the limit, and when or how the session comes back. */
function heldText(peer: Peer, nowMs: number): string {
  const limit = peer.config.maxPrefix === undefined ? '' : ` (limit ${peer.config.maxPrefix.limit})`;
  const until = Number.isFinite(peer.heldUntilMs)
    ? `tried again in ${Math.ceil((peer.heldUntilMs - nowMs) / 1000)} s`
    : `down until leafctl peer enable ${peer.name}`;
  if (peer.lastDown?.kind === 'outOfResources') return `too many path attributes: ${until}`;
  return `too many prefixes${limit}: ${until}`;
}

/** A configured pattern or range, by the name its row has; undefined when there is none of that name. */
export function waitingDetailView(router: Router, name: string): PeerDetailView | undefined {
  const config = waitingConfig(router, name);
  if (config === undefined) return undefined;
  const names = peersOf(router, config);
  const most = config.kind === 'range' ? ` of at most ${config.limit}` : '';
  const zero = { open: 0, update: 0, notification: 0, keepalive: 0, routeRefresh: 0 };
  const none = { received: 0, accepted: 0, rejected: 0, stale: 0, advertised: 0 };
  return {
    ...waitingView(config),
    ...(names.length > 0 && { reason: `${names.length}${most} here: ${names.join(', ')}` }),
    local: { asn: router.config.asn, routerId: formatIp4(router.config.bgpId) },
    remote: {},
    timers: { configured: configuredTimers(config) },
    capabilities: { sent: [], received: [] },
    messages: { sent: zero, received: { ...zero } },
    byFamily: familiesIn(config.families).map((family) => ({
      family: familyName(family),
      ...none,
      endOfRibReceived: false,
      endOfRibSent: false,
      ...(config.maxPrefix && { maxPrefix: config.maxPrefix.limit }),
    })),
    established: 0,
    ...(config.ttlSecurity && { ttlSecurityHops: config.multihop }),
    authenticated: config.password !== undefined,
    ...(config.import && { import: config.import.name }),
    ...(config.export && { export: config.export.name }),
  };
}

/** The pattern or range that is called so. */
export function waitingConfig(router: Router, name: string): WaitingConfig | undefined {
  for (const config of router.directory.configs)
    if (config.kind !== 'address' && waitingName(config) === name) return config;
  return undefined;
}

/** Names of the peers that a pattern or range has brought. */
export function peersOf(router: Router, config: PeerConfig): string[] {
  return [...router.directory.byName.values()]
    .filter((peer) => peer.config === config)
    .map((one) => one.name);
}

export type WaitingConfig = PeerConfig & { kind: 'interface' | 'range' };

function waitingName(config: WaitingConfig): string {
  return config.kind === 'interface' ? config.pattern : (config.name ?? prefixText(config.range));
}

function configuredTimers(config: PeerConfig): PeerDetailView['timers']['configured'] {
  return {
    holdSeconds: config.holdTimeMs / 1000,
    keepaliveSeconds: (config.keepaliveMs ?? config.holdTimeMs / 3) / 1000,
    connectRetrySeconds: config.connectRetryMs / 1000,
  };
}

function waitingView(config: WaitingConfig): PeerView {
  return {
    name: waitingName(config),
    kind: config.kind,
    dynamic: false,
    ...(config.description !== undefined && { description: config.description }),
    ...(config.group !== undefined && { group: config.group }),
    remoteAs: remoteAsText(config.remoteAs),
    state: 'idle',
    adminDown: config.shutdown,
    families: familiesIn(config.families).map(familyName),
    received: 0,
    accepted: 0,
    advertised: 0,
    reason: config.kind === 'interface' ? 'no interface matches' : 'nobody has come',
  };
}

function messageCounts(byType: Uint32Array): MessageCountsView {
  return {
    open: byType[OPEN]!,
    update: byType[UPDATE]!,
    notification: byType[NOTIFICATION]!,
    keepalive: byType[KEEPALIVE]!,
    routeRefresh: byType[ROUTE_REFRESH]!,
  };
}

function capabilityText(capability: Capability): string {
  switch (capability.kind) {
    case 'multiprotocol':
      return `multiprotocol ${familyText(capability.afi, capability.safi)}`;
    case 'asn4':
      return `asn4 ${capability.asn}`;
    case 'fqdn':
      return `fqdn ${capability.host}`;
    case 'gracefulRestart':
      return `gracefulRestart ${capability.timeS} s${capability.restartState ? ', restarted' : ''}`;
    case 'longLivedGracefulRestart': {
      const times = capability.families.map((one) => `${familyText(one.afi, one.safi)} ${one.staleTimeS} s`);
      return ['longLivedGracefulRestart', ...times].join(' ');
    }
    case 'role':
      return `role ${roles[capability.role] ?? capability.role}`;
    case 'addPath': {
      const ways = capability.entries.map((one) => {
        const way = ['', 'receive', 'send', 'send and receive'][one.sendReceive] ?? one.sendReceive;
        return `${familyText(one.afi, one.safi)} ${way}`;
      });
      return `addPath ${ways.join(', ')}`;
    }
    case 'unknown':
      return `code ${capability.code}`;
    default:
      return capability.kind;
  }
}

function familyText(afi: number, safi: number): string {
  return families.find((family) => family.afi === afi && family.safi === safi)?.name ?? `${afi}/${safi}`;
}
