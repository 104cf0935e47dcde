import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../lib/bytes.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { formatMac, parseMac } from '../net/mac.ts';
import {
  DHCPACK,
  DHCPDECLINE,
  DHCPDISCOVER,
  DHCPINFORM,
  DHCPNAK,
  DHCPOFFER,
  DHCPRELEASE,
  DHCPREQUEST,
  type Dhcp4Message,
  readDhcp4,
} from '../wire/lan/dhcp4.ts';
import { readIp4 } from '../wire/lan/ip.ts';
import type { Dhcp4News } from '../wire/lan/sighting.ts';
import { readUdp } from '../wire/lan/udp.ts';
import type { DhcpGuest, DhcpSettings } from './dhcp.ts';
import { answerDhcp4 } from './dhcp4.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const mac = parseMac('52:54:00:00:00:30')!;
const settings: DhcpSettings = {
  gatewayMac: parseMac('02:00:00:00:00:01')!,
  gateway4: ip('169.254.0.1'),
  gateway6: ip('fe80::1'),
  dns: [ip('192.0.2.53'), ip('2001:db8::53'), ip('192.0.2.54')],
  domain: 'example.net',
  leaseTimeMs: 3_600_999,
};
const guest: DhcpGuest = { mac, addresses: [ip('2001:db8::30'), ip('192.0.2.30'), ip('192.0.2.31')] };

interface Asked {
  ciaddr?: string;
  giaddr?: string;
  requested?: string;
  serverId?: string;
  source?: string;
  destination?: string;
  broadcast?: boolean;
  reply?: boolean;
  chaddr?: Uint8Array;
  options?: readonly (readonly [number, Uint8Array])[];
}

function asked(type: number, given: Asked = {}): Dhcp4News {
  const options = new Map(given.options ?? []);
  if (given.requested !== undefined) options.set(50, ip(given.requested));
  if (given.serverId !== undefined) options.set(54, ip(given.serverId));
  const claims = given.chaddr === undefined ? {} : { claimsMac: given.chaddr };
  return {
    kind: 'dhcp4',
    sighting: { kind: 'dhcp4', mac, ...claims },
    source: ip(given.source ?? '0.0.0.0'),
    destination: ip(given.destination ?? '255.255.255.255'),
    message: {
      reply: given.reply ?? false,
      type,
      xid: 0x12345678,
      secs: 0,
      broadcast: given.broadcast ?? false,
      ciaddr: ip(given.ciaddr ?? '0.0.0.0'),
      yiaddr: ip('0.0.0.0'),
      giaddr: ip(given.giaddr ?? '0.0.0.0'),
      chaddr: given.chaddr ?? mac,
      options,
    },
  };
}

interface Answered {
  message: Dhcp4Message;
  toMac: string;
  to: string;
  length: number;
}

function answered(news: Dhcp4News, to: DhcpGuest | undefined = guest, set = settings): Answered | string {
  const out = new ByteWriter();
  const answer = answerDhcp4(news, to, set, out);
  if (answer.kind === 'none') return answer.why;
  const frame = out.take();
  const datagram = readIp4(frame, 14, frame.length)!;
  const udp = readUdp(frame, datagram)!;
  expect([udp.sourcePort, udp.destinationPort]).toEqual([67, 68]);
  expect([formatMac(frame, 6), formatIp(datagram.source)]).toEqual(['02:00:00:00:00:01', '169.254.0.1']);
  const message = readDhcp4(frame, udp.start, udp.end)!;
  expect([message.reply, message.xid]).toEqual([true, 0x12345678]);
  const toMac = formatMac(frame);
  return { message, toMac, to: formatIp(datagram.destination), length: udp.end - udp.start };
}

/** The answer in a line: type, address given, MAC and address it goes to; or why there is none. */
function line(news: Dhcp4News, to?: DhcpGuest): string {
  const answer = answered(news, to);
  if (typeof answer === 'string') return answer;
  const names: Record<number, string> = { [DHCPOFFER]: 'offer', [DHCPACK]: 'ack', [DHCPNAK]: 'nak' };
  const where = answer.toMac === 'ff:ff:ff:ff:ff:ff' ? 'everybody' : 'guest';
  return `${names[answer.message.type]} ${formatIp(answer.message.yiaddr)} to ${where} ${answer.to}`;
}

