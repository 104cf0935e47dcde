// The kernel, events, plans and labs for people.

import type {
  ApplyView,
  EventView,
  KernelRouteView,
  KernelView,
  PlanView,
  ProblemView,
  RpkiServerView,
  RpkiView,
} from '../api/views.ts';
import type { LabListEntry, LabView } from '../lab/lab.ts';
import { age, type Column, details, table } from './table.ts';
import { type Colour, paint, type Terminal } from './terminal.ts';

type Ink = Pick<Terminal, 'colour'>;

export function renderKernel(view: KernelView, ink: Ink): string {
  const { counts } = view;
  const head = details([
    [
      'routes',
      view.fib
        ? `table ${view.table}, metric ${view.metric}, protocol leafd`
        : 'not written (kernel.fib: false)',
    ],
    [
      'intended',
      `${counts.intended}: ${counts.installed} installed, ${counts.pending} pending, ${counts.failed} failed`,
    ],
    ['leftover', view.leftover.length === 0 ? undefined : `${view.leftover.length} of an earlier life`],
    ['foreign', `${counts.foreign}, never touched`],
  ]);
  const state = (route: KernelRouteView): string =>
    paint(ink, route.state === 'failed' ? 'red' : route.state === 'installed' ? 'green' : 'dim', route.state);
  const columns: Column<KernelRouteView>[] = [
    { title: 'Prefix', of: (route) => route.prefix },
    { title: 'Next hops', of: nextHopsText },
    { title: 'State', of: state },
    { title: 'Protocol', of: (route) => route.protocol ?? '' },
    { title: 'Error', of: (route) => route.error ?? '' },
  ];
  const failures = table(view.failures, [
    { title: 'Failed', of: (one) => one.what },
    { title: 'Error', of: (one) => paint(ink, 'red', one.error) },
  ]);
  const sysctls = table(view.sysctls, [
    { title: 'Sysctl', of: (one) => one.name },
    { title: 'Value', of: (one) => one.value },
    { title: 'Before', of: (one) => one.before },
  ]);
  const routes = table([...view.intended, ...view.leftover, ...view.foreign], columns);
  const cut = view.truncated ? 'lists are cut: --limit shows more\n' : '';
  return [head, failures, routes, sysctls, cut].filter(Boolean).join('\n');
}

const cacheColours = { down: 'red', connecting: 'yellow', syncing: 'yellow', synced: 'green' } as const;

export function renderRpki(view: RpkiView, ink: Ink): string {
  if (!view.enabled) return 'origin validation is off: no cache and no file is configured\n';
  const servers = table<RpkiServerView>(view.servers, [
    { title: ' ', of: (one) => (one.inUse ? '>' : ' ') },
    { title: 'Cache', of: (one) => one.address },
    { title: 'Port', of: (one) => String(one.port), align: 'right' },
    { title: 'State', of: (one) => paint(ink, cacheColours[one.state], one.state) },
    { title: 'Version', of: (one) => String(one.version ?? ''), align: 'right' },
    { title: 'Session', of: (one) => String(one.sessionId ?? ''), align: 'right' },
    { title: 'Serial', of: (one) => String(one.serial ?? ''), align: 'right' },
    { title: 'VRPs', of: (one) => String(one.vrps), align: 'right' },
    { title: 'Age', of: (one) => age(one.ageSeconds), align: 'right' },
    { title: 'Expires in', of: (one) => age(one.expiresInSeconds), align: 'right' },
    { title: 'Last error', of: (one) => one.lastError?.text ?? '' },
  ]);
  const { file } = view;
  const head = details([
    ['in use', `${view.vrps} payloads`],
    ['file', file && `${file.path}: ${file.vrps} payloads`],
    ['problem', file?.error && paint(ink, 'red', file.error)],
  ]);
  return [head, servers].filter(Boolean).join('\n');
}

function nextHopsText(route: KernelRouteView): string {
  const one = (hop: KernelRouteView['nextHops'][number]): string => {
    const weight = hop.weight > 1 ? ` weight ${hop.weight}` : '';
    return `${hop.gateway === undefined ? '' : `via ${hop.gateway} `}dev ${hop.interface}${weight}`;
  };
  return route.blackhole === true ? 'blackhole' : route.nextHops.map(one).join(', ');
}

