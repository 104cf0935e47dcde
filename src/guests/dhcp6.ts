// The DHCPv6 server of guests (RFC 8415), without a memory (dhcp.ts). The first identity association of a message
// gets the first IPv6 address of the binding, the next one the next; one that holds an address of the binding
// already keeps it. The server's DUID is made of the gateway's MAC, which all hypervisors share: a renewal finds
// "its" server wherever the guest runs.
//
// Section 18.3 message by message. A guest that is known and has no address left is told NoAddrsAvail; one that is
// not known is told nothing. An address that is not of the binding is never right for the link (NotOnLink), for a
// link has no prefix here; at renewal it gets lifetimes of 0 and the right one stands beside it. Prefixes are not
// delegated. Unicast was never offered, so it is answered with UseMulticast where section 18.4 lets it be answered
// at all.

import { ByteWriter } from '../lib/bytes.ts';
import { isMulticast6, isUnspecified, sameIp } from '../net/ip.ts';
import {
  ADVERTISE,
  type Association,
  beginDhcp6,
  beginOption6,
  CONFIRM,
  DECLINE,
  DHCP6_CLIENT_PORT,
  DHCP6_SERVER_PORT,
  type Dhcp6Message,
  domainBytes,
  duidOf,
  endOption6,
  INFORMATION_REQUEST,
  isAllDhcp6Servers,
  OPTION6_CLIENT_ID,
  OPTION6_DNS,
  OPTION6_DOMAINS,
  OPTION6_IA_NA,
  OPTION6_IA_PD,
  OPTION6_RAPID_COMMIT,
  OPTION6_SERVER_ID,
  putAddress6,
  putOption6,
  putStatus6,
  REBIND,
  RELEASE,
  RENEW,
  REPLY,
  REQUEST,
  SOLICIT,
  STATUS_NO_ADDRS_AVAIL,
  STATUS_NO_BINDING,
  STATUS_NO_PREFIX_AVAIL,
  STATUS_NOT_ON_LINK,
  STATUS_SUCCESS,
  STATUS_USE_MULTICAST,
} from '../wire/lan/dhcp6.ts';
import type { Dhcp6News } from '../wire/lan/sighting.ts';
import { udpFrame } from '../wire/lan/udp.ts';
import {
  type DhcpAnswer,
  type DhcpGuest,
  type DhcpSettings,
  type DhcpSilence,
  includesIp,
  leaseSeconds,
  refusesGuest,
  silence,
} from './dhcp.ts';

/** Name servers told at most. */
const MAX_DNS = 16;

/** What happens to one message. */
interface Exchange {
  message: Dhcp6Message;
  /** IPv6 addresses of the binding. */
  addresses: readonly Uint8Array[];
  settings: DhcpSettings;
  reply: ByteWriter;
  /** Addresses given so far. */
  given: Uint8Array[];
}

/** The answer to a message, as a frame in `out`, or why there is none. */
export function answerDhcp6(
  news: Dhcp6News,
  guest: DhcpGuest | undefined,
  settings: DhcpSettings,
  out: ByteWriter,
): DhcpAnswer {
  const { message } = news;
  if (isUnspecified(news.source) || isMulticast6(news.source)) return silence('malformed');
  const refused = refusesGuest(news.sighting, guest) ?? refusesMessage(message, duidOf(settings.gatewayMac));
  if (refused !== undefined) return silence(refused);
  const addresses = guest!.addresses.filter((address) => address.length === 16);
  const exchange: Exchange = { message, addresses, settings, reply: new ByteWriter(512), given: [] };
  const type = message.type === SOLICIT && !message.rapidCommit ? ADVERTISE : REPLY;
  begin(exchange, type);
  if (isAllDhcp6Servers(news.destination)) putAnswer(exchange);
  else if (mayBeToldMulticast(message.type)) putStatus6(exchange.reply, STATUS_USE_MULTICAST);
  else return silence('malformed');
  const ends = {
    sourceMac: settings.gatewayMac,
    destinationMac: news.sighting.mac,
    source: settings.gateway6,
    destination: news.source,
    sourcePort: DHCP6_SERVER_PORT,
    destinationPort: DHCP6_CLIENT_PORT,
  };
  udpFrame(out, ends, exchange.reply.bytes, exchange.reply.length);
  return { kind: 'frame', what: type === ADVERTISE ? 'advertise' : 'reply', addresses: exchange.given };
}

/** Section 16: which messages must name this server, which none, and which the client. */
function refusesMessage(message: Dhcp6Message, duid: Uint8Array): DhcpSilence | undefined {
  const { clientId, serverId } = message;
  switch (message.type) {
    case SOLICIT:
    case CONFIRM:
    case REBIND:
      if (clientId === undefined || serverId !== undefined) return 'malformed';
      // Nothing to confirm: section 18.3.3 asks for silence.
      return message.type === CONFIRM && named(message).length === 0 ? 'malformed' : undefined;
    case REQUEST:
    case RENEW:
    case RELEASE:
    case DECLINE:
      if (clientId === undefined || serverId === undefined) return 'malformed';
      return sameIp(serverId, duid) ? undefined : 'otherServer';
    case INFORMATION_REQUEST:
      if (serverId !== undefined && !sameIp(serverId, duid)) return 'otherServer';
      return message.associations.length > 0 ? 'malformed' : undefined;
    default:
      return 'malformed';
  }
}