const selecting = { serverId: '169.254.0.1' };
const renewing = { ciaddr: '192.0.2.30', source: '192.0.2.30', destination: '169.254.0.1' };

describe('what a server answers (RFC 2131 section 4.3)', () => {
  test.each<[string, Dhcp4News, string]>([
    ['DISCOVER', asked(DHCPDISCOVER), 'offer 192.0.2.30 to guest 192.0.2.30'],
    [
      'asking for another address',
      asked(DHCPDISCOVER, { requested: '198.51.100.9' }),
      'offer 192.0.2.30 to guest 192.0.2.30',
    ],
    [
      'that cannot hear unicast',
      asked(DHCPDISCOVER, { broadcast: true }),
      'offer 192.0.2.30 to everybody 255.255.255.255',
    ],
    [
      'SELECTING',
      asked(DHCPREQUEST, { ...selecting, requested: '192.0.2.30' }),
      'ack 192.0.2.30 to guest 192.0.2.30',
    ],
    [
      'SELECTING another of its own',
      asked(DHCPREQUEST, { ...selecting, requested: '192.0.2.31' }),
      'ack 192.0.2.31 to guest 192.0.2.31',
    ],
    [
      'SELECTING a strange address',
      asked(DHCPREQUEST, { ...selecting, requested: '198.51.100.9' }),
      'nak 0.0.0.0 to everybody 255.255.255.255',
    ],
    ['SELECTING no address', asked(DHCPREQUEST, selecting), 'malformed'],
    [
      'SELECTING another server',
      asked(DHCPREQUEST, { serverId: '192.0.2.1', requested: '192.0.2.30' }),
      'otherServer',
    ],
    ['INIT-REBOOT', asked(DHCPREQUEST, { requested: '192.0.2.30' }), 'ack 192.0.2.30 to guest 192.0.2.30'],
    [
      'INIT-REBOOT elsewhere',
      asked(DHCPREQUEST, { requested: '198.51.100.9' }),
      'nak 0.0.0.0 to everybody 255.255.255.255',
    ],
    ['RENEWING', asked(DHCPREQUEST, renewing), 'ack 192.0.2.30 to guest 192.0.2.30'],
    [
      'RENEWING with the broadcast flag',
      asked(DHCPREQUEST, { ...renewing, broadcast: true }),
      'ack 192.0.2.30 to guest 192.0.2.30',
    ],
    [
      'REBINDING',
      asked(DHCPREQUEST, { ...renewing, destination: '255.255.255.255' }),
      'ack 192.0.2.30 to guest 192.0.2.30',
    ],
    [
      'RENEWING a strange address',
      asked(DHCPREQUEST, { ...renewing, ciaddr: '198.51.100.9' }),
      'nak 0.0.0.0 to everybody 255.255.255.255',
    ],
    [
      'RENEWING with a server elsewhere',
      asked(DHCPREQUEST, { ...renewing, destination: '192.0.2.1' }),
      'otherServer',
    ],
    ['REQUEST of nothing', asked(DHCPREQUEST), 'malformed'],
    ['INFORM', asked(DHCPINFORM, { ciaddr: '192.0.2.30' }), 'ack 0.0.0.0 to guest 192.0.2.30'],
    ['INFORM from nobody', asked(DHCPINFORM), 'malformed'],
    ['DECLINE', asked(DHCPDECLINE, { ...selecting, requested: '192.0.2.30' }), 'declined'],
    ['RELEASE', asked(DHCPRELEASE, { ...renewing, ...selecting }), 'released'],
    ['a relayed message', asked(DHCPDISCOVER, { giaddr: '192.0.2.1' }), 'relayed'],
    ['a reply', asked(DHCPOFFER, { reply: true }), 'malformed'],
    ['a type of later days', asked(10), 'malformed'],
    [
      'another hardware address than the frame',
      asked(DHCPDISCOVER, { chaddr: settings.gatewayMac }),
      'otherMac',
    ],
  ])('%s', (_, news, answer) => {
    expect(line(news)).toBe(answer);
  });

  test('whom', () => {
    const discover = asked(DHCPDISCOVER);
    expect(answered(discover, { ...guest, mac: settings.gatewayMac })).toBe('unknown');
    const out = new ByteWriter();
    expect(answerDhcp4(discover, undefined, settings, out)).toEqual({ kind: 'none', why: 'unknown' });
    expect(out.length).toBe(0);
    const onlySix = { mac, addresses: [ip('2001:db8::30')] };
    expect(answered(discover, onlySix)).toBe('noAddress');
    expect(answered(asked(DHCPREQUEST, renewing), onlySix)).toBe('noAddress');
    // A binding of a port without a MAC is for whoever is there.
    expect(line(discover, { addresses: [ip('192.0.2.9')] })).toBe('offer 192.0.2.9 to guest 192.0.2.9');
  });
});