const levelColours: Record<EventView['level'], Colour | undefined> = {
  info: undefined,
  warning: 'yellow',
  error: 'red',
};

export function renderEvent(event: EventView, ink: Ink): string {
  const colour = levelColours[event.level];
  const text = colour === undefined ? event.text : paint(ink, colour, event.text);
  return `${event.id}  ${event.at}  ${event.kind}  ${text}\n`;
}

const signs = { add: '+', remove: '-', change: '~' } as const;
const signColours = { add: 'green', remove: 'red', change: 'yellow' } as const;

function changeLines(changes: PlanView['changes'], ink: Ink): string {
  return changes
    .map((one) => `${paint(ink, signColours[one.kind], signs[one.kind])} ${one.text}  (${one.effect})\n`)
    .join('');
}

export function renderPlan(plan: PlanView, ink: Ink): string {
  if (plan.changes.length === 0) return 'nothing would change\n';
  return changeLines(plan.changes, ink);
}

export function renderApply(view: ApplyView, ink: Ink): string {
  if (view.changes.length === 0) return 'nothing changed\n';
  const waiting =
    view.needRestart.length === 0 ? '' : `waiting for a restart:\n${changeLines(view.needRestart, ink)}`;
  return changeLines(view.changes, ink) + waiting;
}

/** Warnings, as lines for stderr. */
export function warningLines(warnings: readonly ProblemView[]): string {
  return warnings
    .map((one) => {
      const hint = one.hint === undefined ? '' : ` (${one.hint})`;
      return `${one.where.file}:${one.where.line}:${one.where.column}: ${one.path}: warning: ${one.reason}${hint}\n`;
    })
    .join('');
}

export function renderLabs(labs: readonly LabListEntry[], ink: Ink): string {
  if (labs.length === 0) return 'no labs\n';
  return table(labs, [
    { title: 'Lab', of: (lab) => lab.name },
    { title: 'State', of: (lab) => paint(ink, lab.state === 'up' ? 'green' : 'red', lab.state) },
    { title: 'Nodes', of: (lab) => String(lab.nodes), align: 'right' },
    { title: 'File', of: (lab) => lab.file },
    { title: 'Made', of: (lab) => lab.createdAt },
  ]);
}

export function renderLab(lab: LabView, ink: Ink): string {
  const { established, expected } = lab.sessions;
  const head = `${lab.name}: ${lab.state}, ${established} of ${expected} sessions established\n`;
  const nodes = table(lab.nodes, [
    { title: 'Node', of: (node) => node.name },
    { title: 'Kind', of: (node) => node.kind },
    { title: 'AS', of: (node) => String(node.asn ?? ''), align: 'right' },
    { title: 'State', of: (node) => (node.alive ? paint(ink, 'green', 'up') : paint(ink, 'red', 'down')) },
    {
      title: 'Sessions',
      of: ({ sessions }) => (sessions.expected === 0 ? '' : `${sessions.established}/${sessions.expected}`),
      align: 'right',
    },
    { title: 'Namespace', of: ({ netns, routerNetns }) => [netns, routerNetns].filter(Boolean).join(' ') },
    { title: 'Problem', of: (node) => node.problem ?? '' },
  ]);
  const links = table(lab.links, [
    { title: 'Cable', of: (link) => `${link.a} - ${link.b}` },
    {
      title: 'State',
      of: (link) => {
        const text = link.lossPercent === undefined ? link.state : `${link.state} ${link.lossPercent}%`;
        return paint(ink, link.state === 'up' ? 'green' : 'red', text);
      },
    },
  ]);
  if (lab.guests.length === 0) return `${head}\n${nodes}\n${links}`;
  const guests = table(lab.guests, [
    { title: 'Guest', of: (guest) => guest.name },
    { title: 'On', of: (guest) => guest.on },
    { title: 'Port', of: (guest) => guest.port },
    { title: 'MAC', of: (guest) => guest.mac },
    { title: 'Addresses', of: (guest) => guest.addresses.join(' ') },
  ]);
  return `${head}\n${nodes}\n${links}\n${guests}`;
}
