// Everything of leafd's removed from a namespace: routes, guests, addresses, sysctls. A file of its own, because a
// daemon that runs needs none of it.

import type { LinkMonitor } from '../netlink/monitor.ts';
import { kernelRtnl } from '../netlink/rtnl.ts';
import { flushHost } from './dataplane.ts';
import { flushRoutes } from './flush.ts';
import { flushGuests, type GuestFlushReport } from './guest-plane.ts';
import { kernelSysctls, loadKernelState } from './sysctl.ts';

export interface FlushReport {
  routes: number;
  objects: number;
  addresses: number;
  sysctls: number;
  guests: GuestFlushReport;
}

/** Removes everything of leafd's from a namespace (absent: that of the process), without a running daemon. */
export function flushAll(options: { stateDir: string; netns?: string; links: LinkMonitor }): FlushReport {
  const rtnl = kernelRtnl(options.netns);
  try {
    const removed = flushRoutes(rtnl);
    const guests = flushGuests({ ...options, rtnl });
    const state = loadKernelState(options.stateDir);
    const ifindexOf = (name: string): number => options.links.linkByName(name)?.ifindex ?? 0;
    return {
      ...removed,
      guests,
      ...flushHost(rtnl, kernelSysctls(options.netns), options.stateDir, state, ifindexOf),
    };
  } finally {
    rtnl.close();
  }
}
