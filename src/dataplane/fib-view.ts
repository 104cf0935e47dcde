// What the forwarding table shows of itself: counts, pages of routes with their state, nexthop objects, and
// pages of the routes of others. Objects and text are made here only, for a page at a time.

import { RTPROT_LEAFD } from '../netlink/message.ts';
import {
  decodeRoute,
  encodeRouteDump,
  type KernelRoute,
  newRouteRecord,
  RTM_F_CLONED,
  readRoute,
} from '../netlink/route.ts';
import { isAbsentTable } from '../netlink/route-feed.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import { errnoName } from '../netlink/sys.ts';
import type { SetMember } from './fib-objects.ts';
import type { FibState } from './fib-state.ts';
import { FAILED, type FibTable, FOREIGN, failureKey, NONE, WAITING } from './fib-table.ts';

const PAGE = 1000;

export interface FamilyCounts {
  /** Routes wanted. */
  desired: number;
  /** Routes of ours in the kernel. */
  observed: number;
  /** Wanted and in the kernel as wanted. */
  done: number;
  pending: number;
  waiting: number;
  failed: number;
  conflicts: number;
  /** In the kernel from an earlier run and not wanted so far. */
  found: number;
}

export interface FibCounts {
  ipv4: FamilyCounts;
  ipv6: FamilyCounts;
  objects: number;
  sets: number;
}

