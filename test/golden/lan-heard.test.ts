// Frames as guests really send them, byte by byte: taken from Linux's own ARP and neighbour discovery, iputils, udhcpc and
// dhclient, and QEMU's announcement after a migration; and what they mean.

import { expect, test } from 'vitest';
import { formatIp, parseIp } from '../../src/net/ip.ts';
import { formatMac } from '../../src/net/mac.ts';
import { type FrameNews, readFrame, type Sighting } from '../../src/wire/lan/sighting.ts';
import { golden } from './build.ts';

const gateways = { gateway4: parseIp('169.254.0.1')!, gateway6: parseIp('fe80::1')! };

/** A sighting in words: kind, MAC, address, and what else there is to it. */
function inWords(sighting: Sighting): string {
  const { kind, mac, address, claimsMac, asksGateway, replyTo } = sighting;
  const words = [kind, formatMac(mac)];
  if (address !== undefined) words.push(formatIp(address));
  if (claimsMac !== undefined) words.push(`as ${formatMac(claimsMac)}`);
  if (asksGateway === true) words.push('asks');
  if (replyTo !== undefined) words.push(`from ${formatIp(replyTo)}`);
  return words.join(' ');
}

function read(text: string): FrameNews {
  const frame = golden(text);
  return readFrame(frame, frame.length, gateways);
}

const heard: readonly (readonly [what: string, frame: string, words: string])[] = [
  [
    'ARP: Linux asks for the gateway',
    `ffffffffffff 525400000030 0806  # everybody, source, ARP
     0001 0800 06 04                 # Ethernet, IPv4, 6 and 4 bytes
     0001                            # request
     525400000030 c000021e           # sender: MAC, 192.0.2.30
     000000000000 a9fe0001           # target: nobody knows, 169.254.0.1`,
    'arp 52:54:00:00:00:30 192.0.2.30 asks from 192.0.2.30',
  ],
  [
    'ARP: Linux answers the gateway',
    `020000000001 525400000030 0806
     0001 0800 06 04
     0002                            # reply
     525400000030 c000021e
     020000000001 a9fe0001           # target: the gateway`,
    'arp 52:54:00:00:00:30 192.0.2.30 asks',
  ],
  [
    'ARP announcement: Linux with arp_notify',
    `ffffffffffff 525400000030 0806
     0001 0800 06 04 0001
     525400000030 c000021e           # sender 192.0.2.30
     000000000000 c000021e           # asks for itself`,
    'garp 52:54:00:00:00:30 192.0.2.30',
  ],
  [
    'ARP announcement as a reply, as some send it',
    `ffffffffffff 525400000030 0806
     0001 0800 06 04 0002
     525400000030 c000021e
     ffffffffffff c000021e`,
    'garp 52:54:00:00:00:30 192.0.2.30',
  ],
  [
    'ARP probe: arping -D asks whether it may have an address, and claims none',
    `ffffffffffff 525400000030 0806
     0001 0800 06 04 0001
     525400000030 00000000           # sender 0.0.0.0
     ffffffffffff c000021f           # target 192.0.2.31`,
    'arp 52:54:00:00:00:30',
  ],
  [
    'ARP whose sender is another than that of the frame',
    `ffffffffffff 525400000030 0806
     0001 0800 06 04 0001
     525400000099 c000021e           # not 52:54:00:00:00:30
     000000000000 a9fe0001`,
    'arp 52:54:00:00:00:30 192.0.2.30 as 52:54:00:00:00:99 asks from 192.0.2.30',
  ],
  [
    'RARP: QEMU announces a guest that it has resumed',
    `ffffffffffff 525400000030 8035  # RARP
     0001 0800 06 04
     0003                            # request reverse
     525400000030 00000000           # sender: the guest, no address
     525400000030 00000000           # target: the same
     000000000000000000000000000000000000  # up to 60 bytes`,
    'rarp 52:54:00:00:00:30',
  ],
  [
    'DAD: Linux wants a global address',
    `3333ff000080 525400000030 86dd
     60000000 0020 3a ff             # 32 bytes of ICMPv6, hop limit 255
     00000000000000000000000000000000  # from ::
     ff0200000000000000000001ff000080  # to its solicited-node group
     87 00 7164 00000000             # neighbour solicitation, checksum
     20010db8010000000000000000000080  # target 2001:db8:100::80
     0e01 7946fd2b550f               # nonce (RFC 7527)`,
    'dad 52:54:00:00:00:30 2001:db8:100::80',
  ],
  [
    'DAD: and a link-local one, which is its own matter',
    `3333ff000030 525400000030 86dd
     60000000 0020 3a ff
     00000000000000000000000000000000
     ff0200000000000000000001ff000030
     87 00 f37a 00000000
     fe80000000000000505400fffe000030  # target fe80::5054:ff:fe00:30
     0e01 50f2af6b2a91`,
    'dad 52:54:00:00:00:30',
  ],
  [
    'NA: Linux answers the gateway',
    `020000000001 525400000030 86dd
     60000000 0020 3a ff
     20010db8010000000000000000000080  # from 2001:db8:100::80
     fe800000000000000000000000000001  # to fe80::1
     88 00 662b 60000000             # neighbour advertisement: solicited, override
     20010db8010000000000000000000080  # target
     0201 525400000030               # its link-layer address`,
    'na 52:54:00:00:00:30 2001:db8:100::80 asks',
  ],
  [
    'NA: Linux with ndisc_notify tells everybody',
    `333300000001 525400000030 86dd
     60000000 0020 3a ff
     20010db8010000000000000000000081
     ff020000000000000000000000000001  # to all nodes
     88 00 a5a7 20000000             # override, unasked
     20010db8010000000000000000000081
     0201 525400000030`,
    'unsolicitedNa 52:54:00:00:00:30 2001:db8:100::81',
  ],
  [
    'NA of a link-local address',
    `333300000001 525400000030 86dd
     60000000 0020 3a ff
     fe80000000000000505400fffe000030
     ff020000000000000000000000000001
     88 00 6811 20000000
     fe80000000000000505400fffe000030
     0201 525400000030`,
    'unsolicitedNa 52:54:00:00:00:30',
  ],
];

