import { describe, expect, test } from 'vitest';
import { hexOf } from '../../../test/golden/build.ts';
import { parseIp, parseIp4 } from '../../net/ip.ts';
import { encodeAttributes } from './attribute/describe.ts';
import { IPV4, IPV6 } from './family.ts';
import { frameLength, HEADER_LENGTH, MESSAGE_LENGTH_MAX } from './header.ts';
import { ip4At, pathIdAt } from './nlri/ip.ts';
import { type UpdateContext, UpdateDecoder } from './update.ts';
import { UpdateWriter } from './update-writer.ts';

const ctx: UpdateContext = { asn4: true, internal: false, families: 3, addPath: 0 };
const attrs = encodeAttributes({ origin: 'igp', asPath: [65001, 4200000001], communities: ['65000:1'] });
const ip4 = parseIp('192.0.2.1')!;
const ip6 = parseIp('2001:db8::1')!;

interface Sent {
  reach: number;
  family: number;
  prefixes: string[];
  nextHop: string;
  attrs: string;
  endOfRib: number;
}

// What a receiver makes of a chunk.
function receive(bytes: Uint8Array, length: number, context: UpdateContext): Sent[] {
  const decoder = new UpdateDecoder();
  const sent: Sent[] = [];
  for (let at = 0; at < length; ) {
    const total = frameLength(bytes, at, length, 65535);
    expect(total).toBeGreaterThan(0);
    const view = decoder.decode(bytes, at + HEADER_LENGTH, at + total, context);
    expect(view.fault).toBeUndefined();
    const common = { attrs: hexOf(view.attrs, 0, view.attrsLength), endOfRib: view.endOfRib };
    if (view.sectionCount === 0) sent.push({ reach: 0, family: -1, prefixes: [], nextHop: '', ...common });
    for (let i = 0; i < view.sectionCount; i++) {
      const family = view.sectionFamily[i]!;
      const addPath = (context.addPath & (1 << family)) !== 0;
      const prefixes: string[] = [];
      for (let p = view.sectionStart[i]!; p < view.sectionEnd[i]!; ) {
        const id = addPath ? `#${pathIdAt(bytes, p)} ` : '';
        if (addPath) p += 4;
        const size = 1 + ((bytes[p]! + 7) >>> 3);
        prefixes.push(id + (family === IPV4 ? `${ip4At(bytes, p)}/${bytes[p]}` : hexOf(bytes, p, p + size)));
        p += size;
      }
      const from = view.nextHopStart[i]!;
      const nextHop = hexOf(view.nextHop, from, from + view.nextHopLength[i]!);
      sent.push({ reach: view.sectionReach[i]!, family, prefixes, nextHop, ...common });
    }
    at += total;
  }
  return sent;
}

function writer(maxMessage = MESSAGE_LENGTH_MAX, asn4 = true): UpdateWriter {
  const out = new UpdateWriter();
  out.begin(maxMessage, asn4);
  return out;
}

