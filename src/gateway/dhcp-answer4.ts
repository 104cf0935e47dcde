// What a member says to a DHCPv4 client of a segment (RFC 2131): which question a message is, the decision from
// reservations and the pool's leases, and the frame. The server's identifier is the segment's gateway, the same on
// all members, so that a client that renews or selects finds "its" server whichever member is left.
//
// A reservation is answered by every member without a word to others: its address is outside of every pool's share
// (`excluded`). NAK is for an address that is not of the segment, not the reserved one, or is known here at its home
// to be another's; where others know better, nothing is said (section 4.3.2). The answer is told to the client only
// when the leases say 'granted'. DHCPRELEASE makes no lease shorter (dhcp-leases.ts).

import { ByteWriter, writeU32 } from '../lib/bytes.ts';
import { hexText } from '../net/hex.ts';
import { isUnspecified, sameIp } from '../net/ip.ts';
import { mask4, type Prefix, prefixContainsIp } from '../net/prefix.ts';
import {
  addressOption4,
  beginDhcp4,
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
  OPTION4_REQUESTED_ADDRESS,
  OPTION4_ROUTER,
  OPTION4_SERVER_ID,
  OPTION4_SUBNET_MASK,
  OPTION4_T1,
  OPTION4_T2,
  putOption4,
} from '../wire/lan/dhcp4.ts';
import { BROADCAST_MAC } from '../wire/lan/ethernet.ts';
import type { Dhcp4News } from '../wire/lan/sighting.ts';
import { udpFrame } from '../wire/lan/udp.ts';
import type { LeasePool } from './dhcp-leases.ts';
import { addressAt, indexOf } from './dhcp-plan.ts';

/** The same on all members. */
export interface DhcpSegment4 {
  prefix: Prefix;
  gateway: Uint8Array;
  gatewayMac: Uint8Array;
  dns: readonly Uint8Array[];
  domain?: string;
  mtu?: number;
  leaseTimeMs: number;
  /** Addresses by client key. */
  reservations: ReadonlyMap<string, Uint8Array>;
}

export type Reply4 = { type: typeof DHCPOFFER | typeof DHCPACK | typeof DHCPNAK; address?: Uint8Array };

export type Decision4 =
  | { kind: 'reply'; reply: Reply4 }
  /** DHCPACK with this address when the leases say that the ticket is granted; nothing where they give up. */
  | { kind: 'ticket'; ticket: number; address: Uint8Array }
  | { kind: 'none'; why: 'malformed' | 'otherServer' | 'relayed' | 'noAddress' | 'othersKnow' | 'noted' };

const BROADCAST = new Uint8Array(4).fill(0xff);

/** Who a client is: its identifier (RFC 2132 section 9.14), else its hardware address. */
export function clientKey4(message: Dhcp4Message): string {
  const id = message.options.get(OPTION4_CLIENT_ID);
  const named = id !== undefined && id.length >= 2 && id.length <= 255;
  return named ? `id:${hexText(id, 0, id.length)}` : macKey(message.chaddr);
}

/** The key of a client that is known by its hardware address, as reservations name it. */
export function macKey(mac: Uint8Array): string {
  return `mac:${hexText(mac, 0, mac.length)}`;
}

/** What is answered. `pool`: of the segment, where it has one; its actions are the caller's to carry out. */
export function decideDhcp4(
  news: Dhcp4News,
  segment: DhcpSegment4,
  pool: LeasePool | undefined,
  nowMs: number,
): Decision4 {
  const { message } = news;
  if (message.reply || news.sighting.claimsMac !== undefined) return { kind: 'none', why: 'malformed' };
  if (!isUnspecified(message.giaddr)) return { kind: 'none', why: 'relayed' };
  const serverId = addressOption4(message, OPTION4_SERVER_ID);
  if (serverId !== undefined && !sameIp(serverId, segment.gateway))
    return { kind: 'none', why: 'otherServer' };
  const client = clientKey4(message);
  const reserved = segment.reservations.get(client) ?? segment.reservations.get(macKey(message.chaddr));
  const requested = addressOption4(message, OPTION4_REQUESTED_ADDRESS);
  switch (message.type) {
    case DHCPDISCOVER: {
      const wanted =
        requested === undefined || pool === undefined ? undefined : indexOf(pool.plan, requested);
      const index = reserved === undefined ? pool?.offer(client, wanted, nowMs) : undefined;
      const address = reserved ?? (index === undefined ? undefined : addressAt(pool!.plan, index));
      if (address === undefined) return { kind: 'none', why: 'noAddress' };
      return { kind: 'reply', reply: { type: DHCPOFFER, address } };
    }
    case DHCPREQUEST: {
      const address = isUnspecified(message.ciaddr) ? requested : message.ciaddr;
      if (address === undefined) return { kind: 'none', why: 'malformed' };
      return decideRequest(address, client, reserved, segment, pool, nowMs);
    }
    case DHCPINFORM:
      if (isUnspecified(message.ciaddr)) return { kind: 'none', why: 'malformed' };
      return { kind: 'reply', reply: { type: DHCPACK } };
    case DHCPDECLINE: {
      const index = requested === undefined || pool === undefined ? undefined : indexOf(pool.plan, requested);
      if (index !== undefined) pool!.decline(client, index, nowMs);
      return { kind: 'none', why: 'noted' };
    }
    case DHCPRELEASE:
      return { kind: 'none', why: 'noted' };
    default:
      return { kind: 'none', why: 'malformed' };
  }
}

