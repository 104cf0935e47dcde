// The DHCPv4 server of guests (RFC 2131), without a memory (dhcp.ts). A guest's address is the first IPv4 address of
// its binding, as /32; the way out is the gateway, which is on the link by a route of its own (RFC 3442: option
// 121). Option 3 is there too, for clients that do not know 121; those that do must ignore it.
//
// RFC 2131 section 4.3.2: a request for another address is refused with DHCPNAK, for no other server knows better
// what may be used on this link; one that took another server's offer is let be. A guest that asks for another
// address of its own binding may have it, so that changing their order does not end its lease. DHCPDECLINE and
// DHCPRELEASE change nothing: the address stays the guest's. Relayed messages are not from a guest.

import { ByteWriter, writeU32 } from '../lib/bytes.ts';
import { isUnspecified, sameIp } from '../net/ip.ts';
import {
  addressOption4,
  beginDhcp4,
  classlessRoutes,
  DHCP4_CLIENT_PORT,
  DHCP4_SERVER_PORT,
  DHCPACK,
  DHCPDECLINE,
  DHCPDISCOVER,
  DHCPINFORM,
  DHCPNAK,
  DHCPOFFER,
  DHCPRELEASE,
  DHCPREQUEST,
  type Dhcp4Message,
  endDhcp4,
  OPTION4_CLIENT_ID,
  OPTION4_DNS,
  OPTION4_DOMAIN,
  OPTION4_LEASE_TIME,
  OPTION4_MAX_SIZE,
  OPTION4_MTU,
  OPTION4_PARAMETER_LIST,
  OPTION4_REQUESTED_ADDRESS,
  OPTION4_ROUTER,
  OPTION4_ROUTES,
  OPTION4_ROUTES_MICROSOFT,
  OPTION4_SERVER_ID,
  OPTION4_SUBNET_MASK,
  OPTION4_T1,
  OPTION4_T2,
  putOption4,
} from '../wire/lan/dhcp4.ts';
import { BROADCAST_MAC } from '../wire/lan/ethernet.ts';
import type { Dhcp4News } from '../wire/lan/sighting.ts';
import { udpFrame } from '../wire/lan/udp.ts';
import {
  type DhcpAnswer,
  type DhcpGuest,
  type DhcpSettings,
  includesIp,
  leaseSeconds,
  refusesGuest,
  silence,
} from './dhcp.ts';

/** What every client takes (RFC 2131 section 2), without the headers of IP and UDP. */
const LEAST_MAX_MESSAGE = 576 - 28;
/** What goes through every link of a guest in one piece. */
const LARGEST_MESSAGE = 1472;

const BROADCAST = new Uint8Array(4).fill(0xff);

/** The answer to a message, as a frame in `out`, or why there is none. */
export function answerDhcp4(
  news: Dhcp4News,
  guest: DhcpGuest | undefined,
  settings: DhcpSettings,
  out: ByteWriter,
): DhcpAnswer {
  const { message, sighting } = news;
  if (message.reply) return silence('malformed');
  if (!isUnspecified(message.giaddr)) return silence('relayed');
  const refused = refusesGuest(sighting, guest);
  if (refused !== undefined) return silence(refused);
  // Guests may use a server elsewhere; its packets only pass by here.
  if (!sameIp(news.destination, BROADCAST) && !sameIp(news.destination, settings.gateway4))
    return silence('otherServer');
  const addresses = guest!.addresses.filter((address) => address.length === 4);
  switch (message.type) {
    case DHCPDISCOVER:
      if (addresses.length === 0) return silence('noAddress');
      return give(DHCPOFFER, news, addresses[0]!, settings, out);
    case DHCPREQUEST:
      return answerRequest(news, addresses, settings, out);
    case DHCPINFORM:
      return isUnspecified(message.ciaddr) ? silence('malformed') : inform(news, settings, out);
    case DHCPDECLINE:
      return silence('declined');
    case DHCPRELEASE:
      return silence('released');
    default:
      return silence('malformed');
  }
}

// The states of the client are told apart by what it fills in (section 4.3.2, table 4).
function answerRequest(
  news: Dhcp4News,
  addresses: readonly Uint8Array[],
  settings: DhcpSettings,
  out: ByteWriter,
): DhcpAnswer {
  const { message } = news;
  const serverId = addressOption4(message, OPTION4_SERVER_ID);
  if (serverId !== undefined && !sameIp(serverId, settings.gateway4)) return silence('otherServer');
  const requested = addressOption4(message, OPTION4_REQUESTED_ADDRESS);
  const renewing = !isUnspecified(message.ciaddr);
  // SELECTING and INIT-REBOOT name an address and have none; RENEWING and REBINDING have one.
  const wanted = renewing ? message.ciaddr : requested;
  if (wanted === undefined) return silence('malformed');
  if (addresses.length === 0) return silence('noAddress');
  if (!includesIp(addresses, wanted)) return refuse(news, settings, out);
  return give(DHCPACK, news, wanted, settings, out);
}

