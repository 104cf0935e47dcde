// Removes from the kernel what carries leafd's mark, whether a daemon runs or not: routes of protocol 179 in
// every table, then groups, then nexthop objects, then addresses with IFA_PROTO 179. Exact: nothing else is
// touched. Sysctls are restored by sysctl.ts from what was saved.

import {
  decodeAddress,
  encodeAddressDelete,
  encodeAddressDump,
  type LinkAddress,
} from '../netlink/address.ts';
import { type MessageWriter, RTM_DELROUTE, RTM_NEWROUTE, RTPROT_LEAFD } from '../netlink/message.ts';
import { decodeNexthop, encodeNexthopDelete, encodeNexthopDump, type Nexthop } from '../netlink/nexthop.ts';
import {
  encodeRoute,
  encodeRouteDump,
  newRouteRecord,
  type RouteRecord,
  readRoute,
} from '../netlink/route.ts';
import { isAbsentTable } from '../netlink/route-feed.ts';
import type { Rtnl } from '../netlink/rtnl.ts';

const BATCH = 1000;
const AF_INET = 2;
const AF_INET6 = 10;

function inBatches<T>(
  rtnl: Rtnl,
  items: readonly T[],
  encode: (w: MessageWriter, seq: number, item: T) => void,
): number {
  let removed = 0;
  for (let from = 0; from < items.length; from += BATCH) {
    const part = items.slice(from, from + BATCH);
    const result = rtnl.write((writer, firstSeq) => {
      part.forEach((item, i) => void encode(writer, firstSeq + i, item));
    });
    removed += part.length - result.failed.length;
  }
  return removed;
}

/** Removes routes, groups and nexthop objects; returns how many. Blocks. */
export function flushRoutes(rtnl: Rtnl): { routes: number; objects: number } {
  const found: RouteRecord[] = [];
  for (const family of [AF_INET, AF_INET6]) {
    try {
      rtnl.dumpNow({
        encode: (w, seq) => encodeRouteDump(w, seq, family, 0, RTPROT_LEAFD),
        onMessage: (type, _flags, bytes, start, end) => {
          const record = newRouteRecord();
          if (type !== RTM_NEWROUTE || !readRoute(record, bytes, start, end)) return;
          if (record.protocol === RTPROT_LEAFD) found.push(record);
        },
      });
    } catch (error) {
      if (!isAbsentTable(error)) throw error;
    }
  }
  const routes = inBatches(rtnl, found, (w, seq, r) => {
    const style = { family: r.family, table: r.table, protocol: RTPROT_LEAFD, metric: r.metric };
    encodeRoute(w, RTM_DELROUTE, 0, seq, style, r.a, r.b, r.c, r.d, r.length, 0);
  });
  const ours: Nexthop[] = [];
  rtnl.dumpNow({
    encode: encodeNexthopDump,
    onMessage: (_type, _flags, bytes, start, end) => {
      const nexthop = decodeNexthop(bytes, start, end);
      if (nexthop?.protocol === RTPROT_LEAFD) ours.push(nexthop);
    },
  });
  ours.sort((a, b) => Number(a.group === undefined) - Number(b.group === undefined));
  const objects = inBatches(rtnl, ours, (w, seq, nexthop) => encodeNexthopDelete(w, seq, nexthop.id));
  return { routes, objects };
}

/**
 * Removes the addresses with our mark, and those of `remembered` (kernels without IFA_PROTO); returns how
 * many.
 */
export function flushAddresses(
  rtnl: Rtnl,
  remembered: (address: LinkAddress) => boolean = () => false,
): number {
  const ours: LinkAddress[] = [];
  rtnl.dumpNow({
    encode: (w, seq) => encodeAddressDump(w, seq),
    onMessage: (_type, _flags, bytes, start, end) => {
      const address = decodeAddress(bytes, start, end);
      if (address && (address.protocol === RTPROT_LEAFD || remembered(address))) ours.push(address);
    },
  });
  return inBatches(rtnl, ours, encodeAddressDelete);
}