function optionsOf(answer: Answered | string): Record<number, string> {
  if (typeof answer === 'string') throw new Error(answer);
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  return Object.fromEntries([...answer.message.options].map(([code, value]) => [code, hex(value)]));
}

describe('what it says', () => {
  const routes = '20a9fe00010000000000a9fe0001';

  test('the lease, the routes, the settings', () => {
    expect(optionsOf(answered(asked(DHCPREQUEST, { requested: '192.0.2.30' })))).toEqual({
      53: '05',
      54: 'a9fe0001',
      51: '00000e10',
      58: '00000708',
      59: '00000c4e',
      1: 'ffffffff',
      121: routes,
      3: 'a9fe0001',
      6: 'c0000235c0000236',
      15: Buffer.from('example.net').toString('hex'),
    });
  });

  test('an INFORM is told settings and no lease', () => {
    const options = optionsOf(answered(asked(DHCPINFORM, { ciaddr: '192.0.2.30' })));
    expect(options).toMatchObject({ 53: '05', 54: 'a9fe0001', 121: routes });
    for (const code of [51, 58, 59]) expect(options).not.toHaveProperty(String(code));
  });

  test('a refusal is told by whom and to whom, and nothing else', () => {
    const id: [number, Uint8Array] = [61, Uint8Array.of(1, ...mac)];
    const news = asked(DHCPREQUEST, { requested: '198.51.100.9', options: [id] });
    expect(optionsOf(answered(news))).toEqual({ 53: '06', 54: 'a9fe0001', 61: '01525400000030' });
  });

  test('MTU where there is one, and the routes in the old number for who asks so', () => {
    const list: [number, Uint8Array] = [55, Uint8Array.of(1, 3, 249)];
    const news = asked(DHCPDISCOVER, { options: [list] });
    const options = optionsOf(answered(news, guest, { ...settings, mtu: 1450 }));
    expect(options).toMatchObject({ 26: '05aa', 249: routes });
  });

  test('a message never exceeds what the client takes; what must be there is there', () => {
    const dns = Array.from({ length: 100 }, (_, i) => Uint8Array.of(192, 0, 2, i));
    const large = { ...settings, dns, domain: 'x'.repeat(255) };
    const id: [number, Uint8Array] = [61, new Uint8Array(200)];
    const small = answered(asked(DHCPDISCOVER, { options: [id] }), guest, large);
    const options = optionsOf(small);
    expect(options).toMatchObject({ 1: 'ffffffff', 3: 'a9fe0001', 51: '00000e10', 121: routes });
    expect(typeof small !== 'string' && small.length).toBeLessThanOrEqual(548);
    expect(options).not.toHaveProperty('6');
    const size: [number, Uint8Array] = [57, Uint8Array.of(0xff, 0xff)];
    const whole = optionsOf(answered(asked(DHCPDISCOVER, { options: [id, size] }), guest, large));
    expect([whole[6]?.length, whole[15]?.length, whole[61]?.length]).toEqual([63 * 8, 255 * 2, 400]);
    // Less than 576 means nothing.
    const tiny: [number, Uint8Array] = [57, Uint8Array.of(0, 1)];
    expect(optionsOf(answered(asked(DHCPDISCOVER, { options: [tiny] })))).toHaveProperty('15');
  });

  test('leases have a second at least and end at some time', () => {
    const lease = (leaseTimeMs: number): string | undefined =>
      optionsOf(answered(asked(DHCPDISCOVER), guest, { ...settings, leaseTimeMs }))[51];
    expect(lease(1)).toBe('00000001');
    expect(lease(1e15)).toBe('fffffffe');
  });
});