function give(
  type: typeof DHCPOFFER | typeof DHCPACK,
  news: Dhcp4News,
  address: Uint8Array,
  settings: DhcpSettings,
  out: ByteWriter,
): DhcpAnswer {
  const { message } = news;
  const reply = new ByteWriter(512);
  const ciaddr = type === DHCPACK ? message.ciaddr : undefined;
  beginDhcp4(reply, message, { type, yiaddr: address, ...(ciaddr === undefined ? {} : { ciaddr }) });
  const put = putter(reply, message);
  const leaseS = leaseSeconds(settings);
  put(OPTION4_SERVER_ID, settings.gateway4);
  put(OPTION4_LEASE_TIME, u32(leaseS));
  put(OPTION4_T1, u32(Math.floor(leaseS / 2)));
  put(OPTION4_T2, u32(Math.floor((leaseS * 7) / 8)));
  putSettings(put, message, settings);
  send(out, reply, news, settings, address);
  return { kind: 'frame', what: type === DHCPOFFER ? 'offer' : 'ack', addresses: [address] };
}

// Section 4.3.5: no lease and no `yiaddr`, to the address that the client has.
function inform(news: Dhcp4News, settings: DhcpSettings, out: ByteWriter): DhcpAnswer {
  const { message } = news;
  const reply = new ByteWriter(512);
  beginDhcp4(reply, message, { type: DHCPACK, ciaddr: message.ciaddr });
  const put = putter(reply, message);
  put(OPTION4_SERVER_ID, settings.gateway4);
  putSettings(put, message, settings);
  send(out, reply, news, settings, message.ciaddr);
  return { kind: 'frame', what: 'ack', addresses: [] };
}

// Section 4.3.2: to everybody, because the client's address may be wrong and it may not answer ARP.
function refuse(news: Dhcp4News, settings: DhcpSettings, out: ByteWriter): DhcpAnswer {
  const reply = new ByteWriter(512);
  beginDhcp4(reply, news.message, { type: DHCPNAK });
  const put = putter(reply, news.message);
  put(OPTION4_SERVER_ID, settings.gateway4);
  putClientId(put, news.message);
  send(out, reply, news, settings, undefined);
  return { kind: 'frame', what: 'nak', addresses: [] };
}

type Put = (code: number, value: Uint8Array) => boolean;

/** Options for as long as the client's longest message holds them; the first put are the ones that must be there. */
function putter(reply: ByteWriter, message: Dhcp4Message): Put {
  const said = message.options.get(OPTION4_MAX_SIZE);
  const size = said?.length === 2 ? ((said[0]! << 8) | said[1]!) - 28 : 0;
  const maxLength = Math.min(Math.max(size, LEAST_MAX_MESSAGE), LARGEST_MESSAGE);
  return (code, value) => putOption4(reply, code, value, maxLength);
}

function putSettings(put: Put, message: Dhcp4Message, settings: DhcpSettings): void {
  const gateway = settings.gateway4;
  const nobody = new Uint8Array(4);
  const routes = classlessRoutes([
    { to: { bytes: gateway, length: 32 }, via: nobody },
    { to: { bytes: nobody, length: 0 }, via: gateway },
  ]);
  put(OPTION4_SUBNET_MASK, new Uint8Array(4).fill(0xff));
  put(OPTION4_ROUTES, routes);
  put(OPTION4_ROUTER, gateway);
  putClientId(put, message);
  const dns = settings.dns.filter((address) => address.length === 4);
  if (dns.length > 0) put(OPTION4_DNS, concatenated(dns));
  if (settings.domain !== undefined) put(OPTION4_DOMAIN, ascii(settings.domain));
  if (settings.mtu !== undefined) put(OPTION4_MTU, u32(settings.mtu).slice(2));
  // Asked for by Windows before it knew 121.
  if (message.options.get(OPTION4_PARAMETER_LIST)?.includes(OPTION4_ROUTES_MICROSOFT) === true)
    put(OPTION4_ROUTES_MICROSOFT, routes);
}

// RFC 6842: the client's identifier comes back, so that clients that share a hardware address know theirs.
function putClientId(put: Put, message: Dhcp4Message): void {
  const id = message.options.get(OPTION4_CLIENT_ID);
  if (id !== undefined) put(OPTION4_CLIENT_ID, id);
}

/**
 * To whom (section 4.1): a client that has an address hears there, others everybody if they ask for that, else at the
 * address given (which is the one it has, where it has one). Without an address: everybody.
 */
function send(
  out: ByteWriter,
  reply: ByteWriter,
  news: Dhcp4News,
  settings: DhcpSettings,
  address: Uint8Array | undefined,
): void {
  const { message, sighting } = news;
  endDhcp4(reply);
  const everybody = address === undefined || (isUnspecified(message.ciaddr) && message.broadcast);
  const ends = {
    sourceMac: settings.gatewayMac,
    destinationMac: everybody ? BROADCAST_MAC : sighting.mac,
    source: settings.gateway4,
    destination: everybody ? BROADCAST : address,
    sourcePort: DHCP4_SERVER_PORT,
    destinationPort: DHCP4_CLIENT_PORT,
  };
  udpFrame(out, ends, reply.bytes, reply.length);
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, value);
  return bytes;
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from([...text].map((character) => character.charCodeAt(0) & 127));
}

/** As many addresses as an option holds. */
function concatenated(addresses: readonly Uint8Array[]): Uint8Array {
  const bytes = new ByteWriter(64);
  for (const address of addresses.slice(0, 63)) bytes.copy(address);
  return bytes.take();
}
