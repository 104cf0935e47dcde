// IPv4 routes that the kernel took with their link, told of all the same. When a link loses its carrier (a bridge does
// with its last port) the kernel deletes nexthop objects on it and the routes on these, and tells nobody of IPv4 ones:
// another routing daemon, which announces what it reads in the kernel, would announce them for ever (zebra looks at
// such links again only when they go down). So each is made once more, without an object, and deleted: that is told.
// One that is still there, because the kernel takes a second to see the carrier, is not made but deleted. Pure.

import {
  type MessageWriter,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  RTM_DELROUTE,
  RTM_NEWROUTE,
} from '../netlink/message.ts';
import { encodeKernelRoute, encodeRoute } from '../netlink/route.ts';
import type { KernelObject } from './fib-objects.ts';
import type { FibTable } from './fib-table.ts';

const RTN_UNICAST = 1;
const RT_SCOPE_LINK = 253;

/** A host or network on a link that is lost. */
export interface Farewell {
  address: number;
  length: number;
  metric: number;
  ifindex: number;
}

/** IPv4 routes that are on the object, which is a link without a gateway. */
export function farewellsOf(table: FibTable, object: KernelObject): Farewell[] {
  const farewells: Farewell[] = [];
  if (object.routes === 0 || object.gateway !== undefined || object.discard) return farewells;
  const { prefixes, metrics } = table;
  for (let id = 0; id < prefixes.idEnd; id++) {
    if (table.observed[id] !== object.slot) continue;
    const route = {
      address: prefixes.address[id]! >>> 0,
      length: prefixes.length[id]!,
      ifindex: object.ifindex,
    };
    farewells.push({ ...route, metric: metrics.has(id) });
    if (metrics.left(id) !== 0) farewells.push({ ...route, metric: metrics.left(id) });
  }
  return farewells;
}

/** Two messages, with this sequence number and the next. */
export function encodeFarewell(writer: MessageWriter, seq: number, table: FibTable, route: Farewell): void {
  const { address, length, metric, ifindex } = route;
  const { style } = table;
  encodeKernelRoute(writer, RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, seq, {
    family: style.family,
    bytes: Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address),
    length,
    table: style.table,
    protocol: style.protocol,
    type: RTN_UNICAST,
    scope: RT_SCOPE_LINK,
    tos: 0,
    metric,
    nhid: 0,
    hops: [{ ifindex, weight: 1, flags: 0 }],
    flags: 0,
  });
  encodeRoute(writer, RTM_DELROUTE, 0, seq + 1, style, address, 0, 0, 0, length, 0, metric);
}
