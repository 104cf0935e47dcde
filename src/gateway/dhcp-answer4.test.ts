import { expect, test } from 'vitest';
import { ByteWriter } from '../lib/bytes.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { formatMac, parseMac } from '../net/mac.ts';
import { parsePrefix } from '../net/prefix.ts';
import * as dhcp4 from '../wire/lan/dhcp4.ts';
import { readIp4 } from '../wire/lan/ip.ts';
import type { Dhcp4News } from '../wire/lan/sighting.ts';
import { readUdp } from '../wire/lan/udp.ts';
import { clientKey4, type DhcpSegment4, decideDhcp4, macKey, writeDhcp4 } from './dhcp-answer4.ts';
import { LeasePool } from './dhcp-leases.ts';
import { indexOf, planPool } from './dhcp-plan.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const mac = parseMac('52:54:00:00:00:30')!;
const other = parseMac('52:54:00:00:00:31')!;
const segment: DhcpSegment4 = {
  prefix: parsePrefix('10.0.0.0/24')!,
  gateway: ip('10.0.0.1'),
  gatewayMac: parseMac('02:00:00:00:00:01')!,
  dns: [ip('192.0.2.53'), ip('2001:db8::53')],
  domain: 'example.net',
  mtu: 1450,
  leaseTimeMs: 3_600_000,
  reservations: new Map([[macKey(other), ip('10.0.0.20')]]),
};
const plan = planPool({
  ...{ name: 'p', first: ip('10.0.0.10'), last: ip('10.0.0.30'), excluded: [ip('10.0.0.20')] },
  ...{ members: ['a'], leaseTimeMs: 3_600_000 },
});

interface Said {
  ciaddr?: string;
  requested?: string;
  serverId?: string;
  giaddr?: string;
  mac?: Uint8Array;
  id?: Uint8Array;
  broadcast?: boolean;
  reply?: boolean;
}

function asked(type: number, said: Said = {}): Dhcp4News {
  const options = new Map<number, Uint8Array>();
  if (said.requested !== undefined) options.set(50, ip(said.requested));
  if (said.serverId !== undefined) options.set(54, ip(said.serverId));
  if (said.id !== undefined) options.set(61, said.id);
  const none = '0.0.0.0';
  return {
    kind: 'dhcp4',
    sighting: { kind: 'dhcp4', mac: said.mac ?? mac },
    source: ip(said.ciaddr ?? none),
    destination: ip('255.255.255.255'),
    message: {
      ...{ reply: said.reply ?? false, type, xid: 7, secs: 0, broadcast: said.broadcast ?? false },
      ...{ ciaddr: ip(said.ciaddr ?? none), yiaddr: ip(none), giaddr: ip(said.giaddr ?? none) },
      ...{ chaddr: said.mac ?? mac, options },
    },
  };
}

/** The decision in a line. */
function line(news: Dhcp4News, pool: LeasePool | undefined): string {
  const decision = decideDhcp4(news, segment, pool, 0);
  if (decision.kind === 'none') return decision.why;
  if (decision.kind === 'ticket') return `ticket ${formatIp(decision.address)}`;
  const { type, address } = decision.reply;
  return `${type} ${address === undefined ? '-' : formatIp(address)}`;
}

const { DHCPDISCOVER, DHCPREQUEST, DHCPINFORM, DHCPDECLINE, DHCPRELEASE } = dhcp4;
const { DHCPOFFER: OFFER, DHCPACK: ACK, DHCPNAK: NAK } = dhcp4;

test('from a pool: every state of a client (RFC 2131 section 4.3)', () => {
  const pool = new LeasePool(plan, 'a', 'founding', 0);
  expect(line(asked(DHCPDISCOVER, { requested: '10.0.0.12' }), pool)).toBe(`${OFFER} 10.0.0.12`);
  const selecting = { requested: '10.0.0.12', serverId: '10.0.0.1' };
  expect(line(asked(DHCPREQUEST, selecting), pool)).toBe('ticket 10.0.0.12');
  expect(pool.take().at(-1)).toMatchObject({ kind: 'granted', index: 2 });
  expect(line(asked(DHCPREQUEST, { requested: '10.0.0.12' }), pool)).toBe('ticket 10.0.0.12');
  expect(line(asked(DHCPREQUEST, { ciaddr: '10.0.0.12' }), pool)).toBe('ticket 10.0.0.12');
  expect(line(asked(DHCPREQUEST, { ciaddr: '10.0.0.12', id: Uint8Array.of(0, 1) }), pool)).toBe(`${NAK} -`);
  expect(line(asked(DHCPREQUEST, { requested: '10.0.1.12' }), pool)).toBe(`${NAK} -`);
  expect(line(asked(DHCPREQUEST, { requested: '10.0.0.20' }), pool)).toBe(`${NAK} -`);
  expect(line(asked(DHCPREQUEST, { requested: '10.0.0.99' }), pool)).toBe('othersKnow');
  expect(line(asked(DHCPREQUEST, { requested: '10.0.0.12', serverId: '10.0.0.9' }), pool)).toBe(
    'otherServer',
  );
  expect(line(asked(DHCPREQUEST), pool)).toBe('malformed');
  expect(line(asked(DHCPINFORM, { ciaddr: '10.0.0.5' }), pool)).toBe(`${ACK} -`);
  expect(line(asked(DHCPDISCOVER, { giaddr: '10.0.0.5' }), pool)).toBe('relayed');
  expect(line(asked(DHCPDISCOVER, { reply: true }), pool)).toBe('malformed');
  expect(line(asked(DHCPRELEASE, { ciaddr: '10.0.0.12' }), pool)).toBe('noted');
  expect(line(asked(DHCPDISCOVER), pool)).toBe(`${OFFER} 10.0.0.12`);
  expect(line(asked(DHCPDECLINE, selecting), pool)).toBe('noted');
  expect(pool.record(indexOf(plan, ip('10.0.0.12'))!)!.state).toBe('declined');
  expect(line(asked(DHCPDISCOVER), pool)).not.toBe(`${OFFER} 10.0.0.12`);
});

