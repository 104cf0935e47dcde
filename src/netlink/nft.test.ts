import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eachMessage, MessageWriter, NLM_F_ACK, putU32, u16, u32 } from './message.ts';
import { decodeLoggedFrame, decodeLoggedPacket, encodeLogBind, NFULNL_MSG_PACKET } from './nflog-message.ts';
import {
  encodeBatch,
  NF_NETDEV_INGRESS,
  NFPROTO_INET,
  NFPROTO_NETDEV,
  NFT_MSG_NEWSETELEM,
  type NftChange,
  type NftElement,
  type NftSet,
} from './nft.ts';
import {
  decodeChain,
  decodeRule,
  decodeSet,
  eachElement,
  encodeElementDump,
  familyOf,
  type NftElementFound,
  tableOf,
} from './nft-dump.ts';
import { encodeExpressions, NFT_META_IIF, type NftExpression } from './nft-expression.ts';

// What nft 1.0.6 sends for the same things, one attribute a line; without its user data, and sets by name alone.
function bytesOf(text: string): Uint8Array {
  const hex = text.replace(/#.*$/gm, '').replace(/\s+/g, '');
  return Uint8Array.from(hex.match(/../g)!.map((pair) => Number.parseInt(pair, 16)));
}

const TABLE = { family: NFPROTO_NETDEV, name: 'leafd' };
const IP4: NftSet = {
  name: 'ip4',
  fields: [
    { type: 20, length: 4 },
    { type: 9, length: 6 },
    { type: 7, length: 4 },
  ],
};
const BEGIN = `
  14000000 1000 0100 00000000 00000000 00 00 000a   # NFNL_MSG_BATCH_BEGIN, NFNL_SUBSYS_NFTABLES
`;
const END = (seq: string) => `
  14000000 1100 0100 ${seq} 00000000 00 00 000a   # NFNL_MSG_BATCH_END
`;

function batch(changes: readonly NftChange[], firstSeq = 0): Uint8Array {
  const writer = new MessageWriter();
  encodeBatch(writer, firstSeq, changes);
  return writer.bytes.slice(0, writer.length);
}

const cases: [string, NftChange, string][] = [
  [
    'a base chain at the ingress of a link',
    {
      kind: 'chainAdd',
      table: TABLE,
      chain: 'port-v0',
      base: { hook: NF_NETDEV_INGRESS, priority: -300, policy: 'drop', device: 'v0' },
    },
    `5c000000 030a 0104 01000000 00000000 05 00 0000   # NFT_MSG_NEWCHAIN, REQUEST|CREATE, netdev
       0a000100 6c6561666400 0000                # table leafd
       0c000300 706f72742d763000                 # name port-v0
       0b000700 66696c74657200 00                # type filter
       08000500 00000000                         # policy drop
       1c000480                                  # hook
         08000100 00000000                       #   ingress
         08000200 fffffed4                       #   priority -300
         07000300 763000 00                      #   device v0
    `,
  ],
  [
    'a set with a concatenated key',
    { kind: 'setAdd', table: TABLE, set: IP4 },
    `48000000 090a 0104 01000000 00000000 05 00 0000   # NFT_MSG_NEWSET
       0a000100 6c6561666400 0000                # table leafd
       08000200 69703400                         # name ip4
       08000300 00000000                         # no flags
       08000400 00014247                         # type: iface_index . ether_addr . ipv4_addr, six bits each
       08000500 00000010                         # 16 bytes
       08000a00 00000001                         # id
    `,
  ],
  [
    'a set that rules fill, whose elements are forgotten',
    {
      kind: 'setAdd',
      table: TABLE,
      set: {
        name: 'heard',
        fields: [{ type: 20, length: 4 }],
        hostOrder: true,
        dynamicSize: 65535,
        timeoutMs: 10_000,
      },
    },
    `70000000 090a 0104 01000000 00000000 05 00 0000
       0a000100 6c6561666400 0000                # table leafd
       0a000200 686561726400 0000                # name heard
       08000300 00000030                         # TIMEOUT|EVAL
       08000400 00000014
       08000500 00000004
       08000a00 00000001
       0c000980 08000100 0000ffff                # size
       0c000b00 0000000000002710                 # after 10 s
       0a000d00 000401000000 0000                # key in host order
    `,
  ],
  [
    'a set of ranges',
    {
      kind: 'setAdd',
      table: { family: NFPROTO_INET, name: 'leafd' },
      set: {
        name: 'reserved4',
        interval: true,
        fields: [
          { type: 7, length: 4 },
          { type: 12, length: 1 },
          { type: 13, length: 2 },
        ],
      },
    },
    `7c000000 090a 0104 01000000 00000000 01 00 0000
       0a000100 6c6561666400 0000                # table leafd
       0e000200 72657365727665643400 0000        # name reserved4
       08000300 00000084                         # INTERVAL|CONCAT
       08000400 0000730d
       08000500 0000000c
       08000a00 00000001
       2c000980                                  # description
         28000280                                #   fields of the concatenation
           0c000180 08000100 00000004
           0c000180 08000100 00000001
           0c000180 08000100 00000002
    `,
  ],
  [
    'an element of a set of ranges',
    {
      kind: 'elementsAdd',
      table: { family: NFPROTO_INET, name: 'leafd' },
      set: 'reserved4',
      elements: [
        {
          key: bytesOf('0a000000 11000000 12b50000'),
          keyEnd: bytesOf('0affffff 11000000 12b50000'),
        },
      ],
    },
    `60000000 0c0a 0104 01000000 00000000 01 00 0000   # NFT_MSG_NEWSETELEM
       0a000100 6c6561666400 0000
       0e000200 72657365727665643400 0000
       30000380
         2c000180
           14000180 10000100 0a0000001100000012b50000    # from 10.0.0.0 . udp . 4789
           14000a80 10000100 0affffff1100000012b50000    # to 10.255.255.255 . udp . 4789
    `,
  ],
  [
    'a rule that counts by link, and logs at a limited rate',
    {
      kind: 'ruleAdd',
      table: TABLE,
      chain: 'drop-spoofed4',
      expressions: [
        { kind: 'meta', key: NFT_META_IIF, register: 1 },
        {
          kind: 'update',
          register: 1,
          set: 'drop-spoofed4',
          expressions: [{ kind: 'counter' }, { kind: 'limit', rate: 2, burst: 5 }],
        },
        { kind: 'log', group: 179, prefix: 'spoofed4', snapLength: 128 },
      ],
    },
    `28010000 060a 010c 01000000 00000000 05 00 0000   # NFT_MSG_NEWRULE, REQUEST|CREATE|APPEND
       0a000100 6c6561666400 0000
       12000200 64726f702d73706f6f6665643400 0000
       f4000480
         24000180 09000100 6d65746100 000000     # meta
           14000280 08000200 00000004 08000100 00000001
         9c000180 0b000100 64796e73657400 00     # dynset
           8c000280
             08000400 00000001                   #   key in register 1
             08000300 00000001                   #   update
             12000100 64726f702d73706f6f6665643400 0000
             5c000a80
               14000180 0c000100 636f756e74657200 04000280
               44000180 0a000100 6c696d697400 0000
                 34000280
                   0c000100 0000000000000002     #   rate
                   0c000200 0000000000000001     #   a second
                   08000300 00000005             #   burst
                   08000400 00000000 08000500 00000000
             08000900 00000002                   #   F_EXPR
         30000180 08000100 6c6f6700              # log
           24000280
             0d000200 73706f6f6665643400 000000
             06000100 00b3 0000
             08000300 00000080
    `,
  ],
];

describe('a batch', () => {
  test.each(cases)('%s, as nft says it', (_what, change, text) => {
    expect(batch([change])).toEqual(bytesOf(BEGIN + text + END('02000000')));
  });

  test('numbers its messages, and asks for an answer at the last change', () => {
    const writer = new MessageWriter();
    encodeBatch(writer, 7, [
      { kind: 'tableAdd', table: TABLE },
      { kind: 'chainDelete', table: TABLE, chain: 'a' },
    ]);
    writer.flagLast(NLM_F_ACK);
    const seen: [number, number, boolean][] = [];
    eachMessage(writer.bytes, writer.length, (type, flags, bytes, start) => {
      seen.push([type, u32(bytes, start + 8), (flags & NLM_F_ACK) !== 0]);
    });
    expect(seen).toEqual([
      [0x10, 7, false],
      [0xa00, 8, false],
      [0xa05, 9, true],
      [0x11, 10, false],
    ]);
  });

  test('spreads many elements over messages whose lists fit 16 bits', () => {
    const elements = Array.from({ length: 5000 }, (_, i) => {
      const key = new Uint8Array(28);
      putU32(key, 0, i);
      return { key };
    });
    const bytes = batch([{ kind: 'elementsAdd', table: TABLE, set: 'ip6', elements }]);
    const found: number[] = [];
    let messages = 0;
    eachMessage(bytes, bytes.length, (type, _flags, all, start, end) => {
      if (type !== NFT_MSG_NEWSETELEM) return;
      messages++;
      expect(end - start).toBeLessThan(65_000);
      eachElement(all, start, end, ({ key }) => found.push(u32(key, 0)));
    });
    expect(messages).toBeGreaterThan(2);
    expect(messages).toBeLessThanOrEqual(1 + 5000 / 400);
    expect(found).toEqual(elements.map((_, i) => i));
  });
});

describe('what is decoded', () => {
  const only = (change: NftChange) => {
    const bytes = batch([change]);
    return { bytes, start: 20, end: bytes.length - 20 };
  };

  test('chains, with their link', () => {
    const base = { hook: 0, priority: -300, policy: 'drop', device: 'tap100i0' } as const;
    const first = only({ kind: 'chainAdd', table: TABLE, chain: 'port-tap100i0', base });
    expect(decodeChain(first.bytes, first.start, first.end)).toEqual({
      table: 'leafd',
      name: 'port-tap100i0',
      base: true,
      device: 'tap100i0',
    });
    const second = only({ kind: 'chainAdd', table: TABLE, chain: 'guest' });
    expect(decodeChain(second.bytes, second.start, second.end)).toEqual({
      table: 'leafd',
      name: 'guest',
      base: false,
    });
    expect(tableOf(second.bytes, second.start, second.end)).toBe('leafd');
    expect(familyOf(second.bytes, second.start, second.end)).toBe(NFPROTO_NETDEV);
  });

  test('rules, by their comment', () => {
    const rule = only({
      kind: 'ruleAdd',
      table: TABLE,
      chain: 'guest',
      expressions: [{ kind: 'drop' }],
      comment: 'leafd 1',
    });
    expect(decodeRule(rule.bytes, rule.start, rule.end)).toEqual({
      chain: 'guest',
      handle: '',
      comment: 'leafd 1',
    });
  });

  test('sets', () => {
    const set = only({ kind: 'setAdd', table: TABLE, set: IP4 });
    expect(decodeSet(set.bytes, set.start, set.end)).toEqual({
      name: 'ip4',
      flags: 0,
      keyType: 0x14247,
      keyLength: 16,
    });
  });

  test('elements with the counter that a rule gave them, alone or beside a limit', () => {
    const writer = new MessageWriter();
    const counter = (packets: number) => {
      writer.attributeText(1, 'counter');
      const data = writer.nest(2);
      writer.attributeBytes(1, bytesOf('0000000000000fff'));
      const count = new Uint8Array(8);
      new DataView(count.buffer).setBigUint64(0, BigInt(packets));
      writer.attributeBytes(2, count);
      writer.nestEnd(data);
    };
    writer.begin(NFT_MSG_NEWSETELEM, 0, 1).u8(5).u8(0).u16(0);
    const list = writer.nest(3);
    for (const several of [false, true]) {
      const element = writer.nest(1);
      const key = writer.nest(1);
      writer.attributeBytes(1, bytesOf('07000000'));
      writer.nestEnd(key);
      const outer = several ? writer.nest(11) : 0;
      const expression = writer.nest(several ? 1 : 7);
      counter(several ? 5_000_000_000 : 3);
      writer.nestEnd(expression);
      if (several) {
        const limit = writer.nest(1);
        writer.attributeText(1, 'limit').nestEnd(limit);
        writer.nestEnd(outer);
      }
      writer.nestEnd(element);
    }
    writer.nestEnd(list).end();
    const found: NftElementFound[] = [];
    eachElement(writer.bytes, 0, writer.length, (element) => found.push(element));
    expect(found).toEqual([
      { key: bytesOf('07000000'), packets: 3 },
      { key: bytesOf('07000000'), packets: 5_000_000_000 },
    ]);
  });

  test('any elements that were encoded', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 64 });
    fc.assert(
      fc.property(fc.array(bytes, { minLength: 1, maxLength: 50 }), (keys) => {
        const elements: NftElement[] = keys.map((key) => ({ key }));
        const { bytes: all, start, end } = only({ kind: 'elementsAdd', table: TABLE, set: 's', elements });
        const found: Uint8Array[] = [];
        eachElement(all, start, end, ({ key }) => found.push(key));
        expect(found).toEqual(keys);
      }),
    );
  });

  test('nothing that a decoder would trip over', () => {
    const writer = new MessageWriter();
    encodeElementDump(writer, 1, TABLE, 'ip4');
    const real = [...cases.map(([, change]) => batch([change])), writer.bytes.slice(0, writer.length)];
    const spoilt = fc
      .tuple(fc.constantFrom(...real), fc.array(fc.tuple(fc.nat(), fc.nat(255))))
      .map(([from, edits]) => {
        const bytes = from.slice();
        for (const [at, value] of edits) bytes[at % bytes.length] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(spoilt, fc.uint8Array({ maxLength: 200 })), fc.nat(40), (bytes, start) => {
        const end = bytes.length;
        decodeChain(bytes, start, end);
        decodeRule(bytes, start, end);
        decodeSet(bytes, start, end);
        familyOf(bytes, start, end);
        decodeLoggedPacket(bytes, start, end);
        const frame = decodeLoggedFrame(bytes, start, end, new Uint8Array(60));
        expect(frame?.length ?? 0).toBeLessThanOrEqual(60);
        eachElement(bytes, start, end, ({ key, packets }) => {
          expect(key.length).toBeLessThanOrEqual(end);
          expect(packets).toBeGreaterThanOrEqual(0);
        });
      }),
      { numRuns: 2000 },
    );
  });
});

