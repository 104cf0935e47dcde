// Which route protocols (rtm_protocol) of the kernel's main table are worth following: the kernel's own and those of
// people and of other programs. Not our own 179, and not redirects.

/** RTPROT_KERNEL, BOOT, STATIC, GATED, RA, MRT, ZEBRA, BIRD, DNROUTED, XORP, NTK, DHCP, keepalived, BABEL, OpenR, FRR's. */
export const routesForRouting: readonly number[] = [
  2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 42, 99, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195,
  196, 197, 198,
];