describe('announcements', () => {
  test('IPv4 with an IPv4 next hop is classic', () => {
    const out = writer();
    expect(out.beginReach(IPV4, attrs, 0, attrs.length, ip4, 0, 4)).toBe(true);
    expect(out.addIp4(parseIp4('10.0.0.0')!, 8)).toBe(true);
    expect(out.addIp4(0, 0)).toBe(true);
    expect(out.addIp4(parseIp4('192.0.2.255')!, 32)).toBe(true);
    out.finish();
    expect(receive(out.bytes, out.length, ctx)).toEqual([
      {
        reach: 1,
        family: IPV4,
        prefixes: [`${0x0a000000}/8`, '0/0', `${0xc00002ff}/32`],
        nextHop: 'c0000201',
        attrs: hexOf(attrs),
        endOfRib: -1,
      },
    ]);
    expect(hexOf(out.bytes, out.nextHopOffsets[0], out.nextHopOffsets[0]! + 4)).toBe('c0000201');
  });

  test.each([
    [IPV4, ip6],
    [IPV6, ip6],
    [IPV6, new Uint8Array([...ip6, ...parseIp('fe80::1')!])],
  ])('family %d in MP_REACH, which comes first', (family, nextHop) => {
    const out = writer();
    out.beginReach(family, attrs, 0, attrs.length, nextHop, 0, nextHop.length);
    if (family === IPV4) out.addIp4(parseIp4('10.0.0.0')!, 8);
    else out.addIp6(0x20010db8, 0xffff0000, 0, 0, 48);
    out.finish();
    expect(out.bytes[HEADER_LENGTH + 5]).toBe(14);
    const prefixes = family === IPV4 ? [`${0x0a000000}/8`] : ['3020010db8ffff'];
    expect(receive(out.bytes, out.length, ctx)).toMatchObject([
      { reach: 1, family, prefixes, nextHop: hexOf(nextHop), attrs: hexOf(attrs) },
    ]);
    const at = out.nextHopOffsets[0]!;
    expect(hexOf(out.bytes, at, at + nextHop.length)).toBe(hexOf(nextHop));
  });

  test('path identifiers precede the prefix', () => {
    const out = writer();
    out.beginReach(IPV4, attrs, 0, attrs.length, ip4, 0, 4, true);
    out.addIp4(parseIp4('10.0.0.0')!, 8, 0xfffffffe);
    out.finish();
    const [sent] = receive(out.bytes, out.length, { ...ctx, addPath: 1 });
    expect(sent!.prefixes).toEqual([`#${0xfffffffe} ${0x0a000000}/8`]);
  });

  test('attributes that leave no room are refused, and nothing is written', () => {
    const withCommunities = (length: number): Uint8Array =>
      encodeAttributes({
        origin: 'igp',
        asPath: [1],
        communities: Array.from({ length }, (_, i) => `1:${i}`),
      });
    const large = withCommunities(1012);
    const out = writer();
    // Header 19, lengths 4, attributes 4061, NEXT_HOP 7 and a /32: 4096 bytes to the last.
    const largest = withCommunities(1011);
    expect(out.beginReach(IPV4, largest, 0, largest.length, ip4, 0, 4)).toBe(true);
    expect(out.addIp4(0x0a000001, 32)).toBe(true);
    out.finish();
    expect(out.length).toBe(4096);
    out.reset();
    expect(out.beginReach(IPV4, large, 0, large.length, ip4, 0, 4)).toBe(false);
    expect(out.beginReach(IPV6, large, 0, large.length, ip6, 0, 16)).toBe(false);
    out.finish();
    expect(out.length).toBe(0);
    const extended = writer(65535);
    expect(extended.beginReach(IPV4, large, 0, large.length, ip4, 0, 4)).toBe(true);
  });
});

