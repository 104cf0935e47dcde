// Commands that ask the daemon: status, peers, routes, kernel, events, why, and the actions on a peer.

import type {
  ActionView,
  EventsView,
  EventView,
  KernelView,
  PeerAction,
  PeerDetailView,
  PeersView,
  RoutesView,
  RpkiView,
  StatusView,
  WhyView,
} from '../api/views.ts';
import { parseIp } from '../net/ip.ts';
import type { Context } from './context.ts';
import { ABSENT, OK, usageError } from './exit.ts';
import { renderPeer, renderPeers, renderRoutes, renderStatus, renderWhy } from './render-bgp.ts';
import { renderEvent, renderKernel, renderRpki } from './render-system.ts';
import { printable } from './table.ts';

export async function showStatus(context: Context): Promise<number> {
  context.show(await context.client().get<StatusView>('/v1/status'), renderStatus);
  return OK;
}

/** All peers; or one in detail, which is exit 1 unless it is established. */
export async function showPeers(context: Context, name: string | undefined): Promise<number> {
  if (name === undefined) {
    context.show(await context.client().get<PeersView>('/v1/peers'), renderPeers);
    return OK;
  }
  const peer = await context.client().get<PeerDetailView>(`/v1/peers/${encodeURIComponent(name)}`);
  context.show(peer, renderPeer);
  return peer.state === 'established' ? OK : ABSENT;
}

export interface RouteOptions {
  family?: string;
  for?: string;
  peer?: string;
  community?: string;
  received?: boolean;
  advertised?: boolean;
  limit?: string;
  cursor?: string;
}

/** Routes that fit; an address instead of a prefix asks for its longest match. None for a given thing: exit 1. */
export async function showRoutes(
  context: Context,
  prefix: string | undefined,
  options: RouteOptions,
): Promise<number> {
  const query = new URLSearchParams();
  if (prefix !== undefined) query.set(parseIp(prefix) === undefined ? 'prefix' : 'for', prefix);
  if (options.for !== undefined && query.has('for'))
    throw usageError('an address is given twice', 'drop --for');
  for (const [key, value] of Object.entries(options))
    if (value !== undefined && value !== false) query.set(key, String(value));
  const text = query.toString();
  const view = await context.client().get<RoutesView>(text === '' ? '/v1/routes' : `/v1/routes?${text}`);
  const reasons = options.received === true || options.advertised === true;
  context.show(view, (routes, terminal) => renderRoutes(routes, terminal, reasons));
  const asked = prefix !== undefined || options.for !== undefined;
  return asked && view.routes.length === 0 ? ABSENT : OK;
}

/** What leafd wants in the kernel and what is there; exit 1 when something could not be written. */
export async function showKernel(context: Context, options: { limit?: string }): Promise<number> {
  const limit = options.limit === undefined ? '' : `?limit=${encodeURIComponent(options.limit)}`;
  const view = await context.client().get<KernelView>(`/v1/kernel${limit}`);
  context.show(view, renderKernel);
  return view.counts.failed > 0 || view.failures.length > 0 ? ABSENT : OK;
}

/** Caches and the file; exit 1 when no cache that is configured has data. */
export async function showRpki(context: Context): Promise<number> {
  const view = await context.client().get<RpkiView>('/v1/rpki');
  context.show(view, renderRpki);
  const { servers, file } = view;
  return (servers.length > 0 && !servers.some((one) => one.inUse)) || file?.error !== undefined ? ABSENT : OK;
}

export async function showWhy(context: Context, thing: string): Promise<number> {
  const view = await context.client().get<WhyView>(`/v1/why?thing=${encodeURIComponent(thing)}`);
  context.show(view, renderWhy);
  return OK;
}

/** Events kept, then with `follow` those that happen, one JSON document a line with -j. */
export async function showEvents(
  context: Context,
  options: { follow?: boolean; since?: string },
): Promise<number> {
  const since = options.since ?? (options.follow === true ? undefined : '0');
  if (since !== undefined && !/^\d{1,15}$/.test(since))
    throw usageError('--since takes the number of an event', 'the first column of leafctl events');
  if (options.follow !== true) {
    const view = await context.client().get<EventsView>(`/v1/events?since=${since}&limit=10000`);
    context.show(view, (one, terminal) => one.events.map((event) => renderEvent(event, terminal)).join(''));
    if (view.lost > 0) context.remark(`${view.lost} earlier events are no longer kept\n`);
    return OK;
  }
  const { terminal } = context;
  const write = (event: EventView): void =>
    terminal.out(context.json ? `${JSON.stringify(event)}\n` : renderEvent(printable(event), terminal));
  await context.client().events(since === undefined ? undefined : Number(since), write, terminal.interrupted);
  return OK;
}

export async function actOnPeer(
  context: Context,
  name: string,
  action: PeerAction,
  text?: string,
): Promise<number> {
  const path = `/v1/peers/${encodeURIComponent(name)}/${action}`;
  const view = await context.client().post<ActionView>(path, text === undefined ? {} : { text });
  context.show(view, (one) => `${one.text}\n`);
  return OK;
}
