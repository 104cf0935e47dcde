// Pages of routes as a peer has them from us.

import { expect, test } from 'vitest';
import { neighbour, prefixNlri, routeRig, update } from '../router/route-rig.test-data.ts';
import { IPV4 } from '../wire/bgp/family.ts';
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