export function fibCounts(state: FibState): FibCounts {
  const steps = fibCountSteps(state);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** As `fibCounts`, in steps of some 100 us: a table of a million routes takes ten milliseconds. */
export function* fibCountSteps(state: FibState): Generator<undefined, FibCounts> {
  const counts = { ipv4: noCounts(), ipv6: noCounts(), objects: 0, sets: 0 };
  for (const set of state.objects.sets) if (set) counts.sets++;
  for (const object of state.objects.slots) if (object?.present) counts.objects++;
  for (const [table, family] of [
    [state.tables[0], counts.ipv4],
    [state.tables[1], counts.ipv6],
  ] as const)
    for (let id = 0; id < table.prefixes.idEnd; id++) {
      countOne(state, table, id, family);
      if (id % COUNT_STEP === COUNT_STEP - 1) yield undefined;
    }
  return counts;
}

const COUNT_STEP = 8192;

function noCounts(): FamilyCounts {
  return { desired: 0, observed: 0, done: 0, pending: 0, waiting: 0, failed: 0, conflicts: 0, found: 0 };
}

function countOne(state: FibState, table: FibTable, id: number, counts: FamilyCounts): void {
  const desired = table.desired[id] !== NONE;
  const observed = table.observed[id] !== NONE;
  if (!desired && !observed) return;
  if (observed) counts.observed++;
  if (desired) counts.desired++;
  const flags = table.flags[id]!;
  if ((flags & FAILED) !== 0) {
    if ((flags & FOREIGN) !== 0) counts.conflicts++;
    else counts.failed++;
  } else if (!desired) counts.found++;
  else if ((flags & WAITING) !== 0) counts.waiting++;
  else if (state.routeState(table, id) === 'done') counts.done++;
  else counts.pending++;
}

export type RouteState = ReturnType<FibState['routeState']>;

export interface RouteQuery {
  /** 0 IPv4 (default), 1 IPv6. */
  family?: number;
  /** Where the last page ended (`next`). */
  cursor?: number;
  limit?: number;
  /** Only those that are not as desired. */
  different?: boolean;
}

export interface RouteView {
  family: number;
  /** Destination, 4 or 16 bytes. */
  bytes: Uint8Array;
  length: number;
  state: RouteState;
  /** What is wanted; absent of a route that is only found. */
  members?: readonly SetMember[];
  /** Kernel nexthop id the route has now; absent where no route of ours is there or it is not known. */
  nhid?: number;
  /** In the kernel now, in whatever form. */
  installed: boolean;
  /** Of the route that is in the kernel; else the one wanted. */
  metric: number;
  /** Of `error` and `conflict`: the errno's name and the kernel's words. */
  errno?: string;
  text?: string;
}

export interface RoutePage {
  routes: RouteView[];
  /** Absent on the last page. */
  next?: number;
}

export function fibRoutes(state: FibState, query: RouteQuery): RoutePage {
  const table = state.tables[query.family ?? 0]!;
  const limit = Math.min(query.limit ?? PAGE, PAGE);
  const page: RoutePage = { routes: [] };
  for (let id = query.cursor ?? 0; id < table.prefixes.idEnd; id++) {
    if (table.desired[id] === NONE && table.observed[id] === NONE) continue;
    if (query.different && state.routeState(table, id) === 'done') continue;
    if (page.routes.length === limit) {
      page.next = id;
      return page;
    }
    page.routes.push(viewOf(state, table, id));
  }
  return page;
}

/** The view of one prefix (words as in FibBatch), or undefined when it is neither wanted nor there. */
export function fibRoute(
  state: FibState,
  family: number,
  words: readonly number[],
  length: number,
): RouteView | undefined {
  const table = state.tables[family]!;
  const id = table.find(words[0]!, words[1] ?? 0, words[2] ?? 0, words[3] ?? 0, length);
  return id < 0 ? undefined : viewOf(state, table, id);
}

function viewOf(state: FibState, table: FibTable, id: number): RouteView {
  const words = table.prefixes.words;
  const bytes = new Uint8Array(words * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < words; i++) view.setUint32(i * 4, table.prefixes.address[id * words + i]!);
  const observed = table.observed[id]!;
  const set = table.desired[id] === NONE ? undefined : state.objects.sets[table.desired[id]!];
  const failure = state.failures.get(failureKey(table, id));
  return {
    family: table === state.tables[0] ? 0 : 1,
    bytes,
    length: table.prefixes.length[id]!,
    state: state.routeState(table, id),
    installed: observed !== NONE,
    metric: observed === NONE ? table.metrics.wanted(id) : table.metrics.has(id),
    ...(set && { members: set.members }),
    ...(observed >= 0 && { nhid: state.objects.slots[observed]!.id }),
    ...(failure && { errno: errnoName(failure.errno), text: failure.text }),
  };
}

export interface ObjectView {
  id: number;
  kind: 'nexthop' | 'group';
  gateway?: Uint8Array;
  ifindex: number;
  members: { id: number; weight: number }[];
  state: 'done' | 'pending' | 'waiting' | 'error' | 'found';
  routes: number;
  errno?: string;
  text?: string;
}

export function objectViews(state: FibState): ObjectView[] {
  const views: ObjectView[] = [];
  for (const object of state.objects.slots) {
    if (!object) continue;
    const unused = object.uses === 0;
    const waiting = object.group
      ? state.objects.liveMembers(object).length === 0
      : state.links.get(object.ifindex)?.usable !== true;
    const settled = object.present && !object.writing && !state.objects.needsWrite(object);
    const idle = settled ? 'done' : waiting ? 'waiting' : 'pending';
    views.push({
      id: object.id,
      kind: object.group ? 'group' : 'nexthop',
      ifindex: object.ifindex,
      members: object.group ? object.kernelMembers : [],
      state: unused ? 'found' : object.errno !== 0 ? 'error' : idle,
      routes: object.routes,
      ...(object.gateway && { gateway: object.gateway }),
      ...(object.errno !== 0 && { errno: errnoName(object.errno), text: object.text }),
    });
  }
  return views;
}

export interface ForeignPage {
  routes: KernelRoute[];
  /** All routes of others in the table, beyond the page too. */
  total: number;
}

/** Routes of other protocols in a table, `limit` from `offset` on; reads the kernel's table now. */
export async function foreignRoutes(
  rtnl: Rtnl,
  table: number,
  query: { family?: number; offset?: number; limit?: number },
): Promise<ForeignPage> {
  const offset = query.offset ?? 0;
  const limit = Math.min(query.limit ?? PAGE, PAGE);
  const record = newRouteRecord();
  const page: ForeignPage = { routes: [], total: 0 };
  const request = {
    encode: (w: Parameters<typeof encodeRouteDump>[0], seq: number): void =>
      encodeRouteDump(w, seq, query.family === 1 ? 10 : 2, table),
    onRestart: () => {
      page.routes = [];
      page.total = 0;
    },
    onMessage: (_type: number, _flags: number, bytes: Uint8Array, start: number, end: number): void => {
      if (!readRoute(record, bytes, start, end)) return;
      if (record.protocol === RTPROT_LEAFD || record.table !== table || (record.flags & RTM_F_CLONED) !== 0)
        return;
      const at = page.total++;
      if (at < offset || page.routes.length >= limit) return;
      const route = decodeRoute(bytes, start, end);
      if (route) page.routes.push(route);
    },
  };
  try {
    await rtnl.dump(request);
  } catch (error) {
    if (!isAbsentTable(error)) throw error;
  }
  return page;
}