/** Section 18.4: unicast that somebody may have meant well. */
function mayBeToldMulticast(type: number): boolean {
  return type === REQUEST || type === RENEW || type === RELEASE || type === DECLINE;
}

function begin(exchange: Exchange, type: number): void {
  const { reply, message, settings } = exchange;
  beginDhcp6(reply, type, message.transaction);
  if (message.clientId !== undefined) putOption6(reply, OPTION6_CLIENT_ID, message.clientId);
  putOption6(reply, OPTION6_SERVER_ID, duidOf(settings.gatewayMac));
}

function putAnswer(exchange: Exchange): void {
  const { message, addresses, reply } = exchange;
  switch (message.type) {
    case SOLICIT:
      if (message.rapidCommit) putOption6(reply, OPTION6_RAPID_COMMIT, new Uint8Array(0));
      putAssociations(exchange);
      break;
    case CONFIRM: {
      const right = named(message).every((address) => includesIp(addresses, address));
      putStatus6(reply, right ? STATUS_SUCCESS : STATUS_NOT_ON_LINK);
      break;
    }
    case RELEASE:
    case DECLINE:
      // The address stays the guest's, whatever it does with it.
      putStatus6(reply, STATUS_SUCCESS);
      for (const association of message.associations)
        if (!association.addresses.some((address) => includesIp(addresses, address)))
          putRefusal(reply, association, STATUS_NO_BINDING);
      return;
    case REQUEST:
    case RENEW:
    case REBIND:
      putAssociations(exchange);
      break;
  }
  putSettings(exchange);
}

/** Every address that a message names. */
function named(message: Dhcp6Message): Uint8Array[] {
  return message.associations.flatMap((association) => association.addresses);
}

function putAssociations(exchange: Exchange): void {
  const { message, addresses } = exchange;
  const held = message.associations.map((association) =>
    association.addresses.find((address) => includesIp(addresses, address)),
  );
  // Of two that name the same address the first has it.
  const taken: Uint8Array[] = [];
  const kept = held.map((address) => {
    if (address === undefined || includesIp(taken, address)) return undefined;
    taken.push(address);
    return address;
  });
  for (const [index, association] of message.associations.entries()) {
    const address = kept[index] ?? addresses.find((one) => !includesIp(taken, one));
    if (association.kind === 'addresses' && address !== undefined) taken.push(address);
    putAssociation(exchange, association, address);
  }
}

function putAssociation(exchange: Exchange, association: Association, address: Uint8Array | undefined): void {
  const { message, reply, settings, given } = exchange;
  const status = refusesAssociation(exchange, association, address);
  if (status !== undefined) {
    putRefusal(reply, association, status);
    return;
  }
  const leaseS = leaseSeconds(settings);
  const begun = beginAssociation(reply, association, Math.floor(leaseS / 2), Math.floor(leaseS * 0.8));
  if (address !== undefined) {
    putAddress6(reply, address, leaseS, leaseS);
    given.push(address);
  }
  if (isRenewal(message))
    for (const other of association.addresses)
      if (address === undefined || !sameIp(other, address)) putAddress6(reply, other, 0, 0);
  endOption6(reply, begun);
}

function isRenewal({ type }: Dhcp6Message): boolean {
  return type === RENEW || type === REBIND;
}

/** The status that an association gets instead of `address`, or undefined. */
function refusesAssociation(
  { message, addresses }: Exchange,
  association: Association,
  address: Uint8Array | undefined,
): number | undefined {
  if (association.kind === 'prefixes') return STATUS_NO_PREFIX_AVAIL;
  if (message.type === REQUEST && association.addresses.some((one) => !includesIp(addresses, one)))
    return STATUS_NOT_ON_LINK;
  // What a renewal names and nobody has is taken away, rather than refused.
  const takesAway = isRenewal(message) && association.addresses.length > 0;
  return address === undefined && !takesAway ? STATUS_NO_ADDRS_AVAIL : undefined;
}

/** An association with nothing but a status. */
function putRefusal(reply: ByteWriter, association: Association, status: number): void {
  const begun = beginAssociation(reply, association, 0, 0);
  putStatus6(reply, status);
  endOption6(reply, begun);
}

function beginAssociation(reply: ByteWriter, association: Association, t1: number, t2: number): number {
  const begun = beginOption6(reply, association.kind === 'addresses' ? OPTION6_IA_NA : OPTION6_IA_PD);
  reply.u32(association.iaid).u32(t1).u32(t2);
  return begun;
}

function putSettings({ reply, settings }: Exchange): void {
  const dns = settings.dns.filter((address) => address.length === 16).slice(0, MAX_DNS);
  if (dns.length > 0) {
    const begun = beginOption6(reply, OPTION6_DNS);
    for (const address of dns) reply.copy(address);
    endOption6(reply, begun);
  }
  const domain = settings.domain === undefined ? undefined : domainBytes(settings.domain);
  if (domain !== undefined) putOption6(reply, OPTION6_DOMAINS, domain);
}
