import { describe, expect, test } from 'vitest';
import { ByteWriter, readU16, writeU16 } from '../../lib/bytes.ts';
import { parseIp } from '../../net/ip.ts';
import { checksumOf, wordSum } from './checksum.ts';
import { readIp4, readIp6 } from './ip.ts';
import { readUdp, type UdpEnds, udpFrame } from './udp.ts';

const mac = new Uint8Array(6);
const at = 14;
const udp4 = at + 20;
const udp6 = at + 40;

function frame(source: string, destination: string, data: readonly number[]): Uint8Array {
  const ends: UdpEnds = {
    sourceMac: mac,
    destinationMac: mac,
    source: parseIp(source)!,
    destination: parseIp(destination)!,
    sourcePort: 68,
    destinationPort: 67,
  };
  const out = new ByteWriter();
  udpFrame(out, ends, Uint8Array.from(data));
  return out.take();
}

const four = (): Uint8Array => frame('192.0.2.30', '169.254.0.1', [1, 2, 3, 4]);
const six = (): Uint8Array => frame('2001:db8::a', 'fe80::1', [1, 2, 3, 4]);
const read4 = (bytes: Uint8Array, end = bytes.length) => readIp4(bytes, at, end);
const read6 = (bytes: Uint8Array, end = bytes.length) => readIp6(bytes, at, end);

/** With a byte changed and, for IPv4, the checksum of the header made right again. */
function changed(bytes: Uint8Array, changes: readonly (readonly [number, number])[]): Uint8Array {
  for (const [offset, value] of changes) bytes[offset] = value;
  if (bytes[12] === 0x08) {
    writeU16(bytes, at + 10, 0);
    writeU16(bytes, at + 10, checksumOf(wordSum(bytes, at, at + 20)));
  }
  return bytes;
}

describe('IPv4 headers (RFC 791)', () => {
  test('a datagram ends where its length says, whatever pads the frame', () => {
    const padded = Uint8Array.of(...four(), 0, 0, 0);
    expect(read4(padded)).toMatchObject({ protocol: 17, hops: 64, start: udp4, end: udp4 + 12 });
  });

  test.each<[string, Uint8Array]>([
    ['another version', changed(four(), [[at, 0x65]])],
    ['a header shorter than any', changed(four(), [[at, 0x44]])],
    ['a header longer than the datagram', changed(four(), [[at, 0x4f]])],
    ['a length beyond the frame', changed(four(), [[at + 3, 33]])],
    ['a length short of the header', changed(four(), [[at + 3, 19]])],
    ['more fragments', changed(four(), [[at + 6, 0x20]])],
    ['a later fragment', changed(four(), [[at + 7, 1]])],
  ])('%s', (_, bytes) => {
    expect(read4(bytes)).toBeUndefined();
  });

  test('a wrong checksum', () => {
    const bytes = four();
    bytes[at + 10]! ^= 1;
    expect(read4(bytes)).toBeUndefined();
  });

  test('options are part of the header', () => {
    const bytes = four();
    const longer = Uint8Array.of(...bytes.subarray(0, udp4), 1, 1, 1, 0, ...bytes.subarray(udp4));
    longer[at] = 0x46;
    longer[at + 3]! += 4;
    writeU16(longer, at + 10, 0);
    writeU16(longer, at + 10, checksumOf(wordSum(longer, at, at + 24)));
    expect(read4(longer)).toMatchObject({ start: udp4 + 4, end: udp4 + 16 });
  });

  test('cut anywhere', () => {
    for (let end = at; end < four().length; end++) expect(read4(four(), end)).toBeUndefined();
  });
});

describe('IPv6 headers (RFC 8200)', () => {
  /** Eight bytes of an extension header before UDP, its length field as told. */
  function extended(type: number, units: number): Uint8Array {
    const bytes = six();
    const header = [17, units, 0, 0, 0, 0, 0, 0];
    const longer = Uint8Array.of(...bytes.subarray(0, udp6), ...header, ...bytes.subarray(udp6));
    longer[at + 5]! += 8;
    longer[at + 6] = type;
    return longer;
  }

  test('a datagram ends where its length says', () => {
    const padded = Uint8Array.of(...six(), 0, 0);
    expect(read6(padded)).toMatchObject({ protocol: 17, hops: 64, start: udp6, end: udp6 + 12 });
    expect(read6(changed(six(), [[at, 0x40]]))).toBeUndefined();
    expect(read6(changed(six(), [[at + 5, 13]]))).toBeUndefined();
    for (let end = at; end < six().length; end++) expect(read6(six(), end)).toBeUndefined();
  });

  test.each([0, 43, 60, 135])('extension header %i', (type) => {
    expect(read6(extended(type, 0))).toMatchObject({ protocol: 17, start: udp6 + 8, end: udp6 + 20 });
    // Longer than the datagram.
    expect(read6(extended(type, 2))).toBeUndefined();
  });

  test('authentication counts in units of four', () => {
    expect(read6(extended(51, 0))).toMatchObject({ protocol: 17, start: udp6 + 8 });
    expect(read6(extended(51, 4))).toBeUndefined();
  });

  test('no room for the header that is announced', () => {
    const bytes = six();
    bytes[at + 5] = 4;
    bytes[at + 6] = 60;
    expect(read6(bytes)).toBeUndefined();
  });
});

describe('UDP headers (RFC 768)', () => {
  test('a message ends where its length says, and not beyond its datagram', () => {
    const datagram = read4(four())!;
    expect(readUdp(four(), datagram)).toMatchObject({ start: udp4 + 8, end: udp4 + 12 });
    for (const length of [7, 13]) {
      const bytes = four();
      writeU16(bytes, udp4 + 4, length);
      writeU16(bytes, udp4 + 6, 0);
      expect(readUdp(bytes, datagram)).toBeUndefined();
    }
    const none = four();
    writeU16(none, udp4 + 6, 0);
    expect(readUdp(none, datagram)).toBeDefined();
    expect(readUdp(four(), { ...datagram, end: udp4 + 7 })).toBeUndefined();
    expect(readUdp(four(), { ...datagram, protocol: 6 })).toBeUndefined();
  });

  test('a checksum of zero is written as all ones', () => {
    const data = (value: number): number[] => [value >>> 8, value & 255];
    // The word that brings the sum to all ones is what the checksum over zero is.
    const zero = readU16(frame('192.0.2.30', '169.254.0.1', data(0)), udp4 + 6);
    const bytes = frame('192.0.2.30', '169.254.0.1', data(zero));
    expect(readU16(bytes, udp4 + 6)).toBe(0xffff);
    expect(readUdp(bytes, read4(bytes)!)).toBeDefined();
  });

  test('data of an odd length', () => {
    const bytes = frame('2001:db8::a', 'fe80::1', [1, 2, 3]);
    expect(readUdp(bytes, read6(bytes)!)).toMatchObject({ end: udp6 + 11 });
    bytes[udp6 + 10]! ^= 1;
    expect(readUdp(bytes, read6(bytes)!)).toBeUndefined();
  });
});
