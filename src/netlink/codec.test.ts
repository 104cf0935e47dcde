import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeAddress, decodeWholeAddress, encodeAddress, encodeWholeAddressAdd } from './address.ts';
import { encodePortIsolated } from './bridge.ts';
import { decodeLink, decodePortIsolated, encodeLink } from './link.ts';
import {
  attributeAt,
  eachMessage,
  errorNumber,
  errorText,
  MessageWriter,
  NLM_F_CREATE,
  RTM_DELROUTE,
  RTM_NEWROUTE,
} from './message.ts';
import { decodeNeighbour, encodeNeighbour } from './neighbour.ts';
import { decodeNexthop, encodeNexthop } from './nexthop.ts';
import { decodeRoute, encodeKernelRoute, encodeRoute, newRouteRecord, readRoute } from './route.ts';
import { decodeWholeRoute } from './whole-route.ts';

// Recorded from Linux 6.18; one field a line.
function bytesOf(text: string): Uint8Array {
  const hex = text.replace(/#.*$/gm, '').replace(/\s+/g, '');
  return Uint8Array.from(hex.match(/../g)!.map((pair) => Number.parseInt(pair, 16)));
}

const ROUTE_THROUGH_GROUP = bytesOf(`
  78000000 1800 2200 03000000 21210000   # length 120, RTM_NEWROUTE, MULTI|DUMP_FILTERED, seq, port
  02 10 00 00 fe b3 00 01 00000000       # AF_INET /16, table 254, protocol 179, universe, unicast, flags
  08000f00 fe000000                      # RTA_TABLE main
  08000100 0a090000                      # RTA_DST 10.9.0.0
  08000600 14000000                      # RTA_PRIORITY 20
  08000700 0a010101                      # RTA_PREFSRC 10.1.1.1
  08001e00 02100000                      # RTA_NH_ID 4098
  34000900                               # RTA_MULTIPATH
    2000 00 01 03000000                  #   32 bytes, flags 0, weight 2, ifindex 3
    16001200 0a00 fe8000000000000000000000000000aa 0000  # RTA_VIA fe80::aa
    1000 00 00 03000000                  #   16 bytes, flags 0, weight 1, ifindex 3
    08000500 0a010102                    #   RTA_GATEWAY 10.1.1.2
`);

test('a route through a group, as the kernel tells it with nexthop_compat_mode 1', () => {
  expect(decodeRoute(ROUTE_THROUGH_GROUP, 0, ROUTE_THROUGH_GROUP.length)).toEqual({
    family: 2,
    bytes: Uint8Array.of(10, 9, 0, 0),
    length: 16,
    table: 254,
    protocol: 179,
    type: 1,
    scope: 0,
    tos: 0,
    metric: 20,
    nhid: 4098,
    prefSrc: Uint8Array.of(10, 1, 1, 1),
    flags: 0,
    hops: [
      { ifindex: 3, weight: 2, flags: 0, gateway: bytesOf('fe8000000000000000000000000000aa') },
      { ifindex: 3, weight: 1, flags: 0, gateway: Uint8Array.of(10, 1, 1, 2) },
    ],
  });
  const record = newRouteRecord();
  expect(readRoute(record, ROUTE_THROUGH_GROUP, 0, ROUTE_THROUGH_GROUP.length)).toBe(true);
  expect(record).toMatchObject({
    a: 0x0a090000,
    length: 16,
    metric: 20,
    nhid: 4098,
    protocol: 179,
    table: 254,
  });
  expect(record.prefSrcLength).toBe(4);
  expect(ROUTE_THROUGH_GROUP.slice(record.prefSrcAt, record.prefSrcAt + 4)).toEqual(
    Uint8Array.of(10, 1, 1, 1),
  );
});

test('a nexthop group and its weights', () => {
  const bytes = bytesOf(`
    44000000 6800 0200 04000000 21210000   # RTM_NEWNEXTHOP
    00 00 b3 00 00000000                   # family 0, scope, protocol 179, flags
    08000100 02100000                      # NHA_ID 4098
    06000300 0000 0000                     # NHA_GROUP_TYPE hash-threshold
    14000200                               # NHA_GROUP
      00100000 01 00 0000                  #   4096, weight 2
      01100000 00 00 0000                  #   4097, weight 1
    08000e00 00000080                      # NHA_OP_FLAGS
  `);
  const group = [
    { id: 4096, weight: 2 },
    { id: 4097, weight: 1 },
  ];
  expect(decodeNexthop(bytes, 0, bytes.length)).toEqual({
    id: 4098,
    family: 0,
    protocol: 179,
    flags: 0,
    ifindex: 0,
    blackhole: false,
    group,
  });
});

test('an address, a neighbour and a nexthop with an IPv6 gateway', () => {
  const address = bytesOf(`4c0000001400020002000000212100000218800003000000080001000a010101080002000a010101
    0700030076300000080008008000000014000600ffffffffffffffff5d6d02005d6d0200`);
  expect(decodeAddress(address, 0, address.length)).toEqual({
    ifindex: 3,
    family: 2,
    bytes: Uint8Array.of(10, 1, 1, 1),
    prefixLength: 24,
    scope: 0,
    flags: 0x80,
    tentative: false,
    protocol: 0,
  });
  const neighbour = bytesOf(`4c0000001c0002000500000021210000020000000300000080000001080001000a010102
    0a000200020000000002000008000400000000001400030000000000000000000000000000000000`);
  expect(decodeNeighbour(neighbour, 0, neighbour.length)).toEqual({
    family: 2,
    ifindex: 3,
    state: 0x80,
    flags: 0,
    address: Uint8Array.of(10, 1, 1, 2),
    mac: Uint8Array.of(2, 0, 0, 0, 0, 2),
    protocol: 0,
  });
  const nexthop = bytesOf(`3c0000006800020004000000212100000afdb3000000000008000100001000000800050003000000
    14000600fe8000000000000000000000000000aa`);
  expect(decodeNexthop(nexthop, 0, nexthop.length)).toMatchObject({ id: 4096, family: 10, ifindex: 3 });
});

test('a route of ours is written as the kernel wants it', () => {
  const writer = new MessageWriter(new Uint8Array(8));
  const prefSrc = Uint8Array.of(10, 0, 0, 1);
  const style = { family: 2, table: 254, protocol: 179, metric: 20, prefSrc };
  encodeRoute(writer, RTM_NEWROUTE, NLM_F_CREATE, 7, style, 0x0a090000, 0, 0, 0, 16, 0x0f790001);
  encodeRoute(writer, RTM_DELROUTE, 0, 8, { ...style, table: 1000 }, 0x0a090000, 0, 0, 0, 16, 0);
  expect(writer.bytes.slice(0, writer.length)).toEqual(
    bytesOf(`
      3c000000 1800 0104 07000000 00000000   # 60 bytes, RTM_NEWROUTE, REQUEST|CREATE, seq 7
      02 10 00 00 fe b3 00 01 00000000       # /16, main, protocol 179, universe, unicast
      08000100 0a090000                      # RTA_DST
      08000600 14000000                      # RTA_PRIORITY
      08001e00 0100790f                      # RTA_NH_ID
      08000700 0a000001                      # RTA_PREFSRC
      34000000 1900 0100 08000000 00000000   # RTM_DELROUTE
      02 10 00 00 00 b3 ff 00 00000000       # table in the attribute, scope nowhere, any type
      08000100 0a090000
      08000f00 e8030000                      # RTA_TABLE 1000
      08000600 14000000
    `),
  );
  expect(writer.count).toBe(2);
});

test('the kernel’s refusal, with its words', () => {
  const bytes = bytesOf(`
    40000000 0200 0003 05000000 00000000   # NLMSG_ERROR, CAPPED|ACK_TLVS
    ea ff ff ff                            # -EINVAL
    2c000000 1800 0104 05000000 00000000   # header of the message refused
    1b000100 4e6578686f7020696420646f6573206e6f742065786973 00
  `);
  expect(errorNumber(bytes, 0)).toBe(22);
  expect(errorText(bytes, 0, bytes.length)).toBe('Nexhop id does not exis');
  expect(errorText(bytes, 0, 36)).toBe('');
});

const byte = fc.integer({ min: 0, max: 255 });
const u32 = fc.integer({ min: 1, max: 0xffffffff });
const ip = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
);
const word = fc.stringMatching(/^[a-z0-9]{1,15}$/);