describe('expressions', () => {
  const IMMEDIATE = '0e000100 696d6d65646961746500 0000';
  const encoded = (expression: NftExpression) => {
    const writer = new MessageWriter();
    encodeExpressions(writer, 4, [expression]);
    return writer.bytes.slice(8, writer.length);
  };

  test.each<[string, NftExpression, string]>([
    [
      'a jump',
      { kind: 'jump', chain: 'guest' },
      `${IMMEDIATE} 28000280 08000100 00000000
        1c000280 18000280 08000100 fffffffd 0a000200 677565737400 0000`,
    ],
    [
      'accept',
      { kind: 'accept' },
      `${IMMEDIATE} 1c000280 08000100 00000000 10000280 0c000280 08000100 00000001`,
    ],
    ['drop', { kind: 'drop' }, `${IMMEDIATE} 1c000280 08000100 00000000 10000280 0c000280 08000100 00000000`],
    [
      'fe80::/10',
      { kind: 'mask', register: 8, mask: Uint8Array.of(0xff, 0xc0, 0, 0) },
      `0c000100 6269747769736500 34000280 08000100 00000008 08000200 00000008 08000300 00000004
       0c000480 08000100 ffc00000 0c000580 08000100 00000000`,
    ],
    [
      'what is not in a set',
      { kind: 'lookup', register: 8, set: 'macs', inverted: true },
      '0b000100 6c6f6f6b757000 00 20000280 08000200 00000008 09000100 6d61637300 000000 08000500 00000001',
    ],
    [
      'two bytes of the frame',
      { kind: 'payload', base: 0, offset: 12, length: 2, register: 8 },
      '0c000100 7061796c6f616400 24000280 08000100 00000008 08000200 00000000 08000300 0000000c 08000400 00000002',
    ],
    [
      'a part of an extension header',
      { kind: 'exthdr', type: 44, offset: 2, length: 2, register: 8 },
      '0b000100 65787468647200 00 24000280 08000100 00000008 05000200 2c000000 08000300 00000002 08000400 00000002',
    ],
    [
      'a comparison',
      { kind: 'cmp', register: 8, op: 1, value: Uint8Array.of(8, 0) },
      '08000100 636d7000 20000280 08000100 00000008 08000200 00000001 0c000380 06000100 0800 0000',
    ],
  ])('%s', (_what, expression, text) => {
    expect(encoded(expression)).toEqual(bytesOf(text));
  });
});

