// Frames as a gateway sends them, byte by byte; checksums and fields were read by tcpdump too, and the neighbour
// solicitation is the one that Linux sends.

import { expect, test } from 'vitest';
import { answerDhcp4 } from '../../src/guests/dhcp4.ts';
import { answerDhcp6 } from '../../src/guests/dhcp6.ts';
import { ByteWriter } from '../../src/lib/bytes.ts';
import { parseIp } from '../../src/net/ip.ts';
import { parseMac } from '../../src/net/mac.ts';
import { arpAnnouncement, arpReply, arpRequest } from '../../src/wire/lan/arp.ts';
import { neighbourAdvertisement, neighbourSolicitation, routerAdvertisement } from '../../src/wire/lan/nd.ts';
import { golden, hexOf } from './build.ts';

const gatewayMac = parseMac('02:00:00:00:00:01')!;
const guestMac = parseMac('52:54:00:00:00:30')!;
const gateway4 = { mac: gatewayMac, address: parseIp('169.254.0.1')! };
const gateway6 = { mac: gatewayMac, address: parseIp('fe80::1')! };
const guest4 = { mac: guestMac, address: parseIp('192.0.2.30')! };
const guest6 = { mac: guestMac, address: parseIp('2001:db8:100::80')! };

const said: readonly (readonly [what: string, write: (out: ByteWriter) => void, frame: string])[] = [
  [
    'ARP request to everybody',
    (out) => arpRequest(out, gateway4, guest4.address),
    `ffffffffffff 020000000001 0806
     0001 0800 06 04 0001            # Ethernet, IPv4, request
     020000000001 a9fe0001           # sender: the gateway
     000000000000 c000021e           # target`,
  ],
  [
    'ARP request to who had it',
    (out) => arpRequest(out, gateway4, guest4.address, guestMac),
    `525400000030 020000000001 0806
     0001 0800 06 04 0001
     020000000001 a9fe0001
     000000000000 c000021e`,
  ],
  [
    'ARP reply',
    (out) => arpReply(out, gateway4, guest4),
    `525400000030 020000000001 0806
     0001 0800 06 04 0002
     020000000001 a9fe0001
     525400000030 c000021e`,
  ],
  [
    'ARP announcement',
    (out) => arpAnnouncement(out, gateway4),
    `ffffffffffff 020000000001 0806
     0001 0800 06 04 0001
     020000000001 a9fe0001
     000000000000 a9fe0001`,
  ],
  [
    'neighbour solicitation to the group, as Linux sends it',
    (out) => neighbourSolicitation(out, gateway6, guest6.address),
    `3333ff000080 020000000001 86dd
     60000000 0020 3a ff             # 32 bytes of ICMPv6, hop limit 255
     fe800000000000000000000000000001
     ff0200000000000000000001ff000080
     87 00 4963 00000000             # neighbour solicitation
     20010db8010000000000000000000080  # target
     0101 020000000001               # source link-layer address`,
  ],
  [
    'neighbour solicitation to who had it',
    (out) => neighbourSolicitation(out, gateway6, guest6.address, guestMac),
    `525400000030 020000000001 86dd
     60000000 0020 3a ff
     fe800000000000000000000000000001
     20010db8010000000000000000000080
     87 00 18af 00000000
     20010db8010000000000000000000080
     0101 020000000001`,
  ],
  [
    'neighbour advertisement to who asked',
    (out) => neighbourAdvertisement(out, gateway6, guest6),
    `525400000030 020000000001 86dd
     60000000 0020 3a ff
     fe800000000000000000000000000001
     20010db8010000000000000000000080
     88 00 6765 e0000000             # router, solicited, override
     fe800000000000000000000000000001
     0201 020000000001               # target link-layer address`,
  ],
  [
    'neighbour advertisement to all nodes',
    (out) => neighbourAdvertisement(out, gateway6),
    `333300000001 020000000001 86dd
     60000000 0020 3a ff
     fe800000000000000000000000000001
     ff020000000000000000000000000001
     88 00 d79a a0000000             # router, override
     fe800000000000000000000000000001
     0201 020000000001`,
  ],
  [
    'router advertisement to all nodes',
    (out) => routerAdvertisement(out, gateway6, { lifetimeS: 9000, managed: true, other: true, mtu: 1450 }),
    `333300000001 020000000001 86dd
     60000000 0020 3a ff
     fe800000000000000000000000000001
     ff020000000000000000000000000001
     86 00 4a8a                      # router advertisement
     00 c0 2328                      # hop limit open, M and O, 9000 seconds
     00000000 00000000               # reachable and retransmission time open
     0101 020000000001               # source link-layer address
     0501 0000 000005aa              # MTU 1450; no prefix`,
  ],
  [
    'router advertisement to one guest',
    (out) => routerAdvertisement(out, gateway6, { lifetimeS: 9000, managed: false, other: true }, guest6),
    `525400000030 020000000001 86dd
     60000000 0018 3a ff
     fe800000000000000000000000000001
     20010db8010000000000000000000080
     86 00 2588
     00 40 2328                      # O
     00000000 00000000
     0101 020000000001`,
  ],
];