function roundTrip<T>(
  encode: (writer: MessageWriter) => void,
  decode: (bytes: Uint8Array, start: number, end: number) => T,
): T {
  const writer = new MessageWriter(new Uint8Array(16));
  // A first message and its padding must not disturb the second.
  writer.begin(1, 0, 0).u32(0).end();
  encode(writer);
  let decoded: T | undefined;
  eachMessage(writer.bytes, writer.length, (type, _flags, bytes, start, end) => {
    if (type !== 1) decoded = decode(bytes, start, end);
  });
  return decoded!;
}

test('decoding what was encoded gives the same', () => {
  const nexthop = fc.oneof(
    fc.record({
      id: u32,
      family: fc.constant(10),
      protocol: byte,
      flags: byte,
      ifindex: u32,
      gateway: ip,
      blackhole: fc.constant(false),
    }),
    fc.record({
      id: u32,
      family: fc.constant(0),
      protocol: byte,
      flags: byte,
      ifindex: fc.constant(0),
      blackhole: fc.constant(false),
      group: fc.array(fc.record({ id: u32, weight: fc.integer({ min: 1, max: 256 }) }), {
        minLength: 1,
        maxLength: 64,
      }),
    }),
  );
  fc.assert(
    fc.property(nexthop, (value) => {
      expect(roundTrip((w) => encodeNexthop(w, 104, 0, 1, value), decodeNexthop)).toEqual(value);
    }),
  );
  const link = fc.record({
    ifindex: u32,
    name: word,
    up: fc.boolean(),
    carrier: fc.boolean(),
    mtu: u32,
    mac: fc.uint8Array({ minLength: 0, maxLength: 20 }),
    kind: word,
    alias: word,
    master: u32,
    lower: u32,
    group: u32,
    operState: byte,
    carrierChanges: u32,
    isolated: fc.constantFrom(undefined, true, false),
  });
  fc.assert(
    fc.property(link, ({ isolated, ...rest }) => {
      // A port of a bridge has a kind; other links say nothing of isolation.
      const value = isolated === undefined ? rest : { ...rest, kind: `x${rest.kind}`, isolated };
      const carrier = value.up && value.carrier;
      const flags = (value.up ? 1 : 0) | (carrier ? 0x10040 : 0);
      const whole = { ...value, carrier, flags };
      expect(roundTrip((w) => encodeLink(w, 16, 0, 1, whole), decodeLink)).toEqual(whole);
    }),
  );
  const address = fc.record({
    ifindex: u32,
    family: fc.constantFrom(2, 10),
    bytes: ip,
    prefixLength: byte,
    scope: byte,
    flags: u32,
    protocol: byte,
  });
  fc.assert(
    fc.property(address, (value) => {
      const whole = { ...value, tentative: (value.flags & 0x40) !== 0 };
      expect(roundTrip((w) => encodeAddress(w, 20, 0, 1, whole), decodeAddress)).toEqual(whole);
    }),
  );
});

