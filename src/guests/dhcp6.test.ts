import { describe, expect, test } from 'vitest';
import { ByteWriter, readU16, readU32 } from '../lib/bytes.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import { formatMac, parseMac } from '../net/mac.ts';
import {
  type Association,
  CONFIRM,
  DECLINE,
  duidOf,
  INFORMATION_REQUEST,
  REBIND,
  RELEASE,
  RENEW,
  REPLY,
  REQUEST,
  SOLICIT,
} from '../wire/lan/dhcp6.ts';
import { readIp6 } from '../wire/lan/ip.ts';
import type { Dhcp6News } from '../wire/lan/sighting.ts';
import { readUdp } from '../wire/lan/udp.ts';
import type { DhcpGuest, DhcpSettings } from './dhcp.ts';
import { advertiseRouter, answerRouterSolicitation } from './dhcp-router.ts';
import { answerDhcp6 } from './dhcp6.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const mac = parseMac('52:54:00:00:00:30')!;
const settings: DhcpSettings = {
  gatewayMac: parseMac('02:00:00:00:00:01')!,
  gateway4: ip('169.254.0.1'),
  gateway6: ip('fe80::1'),
  dns: [ip('192.0.2.53'), ip('2001:db8::53')],
  domain: 'example.net',
  leaseTimeMs: 1_000_000,
};
const guest: DhcpGuest = { mac, addresses: [ip('192.0.2.30'), ip('2001:db8::a'), ip('2001:db8::b')] };
const source = ip('fe80::5054:ff:fe00:30');
const clientId = Uint8Array.of(0, 3, 0, 1, ...mac);
const ours = duidOf(settings.gatewayMac);

/** Identity associations by their addresses; `pd` is one of prefixes. The IAIDs are 1, 2, … */
function associations(...lists: readonly (readonly string[] | 'pd')[]): Association[] {
  return lists.map((list, i) =>
    list === 'pd'
      ? { kind: 'prefixes', iaid: i + 1, addresses: [] }
      : { kind: 'addresses', iaid: i + 1, addresses: list.map(ip) },
  );
}

interface Asked {
  ia?: readonly (readonly string[] | 'pd')[];
  server?: Uint8Array;
  noClient?: boolean;
  rapidCommit?: boolean;
  destination?: string;
  source?: string;
}

function asked(type: number, given: Asked = {}): Dhcp6News {
  const message = {
    type,
    transaction: 0x123456,
    associations: associations(...(given.ia ?? [])),
    rapidCommit: given.rapidCommit ?? false,
    ...(given.noClient === true ? {} : { clientId }),
    ...(given.server === undefined ? {} : { serverId: given.server }),
  };
  return {
    kind: 'dhcp6',
    sighting: { kind: 'dhcp6', mac },
    source: given.source === undefined ? source : ip(given.source),
    destination: ip(given.destination ?? 'ff02::1:2'),
    message,
  };
}

/** Options in words, one after the other, those within others in brackets. */
function inWords(bytes: Uint8Array, start: number, end: number): string {
  const words: string[] = [];
  for (let at = start; at < end; ) {
    const code = readU16(bytes, at);
    const from = at + 4;
    const to = from + readU16(bytes, at + 2);
    if (code === 1) words.push('client');
    else if (code === 2)
      words.push(Buffer.compare(bytes.subarray(from, to), ours) === 0 ? 'server' : 'stranger');
    else if (code === 3 || code === 25) {
      const times = `${readU32(bytes, from + 4)}/${readU32(bytes, from + 8)}`;
      const name = code === 3 ? 'na' : 'pd';
      words.push(`${name}${readU32(bytes, from)} ${times} [${inWords(bytes, from + 12, to)}]`);
    } else if (code === 5)
      words.push(`${formatIp(bytes, from, 16)} ${readU32(bytes, from + 16)}/${readU32(bytes, from + 20)}`);
    else if (code === 13) words.push(`status ${readU16(bytes, from)}`);
    else if (code === 14) words.push('rapid');
    else if (code === 23) words.push(`dns ${formatIp(bytes, from, 16)}`);
    else if (code === 24) words.push('domain');
    else words.push(`option ${code}`);
    at = to;
  }
  return words.join(', ');
}

/** The answer in a line, without the identifiers that every one has; or why there is none. */
function line(news: Dhcp6News, to: DhcpGuest | undefined = guest): string {
  const out = new ByteWriter();
  const answer = answerDhcp6(news, to, settings, out);
  if (answer.kind === 'none') return answer.why;
  const frame = out.take();
  const datagram = readIp6(frame, 14, frame.length)!;
  const udp = readUdp(frame, datagram)!;
  expect([udp.sourcePort, udp.destinationPort]).toEqual([547, 546]);
  expect([formatIp(datagram.source), formatIp(datagram.destination)]).toEqual([
    'fe80::1',
    formatIp(news.source),
  ]);
  expect([formatMac(frame), formatMac(frame, 6)]).toEqual(['52:54:00:00:00:30', '02:00:00:00:00:01']);
  expect(readU32(frame, udp.start) & 0xffffff).toBe(0x123456);
  const type = frame[udp.start] === REPLY ? 'reply' : 'advertise';
  expect(answer.what).toBe(type);
  const options = inWords(frame, udp.start + 4, udp.end);
  const ids = news.message.clientId === undefined ? 'server' : 'client, server';
  expect(options.startsWith(ids)).toBe(true);
  return `${type}: ${options.slice(ids.length + 2)}`;
}

