// Pages of routes as a peer has them from us.

import { expect, test } from 'vitest';
import { NEXT_HOP_SELF } from '../rib/next-hop-table.ts';
import { LOCAL_PEER } from '../rib/peer-table.ts';
import { neighbour, prefixNlri, routeRig, update } from '../router/route-rig.test-data.ts';
import { encodeAttributes } from '../wire/bgp/attribute/describe.ts';
import { IPV4, VPNV4 } from '../wire/bgp/family.ts';
import { nlriCodecs } from '../wire/bgp/nlri/opaque.ts';
import { routesView } from './route-views.ts';

const addPath = { receive: false, send: 'all', sendMax: 4 } as const;
const capability = { kind: 'addPath', entries: [{ afi: 1, safi: 1, sendReceive: 1 }] } as const;
const prefix = '10.1.0.0/16';

test('a peer with ADD-PATH has each path under the identifier that it was told', () => {
  const rig = routeRig([
    neighbour('192.0.2.2', { name: 'a', families: 1 }),
    neighbour('192.0.2.4', { name: 'c', families: 1 }),
    neighbour('192.0.2.3', { name: 'b', families: 1, byFamily: { [IPV4]: { addPath } } }),
    neighbour('192.0.2.5', { name: 'd', families: 1 }),
  ]);
  const [a, c] = [rig.up('192.0.2.2'), rig.up('192.0.2.4', 65004)];
  const b = rig.up('192.0.2.3', 65003, [capability]);
  rig.up('192.0.2.5', 65005);
  const say = (far: typeof a, asPath: string, nextHop: string): void =>
    far.say(update(IPV4, [prefixNlri(prefix)], { attributes: { origin: 'igp', asPath }, nextHop }));
  say(a, '65002 65009', '192.0.2.2');
  say(c, '65004', '192.0.2.4');
  const rows = (peer: string) =>
    routesView(
      {
        router: rig.router,
        time: { originMs: 0, nowMs: () => rig.router.nowMs },
        kernelState: () => undefined,
      },
      { peer, advertised: true, received: false, limit: 10 },
    )!.routes;
  const told = rows('b');
  expect(told).toMatchObject([
    { prefix, best: true, peer: 'c', nextHop: '192.0.2.1', attributes: { asPath: '65001 65004' } },
    { prefix, best: false, peer: 'a', nextHop: '192.0.2.1', attributes: { asPath: '65001 65002 65009' } },
  ]);
  expect(told.map(({ pathId }) => `${pathId} ${prefix}`).sort()).toEqual([...b.has.keys()].sort());
  expect(rows('d')).toMatchObject([{ prefix, best: true, attributes: { asPath: '65001 65004' } }]);
  expect(rows('d')[0]).not.toHaveProperty('pathId');
  // A peer is not told of its own.
  expect(rows('c')).toEqual([]);
  c.say(update(IPV4, [prefixNlri(prefix)]));
  expect(rows('b').map(({ peer }) => peer)).toEqual(['a']);
});

test('a prefix that many VPNs have is found in each of them, page by page, and a whole key once', () => {
  const { router } = routeRig([neighbour('192.0.2.2', { name: 'a' })]);
  const attributes = encodeAttributes({ origin: 'igp', asPath: '' });
  const attrId = router.pool.intern(attributes, 0, attributes.length);
  const rib = router.ribs[VPNV4]!;
  for (let vpn = 1; vpn <= 5; vpn++) {
    for (const prefixOf of ['10.0.0.0/24', '10.9.0.0/24']) {
      const key = nlriCodecs[VPNV4]!.parse(`65000:${vpn}:${prefixOf}`)!;
      rib.announceNlri(LOCAL_PEER, key, Uint8Array.of(0, 0x10 + vpn, 1), 0, attrId, NEXT_HOP_SELF);
    }
  }
  while (router.work());
  const time = { originMs: 0, nowMs: () => router.nowMs };
  const context = { router, time, kernelState: () => undefined };
  const query = { prefix: '10.0.0.0/24', received: false, advertised: false, limit: 2 };
  const found: string[] = [];
  for (let cursor: string | undefined, pages = 0; pages < 9; pages++) {
    const page = routesView(context, cursor === undefined ? query : { ...query, cursor })!;
    found.push(...page.routes.map((route) => route.prefix));
    cursor = page.next;
    if (cursor === undefined) break;
  }
  expect(found).toEqual([1, 2, 3, 4, 5].map((vpn) => `65000:${vpn}:10.0.0.0/24`));
  const whole = routesView(context, { ...query, prefix: '65000:3:10.9.0.0/24' })!;
  expect(whole.routes.map((route) => route.prefix)).toEqual(['65000:3:10.9.0.0/24']);
  expect(whole.next).toBeUndefined();
});