function decideRequest(
  address: Uint8Array,
  client: string,
  reserved: Uint8Array | undefined,
  segment: DhcpSegment4,
  pool: LeasePool | undefined,
  nowMs: number,
): Decision4 {
  const refused: Decision4 = { kind: 'reply', reply: { type: DHCPNAK } };
  if (!prefixContainsIp(segment.prefix, address)) return refused;
  if (reserved !== undefined)
    return sameIp(reserved, address) ? { kind: 'reply', reply: { type: DHCPACK, address } } : refused;
  const index = pool === undefined ? undefined : indexOf(pool.plan, address);
  // Of the segment, but nobody's to give: another server may stand for it, or somebody set it by hand.
  if (index === undefined) return { kind: 'none', why: 'othersKnow' };
  const asked = pool!.request(client, index, nowMs);
  if (asked.kind === 'pending') return { kind: 'ticket', ticket: asked.ticket, address };
  return asked.kind === 'refused' ? refused : { kind: 'none', why: 'othersKnow' };
}

const LEAST_MAX_MESSAGE = 576 - 28;
const LARGEST_MESSAGE = 1472;

/** The answer as a frame in `out`. */
export function writeDhcp4(news: Dhcp4News, reply: Reply4, segment: DhcpSegment4, out: ByteWriter): void {
  const { message, sighting } = news;
  const { type, address } = reply;
  const body = new ByteWriter(512);
  const ciaddr = type === DHCPACK ? { ciaddr: message.ciaddr } : {};
  beginDhcp4(body, message, { type, ...ciaddr, ...(address === undefined ? {} : { yiaddr: address }) });
  putOptions(body, message, reply, segment);
  endDhcp4(body);
  const to = address ?? message.ciaddr;
  const everybody = type === DHCPNAK || (isUnspecified(message.ciaddr) && message.broadcast);
  const ends = {
    sourceMac: segment.gatewayMac,
    destinationMac: everybody ? BROADCAST_MAC : sighting.mac,
    source: segment.gateway,
    destination: everybody ? BROADCAST : to,
    sourcePort: DHCP4_SERVER_PORT,
    destinationPort: DHCP4_CLIENT_PORT,
  };
  udpFrame(out, ends, body.bytes, body.length);
}

// The ones that must be there first; others as long as the client's longest message holds them.
function putOptions(body: ByteWriter, message: Dhcp4Message, reply: Reply4, segment: DhcpSegment4): void {
  const said = message.options.get(OPTION4_MAX_SIZE);
  const size = said?.length === 2 ? ((said[0]! << 8) | said[1]!) - 28 : 0;
  const maxLength = Math.min(Math.max(size, LEAST_MAX_MESSAGE), LARGEST_MESSAGE);
  const put = (code: number, value: Uint8Array): boolean => putOption4(body, code, value, maxLength);
  put(OPTION4_SERVER_ID, segment.gateway);
  // RFC 6842: the identifier comes back.
  const id = message.options.get(OPTION4_CLIENT_ID);
  if (id !== undefined) put(OPTION4_CLIENT_ID, id);
  if (reply.type === DHCPNAK) return;
  if (reply.address !== undefined) {
    const leaseS = Math.min(Math.max(1, Math.floor(segment.leaseTimeMs / 1000)), 0xfffffffe);
    put(OPTION4_LEASE_TIME, u32(leaseS));
    put(OPTION4_T1, u32(Math.floor(leaseS / 2)));
    put(OPTION4_T2, u32(Math.floor((leaseS * 7) / 8)));
  }
  put(OPTION4_SUBNET_MASK, u32(mask4(segment.prefix.length)));
  put(OPTION4_ROUTER, segment.gateway);
  const dns = segment.dns.filter((server) => server.length === 4).slice(0, 63);
  if (dns.length > 0) put(OPTION4_DNS, Uint8Array.from(dns.flatMap((server) => [...server])));
  if (segment.domain !== undefined)
    put(OPTION4_DOMAIN, Uint8Array.from([...segment.domain].map((letter) => letter.charCodeAt(0) & 127)));
  if (segment.mtu !== undefined) put(OPTION4_MTU, u32(segment.mtu).slice(2));
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, value);
  return bytes;
}
