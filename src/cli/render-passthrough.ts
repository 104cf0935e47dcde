// L3 passthrough for people: one page from the namespace to the sessions. What is not as it should be has its words
// beside it.

import type {
  OpenperouterResourceView,
  OpenperouterView,
  PassthroughSessionView,
  PassthroughTrialView,
  PassthroughUplinkView,
  PassthroughVethEndView,
  PassthroughView,
} from '../api/views.ts';
import { passthroughStateText } from './render-bgp.ts';
import { age, type Column, details, table } from './table.ts';
import { type Colour, paint, type Terminal } from './terminal.ts';

type Ink = Pick<Terminal, 'colour'>;

export function renderPassthrough(view: PassthroughView, ink: Ink): string {
  const { netns, made, nodeIndex, veth, routes, openperouter } = view;
  const both = ({ ipv4, ipv6 }: typeof routes.toHost): string => `${ipv4} ipv4, ${ipv6} ipv6`;
  const head = details([
    ['namespace', `${netns}${made ? '' : ', made by others'}`],
    ['state', passthroughStateText(view, ink)],
    ['trial', trialText(view.trial, ink)],
    ['', trialHint(view.trial)],
    ['node index', nodeIndex],
    ['veth', veth && `${endText(veth.host, ink)} - ${endText(veth.router, ink)}`],
    ['routes', `to the fabric ${both(routes.toFabric)}; to the host ${both(routes.toHost)}`],
    ['openperouter', openperouter && conditionsText(openperouter, ink)],
    ...view.warnings.map((text) => ['warning', paint(ink, 'yellow', text)] as const),
  ]);
  return [
    head,
    uplinksTable(view.uplinks, ink),
    sessionsTable(view.sessions, ink),
    resourcesTable(openperouter?.resources ?? [], ink),
    problemsText(openperouter, ink),
    failuresTable(view.failures, ink),
  ]
    .filter(Boolean)
    .join('\n');
}

function trialText(
  { state, remainingSeconds, since, uplinks }: PassthroughTrialView,
  ink: Ink,
): string | undefined {
  const names = uplinks.join(', ');
  if (state === 'none') return undefined;
  if (state === 'confirmed') return `${names} confirmed`;
  if (state === 'running') {
    const left = remainingSeconds === undefined ? '' : `, ${remainingSeconds} s left`;
    const text = `${names} on trial${left}: taken back unless a session of the fabric comes up`;
    return paint(ink, 'yellow', text);
  }
  // The reason is in the line above.
  const when = since === undefined ? '' : ` at ${since}`;
  return paint(ink, 'red', `${names} taken back${when}`);
}

/** The way on. */
function trialHint({ state }: PassthroughTrialView): string | undefined {
  if (state === 'running')
    return 'leafctl passthrough confirm ends the trial, rollback takes them back at once';
  if (state !== 'rolledBack') return undefined;
  return 'tried again by leafctl passthrough retry, by another configuration, and when leafd starts';
}

/** `pt-host 192.169.10.2/24 fd00:10::2/64 mtu 9000 up`. */
function endText(end: PassthroughVethEndView, ink: Ink): string {
  const { name, present, up, mtu, addresses, error } = end;
  if (error !== undefined) return paint(ink, 'red', `${name} ${error}`);
  if (!present) return paint(ink, 'red', `${name} absent`);
  const state = up ? paint(ink, 'green', 'up') : paint(ink, 'red', 'down');
  const size = mtu === undefined ? [] : [`mtu ${mtu}`];
  return [name, ...addresses.filter(isTold), ...size, state].join(' ');
}

/** Every link has an address of its own; nobody gave it. */
const isTold = (address: string): boolean => !address.startsWith('fe80:');

const uplinkColours: Readonly<Record<PassthroughUplinkView['state'], Colour>> = {
  done: 'green',
  pending: 'yellow',
  error: 'red',
};

