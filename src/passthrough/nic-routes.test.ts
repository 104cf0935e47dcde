// Routes over a NIC that leaves: which are kept, what remains for others, and how they come again.

import { expect, test } from 'vitest';
import type { WholeRoute } from '../netlink/whole-route.ts';
import {
  completed,
  goesWith,
  ownSources,
  relation,
  remainder,
  routeSteps,
  routeText,
  type SavedHop,
  type SavedRoute,
  saveRoute,
} from './nic-routes.ts';

const DST = 1;
const GATEWAY = 5;
const PREFSRC = 7;

const over = (link: string, gateway?: string, weight = 1): SavedHop => ({
  link,
  weight,
  flags: 0,
  attributes: gateway === undefined ? [] : [[GATEWAY, gateway]],
});
function route(destination: string, hops: SavedHop[], source?: string): SavedRoute {
  return {
    family: 2,
    length: 24,
    sourceLength: 0,
    tos: 0,
    table: 254,
    protocol: 4,
    scope: 0,
    type: 1,
    attributes: [[DST, destination], ...(source === undefined ? [] : [[PREFSRC, source] as const])],
    hops,
  };
}
const A = over('eth1', '0a010001', 3);
const B = over('eth2', '0a020001');
const none: ReadonlySet<string> = new Set();
const everywhere = (): boolean => true;

test('kept are foreign routes, by the names of their links', () => {
  const { hops: _, ...rest } = route('c6336400', []);
  const told: WholeRoute = {
    ...rest,
    flags: 0,
    nhid: 0,
    hops: [{ ifindex: 3, weight: 1, flags: 0, attributes: [] }],
  };
  const save = (more: Partial<WholeRoute>) =>
    saveRoute({ ...told, ...more }, (ifindex) => (ifindex === 3 ? 'eth1' : undefined), new Map());
  expect(save({})).toEqual({ ...rest, hops: [over('eth1')] });
  expect(save({ protocol: 2 })).toBeDefined();
  for (const more of [
    { protocol: 2, type: 2 },
    { protocol: 2, type: 3 },
    { protocol: 179 },
    { protocol: 1 },
    { flags: 0x200 },
    { hops: [] },
    { hops: [{ ifindex: 9, weight: 1, flags: 0, attributes: [] }] },
  ])
    expect(save(more)).toBeUndefined();
  // A local route of somebody's own is not the kernel's.
  expect(save({ protocol: 4, type: 2 })).toBeDefined();
});

test('a route goes with the NIC for its hop, or for a source that only the NIC has', () => {
  const own = (bytes: string) => ({ bytes }) as Parameters<typeof ownSources>[0][number];
  const sources = ownSources([own('0a010005'), own('0a010006')], [own('0a010006')]);
  expect([...sources]).toEqual(['0a010005']);
  expect(goesWith(route('c6336400', [A, B]), 'eth1', none)).toBe(true);
  expect(goesWith(route('c6336400', [B]), 'eth1', sources)).toBe(false);
  expect(goesWith(route('c6336400', [B], '0a010005'), 'eth1', sources)).toBe(true);
  expect(goesWith(route('c6336400', [B], '0a010006'), 'eth1', sources)).toBe(false);
});

test('what remains of it has the other hops, and no source that is gone', () => {
  const sources = new Set(['0a010005']);
  expect(remainder(route('c6336400', [A, B]), 'eth1', sources, everywhere)).toEqual(route('c6336400', [B]));
  expect(remainder(route('c6336400', [B], '0a010005'), 'eth1', sources, everywhere)).toEqual(
    route('c6336400', [B]),
  );
  expect(remainder(route('c6336400', [B], '0a010006'), 'eth1', sources, everywhere)).toEqual(
    route('c6336400', [B], '0a010006'),
  );
  expect(remainder(route('c6336400', [A]), 'eth1', sources, everywhere)).toBeUndefined();
  expect(remainder(route('c6336400', [A, B]), 'eth1', sources, (link) => link !== 'eth2')).toBeUndefined();
});

test('a route in the kernel is the same, a part of the saved one, or another', () => {
  const saved = route('c6336400', [A, B], '0a010005');
  const plain = route('c6336400', [A, B]);
  expect(relation(saved, { ...saved, hops: [B, A] })).toBe('same');
  expect(relation(saved, plain)).toBe('part');
  expect(relation(saved, route('c6336400', [B]))).toBe('part');
  expect(relation(plain, route('c6336400', [{ ...A, weight: 1 }, B]))).toBe('part');
  expect(relation(plain, saved)).toBe('other');
  expect(relation(plain, route('c6336400', [over('eth2', '0a020009')]))).toBe('other');
  expect(relation(plain, { ...route('c6336400', [B]), protocol: 186 })).toBe('other');
});

test('of two NICs that are away, each record has the whole of a route of both', () => {
  const whole = route('c6336400', [A, B]);
  expect(completed(route('c6336400', [B]), [whole])).toBe(whole);
  const other = route('c6336500', [B]);
  expect(completed(other, [whole])).toBe(other);
});

test('homewards: what is missing is added, a part replaced, nearest first, over links that are here', () => {
  const far = route('c6336400', [A, B]);
  const near = route('c6336500', [over('eth1')]);
  const there = route('c6336600', [A]);
  const shared = route('c6336700', [A, B]);
  const steps = routeSteps([far, near, there, shared], [there, route('c6336700', [B])], everywhere);
  expect(steps).toEqual([
    { route: near, how: 'add' },
    { route: far, how: 'add' },
    { route: shared, how: 'replace' },
  ]);
  const alone = routeSteps([far, shared], [], (link) => link === 'eth1');
  expect(alone.map((step) => step.route.hops)).toEqual([[A], [A]]);
  expect(routeSteps([far], [], () => false)).toEqual([]);
});

test('a route in words', () => {
  expect(routeText(route('c6336400', [A, over('eth2')]))).toBe(
    '198.51.100.0/24 via 10.1.0.1 dev eth1, dev eth2',
  );
  expect(routeText({ ...route('', [A]), attributes: [], length: 0 })).toBe('default via 10.1.0.1 dev eth1');
});