test.each(heard)('%s', (_, frame, words) => {
  const news = read(frame);
  expect(news?.kind).toBe('sighting');
  if (news?.kind === 'sighting') expect(inWords(news.sighting)).toBe(words);
});

test('router solicitation of Linux', () => {
  const news = read(`
    333300000002 525400000030 86dd
    60000000 0010 3a ff
    fe80000000000000505400fffe000030  # from its link-local address
    ff020000000000000000000000000002  # to all routers
    85 00 da25 00000000             # router solicitation, checksum, reserved
    0101 525400000030               # source link-layer address`);
  expect(news).toEqual({
    kind: 'routerSolicitation',
    mac: golden('525400000030'),
    source: parseIp('fe80::5054:ff:fe00:30'),
  });
});

test('DHCPDISCOVER of udhcpc', () => {
  const news = read(`
    ffffffffffff 525400000030 0800
    45 00 0148 0000 0000 40 11 79a6  # IPv4: 328 bytes, TTL 64, UDP, checksum
    00000000 ffffffff               # from 0.0.0.0 to everybody
    0044 0043 0134 9cf3             # UDP: 68 to 67, 308 bytes, checksum
    01 01 06 00 a502a50a            # request, Ethernet, 6 bytes, no hops, xid
    0000 0000                       # secs, flags
    00000000 00000000 00000000 00000000  # ciaddr, yiaddr, siaddr, giaddr
    525400000030 00000000000000000000  # chaddr
    ${'00'.repeat(192)}             # sname, file
    63825363                        # cookie
    35 01 01                        # DHCPDISCOVER
    39 02 0240                      # longest message 576
    37 08 01 03 06 0c 0f 1c 2a 79   # asks for: mask, router, DNS, …, classless routes
    3c 0c 756468637020312e33352e30  # vendor class: udhcp 1.35.0
    3d 07 01525400000030            # client identifier
    ff ${'00'.repeat(19)}           # end, padding`);
  if (news?.kind !== 'dhcp4') return expect.unreachable();
  expect(inWords(news.sighting)).toBe('dhcp4 52:54:00:00:00:30 asks');
  expect([formatIp(news.source), formatIp(news.destination)]).toEqual(['0.0.0.0', '255.255.255.255']);
  const { options, ...fixed } = news.message;
  const zero = new Uint8Array(4);
  expect(fixed).toEqual({
    reply: false,
    type: 1,
    xid: 0xa502a50a,
    secs: 0,
    broadcast: false,
    ciaddr: zero,
    yiaddr: zero,
    giaddr: zero,
    chaddr: golden('525400000030'),
  });
  expect([...options.keys()]).toEqual([53, 57, 55, 60, 61]);
  expect(options.get(61)).toEqual(golden('01525400000030'));
});

test('Solicit of dhclient, whose checksum the kernel left to the card', () => {
  const news = read(`
    333300010002 525400000030 86dd
    60021fa7 0040 11 01             # flow label, 64 bytes of UDP, hop limit 1
    fe80000000000000505400fffe000030  # from its link-local address
    ff020000000000000000000000010002  # to all servers and relays
    0222 0223 0040 4d5c             # UDP: 546 to 547, 64 bytes, sum of the pseudo-header
    01 1c50fd                       # Solicit, transaction
    0001 000e 0001 0001 32933365 525400000030  # client: DUID-LLT
    0006 0008 0017 0018 0027 001f   # option request
    0008 0002 0067                  # elapsed time
    0003 000c 00000030 00000e10 00001518  # IA_NA: IAID, T1, T2`);
  if (news?.kind !== 'dhcp6') return expect.unreachable();
  expect(inWords(news.sighting)).toBe('dhcp6 52:54:00:00:00:30 asks');
  expect(news.message).toEqual({
    type: 1,
    transaction: 0x1c50fd,
    clientId: golden('0001 0001 32933365 525400000030'),
    associations: [{ kind: 'addresses', iaid: 0x30, addresses: [] }],
    rapidCommit: false,
  });
});
