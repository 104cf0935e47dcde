import { describe, expect, test } from 'vitest';
import { ByteWriter, readU16, writeU16 } from '../../lib/bytes.ts';
import { parseIp } from '../../net/ip.ts';
import { parseMac } from '../../net/mac.ts';
import { arpRequest } from './arp.ts';
import { beginFrame, ETHERTYPE_IP6, multicastMac6 } from './ethernet.ts';
import { putIcmp6Checksum } from './icmp6.ts';
import { PROTOCOL_ICMP6, writeIp6 } from './ip.ts';
import { neighbourAdvertisement, neighbourSolicitation, routerAdvertisement, solicitedNode } from './nd.ts';
import { readFrame } from './sighting.ts';
import { udpFrame } from './udp.ts';

const mac = parseMac('52:54:00:00:00:30')!;
const guest = { mac, address: parseIp('2001:db8:100::80')! };
const gateway6 = parseIp('fe80::1')!;
const gateways = { gateway4: parseIp('169.254.0.1')!, gateway6 };
const unspecified = new Uint8Array(16);
const target = parseIp('2001:db8:100::81')!;

function written(write: (out: ByteWriter) => void): Uint8Array {
  const out = new ByteWriter();
  write(out);
  return out.take();
}

const read = (frame: Uint8Array) => readFrame(frame, frame.length, gateways);

interface Icmp6 {
  source?: Uint8Array;
  destination?: Uint8Array;
  hopLimit?: number;
  /** Extension headers, the first one's type first: a list of header types, eight bytes each. */
  extensions?: readonly number[];
  spoil?: boolean;
}

/** An ICMPv6 message with everything else as asked for; the checksum is right unless spoilt. */
function icmp6(body: readonly number[], options: Icmp6 = {}): Uint8Array {
  const { source = guest.address, destination = gateway6, hopLimit = 255, extensions = [] } = options;
  return written((out) => {
    beginFrame(out, multicastMac6(destination), mac, ETHERTYPE_IP6);
    const chain = [...extensions, PROTOCOL_ICMP6];
    writeIp6(out, source, destination, chain[0]!, hopLimit, extensions.length * 8 + body.length);
    for (let i = 0; i < extensions.length; i++)
      out
        .u8(chain[i + 1]!)
        .u8(0)
        .u16(0)
        .u32(0);
    const start = out.length;
    for (const byte of body) out.u8(byte);
    putIcmp6Checksum(out, start, source, destination);
    if (options.spoil === true) out.bytes[start + 3]! ^= 1;
  });
}

const fixed = (type: number, flags = 0): number[] => [type, 0, 0, 0, flags, 0, 0, 0];
const lladdr = (type: number, of: Uint8Array = mac): number[] => [type, 1, ...of];
const solicitation = (...options: number[]): number[] => [...fixed(135), ...target, ...options];
const advertisement = (flags: number, ...options: number[]): number[] => [
  ...fixed(136, flags),
  ...target,
  ...options,
];
const group = solicitedNode(target);