test('a port of a bridge is isolated by a message of the bridge’s family, whose flag is read back', () => {
  const writer = new MessageWriter();
  encodePortIsolated(writer, 1, 7, true);
  const { bytes, length } = writer;
  expect(bytes[16]).toBe(7);
  expect(decodePortIsolated(bytes, 0, length)).toEqual({ ifindex: 7, isolated: true });
  // IFLA_PROTINFO, nested, with IFLA_BRPORT_ISOLATED in it.
  expect([...bytes.subarray(32, length)]).toEqual([12, 0, 12, 0x80, 5, 0, 33, 0, 1, 0, 0, 0]);
  for (let cut = 0; cut < length; cut++) expect(decodePortIsolated(bytes, 0, cut)).toBeUndefined();
});

test('decoding what was encoded gives the same: neighbours, routes', () => {
  const neighbour = fc.record({
    family: byte,
    ifindex: u32,
    state: fc.integer({ min: 0, max: 0xffff }),
    flags: byte,
    address: ip,
    mac: fc.uint8Array({ minLength: 6, maxLength: 6 }),
    protocol: byte,
  });
  fc.assert(
    fc.property(neighbour, (value) => {
      expect(roundTrip((w) => encodeNeighbour(w, 28, 0, 1, value), decodeNeighbour)).toEqual(value);
    }),
  );
  const hop = fc.record({ ifindex: u32, gateway: ip, weight: fc.integer({ min: 1, max: 256 }), flags: byte });
  const route = fc.record({
    family: fc.constant(2),
    bytes: fc.uint8Array({ minLength: 4, maxLength: 4 }),
    length: fc.integer({ min: 1, max: 32 }),
    table: u32,
    protocol: byte,
    type: byte,
    scope: byte,
    tos: byte,
    metric: u32,
    nhid: u32,
    hops: fc.array(hop, { minLength: 2, maxLength: 8 }),
    prefSrc: ip,
    flags: u32,
  });
  fc.assert(
    fc.property(route, (value) => {
      expect(roundTrip((w) => encodeKernelRoute(w, 24, 0, 1, value), decodeRoute)).toEqual(value);
    }),
  );
});

