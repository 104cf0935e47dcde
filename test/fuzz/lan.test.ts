// What a guest may put on its link: frames of every kind that is read, drawn at random, then spoilt on the wire or within,
// with lengths and checksums put right again so that the spoilt part is met. Whatever it is, it means something or nothing;
// what is read never comes from beyond the frame; and what is answered is a frame that reads well itself.

import { expect, test } from 'vitest';
import type { DhcpAnswer, DhcpGuest, DhcpSettings } from '../../src/guests/dhcp.ts';
import { answerRouterSolicitation } from '../../src/guests/dhcp-router.ts';
import { answerDhcp4 } from '../../src/guests/dhcp4.ts';
import { answerDhcp6 } from '../../src/guests/dhcp6.ts';
import { ByteWriter } from '../../src/lib/bytes.ts';
import { Rng } from '../../src/lib/rng.ts';
import { parseIp } from '../../src/net/ip.ts';
import { parseMac } from '../../src/net/mac.ts';
import { readDhcp4 } from '../../src/wire/lan/dhcp4.ts';
import { beginFrame, ETHERTYPE_IP6 } from '../../src/wire/lan/ethernet.ts';
import { icmp6ChecksumHolds, putIcmp6Checksum } from '../../src/wire/lan/icmp6.ts';
import { PROTOCOL_ICMP6, readIp4, readIp6, writeIp6 } from '../../src/wire/lan/ip.ts';
import { type FrameNews, readFrame, type Sighting } from '../../src/wire/lan/sighting.ts';
import { readUdp, udpFrame } from '../../src/wire/lan/udp.ts';
import { concat, hexOf, u32 } from '../golden/build.ts';
import { caseCount, randomBytes, seed, spoil } from './cases.ts';

const CASES = caseCount(0.2);

const mac = parseMac('52:54:00:00:00:30')!;
const settings: DhcpSettings = {
  gatewayMac: parseMac('02:00:00:00:00:01')!,
  gateway4: parseIp('169.254.0.1')!,
  gateway6: parseIp('fe80::1')!,
  dns: [parseIp('192.0.2.53')!, parseIp('2001:db8::53')!],
  domain: 'example.net',
  leaseTimeMs: 3_600_000,
};
const addresses = ['192.0.2.30', '192.0.2.31', '2001:db8::a', '2001:db8::b'].map((text) => parseIp(text)!);
const guest: DhcpGuest = { mac, addresses };
const four = ['192.0.2.30', '198.51.100.9', '169.254.0.1', '0.0.0.0'].map((text) => parseIp(text)!);
const six = ['2001:db8::a', '2001:db8:1::1', 'fe80::1', 'fe80::30', '::'].map((text) => parseIp(text)!);
const groups = ['ff02::1', 'ff02::2', 'ff02::1:ff00:a', 'ff02::1:2', 'fe80::1'].map((text) => parseIp(text)!);

const anyMac = (rng: Rng): Uint8Array => (rng.chance(0.9) ? mac : randomBytes(rng, 6));

function arpFrame(rng: Rng): Uint8Array {
  const rarp = rng.chance(0.2);
  const sender = rng.pick(four);
  return concat(
    randomBytes(rng, 6),
    mac,
    [8, 6].map((byte, i) => (rarp ? [0x80, 0x35][i]! : byte)),
    [0, 1, 8, 0, 6, 4, 0, rarp ? 3 : rng.between(1, 2)],
    anyMac(rng),
    sender,
    randomBytes(rng, 6),
    rng.chance(0.3) ? sender : rng.pick(four),
  );
}

const lladdrs = (rng: Rng): Uint8Array =>
  concat(...Array.from({ length: rng.below(3) }, () => concat([rng.pick([1, 2, 5, 14]), 1], anyMac(rng))));

/** An ICMPv6 message with whatever body, right from the checksum outwards. */
function icmp6Frame(rng: Rng, within: (valid: Uint8Array) => Uint8Array): Uint8Array {
  const type = rng.pick([133, 133, 134, 135, 135, 136, 136, 137]);
  const target = type === 135 || type === 136 ? rng.pick(six) : [];
  const body = within(
    concat([type, 0, 0, 0, rng.pick([0, 0x20, 0x40, 0x60]), 0, 0, 0], target, lladdrs(rng)),
  );
  const source = rng.pick(six);
  const destination = rng.pick(groups);
  const out = new ByteWriter();
  beginFrame(out, randomBytes(rng, 6), mac, ETHERTYPE_IP6);
  const extensions = rng.chance(0.1) ? rng.between(1, 10) : 0;
  const first = extensions === 0 ? PROTOCOL_ICMP6 : 60;
  writeIp6(out, source, destination, first, rng.chance(0.95) ? 255 : 64, extensions * 8 + body.length);
  for (let i = 1; i <= extensions; i++)
    out
      .u8(i === extensions ? PROTOCOL_ICMP6 : 60)
      .u8(0)
      .u16(0)
      .u32(0);
  const start = out.length;
  out.copy(body);
  if (body.length >= 4) {
    out.bytes.fill(0, start + 2, start + 4);
    putIcmp6Checksum(out, start, source, destination);
  }
  return out.take();
}