describe('neighbour discovery is believed only as RFC 4861 sections 6.1 and 7.1 allow', () => {
  test.each<[string, Uint8Array, string | undefined]>([
    ['a solicitation', icmp6(solicitation(...lladdr(1))), 'ns'],
    ['without an option', icmp6(solicitation()), 'ns'],
    ['behind a hop-by-hop header', icmp6(solicitation(), { extensions: [0] }), 'ns'],
    ['hop limit 254', icmp6(solicitation(), { hopLimit: 254 }), undefined],
    ['a wrong checksum', icmp6(solicitation(), { spoil: true }), undefined],
    ['code 1', icmp6([135, 1, ...solicitation().slice(2)]), undefined],
    ['too short', icmp6(solicitation().slice(0, 23)), undefined],
    ['an option of no length', icmp6(solicitation(1, 0, ...mac)), undefined],
    ['an option that reaches beyond', icmp6(solicitation(1, 2, ...mac)), undefined],
    ['an option cut off', icmp6(solicitation(1)), undefined],
    [
      'more options than anybody sends',
      icmp6(solicitation(...new Array(33).fill(lladdr(14)).flat())),
      undefined,
    ],
    ['a group as target', icmp6([...fixed(135), ...group]), undefined],
    ['nobody as target', icmp6([...fixed(135), ...unspecified]), undefined],
    ['a group as source', icmp6(solicitation(), { source: group }), undefined],
    ['DAD', icmp6(solicitation(), { source: unspecified, destination: group }), 'dad'],
    ['DAD to a station', icmp6(solicitation(), { source: unspecified }), undefined],
    [
      'DAD with a link-layer address',
      icmp6(solicitation(...lladdr(1)), { source: unspecified, destination: group }),
      undefined,
    ],
    ['an advertisement', icmp6(advertisement(0x40)), 'na'],
    ['an unsolicited one', icmp6(advertisement(0x20), { destination: group }), 'unsolicitedNa'],
    ['a solicited one to a group', icmp6(advertisement(0x40), { destination: group }), undefined],
    ['an advertisement from nobody', icmp6(advertisement(0x20), { source: unspecified }), undefined],
    ['a fragment (RFC 6980)', icmp6(solicitation(), { extensions: [44] }), undefined],
    ['eight extension headers', icmp6(solicitation(), { extensions: new Array(8).fill(60) }), 'ns'],
    ['nine', icmp6(solicitation(), { extensions: new Array(9).fill(60) }), undefined],
  ])('%s', (_, frame, kind) => {
    const news = read(frame);
    expect(news?.kind === 'sighting' ? news.sighting.kind : undefined).toBe(kind);
  });

  test('router solicitations', () => {
    const asks = (body: number[], options: Icmp6 = {}) => read(icmp6(body, options))?.kind;
    expect(asks(fixed(133))).toBe('routerSolicitation');
    expect(asks(fixed(133), { source: unspecified })).toBe('routerSolicitation');
    expect(asks([...fixed(133), ...lladdr(1)], { source: unspecified })).toBeUndefined();
    expect(asks(fixed(133), { hopLimit: 64 })).toBeUndefined();
    expect(asks(fixed(133).slice(0, 7))).toBeUndefined();
  });
});

test('a message that names another hardware address than its frame says so', () => {
  const other = parseMac('52:54:00:00:00:99')!;
  expect(read(icmp6(solicitation(...lladdr(1, other))))).toMatchObject({
    sighting: { mac, claimsMac: other },
  });
  expect(read(icmp6(advertisement(0x20, ...lladdr(2, other))))).toMatchObject({
    sighting: { mac, claimsMac: other },
  });
  expect(read(icmp6([...fixed(133), ...lladdr(1, other)]))).toMatchObject({ mac, claimsMac: other });
  // The other kind of option says nothing of the sender.
  const news = read(icmp6(advertisement(0x20, ...lladdr(1, other))));
  expect(news?.kind === 'sighting' && 'claimsMac' in news.sighting).toBe(false);
});

test('the gateway, asked for and claimed', () => {
  const linkLocal = { mac, address: parseIp('fe80::5054:ff:fe00:30')! };
  const asks = read(written((out) => neighbourSolicitation(out, linkLocal, gateway6)));
  expect(asks).toEqual({
    kind: 'sighting',
    sighting: { kind: 'ns', mac, asksGateway: true, replyTo: linkLocal.address },
  });
  const claims = read(written((out) => neighbourAdvertisement(out, { mac, address: gateway6 })));
  expect(claims).toEqual({ kind: 'sighting', sighting: { kind: 'unsolicitedNa', mac, address: gateway6 } });
  const dad = icmp6([...fixed(135), ...gateway6], {
    source: unspecified,
    destination: solicitedNode(gateway6),
  });
  expect(read(dad)).toEqual({ kind: 'sighting', sighting: { kind: 'dad', mac, address: gateway6 } });
});