test('all of an address: lifetimes, label, broadcast, far end, metric', () => {
  const bytes = bytesOf(`
    68000000 1400 0200 03000000 21210000   # RTM_NEWADDR
    02 20 80 00 03000000                   # AF_INET /32, PERMANENT, universe, ifindex 3
    08000100 0a090002                      # IFA_ADDRESS: the far end
    08000200 0a090001                      # IFA_LOCAL
    08000400 0a0900ff                      # IFA_BROADCAST
    09000300 65746831 00 000000            # IFA_LABEL eth1
    08000800 80020000                      # IFA_FLAGS: PERMANENT, NOPREFIXROUTE
    08000900 05000000                      # IFA_RT_PRIORITY
    14000600 a00f0000 88130000 00000000 00000000  # IFA_CACHEINFO
  `);
  const whole = decodeWholeAddress(bytes, 0, bytes.length)!;
  expect(whole).toEqual({
    ifindex: 3,
    family: 2,
    bytes: Uint8Array.of(10, 9, 0, 1),
    peer: Uint8Array.of(10, 9, 0, 2),
    broadcast: Uint8Array.of(10, 9, 0, 255),
    prefixLength: 32,
    scope: 0,
    flags: 0x280,
    tentative: false,
    protocol: 0,
    label: 'eth1',
    priority: 5,
    preferredS: 4000,
    validS: 5000,
  });
  expect(roundTrip((w) => encodeWholeAddressAdd(w, 1, 0, whole), decodeWholeAddress)).toEqual(whole);
  for (let cut = 0; cut < bytes.length; cut++) decodeWholeAddress(bytes, 0, cut);
  const { peer, label, broadcast, priority, ...bare } = whole;
  expect(roundTrip((w) => encodeWholeAddressAdd(w, 1, 0, bare), decodeWholeAddress)).toEqual(bare);
});

test('random bytes neither throw nor hang, and no attribute reaches beyond its end', () => {
  const record = newRouteRecord();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      for (const decode of [
        decodeLink,
        decodeAddress,
        decodeWholeAddress,
        decodeRoute,
        decodeWholeRoute,
        decodeNexthop,
        decodeNeighbour,
      ]) {
        decode(bytes, 0, bytes.length);
      }
      readRoute(record, bytes, 0, bytes.length);
      eachMessage(bytes, bytes.length, (_type, _flags, _bytes, start, end) => {
        expect(end).toBeLessThanOrEqual(bytes.length);
        expect(end - start).toBeGreaterThanOrEqual(16);
      });
      const length = attributeAt(bytes, 0, bytes.length);
      expect(length === 0 || (length >= 4 && length <= bytes.length)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});