function options4(rng: Rng): Uint8Array {
  const list: (readonly number[])[] = [[53, 1, rng.between(1, 9)]];
  const add = (probability: number, code: number, value: ArrayLike<number>): void => {
    if (rng.chance(probability)) list.push([code, value.length, ...Array.from(value)]);
  };
  add(0.5, 50, rng.pick(four));
  add(0.4, 54, rng.pick([settings.gateway4, four[1]!]));
  add(0.4, 55, randomBytes(rng, rng.below(12)));
  add(0.3, 57, randomBytes(rng, 2));
  add(0.4, 61, randomBytes(rng, rng.below(rng.chance(0.1) ? 255 : 20)));
  add(0.1, 52, [rng.below(5)]);
  add(0.2, rng.below(256), randomBytes(rng, rng.below(20)));
  return concat(...list, rng.chance(0.9) ? [255] : []);
}

function dhcp4Frame(rng: Rng, within: (valid: Uint8Array) => Uint8Array): Uint8Array {
  const ciaddr = rng.chance(0.3) ? rng.pick(four) : four[3]!;
  const fixed = new Uint8Array(236);
  fixed.set([
    rng.chance(0.97) ? 1 : 2,
    1,
    6,
    0,
    ...randomBytes(rng, 4),
    0,
    0,
    rng.pick([0, 0x80]),
    0,
    ...ciaddr,
  ]);
  fixed.set(rng.chance(0.95) ? four[3]! : four[0]!, 24);
  fixed.set(rng.chance(0.95) ? mac : randomBytes(rng, 6), 28);
  // Met where an option says that these fields hold options too.
  if (rng.chance(0.3)) fixed.set(options4(rng).subarray(0, 64), 44);
  if (rng.chance(0.3)) fixed.set(options4(rng).subarray(0, 128), 108);
  const ends = {
    sourceMac: mac,
    destinationMac: settings.gatewayMac,
    source: ciaddr,
    destination: rng.pick([parseIp('255.255.255.255')!, settings.gateway4, four[1]!]),
    sourcePort: 68,
    destinationPort: rng.chance(0.97) ? 67 : 68,
  };
  const out = new ByteWriter();
  udpFrame(out, ends, within(concat(fixed, [0x63, 0x82, 0x53, 0x63], options4(rng))));
  return out.take();
}

function options6(rng: Rng): Uint8Array {
  const option = (code: number, value: Uint8Array): Uint8Array => concat([0, code, 0, value.length], value);
  const list: Uint8Array[] = [];
  if (rng.chance(0.9)) list.push(option(1, concat([0, 3, 0, 1], mac)));
  if (rng.chance(0.5))
    list.push(option(2, concat([0, 3, 0, 1], rng.chance(0.9) ? settings.gatewayMac : mac)));
  for (let count = rng.below(rng.chance(0.05) ? 20 : 4); count > 0; count--) {
    const named = Array.from({ length: rng.below(3) }, () =>
      option(5, concat(rng.pick(six), new Array(8).fill(0))),
    );
    list.push(option(rng.chance(0.9) ? 3 : 25, concat(u32(rng.below(9)), new Array(8).fill(0), ...named)));
  }
  if (rng.chance(0.2)) list.push(option(14, new Uint8Array(0)));
  if (rng.chance(0.2)) list.push(option(rng.below(256), randomBytes(rng, rng.below(20))));
  return concat(...list);
}

function dhcp6Frame(rng: Rng, within: (valid: Uint8Array) => Uint8Array): Uint8Array {
  const ends = {
    sourceMac: mac,
    destinationMac: randomBytes(rng, 6),
    source: rng.pick(six),
    destination: rng.pick([groups[3]!, groups[3]!, groups[3]!, settings.gateway6]),
    sourcePort: 546,
    destinationPort: rng.chance(0.97) ? 547 : 546,
  };
  const data = concat([rng.between(1, 12)], randomBytes(rng, 3), options6(rng));
  const out = new ByteWriter();
  udpFrame(out, ends, within(data));
  return out.take();
}

/** A frame; `within` spoils what lies behind checksums and lengths. */
function anyFrame(rng: Rng): Uint8Array {
  const within = (valid: Uint8Array): Uint8Array => (rng.chance(0.4) ? spoil(rng, valid) : valid);
  switch (rng.below(5)) {
    case 0:
      return arpFrame(rng);
    case 1:
    case 2:
      return icmp6Frame(rng, within);
    case 3:
      return dhcp4Frame(rng, within);
    default:
      return dhcp6Frame(rng, within);
  }
}

