// Status, peers, routes and explanations for people, in the columns that users of gobgp, birdc and vtysh look for.
// Views in, text out; programs read the views themselves with -j.

import type {
  AttributesView,
  BfdSessionView,
  BfdView,
  PassthroughStatusView,
  PeerDetailView,
  PeersView,
  PeerView,
  RoutesView,
  RouteView,
  StatusView,
  WhyView,
} from '../api/views.ts';
import { parsePrefix } from '../net/prefix.ts';
import { guestsSummary, guestsTrouble, renderGuestWhy } from './render-guests.ts';
import { age, type Column, details, table } from './table.ts';
import { paint, type Terminal } from './terminal.ts';

type Ink = Pick<Terminal, 'colour'>;

export function renderStatus(status: StatusView, ink: Ink): string {
  const { bgp, kernel, config } = status;
  const routes = status.routes.map((one) => `${one.family} ${one.prefixes} prefixes, ${one.paths} paths`);
  const restart = bgp.restarting;
  const text = details([
    ['node', status.node],
    [
      'labels',
      Object.entries(status.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(' '),
    ],
    ['leafd', `${status.version}, pid ${status.pid}, up ${age(status.uptimeSeconds)}`],
    ['bgp', bgpSummary(bgp)],
    ['refused', refusedText(bgp.refused)],
    ['peers', bgp.speaker === 'none' ? undefined : peersSummary(bgp.peers, ink)],
    [
      'restart',
      restart && `until ${restart.until}, waiting for ${restart.waitingFor.join(', ') || 'nobody'}`,
    ],
    ['routes', routes.join('; ')],
    ['kernel', kernel.fib ? kernelSummary(kernel, ink) : 'not written (kernel.fib: false)'],
    ['guests', status.guests && guestsSummary(status.guests, ink)],
    ['', status.guests && guestsTrouble(status.guests, ink)],
    ['passthrough', status.passthrough && passthroughSummary(status.passthrough, ink)],
    ['config', `${config.files.join(', ')}, loaded ${config.loadedAt}`],
    ['pending', config.needRestart && `until the next start: ${config.needRestart.join('; ')}`],
    ['memory', `${Math.round(status.memoryBytes / 1e6)} MB`],
  ]);
  if (config.lastError === undefined) return text;
  const { where, message } = config.lastError;
  const place = where === undefined ? '' : `${where.file}:${where.line}:${where.column}: `;
  return `${text}${paint(ink, 'red', `the last configuration was refused: ${place}${message}`)}\n`;
}

function bgpSummary({ speaker, asn, routerId, profile }: StatusView['bgp']): string {
  if (speaker === 'none') return 'spoken by another daemon of this machine (bgp.speaker: none)';
  return `AS ${asn}, router id ${routerId}${profile === undefined ? '' : `, profile ${profile}`}`;
}

function peersSummary({ established, known }: StatusView['bgp']['peers'], ink: Ink): string {
  const text = `${established} of ${known} established`;
  return established < known ? paint(ink, 'yellow', text) : text;
}

function refusedText(refused: StatusView['bgp']['refused']): string | undefined {
  if (refused === undefined) return undefined;
  return Object.entries(refused)
    .map(([why, count]) => `${count} ${why}`)
    .join(', ');
}

function kernelSummary(kernel: StatusView['kernel'], ink: Ink): string {
  const failed = kernel.failed === 0 ? '' : paint(ink, 'red', `, ${kernel.failed} failed`);
  const pending = kernel.pending === 0 ? '' : `, ${kernel.pending} pending`;
  return `${kernel.installed} routes installed${pending}${failed}`;
}

const passthroughColours = { up: 'green', degraded: 'yellow', down: 'red', rolledBack: 'red' } as const;

/** The one word, and why it is not `up`. */
export function passthroughStateText(
  { state, reason }: Pick<PassthroughStatusView, 'state' | 'reason'>,
  ink: Ink,
): string {
  return paint(ink, passthroughColours[state], state) + (reason === undefined ? '' : `: ${reason.text}`);
}

/** `up in perouter, 2 of 2 sessions with the fabric, 3 of 3 with the host`. */
function passthroughSummary(status: PassthroughStatusView, ink: Ink): string {
  const { netns, state, fabric, host, remainingSeconds } = status;
  const trial = remainingSeconds === undefined ? '' : `, on trial for ${remainingSeconds} s more`;
  const more = state === 'rolledBack' || state === 'down' ? ' (leafctl passthrough says why)' : '';
  return (
    `${passthroughStateText({ state }, ink)} in ${netns}, ${fabric.established} of ${fabric.known} sessions ` +
    `with the fabric, ${host.established} of ${host.known} with the host${trial}${more}`
  );
}

/** The state's word: an administrator's decision before the protocol's. */
function stateText(peer: PeerView, ink: Ink): string {
  if (peer.adminDown) return paint(ink, 'dim', 'shutdown');
  if (peer.state === 'established') return paint(ink, 'green', 'Established');
  return paint(ink, 'red', peer.state[0]!.toUpperCase() + peer.state.slice(1));
}

export function renderPeers(view: PeersView, ink: Ink): string {
  if (view.peers.length === 0) return 'no peers\n';
  const count = (of: (peer: PeerView) => number) => (peer: PeerView) =>
    peer.state === 'established' ? String(of(peer)) : '';
  const columns: Column<PeerView>[] = [
    { title: 'Peer', of: (peer) => peer.name },
    { title: 'Host', of: (peer) => peer.hostname ?? '' },
    { title: 'AS', of: (peer) => String(peer.remoteAsn ?? peer.remoteAs), align: 'right' },
    { title: 'Up/Down', of: (peer) => age(peer.sinceSeconds) || 'never', align: 'right' },
    { title: 'State', of: (peer) => stateText(peer, ink) },
    { title: '|#Received', of: count((peer) => peer.received), align: 'right' },
    { title: 'Accepted', of: count((peer) => peer.accepted), align: 'right' },
    { title: 'Advertised', of: count((peer) => peer.advertised), align: 'right' },
    { title: 'Why', of: (peer) => (peer.state === 'established' ? '' : (peer.reason ?? '')) },
  ];
  return table(view.peers, columns);
}

export function renderPeer(peer: PeerDetailView, ink: Ink): string {
  const { configured, negotiated } = peer.timers;
  const seconds = (one: { holdSeconds: number; keepaliveSeconds: number }) =>
    `hold ${one.holdSeconds}s, keepalive ${one.keepaliveSeconds}s`;
  const retry = peer.retryInSeconds === undefined ? '' : `, tries again in ${peer.retryInSeconds} s`;
  const kind = peer.confederation
    ? ' (confederation)'
    : peer.internal === undefined
      ? ''
      : peer.internal
        ? ' (internal)'
        : ' (external)';
  const head = details([
    ['peer', peer.name],
    ['description', peer.description],
    ['group', peer.group],
    ['host', [peer.remote.hostname, peer.remote.domain].filter(Boolean).join('.')],
    [
      'state',
      `${stateText(peer, ink)}${peer.sinceSeconds === undefined ? '' : ` since ${age(peer.sinceSeconds)}`}${retry}`,
    ],
    ['why', peer.state === 'established' ? undefined : peer.reason],
    ['AS', `${peer.remoteAsn ?? peer.remoteAs}${kind}, ours ${peer.local.asn}`],
    ['remote', endText(peer.remote)],
    ['local', endText(peer.local)],
    ['interface', peer.interface],
    ['timers', `${seconds(configured)}, connect retry ${configured.connectRetrySeconds}s`],
    ['negotiated', negotiated && seconds(negotiated)],
    ['password', peer.authenticated ? 'yes (TCP-MD5)' : 'no'],
    ['role', roleText(peer)],
    ['confederation', peer.confederation ? 'another member AS of it' : undefined],
    ['ttl security', peer.ttlSecurityHops && `${peer.ttlSecurityHops} hops`],
    ['bfd', peer.bfd && bfdText(peer.bfd, ink)],
    ['bfd packets', peer.bfd?.session && bfdPacketsText(peer.bfd.session)],
    ['bfd last down', peer.bfd?.lastDown && `${peer.bfd.lastDown.at}: ${peer.bfd.lastDown.reason}`],
    ['policies', `import ${peer.import ?? 'by profile'}, export ${peer.export ?? 'by profile'}`],
    ['sent', peer.capabilities.sent.join(', ')],
    ['received', peer.capabilities.received.join(', ')],
    [
      'restart',
      peer.gracefulRestart &&
        ['graceful', `${peer.gracefulRestart.timeSeconds}s`, peer.gracefulRestart.families.join(' ')]
          .filter(Boolean)
          .join(', '),
    ],
    [
      'long-lived',
      peer.longLivedRestart?.families.map((one) => `${one.family} ${one.staleSeconds}s`).join(', '),
    ],
    ['sessions', `established ${peer.established} times`],
    ['last down', peer.lastDown && `${peer.lastDown.at}: ${peer.lastDown.reason}`],
    [
      'last error',
      peer.lastError && `${peer.lastError.direction} ${peer.lastError.at}: ${peer.lastError.text}`,
    ],
  ]);
  const families = table(peer.byFamily, [
    { title: 'Family', of: (one) => one.family },
    { title: '|#Received', of: (one) => String(one.received), align: 'right' },
    { title: 'Accepted', of: (one) => String(one.accepted), align: 'right' },
    { title: 'Rejected', of: (one) => String(one.rejected), align: 'right' },
    { title: 'Stale', of: staleText },
    { title: 'Advertised', of: (one) => String(one.advertised), align: 'right' },
    { title: 'End-of-RIB', of: (one) => endOfRibText(one) },
    { title: 'Limit', of: (one) => String(one.maxPrefix ?? ''), align: 'right' },
    { title: 'Add-Path', of: (one) => one.addPath ?? '' },
  ]);
  const faults = faultsText(peer);
  const messages = table(Object.entries(peer.messages), [
    { title: 'Messages', of: ([direction]) => direction },
    ...(['open', 'update', 'notification', 'keepalive', 'routeRefresh'] as const).map((name) => ({
      title: name[0]!.toUpperCase() + name.slice(1),
      of: ([, counts]: [string, PeerDetailView['messages']['sent']]) => String(counts[name]),
      align: 'right' as const,
    })),
  ]);
  return [head, families, messages, faults].filter(Boolean).join('\n');
}

/** `Up since 3m, sent every 50ms, expected every 50ms, lost after 150ms; ours 0x1f, theirs 0x2e`. */
function bfdText(bfd: BfdView, ink: Ink): string {
  const { session } = bfd;
  const { intervalMs, receiveMs, multiplier } = bfd.configured;
  if (session === undefined)
    return `${bfd.state}, configured ${intervalMs}ms x ${multiplier}, receive ${receiveMs}ms`;
  const state = paint(ink, bfd.state === 'up' ? 'green' : 'red', bfd.state);
  const since = bfd.sinceSeconds === undefined ? '' : ` since ${age(bfd.sinceSeconds)}`;
  const hops = session.multihop ? ', multihop' : '';
  const said = session.remoteDiagnostic === 'no diagnostic' ? '' : ` (${session.remoteDiagnostic})`;
  const { transmitMs, receiveMs: expectedMs, detectionMs } = session;
  const timing = `sent every ${transmitMs}ms, expected every ${expectedMs}ms, lost after ${detectionMs}ms`;
  const hex = (discriminator: number): string => `0x${discriminator.toString(16)}`;
  const names = `discriminator ${hex(session.localDiscriminator)}, theirs ${hex(session.remoteDiscriminator)}`;
  return `${state}${since}${hops}, the peer says ${session.remoteState}${said}; ${timing}; ${names}`;
}

function bfdPacketsText(session: BfdSessionView): string {
  const errors = session.sendErrors === 0 ? '' : `, ${session.sendErrors} not sent`;
  const calm = `flaps ${session.flaps}, longest silence ${session.worstGapMs}ms`;
  return `received ${session.packetsIn}, sent ${session.packetsOut}${errors}; ${calm}`;
}

function roleText({ role }: PeerDetailView): string | undefined {
  if (role === undefined) return undefined;
  return `ours ${role.local ?? 'not told'}, the peer's ${role.remote ?? 'not told'}`;
}

/** What the peer did wrong: counts, and the last of them with its bytes. */
function faultsText({ faults }: PeerDetailView): string {
  if (faults === undefined) return '';
  const counts = table(faults.counts, [
    { title: 'Faults', of: (one) => one.attribute },
    { title: 'Answer', of: (one) => one.disposition },
    { title: 'Count', of: (one) => String(one.count), align: 'right' },
    { title: 'Last', of: (one) => one.lastAt },
  ]);
  const last = faults.recent.at(-1);
  if (last === undefined) return counts;
  const place = last.offset === undefined ? '' : ` at offset ${last.offset}`;
  const bytes = last.bytes === undefined ? '' : `: ${last.bytes}`;
  return `${counts}last: ${last.attribute}${place}, ${last.reason}${bytes}\n`;
}

function endText(end: { routerId?: string; address?: string; port?: number }): string | undefined {
  if (end.address === undefined && end.routerId === undefined) return undefined;
  const port = end.port === undefined ? '' : ` port ${end.port}`;
  return `${end.address ?? ''}${port}${end.routerId === undefined ? '' : ` router id ${end.routerId}`}`.trim();
}

/** `2, long-lived, 38 s left`. */
function staleText({ stale, staleForSeconds, longLived }: PeerDetailView['byFamily'][number]): string {
  if (stale === 0) return '';
  const left = staleForSeconds === undefined ? '' : `, ${staleForSeconds} s left`;
  return `${stale}${longLived === true ? ', long-lived' : ''}${left}`;
}

function endOfRibText(one: PeerDetailView['byFamily'][number]): string {
  if (one.negotiated === false) return 'not offered by the peer';
  const both = [one.endOfRibReceived && 'received', one.endOfRibSent && 'sent'].filter(Boolean);
  return both.join(' ') || 'none';
}

/** `*` usable, `>` best, `=` shares the load, `S` stale. */
function flags(route: RouteView): string {
  const usable = route.accepted && route.reachable !== false ? '*' : ' ';
  const rank = route.best ? '>' : route.multipath ? '=' : ' ';
  return `${usable}${rank}${route.stale ? 'S' : ''}`;
}

function nextHopText(route: RouteView): string {
  if (route.blackhole === true) return 'blackhole';
  // A flow specification of a peer has no next hop at all.
  if (route.nextHop === undefined)
    return route.peer === undefined ? [route.source, route.interface ?? ''].join(' ').trim() : '';
  return route.interface === undefined ? route.nextHop : `${route.nextHop}%${route.interface}`;
}

const originLetters = { igp: 'i', egp: 'e', incomplete: '?' } as const;

/** What a route carries beside its AS path, in a few words. */
export function attributesText(attributes: AttributesView): string {
  const parts: string[] = [];
  if (attributes.origin !== undefined) parts.push(originLetters[attributes.origin]);
  if (attributes.localPref !== undefined) parts.push(`pref ${attributes.localPref}`);
  if (attributes.med !== undefined) parts.push(`med ${attributes.med}`);
  if (attributes.weight !== undefined) parts.push(`weight ${attributes.weight}`);
  for (const list of [attributes.communities, attributes.largeCommunities, attributes.extendedCommunities])
    if (list !== undefined && list.length > 0) parts.push(list.join(' '));
  if (attributes.onlyToCustomer !== undefined) parts.push(`otc ${attributes.onlyToCustomer}`);
  if (attributes.originatorId !== undefined) parts.push(`originator ${attributes.originatorId}`);
  return parts.join(', ');
}

const rpkiColours = { valid: 'green', invalid: 'red', notFound: 'dim' } as const;

function rpkiText(state: keyof typeof rpkiColours, ink: Ink): string {
  return paint(ink, rpkiColours[state], state);
}

/** What an NLRI carries beside its key. */
function nlriText({ nlri, family }: RouteView): string {
  if (nlri === undefined) return '';
  const labels = family === 'evpn' ? nlri.vnis : nlri.labels;
  const parts = [
    labels !== undefined && labels.length > 0 && `${family === 'evpn' ? 'vni' : 'label'} ${labels.join('/')}`,
    nlri.gateway !== undefined && !/^(0\.0\.0\.0|::)$/.test(nlri.gateway) && `gateway ${nlri.gateway}`,
    nlri.esi !== undefined && !/^0[0:]*$/.test(nlri.esi) && `esi ${nlri.esi}`,
  ];
  return parts.filter(Boolean).join(', ');
}

const routeColumns = (ink: Ink): Column<RouteView>[] => [
  { title: '  ', of: flags },
  { title: 'Network', of: (route) => (route.best ? paint(ink, 'bold', route.prefix) : route.prefix) },
  { title: 'Path ID', of: (route) => route.pathId?.toString() ?? '', align: 'right' },
  { title: 'Next Hop', of: nextHopText },
  { title: 'AS_PATH', of: (route) => route.attributes.asPath ?? '' },
  { title: 'Age', of: (route) => age(route.ageSeconds), align: 'right' },
  { title: 'Peer', of: (route) => route.peer ?? '' },
  {
    title: 'Attrs',
    of: (route) => [nlriText(route), attributesText(route.attributes)].filter(Boolean).join(', '),
  },
  { title: 'RPKI', of: (route) => (route.rpki === undefined ? '' : rpkiText(route.rpki, ink)) },
  {
    title: 'Kernel',
    of: (route) => (route.kernel === undefined || route.kernel === 'installed' ? '' : route.kernel),
  },
];

/** By address, then length, and of a prefix the path in use first; the daemon tells them as they came. */
function inOrder(routes: readonly RouteView[]): RouteView[] {
  const keys = new Map<RouteView, string>();
  for (const route of routes) {
    const parsed = parsePrefix(route.prefix);
    const { bytes, length } = parsed ?? { bytes: Buffer.from(route.prefix), length: 0 };
    const rank = route.best ? 0 : route.multipath ? 1 : route.accepted ? 2 : 3;
    keys.set(
      route,
      [parsed === undefined ? 255 : bytes.length, ...bytes, length, rank]
        .map((one) => String.fromCharCode(one))
        .join(''),
    );
  }
  const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  return [...routes].sort((a, b) => compare(keys.get(a)!, keys.get(b)!));
}

/** Rows of a table; with `reasons` the words for what was rejected or not sent. */
export function renderRoutes(view: RoutesView, ink: Ink, reasons: boolean): string {
  const columns = routeColumns(ink);
  if (reasons) columns.push({ title: 'Why', of: (route) => route.reason?.text ?? '' });
  const more =
    view.next === undefined
      ? ''
      : `there are more: --limit N shows more rows, --cursor ${view.next} those after these\n`;
  return view.routes.length === 0 ? 'no routes\n' : table(inOrder(view.routes), columns) + more;
}

export function renderWhy(why: WhyView, ink: Ink): string {
  const paths = table(why.paths, [
    { title: '  ', of: ({ route }) => flags(route) },
    { title: 'Next Hop', of: ({ route }) => nextHopText(route) },
    { title: 'Peer', of: ({ route }) => route.peer ?? '' },
    { title: 'AS_PATH', of: ({ route }) => route.attributes.asPath ?? '' },
    { title: 'RPKI', of: ({ route }) => (route.rpki === undefined ? '' : rpkiText(route.rpki, ink)) },
    { title: 'Verdict', of: ({ verdict }) => paint(ink, verdict === 'best' ? 'green' : 'dim', verdict) },
    {
      title: 'Why',
      of: ({ reason }) => (reason.rule === undefined ? reason.text : `${reason.text} (${reason.rule})`),
    },
  ]);
  const advertised = table(why.advertised, [
    { title: 'Sent to', of: (one) => one.peer },
    { title: '', of: (one) => (one.sent ? 'yes' : 'no') },
    {
      title: 'Why',
      of: (one) =>
        one.reason.rule === undefined ? one.reason.text : `${one.reason.text} (${one.reason.rule})`,
    },
  ]);
  const steps = (why.steps ?? []).map((one) => `- ${one.text}\n`).join('');
  const vrps = (why.vrps ?? []).map(
    ({ prefix, maxLength, asn }) => `rpki: AS ${asn} may announce ${prefix} up to /${maxLength}\n`,
  );
  const kernel =
    why.kernel === undefined
      ? ''
      : `kernel: ${why.kernel.state}${why.kernel.error ? `, ${why.kernel.error}` : ''}\n`;
  const guest = why.guest === undefined ? '' : renderGuestWhy(why.guest);
  // Alone it is the whole answer, summary and all.
  if (why.guest !== undefined && why.summary === why.guest.summary) return guest;
  return [guest, `${why.summary}\n`, steps, paths, vrps.join(''), kernel, advertised]
    .filter(Boolean)
    .join('\n');
}