const rest = 'dns 2001:db8::53, domain';
const one = 'na1 500/800 [2001:db8::a 1000/1000]';
const none = `na3 0/0 [status 2], ${rest}`;
const server = ours;

describe('what a server answers (RFC 8415 section 18.3)', () => {
  test.each<[string, Dhcp6News, string]>([
    ['Solicit', asked(SOLICIT, { ia: [[]] }), `advertise: ${one}, ${rest}`],
    [
      'Solicit with a wish',
      asked(SOLICIT, { ia: [['2001:db8::b']] }),
      `advertise: na1 500/800 [2001:db8::b 1000/1000], ${rest}`,
    ],
    [
      'Solicit with a strange wish',
      asked(SOLICIT, { ia: [['2001:db8:1::1']] }),
      `advertise: ${one}, ${rest}`,
    ],
    [
      'Solicit with rapid commit',
      asked(SOLICIT, { ia: [[]], rapidCommit: true }),
      `reply: rapid, ${one}, ${rest}`,
    ],
    [
      'Solicit for two',
      asked(SOLICIT, { ia: [[], []] }),
      `advertise: ${one}, na2 500/800 [2001:db8::b 1000/1000], ${rest}`,
    ],
    [
      'Solicit for three where there are two addresses',
      asked(SOLICIT, { ia: [['2001:db8::b'], [], []] }),
      `advertise: na1 500/800 [2001:db8::b 1000/1000], na2 500/800 [2001:db8::a 1000/1000], ${none}`,
    ],
    [
      'Solicit for a prefix',
      asked(SOLICIT, { ia: ['pd', []] }),
      `advertise: pd1 0/0 [status 6], na2 500/800 [2001:db8::a 1000/1000], ${rest}`,
    ],
    ['Solicit that names a server', asked(SOLICIT, { ia: [[]], server }), 'malformed'],
    ['Solicit of nobody', asked(SOLICIT, { ia: [[]], noClient: true }), 'malformed'],
    ['Solicit to this server alone', asked(SOLICIT, { ia: [[]], destination: 'fe80::1' }), 'malformed'],
    ['Request', asked(REQUEST, { ia: [['2001:db8::a']], server }), `reply: ${one}, ${rest}`],
    ['Request without a wish', asked(REQUEST, { ia: [[]], server }), `reply: ${one}, ${rest}`],
    [
      'Request of a strange address',
      asked(REQUEST, { ia: [['2001:db8:1::1']], server }),
      `reply: na1 0/0 [status 4], ${rest}`,
    ],
    ['Request to another server', asked(REQUEST, { ia: [[]], server: clientId }), 'otherServer'],
    ['Request to no server', asked(REQUEST, { ia: [[]] }), 'malformed'],
    ['Request by unicast', asked(REQUEST, { ia: [[]], server, destination: 'fe80::1' }), 'reply: status 5'],
    ['Renew', asked(RENEW, { ia: [['2001:db8::a']], server }), `reply: ${one}, ${rest}`],
    ['Renew to another server', asked(RENEW, { ia: [['2001:db8::a']], server: clientId }), 'otherServer'],
    [
      'Renew of an address that is the guest’s no more',
      asked(RENEW, { ia: [['2001:db8:1::1']], server }),
      `reply: na1 500/800 [2001:db8::a 1000/1000, 2001:db8:1::1 0/0], ${rest}`,
    ],
    [
      'Renew of one address twice',
      asked(RENEW, { ia: [['2001:db8::a'], ['2001:db8::a']], server }),
      `reply: ${one}, na2 500/800 [2001:db8::b 1000/1000, 2001:db8::a 0/0], ${rest}`,
    ],
    [
      'Rebind',
      asked(REBIND, { ia: [['2001:db8::b']] }),
      `reply: na1 500/800 [2001:db8::b 1000/1000], ${rest}`,
    ],
    ['Rebind that names a server', asked(REBIND, { ia: [['2001:db8::b']], server }), 'malformed'],
    ['Confirm', asked(CONFIRM, { ia: [['2001:db8::a']] }), `reply: status 0, ${rest}`],
    [
      'Confirm of a strange address',
      asked(CONFIRM, { ia: [['2001:db8::a', '2001:db8:1::1']] }),
      `reply: status 4, ${rest}`,
    ],
    ['Confirm of nothing', asked(CONFIRM, { ia: [[]] }), 'malformed'],
    [
      'Release',
      asked(RELEASE, { ia: [['2001:db8::a'], ['2001:db8:1::1']], server }),
      'reply: status 0, na2 0/0 [status 3]',
    ],
    ['Decline', asked(DECLINE, { ia: [['2001:db8::a']], server }), 'reply: status 0'],
    [
      'Decline by unicast',
      asked(DECLINE, { ia: [['2001:db8::a']], server, destination: 'fe80::1' }),
      'reply: status 5',
    ],
    ['Information-request', asked(INFORMATION_REQUEST), `reply: ${rest}`],
    ['Information-request of nobody', asked(INFORMATION_REQUEST, { noClient: true }), `reply: ${rest}`],
    ['Information-request for an address', asked(INFORMATION_REQUEST, { ia: [[]] }), 'malformed'],
    [
      'Information-request to another server',
      asked(INFORMATION_REQUEST, { server: clientId }),
      'otherServer',
    ],
    ['from nowhere', asked(SOLICIT, { ia: [[]], source: '::' }), 'malformed'],
    ['from a group', asked(SOLICIT, { ia: [[]], source: 'ff02::1' }), 'malformed'],
    ['a reply', asked(REPLY, { ia: [[]], server }), 'malformed'],
  ])('%s', (_, news, answer) => {
    expect(line(news)).toBe(answer);
  });

  test('whom', () => {
    const solicit = asked(SOLICIT, { ia: [[]] });
    expect(line(solicit, { ...guest, mac: settings.gatewayMac })).toBe('unknown');
    expect(answerDhcp6(solicit, undefined, settings, new ByteWriter())).toEqual({
      kind: 'none',
      why: 'unknown',
    });
    expect(line(solicit, { addresses: [ip('2001:db8::9')] })).toContain('[2001:db8::9 1000/1000]');
    // Known, but there is nothing to give.
    const onlyFour = { mac, addresses: [ip('192.0.2.30')] };
    expect(line(solicit, onlyFour)).toBe(`advertise: na1 0/0 [status 2], ${rest}`);
    const renew = asked(RENEW, { ia: [['2001:db8::a']], server });
    expect(line(renew, onlyFour)).toBe(`reply: na1 500/800 [2001:db8::a 0/0], ${rest}`);
    const bare = asked(RENEW, { ia: [[]], server });
    expect(line(bare, onlyFour)).toBe(`reply: na1 0/0 [status 2], ${rest}`);
  });

  test('a domain that is none is not told', () => {
    const out = new ByteWriter();
    const told = (domain: string): number => {
      answerDhcp6(asked(INFORMATION_REQUEST), guest, { ...settings, domain }, out);
      return out.length;
    };
    const without = told('a..b');
    expect(told('a.b.')).toBe(without + 4 + 5);
    expect(told('x'.repeat(64))).toBe(without);
    expect(told(`${'x'.repeat(63)}.`.repeat(4))).toBe(without);
  });
});

