// Routes of ours that other daemons announce because they read them in the kernel (`bgp.speaker: none`): what the
// kernel does not tell them of, or FRR's zebra does not draw its conclusion from, is told by a route that drops
// packets, made for the same prefix and deleted at once. It needs no link and replaces nothing.
//
// - Farewells. When a link goes or loses its carrier (a bridge does with its last port) the kernel deletes the nexthop
//   objects on it and the routes on these, and is silent about IPv4. So the route itself is named once more; where the
//   kernel has not deleted it yet, because it takes up to a second to see the carrier, this deletes it.
// - Nudges. zebra tells nobody when a route gives way to another one on the same nexthop object: which the one with
//   another metric is. Any news of the prefix makes it look again: a route of the worst metric, which nobody follows.
//
// Objects of links stay when nothing uses them any more: zebra hears that one is gone before it has dealt with the
// routes that went first, and would make it anew, as its own. Pure.

import {
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  RTM_DELROUTE,
  RTM_NEWROUTE,
} from '../netlink/message.ts';
import { encodeKernelRoute, encodeRoute } from '../netlink/route.ts';
import { isLink, type KernelObject } from './fib-objects.ts';
import { type FibTable, NONE } from './fib-table.ts';

const RTN_BLACKHOLE = 6;
const WORST_METRIC = 0xffff_ffff;

export interface Notice {
  /** 1 or 4. */
  words: readonly number[];
  length: number;
  metric: number;
}

/** Of the routes on an object that is lost, if that is a link. */
export function farewellsOf(table: FibTable, object: KernelObject): Notice[] {
  const notices: Notice[] = [];
  if (object.routes === 0 || !isLink(object)) return notices;
  const { prefixes, metrics } = table;
  for (let id = 0; id < prefixes.idEnd; id++) {
    if (table.observed[id] !== object.slot) continue;
    const route = { words: table.wordsOf(id), length: prefixes.length[id]! };
    notices.push({ ...route, metric: metrics.has(id) });
    if (metrics.left(id) !== 0) notices.push({ ...route, metric: metrics.left(id) });
  }
  return notices;
}

/** Of the routes that have taken the place of others since the last time. */
export function nudgesOf(table: FibTable): Notice[] {
  const notices: Notice[] = [];
  for (const id of table.replaced?.splice(0) ?? [])
    if (table.prefixes.has(id) && table.observed[id] !== NONE)
      notices.push({ words: table.wordsOf(id), length: table.prefixes.length[id]!, metric: WORST_METRIC });
  return notices;
}

/** Two messages, with this sequence number and the next. */
export function encodeNotice(writer: MessageWriter, seq: number, table: FibTable, notice: Notice): void {
  const { words, length, metric } = notice;
  const { style } = table;
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  words.forEach((word, i) => {
    view.setUint32(i * 4, word);
  });
  encodeKernelRoute(writer, RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, seq, {
    family: style.family,
    bytes,
    length,
    table: style.table,
    protocol: style.protocol,
    type: RTN_BLACKHOLE,
    scope: 0,
    tos: 0,
    metric,
    nhid: 0,
    hops: [],
    flags: 0,
  });
  const [a = 0, b = 0, c = 0, d = 0] = words;
  encodeRoute(writer, RTM_DELROUTE, 0, seq + 1, style, a, b, c, d, length, 0, metric);
}