describe('what no guest may send', () => {
  const terms = { lifetimeS: 1800, managed: false, other: false };
  const advertised = written((out) => routerAdvertisement(out, guest, terms));
  const datagram = (sourcePort: number, destinationPort: number, data: number[], six = false): Uint8Array =>
    written((out) =>
      udpFrame(
        out,
        {
          sourceMac: mac,
          destinationMac: mac,
          source: six ? guest.address : parseIp('192.0.2.30')!,
          destination: six ? target : parseIp('192.0.2.31')!,
          sourcePort,
          destinationPort,
        },
        Uint8Array.from(data),
      ),
    );
  const bootp = (op: number): number[] => {
    const message = new Array<number>(240).fill(0);
    message.splice(0, 3, op, 1, 6);
    message.splice(236, 4, 0x63, 0x82, 0x53, 0x63);
    return [...message, 53, 1, 5, 255];
  };

  test.each<[string, Uint8Array, string | undefined]>([
    ['a router advertisement', advertised, 'routerAdvertisement'],
    ['one behind other headers (RFC 7113)', icmp6([134], { extensions: [60, 60] }), 'routerAdvertisement'],
    ['one with a wrong checksum', icmp6([134, 0, 0, 0], { spoil: true }), 'routerAdvertisement'],
    ['a redirect', icmp6(fixed(137)), 'redirect'],
    ['anything to a DHCPv4 client', datagram(67, 68, []), 'dhcpServer'],
    ['a DHCPv4 reply to a server', datagram(67, 67, bootp(2)), 'dhcpServer'],
    ['anything to a DHCPv6 client', datagram(547, 546, [7, 0, 0, 1], true), 'dhcpServer'],
    ['a DHCPv6 reply to a server', datagram(547, 547, [7, 0, 0, 1], true), 'dhcpServer'],
    ['DHCPv6 Reconfigure', datagram(547, 547, [10, 0, 0, 1], true), 'dhcpServer'],
    ['but a request it may', datagram(68, 67, bootp(1)), undefined],
    ['and other datagrams', datagram(53, 53, [1]), undefined],
  ])('%s', (_, frame, what) => {
    const news = read(frame);
    expect(news?.kind === 'forbidden' ? news.what : undefined).toBe(what);
    if (news?.kind === 'forbidden') expect(news.mac).toEqual(mac);
  });
});

describe('UDP checksums', () => {
  const solicit = (): Uint8Array =>
    written((out) =>
      udpFrame(
        out,
        {
          sourceMac: mac,
          destinationMac: mac,
          source: guest.address,
          destination: target,
          sourcePort: 546,
          destinationPort: 547,
        },
        Uint8Array.of(1, 0, 0, 9),
      ),
    );
  const field = 14 + 40 + 6;

  test('whole, of the pseudo-header alone, or wrong', () => {
    expect(read(solicit())?.kind).toBe('dhcp6');
    const wrong = solicit();
    writeU16(wrong, field, readU16(wrong, field) ^ 0x0100);
    expect(read(wrong)).toBeUndefined();
    const none = solicit();
    writeU16(none, field, 0);
    expect(read(none)).toBeUndefined();
    // 2001:db8:100::80, 2001:db8:100::81, 17 and 12: summed by hand.
    const partial = solicit();
    writeU16(partial, field, 2 * (0x2001 + 0x0db8 + 0x0100) + 0x80 + 0x81 + 17 + 12);
    expect(read(partial)?.kind).toBe('dhcp6');
  });
});

describe('frames that are nothing', () => {
  const arp = written((out) => arpRequest(out, { mac, address: parseIp('192.0.2.30')! }, gateways.gateway4));

  test('tagged, from a group, from nobody, cut short, of another hardware', () => {
    expect(read(arp)?.kind).toBe('sighting');
    const tagged = Uint8Array.of(...arp.subarray(0, 12), 0x81, 0, 0, 5, ...arp.subarray(12));
    expect(read(tagged)).toBeUndefined();
    for (const first of [0x01, 0xff]) {
      const group = arp.slice();
      group[6] = first;
      expect(read(group)).toBeUndefined();
    }
    expect(read(arp.slice().fill(0, 6, 12))).toBeUndefined();
    for (let length = 0; length < arp.length; length++) expect(read(arp.slice(0, length))).toBeUndefined();
    for (const [at, value] of [
      [15, 6],
      [16, 0],
      [18, 8],
      [19, 16],
      [21, 3],
    ] as const) {
      const other = arp.slice();
      other[at] = value;
      expect(read(other)).toBeUndefined();
    }
  });

  test('an ARP reply from 0.0.0.0', () => {
    const reply = written((out) => arpRequest(out, { mac, address: new Uint8Array(4) }, gateways.gateway4));
    expect(read(reply)?.kind).toBe('sighting');
    reply[21] = 2;
    expect(read(reply)).toBeUndefined();
  });

  test('what was read stays when the buffer is used again', () => {
    const shared = Buffer.from(arp);
    const news = readFrame(shared, shared.length);
    shared.fill(0xee);
    expect(news).toEqual({
      kind: 'sighting',
      sighting: { kind: 'arp', mac, address: parseIp('192.0.2.30') },
    });
  });
});