describe('router advertisements', () => {
  const solicitation = { kind: 'routerSolicitation' as const, mac, source };
  const flagsOf = (frame: Uint8Array): number => frame[14 + 40 + 5]!;

  test('go to who asked, or to all nodes where it has no address', () => {
    const out = new ByteWriter();
    expect(answerRouterSolicitation(solicitation, guest, settings, out)).toMatchObject({ kind: 'frame' });
    expect([formatMac(out.bytes), formatIp(out.bytes, 38, 16)]).toEqual([
      '52:54:00:00:00:30',
      formatIp(source),
    ]);
    const nobody = { ...solicitation, source: new Uint8Array(16) };
    answerRouterSolicitation(nobody, guest, settings, out);
    expect([formatMac(out.bytes), formatIp(out.bytes, 38, 16)]).toEqual(['33:33:00:00:00:01', 'ff02::1']);
  });

  test('say that addresses come by DHCPv6 where there is one', () => {
    const out = new ByteWriter();
    advertiseRouter(guest, settings, out);
    expect(flagsOf(out.bytes)).toBe(0xc0);
    advertiseRouter({ mac, addresses: [ip('192.0.2.30')] }, settings, out);
    expect(flagsOf(out.bytes)).toBe(0x40);
    const plain = out.length;
    advertiseRouter(guest, { ...settings, mtu: 1450 }, out);
    expect(out.length).toBe(plain + 8);
  });

  test('do not go to strangers', () => {
    const out = new ByteWriter();
    const stranger = { mac: settings.gatewayMac, addresses: guest.addresses };
    const refused = (news: typeof solicitation, to: DhcpGuest | undefined): unknown =>
      answerRouterSolicitation(news, to, settings, out);
    expect(refused(solicitation, undefined)).toEqual({ kind: 'none', why: 'unknown' });
    expect(refused(solicitation, stranger)).toEqual({ kind: 'none', why: 'unknown' });
    const claims = { ...solicitation, claimsMac: settings.gatewayMac };
    expect(refused(claims, guest)).toEqual({ kind: 'none', why: 'otherMac' });
    expect(out.length).toBe(0);
  });
});