test('a reservation is answered by every member, and its address by nobody else', () => {
  for (const pool of [undefined, new LeasePool(plan, 'a', 'lost', 0)]) {
    const mine = { mac: other };
    expect(line(asked(DHCPDISCOVER, mine), pool)).toBe(`${OFFER} 10.0.0.20`);
    expect(line(asked(DHCPREQUEST, { ...mine, requested: '10.0.0.20' }), pool)).toBe(`${ACK} 10.0.0.20`);
    expect(line(asked(DHCPREQUEST, { ...mine, ciaddr: '10.0.0.21' }), pool)).toBe(`${NAK} -`);
    expect(line(asked(DHCPDISCOVER, { ...mine, id: Uint8Array.of(9, 9) }), pool)).toBe(`${OFFER} 10.0.0.20`);
    expect(line(asked(DHCPDISCOVER), pool)).toBe('noAddress');
  }
});

test('clients are told apart by their identifier, else by their MAC', () => {
  expect(clientKey4(asked(1).message)).toBe('mac:525400000030');
  expect(clientKey4(asked(1, { id: Uint8Array.of(1, 2, 3) }).message)).toBe('id:010203');
  expect(clientKey4(asked(1, { id: Uint8Array.of(1) }).message)).toBe('mac:525400000030');
});

function frameOf(news: Dhcp4News, type: typeof OFFER | typeof ACK | typeof NAK, address?: string) {
  const out = new ByteWriter();
  writeDhcp4(news, { type, ...(address === undefined ? {} : { address: ip(address) }) }, segment, out);
  const frame = out.take();
  const datagram = readIp4(frame, 14, frame.length)!;
  const udp = readUdp(frame, datagram)!;
  const message = dhcp4.readDhcp4(frame, udp.start, udp.end)!;
  const hex = (code: number) =>
    message.options.get(code) && Buffer.from(message.options.get(code)!).toString('hex');
  return { to: `${formatMac(frame)} ${formatIp(datagram.destination)}`, message, hex };
}

test('the frame: options, and to whom', () => {
  const offer = frameOf(asked(DHCPDISCOVER, { id: Uint8Array.of(1, 2) }), OFFER, '10.0.0.12');
  expect(offer.to).toBe('52:54:00:00:00:30 10.0.0.12');
  expect(formatIp(offer.message.yiaddr)).toBe('10.0.0.12');
  const codes = [1, 3, 6, 15, 26, 51, 53, 54, 58, 59, 61];
  expect([...offer.message.options.keys()].sort((a, b) => a - b)).toEqual(codes);
  expect([1, 3, 6, 26, 51, 58, 61].map(offer.hex)).toEqual([
    ...['ffffff00', '0a000001', 'c0000235', '05aa', '00000e10', '00000708', '0102'],
  ]);
  const loud = frameOf(asked(DHCPDISCOVER, { broadcast: true }), OFFER, '10.0.0.12');
  expect(loud.to).toBe('ff:ff:ff:ff:ff:ff 255.255.255.255');
  const nak = frameOf(asked(DHCPREQUEST, { requested: '10.9.9.9' }), NAK);
  expect([nak.to, [...nak.message.options.keys()]]).toEqual(['ff:ff:ff:ff:ff:ff 255.255.255.255', [53, 54]]);
  const inform = frameOf(asked(DHCPINFORM, { ciaddr: '10.0.0.5' }), ACK);
  expect([inform.to, inform.hex(51), inform.hex(3)]).toEqual([
    ...['52:54:00:00:00:30 10.0.0.5', undefined, '0a000001'],
  ]);
});