/** As `expect`, for what is asked a million times. */
function holds(condition: boolean, what: string, frame: Uint8Array): void {
  if (!condition) expect.unreachable(`${what}: ${hexOf(frame)}`);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** What must hold of a sighting, whoever made it up. */
function checkSighting(frame: Uint8Array, { mac: from, claimsMac, address }: Sighting): void {
  holds(same(from, frame.subarray(6, 12)) && (from[0]! & 1) === 0, 'its MAC', frame);
  holds(
    claimsMac === undefined || (claimsMac.length === 6 && !same(claimsMac, from)),
    'the other MAC',
    frame,
  );
  if (address === undefined) return;
  holds(address.length === 4 || address.length === 16, 'length of the address', frame);
  holds(Buffer.from(frame).includes(Buffer.from(address)), 'an address that is not in the frame', frame);
}

function answer(news: NonNullable<FrameNews>, out: ByteWriter): DhcpAnswer | undefined {
  if (news.kind === 'dhcp4') return answerDhcp4(news, guest, settings, out);
  if (news.kind === 'dhcp6') return answerDhcp6(news, guest, settings, out);
  return news.kind === 'routerSolicitation'
    ? answerRouterSolicitation(news, guest, settings, out)
    : undefined;
}

/** An answer is a whole frame from the gateway with checksums that hold, and gives nothing but the guest's own. */
function checkAnswer(frame: Uint8Array, given: readonly Uint8Array[]): void {
  holds(same(frame.subarray(6, 12), settings.gatewayMac), 'its source', frame);
  holds(
    given.every((one) => addresses.some((address) => same(address, one))),
    'a strange address',
    frame,
  );
  holds(new Set(given.map(String)).size === given.length, 'an address given twice', frame);
  const four = frame[12] === 0x08;
  const datagram = four ? readIp4(frame, 14, frame.length) : readIp6(frame, 14, frame.length);
  holds(datagram?.end === frame.length, 'its length', frame);
  if (datagram?.protocol === PROTOCOL_ICMP6) {
    holds(icmp6ChecksumHolds(frame, datagram), 'its checksum', frame);
    return;
  }
  const udp = readUdp(frame, datagram!);
  holds(udp !== undefined, 'its UDP header', frame);
  if (four) holds(readDhcp4(frame, udp!.start, udp!.end)?.reply === true, 'the DHCP message', frame);
}

test(`${CASES} frames of a guest: news or nothing, and answers that hold`, () => {
  const rng = new Rng(seed);
  const seen = new Map<string, number>();
  const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);
  const out = new ByteWriter(2048);
  const shared = Buffer.alloc(4096);
  for (let i = 0; i < CASES; i++) {
    const whole = anyFrame(rng);
    const frame = rng.chance(0.3) ? spoil(rng, whole) : whole;
    // The buffer behind it holds what the last frame left: it must make no difference.
    shared.set(frame);
    const news = readFrame(shared, frame.length, settings);
    if (i % 16 === 0) expect(readFrame(frame, frame.length, settings)).toEqual(news);
    shared.fill(i, 0, frame.length + 64);
    if (news === undefined) {
      count('nothing');
      continue;
    }
    if ('sighting' in news) checkSighting(frame, news.sighting);
    count(news.kind === 'sighting' ? news.sighting.kind : news.kind === 'forbidden' ? news.what : news.kind);
    const said = answer(news, out);
    if (said?.kind === 'frame') checkAnswer(out.take(), said.addresses);
    if (said !== undefined) count(said.kind === 'frame' ? said.what : said.why);
  }
  const kinds = [
    'arp',
    'garp',
    'rarp',
    'dad',
    'ns',
    'na',
    'unsolicitedNa',
    'dhcp4',
    'dhcp6',
    'routerSolicitation',
  ];
  const wrong = ['routerAdvertisement', 'redirect', 'dhcpServer', 'nothing'];
  const answers = ['offer', 'ack', 'nak', 'advertise', 'reply'];
  const silent = ['otherMac', 'otherServer', 'relayed', 'malformed', 'released', 'declined'];
  for (const what of [...kinds, ...wrong, ...answers, ...silent])
    expect(seen.get(what) ?? 0, what).toBeGreaterThan(CASES / 2000);
});

test('frames of random bytes with a type that is read', () => {
  const rng = new Rng(seed);
  let nothing = 0;
  let something = 0;
  for (let i = 0; i < CASES / 2; i++) {
    const frame = randomBytes(rng, rng.below(200));
    if (frame.length >= 14) {
      frame[6]! &= 0xfe;
      frame.set(
        rng.pick([
          [0x08, 0x06],
          [0x80, 0x35],
          [0x08, 0x00],
          [0x86, 0xdd],
        ]),
        12,
      );
      if (frame.length > 21 && frame[13] === 0x06) frame.set([0, 1, 8, 0, 6, 4, 0, rng.between(1, 3)], 14);
      if (frame.length > 54 && frame[13] === 0xdd) frame.set([0x60, 0, 0, 0, 0, frame.length - 54, 58], 14);
    }
    const news = readFrame(frame, frame.length);
    if (news === undefined) nothing++;
    else something++;
  }
  expect(nothing).toBeGreaterThan(CASES / 10);
  expect(something).toBeGreaterThan(CASES / 100);
});
