// Route protocols (rtm_protocol, include/uapi/linux/rtnetlink.h) of the kernel's main table: which are worth following,
// and which tell that another routing daemon reads and writes the same table.

/** The kernel's default routes out of router advertisements. */
export const RTPROT_RA = 9;

/** zebra, bird, dnrouted, xorp, babel, OpenR, and FRR's bgp to eigrp. */
const routingDaemons = new Set([
  11, 12, 13, 14, 42, 99, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196, 197, 198,
]);

/** Whether routes of this protocol are a routing daemon's. */
export function isRoutingDaemon(protocol: number): boolean {
  return routingDaemons.has(protocol);
}

/** The kernel's own, boot, static, gated, ra, mrt, ntk, dhcp, keepalived, and the daemons'. Not redirects, not ours. */
export const routesForRouting: readonly number[] = [2, 3, 4, 8, 9, 10, 15, 16, 18, ...routingDaemons];
