// Whether the host would lose its only way out: the links of its default routes in the main table.

import { RTM_NEWROUTE } from '../netlink/message.ts';
import { decodeRoute, encodeRouteDump, RT_TABLE_MAIN } from '../netlink/route.ts';
import { isAbsentTable } from '../netlink/route-feed.ts';
import type { Rtnl } from '../netlink/rtnl.ts';
import { AF_INET, AF_INET6 } from '../netlink/sys.ts';

/** Indexes of the links over which default routes lead. Blocks. Throws SysError or NetlinkError. */
export function defaultRouteLinks(rtnl: Rtnl): Set<number> {
  const links = new Set<number>();
  for (const family of [AF_INET, AF_INET6]) {
    try {
      rtnl.dumpNow({
        encode: (w, seq) => encodeRouteDump(w, seq, family, RT_TABLE_MAIN),
        onMessage: (type, _flags, bytes, start, end) => {
          const route = type === RTM_NEWROUTE ? decodeRoute(bytes, start, end) : undefined;
          if (route?.length === 0) for (const { ifindex } of route.hops) links.add(ifindex);
        },
      });
    } catch (error) {
      if (!isAbsentTable(error)) throw error;
    }
  }
  return links;
}
