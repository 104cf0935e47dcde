// Router advertisements for guests (RFC 4861 section 6.2): the gateway is the default router, addresses come by
// DHCPv6 (M) and so do name servers (O). There is no prefix, so that a guest takes nothing but its own address to be
// on the link. When to send unasked is the caller's: at once when a port comes up, and every ADVERTISE_EVERY_MS.

import type { ByteWriter } from '../lib/bytes.ts';
import { isUnspecified } from '../net/ip.ts';
import { type RouterTerms, routerAdvertisement } from '../wire/lan/nd.ts';
import type { RouterSolicitationNews } from '../wire/lan/sighting.ts';
import { type DhcpAnswer, type DhcpGuest, type DhcpSettings, refusesGuest, silence } from './dhcp.ts';

/** Longest interval that RFC 4861 allows. */
export const ADVERTISE_EVERY_MS = 1_800_000;
/** Longest lifetime that all hosts understand: guests keep their way out while leafd is away for hours. */
const ROUTER_LIFETIME_S = 9000;

/** The answer to a solicitation, as a frame in `out`: to who asked, or to all nodes where it has no address yet. */
export function answerRouterSolicitation(
  news: RouterSolicitationNews,
  guest: DhcpGuest | undefined,
  settings: DhcpSettings,
  out: ByteWriter,
): DhcpAnswer {
  const { mac, claimsMac, source } = news;
  const refused = refusesGuest({ kind: 'ns', mac, ...(claimsMac === undefined ? {} : { claimsMac }) }, guest);
  if (refused !== undefined) return silence(refused);
  advertiseRouter(guest!, settings, out, isUnspecified(source) ? undefined : { mac, address: source });
  return { kind: 'frame', what: 'routerAdvertisement', addresses: [] };
}

/** What is told to all nodes behind a port, or to one. */
export function advertiseRouter(
  guest: DhcpGuest,
  settings: DhcpSettings,
  out: ByteWriter,
  to?: { mac: Uint8Array; address: Uint8Array },
): void {
  const terms: RouterTerms = {
    lifetimeS: ROUTER_LIFETIME_S,
    // Without an address to give, asking for one would only delay the guest.
    managed: guest.addresses.some((address) => address.length === 16),
    other: true,
  };
  if (settings.mtu !== undefined) terms.mtu = settings.mtu;
  routerAdvertisement(out, { mac: settings.gatewayMac, address: settings.gateway6 }, terms, to);
}