test.each(said)('%s', (_, write, frame) => {
  const out = new ByteWriter(16);
  // What an earlier frame left in the writer must not show.
  out.copy(new Uint8Array(40).fill(0xff));
  write(out);
  expect(hexOf(out.take())).toBe(hexOf(golden(frame)));
});

const settings = {
  gatewayMac,
  gateway4: gateway4.address,
  gateway6: gateway6.address,
  dns: [parseIp('192.0.2.53')!, parseIp('2001:db8::53')!],
  domain: 'example.net',
  leaseTimeMs: 3_600_000,
};
const guest = { mac: guestMac, addresses: [guest4.address, guest6.address] };

test('DHCPOFFER to udhcpc', () => {
  const zero = new Uint8Array(4);
  const news = {
    kind: 'dhcp4' as const,
    sighting: { kind: 'dhcp4' as const, mac: guestMac },
    source: zero,
    destination: parseIp('255.255.255.255')!,
    message: {
      reply: false,
      type: 1,
      xid: 0xa502a50a,
      secs: 0,
      broadcast: false,
      ciaddr: zero,
      yiaddr: zero,
      giaddr: zero,
      chaddr: guestMac,
      options: new Map([[61, golden('01525400000030')]]),
    },
  };
  const out = new ByteWriter();
  expect(answerDhcp4(news, guest, settings, out)).toMatchObject({ what: 'offer' });
  expect(hexOf(out.take())).toBe(
    hexOf(
      golden(`
        525400000030 020000000001 0800
        45 00 0160 0000 4000 40 11 cd6f  # 352 bytes, not to be fragmented, TTL 64, UDP
        a9fe0001 c000021e               # from the gateway to the address it gives
        0043 0044 014c 5492             # 67 to 68
        02 01 06 00 a502a50a 0000 0000  # reply, Ethernet, xid, secs, flags
        00000000 c000021e 00000000 00000000  # yiaddr 192.0.2.30
        525400000030 00000000000000000000
        ${'00'.repeat(192)}
        63825363
        35 01 02                        # DHCPOFFER
        36 04 a9fe0001                  # server
        33 04 00000e10                  # an hour
        3a 04 00000708                  # T1: a half
        3b 04 00000c4e                  # T2: seven eighths
        01 04 ffffffff                  # /32
        79 0e 20 a9fe0001 00000000      # 169.254.0.1/32 is on the link
              00 a9fe0001               # all else by it
        03 04 a9fe0001                  # for those who do not know 121
        3d 07 01525400000030            # client identifier (RFC 6842)
        06 04 c0000235                  # DNS
        0f 0b 6578616d706c652e6e6574    # example.net
        ff`),
    ),
  );
});

test('Advertise to dhclient', () => {
  const news = {
    kind: 'dhcp6' as const,
    sighting: { kind: 'dhcp6' as const, mac: guestMac },
    source: parseIp('fe80::5054:ff:fe00:30')!,
    destination: parseIp('ff02::1:2')!,
    message: {
      type: 1,
      transaction: 0x1c50fd,
      clientId: golden('0001 0001 32933365 525400000030'),
      associations: [{ kind: 'addresses' as const, iaid: 0x30, addresses: [] }],
      rapidCommit: false,
    },
  };
  const out = new ByteWriter();
  expect(answerDhcp6(news, guest, settings, out)).toMatchObject({ what: 'advertise' });
  expect(hexOf(out.take())).toBe(
    hexOf(
      golden(`
        525400000030 020000000001 86dd
        60000000 007d 11 40             # 125 bytes of UDP, hop limit 64
        fe800000000000000000000000000001
        fe80000000000000505400fffe000030
        0223 0222 007d 5180             # 547 to 546
        02 1c50fd                       # Advertise, transaction
        0001 000e 0001 0001 32933365 525400000030  # client
        0002 000a 0003 0001 020000000001  # server: DUID-LL of the gateway's MAC
        0003 0028 00000030 00000708 00000b40  # IA_NA: IAID, T1, T2
          0005 0018 20010db8010000000000000000000080 00000e10 00000e10  # the address for an hour
        0017 0010 20010db8000000000000000000000053  # DNS
        0018 000d 07 6578616d706c65 03 6e6574 00`),
    ),
  );
});
