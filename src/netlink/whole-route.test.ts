// Routes kept whole: what is read is what is written again, without what the kernel only tells.

import { expect, test } from 'vitest';
import { hex, MessageWriter, NLM_F_APPEND, NLM_F_CREATE } from './message.ts';
import type { Nexthop } from './nexthop.ts';
import {
  bytesOfHex,
  decodeWholeRoute,
  encodeWholeRouteAdd,
  hopsBehind,
  preferredSource,
  type WholeRoute,
  wholeRouteKey,
  withoutPreferredSource,
} from './whole-route.ts';

const bytesOf = (text: string): Uint8Array => bytesOfHex(text.replace(/#.*$/gm, '').replace(/\s+/g, ''));
const decode = (bytes: Uint8Array): WholeRoute => decodeWholeRoute(bytes, 0, bytes.length)!;

function written(route: WholeRoute): Uint8Array {
  const writer = new MessageWriter(new Uint8Array(8));
  encodeWholeRouteAdd(writer, 9, NLM_F_CREATE | NLM_F_APPEND, route);
  return writer.bytes.slice(0, writer.length);
}

const MULTIPATH = bytesOf(`
  70000000 1800 2200 03000000 21210000   # RTM_NEWROUTE
  02 18 00 00 fe 04 00 01 01000000       # AF_INET /24, main, static, universe, unicast, RTNH_F_DEAD
  08000f00 fe000000                      # RTA_TABLE
  08000100 c6336400                      # RTA_DST 198.51.100.0
  08001e00 02100000                      # RTA_NH_ID 4098
  0c000880 08000200 14050000             # RTA_METRICS, nested: MTU 1300
  28000900                               # RTA_MULTIPATH
    1000 10 02 03000000 08000500 0a010001  # linkdown, weight 3, ifindex 3, gateway 10.1.0.1
    1400 04 00 04000000 0c000500 0a020001 00000000
`);

test('hops with weights; the nexthop object, and flags that are not a wish, are left out', () => {
  const route = decode(MULTIPATH);
  expect(route).toMatchObject({ nhid: 4098, protocol: 4, length: 24, flags: 1 });
  expect(route.hops).toEqual([
    { ifindex: 3, weight: 3, flags: 0, attributes: [[5, '0a010001']] },
    { ifindex: 4, weight: 1, flags: 4, attributes: [[5, '0a02000100000000']] },
  ]);
  const again = decode(written(route));
  expect(again).toEqual({ ...route, nhid: 0, flags: 0 });
  expect([...written(route).subarray(0, 8)]).toEqual([96, 0, 0, 0, 24, 0, 1, 12]);
});

test('one hop: onlink and source come again; of the cache what is left of its time', () => {
  const bytes = bytesOf(`
    78000000 1800 2200 03000000 21210000
    0a 30 00 00 64 04 00 01 04000000       # AF_INET6 /48, table 100, ONLINK
    14000100 20010db8010200000000000000000000
    14000700 20010db8000100000000000000000005  # RTA_PREFSRC
    08000600 00040000                      # RTA_PRIORITY 1024
    24000c00 00000000 00000000 94910400 00000000 00000000 00000000 00000000 00000000  # RTA_CACHEINFO: 2994.12 s
    08000400 03000000                      # RTA_OIF
  `);
  const route = decode(bytes);
  expect(route.expiresS).toBe(2995);
  expect(route.hops).toEqual([{ ifindex: 3, weight: 1, flags: 4, attributes: [] }]);
  expect(route.attributes.map(([type]) => type)).toEqual([1, 7, 6]);
  expect(preferredSource(route)).toBe('20010db8000100000000000000000005');
  expect(withoutPreferredSource(route.attributes).map(([type]) => type)).toEqual([1, 6]);
  const text = hex(written(route));
  expect(text).toContain('08001700b30b0000');
  expect(text).not.toContain('24000c00');
  expect(decode(written(route)).hops).toEqual(route.hops);
});

test('routes are told apart by table, prefix, source prefix, metric and TOS, not by hops', () => {
  const route = decode(MULTIPATH);
  expect(wholeRouteKey({ ...route, table: 0 })).toBe(wholeRouteKey(route));
  expect(wholeRouteKey({ ...route, hops: [], protocol: 9 } as WholeRoute)).toBe(wholeRouteKey(route));
  for (const other of [
    { ...route, tos: 16 },
    { ...route, length: 25 },
    { ...route, family: 10 },
    { ...route, sourceLength: 8 },
    { ...route, attributes: [...route.attributes, [6, '05000000'] as const] },
  ])
    expect(wholeRouteKey(other)).not.toBe(wholeRouteKey(route));
});

test('behind a nexthop object are its hops, of a group with their weights', () => {
  const base = { protocol: 4, flags: 0, blackhole: false };
  const six = bytesOfHex('fe800000000000000000000000000001');
  const objects = new Map<number, Nexthop>([
    [1, { ...base, id: 1, family: 2, ifindex: 3, gateway: Uint8Array.of(10, 1, 0, 1) }],
    [2, { ...base, id: 2, family: 10, ifindex: 4, gateway: six, flags: 4 }],
    [3, { ...base, id: 3, family: 2, ifindex: 0, blackhole: true }],
    [
      9,
      {
        ...base,
        id: 9,
        family: 0,
        ifindex: 0,
        group: [
          { id: 1, weight: 7 },
          { id: 2, weight: 1 },
        ],
      },
    ],
  ]);
  const through = (nhid: number) => hopsBehind({ ...decode(MULTIPATH), nhid, hops: [] }, objects);
  expect(through(9)).toEqual([
    { ifindex: 3, weight: 7, flags: 0, attributes: [[5, '0a010001']] },
    { ifindex: 4, weight: 1, flags: 4, attributes: [[18, '0a00fe800000000000000000000000000001']] },
  ]);
  expect(through(1)).toHaveLength(1);
  expect(through(3)).toEqual([]);
  expect(through(77)).toEqual([]);
});