describe('packing', () => {
  test.each([MESSAGE_LENGTH_MAX, 65535])(
    'no route is lost over messages of %d bytes and full chunks',
    (max) => {
      const out = writer(max);
      const count = 70_000;
      const got: Sent[] = [];
      const flush = (): void => {
        got.push(...receive(out.bytes, out.length, ctx));
        expect(out.nextHopCount).toBe(out.messageCount);
        out.reset();
      };
      out.beginReach(IPV4, attrs, 0, attrs.length, ip4, 0, 4);
      for (let i = 0; i < count; i++) {
        if (out.addIp4(i << 8, 24)) continue;
        flush();
        expect(out.addIp4(i << 8, 24)).toBe(true);
      }
      out.finish();
      flush();
      const prefixes = got.flatMap((sent) => sent.prefixes);
      expect(prefixes.length).toBe(count);
      expect(new Set(prefixes).size).toBe(count);
      expect(got.every((sent) => sent.attrs === hexOf(attrs))).toBe(true);
      // 4 bytes a prefix: the messages are full but for the last of each chunk.
      expect(got.length).toBeLessThan((count * 4) / (max - 100) + 6);
    },
  );

  test('several sets share a chunk, each message with its own attributes', () => {
    const out = writer();
    const other = encodeAttributes({ origin: 'egp', asPath: [7], localPref: 5 });
    out.beginReach(IPV4, attrs, 0, attrs.length, ip4, 0, 4);
    out.addIp4(1 << 24, 8);
    out.beginReach(IPV6, attrs, 0, attrs.length, ip6, 0, 16);
    out.beginUnreach(IPV6, true);
    out.addIp6(0x20010db8, 0, 0, 0, 32);
    out.beginReach(IPV4, other, 0, other.length, ip4, 0, 4);
    out.addIp4(2 << 24, 8);
    out.finish();
    expect(out.messageCount).toBe(3); // a set without prefixes writes nothing
    const internal = { ...ctx, internal: true };
    const decoder = new UpdateDecoder();
    expect(decoder.decode(out.bytes, HEADER_LENGTH, out.bytes[17]!, internal).fault?.disposition).toBe(
      'withdraw',
    );
    const last = receive(out.bytes, out.length, { ...ctx, confederation: true });
    expect(last.map((sent) => sent.reach)).toEqual([1, 0, 1]);
    expect(last[2]!.attrs).toBe(hexOf(other));
  });
});

describe('withdrawals and End-of-RIB', () => {
  test.each([
    [false, 0],
    [true, 0],
    [false, 1],
    [true, 1],
  ])('IPv4, multiprotocol %s, path identifiers %d', (multiprotocol, addPath) => {
    const out = writer();
    out.beginUnreach(IPV4, multiprotocol, addPath === 1);
    for (let i = 0; i < 3000; i++) expect(out.addIp4(i << 8, 24, i)).toBe(true);
    out.finish();
    const sent = receive(out.bytes, out.length, { ...ctx, addPath });
    expect(sent.flatMap((message) => message.prefixes).length).toBe(3000);
    expect(sent.every((message) => message.reach === 0 && message.family === IPV4)).toBe(true);
    expect(out.nextHopCount).toBe(0);
  });

  test('End-of-RIB of each family', () => {
    const out = writer();
    expect(out.endOfRib(IPV4) && out.endOfRib(IPV6)).toBe(true);
    expect(receive(out.bytes, out.length, ctx).map((sent) => sent.endOfRib)).toEqual([IPV4, IPV6]);
  });

  test('End-of-RIB waits for the next chunk when this one is full', () => {
    const out = writer(65535);
    out.beginReach(IPV4, attrs, 0, attrs.length, ip4, 0, 4);
    let i = 0;
    while (out.addIp4(i << 8, 24)) i++;
    expect(out.endOfRib(IPV6)).toBe(false);
    out.reset();
    expect(out.endOfRib(IPV6)).toBe(true);
    expect(receive(out.bytes, out.length, ctx).map((sent) => sent.endOfRib)).toEqual([IPV6]);
  });
});

test('a 2-octet peer gets AS_TRANS and can restore the rest', () => {
  const wide = encodeAttributes({
    origin: 'igp',
    asPath: '65001 4200000001 {4200000002 3}',
    aggregator: { asn: 4200000003, address: '192.0.2.9' },
    communities: ['1:1'],
    largeCommunities: ['1:2:3'],
  });
  const out = writer(MESSAGE_LENGTH_MAX, false);
  out.beginReach(IPV4, wide, 0, wide.length, ip4, 0, 4);
  out.addIp4(1 << 24, 8);
  out.finish();
  const [sent] = receive(out.bytes, out.length, { ...ctx, asn4: false });
  expect(sent!.attrs).toBe(hexOf(wide));
});

test('a prefix without a set begun, or a reset within a message, is a bug', () => {
  const out = writer();
  expect(() => out.addIp4(0, 0)).toThrow(/without a set/);
  out.beginUnreach(IPV4, false);
  out.addIp4(0, 0);
  expect(() => out.reset()).toThrow(/within a message/);
});