function uplinksTable(uplinks: readonly PassthroughUplinkView[], ink: Ink): string {
  const link = ({ place, up, carrier }: PassthroughUplinkView): string => {
    if (place === 'absent') return '';
    if (!up) return paint(ink, 'red', 'down');
    return carrier ? paint(ink, 'green', 'up') : paint(ink, 'red', 'no carrier');
  };
  return table(uplinks, [
    { title: 'Uplink', of: (one) => one.name },
    { title: 'Mode', of: ({ mode, vlan }) => (vlan === undefined ? mode : `${mode} ${vlan}`) },
    { title: 'Of', of: ({ mode, parent }) => (mode === 'move' ? '' : parent) },
    { title: 'State', of: ({ state }) => paint(ink, uplinkColours[state], state) },
    { title: 'Place', of: (one) => one.place },
    { title: 'Link', of: link },
    { title: 'MTU', of: (one) => String(one.mtu ?? ''), align: 'right' },
    { title: 'Addresses', of: (one) => one.addresses.filter(isTold).join(' ') },
    { title: 'Why', of: (one) => one.error ?? '' },
  ]);
}

function sessionsTable(sessions: readonly PassthroughSessionView[], ink: Ink): string {
  const isUp = ({ state }: PassthroughSessionView): boolean => state === 'established';
  const stateText = (one: PassthroughSessionView): string => {
    if (one.adminDown) return paint(ink, 'dim', 'shutdown');
    if (isUp(one)) return paint(ink, 'green', 'Established');
    return paint(ink, 'red', one.state[0]!.toUpperCase() + one.state.slice(1));
  };
  /** `20/10`: of IPv4 and of IPv6, where the session has both. */
  const counts =
    (of: (one: PassthroughSessionView['byFamily'][number]) => number) => (session: PassthroughSessionView) =>
      isUp(session) ? session.byFamily.map((one) => String(of(one))).join('/') : '';
  const columns: Column<PassthroughSessionView>[] = [
    { title: 'Session', of: (one) => one.peer },
    {
      title: 'With',
      of: ({ side, speaker, uplink }) => speaker ?? (side === 'fabric' ? (uplink ?? 'fabric') : ''),
    },
    { title: 'Side', of: (one) => one.side },
    { title: 'AS', of: (one) => String(one.remoteAsn ?? one.remoteAs), align: 'right' },
    { title: 'Up/Down', of: (one) => age(one.sinceSeconds) || 'never', align: 'right' },
    { title: 'State', of: stateText },
    { title: 'BFD', of: (one) => one.bfd ?? '' },
    { title: 'Families', of: (one) => one.byFamily.map(({ family }) => family).join('/') },
    { title: '|#Received', of: counts((one) => one.received), align: 'right' },
    { title: 'Accepted', of: counts((one) => one.accepted), align: 'right' },
    { title: 'Advertised', of: counts((one) => one.advertised), align: 'right' },
    { title: 'Why', of: (one) => (isUp(one) ? '' : (one.reason ?? '')) },
  ];
  return table(sessions, columns);
}

function conditionsText({ conditions }: OpenperouterView, ink: Ink): string {
  const ready = conditions.find(({ type }) => type === 'Ready');
  if (ready === undefined) return 'nothing told yet';
  if (ready.status === 'True') return paint(ink, 'green', 'Ready');
  const text = [ready.reason, ready.message].filter(Boolean).join(': ');
  return paint(ink, 'red', text === '' ? 'not Ready' : `not Ready: ${text}`);
}

const resourceColours: Readonly<Record<OpenperouterResourceView['state'], Colour>> = {
  applied: 'green',
  failed: 'red',
  unsupported: 'yellow',
  notSelected: 'dim',
};

function resourcesTable(resources: readonly OpenperouterResourceView[], ink: Ink): string {
  return table(resources, [
    { title: 'Resource', of: (one) => `${one.kind}/${one.name}` },
    { title: 'State', of: ({ state }) => paint(ink, resourceColours[state], state) },
    { title: 'Reason', of: (one) => one.reason ?? '' },
    { title: 'Message', of: (one) => one.message ?? '' },
    { title: 'Where', of: ({ where: { file, line } }) => `${file}:${line}` },
  ]);
}

/** Those of files; what is wrong with a resource stands beside it. */
function problemsText(openperouter: OpenperouterView | undefined, ink: Ink): string {
  const told = new Set(openperouter?.resources.map(({ message }) => message));
  const problems = openperouter?.problems.filter(({ reason }) => !told.has(reason)) ?? [];
  return problems
    .map(({ where: { file, line, column }, path, reason }) =>
      paint(ink, 'red', `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${reason}`),
    )
    .map((line) => `${line}\n`)
    .join('');
}

function failuresTable(failures: PassthroughView['failures'], ink: Ink): string {
  return table(failures, [
    { title: 'Failed', of: (one) => one.what },
    { title: 'Error', of: (one) => paint(ink, 'red', one.error) },
  ]);
}