describe('a logged packet', () => {
  const logged = (hardware: boolean) => {
    const writer = new MessageWriter();
    writer.begin(NFULNL_MSG_PACKET, 0, 0).u8(5).u8(0).u8(0).u8(179);
    writer.attributeBytes(1, bytesOf('0800 00 00')).attributeText(10, 'spoofed4').attributeU32Network(4, 7);
    if (hardware) writer.attributeBytes(8, bytesOf('0006 0000 020000000001 0000'));
    else writer.attributeBytes(16, bytesOf('ffffffffffff 020000000001 0800'));
    writer.attributeBytes(9, bytesOf('45000014')).end();
    return decodeLoggedPacket(writer.bytes, 0, writer.length);
  };

  test.each([true, false])('its prefix, link, sender and beginning', (hardware) => {
    expect(logged(hardware)).toEqual({
      prefix: 'spoofed4',
      ifindex: 7,
      mac: bytesOf('020000000001'),
      packet: bytesOf('45000014'),
    });
  });

  const frameOf = (attributes: readonly [type: number, bytes: string][], room = 1514) => {
    const writer = new MessageWriter();
    writer.begin(NFULNL_MSG_PACKET, 0, 0).u8(5).u8(0).u8(0).u8(180);
    for (const [type, text] of attributes) writer.attributeBytes(type, bytesOf(text));
    writer.end();
    const frame = new Uint8Array(room);
    const logged = decodeLoggedFrame(writer.bytes, 0, writer.length, frame);
    return logged && { ...logged, frame: frame.slice(0, logged.length) };
  };
  const LINK: [number, string] = [4, '00000107'];
  const HEADER: [number, string] = [16, 'ffffffffffff 020000000001 0806'];
  const PACKET: [number, string] = [9, '0001 0800 0604 0001'];

  test('is a whole frame again', () => {
    const whole = bytesOf('ffffffffffff 020000000001 0806 0001 0800 0604 0001');
    expect(frameOf([LINK, HEADER, PACKET])).toEqual({ ifindex: 0x107, length: 22, frame: whole });
    expect(frameOf([PACKET, HEADER, LINK])).toEqual({ ifindex: 0x107, length: 22, frame: whole });
    const longHeader: [number, string] = [16, `${HEADER[1]} 00010800`];
    expect(frameOf([LINK, longHeader, PACKET])).toEqual({ ifindex: 0x107, length: 22, frame: whole });
    expect(frameOf([LINK, HEADER, PACKET], 18)).toEqual({
      ifindex: 0x107,
      length: 18,
      frame: whole.slice(0, 18),
    });
  });

  test.each<[string, [number, string][]]>([
    ['its link', [HEADER, PACKET]],
    ['its header', [LINK, PACKET]],
    ['its packet', [LINK, HEADER]],
    ['a part of its header', [LINK, [16, '020000000001'], PACKET]],
    ['a part of its link', [[4, '0007'], HEADER, PACKET]],
  ])('is no frame without %s', (_what, attributes) => {
    expect(frameOf(attributes)).toBeUndefined();
  });

  test('is asked for by group, cut to a length', () => {
    const writer = new MessageWriter();
    encodeLogBind(writer, 1, 179, { copyRange: 128, delayMs: 20, queue: 16 });
    expect(writer.bytes.slice(0, writer.length)).toEqual(
      bytesOf(`
        1c000000 0104 0500 01000000 00000000 00 00 00b3   # NFULNL_MSG_CONFIG, group 179
          05000100 01 000000                               # bind
        30000000 0104 0500 02000000 00000000 00 00 00b3
          0a000200 00000080 02 00 0000                     # packets, 128 bytes
          08000400 00000002                                # after 20 ms
          08000500 00000010                                # or 16 of them
      `),
    );
    expect(u16(writer.bytes, 4)).toBe(0x401);
  });
});
